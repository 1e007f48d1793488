//! What was made once, on disk: one file a key, which names all that it was made of.
//!
//! Builders share a folder without a lock: a file appears whole or not at all, and two that make the
//! same write the same. A file that is not what was written counts as not there.

use sp_crypto_hashing::blake2_256;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

/// Of some megabytes each; those that were not asked for longest go first.
pub(crate) const ENTRIES_MAX: usize = 32;

pub(crate) type Key = [u8; 32];

#[derive(Clone, Debug)]
pub(crate) struct Cache {
	folder: PathBuf,
}

/// Of parts in their order. Each counts with its length, so that no two lists look alike.
pub(crate) fn key(parts: &[&[u8]]) -> Key {
	let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
	for part in parts {
		bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
		bytes.extend_from_slice(part);
	}
	blake2_256(&bytes)
}

impl Cache {
	pub fn new(folder: PathBuf) -> Self {
		Self { folder }
	}

	/// `$XDG_CACHE_HOME/phala/agents`, or `~/.cache/phala/agents`; none for a user without a home.
	pub fn of_user() -> Option<Self> {
		Self::of(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))
	}

	/// As the XDG base directory specification has it: a relative folder counts as none.
	fn of(cache_home: Option<OsString>, home: Option<OsString>) -> Option<Self> {
		let absolute = |folder: Option<OsString>| {
			folder.map(PathBuf::from).filter(|folder| folder.is_absolute())
		};
		let base = absolute(cache_home).or_else(|| Some(absolute(home)?.join(".cache")))?;
		Some(Self::new(base.join("phala/agents")))
	}

	pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
		let path = self.path(key);
		let mut bytes = fs::read(&path).ok()?;
		let (hash, content) = bytes.split_first_chunk::<32>()?;
		if blake2_256(content) != *hash {
			return None;
		}
		bytes.drain(..32);
		// When it was asked for last. Only what goes first depends on it.
		let _ = fs::File::options()
			.append(true)
			.open(&path)
			.and_then(|file| file.set_modified(SystemTime::now()));
		Some(bytes)
	}

	/// A build does not fail for want of a cache: what cannot be written is made again next time.
	pub fn put(&self, key: &Key, content: &[u8]) {
		let _ = self.write(key, content);
		let _ = self.prune();
	}

	fn write(&self, key: &Key, content: &[u8]) -> std::io::Result<()> {
		fs::create_dir_all(&self.folder)?;
		let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
		file.write_all(&blake2_256(content))?;
		file.write_all(content)?;
		file.persist(self.path(key))?;
		Ok(())
	}

	fn prune(&self) -> std::io::Result<()> {
		let mut entries = Vec::new();
		for entry in fs::read_dir(&self.folder)? {
			let entry = entry?;
			// Gone meanwhile: another builder prunes too.
			let Ok(used) = entry.metadata().and_then(|file| file.modified()) else { continue };
			entries.push((used, entry.path()));
		}
		entries.sort();
		let excess = entries.len().saturating_sub(ENTRIES_MAX);
		for (_, path) in entries.into_iter().take(excess) {
			let _ = fs::remove_file(path);
		}
		Ok(())
	}

	fn path(&self, key: &Key) -> PathBuf {
		self.folder.join(hex::encode(key))
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::path::Path;
	use std::time::Duration;

	fn entries(folder: &Path) -> usize {
		fs::read_dir(folder).unwrap().count()
	}

	#[test]
	fn the_user_s_is_where_xdg_says_else_in_the_home_else_nowhere() {
		let of = |cache_home: &str, home: &str| {
			let set = |text: &str| (!text.is_empty()).then(|| text.into());
			Cache::of(set(cache_home), set(home)).map(|cache| cache.folder)
		};
		let in_home = Some(PathBuf::from("/home/ada/.cache/phala/agents"));
		assert_eq!(of("/big/disk", "/home/ada"), Some("/big/disk/phala/agents".into()));
		assert_eq!(of("", "/home/ada"), in_home);
		assert_eq!(of("relative", "/home/ada"), in_home);
		assert_eq!(of("", ""), None);
		assert_eq!(of("", "relative"), None);
	}

	#[test]
	fn what_was_put_is_got_by_its_key_and_by_no_other() {
		let folder = tempfile::tempdir().unwrap();
		let cache = Cache::new(folder.path().join("made"));
		let (one, other) = (key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
		assert_eq!(cache.get(&one), None);
		cache.put(&one, b"content");
		assert_eq!(cache.get(&one).as_deref(), Some(&b"content"[..]));
		assert_eq!(cache.get(&other), None, "the parts are the same bytes, cut elsewhere");
	}

	#[test]
	fn a_file_that_was_cut_or_changed_counts_as_not_there() {
		let folder = tempfile::tempdir().unwrap();
		let cache = Cache::new(folder.path().to_owned());
		let key = key(&[b"x"]);
		cache.put(&key, b"content");
		let whole = fs::read(cache.path(&key)).unwrap();
		let mut changed = whole.clone();
		changed[33] ^= 1;
		for broken in [&whole[..whole.len() - 1], &whole[..31], &[], &changed] {
			fs::write(cache.path(&key), broken).unwrap();
			assert_eq!(cache.get(&key), None);
		}
		cache.put(&key, b"content");
		assert_eq!(cache.get(&key).as_deref(), Some(&b"content"[..]));
	}

	#[test]
	fn a_folder_that_cannot_be_written_is_a_cache_that_has_nothing() {
		let folder = tempfile::tempdir().unwrap();
		let file = folder.path().join("file");
		fs::write(&file, "").unwrap();
		let cache = Cache::new(file.join("made"));
		cache.put(&key(&[b"x"]), b"content");
		assert_eq!(cache.get(&key(&[b"x"])), None);
	}

	#[test]
	fn many_writers_of_one_key_leave_one_whole_file() {
		let folder = tempfile::tempdir().unwrap();
		let cache = Cache::new(folder.path().to_owned());
		let key = key(&[b"x"]);
		let content = vec![7; 1 << 20];
		std::thread::scope(|scope| {
			for _ in 0..8 {
				scope.spawn(|| {
					cache.put(&key, &content);
					assert_eq!(cache.get(&key).as_ref(), Some(&content));
				});
			}
		});
		assert_eq!(entries(folder.path()), 1, "a temporary file was left");
	}

	#[test]
	fn beyond_the_most_that_are_kept_those_not_asked_for_longest_go() {
		let folder = tempfile::tempdir().unwrap();
		let cache = Cache::new(folder.path().to_owned());
		let keys: Vec<Key> = (0..=ENTRIES_MAX).map(|n| key(&[&n.to_le_bytes()])).collect();
		let now = SystemTime::now();
		for (age, key) in keys[..ENTRIES_MAX].iter().rev().enumerate() {
			cache.put(key, b"content");
			let written = now - Duration::from_secs(60 + age as u64);
			fs::File::options()
				.append(true)
				.open(cache.path(key))
				.unwrap()
				.set_modified(written)
				.unwrap();
		}
		assert_eq!(entries(folder.path()), ENTRIES_MAX);
		assert!(cache.get(&keys[0]).is_some(), "the oldest is asked for");
		cache.put(&keys[ENTRIES_MAX], b"content");
		assert_eq!(entries(folder.path()), ENTRIES_MAX);
		assert!(cache.get(&keys[0]).is_some());
		assert!(cache.get(&keys[1]).is_none());
	}
}
