//! Weights of the gatekeepers' calls.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};
use phala_protocol::limits;

// `seat` and what becomes of a seat have no component for their number.
const _: () = assert!(limits::GATEKEEPERS_MAX == 1, "measure what more seats take");

/// What each call costs.
pub trait WeightInfo {
	fn apply() -> Weight;
	fn withdraw() -> Weight;
	/// As many seats as there can be.
	fn seat() -> Weight;
	/// A look at the ceremony under way, and a key that begins to serve.
	fn activate_pending_key() -> Weight;
	/// `n`: open requests that are told to the gatekeepers of a new epoch.
	fn resend(n: u32) -> Weight;
	/// Part of what an envelope costs, as the one that follows.
	fn confirm() -> Weight;
	fn release() -> Weight;
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
	fn apply() -> Weight {
		// With a bond, its account and that account's holds.
		Self::of(10, 5)
	}
	fn withdraw() -> Weight {
		Self::of(7, 3)
	}
	fn seat() -> Weight {
		// For each seat its boot, its measurement and a message; then one message to all.
		Self::of(10, 8).saturating_add(
			Self::of(10, 6).saturating_mul(phala_protocol::limits::GATEKEEPERS_MAX.into()),
		)
	}
	fn activate_pending_key() -> Weight {
		Self::of(6, 8)
	}
	fn resend(n: u32) -> Weight {
		// A look at its boot and a push, or what is forgotten.
		let one = Weight::from_parts(60_000_000, 10_000)
			.saturating_add(T::DbWeight::get().reads_writes(6, 5));
		T::DbWeight::get().reads_writes(1, 1).saturating_add(one.saturating_mul(n.into()))
	}
	fn confirm() -> Weight {
		Self::of(12, 10)
	}
	fn release() -> Weight {
		Self::of(12, 10)
	}
}
