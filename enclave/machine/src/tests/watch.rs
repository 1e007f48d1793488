//! A lease holder that hangs, and members that say that one does.

use super::{world::*, *};
use crate::PingAnswer;
use phala_protocol::{
	agents::{Access, AgentId, Lease},
	limits::{
		CHALLENGE_BLOCKS, CHALLENGE_FINAL_BLOCKS, CHALLENGE_SPACING_BLOCKS,
		FINALITY_WITNESSES_ASKED,
	},
	messages::{ClustersPayload, RequestsMessage},
	BlockNumber,
};

const LATER: WorkerId = 3;

fn holder(world: &World, worker: WorkerId, agent: AgentId) -> Option<WorkerId> {
	let snapshot = &world.nodes[&worker].snapshot.agent(agent).unwrap().snapshot;
	snapshot.lease.map(|lease| lease.worker)
}

fn count(world: &World, what: impl Fn(&ClustersPayload) -> bool) -> usize {
	world.said.iter().filter(|(_, said)| what(said)).count()
}

fn is_challenge(said: &ClustersPayload) -> bool {
	matches!(said, ClustersPayload::HolderSilent { .. })
}

/// Pings fail for as long as it takes until somebody is found silent.
fn lose_patience(world: &mut World) {
	world.tick(limits::PING_INTERVAL_MS);
	world.tick(limits::HOLDER_PATIENCE_MS);
}

#[test]
fn a_holder_that_hangs_is_challenged_and_replaced_and_follows_when_it_wakes_up() {
	let (mut world, agent) = World::with_agent(70);
	world.hang(FIRST);
	world.tick(limits::PING_INTERVAL_MS);
	world.settle();
	assert_eq!(world.said, [], "one ping is no silence");
	world.tick(limits::HOLDER_PATIENCE_MS);
	world.settle();
	let silent = ClustersPayload::HolderSilent { holder: FIRST, boot: 1 };
	assert_eq!(world.said.first(), Some(&(SECOND, silent)));
	for _ in 0..CHALLENGE_BLOCKS {
		world.settle();
	}
	assert_eq!(count(&world, is_challenge), 1);
	assert_eq!(holder(&world, SECOND, agent), Some(SECOND));

	world.request(agent, b"after");
	world.seal();
	assert!(world.run(SECOND).is_some(), "it writes now");

	// What it had taken before is refused, and it goes on as one of the others.
	world.wake(FIRST);
	assert_eq!(holder(&world, FIRST, agent), Some(SECOND));
	let call = world.direct(agent, USER_SEED);
	let id = world.call(FIRST, agent, &call).unwrap();
	let refused = world.node(FIRST).replies.remove(&id).unwrap();
	assert_eq!(refused, Err(MachineError::NotLeaseHolder { worker: Some(SECOND) }));
	for _ in 0..6 {
		world.tick(limits::PEER_RETRY_MS);
		world.settle();
	}
	assert_eq!(world.said.last(), Some(&(FIRST, ClustersPayload::HolderPresent)));
	assert_eq!(world.entries(FIRST, agent), last(b"after"));
	assert_eq!(world.entries(SECOND, agent), last(b"after"));
}

#[test]
fn a_holder_that_a_member_cannot_reach_answers_the_chain_and_keeps_its_leases() {
	let (mut world, agent) = World::with_agent(71);
	// Cut off from each other, not from the chain.
	world.node(SECOND).silent.insert(FIRST);
	lose_patience(&mut world);
	let from = world.chain.height();
	for _ in 0..3 * CHALLENGE_SPACING_BLOCKS {
		world.settle();
	}
	let blocks = (world.chain.height() - from) as usize;
	assert_eq!(holder(&world, SECOND, agent), Some(FIRST));
	let challenges = count(&world, is_challenge);
	let answers = count(&world, |said| *said == ClustersPayload::HolderPresent);
	assert_eq!(answers, challenges);
	assert!(challenges > 1 && challenges <= blocks / CHALLENGE_SPACING_BLOCKS as usize + 1);
	// It is reached again: nothing more is said.
	world.node(SECOND).silent.clear();
	world.tick(limits::PING_RETRY_MS);
	world.settle();
	let said = world.said.len();
	for _ in 0..2 * CHALLENGE_SPACING_BLOCKS {
		world.settle();
	}
	assert_eq!(world.said.len(), said);
}

