//! A member's hold on its cluster's data keys.
//!
//! The cluster secret of an epoch and generation comes from the gatekeepers; it wraps the data
//! keys, which members made. The chain keeps the first set of wrapped keys for each epoch and
//! generation, while both are in force, so all members come to the same. A set is made only by a member
//! that has the keys of the newest set already, or where the cluster never had any: a set made from
//! older ones would lack what was written since.
//!
//! **Overtaken sets.** The next master key may serve before those of a set have come to it: nobody is
//! given the secret of an epoch that has passed. Then
//!
//! * who has the set's secret in hand, its maker first, opens it all the same, before anything else;
//! * who has all keys in it by number wraps them anew, whichever set it has them from. A number names
//!   one key: each set is made on the newest one before, and a new key has a number above all in it;
//! * of a set that nobody has wrapped anew for [`ORPHANED_KEYS_BLOCKS`], its maker is taken for gone. Who
//!   has the keys of the set before, or anybody if the cluster has no state yet, makes the next one
//!   without it, with a new data key: what was written under the lost one is lost with its maker, and
//!   members acknowledge nothing that they cannot open. Should the maker come back, it keeps what it has and brings it into
//!   the next set that it makes.

use crate::{
	limits::{KEY_REQUEST_PATIENCE, ORPHANED_KEYS_BLOCKS},
	task::{Combined, TaskId, Work},
	turn::{MasterInForce, Turn},
	MachineError,
};
use codec::{DecodeAll, Encode};
use phala_keys::{
	cluster::{ClusterKey, ClusterKeyId, ClusterKeyKind, ClusterSecret, WrappedKey},
	pages::PageCipher,
	release::ReleaseCollector,
	state::StateCipher,
	Error,
};
use phala_protocol::{
	agents::AgentId,
	clusters::{Generation, WrappedKeys},
	keys::Epoch,
	limits::KEY_REQUEST_DOUBLINGS_MAX,
	mailbox::{ClusterId, Lane},
	messages::{ClustersPayload, Payload},
	BlockNumber,
};
use rand_core::CryptoRng;
use std::{
	collections::{BTreeMap, VecDeque},
	sync::{Arc, Mutex},
};

/// Data keys by their numbers. Cheap to clone.
pub type DataKeys = BTreeMap<u32, Arc<ClusterKey>>;

/// Whose secret: the epoch of the master key and the generation of the cluster.
type Wrapping = (Epoch, Generation);

/// A set of wrapped keys on the chain.
struct KeySet {
	wrapping: Wrapping,
	/// `None` if they are of a form that this version does not know.
	keys: Option<Vec<WrappedKey>>,
}

impl From<WrappedKeys> for KeySet {
	fn from(set: WrappedKeys) -> Self {
		let WrappedKeys { epoch, generation, keys } = set;
		Self { wrapping: (epoch, generation), keys: Vec::decode_all(&mut &keys[..]).ok() }
	}
}

impl KeySet {
	fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
		self.keys.iter().flatten().map(|key| key.id.number)
	}
}

/// A newest set that cannot be opened here, under a master key that serves no more.
#[derive(Clone, Copy)]
struct Orphan {
	set: Wrapping,
	/// Under which its maker is to wrap it anew: with each it has all of the time again.
	master: Epoch,
	since: BlockNumber,
}

/// A key request under way.
struct Asked {
	wrapping: Wrapping,
	at: BlockNumber,
	/// How often it was made before, in vain.
	again: u32,
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
	keys: DataKeys,
	/// The newest that the chain has.
	newest: Option<KeySet>,
	/// The set that was opened last.
	adopted: Option<Wrapping>,
	orphan: Option<Orphan>,
	/// A set that was sent to the chain, and when.
	offered: Option<(Wrapping, BlockNumber)>,
}

