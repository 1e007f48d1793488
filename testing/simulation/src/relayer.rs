//! The relayers, one beside each process: pherry's own decisions ([`BodyPlan`], [`EnvelopeBook`],
//! [`RegistrationGate`]), against this chain instead of a node, and against the machine instead of its
//! relay server. What is brought is encoded and decoded on the way.

use crate::{
	chain::Chain,
	host::{HostId, Waiting},
	simulation::{Happening, Simulation},
	villains::Villain,
};
use codec::Encode;
use phala_light_client::{decode_genesis_bundle, decode_sync_bundle};
use phala_machine::{Answer, Event, MachineError};
use phala_pherry::{
	bundle::{follows_none, proven_keys, BodyPlan},
	envelopes::EnvelopeBook,
	registration::RegistrationGate,
};
use phala_protocol::{
	mailbox::{Envelope, InboundNext},
	relay::{ChannelBodies, EnclavePhase, EnclaveStatus, Registration, SyncBundle},
	BlockNumber,
};
use phala_runtime::{test_support::transactions, Runtime};
use std::{
	collections::BTreeSet,
	time::{Duration, Instant},
};

/// What one relayer remembers.
#[derive(Default)]
pub struct Relayer {
	book: EnvelopeBook,
	gate: RegistrationGate,
	/// Who it really is, and until when.
	pub villain: Option<(Box<dyn Villain>, u64)>,
	/// What the machine answered to what was just brought.
	pub answer: Option<Result<Answer, MachineError>>,
}

/// What an honest relayer brings to an enclave to move it to block `to`.
pub fn sync_bundle(chain: &Chain, status: &EnclaveStatus, to: BlockNumber) -> SyncBundle {
	let mut plan = BodyPlan::new(status);
	loop {
		let asked = plan.take_unasked();
		if asked.is_empty() {
			break;
		}
		for position in asked {
			let Some(from) = position.next_seq else { continue };
			let messages = chain.messages(position.channel, from, to);
			if !messages.is_empty() {
				plan.bring(ChannelBodies { channel: position.channel, messages });
			}
		}
	}
	let keys = proven_keys(status, plan.followed());
	SyncBundle {
		steps: chain.steps(status.height, to),
		state_proof: chain.proof(to, &keys),
		bodies: plan.into_bodies(),
	}
}

impl Simulation {
	/// One turn of pherry's loop.
	pub(crate) fn relay(&mut self, id: HostId) {
		let now_ms = self.now_ms();
		let pause = self.random.relayers.within(crate::limits::RELAY_MS);
		let Some(host) = self.hosts.get_mut(&id) else { return };
		host.relayer.villain.take_if(|(_, until)| *until <= now_ms);
		let pause = match &host.relayer.villain {
			Some((villain, _)) => villain.pause(pause, &mut self.random.villains),
			None => pause,
		};
		let status = host.snapshot.status.clone();
		if matches!(status.phase, EnclavePhase::Retired | EnclavePhase::Evicted) {
			return self.relayer_ended(id);
		}
		self.scheduler.after(pause, Happening::Relay(id));
		if self.is_cut_off(id.worker) {
			return;
		}
		if status.phase == EnclavePhase::AwaitsGenesis {
			return self.bring_genesis(id);
		}
		let status = self.bring_finality(id, status);
		let Some(host) = self.hosts.get(&id) else { return };
		if host.snapshot.suspended.is_some() {
			return;
		}
		if matches!(status.phase, EnclavePhase::AwaitsRegistration | EnclavePhase::AwaitsRenewal)
			&& status.height == self.seen_by(id)
		{
			self.ask_for_registration(id, &status);
		}
		if status.boot.is_some() && status.queued > 0 {
			self.submit_envelopes(id, &status);
		}
	}

	/// The newest final block that this relayer's node shows.
	fn seen_by(&self, id: HostId) -> BlockNumber {
		let finalized = self.chain.finalized();
		match self.hosts.get(&id).and_then(|host| host.relayer.villain.as_ref()) {
			Some((villain, _)) => villain.sees(finalized),
			None => finalized,
		}
	}

	fn bring_genesis(&mut self, id: HostId) {
		let bytes = self.chain.genesis_bundle().encode();
		let Some(host) = self.hosts.get_mut(&id) else { return };
		let brought = decode_genesis_bundle(&bytes)
			.map_err(MachineError::from)
			.and_then(|bundle| host.snapshot.prove_genesis(bundle));
		match brought {
			Ok(genesis) => {
				let (reply, genesis) = (host.wait(Waiting::Relayer), Box::new(genesis));
				self.tell(id, Event::Genesis { reply, genesis });
			}
			Err(refused) => self.violated(format!("{id:?} refused the genesis: {refused}")),
		}
	}

	/// Brings what is final and new; where the enclave stands then.
	fn bring_finality(&mut self, id: HostId, status: EnclaveStatus) -> EnclaveStatus {
		let to = self.seen_by(id);
		if to <= status.height {
			return status;
		}
		let honest = sync_bundle(&self.chain, &status, to);
		let Some(host) = self.hosts.get(&id) else { return status };
		if let Some((villain, _)) = &host.relayer.villain {
			if villain.drops(&mut self.random.villains) {
				return status;
			}
			let mut lie = honest.clone();
			let is_lie = !follows_none(&status)
				&& villain.twist(&self.chain, &status, to, &mut lie, &mut self.random.villains);
			let (name, twice) = (villain.name(), villain.repeats());
			if is_lie {
				self.bring_lie(id, name, &lie);
			}
			if twice {
				let first = self.bring(id, &honest);
				if let Err(refused) = first {
					self.violated(format!("{id:?} refused an honest bundle: {refused}"));
				}
				if self.bring(id, &honest).is_ok() {
					self.violated(format!("{id:?} took one bundle twice"));
				}
				return self.status_of(id).unwrap_or(status);
			}
		}
		match self.bring(id, &honest) {
			Ok(()) | Err(MachineError::Suspended { .. }) => {}
			Err(refused) => self.violated(format!("{id:?} refused an honest bundle: {refused}")),
		}
		self.status_of(id).unwrap_or(status)
	}

