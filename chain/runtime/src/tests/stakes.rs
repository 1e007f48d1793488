//! What operators have at stake, in the real runtime: who tries to keep it out of reach, and that no
//! PHA is made or lost.

use super::genesis;
use crate::{currency::PHA, parameters::UnbondingBlocks, *};
use codec::Encode;
use frame_support::{
	assert_noop, assert_ok,
	traits::{
		fungible::{Inspect, InspectHold, Mutate},
		tokens::Preservation,
		Get, Hooks, OnPoll,
	},
	weights::{Weight, WeightMeter},
};
use phala_protocol::{
	agents::{AgentId, Assignment, Excuse, Liability},
	bonding::BondId,
	boot::{Boot, BootKeys, BootStatement, WorkerId},
	clusters::MemberRecord,
	evidence::{
		Evidence, EvidenceKind, Measurement, MeasurementRule, SoftwareEvidence, SoftwareReport,
		SoftwareReportContent, DEVELOPMENT_ROOT_SEED,
	},
	mailbox::ClusterId,
	traits::{Bonding as _, BootDirectory, ClusterDirectory, WorkerDirectory},
	H256,
};
use sp_core::{sr25519, Pair};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{traits::Dispatchable, DispatchError, Permill, TokenError};

pub(super) const CODE: H256 = H256::repeat_byte(7);
/// Where operators move to.
pub(super) const NEXT_CODE: H256 = H256::repeat_byte(8);
const MISS: Balance = PHA;

pub(super) fn stake() -> Balance {
	<Runtime as pallet_bonding::Config>::WorkerStake::get()
}

fn minimum() -> Balance {
	<Runtime as pallet_bonding::Config>::WorkerMinimum::get()
}

pub(super) fn signed(who: &AccountId) -> RuntimeOrigin {
	RuntimeOrigin::signed(who.clone())
}

pub(super) fn bob() -> AccountId {
	Sr25519Keyring::Bob.to_account_id()
}

pub(super) fn charlie() -> AccountId {
	Sr25519Keyring::Charlie.to_account_id()
}

/// A chain in its first blocks, at whose end all PHA is where it must be.
pub(super) fn chain(story: impl FnOnce()) {
	genesis("development").execute_with(|| {
		System::set_block_number(1);
		allow(CODE);
		let issuance = Balances::total_issuance();
		story();
		assert_eq!(Balances::total_issuance(), issuance);
		let mut sum = 0;
		for (account, info) in frame_system::Account::<Runtime>::iter() {
			let bonded: Balance = pallet_bonding::Bonds::<Runtime>::iter_values()
				.filter(|bond| bond.account == account)
				.map(|bond| bond.total())
				.sum();
			let reason = pallet_bonding::HoldReason::Bond.into();
			assert_eq!(Balances::balance_on_hold(&reason, &account), bonded, "{account:?}");
			sum += info.data.free + info.data.reserved;
		}
		assert_eq!(sum, issuance);
	});
}

pub(super) fn allow(code: Measurement) {
	pallet_registry::Measurements::<Runtime>::insert(code, MeasurementRule { until: None });
}

/// A worker in force, without its evidence.
pub(super) fn worker_of(operator: &AccountId) -> WorkerId {
	let worker = pallet_registry::NextWorker::<Runtime>::get();
	Registry::register_worker(signed(operator)).expect("the operator has the stake");
	pallet_registry::Workers::<Runtime>::mutate(worker, |record| {
		record.as_mut().expect("it was registered").boots = 1;
	});
	pallet_registry::Boots::<Runtime>::insert(
		worker,
		Boot {
			number: 1,
			keys: BootKeys { identity: [worker as u8; 32], encryption: [2; 32] },
			evidence: EvidenceKind::Software,
			measurement: CODE,
			registered_at: 1,
			expires_at: BlockNumber::MAX,
		},
	);
	worker
}

/// The worker's enclave starts again, on this code, and registers as any does.
pub(super) fn boots_anew(worker: WorkerId, operator: &AccountId, code: Measurement) {
	assert_ok!(boots_anew_by_call(worker, operator, code).dispatch(signed(operator)));
}

