//! A gatekeeper and two members of a cluster.

use super::{
	disks::{supply, LATER},
	world::*,
	*,
};
use crate::{worker::RunDone, OpenedCall};
use phala_keys::{
	hpke::{EncryptionKey, Sealed},
	input::InputKind,
	reply::{open_reply, ReplyContext},
	sr25519::{sign_with_published_seed, verify},
};
use phala_protocol::{
	agents::{Access, Lease},
	messages::{AgentsMessage, ClustersMessage, RequestsMessage},
	requests::{
		salted_hash, CallOutput, CallerSignature, DirectCall, DirectCallContent, ProvenAnswer,
		RequestInput, RequestKind, RequestOrder, RequestOutcome,
	},
	H256,
};

#[test]
fn an_agent_is_born_and_every_member_has_its_keys() {
	let (world, agent) = World::with_agent(1);
	let on_chain = world.key(agent);
	for worker in [FIRST, SECOND] {
		let view = world.nodes[&worker].snapshot.agent(agent).unwrap();
		let keys = view.state.keys.as_ref().unwrap();
		assert_eq!(keys.encryption_key().1 .0, on_chain.key);
	}
}

#[test]
fn a_sealed_request_is_opened_once_answered_proven_and_kept_by_both() {
	let (mut world, agent) = World::with_agent(2);
	let body = call_input(PLAINTEXT).encode();
	let (sealed, reply, nonce) = world.seal_for(agent, InputKind::Request, USER_SEED, body);
	let order = world.order(agent, RequestKind::Call, RequestInput::Sealed(sealed));
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	assert!(world.next_run(SECOND).is_none(), "only the lease holder runs it");
	let run = world.run(FIRST).expect("the lease holder has work");
	assert!(run.entropy.is_some());
	world.settle();
	assert_eq!(world.node(FIRST).opened, 1);

	assert_eq!(world.results.len(), 1);
	let RequestOutcome::Answered(answer) = &world.results[0].1 else { panic!("it failed") };
	let context = ReplyContext::new(world.chain.genesis(), agent, caller_of(USER_SEED), nonce);
	let sealed = Sealed::decode_all(&mut &answer[..]).unwrap();
	let opened = open_reply(&reply, &context, &sealed).unwrap();
	let proven = ProvenAnswer::decode_all(&mut opened.expose()).unwrap();
	assert_eq!(proven.output.body, PLAINTEXT);
	let content = &proven.proof.content;
	assert_eq!(content.request_hash, salted_hash(proven.salt, &call_input(PLAINTEXT).encode()));
	assert_eq!(content.response_hash, salted_hash(proven.salt, &proven.output.encode()));
	assert_eq!((content.worker, content.state_version), (FIRST, 2));
	let identity = world.nodes[&FIRST].machine.public_keys().identity;
	let statement = proven.proof.statement().unwrap();
	assert!(verify(&identity, &statement.encode(), &proven.proof.signature));
	assert_eq!(world.nodes[&FIRST].proofs, std::slice::from_ref(&proven.proof));
	for worker in [FIRST, SECOND] {
		assert_eq!(world.entries(worker, agent), last(PLAINTEXT));
	}
}

#[test]
fn an_answer_that_its_caller_could_not_open_is_a_failure_and_its_writes_are_dropped() {
	let (mut world, agent) = World::with_agent(20);
	let body = call_input(PLAINTEXT).encode();
	// One asks for more than a seal holds, the other gives a key that nobody can have.
	let (large, ..) = world.seal_for(agent, InputKind::Request, USER_SEED, body.clone());
	let low_order = EncryptionKey([0; 32]);
	let (unreadable, _) = world.seal_with(agent, InputKind::Request, USER_SEED, low_order, body);
	for (sealed, answer_bytes, refusal) in [
		(large, 5 * 1024 * 1024, Refusal::ResponseBytes),
		(unreadable, 10, Refusal::UnusableRecipient),
	] {
		world.results.clear();
		let order = world.order(agent, RequestKind::Call, RequestInput::Sealed(sealed));
		world.tell_cluster(RequestsMessage::Request(order));
		world.seal();
		let run = world.next_run(FIRST).expect("it runs");
		let output = CallOutput { status: 200, headers: vec![], body: vec![1; answer_bytes] };
		let writes = vec![("last".into(), Some(b"unseen".to_vec()))];
		let done = RunDone { output, writes, units: 3, unproven_inputs: 0 };
		world.node(FIRST).end_run(&run, done);
		world.settle();
		assert_eq!(world.results[0].1, RequestOutcome::Failed(refusal.code()));
		assert!(world.entries(SECOND, agent).is_empty(), "{refusal:?}");
	}
}

