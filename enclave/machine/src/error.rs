//! Why the machine refused.

use phala_keys::Error as KeyError;
use phala_light_client::LightClientError;
use phala_protocol::{
	boot::WorkerId, limits::LOGS_QUERY_BLOCKS_MAX, refusals::Refusal, relay::EnclavePhase,
	BlockNumber,
};
use phala_state::StateError;

/// What was refused, why, and what would be accepted. A refusal changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
	/// From the light client.
	#[error(transparent)]
	Proof(#[from] LightClientError),
	#[error("not now: this enclave is in phase {phase:?}; {accepted}")]
	WrongPhase { phase: EnclavePhase, accepted: &'static str },
	/// A bundle that does not lead on from where the enclave stands.
	#[error("nothing new: this enclave stands at block {height}; bring a later finalized block")]
	NothingNew { height: BlockNumber },
	#[error("{waiting} envelopes wait for the chain, no more are made until it consumes some")]
	OutboxFull { waiting: usize },
	#[error(
		"this enclave's view of the chain was last proven fresh {age_ms} ms ago, {max_ms} ms are allowed; wait for its relayer to catch up"
	)]
	NotFresh { age_ms: u64, max_ms: u64 },
	#[error("the platform gave no evidence: {0}")]
	NoEvidence(String),
	/// A boot that is over.
	#[error("boot {boot:?} of this worker is over; start the enclave again for a new one")]
	Over { boot: Option<u32> },
	/// The machine failed twice on one input: it does nothing more, and its keys stay unused.
	#[error("this boot is suspended: it failed again on {culprit}; its keys are locked. Start the enclave again for a new boot, and report this")]
	Suspended { culprit: String },
	/// The machine failed and was rebuilt while the caller waited.
	#[error("the worker was rebuilt after a failure while this call waited; what the call wrote may still be committed: read the state before you send it again")]
	Interrupted,
	/// Cryptography outside of the turns.
	#[error("the enclave failed twice at the {what}; send it again, and report this")]
	TaskFailed { what: &'static str },

	#[error("this worker is in no cluster; ask a member of the agent's cluster")]
	NoCluster,
	#[error("this worker has no such agent; GET /v1/agents lists those that it has")]
	NoSuchAgent,
	#[error("the agent is not ready here: {why}")]
	NotReady { why: &'static str },
	#[error("the body is not {expected}")]
	Malformed { expected: &'static str },
	#[error("the signature is not the {whose}'s over this {what}")]
	BadSignature { whose: &'static str, what: &'static str },
	#[error("the caller is not on the agent's list; its owner can add it: phala agent allow")]
	CallerNotAllowed,
	#[error("agents are called by others to read only for now; call it with GET")]
	CallToWrite,
	#[error(transparent)]
	State(#[from] phala_state::StateError),
	#[error("the sealed input was refused: {0}")]
	Input(#[from] KeyError),
	#[error("this input was taken before, and what it wrote may be committed; read the state before you seal a new one")]
	Repeated,
	#[error("{}", match worker {
		Some(worker) => format!("the agent is written by worker {worker}; send what writes there"),
		None => "no worker writes the agent now; try again when one of its cluster has rejoined".into(),
	})]
	NotLeaseHolder {
		/// Who has the lease, if anybody.
		worker: Option<WorkerId>,
	},
	#[error("too many calls wait for this agent; try again later")]
	TooManyCalls,
	#[error("{running} requests of this agent run and {waiting} wait, which is the most; try again later")]
	AgentRequests { running: usize, waiting: usize },
	#[error(
		"the request waited {waited_ms} ms for its turn, which is the longest; try again later"
	)]
	WaitTime { waited_ms: u64 },
	#[error("all places to run it are taken; try again later")]
	Busy,
	#[error("the call waited for its turn until it was too late; send it again")]
	TooLate,
	#[error("the agent's code changed while the call waited; look at it and send the call again")]
	OtherCode,
	#[error("the call took longer than this worker waits; what it wrote may still be committed, also much later while a majority of the members is away: read the state before you send it again")]
	MayStillCommit,
	#[error("the call only read, and took longer than {waited_ms} ms, which is the longest; send it again")]
	ReadTime { waited_ms: u64 },
	#[error("the chain did not take what the call wrote; send it again")]
	NotCommitted,
	#[error("the run failed: {refusal}: {message}")]
	Failed {
		/// Which limit or error.
		refusal: Refusal,
		/// For people: holds nothing that the agent knows.
		message: String,
	},
	#[error("only the agent's owner reads its log")]
	NotOwner,
	#[error("the query was signed at block {block}, and this worker stands at block {now}: at most {LOGS_QUERY_BLOCKS_MAX} may lie between. If the worker is behind, wait until it has caught up; if the node is that was asked, ask another; then sign a new one")]
	QueryTooOld { block: BlockNumber, now: BlockNumber },
	#[error("the sender is not a member of this cluster that writes this agent")]
	NotFromLeaseHolder,
}

impl MachineError {
	/// As relayers and callers are told it: that of the innermost error.
	pub fn refusal(&self) -> Refusal {
		match self {
			Self::Proof(inner) => inner.refusal(),
			Self::Input(inner) => inner.refusal(),
			Self::Failed { refusal, .. } => *refusal,
			Self::State(StateError::KeyTooLong { .. }) => Refusal::StateKeyBytes,
			Self::State(StateError::ValueTooLong { .. }) => Refusal::StateValueBytes,
			Self::State(_) => Refusal::NotReady,
			Self::WrongPhase { .. } => Refusal::WrongPhase,
			Self::NothingNew { .. } => Refusal::NothingNew,
			Self::OutboxFull { .. } => Refusal::OutboxFull,
			Self::NotFresh { .. } => Refusal::NotFresh,
			Self::NoEvidence(_) => Refusal::NoEvidence,
			Self::Over { .. } => Refusal::Over,
			Self::Suspended { .. } => Refusal::Suspended,
			Self::Interrupted | Self::TaskFailed { .. } => Refusal::Interrupted,
			Self::NoCluster => Refusal::NoCluster,
			Self::NoSuchAgent => Refusal::NoSuchAgent,
			Self::NotReady { .. } => Refusal::NotReady,
			Self::Malformed { .. } => Refusal::Malformed,
			Self::BadSignature { .. } => Refusal::BadSignature,
			Self::CallerNotAllowed | Self::CallToWrite => Refusal::CallerNotAllowed,
			Self::Repeated => Refusal::Repeated,
			Self::NotLeaseHolder { .. } => Refusal::NotLeaseHolder,
			Self::TooManyCalls => Refusal::TooManyCalls,
			Self::AgentRequests { .. } => Refusal::AgentRequests,
			Self::WaitTime { .. } => Refusal::WaitTime,
			Self::Busy => Refusal::Busy,
			Self::TooLate => Refusal::TooLate,
			Self::OtherCode => Refusal::OtherCode,
			Self::ReadTime { .. } => Refusal::ReadTime,
			Self::MayStillCommit => Refusal::MayStillCommit,
			Self::NotCommitted => Refusal::NotCommitted,
			Self::NotOwner => Refusal::NotOwner,
			Self::QueryTooOld { .. } => Refusal::QueryTooOld,
			Self::NotFromLeaseHolder => Refusal::NotFromLeaseHolder,
		}
	}
}
