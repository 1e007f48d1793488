//! The folder and its file: opened by one process at a time, set aside if damaged.

use super::reserve::{Reserve, WithReserve};
use crate::{
	limits::{FILES_ASIDE_MAX, PAGE_BYTES_MAX},
	protocol::{OpenError, Opened, Usage},
};
use redb::{
	backends::FileBackend, Database, DatabaseError, ReadableDatabase, ReadableTable,
	ReadableTableMetadata, StorageBackend, StorageError, TableDefinition, TableError, TableHandle,
	TransactionError,
};
use std::{
	fs::{self, File, OpenOptions, TryLockError},
	io::{self, Read},
	panic::{catch_unwind, AssertUnwindSafe},
	path::{Path, PathBuf},
	sync::Arc,
};

/// Agent and name -> sealed page.
pub const PAGES: TableDefinition<&[u8; 64], &[u8]> = TableDefinition::new("pages");
/// Agent -> how many pages, how many bytes; in the same commit as the pages.
pub const USAGE: TableDefinition<&[u8; 32], (u64, u64)> = TableDefinition::new("usage");
const FORMAT: TableDefinition<&str, &[u8]> = TableDefinition::new("format");
const FORMAT_KEY: &str = "version";

/// How the tables above are to be read. A file of a later one is refused, never set aside: it is
/// whole, and another release reads it.
pub const FORMAT_VERSION: u32 = 1;

/// The format of redb's own that this release reads. redb does not convert files of others.
const ENGINE_FORMAT: u8 = 3;
const ENGINE_MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// Where a file says its format, once for each of its two last commits.
const ENGINE_FORMAT_AT: [usize; 2] = [64, 192];
/// Of what redb reads first.
const ENGINE_HEAD_BYTES: u64 = 320;

pub const FILE: &str = "pages.redb";
const LOCK: &str = "lock";

/// The system's number for a failure without one: EIO.
const EIO: i32 = 5;

pub fn os_error(error: &io::Error) -> i32 {
	error.raw_os_error().unwrap_or(EIO)
}

fn disk(error: &io::Error) -> OpenError {
	OpenError::Disk { os_error: os_error(error) }
}

/// What a process has while it serves.
pub struct Files {
	pub database: Database,
	pub reserve: Arc<Reserve>,
	pub path: PathBuf,
	/// Kept for as long as the database is open.
	_lock: File,
}

#[derive(Debug)]
pub enum FileError {
	Refused(OpenError),
	Damaged(String),
}

impl FileError {
	fn damaged(error: impl std::fmt::Display) -> Self {
		Self::Damaged(error.to_string())
	}
}

impl From<StorageError> for FileError {
	fn from(error: StorageError) -> Self {
		match error {
			StorageError::Io(error) => error.into(),
			error => Self::damaged(error),
		}
	}
}

impl From<io::Error> for FileError {
	fn from(error: io::Error) -> Self {
		match error.kind() {
			// What redb says of a file that is none of its own, or too short.
			io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::damaged(error),
			_ => Self::Refused(disk(&error)),
		}
	}
}

impl From<DatabaseError> for FileError {
	fn from(error: DatabaseError) -> Self {
		match error {
			DatabaseError::DatabaseAlreadyOpen => Self::Refused(OpenError::InUse),
			DatabaseError::UpgradeRequired(found) => Self::Refused(engine_format(found)),
			DatabaseError::Storage(error) => error.into(),
			error => Self::damaged(error),
		}
	}
}

impl From<TableError> for FileError {
	fn from(error: TableError) -> Self {
		match error {
			TableError::Storage(error) => error.into(),
			error => Self::damaged(error),
		}
	}
}

impl From<TransactionError> for FileError {
	fn from(error: TransactionError) -> Self {
		match error {
			TransactionError::Storage(error) => error.into(),
			error => Self::damaged(error),
		}
	}
}

impl From<redb::CommitError> for FileError {
	fn from(error: redb::CommitError) -> Self {
		match error {
			redb::CommitError::Storage(error) => error.into(),
			error => Self::damaged(error),
		}
	}
}

fn engine_format(found: u8) -> OpenError {
	OpenError::EngineFormat { found, known: ENGINE_FORMAT }
}

