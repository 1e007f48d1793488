//! State: a snapshot, and over it what this request has set.

use super::{answer_later, GuestAccess};
use crate::bindings::state::{self, Entry};
use crate::bindings::types::{ErrorCode, HostError as WitError};
use crate::budget::Budget;
use crate::guest::Guest;
use crate::host::{HostError, RefusalKind, StateEntry, StateScan};
use crate::limits::SCAN_ENTRIES_MAX;
use phala_agent_manifest::limits::{Limit, LimitExceededError};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::component::{FutureReader, HasSelf};

type Overlay = BTreeMap<String, Option<Vec<u8>>>;

impl state::Host for Guest {
	fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), WitError>> {
		self.write(key, Some(value))
	}

	fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), WitError>> {
		self.write(key, None)
	}
}

impl Guest {
	fn write(
		&mut self,
		key: String,
		value: Option<Vec<u8>>,
	) -> wasmtime::Result<Result<(), WitError>> {
		self.budget.host_call()?;
		if !self.context.writable {
			return Ok(Err(WitError {
                code: ErrorCode::ReadOnly,
                message: "this request may only read state; send it as one that writes (POST, PUT, PATCH, DELETE)"
                    .to_owned(),
            }));
		}
		let value_bytes = value.as_ref().map_or(0, Vec::len) as u64;
		self.budget.check(Limit::StateKeyBytes, key.len() as u64)?;
		self.budget.check(Limit::StateValueBytes, value_bytes)?;
		// A key that is set twice counts twice: the work was done twice.
		self.budget.add(Limit::StateWriteBytes, key.len() as u64 + value_bytes, |usage| {
			&mut usage.state_write_bytes
		})?;
		let keys = self.overlay.len() as u64 + u64::from(!self.overlay.contains_key(&key));
		self.budget.check(Limit::StateWriteKeys, keys)?;
		self.overlay.insert(key, value);
		Ok(Ok(()))
	}
}

impl<T: 'static> state::HostWithStore<T> for HasSelf<Guest> {
	fn get(
		mut access: GuestAccess<'_, T>,
		key: String,
	) -> wasmtime::Result<FutureReader<Result<Option<Vec<u8>>, WitError>>> {
		let guest = access.get();
		let (host, budget) = (guest.host.clone(), guest.budget.clone());
		budget.check(Limit::StateKeyBytes, key.len() as u64)?;
		let own = guest.overlay.get(&key);
		// Before it is copied: many calls may hold a copy each until the guest takes it.
		let own_bytes = own.and_then(Option::as_ref).map_or(0, Vec::len);
		budget.add(Limit::StateReadBytes, own_bytes as u64, |usage| &mut usage.state_read_bytes)?;
		let own = own.cloned();
		answer_later(access, async move {
			if let Some(own) = own {
				return Ok(own);
			}
			let value = host.state_get(key).await?;
			count_read(&budget, value.as_ref().map_or(0, Vec::len))?;
			Ok(value)
		})
	}

	fn scan(
		mut access: GuestAccess<'_, T>,
		prefix: String,
		after: Option<String>,
		limit: u32,
	) -> wasmtime::Result<FutureReader<Result<Vec<Entry>, WitError>>> {
		let guest = access.get();
		let (host, budget) = (guest.host.clone(), guest.budget.clone());
		budget.check(Limit::StateKeyBytes, prefix.len() as u64)?;
		budget.check(Limit::StateKeyBytes, after.as_ref().map_or(0, String::len) as u64)?;
		let is_page = (1..=SCAN_ENTRIES_MAX).contains(&limit);
		let page = if is_page { limit as usize } else { 0 };
		let own = in_range(&guest.overlay, &prefix, after.as_deref(), page);
		let own_bytes =
			own.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
		budget.add(Limit::StateReadBytes, own_bytes.sum::<usize>() as u64, |usage| {
			&mut usage.state_read_bytes
		})?;
		answer_later(access, async move {
			if !is_page {
				return Err(HostError::new(
					RefusalKind::Invalid,
					format!("a scan takes 1 to {SCAN_ENTRIES_MAX} entries at once"),
				));
			}
			// Enough that as many are left when the request's own deletions are taken out.
			let deleted = own.values().filter(|value| value.is_none()).count() as u32;
			let scan = StateScan {
				prefix,
				after,
				entries_max: limit.saturating_add(deleted),
				bytes_max: budget.state_read_bytes_left(),
			};
			let asked = scan.entries_max as usize;
			let found = host.state_scan(scan).await?;
			count_read(
				&budget,
				found.iter().map(|entry| entry.key.len() + entry.value.len()).sum(),
			)?;
			Ok(merge(found, own, asked, page))
		})
	}
}

