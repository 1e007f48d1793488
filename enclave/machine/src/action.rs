//! What the machine wants done. Policy is all inside: the shell only carries out.

use crate::{task::Task, worker::Run, MachineError, Snapshot};
use codec::{Decode, Encode};
use phala_protocol::{
	agents::{AgentCode, AgentId, Availability},
	boot::{BootKeys as PublicKeys, WorkerId},
	clusters::Member,
	relay::{EnclaveStatus, Registration},
	requests::{ProvenAnswer, SignedAnswer},
	BlockNumber, H256,
};
use std::{collections::BTreeSet, sync::Arc};

/// Whoever waits for an answer: a number of the shell's, unique in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CallId(pub u64);

/// One thing to do.
pub enum Action {
	Reply {
		to: CallId,
		answer: Result<Answer, MachineError>,
	},
	/// Ask the platform for evidence over `report_data`; ends in `EvidenceMade`.
	MakeEvidence(EvidenceRequest),
	/// Public-key cryptography, on a pool; ends in `Computed`.
	Compute(Box<Task>),
	/// Run an agent; ends in `RunEnded`.
	Run(Box<Run>),
	/// Have another member keep what a run wrote; ends in `BodySent`.
	Send {
		to: Member,
		body: Arc<ReplicatedBody>,
	},
	/// Ask another member whether it is there; ends in `Pinged`, within
	/// [`PING_WAIT_MS`](crate::limits::PING_WAIT_MS).
	Ping {
		member: Member,
	},
	/// Have the disk put sealed pages of an agent by their names, durably, and delete others; ends in
	/// `PagesStored`. No name is in both, and no other operation of the agent is under way.
	StorePages {
		id: u64,
		agent: AgentId,
		put: Vec<(H256, Vec<u8>)>,
		delete: Vec<H256>,
	},
	/// Ask the disk for pages of an agent; ends in `PagesCame`.
	ReadPages {
		id: u64,
		agent: AgentId,
		names: Vec<H256>,
	},
	/// Ask the disk for which names it has of an agent, in ascending order, at most
	/// [`LISTED_NAMES_MAX`](crate::limits::LISTED_NAMES_MAX); ends in `PagesListed`.
	ListPages {
		id: u64,
		agent: AgentId,
		after: Option<H256>,
	},
	/// Ask another member for pages of an agent; ends in `PagesCame`. `question` is what it is asked by: the
	/// SCALE of a [`SealedQuestion`](phala_keys::pages::SealedQuestion) for `names`.
	FetchPages {
		id: u64,
		from: Member,
		agent: AgentId,
		names: Vec<H256>,
		question: Vec<u8>,
	},
	/// Ends in `CodeStored` or `CodeNotFetched`.
	FetchCode {
		from: Member,
		hash: H256,
	},
	/// Make a program of a component and a manifest that are in the store; ends in `Compiled`.
	Compile(AgentCode),
	/// What is kept of components, programs and logs; all else is forgotten.
	Keep(Kept),
	/// Have this proof ready for whoever asks for it by its id.
	ShowProof(Box<SignedAnswer>),
	/// What can be read of the machine from now on.
	Publish(Arc<Snapshot>),
}

/// What a caller gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
	/// To a bundle.
	Status(Box<EnclaveStatus>),
	Registration(Box<Registration>),
	/// To a plain call.
	Plain(Box<ProvenAnswer>),
	/// To a sealed call: SCALE of the `Sealed`.
	Sealed(Vec<u8>),
	/// To a lease holder: its state is here, durably.
	Acknowledged(Availability),
}

impl Answer {
	/// As it stands in a paid request's result.
	pub(crate) fn to_bytes(&self) -> Vec<u8> {
		match self {
			Self::Plain(answer) => answer.encode(),
			Self::Sealed(bytes) => bytes.clone(),
			Self::Status(_) | Self::Registration(_) | Self::Acknowledged(_) => Vec::new(),
		}
	}
}

/// What the platform is to vouch for, and what the answer is for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EvidenceRequest {
	pub reply: CallId,
	pub report_data: [u8; 64],
	pub(crate) worker: WorkerId,
	pub(crate) keys: PublicKeys,
	pub(crate) recent_block: BlockNumber,
	pub(crate) renewal: bool,
}

/// See [`Action::Keep`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub struct Kept {
	pub code: BTreeSet<H256>,
	pub programs: BTreeSet<AgentCode>,
	pub agents: BTreeSet<AgentId>,
}

/// What a run wrote, on its way to another member: the body of `POST /v1/cluster/bodies`, as SCALE.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReplicatedBody {
	pub worker: WorkerId,
	pub boot: phala_protocol::boot::BootNumber,
	pub agent: AgentId,
	/// Hash of the state that it is made on.
	pub base_hash: H256,
	/// Hash of the state that it leads to.
	pub new_hash: H256,
	/// The run's writes, sealed.
	pub body: phala_keys::state::SealedBody,
	/// By the sender's boot.
	pub signature: [u8; 64],
}
