//! What clients encode: a change here is a change of every wallet, relayer and SDK.

use super::{endowed_alice, genesis};
use crate::*;
use codec::{DecodeAll, Encode};
use frame_metadata_hash_extension::CheckMetadataHash;
use frame_support::assert_ok;
use scale_info::{form::PortableForm, PortableRegistry, Registry, TypeDef};
use sp_core::Pair;
use sp_runtime::{
	generic::Era,
	traits::TransactionExtension,
	transaction_validity::{TransactionSource, TransactionValidity, UnknownTransaction},
};

/// Each extension with what it adds: to the transaction, and to what its signature covers.
const EXTENSIONS: [(&str, &str, &str); 11] = [
	("AuthorizeCall", "", ""),
	("CheckNonZeroSender", "", ""),
	("CheckSpecVersion", "", "u32"),
	("CheckTxVersion", "", "u32"),
	("CheckGenesis", "", "H256"),
	("CheckMortality", "Era", "H256"),
	("CheckNonce", "Compact<u32>", ""),
	("CheckWeight", "", ""),
	("ChargeTransactionPayment", "Compact<u128>", ""),
	("CheckMetadataHash", "Mode", "Option<[u8; 32]>"),
	("WeightReclaim", "", ""),
];

/// The transaction format that [`EXTENSIONS`] is.
const TRANSACTION_VERSION: u32 = 2;

/// A type as a reader of SCALE sees it: empty if it has no bytes, else what the one field is that
/// has some, or its own name.
fn shape(types: &PortableRegistry, id: u32) -> String {
	let found = types.resolve(id).expect("the registry knows its own types");
	let of_fields = |ids: Vec<u32>| {
		let shapes: Vec<_> = ids.into_iter().map(|id| shape(types, id)).collect();
		let mut with_bytes = shapes.into_iter().filter(|shape| !shape.is_empty());
		match (with_bytes.next(), with_bytes.next()) {
			(None, _) => String::new(),
			(Some(only), None) => only,
			(Some(_), Some(_)) => name(found),
		}
	};
	match &found.type_def {
		TypeDef::Composite(_) if name(found) == "H256" => name(found),
		TypeDef::Composite(composite) => {
			of_fields(composite.fields.iter().map(|field| field.ty.id).collect())
		}
		TypeDef::Tuple(tuple) => of_fields(tuple.fields.iter().map(|field| field.id).collect()),
		TypeDef::Compact(compact) => format!("Compact<{}>", shape(types, compact.type_param.id)),
		TypeDef::Array(array) => format!("[{}; {}]", shape(types, array.type_param.id), array.len),
		TypeDef::Primitive(primitive) => format!("{primitive:?}").to_lowercase(),
		_ => match &found.type_params[..] {
			[parameter] => match parameter.ty {
				Some(ty) => format!("{}<{}>", name(found), shape(types, ty.id)),
				None => name(found),
			},
			_ => name(found),
		},
	}
}

fn name(of: &scale_info::Type<PortableForm>) -> String {
	of.path.segments.last().cloned().unwrap_or_default()
}

#[test]
fn the_transaction_extensions_are_frozen() {
	let mut registry = Registry::new();
	let found: Vec<_> = <TransactionExtensions as TransactionExtension<RuntimeCall>>::metadata()
		.into_iter()
		.map(|extension| {
			let ids = [extension.ty, extension.implicit].map(|ty| registry.register_type(&ty).id);
			(extension.identifier, ids)
		})
		.collect();
	let types: PortableRegistry = registry.into();
	let found: Vec<_> = found
		.into_iter()
		.map(|(identifier, [explicit, implicit])| {
			(identifier, shape(&types, explicit), shape(&types, implicit))
		})
		.collect();
	let expected: Vec<_> = EXTENSIONS
		.iter()
		.map(|(identifier, explicit, implicit)| {
			(*identifier, explicit.to_string(), implicit.to_string())
		})
		.collect();
	assert_eq!(
		found, expected,
		"the transaction format changed: raise transaction_version and spec_version, teach \
		 clients/chain-client/src/transactions/general.rs what a new extension carries, try \
		 polkadot-api's signer (it throws on an unknown one with bytes), amend decision 011, and \
		 only then this list"
	);
	assert_eq!(
		VERSION.transaction_version, TRANSACTION_VERSION,
		"transaction_version moves with the transaction format, and with nothing else"
	);
	const { assert!(VERSION.spec_version >= VERSION.transaction_version) };
}

