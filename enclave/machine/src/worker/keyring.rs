//! A member's hold on its cluster's data keys.
//!
//! The cluster secret of an epoch and generation comes from the gatekeepers; it wraps the data
//! keys, which members made. The chain keeps the first set of wrapped keys for each epoch and
//! generation, so all members come to the same. A set is made only by a member that has the keys
//! of the newest set already, or where the cluster never had any: a set made from older ones would
//! lack what was written since.

use crate::{
	limits::KEY_REQUEST_PATIENCE,
	task::{Combined, TaskId, Work},
	turn::{MasterInForce, Turn},
	MachineError,
};
use codec::{DecodeAll, Encode};
use phala_keys::{
	cluster::{ClusterKey, ClusterKeyId, ClusterKeyKind, ClusterSecret, WrappedKey},
	release::ReleaseCollector,
	state::StateCipher,
	Error,
};
use phala_protocol::{
	agents::AgentId,
	clusters::{Generation, WrappedKeys},
	keys::Epoch,
	mailbox::{ClusterId, Lane},
	messages::{ClustersPayload, Payload},
	BlockNumber,
};
use rand_core::CryptoRng;
use std::{
	collections::{BTreeMap, VecDeque},
	sync::Mutex,
};

/// Whose secret: the epoch of the master key and the generation of the cluster.
type Wrapping = (Epoch, Generation);

/// A key request under way.
struct Asked {
	wrapping: Wrapping,
	at: BlockNumber,
	stage: AskStage,
	/// Releases that wait for the one before them to be checked.
	releases: VecDeque<Vec<u8>>,
}

enum AskStage {
	/// Its one-time key is being made.
	Preparing(TaskId),
	Collecting(Box<ReleaseCollector>),
	/// A release is being checked.
	Checking(TaskId),
}

/// The data keys of one cluster.
pub struct KeyRing {
	cluster: ClusterId,
	/// The cluster's, as the chain says: it counts those that left.
	generation: Generation,
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
	pub fn new(cluster: ClusterId, generation: Generation, newest: Option<WrappedKeys>) -> Self {
		Self {
			cluster,
			generation,
			secret: None,
			asked: None,
			keys: BTreeMap::new(),
			newest,
			adopted: None,
			offered: None,
		}
	}

	/// With a key of its own making: of a cluster that no chain knows.
	#[cfg(feature = "development")]
	pub fn of_one(cluster: ClusterId, generation: Generation, rng: &mut impl CryptoRng) -> Self {
		let id = ClusterKeyId { kind: ClusterKeyKind::Data, number: 1 };
		let mut keyring = Self::new(cluster, generation, None);
		keyring.keys.insert(1, ClusterKey::generate(rng, cluster, id));
		keyring.adopted = Some((0, generation));
		keyring
	}

	/// Whether there are keys that the chain knows of.
	pub fn is_ready(&self) -> bool {
		self.adopted.is_some()
	}

	/// A member left: what is written under the keys of before can be read by it.
	pub fn begin_generation(&mut self, generation: Generation) {
		self.generation = generation;
	}

	/// Whether the keys are those of the cluster's generation: no member that left knows the newest.
	pub fn is_current(&self) -> bool {
		self.adopted.is_some_and(|(_, of)| of == self.generation)
	}

	/// Number of the data key that encrypts now, if any may.
	pub fn sealing_number(&self) -> Option<u32> {
		self.sealing_key().map(|key| key.id().number)
	}

	/// For what is encrypted now; `None` until the keys are current.
	pub fn sealing_cipher(&self, agent: AgentId) -> Option<StateCipher> {
		StateCipher::new(self.sealing_key()?, agent).ok()
	}

