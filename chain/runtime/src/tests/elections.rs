//! Elections that strangers cannot freeze, by their number or by their purse.

use super::{
	blocks::{active_era, enter_era, next, sessions_until},
	endowed_alice, genesis,
};
use crate::{
	config::{
		staking::{
			CANDIDATES_MAX, ELECTING_VOTERS_MAX, MIN_NOMINATOR_BOND, MIN_VALIDATOR_BOND,
			NOMINATIONS_MAX, NOMINATORS_MAX,
		},
		system::MAXIMUM_BLOCK_WEIGHT,
	},
	currency::PHA,
	origins::VALIDATORS_MIN,
	*,
};
use codec::Encode;
use frame_election_provider_support::{
	onchain, ElectionProvider, NposSolver, SequentialPhragmen, SortedListProvider,
};
use frame_support::{
	assert_noop, assert_ok,
	traits::{
		fungible::{Inspect, Mutate},
		tokens::Preservation,
		Get,
	},
	weights::{
		constants::{WEIGHT_REF_TIME_PER_MILLIS, WEIGHT_REF_TIME_PER_NANOS},
		Weight,
	},
};
use pallet_staking::{
	ConfigOp, MinNominatorBond, MinValidatorBond, MinimumValidatorCount, Nominators, Validators,
	WeightInfo as StakingWeights,
};
use sc_executor::WasmExecutor;
use sp_core::traits::{CallContext, CodeExecutor, Externalities, RuntimeCode, WrappedRuntimeCode};
use sp_runtime::{BuildStorage, Perbill};

/// The validators of genesis, each with a million PHA.
fn honest() -> Vec<AccountId> {
	let mut honest: Vec<_> = presets::FOUR.iter().map(|key| key.to_account_id()).collect();
	honest.sort();
	honest
}

pub(super) fn elected() -> Vec<AccountId> {
	let mut elected = Session::validators();
	elected.sort();
	elected
}

pub(super) fn numbered(kind: u8, number: u32) -> AccountId {
	let mut account = [kind; 32];
	account[..4].copy_from_slice(&number.to_le_bytes());
	account.into()
}

/// Gives `to` what it needs, of one or the other rich account.
pub(super) fn endow(to: &AccountId, amount: Balance) {
	let dave = sp_keyring::Sr25519Keyring::DaveStash.to_account_id();
	let given = [endowed_alice(), dave]
		.into_iter()
		.any(|from| Balances::transfer(&from, to, amount, Preservation::Preserve).is_ok());
	assert!(given, "somebody is rich enough");
}

pub(super) fn bond(who: &AccountId, amount: Balance) -> sp_runtime::DispatchResult {
	let payee = pallet_staking::RewardDestination::Staked;
	Staking::bond(RuntimeOrigin::signed(who.clone()), amount, payee)
}

fn validate(who: &AccountId) -> sp_runtime::DispatchResult {
	Staking::validate(RuntimeOrigin::signed(who.clone()), Default::default())
}

pub(super) fn nominate(who: &AccountId, targets: &[AccountId]) -> sp_runtime::DispatchResult {
	let targets = targets.iter().cloned().map(Into::into).collect();
	Staking::nominate(RuntimeOrigin::signed(who.clone()), targets)
}

/// A stranger who buys as many places in the election as a purse allows, one account each, at the
/// least bond that the chain takes. No fees are asked of it.
pub(super) struct DustStaker {
	purse: Balance,
	accounts: u32,
}

impl DustStaker {
	pub(super) fn with(purse: Balance) -> Self {
		Self { purse, accounts: 0 }
	}

	/// The next account of its own, with `bonded`; `None` once the purse is empty.
	fn next_account(&mut self, bonded: Balance) -> Option<AccountId> {
		let needs = bonded + Balances::minimum_balance();
		self.purse = self.purse.checked_sub(needs)?;
		let account = numbered(0xdd, self.accounts);
		self.accounts += 1;
		endow(&account, needs);
		assert_ok!(bond(&account, bonded));
		Some(account)
	}

	/// Its purse is this from now on.
	pub(super) fn has_now(&mut self, purse: Balance) {
		self.purse = purse;
	}

