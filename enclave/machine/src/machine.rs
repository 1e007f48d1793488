//! One boot of one worker: from genesis to its registration and its end.

use crate::{
	action::{Action, Answer, CallId, EvidenceRequest},
	event::{Culprit, Event},
	freshness::Freshness,
	gatekeeper::{Gatekeeper, Shares},
	limits,
	outbox::Outbox,
	snapshot::{FreshnessView, Snapshot},
	task::{Outcome, TaskDone},
	turn::{MasterInForce, Turn},
	verify::{ProvenBundle, ProvenGenesis},
	worker::Membership,
	Config, Instant, MachineError,
};
use codec::DecodeAll;
use phala_keys::{boot::BootKeys, dkg::Outcome as CeremonyOutcome, master::SharingId};
use phala_light_client::{
	FinalizedHeader, LightClientError, MailboxReader, ProvenMessage, ProvenState,
};
use phala_protocol::{
	agents::AgentId,
	boot::{BootKeys as PublicKeys, BootNumber, BootStatement},
	keys::MasterKey,
	mailbox::{Channel, InboundNext},
	messages::{ClustersMessage, KeysMessage, Message, Payload, RegistryMessage, RegistryPayload},
	relay::{ChannelPosition, EnclavePhase, EnclaveStatus, Registration},
	storage_keys, AccountBytes, BlockNumber, H256,
};
use rand_core::CryptoRng;
use std::sync::Arc;

/// How far a boot has come.
enum Phase {
	AwaitsGenesis,
	/// Follows headers, has not adopted its channels.
	FollowsHeaders(Arc<MailboxReader>),
	/// Has adopted its channels at the header that its evidence is bound to.
	AwaitsRegistration {
		reader: Arc<MailboxReader>,
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
	/// It failed twice on one input.
	Suspended(Box<Suspended>),
}

/// What a suspended boot still says of itself.
struct Suspended {
	refusal: MachineError,
	status: EnclaveStatus,
}

pub(crate) struct Registered {
	/// `None` where there is no chain.
	pub reader: Option<Arc<MailboxReader>>,
	pub boot: BootNumber,
	pub expires_at: BlockNumber,
	pub outbox: Outbox,
	pub freshness: Freshness,
	/// Up to which number the chain has consumed this boot's envelopes.
	pub consumed: Option<u64>,
	pub master: Option<MasterInForce>,
	pub gatekeeper: Gatekeeper,
	pub membership: Option<Membership>,
}

impl Registered {
	pub fn new(
		reader: Option<Arc<MailboxReader>>,
		boot: BootNumber,
		expires_at: BlockNumber,
		outbox: Outbox,
		freshness: Freshness,
	) -> Self {
		Self {
			reader,
			boot,
			expires_at,
			outbox,
			freshness,
			consumed: None,
			master: None,
			gatekeeper: Gatekeeper::default(),
			membership: None,
		}
	}

	fn height(&self) -> BlockNumber {
		self.reader.as_ref().map_or(0, |reader| reader.client().height())
	}
}

/// What outlives a failure: keys, and where the chain is to be read from again.
struct Beside {
	keys: Arc<BootKeys>,
	keys_made: Instant,
	shares: Shares,
	/// Where this boot adopted its channels: everything that concerns it was said after that.
	adopted: Option<(Arc<MailboxReader>, FinalizedHeader)>,
	/// How far it had come when it failed: what was said until there, it reads again.
	reached: BlockNumber,
	failures: Vec<Culprit>,
	/// Ids are never given twice, so that nothing late is mistaken for something new.
	next_id: u64,
}

/// One boot of one worker.
pub struct Machine {
	config: Config,
	beside: Beside,
	phase: Phase,
	/// On what it works.
	culprit: Option<Culprit>,
	/// Something that others may read has changed since it was published.
	changed: bool,
	#[cfg(feature = "development")]
	local: std::collections::VecDeque<phala_protocol::messages::AgentsMessage>,
}

/// What is to be looked at after an event.
enum Scope {
	Nothing,
	Agent(AgentId),
	All,
}

impl Machine {
	/// A new boot, with new keys.
	pub fn boot(config: Config, now: Instant, rng: &mut impl CryptoRng) -> Self {
		Self {
			config,
			beside: Beside {
				keys: Arc::new(BootKeys::generate(rng)),
				keys_made: now,
				shares: Shares::new(),
				adopted: None,
				reached: 0,
				failures: Vec::new(),
				next_id: 0,
			},
			phase: Phase::AwaitsGenesis,
			culprit: None,
			changed: false,
			#[cfg(feature = "development")]
			local: Default::default(),
		}
	}

