//! What the process does with its file: reads, and groups of writes that share one commit.

use super::file::{Files, PAGES, USAGE};
use crate::{
	limits::{DELETION_BYTES, PAGE_OVERHEAD_BYTES},
	protocol::{Answer, RequestError, Usage},
};
use phala_protocol::{agents::AgentId, H256};
use redb::{ReadableDatabase, ReadableTable, StorageError};
use std::{
	collections::BTreeMap,
	ops::Bound,
	sync::{
		atomic::{AtomicU64, Ordering::Relaxed},
		Mutex, PoisonError,
	},
};

/// In bytes of sealed pages.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
	pub bytes_max: u64,
	pub agent_bytes_max: u64,
}

pub struct StoredPages {
	files: Files,
	quota: Quota,
	stored: Mutex<Usage>,
	/// Bytes that puts may take while the disk is full.
	freed: AtomicU64,
	pub damages: AtomicU64,
}

/// A request to change something.
pub enum Write {
	Put { agent: AgentId, pages: Vec<(H256, Vec<u8>)> },
	Delete { agent: AgentId, names: Vec<H256> },
}

impl Write {
	/// What a commit has to read and write for it.
	pub fn bytes(&self) -> usize {
		match self {
			Self::Put { pages, .. } => {
				pages.iter().map(|(_, page)| page.len()).fold(0, usize::saturating_add)
			}
			Self::Delete { names, .. } => names.len().saturating_mul(DELETION_BYTES),
		}
	}
}

fn key(agent: &AgentId, name: &H256) -> [u8; 64] {
	let mut key = [0; 64];
	let (first, second) = key.split_at_mut(32);
	first.copy_from_slice(agent.as_bytes());
	second.copy_from_slice(name.as_bytes());
	key
}

impl StoredPages {
	pub fn new(files: Files, stored: Usage, quota: Quota) -> Self {
		Self {
			files,
			quota,
			stored: Mutex::new(stored),
			freed: AtomicU64::new(0),
			damages: AtomicU64::new(0),
		}
	}

	pub fn stored(&self) -> Usage {
		*self.stored.lock().unwrap_or_else(PoisonError::into_inner)
	}

	pub fn file_bytes(&self) -> u64 {
		std::fs::metadata(&self.files.path).map_or(0, |file| file.len())
	}

	/// What the file gives no sense for is as if it were not there, and counted: who asked gets it
	/// elsewhere. Only a disk that fails is an error.
	fn unless_damaged<T>(&self, read: Result<T, redb::Error>) -> Result<Option<T>, redb::Error> {
		match read {
			Ok(found) => Ok(Some(found)),
			Err(error @ (redb::Error::Io(_) | redb::Error::PreviousIo)) => Err(error),
			Err(error) => {
				self.damages.fetch_add(1, Relaxed);
				eprintln!("page store: a read was refused by its file: {error}");
				Ok(None)
			}
		}
	}

	pub fn get(
		&self,
		agent: &AgentId,
		names: &[H256],
	) -> Result<Vec<Option<Vec<u8>>>, redb::Error> {
		let table = self.files.database.begin_read()?.open_table(PAGES)?;
		let one = |name: &H256| {
			let found = table.get(&key(agent, name)).map_err(redb::Error::from);
			let page = self.unless_damaged(found)?.flatten().map(|page| page.value().to_vec());
			// Longer than any that was put: it is no page.
			Ok(page.filter(|page| page.len() <= crate::limits::PAGE_BYTES_MAX))
		};
		names.iter().map(one).collect()
	}

	pub fn has(&self, agent: &AgentId, names: &[H256]) -> Result<Vec<bool>, redb::Error> {
		let table = self.files.database.begin_read()?.open_table(PAGES)?;
		let one = |name: &H256| {
			let found = table.get(&key(agent, name)).map_err(redb::Error::from);
			Ok(self.unless_damaged(found)?.flatten().is_some())
		};
		names.iter().map(one).collect()
	}

