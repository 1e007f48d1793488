//! `phala logs`: what an agent logged, for its owner alone: the question is signed, the answer
//! sealed. Each worker has the log of what it ran.

use crate::{
	accounts::{Account, AccountOptions},
	chain::{agents, clusters, hash, NodeOption},
	conversation::Conversation,
	worker_client::WorkerClient,
};
use anyhow::{bail, Context};
use codec::{DecodeAll, Encode};
use phala_pherry::chain::Chain;
use phala_protocol::{
	agents::AgentId,
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
			crate::address::Address(record.owner)
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
		eprintln!("warning: {failed}");
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
		println!(
			"block {:<6} worker {worker}  {:<5}  {}",
			entry.block,
			text(&entry.level),
			text(&entry.message)
		);
	}
	if lines.is_empty() {
		eprintln!("the agent has logged nothing");
	}
	Ok(ExitCode::SUCCESS)
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
