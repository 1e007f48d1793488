//! What the client's threads and its callers share: who waits for what.

use super::Timing;
use crate::{
	error::{StoreError, UnavailableError},
	limits::ANSWER_WAITS_MAX,
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
	/// In the order in which they were asked.
	pending: BTreeMap<u64, Pending>,
	/// Of the process that is there now: how many answers it gave, and when the last.
	answers: u64,
	answered: Option<Instant>,
	/// Some process has opened a file.
	has_opened: bool,
	status: Status,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
	Opening,
	Open,
	Down(UnavailableError),
}

struct Pending {
	/// When it was asked, or could be answered first.
	since: Instant,
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
	pub unavailable: Option<UnavailableError>,
	/// How often it was started.
	pub starts: u64,
	/// How often its file was set aside.
	pub set_aside: u64,
	/// How often it opened a file without pages, after its first: what was put before is gone, whoever
	/// took it away and whether anybody lived to say so.
	pub emptied: u64,
	/// What it said when it last opened its file.
	pub opened: Opened,
}

/// What the supervisor does next.
pub enum Watch {
	Until(Instant),
	/// Somebody waits, and for as long as anybody waits there was no answer.
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
			answers: 0,
			answered: None,
			has_opened: false,
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
		let (since, expected) = (Instant::now(), Expected::of(request));
		state.pending.insert(id, Pending { since, expected, reply: Some(reply), _room: room });
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
		(state.answers, state.answered) = (0, None);
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
		let aside = opened.set_aside.is_some();
		state.status.set_aside = state.status.set_aside.saturating_add(u64::from(aside));
		let is_empty = state.has_opened && (aside || opened.stored.pages == 0);
		state.status.emptied = state.status.emptied.saturating_add(u64::from(is_empty));
		state.status.opened = opened;
		state.has_opened = true;
		let since = Instant::now();
		for pending in state.pending.values_mut() {
			pending.since = since;
		}
	}

	/// How many answers the process gave that is there, or was there last.
	pub fn answers(&self) -> u64 {
		self.lock().answers
	}

	/// Nobody is there. Who waits is told.
	pub fn down(&self, why: UnavailableError, to_all: &StoreError) {
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
		let answer = self.timing.answer;
		let next = later(now, answer);
		if state.phase == Phase::Open {
			let Some(first) = state.pending.values().next().map(|pending| pending.since) else {
				return Watch::Until(next);
			};
			// Who answers others has much to do; but nobody waits for ever.
			let since = state.answered.map_or(first, |answered| answered.max(first));
			let due =
				later(since, answer).min(later(first, answer.saturating_mul(ANSWER_WAITS_MAX)));
			return if due > now { Watch::Until(due.min(next)) } else { Watch::Overdue };
		}
		for pending in state.pending.values_mut() {
			let due = later(pending.since, answer);
			if due > now {
				return Watch::Until(due.min(next));
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
		let answer = self.timing.answer;
		let ms = u64::try_from(answer.as_millis()).unwrap_or(u64::MAX);
		let mut state = self.lock();
		let is_overdue = |pending: &&mut Pending| later(pending.since, answer) <= now;
		for pending in state.pending.values_mut().take_while(is_overdue) {
			if let Some(reply) = pending.reply.take() {
				let _ = reply.send(Err(StoreError::Silent { ms }));
			}
		}
	}

	/// What an answer of this number can be.
	pub fn expected(&self, id: u64) -> Option<Expected> {
		self.lock().pending.get(&id).map(|pending| pending.expected.clone())
	}

	pub fn answered(&self, id: u64, answer: Reply, now: Instant) {
		let mut state = self.lock();
		if answer.is_ok() {
			state.answers = state.answers.saturating_add(1);
			state.answered = Some(now);
		}
		let pending = state.pending.remove(&id);
		drop(state);
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

pub fn after(wait: Duration) -> Instant {
	later(Instant::now(), wait)
}

/// At once where the clock ends.
fn later(since: Instant, wait: Duration) -> Instant {
	since.checked_add(wait).unwrap_or(since)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::protocol::Usage;
	use std::sync::Arc;
	use tokio::sync::Semaphore;

	const SECOND: Duration = Duration::from_secs(1);

	/// Somebody asks for so much at once.
	fn asked(requests: u64) -> (Shared, Instant, Vec<oneshot::Receiver<Reply>>) {
		let shared = Shared::new(Timing { answer: 20 * SECOND, ..Timing::default() }).0;
		shared.opened(Opened::default());
		let room = Arc::new(Semaphore::new(requests as usize));
		let submit = |_| {
			let room = room.clone().try_acquire_owned().unwrap();
			shared.submit(&Request::Usage { agent: Default::default() }, room)
		};
		let replies = (0..requests).map(submit).collect();
		let asked = Instant::now();
		for pending in shared.lock().pending.values_mut() {
			pending.since = asked;
		}
		(shared, asked, replies)
	}

	fn is_overdue(shared: &Shared, at: Instant) -> bool {
		matches!(shared.watch(at), Watch::Overdue)
	}

	#[test]
	fn who_answers_others_is_not_silent_and_who_answers_nobody_is() {
		let (shared, asked, _replies) = asked(3);
		assert!(!is_overdue(&shared, asked + 19 * SECOND));
		let answer = || Ok(Answer::Usage(Usage::default()));
		shared.answered(1, answer(), asked + 19 * SECOND);
		assert!(!is_overdue(&shared, asked + 38 * SECOND), "the last answer was 19 s ago");
		shared.answered(2, answer(), asked + 38 * SECOND);
		assert!(!is_overdue(&shared, asked + 57 * SECOND));
		assert_eq!(shared.answers(), 2);
		assert!(is_overdue(&shared, asked + 58 * SECOND), "none for 20 s");
	}

	#[test]
	fn what_is_never_answered_is_overdue_though_all_else_is() {
		let (shared, asked, mut replies) = asked(100);
		for id in 2..=59 {
			let at = asked + id as u32 * SECOND;
			assert!(!is_overdue(&shared, at), "{id} s");
			shared.answered(id, Ok(Answer::Usage(Usage::default())), at);
		}
		let end = asked + 60 * SECOND;
		assert!(is_overdue(&shared, end));
		shared.tell_overdue(end);
		assert_eq!(replies[0].try_recv(), Ok(Err(StoreError::Silent { ms: 20_000 })));
	}

	#[test]
	fn a_file_that_is_gone_is_noticed_whoever_took_it_away() {
		let shared = Shared::new(Timing::default()).0;
		let file = |pages, set_aside| {
			shared.opened(Opened { set_aside, stored: Usage { pages, ..Usage::default() } });
			shared.status().emptied
		};
		assert_eq!(file(0, Some(1)), 0, "nobody put anything before the first");
		assert_eq!(file(3, None), 0);
		assert_eq!(file(0, Some(2)), 1, "it was damaged");
		assert_eq!(file(5, None), 1);
		assert_eq!(file(0, None), 2, "it was removed, or set aside by a process that did not live");
	}

	#[test]
	fn nobody_is_waited_for_when_nobody_waits() {
		let (shared, asked, _) = asked(0);
		assert!(!is_overdue(&shared, asked + 1000 * SECOND));
	}
}
