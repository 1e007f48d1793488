//! What a member of a cluster knows.

use super::{
	agent::{Agent, JobEnd},
	catch_up::Sweep,
	code::CodeBook,
	keyring::KeyRing,
	reads::Reads,
	signing::Signing,
	tree::Tree,
	watch::Watch,
	witness::Witness,
};
use crate::{
	action::{Answer, CallId},
	limits::{CALL_WAIT_MS_MAX, READ_WAIT_MS_MAX},
	snapshot::{require_state, AgentView, ClusterView},
	turn::Turn,
	Instant, MachineError,
};
use phala_protocol::{
	agents::{AgentId, AgentSnapshot},
	boot::WorkerId,
	clusters::{ClusterSnapshot, Member},
	mailbox::ClusterId,
	H256,
};
use rand_core::CryptoRng;
use std::{
	collections::{BTreeMap, BTreeSet, HashMap},
	sync::Arc,
};

/// What is to be looked at again at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
	/// A caller has waited for as long as callers wait.
	Caller(CallId),
	/// Replication, catching up, its disk or a run that did not start.
	Agent(AgentId),
	/// Calls that wait for a place.
	Reads,
	/// Components and manifests.
	Code,
	/// Those who write agents.
	Watch,
}

/// A caller that has no answer yet.
#[derive(Clone, Copy)]
pub struct Waiting {
	pub until: Instant,
	pub is_write: bool,
}

/// What this boot knows and does as a member.
pub struct Membership {
	pub cluster: ClusterId,
	pub members: Arc<BTreeMap<WorkerId, Member>>,
	pub keyring: KeyRing,
	pub agents: BTreeMap<AgentId, Agent>,
	/// What the disk still has of agents that were given up.
	pub gone: BTreeMap<AgentId, Tree>,
	pub code: CodeBook,
	pub reads: Reads,
	pub signing: Signing,
	pub watch: Watch,
	pub witness: Witness,
	/// Callers that have no answer yet.
	pub callers: HashMap<CallId, Waiting>,
	pub timers: BTreeSet<(Instant, Timer)>,
	/// Whose effects that nobody has paid for went to the chain last.
	pub unpaid_last: AgentId,
	/// This boot was a member before, here or elsewhere: what it said then that it keeps may still count.
	has_left: bool,
}

impl Membership {
	/// From what the chain told a new member.
	pub fn join(snapshot: ClusterSnapshot, has_left: bool) -> Self {
		let ClusterSnapshot { cluster, generation, members, keys, .. } = snapshot;
		Self {
			cluster,
			members: Arc::new(members.into_iter().map(|member| (member.worker, member)).collect()),
			keyring: KeyRing::new(cluster, generation, keys),
			agents: BTreeMap::new(),
			gone: BTreeMap::new(),
			code: CodeBook::default(),
			reads: Reads::default(),
			signing: Signing::default(),
			watch: Watch::default(),
			witness: Witness::default(),
			callers: HashMap::new(),
			timers: BTreeSet::new(),
			unpaid_last: AgentId::zero(),
			has_left,
		}
	}

	/// An agent of the cluster, as it stands on the chain.
	pub fn learn_agent<R: CryptoRng>(&mut self, snapshot: AgentSnapshot, turn: &mut Turn<'_, R>) {
		if snapshot.record.cluster != self.cluster {
			return;
		}
		match self.agents.get_mut(&snapshot.agent) {
			Some(agent) => {
				let (old, new) = (agent.snapshot.lease, snapshot.lease);
				agent.snapshot = Arc::new(snapshot);
				if old != new {
					let ended = agent.lose_lease(new.map(|lease| lease.worker));
					self.end_jobs(ended, turn);
				}
			}
			None => {
				let mut agent = Agent::new(snapshot);
				if self.has_left {
					agent.sweep = Sweep::Done;
				}
				self.agents.insert(agent.id, agent);
			}
		}
	}

