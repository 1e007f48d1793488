//! The gatekeeper's role: takes part in making a master key, and releases cluster secrets.
//!
//! A share lives in memory alone. Who may ask is the chain's decision: a request is in the
//! gatekeepers' channel only if the chain admitted it. What is left to this side is that its view
//! of the chain is recent: an old one might show a member that has long been thrown out.

use super::turn::Turn;
use codec::Encode;
use phala_keys::{
	boot::BootKeys,
	dkg::{Ceremony, Dealer, Outcome, Player, Transcript},
	master::MasterShare,
	release::release_partial,
	Error,
};
use phala_protocol::{
	keys::{Epoch, KeyRequest, Seat},
	messages::{KeysMessage, KeysPayload, Payload},
};
use rand_core::CryptoRng;
use std::collections::{BTreeMap, VecDeque};

use crate::limits::KEY_REQUESTS_WAITING_MAX;

/// What a gatekeeper holds.
#[derive(Default)]
pub struct Gatekeeper {
	/// By epoch: the one that serves, and the one that is about to.
	shares: BTreeMap<Epoch, MasterShare>,
	/// Confirmations that the outbox did not take yet.
	unsaid: VecDeque<Payload>,
	/// Admitted requests that wait for a recent view or for a key that serves.
	waiting: VecDeque<KeyRequest>,
}

impl Gatekeeper {
	/// Acts on what the chain told the gatekeepers.
	pub fn apply<R: CryptoRng>(&mut self, message: KeysMessage, turn: &mut Turn<'_, R>) {
		match message {
			KeysMessage::Seated { epoch, attempt, seats } => {
				if !seats.iter().any(|seat| seat.keys.identity == turn.keys.public().identity) {
					return;
				}
				match make_key(turn, epoch, attempt, &seats) {
					Ok((outcome, share)) => {
						self.shares.insert(epoch, share);
						let outcome = outcome.encode();
						self.unsaid.push_back(Payload::Keys(KeysPayload::MasterKeyConfirmed {
							epoch,
							attempt,
							outcome,
						}));
					}
					// The chain tries again with another set of seats.
					Err(error) => tracing::warn!(epoch, attempt, "no share: {error}"),
				}
			}
			KeysMessage::KeyRequested(request) => {
				if self.waiting.len() >= KEY_REQUESTS_WAITING_MAX {
					// The worker asks again.
					self.waiting.pop_front();
				}
				self.waiting.push_back(request);
			}
			// The machine's, and the asking worker's.
			KeysMessage::MasterKey(_)
			| KeysMessage::SeatedAsGatekeeper { .. }
			| KeysMessage::KeyRelease { .. } => {}
		}
	}

	/// The master key of `epoch` serves from now on: earlier shares are forgotten.
	pub fn serve(&mut self, epoch: Epoch) {
		self.shares.retain(|of, _| *of >= epoch);
	}

	/// Says and releases what can be now. `epoch` is of the key that serves.
	pub fn act<R: CryptoRng>(&mut self, epoch: Option<Epoch>, turn: &mut Turn<'_, R>) {
		while let Some(payload) = self.unsaid.front() {
			if turn.say(payload).is_none() {
				return;
			}
			self.unsaid.pop_front();
		}
		let Some(share) = epoch.and_then(|epoch| self.shares.get(&epoch)) else { return };
		if !turn.is_fresh() {
			return;
		}
		while let Some(request) = self.waiting.pop_front() {
			match release_partial(turn.rng, turn.config.genesis, turn.keys, share, &request) {
				Ok(release) => {
					let payload = Payload::Keys(KeysPayload::KeyReleased {
						request,
						release: release.encode(),
					});
					if turn.say(&payload).is_none() {
						self.waiting.push_front(request);
						return;
					}
				}
				Err(error) => tracing::warn!(worker = request.worker, "nothing released: {error}"),
			}
		}
	}
}

/// Runs the ceremony with itself: the chain seats one gatekeeper for now
/// ([`phala_protocol::limits::GATEKEEPERS_MAX`]). With more, dealings would travel in between.
fn make_key<R: CryptoRng>(
	turn: &mut Turn<'_, R>,
	epoch: Epoch,
	attempt: u32,
	seats: &[Seat],
) -> Result<(Outcome, MasterShare), Error> {
	let members: Vec<_> = seats.iter().map(|seat| seat.keys).collect();
	let keys: &BootKeys = turn.keys;
	let ceremony = Ceremony::new_key(turn.config.genesis, epoch, attempt, &members)?;
	let mut player = Player::new(&ceremony, keys)?;
	let (mut dealer, dealings) = Dealer::start(turn.rng, &ceremony, keys, None)?;
	for dealing in &dealings {
		if dealing.player == keys.public().identity {
			dealer.receive(&player.receive(keys, dealing)?)?;
		}
	}
	let mut transcript = Transcript::new(&ceremony);
	transcript.record(&dealer.finish())?;
	player.finish(turn.rng, &transcript)
}