	/// Takes one event in and says what is to be done about it. After a panic in here the machine is
	/// to be given to [`Self::recover`] and to nothing else.
	pub fn handle<R: CryptoRng>(&mut self, event: Event, now: Instant, rng: &mut R) -> Vec<Action> {
		let mut actions = Vec::new();
		self.culprit = Some(event.culprit());
		if let Phase::Suspended(suspended) = &self.phase {
			let refusal = suspended.refusal.clone();
			actions.extend(event.reply_to().map(|to| Action::Reply { to, answer: Err(refusal) }));
			return actions;
		}
		let scope = self.take_in(event, now, rng, &mut actions);
		self.advance(scope, now, rng, &mut actions);
		if std::mem::take(&mut self.changed) {
			// Before anybody hears of what changed: what they bring next is verified against it.
			actions.insert(0, Action::Publish(Arc::new(self.snapshot())));
		}
		self.culprit = None;
		actions
	}

	/// When [`Event::Tick`] is due, if nothing happens before.
	pub fn next_deadline(&self) -> Option<Instant> {
		let Phase::Registered(registered) = &self.phase else { return None };
		let can_beat = registered.reader.is_some() && registered.outbox.has_room().is_ok();
		let mark = can_beat.then(|| registered.freshness.next_mark_at());
		let timer = registered
			.membership
			.as_ref()
			.and_then(|member| member.timers.first())
			.map(|(at, _)| *at);
		[mark, timer].into_iter().flatten().min()
	}

	/// After a panic in [`Self::handle`]: rebuilds the machine from its keys; from where it adopted
	/// its channels, the chain is to be read again. The second failure on the same input, or too
	/// many of any kind, suspends the boot: its keys stay unused. Nobody who waited is answered.
	pub fn recover(&mut self) -> Vec<Action> {
		let culprit = self
			.culprit
			.take()
			.unwrap_or(Culprit::Event { kind: "nothing known", subject: H256::zero() });
		let status = self.status();
		// Without a chain there is nothing to rebuild it from.
		let has_no_chain =
			matches!(&self.phase, Phase::Registered(registered) if registered.reader.is_none());
		let is_last = has_no_chain
			|| self.beside.failures.contains(&culprit)
			|| self.beside.failures.len() >= limits::REBUILDS_MAX;
		tracing::error!(%culprit, "the machine failed");
		self.beside.reached = self.beside.reached.max(status.height);
		self.phase = if is_last {
			let refusal = MachineError::Suspended { culprit: culprit.to_string() };
			Phase::Suspended(Box::new(Suspended { refusal, status }))
		} else {
			match &self.beside.adopted {
				Some((reader, bound_to)) => {
					Phase::AwaitsRegistration { reader: reader.clone(), bound_to: *bound_to }
				}
				None => Phase::AwaitsGenesis,
			}
		};
		self.beside.failures.push(culprit);
		#[cfg(feature = "development")]
		self.local.clear();
		self.changed = false;
		vec![Action::Publish(Arc::new(self.snapshot()))]
	}

	/// As if a turn had failed on `culprit`.
	#[cfg(test)]
	pub(crate) fn fail_next(&mut self, culprit: Culprit) {
		self.culprit = Some(culprit);
	}

	/// The boot's public keys.
	pub fn public_keys(&self) -> PublicKeys {
		self.beside.keys.public()
	}

	/// The chain and the worker that it is for.
	pub fn config(&self) -> Config {
		self.config
	}

