//! One boot of one worker: from genesis to its registration and its end.
//!
//! | module | does |
//! |---|---|
//! | this | turns: one event in, actions out; failures |
//! | [`ingress`] | brings each event to the part that it concerns |
//! | [`chain`] | follows headers, applies messages |
//! | [`view`] | what others may read, why they are refused |

mod chain;
mod ingress;
mod view;

use crate::{
	action::{Action, Answer, CallId, EvidenceRequest},
	event::{Culprit, Event},
	freshness::Freshness,
	gatekeeper::{Gatekeeper, Shares},
	limits,
	outbox::Outbox,
	probes::Probes,
	snapshot::{FreshnessView, Snapshot},
	task::TaskId,
	task::{Outcome, TaskDone, Work},
	turn::{MasterInForce, Tasks, Turn},
	verify::{ProvenBundle, ProvenGenesis},
	worker::{Answers, Membership},
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
	mailbox::{ByLane, Channel, InboundNext, Lane},
	messages::{ClustersMessage, KeysMessage, Message, Payload, RegistryMessage, RegistryPayload},
	relay::{ChannelPosition, EnclavePhase, EnclaveStatus, Registration},
	storage_keys, AccountBytes, BlockNumber, H256,
};
use rand_core::CryptoRng;
use std::{collections::BTreeSet, sync::Arc};

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
	pub probes: Probes,
	/// Up to which number of each lane the chain has consumed this boot's envelopes.
	pub consumed: Option<ByLane<u64>>,
	pub master: Option<MasterInForce>,
	pub gatekeeper: Gatekeeper,
	pub membership: Option<Membership>,
	/// It is, or was, in a cluster.
	pub was_member: bool,
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
			probes: Probes::default(),
			consumed: None,
			master: None,
			gatekeeper: Gatekeeper::default(),
			membership: None,
			was_member: false,
		}
	}

	/// Whether a mark could be sent. A rebuilt machine first reads up to what it had reached before. While
	/// nothing becomes final no more are made than are offered: hours of them would have to pass, one in
	/// so many blocks, before one came that is young.
	fn can_beat(&self, reached: BlockNumber) -> bool {
		self.reader.is_some()
			&& self.height() >= reached
			&& self.outbox.has_room(Lane::Liveness).is_ok()
			&& self.outbox.waiting(Lane::Liveness) < limits::LANE_OFFERED_MAX
	}

	/// A rebuilt machine reads what it had read up to `reached` before.
	fn is_replaying(&self, reached: BlockNumber) -> bool {
		self.reader.is_some() && self.height() < reached
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
	answers: Answers,
	failures: Vec<Culprit>,
	/// Ids are never given twice, so that nothing late is mistaken for something new.
	next_id: u64,
}

/// One boot of one worker.
pub struct Machine {
	config: Config,
	beside: Beside,
	phase: Phase,
	/// Cryptography that it gave out.
	tasks: Tasks,
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
	Agents(BTreeSet<AgentId>),
	/// A component or manifest, and the agents that it is of.
	Code(H256),
	/// Those who write agents.
	Watch,
	All,
	/// Nothing: it failed, outside of its turns, at what it cannot go on without.
	Failed,
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
				answers: Answers::default(),
				failures: Vec::new(),
				next_id: 0,
			},
			phase: Phase::AwaitsGenesis,
			tasks: Tasks::new(),
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
		if matches!(scope, Scope::Failed) {
			return self.fail();
		}
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
		let can_beat = registered.can_beat(self.beside.reached);
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
		self.tasks.clear();
		self.changed = false;
		vec![Action::Publish(Arc::new(self.snapshot()))]
	}

	/// As after a panic, but whoever waited is told.
	fn fail(&mut self) -> Vec<Action> {
		let mut waiting: Vec<CallId> = match &mut self.phase {
			Phase::Registered(registered) => {
				registered.membership.take().map(Membership::leave).unwrap_or_default()
			}
			_ => Vec::new(),
		};
		waiting.extend(self.tasks.values().filter_map(|given| match &*given.task.work {
			Work::Acknowledge { reply, .. } => Some(*reply),
			_ => None,
		}));
		let mut actions = self.recover();
		let answer = |to| Action::Reply { to, answer: Err(MachineError::Interrupted) };
		actions.extend(waiting.into_iter().map(answer));
		actions
	}

	/// As if a turn had failed on `culprit`.
	#[cfg(test)]
	pub(crate) fn fail_next(&mut self, culprit: Culprit) {
		self.culprit = Some(culprit);
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
			Scope::Nothing | Scope::Failed => {}
			Scope::Agent(agent) => {
				self.in_turn(now, rng, actions, |roles, turn| {
					let consumed = roles.consumed;
					if let Some(member) = roles.membership {
						member.advance_agent(agent, consumed, turn);
					}
				});
			}
			Scope::Agents(agents) => {
				self.in_turn(now, rng, actions, |roles, turn| {
					let consumed = roles.consumed;
					if let Some(member) = roles.membership {
						for agent in agents {
							member.advance_agent(agent, consumed, turn);
						}
					}
				});
			}
			Scope::Code(hash) => {
				self.in_turn(now, rng, actions, |roles, turn| {
					let consumed = roles.consumed;
					if let Some(member) = roles.membership {
						member.advance_code(hash, consumed, turn);
					}
				});
			}
			Scope::Watch => {
				self.as_member(now, rng, actions, |member, turn| member.watch_holders(turn))
			}
			Scope::All => {
				self.beat(now, rng, actions);
				self.in_turn(now, rng, actions, |roles, turn| {
					roles.probes.answer(turn);
					let serving = roles.master.map(|master| master.outcome.sharing());
					roles.gatekeeper.advance(serving, roles.shares, turn);
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

	/// A part of a turn of a registered boot; nothing in any other phase.
	fn in_turn<R: CryptoRng>(
		&mut self,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
		step: impl FnOnce(Roles<'_>, &mut Turn<'_, R>),
	) {
		let Phase::Registered(registered) = &mut self.phase else { return };
		let is_replaying = registered.is_replaying(self.beside.reached);
		let Registered {
			reader,
			boot,
			outbox,
			freshness,
			probes,
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
			is_replaying,
			is_rebuilt: !self.beside.failures.is_empty(),
			outbox,
			answers: &mut self.beside.answers,
			next_id: &mut self.beside.next_id,
			tasks: &mut self.tasks,
			actions,
			changed: &mut self.changed,
			#[cfg(feature = "development")]
			local: if reader.is_none() { Some(&mut self.local) } else { None },
			rng,
		};
		let roles = Roles {
			probes,
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

	/// A full lane loses it: whoever asked asks again.
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
		let reached = self.beside.reached;
		let mark = match &mut self.phase {
			Phase::Registered(registered) if registered.can_beat(reached) => {
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
	probes: &'a mut Probes,
	consumed: Option<ByLane<u64>>,
	master: Option<&'a MasterInForce>,
	gatekeeper: &'a mut Gatekeeper,
	membership: Option<&'a mut Membership>,
	shares: &'a mut Shares,
}
