// The pallet's storage and the runtime's pallet have one name: here it is the pallet.
use crate::mock::Clusters;
use crate::{mock::*, *};
use frame_support::{
	assert_noop, assert_ok, dispatch::PostDispatchInfo, traits::fungible::InspectHold,
};
use phala_protocol::{
	agents::AgentSnapshot,
	clusters::{ClusterSnapshot, Member, WrappedKeys},
	keys::KeyRequest,
	messages::{AgentsMessage, ClustersMessage, ClustersPayload, EnvelopeOrigin},
	traits::{EvictedBy, ReceivePayload, WorkerHooks},
};

const CLUSTER: ClusterId = 0;
const CHANNEL: Channel = Channel::Cluster(CLUSTER);
const URL: &[u8] = b"https://worker.example:8443";

/// A developer who owns no cluster.
const STRANGER_BYTES: [u8; 32] = [77; 32];

fn signed(who: sp_runtime::AccountId32) -> RuntimeOrigin {
	RuntimeOrigin::signed(who)
}

/// Refused when no more was looked at than who joins has looked at, and paid for as that.
fn at_a_look(error: Error<Runtime>) -> sp_runtime::DispatchErrorWithPostInfo<PostDispatchInfo> {
	error.with_weight(<ConservativeWeights<Runtime> as WeightInfo>::request_join())
}

/// Open to all.
fn cluster() {
	Clusters::create(signed(ALICE)).unwrap();
	Clusters::set_open(signed(ALICE), CLUSTER, Some(Opening::default())).unwrap();
}

fn ask(worker: WorkerId) -> DispatchResult {
	Clusters::request_join(signed(BOB), CLUSTER, worker, URL.to_vec())
}

/// The owner lets in what it sees.
fn approve(who: sp_runtime::AccountId32, cluster: ClusterId, worker: WorkerId) -> DispatchResult {
	let (boot, measurement) = MockRegistry::current_boot(worker)
		.map_or((0, Default::default()), |boot| (boot.number, boot.measurement));
	let endpoint = JoinRequests::<Runtime>::get(worker)
		.map_or(URL.to_vec(), |request| request.endpoint.into_inner());
	Clusters::approve_join(signed(who), cluster, worker, boot, measurement, endpoint)
		.map(|_| ())
		.map_err(|refused| refused.error)
}

fn join(worker: WorkerId) {
	ask(worker).unwrap();
	approve(ALICE, CLUSTER, worker).unwrap();
}

fn cluster_of(workers: impl IntoIterator<Item = WorkerId>) {
	cluster();
	workers.into_iter().for_each(join);
	pushed();
}

fn agent(n: u64) -> AgentId {
	AgentId::from_low_u64_be(n)
}

fn place(n: u64) -> Result<Lease, DispatchError> {
	Clusters::place_agent(CLUSTER, agent(n), &STRANGER_BYTES)
}

fn holder(n: u64) -> Option<(WorkerId, BootNumber)> {
	Clusters::lease(agent(n)).map(|lease| (lease.worker, lease.boot))
}

fn counted() -> Vec<WorkerId> {
	Clusters::counted(CLUSTER).into_iter().map(|(worker, _)| worker).collect()
}

fn member(worker: WorkerId, boot: BootNumber) -> Member {
	Member { worker, boot, identity: identity(worker, boot), endpoint: URL.to_vec() }
}

fn to_members(message: impl Into<Message>) -> (Channel, Message) {
	(CHANNEL, message.into())
}

fn to_worker(worker: WorkerId, message: ClustersMessage) -> (Channel, Message) {
	(Channel::Worker(worker), message.into())
}

fn lease_moved(n: u64, to: Option<(WorkerId, BootNumber)>) -> (Channel, Message) {
	let lease = to.map(|(worker, boot)| Lease { worker, boot });
	to_members(ClustersMessage::LeaseMoved { agent: agent(n), lease })
}

fn new_generation(generation: Generation) -> (Channel, Message) {
	to_members(ClustersMessage::NewGeneration { generation })
}

fn request_key(worker: WorkerId, boot: BootNumber, generation: Generation) -> DispatchResult {
	Clusters::receive(
		EnvelopeOrigin { worker, boot },
		ClustersPayload::KeyRequest { cluster: CLUSTER, generation, ephemeral_key: [5; 32] },
	)
}

fn wrap(worker: WorkerId, epoch: Epoch, generation: Generation) -> DispatchResult {
	let keys = WrappedKeys { epoch, generation, keys: vec![worker as u8] };
	Clusters::receive(
		EnvelopeOrigin { worker, boot: 1 },
		ClustersPayload::KeysWrapped { cluster: CLUSTER, keys },
	)
}

fn balances_are_whole() {
	for who in [ALICE, BOB, EVE] {
		assert_eq!(Balances::free_balance(&who) + Balances::total_balance_on_hold(&who), FUNDS);
	}
	assert_eq!(Balances::total_issuance(), 3 * FUNDS);
}

#[test]
fn a_cluster_holds_its_owners_deposit_until_it_is_closed() {
	new_test_ext().execute_with(|| {
		assert_ok!(Clusters::create(signed(ALICE)));
		System::assert_last_event(Event::ClusterCreated { cluster: 0, owner: ALICE }.into());
		assert_ok!(Clusters::create(signed(ALICE)));
		assert_eq!(Balances::total_balance_on_hold(&ALICE), 2 * DEPOSIT);
		balances_are_whole();
		assert_noop!(Clusters::close(signed(EVE), 0), Error::<Runtime>::NotOwner);
		join(1);
		assert_noop!(Clusters::close(signed(ALICE), 0), Error::<Runtime>::ClusterInUse);
		assert_ok!(Clusters::leave(signed(BOB), 0, 1));
		balances_are_whole();
		assert_ok!(Clusters::close(signed(ALICE), 0));
		assert_eq!(Balances::total_balance_on_hold(&ALICE), DEPOSIT);
		balances_are_whole();
		assert_noop!(Clusters::close(signed(ALICE), 0), Error::<Runtime>::UnknownCluster);
		assert_noop!(ask(1), Error::<Runtime>::UnknownCluster);

		// One with an agent stays.
		Clusters::request_join(signed(BOB), 1, 1, URL.to_vec()).unwrap();
		approve(ALICE, 1, 1).unwrap();
		Clusters::place_agent(1, agent(1), &ALICE.into()).unwrap();
		Clusters::remove_member(signed(ALICE), 1, 1).unwrap();
		assert_noop!(Clusters::close(signed(ALICE), 1), Error::<Runtime>::ClusterInUse);
		// The gap of the closed cluster ends without it.
		go_to_block(11 + u64::from(limits::GENERATION_GAP));
		assert_eq!(Gaps::<Runtime>::iter().count(), 0);
	});
}

#[test]
fn an_account_without_the_deposit_gets_no_cluster() {
	new_test_ext().execute_with(|| {
		let pauper = sp_runtime::AccountId32::new([7; 32]);
		assert!(Clusters::create(signed(pauper)).is_err());
		assert_eq!(NextCluster::<Runtime>::get(), 0);
		balances_are_whole();
	});
}

#[test]
fn a_request_to_join_is_the_operators_with_a_boot_in_force_and_a_url() {
	new_test_ext().execute_with(|| {
		cluster();
		let request = |who, worker, endpoint: &[u8]| {
			Clusters::request_join(signed(who), CLUSTER, worker, endpoint.to_vec())
		};
		assert_noop!(request(EVE, 1, URL), Error::<Runtime>::NotOperator);
		assert_noop!(request(BOB, 99, URL), Error::<Runtime>::UnknownWorker);
		for bad in
			[&b""[..], b"https://", b"http://", b"ftp://a", b"https://a b", b"http://\xc3\xa9"]
		{
			assert_noop!(request(BOB, 1, bad), Error::<Runtime>::EndpointNotUrl);
		}
		let mut longest = b"http://".to_vec();
		longest.resize(limits::ENDPOINT_BYTES_MAX as usize, b'a');
		assert_ok!(request(BOB, 1, &longest));
		longest.push(b'a');
		assert_noop!(request(BOB, 1, &longest), Error::<Runtime>::EndpointTooLong);
		suspend(2);
		assert_noop!(request(BOB, 2, URL), Error::<Runtime>::NotInForce);
		join(3);
		assert_noop!(request(BOB, 3, URL), Error::<Runtime>::AlreadyMember);
	});
}

#[test]
fn a_stranger_cannot_approve() {
	new_test_ext().execute_with(|| {
		cluster();
		ask(1).unwrap();
		let approve = |who, cluster, worker| approve(who, cluster, worker);
		assert_noop!(approve(EVE, CLUSTER, 1), Error::<Runtime>::NotOwner);
		assert_noop!(approve(BOB, CLUSTER, 1), Error::<Runtime>::NotOwner);
		assert_noop!(approve(ALICE, CLUSTER, 2), Error::<Runtime>::NoJoinRequest);
		assert_noop!(approve(ALICE, 5, 1), Error::<Runtime>::UnknownCluster);
		// The owner of another cluster takes in who did not ask it.
		Clusters::create(signed(EVE)).unwrap();
		assert_noop!(approve(EVE, 1, 1), Error::<Runtime>::NoJoinRequest);
		suspend(1);
		assert_noop!(approve(ALICE, CLUSTER, 1), Error::<Runtime>::NotInForce);
	});
}

