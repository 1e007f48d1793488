//! Weights of the mailbox's calls.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

/// What each call costs.
pub trait WeightInfo {
	/// `p`: bytes of payload.
	fn submit_envelope(p: u32) -> Weight;
	/// `p`: bytes of payload.
	fn authorize_envelope(p: u32) -> Weight;
	/// The end of a block, but for what its envelopes pay for.
	fn end_block() -> Weight;
	/// `m`: messages of one block that are forgotten.
	fn prune(m: u32) -> Weight;
}

/// Guesses, for mocks: the runtime has weights that were measured in it. The payload's own
/// effect comes on top: [`crate::PayloadWeights`].
pub struct ConservativeWeights<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for ConservativeWeights<T> {
	fn submit_envelope(p: u32) -> Weight {
		Weight::from_parts(400_000_000, 40_000)
			.saturating_add(Weight::from_parts(10_000, 2).saturating_mul(p.into()))
			.saturating_add(T::DbWeight::get().reads_writes(8, 7))
	}

	fn authorize_envelope(p: u32) -> Weight {
		Weight::from_parts(200_000_000, 10_000)
			.saturating_add(Weight::from_parts(5_000, 0).saturating_mul(p.into()))
			.saturating_add(T::DbWeight::get().reads(10))
	}

	fn end_block() -> Weight {
		T::DbWeight::get().reads_writes(4, 3)
	}

	fn prune(m: u32) -> Weight {
		let one = Weight::from_parts(5_000_000, 100).saturating_add(T::DbWeight::get().writes(1));
		// The list of a full block is read, and written when there is no room for all of it.
		Weight::from_parts(20_000_000, 20_000)
			.saturating_add(T::DbWeight::get().reads_writes(2, 2))
			.saturating_add(one.saturating_mul(m.into()))
	}
}
