//! `phala secrets`: what an agent's owner gives it, sealed to the agent, through the chain. A
//! value is never an argument: others on this machine can see those.

use crate::{
	accounts::AccountOptions,
	calls::on_chain::{self, Choices},
	chain::{ChainOptions, NodeOption},
	deployment,
	names::AgentName,
	output::{
		self,
		agents::{SecretChanged, SecretsDeclared},
		words::Amount,
	},
	steps::step,
};
use anyhow::Context;
use phala_chain_client::{agents, clusters, Chain};
use phala_protocol::{
	agents::AgentId,
	text::{parse_pha, pha},
	Balance,
};
use std::{
	collections::BTreeSet,
	io::{IsTerminal, Read},
	os::unix::ffi::OsStringExt,
	path::PathBuf,
	process::ExitCode,
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// Sets a secret. Its value is read from standard input, a file or a variable.
	Set(SetArguments),
	/// The names of the secrets that an agent may ask for. Which it has, only the agent knows.
	List(ListArguments),
	/// Removes a secret.
	Remove {
		/// The agent's name or id.
		agent: AgentName,
		/// Its name, as agent.toml declares it.
		name: String,
		/// Removes it though the agent's manifest does not declare the name: of code that was before.
		#[arg(long)]
		force: bool,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		chain: ChainOptions,
	},
}

#[derive(Debug, clap::Args)]
pub struct ListArguments {
	/// The agent's name or id.
	agent: AgentName,
	#[command(flatten)]
	node: NodeOption,
}

#[derive(Debug, clap::Args)]
pub struct SetArguments {
	/// The agent's name or id.
	agent: AgentName,

	/// Its name, as agent.toml declares it.
	name: String,

	/// Reads the value from a file.
	#[arg(long, value_name = "FILE")]
	value_file: Option<PathBuf>,

	/// Reads the value from an environment variable.
	#[arg(long, value_name = "VARIABLE", conflicts_with = "value_file")]
	value_env: Option<String>,

	/// Sets it though the agent's manifest does not declare the name: for code that is still to come.
	#[arg(long)]
	force: bool,

	/// The most to pay, in PHA. What is not used is refunded.
	#[arg(long, value_parser = parse_pha)]
	max_fee: Option<Balance>,

	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	chain: ChainOptions,
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	let (agent, name, value, must_be_declared, max_fee, account, chain) = match command {
		Command::Set(arguments) => {
			let value = value(&arguments)?;
			let SetArguments { agent, name, force, max_fee, account, chain, .. } = arguments;
			(agent, name, value, !force, max_fee, account, chain)
		}
		Command::List(ListArguments { agent, node }) => return list(&agent, &node, json).await,
		Command::Remove { agent, name, force, account, chain } => {
			(agent, name, Vec::new(), !force, None, account, chain)
		}
	};
	let account = account.open()?;
	let (node, chain) = (chain.url().to_owned(), chain.connect().await?);
	let agent = agent.resolve(&chain, &node).await?;
	let removes = value.is_empty();
	// A stranger hears of that first, and not of what its workers say.
	let (_, record) = agents::known(&chain, agent).await?;
	on_chain::check_owner(agent, &record, &account)?;
	if must_be_declared {
		check_declared(&name, &declared(&chain, agent).await?, removes)?;
	}
	let secrets = [(name.clone().into_bytes(), value)];
	let choices = Choices { max_fee, ..Choices::default() };
	let submitting = on_chain::submit_secrets(&chain, &account, agent, &secrets, choices);
	let (submitted, _) = step("sealing it and submitting it", submitting).await?;
	let request = submitted.request;
	let waiting = on_chain::settlement(&chain, request, submitted.block);
	let ((block, paid), _) = step("waiting until the agent has it", waiting).await?;
	if paid.failed {
		refuse!("SecretRefused", "the agent did not take the secret {name:?}, in block {block}: is it declared under `secrets` in agent.toml? It was paid all the same: {}", pha(paid.fee));
	}
	let has = if removes { "has no longer" } else { "has" };
	let text =
		format!("agent {agent:?} {has} {name} since block {block}; it cost {}", pha(paid.fee));
	output::tell(
		json,
		&SecretChanged { request: request.into(), block, fee: Amount(paid.fee) },
		text,
	)?;
	Ok(ExitCode::SUCCESS)
}

/// The names that the manifest of the agent's code declares.
async fn declared(chain: &Chain, agent: AgentId) -> anyhow::Result<BTreeSet<String>> {
	let (_, record) = agents::known(chain, agent).await?;
	let members = clusters::members(chain, record.cluster).await?;
	let asking = deployment::manifest(&members, record.code.manifest);
	Ok(step("asking the workers for the agent's manifest", asking).await?.0.secrets)
}

