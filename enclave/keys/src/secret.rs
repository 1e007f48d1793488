//! Types for what must not leak: wiped on drop, no `Debug`, no `Display`, no `Clone`, no
//! `Encode`. Whoever wants the bytes says `expose`, which can be searched for.

use alloc::vec::Vec;
use codec::Encode;
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret32([u8; 32]);

impl Secret32 {
	/// Takes the bytes over. The caller wipes its own copy.
	pub fn new(bytes: [u8; 32]) -> Self {
		Self(bytes)
	}

	pub fn random(rng: &mut impl CryptoRng) -> Self {
		let mut secret = Self([0; 32]);
		rng.fill_bytes(&mut secret.0);
		secret
	}

	pub fn expose(&self) -> &[u8; 32] {
		&self.0
	}

	/// A second copy, on purpose.
	pub fn duplicate(&self) -> Self {
		Self(self.0)
	}

	/// HKDF-SHA256 (RFC 5869) without salt: `ikm` must already be uniform or of high entropy.
	/// `info` is the SCALE encoding of a named struct that starts with a domain.
	#[allow(clippy::expect_used)]
	pub(crate) fn derive(ikm: &[u8], info: &impl Encode) -> Self {
		let mut secret = Self([0; 32]);
		Hkdf::<Sha256>::new(None, ikm)
			.expand(&info.encode(), &mut secret.0)
			.expect("32 bytes are less than the 255 * 32 that HKDF-SHA256 can expand to; qed");
		secret
	}
}

/// In constant time.
impl PartialEq for Secret32 {
	fn eq(&self, other: &Self) -> bool {
		self.0.ct_eq(&other.0).into()
	}
}

impl Eq for Secret32 {}

/// Secret bytes of any length: an opened plaintext, an encoded key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
	pub fn new(bytes: Vec<u8>) -> Self {
		Self(bytes)
	}

	/// Empty, with room, so that filling it leaves no copy behind in a smaller allocation.
	pub(crate) fn with_capacity(bytes: usize) -> Self {
		Self(Vec::with_capacity(bytes))
	}

	pub fn expose(&self) -> &[u8] {
		&self.0
	}

	pub(crate) fn expose_mut(&mut self) -> &mut Vec<u8> {
		&mut self.0
	}
}
