//! Does all that can be done now without the outside.

use super::{
	agent::{Agent, JobEnd, Running, Settled, Stage},
	agent_state::Effects,
	code::CodeBook,
	jobs::{DirectJob, Job, JobKind, Opened, OpenedOrder, Run, RunFailed},
	keyring::KeyRing,
	reads::{Read, RunningRead},
	state::{Membership, Timer},
};
use crate::{
	action::{Action, Answer},
	task::{ToOpen, Work},
	turn::{MasterInForce, Turn},
	MachineError,
};
use codec::DecodeAll;
use phala_keys::{agent::AgentKeys, hpke::EncryptionKey};
use phala_protocol::{
	agents::{AgentCode, AgentId, AgentKey},
	caller::Caller,
	limits::{unpaid_commits_waiting_max, RESPONSE_BYTES_MAX},
	mailbox::ByLane,
	refusals::Refusal,
	requests::{CallInput, RequestInput, RequestKind, RequestOrder, RequestOutcome, RequestResult},
	H256,
};
use rand_core::CryptoRng;
use std::{ops::Bound, sync::Arc};

impl Membership {
	/// Looks at everything. `consumed` is up to which number of each lane the chain has consumed
	/// this boot's envelopes.
	pub fn advance<R: CryptoRng>(
		&mut self,
		master: Option<&MasterInForce>,
		consumed: Option<ByLane<u64>>,
		turn: &mut Turn<'_, R>,
	) {
		if let Some(master) = master {
			let is_blank = self.agents.values().all(|agent| agent.snapshot.record.version == 0);
			self.keyring.advance(master, is_blank, turn);
		}
		self.witness.speak(turn);
		self.code.keep(&self.agents, self.reads.running_codes(), turn);
		self.code.advance(&self.agents, &self.members, &mut self.timers, turn);
		// In turns: places for what nobody has paid for become free here, and few would take them all.
		let after = (Bound::Excluded(self.unpaid_last), Bound::Unbounded);
		let (later, first) = (self.agents.range(after), self.agents.range(..=self.unpaid_last));
		for agent in later.chain(first).map(|(id, _)| *id).collect::<Vec<_>>() {
			self.advance_agent(agent, consumed, turn);
		}
		self.start_waiting_reads(turn);
		self.watch_holders(turn);
	}

	/// Looks at one component or manifest, and at the agents that it is of: whoever brings it causes no
	/// look at all others.
	pub fn advance_code<R: CryptoRng>(
		&mut self,
		hash: H256,
		consumed: Option<ByLane<u64>>,
		turn: &mut Turn<'_, R>,
	) {
		self.code.advance(&self.agents, &self.members, &mut self.timers, turn);
		let is_of = |agent: &&Agent| {
			let AgentCode { component, manifest } = agent.snapshot.record.code;
			hash == component || hash == manifest
		};
		let agents: Vec<_> = self.agents.values().filter(is_of).map(|agent| agent.id).collect();
		for agent in agents {
			self.advance_agent(agent, consumed, turn);
		}
	}

	/// Looks at one agent.
	pub fn advance_agent<R: CryptoRng>(
		&mut self,
		id: AgentId,
		consumed: Option<ByLane<u64>>,
		turn: &mut Turn<'_, R>,
	) {
		let Self { agents, keyring, members, timers, code, unpaid_last, .. } = self;
		let Some(agent) = agents.get_mut(&id) else { return self.clear_disk(id, turn) };
		*turn.changed |= agent.apply_committed();
		agent.catch_up(members, timers, keyring, turn);
		let mut ended = Vec::new();
		if let Some(consumed) = consumed {
			ended.extend(agent.find_refused(consumed, members, turn.height));
		}
		ended.extend(agent.expire(turn.height));
		ended.extend(agent.settle_ended(keyring, turn));
		// A rebuilt machine first reads what is answered already.
		let may_write =
			agent.is_mine(turn.config.worker, turn.boot) && turn.is_fresh() && !turn.is_replaying;
		if may_write {
			if agent.can_propose(keyring) {
				agent.begin_birth(turn);
				for job in agent.take_late_orders(turn.height) {
					agent.give_up(keyring, job, turn);
				}
			}
			start_jobs(agent, keyring, code, &mut ended, turn);
		}
		// Nothing leaves under a key that a member that left knows: it waits for the next.
		if agent.seal_anew(keyring, turn) {
			agent.replicate(members, timers, turn);
			let unpaid_max = unpaid_commits_waiting_max(members.len() as u32) as usize;
			if agent.submit(unpaid_max, turn) {
				*unpaid_last = id;
				// What waited for that one to go.
				if may_write {
					start_jobs(agent, keyring, code, &mut ended, turn);
				}
			}
		}
		agent.take_early(keyring, timers, turn);
		if let Some(at) = agent.tree.flush(id, keyring, turn) {
			timers.insert((at, Timer::Agent(id)));
		}
		agent.acknowledge(turn);
		self.end_jobs(ended, turn);
	}

