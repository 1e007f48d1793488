//! Agents: programs with keys and state of their own, and the effect sets that change them.

use crate::{
	boot::{BootNumber, WorkerId},
	caller::Caller,
	clusters::Generation,
	domains, hash_of,
	mailbox::ClusterId,
	requests::RequestResult,
	AccountBytes, Balance, BlockNumber, H256,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// An agent's name on the network: hash of [`AgentIdContent`].
pub type AgentId = H256;

/// Counts the committed effect sets of one agent; 0 before its birth.
pub type StateVersion = u64;

/// Counts the encryption keys, or the signing roots, of one agent, from 1.
pub type KeyVersion = u32;

/// What an agent's id is the hash of.
#[derive(Encode)]
pub struct AgentIdContent {
	domain: domains::Domain,
	genesis: H256,
	number: u64,
}

/// The id of the `number`-th agent (from 0) of the chain with this genesis.
pub fn agent_id(genesis: H256, number: u64) -> AgentId {
	hash_of(&AgentIdContent { domain: domains::AGENT_ID, genesis, number })
}

/// What runs: both are fetched by hash from whoever has them, and checked.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Hash,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct AgentCode {
	/// BLAKE2-256 of the WebAssembly component.
	pub component: H256,
	/// BLAKE2-256 of the manifest's JSON text.
	pub manifest: H256,
}

/// Who may call.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Access {
	/// Anybody.
	#[codec(index = 0)]
	Public,
	/// The owner and the accounts on its list.
	#[codec(index = 1)]
	Listed,
}

/// Chosen at deployment for good, and shown to callers.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum UpgradePolicy {
	/// The code never changes.
	#[codec(index = 0)]
	Immutable,
	/// New code runs this many blocks after it was announced.
	#[codec(index = 1)]
	AfterNotice(BlockNumber),
	/// New code runs at once.
	#[codec(index = 2)]
	Free,
}

impl UpgradePolicy {
	/// Whether new code runs when its owner says, with no notice.
	pub fn is_free(&self) -> bool {
		matches!(self, Self::Free | Self::AfterNotice(0))
	}
}

/// One code that ran.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct CodeEntry {
	/// What ran.
	pub code: AgentCode,
	/// From this block on.
	pub block: BlockNumber,
}

/// Code that is announced and does not run yet.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct PlannedUpgrade {
	/// What will run.
	pub code: AgentCode,
	/// From this block on.
	pub at: BlockNumber,
}

/// What others seal to. Made by the lease holder at the agent's birth.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct AgentKey {
	/// Counts the agent's encryption keys, from 1.
	pub version: KeyVersion,
	/// X25519.
	pub key: [u8; 32],
}

/// An agent as the chain knows it.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct AgentRecord {
	/// Who deployed it and is paid the developer's share.
	pub owner: AccountBytes,
	/// Where it runs, for good.
	pub cluster: ClusterId,
	/// What runs now.
	pub code: AgentCode,
	/// Counts the codes, from 1. The chain keeps all earlier ones.
	pub code_version: u32,
	/// When new code may run.
	pub upgrades: UpgradePolicy,
	/// Who may call.
	pub access: Access,
	/// In the smallest unit of PHA, for one unit of work.
	pub unit_price: Balance,
	/// The longest that one request may take, in blocks.
	pub timeout: BlockNumber,
	/// `None` until its birth is committed.
	pub key: Option<AgentKey>,
	/// Of its last committed effect set.
	pub version: StateVersion,
	/// Hash of the root of its state (`enclave/state`); zero at version 0.
	pub state_hash: H256,
}

/// The right to write an agent's state: one boot at a time has it.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Lease {
	/// Who writes.
	pub worker: WorkerId,
	/// In which life.
	pub boot: BootNumber,
}

/// What a boot that has a lease answers for: as it was when the work was given to it.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Assignment {
	/// Who writes the agent.
	pub lease: Lease,
	/// Counts the leases of this agent: one that moved away and came back is another.
	pub number: u32,
	/// Of the cluster: nobody can commit before the keys of a new one are there.
	pub generation: Generation,
}

