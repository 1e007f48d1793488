//! Who answers for missed deadlines, in the real runtime: those who would rather not, and those who have
//! others pay.

use super::stakes::{
	allow, bob, boots_anew, chain, charlie, member, signed, stake, worker_of, CODE, NEXT_CODE,
};
use crate::{currency::PHA, *};
use codec::Encode;
use frame_support::{
	assert_noop, assert_ok,
	dispatch::GetDispatchInfo,
	traits::{Get, Hooks},
	weights::{Weight, WeightMeter},
};
use phala_protocol::{
	agents::{agent_id, Access, AgentCode, AgentId, AgentKey, EffectSet, Excuse, UpgradePolicy},
	bonding::BondId,
	boot::WorkerId,
	limits,
	mailbox::{ClusterId, Envelope},
	messages::{AgentsPayload, ClustersPayload, EnvelopeOrigin, Payload},
	requests::{request_id, RequestId, RequestInput, RequestKind, RequestOutcome, RequestResult},
	traits::{
		Bonding as _, BootDirectory, ClusterDirectory, EnvelopeLanes, MailboxInterface,
		ReceivePayload,
	},
	H256,
};
use sp_keyring::Sr25519Keyring;
use sp_runtime::traits::Dispatchable;

const CLUSTER: ClusterId = 0;
const TIMEOUT: BlockNumber = 5;
const UNIT_PRICE: Balance = PHA / 100;
/// What a request costs whose miss costs the most that any does.
const DEAR: Balance = 2 * PHA;

fn now() -> BlockNumber {
	System::block_number()
}

pub(super) fn join(worker: WorkerId) {
	member(CLUSTER, worker);
	pallet_clusters::Clusters::<Runtime>::mutate(CLUSTER, |record| {
		record.as_mut().expect("it was created").members += 1;
	});
}

/// Charlie's cluster with one worker of Bob's, and so many agents whose leases that one has.
pub(super) fn cluster_with(agents: u64) -> (WorkerId, Vec<AgentId>) {
	assert_ok!(Clusters::create(signed(&charlie())));
	let worker = worker_of(&bob());
	join(worker);
	let agents = (0..agents).map(|_| born()).collect();
	(worker, agents)
}

pub(super) fn born() -> AgentId {
	let agent = agent_id(System::block_hash(0), pallet_agents::NextAgent::<Runtime>::get());
	let code = AgentCode { component: CODE, manifest: CODE };
	let (access, upgrades) = (Access::Public, UpgradePolicy::Free);
	let owner = signed(&charlie());
	assert_ok!(Agents::register(owner, CLUSTER, code, UNIT_PRICE, TIMEOUT, access, upgrades));
	pallet_agents::Agents::<Runtime>::mutate(agent, |record| {
		let record = record.as_mut().expect("it is registered");
		(record.key, record.version) = (Some(AgentKey { version: 1, key: [9; 32] }), 1);
	});
	agent
}

pub(super) fn soonest() -> BlockNumber {
	now() + TIMEOUT + limits::FINALITY_MARGIN
}

fn call_of(agent: AgentId, max_fee: Balance, deadline: BlockNumber) -> RuntimeCall {
	let (kind, input) = (RequestKind::Call, RequestInput::Public(vec![1]));
	pallet_requests::Call::submit { agent, kind, input, max_fee, deadline, min_block: 0 }.into()
}

/// Asks, as Dave.
fn ask(agent: AgentId, max_fee: Balance, deadline: BlockNumber) -> RequestId {
	let next = pallet_requests::NextRequest::<Runtime>::get();
	let dave = Sr25519Keyring::Dave.to_account_id();
	let (kind, input) = (RequestKind::Call, RequestInput::Public(vec![1]));
	assert_ok!(Requests::submit(signed(&dave), agent, kind, input, max_fee, deadline, 0));
	request_id(System::block_hash(0), next)
}

/// Blocks with nothing in them but what the runtime does by itself, and what these workers say of finality.
fn pass_to(block: BlockNumber, witnesses: &[WorkerId]) {
	while now() < block {
		Mailbox::on_finalize(now());
		System::set_block_number(now() + 1);
		Upkeep::on_initialize(now());
		let mut meter = WeightMeter::with_limit(config::system::MAXIMUM_BLOCK_WEIGHT);
		Upkeep::on_poll(now(), &mut meter);
		for worker in witnesses {
			let boot = Registry::current_boot(*worker).expect("it has one").number;
			let says = ClustersPayload::BlockFinal { block: now() };
			assert_ok!(Clusters::receive(EnvelopeOrigin { worker: *worker, boot }, says));
		}
		Upkeep::on_idle(now(), Weight::MAX);
	}
}