fn extensions(metadata_hash: CheckMetadataHash<Runtime>) -> TransactionExtensions {
	extensions_at(0, metadata_hash)
}

fn extensions_at(nonce: Nonce, metadata_hash: CheckMetadataHash<Runtime>) -> TransactionExtensions {
	(
		frame_system::AuthorizeCall::new(),
		frame_system::CheckNonZeroSender::new(),
		frame_system::CheckSpecVersion::new(),
		frame_system::CheckTxVersion::new(),
		frame_system::CheckGenesis::new(),
		frame_system::CheckEra::from(Era::Immortal),
		frame_system::CheckNonce::from(nonce),
		frame_system::CheckWeight::new(),
		pallet_transaction_payment::ChargeTransactionPayment::from(0),
		metadata_hash,
		frame_system::WeightReclaim::new(),
	)
}

#[test]
fn an_envelope_carries_one_zero_for_each_extension_with_bytes() {
	// What chain-client writes into a general transaction: immortal, nonce 0, no tip, no metadata hash.
	assert_eq!(extensions(CheckMetadataHash::new(false)).encode(), [0, 0, 0, 0]);
	assert_eq!(extensions(CheckMetadataHash::new(true)).encode(), [0, 0, 0, 1]);
}

/// Alice's transfer to herself, signed with `signed` and sent with `sent`: to be called where
/// there is a genesis.
pub(super) fn transfer(
	signed: CheckMetadataHash<Runtime>,
	sent: CheckMetadataHash<Runtime>,
) -> UncheckedExtrinsic {
	let alice = sp_core::sr25519::Pair::from_string("//Alice", None).unwrap();
	let call = RuntimeCall::from(pallet_balances::Call::transfer_keep_alive {
		dest: endowed_alice().into(),
		value: currency::PHA,
	});
	let payload = SignedPayload::new(call.clone(), extensions(signed)).unwrap();
	let signature = payload.using_encoded(|bytes| alice.sign(bytes));
	UncheckedExtrinsic::new_signed(call, endowed_alice().into(), signature.into(), extensions(sent))
}

/// A call as one of an account's transactions.
pub(super) fn signed(
	key: &sp_core::sr25519::Pair,
	nonce: Nonce,
	call: RuntimeCall,
) -> UncheckedExtrinsic {
	let extensions = || extensions_at(nonce, CheckMetadataHash::new(false));
	let payload = SignedPayload::new(call.clone(), extensions()).unwrap();
	let signature = payload.using_encoded(|bytes| key.sign(bytes));
	let account = AccountId::from(key.public());
	UncheckedExtrinsic::new_signed(call, account.into(), signature.into(), extensions())
}

fn validate(
	signed: CheckMetadataHash<Runtime>,
	sent: CheckMetadataHash<Runtime>,
) -> TransactionValidity {
	genesis("development").execute_with(|| {
		Executive::validate_transaction(
			TransactionSource::External,
			// As the chain gets it.
			DecodeAll::decode_all(&mut &transfer(signed, sent).encode()[..]).unwrap(),
			System::block_hash(0),
		)
	})
}

#[test]
fn a_transfer_without_a_metadata_hash_is_valid() {
	let disabled = || CheckMetadataHash::new(false);
	assert_ok!(validate(disabled(), disabled()));
}

// Natively the runtime never has one: the hash goes into the wasm alone.
#[test]
fn a_transfer_with_a_metadata_hash_is_refused_by_a_runtime_that_was_built_without() {
	let signed = CheckMetadataHash::new_with_custom_hash([7; 32]);
	let sent = CheckMetadataHash::new(true);
	assert_eq!(validate(signed, sent), Err(UnknownTransaction::CannotLookup.into()));
}
