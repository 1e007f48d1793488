//! How many transfers a block of polkadot-sdk's solochain template takes: the stock pallets and transaction
//! extensions of its runtime, with the weights that they bring, in blocks of the weight and length that ours
//! have. A block is filled for real, with signed extrinsics.
//!
//! `cargo run --release` prints it twice: with the template's own database, RocksDB, and with ours.

use codec::Encode;
use frame_support::{
	construct_runtime, derive_impl,
	dispatch::DispatchClass,
	parameter_types,
	traits::{ConstU128, ConstU32, ConstU64, ConstU8},
	weights::{
		constants::{ParityDbWeight, RocksDbWeight, WEIGHT_REF_TIME_PER_MILLIS},
		IdentityFee, RuntimeDbWeight, Weight,
	},
};
use frame_system::limits::{BlockLength, BlockWeights};
use pallet_transaction_payment::{ConstFeeMultiplier, FungibleAdapter, Multiplier};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
	generic,
	traits::{BlakeTwo256, Header as _, IdentifyAccount, One, Verify},
	transaction_validity::InvalidTransaction,
	BuildStorage, MultiAddress, MultiSignature, Perbill,
};

type Signature = MultiSignature;
type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;
type Balance = u128;
type Header = generic::Header<u32, BlakeTwo256>;
type Address = MultiAddress<AccountId, ()>;
/// As the template has them, in its order.
type Extensions = (
	frame_system::CheckNonZeroSender<Runtime>,
	frame_system::CheckSpecVersion<Runtime>,
	frame_system::CheckTxVersion<Runtime>,
	frame_system::CheckGenesis<Runtime>,
	frame_system::CheckEra<Runtime>,
	frame_system::CheckNonce<Runtime>,
	frame_system::CheckWeight<Runtime>,
	pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
	frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
	frame_system::WeightReclaim<Runtime>,
);
type Extrinsic = generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, Extensions>;
type Payload = generic::SignedPayload<RuntimeCall, Extensions>;
type Block = generic::Block<Header, Extrinsic>;
type Executive = frame_executive::Executive<
	Runtime,
	Block,
	frame_system::ChainContext<Runtime>,
	Runtime,
	AllPalletsWithSystem,
>;

construct_runtime!(
	pub enum Runtime {
		System: frame_system,
		Timestamp: pallet_timestamp,
		Balances: pallet_balances,
		TransactionPayment: pallet_transaction_payment,
	}
);

const NORMAL: Perbill = Perbill::from_percent(75);
const UNIT: Balance = 1_000_000_000_000;

parameter_types! {
	/// Those of our runtime: `chain/runtime/src/config/system.rs`.
	pub Weights: BlockWeights = BlockWeights::with_sensible_defaults(
		Weight::from_parts(WEIGHT_REF_TIME_PER_MILLIS * 2_000 / 3, u64::MAX),
		NORMAL,
	);
	pub Length: BlockLength = BlockLength::builder()
		.max_length(5 * 1024 * 1024)
		.modify_max_length_for_class(DispatchClass::Normal, |max| *max = NORMAL * *max)
		.build();
	pub storage Database: RuntimeDbWeight = RocksDbWeight::get();
	pub FeeMultiplier: Multiplier = Multiplier::one();
}

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
	type Block = Block;
	type BlockWeights = Weights;
	type BlockLength = Length;
	type AccountId = AccountId;
	type Nonce = u32;
	type Lookup = sp_runtime::traits::AccountIdLookup<AccountId, ()>;
	type BlockHashCount = ConstU32<2400>;
	type DbWeight = Database;
	type AccountData = pallet_balances::AccountData<Balance>;
	type MaxConsumers = ConstU32<16>;
	// The template's own is of RocksDB, on whatever database: ours would win by that alone.
	type ExtensionsWeightInfo = frame_system::SubstrateExtensionsWeight<Runtime>;
}

impl pallet_timestamp::Config for Runtime {
	type Moment = u64;
	type OnTimestampSet = ();
	type MinimumPeriod = ConstU64<1>;
	type WeightInfo = ();
}

