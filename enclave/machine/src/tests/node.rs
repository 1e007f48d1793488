//! One machine with the shell around it reduced to what a test needs: cryptography is done at once,
//! answers are kept, everything else waits to be taken.

use crate::{
	action::{Action, Answer, CallId, Kept},
	event::{Culprit, Event, PingAnswer},
	task::Work,
	verify::ProvenAcknowledgement,
	worker::{Program, Run, RunDone},
	Config, Instant, Machine, MachineError, ReplicatedBody, Snapshot, Task,
};
use phala_protocol::{
	agents::{AgentCode, AgentId},
	boot::WorkerId,
	clusters::Member,
	relay::EnclaveStatus,
	requests::SignedAnswer,
	H256,
};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use rand_core::Rng;
use std::{
	collections::{BTreeMap, BTreeSet, VecDeque},
	panic::{catch_unwind, AssertUnwindSafe},
	sync::Arc,
};

/// See the module's text.
pub struct Node {
	pub machine: Machine,
	pub snapshot: Arc<Snapshot>,
	pub now: Instant,
	pub rng: ChaCha20Rng,
	next_call: u64,
	pub replies: BTreeMap<CallId, Result<Answer, MachineError>>,
	pub runs: VecDeque<Run>,
	pub sends: VecDeque<(Member, Arc<ReplicatedBody>)>,
	pub fetches: VecDeque<Action>,
	/// Members that do not answer pings.
	pub silent: BTreeSet<WorkerId>,
	/// What members say of themselves that do not say that they follow the chain.
	pub ping_answers: BTreeMap<WorkerId, PingAnswer>,
	pub proofs: Vec<SignedAnswer>,
	/// Sealed pages by agent and name.
	pub disk: BTreeMap<(AgentId, H256), Vec<u8>>,
	/// What the disk is to put waits in here instead of being done.
	pub held_disk: Option<Vec<Action>>,
	/// So many reads of the disk fail.
	pub failing_reads: usize,
	/// What the disk has read waits in here instead of being told.
	pub held_reads: Option<VecDeque<Event>>,
	/// Cryptography waits in here instead of being done.
	pub held_tasks: Option<Vec<Task>>,
	/// How many sealed orders were opened.
	pub opened: usize,
	/// Components and manifests come as soon as they are wanted.
	pub has_code: bool,
	pub rebuilt: usize,
	/// Code waits in here instead of being compiled.
	pub held_compiles: Option<Vec<AgentCode>>,
	/// What the shell was told last to keep.
	pub kept: Kept,
	/// Components and manifests that it was told to keep no more.
	pub gave_up: Vec<H256>,
	/// Stays empty without the feature.
	#[cfg_attr(not(feature = "recording"), allow(dead_code))]
	pub recording: Vec<u8>,
}

impl Node {
	pub fn boot(config: Config, now: Instant, rng: &mut ChaCha20Rng) -> Self {
		let mut seed = [0; 32];
		rng.fill_bytes(&mut seed);
		#[cfg(feature = "recording")]
		let (machine, recording) = {
			let start = crate::recording::Start::Boot { config, now, seed };
			(start.machine(), codec::Encode::encode(&start))
		};
		#[cfg(not(feature = "recording"))]
		let (machine, recording) =
			(Machine::boot(config, now, &mut ChaCha20Rng::from_seed(seed)), Vec::new());
		Self::with(machine, recording, now, rng)
	}

	/// A machine whose recording begins so.
	pub fn with(machine: Machine, recording: Vec<u8>, now: Instant, rng: &mut ChaCha20Rng) -> Self {
		let mut seed = [0; 32];
		rng.fill_bytes(&mut seed);
		Self {
			snapshot: Arc::new(machine.snapshot()),
			machine,
			now,
			rng: ChaCha20Rng::from_seed(seed),
			next_call: 0,
			replies: BTreeMap::new(),
			runs: VecDeque::new(),
			sends: VecDeque::new(),
			fetches: VecDeque::new(),
			silent: BTreeSet::new(),
			ping_answers: BTreeMap::new(),
			proofs: Vec::new(),
			disk: BTreeMap::new(),
			held_disk: None,
			failing_reads: 0,
			held_reads: None,
			held_tasks: None,
			opened: 0,
			has_code: true,
			rebuilt: 0,
			held_compiles: None,
			kept: Kept::default(),
			gave_up: Vec::new(),
			recording,
		}
	}

