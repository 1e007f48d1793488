//! The state machine. It takes everything as an argument: proofs, time, randomness. It has no
//! clock, no disk and no network, so a whole network of machines runs in one test.
//!
//! Untrusted bytes come in only through [`Machine::accept_genesis`] and [`Machine::sync`], and
//! both check everything before they change anything.

pub mod cluster;
mod error;
mod freshness;
mod gatekeeper;
mod outbox;
#[cfg(test)]
mod tests;
mod turn;

pub use error::MachineError;
use turn::Proofs;
pub use turn::Turn;

use crate::{limits, platform::Platform};
use cluster::{CallError, Membership};
use codec::{DecodeAll, Encode};
use freshness::Freshness;
use gatekeeper::Gatekeeper;
use outbox::Outbox;
use phala_keys::{boot::BootKeys, dkg::Outcome, master::SharingId};
use phala_light_client::{
	ChannelChange, FinalizedHeader, LightClient, MailboxReader, ProvenMessage, ProvenState,
};
use phala_protocol::{
	boot::{BootKeys as PublicKeys, BootNumber, BootStatement, WorkerId},
	keys::{Epoch, MasterKey},
	mailbox::{Channel, ClusterId, Envelope, InboundNext},
	messages::{
		ClustersMessage, KeysMessage, Message, Payload, RegistryMessage, RegistryPayload,
		Subscription,
	},
	relay::{
		ChannelPosition, EnclavePhase, EnclaveStatus, GenesisBundle, Registration, SyncBundle,
	},
	requests::SignedAnswer,
	storage_keys, AccountBytes, BlockNumber, H256,
};
use rand_core::CryptoRng;

/// What a boot is told at start. None of it is secret; all of it is bound into its evidence.
#[derive(Clone, Copy, Debug)]
pub struct Config {
	/// Hash of block 0 of the one chain that this enclave follows.
	pub genesis: H256,
	/// Its place in the network.
	pub worker: WorkerId,
}

/// How far a boot has come.
enum Phase {
	AwaitsGenesis,
	/// Follows headers, has not adopted its channels.
	FollowsHeaders(MailboxReader),
	/// Has adopted its channels at the header that its evidence is bound to.
	AwaitsRegistration {
		reader: MailboxReader,
		bound_to: FinalizedHeader,
	},
	/// Is the worker's boot.
	Registered(Box<Registered>),
	/// A later boot has the worker, or nobody.
	Over {
		boot: Option<BootNumber>,
		evicted: bool,
		height: BlockNumber,
	},
}

struct Registered {
	reader: MailboxReader,
	boot: BootNumber,
	expires_at: BlockNumber,
	outbox: Outbox,
	freshness: Freshness,
	/// Up to which number the chain has consumed this boot's envelopes.
	consumed: Option<u64>,
	master: Option<MasterInForce>,
	gatekeeper: Gatekeeper,
	membership: Option<Membership>,
	proofs: Proofs,
}

/// The master key that cluster secrets come from now.
pub struct MasterInForce {
	/// Its life.
	pub epoch: Epoch,
	/// Who has shares, and the public polynomial.
	pub outcome: Outcome,
}

/// What a sync changed, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
	/// Newest finalized block.
	pub height: BlockNumber,
	/// Messages applied.
	pub messages: usize,
	/// Messages whose body this version does not know: they are passed over, by number.
	pub unknown: Vec<(Channel, u64)>,
	/// The boot became the worker's.
	pub registered: Option<BootNumber>,
	/// The boot ended.
	pub over: bool,
}

/// One boot of one worker.
pub struct Machine {
	config: Config,
	keys: BootKeys,
	keys_made_ms: u64,
	phase: Phase,
}

impl Machine {
	/// A new boot, with new keys. `now_ms` is the TEE's own counter.
	pub fn boot(config: Config, now_ms: u64, rng: &mut impl CryptoRng) -> Self {
		Self {
			config,
			keys: BootKeys::generate(rng),
			keys_made_ms: now_ms,
			phase: Phase::AwaitsGenesis,
		}
	}