	pub fn names(
		&self,
		agent: &AgentId,
		after: Option<H256>,
		names_max: usize,
	) -> Result<Vec<H256>, redb::Error> {
		let table = self.files.database.begin_read()?.open_table(PAGES)?;
		let first = key(agent, &after.unwrap_or_default());
		let last = key(agent, &H256::repeat_byte(0xff));
		let from = if after.is_some() { Bound::Excluded(&first) } else { Bound::Included(&first) };
		if after == Some(H256::repeat_byte(0xff)) {
			return Ok(Vec::new());
		}
		let range = table.range::<&[u8; 64]>((from, Bound::Included(&last)));
		let mut names = Vec::new();
		let Some(range) = self.unless_damaged(range.map_err(redb::Error::from))? else {
			return Ok(names);
		};
		for entry in range.take(names_max) {
			let entry = entry.map_err(redb::Error::from);
			let Some((found, _)) = self.unless_damaged(entry)? else { break };
			let (of, name) = found.value().split_at(32);
			let name = H256::from_slice(name);
			// A damaged file may give anything, in any order.
			if of != agent.as_bytes()
				|| names.last().or(after.as_ref()).is_some_and(|last| name <= *last)
			{
				self.damages.fetch_add(1, Relaxed);
				break;
			}
			names.push(name);
		}
		Ok(names)
	}

	pub fn agents(
		&self,
		after: Option<AgentId>,
		agents_max: usize,
	) -> Result<Vec<(AgentId, Usage)>, redb::Error> {
		let table = self.files.database.begin_read()?.open_table(USAGE)?;
		let first = after.unwrap_or_default().0;
		let from = if after.is_some() { Bound::Excluded(&first) } else { Bound::Included(&first) };
		let range = table.range::<&[u8; 32]>((from, Bound::Unbounded));
		let mut agents: Vec<(AgentId, Usage)> = Vec::new();
		let Some(range) = self.unless_damaged(range.map_err(redb::Error::from))? else {
			return Ok(agents);
		};
		for entry in range.take(agents_max) {
			let entry = entry.map_err(redb::Error::from);
			let Some((agent, usage)) = self.unless_damaged(entry)? else { break };
			let (agent, (pages, bytes)) = (H256(*agent.value()), usage.value());
			let last = agents.last().map(|(agent, _)| *agent).or(after);
			if last.is_some_and(|last| agent <= last) {
				self.damages.fetch_add(1, Relaxed);
				break;
			}
			agents.push((agent, Usage { pages, bytes }));
		}
		Ok(agents)
	}

	pub fn agents_count(&self) -> Result<u64, redb::Error> {
		use redb::ReadableTableMetadata;
		Ok(self.files.database.begin_read()?.open_table(USAGE)?.len()?)
	}

	pub fn usage(&self, agent: &AgentId) -> Result<Usage, redb::Error> {
		let table = self.files.database.begin_read()?.open_table(USAGE)?;
		let found = table.get(&agent.0).map_err(redb::Error::from);
		let usage = self.unless_damaged(found)?.flatten().map(|usage| usage.value());
		let (pages, bytes) = usage.unwrap_or_default();
		Ok(Usage { pages, bytes })
	}

	/// Makes all of a group durable in one commit, in their order; what is refused changes nothing.
	/// The answers, and whether there was anything to commit.
	pub fn commit(&self, group: &[Write]) -> Result<(Vec<Answer>, bool), redb::Error> {
		let mut write = self.files.database.begin_write()?;
		// Two flushes in place of one, and after a kill the file opens without being read through.
		write.set_quick_repair(true);
		let has_puts = group.iter().any(|request| matches!(request, Write::Put { .. }));
		// redb does not say how much room there is within its file, but what is deleted becomes such.
		let freed = self.freed.load(Relaxed);
		let room = (has_puts && !self.files.reserve.is_whole()).then_some(freed);
		let mut stored = self.stored();
		let freed_after;
		let mut answers = Vec::with_capacity(group.len());
		let mut is_changed = false;
		{
			let mut changed = Tables {
				pages: write.open_table(PAGES)?,
				usage: write.open_table(USAGE)?,
				quota: self.quota,
				stored: &mut stored,
				room,
				freed: 0,
			};
			for request in group {
				answers.push(match request {
					Write::Put { agent, pages } => match changed.put(agent, pages)? {
						Ok(()) => {
							is_changed = true;
							Answer::Done
						}
						Err(refusal) => Answer::Refused(refusal),
					},
					Write::Delete { agent, names } => {
						is_changed |= changed.delete(agent, names)?;
						Answer::Done
					}
				});
			}
			// Puts without a limit may have taken all of it.
			let before = changed.room.unwrap_or(if has_puts { 0 } else { freed });
			freed_after = before.saturating_add(changed.freed);
		}
		if is_changed {
			write.commit()?;
			// It may have been let go for this commit.
			self.files.reserve.take_again();
			self.freed.store(freed_after, Relaxed);
			*self.stored.lock().unwrap_or_else(PoisonError::into_inner) = stored;
		} else {
			write.abort()?;
		}
		Ok((answers, is_changed))
	}
}

