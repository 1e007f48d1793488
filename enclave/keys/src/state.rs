//! Encryption of one agent's state: its values, and the bodies of its effect sets.
//!
//! Each agent has its own key under the cluster's data key. A ciphertext is bound to the agent,
//! the version that wrote it and the entry it belongs to: it cannot be moved. That an *older*
//! value is not put back is the state store's work; it knows which version wrote which entry.

use crate::{
	aead::{self, Nonce},
	cluster::{ClusterKey, ClusterKeyKind},
	error::Error,
	limits::{STATE_NAME_BYTES_MAX, STATE_VALUE_BYTES_MAX},
	padding::{self, Steps},
	secret::{Secret32, SecretBytes},
};
use codec::{Decode, Encode};
use phala_protocol::{
	agents::{AgentId, StateVersion},
	domains::{
		Domain, STATE_BODY, STATE_BODY_HASH, STATE_KEY, STATE_NAMES, STATE_NAME_TAG, STATE_VALUE,
	},
	mailbox::ClusterId,
};
use rand_core::CryptoRng;
use sp_crypto_hashing::blake2_256;

/// What storage sees instead of an entry's name.
pub type NameTag = [u8; 32];

/// A value of an agent's state, encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SealedValue {
	/// Number of the cluster's data key.
	pub key_number: u32,
	pub nonce: Nonce,
	/// The padded value, with a tag.
	pub ciphertext: Vec<u8>,
}

/// The body of an effect set, encrypted. The chain knows its [`SealedBody::hash`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SealedBody {
	/// Number of the cluster's data key.
	pub key_number: u32,
	pub nonce: Nonce,
	/// The padded body, with a tag.
	pub ciphertext: Vec<u8>,
}

#[derive(Encode)]
struct BodyHashContent<'a> {
	domain: Domain,
	body: &'a SealedBody,
}

impl SealedBody {
	/// BLAKE2b-256 over the ciphertext, its nonce and key number: says nothing of the plaintext,
	/// and who has the ciphertext can check it without any key.
	pub fn hash(&self) -> [u8; 32] {
		blake2_256(&BodyHashContent { domain: STATE_BODY_HASH, body: self }.encode())
	}
}

#[derive(Encode)]
struct StateKeyInfo {
	domain: Domain,
	cluster: ClusterId,
	agent: AgentId,
	key_number: u32,
}

#[derive(Encode)]
struct ValueContext {
	domain: Domain,
	cluster: ClusterId,
	agent: AgentId,
	key_number: u32,
	version: StateVersion,
	name: NameTag,
}

#[derive(Encode)]
struct BodyContext {
	domain: Domain,
	cluster: ClusterId,
	agent: AgentId,
	key_number: u32,
	base_version: StateVersion,
	new_version: StateVersion,
}

/// Encrypts and decrypts one agent's state under one data key.
pub struct StateCipher {
	cluster: ClusterId,
	agent: AgentId,
	key_number: u32,
	values: Secret32,
	names: Secret32,
}

impl StateCipher {
	/// Of `agent`, under a data key of its cluster.
	pub fn new(key: &ClusterKey, agent: AgentId) -> Result<Self, Error> {
		if key.id().kind != ClusterKeyKind::Data {
			return Err(Error::WrongKeyKind { wanted: "a data key" });
		}
		let (cluster, key_number) = (key.cluster(), key.id().number);
		let derive = |domain| {
			let info = StateKeyInfo { domain, cluster, agent, key_number };
			Secret32::derive(key.secret().expose(), &info)
		};
		let (values, names) = (derive(STATE_KEY), derive(STATE_NAMES));
		Ok(Self { cluster, agent, key_number, values, names })
	}

	/// What storage sees instead of `name`: a keyed hash. It changes with the data key.
	pub fn name_tag(&self, name: &[u8]) -> Result<NameTag, Error> {
		check_length("state entry name", name.len(), STATE_NAME_BYTES_MAX)?;
		Ok(*Secret32::derive(self.names.expose(), &NameTagInfo { domain: STATE_NAME_TAG, name })
			.expose())
	}

	/// Encrypts the value that version `version` writes to the entry tagged `name`.
	pub fn seal_value(
		&self,
		rng: &mut impl CryptoRng,
		version: StateVersion,
		name: &NameTag,
		value: &[u8],
	) -> Result<SealedValue, Error> {
		check_length("state value", value.len(), STATE_VALUE_BYTES_MAX)?;
		let padded = padding::pad(Steps::StateValue, value)?;
		let context = self.value_context(version, name);
		let (nonce, ciphertext) = aead::encrypt(rng, &self.values, &context, padded.expose());
		Ok(SealedValue { key_number: self.key_number, nonce, ciphertext })
	}

	/// Decrypts what version `version` wrote to the entry tagged `name`.
	pub fn open_value(
		&self,
		version: StateVersion,
		name: &NameTag,
		sealed: &SealedValue,
	) -> Result<SecretBytes, Error> {
		let context = self.value_context(version, name);
		let SealedValue { nonce, ciphertext, .. } = sealed;
		let padded = aead::decrypt(&self.values, &context, nonce, ciphertext, "state value")?;
		Ok(SecretBytes::new(padding::unpad(Steps::StateValue, padded.expose())?.to_vec()))
	}

	/// Encrypts the body of the effect set that leads from `base_version` to `new_version`.
	pub fn seal_body(
		&self,
		rng: &mut impl CryptoRng,
		base_version: StateVersion,
		new_version: StateVersion,
		body: &[u8],
	) -> Result<SealedBody, Error> {
		let padded = padding::pad(Steps::Message, body)?;
		let context = self.body_context(base_version, new_version);
		let (nonce, ciphertext) = aead::encrypt(rng, &self.values, &context, padded.expose());
		Ok(SealedBody { key_number: self.key_number, nonce, ciphertext })
	}

	/// Decrypts the body of the effect set that leads from `base_version` to `new_version`.
	pub fn open_body(
		&self,
		base_version: StateVersion,
		new_version: StateVersion,
		sealed: &SealedBody,
	) -> Result<SecretBytes, Error> {
		let context = self.body_context(base_version, new_version);
		let SealedBody { nonce, ciphertext, .. } = sealed;
		let padded = aead::decrypt(&self.values, &context, nonce, ciphertext, "effect set body")?;
		Ok(SecretBytes::new(padding::unpad(Steps::Message, padded.expose())?.to_vec()))
	}

	fn value_context(&self, version: StateVersion, name: &NameTag) -> ValueContext {
		let Self { cluster, agent, key_number, .. } = *self;
		ValueContext { domain: STATE_VALUE, cluster, agent, key_number, version, name: *name }
	}

	fn body_context(&self, base_version: StateVersion, new_version: StateVersion) -> BodyContext {
		let Self { cluster, agent, key_number, .. } = *self;
		BodyContext { domain: STATE_BODY, cluster, agent, key_number, base_version, new_version }
	}
}

#[derive(Encode)]
struct NameTagInfo<'a> {
	domain: Domain,
	name: &'a [u8],
}

fn check_length(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), Error> {
	if bytes > bytes_max {
		return Err(Error::TooLong { what, bytes, bytes_max });
	}
	Ok(())
}
