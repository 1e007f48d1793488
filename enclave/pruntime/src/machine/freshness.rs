//! How old this enclave's view of the chain can be at most.
//!
//! A header cannot say that it is old. A **mark** is something unpredictable that this enclave
//! made itself; a chain that shows it was written after the mark was made. So the view is at most
//! as old as the newest mark seen, counted from when that mark was **made**, not from when it was
//! seen: a relayer that holds headers back for an hour shows marks that are an hour old.

use super::error::MachineError;
use crate::limits;
use rand_core::CryptoRng;

/// The marks of one boot. Times are milliseconds of the TEE's own counter.
#[derive(Debug)]
pub struct Freshness {
	/// When the newest mark seen on the chain was made.
	newest_seen_ms: u64,
	/// A mark that was sent and not seen yet, and when it was made.
	outstanding: Option<([u8; 32], u64)>,
}

impl Freshness {
	/// The first mark: keys made at `made_ms`, seen in their registration.
	pub fn first_mark(made_ms: u64) -> Self {
		Self { newest_seen_ms: made_ms, outstanding: None }
	}

	/// A new mark to send, when it is time for one.
	pub fn next_mark(&mut self, now_ms: u64, rng: &mut impl CryptoRng) -> Option<[u8; 32]> {
		if let Some((_, made_ms)) = self.outstanding {
			if now_ms.saturating_sub(made_ms) < limits::HEARTBEAT_PATIENCE_MS {
				return None;
			}
		} else if self.age_ms(now_ms) < limits::HEARTBEAT_INTERVAL_MS {
			return None;
		}
		let mut nonce = [0; 32];
		rng.fill_bytes(&mut nonce);
		self.outstanding = Some((nonce, now_ms));
		Some(nonce)
	}

	/// The chain shows `nonce`. An older or a foreign one changes nothing.
	pub fn seen(&mut self, nonce: &[u8; 32]) {
		if let Some((expected, made_ms)) = self.outstanding {
			if expected == *nonce {
				self.newest_seen_ms = self.newest_seen_ms.max(made_ms);
				self.outstanding = None;
			}
		}
	}

	/// Most that the view can be old, in milliseconds.
	pub fn age_ms(&self, now_ms: u64) -> u64 {
		now_ms.saturating_sub(self.newest_seen_ms)
	}

	/// Whether what needs a recent view may be done.
	///
	/// # Errors
	/// [`MachineError::NotFresh`].
	pub fn require(&self, now_ms: u64) -> Result<(), MachineError> {
		let age_ms = self.age_ms(now_ms);
		if age_ms > limits::MARK_AGE_MAX_MS {
			return Err(MachineError::NotFresh { age_ms, max_ms: limits::MARK_AGE_MAX_MS });
		}
		Ok(())
	}
}
