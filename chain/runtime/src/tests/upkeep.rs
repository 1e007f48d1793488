//! What the network's pallets do by themselves: how much of a block it takes at worst, and what waits for
//! what when everything comes at once.

use super::genesis;
use crate::test_support::oracle::check_invariants;
use crate::{
	config::system::MAXIMUM_BLOCK_WEIGHT,
	currency::{MILLIS, PHA},
	upkeep::{PAID_WORK, SHARE, TURNS},
	*,
};
use frame_support::{
	assert_ok,
	dispatch::DispatchClass,
	traits::{fungible::Mutate, Get, Hooks},
	weights::{Weight, WeightMeter},
	BoundedVec,
};
use pallet_agents::WeightInfo as _;
use pallet_clusters::{GenerationGap, WeightInfo as _};
use pallet_gatekeepers::WeightInfo as _;
use pallet_mailbox::WeightInfo as _;
use pallet_registry::WeightInfo as _;
use pallet_requests::WeightInfo as _;
use phala_protocol::{
	agents::{agent_id, Access, AgentCode, AgentId, AgentKey, UpgradePolicy},
	boot::{Boot, BootKeys, WorkerId},
	evidence::{EvidenceKind, MeasurementRule},
	keys::KeyRequest,
	limits,
	mailbox::{Channel, ClusterId},
	requests::{request_id, RequestId, RequestInput, RequestKind, RequestState},
	traits::{BootDirectory, ClusterDirectory, WorkerHooks},
	H256,
};

type OurUpkeep = upkeep::Pallet<Runtime>;
type AgentsWeights = <Runtime as pallet_agents::Config>::WeightInfo;
type ClustersWeights = <Runtime as pallet_clusters::Config>::WeightInfo;
type GatekeepersWeights = <Runtime as pallet_gatekeepers::Config>::WeightInfo;
type MailboxWeights = <Runtime as pallet_mailbox::Config>::WeightInfo;
type RegistryWeights = <Runtime as pallet_registry::Config>::WeightInfo;
type RequestsWeights = <Runtime as pallet_requests::Config>::WeightInfo;

/// What is left of upkeep when paid work has taken all that it is sure of.
fn rest() -> Weight {
	OurUpkeep::budget() - OurUpkeep::paid_work() - OurUpkeep::bookkeeping()
}

/// What the own pallets say that they take in the beginning of a block; and they do nothing else by
/// themselves than what [`upkeep`] has them do.
fn on_initialize(now: BlockNumber) -> Weight {
	macro_rules! hooks {
		($($pallet:ident)*) => {{
			$(
				assert_eq!($pallet::on_idle(now, Weight::MAX), Weight::zero(), stringify!($pallet));
				let mut meter = WeightMeter::new();
				$pallet::on_poll(now, &mut meter);
				assert_eq!(meter.consumed(), Weight::zero(), stringify!($pallet));
			)*
			Weight::zero()$(.saturating_add($pallet::on_initialize(now)))*
		}};
	}
	hooks!(Mailbox Registry Gatekeepers Clusters Agents Requests Bonding)
}

