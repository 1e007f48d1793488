//! Weights of `pallet_gatekeepers`, measured in this runtime by `make weights`: do not edit.
//!
//! 2026-11-23, Intel(R) Xeon(R) Processor, steps 50, repeats 20.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

pub struct WeightInfo<T>(PhantomData<T>);

impl<T: frame_system::Config> pallet_gatekeepers::WeightInfo for WeightInfo<T> {
	fn apply() -> Weight {
		// At least 106_837 ns.
		Weight::from_parts(112_469_000, 6722)
			.saturating_add(T::DbWeight::get().reads(7))
			.saturating_add(T::DbWeight::get().writes(3))
	}
	fn withdraw() -> Weight {
		// At least 51_926 ns.
		Weight::from_parts(56_593_000, 17996)
			.saturating_add(T::DbWeight::get().reads(6))
			.saturating_add(T::DbWeight::get().writes(2))
	}
	fn seat() -> Weight {
		// At least 106_007 ns.
		Weight::from_parts(115_575_000, 17954)
			.saturating_add(T::DbWeight::get().reads(12))
			.saturating_add(T::DbWeight::get().writes(9))
	}
	fn activate_pending_key() -> Weight {
		// At least 111_703 ns.
		Weight::from_parts(119_071_000, 17996)
			.saturating_add(T::DbWeight::get().reads(4))
			.saturating_add(T::DbWeight::get().writes(7))
	}
	fn confirm() -> Weight {
		// At least 64_662 ns.
		Weight::from_parts(70_424_000, 17996)
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().writes(1))
	}
	fn release() -> Weight {
		// At least 97_034 ns.
		Weight::from_parts(109_190_000, 17954)
			.saturating_add(T::DbWeight::get().reads(10))
			.saturating_add(T::DbWeight::get().writes(7))
	}
	/// `n`: measured from 0 to 64.
	fn resend(n: u32) -> Weight {
		// At least 9_026 ns.
		Weight::from_parts(29_152_970, 16791)
			.saturating_add(Weight::from_parts(29_595_584, 0).saturating_mul(n.into()))
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().reads(u64::from(n).saturating_mul(2)))
			.saturating_add(T::DbWeight::get().writes(4))
			.saturating_add(T::DbWeight::get().writes(u64::from(n).saturating_mul(1)))
			.saturating_add(Weight::from_parts(0, 2604).saturating_mul(n.into()))
	}
}