fn count_read(budget: &Arc<Budget>, bytes: usize) -> Result<(), HostError> {
	budget
		.add(Limit::StateReadBytes, bytes as u64, |usage| &mut usage.state_read_bytes)
		.map_err(|exceeded: LimitExceededError| HostError::Limit(exceeded))
}

/// The request's own writes that a scan of `limit` entries would meet.
fn in_range(overlay: &Overlay, prefix: &str, after: Option<&str>, limit: usize) -> Overlay {
	let mut set = 0;
	overlay
		.range(prefix.to_owned()..)
		.take_while(|(key, _)| key.starts_with(prefix))
		.filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
		.take_while(|(_, value)| {
			// These alone would fill the page: no later key is on it.
			let has_room = set < limit;
			set += usize::from(value.is_some());
			has_room
		})
		.map(|(key, value)| (key.clone(), value.clone()))
		.collect()
}

/// `found` (at most `asked` entries of the snapshot) with the request's `own` writes over it.
fn merge(found: Vec<StateEntry>, own: Overlay, asked: usize, limit: usize) -> Vec<Entry> {
	// Beyond a full page the snapshot may have more entries: own writes there belong to a later page.
	let end = if found.len() >= asked { found.last().map(|entry| entry.key.clone()) } else { None };
	let mut merged: Overlay =
		found.into_iter().map(|entry| (entry.key, Some(entry.value))).collect();
	merged.extend(own.into_iter().filter(|(key, _)| end.as_ref().is_none_or(|end| key <= end)));
	merged
		.into_iter()
		.filter_map(|(key, value)| value.map(|value| Entry { key, value }))
		.take(limit)
		.collect()
}

#[cfg(test)]
mod tests {
	use super::*;

	fn snapshot(keys: &[&str]) -> Vec<StateEntry> {
		keys.iter().map(|key| StateEntry { key: (*key).into(), value: b"old".to_vec() }).collect()
	}

	fn keys(entries: &[Entry]) -> Vec<&str> {
		entries.iter().map(|entry| entry.key.as_str()).collect()
	}

	#[test]
	fn a_scan_sees_what_the_request_set_and_not_what_it_deleted() {
		let own: Overlay = [
			("b".to_owned(), None),
			("c".to_owned(), Some(b"new".to_vec())),
			("d".to_owned(), Some(vec![])),
		]
		.into();
		let merged = merge(snapshot(&["a", "b", "c"]), own, 11, 10);
		assert_eq!(keys(&merged), ["a", "c", "d"]);
		assert_eq!(merged[1].value, b"new");
	}

	#[test]
	fn an_own_write_beyond_a_full_page_waits_for_its_page() {
		let own: Overlay = [("z".to_owned(), Some(vec![]))].into();
		assert_eq!(keys(&merge(snapshot(&["a", "b"]), own.clone(), 2, 2)), ["a", "b"]);
		assert_eq!(keys(&merge(snapshot(&["a"]), own, 2, 2)), ["a", "z"]);
	}

	#[test]
	fn only_own_writes_in_the_range_are_met() {
		let overlay: Overlay = ["a", "p/1", "p/2", "q"]
			.map(|key| (key.to_owned(), Some(vec![])))
			.into_iter()
			.collect();
		let met =
			|after, limit| in_range(&overlay, "p/", after, limit).into_keys().collect::<Vec<_>>();
		assert_eq!(met(None, 9), ["p/1", "p/2"]);
		assert_eq!(met(Some("p/1"), 9), ["p/2"]);
		assert_eq!(met(None, 1), ["p/1"]);
		assert!(met(None, 0).is_empty());
	}

	#[test]
	fn own_deletions_take_no_place_on_a_page() {
		let overlay: Overlay = [("a", false), ("b", true), ("c", false), ("d", true)]
			.map(|(key, is_set)| (key.to_owned(), is_set.then(Vec::new)))
			.into();
		let own = in_range(&overlay, "", None, 1);
		assert_eq!(own.keys().collect::<Vec<_>>(), ["a", "b"]);
		assert_eq!(keys(&merge(snapshot(&["a", "c"]), own, 2, 1)), ["b"]);
	}
}
