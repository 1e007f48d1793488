//! What the holder of a lease has the other members keep before the chain is asked.

use super::{
	disks::{join_later, supply, LATER},
	world::*,
	*,
};
use crate::{worker::RunDone, OpenedCall, ReplicatedBody};
use phala_protocol::{
	agents::{Access, AgentId, StateVersion},
	limits::unpaid_commits_waiting_max,
	messages::{ClustersMessage, RequestsMessage},
	requests::{CallOutput, RequestOrder, RequestOutcome},
	H256,
};
use std::cell::Cell;

#[test]
fn a_member_keeps_bodies_for_the_lease_holder_alone() {
	let (mut world, agent) = World::with_agent(10);
	world.request_and_run(agent, b"x");
	let (_, body) = world.node(FIRST).sends.pop_front().unwrap();
	let impostor = ReplicatedBody { worker: SECOND, ..(*body).clone() };
	let forged = ReplicatedBody { base_hash: H256([7; 32]), ..(*body).clone() };
	let mut keep = |body| {
		let kept = world.bring_body(SECOND, body);
		kept.map(|answer| match answer {
			Answer::Acknowledged(one) => one.worker,
			other => panic!("{other:?}"),
		})
		.map_err(|refused| refused.refusal())
	};
	assert_eq!(keep(impostor), Err(Refusal::NotFromLeaseHolder));
	assert_eq!(keep(forged), Err(Refusal::BadSignature));
	assert_eq!(keep((*body).clone()), Ok(SECOND));
}

#[test]
fn a_member_that_does_not_keep_a_body_is_asked_so_often_and_then_the_chain_decides() {
	let (mut world, agent) = World::with_agent(22);
	world.request_and_run(agent, b"x");
	let before = world.nodes[&FIRST].snapshot.envelopes.len();
	for attempt in 1..=limits::REPLICATION_ATTEMPTS_MAX {
		assert_eq!(world.nodes[&FIRST].snapshot.envelopes.len(), before, "attempt {attempt}");
		let (to, body) = world.node(FIRST).sends.pop_front().expect("it is asked");
		assert_eq!(to.worker, SECOND);
		world.node(FIRST).body_sent(&to, &body, Err(MachineError::Busy));
		world.wait(limits::PEER_RETRY_MS);
		world.node(FIRST).tell(Event::Tick);
	}
	assert!(world.node(FIRST).sends.is_empty());
	assert_eq!(world.nodes[&FIRST].snapshot.envelopes.len(), before + 1);
}

#[test]
fn an_outage_of_the_majority_leaves_no_heap_of_steps_with_who_stays() {
	const AWAY: [WorkerId; 3] = [LATER, 4, 5];
	let (mut world, agent) = World::with_agent(139);
	for worker in AWAY {
		world.boot(worker);
		world.join(worker);
		world.settle();
		supply(&mut world, worker, FIRST);
	}
	let before = world.nodes[&SECOND].disk.len();
	for worker in AWAY {
		world.hang(worker);
	}
	// Two of five keep what comes: the holder and one more, whose word is too little again and again.
	for _ in 0..4 {
		let plain = Box::new(OpenedCall::public(agent, call_input(b"direct")));
		world.node(FIRST).call(|reply| Event::Called { reply, call: plain });
		while world.run(FIRST).is_some() {}
		for _ in 0..=limits::PLAIN_CALL_BLOCKS_MAX {
			world.seal();
		}
		for _ in 0..limits::REPLICATION_ATTEMPTS_MAX {
			world.tick(limits::PEER_RETRY_MS);
		}
		world.settle();
	}
	let kept = world.nodes[&SECOND].disk.len();
	assert!(kept > before, "it was given what was written, and kept it");
	assert!(kept < before + 4 * limits::PROPOSALS_MAX, "{kept} pages of {before}");
	world.wake(LATER);
	for _ in 0..2 * limits::REPLICATION_ATTEMPTS_MAX {
		world.tick(limits::PEER_RETRY_MS);
		world.settle();
	}
	assert_eq!(world.entries(FIRST, agent), last(b"direct"), "it goes on with one that is back");
}

/// The holder's next write: whether it is submitted after so many milliseconds, and not before.
fn takes_ms(world: &mut World, agent: AgentId, body: &[u8], ms: u64) -> bool {
	world.request(agent, body);
	world.seal();
	let before = world.nodes[&FIRST].snapshot.envelopes.len();
	world.run(FIRST).unwrap();
	let mut left = ms;
	loop {
		// Who hangs answers nobody.
		let hung = world.hung.clone();
		let sends = std::mem::take(&mut world.node(FIRST).sends);
		for (to, given) in sends.iter().filter(|(to, _)| !hung.contains(&to.worker)) {
			let answer = world.bring_body(to.worker, (**given).clone());
			world.node(FIRST).body_sent(to, given, answer);
		}
		let is_submitted = world.nodes[&FIRST].snapshot.envelopes.len() > before;
		if is_submitted || left == 0 {
			world.settle();
			return is_submitted && left == 0 && world.entries(FIRST, agent) == last(body);
		}
		let step = left.min(limits::PEER_RETRY_MS);
		left -= step;
		world.tick(step);
	}
}

