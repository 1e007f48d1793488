//! Upgrades: what the first block of a new runtime does to the state that it finds, and what it must
//! leave whole.

use super::{
	blocks::{self, next_header},
	genesis, governance, random,
};
use crate::{
	migrations::{rehearsal, Migrations},
	parameters::NetworkParameters,
	test_support::oracle::check_invariants,
	*,
};
use codec::{DecodeAll, Encode};
use frame_support::{
	storage::{unhashed, with_transaction},
	traits::{GetStorageVersion, OnRuntimeUpgrade, StorageVersion},
};
use sp_runtime::{
	traits::Hash as _, transaction_validity::TransactionSource, DispatchError, TransactionOutcome,
};

fn stored_parameters() -> Vec<u8> {
	unhashed::get_raw(&parameters::Network::<Runtime>::hashed_key()).expect("is in genesis")
}

/// As a chain that had the release before this one, in the first block of this one.
fn upgrade() {
	frame_system::LastRuntimeUpgrade::<Runtime>::kill();
	let (header, _) = next_header(1, 0);
	Executive::initialize_block(&header);
	let last = frame_system::LastRuntimeUpgrade::<Runtime>::get().expect("it was noted");
	assert_eq!(u32::from(last.spec_version), VERSION.spec_version);
}

/// What a migration with a mistake does, and the pallet that finds it.
struct Butcher {
	finds: &'static str,
	loses: fn(),
}

const BUTCHERS: [Butcher; 6] = [
	Butcher {
		finds: "Registry",
		loses: || {
			let _ = pallet_registry::Workers::<Runtime>::clear(u32::MAX, None);
		},
	},
	Butcher {
		finds: "Bonding",
		loses: || {
			pallet_bonding::Bonds::<Runtime>::translate_values(
				|mut bond: pallet_bonding::BondOf<Runtime>| {
					bond.active = bond.active.saturating_sub(1);
					Some(bond)
				},
			);
		},
	},
	Butcher {
		finds: "Clusters",
		loses: || {
			let _ = pallet_clusters::MemberOf::<Runtime>::clear(u32::MAX, None);
		},
	},
	Butcher {
		finds: "Agents",
		loses: || {
			let _ = pallet_agents::Deposits::<Runtime>::clear(u32::MAX, None);
		},
	},
	Butcher {
		finds: "Requests",
		loses: || {
			let _ = pallet_requests::Requests::<Runtime>::clear(u32::MAX, None);
		},
	},
	Butcher {
		finds: "Mailbox",
		loses: || {
			let _ = pallet_mailbox::Heads::<Runtime>::clear(u32::MAX, None);
		},
	},
];

/// Long enough for each pallet to hold something.
const BLOCKS: u32 = 200;

#[test]
fn an_upgrade_leaves_whole_what_everybody_did_and_what_a_butcher_loses_is_found() {
	let mut network = random::worked_on(1, BLOCKS);
	network.execute_with(|| {
		assert_eq!(check_invariants(), Ok(()));
		for Butcher { finds, loses } in BUTCHERS {
			let found = with_transaction(|| {
				loses();
				TransactionOutcome::Rollback(Ok::<_, DispatchError>(check_invariants()))
			});
			let found = found.expect("is rolled back").expect_err(finds);
			assert!(found.starts_with(finds), "{finds}: {found}");
		}
		let before = stored_parameters();
		upgrade();
		assert_eq!(check_invariants(), Ok(()));
		assert_eq!(stored_parameters(), before, "this release changes no format");
	});
}

#[test]
fn the_code_that_a_vote_authorized_is_let_in_from_anybody_and_no_other() {
	let valid = |code: &[u8]| {
		let call = frame_system::Call::apply_authorized_upgrade { code: code.to_vec() };
		let transaction = UncheckedExtrinsic::new_bare(call.into());
		Executive::validate_transaction(
			TransactionSource::External,
			transaction,
			Default::default(),
		)
		.is_ok()
	};
	genesis("local_testnet").execute_with(|| {
		blocks::next(1, || ());
		// As long as any that authors put into a block.
		let code = vec![7; 3 * 1024 * 1024];
		assert!(!valid(&code));
		let code_hash = <Runtime as frame_system::Config>::Hashing::hash(&code);
		let authorize = frame_system::Call::authorize_upgrade { code_hash };
		assert_eq!(governance::voted(frame_system::RawOrigin::Root.into(), authorize), Ok(()));
		assert!(valid(&code));
		// A smuggler of code that nobody voted for.
		assert!(!valid(&[8; 1024]));
	});
}

/// So that `Executive` runs them: a list that nobody runs migrates nothing.
#[test]
fn the_list_of_migrations_is_what_the_first_block_of_an_upgrade_runs() {
	use std::any::TypeId;
	type Run = <Runtime as frame_system::Config>::SingleBlockMigrations;
	assert_eq!(TypeId::of::<Run>(), TypeId::of::<Migrations>());
}

