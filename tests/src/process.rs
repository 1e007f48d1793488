//! A child process and what it wrote.

use anyhow::Context;
use std::{
	path::PathBuf,
	process::Stdio,
	sync::{Arc, Mutex, PoisonError},
};
use tempfile::TempDir;
use tokio::{
	io::{AsyncBufReadExt, AsyncRead, BufReader},
	process::{Child, Command},
};

/// A child process. Dropping it kills it (-9).
pub struct Process {
	name: String,
	child: Child,
	lines: Arc<Mutex<Vec<String>>>,
	/// Where it puts temporary files, if nobody said; goes after it.
	_temporary: Option<TempDir>,
}

/// Where cargo put the binaries that this test was built with.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
	let test = std::env::current_exe()?;
	let path = test
		.parent()
		.and_then(|deps| deps.parent())
		.context("a test runs in target/debug/deps")?
		.join(name);
	anyhow::ensure!(path.exists(), "{} is not built: run `make build`", path.display());
	Ok(path)
}

impl Process {
	/// Starts `binary` with `arguments`; both its outputs are kept.
	pub fn start(binary_name: &str, name: &str, arguments: &[String]) -> anyhow::Result<Self> {
		Self::start_with(binary_name, name, arguments, &[])
	}

	/// The same with variables of its own.
	pub fn start_with(
		binary_name: &str,
		name: &str,
		arguments: &[String],
		variables: &[(&str, &str)],
	) -> anyhow::Result<Self> {
		let temporary = match variables.iter().any(|(name, _)| *name == "TMPDIR") {
			true => None,
			false => Some(TempDir::new()?),
		};
		let own = temporary.iter().map(|folder| ("TMPDIR", folder.path()));
		let mut child = Command::new(binary(binary_name)?)
			.args(arguments)
			.envs(variables.iter().copied())
			.envs(own)
			.stdin(Stdio::null())
			.stdout(Stdio::piped())
			.stderr(Stdio::piped())
			.kill_on_drop(true)
			.spawn()
			.with_context(|| format!("cannot start {binary_name}"))?;
		let lines = Arc::new(Mutex::new(Vec::new()));
		keep(child.stdout.take(), lines.clone());
		keep(child.stderr.take(), lines.clone());
		Ok(Self { name: name.into(), child, lines, _temporary: temporary })
	}

	/// What the test calls it.
	pub fn name(&self) -> &str {
		&self.name
	}

	/// All that it wrote.
	pub fn log(&self) -> String {
		self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
	}

	/// The rest of the first line that contains `mark`, once there is one.
	pub async fn line_after(&mut self, mark: &str) -> anyhow::Result<String> {
		for _ in 0..super::PATIENCE.as_millis() / 50 {
			if let Some(rest) = self.log().lines().find_map(|line| line.split_once(mark)) {
				return Ok(rest.1.trim().to_string());
			}
			if let Some(status) = self.child.try_wait()? {
				anyhow::bail!(
					"{} ended with {status} before it wrote {mark:?}:\n{}",
					self.name,
					self.log()
				);
			}
			tokio::time::sleep(std::time::Duration::from_millis(50)).await;
		}
		anyhow::bail!("{} never wrote {mark:?}:\n{}", self.name, self.log())
	}

	/// Kills it (-9) and waits until it is gone.
	pub async fn kill(mut self) -> anyhow::Result<String> {
		self.child.kill().await?;
		Ok(self.log())
	}

	/// Waits until it ends by itself; its exit code.
	pub async fn ended(&mut self) -> anyhow::Result<Option<i32>> {
		let status = tokio::time::timeout(super::PATIENCE, self.child.wait())
			.await
			.with_context(|| format!("{} does not end:\n{}", self.name, self.log()))??;
		Ok(status.code())
	}
}

fn keep(output: Option<impl AsyncRead + Unpin + Send + 'static>, lines: Arc<Mutex<Vec<String>>>) {
	let Some(output) = output else { return };
	tokio::spawn(async move {
		let mut reader = BufReader::new(output).lines();
		while let Ok(Some(line)) = reader.next_line().await {
			lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
		}
	});
}

/// Gone before what it wrote is removed.
impl Drop for Process {
	fn drop(&mut self) {
		let _ = self.child.start_kill();
		for _ in 0..400 {
			if !matches!(self.child.try_wait(), Ok(None)) {
				return;
			}
			std::thread::sleep(std::time::Duration::from_millis(5));
		}
	}
}
