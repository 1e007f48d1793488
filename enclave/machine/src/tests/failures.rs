//! The machine fails: it is rebuilt from its keys and the chain, once for each message.

use super::{world::*, *};
use phala_protocol::{
	agents::Access,
	mailbox::{ByLane, Lane},
	messages::{ClustersMessage, RequestsMessage},
};

fn planted() -> RegistryMessage {
	RegistryMessage::Probe { nonce: PANICS }
}

#[test]
fn a_machine_that_fails_on_a_message_is_rebuilt_and_suspended_when_it_fails_on_it_again() {
	let mut network = Network::registered(40);
	network.tell(probe(1));
	network.relay().unwrap();
	let keys = network.node.machine.public_keys();
	network.tell(planted());
	network.chain.seal();
	let bundle = network.bundle();
	let proven = Box::new(network.node.snapshot.prove(bundle).unwrap());
	let failing = network.node.call(|reply| Event::Synced { reply, bundle: proven });
	assert_eq!(network.node.rebuilt, 1);
	assert!(!network.node.replies.contains_key(&failing), "the shell tells who waited");

	// It stands where it adopted its channels, with the same keys, and reads on from there.
	assert_eq!(network.node.machine.public_keys(), keys);
	assert_eq!(network.node.status().phase, EnclavePhase::AwaitsRegistration);
	let bundle = network.bundle();
	let proven = Box::new(network.node.snapshot.prove(bundle).unwrap());
	network.node.call(|reply| Event::Synced { reply, bundle: proven });
	assert_eq!(network.node.rebuilt, 2);

	// The second failure on the same message is the last: no third try, by name.
	let status = network.node.status();
	let refused = network.relay().unwrap_err();
	assert_eq!(refused.refusal(), Refusal::Suspended);
	assert!(refused.to_string().contains("message 2 of Worker(7)"), "{refused}");
	assert_eq!(network.require_fresh().unwrap_err().refusal(), Refusal::Suspended);
	assert_eq!(network.registration().unwrap_err().refusal(), Refusal::Suspended);
	assert!(network.envelopes().is_empty());
	assert_eq!(network.node.machine.next_deadline(), None);
	assert_eq!(network.node.rebuilt, 2);
	assert_eq!(network.node.status(), status);
}

#[test]
fn a_rebuilt_machine_answers_nothing_twice_and_numbers_on_from_where_the_chain_stands() {
	let (mut world, agent) = World::with_agent(41);
	world.request_and_run(agent, b"before");
	world.settle();
	let consumed = world.consumed[&FIRST];
	let height = world.chain.height();

	// It fails on something that no chain says again.
	world.node(FIRST).fail();
	assert_eq!(world.node(FIRST).rebuilt, 1);
	assert!(world.nodes[&FIRST].snapshot.cluster.is_none());
	assert!(world.node(FIRST).status().height < height);

	// The relayer brings everything again; its mark is as old as its keys, so it heartbeats first.
	world.wait(limits::MARK_AGE_MAX_MS + 1);
	world.settle();
	world.node(FIRST).tell(Event::Tick);
	world.settle();
	let beats = |consumed: &ByLane<u64>| *consumed.of(Lane::Liveness);
	assert!(beats(&world.consumed[&FIRST]) > beats(&consumed));
	for envelope in &world.nodes[&FIRST].snapshot.envelopes {
		assert!(
			envelope.seq >= *consumed.of(envelope.lane),
			"a number that the chain has consumed"
		);
	}
	// It has the keys again, and the state from its disk.
	assert!(world.nodes[&FIRST].snapshot.cluster().unwrap().has_keys);
	world.settle();
	assert_eq!(world.entries(FIRST, agent), last(b"before"));
	// It read the request again too, whose deadline is far: it is settled, and not run again.
	assert!(world.next_run(FIRST).is_none());
	assert_eq!(world.refused, 0);
}

#[test]
fn a_rebuilt_machine_that_reads_what_was_named_once_gives_no_code_up_that_is_wanted_now() {
	let (mut world, _) = World::with_agent(45);
	let adopted = world.chain.height();
	let newer = world.register_agent(FIRST, Access::Public);
	world.settle();
	let wanted = world.nodes[&FIRST].kept.clone();
	assert!(wanted.agents.contains(&newer));
	world.node(FIRST).fail();
	// In as many parts as the relayer likes: after the first it knows nothing of the newer.
	let from = world.node(FIRST).status().height;
	for height in from + 1..=world.chain.height() {
		world.relay_to(FIRST, height);
		assert_eq!(world.nodes[&FIRST].kept, wanted, "at {height}, adopted before {adopted}");
	}
	assert_eq!(world.nodes[&FIRST].snapshot.cluster().unwrap().wanted_code, wanted.code);
}

