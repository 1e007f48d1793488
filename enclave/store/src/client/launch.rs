//! Starting the process, and ending it.

use crate::{
	limits::CACHE_BYTES_DEFAULT,
	server::{EXIT_DAMAGED, EXIT_PANIC},
};
use rustix::process::Signal;
use std::{
	fs,
	io::{self, Read, Write},
	os::unix::process::{CommandExt, ExitStatusExt},
	path::PathBuf,
	process::{Child, Command, ExitStatus, Stdio},
	thread,
	time::{Duration, Instant},
};

/// Starts whatever answers. It is called by one thread, which lasts as long as what it starts.
pub trait Launcher: Send {
	/// `set_aside` has the file set aside before anything else.
	fn launch(&mut self, set_aside: bool) -> io::Result<Connection>;
}

pub struct Connection {
	/// What is written here the process reads.
	pub input: Box<dyn Write + Send>,
	pub output: Box<dyn Read + Send>,
	pub life: Box<dyn Life>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
	/// By itself, or because somebody ended it: its file has nothing to do with it.
	Ended,
	/// In a way that its file may be the reason for.
	Failed,
}

/// A process that was started.
pub trait Life: Send {
	/// Gives it so long to end by itself, then kills it, and waits for that. Both its ends are closed
	/// afterwards, whoever waits on them.
	fn end(&mut self, patience: Duration) -> End;

	fn id(&self) -> u32;
}

/// What the process is started with.
#[derive(Clone, Debug)]
pub struct StoreConfig {
	/// `pruntime-store`.
	pub program: PathBuf,
	pub folder: PathBuf,
	/// Most bytes of pages, of all agents.
	pub bytes_max: u64,
	/// Most bytes of pages of one agent.
	pub agent_bytes_max: u64,
	/// What it keeps of its file in memory.
	pub cache_bytes: usize,
}

impl StoreConfig {
	/// Without limits but those of the disk.
	pub fn new(program: PathBuf, folder: PathBuf) -> Self {
		Self {
			program,
			folder,
			bytes_max: u64::MAX,
			agent_bytes_max: u64::MAX,
			cache_bytes: CACHE_BYTES_DEFAULT,
		}
	}

	/// Makes the folder, as who installs a worker does once. Not for a worker to do at each start: where
	/// its disk is not mounted it would begin an empty store on another.
	pub fn make_folder(&self) -> io::Result<()> {
		fs::create_dir_all(&self.folder)
	}
}

/// Starts `pruntime-store`, with nothing of this process's environment, and in a process group of its
/// own: what a terminal sends to who has it must not end the store first.
pub struct StoreProcess(pub StoreConfig);

impl Launcher for StoreProcess {
	fn launch(&mut self, set_aside: bool) -> io::Result<Connection> {
		let StoreConfig { program, folder, bytes_max, agent_bytes_max, cache_bytes } = &self.0;
		let mut command = Command::new(program);
		command
			.arg("--folder")
			.arg(folder)
			.args(["--bytes-max", &bytes_max.to_string()])
			.args(["--agent-bytes-max", &agent_bytes_max.to_string()])
			.args(["--cache-bytes", &cache_bytes.to_string()])
			.env_clear()
			.process_group(0)
			.stdin(Stdio::piped())
			.stdout(Stdio::piped())
			.stderr(Stdio::inherit());
		if set_aside {
			command.arg("--set-aside");
		}
		let mut child = command.spawn()?;
		let (input, output) = (child.stdin.take(), child.stdout.take());
		let (input, output) = input.zip(output).ok_or(io::ErrorKind::BrokenPipe)?;
		Ok(Connection {
			input: Box::new(input),
			output: Box::new(output),
			life: Box::new(StartedProcess(child)),
		})
	}
}

struct StartedProcess(Child);

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

impl Life for StartedProcess {
	fn end(&mut self, patience: Duration) -> End {
		let until = Instant::now().checked_add(patience);
		while until.is_some_and(|until| Instant::now() < until) {
			match self.0.try_wait() {
				Ok(Some(status)) => return end_of(status),
				Ok(None) => thread::sleep(LOOK),
				Err(_) => break,
			}
		}
		if let Ok(Some(status)) = self.0.try_wait() {
			return end_of(status);
		}
		let _ = self.0.kill();
		let _ = self.0.wait();
		// By us.
		End::Ended
	}

	fn id(&self) -> u32 {
		self.0.id()
	}
}

/// What a process does to itself. All others come from outside: of an operator, a terminal, the host, or
/// who frees memory.
const OWN_SIGNALS: [Signal; 6] =
	[Signal::ILL, Signal::TRAP, Signal::ABORT, Signal::BUS, Signal::FPE, Signal::SEGV];

fn end_of(status: ExitStatus) -> End {
	let is_own =
		status.signal().is_some_and(|signal| OWN_SIGNALS.iter().any(|own| own.as_raw() == signal));
	match status.code() {
		Some(EXIT_DAMAGED | EXIT_PANIC) => End::Failed,
		_ if is_own => End::Failed,
		_ => End::Ended,
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::server::{EXIT_DISK_FAILS, EXIT_REFUSED};

	#[test]
	fn only_what_a_process_does_to_itself_is_its_files_doing() {
		let signal = |signal: Signal| end_of(ExitStatus::from_raw(signal.as_raw()));
		for own in OWN_SIGNALS {
			assert_eq!(signal(own), End::Failed, "{own:?}");
		}
		for from_outside in [
			Signal::KILL,
			Signal::TERM,
			Signal::INT,
			Signal::HUP,
			Signal::QUIT,
			Signal::PIPE,
			Signal::ALARM,
			Signal::XCPU,
		] {
			assert_eq!(signal(from_outside), End::Ended, "{from_outside:?}");
		}
		let code = |code: i32| end_of(ExitStatus::from_raw(code << 8));
		assert_eq!([code(EXIT_DAMAGED), code(EXIT_PANIC)], [End::Failed; 2]);
		let others = [0, 1, EXIT_REFUSED, EXIT_DISK_FAILS].map(code);
		assert_eq!(others, [End::Ended; 4]);
	}
}