#[test]
fn an_input_is_opened_once_though_its_effect_set_is_refused_and_made_again() {
	let (mut world, agent) = World::with_agent(19);
	let body = call_input(PLAINTEXT).encode();
	let (sealed, ..) = world.seal_for(agent, InputKind::Request, USER_SEED, body);
	let order = world.order(agent, RequestKind::Call, RequestInput::Sealed(sealed));
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.refuses_next = true;
	assert_eq!(world.run(FIRST).unwrap().attempt, 1);
	world.settle();
	assert_eq!(world.refused, 1);
	assert_eq!(world.run(FIRST).unwrap().attempt, 2);
	world.settle();
	assert_eq!(world.results.len(), 1);
	assert_eq!(world.entries(SECOND, agent), last(PLAINTEXT));
	assert_eq!(world.node(FIRST).opened, 1);
}

#[test]
fn a_thief_s_copy_of_a_sealed_input_fails_and_says_nothing() {
	let (mut world, agent) = World::with_agent(3);
	let body = call_input(PLAINTEXT).encode();
	let (sealed, ..) = world.seal_for(agent, InputKind::Request, USER_SEED, body);
	let mut order = world.order(agent, RequestKind::Call, RequestInput::Sealed(sealed));
	order.caller = caller_of(THIEF_SEED);
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	assert!(world.next_run(FIRST).is_none(), "the sandbox never sees it");
	world.settle();
	let failed = RequestOutcome::Failed(Refusal::OriginIsNotCaller.code());
	assert_eq!(world.results[0].1, failed);
}

#[test]
fn a_direct_call_of_a_thief_a_repeat_and_an_input_of_another_kind_are_refused() {
	let (mut world, agent) = World::with_agent(4);
	let call = world.direct(agent, USER_SEED);
	let stolen = DirectCall {
		caller: caller_of(THIEF_SEED),
		signature: {
			let caller = caller_of(THIEF_SEED);
			let content =
				DirectCallContent::new(world.chain.genesis(), agent, caller, &call.sealed);
			CallerSignature::Sr25519(sign_with_published_seed(THIEF_SEED, &content.encode()))
		},
		..call.clone()
	};
	let mut refusal = |call: &DirectCall| match world.call(FIRST, agent, call) {
		Err(refused) => Some(refused.refusal()),
		Ok(id) => {
			let answer = world.node(FIRST).replies.remove(&id)?;
			Some(answer.expect_err("nothing is committed yet").refusal())
		}
	};
	assert_eq!(refusal(&stolen), Some(Refusal::OriginIsNotCaller));
	let forged = DirectCall { caller: caller_of(THIEF_SEED), ..call.clone() };
	assert_eq!(refusal(&forged), Some(Refusal::BadSignature));
	assert_eq!(refusal(&call), None, "it is taken");
	assert_eq!(refusal(&call), Some(Refusal::Repeated));
	let run = world.next_run(FIRST).unwrap();
	assert_eq!(*run.input, call_input(PLAINTEXT));
	assert!(world.next_run(FIRST).is_none());

	let body = call_input(PLAINTEXT).encode();
	let (sealed, ..) = world.seal_for(agent, InputKind::Request, USER_SEED, body);
	let caller = caller_of(USER_SEED);
	let content = DirectCallContent::new(world.chain.genesis(), agent, caller, &sealed);
	let signature =
		CallerSignature::Sr25519(sign_with_published_seed(USER_SEED, &content.encode()));
	let other_kind = DirectCall { caller, sealed, signature };
	let refused = world.call(FIRST, agent, &other_kind).unwrap_err();
	assert_eq!(refused.refusal(), Refusal::DoesNotOpen);
}

