use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok, dispatch::PostDispatchInfo};
use phala_protocol::{
	messages::Message,
	traits::{BondUsers, EvictedBy, ReceivePayload},
};
use sp_runtime::Permill;

fn signed(who: sp_runtime::AccountId32) -> RuntimeOrigin {
	RuntimeOrigin::signed(who)
}

type Refused = sp_runtime::DispatchErrorWithPostInfo<PostDispatchInfo>;
type Weights = ConservativeWeights<Runtime>;

/// Refused for its worker or its evidence, and paid for as that.
fn as_a_boot(error: Error<Runtime>) -> Refused {
	error.with_weight(weights::refused_boot::<Runtime, Weights>())
}

/// Refused at the look at whoever was to be evicted, and paid for as that.
fn at_a_look(error: Error<Runtime>) -> Refused {
	error.with_weight(weights::look::<Runtime, Weights>())
}

/// Whatever it pays.
fn register(report: &Report) -> DispatchResult {
	let (by, keys, evidence) = (signed(report.operator.clone()), report.keys, report.evidence());
	Registry::register_boot(by, report.worker, keys, evidence, report.block)
		.map(|_| ())
		.map_err(|refused| refused.error)
}

/// To the next code.
fn delist(by: RuntimeOrigin, measurement: Measurement, until: BlockNumber) -> DispatchResult {
	Registry::delist_measurement(by, measurement, until, NEXT_CODE)
}

fn register_worker() -> WorkerId {
	Registry::register_worker(signed(ALICE)).unwrap();
	NextWorker::<Runtime>::get() - 1
}

#[test]
fn a_worker_has_its_operators_stake_in_a_bond_that_closing_lets_go() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		let bond = BondId::Worker(worker);
		assert_eq!(MockBonding::amount(bond), STAKE);
		register(&Report::honest(worker, 1)).unwrap();
		assert_noop!(Registry::close_worker(signed(BOB), worker), Error::<Runtime>::NotOperator);
		assert_ok!(Registry::close_worker(signed(ALICE), worker));
		assert!(!MockBonding::of(bond).unwrap().open);
		assert!(Inbound::get().is_empty());
		assert_noop!(register(&Report::honest(worker, 2)), Error::<Runtime>::UnknownWorker);

		// The machine is free for another worker, whose number is a new one.
		let next = register_worker();
		assert_ne!(next, worker);
		let report =
			Report { platform: Report::honest(worker, 1).platform, ..Report::honest(next, 3) };
		assert_ok!(register(&report));
	});
}

#[test]
fn an_account_without_the_stake_gets_no_worker() {
	new_test_ext().execute_with(|| {
		assert_noop!(Registry::register_worker(signed(PAUPER)), NO_FUNDS);
		assert_eq!(NextWorker::<Runtime>::get(), 0);
	});
}

/// Took a request, has nothing to lose but its stake, and looks for the door.
#[test]
fn whatever_a_worker_with_open_assignments_does_it_pays_for_what_it_misses() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		OpenRequests::mutate(|open| open.insert(worker, 1));
		assert!(Registry::is_answering(BondId::Worker(worker)));
		assert_noop!(
			Registry::close_worker(signed(ALICE), worker),
			Error::<Runtime>::OpenAssignments
		);
		// A new boot is no new worker.
		register(&Report::honest(worker, 2)).unwrap();
		assert_eq!(Registry::penalise(worker, 1), 1);
		// Nor is another operator, who does not get it while something is open.
		assert_ok!(Registry::offer_worker(signed(ALICE), worker, Some(BOB)));
		assert_noop!(
			Registry::accept_worker(signed(BOB), worker),
			Error::<Runtime>::OpenAssignments
		);
		OpenRequests::set(Default::default());
		assert!(!Registry::is_answering(BondId::Worker(worker)));
		assert_ok!(Registry::close_worker(signed(ALICE), worker));
		// What it did before is paid of what leaves.
		assert_eq!(Registry::penalise(worker, 1), 1);
		System::assert_last_event(Event::WorkerPenalised { worker, amount: 1 }.into());
		assert_eq!(MockBonding::amount(BondId::Worker(worker)), STAKE - 2);
	});
}

#[test]
fn a_worker_in_use_is_neither_closed_nor_handed_over() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		InUse::set(vec![worker]);
		assert_noop!(Registry::close_worker(signed(ALICE), worker), Error::<Runtime>::WorkerInUse);
		Registry::offer_worker(signed(ALICE), worker, Some(BOB)).unwrap();
		assert_noop!(Registry::accept_worker(signed(BOB), worker), Error::<Runtime>::WorkerInUse);
	});
}

#[test]
fn a_worker_below_the_minimum_is_out_of_force_in_that_block_until_it_is_topped_up() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		let bond = BondId::Worker(worker);
		register(&Report::honest(worker, 1)).unwrap();
		let boot = Registry::current_boot(worker).unwrap();
		MockBonding::set(bond, MINIMUM);
		assert!(Registry::is_in_force(worker, &boot));
		assert_eq!(Registry::penalise(worker, 1), 1);
		assert!(!Registry::is_in_force(worker, &boot));
		assert_noop!(register(&Report::honest(worker, 2)), Error::<Runtime>::StakeTooLow);
		MockBonding::set(bond, MINIMUM);
		assert!(Registry::is_in_force(worker, &boot));
		// The stake of one worker counts for no other.
		let other = register_worker();
		MockBonding::set(BondId::Worker(other), MINIMUM - 1);
		assert!(!Registry::is_in_force(other, &boot));
	});
}

