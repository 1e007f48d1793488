//! The folder of one network. It goes when the network stops; if this process was
//! killed with -9, when the next one starts: a folder whose lock nobody holds is nobody's.

use anyhow::Context;
use std::{
	fs::{self, File},
	path::Path,
};
use tempfile::TempDir;

const PREFIX: &str = "phala-dev-";
const LOCK: &str = "lock";
const LOCK_IN_THE_MAKING: &str = "lock.new";

/// A folder, and the lock that says that it is in use.
pub struct Folder {
	folder: TempDir,
	/// Held as long as it is open.
	_lock: File,
}

impl Folder {
	/// A new folder in `parent`, after those that were left there are removed.
	pub fn new(parent: &Path) -> anyhow::Result<Self> {
		remove_left(parent);
		let failed = || format!("cannot make a temporary folder in {}", parent.display());
		let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent);
		let folder = folder.with_context(failed)?;
		let new = folder.path().join(LOCK_IN_THE_MAKING);
		let lock = File::create(&new).with_context(failed)?;
		lock.lock().with_context(failed)?;
		// Under its name it is never seen unlocked.
		fs::rename(&new, folder.path().join(LOCK)).with_context(failed)?;
		Ok(Self { folder, _lock: lock })
	}

	/// Where it is.
	pub fn path(&self) -> &Path {
		self.folder.path()
	}

	/// Removes it.
	pub fn close(self) -> std::io::Result<()> {
		self.folder.close()
	}
}

/// What cannot be removed is left: it may be another user's.
fn remove_left(parent: &Path) {
	for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
		if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
			continue;
		}
		let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
		if lock.try_lock().is_ok() {
			let _ = fs::remove_dir_all(entry.path());
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_folder_in_use_stays_and_one_that_was_left_goes_at_the_next_start() {
		let parent = tempfile::tempdir().unwrap();
		let in_use = Folder::new(parent.path()).unwrap();
		let Folder { folder, _lock } = Folder::new(parent.path()).unwrap();
		// As after kill -9: the lock is gone, the folder is not.
		let left = folder.keep();
		drop(_lock);
		let next = Folder::new(parent.path()).unwrap();
		assert!(in_use.path().is_dir() && next.path().is_dir() && !left.exists());
		next.close().unwrap();
		in_use.close().unwrap();
		assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
	}
}
