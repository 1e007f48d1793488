//! What the parts of a machine act with.

use crate::{
	action::{Action, Answer, CallId},
	outbox::Outbox,
	task::{Task, TaskId, Work},
	worker::Answers,
	Config, Instant, MachineError,
};
use codec::Encode;
use phala_keys::{boot::BootKeys, dkg::Outcome};
#[cfg(feature = "development")]
use phala_protocol::messages::{AgentsMessage, AgentsPayload};
use phala_protocol::{
	boot::BootNumber, keys::Epoch, mailbox::EnvelopeNumber, messages::Payload, BlockNumber, H256,
};
use rand_core::CryptoRng;
use std::{collections::BTreeMap, sync::Arc};

/// The master key that cluster secrets come from now.
pub struct MasterInForce {
	/// Its life.
	pub epoch: Epoch,
	/// Who has shares, and the public polynomial.
	pub outcome: Arc<Outcome>,
}

/// Cryptography that is being done, until it comes back.
pub type Tasks = BTreeMap<TaskId, Given>;

/// A task under way.
pub struct Given {
	pub task: Task,
	/// It failed once.
	pub is_again: bool,
}

/// One turn of a registered boot: who it is, what it knows of now, and what it wants done.
pub struct Turn<'a, R> {
	pub config: Config,
	pub boot: BootNumber,
	pub keys: &'a Arc<BootKeys>,
	pub now: Instant,
	/// The newest finalized block.
	pub height: BlockNumber,
	pub block_hash: H256,
	/// Whether the view of the chain is proven to be recent.
	pub fresh: Result<(), MachineError>,
	/// A rebuilt machine reads what it had read before.
	pub is_replaying: bool,
	/// It failed once and was built anew.
	pub is_rebuilt: bool,
	pub outbox: &'a mut Outbox,
	pub answers: &'a mut Answers,
	pub next_id: &'a mut u64,
	pub tasks: &'a mut Tasks,
	pub actions: &'a mut Vec<Action>,
	/// Something that others may read has changed.
	pub changed: &'a mut bool,
	/// Without a chain: what it would say to what was submitted.
	#[cfg(feature = "development")]
	pub local: Option<&'a mut std::collections::VecDeque<AgentsMessage>>,
	pub rng: &'a mut R,
}

impl<R> Turn<'_, R> {
	pub fn is_fresh(&self) -> bool {
		self.fresh.is_ok()
	}

	/// Unique in one boot.
	pub fn next_id(&mut self) -> u64 {
		let id = *self.next_id;
		*self.next_id += 1;
		id
	}

	pub fn act(&mut self, action: Action) {
		self.actions.push(action);
	}

	pub fn reply(&mut self, to: CallId, answer: Result<Answer, MachineError>) {
		self.act(Action::Reply { to, answer });
	}

	/// Has cryptography done outside of the turn.
	pub fn compute(&mut self, work: Work) -> TaskId {
		let id = TaskId(self.next_id());
		let (config, boot, keys) = (self.config, self.boot, self.keys.clone());
		let task = Task { id, config, boot, keys, work: Arc::new(work) };
		self.tasks.insert(id, Given { task: task.clone(), is_again: false });
		self.act(Action::Compute(Box::new(task)));
		id
	}

	/// Has `payload` signed and keeps it for the chain; its number, or `None` when its lane is
	/// full: whoever wants to submit it tries again in a later turn. Nothing is submitted while a
	/// rebuilt machine reads what it had read before: its numbers are those of envelopes that the chain
	/// has consumed long since.
	pub fn submit(&mut self, payload: &Payload) -> Option<EnvelopeNumber> {
		#[cfg(feature = "development")]
		if let Some(local) = &mut self.local {
			if let Payload::Agents(AgentsPayload::EffectSet(set)) = payload {
				local.push_back(AgentsMessage::Committed {
					agent: set.agent,
					version: set.base_version + 1,
					state_hash: set.new_hash,
					worker: self.config.worker,
				});
			}
			return Some(EnvelopeNumber { lane: payload.lane(), seq: 0 });
		}
		if self.is_replaying {
			return None;
		}
		let number = self.outbox.has_room(payload.lane()).ok()?;
		let payload = payload.encode();
		let task = self.compute(Work::SignEnvelope { number, payload });
		*self.changed = true;
		self.outbox.push(number.lane, task).ok()
	}
}

impl<R: CryptoRng> Turn<'_, R> {
	/// Known to nobody before.
	pub fn random(&mut self) -> [u8; 32] {
		let mut bytes = [0; 32];
		self.rng.fill_bytes(&mut bytes);
		bytes
	}
}
