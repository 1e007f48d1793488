//! Which pallets `make weights` measures: our own. Stock pallets bring their own weights.

frame_benchmarking::define_benchmarks!(
	[pallet_mailbox, crate::Mailbox]
	[pallet_registry, crate::Registry]
);

pub use {add_benchmarks, list_benchmarks};
