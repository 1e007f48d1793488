//! `phala agent upgrade`: new code in the place of the old, and nobody refused meanwhile. Workers run what
//! the chain names; so they are told what is to come, given it, and waited for until they have compiled it:
//! with a notice before its end, without one before the upgrade itself. Once more goes on where it was cut.

use super::{
	agent::runs_text,
	build::{self, Built},
	deploy,
	status::{self, in_time},
};
use crate::{
	accounts::AccountOptions,
	chain::NodeOption,
	deployment, interrupt,
	names::AgentName,
	output::{
		self,
		agents::{AgentUpgraded, WorkerPrepared},
	},
	presence::{is_silence, Looks},
	steps::{chain_step, step},
	terminal,
};
use phala_chain_client::{
	agents::{self, PendingUpgrade},
	clusters,
};
use phala_protocol::{
	agents::{AgentCode, AgentId, AgentRecord, UpgradePolicy},
	boot::WorkerId,
	text::Address,
	BlockNumber,
};
use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};
use tokio::task::JoinSet;

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The agent's name or id.
	agent: AgentName,

	/// The folder of its new code.
	#[arg(default_value = ".")]
	folder: PathBuf,

	/// Takes what dist/ has, and builds nothing.
	#[arg(long)]
	no_build: bool,

	/// The folder of @phala/agent. Found if not said.
	#[arg(long, env = "PHALA_SDK", value_name = "FOLDER")]
	sdk: Option<PathBuf>,

	/// Upgrades though the folder's agent has another name, though another upgrade is announced, which it
	/// replaces, and though workers do not have the code ready.
	#[arg(long)]
	force: bool,

	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	node: NodeOption,
}

/// What is left to do of an upgrade.
#[derive(Debug, PartialEq, Eq)]
enum Next {
	/// Nothing: the code runs.
	Runs,
	/// It is announced, and runs from this block on.
	Announced(BlockNumber),
	/// To announce it, in the place of something else if there is that.
	Announce { replaces: Option<PendingUpgrade> },
	/// There is no notice: to prepare it, if it is not, and to put it in place.
	Upgrade { is_prepared: bool, replaces: Option<PendingUpgrade> },
}

impl Next {
	fn of(record: &AgentRecord, pending: Option<PendingUpgrade>, code: AgentCode) -> Self {
		let is_pending = pending.is_some_and(|pending| pending.code == code);
		let replaces = pending.filter(|_| !is_pending);
		match (record.upgrades.is_free(), pending) {
			// Also without notice: what was prepared binds nobody.
			(true, _) | (false, None) if record.code == code => Self::Runs,
			(true, _) => Self::Upgrade { is_prepared: is_pending, replaces },
			(false, Some(PendingUpgrade { runs_from: Some(block), .. })) if is_pending => {
				Self::Announced(block)
			}
			(false, _) => Self::Announce { replaces },
		}
	}

	fn replaces(&self) -> Option<&PendingUpgrade> {
		match self {
			Self::Announce { replaces } | Self::Upgrade { replaces, .. } => replaces.as_ref(),
			Self::Runs | Self::Announced(_) => None,
		}
	}
}

/// What callers were told is to come is not taken back in passing.
fn check_replaces(agent: AgentId, next: &Next, record: &AgentRecord) -> anyhow::Result<()> {
	let Next::Announce { replaces: Some(PendingUpgrade { code, runs_from }) } = next else {
		return Ok(());
	};
	let notice = match record.upgrades {
		UpgradePolicy::AfterNotice(blocks) => format!(" of {blocks} blocks"),
		UpgradePolicy::Immutable | UpgradePolicy::Free => String::new(),
	};
	refuse!("UpgradeAnnounced", "the upgrade was refused: another is announced for agent {agent:?}, {:?} {}; --force replaces it, and the notice{notice} begins anew",
		code.component,
		runs_text(*runs_from))
}