	fn take_in<R: CryptoRng>(
		&mut self,
		event: Event,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) -> Scope {
		match event {
			Event::Genesis { reply, genesis } => {
				let answer = self.accept_genesis(*genesis).map(|()| self.status_answer());
				actions.push(Action::Reply { to: reply, answer });
				Scope::Nothing
			}
			Event::Synced { reply, bundle } => {
				let synced = self.sync(*bundle, now, rng, actions);
				let scope = if synced.is_ok() { Scope::All } else { Scope::Nothing };
				// Heartbeats and what else comes of it are in the status that it gets.
				self.advance(scope, now, rng, actions);
				let answer = synced.map(|()| self.status_answer());
				actions.push(Action::Reply { to: reply, answer });
				Scope::Nothing
			}
			Event::RegistrationAsked { reply, operator } => {
				actions.push(match self.evidence_request(reply, operator) {
					Ok(request) => Action::MakeEvidence(request),
					Err(refused) => Action::Reply { to: reply, answer: Err(refused) },
				});
				Scope::Nothing
			}
			Event::EvidenceMade { request, evidence } => {
				let EvidenceRequest { reply, worker, keys, recent_block, renewal, .. } = request;
				let answer = evidence.map_err(MachineError::NoEvidence).map(|evidence| {
					let registration =
						Registration { worker, keys, evidence, recent_block, renewal };
					Answer::Registration(Box::new(registration))
				});
				actions.push(Action::Reply { to: reply, answer });
				Scope::Nothing
			}
			Event::Called { reply, call } => {
				let agent = call.agent;
				if let Err(refused) = self.require_member(now) {
					actions.push(Action::Reply { to: reply, answer: Err(refused) });
					return Scope::Nothing;
				}
				let is_write = call.writes();
				self.as_member(now, rng, actions, |member, turn| {
					member.on_call(reply, *call, turn)
				});
				if is_write {
					Scope::Agent(agent)
				} else {
					Scope::Nothing
				}
			}
			Event::RunEnded { agent, run, result } => {
				self.as_member(now, rng, actions, |member, turn| {
					member.on_run_ended(agent, run, result, turn)
				});
				Scope::Agent(agent)
			}
			Event::Computed(done) => self.computed(*done, now, rng, actions),
			Event::BodyBrought { reply, body } => {
				if let Err(refused) = self.require_member(now) {
					actions.push(Action::Reply { to: reply, answer: Err(refused) });
					return Scope::Nothing;
				}
				self.as_member(now, rng, actions, |member, turn| {
					member.on_body_brought(reply, *body, turn)
				});
				Scope::Nothing
			}
			Event::BodySent { to, agent, body_hash, acknowledgement } => {
				self.as_member(now, rng, actions, |member, _| {
					let members = member.members.clone();
					if let Some(agent) = member.agents.get_mut(&agent) {
						agent.body_sent(to, body_hash, acknowledgement, &members);
					}
				});
				Scope::Agent(agent)
			}
			Event::BodiesFetched { from, agent, first, bodies } => {
				self.as_member(now, rng, actions, |member, turn| {
					if let Some(agent) = member.agents.get_mut(&agent) {
						agent.bodies_fetched(from, first, bodies);
						*turn.changed = true;
					}
				});
				Scope::Agent(agent)
			}
			Event::CodeStored { hash } => {
				self.as_member(now, rng, actions, |member, _| member.code.stored(hash));
				Scope::All
			}
			Event::CodeNotFetched { from, hash } => {
				self.as_member(now, rng, actions, |member, _| member.code.not_fetched(from, hash));
				Scope::All
			}
			Event::Compiled { code, program } => {
				self.as_member(now, rng, actions, |member, turn| {
					member.code.compiled(code, program);
					*turn.changed = true;
				});
				Scope::All
			}
			Event::Tick => {
				self.as_member(now, rng, actions, |member, turn| member.on_tick(turn));
				Scope::All
			}
		}
	}

