//! What something reads and writes of the state, each key once: as benchmarks count it.

use crate::*;
use frame_support::{
	traits::WhitelistedStorageKeys,
	weights::{RuntimeDbWeight, Weight},
};
use std::collections::BTreeSet;

pub(super) fn database() -> RuntimeDbWeight {
	<Runtime as frame_system::Config>::DbWeight::get()
}

/// What the database takes of `story`, in a state that is committed before.
pub(super) fn touched(
	externalities: &mut sp_io::TestExternalities,
	story: impl FnOnce(),
) -> Weight {
	externalities.commit_all().expect("no transaction is open");
	let recorder = Default::default();
	externalities.execute_with_recorder(Clone::clone(&recorder), story);
	let free: BTreeSet<Vec<u8>> =
		AllPalletsWithSystem::whitelisted_storage_keys().into_iter().map(|it| it.key).collect();
	let read = recorder.recorded_keys();
	let read = read.values().flat_map(|of| of.keys()).filter(|key| !free.contains(&key[..]));
	let (reads, changed) = (read.count(), externalities.overlayed_changes().changes());
	let writes = changed.filter(|(key, _)| !free.contains(*key)).count();
	println!("{reads} reads, {writes} writes");
	database().reads_writes(reads as u64, writes as u64)
}
