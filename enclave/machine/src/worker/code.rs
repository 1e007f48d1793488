//! Which components and manifests this member needs, which it has, and which are compiled.

use super::{catch_up::Fetch, state::Timer};
use crate::{
	action::{Action, Kept},
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
	collections::{BTreeMap, BTreeSet, HashMap, HashSet},
	ops::Bound,
	sync::Arc,
};

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
	/// The same bytes would be refused again.
	refused: HashSet<AgentCode>,
}

impl CodeBook {
	pub fn program(&self, code: &AgentCode) -> Option<&Arc<Program>> {
		self.programs.get(code)
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
		match program {
			Ok(program) => {
				tracing::info!("agent {} is compiled", program.name);
				self.programs.insert(code, Arc::new(program));
			}
			Err(refused) => {
				tracing::warn!(component = ?code.component, "refused code: {refused}");
				self.refused.insert(code);
			}
		}
	}

	/// Fetches and compiles what `agents` name, forgets what they do not.
	pub fn advance<R: CryptoRng>(
		&mut self,
		agents: &BTreeMap<AgentId, super::agent::Agent>,
		members: &BTreeMap<WorkerId, Member>,
		timers: &mut BTreeSet<(Instant, Timer)>,
		turn: &mut Turn<'_, R>,
	) {
		let mut kept = Kept { agents: agents.keys().copied().collect(), ..Kept::default() };
		for agent in agents.values() {
			let (now, planned) = (agent.snapshot.record.code, agent.snapshot.planned);
			for code in [Some(now), planned].into_iter().flatten() {
				kept.code.extend([code.component, code.manifest]);
			}
			if !kept.programs.contains(&now) {
				kept.programs.push(now);
			}
		}
		if kept != self.kept {
			self.held.retain(|hash| kept.code.contains(hash));
			self.fetches.retain(|hash, _| kept.code.contains(hash));
			self.programs.retain(|code, _| kept.programs.contains(code));
			self.refused.retain(|code| kept.programs.contains(code));
			turn.act(Action::Keep(kept.clone()));
			self.kept = kept;
		}
		for hash in self.kept.code.difference(&self.held).copied().collect::<Vec<_>>() {
			let own = turn.config.worker;
			let fetch = self.fetches.entry(hash).or_insert_with(|| Fetch::new(own, members));
			if fetch.is_over(turn.now) {
				*fetch = Fetch::new(own, members);
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
					&& !self.refused.contains(code)
					&& self.held.contains(&code.component)
					&& self.held.contains(&code.manifest)
			};
			let after = self.last_compiled.map_or(Bound::Unbounded, Bound::Excluded);
			let next = agents
				.range((after, Bound::Unbounded))
				.chain(agents)
				.map(|(id, agent)| (*id, agent.snapshot.record.code))
				.find(|(_, code)| can(code));
			if let Some((agent, code)) = next {
				self.compiling = Some(code);
				self.last_compiled = Some(agent);
				turn.act(Action::Compile(code));
			}
		}
	}
}