/// What it registers by.
pub(super) fn boots_anew_by_call(
	worker: WorkerId,
	operator: &AccountId,
	code: Measurement,
) -> RuntimeCall {
	let boots = pallet_registry::Workers::<Runtime>::get(worker).expect("it is registered").boots;
	let keys = BootKeys { identity: [boots as u8 + 100; 32], encryption: [worker as u8; 32] };
	let (evidence, recent_block) = evidence_of(worker, operator, code, keys);
	pallet_registry::Call::register_boot { worker, keys, evidence, recent_block }.into()
}

/// The same boot, for longer.
pub(super) fn renews_by_call(
	worker: WorkerId,
	operator: &AccountId,
	code: Measurement,
) -> RuntimeCall {
	let keys = pallet_registry::Boots::<Runtime>::get(worker).expect("it has one").keys;
	let (evidence, recent_block) = evidence_of(worker, operator, code, keys);
	pallet_registry::Call::renew_boot { worker, evidence, recent_block }.into()
}

/// Of the block before this one, which gets a hash for it.
fn evidence_of(
	worker: WorkerId,
	operator: &AccountId,
	code: Measurement,
	keys: BootKeys,
) -> (Vec<u8>, BlockNumber) {
	let root = sr25519::Pair::from_seed(&DEVELOPMENT_ROOT_SEED);
	pallet_registry::SoftwareRoot::<Runtime>::put(root.public().0);
	let recent_block = System::block_number() - 1;
	let recent_hash = H256::repeat_byte(9);
	frame_system::BlockHash::<Runtime>::insert(recent_block, recent_hash);
	let genesis = System::block_hash(0);
	let statement = BootStatement::new(genesis, worker, operator.clone().into(), keys, recent_hash);
	let report = SoftwareReport {
		measurement: code,
		platform: H256::from_low_u64_be(u64::from(worker) + 1),
		report_data: statement.report_data(),
		debug: false,
	};
	let signature = root.sign(&SoftwareReportContent::new(&report).encode()).0;
	(Evidence::Software(SoftwareEvidence { report, signature }).encode(), recent_block)
}

fn is_in_force(worker: WorkerId) -> bool {
	Registry::current_boot(worker).is_some_and(|boot| Registry::is_in_force(worker, &boot))
}

fn open_assignments(worker: WorkerId, open: u32) {
	pallet_requests::DutiesOfWorker::<Runtime>::insert(worker, open);
}

pub(super) fn treasury() -> Balance {
	Balances::balance(&config::money::TreasuryAccountId::get())
}

/// What the block begins with, as the runtime does it after the inherents.
fn poll(meter: &mut WeightMeter) {
	let now = System::block_number();
	Upkeep::on_initialize(now);
	<AllPalletsWithSystem as OnPoll<BlockNumber>>::on_poll(now, meter);
}

/// Blocks without anything in them but the sweep.
fn blocks_pass(blocks: BlockNumber) {
	System::set_block_number(System::block_number() + blocks);
	poll(&mut WeightMeter::new());
}

/// Blocks for which a validator's stake is bonded.
fn validators_blocks() -> u64 {
	let eras = <Runtime as pallet_staking::Config>::BondingDuration::get();
	let sessions = <Runtime as pallet_staking::Config>::SessionsPerEra::get();
	u64::from(eras) * u64::from(sessions) * <Runtime as pallet_babe::Config>::EpochDuration::get()
}

/// Blocks from the preparation to the enactment of each vote that may slash a bond.
fn votes_on_bonds() -> Vec<u64> {
	use frame_support::traits::{EnsureOrigin, OriginTrait};
	use pallet_referenda::TracksInfo;
	let others = config::tracks::TRACKS.iter().filter_map(|(_, rules)| rules.origin);
	core::iter::once(RuntimeOrigin::root())
		.chain(others.map(RuntimeOrigin::from))
		.filter_map(|origin: RuntimeOrigin| {
			let caller = origin.caller().clone();
			<Runtime as pallet_registry::Config>::AdminOrigin::try_origin(origin).ok()?;
			let id = config::tracks::Tracks::track_for(&caller).expect("it has a track");
			let track = config::tracks::Tracks::tracks().find(|track| track.id == id);
			let info = track.expect("it is one of them").info.clone();
			let periods = [
				info.prepare_period,
				info.decision_period,
				info.confirm_period,
				info.min_enactment_period,
			];
			Some(periods.into_iter().map(u64::from).sum())
		})
		.collect()
}

