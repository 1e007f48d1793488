//! When to submit an enclave's registration, and when to wait.

use phala_protocol::BlockNumber;
use std::time::Instant;

use crate::{backoff::Backoff, limits};

/// What is known of the last registration. Losing it is harmless: the chain is asked first.
#[derive(Clone, Debug)]
pub struct RegistrationGate {
	pending_until: Option<BlockNumber>,
	not_before: Option<Instant>,
	backoff: Backoff,
}

impl Default for RegistrationGate {
	fn default() -> Self {
		Self {
			pending_until: None,
			not_before: None,
			backoff: Backoff::new(limits::BACKOFF_MIN, limits::BACKOFF_MAX),
		}
	}
}

impl RegistrationGate {
	/// Whether an enclave at `height` that asks for a registration should get one now.
	pub fn is_open(&self, height: BlockNumber, now: Instant) -> bool {
		// An enclave that saw the block and still asks did not find its registration there.
		self.pending_until.is_none_or(|block| height >= block)
			&& self.not_before.is_none_or(|instant| now >= instant)
	}

	/// One is on its way; until the enclave stands at `block` it cannot know.
	pub fn wait_for(&mut self, block: BlockNumber) {
		self.pending_until = Some(block);
		self.not_before = None;
		self.backoff.after_success();
	}

	/// The last attempt failed.
	pub fn failed(&mut self, now: Instant) {
		self.pending_until = None;
		self.not_before = now.checked_add(self.backoff.after_failure());
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn none_is_submitted_while_one_is_not_final() {
		let now = Instant::now();
		let mut gate = RegistrationGate::default();
		assert!(gate.is_open(5, now));
		gate.wait_for(8);
		assert!(!gate.is_open(7, now));
		assert!(gate.is_open(8, now), "final, and still asked for");
	}

	#[test]
	fn a_failed_one_is_tried_again_after_ever_longer_waits() {
		let now = Instant::now();
		let mut gate = RegistrationGate::default();
		gate.failed(now);
		assert!(!gate.is_open(5, now));
		assert!(gate.is_open(5, now + limits::BACKOFF_MIN));
		gate.failed(now);
		assert!(!gate.is_open(5, now + limits::BACKOFF_MIN));
		assert!(gate.is_open(5, now + limits::BACKOFF_MIN * 2));
	}
}
