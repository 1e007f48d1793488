//! A gatekeeper and two members of a cluster.

use super::{world::*, *};
use crate::{action::Action, worker::RunDone, OpenedCall, ReplicatedBody};
use phala_keys::{
	hpke::{EncryptionKey, Sealed},
	input::InputKind,
	reply::{open_reply, ReplyContext},
	sr25519::{sign_with_published_seed, verify},
};
use phala_protocol::{
	agents::{Access, AgentId, Lease, StateVersion},
	limits::unpaid_commits_waiting_max,
	messages::{AgentsMessage, ClustersMessage, RequestsMessage},
	requests::{
		salted_hash, CallOutput, CallerSignature, DirectCall, DirectCallContent, ProvenAnswer,
		RequestInput, RequestKind, RequestOrder, RequestOutcome,
	},
	H256,
};
use std::{
	cell::Cell,
	collections::{BTreeSet, VecDeque},
};

/// A member that joins when agents have a past.
pub const LATER: WorkerId = 3;

/// Gives `to` what it asks other members for, from the disk of `from`; how many pages were asked for.
pub fn supply(world: &mut World, to: WorkerId, from: WorkerId) -> usize {
	let mut asked = 0;
	while !world.nodes[&to].fetches.is_empty() {
		asked +=
			supply_once(world, to, |world, agent, names| world.nodes[&from].read(agent, names));
	}
	asked
}

/// The same for one question, with whatever `give` gives.
fn supply_once(
	world: &mut World,
	to: WorkerId,
	give: impl FnOnce(&World, AgentId, &[H256]) -> Vec<Option<Vec<u8>>>,
) -> usize {
	let asked = world.node(to).fetches.pop_front().expect("it asks for what it lacks");
	let Action::FetchPages { id, agent, names, .. } = asked else { panic!("pages") };
	let pages = Some(give(world, agent, &names));
	world.node(to).tell(Event::PagesCame { id, agent, pages });
	names.len()
}

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
	assert!(verify(&identity, &content.statement().encode(), &proven.proof.signature));
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
	let order = world.public_order(agent, b"x");
	world.tell_cluster(RequestsMessage::Request(order));
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
		let order = world.public_order(agent, body);
		world.tell_cluster(RequestsMessage::Request(order));
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
	let order = world.public_order(agent, b"lost");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	let lease = Some(Lease { worker: SECOND, boot: 1 });
	world.agents.get_mut(&agent).unwrap().lease = lease;
	world.tell_cluster(ClustersMessage::LeaseMoved { agent, lease });
	world.settle();
	assert!(world.results.is_empty(), "the old holder's set is not taken");

	let order = world.public_order(agent, b"kept");
	world.tell_cluster(RequestsMessage::Request(order));
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
fn a_member_that_joins_later_takes_only_the_pages_that_it_asked_for() {
	let (mut world, agent) = World::with_agent(9);
	write_twice(&mut world, agent);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	type Lie = fn(&World, AgentId, &[H256]) -> Vec<Option<Vec<u8>>>;
	let lies: [(&str, Lie); 4] = [
		("a forger", |world, agent, names| {
			let mut pages = world.nodes[&FIRST].read(agent, names);
			*pages[0].as_mut().unwrap().last_mut().unwrap() ^= 1;
			pages
		}),
		("who gives another page", |world, agent, names| {
			let disk = &world.nodes[&FIRST].disk;
			let other = disk.iter().find(|((of, name), _)| *of == agent && *name != names[0]);
			vec![other.map(|(_, page)| page.clone())]
		}),
		("a babbler", |_, _, names| vec![Some(vec![7; 100]); names.len() + 3]),
		("a miser", |_, _, _| vec![]),
	];
	// The root first, then what is below it.
	for pages in 0..2 {
		for (villain, lie) in lies {
			while world.nodes[&LATER].fetches.is_empty() {
				world.tick(limits::PEER_RETRY_MS);
			}
			assert_eq!(supply_once(&mut world, LATER, lie), 1, "{villain}");
			let view = world.nodes[&LATER].snapshot.agent(agent).unwrap();
			assert_eq!(view.state.version, 0, "{villain}");
		}
		while world.nodes[&LATER].fetches.is_empty() {
			world.tick(limits::PEER_RETRY_MS);
		}
		if pages == 0 {
			supply_once(&mut world, LATER, |world, agent, names| {
				world.nodes[&SECOND].read(agent, names)
			});
		}
	}
	supply(&mut world, LATER, FIRST);
	assert_eq!(world.entries(LATER, agent), last(b"two"));
	assert_eq!(world.nodes[&LATER].disk.len(), world.nodes[&FIRST].disk.len());
}

