//! Components and manifests, by hash.

use crate::{limits::BLOB_BYTES_MAX, sync::lock};
use phala_protocol::{blake2_256, H256};
use std::{
	collections::{BTreeSet, HashMap},
	fs,
	io::{self, Read, Write},
	path::{Path, PathBuf},
	sync::{Arc, Mutex},
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

/// In memory, and in a folder if there is one: files named after their hashes, which the host may change as it
/// likes, since what comes back is checked as what came from anywhere. It is no secret.
#[derive(Default)]
pub struct Code {
	held: Mutex<HashMap<H256, Arc<[u8]>>>,
	folder: Option<PathBuf>,
}

impl Code {
	/// Makes the folder, if it is not there.
	pub fn in_folder(folder: PathBuf) -> io::Result<Self> {
		if !folder.is_dir() {
			fs::create_dir(&folder)?;
		}
		Ok(Self { held: Mutex::default(), folder: Some(folder) })
	}

	/// A disk that does not take it is no reason to be without: other members have it.
	pub fn put(&self, hash: H256, bytes: Vec<u8>) {
		if let Some(folder) = &self.folder {
			if let Err(error) = write(&file(folder, &hash), &bytes) {
				tracing::warn!(?hash, "the disk keeps no code: {error}");
			}
		}
		lock(&self.held).insert(hash, bytes.into());
	}

	pub fn get(&self, hash: &H256) -> Option<Arc<[u8]>> {
		if let Some(code) = lock(&self.held).get(hash) {
			return Some(code.clone());
		}
		let bytes: Arc<[u8]> = read(&file(self.folder.as_ref()?, hash), *hash)?.into();
		Some(lock(&self.held).entry(*hash).or_insert(bytes).clone())
	}

	/// Of what a boot before this one left nothing is deleted: this one has not heard of all agents yet.
	pub fn keep(&self, kept: &BTreeSet<H256>) {
		let mut held = lock(&self.held);
		let gone: Vec<_> = held.keys().filter(|hash| !kept.contains(*hash)).copied().collect();
		for hash in gone {
			held.remove(&hash);
			if let Some(folder) = &self.folder {
				// It may be gone already.
				let _ = fs::remove_file(file(folder, &hash));
			}
		}
	}
}

fn file(folder: &Path, hash: &H256) -> PathBuf {
	folder.join(hex::encode(hash))
}

/// A file is there whole or not at all. Two at once for one hash may spoil it, which a reader finds.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
	let new = file.with_extension("new");
	let mut writing = fs::File::create(&new)?;
	writing.write_all(bytes)?;
	writing.sync_all()?;
	fs::rename(new, file)?;
	// Its name too.
	file.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

/// Reads no more than code may be long.
fn read(file: &Path, hash: H256) -> Option<Vec<u8>> {
	let mut bytes = Vec::new();
	let most = BLOB_BYTES_MAX as u64 + 1;
	fs::File::open(file).ok()?.take(most).read_to_end(&mut bytes).ok()?;
	if let Err(error) = check(hash, &bytes) {
		tracing::warn!(?hash, "the disk gives other code: {error}");
		return None;
	}
	Some(bytes)
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

	#[test]
	fn code_outlives_the_process_in_its_folder_and_a_host_that_changes_it_takes_it_away() {
		let folder = tempfile::tempdir().unwrap();
		let disk = || MemoryStore::with_code_in(folder.path().join("code")).unwrap();
		let hash = blake2_256(b"code");
		disk().put_code(hash, b"code".to_vec()).unwrap();
		let next = disk();
		// It was told of no agents yet.
		next.keep(&Kept::default());
		assert_eq!(next.code(&hash).as_deref(), Some(&b"code"[..]));
		let file = folder.path().join("code").join(hex::encode(hash));
		std::fs::write(&file, b"other code").unwrap();
		assert!(disk().code(&hash).is_none());
		std::fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
		assert!(disk().code(&hash).is_none());
		disk().put_code(hash, b"code".to_vec()).unwrap();
		let last = disk();
		assert!(last.code(&hash).is_some());
		last.keep(&Kept::default());
		assert!(last.code(&hash).is_none() && !file.exists());
		assert_eq!(std::fs::read_dir(folder.path().join("code")).unwrap().count(), 0);
	}
}
