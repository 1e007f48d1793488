//! The pages of one agent that are alive here, and which of them its disk has.
//!
//! All of them are in memory. The trunk is the newest final state; steps are stacked on it until the chain
//! takes one of them. What a member said that it holds stays until a final block shows that its base is
//! superseded. If room is short, what another boot brought last than the one that brings now goes first: it
//! has lost the lease.
//!
//! **The disk** is the host's. One operation of an agent is under way at a time, so that puts and deletions
//! are carried out in the order in which they were wanted; what comes meanwhile shares the next. A root is
//! [durable](Tree::is_durable) when every page that it leads to is on the disk, and its own.
//!
//! A **root** is stored as a page is: sealed, under its hash. Whoever has no more than the hash begins there.

use super::{
	agent_state::{AgentState, RunWrites},
	keyring::KeyRing,
};
use crate::{
	action::Action,
	limits::{BODIES_KEPT_BYTES_MAX, BODIES_KEPT_MAX, PEER_RETRY_MS, STORE_PAGES_MAX},
	turn::Turn,
	Instant, MachineError,
};
use codec::{DecodeAll, Encode};
use phala_keys::pages::{PageCipher, SealedPage};
use phala_protocol::{
	agents::AgentId,
	boot::{BootNumber, WorkerId},
	H256,
};
use phala_state::{
	apply, Layouts, Lineage, Page, PageKeys, PageName, PageSource, Root, Run, StateError, Step,
	Writes, LAYOUTS,
};
use rand_core::CryptoRng;
use std::{
	collections::{BTreeMap, BTreeSet},
	sync::Arc,
};

/// Pages in memory.
#[derive(Default)]
pub struct Pages(BTreeMap<PageName, Arc<Page>>);

impl PageSource for Pages {
	fn layouts(&self) -> Layouts {
		LAYOUTS
	}

	fn page(&self, name: &PageName) -> Option<Arc<Page>> {
		self.0.get(name).cloned()
	}
}

/// Opens and seals what one agent's disk and other members have of it.
pub struct Seals {
	ciphers: Vec<PageCipher>,
	pages: PageKeys,
}

impl Seals {
	/// The newest first; none without any.
	pub fn new(keyring: &KeyRing, agent: AgentId) -> Option<Self> {
		let mut keys = keyring.page_ciphers(agent).into_iter();
		let pages = PageKeys::new(keys.next()?);
		let pages = keys.fold(pages, PageKeys::and_older);
		Some(Self { ciphers: keyring.page_ciphers(agent), pages })
	}

	fn seal_root(&self, rng: &mut impl CryptoRng, root: &Root) -> Vec<u8> {
		let Root { layout, version, .. } = *root;
		let newest = self.ciphers.first();
		newest
			.and_then(|cipher| cipher.seal(rng, root.hash(), layout, version, &root.encode()).ok())
			.map(|sealed| sealed.encode())
			.unwrap_or_default()
	}

	/// The root with this hash, if these bytes are it.
	pub fn open_root(&self, hash: H256, bytes: &[u8]) -> Option<Root> {
		let sealed = SealedPage::decode_all(&mut &bytes[..]).ok()?;
		let made_in = (sealed.header.epoch, sealed.header.generation);
		let cipher = self.ciphers.iter().find(|cipher| cipher.made_in() == made_in)?;
		let plaintext = cipher.open(hash, &sealed).ok()?;
		let root = Root::decode_all(&mut plaintext.expose()).ok()?;
		(root.hash() == hash).then_some(root)
	}

	/// The page of this name, if these bytes are it.
	pub fn open(&self, name: PageName, bytes: &[u8]) -> Option<Page> {
		self.pages.open(LAYOUTS, name, bytes).ok()
	}
}

/// A step that is undecided.
struct Staged {
	root: Root,
	writes: Arc<Writes>,
	/// Pages and root that came with it.
	written: Vec<PageName>,
	base: H256,
	/// Number of the data key that it came under.
	key_number: u32,
	/// In the order in which they came.
	place: u64,
	by: Proposer,
	/// Of its writes and pages.
	bytes: u64,
}

