//! What a lease holder is asked to do, and what it hands to the sandbox.

use super::agent_state::AgentState;
use crate::{
	action::CallId,
	limits::{FAILURE_ATTEMPTS_MAX, RUN_ATTEMPTS_MAX},
	MachineError,
};
use codec::{Decode, Encode, Input, Output};
use phala_keys::hpke::EncryptionKey;
use phala_protocol::{
	agents::{AgentCode, AgentId},
	caller::Caller,
	refusals::{Refusal, RefusalCode},
	requests::{CallInput, CallOutput, RequestKind, RequestOrder},
	BlockNumber, H256,
};
use std::sync::Arc;

/// One run of an agent. Unique in one boot; an order keeps its number over all attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RunId(pub(crate) u64);

/// The components that may read a call: those that its caller named, or whichever the chain names.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AcceptedCode(Vec<H256>);

impl AcceptedCode {
	/// Of a caller that named none.
	pub fn any() -> Self {
		Self(Vec::new())
	}

	/// As a sealed input has it: without any, all are.
	pub fn of_input(components: Vec<H256>) -> Self {
		Self(components)
	}

	pub fn includes(&self, component: &H256) -> bool {
		self.0.is_empty() || self.0.contains(component)
	}
}

/// A direct call that may write, waiting for its turn.
pub struct DirectJob {
	/// Who waits for the answer.
	pub to: CallId,
	/// `None` for a caller that did not say.
	pub caller: Option<Caller>,
	pub input: Arc<CallInput>,
	/// For a sealed call: where the answer is sealed to, and the nonce.
	pub reply: Option<(EncryptionKey, [u8; 32])>,
	/// Last block at which it may run.
	pub expiry: BlockNumber,
	pub request: H256,
	/// No other gets to see it.
	pub accepted: AcceptedCode,
}

pub enum JobKind {
	/// A paid request.
	Order(RequestOrder),
	Direct(DirectJob),
}

/// An order's input, opened once for one component.
pub struct OpenedOrder {
	/// A component that came later has to be accepted by the input too: it is opened again then.
	pub code: H256,
	/// Or why not.
	pub opened: Result<Opened, Refusal>,
}

pub enum Opened {
	Call {
		input: Arc<CallInput>,
		/// Where the answer is sealed to, and the nonce; none for a public one.
		reply: Option<(EncryptionKey, [u8; 32])>,
		/// Nonce and expiry of a sealed one.
		used: Option<([u8; 32], BlockNumber)>,
	},
	Secrets {
		secrets: Vec<(String, Option<Vec<u8>>)>,
		used: ([u8; 32], BlockNumber),
	},
}

impl Opened {
	pub fn used(&self) -> Option<([u8; 32], BlockNumber)> {
		match self {
			Self::Call { used, .. } => *used,
			Self::Secrets { used, .. } => Some(*used),
		}
	}
}

#[derive(Clone)]
pub struct Job {
	pub id: RunId,
	pub kind: Arc<JobKind>,
	/// From 1.
	pub attempt: u32,
	/// Of an order; the plaintext goes when the job does.
	pub opened: Option<Arc<OpenedOrder>>,
	/// It was run to an end: what it did outside is done, committed or not.
	pub has_run: bool,
}

impl Job {
	/// Whether it is done without the agent's code.
	pub fn needs_no_code(&self) -> bool {
		self.is_spent()
			|| matches!(&*self.kind, JobKind::Order(order) if order.kind == RequestKind::Secrets)
	}

	/// Whether it has had all of its runs. What is left to a paid request is to be answered so.
	pub fn is_spent(&self) -> bool {
		self.attempt > RUN_ATTEMPTS_MAX
	}

	/// Whether the chain took no answer to it at all.
	pub fn is_given_up(&self) -> bool {
		match &*self.kind {
			JobKind::Order(_) => self.attempt > RUN_ATTEMPTS_MAX + FAILURE_ATTEMPTS_MAX,
			JobKind::Direct(_) => self.is_spent(),
		}
	}

	/// Last block at which the chain takes what came of it, or its caller still waits for that.
	pub fn last_block(&self) -> BlockNumber {
		match &*self.kind {
			JobKind::Order(order) => order.deadline,
			JobKind::Direct(direct) => direct.expiry,
		}
	}

	pub fn is_order(&self) -> bool {
		matches!(&*self.kind, JobKind::Order(_))
	}

	/// The nonce of a sealed direct call.
	pub fn direct_nonce(&self) -> Option<&[u8; 32]> {
		match &*self.kind {
			JobKind::Order(_) => None,
			JobKind::Direct(direct) => direct.reply.as_ref().map(|(_, nonce)| nonce),
		}
	}

	/// Who waits for its end.
	pub fn to(&self) -> Option<CallId> {
		match &*self.kind {
			JobKind::Order(_) => None,
			JobKind::Direct(direct) => Some(direct.to),
		}
	}
}

/// A call for the sandbox.
pub struct Run {
	pub agent: AgentId,
	pub id: RunId,
	pub code: AgentCode,
	/// Of a call by another agent's run here, for whoever waits for it.
	pub called_by_agent: Option<CallId>,
	pub caller: Option<Caller>,
	pub input: Arc<CallInput>,
	/// Unique, and the same over all attempts.
	pub request: H256,
	/// In a paid request: its own draw.
	pub entropy: Option<[u8; 32]>,
	pub attempt: u32,
	/// Whether it may write state.
	pub writable: bool,
	/// What it runs on; for what writes, proposals that are not committed yet are in it.
	pub state: AgentState,
	/// The newest finalized block.
	pub block: (BlockNumber, H256),
}

/// What came of a run that ended well.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RunDone {
	pub output: CallOutput,
	pub writes: Vec<(String, Option<Vec<u8>>)>,
	/// Work, in units.
	pub units: u32,
	/// Inputs that nobody vouches for.
	pub unproven_inputs: u32,
}

/// Why a run gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RunEnd {
	/// By a limit or an error of the agent.
	Failed(RunFailed),
	/// It did not start, for lack of a place or of the program: it is to be tried again.
	NotRun,
}

/// A run that ended badly, by a limit or an error of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFailed {
	/// Which limit or error.
	pub refusal: Refusal,
	/// For people: holds nothing that the agent knows.
	pub message: String,
	pub units: u32,
}

/// With the refusal by its code.
impl Encode for RunFailed {
	fn encode_to<T: Output + ?Sized>(&self, dest: &mut T) {
		(self.refusal.code(), &self.message, self.units).encode_to(dest);
	}
}

impl Decode for RunFailed {
	fn decode<I: Input>(input: &mut I) -> Result<Self, codec::Error> {
		let (code, message, units): (RefusalCode, String, u32) = Decode::decode(input)?;
		let refusal = code.refusal().ok_or("a refusal of a later version")?;
		Ok(Self { refusal, message, units })
	}
}

impl From<RunFailed> for MachineError {
	fn from(failed: RunFailed) -> Self {
		Self::Failed { refusal: failed.refusal, message: failed.message }
	}
}

/// What the machine knows of a compiled component and its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Program {
	/// For people.
	pub name: String,
	/// The longest request that it takes, in bytes.
	pub request_bytes_max: u64,
}

/// Whether a request with this method may write state: those that HTTP calls safe may not.
pub fn writes(method: &[u8]) -> bool {
	!matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}
