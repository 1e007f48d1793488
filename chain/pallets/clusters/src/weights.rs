//! Weights of the clusters' calls.

use crate::{Sweep, SWEPT_PER_BLOCK_MAX};
use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};
use phala_protocol::limits;

/// What each call costs.
pub trait WeightInfo {
	fn create() -> Weight;
	fn request_join() -> Weight;
	/// `a`: agents of which the new member is told, and as many leases that nobody has.
	fn approve_join(a: u32) -> Weight;
	fn set_endpoint() -> Weight;
	fn leave() -> Weight;
	fn remove_member() -> Weight;
	fn close() -> Weight;
	fn set_open() -> Weight;
	fn admit_developer() -> Weight;
	fn offer_transfer() -> Weight;
	fn accept_transfer() -> Weight;
	/// A part of a sweep that tells a boot of `a` agents.
	fn tell_agents(a: u32) -> Weight;
	/// A part of a sweep that moves the leases of `a` agents.
	fn move_leases(a: u32) -> Weight;
	/// `n`: gaps between generations that end, each with another generation.
	fn end_gaps(n: u32) -> Weight;
	/// Part of what an envelope costs, as those that follow.
	fn request_key() -> Weight;
	fn wrap_keys() -> Weight;
	/// The dearest of what else members say.
	fn challenge() -> Weight;
}

/// What approving a member takes if it is told of so many agents, and as many leases are given: one more of them
/// for the queue that others wait in, and what each member has of leases, which a fit by number does not show.
pub(crate) fn approval<T: frame_system::Config, W: WeightInfo>(agents: u32) -> Weight {
	W::approve_join(agents.saturating_add(1))
		.saturating_add(T::DbWeight::get().writes(limits::CLUSTER_MEMBERS_MAX.into()))
}

/// What a part of a sweep takes, and each of its agents beside that.
///
/// Of one that moves leases: what each member has of leases is written too, which a fit by number does not show. Of one
/// that tells: that it came to its end, and what waits for that.
pub(crate) fn sweep<T: frame_system::Config, W: WeightInfo>(sweep: &Sweep) -> (Weight, Weight) {
	let db = T::DbWeight::get();
	match sweep {
		Sweep::Tell { .. } => {
			let begun = W::tell_agents(0);
			(begun.saturating_add(db.writes(3)), W::tell_agents(1).saturating_sub(begun))
		}
		Sweep::Move { .. } | Sweep::HandOut { .. } => {
			let begun = W::move_leases(0);
			let loads = db.writes(limits::CLUSTER_MEMBERS_MAX.into());
			(begun.saturating_add(loads), W::move_leases(1).saturating_sub(begun))
		}
	}
}

/// Guesses, for mocks: the runtime has weights that were measured in it. A cluster is taken
/// to be as full as it can be.
pub struct ConservativeWeights<T>(PhantomData<T>);

impl<T: frame_system::Config> ConservativeWeights<T> {
	fn of(reads: u64, writes: u64) -> Weight {
		Weight::from_parts(200_000_000, 20_000)
			.saturating_add(T::DbWeight::get().reads_writes(reads, writes))
	}

	/// Looks at each member's record, boot, measurement and last sign of life.
	fn members() -> Weight {
		Weight::from_parts(100_000_000, 30_000).saturating_add(
			T::DbWeight::get().reads(u64::from(limits::CLUSTER_MEMBERS_MAX).saturating_mul(5)),
		)
	}
}

impl<T: frame_system::Config> WeightInfo for ConservativeWeights<T> {
	fn create() -> Weight {
		Self::of(4, 4)
	}
	fn request_join() -> Weight {
		Self::of(6, 2)
	}
	fn approve_join(a: u32) -> Weight {
		Self::of(14, 12)
			.saturating_add(Self::members())
			.saturating_add(Self::move_leases(a).saturating_mul(2))
	}
	fn set_endpoint() -> Weight {
		Self::of(8, 6)
	}
	fn leave() -> Weight {
		Self::of(14, 20).saturating_add(Self::move_leases(SWEPT_PER_BLOCK_MAX))
	}
	fn remove_member() -> Weight {
		Self::leave()
	}
	fn close() -> Weight {
		Self::of(5, 10)
	}
	fn set_open() -> Weight {
		Self::of(2, 2)
	}
	fn admit_developer() -> Weight {
		Self::of(2, 2)
	}
	fn offer_transfer() -> Weight {
		Self::of(2, 2)
	}
	fn accept_transfer() -> Weight {
		Self::of(6, 6)
	}
	fn tell_agents(a: u32) -> Weight {
		Self::move_leases(a)
	}
	fn move_leases(a: u32) -> Weight {
		Self::of(8, 4).saturating_add(Self::members()).saturating_add(
			Weight::from_parts(30_000_000, 12_000)
				.saturating_add(T::DbWeight::get().reads_writes(10, 11))
				.saturating_mul(a.into()),
		)
	}
	fn end_gaps(n: u32) -> Weight {
		let one = Weight::from_parts(60_000_000, 10_000)
			.saturating_add(T::DbWeight::get().reads_writes(6, 8));
		T::DbWeight::get().reads_writes(2, 1).saturating_add(one.saturating_mul(n.into()))
	}
	fn request_key() -> Weight {
		Self::of(14, 10)
	}
	fn wrap_keys() -> Weight {
		Self::of(14, 10)
	}
	fn challenge() -> Weight {
		Self::of(14, 10)
	}
}
