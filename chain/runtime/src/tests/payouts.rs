//! What stakers are paid, and that nothing is made for it.

use super::{
	blocks::{active_era, by, enter_era, next},
	elections::{bond, endow, nominate, numbered},
	endowed_alice, genesis,
};
use crate::{
	currency::PHA,
	reserve::{Error, Event, Owed, PerYear, BUDGET_PER_YEAR_MAX, ROUNDING, YEAR_MILLISECONDS},
	*,
};
use frame_support::{
	assert_err_ignore_postinfo, assert_noop, assert_ok,
	traits::{fungible::Inspect, Get},
};
use pallet_staking::{ActiveEra, ErasValidatorReward, ValidatorPrefs};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{traits::BadOrigin, Perbill, Percent};

fn validators() -> Vec<AccountId> {
	presets::FOUR.iter().map(|key| key.to_account_id()).collect()
}

fn reserve() -> Balance {
	Balances::total_balance(&StakingReserve::account())
}

/// Anybody claims for all stakers of an era; fails for no validator that has something to claim.
fn claim(era: u32) {
	let anybody = RuntimeOrigin::signed(Sr25519Keyring::Eve.to_account_id());
	for validator in validators() {
		Staking::payout_stakers(anybody.clone(), validator, era).expect("has an exposure");
	}
}

/// Goes to the end of the active era, one block an epoch, with a quarter more blocks of the first
/// validator than of the others; the milliseconds between the era's first and last block, which the
/// staking pallet takes for its time.
fn to_the_next_era() -> Balance {
	let start = || ActiveEra::<Runtime>::get().and_then(|era| era.start).expect("has begun");
	let (era, begun, issuance) = (active_era(), start(), Balances::total_issuance());
	let (mut author, mut last) = (0, 0);
	while active_era() == era {
		last = Timestamp::get();
		by(author % 4, parameters::EpochSlots::get(), || ());
		author += 1;
		assert_eq!(Balances::total_issuance(), issuance);
	}
	Balance::from(last - begun)
}

#[test]
fn an_era_pays_its_share_of_the_year_by_work_and_stake_and_nothing_is_made() {
	genesis(presets::STAGING).execute_with(|| {
		enter_era(1);
		let issuance = Balances::total_issuance();
		let (alice, backer, payee) = (endowed_alice(), numbered(1, 0), numbered(2, 0));
		let commission = Perbill::from_percent(10);
		let prefs = ValidatorPrefs { commission, blocked: false };
		assert_ok!(Staking::validate(RuntimeOrigin::signed(alice.clone()), prefs));
		// As much as Alice has bonded herself, paid to another account.
		endow(&backer, 1_000_001 * PHA);
		assert_ok!(bond(&backer, 1_000_000 * PHA));
		assert_ok!(nominate(&backer, std::slice::from_ref(&alice)));
		assert_ok!(Staking::set_payee(
			RuntimeOrigin::signed(backer.clone()),
			pallet_staking::RewardDestination::Account(payee.clone()),
		));
		let era = active_era() + 2;
		enter_era(era);
		let took = to_the_next_era();
		assert_eq!(active_era(), era + 1);

		let told = ErasValidatorReward::<Runtime>::get(era).expect("is over");
		assert_eq!(told, presets::RESERVE_PER_YEAR * took / YEAR_MILLISECONDS);
		// 10,000,000 PHA a year; 5 h, as there is one block an hour.
		assert!((5_700..5_710).contains(&(told / PHA)), "{told}");

		let points = pallet_staking::ErasRewardPoints::<Runtime>::get(era);
		let before: Vec<_> = validators().iter().map(Balances::total_balance).collect();
		let (reserve_before, owed_before) = (reserve(), Owed::<Runtime>::get());
		claim(era);

		let near = |found: Balance, expected: Balance| {
			// Shares are in parts of 10⁹, rounded down at each of four steps.
			assert!(
				found.abs_diff(expected) <= 4 * told / 1_000_000_000 + 4,
				"{found}, {expected}"
			);
		};
		let mut claimed = 0;
		for (validator, before) in validators().iter().zip(before) {
			let worked = Balance::from(points.individual[validator]);
			let all = told * worked / Balance::from(points.total);
			let earned = Balances::total_balance(validator) - before;
			if *validator == alice {
				let shared = all - all / 10;
				near(earned, all / 10 + shared / 2);
				near(Balances::total_balance(&payee), shared / 2);
				claimed += Balances::total_balance(&payee);
			} else {
				near(earned, all);
			}
			claimed += earned;
		}
		near(claimed, told);
		assert_eq!(reserve_before - reserve(), claimed, "to the unit");
		assert_eq!(owed_before - Owed::<Runtime>::get(), claimed);
		assert_eq!(Balances::total_issuance(), issuance);
		assert_err_ignore_postinfo!(
			Staking::payout_stakers(RuntimeOrigin::signed(alice.clone()), alice, era),
			pallet_staking::Error::<Runtime>::AlreadyClaimed
		);
	});
}

/// Leaves the reserve with this much beyond what it owes.
fn drain_to(left: Balance) {
	let all = Balances::balance(&StakingReserve::account());
	let stay = Owed::<Runtime>::get() + Balances::minimum_balance() + left;
	assert_ok!(Balances::force_transfer(
		RuntimeOrigin::root(),
		StakingReserve::account().into(),
		Sr25519Keyring::Eve.to_account_id().into(),
		all - stay,
	));
	assert_eq!(StakingReserve::unowed(), left);
}

