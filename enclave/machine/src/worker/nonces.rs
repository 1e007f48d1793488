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
#[derive(Default)]
pub struct Nonces {
	/// None of the sets is empty.
	of_caller: BTreeMap<Caller, BTreeSet<(BlockNumber, Nonce)>>,
	/// The same, by expiry.
	all: BTreeSet<(BlockNumber, Caller, Nonce)>,
}

impl Nonces {
	/// Whether this input was taken. A copy has the same expiry: it is sealed too.
	pub fn has(&self, caller: &Caller, expiry: BlockNumber, nonce: &Nonce) -> bool {
		self.all.contains(&(expiry, *caller, *nonce))
	}

	/// An input is taken.
	pub fn insert(&mut self, caller: Caller, expiry: BlockNumber, nonce: Nonce) {
		self.all.insert((expiry, caller, nonce));
		let own = self.of_caller.entry(caller).or_default();
		own.insert((expiry, nonce));
		if own.len() > CALLER_NONCES_MAX {
			if let Some((expiry, nonce)) = own.pop_first() {
				self.all.remove(&(expiry, caller, nonce));
			}
		}
		if self.all.len() > AGENT_NONCES_MAX {
			self.forget_first();
		}
	}

	/// An input that was taken was given back before it ran: it may come again.
	pub fn remove(&mut self, caller: Caller, expiry: BlockNumber, nonce: Nonce) {
		self.all.remove(&(expiry, caller, nonce));
		if let Some(own) = self.of_caller.get_mut(&caller) {
			own.remove(&(expiry, nonce));
			if own.is_empty() {
				self.of_caller.remove(&caller);
			}
		}
	}

	/// Forgets those whose inputs nobody takes any more.
	pub fn expire(&mut self, height: BlockNumber) {
		while self.all.first().is_some_and(|(expiry, ..)| *expiry < height) {
			self.forget_first();
		}
	}

	fn forget_first(&mut self) {
		if let Some((expiry, caller, nonce)) = self.all.first().copied() {
			self.remove(caller, expiry, nonce);
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
		assert_eq!(nonces.all.len(), CALLER_NONCES_MAX + 1);
		assert!(nonces.has(&caller(0), EXPIRY - 1, &nonce(7)), "nobody else's is forgotten");
	}

	#[test]
	fn a_stranger_with_throw_away_keys_fills_no_more_than_there_is() {
		let mut nonces = Nonces::default();
		for key in 0..AGENT_NONCES_MAX as u32 + 10 {
			nonces.insert(caller(key), EXPIRY, nonce(key));
		}
		assert_eq!(
			(nonces.all.len(), nonces.of_caller.len()),
			(AGENT_NONCES_MAX, AGENT_NONCES_MAX)
		);
		// What comes then is remembered all the same.
		nonces.insert(caller(7), EXPIRY + 1, nonce(7));
		assert!(nonces.has(&caller(7), EXPIRY + 1, &nonce(7)));
		nonces.expire(EXPIRY);
		assert_eq!(nonces.all.len(), AGENT_NONCES_MAX, "they are good at their last block");
		nonces.expire(EXPIRY + 1);
		assert_eq!((nonces.all.len(), nonces.of_caller.len()), (1, 1));
	}
}
