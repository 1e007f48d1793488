//! Takes in what the chain, callers, the sandbox and other members say.

use super::{
	agent::{Agent, JobEnd, Running, Settled, Stage},
	jobs::{AcceptedCode, DirectJob, Job, JobKind, OpenedOrder, RunDone, RunEnd, RunFailed, RunId},
	reads::{Read, RunningRead},
	state::{Membership, Timer},
	writes,
};
use crate::{
	action::{Action, Answer, CallId},
	limits,
	snapshot::no_program,
	task::{Answered, Outcome, TaskDone, ToAnswer},
	turn::Turn,
	verify::{OpenedCall, Origin},
	MachineError,
};
use phala_keys::Error as KeyError;
use phala_protocol::{
	agents::{Access, AgentId},
	caller::Caller,
	clusters::Generation,
	messages::{AgentsMessage, ClustersMessage, RequestsMessage},
	refusals::Refusal,
	requests::{RequestOrder, SignedAnswer},
	H256,
};
use rand_core::CryptoRng;
use std::sync::Arc;

impl Membership {
	/// Acts on what the chain told of the cluster.
	pub fn on_clusters_message<R: CryptoRng>(
		&mut self,
		message: ClustersMessage,
		turn: &mut Turn<'_, R>,
	) {
		match message {
			// The machine's: it makes and ends memberships.
			ClustersMessage::JoinedCluster { .. } | ClustersMessage::LeftCluster { .. } => {}
			ClustersMessage::Member(member) => {
				Arc::make_mut(&mut self.members).insert(member.worker, member);
			}
			ClustersMessage::MemberLeft { worker } => {
				Arc::make_mut(&mut self.members).remove(&worker);
			}
			ClustersMessage::NewGeneration { generation } => {
				self.keyring.begin_generation(generation)
			}
			ClustersMessage::KeysWrapped(keys) => self.keyring.wrapped(keys),
			ClustersMessage::LeaseMoved { agent, lease } => {
				if let Some(agent) = self.agents.get_mut(&agent) {
					agent.record().lease = lease;
					let ended = agent.lose_lease(lease.map(|lease| lease.worker));
					self.end_jobs(ended, turn);
				}
			}
			ClustersMessage::HolderChallenged { holder, boot, block, .. } => {
				self.watch.challenged(holder, boot, block, turn);
			}
		}
	}

	/// Acts on what the chain told of an agent.
	pub fn on_agents_message<R: CryptoRng>(
		&mut self,
		message: AgentsMessage,
		turn: &mut Turn<'_, R>,
	) {
		match message {
			AgentsMessage::Agent(snapshot) => self.learn_agent(snapshot, turn),
			AgentsMessage::Retired { agent } => self.forget(agent, turn),
			AgentsMessage::Committed { agent, version, state_hash, .. } => {
				if let Some(agent) = self.agents.get_mut(&agent) {
					let ended = agent.commit(version, state_hash);
					agent.forget_answered(turn.answers.of(state_hash));
					self.end_jobs(ended, turn);
				}
			}
		}
	}

	/// Takes a paid request, if it is this boot's.
	pub fn on_requests_message<R: CryptoRng>(
		&mut self,
		message: RequestsMessage,
		turn: &mut Turn<'_, R>,
	) {
		match message {
			RequestsMessage::Request(order) => self.queue_order(order, turn),
			RequestsMessage::DeadlineNear { block } => {
				self.witness.asked(block, turn.config.worker, &self.members)
			}
		}
	}

	/// A gatekeeper answered this boot's request.
	pub fn on_release(&mut self, generation: Generation, release: Vec<u8>) {
		self.keyring.released(generation, release);
	}

	fn queue_order<R: CryptoRng>(&mut self, order: RequestOrder, turn: &mut Turn<'_, R>) {
		if (order.worker, order.boot) != (turn.config.worker, turn.boot) {
			return;
		}
		if let Some(agent) = self.agents.get_mut(&order.agent) {
			let id = RunId(turn.next_id());
			let kind = Arc::new(JobKind::Order(order));
			agent.jobs.push_back(Job { id, kind, attempt: 1, opened: None, has_run: false });
		}
	}

	/// Somebody calls an agent.
	pub fn on_call<R: CryptoRng>(&mut self, to: CallId, call: OpenedCall, turn: &mut Turn<'_, R>) {
		self.expect_answer(to, call.writes(), turn);
		if let Err(refused) = self.admit(to, call, turn) {
			self.answer(to, Err(refused), turn);
		}
	}

