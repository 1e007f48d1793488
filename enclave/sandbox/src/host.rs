//! What the sandbox asks of the enclave around it.
//!
//! Every call and reply is plain data: a host may be the other end of a socket. One host serves one
//! request to one agent, and knows by itself which: it takes the agent's state, secrets and egress
//! rules from its own records, never from what a sandbox says of itself.

use crate::budget::Budget;
use crate::error::{FailedRunError, RunError};
use crate::invocation::Outcome;
use crate::redact::Bytes;
use async_trait::async_trait;
use phala_agent_manifest::limits::{Limit, LimitExceededError, Limits};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The kinds of refusal that an agent can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
	ReadOnly,
	NotDeclared,
	AddressRefused,
	Invalid,
	NotFound,
	Denied,
	Failed,
	Timeout,
	Network,
	Unavailable,
}

/// Why a host did not do as it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum HostError {
	/// The agent sees this as an error and may go on.
	#[error("{message}")]
	Refused {
		refusal: RefusalKind,
		/// For the agent's developer: no secrets, no other agent's data.
		message: String,
	},
	/// This ends the request.
	#[error(transparent)]
	Limit(LimitExceededError),
}

impl HostError {
	pub fn new(refusal: RefusalKind, message: impl Into<String>) -> Self {
		Self::Refused { refusal, message: message.into() }
	}
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
	pub key: String,
	pub value: Vec<u8>,
}

impl fmt::Debug for StateEntry {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "StateEntry({:?})", Bytes(self.key.len() + self.value.len()))
	}
}

/// Entries whose key starts with `prefix`, after `after`, in the order of the keys' bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateScan {
	pub prefix: String,
	pub after: Option<String>,
	pub entries_max: u32,
	/// A host whose answer would be larger than this refuses with the `StateReadBytes` limit.
	pub bytes_max: u64,
}

/// A secret's value. It does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretValue(pub String);

impl fmt::Debug for SecretValue {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("SecretValue")
	}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedirectMode {
	Follow,
	Error,
	Manual,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchCall {
	pub method: String,
	pub url: String,
	pub headers: Vec<(String, String)>,
	pub body: Option<Vec<u8>>,
	pub redirect: RedirectMode,
	/// At most what is left of the run's wall time, which its manifest sets.
	pub timeout_ms: u64,
}

/// What fetches may still bring in. All fetches of a run share one and take from it what comes,
/// before they keep it: together they never hold more than the `FetchedBytes` limit.
#[derive(Clone)]
pub struct FetchAllowance(Arc<Budget>);

impl FetchAllowance {
	/// For fetches that no run makes.
	pub fn new(bytes: u64) -> Self {
		Self(Budget::new(Limits { fetched_bytes: bytes, ..Limits::default() }))
	}

	pub(crate) fn of_run(budget: Arc<Budget>) -> Self {
		Self(budget)
	}

	/// Takes `bytes` that have come. What is refused ends the run.
	pub fn take(&self, bytes: usize) -> Result<(), HostError> {
		self.0
			.add(Limit::FetchedBytes, bytes as u64, |usage| &mut usage.fetched_bytes)
			.map_err(HostError::Limit)
	}
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchReply {
	pub status: u16,
	/// Where the answer came from in the end.
	pub url: String,
	pub redirected: bool,
	pub headers: Vec<(String, String)>,
	pub body: Vec<u8>,
	/// `host:port` of each hop that was plain HTTP.
	pub plain_http: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentCall {
	pub agent: [u8; 32],
	pub method: String,
	pub path_and_query: String,
	pub headers: Vec<(String, String)>,
	pub body: Vec<u8>,
	/// Of the called agent's run.
	pub call_depth: u32,
	/// What the caller lends of its own outbound calls: all runs that one request causes share them.
	pub outbound_calls_max: u64,
	/// What is left of the caller's wall time.
	pub wall_ms_max: u64,
	pub response_bytes_max: u64,
}

/// How a call of another agent ended.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentReply {
	/// If the called agent's run, or one that it caused, passed the call depth, this must be
	/// [`HostError::Limit`] with that limit: it ends the whole chain of calls.
	pub result: Result<AgentResponse, HostError>,
	/// Of what the caller lent, used by the called agent's run whether it ended well or not.
	pub outbound_calls: u64,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentResponse {
	pub status: u16,
	pub headers: Vec<(String, String)>,
	pub body: Vec<u8>,
	/// What entered the called agent's run unproven has entered this one too.
	pub unproven_inputs: Vec<crate::UnprovenInput>,
}

impl AgentReply {
	/// The called agent did not run.
	pub fn refused(refusal: HostError) -> Self {
		Self { result: Err(refusal), outbound_calls: 0 }
	}

	/// How a run of the called agent on this machine ended.
	pub fn of_run(result: Result<Outcome, Box<FailedRunError>>) -> Self {
		match result {
			Ok(outcome) => Self {
				outbound_calls: outcome.usage.outbound_calls,
				result: Ok(AgentResponse {
					status: outcome.response.status,
					headers: outcome
						.response
						.headers
						.into_iter()
						.map(|(name, value)| (name, text_of(&value)))
						.collect(),
					body: outcome.response.body,
					unproven_inputs: outcome.unproven_inputs,
				}),
			},
			Err(failure) => Self {
				outbound_calls: failure.usage.outbound_calls,
				result: Err(match failure.error {
					RunError::LimitExceeded(exceeded) if exceeded.limit == Limit::CallDepth => {
						HostError::Limit(exceeded)
					}
					error => HostError::new(RefusalKind::Failed, error.to_string()),
				}),
			},
		}
	}
}

/// A header's value as text; what is not UTF-8 is read as Latin-1.
pub(crate) fn text_of(value: &[u8]) -> String {
	match std::str::from_utf8(value) {
		Ok(text) => text.to_owned(),
		Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
	}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
	Debug,
	Info,
	Warn,
	Error,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
	pub level: LogLevel,
	/// Since the request started.
	pub at_us: u64,
	pub message: String,
}

impl fmt::Debug for LogLine {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "LogLine({:?}, {:?})", self.level, Bytes(self.message.len()))
	}
}

/// The enclave, as one run sees it.
#[async_trait]
pub trait Host: Send + Sync {
	/// From the snapshot that the request runs on.
	async fn state_get(&self, key: String) -> Result<Option<Vec<u8>>, HostError>;

	/// From the snapshot that the request runs on.
	async fn state_scan(&self, scan: StateScan) -> Result<Vec<StateEntry>, HostError>;

	/// `name` is one that the manifest declares.
	async fn secret(&self, name: String) -> Result<Option<SecretValue>, HostError>;

	/// Under the agent's egress rules: see [`crate::egress::EgressClient`]. Whatever comes, of
	/// redirects too, is taken from `allowance` as it comes.
	async fn fetch(
		&self,
		call: FetchCall,
		allowance: FetchAllowance,
	) -> Result<FetchReply, HostError>;

	/// Runs another agent, here or elsewhere: see [`crate::Invocation::of_call`] and [`AgentReply::of_run`].
	async fn call_agent(&self, call: AgentCall) -> AgentReply;

	/// A seed for the run's randomness, from the enclave's own random source.
	async fn entropy_seed(&self) -> Result<[u8; 32], HostError>;

	/// A line as it is logged. The lines are in the run's result as well.
	fn log(&self, line: &LogLine) {
		let _ = line;
	}
}
