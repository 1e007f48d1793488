use crate::{mock::*, pallet::Requests, *};
use frame_support::{
	assert_noop, assert_ok,
	dispatch::RawOrigin,
	traits::{LockableCurrency, UnfilteredDispatchable, WithdrawReasons},
};
use phala_protocol::agents::{Access, AgentRecord, EffectSet};
use phala_protocol::{caller::Caller, messages::Message, refusals::Refusal};
use sp_runtime::AccountId32;
use std::collections::BTreeMap;

/// Nothing was made, nothing was lost, the pot has the escrows of the open requests, each room has as many
/// places taken as are open, and each worker answers for as many as it was given and did not answer.
/// Called after every step of every test.
fn assert_conserved() {
	let all: Balance = frame_system::Account::<Runtime>::iter()
		.map(|(_, account)| account.data.free + account.data.reserved)
		.sum();
	assert_eq!(Balances::total_issuance(), all);
	let mut escrows = EXISTENTIAL_DEPOSIT;
	let mut assigned = BTreeMap::<WorkerId, u32>::new();
	let mut answers_for = BTreeMap::<WorkerId, u32>::new();
	let mut of_agents = BTreeMap::<AgentId, u32>::new();
	let mut of_callers = BTreeMap::<AccountId32, u32>::new();
	let mut due = BTreeMap::<BlockNumber, u32>::new();
	for (id, request) in Requests::<Runtime>::iter() {
		let is_open = request.state == RequestState::Open;
		assert_eq!(OpenRequests::<Runtime>::contains_key(request.agent, id), is_open);
		if is_open {
			assert!(Duties::<Runtime>::contains_key(id));
			*assigned.entry(request.worker).or_default() += 1;
			*of_agents.entry(request.agent).or_default() += 1;
			*of_callers.entry(request.caller.clone()).or_default() += 1;
		}
		if Duties::<Runtime>::contains_key(id) {
			*answers_for.entry(request.worker).or_default() += 1;
			*due.entry(request.deadline).or_default() += 1;
		}
		escrows += if request.state == RequestState::Open { request.held } else { 0 };
	}
	escrows += OwedToTreasury::<Runtime>::get();
	assert_eq!(balance(Pallet::<Runtime>::escrow()), escrows);
	assert_eq!(OpenOfWorker::<Runtime>::iter().collect::<BTreeMap<_, _>>(), assigned);
	assert_eq!(OpenOfAgent::<Runtime>::iter().collect::<BTreeMap<_, _>>(), of_agents);
	assert_eq!(OpenOfCaller::<Runtime>::iter().collect::<BTreeMap<_, _>>(), of_callers);
	assert_eq!(OpenRequests::<Runtime>::iter().count() as u32, assigned.values().sum::<u32>());
	assert_eq!(DutiesOfWorker::<Runtime>::iter().collect::<BTreeMap<_, _>>(), answers_for);
	let listed = Due::<Runtime>::iter().map(|(block, requests)| (block, requests.len() as u32));
	assert_eq!(listed.collect::<BTreeMap<_, _>>(), due);
}

/// What a caller asks; each test bends one part of it.
#[derive(Clone)]
struct Ask {
	caller: AccountId32,
	agent: AgentId,
	kind: RequestKind,
	input: RequestInput,
	max_fee: Balance,
	deadline: BlockNumber,
	min_block: BlockNumber,
}

fn now() -> BlockNumber {
	System::block_number() as BlockNumber
}

const NEEDED: BlockNumber = TIMEOUT + limits::FINALITY_MARGIN;

/// Alice asks for up to ten units, as late as can be.
fn ask() -> Ask {
	Ask {
		caller: ALICE,
		agent: AGENT,
		kind: RequestKind::Call,
		input: RequestInput::Public(vec![1, 2, 3]),
		max_fee: BASE_FEE + 10 * UNIT_PRICE,
		deadline: now() + NEEDED,
		min_block: 0,
	}
}

/// So many of the caller are open.
fn take(caller: &AccountId32, open: u32) {
	OpenOfCaller::<Runtime>::insert(caller, open);
}

fn submit(ask: &Ask) -> Result<RequestId, DispatchError> {
	let done = attempt(ask);
	assert_conserved();
	done
}

/// As an extrinsic: in a storage layer of its own.
fn attempt(ask: &Ask) -> Result<RequestId, DispatchError> {
	let id = request_id(GENESIS, NextRequest::<Runtime>::get());
	dispatch(ask).map(|_| id).map_err(|error| error.error)
}

fn dispatch(ask: &Ask) -> DispatchResultWithPostInfo {
	let Ask { caller, agent, kind, input, max_fee, deadline, min_block } = ask.clone();
	let call = Call::<Runtime>::submit { agent, kind, input, max_fee, deadline, min_block };
	call.dispatch_bypass_filter(RawOrigin::Signed(caller).into())
}

/// What it gives back of the weight that it declares: `None` for nothing.
fn takes(ask: &Ask) -> Option<Weight> {
	match dispatch(ask) {
		Ok(info) => info.actual_weight,
		Err(refused) => refused.post_info.actual_weight,
	}
}

#[test]
fn a_request_takes_its_work_or_the_room_that_others_lose_and_a_refused_one_its_work_alone() {
	new_test_ext().execute_with(|| {
		type Weights = crate::ConservativeWeights<Runtime>;
		let short = ask();
		let work = Weights::submit_to_holder(3);
		assert_eq!(takes(&short), Some(work), "whoever has the lease answers");
		let longest = limits::REQUEST_INPUT_BYTES_MAX;
		let long = Ask { input: RequestInput::Public(vec![7; longest as usize]), ..ask() };
		let room = NewsByte::get() * u64::from(longest + ORDER_BYTES);
		let work_of_long = Weights::submit_to_holder(longest);
		assert!(room.ref_time() > work_of_long.ref_time());
		assert_eq!(takes(&long), Some(work_of_long.max(room)), "its message takes others' room");

		for refused in [
			Ask { deadline: now(), ..long.clone() },
			Ask { agent: H256::repeat_byte(9), ..long.clone() },
			Ask { max_fee: 0, ..long.clone() },
		] {
			assert_eq!(takes(&refused), Some(work_of_long), "nobody lost anything by it");
		}
		MailboxIsFull::set(true);
		assert_eq!(takes(&long), Some(work_of_long));
		// Another has to be found to give it to: all of it was done, refused or not.
		let lease = Network::lease(AGENT).unwrap();
		Network::set_heir(AGENT, Lease { boot: lease.boot + 1, ..lease });
		assert_eq!(takes(&short), None);
		MailboxIsFull::set(false);
		assert_eq!(takes(&short), None);
		let declared = Pallet::<Runtime>::weight_of_submit(longest);
		assert!(work_of_long.max(room).all_lte(declared));
	});
}

#[test]
fn the_message_of_a_request_is_no_longer_than_what_its_room_is_counted_by() {
	let order = RequestOrder {
		request: H256::zero(),
		agent: AGENT,
		caller: Caller::Agent(H256::zero()),
		kind: RequestKind::Secrets,
		input: RequestInput::Sealed(vec![7; limits::REQUEST_INPUT_BYTES_MAX as usize]),
		units_max: u32::MAX,
		min_block: BlockNumber::MAX,
		deadline: BlockNumber::MAX,
		worker: WorkerId::MAX,
		boot: BootNumber::MAX,
	};
	let message = Message::from(RequestsMessage::Request(order)).encode();
	assert!(message.len() as u32 <= limits::REQUEST_INPUT_BYTES_MAX + ORDER_BYTES);
}

fn answered(request: RequestId, units: u32) -> RequestResult {
	RequestResult { request, outcome: RequestOutcome::Answered(vec![7; 5]), units }
}

/// As the mailbox calls it: in a storage layer of its own.
fn receive_from(
	origin: EnvelopeOrigin,
	agent: AgentId,
	results: Vec<RequestResult>,
) -> DispatchResult {
	let set = EffectSet {
		agent,
		base_version: Network::record(agent).map_or(0, |record| record.version),
		base_hash: H256::zero(),
		new_hash: H256::zero(),
		key: None,
		results,
		availability: vec![],
	};
	receive_set(origin, set)
}

fn receive_set(origin: EnvelopeOrigin, set: EffectSet) -> DispatchResult {
	let done = with_storage_layer(|| {
		<crate::Pallet<Runtime> as ReceivePayload>::receive(origin, AgentsPayload::EffectSet(set))
	});
	assert_conserved();
	done
}

fn receive(results: Vec<RequestResult>) -> DispatchResult {
	receive_from(HOLDER, AGENT, results)
}

