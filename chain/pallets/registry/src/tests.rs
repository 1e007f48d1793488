use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok, traits::fungible::InspectHold};
use phala_protocol::messages::Message;

fn signed(who: sp_runtime::AccountId32) -> RuntimeOrigin {
	RuntimeOrigin::signed(who)
}

fn register(report: &Report) -> DispatchResult {
	Registry::register_boot(
		signed(report.operator.clone()),
		report.worker,
		report.keys,
		report.evidence(),
		report.block,
	)
}

fn register_worker() -> WorkerId {
	Registry::register_worker(signed(ALICE)).unwrap();
	NextWorker::<Runtime>::get() - 1
}

#[test]
fn a_worker_holds_its_operators_stake_until_it_is_closed() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		assert_eq!(Balances::total_balance_on_hold(&ALICE), STAKE);
		register(&Report::honest(worker, 1)).unwrap();
		assert_noop!(Registry::close_worker(signed(BOB), worker), Error::<Runtime>::NotOperator);
		assert_ok!(Registry::close_worker(signed(ALICE), worker));
		assert_eq!(Balances::total_balance_on_hold(&ALICE), 0);
		assert_eq!(Balances::free_balance(ALICE), 1000);
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
		let pauper = sp_runtime::AccountId32::new([7; 32]);
		assert!(Registry::register_worker(signed(pauper)).is_err());
		assert_eq!(NextWorker::<Runtime>::get(), 0);
	});
}

#[test]
fn a_registered_boot_may_speak_and_is_told_so() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		assert_ok!(register(&Report::honest(worker, 1)));
		let boot = Registry::current_boot(worker).unwrap();
		assert_eq!((boot.number, boot.keys, boot.expires_at), (1, keys(1), 10 + LIFETIME));
		assert!(Registry::is_in_force(&boot));
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
fn evidence_is_refused_by_name_and_changes_nothing() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		let other_worker = register_worker();
		let honest = Report::honest(worker, 1);
		let forger = sp_core::Pair::from_seed(&[6; 32]);
		let submit = |report: &Report, evidence: Vec<u8>| {
			Registry::register_boot(signed(ALICE), worker, report.keys, evidence, report.block)
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
			assert_noop!(submit(&report, report.evidence()), error);
		}

		// The key swapper: good evidence, other keys.
		let evidence = honest.evidence();
		assert_noop!(
			submit(&Report { keys: keys(66), ..honest.clone() }, evidence),
			Error::<Runtime>::EvidenceNotBound
		);
		let mut trailing = honest.evidence();
		trailing.push(0);
		assert_noop!(submit(&honest, trailing), Error::<Runtime>::EvidenceMalformed);
		assert_noop!(submit(&honest, vec![]), Error::<Runtime>::EvidenceMalformed);
		assert_noop!(
			submit(&honest, vec![0; limits::EVIDENCE_BYTES_MAX as usize + 1]),
			Error::<Runtime>::EvidenceTooLong
		);
		assert_noop!(
			Registry::register_boot(
				signed(BOB),
				worker,
				honest.keys,
				honest.evidence(),
				honest.block
			),
			Error::<Runtime>::NotOperator
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
		assert!(Registry::is_in_force(&Registry::current_boot(worker).unwrap()));
		go_to_block(expires_at);
		assert!(!Registry::is_in_force(&Registry::current_boot(worker).unwrap()));

		// Renewing vouches for the same keys; evidence for others does not renew.
		let renew = |report: Report| {
			Registry::renew_boot(signed(ALICE), worker, report.evidence(), report.block)
		};
		assert_noop!(renew(Report::honest(worker, 2)), Error::<Runtime>::EvidenceNotBound);
		assert_ok!(renew(Report::honest(worker, 1)));
		let boot = Registry::current_boot(worker).unwrap();
		assert!(Registry::is_in_force(&boot));
		assert_eq!((boot.number, boot.expires_at), (1, expires_at as u32 + LIFETIME));
	});
}

#[test]
fn a_delisted_measurement_counts_until_its_block_and_anyone_may_evict_it_then() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		let delist = |until| Registry::delist_measurement(RuntimeOrigin::root(), GOOD_CODE, until);
		assert_noop!(
			Registry::delist_measurement(signed(ALICE), GOOD_CODE, 20),
			DispatchError::BadOrigin
		);
		assert_noop!(delist(9), Error::<Runtime>::UntilInThePast);
		assert_ok!(delist(20));
		go_to_block(19);
		assert!(Registry::is_in_force(&Registry::current_boot(worker).unwrap()));
		assert_noop!(Registry::evict(signed(BOB), worker), Error::<Runtime>::StillInForce);
		go_to_block(20);
		assert!(!Registry::is_in_force(&Registry::current_boot(worker).unwrap()));
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
		assert_ok!(Registry::evict(RuntimeOrigin::root(), worker));
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
fn a_flood_of_probes_drops_the_oldest() {
	new_test_ext().execute_with(|| {
		let worker = register_worker();
		register(&Report::honest(worker, 1)).unwrap();
		let most = limits::OPEN_PROBES_MAX as u8;
		for n in 0..=most {
			assert_ok!(Registry::probe(signed(BOB), worker, [n; 32]));
		}
		assert_eq!(OpenProbes::<Runtime>::get(worker).len(), usize::from(most));
		assert_eq!(OpenProbes::<Runtime>::get(worker)[0], [1; 32]);
	});
}
