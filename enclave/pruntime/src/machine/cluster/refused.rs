//! Why a call to an agent, or what another member brought, was refused.

use super::super::MachineError;
use phala_protocol::{boot::WorkerId, refusals::Refusal};

/// What was refused, why, and what would be accepted. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
	#[error("this worker is in no cluster; ask a member of the agent's cluster")]
	NoCluster,
	#[error("this worker has no such agent; GET /v1/agents lists those that it has")]
	NoSuchAgent,
	#[error("the agent is not ready here: {why}")]
	NotReady { why: &'static str },
	#[error("this worker's view of the chain is not proven to be recent: {0}")]
	NotFresh(MachineError),
	#[error("the body is not {expected}")]
	Malformed { expected: &'static str },
	#[error("the signature is not the {whose}'s over this {what}")]
	BadSignature { whose: &'static str, what: &'static str },
	#[error("the caller is not on the agent's list; its owner can add it: phala agent allow")]
	CallerNotAllowed,
	#[error("the sealed input was refused: {0}")]
	Input(#[from] phala_keys::Error),
	#[error("this input was taken before; seal a new one")]
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
	#[error("the call waited for its turn until it was too late; send it again")]
	TooLate,
	#[error("the agent's code changed while the call waited; look at it and send the call again")]
	OtherCode,
	#[error("the call took longer than this worker waits; what it wrote may still be committed: read the state before you send it again")]
	MayStillCommit,
	#[error("the chain did not take what the call wrote; send it again")]
	NotCommitted,
	#[error("the run failed: {refusal}: {message}")]
	Failed {
		/// Which limit or refusal.
		refusal: Refusal,
		/// For people.
		message: String,
	},
	#[error("only the agent's owner reads its log")]
	NotOwner,
	#[error("the query is for block {block}, now is {now}; sign a new one")]
	QueryTooOld {
		/// Of the query.
		block: u32,
		/// The newest finalized one.
		now: u32,
	},
	#[error("the sender is not a member of this cluster that writes this agent")]
	NotFromLeaseHolder,
}

impl CallError {
	/// As callers are told it.
	pub fn refusal(&self) -> Refusal {
		match self {
			Self::NoCluster => Refusal::NoCluster,
			Self::NoSuchAgent => Refusal::NoSuchAgent,
			Self::NotReady { .. } => Refusal::NotReady,
			Self::NotFresh(inner) => inner.refusal(),
			Self::Malformed { .. } => Refusal::Malformed,
			Self::BadSignature { .. } => Refusal::BadSignature,
			Self::CallerNotAllowed => Refusal::CallerNotAllowed,
			Self::Input(inner) => inner.refusal(),
			Self::Repeated => Refusal::Repeated,
			Self::NotLeaseHolder { .. } => Refusal::NotLeaseHolder,
			Self::TooManyCalls => Refusal::TooManyCalls,
			Self::TooLate => Refusal::TooLate,
			Self::OtherCode => Refusal::OtherCode,
			Self::MayStillCommit => Refusal::MayStillCommit,
			Self::NotCommitted => Refusal::NotCommitted,
			Self::Failed { refusal, .. } => *refusal,
			Self::NotOwner => Refusal::NotOwner,
			Self::QueryTooOld { .. } => Refusal::QueryTooOld,
			Self::NotFromLeaseHolder => Refusal::NotFromLeaseHolder,
		}
	}
}
