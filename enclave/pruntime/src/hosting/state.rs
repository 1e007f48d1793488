//! An agent's state, in memory.

use super::AgentRunError;
use crate::limits;
use phala_agent_manifest::limits::{Limit, LimitExceeded};
use phala_sandbox::{HostError, StateEntry, StateScan, Write};
use std::{
	collections::BTreeMap,
	ops::Bound,
	sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What an agent keeps, as one point in time saw it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Snapshot {
	entries: Arc<BTreeMap<String, Arc<[u8]>>>,
	bytes: u64,
}

/// The newest snapshot, and the right to make the next.
#[derive(Default)]
pub struct AgentState {
	newest: Mutex<Snapshot>,
	writer: Arc<tokio::sync::Mutex<()>>,
}

/// The right to write. Those who wait for it get it in the order in which they asked.
pub struct Writer {
	_turn: tokio::sync::OwnedMutexGuard<()>,
}

impl AgentState {
	/// That stands at `newest`.
	pub fn at(newest: Snapshot) -> Self {
		Self { newest: Mutex::new(newest), ..Self::default() }
	}

	pub fn snapshot(&self) -> Snapshot {
		self.newest().clone()
	}

	pub async fn writer(&self) -> Writer {
		Writer { _turn: self.writer.clone().lock_owned().await }
	}

	/// All of `writes`, or none.
	///
	/// # Errors
	/// [`AgentRunError::AgentStateBytes`].
	pub fn apply(&self, _: &Writer, writes: Vec<Write>) -> Result<(), AgentRunError> {
		if writes.is_empty() {
			return Ok(());
		}
		let mut newest = self.newest();
		let bytes = newest.bytes_after(&writes);
		// What only shrinks the state is always allowed.
		if bytes > limits::AGENT_STATE_BYTES_MAX && bytes > newest.bytes {
			return Err(AgentRunError::AgentStateBytes {
				bytes,
				max: limits::AGENT_STATE_BYTES_MAX,
			});
		}
		// Copies the map, not the values, while an older snapshot is in use.
		let entries = Arc::make_mut(&mut newest.entries);
		for (key, value) in writes {
			match value {
				Some(value) => entries.insert(key, value.into()),
				None => entries.remove(&key),
			};
		}
		newest.bytes = bytes;
		Ok(())
	}

	/// Changed in one go, so a lock poisoned elsewhere still guards a consistent state.
	fn newest(&self) -> MutexGuard<'_, Snapshot> {
		self.newest.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

impl Snapshot {
	/// Of entries that are `bytes` long together.
	pub fn of(entries: Arc<BTreeMap<String, Arc<[u8]>>>, bytes: u64) -> Self {
		Self { entries, bytes }
	}

	pub fn get(&self, key: &str) -> Option<Vec<u8>> {
		self.entries.get(key).map(|value| value.to_vec())
	}

	/// # Errors
	/// The `StateReadBytes` limit, if the answer would be longer than asked for.
	pub fn scan(&self, scan: &StateScan) -> Result<Vec<StateEntry>, HostError> {
		let after = scan.after.as_deref().filter(|after| *after >= scan.prefix.as_str());
		let start = after.map_or(Bound::Included(scan.prefix.as_str()), Bound::Excluded);
		let mut bytes = 0;
		self.entries
			.range::<str, _>((start, Bound::Unbounded))
			.take_while(|(key, _)| key.starts_with(&scan.prefix))
			.take(scan.entries_max as usize)
			.map(|(key, value)| {
				bytes += entry_bytes(key, value);
				if bytes > scan.bytes_max {
					let limit = Limit::StateReadBytes;
					return Err(HostError::Limit(LimitExceeded {
						limit,
						allowed: phala_agent_manifest::limits::STATE_READ_BYTES,
					}));
				}
				Ok(StateEntry { key: key.clone(), value: value.to_vec() })
			})
			.collect()
	}

	/// `writes` has each key once.
	fn bytes_after(&self, writes: &[Write]) -> u64 {
		writes.iter().fold(self.bytes, |bytes, (key, value)| {
			let old = self.entries.get(key).map_or(0, |old| entry_bytes(key, old));
			let new = value.as_ref().map_or(0, |new| entry_bytes(key, new));
			bytes.saturating_sub(old).saturating_add(new)
		})
	}
}

fn entry_bytes(key: &str, value: &[u8]) -> u64 {
	(key.len() + value.len()) as u64
}

#[cfg(test)]
mod tests {
	use super::*;

	fn set(key: &str, bytes: usize) -> Write {
		(key.to_owned(), Some(vec![7; bytes]))
	}

	fn scan(prefix: &str, after: Option<&str>, entries_max: u32, bytes_max: u64) -> StateScan {
		StateScan { prefix: prefix.into(), after: after.map(Into::into), entries_max, bytes_max }
	}

	#[tokio::test]
	async fn a_snapshot_does_not_change_and_the_next_one_has_all_writes() {
		let state = AgentState::default();
		let writer = state.writer().await;
		state.apply(&writer, vec![set("a", 1), set("b", 1)]).unwrap();
		let before = state.snapshot();
		state.apply(&writer, vec![("a".into(), None), set("c", 2)]).unwrap();
		assert_eq!(before.get("a"), Some(vec![7]));
		assert_eq!(before.get("c"), None);
		assert_eq!(state.snapshot().get("a"), None);
		assert_eq!(state.snapshot().get("c"), Some(vec![7, 7]));
		assert_eq!(state.snapshot().bytes, 2 + 3);
	}

	#[tokio::test]
	async fn state_holds_at_its_limit_and_not_one_byte_past_it() {
		let state = AgentState::default();
		let writer = state.writer().await;
		let max = limits::AGENT_STATE_BYTES_MAX as usize;
		state.apply(&writer, vec![set("k", max - 1)]).unwrap();
		let refused = state.apply(&writer, vec![set("x", 0), set("k", max - 1)]).unwrap_err();
		assert_eq!(refused.refusal(), phala_protocol::refusals::Refusal::AgentStateBytes);
		assert_eq!(state.snapshot().get("x"), None);
		state.apply(&writer, vec![("k".into(), None), set("x", 5)]).unwrap();
	}

	#[tokio::test]
	async fn a_scan_stays_within_its_prefix_its_page_and_its_bytes() {
		let state = AgentState::default();
		let writer = state.writer().await;
		state
			.apply(&writer, ["a", "p/1", "p/2", "p/3", "q"].map(|key| set(key, 1)).into())
			.unwrap();
		let snapshot = state.snapshot();
		let keys = |scan| {
			let entries = snapshot.scan(&scan).unwrap();
			entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>()
		};
		assert_eq!(keys(scan("p/", None, 2, 99)), ["p/1", "p/2"]);
		assert_eq!(keys(scan("p/", Some("p/2"), 2, 99)), ["p/3"]);
		assert_eq!(keys(scan("p/", Some("a"), 9, 99)), ["p/1", "p/2", "p/3"]);
		assert!(keys(scan("p/", Some("z"), 9, 99)).is_empty());
		assert!(snapshot.scan(&scan("p/", None, 9, 12)).is_ok());
		assert!(matches!(snapshot.scan(&scan("p/", None, 9, 11)), Err(HostError::Limit(_))));
	}
}
