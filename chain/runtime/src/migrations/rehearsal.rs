//! The upgrade that tests rehearse on a live network: the runtime is this one, with the highest version
//! of all, and its [`NetworkParameters`](crate::parameters::NetworkParameters) have one field more at
//! their end. Without this migration it cannot make a block, so blocks show that it ran.
//!
//! In no wasm but the one that `build.rs` makes for tests. It adds bytes to whatever this release
//! stores, so that there is nothing to do here when that changes; any other migration keeps the old
//! types and translates them by name.

use crate::{
	parameters::{self, Network},
	Runtime, System,
};
#[cfg(feature = "try-runtime")]
use alloc::vec::Vec;
use codec::Encode;
use frame_support::{
	migrations::VersionedMigration,
	storage::unhashed,
	traits::UncheckedOnRuntimeUpgrade,
	weights::{RuntimeDbWeight, Weight},
};
#[cfg(feature = "try-runtime")]
use sp_runtime::TryRuntimeError;

/// What is logged when it ran, and found in no other wasm.
pub const DONE: &[u8] = b"the rehearsal's migration has run";

type DbWeight = <Runtime as frame_system::Config>::DbWeight;

/// From the version of this release to the next one.
pub type AddRehearsedAt = VersionedMigration<
	{ parameters::VERSION },
	{ parameters::VERSION + 1 },
	Translate,
	crate::Parameters,
	DbWeight,
>;

/// Adds the number of the block before, which is not begun yet when migrations run.
pub struct Translate;

impl UncheckedOnRuntimeUpgrade for Translate {
	fn on_runtime_upgrade() -> Weight {
		let key = Network::<Runtime>::hashed_key();
		// Where nothing is stored there was no genesis.
		if let Some(mut stored) = unhashed::get_raw(&key) {
			System::block_number().encode_to(&mut stored);
			unhashed::put_raw(&key, &stored);
			sp_io::logging::log(sp_core::RuntimeInterfaceLogLevel::Info, "migrations", DONE);
		}
		<DbWeight as sp_core::Get<RuntimeDbWeight>>::get().reads_writes(2, 1)
	}

	#[cfg(feature = "try-runtime")]
	fn pre_upgrade() -> Result<Vec<u8>, TryRuntimeError> {
		Ok(unhashed::get_raw(&Network::<Runtime>::hashed_key()).unwrap_or_default())
	}

	#[cfg(feature = "try-runtime")]
	fn post_upgrade(before: Vec<u8>) -> Result<(), TryRuntimeError> {
		let after = unhashed::get_raw(&Network::<Runtime>::hashed_key()).unwrap_or_default();
		let mut expected = before;
		if !expected.is_empty() {
			System::block_number().encode_to(&mut expected);
		}
		frame_support::ensure!(
			after == expected,
			"the parameters are not those of before and one more"
		);
		Ok(())
	}
}
