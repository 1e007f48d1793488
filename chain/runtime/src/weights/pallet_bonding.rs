//! Weights of `pallet_bonding`, measured in this runtime by `make weights`: do not edit.
//!
//! 2026-11-23, Intel(R) Xeon(R) Processor, steps 50, repeats 20.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

pub struct WeightInfo<T>(PhantomData<T>);

impl<T: frame_system::Config> pallet_bonding::WeightInfo for WeightInfo<T> {
	fn top_up() -> Weight {
		// At least 74_527 ns.
		Weight::from_parts(82_282_000, 3856)
			.saturating_add(T::DbWeight::get().reads(2))
			.saturating_add(T::DbWeight::get().writes(2))
	}
	fn unbond() -> Weight {
		// At least 25_936 ns.
		Weight::from_parts(29_024_000, 3856)
			.saturating_add(T::DbWeight::get().reads(2))
			.saturating_add(T::DbWeight::get().writes(1))
	}
	fn withdraw() -> Weight {
		// At least 79_217 ns.
		Weight::from_parts(86_894_000, 17996)
			.saturating_add(T::DbWeight::get().reads(6))
			.saturating_add(T::DbWeight::get().writes(4))
	}
}