/// What a page takes of the file at most: the next power of two.
fn file_bytes(page: &[u8]) -> u64 {
	(page.len() as u64).saturating_add(PAGE_OVERHEAD_BYTES).saturating_mul(2)
}

struct Tables<'a, 'w> {
	pages: redb::Table<'w, &'static [u8; 64], &'static [u8]>,
	usage: redb::Table<'w, &'static [u8; 32], (u64, u64)>,
	quota: Quota,
	stored: &'a mut Usage,
	/// Bytes of the file that may still be taken; none if there is no limit.
	room: Option<u64>,
	/// Bytes of pages that were deleted.
	freed: u64,
}

impl Tables<'_, '_> {
	fn usage(&self, agent: &AgentId) -> Result<Usage, StorageError> {
		let (pages, bytes) =
			self.usage.get(&agent.0)?.map(|usage| usage.value()).unwrap_or_default();
		Ok(Usage { pages, bytes })
	}

	fn account(
		&mut self,
		agent: &AgentId,
		before: Usage,
		after: Usage,
	) -> Result<(), StorageError> {
		let moved =
			|all: u64, before: u64, after: u64| all.saturating_sub(before).saturating_add(after);
		self.stored.pages = moved(self.stored.pages, before.pages, after.pages);
		self.stored.bytes = moved(self.stored.bytes, before.bytes, after.bytes);
		if after.pages == 0 {
			self.usage.remove(&agent.0)?;
		} else {
			self.usage.insert(&agent.0, (after.pages, after.bytes))?;
		}
		Ok(())
	}

	/// It is counted before anything is written, so that a refusal leaves nothing behind.
	fn put(
		&mut self,
		agent: &AgentId,
		pages: &[(H256, Vec<u8>)],
	) -> Result<Result<(), RequestError>, StorageError> {
		// Of one name the last counts.
		let pages: BTreeMap<_, _> = pages.iter().map(|(name, page)| (name, page)).collect();
		let before = self.usage(agent)?;
		let mut after = before;
		for (name, page) in &pages {
			match self.pages.get(&key(agent, name))? {
				Some(old) => after.bytes = after.bytes.saturating_sub(old.value().len() as u64),
				None => after.pages = after.pages.saturating_add(1),
			}
			after.bytes = after.bytes.saturating_add(page.len() as u64);
		}
		let all = self.stored.bytes.saturating_sub(before.bytes).saturating_add(after.bytes);
		let Quota { bytes_max, agent_bytes_max } = self.quota;
		// What makes it less passes, though it be too much: the limit may have been higher.
		let grows = after.bytes > before.bytes;
		if grows && after.bytes > agent_bytes_max {
			let (bytes, bytes_max) = (after.bytes, agent_bytes_max);
			return Ok(Err(RequestError::AgentFull { bytes, bytes_max }));
		}
		if grows && all > bytes_max {
			return Ok(Err(RequestError::StoreFull { bytes: all, bytes_max }));
		}
		// A page is on the disk before the one that it replaces is gone.
		let takes = pages.values().map(|page| file_bytes(page)).fold(0, u64::saturating_add);
		if let Some(room) = &mut self.room {
			let Some(rest) = room.checked_sub(takes) else {
				return Ok(Err(RequestError::DiskFull));
			};
			*room = rest;
		}
		for (name, page) in pages {
			self.pages.insert(&key(agent, name), page.as_slice())?;
		}
		self.account(agent, before, after)?;
		Ok(Ok(()))
	}

