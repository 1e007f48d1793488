//! # Pherry: the untrusted relayer
//!
//! Moves bytes between a chain node and an enclave, and knows nothing: it holds no key of the
//! enclave, no state on disk, and nothing that it says is believed. If it lies, stalls, repeats or
//! reorders, only liveness suffers. It can be killed at any moment and started anew.
//!
//! ## What it carries
//!
//! * To the enclave, over its relay server: block 0 and the first authority set, then
//!   [`SyncBundle`](phala_protocol::relay::SyncBundle)s: finality, the heads of the enclave's
//!   channels proven under the newest header, and the bodies up to there.
//! * To the chain: the enclave's registration and renewals, signed and paid by the operator, and
//!   its envelopes, free of charge.
//!
//! | module | does |
//! |---|---|
//! | [`chain`] | asks a node for steps of finality, proofs, heads and bodies |
//! | [`bundle`] | makes of them what an enclave takes |
//! | [`enclave`] | knocks at an enclave's relay server |
//! | [`submit`] | makes and submits transactions, and reads why one was refused |
//! | [`relay`] | the loop over all of these |
//! | [`status`] | says where it stands |
//!
//! The first four are building blocks: a test that plays a lying relayer uses them without the
//! loop.

// Node and enclave are others: nothing here panics, whatever they answer.
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

pub mod backoff;
pub mod bundle;
pub mod chain;
pub mod enclave;
mod envelopes;
mod error;
pub mod header;
pub mod limits;
mod registration;
pub mod relay;
pub mod status;
pub mod submit;

pub use error::Error;