/// The boot of a worker that made a step.
pub type Proposer = (WorkerId, BootNumber);

const NO_ROOM: &str = "this member keeps as much of this agent that is undecided as it may";

/// See the module's text.
pub struct Tree {
	pages: Pages,
	lineage: Lineage,
	/// By the hash of the root.
	staged: BTreeMap<H256, Staged>,
	places: u64,
	disk: Disk,
}

#[derive(Default)]
struct Disk {
	put: BTreeSet<PageName>,
	delete: BTreeSet<PageName>,
	under_way: Option<UnderWay>,
	/// The last operation failed.
	not_before: Option<Instant>,
}

struct UnderWay {
	id: u64,
	put: BTreeSet<PageName>,
	delete: BTreeSet<PageName>,
	/// What it puts may be gone again.
	is_void: bool,
}

impl Disk {
	fn want(&mut self, names: impl IntoIterator<Item = PageName>) {
		for name in names {
			self.delete.remove(&name);
			self.put.insert(name);
		}
	}

	/// A page that it has is of use after all.
	fn spare(&mut self, name: PageName) {
		let goes = self.under_way.as_ref().is_some_and(|one| one.delete.contains(&name));
		if self.delete.remove(&name) || goes {
			self.want([name]);
		}
	}

	fn drop(&mut self, names: impl IntoIterator<Item = PageName>) {
		for name in names {
			self.put.remove(&name);
			self.delete.insert(name);
		}
	}

	fn lacks(&self) -> impl Iterator<Item = &PageName> {
		self.put.iter().chain(self.under_way.iter().flat_map(|one| &one.put))
	}

	fn has(&self, name: &PageName) -> bool {
		!self.put.contains(name)
			&& self.under_way.as_ref().is_none_or(|one| !one.put.contains(name))
	}
}

/// The name that a root is stored under.
fn name_of(root: &Root) -> PageName {
	PageName(root.hash())
}

impl Tree {
	/// Of a state of which nothing is stored: before an agent's birth, or before anything of it came.
	pub fn new() -> Self {
		Self {
			pages: Pages::default(),
			lineage: Lineage::new(AgentState::default().root),
			staged: BTreeMap::new(),
			places: 0,
			disk: Disk::default(),
		}
	}

	pub fn pages(&self) -> &Pages {
		&self.pages
	}

	/// Makes a step on `base`, which is the trunk or an undecided one; its root. If there are too many, the
	/// oldest goes that `may_go`.
	///
	/// What is here already is not made again: the end of one of two steps with the same pages would
	/// take them from the other.
	pub fn stage(
		&mut self,
		base: &Root,
		written: &RunWrites,
		key_number: u32,
		by: Proposer,
		may_go: impl Fn(&H256, Proposer) -> bool,
	) -> Result<Root, MachineError> {
		let run = Run { id: written.run, version: base.version.saturating_add(1) };
		let batch = apply(&self.pages, base, run, &written.writes)?;
		let hash = batch.root.hash();
		let is_here = |page: &Arc<Page>| self.pages.0.contains_key(&page.name());
		if self.root(&hash).is_some() || batch.written.iter().any(is_here) {
			return Err(MachineError::Malformed {
				expected: "the writes of a run that is new here",
			});
		}
		let of_pages = batch.written.iter().map(|page| page.cached_bytes());
		let of_writes = written.writes.iter().map(|(key, value)| {
			let value = value.as_ref().map_or(0, |value| value.expose().len());
			key.name().len().saturating_add(value)
		});
		let bytes =
			of_pages.chain(of_writes).fold(0, |all: u64, one| all.saturating_add(one as u64));
		self.make_room(bytes, may_go)?;
		let mut step = Step::from(&batch);
		step.written.push(name_of(&batch.root));
		if base.version > 0 {
			step.replaced.push(name_of(base));
		}
		let names = step.written.clone();
		self.lineage.extend(step)?;
		for page in batch.written {
			self.pages.0.insert(page.name(), page);
		}
		self.disk.want(names.iter().copied());
		self.places = self.places.saturating_add(1);
		let staged = Staged {
			root: batch.root,
			writes: Arc::new(written.writes.clone()),
			written: names,
			base: base.hash(),
			key_number,
			place: self.places,
			by,
			bytes,
		};
		self.staged.insert(hash, staged);
		Ok(batch.root)
	}

