//! A run as its events, and the same run again. **Not in release builds**: a recording holds
//! plaintext, and every secret that the boot drew.
//!
//! A recording is SCALE: [`Start`], then a [`Turn`] for each event, in bytes of known length, until
//! the end of the file. What was proven from outside is recorded as it was brought, and proven again
//! when it is replayed; what a [`Task`] made is recorded as its seed, and made again.

#[cfg(feature = "development")]
use crate::development::DevelopmentAgent;
use crate::{
	action::{Action, CallId, EvidenceRequest},
	event::{Event, PingAnswer},
	task::{Task, TaskId, Work},
	verify::{OpenedCall, ProvenAcknowledgement, VerifiedBody},
	worker::{Program, Run, RunDone, RunEnd, RunId},
	Config, Instant, Machine, Snapshot,
};
use codec::{Decode, DecodeAll, Encode};
use phala_protocol::{
	agents::{AgentCode, AgentId},
	blake2_256,
	boot::{BootNumber, WorkerId},
	relay::{GenesisBundle, SyncBundle},
	AccountBytes, H256,
};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use std::{
	collections::{HashMap, VecDeque},
	panic::{catch_unwind, AssertUnwindSafe},
	sync::Arc,
};

/// So many published snapshots are remembered when bundles are proven again.
const SNAPSHOTS_KEPT: usize = 16;

/// How a machine began.
#[derive(Clone, Debug, Encode, Decode)]
pub enum Start {
	#[codec(index = 0)]
	Boot { config: Config, now: Instant, seed: [u8; 32] },
	#[cfg(feature = "development")]
	#[codec(index = 1)]
	Develop { agents: Vec<DevelopmentAgent>, now: Instant, seed: [u8; 32] },
}

impl Start {
	/// The machine that begins so.
	pub fn machine(&self) -> Machine {
		match self {
			Self::Boot { config, now, seed } => {
				Machine::boot(*config, *now, &mut ChaCha20Rng::from_seed(*seed))
			}
			#[cfg(feature = "development")]
			Self::Develop { agents, now, seed } => {
				Machine::develop(agents.clone(), *now, &mut ChaCha20Rng::from_seed(*seed))
			}
		}
	}
}

