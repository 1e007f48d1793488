//! How old this enclave's view of the chain can be at most.
//!
//! A header cannot say that it is old. A **mark** is something unpredictable that this enclave
//! made itself; a chain that shows it was written after the mark was made. So the view is at most
//! as old as the newest mark seen, counted from when that mark was **made**, not from when it was
//! seen: a relayer that holds headers back for an hour shows marks that are an hour old.

use crate::{limits, Instant, MachineError};
use rand_core::CryptoRng;

/// The marks of one boot.
#[derive(Clone, Debug)]
pub struct Freshness {
	/// When the newest mark seen on the chain was made.
	newest_seen: Instant,
	/// A mark that was sent and not seen yet, and when it was made.
	outstanding: Option<([u8; 32], Instant)>,
}

impl Freshness {
	/// The first mark: keys made at `made`, seen in their registration.
	pub fn first_mark(made: Instant) -> Self {
		Self { newest_seen: made, outstanding: None }
	}

	/// When the newest mark that the chain showed was made.
	pub fn newest_seen(&self) -> Instant {
		self.newest_seen
	}

	/// When the next mark is to be sent.
	pub fn next_mark_at(&self) -> Instant {
		match self.outstanding {
			Some((_, made)) => made.after_ms(limits::HEARTBEAT_PATIENCE_MS),
			None => self.newest_seen.after_ms(limits::HEARTBEAT_INTERVAL_MS),
		}
	}

	/// A new mark to send, when it is time for one.
	pub fn next_mark(&mut self, now: Instant, rng: &mut impl CryptoRng) -> Option<[u8; 32]> {
		if now < self.next_mark_at() {
			return None;
		}
		let mut nonce = [0; 32];
		rng.fill_bytes(&mut nonce);
		self.outstanding = Some((nonce, now));
		Some(nonce)
	}

	/// The chain shows `nonce`. An older or a foreign one changes nothing.
	pub fn seen(&mut self, nonce: &[u8; 32]) {
		if let Some((expected, made)) = self.outstanding {
			if expected == *nonce {
				self.newest_seen = self.newest_seen.max(made);
				self.outstanding = None;
			}
		}
	}

	/// Most that the view can be old, in milliseconds.
	pub fn age_ms(&self, now: Instant) -> u64 {
		now.ms_since(self.newest_seen)
	}

	/// Whether what needs a recent view may be done.
	pub fn require(&self, now: Instant) -> Result<(), MachineError> {
		let (age_ms, max_ms) = (self.age_ms(now), limits::MARK_AGE_MAX_MS);
		if age_ms > max_ms {
			return Err(MachineError::NotFresh { age_ms, max_ms });
		}
		Ok(())
	}
}
