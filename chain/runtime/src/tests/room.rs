//! Room for requests, in the real runtime at its prices: what a flood costs, and who gets in all the same.
//! Attackers get their accounts and transactions for nothing here: on the chain they pay for those too.

use super::genesis;
use crate::{
	currency::{MILLIS, PHA},
	*,
};
use frame_support::{
	assert_ok,
	storage::with_storage_layer,
	traits::{fungible::Mutate, Get, Hooks},
	weights::Weight,
};
use phala_protocol::{
	agents::{Access, AgentCode, AgentId, AgentKey, AgentRecord, EffectSet, Lease, UpgradePolicy},
	boot::{Boot, BootKeys, WorkerId},
	clusters::MemberRecord,
	evidence::{EvidenceKind, MeasurementRule},
	limits,
	messages::{AgentsPayload, EnvelopeOrigin},
	refusals::Refusal,
	requests::{
		base_fee, request_id, RequestId, RequestInput, RequestKind, RequestOutcome, RequestResult,
		RequestState, Room,
	},
	traits::{ReceivePayload, WorkerHooks},
	H256,
};
use sp_keyring::Sr25519Keyring;
use std::collections::VecDeque;

const CODE: H256 = H256::repeat_byte(7);
const CLUSTER: u32 = 0;
const WORKER: WorkerId = 0;
const UNIT_PRICE: Balance = MILLIS;
const TIMEOUT: BlockNumber = 30;

fn least() -> Balance {
	<Runtime as pallet_requests::Config>::BaseFee::get()
}

fn agent(number: u8) -> AgentId {
	H256::repeat_byte(number)
}

/// One worker is the only member of a cluster, and has the leases of three agents.
fn network(story: impl FnOnce()) {
	genesis("development").execute_with(|| {
		System::set_block_number(1);
		pallet_registry::Measurements::<Runtime>::insert(CODE, MeasurementRule { until: None });
		let operator = Sr25519Keyring::Bob.to_account_id();
		let worker = pallet_registry::NextWorker::<Runtime>::get();
		assert_eq!(worker, WORKER);
		assert_ok!(Registry::register_worker(RuntimeOrigin::signed(operator.clone())));
		let boot = Boot {
			number: 1,
			keys: BootKeys { identity: [1; 32], encryption: [2; 32] },
			evidence: EvidenceKind::Software,
			measurement: CODE,
			registered_at: 1,
			expires_at: BlockNumber::MAX,
		};
		pallet_registry::Boots::<Runtime>::insert(WORKER, boot);
		assert_ok!(Clusters::create(RuntimeOrigin::signed(operator.clone())));
		let member = MemberRecord { endpoint: Default::default(), set_aside: None };
		pallet_clusters::Members::<Runtime>::insert(CLUSTER, WORKER, member);
		pallet_clusters::MemberOf::<Runtime>::insert(WORKER, CLUSTER);
		for number in [1, 2, 3] {
			let record = AgentRecord {
				owner: operator.clone().into(),
				cluster: CLUSTER,
				code: AgentCode { component: CODE, manifest: CODE },
				code_version: 1,
				upgrades: UpgradePolicy::Free,
				access: Access::Public,
				unit_price: UNIT_PRICE,
				timeout: TIMEOUT,
				key: Some(AgentKey { version: 1, key: [9; 32] }),
				version: 1,
				state_hash: H256::zero(),
			};
			pallet_agents::Agents::<Runtime>::insert(agent(number), record);
			pallet_clusters::AgentCluster::<Runtime>::insert(agent(number), CLUSTER);
			let lease = Lease { worker: WORKER, boot: 1 };
			pallet_clusters::Leases::<Runtime>::insert(agent(number), lease);
		}
		story();
	});
}

/// The soonest, but for a few blocks: what `phala call` names.
fn deadline() -> BlockNumber {
	System::block_number() + TIMEOUT + limits::FINALITY_MARGIN + 15
}