fn disk_of(world: &World, worker: WorkerId) -> Vec<(AgentId, H256)> {
	world.nodes[&worker].disk.keys().copied().collect()
}

#[test]
fn members_that_all_start_again_at_once_come_back_from_their_disks() {
	let (mut world, agent) = World::with_agent(120);
	write_twice(&mut world, agent);
	for worker in [FIRST, SECOND] {
		world.restart(worker);
	}
	for worker in [FIRST, SECOND] {
		world.join(worker);
	}
	world.settle();
	for worker in [FIRST, SECOND] {
		assert_eq!(world.entries(worker, agent), last(b"two"));
		assert!(world.nodes[&worker].fetches.is_empty(), "nobody has to be asked");
	}
	// And they go on.
	let order = world.public_order(agent, b"end");
	world.tell_cluster(RequestsMessage::Request(order));
	world.settle();
	world.run(FIRST).unwrap();
	world.settle();
	for worker in [FIRST, SECOND] {
		assert_eq!(world.entries(worker, agent), last(b"end"));
	}
	assert_eq!(disk_of(&world, FIRST), disk_of(&world, SECOND));
}

#[test]
fn a_member_whose_disk_is_lost_fetches_all_from_the_others() {
	let (mut world, agent) = World::with_agent(121);
	write_twice(&mut world, agent);
	world.boot(SECOND);
	world.join(SECOND);
	world.settle();
	assert_eq!(world.nodes[&SECOND].snapshot.agent(agent).unwrap().state.version, 0);
	assert!(supply(&mut world, SECOND, FIRST) > 1);
	assert_eq!(world.entries(SECOND, agent), last(b"two"));
	assert_eq!(disk_of(&world, SECOND), disk_of(&world, FIRST), "and it is on its disk again");
}

#[test]
fn an_older_disk_that_was_put_back_lacks_what_is_newer_and_gives_nothing_wrong() {
	let (mut world, agent) = World::with_agent(122);
	let old = world.nodes[&SECOND].disk.clone();
	write_twice(&mut world, agent);
	world.node(SECOND).disk = old;
	world.restart(SECOND);
	world.join(SECOND);
	world.settle();
	assert_eq!(world.nodes[&SECOND].snapshot.agent(agent).unwrap().state.version, 0);
	supply(&mut world, SECOND, FIRST);
	assert_eq!(world.entries(SECOND, agent), last(b"two"));
	assert_eq!(disk_of(&world, SECOND), disk_of(&world, FIRST), "what is old was swept");
}

#[test]
fn a_member_gives_its_word_when_its_disk_has_it_and_not_before() {
	let (mut world, agent) = World::with_agent(123);
	world.node(SECOND).held_disk = Some(Vec::new());
	let order = world.public_order(agent, b"x");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	let (_, body) = world.node(FIRST).sends.pop_front().unwrap();
	let body = Box::new(world.nodes[&SECOND].snapshot.verify_body((*body).clone()).unwrap());
	let id = world.node(SECOND).call(|reply| Event::BodyBrought { reply, body });
	assert!(!world.node(SECOND).replies.contains_key(&id));
	world.node(SECOND).release_disk();
	assert!(matches!(world.node(SECOND).replies.remove(&id), Some(Ok(Answer::Acknowledged(_)))));
}

#[test]
fn a_holder_submits_nothing_that_its_own_disk_has_not() {
	let (mut world, agent) = World::with_agent(124);
	world.node(FIRST).held_disk = Some(Vec::new());
	let order = world.public_order(agent, b"x");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	world.replicate();
	assert!(world.nodes[&FIRST].snapshot.envelopes.is_empty());
	world.node(FIRST).release_disk();
	assert_eq!(world.nodes[&FIRST].snapshot.envelopes.len(), 1);
}