/// Before anything is built or paid: the chain would refuse it.
fn check_may_upgrade(agent: AgentId, record: &AgentRecord, account: Address) -> anyhow::Result<()> {
	if record.owner != account.0 {
		refuse!(
			"NotOwner",
			"the upgrade was refused: {account} does not own agent {agent:?}, {} does; choose that account with --account or --suri",
			Address(record.owner)
		);
	}
	if record.upgrades == UpgradePolicy::Immutable {
		refuse!("ImmutableCode", "the upgrade was refused: agent {agent:?} was deployed as immutable, and its code never changes; `phala deploy --new` deploys another agent");
	}
	Ok(())
}

fn check_same_name(running: &str, built: &str) -> anyhow::Result<()> {
	if running != built {
		refuse!(
			"OtherAgent",
			"the upgrade was refused: the agent is {running}, the folder has {built}; --force puts it in place all the same"
		);
	}
	Ok(())
}

/// What came of having one worker compile the code.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Readiness {
	Ready,
	/// It is there, and would refuse calls.
	NotReady(String),
	/// It is not there, and answers no calls of the old code either.
	Silent(String),
}

impl Readiness {
	async fn of(member: &clusters::Member, compiled: anyhow::Result<()>) -> Self {
		let Err(error) = compiled else { return Self::Ready };
		let why = format!("{error:#}");
		if is_silence(&error) {
			return Self::Silent(why);
		}
		match in_time(status::info(&member.endpoint)).await {
			Ok(_) => Self::NotReady(why),
			Err(_) => Self::Silent(why),
		}
	}

	fn message(&self) -> Option<&str> {
		match self {
			Self::Ready => None,
			Self::NotReady(why) | Self::Silent(why) => Some(why),
		}
	}
}

type Prepared = (WorkerId, Readiness);

/// Has all members compile the code; what came of it at each.
async fn prepare(
	members: &[clusters::Member],
	agent: AgentId,
	built: &Built,
) -> anyhow::Result<Vec<Prepared>> {
	let code = built.code();
	let uploading = deployment::upload_each(members, built, Looks::USUAL);
	let (uploaded, _) = step("uploading it to the agent's workers", uploading).await?;
	let compiling = async {
		let mut compiling = JoinSet::new();
		for (member, (worker, uploaded)) in members.iter().cloned().zip(uploaded) {
			compiling.spawn(async move {
				let compiled = match uploaded {
					Ok(()) => deployment::compiled(&member, agent, &code).await,
					refused => refused,
				};
				(worker, Readiness::of(&member, compiled).await)
			});
		}
		let mut compiled = compiling.join_all().await;
		compiled.sort_by_key(|(worker, _)| *worker);
		Ok(compiled)
	};
	Ok(step("waiting until they have it ready", compiling).await?.0)
}

/// A line for each worker that does not have the code ready.
fn not_ready(prepared: &[Prepared]) -> String {
	let not = prepared.iter().filter_map(|(worker, ready)| Some((worker, ready.message()?)));
	not.map(|(worker, why)| format!("\n  worker {worker}: {why}")).collect()
}

/// What those who call the agent meet at workers that do not have the code ready, if there are any.
fn warning(prepared: &[Prepared], runs_from: BlockNumber) -> Option<String> {
	let ready = prepared.iter().filter(|(_, readiness)| *readiness == Readiness::Ready);
	let ready: Vec<_> = ready.map(|(worker, _)| format!("worker {worker}")).collect();
	let (mut refusing, mut silent) = (String::new(), String::new());
	for (worker, readiness) in prepared {
		match readiness {
			Readiness::Ready => {}
			Readiness::NotReady(why) => refusing += &format!("\n  worker {worker}: {why}"),
			Readiness::Silent(why) => silent += &format!("\n  worker {worker}: {why}"),
		}
	}
	let mut warnings = Vec::new();
	if !refusing.is_empty() {
		warnings.push(format!("these do not have it ready, and refuse calls from block {runs_from} on until they have:{refusing}"));
	}
	if !silent.is_empty() {
		let rest = match &ready[..] {
			[] => String::new(),
			ready => format!("; it is ready at {}", ready.join(", ")),
		};
		warnings.push(format!(
			"these do not answer, and fetch the new code when they are back{rest}:{silent}"
		));
	}
	(!warnings.is_empty()).then(|| warnings.join("\nwarning: "))
}