/// What is not refunded of a request to `agent` now.
fn price(agent: AgentId, deadline: BlockNumber) -> Balance {
	let due = pallet_requests::Due::<Runtime>::get(deadline).len() as u32;
	base_fee(
		least(),
		&[
			Room::of_agent(pallet_requests::OpenOfAgent::<Runtime>::get(agent)),
			Room::of_worker(pallet_requests::OpenOfWorker::<Runtime>::get(WORKER)),
			Room::of_deadline(due),
		],
	)
}

fn submit(
	caller: &AccountId,
	agent: AgentId,
	max_fee: Balance,
	deadline: BlockNumber,
) -> Result<RequestId, sp_runtime::DispatchError> {
	let number = pallet_requests::NextRequest::<Runtime>::get();
	let id = request_id(System::block_hash(0), number);
	with_storage_layer(|| {
		Requests::submit(
			RuntimeOrigin::signed(caller.clone()),
			agent,
			RequestKind::Call,
			RequestInput::Public(vec![1]),
			max_fee,
			deadline,
			0,
		)
	})
	.map(|_| id)
	.map_err(|refused| refused.error)
}

/// Has a purse and a script: it asks whatever it can pay for, by as many accounts as it takes, for
/// deadlines at its choice.
struct Flooder {
	purse: Balance,
	accounts: u32,
	made: VecDeque<(AgentId, RequestId)>,
}

impl Flooder {
	fn with(purse: Balance) -> Self {
		Self { purse, accounts: 0, made: VecDeque::new() }
	}

	/// Floods until nothing is left that it could pay, or nothing more is taken. Of each request it
	/// pays the base fee, and a unit that it gets nothing back of.
	fn flood(&mut self, agents: &[AgentId], deadlines: impl Iterator<Item = BlockNumber> + Clone) {
		loop {
			let places = agents.iter().flat_map(|agent| {
				deadlines.clone().map(|deadline| (price(*agent, deadline), *agent, deadline))
			});
			let Some((price, agent, deadline)) = places.min() else { return };
			let cost = price + UNIT_PRICE;
			if self.purse < cost {
				return;
			}
			if self.ask(agent, cost, deadline).is_none() {
				return;
			}
		}
	}

	/// Asks, as an account that it has not been before; `None` if that is refused.
	fn ask(&mut self, agent: AgentId, cost: Balance, deadline: BlockNumber) -> Option<RequestId> {
		self.accounts += 1;
		let account = super::elections::numbered(0xf1, self.accounts);
		let _ = Balances::mint_into(&account, cost + PHA);
		let request = submit(&account, agent, cost, deadline).ok()?;
		self.purse -= cost;
		self.made.push_back((agent, request));
		Some(request)
	}

	/// The worker answers a full commit of what the flooder asked of `agent`.
	fn is_answered(&mut self, agent: AgentId) {
		self.are_answered(agent, limits::RESULTS_PER_EFFECT_SET_MAX as usize);
	}

	/// So many of them, the oldest first.
	fn are_answered(&mut self, agent: AgentId, most: usize) {
		let mut results = Vec::new();
		self.made.retain(|(of, request)| {
			let is_taken = *of == agent && results.len() < most;
			if is_taken {
				let outcome = RequestOutcome::Answered(vec![1]);
				results.push(RequestResult { request: *request, outcome, units: 1 });
			}
			!is_taken
		});
		commit(agent, results);
	}
}

/// The worker's answers.
fn commit(agent: AgentId, results: Vec<RequestResult>) {
	let record = pallet_agents::Agents::<Runtime>::get(agent).expect("it is there");
	let set = EffectSet {
		agent,
		base_version: record.version,
		base_hash: record.state_hash,
		new_hash: H256::repeat_byte(3),
		key: None,
		results,
		availability: Vec::new(),
	};
	let origin = EnvelopeOrigin { worker: WORKER, boot: 1 };
	assert_ok!(<Requests as ReceivePayload>::receive(origin, AgentsPayload::EffectSet(set)));
}

fn honest() -> AccountId {
	Sr25519Keyring::Alice.to_account_id()
}