#[test]
fn a_member_whose_disk_began_empty_puts_all_again_before_it_gives_its_word() {
	let (mut world, agent) = World::with_agent(125);
	write_twice(&mut world, agent);
	let before = disk_of(&world, SECOND);
	let node = world.node(SECOND);
	node.disk.clear();
	node.held_disk = Some(Vec::new());
	node.tell(Event::StoreEmptied);
	let order = world.public_order(agent, b"end");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	world.replicate();
	world.node(SECOND).release_disk();
	assert!(before.iter().all(|name| world.nodes[&SECOND].disk.contains_key(name)));
	for _ in 0..2 {
		world.tick(limits::PEER_RETRY_MS);
		world.settle();
	}
	assert_eq!((world.results.len(), world.refused), (3, 0));
	assert_eq!(disk_of(&world, SECOND), disk_of(&world, FIRST));
}

#[test]
fn a_disk_that_begins_empty_while_a_state_is_read_from_it_is_given_all_of_it_again() {
	// After so many answers of the old file: of the root, and of the pages below it.
	for answers in 0..2 {
		let (mut world, agent) = World::with_agent(127);
		write_twice(&mut world, agent);
		world.restart(SECOND);
		world.node(SECOND).held_reads = Some(VecDeque::new());
		world.join(SECOND);
		world.settle();
		for _ in 0..answers {
			let read = world.node(SECOND).held_reads.as_mut().unwrap().pop_front().unwrap();
			world.node(SECOND).tell(read);
		}
		let under_way = world.node(SECOND).held_reads.take().unwrap();
		assert!(matches!(under_way.front(), Some(Event::PagesCame { .. })));
		world.node(SECOND).disk.clear();
		world.node(SECOND).tell(Event::StoreEmptied);
		for read in under_way {
			world.node(SECOND).tell(read);
		}
		supply(&mut world, SECOND, FIRST);
		assert_eq!(world.entries(SECOND, agent), last(b"two"));
		assert_eq!(disk_of(&world, SECOND), disk_of(&world, FIRST), "after {answers} answers");
	}
}

#[test]
fn a_list_that_comes_while_a_newer_state_does_takes_nothing_of_it_away() {
	let (mut world, agent) = World::with_agent(128);
	write_twice(&mut world, agent);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	supply(&mut world, LATER, FIRST);
	world.restart(SECOND);
	world.join(SECOND);
	world.node(SECOND).held_reads = Some(VecDeque::new());
	world.settle();
	let mut listed = None;
	while listed.is_none() {
		match world.node(SECOND).held_reads.as_mut().unwrap().pop_front() {
			Some(read @ Event::PagesCame { .. }) => world.node(SECOND).tell(read),
			Some(read) => listed = Some(read),
			None => world.seal(),
		}
	}
	// What others commit meanwhile is on its disk too: an earlier boot of it had kept it.
	let order = world.public_order(agent, b"newer");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	world.hang(SECOND);
	world.settle();
	for _ in 0..limits::REPLICATION_ATTEMPTS_MAX {
		world.tick(limits::PEER_RETRY_MS);
		world.settle();
	}
	assert_eq!(world.entries(FIRST, agent), last(b"newer"));
	let newer = world.nodes[&FIRST].disk.clone();
	world.node(SECOND).disk.extend(newer);
	world.wake(SECOND);
	let names = world.nodes[&SECOND].disk.keys().map(|(_, name)| *name).collect();
	let Some(Event::PagesListed { id, agent, .. }) = listed else { panic!("it lists its disk") };
	world.node(SECOND).tell(Event::PagesListed { id, agent, names: Some(names) });
	for read in world.node(SECOND).held_reads.take().unwrap() {
		world.node(SECOND).tell(read);
	}
	world.settle();
	assert!(world.nodes[&SECOND].fetches.is_empty(), "nobody has to be asked");
	assert_eq!(world.entries(SECOND, agent), last(b"newer"));
	assert_eq!(disk_of(&world, SECOND), disk_of(&world, FIRST), "and it is swept after all");
}

