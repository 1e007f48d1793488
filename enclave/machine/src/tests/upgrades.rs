//! Upgrades: new code is ready before it runs, and at the switch nobody is refused.

use super::{world::*, *};
use crate::{
	action::CallId,
	worker::{CodeProgress, Run, RunDone},
	OpenedCall,
};
use phala_keys::{input::InputKind, sr25519::sign_with_published_seed};
use phala_protocol::{
	agents::{AgentCode, AgentId},
	messages::AgentsMessage,
	requests::{CallInput, CallOutput, CallerSignature, DirectCall, DirectCallContent},
	H256,
};

const NEW: AgentCode = AgentCode { component: H256([0xee; 32]), manifest: H256([0xed; 32]) };

fn code(world: &World, agent: AgentId) -> AgentCode {
	world.agents[&agent].record.code
}

fn tell(world: &mut World, agent: AgentId) {
	let snapshot = world.agents[&agent].clone();
	world.tell_cluster(AgentsMessage::Agent(snapshot));
	world.seal();
}

/// The chain says what is to run later.
fn plan(world: &mut World, agent: AgentId) {
	world.agents.get_mut(&agent).unwrap().planned = Some(NEW);
	tell(world, agent);
}

/// It runs from this block on.
fn switch(world: &mut World, agent: AgentId) {
	let snapshot = world.agents.get_mut(&agent).unwrap();
	(snapshot.record.code, snapshot.record.code_version) = (NEW, 2);
	snapshot.planned = None;
	tell(world, agent);
}

fn progress(world: &World, agent: AgentId) -> CodeProgress {
	let view = world.nodes[&FIRST].snapshot.agent(agent).unwrap();
	let (code, progress) = view.planned.clone().unwrap();
	assert_eq!(code, NEW);
	progress
}

fn public(world: &mut World, agent: AgentId, method: &str, body: &[u8]) -> CallId {
	let input = CallInput { method: method.into(), ..call_input(body) };
	let call = Box::new(OpenedCall::public(agent, input));
	world.node(FIRST).call(|reply| Event::Called { reply, call })
}

fn end(world: &mut World, run: &Run) {
	let output = CallOutput { status: 200, headers: vec![], body: run.input.body.clone() };
	let done = RunDone { output, writes: vec![], units: 1, unproven_inputs: 0 };
	world.node(FIRST).end_run(run, done);
	// What runs next rests on what has gone to the chain.
	world.replicate();
}

fn answer(world: &mut World, call: CallId) -> Result<Answer, MachineError> {
	world.node(FIRST).replies.remove(&call).expect("it is answered")
}

#[test]
fn code_that_is_to_come_is_compiled_while_the_old_serves_and_nothing_is_refused_at_the_switch() {
	let (mut world, agent) = World::with_agent(80);
	let old = code(&world, agent);
	world.node(FIRST).held_compiles = Some(Vec::new());
	plan(&mut world, agent);
	assert_eq!(world.node(FIRST).held_compiles, Some(vec![NEW]));
	assert!(matches!(progress(&world, agent), CodeProgress::Compiling));
	public(&mut world, agent, "GET", b"");
	assert_eq!(world.next_run(FIRST).unwrap().code, old);

	let compiled = world.node(FIRST).compiled(NEW);
	world.node(FIRST).tell(compiled);
	assert!(matches!(progress(&world, agent), CodeProgress::Ready));
	public(&mut world, agent, "GET", b"");
	assert_eq!(world.next_run(FIRST).unwrap().code, old, "it is not its block yet");

	switch(&mut world, agent);
	let now = world.now;
	assert!(world.nodes[&FIRST].snapshot.ready(agent, now).is_ok());
	for method in ["GET", "POST"] {
		public(&mut world, agent, method, b"");
		assert_eq!(world.next_run(FIRST).unwrap().code, NEW, "{method}");
	}
	assert_eq!(world.node(FIRST).held_compiles, Some(vec![NEW]), "once");
}

#[test]
fn what_the_chain_names_is_what_runs_even_when_it_is_not_ready() {
	let (mut world, agent) = World::with_agent(81);
	world.node(FIRST).held_compiles = Some(Vec::new());
	switch(&mut world, agent);
	let call = public(&mut world, agent, "GET", b"");
	assert_eq!(answer(&mut world, call).unwrap_err().refusal(), Refusal::NotReady);
	assert!(world.next_run(FIRST).is_none());
}

