//! An agent's keys: made at random at its birth, kept in its encrypted state, tied to no other
//! key of the network.

use crate::{
	error::Error,
	hpke::{DecryptionKey, EncryptionKey},
	limits::WALLET_PATH_BYTES_MAX,
	secret::{Secret32, SecretBytes},
	sr25519::{self, SigningKey},
};
use codec::{Decode, DecodeAll, Encode};
use ed25519_dalek::Signer as _;
use phala_protocol::{
	agents::KeyVersion,
	domains::{Domain, REQUEST_RANDOMNESS, WALLET_ED25519, WALLET_SECP256K1, WALLET_SR25519},
	requests::RequestId,
};
use rand_core::CryptoRng;

/// The secret keys of one agent.
pub struct AgentKeys {
	encryption_version: KeyVersion,
	encryption: DecryptionKey,
	root_version: KeyVersion,
	root: SigningRoot,
}

/// How they are stored, inside the agent's encrypted state.
#[derive(Encode, Decode, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
struct StoredAgentKeys {
	encryption_version: KeyVersion,
	encryption: [u8; 32],
	root_version: KeyVersion,
	root: [u8; 32],
}

impl AgentKeys {
	/// New ones, at the agent's birth: both of version 1.
	pub fn generate(rng: &mut impl CryptoRng) -> Self {
		let encryption = DecryptionKey::generate(rng);
		let root = SigningRoot::generate(rng);
		Self { encryption_version: 1, encryption, root_version: 1, root }
	}

	/// Which encryption key this is, and what others seal to.
	pub fn encryption_key(&self) -> (KeyVersion, EncryptionKey) {
		(self.encryption_version, self.encryption.public())
	}

	/// Opens what was sealed to [`Self::encryption_key`].
	pub fn decryption_key(&self) -> &DecryptionKey {
		&self.encryption
	}

	/// Where wallets come from.
	pub fn root(&self) -> &SigningRoot {
		&self.root
	}

	/// Counts the roots.
	pub fn root_version(&self) -> KeyVersion {
		self.root_version
	}

	/// A new encryption key, independent of the old one, which is returned: it is dropped when
	/// the secrets sealed to it are sealed to the new one.
	pub fn rotate_encryption_key(&mut self, rng: &mut impl CryptoRng) -> DecryptionKey {
		self.encryption_version += 1;
		core::mem::replace(&mut self.encryption, DecryptionKey::generate(rng))
	}

	/// A new root, on its owner's wish: every wallet changes. The old root is returned, so that
	/// what the old wallets hold can be moved.
	pub fn rotate_root(&mut self, rng: &mut impl CryptoRng) -> SigningRoot {
		self.root_version += 1;
		core::mem::replace(&mut self.root, SigningRoot::generate(rng))
	}

	/// For the agent's encrypted state.
	pub fn to_secret_bytes(&self) -> SecretBytes {
		let stored = StoredAgentKeys {
			encryption_version: self.encryption_version,
			encryption: *self.encryption.secret().expose(),
			root_version: self.root_version,
			root: *self.root.0.expose(),
		};
		let mut bytes = SecretBytes::with_capacity(stored.encoded_size());
		stored.encode_to(bytes.expose_mut());
		bytes
	}

	/// From the agent's encrypted state.
	pub fn from_secret_bytes(bytes: &SecretBytes) -> Result<Self, Error> {
		let stored = StoredAgentKeys::decode_all(&mut bytes.expose())
			.map_err(|_| Error::Malformed { what: "agent keys" })?;
		Ok(Self {
			encryption_version: stored.encryption_version,
			encryption: DecryptionKey::from_secret(Secret32::new(stored.encryption)),
			root_version: stored.root_version,
			root: SigningRoot(Secret32::new(stored.root)),
		})
	}
}

/// HKDF info of a wallet.
#[derive(Encode)]
struct WalletInfo<'a> {
	domain: Domain,
	path: &'a [u8],
	/// For secp256k1, where one candidate in 2^128 is no key: the next one is tried.
	candidate: u8,
}

/// HKDF info of a request's randomness.
#[derive(Encode)]
struct RandomnessInfo {
	domain: Domain,
	request: RequestId,
}