/// The honest caller's way in: what it pays at once, and for how many blocks it waits otherwise until
/// the least is taken again.
fn way_in(flooder: &mut Flooder, agents: &[AgentId], asked: AgentId) -> (Balance, u32) {
	let at_once = price(asked, deadline());
	let request = submit(&honest(), asked, at_once + UNIT_PRICE, deadline());
	assert_ok!(request);
	let mut blocks = 0;
	while price(asked, deadline()) > least() {
		for agent in agents {
			flooder.is_answered(*agent);
		}
		System::set_block_number(System::block_number() + 1);
		blocks += 1;
	}
	assert_ok!(submit(&honest(), asked, least() + UNIT_PRICE, deadline()));
	(at_once, blocks)
}

/// Far enough from the deadlines of honest callers, and many.
fn other_deadlines() -> impl Iterator<Item = BlockNumber> + Clone {
	let first = deadline() + 200;
	(first..).step_by(7).take(40)
}

#[test]
fn a_flooder_of_an_agent_pays_and_others_get_in() {
	for (purse, requests, paid, blocks) in [(25, 100, 5_120, 9), (1_000, 122, 163_840, 14)] {
		network(|| {
			let mut flooder = Flooder::with(purse * PHA);
			flooder.flood(&[agent(1)], other_deadlines());
			let (at_once, waits) = way_in(&mut flooder, &[agent(1)], agent(1));
			assert_eq!((flooder.accounts, at_once, waits), (requests, paid * MILLIS, blocks));
		});
	}
}

/// What somebody pays who asks once a minute, for a day.
fn spending_of_an_honest_user() -> Balance {
	24 * 60 * (least() + UNIT_PRICE)
}

#[test]
fn whatever_a_flooder_of_an_agent_has_others_pay_less_than_a_quarter_of_it_or_wait_for_seconds() {
	let columns = [(1, 97, 2_560, 8), (10, 111, 20_480, 12), (100, 124, 327_680, 15)];
	for (times, requests, paid, blocks) in columns {
		network(|| {
			let purse = times * spending_of_an_honest_user();
			let mut flooder = Flooder::with(purse);
			flooder.flood(&[agent(1)], other_deadlines());
			let (at_once, waits) = way_in(&mut flooder, &[agent(1)], agent(1));
			assert_eq!((flooder.accounts, at_once, waits), (requests, paid * MILLIS, blocks));
			assert!(at_once * 4 <= purse);
		});
	}
}

/// Floods an agent that takes its whole timeout for each request, and names the latest deadlines.
struct Sandbagger;

#[test]
fn a_sandbagger_keeps_a_slow_agent_busy_no_longer_than_its_room_or_the_latest_deadline() {
	network(|| {
		let (slow, begun) = (agent(1), System::block_number());
		let latest = begun + limits::DEADLINE_BLOCKS_MAX;
		let floods = |_: Sandbagger| {
			let mut flooder = Flooder::with(25 * PHA);
			flooder.flood(&[slow], latest - 40..=latest);
			flooder
		};
		let mut flooder = floods(Sandbagger);
		let (places, at_once) = (flooder.accounts, price(slow, deadline()));
		let mut at_the_least = None;
		// The worker has time for one in each timeout.
		while !flooder.made.is_empty() {
			System::set_block_number(System::block_number() + TIMEOUT);
			pallet_registry::LastHeartbeat::<Runtime>::insert(WORKER, System::block_number());
			flooder.are_answered(slow, 1);
			if price(slow, deadline()) == least() {
				at_the_least.get_or_insert(System::block_number() - begun);
			}
		}
		let (waited, least_again) = (System::block_number() - begun, at_the_least.unwrap());
		println!("{places} places: {at_once} at once or {least_again} blocks, {waited} until all are done");
		// Who asks then is served behind all of them. Decision 016 has these figures.
		assert_eq!((places, at_once), (100, 5_120 * MILLIS));
		assert_eq!((least_again, waited), (990, 3_000));
		// Another agent of the same worker is as cheap as ever meanwhile.
		assert_eq!(price(agent(2), deadline()), least());
	});
}