/// One event, and what came of it.
#[derive(Encode, Decode)]
pub struct Turn {
	now: Instant,
	/// Of the generator that the turn drew from.
	seed: [u8; 32],
	event: RecordedEvent,
	outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
enum Outcome {
	/// Hash over all actions, in order.
	Actions(H256),
	/// The machine failed and was rebuilt.
	Failed,
}

#[derive(Encode, Decode)]
enum RecordedEvent {
	Genesis {
		reply: CallId,
		bundle: GenesisBundle,
	},
	Synced {
		reply: CallId,
		from: H256,
		bundle: SyncBundle,
	},
	RegistrationAsked {
		reply: CallId,
		operator: AccountBytes,
	},
	EvidenceMade {
		request: EvidenceRequest,
		evidence: Result<Vec<u8>, String>,
	},
	Called {
		reply: CallId,
		call: OpenedCall,
	},
	RunEnded {
		agent: AgentId,
		run: RunId,
		result: Result<RunDone, RunEnd>,
	},
	Computed {
		task: TaskId,
		seed: [u8; 32],
	},
	BodyBrought {
		reply: CallId,
		body: VerifiedBody,
	},
	BodySent {
		to: WorkerId,
		agent: AgentId,
		new_hash: H256,
		acknowledgement: Option<ProvenAcknowledgement>,
	},
	PagesStored {
		id: u64,
		agent: AgentId,
		is_done: bool,
	},
	PagesCame {
		id: u64,
		agent: AgentId,
		pages: Option<Vec<Option<Vec<u8>>>>,
	},
	PagesListed {
		id: u64,
		agent: AgentId,
		names: Option<Vec<H256>>,
	},
	StoreEmptied,
	CodeStored {
		hash: H256,
	},
	CodeNotFetched {
		from: WorkerId,
		hash: H256,
	},
	Compiled {
		code: AgentCode,
		program: Result<Program, String>,
	},
	Tick,
	TaskFailed {
		task: TaskId,
	},
	Pinged {
		worker: WorkerId,
		boot: BootNumber,
		answer: Option<PingAnswer>,
	},
}

impl RecordedEvent {
	fn of(event: &Event) -> Self {
		match event {
			Event::Genesis { reply, genesis } => {
				Self::Genesis { reply: *reply, bundle: genesis.source.clone() }
			}
			Event::Synced { reply, bundle } => {
				Self::Synced { reply: *reply, from: bundle.from, bundle: bundle.source.clone() }
			}
			Event::RegistrationAsked { reply, operator } => {
				Self::RegistrationAsked { reply: *reply, operator: *operator }
			}
			Event::EvidenceMade { request, evidence } => {
				Self::EvidenceMade { request: request.clone(), evidence: evidence.clone() }
			}
			Event::Called { reply, call } => Self::Called { reply: *reply, call: (**call).clone() },
			Event::RunEnded { agent, run, result } => {
				Self::RunEnded { agent: *agent, run: *run, result: result.clone() }
			}
			Event::Computed(done) => Self::Computed { task: done.id, seed: done.seed },
			Event::BodyBrought { reply, body } => {
				Self::BodyBrought { reply: *reply, body: (**body).clone() }
			}
			Event::BodySent { to, agent, new_hash, acknowledgement } => Self::BodySent {
				to: *to,
				agent: *agent,
				new_hash: *new_hash,
				acknowledgement: acknowledgement.clone(),
			},
			Event::PagesStored { id, agent, is_done } => {
				Self::PagesStored { id: *id, agent: *agent, is_done: *is_done }
			}
			Event::PagesCame { id, agent, pages } => {
				Self::PagesCame { id: *id, agent: *agent, pages: pages.clone() }
			}
			Event::PagesListed { id, agent, names } => {
				Self::PagesListed { id: *id, agent: *agent, names: names.clone() }
			}
			Event::StoreEmptied => Self::StoreEmptied,
			Event::CodeStored { hash } => Self::CodeStored { hash: *hash },
			Event::CodeNotFetched { from, hash } => {
				Self::CodeNotFetched { from: *from, hash: *hash }
			}
			Event::Compiled { code, program } => {
				Self::Compiled { code: *code, program: program.clone() }
			}
			Event::Tick => Self::Tick,
			Event::TaskFailed { task } => Self::TaskFailed { task: *task },
			Event::Pinged { worker, boot, answer } => {
				Self::Pinged { worker: *worker, boot: *boot, answer: *answer }
			}
		}
	}
}

/// An event that is about to be handled.
pub struct Recorder {
	now: Instant,
	seed: [u8; 32],
	event: RecordedEvent,
}

impl Recorder {
	/// Before [`Machine::handle`], whose generator has this seed.
	pub fn begin(event: &Event, now: Instant, seed: [u8; 32]) -> Self {
		Self { now, seed, event: RecordedEvent::of(event) }
	}

