//! Calls that only read: how many run, how many wait, who is answered.

use super::{world::*, *};
use crate::{
	action::CallId,
	worker::{Run, RunDone},
	OpenedCall,
};
use codec::Encode;
use phala_keys::{
	input::InputKind,
	sr25519::{self, sign_with_published_seed},
};
use phala_protocol::{
	agents::{Access, AgentId},
	limits::ANSWERS_SIGNED_MAX,
	requests::{
		salted_hash, CallInput, CallOutput, CallerSignature, DirectCall, DirectCallContent,
	},
	H256,
};
use std::collections::{BTreeMap, BTreeSet};

fn get() -> CallInput {
	CallInput { method: b"GET".to_vec(), ..call_input(b"") }
}

fn read(world: &mut World, agent: AgentId) -> CallId {
	let call = Box::new(OpenedCall::public(agent, get()));
	world.node(FIRST).call(|reply| Event::Called { reply, call })
}

fn read_by_agent(world: &mut World, agent: AgentId, caller: AgentId) -> CallId {
	let call = Box::new(OpenedCall::by_agent(agent, caller, get()));
	world.node(FIRST).call(|reply| Event::Called { reply, call })
}

fn end(world: &mut World, run: &Run) {
	let output = CallOutput { status: 200, headers: vec![], body: b"read".to_vec() };
	let done = RunDone { output, writes: vec![], units: 1, unproven_inputs: 0 };
	world.node(FIRST).end_run(run, done);
}

#[test]
fn a_read_runs_on_the_committed_state_and_its_answer_is_signed() {
	let (mut world, agent) = World::with_agent(30);
	world.request_and_run(agent, b"not committed yet");
	let id = read(&mut world, agent);
	let run = world.next_run(FIRST).unwrap();
	assert!(!run.writable);
	assert!(run.state.entries.is_empty(), "speculation is for nobody to see");
	end(&mut world, &run);
	let Ok(Answer::Plain(answer)) = world.node(FIRST).replies.remove(&id).unwrap() else {
		panic!("it is answered in the clear")
	};
	assert_eq!(answer.output.body, b"read");
	assert_eq!(answer.proof.content.state_version, 1);
	assert_eq!(world.nodes[&FIRST].proofs.last(), Some(&answer.proof));
}

/// So many reads whose runs have ended, of which as many answers are being signed as may be at once.
fn busy_with(world: &mut World, agent: AgentId, together: usize) -> Vec<CallId> {
	world.node(FIRST).held_tasks = Some(Vec::new());
	let count = limits::ANSWER_TASKS_MAX + together;
	let calls: Vec<_> = (0..count).map(|_| read(world, agent)).collect();
	for _ in 0..count {
		let run = world.next_run(FIRST).unwrap();
		end(world, &run);
	}
	let tasks = world.node(FIRST).held_tasks.as_ref().unwrap();
	assert_eq!(tasks.len(), limits::ANSWER_TASKS_MAX, "the others wait");
	calls
}

/// Each call has its own answer, and each answer's proof leads to what the boot signed.
fn check_answers(world: &mut World, calls: &[CallId]) {
	let identity = world.nodes[&FIRST].machine.public_keys().identity;
	let mut ids = BTreeSet::new();
	for call in calls {
		let Some(Ok(Answer::Plain(answer))) = world.node(FIRST).replies.remove(call) else {
			panic!("it is answered in the clear")
		};
		let statement = answer.proof.statement().unwrap().encode();
		assert!(sr25519::verify(&identity, &statement, &answer.proof.signature));
		let of_output = salted_hash(answer.salt, &answer.output.encode());
		assert_eq!(answer.proof.content.response_hash, of_output);
		ids.insert(answer.proof.id());
	}
	assert_eq!(ids.len(), calls.len());
}

