//! One machine against a small chain with real headers, proofs and justifications.

use crate::{
	action::Answer, event::Event, limits, outbox::Outbox, task::TaskId, Config, Instant,
	MachineError,
};
use codec::{DecodeAll, Encode};
use node::Node;
use phala_keys::boot::{verify_statement, BootKeys};
use phala_light_client::test_chain::TestChain;
use phala_protocol::{
	boot::{BootKeys as PublicKeys, BootNumber, BootStatement, WorkerId},
	mailbox::{ByLane, Channel, EnvelopeContent, EnvelopeNumber, InboundNext, Lane},
	messages::{Message, Payload, RegistryMessage, RegistryPayload},
	refusals::Refusal,
	relay::{EnclavePhase, EnclaveStatus, Registration, SyncBundle},
	storage_keys, AccountBytes,
};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};

mod calls;
#[cfg(feature = "development")]
mod development;
mod disks;
mod failures;
mod frozen;
mod keys;
mod logs;
mod members;
mod node;
#[cfg(feature = "recording")]
mod replay;
mod replication;
mod upgrades;
mod watch;
mod world;

/// A probe with this nonce makes the machine panic, in tests alone.
pub const PANICS: [u8; 32] = [0xdd; 32];

/// Not 0: nothing may rest on the counter starting there.
const START: Instant = Instant::from_ms(7_777_777);

const WORKER: WorkerId = 7;
const OPERATOR: AccountBytes = [3; 32];

/// A chain, a machine on it and the relayer between them.
struct Network {
	chain: TestChain,
	node: Node,
	rng: ChaCha20Rng,
}

impl Network {
	fn new(seed: u64) -> Self {
		let mut chain = TestChain::new(seed, 4);
		chain.seal();
		let mut rng = ChaCha20Rng::seed_from_u64(seed);
		let config = Config { genesis: chain.genesis(), worker: WORKER };
		let node = Node::boot(config, START, &mut rng);
		Self { chain, node, rng }
	}

	fn registered(seed: u64) -> Self {
		let mut network = Self::new(seed);
		network.bring_genesis();
		network.relay().unwrap();
		network.tell(network.registration_of(1));
		network.relay().unwrap();
		assert_eq!(network.node.status().boot, Some(1));
		network
	}

	fn bring_genesis(&mut self) {
		let genesis =
			Box::new(self.node.snapshot.prove_genesis(self.chain.genesis_bundle()).unwrap());
		self.node.ask(|reply| Event::Genesis { reply, genesis }).unwrap();
	}

	fn wait(&mut self, ms: u64) {
		self.node.now = self.node.now.after_ms(ms);
	}

	fn require_fresh(&self) -> Result<(), MachineError> {
		self.node.snapshot.require_fresh(self.node.now)
	}

	/// What can be carried to the chain.
	fn envelopes(&self) -> Vec<phala_protocol::mailbox::Envelope> {
		self.node.snapshot.envelopes.iter().map(|envelope| (**envelope).clone()).collect()
	}

	fn registration(&mut self) -> Result<Registration, MachineError> {
		let operator = OPERATOR;
		match self.node.ask(|reply| Event::RegistrationAsked { reply, operator })? {
			Answer::Registration(registration) => Ok(*registration),
			other => panic!("{other:?}"),
		}
	}

	/// What the chain says when it accepts this machine's keys.
	fn registration_of(&self, boot: BootNumber) -> RegistryMessage {
		RegistryMessage::Registered {
			boot,
			keys: self.node.machine.public_keys(),
			expires_at: 100_000,
		}
	}

	/// The registration of somebody else in the same worker.
	fn twin(&mut self, boot: BootNumber) -> RegistryMessage {
		let keys = BootKeys::generate(&mut self.rng).public();
		RegistryMessage::Registered {
			boot,
			keys: PublicKeys { identity: keys.identity, encryption: keys.encryption },
			expires_at: 100_000,
		}
	}

	fn tell(&mut self, message: RegistryMessage) {
		self.chain.push(Channel::Worker(WORKER), Message::Registry(message).encode());
	}