/// What whoever was assigned answers for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liability {
	/// It has the lease, or lost it for a deadline that it missed.
	Lease {
		/// What a miss of this lease has cost it so far, if there was one.
		paid: Option<Balance>,
	},
	/// It gave the lease up by an act of its own, and mostly all others that it had in the same moment.
	OwnAct,
}

/// Why the chain blames nobody for a missed deadline.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Excuse {
	/// The cluster's owner removed the worker, governance evicted it, or its code is not allowed any more.
	Removed,
	/// The lease was taken from the boot before.
	LeaseTaken,
	/// The cluster has another generation since the request was made.
	GenerationChanged,
	/// The chain had no room for the answer shortly before the deadline.
	LaneFull,
	/// No member said in time that blocks become final.
	FinalityStalled,
	/// The worker has paid as much for this lease before, or, where it gave its leases up itself, its boot
	/// has for any of them.
	AlreadyPenalised,
}

/// All that a member of the cluster has to know of an agent. Told whole whenever any of it but
/// its version changes, and to every new member and new boot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct AgentSnapshot {
	/// Which agent.
	pub agent: AgentId,
	/// As it stands.
	pub record: AgentRecord,
	/// With [`Access::Listed`], who may call besides the owner; at most
	/// [`crate::limits::AGENT_CALLERS_MAX`].
	pub callers: Vec<Caller>,
	/// Who writes; `None` while the cluster has no member in force.
	pub lease: Option<Lease>,
	/// Code that was announced or prepared and does not run yet: members fetch and compile it before it
	/// is needed.
	pub planned: Option<AgentCode>,
}

impl AgentSnapshot {
	/// Whether `caller` may call.
	pub fn may_call(&self, caller: &Caller) -> bool {
		self.record.access == Access::Public
			|| caller.account() == Some(&self.record.owner)
			|| self.callers.contains(caller)
	}
}

/// What a run, or several, did to an agent: the chain takes it or leaves it, whole.
///
/// Accepted **if and only if** `base_version` and `base_hash` are the agent's current ones and the
/// sender has its lease. That is the commit, and payment happens with it. The hash is what makes a
/// set worthless that was made on another history of the same length.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct EffectSet {
	/// Whose state.
	pub agent: AgentId,
	/// The version that it was made on. The new one is the next number.
	pub base_version: StateVersion,
	/// The state hash at that version.
	pub base_hash: H256,
	/// Hash of the new root: the state hash afterwards.
	pub new_hash: H256,
	/// The agent's encryption key, if this set makes a new one: at birth.
	pub key: Option<AgentKey>,
	/// Answers to requests, at most [`crate::limits::RESULTS_PER_EFFECT_SET_MAX`].
	pub results: Vec<RequestResult>,
	/// Other members' word that they hold every page of the new state. With the sender, they must be a
	/// majority of the cluster's members that count.
	pub availability: Vec<Availability>,
}

/// One member's word that it holds, durably, every page that the new root leads to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Availability {
	/// Who holds them.
	pub worker: WorkerId,
	/// sr25519 by that worker's current boot over [`AvailabilityContent`].
	pub signature: [u8; 64],
}

/// What a member signs when it holds a state.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct AvailabilityContent {
	domain: domains::Domain,
	genesis: H256,
	worker: WorkerId,
	boot: BootNumber,
	agent: AgentId,
	base_hash: H256,
	new_hash: H256,
}

impl AvailabilityContent {
	/// Boot `boot` of `worker` holds, durably, every page of the state with `new_hash` that `agent` gets
	/// on the state with `base_hash`.
	pub fn new(
		genesis: H256,
		worker: WorkerId,
		boot: BootNumber,
		agent: AgentId,
		base_hash: H256,
		new_hash: H256,
	) -> Self {
		let domain = domains::AVAILABILITY;
		Self { domain, genesis, worker, boot, agent, base_hash, new_hash }
	}
}

/// How many members, the sender among them, must hold a state of a cluster in which `members`
/// count: a majority.
pub fn availability_quorum(members: u32) -> u32 {
	(members / 2).saturating_add(1)
}