#[test]
fn a_join_request_is_taken_back_declined_or_lost() {
	new_test_ext().execute_with(|| {
		cluster();
		ask(1).unwrap();
		assert!(Clusters::is_in_use(1));
		assert_noop!(Clusters::leave(signed(EVE), CLUSTER, 1), at_a_look(Error::NotOperator));
		assert_ok!(Clusters::leave(signed(BOB), CLUSTER, 1));
		System::assert_last_event(Event::JoinRequestDropped { cluster: CLUSTER, worker: 1 }.into());
		assert!(!Clusters::is_in_use(1));
		ask(1).unwrap();
		assert_ok!(Clusters::remove_member(signed(ALICE), CLUSTER, 1));
		assert_noop!(
			Clusters::remove_member(signed(ALICE), CLUSTER, 1),
			at_a_look(Error::NotMember)
		);
		ask(1).unwrap();
		evict(1, EvictedBy::Others);
		assert!(!Clusters::is_in_use(1));
		assert_eq!(pushed(), vec![]);
	});
}

#[test]
fn a_new_member_starts_from_the_head_before_its_own_message() {
	new_test_ext().execute_with(|| {
		cluster_of([2]);
		place(1).unwrap();
		place(2).unwrap();
		wrap(2, 1, 1).unwrap();
		pushed();
		ask(1).unwrap();
		let head = NotingMailbox::head(CHANNEL);
		assert_eq!(head.next_seq, 2);
		assert_ok!(approve(ALICE, CLUSTER, 1));
		let told = pushed();
		let snapshot = ClusterSnapshot {
			cluster: CLUSTER,
			head,
			generation: 1,
			members: vec![member(1, 1), member(2, 1)],
			keys: Some(WrappedKeys { epoch: 1, generation: 1, keys: vec![2] }),
		};
		let identity = identity(1, 1);
		assert_eq!(told[0], to_worker(1, ClustersMessage::JoinedCluster { identity, snapshot }));
		for n in 1..=2 {
			let (channel, message) = &told[n as usize];
			assert_eq!(*channel, Channel::Worker(1));
			assert!(matches!(message, Message::Agents(AgentsMessage::Agent(AgentSnapshot { agent: id, lease: Some(Lease { worker: 2, boot: 1 }), .. })) if *id == agent(n)));
		}
		assert_eq!(told[3..], [to_members(ClustersMessage::Member(member(1, 1)))]);
		System::assert_last_event(Event::MemberJoined { cluster: 0, worker: 1, boot: 1 }.into());
	});
}

#[test]
fn a_cluster_takes_as_many_members_as_its_limit_and_not_one_more() {
	new_test_ext().execute_with(|| {
		cluster();
		let most = limits::CLUSTER_MEMBERS_MAX;
		for worker in 1..=most + 1 {
			register(worker, 1);
		}
		(1..=most).for_each(join);
		ask(most + 1).unwrap();
		assert_noop!(approve(ALICE, CLUSTER, most + 1), Error::<Runtime>::ClusterFull);
		Clusters::leave(signed(BOB), CLUSTER, 5).unwrap();
		assert_ok!(approve(ALICE, CLUSTER, most + 1));
	});
}

#[test]
fn a_member_moves_its_server() {
	new_test_ext().execute_with(|| {
		cluster_of([1]);
		let set = |who, worker, endpoint: &[u8]| {
			Clusters::set_endpoint(signed(who), worker, endpoint.to_vec())
		};
		assert_noop!(set(EVE, 1, b"http://e"), Error::<Runtime>::NotOperator);
		assert_noop!(set(BOB, 2, b"http://e"), Error::<Runtime>::NotMember);
		assert_noop!(set(BOB, 1, b"e"), Error::<Runtime>::EndpointNotUrl);
		assert_ok!(set(BOB, 1, b"http://e"));
		let moved = Member { endpoint: b"http://e".to_vec(), ..member(1, 1) };
		assert_eq!(pushed(), vec![to_members(ClustersMessage::Member(moved))]);
	});
}

#[test]
fn who_leaves_is_told_and_its_leases_move_and_a_generation_starts() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3]);
		for n in 0..4 {
			place(n).unwrap();
		}
		// Fewest first, lowest worker on ties.
		let holders: Vec<_> = (0..4).map(|n| holder(n).unwrap().0).collect();
		assert_eq!(holders, [1, 2, 3, 1]);

		assert_noop!(Clusters::remove_member(signed(EVE), CLUSTER, 1), at_a_look(Error::NotOwner));
		assert_noop!(Clusters::leave(signed(EVE), CLUSTER, 1), at_a_look(Error::NotOperator));
		assert_noop!(Clusters::leave(signed(BOB), 5, 1), at_a_look(Error::NotMember));
		assert_ok!(Clusters::leave(signed(BOB), CLUSTER, 1));
		let identity = identity(1, 1);
		assert_eq!(
			pushed(),
			vec![
				to_worker(1, ClustersMessage::LeftCluster { identity, cluster: CLUSTER }),
				to_members(ClustersMessage::MemberLeft { worker: 1 }),
				lease_moved(0, Some((2, 1))),
				lease_moved(3, Some((3, 1))),
				new_generation(2),
			]
		);
		assert_eq!(Withdrawn::get(), vec![(1, CLUSTER)]);
		assert!(!Clusters::is_in_use(1));
		assert_eq!(crate::Clusters::<Runtime>::get(CLUSTER).unwrap().members, 2);
	});
}

#[test]
fn an_evicted_member_leaves_without_a_farewell() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		evict(1, EvictedBy::Others);
		assert_eq!(
			pushed(),
			vec![
				to_members(ClustersMessage::MemberLeft { worker: 1 }),
				lease_moved(0, Some((2, 1))),
				new_generation(2),
			]
		);
		assert_eq!(counted(), [2]);
	});
}

#[test]
fn a_lease_that_nobody_can_take_waits_for_the_next_join() {
	new_test_ext().execute_with(|| {
		cluster_of([1]);
		place(0).unwrap();
		Clusters::leave(signed(BOB), CLUSTER, 1).unwrap();
		assert!(pushed().contains(&lease_moved(0, None)));
		assert_eq!(holder(0), None);
		join(2);
		assert_eq!(pushed().last(), Some(&lease_moved(0, Some((2, 1)))));
		assert_eq!(holder(0), Some((2, 1)));
	});
}

#[test]
fn a_free_lease_waits_for_the_next_boot_of_a_member_too() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		suspend(2);
		Clusters::leave(signed(BOB), CLUSTER, 1).unwrap();
		assert_eq!(holder(0), None);
		register(2, 2);
		assert_eq!(holder(0), Some((2, 2)));
	});
}

#[test]
fn a_restarted_member_is_told_all_again_and_hands_its_leases_on() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		let head = NotingMailbox::head(CHANNEL);
		register(1, 2);
		let told = pushed();
		assert!(matches!(
			&told[0].1,
			Message::Clusters(ClustersMessage::JoinedCluster { identity: id, snapshot })
				if *id == identity(1, 2)
					&& snapshot.head == head
					&& snapshot.members == [member(1, 2), member(2, 1)]
		));
		assert!(matches!(&told[1].1, Message::Agents(AgentsMessage::Agent(_))));
		assert_eq!(
			told[2..],
			[to_members(ClustersMessage::Member(member(1, 2))), lease_moved(0, Some((2, 1)))]
		);
		System::assert_has_event(Event::MemberBooted { cluster: 0, worker: 1, boot: 2 }.into());
		// A restart is no departure.
		assert_eq!(crate::Clusters::<Runtime>::get(CLUSTER).unwrap().generation, 1);

		// Alone, it goes on with its own new boot.
		suspend(1);
		register(2, 2);
		assert_eq!(holder(0), Some((2, 2)));
		assert_eq!(pushed().last(), Some(&lease_moved(0, Some((2, 2)))));
	});
}

#[test]
fn departures_share_a_generation_in_each_gap() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3, 4]);
		let generation = || crate::Clusters::<Runtime>::get(CLUSTER).unwrap().generation;
		let leave = |worker| Clusters::leave(signed(BOB), CLUSTER, worker).unwrap();
		let gap = u64::from(limits::GENERATION_GAP);
		leave(1);
		assert_eq!(generation(), 2);
		leave(2);
		leave(3);
		assert_eq!(generation(), 2);
		pushed();
		go_to_block(10 + gap - 1);
		assert_eq!((generation(), pushed()), (2, vec![]));
		// A full mailbox puts it off.
		PushesLeft::set(0);
		go_to_block(10 + gap);
		assert_eq!(generation(), 2);
		PushesLeft::set(usize::MAX);
		go_to_block(11 + gap);
		assert_eq!((generation(), pushed()), (3, vec![new_generation(3)]));
		// The gap after a quiet gap is open again.
		go_to_block(11 + 2 * gap);
		assert_eq!(generation(), 3);
		assert_eq!(Gaps::<Runtime>::iter().count(), 0);
		leave(4);
		assert_eq!(generation(), 4);
	});
}

