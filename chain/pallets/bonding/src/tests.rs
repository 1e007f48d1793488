use crate::{
	mock::{Bonding, *},
	Bonding as _, *,
};
use frame_support::{
	assert_noop, assert_ok,
	traits::fungible::{InspectHold, Mutate},
};
use phala_protocol::{
	bonding::{Bond, UnbondingChunk},
	limits,
};
use sp_runtime::{AccountId32, TokenError};

const WORKER: BondId = BondId::Worker(0);
const GATEKEEPER: BondId = BondId::Gatekeeper(0);

fn signed(who: AccountId32) -> RuntimeOrigin {
	RuntimeOrigin::signed(who)
}

fn open(bond: BondId, who: AccountId32) -> DispatchResult {
	let opened = Bonding::open(bond, &who.into());
	assert_conserved();
	opened
}

fn close(bond: BondId) {
	Bonding::close(bond);
	assert_conserved();
}

fn slash(bond: BondId, amount: Balance) -> Balance {
	let taken = Bonding::slash(bond, amount);
	assert_conserved();
	taken
}

fn top_up(bond: BondId, amount: Balance) -> DispatchResult {
	let done = Bonding::top_up(signed(ALICE), bond, amount);
	assert_conserved();
	done
}

fn unbond(bond: BondId, amount: Balance) -> DispatchResult {
	let done = Bonding::unbond(signed(ALICE), bond, amount);
	assert_conserved();
	done
}

fn withdraw(bond: BondId) -> DispatchResult {
	let done = Bonding::withdraw(signed(BOB), bond);
	assert_conserved();
	done
}

fn is_sufficient(bond: BondId) -> bool {
	Bonding::is_sufficient(bond)
}

fn blocks_pass(blocks: u64) {
	System::set_block_number(System::block_number() + blocks);
}

fn slashed() -> Balance {
	Balances::free_balance(TREASURY) - FUNDS
}

fn parts(bond: BondId) -> (Balance, Vec<Balance>) {
	let bond = Bonds::<Runtime>::get(bond).unwrap();
	(bond.active, bond.unbonding.iter().map(|chunk| chunk.amount).collect())
}

#[test]
fn a_bond_is_opened_once_topped_up_and_left_after_the_unbonding_period() {
	new_test_ext().execute_with(|| {
		assert_noop!(top_up(WORKER, 1), Error::<Runtime>::UnknownBond);
		assert_noop!(withdraw(WORKER), Error::<Runtime>::UnknownBond);
		assert_ok!(open(WORKER, ALICE));
		assert_noop!(open(WORKER, ALICE), Error::<Runtime>::AlreadyBonded);
		assert_eq!(Balances::total_balance_on_hold(&ALICE), STAKE);
		assert_noop!(Bonding::top_up(signed(BOB), WORKER, 1), Error::<Runtime>::NotBondAccount);
		assert_noop!(Bonding::unbond(signed(BOB), WORKER, 1), Error::<Runtime>::NotBondAccount);
		assert_noop!(top_up(WORKER, 0), Error::<Runtime>::NothingToBond);
		assert_noop!(top_up(WORKER, FUNDS), TokenError::FundsUnavailable);
		assert_ok!(top_up(WORKER, 500));
		assert_noop!(unbond(WORKER, 0), Error::<Runtime>::NothingToBond);
		assert_noop!(unbond(WORKER, STAKE + 501), Error::<Runtime>::NotThatMuchActive);
		assert_ok!(unbond(WORKER, 500));
		let until = 10 + UNBONDING_BLOCKS;
		System::assert_last_event(
			Event::UnbondingBegan { bond: WORKER, amount: 500, until }.into(),
		);
		assert_noop!(withdraw(WORKER), Error::<Runtime>::NothingToWithdraw);
		blocks_pass(u64::from(UNBONDING_BLOCKS) - 1);
		assert_noop!(withdraw(WORKER), Error::<Runtime>::NothingToWithdraw);
		blocks_pass(1);
		// By anyone; it goes to whose it is.
		assert_ok!(withdraw(WORKER));
		assert_eq!(Balances::free_balance(ALICE), FUNDS - STAKE);
		assert_eq!(Balances::free_balance(BOB), FUNDS);
	});
}

#[test]
fn the_minimum_is_a_minimum_of_what_is_active() {
	new_test_ext().execute_with(|| {
		assert!(!is_sufficient(WORKER));
		open(WORKER, ALICE).unwrap();
		assert_ok!(unbond(WORKER, STAKE - MINIMUM));
		assert!(is_sufficient(WORKER));
		assert_ok!(unbond(WORKER, 1));
		assert!(!is_sufficient(WORKER));
		assert_ok!(top_up(WORKER, 1));
		assert!(is_sufficient(WORKER));
	});
}