#[test]
fn while_finality_stalls_nobody_says_that_a_challenged_holder_is_silent_still() {
	let (mut world, agent) = World::with_agent(72);
	world.hang(FIRST);
	lose_patience(&mut world);
	let said = |world: &World| world.nodes[&SECOND].snapshot.envelopes.len();
	assert_eq!(said(&world), 1);
	for _ in 0..100 {
		world.tick(limits::PING_RETRY_MS);
	}
	assert_eq!(said(&world), 1, "no block is final");
	// The challenge becomes final, and not yet what must come after it.
	world.settle();
	let at = world.challenged[&FIRST].0;
	assert!(world.chain.height() < at + CHALLENGE_FINAL_BLOCKS);
	assert_eq!(world.said.len(), 1);
	world.tick(limits::PING_RETRY_MS);
	assert_eq!(said(&world), 0);
	assert_eq!(holder(&world, SECOND, agent), Some(FIRST));
	for _ in 0..CHALLENGE_BLOCKS {
		world.settle();
	}
	assert_eq!(holder(&world, SECOND, agent), Some(SECOND));
}

#[test]
fn a_challenge_of_another_boot_or_of_others_is_not_answered() {
	let (mut world, _) = World::with_agent(73);
	let block = world.chain.height() + 1;
	for (holder, boot) in [(FIRST, 2), (SECOND, 1)] {
		let told = phala_protocol::messages::ClustersMessage::HolderChallenged {
			holder,
			boot,
			by: SECOND,
			block,
		};
		world.tell_cluster(told);
	}
	world.settle();
	assert_eq!(world.said, [(SECOND, ClustersPayload::HolderPresent)]);
}

#[test]
fn a_rebuilt_holder_answers_a_challenge_that_it_read_before() {
	let (mut world, agent) = World::with_agent(74);
	world.node(SECOND).silent.insert(FIRST);
	lose_patience(&mut world);
	// It fails as soon as it has read of it.
	world.settle();
	world.node(FIRST).fail();
	for _ in 0..CHALLENGE_BLOCKS {
		world.settle();
	}
	assert_eq!(holder(&world, SECOND, agent), Some(FIRST));
	assert!(count(&world, |said| *said == ClustersPayload::HolderPresent) >= 1);
}

#[test]
fn a_follower_that_hangs_holds_up_a_write_until_the_next_try_and_no_longer() {
	let (mut world, _) = World::with_agent(75);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	let agent = world.register_agent(FIRST, Access::Public);
	world.settle();
	assert_eq!(world.agents[&agent].lease, Some(Lease { worker: FIRST, boot: 1 }));
	world.hang(LATER);
	world.request_and_run(agent, b"slow");
	let mut asked = Vec::new();
	while let Some((to, body)) = world.node(FIRST).sends.pop_front() {
		asked.push(to.worker);
		if to.worker == SECOND {
			let answer = world.bring_body(SECOND, (*body).clone());
			world.node(FIRST).body_sent(&to, &body, answer);
		}
	}
	assert_eq!(asked, [SECOND, LATER]);
	let waiting = |world: &World| world.nodes[&FIRST].snapshot.envelopes.len();
	assert_eq!(waiting(&world), 0, "a majority keeps it; the third has a moment");
	world.tick(limits::PEER_RETRY_MS);
	assert_eq!(waiting(&world), 1);
	assert!(world.node(FIRST).sends.is_empty(), "what is under way is not sent twice");
	world.settle();
	assert_eq!(world.entries(SECOND, agent), last(b"slow"));
}