fn pass_to(block: BlockNumber) {
	while now() < block {
		go_to_block(u64::from(now()) + 1);
		assert_conserved();
	}
}

fn balance(who: AccountId32) -> Balance {
	Balances::free_balance(who)
}

fn held(who: AccountId32) -> Balance {
	let all = Requests::<Runtime>::iter_values();
	all.filter(|request| request.state == RequestState::Open && request.caller == who)
		.map(|request| request.held)
		.sum()
}

fn state(request: RequestId) -> RequestState {
	Requests::<Runtime>::get(request).unwrap().state
}

fn set_agent(bend: impl FnOnce(&mut AgentRecord)) {
	let mut record = Network::record(AGENT).unwrap();
	bend(&mut record);
	Network::set_record(AGENT, record);
}

#[test]
fn a_request_is_escrowed_ordered_answered_split_and_refunded() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		assert_eq!(balance(TREASURY), ENDOWMENT + BASE_FEE);
		assert_eq!((balance(ALICE), held(ALICE)), (ENDOWMENT - BASE_FEE - 1000, 1000));
		let EnvelopeOrigin { worker, boot } = HOLDER;
		let deadline = 1 + NEEDED;
		let order = RequestOrder {
			request,
			agent: AGENT,
			caller: Caller::Account(ALICE.into()),
			kind: RequestKind::Call,
			input: RequestInput::Public(vec![1, 2, 3]),
			units_max: 10,
			min_block: 0,
			deadline,
			worker,
			boot,
		};
		assert_eq!(
			Told::get(),
			vec![(Channel::Cluster(CLUSTER), Message::Requests(RequestsMessage::Request(order)))]
		);
		System::assert_last_event(
			Event::RequestSubmitted {
				request,
				agent: AGENT,
				caller: ALICE,
				deadline,
				worker,
				boot,
				base_fee: BASE_FEE,
			}
			.into(),
		);

		assert_ok!(receive(vec![answered(request, 3)]));
		assert_eq!((balance(ALICE), held(ALICE)), (ENDOWMENT - BASE_FEE - 300, 0));
		assert_eq!(balance(OPERATOR), ENDOWMENT + 180);
		assert_eq!(balance(DEVELOPER), ENDOWMENT + 90);
		assert_eq!(balance(TREASURY), ENDOWMENT + BASE_FEE + 30);
		assert_eq!(state(request), RequestState::Settled { fee: 300, failed: false, block: 1 });
		assert_eq!(
			Responses::<Runtime>::get(request).unwrap().into_inner(),
			RequestOutcome::Answered(vec![7; 5]).encode()
		);
		System::assert_last_event(
			Event::RequestSettled {
				request,
				agent: AGENT,
				caller: ALICE,
				failed: false,
				units: 3,
				fee: 300,
				worker: Some(OPERATOR),
				worker_paid: 180,
				developer: DEVELOPER,
				developer_paid: 90,
				treasury_paid: 30,
				refunded: 700,
			}
			.into(),
		);
		// Nothing is left for the deadline to undo.
		assert!(!Due::<Runtime>::contains_key(deadline));
		pass_to(deadline + 2);
		assert_eq!(balance(ALICE), ENDOWMENT - BASE_FEE - 300);
		assert!(Missed::get().is_empty());
	});
}

#[test]
fn a_failed_run_pays_for_the_units_it_used() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		let outcome = RequestOutcome::Failed(Refusal::Memory.code());
		assert_ok!(receive(vec![RequestResult { request, outcome, units: 1 }]));
		assert_eq!(state(request), RequestState::Settled { fee: 100, failed: true, block: 1 });
		assert_eq!(balance(ALICE), ENDOWMENT - BASE_FEE - 100);
	});
}

#[test]
fn a_greedy_worker_is_paid_the_promised_units_at_the_promised_price_and_no_more() {
	new_test_ext().execute_with(|| {
		let remainder = 99;
		let ask = Ask { max_fee: BASE_FEE + 3 * UNIT_PRICE + remainder, ..ask() };
		let request = submit(&ask).unwrap();
		// The price went up meanwhile.
		set_agent(|record| record.unit_price = 10_000);
		assert_ok!(receive(vec![answered(request, u32::MAX)]));
		assert_eq!(balance(ALICE), ENDOWMENT - BASE_FEE - 300);
		assert_eq!(state(request), RequestState::Settled { fee: 300, failed: false, block: 1 });
	});
}

#[test]
fn a_free_agent_costs_the_base_fee_and_any_number_of_units() {
	new_test_ext().execute_with(|| {
		set_agent(|record| record.unit_price = 0);
		let request = submit(&Ask { max_fee: BASE_FEE, ..ask() }).unwrap();
		let generous = submit(&ask()).unwrap();
		assert_eq!(Requests::<Runtime>::get(request).unwrap().units_max, u32::MAX);
		assert_ok!(receive(vec![answered(request, u32::MAX), answered(generous, 5)]));
		assert_eq!(balance(ALICE), ENDOWMENT - 2 * BASE_FEE);
		assert_eq!(balance(OPERATOR), ENDOWMENT);
	});
}

#[test]
fn a_price_beyond_all_money_overflows_nothing() {
	new_test_ext().execute_with(|| {
		set_agent(|record| record.unit_price = Balance::MAX);
		assert_noop!(
			submit(&Ask { max_fee: Balance::MAX, ..ask() }),
			Error::<Runtime>::FeeTooSmall
		);
		set_agent(|record| record.unit_price = Balance::MAX - BASE_FEE);
		assert!(submit(&Ask { max_fee: Balance::MAX, ..ask() }).is_err());
		set_agent(|record| record.unit_price = 1);
		assert!(submit(&Ask { max_fee: Balance::MAX, ..ask() }).is_err());
		assert_eq!((balance(ALICE), held(ALICE)), (ENDOWMENT, 0));
	});
}

#[test]
fn a_pauper_cannot_ask_and_a_caller_cannot_ask_beyond_its_means() {
	new_test_ext().execute_with(|| {
		assert!(submit(&Ask { caller: AccountId32::new([77; 32]), ..ask() }).is_err());
		assert!(submit(&Ask { max_fee: ENDOWMENT, ..ask() }).is_err());
		assert_eq!((balance(ALICE), held(ALICE)), (ENDOWMENT, 0));
		assert_eq!(NextRequest::<Runtime>::get(), 0);
		assert_eq!(Requests::<Runtime>::iter().count(), 0);
		assert_ok!(submit(&Ask { max_fee: ENDOWMENT - EXISTENTIAL_DEPOSIT, ..ask() }));
	});
}

/// Votes with its PHA, or has not vested it, and asks its own agent on its own worker to get it out.
struct Unlocker;

impl Unlocker {
	const LOCKED: Balance = ENDOWMENT - 500;

	fn lock() {
		Balances::set_lock(*b"convictn", &ALICE, Self::LOCKED, WithdrawReasons::all());
	}
}

#[test]
fn an_unlocker_puts_nothing_up_that_is_locked_and_locks_nothing_that_is_put_up() {
	new_test_ext().execute_with(|| {
		Unlocker::lock();
		assert!(submit(&Ask { max_fee: BASE_FEE + 500, ..ask() }).is_err());
		assert_eq!(balance(ALICE), ENDOWMENT);
		assert_ok!(submit(&Ask { max_fee: 500 - BASE_FEE, ..ask() }));
		assert_conserved();
	});
	new_test_ext().execute_with(|| {
		// The other way round: what is put up is not there to be voted with.
		let request = submit(&Ask { max_fee: ENDOWMENT / 2, ..ask() }).unwrap();
		Unlocker::lock();
		assert!(balance(ALICE) < Unlocker::LOCKED);
		assert_ok!(receive(vec![answered(request, 1)]));
		assert_conserved();
		let all = balance(ALICE);
		let away = Balances::transfer_allow_death(RawOrigin::Signed(ALICE).into(), BOB, all);
		assert!(away.is_err(), "what came back is locked");
	});
}

#[test]
fn an_unwelcome_caller_is_refused_by_name() {
	new_test_ext().execute_with(|| {
		let unknown = H256::repeat_byte(0xee);
		assert_noop!(submit(&Ask { agent: unknown, ..ask() }), Error::<Runtime>::UnknownAgent);
		set_agent(|record| record.key = None);
		assert_noop!(submit(&ask()), Error::<Runtime>::AgentNotBorn);
		set_agent(|record| {
			record.key = born_agent().key;
			record.access = Access::Listed;
		});
		assert_noop!(submit(&ask()), Error::<Runtime>::CallerNotAllowed);
		assert_ok!(submit(&Ask { caller: DEVELOPER, ..ask() }));
		Network::allow(AGENT, ALICE);
		assert_ok!(submit(&ask()));
	});
}

