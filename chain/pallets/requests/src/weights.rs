//! Weights of the requests pallet's call, its upkeep and the settlement of a result.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};
use phala_protocol::limits;

/// What each call costs.
pub trait WeightInfo {
	/// `i`: bytes of input. Whoever had the agent's lease lost it: it is given to another member.
	fn submit(i: u32) -> Weight;
	/// The same where somebody has it who can answer.
	fn submit_to_holder(i: u32) -> Weight;
	/// `n`: requests whose one deadline has passed.
	fn expire(n: u32) -> Weight;
	/// `n`: open requests of agents whose lease moved, each refunded.
	fn refund_moved(n: u32) -> Weight;
	/// One lease that moves for a missed deadline.
	fn move_lease() -> Weight;
	/// `n`: open requests whose deadline is near.
	fn near(n: u32) -> Weight;
	/// `n`: closed requests that are forgotten.
	fn prune(n: u32) -> Weight;
	/// `b`: bytes of one answer. Part of what an envelope costs.
	fn settle(b: u32) -> Weight;
	/// `n`: results that are looked at. Part of what settling them costs, or of what a set costs that is
	/// refused for one of them.
	fn look(n: u32) -> Weight;
}

/// Guesses, for mocks: the runtime has weights that were measured in it.
pub struct ConservativeWeights<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for ConservativeWeights<T> {
	fn submit(i: u32) -> Weight {
		// A lease that nobody has, or one out of force, is given to one of the members.
		Self::submit_to_holder(i).saturating_add(
			T::DbWeight::get().reads(u64::from(limits::CLUSTER_MEMBERS_MAX).saturating_mul(6)),
		)
	}
	fn submit_to_holder(i: u32) -> Weight {
		Weight::from_parts(400_000_000, 40_000)
			.saturating_add(Weight::from_parts(10_000, 2).saturating_mul(i.into()))
			.saturating_add(T::DbWeight::get().reads_writes(34, 33))
	}
	fn expire(n: u32) -> Weight {
		// The pot, the ranges and the events are counted with each, and written once: what a penalty for
		// an own act writes is less than that.
		let one = Weight::from_parts(500_000_000, 40_000)
			.saturating_add(T::DbWeight::get().reads_writes(24, 21));
		T::DbWeight::get().reads_writes(2, 3).saturating_add(one.saturating_mul(n.into()))
	}
	fn refund_moved(n: u32) -> Weight {
		let one = Weight::from_parts(300_000_000, 30_000)
			.saturating_add(T::DbWeight::get().reads_writes(12, 12));
		T::DbWeight::get().reads_writes(1, 1).saturating_add(one.saturating_mul(n.into()))
	}
	fn move_lease() -> Weight {
		// A look at each member of a full cluster, a lease and a message.
		let looks = u64::from(limits::CLUSTER_MEMBERS_MAX).saturating_mul(6);
		Weight::from_parts(150_000_000, 40_000)
			.saturating_add(T::DbWeight::get().reads_writes(looks.saturating_add(14), 14))
	}
	fn near(n: u32) -> Weight {
		let one = Weight::from_parts(60_000_000, 10_000)
			.saturating_add(T::DbWeight::get().reads_writes(4, 4));
		T::DbWeight::get().reads(1).saturating_add(one.saturating_mul(n.into()))
	}
	fn prune(n: u32) -> Weight {
		let one = Weight::from_parts(50_000_000, 20_000)
			.saturating_add(T::DbWeight::get().reads_writes(1, 3));
		T::DbWeight::get().reads_writes(1, 1).saturating_add(one.saturating_mul(n.into()))
	}
	fn settle(b: u32) -> Weight {
		Weight::from_parts(500_000_000, 60_000)
			.saturating_add(Weight::from_parts(10_000, 2).saturating_mul(b.into()))
			.saturating_add(T::DbWeight::get().reads_writes(24, 24))
	}
	fn look(n: u32) -> Weight {
		let one = Weight::from_parts(30_000_000, 3_000).saturating_add(T::DbWeight::get().reads(1));
		Weight::from_parts(10_000_000, 0).saturating_add(one.saturating_mul(n.into()))
	}
}