#[test]
fn some_members_say_that_a_block_is_final_when_a_deadline_is_near() {
	let (mut world, _) = World::with_agent(76);
	for worker in LATER..LATER + FINALITY_WITNESSES_ASKED {
		world.boot(worker);
		world.join(worker);
	}
	world.settle();
	world.said.clear();
	let block = world.chain.height() + 1;
	world.tell_cluster(RequestsMessage::DeadlineNear { block });
	world.settle();
	assert_eq!(world.said.len() as u32, FINALITY_WITNESSES_ASKED);
	let witness = ClustersPayload::BlockFinal { block };
	assert!(world.said.iter().all(|(_, said)| *said == witness));
	let mut witnesses: Vec<_> = world.said.iter().map(|(by, _)| *by).collect();
	witnesses.dedup();
	assert_eq!(witnesses.len() as u32, FINALITY_WITNESSES_ASKED);
}

#[test]
fn a_holder_that_lost_its_relayer_answers_pings_and_is_replaced_all_the_same() {
	let (mut world, agent) = World::with_agent(95);
	// The host answers, and its machine hears and says nothing more.
	world.hung.insert(FIRST);
	let height = world.node(FIRST).status().height;
	world.node(SECOND).ping_answers.insert(FIRST, PingAnswer { height, is_fresh: true });
	let says = |world: &World| world.nodes[&SECOND].snapshot.envelopes.len();
	while world.nodes[&SECOND].status().height == height {
		world.seal();
	}
	world.tick(limits::PING_INTERVAL_MS);
	world.tick(limits::HOLDER_STANDS_STILL_MS - 1);
	assert_eq!(says(&world), 0, "a member may hear of a block so late");
	world.tick(limits::PING_RETRY_MS);
	world.settle();
	let silent = ClustersPayload::HolderSilent { holder: FIRST, boot: 1 };
	assert_eq!(world.said.first(), Some(&(SECOND, silent)));
	for _ in 0..CHALLENGE_BLOCKS {
		world.settle();
	}
	assert_eq!(holder(&world, SECOND, agent), Some(SECOND));
}

#[test]
fn a_holder_that_is_a_block_late_and_moves_is_not_challenged_and_one_far_behind_is() {
	let (mut world, _) = World::with_agent(98);
	world.hung.insert(FIRST);
	let says = |world: &World| world.nodes[&SECOND].snapshot.envelopes.len();
	let behind = |world: &mut World, blocks: BlockNumber| {
		world.seal();
		let height = world.nodes[&SECOND].status().height - blocks;
		world.node(SECOND).ping_answers.insert(FIRST, PingAnswer { height, is_fresh: true });
		world.tick(limits::PING_INTERVAL_MS);
	};
	while world.chain.height() <= 2 * limits::HOLDER_BEHIND_BLOCKS_MAX {
		world.seal();
	}
	for _ in 0..limits::HOLDER_STANDS_STILL_MS / limits::PING_INTERVAL_MS + 3 {
		behind(&mut world, 1);
	}
	for _ in 0..limits::HOLDER_STANDS_STILL_MS / limits::PING_INTERVAL_MS + 3 {
		behind(&mut world, limits::HOLDER_BEHIND_BLOCKS_MAX);
	}
	assert_eq!(says(&world), 0, "it may be so far behind");
	for _ in 0..3 {
		behind(&mut world, limits::HOLDER_BEHIND_BLOCKS_MAX + 1);
	}
	assert_eq!(says(&world), 1);
}

#[test]
fn where_finality_stalls_nobody_is_found_to_stand_still() {
	let (mut world, _) = World::with_agent(99);
	world.hung.insert(FIRST);
	let height = world.nodes[&SECOND].status().height;
	world.node(SECOND).ping_answers.insert(FIRST, PingAnswer { height, is_fresh: true });
	for _ in 0..4 {
		world.tick(limits::HOLDER_STANDS_STILL_MS);
	}
	assert_eq!(world.nodes[&SECOND].snapshot.envelopes.len(), 0);
}

#[test]
fn a_holder_whose_view_is_old_is_challenged_and_keeps_its_leases_while_it_answers_the_chain() {
	let (mut world, agent) = World::with_agent(96);
	let height = BlockNumber::MAX;
	world.node(SECOND).ping_answers.insert(FIRST, PingAnswer { height, is_fresh: false });
	lose_patience(&mut world);
	lose_patience(&mut world);
	world.settle();
	let until = world.challenged[&FIRST].0 + CHALLENGE_BLOCKS + 1;
	while world.chain.height() < until {
		world.settle();
	}
	assert_eq!(count(&world, is_challenge), 1);
	assert_eq!(count(&world, |said| *said == ClustersPayload::HolderPresent), 1);
	assert_eq!(holder(&world, SECOND, agent), Some(FIRST));
}