	fn computed<R: CryptoRng>(
		&mut self,
		done: TaskDone,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) -> Scope {
		let scope = match &done.outcome {
			Outcome::EnvelopeSigned(_) => Scope::Nothing,
			Outcome::Opened { agent, .. }
			| Outcome::Answered { agent, .. }
			| Outcome::BodySigned { agent, .. }
			| Outcome::AgentKeysMade { agent, .. } => Scope::Agent(*agent),
			Outcome::Acknowledged { .. } => Scope::Nothing,
			_ => Scope::All,
		};
		match done.outcome {
			Outcome::EnvelopeSigned(envelope) => {
				if let Phase::Registered(registered) = &mut self.phase {
					registered.outbox.signed(done.id, envelope);
					self.changed = true;
				}
			}
			Outcome::MasterKeyMade { .. } | Outcome::Released { .. } => {
				self.in_turn(now, rng, actions, |roles, turn| {
					roles.gatekeeper.on_computed(done, roles.shares, turn)
				});
			}
			_ => {
				self.as_member(now, rng, actions, |member, turn| member.on_computed(done, turn));
			}
		}
		scope
	}

	fn status_answer(&self) -> Answer {
		Answer::Status(Box::new(self.status()))
	}

	fn accept_genesis(&mut self, genesis: ProvenGenesis) -> Result<(), MachineError> {
		if !matches!(self.phase, Phase::AwaitsGenesis) {
			return Err(self.wrong_phase("it has its genesis already, and takes sync bundles"));
		}
		tracing::info!("the chain's first authority set is proven; following headers");
		self.phase = Phase::FollowsHeaders(Arc::new(genesis.reader));
		self.changed = true;
		Ok(())
	}

	/// Takes one step along the chain.
	fn sync<R: CryptoRng>(
		&mut self,
		bundle: ProvenBundle,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) -> Result<(), MachineError> {
		let Some(reader) = self.reader() else {
			return Err(match &self.phase {
				Phase::Over { boot, .. } => MachineError::Over { boot: *boot },
				_ => self.wrong_phase("it takes a genesis bundle first"),
			});
		};
		// It was proven outside of the turn: another may have come first.
		if bundle.from != reader.client().finalized().hash() {
			return Err(MachineError::NothingNew { height: self.height() });
		}
		let synced = bundle.synced;
		let header = *synced.reader.client().finalized();
		let reader = Arc::new(synced.reader);

		if matches!(self.phase, Phase::FollowsHeaders(_)) {
			// Headers that are days old are followed without adopting anything: a relayer brings
			// the heads once it has reached the present.
			self.phase = match reader.adopt(&synced.state, self.own_channels()) {
				Ok(adopted) => {
					let reader = Arc::new(adopted);
					self.beside.adopted = Some((reader.clone(), header));
					Phase::AwaitsRegistration { reader, bound_to: header }
				}
				Err(LightClientError::ProofIncomplete { .. }) => Phase::FollowsHeaders(reader),
				Err(refused) => return Err(refused.into()),
			};
			self.changed = true;
			return Ok(());
		}

		// The proof must say what the chain has consumed before anything is changed.
		let consumed = self.consumed(&synced.state)?;
		self.changed = true;
		self.set_reader(reader);
		let count = synced.messages.len();
		for message in synced.messages {
			self.culprit =
				Some(Culprit::Message { channel: message.channel(), seq: message.seq() });
			self.apply(&message, now, rng, actions);
		}
		if let Phase::Registered(registered) = &mut self.phase {
			if let Some(next) = consumed {
				registered.outbox.confirm(next);
				if next.boot == registered.boot {
					registered.consumed = Some(next.seq);
				}
			}
		}
		if let Phase::AwaitsRegistration { bound_to, .. } = &mut self.phase {
			if header.number().saturating_sub(bound_to.number()) > limits::EVIDENCE_AGE_MAX {
				*bound_to = header;
			}
		}
		tracing::debug!(height = header.number(), messages = count, "synced");
		Ok(())
	}