#[test]
fn what_leaves_a_bond_is_slashable_for_a_validators_time_and_the_longest_vote_after_it() {
	for preset in presets::names() {
		genesis(preset.as_ref()).execute_with(|| {
			let votes = votes_on_bonds();
			assert_eq!(votes.len(), 2, "root and the policy's admins");
			let longest = votes.into_iter().max().unwrap();
			assert_eq!(
				u64::from(UnbondingBlocks::get()),
				validators_blocks() + longest,
				"{preset:?}"
			);
		});
	}
}

/// Did what it is to be evicted for, with 1,000 PHA at stake, and begins to leave: with the vote, or as
/// long before it as a validator's fault is found out.
struct FirstOutOfTheDoor {
	account: AccountId,
}

#[test]
fn who_begins_to_leave_before_the_vote_has_its_stake_there_when_the_vote_is_enacted() {
	for head_start in [0, 1] {
		chain(|| {
			let villain = FirstOutOfTheDoor { account: bob() };
			let (worker, platform) = (worker_of(&villain.account), H256::repeat_byte(66));
			pallet_registry::Workers::<Runtime>::mutate(worker, |record| {
				record.as_mut().expect("it was registered").platform = Some(platform);
			});
			assert_ok!(Registry::close_worker(signed(&villain.account), worker));
			let found_out = head_start * validators_blocks() as BlockNumber;
			let enacted = votes_on_bonds().into_iter().max().unwrap() as BlockNumber;
			blocks_pass(found_out + enacted - 1);
			assert_noop!(
				Bonding::withdraw(signed(&villain.account), BondId::Worker(worker)),
				pallet_bonding::Error::<Runtime>::NothingToWithdraw
			);
			let before = treasury();
			let slash = Permill::from_percent(100);
			let reason = pallet_registry::EvictionReason::Compromised { slash };
			assert_ok!(Registry::evict_for(RuntimeOrigin::root(), worker, reason));
			assert_eq!(treasury() - before, stake());
			assert!(pallet_registry::BannedPlatforms::<Runtime>::contains_key(platform));
			assert_eq!(pallet_registry::ClosedPlatforms::<Runtime>::iter().count(), 0);
		});
	}
}

/// Has 25 PHA, a worker that somebody lends it the stake for, and a request that it will not answer.
struct HitAndRun {
	account: AccountId,
}

impl HitAndRun {
	const PURSE: Balance = 25 * PHA;

	fn with(purse: Balance) -> Self {
		let account = AccountId::new([25; 32]);
		Balances::transfer(&bob(), &account, purse, Preservation::Preserve).unwrap();
		Self { account }
	}
}

#[test]
fn a_purse_of_25_pha_buys_no_worker() {
	chain(|| {
		let villain = HitAndRun::with(HitAndRun::PURSE);
		assert_noop!(
			Registry::register_worker(signed(&villain.account)),
			TokenError::FundsUnavailable
		);
		assert_eq!(Balances::total_balance_on_hold(&villain.account), 0);
	});
}

#[test]
fn who_unbonds_all_in_the_block_of_its_miss_pays_for_the_miss() {
	chain(|| {
		let villain = HitAndRun::with(HitAndRun::PURSE + stake());
		let worker = worker_of(&villain.account);
		let bond = BondId::Worker(worker);
		let before = treasury();
		assert_ok!(Bonding::unbond(signed(&villain.account), bond, stake()));
		assert!(!is_in_force(worker), "nothing is active");
		assert_eq!(Registry::penalise(worker, MISS), MISS);
		assert_eq!(treasury(), before + MISS);
		assert_noop!(
			Bonding::withdraw(signed(&villain.account), bond),
			pallet_bonding::Error::<Runtime>::NothingToWithdraw
		);
		// In the last block of unbonding it pays too, and gets back what is left.
		blocks_pass(UnbondingBlocks::get() - 1);
		assert_eq!(Registry::penalise(worker, MISS), MISS);
		blocks_pass(1);
		assert_ok!(Bonding::withdraw(signed(&bob()), bond));
		assert_eq!(Balances::balance(&villain.account), HitAndRun::PURSE + stake() - 2 * MISS);
		// The worker has nothing at stake and a boot: the sweep ends that.
		assert!(Registry::current_boot(worker).is_some());
		blocks_pass(1);
		assert_eq!(Registry::current_boot(worker), None);
	});
}