#[test]
fn a_run_that_an_upgrade_overtakes_ends_on_its_code_and_names_the_block_that_it_began_on() {
	let (mut world, agent) = World::with_agent(82);
	let old = code(&world, agent);
	plan(&mut world, agent);
	let block = world.chain.height();
	let calls = ["GET", "POST"].map(|method| public(&mut world, agent, method, b"begun"));
	let runs = calls.map(|_| world.next_run(FIRST).unwrap());
	switch(&mut world, agent);
	assert!(world.node(FIRST).kept.programs.contains(&old), "it runs");
	runs.iter().for_each(|run| end(&mut world, run));
	for call in calls {
		let Ok(Answer::Plain(answered)) = answer(&mut world, call) else {
			panic!("it is answered in the clear")
		};
		let content = answered.proof.content;
		assert_eq!((content.code, content.block), (old, block));
	}
	world.seal();
	assert_eq!(world.node(FIRST).kept.programs, [NEW].into());
}

#[test]
fn a_call_that_waits_at_the_switch_is_run_by_the_new_code_unless_its_caller_named_the_old() {
	let (mut world, agent) = World::with_agent(83);
	let old = code(&world, agent);
	plan(&mut world, agent);
	public(&mut world, agent, "POST", b"first");
	let first = world.next_run(FIRST).unwrap();
	let plain = public(&mut world, agent, "POST", b"plain");
	let mut sealed = |accepted: Vec<H256>| {
		world.accepted = accepted;
		let call = world.direct(agent, USER_SEED);
		world.call(FIRST, agent, &call).unwrap()
	};
	let named = sealed(vec![old.component]);
	let both = sealed(vec![old.component, NEW.component]);
	let any = sealed(vec![]);
	assert!(world.next_run(FIRST).is_none(), "one after another");

	switch(&mut world, agent);
	end(&mut world, &first);
	for _ in [plain, both, any] {
		let run = world.next_run(FIRST).expect("it runs");
		assert_eq!(run.code, NEW);
		end(&mut world, &run);
	}
	assert_eq!(answer(&mut world, named).unwrap_err().refusal(), Refusal::OtherCode);
	assert!(world.next_run(FIRST).is_none());
	assert!(answer(&mut world, plain).is_ok());
}

/// The caller's host, or the worker's: seals with one conversation, to this code.
fn sealed(world: &mut World, agent: AgentId, method: &str, to: AgentCode) -> DirectCall {
	world.accepted = vec![to.component];
	let body = CallInput { method: method.into(), ..call_input(b"once") }.encode();
	let (sealed, ..) = world.seal_for(agent, InputKind::Direct, USER_SEED, body);
	let caller = caller_of(USER_SEED);
	let content = DirectCallContent::new(world.chain.genesis(), agent, caller, &sealed);
	let signature =
		CallerSignature::Sr25519(sign_with_published_seed(USER_SEED, &content.encode()));
	DirectCall { caller, sealed, signature }
}

/// The host of a worker, which keeps each copy that it was given and brings all of them again.
struct Hoarder(Vec<DirectCall>);

impl Hoarder {
	fn refusals(&self, world: &mut World, agent: AgentId) -> Vec<Refusal> {
		let mut refusals = Vec::new();
		for copy in &self.0 {
			refusals.push(match world.call(FIRST, agent, copy) {
				Err(refused) => refused.refusal(),
				Ok(call) => answer(world, call).expect_err("it is refused at once").refusal(),
			});
		}
		refusals
	}
}

#[test]
fn what_waited_for_the_old_code_is_taken_again_when_it_is_sealed_anew_and_runs_once() {
	for (seed, method) in [(85, "GET"), (86, "POST")] {
		let (mut world, agent) = World::with_agent(seed);
		let old = code(&world, agent);
		plan(&mut world, agent);
		// The crowd: no place is left, to read nor to write.
		for _ in 0..limits::AGENT_RUNS_MAX {
			public(&mut world, agent, "GET", b"");
		}
		public(&mut world, agent, "POST", b"");
		let crowd: Vec<_> = std::iter::from_fn(|| world.next_run(FIRST)).collect();
		world.conversation = Some(([9; 32], world.chain.height() + 100));
		let first = sealed(&mut world, agent, method, old);
		let waits = world.call(FIRST, agent, &first).unwrap();
		assert!(world.next_run(FIRST).is_none(), "it waits");

		switch(&mut world, agent);
		crowd.iter().for_each(|run| end(&mut world, run));
		assert_eq!(answer(&mut world, waits).unwrap_err().refusal(), Refusal::OtherCode);
		assert!(world.next_run(FIRST).is_none(), "it never ran");

		let second = sealed(&mut world, agent, method, NEW);
		let anew = world.call(FIRST, agent, &second).unwrap();
		let run = world.next_run(FIRST).expect("it is taken with the nonce that it had");
		assert_eq!(run.code, NEW);
		let hoarder = Hoarder(vec![first, second]);
		let refused = [Refusal::CodeNotAccepted, Refusal::Repeated];
		assert_eq!(hoarder.refusals(&mut world, agent), refused, "while it runs");
		end(&mut world, &run);
		world.settle();
		assert!(answer(&mut world, anew).is_ok());
		assert_eq!(hoarder.refusals(&mut world, agent), refused, "and after");
		assert!(world.next_run(FIRST).is_none());
	}
}