#[test]
fn all_hooks_at_their_worst_take_their_share_of_a_block_and_leave_users_theirs() {
	genesis("development").execute_with(|| {
		assert_eq!(on_initialize(1), OurUpkeep::fixed());
		let share = OurUpkeep::share();
		assert_eq!(share, SHARE * MAXIMUM_BLOCK_WEIGHT);
		let weights = <Runtime as frame_system::Config>::BlockWeights::get();
		let normal = weights.get(DispatchClass::Normal).max_total.expect("it is bounded");
		assert!(share.saturating_add(normal).all_lte(weights.max_block), "{share:?}, {normal:?}");

		// Paid work is sure of what all requests of a deadline take, whatever becomes of them.
		let due = limits::REQUESTS_PER_DEADLINE_MAX;
		let paid = RequestsWeights::expire(due)
			.saturating_add(RequestsWeights::near(due))
			.saturating_add(RequestsWeights::refund_moved(1));
		assert!(paid.all_lte(OurUpkeep::paid_work()), "{paid:?} of {PAID_WORK:?}");

		// And the smallest step of every other work fits what it leaves.
		let steps = [
			("refund", RequestsWeights::refund_moved(1)),
			("move a lease", RequestsWeights::move_lease()),
			("prune requests", RequestsWeights::prune(1)),
			("prune messages", MailboxWeights::prune(1)),
			("end a gap", ClustersWeights::end_gaps(1)),
			("tell of agents", ClustersWeights::tell_agents(16)),
			("move leases", ClustersWeights::move_leases(16)),
			("upgrade", AgentsWeights::activate_due(1)),
			(
				"pass a birth on",
				AgentsWeights::look_at_births(1).saturating_add(AgentsWeights::pass_birth_on()),
			),
			("forget code", AgentsWeights::forget_history(1)),
			("tell gatekeepers", GatekeepersWeights::resend(1)),
			("evict", RegistryWeights::sweep(1).saturating_add(RegistryWeights::evict())),
		];
		for (step, weight) in steps {
			// Of a turn in which others look for their work first.
			let looks = rest() / 10;
			assert!(
				weight.saturating_add(looks).all_lte(rest()),
				"{step}: {weight:?} of {:?}",
				rest()
			);
		}
	});
}

const CODE: H256 = H256::repeat_byte(0xc0);
const NEXT_CODE: H256 = H256::repeat_byte(0xc1);
const CLUSTER: ClusterId = 0;
const MEMBERS: WorkerId = 8;
const TIMEOUT: BlockNumber = 30;
/// Nothing is so old on a younger chain that it is to be forgotten.
const FIRST_BLOCK: BlockNumber = 400_000;

fn operator() -> AccountId {
	AccountId::new([0x0b; 32])
}

fn signed(who: &AccountId) -> RuntimeOrigin {
	RuntimeOrigin::signed(who.clone())
}

fn now() -> BlockNumber {
	System::block_number()
}

/// A worker in force that runs `measurement`.
fn worker(measurement: H256) -> WorkerId {
	let worker = pallet_registry::NextWorker::<Runtime>::get();
	assert_ok!(Registry::register_worker(signed(&operator())));
	let mut identity = [1; 32];
	identity[..4].copy_from_slice(&worker.to_le_bytes());
	let boot = Boot {
		number: 1,
		keys: BootKeys { identity, encryption: [2; 32] },
		evidence: EvidenceKind::Software,
		measurement,
		registered_at: now(),
		expires_at: BlockNumber::MAX,
	};
	lives(worker, &boot);
	worker
}

/// As the registry writes it down.
fn lives(worker: WorkerId, boot: &Boot) {
	pallet_registry::Boots::<Runtime>::insert(worker, boot);
	pallet_registry::Workers::<Runtime>::mutate(worker, |record| {
		record.as_mut().expect("it is registered").boots = boot.number;
	});
}

fn join(worker: WorkerId) {
	let endpoint = b"https://worker.example".to_vec();
	assert_ok!(Clusters::request_join(signed(&operator()), CLUSTER, worker, endpoint.clone()));
	let boot = Registry::current_boot(worker).expect("it is in force");
	assert_ok!(Clusters::approve_join(
		signed(&operator()),
		CLUSTER,
		worker,
		boot.number,
		boot.measurement,
		endpoint
	));
}

/// The mailbox's lists of a block are emptied: setting up costs no blocks.
fn empty_mailbox() {
	for (channel, seq) in pallet_mailbox::PushedIn::<Runtime>::take(now()) {
		pallet_mailbox::Bodies::<Runtime>::remove(channel, seq);
	}
	pallet_mailbox::PushedBytes::<Runtime>::kill();
}

