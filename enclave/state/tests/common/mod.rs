//! What the tests share: a layout with short pages, so that few entries make a deep tree; a source that
//! counts; a disk that loses what a crash may lose.

#![allow(dead_code)]

use phala_keys::{
	cluster::{ClusterKey, ClusterKeyId, ClusterKeyKind},
	pages::PageCipher,
};
use phala_protocol::{agents::AgentId, H256};
use phala_state::{
	apply, holds_completely, Batch, Complete, Key, Layout, Layouts, Page, PageKeys, PageName,
	PageSource, Pages, Root, Run, Scan, Snapshot, Space, StateError, Value, Writes,
};
use rand_chacha::{
	rand_core::{Rng, SeedableRng},
	ChaCha20Rng,
};
use std::{
	cell::{Cell, RefCell},
	collections::{BTreeMap, BTreeSet},
	convert::Infallible,
	sync::Arc,
};

/// Some eight entries a leaf, some five children an inner page.
pub const TINY: Layout = Layout {
	number: 7,
	key_bytes_max: 8,
	value_bytes_max: 64,
	inline_bytes_max: 16,
	leaf_bytes_max: 404,
	inner_bytes_max: 228,
	value_page_bytes_max: 84,
};
/// What a later release writes.
pub const NEXT: Layout =
	Layout { number: 8, leaf_bytes_max: 800, inner_bytes_max: 300, inline_bytes_max: 20, ..TINY };

pub const OLD_RELEASE: Layouts = Layouts::new(&[TINY]);
pub const NEW_RELEASE: Layouts = Layouts::new(&[TINY, NEXT]);

pub const AGENT: AgentId = H256::repeat_byte(0xa6);
pub const STRANGER: AgentId = H256::repeat_byte(0x57);

pub fn dice(seed: u64) -> ChaCha20Rng {
	ChaCha20Rng::seed_from_u64(seed)
}

pub fn below(rng: &mut impl Rng, bound: usize) -> usize {
	(rng.next_u64() % bound as u64) as usize
}

pub fn key(name: &[u8]) -> Key {
	Key::new(Space::Entries, name).unwrap()
}

pub fn value(bytes: &[u8]) -> Value {
	Value::new(bytes.to_vec()).unwrap()
}

/// The plain map that a tree is held against.
pub type Map = BTreeMap<Key, Value>;

pub fn write_map(map: &mut Map, writes: &Writes) {
	for (key, value) in writes {
		match value {
			Some(value) => map.insert(key.clone(), value.clone()),
			None => map.remove(key),
		};
	}
}

/// Pages in memory. It counts what is read, and may be told to have only some.
pub struct Memory {
	pub layouts: Layouts,
	pub pages: RefCell<BTreeMap<PageName, Arc<Page>>>,
	pub reads: Cell<usize>,
}

impl Memory {
	pub fn new(layouts: Layouts) -> Self {
		Self { layouts, pages: RefCell::default(), reads: Cell::new(0) }
	}

	pub fn add(&self, batch: &Batch) {
		let pages = batch.written.iter().map(|page| (page.name(), page.clone()));
		self.pages.borrow_mut().extend(pages);
	}

	pub fn remove(&self, names: &[PageName]) {
		for name in names {
			assert!(self.pages.borrow_mut().remove(name).is_some(), "{name:?} is deleted once");
		}
	}

	pub fn names(&self) -> BTreeSet<PageName> {
		self.pages.borrow().keys().copied().collect()
	}

	pub fn complete(&self, root: &Root) -> Result<Complete, StateError> {
		holds_completely(self.layouts, root, |name| self.pages.borrow().get(name).cloned())
	}

	/// All pages of a root, found by a walk.
	pub fn reachable(&self, root: &Root) -> BTreeSet<PageName> {
		let mut found = BTreeSet::new();
		holds_completely(self.layouts, root, |name| {
			found.insert(*name);
			self.pages.borrow().get(name).cloned()
		})
		.unwrap_or_else(|error| panic!("{error}"));
		found
	}

	pub fn map(&self, root: &Root) -> Map {
		let snapshot = Snapshot::new(self, *root).unwrap();
		let entries = Space::ALL.map(|space| snapshot.scan(&Scan::all(space)).unwrap().entries);
		entries.into_iter().flatten().collect()
	}
}

impl PageSource for Memory {
	fn layouts(&self) -> Layouts {
		self.layouts
	}

	fn page(&self, name: &PageName) -> Option<Arc<Page>> {
		self.reads.set(self.reads.get() + 1);
		self.pages.borrow().get(name).cloned()
	}
}

/// A tree of random entries, made by so many runs.
pub fn grown(memory: &Memory, rng: &mut impl Rng, runs: usize, size: usize, keys: usize) -> Root {
	(0..runs).fold(Root::empty(TINY.number), |root, _| {
		let writes = writes(rng, size, keys, 1);
		write(memory, rng, &root, &writes).root
	})
}

/// Applies and keeps.
pub fn write(memory: &Memory, rng: &mut impl Rng, base: &Root, writes: &Writes) -> Batch {
	let mut id = [0; 32];
	rng.fill_bytes(&mut id);
	let run = Run { id, version: base.version + 1 };
	let batch = apply(memory, base, run, writes).unwrap_or_else(|error| panic!("{error}"));
	memory.add(&batch);
	batch
}

