//! The keys of a new network's validators: made here, and written where this user alone may read.
//!
//! ```text
//! validators/1/stash            the phrase of its account, which holds the bond
//!              node-key         by which peers know its node
//!              keystore/…       its session keys, as `phala-node --keystore-path` reads them
//! ```

use crate::{
	accounts::{private_folder, write_private},
	randomness,
};
use anyhow::Context;
use ed25519_zebra::{SigningKey, VerificationKeyBytes};
use phala_chain_client::transactions;
use phala_protocol::{
	text::{base58, Address},
	AccountBytes,
};
use std::path::Path;
use subxt_signer::{bip39::Mnemonic, ecdsa, sr25519};

/// 12 words.
const ENTROPY_BYTES: usize = 16;

/// What all may know of a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
	pub stash: Address,
	pub session_keys: SessionKeys,
	/// Its node's id, as peers write it.
	pub peer: String,
}

/// The runtime's session keys, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKeys {
	pub babe: [u8; 32],
	pub grandpa: [u8; 32],
	pub authority_discovery: [u8; 32],
	pub beefy: [u8; 33],
}

impl SessionKeys {
	/// Their SCALE.
	pub fn bytes(&self) -> Vec<u8> {
		let Self { babe, grandpa, authority_discovery, beefy } = self;
		[&babe[..], grandpa, authority_discovery, beefy].concat()
	}
}

/// Makes all keys of one validator in its folder.
pub fn make(folder: &Path) -> anyhow::Result<Validator> {
	let keystore = folder.join("keystore");
	private_folder(&keystore)?;
	let phrase = Mnemonic::from_entropy(&randomness::bytes::<ENTROPY_BYTES>()?)
		.context("the words cannot be made")?
		.to_string();
	write_private(&folder.join("stash"), phrase.as_bytes())?;
	let stash = Address(transactions::account(&phrase)?.public_key().0);

	let secret = randomness::bytes::<32>()?;
	write_private(&folder.join("node-key"), hex::encode(secret).as_bytes())?;
	let peer = peer_id(&ed25519(secret));

	let sr25519 = |secret| sr25519::Keypair::from_secret_key(secret).map(|key| key.public_key().0);
	let ecdsa = |secret| ecdsa::Keypair::from_secret_key(secret).map(|key| key.public_key().0);
	let session_keys = SessionKeys {
		babe: keep(&keystore, b"babe", |secret| Ok(sr25519(secret)?))?,
		grandpa: keep(&keystore, b"gran", |secret| Ok(ed25519(secret)))?,
		authority_discovery: keep(&keystore, b"audi", |secret| Ok(sr25519(secret)?))?,
		beefy: keep(&keystore, b"beef", |secret| Ok(ecdsa(secret)?))?,
	};
	Ok(Validator { stash, session_keys, peer })
}

/// Makes a key and writes it as a node's keystore has it: under its kind and public key, the seed as
/// a JSON text.
fn keep<Public: AsRef<[u8]>>(
	keystore: &Path,
	kind: &[u8; 4],
	public: impl Fn([u8; 32]) -> anyhow::Result<Public>,
) -> anyhow::Result<Public> {
	let secret = randomness::bytes::<32>()?;
	let public = public(secret).context("a key cannot be made")?;
	let name = hex::encode(kind) + &hex::encode(&public);
	write_private(&keystore.join(name), format!("\"0x{}\"", hex::encode(secret)).as_bytes())?;
	Ok(public)
}

fn ed25519(secret: [u8; 32]) -> AccountBytes {
	VerificationKeyBytes::from(&SigningKey::from(secret)).into()
}

/// libp2p's: a multihash that is the key itself, in protobuf.
fn peer_id(key: &[u8; 32]) -> String {
	const IDENTITY_OF_ED25519: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
	base58(&[&IDENTITY_OF_ED25519[..], key].concat())
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

	#[test]
	fn keys_are_fresh_complete_and_seen_by_nobody_else() {
		let folder = tempfile::tempdir().unwrap();
		let [one, other] = ["1", "2"].map(|name| make(&folder.path().join(name)).unwrap());
		assert_ne!(one.stash, other.stash);
		assert_ne!(one.peer, other.peer);

		let of = folder.path().join("1");
		let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
		let mut names = BTreeSet::new();
		for entry in fs::read_dir(of.join("keystore")).unwrap() {
			let path = entry.unwrap().path();
			assert_eq!(mode(&path), 0o600, "{}", path.display());
			names.insert(path.file_name().unwrap().to_string_lossy().into_owned());
		}
		let keys = one.session_keys;
		let expected = [
			("62616265", &keys.babe[..]),
			("6772616e", &keys.grandpa),
			("61756469", &keys.authority_discovery),
			("62656566", &keys.beefy),
		];
		let expected = expected.map(|(kind, key)| format!("{kind}{}", hex::encode(key)));
		assert_eq!(names, BTreeSet::from(expected));
		let all: BTreeSet<_> = [one.session_keys.bytes(), other.session_keys.bytes()].into();
		assert_eq!(all.len(), 2);

		for secret in ["stash", "node-key"] {
			assert_eq!(mode(&of.join(secret)), 0o600, "{secret}");
		}
		for private in [&of, &of.join("keystore")] {
			assert_eq!(mode(private), 0o700, "{}", private.display());
		}
	}

	// A well-known one: `phala-node key inspect-node-key` says the same of this secret.
	#[test]
	fn a_peers_id_is_that_of_its_key() {
		let mut secret = [0; 32];
		secret[31] = 1;
		let id = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
		assert_eq!(peer_id(&ed25519(secret)), id);
	}
}
