//! # The machine: the enclave's pure core
//!
//! `fn handle(event, now, rng) -> actions`, and nothing else comes in or goes out. There is no
//! clock, no disk and no network here, so that a whole network of machines runs in one seeded test,
//! and a run can be recorded and replayed.
//!
//! ```text
//!  bytes ──► verify (against the Snapshot, on a pool) ──► Event ──► Machine::handle ──► Actions
//!                 ▲                                                      │                │
//!                 └──────────── Snapshot, published after the turn ◄─────┘                ▼
//!                                                             the shell carries out: answers, runs,
//!                                                             sends, fetches; Tasks on a pool
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`event`], [`action`] | what the machine is told, what it wants done |
//! | [`machine`] | one boot: from genesis to its registration and its end; failures |
//! | [`worker`], [`gatekeeper`] | the roles, of one shape: `state`, `ingress`, `actions` |
//! | [`verify`] | checks what comes from outside, before the turn |
//! | [`task`] | signs, seals and opens, after it |
//! | [`snapshot`] | what can be read of the machine |
//! | [`freshness`], [`outbox`] | how old the view of the chain can be; envelopes to it |
//! | [`probes`] | strangers' questions, and how many are answered at once |
//! | [`limits`] | bounds, with units |
//!
//! A message may make its boot fail (a bug). Then the machine is rebuilt from its keys, which stand
//! beside it, and from the chain, which says everything again; a second failure on the same message
//! suspends the boot by name, so that one bad message neither loops nor ends every boot at once.
//!
//! Recordings, and a machine without a chain, are in builds for development alone: without their
//! features there is nothing of them, and these two are held to that.
#![cfg_attr(
	not(feature = "recording"),
	doc = "```compile_fail\nuse phala_machine::recording::replay;\n```"
)]
#![cfg_attr(
	not(feature = "development"),
	doc = "```compile_fail\nuse phala_machine::development::DevelopmentAgent;\n```"
)]
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

pub mod action;
#[cfg(feature = "development")]
pub mod development;
mod error;
pub mod event;
mod freshness;
mod gatekeeper;
pub mod limits;
mod machine;
mod outbox;
mod probes;
#[cfg(feature = "recording")]
pub mod recording;
pub mod snapshot;
pub mod task;
#[cfg(test)]
mod tests;
mod time;
mod turn;
pub mod verify;
pub mod worker;

pub use action::{Action, Answer, CallId, EvidenceRequest, Kept, ReplicatedBody};
pub use error::MachineError;
pub use event::{Culprit, Event, PingAnswer};
pub use machine::Machine;
pub use snapshot::{AgentView, ClusterView, Snapshot};
pub use task::{Task, TaskDone};
pub use time::Instant;
pub use verify::OpenedCall;

use codec::{Decode, Encode};
use phala_protocol::{boot::WorkerId, H256};

/// What a boot is told at start. None of it is secret; all of it is bound into its evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Config {
	/// Hash of block 0 of the one chain that this enclave follows.
	pub genesis: H256,
	/// Its place in the network.
	pub worker: WorkerId,
}