#[test]
fn a_boot_that_left_and_joined_again_keeps_what_it_said_that_it_keeps() {
	let (mut world, agent) = World::with_agent(129);
	let order = world.public_order(agent, b"x");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	let (_, body) = world.node(FIRST).sends.pop_front().unwrap();
	assert!(matches!(world.bring_body(SECOND, (*body).clone()), Ok(Answer::Acknowledged(_))));
	let kept = disk_of(&world, SECOND);
	let identity = world.nodes[&SECOND].machine.public_keys().identity;
	world.tell(SECOND, ClustersMessage::LeftCluster { identity, cluster: CLUSTER });
	world.seal();
	world.members.retain(|member| member.worker != SECOND);
	world.join(SECOND);
	for _ in 0..3 {
		world.tick(limits::PEER_RETRY_MS);
		world.settle();
	}
	assert!(world.nodes[&SECOND].snapshot.agent(agent).unwrap().state.version > 0);
	let now = disk_of(&world, SECOND);
	assert!(kept.iter().all(|name| now.contains(name)), "its word for it may count still");
}

/// Saw one body of a lease holder, and brings it again and again to a member whose disk hangs.
#[test]
fn a_parrot_takes_so_many_places_of_those_who_wait_for_a_members_word_and_not_for_long() {
	let (mut world, agent) = World::with_agent(130);
	world.node(SECOND).held_disk = Some(Vec::new());
	let order = world.public_order(agent, b"x");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
	let (_, body) = world.node(FIRST).sends.pop_front().unwrap();
	let bring = |world: &mut World| {
		let node = world.node(SECOND);
		let body = Box::new(node.snapshot.verify_body((*body).clone()).unwrap());
		node.call(|reply| Event::BodyBrought { reply, body })
	};
	let refusal = |answer: Option<Result<Answer, MachineError>>| {
		answer.map(|answer| answer.expect_err("its disk has nothing").refusal())
	};
	let waiting: Vec<_> = (0..limits::WORDS_WAITING_MAX).map(|_| bring(&mut world)).collect();
	assert!(waiting.iter().all(|id| !world.nodes[&SECOND].replies.contains_key(id)));
	let more = bring(&mut world);
	assert_eq!(refusal(world.node(SECOND).replies.remove(&more)), Some(Refusal::NotReady));
	world.tick(limits::WORD_WAIT_MS);
	for id in waiting {
		assert_eq!(refusal(world.node(SECOND).replies.remove(&id)), Some(Refusal::NotReady));
	}
	let holder = bring(&mut world);
	world.node(SECOND).release_disk();
	assert!(matches!(
		world.node(SECOND).replies.remove(&holder),
		Some(Ok(Answer::Acknowledged(_)))
	));
}

#[test]
fn who_gave_all_that_was_asked_for_is_not_everybodys_source_for_good() {
	let (mut world, agent) = World::with_agent(131);
	write_twice(&mut world, agent);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	let mut asked = BTreeSet::new();
	while world.nodes[&LATER].snapshot.agent(agent).unwrap().state.version == 0 {
		let Some(Action::FetchPages { from, .. }) = world.nodes[&LATER].fetches.front() else {
			panic!("it asks until it has all")
		};
		asked.insert(from.worker);
		supply_once(&mut world, LATER, |world, agent, names| {
			world.nodes[&FIRST].read(agent, names)
		});
	}
	assert_eq!(asked, [FIRST, SECOND].into());
}

#[test]
fn what_comes_before_what_it_was_made_on_waits_for_it() {
	let (mut world, agent) = World::with_agent(126);
	for body in [&b"one"[..], b"two"] {
		let order = world.public_order(agent, body);
		world.tell_cluster(RequestsMessage::Request(order));
	}
	world.seal();
	world.run(FIRST).unwrap();
	world.run(FIRST).unwrap();
	let (_, first) = world.node(FIRST).sends.pop_front().unwrap();
	let (_, second) = world.node(FIRST).sends.pop_front().unwrap();
	let bring = |world: &mut World, body: &ReplicatedBody| {
		let node = world.node(SECOND);
		let body = Box::new(node.snapshot.verify_body(body.clone()).unwrap());
		node.call(|reply| Event::BodyBrought { reply, body })
	};
	let early = bring(&mut world, &second);
	assert!(!world.node(SECOND).replies.contains_key(&early));
	let late = bring(&mut world, &first);
	for id in [early, late] {
		let answer = world.node(SECOND).replies.remove(&id);
		assert!(matches!(answer, Some(Ok(Answer::Acknowledged(_)))));
	}
	// What never comes is not waited for.
	let orphan =
		ReplicatedBody { base_hash: H256([7; 32]), new_hash: H256([8; 32]), ..(*second).clone() };
	assert!(world.nodes[&SECOND].snapshot.verify_body(orphan).is_err());
}

