//! Weights of our pallets' calls, hooks and payloads, as `make weights` measured them in this runtime, with
//! the worst case of each. Time is that of the processor that the head of each file names (one of two cores of a
//! KVM guest that had it for itself), in a release build with the state in memory; what a read and a write of the
//! database take, by the stock constants for ParityDB, is added to it. A look at keys alone counts as no read: one
//! for each agent that a sweep comes to, and for each entry of the queues that others work off (leases that nobody
//! has, open requests, leases that moved, old code, boots and requests for keys), some 260 in the dearest call, whose
//! time is measured and whose look at a disk is not. Two runs agreed within a fifth. The table of before and after is in
//! `benches/README.md`.
//!
//! Proof sizes are written down as well, and limit nothing: a solo chain's blocks have as much as there is.

pub mod pallet_agents;
pub mod pallet_bonding;
pub mod pallet_clusters;
pub mod pallet_gatekeepers;
pub mod pallet_mailbox;
pub mod pallet_registry;
pub mod pallet_requests;
