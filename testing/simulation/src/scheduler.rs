//! One heap of what is to happen, and a hash over all that did.

use codec::Encode;
use phala_protocol::{blake2_256, H256};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use rand_core::Rng;
use std::{cmp::Reverse, collections::BTreeMap, collections::BinaryHeap};

/// Everything that is to happen, by virtual time; of what is at one time, the first that was named.
pub struct Scheduler<E> {
	now_ms: u64,
	next: u64,
	heap: BinaryHeap<Reverse<(u64, u64)>>,
	events: BTreeMap<u64, E>,
}

impl<E> Default for Scheduler<E> {
	fn default() -> Self {
		Self { now_ms: 0, next: 0, heap: BinaryHeap::new(), events: BTreeMap::new() }
	}
}

impl<E> Scheduler<E> {
	/// Milliseconds since the beginning.
	pub fn now_ms(&self) -> u64 {
		self.now_ms
	}

	/// Something happens so many milliseconds from now.
	pub fn after(&mut self, ms: u64, event: E) {
		self.at(self.now_ms.saturating_add(ms), event);
	}

	/// Something happens then, or now if that is past.
	pub fn at(&mut self, ms: u64, event: E) {
		let id = self.next;
		self.next += 1;
		self.heap.push(Reverse((ms.max(self.now_ms), id)));
		self.events.insert(id, event);
	}

	/// The next thing that happens, unless it is later than `until_ms`; time is then.
	pub fn next(&mut self, until_ms: u64) -> Option<E> {
		let Reverse((at, id)) = *self.heap.peek()?;
		if at > until_ms {
			return None;
		}
		self.heap.pop();
		self.now_ms = at;
		self.events.remove(&id)
	}
}

/// A stream of randomness of its own for each use, so that one who draws more changes nobody else's.
pub struct Random(ChaCha20Rng);

impl Random {
	/// Of a simulation's seed, for `purpose`.
	pub fn of(seed: u64, purpose: &str) -> Self {
		let hash = blake2_256(&("phala simulation", seed, purpose).encode());
		Self(ChaCha20Rng::from_seed(hash.0))
	}

	/// From 0, without `end`.
	pub fn below(&mut self, end: u64) -> u64 {
		self.0.next_u64() % end.max(1)
	}

	/// From the first to the last, both included.
	pub fn within(&mut self, (first, last): (u64, u64)) -> u64 {
		first + self.below(last.saturating_sub(first) + 1)
	}

	/// Whether something happens that does so many times in a thousand.
	pub fn permille(&mut self, times: u64) -> bool {
		self.below(1_000) < times
	}

	pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
		from.get(self.below(from.len() as u64) as usize)
	}

	pub fn seed(&mut self) -> [u8; 32] {
		let mut seed = [0; 32];
		self.0.fill_bytes(&mut seed);
		seed
	}

	/// For cryptography.
	pub fn rng(&mut self) -> &mut ChaCha20Rng {
		&mut self.0
	}
}

/// A hash over all that happened: two runs of one seed have the same.
#[derive(Default)]
pub struct Trace {
	hash: H256,
	events: u64,
}

impl Trace {
	pub fn note(&mut self, now_ms: u64, what: &str, details: &impl Encode) {
		self.hash = blake2_256(&(self.hash, now_ms, what, details).encode());
		self.events += 1;
	}

	pub fn hash(&self) -> H256 {
		self.hash
	}

	pub fn events(&self) -> u64 {
		self.events
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn what_is_sooner_comes_first_and_of_two_at_once_the_one_that_was_named_first() {
		let mut scheduler = Scheduler::default();
		scheduler.after(5, "late");
		scheduler.after(3, "first of two");
		scheduler.after(3, "second of two");
		let order: Vec<_> = std::iter::from_fn(|| scheduler.next(4)).collect();
		assert_eq!(order, ["first of two", "second of two"]);
		assert_eq!(scheduler.now_ms(), 3);
		scheduler.at(0, "past");
		assert_eq!(scheduler.next(9), Some("past"));
		assert_eq!(scheduler.now_ms(), 3, "time does not go back");
		assert_eq!(scheduler.next(9), Some("late"));
	}

	#[test]
	fn streams_of_one_seed_are_different_and_those_of_one_purpose_alike() {
		let draw = |seed, purpose: &str| Random::of(seed, purpose).below(u64::MAX);
		assert_eq!(draw(1, "network"), draw(1, "network"));
		assert_ne!(draw(1, "network"), draw(1, "users"));
		assert_ne!(draw(1, "network"), draw(2, "network"));
	}
}
