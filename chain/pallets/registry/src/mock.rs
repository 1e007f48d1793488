//! A runtime with the registry, bonds and assignments that tests bend at will, and a mailbox that writes
//! down what it was told.

use crate as pallet_registry;
use codec::{Decode, Encode};
use frame_support::{
	derive_impl, parameter_types,
	storage::unhashed,
	traits::{ConstU32, ConstU64, EitherOfDiverse},
	weights::Weight,
};
use frame_system::EnsureSignedBy;
use phala_protocol::{
	bonding::BondId,
	boot::{BootKeys, BootNumber, BootStatement, WorkerId},
	evidence::{Evidence, SoftwareEvidence, SoftwareReport, SoftwareReportContent},
	mailbox::{Channel, ChannelHead},
	messages::Message,
	traits::{Assignments, Bonding, EvictedBy, MailboxInterface, PushError, WorkerHooks},
	AccountBytes, Balance, H256,
};
use sp_core::{sr25519, Pair};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage, DispatchError};
use std::collections::BTreeMap;

pub type Block = frame_system::mocking::MockBlock<Runtime>;

frame_support::construct_runtime!(
	pub enum Runtime {
		System: frame_system,
		Registry: pallet_registry,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Runtime {
	type Block = Block;
	type AccountId = AccountId32;
	type Lookup = IdentityLookup<AccountId32>;
	type BlockHashCount = ConstU64<4096>;
}

/// A bond as the bonding pallet would know it: whose, how much, and whether it is open. In storage, so
/// that what fails undoes it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MockBond {
	pub account: AccountBytes,
	pub amount: Balance,
	pub open: bool,
}

parameter_types! {
	pub static Told: Vec<(Channel, Message)> = Vec::new();
	pub static Inbound: Vec<(WorkerId, BootNumber)> = Vec::new();
	/// How often the price of each probe had doubled.
	pub static TollsPaid: Vec<u32> = Vec::new();
	/// How many further messages the mailbox takes.
	pub static PushesLeft: usize = usize::MAX;
	/// Requests that workers have to answer still.
	pub static OpenRequests: BTreeMap<WorkerId, u32> = BTreeMap::new();
	/// Workers that serve somewhere.
	pub static InUse: Vec<WorkerId> = Vec::new();
	/// Whom the hooks were told of.
	pub static EvictedWorkers: Vec<WorkerId> = Vec::new();
	/// The block takes no further message for those who rely on a worker.
	pub static HooksAreRefused: bool = false;
	/// Whose doing the last eviction was.
	pub static LastEvictedBy: Option<EvictedBy> = None;
	/// Workers that alone hold something.
	pub static Alone: Vec<WorkerId> = Vec::new();
	/// How many evictions the sweep has room for in a block.
	pub static SweptPerBlock: u64 = 3;
	pub SweepBudget: Weight = {
		use crate::WeightInfo;
		type Weights = <Runtime as crate::Config>::WeightInfo;
		let begun = Weights::sweep(0);
		let (evict, look) = (Weights::evict(), Weights::sweep(1).saturating_sub(begun));
		begun
			.saturating_add(evict.saturating_add(look).saturating_mul(SweptPerBlock::get()))
	};
}

pub struct MockBonding;

impl MockBonding {
	pub fn set(bond: BondId, amount: Balance) {
		Self::put(bond, &MockBond { account: ALICE.into(), amount, open: true });
	}

	pub fn amount(bond: BondId) -> Balance {
		Self::of(bond).map_or(0, |bond| bond.amount)
	}

	pub fn of(bond: BondId) -> Option<MockBond> {
		unhashed::get(&("bond", bond).encode())
	}

	fn put(bond: BondId, value: &MockBond) {
		unhashed::put(&("bond", bond).encode(), value);
	}

	fn change(bond: BondId, change: impl FnOnce(&mut MockBond)) {
		if let Some(mut value) = Self::of(bond) {
			change(&mut value);
			Self::put(bond, &value);
		}
	}
}

impl Bonding for MockBonding {
	type Error = DispatchError;

	fn open(bond: BondId, account: &AccountBytes) -> Result<(), DispatchError> {
		if *account == <[u8; 32]>::from(PAUPER) {
			return Err(NO_FUNDS);
		}
		Self::put(bond, &MockBond { account: *account, amount: STAKE, open: true });
		Ok(())
	}

	fn close(bond: BondId) {
		Self::change(bond, |bond| bond.open = false);
	}

	fn transfer(bond: BondId, to: &AccountBytes) -> Result<(), DispatchError> {
		Self::change(bond, |bond| bond.account = *to);
		Ok(())
	}

	fn is_sufficient(bond: BondId) -> bool {
		Self::of(bond).is_some_and(|bond| bond.open && bond.amount >= MINIMUM)
	}

	fn is_exhausted(bond: BondId) -> bool {
		Self::of(bond).is_some_and(|bond| bond.open && bond.amount == 0)
	}

	fn at_stake(bond: BondId) -> Balance {
		Self::amount(bond)
	}

	fn slash(bond: BondId, amount: Balance) -> Balance {
		let taken = amount.min(Self::amount(bond));
		Self::change(bond, |bond| bond.amount -= taken);
		taken
	}
}

pub struct MockRequests;

impl Assignments for MockRequests {
	fn open_of(worker: WorkerId) -> u32 {
		OpenRequests::get().get(&worker).copied().unwrap_or(0)
	}
}

/// Who has nothing pays nothing; of others it is noted.
pub struct NotingToll;

impl crate::ProbeToll<AccountId32> for NotingToll {
	fn pay(who: &AccountId32, doublings: u32) -> sp_runtime::DispatchResult {
		if *who == PAUPER {
			return Err(NO_FUNDS);
		}
		TollsPaid::mutate(|paid| paid.push(doublings));
		Ok(())
	}
}

pub struct NotingHooks;

impl WorkerHooks for NotingHooks {
	fn on_boot(_: WorkerId, _: &phala_protocol::boot::Boot) -> Result<u32, PushError> {
		match HooksAreRefused::get() {
			true => Err(PushError::BlockFull),
			false => Ok(0),
		}
	}

	fn on_evicted(worker: WorkerId, by: EvictedBy) -> Result<(), PushError> {
		EvictedWorkers::mutate(|evicted| evicted.push(worker));
		LastEvictedBy::set(Some(by));
		Ok(())
	}

	fn has_successor(worker: WorkerId) -> bool {
		!Alone::get().contains(&worker)
	}

	fn is_in_use(worker: WorkerId) -> bool {
		InUse::get().contains(&worker)
	}
}

pub struct NotingMailbox;

impl MailboxInterface for NotingMailbox {
	fn push(channel: Channel, message: &Message) -> Result<u64, PushError> {
		let left = PushesLeft::get().checked_sub(1).ok_or(PushError::BlockFull)?;
		PushesLeft::set(left);
		Told::mutate(|told| told.push((channel, message.clone())));
		Ok(0)
	}

	fn head(_: Channel) -> ChannelHead {
		ChannelHead::default()
	}

	fn open_inbound(worker: WorkerId, boot: BootNumber) {
		Inbound::mutate(|inbound| {
			inbound.retain(|(other, _)| *other != worker);
			inbound.push((worker, boot));
		});
	}

	fn close_inbound(worker: WorkerId) {
		Inbound::mutate(|inbound| inbound.retain(|(other, _)| *other != worker));
	}
}

frame_support::ord_parameter_types! {
	/// May delist, and nothing else.
	pub const Delisters: AccountId32 = DELISTER;
}

pub const STAKE: Balance = 100;
pub const MINIMUM: Balance = 90;
pub const NO_FUNDS: DispatchError = DispatchError::Other("no funds");
pub const LIFETIME: u32 = 300;
pub const HEARTBEAT_GAP: u32 = 10;

impl pallet_registry::Config for Runtime {
	type Bonding = MockBonding;
	type Assignments = MockRequests;
	type Mailbox = NotingMailbox;
	type WorkerHooks = NotingHooks;
	type AdminOrigin = frame_system::EnsureRoot<AccountId32>;
	type DelistOrigin = EitherOfDiverse<Self::AdminOrigin, EnsureSignedBy<Delisters, AccountId32>>;
	type EvidenceLifetime = ConstU32<LIFETIME>;
	type HeartbeatGap = ConstU32<HEARTBEAT_GAP>;
	type ProbeToll = NotingToll;
	type News = ();
	type WeightInfo = crate::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = MockBonding;
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::benchmarking::BenchmarkHelper<AccountId32> for MockBonding {
	fn fund(_: &AccountId32) {}

	fn serve(_: WorkerId, _: &AccountId32, _: u32) {}

	fn have_master_key() {}
}

pub const ALICE: AccountId32 = AccountId32::new([1; 32]);
pub const BOB: AccountId32 = AccountId32::new([2; 32]);
pub const DELISTER: AccountId32 = AccountId32::new([9; 32]);
pub const PAUPER: AccountId32 = AccountId32::new([7; 32]);
pub const GOOD_CODE: H256 = H256::repeat_byte(0xc0);
pub const BAD_CODE: H256 = H256::repeat_byte(0xbd);
/// On the list too: where operators move to.
pub const NEXT_CODE: H256 = H256::repeat_byte(0xce);

pub fn software_root() -> sr25519::Pair {
	sr25519::Pair::from_seed(&[0x50; 32])
}

/// What an enclave reports; each test bends one part of it.
#[derive(Clone)]
pub struct Report {
	pub worker: WorkerId,
	pub operator: AccountId32,
	pub keys: BootKeys,
	pub platform: H256,
	pub measurement: H256,
	pub block: u32,
	pub debug: bool,
	pub signer: sr25519::Pair,
}

pub fn keys(n: u8) -> BootKeys {
	BootKeys { identity: [n; 32], encryption: [n + 100; 32] }
}

impl Report {
	pub fn honest(worker: WorkerId, n: u8) -> Self {
		Self {
			worker,
			operator: ALICE,
			keys: keys(n),
			platform: H256::repeat_byte(worker as u8 + 1),
			measurement: GOOD_CODE,
			block: System::block_number() as u32 - 1,
			debug: false,
			signer: software_root(),
		}
	}

	pub fn evidence(&self) -> Vec<u8> {
		let report = SoftwareReport {
			measurement: self.measurement,
			platform: self.platform,
			report_data: BootStatement::new(
				System::block_hash(0),
				self.worker,
				self.operator.clone().into(),
				self.keys,
				System::block_hash(u64::from(self.block)),
			)
			.report_data(),
			debug: self.debug,
		};
		let signature = self.signer.sign(&SoftwareReportContent::new(&report).encode()).0;
		Evidence::Software(SoftwareEvidence { report, signature }).encode()
	}
}

/// As the chain moves on: every block has a hash.
pub fn go_to_block(n: u64) {
	for number in 0..n {
		frame_system::BlockHash::<Runtime>::insert(number, H256::from_low_u64_be(number + 1));
	}
	System::set_block_number(n);
}

pub fn new_test_ext() -> sp_io::TestExternalities {
	let storage = RuntimeGenesisConfig {
		system: Default::default(),
		registry: crate::GenesisConfig {
			software_root: Some(software_root().public().0),
			measurements: vec![GOOD_CODE, NEXT_CODE],
			..Default::default()
		},
	}
	.build_storage()
	.unwrap();
	let mut ext = sp_io::TestExternalities::from(storage);
	// Benchmarks sign with keys that the node holds.
	ext.register_extension(sp_keystore::KeystoreExt::new(
		sp_keystore::testing::MemoryKeystore::new(),
	));
	ext.execute_with(|| {
		Told::set(Vec::new());
		Inbound::set(Vec::new());
		PushesLeft::set(usize::MAX);
		OpenRequests::set(BTreeMap::new());
		InUse::set(Vec::new());
		EvictedWorkers::set(Vec::new());
		HooksAreRefused::set(false);
		LastEvictedBy::set(None);
		Alone::set(Vec::new());
		go_to_block(10);
	});
	ext
}
