//! Weights of the bonding pallet's calls.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};

/// What each call costs.
pub trait WeightInfo {
	fn top_up() -> Weight;
	fn unbond() -> Weight;
	/// The bond answers for something, and is exhausted by it.
	fn withdraw() -> Weight;
}

/// Guesses, for mocks: the runtime has weights that were measured in it.
pub struct ConservativeWeights<T>(PhantomData<T>);

impl<T: frame_system::Config> ConservativeWeights<T> {
	fn of(reads: u64, writes: u64) -> Weight {
		Weight::from_parts(200_000_000, 20_000)
			.saturating_add(T::DbWeight::get().reads_writes(reads, writes))
	}
}

impl<T: frame_system::Config> WeightInfo for ConservativeWeights<T> {
	fn top_up() -> Weight {
		// The bond, the account, its holds.
		Self::of(3, 3)
	}
	fn unbond() -> Weight {
		Self::of(1, 1)
	}
	fn withdraw() -> Weight {
		// Also what the bond answers for, and who is told that it is exhausted.
		Self::of(9, 5)
	}
}
