//! Running the build tools, which are npm packages: Node.js as a child process, with a time limit.

use crate::BuildError;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What Node.js runs: it answers one [`Request`] and ends.
pub(crate) const DRIVER: &str = include_str!("../node/driver.cjs");

/// How often a running tool is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

#[derive(Serialize)]
pub(crate) enum Request<'a> {
	/// `options` are those of esbuild's `build`.
	Bundle { esbuild: &'a Path, options: serde_json::Value },
	/// Evaluates `module` in `engine` and writes the snapshot to `component`.
	Componentize {
		binding: &'a Path,
		engine: &'a Path,
		wit: &'a Path,
		world: &'a str,
		module: &'a Path,
		component: &'a Path,
	},
}

#[derive(Debug, Deserialize)]
pub(crate) enum Answer {
	Bundle {
		code: String,
		warnings: String,
	},
	Component,
	/// The tool's reason.
	Refused(String),
	/// What a module threw while it was evaluated.
	Threw(String),
	/// The version of Node.js.
	TooOld(String),
	/// The tool itself broke.
	Failed(String),
}

impl Answer {
	pub fn unexpected(&self, doing: &'static str) -> BuildError {
		BuildError::ToolBroke { doing, text: format!("an answer to something else: {self:?}") }
	}
}

/// `doing` is said of the request in errors.
pub(crate) fn run(
	request: &Request,
	doing: &'static str,
	limit: Duration,
) -> Result<Answer, BuildError> {
	let broke = |text: String| BuildError::ToolBroke { doing, text };
	let mut line = serde_json::to_string(request).map_err(|error| broke(error.to_string()))?;
	line.push('\n');
	// The developer's settings of Node.js (NODE_OPTIONS, NODE_PATH and the like) are no part of a build.
	let mut command = Command::new("node");
	command.env_clear();
	for name in ["PATH", "TMPDIR"] {
		command.envs(std::env::var_os(name).map(|value| (name, value)));
	}
	let child = command
		.args(["-e", DRIVER])
		.stdin(Stdio::piped())
		.stdout(Stdio::piped())
		.stderr(Stdio::piped())
		.spawn()
		.map_err(|source| BuildError::NodeMissing { source })?;
	let mut child = KilledOnDrop(child);
	let (stdin, stdout, stderr) =
		(child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take());
	let answer = read_in_background(stdout);
	let complaint = read_in_background(stderr);
	// Held open until the end: the driver ends when it closes, so no tool outlives the builder.
	let asked = thread::spawn(move || {
		let mut stdin = stdin?;
		stdin.write_all(line.as_bytes()).ok()?;
		Some(stdin)
	});
	let started = Instant::now();
	let status = loop {
		match child.0.try_wait().map_err(|error| broke(error.to_string()))? {
			Some(status) => break status,
			None if started.elapsed() >= limit => {
				return Err(BuildError::TimeLimit { doing, limit_s: limit.as_secs() })
			}
			None => thread::sleep(POLL_INTERVAL),
		}
	};
	drop(asked.join());
	let answer = answer.join().unwrap_or_default();
	match serde_json::from_slice(&answer) {
		Ok(Answer::TooOld(version)) => Err(BuildError::NodeTooOld { version }),
		Ok(Answer::Failed(text)) => Err(broke(text)),
		Ok(answer) => Ok(answer),
		Err(_) => {
			let complaint = complaint.join().unwrap_or_default();
			Err(broke(format!("{status}\n{}", String::from_utf8_lossy(&complaint).trim())))
		}
	}
}

fn read_in_background(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
	thread::spawn(move || {
		let mut bytes = Vec::new();
		if let Some(mut stream) = stream {
			// What arrived before an error is what there is to show.
			let _ = stream.read_to_end(&mut bytes);
		}
		bytes
	})
}

struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
	fn drop(&mut self) {
		// Fails if it has ended, which is as well.
		let _ = self.0.kill();
		let _ = self.0.wait();
	}
}