	/// Whoever proposes without end costs no more than so many, and so many bytes. Nothing goes where the room
	/// would not be enough all the same.
	fn make_room(
		&mut self,
		bytes: u64,
		may_go: impl Fn(&H256, Proposer) -> bool,
	) -> Result<(), MachineError> {
		let fits = |steps: usize, kept: u64| {
			steps == 0 || (steps < BODIES_KEPT_MAX && kept <= BODIES_KEPT_BYTES_MAX)
		};
		let sum = |steps: &mut dyn Iterator<Item = &Staged>| {
			steps.fold(bytes, |all, one| all.saturating_add(one.bytes))
		};
		if fits(self.staged.len(), sum(&mut self.staged.values())) {
			return Ok(());
		}
		// With a step that stays, all that it was made on stays.
		let mut stays = BTreeSet::new();
		for (hash, _) in self.staged.iter().filter(|(hash, staged)| !may_go(hash, staged.by)) {
			let mut at = *hash;
			while let Some(staged) = self.staged.get(&at).filter(|_| stays.insert(at)) {
				at = staged.base;
			}
		}
		let staying = &mut stays.iter().filter_map(|hash| self.staged.get(hash));
		if !fits(stays.len(), sum(staying)) {
			return Err(MachineError::NotReady { why: NO_ROOM });
		}
		let going = self.staged.iter().filter(|(hash, _)| !stays.contains(*hash));
		let mut by_age: Vec<_> = going.map(|(hash, staged)| (staged.place, *hash)).collect();
		by_age.sort_unstable();
		for (_, oldest) in by_age {
			if fits(self.staged.len(), sum(&mut self.staged.values())) {
				break;
			}
			self.abandon(oldest);
		}
		Ok(())
	}

	/// A step is here, or is the trunk: its root.
	pub fn root(&self, hash: &H256) -> Option<Root> {
		let trunk = self.lineage.trunk();
		if *hash == state_hash(trunk) {
			return Some(*trunk);
		}
		self.staged.get(hash).map(|staged| staged.root)
	}

	/// A step comes again under another data key: so do its pages.
	pub fn note_key(&mut self, hash: &H256, key_number: u32) {
		if let Some(staged) = self.staged.get_mut(hash) {
			if staged.key_number != key_number {
				staged.key_number = key_number;
				self.disk.want(staged.written.iter().copied());
			}
		}
	}

	/// A step is brought again: it is the newest bringer's to submit.
	pub fn note_bringer(&mut self, hash: &H256, by: Proposer) {
		if let Some(staged) = self.staged.get_mut(hash) {
			staged.by = by;
		}
	}

	/// The chain took the step with this hash: the state after it, if it was made here.
	pub fn finalize(
		&mut self,
		state: &AgentState,
		hash: &H256,
	) -> Option<Result<AgentState, StateError>> {
		let mut way = Vec::new();
		let mut at = *hash;
		while let Some(staged) = self.staged.get(&at) {
			way.push((staged.root, staged.writes.clone()));
			at = staged.base;
		}
		if way.is_empty() || at != state.root.hash() {
			return None;
		}
		let mut next = state.clone();
		for (root, writes) in way.into_iter().rev() {
			next = match next.after(&writes, root) {
				Ok(next) => next,
				Err(error) => return Some(Err(error)),
			};
		}
		let freed = match self.lineage.finalize(*hash) {
			Ok(freed) => freed,
			Err(error) => return Some(Err(error)),
		};
		self.free(freed);
		Some(Ok(next))
	}

	/// Names that no root has any more.
	fn free(&mut self, names: Vec<PageName>) {
		for name in &names {
			self.pages.0.remove(name);
		}
		self.disk.drop(names);
		let undecided: BTreeSet<_> =
			self.lineage.undecided().map(|step| step.root.hash()).collect();
		self.staged.retain(|hash, _| undecided.contains(hash));
	}