	/// Registers validators until the purse is empty or the chain takes no more; how many.
	pub(super) fn stand_for_election(&mut self) -> u32 {
		let least = MinValidatorBond::<Runtime>::get().max(Balances::minimum_balance());
		let mut standing = 0;
		while let Some(account) = self.next_account(least) {
			if validate(&account).is_err() {
				break;
			}
			standing += 1;
		}
		standing
	}

	/// Registers nominators of one of its own, or of an honest validator if it has none; how many.
	pub(super) fn nominate(&mut self) -> u32 {
		let least = MinNominatorBond::<Runtime>::get().max(Balances::minimum_balance());
		let target = match Validators::<Runtime>::contains_key(numbered(0xdd, 0)) {
			true => numbered(0xdd, 0),
			false => endowed_alice(),
		};
		let mut nominating = 0;
		while let Some(account) = self.next_account(least) {
			assert_ok!(nominate(&account, std::slice::from_ref(&target)));
			nominating += 1;
		}
		nominating
	}
}

/// Two eras later: the elections that the villain could have had a say in are over.
pub(super) fn two_eras_on() {
	let failed = RuntimeEvent::from(pallet_staking::Event::<Runtime>::StakingElectionFailed);
	let until = active_era() + 2;
	sessions_until(100, || {
		assert!(System::events().iter().all(|record| record.event != failed));
		active_era() >= until
	});
}

#[test]
fn twenty_five_pha_buy_no_place_in_any_preset() {
	for preset in presets::names() {
		genesis(preset.as_ref()).execute_with(|| {
			enter_era(1);
			let before = elected();
			assert_eq!(DustStaker::with(25 * PHA).stand_for_election(), 0);
			assert_eq!(DustStaker { accounts: 1, ..DustStaker::with(25 * PHA) }.nominate(), 0);
			two_eras_on();
			assert_eq!(elected(), before);
		});
	}
}

#[test]
fn ten_thousand_pha_buy_nominations_that_elect_nobody() {
	genesis(presets::STAGING).execute_with(|| {
		enter_era(1);
		assert_eq!(
			DustStaker::with(10_000 * PHA).stand_for_election(),
			0,
			"and its fee, and its keys"
		);
		assert_eq!(DustStaker { accounts: 1, ..DustStaker::with(10_000 * PHA) }.nominate(), 99);
		two_eras_on();
		assert_eq!(elected(), honest());
	});
}

#[test]
fn who_fills_the_list_of_candidates_ends_no_election_and_unseats_nobody() {
	genesis(presets::STAGING).execute_with(|| {
		enter_era(1);
		// A purse of a hundredth of the issuance.
		let mut villain = DustStaker::with(10_000_000 * PHA);
		let standing = villain.stand_for_election();
		assert_eq!(standing, CANDIDATES_MAX - VALIDATORS_MIN);
		let late = numbered(1, 0);
		endow(&late, 2 * MIN_VALIDATOR_BOND);
		assert_ok!(bond(&late, MIN_VALIDATOR_BOND));
		assert_noop!(validate(&late), pallet_staking::Error::<Runtime>::TooManyValidators);
		two_eras_on();
		assert_eq!(elected(), honest());
	});
}

#[test]
fn more_candidates_than_fit_are_left_out_by_their_stake() {
	genesis(presets::STAGING).execute_with(|| {
		enter_era(1);
		// Governance raises the bound, and more come than an election weighs.
		let noop = || ConfigOp::Noop;
		assert_ok!(Staking::set_staking_configs(
			RuntimeOrigin::root(),
			ConfigOp::Noop,
			ConfigOp::Noop,
			noop(),
			ConfigOp::Remove,
			ConfigOp::Noop,
			ConfigOp::Noop,
			ConfigOp::Noop,
		));
		let purse = Balance::from(CANDIDATES_MAX + 100) * (MIN_VALIDATOR_BOND + PHA);
		assert!(DustStaker::with(purse).stand_for_election() > CANDIDATES_MAX);
		// What the stock provider does then, at every session.
		type Stock = onchain::OnChainExecution<config::staking::OnChainElection>;
		let failed = onchain::Error::DataProvider("Target snapshot too big");
		assert_eq!(Stock::elect(0).err(), Some(failed));
		two_eras_on();
		assert_eq!(elected(), honest());
		let candidates = Validators::<Runtime>::count();
		assert!(candidates > CANDIDATES_MAX, "{candidates}");
	});
}