#[test]
fn one_block_ends_as_many_gaps_as_it_has_weight_for() {
	use crate::WeightInfo;
	const A_BLOCK: u32 = 16;
	new_test_ext().execute_with(|| {
		let gap = u64::from(limits::GENERATION_GAP);
		for cluster in 0..=A_BLOCK {
			Balances::force_set_balance(RuntimeOrigin::root(), ALICE, 10_000).unwrap();
			Clusters::create(signed(ALICE)).unwrap();
			for _ in 0..2 {
				Clusters::request_join(signed(BOB), cluster, 1, URL.to_vec()).unwrap();
				approve(ALICE, cluster, 1).unwrap();
				Clusters::leave(signed(BOB), cluster, 1).unwrap();
			}
		}
		while Sweeps::<Runtime>::iter().count() > 0 {
			end_block();
		}
		pushed();
		ForUpkeep::set(<Runtime as Config>::WeightInfo::end_gaps(A_BLOCK));
		go_to_block(10 + gap);
		assert_eq!(pushed().len() as u32, A_BLOCK);
		go_to_block(11 + gap);
		assert_eq!(pushed().len(), 1);
	});
}

#[test]
fn a_member_counts_while_in_force_and_alive() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		assert_eq!(counted(), [1, 2]);
		suspend(2);
		assert_eq!(counted(), [1]);
		let last = 10 + u64::from(limits::LIVENESS_BLOCKS);
		System::set_block_number(last);
		assert_eq!(counted(), [1]);
		System::set_block_number(last + 1);
		assert!(counted().is_empty());
		heartbeat(1);
		assert_eq!(counted(), [1]);
	});
}

#[test]
fn an_agent_finds_a_place_where_somebody_counts_and_there_is_room() {
	new_test_ext().execute_with(|| {
		assert_noop!(place(0), Error::<Runtime>::UnknownCluster);
		cluster();
		assert_noop!(place(0), Error::<Runtime>::NobodyCounts);
		join(1);
		assert_eq!(place(0), Ok(Lease { worker: 1, boot: 1 }));
		assert_noop!(place(0), Error::<Runtime>::AgentAlreadyPlaced);
		for n in 1..u64::from(limits::CLUSTER_AGENTS_MAX) {
			assert_ok!(place(n));
		}
		assert_noop!(place(u64::from(limits::CLUSTER_AGENTS_MAX)), Error::<Runtime>::TooManyAgents);
		assert_eq!(Clusters::lease(agent(99_999)), None);
	});
}

fn assigned(n: u64) -> Assignment {
	Clusters::assign(agent(n)).unwrap().unwrap()
}

fn excuse(n: u64, work: &Assignment) -> Option<Excuse> {
	Clusters::liability(agent(n), work).err()
}

const PAID: Balance = 7;

/// As the requests pallet does it.
fn miss(n: u64, work: &Assignment) -> DispatchResult {
	Clusters::note_penalty(agent(n), work, PAID);
	Clusters::on_missed_deadline(agent(n), work)
}

#[test]
fn who_misses_a_deadline_loses_that_agent_alone_and_is_set_aside_until_it_gives_a_sign_of_life() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		for n in 0..3 {
			place(n).unwrap();
		}
		let late = assigned(0);
		assert_eq!(
			late,
			Assignment { lease: Lease { worker: 1, boot: 1 }, number: 1, generation: 1 }
		);
		System::set_block_number(20);
		heartbeat(1);
		assert_ok!(miss(0, &late));
		System::assert_has_event(Event::MemberSetAside { cluster: 0, worker: 1 }.into());
		assert_eq!(pushed(), vec![lease_moved(0, Some((2, 1)))]);
		assert_eq!(holder(2), Some((1, 1)), "it keeps what it did not miss");
		// The sign of life in the same block is not a later one.
		assert_eq!(counted(), [2]);
		System::set_block_number(21);
		heartbeat(1);
		assert_eq!(counted(), [1, 2]);
		leases_add_up();
	});
}

#[test]
fn a_miss_of_a_lease_that_has_moved_moves_none() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3]);
		place(0).unwrap();
		let first = assigned(0);
		miss(0, &first).unwrap();
		pushed();
		assert_ok!(miss(0, &first));
		assert_ok!(Clusters::relieve(agent(0), &first));
		assert_ok!(miss(9, &first));
		assert_eq!((holder(0), pushed()), (Some((2, 1)), vec![]));
		// What the lease cost is remembered, also of one that is over, and so is more.
		let of_first = |paid| Ok(Liability::Lease { paid: Some(paid) });
		assert_eq!(Clusters::liability(agent(0), &first), of_first(PAID));
		Clusters::note_penalty(agent(0), &first, PAID + 1);
		assert_eq!(Clusters::liability(agent(0), &first), of_first(PAID + 1));
		assert_eq!(
			Clusters::liability(agent(0), &assigned(0)),
			Ok(Liability::Lease { paid: None })
		);
	});
}

#[test]
fn the_last_one_that_counts_keeps_trying_and_pays_once_for_a_lease() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		suspend(2);
		let late = assigned(0);
		assert_eq!(excuse(0, &late), None);
		assert_ok!(miss(0, &late));
		assert_eq!((counted(), holder(0), pushed()), (vec![1], Some((1, 1)), vec![]));
		assert_eq!(Clusters::liability(agent(0), &late), Ok(Liability::Lease { paid: Some(PAID) }));
	});
}

#[test]
fn an_owner_that_removes_a_worker_and_takes_it_in_again_does_not_make_it_answer() {
	new_test_ext().execute_with(|| {
		cluster_of([1]);
		place(0).unwrap();
		let work = assigned(0);
		Clusters::remove_member(signed(ALICE), CLUSTER, 1).unwrap();
		assert_eq!(excuse(0, &work), Some(Excuse::Removed));
		join(1);
		assert_eq!(holder(0), Some((1, 1)), "the same boot has it again");
		assert_eq!(excuse(0, &work), Some(Excuse::Removed));
		// Of the new lease it answers for what it is given.
		assert_eq!(excuse(0, &assigned(0)), None);
	});
}

#[test]
fn an_escape_artist_answers_for_what_it_was_given_whatever_it_does() {
	let own_landlord = || {
		crate::Clusters::<Runtime>::mutate(CLUSTER, |record| record.as_mut().unwrap().owner = BOB);
		Clusters::remove_member(signed(BOB), CLUSTER, 1).unwrap();
	};
	let leaver = || _ = Clusters::leave(signed(BOB), CLUSTER, 1).unwrap();
	let escapes: [fn(); 3] = [|| register(1, 2), leaver, own_landlord];
	for escape in escapes {
		new_test_ext().execute_with(|| {
			cluster_of([1, 2]);
			place(0).unwrap();
			let work = assigned(0);
			escape();
			assert_eq!(holder(0), Some((2, 1)));
			assert_eq!(excuse(0, &work), None);
			pushed();
			assert_ok!(miss(0, &work));
			assert_eq!((holder(0), pushed()), (Some((2, 1)), vec![]), "the new holder keeps it");
			// What it pays is counted with all that its boot gave up.
			assert_eq!(Clusters::liability(agent(0), &work), Ok(Liability::OwnAct));
		});
	}
}

/// Has its own agents' long lists of callers told in every block, so that nobody's agents are.
struct Flooder;

impl Flooder {
	fn floods(&self, is_on: bool) {
		Flooded::set(is_on);
	}
}

#[test]
fn a_flooder_of_the_mailbox_keeps_nobody_from_joining_or_from_booting_anew() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 3]);
		place(0).unwrap();
		Flooder.floods(true);
		join(2);
		register(3, 2);
		pass(3);
		for (worker, boot) in [(2, 1), (3, 2)] {
			assert_eq!(Untold::<Runtime>::get(worker), Some(boot));
		}
		let first = Sweeps::<Runtime>::get(FirstSweep::<Runtime>::get());
		assert!(first.is_some() && FirstSweep::<Runtime>::get() == 3, "none holds up the others");
		// What it was not told of it does not get.
		Clusters::leave(signed(BOB), CLUSTER, 1).unwrap();
		assert_eq!((holder(0), Clusters::assign(agent(0))), (None, Ok(None)));
		pushed();
		Flooder.floods(false);
		pass(2);
		assert_eq!(Untold::<Runtime>::iter().count(), 0);
		let told = |worker| {
			let is_of_it = |one: &&(Channel, Message)| one.0 == Channel::Worker(worker);
			let is_agent = |one: &&(Channel, Message)| {
				matches!(one.1, Message::Agents(AgentsMessage::Agent(_)))
			};
			Told::get().iter().filter(is_of_it).filter(is_agent).count()
		};
		assert_eq!((told(2), told(3)), (1, 1));
		assert!(holder(0).is_some());
		leases_add_up();
	});
}

/// Has more leases than one step moves, and is gone before they all have.
struct Ghost;

impl Ghost {
	const WORKER: WorkerId = 1;

	/// An agent whose lease it still has.
	fn haunts(leave: fn()) -> u64 {
		cluster_of([Self::WORKER]);
		let all = u64::from(SWEPT_PER_BLOCK_MAX) + 5;
		for n in 0..all {
			place(n).unwrap();
		}
		join(2);
		end_block();
		leave();
		let of_it = |n: &u64| holder(*n) == Some((Self::WORKER, 1));
		(0..all).find(of_it).expect("one step does not move all")
	}
}

