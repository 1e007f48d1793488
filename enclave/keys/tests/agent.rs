//! Wallets are what the rest of the world calls wallets.

mod common;

use common::Dice;
use phala_keys::{
	agent::{AgentKeys, SigningRoot},
	limits::WALLET_PATH_BYTES_MAX,
	secret::{Secret32, SecretBytes},
	Error,
};
use sp_core::{ecdsa, ed25519, sr25519, Pair};

#[test]
fn substrate_verifies_what_the_wallets_sign() {
	let mut dice = Dice::seeded(40);
	let keys = AgentKeys::generate(&mut *dice);
	let message = b"transfer 1 PHA";

	let wallet = keys.root().sr25519(b"treasury").unwrap_or_else(|e| panic!("{e}"));
	let signature = sr25519::Signature::from_raw(wallet.sign(&mut *dice, message));
	assert!(sr25519::Pair::verify(
		&signature,
		message,
		&sr25519::Public::from_raw(wallet.public())
	));

	let wallet = keys.root().ed25519(b"treasury").unwrap_or_else(|e| panic!("{e}"));
	let signature = ed25519::Signature::from_raw(wallet.sign(message));
	assert!(ed25519::Pair::verify(
		&signature,
		message,
		&ed25519::Public::from_raw(wallet.public())
	));

	let wallet = keys.root().secp256k1(b"treasury").unwrap_or_else(|e| panic!("{e}"));
	let digest = sp_crypto_hashing::blake2_256(message);
	let signature = ecdsa::Signature::from_raw(wallet.sign_prehashed(&digest));
	assert_eq!(
		signature.recover_prehashed(&digest),
		Some(ecdsa::Public::from_raw(wallet.public()))
	);
}

#[test]
fn wallets_differ_by_path_and_by_kind_and_stay_the_same() {
	let root = SigningRoot::from_secret(Secret32::new([9; 32]));
	let public = |path: &[u8]| {
		(
			root.sr25519(path).ok().unwrap().public(),
			root.ed25519(path).ok().unwrap().public(),
			root.secp256k1(path).ok().unwrap().public(),
		)
	};
	assert_eq!(public(b"a"), public(b"a"));
	assert_ne!(public(b"a"), public(b"b"));
	assert_ne!(public(b"a").0, public(b"a").1);
	assert_ne!(public(b"a").1[..], public(b"a").2[1..]);
}

#[test]
fn a_path_may_be_as_long_as_allowed_and_no_longer() {
	let root = SigningRoot::from_secret(Secret32::new([9; 32]));
	let longest = [b'x'; WALLET_PATH_BYTES_MAX];
	let longer = [b'x'; WALLET_PATH_BYTES_MAX + 1];
	assert!(root.sr25519(&longest).is_ok());
	for error in
		[root.sr25519(&longer).err(), root.ed25519(&longer).err(), root.secp256k1(&longer).err()]
	{
		assert!(matches!(error, Some(Error::TooLong { what: "wallet path", .. })));
	}
}

#[test]
fn keys_come_back_from_storage_and_nothing_else_passes_for_them() {
	let mut dice = Dice::seeded(41);
	let mut keys = AgentKeys::generate(&mut *dice);
	let born = keys.encryption_key();
	keys.rotate_encryption_key(&mut *dice);
	let wallet = keys.root().ed25519(b"").ok().unwrap().public();
	let restored =
		AgentKeys::from_secret_bytes(&keys.to_secret_bytes()).unwrap_or_else(|e| panic!("{e}"));
	assert_eq!(restored.encryption_key(), keys.encryption_key());
	assert_eq!((born.0, restored.encryption_key().0), (1, 2));
	assert_ne!(born.1, restored.encryption_key().1);
	assert_eq!(restored.root().ed25519(b"").ok().unwrap().public(), wallet);
	let bytes = keys.to_secret_bytes().expose().to_vec();
	for bad in [&bytes[..bytes.len() - 1], &[bytes.as_slice(), &[0]].concat()] {
		assert_eq!(
			AgentKeys::from_secret_bytes(&SecretBytes::new(bad.to_vec())).err(),
			Some(Error::Malformed { what: "agent keys" })
		);
	}
	let old = keys.rotate_root(&mut *dice);
	assert_eq!(keys.root_version(), 2);
	assert_eq!(old.ed25519(b"").ok().unwrap().public(), wallet);
	assert_ne!(keys.root().ed25519(b"").ok().unwrap().public(), wallet);
}

#[test]
fn a_request_draws_the_same_each_time_and_another_draws_differently() {
	let root = SigningRoot::from_secret(Secret32::new([9; 32]));
	assert!(root.request_randomness(&[1; 32].into()) == root.request_randomness(&[1; 32].into()));
	assert!(root.request_randomness(&[1; 32].into()) != root.request_randomness(&[2; 32].into()));
}

#[test]
fn an_sr25519_wallet_is_the_pair_that_substrate_makes_of_the_derived_seed() {
	let root = SigningRoot::from_secret(Secret32::new([0x42; 32]));
	// HKDF(root, SCALE("phala/keys/wallet/sr25519/v1", "treasury", 0)), computed with Python.
	let seed = "0xb0137717d8c0d39553ac56ff924fd2eb92bfa88ed92fff45071cfd488d177dda";
	let pair = sr25519::Pair::from_string(seed, None).unwrap();
	assert_eq!(root.sr25519(b"treasury").ok().unwrap().public(), pair.public().0);
}
