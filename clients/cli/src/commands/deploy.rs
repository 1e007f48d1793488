//! `phala deploy`: builds an agent, registers it on the chain, uploads it to every worker of its
//! cluster, and waits until it is born and takes calls. Workers that are down are named and hold
//! nothing up as long as others have it, its writer among them. Once more in the same folder it
//! goes on where it was cut, and registers no second agent.

use super::{
	agent::AccessChoice,
	build::{self, Built},
};
use crate::{
	accounts::{Account, AccountOptions},
	chain::NodeOption,
	deployed::{self, Deployments},
	deployment,
	failure::CommandError,
	interrupt,
	names::{AgentName, Names},
	output::{
		self,
		agents::{Agent, AgentDeployed, WorkerAt},
	},
	steps::step,
	terminal,
};
use phala_agent_builder::OUT_DIR;
use phala_chain_client::{
	accounts::check_funds,
	agents::{self, Deployment},
	clusters, Chain,
};
use phala_protocol::{
	agents::{Access, AgentId, AgentRecord, UpgradePolicy},
	limits::{AGENT_TIMEOUT_MAX, BLOCK_MS},
	mailbox::ClusterId,
	text::{parse_pha, pha},
	Balance, BlockNumber, H256,
};
use std::{
	io::IsTerminal,
	path::{Path, PathBuf},
	process::ExitCode,
};

/// What to do when a deployment ends too early.
const GOES_ON: &str = "`phala deploy` once more in the same folder goes on where it was cut";

/// Added to an agent's wall time: until it is run, and until its effects are committed.
const COMMIT_BLOCKS: BlockNumber = 15;

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The agent's folder.
	#[arg(default_value = ".")]
	folder: PathBuf,

	/// The cluster that is to run it, for good: 0 if not said.
	#[arg(long)]
	cluster: Option<ClusterId>,

	/// The price of a unit of work, in PHA. That of agent.toml if not said.
	#[arg(long, value_parser = parse_pha)]
	price: Option<Balance>,

	/// The longest that one request may take, in blocks. Made of agent.toml's wall_ms if not said.
	#[arg(long)]
	timeout: Option<BlockNumber>,

	/// Who may call: anybody if not said. The owner can change it.
	#[arg(long, value_enum)]
	access: Option<AccessChoice>,

	/// When new code may run: immutable, free, or how many blocks after its announcement. For good;
	/// free if not said.
	#[arg(long, value_parser = upgrades)]
	upgrades: Option<UpgradePolicy>,

	/// Deploys what dist/ has, and builds nothing.
	#[arg(long)]
	no_build: bool,

	/// Goes on with this agent, and not with the one that was deployed from the folder.
	#[arg(long, value_name = "NAME OR ID")]
	agent: Option<AgentName>,

	/// Deploys another agent, even if one was deployed from the folder, or has its name.
	#[arg(long, conflicts_with = "agent")]
	new: bool,

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

/// Builds the agent in a folder, or takes what was built there.
pub async fn built(
	folder: &std::path::Path,
	no_build: bool,
	sdk: Option<PathBuf>,
) -> anyhow::Result<Built> {
	if no_build {
		return Built::read(&folder.join(OUT_DIR));
	}
	let what = format!("building {}", folder.display());
	Ok(step(&what, build::build(folder, sdk, true)).await?.0)
}

/// The account's agent that a name means on this chain, if it has one that is not `but`.
async fn of_this_name(
	chain: &Chain,
	node: &str,
	account: &Account,
	name: &str,
	but: Option<AgentId>,
) -> anyhow::Result<Option<AgentId>> {
	let Ok(named) = name.parse::<AgentName>();
	// Whatever is wrong with the names is told when this one is to be remembered.
	let Ok(agent) = named.resolve(chain, node).await else { return Ok(None) };
	if but == Some(agent) {
		return Ok(None);
	}
	let head = chain.finalized_head().await?;
	let Some(record) = agents::record(chain, head, agent).await? else { return Ok(None) };
	if record.owner != account.bytes() {
		return Ok(None);
	}
	// Chains for development share block 0, and so names of one that is no more: then the id is another's.
	let members = clusters::members(chain, record.cluster).await.unwrap_or_default();
	let manifest = deployment::manifest(&members, record.code.manifest).await;
	Ok(manifest.map_or(true, |manifest| manifest.name == name).then_some(agent))
}

