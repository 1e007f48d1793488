//! The enclave's side: asks the process, believes nothing of it, starts it again.

mod launch;
mod shared;
mod supervisor;

pub use launch::{Connection, End, Launcher, Life, StoreConfig, StoreProcess};
pub use shared::Status;

use crate::{
	error::StoreError,
	limits::{
		AGENTS_PER_FRAME_MAX, ANSWER_MS_MAX, CALM_MS, CLOSE_MS_MAX, NAMES_PER_FRAME_MAX,
		NAMES_PER_PAGE, OPEN_MS_MAX, PAGES_PER_FRAME_MAX, PAGE_BYTES_MAX, READS_PAGES_MAX,
		RESTART_MS_MAX, RESTART_MS_MIN, WRITES_PAGES_MAX,
	},
	protocol::{Answer, Request, Statistics, Usage},
	UnavailableError,
};
use futures::executor::block_on;
use phala_protocol::{agents::AgentId, H256};
use shared::{Reply, Shared};
use std::{
	io,
	sync::{
		mpsc::{channel, Sender},
		Arc, Mutex, PoisonError,
	},
	thread::{self, JoinHandle},
	time::Duration,
};
use supervisor::{Event, Supervisor};
use tokio::sync::{oneshot, Semaphore};

/// How long the process may take, and how soon it is started again.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
	pub answer: Duration,
	pub open: Duration,
	pub close: Duration,
	pub restart_min: Duration,
	pub restart_max: Duration,
	pub calm: Duration,
}

impl Default for Timing {
	fn default() -> Self {
		Self {
			answer: Duration::from_millis(ANSWER_MS_MAX),
			open: Duration::from_millis(OPEN_MS_MAX),
			close: Duration::from_millis(CLOSE_MS_MAX),
			restart_min: Duration::from_millis(RESTART_MS_MIN),
			restart_max: Duration::from_millis(RESTART_MS_MAX),
			calm: Duration::from_millis(CALM_MS),
		}
	}
}

/// The store, for any number of tasks and threads. The process ends with the last handle.
///
/// A future that is let go does not take back what it asked for: its pages may be stored.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

struct Handle {
	shared: Arc<Shared>,
	events: Sender<Event>,
	supervisor: Mutex<Option<JoinHandle<()>>>,
	reads: Arc<Semaphore>,
	writes: Arc<Semaphore>,
}

impl Drop for Handle {
	fn drop(&mut self) {
		let _ = self.events.send(Event::Close);
	}
}

/// Which room a request takes.
#[derive(Clone, Copy)]
enum Kind {
	Read,
	Write,
}

const ANOTHER: StoreError = StoreError::Lied { why: "its answer is one to another question" };

impl Store {
	/// Starts the process. Requests may come at once: they wait until it has opened its file.
	pub fn start(config: StoreConfig) -> io::Result<Self> {
		Self::over(StoreProcess(config), Timing::default())
	}

	/// Asks whatever is started by `launcher`.
	pub fn over(launcher: impl Launcher + 'static, timing: Timing) -> io::Result<Self> {
		let (shared, frames) = Shared::new(timing);
		let shared = Arc::new(shared);
		let (events, inbox) = channel();
		let supervisor = Supervisor {
			shared: shared.clone(),
			launcher: Box::new(launcher),
			events: inbox,
			reporter: events.clone(),
		};
		let thread = thread::Builder::new().name("store".into());
		let supervisor = thread.spawn(move || supervisor.run(frames))?;
		Ok(Self(Arc::new(Handle {
			shared,
			events,
			supervisor: Mutex::new(Some(supervisor)),
			reads: Arc::new(Semaphore::new(READS_PAGES_MAX as usize)),
			writes: Arc::new(Semaphore::new(WRITES_PAGES_MAX as usize)),
		})))
	}

