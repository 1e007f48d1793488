//! The command line as people and programs use it.

use crate::schemas;
use anyhow::{ensure, Context};
use phala_devnet::Supervisor;
use serde_json::Value;
use std::{future::Future, path::PathBuf};

/// How one command ended.
#[derive(Clone, Debug)]
pub struct Said {
	pub code: Option<i32>,
	pub stdout: String,
	pub stderr: String,
}

impl Said {
	/// Of a program that has ended.
	pub fn of(output: std::process::Output) -> Self {
		let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
		Self {
			code: output.status.code(),
			stdout: text(&output.stdout),
			stderr: text(&output.stderr),
		}
	}

	/// The result of `--json`: the last line of stdout.
	pub fn json(&self) -> anyhow::Result<Value> {
		let last = self.stdout.lines().last().with_context(|| format!("no result: {self:?}"))?;
		serde_json::from_str(last).with_context(|| format!("the result is no JSON: {last}"))
	}
}

/// `phala --json`, as one account.
#[derive(Clone)]
pub struct Phala {
	/// Starts it: with nothing of this process's environment, in the callers' folder.
	pub supervisor: Supervisor,
	/// The chain's websocket address.
	pub node: String,
	/// `PHALA_HOME`: the caller's own files.
	pub home: PathBuf,
	/// The account's secret.
	pub account: String,
}

impl Phala {
	/// Another account's.
	pub fn of(&self, account: &str) -> Self {
		Self { account: account.into(), ..self.clone() }
	}

	/// Runs a command to its end. Whatever it tells is held against its schema.
	pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<Said> {
		self.run_with(arguments, &[]).await
	}

	/// The same with variables of its own.
	pub async fn run_with(
		&self,
		arguments: &[&str],
		variables: &[(&str, &str)],
	) -> anyhow::Result<Said> {
		let home = self.home.display().to_string();
		let own = [
			("PHALA_NODE", self.node.as_str()),
			("PHALA_HOME", &home),
			("PHALA_SURI", &self.account),
			("PHERRY_OPERATOR", &self.account),
		];
		let phala = self.supervisor.binary("phala")?;
		let all = [&["--json"], arguments].concat();
		let (variables, folder) = ([&own[..], variables].concat(), self.supervisor.folder());
		let running = self.supervisor.run(&phala, &all, &variables, folder, crate::PATIENCE);
		let said = Said::of(running.await?);
		schemas::check(&all, &said)?;
		Ok(said)
	}

	/// Runs a command and kills it (-9) once `seen` is; that, and what the command said to people.
	pub async fn killed_once<T>(
		&self,
		arguments: &[&str],
		seen: impl Future<Output = anyhow::Result<T>>,
	) -> anyhow::Result<(T, String)> {
		let home = self.home.display().to_string();
		let own = [
			("PHALA_NODE", self.node.as_str()),
			("PHALA_HOME", &home),
			("PHALA_SURI", &self.account),
			("PHERRY_OPERATOR", &self.account),
		];
		let all: Vec<_> =
			["--json"].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
		let running = self.supervisor.start("phala", "phala", &all, &own)?;
		let seen = seen.await?;
		Ok((seen, running.kill().await.text()))
	}

	/// Runs a command that is to succeed; its result.
	pub async fn ok(&self, arguments: &[&str]) -> anyhow::Result<Value> {
		let said = self.run(arguments).await?;
		ensure!(
			said.code == Some(0),
			"phala {arguments:?} failed:\n{}\n{:?}",
			said.stderr,
			said.json()
		);
		said.json()
	}

	/// Runs a command that is to be refused; why it was.
	pub async fn refused(&self, arguments: &[&str]) -> anyhow::Result<String> {
		let said = self.run(arguments).await?;
		ensure!(said.code == Some(1), "phala {arguments:?} was to be refused: {said:?}");
		let error = said.json()?["error"]["message"].as_str().context("it says why")?.to_owned();
		ensure!(said.stderr.contains(&error), "people are told the same: {said:?}");
		Ok(error)
	}
}
