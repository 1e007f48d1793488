//! Weights of the mailbox's calls.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

/// What each call costs.
pub trait WeightInfo {
	/// `p`: bytes of payload.
	fn submit_envelope(p: u32) -> Weight;
	/// `p`: bytes of payload.
	fn authorize_envelope(p: u32) -> Weight;
}

/// **Not measured**: conservative guesses until `make weights` replaces them. The payload's own
/// effect comes on top: [`crate::PayloadWeights`].
pub struct ConservativeWeights<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for ConservativeWeights<T> {
	fn submit_envelope(p: u32) -> Weight {
		Weight::from_parts(400_000_000, 40_000)
			.saturating_add(Weight::from_parts(10_000, 2).saturating_mul(p.into()))
			.saturating_add(T::DbWeight::get().reads_writes(4, 5))
	}

	fn authorize_envelope(p: u32) -> Weight {
		Weight::from_parts(200_000_000, 10_000)
			.saturating_add(Weight::from_parts(5_000, 0).saturating_mul(p.into()))
			.saturating_add(T::DbWeight::get().reads(8))
	}
}