	/// The chain has consumed so many of a boot's answers to probes.
	fn consume(&mut self, boot: BootNumber, seq: u64) {
		let next = InboundNext { boot, seqs: ByLane { rest: seq, ..Default::default() } };
		self.chain.put(storage_keys::mailbox_next_envelope(WORKER), next.encode());
	}

	/// Seals what was said and brings an honest bundle.
	fn relay(&mut self) -> Result<EnclaveStatus, MachineError> {
		self.chain.seal();
		let bundle = self.bundle();
		self.bring(bundle)
	}

	fn bring(&mut self, bundle: SyncBundle) -> Result<EnclaveStatus, MachineError> {
		let bundle = Box::new(self.node.snapshot.prove(bundle)?);
		match self.node.ask(|reply| Event::Synced { reply, bundle })? {
			Answer::Status(status) => Ok(*status),
			other => panic!("{other:?}"),
		}
	}

	fn bundle(&self) -> SyncBundle {
		let status = self.node.status();
		let from: Vec<(Channel, u64)> = status
			.channels
			.iter()
			.filter_map(|position| Some((position.channel, position.next_seq?)))
			.collect();
		let to = self.chain.height();
		let mut keys: Vec<_> = status
			.channels
			.iter()
			.map(|position| storage_keys::mailbox_head(position.channel))
			.collect();
		keys.push(storage_keys::mailbox_next_envelope(WORKER));
		SyncBundle {
			steps: self.chain.steps(status.height, to),
			state_proof: self.chain.read_proof(to, keys),
			bodies: from
				.into_iter()
				.map(|(channel, seq)| phala_protocol::relay::ChannelBodies {
					channel,
					messages: self.chain.messages(channel, seq, to),
				})
				.filter(|bodies| !bodies.messages.is_empty())
				.collect(),
		}
	}
}

fn probe(n: u8) -> RegistryMessage {
	RegistryMessage::Probe { nonce: [n; 32] }
}

#[test]
fn a_boot_is_led_from_genesis_to_its_registration() {
	let mut network = Network::new(1);
	assert_eq!(network.node.status().phase, EnclavePhase::AwaitsGenesis);
	network.bring_genesis();
	assert_eq!(network.node.status().phase, EnclavePhase::AwaitsFirstSync);
	network.relay().unwrap();
	assert_eq!(network.node.status().phase, EnclavePhase::AwaitsRegistration);

	let registration = network.registration().unwrap();
	let bound_to = BootStatement::new(
		network.chain.genesis(),
		WORKER,
		OPERATOR,
		network.node.machine.public_keys(),
		network.chain.hash(registration.recent_block),
	);
	assert_eq!(registration.evidence, bound_to.report_data());

	network.tell(network.registration_of(4));
	assert_eq!(network.relay().unwrap().boot, Some(4));
	let status = network.node.status();
	assert_eq!((status.phase, status.boot), (EnclavePhase::Serving, Some(4)));
}

#[test]
fn a_probe_is_answered_by_one_signed_envelope_kept_until_the_chain_has_it() {
	let mut network = Network::registered(2);
	network.tell(probe(9));
	network.relay().unwrap();
	let envelopes = network.envelopes();
	assert_eq!(envelopes.len(), 1);
	let envelope = &envelopes[0];
	assert_eq!((envelope.worker, envelope.boot, envelope.seq), (WORKER, 1, 0));
	assert_eq!(
		Payload::decode_all(&mut &envelope.payload[..]),
		Ok(Payload::Registry(RegistryPayload::ProbeAnswered { nonce: [9; 32] }))
	);
	let content = EnvelopeContent::new(
		network.chain.genesis(),
		WORKER,
		1,
		EnvelopeNumber { lane: Lane::Rest, seq: 0 },
		&envelope.payload,
	);
	assert!(verify_statement(
		&network.node.machine.public_keys().identity,
		&content,
		&envelope.signature
	));

	// A relay that loses it changes nothing; a proof that the chain has it drops it.
	network.relay().unwrap();
	assert_eq!(network.envelopes(), envelopes);
	network.tell(probe(10));
	network.consume(1, 1);
	network.relay().unwrap();
	let rest: Vec<u64> = network.envelopes().iter().map(|envelope| envelope.seq).collect();
	assert_eq!(rest, [1]);
}

