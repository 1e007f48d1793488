//! The command line as people and programs use it.

use crate::process::binary;
use anyhow::{ensure, Context};
use serde_json::Value;
use std::{future::Future, path::PathBuf, process::Stdio};
use tokio::{io::AsyncReadExt, process::Command};

/// How one command ended.
#[derive(Clone, Debug)]
pub struct Said {
	pub code: Option<i32>,
	pub stdout: String,
	pub stderr: String,
}

impl Said {
	/// The result of `--json`: the last line of stdout.
	///
	/// # Errors
	/// When that is no JSON.
	pub fn json(&self) -> anyhow::Result<Value> {
		let last = self.stdout.lines().last().with_context(|| format!("no result: {self:?}"))?;
		serde_json::from_str(last).with_context(|| format!("the result is no JSON: {last}"))
	}
}

/// `phala --json`, as one account.
#[derive(Clone, Debug)]
pub struct Phala {
	/// The chain's websocket address.
	pub node: String,
	/// `PHALA_HOME`: the caller's own files.
	pub home: PathBuf,
	/// Where it puts its temporary files.
	pub temporary: PathBuf,
	/// The account's secret.
	pub account: String,
}

impl Phala {
	/// Another account's.
	pub fn of(&self, account: &str) -> Self {
		Self { account: account.into(), ..self.clone() }
	}

	/// Runs a command to its end.
	///
	/// # Errors
	/// When it does not start, or does not end.
	pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<Said> {
		self.run_with(arguments, &[]).await
	}

	/// The same with variables of its own.
	///
	/// # Errors
	/// As [`Phala::run`].
	pub async fn run_with(
		&self,
		arguments: &[&str],
		variables: &[(&str, &str)],
	) -> anyhow::Result<Said> {
		let running = self.command(arguments)?.envs(variables.iter().copied()).output();
		let output = tokio::time::timeout(crate::PATIENCE, running)
			.await
			.with_context(|| format!("phala {arguments:?} does not end"))??;
		let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
		Ok(Said {
			code: output.status.code(),
			stdout: text(&output.stdout),
			stderr: text(&output.stderr),
		})
	}

	fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
		let mut command = Command::new(binary("phala")?);
		command
			.arg("--json")
			.args(arguments)
			.env("PHALA_NODE", &self.node)
			.env("PHALA_HOME", &self.home)
			.env("PHALA_SURI", &self.account)
			.env("PHERRY_OPERATOR", &self.account)
			.env("TMPDIR", &self.temporary)
			.stdin(Stdio::null())
			.kill_on_drop(true);
		Ok(command)
	}

	/// Runs a command and kills it (-9) once `seen` is; that, and what the command said to people.
	///
	/// # Errors
	/// When it does not start, or `seen` fails.
	pub async fn killed_once<T>(
		&self,
		arguments: &[&str],
		seen: impl Future<Output = anyhow::Result<T>>,
	) -> anyhow::Result<(T, String)> {
		let mut child = self
			.command(arguments)?
			.stdout(Stdio::null())
			.stderr(Stdio::piped())
			.spawn()
			.context("phala does not start")?;
		let mut stderr = child.stderr.take().context("it was asked for")?;
		let reading = tokio::spawn(async move {
			let mut said = Vec::new();
			stderr.read_to_end(&mut said).await.map(|_| said)
		});
		let seen = seen.await?;
		child.kill().await?;
		let said = reading.await??;
		Ok((seen, String::from_utf8_lossy(&said).into_owned()))
	}

	/// Runs a command that is to succeed; its result.
	///
	/// # Errors
	/// When it does not succeed.
	pub async fn ok(&self, arguments: &[&str]) -> anyhow::Result<Value> {
		let said = self.run(arguments).await?;
		ensure!(said.code == Some(0), "phala {arguments:?} failed:\n{}", said.stderr);
		said.json()
	}

	/// Runs a command that is to be refused; why it was.
	///
	/// # Errors
	/// When it succeeds, or does not say why as JSON.
	pub async fn refused(&self, arguments: &[&str]) -> anyhow::Result<String> {
		let said = self.run(arguments).await?;
		ensure!(said.code == Some(1), "phala {arguments:?} was to be refused: {said:?}");
		let error = said.json()?["error"].as_str().context("it says why")?.to_owned();
		ensure!(said.stderr.contains(&error), "people are told the same: {said:?}");
		Ok(error)
	}
}
