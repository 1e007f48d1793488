//! # pRuntime: what runs inside the TEE
//!
//! A pure state machine ([`machine`]) inside a thin shell.
//!
//! | module | does |
//! |---|---|
//! | [`machine`] | decides: takes verified inputs, time and randomness as arguments; no I/O |
//! | [`platform`] | asks the TEE for evidence |
//! | [`server`] | HTTP: the relay server for the relayer, the public server for everybody else |
//! | [`hosting`] | runs agents: their turns, their state, their secrets |
//! | [`worker`] | what a member of a cluster does outside the machine: runs, replication, code |
//! | [`limits`] | bounds, with units |
//!
//! ## A life
//!
//! 1. At start a boot makes its keys in memory ([`phala_keys::boot`]). Nothing secret is ever
//!    written to disk: a restart is a new boot.
//! 2. A relayer brings block 0 and a proof of the first authority set; then finalized headers.
//! 3. At the first header whose proof has them, the boot adopts the heads of its channels, and
//!    offers evidence bound to that header's hash.
//! 4. Seeing its own keys in `Registered` makes it the worker's boot and is its first mark of
//!    freshness. From then on it answers messages with envelopes and keeps each until the chain
//!    is proven to have consumed it.
//! 5. Seeing other keys registered in its worker, or its eviction, ends it.

pub mod hosting;
pub mod limits;
pub mod machine;
pub mod platform;
pub mod server;
pub mod worker;