#[test]
fn a_rebuilt_machine_that_reads_that_it_had_left_gives_no_code_up() {
	let (mut world, _) = World::with_agent(46);
	let identity = world.nodes[&FIRST].machine.public_keys().identity;
	world.tell(FIRST, ClustersMessage::LeftCluster { identity, cluster: CLUSTER });
	world.seal();
	world.join(FIRST);
	world.settle();
	let wanted = world.nodes[&FIRST].kept.clone();
	assert!(!wanted.code.is_empty());
	world.node(FIRST).fail();
	world.node(FIRST).gave_up.clear();
	// All of it at once.
	world.settle();
	assert_eq!(world.nodes[&FIRST].kept, wanted);
	assert_eq!(world.nodes[&FIRST].gave_up, []);
}

#[test]
fn a_rebuilt_machine_runs_what_was_asked_and_not_answered_yet() {
	let (mut world, agent) = World::with_agent(44);
	for body in [&b"answered"[..], b"under way"] {
		world.request(agent, body);
	}
	world.seal();
	world.run(FIRST).unwrap();
	world.settle();
	// Its run is in the sandbox when the machine fails.
	world.next_run(FIRST).unwrap();
	world.node(FIRST).fail();
	// It is registered again first, and then hears how far the chain has consumed.
	world.settle();
	world.settle();
	assert_eq!(world.run(FIRST).unwrap().input.body, b"under way");
	world.settle();
	assert!(world.next_run(FIRST).is_none());
	assert_eq!((world.results.len(), world.refused), (2, 0));
	assert_eq!(world.entries(SECOND, agent), last(b"under way"));
}

#[test]
fn an_answer_that_was_on_its_way_at_the_failure_counts_and_is_not_given_again() {
	let (mut world, agent) = World::with_agent(45);
	world.request_and_run(agent, b"on its way");
	world.replicate();
	let sent = world.nodes[&FIRST].snapshot.envelopes.clone();
	world.node(FIRST).fail();
	world.seal();
	// The relayer had taken it: it lands while the rebuilt machine is on its way.
	for envelope in sent {
		world.land(FIRST, &envelope);
	}
	world.consume(FIRST);
	world.settle();
	assert_eq!(world.results.len(), 1);
	world.settle();
	assert!(world.next_run(FIRST).is_none());
	assert_eq!((world.results.len(), world.refused), (1, 0));
}

#[test]
fn a_rebuilt_gatekeeper_holds_the_share_that_it_had() {
	let (mut world, _) = World::with_agent(42);
	world.node(GATEKEEPER).fail();
	world.wait(limits::MARK_AGE_MAX_MS + 1);
	world.settle();
	world.node(GATEKEEPER).tell(Event::Tick);
	world.settle();
	let released = world.releases;
	world.boot(3);
	world.join(3);
	world.settle();
	assert!(world.releases > released);
	assert!(world.nodes[&3].snapshot.cluster().unwrap().has_keys);
}

#[test]
fn failures_of_any_kind_are_counted_and_end() {
	let mut network = Network::registered(43);
	for n in 0..limits::REBUILDS_MAX {
		assert!(network.node.snapshot.suspended.is_none(), "{n}");
		network.node.fail_on(n as u8);
	}
	assert!(network.node.snapshot.suspended.is_none());
	network.node.fail_on(0xff);
	assert_eq!(network.node.snapshot.suspended.as_ref().unwrap().refusal(), Refusal::Suspended);
}

#[test]
fn a_gatekeeper_that_was_seated_twice_keeps_the_share_of_the_later_attempt() {
	for is_rebuilt in [false, true] {
		let mut world = World::new(46);
		world.node(GATEKEEPER).held_tasks = Some(Vec::new());
		world.seat_gatekeeper();
		world.seal();
		world.start_attempt(1, 1);
		world.seal();
		// The second is made first.
		let mut tasks = world.node(GATEKEEPER).held_tasks.take().unwrap();
		tasks.reverse();
		world.node(GATEKEEPER).held_tasks = Some(tasks);
		world.node(GATEKEEPER).release_tasks();
		world.settle();
		assert_eq!(world.master.as_ref().map(|key| (key.epoch, key.attempt)), Some((1, 1)));
		if is_rebuilt {
			// It reads both again.
			world.node(GATEKEEPER).fail();
			world.settle();
			world.settle();
		}
		world.join(FIRST);
		world.settle();
		assert!(world.nodes[&FIRST].snapshot.cluster().unwrap().has_keys, "{is_rebuilt}");
	}
}

/// Ends the task that waits as if it had failed; how many wait then.
fn fail_task(node: &mut node::Node) -> usize {
	let task = node.held_tasks.as_mut().unwrap().pop().expect("one is being done");
	node.tell(Event::TaskFailed { task: task.id() });
	node.held_tasks.as_ref().unwrap().len()
}

#[test]
fn an_envelope_whose_signature_failed_is_signed_again_and_holds_up_nobody() {
	let mut network = Network::registered(47);
	network.node.held_tasks = Some(Vec::new());
	network.tell(probe(1));
	network.relay().unwrap();
	assert_eq!(fail_task(&mut network.node), 1, "it is given again");
	network.node.release_tasks();
	assert_eq!(network.envelopes().len(), 1);
	network.tell(probe(2));
	network.relay().unwrap();
	assert_eq!(network.envelopes().len(), 2);
}

