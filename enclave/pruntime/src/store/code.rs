//! Components and manifests, by hash.

use crate::limits::BLOB_BYTES_MAX;
use phala_protocol::{blake2_256, H256};
use std::{
	collections::{BTreeSet, HashMap},
	sync::Arc,
};

/// Why a component or manifest was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
	#[error("no agent of this worker's cluster has this code on the chain, as far as this worker knows yet; register the agent or prepare its upgrade first, or try again in a moment")]
	NotWanted,
	#[error("the bytes have another hash than the one in the path (BLAKE2-256)")]
	WrongHash,
	#[error("the blob is too long; at most {BLOB_BYTES_MAX} bytes are taken")]
	TooLong,
}

/// Whether these are the bytes with that hash.
pub fn check(hash: H256, bytes: &[u8]) -> Result<(), CodeError> {
	if bytes.len() > BLOB_BYTES_MAX {
		return Err(CodeError::TooLong);
	}
	if blake2_256(bytes) != hash {
		return Err(CodeError::WrongHash);
	}
	Ok(())
}

#[derive(Default)]
pub struct Code(HashMap<H256, Arc<[u8]>>);

impl Code {
	pub fn put(&mut self, hash: H256, bytes: Arc<[u8]>) {
		self.0.insert(hash, bytes);
	}

	pub fn get(&self, hash: &H256) -> Option<Arc<[u8]>> {
		self.0.get(hash).cloned()
	}

	pub fn keep(&mut self, kept: &BTreeSet<H256>) {
		self.0.retain(|hash, _| kept.contains(hash));
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::store::{MemoryStore, Store};
	use phala_machine::Kept;

	#[test]
	fn code_is_taken_only_under_its_own_hash_and_forgotten_when_nobody_names_it() {
		let store = MemoryStore::default();
		let (code, hash) = (b"code".to_vec(), blake2_256(b"code"));
		assert_eq!(store.put_code(H256::zero(), code.clone()), Err(CodeError::WrongHash));
		assert_eq!(store.put_code(hash, code.clone()), Ok(()));
		assert_eq!(store.code(&hash).as_deref(), Some(&code[..]));
		let long = vec![0; BLOB_BYTES_MAX + 1];
		assert_eq!(store.put_code(H256::zero(), long), Err(CodeError::TooLong));
		store.keep(&Kept { code: [hash].into(), ..Kept::default() });
		assert!(store.code(&hash).is_some());
		store.keep(&Kept::default());
		assert!(store.code(&hash).is_none());
	}
}