	fn status_of(&self, id: HostId) -> Option<EnclaveStatus> {
		self.hosts.get(&id).map(|host| host.snapshot.status.clone())
	}

	/// What is false is refused by name and changes nothing.
	fn bring_lie(&mut self, id: HostId, villain: &str, lie: &SyncBundle) {
		let before = self.status_of(id);
		match self.bring(id, lie) {
			Ok(()) => self.violated(format!("{id:?} believed {villain}")),
			Err(refused) => {
				self.counts.lies_refused += 1;
				self.trace.note(self.scheduler.now_ms(), "lie", &(id, refused.to_string()));
			}
		}
		if self.status_of(id) != before {
			self.violated(format!("{villain} changed {id:?}, which refused it"));
		}
	}

	fn bring(&mut self, id: HostId, bundle: &SyncBundle) -> Result<(), MachineError> {
		let bytes = bundle.encode();
		let Some(host) = self.hosts.get_mut(&id) else { return Ok(()) };
		let proven = host.snapshot.prove(decode_sync_bundle(&bytes)?)?;
		let (reply, bundle) = (host.wait(Waiting::Relayer), Box::new(proven));
		host.relayer.answer = None;
		self.tell(id, Event::Synced { reply, bundle });
		let answer = self.hosts.get_mut(&id).and_then(|host| host.relayer.answer.take());
		answer.unwrap_or(Err(MachineError::Interrupted)).map(drop)
	}

	/// The gate asks how long something took; no clock is read for it.
	fn gate_now(&self) -> Instant {
		self.origin + Duration::from_millis(self.now_ms())
	}

	fn ask_for_registration(&mut self, id: HostId, status: &EnclaveStatus) {
		let now = self.gate_now();
		let operator = self.operator_of(id.worker);
		let identity = status.identity;
		let is_there = status.phase == EnclavePhase::AwaitsRegistration
			&& self
				.chain
				.read(|| pallet_registry::Boots::<Runtime>::get(id.worker))
				.is_some_and(|boot| boot.keys.identity == identity);
		let best = self.chain.height();
		let is_pending = self.chain.has_waiting(&operator.id);
		let Some(host) = self.hosts.get_mut(&id) else { return };
		if !host.relayer.gate.is_open(status.height, now) {
			return;
		}
		if is_there || is_pending {
			host.relayer.gate.wait_for(best + 1);
			return;
		}
		let reply = host.wait(Waiting::Registration);
		self.tell(id, Event::RegistrationAsked { reply, operator: operator.bytes() });
	}

	/// What the enclave is to be registered with came.
	pub(crate) fn register(&mut self, id: HostId, registration: Registration) {
		let operator = self.operator_of(id.worker);
		let Registration { worker, keys, evidence, recent_block, renewal } = registration;
		let call = if renewal {
			pallet_registry::Call::renew_boot { worker, evidence, recent_block }
		} else {
			pallet_registry::Call::register_boot { worker, keys, evidence, recent_block }
		};
		let submitted = self.chain.sign(&operator, call);
		let (best, now) = (self.chain.height(), self.gate_now());
		let Some(host) = self.hosts.get_mut(&id) else { return };
		match submitted {
			Ok(()) => host.relayer.gate.wait_for(best + 1),
			Err(_) => host.relayer.gate.failed(now),
		}
	}

	fn submit_envelopes(&mut self, id: HostId, status: &EnclaveStatus) {
		let best = self.chain.height();
		let Some(next) = self.next_envelope(status) else { return };
		let Some(host) = self.hosts.get_mut(&id) else { return };
		let offered: Vec<Envelope> =
			host.snapshot.envelopes.iter().map(|envelope| (**envelope).clone()).collect();
		let mut due = match &host.relayer.villain {
			Some((villain, _)) if villain.repeats() => offered,
			_ => host.relayer.book.due(offered, next, best),
		};
		let genuine: BTreeSet<Vec<u8>> = due.iter().map(Encode::encode).collect();
		let is_villain = match &host.relayer.villain {
			Some((villain, _)) => {
				villain.twist_envelopes(&mut due, &mut self.random.villains);
				true
			}
			None => false,
		};
		let mut refused = BTreeSet::new();
		for envelope in due {
			let (lane, bytes) = (envelope.lane, envelope.encode());
			// Those after one that was refused would be refused alike, if nobody forged it.
			if refused.contains(&lane) && !is_villain {
				continue;
			}
			self.leaves("envelope", &bytes);
			let submitted = self.chain.submit(transactions::envelope(envelope.clone()), None);
			if submitted.is_err() {
				refused.insert(lane);
			}
			let is_genuine = genuine.contains(&bytes);
			if !is_genuine && submitted.is_ok() {
				self.violated(format!("the pool took a forged envelope of {id:?}: {envelope:?}"));
			}
			if let Some(host) = self.hosts.get_mut(&id).filter(|_| is_genuine) {
				host.relayer.book.submitted(&envelope, best);
			}
		}
	}

	fn next_envelope(&mut self, status: &EnclaveStatus) -> Option<InboundNext> {
		self.chain.read(|| pallet_mailbox::NextEnvelope::<Runtime>::get(status.worker))
	}
}
