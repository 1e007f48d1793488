//! What others may read of it, and why it does nothing for them.

use super::*;

impl Machine {
	/// The boot's public keys.
	pub fn public_keys(&self) -> PublicKeys {
		self.beside.keys.public()
	}

	/// The chain and the worker that it is for.
	pub fn config(&self) -> Config {
		self.config
	}

	pub(super) fn status_answer(&self) -> Answer {
		Answer::Status(Box::new(self.status()))
	}

	pub(super) fn evidence_request(
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

	pub(super) fn phase(&self) -> EnclavePhase {
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

	pub(super) fn reader(&self) -> Option<&Arc<MailboxReader>> {
		match &self.phase {
			Phase::FollowsHeaders(reader) | Phase::AwaitsRegistration { reader, .. } => {
				Some(reader)
			}
			Phase::Registered(registered) => registered.reader.as_ref(),
			Phase::AwaitsGenesis | Phase::Over { .. } | Phase::Suspended(_) => None,
		}
	}

	pub(super) fn height(&self) -> BlockNumber {
		match &self.phase {
			Phase::Over { height, .. } => *height,
			Phase::Suspended(suspended) => suspended.status.height,
			_ => self.reader().map_or(0, |reader| reader.client().height()),
		}
	}

	pub(super) fn own_channels(&self) -> [Channel; 2] {
		[Channel::System, Channel::Worker(self.config.worker)]
	}

	pub(super) fn wrong_phase(&self, accepted: &'static str) -> MachineError {
		MachineError::WrongPhase { phase: self.phase(), accepted }
	}

	/// Why it does nothing for anybody, before it is registered and after its end.
	pub(super) fn not_registered(&self) -> MachineError {
		match &self.phase {
			Phase::Over { boot, .. } => MachineError::Over { boot: *boot },
			Phase::Suspended(suspended) => suspended.refusal.clone(),
			_ => self.wrong_phase("the chain has not registered it yet"),
		}
	}

	pub(super) fn require_member(&self, now: Instant) -> Result<(), MachineError> {
		match &self.phase {
			Phase::Registered(registered) if registered.membership.is_some() => Ok(()),
			Phase::Registered(registered) => {
				registered.freshness.require(now)?;
				Err(MachineError::NoCluster)
			}
			_ => Err(self.not_registered()),
		}
	}
}
