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
	keys::KeyRequest,
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
				let sharing = SharingId { epoch, attempt };
				match shares.get(&sharing) {
					// A rebuilt machine reads it again. The share that it holds is the one that the
					// chain may know of.
					Some(held) => self.confirm(sharing, held.outcome.clone()),
					// The chain has gone on to a later attempt.
					None if shares
						.last_key_value()
						.is_some_and(|(newest, _)| *newest > sharing) => {}
					None => {
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
					let (sharing, outcome) = (SharingId { epoch, attempt }, outcome.encode());
					self.confirm(sharing, outcome.clone());
					shares.insert(sharing, HeldShare { share: Arc::new(share), outcome });
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

	/// The master key of this sharing serves from now on: earlier shares are forgotten.
	pub fn on_master_key(&mut self, sharing: SharingId, shares: &mut Shares) {
		shares.retain(|of, _| *of >= sharing);
	}

	fn confirm(&mut self, SharingId { epoch, attempt }: SharingId, outcome: Vec<u8>) {
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
