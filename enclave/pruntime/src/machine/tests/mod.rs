//! One machine against a small chain with real headers, proofs and justifications.

use super::*;
use crate::platform::SoftwarePlatform;
use phala_keys::boot::verify_statement;
use phala_light_client::test_chain::TestChain;
use phala_protocol::{
	evidence::Evidence,
	mailbox::EnvelopeContent,
	messages::{RegistryMessage, RegistryPayload},
	refusals::Refusal,
};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};

mod members;

const WORKER: WorkerId = 7;
const OPERATOR: AccountBytes = [3; 32];

/// A chain, a machine on it and the relayer between them.
struct Network {
	chain: TestChain,
	machine: Machine,
	rng: ChaCha20Rng,
	now_ms: u64,
}

impl Network {
	fn new(seed: u64) -> Self {
		let mut chain = TestChain::new(seed, 4);
		chain.seal();
		let mut rng = ChaCha20Rng::seed_from_u64(seed);
		let config = Config { genesis: chain.genesis(), worker: WORKER };
		let machine = Machine::boot(config, 0, &mut rng);
		Self { chain, machine, rng, now_ms: 0 }
	}

	fn registered(seed: u64) -> Self {
		let mut network = Self::new(seed);
		network.machine.accept_genesis(&network.chain.genesis_bundle()).unwrap();
		network.relay().unwrap();
		network.tell(network.registration_of(1));
		network.relay().unwrap();
		assert_eq!(network.machine.status().boot, Some(1));
		network
	}