	/// An agent was given up: nothing of it stays, and nobody who waits is left without an answer.
	pub fn forget<R: CryptoRng>(&mut self, agent: AgentId, turn: &mut Turn<'_, R>) {
		let Some(mut gone) = self.agents.remove(&agent) else { return };
		*turn.changed = true;
		for to in gone.holders_waiting() {
			turn.reply(to, Err(MachineError::NoSuchAgent));
		}
		for ended in gone.lose_lease(None) {
			self.answer(ended.to, Err(MachineError::NoSuchAgent), turn);
		}
		gone.tree.clear();
		self.gone.insert(agent, gone.tree);
		self.clear_disk(agent, turn);
	}

	/// Has the disk delete what it has of an agent that was given up, after what it is doing.
	pub fn clear_disk<R: CryptoRng>(&mut self, agent: AgentId, turn: &mut Turn<'_, R>) {
		let Self { gone, keyring, timers, .. } = self;
		let Some(tree) = gone.get_mut(&agent) else { return };
		if let Some(at) = tree.flush(agent, keyring, turn) {
			timers.insert((at, Timer::Agent(agent)));
		}
		if tree.is_disk_idle() {
			gone.remove(&agent);
		}
	}

	/// An agent that answers here.
	pub fn ready<R>(&self, agent: AgentId, turn: &Turn<'_, R>) -> Result<&Agent, MachineError> {
		let agent = self.agents.get(&agent).ok_or(MachineError::NoSuchAgent)?;
		turn.fresh.clone()?;
		require_state(agent.state.version, agent.is_current())?;
		Ok(agent)
	}

	/// Somebody waits for an answer.
	pub fn expect_answer<R>(&mut self, to: CallId, is_write: bool, turn: &Turn<'_, R>) {
		let wait_ms = if is_write { CALL_WAIT_MS_MAX } else { READ_WAIT_MS_MAX };
		let until = turn.now.after_ms(wait_ms);
		self.callers.insert(to, Waiting { until, is_write });
		self.timers.insert((until, Timer::Caller(to)));
	}

	/// It waited for as long as callers wait.
	pub fn end_waiting<R: CryptoRng>(&mut self, to: CallId, turn: &mut Turn<'_, R>) {
		let Some(waiting) = self.callers.get(&to) else { return };
		let refused = match waiting.is_write {
			true => MachineError::MayStillCommit,
			false => MachineError::ReadTime { waited_ms: READ_WAIT_MS_MAX },
		};
		self.answer(to, Err(refused), turn);
	}

	/// Answers whoever still waits.
	pub fn answer<R: CryptoRng>(
		&mut self,
		to: CallId,
		answer: Result<Answer, MachineError>,
		turn: &mut Turn<'_, R>,
	) {
		if let Some(Waiting { until, .. }) = self.callers.remove(&to) {
			self.timers.remove(&(until, Timer::Caller(to)));
			turn.reply(to, answer);
		}
	}

	pub fn end_jobs<R: CryptoRng>(&mut self, ended: Vec<JobEnd>, turn: &mut Turn<'_, R>) {
		for JobEnd { to, result } in ended {
			self.answer(to, result, turn);
		}
	}

	/// The membership is over: nobody is left without an answer.
	pub fn leave(self) -> Vec<CallId> {
		let mut callers: Vec<_> = self.callers.into_keys().collect();
		let holders = self.agents.into_values().flat_map(|mut agent| agent.holders_waiting());
		callers.extend(holders);
		callers.sort();
		callers
	}

	/// As others may read it.
	pub fn view(&self) -> ClusterView {
		let agents = self.agents.values().map(|agent| {
			let planned = agent.snapshot.planned;
			let view = AgentView {
				snapshot: agent.snapshot.clone(),
				state: agent.state.clone(),
				is_current: agent.is_current(),
				code: self.code.progress(&agent.snapshot.record.code),
				program: self.code.program(&agent.snapshot.record.code).cloned(),
				planned: planned.map(|code| (code, self.code.progress(&code))),
			};
			(agent.id, view)
		});
		ClusterView {
			cluster: self.cluster,
			has_keys: self.keyring.is_ready(),
			members: self.members.clone(),
			agents: agents.collect(),
			wanted_code: self.wanted_code(),
			question_keys: self.keyring.question_keys(),
		}
	}

	fn wanted_code(&self) -> BTreeSet<H256> {
		self.code.wanted().clone()
	}
}