#[test]
fn a_worker_changes_hands_by_offer_and_acceptance_and_its_boot_ends() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		let accept = |who| Registry::accept_worker(signed(who), worker);
		assert_noop!(accept(BOB), Error::<Runtime>::NotOffered);
		assert_noop!(
			Registry::offer_worker(signed(BOB), worker, Some(BOB)),
			Error::<Runtime>::NotOperator
		);
		assert_ok!(Registry::offer_worker(signed(ALICE), worker, Some(BOB)));
		assert_noop!(accept(PAUPER), Error::<Runtime>::NotOffered);
		assert_ok!(Registry::offer_worker(signed(ALICE), worker, None));
		assert_noop!(accept(BOB), Error::<Runtime>::NotOffered);
		assert_ok!(Registry::offer_worker(signed(ALICE), worker, Some(BOB)));
		assert_ok!(accept(BOB));
		assert_noop!(accept(BOB), Error::<Runtime>::NotOffered);
		System::assert_last_event(Event::WorkerTransferred { worker, from: ALICE, to: BOB }.into());
		let bond = MockBonding::of(BondId::Worker(worker)).unwrap();
		assert_eq!(bond.account, <[u8; 32]>::from(BOB));
		// Whoever trusted Alice's evidence trusted Alice.
		assert_eq!(Registry::current_boot(worker), None);
		assert_noop!(register(&Report::honest(worker, 2)), Error::<Runtime>::NotOperator);
		assert_ok!(register(&Report { operator: BOB, ..Report::honest(worker, 2) }));
		assert_eq!(Registry::current_boot(worker).unwrap().number, 2);
	});
}

#[test]
fn a_registered_boot_may_speak_and_is_told_so() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		assert_ok!(register(&Report::honest(worker, 1)));
		let boot = Registry::current_boot(worker).unwrap();
		assert_eq!((boot.number, boot.keys, boot.expires_at), (1, keys(1), 10 + LIFETIME));
		assert!(Registry::is_in_force(worker, &boot));
		assert_eq!(Inbound::get(), vec![(worker, 1)]);
		assert_eq!(
			Told::get(),
			vec![(
				Channel::Worker(worker),
				Message::Registry(RegistryMessage::Registered {
					boot: 1,
					keys: keys(1),
					expires_at: 10 + LIFETIME,
				})
			)]
		);
	});
}

#[test]
fn a_twin_retires_the_boot_before_it_in_the_same_step() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		register(&Report::honest(worker, 2)).unwrap();
		let boot = Registry::current_boot(worker).unwrap();
		assert_eq!((boot.number, boot.keys), (2, keys(2)));
		assert_eq!(Inbound::get(), vec![(worker, 2)]);
	});
}

#[test]
fn one_boot_registers_once_however_many_relayers_carry_it() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		assert_noop!(register(&Report::honest(worker, 1)), Error::<Runtime>::AlreadyRegistered);
		assert_eq!(Registry::current_boot(worker).unwrap().number, 1);
	});
}

#[test]
fn a_boot_whose_news_find_no_room_is_undone_and_a_lone_one_pays_for_no_cluster() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		let report = Report::honest(worker, 1);
		let registers = || {
			let (by, keys) = (signed(report.operator.clone()), report.keys);
			Registry::register_boot(by, worker, keys, report.evidence(), report.block)
		};
		HooksAreRefused::set(true);
		let lone = Error::<Runtime>::MailboxFull.with_weight(Registry::weight_of_boot_of_nobody());
		assert_noop!(registers(), lone);
		InUse::set(vec![worker]);
		// Of those that rely on it it is not known how many were told: all that is declared is paid.
		assert_eq!(registers().unwrap_err().post_info.actual_weight, None);
		HooksAreRefused::set(false);
		InUse::set(vec![]);
		let used = registers().unwrap().actual_weight;
		assert_eq!(used, Some(Registry::weight_of_boot_of_nobody()));
	});
}

#[test]
fn evidence_is_refused_by_name_and_changes_nothing() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		let other_worker = register_worker();
		let honest = Report::honest(worker, 1);
		let forger = sp_core::Pair::from_seed(&[6; 32]);
		let submit = |report: &Report, evidence: Vec<u8>| {
			let (keys, block) = (report.keys, report.block);
			Registry::register_boot(signed(ALICE), worker, keys, evidence, block)
		};

		let cases: Vec<(Report, Error<Runtime>)> = vec![
			(Report { signer: forger, ..honest.clone() }, Error::EvidenceBadSignature),
			(Report { debug: true, ..honest.clone() }, Error::EvidenceDebuggable),
			(Report { measurement: BAD_CODE, ..honest.clone() }, Error::MeasurementNotAllowed),
			// The copyist: evidence made for another worker, or another operator.
			(Report { worker: other_worker, ..honest.clone() }, Error::EvidenceNotBound),
			(Report { operator: BOB, ..honest.clone() }, Error::EvidenceNotBound),
		];
		for (report, error) in cases {
			assert_noop!(submit(&report, report.evidence()), as_a_boot(error));
		}

		// The key swapper: good evidence, other keys.
		let evidence = honest.evidence();
		assert_noop!(
			submit(&Report { keys: keys(66), ..honest.clone() }, evidence),
			as_a_boot(Error::EvidenceNotBound)
		);
		let mut trailing = honest.evidence();
		trailing.push(0);
		assert_noop!(submit(&honest, trailing), as_a_boot(Error::EvidenceMalformed));
		assert_noop!(submit(&honest, vec![]), as_a_boot(Error::EvidenceMalformed));
		assert_noop!(
			submit(&honest, vec![0; limits::EVIDENCE_BYTES_MAX as usize + 1]),
			as_a_boot(Error::EvidenceTooLong)
		);
		assert_noop!(
			Registry::register_boot(
				signed(BOB),
				worker,
				honest.keys,
				honest.evidence(),
				honest.block
			),
			as_a_boot(Error::NotOperator)
		);
		assert_ok!(register(&honest));
	});
}

