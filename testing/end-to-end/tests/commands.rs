//! The command line without a network: what it tells programs is what its schemas say, bad arguments
//! included, and names are taken where addresses are.

use anyhow::{ensure, Context};
use phala_devnet::Folder;
use phala_end_to_end::{
	cli::{Phala, Said},
	schemas::{schemas, ERROR},
	supervisor,
};
use serde_json::Value;
use std::env::temp_dir;

/// Where nobody listens.
const NOBODY: &str = "ws://127.0.0.1:1";

/// A user's machine.
struct Machine {
	folder: Folder,
	phala: Phala,
}

impl Machine {
	fn new() -> anyhow::Result<Self> {
		let folder = Folder::new(&temp_dir())?;
		let phala = Phala {
			supervisor: supervisor(folder.path())?,
			node: NOBODY.into(),
			home: folder.path().join("phala"),
			account: "//Eve".into(),
		};
		Ok(Self { folder, phala })
	}

	/// Runs a command that is to end like that; what it told, as one line of what its schema says.
	async fn told(&self, arguments: &[&str], code: i32) -> anyhow::Result<(String, Value)> {
		let said = self.phala.run(arguments).await?;
		ensure!(said.code == Some(code), "phala {arguments:?}: {said:?}");
		ensure!(said.stdout.lines().count() == 1, "one line: {said:?}");
		let json = [&["--json"], arguments].concat();
		Ok((schemas()?.check_said(&json, &said)?.to_owned(), said.json()?))
	}

	async fn ok(&self, arguments: &[&str]) -> anyhow::Result<Value> {
		let (told, value) = self.told(arguments, 0).await?;
		ensure!(told != ERROR, "{arguments:?}: {value}");
		Ok(value)
	}

