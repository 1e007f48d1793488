//! Waits between attempts: each twice as long as the one before, up to a cap.

use std::time::Duration;

/// How long to wait next.
#[derive(Clone, Debug)]
pub struct Backoff {
	min: Duration,
	max: Duration,
	next: Duration,
}

impl Backoff {
	/// Starts at `min`, doubles up to `max`.
	pub fn new(min: Duration, max: Duration) -> Self {
		Self { min, max, next: min }
	}

	/// The wait before the next attempt; the one after is twice as long.
	pub fn after_failure(&mut self) -> Duration {
		let wait = self.next;
		self.next = self.next.saturating_mul(2).min(self.max);
		wait
	}

	/// Starts over.
	pub fn after_success(&mut self) {
		self.next = self.min;
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn waits_double_up_to_the_cap_and_start_over_after_a_success() {
		let seconds = Duration::from_secs;
		let mut backoff = Backoff::new(seconds(1), seconds(5));
		let waits: Vec<_> = (0..5).map(|_| backoff.after_failure()).collect();
		assert_eq!(waits, [seconds(1), seconds(2), seconds(4), seconds(5), seconds(5)]);
		backoff.after_success();
		assert_eq!(backoff.after_failure(), seconds(1));
	}
}
