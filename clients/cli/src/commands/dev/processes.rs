//! Child processes: found beside this binary, their lines in one log, and none of them outlives
//! this process, not even one that is killed: the kernel kills them then (`PR_SET_PDEATHSIG`).
//!
//! Each is in a process group of its own, so that Ctrl-C reaches only this process, which ends them
//! in order.

use super::log::{self, Style};
use crate::limits;
use anyhow::{bail, Context};
use nix::{
	sys::signal::{kill, Signal},
	unistd::Pid,
};
use std::{
	collections::VecDeque,
	path::{Path, PathBuf},
	process::Stdio,
	sync::{Arc, Mutex, PoisonError},
};
use tokio::{
	io::{AsyncBufReadExt, AsyncRead, BufReader},
	process::{Child, Command},
};

/// Where a binary is: beside this one.
///
/// # Errors
/// When it is not there.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
	let own = std::env::current_exe().context("cannot find out where `phala` itself is")?;
	let path = own.with_file_name(name);
	if !path.is_file() {
		bail!("{} is not there: build it with `make build`; phala dev starts the binaries beside its own", path.display());
	}
	Ok(path)
}

type Lines = Arc<Mutex<VecDeque<String>>>;

struct Running {
	name: String,
	child: Child,
	lines: Lines,
}

impl Running {
	fn last_lines(&self) -> String {
		let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
		let skipped = lines.len().saturating_sub(limits::SHOWN_LINES_MAX);
		lines.iter().skip(skipped).map(|line| format!("\n  {line}")).collect()
	}
}

/// All children.
pub struct Children {
	running: Vec<Running>,
	/// Where children put their temporary files.
	folder: PathBuf,
	style: Style,
}

impl Children {
	pub fn new(folder: &Path, style: Style) -> Self {
		Self { running: Vec::new(), folder: folder.into(), style }
	}

	/// Starts `binary` as `name`. From the main thread: the kernel ties a child to the thread that
	/// started it.
	///
	/// # Errors
	/// When it does not start.
	pub fn start(&mut self, name: &str, binary: &Path, arguments: &[String]) -> anyhow::Result<()> {
		let mut command = Command::new(binary);
		command
			.args(arguments)
			.env("TMPDIR", &self.folder)
			// The colours of this log are its own.
			.env("NO_COLOR", "1")
			.stdin(Stdio::null())
			.stdout(Stdio::piped())
			.stderr(Stdio::piped())
			.process_group(0)
			.kill_on_drop(true);
		die_with_parent(&mut command);
		let mut child =
			command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
		let lines = Lines::default();
		let prefix = self.style.prefix(name, self.running.len());
		let style = self.style;
		follow(child.stdout.take(), lines.clone(), prefix.clone(), style);
		follow(child.stderr.take(), lines.clone(), prefix, style);
		self.running.push(Running { name: name.into(), child, lines });
		Ok(())
	}

	/// Whether all still run.
	///
	/// # Errors
	/// Which does not, and what it wrote last.
	pub fn check(&mut self) -> anyhow::Result<()> {
		for running in &mut self.running {
			if let Some(status) = running.child.try_wait()? {
				bail!(
					"{} ended by itself ({status}); it wrote last:{}",
					running.name,
					running.last_lines()
				);
			}
		}
		Ok(())
	}

	/// The rest of the first line of `name` that contains `mark`, once there is one.
	///
	/// # Errors
	/// When a child ends or [`limits::CHILD_START_MAX`] is over.
	pub async fn line_after(&mut self, name: &str, mark: &str) -> anyhow::Result<String> {
		let what = format!("{name} to write {mark:?}");
		self.until(&what, limits::CHILD_START_MAX, async |children| {
			let running = children.running.iter().find(|running| running.name == name);
			let lines = running.context("is started")?.lines.lock();
			let lines = lines.unwrap_or_else(PoisonError::into_inner);
			let rest = lines.iter().find_map(|line| line.split_once(mark));
			Ok(rest.map(|(_, rest)| rest.trim().to_owned()))
		})
		.await
	}