#[test]
fn one_of_two_that_the_chain_does_without_is_waited_for_once_and_again_when_it_is_back() {
	let (mut world, agent) = World::with_agent(134);
	world.hang(SECOND);
	world.set_aside.insert(SECOND);
	let all = limits::PEER_RETRY_MS * u64::from(limits::REPLICATION_ATTEMPTS_MAX);
	assert!(takes_ms(&mut world, agent, b"a", all), "it may be about to answer");
	assert!(takes_ms(&mut world, agent, b"b", 0));
	assert!(takes_ms(&mut world, agent, b"c", 0));
	world.wake(SECOND);
	world.settle();
	// It is asked each time, and answers.
	assert!(takes_ms(&mut world, agent, b"d", 0));
	world.set_aside.clear();
	world.hang(SECOND);
	assert!(!takes_ms(&mut world, agent, b"e", 0), "now it counts, and is waited for");
}

#[test]
fn one_of_three_that_hangs_is_waited_for_a_moment_and_no_longer() {
	let (mut world, agent) = World::with_agent(132);
	join_later(&mut world);
	world.request_and_run(agent, b"x");
	let sends = std::mem::take(&mut world.node(FIRST).sends);
	assert_eq!(sends.len(), 2);
	// The second never answers.
	for (to, body) in sends.iter().filter(|(to, _)| to.worker == LATER) {
		let answer = world.bring_body(LATER, (**body).clone());
		world.node(FIRST).body_sent(to, body, answer);
	}
	let submitted = |world: &World| world.nodes[&FIRST].snapshot.envelopes.len();
	let before = submitted(&world);
	world.tick(limits::STRAGGLER_MS - 1);
	assert_eq!(submitted(&world), before);
	world.tick(1);
	assert_eq!(submitted(&world), before + 1);
	world.settle();
	assert_eq!(world.entries(FIRST, agent), last(b"x"));
}

#[test]
fn a_request_that_too_few_members_keep_is_offered_again_as_it_is_and_run_once() {
	let (mut world, agent) = World::with_agent(60);
	let order = RequestOrder { deadline: 10_000, ..world.public_order(agent, b"patient") };
	world.tell_cluster(RequestsMessage::Request(order));
	let behind = RequestOrder { deadline: 10_000, ..world.public_order(agent, b"behind") };
	world.tell_cluster(RequestsMessage::Request(behind));
	world.seal();
	assert_eq!(world.run(FIRST).unwrap().attempt, 1);
	assert_eq!(world.run(FIRST).unwrap().attempt, 1);
	// The other member is silent for longer than three runs would last.
	let second = world.nodes.remove(&SECOND).unwrap();
	for _ in 0..(limits::RUN_ATTEMPTS_MAX + 2) * limits::REPLICATION_ATTEMPTS_MAX {
		world.settle();
		world.wait(limits::PEER_RETRY_MS);
		world.node(FIRST).tell(Event::Tick);
	}
	assert!(world.refused > 2 * limits::RUN_ATTEMPTS_MAX as usize, "{}", world.refused);
	assert!(world.results.is_empty());
	assert!(world.next_run(FIRST).is_none(), "there is nothing to run again");

	world.nodes.insert(SECOND, second);
	world.wait(limits::PEER_RETRY_MS);
	for _ in 0..2 {
		world.node(FIRST).tell(Event::Tick);
		world.settle();
		world.wait(limits::PEER_RETRY_MS);
	}
	assert!(world.next_run(FIRST).is_none());
	let answered =
		|(_, outcome): &(H256, RequestOutcome)| matches!(outcome, RequestOutcome::Answered(_));
	assert_eq!(world.results.iter().filter(|result| answered(result)).count(), 2);
	assert_eq!(world.entries(SECOND, agent), last(b"behind"));
}

