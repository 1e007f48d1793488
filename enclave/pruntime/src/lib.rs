//! # pRuntime: what runs inside the TEE
//!
//! The shell around the machine ([`phala_machine`]), which decides everything. The shell turns bytes
//! into events, carries actions out, and has the clock, the network and the sandbox.
//!
//! | module | does |
//! |---|---|
//! | [`server`] | HTTP: the relay server for the relayer, the public server for everybody else |
//! | [`executor`] | gives the machine its turns and carries out what it wants done: cryptography on a pool, runs in the sandbox, calls to other members |
//! | [`platform`] | the TEE: evidence, its counter, randomness |
//! | [`store`] | sealed pages; components, logs and proofs |
//! | [`limits`] | bounds, with units |
//!
//! ## A life
//!
//! 1. At start a boot makes its keys in memory ([`phala_keys::boot`]). No key is ever written
//!    to disk, and state only sealed: a restart is a new boot.
//! 2. A relayer brings block 0 and a proof of the first authority set; then finalized headers.
//! 3. At the first header whose proof has them, the boot adopts the heads of its channels, and
//!    offers evidence bound to that header's hash.
//! 4. Seeing its own keys in `Registered` makes it the worker's boot and is its first mark of
//!    freshness. From then on it answers messages with envelopes and keeps each until the chain
//!    is proven to have consumed it.
//! 5. Seeing other keys registered in its worker, or its eviction, ends it.
//!
//! ## Ports
//!
//! What the shell does outside stands behind traits: [`platform::Platform`],
//! [`executor::sandbox::Sandbox`], [`executor::peers::Peers`], [`store::Store`], [`store::PageStore`].
// Nothing from outside can make an enclave panic.
#![cfg_attr(
	not(test),
	deny(
		clippy::expect_used,
		clippy::indexing_slicing,
		clippy::panic,
		clippy::unreachable,
		clippy::unwrap_used
	)
)]

#[cfg(feature = "development")]
pub mod development;
pub mod executor;
pub mod hexadecimal;
pub mod limits;
pub mod platform;
pub mod server;
pub mod store;
mod sync;