	/// Whether any of them was there.
	fn delete(&mut self, agent: &AgentId, names: &[H256]) -> Result<bool, StorageError> {
		let before = self.usage(agent)?;
		let mut after = before;
		let mut found = false;
		for name in names {
			if let Some(old) = self.pages.remove(&key(agent, name))? {
				found = true;
				self.freed = self.freed.saturating_add(old.value().len() as u64);
				after.pages = after.pages.saturating_sub(1);
				after.bytes = after.bytes.saturating_sub(old.value().len() as u64);
			}
		}
		if found {
			self.account(agent, before, after)?;
		}
		Ok(found)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		limits::{PAGES_PER_FRAME_MAX, RESERVE_BYTES},
		server::{file::files_on, reserve::Room},
	};
	use redb::StorageBackend;
	use std::{collections::BTreeSet, io, sync::Arc};

	const BLOCK: u64 = 4096;

	/// A disk with a file whose bytes take room when they are written first, the reserve, and what others
	/// write.
	#[derive(Clone, Debug)]
	struct SmallDisk(Arc<Mutex<Disk>>);

	#[derive(Debug)]
	struct Disk {
		bytes_max: u64,
		file: Vec<u8>,
		written: BTreeSet<u64>,
		reserve: u64,
		others: u64,
	}

	impl Disk {
		fn free(&self) -> u64 {
			let taken = self.written.len() as u64 * BLOCK + self.reserve + self.others;
			self.bytes_max.checked_sub(taken).unwrap()
		}
	}

	impl SmallDisk {
		fn new(bytes_max: u64) -> Self {
			let (file, written) = Default::default();
			Self(Arc::new(Mutex::new(Disk { bytes_max, file, written, reserve: 0, others: 0 })))
		}

		fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
			self.0.lock().unwrap_or_else(PoisonError::into_inner)
		}

		fn others_take_all(&self) {
			let mut disk = self.disk();
			disk.others += disk.free();
		}