#[test]
fn a_hundred_misses_take_a_worker_out_of_force_until_it_is_topped_up() {
	chain(|| {
		let worker = worker_of(&bob());
		let misses = (stake() - minimum()) / MISS;
		for _ in 0..misses {
			assert_eq!(Registry::penalise(worker, MISS), MISS);
		}
		assert!(is_in_force(worker));
		assert_eq!(Registry::penalise(worker, MISS), MISS);
		assert!(!is_in_force(worker));
		assert_ok!(Bonding::top_up(signed(&bob()), BondId::Worker(worker), MISS));
		assert!(is_in_force(worker));
	});
}

#[test]
fn an_open_assignment_keeps_the_worker_and_the_minimum_of_its_stake() {
	chain(|| {
		let (bob, worker) = (bob(), worker_of(&bob()));
		let bond = BondId::Worker(worker);
		open_assignments(worker, 1);
		assert_noop!(
			Registry::close_worker(signed(&bob), worker),
			pallet_registry::Error::<Runtime>::OpenAssignments
		);
		// A deadline that lies further ahead than unbonding takes is no way out.
		assert_ok!(Bonding::unbond(signed(&bob), bond, stake()));
		blocks_pass(UnbondingBlocks::get());
		assert_ok!(Bonding::withdraw(signed(&bob), bond));
		assert_eq!(Balances::total_balance_on_hold(&bob), minimum());
		assert_noop!(
			Bonding::withdraw(signed(&bob), bond),
			pallet_bonding::Error::<Runtime>::StillAnswering
		);
		assert_eq!(Registry::penalise(worker, MISS), MISS);
		open_assignments(worker, 0);
		assert_ok!(Registry::close_worker(signed(&bob), worker));
		assert_ok!(Bonding::withdraw(signed(&bob), bond));
		assert_eq!(Balances::total_balance_on_hold(&bob), 0);
		assert!(!pallet_bonding::Bonds::<Runtime>::contains_key(bond));
	});
}

#[test]
fn who_closes_its_worker_pays_for_what_it_did_before() {
	chain(|| {
		let (bob, worker) = (bob(), worker_of(&bob()));
		let free = Balances::balance(&bob);
		assert_ok!(Registry::close_worker(signed(&bob), worker));
		assert_eq!(Balances::balance(&bob), free, "nothing is free yet");
		assert_eq!(Registry::penalise(worker, MISS), MISS);
		blocks_pass(UnbondingBlocks::get());
		assert_ok!(Bonding::withdraw(signed(&bob), BondId::Worker(worker)));
		assert_eq!(Balances::balance(&bob), free + stake() - MISS);
		assert_eq!(Registry::penalise(worker, MISS), 0);
	});
}

#[test]
fn a_gatekeeper_puts_a_second_stake_up_and_loses_of_both_for_what_it_does() {
	chain(|| {
		let (bob, worker) = (bob(), worker_of(&bob()));
		let seat = <Runtime as pallet_bonding::Config>::GatekeeperStake::get();
		assert_ok!(Gatekeepers::apply(signed(&bob), worker));
		assert_eq!(Balances::total_balance_on_hold(&bob), stake() + seat);
		assert_ok!(Gatekeepers::seat(RuntimeOrigin::root(), vec![worker]));
		assert_noop!(
			Gatekeepers::withdraw(signed(&bob), worker),
			pallet_gatekeepers::Error::<Runtime>::Seated
		);
		let bond = BondId::Gatekeeper(worker);
		assert_ok!(Bonding::unbond(signed(&bob), bond, seat));
		blocks_pass(UnbondingBlocks::get());
		assert_ok!(Bonding::withdraw(signed(&bob), bond));
		let kept = <Runtime as pallet_bonding::Config>::GatekeeperMinimum::get();
		assert_eq!(Bonding::at_stake(bond), kept, "the seat answers with the minimum");

		let before = treasury();
		let reason = pallet_registry::EvictionReason::Fault { slash: Permill::from_percent(50) };
		assert_ok!(Registry::evict_for(RuntimeOrigin::root(), worker, reason));
		assert_eq!(treasury() - before, (stake() + kept) / 2);
		assert!(!pallet_gatekeepers::Candidates::<Runtime>::contains_key(worker));
		// What is left of the seat's bond leaves; no seat keeps it any more.
		blocks_pass(UnbondingBlocks::get());
		assert_ok!(Bonding::withdraw(signed(&bob), bond));
		assert_eq!(Balances::total_balance_on_hold(&bob), stake() / 2);
	});
}

