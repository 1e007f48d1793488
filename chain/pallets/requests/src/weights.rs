//! Weights of the requests pallet's call, its hook and the settlement of a result.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};
use phala_protocol::limits;

/// What each call costs.
pub trait WeightInfo {
	/// `i`: bytes of input.
	fn submit(i: u32) -> Weight;
	/// `n`: requests whose deadline passed.
	fn expire(n: u32) -> Weight;
	/// `s`: different workers that missed deadlines, whose leases move.
	fn move_leases(s: u32) -> Weight;
	/// `n`: closed requests that are forgotten.
	fn prune(n: u32) -> Weight;
	/// `b`: bytes of one answer. Part of what an envelope costs.
	fn settle(b: u32) -> Weight;
}

/// **Not measured**: conservative guesses until `make weights` replaces them.
pub struct ConservativeWeights<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for ConservativeWeights<T> {
	fn submit(i: u32) -> Weight {
		Weight::from_parts(400_000_000, 40_000)
			.saturating_add(Weight::from_parts(10_000, 2).saturating_mul(i.into()))
			.saturating_add(T::DbWeight::get().reads_writes(16, 14))
	}
	fn expire(n: u32) -> Weight {
		let one = Weight::from_parts(500_000_000, 40_000)
			.saturating_add(T::DbWeight::get().reads_writes(16, 14));
		T::DbWeight::get().reads_writes(1, 1).saturating_add(one.saturating_mul(n.into()))
	}
	fn move_leases(s: u32) -> Weight {
		// A worker is in one cluster: a look at each of its members, and a message and a lease for
		// each agent. What one block can push bounds how many leases can move.
		let workers = u64::from(s);
		let leases = workers
			.saturating_mul(limits::CLUSTER_AGENTS_MAX.into())
			.min(limits::MESSAGES_PER_BLOCK_MAX.into());
		let looks = workers.saturating_mul(10 * u64::from(limits::CLUSTER_MEMBERS_MAX));
		Weight::from_parts(20_000_000, 1_000)
			.saturating_mul(leases.saturating_add(workers))
			.saturating_add(T::DbWeight::get().reads_writes(
				leases.saturating_mul(6).saturating_add(looks),
				leases.saturating_mul(5).saturating_add(workers),
			))
	}
	fn prune(n: u32) -> Weight {
		let one = Weight::from_parts(50_000_000, 20_000)
			.saturating_add(T::DbWeight::get().reads_writes(1, 3));
		T::DbWeight::get().reads_writes(1, 1).saturating_add(one.saturating_mul(n.into()))
	}
	fn settle(b: u32) -> Weight {
		Weight::from_parts(500_000_000, 60_000)
			.saturating_add(Weight::from_parts(10_000, 2).saturating_mul(b.into()))
			.saturating_add(T::DbWeight::get().reads_writes(18, 18))
	}
}
