//! `phala cluster`: groups of workers that keep the same agents.

use crate::{
	accounts::AccountOptions,
	chain::NodeOption,
	commands::status,
	deployment,
	steps::{chain_step, step},
	terminal,
};
use phala_chain_client::{clusters, Sender};
use phala_protocol::{boot::WorkerId, mailbox::ClusterId};
use serde_json::{json, Value};
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
			let sender = sender(&account, &node).await?;
			let ((cluster, block), _) =
				chain_step("creating a cluster", clusters::create(&sender)).await?;
			say(json, json!({ "cluster": cluster, "block": block }), &format!("cluster {cluster}"));
		}
		Command::Join { cluster, worker, url, account, node } => {
			let sender = sender(&account, &node).await?;
			let asking = clusters::request_join(&sender, cluster, worker, &url);
			let block = chain_step("asking to join", asking).await?.0.block.number;
			let text = format!("worker {worker} asked to join cluster {cluster}; its owner runs `phala cluster approve {cluster} {worker}`");
			say(json, json!({ "cluster": cluster, "worker": worker, "block": block }), &text);
		}
		Command::Approve { cluster, worker, account, node } => {
			let sender = sender(&account, &node).await?;
			let approving = sender.send(clusters::approve_join(cluster, worker));
			let block = chain_step("letting it in", approving).await?.0.block.number;
			let chain = node.connect().await?;
			let following = deployment::followed(&chain, cluster, block);
			step("waiting until the workers know it", following).await?;
			let text = format!("worker {worker} is a member of cluster {cluster}");
			say(json, json!({ "cluster": cluster, "worker": worker, "block": block }), &text);
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

fn say(json: bool, value: Value, text: &str) {
	if json {
		println!("{value}");
	} else {
		println!("{text}");
	}
}

async fn show(cluster: ClusterId, node: &NodeOption, json: bool) -> anyhow::Result<()> {
	let chain = node.connect().await?;
	let mut shown = Vec::new();
	for member in clusters::members(&chain, cluster).await? {
		let info = status::info(&member.endpoint).await;
		let (phase, error) = match info {
			Ok(info) => (info["phase"].clone(), None),
			Err(error) => (Value::Null, Some(format!("{error:#}"))),
		};
		if !json {
			let phase = error.clone().unwrap_or_else(|| super::readable(&phase));
			let (phase, url) = (terminal::line(&phase), terminal::line(&member.endpoint));
			println!("worker {:<4} {url:<32} {phase}", member.worker);
		}
		shown.push(
			json!({ "worker": member.worker, "url": member.endpoint, "phase": phase, "error": error }),
		);
	}
	if json {
		println!("{}", json!({ "cluster": cluster, "members": shown }));
	}
	Ok(())
}