fn agent(upgrades: UpgradePolicy, is_born: bool) -> AgentId {
	let agent = agent_id(System::block_hash(0), pallet_agents::NextAgent::<Runtime>::get());
	let code = AgentCode { component: CODE, manifest: CODE };
	let (price, access) = (MILLIS, Access::Public);
	assert_ok!(Agents::register(
		signed(&operator()),
		CLUSTER,
		code,
		price,
		TIMEOUT,
		access,
		upgrades
	));
	if is_born {
		pallet_agents::Agents::<Runtime>::mutate(agent, |record| {
			let record = record.as_mut().expect("it is registered");
			record.key = Some(AgentKey { version: 1, key: [9; 32] });
			record.version = 1;
		});
	}
	empty_mailbox();
	agent
}

/// Asks, by as many accounts as it takes and whatever it costs.
fn submit(number: u32, agent: AgentId, deadline: BlockNumber) -> RequestId {
	let mut account = [0xf1; 32];
	account[..4].copy_from_slice(&number.to_le_bytes());
	let account = AccountId::new(account);
	assert_ok!(Balances::mint_into(&account, 3_000 * PHA));
	let next = pallet_requests::NextRequest::<Runtime>::get();
	let (kind, input) = (RequestKind::Call, RequestInput::Public(vec![1]));
	let max_fee = 2_000 * PHA;
	assert_ok!(Requests::submit(signed(&account), agent, kind, input, max_fee, deadline, 0));
	empty_mailbox();
	request_id(System::block_hash(0), next)
}

/// A cluster of eight members, and a chain that is old enough to forget.
fn network(story: impl FnOnce()) {
	genesis("development").execute_with(|| {
		System::set_block_number(FIRST_BLOCK);
		assert_ok!(Balances::mint_into(&operator(), 10_000_000 * PHA));
		for code in [CODE, NEXT_CODE] {
			pallet_registry::Measurements::<Runtime>::insert(code, MeasurementRule { until: None });
		}
		assert_ok!(Clusters::create(signed(&operator())));
		for _ in 0..MEMBERS {
			join(worker(CODE));
			empty_mailbox();
		}
		// What a young chain would have done in each block until now.
		blocks(1, Weight::MAX);
		story();
	});
}

/// Blocks pass of which so much is left when their transactions are done; what our hooks took of the one that
/// they took most of.
fn blocks(many: u32, left: Weight) -> Weight {
	(0..many).map(|_| block(left)).fold(Weight::zero(), |most, one| most.max(one))
}

fn block(left: Weight) -> Weight {
	Mailbox::on_finalize(now());
	System::reset_events();
	System::set_block_number(now() + 1);
	let begun = on_initialize(now()).saturating_add(Upkeep::on_initialize(now()));
	let mut meter = WeightMeter::with_limit(MAXIMUM_BLOCK_WEIGHT);
	Upkeep::on_poll(now(), &mut meter);
	let ended = Upkeep::on_idle(now(), left);
	begun.saturating_add(meter.consumed()).saturating_add(ended)
}

/// Blocks for which a message is kept.
fn retention() -> BlockNumber {
	<Runtime as pallet_mailbox::Config>::Retention::get()
}

/// Blocks for which a request that ended is kept.
fn response_retention() -> BlockNumber {
	<Runtime as pallet_requests::Config>::ResponseRetention::get()
}

/// Open requests whose deadline has passed.
fn overdue() -> usize {
	pallet_requests::Requests::<Runtime>::iter_values()
		.filter(|request| request.state == RequestState::Open && request.deadline < now())
		.count()
}

