//! The hash of the metadata, which lets an offline wallet prove to itself what it signs.

use super::genesis;
use crate::*;
use codec::Decode;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use merkleized_metadata::{generate_metadata_digest, ExtraInfo};

/// The version of metadata that the hash is made of.
const METADATA_VERSION: u32 = 15;

/// The hash as a wallet makes it, knowing the chain's symbol and decimals.
fn hash_of(metadata: &RuntimeMetadata) -> Result<[u8; 32], String> {
	let extra = ExtraInfo {
		spec_version: VERSION.spec_version,
		spec_name: VERSION.spec_name.to_string(),
		base58_prefix: currency::SS58_PREFIX,
		decimals: currency::DECIMALS as u8,
		token_symbol: currency::SYMBOL.into(),
	};
	Ok(generate_metadata_digest(metadata, extra)?.hash())
}

fn decode(metadata: &[u8]) -> RuntimeMetadata {
	RuntimeMetadataPrefixed::decode(&mut &metadata[..]).expect("the runtime's own metadata").1
}

#[test]
fn every_type_that_a_transaction_uses_can_be_hashed_and_presets_share_the_hash() {
	let of = |preset: &str| {
		genesis(preset).execute_with(|| {
			let metadata = Runtime::metadata_at_version(METADATA_VERSION).expect("is supported");
			hash_of(&decode(&metadata)).expect("a release build can make the hash")
		})
	};
	assert_eq!(of("development"), of(presets::STAGING));
}

#[test]
fn the_feature_takes_nothing_into_the_wasm_that_cannot_be_there() {
	// The wasm is compiled with it too, and neither with `std` nor with a builder of wasm.
	let feature = include_str!("../../Cargo.toml")
		.lines()
		.find_map(|line| line.strip_prefix("metadata-hash = "))
		.expect("is a feature");
	assert_eq!(feature, r#"["substrate-wasm-builder?/metadata-hash"]"#);
}

/// A build with the feature `metadata-hash` has the hash inside its wasm.
#[cfg(feature = "metadata-hash")]
mod inside_the_wasm {
	use super::*;
	use codec::Encode;
	use frame_metadata_hash_extension::CheckMetadataHash;
	use sc_executor::WasmExecutor;
	use sp_core::traits::{CallContext, CodeExecutor, RuntimeCode, WrappedRuntimeCode};
	use sp_runtime::transaction_validity::{
		InvalidTransaction, TransactionSource, TransactionValidity,
	};

	fn call(externalities: &mut sp_io::TestExternalities, method: &str, input: &[u8]) -> Vec<u8> {
		let wasm = WASM_BINARY.expect("the feature is of no use with SKIP_WASM_BUILD");
		let code = RuntimeCode {
			code_fetcher: &WrappedRuntimeCode(wasm.into()),
			heap_pages: None,
			hash: vec![0; 32],
		};
		WasmExecutor::<sp_io::SubstrateHostFunctions>::builder()
			.build()
			.call(&mut externalities.ext(), &code, method, input, CallContext::Offchain)
			.0
			.unwrap_or_else(|error| panic!("{method}: {error}"))
	}

	fn validate(
		signed: CheckMetadataHash<Runtime>,
		sent: CheckMetadataHash<Runtime>,
	) -> TransactionValidity {
		let mut externalities = genesis("development");
		let input = externalities.execute_with(|| {
			let transaction = super::super::transactions::transfer(signed, sent);
			(TransactionSource::External, transaction, System::block_hash(0)).encode()
		});
		let validity =
			call(&mut externalities, "TaggedTransactionQueue_validate_transaction", &input);
		Decode::decode(&mut &validity[..]).expect("a transaction's validity")
	}

	#[test]
	fn a_transfer_signed_with_the_hash_is_valid_and_with_another_is_not() {
		let metadata = call(
			&mut genesis("development"),
			"Metadata_metadata_at_version",
			&METADATA_VERSION.encode(),
		);
		let metadata: Option<Vec<u8>> = Decode::decode(&mut &metadata[..]).expect("an option");
		let hash = hash_of(&decode(&metadata.expect("is supported"))).expect("can be hashed");

		let with =
			|hash| (CheckMetadataHash::new_with_custom_hash(hash), CheckMetadataHash::new(true));
		let (signed, sent) = with(hash);
		assert!(validate(signed, sent).is_ok());

		let mut other = hash;
		other[0] ^= 1;
		let (signed, sent) = with(other);
		assert_eq!(validate(signed, sent), Err(InvalidTransaction::BadProof.into()));

		let disabled = || CheckMetadataHash::new(false);
		assert!(validate(disabled(), disabled()).is_ok(), "and nobody has to use it");
	}
}
