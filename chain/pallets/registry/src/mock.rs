//! A runtime with the registry, real balances and a mailbox that writes down what it was told.

use crate as pallet_registry;
use codec::Encode;
use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU32, ConstU64},
};
use phala_protocol::{
	boot::{BootKeys, BootNumber, BootStatement, WorkerId},
	evidence::{Evidence, SoftwareEvidence, SoftwareReport, SoftwareReportContent},
	mailbox::{Channel, ChannelHead},
	messages::Message,
	traits::{MailboxInterface, PushError},
	H256,
};
use sp_core::{sr25519, Pair};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage};

pub type Block = frame_system::mocking::MockBlock<Runtime>;

frame_support::construct_runtime!(
	pub enum Runtime {
		System: frame_system,
		Balances: pallet_balances,
		Registry: pallet_registry,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Runtime {
	type Block = Block;
	type AccountId = AccountId32;
	type Lookup = IdentityLookup<AccountId32>;
	type AccountData = pallet_balances::AccountData<u64>;
	type BlockHashCount = ConstU64<4096>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Runtime {
	type AccountStore = System;
	type RuntimeHoldReason = RuntimeHoldReason;
}

parameter_types! {
	pub static Told: Vec<(Channel, Message)> = Vec::new();
	pub static Inbound: Vec<(WorkerId, BootNumber)> = Vec::new();
}

pub struct NotingMailbox;

impl MailboxInterface for NotingMailbox {
	fn push(channel: Channel, message: &Message) -> Result<u64, PushError> {
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

pub const STAKE: u64 = 100;
pub const LIFETIME: u32 = 300;
pub const HEARTBEAT_GAP: u32 = 10;

impl pallet_registry::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Penalties = ();
	type Mailbox = NotingMailbox;
	type WorkerHooks = ();
	type AdminOrigin = frame_system::EnsureRoot<AccountId32>;
	type DelistOrigin = Self::AdminOrigin;
	type WorkerStake = ConstU64<STAKE>;
	type EvidenceLifetime = ConstU32<LIFETIME>;
	type HeartbeatGap = ConstU32<HEARTBEAT_GAP>;
	type WeightInfo = crate::ConservativeWeights<Runtime>;
}

pub const ALICE: AccountId32 = AccountId32::new([1; 32]);
pub const BOB: AccountId32 = AccountId32::new([2; 32]);
pub const GOOD_CODE: H256 = H256::repeat_byte(0xc0);
pub const BAD_CODE: H256 = H256::repeat_byte(0xbd);

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
		balances: pallet_balances::GenesisConfig {
			balances: vec![(ALICE, 1000), (BOB, 1000)],
			..Default::default()
		},
		registry: crate::GenesisConfig {
			software_root: Some(software_root().public().0),
			measurements: vec![GOOD_CODE],
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
		go_to_block(10);
	});
	ext
}