#[test]
fn a_stranger_is_not_let_in_to_an_agent_with_a_list() {
	let (mut world, _) = World::with_agent(5);
	let agent = world.register_agent(FIRST, Access::Listed);
	world.settle();
	let stranger = world.direct(agent, THIEF_SEED);
	let refused = world.call(FIRST, agent, &stranger);
	assert_eq!(refused, Err(MachineError::CallerNotAllowed));
	// Past the check, as if the list had changed between it and the turn.
	let plain = Box::new(OpenedCall::public(agent, call_input(b"x")));
	let refused = world.node(FIRST).ask(|reply| Event::Called { reply, call: plain });
	assert_eq!(refused, Err(MachineError::CallerNotAllowed));
	let owner = world.direct(agent, USER_SEED);
	world.call(FIRST, agent, &owner).unwrap();
	assert!(world.next_run(FIRST).is_some());
}

#[test]
fn an_enclave_whose_view_is_old_neither_answers_nor_runs_paid_work() {
	let (mut world, agent) = World::with_agent(6);
	let call = world.direct(agent, USER_SEED);
	world.request(agent, b"x");
	world.wait(limits::MARK_AGE_MAX_MS + 1);
	world.seal();
	assert!(world.next_run(FIRST).is_none());
	let refused = world.call(FIRST, agent, &call).unwrap_err();
	assert_eq!(refused.refusal(), Refusal::NotFresh);
	let plain = Box::new(OpenedCall::public(agent, call_input(b"x")));
	let refused = world.node(FIRST).ask(|reply| Event::Called { reply, call: plain });
	assert_eq!(refused.unwrap_err().refusal(), Refusal::NotFresh);

	// Its heartbeats come back: it works again.
	world.settle();
	assert!(world.next_run(FIRST).is_some());
}

fn only_heartbeats_leave(world: &World) {
	for envelope in &world.nodes[&GATEKEEPER].snapshot.envelopes {
		let payload = Payload::decode_all(&mut &envelope.payload[..]).unwrap();
		assert!(
			matches!(payload, Payload::Registry(RegistryPayload::Heartbeat { .. })),
			"nothing else leaves: {payload:?}"
		);
	}
}

#[test]
fn a_gatekeeper_whose_view_is_old_releases_nothing() {
	let (mut world, _) = World::with_agent(20);
	let released = world.releases;
	world.boot(LATER);
	world.join(LATER);
	world.seal();
	// The member's request is on its way when the gatekeeper's view grows old.
	world.wait(limits::MARK_AGE_MAX_MS + 1);
	let requests: Vec<_> = world.nodes[&LATER].snapshot.envelopes.clone();
	assert!(!requests.is_empty(), "it asks for the cluster's secret");
	for envelope in requests {
		world.land(LATER, &envelope);
	}
	world.consume(LATER);
	world.seal();
	only_heartbeats_leave(&world);
	assert_eq!(world.releases, released);

	// Its heartbeat comes back, and the request that waited is answered.
	world.settle();
	assert!(world.releases > released);
	assert!(world.nodes[&LATER].snapshot.cluster().unwrap().has_keys);
}

#[test]
fn what_a_gatekeeper_made_while_its_view_grew_old_does_not_leave() {
	let (mut world, _) = World::with_agent(21);
	world.boot(LATER);
	world.node(GATEKEEPER).held_tasks = Some(Vec::new());
	world.join(LATER);
	world.seal();
	for envelope in world.nodes[&LATER].snapshot.envelopes.clone() {
		world.land(LATER, &envelope);
	}
	world.consume(LATER);
	world.seal();
	let released = world.releases;
	assert!(!world.node(GATEKEEPER).held_tasks.as_ref().unwrap().is_empty());
	world.wait(limits::MARK_AGE_MAX_MS + 1);
	world.node(GATEKEEPER).release_tasks();
	only_heartbeats_leave(&world);
	world.settle();
	assert!(world.releases > released, "it is made anew when the view is recent again");
}