	/// Asks `question` until it is answered.
	///
	/// # Errors
	/// When a child ends, or `wait_max` is over.
	pub async fn until<T>(
		&mut self,
		what: &str,
		wait_max: std::time::Duration,
		mut question: impl AsyncFnMut(&Self) -> anyhow::Result<Option<T>>,
	) -> anyhow::Result<T> {
		let asking = async {
			loop {
				self.check()?;
				if let Some(answer) = question(self).await? {
					return Ok(answer);
				}
				tokio::time::sleep(limits::POLL).await;
			}
		};
		tokio::time::timeout(wait_max, asking).await.unwrap_or_else(|_| {
			let seconds = wait_max.as_secs();
			bail!("waited {seconds} s in vain for {what}; `phala dev --verbose` shows all that the parts say")
		})
	}

	/// Ends all: asks the last started first, and kills those that are still there after
	/// [`limits::STOP_MAX`].
	pub async fn stop(&mut self) {
		for running in self.running.iter().rev() {
			if let Some(id) = running.child.id().and_then(|id| i32::try_from(id).ok()) {
				// If it has ended meanwhile, so much the better.
				let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
			}
		}
		let ending = async {
			for running in &mut self.running {
				let _ = running.child.wait().await;
			}
		};
		if tokio::time::timeout(limits::STOP_MAX, ending).await.is_err() {
			for running in &mut self.running {
				let _ = running.child.kill().await;
			}
		}
		self.running.clear();
	}
}

#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
	let parent = nix::unistd::getpid();
	let tie = move || {
		nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
		// The parent may have died before.
		if nix::unistd::getppid() != parent {
			return Err(nix::errno::Errno::ESRCH.into());
		}
		Ok(())
	};
	// SAFETY: between fork and exec only prctl and getppid are called, which are
	// async-signal-safe, and nothing is allocated.
	unsafe {
		command.pre_exec(tie);
	}
}

fn follow(
	output: Option<impl AsyncRead + Unpin + Send + 'static>,
	lines: Lines,
	prefix: String,
	style: Style,
) {
	let Some(output) = output else { return };
	tokio::spawn(async move {
		let mut reader = BufReader::new(output);
		let mut bytes = Vec::new();
		// Not `lines()`: a line that is no UTF-8 must not end the log.
		while matches!(reader.read_until(b'\n', &mut bytes).await, Ok(read) if read > 0) {
			let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
			bytes.clear();
			if let Some(shown) = log::shown(&line, style.verbose) {
				eprintln!("{prefix}{shown}");
			}
			let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
			if lines.len() == limits::KEPT_LINES_MAX {
				lines.pop_front();
			}
			lines.push_back(line);
		}
	});
}

#[cfg(test)]
mod tests {
	use super::*;

	const PLAIN: Style = Style { colours: false, verbose: false };

	fn shell(children: &mut Children, script: &str) {
		children.start("child", Path::new("/bin/sh"), &["-c".into(), script.into()]).unwrap();
	}

	#[tokio::test]
	async fn a_child_is_followed_to_its_mark_and_stopped() {
		let folder = tempfile::tempdir().unwrap();
		let mut children = Children::new(folder.path(), PLAIN);
		shell(&mut children, "echo public http://x; exec sleep 100");
		assert_eq!(children.line_after("child", "public ").await.unwrap(), "http://x");
		let id = i32::try_from(children.running[0].child.id().unwrap()).unwrap();
		children.stop().await;
		assert!(kill(Pid::from_raw(id), None).is_err(), "it is gone");
	}

	#[tokio::test]
	async fn a_child_that_ends_by_itself_is_named_with_its_last_words() {
		let folder = tempfile::tempdir().unwrap();
		let mut children = Children::new(folder.path(), PLAIN);
		shell(&mut children, "echo the disk is full >&2; exit 7");
		let error = children.line_after("child", "public ").await.unwrap_err().to_string();
		assert!(error.contains("child ended") && error.contains("7"), "{error}");
	}
}
