//! A runtime with the requests pallet and real balances. Agents, leases and workers are small
//! stand-ins that keep what they know in chain storage, so that a refused set undoes it.

use crate as pallet_requests;
use codec::{Decode, Encode};
use frame_support::{
	derive_impl, parameter_types,
	storage::unhashed,
	traits::{ConstU128, ConstU32},
	weights::{Weight, WeightMeter},
	PalletId,
};
use phala_protocol::{
	agents::{
		Access, AgentCode, AgentId, AgentKey, AgentRecord, Assignment, EffectSet, Excuse, Lease,
		Liability, UpgradePolicy,
	},
	boot::{Boot, BootNumber, WorkerId},
	clusters::Opening,
	mailbox::{Channel, ChannelHead, ClusterId, InboundNext},
	messages::{EnvelopeOrigin, Message},
	traits::{
		AgentDirectory, BootDirectory, ClusterDirectory, EnvelopeLanes, LeaseHooks,
		MailboxInterface, PushError, WorkerDirectory,
	},
	AccountBytes, Balance, BlockNumber, H256,
};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage, DispatchError, Permill};

pub type Block = frame_system::mocking::MockBlock<Runtime>;

frame_support::construct_runtime!(
	pub enum Runtime {
		System: frame_system,
		Balances: pallet_balances,
		Requests: pallet_requests,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Runtime {
	type Block = Block;
	type AccountId = AccountId32;
	type Lookup = IdentityLookup<AccountId32>;
	type AccountData = pallet_balances::AccountData<Balance>;
}

pub const EXISTENTIAL_DEPOSIT: Balance = 10;

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Runtime {
	type AccountStore = System;
	type Balance = Balance;
	type ExistentialDeposit = ConstU128<EXISTENTIAL_DEPOSIT>;
}

parameter_types! {
	pub static Told: Vec<(Channel, Message)> = Vec::new();
	pub static MailboxIsFull: bool = false;
	pub NewsByte: Weight = Weight::from_parts(1_000_000, 0);
	/// What of each block is for upkeep.
	pub static ForUpkeep: Weight = Weight::MAX;
	/// Who was reported for a missed deadline.
	pub static Missed: Vec<(AgentId, Lease)> = Vec::new();
	/// Who was relieved of a lease without blame.
	pub static Relieved: Vec<(AgentId, Lease)> = Vec::new();
	/// The last block that had no room for an envelope.
	/// In which blocks there was no room for a commit.
	pub static FullIn: Vec<BlockNumber> = Vec::new();
	/// The newest block that a member said is final.
	pub static FinalSeen: BlockNumber = BlockNumber::MAX;
	/// Counts the leases: one that ends makes the next one.
	pub static LeaseNumber: u32 = 1;
	/// The cluster refuses to move leases, after having written something that must be undone.
	pub static ClusterRefuses: bool = false;
	pub const Treasury: AccountId32 = TREASURY;
	pub const EscrowPot: PalletId = PalletId(*b"ph/escrw");
	pub const WorkerShare: Permill = crate::WORKER_SHARE;
	pub const DeveloperShare: Permill = crate::DEVELOPER_SHARE;
}

pub struct NotingMailbox;

impl MailboxInterface for NotingMailbox {
	fn push(channel: Channel, message: &Message) -> Result<u64, PushError> {
		if MailboxIsFull::get() {
			return Err(PushError::BlockFull);
		}
		Told::mutate(|told| told.push((channel, message.clone())));
		Ok(0)
	}

	fn head(_: Channel) -> ChannelHead {
		ChannelHead::default()
	}

	fn open_inbound(_: WorkerId, _: BootNumber) {}

	fn close_inbound(_: WorkerId) {}
}

pub const STALE_BASE: DispatchError = DispatchError::Other("stale base");
pub const LEASE_STAYS: DispatchError = DispatchError::Unavailable;

fn get<V: Decode>(what: &str, key: impl Encode) -> Option<V> {
	unhashed::get(&(what, key).encode())
}

fn put(what: &str, key: impl Encode, value: impl Encode) {
	unhashed::put(&(what, key).encode(), &value);
}

/// Agents, their leases, the workers: all that the pallet asks others about.
pub struct Network;

impl Network {
	/// [`HOLDER`] has the leases of two agents that are born.
	pub fn set_up() {
		for agent in [AGENT, OTHER_AGENT] {
			Self::set_record(agent, born_agent());
			Self::set_lease(agent, Some(Lease { worker: HOLDER.worker, boot: HOLDER.boot }));
		}
		Self::set_operator(HOLDER.worker, Some(OPERATOR));
		Self::set_stake(HOLDER.worker, STAKE);
	}

	pub fn set_record(agent: AgentId, record: AgentRecord) {
		put("agent", agent, record);
	}

	pub fn allow(agent: AgentId, account: AccountId32) {
		put("caller", (agent, AccountBytes::from(account)), ());
	}

	pub fn set_lease(agent: AgentId, lease: Option<Lease>) {
		put("lease", agent, lease);
	}

	/// Who has the lease is found not to answer when the next request comes: this one gets it.
	pub fn set_heir(agent: AgentId, heir: Lease) {
		put("heir", agent, heir);
	}

	/// Another has the lease from now on, or nobody.
	pub fn move_lease(agent: AgentId, lease: Option<Lease>) {
		Self::set_lease(agent, lease);
		LeaseNumber::mutate(|number| *number += 1);
		<Requests as LeaseHooks>::on_lease_ended(agent);
	}

	/// The holder starts anew: it gives up the leases of both agents, and has them again.
	pub fn boot_anew(boot: BootNumber) {
		let number = LeaseNumber::get();
		for agent in [AGENT, OTHER_AGENT] {
			put("own act", (agent, number), ());
			Self::move_lease(agent, Some(Lease { worker: HOLDER.worker, boot }));
		}
	}

	pub fn set_excuse(agent: AgentId, excuse: Excuse) {
		put("excuse", agent, Some(excuse));
	}

	pub fn set_operator(worker: WorkerId, operator: Option<AccountId32>) {
		put("operator", worker, operator.map(AccountBytes::from));
	}

	pub fn set_stake(worker: WorkerId, stake: Balance) {
		put("stake", worker, stake);
	}

	pub fn stake(worker: WorkerId) -> Balance {
		get("stake", worker).unwrap_or(0)
	}
}

impl AgentDirectory for Network {
	type Error = DispatchError;

	fn record(agent: AgentId) -> Option<AgentRecord> {
		get("agent", agent)
	}

	fn may_call(agent: AgentId, account: &AccountBytes) -> bool {
		Self::record(agent).is_some_and(|record| {
			record.access == Access::Public
				|| record.owner == *account
				|| get::<()>("caller", (agent, account)).is_some()
		})
	}

	fn commit(_: EnvelopeOrigin, set: &EffectSet) -> Result<AgentRecord, DispatchError> {
		let mut record = Self::record(set.agent).ok_or(DispatchError::CannotLookup)?;
		if record.version != set.base_version {
			return Err(STALE_BASE);
		}
		record.version += 1;
		Self::set_record(set.agent, record.clone());
		Ok(record)
	}
}

impl ClusterDirectory for Network {
	type Error = DispatchError;

	fn terms(_: ClusterId, _: &AccountBytes) -> Result<Opening, DispatchError> {
		Err(DispatchError::Unavailable)
	}

	fn owner(_: ClusterId) -> Option<AccountBytes> {
		None
	}

	fn remove_agent(_: AgentId) {}

	fn place_agent(_: ClusterId, _: AgentId, _: &AccountBytes) -> Result<Lease, DispatchError> {
		Err(DispatchError::Unavailable)
	}

	fn lease(agent: AgentId) -> Option<Lease> {
		get::<Option<Lease>>("lease", agent).flatten()
	}

	fn counted(_: ClusterId) -> Vec<(WorkerId, Boot)> {
		Vec::new()
	}

	fn assign(agent: AgentId) -> Result<Option<Assignment>, DispatchError> {
		if let Some(heir) = get::<Lease>("heir", agent) {
			put("lease", agent, Some(heir));
		}
		Ok(Self::lease(agent).map(|lease| Assignment {
			lease,
			number: LeaseNumber::get(),
			generation: 1,
		}))
	}

	fn is_held(agent: AgentId, assigned: &Assignment) -> bool {
		Self::lease(agent) == Some(assigned.lease) && assigned.number == LeaseNumber::get()
	}

	fn is_witnessed(_: ClusterId, _: WorkerId, since: BlockNumber) -> bool {
		FinalSeen::get() >= since
	}

	fn liability(agent: AgentId, assigned: &Assignment) -> Result<Liability, Excuse> {
		if let Some(excuse) = get::<Option<Excuse>>("excuse", agent).flatten() {
			return Err(excuse);
		}
		if get::<()>("own act", (agent, assigned.number)).is_some() {
			return Ok(Liability::OwnAct);
		}
		Ok(Liability::Lease { paid: get("paid", (agent, assigned.number)) })
	}

	fn note_penalty(agent: AgentId, assigned: &Assignment, paid: Balance) {
		put("paid", (agent, assigned.number), paid);
	}

	fn on_missed_deadline(agent: AgentId, assigned: &Assignment) -> Result<(), DispatchError> {
		put("written by the cluster", agent, *assigned);
		if ClusterRefuses::get() {
			return Err(LEASE_STAYS);
		}
		Missed::mutate(|missed| missed.push((agent, assigned.lease)));
		Ok(())
	}

	fn relieve(agent: AgentId, assigned: &Assignment) -> Result<(), DispatchError> {
		Relieved::mutate(|relieved| relieved.push((agent, assigned.lease)));
		Ok(())
	}
}

impl EnvelopeLanes for Network {
	fn next_envelope(_: WorkerId) -> Option<InboundNext> {
		None
	}

	fn was_full_throughout(_: WorkerId, from: BlockNumber, to: BlockNumber) -> bool {
		(from..=to).all(|block| FullIn::get().contains(&block))
	}
}

impl BootDirectory for Network {
	fn current_boot(_: WorkerId) -> Option<Boot> {
		None
	}

	fn is_in_force(_: WorkerId, _: &Boot) -> bool {
		true
	}
}

impl WorkerDirectory for Network {
	fn operator(worker: WorkerId) -> Option<AccountBytes> {
		get::<Option<AccountBytes>>("operator", worker).flatten()
	}

	fn last_sign_of_life(_: WorkerId) -> Option<BlockNumber> {
		None
	}

	fn penalise(worker: WorkerId, amount: Balance) -> Balance {
		let taken = Self::stake(worker).min(amount);
		Self::set_stake(worker, Self::stake(worker) - taken);
		taken
	}
}

pub const BASE_FEE: Balance = 20;
pub const PENALTY: Balance = 70;
pub const RETENTION: BlockNumber = 50;

impl pallet_requests::Config for Runtime {
	type Currency = Balances;
	type PalletId = EscrowPot;
	type Mailbox = NotingMailbox;
	type Lanes = Network;
	type Agents = Network;
	type NewsByte = NewsByte;
	type Clusters = Network;
	type Workers = Network;
	type Treasury = Treasury;
	type BaseFee = ConstU128<BASE_FEE>;
	type WorkerShare = WorkerShare;
	type DeveloperShare = DeveloperShare;
	type MissedDeadlinePenalty = ConstU128<PENALTY>;
	type ResponseRetention = ConstU32<RETENTION>;
	type WeightInfo = crate::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = Network;
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper<AccountId32> for Network {
	fn born_agent(_: u32, _: u32, _: &AccountId32) -> AgentId {
		// Benchmarks start from genesis storage.
		Self::set_up();
		AGENT
	}

	fn silence_holder(_: AgentId) {}

	fn drain_stake(_: AgentId) {}
}

/// Calls.
pub const ALICE: AccountId32 = AccountId32::new([1; 32]);
/// Calls too.
pub const BOB: AccountId32 = AccountId32::new([2; 32]);
/// Wrote the agents.
pub const DEVELOPER: AccountId32 = AccountId32::new([3; 32]);
/// Runs [`HOLDER`]'s worker.
pub const OPERATOR: AccountId32 = AccountId32::new([4; 32]);
pub const TREASURY: AccountId32 = AccountId32::new([5; 32]);

pub const AGENT: AgentId = H256::repeat_byte(0xa1);
pub const OTHER_AGENT: AgentId = H256::repeat_byte(0xa2);
pub const CLUSTER: ClusterId = 7;
/// Has the leases of both agents.
pub const HOLDER: EnvelopeOrigin = EnvelopeOrigin { worker: 3, boot: 2 };
pub const UNIT_PRICE: Balance = 100;
pub const TIMEOUT: BlockNumber = 5;
pub const GENESIS: H256 = H256::repeat_byte(0x9e);
pub const STAKE: Balance = 1_000;
pub const ENDOWMENT: Balance = 1_000_000;

pub fn born_agent() -> AgentRecord {
	AgentRecord {
		owner: DEVELOPER.into(),
		cluster: CLUSTER,
		code: AgentCode { component: H256::zero(), manifest: H256::zero() },
		code_version: 1,
		upgrades: UpgradePolicy::Free,
		access: Access::Public,
		unit_price: UNIT_PRICE,
		timeout: TIMEOUT,
		key: Some(AgentKey { version: 1, key: [9; 32] }),
		version: 1,
		state_hash: H256::zero(),
	}
}

pub fn go_to_block(n: u64) {
	while System::block_number() < n {
		System::set_block_number(System::block_number() + 1);
		let mut meter = WeightMeter::with_limit(ForUpkeep::get());
		Requests::meet_deadlines(&mut meter);
		Requests::refund_moved(&mut meter);
		Requests::move_leases(&mut meter);
		Requests::prune(&mut meter);
	}
}

/// Alice, Bob, the developer, the operator and the treasury are rich.
pub fn new_test_ext() -> sp_io::TestExternalities {
	let rich = [ALICE, BOB, DEVELOPER, OPERATOR, TREASURY];
	new_test_ext_with(rich.map(|who| (who, ENDOWMENT)).to_vec())
}

pub fn new_test_ext_with(mut balances: Vec<(AccountId32, Balance)>) -> sp_io::TestExternalities {
	balances.push((Requests::escrow(), EXISTENTIAL_DEPOSIT));
	let storage = RuntimeGenesisConfig {
		system: Default::default(),
		balances: pallet_balances::GenesisConfig { balances, ..Default::default() },
	}
	.build_storage()
	.unwrap();
	let mut ext = sp_io::TestExternalities::from(storage);
	ext.execute_with(|| {
		frame_system::BlockHash::<Runtime>::insert(0, GENESIS);
		System::set_block_number(1);
		Told::set(Vec::new());
		Missed::set(Vec::new());
		Relieved::set(Vec::new());
		LeaseNumber::set(1);
		FullIn::set(Vec::new());
		FinalSeen::set(BlockNumber::MAX);
		MailboxIsFull::set(false);
		ForUpkeep::set(Weight::MAX);
		ClusterRefuses::set(false);
		Network::set_up();
	});
	ext
}
