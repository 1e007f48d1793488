//! `phala logs`: what an agent logged, for its owner alone: the question is signed, the answer
//! sealed. Each worker has the log of what it ran.

use crate::{
	accounts::{Account, AccountOptions},
	chain::{hash, NodeOption},
	conversation::Conversation,
	terminal,
	worker_client::WorkerClient,
};
use anyhow::{bail, Context};
use codec::{DecodeAll, Encode};
use phala_chain_client::{agents, clusters, Chain};
use phala_protocol::{
	agents::AgentId,
	boot::WorkerId,
	requests::{LogEntry, LogsContent, LogsQuery},
	BlockNumber, H256,
};
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The agent's id.
	#[arg(value_parser = hash)]
	agent: H256,
	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	node: NodeOption,
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let account = arguments.account.open()?;
	let chain = arguments.node.connect().await?;
	let agent = arguments.agent;
	let (at, record) = agents::known(&chain, agent).await?;
	if record.owner != account.bytes() {
		bail!(
			"{} does not own agent {agent:?}: its log is shown to its owner {} alone",
			account.address(),
			phala_protocol::text::Address(record.owner)
		);
	}
	let mut lines = Vec::new();
	let members = clusters::members(&chain, record.cluster).await?;
	let count = members.len();
	let mut failed = Vec::new();
	for member in members {
		match of_worker(&chain, &account, agent, at.number, &member.endpoint).await {
			Ok(entries) => lines.extend(entries.into_iter().map(|entry| (member.worker, entry))),
			Err(error) => failed.push(format!("worker {}: {error:#}", member.worker)),
		}
	}
	if failed.len() == count {
		bail!("no worker showed the agent's log:\n  {}", failed.join("\n  "));
	}
	for failed in failed {
		eprintln!("warning: {}", terminal::line(&failed));
	}
	lines.sort_by_key(|(_, entry)| entry.block);
	let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
	if json {
		let entries: Vec<_> = lines
			.iter()
			.map(|(worker, entry)| json!({ "worker": worker, "block": entry.block, "request": format!("{:?}", entry.request), "level": text(&entry.level), "message": text(&entry.message) }))
			.collect();
		println!("{}", json!({ "entries": entries }));
		return Ok(ExitCode::SUCCESS);
	}
	for (worker, entry) in &lines {
		println!("{}", shown(*worker, entry));
	}
	if lines.is_empty() {
		eprintln!("the agent has logged nothing");
	}
	Ok(ExitCode::SUCCESS)
}

/// An entry as people read it: on one line, whatever the agent wrote.
fn shown(worker: WorkerId, entry: &LogEntry) -> String {
	let text = |bytes: &[u8]| terminal::line(&String::from_utf8_lossy(bytes));
	format!(
		"block {:<6} worker {worker}  {:<5}  {}",
		entry.block,
		text(&entry.level),
		text(&entry.message)
	)
}

async fn of_worker(
	chain: &Chain,
	account: &Account,
	agent: AgentId,
	block: BlockNumber,
	url: &str,
) -> anyhow::Result<Vec<LogEntry>> {
	let genesis = chain.genesis_hash();
	let conversation = Conversation::new(genesis, agent, account.bytes())?;
	let (nonce, reply_key) = (conversation.nonce, conversation.reply_key());
	let content = LogsContent::new(genesis, agent, nonce, reply_key, block).encode();
	let signature = account.keypair.sign(&content).0;
	let query = LogsQuery { nonce, reply_key, block, signature };
	let answer = WorkerClient::new(url)?.logs(agent, query.encode()).await?;
	let opened = conversation.open(&answer)?;
	Vec::decode_all(&mut opened.expose()).context("what the worker sealed is no log")
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn an_agent_cannot_clear_the_screen_of_its_owner_or_forge_an_entry() {
		let entry = LogEntry {
			block: 7,
			request: H256::zero(),
			level: b"info".to_vec(),
			message: b"\x1b[2J\x1b[Hall well\nblock 8      worker 2  info   paid\xff".to_vec(),
		};
		let expected = "block 7      worker 1  info   \\u{1b}[2J\\u{1b}[Hall well\\nblock 8      worker 2  info   paid\u{fffd}";
		assert_eq!(shown(1, &entry), expected);
	}
}