/// A name goes from one agent to another only where that is said: commands of the first would mean the
/// second.
fn check_name(name: &str, taken: Option<AgentId>, folder: &Path) -> anyhow::Result<()> {
	let Some(agent) = taken else { return Ok(()) };
	let folder = folder.display();
	let message = format!(
		"the deployment was refused: {name} is agent {agent:?} of this account on this network, and {folder} does not know of it; `phala deploy {folder} --agent {agent:?}` goes on with that one, `phala agent upgrade {name} {folder}` gives it the folder's code, `phala deploy {folder} --new` deploys another, which {name} means from then on"
	);
	Err(CommandError::new("NameTaken", message).into())
}

/// Whether the folder's code is that of the agent.
fn check_goes_on(
	agent: H256,
	record: &AgentRecord,
	built: &Built,
	folder: &Path,
) -> anyhow::Result<()> {
	let folder = folder.display();
	let code = built.code();
	if record.code != code {
		// The same component may have another manifest.
		let (what, runs, has) = match record.code.component == code.component {
			true => ("the manifest ", record.code.manifest, code.manifest),
			false => ("", record.code.component, code.component),
		};
		refuse!(
			"DeployedOtherwise",
			"agent {agent:?} runs {what}{runs:?}, {folder} has {has:?}: `phala agent upgrade {agent:?} {folder}` puts the new code in place, `phala deploy --new` deploys another agent"
		);
	}
	Ok(())
}

/// What was said of an agent on the command line, which one that is deployed has or has not.
struct Told {
	cluster: Option<ClusterId>,
	price: Option<Balance>,
	timeout: Option<BlockNumber>,
	access: Option<Access>,
	upgrades: Option<UpgradePolicy>,
}

impl Told {
	fn of(arguments: &Arguments) -> Self {
		let Arguments { cluster, price, timeout, access, upgrades, .. } = arguments;
		Self {
			cluster: *cluster,
			price: *price,
			timeout: *timeout,
			access: access.map(Access::from),
			upgrades: *upgrades,
		}
	}

