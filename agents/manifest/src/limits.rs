//! What one request may use.
//!
//! Every limit has a default, which a manifest may change up to a ceiling where it has one. Passing
//! a limit ends that request alone, with an error that names the limit.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

pub const MEMORY_BYTES_DEFAULT: u64 = 64 * MIB;
/// The sandbox's pool reserves this much address space for each memory.
pub const MEMORY_BYTES_CEILING: u64 = 256 * MIB;
pub const CPU_MS_DEFAULT: u64 = 1_000;
pub const CPU_MS_CEILING: u64 = 30_000;
pub const WALL_MS_DEFAULT: u64 = 30_000;
pub const WALL_MS_CEILING: u64 = 300_000;
pub const OUTBOUND_CALLS_DEFAULT: u64 = 32;
pub const OUTBOUND_CALLS_CEILING: u64 = 256;
pub const FETCHED_BYTES_DEFAULT: u64 = 8 * MIB;
pub const FETCHED_BYTES_CEILING: u64 = 64 * MIB;
pub const REQUEST_BYTES_DEFAULT: u64 = 4 * MIB;
pub const REQUEST_BYTES_CEILING: u64 = 16 * MIB;
pub const RESPONSE_BYTES_DEFAULT: u64 = 4 * MIB;
pub const RESPONSE_BYTES_CEILING: u64 = 16 * MIB;

/// The same for all: it is set with the engine. QuickJS's own stack overflows a little later.
pub const STACK_BYTES: u64 = MIB;
/// An agent called by an agent called by … : 4 calls deep.
pub const CALL_DEPTH: u64 = 4;
pub const LOG_LINES: u64 = 1_000;
pub const LOG_BYTES: u64 = 256 * KIB;
pub const STATE_KEY_BYTES: u64 = 512;
pub const STATE_VALUE_BYTES: u64 = MIB;
/// Keys that one request may set or delete.
pub const STATE_WRITE_KEYS: u64 = 1_000;
pub const STATE_WRITE_BYTES: u64 = 8 * MIB;
/// Bytes of entries that one request may read, its own writes among them.
pub const STATE_READ_BYTES: u64 = 32 * MIB;
/// Calls of any host function.
pub const HOST_CALLS: u64 = 100_000;
/// Host calls that have not been answered yet.
pub const PENDING_CALLS: u64 = 256;
/// Bytes of one draw of entropy.
pub const ENTROPY_BYTES: u64 = 64 * KIB;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
	Memory,
	Stack,
	CpuTime,
	WallTime,
	CallDepth,
	OutboundCalls,
	FetchedBytes,
	RequestBytes,
	ResponseBytes,
	LogLines,
	LogBytes,
	StateKeyBytes,
	StateValueBytes,
	StateWriteKeys,
	StateWriteBytes,
	StateReadBytes,
	HostCalls,
	PendingCalls,
	EntropyBytes,
}

impl Limit {
	pub const fn unit(self) -> &'static str {
		match self {
			Self::CpuTime | Self::WallTime => "ms",
			Self::CallDepth | Self::OutboundCalls | Self::HostCalls | Self::PendingCalls => "calls",
			Self::LogLines => "lines",
			Self::StateWriteKeys => "keys",
			_ => "bytes",
		}
	}
}

impl fmt::Display for Limit {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Memory => "memory",
			Self::Stack => "call stack",
			Self::CpuTime => "CPU time",
			Self::WallTime => "wall time",
			Self::CallDepth => "call depth",
			Self::OutboundCalls => "outbound calls",
			Self::FetchedBytes => "fetched bytes",
			Self::RequestBytes => "request bytes",
			Self::ResponseBytes => "response bytes",
			Self::LogLines => "log lines",
			Self::LogBytes => "log bytes",
			Self::StateKeyBytes => "state key bytes",
			Self::StateValueBytes => "state value bytes",
			Self::StateWriteKeys => "state write keys",
			Self::StateWriteBytes => "state write bytes",
			Self::StateReadBytes => "state read bytes",
			Self::HostCalls => "host calls",
			Self::PendingCalls => "pending calls",
			Self::EntropyBytes => "entropy bytes",
		})
	}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("the {limit} limit was exceeded: at most {allowed} {} for one request", limit.unit())]
pub struct LimitExceededError {
	pub limit: Limit,
	pub allowed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
	pub memory_bytes: u64,
	pub cpu_ms: u64,
	pub wall_ms: u64,
	pub call_depth: u64,
	pub outbound_calls: u64,
	pub fetched_bytes: u64,
	pub request_bytes: u64,
	pub response_bytes: u64,
	pub log_lines: u64,
	pub log_bytes: u64,
	pub state_key_bytes: u64,
	pub state_value_bytes: u64,
	pub state_write_keys: u64,
	pub state_write_bytes: u64,
	pub state_read_bytes: u64,
	pub host_calls: u64,
	pub pending_calls: u64,
	pub entropy_bytes: u64,
}

