//! What the shell does for a machine: carries out what it wants done, and takes in what comes over the
//! network. Nothing is decided here.

use crate::{
	host::{HostId, Waiting},
	limits,
	network::{Packet, Party, PeerAnswer},
	sandbox,
	simulation::{Happening, Simulation},
};
use codec::{DecodeAll, Encode};
use phala_keys::sr25519::sign_with_published_seed;
use phala_machine::{
	verify::ProvenAcknowledgement, worker::Program, Action, Answer, CallId, Event, MachineError,
	PingAnswer, ReplicatedBody,
};
use phala_protocol::{
	agents::{AgentId, Availability},
	boot::WorkerId,
	clusters::Member,
	evidence::{
		Evidence, Measurement, SoftwareEvidence, SoftwareReport, SoftwareReportContent,
		DEVELOPMENT_ROOT_SEED,
	},
	requests::DirectCall,
	H256,
};
use std::sync::Arc;

/// What a member asked of another and waits for.
pub struct Ask {
	pub by: HostId,
	pub what: Asked,
}

pub enum Asked {
	Keep { to: Member, body: Arc<ReplicatedBody> },
	Ping { member: Member },
	Pages { id: u64, agent: AgentId },
	Code { from: WorkerId, hash: H256 },
}

/// An operation of a disk.
pub struct Store {
	pub op: u64,
	pub agent: AgentId,
	pub put: Vec<(H256, Vec<u8>)>,
	pub delete: Vec<H256>,
}

impl Simulation {
	/// Gives a machine an event, and carries out what it wants.
	pub(crate) fn tell(&mut self, id: HostId, event: Event) {
		let now_ms = self.now_ms();
		let Some(host) = self.hosts.get_mut(&id) else { return };
		let failures = host.failures;
		let actions = host.turn(now_ms, event);
		if host.failures > failures {
			self.violated(format!("the machine of {id:?} failed"));
		}
		for action in actions {
			self.carry_out(id, action);
		}
		self.plan_tick(id);
	}

	pub(crate) fn plan_tick(&mut self, id: HostId) {
		let now_ms = self.now_ms();
		let Some(host) = self.hosts.get_mut(&id) else { return };
		let Some(deadline) = host.machine.next_deadline() else { return };
		let at = now_ms + host.until(now_ms, deadline);
		if host.tick_at.is_none_or(|planned| at < planned) {
			host.tick_at = Some(at);
			self.scheduler.at(at, Happening::Tick(id));
		}
	}

	pub(crate) fn tick(&mut self, id: HostId) {
		let now_ms = self.now_ms();
		let Some(host) = self.hosts.get_mut(&id) else { return };
		// One that was planned before another took its place.
		if host.tick_at != Some(now_ms) {
			return;
		}
		host.tick_at = None;
		let deadline = host.machine.next_deadline();
		if deadline.is_some_and(|at| host.until(now_ms, at) == 0) {
			self.tell(id, Event::Tick);
		} else {
			self.plan_tick(id);
		}
	}

	fn later(&mut self, range: (u64, u64), id: HostId, event: Event) {
		let ms = self.random.shells.within(range);
		self.scheduler.after(ms, Happening::Told { id, event: Box::new(event) });
	}

