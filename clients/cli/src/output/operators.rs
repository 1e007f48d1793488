//! Of `phala cluster`, `gatekeeper`, `worker`, `status` and of a development network.

use super::{
	words::{Account, Amount, Hash, HexBytes},
	ErrorBody,
};
use phala_protocol::{
	boot::{BootNumber, WorkerId},
	mailbox::ClusterId,
	relay::EnclavePhase,
	BlockNumber,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// `phala cluster create`.
#[derive(Serialize, JsonSchema)]
pub struct ClusterMade {
	pub cluster: ClusterId,
	pub block: BlockNumber,
}

/// `phala cluster join`, `approve`, `leave`, `endpoint`, `remove`.
#[derive(Serialize, JsonSchema)]
pub struct MembershipChanged {
	pub cluster: ClusterId,
	pub worker: WorkerId,
	pub block: BlockNumber,
}

/// `phala cluster open`, `close`, `admit`, `dismiss`, `transfer`, `accept`.
#[derive(Serialize, JsonSchema)]
pub struct ClusterChanged {
	pub cluster: ClusterId,
	/// From which on it holds.
	pub block: BlockNumber,
}

/// `phala cluster evict`.
#[derive(Serialize, JsonSchema)]
pub struct AgentEvicted {
	pub agent: Hash,
	pub block: BlockNumber,
	/// It has notice: from this block on the same command throws it out. None when it is out.
	pub from: Option<BlockNumber>,
}

/// `phala cluster status`.
#[derive(Serialize, JsonSchema)]
pub struct ClusterStatus {
	pub cluster: ClusterId,
	/// By worker.
	pub members: Vec<Member>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
	pub worker: WorkerId,
	/// Base URL of its public server, as its operator says.
	pub url: String,
	/// As it says; none if it says nothing.
	pub phase: Option<Phase>,
	/// How many agents the cluster has, and how many of them answer there now; as it says.
	pub agents: Option<u64>,
	pub agents_ready: Option<u64>,
	/// Those that do not.
	pub agents_not_ready: Vec<NotReady>,
	/// Why it says nothing.
	pub error: Option<ErrorBody>,
}

/// `phala gatekeeper apply`, `withdraw`, `seat`.
#[derive(Serialize, JsonSchema)]
pub struct GatekeepersChanged {
	pub workers: Vec<WorkerId>,
	pub block: BlockNumber,
}

/// `phala worker register`.
#[derive(Serialize, JsonSchema)]
pub struct WorkerRegistered {
	pub worker: WorkerId,
	pub operator: Account,
}

/// `phala worker transfer`, `accept`.
#[derive(Serialize, JsonSchema)]
pub struct WorkerChanged {
	pub worker: WorkerId,
	pub block: BlockNumber,
}

/// `phala worker close`.
#[derive(Serialize, JsonSchema)]
pub struct WorkerClosed {
	pub worker: WorkerId,
	/// The block from which on all of its stake can be withdrawn.
	pub until: Option<BlockNumber>,
	pub block: BlockNumber,
}

/// `phala worker stake`.
#[derive(Serialize, JsonSchema)]
pub struct StakeAdded {
	pub worker: WorkerId,
	/// Whether it is the stake for a gatekeeper's seat.
	pub gatekeeper: bool,
	pub amount: Amount,
	/// What is at stake now.
	pub active: Amount,
	pub block: BlockNumber,
}

/// `phala worker unstake`.
#[derive(Serialize, JsonSchema)]
pub struct StakeLeaves {
	pub worker: WorkerId,
	/// Whether it is the stake for a gatekeeper's seat.
	pub gatekeeper: bool,
	pub amount: Amount,
	/// What is left.
	pub active: Amount,
	/// It can be slashed before this block, and withdrawn from it on.
	pub until: BlockNumber,
	pub block: BlockNumber,
}

/// `phala worker withdraw`.
#[derive(Serialize, JsonSchema)]
pub struct StakeWithdrawn {
	pub worker: WorkerId,
	/// Whether it was the stake for a gatekeeper's seat.
	pub gatekeeper: bool,
	pub amount: Amount,
	pub block: BlockNumber,
}

/// `phala worker status`.
#[derive(Serialize, JsonSchema)]
pub struct WorkerStake {
	pub worker: WorkerId,
	/// Whether it is the stake for a gatekeeper's seat.
	pub gatekeeper: bool,
	pub operator: Account,
	/// What is at stake and does not leave.
	pub active: Amount,
	/// With less it is out of force.
	pub minimum: Amount,
	/// Whether it is in force, as far as its stake goes.
	pub suffices: bool,
	/// What leaves, the first first.
	pub unbonding: Vec<UnbondingPart>,
	/// The worker was closed, or the candidacy taken back.
	pub closed: bool,
	pub block: BlockNumber,
}

#[derive(Serialize, JsonSchema)]
pub struct UnbondingPart {
	pub amount: Amount,
	/// It can be withdrawn from this block on.
	pub until: BlockNumber,
}

/// `phala worker allow-measurement`.
#[derive(Serialize, JsonSchema)]
pub struct MeasurementAllowed {
	pub measurement: Hash,
	/// From which on it is.
	pub block: BlockNumber,
}

/// `phala validator rotate-keys`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionKeysRotated {
	pub validator: Account,
	pub session_keys: HexBytes,
	/// In which they were registered. They count from two sessions later on.
	pub block: BlockNumber,
}