#[test]
fn a_boot_that_can_sign_no_envelope_is_rebuilt_once_and_then_suspended_by_name() {
	let mut network = Network::registered(48);
	network.wait(limits::HEARTBEAT_INTERVAL_MS);
	for is_last in [false, true] {
		network.node.held_tasks = Some(Vec::new());
		network.node.tell(Event::Tick);
		fail_task(&mut network.node);
		assert_eq!(fail_task(&mut network.node), 0);
		if is_last {
			break;
		}
		assert_eq!(network.node.status().phase, EnclavePhase::AwaitsRegistration);
		network.node.held_tasks = None;
		network.consume(1, 0);
		network.node.now = START;
		network.relay().unwrap();
		network.relay().unwrap();
		network.wait(limits::HEARTBEAT_INTERVAL_MS);
	}
	let suspended = network.node.snapshot.suspended.as_ref().unwrap();
	assert_eq!(suspended.refusal(), Refusal::Suspended);
	assert!(suspended.to_string().contains("signature of an envelope"), "{suspended}");
}

#[test]
fn an_input_that_makes_its_opening_fail_twice_fails_its_request_by_name_and_nothing_else() {
	let (mut world, agent) = World::with_agent(49);
	let body = call_input(PLAINTEXT).encode();
	let (sealed, ..) =
		world.seal_for(agent, phala_keys::input::InputKind::Request, USER_SEED, body);
	let kind = phala_protocol::requests::RequestKind::Call;
	let input = phala_protocol::requests::RequestInput::Sealed(sealed);
	let order = world.order(agent, kind, input);
	world.tell_cluster(RequestsMessage::Request(order));
	world.node(FIRST).held_tasks = Some(Vec::new());
	world.seal();
	assert_eq!(fail_task(world.node(FIRST)), 1);
	fail_task(world.node(FIRST));
	world.node(FIRST).release_tasks();
	world.settle();
	let failed = phala_protocol::requests::RequestOutcome::Failed(Refusal::Interrupted.code());
	assert_eq!(world.results[0].1, failed);
	assert_eq!(world.node(FIRST).rebuilt, 0);

	// The next goes its way.
	world.request_and_run(agent, b"next");
	world.settle();
	assert_eq!(world.entries(SECOND, agent), last(b"next"));
}

#[test]
fn a_sealed_call_that_was_on_its_way_at_the_failure_has_one_effect_though_it_is_sent_again() {
	let (mut world, agent) = World::with_agent(99);
	let call = world.direct(agent, USER_SEED);
	world.call(FIRST, agent, &call).unwrap();
	world.run(FIRST).unwrap();
	world.replicate();
	let sent = world.nodes[&FIRST].snapshot.envelopes.clone();
	assert!(!sent.is_empty());
	world.node(FIRST).fail();
	world.settle();
	world.settle();
	// The repeater: its copy is admitted, for nothing of the first is known here, and runs.
	let copy = world.call(FIRST, agent, &call).unwrap();
	let run = world.next_run(FIRST).expect("it is taken");
	// The first comes out of the pool.
	for envelope in sent {
		world.land(FIRST, &envelope);
	}
	world.consume(FIRST);
	world.settle();
	world.node(FIRST).end_run(
		&run,
		crate::worker::RunDone {
			output: Default::default(),
			writes: vec![("twice".into(), Some(vec![2]))],
			units: 1,
			unproven_inputs: 0,
		},
	);
	world.settle();
	assert!(world.next_run(FIRST).is_none(), "it is not run again");
	let answer = world.node(FIRST).replies.remove(&copy).unwrap();
	assert_eq!(answer.unwrap_err().refusal(), Refusal::Repeated);
	assert_eq!(world.entries(SECOND, agent), last(PLAINTEXT));
}

#[test]
fn a_rebuilt_gatekeeper_confirms_under_a_number_that_the_chain_has_not_consumed() {
	const LATER: WorkerId = 3;
	let (mut world, _) = World::with_agent(100);
	world.boot(LATER);
	world.join(LATER);
	world.seal();
	let before = world.chain.height();
	world.land_all(LATER);
	world.seal();
	// A release waits when the next key is made, and its confirmation behind it.
	world.start_epoch(2);
	world.seal();
	let seated = world.chain.height();
	let waiting = world.nodes[&GATEKEEPER].snapshot.envelopes.clone();
	assert_eq!(waiting.len(), 2);
	world.land(GATEKEEPER, &waiting[0]);
	world.consume(GATEKEEPER);
	world.seal();
	world.node(GATEKEEPER).fail();
	// It reads it all again, by and by.
	world.relay_to(GATEKEEPER, before);
	world.relay_to(GATEKEEPER, seated);
	assert!(world.nodes[&GATEKEEPER].snapshot.envelopes.is_empty(), "it only reads");
	world.settle();
	assert_eq!(world.master.as_ref().map(|key| key.epoch), Some(2));
}
