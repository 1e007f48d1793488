//! Probes: anybody may ask, at the price of a transaction, whether a boot answers. What that takes of
//! the boot's lane is bounded as the chain bounds it: only the newest are remembered, and no more
//! answers wait for the chain than it remembers questions.

use crate::turn::Turn;
use phala_protocol::{
	limits::OPEN_PROBES_MAX,
	mailbox::EnvelopeNumber,
	messages::{Payload, RegistryPayload},
};
use std::collections::VecDeque;

/// Those of one boot.
#[derive(Default)]
pub struct Probes {
	/// Not answered yet.
	asked: VecDeque<[u8; 32]>,
	/// The envelopes with answers.
	sent: VecDeque<EnvelopeNumber>,
}

impl Probes {
	/// Somebody asks. The oldest gives way, as on the chain.
	pub fn asked(&mut self, nonce: [u8; 32]) {
		if self.asked.len() >= OPEN_PROBES_MAX as usize {
			self.asked.pop_front();
		}
		self.asked.push_back(nonce);
	}

	/// Answers as many as may wait for the chain.
	pub fn answer<R>(&mut self, turn: &mut Turn<'_, R>) {
		self.sent.retain(|number| turn.outbox.waits(*number));
		while self.sent.len() < OPEN_PROBES_MAX as usize {
			let Some(nonce) = self.asked.pop_front() else { return };
			let answer = Payload::Registry(RegistryPayload::ProbeAnswered { nonce });
			match turn.submit(&answer) {
				Some(number) => self.sent.push_back(number),
				None => return self.asked.push_front(nonce),
			}
		}
	}
}