	fn admit<R: CryptoRng>(
		&mut self,
		to: CallId,
		call: OpenedCall,
		turn: &mut Turn<'_, R>,
	) -> Result<(), MachineError> {
		let OpenedCall { agent, origin, input, .. } = call;
		let found = self.ready(agent, turn)?;
		let snapshot = found.snapshot.clone();
		let code = snapshot.record.code;
		if self.code.program(&code).is_none() {
			let why = no_program(&self.code.progress(&code));
			return Err(MachineError::NotReady { why });
		}
		let input = Arc::new(input);
		let is_write = writes(&input.method);
		let mut by_agent = false;
		let (caller, reply, expiry, accepted) = match origin {
			Origin::Public if snapshot.record.access != Access::Public => {
				return Err(MachineError::CallerNotAllowed);
			}
			Origin::Public => {
				let expiry = turn.height.saturating_add(limits::PLAIN_CALL_BLOCKS_MAX);
				(None, None, expiry, AcceptedCode::any())
			}
			Origin::Agent(caller) => {
				// A list made with accounts names an agent by its id, as one of them.
				let named = [Caller::Agent(caller), Caller::Account(caller.0)];
				let may = snapshot.record.access == Access::Public
					|| named.iter().any(|name| snapshot.callers.contains(name));
				if !may {
					return Err(MachineError::CallerNotAllowed);
				}
				// What an agent writes takes an effect set of its own.
				if is_write {
					return Err(MachineError::CallToWrite);
				}
				by_agent = true;
				(Some(Caller::Agent(caller)), None, turn.height, AcceptedCode::any())
			}
			Origin::Sealed(sealed) => {
				if !snapshot.may_call(&sealed.caller) {
					return Err(MachineError::CallerNotAllowed);
				}
				// It was opened for what ran a moment ago.
				if !sealed.accepted.includes(&code.component) {
					return Err(MachineError::OtherCode);
				}
				let is_repeated = found.has_taken(&sealed.nonce)
					|| found.nonces.has(&sealed.caller, sealed.expiry, &sealed.nonce);
				if is_repeated {
					return Err(MachineError::Repeated);
				}
				let reply = Some((sealed.reply_key, sealed.nonce));
				(Some(sealed.caller), reply, sealed.expiry, sealed.accepted)
			}
		};
		// What is refused may come again, and uses nothing up.
		let taken = caller.zip(reply).map(|(caller, (_, nonce))| (caller, expiry, nonce));
		if is_write {
			let request = H256(turn.random());
			let job = DirectJob { to, caller, input, reply, expiry, request, accepted };
			self.queue_direct(agent, job, turn)?;
		} else {
			let id = RunId(turn.next_id());
			let until = turn.now.after_ms(limits::REQUEST_WAIT_MS_MAX);
			let read =
				Read { id, agent, to, caller, by_agent, input, reply, expiry, accepted, until };
			match self.reads.admit(read)? {
				Some(read) => self.start_read(read, turn),
				None => {
					self.timers.insert((until, Timer::Reads));
				}
			}
		}
		if let (Some(agent), Some((caller, expiry, nonce))) = (self.agents.get_mut(&agent), taken) {
			agent.nonces.insert(caller, expiry, nonce);
		}
		Ok(())
	}

	/// An agent that this boot writes, with room for one more direct call.
	fn writable<R>(
		&mut self,
		agent: AgentId,
		turn: &Turn<'_, R>,
	) -> Result<&mut Agent, MachineError> {
		let agent = self.agents.get_mut(&agent).ok_or(MachineError::NoSuchAgent)?;
		if !agent.is_mine(turn.config.worker, turn.boot) {
			let worker = agent.snapshot.lease.map(|lease| lease.worker);
			return Err(MachineError::NotLeaseHolder { worker });
		}
		if !agent.can_queue_direct() {
			return Err(MachineError::TooManyCalls);
		}
		Ok(agent)
	}

	fn queue_direct<R: CryptoRng>(
		&mut self,
		agent: AgentId,
		job: DirectJob,
		turn: &mut Turn<'_, R>,
	) -> Result<(), MachineError> {
		let agent = self.writable(agent, turn)?;
		let id = RunId(turn.next_id());
		let kind = Arc::new(JobKind::Direct(job));
		agent.jobs.push_back(Job { id, kind, attempt: 1, opened: None, has_run: false });
		Ok(())
	}

	/// A run ended.
	pub fn on_run_ended<R: CryptoRng>(
		&mut self,
		agent: AgentId,
		run: RunId,
		result: Result<RunDone, RunEnd>,
		turn: &mut Turn<'_, R>,
	) {
		match self.reads.end(run) {
			Some(read) => {
				self.on_read_ended(read, result, turn);
				self.start_waiting_reads(turn);
			}
			None => self.on_write_ended(agent, run, result, turn),
		}
	}