#[test]
fn a_crowd_of_small_nominators_pushes_nobody_out_who_has_more_at_stake() {
	genesis(presets::STAGING).execute_with(|| {
		enter_era(1);
		let crowd = ELECTING_VOTERS_MAX + 100;
		let purse = Balance::from(crowd) * (MIN_NOMINATOR_BOND + PHA);
		assert!(DustStaker::with(purse).nominate() >= crowd);

		// Who comes after all of them, with more.
		let (late, backed) = (numbered(1, 0), honest()[0].clone());
		endow(&late, 3 * MIN_NOMINATOR_BOND);
		assert_ok!(bond(&late, 2 * MIN_NOMINATOR_BOND));
		assert_ok!(nominate(&late, std::slice::from_ref(&backed)));
		two_eras_on();
		assert_eq!(elected(), honest());
		let exposure = Staking::eras_stakers(active_era(), &backed);
		assert!(exposure.others.iter().any(|backer| backer.who == late), "was heard");
	});
}

#[test]
fn less_than_the_least_bond_is_refused_by_name() {
	for preset in presets::names() {
		genesis(preset.as_ref()).execute_with(|| {
			let poor = numbered(1, 0);
			endow(&poor, MIN_VALIDATOR_BOND);
			assert_ok!(bond(&poor, MIN_NOMINATOR_BOND - 1));
			let refused = || pallet_staking::Error::<Runtime>::InsufficientBond;
			assert_noop!(nominate(&poor, &[endowed_alice()]), refused());
			assert_ok!(Staking::bond_extra(RuntimeOrigin::signed(poor.clone()), 1));
			assert_ok!(nominate(&poor, &[endowed_alice()]));
			assert_noop!(validate(&poor), refused());
			let further = MIN_VALIDATOR_BOND - MIN_NOMINATOR_BOND;
			endow(&poor, PHA);
			assert_ok!(Staking::bond_extra(RuntimeOrigin::signed(poor.clone()), further));
			assert_ok!(validate(&poor));
			assert_eq!(pallet_staking::MaxValidatorsCount::<Runtime>::get(), Some(CANDIDATES_MAX));
			assert_eq!(pallet_staking::MaxNominatorsCount::<Runtime>::get(), Some(NOMINATORS_MAX));
		});
	}
}

#[test]
fn an_election_with_too_few_winners_keeps_the_old_set_and_is_held_again() {
	genesis("local_testnet").execute_with(|| {
		enter_era(1);
		MinimumValidatorCount::<Runtime>::put(5);
		let (era, session) = (active_era(), Session::current_index());
		let failed = RuntimeEvent::from(pallet_staking::Event::<Runtime>::StakingElectionFailed);
		let mut failures = 0;
		for _ in 0..10 {
			next(parameters::EpochSlots::get(), || ());
			failures += System::events().iter().filter(|record| record.event == failed).count();
		}
		assert!(failures > 5, "each session tries again: {failures}");
		assert!(Session::current_index() > session + 5, "blocks and sessions go on");
		assert_eq!(elected(), honest());
		// The era that was planned before may have begun, and no other.
		assert!(active_era() <= era + 1);

		MinimumValidatorCount::<Runtime>::put(VALIDATORS_MIN);
		let stuck = active_era();
		sessions_until(10, || active_era() > stuck);
		assert_eq!(elected(), honest());
	});
}

/// What the block that holds it says that it weighs.
#[test]
fn an_election_at_its_bounds_weighs_at_most_half_a_block() {
	let share = heaviest_election().ref_time() as f64 / MAXIMUM_BLOCK_WEIGHT.ref_time() as f64;
	println!("an election weighs {share:.3} of a block");
	assert!(share <= 0.5, "{share}");
}

/// What begins a block, whatever transactions it has: none of it waits for the other.
#[test]
fn an_election_with_what_votes_enact_and_with_paid_work_fits_a_block() {
	use config::governance::MaximumSchedulerWeight;
	type Upkeep = upkeep::Pallet<Runtime>;
	let all = heaviest_election()
		.saturating_add(MaximumSchedulerWeight::get())
		.saturating_add(Upkeep::paid_work())
		.saturating_add(Upkeep::fixed());
	assert!(all.ref_time() <= MAXIMUM_BLOCK_WEIGHT.ref_time(), "{all:?}");
}

