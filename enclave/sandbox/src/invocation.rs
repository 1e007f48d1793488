//! What goes into a run and what comes out of it.

use crate::host::{AgentCall, LogLine};
use crate::redact::Bytes;
use phala_agent_manifest::limits::{LimitTooHighError, Limits};
use phala_agent_manifest::Manifest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
	pub method: String,
	/// Starts with `/`.
	pub path_and_query: String,
	/// In order; a name may occur more than once.
	pub headers: Vec<(String, Vec<u8>)>,
	pub body: Vec<u8>,
}

impl fmt::Debug for HttpRequest {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.debug_struct("HttpRequest")
			.field("method", &self.method)
			.field("path_and_query", &Bytes(self.path_and_query.len()))
			.field("headers", &self.headers.len())
			.field("body", &Bytes(self.body.len()))
			.finish()
	}
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponse {
	pub status: u16,
	pub headers: Vec<(String, Vec<u8>)>,
	pub body: Vec<u8>,
}

impl fmt::Debug for HttpResponse {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.debug_struct("HttpResponse")
			.field("status", &self.status)
			.field("headers", &self.headers.len())
			.field("body", &Bytes(self.body.len()))
			.finish()
	}
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
	pub number: u64,
	pub hash: [u8; 32],
}

/// Facts about the request, as the enclave knows them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
	pub agent: [u8; 32],
	pub caller: Option<[u8; 32]>,
	pub request_id: [u8; 32],
	/// The finalized block that was proven when the request started.
	pub block: BlockRef,
	/// The same over all attempts.
	pub idempotency_key: String,
	/// 1 for the first attempt.
	pub attempt: u32,
	/// 0 for a request from outside.
	pub call_depth: u32,
	/// Whether the request may write state.
	pub writable: bool,
	/// In an on-chain request, its own draw (a PRF of the agent's seed and the request id): all
	/// randomness then comes from it. Without one, randomness is the host's.
	pub entropy_seed: Option<[u8; 32]>,
}

impl fmt::Debug for Context {
	/// Without the entropy seed.
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.debug_struct("Context")
			.field("agent", &self.agent)
			.field("caller", &self.caller)
			.field("request_id", &self.request_id)
			.field("block", &self.block)
			.field("attempt", &self.attempt)
			.field("call_depth", &self.call_depth)
			.field("writable", &self.writable)
			.finish_non_exhaustive()
	}
}

#[derive(Clone, Debug)]
pub struct Invocation {
	pub request: HttpRequest,
	pub context: Context,
	pub manifest: Arc<Manifest>,
	pub limits: Limits,
}

impl Invocation {
	/// Under the limits that the manifest asks for.
	pub fn new(
		request: HttpRequest,
		context: Context,
		manifest: Arc<Manifest>,
	) -> Result<Self, LimitTooHighError> {
		let limits = manifest.limits.resolve()?;
		Ok(Self { request, context, manifest, limits })
	}

	/// For a call from another agent: within what the caller lends, too.
	pub fn of_call(
		call: AgentCall,
		context: Context,
		manifest: Arc<Manifest>,
	) -> Result<Self, LimitTooHighError> {
		let mut limits = manifest.limits.resolve()?;
		limits.outbound_calls = limits.outbound_calls.min(call.outbound_calls_max);
		limits.wall_ms = limits.wall_ms.min(call.wall_ms_max);
		limits.response_bytes = limits.response_bytes.min(call.response_bytes_max);
		let context = Context { call_depth: call.call_depth, ..context };
		let request = HttpRequest {
			method: call.method,
			path_and_query: call.path_and_query,
			headers: call
				.headers
				.into_iter()
				.map(|(name, value)| (name, value.into_bytes()))
				.collect(),
			body: call.body,
		};
		Ok(Self { request, context, manifest, limits })
	}
}

/// A key and its new value; none if it was deleted.
pub type Write = (String, Option<Vec<u8>>);

/// What a request used. Times are rounded to what their names say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
	/// Time on a processor, starting the instance and host functions included, waiting not.
	pub cpu_us: u64,
	pub wall_us: u64,
	pub memory_peak_bytes: u64,
	pub host_calls: u64,
	/// Fetches and calls of other agents.
	pub outbound_calls: u64,
	/// Sent and received by fetches and calls of other agents.
	pub fetched_bytes: u64,
	pub state_read_bytes: u64,
	pub state_write_bytes: u64,
	pub log_lines: u64,
	pub log_bytes: u64,
	pub request_bytes: u64,
	pub response_bytes: u64,
}

/// Something that entered the run without anybody answering for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnprovenInput {
	/// Plain HTTP: whoever stood on the way could have written the answer.
	PlainHttp {
		/// `host:port`, without the path.
		authority: String,
	},
}

/// A run that ended well. Nothing of it has taken effect yet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
	pub response: HttpResponse,
	/// In the order of the keys' bytes, each key once.
	pub writes: Vec<Write>,
	pub logs: Vec<LogLine>,
	pub usage: Usage,
	pub unproven_inputs: Vec<UnprovenInput>,
}

impl fmt::Debug for Outcome {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.debug_struct("Outcome")
			.field("response", &self.response)
			.field("writes", &self.writes.len())
			.field("logs", &self.logs.len())
			.field("usage", &self.usage)
			.field("unproven_inputs", &self.unproven_inputs)
			.finish()
	}
}
