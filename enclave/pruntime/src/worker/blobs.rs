//! Components and manifests, by hash. Anybody may bring one, if the chain names it.

use crate::limits::BLOB_BYTES_MAX;
use phala_protocol::{blake2_256, refusals::Refusal, H256};
use std::{
	collections::{BTreeSet, HashMap},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Why a blob was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
	#[error("no agent of this worker's cluster has this code on the chain, as far as this worker knows yet; register the agent first, or try again in a moment")]
	CodeNotWanted,
	#[error("the bytes have another hash than the one in the path (BLAKE2-256)")]
	WrongHash,
	#[error("the blob is too long; at most {BLOB_BYTES_MAX} bytes are taken")]
	TooLong,
}

impl BlobError {
	/// As whoever brought it is told.
	pub fn refusal(self) -> Refusal {
		match self {
			Self::CodeNotWanted => Refusal::CodeNotWanted,
			Self::WrongHash => Refusal::WrongHash,
			Self::TooLong => Refusal::TooLong,
		}
	}
}

/// What this worker has.
#[derive(Default)]
pub struct Blobs(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
	wanted: BTreeSet<H256>,
	held: HashMap<H256, Arc<[u8]>>,
}

impl Blobs {
	/// The chain names these, and no others any more.
	pub fn want(&self, wanted: &BTreeSet<H256>) {
		let mut shelf = self.shelf();
		if shelf.wanted != *wanted {
			shelf.held.retain(|hash, _| wanted.contains(hash));
			shelf.wanted = wanted.clone();
		}
	}

	/// Takes one in.
	///
	/// # Errors
	/// [`BlobError`].
	pub fn put(&self, hash: H256, bytes: Vec<u8>) -> Result<(), BlobError> {
		if bytes.len() > BLOB_BYTES_MAX {
			return Err(BlobError::TooLong);
		}
		if !self.shelf().wanted.contains(&hash) {
			return Err(BlobError::CodeNotWanted);
		}
		if blake2_256(&bytes) != hash {
			return Err(BlobError::WrongHash);
		}
		self.shelf().held.insert(hash, bytes.into());
		Ok(())
	}

	/// One, if it is here.
	pub fn get(&self, hash: &H256) -> Option<Arc<[u8]>> {
		self.shelf().held.get(hash).cloned()
	}

	/// Whether one is here.
	pub fn has(&self, hash: &H256) -> bool {
		self.shelf().held.contains_key(hash)
	}

	fn shelf(&self) -> MutexGuard<'_, Shelf> {
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn only_what_the_chain_names_is_taken_and_only_under_its_own_hash() {
		let blobs = Blobs::default();
		let (code, hash) = (b"code".to_vec(), blake2_256(b"code"));
		assert_eq!(blobs.put(hash, code.clone()), Err(BlobError::CodeNotWanted));
		blobs.want(&[hash, H256::zero()].into());
		assert_eq!(blobs.put(H256::zero(), code.clone()), Err(BlobError::WrongHash));
		assert_eq!(blobs.put(hash, code), Ok(()));
		assert!(blobs.has(&hash));
		assert_eq!(blobs.put(H256::zero(), vec![0; BLOB_BYTES_MAX + 1]), Err(BlobError::TooLong));
		blobs.want(&[H256::zero()].into());
		assert!(!blobs.has(&hash), "what the chain no longer names is forgotten");
	}
}
