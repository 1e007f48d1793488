//! The keys of one boot: made in memory at start, never stored, gone at the end.

use crate::{
	hpke::DecryptionKey,
	secret::Secret32,
	sr25519::{self, Signature, SigningKey},
};
use codec::Encode;
use phala_protocol::boot::BootKeys as BootPublicKeys;
use rand_core::CryptoRng;
use std::sync::Arc;

/// The secret keys of one boot.
pub struct BootKeys {
	identity: Arc<SigningKey>,
	encryption: DecryptionKey,
	public: BootPublicKeys,
}

impl BootKeys {
	/// New ones, at every start.
	pub fn generate(rng: &mut impl CryptoRng) -> Self {
		let identity = Arc::new(SigningKey::from_seed(&Secret32::random(rng)));
		let encryption = DecryptionKey::generate(rng);
		let public =
			BootPublicKeys { identity: identity.public(), encryption: encryption.public().0 };
		Self { identity, encryption, public }
	}

	pub fn public(&self) -> BootPublicKeys {
		self.public
	}

	/// Opens what others seal to this boot.
	pub fn decryption_key(&self) -> &DecryptionKey {
		&self.encryption
	}

	/// Signs the SCALE encoding of `statement`: a named struct whose first field is a domain.
	pub fn sign(&self, rng: &mut impl CryptoRng, statement: &impl Encode) -> Signature {
		self.identity.sign(rng, &statement.encode())
	}

	pub(crate) fn signing_key(&self) -> Arc<SigningKey> {
		self.identity.clone()
	}
}

/// Whether `signature` is by the boot with this identity over the SCALE encoding of `statement`.
pub fn verify_statement(
	identity: &[u8; 32],
	statement: &impl Encode,
	signature: &Signature,
) -> bool {
	sr25519::verify(identity, &statement.encode(), signature)
}
