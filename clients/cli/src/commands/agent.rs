//! `phala agent`: what the chain knows of an agent, and what its owner changes.

use crate::{
	accounts::AccountOptions,
	chain::NodeOption,
	commands::status::{self, Said},
	deployment,
	failure::CommandError,
	interrupt,
	names::{AccountName, AgentName, Names},
	output::{
		self,
		agents::{Agent, AgentChanged, AgentList, AgentStatus, ListedAgent, WorkerPrepared},
		operators::NotReady,
		words::Account,
	},
	steps::{chain_step, step},
	terminal,
};
use anyhow::Context;
use phala_chain_client::{accounts::check_funds, agents, clusters, Call};
use phala_protocol::{
	agents::{Access, AgentId, AgentRecord, UpgradePolicy},
	boot::WorkerId,
	text::{parse_pha, pha, Address},
	AccountBytes, Balance, BlockNumber,
};
use std::{
	collections::BTreeSet,
	io::{BufRead, IsTerminal},
	process::ExitCode,
};

/// 1,000 PHA a unit: who asks more mistook what is counted.
const UNUSUAL_PRICE: Balance = 1_000_000_000_000_000;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// The agents that an account owns on the chain, with the names that they have on this machine.
	List {
		/// Those of everybody.
		#[arg(long)]
		all: bool,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// What the chain knows of an agent.
	Status {
		/// Its name or id.
		agent: AgentName,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Puts new code in place of the old, as the agent's policy allows.
	Upgrade(super::upgrade::Arguments),
	/// Lets an account call an agent whose access is listed.
	Allow(ListArguments),
	/// Takes an account off an agent's list.
	Disallow(ListArguments),
	/// Sets who may call.
	Access {
		/// The agent's name or id.
		agent: AgentName,
		/// Anybody, or the owner and its list.
		access: AccessChoice,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Gives an agent up: its state is forgotten, and its deposit is the owner's again.
	Retire {
		/// The agent's name or id.
		agent: AgentName,
		/// Does not ask.
		#[arg(long)]
		yes: bool,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Offers an agent to another account, which takes it with `phala agent accept`.
	Transfer {
		/// The agent's name or id.
		agent: AgentName,
		/// Whose it is to be.
		to: AccountName,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Takes an agent over that is offered. Its deposit is held from the new owner.
	Accept {
		/// The agent's id.
		agent: AgentName,
		/// The most that you let be held for it. What is held now, if not said.
		#[arg(long, value_name = "PHA", value_parser = parse_pha)]
		deposit: Option<Balance>,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Sets the price of a unit of work, for requests from then on.
	Price {
		/// The agent's name or id.
		agent: AgentName,
		/// In PHA.
		#[arg(value_parser = parse_pha)]
		price: Balance,
		/// Also more than 1,000 PHA.
		#[arg(long)]
		force: bool,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
}

#[derive(Debug, clap::Args)]
pub struct ListArguments {
	/// The agent's name or id.
	agent: AgentName,
	/// Whom: a name or an address.
	caller: AccountName,
	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	node: NodeOption,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AccessChoice {
	/// Anybody.
	Public,
	/// The owner and the accounts on its list.
	Listed,
}

impl From<AccessChoice> for Access {
	fn from(choice: AccessChoice) -> Self {
		match choice {
			AccessChoice::Public => Self::Public,
			AccessChoice::Listed => Self::Listed,
		}
	}
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	match command {
		Command::List { all, account, node } => list(all, &account, &node, json).await?,
		Command::Status { agent, node } => show(&agent, &node, json).await?,
		Command::Upgrade(arguments) => return super::upgrade::run(arguments, json).await,
		Command::Allow(ListArguments { agent, caller, account, node }) => {
			let caller = caller.resolve()?;
			let call = |agent| agents::allow_caller(agent, caller.0);
			let check = Check::Listed { caller, is_to_be: true };
			change(&agent, call, check, &format!("{caller} may call"), &account, &node, json)
				.await?;
		}
		Command::Disallow(ListArguments { agent, caller, account, node }) => {
			let caller = caller.resolve()?;
			let call = |agent| agents::disallow_caller(agent, caller.0);
			let done = format!("{caller} is off its list");
			let check = Check::Listed { caller, is_to_be: false };
			change(&agent, call, check, &done, &account, &node, json).await?;
		}
		Command::Retire { agent, yes, account, node } => {
			if !yes {
				confirm(&format!("agent {agent} is given up for good, with its state"))?;
			}
			let done = "it is given up, and its deposit released";
			change(&agent, agents::retire, Check::Nothing, done, &account, &node, json).await?;
		}
		Command::Transfer { agent, to, account, node } => {
			let to = to.resolve()?;
			let call = |agent| agents::offer_transfer(agent, Some(to.0));
			let done = format!("it is offered to {to}");
			change(&agent, call, Check::Nothing, &done, &account, &node, json).await?;
		}
		Command::Accept { agent, deposit, account, node } => {
			let chain = node.connect().await?;
			let id = agent.resolve(&chain, &node.node).await?;
			let offered = agents::offered_to(&chain, id).await?;
			check_offered(id, offered, account.open()?.address())?;
			let held = agents::deposit(&chain, chain.finalized_head().await?, id).await?;
			let deposit_max = deposit.unwrap_or(held);
			if held > deposit_max {
				let message = format!(
					"{} would be held from this account, and --deposit allows {}: name at least {}",
					pha(held),
					pha(deposit_max),
					pha(held)
				);
				return Err(CommandError::new("DepositTooHigh", message).into());
			}
			say!("  {} will be held from this account while it has the agent", pha(held));
			check_funds(&chain, account.open()?.bytes(), "the agent's deposit", held).await?;
			let call = |agent| agents::accept_transfer(agent, deposit_max);
			let done = format!("it is this account's, and so is its deposit of {}", pha(held));
			change(&agent, call, Check::Nothing, &done, &account, &node, json).await?;
		}
		Command::Access { agent, access, account, node } => {
			let access = access.into();
			let call = |agent| agents::set_access(agent, access);
			change(&agent, call, Check::Access(access), access_text(access), &account, &node, json)
				.await?;
		}
		Command::Price { agent, price, force, account, node } => {
			if price > UNUSUAL_PRICE && !force {
				let message = format!(
					"{} a unit is more than any agent takes: `price` in agent.toml counts millionths of a millionth of a PHA, and this counts PHA; --force if that is meant",
					pha(price)
				);
				return Err(CommandError::new("PriceTooHigh", message).into());
			}
			let call = |agent| agents::set_price(agent, price);
			let done = format!("a unit of its work costs {}", pha(price));
			change(&agent, call, Check::Price(price), &done, &account, &node, json).await?;
		}
	}
	Ok(ExitCode::SUCCESS)
}

/// Has what cannot be taken back confirmed by whoever sits at a terminal.
fn confirm(what: &str) -> anyhow::Result<()> {
	let mut input = std::io::stdin();
	if !input.is_terminal() {
		refuse!("NotConfirmed", "nothing was done: {what}; --yes says that it is meant");
	}
	terminal::say(&format!("{what}. Is it meant? [y/N] "));
	let mut answer = String::new();
	std::io::BufReader::new(&mut input)
		.read_line(&mut answer)
		.context("cannot read standard input")?;
	if !["y", "yes"].contains(&&*answer.trim().to_ascii_lowercase()) {
		refuse!("NotConfirmed", "nothing was done");
	}
	Ok(())
}

/// What is looked at before a change is paid for: the chain would refuse it, or it would change nothing.
#[derive(Clone, Copy)]
enum Check {
	Nothing,
	Listed { caller: Address, is_to_be: bool },
	Access(Access),
	Price(Balance),
}

impl Check {
	fn of(
		self,
		agent: AgentId,
		record: &AgentRecord,
		callers: &[AccountBytes],
	) -> anyhow::Result<()> {
		match self {
			Self::Listed { caller, is_to_be: true } if callers.contains(&caller.0) => {
				refuse!("AlreadyAllowed", "{caller} is on the list of agent {agent:?} already")
			}
			Self::Listed { caller, is_to_be: false } if !callers.contains(&caller.0) => refuse!(
				"NotListed",
				"{caller} is not on the list of agent {agent:?}; `phala agent status` shows who is"
			),
			Self::Access(access) if record.access == access => {
				refuse!("NothingNew", "agent {agent:?}: {} already", access_text(access))
			}
			Self::Price(price) if record.unit_price == price => {
				refuse!(
					"NothingNew",
					"a unit of agent {agent:?}'s work costs {} already",
					pha(price)
				)
			}
			Self::Nothing | Self::Listed { .. } | Self::Access(_) | Self::Price(_) => Ok(()),
		}
	}
}

/// The same of who takes an agent over.
fn check_offered(
	agent: AgentId,
	offered: Option<AccountBytes>,
	account: Address,
) -> anyhow::Result<()> {
	if offered == Some(account.0) {
		return Ok(());
	}
	let to = match offered {
		Some(other) => format!("to {}, and not to {account}", Address(other)),
		None => "to nobody".into(),
	};
	refuse!("NotOffered", "agent {agent:?} is offered {to}: its owner does so with `phala agent transfer`; choose another account with --account or --suri")
}

async fn change(
	agent: &AgentName,
	call: impl FnOnce(AgentId) -> Call,
	check: Check,
	done: &str,
	account: &AccountOptions,
	node: &NodeOption,
	json: bool,
) -> anyhow::Result<()> {
	let account = account.open()?;
	let chain = node.connect().await?;
	let agent = agent.resolve(&chain, &node.node).await?;
	let (at, record) = agents::known(&chain, agent).await?;
	let call = call(agent);
	// Nobody would heed it, but for the way out.
	if call.call != "retire" {
		deployment::check_keys(&chain, record.cluster).await?;
	}
	// It is offered to somebody, and taken by that one.
	if call.call != "accept_transfer" {
		check_owner(agent, &record, account.address())?;
	}
	check.of(agent, &record, &agents::callers(&chain, at, agent).await?)?;
	let what = format!("{} for agent {agent:?}", call.name);
	let sender = interrupt::sender(&chain, account.keypair);
	let (included, _) = chain_step(&what, sender.send(call)).await?;
	let block = included.block.number;
	let following = deployment::followed(&chain, record.cluster, block, BTreeSet::new());
	step("waiting until the workers know it", following).await?;
	let text = format!("agent {agent:?}: {done}, from block {block} on");
	output::tell(json, &AgentChanged { agent: agent.into(), block }, text)
}

/// Before anything is paid: the chain would refuse it.
fn check_owner(agent: AgentId, record: &AgentRecord, account: Address) -> anyhow::Result<()> {
	if record.owner != account.0 {
		refuse!(
			"NotOwner",
			"{account} may not do this: {} owns agent {agent:?}; choose that account with --account or --suri",
			Address(record.owner)
		);
	}
	Ok(())
}

async fn list(
	all: bool,
	account: &AccountOptions,
	node: &NodeOption,
	json: bool,
) -> anyhow::Result<()> {
	let owner = if all { None } else { Some(account.open()?.bytes()) };
	let chain = node.connect().await?;
	let names = Names::of_user()?;
	let at = chain.finalized_head().await?;
	let mut shown = Vec::new();
	for (agent, record) in agents::all(&chain, at).await? {
		if owner.is_some_and(|owner| owner != record.owner) {
			continue;
		}
		let name = names.name_of(chain.genesis_hash(), agent)?;
		if !json {
			let name = name.as_deref().unwrap_or("-");
			show!("{name:<20} {agent:?}  cluster {}", record.cluster);
		}
		shown.push(ListedAgent { name, agent: Agent::new(agent, &record) });
	}
	if json {
		output::print(&AgentList { agents: shown, block: at.number })?;
	} else if shown.is_empty() {
		say!("  none as of block {}; `phala deploy` makes one", at.number);
	}
	Ok(())
}

async fn show(agent: &AgentName, node: &NodeOption, json: bool) -> anyhow::Result<()> {
	let chain = node.connect().await?;
	let agent = agent.resolve(&chain, &node.node).await?;
	let (at, record) = agents::known(&chain, agent).await?;
	let callers = agents::callers(&chain, at, agent).await?;
	let lease = clusters::lease(&chain, at, agent).await?;
	let pending = agents::pending(&chain, at, agent, &record).await?;
	let asked = status::of_all(
		clusters::members(&chain, record.cluster).await?,
		chain.finalized().await.ok(),
	)
	.await;
	let answers: Vec<_> = asked
		.into_iter()
		.map(|(member, said)| answers(agent, &record, member.worker, said))
		.collect();
	if json {
		return output::print(&AgentStatus {
			agent: Agent::new(agent, &record),
			callers: callers.into_iter().map(Account).collect(),
			lease: lease.map(Into::into),
			answers,
			pending: pending.as_ref().map(Into::into),
			block: at.number,
		});
	}
	let line = |name: &str, value: String| show!("{name:<12} {value}");
	line("agent", format!("{agent:?}"));
	line("owner", Address(record.owner).to_string());
	line("cluster", record.cluster.to_string());
	line("code", format!("{:?}, version {}", record.code.component, record.code_version));
	line("manifest", format!("{:?}", record.code.manifest));
	line("upgrades", upgrades_text(record.upgrades));
	if let Some(pending) = &pending {
		let agents::PendingUpgrade { code, runs_from } = pending;
		line("pending", format!("{:?}, {}", code.component, runs_text(*runs_from)));
		line("", format!("manifest {:?}", code.manifest));
	}
	line("may call", access_text(record.access).into());
	for caller in callers {
		line("", Address(caller).to_string());
	}
	line("unit price", pha(record.unit_price));
	line("timeout", format!("{} blocks", record.timeout));
	line(
		"key",
		record.key.map_or_else(
			|| "none: it waits for its birth".into(),
			|key| format!("version {}, 0x{}", key.version, hex::encode(key.key)),
		),
	);
	line("state", format!("version {}", record.version));
	line(
		"writes",
		lease.map_or_else(
			|| "nobody can".into(),
			|lease| format!("worker {}, boot {}", lease.worker, lease.boot),
		),
	);
	let ready = answers.iter().filter(|of| of.ready).map(|of| format!("worker {}", of.worker));
	let ready = ready.collect::<Vec<_>>().join(", ");
	line("answers", if ready.is_empty() { "nobody".into() } else { ready });
	for WorkerPrepared { worker, message, .. } in answers.iter().filter(|of| !of.ready) {
		let why = message.as_deref().unwrap_or("it does not say why");
		line("", terminal::line(&format!("not worker {worker}: {why}")));
	}
	line("as of block", at.number.to_string());
	if !answers.iter().any(|of| of.ready) {
		if let Some(lost) = deployment::lost_keys(&chain, record.cluster).await? {
			say!("  {lost:#}");
		}
	}
	Ok(())
}

/// Whether an agent answers at a worker, as that one says.
fn answers(
	agent: AgentId,
	record: &AgentRecord,
	worker: WorkerId,
	said: anyhow::Result<Said>,
) -> WorkerPrepared {
	let message = match said {
		Err(error) => Some(format!("{error:#}")),
		// It may count it: its code is there, and nothing lacks but its birth.
		Ok(_) if record.key.is_none() => Some("the agent waits for its birth".into()),
		Ok((info, not_ready)) => match not_ready.into_iter().find(|of| of.agent.0 == agent) {
			Some(NotReady { lacks, .. }) => {
				Some(lacks.unwrap_or_else(|| "it is not ready there".into()))
			}
			// It counts those that answer, and named those that do not.
			None if info.agents_ready > Some(0) => None,
			None if info.fresh == Some(true) => Some(format!("its phase is {}", info.phase.name())),
			None => Some(info.freshness.unwrap_or_else(|| "its view of the chain is old".into())),
		},
	};
	WorkerPrepared { worker, ready: message.is_none(), message }
}

/// From when on code runs that does not yet.
pub fn runs_text(runs_from: Option<BlockNumber>) -> String {
	match runs_from {
		Some(block) => format!("runs from block {block} on"),
		None => "runs when its owner says".into(),
	}
}

pub fn access_text(access: Access) -> &'static str {
	match access {
		Access::Public => "anybody may call",
		Access::Listed => "its owner and those on its list may call",
	}
}

fn upgrades_text(policy: UpgradePolicy) -> String {
	match policy {
		UpgradePolicy::Immutable => "immutable".into(),
		UpgradePolicy::AfterNotice(blocks) => format!("after {blocks} blocks of notice"),
		UpgradePolicy::Free => "free".into(),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::{
		agents::{AgentCode, AgentKey},
		H256,
	};
	use serde_json::json;

	fn unborn() -> AgentRecord {
		AgentRecord {
			owner: [9; 32],
			cluster: 0,
			code: AgentCode { component: H256::zero(), manifest: H256::zero() },
			code_version: 1,
			upgrades: UpgradePolicy::Free,
			access: Access::Listed,
			unit_price: 5,
			timeout: 10,
			key: None,
			version: 1,
			state_hash: H256::zero(),
		}
	}

	#[test]
	fn what_would_change_nothing_is_refused_before_it_is_paid_for() {
		let (agent, listed, other) = (H256([7; 32]), Address([1; 32]), Address([2; 32]));
		let record = unborn();
		let code = |check: Check| {
			let refused = check.of(agent, &record, &[listed.0]).err()?;
			Some(crate::failure::body(&refused).code)
		};
		let to_be = |caller, is_to_be| code(Check::Listed { caller, is_to_be });
		assert_eq!(to_be(listed, true).as_deref(), Some("AlreadyAllowed"));
		assert_eq!((to_be(other, true), to_be(listed, false)), (None, None));
		assert_eq!(to_be(other, false).as_deref(), Some("NotListed"));
		assert_eq!(code(Check::Access(Access::Listed)).as_deref(), Some("NothingNew"));
		assert_eq!(code(Check::Access(Access::Public)), None);
		assert_eq!(code(Check::Price(5)).as_deref(), Some("NothingNew"));
		assert_eq!((code(Check::Price(6)), code(Check::Nothing)), (None, None));
		assert!(check_offered(agent, Some(listed.0), listed).is_ok());
		for offered in [None, Some(other.0)] {
			let refused = check_offered(agent, offered, listed).unwrap_err();
			assert_eq!(crate::failure::body(&refused).code, "NotOffered");
		}
	}

	#[test]
	fn who_answers_for_an_agent_is_told_and_why_the_others_do_not() {
		let (agent, other) = (H256([1; 32]), H256([2; 32]));
		let born = AgentRecord { key: Some(AgentKey { version: 1, key: [1; 32] }), ..unborn() };
		let said = |ready: u64, fresh: bool, lacks: Option<H256>| {
			let info = json!({
				"phase": "awaits-registration", "fresh": fresh, "freshness": "3 s old", "agentsReady": ready,
			});
			let lacks = lacks.map(|agent| NotReady {
				agent: agent.into(),
				name: None,
				lacks: Some("its code".into()),
			});
			Ok((serde_json::from_value(info).unwrap(), lacks.into_iter().collect()))
		};
		let why = |said| {
			let WorkerPrepared { ready, message, .. } = answers(agent, &born, 7, said);
			assert_eq!(ready, message.is_none());
			message.unwrap_or_default()
		};
		assert_eq!(why(said(1, true, Some(other))), "");
		let of_unborn = answers(agent, &unborn(), 7, said(1, true, Some(other)));
		assert_eq!(of_unborn.message.as_deref(), Some("the agent waits for its birth"));
		assert_eq!(why(said(1, true, Some(agent))), "its code");
		assert_eq!(why(said(0, false, None)), "3 s old");
		assert_eq!(why(said(0, true, None)), "its phase is awaits-registration");
		assert_eq!(why(Err(anyhow::anyhow!("it hangs"))), "it hangs");
	}
}