	/// The boot's public keys.
	pub fn public_keys(&self) -> PublicKeys {
		self.keys.public()
	}

	/// Starts the light client at block 0.
	///
	/// # Errors
	/// [`MachineError::WrongPhase`] when it has started; [`MachineError::Proof`].
	pub fn accept_genesis(&mut self, bundle: &GenesisBundle) -> Result<(), MachineError> {
		if !matches!(self.phase, Phase::AwaitsGenesis) {
			return Err(self.wrong_phase("it has its genesis already, and takes sync bundles"));
		}
		let client = LightClient::from_genesis(self.config.genesis, bundle)?;
		self.phase = Phase::FollowsHeaders(MailboxReader::new(client));
		Ok(())
	}

	/// Takes one step along the chain, and acts on all that was said until there.
	///
	/// # Errors
	/// Whatever the light client refuses. Nothing has changed then.
	pub fn sync(
		&mut self,
		bundle: SyncBundle,
		now_ms: u64,
		rng: &mut impl CryptoRng,
	) -> Result<SyncReport, MachineError> {
		let height = self.height();
		if bundle.steps.is_empty() {
			return Err(MachineError::NothingNew { height });
		}
		let reader = match &self.phase {
			Phase::AwaitsGenesis => {
				return Err(self.wrong_phase("it takes a genesis bundle first"));
			}
			Phase::Over { boot, .. } => return Err(MachineError::Over { boot: *boot }),
			Phase::FollowsHeaders(reader) | Phase::AwaitsRegistration { reader, .. } => reader,
			Phase::Registered(registered) => &registered.reader,
		};
		let keys = self.public_keys();
		let synced = reader.sync(bundle, |message| subscriptions(message, &keys))?;
		let header = *synced.reader.client().finalized();

		if matches!(self.phase, Phase::FollowsHeaders(_)) {
			// Headers that are days old are followed without adopting anything: a relayer brings
			// the heads once it has reached the present.
			let reader = match synced.reader.adopt(&synced.state, self.own_channels()) {
				Ok(reader) => reader,
				Err(phala_light_client::LightClientError::ProofIncomplete { .. }) => {
					self.phase = Phase::FollowsHeaders(synced.reader);
					return Ok(SyncReport { height: header.number(), ..Default::default() });
				}
				Err(refused) => return Err(refused.into()),
			};
			self.phase = Phase::AwaitsRegistration { reader, bound_to: header };
			return Ok(SyncReport { height: header.number(), ..Default::default() });
		}

		// The proof must say what the chain has consumed before anything is changed.
		let consumed = self.consumed(&synced.state)?;
		self.set_reader(synced.reader);
		let mut report = SyncReport { height: header.number(), ..Default::default() };
		for message in synced.messages {
			report.messages += 1;
			self.apply(&message, now_ms, rng, &mut report);
		}
		if let Phase::Registered(registered) = &mut self.phase {
			if let Some(next) = consumed {
				registered.outbox.confirm(next);
				if next.boot == registered.boot {
					registered.consumed = Some(next.seq);
				}
			}
		}
		self.beat(now_ms, rng);
		self.act(now_ms, rng);
		if let Phase::AwaitsRegistration { bound_to, .. } = &mut self.phase {
			if header.number().saturating_sub(bound_to.number()) > limits::EVIDENCE_AGE_MAX {
				*bound_to = header;
			}
		}
		Ok(report)
	}

