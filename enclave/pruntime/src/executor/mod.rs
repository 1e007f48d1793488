//! Gives the machine its turns, one after another on a thread of its own, and carries out what it
//! wants done. Nothing is decided here: whatever comes back is an event for the machine.
//!
//! Readers take the published snapshot and wait for nobody. Public-key cryptography runs on a pool,
//! before the turn (what comes from outside) and after it (what goes there); no lock is held while it
//! does. Each [`Lane`] of the pool has as many places as there are processors.

mod calls;
pub mod peers;
pub mod sandbox;
#[cfg(all(test, feature = "software-evidence"))]
pub mod testing;
mod turns;
mod units;

pub use turns::Recording;

use crate::{
	limits,
	platform::Platform,
	store::{PageStore, Store},
	sync::lock,
};
use calls::{AgentCalls, Callers};
use codec::Encode;
use peers::{CatchUps, Peers};
use phala_machine::{
	limits::LISTED_NAMES_MAX,
	verify::ProvenAcknowledgement,
	worker::{Run, RunEnd, RunFailed},
	Action, Answer, CallId, Event, EvidenceRequest, Instant, Machine, MachineError, ReplicatedBody,
	Snapshot, Task,
};
use phala_protocol::{
	agents::{AgentCode, AgentId},
	clusters::Member,
	refusals::Refusal,
	requests::{CallInput, LogEntry},
	H256,
};
use phala_sandbox::{AgentCall, AgentReply, HostError, RefusalKind};
use sandbox::{Outside, Sandbox};
use std::{
	collections::BTreeSet,
	sync::{mpsc, Arc, Mutex},
	time::Duration,
};
use tokio::sync::{oneshot, watch, Semaphore};

/// What the shell does the machine's will with.
pub struct Ports {
	pub platform: Box<dyn Platform>,
	pub sandbox: Arc<dyn Sandbox>,
	pub peers: Box<dyn Peers>,
	pub store: Box<dyn Store>,
	pub pages: Box<dyn PageStore>,
}

/// The machine at work. Cheap to clone.
#[derive(Clone)]
pub struct Executor(Arc<Inner>);

struct Inner {
	ports: Ports,
	events: mpsc::Sender<Event>,
	snapshot: watch::Sender<Arc<Snapshot>>,
	callers: Callers,
	agent_calls: AgentCalls,
	machine_lane: Arc<Semaphore>,
	member_lane: Arc<Semaphore>,
	caller_lane: Arc<Semaphore>,
	catch_ups: CatchUps,
	/// How often the disk had begun empty when the machine heard of it last.
	emptied: Mutex<u64>,
}

/// Whose work it is: nobody has to wait for another lane's.
#[derive(Clone, Copy, Debug)]
pub enum Lane {
	/// What the machine wants done, and what its relayer brings: a heartbeat waits for no caller.
	Machine,
	/// What other members bring.
	Members,
	/// What anybody asks for.
	Callers,
}

impl Executor {
	/// Starts to work, until the last handle and all that is under way are gone.
	pub fn start(machine: Machine, ports: Ports, recording: Option<Recording>) -> Self {
		let (executor, inbox) = Self::open(&machine, ports);
		turns::spawn(machine, inbox, executor.clone(), recording);
		executor
	}

	/// One that looks after the disk, and whoever has the other end takes what happens.
	fn open(machine: &Machine, ports: Ports) -> (Self, mpsc::Receiver<Event>) {
		let (events, inbox) = mpsc::channel();
		let (snapshot, _) = watch::channel(Arc::new(machine.snapshot()));
		let processors = std::thread::available_parallelism().map_or(1, usize::from);
		let lane = || Arc::new(Semaphore::new(processors));
		let inner = Arc::new(Inner {
			ports,
			events,
			snapshot,
			callers: Callers::default(),
			agent_calls: AgentCalls::default(),
			machine_lane: lane(),
			member_lane: lane(),
			caller_lane: lane(),
			catch_ups: CatchUps::default(),
			emptied: Mutex::default(),
		});
		Self::watch_disk(&inner);
		(Self(inner), inbox)
	}

	/// What can be read of the machine now.
	pub fn snapshot(&self) -> Arc<Snapshot> {
		self.0.snapshot.borrow().clone()
	}

	/// Waits until what can be read of the machine is so.
	pub async fn wait_until(&self, is_so: impl Fn(&Snapshot) -> bool) {
		let mut snapshots = self.0.snapshot.subscribe();
		// Fails only when the sender is gone, which is in `self`.
		let _ = snapshots.wait_for(|snapshot| is_so(snapshot)).await;
	}

