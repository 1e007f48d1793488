//! Weights of `pallet_clusters`, measured in this runtime by `make weights`: do not edit.
//!
//! 2026-11-23, Intel(R) Xeon(R) Processor, steps 50, repeats 20.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

pub struct WeightInfo<T>(PhantomData<T>);

impl<T: frame_system::Config> pallet_clusters::WeightInfo for WeightInfo<T> {
	fn create() -> Weight {
		// At least 93_351 ns.
		Weight::from_parts(99_281_000, 3622)
			.saturating_add(T::DbWeight::get().reads(2))
			.saturating_add(T::DbWeight::get().writes(3))
	}
	fn request_join() -> Weight {
		// At least 89_316 ns.
		Weight::from_parts(95_598_000, 3856)
			.saturating_add(T::DbWeight::get().reads(6))
			.saturating_add(T::DbWeight::get().writes(1))
	}
	/// `a`: measured from 0 to 63.
	fn approve_join(a: u32) -> Weight {
		// At least 583_050 ns.
		Weight::from_parts(1_358_701_567, 92664)
			.saturating_add(Weight::from_parts(106_392_001, 0).saturating_mul(a.into()))
			.saturating_add(T::DbWeight::get().reads(221))
			.saturating_add(T::DbWeight::get().reads(u64::from(a).saturating_mul(8)))
			.saturating_add(T::DbWeight::get().writes(19))
			.saturating_add(T::DbWeight::get().writes(u64::from(a).saturating_mul(6)))
			.saturating_add(Weight::from_parts(0, 10717).saturating_mul(a.into()))
	}
	fn set_endpoint() -> Weight {
		// At least 116_187 ns.
		Weight::from_parts(121_963_000, 16791)
			.saturating_add(T::DbWeight::get().reads(7))
			.saturating_add(T::DbWeight::get().writes(5))
	}
	fn leave() -> Weight {
		// At least 5_144_889 ns.
		Weight::from_parts(5_394_718_000, 173598)
			.saturating_add(T::DbWeight::get().reads(554))
			.saturating_add(T::DbWeight::get().writes(439))
	}
	fn remove_member() -> Weight {
		// At least 5_151_288 ns.
		Weight::from_parts(5_326_329_000, 173598)
			.saturating_add(T::DbWeight::get().reads(554))
			.saturating_add(T::DbWeight::get().writes(439))
	}
	fn close() -> Weight {
		// At least 94_479 ns.
		Weight::from_parts(104_503_000, 3622)
			.saturating_add(T::DbWeight::get().reads(2))
			.saturating_add(T::DbWeight::get().writes(7))
	}
	fn set_open() -> Weight {
		// At least 33_242 ns.
		Weight::from_parts(39_125_000, 3546)
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().writes(1))
	}
	fn admit_developer() -> Weight {
		// At least 46_724 ns.
		Weight::from_parts(51_913_000, 11679)
			.saturating_add(T::DbWeight::get().reads(2))
			.saturating_add(T::DbWeight::get().writes(1))
	}
	fn offer_transfer() -> Weight {
		// At least 32_924 ns.
		Weight::from_parts(36_317_000, 3546)
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().writes(1))
	}
	fn accept_transfer() -> Weight {
		// At least 152_082 ns.
		Weight::from_parts(157_126_000, 6254)
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().writes(5))
	}
	/// `a`: measured from 0 to 64.
	fn tell_agents(a: u32) -> Weight {
		// At least 56_294 ns.
		Weight::from_parts(106_848_823, 16791)
			.saturating_add(Weight::from_parts(47_029_452, 0).saturating_mul(a.into()))
			.saturating_add(T::DbWeight::get().reads(10))
			.saturating_add(T::DbWeight::get().reads(u64::from(a).saturating_mul(5)))
			.saturating_add(T::DbWeight::get().writes(5))
			.saturating_add(T::DbWeight::get().writes(u64::from(a).saturating_mul(1)))
			.saturating_add(Weight::from_parts(0, 10717).saturating_mul(a.into()))
	}
	/// `a`: measured from 0 to 64.
	fn move_leases(a: u32) -> Weight {
		// At least 1_094_096 ns.
		Weight::from_parts(1_352_075_247, 92702)
			.saturating_add(Weight::from_parts(61_247_046, 0).saturating_mul(a.into()))
			.saturating_add(T::DbWeight::get().reads(233))
			.saturating_add(T::DbWeight::get().reads(u64::from(a).saturating_mul(5)))
			.saturating_add(T::DbWeight::get().writes(14))
			.saturating_add(T::DbWeight::get().writes(u64::from(a).saturating_mul(6)))
			.saturating_add(Weight::from_parts(0, 2697).saturating_mul(a.into()))
	}
	fn request_key() -> Weight {
		// At least 116_538 ns.
		Weight::from_parts(127_464_000, 17954)
			.saturating_add(T::DbWeight::get().reads(10))
			.saturating_add(T::DbWeight::get().writes(7))
	}
	fn wrap_keys() -> Weight {
		// At least 134_461 ns.
		Weight::from_parts(144_901_000, 17954)
			.saturating_add(T::DbWeight::get().reads(8))
			.saturating_add(T::DbWeight::get().writes(5))
	}
	fn challenge() -> Weight {
		// At least 169_386 ns.
		Weight::from_parts(181_757_000, 16791)
			.saturating_add(T::DbWeight::get().reads(17))
			.saturating_add(T::DbWeight::get().writes(9))
	}
	/// `n`: measured from 0 to 16.
	fn end_gaps(n: u32) -> Weight {
		// At least 9_810 ns.
		Weight::from_parts(19_718_549, 16791)
			.saturating_add(Weight::from_parts(44_402_609, 0).saturating_mul(n.into()))
			.saturating_add(T::DbWeight::get().reads(3))
			.saturating_add(T::DbWeight::get().reads(u64::from(n).saturating_mul(3)))
			.saturating_add(T::DbWeight::get().writes(3))
			.saturating_add(T::DbWeight::get().writes(u64::from(n).saturating_mul(5)))
			.saturating_add(Weight::from_parts(0, 2556).saturating_mul(n.into()))
	}
}