#[test]
fn a_ghost_that_left_or_boots_anew_is_given_no_work_before_its_leases_have_moved() {
	let leave: fn() = || _ = Clusters::leave(signed(BOB), CLUSTER, Ghost::WORKER).unwrap();
	let restart: fn() = || register(Ghost::WORKER, 2);
	for go in [leave, restart] {
		new_test_ext().execute_with(|| {
			let haunted = Ghost::haunts(go);
			assert_eq!(Clusters::assign(agent(haunted)), Ok(None));
			pass(1);
			assert_eq!(assigned(haunted).lease, Lease { worker: 2, boot: 1 });
			leases_add_up();
		});
	}
}

#[test]
fn whose_lease_was_taken_answers_for_nothing_more() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3]);
		place(0).unwrap();
		place(1).unwrap();
		let work = assigned(0);
		let at = now();
		silent(2, 1).unwrap();
		pass(limits::CHALLENGE_BLOCKS);
		still_silent(2, 1, at).unwrap();
		end_block();
		assert_eq!(excuse(0, &work), Some(Excuse::LeaseTaken));
		// A restart after that makes it no worse.
		register(1, 2);
		assert_eq!(excuse(0, &work), Some(Excuse::LeaseTaken));
		let relieved = assigned(1);
		assert_ok!(Clusters::relieve(agent(1), &relieved));
		assert_eq!(excuse(1, &relieved), Some(Excuse::LeaseTaken));
		assert!(counted().contains(&relieved.lease.worker), "nobody is set aside for it");
	});
}

#[test]
fn a_departure_of_another_that_changes_the_generation_excuses_and_one_s_own_does_not() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3]);
		place(0).unwrap();
		place(1).unwrap();
		let (first, second) = (assigned(0), assigned(1));
		Clusters::leave(signed(BOB), CLUSTER, 2).unwrap();
		assert_eq!(excuse(0, &first), Some(Excuse::GenerationChanged));
		assert_eq!(excuse(1, &second), None);
		assert_eq!(excuse(0, &assigned(0)), None);
	});
}

/// Runs two members and restarts them in turn, so that the chain forgets what the first was to answer.
/// Nine restarts cost it fees alone.
struct Forgetter;

impl Forgetter {
	fn restarts_in_turn() {
		for boot in 2..3 + LEASE_ENDS_MAX {
			register(holder(0).unwrap().0, boot);
		}
	}
}

#[test]
fn nine_restarts_make_nobody_forget_what_the_first_left_open() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		let work = assigned(0);
		Forgetter::restarts_in_turn();
		assert_eq!(LeaseHistories::<Runtime>::get(agent(0)).ended.len(), 0);
		assert_eq!(excuse(0, &work), None);
		assert_eq!(Clusters::liability(agent(0), &work), Ok(Liability::OwnAct));
		// What it pays for that takes nobody's place among the ends that are remembered.
		Clusters::note_penalty(agent(0), &work, PAID);
		assert_eq!(LeaseHistories::<Runtime>::get(agent(0)).ended.len(), 0);
		let newest = Clusters::liability(agent(0), &assigned(0));
		assert_eq!(newest, Ok(Liability::Lease { paid: None }));
	});
}

#[test]
fn what_others_ended_so_long_ago_that_it_is_forgotten_is_held_against_nobody() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		let work = assigned(0);
		for _ in 0..=LEASE_ENDS_MAX {
			let worker = holder(0).unwrap().0;
			Clusters::remove_member(signed(ALICE), CLUSTER, worker).unwrap();
			join(worker);
		}
		assert_eq!(LeaseHistories::<Runtime>::get(agent(0)).ended.len() as u32, LEASE_ENDS_MAX);
		assert_eq!(excuse(0, &work), Some(Excuse::LeaseTaken));
	});
}

#[test]
fn a_penalty_for_a_lease_that_nobody_took_over_does_not_excuse_the_next() {
	new_test_ext().execute_with(|| {
		cluster_of([1]);
		place(0).unwrap();
		let work = assigned(0);
		Clusters::leave(signed(BOB), CLUSTER, 1).unwrap();
		assert_eq!(holder(0), None);
		assert_eq!(excuse(0, &work), None);
		Clusters::note_penalty(agent(0), &work, PAID);
		assert_eq!(Clusters::liability(agent(0), &work), Ok(Liability::OwnAct));
		join(1);
		assert_eq!(excuse(0, &assigned(0)), None);
	});
}

#[test]
fn an_agent_that_was_given_up_is_held_against_nobody() {
	new_test_ext().execute_with(|| {
		cluster_of([1]);
		place(0).unwrap();
		let work = assigned(0);
		Clusters::remove_agent(agent(0));
		assert_eq!(excuse(0, &work), Some(Excuse::LeaseTaken));
	});
}

#[test]
fn who_exhausts_its_stake_answers_for_its_leases_and_who_is_evicted_otherwise_does_not() {
	for (by, excused) in [(EvictedBy::Itself, None), (EvictedBy::Others, Some(Excuse::Removed))] {
		new_test_ext().execute_with(|| {
			cluster_of([1, 2]);
			place(0).unwrap();
			let work = assigned(0);
			evict(1, by);
			assert_eq!(holder(0), Some((2, 1)));
			assert_eq!(excuse(0, &work), excused, "{by:?}");
		});
	}
}

#[test]
fn a_delisted_holder_that_may_not_speak_answers_for_nothing_but_its_own_acts() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		let left = assigned(0);
		register(1, 2);
		let work = assigned(0);
		assert_eq!((holder(0), excuse(0, &work)), (Some((2, 1)), None));
		suspend(2);
		// Its stake fell, or its evidence ran out.
		assert_eq!(excuse(0, &work), None);
		Delisted::set(vec![1, 2]);
		assert_eq!(excuse(0, &work), Some(Excuse::Removed));
		assert_eq!(excuse(0, &left), None);
	});
}

#[test]
fn a_member_has_no_successor_while_there_is_state_to_lose_whoever_counts() {
	new_test_ext().execute_with(|| {
		assert!(Clusters::has_successor(1), "it is nowhere");
		cluster_of([1, 2]);
		assert!(Clusters::has_successor(1));
		place(0).unwrap();
		assert!(!Clusters::has_successor(1));
		// It counts and was told all agents, and has neither their keys nor their bodies.
		register(2, 2);
		assert!(!Clusters::has_successor(1) && !Clusters::has_successor(2));
		Clusters::remove_agent(agent(0));
		assert!(Clusters::has_successor(1));
	});
}

#[test]
fn a_free_lease_is_given_out_when_work_comes() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		suspend(2);
		Clusters::leave(signed(BOB), CLUSTER, 1).unwrap();
		assert_eq!(Clusters::assign(agent(0)), Ok(None));
		bend(2, |worker| worker.in_force = true);
		assert_eq!(assigned(0).lease, Lease { worker: 2, boot: 1 });
		assert_eq!(pushed().last(), Some(&lease_moved(0, Some((2, 1)))));
		assert_eq!(Clusters::assign(agent(9)), Ok(None), "it has no place");
	});
}

#[test]
fn work_for_whom_the_chain_silenced_goes_to_who_counts_or_to_nobody() {
	for (delisted, liability) in [(true, Err(Excuse::Removed)), (false, Ok(Liability::OwnAct))] {
		new_test_ext().execute_with(|| {
			cluster_of([1, 2]);
			place(0).unwrap();
			let work = assigned(0);
			suspend(1);
			if delisted {
				Delisted::set(vec![1]);
			}
			pushed();
			assert_eq!(assigned(0).lease, Lease { worker: 2, boot: 1 });
			assert_eq!(pushed(), vec![lease_moved(0, Some((2, 1)))]);
			assert_eq!(Clusters::liability(agent(0), &work), liability);
			assert_eq!(EndedLeases::get(), vec![agent(0)], "its callers are refunded");
			suspend(2);
			assert_eq!(Clusters::assign(agent(0)), Ok(None), "nobody is asked to pay");
			assert_eq!(holder(0), Some((2, 1)), "it may come back");
			leases_add_up();
		});
	}
}

#[test]
fn a_holder_in_force_that_is_silent_keeps_its_lease_until_members_challenge_it() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		pass(limits::LIVENESS_BLOCKS + 1);
		heartbeat(2);
		assert_eq!((counted(), assigned(0).lease.worker), (vec![2], 1));
	});
}

#[test]
fn whoever_relies_on_a_lease_hears_of_its_end_and_one_that_comes_back_is_another() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		let work = assigned(0);
		assert!(crate::Pallet::<Runtime>::is_held(agent(0), &work));
		assert_eq!(EndedLeases::get(), vec![]);
		// Away, and back to the same boot.
		let relieve = || crate::Pallet::<Runtime>::relieve(agent(0), &assigned(0));
		relieve().unwrap();
		assert_eq!(EndedLeases::get(), vec![agent(0)]);
		relieve().unwrap();
		assert_eq!(holder(0), Some((1, 1)));
		assert!(!crate::Pallet::<Runtime>::is_held(agent(0), &work));
		assert!(crate::Pallet::<Runtime>::is_held(agent(0), &assigned(0)));
		assert_eq!(EndedLeases::get(), vec![agent(0); 2]);
		// Given up: nobody has it.
		let last = assigned(0);
		crate::Pallet::<Runtime>::remove_agent(agent(0));
		assert_eq!(EndedLeases::get(), vec![agent(0); 3]);
		assert!(!crate::Pallet::<Runtime>::is_held(agent(0), &last));
	});
}