#[test]
fn what_becomes_final_together_with_a_challenge_takes_no_time_from_the_holder() {
	let (mut world, agent) = World::with_agent(97);
	world.hang(FIRST);
	lose_patience(&mut world);
	world.land_all(SECOND);
	assert_eq!(count(&world, is_challenge), 1);
	// Finality stalls, and the chain goes on.
	for _ in 0..=CHALLENGE_BLOCKS {
		world.chain.seal();
	}
	let said = |world: &World| world.nodes[&SECOND].snapshot.envelopes.len();
	world.relay(SECOND);
	assert_eq!(said(&world), 0, "the holder hears of it now, too");
	for _ in 1..CHALLENGE_FINAL_BLOCKS {
		world.seal();
		assert_eq!(said(&world), 0);
	}
	world.seal();
	assert_eq!(said(&world), 1);
	world.settle();
	assert_eq!(holder(&world, SECOND, agent), Some(SECOND));
}

fn ask_for_a_word(world: &mut World) -> BlockNumber {
	let block = world.chain.height() + 1;
	world.tell_cluster(RequestsMessage::DeadlineNear { block });
	block
}

#[test]
fn a_sluggard_s_deadlines_fill_no_lane_and_the_newest_word_follows_those_that_wait() {
	let (mut world, _) = World::with_agent(98);
	// The sluggard: a deadline in each block. The chain takes nothing meanwhile.
	let mut asked = Vec::new();
	for _ in 0..10 {
		asked.push(ask_for_a_word(&mut world));
		world.seal();
	}
	// And finality stalls.
	for _ in 0..10 {
		ask_for_a_word(&mut world);
		world.chain.seal();
	}
	let newest = ask_for_a_word(&mut world);
	world.seal();
	let most = limits::WITNESS_WORDS_WAITING_MAX;
	assert_eq!(world.nodes[&FIRST].snapshot.envelopes.len(), most);
	world.settle();
	let said: Vec<_> = world.said.iter().filter(|(by, _)| *by == FIRST).cloned().collect();
	let word = |block: &BlockNumber| (FIRST, ClustersPayload::BlockFinal { block: *block });
	let expected: Vec<_> = asked[..most].iter().chain([&newest]).map(word).collect();
	assert_eq!(said, expected);
}

/// A holder that withholds an answer, and has a request of its own due one block before it.
struct Withholder;

impl Withholder {
	/// The blocks of its own deadline and of the one that it misses.
	fn strike(world: &mut World) -> (BlockNumber, BlockNumber) {
		let own = ask_for_a_word(world);
		world.chain.seal();
		let missed = ask_for_a_word(world);
		world.chain.seal();
		(own, missed)
	}
}

#[test]
fn a_withholder_s_own_deadline_keeps_no_word_for_the_missed_one_back() {
	const LAG: BlockNumber = 3;
	let (mut world, _) = World::with_agent(99);
	world.said.clear();
	let (_, missed) = Withholder::strike(&mut world);
	// What is final, and what a member says of it, is behind the newest block.
	let due = missed + phala_protocol::limits::DEADLINE_NEAR_BLOCKS;
	while world.chain.height() < due {
		let last_final = world.chain.height() - LAG;
		if world.nodes[&SECOND].status().height < last_final {
			world.relay_to(SECOND, last_final);
		}
		for envelope in world.nodes[&SECOND].snapshot.envelopes.clone() {
			if envelope.seq == *world.consumed[&SECOND].of(envelope.lane) {
				world.land(SECOND, &envelope);
			}
		}
		world.consume(SECOND);
		world.chain.seal();
	}
	let has_seen = |(by, said): &(WorkerId, ClustersPayload)| {
		let ClustersPayload::BlockFinal { block } = said else { return false };
		*by == SECOND && *block >= missed
	};
	assert!(world.said.iter().any(has_seen), "{:?}", world.said);
}