	/// Starts what waited for a place, as far as there are some.
	pub fn start_waiting_reads<R: CryptoRng>(&mut self, turn: &mut Turn<'_, R>) {
		while let Some(read) = self.reads.next() {
			self.start_read(read, turn);
		}
	}

	/// Runs a call that only reads on the committed state.
	pub fn start_read<R: CryptoRng>(&mut self, read: Read, turn: &mut Turn<'_, R>) {
		let found = self.ready(read.agent, turn).and_then(|agent| {
			match read.accepted.includes(&agent.snapshot.record.code.component) {
				true => Ok(agent),
				false => Err(MachineError::OtherCode),
			}
		});
		let agent = match found {
			Ok(agent) => agent,
			Err(refused) => return self.refuse_read(&read, refused, turn),
		};
		let code = agent.snapshot.record.code;
		let state = agent.state.clone();
		let state_version = state.version;
		let run = Run {
			agent: read.agent,
			id: read.id,
			code,
			called_by_agent: read.by_agent.then_some(read.to),
			caller: read.caller,
			input: read.input.clone(),
			request: H256(turn.random()),
			entropy: None,
			attempt: 1,
			writable: false,
			state,
			block: (turn.height, turn.block_hash),
		};
		self.reads.start(RunningRead { read, code, state_version, height: turn.height });
		turn.act(Action::Run(Box::new(run)));
	}

	/// Gives back a call that waited and did not run: it may come again.
	fn refuse_read<R: CryptoRng>(
		&mut self,
		read: &Read,
		refused: MachineError,
		turn: &mut Turn<'_, R>,
	) {
		let nonce = read.caller.zip(read.reply);
		if let (Some(agent), Some((caller, (_, nonce)))) = (self.agents.get_mut(&read.agent), nonce)
		{
			agent.nonces.remove(caller, read.expiry, nonce);
		}
		self.answer(read.to, Err(refused), turn);
	}
}

/// Starts what the agent can run now.
fn start_jobs<R: CryptoRng>(
	agent: &mut Agent,
	keyring: &KeyRing,
	code: &CodeBook,
	ended: &mut Vec<JobEnd>,
	turn: &mut Turn<'_, R>,
) {
	let is_early = agent.not_before.is_some_and(|at| at > turn.now);
	while !is_early && agent.can_run(keyring) {
		let has_code = code.program(&agent.snapshot.record.code).is_some();
		let can = |job: &Job| job.needs_no_code() || has_code;
		let Some(job) = agent.take_runnable(turn.height, can) else { break };
		ended.extend(agent.start(keyring, job, turn));
	}
}

impl Job {
	/// Where the answer to a sealed order goes.
	pub fn reply_to_order(&self) -> Option<(EncryptionKey, [u8; 32])> {
		match &self.opened.as_ref()?.opened {
			Ok(Opened::Call { reply, .. }) => *reply,
			_ => None,
		}
	}

	/// Nonce and expiry of the sealed input that caused it.
	fn used_inputs(&self) -> Vec<([u8; 32], u32)> {
		let used = match &*self.kind {
			JobKind::Direct(direct) => direct.reply.map(|(_, nonce)| (nonce, direct.expiry)),
			JobKind::Order(_) => match self.opened.as_ref().map(|opened| &opened.opened) {
				Some(Ok(opened)) => opened.used(),
				_ => None,
			},
		};
		used.into_iter().collect()
	}
}