	fn seed(&mut self) -> [u8; 32] {
		let mut seed = [0; 32];
		self.rng.fill_bytes(&mut seed);
		seed
	}

	/// Tells it, and whatever comes of it at once.
	pub fn tell(&mut self, event: Event) {
		let mut events = VecDeque::from([event]);
		while let Some(event) = events.pop_front() {
			for action in self.turn(event) {
				self.carry_out(action, &mut events);
			}
		}
	}

	fn turn(&mut self, event: Event) -> Vec<Action> {
		let (now, seed) = (self.now, self.seed());
		#[cfg(feature = "recording")]
		let recorder = crate::recording::Recorder::begin(&event, now, seed);
		let mut rng = ChaCha20Rng::from_seed(seed);
		let machine = &mut self.machine;
		let handled = catch_unwind(AssertUnwindSafe(|| machine.handle(event, now, &mut rng))).ok();
		#[cfg(feature = "recording")]
		self.recording.extend(recorder.end(handled.as_deref()));
		handled.unwrap_or_else(|| {
			self.rebuilt += 1;
			self.machine.recover()
		})
	}

	fn carry_out(&mut self, action: Action, events: &mut VecDeque<Event>) {
		match action {
			Action::Reply { to, answer } => {
				assert!(self.replies.insert(to, answer).is_none(), "answered twice");
			}
			Action::MakeEvidence(request) => {
				// The platform: what it was asked to vouch for.
				let evidence = Ok(request.report_data.to_vec());
				events.push_back(Event::EvidenceMade { request, evidence });
			}
			Action::Compute(task) => {
				self.opened += usize::from(matches!(&*task.work, Work::Open(_)));
				match &mut self.held_tasks {
					Some(held) => held.push(*task),
					None => events.push_back(self.done(*task)),
				}
			}
			Action::Run(run) => self.runs.push_back(*run),
			Action::Send { to, body, .. } => self.sends.push_back((to, body)),
			Action::Compile(code) => match &mut self.held_compiles {
				Some(held) => held.push(code),
				None => events.push_back(self.compiled(code)),
			},
			Action::Keep(kept) => {
				self.gave_up.extend(self.kept.code.difference(&kept.code));
				self.kept = kept.clone();
				if self.has_code {
					events.extend(kept.code.into_iter().map(|hash| Event::CodeStored { hash }));
				}
			}
			Action::Ping { member } => events.push_back(Event::Pinged {
				worker: member.worker,
				boot: member.boot,
				answer: self.ping_answer(&member),
			}),
			Action::FetchPages { .. } => self.fetches.push_back(action),
			Action::StorePages { id, agent, put, delete } => {
				if let Some(held) = &mut self.held_disk {
					return held.push(Action::StorePages { id, agent, put, delete });
				}
				for name in delete {
					self.disk.remove(&(agent, name));
				}
				self.disk.extend(put.into_iter().map(|(name, page)| ((agent, name), page)));
				events.push_back(Event::PagesStored { id, agent, is_done: true });
			}
			Action::ReadPages { id, agent, names } => {
				let fails = self.failing_reads > 0;
				self.failing_reads = self.failing_reads.saturating_sub(1);
				let pages = (!fails).then(|| self.read(agent, &names));
				let read = Event::PagesCame { id, agent, pages };
				self.held_reads.as_mut().unwrap_or(events).push_back(read);
			}
			Action::ListPages { id, agent, after } => {
				let names = self.disk.keys().filter(|(of, _)| *of == agent).map(|(_, name)| *name);
				let names = names.filter(|name| after.is_none_or(|after| *name > after));
				let names = Some(names.take(crate::limits::LISTED_NAMES_MAX).collect());
				let listed = Event::PagesListed { id, agent, names };
				self.held_reads.as_mut().unwrap_or(events).push_back(listed);
			}
			Action::FetchCode { from, hash } => {
				events.push_back(Event::CodeNotFetched { from: from.worker, hash });
			}
			Action::ShowProof(proof) => self.proofs.push(*proof),
			Action::Publish(snapshot) => self.snapshot = snapshot,
		}
	}

