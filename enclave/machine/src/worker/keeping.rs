//! What the holder of an agent's lease has this member keep: the writes of a run, which this member applies to
//! the state that they were made on. It acknowledges when its disk has every page of what that leads to.

use super::{
	agent::Agent,
	agent_state::RunWrites,
	keyring::KeyRing,
	state::{Membership, Timer},
};
use crate::{
	action::CallId,
	limits::{EARLY_BODIES_MAX, PEER_RETRY_MS, WORDS_WAITING_MAX, WORD_WAIT_MS},
	task::Work,
	turn::Turn,
	verify::VerifiedBody,
	Instant, MachineError,
};
use codec::DecodeAll;
use phala_protocol::H256;
use rand_core::CryptoRng;
use std::collections::BTreeSet;

/// A holder that waits for this member's word.
pub struct Word {
	base_hash: H256,
	new_hash: H256,
	reply: CallId,
	/// Then nobody waits any more.
	until: Instant,
}

/// What came before what it was made on.
pub struct Early {
	until: Instant,
	reply: CallId,
	brought: VerifiedBody,
}

impl Membership {
	/// A lease holder has this member keep what a run wrote.
	pub fn on_body_brought<R: CryptoRng>(
		&mut self,
		reply: CallId,
		brought: VerifiedBody,
		turn: &mut Turn<'_, R>,
	) {
		let Self { agents, members, keyring, timers, .. } = self;
		let (worker, boot, agent) = brought.sender();
		let identity = brought.identity();
		let Some(held) = agents.get_mut(&agent) else {
			return turn.reply(reply, Err(MachineError::NoSuchAgent));
		};
		let is_holder = held.is_mine(worker, boot)
			&& members
				.get(&worker)
				.is_some_and(|member| member.boot == boot && member.identity == identity);
		if !is_holder {
			return turn.reply(reply, Err(MachineError::NotFromLeaseHolder));
		}
		held.take_in(reply, brought, keyring, timers, turn);
		held.take_early(keyring, timers, turn);
	}
}

const NO_KEYS: &str = "the cluster's newest keys have not come here yet";
const NO_WORD_YET: &str = "this member's disk has not kept it yet";
const BEHIND: &str = "this member is catching up with its state";

impl Agent {
	fn take_in<R: CryptoRng>(
		&mut self,
		reply: CallId,
		brought: VerifiedBody,
		keyring: &KeyRing,
		timers: &mut BTreeSet<(Instant, Timer)>,
		turn: &mut Turn<'_, R>,
	) {
		let (base_hash, new_hash) = (brought.base_hash(), brought.new_hash());
		match self.keep(&brought, keyring) {
			// Whoever saw a body can bring it again and again.
			Ok(true) if self.words.len() >= WORDS_WAITING_MAX => {
				turn.reply(reply, Err(MachineError::NotReady { why: NO_WORD_YET }));
			}
			Ok(true) => {
				let until = turn.now.after_ms(WORD_WAIT_MS);
				timers.insert((until, Timer::Agent(self.id)));
				self.words.push(Word { base_hash, new_hash, reply, until });
			}
			Ok(false)
				if self.early.len() < EARLY_BODIES_MAX
					&& self.early.iter().all(|early| early.brought.new_hash() != new_hash) =>
			{
				let until = turn.now.after_ms(PEER_RETRY_MS);
				timers.insert((until, Timer::Agent(self.id)));
				self.early.push_back(Early { until, reply, brought });
			}
			Ok(false) => turn.reply(reply, Err(MachineError::NotReady { why: BEHIND })),
			Err(refused) => turn.reply(reply, Err(refused)),
		}
	}

	/// Makes its pages; false if what it was made on is not here.
	fn keep(&mut self, brought: &VerifiedBody, keyring: &KeyRing) -> Result<bool, MachineError> {
		let (base_hash, new_hash) = (brought.base_hash(), brought.new_hash());
		let number = brought.key_number();
		// Kept by those alone who cannot open it, it would be lost with its writer.
		let cipher =
			keyring.cipher(number, self.id).ok_or(MachineError::NotReady { why: NO_KEYS })?;
		if self.tree.root(&new_hash).is_some() {
			self.tree.note_key(&new_hash, number);
			let (worker, boot, _) = brought.sender();
			self.tree.note_bringer(&new_hash, (worker, boot));
			return Ok(true);
		}
		if !self.is_current() {
			return Err(MachineError::NotReady { why: BEHIND });
		}
		let Some(base) = self.tree.root(&base_hash) else { return Ok(false) };
		let version = base.version.saturating_add(1);
		let plaintext = cipher.open_body(base.version, version, brought.body())?;
		let written = RunWrites::decode_all(&mut plaintext.expose())
			.map_err(|_| MachineError::Malformed { expected: "the writes of a run" })?;
		let (worker, boot, _) = brought.sender();
		// What it said that it keeps stays as long as that boot can submit it.
		let may_go = |hash: &H256, of| of != (worker, boot) && *hash != base_hash;
		let root = self.tree.stage(&base, &written, number, (worker, boot), may_go)?;
		if root.hash() != new_hash {
			self.tree.abandon(root.hash());
			let expected = "writes that lead to the state that it names";
			return Err(MachineError::Malformed { expected });
		}
		Ok(true)
	}

	/// Takes in what waited for what is here by now, and gives up what waited too long.
	pub fn take_early<R: CryptoRng>(
		&mut self,
		keyring: &KeyRing,
		timers: &mut BTreeSet<(Instant, Timer)>,
		turn: &mut Turn<'_, R>,
	) {
		loop {
			let can = |early: &Early| self.tree.root(&early.brought.base_hash()).is_some();
			let Some(at) = self.early.iter().position(can) else { break };
			let Some(Early { reply, brought, .. }) = self.early.remove(at) else { break };
			self.take_in(reply, brought, keyring, timers, turn);
		}
		while let Some(late) = self.early.pop_front_if(|early| early.until <= turn.now) {
			turn.reply(late.reply, Err(MachineError::NotReady { why: BEHIND }));
		}
	}

	/// Gives its word for what its disk has.
	pub fn acknowledge<R: CryptoRng>(&mut self, turn: &mut Turn<'_, R>) {
		for word in std::mem::take(&mut self.words) {
			let Word { base_hash, new_hash, reply, until } = word;
			if until <= turn.now {
				turn.reply(reply, Err(MachineError::NotReady { why: NO_WORD_YET }));
			} else if self.tree.root(&new_hash).is_none() {
				turn.reply(reply, Err(MachineError::NotReady { why: BEHIND }));
			} else if self.tree.is_durable(&new_hash) {
				let agent = self.id;
				turn.compute(Work::Acknowledge { reply, agent, base_hash, new_hash });
			} else {
				self.words.push(word);
			}
		}
	}

	/// Those that wait for its word.
	pub fn holders_waiting(&mut self) -> Vec<CallId> {
		let words = self.words.drain(..).map(|word| word.reply);
		words.chain(self.early.drain(..).map(|early| early.reply)).collect()
	}
}