impl Agent {
	/// Has its keys made, which are its first effect set.
	fn begin_birth<R: CryptoRng>(&mut self, turn: &mut Turn<'_, R>) {
		let is_unborn = self.snapshot.record.version == 0 && self.proposals.is_empty();
		if is_unborn && !self.in_birth {
			self.in_birth = true;
			turn.compute(Work::MakeAgentKeys { agent: self.id });
		}
	}

	/// Its keys are made.
	pub fn give_birth<R: CryptoRng>(
		&mut self,
		keyring: &KeyRing,
		keys: AgentKeys,
		(version, key): (u32, EncryptionKey),
		turn: &mut Turn<'_, R>,
	) {
		self.in_birth = false;
		let is_unborn = self.snapshot.record.version == 0 && self.proposals.is_empty();
		let can = self.is_mine(turn.config.worker, turn.boot) && self.can_propose(keyring);
		if !is_unborn || !can {
			return;
		}
		let effects = Effects {
			keys: Some(keys.to_secret_bytes().expose().to_vec()),
			#[cfg(feature = "development")]
			secrets: self.birth_secrets.clone(),
			..Default::default()
		};
		let key = Some(AgentKey { version, key: key.0 });
		if let Err(error) = self.propose(keyring, &effects, Vec::new(), key, None, turn) {
			tracing::warn!(agent = ?self.id, "no birth: {error}");
		}
	}

	/// Answers a paid request, whose time is over, with a failure: the caller pays for no unit, and
	/// nobody is punished.
	fn give_up<R: CryptoRng>(&mut self, keyring: &KeyRing, job: Job, turn: &mut Turn<'_, R>) {
		self.fail_order(keyring, job, Refusal::TooLate, 0, Vec::new(), turn);
	}

	/// Starts a job: has its input opened, or gives it to the sandbox. Jobs that need neither are
	/// done here.
	fn start<R: CryptoRng>(
		&mut self,
		keyring: &KeyRing,
		job: Job,
		turn: &mut Turn<'_, R>,
	) -> Vec<JobEnd> {
		let kind = job.kind.clone();
		match &*kind {
			JobKind::Direct(direct) => self.start_direct(direct, job, turn),
			JobKind::Order(order) => {
				self.start_order(keyring, order, job, turn);
				Vec::new()
			}
		}
	}

	fn start_direct<R: CryptoRng>(
		&mut self,
		direct: &DirectJob,
		job: Job,
		turn: &mut Turn<'_, R>,
	) -> Vec<JobEnd> {
		// Admitted once more by a machine that was rebuilt, while the first was on its way: its commit
		// is known by now.
		let is_used = |nonce: &[u8; 32]| self.head().used_inputs.contains_key(nonce);
		if job.direct_nonce().is_some_and(is_used) {
			return vec![JobEnd { to: direct.to, result: Err(MachineError::Repeated) }];
		}
		if !direct.accepted.includes(&self.snapshot.record.code.component) {
			let result = Err(self.give_back(direct, &job));
			return vec![JobEnd { to: direct.to, result }];
		}
		let (caller, input, request) = (direct.caller, direct.input.clone(), direct.request);
		self.run(job, caller, input, request, None, turn);
		Vec::new()
	}

	/// Gives back a direct call that is for other code than runs. One that never ran may come again,
	/// sealed to that; one that did not: under another run's idempotency key it would be done outside
	/// twice.
	fn give_back(&mut self, direct: &DirectJob, job: &Job) -> MachineError {
		if job.has_run {
			return MachineError::NotCommitted;
		}
		if let Some((caller, (_, nonce))) = direct.caller.zip(direct.reply) {
			self.nonces.remove(caller, direct.expiry, nonce);
		}
		MachineError::OtherCode
	}

