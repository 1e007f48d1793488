//! `phala cluster`: groups of workers that keep the same agents.

use crate::{
	accounts::AccountOptions,
	chain::{clusters, NodeOption, Sender},
	commands::status,
	steps::step,
};
use phala_primitives::{boot::SlotId, mailbox::ClusterId};
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
	/// Asks for a slot to become a member. By the slot's operator.
	Join {
		cluster: ClusterId,
		slot: SlotId,
		/// Base URL of the worker's public door, as others reach it.
		url: String,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Lets a slot in that asked for it. By the cluster's owner.
	Approve {
		cluster: ClusterId,
		slot: SlotId,
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
				step("creating a cluster", clusters::create(&sender)).await?;
			say(json, json!({ "cluster": cluster, "block": block }), &format!("cluster {cluster}"));
		}
		Command::Join { cluster, slot, url, account, node } => {
			let sender = sender(&account, &node).await?;
			let asking = clusters::request_join(&sender, cluster, slot, &url);
			let block = step("asking to join", asking).await?.0.block.number;
			let text = format!("slot {slot} asked to join cluster {cluster}; its owner runs `phala cluster approve {cluster} {slot}`");
			say(json, json!({ "cluster": cluster, "slot": slot, "block": block }), &text);
		}
		Command::Approve { cluster, slot, account, node } => {
			let sender = sender(&account, &node).await?;
			let approving = sender.send(clusters::approve_join(cluster, slot));
			let block = step("letting it in", approving).await?.0.block.number;
			let text = format!("slot {slot} is a member of cluster {cluster}");
			say(json, json!({ "cluster": cluster, "slot": slot, "block": block }), &text);
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
			println!("slot {:<4} {:<32} {phase}", member.slot, member.endpoint);
		}
		shown.push(
			json!({ "slot": member.slot, "url": member.endpoint, "phase": phase, "error": error }),
		);
	}
	if json {
		println!("{}", json!({ "cluster": cluster, "members": shown }));
	}
	Ok(())
}
