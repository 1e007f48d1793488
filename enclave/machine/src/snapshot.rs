//! What can be read of the machine: a value, published after each turn that changed it. Whoever
//! reads it waits for nobody, and what comes from outside is verified against it.

use crate::limits::MARK_AGE_MAX_MS;
use crate::{
	worker::{AgentState, CodeProgress, DataKeys, Program},
	Config, Instant, MachineError,
};
use phala_light_client::MailboxReader;
use phala_protocol::{
	agents::{AgentCode, AgentId, AgentSnapshot, StateVersion},
	boot::{BootKeys as PublicKeys, WorkerId},
	clusters::Member,
	mailbox::{ClusterId, Envelope},
	relay::EnclaveStatus,
	BlockNumber, H256,
};
use std::{
	collections::{BTreeMap, BTreeSet},
	sync::Arc,
};

/// See the module's text. It holds agents' keys and state: it is for the enclave alone.
pub struct Snapshot {
	pub config: Config,
	/// The boot's public keys.
	pub keys: PublicKeys,
	/// Where it stands.
	pub status: EnclaveStatus,
	/// The newest finalized block that was proven to it, if it follows the chain.
	pub finalized: Option<(BlockNumber, H256)>,
	/// Signed envelopes that the chain is not proven to have consumed, in order.
	pub envelopes: Vec<Arc<Envelope>>,
	pub cluster: Option<ClusterView>,
	/// Why nothing is verified any more, if the boot is suspended.
	pub suspended: Option<MachineError>,
	pub(crate) freshness: FreshnessView,
	pub(crate) reader: Option<Arc<MailboxReader>>,
}

pub(crate) enum FreshnessView {
	/// By marks on the chain: when the newest that was seen was made.
	Marked(Instant),
	Refused(MachineError),
	/// There is no chain to be behind of.
	#[cfg(feature = "development")]
	NoChain,
}

/// A cluster as a member of it knows it.
pub struct ClusterView {
	pub cluster: ClusterId,
	/// Whether it has the cluster's data keys.
	pub has_keys: bool,
	pub members: Arc<BTreeMap<WorkerId, Member>>,
	pub agents: BTreeMap<AgentId, AgentView>,
	/// Components and manifests that the chain names.
	pub wanted_code: BTreeSet<H256>,
	pub(crate) question_keys: DataKeys,
}

/// An agent as a member of its cluster has it.
pub struct AgentView {
	/// What the chain says of it.
	pub snapshot: Arc<AgentSnapshot>,
	/// Committed and applied here.
	pub state: AgentState,
	/// Whether all that the chain committed is applied here.
	pub is_current: bool,
	/// How far its code is here.
	pub code: CodeProgress,
	/// Its code, if that is compiled.
	pub program: Option<Arc<Program>>,
	/// Code that is to run later, if there is any, and how far it is here.
	pub planned: Option<(AgentCode, CodeProgress)>,
}

impl Snapshot {
	/// Whether what needs a recent view of the chain may be done at `now`.
	pub fn require_fresh(&self, now: Instant) -> Result<(), MachineError> {
		match &self.freshness {
			FreshnessView::Refused(refused) => Err(refused.clone()),
			FreshnessView::Marked(mark) => {
				let (age_ms, max_ms) = (now.ms_since(*mark), MARK_AGE_MAX_MS);
				if age_ms > max_ms {
					return Err(MachineError::NotFresh { age_ms, max_ms });
				}
				Ok(())
			}
			#[cfg(feature = "development")]
			FreshnessView::NoChain => Ok(()),
		}
	}

	/// Most that the view of the chain can be old, in milliseconds; `None` before registration.
	pub fn view_age_ms(&self, now: Instant) -> Option<u64> {
		match &self.freshness {
			FreshnessView::Marked(mark) => Some(now.ms_since(*mark)),
			_ => None,
		}
	}

	/// Whether there is a chain at all.
	pub fn has_chain(&self) -> bool {
		match &self.freshness {
			#[cfg(feature = "development")]
			FreshnessView::NoChain => false,
			_ => true,
		}
	}

	/// The cluster, for a member.
	pub fn cluster(&self) -> Result<&ClusterView, MachineError> {
		self.cluster.as_ref().ok_or(MachineError::NoCluster)
	}

	/// An agent of the cluster.
	pub fn agent(&self, agent: AgentId) -> Result<&AgentView, MachineError> {
		self.cluster()?.agents.get(&agent).ok_or(MachineError::NoSuchAgent)
	}

	/// An agent that answers here at `now`. The order of the refusals is that of the machine.
	pub fn ready(&self, agent: AgentId, now: Instant) -> Result<&AgentView, MachineError> {
		if self.cluster.is_none() {
			// Before registration and after the end there is more to say than that.
			self.require_registered()?;
		}
		let view = self.agent(agent)?;
		self.require_fresh(now)?;
		require_state(view.state.version, view.is_current)?;
		match view.lacks_code() {
			Some(why) => Err(MachineError::NotReady { why }),
			None => Ok(view),
		}
	}

	/// How many of the cluster's agents answer here at `now`.
	pub fn ready_agents(&self, now: Instant) -> usize {
		let agents = self.cluster.iter().flat_map(|cluster| cluster.agents.keys());
		agents.filter(|agent| self.ready(**agent, now).is_ok()).count()
	}

	fn require_registered(&self) -> Result<(), MachineError> {
		match &self.freshness {
			FreshnessView::Refused(refused) => Err(refused.clone()),
			_ => Ok(()),
		}
	}
}

impl AgentView {
	/// Why its code does not run here, if it does not.
	fn lacks_code(&self) -> Option<&'static str> {
		self.program.is_none().then(|| no_program(&self.code))
	}
}

/// Why an agent whose code the chain names does not run.
pub(crate) fn no_program(code: &CodeProgress) -> &'static str {
	match code {
		CodeProgress::Compiling | CodeProgress::Ready => "its code is being compiled here",
		CodeProgress::Refused(_) => "its code is none that this worker runs",
		CodeProgress::Awaited => "its code has not come here yet",
	}
}

impl ClusterView {
	/// What an agent lacks here, for people; nothing if it answers as soon as the view of the chain is
	/// recent.
	pub fn lacks(&self, agent: &AgentView) -> Option<&'static str> {
		let state = require_state(agent.state.version, agent.is_current);
		match state {
			Err(_) if !self.has_keys => Some("the cluster's keys have not come here yet"),
			Err(MachineError::NotReady { why }) => Some(why),
			_ => agent.lacks_code(),
		}
	}
}

/// That a member has an agent's state. What its disk lacks of one that has commits it asks the others for.
pub(crate) fn require_state(version: StateVersion, is_current: bool) -> Result<(), MachineError> {
	let why = match (version, is_current) {
		(0, true) => "its birth is not committed here yet",
		(0, false) => "this member reads its state from its disk, and asks the other members for what that lacks; while nobody has all of it, it waits",
		(_, false) => "this member is catching up with its state",
		(_, true) => return Ok(()),
	};
	Err(MachineError::NotReady { why })
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_member_without_state_says_whether_there_is_one() {
		let why = |version, is_current| require_state(version, is_current).unwrap_err().to_string();
		assert!(why(0, true).contains("birth is not committed"));
		let lost = why(0, false);
		assert!(lost.contains("from its disk") && lost.contains("other members"), "{lost}");
		assert!(why(3, false).contains("catching up"));
		assert_eq!(require_state(3, true), Ok(()));
	}
}