fn heaviest_election() -> Weight {
	type Elections = frame_election_provider_support::weights::SubstrateWeight<Runtime>;
	type Weights = <Runtime as pallet_staking::Config>::WeightInfo;
	// Each candidate votes for itself; the dearest mix has as few of them as can be.
	[VALIDATORS_MIN, CANDIDATES_MAX]
		.map(|candidates| {
			Weights::get_npos_voters(candidates, ELECTING_VOTERS_MAX - candidates)
				.saturating_add(Weights::get_npos_targets(CANDIDATES_MAX))
				.saturating_add(<SequentialPhragmen<AccountId, Perbill> as NposSolver>::weight::<
					Elections,
				>(ELECTING_VOTERS_MAX, CANDIDATES_MAX, NOMINATIONS_MAX))
		})
		.into_iter()
		.fold(Weight::zero(), |most, one| most.max(one))
}

/// What is left of an election's weight for computing, beside what the block that holds it reads and writes with so
/// many seats. `make bench-election` fails if it takes more.
fn left_for_computing(
	externalities: &mut sp_io::TestExternalities,
	header: &Header,
	seats: u32,
) -> Weight {
	let database = super::touched::touched(externalities, || {
		pallet_staking::ValidatorCount::<Runtime>::put(seats);
		Executive::initialize_block(header);
	});
	externalities.reset_overlay();
	heaviest_election().checked_sub(&database).expect("the database takes less")
}

/// The stock weights know of no seats, which are read and written too, and take a third of a millisecond each: 159 ms
/// were measured with all of them.
#[test]
fn what_an_election_weighs_covers_what_each_seat_takes() {
	let (mut externalities, header) = before_an_election(ELECTING_VOTERS_MAX + 100);
	let left = SEATS.map(|seats| left_for_computing(&mut externalities, &header, seats));
	println!("left for computing: {left:?}");
	let is_less = |two: &[Weight]| two[1].ref_time() < two[0].ref_time();
	assert!(left.windows(2).all(is_less), "a seat is free");
	assert!(left[SEATS.len() - 1].ref_time() >= 200 * WEIGHT_REF_TIME_PER_MILLIS);
}

fn build(sudo: bool, validators: usize, fewest: u32) {
	let patch = presets::get(&presets::STAGING.into()).expect("the preset exists");
	let mut json: serde_json::Value = serde_json::from_slice(&patch).unwrap();
	json["session"]["keys"].as_array_mut().expect("a list").truncate(validators);
	json["staking"]["stakers"].as_array_mut().expect("a list").truncate(validators);
	json["staking"]["minimumValidatorCount"] = fewest.into();
	let mut whole = serde_json::to_value(RuntimeGenesisConfig::default()).unwrap();
	crate::test_support::merge(&mut whole, json);
	if sudo {
		whole["sudo"]["key"] = serde_json::to_value(endowed_alice()).unwrap();
	}
	let config: RuntimeGenesisConfig = serde_json::from_value(whole).unwrap();
	config.build_storage().unwrap();
}

#[test]
fn a_genesis_has_four_validators_or_a_sudo_key() {
	build(false, 4, 4);
	build(true, 1, 1);
}

#[test]
#[should_panic(expected = "this genesis has 3 and allows 4")]
fn a_genesis_without_sudo_and_with_three_validators_is_refused() {
	build(false, 3, 4);
}

#[test]
#[should_panic(expected = "this genesis has 4 and allows 3")]
fn a_genesis_without_sudo_that_elects_three_is_refused() {
	build(false, 4, 3);
}

/// What `benches/election` measures; it is read there.
#[derive(codec::Encode)]
struct Elections {
	wasm: Vec<u8>,
	state: Vec<(Vec<u8>, Vec<u8>)>,
	header: Vec<u8>,
	seats: Vec<u32>,
	nanoseconds_max: u64,
}

impl Elections {
	fn of(externalities: &mut sp_io::TestExternalities, header: &Header) -> Self {
		let left = left_for_computing(externalities, header, config::staking::VALIDATORS_MAX);
		let mut state = Vec::new();
		externalities.execute_with(|| {
			let mut last = Vec::new();
			while let Some(key) = sp_io::storage::next_key(&last) {
				let value = sp_io::storage::get(&key).expect("it is there");
				state.push((key.clone(), value.to_vec()));
				last = key;
			}
		});
		Self {
			wasm: wasm().to_vec(),
			state,
			header: header.encode(),
			seats: SEATS.to_vec(),
			nanoseconds_max: left.ref_time() / WEIGHT_REF_TIME_PER_NANOS,
		}
	}
}