#[test]
fn evidence_may_be_as_old_as_its_limit_and_not_one_block_older() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		go_to_block(1000);
		let oldest = 1000 - limits::EVIDENCE_BLOCK_AGE_MAX;
		let stale = Report { block: oldest - 1, ..Report::honest(worker, 1) };
		assert_noop!(register(&stale), Error::<Runtime>::EvidenceBlockTooOld);
		let from_the_future = Report { block: 1000, ..Report::honest(worker, 1) };
		assert_noop!(register(&from_the_future), Error::<Runtime>::EvidenceBlockTooOld);
		assert_ok!(register(&Report { block: oldest, ..Report::honest(worker, 1) }));
	});
}

#[test]
fn software_evidence_is_refused_where_genesis_named_no_root() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		SoftwareRoot::<Runtime>::kill();
		assert_noop!(
			register(&Report::honest(worker, 1)),
			Error::<Runtime>::EvidenceKindNotAccepted
		);
	});
}

#[test]
fn one_machine_has_one_worker_and_one_worker_one_machine() {
	new_test_ext().execute_with(|| {
		let (first, second) = (register_worker(), register_worker());
		register(&Report::honest(first, 1)).unwrap();
		let cloner =
			Report { platform: Report::honest(first, 1).platform, ..Report::honest(second, 2) };
		assert_noop!(register(&cloner), Error::<Runtime>::PlatformInOtherWorker);
		let mover = Report { platform: H256::repeat_byte(99), ..Report::honest(first, 3) };
		assert_noop!(register(&mover), Error::<Runtime>::OtherPlatform);
	});
}

#[test]
fn expired_evidence_suspends_until_it_is_renewed() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		let expires_at = u64::from(10 + LIFETIME);
		go_to_block(expires_at - 1);
		assert!(Registry::is_in_force(worker, &Registry::current_boot(worker).unwrap()));
		go_to_block(expires_at);
		assert!(!Registry::is_in_force(worker, &Registry::current_boot(worker).unwrap()));

		// Renewing vouches for the same keys; evidence for others does not renew.
		let renew = |report: Report| {
			Registry::renew_boot(signed(ALICE), worker, report.evidence(), report.block)
		};
		assert_noop!(renew(Report::honest(worker, 2)), Error::<Runtime>::EvidenceNotBound);
		assert_ok!(renew(Report::honest(worker, 1)));
		let boot = Registry::current_boot(worker).unwrap();
		assert!(Registry::is_in_force(worker, &boot));
		assert_eq!((boot.number, boot.expires_at), (1, expires_at as u32 + LIFETIME));
	});
}

#[test]
fn a_delisted_measurement_counts_until_its_block_and_anyone_may_evict_it_then() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		let delist = |until| delist(RuntimeOrigin::root(), GOOD_CODE, until);
		assert_noop!(
			Registry::delist_measurement(signed(ALICE), GOOD_CODE, 20, NEXT_CODE),
			DispatchError::BadOrigin
		);
		assert_ok!(delist(20));
		go_to_block(19);
		assert!(Registry::is_in_force(worker, &Registry::current_boot(worker).unwrap()));
		assert_noop!(Registry::evict(signed(BOB), worker), at_a_look(Error::StillInForce));
		go_to_block(20);
		assert!(!Registry::is_in_force(worker, &Registry::current_boot(worker).unwrap()));
		assert_noop!(register(&Report::honest(worker, 2)), Error::<Runtime>::MeasurementNotAllowed);
		assert_ok!(Registry::evict(signed(BOB), worker));
		assert_eq!(Registry::current_boot(worker), None);
		assert!(Inbound::get().is_empty());
		assert_eq!(
			Told::get().last(),
			Some(&(
				Channel::Worker(worker),
				Message::Registry(RegistryMessage::Evicted { boot: 1 })
			))
		);

		assert_ok!(Registry::allow_measurement(RuntimeOrigin::root(), GOOD_CODE));
		assert_ok!(register(&Report::honest(worker, 2)));
		assert_eq!(Registry::current_boot(worker).unwrap().number, 2);
		assert_ok!(evict_for(worker, FAULT));
	});
}

#[test]
fn a_heartbeat_comes_back_as_a_mark_but_not_too_often() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		let origin = EnvelopeOrigin { worker, boot: 1 };
		let beat = |n| Registry::receive(origin, RegistryPayload::Heartbeat { nonce: [n; 32] });
		assert_ok!(beat(1));
		assert_eq!(
			Told::get().last().unwrap().1,
			Message::Registry(RegistryMessage::HeartbeatSeen { boot: 1, nonce: [1; 32] })
		);
		go_to_block(10 + u64::from(HEARTBEAT_GAP) - 1);
		assert_noop!(beat(2), Error::<Runtime>::HeartbeatTooSoon);
		go_to_block(10 + u64::from(HEARTBEAT_GAP));
		assert_ok!(beat(2));
	});
}

