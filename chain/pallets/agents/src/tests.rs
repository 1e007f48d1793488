use crate::{mock::*, *};
use frame_support::{
	assert_noop, assert_ok,
	dispatch::{GetDispatchInfo, RawOrigin},
	traits::{fungible::InspectHold, UnfilteredDispatchable},
};
use phala_protocol::{
	agents::{AgentKey, Availability},
	clusters::Opening,
	messages::Message,
	requests::{RequestOutcome, RequestResult},
};
use sp_runtime::AccountId32;

// In the mock runtime, not the storage map of that name.
type Agents = crate::Pallet<Runtime>;

/// As an extrinsic: in a storage layer of its own.
fn dispatch(who: AccountId32, call: Call<Runtime>) -> DispatchResult {
	let origin = RawOrigin::Signed(who).into();
	call.dispatch_bypass_filter(origin).map(|_| ()).map_err(|error| error.error)
}

fn register_with(
	cluster: ClusterId,
	timeout: BlockNumber,
	access: Access,
	upgrades: UpgradePolicy,
) -> DispatchResult {
	let code = code(1);
	let unit_price = 5;
	let call = Call::register { cluster, code, unit_price, timeout, access, upgrades };
	dispatch(ALICE, call)
}

/// Alice's newest agent.
fn registered(access: Access, upgrades: UpgradePolicy) -> AgentId {
	register_with(CLUSTER, 10, access, upgrades).unwrap();
	agent_id(GENESIS, NextAgent::<Runtime>::get() - 1)
}

fn agent() -> AgentId {
	registered(Access::Public, UpgradePolicy::Free)
}

fn upgrade(agent: AgentId, n: u8) -> DispatchResult {
	dispatch(ALICE, Call::upgrade { agent, code: code(n) })
}

fn commit(sender: &Enclave, set: &EffectSet) -> DispatchResult {
	with_storage_layer(|| Agents::commit(sender.origin(), set)).map(|_| ())
}

fn record(agent: AgentId) -> AgentRecord {
	Agents::record(agent).unwrap()
}

fn last_told() -> (Channel, Message) {
	Told::get().pop().unwrap()
}

fn told_whole(agent: AgentId) {
	let snapshot = Agents::snapshot(agent).unwrap();
	assert_eq!(
		last_told(),
		(Channel::Cluster(CLUSTER), Message::Agents(AgentsMessage::Agent(snapshot)))
	);
}

#[test]
fn a_registered_agent_holds_a_deposit_and_its_cluster_is_told_the_whole_of_it() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Listed, UpgradePolicy::AfterNotice(7));
		assert_eq!(agent, agent_id(GENESIS, 0));
		assert_eq!(
			record(agent),
			AgentRecord {
				owner: ALICE.into(),
				cluster: CLUSTER,
				code: code(1),
				code_version: 1,
				upgrades: UpgradePolicy::AfterNotice(7),
				access: Access::Listed,
				unit_price: 5,
				timeout: 10,
				key: None,
				version: 0,
				state_hash: H256::zero(),
			}
		);
		assert_eq!(Balances::balance_on_hold(&HoldReason::AgentDeposit.into(), &ALICE), DEPOSIT);
		assert_eq!(Deposits::<Runtime>::get(agent), Some(DEPOSIT));
		assert_eq!(History::<Runtime>::get(agent, 1), Some(CodeEntry { code: code(1), block: 1 }));
		told_whole(agent);
		assert_eq!(Agents::snapshot(agent).unwrap().lease, Some(Lease { worker: 0, boot: 1 }));
		System::assert_last_event(
			Event::AgentRegistered { agent, owner: ALICE, cluster: CLUSTER }.into(),
		);
		assert_ne!(self::agent(), agent);
	});
}

#[test]
fn a_pauper_and_an_agent_without_a_place_leave_nothing_behind() {
	new_test_ext().execute_with(|| {
		let pauper = AccountId32::new([7; 32]);
		let call = Call::register {
			cluster: CLUSTER,
			code: code(1),
			unit_price: 5,
			timeout: 10,
			access: Access::Public,
			upgrades: UpgradePolicy::Free,
		};
		assert!(dispatch(pauper, call).is_err());
		assert_noop!(
			register_with(CLUSTER + 1, 10, Access::Public, UpgradePolicy::Free),
			NO_SUCH_CLUSTER
		);
		PushesLeft::set(0);
		assert_noop!(
			register_with(CLUSTER, 10, Access::Public, UpgradePolicy::Free),
			Error::<Runtime>::MailboxFull
		);
		assert_eq!(NextAgent::<Runtime>::get(), 0);
		assert_eq!(Balances::total_balance_on_hold(&ALICE), 0);
	});
}

#[test]
fn a_timeout_is_taken_at_the_edges_and_refused_one_past_them() {
	new_test_ext().execute_with(|| {
		let with_timeout =
			|timeout| register_with(CLUSTER, timeout, Access::Public, UpgradePolicy::Free);
		assert_noop!(with_timeout(0), Error::<Runtime>::TimeoutOutOfRange);
		assert_ok!(with_timeout(1));
		assert_ok!(with_timeout(limits::AGENT_TIMEOUT_MAX));
		assert_noop!(
			with_timeout(limits::AGENT_TIMEOUT_MAX + 1),
			Error::<Runtime>::TimeoutOutOfRange
		);
	});
}

#[test]
fn an_impostor_changes_nothing_of_an_agent() {
	new_test_ext().execute_with(|| {
		let agent = agent();
		let unknown = H256::repeat_byte(9);
		let calls = |agent| {
			[
				Call::upgrade { agent, code: code(2) },
				Call::prepare_upgrade { agent, code: code(2) },
				Call::set_price { agent, unit_price: 0 },
				Call::set_access { agent, access: Access::Public },
				Call::allow_caller { agent, account: BOB },
				Call::disallow_caller { agent, account: BOB },
			]
		};
		for call in calls(agent) {
			assert_noop!(dispatch(BOB, call), Error::<Runtime>::NotOwner);
		}
		for call in calls(unknown) {
			assert_noop!(dispatch(ALICE, call), Error::<Runtime>::UnknownAgent);
		}
	});
}