#[test]
fn work_of_a_refused_effect_set_is_done_again_and_counts_once() {
	let (mut world, agent) = World::with_agent(7);
	world.refuses_next = true;
	for body in [&b"one"[..], b"two"] {
		world.request(agent, body);
	}
	world.seal();
	// Speculatively one on another.
	assert_eq!(world.run(FIRST).unwrap().attempt, 1);
	assert_eq!(world.run(FIRST).unwrap().attempt, 1);
	world.settle();
	assert_eq!(world.refused, 2, "the second was made on the first");
	assert!(world.results.is_empty());
	assert!(world.entries(FIRST, agent).is_empty(), "what was not committed never happened");

	assert_eq!(world.run(FIRST).unwrap().attempt, 2);
	assert_eq!(world.run(FIRST).unwrap().attempt, 1, "only the first was refused");
	world.settle();
	assert_eq!(world.results.len(), 2);
	for worker in [FIRST, SECOND] {
		assert_eq!(world.entries(worker, agent), last(b"two"));
	}
}

#[test]
fn a_holder_that_lost_its_lease_gives_its_work_up_and_the_next_starts_from_what_is_committed() {
	let (mut world, agent) = World::with_agent(8);
	world.request_and_run(agent, b"lost");
	let lease = Some(Lease { worker: SECOND, boot: 1 });
	world.agents.get_mut(&agent).unwrap().lease = lease;
	world.tell_cluster(ClustersMessage::LeaseMoved { agent, lease });
	world.settle();
	assert!(world.results.is_empty(), "the old holder's set is not taken");

	world.request(agent, b"kept");
	world.seal();
	assert!(world.next_run(FIRST).is_none());
	world.run(SECOND).unwrap();
	world.settle();
	for worker in [FIRST, SECOND] {
		assert_eq!(world.entries(worker, agent), last(b"kept"));
	}
}

#[test]
fn an_input_that_was_refused_for_want_of_the_lease_is_taken_by_who_gets_it_and_once() {
	let (mut world, agent) = World::with_agent(48);
	let call = world.direct(agent, USER_SEED);
	let refusal = |world: &mut World| match world.call(SECOND, agent, &call) {
		Err(refused) => Some(refused.refusal()),
		Ok(id) => {
			let answer = world.node(SECOND).replies.remove(&id)?;
			Some(answer.expect_err("nothing is committed yet").refusal())
		}
	};
	assert_eq!(refusal(&mut world), Some(Refusal::NotLeaseHolder));
	let lease = Some(Lease { worker: SECOND, boot: 1 });
	world.agents.get_mut(&agent).unwrap().lease = lease;
	world.tell_cluster(ClustersMessage::LeaseMoved { agent, lease });
	world.seal();
	assert_eq!(refusal(&mut world), None, "it is taken");
	assert_eq!(refusal(&mut world), Some(Refusal::Repeated));
}

#[test]
fn secrets_come_from_the_owner_and_reach_every_member() {
	let (mut world, agent) = World::with_agent(11);
	let body = vec![(b"OPENAI_API_KEY".to_vec(), b"sk-real".to_vec())].encode();
	let (sealed, ..) = world.seal_for(agent, InputKind::OwnerSecrets, USER_SEED, body);
	let order = world.order(agent, RequestKind::Secrets, RequestInput::Sealed(sealed));
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	assert!(world.next_run(FIRST).is_none(), "no sandbox is needed");
	world.settle();
	assert_eq!(world.results[0].1, RequestOutcome::Answered(vec![]));
	for worker in [FIRST, SECOND] {
		let view = world.nodes[&worker].snapshot.agent(agent).unwrap();
		assert_eq!(view.state.secrets["OPENAI_API_KEY"].expose(), b"sk-real");
	}
}