#[test]
fn the_word_of_a_member_that_started_again_is_none_and_is_asked_for_anew() {
	let (mut world, agent) = World::with_agent(64);
	world.request_and_run(agent, b"x");
	world.replicate();
	// The chain knows of the member's next boot before the set with the word of this one comes.
	let member = world.members.iter().find(|member| member.worker == SECOND).unwrap().clone();
	let restarted = phala_protocol::clusters::Member { boot: 2, ..member };
	world.tell_cluster(ClustersMessage::Member(restarted));
	world.refuses_next = true;
	world.seal();
	assert!(world.node(FIRST).sends.is_empty());
	for envelope in world.nodes[&FIRST].snapshot.envelopes.clone() {
		world.land(FIRST, &envelope);
	}
	world.consume(FIRST);
	world.seal();
	assert_eq!(world.refused, 1);
	let (to, _) = world.node(FIRST).sends.pop_front().expect("it is asked again");
	assert_eq!((to.worker, to.boot), (SECOND, 2));
	assert!(world.next_run(FIRST).is_none(), "nothing is run again");
}

/// It left with the data keys that it had, and sees what members send each other.
struct Departed {
	newest_key: u32,
}

impl Departed {
	/// A cluster of three with an agent, until the third leaves.
	fn of(seed: u64) -> (World, AgentId, Self) {
		let (mut world, agent) = World::with_agent(seed);
		world.boot(LATER);
		world.join(LATER);
		world.settle();
		(world, agent, Self { newest_key: 1 })
	}

	/// Whether it can open a page that a member has on its disk.
	fn reads_of(&self, world: &World, agent: AgentId) -> bool {
		let mut keys = [FIRST, SECOND].into_iter().flat_map(|one| world.keys_on_disk(one, agent));
		keys.any(|number| number <= self.newest_key)
	}
}

#[test]
fn what_ran_while_a_member_left_waits_for_a_key_that_the_departed_does_not_know() {
	let (mut world, agent, departed) = Departed::of(90);
	world.request(agent, b"slow");
	let call = Box::new(OpenedCall::public(agent, call_input(b"direct")));
	world.seal();
	let run = world.next_run(FIRST).expect("it begins before");
	let direct = world.node(FIRST).call(|reply| Event::Called { reply, call });
	world.leave(LATER, 2);
	world.seal();
	let writes = vec![("last".into(), Some(b"slow".to_vec()))];
	let output = CallOutput::default();
	let done = RunDone { output, writes, units: 1, unproven_inputs: 0 };
	world.node(FIRST).end_run(&run, done);
	assert!(world.node(FIRST).sends.is_empty(), "nothing leaves under the old key");
	assert!(world.next_run(FIRST).is_none());
	world.settle();
	// It is neither run again nor forgotten, and the next goes on from it.
	assert_eq!(world.run(FIRST).unwrap().input.body, b"direct");
	world.settle();
	assert!(world.nodes[&FIRST].replies.contains_key(&direct));
	assert!(matches!(world.results[0].1, RequestOutcome::Answered(_)));
	assert_eq!((world.results.len(), world.refused), (1, 0));
	assert_eq!(world.entries(SECOND, agent), last(b"direct"));
	assert!(!departed.reads_of(&world, agent));
}

#[test]
fn what_failed_while_a_member_left_uses_its_input_up_under_a_key_that_the_departed_does_not_know() {
	let (mut world, agent, departed) = Departed::of(91);
	let call = world.direct(agent, USER_SEED);
	let id = world.call(FIRST, agent, &call).unwrap();
	let run = world.next_run(FIRST).unwrap();
	world.leave(LATER, 2);
	world.seal();
	let failed =
		crate::worker::RunFailed { refusal: Refusal::Uncaught, message: "x".into(), units: 1 };
	let result = Err(crate::worker::RunEnd::Failed(failed));
	world.node(FIRST).tell(Event::RunEnded { agent, run: run.id, result });
	assert!(world.node(FIRST).sends.is_empty());
	world.settle();
	let answer = world.node(FIRST).replies.remove(&id).unwrap();
	assert_eq!(answer.unwrap_err().refusal(), Refusal::Uncaught);
	assert!(!departed.reads_of(&world, agent));
	assert_eq!(world.agents[&agent].record.version, 2);
}

#[test]
fn what_was_not_submitted_when_a_member_left_is_sealed_anew() {
	let (mut world, agent, departed) = Departed::of(92);
	for body in [&b"one"[..], b"two", b"six"] {
		world.request(agent, body);
	}
	world.seal();
	world.run(FIRST).unwrap();
	world.run(FIRST).unwrap();
	let third = world.next_run(FIRST).expect("on what the second wrote");
	assert_eq!(third.state.version, 3);
	world.leave(LATER, 2);
	world.settle();
	// The third runs on while what it runs on is sealed anew, and is not run again.
	let writes = vec![("last".into(), Some(b"six".to_vec()))];
	let output = CallOutput::default();
	let done = RunDone { output, writes, units: 1, unproven_inputs: 0 };
	world.node(FIRST).end_run(&third, done);
	world.settle();
	assert!(world.next_run(FIRST).is_none());
	assert_eq!((world.results.len(), world.refused), (3, 0));
	for worker in [FIRST, SECOND] {
		assert_eq!(world.entries(worker, agent), last(b"six"));
	}
	assert!(!departed.reads_of(&world, agent));
}

