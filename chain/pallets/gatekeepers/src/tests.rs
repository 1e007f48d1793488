use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok};
use phala_protocol::{
	boot::BootNumber,
	messages::Message,
	traits::{BondUsers, WorkerHooks},
};

const GK: WorkerId = 1;
const WORKER: WorkerId = 2;
const BOND: BondId = BondId::Gatekeeper(GK);
const CLUSTER: ClusterId = 7;

fn signed(who: sp_runtime::AccountId32) -> RuntimeOrigin {
	RuntimeOrigin::signed(who)
}

fn seat(workers: &[WorkerId]) -> DispatchResult {
	Gatekeepers::seat(RuntimeOrigin::root(), workers.to_vec())
}

fn confirm(
	worker: WorkerId,
	boot: BootNumber,
	epoch: Epoch,
	attempt: u32,
	outcome: &[u8],
) -> DispatchResult {
	Gatekeepers::receive(
		EnvelopeOrigin { worker, boot },
		KeysPayload::MasterKeyConfirmed { epoch, attempt, outcome: outcome.to_vec() },
	)
}

fn release(worker: WorkerId, boot: BootNumber, request: KeyRequest) -> DispatchResult {
	Gatekeepers::receive(
		EnvelopeOrigin { worker, boot },
		KeysPayload::KeyReleased { request, release: b"sealed".to_vec() },
	)
}

fn request_of(worker: WorkerId, n: u8) -> KeyRequest {
	KeyRequest { worker, boot: 1, cluster: CLUSTER, generation: 1, ephemeral_key: [n; 32] }
}

fn seated(attempt: u32, boot: BootNumber, epoch: Epoch) -> (Channel, Message) {
	let keys = mock::boot(GK, boot).keys;
	let seats = vec![Seat { worker: GK, boot, keys }];
	(Channel::Gatekeepers, Message::Keys(KeysMessage::Seated { epoch, attempt, seats }))
}

fn requested(request: KeyRequest) -> (Channel, Message) {
	(Channel::Gatekeepers, Message::Keys(KeysMessage::KeyRequested(request)))
}

fn candidate_seated() {
	Gatekeepers::apply(signed(ALICE), GK).unwrap();
	seat(&[GK]).unwrap();
}

/// The key of epoch 1 serves from block 12 on.
fn key_active() {
	candidate_seated();
	confirm(GK, 1, 1, 0, b"outcome").unwrap();
	go_to_block(12);
	assert_eq!(Gatekeepers::active_epoch(), Some(1));
	pushed();
}

#[test]
fn only_the_operator_of_a_worker_in_force_applies_and_only_once() {
	new_test_ext().execute_with(|| {
		assert_noop!(Gatekeepers::apply(signed(BOB), GK), Error::<Runtime>::NotOperator);
		assert_noop!(Gatekeepers::apply(signed(ALICE), 99), Error::<Runtime>::UnknownWorker);
		suspend(0);
		assert_noop!(Gatekeepers::apply(signed(ALICE), 0), Error::<Runtime>::NotInForce);
		assert_ok!(Gatekeepers::apply(signed(ALICE), GK));
		System::assert_last_event(Event::CandidateApplied { worker: GK }.into());
		assert_noop!(Gatekeepers::apply(signed(ALICE), GK), Error::<Runtime>::AlreadyCandidate);
		assert!(Gatekeepers::is_in_use(GK));
		assert_eq!(Bonds::get().get(&BOND), Some(&(ALICE.into(), true)));
		assert_noop!(Gatekeepers::withdraw(signed(BOB), GK), Error::<Runtime>::NotOperator);
		assert_ok!(Gatekeepers::withdraw(signed(ALICE), GK));
		assert_eq!(Bonds::get().get(&BOND), None);
		assert!(!Gatekeepers::is_in_use(GK));
		assert_noop!(Gatekeepers::withdraw(signed(ALICE), GK), Error::<Runtime>::NotCandidate);
	});
}