#[test]
fn answers_that_come_while_others_are_signed_share_a_signature_and_each_is_proven() {
	let (mut world, agent) = World::with_agent(36);
	let calls = busy_with(&mut world, agent, 5);
	world.node(FIRST).release_tasks();
	check_answers(&mut world, &calls);
	let expected = [[1; limits::ANSWER_TASKS_MAX].as_slice(), &[5]].concat();
	assert_eq!(signed_together(&world), expected);
}

/// How many answers each signature is of, the fewest first.
fn signed_together(world: &World) -> Vec<usize> {
	let mut by_signature = BTreeMap::<_, usize>::new();
	for proof in &world.nodes[&FIRST].proofs {
		*by_signature.entry(proof.signature).or_default() += 1;
	}
	let mut together: Vec<_> = by_signature.into_values().collect();
	together.sort();
	together
}

#[test]
fn no_more_answers_are_signed_together_than_their_tree_has_leaves() {
	let (mut world, agent) = World::with_agent(38);
	let other = world.register_agent_with(FIRST, Access::Public, 0xd0);
	world.settle();
	let before = world.nodes[&FIRST].proofs.len();
	assert_eq!(before, 0);
	world.node(FIRST).held_tasks = Some(Vec::new());
	let count = limits::ANSWER_TASKS_MAX + ANSWERS_SIGNED_MAX + 1;
	let calls: Vec<_> = (0..count).map(|n| read(&mut world, [agent, other][n % 2])).collect();
	for _ in 0..count {
		let run = world.next_run(FIRST).unwrap();
		end(&mut world, &run);
	}
	world.node(FIRST).release_tasks();
	check_answers(&mut world, &calls);
	let together = signed_together(&world);
	assert_eq!(together.last(), Some(&ANSWERS_SIGNED_MAX), "{together:?}");
	assert_eq!(together.iter().sum::<usize>(), count);
}

#[test]
fn what_fails_to_be_signed_together_is_signed_alone_and_one_of_it_fails_by_itself() {
	let (mut world, agent) = World::with_agent(37);
	let calls = busy_with(&mut world, agent, 3);
	let mut first = world.node(FIRST).held_tasks.replace(Vec::new()).unwrap();
	for task in first.split_off(1) {
		let done = world.node(FIRST).done(task);
		world.node(FIRST).tell(done);
	}
	let together = world.node(FIRST).held_tasks.replace(Vec::new()).unwrap();
	assert_eq!(together.len(), 1);
	world.node(FIRST).tell(Event::TaskFailed { task: together[0].id() });
	let mut alone = world.node(FIRST).held_tasks.replace(Vec::new()).unwrap();
	assert_eq!(alone.len(), 3);
	// One of them cannot be signed, however often it is tried.
	let poisoned = alone.remove(1).id();
	for _ in 0..2 {
		world.node(FIRST).tell(Event::TaskFailed { task: poisoned });
	}
	first.extend(alone);
	for task in first {
		let done = world.node(FIRST).done(task);
		world.node(FIRST).tell(done);
	}
	let (refused, answered): (Vec<_>, Vec<_>) =
		calls.into_iter().partition(|call| world.nodes[&FIRST].replies[call].is_err());
	assert_eq!(refused.len(), 1);
	check_answers(&mut world, &answered);
}

#[test]
fn so_many_reads_of_an_agent_run_so_many_wait_and_the_next_is_refused() {
	let (mut world, agent) = World::with_agent(31);
	let other = world.register_agent(FIRST, Access::Public);
	world.settle();
	let max = limits::AGENT_RUNS_MAX + limits::AGENT_REQUESTS_WAITING_MAX;
	let calls: Vec<_> = (0..max).map(|_| read(&mut world, agent)).collect();
	assert_eq!(world.node(FIRST).runs.len(), limits::AGENT_RUNS_MAX);
	assert!(calls.iter().all(|call| !world.nodes[&FIRST].replies.contains_key(call)));
	let refused = read(&mut world, agent);
	let refused = world.node(FIRST).replies.remove(&refused).unwrap().unwrap_err();
	assert_eq!(refused.refusal(), Refusal::AgentRequests);
	// Another agent has places of its own.
	read(&mut world, other);
	assert_eq!(world.node(FIRST).runs.len(), limits::AGENT_RUNS_MAX + 1);

	// One ends: the first that waits runs.
	let run = world.next_run(FIRST).unwrap();
	end(&mut world, &run);
	assert_eq!(world.node(FIRST).runs.len(), limits::AGENT_RUNS_MAX + 1);
	assert!(world.nodes[&FIRST].replies.contains_key(&calls[0]));
}

