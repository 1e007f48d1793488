//! Comes to a state that the chain has and this member has not: page by page, from its own disk first and
//! from the other members for what that lacks.
//!
//! The chain says the hash of the root. Under it the root is stored, and from there on every page names those
//! below it. Whatever is given is opened and checked against the name that it was asked for by, so who lies
//! gives nothing, and it does not matter who gave what. If the chain goes on meanwhile, the walk begins again at the
//! new root, and passes through what is here already.
//!
//! Members are asked one after another, from a random one on, so that no member is everybody's first.

use super::{
	agent::Agent,
	agent_state::AgentState,
	keyring::KeyRing,
	tree::{Seals, Tree},
};
use crate::worker::state::{Membership, Timer};
use crate::{
	action::Action,
	limits::{
		DISK_ATTEMPTS_MAX, LISTED_NAMES_MAX, PAGES_ASKED_MAX, PEER_RETRY_MS, STATE_PAGES_MAX,
	},
	task::{ToAsk, Work},
	turn::Turn,
	Instant,
};
use phala_protocol::{agents::AgentId, boot::WorkerId, clusters::Member, H256};
use phala_state::{Check, PageName, PageSource, StateError, Walk, LAYOUTS};
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Something that is being fetched.
pub struct Fetch {
	asked: Option<WorkerId>,
	/// Members that were not asked yet.
	left: VecDeque<WorkerId>,
	/// When to begin again: what nobody has now may be there in a moment.
	retry_at: Option<Instant>,
}

impl Fetch {
	/// From every other member in turn, from a random one on.
	pub fn new<R: CryptoRng>(members: &BTreeMap<WorkerId, Member>, turn: &mut Turn<'_, R>) -> Self {
		let own = turn.config.worker;
		let mut left: VecDeque<_> =
			members.keys().copied().filter(|worker| *worker != own).collect();
		let start = usize::from(turn.random()[0]);
		left.rotate_left(start.checked_rem(left.len()).unwrap_or(0));
		Self { asked: None, left, retry_at: None }
	}

	/// Whether a new one is to take its place.
	pub fn is_over(&self, now: Instant) -> bool {
		self.asked.is_none() && self.retry_at.is_some_and(|at| at <= now)
	}

	/// Whom to ask now. After the last, nobody for a while: `Err` says until when.
	pub fn next(
		&mut self,
		members: &BTreeMap<WorkerId, Member>,
		now: Instant,
	) -> Result<Option<Member>, Instant> {
		if self.asked.is_some() || self.retry_at.is_some() {
			return Ok(None);
		}
		while let Some(worker) = self.left.pop_front() {
			if let Some(member) = members.get(&worker) {
				self.asked = Some(worker);
				return Ok(Some(member.clone()));
			}
		}
		let at = now.after_ms(PEER_RETRY_MS);
		self.retry_at = Some(at);
		Err(at)
	}

	/// `from` answered: whether it had been asked.
	pub fn answered(&mut self, from: WorkerId) -> bool {
		self.asked.take_if(|asked| *asked == from).is_some()
	}
}

/// How far the disk was looked through for what nobody needs.
#[derive(Clone, Copy)]
pub enum Sweep {
	/// What comes after this name is still to be listed; not before a time, if the disk has just failed.
	After(Option<H256>, Option<Instant>),
	/// The list of this number is under way, of what comes after this name.
	Listing(u64, Option<H256>),
	Done,
}

/// What was asked for, in this order, and of whom: `None` for the disk.
struct Asking {
	id: u64,
	names: Vec<PageName>,
	of: Option<WorkerId>,
	/// The disk began empty since: what it gives now is on it no more.
	is_void: bool,
}

/// A state on its way here.
pub struct CatchUp {
	/// Hash of its root.
	target: H256,
	/// Once the root came.
	walk: Option<Walk>,
	is_root_stored: bool,
	/// Pages that the walk came through.
	seen: BTreeSet<PageName>,
	not_on_disk: BTreeSet<PageName>,
	/// How often in a row the disk failed, which says nothing of what it has; and when to go on after it. At
	/// the last it is left alone.
	disk_failures: u32,
	not_before: Option<Instant>,
	asking: Option<Asking>,
	fetch: Option<Fetch>,
	/// It is no state: whoever wrote it was not the code that the chain allows.
	is_broken: bool,
}

impl CatchUp {
	fn new(target: H256) -> Self {
		Self {
			target,
			walk: None,
			is_root_stored: false,
			seen: BTreeSet::new(),
			not_on_disk: BTreeSet::new(),
			disk_failures: 0,
			not_before: None,
			asking: None,
			fetch: None,
			is_broken: false,
		}
	}

	/// The chain went on. What is under way is of use all the same.
	fn begin_again(&mut self, target: H256) {
		*self = Self {
			asking: self.asking.take(),
			fetch: self.fetch.take(),
			disk_failures: self.disk_failures,
			not_before: self.not_before,
			..Self::new(target)
		};
	}

