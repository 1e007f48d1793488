//! A recorded run does the same again.

use super::{world::*, *};
use crate::recording::{replay, ReplayError};
use phala_keys::input::InputKind;
use phala_protocol::{
	messages::RequestsMessage,
	requests::{RequestInput, RequestKind},
};

/// A cluster's life: births, a sealed request, a direct call, a refusal of the chain, a failure.
fn recordings() -> Vec<Vec<u8>> {
	let (mut world, agent) = World::with_agent(50);
	let body = call_input(PLAINTEXT).encode();
	let (sealed, ..) = world.seal_for(agent, InputKind::Request, USER_SEED, body);
	let order = world.order(agent, RequestKind::Call, RequestInput::Sealed(sealed));
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.refuses_next = true;
	world.run(FIRST).unwrap();
	world.settle();
	world.run(FIRST).unwrap();
	world.settle();
	let call = world.direct(agent, USER_SEED);
	world.call(FIRST, agent, &call).unwrap();
	world.run(FIRST).unwrap();
	world.wait(limits::HEARTBEAT_INTERVAL_MS);
	for node in world.nodes.values_mut() {
		node.tell(Event::Tick);
	}
	world.settle();
	world.tell(SECOND, RegistryMessage::Probe { nonce: PANICS });
	world.chain.seal();
	let bundle = world.bundle(SECOND);
	let node = world.node(SECOND);
	let bundle = Box::new(node.snapshot.prove(bundle).unwrap());
	node.call(|reply| Event::Synced { reply, bundle });
	world.nodes.into_values().map(|node| node.recording).collect()
}

#[test]
fn a_recorded_run_replays_to_the_same_actions() {
	for recording in recordings() {
		let turns = replay(&recording).unwrap();
		assert!(turns > 20, "{turns}");
	}
}

#[test]
fn what_was_changed_in_a_recording_is_noticed() {
	let recording = recordings().swap_remove(FIRST as usize);
	let turns = replay(&recording).unwrap();
	// The process ended while it wrote: all before that counts.
	let mut broken_off = recording.clone();
	broken_off.pop();
	assert_eq!(replay(&broken_off).unwrap(), turns - 1);
	// The hash over the last turn's actions.
	let mut other_actions = recording.clone();
	*other_actions.last_mut().unwrap() ^= 1;
	assert!(
		matches!(replay(&other_actions), Err(ReplayError::Differs { turn }) if turn == turns - 1)
	);
	assert!(matches!(replay(&[]), Err(ReplayError::Malformed)));
	// The seed that the keys came from.
	let mut other_keys = recording;
	let seed_at = 32 + 4 + 8 + 1;
	other_keys[seed_at] ^= 1;
	assert!(matches!(
		replay(&other_keys),
		Err(ReplayError::Differs { .. } | ReplayError::Lost { .. })
	));
}
