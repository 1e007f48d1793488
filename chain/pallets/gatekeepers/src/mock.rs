//! A runtime with the gatekeepers, a registry of workers that tests bend at will, and a mailbox that
//! writes down what it was told.

use crate as pallet_gatekeepers;
use frame_support::{
	derive_impl, parameter_types,
	traits::Hooks,
	weights::{Weight, WeightMeter},
};
use phala_protocol::{
	bonding::BondId,
	boot::{Boot, BootKeys, BootNumber, WorkerId},
	evidence::EvidenceKind,
	mailbox::{Channel, ChannelHead},
	messages::Message,
	traits::{
		Bonding, BootDirectory, EvictedBy, MailboxInterface, PushError, WorkerDirectory,
		WorkerHooks,
	},
	AccountBytes, Balance, BlockNumber, H256,
};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage, DispatchError};
use std::collections::BTreeMap;

pub type Block = frame_system::mocking::MockBlock<Runtime>;

frame_support::construct_runtime!(
	pub enum Runtime {
		System: frame_system,
		Gatekeepers: pallet_gatekeepers,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Runtime {
	type Block = Block;
	type AccountId = AccountId32;
	type Lookup = IdentityLookup<AccountId32>;
}

/// A worker as the registry would know it.
#[derive(Clone)]
pub struct MockWorker {
	pub operator: AccountId32,
	pub boot: Option<Boot>,
	pub in_force: bool,
}

parameter_types! {
	pub static Told: Vec<(Channel, Message)> = Vec::new();
	/// How many further messages the mailbox takes.
	pub static PushesLeft: usize = usize::MAX;
	/// What of each block is for upkeep.
	pub static ForUpkeep: Weight = Weight::MAX;
	pub static Workers: BTreeMap<WorkerId, MockWorker> = BTreeMap::new();
	/// Bonds: whose, and whether they suffice.
	pub static Bonds: BTreeMap<BondId, (AccountBytes, bool)> = BTreeMap::new();
}

pub struct NotingMailbox;

impl MailboxInterface for NotingMailbox {
	fn push(channel: Channel, message: &Message) -> Result<u64, PushError> {
		let left = PushesLeft::get().checked_sub(1).ok_or(PushError::BlockFull)?;
		PushesLeft::set(left);
		let seq = Self::head(channel).next_seq;
		Told::mutate(|told| told.push((channel, message.clone())));
		Ok(seq)
	}

	fn head(channel: Channel) -> ChannelHead {
		let next_seq = Told::get().iter().filter(|(other, _)| *other == channel).count() as u64;
		ChannelHead { next_seq, hash: H256::from_low_u64_be(next_seq) }
	}

	fn open_inbound(_: WorkerId, _: BootNumber) {}

	fn close_inbound(_: WorkerId) {}
}

pub struct MockRegistry;

impl BootDirectory for MockRegistry {
	fn current_boot(worker: WorkerId) -> Option<Boot> {
		Workers::get().get(&worker)?.boot.clone()
	}

	fn is_in_force(worker: WorkerId, boot: &Boot) -> bool {
		let workers = Workers::get();
		workers
			.get(&worker)
			.is_some_and(|worker| worker.boot.as_ref() == Some(boot) && worker.in_force)
	}
}

impl WorkerDirectory for MockRegistry {
	fn operator(worker: WorkerId) -> Option<AccountBytes> {
		Workers::get().get(&worker).map(|worker| worker.operator.clone().into())
	}

	fn last_sign_of_life(_: WorkerId) -> Option<BlockNumber> {
		None
	}

	fn penalise(_: WorkerId, _: Balance) -> Balance {
		0
	}
}

/// Takes bonds of everybody but Bob, who has nothing.
pub struct MockBonding;

pub const NO_FUNDS: DispatchError = DispatchError::Other("no funds");

impl Bonding for MockBonding {
	type Error = DispatchError;

	fn open(bond: BondId, account: &AccountBytes) -> Result<(), DispatchError> {
		if *account == <[u8; 32]>::from(BOB) {
			return Err(NO_FUNDS);
		}
		Bonds::mutate(|bonds| bonds.insert(bond, (*account, true)));
		Ok(())
	}

	fn close(bond: BondId) {
		Bonds::mutate(|bonds| bonds.remove(&bond));
	}

	fn transfer(_: BondId, _: &AccountBytes) -> Result<(), DispatchError> {
		Err(DispatchError::Unavailable)
	}

	fn is_sufficient(bond: BondId) -> bool {
		Bonds::get().get(&bond).is_some_and(|(_, sufficient)| *sufficient)
	}

	fn is_exhausted(_: BondId) -> bool {
		false
	}

	fn at_stake(_: BondId) -> Balance {
		0
	}

	fn slash(_: BondId, _: Balance) -> Balance {
		0
	}
}

impl crate::Config for Runtime {
	type Mailbox = NotingMailbox;
	type Boots = MockRegistry;
	type Bonding = MockBonding;
	type AdminOrigin = frame_system::EnsureRoot<AccountId32>;
	type WeightInfo = crate::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = MockRegistry;
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::benchmarking::BenchmarkHelper<AccountId32> for MockRegistry {
	fn boot_worker(worker: WorkerId, operator: AccountId32) {
		Workers::mutate(|workers| {
			workers.insert(
				worker,
				MockWorker { operator, boot: Some(boot(worker, 1)), in_force: true },
			)
		});
	}
}

pub const ALICE: AccountId32 = AccountId32::new([1; 32]);
pub const BOB: AccountId32 = AccountId32::new([2; 32]);

pub fn boot(worker: WorkerId, number: BootNumber) -> Boot {
	let n = (worker * 16 + number) as u8;
	Boot {
		number,
		keys: BootKeys { identity: [n; 32], encryption: [n.wrapping_add(100); 32] },
		evidence: EvidenceKind::Software,
		measurement: H256::repeat_byte(7),
		registered_at: System::block_number() as u32,
		expires_at: u32::MAX,
	}
}

/// As `register_boot` does it.
pub fn register(worker: WorkerId, number: BootNumber) {
	let boot = boot(worker, number);
	Workers::mutate(|workers| {
		workers.insert(
			worker,
			MockWorker { operator: ALICE, boot: Some(boot.clone()), in_force: true },
		)
	});
	Gatekeepers::on_boot(worker, &boot).unwrap();
}

pub fn suspend(worker: WorkerId) {
	Workers::mutate(|workers| workers.get_mut(&worker).unwrap().in_force = false);
}

/// As `evict` does it.
pub fn evict(worker: WorkerId) {
	Workers::mutate(|workers| workers.get_mut(&worker).unwrap().boot = None);
	Gatekeepers::on_evicted(worker, EvictedBy::Others).unwrap();
}

pub fn go_to_block(n: u64) {
	while System::block_number() < n {
		System::set_block_number(System::block_number() + 1);
		Gatekeepers::on_initialize(System::block_number());
		Gatekeepers::resend_open_requests(&mut WeightMeter::with_limit(ForUpkeep::get()));
	}
}

/// What was told since the last look.
pub fn pushed() -> Vec<(Channel, Message)> {
	let seen = Seen::get();
	Seen::set(Told::get().len());
	Told::get().split_off(seen)
}

parameter_types! {
	static Seen: usize = 0;
}

pub fn new_test_ext() -> sp_io::TestExternalities {
	let storage = frame_system::GenesisConfig::<Runtime>::default().build_storage().unwrap();
	let mut ext = sp_io::TestExternalities::from(storage);
	ext.execute_with(|| {
		Told::set(Vec::new());
		Seen::set(0);
		PushesLeft::set(usize::MAX);
		ForUpkeep::set(Weight::MAX);
		Workers::set(BTreeMap::new());
		Bonds::set(BTreeMap::new());
		System::set_block_number(10);
		for worker in 0..3 {
			register(worker, 1);
		}
	});
	ext
}