/// What a miss cost, and why not more.
fn missed(request: RequestId) -> (Balance, Option<Excuse>) {
	System::events()
		.into_iter()
		.find_map(|record| match record.event {
			RuntimeEvent::Requests(pallet_requests::Event::RequestExpired {
				request: of,
				penalty,
				excuse,
				..
			}) if of == request => Some((penalty, excuse)),
			_ => None,
		})
		.expect("its deadline has passed")
}

fn at_stake(worker: WorkerId) -> Balance {
	Bonding::at_stake(BondId::Worker(worker))
}

fn most() -> Balance {
	<Runtime as pallet_requests::Config>::MissedDeadlinePenalty::get()
}

/// Withholds an answer in a cluster of two, and leaves before the other's word is counted.
struct LastOut {
	worker: WorkerId,
}

#[test]
fn who_withholds_and_leaves_a_cluster_of_two_pays_for_it() {
	chain(|| {
		let (worker, agents) = cluster_with(1);
		let (villain, honest) = (LastOut { worker }, worker_of(&bob()));
		join(honest);
		let deadline = soonest();
		let request = ask(agents[0], DEAR, deadline);
		assert_eq!(Clusters::lease(agents[0]).map(|lease| lease.worker), Some(villain.worker));
		pass_to(deadline - 1, &[honest]);
		assert_ok!(Clusters::leave(signed(&bob()), CLUSTER, villain.worker));
		pass_to(deadline + 1, &[honest]);
		assert_eq!(missed(request), (most(), None));
		assert_eq!(at_stake(villain.worker), stake() - most());
		assert_eq!(at_stake(honest), stake());
	});
}

/// Sees that an operator stops its worker for an upgrade, and asks all of its agents before the new boot is
/// there: with 25 PHA in all, in four accounts.
struct Vulture;

impl Vulture {
	const AGENTS: u64 = 100;
	const PURSE: Balance = 25 * PHA;
	/// What is paid for each question. A miss of it costs the most that any does.
	const EACH: Balance = PHA / 5;

	fn accounts() -> [AccountId; 4] {
		[1, 2, 3, 4].map(|n| {
			let account = AccountId::new([0xe0 + n; 32]);
			let ferdie = Sr25519Keyring::Ferdie.to_account_id();
			let part = Self::PURSE / 4;
			assert_ok!(Balances::transfer_keep_alive(
				signed(&ferdie),
				account.clone().into(),
				part
			));
			account
		})
	}

	fn asks_all(agents: &[AgentId]) -> Vec<RequestId> {
		let first = pallet_requests::NextRequest::<Runtime>::get();
		let accounts = Self::accounts();
		let purse: Balance = accounts.iter().map(Balances::free_balance).sum();
		assert_eq!(purse, Self::PURSE);
		let each = agents.len() / accounts.len();
		for (n, (account, part)) in accounts.iter().zip(agents.chunks(each)).enumerate() {
			let call = |agent: &AgentId| call_of(*agent, Self::EACH, soonest() + n as BlockNumber);
			let calls = part.iter().map(call).collect();
			assert_ok!(Utility::batch_all(signed(account), calls));
		}
		let next = pallet_requests::NextRequest::<Runtime>::get();
		(first..next).map(|n| request_id(System::block_hash(0), n)).collect()
	}
}

#[test]
fn a_vulture_that_asks_a_hundred_agents_of_a_worker_that_restarts_costs_it_one_penalty() {
	chain(|| {
		let (worker, agents) = cluster_with(Vulture::AGENTS);
		let other = worker_of(&bob());
		join(other);
		pass_to(now() + 1, &[]);
		let requests = Vulture::asks_all(&agents);
		assert_eq!(requests.len() as u64, Vulture::AGENTS);
		let deadlines = soonest() + Vulture::accounts().len() as BlockNumber;
		pass_to(now() + 1, &[]);
		boots_anew(worker, &bob(), CODE);
		pass_to(deadlines + 1, &[other]);
		let costs: Vec<_> = requests.into_iter().map(missed).collect();
		assert_eq!(costs[0], (most(), None));
		for cost in &costs[1..] {
			assert_eq!(*cost, (0, Some(Excuse::AlreadyPenalised)));
		}
		assert_eq!(at_stake(worker), stake() - most());
	});
}

/// Withholds a dear answer, and misses a unit that it asked for itself before.
struct SmallChange;

