//! Weights of `pallet_mailbox`, measured in this runtime by `make weights`: do not edit.
//!
//! 2026-11-23, Intel(R) Xeon(R) Processor, steps 50, repeats 20.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

pub struct WeightInfo<T>(PhantomData<T>);

impl<T: frame_system::Config> pallet_mailbox::WeightInfo for WeightInfo<T> {
	/// `p`: measured from 0 to 32768.
	fn submit_envelope(p: u32) -> Weight {
		// At least 66_607 ns.
		Weight::from_parts(73_667_769, 17996)
			.saturating_add(Weight::from_parts(352, 0).saturating_mul(p.into()))
			.saturating_add(T::DbWeight::get().reads(9))
			.saturating_add(T::DbWeight::get().writes(6))
	}
	/// `p`: measured from 0 to 32768.
	fn authorize_envelope(p: u32) -> Weight {
		// At least 108_823 ns.
		Weight::from_parts(120_868_717, 16791)
			.saturating_add(Weight::from_parts(4_811, 0).saturating_mul(p.into()))
			.saturating_add(T::DbWeight::get().reads(9))
	}
	fn end_block() -> Weight {
		// At least 16_914 ns.
		Weight::from_parts(18_532_000, 1525)
			.saturating_add(T::DbWeight::get().reads(2))
			.saturating_add(T::DbWeight::get().writes(3))
	}
	/// `m`: measured from 0 to 1024.
	fn prune(m: u32) -> Weight {
		// At least 8_772 ns.
		Weight::from_parts(9_035_000, 16791)
			.saturating_add(Weight::from_parts(2_396_355, 0).saturating_mul(m.into()))
			.saturating_add(T::DbWeight::get().reads(2))
			.saturating_add(T::DbWeight::get().writes(2))
			.saturating_add(T::DbWeight::get().writes(u64::from(m).saturating_mul(1)))
	}
}