/// Strangers whose calls write and cost them nothing, to as many agents of one worker as it takes, again and
/// again.
struct Scribblers {
	agents: Vec<AgentId>,
}

impl Scribblers {
	/// In the order of their ids.
	fn come_to(world: &mut World, agents: usize) -> Self {
		let mut agents: Vec<_> = (0..agents)
			.map(|_| {
				let agent = world.register_agent(FIRST, Access::Public);
				world.settle();
				agent
			})
			.collect();
		agents.sort_unstable();
		Self { agents }
	}

	fn scribble(&self, world: &mut World) {
		for agent in &self.agents {
			for _ in 0..limits::PROPOSALS_MAX {
				let call = Box::new(OpenedCall::public(*agent, call_input(b"scribble")));
				world.node(FIRST).call(|reply| Event::Called { reply, call });
			}
		}
		Self::run(world);
	}

	/// All runs end at once, and all members are fast.
	fn run(world: &mut World) {
		while world.run(FIRST).is_some() {
			world.replicate();
		}
	}

	/// A block that takes so many of their worker's envelopes. They are at it before and after.
	fn block(&self, world: &mut World, takes: usize) {
		self.scribble(world);
		let left = Cell::new(takes);
		world.block(|worker, _| worker == FIRST && left.replace(left.get().saturating_sub(1)) == 0);
		Self::run(world);
	}
}

fn versions(world: &World, agents: &[AgentId]) -> Vec<StateVersion> {
	agents.iter().map(|agent| world.agents[agent].record.version).collect()
}

/// Of the commits that wait for the chain, in a cluster of two.
const UNPAID_MAX: usize = unpaid_commits_waiting_max(2) as usize;

#[test]
fn scribblers_hold_no_paid_answer_up_not_even_of_the_agent_they_scribble_on() {
	let (mut world, _) = World::with_agent(77);
	let scribblers = Scribblers::come_to(&mut world, 2 * UNPAID_MAX / limits::PROPOSALS_MAX + 4);
	scribblers.scribble(&mut world);
	let waiting = |world: &World| world.nodes[&FIRST].snapshot.envelopes.len();
	assert_eq!(waiting(&world), UNPAID_MAX);
	let victim = *scribblers.agents.last().unwrap();
	let deadline = world.chain.height() + limits::SETTLE_LEAD + 2;
	let order = RequestOrder { deadline, ..world.public_order(victim, b"paid") };
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	Scribblers::run(&mut world);
	// What it rests on goes with it.
	assert_eq!(waiting(&world), UNPAID_MAX + 2);
	world.settle();
	let paid = |(_, outcome): &(_, RequestOutcome)| matches!(outcome, RequestOutcome::Answered(_));
	assert!(world.results.len() == 1 && world.results.iter().all(paid), "{:?}", world.results);
}

#[test]
fn scribblers_keep_no_other_agent_from_being_written_or_born() {
	let (mut world, _) = World::with_agent(78);
	// More than find a place at once.
	let scribblers = Scribblers::come_to(&mut world, UNPAID_MAX + 9);
	let born = versions(&world, &scribblers.agents);
	scribblers.scribble(&mut world);
	let newborn = world.register_agent(FIRST, Access::Public);
	assert!(scribblers.agents.iter().filter(|agent| **agent < newborn).count() > UNPAID_MAX / 4);
	for _ in 0..5 {
		scribblers.block(&mut world, 14);
	}
	let written = versions(&world, &scribblers.agents);
	let idle = born.iter().zip(&written).filter(|(born, now)| born == now).count();
	assert_eq!(idle, 0, "{written:?}");
	assert!(world.agents[&newborn].record.version > 0, "it is born");
}

#[test]
fn scribblers_leave_the_last_place_of_an_agent_to_what_is_paid_for() {
	let (mut world, agent) = World::with_agent(79);
	// The chain takes none of their commits.
	let scribblers = Scribblers { agents: vec![agent] };
	for _ in 0..UNPAID_MAX {
		scribblers.scribble(&mut world);
	}
	let made = world.nodes[&FIRST].snapshot.envelopes.len();
	assert_eq!(made, limits::PROPOSALS_MAX - 1, "a place is left for what is paid for");
	world.request(agent, b"paid");
	world.seal();
	Scribblers::run(&mut world);
	assert_eq!(world.nodes[&FIRST].snapshot.envelopes.len(), limits::PROPOSALS_MAX);
}
