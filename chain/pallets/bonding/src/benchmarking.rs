//! Benchmarks of the bonding pallet's calls, each on a bond of which as many parts leave as can.

use super::*;
use frame_benchmarking::v2::*;
use frame_support::traits::fungible::Mutate;
use frame_system::RawOrigin;
use phala_protocol::limits;
use sp_runtime::Saturating;

const BOND: BondId = BondId::Worker(0);

/// An account whose bond has no room for one more part.
fn bonded<T: Config>() -> T::AccountId
where
	T::Currency: Mutate<T::AccountId>,
{
	let account: T::AccountId = whitelisted_caller();
	T::Currency::set_balance(&account, T::WorkerStake::get().saturating_mul(10));
	let bytes: AccountBytes = account.clone().into();
	<Pallet<T> as Bonding>::open(BOND, &bytes).expect("the account has the stake");
	let part = T::WorkerStake::get() / Balance::from(limits::UNBONDING_CHUNKS_MAX) / 2;
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
		let account = bonded::<T>();
		let before = <Pallet<T> as Bonding>::at_stake(BOND);
		#[extrinsic_call]
		top_up(RawOrigin::Signed(account), BOND, 1);
		assert_eq!(<Pallet<T> as Bonding>::at_stake(BOND), before + 1);
	}

	#[benchmark]
	fn unbond() {
		let account = bonded::<T>();
		#[extrinsic_call]
		unbond(RawOrigin::Signed(account), BOND, 1);
		let leaving = Bonds::<T>::get(BOND).map(|bond| bond.unbonding.len() as u32);
		assert_eq!(leaving, Some(limits::UNBONDING_CHUNKS_MAX));
	}

	// All that is left leaves: its user is told that the bond is exhausted.
	#[benchmark]
	fn withdraw() {
		let account = bonded::<T>();
		let rest = Bonds::<T>::get(BOND).map_or(0, |bond| bond.active);
		Pallet::<T>::unbond(RawOrigin::Signed(account.clone()).into(), BOND, rest)
			.expect("there is room for the last part");
		let until = Pallet::<T>::leaves_at();
		frame_system::Pallet::<T>::set_block_number(until.into());
		#[extrinsic_call]
		withdraw(RawOrigin::Signed(account), BOND);
		assert_eq!(<Pallet<T> as Bonding>::at_stake(BOND), 0);
	}

	impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Runtime);
}
