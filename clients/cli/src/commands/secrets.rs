//! `phala secrets`: what an agent's owner gives it, sealed to the agent, through the chain. A
//! value is never an argument: others on this machine can see those.

use crate::{
	accounts::{AccountOptions, Accounts},
	calls::{
		ending::{self, paid_text, CodeNow, SecretRefused, Settled},
		on_chain::{self, Choices, Submitted},
	},
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
	agents::AgentId, refusals::RefusalCode, requests::RequestId, text::parse_pha, Balance,
	BlockNumber,
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
		/// The last block at which the agent may take it. With it the request is submitted at once.
		#[arg(long, value_name = "BLOCK")]
		deadline: Option<BlockNumber>,
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

	/// The last block at which the agent may take it. With it the request is submitted at once, whoever of its
	/// workers answers.
	#[arg(long, value_name = "BLOCK")]
	deadline: Option<BlockNumber>,

	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	chain: ChainOptions,
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	let (agent, name, value, must_be_declared, choices, account, chain) = match command {
		Command::Set(arguments) => {
			let value = value(&arguments)?;
			let SetArguments { agent, name, force, max_fee, deadline, account, chain, .. } =
				arguments;
			let choices = Choices { max_fee, deadline, ..Choices::default() };
			(agent, name, value, !force, choices, account, chain)
		}
		Command::List(ListArguments { agent, node }) => return list(&agent, &node, json).await,
		Command::Remove { agent, name, force, deadline, account, chain } => {
			let choices = Choices { deadline, ..Choices::default() };
			(agent, name, Vec::new(), !force, choices, account, chain)
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
	let accounts = Accounts::of_user()?;
	let give = async || {
		let submitting =
			on_chain::submit_secrets(&chain, &account, &accounts, agent, &secrets, choices);
		let (submitted, _) = step("sealing it and submitting it", submitting).await?;
		let Submitted { request, block, terms } = submitted;
		let waiting = ending::settlement(&chain, request, block, Some(terms.base_fee));
		let ((block, settled), _) = step("waiting until the agent has it", waiting).await?;
		let refusal = match settled.failed {
			true => ending::refusal(&chain, request).await?,
			false => None,
		};
		Ok(Given { request, block, base_fee: terms.base_fee, settled, refusal })
	};
	let code = async || CodeNow::of(&chain, agent).await;
	let Given { request, block, base_fee, settled, .. } = given(&name, give, code).await?;
	let has = if removes { "has no longer" } else { "has" };
	let text = format!(
		"agent {agent:?} {has} {name} since block {block}; it cost {}",
		paid_text(settled.fee, Some(base_fee))
	);
	let (fee, base_fee) = (Amount(settled.fee), Amount(base_fee));
	output::tell(json, &SecretChanged { request: request.into(), block, fee, base_fee }, text)?;
	Ok(ExitCode::SUCCESS)
}

/// What came of giving an agent a secret.
struct Given {
	request: RequestId,
	block: BlockNumber,
	base_fee: Balance,
	settled: Settled,
	/// Why the agent did not take it, if the chain keeps that.
	refusal: Option<RefusalCode>,
}

/// Gives an agent a secret, and once more if its code changed between: who gives it means whatever code has that
/// name. What was paid is of both.
async fn given(
	name: &str,
	give: impl AsyncFn() -> anyhow::Result<Given>,
	code: impl AsyncFn() -> Option<CodeNow>,
) -> anyhow::Result<Given> {
	let mut given = give().await?;
	let is_of_other_code = |given: &Given| given.refusal.is_some_and(ending::is_of_other_code);
	if is_of_other_code(&given) {
		let paid = paid_text(given.settled.fee, Some(given.base_fee));
		let changed = CodeNow::changed(code().await);
		say!(
			"  {changed}; what was sealed for the code of before was not read, and cost {paid}. Sealing it anew"
		);
		let first = given;
		given = give().await?;
		given.base_fee = given.base_fee.saturating_add(first.base_fee);
		given.settled.fee = given.settled.fee.saturating_add(first.settled.fee);
	}
	if !given.settled.failed {
		return Ok(given);
	}
	let paid = paid_text(given.settled.fee, Some(given.base_fee));
	let Given { refusal, block, .. } = given;
	let called = &format!("the secret {name:?}");
	Err(SecretRefused { called, refusal, block, paid: &paid }.error(code).await.into())
}

/// The names that the manifest of the agent's code declares.
async fn declared(chain: &Chain, agent: AgentId) -> anyhow::Result<BTreeSet<String>> {
	let (_, record) = agents::known(chain, agent).await?;
	deployment::check_keys(chain, record.cluster).await?;
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
	use phala_protocol::{refusals::Refusal, H256};
	use std::cell::Cell;

	/// An agent that is given a secret again and again, and takes it or not.
	async fn gives(endings: &[Option<Refusal>]) -> (usize, anyhow::Result<Given>) {
		const FEE: Balance = 1_000_000_000;
		let times = Cell::new(0);
		let give = async || {
			let refusal = endings[times.replace(times.get() + 1)].map(Refusal::code);
			let failed = refusal.is_some();
			let settled = Settled { failed, units: 1, fee: FEE, refunded: 0, shares: None };
			Ok(Given { request: H256::zero(), block: 359, base_fee: 10 * FEE, settled, refusal })
		};
		let given = given("ANSWER", give, async || None).await;
		(times.get(), given)
	}

	#[tokio::test]
	async fn a_secret_that_was_sealed_for_the_code_of_before_is_sealed_anew_once() {
		const PHA_BOTH: Balance = 22_000_000_000;
		let cost = |given: &Given| given.settled.fee + given.base_fee;
		let (times, given) = gives(&[None]).await;
		assert_eq!((times, cost(&given.unwrap())), (1, PHA_BOTH / 2));
		let changed = Some(Refusal::CodeNotAccepted);
		let (times, given) = gives(&[changed, None]).await;
		assert_eq!((times, cost(&given.unwrap())), (2, PHA_BOTH));
		let (times, refused) = gives(&[changed, changed]).await;
		let refused = crate::failure::body(&refused.err().unwrap());
		assert_eq!((times, &*refused.code), (2, "CodeNotAccepted"));
		for part in
			["code changed", "as it was before", "0.002 PHA and the base fee of 0.02", "once more"]
		{
			assert!(refused.message.contains(part), "{part}: {}", refused.message);
		}
	}

	#[tokio::test]
	async fn a_secret_that_the_agent_did_not_take_is_not_blamed_on_its_manifest() {
		let (times, refused) = gives(&[Some(Refusal::Expired)]).await;
		let refused = crate::failure::body(&refused.err().unwrap());
		assert_eq!((times, &*refused.code), (1, "SecretRefused"));
		assert!(refused.message.contains("(Expired)"), "{}", refused.message);
		assert!(!refused.message.contains("agent.toml"), "{}", refused.message);
		assert!(refused.message.contains("the base fee of 0.01 PHA"), "{}", refused.message);
	}

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