/// In the last block.
fn exhausted() -> Option<(Balance, Balance)> {
	System::events().into_iter().find_map(|record| match record.event {
		RuntimeEvent::StakingReserve(Event::Exhausted { budget, paid }) => Some((budget, paid)),
		_ => None,
	})
}

#[test]
fn an_empty_reserve_pays_nothing_and_says_so_and_keeps_its_promises() {
	genesis("local_testnet").execute_with(|| {
		enter_era(2);
		let issuance = Balances::total_issuance();
		// A few units, to be shared by four: every rounding shows.
		drain_to(ROUNDING + 7);
		let took = to_the_next_era();
		let budget = presets::RESERVE_PER_YEAR * took / YEAR_MILLISECONDS;
		assert_eq!(ErasValidatorReward::<Runtime>::get(2), Some(7));
		assert_eq!(exhausted(), Some((budget, 7)));

		to_the_next_era();
		assert_eq!(ErasValidatorReward::<Runtime>::get(3), Some(0));
		assert_eq!(exhausted(), Some((budget, 0)));
		assert_eq!(StakingReserve::unowed(), 0);

		// Era 1 was promised in full before.
		assert!(ErasValidatorReward::<Runtime>::get(1) > Some(PHA));
		for era in 1..4 {
			claim(era);
		}
		assert_eq!(Balances::total_issuance(), issuance);
		assert!(reserve() >= Balances::minimum_balance());

		// Whoever sends to it is heard.
		endow(&StakingReserve::account(), 1_000_000 * PHA);
		to_the_next_era();
		assert_eq!(exhausted(), None);
		assert_eq!(ErasValidatorReward::<Runtime>::get(4), Some(budget));
	});
}

#[test]
fn what_nobody_claims_in_time_is_paid_to_others() {
	genesis("local_testnet").execute_with(|| {
		let depth: u32 = <Runtime as pallet_staking::Config>::HistoryDepth::get();
		enter_era(depth + 10);
		let promised: Balance = ErasValidatorReward::<Runtime>::iter_values()
			.filter(|told| *told > 0)
			.map(|told| told + ROUNDING)
			.sum();
		assert_eq!(Owed::<Runtime>::get(), promised, "of the eras that can be claimed still");
		assert!(ErasValidatorReward::<Runtime>::iter().count() <= depth as usize + 1);
		assert!(ErasValidatorReward::<Runtime>::get(1).is_none());
		assert_eq!(StakingReserve::unowed() + promised + Balances::minimum_balance(), reserve());
	});
}

#[test]
fn what_staking_mints_for_nobody_is_burnt_at_once() {
	genesis("local_testnet").execute_with(|| {
		enter_era(1);
		let issuance = Balances::total_issuance();
		// Governance caps what stakers get: the pallet mints the rest for whoever takes it.
		pallet_staking::MaxStakedRewards::<Runtime>::put(Percent::from_percent(50));
		let took = to_the_next_era();
		let budget = presets::RESERVE_PER_YEAR * took / YEAR_MILLISECONDS;
		assert_eq!(ErasValidatorReward::<Runtime>::get(1), Some(budget / 2));
		claim(1);
		assert_eq!(Balances::total_issuance(), issuance);
	});
}

#[test]
fn a_budget_is_set_by_who_may_up_to_its_limit() {
	genesis(presets::STAGING).execute_with(|| {
		System::set_block_number(1);
		let admin = || RuntimeOrigin::from(origins::Origin::StakingAdmin);
		let alice = RuntimeOrigin::signed(endowed_alice());
		assert_noop!(StakingReserve::set_budget(alice, 1), BadOrigin);
		let too_much = BUDGET_PER_YEAR_MAX + 1;
		assert_noop!(
			StakingReserve::set_budget(admin(), too_much),
			Error::<Runtime>::BudgetTooLarge
		);
		assert_ok!(StakingReserve::set_budget(admin(), BUDGET_PER_YEAR_MAX));
		assert_eq!(PerYear::<Runtime>::get(), BUDGET_PER_YEAR_MAX);
		System::assert_last_event(Event::BudgetSet { per_year: BUDGET_PER_YEAR_MAX }.into());
	});
}

#[test]
fn rewards_that_are_staked_move_their_owner_up_the_voters_list() {
	use frame_election_provider_support::{ScoreProvider, SortedListProvider};
	genesis("local_testnet").execute_with(|| {
		enter_era(2);
		// A reward larger than a bag is wide.
		pallet_staking::ErasValidatorReward::<Runtime>::insert(1, 1_000_000 * PHA);
		Owed::<Runtime>::put(1_000_000 * PHA);
		claim(1);
		let points = pallet_staking::ErasRewardPoints::<Runtime>::get(1);
		let (author, _) = points.individual.first_key_value().expect("somebody made blocks");
		let score = <Staking as ScoreProvider<AccountId>>::score(author);
		assert_ne!(VoterList::get_score(author).ok(), score);
		// A block that begins a session has no time for it.
		next(1, || ());
		assert_eq!(VoterList::get_score(author).ok(), score);
	});
}