	/// Does all that can be done now.
	fn advance<R: CryptoRng>(
		&mut self,
		scope: Scope,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) {
		match scope {
			Scope::Nothing => {}
			Scope::Agent(agent) => {
				self.in_turn(now, rng, actions, |roles, turn| {
					let consumed = roles.consumed;
					if let Some(member) = roles.membership {
						member.advance_agent(agent, consumed, turn);
					}
				});
			}
			Scope::All => {
				self.beat(now, rng, actions);
				self.in_turn(now, rng, actions, |roles, turn| {
					let epoch = roles.master.map(|master| master.epoch);
					roles.gatekeeper.advance(epoch, roles.shares, turn);
					if let Some(member) = roles.membership {
						member.advance(roles.master, roles.consumed, turn);
					}
				});
			}
		}
		#[cfg(feature = "development")]
		self.commit_locally(now, rng, actions);
	}

	/// As [`Self::develop`] sets it up.
	#[cfg(feature = "development")]
	pub(crate) fn begin_without_chain(&mut self, registered: Registered) {
		self.phase = Phase::Registered(Box::new(registered));
		self.changed = true;
	}

	/// Where there is no chain, what was submitted is committed at once.
	#[cfg(feature = "development")]
	fn commit_locally<R: CryptoRng>(
		&mut self,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) {
		while let Some(message) = self.local.pop_front() {
			self.changed = true;
			self.in_turn(now, rng, actions, |roles, turn| {
				if let Some(member) = roles.membership {
					member.on_agents_message(message, turn);
					member.advance(None, None, turn);
				}
			});
		}
	}

	fn evidence_request(
		&self,
		reply: CallId,
		operator: AccountBytes,
	) -> Result<EvidenceRequest, MachineError> {
		let (header, renewal) = match &self.phase {
			Phase::AwaitsRegistration { bound_to, .. } => (*bound_to, false),
			Phase::Registered(registered) => match &registered.reader {
				Some(reader) => (*reader.client().finalized(), true),
				None => return Err(self.wrong_phase("there is no chain to register at")),
			},
			Phase::Over { boot, .. } => return Err(MachineError::Over { boot: *boot }),
			Phase::Suspended(suspended) => return Err(suspended.refusal.clone()),
			_ => return Err(self.wrong_phase("it takes headers up to the present first")),
		};
		let Config { genesis, worker } = self.config;
		let keys = self.public_keys();
		let statement = BootStatement::new(genesis, worker, operator, keys, header.hash());
		Ok(EvidenceRequest {
			reply,
			report_data: statement.report_data(),
			worker,
			keys,
			recent_block: header.number(),
			renewal,
		})
	}

	/// What can be read of it now.
	pub fn snapshot(&self) -> Snapshot {
		let registered = match &self.phase {
			Phase::Registered(registered) => Some(&**registered),
			_ => None,
		};
		let freshness = match &self.phase {
			Phase::Registered(registered) if registered.reader.is_some() => {
				FreshnessView::Marked(registered.freshness.newest_seen())
			}
			#[cfg(feature = "development")]
			Phase::Registered(_) => FreshnessView::NoChain,
			_ => FreshnessView::Refused(self.not_registered()),
		};
		Snapshot {
			config: self.config,
			keys: self.public_keys(),
			status: self.status(),
			finalized: self.reader().map(|reader| {
				let header = reader.client().finalized();
				(header.number(), header.hash())
			}),
			envelopes: registered
				.map(|registered| registered.outbox.signed_in_order().cloned().collect())
				.unwrap_or_default(),
			cluster: registered
				.and_then(|registered| registered.membership.as_ref())
				.map(Membership::view),
			suspended: match &self.phase {
				Phase::Suspended(suspended) => Some(suspended.refusal.clone()),
				_ => None,
			},
			freshness,
			reader: self.reader().cloned(),
		}
	}

