//! The machine's thread: one event after another, and a tick when its deadline passes.

use super::Executor;
#[cfg(feature = "recording")]
use phala_machine::recording::Recorder;
use phala_machine::{Action, Event, Instant, Machine};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use std::{
	panic::{catch_unwind, AssertUnwindSafe},
	sync::mpsc::{Receiver, RecvTimeoutError},
	time::Duration,
};

/// A file that a run is written to, event by event. It holds plaintext.
#[cfg(feature = "recording")]
pub struct Recording(std::fs::File);

/// Release builds record nothing: no value of it exists.
#[cfg(not(feature = "recording"))]
pub enum Recording {}

#[cfg(feature = "recording")]
impl Recording {
	/// A new file that begins with `start`, for its owner's eyes alone.
	pub fn create(
		path: &std::path::Path,
		start: &phala_machine::recording::Start,
	) -> std::io::Result<Self> {
		use codec::Encode;
		use std::os::unix::fs::OpenOptionsExt;
		let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
		let mut recording = Self(file);
		recording.append(&start.encode())?;
		Ok(recording)
	}

	fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
		use std::io::Write;
		self.0.write_all(bytes)
	}
}

/// How the machine is given an event: tests plant failures here.
pub type Handle = fn(&mut Machine, Event, Instant, &mut ChaCha20Rng) -> Vec<Action>;

/// Begins to give the machine its turns.
pub fn spawn(
	machine: Machine,
	inbox: Receiver<Event>,
	executor: Executor,
	recording: Option<Recording>,
) {
	let runtime = tokio::runtime::Handle::current();
	std::thread::spawn(move || {
		let _runtime = runtime.enter();
		let handle: Handle = |machine, event, now, rng| machine.handle(event, now, rng);
		Turns { machine, executor, recording, handle }.work(&inbox);
	});
}

struct Turns {
	machine: Machine,
	executor: Executor,
	#[cfg_attr(not(feature = "recording"), allow(dead_code))]
	recording: Option<Recording>,
	handle: Handle,
}

impl Turns {
	fn work(mut self, inbox: &Receiver<Event>) {
		loop {
			let now = self.executor.now();
			let event = match self.machine.next_deadline() {
				Some(at) if at <= now => Event::Tick,
				Some(at) => match inbox.recv_timeout(Duration::from_millis(at.ms_since(now))) {
					Ok(event) => event,
					Err(RecvTimeoutError::Timeout) => Event::Tick,
					Err(RecvTimeoutError::Disconnected) => return,
				},
				None => match inbox.recv() {
					Ok(event) => event,
					Err(_) => return,
				},
			};
			self.turn(event);
		}
	}

	fn turn(&mut self, event: Event) {
		let seed = match self.executor.platform().seed() {
			Ok(seed) => seed,
			Err(error) => {
				// Whoever waits for this event is told nothing, rather than something predictable.
				tracing::error!("a turn is left out: {error}");
				return;
			}
		};
		let now = self.executor.now();
		#[cfg(feature = "recording")]
		let recorder = self.recording.is_some().then(|| Recorder::begin(&event, now, seed));
		let mut rng = ChaCha20Rng::from_seed(seed);
		let (machine, handle) = (&mut self.machine, self.handle);
		let handled = catch_unwind(AssertUnwindSafe(|| handle(machine, event, now, &mut rng))).ok();
		#[cfg(feature = "recording")]
		if let (Some(recorder), Some(recording)) = (recorder, &mut self.recording) {
			if let Err(error) = recording.append(&recorder.end(handled.as_deref())) {
				tracing::error!("the recording ends here: {error}");
				self.recording = None;
			}
		}
		let actions = match handled {
			Some(actions) => actions,
			None => {
				// What they wait for is lost; the machine knows them no more.
				self.executor.0.callers.forget_all();
				self.executor.0.agent_calls.forget_all();
				self.machine.recover()
			}
		};
		for action in actions {
			self.executor.carry_out(action);
		}
	}
}

#[cfg(all(test, feature = "software-evidence"))]
mod tests;