#[test]
fn every_change_is_told_whole_and_a_full_mailbox_undoes_it() {
	new_test_ext().execute_with(|| {
		let agent = agent();
		for call in [
			Call::prepare_upgrade { agent, code: code(2) },
			Call::upgrade { agent, code: code(2) },
			Call::set_price { agent, unit_price: 6 },
			Call::set_access { agent, access: Access::Listed },
			Call::allow_caller { agent, account: BOB },
			Call::disallow_caller { agent, account: BOB },
		] {
			PushesLeft::set(0);
			assert_noop!(dispatch(ALICE, call.clone()), Error::<Runtime>::MailboxFull);
			PushesLeft::set(1);
			assert_ok!(dispatch(ALICE, call));
			told_whole(agent);
		}
		assert_eq!(record(agent).unit_price, 6);
		assert_eq!(record(agent).access, Access::Listed);
	});
}

#[test]
fn a_stranger_calls_a_public_agent_and_not_a_listed_one() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Listed, UpgradePolicy::Free);
		let may = |account: AccountId32| Agents::may_call(agent, &account.into());
		assert!(may(ALICE));
		assert!(!may(BOB));
		assert_ok!(dispatch(ALICE, Call::allow_caller { agent, account: BOB }));
		assert!(may(BOB));
		assert_noop!(
			dispatch(ALICE, Call::allow_caller { agent, account: BOB }),
			Error::<Runtime>::AlreadyAllowed
		);
		assert_ok!(dispatch(ALICE, Call::disallow_caller { agent, account: BOB }));
		assert!(!may(BOB));
		assert_noop!(
			dispatch(ALICE, Call::disallow_caller { agent, account: BOB }),
			Error::<Runtime>::NotListed
		);
		assert_ok!(dispatch(ALICE, Call::set_access { agent, access: Access::Public }));
		assert!(may(BOB));
		assert!(!Agents::may_call(H256::zero(), &ALICE.into()));
		assert_eq!(Agents::snapshot(H256::zero()), None);
	});
}

#[test]
fn a_list_is_filled_to_its_limit_and_not_one_further() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Listed, UpgradePolicy::Free);
		let nth = |n: u32| {
			let mut account = [0xaa; 32];
			account[..4].copy_from_slice(&n.to_le_bytes());
			AccountId32::new(account)
		};
		for n in 0..limits::AGENT_CALLERS_MAX {
			assert_ok!(dispatch(ALICE, Call::allow_caller { agent, account: nth(n) }));
		}
		let one_more = nth(limits::AGENT_CALLERS_MAX);
		assert_noop!(
			dispatch(ALICE, Call::allow_caller { agent, account: one_more.clone() }),
			Error::<Runtime>::TooManyCallers
		);
		// The longest news of an agent fits a message.
		assert!(last_told().1.encode().len() < limits::MESSAGE_BYTES_MAX as usize);
		assert_ok!(dispatch(ALICE, Call::disallow_caller { agent, account: nth(0) }));
		assert_ok!(dispatch(ALICE, Call::allow_caller { agent, account: one_more }));
	});
}

#[test]
fn an_owner_who_promised_immutable_code_cannot_change_it() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Public, UpgradePolicy::Immutable);
		assert_noop!(upgrade(agent, 2), Error::<Runtime>::ImmutableCode);
	});
}

#[test]
fn free_code_runs_at_once_and_every_earlier_one_is_kept() {
	new_test_ext().execute_with(|| {
		for policy in [UpgradePolicy::Free, UpgradePolicy::AfterNotice(0)] {
			let agent = registered(Access::Public, policy);
			assert_ok!(upgrade(agent, 2));
			System::assert_last_event(
				Event::Upgraded { agent, code_version: 2, code: code(2) }.into(),
			);
			assert_ok!(upgrade(agent, 3));
			assert_eq!((record(agent).code, record(agent).code_version), (code(3), 3));
			for n in 1..=3 {
				let entry = History::<Runtime>::get(agent, n).unwrap();
				assert_eq!(entry.code, code(n as u8));
			}
			assert_eq!(Planned::<Runtime>::get(agent), None);
		}
	});
}

#[test]
fn news_cost_by_the_byte_and_what_was_not_told_is_not_paid() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Listed, UpgradePolicy::Free);
		let all: Vec<[u8; 32]> = (0..limits::AGENT_CALLERS_MAX).map(|n| [n as u8; 32]).collect();
		let costs = |callers: &[[u8; 32]]| {
			Callers::<Runtime>::insert(agent, BoundedVec::truncate_from(callers.to_vec()));
			let account = AccountId32::new([0xee; 32]);
			let calls: [Call<Runtime>; 5] = [
				Call::set_price { agent, unit_price: 7 },
				Call::set_access { agent, access: Access::Listed },
				Call::prepare_upgrade { agent, code: code(2) },
				Call::disallow_caller { agent, account: account.clone() },
				Call::upgrade { agent, code: code(2) },
			];
			calls.map(|call| {
				if matches!(call, Call::disallow_caller { .. }) {
					Callers::<Runtime>::mutate(agent, |callers| {
						callers.pop();
						callers.try_push(account.clone().into()).unwrap();
					});
				}
				let most = call.get_dispatch_info().call_weight;
				let origin: RuntimeOrigin = RawOrigin::Signed(ALICE).into();
				let done = call.dispatch_bypass_filter(origin).unwrap();
				let actual = done.actual_weight.expect("is said");
				assert!(actual.all_lte(most), "{actual:?} of {most:?}");
				actual
			})
		};
		// Shorter ones cost what a message's place does.
		assert_eq!(costs(&all[..1]), costs(&all[..2]));
		let (one, two) = (costs(&all[..100]), costs(&all[..101]));
		let of_caller = NewsByte::get() * 33;
		for (one, two) in one.into_iter().zip(two) {
			assert_eq!(two - one, of_caller);
		}
		for most in costs(&all) {
			assert!((of_caller * 254).all_lte(most));
		}
	});
}

#[test]
fn what_is_prepared_is_told_before_it_runs_and_ends_with_the_upgrade() {
	new_test_ext().execute_with(|| {
		let prepare = |agent, n| dispatch(ALICE, Call::prepare_upgrade { agent, code: code(n) });
		let told = || match last_told().1 {
			Message::Agents(AgentsMessage::Agent(told)) => (told.record.code, told.planned),
			other => panic!("{other:?}"),
		};
		for policy in [UpgradePolicy::Free, UpgradePolicy::AfterNotice(0)] {
			let agent = registered(Access::Public, policy);
			assert_ok!(prepare(agent, 2));
			System::assert_last_event(Event::UpgradePrepared { agent, code: code(2) }.into());
			assert_eq!(told(), (code(1), Some(code(2))));
			// Another in its place, and then yet another that was not prepared: it binds nobody.
			assert_ok!(prepare(agent, 3));
			assert_eq!(told(), (code(1), Some(code(3))));
			assert_ok!(upgrade(agent, 4));
			assert_eq!(told(), (code(4), None));
			assert_eq!(Prepared::<Runtime>::get(agent), None);
		}
	});
}

