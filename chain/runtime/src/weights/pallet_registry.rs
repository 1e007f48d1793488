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
	fn register_boot() -> Weight {
		// At least 12_124_178 ns.
		Weight::from_parts(12_319_580_000, 686878)
			.saturating_add(T::DbWeight::get().reads(980))
			.saturating_add(T::DbWeight::get().writes(828))
	}
	fn renew_boot() -> Weight {
		// At least 154_662 ns.
		Weight::from_parts(170_354_000, 16791)
			.saturating_add(T::DbWeight::get().reads(11))
			.saturating_add(T::DbWeight::get().writes(5))
	}
	fn evict() -> Weight {
		// At least 5_141_282 ns.
		Weight::from_parts(5_352_786_000, 173598)
			.saturating_add(T::DbWeight::get().reads(534))
			.saturating_add(T::DbWeight::get().writes(450))
	}
	fn close_worker() -> Weight {
		// At least 127_301 ns.
		Weight::from_parts(138_017_000, 17996)
			.saturating_add(T::DbWeight::get().reads(13))
			.saturating_add(T::DbWeight::get().writes(15))
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
		// At least 66_238 ns.
		Weight::from_parts(72_029_000, 16791)
			.saturating_add(T::DbWeight::get().reads(6))
			.saturating_add(T::DbWeight::get().writes(6))
	}
	fn evict_for() -> Weight {
		// At least 5_398_318 ns.
		Weight::from_parts(5_561_925_000, 173598)
			.saturating_add(T::DbWeight::get().reads(535))
			.saturating_add(T::DbWeight::get().writes(454))
	}
	fn set_banned() -> Weight {
		// At least 5_261_551 ns.
		Weight::from_parts(5_378_658_000, 173598)
			.saturating_add(T::DbWeight::get().reads(531))
			.saturating_add(T::DbWeight::get().writes(451))
	}
	fn offer_worker() -> Weight {
		// At least 21_329 ns.
		Weight::from_parts(23_678_000, 3554)
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().writes(1))
	}
	fn accept_worker() -> Weight {
		// At least 190_916 ns.
		Weight::from_parts(203_546_000, 17996)
			.saturating_add(T::DbWeight::get().reads(17))
			.saturating_add(T::DbWeight::get().writes(16))
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