	fn on_read_ended<R: CryptoRng>(
		&mut self,
		running: RunningRead,
		result: Result<RunDone, RunEnd>,
		turn: &mut Turn<'_, R>,
	) {
		let RunningRead { read, code, state_version, height } = running;
		if read.by_agent {
			// Its caller, on this machine, has it already.
			if let Some(waiting) = self.callers.remove(&read.to) {
				self.timers.remove(&(waiting.until, Timer::Caller(read.to)));
			}
			return;
		}
		match result {
			Ok(done) => {
				self.reads.answer(read.id, read.to);
				let answer = ToAnswer {
					agent: read.agent,
					run: read.id,
					code,
					caller: read.caller,
					input: read.input,
					output: done.output,
					state_version,
					height,
					unproven_inputs: done.unproven_inputs,
					reply: read.reply,
				};
				self.signing.sign(answer, turn);
			}
			Err(RunEnd::Failed(failed)) => {
				self.answer(read.to, Err(failed.into()), turn);
			}
			Err(RunEnd::NotRun) => self.answer(read.to, Err(MachineError::Busy), turn),
		}
	}

	/// A run that may write ended: its answer is signed, if the state that it ran on still is the
	/// newest.
	fn on_write_ended<R: CryptoRng>(
		&mut self,
		agent: AgentId,
		run: RunId,
		result: Result<RunDone, RunEnd>,
		turn: &mut Turn<'_, R>,
	) {
		let Self { agents, timers, signing, .. } = self;
		let Some(agent) = agents.get_mut(&agent) else { return };
		// The lease may have moved while it ran: then its work was given up already.
		let is_it = |running: &Running| {
			running.job.id == run && matches!(running.stage, Stage::Running { .. })
		};
		let Some(running) = agent.running.take_if(|running| is_it(running)) else { return };
		let Running { mut job, code, height, base, stage } = running;
		let Stage::Running { input } = stage else { return };
		job.has_run |= !matches!(result, Err(RunEnd::NotRun));
		// What it ran on was refused meanwhile, or somebody else committed: it never happened.
		if !agent.is_current() || agent.head().hash != base {
			agent.requeue(job);
			return;
		}
		let done = match result {
			Ok(done) => agent.check_state_bytes(&done.writes, done.units).map(|()| done),
			Err(RunEnd::Failed(failed)) => Err(failed),
			Err(RunEnd::NotRun) => {
				agent.requeue(job);
				// Not at once again: there is no place, or no program yet.
				let at = turn.now.after_ms(limits::RUN_RETRY_MS);
				agent.not_before = Some(at);
				timers.insert((at, Timer::Agent(agent.id)));
				return;
			}
		};
		let done = match done {
			Ok(done) => done,
			Err(failed) => {
				let stage = Stage::Over(Err(failed));
				agent.running = Some(Running { job, code, height, base, stage });
				return;
			}
		};
		let (caller, reply) = match &*job.kind {
			JobKind::Order(order) => (Some(order.caller), job.reply_to_order()),
			JobKind::Direct(direct) => (direct.caller, direct.reply),
		};
		// Nothing to commit, nothing uncommitted was seen: a direct caller need not wait for the
		// chain. A sealed input is used up by its commit, so that it cannot be sent to the next
		// holder.
		let commits = job.is_order()
			|| !done.writes.is_empty()
			|| !agent.proposals.is_empty()
			|| reply.is_some();
		let answer = ToAnswer {
			agent: agent.id,
			run,
			code,
			caller,
			input,
			output: done.output,
			state_version: agent.head().version + u64::from(commits),
			height,
			unproven_inputs: done.unproven_inputs,
			reply,
		};
		signing.sign(answer, turn);
		let stage = Stage::Answering { writes: done.writes, units: done.units, commits };
		agent.running = Some(Running { job, code, height, base, stage });
	}