/// What waits, by name.
fn backlogs() -> Vec<(&'static str, usize)> {
	let old = now() - retention();
	let closed_before = now() - response_retention();
	let all = [
		("overdue requests", overdue()),
		("leases that moved", pallet_requests::MovedLeases::<Runtime>::iter().count()),
		("leases to move", pallet_requests::LeasesToMove::<Runtime>::iter().count()),
		("sweeps", pallet_clusters::Sweeps::<Runtime>::iter().count()),
		(
			"gaps",
			pallet_clusters::Gaps::<Runtime>::iter_values()
				.filter(|(_, ends_at)| *ends_at <= now())
				.count(),
		),
		(
			"upgrades",
			pallet_agents::Due::<Runtime>::iter().filter(|(block, _)| *block <= now()).count(),
		),
		(
			"births",
			pallet_agents::Births::<Runtime>::iter_values()
				.filter(|(_, deadline, _)| *deadline <= now())
				.count(),
		),
		(
			"requests for keys",
			pallet_gatekeepers::ResendingRequests::<Runtime>::get().iter().count(),
		),
		(
			"delisted boots",
			pallet_registry::Boots::<Runtime>::iter_values()
				.filter(|boot| {
					pallet_registry::Measurements::<Runtime>::get(boot.measurement)
						.is_none_or(|rule| !rule.allows(now()))
				})
				.count(),
		),
		("exhausted", pallet_registry::ReportedExhausted::<Runtime>::iter().count()),
		(
			"requests to forget",
			pallet_requests::Closed::<Runtime>::iter_values()
				.filter(|(_, at)| *at <= closed_before)
				.count(),
		),
		(
			"messages to forget",
			pallet_mailbox::PushedIn::<Runtime>::iter().filter(|(block, _)| *block <= old).count(),
		),
	];
	all.into_iter().filter(|(_, left)| *left > 0).collect()
}

/// Everything that is for later comes in the same blocks, from `at` on, at its worst: deadlines that are
/// full, for as many leases; upgrades, births, generations; sweeps; a delisting; old messages and requests.
struct Doomsday {
	requests: Vec<RequestId>,
	upgraded: Vec<AgentId>,
}

impl Doomsday {
	/// Blocks until it comes.
	const AHEAD: BlockNumber = limits::BIRTH_BLOCKS;
	/// Blocks with full deadlines.
	const DEADLINES: u32 = 8;
	const UPGRADES: u32 = 4 * pallet_agents::UPGRADES_DUE_MAX;
	const BIRTHS: u32 = 20;
	const GAPS: u32 = 40;
	const DELISTED: u32 = 12;
	const OLD_BLOCKS: u32 = 4;
	const OLD_REQUESTS: u64 = 500;
	const KEY_REQUESTS: u32 = 150;

	/// Blocks within which all of it is done: so long as it comes, and a few rounds of turns.
	const DRAINED_BLOCKS: BlockNumber = Self::DEADLINES + 4 * TURNS as BlockNumber;

	fn prepare() -> Self {
		let at = now() + Self::AHEAD;
		let agents: Vec<AgentId> = (0..limits::REQUESTS_PER_DEADLINE_MAX)
			.map(|_| agent(UpgradePolicy::Free, true))
			.collect();
		// Members see blocks become final: whoever misses a deadline is blamed, and loses the lease.
		pallet_clusters::FinalSeen::<Runtime>::mutate(CLUSTER, |seen| {
			for worker in 0..MEMBERS {
				seen.try_insert(worker, BlockNumber::MAX).expect("so many are members");
			}
		});
		let mut number = 0;
		let mut requests = Vec::new();
		for deadline in at..at + Self::DEADLINES {
			for agent in &agents {
				number += 1;
				requests.push(submit(number, *agent, deadline));
			}
		}
		let upgraded: Vec<AgentId> = (0..Self::UPGRADES)
			.map(|n| {
				let notice = Self::AHEAD + n / pallet_agents::UPGRADES_DUE_MAX;
				let agent = agent(UpgradePolicy::AfterNotice(notice), true);
				let code = AgentCode { component: NEXT_CODE, manifest: CODE };
				assert_ok!(Agents::upgrade(signed(&operator()), agent, code));
				empty_mailbox();
				agent
			})
			.collect();
		for _ in 0..Self::BIRTHS {
			agent(UpgradePolicy::Free, false);
		}
		let first = pallet_clusters::NextGap::<Runtime>::get();
		for n in 0..Self::GAPS {
			let cluster = pallet_clusters::NextCluster::<Runtime>::get();
			assert_ok!(Clusters::create(signed(&operator())));
			pallet_clusters::Clusters::<Runtime>::mutate(cluster, |record| {
				record.as_mut().expect("it was made").gap = GenerationGap::RunningWithDeparture;
			});
			pallet_clusters::Gaps::<Runtime>::insert(first + u64::from(n), (cluster, at));
		}
		pallet_clusters::NextGap::<Runtime>::put(first + u64::from(Self::GAPS));
		for _ in 0..Self::DELISTED {
			worker(NEXT_CODE);
		}
		assert_ok!(Registry::delist_measurement(RuntimeOrigin::root(), NEXT_CODE, at, CODE));
		empty_mailbox();
		for n in 0..Self::KEY_REQUESTS {
			let (boot, generation, ephemeral_key) = (1, 1, [3; 32]);
			let request = KeyRequest { worker: 0, boot, cluster: n, generation, ephemeral_key };
			pallet_gatekeepers::OpenRequests::<Runtime>::insert((0, n), request);
		}
		for n in 0..Self::OLD_BLOCKS {
			let block = at - retention() + n;
			let mut pushed = BoundedVec::default();
			for index in 0..limits::MESSAGES_PER_BLOCK_MAX {
				let (channel, seq) = (Channel::Worker(block), u64::from(index));
				let body = BoundedVec::truncate_from(vec![7]);
				let stored = pallet_mailbox::StoredMessage { block, index, body };
				pallet_mailbox::Bodies::<Runtime>::insert(channel, seq, stored);
				pushed.try_push((channel, seq)).expect("so many fit one block");
			}
			pallet_mailbox::Heads::<Runtime>::mutate(Channel::Worker(block), |head| {
				head.next_seq = limits::MESSAGES_PER_BLOCK_MAX.into();
			});
			pallet_mailbox::PushedIn::<Runtime>::insert(block, pushed);
		}
		let closed_at = at - response_retention();
		for n in 0..Self::OLD_REQUESTS {
			pallet_requests::Closed::<Runtime>::insert(n, (H256::from_low_u64_be(n), closed_at));
		}
		pallet_requests::ClosedRange::<Runtime>::put((0, Self::OLD_REQUESTS));
		Self { requests, upgraded }
	}