	/// Now, on the platform's counter.
	pub fn now(&self) -> Instant {
		self.0.ports.platform.now()
	}

	pub fn platform(&self) -> &dyn Platform {
		&*self.0.ports.platform
	}

	pub fn store(&self) -> &dyn Store {
		&*self.0.ports.store
	}

	pub fn pages(&self) -> &dyn PageStore {
		&*self.0.ports.pages
	}

	/// Something happened. The machine hears of it in its turn.
	pub fn tell(&self, event: Event) {
		// Fails only when the machine's thread is gone: then the process is about to end.
		let _ = self.0.events.send(event);
	}

	/// Something happened that somebody waits for an answer to.
	pub async fn ask(&self, event: impl FnOnce(CallId) -> Event) -> Result<Answer, MachineError> {
		let (id, answer) = self.0.callers.wait();
		self.tell(event(id));
		answer.await.unwrap_or(Err(MachineError::Interrupted))
	}

	/// Has `work` done on the pool, as for cryptography.
	pub async fn compute<T: Send + 'static>(
		&self,
		lane: Lane,
		work: impl FnOnce(&Self) -> T + Send + 'static,
	) -> Result<T, MachineError> {
		let executor = self.clone();
		let lane = match lane {
			Lane::Machine => &self.0.machine_lane,
			Lane::Members => &self.0.member_lane,
			Lane::Callers => &self.0.caller_lane,
		};
		let place = lane.clone().acquire_owned().await;
		let placed = move || {
			// The work's, not its caller's: it goes on when nobody waits for it any more.
			let _place = place;
			work(&executor)
		};
		// A panic is that of a bug in what was to be checked: it is refused.
		tokio::task::spawn_blocking(placed).await.map_err(|_| MachineError::Interrupted)
	}

	/// As [`Self::compute`], for what is checked against the newest snapshot.
	pub async fn verify<T: Send + 'static>(
		&self,
		lane: Lane,
		check: impl FnOnce(&Snapshot, Instant) -> Result<T, MachineError> + Send + 'static,
	) -> Result<T, MachineError> {
		self.compute(lane, |executor| check(&executor.snapshot(), executor.now())).await?
	}

	fn carry_out(&self, action: Action) {
		let executor = self.clone();
		match action {
			Action::Reply { to, answer } => self.reply(to, answer),
			Action::Publish(snapshot) => {
				self.0.snapshot.send_replace(snapshot);
			}
			Action::Keep(kept) => {
				self.0.ports.store.keep(&kept);
				self.0.ports.sandbox.keep(&kept.programs);
				tokio::spawn(async move { executor.find_code(kept.code).await });
			}
			Action::ShowProof(proof) => self.0.ports.store.put_proof(*proof),
			Action::MakeEvidence(request) => {
				tokio::spawn(async move { executor.make_evidence(request).await });
			}
			Action::Compute(task) => {
				tokio::spawn(async move { executor.run_task(*task).await });
			}
			Action::Run(run) => {
				tokio::spawn(async move { executor.run(*run).await });
			}
			Action::Send { to, body } => {
				tokio::spawn(async move { executor.send(to, body).await });
			}
			Action::Ping { member } => {
				tokio::spawn(async move { executor.ping(member).await });
			}
			Action::StorePages { id, agent, put, delete } => {
				tokio::spawn(async move { executor.store_pages(id, agent, put, delete).await });
			}
			Action::ReadPages { id, agent, names } => {
				tokio::spawn(async move { executor.read_pages(id, agent, names).await });
			}
			Action::ListPages { id, agent, after } => {
				tokio::spawn(async move { executor.list_pages(id, agent, after).await });
			}
			Action::FetchPages { id, from, agent, names, question } => {
				let asked = names.len();
				tokio::spawn(async move {
					executor.fetch_pages(id, from, agent, asked, question).await;
				});
			}
			Action::FetchCode { from, hash } => {
				tokio::spawn(async move { executor.fetch_code(from, hash).await });
			}
			Action::Compile(code) => {
				tokio::spawn(async move { executor.compile(code).await });
			}
		}
	}

	fn reply(&self, to: CallId, answer: Result<Answer, MachineError>) {
		match answer {
			// What another agent's run waits for comes from the run itself, or is a refusal.
			Err(refused) if self.0.agent_calls.has(to) => {
				if let Some(call) = self.0.agent_calls.take(to) {
					call.refuse(refused);
				}
			}
			answer => self.0.callers.answer(to, answer),
		}
	}

	/// A machine that was rebuilt, or started with agents or on a disk, does not know what is here.
	async fn find_code(&self, wanted: BTreeSet<H256>) {
		let found = self.compute(Lane::Machine, move |executor| {
			for hash in wanted {
				if executor.store().code(&hash).is_some() {
					executor.tell(Event::CodeStored { hash });
				}
			}
		});
		if let Err(error) = found.await {
			tracing::warn!("the disk was not searched for code: {error}");
		}
	}

	async fn make_evidence(&self, request: EvidenceRequest) {
		let report_data = request.report_data;
		let made = self.compute(Lane::Machine, move |executor| {
			let evidence = executor.platform().evidence(&report_data);
			evidence.map(|evidence| evidence.encode()).map_err(|error| error.to_string())
		});
		let evidence = made.await.unwrap_or_else(|error| Err(error.to_string()));
		self.tell(Event::EvidenceMade { request, evidence });
	}

	async fn run_task(&self, task: Task) {
		let id = task.id();
		let done = self.compute(Lane::Machine, move |executor| {
			executor.platform().seed().map(|seed| task.run(seed)).map_err(|error| {
				tracing::error!("no cryptography: {error}");
			})
		});
		// A panic in it too comes back as an error.
		self.tell(match done.await {
			Ok(Ok(done)) => Event::Computed(Box::new(done)),
			Ok(Err(())) | Err(_) => Event::TaskFailed { task: id },
		});
	}

	async fn run(&self, run: Run) {
		let (agent, id) = (run.agent, run.id);
		let outside: Arc<dyn Outside> = Arc::new(self.clone());
		let Some(to) = run.called_by_agent else {
			let executor = self.clone();
			let ended = tokio::spawn(async move {
				executor.0.ports.sandbox.run(run, None, None, outside).await
			});
			// A panic is that of a bug in the sandbox: the run fails by it, and nothing waits for it.
			let result = ended.await.map_or_else(
				|_| {
					let message = "the sandbox failed; report this".into();
					Err(RunEnd::Failed(RunFailed { refusal: Refusal::Host, message, units: 0 }))
				},
				sandbox::result_of,
			);
			self.tell(Event::RunEnded { agent, run: id, result });
			return;
		};
		if let Some(call) = self.0.agent_calls.take(to) {
			let executor = self.clone();
			let ran = tokio::spawn(async move {
				call.run(&*executor.0.ports.sandbox, run, outside).await;
			});
			// After a panic its caller hears nothing from it, and gives up.
			let _ = ran.await;
		}
		self.tell(Event::RunEnded { agent, run: id, result: Err(RunEnd::NotRun) });
	}

	async fn send(&self, to: Member, body: Arc<ReplicatedBody>) {
		let (agent, new_hash, worker) = (body.agent, body.new_hash, to.worker);
		let given = self.0.ports.peers.keep(&to, &body).await;
		let genesis = self.snapshot().config.genesis;
		let checked = self.compute(Lane::Machine, move |_| {
			given.and_then(|availability| {
				Ok(ProvenAcknowledgement::verify(genesis, &to, &body, availability)?)
			})
		});
		let acknowledgement = checked
			.await
			.unwrap_or_else(|failed| Err(failed.into()))
			.inspect_err(|error| tracing::debug!(worker, "does not keep a body: {error:#}"))
			.ok();
		self.tell(Event::BodySent { to: worker, agent, new_hash, acknowledgement });
	}

	async fn ping(&self, member: Member) {
		let Member { worker, boot, .. } = member;
		let answer = self.0.ports.peers.ping(&member).await;
		let answer =
			answer.inspect_err(|error| tracing::debug!(worker, "does not answer: {error:#}")).ok();
		self.tell(Event::Pinged { worker, boot, answer });
	}

	async fn store_pages(
		&self,
		id: u64,
		agent: AgentId,
		put: Vec<(H256, Vec<u8>)>,
		delete: Vec<H256>,
	) {
		let done = self.pages().store(agent, &put, &delete).await;
		let is_done =
			done.inspect_err(|error| tracing::warn!("the disk keeps no pages: {error:#}")).is_ok();
		self.tell_of_disk(Some(Event::PagesStored { id, agent, is_done }));
	}

	/// What the disk did. If it has begun empty, what it had before is gone: the machine hears of that first.
	fn tell_of_disk(&self, event: Option<Event>) {
		let mut heard = lock(&self.0.emptied);
		let emptied = self.pages().emptied();
		if std::mem::replace(&mut *heard, emptied) != emptied {
			self.tell(Event::StoreEmptied);
		}
		if let Some(event) = event {
			self.tell(event);
		}
	}

	/// Looks at the disk again and again: nobody may be writing when it begins empty.
	fn watch_disk(inner: &Arc<Inner>) {
		let inner = Arc::downgrade(inner);
		tokio::spawn(async move {
			loop {
				tokio::time::sleep(Duration::from_millis(limits::DISK_LOOK_MS)).await;
				let Some(inner) = inner.upgrade() else { return };
				Self(inner).tell_of_disk(None);
			}
		});
	}

	async fn read_pages(&self, id: u64, agent: AgentId, names: Vec<H256>) {
		let read = self.pages().get(agent, &names).await;
		let pages = read.inspect_err(|error| tracing::warn!("the disk reads no pages: {error:#}"));
		self.tell_of_disk(Some(Event::PagesCame { id, agent, pages: pages.ok() }));
	}

	async fn list_pages(&self, id: u64, agent: AgentId, after: Option<H256>) {
		let listed = self.pages().names(agent, after, LISTED_NAMES_MAX).await;
		let names =
			listed.inspect_err(|error| tracing::warn!("the disk lists no pages: {error:#}"));
		self.tell_of_disk(Some(Event::PagesListed { id, agent, names: names.ok() }));
	}

	async fn fetch_pages(
		&self,
		id: u64,
		from: Member,
		agent: AgentId,
		asked: usize,
		question: Vec<u8>,
	) {
		let worker = from.worker;
		let pages = match self.0.catch_ups.begin(worker).await {
			Ok(_place) => self.0.ports.peers.pages(&from, agent, asked, question).await,
			Err(error) => Err(error),
		};
		let pages =
			pages.inspect_err(|error| tracing::debug!(worker, "gives no pages: {error:#}")).ok();
		self.tell(Event::PagesCame { id, agent, pages });
	}

	async fn fetch_code(&self, from: Member, hash: H256) {
		let worker = from.worker;
		let fetched = match self.0.ports.peers.code(&from, hash).await {
			Ok(bytes) => self
				.compute(Lane::Machine, move |executor| executor.store().put_code(hash, bytes))
				.await
				.is_ok_and(|put| put.is_ok()),
			Err(error) => {
				tracing::debug!(worker, "has no code: {error:#}");
				false
			}
		};
		if fetched {
			tracing::info!(?hash, worker, "fetched code");
			self.tell(Event::CodeStored { hash });
		} else {
			self.tell(Event::CodeNotFetched { from: worker, hash });
		}
	}

	async fn compile(&self, code: AgentCode) {
		let store = self.store();
		let (component, manifest) = (store.code(&code.component), store.code(&code.manifest));
		let program = match component.zip(manifest) {
			Some((component, manifest)) => {
				let sandbox = self.0.ports.sandbox.clone();
				tokio::task::spawn_blocking(move || sandbox.compile(code, &component, &manifest))
					.await
					.map_err(|error| error.to_string())
					.and_then(|compiled| compiled.map_err(|refused| refused.to_string()))
			}
			None => Err("it is not in the store".into()),
		};
		self.tell(Event::Compiled { code, program });
	}
}