	/// Where it stands.
	pub fn status(&self) -> EnclaveStatus {
		if let Phase::Suspended(suspended) = &self.phase {
			return suspended.status.clone();
		}
		let channels = match (self.reader(), &self.phase) {
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
				Phase::Registered(registered) => {
					u32::try_from(registered.outbox.len()).unwrap_or(u32::MAX)
				}
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
				let height = registered.height();
				if height.saturating_add(limits::RENEWAL_LEAD) >= registered.expires_at {
					EnclavePhase::AwaitsRenewal
				} else {
					EnclavePhase::Serving
				}
			}
			Phase::Over { evicted: true, .. } => EnclavePhase::Evicted,
			Phase::Over { evicted: false, .. } => EnclavePhase::Retired,
			Phase::Suspended(suspended) => suspended.status.phase,
		}
	}

	fn reader(&self) -> Option<&Arc<MailboxReader>> {
		match &self.phase {
			Phase::FollowsHeaders(reader) | Phase::AwaitsRegistration { reader, .. } => {
				Some(reader)
			}
			Phase::Registered(registered) => registered.reader.as_ref(),
			Phase::AwaitsGenesis | Phase::Over { .. } | Phase::Suspended(_) => None,
		}
	}

	fn set_reader(&mut self, new: Arc<MailboxReader>) {
		match &mut self.phase {
			Phase::FollowsHeaders(reader) | Phase::AwaitsRegistration { reader, .. } => {
				*reader = new
			}
			Phase::Registered(registered) => registered.reader = Some(new),
			Phase::AwaitsGenesis | Phase::Over { .. } | Phase::Suspended(_) => {}
		}
	}

	fn height(&self) -> BlockNumber {
		match &self.phase {
			Phase::Over { height, .. } => *height,
			Phase::Suspended(suspended) => suspended.status.height,
			_ => self.reader().map_or(0, |reader| reader.client().height()),
		}
	}

	fn own_channels(&self) -> [Channel; 2] {
		[Channel::System, Channel::Worker(self.config.worker)]
	}

	fn wrong_phase(&self, accepted: &'static str) -> MachineError {
		MachineError::WrongPhase { phase: self.phase(), accepted }
	}

	/// Why it does nothing for anybody, before it is registered and after its end.
	fn not_registered(&self) -> MachineError {
		match &self.phase {
			Phase::Over { boot, .. } => MachineError::Over { boot: *boot },
			Phase::Suspended(suspended) => suspended.refusal.clone(),
			_ => self.wrong_phase("the chain has not registered it yet"),
		}
	}