/// Opens the folder's file, or begins one. What does not open is set aside, once. A folder that is not
/// there is not made: it may be on a disk that is not mounted.
pub fn open(
	folder: &Path,
	cache_bytes: usize,
	set_aside: bool,
) -> Result<(Files, Opened), OpenError> {
	let lock = lock(folder)?;
	let reserve = Arc::new(Reserve::open(folder).map_err(|error| disk(&error))?);
	let path = folder.join(FILE);
	let mut aside = None;
	if set_aside && path.exists() {
		aside = Some(move_aside(folder, &path, "it ended its process over and over")?);
	}
	loop {
		// redb panics on some damaged files: that is one more way not to open.
		let opened = catch_unwind(AssertUnwindSafe(|| open_database(&path, &reserve, cache_bytes)));
		let opened = opened.unwrap_or_else(|_| Err(FileError::damaged("opening it panics")));
		match opened {
			Ok((database, stored)) => {
				sync_folder(folder)?;
				let files = Files { database, reserve, path, _lock: lock };
				return Ok((files, Opened { set_aside: aside, stored }));
			}
			Err(FileError::Refused(why)) => return Err(why),
			Err(FileError::Damaged(why)) => {
				if aside.is_some() {
					// A new file that does not open either: it is not the file.
					eprintln!("page store: a new file does not open: {why}");
					return Err(OpenError::Disk { os_error: EIO });
				}
				aside = Some(move_aside(folder, &path, &why)?);
			}
		}
	}
}

fn lock(folder: &Path) -> Result<File, OpenError> {
	let path = folder.join(LOCK);
	let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
	let file = file.map_err(|error| match error.kind() {
		io::ErrorKind::NotFound => OpenError::NoFolder,
		_ => disk(&error),
	})?;
	match file.try_lock() {
		Ok(()) => Ok(file),
		Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
		Err(TryLockError::Error(error)) => Err(disk(&error)),
	}
}

/// Names of files are durable too.
fn sync_folder(folder: &Path) -> Result<(), OpenError> {
	File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| disk(&error))
}

/// The name of a file that was set aside.
pub fn aside_path(folder: &Path, number: u32) -> PathBuf {
	folder.join(format!("{FILE}.damaged-{number}"))
}

fn move_aside(folder: &Path, path: &Path, why: &str) -> Result<u32, OpenError> {
	let free = (1..=FILES_ASIDE_MAX).find(|number| !aside_path(folder, *number).exists());
	let number = free.ok_or(OpenError::TooManyAside { files: FILES_ASIDE_MAX })?;
	let to = aside_path(folder, number);
	fs::rename(path, &to).map_err(|error| disk(&error))?;
	sync_folder(folder)?;
	eprintln!(
		"page store: {} is damaged ({why}) and was moved to {}; an empty one takes its place",
		path.display(),
		to.display()
	);
	Ok(number)
}

fn open_database(
	path: &Path,
	reserve: &Arc<Reserve>,
	cache_bytes: usize,
) -> Result<(Database, Usage), FileError> {
	let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
	check_engine_format(&file)?;
	open_in(FileBackend::new(file)?, reserve, cache_bytes)
}

/// redb says of a file of a later format that it is damaged.
fn check_engine_format(file: &File) -> Result<(), FileError> {
	let mut head = Vec::new();
	file.take(ENGINE_HEAD_BYTES).read_to_end(&mut head)?;
	if head.starts_with(ENGINE_MAGIC) {
		let formats = ENGINE_FORMAT_AT.iter().filter_map(|at| head.get(*at));
		// A later release may have written one of them only; none ever wrote 0.
		if let Some(found) = formats.copied().find(|format| ![0, ENGINE_FORMAT].contains(format)) {
			return Err(FileError::Refused(engine_format(found)));
		}
	}
	Ok(())
}

pub fn open_in(
	file: impl StorageBackend,
	reserve: &Arc<Reserve>,
	cache_bytes: usize,
) -> Result<(Database, Usage), FileError> {
	let file_bytes = file.len()?;
	let file = WithReserve { file, reserve: reserve.clone() };
	let database = redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(file)?;
	if database.begin_read()?.list_tables().map_err(FileError::from)?.next().is_none() {
		let write = database.begin_write()?;
		write.open_table(PAGES)?;
		write.open_table(USAGE)?;
		write.open_table(FORMAT)?.insert(FORMAT_KEY, &format_value(FORMAT_VERSION)[..])?;
		write.commit()?;
		return Ok((database, Usage::default()));
	}
	let read = database.begin_read()?;
	check_format(&read)?;
	let pages = read.open_table(PAGES)?.len()?;
	let makes_sense = |stored: &Usage| stored.bytes <= file_bytes && stored.pages == pages;
	let stored = stored(&read)?.filter(makes_sense);
	drop(read);
	let stored = match stored {
		Some(stored) => stored,
		None => count(&database)?,
	};
	Ok((database, stored))
}

/// The number, and its complement, so that a flipped bit is no other number.
fn format_value(version: u32) -> [u8; 8] {
	let mut value = [0; 8];
	let (number, complement) = value.split_at_mut(4);
	number.copy_from_slice(&version.to_le_bytes());
	complement.copy_from_slice(&(!version).to_le_bytes());
	value
}

