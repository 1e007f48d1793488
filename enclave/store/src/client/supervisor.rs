//! The thread that starts the process, watches deadlines and starts it again.

use super::{
	launch::{Connection, End, Launcher},
	shared::{after, Shared, Watch},
	Timing,
};
use crate::{
	error::{StoreError, UnavailableError},
	limits::{CALM_ANSWERS, ENDS_UNTIL_SET_ASIDE, HELLO_BYTES_MAX},
	protocol::{read_body, read_head, Hello, OpenError, HELLO_ID, PROTOCOL_VERSION},
};
use codec::DecodeAll;
use std::{
	io::{Read, Write},
	sync::{
		mpsc::{Receiver, RecvTimeoutError, Sender},
		Arc,
	},
	thread,
	time::{Duration, Instant},
};

pub enum Event {
	/// The handle was closed or let go.
	Close,
	/// Of the process of this number.
	Opened(u64),
	Over(u64, Reason),
}

/// Why a process is not spoken with any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
	/// Its output ended.
	Ended,
	Lied(&'static str),
	CannotOpen(OpenError),
	/// It did not open its file in time.
	OpensNever,
	/// It serves, and did not answer in time: its disk is slow, or it has much to do.
	Silent,
	Closed,
}

/// What the ends of processes say of their file.
struct Ends {
	timing: Timing,
	/// How long until the next start.
	delay: Duration,
	/// How many in a row the file may be the reason for.
	failures: u32,
}

impl Ends {
	fn new(timing: Timing) -> Self {
		Self { timing, delay: timing.restart_min, failures: 0 }
	}

	fn is_file_to_be_set_aside(&self) -> bool {
		self.failures >= ENDS_UNTIL_SET_ASIDE
	}

	fn file_is_set_aside(&mut self) {
		self.failures = 0;
	}

	/// How long to wait after the end of a process that lived so long and gave so many answers.
	fn after(&mut self, end: End, lived: Duration, answers: u64) -> Duration {
		if lived >= self.timing.calm || answers >= CALM_ANSWERS {
			*self = Self::new(self.timing);
		}
		self.failures = self.failures.saturating_add(u32::from(end == End::Failed));
		let delay = self.delay;
		self.delay = delay.saturating_mul(2).min(self.timing.restart_max);
		delay
	}
}

pub struct Supervisor {
	pub shared: Arc<Shared>,
	pub launcher: Box<dyn Launcher>,
	pub events: Receiver<Event>,
	/// For the threads that read.
	pub reporter: Sender<Event>,
}

impl Supervisor {
	pub fn run(mut self, mut frames: Receiver<Vec<u8>>) {
		let timing = self.shared.timing;
		let mut ends = Ends::new(timing);
		for number in 0.. {
			let began = Instant::now();
			let set_aside = ends.is_file_to_be_set_aside();
			let (why, end) = match self.launcher.launch(set_aside) {
				Ok(connection) => {
					if set_aside {
						ends.file_is_set_aside();
					}
					self.shared.started(connection.life.id());
					match self.serve(number, connection, frames) {
						(Reason::Closed, _) => return self.closed(),
						(Reason::CannotOpen(why), _) => {
							(UnavailableError::CannotOpen(why), End::Ended)
						}
						(reason, end) => {
							tracing::warn!(?reason, "the page store's process is gone");
							(UnavailableError::Ended, end)
						}
					}
				}
				Err(error) => {
					tracing::error!("the page store's process cannot be started: {error}");
					(UnavailableError::NotStarted(error.kind()), End::Ended)
				}
			};
			let delay = ends.after(end, began.elapsed(), self.shared.answers());
			let told = match why {
				UnavailableError::Ended => StoreError::Died,
				why => StoreError::Unavailable(why),
			};
			self.shared.down(why, &told);
			if !self.wait(delay) {
				return self.closed();
			}
			frames = self.shared.opening();
		}
	}

