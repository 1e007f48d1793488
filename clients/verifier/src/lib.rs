//! # The verifier
//!
//! Says whether an answer is what the code of an agent, in an enclave that the chain let in, gave to
//! a question: from the pinned hash of block 0, by finality, to the boot that signed it, the code that
//! ran, what was asked and what was answered. Offline: a file and a hash go in, a verdict comes out.
//! Nothing is believed but the hash, and two thirds of each validator set.
//!
//! | module | holds |
//! |---|---|
//! | [`file`](mod@file) | an answer with all that proves it, as JSON |
//! | [`check`] | one named check after the other; the first that fails ends it |
//! | [`agent`] | an agent's record, and with it the key that is sealed to, proven before anything is sealed |
//!
//! `no_std`: no clock, no disk, no network. Who collects the proofs is believed as little as who gave
//! the answer.
//!
//! # What a verdict does not say
//!
//! That the boot *still* counts: the proofs show the chain at the block that they are of, and nothing
//! in a file says how old that is; who knows what to expect says so ([`Expected`]). That the machine
//! is sound: see the kind of its evidence. That the agent's sources told the truth.

#![cfg_attr(not(feature = "std"), no_std)]
// Nothing here panics, whatever arrives.
#![deny(
	clippy::arithmetic_side_effects,
	clippy::expect_used,
	clippy::indexing_slicing,
	clippy::panic,
	clippy::unreachable,
	clippy::unwrap_used
)]

extern crate alloc;

pub mod agent;
pub mod check;
pub mod file;
mod finality;
#[cfg(test)]
#[allow(
	clippy::arithmetic_side_effects,
	clippy::expect_used,
	clippy::indexing_slicing,
	clippy::panic,
	clippy::unwrap_used
)]
mod tests;

pub use agent::ProvenAgent;
pub use check::{needed_keys, verify, Expected, Verification};
pub use file::{AnswerFile, VerifierError};
