//! What the parts of a machine act with.

use super::{outbox::Outbox, Config, MachineError};
use crate::limits::SIGNATURES_MAX;
use phala_keys::boot::BootKeys;
use phala_protocol::{
	boot::BootNumber, messages::Payload, requests::SignedAnswer, BlockNumber, H256,
};
use rand_core::CryptoRng;
use std::collections::{HashMap, VecDeque};

/// One step of a registered boot: who it is, what it knows of now, and how it speaks.
pub struct Turn<'a, R> {
	pub config: Config,
	pub boot: BootNumber,
	pub keys: &'a BootKeys,
	/// The newest finalized block.
	pub height: BlockNumber,
	/// Whether the view of the chain is proven to be recent.
	pub fresh: Result<(), MachineError>,
	pub outbox: &'a mut Outbox,
	/// What this boot signed lately, for whoever asks for the proof again.
	pub proofs: &'a mut Proofs,
	pub rng: &'a mut R,
}

/// Signed answers by id; the oldest go first.
#[derive(Default)]
pub struct Proofs {
	signed: HashMap<H256, SignedAnswer>,
	order: VecDeque<H256>,
}

impl Proofs {
	pub fn keep(&mut self, proof: SignedAnswer) {
		let id = proof.id();
		self.signed.insert(id, proof);
		self.order.push_back(id);
		if self.order.len() > SIGNATURES_MAX {
			if let Some(oldest) = self.order.pop_front() {
				self.signed.remove(&oldest);
			}
		}
	}

	pub fn get(&self, id: &H256) -> Option<&SignedAnswer> {
		self.signed.get(id)
	}
}

impl<R: CryptoRng> Turn<'_, R> {
	/// Signs and keeps `payload` for the chain; its number, or `None` when the outbox is full:
	/// whoever wants to say it tries again in a later turn.
	pub fn say(&mut self, payload: &Payload) -> Option<u64> {
		self.outbox.push(self.keys, payload, self.rng).ok()
	}

	pub fn is_fresh(&self) -> bool {
		self.fresh.is_ok()
	}
}