	/// What `registry.register_boot` or `registry.renew_boot` is to be called with.
	///
	/// # Errors
	/// [`MachineError::WrongPhase`], [`MachineError::NoEvidence`].
	pub fn registration(
		&self,
		operator: AccountBytes,
		platform: &dyn Platform,
	) -> Result<Registration, MachineError> {
		let (header, renewal) = match &self.phase {
			Phase::AwaitsRegistration { bound_to, .. } => (*bound_to, false),
			Phase::Registered(registered) => (*registered.reader.client().finalized(), true),
			Phase::Over { boot, .. } => return Err(MachineError::Over { boot: *boot }),
			_ => return Err(self.wrong_phase("it takes headers up to the present first")),
		};
		let Config { genesis, worker } = self.config;
		let keys = self.public_keys();
		let statement = BootStatement::new(genesis, worker, operator, keys, header.hash());
		let evidence = platform
			.evidence(&statement.report_data())
			.map_err(|error| MachineError::NoEvidence(error.to_string()))?;
		Ok(Registration {
			worker,
			keys,
			evidence: evidence.encode(),
			recent_block: header.number(),
			renewal,
		})
	}

	/// All envelopes that the chain is not proven to have consumed, in order.
	pub fn envelopes(&self) -> Vec<Envelope> {
		match &self.phase {
			Phase::Registered(registered) => registered.outbox.waiting().cloned().collect(),
			_ => Vec::new(),
		}
	}

	/// Whether what needs a recent view of the chain may be done now.
	///
	/// # Errors
	/// [`MachineError::NotFresh`], [`MachineError::WrongPhase`] before registration, [`MachineError::Over`].
	pub fn require_fresh(&self, now_ms: u64) -> Result<(), MachineError> {
		match &self.phase {
			Phase::Registered(registered) => registered.freshness.require(now_ms),
			Phase::Over { boot, .. } => Err(MachineError::Over { boot: *boot }),
			_ => Err(self.wrong_phase("the chain has not registered it yet")),
		}
	}

	/// Most that the view of the chain can be old, in milliseconds; `None` before registration.
	pub fn view_age_ms(&self, now_ms: u64) -> Option<u64> {
		match &self.phase {
			Phase::Registered(registered) => Some(registered.freshness.age_ms(now_ms)),
			_ => None,
		}
	}

	/// The newest finalized block that was proven to it, if it follows the chain.
	pub fn finalized(&self) -> Option<(BlockNumber, H256)> {
		let header = self.reader()?.client().finalized();
		Some((header.number(), header.hash()))
	}

	/// Where it stands.
	pub fn status(&self) -> EnclaveStatus {
		let reader = self.reader();
		let channels = match (reader, &self.phase) {
			(Some(_), Phase::FollowsHeaders(_)) => self
				.own_channels()
				.into_iter()
				.map(|channel| ChannelPosition { channel, next_seq: None })
				.collect(),
			(Some(reader), _) => reader
				.channels()
				.iter()
				.map(|(channel, head)| ChannelPosition { channel, next_seq: Some(head.next_seq) })
				.collect(),
			(None, _) => Vec::new(),
		};
		EnclaveStatus {
			genesis: self.config.genesis,
			worker: self.config.worker,
			identity: self.public_keys().identity,
			phase: self.phase(),
			boot: match &self.phase {
				Phase::Registered(registered) => Some(registered.boot),
				Phase::Over { boot, .. } => *boot,
				_ => None,
			},
			height: self.height(),
			channels,
			queued: match &self.phase {
				Phase::Registered(registered) => registered.outbox.waiting().len() as u32,
				_ => 0,
			},
		}
	}

	fn phase(&self) -> EnclavePhase {
		match &self.phase {
			Phase::AwaitsGenesis => EnclavePhase::AwaitsGenesis,
			Phase::FollowsHeaders(_) => EnclavePhase::AwaitsFirstSync,
			Phase::AwaitsRegistration { .. } => EnclavePhase::AwaitsRegistration,
			Phase::Registered(registered) => {
				let height = registered.reader.client().height();
				if height.saturating_add(limits::RENEWAL_LEAD) >= registered.expires_at {
					EnclavePhase::AwaitsRenewal
				} else {
					EnclavePhase::Serving
				}
			}
			Phase::Over { evicted: true, .. } => EnclavePhase::Evicted,
			Phase::Over { evicted: false, .. } => EnclavePhase::Retired,
		}
	}

