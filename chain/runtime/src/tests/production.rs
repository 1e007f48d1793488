//! The runtime of networks with value, as wasm: it knows no software evidence.

use super::{endowed_alice, genesis, WITHOUT_WASM};
use crate::*;
use codec::{Decode, Encode};
use frame_support::assert_ok;
use phala_protocol::{
	boot::{BootKeys, BootStatement},
	domains,
	evidence::{
		Evidence, SoftwareEvidence, SoftwareReport, SoftwareReportContent, DEVELOPMENT_ROOT_SEED,
	},
	H256,
};
use sc_executor::WasmExecutor;
use sp_core::{
	sr25519,
	traits::{CallContext, CodeExecutor, ReadRuntimeVersion, RuntimeCode, WrappedRuntimeCode},
	Pair,
};
use sp_maybe_compressed_blob::{decompress, CODE_BLOB_BOMB_LIMIT};
use sp_runtime::ApplyExtrinsicResult;

fn development() -> &'static [u8] {
	WASM_BINARY.expect(WITHOUT_WASM)
}

fn production() -> &'static [u8] {
	crate::production::WASM_BINARY.expect(WITHOUT_WASM)
}

fn executor() -> WasmExecutor<sp_io::SubstrateHostFunctions> {
	WasmExecutor::builder().build()
}

fn names(wasm: &[u8], text: &[u8]) -> bool {
	let code = decompress(wasm, CODE_BLOB_BOMB_LIMIT).expect("is a runtime");
	code.windows(text.len()).any(|found| found == text)
}

#[test]
fn the_domain_of_software_evidence_is_absent_from_the_production_wasm() {
	let software = domains::SOFTWARE_REPORT.as_bytes();
	assert!(names(development(), software), "else its absence would say nothing");
	assert!(!names(production(), software));
	// What both have in common is found in both.
	let statement = domains::BOOT_STATEMENT.as_bytes();
	assert!(names(development(), statement) && names(production(), statement));
}

/// The wasm has its APIs in another order.
fn in_order(mut version: RuntimeVersion) -> RuntimeVersion {
	version.apis.to_mut().sort_unstable();
	version
}

#[test]
fn both_are_one_runtime_in_all_else() {
	let version = |wasm: &[u8]| {
		let version = executor().read_runtime_version(wasm, &mut genesis("development").ext());
		let version = RuntimeVersion::decode(&mut &version.expect("is there")[..]);
		in_order(version.expect("can be read"))
	};
	assert_eq!(version(development()), in_order(VERSION));
	assert_eq!(version(production()), in_order(VERSION));
}

/// An operator whose evidence everybody can make, on a network that trusts its root: by mistake, or
/// because a vote was bought.
struct Forger;

impl Forger {
	const MEASUREMENT: H256 = H256::repeat_byte(0xc0);
	const WORKER: u32 = 0;

	/// The state in which its registration would be taken, and that registration.
	fn registers() -> (sp_io::TestExternalities, UncheckedExtrinsic) {
		let root = sr25519::Pair::from_seed(&DEVELOPMENT_ROOT_SEED);
		let mut externalities = genesis("development");
		let extrinsic = externalities.execute_with(|| {
			assert_eq!(pallet_registry::SoftwareRoot::<Runtime>::get(), Some(root.public().0));
			System::initialize(&1, &System::block_hash(0), &Default::default());
			assert_ok!(Registry::allow_measurement(RuntimeOrigin::root(), Self::MEASUREMENT));
			assert_ok!(Registry::register_worker(RuntimeOrigin::signed(endowed_alice())));
			let keys = BootKeys { identity: [7; 32], encryption: [8; 32] };
			let genesis = H256(System::block_hash(0).0);
			let statement =
				BootStatement::new(genesis, Self::WORKER, endowed_alice().into(), keys, genesis);
			let report = SoftwareReport {
				measurement: Self::MEASUREMENT,
				platform: H256::repeat_byte(1),
				report_data: statement.report_data(),
				debug: false,
			};
			let signature = root.sign(&SoftwareReportContent::new(&report).encode()).0;
			let evidence = Evidence::Software(SoftwareEvidence { report, signature }).encode();
			super::transactions::signed(
				&sr25519::Pair::from_string("//Alice", None).unwrap(),
				0,
				pallet_registry::Call::register_boot {
					worker: Self::WORKER,
					keys,
					evidence,
					recent_block: 0,
				}
				.into(),
			)
		});
		(externalities, extrinsic)
	}

	/// What a runtime makes of it.
	fn tries(wasm: &[u8]) -> ApplyExtrinsicResult {
		let (mut externalities, extrinsic) = Self::registers();
		let code = RuntimeCode {
			code_fetcher: &WrappedRuntimeCode(wasm.into()),
			heap_pages: None,
			hash: vec![0; 32],
		};
		let applied = executor()
			.call(
				&mut externalities.ext(),
				&code,
				"BlockBuilder_apply_extrinsic",
				&extrinsic.encode(),
				CallContext::Offchain,
			)
			.0
			.expect("the runtime does not fail");
		Decode::decode(&mut &applied[..]).expect("says what became of it")
	}
}

#[test]
fn the_production_wasm_refuses_software_evidence_that_the_development_wasm_takes() {
	assert_eq!(Forger::tries(development()), Ok(Ok(())));
	let refused = pallet_registry::Error::<Runtime>::EvidenceKindNotAccepted;
	let refused = sp_runtime::DispatchError::from(refused).stripped();
	assert_eq!(Forger::tries(production()), Ok(Err(refused)));
}