#[test]
fn a_spy_cannot_give_secrets_and_an_owner_cannot_give_them_openly() {
	new_test_ext().execute_with(|| {
		let sealed = RequestInput::Sealed(vec![1]);
		let secrets = Ask { kind: RequestKind::Secrets, input: sealed, ..ask() };
		assert_noop!(submit(&secrets), Error::<Runtime>::NotOwner);
		let by_owner = Ask { caller: DEVELOPER, ..secrets };
		let open = Ask { input: RequestInput::Public(vec![1]), ..by_owner.clone() };
		assert_noop!(submit(&open), Error::<Runtime>::SecretsMustBeSealed);
		let request = submit(&by_owner).unwrap();
		let outcome = RequestOutcome::Answered(vec![]);
		assert_ok!(receive(vec![RequestResult { request, outcome, units: 1 }]));
		// The developer paid itself its own share.
		assert_eq!(balance(DEVELOPER), ENDOWMENT - BASE_FEE - 100 + 30);
	});
}

#[test]
fn limits_of_a_request_hold_at_the_edge_and_one_past_it() {
	new_test_ext().execute_with(|| {
		pass_to(100);
		let bytes = |n: u32| RequestInput::Sealed(vec![0; n as usize]);
		let max = limits::REQUEST_INPUT_BYTES_MAX;
		assert_noop!(
			submit(&Ask { input: bytes(max + 1), ..ask() }),
			Error::<Runtime>::InputTooLong
		);
		assert_ok!(submit(&Ask { input: bytes(max), ..ask() }));
		assert!(Told::get()[0].1.encode().len() <= limits::MESSAGE_BYTES_MAX as usize);

		let due = |deadline| submit(&Ask { deadline, ..ask() });
		assert_noop!(due(0), Error::<Runtime>::DeadlineInThePast);
		assert_noop!(due(100), Error::<Runtime>::DeadlineInThePast);
		assert_noop!(due(101), Error::<Runtime>::DeadlineTooNear);
		assert_noop!(due(100 + NEEDED - 1), Error::<Runtime>::DeadlineTooNear);
		assert_ok!(due(100 + NEEDED));
		assert_ok!(due(100 + limits::DEADLINE_BLOCKS_MAX));
		assert_noop!(due(100 + limits::DEADLINE_BLOCKS_MAX + 1), Error::<Runtime>::DeadlineTooFar);
		assert_noop!(due(u32::MAX), Error::<Runtime>::DeadlineTooFar);

		let from = |min_block| submit(&Ask { min_block, deadline: 150, ..ask() });
		assert_ok!(from(100));
		assert_noop!(from(101), Error::<Runtime>::MinBlockTooLate);
		assert_noop!(from(u32::MAX), Error::<Runtime>::MinBlockTooLate);

		let pays = |max_fee| submit(&Ask { max_fee, ..ask() });
		assert_noop!(pays(0), Error::<Runtime>::FeeTooSmall);
		assert_noop!(pays(BASE_FEE + UNIT_PRICE - 1), Error::<Runtime>::FeeTooSmall);
		let request = pays(BASE_FEE + UNIT_PRICE).unwrap();
		assert_eq!(Requests::<Runtime>::get(request).unwrap().units_max, 1);

		Network::set_lease(AGENT, None);
		assert_noop!(submit(&ask()), Error::<Runtime>::NoLeaseHolder);
		Network::set_lease(AGENT, Some(Lease { worker: HOLDER.worker, boot: HOLDER.boot }));
		MailboxIsFull::set(true);
		assert_noop!(submit(&ask()), Error::<Runtime>::MailboxFull);
	});
}

#[test]
fn of_several_faults_the_first_check_names_its_own() {
	new_test_ext().execute_with(|| {
		pass_to(50);
		Network::set_lease(AGENT, None);
		set_agent(|record| record.access = Access::Listed);
		let mut ask = Ask {
			input: RequestInput::Sealed(vec![0; limits::REQUEST_INPUT_BYTES_MAX as usize + 1]),
			max_fee: 0,
			deadline: 50,
			min_block: u32::MAX,
			..ask()
		};
		assert_noop!(submit(&ask), Error::<Runtime>::CallerNotAllowed);
		ask.caller = DEVELOPER;
		assert_noop!(submit(&ask), Error::<Runtime>::InputTooLong);
		ask.input = RequestInput::Sealed(vec![]);
		assert_noop!(submit(&ask), Error::<Runtime>::DeadlineInThePast);
		ask.deadline = 51;
		assert_noop!(submit(&ask), Error::<Runtime>::DeadlineTooNear);
		ask.deadline = 50_000;
		assert_noop!(submit(&ask), Error::<Runtime>::DeadlineTooFar);
		ask.deadline = 100;
		assert_noop!(submit(&ask), Error::<Runtime>::MinBlockTooLate);
		ask.min_block = 50;
		assert_noop!(submit(&ask), Error::<Runtime>::NoLeaseHolder);
		Network::set_lease(AGENT, Some(Lease { worker: HOLDER.worker, boot: HOLDER.boot }));
		take(&ask.caller, limits::OPEN_REQUESTS_PER_CALLER_MAX);
		OpenOfAgent::<Runtime>::insert(AGENT, limits::OPEN_REQUESTS_PER_AGENT_MAX);
		OpenOfWorker::<Runtime>::insert(HOLDER.worker, limits::OPEN_REQUESTS_PER_WORKER_MAX);
		let due = vec![H256::zero(); limits::REQUESTS_PER_DEADLINE_MAX as usize];
		Due::<Runtime>::insert(ask.deadline, BoundedVec::truncate_from(due));
		assert_noop!(attempt(&ask), Error::<Runtime>::TooManyOfCaller);
		take(&ask.caller, limits::OPEN_REQUESTS_PER_CALLER_MAX - 1);
		assert_noop!(attempt(&ask), Error::<Runtime>::TooManyOfAgent);
		OpenOfAgent::<Runtime>::insert(AGENT, limits::OPEN_REQUESTS_PER_AGENT_MAX - 1);
		assert_noop!(attempt(&ask), Error::<Runtime>::TooManyOfWorker);
		OpenOfWorker::<Runtime>::insert(HOLDER.worker, limits::OPEN_REQUESTS_PER_WORKER_MAX - 1);
		assert_noop!(attempt(&ask), Error::<Runtime>::TooManyDue);
		Due::<Runtime>::mutate(ask.deadline, |due| due.pop());
		assert_noop!(attempt(&ask), Error::<Runtime>::FeeTooSmall);
		// The last place of all four is 2^15 times as dear as the first.
		let dearest = BASE_FEE << (limits::BASE_FEE_DOUBLINGS_MAX - 1);
		ask.max_fee = dearest + UNIT_PRICE - 1;
		assert_noop!(attempt(&ask), Error::<Runtime>::FeeTooSmall);
		ask.max_fee += 1;
		Balances::set_balance(&ask.caller, 2 * ask.max_fee);
		assert_ok!(attempt(&ask));
	});
}

/// As many as it likes, each by an account of its own if need be.
struct Crowd {
	next: u32,
}

impl Crowd {
	fn caller(&mut self) -> AccountId32 {
		self.next += 1;
		let mut account = [0xcc; 32];
		account[..4].copy_from_slice(&self.next.to_le_bytes());
		let account = AccountId32::new(account);
		Balances::set_balance(&account, 100 * ENDOWMENT);
		account
	}
}

#[test]
fn a_crowd_fills_a_deadline_at_a_rising_price_and_settling_one_makes_room() {
	new_test_ext().execute_with(|| {
		let mut crowd = Crowd { next: 0 };
		let rich = 99 * ENDOWMENT;
		let paid = |number: u32| {
			let due = Room::of_deadline(number);
			base_fee(BASE_FEE, &[due])
		};
		let most = limits::REQUESTS_PER_DEADLINE_MAX;
		let mut requests = Vec::new();
		for number in 0..most {
			let caller = crowd.caller();
			let before = balance(TREASURY);
			let ask = Ask { caller, max_fee: rich, ..ask() };
			requests.push(submit(&ask).unwrap());
			assert_eq!(balance(TREASURY) - before, paid(number), "{number}");
		}
		assert_eq!((paid(0), paid(most / 2)), (BASE_FEE, BASE_FEE));
		assert_eq!(paid(most - 1), BASE_FEE << (limits::BASE_FEE_DOUBLINGS_MAX - 1));
		let late = Ask { caller: crowd.caller(), max_fee: rich, ..ask() };
		assert_noop!(submit(&late), Error::<Runtime>::TooManyDue);
		// Another deadline has room, and the agent, half full, the least price.
		assert_ok!(submit(&Ask { deadline: ask().deadline + 1, ..ask() }));
		assert_ok!(receive(vec![answered(requests[3], 1)]));
		assert_ok!(submit(&late));
		assert_noop!(submit(&ask()), Error::<Runtime>::TooManyDue);
	});
}