	fn reader(&self) -> Option<&MailboxReader> {
		match &self.phase {
			Phase::FollowsHeaders(reader) | Phase::AwaitsRegistration { reader, .. } => {
				Some(reader)
			}
			Phase::Registered(registered) => Some(&registered.reader),
			Phase::AwaitsGenesis | Phase::Over { .. } => None,
		}
	}

	fn set_reader(&mut self, new: MailboxReader) {
		match &mut self.phase {
			Phase::FollowsHeaders(reader) | Phase::AwaitsRegistration { reader, .. } => {
				*reader = new
			}
			Phase::Registered(registered) => registered.reader = new,
			Phase::AwaitsGenesis | Phase::Over { .. } => {}
		}
	}

	fn height(&self) -> BlockNumber {
		match &self.phase {
			Phase::Over { height, .. } => *height,
			_ => self.reader().map_or(0, |reader| reader.client().height()),
		}
	}

	fn own_channels(&self) -> [Channel; 2] {
		[Channel::System, Channel::Worker(self.config.worker)]
	}

	fn wrong_phase(&self, accepted: &'static str) -> MachineError {
		MachineError::WrongPhase { phase: self.phase(), accepted }
	}

	/// What the chain expects next from this worker; only asked once there is an outbox.
	fn consumed(&self, state: &ProvenState) -> Result<Option<InboundNext>, MachineError> {
		match &self.phase {
			Phase::Registered(_) => {
				Ok(state.read_as(&storage_keys::mailbox_next_envelope(self.config.worker))?)
			}
			_ => Ok(None),
		}
	}

	fn apply(
		&mut self,
		message: &ProvenMessage,
		now_ms: u64,
		rng: &mut impl CryptoRng,
		report: &mut SyncReport,
	) {
		let Ok(body) = Message::decode_all(&mut message.body()) else {
			// A later runtime may say what this version does not know. It is named, not fatal:
			// stopping here would let one upgrade stop every enclave.
			report.unknown.push((message.channel(), message.seq()));
			return;
		};
		match body {
			Message::Registry(message) => self.apply_registry(message, rng, report),
			Message::Keys(message) => self.apply_keys(message, now_ms, rng),
			Message::Clusters(message) => self.apply_clusters(message, now_ms, rng),
			Message::Agents(message) => {
				let _ = self.as_member(now_ms, rng, |member, _| member.apply_agents(message));
			}
			Message::Requests(message) => {
				let _ = self
					.as_member(now_ms, rng, |member, turn| member.apply_requests(message, turn));
			}
		}
	}

	fn apply_keys(&mut self, message: KeysMessage, now_ms: u64, rng: &mut impl CryptoRng) {
		match message {
			KeysMessage::MasterKey(key) => self.master_key(key),
			// Only a channel to follow: what to do is said there.
			KeysMessage::SeatedAsGatekeeper { .. } => {}
			KeysMessage::Seated { .. } | KeysMessage::KeyRequested(_) => {
				self.in_turn(now_ms, rng, |registered, turn| {
					registered.gatekeeper.apply(message, turn)
				});
			}
			KeysMessage::KeyRelease { boot, cluster, generation, release } => {
				let of_boot = self.registered_as(boot).is_some();
				let _ = self.as_member(now_ms, rng, |member, _| {
					if of_boot && member.cluster == cluster {
						member.ring.released(generation, &release);
					}
				});
			}
		}
	}

	fn apply_clusters(&mut self, message: ClustersMessage, now_ms: u64, rng: &mut impl CryptoRng) {
		match message {
			ClustersMessage::JoinedCluster { identity, snapshot } => {
				if let Some(registered) = self.registered_with(&identity) {
					let height = registered.reader.client().height();
					registered.membership = Some(Membership::join(snapshot, height));
				}
			}
			ClustersMessage::LeftCluster { identity, cluster } => {
				if let Some(registered) = self.registered_with(&identity) {
					// With it go its keys and all that it had open.
					registered.membership.take_if(|member| member.cluster == cluster);
				}
			}
			message => {
				let _ = self.as_member(now_ms, rng, |member, _| member.apply_clusters(message));
			}
		}
	}

