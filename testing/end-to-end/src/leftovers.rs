//! What a command leaves behind: processes, sockets that listen, files.

use std::{
	collections::BTreeSet,
	fs, io,
	os::unix::fs::MetadataExt,
	path::{Path, PathBuf},
};

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Running {
	pub id: u32,
	/// Its command line.
	pub line: String,
}

/// Processes with `folder` in their environment.
pub fn processes(folder: &Path) -> io::Result<BTreeSet<Running>> {
	let folder = folder.display().to_string();
	let mut found = BTreeSet::new();
	for entry in fs::read_dir("/proc")? {
		let process = entry?.path();
		let id = process.file_name().and_then(|name| name.to_str()?.parse().ok());
		// One that ended meanwhile, or is another user's, is none of ours.
		let (Some(id), Ok(environment)) = (id, fs::read(process.join("environ"))) else { continue };
		if memchr::memmem::find(&environment, folder.as_bytes()).is_some() {
			let line = fs::read(process.join("cmdline")).unwrap_or_default();
			found.insert(Running { id, line: String::from_utf8_lossy(&line).replace('\0', " ") });
		}
	}
	Ok(found)
}

/// Sockets on which processes listen, by their inodes: a port may be somebody else's a moment later.
pub fn listening(of: &BTreeSet<Running>) -> io::Result<BTreeSet<u64>> {
	let mut open = BTreeSet::new();
	for process in of {
		let files =
			fs::read_dir(format!("/proc/{}/fd", process.id)).into_iter().flatten().flatten();
		// Follows the link: an open socket has the inode of the kernel's table.
		open.extend(files.filter_map(|file| Some(fs::metadata(file.path()).ok()?.ino())));
	}
	Ok(all_listening()?.intersection(&open).copied().collect())
}

/// Which of these still listen.
pub fn still_listening(sockets: &BTreeSet<u64>) -> io::Result<BTreeSet<u64>> {
	Ok(all_listening()?.intersection(sockets).copied().collect())
}

/// See `man 5 proc`: state 0A listens, the tenth field is the inode.
fn all_listening() -> io::Result<BTreeSet<u64>> {
	const LISTENS: &str = "0A";
	let mut found = BTreeSet::new();
	for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
		// A kernel without IPv6 has no such table.
		let Ok(table) = fs::read_to_string(table) else { continue };
		for line in table.lines().skip(1) {
			let fields: Vec<_> = line.split_whitespace().collect();
			if let [_, _, _, LISTENS, _, _, _, _, _, inode, ..] = fields[..] {
				found.extend(inode.parse::<u64>());
			}
		}
	}
	Ok(found)
}

/// All files and folders in a folder, however deep.
pub fn files(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
	let mut found = BTreeSet::new();
	for entry in fs::read_dir(folder)? {
		let path = entry?.path();
		if path.is_dir() && !path.is_symlink() {
			found.extend(files(&path)?);
		}
		found.insert(path);
	}
	Ok(found)
}