#[test]
fn members_say_which_blocks_are_final_and_a_liar_names_none_that_is_to_come() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		let say_final = |worker, block| receive(worker, 1, ClustersPayload::BlockFinal { block });
		let is_witnessed = |worker, since| Clusters::is_witnessed(CLUSTER, worker, since);
		assert!(!is_witnessed(1, 0));
		assert_ok!(say_final(1, now()));
		assert_ok!(say_final(2, now() - 3));
		assert_ok!(say_final(2, now() - 5));
		assert!(is_witnessed(1, now() - 3) && !is_witnessed(1, now() - 2));
		assert!(is_witnessed(2, now()));
		assert_noop!(say_final(1, now() + 1), Error::<Runtime>::BlockInTheFuture);
		assert_noop!(say_final(3, now()), Error::<Runtime>::NotMember);
		suspend(2);
		assert_noop!(say_final(2, now()), Error::<Runtime>::DoesNotCount);
	});
}

#[test]
fn a_holder_is_witnessed_by_others_and_by_as_many_as_a_quorum_takes() {
	new_test_ext().execute_with(|| {
		let say_final = |worker| receive(worker, 1, ClustersPayload::BlockFinal { block: now() });
		let is_witnessed = |worker| Clusters::is_witnessed(CLUSTER, worker, now());
		cluster_of([1]);
		assert_ok!(say_final(1));
		assert!(!is_witnessed(1), "alone it has only its own word");
		cluster_of([2, 3, 4]);
		assert_ok!(say_final(2));
		assert!(!is_witnessed(1), "two of four are no quorum");
		assert_ok!(say_final(3));
		assert!(is_witnessed(1));
		assert_ok!(Clusters::leave(signed(BOB), CLUSTER, 3));
		assert!(!FinalSeen::<Runtime>::get(CLUSTER).contains_key(&3));
	});
}

/// Withholds an answer in a cluster of two, and leaves before anybody counts who is there.
struct LastOut;

#[test]
fn who_leaves_a_cluster_of_two_takes_no_witness_with_it() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		let villain = 1;
		assert_ok!(receive(2, 1, ClustersPayload::BlockFinal { block: now() }));
		assert!(Clusters::is_witnessed(CLUSTER, villain, now()));
		let leave = |_: LastOut| Clusters::leave(signed(BOB), CLUSTER, villain);
		assert_ok!(leave(LastOut));
		assert!(Clusters::is_witnessed(CLUSTER, villain, now()));
		// Who was alone has nobody's word, also afterwards.
		assert_ok!(Clusters::leave(signed(BOB), CLUSTER, 2));
		assert!(!Clusters::is_witnessed(CLUSTER, 2, now()));
	});
}

#[test]
fn a_member_asks_for_the_key_of_the_current_generation() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		assert_ok!(request_key(1, 1, 1));
		let request = KeyRequest {
			worker: 1,
			boot: 1,
			cluster: CLUSTER,
			generation: 1,
			ephemeral_key: [5; 32],
		};
		assert_eq!(Admitted::get(), vec![request]);
		System::assert_last_event(
			Event::KeyRequested { cluster: CLUSTER, worker: 1, generation: 1 }.into(),
		);
		assert_noop!(request_key(1, 1, 2), Error::<Runtime>::OtherGeneration);
		assert_noop!(request_key(1, 1, 0), Error::<Runtime>::OtherGeneration);
		register(1, 2);
		assert_noop!(request_key(1, 1, 1), Error::<Runtime>::RetiredBoot);
		assert_ok!(request_key(1, 2, 1));
	});
}

#[test]
fn a_departed_member_and_an_outsider_cannot_ask_for_the_key() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		assert_noop!(request_key(3, 1, 1), Error::<Runtime>::NotMember);
		// One who only asked to join.
		ask(3).unwrap();
		assert_noop!(request_key(3, 1, 1), Error::<Runtime>::NotMember);
		Clusters::leave(signed(BOB), CLUSTER, 1).unwrap();
		assert_noop!(request_key(1, 1, 1), Error::<Runtime>::NotMember);
		assert_noop!(request_key(1, 1, 2), Error::<Runtime>::NotMember);
		assert_eq!(Admitted::get(), vec![]);
	});
}

#[test]
fn the_newest_wrapped_keys_can_be_read_after_a_departure() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		wrap(1, 1, 1).unwrap();
		Clusters::leave(signed(BOB), CLUSTER, 1).unwrap();
		// Nobody has wrapped for generation 2: worker 2 must be able to.
		assert_ok!(request_key(2, 1, 1));
		assert_ok!(request_key(2, 1, 2));
		assert_ok!(wrap(2, 1, 2));
		assert_noop!(request_key(2, 1, 1), Error::<Runtime>::OtherGeneration);
	});
}

#[test]
fn the_first_wrapping_of_an_epoch_and_generation_counts() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		assert_ok!(wrap(1, 1, 1));
		let keys = WrappedKeys { epoch: 1, generation: 1, keys: vec![1] };
		assert_eq!(pushed(), vec![to_members(ClustersMessage::KeysWrapped(keys))]);
		System::assert_last_event(
			Event::KeysWrapped { cluster: CLUSTER, worker: 1, epoch: 1, generation: 1 }.into(),
		);
		assert_noop!(wrap(2, 1, 1), Error::<Runtime>::KeysAlreadyWrapped);
		assert_noop!(wrap(1, 1, 1), Error::<Runtime>::KeysAlreadyWrapped);
		assert_noop!(wrap(2, 1, 2), Error::<Runtime>::OtherGeneration);
		assert_noop!(wrap(2, 0, 1), Error::<Runtime>::EpochPassed);
		// The hoarder: an epoch of the far future would shut out all others.
		assert_noop!(wrap(2, u32::MAX, 1), Error::<Runtime>::EpochNotActive);
		ActiveEpoch::set(Some(2));
		assert_ok!(wrap(2, 2, 1));
		ActiveEpoch::set(None);
		assert_noop!(wrap(2, 2, 1), Error::<Runtime>::EpochNotActive);
	});
}

#[test]
fn a_set_of_a_latecomer_that_nobody_could_open_any_more_is_refused() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		assert_ok!(wrap(1, 1, 1));
		// The latecomer's set was on its way when the next master key came, and the one after it.
		for active in [3, 4] {
			ActiveEpoch::set(Some(active));
			assert_noop!(wrap(2, 2, 1), Error::<Runtime>::EpochPassed);
			assert_noop!(wrap(2, 1, 1), Error::<Runtime>::EpochPassed);
		}
		assert_ok!(wrap(1, 4, 1));
	});
}

#[test]
fn an_outsider_wraps_keys_and_is_refused() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		assert_noop!(wrap(3, 1, 1), Error::<Runtime>::NotMember);
		Clusters::leave(signed(BOB), CLUSTER, 2).unwrap();
		assert_noop!(wrap(2, 1, 2), Error::<Runtime>::NotMember);
		register(1, 2);
		assert_noop!(wrap(1, 1, 2), Error::<Runtime>::RetiredBoot);
	});
}

#[test]
fn wrapped_keys_may_be_as_long_as_their_limit_and_not_one_byte_longer() {
	new_test_ext().execute_with(|| {
		cluster_of([1]);
		let send = |bytes: u32| {
			let keys = WrappedKeys { epoch: 1, generation: 1, keys: vec![1; bytes as usize] };
			Clusters::receive(
				EnvelopeOrigin { worker: 1, boot: 1 },
				ClustersPayload::KeysWrapped { cluster: CLUSTER, keys },
			)
		};
		let longest = limits::WRAPPED_KEYS_BYTES_MAX;
		assert_noop!(send(longest + 1), Error::<Runtime>::WrappedKeysTooLong);
		assert_ok!(send(longest));
	});
}

#[test]
fn a_full_mailbox_refuses_a_join_by_name() {
	new_test_ext().execute_with(|| {
		cluster();
		ask(1).unwrap();
		PushesLeft::set(1);
		assert_noop!(approve(ALICE, CLUSTER, 1), Error::<Runtime>::MailboxFull);
		assert!(!MemberOf::<Runtime>::contains_key(1));
	});
}

#[test]
fn the_fullest_snapshot_fits_into_a_message() {
	use codec::Encode;
	let member =
		Member { endpoint: vec![b'a'; limits::ENDPOINT_BYTES_MAX as usize], ..member(1, 1) };
	let snapshot = ClusterSnapshot {
		cluster: 0,
		head: Default::default(),
		generation: 1,
		members: vec![member; limits::CLUSTER_MEMBERS_MAX as usize],
		keys: Some(WrappedKeys {
			epoch: 1,
			generation: 1,
			keys: vec![1; limits::WRAPPED_KEYS_BYTES_MAX as usize],
		}),
	};
	let message = Message::Clusters(ClustersMessage::JoinedCluster { identity: [0; 32], snapshot });
	assert!(message.encoded_size() <= limits::MESSAGE_BYTES_MAX as usize);
}