	/// What is stored under each name, in their order.
	pub async fn get(
		&self,
		agent: &AgentId,
		names: &[H256],
	) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
		let mut found = Vec::with_capacity(names.len());
		for names in names.chunks(PAGES_PER_FRAME_MAX) {
			let request = Request::Get { agent: *agent, names: names.to_vec() };
			let Answer::Pages(pages) = self.ask(Kind::Read, names.len(), request).await? else {
				return Err(ANOTHER);
			};
			found.extend(pages);
		}
		Ok(found)
	}

	/// Which of them are stored.
	pub async fn has(&self, agent: &AgentId, names: &[H256]) -> Result<Vec<bool>, StoreError> {
		let mut found = Vec::with_capacity(names.len());
		for names in names.chunks(NAMES_PER_FRAME_MAX) {
			let request = Request::Has { agent: *agent, names: names.to_vec() };
			let pages = pages_of(names.len());
			let Answer::Present(present) = self.ask(Kind::Read, pages, request).await? else {
				return Err(ANOTHER);
			};
			found.extend(present);
		}
		Ok(found)
	}

	/// Stores all. They are durable when it returns, before that any part of them may be; one that was
	/// stored before is replaced. Those of one frame are refused all or none.
	pub async fn put(&self, agent: &AgentId, pages: &[(H256, Vec<u8>)]) -> Result<(), StoreError> {
		let longest = pages.iter().map(|(_, page)| page.len()).max().unwrap_or(0);
		if longest > PAGE_BYTES_MAX {
			return Err(StoreError::PageTooLong { bytes: longest });
		}
		let requests = pages
			.chunks(PAGES_PER_FRAME_MAX)
			.map(|pages| (pages.len(), Request::Put { agent: *agent, pages: pages.to_vec() }));
		self.write_all(requests).await
	}

	/// Deletes all; what is not there is no error.
	pub async fn delete(&self, agent: &AgentId, names: &[H256]) -> Result<(), StoreError> {
		let requests = names
			.chunks(NAMES_PER_FRAME_MAX)
			.map(|names| (names, Request::Delete { agent: *agent, names: names.to_vec() }))
			.map(|(names, request)| (pages_of(names.len()), request));
		self.write_all(requests).await
	}

	/// At most so many of the names that are stored, in ascending order, after one. Fewer than that say
	/// that there are no more, or that the file is damaged where they would be:
	/// [`Statistics::damages`] counts that.
	pub async fn names(
		&self,
		agent: &AgentId,
		after: Option<H256>,
		names_max: usize,
	) -> Result<Vec<H256>, StoreError> {
		let (mut found, mut after) = (Vec::new(), after);
		while found.len() < names_max {
			let part = names_max.saturating_sub(found.len()).min(NAMES_PER_FRAME_MAX);
			let request = Request::Names { agent: *agent, after, names_max: count(part) };
			let Answer::Names(names) = self.ask(Kind::Read, pages_of(part), request).await? else {
				return Err(ANOTHER);
			};
			let is_last = names.len() < part;
			after = names.last().copied().or(after);
			found.extend(names);
			if is_last {
				break;
			}
		}
		Ok(found)
	}

	/// At most so many agents that have pages, in ascending order, after one, and what they take. To
	/// find those that this worker has no more use for.
	pub async fn agents(
		&self,
		after: Option<AgentId>,
		agents_max: usize,
	) -> Result<Vec<(AgentId, Usage)>, StoreError> {
		let agents_max = count(agents_max.min(AGENTS_PER_FRAME_MAX));
		match self.ask(Kind::Read, 1, Request::Agents { after, agents_max }).await? {
			Answer::Agents(agents) => Ok(agents),
			_ => Err(ANOTHER),
		}
	}

	/// What an agent takes.
	pub async fn usage(&self, agent: &AgentId) -> Result<Usage, StoreError> {
		match self.ask(Kind::Read, 1, Request::Usage { agent: *agent }).await? {
			Answer::Usage(usage) => Ok(usage),
			_ => Err(ANOTHER),
		}
	}

	/// What the process says of itself.
	pub async fn statistics(&self) -> Result<Statistics, StoreError> {
		match self.ask(Kind::Read, 1, Request::Statistics).await? {
			Answer::Statistics(statistics) => Ok(statistics),
			_ => Err(ANOTHER),
		}
	}

	/// How the process is, without asking it.
	pub fn status(&self) -> Status {
		self.0.shared.status()
	}

	/// The same for one thread, which waits.
	pub fn blocking(&self) -> Blocking {
		Blocking(self.clone())
	}

	/// Ends the process in order, and waits for that, for all handles: what is under way is told, later
	/// requests are refused. The next start is quicker for it. Whoever closes it again waits as well.
	pub fn close(&self) {
		let _ = self.0.events.send(Event::Close);
		// Locked until it has ended.
		let mut supervisor = self.0.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
		if let Some(supervisor) = supervisor.take() {
			// A panic in it is a bug, and over.
			let _ = supervisor.join();
		}
	}

	/// All are sent before the first is waited for, so that they share a flush. The first error, once
	/// all are answered.
	async fn write_all(
		&self,
		requests: impl Iterator<Item = (usize, Request)>,
	) -> Result<(), StoreError> {
		let mut waiting = Vec::new();
		for (pages, request) in requests {
			waiting.push(self.send(Kind::Write, pages, request).await?);
		}
		let mut result = Ok(());
		for answer in waiting {
			let done = match received(answer).await {
				Ok(Answer::Done) => Ok(()),
				Ok(_) => Err(ANOTHER),
				Err(error) => Err(error),
			};
			result = result.and(done);
		}
		result
	}

	async fn ask(&self, kind: Kind, pages: usize, request: Request) -> Result<Answer, StoreError> {
		received(self.send(kind, pages, request).await?).await
	}

	/// Waits for room, then sends.
	async fn send(
		&self,
		kind: Kind,
		pages: usize,
		request: Request,
	) -> Result<oneshot::Receiver<Reply>, StoreError> {
		let room = match kind {
			Kind::Read => &self.0.reads,
			Kind::Write => &self.0.writes,
		};
		let (room, pages) = (room.clone(), count(pages.max(1)));
		// Opening may take long, and so would whoever has the room.
		let room = if self.0.shared.is_opening() {
			room.try_acquire_many_owned(pages).map_err(|_| StoreError::Opening)?
		} else {
			let room = room.acquire_many_owned(pages).await;
			room.map_err(|_| StoreError::Unavailable(UnavailableError::Closed))?
		};
		Ok(self.0.shared.submit(&request, room))
	}
}