	/// After it: what to append to the recording. `None` for actions: it failed.
	pub fn end(self, actions: Option<&[Action]>) -> Vec<u8> {
		let Self { now, seed, event } = self;
		let outcome = actions.map_or(Outcome::Failed, |actions| Outcome::Actions(hash(actions)));
		Turn { now, seed, event, outcome }.encode().encode()
	}
}

/// Why a recording is not what the machine does.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
	#[error("it is no recording, or one of another release")]
	Malformed,
	#[error("turn {turn}: {what} is not to be had again")]
	Lost { turn: usize, what: &'static str },
	#[error("turn {turn}: the machine does something else now than when it was recorded")]
	Differs { turn: usize },
}

/// Runs a recording again; how many turns it has. What the process wrote of its last turn when it
/// ended may be a part: that turn is passed over.
pub fn replay(mut bytes: &[u8]) -> Result<usize, ReplayError> {
	let start = Start::decode(&mut bytes).map_err(|_| ReplayError::Malformed)?;
	let mut machine = start.machine();
	let mut tasks: HashMap<TaskId, Task> = HashMap::new();
	let mut snapshots = VecDeque::from([Arc::new(machine.snapshot())]);
	let mut turn = 0;
	while let Ok(whole) = Vec::<u8>::decode(&mut bytes) {
		let Turn { now, seed, event, outcome } =
			Turn::decode_all(&mut &whole[..]).map_err(|_| ReplayError::Malformed)?;
		let event = again(event, &mut tasks, &snapshots)
			.map_err(|what| ReplayError::Lost { turn, what })?;
		let mut rng = ChaCha20Rng::from_seed(seed);
		let handled = catch_unwind(AssertUnwindSafe(|| machine.handle(event, now, &mut rng)));
		let (came, actions) = match handled {
			Ok(actions) => (Outcome::Actions(hash(&actions)), actions),
			Err(_) => (Outcome::Failed, machine.recover()),
		};
		if came != outcome {
			return Err(ReplayError::Differs { turn });
		}
		for action in actions {
			match action {
				Action::Compute(task) => {
					tasks.insert(task.id(), *task);
				}
				Action::Publish(snapshot) => {
					snapshots.push_front(snapshot);
					snapshots.truncate(SNAPSHOTS_KEPT);
				}
				_ => {}
			}
		}
		turn += 1;
	}
	Ok(turn)
}

fn again(
	event: RecordedEvent,
	tasks: &mut HashMap<TaskId, Task>,
	snapshots: &VecDeque<Arc<Snapshot>>,
) -> Result<Event, &'static str> {
	let at = |from: H256| {
		snapshots
			.iter()
			.find(|snapshot| snapshot.finalized.is_some_and(|(_, hash)| hash == from))
			.ok_or("the snapshot that a bundle was proven with")
	};
	Ok(match event {
		RecordedEvent::Genesis { reply, bundle } => {
			let proven = snapshots.iter().find_map(|one| one.prove_genesis(bundle.clone()).ok());
			let genesis = Box::new(proven.ok_or("the proof of the genesis")?);
			Event::Genesis { reply, genesis }
		}
		RecordedEvent::Synced { reply, from, bundle } => {
			let proven = at(from)?.prove(bundle).map_err(|_| "the proof of a bundle")?;
			Event::Synced { reply, bundle: Box::new(proven) }
		}
		RecordedEvent::RegistrationAsked { reply, operator } => {
			Event::RegistrationAsked { reply, operator }
		}
		RecordedEvent::EvidenceMade { request, evidence } => {
			Event::EvidenceMade { request, evidence }
		}
		RecordedEvent::Called { reply, call } => Event::Called { reply, call: Box::new(call) },
		RecordedEvent::RunEnded { agent, run, result } => Event::RunEnded { agent, run, result },
		RecordedEvent::Computed { task, seed } => {
			let task = tasks.remove(&task).ok_or("a task")?;
			Event::Computed(Box::new(task.run(seed)))
		}
		RecordedEvent::BodyBrought { reply, body } => {
			Event::BodyBrought { reply, body: Box::new(body) }
		}
		RecordedEvent::BodySent { to, agent, new_hash, acknowledgement } => {
			Event::BodySent { to, agent, new_hash, acknowledgement }
		}
		RecordedEvent::PagesStored { id, agent, is_done } => {
			Event::PagesStored { id, agent, is_done }
		}
		RecordedEvent::PagesCame { id, agent, pages } => Event::PagesCame { id, agent, pages },
		RecordedEvent::PagesListed { id, agent, names } => Event::PagesListed { id, agent, names },
		RecordedEvent::StoreEmptied => Event::StoreEmptied,
		RecordedEvent::CodeStored { hash } => Event::CodeStored { hash },
		RecordedEvent::CodeNotFetched { from, hash } => Event::CodeNotFetched { from, hash },
		RecordedEvent::Compiled { code, program } => Event::Compiled { code, program },
		RecordedEvent::Tick => Event::Tick,
		RecordedEvent::TaskFailed { task } => Event::TaskFailed { task },
		RecordedEvent::Pinged { worker, boot, answer } => Event::Pinged { worker, boot, answer },
	})
}

fn hash(actions: &[Action]) -> H256 {
	let mut bytes = Vec::new();
	for action in actions {
		encode(action, &mut bytes);
	}
	blake2_256(&bytes)
}

