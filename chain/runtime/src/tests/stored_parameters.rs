//! What is stored of a network's figures: a change here is a migration of every chain.

use super::genesis;
use crate::{parameters::NetworkParameters, *};
use codec::{Decode, Encode};
use frame_support::{
	storage::unhashed,
	traits::{GetStorageVersion, OnRuntimeUpgrade, StorageVersion},
};

/// Little-endian, in the order of the fields.
const PRODUCTION: &str = "0807000000000000\
	 06000000 1c000000 1b000000 c0a80000 409d0400 100e0000 803a0900 c0a80000 c0a80000";
const DEVELOPMENT: &str = "0a00000000000000\
	 03000000 03000000 02000000 c0a80000 00000000 03000000 1e000000 03000000 03000000";

fn stored() -> Vec<u8> {
	unhashed::get_raw(&parameters::Network::<Runtime>::hashed_key()).expect("is in genesis")
}

#[test]
fn the_stored_parameters_are_frozen() {
	for (preset, frozen) in [("development", DEVELOPMENT), (presets::STAGING, PRODUCTION)] {
		genesis(preset).execute_with(|| {
			let found: String = stored().iter().map(|byte| format!("{byte:02x}")).collect();
			let frozen: String = frozen.split_whitespace().collect();
			assert_eq!(
				(found, parameters::STORAGE_VERSION),
				(frozen, StorageVersion::new(0)),
				"{preset}: if a figure alone changed, change it here. If NetworkParameters has other \
				 fields, no chain of before can go on without a migration: keep the old struct in a \
				 module of crate::migrations, raise parameters::VERSION, translate the old value in a \
				 VersionedMigration that is in the list there, test it with these old bytes, and only \
				 then change them (CONTRIBUTING.md, \"Change a storage format\")"
			);
		});
	}
}

#[test]
fn a_genesis_is_of_the_version_that_the_runtime_reads() {
	genesis("development").execute_with(|| {
		assert_eq!(Parameters::on_chain_storage_version(), Parameters::in_code_storage_version());
		AllPalletsWithSystem::on_runtime_upgrade();
		assert_eq!(Parameters::network(), NetworkParameters::DEVELOPMENT);
	});
}

/// Adds a field, or takes one away, and forgets the migration.
struct ForgetfulUpgrade;

impl ForgetfulUpgrade {
	/// What is stored, seen from a runtime that has one field more than the one that stored it.
	fn adds_a_field() -> sp_io::TestExternalities {
		Self::leaves(|mut bytes| {
			bytes.truncate(bytes.len() - 4);
			bytes
		})
	}

	/// The same with one field less: SCALE alone would read the wrong four bytes and be content.
	fn removes_a_field() -> sp_io::TestExternalities {
		Self::leaves(|bytes| {
			let longer = [&bytes[..8], &[9, 0, 0, 0], &bytes[8..]].concat();
			assert!(NetworkParameters::decode(&mut &longer[..]).is_ok());
			longer
		})
	}

	fn leaves(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> sp_io::TestExternalities {
		let mut externalities = genesis("development");
		externalities.execute_with(|| {
			let key = parameters::Network::<Runtime>::hashed_key();
			unhashed::put_raw(&key, &change(stored()));
		});
		externalities
	}
}

#[test]
#[should_panic(expected = "the upgrade needs a migration of it")]
fn the_first_block_of_an_upgrade_that_forgot_to_migrate_a_new_field_says_so() {
	ForgetfulUpgrade::adds_a_field().execute_with(Parameters::on_runtime_upgrade);
}

#[test]
#[should_panic(expected = "the upgrade needs a migration of it")]
fn the_first_block_of_an_upgrade_that_forgot_to_migrate_a_removed_field_says_so() {
	ForgetfulUpgrade::removes_a_field().execute_with(Parameters::on_runtime_upgrade);
}

/// Would have epochs of another length from some block on: by a vote, or by an upgrade's migration.
struct EpochShortener;

impl EpochShortener {
	fn writes() {
		let network = NetworkParameters { epoch_slots: 5, ..NetworkParameters::DEVELOPMENT };
		parameters::Network::<Runtime>::put(network);
	}
}

#[test]
fn the_length_of_an_epoch_stays_that_of_genesis_whatever_is_written() {
	use frame_support::traits::Get;
	genesis("development").execute_with(|| {
		let of_babe = <Runtime as pallet_babe::Config>::EpochDuration::get;
		let before = of_babe();
		EpochShortener::writes();
		assert_eq!(of_babe(), before);
		Parameters::on_runtime_upgrade();
		assert_eq!(of_babe(), before);
		assert_eq!(Parameters::network(), NetworkParameters::DEVELOPMENT);
	});
}

#[test]
fn a_chain_that_did_not_note_its_epochs_does_so_at_its_first_upgrade() {
	genesis("development").execute_with(|| {
		parameters::GenesisEpochSlots::<Runtime>::kill();
		assert_eq!(Parameters::epoch_slots(), NetworkParameters::DEVELOPMENT.epoch_slots);
		Parameters::on_runtime_upgrade();
		EpochShortener::writes();
		assert_eq!(Parameters::epoch_slots(), NetworkParameters::DEVELOPMENT.epoch_slots);
	});
}

#[test]
fn the_time_of_a_slot_is_frozen() {
	// BABE numbers slots by it from 1970 on: with another one the next slot would be years away.
	assert_eq!(time::BLOCK_MILLISECONDS, 2_000);
}

#[test]
fn our_pallets_say_which_version_they_store() {
	genesis("development").execute_with(|| {
		let versions = [
			(Agents::on_chain_storage_version(), Agents::in_code_storage_version()),
			(Clusters::on_chain_storage_version(), Clusters::in_code_storage_version()),
			(Mailbox::on_chain_storage_version(), Mailbox::in_code_storage_version()),
			(Requests::on_chain_storage_version(), Requests::in_code_storage_version()),
		];
		for (on_chain, in_code) in versions {
			assert_eq!(on_chain, in_code);
			assert_ne!(in_code, StorageVersion::default());
		}
	});
}

#[test]
#[should_panic(expected = "the upgrade needs a migration of it")]
fn no_pallet_goes_on_with_the_figures_of_another_network() {
	use frame_support::traits::Get;
	ForgetfulUpgrade::adds_a_field()
		.execute_with(<Runtime as pallet_registry::Config>::EvidenceLifetime::get);
}

#[test]
fn who_reads_metadata_needs_no_genesis() {
	sp_io::TestExternalities::default().execute_with(|| {
		assert_eq!(Parameters::network(), NetworkParameters::default());
		assert!(!Runtime::metadata().encode().is_empty());
	});
}