impl pallet_balances::Config for Runtime {
	type MaxLocks = ConstU32<50>;
	type MaxReserves = ();
	type ReserveIdentifier = [u8; 8];
	type Balance = Balance;
	type RuntimeEvent = RuntimeEvent;
	type DustRemoval = ();
	type ExistentialDeposit = ConstU128<500>;
	type AccountStore = System;
	type WeightInfo = pallet_balances::weights::SubstrateWeight<Runtime>;
	type FreezeIdentifier = RuntimeFreezeReason;
	type MaxFreezes = frame_support::traits::VariantCountOf<RuntimeFreezeReason>;
	type RuntimeHoldReason = RuntimeHoldReason;
	type RuntimeFreezeReason = RuntimeFreezeReason;
	type DoneSlashHandler = ();
}

impl pallet_transaction_payment::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type OnChargeTransaction = FungibleAdapter<Balances, ()>;
	type OperationalFeeMultiplier = ConstU8<5>;
	type WeightToFee = IdentityFee<Balance>;
	type LengthToFee = IdentityFee<Balance>;
	type FeeMultiplierUpdate = ConstFeeMultiplier<FeeMultiplier>;
	type WeightInfo = pallet_transaction_payment::weights::SubstrateWeight<Runtime>;
}

fn transfer(nonce: u32) -> Extrinsic {
	let extensions = || -> Extensions {
		(
			frame_system::CheckNonZeroSender::new(),
			frame_system::CheckSpecVersion::new(),
			frame_system::CheckTxVersion::new(),
			frame_system::CheckGenesis::new(),
			frame_system::CheckEra::from(generic::Era::Immortal),
			frame_system::CheckNonce::from(nonce),
			frame_system::CheckWeight::new(),
			pallet_transaction_payment::ChargeTransactionPayment::from(0),
			frame_metadata_hash_extension::CheckMetadataHash::new(false),
			frame_system::WeightReclaim::new(),
		)
	};
	let (from, to) = (Sr25519Keyring::Alice, Sr25519Keyring::Bob.to_account_id());
	let (dest, value) = (to.into(), UNIT / 1_000);
	let call: RuntimeCall = pallet_balances::Call::transfer_keep_alive { dest, value }.into();
	let payload = Payload::new(call.clone(), extensions()).expect("what is signed is known");
	let signature = payload.using_encoded(|bytes| from.sign(bytes));
	Extrinsic::new_signed(call, from.to_account_id().into(), signature.into(), extensions())
}

/// Transfers that one block takes.
fn fill(database: RuntimeDbWeight) -> u32 {
	let balances = [Sr25519Keyring::Alice, Sr25519Keyring::Bob]
		.map(|key| (key.to_account_id(), 1_000_000_000 * UNIT));
	let genesis = RuntimeGenesisConfig {
		balances: pallet_balances::GenesisConfig {
			balances: balances.to_vec(),
			..Default::default()
		},
		..Default::default()
	};
	let mut state: sp_io::TestExternalities =
		genesis.build_storage().expect("genesis is built").into();
	state.execute_with(|| {
		Database::set(&database);
		let (hash, parent) = (Default::default(), [1; 32].into());
		Executive::initialize_block(&Header::new(1, hash, hash, parent, Default::default()));
		let time = pallet_timestamp::Call::set { now: 2_000 };
		let inherent = Extrinsic::new_bare(time.into());
		Executive::apply_extrinsic(inherent).expect("is an inherent").expect("sets the time");
		let full = InvalidTransaction::ExhaustsResources.into();
		(0..)
			.find(|nonce| match Executive::apply_extrinsic(transfer(*nonce)) {
				Ok(done) => {
					done.expect("Alice has enough");
					false
				}
				Err(error) if error == full => true,
				Err(error) => panic!("transfer {nonce}: {error:?}"),
			})
			.expect("a block is full at some time")
	})
}

fn main() {
	println!(
		"a block of the stock template takes {} transfers on RocksDB",
		fill(RocksDbWeight::get())
	);
	println!("and {} on ParityDB, as ours", fill(ParityDbWeight::get()));
}
