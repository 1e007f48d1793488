//! A member's hold on its cluster's data keys.
//!
//! The cluster secret of an epoch and generation comes from the gatekeepers; it wraps the data
//! keys, which members made. The chain keeps the first set of wrapped keys for each epoch and
//! generation, so all members come to the same. A set is made only by a member that has the keys
//! already, or where the cluster never had any.

use super::super::{turn::Turn, MasterInForce};
use crate::limits::KEY_REQUEST_PATIENCE;
use codec::{DecodeAll, Encode};
use phala_keys::{
	cluster::{ClusterKey, ClusterKeyId, ClusterKeyKind, ClusterSecret, WrappedKey},
	release::{PartialRelease, PendingRequest, ReleaseCollector},
	state::StateCipher,
	Error,
};
use phala_protocol::{
	agents::AgentId,
	clusters::{Generation, WrappedKeys},
	keys::Epoch,
	mailbox::ClusterId,
	messages::{ClustersPayload, Payload},
	BlockNumber,
};
use rand_core::CryptoRng;
use std::{collections::BTreeMap, sync::Arc};

/// Whose secret: the epoch of the master key and the generation of the cluster.
type Wrapping = (Epoch, Generation);

struct Asked {
	wrapping: Wrapping,
	at: BlockNumber,
	collector: ReleaseCollector,
}

/// The data keys of one cluster.
pub struct KeyRing {
	cluster: ClusterId,
	secret: Option<(Wrapping, ClusterSecret)>,
	asked: Option<Asked>,
	keys: BTreeMap<u32, ClusterKey>,
	/// The newest that the chain has.
	newest: Option<WrappedKeys>,
	/// Of which set `keys` is.
	adopted: Option<Wrapping>,
	/// A set that was sent to the chain, and when.
	offered: Option<(Wrapping, BlockNumber)>,
}

impl KeyRing {
	/// Empty.
	pub fn new(cluster: ClusterId, newest: Option<WrappedKeys>) -> Self {
		let keys = BTreeMap::new();
		Self { cluster, secret: None, asked: None, keys, newest, adopted: None, offered: None }
	}

	/// Whether there are keys that the chain knows of.
	pub fn is_ready(&self) -> bool {
		self.adopted.is_some()
	}

	/// Whether the keys are those of this generation: what is written under older ones can be read
	/// by members that left.
	pub fn is_ready_for(&self, generation: Generation) -> bool {
		self.adopted.is_some_and(|(_, of)| of == generation)
	}

	/// For what is encrypted now.
	pub fn newest_cipher(&self, agent: AgentId) -> Option<StateCipher> {
		self.adopted?;
		let (_, key) = self.keys.last_key_value()?;
		StateCipher::new(key, agent).ok()
	}

	/// For what was encrypted under the data key with this number.
	pub fn cipher(&self, number: u32, agent: AgentId) -> Option<StateCipher> {
		StateCipher::new(self.keys.get(&number)?, agent).ok()
	}

	/// The chain took a set of wrapped keys.
	pub fn wrapped(&mut self, newest: WrappedKeys) {
		self.newest = Some(newest);
	}

	/// A gatekeeper answered.
	pub fn released(&mut self, generation: Generation, release: &[u8]) {
		let Some(mut asked) = self.asked.take() else { return };
		let complete = if asked.wrapping.1 == generation {
			match PartialRelease::decode_all(&mut &release[..]) {
				Ok(release) => asked.collector.add(&release),
				Err(_) => Err(Error::Malformed { what: "release" }),
			}
		} else {
			Ok(false)
		};
		match complete {
			Ok(true) => match asked.collector.finish() {
				Ok(secret) => self.secret = Some((asked.wrapping, secret)),
				Err(error) => tracing::warn!("no cluster secret: {error}"),
			},
			Ok(false) => self.asked = Some(asked),
			Err(error) => {
				tracing::warn!("refused a release: {error}");
				self.asked = Some(asked);
			}
		}
	}