		fn opened(&self) -> StoredPages {
			let held = self.disk().reserve;
			let (files, stored) = files_on(self.clone(), self.clone(), held);
			let quota = Quota { bytes_max: u64::MAX, agent_bytes_max: u64::MAX };
			StoredPages::new(files, stored, quota)
		}
	}

	impl Room for SmallDisk {
		fn take(&self, before: u64, bytes: u64) -> io::Result<()> {
			let mut disk = self.disk();
			assert_eq!(disk.reserve, before);
			if disk.free() < bytes - before {
				return Err(io::ErrorKind::StorageFull.into());
			}
			disk.reserve = bytes;
			Ok(())
		}

		fn give_back(&self) -> io::Result<()> {
			self.disk().reserve = 0;
			Ok(())
		}
	}

	impl StorageBackend for SmallDisk {
		fn len(&self) -> io::Result<u64> {
			Ok(self.disk().file.len() as u64)
		}

		fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
			out.copy_from_slice(&self.disk().file[offset as usize..][..out.len()]);
			Ok(())
		}

		fn set_len(&self, bytes: u64) -> io::Result<()> {
			let mut disk = self.disk();
			disk.file.resize(bytes as usize, 0);
			disk.written.split_off(&bytes.div_ceil(BLOCK));
			Ok(())
		}

		fn sync_data(&self) -> io::Result<()> {
			Ok(())
		}

		fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
			let mut disk = self.disk();
			let end = offset + data.len() as u64;
			let new: Vec<u64> = (offset / BLOCK..end.div_ceil(BLOCK))
				.filter(|block| !disk.written.contains(block))
				.collect();
			if disk.free() < new.len() as u64 * BLOCK {
				return Err(io::ErrorKind::StorageFull.into());
			}
			disk.written.extend(new);
			disk.file[offset as usize..end as usize].copy_from_slice(data);
			Ok(())
		}
	}

	const AGENT: AgentId = H256::repeat_byte(1);
	const PAGE: usize = 8000;

	fn names(frame: u64) -> Vec<H256> {
		let each = PAGES_PER_FRAME_MAX as u64;
		// In no order, as hashes are.
		let name = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).swap_bytes();
		(frame * each..(frame + 1) * each).map(|page| H256::from_low_u64_be(name(page))).collect()
	}

	fn put(pages: &StoredPages, frame: u64) -> Answer {
		let new = names(frame).into_iter().map(|name| (name, vec![frame as u8; PAGE])).collect();
		let (answers, _) = pages.commit(&[Write::Put { agent: AGENT, pages: new }]).unwrap();
		answers.into_iter().next().unwrap()
	}

	fn delete(pages: &StoredPages, frame: u64) {
		let write = Write::Delete { agent: AGENT, names: names(frame) };
		assert_eq!(pages.commit(&[write]).unwrap(), (vec![Answer::Done], true), "{frame}");
	}

	fn has(pages: &StoredPages, frame: u64) -> bool {
		let found = pages.get(&AGENT, &names(frame)).unwrap();
		found.iter().flatten().all(|page| *page == vec![frame as u8; PAGE])
			&& found.iter().all(Option::is_some)
	}

	/// Puts until it is refused; the first that is.
	fn fill(pages: &StoredPages, from: u64) -> u64 {
		let refused = (from..from + 1000).find(|frame| put(pages, *frame) != Answer::Done).unwrap();
		assert_eq!(put(pages, refused), Answer::Refused(RequestError::DiskFull));
		refused
	}

	#[test]
	fn on_a_full_disk_puts_are_refused_pages_are_read_and_deleted_and_room_is_used_again() {
		let disk = SmallDisk::new(RESERVE_BYTES + 20_000_000);
		let pages = disk.opened();
		assert_eq!(disk.disk().reserve, RESERVE_BYTES);
		let full = fill(&pages, 0);
		assert!(full as usize * PAGES_PER_FRAME_MAX * PAGE > 10_000_000, "{full} frames");
		assert!((0..full).all(|frame| has(&pages, frame)));
		let left = disk.disk().reserve;
		assert!((RESERVE_BYTES / 4..RESERVE_BYTES).contains(&left), "{left} are held again");
		// Others take the rest, and it is started again.
		disk.others_take_all();
		drop(pages);
		let pages = disk.opened();
		assert_eq!(put(&pages, full), Answer::Refused(RequestError::DiskFull));
		let half = full / 2;
		(0..half).for_each(|frame| delete(&pages, frame));
		let again = fill(&pages, full);
		assert!(again - full >= half / 3, "{} frames in the room of {half}", again - full);
		assert!((half..again).all(|frame| has(&pages, frame)));
		(half..again).for_each(|frame| delete(&pages, frame));
		assert_eq!(pages.stored(), Usage::default());
		// Somebody makes room.
		disk.disk().bytes_max += RESERVE_BYTES;
		assert_eq!(put(&pages, 0), Answer::Done);
		assert_eq!(disk.disk().reserve, RESERVE_BYTES);
	}

	/// Many replace pages and delete, as runs do, on a disk that stays full.
	#[test]
	fn whatever_is_done_on_a_full_disk_the_last_page_can_be_deleted() {
		let disk = SmallDisk::new(RESERVE_BYTES + 10_000_000);
		let pages = disk.opened();
		let mut there: BTreeSet<u64> = (0..fill(&pages, 0)).collect();
		for round in 0..45u64 {
			disk.others_take_all();
			if round % 3 == 0 {
				let first = there.pop_first().unwrap();
				delete(&pages, first);
			}
			let frame = 1000 + round;
			match put(&pages, frame) {
				Answer::Done => _ = there.insert(frame),
				refused => assert_eq!(refused, Answer::Refused(RequestError::DiskFull)),
			}
		}
		assert!(there.iter().any(|frame| *frame >= 1000), "some were put");
		for frame in there {
			assert!(has(&pages, frame));
			delete(&pages, frame);
		}
		assert_eq!(pages.stored(), Usage::default());
	}
}
