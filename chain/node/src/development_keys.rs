//! The session keys of a development account, as `--alice` and `--bob` ask for them.
//!
//! Left to the service, the keystore has the account's phrase, and comes to the key anew for every signature:
//! 2,048 rounds of HMAC, most of what an idle node of a debug build does. So it is given the seeds.

use sc_service::error::Error as ServiceError;
use sp_core::{crypto::key_types, ecdsa, ed25519, hexdisplay::HexDisplay, sr25519, Pair};
use sp_keystore::{Error as KeystoreError, KeystorePtr};

/// Puts the keys of `suri` into the keystore, one for each part of a session, until the node ends.
pub fn insert(keystore: &KeystorePtr, suri: &str) -> Result<(), ServiceError> {
	let sr25519 = seed::<sr25519::Pair>(suri)?;
	let ed25519 = seed::<ed25519::Pair>(suri)?;
	let ecdsa = seed::<ecdsa::Pair>(suri)?;
	for key_type in [key_types::BABE, key_types::AUTHORITY_DISCOVERY] {
		keystore.sr25519_generate_new(key_type, Some(&sr25519)).map_err(not_taken)?;
	}
	keystore.ed25519_generate_new(key_types::GRANDPA, Some(&ed25519)).map_err(not_taken)?;
	keystore.ecdsa_generate_new(key_types::BEEFY, Some(&ecdsa)).map_err(not_taken)?;
	Ok(())
}

/// As a keystore has it.
fn seed<P: Pair>(suri: &str) -> Result<String, ServiceError> {
	let refused =
		|why: String| ServiceError::Other(format!("{suri:?} makes no session keys: {why}"));
	let (_, seed) =
		P::from_string_with_seed(suri, None).map_err(|error| refused(error.to_string()))?;
	let seed = seed.ok_or_else(|| refused("a soft junction leaves no seed".into()))?;
	Ok(format!("0x{}", HexDisplay::from(&seed.as_ref())))
}

fn not_taken(error: KeystoreError) -> ServiceError {
	ServiceError::Other(format!("the keystore takes no session key: {error}"))
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_runtime::opaque::SessionKeys;
	use sp_keystore::testing::MemoryKeystore;
	use sp_runtime::traits::OpaqueKeys;
	use std::sync::Arc;

	#[test]
	fn all_session_keys_of_a_development_account_are_there() {
		let keystore: KeystorePtr = Arc::new(MemoryKeystore::new());
		insert(&keystore, "//Alice").unwrap();
		let public = |key_type| keystore.keys(key_type).unwrap();
		let alice = sr25519::Pair::from_string("//Alice", None).unwrap().public();
		assert_eq!(public(key_types::BABE), [alice.0.to_vec()]);
		for key_type in SessionKeys::key_ids() {
			assert_eq!(public(*key_type).len(), 1, "{key_type:?}");
		}
		assert!(insert(&keystore, "no phrase").is_err());
		assert!(insert(&keystore, "//Alice/soft").is_err());
	}
}
