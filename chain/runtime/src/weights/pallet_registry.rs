//! Weights of `pallet_registry`, measured in this runtime by `make weights`: do not edit.
//!
//! 2026-11-23, Intel(R) Xeon(R) Processor, steps 50, repeats 20.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

pub struct WeightInfo<T>(PhantomData<T>);

impl<T: frame_system::Config> pallet_registry::WeightInfo for WeightInfo<T> {
	fn register_worker() -> Weight {
		// At least 81_465 ns.
		Weight::from_parts(89_972_000, 3856)
			.saturating_add(T::DbWeight::get().reads(3))
			.saturating_add(T::DbWeight::get().writes(4))
	}
	/// `a`: measured from 0 to 63.
	fn register_boot(a: u32) -> Weight {
		// At least 1_900_603 ns.
		Weight::from_parts(2_682_133_992, 92702)
			.saturating_add(Weight::from_parts(158_489_255, 0).saturating_mul(a.into()))
			.saturating_add(T::DbWeight::get().reads(246))
			.saturating_add(T::DbWeight::get().reads(u64::from(a).saturating_mul(12)))
			.saturating_add(T::DbWeight::get().writes(42))
			.saturating_add(T::DbWeight::get().writes(u64::from(a).saturating_mul(12)))
			.saturating_add(Weight::from_parts(0, 10717).saturating_mul(a.into()))
	}
	fn register_boot_of_nobody() -> Weight {
		// At least 336_545 ns.
		Weight::from_parts(371_006_000, 17996)
			.saturating_add(T::DbWeight::get().reads(17))
			.saturating_add(T::DbWeight::get().writes(13))
	}
	fn renew_boot() -> Weight {
		// At least 154_662 ns.
		Weight::from_parts(170_354_000, 16791)
			.saturating_add(T::DbWeight::get().reads(11))
			.saturating_add(T::DbWeight::get().writes(5))
	}
	fn evict() -> Weight {
		// At least 5_365_637 ns.
		Weight::from_parts(5_528_407_000, 173598)
			.saturating_add(T::DbWeight::get().reads(564))
			.saturating_add(T::DbWeight::get().writes(451))
	}
	fn close_worker() -> Weight {
		// At least 131_225 ns.
		Weight::from_parts(141_696_000, 17996)
			.saturating_add(T::DbWeight::get().reads(13))
			.saturating_add(T::DbWeight::get().writes(16))
	}
	fn allow_measurement() -> Weight {
		// At least 35_602 ns.
		Weight::from_parts(40_217_000, 16791)
			.saturating_add(T::DbWeight::get().reads(3))
			.saturating_add(T::DbWeight::get().writes(6))
	}
	fn delist_measurement() -> Weight {
		// At least 53_074 ns.
		Weight::from_parts(59_000_000, 16791)
			.saturating_add(T::DbWeight::get().reads(6))
			.saturating_add(T::DbWeight::get().writes(6))
	}
	fn destroy_measurement() -> Weight {
		// At least 58_187 ns.
		Weight::from_parts(63_516_000, 16791)
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().writes(7))
	}
	fn probe() -> Weight {
		// At least 127_152 ns.
		Weight::from_parts(140_095_000, 16791)
			.saturating_add(T::DbWeight::get().reads(8))
			.saturating_add(T::DbWeight::get().writes(8))
	}
	fn evict_for() -> Weight {
		// At least 5_480_166 ns.
		Weight::from_parts(5_673_575_000, 173598)
			.saturating_add(T::DbWeight::get().reads(566))
			.saturating_add(T::DbWeight::get().writes(456))
	}
	fn set_banned() -> Weight {
		// At least 5_363_869 ns.
		Weight::from_parts(5_544_943_000, 173598)
			.saturating_add(T::DbWeight::get().reads(561))
			.saturating_add(T::DbWeight::get().writes(452))
	}
	fn offer_worker() -> Weight {
		// At least 21_329 ns.
		Weight::from_parts(23_678_000, 3554)
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().writes(1))
	}
	fn accept_worker() -> Weight {
		// At least 191_452 ns.
		Weight::from_parts(207_761_000, 17996)
			.saturating_add(T::DbWeight::get().reads(17))
			.saturating_add(T::DbWeight::get().writes(17))
	}
	/// `b`: measured from 0 to 64.
	fn sweep(b: u32) -> Weight {
		// At least 22_847 ns.
		Weight::from_parts(38_646_730, 3594)
			.saturating_add(Weight::from_parts(12_600_068, 0).saturating_mul(b.into()))
			.saturating_add(T::DbWeight::get().reads(4))
			.saturating_add(T::DbWeight::get().reads(u64::from(b).saturating_mul(2)))
			.saturating_add(T::DbWeight::get().writes(2))
			.saturating_add(Weight::from_parts(0, 2604).saturating_mul(b.into()))
	}
	fn heartbeat() -> Weight {
		// At least 114_851 ns.
		Weight::from_parts(121_316_000, 16791)
			.saturating_add(T::DbWeight::get().reads(7))
			.saturating_add(T::DbWeight::get().writes(7))
	}
}
