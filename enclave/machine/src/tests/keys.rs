//! New master keys and generations that overtake sets of wrapped keys on their way to the chain.

use super::{disks::LATER, world::*, *};
use phala_protocol::{
	agents::{Access, AgentId},
	mailbox::Envelope,
	messages::{ClustersPayload, KeysPayload},
};
use rand_core::Rng;
use std::collections::BTreeSet;

fn wraps(payload: &Payload) -> bool {
	matches!(payload, Payload::Clusters(ClustersPayload::KeysWrapped { .. }))
}

fn confirms(payload: &Payload) -> bool {
	matches!(payload, Payload::Keys(KeysPayload::MasterKeyConfirmed { .. }))
}

fn has_keys(world: &World, worker: WorkerId) -> bool {
	world.nodes[&worker].snapshot.cluster().is_ok_and(|cluster| cluster.has_keys)
}

fn wrapped(world: &World) -> Option<(u32, u32)> {
	world.wrapped.as_ref().map(|set| (set.epoch, set.generation))
}

/// Blocks in which no envelope of this kind lands, until `worker` has one for the chain.
fn hold_up(world: &mut World, worker: WorkerId, what: fn(&Payload) -> bool) {
	for _ in 0..20 {
		let is_it =
			|envelope: &Envelope| what(&Payload::decode_all(&mut &envelope.payload[..]).unwrap());
		if world.nodes[&worker].snapshot.envelopes.iter().any(|envelope| is_it(envelope)) {
			return;
		}
		world.block(|_, payload| wraps(payload) || what(payload));
	}
	panic!("nothing of it comes");
}

/// The host of a gatekeeper: starts it again just as the members' set for its last key is on its way.
struct Restarter;

impl Restarter {
	/// `maker`, alone, has a set for epoch 2 on its way; epoch 3 is confirmed.
	fn strike(world: &mut World, maker: WorkerId) {
		world.start_epoch(2);
		let others: Vec<_> =
			world.nodes.keys().copied().filter(|one| ![GATEKEEPER, maker].contains(one)).collect();
		for other in &others {
			world.node(*other).held_tasks = Some(Vec::new());
		}
		hold_up(world, maker, wraps);
		world.start_epoch(3);
		hold_up(world, GATEKEEPER, confirms);
		for other in others {
			world.node(other).release_tasks();
		}
	}
}

/// After quiet, all members have keys, whoever comes later gets them, and what the cluster writes is read
/// by all.
fn all_have_keys(world: &mut World, later: WorkerId) {
	for _ in 0..3 {
		world.settle();
		for _ in 0..=limits::ORPHANED_KEYS_BLOCKS {
			world.chain.seal();
		}
	}
	world.settle();
	assert_eq!(wrapped(world), world.wrapping_in_force());
	world.boot(later);
	world.join(later);
	world.settle();
	let members: Vec<_> = world.members.iter().map(|member| member.worker).collect();
	for member in &members {
		assert!(has_keys(world, *member), "{member} has no keys");
	}
	let agent = world.register_agent(members[0], Access::Public);
	world.settle();
	for member in members {
		let version = world.nodes[&member].snapshot.agent(agent).unwrap().state.version;
		assert_eq!(version, 1, "{member} does not read what is written");
	}
}

#[test]
fn a_restarter_of_a_gatekeeper_costs_no_cluster_its_keys() {
	for set_is_first in [true, false] {
		let (mut world, _) = World::with_agent(110);
		Restarter::strike(&mut world, FIRST);
		if set_is_first {
			world.land_all(FIRST);
		}
		world.block(|_, _| false);
		assert_eq!(wrapped(&world), Some((if set_is_first { 2 } else { 1 }, 1)));
		all_have_keys(&mut world, LATER);
	}
}

#[test]
fn a_departure_read_together_with_a_new_set_stops_no_writes() {
	let (mut world, agent) = World::with_agent(111);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	world.start_epoch(2);
	world.node(SECOND).held_tasks = Some(Vec::new());
	hold_up(&mut world, FIRST, wraps);
	world.node(SECOND).release_tasks();
	world.land_all(FIRST);
	world.leave(LATER, 2);
	world.nodes.remove(&LATER);
	world.settle();
	assert_eq!(wrapped(&world), Some((2, 2)));
	world.request_and_run(agent, b"after");
	world.settle();
	assert_eq!(world.entries(SECOND, agent), last(b"after"));
	all_have_keys(&mut world, 4);
}

/// A cluster whose newest set, with a new data key, was read by its maker alone before the next epoch.
fn overtaken(seed: u64) -> (World, AgentId) {
	let (mut world, agent) = World::with_agent(seed);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	world.leave(LATER, 2);
	world.nodes.remove(&LATER);
	Restarter::strike(&mut world, SECOND);
	world.land_all(SECOND);
	world.block(|_, _| false);
	assert_eq!(wrapped(&world), Some((2, 2)));
	(world, agent)
}

