//! What comes in: each event goes to the part that it concerns.

use super::*;

impl Machine {
	pub(super) fn take_in<R: CryptoRng>(
		&mut self,
		event: Event,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) -> Scope {
		match event {
			Event::Genesis { reply, genesis } => {
				let answer = self.accept_genesis(*genesis).map(|()| self.status_answer());
				actions.push(Action::Reply { to: reply, answer });
				Scope::Nothing
			}
			Event::Synced { reply, bundle } => {
				let synced = self.sync(*bundle, now, rng, actions);
				let scope = if synced.is_ok() { Scope::All } else { Scope::Nothing };
				// Heartbeats and what else comes of it are in the status that it gets.
				self.advance(scope, now, rng, actions);
				let answer = synced.map(|()| self.status_answer());
				actions.push(Action::Reply { to: reply, answer });
				Scope::Nothing
			}
			Event::RegistrationAsked { reply, operator } => {
				actions.push(match self.evidence_request(reply, operator) {
					Ok(request) => Action::MakeEvidence(request),
					Err(refused) => Action::Reply { to: reply, answer: Err(refused) },
				});
				Scope::Nothing
			}
			Event::EvidenceMade { request, evidence } => {
				let EvidenceRequest { reply, worker, keys, recent_block, renewal, .. } = request;
				let answer = evidence.map_err(MachineError::NoEvidence).map(|evidence| {
					let registration =
						Registration { worker, keys, evidence, recent_block, renewal };
					Answer::Registration(Box::new(registration))
				});
				actions.push(Action::Reply { to: reply, answer });
				Scope::Nothing
			}
			Event::Called { reply, call } => {
				let agent = call.agent;
				if let Err(refused) = self.require_member(now) {
					actions.push(Action::Reply { to: reply, answer: Err(refused) });
					return Scope::Nothing;
				}
				let is_write = call.writes();
				self.as_member(now, rng, actions, |member, turn| {
					member.on_call(reply, *call, turn)
				});
				if is_write {
					Scope::Agent(agent)
				} else {
					Scope::Nothing
				}
			}
			Event::RunEnded { agent, run, result } => {
				self.as_member(now, rng, actions, |member, turn| {
					member.on_run_ended(agent, run, result, turn)
				});
				Scope::Agent(agent)
			}
			Event::Computed(done) => {
				self.tasks.remove(&done.id);
				self.computed(*done, now, rng, actions)
			}
			Event::TaskFailed { task } => self.task_failed(task, now, rng, actions),
			Event::BodyBrought { reply, body } => {
				let (.., agent) = body.sender();
				if let Err(refused) = self.require_member(now) {
					actions.push(Action::Reply { to: reply, answer: Err(refused) });
					return Scope::Nothing;
				}
				self.as_member(now, rng, actions, |member, turn| {
					member.on_body_brought(reply, *body, turn)
				});
				Scope::Agent(agent)
			}
			Event::BodySent { to, agent, new_hash, acknowledgement } => {
				self.as_member(now, rng, actions, |member, _| {
					let members = member.members.clone();
					if let Some(agent) = member.agents.get_mut(&agent) {
						agent.body_sent(to, new_hash, acknowledgement, &members);
					}
				});
				Scope::Agent(agent)
			}
			Event::PagesStored { id, agent, is_done } => {
				self.as_member(now, rng, actions, |member, _| {
					let own = member.agents.get_mut(&agent).map(|agent| &mut agent.tree);
					if let Some(tree) = own.or_else(|| member.gone.get_mut(&agent)) {
						tree.stored(id, is_done, now);
					}
				});
				Scope::Agent(agent)
			}
			Event::PagesCame { id, agent, pages } => {
				self.as_member(now, rng, actions, |member, turn| {
					member.on_pages_came(id, agent, pages, turn);
				});
				Scope::Agent(agent)
			}
			Event::PagesListed { id, agent, names } => {
				self.as_member(now, rng, actions, |member, _| {
					if let Some(agent) = member.agents.get_mut(&agent) {
						agent.pages_listed(id, names, now);
					}
				});
				Scope::Agent(agent)
			}
			Event::StoreEmptied => {
				tracing::warn!("the disk begins empty again; all pages are put on it anew");
				self.as_member(now, rng, actions, |member, _| {
					member.agents.values_mut().for_each(|agent| agent.disk_emptied());
				});
				Scope::All
			}
			Event::CodeStored { hash } => {
				self.as_member(now, rng, actions, |member, _| member.code.stored(hash));
				Scope::Code(hash)
			}
			Event::CodeNotFetched { from, hash } => {
				self.as_member(now, rng, actions, |member, _| member.code.not_fetched(from, hash));
				Scope::Code(hash)
			}
			Event::Compiled { code, program } => {
				self.as_member(now, rng, actions, |member, turn| {
					member.code.compiled(code, program);
					*turn.changed = true;
				});
				Scope::Code(code.component)
			}
			Event::Pinged { worker, boot, answer } => {
				self.as_member(now, rng, actions, |member, turn| {
					member.watch.pinged(worker, boot, answer, turn)
				});
				Scope::Watch
			}
			Event::Tick => {
				self.as_member(now, rng, actions, |member, turn| member.on_tick(turn));
				Scope::All
			}
		}
	}