#[test]
fn who_misses_a_unit_of_its_own_first_pays_for_the_dear_request_all_the_same() {
	chain(|| {
		let (villain, agents) = cluster_with(1);
		let honest = worker_of(&bob());
		join(honest);
		let deadline = soonest();
		let asks_a_unit = |_: SmallChange| {
			let base_fee: Balance = <Runtime as pallet_requests::Config>::BaseFee::get();
			ask(agents[0], base_fee + UNIT_PRICE, deadline)
		};
		let small = asks_a_unit(SmallChange);
		let dear = ask(agents[0], DEAR, deadline + 1);
		pass_to(deadline + 3, &[honest]);
		let (paid, excuse) = missed(small);
		assert!(excuse.is_none() && paid < most() / 10, "{paid}");
		assert_eq!(missed(dear), (most() - paid, None));
		assert_eq!(at_stake(villain), stake() - most());
	});
}

#[test]
fn who_asks_an_agent_whose_holder_was_delisted_asks_the_other_member_or_pays_nothing() {
	chain(|| {
		let (silenced, agents) = cluster_with(2);
		let other = worker_of(&bob());
		join(other);
		let early = ask(agents[0], DEAR, soonest());
		let late = soonest();
		allow(NEXT_CODE);
		pass_to(now() + 1, &[]);
		boots_anew(other, &bob(), NEXT_CODE);
		assert_ok!(Registry::delist_measurement(RuntimeOrigin::root(), CODE, now(), NEXT_CODE));
		assert_eq!(Clusters::lease(agents[0]).map(|lease| lease.worker), Some(silenced));
		ask(agents[0], DEAR, soonest());
		assert_eq!(Clusters::lease(agents[0]).map(|lease| lease.worker), Some(other));
		pass_to(late + 1, &[other]);
		assert_eq!(missed(early), (0, Some(Excuse::Removed)));
		// With nobody else in force nobody is asked, and no base fee is taken.
		let before = pallet_registry::Measurements::<Runtime>::take(NEXT_CODE);
		assert!(before.is_some());
		let dave = Sr25519Keyring::Dave.to_account_id();
		let had = Balances::free_balance(&dave);
		assert_noop!(
			call_of(agents[1], DEAR, soonest()).dispatch(signed(&dave)),
			pallet_requests::Error::<Runtime>::NoLeaseHolder
		);
		assert_eq!(Balances::free_balance(&dave), had);
	});
}

/// Withholds an answer. Its friend in the cluster is asked whether blocks become final and says nothing, so
/// that finality seems to have stalled.
struct SilentFriends {
	holder: WorkerId,
	friend: WorkerId,
}

#[test]
fn a_friend_that_says_nothing_of_finality_excuses_no_holder_and_one_word_alone_blames_none() {
	for (honest_words, expected) in
		[(limits::FINALITY_WITNESSES_ASKED - 2, None), (1, Some(Excuse::FinalityStalled))]
	{
		chain(|| {
			let (holder, agents) = cluster_with(1);
			let villains = SilentFriends { holder, friend: worker_of(&bob()) };
			join(villains.friend);
			let others: Vec<WorkerId> = (0..4).map(|_| worker_of(&bob())).collect();
			others.iter().copied().for_each(join);
			// Of those who are asked two are villains, at the worst.
			let speak = &others[..honest_words as usize];
			let deadline = soonest();
			let request = ask(agents[0], DEAR, deadline);
			pass_to(deadline + 1, speak);
			let paid = if expected.is_none() { most() } else { 0 };
			assert_eq!(missed(request), (paid, expected));
			assert_eq!(at_stake(villains.holder), stake() - paid);
			assert_eq!(at_stake(villains.friend), stake());
		});
	}
}

/// Withholds many answers, and fills its own part of the lane in the two blocks before their deadline with
/// answers to what it asked itself.
struct SelfPayer {
	worker: WorkerId,
	account: AccountId,
	/// Its agent, in the same cluster.
	agent: AgentId,
}

impl SelfPayer {
	/// Asks itself at the least price; the request, and what its transaction costs.
	fn asks_itself(&self, deadline: BlockNumber) -> (RequestId, Balance) {
		let next = pallet_requests::NextRequest::<Runtime>::get();
		let least: Balance = <Runtime as pallet_requests::Config>::BaseFee::get();
		let call = call_of(self.agent, least + UNIT_PRICE, deadline);
		let mut info = call.get_dispatch_info();
		let bytes = call.encoded_size() as u32;
		let after = call.dispatch(signed(&self.account)).expect("there is room");
		info.call_weight = after.calc_actual_weight(&info);
		let fee = TransactionPayment::compute_fee(bytes + TRANSACTION_BYTES, &info, 0);
		(request_id(System::block_hash(0), next), fee)
	}