	/// Refuses an agent that is otherwise: nothing that was said is passed over.
	fn check(&self, agent: H256, record: &AgentRecord) -> anyhow::Result<()> {
		fn is_other<T: PartialEq>(told: Option<T>, has: T) -> bool {
			told.is_some_and(|told| told != has)
		}
		const FOR_GOOD: &str = "that is for good, and `phala deploy --new` deploys another agent";
		let refused = [
			(is_other(self.cluster, record.cluster), "--cluster", FOR_GOOD.to_owned()),
			(is_other(self.timeout, record.timeout), "--timeout", FOR_GOOD.to_owned()),
			(is_other(self.upgrades, record.upgrades), "--upgrades", FOR_GOOD.to_owned()),
			(
				is_other(self.price, record.unit_price),
				"--price",
				format!("`phala agent price {agent:?} <PHA>` changes it"),
			),
			(
				is_other(self.access, record.access),
				"--access",
				format!("`phala agent access {agent:?} <public|listed>` changes it"),
			),
		];
		for (is_other, option, remedy) in refused {
			if is_other {
				refuse!("DeployedOtherwise", "{option} was refused: agent {agent:?} is deployed from this folder and has another; {remedy}");
			}
		}
		Ok(())
	}
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	if !arguments.no_build {
		build::check_folder(&arguments.folder)?;
	}
	let account = arguments.account.open()?;
	let chain = arguments.node.connect().await?;
	let told = Told::of(&arguments);
	if let Some(cluster) = told.cluster {
		// Before anything is built for one that is not there.
		clusters::known_owner(&chain, cluster).await?;
	}
	let folder = arguments.folder;
	// Of two at once the second goes on with what the first registers. Who names the agent registers none.
	let node = &arguments.node.node;
	let asked = match &arguments.agent {
		Some(agent) => Some(agent.resolve(&chain, node).await?),
		None => None,
	};
	let lock = match arguments.agent {
		Some(_) => None,
		None => Some(deployed::lock(&folder).await?),
	};
	let built = built(&folder, arguments.no_build, arguments.sdk).await?;
	let mut deployment = usual(&built, arguments.cluster.unwrap_or_default())?;
	deployment.access = arguments.access.map_or(deployment.access, Access::from);
	deployment.upgrades = arguments.upgrades.unwrap_or(deployment.upgrades);
	deployment.unit_price = arguments.price.unwrap_or(deployment.unit_price);
	deployment.timeout = arguments.timeout.unwrap_or(deployment.timeout);
	if !(1..=AGENT_TIMEOUT_MAX).contains(&deployment.timeout) {
		refuse!(
			"TimeoutOutOfRange",
			"a timeout of {} blocks was refused: 1 to {AGENT_TIMEOUT_MAX} are taken",
			deployment.timeout
		);
	}
	let deployments = Deployments::of(&folder, chain.genesis_hash(), account.address());
	let known = match (asked, arguments.new) {
		(Some(agent), _) => Some(agent),
		(None, true) => None,
		(None, false) => deployments.agent(&chain).await?,
	};
	let agent = match known {
		Some(agent) => {
			let (_, record) = agents::known(&chain, agent).await?;
			check_goes_on(agent, &record, &built, &folder)?;
			told.check(agent, &record)?;
			deployment.cluster = record.cluster;
			say!("  going on with agent {agent:?}; --new deploys another");
			agent
		}
		None => {
			if !arguments.new {
				let taken = of_this_name(&chain, node, &account, &built.name, None).await?;
				check_name(&built.name, taken, &folder)?;
			}
			// Before anything is paid: who is to run it.
			let members = clusters::members(&chain, deployment.cluster).await?;
			deployment::check_keys(&chain, deployment.cluster).await?;
			deployment::check_somebody_is_there(deployment.cluster, &members).await?;
			let deposit = chain.amount("Agents", "AgentDeposit").await?;
			check_funds(&chain, account.bytes(), "an agent's deposit", deposit).await?;
			let sender = interrupt::sender(&chain, account.keypair.clone());
			let what = format!("registering {} in cluster {}", built.name, deployment.cluster);
			interrupt::advise(GOES_ON);
			let registering = deployment::register(&chain, &sender, &deployments, &deployment);
			step(&what, registering).await?.0
		}
	};
	drop(lock);
	// From here on it can be named, whatever becomes of the rest.
	interrupt::advise(format!("Agent {agent:?} is registered. {GOES_ON}"));
	if json || !std::io::stdout().is_terminal() {
		// Who looks at a terminal is shown it at the end.
		say!("  agent {agent:?}");
	}
	let other = match known {
		Some(_) => of_this_name(&chain, node, &account, &built.name, known).await?,
		None => None,
	};
	let remember = |names: Names| names.remember(chain.genesis_hash(), &built.name, agent);
	let called = match (other, Names::of_user()) {
		(Some(other), _) => {
			say!("  it is named by its id alone: {} goes on to mean agent {other:?}", built.name);
			format!("{agent:?}")
		}
		(None, names) => match names.and_then(remember) {
			Ok(()) => built.name.clone(),
			Err(error) => {
				say!("  it is named by its id alone: {error:#}");
				format!("{agent:?}")
			}
		},
	};
	let what = format!("uploading it to the workers of cluster {}", deployment.cluster);
	let uploading = deployment::upload(&chain, deployment.cluster, &built);
	let (uploaded, _) = step(&what, uploading).await?;
	let birth = deployment::born_beside(&chain, deployment.cluster, agent, &uploaded);
	let (record, _) = step("waiting for its birth", birth).await?;
	let settling = deployment::settled(&chain, deployment.cluster, agent, uploaded);
	let (uploaded, _) = step("waiting for the workers to have it ready", settling).await?;
	if !uploaded.missing.is_empty() {
		say!(
			"warning: these do not have it, and fetch it from the others once they are back:{}",
			terminal::lines(&uploaded.missing_lines())
		);
	}
	let members = uploaded.taken;
	if json {
		let at =
			|member: clusters::Member| WorkerAt { worker: member.worker, url: member.endpoint };
		output::print(&AgentDeployed {
			name: built.name,
			agent: Agent::new(agent, &record),
			registered: known.is_none(),
			workers: members.into_iter().map(at).collect(),
		})?;
		return Ok(ExitCode::SUCCESS);
	}
	show!("agent       {agent:?}");
	show!("component   {:?}", record.code.component);
	show!("manifest    {:?}", record.code.manifest);
	show!("unit price  {}", pha(record.unit_price));
	for member in &members {
		show!("worker      {}  {}", member.worker, member.endpoint);
	}
	show!("call it     phala call {called} /");
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

