//! Calls that only read: how many run at once, and which wait.
//!
//! So many of one agent run at once, so many wait; the next is refused by name. No agent alone can
//! take all places, and a quarter of all places stays for what writes. A call that another agent's
//! run makes holds its caller's place while it waits: it never waits for one of its own.

use super::jobs::RunId;
use crate::{
	action::CallId,
	limits::{AGENT_REQUESTS_WAITING_MAX, AGENT_RUNS_MAX, READS_MAX, REQUEST_WAIT_MS_MAX},
	Instant, MachineError,
};
use phala_keys::hpke::EncryptionKey;
use phala_protocol::{
	agents::{AgentCode, AgentId},
	caller::Caller,
	requests::CallInput,
	H256,
};
use std::{
	collections::{BTreeMap, VecDeque},
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
	/// The component that the caller accepted, if it said.
	pub code: Option<H256>,
	/// When it stops waiting.
	pub until: Instant,
}

/// What a running read is proven with.
pub struct RunningRead {
	pub read: Read,
	pub code: AgentCode,
	pub state_version: u64,
}

/// See the module's text.
#[derive(Default)]
pub struct Reads {
	running: BTreeMap<RunId, RunningRead>,
	running_of_agent: BTreeMap<AgentId, usize>,
	/// Those that are no calls by agents.
	running_from_outside: usize,
	waiting: VecDeque<Read>,
	/// Whose answers are being signed.
	answering: BTreeMap<RunId, CallId>,
}

impl Reads {
	/// Whether it may run now; if not, it waits, or is refused.
	pub fn admit(&mut self, read: Read) -> Result<Option<Read>, MachineError> {
		if self.has_place(&read) {
			return Ok(Some(read));
		}
		if read.by_agent {
			return Err(MachineError::Busy);
		}
		let of_agent = self.waiting.iter().filter(|other| other.agent == read.agent).count();
		if of_agent >= AGENT_REQUESTS_WAITING_MAX {
			let (running, waiting) = (AGENT_RUNS_MAX, AGENT_REQUESTS_WAITING_MAX);
			return Err(MachineError::AgentRequests { running, waiting });
		}
		self.waiting.push_back(read);
		Ok(None)
	}

	/// Takes a place for it.
	pub fn start(&mut self, running: RunningRead) {
		*self.running_of_agent.entry(running.read.agent).or_default() += 1;
		self.running_from_outside += usize::from(!running.read.by_agent);
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
		let outside = usize::from(!ended.read.by_agent);
		self.running_from_outside = self.running_from_outside.saturating_sub(outside);
		Some(ended)
	}

	/// The next that waits and has a place now.
	pub fn next(&mut self) -> Option<Read> {
		let at = self.waiting.iter().position(|read| self.has_place(read))?;
		self.waiting.remove(at)
	}

	/// Those that waited too long.
	pub fn expire(&mut self, now: Instant) -> Vec<(CallId, MachineError)> {
		let (late, rest): (VecDeque<_>, VecDeque<_>) =
			std::mem::take(&mut self.waiting).into_iter().partition(|read| read.until <= now);
		self.waiting = rest;
		let waited_ms = REQUEST_WAIT_MS_MAX;
		late.into_iter().map(|read| (read.to, MachineError::WaitTime { waited_ms })).collect()
	}

	/// Its answer is being signed.
	pub fn answer(&mut self, run: RunId, to: CallId) {
		self.answering.insert(run, to);
	}

	/// Its answer is signed: who gets it.
	pub fn answered(&mut self, run: RunId) -> Option<CallId> {
		self.answering.remove(&run)
	}

	fn has_place(&self, read: &Read) -> bool {
		let of_agent = self.running_of_agent.get(&read.agent).copied().unwrap_or_default();
		of_agent < AGENT_RUNS_MAX && (read.by_agent || self.running_from_outside < READS_MAX)
	}
}
