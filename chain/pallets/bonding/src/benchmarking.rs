//! Benchmarks of the bonding pallet's calls, each on a bond of which as many parts leave as can.

use super::*;
use frame_benchmarking::v2::*;
use frame_support::traits::fungible::Mutate;
use frame_system::RawOrigin;
use phala_protocol::limits;
use sp_runtime::Saturating;

/// Of the two roles, the one about which more is asked before a part leaves.
const BOND: BondId = BondId::Gatekeeper(0);

/// An account whose bond has room for one more part.
fn bonded<T: Config>(account: T::AccountId) -> T::AccountId
where
	T::Currency: Mutate<T::AccountId>,
{
	let stake = Pallet::<T>::stake(BOND);
	T::Currency::set_balance(&account, stake.saturating_mul(10));
	let bytes: AccountBytes = account.clone().into();
	<Pallet<T> as Bonding>::open(BOND, &bytes).expect("the account has the stake");
	let part = stake / Balance::from(limits::UNBONDING_CHUNKS_MAX) / 2;
	for _ in 1..limits::UNBONDING_CHUNKS_MAX {
		next_block::<T>();
		Pallet::<T>::unbond(RawOrigin::Signed(account.clone()).into(), BOND, part)
			.expect("there is room");
	}
	next_block::<T>();
	account
}

fn next_block<T: Config>() {
	let now = frame_system::Pallet::<T>::block_number();
	frame_system::Pallet::<T>::set_block_number(now.saturating_add(1u32.into()));
}

#[benchmarks(where T::Currency: Mutate<T::AccountId>)]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn top_up() {
		let account = bonded::<T>(whitelisted_caller());
		let before = <Pallet<T> as Bonding>::at_stake(BOND);
		#[extrinsic_call]
		top_up(RawOrigin::Signed(account), BOND, 1);
		assert_eq!(<Pallet<T> as Bonding>::at_stake(BOND), before + 1);
	}

	#[benchmark]
	fn unbond() {
		let account = bonded::<T>(whitelisted_caller());
		#[extrinsic_call]
		unbond(RawOrigin::Signed(account), BOND, 1);
		let leaving = Bonds::<T>::get(BOND).map(|bond| bond.unbonding.len() as u32);
		assert_eq!(leaving, Some(limits::UNBONDING_CHUNKS_MAX));
	}

	// The last of a closed bond leaves, on a stranger's word: what else was kept for it is forgotten.
	#[benchmark]
	fn withdraw() {
		bonded::<T>(account("bonded", 0, 0));
		<Pallet<T> as Bonding>::close(BOND);
		let leaving = Bonds::<T>::get(BOND).map(|bond| bond.unbonding.len() as u32);
		assert_eq!(leaving, Some(limits::UNBONDING_CHUNKS_MAX));
		let until = Pallet::<T>::leaves_at();
		frame_system::Pallet::<T>::set_block_number(until.into());
		#[extrinsic_call]
		withdraw(RawOrigin::Signed(whitelisted_caller()), BOND);
		assert!(!Bonds::<T>::contains_key(BOND));
	}

	impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Runtime);
}
