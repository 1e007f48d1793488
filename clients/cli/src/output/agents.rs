//! Of `phala agent`, and of an agent's way from its folder to the workers.

use super::words::{Account, Amount, Hash};
use phala_chain_client::agents::PendingUpgrade;
use phala_protocol::{
	agents::{Access, AgentId, AgentRecord, KeyVersion, Lease, StateVersion, UpgradePolicy},
	boot::{BootNumber, WorkerId},
	mailbox::ClusterId,
	BlockNumber,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;

/// `phala new`.
#[derive(Serialize, JsonSchema)]
pub struct AgentBegun {
	pub name: String,
	pub folder: String,
}

/// `phala dev`.
#[derive(Serialize, JsonSchema)]
pub struct AgentServed {
	pub name: String,
	/// Where it answers, until the command ends.
	pub url: String,
}

/// `phala build`.
#[derive(Serialize, JsonSchema)]
pub struct AgentBuilt {
	pub name: String,
	pub component: BuiltFile,
	pub manifest: BuiltFile,
}

#[derive(Serialize, JsonSchema)]
pub struct BuiltFile {
	pub path: String,
	/// By which the network names it.
	pub hash: Hash,
	pub bytes: usize,
}

/// What the chain has of an agent.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
	/// Its id.
	pub agent: Hash,
	pub owner: Account,
	pub cluster: ClusterId,
	/// Hash of its component.
	pub component: Hash,
	/// Hash of its manifest.
	pub manifest: Hash,
	/// Rises with each upgrade.
	pub code_version: u32,
	pub upgrades: Upgrades,
	pub access: AccessWord,
	/// Of a unit of work.
	pub unit_price: Amount,
	/// The longest that one request may take, in blocks.
	pub timeout: BlockNumber,
	/// Of its encryption key; none before its birth.
	pub key_version: Option<KeyVersion>,
	pub state_version: StateVersion,
}

/// Who may call.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccessWord {
	/// Anybody.
	Public,
	/// The owner and the accounts on its list.
	Listed,
}

/// When new code may run.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(tag = "policy", rename_all = "camelCase")]
pub enum Upgrades {
	/// Never.
	Immutable,
	/// So many blocks after its announcement.
	Notice { blocks: BlockNumber },
	/// At once.
	Free,
}

impl From<Access> for AccessWord {
	fn from(access: Access) -> Self {
		match access {
			Access::Public => Self::Public,
			Access::Listed => Self::Listed,
		}
	}
}

impl From<UpgradePolicy> for Upgrades {
	fn from(policy: UpgradePolicy) -> Self {
		match policy {
			UpgradePolicy::Immutable => Self::Immutable,
			UpgradePolicy::AfterNotice(blocks) => Self::Notice { blocks },
			UpgradePolicy::Free => Self::Free,
		}
	}
}

impl Agent {
	pub fn new(agent: AgentId, record: &AgentRecord) -> Self {
		Self {
			agent: agent.into(),
			owner: Account(record.owner),
			cluster: record.cluster,
			component: record.code.component.into(),
			manifest: record.code.manifest.into(),
			code_version: record.code_version,
			upgrades: record.upgrades.into(),
			access: record.access.into(),
			unit_price: Amount(record.unit_price),
			timeout: record.timeout,
			key_version: record.key.map(|key| key.version),
			state_version: record.version,
		}
	}
}

/// `phala agent list`.
#[derive(Serialize, JsonSchema)]
pub struct AgentList {
	pub agents: Vec<ListedAgent>,
	/// The final block as of which it is so.
	pub block: BlockNumber,
}

#[derive(Serialize, JsonSchema)]
pub struct ListedAgent {
	/// On this machine, if it has one.
	pub name: Option<String>,
	#[serde(flatten)]
	pub agent: Agent,
}