	fn carry_out(&mut self, id: HostId, action: Action) {
		match action {
			Action::Reply { to, answer } => self.reply(id, to, answer),
			Action::Publish(snapshot) => {
				if let Some(host) = self.hosts.get_mut(&id) {
					host.snapshot = snapshot;
				}
				self.observe_snapshot(id);
			}
			Action::Keep(kept) => {
				let Some(host) = self.hosts.get_mut(&id) else { return };
				host.code.retain(|hash| kept.code.contains(hash));
				for hash in host.code.clone() {
					self.later((0, 1), id, Event::CodeStored { hash });
				}
			}
			Action::ShowProof(proof) => self.leaves("proof", &proof.encode()),
			Action::MakeEvidence(request) => {
				let Some(host) = self.hosts.get(&id) else { return };
				let evidence =
					Ok(evidence(id.worker, host.measurement, &request.report_data).encode());
				self.later(limits::TASK_MS, id, Event::EvidenceMade { request, evidence });
			}
			Action::Compute(task) => {
				let Some(host) = self.hosts.get_mut(&id) else { return };
				let done = task.run(host.entropy());
				self.later(limits::TASK_MS, id, Event::Computed(Box::new(done)));
			}
			Action::Run(run) => {
				let (ms, result) = sandbox::script(self.seed, &run);
				self.trace.note(self.now_ms(), "run", &(id, run.request, run.attempt));
				let event = Event::RunEnded { agent: run.agent, run: run.id, result };
				self.scheduler.after(ms, Happening::Told { id, event: Box::new(event) });
			}
			Action::Compile(code) => {
				let program = Ok(Program { name: "scripted".into(), request_bytes_max: 1 << 20 });
				self.later(limits::COMPILE_MS, id, Event::Compiled { code, program });
			}
			Action::Send { to, body } => {
				let bytes = body.encode();
				let worker = to.worker;
				let asked = Asked::Keep { to, body };
				self.ask(id, worker, limits::PEER_WAIT_MS, asked, |ask| Packet::Keep {
					from: id.worker,
					ask,
					body: bytes,
				});
			}
			Action::Ping { member } => {
				let (worker, identity) = (member.worker, member.identity);
				let wait_ms = phala_machine::limits::PING_WAIT_MS;
				self.ask(id, worker, wait_ms, Asked::Ping { member }, |ask| Packet::Ping {
					from: id.worker,
					ask,
					identity,
				});
			}
			Action::StorePages { id: op, agent, put, delete } => {
				for (_, page) in &put {
					self.leaves("page", page);
				}
				self.write_disk(id, Store { op, agent, put, delete });
			}
			Action::ReadPages { id: op, agent, names } => {
				let pages = self.read_disk(id, agent, &names);
				self.later(limits::DISK_MS, id, Event::PagesCame { id: op, agent, pages });
			}
			Action::ListPages { id: op, agent, after } => {
				let names = self.disk(id).map(|pages| {
					let names = pages.keys().filter(|(of, _)| *of == agent).map(|(_, name)| *name);
					let names = names.filter(|name| after.is_none_or(|after| *name > after));
					names.take(phala_machine::limits::LISTED_NAMES_MAX).collect()
				});
				self.later(limits::DISK_MS, id, Event::PagesListed { id: op, agent, names });
			}
			Action::FetchPages { id: op, from, agent, question, .. } => {
				let worker = from.worker;
				let asked = Asked::Pages { id: op, agent };
				self.ask(id, worker, limits::PEER_WAIT_MS, asked, |ask| Packet::GivePages {
					from: id.worker,
					ask,
					agent,
					question,
				});
			}
			Action::FetchCode { from, hash } => {
				let worker = from.worker;
				let asked = Asked::Code { from: worker, hash };
				self.ask(id, worker, limits::PEER_WAIT_MS, asked, |ask| Packet::GiveCode {
					from: id.worker,
					ask,
					hash,
				});
			}
		}
	}

	fn reply(&mut self, id: HostId, to: CallId, answer: Result<Answer, MachineError>) {
		let Some(host) = self.hosts.get_mut(&id) else { return };
		let Some(waiting) = host.take_waiting(to) else {
			return self.violated(format!("{id:?} answers {to:?}, whom nobody waits for"));
		};
		match waiting {
			Waiting::Relayer => host.relayer.answer = Some(answer),
			Waiting::Registration => {
				if let Ok(Answer::Registration(registration)) = answer {
					self.register(id, *registration);
				}
			}
			Waiting::Member { from, ask } => {
				let answer = match answer {
					Ok(Answer::Acknowledged(availability)) => {
						PeerAnswer::Kept(availability.encode())
					}
					_ => PeerAnswer::Refused,
				};
				self.answer_member(id.worker, from, ask, answer);
			}
			Waiting::Caller { call } => {
				let answer = match answer {
					Ok(Answer::Sealed(sealed)) => Ok(sealed),
					Ok(_) => Err("another answer".into()),
					Err(refused) => Err(refused.refusal().name().into()),
				};
				let packet = Packet::CallAnswered { call, answer };
				self.send(Party::Worker(id.worker), Party::Users, packet);
			}
		}
	}

