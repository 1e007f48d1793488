//! Room on the disk that is held back, so that pages can be deleted when it is full: a deletion is a
//! commit, and a commit writes before it frees.

use crate::limits::RESERVE_BYTES;
use redb::StorageBackend;
use std::{
	fmt::Debug,
	fs::{File, OpenOptions},
	io,
	os::unix::fs::MetadataExt,
	path::Path,
	sync::{Arc, Mutex, PoisonError},
};

/// The file that takes the room.
pub const RESERVE: &str = "reserve";

/// Below that it is not worth holding.
const HELD_BYTES_MIN: u64 = 1024 * 1024;

/// Room that nobody else gets while it is taken.
pub trait Room: Debug + Send + Sync {
	/// So many bytes in place of those that were taken. An error leaves it as it was.
	fn take(&self, before: u64, bytes: u64) -> io::Result<()>;

	fn give_back(&self) -> io::Result<()>;
}

impl Room for File {
	fn take(&self, before: u64, bytes: u64) -> io::Result<()> {
		let taken = allocate(self, bytes);
		if taken.is_err() {
			// A part of it may be there.
			self.set_len(before)?;
		}
		taken
	}

	fn give_back(&self) -> io::Result<()> {
		self.set_len(0)?;
		// Some file systems give room to others only when they have written down that it is free.
		self.sync_all()
	}
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
	loop {
		match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
			Err(rustix::io::Errno::INTR) => {}
			done => return done.map_err(Into::into),
		}
	}
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64) -> io::Result<()> {
	Err(io::ErrorKind::Unsupported.into())
}

/// Whether a disk, or this user's part of it, is full.
pub fn is_full(error: &io::Error) -> bool {
	matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[derive(Debug)]
pub struct Reserve {
	room: Box<dyn Room>,
	held: Mutex<Held>,
}

#[derive(Debug, PartialEq, Eq)]
enum Held {
	Bytes(u64),
	/// The file system holds nothing back: a full disk ends the process as any other failure.
	Never,
}

impl Reserve {
	/// Of a folder.
	pub fn open(folder: &Path) -> io::Result<Self> {
		let path = folder.join(RESERVE);
		let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
		let metadata = file.metadata()?;
		let (held, taken) = (metadata.len(), metadata.blocks().saturating_mul(512));
		if taken < held {
			// Somebody copied it without what is in it.
			file.set_len(0)?;
		}
		Ok(Self::of(file, if taken < held { 0 } else { held }))
	}

	/// Takes what there is, if none is held.
	pub fn of(room: impl Room + 'static, held: u64) -> Self {
		let reserve = Self { room: Box::new(room), held: Mutex::new(Held::Bytes(held)) };
		reserve.take_again();
		reserve
	}

	/// Whether all of it is held, after another try: whoever made the disk full may have made room.
	pub fn is_whole(&self) -> bool {
		let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
		let Held::Bytes(before) = *held else { return true };
		if before == RESERVE_BYTES {
			return true;
		}
		self.take(&mut held, before, RESERVE_BYTES);
		let is_whole = !matches!(*held, Held::Bytes(bytes) if bytes < RESERVE_BYTES);
		if is_whole {
			eprintln!("page store: the disk has room again");
		}
		is_whole
	}

	/// If it was let go: all of it, or a half, or a quarter …
	pub fn take_again(&self) {
		let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
		if *held != Held::Bytes(0) {
			return;
		}
		let mut bytes = RESERVE_BYTES;
		while bytes >= HELD_BYTES_MIN && !self.take(&mut held, 0, bytes) {
			bytes /= 2;
		}
	}

	/// Whether it is decided.
	fn take(&self, held: &mut Held, before: u64, bytes: u64) -> bool {
		match self.room.take(before, bytes) {
			Ok(()) => *held = Held::Bytes(bytes),
			Err(error) if is_full(&error) => return false,
			Err(error) => {
				eprintln!("page store: no room is held back for when the disk is full: {error}");
				*held = Held::Never;
			}
		}
		true
	}

	/// Lets all of it go.
	fn give_back(&self) -> io::Result<()> {
		let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
		if matches!(*held, Held::Bytes(bytes) if bytes > 0) {
			eprintln!("page store: the disk is full: what is held back for deletions is let go");
			*held = Held::Bytes(0);
			self.room.give_back()?;
		}
		Ok(())
	}
}

/// A file, and what is let go when a write finds no room for it.
#[derive(Debug)]
pub struct WithReserve<B> {
	pub file: B,
	pub reserve: Arc<Reserve>,
}

impl<B: StorageBackend> WithReserve<B> {
	fn or_of_reserve(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
		match write() {
			Err(error) if is_full(&error) => {
				self.reserve.give_back()?;
				write()
			}
			done => done,
		}
	}
}

/// Without locks: the folder's lock is the file's.
impl<B: StorageBackend> StorageBackend for WithReserve<B> {
	fn len(&self) -> io::Result<u64> {
		self.file.len()
	}

	fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
		self.file.read(offset, out)
	}

	fn set_len(&self, bytes: u64) -> io::Result<()> {
		self.or_of_reserve(|| self.file.set_len(bytes))
	}

	/// Not tried again: after a failure the system may have dropped what it did not write.
	fn sync_data(&self) -> io::Result<()> {
		self.file.sync_data().inspect_err(|error| {
			if is_full(error) {
				// For the next process.
				let _ = self.reserve.give_back();
			}
		})
	}

	fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
		self.or_of_reserve(|| self.file.write(offset, data))
	}

	fn close(&self) -> io::Result<()> {
		self.file.close()
	}
}
