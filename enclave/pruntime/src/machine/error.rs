//! Why the machine refused.

use phala_protocol::{boot::BootNumber, refusals::Refusal, relay::EnclavePhase, BlockNumber};

/// What was refused, why, and what would be accepted. A refusal changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
	/// From the light client.
	#[error(transparent)]
	Proof(#[from] phala_light_client::LightClientError),
	/// Out of turn.
	#[error("not now: this enclave is in phase {phase:?}; {accepted}")]
	WrongPhase {
		/// Where it is.
		phase: EnclavePhase,
		/// What it takes there.
		accepted: &'static str,
	},
	/// A bundle to the block where the enclave stands, or none at all.
	#[error("nothing new: this enclave stands at block {height}; bring a later finalized block")]
	NothingNew {
		/// Where it stands.
		height: BlockNumber,
	},
	/// The outbox is full.
	#[error("{waiting} envelopes wait for the chain, no more are made until it consumes some")]
	OutboxFull {
		/// How many wait.
		waiting: usize,
	},
	/// The view of the chain may be old.
	#[error(
		"this enclave's view of the chain was last proven fresh {age_ms} ms ago, {max_ms} ms are allowed; wait for its relayer to catch up"
	)]
	NotFresh {
		/// Age of the last mark.
		age_ms: u64,
		/// Bound on it.
		max_ms: u64,
	},
	/// The chain says something that it cannot say.
	#[error("block {block} breaks a rule of the chain: {rule}")]
	ChainBrokeRule {
		/// Where.
		block: BlockNumber,
		/// Which rule.
		rule: &'static str,
	},
	/// The evidence would be bound to a header that is not known.
	#[error("the platform gave no evidence: {0}")]
	NoEvidence(String),
	/// A boot that is over.
	#[error("boot {boot:?} of this worker is over; start the enclave again for a new one")]
	Over {
		/// Its number, if it ever had one.
		boot: Option<BootNumber>,
	},
}

impl MachineError {
	/// As relayers are told it: that of the innermost error.
	pub fn refusal(&self) -> Refusal {
		match self {
			Self::Proof(inner) => inner.refusal(),
			Self::WrongPhase { .. } => Refusal::WrongPhase,
			Self::NothingNew { .. } => Refusal::NothingNew,
			Self::OutboxFull { .. } => Refusal::OutboxFull,
			Self::NotFresh { .. } => Refusal::NotFresh,
			Self::ChainBrokeRule { .. } => Refusal::ChainBrokeRule,
			Self::NoEvidence(_) => Refusal::NoEvidence,
			Self::Over { .. } => Refusal::Over,
		}
	}
}