#[test]
fn what_the_chain_consumed_from_another_boot_drops_nothing() {
	let mut network = Network::registered(3);
	network.tell(probe(1));
	network.consume(99, 50);
	network.relay().unwrap();
	assert_eq!(network.envelopes().len(), 1);
}

#[test]
fn a_twin_ends_this_boot_and_its_envelopes() {
	let mut network = Network::registered(4);
	network.tell(probe(1));
	let twin = network.twin(2);
	network.tell(twin);
	network.tell(probe(2));
	assert_eq!(network.relay().unwrap().phase, EnclavePhase::Retired);
	assert!(network.envelopes().is_empty());
	assert_eq!(network.require_fresh(), Err(MachineError::Over { boot: Some(1) }));
	assert_eq!(network.relay(), Err(MachineError::Over { boot: Some(1) }));
}

#[test]
fn a_twin_that_came_before_does_not_end_the_boot_that_came_after() {
	let mut network = Network::new(5);
	network.bring_genesis();
	network.relay().unwrap();
	let twin = network.twin(1);
	network.tell(twin);
	network.tell(network.registration_of(2));
	assert_eq!(network.relay().unwrap().boot, Some(2));
}

#[test]
fn an_evicted_boot_stops() {
	let mut network = Network::registered(6);
	network.tell(RegistryMessage::Evicted { boot: 1 });
	network.relay().unwrap();
	assert_eq!(network.node.status().phase, EnclavePhase::Evicted);
}

#[test]
fn the_view_is_as_old_as_the_newest_mark_counted_from_when_it_was_made() {
	let mut network = Network::registered(7);
	network.wait(limits::HEARTBEAT_INTERVAL_MS);
	network.relay().unwrap();
	assert_eq!(network.envelopes().len(), 1, "a heartbeat is due");

	// The relayer holds headers back: the marks grow old, and this boot says so.
	network.wait(limits::MARK_AGE_MAX_MS - limits::HEARTBEAT_INTERVAL_MS);
	assert_eq!(network.require_fresh(), Ok(()));
	network.wait(1);
	assert!(matches!(network.require_fresh(), Err(MachineError::NotFresh { .. })));

	// A mark of somebody else's making is none.
	network.tell(RegistryMessage::HeartbeatSeen { boot: 1, nonce: [0; 32] });
	network.relay().unwrap();
	assert!(network.require_fresh().is_err());
	let age_ms = network.node.snapshot.view_age_ms(network.node.now);
	assert_eq!(age_ms, Some(limits::MARK_AGE_MAX_MS + 1));
}

#[test]
fn a_heartbeat_seen_makes_the_view_as_young_as_the_heartbeat() {
	let mut network = Network::registered(8);
	network.wait(limits::HEARTBEAT_INTERVAL_MS);
	assert_eq!(network.node.machine.next_deadline(), Some(network.node.now));
	network.node.tell(Event::Tick);
	let envelope = network.envelopes().pop().expect("a heartbeat is due");
	let Ok(Payload::Registry(RegistryPayload::Heartbeat { nonce })) =
		Payload::decode_all(&mut &envelope.payload[..])
	else {
		panic!("a heartbeat is due")
	};
	network.wait(60_000);
	network.tell(RegistryMessage::HeartbeatSeen { boot: 1, nonce });
	network.relay().unwrap();
	assert_eq!(network.node.snapshot.view_age_ms(network.node.now), Some(60_000));
}

#[test]
fn after_days_without_finality_the_next_mark_is_not_behind_hundreds_of_old_ones() {
	let mut network = Network::registered(10);
	let marks = 2 * 24 * 60 * 60 * 1_000 / limits::HEARTBEAT_PATIENCE_MS;
	assert!(marks > 4 * limits::LANE_OFFERED_MAX as u64);
	for _ in 0..marks {
		network.wait(limits::HEARTBEAT_PATIENCE_MS);
		network.node.tell(Event::Tick);
	}
	let all = network.envelopes();
	assert_eq!(network.node.status().queued as usize, all.len(), "all are offered");
	assert_eq!(network.node.machine.next_deadline(), None, "it waits for the chain");

	// Finality goes on: the chain had them all long ago.
	let liveness = all.len() as u64;
	let next = InboundNext { boot: 1, seqs: ByLane { liveness, ..Default::default() } };
	network.chain.put(storage_keys::mailbox_next_envelope(WORKER), next.encode());
	network.relay().unwrap();
	let envelope = network.envelopes().pop().expect("a mark is made at once");
	let Ok(Payload::Registry(RegistryPayload::Heartbeat { nonce })) =
		Payload::decode_all(&mut &envelope.payload[..])
	else {
		panic!("it is a heartbeat")
	};
	network.tell(RegistryMessage::HeartbeatSeen { boot: 1, nonce });
	network.relay().unwrap();
	assert_eq!(network.require_fresh(), Ok(()));
}