#[test]
fn a_member_that_left_holds_nothing_of_the_cluster() {
	let (mut world, agent) = World::with_agent(12);
	let identity = world.nodes[&SECOND].machine.public_keys().identity;
	world.tell(SECOND, ClustersMessage::LeftCluster { identity, cluster: CLUSTER });
	world.tell_cluster(ClustersMessage::MemberLeft { worker: SECOND });
	world.members.retain(|member| member.worker != SECOND);
	world.seal();
	assert!(world.nodes[&SECOND].snapshot.cluster.is_none());
	let plain = Box::new(OpenedCall::public(agent, call_input(b"x")));
	let refused = world.node(SECOND).ask(|reply| Event::Called { reply, call: plain });
	assert_eq!(refused, Err(MachineError::NoCluster));
	world.tell_cluster(ClustersMessage::NewGeneration { generation: 2 });
	world.settle();
	let wrapped = world.wrapped.clone().unwrap();
	assert_eq!(wrapped.generation, 2, "those who stay wrap anew");
	world.request_and_run(agent, b"after");
	world.settle();
	assert_eq!(world.entries(FIRST, agent), last(b"after"));
	let under = world.keys_on_disk(FIRST, agent);
	assert_eq!(under, [2].into(), "what is written since is under a new data key");
}

#[test]
fn a_direct_call_that_writes_is_answered_when_it_is_committed() {
	let (mut world, agent) = World::with_agent(13);
	let plain = Box::new(OpenedCall::public(agent, call_input(b"direct")));
	let id = world.node(FIRST).call(|reply| Event::Called { reply, call: plain });
	world.run(FIRST).unwrap();
	assert!(!world.node(FIRST).replies.contains_key(&id));
	world.settle();
	let Ok(Answer::Plain(proven)) = world.node(FIRST).replies.remove(&id).unwrap() else {
		panic!("it is answered in the clear")
	};
	assert_eq!((proven.output.body, proven.proof.content.state_version), (b"direct".to_vec(), 2));
}

#[test]
fn a_new_master_key_wraps_the_same_data_keys_and_a_later_member_comes_to_them() {
	let (mut world, agent) = World::with_agent(14);
	let first = world.wrapped.clone().unwrap();
	world.start_epoch(2);
	world.settle();
	let second = world.wrapped.clone().unwrap();
	assert_eq!((first.epoch, second.epoch), (1, 2));
	world.request_and_run(agent, b"later");
	world.settle();

	world.boot(LATER);
	world.join(LATER);
	world.settle();
	assert_eq!(world.keys_on_disk(FIRST, agent), [1].into());
	supply(&mut world, LATER, FIRST);
	assert_eq!(world.entries(LATER, agent), last(b"later"));
}

#[test]
fn an_order_that_does_not_name_this_boot_is_never_run() {
	let (mut world, agent) = World::with_agent(15);
	let order = world.public_order(agent, b"x");
	for order in [
		RequestOrder { boot: 2, ..order.clone() },
		RequestOrder { worker: SECOND, ..order.clone() },
	] {
		world.tell_cluster(RequestsMessage::Request(order));
	}
	let late = RequestOrder { deadline: world.chain.height(), ..order };
	world.tell_cluster(RequestsMessage::Request(late));
	world.seal();
	assert!(world.next_run(FIRST).is_none());
	assert!(world.next_run(SECOND).is_none());
}

#[test]
fn a_run_on_a_state_that_was_refused_meanwhile_never_happened() {
	let (mut world, agent) = World::with_agent(16);
	for body in [&b"one"[..], b"two"] {
		world.request(agent, body);
	}
	world.seal();
	world.refuses_next = true;
	world.run(FIRST).unwrap();
	// The second starts on the first's proposal, and still runs when that is refused.
	let run = world.next_run(FIRST).unwrap();
	assert_eq!(run.state.entries.len(), 1);
	world.settle();
	assert_eq!(world.refused, 1);
	let writes = vec![("balance".into(), Some(b"made of nothing".to_vec()))];
	let output = CallOutput::default();
	let done = RunDone { output, writes, units: 1, unproven_inputs: 0 };
	world.node(FIRST).end_run(&run, done);
	world.settle();
	assert!(world.results.is_empty());
	assert!(world.entries(FIRST, agent).is_empty());
	world.run(FIRST).unwrap();
	world.run(FIRST).unwrap();
	world.settle();
	assert_eq!(world.results.len(), 2);
	assert_eq!(world.entries(SECOND, agent), last(b"two"));
}

