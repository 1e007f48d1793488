//! What the process does with its file: reads, and groups of writes that share one commit.

use super::file::{Files, PAGES, USAGE};
use crate::protocol::{Answer, Refusal, Usage};
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
	pub damages: AtomicU64,
}

/// A request to change something.
pub enum Write {
	Put { agent: AgentId, pages: Vec<(H256, Vec<u8>)> },
	Delete { agent: AgentId, names: Vec<H256> },
}

impl Write {
	/// What a commit has to write for it.
	pub fn bytes(&self) -> usize {
		match self {
			Self::Put { pages, .. } => {
				pages.iter().map(|(_, page)| page.len()).fold(0, usize::saturating_add)
			}
			Self::Delete { names, .. } => names.len().saturating_mul(64),
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
		Self { files, quota, stored: Mutex::new(stored), damages: AtomicU64::new(0) }
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
		let mut stored = self.stored();
		let mut answers = Vec::with_capacity(group.len());
		let mut is_changed = false;
		{
			let mut changed = Tables {
				pages: write.open_table(PAGES)?,
				usage: write.open_table(USAGE)?,
				quota: self.quota,
				stored: &mut stored,
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
		}
		if is_changed {
			write.commit()?;
			*self.stored.lock().unwrap_or_else(PoisonError::into_inner) = stored;
		} else {
			write.abort()?;
		}
		Ok((answers, is_changed))
	}
}

struct Tables<'a, 'w> {
	pages: redb::Table<'w, &'static [u8; 64], &'static [u8]>,
	usage: redb::Table<'w, &'static [u8; 32], (u64, u64)>,
	quota: Quota,
	stored: &'a mut Usage,
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
	) -> Result<Result<(), Refusal>, StorageError> {
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
			return Ok(Err(Refusal::AgentFull { bytes, bytes_max }));
		}
		if grows && all > bytes_max {
			return Ok(Err(Refusal::StoreFull { bytes: all, bytes_max }));
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