#[test]
fn whatever_a_liar_brings_is_refused_by_name_and_changes_nothing() {
	let mut network = Network::registered(9);
	network.tell(probe(1));
	network.tell(probe(2));
	network.chain.push(Channel::System, b"of a later version".to_vec());
	network.chain.seal();
	let before = network.node.status();

	type Lie = fn(&mut SyncBundle);
	let lies: [(Refusal, Lie); 7] = [
		(Refusal::HeldBack, |bundle| bundle.bodies.truncate(1)),
		(Refusal::Reordered, |bundle| bundle.bodies.iter_mut().for_each(|b| b.messages.reverse())),
		(Refusal::Altered, |bundle| {
			let messages = &mut bundle.bodies.iter_mut().last().unwrap().messages;
			messages[0].body = Message::Registry(probe(3)).encode();
		}),
		(Refusal::Repeated, |bundle| {
			let messages = &mut bundle.bodies.iter_mut().last().unwrap().messages;
			let first = messages[0].clone();
			messages.insert(1, first);
		}),
		(Refusal::ProofIncomplete, |bundle| bundle.state_proof.clear()),
		(Refusal::OtherBlockJustified, |bundle| bundle.steps[0].header[40] ^= 1),
		(Refusal::NothingNew, |bundle| bundle.steps.clear()),
	];
	for (name, lie) in lies {
		let mut bundle = network.bundle();
		lie(&mut bundle);
		let refused = network.bring(bundle).expect_err(name.name());
		assert_eq!(refused.refusal(), name, "{refused}");
		assert_eq!(network.node.status(), before);
	}

	let foreign = Network::registered(10);
	let bundle = foreign.bundle();
	assert!(network.bring(bundle).is_err());
	assert_eq!(network.node.status(), before);

	// The honest relayer carries on, and what a later version said is passed over by name.
	let bundle = network.bundle();
	network.bring(bundle).unwrap();
	assert_eq!(network.envelopes().len(), 2);
}

#[test]
fn of_two_bundles_that_were_proven_at_once_the_second_changes_nothing() {
	let mut network = Network::registered(13);
	network.tell(probe(1));
	network.chain.seal();
	let proven =
		|network: &Network| Box::new(network.node.snapshot.prove(network.bundle()).unwrap());
	let (first, second) = (proven(&network), proven(&network));
	network.node.ask(|reply| Event::Synced { reply, bundle: first }).unwrap();
	let after = network.node.status();
	let refused = network.node.ask(|reply| Event::Synced { reply, bundle: second });
	assert_eq!(refused, Err(MachineError::NothingNew { height: after.height }));
	assert_eq!(network.node.status(), after);
	assert_eq!(network.envelopes().len(), 1);
}

#[test]
fn a_full_outbox_takes_no_more_and_loses_nothing_that_it_has() {
	let mut outbox = Outbox::new(1, false);
	let max = limits::LANE_WAITING_MAX;
	for task in 0..max as u64 {
		outbox.push(Lane::Rest, TaskId(task)).unwrap();
	}
	let next = TaskId(max as u64);
	let full = MachineError::OutboxFull { waiting: max };
	assert_eq!(outbox.push(Lane::Rest, next), Err(full));
	let seqs = ByLane { rest: 1, ..Default::default() };
	outbox.confirm(InboundNext { boot: 1, seqs });
	let number = EnvelopeNumber { lane: Lane::Rest, seq: max as u64 };
	assert_eq!(outbox.push(Lane::Rest, next), Ok(number));
	assert_eq!(outbox.len(), max);
}

