//! A runtime with clusters, real balances, a registry of workers that tests bend at will, and a
//! mailbox that writes down what it was told.

use crate as pallet_clusters;
use frame_support::{
	derive_impl, parameter_types,
	traits::ConstU64,
	weights::{Weight, WeightMeter},
};
use phala_protocol::{
	agents::{Access, AgentCode, AgentId, AgentRecord, AgentSnapshot, UpgradePolicy},
	boot::{Boot, BootKeys, BootNumber, WorkerId},
	caller::Caller,
	evidence::EvidenceKind,
	keys::{Epoch, KeyRequest},
	mailbox::{ByLane, Channel, ChannelHead, ClusterId, InboundNext},
	messages::Message,
	traits::{
		AgentSnapshots, BootDirectory, ClusterDirectory, EnvelopeLanes, EvictedBy, KeyRequests,
		LeaseHooks, MailboxInterface, PushError, WorkerDirectory, WorkerHooks,
	},
	AccountBytes, Balance, BlockNumber, H256,
};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage, DispatchError};
use std::collections::BTreeMap;

pub type Block = frame_system::mocking::MockBlock<Runtime>;

frame_support::construct_runtime!(
	pub enum Runtime {
		System: frame_system,
		Balances: pallet_balances,
		Clusters: pallet_clusters,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Runtime {
	type Block = Block;
	type AccountId = AccountId32;
	type Lookup = IdentityLookup<AccountId32>;
	type AccountData = pallet_balances::AccountData<u64>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Runtime {
	type AccountStore = System;
	type RuntimeHoldReason = RuntimeHoldReason;
}

/// A worker as the registry would know it.
#[derive(Clone)]
pub struct MockWorker {
	pub operator: AccountId32,
	pub boot: Option<Boot>,
	pub in_force: bool,
	pub last_sign: BlockNumber,
}

parameter_types! {
	pub static Told: Vec<(Channel, Message)> = Vec::new();
	/// How many further messages the mailbox takes.
	pub static PushesLeft: usize = usize::MAX;
	/// Whether users' messages have filled what the mailbox does not keep for the vital.
	pub static Flooded: bool = false;
	/// How many accounts each agent's list of callers has.
	pub static Callers: u32 = 0;
	/// What of each block is for upkeep.
	pub static ForUpkeep: Weight = Weight::MAX;
	/// The agents whose lease ended, in that order.
	pub static EndedLeases: Vec<AgentId> = Vec::new();
	pub static Workers: BTreeMap<WorkerId, MockWorker> = BTreeMap::new();
	pub static Admitted: Vec<KeyRequest> = Vec::new();
	pub static Withdrawn: Vec<(WorkerId, ClusterId)> = Vec::new();
	pub static ActiveEpoch: Option<Epoch> = Some(1);
	/// How many envelopes of each worker's boot the chain took.
	pub static Envelopes: BTreeMap<WorkerId, u64> = BTreeMap::new();
	/// Workers whose code is not allowed any more.
	pub static Delisted: Vec<WorkerId> = Vec::new();
	static Seen: usize = 0;
}

pub struct NotingMailbox;

impl MailboxInterface for NotingMailbox {
	fn push(channel: Channel, message: &Message) -> Result<u64, PushError> {
		if Flooded::get() && !message.is_vital() {
			return Err(PushError::BlockFull);
		}
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

impl EnvelopeLanes for NotingMailbox {
	fn next_envelope(worker: WorkerId) -> Option<InboundNext> {
		let boot = MockRegistry::current_boot(worker)?.number;
		let rest = Envelopes::get().get(&worker).copied().unwrap_or(0);
		Some(InboundNext { boot, seqs: ByLane { rest, ..Default::default() } })
	}

	fn was_full_throughout(_: WorkerId, _: BlockNumber, _: BlockNumber) -> bool {
		false
	}
}

/// An envelope of the worker's boot is accepted, whatever it says.
pub fn envelope(worker: WorkerId) {
	Envelopes::mutate(|envelopes| *envelopes.entry(worker).or_default() += 1);
}

pub struct MockRegistry;

impl BootDirectory for MockRegistry {
	fn current_boot(worker: WorkerId) -> Option<Boot> {
		Workers::get().get(&worker)?.boot.clone()
	}

	fn is_in_force(_: WorkerId, boot: &Boot) -> bool {
		Workers::get().values().any(|worker| worker.boot.as_ref() == Some(boot) && worker.in_force)
	}
}

impl WorkerDirectory for MockRegistry {
	fn operator(worker: WorkerId) -> Option<AccountBytes> {
		Workers::get().get(&worker).map(|worker| worker.operator.clone().into())
	}

	fn last_sign_of_life(worker: WorkerId) -> Option<BlockNumber> {
		Workers::get().get(&worker).map(|worker| worker.last_sign)
	}

	fn is_delisted(worker: WorkerId) -> bool {
		Delisted::get().contains(&worker)
	}

	fn penalise(_: WorkerId, _: Balance) -> Balance {
		0
	}
}

pub struct NotingGatekeepers;

impl KeyRequests for NotingGatekeepers {
	type Error = DispatchError;

	fn active_epoch() -> Option<Epoch> {
		ActiveEpoch::get()
	}

	fn admit(request: KeyRequest) -> Result<(), DispatchError> {
		Admitted::mutate(|admitted| admitted.push(request));
		Ok(())
	}

	fn withdraw(worker: WorkerId, cluster: ClusterId) {
		Withdrawn::mutate(|withdrawn| withdrawn.push((worker, cluster)));
	}
}

/// Notes whose lease ended.
pub struct NotingRequests;

impl LeaseHooks for NotingRequests {
	fn on_lease_ended(agent: AgentId) {
		EndedLeases::mutate(|ended| ended.push(agent));
	}
}

pub struct PlacedAgents;

impl AgentSnapshots for PlacedAgents {
	fn snapshot(agent: AgentId) -> Option<AgentSnapshot> {
		let record = AgentRecord {
			owner: [1; 32],
			cluster: pallet_clusters::AgentCluster::<Runtime>::get(agent)?,
			code: AgentCode { component: H256::zero(), manifest: H256::zero() },
			code_version: 1,
			upgrades: UpgradePolicy::Free,
			access: Access::Public,
			unit_price: 1,
			timeout: 10,
			key: None,
			version: 0,
			state_hash: H256::zero(),
		};
		Some(AgentSnapshot {
			agent,
			record,
			callers: vec![Caller::Account([7; 32]); Callers::get() as usize],
			lease: Clusters::lease(agent),
			planned: None,
		})
	}
}

pub const DEPOSIT: u64 = 100;
pub const FUNDS: u64 = 1000;

impl crate::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Mailbox = NotingMailbox;
	type Lanes = NotingMailbox;
	type Workers = MockRegistry;
	type Keys = NotingGatekeepers;
	type Agents = PlacedAgents;
	type LeaseHooks = NotingRequests;
	type ClusterDeposit = ConstU64<DEPOSIT>;
	type News = ();
	type WeightInfo = crate::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = MockRegistry;
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::benchmarking::BenchmarkHelper<AccountId32> for MockRegistry {
	fn boot_worker(worker: WorkerId, operator: AccountId32) {
		put_worker(worker, operator, 1);
	}

	fn crowd(_: ClusterId, _: WorkerId, _: &[AgentId]) {}
}

/// Owns the cluster.
pub const ALICE: AccountId32 = AccountId32::new([1; 32]);
/// Runs the workers.
pub const BOB: AccountId32 = AccountId32::new([2; 32]);
/// Has no business here.
pub const EVE: AccountId32 = AccountId32::new([3; 32]);

pub fn identity(worker: WorkerId, number: BootNumber) -> [u8; 32] {
	[(worker * 4 + number) as u8; 32]
}

fn put_worker(worker: WorkerId, operator: AccountId32, number: BootNumber) -> Boot {
	let now = System::block_number() as u32;
	let boot = Boot {
		number,
		keys: BootKeys { identity: identity(worker, number), encryption: [9; 32] },
		evidence: EvidenceKind::Software,
		measurement: H256::from_low_u64_be(worker.into()),
		registered_at: now,
		expires_at: u32::MAX,
	};
	Workers::mutate(|workers| {
		workers.insert(
			worker,
			MockWorker { operator, boot: Some(boot.clone()), in_force: true, last_sign: now },
		)
	});
	boot
}

/// As `register_boot` does it.
pub fn register(worker: WorkerId, number: BootNumber) {
	let boot = put_worker(worker, BOB, number);
	Clusters::on_boot(worker, &boot).unwrap();
}

pub fn bend(worker: WorkerId, change: impl FnOnce(&mut MockWorker)) {
	Workers::mutate(|workers| change(workers.get_mut(&worker).unwrap()));
}

pub fn suspend(worker: WorkerId) {
	bend(worker, |worker| worker.in_force = false);
}

pub fn heartbeat(worker: WorkerId) {
	let now = System::block_number() as u32;
	bend(worker, |worker| worker.last_sign = now);
}

/// As `evict` does it.
pub fn evict(worker: WorkerId, by: EvictedBy) {
	bend(worker, |worker| worker.boot = None);
	Clusters::on_evicted(worker, by).unwrap();
}

pub fn go_to_block(n: u64) {
	while System::block_number() < n {
		System::set_block_number(System::block_number() + 1);
		let mut meter = WeightMeter::with_limit(ForUpkeep::get());
		Clusters::end_gaps(&mut meter);
		Clusters::work_off_sweeps(&mut meter);
	}
}

/// The end of a block that has weight left.
pub fn end_block() {
	Clusters::work_off_sweeps(&mut WeightMeter::new());
}

/// What was told since the last look.
pub fn pushed() -> Vec<(Channel, Message)> {
	let seen = Seen::get();
	Seen::set(Told::get().len());
	Told::get().split_off(seen)
}

pub fn new_test_ext() -> sp_io::TestExternalities {
	let storage = RuntimeGenesisConfig {
		system: Default::default(),
		balances: pallet_balances::GenesisConfig {
			balances: vec![(ALICE, FUNDS), (BOB, FUNDS), (EVE, FUNDS)],
			..Default::default()
		},
	}
	.build_storage()
	.unwrap();
	let mut ext = sp_io::TestExternalities::from(storage);
	ext.execute_with(|| {
		Told::set(Vec::new());
		Seen::set(0);
		PushesLeft::set(usize::MAX);
		Flooded::set(false);
		Callers::set(0);
		ForUpkeep::set(Weight::MAX);
		EndedLeases::set(Vec::new());
		Workers::set(BTreeMap::new());
		Delisted::set(Vec::new());
		Envelopes::set(BTreeMap::new());
		Admitted::set(Vec::new());
		Withdrawn::set(Vec::new());
		ActiveEpoch::set(Some(1));
		System::set_block_number(10);
		for worker in 1..=4 {
			register(worker, 1);
		}
	});
	ext
}