#[test]
fn a_probe_is_answered_once_and_only_if_somebody_asked() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		assert_noop!(Registry::probe(signed(BOB), worker, [1; 32]), Error::<Runtime>::NoBoot);
		register(&Report::honest(worker, 1)).unwrap();
		let answer = |n| {
			Registry::receive(
				EnvelopeOrigin { worker, boot: 1 },
				RegistryPayload::ProbeAnswered { nonce: [n; 32] },
			)
		};
		assert_noop!(answer(1), Error::<Runtime>::UnknownProbe);
		assert_ok!(Registry::probe(signed(BOB), worker, [1; 32]));
		assert_ok!(answer(1));
		System::assert_last_event(Event::ProbeAnswered { worker, boot: 1, nonce: [1; 32] }.into());
		assert_noop!(answer(1), Error::<Runtime>::UnknownProbe);
	});
}

#[test]
fn a_flood_of_probes_is_spaced_and_refused_when_there_are_too_many() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		let probe = |n| Registry::probe(signed(BOB), worker, [n; 32]);
		let most = limits::OPEN_PROBES_MAX as u8;
		for n in 0..most {
			assert_ok!(probe(n));
			let asked_at = System::block_number();
			go_to_block(asked_at + u64::from(limits::PROBE_GAP) - 1);
			assert_noop!(probe(100), Error::<Runtime>::ProbeTooSoon);
			go_to_block(asked_at + u64::from(limits::PROBE_GAP));
		}
		assert_noop!(probe(100), Error::<Runtime>::TooManyProbes);
		// Another worker is asked all the same, and an answer makes room.
		let other = register_worker();
		register(&Report::honest(other, 2)).unwrap();
		assert_ok!(Registry::probe(signed(BOB), other, [1; 32]));
		let origin = EnvelopeOrigin { worker, boot: 1 };
		let answer = RegistryPayload::ProbeAnswered { nonce: [0; 32] };
		assert_ok!(Registry::receive(origin, answer));
		assert_ok!(probe(100));
		go_to_block(System::block_number() + u64::from(limits::PROBE_GAP));
		assert_noop!(probe(101), Error::<Runtime>::TooManyProbes);
		// So does time: nobody waits for a dead boot's answers for ever.
		go_to_block(13 + u64::from(limits::PROBE_BLOCKS));
		assert_ok!(probe(101));
	});
}

#[test]
fn each_probe_makes_the_next_one_dearer_and_time_makes_it_cheap_again() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		let mut nonce = 0;
		let mut probe = |by| {
			nonce += 1;
			let origin = EnvelopeOrigin { worker, boot: 1 };
			Registry::probe(signed(by), worker, [nonce; 32])?;
			Registry::receive(origin, RegistryPayload::ProbeAnswered { nonce: [nonce; 32] })
		};
		// As often as it goes.
		for _ in 0..10 {
			assert_ok!(probe(BOB));
			go_to_block(System::block_number() + u64::from(limits::PROBE_GAP));
		}
		let most = limits::PROBE_DOUBLINGS_MAX;
		assert_eq!(TollsPaid::take(), [0, 1, 2, 3, 4, 5, most, most, most, most]);
		// Who cannot pay asks nothing.
		assert_noop!(probe(PAUPER), NO_FUNDS);
		// What is left of it after some blocks, and that none of them is lost.
		let cooling = u64::from(limits::PROBE_COOLING_BLOCKS);
		go_to_block(1 + 2 * cooling);
		assert_ok!(probe(BOB));
		go_to_block(1 + 3 * cooling);
		assert_ok!(probe(BOB));
		go_to_block(1 + 20 * cooling);
		assert_ok!(probe(BOB));
		assert_eq!(TollsPaid::take(), [most - 1, most - 1, 0]);
		// A new boot begins with the least.
		assert_ok!(register(&Report::honest(worker, 2)));
		assert!(!ProbePrices::<Runtime>::contains_key(worker));
	});
}

const FAULT: EvictionReason = EvictionReason::Fault { slash: Permill::from_percent(10) };
const COMPROMISED: EvictionReason =
	EvictionReason::Compromised { slash: Permill::from_percent(100) };

fn evict_for(worker: WorkerId, reason: EvictionReason) -> DispatchResult {
	Registry::evict_for(RuntimeOrigin::root(), worker, reason)
}