	/// Answers so many of these in one envelope.
	fn answers(&self, requests: Vec<RequestId>) {
		let record = pallet_agents::Agents::<Runtime>::get(self.agent).unwrap();
		let result = |request| RequestResult {
			request,
			units: 1,
			outcome: RequestOutcome::Answered(vec![1]),
		};
		let set = EffectSet {
			agent: self.agent,
			base_version: record.version,
			base_hash: record.state_hash,
			new_hash: H256::repeat_byte(3),
			key: None,
			results: requests.into_iter().map(result).collect(),
			availability: vec![],
		};
		let payload = Payload::Agents(AgentsPayload::EffectSet(set));
		let next = pallet_mailbox::NextEnvelope::<Runtime>::get(self.worker).expect("it is open");
		let lane = payload.lane();
		let envelope = Envelope {
			genesis: H256::zero(),
			worker: self.worker,
			boot: 1,
			lane,
			seq: next.seq(lane),
			payload: payload.encode(),
			signature: [0; 64],
		};
		let origin = frame_system::RawOrigin::Authorized.into();
		assert_ok!(Mailbox::submit_envelope(origin, envelope));
		let failed = System::events().into_iter().find(|record| {
			matches!(
				record.event,
				RuntimeEvent::Mailbox(pallet_mailbox::Event::PayloadFailed { .. })
			)
		});
		assert_eq!(failed, None);
	}

	fn is_full(&self) -> bool {
		<Mailbox as EnvelopeLanes>::was_full_throughout(self.worker, now(), now())
	}
}

/// What a transaction has beside its call, in bytes.
const TRANSACTION_BYTES: u32 = 110;

/// Not mended, but named (docs/decisions/014): what is excused so is worth more than it costs as soon as two dear
/// requests have one deadline. This says how much more, and that all of those leases are lost by it.
#[test]
fn a_self_payer_pays_for_each_deadline_that_it_is_excused_of_and_loses_the_leases() {
	const MISSED: usize = 10;
	chain(|| {
		let (worker, agents) = cluster_with(MISSED as u64 + 1);
		let honest = worker_of(&bob());
		Mailbox::open_inbound(worker, 1);
		let account = Sr25519Keyring::Eve.to_account_id();
		let (own, victims) = agents.split_last().unwrap();
		let villain = SelfPayer { worker, account, agent: *own };
		let had = Balances::free_balance(&villain.account);
		let operator_had = Balances::free_balance(bob());
		let deadline = soonest() + 3;
		let requests: Vec<_> = victims.iter().map(|agent| ask(*agent, DEAR, deadline)).collect();
		let (mut stuffing, mut fees) = (Vec::new(), 0);
		let mut asked = 0;
		while stuffing.len() < 32 {
			let (request, fee) = villain.asks_itself(deadline + 5);
			(fees, asked) = (fees + fee, asked + 1);
			stuffing.push(request);
		}
		let each = fees / asked;
		let mut answered = 0;
		pass_to(deadline - 2, &[]);
		for block in [deadline - 1, deadline] {
			pass_to(block, &[]);
			while !villain.is_full() {
				let some = stuffing.split_off(stuffing.len() - 4);
				answered += some.len() as Balance;
				villain.answers(some);
			}
		}
		// Its word alone was a quorum. The other one can answer, and says that blocks become final.
		join(honest);
		let says = ClustersPayload::BlockFinal { block: now() };
		assert_ok!(Clusters::receive(EnvelopeOrigin { worker: honest, boot: 1 }, says));
		pass_to(deadline + 1, &[honest]);
		for request in &requests {
			assert_eq!(missed(*request), (0, Some(Excuse::LaneFull)));
		}
		let paid = had - Balances::free_balance(&villain.account);
		let back = Balances::free_balance(bob()) - operator_had;
		// What it asked and did not answer was as good as free: it had more than it took.
		let least: Balance = <Runtime as pallet_requests::Config>::BaseFee::get();
		let unused = stuffing.len() as Balance * (least + UNIT_PRICE);
		let cost = paid - unused - back + answered * each;
		let saved = MISSED as Balance * most();
		println!(
			"{answered} answers to itself: {cost}, of which {} are fees; {saved} saved",
			answered * each
		);
		assert!(cost >= answered * least, "{cost}");
		assert_eq!(at_stake(worker), stake());
		// Nobody asks it again for these: others have them.
		for _ in 0..3 {
			pass_to(now() + 1, &[honest]);
		}
		for agent in victims {
			assert_eq!(Clusters::lease(*agent).map(|lease| lease.worker), Some(honest));
		}
	});
}