#[test]
fn a_worker_is_handed_over_with_its_stake() {
	chain(|| {
		let (bob, charlie, worker) = (bob(), charlie(), worker_of(&bob()));
		let (had, got) = (Balances::total_balance(&bob), Balances::total_balance(&charlie));
		assert_ok!(Registry::offer_worker(signed(&bob), worker, Some(charlie.clone())));
		assert_ok!(Registry::accept_worker(signed(&charlie), worker));
		assert_eq!(Balances::total_balance(&bob), had - stake());
		assert_eq!(Balances::total_balance(&charlie), got + stake());
		assert_eq!(Balances::total_balance_on_hold(&charlie), stake());
		assert_eq!(Registry::operator(worker), Some(charlie.into()));
		assert_noop!(
			Bonding::unbond(signed(&bob), BondId::Worker(worker), 1),
			pallet_bonding::Error::<Runtime>::NotBondAccount
		);
	});
}

#[test]
fn the_sweep_takes_its_part_of_what_other_hooks_leave_of_a_block() {
	chain(|| {
		const WORKERS: usize = 30;
		for _ in 0..WORKERS {
			worker_of(&bob());
		}
		let left_after = |left: Weight| {
			System::set_block_number(System::block_number() + 1);
			let mut meter = WeightMeter::with_limit(left);
			poll(&mut meter);
			meter.consumed()
		};
		let idle = left_after(Weight::MAX);
		allow(NEXT_CODE);
		let now = System::block_number();
		assert_ok!(Registry::delist_measurement(RuntimeOrigin::root(), CODE, now, NEXT_CODE));
		assert!(left_after(idle).all_lte(idle), "no room for one eviction");
		assert_eq!(pallet_registry::Boots::<Runtime>::iter().count(), WORKERS);
		let mut blocks = 0;
		while pallet_registry::Boots::<Runtime>::iter().count() > 0 {
			let taken = left_after(Weight::MAX);
			assert!(taken.all_lte(upkeep::Pallet::<Runtime>::share()), "{taken:?}");
			blocks += 1;
		}
		assert!((3..=WORKERS).contains(&blocks), "{blocks}");
	});
}

#[test]
fn a_closed_network_of_workers_leaves_nothing_in_storage() {
	chain(|| {
		let workers: Vec<WorkerId> = (0..5).map(|_| worker_of(&bob())).collect();
		for worker in &workers {
			assert_ok!(Registry::close_worker(signed(&bob()), *worker));
		}
		blocks_pass(UnbondingBlocks::get());
		for worker in workers {
			assert_ok!(Bonding::withdraw(signed(&bob()), BondId::Worker(worker)));
		}
		assert_eq!(pallet_bonding::Bonds::<Runtime>::iter().count(), 0);
		assert_eq!(pallet_registry::Workers::<Runtime>::iter().count(), 0);
		assert_eq!(pallet_registry::Boots::<Runtime>::iter().count(), 0);
	});
}

/// A member of a cluster, as its owner admitted it.
pub(super) fn member(cluster: ClusterId, worker: WorkerId) {
	let record = MemberRecord { endpoint: Default::default(), set_aside: None };
	pallet_clusters::Members::<Runtime>::insert(cluster, worker, record);
	pallet_clusters::MemberOf::<Runtime>::insert(worker, cluster);
}

/// A cluster of Charlie's with these members, one agent, and who is to do its work.
fn cluster_with_work(members: &[WorkerId]) -> (AgentId, Assignment) {
	const CLUSTER: ClusterId = 0;
	assert_ok!(Clusters::create(signed(&charlie())));
	for worker in members {
		member(CLUSTER, *worker);
	}
	pallet_clusters::Clusters::<Runtime>::mutate(CLUSTER, |record| {
		record.as_mut().expect("it was created").members = members.len() as u32;
	});
	let agent = H256::repeat_byte(5);
	let developer = charlie().into();
	Clusters::place_agent(CLUSTER, agent, &developer).expect("somebody counts");
	let work = Clusters::assign(agent).expect("there is room").expect("somebody counts");
	(agent, work)
}