#[test]
fn a_squatter_finds_no_room_until_the_owner_opens_the_cluster_and_pays_what_it_asks() {
	new_test_ext().execute_with(|| {
		Clusters::create(signed(ALICE)).unwrap();
		join(1);
		assert_noop!(place(1), Error::<Runtime>::ClusterNotOpen);
		assert_ok!(Clusters::place_agent(CLUSTER, agent(2), &ALICE.into()));
		let opening = Opening { price_floor: 7, deposit: 9 };
		let open = |who, opening| Clusters::set_open(signed(who), CLUSTER, opening);
		assert_noop!(open(BOB, Some(opening)), Error::<Runtime>::NotOwner);
		assert_ok!(open(ALICE, Some(opening)));
		assert_eq!(Clusters::terms(CLUSTER, &STRANGER_BYTES), Ok(opening));
		assert_eq!(Clusters::terms(CLUSTER, &ALICE.into()), Ok(Opening::default()));
		assert_ok!(place(1));
		assert_ok!(open(ALICE, None));
		assert_noop!(place(3), Error::<Runtime>::ClusterNotOpen);
		assert_eq!(holder(1), Some((1, 1)), "what is here stays");
		assert_eq!(
			Clusters::terms(9, &STRANGER_BYTES),
			Err(Error::<Runtime>::UnknownCluster.into())
		);
	});
}

#[test]
fn whom_the_owner_admits_deploys_as_the_owner_does() {
	new_test_ext().execute_with(|| {
		Clusters::create(signed(ALICE)).unwrap();
		join(1);
		let admit = |who, developer, admitted| {
			Clusters::admit_developer(signed(who), CLUSTER, developer, admitted)
		};
		assert_noop!(admit(EVE, EVE, true), Error::<Runtime>::NotOwner);
		assert_ok!(admit(ALICE, EVE, true));
		assert_ok!(admit(ALICE, EVE, true));
		assert_eq!(AdmittedDevelopers::<Runtime>::get(CLUSTER).len(), 1);
		assert_ok!(Clusters::place_agent(CLUSTER, agent(1), &EVE.into()));
		assert_noop!(place(2), Error::<Runtime>::ClusterNotOpen);
		assert_ok!(admit(ALICE, EVE, false));
		assert_eq!(AdmittedDevelopers::<Runtime>::iter().count(), 0);
		assert_noop!(
			Clusters::place_agent(CLUSTER, agent(3), &EVE.into()),
			Error::<Runtime>::ClusterNotOpen
		);
		for n in 0..limits::ADMITTED_DEVELOPERS_MAX {
			let developer = AgentId::from_low_u64_be(n.into()).0.into();
			assert_ok!(admit(ALICE, developer, true));
		}
		assert_noop!(admit(ALICE, EVE, true), Error::<Runtime>::TooManyAdmitted);
	});
}

/// Asks to join with one face, and shows another before it is let in.
struct Impostor;

impl Impostor {
	const WORKER: WorkerId = 1;

	fn ask(&self) {
		ask(Self::WORKER).unwrap();
	}

	fn moves_its_address(&self) {
		let endpoint = b"https://evil.example".to_vec();
		Clusters::request_join(signed(BOB), CLUSTER, Self::WORKER, endpoint).unwrap();
	}
}

#[test]
fn an_impostor_that_changes_after_the_owner_looked_is_not_let_in() {
	new_test_ext().execute_with(|| {
		cluster();
		let seen = MockRegistry::current_boot(Impostor::WORKER).unwrap();
		let approve_seen = || {
			let (boot, measurement) = (seen.number, seen.measurement);
			let endpoint = URL.to_vec();
			Clusters::approve_join(signed(ALICE), CLUSTER, 1, boot, measurement, endpoint)
		};
		Impostor.ask();
		Impostor.moves_its_address();
		assert_noop!(approve_seen(), at_a_look(Error::OtherApplicant));
		Impostor.ask();
		register(Impostor::WORKER, 2);
		assert_noop!(approve_seen(), at_a_look(Error::OtherApplicant));
		register(Impostor::WORKER, 1);
		bend(Impostor::WORKER, |worker| {
			worker.boot.as_mut().unwrap().measurement = AgentId::repeat_byte(0xee)
		});
		assert_noop!(approve_seen(), at_a_look(Error::OtherApplicant));
		register(Impostor::WORKER, 1);
		assert_ok!(approve_seen());
	});
}

#[test]
fn a_cluster_goes_to_whom_it_was_offered_and_the_deposit_with_it() {
	new_test_ext().execute_with(|| {
		cluster();
		let offer = |who, to| Clusters::offer_transfer(signed(who), CLUSTER, to);
		let accept = |who| Clusters::accept_transfer(signed(who), CLUSTER);
		assert_noop!(offer(EVE, Some(EVE)), Error::<Runtime>::NotOwner);
		assert_noop!(accept(EVE), Error::<Runtime>::NotOffered);
		assert_ok!(offer(ALICE, Some(EVE)));
		assert_ok!(offer(ALICE, None));
		assert_noop!(accept(EVE), Error::<Runtime>::NotOffered);
		assert_ok!(offer(ALICE, Some(BOB)));
		assert_noop!(accept(EVE), Error::<Runtime>::NotOffered);
		assert_ok!(accept(BOB));
		System::assert_last_event(
			Event::Transferred { cluster: CLUSTER, from: ALICE, to: BOB }.into(),
		);
		assert_eq!(Balances::total_balance_on_hold(&ALICE), 0);
		assert_eq!(Balances::total_balance_on_hold(&BOB), DEPOSIT);
		balances_are_whole();
		assert_noop!(accept(BOB), Error::<Runtime>::NotOffered);
		assert_noop!(offer(ALICE, Some(ALICE)), Error::<Runtime>::NotOwner);
		assert_ok!(Clusters::close(signed(BOB), CLUSTER));
		balances_are_whole();
	});
}

#[test]
fn an_agent_that_is_given_up_leaves_nothing_behind() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		place(1).unwrap();
		let work = assigned(0);
		Clusters::remove_agent(agent(0));
		leases_add_up();
		assert_eq!(Clusters::assign(agent(0)), Ok(None));
		assert_eq!(excuse(0, &work), Some(Excuse::LeaseTaken));
		assert_eq!(crate::Clusters::<Runtime>::get(CLUSTER).unwrap().agents, 1);
		assert!(!LeaseHistories::<Runtime>::contains_key(agent(0)));
		Clusters::remove_agent(agent(0));
		assert_eq!(crate::Clusters::<Runtime>::get(CLUSTER).unwrap().agents, 1);
	});
}

/// As the mailbox brings it: any envelope shows that its boot is there, whatever comes of it.
fn receive(worker: WorkerId, boot: BootNumber, payload: ClustersPayload) -> DispatchResult {
	envelope(worker);
	frame_support::storage::with_storage_layer(|| {
		Clusters::receive(EnvelopeOrigin { worker, boot }, payload)
	})
}

fn silent(by: WorkerId, holder: WorkerId) -> DispatchResult {
	receive(by, 1, ClustersPayload::HolderSilent { holder, boot: 1 })
}

fn still_silent(by: WorkerId, holder: WorkerId, challenged_at: BlockNumber) -> DispatchResult {
	receive(by, 1, ClustersPayload::HolderStillSilent { holder, boot: 1, challenged_at })
}

fn now() -> BlockNumber {
	System::block_number() as BlockNumber
}

fn pass(blocks: BlockNumber) {
	go_to_block(u64::from(now() + blocks));
}

/// The cluster's index of leases is what the leases say.
fn leases_add_up() {
	for worker in 1..=4 {
		let held: Vec<AgentId> = HeldLeases::<Runtime>::iter_key_prefix(worker).collect();
		assert_eq!(held.len() as u32, Loads::<Runtime>::get(worker), "worker {worker}");
		for agent in held {
			assert_eq!(Leases::<Runtime>::get(agent).unwrap().worker, worker);
		}
	}
	for (agent, cluster) in AgentCluster::<Runtime>::iter() {
		let is_free = FreeLeases::<Runtime>::contains_key(cluster, agent);
		assert_eq!(is_free, !Leases::<Runtime>::contains_key(agent));
	}
	let held = HeldLeases::<Runtime>::iter().count();
	assert_eq!(held, Leases::<Runtime>::iter().count());
}

#[test]
fn a_hung_holder_is_challenged_and_its_leases_move_and_it_goes_on_as_a_follower() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3]);
		for n in 0..4 {
			place(n).unwrap();
		}
		let at = now();
		assert_ok!(silent(2, 1));
		let told = ClustersMessage::HolderChallenged { holder: 1, boot: 1, by: 2, block: at };
		assert_eq!(pushed(), vec![to_members(told)]);
		assert_noop!(silent(3, 1), Error::<Runtime>::AlreadyChallenged);

		pass(limits::CHALLENGE_BLOCKS - 1);
		assert_noop!(still_silent(2, 1, at), Error::<Runtime>::ChallengeTooYoung);
		pass(1);
		// It need not be who said it first.
		assert_ok!(still_silent(3, 1, at));
		System::assert_last_event(Event::MemberSetAside { cluster: 0, worker: 1 }.into());
		assert_eq!(counted(), [2, 3]);
		assert_eq!(pushed(), vec![], "not in the envelope's weight");
		end_block();
		assert_eq!(pushed(), vec![lease_moved(0, Some((2, 1))), lease_moved(3, Some((3, 1)))]);
		leases_add_up();

		// It wakes up and sees that it was challenged.
		pass(10);
		assert_ok!(receive(1, 1, ClustersPayload::HolderPresent));
		assert_eq!(counted(), [1, 2, 3]);
		assert_eq!((holder(0), holder(3)), (Some((2, 1)), Some((3, 1))));
		assert_eq!(place(9).unwrap().worker, 1, "it takes new ones again");
		balances_are_whole();
	});
}

