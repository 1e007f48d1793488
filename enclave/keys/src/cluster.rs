//! A cluster's own keys, made at random by its members and wrapped by the cluster secret of one
//! epoch and generation. A new generation wraps them anew; nothing is encrypted with a cluster
//! secret but these keys.

use crate::{
	aead::{self, Nonce, TAG_BYTES},
	error::Error,
	secret::Secret32,
};
use codec::{Decode, Encode};
use phala_protocol::{
	clusters::Generation,
	domains::{Domain, CLUSTER_WRAPPING, WRAPPED_KEY},
	keys::Epoch,
	mailbox::ClusterId,
};
use rand_core::CryptoRng;

/// The secret of one generation of a cluster in one epoch: see
/// [`crate::master::ClusterSecretSignature::cluster_secret`].
pub struct ClusterSecret {
	epoch: Epoch,
	cluster: ClusterId,
	generation: Generation,
	secret: Secret32,
}

/// What a cluster key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum ClusterKeyKind {
	/// Agents' state and effect sets.
	#[codec(index = 0)]
	Data,
	#[codec(index = 1)]
	Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct ClusterKeyId {
	pub kind: ClusterKeyKind,
	/// Counts the keys of a kind: re-encryption goes from one number to the next.
	pub number: u32,
}

/// A random key of a cluster.
pub struct ClusterKey {
	cluster: ClusterId,
	id: ClusterKeyId,
	secret: Secret32,
}

impl ClusterKey {
	pub fn generate(rng: &mut impl CryptoRng, cluster: ClusterId, id: ClusterKeyId) -> Self {
		Self { cluster, id, secret: Secret32::random(rng) }
	}

	pub fn cluster(&self) -> ClusterId {
		self.cluster
	}

	/// Which of the cluster's keys it is.
	pub fn id(&self) -> ClusterKeyId {
		self.id
	}

	/// The key itself. State goes through [`crate::state::StateCipher`] instead.
	pub fn secret(&self) -> &Secret32 {
		&self.secret
	}
}

/// A cluster key under a cluster secret: safe to store and to send.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WrappedKey {
	/// Epoch of the secret that wraps it.
	pub epoch: Epoch,
	pub cluster: ClusterId,
	/// Generation of the secret that wraps it.
	pub generation: Generation,
	pub id: ClusterKeyId,
	pub nonce: Nonce,
	/// The key, with a tag.
	pub ciphertext: [u8; 32 + TAG_BYTES],
}

/// HKDF info of the wrapping key.
#[derive(Encode)]
struct WrappingInfo {
	domain: Domain,
	epoch: Epoch,
	cluster: ClusterId,
	generation: Generation,
}

#[derive(Encode)]
struct WrappedKeyContext {
	domain: Domain,
	epoch: Epoch,
	cluster: ClusterId,
	generation: Generation,
	id: ClusterKeyId,
}

impl ClusterSecret {
	pub(crate) fn new(
		epoch: Epoch,
		cluster: ClusterId,
		generation: Generation,
		secret: Secret32,
	) -> Self {
		Self { epoch, cluster, generation, secret }
	}

	pub fn cluster(&self) -> ClusterId {
		self.cluster
	}

	/// Life of the master key that made it.
	pub fn epoch(&self) -> Epoch {
		self.epoch
	}

	pub fn generation(&self) -> Generation {
		self.generation
	}

	pub fn secret(&self) -> &Secret32 {
		&self.secret
	}

	/// Wraps a key of the same cluster.
	pub fn wrap(&self, rng: &mut impl CryptoRng, key: &ClusterKey) -> Result<WrappedKey, Error> {
		let Self { epoch, cluster, generation, .. } = *self;
		if key.cluster != cluster {
			return Err(Error::WrongKeyKind { wanted: "a key of the secret's own cluster" });
		}
		let context = self.context(key.id);
		let (nonce, sealed) =
			aead::encrypt(rng, &self.wrapping_key(), &context, key.secret.expose());
		let mut ciphertext = [0; 32 + TAG_BYTES];
		ciphertext.copy_from_slice(&sealed);
		Ok(WrappedKey { epoch, cluster, generation, id: key.id, nonce, ciphertext })
	}

	/// Unwraps a key that the same secret wrapped.
	pub fn unwrap(&self, wrapped: &WrappedKey) -> Result<ClusterKey, Error> {
		let WrappedKey { epoch, cluster, generation, id, .. } = *wrapped;
		if (epoch, cluster, generation) != (self.epoch, self.cluster, self.generation) {
			return Err(Error::WrongClusterSecret { cluster, epoch, generation });
		}
		let opened = aead::decrypt(
			&self.wrapping_key(),
			&self.context(id),
			&wrapped.nonce,
			&wrapped.ciphertext,
			"wrapped key",
		)?;
		let mut secret = [0; 32];
		secret.copy_from_slice(opened.expose());
		let key = ClusterKey { cluster, id, secret: Secret32::new(secret) };
		zeroize::Zeroize::zeroize(&mut secret);
		Ok(key)
	}

	fn wrapping_key(&self) -> Secret32 {
		let Self { epoch, cluster, generation, .. } = *self;
		let info = WrappingInfo { domain: CLUSTER_WRAPPING, epoch, cluster, generation };
		Secret32::derive(self.secret.expose(), &info)
	}

	fn context(&self, id: ClusterKeyId) -> WrappedKeyContext {
		let Self { epoch, cluster, generation, .. } = *self;
		WrappedKeyContext { domain: WRAPPED_KEY, epoch, cluster, generation, id }
	}
}