impl Default for Limits {
	fn default() -> Self {
		Self {
			memory_bytes: MEMORY_BYTES_DEFAULT,
			cpu_ms: CPU_MS_DEFAULT,
			wall_ms: WALL_MS_DEFAULT,
			call_depth: CALL_DEPTH,
			outbound_calls: OUTBOUND_CALLS_DEFAULT,
			fetched_bytes: FETCHED_BYTES_DEFAULT,
			request_bytes: REQUEST_BYTES_DEFAULT,
			response_bytes: RESPONSE_BYTES_DEFAULT,
			log_lines: LOG_LINES,
			log_bytes: LOG_BYTES,
			state_key_bytes: STATE_KEY_BYTES,
			state_value_bytes: STATE_VALUE_BYTES,
			state_write_keys: STATE_WRITE_KEYS,
			state_write_bytes: STATE_WRITE_BYTES,
			state_read_bytes: STATE_READ_BYTES,
			host_calls: HOST_CALLS,
			pending_calls: PENDING_CALLS,
			entropy_bytes: ENTROPY_BYTES,
		}
	}
}

impl Limits {
	/// What `limit` allows, in its own unit.
	pub const fn allowed(&self, limit: Limit) -> u64 {
		match limit {
			Limit::Memory => self.memory_bytes,
			Limit::Stack => STACK_BYTES,
			Limit::CpuTime => self.cpu_ms,
			Limit::WallTime => self.wall_ms,
			Limit::CallDepth => self.call_depth,
			Limit::OutboundCalls => self.outbound_calls,
			Limit::FetchedBytes => self.fetched_bytes,
			Limit::RequestBytes => self.request_bytes,
			Limit::ResponseBytes => self.response_bytes,
			Limit::LogLines => self.log_lines,
			Limit::LogBytes => self.log_bytes,
			Limit::StateKeyBytes => self.state_key_bytes,
			Limit::StateValueBytes => self.state_value_bytes,
			Limit::StateWriteKeys => self.state_write_keys,
			Limit::StateWriteBytes => self.state_write_bytes,
			Limit::StateReadBytes => self.state_read_bytes,
			Limit::HostCalls => self.host_calls,
			Limit::PendingCalls => self.pending_calls,
			Limit::EntropyBytes => self.entropy_bytes,
		}
	}

	/// `Ok` if `used` is within `limit`.
	pub const fn check(&self, limit: Limit, used: u64) -> Result<(), LimitExceededError> {
		let allowed = self.allowed(limit);
		if used <= allowed {
			Ok(())
		} else {
			Err(LimitExceededError { limit, allowed })
		}
	}
}

/// The limits that a manifest may set; what it leaves out has the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsRequest {
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub memory_bytes: Option<u64>,
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub cpu_ms: Option<u64>,
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub wall_ms: Option<u64>,
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub outbound_calls: Option<u64>,
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub fetched_bytes: Option<u64>,
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub request_bytes: Option<u64>,
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub response_bytes: Option<u64>,
}

/// A manifest asks for more than any agent may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the manifest asks for a {limit} limit of {asked} {unit}; at most {ceiling} {unit} are allowed", unit = limit.unit())]
pub struct LimitTooHighError {
	pub limit: Limit,
	pub asked: u64,
	pub ceiling: u64,
}

impl LimitsRequest {
	/// The limits that a request to this agent runs under.
	pub fn resolve(&self) -> Result<Limits, LimitTooHighError> {
		let mut limits = Limits::default();
		let asked = [
			(&mut limits.memory_bytes, self.memory_bytes, MEMORY_BYTES_CEILING, Limit::Memory),
			(&mut limits.cpu_ms, self.cpu_ms, CPU_MS_CEILING, Limit::CpuTime),
			(&mut limits.wall_ms, self.wall_ms, WALL_MS_CEILING, Limit::WallTime),
			(
				&mut limits.outbound_calls,
				self.outbound_calls,
				OUTBOUND_CALLS_CEILING,
				Limit::OutboundCalls,
			),
			(
				&mut limits.fetched_bytes,
				self.fetched_bytes,
				FETCHED_BYTES_CEILING,
				Limit::FetchedBytes,
			),
			(
				&mut limits.request_bytes,
				self.request_bytes,
				REQUEST_BYTES_CEILING,
				Limit::RequestBytes,
			),
			(
				&mut limits.response_bytes,
				self.response_bytes,
				RESPONSE_BYTES_CEILING,
				Limit::ResponseBytes,
			),
		];
		for (value, asked, ceiling, limit) in asked {
			match asked {
				Some(asked) if asked > ceiling => {
					return Err(LimitTooHighError { limit, asked, ceiling })
				}
				Some(asked) => *value = asked,
				None => {}
			}
		}
		Ok(limits)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_limit_holds_at_its_edge_and_not_one_past_it() {
		let limits = Limits::default();
		assert_eq!(limits.check(Limit::LogLines, LOG_LINES), Ok(()));
		let exceeded = limits.check(Limit::LogLines, LOG_LINES + 1).unwrap_err();
		assert_eq!(
			exceeded.to_string(),
			"the log lines limit was exceeded: at most 1000 lines for one request"
		);
	}

	#[test]
	fn a_manifest_may_ask_up_to_the_ceiling_and_not_one_past_it() {
		let asking = |cpu_ms| LimitsRequest { cpu_ms: Some(cpu_ms), ..Default::default() };
		assert_eq!(asking(CPU_MS_CEILING).resolve().unwrap().cpu_ms, CPU_MS_CEILING);
		assert_eq!(
			asking(CPU_MS_CEILING + 1).resolve().unwrap_err().to_string(),
			"the manifest asks for a CPU time limit of 30001 ms; at most 30000 ms are allowed"
		);
	}
}