#[test]
fn who_promised_a_notice_or_no_upgrade_prepares_none() {
	new_test_ext().execute_with(|| {
		for (policy, refused) in [
			(UpgradePolicy::Immutable, Error::<Runtime>::ImmutableCode),
			(UpgradePolicy::AfterNotice(5), Error::<Runtime>::HasNotice),
		] {
			let agent = registered(Access::Public, policy);
			let call = Call::prepare_upgrade { agent, code: code(2) };
			assert_noop!(dispatch(ALICE, call), refused);
		}
	});
}

#[test]
fn a_hasty_owner_waits_for_the_notice_to_end() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Public, UpgradePolicy::AfterNotice(5));
		assert_ok!(upgrade(agent, 2));
		System::assert_last_event(Event::UpgradePlanned { agent, code: code(2), at: 6 }.into());
		let Message::Agents(AgentsMessage::Agent(told)) = last_told().1 else { panic!() };
		assert_eq!(
			(told.record.code, told.planned),
			(code(1), Some(code(2))),
			"members may fetch it"
		);
		go_to_block(5);
		assert_eq!(record(agent).code, code(1));
		go_to_block(6);
		assert_eq!((record(agent).code, record(agent).code_version), (code(2), 2));
		assert_eq!(History::<Runtime>::get(agent, 2), Some(CodeEntry { code: code(2), block: 6 }));
		told_whole(agent);
		assert_eq!(Planned::<Runtime>::get(agent), None);
		assert!(!Due::<Runtime>::contains_key(6));
		go_to_block(20);
		assert_eq!(record(agent).code_version, 2);
	});
}

#[test]
fn a_second_announcement_replaces_the_first_and_restarts_the_notice() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Public, UpgradePolicy::AfterNotice(5));
		assert_ok!(upgrade(agent, 2));
		go_to_block(4);
		assert_ok!(upgrade(agent, 3));
		assert!(!Due::<Runtime>::contains_key(6));
		go_to_block(8);
		assert_eq!(record(agent).code, code(1));
		go_to_block(9);
		assert_eq!((record(agent).code, record(agent).code_version), (code(3), 2));
	});
}

#[test]
fn a_crowd_fills_a_blocks_upgrades_and_the_next_one_is_refused_whole() {
	new_test_ext().execute_with(|| {
		let agents: Vec<_> = (0..=UPGRADES_DUE_MAX)
			.map(|_| registered(Access::Public, UpgradePolicy::AfterNotice(5)))
			.collect();
		let (late, early) = agents.split_last().unwrap();
		assert_ok!(upgrade(*late, 2));
		go_to_block(2);
		for agent in early {
			assert_ok!(upgrade(*agent, 2));
		}
		// What was announced before still stands.
		assert_noop!(upgrade(*late, 3), Error::<Runtime>::TooManyUpgradesDue);
		go_to_block(7);
		for agent in &agents {
			assert_eq!(record(*agent).code, code(2));
		}
	});
}

#[test]
fn a_notice_past_the_last_block_is_refused() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Public, UpgradePolicy::AfterNotice(u32::MAX - 1));
		assert_ok!(upgrade(agent, 2));
		go_to_block(2);
		assert_noop!(upgrade(agent, 3), Error::<Runtime>::NoticeTooLong);
	});
}

#[test]
fn a_full_mailbox_delays_upgrades_and_loses_none() {
	new_test_ext().execute_with(|| {
		let notice = |n| registered(Access::Public, UpgradePolicy::AfterNotice(n));
		let (first, second, third) = (notice(5), notice(5), notice(6));
		for agent in [first, second, third] {
			assert_ok!(upgrade(agent, 2));
		}
		go_to_block(5);
		// One of the two goes through; then none for many blocks.
		PushesLeft::set(1);
		go_to_block(6);
		assert_eq!(record(first).code, code(2));
		assert_eq!((record(second).code, record(second).code_version), (code(1), 1));
		assert_eq!(LateFrom::<Runtime>::get(), Some(6));
		go_to_block(20);
		assert_eq!(record(second).code, code(1));
		assert!(Planned::<Runtime>::contains_key(second));
		// The late one may still be replaced, if there is room to say so.
		assert_noop!(upgrade(third, 3), Error::<Runtime>::MailboxFull);
		PushesLeft::set(1);
		assert_ok!(upgrade(third, 3));
		PushesLeft::set(u32::MAX);
		go_to_block(21);
		assert_eq!((record(second).code, record(second).code_version), (code(2), 2));
		for block in 22..26 {
			go_to_block(block);
			assert_eq!(record(third).code, code(1));
		}
		go_to_block(26);
		assert_eq!(record(third).code, code(3));
		assert_eq!(LateFrom::<Runtime>::get(), Some(27));
		assert_eq!(record(first).code_version, 2);
	});
}

#[test]
fn blocks_without_weight_delay_upgrades_and_births_and_lose_none() {
	use crate::WeightInfo;
	type Weights = <Runtime as Config>::WeightInfo;
	new_test_ext().execute_with(|| {
		NextHolder::set(Some(Lease { worker: 1, boot: 1 }));
		let agents: Vec<_> =
			(5..9).map(|n| registered(Access::Public, UpgradePolicy::AfterNotice(n))).collect();
		for agent in &agents {
			assert_ok!(upgrade(*agent, 2));
		}
		ForUpkeep::set(Weight::zero());
		go_to_block(u64::from(limits::BIRTH_BLOCKS) + 10);
		let upgraded = || agents.iter().filter(|agent| record(**agent).code == code(2)).count();
		assert_eq!((upgraded(), Relieved::get().len()), (0, 0));
		// One upgrade a block, and the look at each block; in the end one birth.
		ForUpkeep::set(Weights::activate_due(1).saturating_add(Weights::activate_due(0)));
		for expected in 1..=4 {
			go_to_block(System::block_number() + 1);
			assert!(upgraded() <= expected, "{} of {expected}", upgraded());
		}
		ForUpkeep::set(Weight::MAX);
		go_to_block(System::block_number() + 1);
		assert_eq!((upgraded(), Relieved::get().len()), (4, 4));
		assert_eq!(Due::<Runtime>::iter().count(), 0);
	});
}