	/// What the chain says when it accepts this machine's keys.
	fn registration_of(&self, boot: BootNumber) -> RegistryMessage {
		RegistryMessage::Registered { boot, keys: self.machine.public_keys(), expires_at: 100_000 }
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

	fn consume(&mut self, boot: BootNumber, seq: u64) {
		let next = InboundNext { boot, seq };
		self.chain.put(storage_keys::mailbox_next_envelope(WORKER), next.encode());
	}

	/// Seals what was said and brings an honest bundle.
	fn relay(&mut self) -> Result<SyncReport, MachineError> {
		self.chain.seal();
		let bundle = self.bundle();
		self.machine.sync(bundle, self.now_ms, &mut self.rng)
	}

	fn bundle(&self) -> SyncBundle {
		let status = self.machine.status();
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
	assert_eq!(network.machine.status().phase, EnclavePhase::AwaitsGenesis);
	network.machine.accept_genesis(&network.chain.genesis_bundle()).unwrap();
	assert_eq!(network.machine.status().phase, EnclavePhase::AwaitsFirstSync);
	network.relay().unwrap();
	assert_eq!(network.machine.status().phase, EnclavePhase::AwaitsRegistration);

	let platform = SoftwarePlatform::pretending(H256::zero(), "test");
	let registration = network.machine.registration(OPERATOR, &platform).unwrap();
	let Evidence::Software(evidence) =
		Evidence::decode_all(&mut &registration.evidence[..]).unwrap();
	let bound_to = BootStatement::new(
		network.chain.genesis(),
		WORKER,
		OPERATOR,
		network.machine.public_keys(),
		network.chain.hash(registration.recent_block),
	);
	assert_eq!(evidence.report.report_data, bound_to.report_data());

	network.tell(network.registration_of(4));
	assert_eq!(network.relay().unwrap().registered, Some(4));
	let status = network.machine.status();
	assert_eq!((status.phase, status.boot), (EnclavePhase::Serving, Some(4)));
}

#[test]
fn a_probe_is_answered_by_one_signed_envelope_kept_until_the_chain_has_it() {
	let mut network = Network::registered(2);
	network.tell(probe(9));
	network.relay().unwrap();
	let envelopes = network.machine.envelopes();
	assert_eq!(envelopes.len(), 1);
	let envelope = &envelopes[0];
	assert_eq!((envelope.worker, envelope.boot, envelope.seq), (WORKER, 1, 0));
	assert_eq!(
		Payload::decode_all(&mut &envelope.payload[..]),
		Ok(Payload::Registry(RegistryPayload::ProbeAnswered { nonce: [9; 32] }))
	);
	let content = EnvelopeContent::new(network.chain.genesis(), WORKER, 1, 0, &envelope.payload);
	assert!(verify_statement(
		&network.machine.public_keys().identity,
		&content,
		&envelope.signature
	));

	// A relay that loses it changes nothing; a proof that the chain has it drops it.
	network.relay().unwrap();
	assert_eq!(network.machine.envelopes(), envelopes);
	network.tell(probe(10));
	network.consume(1, 1);
	network.relay().unwrap();
	let rest: Vec<u64> = network.machine.envelopes().iter().map(|envelope| envelope.seq).collect();
	assert_eq!(rest, [1]);
}

#[test]
fn what_the_chain_consumed_from_another_boot_drops_nothing() {
	let mut network = Network::registered(3);
	network.tell(probe(1));
	network.consume(99, 50);
	network.relay().unwrap();
	assert_eq!(network.machine.envelopes().len(), 1);
}

#[test]
fn a_twin_ends_this_boot_and_its_envelopes() {
	let mut network = Network::registered(4);
	network.tell(probe(1));
	let twin = network.twin(2);
	network.tell(twin);
	network.tell(probe(2));
	assert!(network.relay().unwrap().over);
	assert_eq!(network.machine.status().phase, EnclavePhase::Retired);
	assert!(network.machine.envelopes().is_empty());
	assert_eq!(network.machine.require_fresh(0), Err(MachineError::Over { boot: Some(1) }));
	assert_eq!(network.relay(), Err(MachineError::Over { boot: Some(1) }));
}

#[test]
fn a_twin_that_came_before_does_not_end_the_boot_that_came_after() {
	let mut network = Network::new(5);
	network.machine.accept_genesis(&network.chain.genesis_bundle()).unwrap();
	network.relay().unwrap();
	let twin = network.twin(1);
	network.tell(twin);
	network.tell(network.registration_of(2));
	assert_eq!(network.relay().unwrap().registered, Some(2));
}

#[test]
fn an_evicted_boot_stops() {
	let mut network = Network::registered(6);
	network.tell(RegistryMessage::Evicted { boot: 1 });
	network.relay().unwrap();
	assert_eq!(network.machine.status().phase, EnclavePhase::Evicted);
}

#[test]
fn the_view_is_as_old_as_the_newest_mark_counted_from_when_it_was_made() {
	let mut network = Network::registered(7);
	network.now_ms = limits::HEARTBEAT_INTERVAL_MS;
	network.relay().unwrap();
	assert_eq!(network.machine.envelopes().len(), 1, "a heartbeat is due");

	// The relayer holds headers back: the marks grow old, and this boot says so.
	network.now_ms = limits::MARK_AGE_MAX_MS;
	assert_eq!(network.machine.require_fresh(network.now_ms), Ok(()));
	network.now_ms += 1;
	assert!(matches!(
		network.machine.require_fresh(network.now_ms),
		Err(MachineError::NotFresh { .. })
	));

	// A mark of somebody else's making is none.
	network.tell(RegistryMessage::HeartbeatSeen { boot: 1, nonce: [0; 32] });
	network.relay().unwrap();
	assert!(network.machine.require_fresh(network.now_ms).is_err());
	assert_eq!(network.machine.view_age_ms(network.now_ms), Some(network.now_ms));
}

#[test]
fn a_heartbeat_seen_makes_the_view_as_young_as_the_heartbeat() {
	let mut network = Network::registered(8);
	network.now_ms = limits::HEARTBEAT_INTERVAL_MS;
	network.relay().unwrap();
	let envelope = network.machine.envelopes().pop().expect("a heartbeat is due");
	let Ok(Payload::Registry(RegistryPayload::Heartbeat { nonce })) =
		Payload::decode_all(&mut &envelope.payload[..])
	else {
		panic!("a heartbeat is due")
	};
	network.now_ms += 60_000;
	network.tell(RegistryMessage::HeartbeatSeen { boot: 1, nonce });
	network.relay().unwrap();
	assert_eq!(network.machine.view_age_ms(network.now_ms), Some(60_000));
}

#[test]
fn whatever_a_liar_brings_is_refused_by_name_and_changes_nothing() {
	let mut network = Network::registered(9);
	network.tell(probe(1));
	network.tell(probe(2));
	network.chain.push(Channel::System, b"of a later version".to_vec());
	network.chain.seal();
	let before = network.machine.status();

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
		let refused =
			network.machine.sync(bundle, network.now_ms, &mut network.rng).expect_err(name.name());
		assert_eq!(refused.refusal(), name, "{refused}");
		assert_eq!(network.machine.status(), before);
	}

	let foreign = Network::registered(10);
	let bundle = foreign.bundle();
	assert!(network.machine.sync(bundle, 0, &mut network.rng).is_err());
	assert_eq!(network.machine.status(), before);

	// The honest relayer carries on, and what a later version said is passed over by name.
	let bundle = network.bundle();
	let report = network.machine.sync(bundle, 0, &mut network.rng).unwrap();
	assert_eq!(report.messages, 3);
	assert_eq!(report.unknown, [(Channel::System, 0)]);
	assert_eq!(network.machine.envelopes().len(), 2);
}

#[test]
fn a_full_outbox_takes_no_more_and_loses_nothing_that_it_has() {
	let mut network = Network::new(11);
	let mut outbox = Outbox::new(H256::zero(), WORKER, 1);
	let payload = Payload::Registry(RegistryPayload::ProbeAnswered { nonce: [0; 32] });
	for _ in 0..limits::OUTBOX_MAX {
		outbox.push(&network.machine.keys, &payload, &mut network.rng).unwrap();
	}
	assert_eq!(
		outbox.push(&network.machine.keys, &payload, &mut network.rng),
		Err(MachineError::OutboxFull { waiting: limits::OUTBOX_MAX })
	);
	outbox.confirm(InboundNext { boot: 1, seq: 1 });
	outbox.push(&network.machine.keys, &payload, &mut network.rng).unwrap();
	let numbers: Vec<u64> = outbox.waiting().map(|envelope| envelope.seq).collect();
	assert_eq!(numbers, (1..=limits::OUTBOX_MAX as u64).collect::<Vec<_>>());
}

#[test]
fn evidence_is_offered_again_before_its_block_is_too_old_and_renewed_before_it_expires() {
	let mut network = Network::new(12);
	network.machine.accept_genesis(&network.chain.genesis_bundle()).unwrap();
	network.relay().unwrap();
	let platform = SoftwarePlatform::pretending(H256::zero(), "test");
	let bound_to =
		|network: &Network| network.machine.registration(OPERATOR, &platform).unwrap().recent_block;
	let first = bound_to(&network);
	network.chain.seal_to(first + limits::EVIDENCE_AGE_MAX - 1);
	network.relay().unwrap();
	assert_eq!(bound_to(&network), first);
	network.relay().unwrap();
	assert_eq!(bound_to(&network), network.chain.height());

	let expires_at = network.chain.height() + limits::RENEWAL_LEAD + 3;
	network.tell(RegistryMessage::Registered {
		boot: 1,
		keys: network.machine.public_keys(),
		expires_at,
	});
	network.relay().unwrap();
	assert_eq!(network.machine.status().phase, EnclavePhase::Serving);
	network.relay().unwrap();
	network.relay().unwrap();
	assert_eq!(network.machine.status().phase, EnclavePhase::AwaitsRenewal);
	assert!(network.machine.registration(OPERATOR, &platform).unwrap().renewal);
	network.tell(RegistryMessage::Renewed { boot: 1, expires_at: expires_at + 100_000 });
	network.relay().unwrap();
	assert_eq!(network.machine.status().phase, EnclavePhase::Serving);
}
