//! The pages of one agent that are alive here, and which of them its disk has.
//!
//! All of them are in memory. The trunk is the newest final state; steps are stacked on it until the chain
//! takes one of them. What a member said that it holds stays until a final block shows that its base is
//! superseded, whoever proposed it.
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
	limits::{BODIES_KEPT_MAX, PEER_RETRY_MS, STORE_PAGES_MAX},
	turn::Turn,
	Instant,
};
use codec::{DecodeAll, Encode};
use phala_keys::pages::{PageCipher, SealedPage};
use phala_protocol::{agents::AgentId, H256};
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
}

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

	/// Makes a step on `base`, which is the trunk or an undecided one; its root.
	pub fn stage(
		&mut self,
		base: &Root,
		written: &RunWrites,
		key_number: u32,
	) -> Result<Root, StateError> {
		let run = Run { id: written.run, version: base.version.saturating_add(1) };
		let batch = apply(&self.pages, base, run, &written.writes)?;
		let hash = batch.root.hash();
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
		};
		self.staged.insert(hash, staged);
		self.make_room();
		Ok(batch.root)
	}

	/// Whoever proposes without end costs no more than so many.
	fn make_room(&mut self) {
		while self.staged.len() > BODIES_KEPT_MAX {
			let oldest = self.staged.iter().min_by_key(|(_, staged)| staged.place);
			let Some(oldest) = oldest.map(|(hash, _)| *hash) else { return };
			let freed = self.lineage.abandon(oldest);
			self.free(freed);
		}
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
		let of_step =
			|name: &PageName| self.staged.values().any(|staged| staged.written.contains(name));
		is_trunk && self.disk.lacks().all(of_step)
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