	fn ask(
		&mut self,
		by: HostId,
		of: WorkerId,
		wait_ms: u64,
		what: Asked,
		packet: impl FnOnce(u64) -> Packet,
	) {
		let ask = self.next_ask;
		self.next_ask += 1;
		self.asks.insert(ask, Ask { by, what });
		self.scheduler.after(wait_ms, Happening::GivesUp { ask });
		self.send(Party::Worker(by.worker), Party::Worker(of), packet(ask));
	}

	pub(crate) fn send(&mut self, from: Party, to: Party, packet: Packet) {
		if from != Party::Users {
			self.leaves("packet", packet.bytes());
		}
		let now_ms = self.now_ms();
		for ms in self.weather.arrivals(now_ms, from, to, &mut self.random.network) {
			let packet = packet.clone();
			self.scheduler.after(ms, Happening::Arrives { from, to, packet });
		}
	}

	fn answer_member(&mut self, by: WorkerId, to: WorkerId, ask: u64, answer: PeerAnswer) {
		if matches!(answer, PeerAnswer::Kept(_)) {
			let withheld = self.weather.withheld.get(&by).copied().unwrap_or_default();
			if self.now_ms() < withheld {
				return;
			}
		}
		self.send(Party::Worker(by), Party::Worker(to), Packet::Answer { ask, answer });
	}

	pub(crate) fn arrives(&mut self, from: Party, to: Party, packet: Packet) {
		self.trace.note(self.now_ms(), "arrives", &(from, to, packet.bytes()));
		let Party::Worker(worker) = to else {
			if let Packet::CallAnswered { call, answer } = packet {
				self.call_answered(call, answer);
			}
			return;
		};
		if let Packet::Answer { ask, answer } = packet {
			return self.answered(ask, answer);
		}
		// Whoever has the address now.
		let Some(id) = self.listening.get(&worker).copied() else {
			if let Packet::Call { call, .. } = packet {
				let answer = Err("unreachable".into());
				self.send(to, from, Packet::CallAnswered { call, answer });
			}
			return;
		};
		let now_ms = self.now_ms();
		let Some(host) = self.hosts.get_mut(&id) else { return };
		match packet {
			Packet::Keep { from, ask, body } => {
				let verified = ReplicatedBody::decode_all(&mut &body[..])
					.map_err(|_| MachineError::Malformed { expected: "a replicated body" })
					.and_then(|body| host.snapshot.verify_body(body));
				match verified {
					Ok(body) => {
						let reply = host.wait(Waiting::Member { from, ask });
						self.tell(id, Event::BodyBrought { reply, body: Box::new(body) });
					}
					Err(_) => self.answer_member(worker, from, ask, PeerAnswer::Refused),
				}
			}
			Packet::Ping { from, ask, identity } => {
				let is_it = host.snapshot.keys.identity == identity;
				let answer = PingAnswer {
					height: host.snapshot.status.height,
					is_fresh: host.snapshot.require_fresh(host.counter(now_ms)).is_ok(),
				};
				let answer = if is_it { PeerAnswer::Pong(answer) } else { PeerAnswer::Refused };
				self.answer_member(worker, from, ask, answer);
			}
			Packet::GivePages { from, ask, agent, question } => {
				let opened = host.snapshot.open_question(agent, &question).ok();
				let names = opened.filter(|(asker, _)| *asker == from).map(|(_, names)| names);
				let answer = match names.and_then(|names| self.read_disk(id, agent, &names)) {
					Some(pages) => PeerAnswer::Pages(pages.encode()),
					None => PeerAnswer::Refused,
				};
				self.answer_member(worker, from, ask, answer);
			}
			Packet::GiveCode { from, ask, hash } => {
				let has_it = host.code.contains(&hash);
				let answer = if has_it { PeerAnswer::Code } else { PeerAnswer::Refused };
				self.answer_member(worker, from, ask, answer);
			}
			Packet::Call { call, agent, bytes } => {
				let opened = DirectCall::decode_all(&mut &bytes[..])
					.map_err(|_| MachineError::Malformed { expected: "a direct call" })
					.and_then(|call| host.snapshot.open_call(agent, &call, host.counter(now_ms)));
				match opened {
					Ok(opened) => {
						let reply = host.wait(Waiting::Caller { call });
						self.tell(id, Event::Called { reply, call: Box::new(opened) });
					}
					Err(refused) => {
						let answer = Err(refused.refusal().name().into());
						self.send(to, from, Packet::CallAnswered { call, answer });
					}
				}
			}
			Packet::Answer { .. } | Packet::CallAnswered { .. } => {}
		}
	}

