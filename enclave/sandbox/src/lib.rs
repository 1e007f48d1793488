//! Runs agents.
//!
//! An agent is a WebAssembly component that exports the `wasi:http` 0.3 handler. [`Sandbox::load`]
//! compiles one; [`Sandbox::run`] answers one request with a fresh instance from a pooled,
//! copy-on-write snapshot, so that no two requests ever see each other. What a request may use is
//! bounded by [`Limits`]; passing one ends that request alone, with an error that names the limit.
//!
//! The sandbox applies nothing and holds no keys. What it needs it asks of a [`Host`], whose calls and
//! replies are plain data, so that the two can stand in different processes. What the agent would
//! write comes back in the [`Outcome`].
//!
//! What the guest may call is in `wit/`; of WASI it has clocks, randomness, its standard streams
//! (which are its log) and an empty file system. Sockets are not there: [`egress`] is the one way out.

// Guests, and whom they speak to, are strangers: nothing here panics, whatever they do.
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

mod bindings;
mod budget;
mod cpu;
pub mod egress;
mod engine;
mod error;
mod guest;
mod host;
mod imports;
mod invocation;
pub mod limits;
mod redact;
mod run;
mod stdio;

pub use engine::{LoadedAgent, Sandbox, SandboxConfig};
pub use error::{FailedRunError, RunError, SandboxError};
pub use host::{
	AgentCall, AgentReply, AgentResponse, FetchAllowance, FetchCall, FetchReply, Host, HostError,
	LogLevel, LogLine, RedirectMode, RefusalKind, SecretValue, StateEntry, StateScan,
};
pub use invocation::{
	BlockRef, Context, HttpRequest, HttpResponse, Invocation, Outcome, UnprovenInput, Usage, Write,
};
pub use phala_agent_manifest::limits::{Limit, LimitExceededError, Limits};
pub use phala_agent_manifest::{EgressRule, Manifest};