/// One account, a script, and all the deadlines that there are.
struct Hoarder;

impl Hoarder {
	fn ask(number: u32) -> Ask {
		Ask { deadline: ask().deadline + number, ..ask() }
	}
}

#[test]
fn a_hoarder_has_as_many_open_requests_as_one_caller_may_and_others_pay_no_more_for_it() {
	new_test_ext().execute_with(|| {
		let most = limits::OPEN_REQUESTS_PER_CALLER_MAX;
		let requests: Vec<_> = (0..most).map(|n| submit(&Hoarder::ask(n)).unwrap()).collect();
		assert_noop!(submit(&Hoarder::ask(most)), Error::<Runtime>::TooManyOfCaller);
		let treasury = balance(TREASURY);
		assert_ok!(submit(&Ask { caller: BOB, max_fee: BASE_FEE + UNIT_PRICE, ..ask() }));
		assert_eq!(balance(TREASURY), treasury + BASE_FEE);
		// An answer makes room for one more, and so does a deadline.
		assert_ok!(receive(vec![answered(requests[9], 1)]));
		assert_ok!(submit(&Hoarder::ask(most)));
		assert_noop!(submit(&Hoarder::ask(most)), Error::<Runtime>::TooManyOfCaller);
		pass_to(ask().deadline + 1);
		assert_ok!(submit(&ask()));
	});
}

#[test]
fn an_agent_is_full_at_its_limit_and_its_workers_other_agents_are_not() {
	new_test_ext().execute_with(|| {
		let mut crowd = Crowd { next: 0 };
		let flood = |crowd: &mut Crowd, agent, number: u32| {
			let deadline = ask().deadline + number;
			Ask { caller: crowd.caller(), agent, max_fee: 99 * ENDOWMENT, deadline, ..ask() }
		};
		for number in 0..limits::OPEN_REQUESTS_PER_AGENT_MAX {
			assert_ok!(attempt(&flood(&mut crowd, AGENT, number)));
		}
		let one_more = flood(&mut crowd, AGENT, 999);
		assert_noop!(submit(&one_more), Error::<Runtime>::TooManyOfAgent);
		// Half of its worker's room is left, at the least price.
		assert_ok!(submit(&Ask { agent: OTHER_AGENT, max_fee: BASE_FEE + UNIT_PRICE, ..ask() }));
		for number in 1..limits::OPEN_REQUESTS_PER_AGENT_MAX {
			assert_ok!(attempt(&flood(&mut crowd, OTHER_AGENT, number)));
		}
		assert_conserved();
		let third = H256::repeat_byte(0xa3);
		Network::set_record(third, born_agent());
		Network::set_lease(third, Some(Lease { worker: HOLDER.worker, boot: HOLDER.boot }));
		let to_third = flood(&mut crowd, third, 998);
		assert_noop!(submit(&to_third), Error::<Runtime>::TooManyOfWorker);
		// At another worker it has room.
		Network::set_lease(third, Some(Lease { worker: 9, boot: 1 }));
		assert_ok!(submit(&to_third));
	});
}

/// What the end of a block does that is otherwise empty.
fn idle() {
	crate::Pallet::<Runtime>::refund_moved(&mut WeightMeter::new());
	assert_conserved();
}

const NEXT_HOLDER: EnvelopeOrigin = EnvelopeOrigin { worker: 9, boot: 1 };

fn move_to_next() {
	let EnvelopeOrigin { worker, boot } = NEXT_HOLDER;
	Network::move_lease(AGENT, Some(Lease { worker, boot }));
}

#[test]
fn a_caller_has_its_money_back_in_the_block_in_which_the_lease_moves() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		let other = submit(&Ask { agent: OTHER_AGENT, ..ask() }).unwrap();
		pass_to(3);
		move_to_next();
		assert_eq!((state(request), held(ALICE)), (RequestState::Open, 2000));
		idle();
		assert_eq!((state(request), held(ALICE)), (RequestState::Expired, 1000));
		assert_eq!(state(other), RequestState::Open);
		let event = Event::RequestRefunded { request, agent: AGENT, refunded: 1000 };
		System::assert_last_event(event.into());
		// Nothing is queued any more, and the next holder's requests are its own.
		assert_eq!(MovedLeases::<Runtime>::iter().count(), 0);
		let next = submit(&ask()).unwrap();
		idle();
		assert_eq!(state(next), RequestState::Open);
		assert_ok!(receive_from(NEXT_HOLDER, AGENT, vec![answered(next, 1)]));
	});
}

#[test]
fn a_block_that_is_full_puts_the_refund_off_by_one_block() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		move_to_next();
		crate::Pallet::<Runtime>::refund_moved(&mut WeightMeter::with_limit(Weight::zero()));
		assert_eq!(state(request), RequestState::Open);
		pass_to(now() + 1);
		assert_eq!(state(request), RequestState::Expired);
	});
}

/// Had the lease, lost it, and brings the answer all the same.
struct SoreLoser;

impl SoreLoser {
	fn answer(request: RequestId) -> DispatchResult {
		receive_from(HOLDER, AGENT, vec![answered(request, 5)])
	}
}

#[test]
fn a_sore_loser_is_not_paid_for_what_was_refunded_and_neither_is_the_next_holder() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		move_to_next();
		idle();
		assert_noop!(SoreLoser::answer(request), Error::<Runtime>::DeadlinePassed);
		assert_noop!(
			receive_from(NEXT_HOLDER, AGENT, vec![answered(request, 1)]),
			Error::<Runtime>::DeadlinePassed
		);
		// Nor when the lease comes back to it.
		Network::move_lease(AGENT, Some(Lease { worker: HOLDER.worker, boot: HOLDER.boot }));
		idle();
		assert_noop!(SoreLoser::answer(request), Error::<Runtime>::DeadlinePassed);
		pass_to(ask().deadline + 1);
		assert_eq!((balance(ALICE), held(ALICE)), (ENDOWMENT - BASE_FEE, 0));
		assert_eq!(balance(OPERATOR), ENDOWMENT);
	});
}

#[test]
fn a_lease_that_moved_away_and_came_back_before_anybody_looked_is_another_one() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		move_to_next();
		Network::move_lease(AGENT, Some(Lease { worker: HOLDER.worker, boot: HOLDER.boot }));
		let anew = submit(&ask()).unwrap();
		idle();
		assert_eq!((state(request), state(anew)), (RequestState::Expired, RequestState::Open));
	});
}

/// Leaves, or boots anew, while it has requests to answer: the callers' money is back, so who would
/// still ask?
struct Deserter;

impl Deserter {
	fn desert(&self) {
		move_to_next();
		idle();
	}
}

#[test]
fn a_deserter_pays_at_the_deadline_though_the_caller_was_refunded_long_before() {
	new_test_ext().execute_with(|| {
		let (request, deadline) = (submit(&ask()).unwrap(), ask().deadline);
		Deserter.desert();
		assert_eq!(crate::Pallet::<Runtime>::open_of(HOLDER.worker), 1, "it answers for it still");
		assert_eq!(OpenOfWorker::<Runtime>::get(HOLDER.worker), 0, "and has room");
		pass_to(deadline);
		assert_eq!(Network::stake(HOLDER.worker), STAKE);
		pass_to(deadline + 1);
		assert_eq!(Network::stake(HOLDER.worker), STAKE - PENALTY);
		assert_eq!((balance(ALICE), held(ALICE)), (ENDOWMENT - BASE_FEE, 0));
		let penalty = PENALTY;
		System::assert_last_event(
			Event::RequestExpired { request, refunded: 0, penalty, excuse: None }.into(),
		);
		assert_eq!(crate::Pallet::<Runtime>::open_of(HOLDER.worker), 0);
	});
}

#[test]
fn who_lost_its_lease_for_no_fault_keeps_its_stake_though_the_caller_was_refunded() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		move_to_next();
		idle();
		Network::set_excuse(AGENT, Excuse::Removed);
		pass_to(ask().deadline + 1);
		assert_eq!(Network::stake(HOLDER.worker), STAKE);
		let excuse = Some(Excuse::Removed);
		let event = Event::RequestExpired { request, refunded: 0, penalty: 0, excuse };
		System::assert_last_event(event.into());
	});
}