	/// In its first block: a member leaves, and the others boot anew.
	fn come() {
		pallet_gatekeepers::ResendingRequests::<Runtime>::put(
			pallet_gatekeepers::Resending::default(),
		);
		assert_ok!(Clusters::leave(signed(&operator()), CLUSTER, 0));
		restart(1);
	}
}

/// The worker's process starts anew.
fn restart(worker: WorkerId) {
	let mut boot = Registry::current_boot(worker).expect("it lives");
	boot.number += 1;
	boot.registered_at = now();
	lives(worker, &boot);
	assert_ok!(<Clusters as WorkerHooks>::on_boot(worker, &boot).map_err(|_| "the mailbox is full"));
}

#[test]
fn when_everything_comes_at_once_deadlines_are_met_and_every_backlog_drains() {
	network(|| {
		let issuance = Balances::total_issuance();
		let doom = Doomsday::prepare();
		let minted = Balances::total_issuance() - issuance;
		let share = OurUpkeep::share();
		// Blocks are as full as can be: nothing is left in their end.
		let most = blocks(Doomsday::AHEAD - 1, Weight::zero());
		assert!(most.all_lte(share), "{most:?} of {share:?}");
		let busiest = backlogs();
		assert!(busiest.is_empty(), "{busiest:?}");

		Doomsday::come();
		let (came, mut fullest) = (now(), Weight::zero());
		let mut waited = 0;
		loop {
			let taken = block(Weight::zero());
			assert!(taken.all_lte(share), "{taken:?} of {share:?}");
			fullest = fullest.max(taken);
			assert_eq!(overdue(), 0, "a request waits for its refund at {}", now() - came);
			let left = backlogs();
			waited = waited.max(left.len());
			if now() - came > Doomsday::DEADLINES && left.is_empty() {
				break;
			}
			assert!(now() - came <= Doomsday::DRAINED_BLOCKS, "{left:?}");
		}
		println!(
			"drained in {} blocks of at most {}, {:?} of the share",
			now() - came,
			Doomsday::DRAINED_BLOCKS,
			sp_runtime::Perbill::from_rational(fullest.ref_time(), share.ref_time()),
		);
		// It was too much for one block, and nothing of it is lost.
		assert!(waited > 5, "{waited} backlogs");
		for request in doom.requests {
			let state = pallet_requests::Requests::<Runtime>::get(request).map(|one| one.state);
			assert_eq!(state, Some(RequestState::Expired));
		}
		for agent in doom.upgraded {
			let record = pallet_agents::Agents::<Runtime>::get(agent).expect("it is there");
			assert_eq!(record.code.component, NEXT_CODE);
		}
		let escrow = Balances::free_balance(Requests::escrow());
		assert_eq!(escrow, config::money::EXISTENTIAL_DEPOSIT);
		assert_eq!(Balances::total_issuance(), issuance + minted);
		assert_eq!(check_invariants(), Ok(()));
	});
}

