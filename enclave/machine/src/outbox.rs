//! Envelopes on their way to the chain: numbered once, signed outside of the turn, kept until the
//! chain is proven to have them.

use crate::{limits, task::TaskId, MachineError};
use phala_protocol::boot::BootNumber;
use phala_protocol::mailbox::{Envelope, InboundNext};
use std::{collections::VecDeque, sync::Arc};

/// The envelopes of one boot.
pub struct Outbox {
	boot: BootNumber,
	/// `None` in a rebuilt machine until the chain says how far it has consumed.
	next_seq: Option<u64>,
	waiting: VecDeque<Queued>,
}

struct Queued {
	seq: u64,
	/// Who signs it.
	task: TaskId,
	envelope: Option<Arc<Envelope>>,
}

impl Outbox {
	/// Empty; numbers from 0, or from where the chain stands.
	pub fn new(boot: BootNumber, is_rebuilt: bool) -> Self {
		Self { boot, next_seq: (!is_rebuilt).then_some(0), waiting: VecDeque::new() }
	}

	/// Whether one more can be taken.
	pub fn has_room(&self) -> Result<u64, MachineError> {
		let waiting = self.waiting.len();
		self.next_seq
			.filter(|_| waiting < limits::OUTBOX_MAX)
			.ok_or(MachineError::OutboxFull { waiting })
	}

	/// Takes the next number, for an envelope that `task` signs.
	pub fn push(&mut self, task: TaskId) -> Result<u64, MachineError> {
		let seq = self.has_room()?;
		self.waiting.push_back(Queued { seq, task, envelope: None });
		self.next_seq = Some(seq.saturating_add(1));
		Ok(seq)
	}

	/// An envelope is signed.
	pub fn signed(&mut self, task: TaskId, envelope: Envelope) {
		if let Some(queued) = self.waiting.iter_mut().find(|queued| queued.task == task) {
			queued.envelope = Some(Arc::new(envelope));
		}
	}

	/// Drops what the chain has consumed. A proof about another boot says nothing about this one.
	pub fn confirm(&mut self, chain: InboundNext) {
		if chain.boot != self.boot {
			return;
		}
		self.next_seq = Some(self.next_seq.unwrap_or_default().max(chain.seq));
		while self.waiting.front().is_some_and(|queued| queued.seq < chain.seq) {
			self.waiting.pop_front();
		}
	}

	/// Whether the chain may not have this one yet.
	pub fn waits(&self, seq: u64) -> bool {
		self.waiting.front().is_some_and(|first| first.seq <= seq)
	}

	/// How many the chain may not have yet.
	pub fn len(&self) -> usize {
		self.waiting.len()
	}

	/// What can be carried to the chain, in order: nothing behind one that is not signed yet.
	pub fn signed_in_order(&self) -> impl Iterator<Item = &Arc<Envelope>> {
		self.waiting.iter().map_while(|queued| queued.envelope.as_ref())
	}
}