#[test]
fn the_rehearsal_s_migration_adds_its_field_once_and_counts_the_version_on() {
	genesis("development").execute_with(|| {
		System::set_block_number(7);
		let before = stored_parameters();
		rehearsal::AddRehearsedAt::on_runtime_upgrade();
		let after = stored_parameters();
		assert_eq!(after, [&before[..], &7u32.encode()].concat());
		let version = StorageVersion::new(parameters::VERSION + 1);
		assert_eq!(Parameters::on_chain_storage_version(), version);

		// A second upgrade that still has it in its list.
		System::set_block_number(9);
		rehearsal::AddRehearsedAt::on_runtime_upgrade();
		assert_eq!(stored_parameters(), after);
	});
}

#[test]
fn this_release_could_not_go_on_with_what_the_rehearsal_stores() {
	genesis("development").execute_with(|| {
		assert!(NetworkParameters::decode_all(&mut &stored_parameters()[..]).is_ok());
		rehearsal::AddRehearsedAt::on_runtime_upgrade();
		assert!(NetworkParameters::decode_all(&mut &stored_parameters()[..]).is_err());
	});
}

#[cfg(feature = "try-runtime")]
mod with_try_runtime {
	use super::*;
	use frame_support::traits::UpgradeCheckSelect;

	/// All that the stock pallets and ours have to say of a state, and that every value of it can be
	/// read.
	#[test]
	fn an_upgrade_of_a_state_that_everybody_worked_on_passes_all_checks_of_try_runtime() {
		let mut network = random::worked_on(1, BLOCKS);
		network.execute_with(|| {
			Executive::try_runtime_upgrade(UpgradeCheckSelect::All).expect("leaves all whole");
		});
	}

	#[test]
	fn the_rehearsal_s_own_checks_pass() {
		genesis("development").execute_with(|| {
			rehearsal::AddRehearsedAt::try_on_runtime_upgrade(true).expect("its checks pass");
		});
	}

	#[test]
	fn a_lost_worker_is_found_by_the_hook_of_its_pallet() {
		let mut network = random::worked_on(1, BLOCKS);
		network.execute_with(|| {
			let _ = pallet_registry::Workers::<Runtime>::clear(u32::MAX, None);
			assert!(Executive::try_runtime_upgrade(UpgradeCheckSelect::All).is_err());
		});
	}
}

/// The wasm of the rehearsal: what a network is upgraded to by tests, and nothing else.
#[cfg(all(feature = "software-evidence", not(feature = "runtime-benchmarks")))]
mod wasm {
	use super::{super::WITHOUT_WASM, *};
	use sc_executor::WasmExecutor;
	use sp_core::traits::{
		CallContext, CodeExecutor, ReadRuntimeVersion, RuntimeCode, WrappedRuntimeCode,
	};
	use sp_maybe_compressed_blob::{decompress, CODE_BLOB_BOMB_LIMIT};

	// Not all that the builder says is asked for.
	#[allow(dead_code)]
	mod built {
		include!(concat!(env!("OUT_DIR"), "/phala_runtime_rehearsal"));
	}

	fn executor() -> WasmExecutor<sp_io::SubstrateHostFunctions> {
		WasmExecutor::builder().build()
	}

	fn of_the_rehearsal() -> &'static [u8] {
		built::WASM_BINARY.expect(WITHOUT_WASM)
	}

	fn knows_the_migration(wasm: &[u8]) -> bool {
		let code = decompress(wasm, CODE_BLOB_BOMB_LIMIT).expect("is a runtime");
		code.windows(rehearsal::DONE.len()).any(|found| found == rehearsal::DONE)
	}

	#[test]
	fn the_rehearsal_is_in_no_wasm_that_a_network_begins_with() {
		assert!(knows_the_migration(of_the_rehearsal()), "else its absence would say nothing");
		assert!(!knows_the_migration(WASM_BINARY.expect(WITHOUT_WASM)));
		assert!(!knows_the_migration(crate::production::WASM_BINARY.expect(WITHOUT_WASM)));
	}

	#[test]
	fn the_rehearsal_is_this_runtime_and_newer() {
		let version = executor()
			.read_runtime_version(of_the_rehearsal(), &mut genesis("development").ext())
			.expect("is there");
		let version = RuntimeVersion::decode_all(&mut &version[..]).expect("can be read");
		assert_eq!(version.spec_name, VERSION.spec_name);
		assert_eq!(version.transaction_version, VERSION.transaction_version);
		assert!(version.spec_version > VERSION.spec_version);
	}

	#[test]
	fn the_first_block_of_the_rehearsal_migrates_before_anything_reads() {
		let mut network = genesis("development");
		let (header, before) = network.execute_with(|| (next_header(1, 0).0, stored_parameters()));
		let code = RuntimeCode {
			code_fetcher: &WrappedRuntimeCode(of_the_rehearsal().into()),
			heap_pages: None,
			hash: vec![0; 32],
		};
		executor()
			.call(
				&mut network.ext(),
				&code,
				"Core_initialize_block",
				&header.encode(),
				CallContext::Offchain,
			)
			.0
			.expect("it begins a block");
		network.execute_with(|| {
			assert_eq!(stored_parameters(), [&before[..], &0u32.encode()].concat());
			let version = StorageVersion::new(parameters::VERSION + 1);
			assert_eq!(Parameters::on_chain_storage_version(), version);
			assert_eq!(parameters::GenesisEpochSlots::<Runtime>::get(), Some(10));
		});
	}
}
