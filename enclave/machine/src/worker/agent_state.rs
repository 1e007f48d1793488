//! An agent's state as a member holds it decoded, and the literal writes of one run.
//!
//! In the sealed tree each part has a [`Space`] of its own. Every run writes one entry that is no part of
//! it: under [`RUN_KEY`] its random bytes. So no two runs ever lead to the same root, those that write
//! nothing else neither, and a root names what was run.

use crate::limits::STATE_ENTRY_BYTES;
use codec::{Decode, DecodeAll, Encode};
use phala_keys::{agent::AgentKeys, secret::SecretBytes};
use phala_protocol::{agents::StateVersion, BlockNumber, H256};
use phala_state::{Key, PageSource, Root, RunId, Scan, Snapshot, Space, StateError, Value, Writes};
use std::{collections::BTreeMap, sync::Arc};

/// What an agent keeps. Cheap to clone.
pub type Entries = Arc<BTreeMap<String, Arc<[u8]>>>;

/// A secret's value: wiped when the last holder lets go.
pub type Secrets = Arc<BTreeMap<String, Arc<SecretBytes>>>;

/// Where the agent's keys are, among its keys.
const KEYS_KEY: &[u8] = b"keys";

/// Where the last run's random bytes are, among the nonces: no nonce is empty.
const RUN_KEY: &[u8] = b"";

/// An agent's state at one version, decoded. Cheap to clone.
#[derive(Clone)]
pub struct AgentState {
	pub version: StateVersion,
	/// Of its root, as the chain has it; zero before its birth.
	pub hash: H256,
	pub root: Root,
	/// From version 1 on.
	pub keys: Option<Arc<AgentKeys>>,
	pub secrets: Secrets,
	pub entries: Entries,
	/// Keys and values together, each entry with [`STATE_ENTRY_BYTES`], in bytes.
	pub entry_bytes: u64,
	/// Sealed inputs that changed the state, by nonce, until they expire: none is taken twice.
	pub used_inputs: Arc<BTreeMap<[u8; 32], BlockNumber>>,
}

impl Default for AgentState {
	/// Before its birth.
	fn default() -> Self {
		Self {
			version: 0,
			hash: H256::zero(),
			root: Root::empty(phala_state::LAYOUTS.newest()),
			keys: None,
			secrets: Secrets::default(),
			entries: Entries::default(),
			entry_bytes: 0,
			used_inputs: Arc::default(),
		}
	}
}

/// What a run did to an agent.
#[derive(Clone, Default)]
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

/// What the members are sent of a run, under a seal: they make the same pages of it.
#[derive(Clone, Encode, Decode)]
pub struct RunWrites {
	pub run: RunId,
	pub writes: Writes,
}

impl Effects {
	/// As they are written on `base`: literally. What has expired at `height` is removed by name.
	pub fn written_on(
		&self,
		base: &AgentState,
		run: RunId,
		height: BlockNumber,
	) -> Result<RunWrites, StateError> {
		let mut writes = Writes::new();
		let mut write = |space, name: &[u8], value: Option<&[u8]>| {
			let value = value.map(|value| Value::new(value.to_vec())).transpose()?;
			writes.insert(Key::new(space, name)?, value);
			Ok::<_, StateError>(())
		};
		write(Space::Nonces, RUN_KEY, Some(&run))?;
		if let Some(keys) = &self.keys {
			write(Space::AgentKeys, KEYS_KEY, Some(keys))?;
		}
		for (name, value) in &self.secrets {
			write(Space::Secrets, name.as_bytes(), value.as_deref())?;
		}
		for (key, value) in &self.writes {
			write(Space::Entries, key.as_bytes(), value.as_deref())?;
		}
		if !self.used_inputs.is_empty() {
			let expired = base.used_inputs.iter().filter(|(_, expiry)| **expiry < height);
			for (nonce, _) in expired {
				write(Space::Nonces, nonce, None)?;
			}
			for (nonce, expiry) in &self.used_inputs {
				write(Space::Nonces, nonce, Some(&expiry.encode()))?;
			}
		}
		Ok(RunWrites { run, writes })
	}
}

const NOT_A_STATE: StateError = StateError::BadRoot { why: "it has entries that are no state" };

impl AgentState {
	/// The state that these writes led to.
	pub fn after(&self, writes: &Writes, root: Root) -> Result<Self, StateError> {
		let mut next = self.clone();
		for (key, value) in writes {
			next.take(key, value.as_ref())?;
		}
		next.set_root(root);
		Ok(next)
	}

	/// All of a state of which every page is at hand.
	pub fn read(source: &impl PageSource, root: Root) -> Result<Self, StateError> {
		let mut state = Self::default();
		let snapshot = Snapshot::new(source, root)?;
		for space in Space::ALL {
			for (key, value) in snapshot.scan(&Scan::all(space))?.entries {
				state.take(&key, Some(&value))?;
			}
		}
		state.set_root(root);
		Ok(state)
	}

	fn set_root(&mut self, root: Root) {
		self.version = root.version;
		self.hash = root.hash();
		self.root = root;
	}

	fn take(&mut self, key: &Key, value: Option<&Value>) -> Result<(), StateError> {
		let name = key.name();
		let text = || String::from_utf8(name.to_vec()).map_err(|_| NOT_A_STATE);
		match key.space() {
			Space::Entries => {
				let key = text()?;
				let size = |value: &[u8]| (name.len() + value.len()) as u64 + STATE_ENTRY_BYTES;
				let entries = Arc::make_mut(&mut self.entries);
				let new = value.map_or(0, |value| size(value.expose()));
				let old = match value {
					Some(value) => entries.insert(key, value.expose().into()),
					None => entries.remove(&key),
				};
				let old = old.map_or(0, |old| size(&old));
				self.entry_bytes = self.entry_bytes.saturating_sub(old).saturating_add(new);
			}
			Space::Secrets => {
				let secrets = Arc::make_mut(&mut self.secrets);
				match value {
					Some(value) => {
						let value = SecretBytes::new(value.expose().to_vec());
						secrets.insert(text()?, Arc::new(value))
					}
					None => secrets.remove(&text()?),
				};
			}
			Space::AgentKeys => {
				let keys = value.map(|value| {
					AgentKeys::from_secret_bytes(&SecretBytes::new(value.expose().to_vec()))
				});
				self.keys = keys.transpose().map_err(|_| NOT_A_STATE)?.map(Arc::new);
			}
			Space::Nonces if name == RUN_KEY => {}
			Space::Nonces => {
				let nonce = name.try_into().map_err(|_| NOT_A_STATE)?;
				let used = Arc::make_mut(&mut self.used_inputs);
				match value {
					Some(value) => {
						let expiry = BlockNumber::decode_all(&mut value.expose());
						used.insert(nonce, expiry.map_err(|_| NOT_A_STATE)?)
					}
					None => used.remove(&nonce),
				};
			}
			Space::Outbox | Space::Schedule => {}
		}
		Ok(())
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
