//! `phala deploy`: builds an agent, registers it on the chain, uploads it to every worker of its
//! cluster, and waits until it is born and takes calls.

use super::{
	agent::{record_json, AccessChoice},
	build::{self, Built},
};
use crate::{
	accounts::AccountOptions,
	amount::{self, pha},
	chain::{
		agents::{self, Deployment},
		hash, NodeOption, Sender,
	},
	deployment,
	steps::step,
};
use anyhow::ensure;
use phala_agent_builder::OUT_DIR;
use phala_protocol::{
	agents::UpgradePolicy, limits::AGENT_TIMEOUT_MAX, mailbox::ClusterId, Balance, BlockNumber,
	H256,
};
use serde_json::json;
use std::{path::PathBuf, process::ExitCode};

/// Milliseconds from one block to the next.
const BLOCK_MS: u64 = 2_000;

/// Added to an agent's wall time: until it is run, and until its effects are committed.
const COMMIT_BLOCKS: BlockNumber = 15;

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The agent's folder.
	#[arg(default_value = ".")]
	folder: PathBuf,

	/// The cluster that is to run it, for good.
	#[arg(long, default_value_t = 0)]
	cluster: ClusterId,

	/// The price of a unit of work, in PHA. That of agent.toml if not said.
	#[arg(long, value_parser = amount::parse)]
	price: Option<Balance>,

	/// The longest that one request may take, in blocks. Made of agent.toml's wall_ms if not said.
	#[arg(long)]
	timeout: Option<BlockNumber>,

	/// Who may call. The owner can change it.
	#[arg(long, value_enum, default_value_t = AccessChoice::Public)]
	access: AccessChoice,

	/// When new code may run: immutable, free, or how many blocks after its announcement. For good.
	#[arg(long, value_parser = upgrades, default_value = "free")]
	upgrades: UpgradePolicy,

	/// Deploys what dist/ has, and builds nothing.
	#[arg(long)]
	no_build: bool,

	/// Uploads the code of an agent that is registered already.
	#[arg(long, value_name = "ID", value_parser = hash)]
	agent: Option<H256>,

	/// The folder of @phala/agent. Found if not said.
	#[arg(long, env = "PHALA_SDK", value_name = "FOLDER")]
	sdk: Option<PathBuf>,

	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	node: NodeOption,
}

#[derive(Debug, clap::Args)]
pub struct UpgradeArguments {
	/// The agent's id.
	#[arg(value_parser = hash)]
	agent: H256,

	/// The folder of its new code.
	#[arg(default_value = ".")]
	folder: PathBuf,

	/// Takes what dist/ has, and builds nothing.
	#[arg(long)]
	no_build: bool,

	/// The folder of @phala/agent. Found if not said.
	#[arg(long, env = "PHALA_SDK", value_name = "FOLDER")]
	sdk: Option<PathBuf>,

	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	node: NodeOption,
}

fn upgrades(text: &str) -> Result<UpgradePolicy, String> {
	match text {
		"immutable" => Ok(UpgradePolicy::Immutable),
		"free" => Ok(UpgradePolicy::Free),
		blocks => blocks.parse().map(UpgradePolicy::AfterNotice).map_err(|_| {
			format!("{blocks:?} is no policy: immutable, free or a number of blocks is taken")
		}),
	}
}

/// An agent's timeout, in blocks, if its manifest allows requests of `wall_ms`.
pub fn timeout_blocks(wall_ms: u64) -> BlockNumber {
	let blocks = BlockNumber::try_from(wall_ms.div_ceil(BLOCK_MS)).unwrap_or(AGENT_TIMEOUT_MAX);
	blocks.saturating_add(COMMIT_BLOCKS).min(AGENT_TIMEOUT_MAX)
}

/// What a built agent is deployed as, where nothing else was said.
///
/// # Errors
/// When it has no manifest.
pub fn usual(built: &Built, cluster: ClusterId) -> anyhow::Result<Deployment> {
	let manifest: phala_agent_builder::Manifest = serde_json::from_slice(&built.manifest)?;
	let wall_ms = manifest.limits.resolve()?.wall_ms;
	Ok(Deployment {
		cluster,
		code: built.code(),
		unit_price: manifest.price.into(),
		timeout: timeout_blocks(wall_ms),
		access: AccessChoice::Public.into(),
		upgrades: UpgradePolicy::Free,
	})
}