#[test]
fn an_overtaken_set_is_opened_and_wrapped_anew_by_its_maker() {
	let (mut world, agent) = overtaken(112);
	world.settle();
	assert_eq!(wrapped(&world), Some((3, 2)));
	let numbers: Vec<_> = numbers(&world);
	assert_eq!(numbers, [1, 2], "no key is made without need");
	world.request_and_run(agent, b"after");
	world.settle();
	assert_eq!(world.entries(SECOND, agent), last(b"after"));
}

fn numbers(world: &World) -> Vec<u32> {
	let set = world.wrapped.clone().unwrap();
	let keys = Vec::<phala_keys::cluster::WrappedKey>::decode_all(&mut &set.keys[..]).unwrap();
	keys.into_iter().map(|key| key.id.number).collect()
}

#[test]
fn an_overtaken_set_whose_maker_is_gone_is_given_up_and_no_number_is_given_twice() {
	let (mut world, agent) = overtaken(113);
	world.boot(SECOND);
	world.join(SECOND);
	for _ in 0..10 {
		world.settle();
	}
	assert_eq!(wrapped(&world), Some((2, 2)), "its maker may be slow");
	for _ in 0..limits::ORPHANED_KEYS_BLOCKS {
		world.chain.seal();
	}
	world.settle();
	assert_eq!(wrapped(&world), Some((3, 2)));
	assert_eq!(numbers(&world), [1, 3]);
	super::disks::supply(&mut world, SECOND, FIRST);
	world.request_and_run(agent, b"after");
	world.settle();
	assert_eq!(world.entries(SECOND, agent), last(b"after"));
}

#[test]
fn a_cluster_whose_first_set_was_overtaken_and_lost_begins_again() {
	let mut world = World::new(114);
	world.seat_gatekeeper();
	world.settle();
	world.join(FIRST);
	world.join(SECOND);
	Restarter::strike(&mut world, FIRST);
	world.land_all(FIRST);
	world.block(|_, _| false);
	assert_eq!(wrapped(&world), Some((2, 1)));
	world.boot(FIRST);
	world.join(FIRST);
	all_have_keys(&mut world, LATER);
}

#[test]
fn what_only_its_writer_can_open_is_acknowledged_by_nobody() {
	let (mut world, agent) = World::with_agent(115);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	world.leave(LATER, 2);
	world.nodes.remove(&LATER);
	world.node(SECOND).held_tasks = Some(Vec::new());
	world.request(agent, b"early");
	world.settle();
	world.run(FIRST).expect("it has the new key");
	let (to, body) = world.node(FIRST).sends.pop_front().unwrap();
	assert_eq!((to.worker, body.body.key_number), (SECOND, 2));
	let refused = world.bring_body(SECOND, (*body).clone()).unwrap_err();
	assert_eq!(refused.refusal(), Refusal::NotReady);
	world.node(FIRST).body_sent(&to, &body, Err(refused));
	world.node(SECOND).release_tasks();
	for _ in 0..3 {
		world.settle();
		world.tick(limits::PEER_RETRY_MS);
	}
	assert_eq!((world.results.len(), world.refused), (1, 0));
	assert_eq!(world.entries(SECOND, agent), last(b"early"));
}

/// Epochs, departures, joins and restarts of single members, with envelopes held up by chance.
fn interleave(seed: u64) {
	let mut world = World::new(seed);
	world.seat_gatekeeper();
	for worker in [FIRST, SECOND] {
		world.join(worker);
	}
	world.settle();
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	let mut chance = ChaCha20Rng::seed_from_u64(seed);
	let (mut epoch, mut next) = (1, LATER + 1);
	for _ in 0..40 {
		let members: Vec<_> = world.members.iter().map(|member| member.worker).collect();
		let one = members[chance.next_u32() as usize % members.len()];
		// Who goes leaves somebody with keys behind.
		let may_go = members.iter().any(|other| *other != one && has_keys(&world, *other));
		match chance.next_u32() % 8 {
			0 | 1 if world.ceremony == (0, 0) => {
				epoch += 1;
				world.start_epoch(epoch);
			}
			2 if may_go && members.len() > 2 => {
				let generation = world.generation + 1;
				world.leave(one, generation);
				world.nodes.remove(&one);
			}
			3 if may_go => {
				world.boot(one);
				world.join(one);
			}
			4 if members.len() < 4 => {
				world.boot(next);
				world.join(next);
				next += 1;
			}
			_ => {}
		}
		let late: BTreeSet<_> =
			world.nodes.keys().copied().filter(|_| chance.next_u32() % 2 == 0).collect();
		world.block(|worker, _| late.contains(&worker));
	}
	all_have_keys(&mut world, next);
}

#[test]
fn whatever_overtakes_what_after_quiet_every_member_has_keys_and_a_later_one_gets_them() {
	for seed in 1_000..1_016 {
		println!("seed {seed}");
		interleave(seed);
	}
}