#[test]
fn a_block_without_weight_to_spare_leaves_the_leases_to_the_next() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		let at = now();
		silent(2, 1).unwrap();
		pass(limits::CHALLENGE_BLOCKS);
		still_silent(2, 1, at).unwrap();
		Clusters::work_off_sweeps(&mut WeightMeter::with_limit(Weight::zero()));
		assert_eq!(holder(0), Some((1, 1)));
		// A full mailbox puts it off.
		PushesLeft::set(0);
		pass(1);
		assert_eq!(holder(0), Some((1, 1)));
		PushesLeft::set(usize::MAX);
		pass(1);
		assert_eq!(holder(0), Some((2, 1)));
		assert_eq!(Sweeps::<Runtime>::iter().count(), 0);
		leases_add_up();
	});
}

#[test]
fn a_holder_that_says_anything_at_all_keeps_its_leases() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		let at = now();
		silent(2, 1).unwrap();
		// Not even a payload that fails is needed to be one.
		envelope(1);
		pass(limits::CHALLENGE_BLOCKS);
		assert_noop!(still_silent(2, 1, at), Error::<Runtime>::HolderAnswered);
		assert_ok!(receive(1, 1, ClustersPayload::HolderPresent));
		assert_noop!(still_silent(2, 1, at), Error::<Runtime>::NoSuchChallenge);
		assert_eq!((holder(0), counted()), (Some((1, 1)), vec![1, 2]));
	});
}

/// Challenges whom it can, all day.
struct Harasser;

impl Harasser {
	const WORKER: WorkerId = 2;

	/// Tries in each of `blocks` blocks; how often the chain took it. The holder answers as soon as
	/// it hears of it.
	fn harass(&self, holder: WorkerId, blocks: BlockNumber) -> u32 {
		let mut taken = 0;
		for _ in 0..blocks {
			let at = now();
			if silent(Self::WORKER, holder).is_ok() {
				taken += 1;
			}
			// And it goes on at once, and with what it made up.
			for challenged_at in at.saturating_sub(9)..=at {
				assert!(still_silent(Self::WORKER, holder, challenged_at).is_err());
			}
			pass(1);
			receive(holder, 1, ClustersPayload::HolderPresent).unwrap();
		}
		taken
	}
}

#[test]
fn a_challenge_that_nobody_followed_up_is_made_anew_and_the_lease_moves() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3]);
		place(0).unwrap();
		assert_ok!(silent(2, 1));
		// All who heard of it restart: their next boots know of no challenge.
		pass(limits::CHALLENGE_SPACING_BLOCKS - 1);
		assert_noop!(silent(3, 1), Error::<Runtime>::AlreadyChallenged);
		pass(1);
		let at = now();
		pushed();
		assert_ok!(silent(3, 1));
		let told = ClustersMessage::HolderChallenged { holder: 1, boot: 1, by: 3, block: at };
		assert_eq!(pushed(), vec![to_members(told)]);
		pass(limits::CHALLENGE_BLOCKS);
		assert_ok!(still_silent(3, 1, at));
		end_block();
		assert_eq!(holder(0), Some((2, 1)));
		leases_add_up();
	});
}

#[test]
fn one_that_challenges_all_day_costs_little_and_gets_nothing() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3]);
		place(0).unwrap();
		let taken = Harasser.harass(1, 10 * limits::CHALLENGE_SPACING_BLOCKS);
		assert_eq!(taken, 10);
		assert_eq!((holder(0), counted()), (Some((1, 1)), vec![1, 2, 3]));
		assert!(LatelyChallenged::<Runtime>::get(1).len() <= 1);
		balances_are_whole();
		// And others are not kept from saying what is so.
		silent(2, 1).unwrap();
		envelope(1);
		pass(1);
		let at = now();
		assert_ok!(silent(3, 1));
		pass(limits::CHALLENGE_BLOCKS);
		assert_ok!(still_silent(3, 1, at));
	});
}

/// Has a worker miss a deadline of one agent, so that nobody is left to follow a holder that hangs.
struct Waylayer;

impl Waylayer {
	const VICTIM: WorkerId = 1;

	fn waylays() {
		place(0).unwrap();
		assert_eq!(holder(0), Some((Self::VICTIM, 1)));
		let work = assigned(0);
		miss(0, &work).unwrap();
		end_block();
	}
}

#[test]
fn one_that_was_set_aside_and_finds_the_holder_silent_follows_it() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		Waylayer::waylays();
		assert_eq!((counted(), holder(0)), (vec![2], Some((2, 1))));
		let at = now();
		assert_ok!(silent(Waylayer::VICTIM, 2));
		assert_eq!(counted(), vec![1, 2], "it speaks");
		pass(limits::CHALLENGE_BLOCKS);
		assert_ok!(still_silent(Waylayer::VICTIM, 2, at));
		end_block();
		assert_eq!((counted(), holder(0)), (vec![1], Some((1, 1))));
		// A sign of life is no cure for what suspends it.
		suspend(1);
		assert_noop!(silent(1, 2), Error::<Runtime>::DoesNotCount);
		leases_add_up();
	});
}

#[test]
fn a_stranger_a_departed_a_suspended_and_a_restarted_member_cannot_challenge() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3]);
		place(0).unwrap();
		let at = now();
		assert_noop!(silent(4, 1), Error::<Runtime>::NotMember);
		Clusters::create(signed(EVE)).unwrap();
		Clusters::request_join(signed(BOB), 1, 4, URL.to_vec()).unwrap();
		approve(EVE, 1, 4).unwrap();
		assert_noop!(silent(4, 1), Error::<Runtime>::NotMember);
		suspend(2);
		assert_noop!(silent(2, 1), Error::<Runtime>::DoesNotCount);
		bend(2, |worker| worker.in_force = true);
		silent(3, 1).unwrap();
		pass(limits::CHALLENGE_BLOCKS);
		assert_noop!(still_silent(4, 1, at), Error::<Runtime>::NotMember);
		Clusters::leave(signed(BOB), CLUSTER, 2).unwrap();
		assert_noop!(still_silent(2, 1, at), Error::<Runtime>::NotMember);
		register(3, 2);
		assert_noop!(still_silent(3, 1, at), Error::<Runtime>::RetiredBoot);
		assert_eq!(holder(0), Some((1, 1)));
	});
}

#[test]
fn nobody_is_challenged_for_an_old_boot_for_no_lease_or_by_itself() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		let at = now();
		assert_noop!(silent(1, 1), Error::<Runtime>::OwnChallenge);
		assert_noop!(silent(1, 2), Error::<Runtime>::HasNoLease);
		assert_noop!(silent(2, 4), Error::<Runtime>::NotMember);
		silent(2, 1).unwrap();
		assert_noop!(still_silent(1, 1, at), Error::<Runtime>::OwnChallenge);
		// It restarts: what was said of its last life is void.
		register(1, 2);
		place(1).unwrap();
		pass(limits::CHALLENGE_BLOCKS);
		assert_noop!(still_silent(2, 1, at), Error::<Runtime>::NoSuchChallenge);
		assert_noop!(silent(2, 1), Error::<Runtime>::OtherBoot);
		assert_eq!(holder(1), Some((1, 2)));
	});
}

#[test]
fn two_that_do_not_reach_each_other_both_keep_what_they_have() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		place(1).unwrap();
		let at = now();
		silent(1, 2).unwrap();
		silent(2, 1).unwrap();
		pass(2);
		receive(1, 1, ClustersPayload::HolderPresent).unwrap();
		receive(2, 1, ClustersPayload::HolderPresent).unwrap();
		pass(limits::CHALLENGE_BLOCKS);
		assert_noop!(still_silent(1, 2, at), Error::<Runtime>::NoSuchChallenge);
		assert_noop!(still_silent(2, 1, at), Error::<Runtime>::NoSuchChallenge);
		assert_eq!((holder(0), holder(1)), (Some((1, 1)), Some((2, 1))));
	});
}

#[test]
fn one_that_was_cut_off_challenges_all_at_once_and_all_keep_what_they_have() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3, 4]);
		for n in 0..4 {
			place(n).unwrap();
		}
		let at = now();
		for holder in 1..=3 {
			silent(4, holder).unwrap();
		}
		pass(limits::CHALLENGE_BLOCKS - 1);
		(1..=3).for_each(envelope);
		pass(1);
		for holder in 1..=3 {
			assert_noop!(still_silent(4, holder, at), Error::<Runtime>::HolderAnswered);
		}
		assert_eq!(counted(), [1, 2, 3, 4]);
	});
}

#[test]
fn what_was_said_of_one_challenge_does_not_count_for_another() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2, 3]);
		place(0).unwrap();
		let first = now();
		silent(2, 1).unwrap();
		envelope(1);
		pass(3);
		let second = now();
		silent(3, 1).unwrap();
		pass(2);
		// Late, repeated, or out of order: it names a challenge that is over.
		assert_noop!(still_silent(2, 1, first), Error::<Runtime>::NoSuchChallenge);
		assert_noop!(still_silent(2, 1, second), Error::<Runtime>::ChallengeTooYoung);
		pass(3);
		assert_ok!(still_silent(2, 1, second));
		assert_noop!(still_silent(2, 1, second), Error::<Runtime>::NoSuchChallenge);
		end_block();
		assert_eq!(pushed().last(), Some(&lease_moved(0, Some((2, 1)))));
	});
}