#[test]
fn a_client_reads_a_bond_as_the_pallet_stores_it() {
	use codec::{DecodeAll, Encode};
	new_test_ext().execute_with(|| {
		open(WORKER, ALICE).unwrap();
		unbond(WORKER, 5).unwrap();
		let stored = Bonds::<Runtime>::get(WORKER).unwrap().encode();
		let read = Bond::decode_all(&mut &stored[..]).unwrap();
		let unbonding = vec![UnbondingChunk { amount: 5, until: 10 + UNBONDING_BLOCKS }];
		let account = ALICE.into();
		assert_eq!(read, Bond { account, active: STAKE - 5, unbonding, closed: false });
	});
}

/// Has 25 PHA, and would like to stake them for exactly as long as nothing is at risk.
struct HitAndRun;

impl HitAndRun {
	const PURSE: Balance = 25;

	fn account() -> AccountId32 {
		let account = AccountId32::new([25; 32]);
		// From the treasury's purse, so that the sum of all stays what it was.
		Balances::transfer(
			&TREASURY,
			&account,
			Self::PURSE,
			frame_support::traits::tokens::Preservation::Expendable,
		)
		.unwrap();
		account
	}
}

#[test]
fn with_25_pha_nothing_is_bonded_and_nothing_is_in_force() {
	new_test_ext().execute_with(|| {
		let account = HitAndRun::account();
		assert_noop!(Bonding::open(WORKER, &account.clone().into()), TokenError::FundsUnavailable);
		assert!(!is_sufficient(WORKER));
		assert_eq!(Balances::free_balance(account), HitAndRun::PURSE);
	});
}

#[test]
fn a_miss_is_paid_by_who_unbonds_everything_in_the_same_block() {
	new_test_ext().execute_with(|| {
		open(WORKER, ALICE).unwrap();
		// The miss is known in this block; the villain's transaction comes first.
		assert_ok!(unbond(WORKER, STAKE));
		assert_noop!(withdraw(WORKER), Error::<Runtime>::NothingToWithdraw);
		assert_eq!(slash(WORKER, 25), 25);
		assert_eq!((parts(WORKER), slashed()), ((0, vec![STAKE - 25]), 25));
		// A second miss, found out in the last block before it leaves.
		blocks_pass(u64::from(UNBONDING_BLOCKS) - 1);
		assert_eq!(slash(WORKER, 25), 25);
		blocks_pass(1);
		assert_ok!(withdraw(WORKER));
		assert_eq!(Balances::free_balance(ALICE), FUNDS - 50);
	});
}

#[test]
fn a_slash_takes_of_all_parts_in_proportion() {
	new_test_ext().execute_with(|| {
		open(WORKER, ALICE).unwrap();
		unbond(WORKER, 200).unwrap();
		blocks_pass(1);
		unbond(WORKER, 300).unwrap();
		assert_eq!(parts(WORKER), (500, vec![200, 300]));
		assert_eq!(slash(WORKER, 100), 100);
		assert_eq!(parts(WORKER), (450, vec![180, 270]));
		// More than there is: all there is.
		assert_eq!(slash(WORKER, 10_000), 900);
		assert_eq!((parts(WORKER), slashed()), ((0, vec![]), 1_000));
		assert_eq!(slash(WORKER, 1), 0);
	});
}

#[test]
fn no_slash_is_rounded_away() {
	new_test_ext().execute_with(|| {
		open(WORKER, ALICE).unwrap();
		for _ in 0..3 {
			unbond(WORKER, 1).unwrap();
			blocks_pass(1);
		}
		// A thousandth of each part is less than one unit of it.
		assert_eq!(slash(WORKER, 1), 1);
		assert_eq!((parts(WORKER), slashed()), ((996, vec![1, 1, 1]), 1));
		// Also when nothing is active: it is taken of what leaves.
		unbond(WORKER, 996).unwrap();
		assert_eq!(slash(WORKER, 1), 1);
		assert_eq!((Bonding::at_stake(WORKER), slashed()), (998, 2));
		assert_eq!(slash(WORKER, 0), 0);
	});
}

#[test]
fn the_largest_bonds_are_slashed_exactly() {
	let issuance = 1_000_000_000 * 1_000_000_000_000;
	let mut bond = BondRecord::new(());
	bond.active = issuance;
	assert!(bond.unbond(issuance / 3, 1));
	assert!(bond.unbond(issuance / 7, 2));
	assert_eq!(bond.slash(issuance / 2 + 1), issuance / 2 + 1);
	assert_eq!(bond.total(), issuance - issuance / 2 - 1);
	assert_eq!(bond.slash(Balance::MAX), issuance - issuance / 2 - 1);
	assert_eq!(bond, BondRecord::new(()));
}

