//! XChaCha20-Poly1305 with a random nonce: 24 bytes, so that random ones do not collide.

use crate::{
	error::Error,
	secret::{Secret32, SecretBytes},
};
use chacha20poly1305::{
	aead::{Aead, KeyInit, Payload},
	XChaCha20Poly1305,
};
use codec::Encode;
use rand_core::CryptoRng;

pub const NONCE_BYTES: usize = 24;
/// Bytes that a ciphertext is longer than its plaintext.
pub const TAG_BYTES: usize = 16;

pub(crate) type Nonce = [u8; NONCE_BYTES];

/// Encrypts under a new random nonce. `aad` is a named struct that starts with a domain.
#[allow(clippy::expect_used)]
pub(crate) fn encrypt(
	rng: &mut impl CryptoRng,
	key: &Secret32,
	aad: &impl Encode,
	plaintext: &[u8],
) -> (Nonce, Vec<u8>) {
	let mut nonce = [0; NONCE_BYTES];
	rng.fill_bytes(&mut nonce);
	let ciphertext = XChaCha20Poly1305::new(key.expose().into())
		.encrypt((&nonce).into(), Payload { msg: plaintext, aad: &aad.encode() })
		.expect("plaintexts are bounded far below the 256 GiB that the cipher takes; qed");
	(nonce, ciphertext)
}

/// Decrypts; `what` names it in the error.
pub(crate) fn decrypt(
	key: &Secret32,
	aad: &impl Encode,
	nonce: &Nonce,
	ciphertext: &[u8],
	what: &'static str,
) -> Result<SecretBytes, Error> {
	XChaCha20Poly1305::new(key.expose().into())
		.decrypt(nonce.into(), Payload { msg: ciphertext, aad: &aad.encode() })
		.map(SecretBytes::new)
		.map_err(|_| Error::DoesNotOpen { what })
}