const SEATS: [u32; 4] = [4, 30, 100, config::staking::VALIDATORS_MAX];

fn wasm() -> &'static [u8] {
	WASM_BINARY.expect("runs the wasm: build it, without SKIP_WASM_BUILD")
}

/// A full list of candidates, so many nominators, and the header of the block that plans the next era.
fn before_an_election(nominators: u32) -> (sp_io::TestExternalities, Header) {
	let mut externalities = genesis(presets::STAGING);
	externalities.execute_with(|| {
		enter_era(1);
		let standing = Balance::from(CANDIDATES_MAX) * (MIN_VALIDATOR_BOND + PHA);
		let standing = DustStaker::with(standing).stand_for_election();
		let candidates: Vec<_> = Validators::<Runtime>::iter_keys().collect();
		for number in 0..nominators {
			let (who, amount) =
				(numbered(0xee, number), MIN_NOMINATOR_BOND + Balance::from(number % 1_000) * PHA);
			endow(&who, amount + PHA);
			assert_ok!(bond(&who, amount));
			let from = number as usize % (candidates.len() - NOMINATIONS_MAX as usize);
			assert_ok!(nominate(&who, &candidates[from..from + NOMINATIONS_MAX as usize]));
		}
		println!(
			"{standing} candidates registered, and {} nominators",
			Nominators::<Runtime>::count()
		);
		assert_eq!(
			VoterList::count(),
			Nominators::<Runtime>::count() + Validators::<Runtime>::count()
		);
		// Up to the block before the one that plans the next era.
		let planned = || pallet_staking::CurrentEra::<Runtime>::get();
		let before = planned();
		let sessions = parameters::SessionsPerEra::get();
		sessions_until(sessions, || {
			let start = pallet_staking::ErasStartSessionIndex::<Runtime>::get(before.unwrap_or(0));
			pallet_staking::CurrentPlannedSession::<Runtime>::get() + 1
				>= start.unwrap_or(0) + sessions
		});
		assert_eq!(planned(), before);
	});
	externalities.commit_all().expect("no transaction is open");
	let (header, _) =
		externalities.execute_with(|| super::blocks::next_header(parameters::EpochSlots::get(), 0));
	(externalities, header)
}

/// The whole block that holds an election, as a validator runs it: in the wasm, with more nominators than
/// are heard. For `make bench-election` it has 25,000, and is only written down, where
/// `PHALA_ELECTION_FILE` says: how long it takes is measured in a program that is optimised.
#[test]
fn an_election_in_the_wasm_ends_whatever_the_seats() {
	if let Ok(file) = std::env::var("PHALA_ELECTION_FILE") {
		let (mut externalities, header) = before_an_election(25_000);
		let elections = Elections::of(&mut externalities, &header).encode();
		std::fs::write(&file, elections).unwrap_or_else(|error| panic!("{file}: {error}"));
		return;
	}
	let (mut externalities, header) = before_an_election(ELECTING_VOTERS_MAX + 100);
	let executor = WasmExecutor::<sp_io::SubstrateHostFunctions>::builder().build();
	let code = RuntimeCode {
		code_fetcher: &WrappedRuntimeCode(wasm().into()),
		heap_pages: None,
		hash: vec![0; 32],
	};
	let era = externalities.execute_with(pallet_staking::CurrentEra::<Runtime>::get);
	for seats in SEATS {
		externalities.ext().storage_start_transaction();
		externalities.execute_with(|| pallet_staking::ValidatorCount::<Runtime>::put(seats));
		let (method, context) = ("Core_initialize_block", CallContext::Onchain { import: false });
		executor
			.call(&mut externalities.ext(), &code, method, &header.encode(), context)
			.0
			.unwrap_or_else(|error| panic!("{method}: {error}"));
		let winners = externalities.execute_with(|| {
			let planned = pallet_staking::CurrentEra::<Runtime>::get();
			assert_eq!(planned, era.map(|era| era + 1), "elected");
			let winners = pallet_staking::ErasStakersOverview::<Runtime>::iter_key_prefix(
				planned.unwrap_or(0),
			);
			winners.count()
		});
		assert_eq!(winners, seats as usize);
		externalities.ext().storage_rollback_transaction().expect("is open");
	}
}