	/// Cryptography is done.
	pub fn on_computed<R: CryptoRng>(&mut self, done: TaskDone, turn: &mut Turn<'_, R>) {
		let TaskDone { id, outcome, .. } = done;
		match outcome {
			Outcome::KeysAsked { ephemeral_key, collector } => {
				self.keyring.request_made(id, ephemeral_key, collector, turn);
			}
			Outcome::ReleaseCombined(combined) => self.keyring.release_checked(id, combined),
			Outcome::AgentKeysMade { agent, keys, public } => {
				if let Some(agent) = self.agents.get_mut(&agent) {
					agent.give_birth(&self.keyring, keys, public, turn);
				}
			}
			Outcome::Opened { agent, run, code, opened } => {
				if let Some(agent) = self.agents.get_mut(&agent) {
					on_opened(
						agent,
						run,
						OpenedOrder { code, opened: opened.map_err(|refused| refused.refusal()) },
					);
				}
			}
			Outcome::Answered(answers) => {
				self.signing.task_ended(id, turn);
				for Answered { agent, run, answer } in answers {
					self.on_answered(agent, run, answer, turn);
				}
			}
			Outcome::PagesAsked { id, agent, from, names, question } => match question {
				Some(question) => {
					let asks = |agent: &Agent| agent.asks(id);
					if self.agents.get(&agent).is_some_and(asks) {
						turn.act(Action::FetchPages { id, from, agent, names, question });
					}
				}
				None => self.on_pages_came(id, agent, None, turn),
			},
			Outcome::BodySigned { agent, new_hash, body } => {
				if let Some(agent) = self.agents.get_mut(&agent) {
					agent.body_signed(id, new_hash, body);
				}
			}
			Outcome::Acknowledged { reply, acknowledgement } => {
				turn.reply(reply, acknowledgement.map(Answer::Acknowledged));
			}
			Outcome::EnvelopeSigned(_)
			| Outcome::MasterKeyMade { .. }
			| Outcome::Released { .. } => {}
		}
	}

	fn on_answered<R: CryptoRng>(
		&mut self,
		agent: AgentId,
		run: RunId,
		answer: Result<(Answer, SignedAnswer), MachineError>,
		turn: &mut Turn<'_, R>,
	) {
		if let Some(to) = self.reads.answered(run) {
			let answer = match answer {
				Ok((answer, proof)) => {
					turn.act(Action::ShowProof(Box::new(proof)));
					Ok(answer)
				}
				Err(error) => Err(not_sealed(&error, 0).into()),
			};
			self.answer(to, answer, turn);
			return;
		}
		let Some(agent) = self.agents.get_mut(&agent) else { return };
		let is_it = |running: &Running| {
			running.job.id == run && matches!(running.stage, Stage::Answering { .. })
		};
		let Some(running) = agent.running.take_if(|running| is_it(running)) else { return };
		let Running { job, code, height, base, stage } = running;
		let Stage::Answering { writes, units, commits } = stage else { return };
		if !agent.is_current() || agent.head().hash != base {
			agent.requeue(job);
			return;
		}
		let end = match answer {
			Ok((answer, proof)) => {
				turn.act(Action::ShowProof(Box::new(proof)));
				Ok(Settled { answer, writes, units })
			}
			Err(error) => Err(not_sealed(&error, units)),
		};
		match (job.to(), commits, end) {
			(Some(to), false, Ok(Settled { answer, .. })) => {
				self.end_jobs(vec![JobEnd { to, result: Ok(answer) }], turn);
			}
			(_, _, end) => {
				let stage = Stage::Over(end);
				agent.running = Some(Running { job, code, height, base, stage });
			}
		}
	}

	/// Time has passed.
	pub fn on_tick<R: CryptoRng>(&mut self, turn: &mut Turn<'_, R>) {
		while let Some((at, timer)) = self.timers.first().copied() {
			if at > turn.now {
				return;
			}
			self.timers.pop_first();
			match timer {
				Timer::Caller(to) => self.end_waiting(to, turn),
				Timer::Reads => {
					for (to, refused) in self.reads.expire(turn.now) {
						self.answer(to, Err(refused), turn);
					}
				}
				// All agents, all code and those who write are looked at after this.
				Timer::Agent(_) | Timer::Code | Timer::Watch => {}
			}
		}
	}
}

/// An answer that its caller could not open is none: what the run wrote is dropped with it.
fn not_sealed(error: &MachineError, units: u32) -> RunFailed {
	let refusal = match error {
		MachineError::Input(KeyError::TooLong { .. }) => Refusal::ResponseBytes,
		other => other.refusal(),
	};
	let message = match error {
		MachineError::Input(error) => {
			format!("the answer cannot be sealed to its caller: {error}")
		}
		other => other.to_string(),
	};
	RunFailed { refusal, message, units }
}

fn on_opened(agent: &mut Agent, run: RunId, opened: OpenedOrder) {
	let is_it =
		|running: &Running| running.job.id == run && matches!(running.stage, Stage::Opening);
	if let Some(mut running) = agent.running.take_if(|running| is_it(running)) {
		running.job.opened = Some(Arc::new(opened));
		agent.requeue(running.job);
	}
}
