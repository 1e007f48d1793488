//! A runtime with the agents pallet, real balances, a mailbox that writes down what it was told
//! and one cluster whose members and leases each test sets.

use crate as pallet_agents;
use codec::Encode;
use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU32, ConstU64},
	weights::{Weight, WeightMeter},
};
use phala_protocol::{
	agents::{
		AgentCode, AgentId, AgentKey, Assignment, Availability, AvailabilityContent, EffectSet,
		Excuse, Lease, Liability, StateVersion,
	},
	boot::{Boot, BootKeys, BootNumber, WorkerId},
	clusters::Opening,
	evidence::EvidenceKind,
	mailbox::{Channel, ChannelHead, ClusterId},
	messages::{EnvelopeOrigin, Message},
	traits::{ClusterDirectory, MailboxInterface, PushError},
	AccountBytes, Balance, BlockNumber, H256,
};
use sp_core::{sr25519, Pair};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage, DispatchError};

pub type Block = frame_system::mocking::MockBlock<Runtime>;

frame_support::construct_runtime!(
	pub enum Runtime {
		System: frame_system,
		Balances: pallet_balances,
		Agents: pallet_agents,
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

parameter_types! {
	pub static Told: Vec<(Channel, Message)> = Vec::new();
	/// How many more messages the mailbox takes.
	pub static PushesLeft: u32 = u32::MAX;
	/// What of each block is for upkeep.
	pub static ForUpkeep: Weight = Weight::MAX;
	/// Members that count.
	pub static Counted: Vec<(WorkerId, Boot)> = Vec::new();
	/// Who writes every agent of [`CLUSTER`].
	pub static Holder: Option<Lease> = None;
	/// On which terms the cluster takes strangers' agents.
	pub static Terms: Option<Opening> = Some(Opening { price_floor: 0, deposit: 0 });
	/// Who lost a lease at no fault of its own, and who has it next.
	pub static Relieved: Vec<Lease> = Vec::new();
	pub static NextHolder: Option<Lease> = None;
	/// How many agents the cluster gave up.
	pub static Removed: u32 = 0;
}

pub struct NotingMailbox;

impl MailboxInterface for NotingMailbox {
	fn push(channel: Channel, message: &Message) -> Result<u64, PushError> {
		PushesLeft::set(PushesLeft::get().checked_sub(1).ok_or(PushError::BlockFull)?);
		Told::mutate(|told| told.push((channel, message.clone())));
		Ok(0)
	}

	fn head(_: Channel) -> ChannelHead {
		ChannelHead::default()
	}

	fn open_inbound(_: WorkerId, _: BootNumber) {}

	fn close_inbound(_: WorkerId) {}
}

/// The only cluster there is.
pub const CLUSTER: ClusterId = 7;
pub const CLOSED: DispatchError = DispatchError::Other("closed");
pub const NO_SUCH_CLUSTER: DispatchError = DispatchError::Other("no such cluster");

pub struct OneCluster;

impl ClusterDirectory for OneCluster {
	type Error = DispatchError;

	fn terms(cluster: ClusterId, developer: &AccountBytes) -> Result<Opening, DispatchError> {
		match (cluster == CLUSTER, *developer == AccountBytes::from(CLUSTER_OWNER)) {
			(true, true) => Ok(Opening::default()),
			(true, false) => Terms::get().ok_or(CLOSED),
			(false, _) => Err(NO_SUCH_CLUSTER),
		}
	}

	fn owner(cluster: ClusterId) -> Option<AccountBytes> {
		(cluster == CLUSTER).then(|| CLUSTER_OWNER.into())
	}

	fn remove_agent(_: AgentId) {
		Removed::mutate(|removed| *removed += 1);
	}

	fn place_agent(
		cluster: ClusterId,
		_: AgentId,
		_: &AccountBytes,
	) -> Result<Lease, DispatchError> {
		if cluster != CLUSTER {
			return Err(NO_SUCH_CLUSTER);
		}
		Holder::get().ok_or(DispatchError::Other("nobody counts"))
	}

	fn lease(_: AgentId) -> Option<Lease> {
		Holder::get()
	}

	fn counted(cluster: ClusterId) -> Vec<(WorkerId, Boot)> {
		if cluster == CLUSTER {
			Counted::get()
		} else {
			Vec::new()
		}
	}

	fn assign(_: AgentId) -> Result<Option<Assignment>, DispatchError> {
		Ok(Holder::get().map(|lease| Assignment { lease, number: 1, generation: 1 }))
	}

	fn is_held(_: AgentId, _: &Assignment) -> bool {
		false
	}

	fn is_witnessed(_: ClusterId, _: WorkerId, _: BlockNumber) -> bool {
		false
	}

	fn liability(_: AgentId, _: &Assignment) -> Result<Liability, Excuse> {
		Ok(Liability::OwnAct)
	}

	fn note_penalty(_: AgentId, _: &Assignment, _: Balance) {}

	fn on_missed_deadline(_: AgentId, _: &Assignment) -> Result<(), DispatchError> {
		Ok(())
	}

	fn relieve(agent: AgentId, assigned: &Assignment) -> Result<(), DispatchError> {
		if let Some(next) = NextHolder::get() {
			let told = phala_protocol::messages::AgentsMessage::Retired { agent };
			NotingMailbox::push(Channel::Cluster(CLUSTER), &told.into())
				.map_err(|_| DispatchError::Exhausted)?;
			Relieved::mutate(|relieved| relieved.push(assigned.lease));
			Holder::set(Some(next));
		}
		Ok(())
	}
}

pub const DEPOSIT: u64 = 100;
pub const BYTE_DEPOSIT: u64 = 1;
pub const NOTICE: BlockNumber = 30;
/// Owns [`CLUSTER`].
pub const CLUSTER_OWNER: AccountId32 = AccountId32::new([9; 32]);

parameter_types! {
	pub NewsByte: Weight = Weight::from_parts(1_000, 0);
}

impl pallet_agents::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Mailbox = NotingMailbox;
	type Clusters = OneCluster;
	type AgentDeposit = ConstU64<DEPOSIT>;
	type ByteDeposit = ConstU64<BYTE_DEPOSIT>;
	type EvictionNotice = ConstU32<NOTICE>;
	type NewsByte = NewsByte;
	type WeightInfo = crate::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = OneCluster;
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper for OneCluster {
	fn cluster_of(identities: &[[u8; 32]]) -> ClusterId {
		let boots = identities.iter().enumerate();
		Counted::set(boots.map(|(worker, key)| (worker as WorkerId, boot_of(1, *key))).collect());
		Holder::set(Some(Lease { worker: 0, boot: 1 }));
		CLUSTER
	}

	/// This directory does not know of members that do not count.
	fn add_silent(_: ClusterId, _: WorkerId, _: u32) {}

	fn await_answer(_: AgentId) {}
}

pub const ALICE: AccountId32 = AccountId32::new([1; 32]);
pub const BOB: AccountId32 = AccountId32::new([2; 32]);
pub const GENESIS: H256 = H256::repeat_byte(0x9e);

fn boot_of(number: BootNumber, identity: [u8; 32]) -> Boot {
	Boot {
		number,
		keys: BootKeys { identity, encryption: [0; 32] },
		evidence: EvidenceKind::Software,
		measurement: H256::zero(),
		registered_at: 0,
		expires_at: u32::MAX,
	}
}

/// A member of the cluster in one of its lives.
#[derive(Clone)]
pub struct Enclave {
	pub worker: WorkerId,
	pub boot: BootNumber,
	pub pair: sr25519::Pair,
}

impl Enclave {
	pub fn new(worker: WorkerId, boot: BootNumber) -> Self {
		let seed = phala_protocol::hash_of(&(worker, boot)).0;
		Self { worker, boot, pair: sr25519::Pair::from_seed(&seed) }
	}

	pub fn origin(&self) -> EnvelopeOrigin {
		EnvelopeOrigin { worker: self.worker, boot: self.boot }
	}

	/// Its acknowledgement that it keeps the set's body.
	pub fn keeps(&self, set: &EffectSet) -> Availability {
		self.acknowledges(&AvailabilityContent::new(
			GENESIS,
			self.worker,
			self.boot,
			set.agent,
			set.base_hash,
			set.new_hash,
		))
	}

	pub fn acknowledges(&self, content: &AvailabilityContent) -> Availability {
		Availability { worker: self.worker, signature: self.pair.sign(&content.encode()).0 }
	}
}

/// A cluster of `n` members that all count, each in its first boot; worker 0 writes.
pub fn cluster_of(n: u32) -> Vec<Enclave> {
	let members: Vec<_> = (0..n).map(|worker| Enclave::new(worker, 1)).collect();
	count(&members);
	Holder::set(Some(Lease { worker: 0, boot: 1 }));
	members
}

pub fn count(members: &[Enclave]) {
	Counted::set(
		members
			.iter()
			.map(|member| (member.worker, boot_of(member.boot, member.pair.public().0)))
			.collect(),
	);
}

pub fn code(n: u8) -> AgentCode {
	AgentCode { component: H256::repeat_byte(n), manifest: H256::repeat_byte(n) }
}

/// The first set of an agent: nobody but its author keeps it yet.
pub fn birth(agent: AgentId) -> EffectSet {
	EffectSet { key: Some(AgentKey { version: 1, key: [5; 32] }), ..set_on(agent, 0) }
}

pub fn set_on(agent: AgentId, base_version: StateVersion) -> EffectSet {
	EffectSet {
		agent,
		base_version,
		base_hash: crate::Agents::<Runtime>::get(agent)
			.map(|record| record.state_hash)
			.unwrap_or_default(),
		new_hash: H256::from_low_u64_be(base_version + 1),
		key: None,
		results: vec![],
		availability: vec![],
	}
}

pub fn go_to_block(n: u64) {
	while System::block_number() < n {
		System::set_block_number(System::block_number() + 1);
		let mut meter = WeightMeter::with_limit(ForUpkeep::get());
		Agents::activate_due(&mut meter);
		Agents::pass_births_on(&mut meter);
	}
}

pub fn new_test_ext() -> sp_io::TestExternalities {
	let storage = RuntimeGenesisConfig {
		system: Default::default(),
		balances: pallet_balances::GenesisConfig {
			balances: vec![(ALICE, 1_000_000), (BOB, 1_000_000)],
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
		frame_system::BlockHash::<Runtime>::insert(0, GENESIS);
		System::set_block_number(1);
		Told::set(Vec::new());
		PushesLeft::set(u32::MAX);
		ForUpkeep::set(Weight::MAX);
		Terms::set(Some(Opening::default()));
		Relieved::set(Vec::new());
		NextHolder::set(None);
		Removed::set(0);
		cluster_of(1);
	});
	ext
}