#[test]
fn while_finality_stalls_a_challenge_alone_moves_nothing() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		silent(2, 1).unwrap();
		// No enclave sees a final block, so none says the second word.
		pass(1_000);
		end_block();
		assert_eq!(holder(0), Some((1, 1)));
		let at = now() - 1_000;
		heartbeat(2);
		envelope(1);
		assert_noop!(still_silent(2, 1, at), Error::<Runtime>::HolderAnswered);
	});
}

#[test]
fn a_sign_of_life_takes_leases_that_nobody_has() {
	new_test_ext().execute_with(|| {
		cluster_of([1, 2]);
		place(0).unwrap();
		pass(limits::LIVENESS_BLOCKS + 1);
		Clusters::leave(signed(BOB), CLUSTER, 1).unwrap();
		assert_eq!((counted(), holder(0)), (vec![], None));
		heartbeat(2);
		Clusters::on_sign_of_life(2);
		end_block();
		assert_eq!(holder(0), Some((2, 1)));
		leases_add_up();
	});
}

#[test]
fn many_agents_are_told_and_moved_over_several_blocks_and_none_is_lost() {
	new_test_ext().execute_with(|| {
		cluster_of([1]);
		let most = limits::CLUSTER_AGENTS_MAX;
		for n in 0..u64::from(most) {
			place(n).unwrap();
		}
		ask(2).unwrap();
		pushed();
		approve(ALICE, CLUSTER, 2).unwrap();
		let mut told = pushed();
		assert_eq!(told.len() as u32, SWEPT_PER_BLOCK_MAX.min(most) + 2);
		let at = now();
		while Sweeps::<Runtime>::iter().count() > 0 {
			// Who has not heard of all gets none.
			assert_ok!(Clusters::relieve(agent(0), &assigned(0)));
			assert_eq!(Loads::<Runtime>::get(2), 0);
			pass(1);
			let in_block = pushed();
			assert!(in_block.len() as u32 <= SWEPT_PER_BLOCK_MAX);
			told.extend(in_block);
		}
		assert_eq!(now() - at, most / SWEPT_PER_BLOCK_MAX);
		assert_eq!(told.len() as u32, most + 2);
		assert_ok!(Clusters::remove_member(signed(ALICE), CLUSTER, 1));
		while Sweeps::<Runtime>::iter().count() > 0 {
			pass(1);
		}
		assert_eq!(Loads::<Runtime>::get(2), most);
		leases_add_up();
	});
}

/// Has agents with the longest lists of callers, and a worker that boots anew, to fill the mailbox by what
/// that boot is told.
struct Rebooter;

impl Rebooter {
	const CALLERS: u32 = limits::AGENT_CALLERS_MAX;
	const AGENTS: u32 = SWEPT_PER_BLOCK_MAX;

	/// In bytes, of all that was told since.
	fn told() -> u32 {
		pushed().iter().map(|(_, message)| message.encoded_size() as u32).sum()
	}
}

#[test]
fn a_rebooter_whose_agents_have_long_lists_has_no_more_told_in_a_block_than_others_pay_for() {
	new_test_ext().execute_with(|| {
		cluster_of([1]);
		for n in 0..u64::from(Rebooter::AGENTS) {
			place(n).unwrap();
		}
		Callers::set(Rebooter::CALLERS);
		pushed();
		register(1, 2);
		let most = SWEPT_PER_BLOCK_MAX * 1024 + 2048;
		let (mut all, mut blocks) = (0, 0);
		loop {
			let told = Rebooter::told();
			assert!(told <= most, "{told} bytes");
			all += told;
			if Sweeps::<Runtime>::iter().count() == 0 {
				break;
			}
			blocks += 1;
			pass(1);
		}
		assert!(all > Rebooter::AGENTS * Rebooter::CALLERS * 32, "it was told of all");
		assert!((5..=12).contains(&blocks), "in {blocks} blocks");
		assert_eq!(Untold::<Runtime>::get(1), None);
		leases_add_up();
	});
}

/// A cluster of three with so many agents, a third of the leases each; all in the trie.
fn crowded(agents: u64) -> sp_io::TestExternalities {
	let mut ext = new_test_ext();
	ext.execute_with(|| {
		cluster_of(1..=3);
		for n in 0..agents {
			let (agent, worker) = (agent(n), 1 + (n % 3) as WorkerId);
			ClusterAgents::<Runtime>::insert(CLUSTER, agent, ());
			AgentCluster::<Runtime>::insert(agent, CLUSTER);
			Leases::<Runtime>::insert(agent, Lease { worker, boot: 1 });
			LeaseHistories::<Runtime>::mutate(agent, |history| history.number = 1);
			HeldLeases::<Runtime>::insert(worker, agent, ());
			Loads::<Runtime>::mutate(worker, |load| *load += 1);
		}
		crate::Clusters::<Runtime>::mutate(CLUSTER, |record| {
			record.as_mut().unwrap().agents = agents as u32;
		});
	});
	ext.commit_all().unwrap();
	ext
}

#[test]
fn no_event_reads_more_of_a_cluster_of_ten_thousand_agents_than_of_one_of_a_tenth_of_them() {
	use codec::Encode;
	const FEW: u64 = 1_000;
	const THOUSANDS: u64 = 10_000;
	let events: [(&str, fn()); 12] = [
		("a member leaves", || {
			assert_ok!(Clusters::leave(signed(BOB), CLUSTER, 1));
		}),
		("a member is removed", || {
			assert_ok!(Clusters::remove_member(signed(ALICE), CLUSTER, 1));
		}),
		("a member is evicted", || evict(1, EvictedBy::Others)),
		("a member boots anew", || register(1, 2)),
		("a member joins", || join(4)),
		("a sign of life", || Clusters::on_sign_of_life(2)),
		("a holder is found silent, and a block begins to move its leases", || {
			assert_ok!(silent(2, 1));
			System::set_block_number(u64::from(now() + limits::CHALLENGE_BLOCKS));
			(2..=3).for_each(heartbeat);
			assert_ok!(still_silent(3, 1, now() - limits::CHALLENGE_BLOCKS));
			end_block();
		}),
		("work comes", || {
			assert!(Clusters::assign(agent(7)).unwrap().is_some());
		}),
		("a deadline is missed", || {
			assert_ok!(miss(7, &assigned(7)));
		}),
		("an agent comes", || {
			let developer = STRANGER_BYTES;
			// As if it had room: it has more than it may.
			crate::Clusters::<Runtime>::mutate(CLUSTER, |record| {
				record.as_mut().unwrap().agents = 1
			});
			assert_ok!(Clusters::place_agent(CLUSTER, agent(u64::MAX), &developer));
		}),
		("an agent goes", || Clusters::remove_agent(agent(7))),
		("an operator asks who has a successor", || {
			assert!(!Clusters::has_successor(1));
		}),
	];
	for (what, event) in events {
		let read = |agents| crowded(agents).execute_and_prove(event).1.encoded_size();
		let (few, many) = (read(FEW), read(THOUSANDS));
		// In a trie ten times as large each path is a branch longer, of half a kilobyte: twice as many bytes
		// where a whole part of a sweep is read. What reads all agents reads ten times as much.
		assert!(many < 3 * few, "{what}: {few} bytes of proof, and {many} with thousands");
	}
}

/// Of how many agents a new boot of worker 1 has the chain tell or move in its block, by its own count.
fn boots(number: BootNumber) -> u32 {
	register(1, number - 1);
	let boot = MockRegistry::current_boot(1).unwrap();
	Clusters::on_boot(1, &boot).unwrap()
}

/// Whom an approval or a boot pays for: those that were looked at, a block's worth at most.
#[test]
fn an_approval_and_a_boot_count_each_agent_that_they_have_to_do_with() {
	for (agents, counted) in [(0, 0), (10, 10), (SWEPT_PER_BLOCK_MAX + 1, SWEPT_PER_BLOCK_MAX)] {
		new_test_ext().execute_with(|| {
			cluster_of([1]);
			for n in 0..u64::from(agents) {
				place(n).unwrap();
			}
			ask(2).unwrap();
			let approved = |flooded: bool| {
				Flooded::set(flooded);
				let boot = MockRegistry::current_boot(2).unwrap();
				let (measurement, endpoint) = (boot.measurement, URL.to_vec());
				let owner = signed(ALICE);
				Clusters::approve_join(owner, CLUSTER, 2, boot.number, measurement, endpoint)
					.unwrap()
					.actual_weight
			};
			let takes = crate::weights::approval::<Runtime, ConservativeWeights<Runtime>>;
			assert_eq!(approved(false), Some(takes(counted)), "{agents} agents");
			assert_eq!(boots(3), counted, "{agents} agents are told and moved");
			// What was done in vain counts as a block's worth.
			assert_ok!(Clusters::leave(signed(BOB), CLUSTER, 2));
			ask(2).unwrap();
			let in_vain = if agents == 0 { 0 } else { SWEPT_PER_BLOCK_MAX };
			assert_eq!(approved(true), Some(takes(in_vain)), "{agents} agents");
		});
	}
}

#[test]
fn a_boot_pays_for_the_leases_that_it_is_given_too() {
	new_test_ext().execute_with(|| {
		cluster_of([1]);
		for n in 0..7 {
			place(n).unwrap();
		}
		// Nobody counts: all leases are free, and told are those alone of whom it hears.
		register(1, 2);
		assert_eq!(boots(4), 7);
	});
}