#[test]
fn a_refunded_request_is_remembered_until_its_deadline_however_far_that_is() {
	new_test_ext().execute_with(|| {
		let deadline = now() + 3 * RETENTION;
		let request = submit(&Ask { deadline, ..ask() }).unwrap();
		move_to_next();
		idle();
		pass_to(deadline);
		assert!(Requests::<Runtime>::contains_key(request));
		pass_to(deadline + 1 + RETENTION);
		assert!(!Requests::<Runtime>::contains_key(request));
		assert_eq!(Network::stake(HOLDER.worker), STAKE - PENALTY);
	});
}

#[test]
fn a_lease_that_moves_with_more_requests_than_a_block_refunds_is_worked_off_in_several() {
	new_test_ext().execute_with(|| {
		use crate::WeightInfo;
		const A_BLOCK: u32 = 32;
		let mut crowd = Crowd { next: 0 };
		let all = 2 * A_BLOCK + 5;
		for number in 0..all {
			let ask = Ask { caller: crowd.caller(), deadline: now() + 100 + number, ..ask() };
			attempt(&Ask { max_fee: ENDOWMENT, ..ask }).unwrap();
		}
		let left = || OpenRequests::<Runtime>::iter_prefix(AGENT).count() as u32;
		move_to_next();
		// Those of the next holder are looked at with them, and stay.
		let own = submit(&Ask { deadline: now() + 300, ..ask() }).unwrap();
		for expected in [all - A_BLOCK, all - 2 * A_BLOCK, 0] {
			ForUpkeep::set(<Runtime as Config>::WeightInfo::refund_moved(A_BLOCK));
			pass_to(now() + 1);
			assert!(left() <= expected + 2, "{} of {expected} are left", left());
		}
		pass_to(now() + 1);
		assert_eq!((left(), state(own)), (1, RequestState::Open));
		assert_eq!(MovedLeases::<Runtime>::iter().count(), 0);
		let (first, next) = MovedRange::<Runtime>::get();
		assert_eq!(first, next);
	});
}

#[test]
fn requests_of_an_agent_that_was_given_up_are_refunded_at_once_and_nobody_is_blamed() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		Network::move_lease(AGENT, None);
		Network::set_excuse(AGENT, Excuse::LeaseTaken);
		idle();
		assert_eq!((state(request), held(ALICE)), (RequestState::Expired, 0));
		pass_to(ask().deadline + 1);
		assert_eq!(Network::stake(HOLDER.worker), STAKE);
	});
}

#[test]
fn a_thief_settles_a_request_of_another_boot_and_gets_nothing() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		Network::set_operator(9, Some(BOB));
		// Another worker, an earlier life, a later life of the same worker.
		for (worker, boot) in [(9, HOLDER.boot), (HOLDER.worker, 1), (HOLDER.worker, 3)] {
			assert_noop!(
				receive_from(EnvelopeOrigin { worker, boot }, AGENT, vec![answered(request, 1)]),
				Error::<Runtime>::NotAssigned
			);
		}
		// Even with the lease: the request was not given to it.
		Network::set_lease(AGENT, Some(Lease { worker: 9, boot: 1 }));
		assert_noop!(
			receive_from(EnvelopeOrigin { worker: 9, boot: 1 }, AGENT, vec![answered(request, 1)]),
			Error::<Runtime>::NotAssigned
		);
		assert_ok!(receive(vec![answered(request, 1)]));
		assert_eq!(balance(BOB), ENDOWMENT);
	});
}

#[test]
fn an_agent_that_answers_for_another_and_an_inventor_of_requests_are_refused() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		assert_noop!(
			receive_from(HOLDER, OTHER_AGENT, vec![answered(request, 1)]),
			Error::<Runtime>::WrongAgent
		);
		assert_noop!(
			receive(vec![answered(H256::repeat_byte(0xee), 1)]),
			Error::<Runtime>::UnknownRequest
		);
		// One bad result refuses the whole set, and the good one in it is not paid.
		assert_noop!(
			receive(vec![answered(request, 1), answered(H256::repeat_byte(0xee), 1)]),
			Error::<Runtime>::UnknownRequest
		);
		assert_eq!(state(request), RequestState::Open);
		assert_eq!(held(ALICE), 1000);
	});
}

#[test]
fn a_repeated_result_pays_once() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		let other = submit(&ask()).unwrap();
		// Twice in one set: nothing of it counts.
		assert_noop!(
			receive(vec![answered(request, 1), answered(request, 1)]),
			Error::<Runtime>::AlreadySettled
		);
		assert_ok!(receive(vec![answered(request, 1)]));
		assert_noop!(receive(vec![answered(request, 1)]), Error::<Runtime>::AlreadySettled);
		assert_noop!(
			receive(vec![answered(other, 1), answered(request, 1)]),
			Error::<Runtime>::AlreadySettled
		);
		assert_eq!(balance(OPERATOR), ENDOWMENT + 60);
		assert_eq!(held(ALICE), 1000);
		// After it was forgotten it is unknown.
		pass_to(1 + RETENTION);
		assert_noop!(receive(vec![answered(request, 1)]), Error::<Runtime>::UnknownRequest);
		assert_eq!(balance(OPERATOR), ENDOWMENT + 60);
	});
}

#[test]
fn a_late_answer_is_not_paid_and_one_at_the_deadline_is() {
	new_test_ext().execute_with(|| {
		let deadline = ask().deadline;
		let in_time = submit(&ask()).unwrap();
		let late = submit(&ask()).unwrap();
		pass_to(deadline);
		assert_ok!(receive(vec![answered(in_time, 1)]));
		// Were the hook late, the answer would still be.
		System::set_block_number(u64::from(deadline) + 1);
		assert_noop!(receive(vec![answered(late, 1)]), Error::<Runtime>::DeadlinePassed);
		System::set_block_number(u64::from(deadline));
		pass_to(deadline + 1);
		assert_eq!(state(late), RequestState::Expired);
		assert_noop!(receive(vec![answered(late, 1)]), Error::<Runtime>::DeadlinePassed);
		assert_eq!(balance(ALICE), ENDOWMENT - 2 * BASE_FEE - 100);
		assert_eq!(balance(OPERATOR), ENDOWMENT + 60);
	});
}

#[test]
fn a_silent_worker_is_punished_and_its_caller_refunded_once() {
	new_test_ext().execute_with(|| {
		let deadline = ask().deadline;
		let request = submit(&ask()).unwrap();
		pass_to(deadline);
		assert_eq!(held(ALICE), 1000);
		pass_to(deadline + 1);
		assert_eq!((balance(ALICE), held(ALICE)), (ENDOWMENT - BASE_FEE, 0));
		assert_eq!(Network::stake(HOLDER.worker), STAKE - PENALTY);
		let lease = Lease { worker: HOLDER.worker, boot: HOLDER.boot };
		assert_eq!(Missed::get(), vec![(AGENT, lease)]);
		System::assert_last_event(
			Event::RequestExpired { request, refunded: 1000, penalty: PENALTY, excuse: None }
				.into(),
		);
		// Expiry happens once, even if asked for again.
		crate::Pallet::<Runtime>::expire(request, deadline + 1);
		assert_conserved();
		pass_to(deadline + 5);
		assert_eq!(Network::stake(HOLDER.worker), STAKE - PENALTY);
		assert_eq!(Missed::get().len(), 1);
		assert_eq!(balance(ALICE), ENDOWMENT - BASE_FEE);
	});
}

/// Nobody answers a request: what its caller and the worker have then, and what was said.
fn miss(request: RequestId) -> (Balance, Option<Excuse>) {
	pass_to(ask().deadline + 1);
	assert_eq!(state(request), RequestState::Expired);
	assert_eq!(Duties::<Runtime>::iter().count(), 0);
	cost(request)
}

fn cost(request: RequestId) -> (Balance, Option<Excuse>) {
	System::events()
		.into_iter()
		.rev()
		.find_map(|record| match record.event {
			RuntimeEvent::Requests(Event::RequestExpired {
				request: of, penalty, excuse, ..
			}) if of == request => Some((penalty, excuse)),
			_ => None,
		})
		.expect("it expired")
}

#[test]
fn a_withholder_pays_at_most_a_multiple_of_what_the_work_would_have_brought() {
	new_test_ext().execute_with(|| {
		set_agent(|agent| agent.unit_price = 5);
		let request = submit(&Ask { max_fee: BASE_FEE + 5, ..ask() }).unwrap();
		// 60 % of one unit.
		let most = Balance::from(PENALTY_MULTIPLE) * 3;
		assert!(most < PENALTY);
		assert_eq!(miss(request), (most, None));
		assert_eq!(Network::stake(HOLDER.worker), STAKE - most);
		assert_conserved();
	});
}