async fn received(answer: oneshot::Receiver<Reply>) -> Reply {
	match answer.await {
		Ok(Ok(Answer::Refused(refusal))) => Err(StoreError::Refused(refusal)),
		Ok(reply) => reply,
		Err(_) => Err(StoreError::Died),
	}
}

/// How many pages so many names count as.
fn pages_of(names: usize) -> usize {
	names.div_ceil(NAMES_PER_PAGE)
}

/// Of what is bounded far below.
fn count(count: usize) -> u32 {
	u32::try_from(count).unwrap_or(u32::MAX)
}

/// [`Store`] for a thread, which waits for each answer: not for a task of a runtime.
#[derive(Clone)]
pub struct Blocking(Store);

impl Blocking {
	pub fn get(&self, agent: &AgentId, names: &[H256]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
		block_on(self.0.get(agent, names))
	}

	pub fn has(&self, agent: &AgentId, names: &[H256]) -> Result<Vec<bool>, StoreError> {
		block_on(self.0.has(agent, names))
	}

	pub fn put(&self, agent: &AgentId, pages: &[(H256, Vec<u8>)]) -> Result<(), StoreError> {
		block_on(self.0.put(agent, pages))
	}

	pub fn delete(&self, agent: &AgentId, names: &[H256]) -> Result<(), StoreError> {
		block_on(self.0.delete(agent, names))
	}

	pub fn names(
		&self,
		agent: &AgentId,
		after: Option<H256>,
		names_max: usize,
	) -> Result<Vec<H256>, StoreError> {
		block_on(self.0.names(agent, after, names_max))
	}

	pub fn agents(
		&self,
		after: Option<AgentId>,
		agents_max: usize,
	) -> Result<Vec<(AgentId, Usage)>, StoreError> {
		block_on(self.0.agents(after, agents_max))
	}

	pub fn usage(&self, agent: &AgentId) -> Result<Usage, StoreError> {
		block_on(self.0.usage(agent))
	}

	pub fn statistics(&self) -> Result<Statistics, StoreError> {
		block_on(self.0.statistics())
	}
}