	/// A task could not be done. It is given again once; then what it was for ends by name, or, if the
	/// boot cannot go on without it, the machine is rebuilt as after a failure in a turn.
	fn task_failed<R: CryptoRng>(
		&mut self,
		id: TaskId,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) -> Scope {
		let Some(given) = self.tasks.get_mut(&id) else { return Scope::Nothing };
		let work = given.task.work.clone();
		let kind = work.kind();
		tracing::error!(kind, is_again = given.is_again, "cryptography failed");
		if let Work::Answer(answers) = &*work {
			if answers.len() > 1 {
				self.tasks.remove(&id);
				self.as_member(now, rng, actions, |member, turn| {
					member.signing.task_failed(id, answers, turn)
				});
				return Scope::Nothing;
			}
		}
		if !std::mem::replace(&mut given.is_again, true) {
			actions.push(Action::Compute(Box::new(given.task.clone())));
			return Scope::Nothing;
		}
		let Some(outcome) = work.not_done() else {
			self.culprit = Some(Culprit::Event { kind, subject: H256::zero() });
			return Scope::Failed;
		};
		self.tasks.remove(&id);
		let done = TaskDone {
			id,
			outcome,
			#[cfg(feature = "recording")]
			seed: [0; 32],
		};
		self.computed(done, now, rng, actions)
	}

	pub(super) fn computed<R: CryptoRng>(
		&mut self,
		done: TaskDone,
		now: Instant,
		rng: &mut R,
		actions: &mut Vec<Action>,
	) -> Scope {
		let scope = match &done.outcome {
			Outcome::EnvelopeSigned(_) => Scope::Nothing,
			Outcome::Opened { agent, .. }
			| Outcome::BodySigned { agent, .. }
			| Outcome::PagesAsked { agent, .. }
			| Outcome::AgentKeysMade { agent, .. } => Scope::Agent(*agent),
			Outcome::Answered(answers) => {
				Scope::Agents(answers.iter().map(|answered| answered.agent).collect())
			}
			Outcome::Acknowledged { .. } => Scope::Nothing,
			_ => Scope::All,
		};
		match done.outcome {
			Outcome::EnvelopeSigned(envelope) => {
				if let Phase::Registered(registered) = &mut self.phase {
					registered.outbox.signed(done.id, envelope);
					self.changed = true;
				}
			}
			Outcome::MasterKeyMade { .. } | Outcome::Released { .. } => {
				self.in_turn(now, rng, actions, |roles, turn| {
					roles.gatekeeper.on_computed(done, roles.shares, turn)
				});
			}
			_ => {
				self.as_member(now, rng, actions, |member, turn| member.on_computed(done, turn));
			}
		}
		scope
	}
}
