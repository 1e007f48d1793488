//! Does all that a gatekeeper can do now without the outside.

use super::state::{Gatekeeper, Shares};
use crate::{limits::RELEASES_AT_ONCE_MAX, task::Work, turn::Turn};
use phala_protocol::{
	keys::Epoch,
	messages::{KeysPayload, Payload},
};
use rand_core::CryptoRng;

impl Gatekeeper {
	/// Confirms and releases what can be now. `epoch` is of the key that serves.
	pub fn advance<R: CryptoRng>(
		&mut self,
		epoch: Option<Epoch>,
		shares: &Shares,
		turn: &mut Turn<'_, R>,
	) {
		while let Some(payload) = self.unconfirmed.front() {
			if turn.submit(payload).is_none() {
				return;
			}
			self.unconfirmed.pop_front();
		}
		if !turn.is_fresh() {
			// What is made already waits too: it was made for who may have been thrown out since.
			for (request, _) in self.released.drain(..).rev() {
				self.waiting.push_front(request);
			}
			return;
		}
		while let Some((request, release)) = self.released.pop_front() {
			let answer = KeysPayload::KeyReleased { request, release: release.clone() };
			let payload = Payload::Keys(answer);
			if turn.submit(&payload).is_none() {
				self.released.push_front((request, release));
				return;
			}
		}
		let Some(held) = epoch.and_then(|epoch| shares.get(&epoch)) else { return };
		while self.releasing.len() < RELEASES_AT_ONCE_MAX {
			let Some(request) = self.waiting.pop_front() else { return };
			let share = held.share.clone();
			let task = turn.compute(Work::Release { share, request });
			self.releasing.insert(task, request);
		}
	}
}