#[test]
fn governance_evicts_and_the_reason_says_what_is_lost() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		let (bond, seat) = (BondId::Worker(worker), BondId::Gatekeeper(worker));
		assert_noop!(evict_for(99, FAULT), Error::<Runtime>::NoBoot);
		register(&Report::honest(worker, 1)).unwrap();
		MockBonding::set(seat, 33);
		assert_noop!(Registry::evict_for(signed(ALICE), worker, FAULT), DispatchError::BadOrigin);
		assert_ok!(evict_for(worker, FAULT));
		// A tenth, rounded up: no slash is rounded away.
		assert_eq!((MockBonding::amount(bond), MockBonding::amount(seat)), (90, 29));
		System::assert_last_event(
			Event::WorkerEvicted { worker, boot: 1, reason: FAULT, slashed: 14 }.into(),
		);
		assert_eq!(EvictedWorkers::get(), vec![worker]);

		// It may come back, but not once its machine is banned, in whichever worker.
		register(&Report::honest(worker, 2)).unwrap();
		assert_ok!(evict_for(worker, COMPROMISED));
		assert_eq!((MockBonding::amount(bond), MockBonding::amount(seat)), (0, 0));
		MockBonding::set(bond, STAKE);
		assert_noop!(register(&Report::honest(worker, 3)), Error::<Runtime>::PlatformBanned);
		let platform = Report::honest(worker, 3).platform;
		Registry::close_worker(signed(ALICE), worker).unwrap();
		let other = register_worker();
		let again = Report { platform, ..Report::honest(other, 3) };
		assert_noop!(register(&again), Error::<Runtime>::PlatformBanned);
		let set_banned = |banned| Registry::set_banned(RuntimeOrigin::root(), platform, banned);
		assert_noop!(
			Registry::set_banned(signed(ALICE), platform, false),
			DispatchError::BadOrigin
		);
		assert_ok!(set_banned(false));
		assert_noop!(set_banned(false), Error::<Runtime>::PlatformNotBanned);
		assert_ok!(register(&again));
		assert_ok!(set_banned(true));
		assert_noop!(
			register(&Report { platform, ..Report::honest(other, 4) }),
			Error::<Runtime>::PlatformBanned
		);
	});
}

#[test]
fn a_ban_ends_the_boot_that_runs_on_the_machine_and_slashes_nobody() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		let report = Report::honest(worker, 1);
		register(&report).unwrap();
		assert_ok!(Registry::set_banned(RuntimeOrigin::root(), report.platform, true));
		assert_eq!(Registry::current_boot(worker), None);
		assert_eq!(EvictedWorkers::get(), vec![worker]);
		assert_eq!(MockBonding::amount(BondId::Worker(worker)), STAKE);
		let reason = EvictionReason::Compromised { slash: Permill::zero() };
		System::assert_last_event(
			Event::WorkerEvicted { worker, boot: 1, reason, slashed: 0 }.into(),
		);
		assert_noop!(register(&Report::honest(worker, 2)), Error::<Runtime>::PlatformBanned);
		// A machine that is in no worker.
		assert_ok!(Registry::set_banned(RuntimeOrigin::root(), H256::repeat_byte(0x77), true));
	});
}

/// Sees the vote coming.
#[test]
fn who_closes_its_worker_before_the_vote_is_enacted_is_slashed_all_the_same() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		assert_ok!(Registry::close_worker(signed(ALICE), worker));
		assert_ok!(evict_for(worker, FAULT));
		assert_eq!(MockBonding::amount(BondId::Worker(worker)), 90);
		System::assert_last_event(
			Event::WorkerEvicted { worker, boot: 0, reason: FAULT, slashed: 10 }.into(),
		);
		// Nobody relied on it any more.
		assert!(EvictedWorkers::get().is_empty());
	});
}

#[test]
fn who_buys_a_worker_does_not_get_the_sellers_seat_stake_into_trouble() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		MockBonding::set(BondId::Gatekeeper(worker), STAKE);
		Registry::offer_worker(signed(ALICE), worker, Some(BOB)).unwrap();
		assert_noop!(
			Registry::accept_worker(signed(BOB), worker),
			Error::<Runtime>::SeatStakeLeaving
		);
		MockBonding::set(BondId::Gatekeeper(worker), 0);
		assert_ok!(Registry::accept_worker(signed(BOB), worker));
	});
}

/// A boot in force, without evidence.
fn boot_of(worker: WorkerId, measurement: H256) {
	Workers::<Runtime>::insert(worker, Worker { operator: ALICE, platform: None, boots: 1 });
	let (registered_at, expires_at) = (1, BlockNumber::MAX);
	let evidence = phala_protocol::evidence::EvidenceKind::Software;
	let boot = Boot { number: 1, keys: keys(1), evidence, measurement, registered_at, expires_at };
	Boots::<Runtime>::insert(worker, boot);
	MockBonding::set(BondId::Worker(worker), STAKE);
}

/// A block passes; the weight that the sweep took of it.
fn next_block(left: Weight) -> Weight {
	System::set_block_number(System::block_number() + 1);
	let mut meter = WeightMeter::with_limit(left.min(SweepBudget::get()));
	Registry::sweep(&mut meter);
	meter.consumed()
}

