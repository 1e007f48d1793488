//! Which of an enclave's envelopes to submit now.

use phala_protocol::{
	boot::BootNumber,
	mailbox::{Envelope, InboundNext, Lane},
	BlockNumber,
};
use std::collections::BTreeMap;

use crate::limits::RESUBMIT_ENVELOPE_BLOCKS;

/// Remembers what was submitted when. Losing it costs a repeated submission, nothing else.
#[derive(Clone, Debug, Default)]
pub struct EnvelopeBook {
	/// By boot, lane and number: at which best block.
	submitted: BTreeMap<(BootNumber, Lane, u64), BlockNumber>,
	/// The chain takes nothing from boots up to this one.
	retired: Option<BootNumber>,
}

impl EnvelopeBook {
	/// The envelopes that the chain waits for and that are not on their way already, each lane in order.
	pub fn due(
		&mut self,
		envelopes: Vec<Envelope>,
		next: InboundNext,
		best: BlockNumber,
	) -> Vec<Envelope> {
		self.submitted.retain(|(boot, lane, seq), _| *boot == next.boot && *seq >= next.seq(*lane));
		let is_due = |envelope: &Envelope| {
			let from = next.seq(envelope.lane);
			let until = from.saturating_add(envelope.lane.pending_max());
			let is_wanted = envelope.boot == next.boot && (from..until).contains(&envelope.seq);
			let submitted = self.submitted.get(&key(envelope));
			// A best block behind the submission is a fork; it may have lost the envelope.
			let on_its_way = submitted.is_some_and(|at| {
				(*at..at.saturating_add(RESUBMIT_ENVELOPE_BLOCKS)).contains(&best)
			});
			is_wanted && !on_its_way && self.retired < Some(envelope.boot)
		};
		envelopes.into_iter().filter(is_due).collect()
	}

	/// An envelope was submitted, or refused in a way that only time mends.
	pub fn submitted(&mut self, envelope: &Envelope, best: BlockNumber) {
		self.submitted.insert(key(envelope), best);
	}

	/// Nothing of this boot is taken any more.
	pub fn retired(&mut self, boot: BootNumber) {
		self.retired = self.retired.max(Some(boot));
	}
}

fn key(envelope: &Envelope) -> (BootNumber, Lane, u64) {
	(envelope.boot, envelope.lane, envelope.seq)
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::{limits::ENVELOPES_PENDING_MAX, mailbox::ByLane, H256};

	fn next(boot: BootNumber, rest: u64) -> InboundNext {
		InboundNext { boot, seqs: ByLane { rest, ..Default::default() } }
	}

	fn envelopes(numbers: impl IntoIterator<Item = u64>) -> Vec<Envelope> {
		let envelope = |seq| Envelope {
			genesis: H256::zero(),
			worker: 0,
			boot: 2,
			lane: Lane::Rest,
			seq,
			payload: vec![],
			signature: [0; 64],
		};
		numbers.into_iter().map(envelope).collect()
	}

	fn numbers(due: &[Envelope]) -> Vec<u64> {
		due.iter().map(|envelope| envelope.seq).collect()
	}

	#[test]
	fn only_what_the_chain_waits_for_is_due() {
		let mut book = EnvelopeBook::default();
		let chain = next(2, 3);
		let due = book.due(envelopes(0..200), chain, 10);
		assert_eq!(numbers(&due), (3..3 + ENVELOPES_PENDING_MAX).collect::<Vec<_>>());
		assert!(book.due(envelopes(0..9), next(3, 0), 10).is_empty());
	}

	#[test]
	fn an_envelope_comes_again_only_after_a_while_or_on_another_fork() {
		let mut book = EnvelopeBook::default();
		let chain = next(2, 0);
		for envelope in book.due(envelopes(0..2), chain, 10) {
			book.submitted(&envelope, 10);
		}
		assert!(book.due(envelopes(0..2), chain, 10 + RESUBMIT_ENVELOPE_BLOCKS - 1).is_empty());
		assert_eq!(numbers(&book.due(envelopes(0..3), chain, 11)), [2]);
		assert_eq!(numbers(&book.due(envelopes(0..1), chain, 9)), [0]);
		let later = 10 + RESUBMIT_ENVELOPE_BLOCKS;
		assert_eq!(numbers(&book.due(envelopes(0..2), chain, later)), [0, 1]);
	}

	#[test]
	fn an_envelope_that_a_fork_gave_back_is_due_at_once() {
		let mut book = EnvelopeBook::default();
		let all = envelopes(0..1);
		book.submitted(&all[0], 10);
		assert!(book.due(all.clone(), next(2, 1), 11).is_empty());
		assert_eq!(numbers(&book.due(all, next(2, 0), 12)), [0]);
	}

	#[test]
	fn each_lane_is_due_from_where_the_chain_stands_in_it() {
		let mut book = EnvelopeBook::default();
		let mut all = envelopes(0..3);
		all.extend(
			envelopes(0..3).into_iter().map(|envelope| Envelope { lane: Lane::Keys, ..envelope }),
		);
		let seqs = ByLane { keys: 2, rest: 1, ..Default::default() };
		let due = book.due(all, InboundNext { boot: 2, seqs }, 10);
		let due: Vec<_> = due.iter().map(|envelope| (envelope.lane, envelope.seq)).collect();
		assert_eq!(due, [(Lane::Rest, 1), (Lane::Rest, 2), (Lane::Keys, 2)]);
	}

	#[test]
	fn a_retired_boot_has_nothing_due() {
		let mut book = EnvelopeBook::default();
		book.retired(2);
		assert!(book.due(envelopes(0..3), next(2, 0), 10).is_empty());
	}
}