	#[test]
	fn a_name_that_an_agent_has_is_not_moved_to_another_in_passing() {
		let check = |taken| check_name("mine", taken, Path::new("copy"));
		assert!(check(None).is_ok());
		let refused = check(Some(H256([7; 32]))).unwrap_err();
		assert_eq!(crate::failure::body(&refused).code, "NameTaken");
		for remedy in ["--agent 0x0707", "phala agent upgrade mine copy", "deploy copy --new"] {
			assert!(refused.to_string().contains(remedy), "{refused}");
		}
	}

	fn record() -> AgentRecord {
		AgentRecord {
			owner: [1; 32],
			cluster: 3,
			code: Built { name: "a".into(), component: vec![1], manifest: vec![2] }.code(),
			code_version: 1,
			upgrades: UpgradePolicy::Immutable,
			access: Access::Listed,
			unit_price: 1_000,
			timeout: 20,
			key: None,
			version: 0,
			state_hash: H256::zero(),
		}
	}

	#[test]
	fn a_second_deployment_goes_on_with_the_same_code_and_refuses_other_code_with_what_to_do() {
		let same = Built { name: "a".into(), component: vec![1], manifest: vec![2] };
		assert!(check_goes_on(H256::zero(), &record(), &same, Path::new("a")).is_ok());
		// As of a copy with another name.
		let renamed = Built { manifest: vec![4], component: vec![1], name: "b".into() };
		let refused = check_goes_on(H256::zero(), &record(), &renamed, Path::new("a")).unwrap_err();
		let (runs, has) = (record().code.manifest, renamed.code().manifest);
		let told = format!("runs the manifest {runs:?}, a has {has:?}");
		assert!(refused.to_string().contains(&told), "{refused}");
		let other = Built { component: vec![3], ..same };
		let refused = check_goes_on(H256::zero(), &record(), &other, Path::new("a")).unwrap_err();
		for remedy in ["phala agent upgrade", "phala deploy --new"] {
			assert!(refused.to_string().contains(remedy), "{refused}");
		}
		assert_eq!(crate::failure::body(&refused).code, "DeployedOtherwise");
	}

	#[test]
	fn what_is_said_at_a_second_deployment_is_as_the_agent_has_it_or_refused_by_name() {
		let nothing =
			|| Told { cluster: None, price: None, timeout: None, access: None, upgrades: None };
		let record = record();
		assert!(nothing().check(H256::zero(), &record).is_ok());
		let same = Told {
			cluster: Some(3),
			price: Some(1_000),
			timeout: Some(20),
			access: Some(Access::Listed),
			upgrades: Some(UpgradePolicy::Immutable),
		};
		assert!(same.check(H256::zero(), &record).is_ok());
		for (option, other) in [
			("--cluster", Told { cluster: Some(0), ..nothing() }),
			("--price", Told { price: Some(1), ..nothing() }),
			("--timeout", Told { timeout: Some(1), ..nothing() }),
			("--access", Told { access: Some(Access::Public), ..nothing() }),
			("--upgrades", Told { upgrades: Some(UpgradePolicy::Free), ..nothing() }),
		] {
			let refused = other.check(H256::zero(), &record).unwrap_err().to_string();
			assert!(refused.starts_with(option), "{refused}");
		}
	}
}