#[test]
fn a_read_waits_so_long_for_its_turn_and_no_longer() {
	let (mut world, agent) = World::with_agent(32);
	for _ in 0..limits::AGENT_RUNS_MAX {
		read(&mut world, agent);
	}
	let waiting = read(&mut world, agent);
	world.wait(limits::REQUEST_WAIT_MS_MAX - 1);
	world.node(FIRST).tell(Event::Tick);
	assert!(!world.nodes[&FIRST].replies.contains_key(&waiting));
	world.wait(1);
	assert!(world.nodes[&FIRST].machine.next_deadline() <= Some(world.now));
	world.node(FIRST).tell(Event::Tick);
	let refused = world.node(FIRST).replies.remove(&waiting).unwrap().unwrap_err();
	assert_eq!(refused.refusal(), Refusal::WaitTime);
}

#[test]
fn a_caller_is_answered_at_last_even_if_its_run_never_ends() {
	let (mut world, agent) = World::with_agent(33);
	let plain = Box::new(OpenedCall::public(agent, call_input(b"write")));
	let write = world.node(FIRST).call(|reply| Event::Called { reply, call: plain });
	world.next_run(FIRST).unwrap();
	let id = read(&mut world, agent);
	let run = world.next_run(FIRST).unwrap();
	world.wait(limits::CALL_WAIT_MS_MAX);
	world.node(FIRST).tell(Event::Tick);
	let refused = world.node(FIRST).replies.remove(&write).unwrap().unwrap_err();
	assert_eq!(refused.refusal(), Refusal::MayStillCommit);
	// What only reads may take as long as an agent lets a run take, and has nothing to commit.
	world.wait(limits::READ_WAIT_MS_MAX - limits::CALL_WAIT_MS_MAX - 1);
	world.node(FIRST).tell(Event::Tick);
	assert!(!world.nodes[&FIRST].replies.contains_key(&id));
	world.wait(1);
	world.node(FIRST).tell(Event::Tick);
	let refused = world.node(FIRST).replies.remove(&id).unwrap().unwrap_err();
	assert_eq!(refused.refusal(), Refusal::ReadTime);
	// What comes afterwards is for nobody.
	end(&mut world, &run);
	assert!(!world.nodes[&FIRST].replies.contains_key(&id));
}

#[test]
fn agents_call_each_other_to_read_and_never_wait_for_a_place() {
	let (mut world, agent) = World::with_agent(34);
	let caller = H256([0xca; 32]);
	let call = Box::new(OpenedCall::by_agent(agent, caller, call_input(b"write")));
	let refused = world.node(FIRST).ask(|reply| Event::Called { reply, call });
	assert_eq!(refused, Err(MachineError::CallToWrite));

	for _ in 0..limits::AGENT_RUNS_MAX {
		read_by_agent(&mut world, agent, caller);
	}
	let run = world.next_run(FIRST).unwrap();
	assert_eq!(
		(run.caller, run.called_by_agent.is_some()),
		(Some(phala_protocol::caller::Caller::Agent(caller)), true)
	);
	let refused = read_by_agent(&mut world, agent, caller);
	let refused = world.node(FIRST).replies.remove(&refused).unwrap();
	assert_eq!(refused, Err(MachineError::Busy));

	let listed = world.register_agent(FIRST, Access::Listed);
	world.settle();
	let refused = read_by_agent(&mut world, listed, caller);
	let refused = world.node(FIRST).replies.remove(&refused).unwrap();
	assert_eq!(refused, Err(MachineError::CallerNotAllowed));
}