	/// A page of a state that is being fetched. One that came from elsewhere is to be stored.
	pub fn add(&mut self, page: Page, is_stored: bool) {
		let name = page.name();
		self.pages.0.insert(name, Arc::new(page));
		if is_stored {
			self.disk.spare(name);
		} else {
			self.disk.want([name]);
		}
	}

	/// All of this state came: it is the trunk, and nothing else is needed.
	pub fn begin_at(&mut self, root: Root, alive: &BTreeSet<PageName>, is_root_stored: bool) {
		let others = self.pages.0.keys().filter(|name| !alive.contains(*name)).copied();
		let mut gone: Vec<_> = others.collect();
		gone.extend(self.staged.keys().map(|hash| PageName(*hash)));
		let old = self.lineage.trunk();
		if old.version > 0 && *old != root {
			gone.push(name_of(old));
		}
		gone.retain(|name| *name != name_of(&root));
		self.lineage = Lineage::new(root);
		self.free(gone);
		if is_root_stored {
			self.disk.spare(name_of(&root));
		} else {
			self.disk.want([name_of(&root)]);
		}
	}

	/// What was just made is none, and stays with nobody.
	pub fn abandon(&mut self, hash: H256) {
		let freed = self.lineage.abandon(hash);
		self.free(freed);
	}

	/// The agent is given up: nothing of it is of use, here or on the disk.
	pub fn clear(&mut self) {
		let names = self.names_on_disk();
		self.pages.0.clear();
		self.staged.clear();
		self.lineage = Lineage::new(AgentState::default().root);
		self.disk.drop(names);
	}

	/// Whether the disk has done all that was wanted of it.
	pub fn is_disk_idle(&self) -> bool {
		let Disk { put, delete, under_way, .. } = &self.disk;
		put.is_empty() && delete.is_empty() && under_way.is_none()
	}

	/// Every name that its disk may have.
	fn names_on_disk(&self) -> BTreeSet<PageName> {
		let under_way =
			self.disk.under_way.iter().flat_map(|one| one.put.iter().chain(&one.delete));
		self.names().into_iter().chain(self.disk.delete.iter().chain(under_way).copied()).collect()
	}

	/// Every name that is alive here.
	pub fn names(&self) -> BTreeSet<PageName> {
		let mut names: BTreeSet<_> = self.pages.0.keys().copied().collect();
		names.extend(self.staged.values().map(|staged| name_of(&staged.root)));
		if self.lineage.trunk().version > 0 {
			names.insert(name_of(self.lineage.trunk()));
		}
		names
	}

	/// What the disk has, at most, that nobody needs.
	pub fn delete_others(&mut self, found: impl IntoIterator<Item = PageName>) {
		let alive = self.names();
		self.disk.drop(found.into_iter().filter(|name| !alive.contains(name)));
	}

	/// The disk has nothing any more: all is put again.
	pub fn disk_emptied(&mut self) {
		let names = self.names();
		self.disk.want(names);
		if let Some(under_way) = &mut self.disk.under_way {
			under_way.is_void = true;
		}
	}

	/// Whether the disk has every page that this root leads to, and the root.
	pub fn is_durable(&self, hash: &H256) -> bool {
		let mut at = *hash;
		while let Some(staged) = self.staged.get(&at) {
			if !staged.written.iter().all(|name| self.disk.has(name)) {
				return false;
			}
			at = staged.base;
		}
		// What is lacking belongs to steps on the trunk, and not to it.
		let is_trunk = at == self.lineage.trunk().hash() || at == H256::zero();
		if !is_trunk || self.disk.lacks().next().is_none() {
			return is_trunk;
		}
		let of_steps: BTreeSet<_> = self.staged.values().flat_map(|one| &one.written).collect();
		self.disk.lacks().all(|name| of_steps.contains(name))
	}

