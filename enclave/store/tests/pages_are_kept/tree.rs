//! `enclave/state` over the real process.

use crate::common::*;
use phala_keys::{
	cluster::{ClusterKey, ClusterKeyId, ClusterKeyKind},
	pages::PageCipher,
};
use phala_protocol::agents::AgentId;
use phala_state::{
	apply, holds_completely, missing, Batch, CacheLimits, Key, Page, PageCache, PageKeys, PageName,
	Pages, Root, Run, Snapshot, Space, Value, Writes, LAYOUTS, LAYOUT_1,
};
use rand_chacha::rand_core::Rng;
use std::{collections::BTreeMap, sync::Arc};

pub fn page_keys(agent: AgentId) -> PageKeys {
	let id = ClusterKeyId { kind: ClusterKeyKind::Data, number: 1 };
	let key = ClusterKey::generate(&mut dice(1), 3, id);
	PageKeys::new(PageCipher::new(&key, agent, 1, 1).unwrap())
}

/// A tree in memory, and what is in it.
pub struct Tree {
	pub root: Root,
	pub cache: PageCache,
	pub entries: BTreeMap<Key, Value>,
}

impl Tree {
	pub fn new() -> Self {
		let limits = CacheLimits {
			agent_bytes_max: usize::MAX,
			bytes_max: usize::MAX,
			unsaved_bytes_max: usize::MAX,
		};
		let cache = PageCache::new(LAYOUTS, limits);
		Self { root: Root::empty(LAYOUT_1.number), cache, entries: BTreeMap::new() }
	}

	/// A run that writes some entries, a few of them long.
	pub fn write(&mut self, rng: &mut impl Rng, count: usize) -> Batch {
		let mut writes = Writes::new();
		for _ in 0..count {
			let key = Key::new(Space::Entries, &below(rng, 5000).to_be_bytes()).unwrap();
			let bytes = if below(rng, 40) == 0 { 100_000 } else { below(rng, 500) };
			let value = Value::new(page(rng, bytes)).unwrap();
			self.entries.insert(key.clone(), value.clone());
			writes.insert(key, Some(value));
		}
		let mut id = [0; 32];
		rng.fill_bytes(&mut id);
		let run = Run { id, version: self.root.version + 1 };
		let batch = apply(&self.cache.of(AGENT), &self.root, run, &writes).unwrap();
		for page in &batch.written {
			self.cache.of(AGENT).add(page.clone());
		}
		self.root = batch.root;
		batch
	}
}

pub fn sealed(keys: &PageKeys, seed: u64, batch: &Batch) -> Vec<(PageName, Vec<u8>)> {
	let mut rng = dice(seed);
	batch.written.iter().map(|page| (page.name(), keys.seal(&mut rng, page))).collect()
}

#[test]
fn a_tree_is_read_again_whole_after_its_process_was_killed() {
	let folder = tempfile::tempdir().unwrap();
	let opened = store(folder.path());
	let mut disk = OnDisk(opened.blocking());
	let (keys, mut tree, mut rng) = (page_keys(AGENT), Tree::new(), dice(5));
	for run in 0..12 {
		let batch = tree.write(&mut rng, 40);
		disk.put(&AGENT, &sealed(&keys, run, &batch)).unwrap();
		disk.delete(&AGENT, &batch.replaced).unwrap();
	}
	assert!(kill(&opened).is_some());
	opened.close();

	let opened = store(folder.path());
	let disk = OnDisk(opened.blocking());
	let read = |name: &PageName| -> Option<Arc<Page>> {
		let bytes = disk.get(&AGENT, &[*name]).unwrap().remove(0)?;
		Some(Arc::new(keys.open(LAYOUTS, *name, &bytes).unwrap()))
	};
	assert!(holds_completely(LAYOUTS, &tree.root, read).is_ok());
	let has = |name: &PageName| disk.has(&AGENT, &[*name]).unwrap()[0];
	assert_eq!(missing(LAYOUTS, &tree.root, read, has, 10), Ok(vec![]));
	let usage = opened.blocking().usage(&AGENT).unwrap();
	assert_eq!(usage.pages, tree.root.pages, "no more than the tree has");
	let names = disk.names(&AGENT, None, usize::MAX).unwrap();
	assert_eq!(names.len() as u64, tree.root.pages);
	let bytes = disk.get(&AGENT, &names).unwrap().iter().flatten().map(Vec::len).sum::<usize>();
	assert_eq!(usage.bytes, bytes as u64);

	// Into an empty memory, as a boot has it.
	let fresh = Tree::new();
	let snapshot = Snapshot::new(fresh.cache.of(AGENT), tree.root).unwrap();
	for (key, value) in &tree.entries {
		let found = loop {
			match snapshot.get(key) {
				Ok(found) => break found,
				Err(error) => {
					for name in error.missing().unwrap() {
						fresh.cache.of(AGENT).add(read(name).unwrap());
					}
				}
			}
		};
		assert_eq!(found.as_ref(), Some(value));
	}
}