/// What an agent runs from a block on: the part of its code that is new.
fn runs(agent: AgentId, before: &AgentCode, code: &AgentCode, from: BlockNumber) -> String {
	match before.component == code.component && before.manifest != code.manifest {
		true => format!(
			"agent {agent:?} runs under the manifest {:?} from block {from} on, and the component that it had",
			code.manifest
		),
		false => format!("agent {agent:?} runs {:?} from block {from} on", code.component),
	}
}

/// Who hangs, or is not there.
fn silent(prepared: &[Prepared]) -> BTreeSet<WorkerId> {
	let is_silent = |readiness: &Readiness| matches!(readiness, Readiness::Silent(_));
	let silent = prepared.iter().filter(|(_, readiness)| is_silent(readiness));
	silent.map(|(worker, _)| *worker).collect()
}

/// Whether nobody who is answered now would be refused after an upgrade.
fn leaves_no_gap(prepared: &[Prepared]) -> bool {
	let mut of = prepared.iter().map(|(_, readiness)| readiness);
	let refuses = of.clone().any(|readiness| matches!(readiness, Readiness::NotReady(_)));
	!refuses && of.any(|readiness| *readiness == Readiness::Ready)
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let Arguments { agent, folder, no_build, sdk, force, account, node } = arguments;
	if !no_build {
		build::check_folder(&folder)?;
	}
	let account = account.open()?;
	let chain = node.connect().await?;
	let agent = agent.resolve(&chain, &node.node).await?;
	let (_, record) = agents::known(&chain, agent).await?;
	check_may_upgrade(agent, &record, account.address())?;
	deployment::check_keys(&chain, record.cluster).await?;
	let built = deploy::built(&folder, no_build, sdk).await?;
	let code = built.code();
	// It may have changed while that was built.
	let (at, record) = agents::known(&chain, agent).await?;
	let members = clusters::members(&chain, record.cluster).await?;
	let pending = agents::pending(&chain, at, agent, &record).await?;
	let next = Next::of(&record, pending, code);
	if !force {
		let running = deployment::manifest(&members, record.code.manifest).await?;
		check_same_name(&running.name, &built.name)?;
		check_replaces(agent, &next, &record)?;
	}
	if let Some(PendingUpgrade { code, runs_from }) = next.replaces() {
		say!("  it replaces {:?}, which {}", code.component, runs_text(*runs_from));
	}
	let sender = interrupt::sender(&chain, account.keypair);
	interrupt::advise("`phala agent upgrade` once more goes on where it was cut");
	let mut submitted = None;
	let (prepared, runs_from) = match next {
		Next::Runs => {
			say!("  agent {agent:?} runs this code already: nothing is announced");
			let since = agents::runs_since(&chain, at, agent, &record).await?;
			(prepare(&members, agent, &built).await?, since.unwrap_or(at.number))
		}
		Next::Announced(block) => {
			say!("  it is announced already, and {}", runs_text(Some(block)));
			(prepare(&members, agent, &built).await?, block)
		}
		Next::Announce { .. } => {
			let announcing = sender.send(agents::upgrade(agent, code));
			let block = chain_step("announcing the new code", announcing).await?.0.block.number;
			submitted = Some(block);
			let notice = match record.upgrades {
				UpgradePolicy::AfterNotice(blocks) => blocks,
				UpgradePolicy::Immutable | UpgradePolicy::Free => 0,
			};
			(prepare(&members, agent, &built).await?, block.saturating_add(notice))
		}
		Next::Upgrade { is_prepared, .. } => {
			if !is_prepared {
				let preparing = sender.send(agents::prepare_upgrade(agent, code));
				chain_step("naming the new code to the workers", preparing).await?;
			}
			let prepared = prepare(&members, agent, &built).await?;
			if !force && !leaves_no_gap(&prepared) {
				refuse!(
					"CodeNotTaken",
					"agent {agent:?} was not upgraded and goes on with {:?}, because workers do not have the new code ready:{}\n`phala agent upgrade` once more tries again; --force upgrades all the same, and they refuse calls until they have it",
					record.code.component,
					not_ready(&prepared)
				);
			}
			let silent = silent(&prepared);
			let upgrading = sender.send(agents::upgrade(agent, code));
			let block = chain_step("putting it in place", upgrading).await?.0.block.number;
			submitted = Some(block);
			let following = deployment::followed(&chain, record.cluster, block, silent);
			step("waiting until the workers run it", following).await?;
			(prepared, block)
		}
	};
	if let Some(warning) = warning(&prepared, runs_from) {
		say!("warning: {}", terminal::lines(&warning));
	}
	let component = code.component;
	let text = runs(agent, &record.code, &code, runs_from);
	let workers = prepared
		.iter()
		.map(|(worker, readiness)| {
			let message = readiness.message().map(str::to_owned);
			WorkerPrepared { worker: *worker, ready: message.is_none(), message }
		})
		.collect();
	let told = AgentUpgraded {
		agent: agent.into(),
		component: component.into(),
		manifest: code.manifest.into(),
		block: submitted,
		runs_from,
		replaced: pending.filter(|pending| pending.code != code).as_ref().map(Into::into),
		workers,
	};
	output::tell(json, &told, text)?;
	Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::{agents::Access, H256};

	fn code(n: u8) -> AgentCode {
		AgentCode { component: H256([n; 32]), manifest: H256([n; 32]) }
	}

	/// Of an agent that runs the code 1.
	fn record(upgrades: UpgradePolicy) -> AgentRecord {
		AgentRecord {
			owner: [1; 32],
			cluster: 0,
			code: code(1),
			code_version: 1,
			upgrades,
			access: Access::Public,
			unit_price: 1,
			timeout: 10,
			key: None,
			version: 1,
			state_hash: H256::zero(),
		}
	}

	fn pending(n: u8, runs_from: Option<BlockNumber>) -> Option<PendingUpgrade> {
		Some(PendingUpgrade { code: code(n), runs_from })
	}

	#[test]
	fn only_its_owner_upgrades_an_agent_and_one_that_is_immutable_nobody() {
		struct Thief;
		impl Thief {
			const ACCOUNT: Address = Address([9; 32]);
		}
		let agent = AgentId::repeat_byte(7);
		let code = |record: &AgentRecord, account| {
			let refused = check_may_upgrade(agent, record, account).err()?;
			Some(crate::failure::body(&refused).code)
		};
		let free = record(UpgradePolicy::Free);
		let owner = Address(free.owner);
		assert_eq!(code(&free, owner), None);
		assert_eq!(code(&free, Thief::ACCOUNT).as_deref(), Some("NotOwner"));
		let immutable = record(UpgradePolicy::Immutable);
		assert_eq!(code(&immutable, owner).as_deref(), Some("ImmutableCode"));
	}

	#[test]
	fn with_a_notice_the_same_code_is_announced_once_and_another_replaces_it() {
		let record = record(UpgradePolicy::AfterNotice(9));
		let next = |pending, n| Next::of(&record, pending, code(n));
		assert_eq!(next(None, 1), Next::Runs);
		assert_eq!(next(None, 2), Next::Announce { replaces: None });
		let announced = pending(2, Some(50));
		assert_eq!(next(announced, 2), Next::Announced(50));
		assert_eq!(next(announced, 3), Next::Announce { replaces: announced });
		// The way to take an announcement back.
		assert_eq!(next(announced, 1), Next::Announce { replaces: announced });
	}

	#[test]
	fn without_a_notice_what_was_prepared_is_put_in_place_and_binds_nobody() {
		for policy in [UpgradePolicy::Free, UpgradePolicy::AfterNotice(0)] {
			let record = record(policy);
			let next = |pending, n| Next::of(&record, pending, code(n));
			let upgrade = |is_prepared, replaces| Next::Upgrade { is_prepared, replaces };
			let prepared = pending(2, None);
			assert_eq!(next(None, 2), upgrade(false, None));
			assert_eq!(next(prepared, 2), upgrade(true, None));
			assert_eq!(next(prepared, 3), upgrade(false, prepared));
			assert_eq!(next(prepared, 1), Next::Runs);
		}
	}

	#[test]
	fn an_announced_upgrade_is_not_replaced_in_passing() {
		let record = record(UpgradePolicy::AfterNotice(9));
		let announced = pending(2, Some(50));
		let check = |next| check_replaces(H256([7; 32]), &next, &record);
		assert!(check(Next::Announce { replaces: None }).is_ok());
		assert!(check(Next::Upgrade { is_prepared: false, replaces: pending(2, None) }).is_ok());
		let refused = check(Next::Announce { replaces: announced }).unwrap_err().to_string();
		for said in ["0x0202", "from block 50 on", "--force", "of 9 blocks"] {
			assert!(refused.contains(said), "{said}: {refused}");
		}
	}

	#[test]
	fn a_worker_that_is_not_ready_is_named_with_why() {
		let prepared = [(1, Readiness::Ready), (2, Readiness::NotReady("no wasm".into()))];
		assert_eq!(not_ready(&prepared), "\n  worker 2: no wasm");
	}

	#[test]
	fn a_worker_that_would_refuse_holds_an_upgrade_up_and_one_that_is_down_does_not() {
		let (ready, not_ready) = (|| Readiness::Ready, || Readiness::NotReady(String::new()));
		let silent = || Readiness::Silent(String::new());
		assert!(leaves_no_gap(&[(1, ready()), (2, ready())]));
		assert!(leaves_no_gap(&[(1, ready()), (2, silent())]));
		assert!(!leaves_no_gap(&[(1, ready()), (2, not_ready())]));
		assert!(!leaves_no_gap(&[(1, silent())]), "nobody has it");
		assert!(!leaves_no_gap(&[]));
		let prepared = [(1, ready()), (2, not_ready()), (3, silent())];
		assert_eq!(super::silent(&prepared), [3].into(), "nobody else is left out later");
	}

	#[test]
	fn who_is_silent_is_not_said_to_refuse_and_who_runs_it_is_named() {
		assert_eq!(warning(&[(1, Readiness::Ready)], 354), None);
		let silent = || (1, Readiness::Silent("does it hang?".into()));
		let told = warning(&[silent(), (2, Readiness::Ready)], 354).unwrap();
		assert_eq!(
			told,
			"these do not answer, and fetch the new code when they are back; it is ready at worker 2:\n  worker 1: does it hang?"
		);
		let told = warning(&[silent(), (2, Readiness::NotReady("no wasm".into()))], 354).unwrap();
		assert!(
			told.contains("refuse calls from block 354 on") && told.contains("no wasm"),
			"{told}"
		);
		assert!(told.contains("\nwarning: these do not answer"), "{told}");
	}

	#[test]
	fn an_upgrade_of_the_manifest_alone_names_the_manifest() {
		let (agent, before) = (H256([7; 32]), code(1));
		let told = |after| runs(agent, &before, &after, 157);
		assert!(told(code(2)).contains("runs 0x0202"), "{}", told(code(2)));
		assert!(told(code(1)).contains("runs 0x0101"), "it ran already: {}", told(code(1)));
		let manifest = AgentCode { manifest: H256([9; 32]), ..before };
		assert!(told(manifest).contains("manifest 0x0909"), "{}", told(manifest));
	}

	#[test]
	fn another_agent_s_folder_is_no_upgrade() {
		assert!(check_same_name("riddle", "riddle").is_ok());
		let refused = check_same_name("riddle", "oracle").unwrap_err().to_string();
		assert!(refused.contains("is riddle") && refused.contains("--force"), "{refused}");
	}
}