	/// Has the disk do the next thing.
	pub fn flush<R: CryptoRng>(
		&mut self,
		agent: AgentId,
		keyring: &KeyRing,
		turn: &mut Turn<'_, R>,
	) -> Option<Instant> {
		let disk = &self.disk;
		if disk.under_way.is_some() || (disk.put.is_empty() && disk.delete.is_empty()) {
			return None;
		}
		if let Some(at) = disk.not_before.filter(|at| *at > turn.now) {
			return Some(at);
		}
		// Not under a key that a member that left knows.
		let seals = keyring.sealing_number().and_then(|_| Seals::new(keyring, agent));
		let mut put = Vec::new();
		if let Some(seals) = seals {
			for name in self.disk.put.iter().take(STORE_PAGES_MAX) {
				let sealed = match self.pages.0.get(name) {
					Some(page) => seals.pages.seal(turn.rng, page),
					None => match self.stored_root(name) {
						Some(root) => seals.seal_root(turn.rng, &root),
						None => continue,
					},
				};
				put.push((name.0, sealed));
			}
		}
		let puts: BTreeSet<_> = put.iter().map(|(name, _)| PageName(*name)).collect();
		let delete: BTreeSet<_> = std::mem::take(&mut self.disk.delete);
		if puts.is_empty() && delete.is_empty() {
			return None;
		}
		self.disk.put.retain(|name| !puts.contains(name));
		let id = turn.next_id();
		let names = delete.iter().map(|name| name.0).collect();
		turn.act(Action::StorePages { id, agent, put, delete: names });
		self.disk.under_way = Some(UnderWay { id, put: puts, delete, is_void: false });
		None
	}

	fn stored_root(&self, name: &PageName) -> Option<Root> {
		let trunk = self.lineage.trunk();
		if name_of(trunk) == *name {
			return Some(*trunk);
		}
		self.staged.get(&name.0).map(|staged| staged.root)
	}

	/// An operation ended. Whether it was the one under way.
	pub fn stored(&mut self, id: u64, is_done: bool, now: Instant) -> bool {
		let Some(UnderWay { put, delete, is_void, .. }) =
			self.disk.under_way.take_if(|under_way| under_way.id == id)
		else {
			return false;
		};
		self.disk.not_before = (!is_done).then(|| now.after_ms(PEER_RETRY_MS));
		if !is_done || is_void {
			let alive = self.names();
			// What was freed meanwhile is deleted already, or about to be.
			for name in put {
				if alive.contains(&name) && !self.disk.delete.contains(&name) {
					self.disk.put.insert(name);
				}
			}
		}
		if !is_done {
			for name in delete {
				if !self.disk.put.contains(&name) {
					self.disk.delete.insert(name);
				}
			}
		}
		true
	}
}