	fn require_member(&self, now: Instant) -> Result<(), MachineError> {
		match &self.phase {
			Phase::Registered(registered) if registered.membership.is_some() => Ok(()),
			Phase::Registered(registered) => {
				registered.freshness.require(now)?;
				Err(MachineError::NoCluster)
			}
			_ => Err(self.not_registered()),
		}
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

	fn apply<R: CryptoRng>(
		&mut self,
		message: &ProvenMessage,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) {
		let is_replaying = message.block() <= self.beside.reached;
		let Ok(body) = Message::decode_all(&mut message.body()) else {
			// A later runtime may say what this version does not know. It is named, not fatal:
			// stopping here would let one upgrade stop every enclave.
			let (channel, seq) = (message.channel(), message.seq());
			tracing::warn!(?channel, seq, "passed over a message of a later version");
			return;
		};
		match body {
			Message::Registry(message) => {
				self.apply_registry(message, is_replaying, now, rng, actions);
			}
			Message::Keys(message) => self.apply_keys(message, is_replaying, now, rng, actions),
			Message::Clusters(message) => self.apply_clusters(message, now, rng, actions),
			Message::Agents(message) => {
				self.as_member(now, rng, actions, |member, turn| {
					member.on_agents_message(message, turn)
				});
			}
			Message::Requests(message) => {
				self.as_member(now, rng, actions, |member, turn| {
					member.on_requests_message(message, turn)
				});
			}
		}
	}

	fn apply_registry<R: CryptoRng>(
		&mut self,
		message: RegistryMessage,
		is_replaying: bool,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) {
		match message {
			// What may run is the chain's business; an enclave learns of it for its log.
			RegistryMessage::MeasurementAllowed { .. }
			| RegistryMessage::MeasurementDelisted { .. } => {}
			RegistryMessage::Registered { boot, keys, expires_at } => {
				self.apply_registration(boot, keys, expires_at, actions);
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
				#[cfg(test)]
				assert_ne!(nonce, crate::tests::PANICS, "a planted failure");
				if !is_replaying {
					let answer = RegistryPayload::ProbeAnswered { nonce };
					self.submit(&Payload::Registry(answer), now, rng, actions);
				}
			}
			RegistryMessage::Evicted { boot } => {
				if self.registered_as(boot).is_some() {
					self.end(true, actions);
				}
			}
		}
	}

	fn apply_keys<R: CryptoRng>(
		&mut self,
		message: KeysMessage,
		is_replaying: bool,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) {
		match message {
			KeysMessage::MasterKey(key) => self.master_key(key),
			// Only a channel to follow: what to do is said there.
			KeysMessage::SeatedAsGatekeeper { .. } => {}
			KeysMessage::Seated { .. } | KeysMessage::KeyRequested(_) => {
				self.in_turn(now, rng, actions, |roles, turn| {
					turn.is_replaying = is_replaying;
					roles.gatekeeper.on_message(message, roles.shares, turn)
				});
			}
			KeysMessage::KeyRelease { boot, cluster, generation, release } => {
				if self.registered_as(boot).is_some() {
					self.as_member(now, rng, actions, |member, _| {
						if member.cluster == cluster {
							member.on_release(generation, release);
						}
					});
				}
			}
		}
	}

	fn apply_clusters<R: CryptoRng>(
		&mut self,
		message: ClustersMessage,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) {
		match message {
			ClustersMessage::JoinedCluster { identity, snapshot } => {
				if self.is_own(&identity) {
					self.leave_cluster(actions);
					if let Phase::Registered(registered) = &mut self.phase {
						registered.membership = Some(Membership::join(snapshot));
					}
				}
			}
			ClustersMessage::LeftCluster { identity, cluster } => {
				let is_it = match &self.phase {
					Phase::Registered(registered) => registered
						.membership
						.as_ref()
						.is_some_and(|member| member.cluster == cluster),
					_ => false,
				};
				if is_it && self.is_own(&identity) {
					self.leave_cluster(actions);
				}
			}
			message => {
				self.as_member(now, rng, actions, |member, turn| {
					member.on_clusters_message(message, turn)
				});
			}
		}
	}

	fn apply_registration(
		&mut self,
		boot: BootNumber,
		keys: PublicKeys,
		expires_at: BlockNumber,
		actions: &mut Vec<Action>,
	) {
		if keys != self.public_keys() {
			// A boot that was registered before this one is over; one that waits for its own
			// registration just saw somebody before it.
			if matches!(self.phase, Phase::Registered(_)) {
				self.end(false, actions);
			}
			return;
		}
		if let Phase::AwaitsRegistration { reader, .. } = &self.phase {
			tracing::info!(boot, "the chain registered this boot");
			self.phase = Phase::Registered(Box::new(Registered::new(
				Some(reader.clone()),
				boot,
				expires_at,
				Outbox::new(boot, !self.beside.failures.is_empty()),
				Freshness::first_mark(self.beside.keys_made),
			)));
		}
	}

	/// Another has the worker, or nobody: nothing of what this boot had stays.
	fn end(&mut self, evicted: bool, actions: &mut Vec<Action>) {
		self.leave_cluster(actions);
		if let Phase::Registered(registered) = &self.phase {
			let (boot, height) = (Some(registered.boot), registered.height());
			tracing::warn!(height, "this boot is over: restart for a new one");
			self.phase = Phase::Over { boot, evicted, height };
			self.beside.shares.clear();
			self.beside.adopted = None;
		}
	}

	/// With the membership go its keys and all that it had open.
	fn leave_cluster(&mut self, actions: &mut Vec<Action>) {
		let Phase::Registered(registered) = &mut self.phase else { return };
		let Some(member) = registered.membership.take() else { return };
		for to in member.leave() {
			actions.push(Action::Reply { to, answer: Err(MachineError::NoCluster) });
		}
		actions.push(Action::Keep(Default::default()));
	}

	fn registered_as(&mut self, boot: BootNumber) -> Option<&mut Registered> {
		match &mut self.phase {
			Phase::Registered(registered) if registered.boot == boot => Some(registered),
			_ => None,
		}
	}

	fn is_own(&self, identity: &[u8; 32]) -> bool {
		self.public_keys().identity == *identity
	}

	/// Cluster secrets come from this key from now on.
	fn master_key(&mut self, key: MasterKey) {
		let Phase::Registered(registered) = &mut self.phase else { return };
		let MasterKey { epoch, attempt, outcome } = key;
		if registered.master.as_ref().is_some_and(|master| master.epoch >= epoch) {
			return;
		}
		match CeremonyOutcome::decode_all(&mut &outcome[..]) {
			Ok(outcome) if outcome.sharing() == (SharingId { epoch, attempt }) => {
				registered.gatekeeper.on_master_key(epoch, &mut self.beside.shares);
				registered.master = Some(MasterInForce { epoch, outcome: Arc::new(outcome) });
			}
			_ => tracing::error!(epoch, "the chain's master key is none"),
		}
	}

	/// A part of a turn of a registered boot; nothing in any other phase.
	fn in_turn<R: CryptoRng>(
		&mut self,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
		step: impl FnOnce(Roles<'_>, &mut Turn<'_, R>),
	) {
		let Phase::Registered(registered) = &mut self.phase else { return };
		let Registered {
			reader,
			boot,
			outbox,
			freshness,
			consumed,
			master,
			gatekeeper,
			membership,
			..
		} = &mut **registered;
		let (height, block_hash) = match reader {
			Some(reader) => {
				let header = reader.client().finalized();
				(header.number(), header.hash())
			}
			None => (0, H256::zero()),
		};
		let mut turn = Turn {
			config: self.config,
			boot: *boot,
			keys: &self.beside.keys,
			now,
			height,
			block_hash,
			fresh: if reader.is_some() { freshness.require(now) } else { Ok(()) },
			is_replaying: false,
			outbox,
			next_id: &mut self.beside.next_id,
			actions,
			changed: &mut self.changed,
			#[cfg(feature = "development")]
			local: if reader.is_none() { Some(&mut self.local) } else { None },
			rng,
		};
		let roles = Roles {
			consumed: *consumed,
			master: master.as_ref(),
			gatekeeper,
			membership: membership.as_mut(),
			shares: &mut self.beside.shares,
		};
		step(roles, &mut turn);
	}

	/// A part of a turn of a member of a cluster; nothing for anybody else.
	fn as_member<R: CryptoRng>(
		&mut self,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
		step: impl FnOnce(&mut Membership, &mut Turn<'_, R>),
	) {
		self.in_turn(now, rng, actions, |roles, turn| {
			if let Some(member) = roles.membership {
				step(member, turn);
			}
		});
	}

	/// A full outbox loses it: whoever asked asks again.
	fn submit<R: CryptoRng>(
		&mut self,
		payload: &Payload,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) {
		self.in_turn(now, rng, actions, |_, turn| {
			turn.submit(payload);
		});
	}

	/// Sends a heartbeat when it is time for one.
	fn beat<R: CryptoRng>(&mut self, now: Instant, rng: &mut R, actions: &mut Vec<Action>) {
		let mark = match &mut self.phase {
			Phase::Registered(registered)
				if registered.reader.is_some() && registered.outbox.has_room().is_ok() =>
			{
				registered.freshness.next_mark(now, rng)
			}
			_ => None,
		};
		if let Some(nonce) = mark {
			let heartbeat = RegistryPayload::Heartbeat { nonce };
			self.submit(&Payload::Registry(heartbeat), now, rng, actions);
		}
	}
}

/// What a registered boot can be, side by side.
struct Roles<'a> {
	consumed: Option<u64>,
	master: Option<&'a MasterInForce>,
	gatekeeper: &'a mut Gatekeeper,
	membership: Option<&'a mut Membership>,
	shares: &'a mut Shares,
}