#[test]
fn reads_that_agents_make_have_places_of_their_own_and_leave_those_for_what_writes() {
	let (mut world, first) = World::with_agent(35);
	let others: Vec<_> = (0..3).map(|_| world.register_agent(FIRST, Access::Public)).collect();
	world.settle();
	for _ in 0..limits::AGENT_RUNS_MAX {
		read(&mut world, first);
		read(&mut world, others[0]);
	}
	for _ in 0..limits::NESTED_READS_MAX {
		read_by_agent(&mut world, others[1], first);
	}
	let most = limits::READS_MAX + limits::NESTED_READS_MAX;
	assert_eq!(world.node(FIRST).runs.len(), most);
	let refused = read_by_agent(&mut world, others[2], first);
	let refused = world.node(FIRST).replies.remove(&refused).unwrap();
	assert_eq!(refused, Err(MachineError::Busy));
	assert_eq!(world.node(FIRST).runs.len(), most);
	// One of them ends: there is a place for the next of its kind.
	let run = world.node(FIRST).runs.pop_back().unwrap();
	end(&mut world, &run);
	read_by_agent(&mut world, others[2], first);
	assert_eq!(world.node(FIRST).runs.len(), most);
}

#[test]
fn reads_that_wait_take_turns_by_agent() {
	let (mut world, first) = World::with_agent(36);
	let others = [(); 2].map(|()| world.register_agent(FIRST, Access::Public));
	world.settle();
	// Neither by who came first nor by id would it be the last one's turn.
	let mut agents = [first, others[0], others[1]];
	agents.sort();
	let [one, two, patient] = agents;
	assert_eq!(limits::READS_MAX, 2 * limits::AGENT_RUNS_MAX);
	for _ in 0..2 * limits::AGENT_RUNS_MAX {
		read(&mut world, one);
		read(&mut world, two);
	}
	read(&mut world, patient);
	for _ in 0..3 {
		let run = world.next_run(FIRST).unwrap();
		end(&mut world, &run);
	}
	let runs: Vec<_> = world.node(FIRST).runs.iter().map(|run| run.agent).collect();
	assert!(runs.contains(&patient));
}

fn sealed_read(world: &mut World, agent: AgentId) -> DirectCall {
	let (sealed, ..) = world.seal_for(agent, InputKind::Direct, USER_SEED, get().encode());
	let caller = caller_of(USER_SEED);
	let content = DirectCallContent::new(world.chain.genesis(), agent, caller, &sealed);
	let signature =
		CallerSignature::Sr25519(sign_with_published_seed(USER_SEED, &content.encode()));
	DirectCall { caller, sealed, signature }
}

/// The refusal, if it is not taken.
fn refusal(world: &mut World, agent: AgentId, call: &DirectCall) -> Option<Refusal> {
	let id = world.call(FIRST, agent, call).unwrap();
	let answer = world.node(FIRST).replies.remove(&id)?;
	Some(answer.expect_err("it waits or is refused").refusal())
}

#[test]
fn a_sealed_read_that_finds_no_place_may_come_again_and_one_that_was_taken_may_not() {
	let (mut world, agent) = World::with_agent(37);
	// The crowd: every place is taken, to wait too.
	for _ in 0..limits::AGENT_RUNS_MAX + limits::AGENT_REQUESTS_WAITING_MAX {
		read(&mut world, agent);
	}
	let call = sealed_read(&mut world, agent);
	assert_eq!(refusal(&mut world, agent, &call), Some(Refusal::AgentRequests));
	let run = world.next_run(FIRST).unwrap();
	end(&mut world, &run);
	assert_eq!(refusal(&mut world, agent, &call), None);
	assert_eq!(refusal(&mut world, agent, &call), Some(Refusal::Repeated));
}
