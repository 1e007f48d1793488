//! The state trie of every block, by `sp-trie`.

use hash_db::{AsHashDB, HashDB, HashDBRef, Hasher, Prefix};
use phala_protocol::{relay::StateProof, H256};
use sp_core::Blake2Hasher;
use sp_trie::{delta_trie_root, empty_trie_root, LayoutV1, Recorder, Trie, TrieDBBuilder};
use std::collections::{BTreeMap, BTreeSet};

type Layout = LayoutV1<Blake2Hasher>;
type Value = Vec<u8>;

/// Forgets nothing, so that any block's state can be proven.
pub(super) struct ArchiveState {
	nodes: ArchiveDb,
	root: H256,
}

impl Default for ArchiveState {
	fn default() -> Self {
		let mut nodes = ArchiveDb::default();
		nodes.insert(hash_db::EMPTY_PREFIX, &[0]);
		Self { nodes, root: empty_trie_root::<Layout>() }
	}
}

impl ArchiveState {
	/// Applies changes; returns the new root.
	pub fn apply(&mut self, changes: BTreeMap<Vec<u8>, Option<Value>>) -> H256 {
		self.root = delta_trie_root::<Layout, _, _, _, _, _>(
			&mut self.nodes,
			self.root,
			changes,
			None,
			None,
		)
		.expect("an archive misses no node");
		self.root
	}

	pub fn read_proof(&self, root: H256, keys: impl IntoIterator<Item = Vec<u8>>) -> StateProof {
		let mut recorder = Recorder::<Layout>::new();
		{
			let trie = TrieDBBuilder::<Layout>::new(&self.nodes, &root)
				.with_recorder(&mut recorder)
				.build();
			for key in keys {
				trie.get(&key).expect("an archive misses no node");
			}
		}
		let nodes = recorder.drain().into_iter().map(|record| record.data);
		nodes.collect::<BTreeSet<_>>().into_iter().collect()
	}
}

#[derive(Default)]
struct ArchiveDb(BTreeMap<H256, Value>);

impl HashDB<Blake2Hasher, Value> for ArchiveDb {
	fn get(&self, key: &H256, _: Prefix<'_>) -> Option<Value> {
		self.0.get(key).cloned()
	}

	fn contains(&self, key: &H256, _: Prefix<'_>) -> bool {
		self.0.contains_key(key)
	}

	fn insert(&mut self, prefix: Prefix<'_>, value: &[u8]) -> H256 {
		let key = Blake2Hasher::hash(value);
		self.emplace(key, prefix, value.to_vec());
		key
	}

	fn emplace(&mut self, key: H256, _: Prefix<'_>, value: Value) {
		self.0.insert(key, value);
	}

	fn remove(&mut self, _: &H256, _: Prefix<'_>) {}
}

impl AsHashDB<Blake2Hasher, Value> for ArchiveDb {
	fn as_hash_db(&self) -> &dyn HashDB<Blake2Hasher, Value> {
		self
	}

	fn as_hash_db_mut<'a>(&'a mut self) -> &'a mut (dyn HashDB<Blake2Hasher, Value> + 'a) {
		self
	}
}

impl HashDBRef<Blake2Hasher, Value> for ArchiveDb {
	fn get(&self, key: &H256, prefix: Prefix<'_>) -> Option<Value> {
		HashDB::get(self, key, prefix)
	}

	fn contains(&self, key: &H256, prefix: Prefix<'_>) -> bool {
		HashDB::contains(self, key, prefix)
	}
}
