//! Envelopes on their way to the chain: made once, kept until the chain is proven to have them.

use super::error::MachineError;
use crate::limits;
use codec::Encode;
use phala_keys::boot::BootKeys;
use phala_protocol::{
	boot::{BootNumber, WorkerId},
	mailbox::{Envelope, EnvelopeContent, InboundNext},
	messages::Payload,
	H256,
};
use rand_core::CryptoRng;
use std::collections::VecDeque;

/// The envelopes of one boot.
pub struct Outbox {
	genesis: H256,
	worker: WorkerId,
	boot: BootNumber,
	next_seq: u64,
	waiting: VecDeque<Envelope>,
}

impl Outbox {
	/// Empty; numbers from 0.
	pub fn new(genesis: H256, worker: WorkerId, boot: BootNumber) -> Self {
		Self { genesis, worker, boot, next_seq: 0, waiting: VecDeque::new() }
	}

	/// Signs `payload` under the next number, which is returned, and keeps it.
	///
	/// # Errors
	/// [`MachineError::OutboxFull`].
	pub fn push(
		&mut self,
		keys: &BootKeys,
		payload: &Payload,
		rng: &mut impl CryptoRng,
	) -> Result<u64, MachineError> {
		if self.waiting.len() >= limits::OUTBOX_MAX {
			return Err(MachineError::OutboxFull { waiting: self.waiting.len() });
		}
		let Self { genesis, worker, boot, next_seq: seq, .. } = *self;
		let payload = payload.encode();
		let signature = keys.sign(rng, &EnvelopeContent::new(genesis, worker, boot, seq, &payload));
		self.waiting.push_back(Envelope { genesis, worker, boot, seq, payload, signature });
		self.next_seq = seq.saturating_add(1);
		Ok(seq)
	}

	/// Drops what the chain has consumed. A proof about another boot says nothing about this one.
	pub fn confirm(&mut self, chain: InboundNext) {
		if chain.boot != self.boot {
			return;
		}
		while self.waiting.front().is_some_and(|envelope| envelope.seq < chain.seq) {
			self.waiting.pop_front();
		}
	}

	/// What the chain may not have yet, in order.
	pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Envelope> {
		self.waiting.iter()
	}
}
