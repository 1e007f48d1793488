//! Which sealed calls were taken here, so that a copy is refused.
//!
//! This memory never refuses a call for being full, it forgets: of one caller the input that expires
//! first, beyond [`CALLER_NONCES_MAX`]; of all callers too, beyond [`AGENT_NONCES_MAX`]. Whoever fills
//! it with throw-away keys makes copies of others' reads possible again, and locks nobody out. A copy of
//! what only reads costs a run and tells nobody anything: its answer is sealed to the reply key in it. A
//! copy of what writes has no effect whatever is forgotten here: its nonce is in the job, then in the
//! state ([`Agent::has_taken`](super::agent::Agent::has_taken)).
//!
//! What ends as `OtherCode` never ran, and is forgotten: its caller seals it to the code that runs, with
//! the nonce that it had. Who held the first copy back can have it run instead of the second, if the old
//! code comes back before both expire, and never beside it.

use crate::limits::{AGENT_NONCES_MAX, CALLER_NONCES_MAX};
use phala_protocol::{caller::Caller, BlockNumber};
use std::collections::{BTreeMap, BTreeSet};

type Nonce = [u8; 32];

/// Those of one agent. A caller is who signed: who has no name has a key.
///
/// A caller costs an entry of each index and no collection of its own: throw-away keys are cheap to make.
#[derive(Default)]
pub struct Nonces {
	/// How many there are of each caller that has more than one.
	counts: BTreeMap<Caller, usize>,
	by_caller: BTreeSet<(Caller, BlockNumber, Nonce)>,
	/// The same.
	by_expiry: BTreeSet<(BlockNumber, Caller, Nonce)>,
}

impl Nonces {
	/// Whether this input was taken. A copy has the same expiry: it is sealed too.
	pub fn has(&self, caller: &Caller, expiry: BlockNumber, nonce: &Nonce) -> bool {
		self.by_expiry.contains(&(expiry, *caller, *nonce))
	}

	/// An input is taken.
	pub fn insert(&mut self, caller: Caller, expiry: BlockNumber, nonce: Nonce) {
		if !self.by_expiry.insert((expiry, caller, nonce)) {
			return;
		}
		let is_first = self.first_of(&caller).is_none();
		self.by_caller.insert((caller, expiry, nonce));
		if !is_first {
			*self.counts.entry(caller).or_insert(1) += 1;
		}
		if self.counts.get(&caller).is_some_and(|count| *count > CALLER_NONCES_MAX) {
			if let Some((expiry, nonce)) = self.first_of(&caller) {
				self.remove(caller, expiry, nonce);
			}
		}
		if self.by_expiry.len() > AGENT_NONCES_MAX {
			self.forget_first();
		}
	}

	/// Forgets those whose inputs nobody takes any more.
	pub fn expire(&mut self, height: BlockNumber) {
		while self.by_expiry.first().is_some_and(|(expiry, ..)| *expiry < height) {
			self.forget_first();
		}
	}

	/// Of one caller the one that expires first.
	fn first_of(&self, caller: &Caller) -> Option<(BlockNumber, Nonce)> {
		let from = (*caller, BlockNumber::MIN, [u8::MIN; 32]);
		let (of, expiry, nonce) = self.by_caller.range(from..).next()?;
		(of == caller).then_some((*expiry, *nonce))
	}

	fn forget_first(&mut self) {
		if let Some((expiry, caller, nonce)) = self.by_expiry.first().copied() {
			self.remove(caller, expiry, nonce);
		}
	}

	/// One is there no more: it expired, or was given back before it ran and may come again.
	pub fn remove(&mut self, caller: Caller, expiry: BlockNumber, nonce: Nonce) {
		if !self.by_expiry.remove(&(expiry, caller, nonce)) {
			return;
		}
		self.by_caller.remove(&(caller, expiry, nonce));
		if let Some(count) = self.counts.get_mut(&caller) {
			*count -= 1;
			if *count < 2 {
				self.counts.remove(&caller);
			}
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const EXPIRY: BlockNumber = 100;

	fn caller(number: u32) -> Caller {
		let mut account = [0; 32];
		account[..4].copy_from_slice(&number.to_le_bytes());
		Caller::Account(account)
	}

	fn nonce(number: u32) -> Nonce {
		let mut nonce = [1; 32];
		nonce[..4].copy_from_slice(&number.to_le_bytes());
		nonce
	}

	/// One key, any number of inputs.
	fn flooder(nonces: &mut Nonces, key: u32, inputs: usize) {
		for number in 0..inputs as u32 {
			nonces.insert(caller(key), EXPIRY, nonce(number));
		}
	}

	#[test]
	fn a_flooder_makes_room_for_itself_at_its_own_cost() {
		let mut nonces = Nonces::default();
		nonces.insert(caller(0), EXPIRY - 1, nonce(7));
		flooder(&mut nonces, 1, CALLER_NONCES_MAX);
		assert!(nonces.has(&caller(1), EXPIRY, &nonce(0)));
		flooder(&mut nonces, 1, AGENT_NONCES_MAX + 1);
		assert_eq!(nonces.by_expiry.len(), CALLER_NONCES_MAX + 1);
		assert!(nonces.has(&caller(0), EXPIRY - 1, &nonce(7)), "nobody else's is forgotten");
	}

	#[test]
	fn a_stranger_with_throw_away_keys_fills_no_more_than_there_is() {
		let mut nonces = Nonces::default();
		for key in 0..AGENT_NONCES_MAX as u32 + 10 {
			nonces.insert(caller(key), EXPIRY, nonce(key));
		}
		let sizes = |nonces: &Nonces| (nonces.by_expiry.len(), nonces.by_caller.len());
		assert_eq!(sizes(&nonces), (AGENT_NONCES_MAX, AGENT_NONCES_MAX));
		// No throw-away key has a collection of its own.
		assert!(nonces.counts.is_empty());
		// What comes then is remembered all the same.
		nonces.insert(caller(7), EXPIRY + 1, nonce(7));
		assert!(nonces.has(&caller(7), EXPIRY + 1, &nonce(7)));
		nonces.expire(EXPIRY);
		assert_eq!(nonces.by_expiry.len(), AGENT_NONCES_MAX, "they are good at their last block");
		nonces.expire(EXPIRY + 1);
		assert_eq!(sizes(&nonces), (1, 1));
	}

	#[test]
	fn a_repeater_is_counted_once_and_a_count_ends_with_its_inputs() {
		let mut nonces = Nonces::default();
		for _ in 0..3 {
			nonces.insert(caller(1), EXPIRY, nonce(1));
		}
		assert!(nonces.counts.is_empty());
		nonces.insert(caller(1), EXPIRY + 1, nonce(2));
		nonces.insert(caller(1), EXPIRY + 1, nonce(3));
		assert_eq!(nonces.counts[&caller(1)], 3);
		nonces.expire(EXPIRY + 1);
		assert_eq!(nonces.counts[&caller(1)], 2);
		nonces.expire(EXPIRY + 2);
		assert!(nonces.counts.is_empty() && nonces.by_caller.is_empty());
	}
}