#[test]
fn seats_go_to_candidates_in_force_by_governance_alone_and_within_the_limit() {
	new_test_ext().execute_with(|| {
		assert_noop!(Gatekeepers::seat(signed(ALICE), vec![GK]), DispatchError::BadOrigin);
		assert_noop!(seat(&[]), Error::<Runtime>::NoSeats);
		assert_noop!(seat(&[GK]), Error::<Runtime>::NotCandidate);
		Gatekeepers::apply(signed(ALICE), GK).unwrap();
		let one_too_many = vec![GK; limits::GATEKEEPERS_MAX as usize + 1];
		assert_noop!(seat(&one_too_many), Error::<Runtime>::TooManySeats);
		suspend(GK);
		assert_noop!(seat(&[GK]), Error::<Runtime>::NotInForce);
		register(GK, 2);
		// What is at stake for the worker itself is not at stake for the seat.
		Bonds::set(
			[(BOND, (ALICE.into(), false)), (BondId::Worker(GK), (ALICE.into(), true))].into(),
		);
		assert_noop!(seat(&[GK]), Error::<Runtime>::StakeTooLow);
		Bonds::set([(BOND, (ALICE.into(), true))].into());
		assert!(!Gatekeepers::is_answering(BOND));
		assert_ok!(seat(&[GK]));
		assert_noop!(Gatekeepers::withdraw(signed(ALICE), GK), Error::<Runtime>::Seated);
		// As long as it is seated its bond answers for it, and that of its worker is another matter.
		assert!(Gatekeepers::is_answering(BOND));
		assert!(!Gatekeepers::is_answering(BondId::Worker(GK)));
	});
}

#[test]
fn nobody_applies_without_the_bond() {
	new_test_ext().execute_with(|| {
		Workers::mutate(|workers| workers.get_mut(&GK).unwrap().operator = BOB);
		assert_noop!(Gatekeepers::apply(signed(BOB), GK), NO_FUNDS);
		assert!(!Candidates::<Runtime>::contains_key(GK));
	});
}

#[test]
fn a_seat_follows_from_the_head_before_seated_and_is_told_once() {
	new_test_ext().execute_with(|| {
		Gatekeepers::apply(signed(ALICE), GK).unwrap();
		let head = NotingMailbox::head(Channel::Gatekeepers);
		assert_ok!(seat(&[GK]));
		let identity = mock::boot(GK, 1).keys.identity;
		let follow = Message::Keys(KeysMessage::SeatedAsGatekeeper { identity, head });
		assert_eq!(pushed(), vec![(Channel::Worker(GK), follow), seated(0, 1, 1)]);

		// Another ceremony replaces the first: another attempt, no second invitation.
		confirm(GK, 1, 1, 0, b"outcome").unwrap();
		assert_ok!(seat(&[GK]));
		assert_eq!(pushed(), vec![seated(1, 1, 1)]);
		assert_noop!(confirm(GK, 1, 1, 0, b"outcome"), Error::<Runtime>::OtherCeremony);
		go_to_block(15);
		assert_eq!(Active::<Runtime>::get(), None);
	});
}

#[test]
fn a_confirmed_key_serves_two_blocks_later() {
	new_test_ext().execute_with(|| {
		candidate_seated();
		pushed();
		assert_ok!(confirm(GK, 1, 1, 0, b"outcome"));
		System::assert_last_event(
			Event::MasterKeyPending { epoch: 1, attempt: 0, active_at: 12 }.into(),
		);
		go_to_block(11);
		assert_eq!((Active::<Runtime>::get(), pushed()), (None, vec![]));
		go_to_block(12);
		let key = MasterKeyOf(1, 0, b"outcome").key();
		assert_eq!(
			pushed(),
			vec![(Channel::System, Message::Keys(KeysMessage::MasterKey(key.clone())))]
		);
		System::assert_last_event(Event::MasterKeyActivated { epoch: 1, attempt: 0 }.into());
		let active = Active::<Runtime>::get().unwrap();
		assert_eq!((active.master_key(), active.seats[0].worker), (key, GK));
		assert_eq!(Ceremony::<Runtime>::get(), None);
		assert_noop!(confirm(GK, 1, 1, 0, b"outcome"), Error::<Runtime>::NoCeremony);

		// The next ceremony is for the next epoch; the old key serves until it is done.
		assert_ok!(seat(&[GK]));
		assert_eq!(pushed(), vec![seated(0, 1, 2)]);
		assert_eq!(Gatekeepers::active_epoch(), Some(1));
		assert_ok!(confirm(GK, 1, 2, 0, b"second"));
		go_to_block(14);
		assert_eq!(Gatekeepers::active_epoch(), Some(2));
	});
}

