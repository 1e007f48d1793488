//! What the client's threads and its callers share: who waits for what.

use super::Timing;
use crate::{
	error::{StoreError, Unavailable},
	protocol::{frame, Answer, Expected, Opened, Request},
};
use std::{
	collections::BTreeMap,
	sync::{mpsc, Mutex, MutexGuard, PoisonError},
	time::{Duration, Instant},
};
use tokio::sync::{oneshot, OwnedSemaphorePermit};

pub type Reply = Result<Answer, StoreError>;

pub struct Shared {
	pub timing: Timing,
	state: Mutex<State>,
}

struct State {
	phase: Phase,
	/// Frames for the process.
	outgoing: Option<mpsc::Sender<Vec<u8>>>,
	last_id: u64,
	/// In the order in which they were asked, which is that of their deadlines.
	pending: BTreeMap<u64, Pending>,
	status: Status,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
	Opening,
	Open,
	Down(Unavailable),
}

struct Pending {
	due: Instant,
	expected: Expected,
	/// None if it was told already that it takes too long; the answer is still to come.
	reply: Option<oneshot::Sender<Reply>>,
	_room: OwnedSemaphorePermit,
}

/// How the process is, and was since [`Store::start`](super::Store::start).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
	/// It has its file open.
	pub is_open: bool,
	/// The process's number, while there is one.
	pub process: Option<u32>,
	/// Why there is none, or why it does not serve.
	pub unavailable: Option<Unavailable>,
	/// How often it was started.
	pub starts: u64,
	/// How often its file was set aside.
	pub set_aside: u64,
	/// What it said when it last opened its file.
	pub opened: Opened,
}

/// What the supervisor does next.
pub enum Watch {
	Until(Instant),
	/// Somebody waited as long as anybody waits.
	Overdue,
}

impl Shared {
	pub fn new(timing: Timing) -> (Self, mpsc::Receiver<Vec<u8>>) {
		let (outgoing, frames) = mpsc::channel();
		let state = State {
			phase: Phase::Opening,
			outgoing: Some(outgoing),
			last_id: 0,
			pending: BTreeMap::new(),
			status: Status::default(),
		};
		(Self { timing, state: Mutex::new(state) }, frames)
	}

	/// Nobody panics while he has it.
	fn lock(&self) -> MutexGuard<'_, State> {
		self.state.lock().unwrap_or_else(PoisonError::into_inner)
	}

	pub fn status(&self) -> Status {
		let state = self.lock();
		let unavailable = match state.phase {
			Phase::Down(why) => Some(why),
			Phase::Opening | Phase::Open => None,
		};
		Status { is_open: state.phase == Phase::Open, unavailable, ..state.status }
	}

	/// Whether requests wait for the file to be opened.
	pub fn is_opening(&self) -> bool {
		self.lock().phase == Phase::Opening
	}

	pub fn submit(
		&self,
		request: &Request,
		room: OwnedSemaphorePermit,
	) -> oneshot::Receiver<Reply> {
		let (reply, receiver) = oneshot::channel();
		let mut state = self.lock();
		if let Phase::Down(why) = state.phase {
			let _ = reply.send(Err(StoreError::Unavailable(why)));
			return receiver;
		}
		state.last_id = state.last_id.saturating_add(1);
		let id = state.last_id;
		let due = after(self.timing.answer);
		let expected = Expected::of(request);
		state.pending.insert(id, Pending { due, expected, reply: Some(reply), _room: room });
		if let Some(outgoing) = &state.outgoing {
			// Fails when the process just ended: then all who wait are told.
			let _ = outgoing.send(frame(id, request));
		}
		receiver
	}

	/// A process is started; requests may come.
	pub fn opening(&self) -> mpsc::Receiver<Vec<u8>> {
		let (outgoing, frames) = mpsc::channel();
		let mut state = self.lock();
		state.phase = Phase::Opening;
		state.outgoing = Some(outgoing);
		frames
	}

	pub fn started(&self, process: u32) {
		let mut state = self.lock();
		state.status.starts = state.status.starts.saturating_add(1);
		state.status.process = Some(process);
	}

	pub fn opened(&self, opened: Opened) {
		let mut state = self.lock();
		state.phase = Phase::Open;
		state.status.opened = opened;
		let aside = u64::from(opened.set_aside.is_some());
		state.status.set_aside = state.status.set_aside.saturating_add(aside);
		let due = after(self.timing.answer);
		for pending in state.pending.values_mut() {
			pending.due = due;
		}
	}

	/// Nobody is there. Who waits is told.
	pub fn down(&self, why: Unavailable, to_all: &StoreError) {
		let mut state = self.lock();
		state.phase = Phase::Down(why);
		state.outgoing = None;
		state.status.process = None;
		let pending = std::mem::take(&mut state.pending);
		drop(state);
		for pending in pending.into_values() {
			pending.reply(Err(to_all.clone()));
		}
	}

	pub fn close_input(&self) {
		self.lock().outgoing = None;
	}

	pub fn watch(&self, now: Instant) -> Watch {
		let mut state = self.lock();
		let is_open = state.phase == Phase::Open;
		let next = after(self.timing.answer);
		for pending in state.pending.values_mut() {
			if pending.due > now {
				return Watch::Until(next.min(pending.due));
			}
			if is_open {
				return Watch::Overdue;
			}
			// Opening has a deadline of its own.
			if let Some(reply) = pending.reply.take() {
				let _ = reply.send(Err(StoreError::Opening));
			}
		}
		Watch::Until(next)
	}

	/// Those who waited too long are told so; the others find out that the process is gone.
	pub fn tell_overdue(&self, now: Instant) {
		let ms = u64::try_from(self.timing.answer.as_millis()).unwrap_or(u64::MAX);
		let mut state = self.lock();
		for pending in state.pending.values_mut().take_while(|pending| pending.due <= now) {
			if let Some(reply) = pending.reply.take() {
				let _ = reply.send(Err(StoreError::Silent { ms }));
			}
		}
	}

	/// What an answer of this number can be.
	pub fn expected(&self, id: u64) -> Option<Expected> {
		self.lock().pending.get(&id).map(|pending| pending.expected.clone())
	}

	pub fn answered(&self, id: u64, answer: Reply) {
		let pending = self.lock().pending.remove(&id);
		if let Some(pending) = pending {
			pending.reply(answer);
		}
	}
}

impl Pending {
	fn reply(self, answer: Reply) {
		if let Some(reply) = self.reply {
			// Whoever asked may not wait any more.
			let _ = reply.send(answer);
		}
	}
}

/// Far away where the clock ends.
pub fn after(wait: Duration) -> Instant {
	let now = Instant::now();
	now.checked_add(wait).unwrap_or(now)
}
