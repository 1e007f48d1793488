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
//! | [`bundle`] | makes what an enclave takes of what `phala-chain-client` fetches of a node |
//! | [`enclave`] | is the client of an enclave's relay server |
//! | [`envelopes`] | says which of an enclave's envelopes are to be submitted now |
//! | [`registration`] | says when a registration is due, and when it would be paid for nothing |
//! | [`relay`] | the loop over both, and over transactions |
//! | [`status`] | says where it stands |
//!
//! All but the loop are building blocks: a test that plays a lying relayer uses them without it. What
//! they decide they decide without a node: `testing/simulation` asks the same
//! [`BodyPlan`](bundle::BodyPlan), [`EnvelopeBook`](envelopes::EnvelopeBook) and
//! [`RegistrationGate`](registration::RegistrationGate) against a chain of its own.

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
pub mod enclave;
pub mod envelopes;
mod error;
pub mod limits;
pub mod registration;
pub mod relay;
pub mod status;

pub use error::RelayError;
