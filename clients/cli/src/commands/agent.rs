//! `phala agent`: what the chain knows of an agent, and what its owner changes.

use crate::{
	accounts::AccountOptions,
	chain::NodeOption,
	deployment,
	names::{AccountName, AgentName, Names},
	output::{
		self,
		agents::{Agent, AgentChanged, AgentList, AgentStatus, ListedAgent},
		words::Account,
	},
	steps::{chain_step, step},
};
use phala_chain_client::{agents, clusters, Call, Sender};
use phala_protocol::{
	agents::{Access, AgentId, UpgradePolicy},
	text::{parse_pha, pha, Address},
	Balance, BlockNumber,
};
use std::process::ExitCode;

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
		Command::Status { agent, node } => status(&agent, &node, json).await?,
		Command::Upgrade(arguments) => return super::upgrade::run(arguments, json).await,
		Command::Allow(ListArguments { agent, caller, account, node }) => {
			let caller = caller.resolve()?;
			let call = |agent| agents::allow_caller(agent, caller.0);
			change(&agent, call, &format!("{caller} may call"), &account, &node, json).await?;
		}
		Command::Disallow(ListArguments { agent, caller, account, node }) => {
			let caller = caller.resolve()?;
			let call = |agent| agents::disallow_caller(agent, caller.0);
			let done = format!("{caller} is off its list");
			change(&agent, call, &done, &account, &node, json).await?;
		}
		Command::Retire { agent, account, node } => {
			let done = "it is given up, and its deposit released";
			change(&agent, agents::retire, done, &account, &node, json).await?;
		}
		Command::Transfer { agent, to, account, node } => {
			let to = to.resolve()?;
			let call = |agent| agents::offer_transfer(agent, Some(to.0));
			let done = format!("it is offered to {to}");
			change(&agent, call, &done, &account, &node, json).await?;
		}
		Command::Accept { agent, account, node } => {
			let done = "it is this account's";
			change(&agent, agents::accept_transfer, done, &account, &node, json).await?;
		}
		Command::Access { agent, access, account, node } => {
			let access = access.into();
			let call = |agent| agents::set_access(agent, access);
			change(&agent, call, access_text(access), &account, &node, json).await?;
		}
		Command::Price { agent, price, account, node } => {
			let call = |agent| agents::set_price(agent, price);
			let done = format!("a unit of its work costs {}", pha(price));
			change(&agent, call, &done, &account, &node, json).await?;
		}
	}
	Ok(ExitCode::SUCCESS)
}

async fn change(
	agent: &AgentName,
	call: impl FnOnce(AgentId) -> Call,
	done: &str,
	account: &AccountOptions,
	node: &NodeOption,
	json: bool,
) -> anyhow::Result<()> {
	let account = account.open()?;
	let chain = node.connect().await?;
	let agent = agent.resolve(&chain, &node.node).await?;
	let (_, record) = agents::known(&chain, agent).await?;
	let call = call(agent);
	let what = format!("{} for agent {agent:?}", call.name);
	let sender = Sender::new(&chain, account.keypair);
	let (included, _) = chain_step(&what, sender.send(call)).await?;
	let block = included.block.number;
	let following = deployment::followed(&chain, record.cluster, block);
	step("waiting until the workers know it", following).await?;
	let text = format!("agent {agent:?}: {done}, from block {block} on");
	output::tell(json, &AgentChanged { agent: agent.into(), block }, text)
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

async fn status(agent: &AgentName, node: &NodeOption, json: bool) -> anyhow::Result<()> {
	let chain = node.connect().await?;
	let agent = agent.resolve(&chain, &node.node).await?;
	let (at, record) = agents::known(&chain, agent).await?;
	let callers = agents::callers(&chain, at, agent).await?;
	let lease = clusters::lease(&chain, at, agent).await?;
	let pending = agents::pending(&chain, at, agent, &record).await?;
	if json {
		return output::print(&AgentStatus {
			agent: Agent::new(agent, &record),
			callers: callers.into_iter().map(Account).collect(),
			lease: lease.map(Into::into),
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
	line("as of block", at.number.to_string());
	Ok(())
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
