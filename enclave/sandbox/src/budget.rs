//! What a run has used, held against its limits.

use crate::invocation::Usage;
use phala_agent_manifest::limits::{Limit, LimitExceededError, Limits};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Shared between the store and the host calls that are under way.
pub(crate) struct Budget {
	limits: Limits,
	started: Instant,
	state: Mutex<State>,
}

#[derive(Default)]
struct State {
	usage: Usage,
	memory_bytes: u64,
	pending_calls: u64,
	/// The first limit that was passed. It, not the trap that follows, says why the run ended.
	breach: Option<LimitExceededError>,
}

impl Budget {
	pub(crate) fn new(limits: Limits) -> Arc<Self> {
		Arc::new(Self { limits, started: Instant::now(), state: Mutex::default() })
	}

	pub(crate) fn limits(&self) -> &Limits {
		&self.limits
	}

	fn state(&self) -> MutexGuard<'_, State> {
		// No code that holds the lock can panic; and counters are whole at every point.
		self.state.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// Adds `amount` to what `counter` picks and holds the sum against `limit`.
	pub(crate) fn add(
		&self,
		limit: Limit,
		amount: u64,
		counter: impl FnOnce(&mut Usage) -> &mut u64,
	) -> Result<(), LimitExceededError> {
		let mut state = self.state();
		let used = counter(&mut state.usage);
		*used = used.saturating_add(amount);
		let used = *used;
		self.hold(&mut state, limit, used)
	}

	/// Holds `used` against `limit`.
	pub(crate) fn check(&self, limit: Limit, used: u64) -> Result<(), LimitExceededError> {
		self.hold(&mut self.state(), limit, used)
	}

	fn hold(&self, state: &mut State, limit: Limit, used: u64) -> Result<(), LimitExceededError> {
		self.limits.check(limit, used).inspect_err(|exceeded| {
			state.breach.get_or_insert(*exceeded);
		})
	}

	/// Records a limit that was passed elsewhere.
	pub(crate) fn breached(&self, exceeded: LimitExceededError) -> LimitExceededError {
		*self.state().breach.get_or_insert(exceeded)
	}

	pub(crate) fn breach(&self) -> Option<LimitExceededError> {
		self.state().breach
	}

	/// A memory grows by `grown` bytes.
	pub(crate) fn grow_memory(&self, grown: u64) -> Result<(), LimitExceededError> {
		let mut state = self.state();
		let memory = state.memory_bytes.saturating_add(grown);
		self.hold(&mut state, Limit::Memory, memory)?;
		state.memory_bytes = memory;
		state.usage.memory_peak_bytes = state.usage.memory_peak_bytes.max(memory);
		Ok(())
	}

	/// A host call starts.
	pub(crate) fn host_call(&self) -> Result<(), LimitExceededError> {
		self.add(Limit::HostCalls, 1, |usage| &mut usage.host_calls)
	}

	/// A host call starts whose answer comes later. It is pending until what this returns is dropped.
	pub(crate) fn pending_call(self: &Arc<Self>) -> Result<Pending, LimitExceededError> {
		self.host_call()?;
		let mut state = self.state();
		let pending = state.pending_calls + 1;
		self.hold(&mut state, Limit::PendingCalls, pending)?;
		state.pending_calls = pending;
		Ok(Pending(Arc::clone(self)))
	}

	/// Lends a called agent half of the outbound calls that are left, so that the calls of the whole
	/// tree, however it branches, are no more than the first request's.
	pub(crate) fn lend_calls(&self) -> u64 {
		let mut state = self.state();
		let left = self.limits.outbound_calls.saturating_sub(state.usage.outbound_calls);
		state.usage.outbound_calls += left / 2;
		left / 2
	}

	/// Takes back what was lent and not used.
	pub(crate) fn return_calls(&self, unused: u64) {
		let mut state = self.state();
		state.usage.outbound_calls = state.usage.outbound_calls.saturating_sub(unused);
	}

	pub(crate) fn wall_ms_left(&self) -> u64 {
		let elapsed = self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
		self.limits.wall_ms.saturating_sub(elapsed)
	}

	pub(crate) fn fetched_bytes_left(&self) -> u64 {
		self.limits.fetched_bytes.saturating_sub(self.state().usage.fetched_bytes)
	}

	pub(crate) fn state_read_bytes_left(&self) -> u64 {
		self.limits.state_read_bytes.saturating_sub(self.state().usage.state_read_bytes)
	}

	pub(crate) fn usage(&self) -> Usage {
		self.state().usage
	}
}

pub(crate) struct Pending(Arc<Budget>);

impl Drop for Pending {
	fn drop(&mut self) {
		let mut state = self.0.state();
		state.pending_calls = state.pending_calls.saturating_sub(1);
	}
}