#[test]
fn a_copy_for_other_code_of_what_was_taken_is_a_repeat() {
	let (mut world, agent) = World::with_agent(88);
	let old = code(&world, agent);
	world.conversation = Some(([9; 32], world.chain.height() + 100));
	let first = sealed(&mut world, agent, "POST", old);
	let call = world.call(FIRST, agent, &first).unwrap();
	// The liar: its enclave has taken the call, and it says that it was refused for its code.
	world.run(FIRST).unwrap();
	world.settle();
	assert!(answer(&mut world, call).is_ok());
	switch(&mut world, agent);
	let liar = Hoarder(vec![sealed(&mut world, agent, "POST", NEW)]);
	assert_eq!(liar.refusals(&mut world, agent), [Refusal::Repeated]);
	assert!(world.next_run(FIRST).is_none());
}

#[test]
fn what_ran_for_the_old_code_and_was_not_committed_is_not_said_to_have_been_refused_for_its_code() {
	let (mut world, agent) = World::with_agent(89);
	let old = code(&world, agent);
	plan(&mut world, agent);
	world.conversation = Some(([9; 32], world.chain.height() + 100));
	let first = sealed(&mut world, agent, "POST", old);
	let call = world.call(FIRST, agent, &first).unwrap();
	world.run(FIRST).expect("it runs, and does outside what it does");
	world.replicate();
	public(&mut world, agent, "POST", b"next");
	let next = world.next_run(FIRST).expect("it runs on what the first wrote");
	world.refuses_next = true;
	world.settle();
	assert_eq!(world.refused, 1);
	assert!(world.next_run(FIRST).is_none(), "one after another");

	switch(&mut world, agent);
	end(&mut world, &next);
	assert_eq!(answer(&mut world, call).unwrap_err().refusal(), Refusal::NotCommitted);
	let again = Hoarder(vec![sealed(&mut world, agent, "POST", NEW)]);
	assert_eq!(again.refusals(&mut world, agent), [Refusal::Repeated]);
}

#[test]
fn why_code_that_is_to_come_is_refused_is_told_and_the_old_serves_on() {
	let (mut world, agent) = World::with_agent(84);
	let old = code(&world, agent);
	world.node(FIRST).held_compiles = Some(Vec::new());
	plan(&mut world, agent);
	let program = Err("x".repeat(limits::REFUSED_CODE_CHARS_MAX + 1));
	world.node(FIRST).tell(Event::Compiled { code: NEW, program });
	let CodeProgress::Refused(why) = progress(&world, agent) else { panic!("it is refused") };
	assert_eq!(why.len(), limits::REFUSED_CODE_CHARS_MAX);
	public(&mut world, agent, "GET", b"");
	assert_eq!(world.next_run(FIRST).unwrap().code, old);
	assert_eq!(world.node(FIRST).held_compiles, Some(vec![NEW]), "nor is it tried again");
}

#[test]
fn a_program_that_comes_when_nobody_names_it_any_more_is_none() {
	let (mut world, agent) = World::with_agent(87);
	world.node(FIRST).held_compiles = Some(Vec::new());
	plan(&mut world, agent);
	// The waverer takes its upgrade back while it is compiled.
	world.agents.get_mut(&agent).unwrap().planned = None;
	tell(&mut world, agent);
	let compiled = world.node(FIRST).compiled(NEW);
	world.node(FIRST).tell(compiled);
	plan(&mut world, agent);
	assert!(matches!(progress(&world, agent), CodeProgress::Compiling));
	assert_eq!(world.node(FIRST).held_compiles, Some(vec![NEW, NEW]));
}