/// `phala network new`.
#[derive(Serialize, JsonSchema)]
pub struct NetworkMade {
	/// File with the chain's specification.
	pub chain: PathBuf,
	/// In the order of their folders.
	pub validators: Vec<ValidatorMade>,
	/// What the treasury has at genesis.
	pub treasury: Amount,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidatorMade {
	/// With all of its secrets.
	pub folder: PathBuf,
	pub stash: Account,
	pub session_keys: HexBytes,
	/// Its node's id.
	pub peer: String,
	/// Its entry in the specification, if it has an address.
	pub boot_node: Option<String>,
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
	/// It waits for the chain's block 0.
	AwaitsGenesis,
	/// It waits until it has followed the chain to a recent block.
	AwaitsFirstSync,
	/// It waits for the chain to have its boot.
	AwaitsRegistration,
	/// It is the worker's current boot.
	Serving,
	/// As `serving`, but its evidence has expired or is about to.
	AwaitsRenewal,
	/// A later boot took the worker.
	Retired,
	/// The worker was evicted.
	Evicted,
	/// It runs, and does not say where it stands.
	Silent,
	/// It runs, and hears of no block: its relayer is not there, or hangs.
	WithoutRelayer,
	/// It does not run.
	Stopped,
	/// One that this release does not know.
	#[serde(other)]
	Unknown,
}

impl From<EnclavePhase> for Phase {
	fn from(phase: EnclavePhase) -> Self {
		match phase {
			EnclavePhase::AwaitsGenesis => Self::AwaitsGenesis,
			EnclavePhase::AwaitsFirstSync => Self::AwaitsFirstSync,
			EnclavePhase::AwaitsRegistration => Self::AwaitsRegistration,
			EnclavePhase::Serving => Self::Serving,
			EnclavePhase::AwaitsRenewal => Self::AwaitsRenewal,
			EnclavePhase::Retired => Self::Retired,
			EnclavePhase::Evicted => Self::Evicted,
		}
	}
}

/// An agent that does not answer at a worker of its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotReady {
	/// Its id.
	pub agent: Hash,
	/// On this machine, if it has one.
	pub name: Option<String>,
	/// What it lacks, for people, as the worker says.
	pub lacks: Option<String>,
}

impl NotReady {
	/// As people are shown it.
	pub fn called(&self) -> String {
		self.name.clone().unwrap_or_else(|| format!("{:?}", self.agent.0))
	}
}

/// Those that do not answer, and why: one reason is said once.
pub fn not_ready_text(not_ready: &[NotReady]) -> String {
	let mut by_reason: Vec<(&Option<String>, Vec<String>)> = Vec::new();
	for agent in not_ready {
		match by_reason.iter_mut().find(|(lacks, _)| **lacks == agent.lacks) {
			Some((_, names)) => names.push(agent.called()),
			None => by_reason.push((&agent.lacks, vec![agent.called()])),
		}
	}
	let told = by_reason.into_iter().map(|(lacks, names)| {
		let why = lacks.as_ref().map_or_else(String::new, |lacks| format!(": {lacks}"));
		format!("{}{why}", names.join(", "))
	});
	told.collect::<Vec<_>>().join("; ")
}