	/// Does the next thing on the way to the keys of `generation`.
	pub fn act<R: CryptoRng>(
		&mut self,
		master: &MasterInForce,
		generation: Generation,
		turn: &mut Turn<'_, R>,
	) {
		// Without keys the newest wrapped ones come first: only who has them can wrap them anew.
		let newest = self.newest.as_ref().filter(|newest| newest.epoch == master.epoch);
		let generation = match (self.adopted, newest) {
			(None, Some(newest)) => newest.generation,
			_ => generation,
		};
		let wanted = (master.epoch, generation);
		if self.adopted == Some(wanted) {
			return;
		}
		if self.secret.as_ref().is_some_and(|(wrapping, _)| *wrapping == wanted) {
			self.asked = None;
			if let Err(error) = self.come_to_keys(wanted, turn) {
				tracing::warn!("the cluster's keys: {error}");
			}
			return;
		}
		let waits = self.asked.as_ref().is_some_and(|asked| {
			asked.wrapping == wanted && turn.height.saturating_sub(asked.at) < KEY_REQUEST_PATIENCE
		});
		if !waits && turn.is_fresh() {
			self.ask(master, generation, turn);
		}
	}

	fn ask<R: CryptoRng>(
		&mut self,
		master: &MasterInForce,
		generation: Generation,
		turn: &mut Turn<'_, R>,
	) {
		let (cluster, genesis) = (self.cluster, turn.config.genesis);
		let pending =
			PendingRequest::new(turn.rng, turn.config.worker, turn.boot, cluster, generation);
		let ephemeral_key = pending.request().ephemeral_key;
		let outcome = &master.outcome;
		let collector = ReleaseCollector::new(
			genesis,
			outcome.sharing(),
			outcome.polynomial().clone(),
			outcome.players(),
			Arc::new(pending),
		);
		match collector {
			Ok(collector) => {
				let payload = Payload::Clusters(ClustersPayload::KeyRequest {
					cluster,
					generation,
					ephemeral_key,
				});
				if turn.say(&payload).is_some() {
					let wrapping = (master.epoch, generation);
					self.asked = Some(Asked { wrapping, at: turn.height, collector });
				}
			}
			Err(error) => tracing::warn!("cannot ask for the cluster's secret: {error}"),
		}
	}

	/// With the wanted secret in hand: unwraps what the chain has, or wraps what it lacks.
	fn come_to_keys<R: CryptoRng>(
		&mut self,
		wanted: Wrapping,
		turn: &mut Turn<'_, R>,
	) -> Result<(), Error> {
		let Some((_, secret)) = &self.secret else { return Ok(()) };
		let held = self.newest.as_ref().map(|newest| (newest.epoch, newest.generation));
		if held == Some(wanted) {
			let bytes = self.newest.as_ref().map(|newest| &newest.keys[..]).unwrap_or_default();
			let wrapped = Vec::<WrappedKey>::decode_all(&mut &bytes[..])
				.map_err(|_| Error::Malformed { what: "wrapped keys" })?;
			let mut keys = BTreeMap::new();
			for wrapped in &wrapped {
				let key = secret.unwrap(wrapped)?;
				keys.insert(key.id().number, key);
			}
			self.keys = keys;
			self.adopted = Some(wanted);
			return Ok(());
		}
		let holds_keys = self.adopted.is_some();
		let offered = self.offered.is_some_and(|(of, at)| {
			of == wanted && turn.height.saturating_sub(at) < KEY_REQUEST_PATIENCE
		});
		if offered || (held.is_some() && !holds_keys) {
			// Somebody has the keys, or is about to.
			return Ok(());
		}
		let generation_is_new = held.is_none_or(|(_, generation)| generation != wanted.1);
		let mut wrapped = Vec::new();
		for key in self.keys.values() {
			wrapped.push(secret.wrap(turn.rng, key)?);
		}
		if generation_is_new {
			// What is written from now on is not for those who left.
			let number = self.keys.last_key_value().map_or(1, |(number, _)| number + 1);
			let id = ClusterKeyId { kind: ClusterKeyKind::Data, number };
			let key = ClusterKey::generate(turn.rng, self.cluster, id);
			wrapped.push(secret.wrap(turn.rng, &key)?);
		}
		let (epoch, generation) = wanted;
		let keys = WrappedKeys { epoch, generation, keys: wrapped.encode() };
		let payload =
			Payload::Clusters(ClustersPayload::KeysWrapped { cluster: self.cluster, keys });
		if turn.say(&payload).is_some() {
			self.offered = Some((wanted, turn.height));
		}
		Ok(())
	}
}