fn check_format(read: &redb::ReadTransaction) -> Result<(), FileError> {
	let names: Vec<String> =
		read.list_tables()?.take(8).map(|table| table.name().to_string()).collect();
	let table = read.open_table(FORMAT).map_err(|error| match error {
		TableError::TableDoesNotExist(_) => {
			FileError::damaged(format!("it has no format among its tables {names:?}"))
		}
		error => error.into(),
	})?;
	let value = table.get(FORMAT_KEY)?.ok_or_else(|| FileError::damaged("it has no format"))?;
	let number = value.value().first_chunk::<4>().map_or(0, |number| u32::from_le_bytes(*number));
	if value.value() != format_value(number) || number == 0 {
		return Err(FileError::damaged("its format is no number"));
	}
	if number > FORMAT_VERSION {
		return Err(FileError::Refused(OpenError::NewerFormat {
			found: number,
			known: FORMAT_VERSION,
		}));
	}
	Ok(())
}

/// As it is written there; none if it makes no sense.
fn stored(read: &redb::ReadTransaction) -> Result<Option<Usage>, FileError> {
	let table = read.open_table(USAGE)?;
	let mut sum = Some(Usage::default());
	for entry in table.iter()? {
		let (_, usage) = entry?;
		let (pages, bytes) = usage.value();
		sum = sum.and_then(|sum| {
			let bytes_max = pages.checked_mul(PAGE_BYTES_MAX as u64)?;
			(bytes <= bytes_max).then_some(())?;
			Some(Usage {
				pages: sum.pages.checked_add(pages)?,
				bytes: sum.bytes.checked_add(bytes)?,
			})
		});
	}
	Ok(sum)
}

/// Counts all pages anew: an account that claims more than the file has would refuse every put, and
/// pages without one would be nobody's.
fn count(database: &Database) -> Result<Usage, FileError> {
	eprintln!("page store: its accounts make no sense, all pages are counted");
	let write = database.begin_write()?;
	let mut all = Usage::default();
	{
		let pages = write.open_table(PAGES)?;
		let mut table = write.open_table(USAGE)?;
		table.retain(|_, _| false)?;
		let mut current: Option<([u8; 32], Usage)> = None;
		for entry in pages.iter()? {
			let (key, page) = entry?;
			let Some(agent) = key.value().first_chunk::<32>() else { continue };
			let bytes = page.value().len() as u64;
			all = add(all, bytes);
			current = match current {
				Some((of, usage)) if of == *agent => Some((of, add(usage, bytes))),
				before => {
					if let Some((of, usage)) = before {
						table.insert(&of, (usage.pages, usage.bytes))?;
					}
					Some((*agent, add(Usage::default(), bytes)))
				}
			};
		}
		if let Some((of, usage)) = current {
			table.insert(&of, (usage.pages, usage.bytes))?;
		}
	}
	write.commit()?;
	Ok(all)
}

fn add(usage: Usage, bytes: u64) -> Usage {
	Usage { pages: usage.pages.saturating_add(1), bytes: usage.bytes.saturating_add(bytes) }
}

#[cfg(test)]
pub fn files_on(
	file: impl StorageBackend,
	room: impl super::reserve::Room + 'static,
	held: u64,
) -> (Files, Usage) {
	let reserve = Arc::new(Reserve::of(room, held));
	let (database, stored) = open_in(file, &reserve, 1 << 20).unwrap();
	let _lock = tempfile::tempfile().unwrap();
	(Files { database, reserve, path: PathBuf::new(), _lock }, stored)
}

#[cfg(test)]
mod tests {
	use super::*;

	/// A release of later wrote this file.
	fn written_in(folder: &Path, value: &[u8]) {
		let (files, _) = open(folder, 1 << 20, false).unwrap();
		let write = files.database.begin_write().unwrap();
		write.open_table(FORMAT).unwrap().insert(FORMAT_KEY, value).unwrap();
		write.commit().unwrap();
	}

	#[test]
	fn a_file_of_a_later_format_is_refused_by_name_and_left_alone() {
		let folder = tempfile::tempdir().unwrap();
		written_in(folder.path(), &format_value(FORMAT_VERSION + 1));
		let refused = open(folder.path(), 1 << 20, false).err().unwrap();
		let found = FORMAT_VERSION + 1;
		assert_eq!(refused, OpenError::NewerFormat { found, known: FORMAT_VERSION });
		assert!(folder.path().join(FILE).exists() && !aside_path(folder.path(), 1).exists());
	}

	#[test]
	fn a_flipped_bit_in_the_format_is_damage_and_no_later_format() {
		for bit in 0..64 {
			let folder = tempfile::tempdir().unwrap();
			let mut value = format_value(FORMAT_VERSION);
			value[bit / 8] ^= 1 << (bit % 8);
			written_in(folder.path(), &value);
			let (_, opened) = open(folder.path(), 1 << 20, false).unwrap();
			assert_eq!(opened.set_aside, Some(1), "bit {bit}");
		}
	}

