//! Calls that only read: how many run at once, and which wait.
//!
//! So many of one agent run at once, so many wait; the next is refused by name. No agent alone can
//! take all places, those that wait take turns by agent, and a quarter of all places stays for what
//! writes. A call that another agent's run makes holds its caller's place while it waits: it never
//! waits for one of its own, and there are so many places for those.

use super::jobs::{AcceptedCode, RunId};
use crate::{
	action::CallId,
	limits::{
		AGENT_REQUESTS_WAITING_MAX, AGENT_RUNS_MAX, NESTED_READS_MAX, READS_MAX,
		REQUEST_WAIT_MS_MAX,
	},
	Instant, MachineError,
};
use phala_keys::hpke::EncryptionKey;
use phala_protocol::{
	agents::{AgentCode, AgentId},
	caller::Caller,
	requests::CallInput,
	BlockNumber,
};
use std::{
	collections::{BTreeMap, VecDeque},
	ops::Bound,
	sync::Arc,
};

/// A call that only reads.
pub struct Read {
	pub id: RunId,
	pub agent: AgentId,
	pub to: CallId,
	pub caller: Option<Caller>,
	pub by_agent: bool,
	pub input: Arc<CallInput>,
	pub reply: Option<(EncryptionKey, [u8; 32])>,
	/// Last block at which a sealed one is taken.
	pub expiry: BlockNumber,
	pub accepted: AcceptedCode,
	/// When it stops waiting.
	pub until: Instant,
}

/// What a running read is proven with.
pub struct RunningRead {
	pub read: Read,
	pub code: AgentCode,
	pub state_version: u64,
	/// The newest finalized block when it started: the code was the agent's there.
	pub height: BlockNumber,
}

/// See the module's text.
#[derive(Default)]
pub struct Reads {
	running: BTreeMap<RunId, RunningRead>,
	running_of_agent: BTreeMap<AgentId, usize>,
	/// Those that are no calls by agents.
	running_from_outside: usize,
	running_nested: usize,
	/// By agent; none of it is empty.
	waiting: BTreeMap<AgentId, VecDeque<Read>>,
	/// Whose turn it was last among those that wait.
	last_served: Option<AgentId>,
	/// Whose answers are being signed.
	answering: BTreeMap<RunId, CallId>,
}

impl Reads {
	/// Whether it may run now; if not, it waits, or is refused.
	pub fn admit(&mut self, read: Read) -> Result<Option<Read>, MachineError> {
		if self.has_place(read.agent, read.by_agent) {
			return Ok(Some(read));
		}
		if read.by_agent {
			return Err(MachineError::Busy);
		}
		let of_agent = self.waiting.get(&read.agent).map_or(0, VecDeque::len);
		if of_agent >= AGENT_REQUESTS_WAITING_MAX {
			let (running, waiting) = (AGENT_RUNS_MAX, AGENT_REQUESTS_WAITING_MAX);
			return Err(MachineError::AgentRequests { running, waiting });
		}
		self.waiting.entry(read.agent).or_default().push_back(read);
		Ok(None)
	}

	/// What the reads that run now are run by.
	pub fn running_codes(&self) -> impl Iterator<Item = AgentCode> + '_ {
		self.running.values().map(|running| running.code)
	}

	/// Takes a place for it.
	pub fn start(&mut self, running: RunningRead) {
		*self.running_of_agent.entry(running.read.agent).or_default() += 1;
		*self.running_of_kind(running.read.by_agent) += 1;
		self.running.insert(running.read.id, running);
	}

	/// A run is over: its place is free.
	pub fn end(&mut self, run: RunId) -> Option<RunningRead> {
		let ended = self.running.remove(&run)?;
		if let Some(count) = self.running_of_agent.get_mut(&ended.read.agent) {
			*count = count.saturating_sub(1);
			if *count == 0 {
				self.running_of_agent.remove(&ended.read.agent);
			}
		}
		let of_kind = self.running_of_kind(ended.read.by_agent);
		*of_kind = of_kind.saturating_sub(1);
		Some(ended)
	}

	/// The next that waits and has a place now: of the next agent in turn.
	pub fn next(&mut self) -> Option<Read> {
		let agent = match self.last_served {
			Some(last) => {
				let after = self.waiting.range((Bound::Excluded(last), Bound::Unbounded));
				let mut in_turn = after.chain(self.waiting.range(..=last));
				in_turn.find(|(agent, _)| self.has_place(**agent, false))
			}
			None => self.waiting.iter().find(|(agent, _)| self.has_place(**agent, false)),
		};
		let agent = *agent?.0;
		self.last_served = Some(agent);
		let waiting = self.waiting.get_mut(&agent)?;
		let read = waiting.pop_front();
		if waiting.is_empty() {
			self.waiting.remove(&agent);
		}
		read
	}

	/// Those that waited too long.
	pub fn expire(&mut self, now: Instant) -> Vec<(CallId, MachineError)> {
		let waited_ms = REQUEST_WAIT_MS_MAX;
		let mut late = Vec::new();
		for waiting in self.waiting.values_mut() {
			// They came in this order.
			while let Some(read) = waiting.pop_front_if(|read| read.until <= now) {
				late.push((read.to, MachineError::WaitTime { waited_ms }));
			}
		}
		self.waiting.retain(|_, waiting| !waiting.is_empty());
		late
	}

	/// Its answer is being signed.
	pub fn answer(&mut self, run: RunId, to: CallId) {
		self.answering.insert(run, to);
	}

	/// Its answer is signed: who gets it.
	pub fn answered(&mut self, run: RunId) -> Option<CallId> {
		self.answering.remove(&run)
	}

	fn has_place(&self, agent: AgentId, by_agent: bool) -> bool {
		let of_agent = self.running_of_agent.get(&agent).copied().unwrap_or_default();
		let has_place_of_kind = match by_agent {
			true => self.running_nested < NESTED_READS_MAX,
			false => self.running_from_outside < READS_MAX,
		};
		of_agent < AGENT_RUNS_MAX && has_place_of_kind
	}

	fn running_of_kind(&mut self, by_agent: bool) -> &mut usize {
		match by_agent {
			true => &mut self.running_nested,
			false => &mut self.running_from_outside,
		}
	}
}
