//! Weights of the agents pallet's calls and hook.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};
use phala_protocol::limits;

/// What each call costs.
pub trait WeightInfo {
	fn register() -> Weight;
	fn upgrade() -> Weight;
	fn set_price() -> Weight;
	fn set_access() -> Weight;
	fn allow_caller() -> Weight;
	fn disallow_caller() -> Weight;
	fn retire() -> Weight;
	fn offer_transfer() -> Weight;
	fn accept_transfer() -> Weight;
	fn evict() -> Weight;
	/// `u`: upgrades whose notice ran out in one block.
	fn activate_due(u: u32) -> Weight;
	/// `n`: births whose deadline has come; the agents were born, or given up.
	fn look_at_births(n: u32) -> Weight;
	/// One birth that is overdue, with a lease that moves.
	fn pass_birth_on() -> Weight;
	/// `n`: versions of the code of agents that were given up.
	fn forget_history(n: u32) -> Weight;
	/// `a`: other members that count and signed; `o`: those that are looked at besides. Part of what an
	/// envelope costs.
	fn commit(a: u32, o: u32) -> Weight;
	/// A set that is refused before any member is looked at.
	fn refuse_commit() -> Weight;
}

/// What it takes to find out whether an agent may be given up or thrown out, and to give notice of it: as much as
/// to offer it, and a look at its cluster and at an earlier notice.
pub(crate) fn notice<T: frame_system::Config, W: WeightInfo>() -> Weight {
	W::offer_transfer().saturating_add(T::DbWeight::get().reads(2))
}

/// Guesses, for mocks: the runtime has weights that were measured in it.
pub struct ConservativeWeights<T>(PhantomData<T>);

impl<T: frame_system::Config> ConservativeWeights<T> {
	/// Every change tells the cluster: five more writes and a body of up to 9 KiB. What that body takes of
	/// the room of others is [`crate::Config::NewsByte`].
	fn of(reads: u64, writes: u64) -> Weight {
		Weight::from_parts(250_000_000, 40_000)
			.saturating_add(T::DbWeight::get().reads_writes(reads, writes))
	}
}

impl<T: frame_system::Config> WeightInfo for ConservativeWeights<T> {
	fn register() -> Weight {
		// The cluster looks at each of its members.
		Weight::from_parts(500_000_000, 100_000)
			.saturating_add(T::DbWeight::get().reads_writes(150, 20))
	}
	fn upgrade() -> Weight {
		Self::of(16, 13)
	}
	fn set_price() -> Weight {
		Self::of(8, 6)
	}
	fn set_access() -> Weight {
		Self::of(8, 6)
	}
	fn allow_caller() -> Weight {
		Self::of(11, 10)
	}
	fn disallow_caller() -> Weight {
		Self::of(11, 10)
	}
	fn retire() -> Weight {
		Self::of(24, 25 + u64::from(crate::HISTORY_FORGOTTEN_MAX))
	}
	fn offer_transfer() -> Weight {
		Self::of(2, 1)
	}
	fn accept_transfer() -> Weight {
		Self::of(12, 12)
	}
	fn evict() -> Weight {
		Self::retire().saturating_add(T::DbWeight::get().reads(2))
	}
	fn activate_due(u: u32) -> Weight {
		T::DbWeight::get()
			.reads_writes(2, 2)
			.saturating_add(Self::of(10, 9).saturating_mul(u.into()))
	}
	fn look_at_births(n: u32) -> Weight {
		T::DbWeight::get()
			.reads(2)
			.saturating_add(T::DbWeight::get().reads_writes(3, 2).saturating_mul(n.into()))
	}
	fn pass_birth_on() -> Weight {
		// A look at each member of a full cluster, a lease and a message.
		let looks = u64::from(limits::CLUSTER_MEMBERS_MAX).saturating_mul(6);
		Self::of(looks.saturating_add(16), 18)
	}
	fn forget_history(n: u32) -> Weight {
		let one = Weight::from_parts(20_000_000, 5_000)
			.saturating_add(T::DbWeight::get().reads_writes(1, 2));
		T::DbWeight::get().reads_writes(1, 1).saturating_add(one.saturating_mul(n.into()))
	}
	fn commit(a: u32, o: u32) -> Weight {
		// Its record, its boot, that boot's measurement, stake and last sign of life.
		let look =
			Weight::from_parts(10_000_000, 3_000).saturating_add(T::DbWeight::get().reads(5));
		Weight::from_parts(300_000_000, 20_000)
			.saturating_add(T::DbWeight::get().reads_writes(12, 6))
			.saturating_add(look.saturating_mul(a.saturating_add(o).into()))
			.saturating_add(Weight::from_parts(100_000_000, 0).saturating_mul(a.into()))
	}
	fn refuse_commit() -> Weight {
		Weight::from_parts(50_000_000, 10_000).saturating_add(T::DbWeight::get().reads(2))
	}
}