#[test]
fn a_requester_that_makes_a_worker_miss_many_at_once_costs_it_one_penalty() {
	new_test_ext().execute_with(|| {
		let requests: Vec<_> = (0..4).map(|_| submit(&ask()).unwrap()).collect();
		assert_eq!(miss(requests[0]), (PENALTY, None));
		for other in &requests[1..] {
			assert_eq!(miss(*other), (0, Some(Excuse::AlreadyPenalised)));
		}
		assert_eq!(Network::stake(HOLDER.worker), STAKE - PENALTY);
		assert_eq!(Missed::get().len(), 1);
		assert_eq!(balance(ALICE), ENDOWMENT - 4 * BASE_FEE);
		assert_conserved();
	});
}

/// Withholds a dear answer, and has a request of its own for one unit expire first: so it pays for that.
struct SmallChange;

impl SmallChange {
	const UNIT: Balance = 5;

	/// What missing it costs: ten times 60 % of a unit.
	fn cost() -> Balance {
		Balance::from(PENALTY_MULTIPLE) * 3
	}

	fn asks_for_a_unit() -> RequestId {
		submit(&Ask { max_fee: BASE_FEE + Self::UNIT, caller: BOB, ..ask() }).unwrap()
	}
}

#[test]
fn small_change_that_expires_first_buys_nobody_off_what_the_dear_request_costs() {
	new_test_ext().execute_with(|| {
		set_agent(|agent| agent.unit_price = SmallChange::UNIT);
		let small = SmallChange::asks_for_a_unit();
		let dear = submit(&Ask { max_fee: BASE_FEE + 1000, ..ask() }).unwrap();
		let again = submit(&Ask { max_fee: BASE_FEE + 1000, ..ask() }).unwrap();
		assert_eq!(miss(small), (SmallChange::cost(), None));
		assert_eq!(cost(dear), (PENALTY - SmallChange::cost(), None));
		assert_eq!(cost(again), (0, Some(Excuse::AlreadyPenalised)));
		assert_eq!(Network::stake(HOLDER.worker), STAKE - PENALTY);
		assert_conserved();
	});
}

#[test]
fn one_restart_costs_what_the_dearest_of_all_requests_that_it_left_does_and_the_next_as_much() {
	new_test_ext().execute_with(|| {
		set_agent(|agent| agent.unit_price = SmallChange::UNIT);
		let small = SmallChange::asks_for_a_unit();
		let of_one = submit(&ask()).unwrap();
		let of_other = submit(&Ask { agent: OTHER_AGENT, ..ask() }).unwrap();
		Network::boot_anew(HOLDER.boot + 1);
		let of_next = submit(&ask()).unwrap();
		let later = submit(&Ask { deadline: ask().deadline + 9, ..ask() }).unwrap();
		Network::boot_anew(HOLDER.boot + 2);
		let deadline = ask().deadline;
		pass_to(deadline + 1);
		assert_eq!(cost(small), (SmallChange::cost(), None));
		assert_eq!(cost(of_one), (PENALTY - SmallChange::cost(), None));
		assert_eq!(cost(of_other), (0, Some(Excuse::AlreadyPenalised)));
		assert_eq!(cost(of_next), (PENALTY, None), "another boot, another act");
		assert_eq!(Network::stake(HOLDER.worker), STAKE - 2 * PENALTY);
		assert_eq!(OwnActs::<Runtime>::get(HOLDER.worker).len(), 2);
		pass_to(deadline + 10);
		assert_eq!(cost(later), (0, Some(Excuse::AlreadyPenalised)));
		assert_eq!(state(later), RequestState::Expired);
		assert_eq!(Network::stake(HOLDER.worker), STAKE - 2 * PENALTY);
		assert_eq!(OwnActs::<Runtime>::iter().count(), 0, "it answers for nothing more");
		assert_conserved();
	});
}

#[test]
fn who_the_cluster_excuses_keeps_its_stake_and_the_caller_is_refunded() {
	for excuse in [Excuse::Removed, Excuse::LeaseTaken, Excuse::GenerationChanged] {
		new_test_ext().execute_with(|| {
			let request = submit(&ask()).unwrap();
			Network::set_excuse(AGENT, excuse);
			assert_eq!(miss(request), (0, Some(excuse)));
			assert_eq!(balance(ALICE), ENDOWMENT - BASE_FEE);
			assert_eq!(Network::stake(HOLDER.worker), STAKE);
			// Whom the chain silenced makes room for who may speak, and who lacks keys for who has them.
			let is_taken = excuse == Excuse::LeaseTaken;
			let relieved = if is_taken { vec![] } else { vec![(AGENT, holder())] };
			assert_eq!((Missed::get(), Relieved::get()), (vec![], relieved), "{excuse:?}");
			assert_conserved();
		});
	}
}

fn holder() -> Lease {
	Lease { worker: HOLDER.worker, boot: HOLDER.boot }
}

/// Fills blocks, so that answers come too late.
struct Stuffer;

impl Stuffer {
	fn stuff(&self, blocks: core::ops::RangeInclusive<BlockNumber>) {
		FullIn::set(blocks.collect());
	}
}

#[test]
fn a_stuffer_of_blocks_takes_the_lease_from_a_worker_and_no_stake() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		Stuffer.stuff(ask().deadline + 1 - limits::LANE_FULL_BLOCKS..=ask().deadline);
		assert_eq!(miss(request), (0, Some(Excuse::LaneFull)));
		assert_eq!(Network::stake(HOLDER.worker), STAKE);
		assert_eq!((Missed::get(), Relieved::get()), (vec![], vec![(AGENT, holder())]));
	});
}

#[test]
fn blocks_that_were_full_before_one_that_had_room_are_no_excuse() {
	for room_in in 0..limits::LANE_FULL_BLOCKS {
		new_test_ext().execute_with(|| {
			let request = submit(&ask()).unwrap();
			Stuffer.stuff(1..=ask().deadline);
			FullIn::mutate(|full| full.retain(|block| *block != ask().deadline - room_in));
			assert_eq!(miss(request), (PENALTY, None));
		});
	}
}

#[test]
fn while_finality_stalls_nobody_pays_and_no_lease_moves() {
	new_test_ext().execute_with(|| {
		let near = ask().deadline - limits::DEADLINE_NEAR_BLOCKS;
		let request = submit(&ask()).unwrap();
		FinalSeen::set(near - 1);
		assert_eq!(miss(request), (0, Some(Excuse::FinalityStalled)));
		assert_eq!(Network::stake(HOLDER.worker), STAKE);
		assert_eq!((Missed::get(), Relieved::get()), (vec![], vec![]));
		assert_eq!(balance(ALICE), ENDOWMENT - BASE_FEE);
	});
}

#[test]
fn members_are_asked_once_for_all_requests_whose_deadline_is_near() {
	new_test_ext().execute_with(|| {
		let near = ask().deadline - limits::DEADLINE_NEAR_BLOCKS;
		let answered_before = submit(&ask()).unwrap();
		receive(vec![answered(answered_before, 1)]).unwrap();
		pass_to(near);
		let asked = || {
			Told::get()
				.into_iter()
				.filter(|(_, message)| {
					matches!(message, Message::Requests(RequestsMessage::DeadlineNear { .. }))
				})
				.collect::<Vec<_>>()
		};
		assert_eq!(asked(), vec![], "nothing is open");
		let deadline = near + 20;
		for _ in 0..3 {
			submit(&Ask { deadline, ..ask() }).unwrap();
		}
		pass_to(deadline);
		let block = deadline - limits::DEADLINE_NEAR_BLOCKS;
		let message = RequestsMessage::DeadlineNear { block }.into();
		assert_eq!(asked(), vec![(Channel::Cluster(CLUSTER), message)]);
	});
}

/// Asks an agent of its own that never ends, to have the worker punished.
struct SlowRequester;

impl SlowRequester {
	fn ask(&self) -> RequestId {
		submit(&ask()).unwrap()
	}
}

#[test]
fn a_requester_whose_own_agent_is_slow_or_whose_input_is_rubbish_gets_an_answer_and_hurts_nobody() {
	new_test_ext().execute_with(|| {
		let (slow, rubbish) = (SlowRequester.ask(), SlowRequester.ask());
		pass_to(ask().deadline - 2);
		// What enclaves say then: see `give_up` and `start_order` of the machine.
		let failed = |request, code, units| RequestResult {
			request,
			outcome: RequestOutcome::Failed(code),
			units,
		};
		assert_ok!(receive(vec![
			failed(slow, Refusal::TooLate.code(), 0),
			failed(rubbish, Refusal::Malformed.code(), 1),
		]));
		pass_to(ask().deadline + 1);
		assert_eq!(Network::stake(HOLDER.worker), STAKE);
		assert!(Missed::get().is_empty());
		assert_eq!(balance(ALICE), ENDOWMENT - 2 * BASE_FEE - 100);
		assert_conserved();
	});
}