#[test]
fn a_full_lane_holds_up_no_other() {
	let mut outbox = Outbox::new(1, false);
	let mut tasks = (0..).map(TaskId);
	while outbox.push(Lane::PaidCommits, tasks.next().unwrap()).is_ok() {}
	for lane in [Lane::Liveness, Lane::Keys, Lane::Rest] {
		let number = outbox.push(lane, tasks.next().unwrap()).unwrap();
		assert_eq!(number, EnvelopeNumber { lane, seq: 0 });
		assert!(outbox.waits(number));
	}
}

#[test]
fn envelopes_leave_in_their_order_though_they_are_signed_in_any() {
	let mut network = Network::registered(14);
	network.node.held_tasks = Some(Vec::new());
	network.tell(probe(1));
	network.tell(probe(2));
	network.relay().unwrap();
	assert!(network.envelopes().is_empty(), "not signed yet");
	let mut tasks = network.node.held_tasks.take().unwrap();
	assert_eq!(tasks.len(), 2);
	let (second, first) = (tasks.pop().unwrap(), tasks.pop().unwrap());
	network.node.tell(Event::Computed(Box::new(second.run([2; 32]))));
	assert!(network.envelopes().is_empty(), "nothing passes one that is not signed");
	network.node.tell(Event::Computed(Box::new(first.run([1; 32]))));
	let numbers: Vec<u64> = network.envelopes().iter().map(|envelope| envelope.seq).collect();
	assert_eq!(numbers, [0, 1]);
}

#[test]
fn evidence_is_offered_again_before_its_block_is_too_old_and_renewed_before_it_expires() {
	let mut network = Network::new(12);
	network.bring_genesis();
	network.relay().unwrap();
	let bound_to = |network: &mut Network| network.registration().unwrap().recent_block;
	let first = bound_to(&mut network);
	network.chain.seal_to(first + limits::EVIDENCE_AGE_MAX - 1);
	network.relay().unwrap();
	assert_eq!(bound_to(&mut network), first);
	network.relay().unwrap();
	assert_eq!(bound_to(&mut network), network.chain.height());

	let expires_at = network.chain.height() + limits::RENEWAL_LEAD + 3;
	network.tell(RegistryMessage::Registered {
		boot: 1,
		keys: network.node.machine.public_keys(),
		expires_at,
	});
	network.relay().unwrap();
	assert_eq!(network.node.status().phase, EnclavePhase::Serving);
	network.relay().unwrap();
	network.relay().unwrap();
	assert_eq!(network.node.status().phase, EnclavePhase::AwaitsRenewal);
	assert!(network.registration().unwrap().renewal);
	network.tell(RegistryMessage::Renewed { boot: 1, expires_at: expires_at + 100_000 });
	network.relay().unwrap();
	assert_eq!(network.node.status().phase, EnclavePhase::Serving);
}

#[test]
fn a_flood_of_probes_takes_no_more_of_the_lane_than_the_chain_remembers_and_the_newest_are_answered(
) {
	let mut network = Network::registered(15);
	let max = phala_protocol::limits::OPEN_PROBES_MAX as u8;
	for n in 0..=max + 2 {
		network.tell(probe(n));
	}
	network.relay().unwrap();
	let nonces = |network: &Network| -> Vec<u8> {
		let nonce = |envelope: &phala_protocol::mailbox::Envelope| match Payload::decode_all(
			&mut &envelope.payload[..],
		) {
			Ok(Payload::Registry(RegistryPayload::ProbeAnswered { nonce })) => nonce[0],
			other => panic!("{other:?}"),
		};
		network.envelopes().iter().map(nonce).collect()
	};
	assert_eq!(nonces(&network), (3..=max + 2).collect::<Vec<_>>());

	// The flood goes on: nothing more until the chain has consumed some.
	for n in 100..150 {
		network.tell(probe(n));
	}
	network.relay().unwrap();
	assert_eq!(network.envelopes().len(), max as usize);
	network.consume(1, 1);
	network.relay().unwrap();
	network.relay().unwrap();
	assert_eq!(network.envelopes().len(), max as usize);
	assert_eq!(nonces(&network).last(), Some(&(150 - max)));
}