struct MasterKeyOf(Epoch, u32, &'static [u8]);

impl MasterKeyOf {
	fn key(&self) -> phala_protocol::keys::MasterKey {
		phala_protocol::keys::MasterKey { epoch: self.0, attempt: self.1, outcome: self.2.to_vec() }
	}
}

#[test]
fn a_full_mailbox_puts_off_activation() {
	new_test_ext().execute_with(|| {
		candidate_seated();
		confirm(GK, 1, 1, 0, b"outcome").unwrap();
		PushesLeft::set(0);
		go_to_block(14);
		assert_eq!(Active::<Runtime>::get(), None);
		PushesLeft::set(1);
		go_to_block(15);
		assert_eq!(Gatekeepers::active_epoch(), Some(1));
	});
}

#[test]
fn a_stranger_and_an_old_boot_cannot_confirm() {
	new_test_ext().execute_with(|| {
		assert_noop!(confirm(GK, 1, 1, 0, b"outcome"), Error::<Runtime>::NoCeremony);
		candidate_seated();
		assert_noop!(confirm(WORKER, 1, 1, 0, b"outcome"), Error::<Runtime>::NotASeat);
		assert_noop!(confirm(GK, 1, 2, 0, b"outcome"), Error::<Runtime>::OtherCeremony);
		assert_noop!(confirm(GK, 1, 1, 1, b"outcome"), Error::<Runtime>::OtherCeremony);
		assert_noop!(confirm(GK, 2, 1, 0, b"outcome"), Error::<Runtime>::NotASeat);
		register(GK, 2);
		// The ceremony is another one now, and the old boot has no seat in it.
		assert_noop!(confirm(GK, 1, 1, 0, b"outcome"), Error::<Runtime>::OtherCeremony);
		assert_noop!(confirm(GK, 1, 1, 1, b"outcome"), Error::<Runtime>::NotASeat);
		assert_ok!(confirm(GK, 2, 1, 1, b"outcome"));
	});
}

#[test]
fn a_gatekeeper_that_confirms_twice_differently_is_refused_by_name() {
	new_test_ext().execute_with(|| {
		candidate_seated();
		assert_ok!(confirm(GK, 1, 1, 0, b"outcome"));
		assert_noop!(confirm(GK, 1, 1, 0, b"another"), Error::<Runtime>::ConfirmedDifferently);
		assert_noop!(confirm(GK, 1, 1, 0, b"outcome"), Error::<Runtime>::AlreadyConfirmed);
		go_to_block(12);
		assert_eq!(Active::<Runtime>::get().unwrap().outcome.to_vec(), b"outcome");
	});
}

#[test]
fn an_outcome_may_be_as_long_as_its_limit_and_not_one_byte_longer() {
	new_test_ext().execute_with(|| {
		candidate_seated();
		let longest = limits::CEREMONY_OUTCOME_BYTES_MAX as usize;
		assert_noop!(confirm(GK, 1, 1, 0, &vec![1; longest + 1]), Error::<Runtime>::OutcomeTooLong);
		assert_ok!(confirm(GK, 1, 1, 0, &vec![1; longest]));
	});
}

#[test]
fn a_request_is_told_answered_once_and_recorded() {
	new_test_ext().execute_with(|| {
		key_active();
		let request = request_of(WORKER, 1);
		assert_noop!(release(GK, 1, request), Error::<Runtime>::RequestNotOpen);
		assert_ok!(Gatekeepers::admit(request));
		assert_eq!(pushed(), vec![requested(request)]);

		assert_noop!(release(WORKER, 1, request), Error::<Runtime>::NotASeat);
		assert_noop!(release(GK, 2, request), Error::<Runtime>::NotASeat);
		// The switcher: a release to a key that nobody admitted.
		let other = KeyRequest { ephemeral_key: [66; 32], ..request };
		assert_noop!(release(GK, 1, other), Error::<Runtime>::RequestNotOpen);

		assert_ok!(release(GK, 1, request));
		let told = KeysMessage::KeyRelease {
			boot: 1,
			cluster: CLUSTER,
			generation: 1,
			release: b"sealed".to_vec(),
		};
		assert_eq!(pushed(), vec![(Channel::Worker(WORKER), Message::Keys(told))]);
		System::assert_last_event(Event::KeyReleased { worker: GK, request }.into());
		assert_eq!(OpenRequests::<Runtime>::count(), 0);
		assert!(!Answers::<Runtime>::contains_key((WORKER, CLUSTER)));
		assert_noop!(release(GK, 1, request), Error::<Runtime>::RequestNotOpen);
	});
}

#[test]
fn a_gatekeeper_that_answered_waits_for_the_others() {
	new_test_ext().execute_with(|| {
		key_active();
		let request = request_of(WORKER, 1);
		Gatekeepers::admit(request).unwrap();
		// As with two seats of which one has answered under this key.
		let gatekeepers = BoundedVec::truncate_from(vec![GK]);
		Answers::<Runtime>::insert((WORKER, CLUSTER), RequestAnswers { epoch: 1, gatekeepers });
		assert_noop!(release(GK, 1, request), Error::<Runtime>::AlreadyAnswered);
		// An answer under an earlier key is none.
		Answers::<Runtime>::mutate((WORKER, CLUSTER), |answers| answers.epoch = 0);
		assert_ok!(release(GK, 1, request));
	});
}

#[test]
fn a_release_may_be_as_long_as_its_limit_and_not_one_byte_longer() {
	new_test_ext().execute_with(|| {
		key_active();
		let request = request_of(WORKER, 1);
		Gatekeepers::admit(request).unwrap();
		let send = |bytes: u32| {
			Gatekeepers::receive(
				EnvelopeOrigin { worker: GK, boot: 1 },
				KeysPayload::KeyReleased { request, release: vec![1; bytes as usize] },
			)
		};
		let longest = limits::KEY_RELEASE_BYTES_MAX;
		assert_noop!(send(longest + 1), Error::<Runtime>::ReleaseTooLong);
		assert_ok!(send(longest));
	});
}

/// A boot that asks over and over has gatekeepers work for nothing, and its channel filled.
#[test]
fn a_boot_has_one_open_request_that_gives_way_after_a_gap_alone() {
	new_test_ext().execute_with(|| {
		key_active();
		let first = request_of(WORKER, 1);
		assert_ok!(Gatekeepers::admit(first));
		pushed();
		go_to_block(12 + u64::from(limits::KEY_REQUEST_GAP) - 1);
		assert_noop!(Gatekeepers::admit(request_of(WORKER, 2)), Error::<Runtime>::RequestStillOpen);
		// Not by going back to an older generation either.
		let older = KeyRequest { generation: 0, ..request_of(WORKER, 2) };
		assert_noop!(Gatekeepers::admit(older), Error::<Runtime>::RequestStillOpen);
		assert_eq!(pushed(), vec![]);
		go_to_block(12 + u64::from(limits::KEY_REQUEST_GAP));
		assert_ok!(Gatekeepers::admit(request_of(WORKER, 2)));
		assert_noop!(release(GK, 1, first), Error::<Runtime>::RequestNotOpen);
		assert_ok!(release(GK, 1, request_of(WORKER, 2)));
		// An answer is no reason to ask again.
		assert_noop!(Gatekeepers::admit(request_of(WORKER, 3)), Error::<Runtime>::RequestStillOpen);
	});
}

/// Its host throws away what gatekeepers answer, so it asks whenever it may.
struct Nag {
	worker: WorkerId,
}

impl Nag {
	/// How often gatekeepers work for it in so many blocks.
	fn nags(&self, blocks: u64) -> u32 {
		let (first, mut heard) = (System::block_number(), 0);
		for block in first..first + blocks {
			go_to_block(block);
			let request = request_of(self.worker, 1 + block as u8 % 200);
			if Gatekeepers::admit(request).is_ok() {
				assert_ok!(release(GK, 1, request));
				heard += 1;
			}
		}
		heard
	}
}

#[test]
fn a_nag_has_gatekeepers_work_for_it_a_few_times_in_a_day_and_a_new_boot_starts_anew() {
	new_test_ext().execute_with(|| {
		key_active();
		let nag = Nag { worker: WORKER };
		// 20, 40, 80, … blocks apart.
		assert_eq!(nag.nags(2_000), 7);
		register(WORKER, 2);
		assert_ok!(Gatekeepers::admit(KeyRequest { boot: 2, ..request_of(WORKER, 9) }));
		// Nor does anything of it stay when it leaves.
		withdraw_request(WORKER);
		assert!(!Askings::<Runtime>::contains_key((WORKER, CLUSTER)));
	});
}

#[test]
fn who_has_reason_to_ask_anew_need_not_wait() {
	new_test_ext().execute_with(|| {
		key_active();
		assert_ok!(Gatekeepers::admit(request_of(WORKER, 1)));
		// The cluster's secret is a new one.
		let next = KeyRequest { generation: 2, ..request_of(WORKER, 2) };
		assert_ok!(Gatekeepers::admit(next));
		// The boot is a new one.
		register(WORKER, 2);
		let booted = KeyRequest { boot: 2, ..next };
		assert_ok!(Gatekeepers::admit(booted));
		assert_noop!(Gatekeepers::admit(booted), Error::<Runtime>::RequestStillOpen);
		// The master key is a new one.
		seat(&[GK]).unwrap();
		confirm(GK, 1, 2, 0, b"second").unwrap();
		go_to_block(14);
		assert_eq!(Gatekeepers::active_epoch(), Some(2));
		assert_ok!(Gatekeepers::admit(booted));
	});
}

#[test]
fn nothing_is_released_to_a_retired_suspended_or_departed_requester() {
	new_test_ext().execute_with(|| {
		key_active();
		let request = request_of(WORKER, 1);
		Gatekeepers::admit(request).unwrap();
		suspend(WORKER);
		assert_noop!(release(GK, 1, request), Error::<Runtime>::RequesterNotInForce);
		register(WORKER, 2);
		assert_noop!(release(GK, 1, request), Error::<Runtime>::RequesterNotInForce);
		let request = KeyRequest { boot: 2, ..request };
		Gatekeepers::admit(request).unwrap();
		withdraw_request(WORKER);
		assert_noop!(release(GK, 1, request), Error::<Runtime>::RequestNotOpen);
	});
}

fn withdraw_request(worker: WorkerId) {
	<Gatekeepers as KeyRequests>::withdraw(worker, CLUSTER);
	System::assert_last_event(Event::KeyRequestDropped { worker, cluster: CLUSTER }.into());
}

#[test]
fn requests_wait_for_the_first_key_up_to_the_limit() {
	new_test_ext().execute_with(|| {
		candidate_seated();
		pushed();
		// Worker 2 exists, the others have no boot by now.
		let first = 2;
		for worker in first..first + REQUESTS_WAITING_MAX {
			assert_ok!(Gatekeepers::admit(request_of(worker, 1)));
		}
		let beyond = first + REQUESTS_WAITING_MAX;
		assert_noop!(Gatekeepers::admit(request_of(beyond, 1)), Error::<Runtime>::TooManyWaiting);
		// One that waits already may ask anew, after a while.
		go_to_block(10 + u64::from(limits::KEY_REQUEST_GAP));
		assert_ok!(Gatekeepers::admit(request_of(WORKER, 2)));
		assert_eq!(pushed(), vec![]);

		confirm(GK, 1, 1, 0, b"outcome").unwrap();
		go_to_block(13 + u64::from(limits::KEY_REQUEST_GAP));
		assert_eq!(pushed()[1..], [requested(request_of(WORKER, 2))]);
		assert_eq!(OpenRequests::<Runtime>::count(), 1);
		assert_eq!(ResendingRequests::<Runtime>::get(), None);
	});
}

#[test]
fn open_requests_are_told_again_in_a_new_epoch_as_many_a_block_as_there_is_weight_for() {
	use crate::WeightInfo;
	const A_BLOCK: u32 = 64;
	new_test_ext().execute_with(|| {
		key_active();
		let all: Vec<WorkerId> = (2..2 + A_BLOCK + 3).collect();
		for worker in &all {
			register(*worker, 1);
			Gatekeepers::admit(request_of(*worker, 1)).unwrap();
		}
		seat(&[GK]).unwrap();
		confirm(GK, 1, 2, 0, b"second").unwrap();
		pushed();
		ForUpkeep::set(<Runtime as Config>::WeightInfo::resend(A_BLOCK));
		go_to_block(14);
		let first = pushed();
		assert_eq!(first.len() as u32, 1 + A_BLOCK);
		// The mailbox takes one more, then none for a block.
		PushesLeft::set(1);
		go_to_block(15);
		let second = pushed();
		assert_eq!(second.len(), 1);
		PushesLeft::set(usize::MAX);
		ForUpkeep::set(Weight::zero());
		go_to_block(16);
		assert_eq!(pushed(), vec![], "without weight nothing is done, and nothing lost");
		ForUpkeep::set(Weight::MAX);
		go_to_block(17);
		let third = pushed();
		go_to_block(18);
		assert_eq!(pushed(), vec![]);

		let mut told: Vec<WorkerId> = first[1..]
			.iter()
			.chain(&second)
			.chain(&third)
			.map(|(_, message)| match message {
				Message::Keys(KeysMessage::KeyRequested(request)) => request.worker,
				other => panic!("{other:?}"),
			})
			.collect();
		told.sort();
		assert_eq!(told, all);
	});
}

#[test]
fn the_network_mends_itself_when_a_gatekeeper_restarts() {
	new_test_ext().execute_with(|| {
		key_active();
		let request = request_of(WORKER, 1);
		Gatekeepers::admit(request).unwrap();
		pushed();
		register(GK, 2);
		let identity = mock::boot(GK, 2).keys.identity;
		let told = pushed();
		assert_eq!(told.len(), 3);
		let key = MasterKeyOf(1, 0, b"outcome").key();
		assert_eq!(told[0], (Channel::Worker(GK), Message::Keys(KeysMessage::MasterKey(key))));
		assert!(matches!(
			&told[1].1,
			Message::Keys(KeysMessage::SeatedAsGatekeeper { identity: other, head })
				if *other == identity && head.next_seq == 2
		));
		assert_eq!(told[2], seated(0, 2, 2));
		// The share is gone: neither boot speaks for the old key.
		assert_noop!(release(GK, 1, request_of(WORKER, 9)), Error::<Runtime>::RequestNotOpen);
		assert_noop!(release(GK, 2, request), Error::<Runtime>::NotASeat);

		assert_ok!(confirm(GK, 2, 2, 0, b"second"));
		go_to_block(14);
		assert_eq!(pushed()[1..], [requested(request)]);
		assert_ok!(release(GK, 2, request));
	});
}

#[test]
fn a_restart_between_confirmation_and_activation_starts_again() {
	new_test_ext().execute_with(|| {
		candidate_seated();
		confirm(GK, 1, 1, 0, b"outcome").unwrap();
		pushed();
		register(GK, 2);
		assert_eq!(pushed().last(), Some(&seated(1, 2, 1)));
		go_to_block(20);
		assert_eq!(Active::<Runtime>::get(), None);
	});
}

#[test]
fn a_boot_without_a_seat_learns_the_key_and_nothing_else() {
	new_test_ext().execute_with(|| {
		key_active();
		register(WORKER, 2);
		let key = MasterKeyOf(1, 0, b"outcome").key();
		assert_eq!(
			pushed(),
			vec![(Channel::Worker(WORKER), Message::Keys(KeysMessage::MasterKey(key)))]
		);
		// The active gatekeeper restarts while others are about to take over: they go on.
		register(0, 1);
		Gatekeepers::apply(signed(ALICE), 0).unwrap();
		seat(&[0]).unwrap();
		register(GK, 2);
		let ceremony = Ceremony::<Runtime>::get().unwrap();
		assert_eq!((ceremony.epoch, ceremony.attempt, ceremony.seats[0].worker), (2, 0, 0));
	});
}

#[test]
fn the_last_seat_of_the_key_that_serves_has_a_successor_once_another_key_does() {
	new_test_ext().execute_with(|| {
		assert!(Gatekeepers::has_successor(GK), "it has no seat");
		candidate_seated();
		assert!(Gatekeepers::has_successor(GK), "no key serves yet");
		confirm(GK, 1, 1, 0, b"outcome").unwrap();
		go_to_block(12);
		assert!(!Gatekeepers::has_successor(GK));
		assert!(Gatekeepers::has_successor(0));
		// Another is seated: nothing depends on the first from the block on in which its key serves.
		Gatekeepers::apply(signed(ALICE), 0).unwrap();
		seat(&[0]).unwrap();
		confirm(0, 1, 2, 0, b"another").unwrap();
		go_to_block(13);
		assert!(!Gatekeepers::has_successor(GK));
		go_to_block(14);
		assert!(Gatekeepers::has_successor(GK));
		assert!(!Gatekeepers::has_successor(0));
	});
}

#[test]
fn an_evicted_worker_loses_candidacy_and_seats() {
	new_test_ext().execute_with(|| {
		key_active();
		seat(&[GK]).unwrap();
		evict(GK);
		assert_eq!(Ceremony::<Runtime>::get(), None);
		assert!(Active::<Runtime>::get().unwrap().seats.is_empty());
		assert!(!Gatekeepers::is_in_use(GK));
		assert_eq!(Bonds::get().get(&BOND), None, "its bond leaves");
		System::assert_has_event(Event::SeatGivenUp { worker: GK }.into());
		System::assert_has_event(Event::CandidateLeft { worker: GK }.into());
		System::assert_has_event(Event::CeremonyAbandoned { epoch: 2, attempt: 0 }.into());

		// Back again, it is nobody; seated again, its ceremony has a number of its own.
		pushed();
		register(GK, 2);
		assert_eq!(pushed().len(), 1);
		Gatekeepers::apply(signed(ALICE), GK).unwrap();
		seat(&[GK]).unwrap();
		assert_eq!(pushed().last(), Some(&seated(1, 2, 2)));
	});
}