fn check_declared(name: &str, declared: &BTreeSet<String>, removes: bool) -> anyhow::Result<()> {
	let names = || match declared.len() {
		0 => "none".to_owned(),
		_ => declared.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
	};
	if !declared.contains(name) {
		let remedy = if removes {
			"so nothing would be removed; --force removes what only code of before declared"
		} else {
			"and it would never see another; add it to `secrets` in agent.toml and upgrade the agent, or set it now with --force"
		};
		refuse!(
			"SecretUndeclared",
			"the secret {name:?} was refused: the agent's manifest declares {}, {remedy}",
			names()
		);
	}
	Ok(())
}

async fn list(agent: &AgentName, node: &NodeOption, json: bool) -> anyhow::Result<ExitCode> {
	let chain = node.connect().await?;
	let agent = agent.resolve(&chain, &node.node).await?;
	let declared = declared(&chain, agent).await?;
	if json {
		output::print(&SecretsDeclared { agent: agent.into(), declared })?;
	} else {
		declared.iter().for_each(|name| show!("{name}"));
	}
	Ok(ExitCode::SUCCESS)
}

fn value(arguments: &SetArguments) -> anyhow::Result<Vec<u8>> {
	let (from, value) =
		match (&arguments.value_file, &arguments.value_env) {
			(Some(file), _) => {
				let shown = file.display();
				let value = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
				(format!("of {shown}"), value)
			}
			(None, Some(variable)) => {
				let value = std::env::var_os(variable);
				let Some(value) = value else {
					refuse!("Usage", "--value-env {variable}: this variable is not set")
				};
				(format!("of the variable {variable}"), value.into_vec())
			}
			(None, None) => {
				let mut input = std::io::stdin();
				if input.is_terminal() {
					say!("the value, then Ctrl-D (it is shown as you type; --value-file reads a file):");
				}
				let mut value = Vec::new();
				input.read_to_end(&mut value).context("cannot read standard input")?;
				("on standard input".into(), value)
			}
		};
	checked(&arguments.name, &from, value)
}

/// A value that an agent can be given. No error quotes it.
fn checked(name: &str, from: &str, mut value: Vec<u8>) -> anyhow::Result<Vec<u8>> {
	// Editors and echo end a text with a line's end.
	if value.ends_with(b"\n") {
		value.pop();
	}
	if value.is_empty() {
		refuse!(
			"SecretRefused",
			"an empty value {from} was refused for the secret {name:?}: `phala secrets remove` removes a secret"
		);
	}
	if let Err(error) = std::str::from_utf8(&value) {
		refuse!("SecretRefused", "the value {from} was refused for the secret {name:?}: byte {} is not UTF-8, and agents read secrets as text; encode it, as with base64, and decode it in the agent",
			error.valid_up_to());
	}
	Ok(value)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_name_that_no_code_asks_for_is_refused_with_those_that_it_does() {
		let declared = ["API_KEY", "WORD"].map(str::to_owned).into();
		assert!(check_declared("WORD", &declared, false).is_ok());
		let refused = check_declared("WROD", &declared, false).unwrap_err().to_string();
		assert!(refused.contains("declares API_KEY, WORD"), "{refused}");
		// Or its owner would believe that one is gone which is not.
		let refused = check_declared("WROD", &declared, true).unwrap_err().to_string();
		assert!(refused.contains("nothing would be removed"), "{refused}");
		let refused = check_declared("WORD", &BTreeSet::new(), false).unwrap_err().to_string();
		assert!(refused.contains("declares none") && refused.contains("--force"), "{refused}");
	}

	#[test]
	fn a_secret_that_is_no_text_is_refused_by_name_and_place_and_not_quoted() {
		let refused = checked("KEY", "of key.bin", b"abc\xff\xfeSECRET".to_vec()).unwrap_err();
		let refused = refused.to_string();
		for named in ["key.bin", "\"KEY\"", "byte 3", "UTF-8", "base64"] {
			assert!(refused.contains(named), "{refused}");
		}
		assert!(!refused.contains("SECRET"), "{refused}");
	}

	#[test]
	fn a_line_s_end_is_no_part_of_a_secret_and_nothing_is_none() {
		assert_eq!(checked("K", "", "schlüssel\n".into()).unwrap(), "schlüssel".as_bytes());
		assert_eq!(checked("K", "", b"two\n\n".to_vec()).unwrap(), b"two\n");
		for nothing in [&b""[..], b"\n"] {
			assert!(checked("K", "", nothing.to_vec()).is_err());
		}
	}
}