	fn start_order<R: CryptoRng>(
		&mut self,
		keyring: &KeyRing,
		order: &RequestOrder,
		mut job: Job,
		turn: &mut Turn<'_, R>,
	) {
		if job.is_spent() {
			// It was run so often, and the chain took none of it.
			return self.fail_order(keyring, job, Refusal::NotCommitted, 0, Vec::new(), turn);
		}
		let code = self.snapshot.record.code.component;
		let opened = match (&order.input, job.opened.take_if(|opened| opened.code == code)) {
			(_, Some(opened)) => opened,
			(RequestInput::Public(bytes), None) => Arc::new(open_public(bytes, code)),
			(RequestInput::Sealed(sealed), None) => {
				let Some(agent_keys) = self.head().keys.clone() else {
					let refusal = Refusal::NotReady;
					return self.fail_order(keyring, job, refusal, 1, Vec::new(), turn);
				};
				turn.compute(Work::Open(Box::new(ToOpen {
					agent: self.id,
					run: job.id,
					agent_keys,
					kind: order.kind,
					caller: order.caller,
					sealed: sealed.clone(),
					height: turn.height,
					code,
				})));
				let base = self.head().hash;
				let (code, height) = (self.snapshot.record.code, turn.height);
				self.running = Some(Running { job, code, height, base, stage: Stage::Opening });
				return;
			}
		};
		job.opened = Some(opened.clone());
		let refused = match &opened.opened {
			Err(refusal) => Some(*refusal),
			Ok(opened) => match opened.used() {
				Some((nonce, _)) if self.head().used_inputs.contains_key(&nonce) => {
					Some(Refusal::Repeated)
				}
				Some((_, expiry)) if turn.height > expiry => Some(Refusal::Expired),
				_ => None,
			},
		};
		if let Some(refusal) = refused {
			return self.fail_order(keyring, job, refusal, 1, Vec::new(), turn);
		}
		match &opened.opened {
			Ok(Opened::Call { input, .. }) => {
				let entropy = self
					.head()
					.keys
					.as_ref()
					.map(|keys| *keys.root().request_randomness(&order.request).expose());
				self.run(job, Some(order.caller), input.clone(), order.request, entropy, turn);
			}
			Ok(Opened::Secrets { secrets, used }) => {
				let (secrets, used_inputs) = (secrets.clone(), vec![*used]);
				let effects = Effects { secrets, used_inputs, ..Default::default() };
				let result = answered(order, Vec::new(), 1);
				let cause = Some((job, None));
				if let Err(error) = self.propose(keyring, &effects, vec![result], None, cause, turn)
				{
					tracing::warn!(agent = ?self.id, "secrets are not taken: {error}");
				}
			}
			Err(_) => {}
		}
	}

	fn run<R: CryptoRng>(
		&mut self,
		job: Job,
		caller: Option<Caller>,
		input: Arc<CallInput>,
		request: H256,
		entropy: Option<[u8; 32]>,
		turn: &mut Turn<'_, R>,
	) {
		let (code, state) = (self.snapshot.record.code, self.head().clone());
		let base = state.hash;
		turn.act(Action::Run(Box::new(Run {
			agent: self.id,
			id: job.id,
			code,
			called_by_agent: None,
			caller,
			input: input.clone(),
			request,
			entropy,
			attempt: job.attempt,
			writable: true,
			state,
			block: (turn.height, turn.block_hash),
		})));
		let stage = Stage::Running { input };
		self.running = Some(Running { job, code, height: turn.height, base, stage });
	}

	/// Makes the proposal of a run that is over, once the keys are current: who was a member when it
	/// began may have left since.
	fn settle_ended<R: CryptoRng>(
		&mut self,
		keyring: &KeyRing,
		turn: &mut Turn<'_, R>,
	) -> Vec<JobEnd> {
		let is_over = |running: &mut Running| matches!(running.stage, Stage::Over(_));
		if !keyring.is_current() {
			return Vec::new();
		}
		let Some(Running { job, base, stage: Stage::Over(end), .. }) =
			self.running.take_if(is_over)
		else {
			return Vec::new();
		};
		// What it ran on was refused while it waited, or somebody else committed: it never happened.
		if !self.is_current() || self.head().hash != base {
			self.requeue(job);
			return Vec::new();
		}
		// The keys came too late: the chain would refuse it, and all that is made on it.
		if job.is_order() && turn.height >= job.last_block() {
			tracing::warn!(agent = ?self.id, "a paid request ran, and its deadline is over");
			return Vec::new();
		}
		match end {
			Ok(Settled { answer, writes, units }) => {
				self.settle(keyring, job, answer, writes, units, turn)
			}
			Err(failed) => self.settle_failure(keyring, job, failed, turn),
		}
	}

