//! What the machine is told. Whatever came from outside has been verified before, outside of the
//! turn, against the published [`Snapshot`](crate::Snapshot): the types here that carry it can be
//! made in no other way, and the machine still checks that they lead on from where it stands.

use crate::{
	action::{CallId, EvidenceRequest},
	task::{TaskDone, TaskId},
	verify::{OpenedCall, ProvenAcknowledgement, ProvenBundle, ProvenGenesis, VerifiedBody},
	worker::{Program, RunDone, RunEnd, RunId},
};
use codec::{Decode, Encode};
use phala_protocol::{
	agents::{AgentCode, AgentId},
	boot::{BootNumber, WorkerId},
	mailbox::Channel,
	AccountBytes, BlockNumber, H256,
};

/// One thing that happened.
pub enum Event {
	/// The relayer brought block 0 and the first authority set.
	Genesis { reply: CallId, genesis: Box<ProvenGenesis> },
	/// The relayer brought a step along the chain.
	Synced { reply: CallId, bundle: Box<ProvenBundle> },
	/// The relayer asks what to register this boot with.
	RegistrationAsked { reply: CallId, operator: AccountBytes },
	/// The platform's answer to [`Action::MakeEvidence`](crate::Action::MakeEvidence).
	EvidenceMade { request: EvidenceRequest, evidence: Result<Vec<u8>, String> },
	/// Somebody calls an agent.
	Called { reply: CallId, call: Box<OpenedCall> },
	/// The end of an [`Action::Run`](crate::Action::Run).
	RunEnded { agent: AgentId, run: RunId, result: Result<RunDone, RunEnd> },
	/// The end of an [`Action::Compute`](crate::Action::Compute).
	Computed(Box<TaskDone>),
	/// The same, when the task could not be done: it failed, or there was no randomness for it.
	TaskFailed { task: TaskId },
	/// A lease holder has this member keep what a run wrote.
	BodyBrought { reply: CallId, body: Box<VerifiedBody> },
	/// The end of an [`Action::Send`](crate::Action::Send); `None` for silence or a refusal.
	BodySent {
		to: WorkerId,
		agent: AgentId,
		new_hash: H256,
		acknowledgement: Option<ProvenAcknowledgement>,
	},
	/// The end of an [`Action::StorePages`](crate::Action::StorePages): whether all of it is done, durably.
	PagesStored { id: u64, agent: AgentId, is_done: bool },
	/// The end of an [`Action::ReadPages`](crate::Action::ReadPages) or
	/// [`Action::FetchPages`](crate::Action::FetchPages): as they were asked for; `None` for silence or a refusal.
	PagesCame { id: u64, agent: AgentId, pages: Option<Vec<Option<Vec<u8>>>> },
	/// The end of an [`Action::ListPages`](crate::Action::ListPages).
	PagesListed { id: u64, agent: AgentId, names: Option<Vec<H256>> },
	/// The disk has begun empty again: what it had put is gone. It is told before the end of any operation
	/// that came after that.
	StoreEmptied,
	/// The end of an [`Action::Ping`](crate::Action::Ping): what that boot said, if it answered in time.
	Pinged { worker: WorkerId, boot: BootNumber, answer: Option<PingAnswer> },
	/// A component or manifest with this hash is in the store.
	CodeStored { hash: H256 },
	/// The end of an [`Action::FetchCode`](crate::Action::FetchCode) that brought nothing.
	CodeNotFetched { from: WorkerId, hash: H256 },
	/// The end of an [`Action::Compile`](crate::Action::Compile); or why it is no code for this worker.
	Compiled { code: AgentCode, program: Result<Program, String> },
	/// [`Machine::next_deadline`](crate::Machine::next_deadline) has passed.
	Tick,
}

/// What a member says of its view of the chain. Nothing vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PingAnswer {
	/// Its newest finalized block.
	pub height: BlockNumber,
	/// Whether its view is proven to be recent.
	pub is_fresh: bool,
}

/// On what the machine worked when it failed: the second failure on the same is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Culprit {
	/// A message of the chain.
	Message { channel: Channel, seq: u64 },
	/// Anything else, by kind and by what it was about.
	Event { kind: &'static str, subject: H256 },
}

impl std::fmt::Display for Culprit {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		match self {
			Self::Message { channel, seq } => write!(f, "message {seq} of {channel:?}"),
			Self::Event { kind, subject } => write!(f, "{kind} {subject:?}"),
		}
	}
}

impl Event {
	pub(crate) fn culprit(&self) -> Culprit {
		let event = |kind, subject| Culprit::Event { kind, subject };
		match self {
			Self::Genesis { .. } => event("genesis", H256::zero()),
			Self::Synced { bundle, .. } => event("bundle", bundle.hash()),
			Self::RegistrationAsked { operator, .. } => event("registration", H256(*operator)),
			Self::EvidenceMade { .. } => event("evidence", H256::zero()),
			Self::Called { call, .. } => event("call", call.digest),
			Self::RunEnded { agent, .. } => event("run of agent", *agent),
			Self::Computed(done) => event(done.kind(), H256::zero()),
			Self::TaskFailed { .. } => event("failed task", H256::zero()),
			Self::BodyBrought { body, .. } => event("body", body.new_hash()),
			Self::BodySent { new_hash, .. } => event("acknowledgement", *new_hash),
			Self::PagesStored { agent, .. } => event("stored pages of agent", *agent),
			Self::PagesCame { agent, .. } => event("pages of agent", *agent),
			Self::PagesListed { agent, .. } => event("names of agent", *agent),
			Self::StoreEmptied => event("empty store", H256::zero()),
			Self::CodeStored { hash } | Self::CodeNotFetched { hash, .. } => event("code", *hash),
			Self::Compiled { code, .. } => event("program", code.component),
			Self::Pinged { .. } => event("ping", H256::zero()),
			Self::Tick => event("tick", H256::zero()),
		}
	}
}

impl Event {
	/// Who waits for what comes of it.
	pub(crate) fn reply_to(&self) -> Option<CallId> {
		match self {
			Self::Genesis { reply, .. }
			| Self::Synced { reply, .. }
			| Self::RegistrationAsked { reply, .. }
			| Self::Called { reply, .. }
			| Self::BodyBrought { reply, .. } => Some(*reply),
			Self::EvidenceMade { request, .. } => Some(request.reply),
			_ => None,
		}
	}
}