#[test]
fn a_delisting_with_10_000_workers_in_force_takes_a_bounded_part_of_each_block() {
	const WORKERS: WorkerId = 10_000;
	const OTHERS: WorkerId = 50;
	new_test_ext().execute_with(|| {
		for worker in 0..WORKERS {
			boot_of(worker, GOOD_CODE);
		}
		let other_code = H256::repeat_byte(0xcc);
		Registry::allow_measurement(RuntimeOrigin::root(), other_code).unwrap();
		for worker in WORKERS..WORKERS + OTHERS {
			boot_of(worker, other_code);
		}
		let idle = next_block(Weight::MAX);
		let until = System::block_number() as u32 + 3;
		delist(RuntimeOrigin::root(), GOOD_CODE, until).unwrap();
		// Until its block has come nobody is evicted, and it costs no more than any block.
		for _ in 0..2 {
			assert_eq!(next_block(Weight::MAX), idle);
		}
		assert!(EvictedWorkers::get().is_empty());

		// All of them are out of force at once; the sweep needs its time.
		System::set_block_number(u64::from(until));
		let boot = Registry::current_boot(0).unwrap();
		assert!((0..WORKERS).all(|worker| !Registry::is_in_force(worker, &boot)));
		SweptPerBlock::set(100);
		let mut blocks = 0;
		while !EvictedWorkers::get().len().eq(&(WORKERS as usize)) {
			let taken = next_block(Weight::MAX);
			assert!(taken.all_lte(SweepBudget::get()), "{taken:?}");
			blocks += 1;
			assert!(blocks <= 110, "{} of {WORKERS}", EvictedWorkers::get().len());
		}
		assert!(blocks >= 100, "{blocks}");
		while SweepUnderWay::<Runtime>::exists() {
			next_block(Weight::MAX);
		}
		assert_eq!(next_block(Weight::MAX), idle);
		let mut evicted = EvictedWorkers::get();
		evicted.sort_unstable();
		assert_eq!(evicted, (0..WORKERS).collect::<Vec<_>>());
		assert_eq!(Boots::<Runtime>::iter().count(), OTHERS as usize);
		assert!(MockBonding::amount(BondId::Worker(0)) == STAKE, "a delisting slashes nobody");
	});
}

#[test]
fn the_sweep_takes_no_more_than_what_is_left_of_the_block_and_a_full_mailbox_puts_it_off() {
	new_test_ext().execute_with(|| {
		for worker in 0..5 {
			boot_of(worker, GOOD_CODE);
		}
		let now = System::block_number() as u32;
		delist(RuntimeOrigin::root(), GOOD_CODE, now).unwrap();
		assert_eq!(next_block(Weight::zero()), Weight::zero());
		assert!(EvictedWorkers::get().is_empty());
		// One message each: the second eviction finds no room, and is undone whole.
		PushesLeft::set(1);
		next_block(Weight::MAX);
		assert_eq!(Boots::<Runtime>::iter().count(), 4);
		PushesLeft::set(usize::MAX);
		next_block(Weight::MAX);
		assert_eq!(Boots::<Runtime>::iter().count(), 1);
		next_block(Weight::MAX);
		assert_eq!((Boots::<Runtime>::iter().count(), SweepUnderWay::<Runtime>::get()), (0, None));
	});
}

#[test]
fn the_sweep_evicts_who_has_nothing_at_stake_unless_it_was_topped_up_since() {
	new_test_ext().execute_with(|| {
		for worker in 0..4 {
			boot_of(worker, GOOD_CODE);
			MockBonding::set(BondId::Worker(worker), 0);
			Registry::on_exhausted(BondId::Worker(worker));
		}
		// A gatekeeper without its second bond is out as well.
		MockBonding::set(BondId::Worker(3), STAKE);
		MockBonding::set(BondId::Gatekeeper(3), 0);
		MockBonding::set(BondId::Worker(1), STAKE);
		// Who has no boot is not swept.
		Registry::on_exhausted(BondId::Worker(77));
		SweptPerBlock::set(2);
		next_block(Weight::MAX);
		next_block(Weight::MAX);
		next_block(Weight::MAX);
		let mut evicted = EvictedWorkers::get();
		evicted.sort_unstable();
		assert_eq!(evicted, vec![0, 2, 3]);
		assert_eq!(ReportedExhausted::<Runtime>::iter().count(), 0);
		System::assert_has_event(
			Event::WorkerEvicted {
				worker: 0,
				boot: 1,
				reason: EvictionReason::StakeExhausted,
				slashed: 0,
			}
			.into(),
		);
	});
}

#[test]
fn anyone_evicts_a_worker_without_stake_and_nobody_one_with_it() {
	new_test_ext().execute_with(|| {
		boot_of(0, GOOD_CODE);
		assert_noop!(Registry::evict(signed(BOB), 0), at_a_look(Error::StillInForce));
		MockBonding::set(BondId::Worker(0), 0);
		assert_ok!(Registry::evict(signed(BOB), 0));
		assert_noop!(Registry::evict(signed(BOB), 0), at_a_look(Error::NoBoot));
	});
}

#[test]
fn more_delistings_than_there_is_room_for_share_the_last_sweep() {
	new_test_ext().execute_with(|| {
		for n in 0..SWEEPS_DUE_MAX + 3 {
			Registry::note_sweep(1_000 - n);
			Registry::note_sweep(1_000 - n);
		}
		let due = SweepsDue::<Runtime>::get();
		assert_eq!(due.len() as u32, SWEEPS_DUE_MAX);
		assert!(due.is_sorted());
		Registry::note_sweep(2_000);
		assert_eq!(SweepsDue::<Runtime>::get().last(), Some(&2_000));
		go_to_block(2_000);
		next_block(Weight::MAX);
		assert_eq!(SweepsDue::<Runtime>::get().len(), 0);
	});
}

/// Has the delister's track: 5,000 PHA for the deposit, and the 2 % of the votes that pass there.
struct CapturedDelister;

impl CapturedDelister {
	fn delists(
		measurement: Measurement,
		until: BlockNumber,
		successor: Measurement,
	) -> DispatchResult {
		Registry::delist_measurement(signed(DELISTER), measurement, until, successor)
	}
}