/// Owns a cluster full of agents, and has its workers restart all the time: each start tells them of all
/// agents and moves all leases.
struct SweepMaker {
	cluster: ClusterId,
	workers: Vec<WorkerId>,
}

impl SweepMaker {
	fn settle() -> Self {
		let cluster = pallet_clusters::NextCluster::<Runtime>::get();
		assert_ok!(Clusters::create(signed(&operator())));
		let workers: Vec<WorkerId> = (0..4).map(|_| worker(CODE)).collect();
		for worker in &workers {
			let endpoint = b"https://villain.example".to_vec();
			let boot = Registry::current_boot(*worker).expect("it is in force");
			assert_ok!(Clusters::request_join(
				signed(&operator()),
				cluster,
				*worker,
				endpoint.clone()
			));
			let (number, code) = (boot.number, boot.measurement);
			assert_ok!(Clusters::approve_join(
				signed(&operator()),
				cluster,
				*worker,
				number,
				code,
				endpoint
			));
			empty_mailbox();
		}
		for n in 0..limits::CLUSTER_AGENTS_MAX {
			let agent = H256::from_low_u64_be(0xdead_0000 + u64::from(n));
			assert_ok!(Clusters::place_agent(cluster, agent, &operator().into()));
		}
		Self { cluster, workers }
	}

	/// One of its workers in each block, and all of them at first.
	fn make_sweeps(&self, n: u32) {
		let worker = self.workers[n as usize % self.workers.len()];
		restart(worker);
		empty_mailbox();
	}
}

#[test]
fn a_maker_of_sweeps_puts_off_nobody_s_refund_and_no_deadline() {
	network(|| {
		let villain = SweepMaker::settle();
		assert_ne!(villain.cluster, CLUSTER);
		let honest = agent(UpgradePolicy::Free, true);
		for n in 0..20 {
			villain.make_sweeps(n);
		}
		let queued = || pallet_clusters::Sweeps::<Runtime>::iter().count();
		let state = |request| {
			pallet_requests::Requests::<Runtime>::get(request).map(|request| request.state)
		};
		for n in 0..8 {
			villain.make_sweeps(n);
			let deadline = now() + TIMEOUT + limits::FINALITY_MARGIN;
			let held = submit(n, honest, deadline);
			assert!(queued() > 4, "{} sweeps", queued());
			// The agent's lease moves away from the one that was given the request.
			let work = Clusters::assign(honest).unwrap().expect("somebody has it");
			assert_ok!(Clusters::relieve(honest, &work));
			empty_mailbox();
			assert!(!Clusters::is_held(honest, &work));
			assert_eq!(state(held), Some(RequestState::Open));
			block(Weight::zero());
			assert_eq!(
				state(held),
				Some(RequestState::Expired),
				"it is refunded in the next block"
			);
		}
		// And whoever misses a deadline answers for it in the block after, however many sweeps there are.
		let deadline = now() + TIMEOUT + limits::FINALITY_MARGIN;
		let missed = submit(100, honest, deadline);
		while now() < deadline {
			villain.make_sweeps(now());
			block(Weight::zero());
		}
		assert_eq!(state(missed), Some(RequestState::Open));
		block(Weight::zero());
		assert_eq!(state(missed), Some(RequestState::Expired));
		assert!(queued() > 4, "{} sweeps", queued());
		// When it stops they come to an end, too.
		blocks(2_000, Weight::zero());
		assert_eq!(queued(), 0);
	});
}