async fn built(
	folder: &std::path::Path,
	no_build: bool,
	sdk: Option<PathBuf>,
) -> anyhow::Result<Built> {
	if no_build {
		return Built::read(&folder.join(OUT_DIR));
	}
	let what = format!("building {}", folder.display());
	Ok(step(&what, build::build(folder, sdk)).await?.0)
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let account = arguments.account.open()?;
	let chain = arguments.node.connect().await?;
	let built = built(&arguments.folder, arguments.no_build, arguments.sdk).await?;
	let mut deployment = usual(&built, arguments.cluster)?;
	deployment.access = arguments.access.into();
	deployment.upgrades = arguments.upgrades;
	deployment.unit_price = arguments.price.unwrap_or(deployment.unit_price);
	deployment.timeout = arguments.timeout.unwrap_or(deployment.timeout);
	ensure!(
		(1..=AGENT_TIMEOUT_MAX).contains(&deployment.timeout),
		"a timeout of {} blocks was refused: 1 to {AGENT_TIMEOUT_MAX} are taken",
		deployment.timeout
	);
	let agent = match arguments.agent {
		Some(agent) => {
			let (_, record) = agents::known(&chain, agent).await?;
			ensure!(
				record.code == built.code(),
				"agent {agent:?} runs {:?}, {} has {:?}: `phala agent upgrade` puts new code in place",
				record.code.component,
				arguments.folder.display(),
				built.code().component
			);
			deployment.cluster = record.cluster;
			agent
		}
		None => {
			let sender = Sender::new(&chain, account.keypair.clone());
			let what = format!("registering {} in cluster {}", built.name, deployment.cluster);
			step(&what, deployment::register(&sender, &deployment)).await?.0
		}
	};
	let what = format!("uploading it to the workers of cluster {}", deployment.cluster);
	let uploading = deployment::upload(&chain, deployment.cluster, &built);
	let (members, _) = step(&what, uploading).await?;
	let (record, _) = step("waiting for its birth", deployment::born(&chain, agent)).await?;
	step("waiting for the workers to have it ready", deployment::ready(&members, agent)).await?;
	if json {
		let mut result = record_json(agent, &record);
		result["name"] = built.name.into();
		result["workers"] = members
			.iter()
			.map(|member| json!({ "worker": member.worker, "url": member.endpoint }))
			.collect();
		println!("{result}");
		return Ok(ExitCode::SUCCESS);
	}
	println!("agent       {agent:?}");
	println!("component   {:?}", record.code.component);
	println!("manifest    {:?}", record.code.manifest);
	println!("unit price  {}", pha(record.unit_price));
	for member in &members {
		println!("worker      {}  {}", member.worker, member.endpoint);
	}
	println!("call it     phala call {agent:?} /");
	Ok(ExitCode::SUCCESS)
}

pub async fn upgrade(arguments: UpgradeArguments, json: bool) -> anyhow::Result<ExitCode> {
	let UpgradeArguments { agent, folder, no_build, sdk, account, node } = arguments;
	let account = account.open()?;
	let chain = node.connect().await?;
	let (_, record) = agents::known(&chain, agent).await?;
	let built = built(&folder, no_build, sdk).await?;
	let sender = Sender::new(&chain, account.keypair);
	let call = agents::upgrade(agent, built.code());
	let (included, _) = step("announcing the new code", sender.send(call)).await?;
	let what = format!("uploading it to the workers of cluster {}", record.cluster);
	step(&what, deployment::upload(&chain, record.cluster, &built)).await?;
	let block = included.block.number;
	let runs = match record.upgrades {
		UpgradePolicy::AfterNotice(blocks) => block.saturating_add(blocks),
		_ => block,
	};
	let component = format!("{:?}", built.code().component);
	if json {
		println!(
			"{}",
			json!({ "agent": format!("{agent:?}"), "component": component, "block": block, "runsFrom": runs })
		);
	} else {
		println!("agent {agent:?} runs {component} from block {runs} on");
	}
	Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_timeout_covers_the_wall_time_and_the_commit_within_what_the_chain_takes() {
		assert_eq!(timeout_blocks(0), COMMIT_BLOCKS);
		assert_eq!(timeout_blocks(30_000), 15 + COMMIT_BLOCKS);
		assert_eq!(timeout_blocks(30_001), 16 + COMMIT_BLOCKS);
		assert_eq!(timeout_blocks(u64::MAX), AGENT_TIMEOUT_MAX);
	}

	#[test]
	fn an_upgrade_policy_is_a_word_or_a_number_of_blocks() {
		assert_eq!(upgrades("immutable"), Ok(UpgradePolicy::Immutable));
		assert_eq!(upgrades("free"), Ok(UpgradePolicy::Free));
		assert_eq!(upgrades("100"), Ok(UpgradePolicy::AfterNotice(100)));
		assert!(upgrades("never").is_err());
	}
}