#[test]
fn a_birth_brings_the_key_and_every_commit_moves_version_and_hash() {
	new_test_ext().execute_with(|| {
		let writer = &cluster_of(1)[0];
		let agent = agent();
		assert_ok!(commit(writer, &birth(agent)));
		let born = record(agent);
		assert_eq!(born.key, Some(AgentKey { version: 1, key: [5; 32] }));
		let first = birth(agent).new_hash;
		assert_eq!((born.version, born.state_hash), (1, first));

		let set = set_on(agent, 1);
		assert_ok!(commit(writer, &set));
		let after = record(agent);
		let state_hash = set.new_hash;
		assert_eq!(after, AgentRecord { version: 2, state_hash, ..born });
		assert_eq!(
			last_told(),
			(
				Channel::Cluster(CLUSTER),
				Message::Agents(AgentsMessage::Committed {
					agent,
					version: 2,
					state_hash,
					worker: 0
				})
			)
		);
		System::assert_last_event(
			Event::Committed { agent, version: 2, state_hash, worker: 0 }.into(),
		);
	});
}

#[test]
fn a_set_on_a_stale_base_is_refused_and_so_is_one_from_the_future() {
	new_test_ext().execute_with(|| {
		let writer = &cluster_of(1)[0];
		let agent = agent();
		assert_noop!(commit(writer, &set_on(agent, 1)), Error::<Runtime>::StaleBase);
		assert_ok!(commit(writer, &birth(agent)));
		// The repeater: the same set once more.
		assert_noop!(commit(writer, &birth(agent)), Error::<Runtime>::StaleBase);
		assert_ok!(commit(writer, &set_on(agent, 1)));
		assert_noop!(commit(writer, &set_on(agent, 1)), Error::<Runtime>::StaleBase);
		assert_noop!(commit(writer, &set_on(agent, 3)), Error::<Runtime>::StaleBase);
		assert_noop!(
			commit(writer, &set_on(H256::repeat_byte(9), 0)),
			Error::<Runtime>::UnknownAgent
		);
	});
}

#[test]
fn a_lease_holder_that_lost_its_lease_commits_nothing() {
	new_test_ext().execute_with(|| {
		let members = cluster_of(2);
		let agent = agent();
		let with_word = |set: EffectSet, keeper: &Enclave| EffectSet {
			availability: vec![keeper.keeps(&set)],
			..set
		};
		assert_ok!(commit(&members[0], &with_word(birth(agent), &members[1])));
		let set = set_on(agent, 1);
		let by_holder = with_word(set.clone(), &members[1]);
		// Another member never had it.
		assert_noop!(
			commit(&members[1], &with_word(set.clone(), &members[0])),
			Error::<Runtime>::NotLeaseHolder
		);
		// It moved to another member, to nobody, to the holder's own next boot.
		for lease in [Some(Lease { worker: 1, boot: 1 }), None, Some(Lease { worker: 0, boot: 2 })]
		{
			Holder::set(lease);
			assert_noop!(commit(&members[0], &by_holder), Error::<Runtime>::NotLeaseHolder);
		}
		Holder::set(Some(Lease { worker: 0, boot: 1 }));
		assert_ok!(commit(&members[0], &by_holder));
	});
}

#[test]
fn a_midwife_without_a_key_and_a_key_at_another_time_are_refused() {
	new_test_ext().execute_with(|| {
		let writer = &cluster_of(1)[0];
		let agent = agent();
		let key = |version| Some(AgentKey { version, key: [6; 32] });
		assert_noop!(commit(writer, &set_on(agent, 0)), Error::<Runtime>::BirthNeedsKey);
		for version in [0, 2] {
			assert_noop!(
				commit(writer, &EffectSet { key: key(version), ..birth(agent) }),
				Error::<Runtime>::UnexpectedKey
			);
		}
		assert_noop!(
			commit(writer, &EffectSet { results: results(1), ..birth(agent) }),
			Error::<Runtime>::ResultsAtBirth
		);
		assert_ok!(commit(writer, &birth(agent)));
		for version in [1, 2] {
			assert_noop!(
				commit(writer, &EffectSet { key: key(version), ..set_on(agent, 1) }),
				Error::<Runtime>::UnexpectedKey
			);
		}
	});
}

fn results(n: u32) -> Vec<RequestResult> {
	(0..n)
		.map(|n| RequestResult {
			request: H256::from_low_u64_be(n.into()),
			outcome: RequestOutcome::Answered(vec![]),
			units: 1,
		})
		.collect()
}

#[test]
fn a_set_carries_as_many_results_as_the_limit_and_not_one_more() {
	new_test_ext().execute_with(|| {
		let writer = &cluster_of(1)[0];
		let agent = agent();
		assert_ok!(commit(writer, &birth(agent)));
		let with = |n| EffectSet { results: results(n), ..set_on(agent, 1) };
		assert_noop!(
			commit(writer, &with(limits::RESULTS_PER_EFFECT_SET_MAX + 1)),
			Error::<Runtime>::TooManyResults
		);
		assert_ok!(commit(writer, &with(limits::RESULTS_PER_EFFECT_SET_MAX)));
	});
}

#[test]
fn a_body_that_a_minority_keeps_is_refused_and_one_more_keeper_is_enough() {
	new_test_ext().execute_with(|| {
		for n in 1..=6u32 {
			let members = cluster_of(n);
			let agent = agent();
			let set = birth(agent);
			// The sender's acknowledgement is the envelope.
			let needed = (availability_quorum(n) - 1) as usize;
			let others = |count: usize| {
				members[1..][..count].iter().map(|member| member.keeps(&set)).collect()
			};
			if needed > 0 {
				let set = EffectSet { availability: others(needed - 1), ..set.clone() };
				assert_noop!(commit(&members[0], &set), Error::<Runtime>::NotAvailable);
			}
			let set = EffectSet { availability: others(needed), ..set.clone() };
			assert_ok!(commit(&members[0], &set));
		}
	});
}

