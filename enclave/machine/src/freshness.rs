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
	/// Marks that were sent and not seen yet, the oldest first, and when each was made. There are
	/// several after a time without blocks: the chain takes the first, and refuses what comes too soon
	/// after it.
	outstanding: Vec<([u8; 32], Instant)>,
	/// When to make a mark although one is outstanding: that one may have been refused.
	next_at: Option<Instant>,
}

impl Freshness {
	/// The first mark: keys made at `made`, seen in their registration.
	pub fn first_mark(made: Instant) -> Self {
		Self { newest_seen: made, outstanding: Vec::new(), next_at: None }
	}

	/// When the newest mark that the chain showed was made.
	pub fn newest_seen(&self) -> Instant {
		self.newest_seen
	}

	/// When the next mark is to be sent.
	pub fn next_mark_at(&self) -> Instant {
		match (self.outstanding.last(), self.next_at) {
			(Some((_, made)), None) => made.after_ms(limits::HEARTBEAT_PATIENCE_MS),
			(Some((_, made)), Some(at)) => at.min(made.after_ms(limits::HEARTBEAT_PATIENCE_MS)),
			(None, _) => self.newest_seen.after_ms(limits::HEARTBEAT_INTERVAL_MS),
		}
	}

	/// A new mark to send, when it is time for one.
	pub fn next_mark(&mut self, now: Instant, rng: &mut impl CryptoRng) -> Option<[u8; 32]> {
		if now < self.next_mark_at() {
			return None;
		}
		let mut nonce = [0; 32];
		rng.fill_bytes(&mut nonce);
		self.next_at = None;
		self.outstanding.push((nonce, now));
		if self.outstanding.len() > limits::HEARTBEATS_OUTSTANDING_MAX {
			self.outstanding.remove(0);
		}
		Some(nonce)
	}

	/// The chain shows `nonce`, as is read at `now`. A foreign one, and one before the newest that was
	/// seen, changes nothing.
	pub fn seen(&mut self, nonce: &[u8; 32], now: Instant) {
		let mut sent = self.outstanding.iter().copied().enumerate();
		let Some((at, (_, made))) = sent.find(|(_, (sent, _))| sent == nonce) else { return };
		self.outstanding.drain(..=at);
		self.newest_seen = self.newest_seen.max(made);
		let is_waiting = !self.outstanding.is_empty();
		self.next_at = is_waiting.then(|| now.after_ms(limits::HEARTBEAT_RETRY_MS));
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

#[cfg(test)]
mod tests {
	use super::*;
	use crate::limits::{HEARTBEATS_OUTSTANDING_MAX, HEARTBEAT_PATIENCE_MS, HEARTBEAT_RETRY_MS};
	use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};

	const START: Instant = Instant::from_ms(1_000_000);

	/// A boot at the end of a time without blocks: each mark that it sent waits for one.
	fn after_an_outage(marks: usize) -> (Freshness, Vec<[u8; 32]>, Instant) {
		let mut rng = ChaCha20Rng::seed_from_u64(1);
		let mut freshness = Freshness::first_mark(START);
		let mut sent = Vec::new();
		let mut now = START;
		while sent.len() < marks {
			now = freshness.next_mark_at();
			sent.push(freshness.next_mark(now, &mut rng).expect("it is time"));
		}
		(freshness, sent, now)
	}

	#[test]
	fn after_an_outage_the_mark_that_landed_counts_and_the_next_does_not_wait_for_the_one_that_was_refused(
	) {
		let (mut freshness, sent, now) = after_an_outage(2);
		let before = freshness.newest_seen();
		freshness.seen(&sent[0], now);
		assert!(freshness.newest_seen() > before, "the first landed");
		// The second came too soon after it.
		assert_eq!(freshness.next_mark_at(), now.after_ms(HEARTBEAT_RETRY_MS));
		let mut rng = ChaCha20Rng::seed_from_u64(2);
		let later = now.after_ms(HEARTBEAT_RETRY_MS);
		let third = freshness.next_mark(later, &mut rng).expect("it is time");
		assert_eq!(freshness.next_mark_at(), later.after_ms(HEARTBEAT_PATIENCE_MS));
		freshness.seen(&third, later);
		assert_eq!(freshness.newest_seen(), later);
		// What was made before tells nothing new.
		freshness.seen(&sent[1], later);
		assert_eq!(freshness.newest_seen(), later);
	}

	#[test]
	fn a_relayer_that_shows_an_old_mark_makes_nothing_younger_than_that_mark() {
		let (mut freshness, sent, now) = after_an_outage(3);
		let made = START.after_ms(limits::HEARTBEAT_INTERVAL_MS);
		freshness.seen(&sent[0], now);
		assert_eq!(freshness.newest_seen(), made);
		assert_eq!(freshness.age_ms(now), now.ms_since(made));
	}

	#[test]
	fn an_outage_of_any_length_leaves_a_few_marks() {
		let (mut freshness, sent, now) = after_an_outage(HEARTBEATS_OUTSTANDING_MAX + 3);
		assert_eq!(freshness.outstanding.len(), HEARTBEATS_OUTSTANDING_MAX);
		freshness.seen(sent.last().expect("some"), now);
		assert!(freshness.outstanding.is_empty());
		assert_eq!(freshness.newest_seen(), now);
	}
}