	fn apply_registry(
		&mut self,
		message: RegistryMessage,
		rng: &mut impl CryptoRng,
		report: &mut SyncReport,
	) {
		match message {
			// What may run is the chain's business; an enclave learns of it for its log.
			RegistryMessage::MeasurementAllowed { .. }
			| RegistryMessage::MeasurementDelisted { .. } => {}
			RegistryMessage::Registered { boot, keys, expires_at } => {
				if keys != self.public_keys() {
					// A boot that was registered before this one is over; one that waits for its
					// own registration just saw somebody before it.
					if let Phase::Registered(registered) = &self.phase {
						let (boot, height) = (registered.boot, registered.reader.client().height());
						self.phase = Phase::Over { boot: Some(boot), evicted: false, height };
						report.over = true;
					}
					return;
				}
				if let Phase::AwaitsRegistration { reader, .. } = &self.phase {
					self.phase = Phase::Registered(Box::new(Registered {
						reader: reader.clone(),
						boot,
						expires_at,
						outbox: Outbox::new(self.config.genesis, self.config.worker, boot),
						freshness: Freshness::first_mark(self.keys_made_ms),
						consumed: None,
						master: None,
						gatekeeper: Gatekeeper::default(),
						membership: None,
						proofs: Proofs::default(),
					}));
					report.registered = Some(boot);
				}
			}
			RegistryMessage::Renewed { boot, expires_at } => {
				if let Some(registered) = self.registered_as(boot) {
					registered.expires_at = expires_at;
				}
			}
			RegistryMessage::HeartbeatSeen { boot, nonce } => {
				if let Some(registered) = self.registered_as(boot) {
					registered.freshness.seen(&nonce);
				}
			}
			RegistryMessage::Probe { nonce } => {
				self.say(&Payload::Registry(RegistryPayload::ProbeAnswered { nonce }), rng)
			}
			RegistryMessage::Evicted { boot } => {
				if let Some(registered) = self.registered_as(boot) {
					let height = registered.reader.client().height();
					self.phase = Phase::Over { boot: Some(boot), evicted: true, height };
					report.over = true;
				}
			}
		}
	}

	fn registered_as(&mut self, boot: BootNumber) -> Option<&mut Registered> {
		match &mut self.phase {
			Phase::Registered(registered) if registered.boot == boot => Some(registered),
			_ => None,
		}
	}

	fn registered_with(&mut self, identity: &[u8; 32]) -> Option<&mut Registered> {
		let own = self.public_keys().identity;
		match &mut self.phase {
			Phase::Registered(registered) if own == *identity => Some(registered),
			_ => None,
		}
	}

	/// Cluster secrets come from this key from now on.
	fn master_key(&mut self, key: MasterKey) {
		let Phase::Registered(registered) = &mut self.phase else { return };
		let MasterKey { epoch, attempt, outcome } = key;
		if registered.master.as_ref().is_some_and(|master| master.epoch >= epoch) {
			return;
		}
		match Outcome::decode_all(&mut &outcome[..]) {
			Ok(outcome) if outcome.sharing() == (SharingId { epoch, attempt }) => {
				registered.gatekeeper.serve(epoch);
				registered.master = Some(MasterInForce { epoch, outcome });
			}
			_ => tracing::error!(epoch, "the chain's master key is none"),
		}
	}

	/// A step of a registered boot; `None` in any other phase.
	fn in_turn<R: CryptoRng, T>(
		&mut self,
		now_ms: u64,
		rng: &mut R,
		step: impl FnOnce(&mut Roles<'_>, &mut Turn<'_, R>) -> T,
	) -> Option<T> {
		let Phase::Registered(registered) = &mut self.phase else { return None };
		let Registered {
			reader,
			boot,
			outbox,
			freshness,
			consumed,
			master,
			gatekeeper,
			membership,
			proofs,
			..
		} = &mut **registered;
		let mut turn = Turn {
			config: self.config,
			boot: *boot,
			keys: &self.keys,
			height: reader.client().height(),
			fresh: freshness.require(now_ms),
			outbox,
			proofs,
			rng,
		};
		let mut roles =
			Roles { consumed: *consumed, master: master.as_ref(), gatekeeper, membership };
		Some(step(&mut roles, &mut turn))
	}