#[test]
fn a_member_keeps_bodies_for_the_lease_holder_alone() {
	let (mut world, agent) = World::with_agent(10);
	let order = world.public_order(agent, b"x");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
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
	let order = world.public_order(agent, b"x");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
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
fn one_of_three_that_hangs_is_waited_for_a_moment_and_no_longer() {
	let (mut world, agent) = World::with_agent(132);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	supply(&mut world, LATER, FIRST);
	let order = world.public_order(agent, b"x");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
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
	let order = world.public_order(agent, b"after");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
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
	let order = world.public_order(agent, b"later");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
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
		let order = world.public_order(agent, body);
		world.tell_cluster(RequestsMessage::Request(order));
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

	let order = world.public_order(agent, b"after");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
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
fn the_word_of_a_member_that_started_again_is_none_and_is_asked_for_anew() {
	let (mut world, agent) = World::with_agent(64);
	let order = world.public_order(agent, b"x");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
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
	let order = world.public_order(agent, b"slow");
	world.tell_cluster(RequestsMessage::Request(order));
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
		let order = world.public_order(agent, body);
		world.tell_cluster(RequestsMessage::Request(order));
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

#[test]
fn a_member_that_was_away_fetches_what_is_new_and_no_more() {
	let (mut world, agent) = World::with_agent(93);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	supply(&mut world, LATER, FIRST);
	world.hang(LATER);
	write_twice(&mut world, agent);
	world.wake(LATER);
	let miser = asked(&world);
	supply_once(&mut world, LATER, |_, _, _| vec![None]);
	assert_ne!(asked(&world), miser, "another is asked");
	assert_eq!(supply(&mut world, LATER, FIRST), 2, "the root and its page");
	assert_eq!(world.entries(LATER, agent), last(b"two"));
}

/// Whom the later member asks for what it lacks.
fn asked(world: &World) -> WorkerId {
	match world.nodes[&LATER].fetches.front() {
		Some(Action::FetchPages { from, .. }) => from.worker,
		_ => panic!("it asks for what it lacks"),
	}
}

fn write_twice(world: &mut World, agent: AgentId) {
	for body in [&b"one"[..], b"two"] {
		let order = world.public_order(agent, body);
		world.tell_cluster(RequestsMessage::Request(order));
		world.seal();
		world.run(FIRST).unwrap();
		world.settle();
		world.tick(limits::PEER_RETRY_MS);
		world.settle();
	}
}

#[test]
fn no_member_is_asked_first_by_everybody_for_everything() {
	let (mut world, _) = World::with_agent(118);
	for code in 0..8 {
		world.register_agent_with(FIRST, Access::Public, 0xd0 + code);
	}
	world.settle();
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	let asked: std::collections::BTreeSet<_> = world.nodes[&LATER]
		.fetches
		.iter()
		.map(|fetch| match fetch {
			Action::FetchPages { from, .. } => from.worker,
			_ => panic!("pages"),
		})
		.collect();
	assert_eq!(asked.into_iter().collect::<Vec<_>>(), [FIRST, SECOND]);
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
	let order = world.public_order(agent, b"next");
	world.tell_cluster(RequestsMessage::Request(order));
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
	let order = world.public_order(other, b"x");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	world.run(FIRST).unwrap();
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
	let order = world.public_order(agent, b"paid");
	world.tell_cluster(RequestsMessage::Request(order));
	world.seal();
	Scribblers::run(&mut world);
	assert_eq!(world.nodes[&FIRST].snapshot.envelopes.len(), limits::PROPOSALS_MAX);
}