#[async_trait::async_trait]
impl Outside for Executor {
	async fn call_agent(&self, caller: AgentId, call: AgentCall, log_as: H256) -> AgentReply {
		let wait = Duration::from_millis(call.wall_ms_max);
		let agent = H256(call.agent);
		let input = CallInput {
			method: call.method.clone().into_bytes(),
			path: call.path_and_query.clone().into_bytes(),
			headers: call
				.headers
				.iter()
				.map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()))
				.collect(),
			body: call.body.clone(),
		};
		let (reply, answer) = oneshot::channel();
		let id = self.0.callers.next_id();
		self.0.agent_calls.wait(id, call, log_as, reply);
		let opened = self.compute(Lane::Callers, move |_| {
			Box::new(phala_machine::OpenedCall::by_agent(agent, caller, input))
		});
		match opened.await {
			Ok(call) => self.tell(Event::Called { reply: id, call }),
			Err(failed) => self.reply(id, Err(failed)),
		}
		match tokio::time::timeout(wait, answer).await {
			Ok(Ok(reply)) => reply,
			Ok(Err(_)) | Err(_) => AgentReply::refused(HostError::new(
				RefusalKind::Timeout,
				"the called agent did not answer in time",
			)),
		}
	}

	fn log(&self, agent: AgentId, entry: LogEntry) {
		self.store().log(agent, entry);
	}

	fn seed(&self) -> Result<[u8; 32], HostError> {
		self.platform()
			.seed()
			.map_err(|_| HostError::new(RefusalKind::Unavailable, "the system gives no randomness"))
	}
}
