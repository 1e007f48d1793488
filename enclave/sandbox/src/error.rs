use crate::host::{HostError, LogLine};
use crate::invocation::Usage;
use crate::limits::CODE_BYTES_MAX;
use phala_agent_manifest::limits::{Limit, LimitExceededError};
use thiserror::Error;

/// Why a sandbox was not made, or an agent not loaded.
#[derive(Debug, Error)]
pub enum SandboxError {
	#[error("the sandbox cannot be set up on this machine: {0}")]
	Engine(#[source] wasmtime::Error),
	#[error("the code has {0} bytes; at most {CODE_BYTES_MAX} are allowed")]
	CodeTooLarge(usize),
	#[error("the code is not a WebAssembly component that this sandbox can run: {0:#}")]
	NotAComponent(#[source] wasmtime::Error),
	#[error("the component asks for something that this sandbox does not offer, or exports no wasi:http/handler@0.3.0: {0:#}")]
	Interface(#[source] wasmtime::Error),
}

/// Why a request was not answered by its agent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunError {
	#[error(transparent)]
	LimitExceeded(#[from] LimitExceededError),
	/// What it threw is in its log.
	#[error("the agent threw an error that it did not catch; its log says which")]
	Uncaught,
	/// Not by a limit. The name is that of a WebAssembly trap, which holds no data.
	#[error("the agent's instance trapped: {0}")]
	Trapped(String),
	#[error("the agent ended without an answer")]
	NoAnswer,
	#[error("the request was refused: {0}")]
	BadRequest(&'static str),
	#[error("the agent's answer was refused: {0}")]
	BadResponse(&'static str),
	#[error("the host did not give what the run needs to start: {0}")]
	Host(#[source] HostError),
	/// Only calls between agents: a request from outside waits for its turn.
	#[error("all instances are in use; the call was refused rather than made to wait for its own caller")]
	Busy,
}

impl RunError {
	/// The limit that ended the run, if one did.
	pub fn limit(&self) -> Option<Limit> {
		match self {
			Self::LimitExceeded(exceeded) => Some(exceeded.limit),
			_ => None,
		}
	}
}

/// A run that ended badly: nothing of it takes effect, but what it used is known.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct FailedRunError {
	#[source]
	pub error: RunError,
	pub usage: Usage,
	pub logs: Vec<LogLine>,
}