/// As blocks are in which a session begins.
#[test]
fn a_block_without_room_has_no_turns_and_meets_its_deadlines() {
	network(|| {
		let honest = agent(UpgradePolicy::Free, true);
		let deadline = now() + TIMEOUT + limits::FINALITY_MARGIN;
		let request = submit(1, honest, deadline);
		blocks(deadline - now(), Weight::zero());
		worker(NEXT_CODE);
		assert_ok!(Registry::delist_measurement(RuntimeOrigin::root(), NEXT_CODE, now(), CODE));
		let state = || pallet_requests::Requests::<Runtime>::get(request).map(|one| one.state);
		assert_eq!(state(), Some(RequestState::Open));
		let full = |number| {
			Mailbox::on_finalize(now());
			System::set_block_number(number);
			Upkeep::on_initialize(number);
			let mut meter = WeightMeter::with_limit(Weight::zero());
			Upkeep::on_poll(number, &mut meter);
			assert_eq!(meter.consumed(), Weight::zero());
			assert_eq!(Upkeep::on_idle(number, Weight::zero()), Weight::zero());
		};
		full(deadline + 1);
		assert_eq!(state(), Some(RequestState::Expired));
		full(deadline + 2);
		let waits = backlogs();
		assert_eq!(waits, [("delisted boots", 1)]);
		blocks(1, Weight::zero());
		assert_eq!(backlogs(), []);
	});
}

#[test]
fn blocks_of_the_real_chain_that_begin_sessions_meet_their_deadlines_too() {
	use super::blocks::next;
	network(|| {
		let honest = agent(UpgradePolicy::Free, true);
		let first = now() + TIMEOUT + limits::FINALITY_MARGIN;
		// A session takes ten slots here: one of these deadlines is right before it.
		let requests: Vec<RequestId> = (0..12).map(|n| submit(n, honest, first + n)).collect();
		let mut session_began = false;
		while now() <= first + 12 {
			let session = Session::current_index();
			next(1, || ());
			session_began |= Session::current_index() != session && now() > first;
			assert_eq!(overdue(), 0, "at {}", now() - first);
		}
		assert!(session_began);
		for request in requests {
			let state = pallet_requests::Requests::<Runtime>::get(request).map(|one| one.state);
			assert_eq!(state, Some(RequestState::Expired));
		}
	});
}

#[test]
fn what_is_left_of_upkeep_in_the_end_of_a_block_is_what_its_beginning_left() {
	network(|| {
		let villain = SweepMaker::settle();
		for n in 0..20 {
			villain.make_sweeps(n);
		}
		for _ in 0..20 {
			let taken = block(Weight::MAX);
			assert!(taken.all_lte(OurUpkeep::share()), "{taken:?}");
		}
	});
}

#[test]
fn whatever_backlog_others_have_each_has_its_turn() {
	network(|| {
		let villain = SweepMaker::settle();
		const OLD: u64 = 20_000;
		for n in 0..OLD {
			let id = H256::from_low_u64_be(n);
			pallet_requests::Closed::<Runtime>::insert(n, (id, 0));
		}
		pallet_requests::ClosedRange::<Runtime>::put((0, OLD));
		let delisted: Vec<WorkerId> = (0..5).map(|_| worker(NEXT_CODE)).collect();
		assert_ok!(Registry::delist_measurement(RuntimeOrigin::root(), NEXT_CODE, now(), CODE));
		empty_mailbox();
		let left = || {
			let is_there = |worker: &&WorkerId| Registry::current_boot(**worker).is_some();
			delisted.iter().filter(is_there).count()
		};
		for _ in 0..delisted.len() {
			let before = left();
			for _ in 0..TURNS {
				villain.make_sweeps(now());
				block(Weight::zero());
			}
			assert!(left() == 0 || left() < before, "{before} before, {} now", left());
		}
		assert_eq!(left(), 0);
		assert!(pallet_clusters::Sweeps::<Runtime>::iter().count() > 0);
	});
}