	/// Makes the proposal of a run that ended well and is answered.
	fn settle<R: CryptoRng>(
		&mut self,
		keyring: &KeyRing,
		job: Job,
		answer: Answer,
		writes: Vec<(String, Option<Vec<u8>>)>,
		units: u32,
		turn: &mut Turn<'_, R>,
	) -> Vec<JobEnd> {
		let used_inputs = job.used_inputs();
		let kind = job.kind.clone();
		let order = match &*kind {
			JobKind::Direct(direct) => {
				let effects = Effects { writes, used_inputs, ..Default::default() };
				let cause = Some((job, Some(answer)));
				let proposed = self.propose(keyring, &effects, Vec::new(), None, cause, turn);
				let refused = proposed.err();
				let to = direct.to;
				return refused
					.map(|refused| JobEnd { to, result: Err(refused) })
					.into_iter()
					.collect();
			}
			JobKind::Order(order) => order,
		};
		let bytes = answer.to_bytes();
		if bytes.len() > RESPONSE_BYTES_MAX as usize {
			let refusal = Refusal::ResponseBytes;
			self.fail_order(keyring, job, refusal, units, used_inputs, turn);
			return Vec::new();
		}
		let effects = Effects { writes, used_inputs: used_inputs.clone(), ..Default::default() };
		let result = answered(order, bytes, units);
		let cause = Some((job.clone(), None));
		if let Err(error) = self.propose(keyring, &effects, vec![result], None, cause, turn) {
			// Too much to be sealed: that is the answer, then.
			self.fail_order(keyring, job, error.refusal(), 1, used_inputs, turn);
		}
		Vec::new()
	}

	/// A run failed: an order is answered so; a direct caller hears it, and its input is used up.
	fn settle_failure<R: CryptoRng>(
		&mut self,
		keyring: &KeyRing,
		job: Job,
		failed: RunFailed,
		turn: &mut Turn<'_, R>,
	) -> Vec<JobEnd> {
		let used_inputs = job.used_inputs();
		let kind = job.kind.clone();
		match &*kind {
			JobKind::Order(_) => {
				self.fail_order(keyring, job, failed.refusal, failed.units, used_inputs, turn);
				Vec::new()
			}
			JobKind::Direct(direct) => {
				if !used_inputs.is_empty() {
					// The chain remembers that a sealed input was run, though its run failed.
					let effects = Effects { used_inputs, ..Default::default() };
					let proposed = self.propose(keyring, &effects, Vec::new(), None, None, turn);
					if let Err(error) = proposed {
						tracing::warn!(agent = ?self.id, "an input that failed is not used up: {error}");
					}
				}
				vec![JobEnd { to: direct.to, result: Err(failed.into()) }]
			}
		}
	}

	/// Answers a paid request with a failure.
	fn fail_order<R: CryptoRng>(
		&mut self,
		keyring: &KeyRing,
		job: Job,
		refusal: Refusal,
		units: u32,
		used_inputs: Vec<([u8; 32], u32)>,
		turn: &mut Turn<'_, R>,
	) {
		let kind = job.kind.clone();
		let JobKind::Order(order) = &*kind else { return };
		let effects = Effects { used_inputs, ..Default::default() };
		let result = failed(order, refusal, units);
		let cause = Some((job, None));
		if let Err(error) = self.propose(keyring, &effects, vec![result], None, cause, turn) {
			tracing::warn!(agent = ?self.id, "a request is not answered: {error}");
		}
	}
}

fn open_public(bytes: &[u8], code: H256) -> OpenedOrder {
	let opened = match CallInput::decode_all(&mut &bytes[..]) {
		Ok(input) => Ok(Opened::Call { input: Arc::new(input), reply: None, used: None }),
		Err(_) => Err(Refusal::Malformed),
	};
	OpenedOrder { code, opened }
}

fn answered(order: &RequestOrder, answer: Vec<u8>, units: u32) -> RequestResult {
	debug_assert!(order.kind == RequestKind::Call || answer.is_empty());
	RequestResult { request: order.request, outcome: RequestOutcome::Answered(answer), units }
}

fn failed(order: &RequestOrder, refusal: Refusal, units: u32) -> RequestResult {
	RequestResult { request: order.request, outcome: RequestOutcome::Failed(refusal.code()), units }
}
