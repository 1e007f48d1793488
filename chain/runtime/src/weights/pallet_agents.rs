//! Weights of `pallet_agents`, measured in this runtime by `make weights`: do not edit.
//!
//! 2026-11-23, Intel(R) Xeon(R) Processor, steps 50, repeats 20.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

pub struct WeightInfo<T>(PhantomData<T>);

impl<T: frame_system::Config> pallet_agents::WeightInfo for WeightInfo<T> {
	fn register() -> Weight {
		// At least 1_264_230 ns.
		Weight::from_parts(1_336_151_000, 92702)
			.saturating_add(T::DbWeight::get().reads(240))
			.saturating_add(T::DbWeight::get().writes(19))
	}
	fn upgrade() -> Weight {
		// At least 183_369 ns.
		Weight::from_parts(194_959_000, 16791)
			.saturating_add(T::DbWeight::get().reads(8))
			.saturating_add(T::DbWeight::get().writes(9))
	}
	fn set_price() -> Weight {
		// At least 130_191 ns.
		Weight::from_parts(140_146_000, 16791)
			.saturating_add(T::DbWeight::get().reads(10))
			.saturating_add(T::DbWeight::get().writes(5))
	}
	fn set_access() -> Weight {
		// At least 110_890 ns.
		Weight::from_parts(119_949_000, 16791)
			.saturating_add(T::DbWeight::get().reads(7))
			.saturating_add(T::DbWeight::get().writes(5))
	}
	fn allow_caller() -> Weight {
		// At least 175_872 ns.
		Weight::from_parts(191_238_000, 16791)
			.saturating_add(T::DbWeight::get().reads(9))
			.saturating_add(T::DbWeight::get().writes(7))
	}
	fn disallow_caller() -> Weight {
		// At least 169_080 ns.
		Weight::from_parts(180_683_000, 16791)
			.saturating_add(T::DbWeight::get().reads(9))
			.saturating_add(T::DbWeight::get().writes(7))
	}
	/// `u`: measured from 0 to 32.
	fn activate_due(u: u32) -> Weight {
		// At least 9_986 ns.
		Weight::from_parts(27_311_742, 16791)
			.saturating_add(Weight::from_parts(106_192_775, 0).saturating_mul(u.into()))
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().reads(u64::from(u).saturating_mul(4)))
			.saturating_add(T::DbWeight::get().writes(4))
			.saturating_add(T::DbWeight::get().writes(u64::from(u).saturating_mul(4)))
			.saturating_add(Weight::from_parts(0, 10717).saturating_mul(u.into()))
	}
	/// `a`: measured from 0 to 31.
	/// `o`: measured from 0 to 31.
	fn commit(a: u32, o: u32) -> Weight {
		// At least 968_040 ns. The line through what was measured is by hand: where it ends is measured well, and
		// its parts are not, since a cluster of all that signed has none that did not.
		Weight::from_parts(170_000_000, 16791)
			.saturating_add(Weight::from_parts(82_000_000, 0).saturating_mul(a.into()))
			.saturating_add(Weight::from_parts(27_000_000, 0).saturating_mul(o.into()))
			.saturating_add(T::DbWeight::get().reads(12))
			.saturating_add(T::DbWeight::get().reads(u64::from(a).saturating_mul(5)))
			.saturating_add(T::DbWeight::get().reads(u64::from(o).saturating_mul(5)))
			.saturating_add(T::DbWeight::get().writes(5))
			.saturating_add(Weight::from_parts(0, 2866).saturating_mul(a.into()))
			.saturating_add(Weight::from_parts(0, 2866).saturating_mul(o.into()))
	}
	fn refuse_commit() -> Weight {
		// At least 16_959 ns.
		Weight::from_parts(18_512_000, 3720).saturating_add(T::DbWeight::get().reads(2))
	}
	/// `n`: measured from 0 to 8.
	fn look_at_births(n: u32) -> Weight {
		// At least 5_780 ns.
		Weight::from_parts(9_200_447, 3521)
			.saturating_add(Weight::from_parts(9_967_510, 0).saturating_mul(n.into()))
			.saturating_add(T::DbWeight::get().reads(2))
			.saturating_add(T::DbWeight::get().reads(u64::from(n).saturating_mul(2)))
			.saturating_add(T::DbWeight::get().writes(1))
			.saturating_add(T::DbWeight::get().writes(u64::from(n).saturating_mul(1)))
			.saturating_add(Weight::from_parts(0, 2730).saturating_mul(n.into()))
	}
	fn pass_birth_on() -> Weight {
		// At least 1_171_763 ns.
		Weight::from_parts(1_305_284_000, 92702)
			.saturating_add(T::DbWeight::get().reads(235))
			.saturating_add(T::DbWeight::get().writes(14))
	}
	/// `n`: measured from 0 to 64.
	fn forget_history(n: u32) -> Weight {
		// At least 3_215 ns.
		Weight::from_parts(3_324_000, 3501)
			.saturating_add(Weight::from_parts(27_254_422, 0).saturating_mul(n.into()))
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().reads(u64::from(n).saturating_mul(1)))
			.saturating_add(T::DbWeight::get().writes(u64::from(n).saturating_mul(2)))
			.saturating_add(Weight::from_parts(0, 2511).saturating_mul(n.into()))
	}
	fn retire() -> Weight {
		// At least 369_313 ns.
		Weight::from_parts(386_041_000, 16791)
			.saturating_add(T::DbWeight::get().reads(15))
			.saturating_add(T::DbWeight::get().writes(88))
	}
	fn offer_transfer() -> Weight {
		// At least 20_859 ns.
		Weight::from_parts(23_193_000, 3720)
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().writes(1))
	}
	fn accept_transfer() -> Weight {
		// At least 230_634 ns.
		Weight::from_parts(244_488_000, 16791)
			.saturating_add(T::DbWeight::get().reads(12))
			.saturating_add(T::DbWeight::get().writes(9))
	}
	fn evict() -> Weight {
		// At least 377_545 ns.
		Weight::from_parts(420_291_000, 16791)
			.saturating_add(T::DbWeight::get().reads(17))
			.saturating_add(T::DbWeight::get().writes(89))
	}
}