#[test]
fn a_forged_availability_signature_counts_for_nothing_and_harms_nobody() {
	new_test_ext().execute_with(|| {
		let members = cluster_of(4);
		let agent = agent();
		let other_agent = self::agent();
		let set = birth(agent);
		let good: Vec<_> = members[1..3].iter().map(|member| member.keeps(&set)).collect();
		let zero = H256::zero();
		let forger = Enclave::new(66, 1);
		let content = |genesis, worker, boot, agent, base, new_hash| {
			AvailabilityContent::new(genesis, worker, boot, agent, base, new_hash)
		};
		let hash = set.new_hash;
		let third = &members[3];
		let forged = vec![
			Availability { worker: 3, signature: forger.keeps(&set).signature },
			Availability { worker: 3, signature: [0; 64] },
			// Another member's acknowledgement under this one's name.
			Availability { worker: 3, signature: good[0].signature },
			// Good acknowledgements of something else.
			third.acknowledges(&content(zero, 3, 1, agent, zero, hash)),
			third.acknowledges(&content(GENESIS, 2, 1, agent, zero, hash)),
			third.acknowledges(&content(GENESIS, 3, 2, agent, zero, hash)),
			third.acknowledges(&content(GENESIS, 3, 1, other_agent, zero, hash)),
			third.acknowledges(&content(GENESIS, 3, 1, agent, hash, hash)),
			third.acknowledges(&content(GENESIS, 3, 1, agent, zero, zero)),
			// An earlier life of the member.
			Availability { worker: 3, signature: Enclave::new(3, 0).keeps(&set).signature },
		];
		for forged in forged {
			// One good acknowledgement and the sender's are 2 of the 3 that 4 members need.
			let availability = vec![good[0].clone(), forged];
			assert_noop!(
				commit(&members[0], &EffectSet { availability, ..set.clone() }),
				Error::<Runtime>::NotAvailable
			);
		}
		let mut availability = good;
		availability.push(Availability { worker: 3, signature: [0; 64] });
		assert_ok!(commit(&members[0], &EffectSet { availability, ..set }));
	});
}

#[test]
fn a_ballot_stuffer_counts_nobody_twice() {
	new_test_ext().execute_with(|| {
		let members = cluster_of(5);
		let agent = agent();
		let set = birth(agent);
		let one = members[1].keeps(&set);
		let twice = EffectSet { availability: vec![one.clone(), one.clone()], ..set.clone() };
		assert_noop!(commit(&members[0], &twice), Error::<Runtime>::DuplicateSignature);
		// The sender's own acknowledgement adds nothing to its envelope.
		let own = EffectSet { availability: vec![members[0].keeps(&set), one], ..set.clone() };
		assert_noop!(commit(&members[0], &own), Error::<Runtime>::NotAvailable);
		// Nor do strangers.
		let strangers: Vec<_> =
			(20..30).map(|worker| Enclave::new(worker, 1).keeps(&set)).collect();
		let stuffed = EffectSet { availability: strangers, ..set.clone() };
		assert_noop!(commit(&members[0], &stuffed), Error::<Runtime>::NotAvailable);
	});
}

#[test]
fn the_word_of_a_member_that_does_not_count_is_ignored() {
	new_test_ext().execute_with(|| {
		let members = cluster_of(3);
		let agent = agent();
		let set = birth(agent);
		let mut availability = vec![members[1].keeps(&set)];
		// A stranger with a bad signature neither helps nor hurts.
		availability.push(Availability { worker: 50, signature: [1; 64] });
		assert_ok!(commit(&members[0], &EffectSet { availability, ..set }));

		// The sender itself does not count any more: the others must be a majority without it.
		count(&members[1..]);
		let set = set_on(agent, 1);
		let by = |keepers: &[Enclave]| EffectSet {
			availability: keepers.iter().map(|keeper| keeper.keeps(&set)).collect(),
			..set.clone()
		};
		assert_noop!(commit(&members[0], &by(&members[1..2])), Error::<Runtime>::NotAvailable);
		assert_ok!(commit(&members[0], &by(&members[1..3])));

		// Nobody counts: nothing is available.
		count(&[]);
		assert_noop!(commit(&members[0], &set_on(agent, 2)), Error::<Runtime>::NotAvailable);
	});
}

#[test]
fn a_flood_of_signatures_is_refused_before_any_is_verified() {
	new_test_ext().execute_with(|| {
		let members = cluster_of(limits::CLUSTER_MEMBERS_MAX);
		let agent = agent();
		let set = birth(agent);
		let mut availability: Vec<_> =
			members[1..].iter().map(|member| member.keeps(&set)).collect();
		availability.push(Availability { worker: 900, signature: [1; 64] });
		assert_eq!(availability.len(), limits::CLUSTER_MEMBERS_MAX as usize);
		let full = EffectSet { availability: availability.clone(), ..set.clone() };
		availability.push(Availability { worker: 901, signature: [1; 64] });
		let flood = EffectSet { availability, ..set };
		assert_noop!(commit(&members[0], &flood), Error::<Runtime>::TooManySignatures);
		assert_ok!(commit(&members[0], &full));
	});
}

#[test]
fn a_full_mailbox_undoes_a_commit() {
	new_test_ext().execute_with(|| {
		let writer = &cluster_of(1)[0];
		let agent = agent();
		PushesLeft::set(0);
		assert_noop!(commit(writer, &birth(agent)), Error::<Runtime>::MailboxFull);
		PushesLeft::set(1);
		assert_ok!(commit(writer, &birth(agent)));
	});
}

#[test]
fn a_set_of_another_history_is_refused_at_the_same_version() {
	new_test_ext().execute_with(|| {
		let writer = &cluster_of(1)[0];
		let agent = agent();
		assert_ok!(commit(writer, &birth(agent)));
		let forked = EffectSet { base_hash: H256::repeat_byte(9), ..set_on(agent, 1) };
		assert_noop!(commit(writer, &forked), Error::<Runtime>::StaleBase);
		assert_ok!(commit(writer, &set_on(agent, 1)));
	});
}

fn held(who: AccountId32) -> u64 {
	Balances::balance_on_hold(&HoldReason::AgentDeposit.into(), &who)
}

fn of_bytes(bytes: u32) -> u64 {
	BYTE_DEPOSIT * u64::from(bytes)
}

/// Wants the chain to keep more than it has paid for.
struct Collector;

