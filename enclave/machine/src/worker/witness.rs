//! Says for the chain that blocks do become final, near deadlines: the runtime does not see that.
//!
//! A member that read of a block knows that it is final. Some of the members say so, in turns. The
//! chain remembers the newest such block alone, so no more than [`WITNESS_WORDS_WAITING_MAX`] words
//! wait for it, and what was asked meanwhile is answered by the newest: neither a slow agent with a
//! deadline in each block nor the end of a stall of finality fills the lane that heartbeats are in.
//! That is enough for a word in each block that is asked for, for as long as finality is behind no more
//! than it is when all is well: nobody's deadline can keep the word for another's back.

use crate::{limits::WITNESS_WORDS_WAITING_MAX, turn::Turn};
use phala_protocol::{
	boot::WorkerId,
	clusters::Member,
	limits::FINALITY_WITNESSES,
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
	place.is_some_and(|place| place < FINALITY_WITNESSES)
}