/// Writes at random: keys of few bytes, values of any length, some deletions.
pub fn writes(rng: &mut impl Rng, count: usize, keys: usize, deleted_of_ten: usize) -> Writes {
	fn one(rng: &mut impl Rng, keys: usize, deleted_of_ten: usize) -> (Key, Option<Value>) {
		let number = below(rng, keys);
		let space = Space::ALL[number % 6];
		let name = format!("{:x}", number * 7919 % 65536);
		let key = Key::new(space, name.as_bytes()).unwrap();
		if below(rng, 10) < deleted_of_ten {
			return (key, None);
		}
		let length = below(rng, 20) + if below(rng, 8) == 0 { 45 } else { 0 };
		let mut bytes = vec![0; length];
		rng.fill_bytes(&mut bytes);
		(key, Some(value(&bytes)))
	}
	(0..count).map(|_| one(rng, keys, deleted_of_ten)).collect()
}

pub fn cluster_key(seed: u64) -> ClusterKey {
	let id = ClusterKeyId { kind: ClusterKeyKind::Data, number: 1 };
	ClusterKey::generate(&mut dice(seed), 3, id)
}

pub fn page_keys(agent: AgentId) -> PageKeys {
	PageKeys::new(cipher(agent, 1, 1))
}

pub fn cipher(agent: AgentId, epoch: u32, generation: u32) -> PageCipher {
	PageCipher::new(&cluster_key(u64::from(epoch * 100 + generation)), agent, epoch, generation)
		.unwrap_or_else(|error| panic!("{error}"))
}

/// A disk with files that its host can write. What was put and not flushed a crash may lose or tear.
#[derive(Clone, Default)]
pub struct Disk {
	pub files: BTreeMap<(AgentId, PageName), Vec<u8>>,
	/// Puts and deletes that are not durable yet.
	unflushed: Vec<Change>,
}

#[derive(Clone)]
enum Change {
	Put(AgentId, PageName, Vec<u8>),
	Delete(AgentId, PageName),
}

impl Disk {
	/// Begins a put, whose flush is yet to come.
	pub fn begin_put(&mut self, agent: AgentId, pages: &[(PageName, Vec<u8>)]) {
		let puts = pages.iter().map(|(name, bytes)| Change::Put(agent, *name, bytes.clone()));
		self.unflushed.extend(puts);
	}

	pub fn begin_delete(&mut self, agent: AgentId, names: &[PageName]) {
		self.unflushed.extend(names.iter().map(|name| Change::Delete(agent, *name)));
	}

	pub fn flush(&mut self) {
		for change in std::mem::take(&mut self.unflushed) {
			match change {
				Change::Put(agent, name, bytes) => self.files.insert((agent, name), bytes),
				Change::Delete(agent, name) => self.files.remove(&(agent, name)),
			};
		}
	}

	pub fn unflushed(&self) -> usize {
		self.unflushed.len()
	}

	/// Power fails: of what was not flushed any part may be there, in any order, and torn.
	pub fn crash(&mut self, torn: &mut impl FnMut(usize, &[u8]) -> Option<Vec<u8>>) {
		for (index, change) in std::mem::take(&mut self.unflushed).into_iter().enumerate() {
			match change {
				Change::Put(agent, name, bytes) => {
					if let Some(bytes) = torn(index, &bytes) {
						self.files.insert((agent, name), bytes);
					}
				}
				Change::Delete(agent, name) => {
					if torn(index, &[]).is_some() {
						self.files.remove(&(agent, name));
					}
				}
			}
		}
	}

	/// What of this disk opens.
	pub fn memory(&self, agent: AgentId, keys: &PageKeys, layouts: Layouts) -> Memory {
		let memory = Memory::new(layouts);
		for ((of, name), bytes) in &self.files {
			if *of == agent {
				if let Ok(page) = keys.open(layouts, *name, bytes) {
					memory.pages.borrow_mut().insert(*name, Arc::new(page));
				}
			}
		}
		memory
	}
}

impl Pages for Disk {
	type Error = Infallible;

	fn get(&self, agent: &AgentId, names: &[PageName]) -> Result<Vec<Option<Vec<u8>>>, Infallible> {
		Ok(names.iter().map(|name| self.files.get(&(*agent, *name)).cloned()).collect())
	}

	fn has(&self, agent: &AgentId, names: &[PageName]) -> Result<Vec<bool>, Infallible> {
		Ok(names.iter().map(|name| self.files.contains_key(&(*agent, *name))).collect())
	}

	fn put(&mut self, agent: &AgentId, pages: &[(PageName, Vec<u8>)]) -> Result<(), Infallible> {
		self.begin_put(*agent, pages);
		self.flush();
		Ok(())
	}

	fn delete(&mut self, agent: &AgentId, names: &[PageName]) -> Result<(), Infallible> {
		self.begin_delete(*agent, names);
		self.flush();
		Ok(())
	}

	fn names(
		&self,
		agent: &AgentId,
		after: Option<PageName>,
		names_max: usize,
	) -> Result<Vec<PageName>, Infallible> {
		let own = self.files.keys().filter(|(of, _)| of == agent).map(|(_, name)| *name);
		Ok(own.filter(|name| after.is_none_or(|after| *name > after)).take(names_max).collect())
	}
}

pub fn sealed(
	keys: &PageKeys,
	rng: &mut impl rand_chacha::rand_core::CryptoRng,
	batch: &Batch,
) -> Vec<(PageName, Vec<u8>)> {
	batch.written.iter().map(|page| (page.name(), keys.seal(rng, page))).collect()
}