#[test]
fn expiry_after_settlement_changes_nothing() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		assert_ok!(receive(vec![answered(request, 2)]));
		let settled = state(request);
		// A list that still named it would do no harm.
		crate::Pallet::<Runtime>::expire(request, 99);
		assert_conserved();
		assert_eq!(state(request), settled);
		assert!(Missed::get().is_empty());
		assert_eq!(Network::stake(HOLDER.worker), STAKE);
	});
}

#[test]
fn a_cluster_that_cannot_move_the_lease_does_not_undo_the_refund() {
	new_test_ext().execute_with(|| {
		ClusterRefuses::set(true);
		Network::set_stake(HOLDER.worker, 1);
		let request = submit(&ask()).unwrap();
		pass_to(ask().deadline + 1);
		assert_eq!(balance(ALICE), ENDOWMENT - BASE_FEE);
		assert_eq!(state(request), RequestState::Expired);
		System::assert_last_event(
			Event::RequestExpired { request, refunded: 1000, penalty: 1, excuse: None }.into(),
		);
		// What the cluster wrote before it failed is undone.
		let written = ("written by the cluster", AGENT).encode();
		assert!(!frame_support::storage::unhashed::exists(&written));
		// It is tried again in each block.
		pass_to(now() + 3);
		assert_eq!((Missed::get().len(), LeasesToMove::<Runtime>::iter().count()), (0, 1));
		ClusterRefuses::set(false);
		pass_to(now() + 1);
		assert_eq!((Missed::get().len(), LeasesToMove::<Runtime>::iter().count()), (1, 0));
	});
}

#[test]
fn a_lease_that_cannot_move_does_not_hold_up_the_others() {
	new_test_ext().execute_with(|| {
		let ours = submit(&ask()).unwrap();
		let other = submit(&Ask { agent: OTHER_AGENT, ..ask() }).unwrap();
		ClusterRefuses::set(true);
		pass_to(ask().deadline);
		pass_to(now() + 2);
		assert_eq!((state(ours), state(other)), (RequestState::Expired, RequestState::Expired));
		let first = || LeasesToMove::<Runtime>::get(LeasesToMoveRange::<Runtime>::get().0);
		let was_first = first().unwrap().0;
		pass_to(now() + 1);
		assert_ne!(first().unwrap().0, was_first);
		// One that has moved meanwhile is left alone.
		move_to_next();
		ClusterRefuses::set(false);
		pass_to(now() + 1);
		let lease = Lease { worker: HOLDER.worker, boot: HOLDER.boot };
		assert!(!Missed::get().contains(&(AGENT, lease)));
		assert_eq!(LeasesToMove::<Runtime>::iter().count(), 0);
	});
}

#[test]
fn blocks_without_weight_put_expiry_off_and_lose_nothing() {
	use crate::WeightInfo;
	type Weights = <Runtime as Config>::WeightInfo;
	new_test_ext().execute_with(|| {
		let requests: Vec<_> = (0..5)
			.map(|n| submit(&Ask { deadline: ask().deadline + n / 3, ..ask() }).unwrap())
			.collect();
		ForUpkeep::set(Weight::zero());
		pass_to(ask().deadline + 7);
		let open = || requests.iter().filter(|id| state(**id) == RequestState::Open).count();
		assert_eq!(open(), 5);
		// Two a block, the oldest deadline first.
		ForUpkeep::set(Weights::expire(2));
		for expected in [3, 1, 0] {
			pass_to(now() + 1);
			assert!(open() >= expected, "{}", open());
		}
		ForUpkeep::set(Weight::MAX);
		pass_to(now() + 1);
		assert_eq!((open(), held(ALICE)), (0, 0));
		assert_eq!(balance(ALICE), ENDOWMENT - 5 * BASE_FEE);
		assert_eq!(Network::stake(HOLDER.worker), STAKE - PENALTY);
		assert_eq!((Due::<Runtime>::iter().count(), Duties::<Runtime>::iter().count()), (0, 0));
	});
}

#[test]
fn a_set_that_the_agent_refuses_pays_nobody() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		let set = EffectSet {
			agent: AGENT,
			base_version: 0,
			base_hash: H256::zero(),
			new_hash: H256::zero(),
			key: None,
			results: vec![answered(request, 1)],
			availability: vec![],
		};
		assert_noop!(receive_set(HOLDER, set), STALE_BASE);
		assert_eq!(state(request), RequestState::Open);
	});
}

#[test]
fn a_long_winded_answer_is_refused_one_past_the_limit() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		let answer = |n: u32| RequestResult {
			request,
			outcome: RequestOutcome::Answered(vec![7; n as usize]),
			units: 1,
		};
		assert_noop!(
			receive(vec![answer(limits::RESPONSE_BYTES_MAX + 1)]),
			Error::<Runtime>::ResponseTooLong
		);
		assert_ok!(receive(vec![answer(limits::RESPONSE_BYTES_MAX)]));
	});
}

#[test]
fn a_worker_that_vanished_leaves_its_share_to_the_treasury() {
	new_test_ext().execute_with(|| {
		let request = submit(&ask()).unwrap();
		Network::set_operator(HOLDER.worker, None);
		assert_ok!(receive(vec![answered(request, 1)]));
		assert_eq!(balance(DEVELOPER), ENDOWMENT + 30);
		assert_eq!(balance(TREASURY), ENDOWMENT + BASE_FEE + 70);
		assert_eq!(balance(OPERATOR), ENDOWMENT);
	});
}

#[test]
fn shares_too_small_for_empty_accounts_go_to_the_treasury() {
	let balances = vec![(ALICE, ENDOWMENT), (TREASURY, ENDOWMENT)];
	new_test_ext_with(balances).execute_with(|| {
		// 60% of 15 is 9, 30% is 4: both below the existential deposit of 10.
		set_agent(|record| record.unit_price = 15);
		let request = submit(&ask()).unwrap();
		assert_ok!(receive(vec![answered(request, 1)]));
		assert_eq!((balance(OPERATOR), balance(DEVELOPER)), (0, 0));
		assert_eq!(balance(TREASURY), ENDOWMENT + BASE_FEE + 15);
		assert_eq!(balance(ALICE), ENDOWMENT - BASE_FEE - 15);
		// Two units are enough for the worker, not for the developer.
		let request = submit(&ask()).unwrap();
		assert_ok!(receive(vec![answered(request, 2)]));
		assert_eq!((balance(OPERATOR), balance(DEVELOPER)), (18, 0));
		assert_eq!(balance(TREASURY), ENDOWMENT + 2 * BASE_FEE + 15 + 12);
	});
}

#[test]
fn with_nobody_able_to_take_it_a_fee_goes_back_to_the_caller() {
	// The base fee makes the treasury's account; a looter then empties it.
	new_test_ext_with(vec![(ALICE, ENDOWMENT), (BOB, ENDOWMENT)]).execute_with(|| {
		set_agent(|record| record.unit_price = 5);
		let request = submit(&ask()).unwrap();
		let emptied = Balances::transfer_all(RawOrigin::Signed(TREASURY).into(), BOB, false);
		assert_ok!(emptied);
		assert_conserved();
		assert_eq!(balance(TREASURY), 0);
		assert_ok!(receive(vec![answered(request, 1)]));
		assert_eq!(state(request), RequestState::Settled { fee: 5, failed: false, block: 1 });
		assert_eq!((balance(ALICE), held(ALICE)), (ENDOWMENT - BASE_FEE, 0));
	});
}

#[test]
fn what_neither_the_caller_nor_the_treasury_can_take_is_owed_until_it_can() {
	let balances = vec![(ALICE, ENDOWMENT), (DEVELOPER, ENDOWMENT), (OPERATOR, ENDOWMENT)];
	new_test_ext_with(balances).execute_with(|| {
		set_agent(|agent| agent.unit_price = 9);
		// Less than the existential deposit of 10 is put up for each.
		let deadline = ask().deadline;
		for deadline in [deadline, deadline + 1] {
			submit(&Ask { max_fee: BASE_FEE + 9, deadline, ..ask() }).unwrap();
		}
		for who in [ALICE, TREASURY] {
			let origin = RawOrigin::Signed(who.clone()).into();
			assert_ok!(Balances::transfer_allow_death(origin, DEVELOPER, balance(who)));
		}
		pass_to(deadline + 1);
		assert_eq!((OwedToTreasury::<Runtime>::get(), balance(TREASURY)), (9, 0));
		pass_to(deadline + 2);
		assert_eq!((OwedToTreasury::<Runtime>::get(), balance(TREASURY)), (0, 18));
		assert_eq!(balance(Pallet::<Runtime>::escrow()), EXISTENTIAL_DEPOSIT);
	});
}