#[test]
fn a_collector_of_callers_and_versions_is_held_for_each_and_gets_it_back_when_they_go() {
	new_test_ext().execute_with(|| {
		assert_eq!(CODE_ENTRY_BYTES as usize, CodeEntry::max_encoded_len());
		assert_eq!(CALLER_BYTES as usize, AccountBytes::max_encoded_len());
		let agent = registered(Access::Listed, UpgradePolicy::Free);
		let allow = |n: u8| {
			dispatch(ALICE, Call::allow_caller { agent, account: AccountId32::new([n; 32]) })
		};
		let (callers, versions) = (10, 5);
		let collects = |_: Collector| {
			(0..callers).for_each(|n| allow(n + 100).unwrap());
			(0..versions).for_each(|n| upgrade(agent, n + 2).unwrap());
		};
		collects(Collector);
		let both = |callers: u8, versions: u32| {
			DEPOSIT + of_bytes(u32::from(callers) * CALLER_BYTES + versions * CODE_ENTRY_BYTES)
		};
		assert_eq!(held(ALICE), both(callers, versions.into()));
		assert_eq!(Deposits::<Runtime>::get(agent), Some(held(ALICE)));
		assert_ok!(crate::Pallet::<Runtime>::check_invariants());
		let disallow = Call::disallow_caller { agent, account: AccountId32::new([100; 32]) };
		assert_ok!(dispatch(ALICE, disallow));
		assert_eq!(held(ALICE), both(callers - 1, versions.into()));
		// It goes with the agent, and comes back all at once.
		assert_ok!(dispatch(ALICE, Call::offer_transfer { agent, to: Some(BOB) }));
		assert_ok!(dispatch(BOB, Call::accept_transfer { agent, deposit_max: u64::MAX }));
		assert_eq!((held(ALICE), held(BOB)), (0, both(callers - 1, versions.into())));
		assert_ok!(dispatch(BOB, Call::retire { agent }));
		assert_eq!(held(BOB), 0);
	});
}

#[test]
fn who_cannot_have_more_held_stores_no_more() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Listed, UpgradePolicy::Free);
		let left = u64::from(CALLER_BYTES.min(CODE_ENTRY_BYTES)) * BYTE_DEPOSIT;
		let _ = Balances::force_set_balance(RawOrigin::Root.into(), ALICE, left);
		let account = BOB;
		assert!(dispatch(ALICE, Call::allow_caller { agent, account }).is_err());
		assert!(upgrade(agent, 2).is_err());
		assert_eq!(Callers::<Runtime>::get(agent).len(), 0);
		assert_eq!((record(agent).code_version, held(ALICE)), (1, DEPOSIT));
	});
}

#[test]
fn an_announcement_is_held_for_once_however_often_it_is_replaced() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Public, UpgradePolicy::AfterNotice(20));
		let one = DEPOSIT + of_bytes(CODE_ENTRY_BYTES);
		for n in 2..5 {
			upgrade(agent, n).unwrap();
			assert_eq!(held(ALICE), one);
		}
		// As the version that it becomes.
		go_to_block(21);
		assert_eq!((record(agent).code_version, held(ALICE)), (2, one));
		upgrade(agent, 9).unwrap();
		assert_eq!(held(ALICE), one + of_bytes(CODE_ENTRY_BYTES));
		assert_ok!(crate::Pallet::<Runtime>::check_invariants());
	});
}

#[test]
fn an_agent_that_its_owner_gives_up_is_forgotten_and_its_deposit_is_the_owner_s_again() {
	new_test_ext().execute_with(|| {
		let agent = registered(Access::Listed, UpgradePolicy::AfterNotice(20));
		dispatch(ALICE, Call::allow_caller { agent, account: BOB }).unwrap();
		upgrade(agent, 2).unwrap();
		assert_noop!(dispatch(BOB, Call::retire { agent }), Error::<Runtime>::NotOwner);
		assert_eq!(held(ALICE), DEPOSIT + of_bytes(CALLER_BYTES + CODE_ENTRY_BYTES));
		assert_ok!(dispatch(ALICE, Call::retire { agent }));
		assert_eq!((held(ALICE), Removed::get()), (0, 1));
		assert_eq!(
			last_told(),
			(Channel::Cluster(CLUSTER), AgentsMessage::Retired { agent }.into())
		);
		System::assert_last_event(Event::Retired { agent, owner: ALICE, evicted: false }.into());
		assert_eq!(Agents::record(agent), None);
		assert!(!Agents::may_call(agent, &BOB.into()));
		for left in [
			Callers::<Runtime>::iter().count(),
			Planned::<Runtime>::iter().count(),
			Due::<Runtime>::iter().count(),
			Deposits::<Runtime>::iter().count(),
			History::<Runtime>::iter().count(),
		] {
			assert_eq!(left, 0);
		}
		// The notice of its upgrade ends without it.
		go_to_block(40);
		assert_noop!(dispatch(ALICE, Call::retire { agent }), Error::<Runtime>::UnknownAgent);
		assert_noop!(upgrade(agent, 3), Error::<Runtime>::UnknownAgent);
	});
}

#[test]
fn a_full_mailbox_lets_no_agent_retire_untold() {
	new_test_ext().execute_with(|| {
		let agent = agent();
		PushesLeft::set(0);
		assert_noop!(dispatch(ALICE, Call::retire { agent }), Error::<Runtime>::MailboxFull);
		assert_eq!(held(ALICE), DEPOSIT);
	});
}

#[test]
fn an_agent_goes_to_whom_it_was_offered_and_to_no_thief() {
	new_test_ext().execute_with(|| {
		let agent = agent();
		let offer = |who, to| dispatch(who, Call::offer_transfer { agent, to });
		let accept = |who| dispatch(who, Call::accept_transfer { agent, deposit_max: u64::MAX });
		assert_noop!(offer(BOB, Some(BOB)), Error::<Runtime>::NotOwner);
		assert_noop!(accept(BOB), Error::<Runtime>::NotOffered);
		assert_ok!(offer(ALICE, Some(BOB)));
		assert_ok!(offer(ALICE, None));
		assert_noop!(accept(BOB), Error::<Runtime>::NotOffered);
		assert_ok!(offer(ALICE, Some(BOB)));
		assert_noop!(accept(CLUSTER_OWNER), Error::<Runtime>::NotOffered);
		assert_ok!(accept(BOB));
		assert_eq!((held(ALICE), held(BOB)), (0, DEPOSIT));
		assert_eq!(record(agent).owner, AccountBytes::from(BOB));
		told_whole(agent);
		assert_noop!(dispatch(ALICE, Call::retire { agent }), Error::<Runtime>::NotOwner);
		assert_noop!(accept(BOB), Error::<Runtime>::NotOffered);
		assert_ok!(dispatch(BOB, Call::retire { agent }));
		assert_eq!(held(BOB), 0);
	});
}

