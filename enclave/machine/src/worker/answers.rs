//! Which paid requests the effect sets of this boot answer. It stands beside the machine: the chain
//! says that a set is committed, but not what it answers, and a machine that was rebuilt and reads
//! again what was asked would do work again that is settled, and have every set refused that is made
//! on it.

use phala_protocol::{
	requests::{RequestId, RequestResult},
	BlockNumber, H256,
};
use std::collections::BTreeMap;

/// By the hash of the state that the set leads to, from when it is submitted until the last deadline in it has passed:
/// what is asked until then is not run any more.
#[derive(Default)]
pub struct Answers(BTreeMap<H256, Answered>);

struct Answered {
	requests: Vec<RequestId>,
	deadline: BlockNumber,
}

impl Answers {
	/// An effect set is on its way. Forgets those whose time is over.
	pub fn submitted(
		&mut self,
		new_hash: H256,
		results: &[RequestResult],
		deadline: BlockNumber,
		height: BlockNumber,
	) {
		self.0.retain(|_, answered| answered.deadline >= height);
		let requests = results.iter().map(|result| result.request).collect();
		self.0.insert(new_hash, Answered { requests, deadline });
	}

	/// What an effect set answers.
	pub fn of(&self, new_hash: H256) -> &[RequestId] {
		self.0.get(&new_hash).map_or(&[], |answered| &answered.requests)
	}
}