	/// What its disk gives.
	pub fn read(&self, agent: AgentId, names: &[H256]) -> Vec<Option<Vec<u8>>> {
		names.iter().map(|name| self.disk.get(&(agent, *name)).cloned()).collect()
	}

	/// The disk does what it held back.
	pub fn release_disk(&mut self) {
		let mut events = VecDeque::new();
		for held in self.held_disk.take().unwrap_or_default() {
			self.carry_out(held, &mut events);
		}
		for event in events {
			self.tell(event);
		}
	}

	fn ping_answer(&self, member: &Member) -> Option<PingAnswer> {
		let follows = PingAnswer { height: self.machine.status().height, is_fresh: true };
		let answer = self.ping_answers.get(&member.worker).copied().unwrap_or(follows);
		(!self.silent.contains(&member.worker)).then_some(answer)
	}

	/// Does a task.
	pub fn done(&mut self, task: Task) -> Event {
		let seed = self.seed();
		Event::Computed(Box::new(task.run(seed)))
	}

	/// Does the cryptography that was held back.
	pub fn release_tasks(&mut self) {
		for task in self.held_tasks.take().unwrap_or_default() {
			let done = self.done(task);
			self.tell(done);
		}
	}

	pub fn compiled(&self, code: AgentCode) -> Event {
		let program = Ok(Program { name: "test".into(), request_bytes_max: 1 << 20 });
		Event::Compiled { code, program }
	}

	/// Tells it something that is answered at once.
	pub fn ask(&mut self, event: impl FnOnce(CallId) -> Event) -> Result<Answer, MachineError> {
		let id = self.call(event);
		self.replies.remove(&id).expect("it is answered at once")
	}

	/// Tells it something that is answered some time.
	pub fn call(&mut self, event: impl FnOnce(CallId) -> Event) -> CallId {
		let id = CallId(self.next_call);
		self.next_call += 1;
		self.tell(event(id));
		id
	}

	pub fn status(&self) -> EnclaveStatus {
		self.machine.status()
	}

	/// Has another member's answer to a body checked and told.
	pub fn body_sent(
		&mut self,
		to: &Member,
		body: &ReplicatedBody,
		answer: Result<Answer, MachineError>,
	) {
		let genesis = self.machine.config().genesis;
		let acknowledgement = answer.ok().and_then(|answer| match answer {
			Answer::Acknowledged(one) => ProvenAcknowledgement::verify(genesis, to, body, one).ok(),
			_ => None,
		});
		let ReplicatedBody { agent, new_hash, .. } = *body;
		self.tell(Event::BodySent { to: to.worker, agent, new_hash, acknowledgement });
	}

	/// A failure in a turn that no message of the chain caused.
	pub fn fail(&mut self) {
		self.fail_on(0);
	}

	/// The same, about `subject`.
	pub fn fail_on(&mut self, subject: u8) {
		self.machine.fail_next(Culprit::Event { kind: "test", subject: H256([subject; 32]) });
		self.rebuilt += 1;
		let mut events = VecDeque::new();
		for action in self.machine.recover() {
			self.carry_out(action, &mut events);
		}
	}

	/// The sandbox: ends a run.
	pub fn end_run(&mut self, run: &Run, done: RunDone) {
		self.tell(Event::RunEnded { agent: run.agent, run: run.id, result: Ok(done) });
	}
}
