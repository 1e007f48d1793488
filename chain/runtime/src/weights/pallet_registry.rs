//! Weights of `pallet_registry`, measured in this runtime by `make weights`: do not edit.
//!
//! 2026-11-22, Intel(R) Xeon(R) Processor, steps 50, repeats 20.

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
		// At least 3_262_291 ns.
		Weight::from_parts(3_405_143_132, 92702)
			.saturating_add(Weight::from_parts(174_969_512, 0).saturating_mul(a.into()))
			.saturating_add(T::DbWeight::get().reads(214))
			.saturating_add(T::DbWeight::get().reads(u64::from(a).saturating_mul(12)))
			.saturating_add(T::DbWeight::get().writes(42))
			.saturating_add(T::DbWeight::get().writes(u64::from(a).saturating_mul(12)))
			.saturating_add(Weight::from_parts(0, 10717).saturating_mul(a.into()))
	}
	fn register_boot_of_nobody() -> Weight {
		// By hand, until it is measured: as much as two renewals, and a look at the stake, at seats and members.
		Weight::from_parts(340_708_000, 33582)
			.saturating_add(T::DbWeight::get().reads(32))
			.saturating_add(T::DbWeight::get().writes(19))
	}
	fn renew_boot() -> Weight {
		// At least 154_662 ns.
		Weight::from_parts(170_354_000, 16791)
			.saturating_add(T::DbWeight::get().reads(11))
			.saturating_add(T::DbWeight::get().writes(5))
	}
	fn evict() -> Weight {
		// At least 5_352_758 ns.
		Weight::from_parts(5_514_520_000, 173598)
			.saturating_add(T::DbWeight::get().reads(534))
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
		// One account more than was measured, by hand: its key was whitelisted.
		// At least 5_438_466 ns.
		Weight::from_parts(5_606_713_000, 173598)
			.saturating_add(T::DbWeight::get().reads(536))
			.saturating_add(T::DbWeight::get().writes(456))
	}
	fn set_banned() -> Weight {
		// At least 5_300_813 ns.
		Weight::from_parts(5_420_527_000, 173598)
			.saturating_add(T::DbWeight::get().reads(531))
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