	#[test]
	fn a_folder_has_one_process() {
		let folder = tempfile::tempdir().unwrap();
		let first = open(folder.path(), 1 << 20, false).unwrap();
		assert_eq!(open(folder.path(), 1 << 20, false).err(), Some(OpenError::InUse));
		drop(first);
		assert!(open(folder.path(), 1 << 20, false).is_ok());
	}

	#[test]
	fn what_is_no_file_of_redb_is_set_aside_and_no_more_often_than_the_limit() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join(FILE);
		for number in 1..=FILES_ASIDE_MAX {
			fs::write(&path, vec![number as u8; 10_000]).unwrap();
			let (_, opened) = open(folder.path(), 1 << 20, false).unwrap();
			assert_eq!(opened.set_aside, Some(number));
			assert_eq!(fs::read(aside_path(folder.path(), number)).unwrap()[0], number as u8);
		}
		fs::write(&path, [9; 10_000]).unwrap();
		let refused = open(folder.path(), 1 << 20, false).err();
		assert_eq!(refused, Some(OpenError::TooManyAside { files: FILES_ASIDE_MAX }));
		assert_eq!(fs::read(&path).unwrap(), [9; 10_000], "nothing is deleted");
	}

	#[test]
	fn a_file_of_another_format_of_redb_is_refused_by_name_and_left_alone() {
		let folder = tempfile::tempdir().unwrap();
		drop(open(folder.path(), 1 << 20, false).unwrap());
		let path = folder.path().join(FILE);
		let good = fs::read(&path).unwrap();
		assert!(good.starts_with(ENGINE_MAGIC));
		assert_eq!(ENGINE_FORMAT_AT.map(|at| good[at]), [ENGINE_FORMAT; 2]);
		let [first, second] = ENGINE_FORMAT_AT;
		for (found, places) in [
			(4, vec![first, second]),
			(2, vec![first, second]),
			(4, vec![first]),
			(4, vec![second]),
		] {
			let mut other = good.clone();
			places.iter().for_each(|at| other[*at] = found);
			fs::write(&path, &other).unwrap();
			let refused = open(folder.path(), 1 << 20, false).err();
			assert_eq!(refused, Some(OpenError::EngineFormat { found, known: ENGINE_FORMAT }));
			assert_eq!(fs::read(&path).unwrap(), other);
			assert!(!aside_path(folder.path(), 1).exists());
		}
		fs::write(&path, good).unwrap();
		assert!(open(folder.path(), 1 << 20, false).is_ok());
	}

	#[test]
	fn no_folder_is_made() {
		let disk = tempfile::tempdir().unwrap();
		let folder = disk.path().join("not mounted");
		assert_eq!(open(&folder, 1 << 20, false).err(), Some(OpenError::NoFolder));
		assert_eq!(open(&folder, 1 << 20, true).err(), Some(OpenError::NoFolder));
		assert!(!folder.exists());
	}

	/// Three pages of two agents.
	fn three_pages(folder: &Path) -> Files {
		let (files, _) = open(folder, 1 << 20, false).unwrap();
		let write = files.database.begin_write().unwrap();
		for (agent, name) in [(1, 1), (1, 2), (2, 1)] {
			let mut key = [agent; 64];
			key[32..].fill(name);
			write.open_table(PAGES).unwrap().insert(&key, &[0; 100][..]).unwrap();
		}
		write.commit().unwrap();
		files
	}

	#[test]
	fn accounts_that_make_no_sense_are_counted_anew() {
		let too_long = 2 * PAGE_BYTES_MAX as u64 + 1;
		for (why, accounts) in [
			("more than the file has", vec![(3, (1, u64::MAX))]),
			("an agent more", vec![(1, (2, 200)), (2, (1, 100)), (3, (1, 10))]),
			("an agent less", vec![(1, (2, 200))]),
			("a page more", vec![(1, (3, 200)), (2, (1, 100))]),
			("longer pages than there are", vec![(1, (2, too_long)), (2, (1, 100))]),
		] {
			let folder = tempfile::tempdir().unwrap();
			let files = three_pages(folder.path());
			let write = files.database.begin_write().unwrap();
			for (agent, account) in accounts {
				write.open_table(USAGE).unwrap().insert(&[agent; 32], account).unwrap();
			}
			write.commit().unwrap();
			drop(files);
			let (files, opened) = open(folder.path(), 1 << 20, false).unwrap();
			assert_eq!(opened.stored, Usage { pages: 3, bytes: 300 }, "{why}");
			let table = files.database.begin_read().unwrap().open_table(USAGE).unwrap();
			let of = |agent| table.get(&[agent; 32]).unwrap().map(|usage| usage.value());
			assert_eq!([of(1), of(2), of(3)], [Some((2, 200)), Some((1, 100)), None], "{why}");
		}
	}
}
