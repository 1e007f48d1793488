//! A boot's sr25519 identity in the shape that the ceremony library asks for, so that no second
//! signing key has to be registered.

use crate::{
	boot::BootKeys,
	secret::Secret32,
	sr25519::{self, SigningKey},
};
use codec::Encode;
use commonware_codec::{Buf, Error as CodecError, FixedSize, Read, ReadExt, Write};
use commonware_cryptography::{BatchEntry, BatchVerifier, PublicKey, Signature, Signer, Verifier};
use commonware_math::algebra::Random;
use commonware_parallel::Strategy;
use commonware_utils::{Array, Span};
use core::{fmt, ops::Deref};
use phala_protocol::domains::{Domain, DKG_SIGNATURE};
use rand_core::CryptoRng;
use std::sync::Arc;

/// What is signed.
#[derive(Encode)]
struct CeremonyStatement<'a> {
	domain: Domain,
	namespace: &'a [u8],
	message: &'a [u8],
}

impl<'a> CeremonyStatement<'a> {
	fn encoded(namespace: &'a [u8], message: &'a [u8]) -> Vec<u8> {
		Self { domain: DKG_SIGNATURE, namespace, message }.encode()
	}
}

/// Shares the boot's key; there is no second copy of the secret.
#[derive(Clone)]
pub(crate) struct IdentitySigner(Arc<SigningKey>);

impl IdentitySigner {
	pub(crate) fn of(keys: &BootKeys) -> Self {
		Self(keys.signing_key())
	}
}

impl Signer for IdentitySigner {
	type Signature = IdentitySignature;
	type PublicKey = IdentityKey;

	fn public_key(&self) -> IdentityKey {
		IdentityKey(self.0.public())
	}

	fn sign(&self, namespace: &[u8], message: &[u8]) -> IdentitySignature {
		let statement = CeremonyStatement::encoded(namespace, message);
		IdentitySignature(self.0.sign_deterministic(&statement))
	}
}

/// Asked for by the trait; the ceremony never calls it.
impl Random for IdentitySigner {
	fn random(mut rng: impl CryptoRng) -> Self {
		Self(Arc::new(SigningKey::from_seed(&Secret32::random(&mut rng))))
	}
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IdentityKey(pub(crate) [u8; 32]);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IdentitySignature(pub(crate) [u8; 64]);

macro_rules! fixed_bytes {
	($name:ident, $bytes:expr) => {
		impl Write for $name {
			fn write(&self, buffer: &mut impl bytes::BufMut) {
				buffer.put_slice(&self.0);
			}
		}
		impl Read for $name {
			type Cfg = ();
			fn read_cfg(buffer: &mut impl Buf, _: &()) -> Result<Self, CodecError> {
				Ok(Self(<[u8; $bytes]>::read(buffer)?))
			}
		}
		impl FixedSize for $name {
			const SIZE: usize = $bytes;
		}
		impl AsRef<[u8]> for $name {
			fn as_ref(&self) -> &[u8] {
				&self.0
			}
		}
		impl Deref for $name {
			type Target = [u8];
			fn deref(&self) -> &[u8] {
				&self.0
			}
		}
		impl fmt::Debug for $name {
			fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
				write!(formatter, "{:02x?}", self.0)
			}
		}
		impl fmt::Display for $name {
			fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
				write!(formatter, "{:02x?}", self.0)
			}
		}
		impl Span for $name {}
		impl Array for $name {}
	};
}

// Bytes that are no point, or no signature, verify nothing: they need no check when read.
fixed_bytes!(IdentityKey, 32);
fixed_bytes!(IdentitySignature, 64);

impl Signature for IdentitySignature {}
impl PublicKey for IdentityKey {}

impl Verifier for IdentityKey {
	type Signature = IdentitySignature;

	fn verify(&self, namespace: &[u8], message: &[u8], signature: &IdentitySignature) -> bool {
		let statement = CeremonyStatement::encoded(namespace, message);
		sr25519::verify(&self.0, &statement, &signature.0)
	}
}

/// One by one: a ceremony has at most 64 acknowledgements for each dealer.
impl BatchVerifier for IdentityKey {
	fn verify_batch<'a, R, T, F>(_: &mut R, items: &'a [T], project: F, _: &impl Strategy) -> bool
	where
		R: CryptoRng,
		T: Sync,
		F: Fn(usize, &'a T) -> BatchEntry<'a, Self> + Sync,
	{
		!items.is_empty()
			&& items.iter().enumerate().all(|(index, item)| {
				let BatchEntry { namespace, message, public_key, signature } = project(index, item);
				public_key.verify(namespace, message, signature)
			})
	}
}