	/// The disk has nothing any more of what it gave, or is about to give.
	pub fn disk_emptied(&mut self) {
		self.is_root_stored = false;
		if let Some(asking) = &mut self.asking {
			asking.is_void = true;
		}
	}

	/// What is missing next; nothing if all is here.
	fn missing(&mut self, tree: &Tree) -> Result<Vec<PageName>, StateError> {
		let Self { walk, seen, target, .. } = self;
		let Some(walk) = walk else { return Ok(vec![PageName(*target)]) };
		let read = |name: &PageName| {
			let page = tree.pages().page(name)?;
			seen.insert(*name);
			Some(page)
		};
		walk.missing(read, |_| false, PAGES_ASKED_MAX)
	}

	/// A page came, or bytes that are none: whether it is of use.
	fn take(
		&mut self,
		tree: &mut Tree,
		seals: &Seals,
		name: PageName,
		bytes: &[u8],
		is_stored: bool,
	) -> bool {
		if name.0 == self.target && self.walk.is_none() {
			let root = seals.open_root(name.0, bytes);
			if root.is_some_and(|root| root.pages > STATE_PAGES_MAX) {
				tracing::error!("a committed state has more than {STATE_PAGES_MAX} pages");
				self.is_broken = true;
			}
			let walk = root
				.filter(|_| !self.is_broken)
				.and_then(|root| Walk::new(LAYOUTS, root, Check::Contents).ok());
			self.is_root_stored = is_stored;
			self.walk = walk;
			return self.walk.is_some();
		}
		let Some(page) = seals.open(name, bytes) else { return false };
		tree.add(page, is_stored);
		true
	}
}

impl Membership {
	/// A disk or a member gave pages of an agent's state, or did not.
	pub fn on_pages_came<R>(
		&mut self,
		id: u64,
		agent: AgentId,
		pages: Option<Vec<Option<Vec<u8>>>>,
		turn: &mut Turn<'_, R>,
	) {
		let Self { agents, keyring, .. } = self;
		if let Some(agent) = agents.get_mut(&agent) {
			agent.pages_came(id, pages, keyring, turn);
		}
	}
}

impl Agent {
	/// Whether it has come to nothing of a state that the chain has.
	pub fn catch_up<R: CryptoRng>(
		&mut self,
		members: &BTreeMap<WorkerId, Member>,
		timers: &mut BTreeSet<(Instant, Timer)>,
		keyring: &KeyRing,
		turn: &mut Turn<'_, R>,
	) {
		if self.is_current() {
			self.catch_up = None;
			self.sweep(timers, turn);
			return;
		}
		// Without keys nothing can be opened; a rebuilt machine first hears what became of it.
		if turn.is_replaying || !keyring.is_ready() {
			return;
		}
		let target = self.snapshot.record.state_hash;
		let catch_up = self.catch_up.get_or_insert_with(|| CatchUp::new(target));
		if catch_up.target != target {
			catch_up.begin_again(target);
		}
		if catch_up.is_broken {
			return;
		}
		if let Some(at) = catch_up.not_before.filter(|at| *at > turn.now) {
			timers.insert((at, Timer::Agent(self.id)));
			return;
		}
		let missing = match catch_up.missing(&self.tree) {
			Ok(missing) => missing,
			Err(error) => {
				tracing::error!(agent = ?self.id, "a committed state: {error}");
				catch_up.is_broken = true;
				return;
			}
		};
		if missing.is_empty() {
			return self.caught_up(turn);
		}
		if catch_up.asking.is_some() {
			return;
		}
		let agent = self.id;
		let is_disk_dead = catch_up.disk_failures >= DISK_ATTEMPTS_MAX;
		let (absent, unread): (Vec<_>, Vec<_>) = missing
			.into_iter()
			.partition(|name| is_disk_dead || catch_up.not_on_disk.contains(name));
		let id = turn.next_id();
		if !unread.is_empty() {
			let names = unread.iter().map(|name| name.0).collect();
			catch_up.asking = Some(Asking { id, names: unread, of: None, is_void: false });
			return turn.act(Action::ReadPages { id, agent, names });
		}
		if catch_up.fetch.as_ref().is_none_or(|fetch| fetch.is_over(turn.now)) {
			catch_up.fetch = Some(Fetch::new(members, turn));
		}
		let Some(fetch) = &mut catch_up.fetch else { return };
		// Before somebody is chosen: whom nobody asks never answers.
		let Some(cipher) = keyring.page_cipher(agent) else { return };
		match fetch.next(members, turn.now) {
			Ok(Some(from)) => {
				let names: Vec<_> = absent.iter().map(|name| name.0).collect();
				let of = Some(from.worker);
				catch_up.asking = Some(Asking { id, names: absent, of, is_void: false });
				let height = turn.height;
				let to_ask = ToAsk { id, agent, from, names, cipher, height };
				turn.compute(Work::AskForPages(Box::new(to_ask)));
			}
			Ok(None) => {}
			Err(at) => {
				// The disk may have been at fault only then.
				catch_up.not_on_disk.clear();
				catch_up.disk_failures = 0;
				timers.insert((at, Timer::Agent(agent)));
			}
		}
	}