/// Offers an agent, and lets its deposit grow until somebody takes it.
struct Inflater {
	agent: AgentId,
}

impl Inflater {
	fn adds_a_caller(&self) {
		let account = AccountId32::new([0xca; 32]);
		dispatch(ALICE, Call::allow_caller { agent: self.agent, account }).unwrap();
	}
}

#[test]
fn an_inflater_has_no_more_held_of_who_takes_an_agent_than_that_one_saw() {
	new_test_ext().execute_with(|| {
		let agent = agent();
		let inflater = Inflater { agent };
		dispatch(ALICE, Call::offer_transfer { agent, to: Some(BOB) }).unwrap();
		let deposit_max = Deposits::<Runtime>::get(agent).unwrap();
		inflater.adds_a_caller();
		let accept = Call::accept_transfer { agent, deposit_max };
		assert_noop!(dispatch(BOB, accept.clone()), Error::<Runtime>::DepositTooHigh);
		assert_eq!((held(BOB), record(agent).owner), (0, AccountBytes::from(ALICE)));
		let deposit_max = Deposits::<Runtime>::get(agent).unwrap();
		assert_ok!(dispatch(BOB, Call::accept_transfer { agent, deposit_max }));
		assert_eq!(held(BOB), deposit_max);
	});
}

#[test]
fn a_pauper_cannot_take_an_agent_over() {
	new_test_ext().execute_with(|| {
		let agent = agent();
		let pauper = AccountId32::new([7; 32]);
		dispatch(ALICE, Call::offer_transfer { agent, to: Some(pauper.clone()) }).unwrap();
		assert!(dispatch(pauper, Call::accept_transfer { agent, deposit_max: u64::MAX }).is_err());
		assert_eq!((held(ALICE), record(agent).owner), (DEPOSIT, AccountBytes::from(ALICE)));
	});
}

/// Gives notice to everybody once, and has each in its hand for ever after: no further word is needed.
struct Damocles;

impl Damocles {
	fn evicts(&self, agent: AgentId) -> DispatchResult {
		dispatch(CLUSTER_OWNER, Call::evict { agent })
	}
}

#[test]
fn a_damocles_gives_notice_anew_when_it_has_not_come_back_for_as_long_again() {
	new_test_ext().execute_with(|| {
		let (agent, begun) = (agent(), System::block_number());
		assert_ok!(Damocles.evicts(agent));
		System::set_block_number(begun + 2 * u64::from(NOTICE));
		assert_ok!(Damocles.evicts(agent));
		let at = begun as BlockNumber + 3 * NOTICE;
		System::assert_last_event(Event::EvictionAnnounced { agent, at }.into());
		assert_noop!(Damocles.evicts(agent), Error::<Runtime>::NoticeNotOver);
		// In the last block of it the notice is good still.
		System::set_block_number(begun + 4 * u64::from(NOTICE) - 1);
		assert_ok!(Damocles.evicts(agent));
		assert_eq!(Agents::record(agent), None);
	});
}

/// Upgrades as often as it can, and has the deposit back for a history that stays.
struct Hoarder;

impl Hoarder {
	const VERSIONS: u32 = 2 * HISTORY_FORGOTTEN_MAX + 10;

	fn upgrades(agent: AgentId) {
		for n in 1..Self::VERSIONS {
			upgrade(agent, n as u8).unwrap();
		}
	}
}

#[test]
fn a_hoarder_leaves_no_history_behind_its_deposit() {
	new_test_ext().execute_with(|| {
		let other = agent();
		let agent = agent();
		Hoarder::upgrades(agent);
		let left = || History::<Runtime>::iter_prefix(agent).count() as u32;
		assert_eq!(left(), Hoarder::VERSIONS);
		assert_ok!(dispatch(ALICE, Call::retire { agent }));
		assert_eq!(left(), Hoarder::VERSIONS - HISTORY_FORGOTTEN_MAX);
		assert_ok!(crate::Pallet::<Runtime>::check_invariants());
		// As much as there is weight for.
		use crate::WeightInfo;
		type Weights = <Runtime as Config>::WeightInfo;
		let mut meter = WeightMeter::with_limit(Weights::forget_history(4));
		crate::Pallet::<Runtime>::forget_history(&mut meter);
		assert_eq!(left(), Hoarder::VERSIONS - HISTORY_FORGOTTEN_MAX - 4);
		crate::Pallet::<Runtime>::forget_history(&mut WeightMeter::new());
		assert_eq!((left(), OldHistory::<Runtime>::iter().count()), (0, 0));
		assert!(History::<Runtime>::contains_key(other, 1));
		assert_ok!(crate::Pallet::<Runtime>::check_invariants());
	});
}

#[test]
fn a_cluster_s_owner_evicts_after_notice_and_the_deposit_goes_back_to_the_agent_s() {
	new_test_ext().execute_with(|| {
		let agent = agent();
		let evict = |who| dispatch(who, Call::evict { agent });
		assert_noop!(evict(BOB), Error::<Runtime>::NotClusterOwner);
		assert_noop!(evict(ALICE), Error::<Runtime>::NotClusterOwner);
		assert_ok!(evict(CLUSTER_OWNER));
		let at = System::block_number() as BlockNumber + NOTICE;
		System::assert_last_event(Event::EvictionAnnounced { agent, at }.into());
		go_to_block(u64::from(at) - 1);
		assert_noop!(evict(CLUSTER_OWNER), Error::<Runtime>::NoticeNotOver);
		assert!(Agents::record(agent).is_some());
		go_to_block(at.into());
		assert_ok!(evict(CLUSTER_OWNER));
		System::assert_last_event(Event::Retired { agent, owner: ALICE, evicted: true }.into());
		assert_eq!(held(ALICE), 0);
		assert_eq!(Evictions::<Runtime>::iter().count(), 0);
	});
}

