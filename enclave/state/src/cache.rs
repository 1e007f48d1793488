//! Pages in memory, of all agents, within a limit for each and one for all.
//!
//! Pages that are not stored yet are held: they are in no other place, so they stay until they are
//! stored or dropped, and count. All others can be fetched again, and those that were used longest ago
//! make room. What one operation needs at once it keeps itself ([`Gathered`](crate::Gathered)).

use crate::{
	error::StateError,
	layout::Layouts,
	page::{Page, PageName},
	read::PageSource,
};
use phala_protocol::agents::AgentId;
use std::{
	collections::{BTreeMap, HashMap},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
	pub agent_bytes_max: usize,
	pub bytes_max: usize,
	/// Of an agent's, those that may be pages that are not stored yet.
	pub unsaved_bytes_max: usize,
}

/// Shared by whoever reads, whatever thread it is on.
pub struct PageCache {
	layouts: Layouts,
	limits: CacheLimits,
	inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
	agents: HashMap<AgentId, AgentPages>,
	bytes: usize,
	/// Counts uses: the least is the longest ago.
	clock: u64,
	/// Pages that can go, of all agents, by last use.
	order: BTreeMap<u64, (AgentId, PageName)>,
}

#[derive(Default)]
struct AgentPages {
	pages: HashMap<PageName, Cached>,
	bytes: usize,
	unsaved_bytes: usize,
	order: BTreeMap<u64, PageName>,
}

struct Cached {
	page: Arc<Page>,
	used: u64,
	/// By how many batches that are not stored.
	held: usize,
}

/// The pages of one agent.
#[derive(Clone, Copy)]
pub struct CachedPages<'a> {
	cache: &'a PageCache,
	agent: AgentId,
}

impl PageCache {
	pub fn new(layouts: Layouts, limits: CacheLimits) -> Self {
		Self { layouts, limits, inner: Mutex::default() }
	}

	pub fn of(&self, agent: AgentId) -> CachedPages<'_> {
		CachedPages { cache: self, agent }
	}

	/// Of all agents.
	pub fn bytes(&self) -> usize {
		self.lock().bytes
	}

	/// All of an agent that is gone.
	pub fn forget(&self, agent: &AgentId) {
		let mut inner = self.lock();
		if let Some(gone) = inner.agents.remove(agent) {
			inner.bytes = inner.bytes.saturating_sub(gone.bytes);
			for used in gone.order.keys() {
				inner.order.remove(used);
			}
		}
	}

	/// A panic elsewhere leaves at most a count behind that is wrong: nothing here decides what is true.
	fn lock(&self) -> MutexGuard<'_, Inner> {
		self.inner.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

impl CachedPages<'_> {
	/// A page that was fetched.
	pub fn add(&self, page: Arc<Page>) {
		let mut inner = self.cache.lock();
		inner.insert(self.agent, page, false);
		inner.make_room(self.agent, &self.cache.limits);
	}

	/// New pages that are not stored yet. All or none.
	pub fn hold(&self, pages: &[Arc<Page>]) -> Result<(), StateError> {
		let mut inner = self.cache.lock();
		let new = pages.iter().map(|page| page.cached_bytes()).fold(0, usize::saturating_add);
		let unsaved = inner.agents.get(&self.agent).map_or(0, |agent| agent.unsaved_bytes);
		let (bytes, bytes_max) = (unsaved.saturating_add(new), self.cache.limits.unsaved_bytes_max);
		if bytes > bytes_max {
			return Err(StateError::TooMuchUnsaved { bytes, bytes_max });
		}
		for page in pages {
			inner.insert(self.agent, page.clone(), true);
		}
		inner.make_room(self.agent, &self.cache.limits);
		Ok(())
	}

	/// They are stored, and are as others now.
	pub fn saved(&self, names: &[PageName]) {
		let mut inner = self.cache.lock();
		for name in names {
			inner.release(&self.agent, name);
		}
		inner.make_room(self.agent, &self.cache.limits);
	}

	/// They are needed by nobody any more, stored or not.
	pub fn remove(&self, names: &[PageName]) {
		let mut inner = self.cache.lock();
		for name in names {
			inner.remove(&self.agent, name);
		}
	}

	/// What this agent's pages take.
	pub fn bytes(&self) -> usize {
		self.cache.lock().agents.get(&self.agent).map_or(0, |agent| agent.bytes)
	}
}

