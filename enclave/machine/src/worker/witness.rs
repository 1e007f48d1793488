//! Says for the chain that blocks do become final, near deadlines: the runtime does not see that.
//!
//! A member that read of a block knows that it is final. Some of the members say so, in turns: two more than
//! the chain wants, since the holder that is concerned may be among them, whose word is not counted, and one
//! that is lazy, dead or in league with it keeps the chain from nothing. The
//! chain remembers the newest such block alone, so no more than [`WITNESS_WORDS_WAITING_MAX`] words
//! wait for it, and what was asked meanwhile is answered by the newest: neither a slow agent with a
//! deadline in each block nor the end of a stall of finality fills the lane that heartbeats are in.
//! That is enough for a word in each block that is asked for, for as long as finality is behind no more
//! than it is when all is well: nobody's deadline can keep the word for another's back.

use crate::{limits::WITNESS_WORDS_WAITING_MAX, turn::Turn};
use phala_protocol::{
	boot::WorkerId,
	clusters::Member,
	limits::FINALITY_WITNESSES_ASKED,
	mailbox::EnvelopeNumber,
	messages::{ClustersPayload, Payload},
	BlockNumber,
};
use std::collections::{BTreeMap, VecDeque};

type Members = BTreeMap<WorkerId, Member>;

/// What one member has to say.
#[derive(Default)]
pub struct Witness {
	/// The newest final block in which the chain asked, of those that it is this member's turn for.
	asked: Option<BlockNumber>,
	/// The words that wait for the chain, in their order.
	sent: VecDeque<EnvelopeNumber>,
}

impl Witness {
	/// The chain asked in this block.
	pub fn asked(&mut self, block: BlockNumber, own: WorkerId, members: &Members) {
		if is_turn(block, own, members) {
			self.asked = self.asked.max(Some(block));
		}
	}

	/// Says what is to be said now.
	pub fn speak<R>(&mut self, turn: &mut Turn<'_, R>) {
		while self.sent.front().is_some_and(|number| !turn.outbox.waits(*number)) {
			self.sent.pop_front();
		}
		if self.sent.len() >= WITNESS_WORDS_WAITING_MAX {
			return;
		}
		if let Some(block) = self.asked.take() {
			// Too late it is worth nothing: it is not kept for a full outbox.
			self.sent
				.extend(turn.submit(&Payload::Clusters(ClustersPayload::BlockFinal { block })));
		}
	}
}

/// Whether it is this member's turn to speak for this block.
fn is_turn(block: BlockNumber, own: WorkerId, members: &Members) -> bool {
	let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
	let Some(rank) = members.keys().position(|worker| *worker == own) else { return false };
	let rank = u32::try_from(rank).unwrap_or(u32::MAX);
	let place = block.wrapping_add(rank).checked_rem(count);
	place.is_some_and(|place| place < FINALITY_WITNESSES_ASKED)
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::limits::{CLUSTER_MEMBERS_MAX, FINALITY_WITNESSES};

	fn members(count: u32) -> Members {
		// Not one after the other: who joined and left leaves gaps.
		(0..count)
			.map(|n| 3 * n + 1)
			.map(|worker| {
				let member = Member { worker, boot: 1, identity: [0; 32], endpoint: Vec::new() };
				(worker, member)
			})
			.collect()
	}

	/// Withholds an answer, and has one friend among the members that never says that blocks become final.
	struct Colluders {
		holder: WorkerId,
		friend: WorkerId,
	}

	impl Colluders {
		fn is_one(&self, worker: WorkerId) -> bool {
			worker == self.holder || worker == self.friend
		}
	}

	#[test]
	fn no_two_colluders_keep_the_chain_from_hearing_that_blocks_become_final() {
		for count in 5..=CLUSTER_MEMBERS_MAX {
			let members = members(count);
			let (block, all) = (7 + count, || members.keys().copied());
			for villains in all().flat_map(|holder| {
				all()
					.filter(move |friend| *friend != holder)
					.map(move |friend| Colluders { holder, friend })
			}) {
				let honest = all()
					.filter(|worker| !villains.is_one(*worker) && is_turn(block, *worker, &members))
					.count();
				assert!(honest as u32 >= FINALITY_WITNESSES - 1, "{honest} of {count}");
			}
		}
	}

	#[test]
	fn all_of_a_small_cluster_speak_and_of_a_large_one_no_more_than_are_asked() {
		for count in 1..=CLUSTER_MEMBERS_MAX {
			let members = members(count);
			for block in 0..2 * count {
				let speak = members.keys().filter(|worker| is_turn(block, **worker, &members));
				assert_eq!(speak.count() as u32, count.min(FINALITY_WITNESSES_ASKED));
			}
			// A stranger has no turn.
			assert!(!is_turn(1, 0, &members));
		}
	}
}