#[test]
fn a_squatter_pays_the_deposit_and_the_price_that_the_cluster_asks_for() {
	new_test_ext().execute_with(|| {
		Terms::set(None);
		let register = || register_with(CLUSTER, 10, Access::Public, UpgradePolicy::Free);
		assert_noop!(register(), CLOSED);
		// Its unit costs 5.
		Terms::set(Some(Opening { price_floor: 6, deposit: 3 * u128::from(DEPOSIT) }));
		assert_noop!(register(), Error::<Runtime>::PriceBelowFloor);
		Terms::set(Some(Opening { price_floor: 5, deposit: 3 * u128::from(DEPOSIT) }));
		let agent = agent();
		assert_eq!(held(ALICE), 3 * DEPOSIT);
		let set_price = |unit_price| dispatch(ALICE, Call::set_price { agent, unit_price });
		assert_noop!(set_price(4), Error::<Runtime>::PriceBelowFloor);
		assert_ok!(set_price(8));
		assert_ok!(set_price(5));
		// Closed since: it stays, and may not be made cheaper.
		Terms::set(None);
		assert_noop!(set_price(4), Error::<Runtime>::PriceBelowFloor);
		assert_ok!(set_price(9));
		// The floor has risen above what it costs: it may stay as it is.
		Terms::set(Some(Opening { price_floor: 20, deposit: 0 }));
		assert_ok!(set_price(9));
		assert_noop!(set_price(8), Error::<Runtime>::PriceBelowFloor);
		dispatch(ALICE, Call::retire { agent }).unwrap();
		assert_eq!(held(ALICE), 0, "all of it");
	});
}

/// Its enclave lives and its host lets heartbeats through, and nothing else: it counts, and bears nothing.
struct Nanny;

impl Nanny {
	const LEASE: Lease = Lease { worker: 0, boot: 1 };
	const NEXT: Lease = Lease { worker: 1, boot: 1 };

	/// Has the lease of a new agent, and another member counts.
	fn has_new_agent() -> AgentId {
		cluster_of(2);
		NextHolder::set(Some(Self::NEXT));
		agent()
	}
}

fn deadline() -> u64 {
	System::block_number() + u64::from(limits::BIRTH_BLOCKS)
}

#[test]
fn a_nanny_that_does_not_bear_an_agent_in_time_loses_it_to_another_member() {
	new_test_ext().execute_with(|| {
		let (agent, deadline) = (Nanny::has_new_agent(), deadline());
		go_to_block(deadline - 1);
		assert_eq!(Relieved::get(), vec![]);
		go_to_block(deadline);
		assert_eq!(Relieved::get(), vec![Nanny::LEASE]);
		assert_eq!(Agents::snapshot(agent).unwrap().lease, Some(Nanny::NEXT));
		System::assert_last_event(Event::BirthOverdue { agent }.into());
		// It has as much time.
		NextHolder::set(Some(Nanny::LEASE));
		go_to_block(2 * deadline - 2);
		assert_eq!(Relieved::get().len(), 1);
		go_to_block(2 * deadline - 1);
		assert_eq!(Relieved::get(), vec![Nanny::LEASE, Nanny::NEXT]);
	});
}

#[test]
fn an_agent_that_is_born_or_given_up_in_time_stays_where_it_is() {
	new_test_ext().execute_with(|| {
		let members = cluster_of(1);
		NextHolder::set(Some(Nanny::NEXT));
		let (born, given_up) = (agent(), agent());
		let deadline = deadline();
		assert_ok!(commit(&members[0], &birth(born)));
		assert_ok!(dispatch(ALICE, Call::retire { agent: given_up }));
		go_to_block(deadline);
		assert_eq!(Relieved::get(), vec![]);
		assert_eq!(Births::<Runtime>::iter().count(), 0);
		assert_eq!(BirthRange::<Runtime>::get(), (2, 2));
	});
}

#[test]
fn an_agent_that_nobody_can_bear_moves_so_often_and_no_more() {
	new_test_ext().execute_with(|| {
		Nanny::has_new_agent();
		let last = deadline() + u64::from(limits::BIRTH_HOLDERS_MAX * limits::BIRTH_BLOCKS);
		go_to_block(last);
		assert_eq!(Relieved::get().len() as u32, limits::BIRTH_HOLDERS_MAX - 1);
		assert_eq!(Births::<Runtime>::iter().count(), 0);
	});
}

/// Registers agents and gives them up at once: their births are overdue all the same.
struct Stillborn;

impl Stillborn {
	const AGENTS: u64 = 30;

	fn come_and_go(&self) {
		for _ in 0..Self::AGENTS {
			let agent = agent();
			dispatch(ALICE, Call::retire { agent }).unwrap();
		}
	}
}

#[test]
fn births_of_those_that_are_gone_cost_a_look_and_hold_up_nobody_s() {
	use crate::WeightInfo;
	type Weights = <Runtime as Config>::WeightInfo;
	new_test_ext().execute_with(|| {
		NextHolder::set(Some(Lease { worker: 1, boot: 1 }));
		Stillborn.come_and_go();
		agent();
		System::set_block_number(System::block_number() + u64::from(limits::BIRTH_BLOCKS));
		let looks = Weights::look_at_births(1).saturating_mul(Stillborn::AGENTS + 1);
		let one = Weights::look_at_births(1).saturating_add(Weights::pass_birth_on());
		let mut meter = WeightMeter::with_limit(looks.saturating_add(one));
		crate::Pallet::<Runtime>::pass_births_on(&mut meter);
		assert_eq!(Relieved::get().len(), 1);
	});
}

#[test]
fn a_crowd_of_overdue_births_and_a_full_mailbox_are_worked_off_in_later_blocks() {
	new_test_ext().execute_with(|| {
		Nanny::has_new_agent();
		let all = 10;
		for _ in 1..all {
			agent();
		}
		let deadline = deadline();
		PushesLeft::set(3);
		go_to_block(deadline);
		assert_eq!(Relieved::get().len(), 3);
		assert_eq!(Births::<Runtime>::iter().count() as u32, all);
		PushesLeft::set(u32::MAX);
		go_to_block(deadline + 1);
		assert_eq!(Relieved::get().len() as u32, all);
		PushesLeft::set(u32::MAX);
		go_to_block(deadline + 2);
		assert_eq!(Relieved::get().len() as u32, all);
		assert_eq!(Births::<Runtime>::iter().count() as u32, all, "each awaits its next holder");
	});
}