/// `phala agent status`.
#[derive(Serialize, JsonSchema)]
pub struct AgentStatus {
	#[serde(flatten)]
	pub agent: Agent,
	/// Who is on its list.
	pub callers: Vec<Account>,
	/// Who writes it; none while nobody can.
	pub lease: Option<LeaseHolder>,
	/// Whether it answers at each member of its cluster, and why not, as they say.
	pub answers: Vec<WorkerPrepared>,
	/// The code that is named to run in place of this.
	pub pending: Option<Pending>,
	/// The final block as of which it is so.
	pub block: BlockNumber,
}

#[derive(Serialize, JsonSchema)]
pub struct LeaseHolder {
	pub worker: WorkerId,
	pub boot: BootNumber,
}

impl From<Lease> for LeaseHolder {
	fn from(Lease { worker, boot }: Lease) -> Self {
		Self { worker, boot }
	}
}

/// `phala agent accept`, `access`, `price`, `allow`, `disallow`, `retire`, `transfer`.
#[derive(Serialize, JsonSchema)]
pub struct AgentChanged {
	pub agent: Hash,
	/// From which on it holds.
	pub block: BlockNumber,
}

/// `phala agent upgrade`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentUpgraded {
	pub agent: Hash,
	/// Hash of the new component.
	pub component: Hash,
	/// Hash of its manifest.
	pub manifest: Hash,
	/// In which this command announced it or put it in place; none if that was done before.
	pub block: Option<BlockNumber>,
	/// From which on it runs.
	pub runs_from: BlockNumber,
	/// What was named to come and is not any more.
	pub replaced: Option<Pending>,
	/// The members of its cluster.
	pub workers: Vec<WorkerPrepared>,
}

/// What an agent is about to be upgraded to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
	pub component: Hash,
	pub manifest: Hash,
	/// The block; none where it runs when its owner says.
	pub runs_from: Option<BlockNumber>,
}

impl From<&PendingUpgrade> for Pending {
	fn from(PendingUpgrade { code, runs_from }: &PendingUpgrade) -> Self {
		let (component, manifest) = (code.component.into(), code.manifest.into());
		Self { component, manifest, runs_from: *runs_from }
	}
}

/// Whether a worker has an agent, or code that it is to run, ready.
#[derive(Serialize, JsonSchema)]
pub struct WorkerPrepared {
	pub worker: WorkerId,
	pub ready: bool,
	/// Why not.
	pub message: Option<String>,
}

/// `phala deploy`.
#[derive(Serialize, JsonSchema)]
pub struct AgentDeployed {
	pub name: String,
	#[serde(flatten)]
	pub agent: Agent,
	/// Whether this command registered it; else it went on with it.
	pub registered: bool,
	/// Those that have it ready.
	pub workers: Vec<WorkerAt>,
}

#[derive(Serialize, JsonSchema)]
pub struct WorkerAt {
	pub worker: WorkerId,
	/// Base URL of its public server.
	pub url: String,
}

/// `phala secrets set`, `remove`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretChanged {
	pub request: Hash,
	/// Since which the agent has it.
	pub block: BlockNumber,
	/// What was paid for the work, of both where it was sealed twice.
	pub fee: Amount,
	/// Paid besides for submitting it, of both where it was sealed twice.
	pub base_fee: Amount,
}

/// `phala secrets list`.
#[derive(Serialize, JsonSchema)]
pub struct SecretsDeclared {
	pub agent: Hash,
	/// The names in its manifest.
	pub declared: BTreeSet<String>,
}

/// `phala logs`; with `--follow` a line of stdout for each line of the log.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Logged {
	All(Log),
	Line(LogLine),
}

#[derive(Serialize, JsonSchema)]
pub struct Log {
	/// The oldest first.
	pub entries: Vec<LogLine>,
}

#[derive(Serialize, JsonSchema)]
pub struct LogLine {
	pub worker: WorkerId,
	/// When, by the clock of the worker's host, UTC, as in RFC 3339; none if that says no time.
	pub time: Option<String>,
	/// The newest block that was final to the run.
	pub block: BlockNumber,
	pub request: Hash,
	/// As of `console`.
	pub level: String,
	pub message: String,
}
