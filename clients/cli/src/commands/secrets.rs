//! `phala secrets`: what an agent's owner gives it, sealed to the agent, through the chain. A
//! value is never an argument: others on this machine can see those.

use crate::{
	accounts::AccountOptions,
	amount::{self, pha},
	calls::on_chain::{self, Choices},
	chain::{hash, NodeOption},
	steps::step,
};
use anyhow::{bail, ensure, Context};
use phala_protocol::{Balance, H256};
use serde_json::json;
use std::{
	io::{IsTerminal, Read},
	path::PathBuf,
	process::ExitCode,
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// Sets a secret. Its value is read from standard input, a file or a variable.
	Set(SetArguments),
	/// Removes a secret.
	Remove {
		/// The agent's id.
		#[arg(value_parser = hash)]
		agent: H256,
		/// Its name.
		name: String,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
}

#[derive(Debug, clap::Args)]
pub struct SetArguments {
	/// The agent's id.
	#[arg(value_parser = hash)]
	agent: H256,

	/// Its name, as agent.toml declares it.
	name: String,

	/// Reads the value from a file.
	#[arg(long, value_name = "FILE")]
	value_file: Option<PathBuf>,

	/// Reads the value from an environment variable.
	#[arg(long, value_name = "VARIABLE", conflicts_with = "value_file")]
	value_env: Option<String>,

	/// The most to pay, in PHA. What is not used is refunded.
	#[arg(long, value_parser = amount::parse)]
	max_fee: Option<Balance>,

	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	node: NodeOption,
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	let (agent, name, value, max_fee, account, node) = match command {
		Command::Set(arguments) => {
			let value = value(&arguments)?;
			let SetArguments { agent, name, max_fee, account, node, .. } = arguments;
			(agent, name, value, max_fee, account, node)
		}
		Command::Remove { agent, name, account, node } => {
			(agent, name, Vec::new(), None, account, node)
		}
	};
	let account = account.open()?;
	let chain = node.connect().await?;
	let secrets = [(name.clone().into_bytes(), value)];
	let choices = Choices { max_fee, ..Choices::default() };
	let submitting = on_chain::submit_secrets(&chain, &account, agent, &secrets, choices);
	let (submitted, _) = step("sealing it and submitting it", submitting).await?;
	let request = submitted.request;
	let waiting = on_chain::settlement(&chain, request, submitted.block);
	let ((block, paid), _) = step("waiting until the agent has it", waiting).await?;
	if paid.failed {
		bail!("the agent did not take the secret {name:?}: is it declared under `secrets` in agent.toml?");
	}
	if json {
		println!(
			"{}",
			json!({ "request": format!("{request:?}"), "block": block, "fee": paid.fee.to_string() })
		);
	} else {
		println!("agent {agent:?} has {name} since block {block}; it cost {}", pha(paid.fee));
	}
	Ok(ExitCode::SUCCESS)
}

fn value(arguments: &SetArguments) -> anyhow::Result<Vec<u8>> {
	let mut value =
		match (&arguments.value_file, &arguments.value_env) {
			(Some(file), _) => {
				std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?
			}
			(None, Some(variable)) => std::env::var(variable)
				.with_context(|| format!("the variable {variable} is not set"))?
				.into_bytes(),
			(None, None) => {
				let mut input = std::io::stdin();
				if input.is_terminal() {
					eprintln!("the value, then Ctrl-D (it is shown as you type; --value-file reads a file):");
				}
				let mut value = Vec::new();
				input.read_to_end(&mut value).context("cannot read standard input")?;
				value
			}
		};
	// Editors and echo end a text with a line's end.
	if value.ends_with(b"\n") {
		value.pop();
	}
	ensure!(
		!value.is_empty(),
		"an empty value was refused: `phala secrets remove` removes a secret"
	);
	Ok(value)
}
