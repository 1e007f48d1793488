//! Weights of `pallet_requests`, measured in this runtime by `make weights`: do not edit.
//!
//! 2026-11-23, Intel(R) Xeon(R) Processor, steps 50, repeats 20.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

pub struct WeightInfo<T>(PhantomData<T>);

impl<T: frame_system::Config> pallet_requests::WeightInfo for WeightInfo<T> {
	/// `i`: measured from 0 to 16384.
	fn submit(i: u32) -> Weight {
		// At least 1_399_546 ns.
		Weight::from_parts(1_469_085_974, 92664)
			.saturating_add(Weight::from_parts(6_934, 0).saturating_mul(i.into()))
			.saturating_add(T::DbWeight::get().reads(243))
			.saturating_add(T::DbWeight::get().writes(24))
	}
	/// `i`: measured from 0 to 16384.
	fn submit_to_holder(i: u32) -> Weight {
		// At least 320_108 ns.
		Weight::from_parts(330_836_545, 16791)
			.saturating_add(Weight::from_parts(4_521, 0).saturating_mul(i.into()))
			.saturating_add(T::DbWeight::get().reads(22))
			.saturating_add(T::DbWeight::get().writes(15))
	}
	/// `n`: measured from 0 to 8.
	fn expire(n: u32) -> Weight {
		// At least 7_944 ns.
		Weight::from_parts(38_618_146, 6196)
			.saturating_add(Weight::from_parts(251_847_430, 0).saturating_mul(n.into()))
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().reads(u64::from(n).saturating_mul(20)))
			.saturating_add(T::DbWeight::get().writes(4))
			.saturating_add(T::DbWeight::get().writes(u64::from(n).saturating_mul(16)))
			.saturating_add(Weight::from_parts(0, 5206).saturating_mul(n.into()))
	}
	/// `n`: measured from 0 to 32.
	fn refund_moved(n: u32) -> Weight {
		// At least 21_623 ns.
		Weight::from_parts(65_578_734, 3687)
			.saturating_add(Weight::from_parts(92_843_308, 0).saturating_mul(n.into()))
			.saturating_add(T::DbWeight::get().reads(6))
			.saturating_add(T::DbWeight::get().reads(u64::from(n).saturating_mul(6)))
			.saturating_add(T::DbWeight::get().writes(4))
			.saturating_add(T::DbWeight::get().writes(u64::from(n).saturating_mul(5)))
			.saturating_add(Weight::from_parts(0, 2658).saturating_mul(n.into()))
	}
	fn move_lease() -> Weight {
		// At least 1_137_520 ns.
		Weight::from_parts(1_184_754_000, 92702)
			.saturating_add(T::DbWeight::get().reads(233))
			.saturating_add(T::DbWeight::get().writes(13))
	}
	/// `n`: measured from 0 to 64.
	fn near(n: u32) -> Weight {
		// At least 9_180 ns.
		Weight::from_parts(36_389_625, 16791)
			.saturating_add(Weight::from_parts(34_590_076, 0).saturating_mul(n.into()))
			.saturating_add(T::DbWeight::get().reads(3))
			.saturating_add(T::DbWeight::get().reads(u64::from(n).saturating_mul(3)))
			.saturating_add(T::DbWeight::get().writes(2))
			.saturating_add(T::DbWeight::get().writes(u64::from(n).saturating_mul(2)))
			.saturating_add(Weight::from_parts(0, 2730).saturating_mul(n.into()))
	}
	/// `n`: measured from 0 to 128.
	fn prune(n: u32) -> Weight {
		// At least 5_061 ns.
		Weight::from_parts(5_376_000, 1501)
			.saturating_add(Weight::from_parts(10_671_816, 0).saturating_mul(n.into()))
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().reads(u64::from(n).saturating_mul(1)))
			.saturating_add(T::DbWeight::get().writes(1))
			.saturating_add(T::DbWeight::get().writes(u64::from(n).saturating_mul(3)))
			.saturating_add(Weight::from_parts(0, 2527).saturating_mul(n.into()))
	}
	/// `b`: measured from 0 to 16384.
	fn settle(b: u32) -> Weight {
		// One account more than was measured, by hand: the treasury's key is whitelisted.
		// At least 252_178 ns.
		Weight::from_parts(292_497_984, 11402)
			.saturating_add(Weight::from_parts(158, 0).saturating_mul(b.into()))
			.saturating_add(T::DbWeight::get().reads(12))
			.saturating_add(T::DbWeight::get().writes(17))
	}
	/// `n`: measured from 0 to 4.
	fn look(n: u32) -> Weight {
		// At least 309 ns.
		Weight::from_parts(2_808_927, 990)
			.saturating_add(Weight::from_parts(10_191_186, 0).saturating_mul(n.into()))
			.saturating_add(T::DbWeight::get().reads(u64::from(n).saturating_mul(1)))
			.saturating_add(Weight::from_parts(0, 2658).saturating_mul(n.into()))
	}
}