	/// Code and message of a refusal.
	async fn refused(&self, arguments: &[&str], code: i32) -> anyhow::Result<(String, String)> {
		let (told, value) = self.told(arguments, code).await?;
		ensure!(told == ERROR, "{arguments:?}: {value}");
		let text = |name: &str| value["error"][name].as_str().map(str::to_owned);
		Ok((text("code").context("a code")?, text("message").context("a message")?))
	}
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_told_as_their_schemas_say_and_meant_by_name() -> anyhow::Result<()> {
	let machine = Machine::new()?;
	assert_eq!(machine.ok(&["account", "list"]).await?["accounts"], Value::Array(vec![]));
	let made = machine.ok(&["account", "new", "me"]).await?;
	assert_eq!(made["phrase"].as_str().map(|phrase| phrase.split(' ').count()), Some(12));
	let address = made["address"].as_str().context("it has an address")?;
	for name in ["me", address] {
		let shown = machine.ok(&["account", "show", name]).await?;
		assert_eq!((&shown["address"], &shown["name"]), (&address.into(), &"me".into()), "{name}");
	}
	let eve = machine.ok(&["account", "show"]).await?;
	assert!(eve["name"].is_null(), "{eve}");
	assert_eq!(machine.ok(&["account", "show", "//Eve"]).await?, eve);
	let list = machine.ok(&["account", "list"]).await?;
	assert_eq!((&list["accounts"][0]["name"], &list["accounts"][1]), (&"me".into(), &Value::Null));
	for nobody in [
		&["account", "show", "you"][..],
		&["account", "balance", "you"],
		&["account", "transfer", "you", "1"],
		&["verify", "no-file.json", "--genesis", GENESIS, "--caller", "you"],
	] {
		let (code, message) = machine.refused(nobody, 1).await?;
		assert_eq!(code, "NoSuchAccount", "{message}");
		assert!(message.contains("\"you\"") && message.contains("phala account list"), "{message}");
	}
	Ok(())
}

const GENESIS: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_begun_and_built_as_their_schemas_say() -> anyhow::Result<()> {
	let machine = Machine::new()?;
	let folder = machine.folder.path().join("mine").display().to_string();
	assert_eq!(machine.ok(&["new", &folder]).await?["name"], "mine");
	let (_, message) = machine.refused(&["new", &folder], 1).await?;
	assert!(message.contains("not empty"), "{message}");
	let built = machine.ok(&["build", &folder]).await?;
	assert!(built["component"]["bytes"].as_u64() > Some(1_000_000), "{built}");
	Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_of_bad_arguments_what_is_wrong_with_them() -> anyhow::Result<()> {
	let machine = Machine::new()?;
	let commands = schemas()?.commands();
	for command in commands.iter().filter(|command| **command != ERROR) {
		let mut arguments: Vec<_> = command.split(' ').collect();
		arguments.push("--no-such-option");
		let (code, message) = machine.refused(&arguments, 2).await?;
		assert_eq!(code, "Usage", "{command}");
		assert!(message.contains("--no-such-option"), "{command}: {message}");
		assert!(!message.starts_with("error:"), "{command}: {message}");
	}
	for wrong in [
		&["no-such-command"][..],
		&["agent"],
		&["call", "x", "--genesis", "0x11"],
		&["call", "x", "nopath"],
		&["call", "x", "/", "-X", "FETCH"],
	] {
		assert_eq!(machine.refused(wrong, 2).await?.0, "Usage");
	}
	Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_network_says_as_an_error_that_there_is_none() -> anyhow::Result<()> {
	let machine = Machine::new()?;
	for (arguments, expected) in [
		(&["account", "balance"][..], "NodeUnreachable"),
		(&["agent", "list", "--all"], "NodeUnreachable"),
		(&["request", "list"], "NodeUnreachable"),
		(&["call", "mine", "/"], "NodeUnreachable"),
		(&["deploy", "/nowhere"], "NoAgentFolder"),
		(&["agent", "retire", "mine"], "NotConfirmed"),
		(&["network", "status"], "NoNetwork"),
		(&["network", "stop", "worker-1"], "NoNetwork"),
		(&["call", "mine", "/", "--account", "nobody"], "NoSuchAccount"),
		(&["status", "--worker", "http://127.0.0.1:1"], "Unreachable"),
		(&["verify", "no-file.json", "--genesis", GENESIS], "FileFailed"),
	] {
		let (code, message) = machine.refused(arguments, 1).await?;
		assert_eq!(code, expected, "{arguments:?}: {message}");
	}
	Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_printed_for_each_command_and_who_reads_no_further_ends_it(
) -> anyhow::Result<()> {
	let machine = Machine::new()?;
	let all = machine.ok(&["schema"]).await?;
	let printed: Vec<_> = all["schemas"].as_object().context("by command")?.keys().collect();
	assert_eq!(printed, schemas()?.commands().into_iter().collect::<Vec<_>>());
	let one = machine.ok(&["schema", "agent", "status"]).await?;
	assert_eq!(one["schemas"]["agent status"], all["schemas"]["agent status"]);
	assert_eq!(machine.refused(&["schema", "nothing"], 1).await?.0, "NoSuchCommand");

	// `phala schema | true`: the pipe is closed before anything is written.
	let phala = machine.phala.supervisor.binary("phala")?;
	let (reader, writer) = std::io::pipe()?;
	drop(reader);
	let mut command = tokio::process::Command::new(phala);
	let output = command.arg("schema").stdout(writer).stderr(std::process::Stdio::piped());
	let said = Said::of(output.output().await?);
	assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));

	// Nor is it a failure of what is said in lines: an account on stdout, that there is none on stderr.
	machine.ok(&["account", "new", "me"]).await?;
	let nobody = machine.folder.path().join("nobody");
	for (home, closes_stdout) in [(&machine.phala.home, true), (&nobody, false)] {
		let (reader, writer) = std::io::pipe()?;
		drop(reader);
		let phala = machine.phala.supervisor.binary("phala")?;
		let mut command = tokio::process::Command::new(phala);
		command.args(["account", "list"]).env("PHALA_HOME", home);
		match closes_stdout {
			true => command.stdout(writer).stderr(std::process::Stdio::piped()),
			false => command.stderr(writer).stdout(std::process::Stdio::piped()),
		};
		let said = Said::of(command.output().await?);
		assert_eq!(said.code, Some(0), "{said:?}");
		assert!(!said.stderr.contains("panicked"), "{said:?}");
	}
	Ok(())
}