	fn closed(&self) {
		let why = UnavailableError::Closed;
		self.shared.down(why, &StoreError::Unavailable(why));
	}

	/// Whether it is to go on after so long.
	fn wait(&self, delay: Duration) -> bool {
		let until = after(delay);
		loop {
			match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
				Ok(Event::Close) | Err(RecvTimeoutError::Disconnected) => return false,
				// Of a process that is gone.
				Ok(_) => {}
				Err(RecvTimeoutError::Timeout) => return true,
			}
		}
	}

	/// Until the process is over, by itself or because it is not to go on.
	fn serve(
		&self,
		number: u64,
		connection: Connection,
		frames: Receiver<Vec<u8>>,
	) -> (Reason, End) {
		let Connection { mut input, mut output, mut life } = connection;
		let writer = thread::Builder::new().name("store-writer".into()).spawn(move || {
			while let Ok(frame) = frames.recv() {
				if input.write_all(&frame).and_then(|()| input.flush()).is_err() {
					return;
				}
			}
		});
		let (shared, reporter) = (self.shared.clone(), self.reporter.clone());
		let reader = thread::Builder::new().name("store-reader".into()).spawn(move || {
			let opened = || {
				let _ = reporter.send(Event::Opened(number));
			};
			let reason = read(&shared, &mut output, opened);
			let _ = reporter.send(Event::Over(number, reason));
		});
		let reason = match (&writer, &reader) {
			(Ok(_), Ok(_)) => self.watch(number),
			_ => Reason::Ended,
		};
		let patience = match reason {
			Reason::Ended | Reason::CannotOpen(_) | Reason::Closed => self.shared.timing.close,
			Reason::Lied(_) | Reason::OpensNever | Reason::Silent => Duration::ZERO,
		};
		// It sees the end of its input.
		self.shared.close_input();
		let end = life.end(patience);
		for thread in [writer, reader].into_iter().flatten() {
			// A panic in it is a bug, and over.
			let _ = thread.join();
		}
		let end = match reason {
			// What it reads first may go in circles.
			Reason::OpensNever => End::Failed,
			// A liar's file is not the reason, nor is that of who waits for his disk: all members of a
			// cluster may do that at once.
			Reason::Lied(_) | Reason::Silent => End::Ended,
			Reason::Ended | Reason::CannotOpen(_) | Reason::Closed => end,
		};
		(reason, end)
	}

	fn watch(&self, number: u64) -> Reason {
		let open_by = after(self.shared.timing.open);
		let mut is_open = false;
		loop {
			let now = Instant::now();
			let until = match self.shared.watch(now) {
				Watch::Overdue => {
					self.shared.tell_overdue(now);
					return Reason::Silent;
				}
				Watch::Until(_) if !is_open && now >= open_by => return Reason::OpensNever,
				Watch::Until(until) if !is_open => until.min(open_by),
				Watch::Until(until) => until,
			};
			match self.events.recv_timeout(until.saturating_duration_since(now)) {
				Ok(Event::Close) | Err(RecvTimeoutError::Disconnected) => return Reason::Closed,
				Ok(Event::Opened(of)) if of == number => is_open = true,
				Ok(Event::Over(of, reason)) if of == number => return reason,
				Ok(_) | Err(RecvTimeoutError::Timeout) => {}
			}
		}
	}
}