/// All that an action says; of a snapshot, what it says to others.
fn encode(action: &Action, to: &mut Vec<u8>) {
	match action {
		Action::Reply { to: whom, answer } => {
			let answer = match answer {
				Ok(answer) => Ok(answer_bytes(answer)),
				Err(refused) => Err(refused.to_string()),
			};
			(0u8, whom, answer).encode_to(to);
		}
		Action::MakeEvidence(request) => (1u8, request).encode_to(to),
		Action::Compute(task) => {
			(2u8, task.id, task.boot).encode_to(to);
			encode_work(&task.work, to);
		}
		Action::Run(run) => {
			let Run { agent, id, code, called_by_agent, caller, input, request, .. } = &**run;
			(3u8, agent, id, code, called_by_agent, caller, &**input, request).encode_to(to);
			(run.entropy, run.attempt, run.writable, run.state.version, run.state.hash, run.block)
				.encode_to(to);
		}
		Action::Send { to: member, body } => (4u8, member, &**body).encode_to(to),
		Action::FetchPages { id, from, agent, names, question } => {
			(5u8, id, from, agent, names, question).encode_to(to)
		}
		Action::StorePages { id, agent, put, delete } => {
			(12u8, id, agent, put, delete).encode_to(to)
		}
		Action::ReadPages { id, agent, names } => (13u8, id, agent, names).encode_to(to),
		Action::ListPages { id, agent, after } => (14u8, id, agent, after).encode_to(to),
		Action::FetchCode { from, hash } => (6u8, from, hash).encode_to(to),
		Action::Compile(code) => (7u8, code).encode_to(to),
		Action::Keep(kept) => (8u8, kept).encode_to(to),
		Action::ShowProof(proof) => (9u8, &**proof).encode_to(to),
		Action::Ping { member } => (11u8, member).encode_to(to),
		Action::Publish(snapshot) => {
			(10u8, &snapshot.status, snapshot.finalized).encode_to(to);
			for envelope in &snapshot.envelopes {
				envelope.encode_to(to);
			}
			for (id, agent) in snapshot.cluster.iter().flat_map(|cluster| &cluster.agents) {
				(id, agent.state.version, agent.state.hash, agent.is_current).encode_to(to);
			}
		}
	}
}

fn answer_bytes(answer: &crate::Answer) -> Vec<u8> {
	use crate::Answer::*;
	match answer {
		Status(status) => status.encode(),
		Registration(registration) => registration.encode(),
		Plain(answer) => answer.encode(),
		Sealed(bytes) => bytes.encode(),
		Acknowledged(acknowledgement) => acknowledgement.encode(),
	}
}

fn encode_work(work: &Work, to: &mut Vec<u8>) {
	match work {
		Work::SignEnvelope { number, payload } => {
			(0u8, number.lane, number.seq, payload).encode_to(to)
		}
		Work::MakeMasterKey { epoch, attempt, seats } => (1u8, epoch, attempt, seats).encode_to(to),
		Work::Release { share, request } => (2u8, share.index(), request).encode_to(to),
		Work::AskForKeys { cluster, generation, master } => {
			(3u8, cluster, generation, &**master).encode_to(to)
		}
		Work::CombineRelease { release, .. } => (4u8, release).encode_to(to),
		Work::MakeAgentKeys { agent } => (5u8, agent).encode_to(to),
		Work::Open(open) => {
			(6u8, open.agent, open.run, open.caller, &open.sealed, open.height, open.code)
				.encode_to(to)
		}
		Work::Answer(answers) => {
			(7u8, answers.len() as u64).encode_to(to);
			for answer in answers {
				(answer.agent, answer.run, answer.code, answer.caller, &*answer.input)
					.encode_to(to);
				(&answer.output, answer.state_version, answer.height, answer.unproven_inputs)
					.encode_to(to);
				answer.reply.encode_to(to);
			}
		}
		Work::AskForPages(asked) => {
			(10u8, asked.id, asked.agent, &asked.from, &asked.names, asked.height).encode_to(to)
		}
		Work::SignBody { agent, base_hash, body, new_hash } => {
			(8u8, agent, base_hash, &**body, new_hash).encode_to(to)
		}
		Work::Acknowledge { reply, agent, base_hash, new_hash } => {
			(9u8, reply, agent, base_hash, new_hash).encode_to(to)
		}
	}
}