/// Tops up and lets leave, over and over, to make something of rounding or of the chunks.
#[test]
fn who_tops_up_and_withdraws_in_circles_gains_nothing_and_fills_one_bond() {
	new_test_ext().execute_with(|| {
		open(WORKER, ALICE).unwrap();
		// In one block it is one part, however often.
		for _ in 0..50 {
			assert_ok!(top_up(WORKER, 7));
			assert_ok!(unbond(WORKER, 7));
		}
		assert_eq!(parts(WORKER), (STAKE, vec![350]));
		for _ in 1..limits::UNBONDING_CHUNKS_MAX {
			blocks_pass(1);
			assert_ok!(unbond(WORKER, 1));
		}
		blocks_pass(1);
		assert_noop!(unbond(WORKER, 1), Error::<Runtime>::TooManyUnbonding);
		// Closing has room all the same.
		close(WORKER);
		let bond = Bonds::<Runtime>::get(WORKER).unwrap();
		assert_eq!((bond.active, bond.closed), (0, true));
		assert_eq!(bond.unbonding.len() as u32, limits::UNBONDING_CHUNKS_MAX);
		assert_noop!(top_up(WORKER, 1), Error::<Runtime>::BondIsClosed);
		blocks_pass(u64::from(UNBONDING_BLOCKS));
		assert_ok!(withdraw(WORKER));
		assert_eq!(Bonds::<Runtime>::get(WORKER), None);
		assert_eq!(Balances::free_balance(ALICE), FUNDS);
	});
}

#[test]
fn two_roles_never_rest_on_the_same_pha() {
	new_test_ext().execute_with(|| {
		open(WORKER, ALICE).unwrap();
		// The double dipper has the PHA for one of the two.
		let spent = Balances::free_balance(ALICE) - GATEKEEPER_STAKE + 1;
		let keep = frame_support::traits::tokens::Preservation::Expendable;
		Balances::transfer(&ALICE, &BOB, spent, keep).unwrap();
		assert_noop!(open(GATEKEEPER, ALICE), TokenError::FundsUnavailable);
		Balances::transfer(&BOB, &ALICE, spent, keep).unwrap();
		assert_ok!(open(GATEKEEPER, ALICE));
		assert_eq!(Balances::total_balance_on_hold(&ALICE), STAKE + GATEKEEPER_STAKE);
		// A slash of one is none of the other, however large.
		assert_eq!(slash(WORKER, FUNDS), STAKE);
		assert!(is_sufficient(GATEKEEPER) && !is_sufficient(WORKER));
		assert_eq!(parts(GATEKEEPER).0, GATEKEEPER_STAKE);
		// Nor does what leaves of one back the other.
		unbond(GATEKEEPER, GATEKEEPER_STAKE).unwrap();
		assert!(!is_sufficient(GATEKEEPER));
	});
}

#[test]
fn while_a_bond_answers_for_something_the_minimum_stays() {
	new_test_ext().execute_with(|| {
		open(WORKER, ALICE).unwrap();
		unbond(WORKER, STAKE).unwrap();
		blocks_pass(u64::from(UNBONDING_BLOCKS));
		Answering::set(vec![WORKER]);
		assert_ok!(withdraw(WORKER));
		assert_eq!(Bonding::at_stake(WORKER), MINIMUM);
		assert_noop!(withdraw(WORKER), Error::<Runtime>::StillAnswering);
		assert_eq!(slash(WORKER, 1), 1);
		assert_noop!(withdraw(WORKER), Error::<Runtime>::StillAnswering);
		Answering::set(vec![]);
		assert_ok!(withdraw(WORKER));
		assert_eq!(Balances::free_balance(ALICE), FUNDS - 1);
	});
}

#[test]
fn a_bond_that_slashes_or_withdrawals_empty_is_reported() {
	new_test_ext().execute_with(|| {
		open(WORKER, ALICE).unwrap();
		let least = MINIMUM / EXHAUSTED_PART;
		slash(WORKER, STAKE - least);
		assert_eq!((Bonding::is_exhausted(WORKER), Exhausted::get()), (false, vec![]));
		slash(WORKER, 1);
		assert!(Bonding::is_exhausted(WORKER));
		assert_eq!(Exhausted::get(), vec![WORKER]);
		assert_ok!(top_up(WORKER, STAKE));
		assert!(!Bonding::is_exhausted(WORKER));

		let all = parts(WORKER).0;
		unbond(WORKER, all).unwrap();
		assert!(!Bonding::is_exhausted(WORKER));
		blocks_pass(u64::from(UNBONDING_BLOCKS));
		withdraw(WORKER).unwrap();
		assert_eq!(Exhausted::get(), vec![WORKER, WORKER]);
		// It is there still, for who tops it up.
		assert_ok!(top_up(WORKER, STAKE));
	});
}

