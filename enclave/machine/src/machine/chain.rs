//! Along the chain: headers and the messages that they prove.

use super::*;

impl Machine {
	pub(super) fn accept_genesis(&mut self, genesis: ProvenGenesis) -> Result<(), MachineError> {
		if !matches!(self.phase, Phase::AwaitsGenesis) {
			return Err(self.wrong_phase("it has its genesis already, and takes sync bundles"));
		}
		tracing::info!("the chain's first authority set is proven; following headers");
		self.phase = Phase::FollowsHeaders(Arc::new(genesis.reader));
		self.changed = true;
		Ok(())
	}

	/// Takes one step along the chain.
	pub(super) fn sync<R: CryptoRng>(
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
					registered.consumed = Some(next.seqs);
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

	pub(super) fn set_reader(&mut self, new: Arc<MailboxReader>) {
		match &mut self.phase {
			Phase::FollowsHeaders(reader) | Phase::AwaitsRegistration { reader, .. } => {
				*reader = new
			}
			Phase::Registered(registered) => registered.reader = Some(new),
			Phase::AwaitsGenesis | Phase::Over { .. } | Phase::Suspended(_) => {}
		}
	}

	/// What the chain expects next from this worker; only asked once there is an outbox.
	pub(super) fn consumed(
		&self,
		state: &ProvenState,
	) -> Result<Option<InboundNext>, MachineError> {
		match &self.phase {
			Phase::Registered(_) => {
				Ok(state.read_as(&storage_keys::mailbox_next_envelope(self.config.worker))?)
			}
			_ => Ok(None),
		}
	}

	pub(super) fn apply<R: CryptoRng>(
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
				self.apply_registry(message, now, is_replaying, actions);
			}
			Message::Keys(message) => self.apply_keys(message, is_replaying, now, rng, actions),
			Message::Clusters(message) => {
				self.apply_clusters(message, is_replaying, now, rng, actions);
			}
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

	pub(super) fn apply_registry(
		&mut self,
		message: RegistryMessage,
		now: Instant,
		is_replaying: bool,
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
					registered.freshness.seen(&nonce, now);
				}
			}
			RegistryMessage::Probe { nonce } => {
				#[cfg(test)]
				assert_ne!(nonce, crate::tests::PANICS, "a planted failure");
				if !is_replaying {
					if let Phase::Registered(registered) = &mut self.phase {
						registered.probes.asked(nonce);
					}
				}
			}
			RegistryMessage::Evicted { boot } => {
				if self.registered_as(boot).is_some() {
					self.end(true, actions);
				}
			}
		}
	}

	pub(super) fn apply_keys<R: CryptoRng>(
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

	pub(super) fn apply_clusters<R: CryptoRng>(
		&mut self,
		message: ClustersMessage,
		is_replaying: bool,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) {
		match message {
			ClustersMessage::JoinedCluster { identity, snapshot } => {
				if self.is_own(&identity) {
					self.leave_cluster(is_replaying, actions);
					if let Phase::Registered(registered) = &mut self.phase {
						let has_left = std::mem::replace(&mut registered.was_member, true);
						registered.membership = Some(Membership::join(snapshot, has_left));
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
					self.leave_cluster(is_replaying, actions);
				}
			}
			message => {
				self.as_member(now, rng, actions, |member, turn| {
					member.on_clusters_message(message, turn)
				});
			}
		}
	}

	pub(super) fn apply_registration(
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
	pub(super) fn end(&mut self, evicted: bool, actions: &mut Vec<Action>) {
		self.leave_cluster(false, actions);
		if let Phase::Registered(registered) = &self.phase {
			let (boot, height) = (Some(registered.boot), registered.height());
			tracing::warn!(height, "this boot is over: restart for a new one");
			self.phase = Phase::Over { boot, evicted, height };
			self.beside.shares.clear();
			self.beside.answers = Answers::default();
			self.beside.adopted = None;
		}
	}

	/// With the membership go its keys and all that it had open.
	pub(super) fn leave_cluster(&mut self, is_replaying: bool, actions: &mut Vec<Action>) {
		let Phase::Registered(registered) = &mut self.phase else { return };
		let Some(member) = registered.membership.take() else { return };
		for to in member.leave() {
			actions.push(Action::Reply { to, answer: Err(MachineError::NoCluster) });
		}
		// Of a rebuilt machine it may be one that it had left long ago.
		if !is_replaying {
			actions.push(Action::Keep(Default::default()));
		}
	}

	pub(super) fn registered_as(&mut self, boot: BootNumber) -> Option<&mut Registered> {
		match &mut self.phase {
			Phase::Registered(registered) if registered.boot == boot => Some(registered),
			_ => None,
		}
	}

	pub(super) fn is_own(&self, identity: &[u8; 32]) -> bool {
		self.public_keys().identity == *identity
	}

	/// Cluster secrets come from this key from now on.
	pub(super) fn master_key(&mut self, key: MasterKey) {
		let Phase::Registered(registered) = &mut self.phase else { return };
		let MasterKey { epoch, attempt, outcome } = key;
		if registered.master.as_ref().is_some_and(|master| master.epoch >= epoch) {
			return;
		}
		match CeremonyOutcome::decode_all(&mut &outcome[..]) {
			Ok(outcome) if outcome.sharing() == (SharingId { epoch, attempt }) => {
				registered.gatekeeper.on_master_key(outcome.sharing(), &mut self.beside.shares);
				registered.master = Some(MasterInForce { epoch, outcome: Arc::new(outcome) });
			}
			_ => tracing::error!(epoch, "the chain's master key is none"),
		}
	}
}