	/// Whether it still wants what it is about to ask for.
	pub fn asks(&self, id: u64) -> bool {
		let asking = self.catch_up.as_ref().and_then(|catch_up| catch_up.asking.as_ref());
		asking.is_some_and(|asking| asking.id == id)
	}

	fn pages_came<R>(
		&mut self,
		id: u64,
		pages: Option<Vec<Option<Vec<u8>>>>,
		keyring: &KeyRing,
		turn: &mut Turn<'_, R>,
	) {
		let Some(catch_up) = &mut self.catch_up else { return };
		let Some(Asking { names, of, is_void, .. }) =
			catch_up.asking.take_if(|asking| asking.id == id)
		else {
			return;
		};
		if of.is_none() {
			if pages.is_none() {
				catch_up.disk_failures += 1;
				let is_dead = catch_up.disk_failures >= DISK_ATTEMPTS_MAX;
				catch_up.not_before = (!is_dead).then(|| turn.now.after_ms(PEER_RETRY_MS));
				return;
			}
			catch_up.disk_failures = 0;
		}
		let is_stored = of.is_none() && !is_void;
		let seals = Seals::new(keyring, self.id);
		let mut pages = pages.unwrap_or_default().into_iter();
		let mut came = 0;
		for name in &names {
			let bytes = pages.next().flatten();
			let is_it = bytes.zip(seals.as_ref()).is_some_and(|(bytes, seals)| {
				catch_up.take(&mut self.tree, seals, *name, &bytes, is_stored)
			});
			came += usize::from(is_it);
			if !is_it && of.is_none() {
				catch_up.not_on_disk.insert(*name);
			}
		}
		let (Some(from), Some(fetch)) = (of, &mut catch_up.fetch) else { return };
		fetch.answered(from);
		if came == names.len() {
			// It has all, and is asked again when the others were: it may be the slowest.
			fetch.left.push_back(from);
		} else if came > 0 && fetch.left.is_empty() {
			// All of them again, for what is missing still.
			catch_up.fetch = None;
		}
		*turn.changed |= came > 0;
	}

	/// Every page is here.
	fn caught_up<R>(&mut self, turn: &mut Turn<'_, R>) {
		let Some(mut catch_up) = self.catch_up.take() else { return };
		let complete = catch_up.walk.as_ref().map(Walk::complete).transpose();
		let state = complete.and_then(|complete| match complete.flatten() {
			Some(complete) => AgentState::read(self.tree.pages(), *complete.root()).map(Some),
			None => Ok(None),
		});
		match state {
			Ok(Some(state)) => {
				let (agent, version, pages) = (self.id, state.version, state.root.pages);
				tracing::info!(?agent, version, pages, "caught up with an agent's state");
				self.tree.begin_at(state.root, &catch_up.seen, catch_up.is_root_stored);
				self.state = state;
				*turn.changed = true;
			}
			Ok(None) => {}
			Err(error) => {
				tracing::error!(agent = ?self.id, "a committed state: {error}");
				catch_up.is_broken = true;
				self.catch_up = Some(catch_up);
			}
		}
	}

	/// Once, what a boot before this one left on the disk that no state has is deleted. Its word for
	/// that ended with it; that of a rebuilt machine, or of a boot that left and joined again, did not.
	fn sweep<R>(&mut self, timers: &mut BTreeSet<(Instant, Timer)>, turn: &mut Turn<'_, R>) {
		if self.state.version == 0 || turn.is_replaying || turn.is_rebuilt {
			return;
		}
		// A disk that lists names without end makes no longer a row of deletions.
		let Sweep::After(after, not_before) = self.sweep else { return };
		if !self.tree.is_disk_idle() {
			return;
		}
		if let Some(at) = not_before.filter(|at| *at > turn.now) {
			timers.insert((at, Timer::Agent(self.id)));
			return;
		}
		let id = turn.next_id();
		self.sweep = Sweep::Listing(id, after);
		turn.act(Action::ListPages { id, agent: self.id, after });
	}

	/// The disk said which names it has.
	pub fn pages_listed(&mut self, id: u64, names: Option<Vec<H256>>, now: Instant) {
		let Sweep::Listing(listing, after) = self.sweep else { return };
		if listing != id {
			return;
		}
		let Some(names) = names else {
			self.sweep = Sweep::After(after, Some(now.after_ms(PEER_RETRY_MS)));
			return;
		};
		if !self.is_current() {
			// A newer state is on its way here, and may be made of them.
			self.sweep = Sweep::After(None, None);
			return;
		}
		self.sweep = match names.last() {
			Some(last) if names.len() >= LISTED_NAMES_MAX => Sweep::After(Some(*last), None),
			_ => Sweep::Done,
		};
		self.tree.delete_others(names.into_iter().map(PageName));
	}
}