	/// A step of a member of a cluster.
	///
	/// # Errors
	/// [`CallError::NotFresh`] before registration and after the end, [`CallError::NoCluster`].
	pub fn as_member<R: CryptoRng, T>(
		&mut self,
		now_ms: u64,
		rng: &mut R,
		step: impl FnOnce(&mut Membership, &mut Turn<'_, R>) -> T,
	) -> Result<T, CallError> {
		if let Err(refused @ (MachineError::WrongPhase { .. } | MachineError::Over { .. })) =
			self.require_fresh(now_ms)
		{
			return Err(CallError::NotFresh(refused));
		}
		self.in_turn(now_ms, rng, |roles, turn| {
			roles.membership.as_mut().map(|member| step(member, turn))
		})
		.flatten()
		.ok_or(CallError::NoCluster)
	}

	/// Does what its roles can do now.
	pub fn act(&mut self, now_ms: u64, rng: &mut impl CryptoRng) {
		self.in_turn(now_ms, rng, |roles, turn| {
			roles.gatekeeper.act(roles.master.map(|master| master.epoch), turn);
			if let Some(member) = roles.membership {
				member.act(roles.master, roles.consumed, turn);
			}
		});
	}

	/// A proof that this boot signed lately.
	pub fn proof(&self, id: &H256) -> Option<&SignedAnswer> {
		match &self.phase {
			Phase::Registered(registered) => registered.proofs.get(id),
			_ => None,
		}
	}

	/// Its number and chain, once registered.
	pub fn registered(&self) -> Option<BootNumber> {
		match &self.phase {
			Phase::Registered(registered) => Some(registered.boot),
			_ => None,
		}
	}

	/// The chain and the worker that it is for.
	pub fn config(&self) -> Config {
		self.config
	}

	/// The cluster that it is a member of, and whether it has that cluster's keys.
	pub fn cluster(&self) -> Option<(ClusterId, bool)> {
		match &self.phase {
			Phase::Registered(registered) => registered
				.membership
				.as_ref()
				.map(|member| (member.cluster, member.ring.is_ready())),
			_ => None,
		}
	}

	/// Signs and keeps `payload` for the chain. A full outbox loses it: whoever asked asks again.
	fn say(&mut self, payload: &Payload, rng: &mut impl CryptoRng) {
		if let Phase::Registered(registered) = &mut self.phase {
			let _ = registered.outbox.push(&self.keys, payload, rng);
		}
	}

	/// Sends a heartbeat when it is time for one.
	fn beat(&mut self, now_ms: u64, rng: &mut impl CryptoRng) {
		let mark = match &mut self.phase {
			Phase::Registered(registered) => registered.freshness.next_mark(now_ms, rng),
			_ => None,
		};
		if let Some(nonce) = mark {
			self.say(&Payload::Registry(RegistryPayload::Heartbeat { nonce }), rng);
		}
	}
}

/// What a registered boot can be, side by side.
struct Roles<'a> {
	consumed: Option<u64>,
	master: Option<&'a MasterInForce>,
	gatekeeper: &'a mut Gatekeeper,
	membership: &'a mut Option<Membership>,
}

/// Which channels a message makes its reader follow: a pure reading of its body.
fn subscriptions(message: &ProvenMessage, keys: &PublicKeys) -> Vec<ChannelChange> {
	let Ok(body) = Message::decode_all(&mut message.body()) else { return Vec::new() };
	match body.subscription(&keys.identity) {
		Some(Subscription::Follow(channel, head)) => vec![ChannelChange::Follow { channel, head }],
		Some(Subscription::Leave(channel)) => vec![ChannelChange::Unfollow { channel }],
		None => Vec::new(),
	}
}