#[test]
fn a_request_that_nobody_can_run_is_answered_with_a_failure_before_its_deadline() {
	let (mut world, _) = World::with_agent(17);
	// Its code never comes.
	world.node(FIRST).has_code = false;
	let agent = world.register_agent_with(FIRST, Access::Public, 0xc1);
	world.settle();
	let mut order = world.public_order(agent, b"x");
	order.deadline = world.chain.height() + limits::SETTLE_LEAD + 4;
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	assert!(world.next_run(FIRST).is_none());
	for _ in 0..4 {
		world.seal();
	}
	world.settle();
	assert_eq!(world.results[0].1, RequestOutcome::Failed(Refusal::TooLate.code()));
}

#[test]
fn a_request_for_later_does_not_hold_up_those_behind_it() {
	let (mut world, agent) = World::with_agent(18);
	for (body, min_block) in [(&b"later"[..], 1_000), (b"now", 0)] {
		let order = world.public_order(agent, body);
		let order = RequestOrder { min_block, deadline: 2_000, ..order };
		world.tell_cluster(RequestsMessage::Request(order));
	}
	world.seal();
	let run = world.run(FIRST).unwrap();
	assert_eq!(run.input.body, b"now");
	assert!(world.next_run(FIRST).is_none());
}

#[test]
fn a_request_that_the_chain_refuses_so_often_is_answered_with_a_failure() {
	let (mut world, agent) = World::with_agent(61);
	let order = RequestOrder { deadline: 10_000, ..world.public_order(agent, b"unlucky") };
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	for attempt in 1..=limits::RUN_ATTEMPTS_MAX {
		assert!(world.results.is_empty());
		world.refuses_next = true;
		assert_eq!(world.run(FIRST).unwrap().attempt, attempt);
		world.settle();
	}
	assert!(world.next_run(FIRST).is_none());
	assert_eq!(world.results[0].1, RequestOutcome::Failed(Refusal::NotCommitted.code()));
	assert!(world.entries(FIRST, agent).is_empty());
}

#[test]
fn a_member_that_lags_does_not_wrap_a_set_without_the_newest_data_key() {
	let (mut world, agent) = World::with_agent(62);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	// One leaves, and only the first comes to the new generation's keys.
	let identity = world.nodes[&LATER].machine.public_keys().identity;
	world.node(SECOND).held_tasks = Some(Vec::new());
	world.tell(LATER, ClustersMessage::LeftCluster { identity, cluster: CLUSTER });
	world.tell_cluster(ClustersMessage::MemberLeft { worker: LATER });
	world.members.retain(|member| member.worker != LATER);
	world.tell_cluster(ClustersMessage::NewGeneration { generation: 2 });
	world.settle();
	let wrapped = world.wrapped.clone().unwrap();
	assert_eq!((wrapped.epoch, wrapped.generation), (1, 2));

	// Then the gatekeeper starts a new epoch, and the one that lags is the faster to its secret.
	world.node(FIRST).held_tasks = Some(Vec::new());
	world.start_epoch(2);
	world.settle();
	world.node(SECOND).release_tasks();
	world.settle();
	assert_eq!(world.wrapped, Some(wrapped), "it lacks what the first has");
	world.node(FIRST).release_tasks();
	world.settle();
	assert_eq!(world.wrapped.as_ref().map(|set| (set.epoch, set.generation)), Some((2, 2)));

	world.request_and_run(agent, b"after");
	world.settle();
	for worker in [FIRST, SECOND] {
		assert_eq!(world.entries(worker, agent), last(b"after"));
	}
	assert_eq!(world.keys_on_disk(SECOND, agent), [2].into());
}

