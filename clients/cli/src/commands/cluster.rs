//! `phala cluster`: groups of workers that keep the same agents.

use crate::{
	accounts::AccountOptions,
	chain::NodeOption,
	commands::{status, worker},
	deployment, failure, interrupt,
	names::{AccountName, AgentName},
	output::{
		self,
		operators::{
			readiness, AgentEvicted, ClusterChanged, ClusterMade, ClusterStatus, Member,
			MembershipChanged, Phase,
		},
	},
	steps::{chain_step, step},
	terminal,
};
use phala_chain_client::{accounts::check_funds, agents, clusters, Call, Chain, Sender};
use phala_protocol::{
	boot::WorkerId,
	clusters::Opening,
	mailbox::ClusterId,
	text::{parse_pha, pha, Address},
	AccountBytes, Balance,
};
use std::{collections::BTreeSet, process::ExitCode};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// Creates a cluster; its creator decides who may join.
	Create {
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Asks for a worker to become a member. By the worker's operator.
	Join {
		/// The cluster's number.
		cluster: ClusterId,
		/// The worker's number.
		worker: WorkerId,
		/// Base URL of the worker's public server, as others reach it.
		url: String,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Lets a worker in that asked for it. By the cluster's owner.
	Approve {
		/// The cluster's number.
		cluster: ClusterId,
		/// The worker's number.
		worker: WorkerId,
		/// Also if the worker is not reached from here at the URL that its operator gave.
		#[arg(long)]
		force: bool,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Takes a worker out of its cluster, or its request to join one back. By the worker's operator.
	Leave {
		/// The worker's number.
		worker: WorkerId,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Says where a member is reached from now on. By the worker's operator.
	Endpoint {
		/// The worker's number.
		worker: WorkerId,
		/// Base URL of the worker's public server, as others reach it.
		url: String,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Takes a member out of the cluster, or declines its request to join. By the cluster's owner.
	Remove {
		/// The cluster's number.
		cluster: ClusterId,
		/// The worker's number.
		worker: WorkerId,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Lets anybody deploy agents in the cluster, on these terms. By its owner.
	Open {
		/// The cluster's number.
		cluster: ClusterId,
		/// The least that a unit of their work costs, in PHA.
		#[arg(long, value_parser = parse_pha, default_value = "0")]
		price_floor: Balance,
		/// What is held for each of them, in PHA, if that is more than the chain asks for.
		#[arg(long, value_parser = parse_pha, default_value = "0")]
		deposit: Balance,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Lets nobody but the owner, and whom it admits, deploy any more: as a cluster is at first. Agents
	/// that are there stay.
	Close {
		/// The cluster's number.
		cluster: ClusterId,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Lets an account deploy in the cluster as its owner does.
	Admit(DeveloperArguments),
	/// Lets an account no longer deploy in the cluster: takes `admit` back.
	Dismiss(DeveloperArguments),
	/// Throws an agent out of the caller's cluster: the first time gives notice.
	Evict {
		/// The agent's name or id.
		agent: AgentName,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Offers the cluster to another account, which takes it with `phala cluster accept`.
	Transfer {
		/// The cluster's number.
		cluster: ClusterId,
		/// Whose it is to be.
		to: AccountName,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Takes a cluster over that is offered. Its deposit is held from the new owner.
	Accept {
		/// The cluster's number.
		cluster: ClusterId,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// The members of a cluster, and what they say of themselves.
	Status {
		/// The cluster's number.
		cluster: ClusterId,
		#[command(flatten)]
		node: NodeOption,
	},
}

#[derive(Debug, clap::Args)]
pub struct DeveloperArguments {
	/// The cluster's number.
	cluster: ClusterId,
	/// Whose address.
	developer: AccountName,
	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	node: NodeOption,
}

impl DeveloperArguments {
	async fn admit(self, admitted: bool, json: bool) -> anyhow::Result<()> {
		let Self { cluster, developer, account, node } = self;
		let developer = developer.resolve()?;
		let call = clusters::admit_developer(cluster, developer.0, admitted);
		let done = match admitted {
			true => format!("{developer} deploys in cluster {cluster} as its owner does"),
			false => format!("{developer} does not deploy in cluster {cluster} any more"),
		};
		change(cluster, call, &done, &account, &node, json).await
	}
}

/// Sends a call of a cluster's owner, and says what it did.
async fn change(
	cluster: ClusterId,
	call: Call,
	done: &str,
	account: &AccountOptions,
	node: &NodeOption,
	json: bool,
) -> anyhow::Result<()> {
	let (_, sender) = of_owner(cluster, account, node).await?;
	send(cluster, call, done, &sender, json).await
}

async fn send(
	cluster: ClusterId,
	call: Call,
	done: &str,
	sender: &Sender,
	json: bool,
) -> anyhow::Result<()> {
	let what = format!("{} for cluster {cluster}", call.name);
	let block = chain_step(&what, sender.send(call)).await?.0.block.number;
	output::tell(json, &ClusterChanged { cluster, block }, format!("{done}, from block {block} on"))
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	match command {
		Command::Create { account, node } => {
			let account = account.open()?;
			let chain = node.connect().await?;
			let deposit = chain.amount("Clusters", "ClusterDeposit").await?;
			check_funds(&chain, account.bytes(), "a cluster's deposit", deposit).await?;
			let sender = interrupt::sender(&chain, account.keypair);
			let ((cluster, block), _) =
				chain_step("creating a cluster", clusters::create(&sender)).await?;
			output::tell(json, &ClusterMade { cluster, block }, format!("cluster {cluster}"))?;
		}
		Command::Join { cluster, worker, url, account, node } => {
			let account = account.open()?;
			let chain = node.connect().await?;
			clusters::known_owner(&chain, cluster).await?;
			worker::check_operator(&chain, worker, account.address()).await?;
			if let Ok(joined) = clusters::cluster_of(&chain, worker).await {
				refuse!(
					"AlreadyMember",
					"worker {worker} is a member of cluster {joined}, or asked to be one: `phala cluster leave {worker}` takes it out, or its request back"
				);
			}
			if chain.current_boot(worker).await?.is_none() {
				refuse!(
					"NoBoot",
					"worker {worker} has no boot that the chain knows: start its pruntime and its pherry first; `phala worker status {worker}` shows how it is"
				);
			}
			let sender = interrupt::sender(&chain, account.keypair);
			let asking = clusters::request_join(&sender, cluster, worker, &url);
			let block = chain_step("asking to join", asking).await?.0.block.number;
			let text = format!("worker {worker} asked to join cluster {cluster}; its owner runs `phala cluster approve {cluster} {worker}`");
			output::tell(json, &MembershipChanged { cluster, worker, block }, text)?;
		}
		Command::Approve { cluster, worker, force, account, node } => {
			let (chain, sender) = of_owner(cluster, &account, &node).await?;
			let applicant = clusters::applicant(&chain, cluster, worker).await?;
			if !force {
				check_reached(worker, &applicant.endpoint).await?;
			}
			let clusters::Applicant { boot, measurement, endpoint, .. } = &applicant;
			let what = format!(
				"letting in worker {worker}: boot {boot}, measurement {measurement:?}, at {}",
				terminal::line(endpoint)
			);
			let approving = sender.send(clusters::approve_join(cluster, &applicant));
			let block = chain_step(&what, approving).await?.0.block.number;
			let following = deployment::followed(&chain, cluster, block, BTreeSet::new());
			step("waiting until the workers know it", following).await?;
			let text = format!("worker {worker} is a member of cluster {cluster}");
			output::tell(json, &MembershipChanged { cluster, worker, block }, text)?;
		}
		Command::Leave { worker, account, node } => {
			let account = account.open()?;
			let chain = node.connect().await?;
			worker::check_operator(&chain, worker, account.address()).await?;
			let cluster = clusters::cluster_of(&chain, worker).await?;
			let sender = interrupt::sender(&chain, account.keypair);
			let what = format!("taking worker {worker} out of cluster {cluster}");
			let leaving = sender.send(clusters::leave(cluster, worker));
			let block = chain_step(&what, leaving).await?.0.block.number;
			let text =
				format!("worker {worker} is out of cluster {cluster}, from block {block} on");
			output::tell(json, &MembershipChanged { cluster, worker, block }, text)?;
		}
		Command::Endpoint { worker, url, account, node } => {
			let call = clusters::set_endpoint(worker, &url)?;
			let account = account.open()?;
			let chain = node.connect().await?;
			worker::check_operator(&chain, worker, account.address()).await?;
			let cluster = clusters::cluster_of(&chain, worker).await?;
			let members = clusters::members(&chain, cluster).await?;
			let is_it = url.trim_end_matches('/');
			if members.iter().any(|member| member.worker == worker && member.endpoint == is_it) {
				refuse!(
					"NothingNew",
					"worker {worker} is reached at {} already, as the chain says",
					terminal::line(&url)
				);
			}
			let sender = interrupt::sender(&chain, account.keypair);
			let what = format!("moving worker {worker} to {}", terminal::line(&url));
			let block = chain_step(&what, sender.send(call)).await?.0.block.number;
			let following = deployment::followed(&chain, cluster, block, BTreeSet::new());
			step("waiting until the workers know it", following).await?;
			let text = format!(
				"worker {worker} of cluster {cluster} is reached at {}, from block {block} on",
				terminal::line(&url)
			);
			output::tell(json, &MembershipChanged { cluster, worker, block }, text)?;
		}
		Command::Remove { cluster, worker, account, node } => {
			let (chain, sender) = of_owner(cluster, &account, &node).await?;
			if clusters::cluster_of(&chain, worker).await? != cluster {
				refuse!(
					"NotMember",
					"worker {worker} is no member of cluster {cluster}, and asked to be none; `phala cluster status {cluster}` shows who is"
				);
			}
			let what = format!("removing worker {worker} from cluster {cluster}");
			let removing = sender.send(clusters::remove_member(cluster, worker));
			let block = chain_step(&what, removing).await?.0.block.number;
			let text =
				format!("worker {worker} is out of cluster {cluster}, from block {block} on");
			output::tell(json, &MembershipChanged { cluster, worker, block }, text)?;
		}
		Command::Open { cluster, price_floor, deposit, account, node } => {
			let call = clusters::set_open(cluster, Some(Opening { price_floor, deposit }));
			let done = format!(
				"anybody deploys in cluster {cluster}, at {} a unit or more and a deposit of {} or the chain's",
				pha(price_floor),
				pha(deposit)
			);
			change(cluster, call, &done, &account, &node, json).await?;
		}
		Command::Close { cluster, account, node } => {
			let call = clusters::set_open(cluster, None);
			let done = format!("cluster {cluster} takes no agents of others");
			change(cluster, call, &done, &account, &node, json).await?;
		}
		Command::Admit(arguments) => arguments.admit(true, json).await?,
		Command::Dismiss(arguments) => arguments.admit(false, json).await?,
		Command::Evict { agent, account, node } => evict(&agent, &account, &node, json).await?,
		Command::Transfer { cluster, to, account, node } => {
			let to = to.resolve()?;
			let call = clusters::offer_transfer(cluster, Some(to.0));
			let done = format!("cluster {cluster} is offered to {to}");
			change(cluster, call, &done, &account, &node, json).await?;
		}
		Command::Accept { cluster, account, node } => {
			let call = clusters::accept_transfer(cluster);
			let done = format!("cluster {cluster} is this account's");
			let account = account.open()?;
			let chain = node.connect().await?;
			clusters::known_owner(&chain, cluster).await?;
			let sender = interrupt::sender(&chain, account.keypair);
			send(cluster, call, &done, &sender, json).await?;
		}
		Command::Status { cluster, node } => show(cluster, &node, json).await?,
	}
	Ok(ExitCode::SUCCESS)
}

async fn evict(
	agent: &AgentName,
	account: &AccountOptions,
	node: &NodeOption,
	json: bool,
) -> anyhow::Result<()> {
	let account = account.open()?;
	let chain = node.connect().await?;
	let agent = agent.resolve(&chain, &node.node).await?;
	let (_, record) = agents::known(&chain, agent).await?;
	let owner = clusters::known_owner(&chain, record.cluster).await?;
	check_owner(record.cluster, owner, account.address())?;
	let sender = interrupt::sender(&chain, account.keypair);
	let what = format!("evicting agent {agent:?}");
	let (included, _) = chain_step(&what, sender.send(agents::evict(agent))).await?;
	let (block, notice) = (included.block.number, agents::eviction_announced(&included));
	let text = match notice {
		Some(at) => {
			format!("agent {agent:?} has notice; from block {at} on the same command throws it out")
		}
		None => format!("agent {agent:?} is out, from block {block} on"),
	};
	output::tell(json, &AgentEvicted { agent: agent.into(), block, from: notice }, text)
}

/// Before anything is paid: the chain would refuse it.
fn check_owner(cluster: ClusterId, owner: AccountBytes, account: Address) -> anyhow::Result<()> {
	if owner != account.0 {
		refuse!(
			"NotOwner",
			"{account} may not do this: {} owns cluster {cluster}, and decides who may join; choose that account with --account or --suri",
			Address(owner)
		);
	}
	Ok(())
}

/// One that nobody reaches is asked for pages and writes all the same, and keeps everybody waiting.
async fn check_reached(worker: WorkerId, url: &str) -> anyhow::Result<()> {
	let why = match status::info(url).await.map(|info| info.worker) {
		Ok(Some(found)) if found == worker => return Ok(()),
		Ok(Some(found)) => format!("worker {found} answers there"),
		Ok(None) => "who answers there is no worker yet".to_owned(),
		Err(error) => format!("{error:#}"),
	};
	refuse!(
		"NotReached",
		"worker {worker} asked to be reached at {}, and is not: {why}. Its operator says where with `phala cluster leave {worker}` and another `phala cluster join`; --force lets it in all the same, if others reach it there",
		terminal::line(url)
	)
}

/// Of the account that was chosen, which owns the cluster.
async fn of_owner(
	cluster: ClusterId,
	account: &AccountOptions,
	node: &NodeOption,
) -> anyhow::Result<(Chain, Sender)> {
	let account = account.open()?;
	let chain = node.connect().await?;
	check_owner(cluster, clusters::known_owner(&chain, cluster).await?, account.address())?;
	let sender = interrupt::sender(&chain, account.keypair);
	Ok((chain, sender))
}

/// Of the account that was chosen.
pub async fn sender(account: &AccountOptions, node: &NodeOption) -> anyhow::Result<Sender> {
	let account = account.open()?;
	Ok(interrupt::sender(&node.connect().await?, account.keypair))
}

async fn show(cluster: ClusterId, node: &NodeOption, json: bool) -> anyhow::Result<()> {
	let chain = node.connect().await?;
	let asked =
		status::of_all(clusters::members(&chain, cluster).await?, chain.finalized().await.ok())
			.await;
	let mut members = Vec::new();
	for (member, said) in asked {
		let (said, mut agents_not_ready, error) = match said {
			Ok((info, not_ready)) => (Some(info), not_ready, None),
			Err(error) => (None, Vec::new(), Some(failure::body(&error))),
		};
		status::name(&mut agents_not_ready, chain.genesis_hash());
		let phase = said.as_ref().map(|info| info.phase);
		let (agents, agents_ready) =
			said.map_or((None, None), |info| (info.agents, info.agents_ready));
		if !json {
			let said = error.as_ref().map(|error| error.message.clone());
			let stands =
				|phase: Phase| phase.name() + &readiness(agents, agents_ready, &agents_not_ready);
			let said = said.or(phase.map(stands)).unwrap_or_default();
			let (said, url) = (terminal::line(&said), terminal::line(&member.endpoint));
			show!("worker {:<4} {url:<32} {said}", member.worker);
		}
		let (worker, url) = (member.worker, member.endpoint);
		members.push(Member { worker, url, phase, agents, agents_ready, agents_not_ready, error });
	}
	if json {
		output::print(&ClusterStatus { cluster, members })?;
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn only_its_owner_lets_workers_into_a_cluster_and_others_do_not_pay_to_hear_it() {
		let (owner, stranger) = (Address([1; 32]), Address([9; 32]));
		let code = |owner, account| {
			let refused = check_owner(3, owner, account).err()?;
			Some(failure::body(&refused).code)
		};
		assert_eq!(code(owner.0, owner), None);
		assert_eq!(code(owner.0, stranger).as_deref(), Some("NotOwner"));
	}
}
