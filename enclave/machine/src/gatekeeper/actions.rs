//! Does all that a gatekeeper can do now without the outside.

use super::state::{Gatekeeper, Shares};
use crate::{limits::RELEASES_AT_ONCE_MAX, task::Work, turn::Turn};
use phala_keys::master::SharingId;
use phala_protocol::messages::{KeysPayload, Payload};
use rand_core::CryptoRng;

impl Gatekeeper {
	/// Confirms and releases what can be now. `serving` is the sharing of the key that serves.
	pub fn advance<R: CryptoRng>(
		&mut self,
		serving: Option<SharingId>,
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
		let Some(held) = serving.and_then(|sharing| shares.get(&sharing)) else { return };
		while self.releasing.len() < RELEASES_AT_ONCE_MAX {
			let Some(request) = self.waiting.pop_front() else { return };
			let share = held.share.clone();
			let task = turn.compute(Work::Release { share, request });
			self.releasing.insert(task, request);
		}
	}
}