	/// What a member asked for is here, or a refusal is.
	fn answered(&mut self, ask: u64, answer: PeerAnswer) {
		let Some(Ask { by, what }) = self.asks.remove(&ask) else { return };
		let genesis = self.chain.genesis();
		match (what, answer) {
			(Asked::Keep { to, body }, PeerAnswer::Kept(bytes)) => {
				let acknowledgement = Availability::decode_all(&mut &bytes[..])
					.ok()
					.and_then(|one| ProvenAcknowledgement::verify(genesis, &to, &body, one).ok());
				let ReplicatedBody { agent, new_hash, .. } = *body;
				let event = Event::BodySent { to: to.worker, agent, new_hash, acknowledgement };
				self.tell(by, event);
			}
			(Asked::Ping { member }, PeerAnswer::Pong(answer)) => {
				let Member { worker, boot, .. } = member;
				self.tell(by, Event::Pinged { worker, boot, answer: Some(answer) });
			}
			(Asked::Pages { id, agent }, PeerAnswer::Pages(bytes)) => {
				let pages = Vec::<Option<Vec<u8>>>::decode_all(&mut &bytes[..]).ok();
				self.tell(by, Event::PagesCame { id, agent, pages });
			}
			(Asked::Code { hash, .. }, PeerAnswer::Code) => {
				if let Some(host) = self.hosts.get_mut(&by) {
					host.code.insert(hash);
				}
				self.tell(by, Event::CodeStored { hash });
			}
			(what, _) => self.did_not_get(by, what),
		}
	}

	pub(crate) fn gives_up(&mut self, ask: u64) {
		if let Some(Ask { by, what }) = self.asks.remove(&ask) {
			self.did_not_get(by, what);
		}
	}

	fn did_not_get(&mut self, by: HostId, what: Asked) {
		let event = match what {
			Asked::Keep { to, body } => Event::BodySent {
				to: to.worker,
				agent: body.agent,
				new_hash: body.new_hash,
				acknowledgement: None,
			},
			Asked::Ping { member } => {
				Event::Pinged { worker: member.worker, boot: member.boot, answer: None }
			}
			Asked::Pages { id, agent } => Event::PagesCame { id, agent, pages: None },
			Asked::Code { from, hash } => Event::CodeNotFetched { from, hash },
		};
		self.tell(by, event);
	}

	/// The boot has no worker any more: the process ends, and its operator starts another if the worker
	/// has none.
	pub(crate) fn relayer_ended(&mut self, id: HostId) {
		self.kill(id);
		let lives = self.hosts.keys().any(|other| other.worker == id.worker);
		if !lives {
			let ms = self.random.shells.within(limits::START_MS);
			self.start_after(id.worker, ms);
		}
	}
}

/// What stands in for a TEE: each worker's own machine, with the code that may run.
fn evidence(worker: WorkerId, measurement: Measurement, report_data: &[u8; 64]) -> Evidence {
	let report = SoftwareReport {
		measurement,
		platform: H256::from_low_u64_be(u64::from(worker) + 1),
		report_data: *report_data,
		debug: false,
	};
	let content = SoftwareReportContent::new(&report).encode();
	let signature = sign_with_published_seed(DEVELOPMENT_ROOT_SEED, &content);
	Evidence::Software(SoftwareEvidence { report, signature })
}
