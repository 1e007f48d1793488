//! What a lease holder is asked to do, and what it hands to the sandbox.

use super::state::AgentState;
use crate::limits::RUN_ATTEMPTS_MAX;
use phala_keys::hpke::EncryptionKey;
use phala_protocol::{
	agents::{AgentCode, AgentId},
	caller::Caller,
	refusals::Refusal,
	requests::{CallInput, CallOutput, RequestKind, RequestOrder},
	BlockNumber, H256,
};

/// A direct call that may write, waiting for its turn.
#[derive(Clone)]
pub struct DirectJob {
	/// `None` for a caller that did not say.
	pub caller: Option<Caller>,
	pub input: CallInput,
	/// For a sealed call: where the answer is sealed to, and the nonce.
	pub reply: Option<(EncryptionKey, [u8; 32])>,
	/// Last block at which it may run.
	pub expiry: BlockNumber,
	pub request: H256,
	/// The component that it was admitted for: no other gets to see it.
	pub code: H256,
}

#[derive(Clone)]
pub enum JobKind {
	/// A paid request.
	Order(RequestOrder),
	Direct(DirectJob),
}

#[derive(Clone)]
pub struct Job {
	/// Unique in this boot.
	pub id: u64,
	pub kind: JobKind,
	/// From 1.
	pub attempt: u32,
}

impl Job {
	/// Whether it runs without the agent's code.
	pub fn needs_no_code(&self) -> bool {
		matches!(&self.kind, JobKind::Order(order) if order.kind == RequestKind::Secrets)
	}

	/// Whether it has had all of its attempts.
	pub fn is_spent(&self) -> bool {
		self.attempt > RUN_ATTEMPTS_MAX
	}
}

/// A call for the sandbox.
pub struct Run {
	pub agent: AgentId,
	pub job: u64,
	pub code: AgentCode,
	pub caller: Option<Caller>,
	pub input: CallInput,
	/// Unique, and the same over all attempts.
	pub request: H256,
	/// In a paid request: its own draw.
	pub entropy: Option<[u8; 32]>,
	pub attempt: u32,
	/// What it runs on: proposals that are not committed yet are in it.
	pub state: AgentState,
	pub block: (BlockNumber, H256),
}

/// What came of a run that ended well.
pub struct RunDone {
	pub output: CallOutput,
	pub writes: Vec<(String, Option<Vec<u8>>)>,
	/// Work, in units.
	pub units: u32,
	/// Inputs that nobody vouches for.
	pub unproven_inputs: u32,
}

/// Why a run gave no answer.
pub enum RunEnd {
	/// By a limit or an error of the agent.
	Failed(RunFailed),
	/// It did not start, for lack of room or code: it is to be tried again.
	NotRun,
}

/// A run that ended badly, by a limit or an error of the agent.
pub struct RunFailed {
	/// Which limit or refusal.
	pub refusal: Refusal,
	/// For people: holds nothing that the agent knows.
	pub message: String,
	pub units: u32,
}
