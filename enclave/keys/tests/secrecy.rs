//! Secrets cannot be printed, copied or encoded by accident: the traits are not there.

use core::fmt::{Debug, Display};
use core::marker::PhantomData;
use phala_keys::{
	agent::{AgentKeys, Ed25519Wallet, Secp256k1Wallet, SigningRoot, Sr25519Wallet},
	boot::BootKeys,
	cluster::{ClusterKey, ClusterSecret},
	dkg::{Dealer, Player},
	hpke::DecryptionKey,
	input::SealedInput,
	master::{ClusterSecretSignature, MasterShare, PartialSignature, VerifiedPartial},
	release::{PendingRequest, ReleaseCollector},
	secret::{Secret32, SecretBytes},
	state::StateCipher,
};

/// Whether a type has a trait: an inherent constant, where its bound holds, hides the trait's.
macro_rules! has {
	($type:ty, $trait:path) => {{
		#[allow(dead_code)]
		trait Lacks {
			const HAS: bool = false;
		}
		impl<T: ?Sized> Lacks for T {}
		struct Probe<T: ?Sized>(PhantomData<T>);
		#[allow(dead_code)]
		impl<T: ?Sized + $trait> Probe<T> {
			const HAS: bool = true;
		}
		<Probe<$type>>::HAS
	}};
}

macro_rules! assert_mute {
	($($type:ty),* $(,)?) => {$(
		assert!(!has!($type, Debug), "{} can be printed", stringify!($type));
		assert!(!has!($type, Display), "{} can be printed", stringify!($type));
		assert!(!has!($type, Clone), "{} can be copied", stringify!($type));
		assert!(!has!($type, codec::Encode), "{} can be encoded", stringify!($type));
	)*};
}

#[test]
fn no_secret_can_be_printed_copied_or_encoded() {
	assert_mute!(
		Secret32,
		SecretBytes,
		DecryptionKey,
		BootKeys,
		MasterShare,
		PartialSignature,
		VerifiedPartial,
		ClusterSecretSignature,
		ClusterSecret,
		ClusterKey,
		StateCipher,
		AgentKeys,
		SigningRoot,
		Sr25519Wallet,
		Ed25519Wallet,
		Secp256k1Wallet,
		SealedInput,
		PendingRequest,
		ReleaseCollector,
		Dealer,
		Player,
	);
}

#[test]
fn the_probe_itself_sees_traits() {
	assert!(has!(u8, Debug) && has!(u8, Clone) && has!(u8, codec::Encode));
	assert!(has!(phala_keys::hpke::Sealed, Debug));
}

#[test]
fn byte_secrets_are_wiped_on_drop() {
	assert!(has!(Secret32, zeroize::ZeroizeOnDrop));
	assert!(has!(SecretBytes, zeroize::ZeroizeOnDrop));
	assert!(has!(PartialSignature, zeroize::ZeroizeOnDrop));
	assert!(has!(ClusterSecretSignature, zeroize::ZeroizeOnDrop));
}