/// How far a worker is with its cluster's agents, and with which it is not so far, for people: nothing of one
/// that says nothing of them.
pub fn readiness(agents: Option<u64>, ready: Option<u64>, not_ready: &[NotReady]) -> String {
	match (agents, ready) {
		(Some(agents), Some(ready)) => {
			let which = match not_ready {
				[] => String::new(),
				which => format!(" (not {})", not_ready_text(which)),
			};
			format!(", {ready} of {agents} agents ready{which}")
		}
		_ => String::new(),
	}
}

impl Phase {
	/// As JSON has it.
	pub fn name(self) -> String {
		let name = serde_json::to_value(self).unwrap_or_default();
		name.as_str().unwrap_or_default().to_owned()
	}
}

/// `phala status`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerAsked {
	#[serde(flatten)]
	pub said: WorkerStatus,
	/// For people: why what it says is not to be believed, if it hears of no block while the node does.
	pub stands_still: Option<String>,
}

/// What a worker says of itself. What it leaves out is `null`, what this release does
/// not know is left out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
	/// Hash of the chain's block 0.
	pub genesis: Option<Hash>,
	pub worker: Option<WorkerId>,
	/// None before it is registered.
	pub boot: Option<BootNumber>,
	pub phase: Phase,
	/// The newest block that is final to it.
	pub height: Option<BlockNumber>,
	/// Messages to the chain that wait.
	pub queued: Option<u64>,
	/// Its boot's signing key.
	pub identity: Option<Hash>,
	/// Its boot's encryption key.
	pub encryption: Option<Hash>,
	/// The kind of its evidence, for people.
	pub evidence: Option<String>,
	/// How old its view of the chain can be.
	pub view_age_ms: Option<u64>,
	/// Whether it takes what needs a recent view.
	pub fresh: Option<bool>,
	/// For people: why it does not.
	pub freshness: Option<String>,
	/// For people: why it serves no more.
	pub suspended: Option<String>,
	/// The one that it is in.
	pub cluster: Option<ClusterId>,
	/// Whether it has that cluster's keys.
	pub cluster_keys: Option<bool>,
	/// How many agents the cluster has.
	pub agents: Option<u64>,
	/// How many of them answer there now.
	pub agents_ready: Option<u64>,
	/// Of its software.
	pub version: Option<String>,
}

/// `phala network status`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
	/// URL of the chain's node.
	pub chain: String,
	/// Why that does not answer, if it does not.
	#[serde(default)]
	pub chain_error: Option<String>,
	/// Its newest final block.
	#[serde(default)]
	pub finalized: Option<BlockNumber>,
	/// The gatekeeper first.
	pub workers: Vec<NetworkWorker>,
	/// The ids of its agents, by their names.
	pub agents: BTreeMap<String, Hash>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkWorker {
	/// By which it is stopped and started.
	pub name: String,
	pub worker: WorkerId,
	/// None of one that is stopped, or not registered yet.
	pub boot: Option<BootNumber>,
	pub phase: Phase,
	/// Whether it takes what needs a recent view; none of one that says nothing.
	pub fresh: Option<bool>,
	/// The newest block that is final to it; none of one that says nothing.
	#[serde(default)]
	pub height: Option<BlockNumber>,
	/// Whether it has its cluster's keys; none of one that says nothing.
	#[serde(default)]
	pub cluster_keys: Option<bool>,
	/// How many agents its cluster has, and how many of them answer there now; none of one in no cluster, or that
	/// hears of no block.
	pub agents: Option<u64>,
	pub agents_ready: Option<u64>,
	/// Those that do not.
	pub agents_not_ready: Vec<NotReady>,
	/// Base URL of its public server.
	pub url: String,
}

/// `phala network stop`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStopped {
	/// Its name.
	pub stopped: String,
	pub worker: WorkerId,
	/// The agents that it answered for and no other member of its cluster had ready: by their names, or by
	/// their ids if they have none here. Empty but for `--force`.
	#[serde(default)]
	pub not_taken_over: Vec<String>,
}

/// `phala network start`.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct WorkerStarted {
	/// Its name.
	pub started: String,
	pub worker: WorkerId,
}