	fn sealing_key(&self) -> Option<&ClusterKey> {
		let (_, key) = self.keys.last_key_value().filter(|_| self.is_current())?;
		Some(key)
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
	pub fn released(&mut self, generation: Generation, release: Vec<u8>) {
		if let Some(asked) = self.asked.as_mut().filter(|asked| asked.wrapping.1 == generation) {
			asked.releases.push_back(release);
		}
	}

	/// The one-time key of a request is made.
	pub fn request_made<R: CryptoRng>(
		&mut self,
		task: TaskId,
		ephemeral_key: [u8; 32],
		collector: Result<Box<ReleaseCollector>, MachineError>,
		turn: &mut Turn<'_, R>,
	) {
		let Some(asked) = &mut self.asked else { return };
		if !matches!(asked.stage, AskStage::Preparing(id) if id == task) {
			return;
		}
		let (cluster, generation) = (self.cluster, asked.wrapping.1);
		match collector {
			Ok(collector) => {
				let request = ClustersPayload::KeyRequest { cluster, generation, ephemeral_key };
				let payload = Payload::Clusters(request);
				if turn.submit(&payload).is_some() {
					asked.at = turn.height;
					asked.stage = AskStage::Collecting(collector);
				} else {
					// Asked again in a later turn.
					self.asked = None;
				}
			}
			// Asked again when its patience is over.
			Err(error) => tracing::warn!("cannot ask for the cluster's secret: {error}"),
		}
	}

	/// A release is checked.
	pub fn release_checked(&mut self, task: TaskId, combined: Combined) {
		let Some(asked) = &mut self.asked else { return };
		if !matches!(asked.stage, AskStage::Checking(id) if id == task) {
			return;
		}
		match combined {
			Combined::Secret(secret) => {
				self.secret = Some((asked.wrapping, secret));
				self.asked = None;
			}
			Combined::Collecting { collector, refused } => {
				if let Some(error) = refused {
					tracing::warn!("refused a release: {error}");
				}
				asked.stage = AskStage::Collecting(collector);
			}
			// Asked again when its patience is over.
			Combined::Nothing(error) => tracing::warn!("no cluster secret: {error}"),
		}
	}

	/// Does the next thing on the way to the keys of the cluster's generation.
	pub fn advance<R: CryptoRng>(&mut self, master: &MasterInForce, turn: &mut Turn<'_, R>) {
		self.check_next_release(turn);
		// Without keys the newest wrapped ones come first: only who has them can wrap them anew.
		let newest = self.newest.as_ref().filter(|newest| newest.epoch == master.epoch);
		let generation = match (self.adopted, newest) {
			(None, Some(newest)) => newest.generation,
			_ => self.generation,
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
		// Without room nothing can be asked; made all the same, its key would be made again at once.
		let can_ask =
			turn.is_fresh() && !turn.is_replaying && turn.outbox.has_room(Lane::Keys).is_ok();
		if !waits && can_ask {
			let (cluster, master) = (self.cluster, master.outcome.clone());
			let task = turn.compute(Work::AskForKeys { cluster, generation, master });
			let stage = AskStage::Preparing(task);
			let releases = VecDeque::new();
			self.asked = Some(Asked { wrapping: wanted, at: turn.height, stage, releases });
		}
	}

	fn check_next_release<R: CryptoRng>(&mut self, turn: &mut Turn<'_, R>) {
		let Some(mut asked) = self.asked.take() else { return };
		asked.stage = match asked.stage {
			AskStage::Collecting(collector) => match asked.releases.pop_front() {
				Some(release) => {
					let collector = Mutex::new(Some(collector));
					AskStage::Checking(turn.compute(Work::CombineRelease { collector, release }))
				}
				None => AskStage::Collecting(collector),
			},
			stage => stage,
		};
		self.asked = Some(asked);
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
		let holds_newest = held.is_none() || self.adopted == held;
		let offered = self.offered.is_some_and(|(of, at)| {
			of == wanted && turn.height.saturating_sub(at) < KEY_REQUEST_PATIENCE
		});
		if offered || !holds_newest {
			// Somebody else has the keys, or is about to.
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
		if turn.submit(&payload).is_some() {
			self.offered = Some((wanted, turn.height));
		}
		Ok(())
	}
}