#[test]
fn a_closed_bond_is_slashed_and_opened_again_by_its_account_alone() {
	new_test_ext().execute_with(|| {
		open(GATEKEEPER, ALICE).unwrap();
		close(GATEKEEPER);
		close(GATEKEEPER);
		assert!(!is_sufficient(GATEKEEPER));
		assert_eq!(slash(GATEKEEPER, 100), 100);
		assert_eq!(Exhausted::get(), vec![]);
		assert_noop!(open(GATEKEEPER, BOB), Error::<Runtime>::StillUnbonding);
		assert_ok!(open(GATEKEEPER, ALICE));
		assert_eq!(parts(GATEKEEPER), (GATEKEEPER_STAKE, vec![GATEKEEPER_STAKE - 100]));
		close(GATEKEEPER);
		assert_eq!(parts(GATEKEEPER), (0, vec![2 * GATEKEEPER_STAKE - 100]));
		blocks_pass(u64::from(UNBONDING_BLOCKS));
		assert_ok!(withdraw(GATEKEEPER));
		assert_eq!(Bonds::<Runtime>::iter().count(), 0);
		assert_ok!(open(GATEKEEPER, BOB));
	});
}

#[test]
fn a_bond_changes_hands_whole_and_the_former_account_keeps_nothing_of_it() {
	new_test_ext().execute_with(|| {
		open(WORKER, ALICE).unwrap();
		unbond(WORKER, 100).unwrap();
		assert_ok!(Bonding::transfer(WORKER, &BOB.into()));
		assert_conserved();
		assert_eq!(Balances::total_balance_on_hold(&ALICE), 0);
		assert_eq!(Balances::total_balance_on_hold(&BOB), STAKE);
		assert_eq!(parts(WORKER), (STAKE - 100, vec![100]));
		assert_noop!(unbond(WORKER, 1), Error::<Runtime>::NotBondAccount);
		assert_noop!(top_up(WORKER, 1), Error::<Runtime>::NotBondAccount);
		assert_eq!(slash(WORKER, 10), 10);
		assert_eq!(Balances::total_balance(&ALICE), FUNDS - STAKE);
		assert_ok!(Bonding::transfer(WORKER, &BOB.into()));
		assert_conserved();
	});
}

/// Does whatever comes to its mind, for a while.
#[test]
fn whatever_a_random_operator_does_no_pha_is_made_or_lost_and_every_hold_is_explained() {
	let seed = 0x5eed_2026_u64;
	let mut state = seed;
	// SplitMix64: a sequence that is the same everywhere.
	let mut next = move |below: u64| {
		state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
		let mut z = state;
		z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		(z ^ (z >> 31)) % below
	};
	new_test_ext().execute_with(|| {
		let mut done = [0u32; 9];
		for step in 0..3_000 {
			let bond = [WORKER, GATEKEEPER, BondId::Worker(1)][next(3) as usize];
			let who = [ALICE, BOB][next(2) as usize].clone();
			let amount = u128::from(next(1_200));
			let what = next(9) as usize;
			let worked = match what {
				0 => open(bond, who).is_ok(),
				1 => Bonding::top_up(signed(who), bond, amount).is_ok(),
				2 | 3 => Bonding::unbond(signed(who), bond, amount).is_ok(),
				4 => withdraw(bond).is_ok(),
				5 => slash(bond, amount / 40) > 0,
				6 if next(6) == 0 => {
					close(bond);
					true
				}
				7 if next(3) == 0 => Bonding::transfer(bond, &who.into()).is_ok(),
				_ => {
					blocks_pass(next(60));
					true
				}
			};
			done[what] += u32::from(worked);
			// Slashes bring the accounts down to nothing in the end: their PHA comes back.
			if step % 100 == 0 {
				let keep = frame_support::traits::tokens::Preservation::Preserve;
				for account in [ALICE, BOB] {
					let _ = Balances::transfer(&TREASURY, &account, slashed_of() / 4, keep);
				}
			}
			assert_conserved();
		}
		assert!(done.iter().all(|times| *times > 20), "seed {seed}: {done:?}");
	});
}

fn slashed_of() -> Balance {
	Balances::free_balance(TREASURY).saturating_sub(FUNDS)
}