#[test]
fn a_captured_delister_brings_back_no_code_and_gives_none_more_time() {
	new_test_ext().execute_with(|| {
		let delists = |until| CapturedDelister::delists(GOOD_CODE, until, NEXT_CODE);
		assert_ok!(delists(20));
		assert_noop!(delists(21), Error::<Runtime>::UntilLaterThanBefore);
		assert_ok!(delists(20));
		assert_ok!(delists(15));
		// It leaked, was swept, and stays in the list with its `until`.
		go_to_block(15);
		assert_noop!(delists(BlockNumber::MAX), Error::<Runtime>::MeasurementNotAllowed);
		assert_noop!(
			CapturedDelister::delists(BAD_CODE, 20, NEXT_CODE),
			Error::<Runtime>::MeasurementNotAllowed
		);
		let worker = register_worker();
		assert_noop!(register(&Report::honest(worker, 1)), Error::<Runtime>::MeasurementNotAllowed);
		// Who may list may list it again.
		assert_noop!(
			Registry::allow_measurement(signed(DELISTER), GOOD_CODE),
			DispatchError::BadOrigin
		);
		assert_ok!(Registry::allow_measurement(RuntimeOrigin::root(), GOOD_CODE));
		assert_ok!(delists(30));
	});
}

/// Has the vote on its leaked code come late: no more than a queue for the track does it.
struct Dawdler;

impl Dawdler {
	fn delays() -> BlockNumber {
		go_to_block(200);
		199
	}
}

#[test]
fn a_vote_that_a_dawdler_delays_past_the_block_it_names_is_enacted_all_the_same() {
	type Vote = fn(BlockNumber) -> DispatchResult;
	let votes: [Vote; 2] = [
		|until| CapturedDelister::delists(GOOD_CODE, until, NEXT_CODE),
		|until| Registry::destroy_measurement(RuntimeOrigin::root(), GOOD_CODE, until),
	];
	for vote in votes {
		new_test_ext().execute_with(|| {
			let worker = register_worker();
			register(&Report::honest(worker, 1)).unwrap();
			let until = Dawdler::delays();
			assert_ok!(vote(until));
			assert_eq!(Measurements::<Runtime>::get(GOOD_CODE).unwrap().until, Some(until + 1));
			let boot = Registry::current_boot(worker).unwrap();
			assert!(!Registry::is_in_force(worker, &boot));
		});
	}
}

#[test]
fn what_is_to_be_destroyed_is_so_though_another_vote_ended_its_time_earlier() {
	new_test_ext().execute_with(|| {
		assert_ok!(CapturedDelister::delists(GOOD_CODE, 20, NEXT_CODE));
		assert_ok!(Registry::destroy_measurement(RuntimeOrigin::root(), GOOD_CODE, 21));
		assert_eq!(Measurements::<Runtime>::get(GOOD_CODE).unwrap().until, Some(20));
		assert!(Destroyed::<Runtime>::contains_key(GOOD_CODE));
	});
}

#[test]
fn a_captured_delister_leaves_nobody_without_code_to_move_to() {
	new_test_ext().execute_with(|| {
		let delists = |successor| CapturedDelister::delists(GOOD_CODE, 10, successor);
		assert_noop!(delists(GOOD_CODE), Error::<Runtime>::NoSuccessorAllowed);
		assert_noop!(delists(BAD_CODE), Error::<Runtime>::NoSuccessorAllowed);
		// Two that name each other would both be gone one day.
		assert_ok!(CapturedDelister::delists(NEXT_CODE, 1_000, GOOD_CODE));
		assert_noop!(delists(NEXT_CODE), Error::<Runtime>::NoSuccessorAllowed);
		assert_noop!(
			Registry::destroy_measurement(signed(DELISTER), GOOD_CODE, 10),
			DispatchError::BadOrigin
		);
		assert_ok!(Registry::destroy_measurement(RuntimeOrigin::root(), GOOD_CODE, 10));
		System::assert_last_event(Event::MeasurementDestroyed { measurement: GOOD_CODE }.into());
	});
}

#[test]
fn those_who_wait_for_a_successor_take_no_evictions_room_from_others() {
	new_test_ext().execute_with(|| {
		for worker in 0..10 {
			boot_of(worker, GOOD_CODE);
		}
		let waits = |worker: &WorkerId| !EvictedWorkers::get().contains(worker);
		Alone::set((0..9).collect());
		// Room for two evictions a block, and for looking at ten.
		SweptPerBlock::set(2);
		let now = System::block_number() as u32;
		assert_ok!(CapturedDelister::delists(GOOD_CODE, now, NEXT_CODE));
		next_block(Weight::MAX);
		assert_eq!(EvictedWorkers::get(), [9]);
		assert_eq!((0..10).filter(waits).count(), 9);
		assert_eq!(SweepUnderWay::<Runtime>::get(), None, "all were looked at");
	});
}