impl PageSource for CachedPages<'_> {
	fn layouts(&self) -> Layouts {
		self.cache.layouts
	}

	fn page(&self, name: &PageName) -> Option<Arc<Page>> {
		self.cache.lock().touch(&self.agent, name)
	}
}

impl Inner {
	fn touch(&mut self, agent_id: &AgentId, name: &PageName) -> Option<Arc<Page>> {
		let agent = self.agents.get_mut(agent_id)?;
		let cached = agent.pages.get_mut(name)?;
		if cached.held == 0 {
			self.clock = self.clock.saturating_add(1);
			agent.order.remove(&cached.used);
			self.order.remove(&cached.used);
			cached.used = self.clock;
			agent.order.insert(cached.used, *name);
			self.order.insert(cached.used, (*agent_id, *name));
		}
		Some(cached.page.clone())
	}

	fn insert(&mut self, agent_id: AgentId, page: Arc<Page>, hold: bool) {
		let name = page.name();
		let bytes = page.cached_bytes();
		let agent = self.agents.entry(agent_id).or_default();
		match agent.pages.get_mut(&name) {
			Some(cached) if hold => {
				if cached.held == 0 {
					agent.order.remove(&cached.used);
					self.order.remove(&cached.used);
					agent.unsaved_bytes = agent.unsaved_bytes.saturating_add(bytes);
				}
				cached.held = cached.held.saturating_add(1);
			}
			Some(_) => {
				self.touch(&agent_id, &name);
			}
			None => {
				self.clock = self.clock.saturating_add(1);
				let used = self.clock;
				agent.bytes = agent.bytes.saturating_add(bytes);
				self.bytes = self.bytes.saturating_add(bytes);
				if hold {
					agent.unsaved_bytes = agent.unsaved_bytes.saturating_add(bytes);
				} else {
					agent.order.insert(used, name);
					self.order.insert(used, (agent_id, name));
				}
				agent.pages.insert(name, Cached { page, used, held: usize::from(hold) });
			}
		}
	}

	fn release(&mut self, agent_id: &AgentId, name: &PageName) {
		let Some(agent) = self.agents.get_mut(agent_id) else { return };
		let Some(cached) = agent.pages.get_mut(name) else { return };
		if cached.held == 0 {
			return;
		}
		cached.held = cached.held.saturating_sub(1);
		if cached.held == 0 {
			self.clock = self.clock.saturating_add(1);
			cached.used = self.clock;
			agent.unsaved_bytes = agent.unsaved_bytes.saturating_sub(cached.page.cached_bytes());
			agent.order.insert(cached.used, *name);
			self.order.insert(cached.used, (*agent_id, *name));
		}
	}

	fn remove(&mut self, agent_id: &AgentId, name: &PageName) {
		let Some(agent) = self.agents.get_mut(agent_id) else { return };
		let Some(cached) = agent.pages.remove(name) else { return };
		let bytes = cached.page.cached_bytes();
		agent.bytes = agent.bytes.saturating_sub(bytes);
		self.bytes = self.bytes.saturating_sub(bytes);
		if cached.held == 0 {
			agent.order.remove(&cached.used);
			self.order.remove(&cached.used);
		} else {
			agent.unsaved_bytes = agent.unsaved_bytes.saturating_sub(bytes);
		}
		if agent.pages.is_empty() {
			self.agents.remove(agent_id);
		}
	}

	/// First of the agent's own, then of all.
	fn make_room(&mut self, agent_id: AgentId, limits: &CacheLimits) {
		while let Some(agent) = self.agents.get(&agent_id) {
			let oldest = agent.order.values().next().copied();
			match oldest {
				Some(name) if agent.bytes > limits.agent_bytes_max => self.remove(&agent_id, &name),
				_ => break,
			}
		}
		while self.bytes > limits.bytes_max {
			let Some((agent, name)) = self.order.values().next().copied() else { break };
			self.remove(&agent, &name);
		}
	}
}
