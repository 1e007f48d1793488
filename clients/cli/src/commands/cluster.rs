//! `phala cluster`: groups of workers that keep the same agents.

use crate::{
	accounts::AccountOptions,
	chain::NodeOption,
	commands::status,
	deployment, failure,
	output::{
		self,
		operators::{ClusterMade, ClusterStatus, Member, MembershipChanged},
	},
	steps::{chain_step, step},
	terminal,
};
use phala_chain_client::{accounts::check_funds, clusters, Sender};
use phala_protocol::{boot::WorkerId, mailbox::ClusterId};
use std::process::ExitCode;

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
		cluster: ClusterId,
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
		cluster: ClusterId,
		worker: WorkerId,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// The members of a cluster, and what they say of themselves.
	Status {
		cluster: ClusterId,
		#[command(flatten)]
		node: NodeOption,
	},
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	match command {
		Command::Create { account, node } => {
			let account = account.open()?;
			let chain = node.connect().await?;
			let deposit = chain.amount("Clusters", "ClusterDeposit").await?;
			check_funds(&chain, account.bytes(), "a cluster's deposit", deposit).await?;
			let sender = Sender::new(&chain, account.keypair);
			let ((cluster, block), _) =
				chain_step("creating a cluster", clusters::create(&sender)).await?;
			output::tell(json, &ClusterMade { cluster, block }, format!("cluster {cluster}"))?;
		}
		Command::Join { cluster, worker, url, account, node } => {
			let sender = sender(&account, &node).await?;
			let asking = clusters::request_join(&sender, cluster, worker, &url);
			let block = chain_step("asking to join", asking).await?.0.block.number;
			let text = format!("worker {worker} asked to join cluster {cluster}; its owner runs `phala cluster approve {cluster} {worker}`");
			output::tell(json, &MembershipChanged { cluster, worker, block }, text)?;
		}
		Command::Approve { cluster, worker, account, node } => {
			let sender = sender(&account, &node).await?;
			let approving = sender.send(clusters::approve_join(cluster, worker));
			let block = chain_step("letting it in", approving).await?.0.block.number;
			let chain = node.connect().await?;
			let following = deployment::followed(&chain, cluster, block);
			step("waiting until the workers know it", following).await?;
			let text = format!("worker {worker} is a member of cluster {cluster}");
			output::tell(json, &MembershipChanged { cluster, worker, block }, text)?;
		}
		Command::Status { cluster, node } => show(cluster, &node, json).await?,
	}
	Ok(ExitCode::SUCCESS)
}

/// Of the account that was chosen.
///
/// # Errors
/// When there is none, or no node answers.
pub async fn sender(account: &AccountOptions, node: &NodeOption) -> anyhow::Result<Sender> {
	let account = account.open()?;
	Ok(Sender::new(&node.connect().await?, account.keypair))
}

async fn show(cluster: ClusterId, node: &NodeOption, json: bool) -> anyhow::Result<()> {
	let chain = node.connect().await?;
	let mut members = Vec::new();
	for member in clusters::members(&chain, cluster).await? {
		let (phase, error) = match status::info(&member.endpoint).await {
			Ok(info) => (Some(info.phase), None),
			Err(error) => (None, Some(failure::body(&error))),
		};
		if !json {
			let said = error.as_ref().map(|error| error.message.clone());
			let said = said.or(phase.map(|phase| phase.name())).unwrap_or_default();
			let (said, url) = (terminal::line(&said), terminal::line(&member.endpoint));
			println!("worker {:<4} {url:<32} {said}", member.worker);
		}
		members.push(Member { worker: member.worker, url: member.endpoint, phase, error });
	}
	if json {
		output::print(&ClusterStatus { cluster, members })?;
	}
	Ok(())
}