#[test]
fn a_captured_delister_takes_nobody_who_alone_holds_a_key_until_another_does() {
	new_test_ext().execute_with(|| {
		for worker in 0..3 {
			boot_of(worker, GOOD_CODE);
		}
		Alone::set(vec![0, 2]);
		SweptPerBlock::set(10);
		let now = System::block_number() as u32;
		assert_ok!(CapturedDelister::delists(GOOD_CODE, now, NEXT_CODE));
		let boot = Registry::current_boot(0).unwrap();
		assert!(!Registry::is_in_force(0, &boot), "it is silenced at once");
		assert!(Registry::is_delisted(0));
		assert_noop!(Registry::evict(signed(DELISTER), 0), at_a_look(Error::NoSuccessorInForce));
		next_block(Weight::MAX);
		assert_eq!(EvictedWorkers::get(), vec![1]);
		assert_eq!(SweepUnderWay::<Runtime>::get(), None);
		assert_eq!(SweepsDue::<Runtime>::get().into_inner(), [SWEEP_AGAIN_BLOCKS]);

		// The sweep comes again, in vain, and once more when another has taken over.
		for (alone, evicted) in [(vec![0, 2], vec![1]), (vec![2], vec![1, 0])] {
			Alone::set(alone);
			let due = SweepsDue::<Runtime>::get()[0];
			System::set_block_number(u64::from(due) - 2);
			next_block(Weight::MAX);
			assert!(EvictedWorkers::get().len() <= 2 && SweepsDue::<Runtime>::get()[0] == due);
			next_block(Weight::MAX);
			assert_eq!(EvictedWorkers::get(), evicted);
		}
		// Who may destroy says so, also afterwards.
		let now = System::block_number() as u32;
		assert_ok!(Registry::destroy_measurement(RuntimeOrigin::root(), GOOD_CODE, now));
		next_block(Weight::MAX);
		assert_eq!(EvictedWorkers::get(), vec![1, 0, 2]);
		assert_eq!(LastEvictedBy::get(), Some(EvictedBy::Others));
		// Listed again it is code like any other.
		assert_ok!(Registry::allow_measurement(RuntimeOrigin::root(), GOOD_CODE));
		assert_eq!(Destroyed::<Runtime>::iter().count(), 0);
	});
}

#[test]
fn who_is_alone_is_evicted_all_the_same_for_what_it_did_itself() {
	new_test_ext().execute_with(|| {
		boot_of(0, BAD_CODE);
		Alone::set(vec![0, 1]);
		MockBonding::set(BondId::Worker(0), 0);
		assert_ok!(Registry::evict(signed(BOB), 0));
		assert_eq!(LastEvictedBy::get(), Some(EvictedBy::Itself));
		boot_of(1, GOOD_CODE);
		assert_ok!(evict_for(1, FAULT));
		assert_eq!(LastEvictedBy::get(), Some(EvictedBy::Others));
	});
}

/// Its machine's secrets are out. It closes its worker, which gives it its 1,000 PHA back one day, and
/// goes on with the same machine under other numbers, for 1,000 PHA each.
struct ShellGame {
	platform: H256,
}

impl ShellGame {
	/// A new worker with the machine.
	fn opens(&self, keys: u8) -> WorkerId {
		let worker = register_worker();
		let report = Report { platform: self.platform, ..Report::honest(worker, keys) };
		register(&report).unwrap();
		worker
	}
}

#[test]
fn a_compromised_machine_does_not_escape_its_ban_by_closing_and_opening_workers() {
	new_test_ext().execute_with(|| {
		let villain = ShellGame { platform: H256::repeat_byte(66) };
		let first = villain.opens(1);
		assert_ok!(Registry::close_worker(signed(ALICE), first));
		let second = villain.opens(2);
		assert_ok!(Registry::close_worker(signed(ALICE), second));
		let third = villain.opens(3);

		assert_ok!(evict_for(first, COMPROMISED));
		System::assert_has_event(Event::PlatformBanned { platform: villain.platform }.into());
		assert_eq!(Registry::current_boot(third), None);
		let reason = EvictionReason::Compromised { slash: Permill::zero() };
		System::assert_last_event(
			Event::WorkerEvicted { worker: third, boot: 1, reason, slashed: 0 }.into(),
		);
		assert_eq!(EvictedWorkers::get(), vec![third]);
		assert_eq!(MockBonding::amount(BondId::Worker(first)), 0);
		assert_eq!(MockBonding::amount(BondId::Worker(third)), STAKE, "that is for another vote");
		let again = Report { platform: villain.platform, ..Report::honest(third, 4) };
		assert_noop!(register(&again), Error::<Runtime>::PlatformBanned);
		// The one in between can still be voted on, and says nothing new of the machine.
		assert_ok!(evict_for(second, COMPROMISED));

		// What is not at stake any more is not remembered.
		MockBonding::set(BondId::Worker(first), 0);
		MockBonding::set(BondId::Gatekeeper(first), 1);
		Registry::on_gone(BondId::Worker(first));
		assert_eq!(ClosedPlatforms::<Runtime>::get(first), Some(villain.platform));
		MockBonding::set(BondId::Gatekeeper(first), 0);
		Registry::on_gone(BondId::Gatekeeper(first));
		assert_eq!(ClosedPlatforms::<Runtime>::get(first), None);
	});
}

#[test]
fn a_ban_throws_out_nobody_with_another_machine() {
	new_test_ext().execute_with(|| {
		let (first, second) = (register_worker(), register_worker());
		register(&Report::honest(first, 1)).unwrap();
		register(&Report::honest(second, 2)).unwrap();
		assert_ok!(evict_for(first, COMPROMISED));
		assert_eq!(EvictedWorkers::get(), vec![first]);
		assert!(Registry::current_boot(second).is_some());
	});
}