#[test]
fn who_upgrades_without_end_keeps_no_other_agent_s_code_from_being_compiled() {
	let mut world = World::new(63);
	world.seat_gatekeeper();
	world.join(FIRST);
	world.join(SECOND);
	world.settle();
	world.node(FIRST).held_compiles = Some(Vec::new());
	let mut agents =
		[0xd0, 0xd1].map(|code| world.register_agent_with(FIRST, Access::Public, code));
	agents.sort();
	world.settle();
	let [upgrader, other] = agents;
	let code = |world: &World, agent| world.agents[&agent].record.code;
	let (first, patient) = (code(&world, upgrader), code(&world, other));
	assert_eq!(world.node(FIRST).held_compiles, Some(vec![first]), "one at a time");
	// There is a newer one already when this one is done.
	world.agents.get_mut(&upgrader).unwrap().record.code.component = H256([0xd2; 32]);
	let snapshot = world.agents[&upgrader].clone();
	world.tell_cluster(phala_protocol::messages::AgentsMessage::Agent(snapshot));
	world.settle();
	let done = world.node(FIRST).compiled(first);
	world.node(FIRST).tell(done);
	assert_eq!(world.node(FIRST).held_compiles, Some(vec![first, patient]));
}

#[test]
fn an_agent_that_is_given_up_is_forgotten_and_who_waits_for_it_hears_so() {
	let (mut world, agent) = World::with_agent(77);
	let call = world.direct(agent, USER_SEED);
	let waiting = world.call(FIRST, agent, &call).unwrap();
	let run = world.next_run(FIRST).expect("it runs");
	world.tell_cluster(AgentsMessage::Retired { agent });
	world.seal();
	let answer = world.node(FIRST).replies.remove(&waiting).expect("nobody is left without one");
	assert_eq!(answer, Err(MachineError::NoSuchAgent));
	for worker in [FIRST, SECOND] {
		assert!(world.nodes[&worker].snapshot.agent(agent).is_err());
	}
	// What still runs ends in nothing.
	let output = CallOutput { status: 200, headers: vec![], body: vec![] };
	let done = RunDone { output, writes: vec![], units: 1, unproven_inputs: 0 };
	world.node(FIRST).end_run(&run, done);
	world.settle();
	assert_eq!(world.call(FIRST, agent, &call).err(), Some(MachineError::NoSuchAgent));
}

#[test]
fn what_ran_in_time_and_waited_for_keys_past_its_deadline_is_not_proposed() {
	let (mut world, agent) = World::with_agent(119);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	let deadline = world.chain.height() + limits::SETTLE_LEAD + 4;
	let order = RequestOrder { deadline, ..world.public_order(agent, b"late") };
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	let run = world.next_run(FIRST).expect("it begins in time");
	// The quitter leaves, and the keys of the next generation take their time.
	world.leave(LATER, 2);
	world.nodes.remove(&LATER);
	world.seal();
	let writes = vec![("last".into(), Some(b"late".to_vec()))];
	let done = RunDone { output: CallOutput::default(), writes, units: 1, unproven_inputs: 0 };
	world.node(FIRST).end_run(&run, done);
	while world.chain.height() < deadline {
		world.seal();
	}
	world.request(agent, b"next");
	world.settle();
	assert_eq!(world.run(FIRST).unwrap().state.version, 1, "nothing is made on it");
	world.settle();
	assert_eq!((world.results.len(), world.refused), (1, 0));
	assert_eq!(world.entries(SECOND, agent), last(b"next"));
}

#[test]
fn who_brings_one_agent_s_code_again_and_again_causes_no_look_at_the_others() {
	let (mut world, agent) = World::with_agent(94);
	let other = world.register_agent_with(FIRST, Access::Public, 0xc7);
	world.settle();
	world.request_and_run(other, b"x");
	let (to, body) = world.node(FIRST).sends.pop_front().unwrap();
	world.node(FIRST).body_sent(&to, &body, Err(MachineError::Busy));
	world.wait(limits::PEER_RETRY_MS);
	// The flooder: what it brings is an agent's, and is here.
	let hash = world.agents[&agent].record.code.component;
	world.node(FIRST).tell(Event::CodeStored { hash });
	assert!(world.node(FIRST).sends.is_empty(), "nobody looked at the other");
	world.node(FIRST).tell(Event::Tick);
	assert_eq!(world.node(FIRST).sends.len(), 1);
}
