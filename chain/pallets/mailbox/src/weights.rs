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

/// A payload of fewer bytes is no effect set: agent, versions, body and three lists.
const EFFECT_SET_BYTES_MIN: u32 = 76;

/// **Not measured**: conservative guesses until `make weights` replaces them. The payload's own
/// effect is counted with the most that any receiver does today (two pushes), and from
/// [`EFFECT_SET_BYTES_MIN`] on with that of an effect set: the signatures of all members of a
/// full cluster, a look at each of them, and as many settled requests as fit.
pub struct ConservativeWeights<T>(PhantomData<T>);

impl<T: frame_system::Config> ConservativeWeights<T> {
	fn effect_set(p: u32) -> Weight {
		if p < EFFECT_SET_BYTES_MIN {
			return Weight::zero();
		}
		Weight::from_parts(5_500_000_000, 400_000)
			.saturating_add(T::DbWeight::get().reads_writes(230, 90))
	}
}

impl<T: frame_system::Config> WeightInfo for ConservativeWeights<T> {
	fn submit_envelope(p: u32) -> Weight {
		Weight::from_parts(400_000_000, 40_000)
			.saturating_add(Weight::from_parts(10_000, 2).saturating_mul(p.into()))
			.saturating_add(T::DbWeight::get().reads_writes(16, 16))
			.saturating_add(Self::effect_set(p))
	}

	fn authorize_envelope(p: u32) -> Weight {
		Weight::from_parts(200_000_000, 10_000)
			.saturating_add(Weight::from_parts(5_000, 0).saturating_mul(p.into()))
			.saturating_add(T::DbWeight::get().reads(6))
	}
}
