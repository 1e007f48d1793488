//! *General* transactions: nobody signs them; the runtime decides what lets one in. subxt makes
//! signed and bare ones only, so they are encoded here.

use codec::{Compact, Encode};
use scale_info::{PortableRegistry, TypeDef};
use subxt::metadata::Metadata;

use crate::ChainClientError;

/// Format version 5, kind "general".
const PREAMBLE: u8 = 0b0100_0000 | 5;

/// A transaction extension of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
	/// Its name in the metadata.
	pub identifier: String,
	/// Whether it puts no bytes into a transaction.
	pub is_empty: bool,
}

/// A general transaction: its length, the preamble, the version of the extensions, what they
/// carry, and the call.
pub fn general_transaction(extensions_version: u8, extension_bytes: &[u8], call: &[u8]) -> Vec<u8> {
	let mut transaction = vec![PREAMBLE, extensions_version];
	transaction.extend_from_slice(extension_bytes);
	transaction.extend_from_slice(call);
	let mut bytes = Compact(transaction.len() as u64).encode();
	bytes.extend(transaction);
	bytes
}

/// What the runtime's extensions carry in a transaction without sender: immortal, nonce 0, no tip,
/// no hash of the metadata (it guards a signature, and there is none).
///
/// # Errors
/// [`ChainClientError::UnknownExtension`] for one that carries something this release does not know.
pub fn explicit_extension_bytes(extensions: &[Extension]) -> Result<Vec<u8>, ChainClientError> {
	const IMMORTAL: u8 = 0;
	const NO_METADATA_HASH: u8 = 0;
	let mut bytes = Vec::new();
	for Extension { identifier, is_empty } in extensions {
		match identifier.as_str() {
			_ if *is_empty => (),
			"CheckMortality" | "CheckEra" => bytes.push(IMMORTAL),
			"CheckNonce" => Compact(0u32).encode_to(&mut bytes),
			"CheckMetadataHash" => bytes.push(NO_METADATA_HASH),
			"ChargeTransactionPayment" => Compact(0u128).encode_to(&mut bytes),
			unknown => {
				return Err(ChainClientError::UnknownExtension { extension: unknown.to_owned() })
			}
		}
	}
	Ok(bytes)
}

/// The extensions of a runtime, in their order.
pub(super) fn extensions(metadata: &Metadata) -> Vec<Extension> {
	metadata
		.extrinsic()
		.transaction_extensions_to_use_for_encoding()
		.map(|extension| Extension {
			identifier: extension.identifier().to_owned(),
			is_empty: is_empty(metadata.types(), extension.extra_ty()),
		})
		.collect()
}

/// Whether values of a type have no bytes.
fn is_empty(types: &PortableRegistry, id: u32) -> bool {
	match types.resolve(id).map(|found| &found.type_def) {
		Some(TypeDef::Composite(composite)) => {
			composite.fields.iter().all(|field| is_empty(types, field.ty.id))
		}
		Some(TypeDef::Tuple(tuple)) => tuple.fields.iter().all(|field| is_empty(types, field.id)),
		Some(TypeDef::Array(array)) => array.len == 0 || is_empty(types, array.type_param.id),
		_ => false,
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use scale_info::{meta_type, Registry, TypeInfo};

	fn extension(identifier: &str, is_empty: bool) -> Extension {
		Extension { identifier: identifier.into(), is_empty }
	}

	/// As the runtime has them: see `TransactionExtensions` there, which a test of its own holds.
	fn of_the_runtime() -> Vec<Extension> {
		vec![
			extension("AuthorizeCall", true),
			extension("CheckNonZeroSender", true),
			extension("CheckSpecVersion", true),
			extension("CheckTxVersion", true),
			extension("CheckGenesis", true),
			extension("CheckMortality", false),
			extension("CheckNonce", false),
			extension("CheckWeight", true),
			extension("ChargeTransactionPayment", false),
			extension("CheckMetadataHash", false),
			extension("WeightReclaim", true),
		]
	}

	#[test]
	fn a_general_transaction_keeps_its_frozen_encoding() {
		let extensions = explicit_extension_bytes(&of_the_runtime()).expect("all are known");
		let bytes = general_transaction(0, &extensions, &[50, 0, 0xaa, 0xbb]);
		assert_eq!(bytes, [10 << 2, 0x45, 0, 0, 0, 0, 0, 50, 0, 0xaa, 0xbb]);
	}

	#[test]
	fn the_length_of_a_long_transaction_is_compact() {
		let bytes = general_transaction(0, &[0, 0, 0], &[1; 100]);
		assert_eq!(bytes[..4], [0xa5, 0x01, 0x45, 0], "105 bytes after the length");
		assert_eq!(bytes.len(), 2 + 105);
	}

	#[test]
	fn an_unknown_extension_that_carries_nothing_is_passed_over() {
		let mut extensions = of_the_runtime();
		extensions.insert(3, extension("StorageWeightReclaim", true));
		assert_eq!(explicit_extension_bytes(&extensions).expect("nothing to fill"), [0, 0, 0, 0]);
	}

	#[test]
	fn an_unknown_extension_that_carries_something_is_refused_by_name() {
		let mut extensions = of_the_runtime();
		extensions.push(extension("ChargeAssetTxPayment", false));
		let error = explicit_extension_bytes(&extensions).expect_err("cannot be filled");
		assert!(error.to_string().contains("ChargeAssetTxPayment"), "{error}");
	}

	#[test]
	fn a_type_is_empty_when_all_of_its_fields_are() {
		#[derive(TypeInfo)]
		#[allow(dead_code)]
		struct Nothing(());
		#[derive(TypeInfo)]
		#[allow(dead_code)]
		struct Something((), u8);
		let mut registry = Registry::new();
		let nothing = registry.register_type(&meta_type::<Nothing>()).id;
		let something = registry.register_type(&meta_type::<Something>()).id;
		let option = registry.register_type(&meta_type::<Option<()>>()).id;
		let types: PortableRegistry = registry.into();
		assert!(is_empty(&types, nothing));
		assert!(!is_empty(&types, something));
		assert!(!is_empty(&types, option), "an option has a byte");
		assert!(!is_empty(&types, 1_000), "a type that is not there");
	}
}