/// Keeps as many requests of a slow agent open as leave the price at its least, and asks again when one is done.
struct Trickler {
	purse: Flooder,
}

impl Trickler {
	/// From half of the agent's room on it is dearer.
	const OPEN: usize = limits::OPEN_REQUESTS_PER_AGENT_MAX as usize / 2;

	/// What it asks anew, for deadlines that have time for all, so many that none is dear.
	fn tops_up(&mut self, agent: AgentId, open: usize) -> Vec<(RequestId, BlockNumber)> {
		let after_all = System::block_number() + 2 * Self::OPEN as BlockNumber * TIMEOUT;
		(open..Self::OPEN)
			.map(|number| {
				let last = after_all + number as BlockNumber % 8;
				let request = self.purse.ask(agent, least() + UNIT_PRICE, last);
				(request.expect("it costs the least"), last)
			})
			.collect()
	}
}

/// Runs the paid requests of an agent one after the other, each for as long as it may, and gives up what is not done
/// when its deadline is near: as enclaves do.
#[derive(Default)]
struct SlowWorker {
	waiting: VecDeque<(RequestId, BlockNumber)>,
	begun: BlockNumber,
}

impl SlowWorker {
	/// Half a minute: what `phala deploy` lets a run take, of a timeout of twice as long.
	const RUN: BlockNumber = 15;

	fn takes(&mut self, orders: impl IntoIterator<Item = (RequestId, BlockNumber)>) {
		self.waiting.extend(orders);
	}

	/// One block; which requests ended.
	fn works(&mut self, agent: AgentId) -> Vec<RequestId> {
		System::set_block_number(System::block_number() + 1);
		let now = System::block_number();
		pallet_registry::LastHeartbeat::<Runtime>::insert(WORKER, now);
		let mut results = Vec::new();
		if now == self.begun + Self::RUN {
			let (request, _) = self.waiting.pop_front().expect("it ran one");
			let outcome = RequestOutcome::Answered(vec![1]);
			results.push(RequestResult { request, outcome, units: 1 });
			self.begun = now;
		}
		// The one that runs too: the next begins then.
		let is_late = |deadline: BlockNumber| deadline <= now + limits::DEADLINE_NEAR_BLOCKS;
		if self.waiting.front().is_some_and(|(_, deadline)| is_late(*deadline)) {
			self.begun = now;
		}
		let late = self.waiting.iter().filter(|(_, deadline)| is_late(*deadline));
		let given_up = late.map(|(request, _)| *request).collect::<Vec<_>>();
		self.waiting.retain(|(request, _)| !given_up.contains(request));
		let outcome = RequestOutcome::Failed(Refusal::TooLate.code());
		results.extend(given_up.into_iter().map(|request| RequestResult {
			request,
			outcome: outcome.clone(),
			units: 0,
		}));
		let ended = results.iter().map(|result| result.request).collect();
		if !results.is_empty() {
			commit(agent, results);
		}
		ended
	}
}

