//! Weights of the registry's calls.

use core::marker::PhantomData;
use frame_support::{traits::Get, weights::Weight};
use phala_protocol::limits;

/// What each call costs.
pub trait WeightInfo {
	fn register_worker() -> Weight;
	/// With evidence of the longest kind that is accepted; its bytes are the transaction's to pay for. `a`:
	/// agents of which it is told, and as many leases that move, and that are given anew.
	fn register_boot(a: u32) -> Weight;
	/// The same of a worker on which nobody relies: it is told the master key beside, and nobody else anything.
	fn register_boot_of_nobody() -> Weight;
	fn renew_boot() -> Weight;
	fn evict() -> Weight;
	fn close_worker() -> Weight;
	fn allow_measurement() -> Weight;
	fn delist_measurement() -> Weight;
	fn destroy_measurement() -> Weight;
	fn probe() -> Weight;
	fn evict_for() -> Weight;
	fn set_banned() -> Weight;
	fn offer_worker() -> Weight;
	fn accept_worker() -> Weight;
	/// `b`: boots that a sweep looks at and that stay.
	fn sweep(b: u32) -> Weight;
	/// The dearest payload of this pallet. Part of what an envelope costs.
	fn heartbeat() -> Weight;
}

/// What registering a boot takes if so many agents are told to it, and as many leases move: one more of them for
/// the queue that others wait in, and what each member has of leases, which a fit by number does not show.
pub(crate) fn boot<T: frame_system::Config, W: WeightInfo>(agents: u32) -> Weight {
	W::register_boot(agents.saturating_add(1))
		.saturating_add(T::DbWeight::get().writes(limits::CLUSTER_MEMBERS_MAX.into()))
}

/// What registering one takes that is refused for its worker, its evidence or want of room for its message: as
/// much as to renew one, and a look at the stake. Nothing of what was written stays.
pub(crate) fn refused_boot<T: frame_system::Config, W: WeightInfo>() -> Weight {
	W::renew_boot().saturating_add(T::DbWeight::get().reads(1))
}

/// What it takes to find out whether a boot is to be evicted: its stakes, whether its measurement is of use to
/// nobody, its cluster and a successor there.
pub(crate) fn look<T: frame_system::Config, W: WeightInfo>() -> Weight {
	W::sweep(1).saturating_add(T::DbWeight::get().reads(4))
}

/// Guesses, for mocks: the runtime has weights that were measured in it.
pub struct ConservativeWeights<T>(PhantomData<T>);

impl<T: frame_system::Config> ConservativeWeights<T> {
	fn of(reads: u64, writes: u64) -> Weight {
		Weight::from_parts(200_000_000, 20_000)
			.saturating_add(T::DbWeight::get().reads_writes(reads, writes))
	}

	/// What the worker's other pallets do about a new boot or an eviction: a message and a lease for
	/// so many agents, a look at each member, and a ceremony.
	fn hooks(agents: u32) -> Weight {
		let (agents, members) = (u64::from(agents), u64::from(limits::CLUSTER_MEMBERS_MAX));
		Weight::from_parts(2_000_000_000, 1_500_000).saturating_add(
			T::DbWeight::get().reads_writes(
				agents.saturating_mul(6).saturating_add(members.saturating_mul(10)),
				agents.saturating_mul(4).saturating_add(32),
			),
		)
	}

	/// Whether anybody else in force holds what a worker holds: a look at each seat and member.
	fn successor() -> Weight {
		let members = u64::from(limits::CLUSTER_MEMBERS_MAX);
		Weight::from_parts(100_000_000, 200_000)
			.saturating_add(T::DbWeight::get().reads(members.saturating_mul(10).saturating_add(8)))
	}

	fn evidence() -> Weight {
		// A DCAP quote takes a few milliseconds to verify in wasm.
		Weight::from_parts(10_000_000_000, 20_000)
	}
}

impl<T: frame_system::Config> WeightInfo for ConservativeWeights<T> {
	fn register_worker() -> Weight {
		Self::of(6, 6)
	}
	fn register_boot(a: u32) -> Weight {
		Self::of(14, 13).saturating_add(Self::evidence()).saturating_add(Self::hooks(a))
	}
	fn register_boot_of_nobody() -> Weight {
		Self::of(32, 19).saturating_add(Self::evidence())
	}
	fn renew_boot() -> Weight {
		Self::of(13, 6).saturating_add(Self::evidence())
	}
	fn evict() -> Weight {
		Self::of(21, 20)
			.saturating_add(Self::hooks(limits::AGENTS_SWEPT_MAX))
			.saturating_add(Self::successor())
	}
	fn close_worker() -> Weight {
		Self::of(20, 21)
	}
	fn allow_measurement() -> Weight {
		Self::of(4, 5)
	}
	fn delist_measurement() -> Weight {
		Self::of(6, 6)
	}
	fn destroy_measurement() -> Weight {
		Self::of(5, 7)
	}
	fn probe() -> Weight {
		Self::of(6, 7)
	}
	fn evict_for() -> Weight {
		// Two slashes, each of a bond, an account and the treasury; and the worker that the machine is
		// in by now.
		Self::evict().saturating_mul(2).saturating_add(Self::of(12, 11))
	}
	fn set_banned() -> Weight {
		// The worker that the machine is in.
		Self::evict().saturating_add(Self::of(2, 1))
	}
	fn offer_worker() -> Weight {
		Self::of(1, 1)
	}
	fn accept_worker() -> Weight {
		Self::of(22, 20)
	}
	fn sweep(b: u32) -> Weight {
		let look =
			Weight::from_parts(20_000_000, 6_000).saturating_add(T::DbWeight::get().reads(3));
		Self::of(4, 2).saturating_add(look.saturating_mul(b.into()))
	}
	fn heartbeat() -> Weight {
		Self::of(8, 8)
	}
}
