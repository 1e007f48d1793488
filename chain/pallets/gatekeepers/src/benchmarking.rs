//! Benchmarks of the gatekeepers' calls.

use super::*;
use frame_benchmarking::v2::*;
use frame_system::RawOrigin;

/// Gives benchmarks slots: the registry's storage is the runtime's to fill.
pub trait BenchmarkHelper<AccountId> {
	/// Makes a slot of `operator` with a boot in force.
	fn boot_slot(slot: SlotId, operator: AccountId);
}

fn operator_of<T: Config>(slot: SlotId) -> T::AccountId {
	let operator: T::AccountId = whitelisted_caller();
	T::BenchmarkHelper::boot_slot(slot, operator.clone());
	operator
}

#[benchmarks]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn apply() {
		let operator = operator_of::<T>(0);
		#[extrinsic_call]
		apply(RawOrigin::Signed(operator), 0);
		assert!(Candidates::<T>::contains_key(0));
	}

	#[benchmark]
	fn withdraw() {
		let operator = operator_of::<T>(0);
		Candidates::<T>::insert(0, ());
		#[extrinsic_call]
		withdraw(RawOrigin::Signed(operator), 0);
		assert!(!Candidates::<T>::contains_key(0));
	}

	#[benchmark]
	fn seat(s: Linear<1, { limits::GATEKEEPERS_MAX }>) {
		let slots: Vec<SlotId> = (0..s).collect();
		for slot in &slots {
			operator_of::<T>(*slot);
			Candidates::<T>::insert(slot, ());
		}
		#[extrinsic_call]
		seat(RawOrigin::Root, slots);
		assert!(Ceremony::<T>::exists());
	}

	impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Runtime);
}
