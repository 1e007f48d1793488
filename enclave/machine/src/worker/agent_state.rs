//! An agent's state as a member holds it, and what one effect set changes in it.

use crate::limits::STATE_ENTRY_BYTES;
use codec::{Decode, Encode};
use phala_keys::{agent::AgentKeys, secret::SecretBytes, Error};
use phala_protocol::{
	agents::{next_state_hash, StateVersion},
	BlockNumber, H256,
};
use std::{collections::BTreeMap, sync::Arc};

/// What an agent keeps. Cheap to clone.
pub type Entries = Arc<BTreeMap<String, Arc<[u8]>>>;

/// A secret's value: wiped when the last holder lets go.
pub type Secrets = Arc<BTreeMap<String, Arc<SecretBytes>>>;

/// An agent's state at one version. Cheap to clone.
#[derive(Clone, Default)]
pub struct AgentState {
	pub version: StateVersion,
	/// See [`next_state_hash`].
	pub hash: H256,
	/// From version 1 on.
	pub keys: Option<Arc<AgentKeys>>,
	pub secrets: Secrets,
	pub entries: Entries,
	/// Keys and values together, each entry with [`STATE_ENTRY_BYTES`], in bytes.
	pub entry_bytes: u64,
	/// Sealed inputs that changed the state, by nonce, until they expire: none is taken twice.
	pub used_inputs: Arc<BTreeMap<[u8; 32], BlockNumber>>,
}

/// The plaintext of an effect set's body.
#[derive(Clone, Default, Encode, Decode)]
pub struct Effects {
	/// At birth: the agent's keys.
	pub keys: Option<Vec<u8>>,
	/// Secrets by name; `None` removes one.
	pub secrets: Vec<(String, Option<Vec<u8>>)>,
	/// Entries by key; `None` removes one.
	pub writes: Vec<(String, Option<Vec<u8>>)>,
	/// Nonce and expiry of sealed inputs that caused it.
	pub used_inputs: Vec<([u8; 32], BlockNumber)>,
}

impl AgentState {
	/// The next version.
	///
	/// # Errors
	/// [`Error::Malformed`] for keys that are none.
	pub fn after(
		&self,
		effects: &Effects,
		body_hash: H256,
		height: BlockNumber,
	) -> Result<Self, Error> {
		let mut next = self.clone();
		next.version = self.version.saturating_add(1);
		next.hash = next_state_hash(self.hash, body_hash);
		if let Some(keys) = &effects.keys {
			let keys = AgentKeys::from_secret_bytes(&SecretBytes::new(keys.clone()))?;
			next.keys = Some(Arc::new(keys));
		}
		if !effects.secrets.is_empty() {
			let secrets = Arc::make_mut(&mut next.secrets);
			for (name, value) in &effects.secrets {
				match value {
					Some(value) => {
						secrets.insert(name.clone(), Arc::new(SecretBytes::new(value.clone())))
					}
					None => secrets.remove(name),
				};
			}
		}
		if !effects.writes.is_empty() {
			next.entry_bytes = self.bytes_after(&effects.writes);
			let entries = Arc::make_mut(&mut next.entries);
			for (key, value) in &effects.writes {
				match value {
					Some(value) => entries.insert(key.clone(), value.as_slice().into()),
					None => entries.remove(key),
				};
			}
		}
		if !effects.used_inputs.is_empty() {
			let used = Arc::make_mut(&mut next.used_inputs);
			used.retain(|_, expiry| *expiry >= height);
			used.extend(effects.used_inputs.iter().copied());
		}
		Ok(next)
	}

	/// Size of the entries if `writes` took effect; each key once.
	pub fn bytes_after(&self, writes: &[(String, Option<Vec<u8>>)]) -> u64 {
		writes.iter().fold(self.entry_bytes, |bytes, (key, value)| {
			let size = |value: &[u8]| (key.len() + value.len()) as u64 + STATE_ENTRY_BYTES;
			let old = self.entries.get(key).map_or(0, |old| size(old));
			let new = value.as_ref().map_or(0, |new| size(new));
			bytes.saturating_sub(old).saturating_add(new)
		})
	}
}