/// Reads what the process says until it ends or lies.
fn read(shared: &Shared, output: &mut dyn Read, opened: impl FnOnce()) -> Reason {
	match read_hello(output) {
		Ok(Hello { opened: Ok(said), .. }) => {
			if let Some(number) = said.set_aside {
				tracing::error!(
					"the page store's file was damaged and set aside as number {number}: its pages come from members"
				);
			}
			shared.opened(said);
		}
		Ok(Hello { opened: Err(why), .. }) => {
			tracing::error!("the page store is not opened: {why}");
			return Reason::CannotOpen(why);
		}
		Err(reason) => return reason,
	}
	opened();
	loop {
		let head = match read_head(output) {
			Ok(Some(head)) => head,
			Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
				return Reason::Lied("its frame is longer than any, or has no number");
			}
			Ok(None) | Err(_) => return Reason::Ended,
		};
		let Some(expected) = shared.expected(head.id) else {
			return Reason::Lied("its answer is one to nobody");
		};
		let answer = if head.body_bytes > expected.bytes_max() {
			Err("its answer is longer than what was asked for")
		} else {
			let Ok(body) = read_body(output, head.body_bytes) else { return Reason::Ended };
			expected.read(&body)
		};
		match answer {
			Ok(answer) => shared.answered(head.id, Ok(answer), Instant::now()),
			Err(why) => {
				shared.answered(head.id, Err(StoreError::Lied { why }), Instant::now());
				return Reason::Lied(why);
			}
		}
	}
}

fn read_hello(output: &mut dyn Read) -> Result<Hello, Reason> {
	const NO_HELLO: Reason = Reason::Lied("it does not begin with its name");
	let head = match read_head(output) {
		Ok(Some(head)) => head,
		Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Err(NO_HELLO),
		Ok(None) | Err(_) => return Err(Reason::Ended),
	};
	if head.id != HELLO_ID || head.body_bytes > HELLO_BYTES_MAX {
		return Err(NO_HELLO);
	}
	let body = read_body(output, head.body_bytes).map_err(|_| Reason::Ended)?;
	let hello = Hello::decode_all(&mut &body[..]).map_err(|_| NO_HELLO)?;
	if hello.protocol != PROTOCOL_VERSION {
		return Err(Reason::Lied("it is of another release"));
	}
	Ok(hello)
}

#[cfg(test)]
mod tests {
	use super::*;

	const TIMING: Timing = Timing {
		answer: Duration::from_secs(1),
		open: Duration::from_secs(1),
		close: Duration::from_secs(1),
		restart_min: Duration::from_secs(1),
		restart_max: Duration::from_secs(30),
		calm: Duration::from_secs(600),
	};

	#[test]
	fn each_start_comes_later_up_to_a_limit_and_calm_begins_anew() {
		let almost = TIMING.calm - Duration::from_nanos(1);
		for calm in [(TIMING.calm, 0), (Duration::ZERO, CALM_ANSWERS)] {
			let mut ends = Ends::new(TIMING);
			let mut delay = |(lived, answers)| ends.after(End::Ended, lived, answers).as_secs();
			let delays = [(); 7].map(|()| delay((almost, CALM_ANSWERS - 1)));
			assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
			assert_eq!([delay(calm), delay((almost, 0))], [1, 2]);
		}
	}

	#[test]
	fn a_file_is_set_aside_for_failures_in_a_row_without_calm_between_them() {
		let mut ends = Ends::new(TIMING);
		let soon = Duration::ZERO;
		for _ in 0..10 * ENDS_UNTIL_SET_ASIDE {
			ends.after(End::Ended, soon, 0);
		}
		assert!(!ends.is_file_to_be_set_aside(), "none was the file's doing");
		for failure in 1..=ENDS_UNTIL_SET_ASIDE {
			assert!(!ends.is_file_to_be_set_aside());
			ends.after(End::Failed, soon, CALM_ANSWERS - 1);
			// One that is killed says neither.
			ends.after(End::Ended, soon, 0);
			assert_eq!(ends.is_file_to_be_set_aside(), failure == ENDS_UNTIL_SET_ASIDE);
		}
		ends.after(End::Failed, soon, CALM_ANSWERS);
		assert!(!ends.is_file_to_be_set_aside(), "it answered many before");
		ends.failures = ENDS_UNTIL_SET_ASIDE;
		ends.file_is_set_aside();
		assert!(!ends.is_file_to_be_set_aside());
	}
}
