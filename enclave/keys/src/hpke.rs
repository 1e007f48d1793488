//! Sealing to a public key: HPKE base mode (RFC 9180) with X25519, HKDF-SHA256 and
//! ChaCha20-Poly1305.
//!
//! The recipient knows that the plaintext was sealed to it for the purpose in `info`; it does
//! **not** know who sealed it. Every `info` is a named struct that starts with a domain. Nothing
//! here sees a raw Diffie-Hellman output.

use crate::{
	error::Error,
	padding::{self, Steps},
	secret::{Secret32, SecretBytes},
};
use alloc::vec::Vec;
use codec::{Decode, Encode};
use hpke::{
	aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::X25519HkdfSha256, Deserializable, Kem, OpModeR,
	OpModeS, Serializable,
};
use rand_core::CryptoRng;

/// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. The next number is for a hybrid
/// with a post-quantum key encapsulation.
pub const SUITE_X25519_HKDF_SHA256_CHACHA20POLY1305: u8 = 1;

/// Bytes that an envelope holds besides its padded plaintext, without lengths: suite, `enc`, tag.
pub const ENVELOPE_BYTES: usize = 1 + 32 + 16;

/// The public half of a [`DecryptionKey`]: others seal to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct EncryptionKey(pub [u8; 32]);

/// An X25519 secret key. What is sealed to its [`EncryptionKey`] opens with it.
pub struct DecryptionKey(Secret32);

impl DecryptionKey {
	pub fn generate(rng: &mut impl CryptoRng) -> Self {
		Self(Secret32::random(rng))
	}

	/// From stored bytes: any 32 bytes are a key.
	pub fn from_secret(secret: Secret32) -> Self {
		Self(secret)
	}

	/// From bytes that others may have changed: `None` unless they are what
	/// [`Self::canonical_secret`] gives. X25519 ignores five bits of a secret, so without this a
	/// change of one of them would go unnoticed.
	pub fn from_canonical(secret: Secret32) -> Option<Self> {
		let is_canonical = *secret.expose() == clamped(secret.expose());
		is_canonical.then_some(Self(secret))
	}

	/// The one way to write the key's secret: with the bits that X25519 ignores as it sets them.
	pub fn canonical_secret(&self) -> Secret32 {
		Secret32::new(clamped(self.0.expose()))
	}

	/// The bytes to store, in a place as safe as an enclave's memory.
	pub fn secret(&self) -> &Secret32 {
		&self.0
	}

	/// What others seal to.
	pub fn public(&self) -> EncryptionKey {
		let public = X25519HkdfSha256::sk_to_pk(&self.private());
		EncryptionKey(public.to_bytes().into())
	}

	#[allow(clippy::expect_used)]
	fn private(&self) -> <X25519HkdfSha256 as Kem>::PrivateKey {
		<X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(self.0.expose())
			.expect("any 32 bytes are an X25519 secret key; qed")
	}
}

/// RFC 7748, section 5: what X25519 makes of a secret before it uses it.
fn clamped(secret: &[u8; 32]) -> [u8; 32] {
	let mut clamped = *secret;
	clamped[0] &= 0b1111_1000;
	clamped[31] &= 0b0111_1111;
	clamped[31] |= 0b0100_0000;
	clamped
}

/// A plaintext, padded and sealed to one key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sealed {
	/// Which algorithms: [`SUITE_X25519_HKDF_SHA256_CHACHA20POLY1305`].
	pub suite: u8,
	pub enc: [u8; 32],
	/// Ciphertext of the padded plaintext, with its tag.
	pub ciphertext: Vec<u8>,
}

/// Seals `plaintext`, padded to coarse steps, to `recipient`. `info` and `aad` must be the same
/// when it is opened.
pub fn seal(
	rng: &mut impl CryptoRng,
	recipient: &EncryptionKey,
	info: &impl Encode,
	aad: &[u8],
	plaintext: &[u8],
) -> Result<Sealed, Error> {
	let recipient = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&recipient.0)
		.map_err(|_| Error::UnusableRecipient)?;
	let padded = padding::pad(Steps::Message, plaintext)?;
	let (enc, ciphertext) = hpke::single_shot_seal_with_rng::<
		ChaCha20Poly1305,
		HkdfSha256,
		X25519HkdfSha256,
	>(
		&OpModeS::Base, &recipient, &info.encode(), padded.expose(), aad, rng
	)
	// Fails for points of low order only: lengths are bounded by `pad`.
	.map_err(|_| Error::UnusableRecipient)?;
	Ok(Sealed {
		suite: SUITE_X25519_HKDF_SHA256_CHACHA20POLY1305,
		enc: enc.to_bytes().into(),
		ciphertext,
	})
}

/// Opens what [`seal`] sealed. `what` names it in the error.
pub fn open(
	key: &DecryptionKey,
	info: &impl Encode,
	aad: &[u8],
	sealed: &Sealed,
	what: &'static str,
) -> Result<SecretBytes, Error> {
	if sealed.suite != SUITE_X25519_HKDF_SHA256_CHACHA20POLY1305 {
		return Err(Error::UnknownSuite { suite: sealed.suite });
	}
	let does_not_open = |_| Error::DoesNotOpen { what };
	let enc =
		<X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&sealed.enc).map_err(does_not_open)?;
	let padded = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
		&OpModeR::Base,
		&key.private(),
		&enc,
		&info.encode(),
		&sealed.ciphertext,
		aad,
	)
	.map(SecretBytes::new)
	.map_err(does_not_open)?;
	let body = padding::unpad(Steps::Message, padded.expose())?;
	Ok(SecretBytes::new(body.to_vec()))
}

#[cfg(test)]
mod tests {
	use super::*;
	use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};

	#[test]
	fn a_canonical_secret_is_the_same_key_and_no_bit_of_it_changes_unnoticed() {
		let key = DecryptionKey::generate(&mut ChaCha20Rng::seed_from_u64(1));
		let canonical = *key.canonical_secret().expose();
		let stored = DecryptionKey::from_canonical(Secret32::new(canonical)).unwrap();
		assert_eq!(stored.public(), key.public());
		let mut refused = 0;
		for bit in 0..256 {
			let mut changed = canonical;
			changed[bit / 8] ^= 1 << (bit % 8);
			match DecryptionKey::from_canonical(Secret32::new(changed)) {
				Some(other) => assert_ne!(other.public(), key.public(), "bit {bit}"),
				None => refused += 1,
			}
		}
		assert_eq!(refused, 5, "the bits that X25519 ignores");
	}
}