/// The hash of this root as the chain has it.
fn state_hash(root: &Root) -> H256 {
	match root.version {
		0 => H256::zero(),
		_ => root.hash(),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_state::{Key, RunId, Space, Value};

	const HOLDER: Proposer = (1, 1);
	const NEXT: Proposer = (2, 1);

	/// Longer than what is kept in a leaf.
	const LONG: usize = 32 * 1024;

	fn run(run: RunId, writes: &[(&[u8], usize)]) -> RunWrites {
		let value = |bytes: usize| Value::new(vec![7; bytes]).unwrap();
		let write = |(key, bytes): &(&[u8], usize)| {
			(Key::new(Space::Entries, key).unwrap(), Some(value(*bytes)))
		};
		RunWrites { run, writes: writes.iter().map(write).collect() }
	}

	fn id(number: usize) -> RunId {
		let mut id = [0; 32];
		id[..8].copy_from_slice(&number.to_le_bytes());
		id
	}

	fn born() -> (Tree, AgentState) {
		let (mut tree, before) = (Tree::new(), AgentState::default());
		let writes = run(id(0), &[(b"a", 1)]);
		let root = tree.stage(&before.root, &writes, 1, HOLDER, |_, _| false).unwrap();
		let state = tree.finalize(&before, &root.hash()).unwrap().unwrap();
		(tree, state)
	}

	fn may_go_of(by: Proposer) -> impl Fn(&H256, Proposer) -> bool {
		move |_, of| of != by
	}

	/// Signs two steps that are the same, or share their pages, so that the end of one takes those of the other.
	#[test]
	fn a_double_dealer_gets_nothing_that_is_kept_taken_away() {
		let (mut tree, state) = born();
		let step = run(id(1), &[(b"long", LONG)]);
		let may_go = || may_go_of(HOLDER);
		let root = tree.stage(&state.root, &step, 1, HOLDER, may_go()).unwrap();
		let kept = tree.names();
		for again in [step, run(id(1), &[(b"long", LONG), (b"more", 1)])] {
			assert!(tree.stage(&state.root, &again, 1, HOLDER, may_go()).is_err());
			assert_eq!(tree.names(), kept);
		}
		let next = tree.finalize(&state, &root.hash()).unwrap().unwrap();
		assert_eq!(AgentState::read(tree.pages(), root).unwrap().hash, next.hash);
	}

	/// Proposes without end.
	#[test]
	fn a_chatterer_pushes_nothing_out_that_it_was_told_is_kept_and_the_next_holder_finds_room() {
		let (mut tree, state) = born();
		let mut kept = Vec::new();
		for number in 1..=BODIES_KEPT_MAX {
			let step = run(id(number), &[(b"b", 1)]);
			kept.push(tree.stage(&state.root, &step, 1, HOLDER, may_go_of(HOLDER)).unwrap().hash());
		}
		let more = run(id(1_000), &[(b"b", 1)]);
		let refused = tree.stage(&state.root, &more, 1, HOLDER, may_go_of(HOLDER)).unwrap_err();
		assert!(matches!(refused, MachineError::NotReady { why: NO_ROOM }));
		assert!(kept.iter().all(|hash| tree.root(hash).is_some()));
		let next = tree.stage(&state.root, &more, 1, NEXT, may_go_of(NEXT)).unwrap();
		assert!(tree.root(&kept[0]).is_none(), "the oldest made room for the next holder's");
		assert!(kept[1..].iter().all(|hash| tree.root(hash).is_some()));
		assert!(tree.root(&next.hash()).is_some());
	}

	/// Gets the lease, has another's step kept for itself, and pushes it out.
	#[test]
	fn a_usurper_that_brings_a_step_again_has_to_let_it_stay() {
		let (mut tree, state) = born();
		let (by, id) = (HOLDER, id);
		let step = run(id(1), &[(b"b", 1)]);
		let step = tree.stage(&state.root, &step, 1, by, may_go_of(by)).unwrap();
		// What stands on another's step stays with it.
		let on_it = run(id(2), &[(b"b", 1)]);
		let on_it = tree.stage(&step, &on_it, 1, NEXT, may_go_of(NEXT)).unwrap();
		let push = |tree: &mut Tree| {
			for number in 0..BODIES_KEPT_MAX {
				let more = run(id(1_000 + number), &[(b"c", 1)]);
				if tree.stage(&state.root, &more, 1, NEXT, may_go_of(NEXT)).is_err() {
					return true;
				}
			}
			false
		};
		assert!(push(&mut tree));
		assert!(tree.root(&step.hash()).is_some() && tree.root(&on_it.hash()).is_some());
		tree.abandon(on_it.hash());
		tree.note_bringer(&step.hash(), NEXT);
		assert!(push(&mut tree) || tree.root(&step.hash()).is_some());
		assert!(tree.root(&step.hash()).is_some());
	}

	#[test]
	fn what_is_undecided_has_a_limit_in_bytes_too() {
		let (mut tree, state) = born();
		let mut base = state.root;
		for number in 1..BODIES_KEPT_MAX {
			let step = run(id(number), &[(b"c", 1 << 20), (b"d", 1 << 20)]);
			match tree.stage(&base, &step, 1, HOLDER, may_go_of(HOLDER)) {
				Ok(root) => base = root,
				Err(refused) => {
					assert!(matches!(refused, MachineError::NotReady { why: NO_ROOM }));
					let kept: u64 = tree.staged.values().map(|staged| staged.bytes).sum();
					assert!(kept <= BODIES_KEPT_BYTES_MAX && kept > BODIES_KEPT_BYTES_MAX / 2);
					return;
				}
			}
		}
		panic!("2 MiB each, and no limit");
	}
}