/// For the pages of one agent, under one data key.
pub fn page_cipher(key: &ClusterKey, agent: AgentId) -> Option<PageCipher> {
	PageCipher::new(key, agent, 0, key.id().number).ok()
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
			newest: newest.map(KeySet::from),
			adopted: None,
			orphan: None,
			offered: None,
		}
	}

	/// With a key of its own making: of a cluster that no chain knows.
	#[cfg(feature = "development")]
	pub fn of_one(cluster: ClusterId, generation: Generation, rng: &mut impl CryptoRng) -> Self {
		let id = ClusterKeyId { kind: ClusterKeyKind::Data, number: 1 };
		let mut keyring = Self::new(cluster, generation, None);
		keyring.keys.insert(1, Arc::new(ClusterKey::generate(rng, cluster, id)));
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

	/// For pages, the newest key's first. A page names its data key by the key's number, in the place of the
	/// generation: wrapped keys do not say yet when they were made.
	pub fn page_ciphers(&self, agent: AgentId) -> Vec<PageCipher> {
		self.keys.values().rev().filter_map(|key| page_cipher(key, agent)).collect()
	}

	/// The newest key's.
	pub fn page_cipher(&self, agent: AgentId) -> Option<PageCipher> {
		page_cipher(self.keys.values().next_back()?, agent)
	}

	/// What members' questions are sealed under.
	pub fn question_keys(&self) -> DataKeys {
		self.keys.clone()
	}

	/// The chain took a set of wrapped keys.
	pub fn wrapped(&mut self, newest: WrappedKeys) {
		self.newest = Some(newest.into());
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

	/// Does the next thing on the way to the keys of the cluster's generation. `is_blank`: no agent of
	/// the cluster has a committed state.
	pub fn advance<R: CryptoRng>(
		&mut self,
		master: &MasterInForce,
		is_blank: bool,
		turn: &mut Turn<'_, R>,
	) {
		self.check_next_release(turn);
		if let Err(error) = self.open_newest() {
			tracing::warn!("the cluster's keys: {error}");
		}
		self.note_orphan(master.epoch, turn);
		let wanted = match &self.newest {
			// It comes first: only who has all of it can wrap it anew.
			Some(newest) if newest.wrapping.0 == master.epoch && !self.holds_newest() => {
				newest.wrapping
			}
			_ => (master.epoch, self.generation),
		};
		if self.adopted == Some(wanted) {
			return;
		}
		if self.secret.as_ref().is_some_and(|(wrapping, _)| *wrapping == wanted) {
			self.asked = None;
			if let Err(error) = self.wrap_anew(wanted, is_blank, turn) {
				tracing::warn!("the cluster's keys: {error}");
			}
			return;
		}
		// The chain lets it ask again ever later.
		let same = self.asked.as_ref().filter(|asked| asked.wrapping == wanted);
		let waits = same.is_some_and(|asked| {
			let doublings = asked.again.min(KEY_REQUEST_DOUBLINGS_MAX);
			let patience = KEY_REQUEST_PATIENCE.saturating_mul(1u32.wrapping_shl(doublings));
			turn.height.saturating_sub(asked.at) < patience
		});
		let again = same.map_or(0, |asked| asked.again.saturating_add(1));
		// Without room nothing can be asked; made all the same, its key would be made again at once.
		let can_ask =
			turn.is_fresh() && !turn.is_replaying && turn.outbox.has_room(Lane::Keys).is_ok();
		if !waits && can_ask {
			let (cluster, master, generation) = (self.cluster, master.outcome.clone(), wanted.1);
			let task = turn.compute(Work::AskForKeys { cluster, generation, master });
			let stage = AskStage::Preparing(task);
			let releases = VecDeque::new();
			self.asked = Some(Asked { wrapping: wanted, at: turn.height, again, stage, releases });
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

	/// Opens the newest set if its secret is in hand, of an epoch that has passed too.
	fn open_newest(&mut self) -> Result<(), Error> {
		let (Some(newest), Some((of, secret))) = (&self.newest, &self.secret) else {
			return Ok(());
		};
		if newest.wrapping != *of || self.adopted == Some(*of) {
			return Ok(());
		}
		let wrapped = newest.keys.as_ref().ok_or(Error::Malformed { what: "wrapped keys" })?;
		let opened: Vec<_> =
			wrapped.iter().map(|key| secret.unwrap(key)).collect::<Result<_, _>>()?;
		// What is not in it stays: it may have been made for want of who had that.
		self.keys.extend(opened.into_iter().map(|key| (key.id().number, Arc::new(key))));
		self.adopted = Some(*of);
		Ok(())
	}

	/// Whether all data keys of the newest set are here, from whichever set.
	fn holds_newest(&self) -> bool {
		self.newest.as_ref().is_none_or(|newest| {
			newest.keys.is_some() && newest.numbers().all(|number| self.keys.contains_key(&number))
		})
	}

	/// Notes since when the newest set waits for its maker.
	fn note_orphan<R>(&mut self, master: Epoch, turn: &Turn<'_, R>) {
		let waiting =
			self.newest.as_ref().map(|newest| newest.wrapping).filter(|(epoch, _)| {
				*epoch != master && !turn.is_replaying && !self.holds_newest()
			});
		self.orphan = waiting.map(|set| match self.orphan {
			Some(orphan) if (orphan.set, orphan.master) == (set, master) => orphan,
			_ => {
				let (epoch, generation) = set;
				tracing::warn!(
					epoch,
					generation,
					"the cluster's newest keys wait for a member that has them"
				);
				Orphan { set, master, since: turn.height }
			}
		});
	}

	/// With the wanted secret in hand: wraps what the chain does not have under it.
	fn wrap_anew<R: CryptoRng>(
		&mut self,
		wanted: Wrapping,
		is_blank: bool,
		turn: &mut Turn<'_, R>,
	) -> Result<(), Error> {
		let Some((_, secret)) = &self.secret else { return Ok(()) };
		let offered = self.offered.is_some_and(|(of, at)| {
			of == wanted && turn.height.saturating_sub(at) < KEY_REQUEST_PATIENCE
		});
		let is_there = self.newest.as_ref().is_some_and(|newest| newest.wrapping == wanted);
		let is_given_up = self.orphan.is_some_and(|orphan| {
			turn.height.saturating_sub(orphan.since) >= ORPHANED_KEYS_BLOCKS
				&& (is_blank || !self.keys.is_empty())
				&& turn.is_fresh()
		});
		if offered || is_there || !(self.holds_newest() || is_given_up) {
			// Somebody else has the keys, or is about to.
			return Ok(());
		}
		let mut wrapped = Vec::new();
		for key in self.keys.values() {
			wrapped.push(secret.wrap(turn.rng, key)?);
		}
		let generation_is_new = self.adopted.is_none_or(|(_, generation)| generation != wanted.1);
		if generation_is_new || is_given_up {
			// What is written from now on is not for those who left. And no number is given twice, of a
			// key that is lost neither.
			let numbers = self.newest.iter().flat_map(KeySet::numbers);
			let newest = numbers.chain(self.keys.keys().copied()).max().unwrap_or(0);
			let number = newest.saturating_add(1);
			let id = ClusterKeyId { kind: ClusterKeyKind::Data, number };
			let key = ClusterKey::generate(turn.rng, self.cluster, id);
			wrapped.push(secret.wrap(turn.rng, &key)?);
		}
		let (epoch, generation) = wanted;
		let keys = WrappedKeys { epoch, generation, keys: wrapped.encode() };
		let payload =
			Payload::Clusters(ClustersPayload::KeysWrapped { cluster: self.cluster, keys });
		if turn.submit(&payload).is_some() {
			if is_given_up {
				tracing::warn!(
					epoch,
					generation,
					"nobody who is left has the newest set of data keys: wraps those that this member has, and a new one; nothing is to be done"
				);
			}
			self.offered = Some((wanted, turn.height));
		}
		Ok(())
	}
}
