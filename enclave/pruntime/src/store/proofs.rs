//! What this boot signed for answers, by id; the oldest go first.

use crate::limits::SIGNATURES_MAX;
use phala_protocol::{requests::SignedAnswer, H256};
use std::collections::{HashMap, VecDeque};

#[derive(Default)]
pub struct Proofs {
	signed: HashMap<H256, SignedAnswer>,
	order: VecDeque<H256>,
}

impl Proofs {
	pub fn put(&mut self, proof: SignedAnswer) {
		let id = proof.id();
		if self.signed.insert(id, proof).is_some() {
			return;
		}
		self.order.push_back(id);
		if self.order.len() > SIGNATURES_MAX {
			if let Some(oldest) = self.order.pop_front() {
				self.signed.remove(&oldest);
			}
		}
	}

	pub fn get(&self, id: &H256) -> Option<SignedAnswer> {
		self.signed.get(id).cloned()
	}
}
