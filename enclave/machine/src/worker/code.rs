//! Which components and manifests this member needs, which it has, and which are compiled.
//!
//! **What the chain names is what runs.** So that nothing is refused when it names something else, code
//! that is announced or prepared is fetched and compiled as what runs now is, and its program waits. If
//! it is not ready all the same when the chain names it, the agent is: until then it answers nobody.
//! A run ends on the code that it began on, whose program stays until then.

use super::{agent::Agent, catch_up::Fetch, state::Timer};
use crate::{
	action::{Action, Kept},
	limits::REFUSED_CODE_CHARS_MAX,
	turn::Turn,
	worker::Program,
	Instant,
};
use phala_protocol::{
	agents::{AgentCode, AgentId},
	boot::WorkerId,
	clusters::Member,
	H256,
};
use rand_core::CryptoRng;
use std::{
	collections::{BTreeMap, BTreeSet, HashMap},
	ops::Bound,
	sync::Arc,
};

/// How far code is that is to run later.
#[derive(Clone, Debug)]
pub enum CodeProgress {
	/// Component or manifest have not come.
	Awaited,
	/// They are here, and being compiled or waiting for that.
	Compiling,
	/// It can run at once.
	Ready,
	/// It is no code for this worker: why not.
	Refused(Arc<str>),
}

/// See the module's text.
#[derive(Default)]
pub struct CodeBook {
	kept: Kept,
	held: BTreeSet<H256>,
	fetches: BTreeMap<H256, Fetch>,
	programs: HashMap<AgentCode, Arc<Program>>,
	/// One at a time: who upgrades without end must not take every core.
	compiling: Option<AgentCode>,
	/// Whose code it was last: the others' turn comes before its next.
	last_compiled: Option<AgentId>,
	/// The same bytes would be refused again, for the same reason.
	refused: HashMap<AgentCode, Arc<str>>,
}

impl CodeBook {
	pub fn program(&self, code: &AgentCode) -> Option<&Arc<Program>> {
		self.programs.get(code)
	}

	pub fn progress(&self, code: &AgentCode) -> CodeProgress {
		if self.programs.contains_key(code) {
			return CodeProgress::Ready;
		}
		match self.refused.get(code) {
			Some(refused) => CodeProgress::Refused(refused.clone()),
			None if self.has(code) => CodeProgress::Compiling,
			None => CodeProgress::Awaited,
		}
	}

	fn has(&self, code: &AgentCode) -> bool {
		self.held.contains(&code.component) && self.held.contains(&code.manifest)
	}

	/// What the chain names.
	pub fn wanted(&self) -> &BTreeSet<H256> {
		&self.kept.code
	}

	/// A component or manifest came.
	pub fn stored(&mut self, hash: H256) {
		if self.kept.code.contains(&hash) {
			self.held.insert(hash);
		}
		self.fetches.remove(&hash);
	}

	/// A member does not have it.
	pub fn not_fetched(&mut self, from: WorkerId, hash: H256) {
		if let Some(fetch) = self.fetches.get_mut(&hash) {
			fetch.answered(from);
		}
	}

	/// A program came, or why it is none.
	pub fn compiled(&mut self, code: AgentCode, program: Result<Program, String>) {
		self.compiling.take_if(|compiling| *compiling == code);
		if !self.kept.programs.contains(&code) {
			// The chain named something else while it was made.
			return;
		}
		match program {
			Ok(program) => {
				tracing::info!("agent {} is compiled", program.name);
				self.programs.insert(code, Arc::new(program));
			}
			Err(refused) => {
				tracing::warn!(component = ?code.component, "refused code: {refused}");
				let text: String = refused.chars().take(REFUSED_CODE_CHARS_MAX).collect();
				self.refused.insert(code, text.into());
			}
		}
	}

	/// Forgets what `agents` do not name and nothing runs on. Not while a rebuilt machine knows only what they
	/// named then.
	pub fn keep<R: CryptoRng>(
		&mut self,
		agents: &BTreeMap<AgentId, Agent>,
		reads: impl Iterator<Item = AgentCode>,
		turn: &mut Turn<'_, R>,
	) {
		if turn.is_replaying {
			return;
		}
		let mut kept = Kept { agents: agents.keys().copied().collect(), ..Kept::default() };
		for agent in agents.values() {
			for code in named(agent) {
				kept.code.extend([code.component, code.manifest]);
				kept.programs.insert(code);
			}
			kept.programs.extend(agent.running.iter().map(|running| running.code));
		}
		kept.programs.extend(reads);
		if kept != self.kept {
			self.held.retain(|hash| kept.code.contains(hash));
			self.fetches.retain(|hash, _| kept.code.contains(hash));
			self.programs.retain(|code, _| kept.programs.contains(code));
			self.refused.retain(|code, _| kept.programs.contains(code));
			turn.act(Action::Keep(kept.clone()));
			self.kept = kept;
		}
	}

	/// Fetches and compiles what is to be kept.
	pub fn advance<R: CryptoRng>(
		&mut self,
		agents: &BTreeMap<AgentId, Agent>,
		members: &BTreeMap<WorkerId, Member>,
		timers: &mut BTreeSet<(Instant, Timer)>,
		turn: &mut Turn<'_, R>,
	) {
		for hash in self.kept.code.difference(&self.held).copied().collect::<Vec<_>>() {
			let fetch = self.fetches.entry(hash).or_insert_with(|| Fetch::new(members, turn));
			if fetch.is_over(turn.now) {
				*fetch = Fetch::new(members, turn);
			}
			match fetch.next(members, turn.now) {
				Ok(Some(from)) => turn.act(Action::FetchCode { from, hash }),
				Ok(None) => {}
				Err(at) => {
					timers.insert((at, Timer::Code));
				}
			}
		}
		if self.compiling.is_none() {
			let can = |code: &AgentCode| {
				!self.programs.contains_key(code)
					&& !self.refused.contains_key(code)
					&& self.has(code)
			};
			let after = self.last_compiled.map_or(Bound::Unbounded, Bound::Excluded);
			let next = agents
				.range((after, Bound::Unbounded))
				.chain(agents)
				.flat_map(|(id, agent)| named(agent).map(move |code| (*id, code)))
				.find(|(_, code)| can(code));
			if let Some((agent, code)) = next {
				self.compiling = Some(code);
				self.last_compiled = Some(agent);
				*turn.changed = true;
				turn.act(Action::Compile(code));
			}
		}
	}
}

/// What the chain names for an agent: what runs now first, then what is to run later.
fn named(agent: &Agent) -> impl Iterator<Item = AgentCode> {
	[Some(agent.snapshot.record.code), agent.snapshot.planned].into_iter().flatten()
}