#[test]
fn a_refund_that_the_callers_emptied_account_cannot_take_goes_to_the_treasury() {
	new_test_ext().execute_with(|| {
		let all = Ask { max_fee: BASE_FEE + 1009, ..ask() };
		let request = submit(&all).unwrap();
		let away =
			Balances::transfer_allow_death(RawOrigin::Signed(ALICE).into(), BOB, balance(ALICE));
		assert_ok!(away);
		assert_conserved();
		assert_eq!((balance(ALICE), held(ALICE)), (0, 1009));
		assert_ok!(receive(vec![answered(request, 10)]));
		// 9 are left: less than the existential deposit of 10.
		assert_eq!((balance(ALICE), held(ALICE)), (0, 0));
		assert_eq!(balance(TREASURY), ENDOWMENT + BASE_FEE + 100 + 9);
		assert_eq!(balance(OPERATOR), ENDOWMENT + 600);
	});
}

#[test]
fn a_caller_that_is_worker_and_developer_pays_only_the_treasury() {
	new_test_ext().execute_with(|| {
		Network::set_operator(HOLDER.worker, Some(ALICE));
		set_agent(|record| record.owner = ALICE.into());
		let request = submit(&ask()).unwrap();
		assert_ok!(receive(vec![answered(request, 10)]));
		assert_eq!((balance(ALICE), held(ALICE)), (ENDOWMENT - BASE_FEE - 100, 0));
		assert_eq!(balance(TREASURY), ENDOWMENT + BASE_FEE + 100);
	});
}

#[test]
fn the_escrows_of_one_caller_add_up_and_part_again() {
	new_test_ext().execute_with(|| {
		let deadline = ask().deadline;
		let fees = [1u128, 5, 7].map(|units| BASE_FEE + units * UNIT_PRICE);
		let requests = fees.map(|max_fee| submit(&Ask { max_fee, ..ask() }).unwrap());
		assert_eq!(held(ALICE), 1300);
		assert_ok!(receive(vec![answered(requests[1], 2)]));
		assert_eq!(held(ALICE), 800);
		pass_to(deadline + 1);
		assert_eq!((balance(ALICE), held(ALICE)), (ENDOWMENT - 3 * BASE_FEE - 200, 0));
	});
}

#[test]
fn closed_requests_are_forgotten_with_their_responses_after_the_retention() {
	new_test_ext().execute_with(|| {
		let deadline = ask().deadline;
		let answered_one = submit(&ask()).unwrap();
		let expired = submit(&ask()).unwrap();
		pass_to(3);
		assert_ok!(receive(vec![answered(answered_one, 1)]));
		pass_to(3 + RETENTION - 1);
		assert!(Responses::<Runtime>::contains_key(answered_one));
		pass_to(3 + RETENTION);
		assert!(!Responses::<Runtime>::contains_key(answered_one));
		assert!(!Requests::<Runtime>::contains_key(answered_one));
		assert!(Requests::<Runtime>::contains_key(expired));
		pass_to(deadline + 1 + RETENTION);
		assert_eq!(Requests::<Runtime>::iter().count(), 0);
		assert_eq!(Closed::<Runtime>::iter().count(), 0);
		assert_eq!(Due::<Runtime>::iter().count(), 0);
		assert_eq!(ClosedRange::<Runtime>::get(), (2, 2));
	});
}

#[test]
fn a_flood_of_closed_requests_is_forgotten_over_several_blocks() {
	new_test_ext().execute_with(|| {
		set_agent(|record| record.unit_price = 0);
		use crate::WeightInfo;
		const A_BLOCK: u32 = 128;
		let flood = A_BLOCK + 3;
		for _ in 0..flood {
			let request = submit(&Ask { max_fee: BASE_FEE, ..ask() }).unwrap();
			assert_ok!(receive(vec![answered(request, 1)]));
		}
		pass_to(RETENTION);
		ForUpkeep::set(<Runtime as Config>::WeightInfo::prune(A_BLOCK));
		assert_eq!(Responses::<Runtime>::iter().count() as u32, flood);
		pass_to(1 + RETENTION);
		assert_eq!(Responses::<Runtime>::iter().count(), 3);
		pass_to(2 + RETENTION);
		assert_eq!(Responses::<Runtime>::iter().count(), 0);
	});
}

/// xorshift64*: the same sequence for a seed, everywhere.
struct Random(u64);

impl Random {
	fn below(&mut self, n: u64) -> u64 {
		self.0 ^= self.0 >> 12;
		self.0 ^= self.0 << 25;
		self.0 ^= self.0 >> 27;
		self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
	}
}

#[test]
fn whatever_happens_in_whatever_order_no_money_is_made_or_lost() {
	for seed in 1..=6u64 {
		println!("seed {seed}");
		let balances = vec![(ALICE, 60_000), (BOB, 3_000), (DEVELOPER, 10), (TREASURY, 10)];
		new_test_ext_with(balances).execute_with(|| {
			let issuance = Balances::total_issuance();
			let mut random = Random(seed);
			let mut requests = Vec::new();
			let (mut settled, mut refused) = (0, 0);
			for _ in 0..400 {
				if random.below(40) == 0 {
					let agent = if random.below(2) == 0 { AGENT } else { OTHER_AGENT };
					let EnvelopeOrigin { worker, boot } = HOLDER;
					Network::move_lease(agent, Some(Lease { worker, boot }));
					if random.below(2) == 0 {
						idle();
					}
				}
				match random.below(10) {
					0..=3 => {
						let ask = Ask {
							caller: if random.below(3) == 0 { BOB } else { ALICE },
							agent: if random.below(2) == 0 { AGENT } else { OTHER_AGENT },
							max_fee: u128::from(random.below(2_000)),
							deadline: now() + random.below(40) as u32,
							..ask()
						};
						requests.extend(submit(&ask));
					}
					4..=6 => {
						let results: Vec<_> = (0..random.below(3))
							.filter_map(|_| {
								// Of the newest, since most others are closed.
								let back = random.below(12) as usize + 1;
								let request = *requests.get(requests.len().saturating_sub(back))?;
								Some(answered(request, random.below(30) as u32))
							})
							.collect();
						let worker = HOLDER.worker + u32::from(random.below(8) == 0);
						let origin = EnvelopeOrigin { worker, ..HOLDER };
						let agent = if random.below(2) == 0 { AGENT } else { OTHER_AGENT };
						let answers = results.len();
						match receive_from(origin, agent, results) {
							Ok(()) => settled += answers,
							Err(_) => refused += 1,
						}
					}
					7 => set_agent(|record| record.unit_price = random.below(300).into()),
					8 => {
						let somebody = [None, Some(OPERATOR), Some(ALICE), Some(BOB)];
						let operator = somebody[random.below(4) as usize].clone();
						Network::set_operator(HOLDER.worker, operator);
					}
					_ => pass_to(now() + random.below(6) as u32),
				}
				assert_conserved();
			}
			// In the end everybody has the money back that was not paid.
			pass_to(now() + 60);
			for who in [ALICE, BOB] {
				assert_eq!(held(who), 0);
			}
			assert_eq!(Balances::total_issuance(), issuance);
			let is_expiry = |event: &RuntimeEvent| {
				matches!(event, RuntimeEvent::Requests(Event::RequestExpired { .. }))
			};
			let events = System::events().into_iter();
			let expired = events.filter(|record| is_expiry(&record.event)).count();
			// However many are missed: a lease costs what its largest miss does, and each agent has one.
			let leases = 2 * u128::from(LeaseNumber::get());
			let penalties: u128 = System::events()
				.into_iter()
				.filter_map(|record| match record.event {
					RuntimeEvent::Requests(Event::RequestExpired { penalty, .. }) => Some(penalty),
					_ => None,
				})
				.sum();
			assert!(penalties <= leases * PENALTY, "{penalties} for {leases} leases");
			assert_eq!(Duties::<Runtime>::iter().count(), 0);
			println!("{} made, {settled} settled, {expired} expired", requests.len());
			assert_eq!(requests.len(), settled + expired);
			assert!(settled > 5 && expired > 5 && refused > 5);
		});
	}
}
