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
	use phala_runtime::{opaque::SessionKeys, presets};
	use serde_json::Value;
	use sp_keystore::testing::MemoryKeystore;
	use sp_runtime::traits::OpaqueKeys;
	use std::sync::Arc;

	/// Of the validators that this network begins with.
	fn session_keys_in_genesis(preset: &str) -> Vec<SessionKeys> {
		let json = presets::get(&preset.into()).expect("there is such a network");
		let json: Value = serde_json::from_slice(&json).unwrap();
		let validators = json["session"]["keys"].as_array().expect("it names them");
		let keys = validators.iter().map(|validator| validator[2].clone());
		keys.map(|keys| serde_json::from_value(keys).unwrap()).collect()
	}

	#[test]
	fn a_development_account_signs_with_all_keys_that_genesis_has_of_it() {
		for (preset, accounts) in [
			("development", &["//Alice"][..]),
			("local_testnet", &["//Alice", "//Bob", "//Charlie", "//Dave"]),
		] {
			let validators = session_keys_in_genesis(preset);
			assert_eq!(validators.len(), accounts.len());
			for (suri, keys) in accounts.iter().zip(validators) {
				let keystore: KeystorePtr = Arc::new(MemoryKeystore::new());
				insert(&keystore, suri).unwrap();
				for key_type in SessionKeys::key_ids() {
					let public = keystore.keys(*key_type).unwrap();
					assert_eq!(public, [keys.get_raw(*key_type).to_vec()], "{suri} {key_type:?}");
				}
			}
		}
	}

	#[test]
	fn what_has_no_seed_is_refused() {
		let keystore: KeystorePtr = Arc::new(MemoryKeystore::new());
		assert!(insert(&keystore, "no phrase").is_err());
		assert!(insert(&keystore, "//Alice/soft").is_err());
	}
}
