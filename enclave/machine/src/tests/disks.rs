//! What members' disks have, and how a member comes to what its own lacks.

use super::{world::*, *};
use crate::{
	action::Action,
	task::{QuestionContent, SignedQuestion},
	worker::page_cipher,
	ReplicatedBody,
};
use codec::Encode;
use phala_keys::sr25519::sign_with_published_seed;
use phala_protocol::{
	agents::{Access, AgentId},
	messages::{AgentsMessage, ClustersMessage},
	H256,
};
use phala_state::{PageName, Root};
use std::collections::{BTreeSet, VecDeque};

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
pub fn supply_once(
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

/// A member that joins when agents have a past comes to all that the first has.
pub fn join_later(world: &mut World) {
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	supply(world, LATER, FIRST);
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

pub fn disk_of(world: &World, worker: WorkerId) -> Vec<(AgentId, H256)> {
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
	world.request(agent, b"end");
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
fn a_disk_that_opens_slowly_is_asked_again_before_others_are_and_a_dead_one_not_for_ever() {
	for (failing, is_slow) in [(2, true), (3, false)] {
		let (mut world, agent) = World::with_agent(133);
		write_twice(&mut world, agent);
		world.restart(SECOND);
		world.node(SECOND).failing_reads = failing;
		world.join(SECOND);
		world.settle();
		for _ in 1..limits::DISK_ATTEMPTS_MAX {
			assert!(world.nodes[&SECOND].fetches.is_empty(), "nobody else is asked yet");
			world.tick(limits::PEER_RETRY_MS);
		}
		assert_eq!(world.nodes[&SECOND].fetches.is_empty(), is_slow);
		supply(&mut world, SECOND, FIRST);
		assert_eq!(world.entries(SECOND, agent), last(b"two"));
	}
}

#[test]
fn a_dead_disk_is_left_alone_though_the_chain_goes_on_and_pages_are_many() {
	let (mut world, agent) = World::with_agent(135);
	write_twice(&mut world, agent);
	join_later(&mut world);
	world.restart(SECOND);
	world.node(SECOND).failing_reads = usize::MAX;
	world.join(SECOND);
	world.settle();
	// Each commit is another state to come to.
	for body in [&b"x"[..], b"y", b"z"] {
		world.request_and_commit(agent, body);
	}
	assert_eq!(world.entries(FIRST, agent), last(b"z"));
	let failed = usize::MAX - world.nodes[&SECOND].failing_reads;
	assert_eq!(failed, limits::DISK_ATTEMPTS_MAX as usize);
	supply(&mut world, SECOND, FIRST);
	assert_eq!(world.entries(SECOND, agent), last(b"z"));
	assert_eq!(usize::MAX - world.nodes[&SECOND].failing_reads, failed, "it is not asked again");
}

/// Has a question that a member sealed, and does what it can with it.
#[test]
fn an_eavesdropper_asks_for_nothing_that_no_member_asks_for() {
	let (mut world, agent) = World::with_agent(136);
	let other = world.register_agent(FIRST, Access::Public);
	write_twice(&mut world, agent);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	let fetch = world.nodes[&LATER].fetches.front().expect("it asks for what it lacks");
	let Action::FetchPages { from, agent: of, names, question, .. } = fetch else {
		panic!("pages")
	};
	let (agent, other) = if *of == agent { (agent, other) } else { (other, agent) };
	let (asked, names, question) = (from.worker, names.clone(), question.clone());
	let open = |world: &World, worker: WorkerId, agent, question: &[u8]| {
		world.nodes[&worker].snapshot.open_question(agent, question).ok()
	};
	assert_eq!(open(&world, asked, agent, &question), Some((LATER, names)));
	for byte in 0..question.len() {
		let mut changed = question.clone();
		changed[byte] ^= 1;
		assert_eq!(open(&world, asked, agent, &changed), None, "byte {byte}");
	}
	let third = [FIRST, SECOND].into_iter().find(|worker| *worker != asked).unwrap();
	assert_eq!(open(&world, third, agent, &question), None, "it was for another");
	assert_eq!(open(&world, asked, other, &question), None, "and of another agent");
	for _ in 0..=limits::QUESTION_BLOCKS_MAX {
		world.chain.seal();
	}
	world.relay(asked);
	assert_eq!(open(&world, asked, agent, &question), None, "and it is of minutes ago");
}

#[test]
fn a_departed_member_is_given_no_pages() {
	let (mut world, agent) = World::with_agent(137);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	let fetch = world.nodes[&LATER].fetches.front().expect("it asks for what it lacks");
	let Action::FetchPages { from, question, .. } = fetch else { panic!("pages") };
	let (asked, question) = (from.worker, question.clone());
	assert!(world.nodes[&asked].snapshot.open_question(agent, &question).is_ok());
	world.leave(LATER, 2);
	world.settle();
	assert!(world.nodes[&asked].snapshot.open_question(agent, &question).is_err());
}

/// Members that agree on a state of as many pages as they like: what is larger than any may be is not walked,
/// nor asked for again and again.
#[test]
fn a_state_of_more_pages_than_one_may_have_is_not_walked() {
	for (pages, is_walked) in
		[(limits::STATE_PAGES_MAX, true), (limits::STATE_PAGES_MAX + 1, false)]
	{
		let (mut world, agent) = World::with_agent(141);
		world.boot(LATER);
		world.join(LATER);
		world.settle();
		let below = PageName(H256([3; 32]));
		let root = Root { version: 9, page: Some(below), depth: 1, pages, ..Root::empty(1) };
		world.tell_cluster(AgentsMessage::Committed {
			agent,
			version: 9,
			state_hash: root.hash(),
			worker: FIRST,
		});
		world.settle();
		let cluster = world.nodes[&FIRST].snapshot.cluster().unwrap();
		let (_, key) = cluster.question_keys.last_key_value().unwrap();
		let mut rng = ChaCha20Rng::seed_from_u64(141);
		let cipher = page_cipher(key, agent).unwrap();
		let sealed = cipher.seal(&mut rng, root.hash(), 1, 9, &root.encode()).unwrap().encode();
		let mut asked = BTreeSet::new();
		for _ in 0..10 {
			while !world.nodes[&LATER].fetches.is_empty() {
				supply_once(&mut world, LATER, |_, _, names| {
					asked.extend(names.to_vec());
					let is_root = |name: &H256| (*name == root.hash()).then(|| sealed.clone());
					names.iter().map(is_root).collect()
				});
			}
			world.tick(limits::PEER_RETRY_MS);
		}
		assert!(asked.contains(&root.hash()));
		assert_eq!(asked.contains(&below.0), is_walked, "{pages} pages");
		assert_eq!(world.nodes[&LATER].fetches.is_empty(), !is_walked);
	}
}

#[test]
fn a_question_that_cannot_be_made_is_made_again_later() {
	let (mut world, agent) = World::with_agent(142);
	world.boot(LATER);
	world.join(LATER);
	world.settle();
	world.node(LATER).held_tasks = Some(Vec::new());
	supply_once(&mut world, LATER, |_, _, _| vec![]);
	for _ in 0..2 {
		let task = world.node(LATER).held_tasks.as_mut().unwrap().pop().expect("it asks another");
		world.node(LATER).tell(Event::TaskFailed { task: task.id() });
	}
	assert!(world.nodes[&LATER].fetches.is_empty());
	world.node(LATER).release_tasks();
	for _ in 0..4 {
		world.tick(limits::PEER_RETRY_MS);
	}
	supply(&mut world, LATER, FIRST);
	assert_eq!(world.entries(LATER, agent), world.entries(FIRST, agent));
	assert!(world.nodes[&LATER].snapshot.agent(agent).unwrap().state.version > 0);
}

/// Has a data key of the cluster: it broke its own enclave, or was a member once. Asks in another's name, so
/// that the other's places are taken by what nobody reads.
#[test]
fn an_impersonator_with_a_data_key_asks_for_pages_in_nobody_elses_name() {
	let (world, agent) = World::with_agent(140);
	let snapshot = &world.nodes[&FIRST].snapshot;
	let cluster = snapshot.cluster().unwrap();
	let (number, key) = cluster.question_keys.last_key_value().unwrap();
	assert_eq!(*number, 1);
	let cipher = page_cipher(key, agent).unwrap();
	let boot = cluster.members[&SECOND].boot;
	let (height, _) = snapshot.finalized.unwrap();
	let names = vec![H256([1; 32])].encode();
	let mut rng = ChaCha20Rng::seed_from_u64(140);
	let question = cipher.seal_question(&mut rng, (SECOND, boot), FIRST, height, &names);
	let content = QuestionContent::new(snapshot.config.genesis, agent, &question).encode();
	let signature = sign_with_published_seed([9; 32], &content);
	let forged = SignedQuestion { question, signature }.encode();
	let refused = snapshot.open_question(agent, &forged).unwrap_err();
	assert_eq!(refused.refusal(), Refusal::BadSignature, "{refused}");
}

#[test]
fn an_agent_that_is_given_up_while_its_disk_is_at_work_leaves_nothing_there() {
	let (mut world, agent) = World::with_agent(138);
	world.node(SECOND).held_disk = Some(Vec::new());
	world.request_and_run(agent, b"x");
	world.replicate();
	world.tell_cluster(AgentsMessage::Retired { agent });
	world.seal();
	assert!(!disk_of(&world, SECOND).is_empty());
	world.node(SECOND).release_disk();
	assert_eq!(disk_of(&world, SECOND), []);
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
	world.request_and_run(agent, b"x");
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
	world.request_and_run(agent, b"x");
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
	world.request_and_run(agent, b"end");
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
	join_later(&mut world);
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
	world.request_and_run(agent, b"newer");
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
	world.request_and_run(agent, b"x");
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
	world.request_and_run(agent, b"x");
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
		world.request(agent, body);
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
fn a_member_that_was_away_fetches_what_is_new_and_no_more() {
	let (mut world, agent) = World::with_agent(93);
	join_later(&mut world);
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

pub fn write_twice(world: &mut World, agent: AgentId) {
	for body in [&b"one"[..], b"two"] {
		world.request_and_commit(agent, body);
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
