//! Takes in what the chain says to gatekeepers.

use super::state::{Gatekeeper, HeldShare, Shares};
use crate::{
	limits::KEY_REQUESTS_WAITING_MAX,
	task::{Outcome, TaskDone, Work},
	turn::Turn,
};
use codec::Encode;
use phala_keys::master::SharingId;
use phala_protocol::{
	keys::{Epoch, KeyRequest},
	messages::{KeysMessage, KeysPayload, Payload},
};
use rand_core::CryptoRng;
use std::sync::Arc;

impl Gatekeeper {
	/// Acts on what the chain told the gatekeepers.
	pub fn on_message<R: CryptoRng>(
		&mut self,
		message: KeysMessage,
		shares: &Shares,
		turn: &mut Turn<'_, R>,
	) {
		match message {
			KeysMessage::Seated { epoch, attempt, seats } => {
				if !seats.iter().any(|seat| seat.keys.identity == turn.keys.public().identity) {
					return;
				}
				match shares.get(&epoch) {
					// A rebuilt machine reads it again. The share that it holds is the one that the
					// chain may know of.
					Some(held) if held.share.sharing() == (SharingId { epoch, attempt }) => {
						self.confirm(epoch, attempt, held.outcome.clone());
					}
					_ => {
						turn.compute(Work::MakeMasterKey { epoch, attempt, seats });
					}
				}
			}
			KeysMessage::KeyRequested(request) => {
				// What a rebuilt machine reads again was answered before, or is asked again.
				if !turn.is_replaying {
					self.wait(request);
				}
			}
			// The machine's, and the asking worker's.
			KeysMessage::MasterKey(_)
			| KeysMessage::SeatedAsGatekeeper { .. }
			| KeysMessage::KeyRelease { .. } => {}
		}
	}

	/// Cryptography is done.
	pub fn on_computed<R: CryptoRng>(
		&mut self,
		done: TaskDone,
		shares: &mut Shares,
		turn: &mut Turn<'_, R>,
	) {
		match done.outcome {
			Outcome::MasterKeyMade { epoch, attempt, made } => match made {
				Ok((outcome, share)) => {
					let outcome = outcome.encode();
					self.confirm(epoch, attempt, outcome.clone());
					shares.insert(epoch, HeldShare { share: Arc::new(share), outcome });
				}
				// The chain tries again with another set of seats.
				Err(error) => tracing::warn!(epoch, attempt, "no share: {error}"),
			},
			Outcome::Released { request, release } => {
				if self.releasing.remove(&done.id).is_none() {
					return;
				}
				match release {
					// While it was made the view may have grown old: nothing leaves then.
					Ok(_) if !turn.is_fresh() => self.wait(request),
					Ok(release) => self.released.push_back((request, release)),
					Err(error) => {
						tracing::warn!(worker = request.worker, "nothing released: {error}");
					}
				}
			}
			_ => {}
		}
	}

	/// The master key of `epoch` serves from now on: earlier shares are forgotten.
	pub fn on_master_key(&mut self, epoch: Epoch, shares: &mut Shares) {
		shares.retain(|of, _| *of >= epoch);
	}

	fn confirm(&mut self, epoch: Epoch, attempt: u32, outcome: Vec<u8>) {
		let confirmation = KeysPayload::MasterKeyConfirmed { epoch, attempt, outcome };
		self.unconfirmed.push_back(Payload::Keys(confirmation));
	}

	fn wait(&mut self, request: KeyRequest) {
		if self.waiting.len() >= KEY_REQUESTS_WAITING_MAX {
			// The worker asks again.
			self.waiting.pop_front();
		}
		self.waiting.push_back(request);
	}
}