/// What an agent's wallets are derived from. Who has it has them all; who has one wallet has
/// neither the root nor another wallet.
pub struct SigningRoot(Secret32);

impl SigningRoot {
	pub fn generate(rng: &mut impl CryptoRng) -> Self {
		Self(Secret32::random(rng))
	}

	pub fn from_secret(secret: Secret32) -> Self {
		Self(secret)
	}

	/// The sr25519 wallet at `path`: what `sp_core::sr25519::Pair::from_seed` makes of
	/// `HKDF(root, SCALE(domain, path, 0))`.
	pub fn sr25519(&self, path: &[u8]) -> Result<Sr25519Wallet, Error> {
		Ok(Sr25519Wallet(SigningKey::from_seed(&self.derive(WALLET_SR25519, path, 0)?)))
	}

	/// The ed25519 wallet (RFC 8032) at `path`, likewise.
	pub fn ed25519(&self, path: &[u8]) -> Result<Ed25519Wallet, Error> {
		let seed = self.derive(WALLET_ED25519, path, 0)?;
		Ok(Ed25519Wallet(ed25519_dalek::SigningKey::from_bytes(seed.expose())))
	}

	/// The secp256k1 wallet at `path`, likewise: EVM chains, Bitcoin.
	pub fn secp256k1(&self, path: &[u8]) -> Result<Secp256k1Wallet, Error> {
		for candidate in 0..=u8::MAX {
			let scalar = self.derive(WALLET_SECP256K1, path, candidate)?;
			if let Ok(key) = k256::ecdsa::SigningKey::from_slice(scalar.expose()) {
				return Ok(Secp256k1Wallet(key));
			}
		}
		Err(Error::NoKeyAtPath)
	}

	/// Randomness of a request from the chain: running it again gives the same draw, and nobody
	/// without the root can foresee it.
	pub fn request_randomness(&self, request: &RequestId) -> Secret32 {
		let info = RandomnessInfo { domain: REQUEST_RANDOMNESS, request: *request };
		Secret32::derive(self.0.expose(), &info)
	}

	fn derive(&self, domain: Domain, path: &[u8], candidate: u8) -> Result<Secret32, Error> {
		if path.len() > WALLET_PATH_BYTES_MAX {
			return Err(Error::TooLong {
				what: "wallet path",
				bytes: path.len(),
				bytes_max: WALLET_PATH_BYTES_MAX,
			});
		}
		Ok(Secret32::derive(self.0.expose(), &WalletInfo { domain, path, candidate }))
	}
}

/// Signs as a Substrate account.
pub struct Sr25519Wallet(SigningKey);

impl Sr25519Wallet {
	pub fn public(&self) -> [u8; 32] {
		self.0.public()
	}

	/// Signs in the context `substrate`.
	pub fn sign(&self, rng: &mut impl CryptoRng, message: &[u8]) -> sr25519::Signature {
		self.0.sign(rng, message)
	}
}

/// Signs as RFC 8032 says.
pub struct Ed25519Wallet(ed25519_dalek::SigningKey);

impl Ed25519Wallet {
	pub fn public(&self) -> [u8; 32] {
		self.0.verifying_key().to_bytes()
	}

	/// Deterministic.
	pub fn sign(&self, message: &[u8]) -> [u8; 64] {
		self.0.sign(message).to_bytes()
	}
}

/// ECDSA on secp256k1.
pub struct Secp256k1Wallet(k256::ecdsa::SigningKey);

impl Secp256k1Wallet {
	/// The public key, compressed.
	pub fn public(&self) -> [u8; 33] {
		let point = self.0.verifying_key().to_sec1_point(true);
		let mut bytes = [0; 33];
		bytes.copy_from_slice(point.as_bytes());
		bytes
	}

	/// Signs a 32-byte digest (RFC 6979, low s): r, s, recovery id 0 to 3.
	pub fn sign_prehashed(&self, digest: &[u8; 32]) -> [u8; 65] {
		let (signature, recovery) = self.0.sign_prehash_recoverable(digest);
		let mut bytes = [0; 65];
		bytes[..64].copy_from_slice(&signature.to_bytes());
		bytes[64] = recovery.to_byte();
		bytes
	}
}