/// Has 11,000 PHA: a worker's stake, and that of a seat which it never takes. It takes work, lets the
/// second go, and keeps the last step for when the work is due.
#[test]
fn a_second_bond_is_no_way_out_of_what_the_first_answers_for() {
	chain(|| {
		let seat = <Runtime as pallet_bonding::Config>::GatekeeperStake::get();
		let villain = HitAndRun::with(stake() + seat + PHA);
		let worker = worker_of(&villain.account);
		let other = worker_of(&bob());
		let bond = BondId::Gatekeeper(worker);
		assert_ok!(Gatekeepers::apply(signed(&villain.account), worker));
		assert_ok!(Bonding::unbond(signed(&villain.account), bond, seat));
		blocks_pass(UnbondingBlocks::get());
		let (agent, work) = cluster_with_work(&[worker, other]);
		assert_eq!(work.lease.worker, worker);
		assert_ok!(Bonding::withdraw(signed(&villain.account), bond));
		blocks_pass(1);
		assert_eq!(Registry::current_boot(worker), None, "the sweep evicts it");
		assert_eq!(Clusters::lease(agent).map(|lease| lease.worker), Some(other));
		assert_eq!(Clusters::liability(agent, &work), Ok(Liability::OwnAct));
		assert_eq!(Registry::penalise(worker, MISS), MISS);
	});
}

/// Has the delister's track, and has governance's new code listed already: all that it takes to have
/// every key in the network thrown away in one block, by an `evict` for the fee.
struct Arsonist {
	account: AccountId,
}

impl Arsonist {
	fn delists_at_once() {
		let now = System::block_number();
		let origin = origins::Origin::Delister.into();
		assert_ok!(Registry::delist_measurement(origin, CODE, now, NEXT_CODE));
	}

	fn evicts(&self, worker: WorkerId) -> frame_support::dispatch::DispatchResult {
		let evicted = Registry::evict(signed(&self.account), worker);
		evicted.map(|_| ()).map_err(|refused| refused.error)
	}
}

#[test]
fn the_delisters_track_erases_no_key_that_nobody_else_holds() {
	chain(|| {
		let villain = Arsonist { account: AccountId::new([66; 32]) };
		allow(NEXT_CODE);
		let (gatekeeper, first, second) = (worker_of(&bob()), worker_of(&bob()), worker_of(&bob()));
		let (agent, work) = cluster_with_work(&[first, second]);
		assert_ok!(Gatekeepers::apply(signed(&bob()), gatekeeper));
		assert_ok!(Gatekeepers::seat(RuntimeOrigin::root(), vec![gatekeeper]));
		let seats = pallet_gatekeepers::Ceremony::<Runtime>::take().expect("it is under way").seats;
		let outcome = Default::default();
		let key = pallet_gatekeepers::ActiveKey { epoch: 1, attempt: 0, outcome, seats };
		pallet_gatekeepers::Active::<Runtime>::put(key);

		Arsonist::delists_at_once();
		let waits: DispatchError = pallet_registry::Error::<Runtime>::NoSuccessorInForce.into();
		for worker in [gatekeeper, first, second] {
			assert!(!is_in_force(worker));
			assert_noop!(villain.evicts(worker), waits);
		}
		blocks_pass(pallet_registry::SWEEP_AGAIN_BLOCKS);
		blocks_pass(pallet_registry::SWEEP_AGAIN_BLOCKS);
		for worker in [gatekeeper, first, second] {
			assert!(Registry::current_boot(worker).is_some());
		}
		assert_eq!(
			Clusters::liability(agent, &work),
			Err(Excuse::Removed),
			"who was silenced is not to blame"
		);

		// One member moves: it counts and was told all agents at once, and has no key and no body yet.
		boots_anew(second, &bob(), NEXT_CODE);
		assert!(is_in_force(second) && Clusters::counted(0).len() == 1);
		assert!(!pallet_clusters::Untold::<Runtime>::contains_key(second));
		assert_noop!(villain.evicts(first), waits);
		assert_noop!(villain.evicts(gatekeeper), waits);
		blocks_pass(pallet_registry::SWEEP_AGAIN_BLOCKS);
		blocks_pass(pallet_registry::SWEEP_AGAIN_BLOCKS);
		assert!(Registry::current_boot(first).is_some(), "it serves what the other fetches");
		// It moves itself when the other has all.
		boots_anew(first, &bob(), NEXT_CODE);
		assert!(is_in_force(first));
		assert_ok!(Registry::destroy_measurement(
			RuntimeOrigin::root(),
			CODE,
			System::block_number()
		));
		assert_ok!(villain.evicts(gatekeeper));
	});
}