#[test]
fn behind_a_trickler_others_wait_for_half_a_room_of_runs_at_the_least_price() {
	network(|| {
		let (slow, begun) = (agent(1), System::block_number());
		let mut worker = SlowWorker { begun, ..Default::default() };
		let mut villain = Trickler { purse: Flooder::with(25 * PHA) };
		worker.takes(villain.tops_up(slow, 0));

		// Two honest callers, for the least: one names the usual deadline of an agent that nobody else asks, one what
		// `phala` names, with time for those who are there.
		assert_eq!((begun, TIMEOUT), (1, 30));
		let hurried = submit(&honest(), slow, least() + UNIT_PRICE, 56).unwrap();
		let patient = submit(&honest(), slow, least() + UNIT_PRICE, 1_976).unwrap();
		worker.takes([(hurried, 56), (patient, 1_976)]);
		let of = |request| pallet_requests::Requests::<Runtime>::get(request).unwrap().state;
		while of(patient) == RequestState::Open {
			let ended = worker.works(slow);
			let tricklers = |(of, request): &(AgentId, RequestId)| {
				assert_eq!(*of, slow);
				!ended.contains(request)
			};
			villain.purse.made.retain(tricklers);
			worker.takes(villain.tops_up(slow, villain.purse.made.len()));
			assert_eq!(price(slow, 5_000), least(), "whoever comes pays no more");
		}
		// The first is told so, and has paid no unit. The other waited for 32 minutes, and was run.
		assert_eq!(of(hurried), RequestState::Settled { fee: 0, failed: true, block: 50 });
		let answered = RequestState::Settled { fee: UNIT_PRICE, failed: false, block: 976 };
		assert_eq!(of(patient), answered);
		// Two a minute, after the first 64.
		assert_eq!(villain.purse.accounts, 128);
		assert_eq!(villain.purse.purse, 25 * PHA - 128 * (least() + UNIT_PRICE));
	});
}

#[test]
fn who_floods_one_agent_makes_no_other_agent_of_its_worker_dearer() {
	network(|| {
		let mut flooder = Flooder::with(1_000 * PHA);
		flooder.flood(&[agent(1)], other_deadlines());
		assert!(flooder.accounts > limits::OPEN_REQUESTS_PER_AGENT_MAX * 3 / 4);
		assert_ok!(submit(&honest(), agent(2), least() + UNIT_PRICE, deadline()));
	});
}

#[test]
fn a_flooder_of_a_worker_s_agents_keeps_nobody_out_of_another_agent_there() {
	for (purse, requests, paid, blocks) in [(25, 193, 2_560, 8), (1_000, 236, 81_920, 13)] {
		network(|| {
			let (flooded, mut flooder) = ([agent(1), agent(2)], Flooder::with(purse * PHA));
			flooder.flood(&flooded, other_deadlines());
			let (at_once, waits) = way_in(&mut flooder, &flooded, agent(3));
			assert_eq!((flooder.accounts, at_once, waits), (requests, paid * MILLIS, blocks));
		});
	}
}

#[test]
fn a_flooder_of_a_deadline_does_not_close_it_for_others() {
	for (purse, requests, at_once) in [(25, 52, 10_240), (1_000, 63, 327_680)] {
		network(|| {
			let mut flooder = Flooder::with(purse * PHA);
			let due = deadline();
			flooder.flood(&[agent(1), agent(2)], core::iter::once(due));
			let paid = price(agent(3), due);
			assert_eq!((flooder.accounts, paid), (requests, at_once * MILLIS));
			assert_ok!(submit(&honest(), agent(3), paid + UNIT_PRICE, due));
			// The next one is at the least price.
			assert_ok!(submit(&honest(), agent(3), least() + UNIT_PRICE, due + 1));
		});
	}
}

#[test]
fn a_worker_that_boots_anew_frees_its_callers_money_at_once() {
	network(|| {
		pallet_clusters::HeldLeases::<Runtime>::insert(WORKER, agent(1), ());
		let (due, empty) = (deadline(), Balances::free_balance(Requests::escrow()));
		let request = submit(&honest(), agent(1), least() + 9 * UNIT_PRICE, due).unwrap();
		let held = || Balances::free_balance(Requests::escrow());
		assert_eq!(held(), empty + 9 * UNIT_PRICE);
		let mut boot = pallet_registry::Boots::<Runtime>::get(WORKER).unwrap();
		boot.number = 2;
		pallet_registry::Boots::<Runtime>::insert(WORKER, &boot);
		assert_ok!(<Clusters as WorkerHooks>::on_boot(WORKER, &boot).map_err(|_| "no room"));
		Upkeep::on_idle(System::block_number(), Weight::MAX);
		assert_eq!(held(), empty);
		// It answers for it all the same, at the deadline.
		assert!(pallet_requests::Duties::<Runtime>::contains_key(request));
	});
}
