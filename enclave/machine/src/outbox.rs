//! Envelopes on their way to the chain: numbered once in their lane, signed outside of the turn, kept
//! until the chain is proven to have them.

use crate::{limits, task::TaskId, MachineError};
use phala_protocol::{
	boot::BootNumber,
	mailbox::{ByLane, Envelope, EnvelopeNumber, InboundNext, Lane},
};
use std::{collections::VecDeque, sync::Arc};

/// The envelopes of one boot.
pub struct Outbox {
	boot: BootNumber,
	/// `None` in a rebuilt machine until the chain says how far it has consumed.
	next: Option<ByLane<u64>>,
	waiting: ByLane<VecDeque<Queued>>,
}

struct Queued {
	seq: u64,
	/// Who signs it.
	task: TaskId,
	envelope: Option<Arc<Envelope>>,
	is_unpaid: bool,
}

impl Outbox {
	/// Empty; numbers from 0, or from where the chain stands.
	pub fn new(boot: BootNumber, is_rebuilt: bool) -> Self {
		let next = (!is_rebuilt).then(ByLane::default);
		Self { boot, next, waiting: ByLane::default() }
	}

	/// Whether a lane can take one more; its number.
	pub fn has_room(&self, lane: Lane) -> Result<EnvelopeNumber, MachineError> {
		let waiting = self.waiting.of(lane).len();
		let next = self.next.filter(|_| waiting < limits::LANE_WAITING_MAX);
		let next = next.ok_or(MachineError::OutboxFull { waiting })?;
		Ok(EnvelopeNumber { lane, seq: *next.of(lane) })
	}

	/// How many of a lane the chain may not have yet.
	pub fn waiting(&self, lane: Lane) -> usize {
		self.waiting.of(lane).len()
	}

	/// How many commits that nobody has paid for the chain may not have yet.
	pub fn unpaid_waiting(&self) -> usize {
		self.waiting.of(Lane::PaidCommits).iter().filter(|queued| queued.is_unpaid).count()
	}

	/// Nobody has paid for what this envelope carries. Nothing waits of what never came here: a machine
	/// without a chain commits what it submits.
	pub fn note_unpaid(&mut self, number: EnvelopeNumber) {
		let mut waiting = self.waiting.of_mut(number.lane).iter_mut().rev();
		if let Some(queued) = waiting.find(|queued| queued.seq == number.seq) {
			queued.is_unpaid = true;
		}
	}

	/// Takes the next number of a lane, for an envelope that `task` signs.
	pub fn push(&mut self, lane: Lane, task: TaskId) -> Result<EnvelopeNumber, MachineError> {
		let number = self.has_room(lane)?;
		let seq = number.seq;
		self.waiting.of_mut(lane).push_back(Queued { seq, task, envelope: None, is_unpaid: false });
		if let Some(next) = &mut self.next {
			*next.of_mut(lane) = seq.saturating_add(1);
		}
		Ok(number)
	}

	/// An envelope is signed.
	pub fn signed(&mut self, task: TaskId, envelope: Envelope) {
		let waiting = self.waiting.of_mut(envelope.lane);
		if let Some(queued) = waiting.iter_mut().find(|queued| queued.task == task) {
			queued.envelope = Some(Arc::new(envelope));
		}
	}

	/// Drops what the chain has consumed. A proof about another boot says nothing about this one.
	pub fn confirm(&mut self, chain: InboundNext) {
		if chain.boot != self.boot {
			return;
		}
		let next = self.next.get_or_insert_default();
		for lane in Lane::ALL {
			let consumed = chain.seq(lane);
			let next = next.of_mut(lane);
			*next = consumed.max(*next);
			let waiting = self.waiting.of_mut(lane);
			while waiting.front().is_some_and(|queued| queued.seq < consumed) {
				waiting.pop_front();
			}
		}
	}

	/// Whether the chain may not have this one yet.
	pub fn waits(&self, number: EnvelopeNumber) -> bool {
		self.waiting.of(number.lane).front().is_some_and(|first| first.seq <= number.seq)
	}

	/// How many the chain may not have yet.
	pub fn len(&self) -> usize {
		Lane::ALL.into_iter().map(|lane| self.waiting.of(lane).len()).sum()
	}

	/// What can be carried to the chain now, the urgent lanes first, each in its order: nothing behind
	/// one that is not signed yet, and no more than a relayer can have on its way.
	pub fn signed_in_order(&self) -> impl Iterator<Item = &Arc<Envelope>> {
		Lane::ALL.into_iter().flat_map(|lane| {
			let waiting = self.waiting.of(lane).iter().take(limits::LANE_OFFERED_MAX);
			waiting.map_while(|queued| queued.envelope.as_ref())
		})
	}
}
