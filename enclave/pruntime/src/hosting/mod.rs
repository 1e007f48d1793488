//! Agents that this worker runs.
//!
//! An [`AgentHost`] has them by id, with their state and their secrets, and is what stands around
//! the sandbox: it takes a request in, waits for its turn, runs it, and applies what it wrote.
//!
//! Agents come from the chain ([`AgentHost::install`]: the machine has their state, the host only
//! the newest committed snapshot of it) or, in development, from folders ([`development`]).
//!
//! - **State** of a development agent is in memory. A run reads a snapshot; its writes are applied together, after it ended
//!   well. One request at a time may write to an agent; readers never wait for it.
//! - **Turns**: so many requests of one agent run at once, so many wait; the next is refused by name.
//!   No agent alone can take all instances of the sandbox.
//! - **Calls between agents** stay on this worker. What a request that only reads causes only reads
//!   too. A callee's writes are its own: they stay when its caller fails afterwards. An agent of the
//!   chain can be called to read only: what it writes takes an effect set of its own.

#[cfg(feature = "software-evidence")]
pub mod development;
mod error;
mod run;
mod state;

pub use error::{AgentRunError, HostingError};
pub(crate) use run::{writes, OnChainCall};
pub use state::Snapshot;

use crate::limits;
use codec::Encode;
use phala_protocol::requests::LogEntry;
use phala_sandbox::{
	egress::{EgressClient, EgressConfig},
	BlockRef, HttpRequest, LoadedAgent, Manifest, Outcome, Sandbox, SandboxConfig, SecretValue,
};
use state::AgentState;
use std::{
	collections::{BTreeMap, HashMap, VecDeque},
	sync::{Arc, Mutex, PoisonError, RwLock},
};
use tokio::sync::Semaphore;

/// How an agent is called on every server.
pub type AgentId = [u8; 32];

/// BLAKE2-256 of its encoding is the id of an agent **from a folder**. The chain gives its own ids.
#[derive(Encode)]
struct DevelopmentId {
	domain: phala_protocol::domains::Domain,
	code_hash: [u8; 32],
	/// BLAKE2-256 of the manifest as JSON without spaces, its fields in the order of the type.
	manifest_hash: [u8; 32],
}

/// What the host is made with.
#[derive(Default)]
pub struct HostConfig {
	/// How the sandbox is sized.
	pub sandbox: SandboxConfig,
	/// How agents reach the outside.
	pub egress: EgressConfig,
	/// Development only: what agents log is logged here. It can hold plaintext.
	pub shows_agent_logs: bool,
}

/// The agents of this worker, and what they run in.
pub struct AgentHost {
	sandbox: Sandbox,
	egress: EgressClient,
	shows_agent_logs: bool,
	agents: RwLock<HashMap<AgentId, Arc<HostedAgent>>>,
	/// Places of read-only runs of agents of the chain.
	reads: Semaphore,
	/// What agents of the chain logged, for their owners.
	logs: Mutex<HashMap<AgentId, VecDeque<LogEntry>>>,
}

/// Code and manifest, compiled and checked.
#[derive(Clone)]
pub struct Program {
	loaded: LoadedAgent,
	manifest: Arc<Manifest>,
}

/// An agent that is loaded.
pub struct HostedAgent {
	id: AgentId,
	loaded: LoadedAgent,
	manifest: Arc<Manifest>,
	/// Only names that the manifest declares.
	secrets: BTreeMap<String, SecretValue>,
	state: AgentState,
	/// Its state and keys are the machine's; here is a copy to read from.
	on_chain: bool,
	/// Whether another agent may call it.
	access: CalleeAccess,
	/// Requests that run or wait.
	admitted: Arc<Semaphore>,
	/// Requests that run.
	running: Arc<Semaphore>,
}

/// Which agents may call an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalleeAccess {
	/// All.
	Everybody,
	/// Those with these ids.
	Listed(Vec<AgentId>),
}

/// An agent of the chain as the host needs it.
pub struct Installation {
	/// Compiled code.
	pub program: Program,
	/// By name; those that the manifest does not declare stay out.
	pub secrets: BTreeMap<String, SecretValue>,
	/// Committed state.
	pub snapshot: Snapshot,
	/// Which other agents may call it.
	pub access: CalleeAccess,
}

/// A request from outside.
pub struct Call {
	/// As the agent sees it.
	pub request: HttpRequest,
	/// Who proved to have sent it.
	pub caller: Option<[u8; 32]>,
	/// The finalized block that the run sees.
	pub block: BlockRef,
	/// Whether it may write state.
	pub writable: bool,
}

impl AgentHost {
	/// Without agents.
	///
	/// # Errors
	/// When the machine cannot run a sandbox.
	pub fn new(config: HostConfig) -> Result<Self, HostingError> {
		Ok(Self {
			sandbox: Sandbox::new(config.sandbox)?,
			egress: EgressClient::new(config.egress)?,
			shows_agent_logs: config.shows_agent_logs,
			agents: RwLock::default(),
			reads: Semaphore::new(limits::READS_MAX),
			logs: Mutex::default(),
		})
	}

	/// Compiles a component. Takes up to seconds: call it where blocking is allowed.
	///
	/// # Errors
	/// [`HostingError`].
	pub fn compile(&self, code: &[u8], manifest: &[u8]) -> Result<Program, HostingError> {
		let manifest: Manifest =
			serde_json::from_slice(manifest).map_err(HostingError::ManifestJson)?;
		manifest.check()?;
		Ok(Program { loaded: self.sandbox.load(code)?, manifest: Arc::new(manifest) })
	}

	/// Takes an agent of the chain in, or what is new of it.
	pub fn install(&self, id: AgentId, installation: Installation) {
		let Installation { program, mut secrets, snapshot, access } = installation;
		let Program { loaded, manifest } = program;
		secrets.retain(|name, _| manifest.secrets.contains(name));
		let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
		let (admitted, running) = match agents.get(&id) {
			Some(known) => (known.admitted.clone(), known.running.clone()),
			None => places(),
		};
		let state = AgentState::at(snapshot);
		let agent = HostedAgent {
			id,
			loaded,
			manifest,
			secrets,
			state,
			on_chain: true,
			access,
			admitted,
			running,
		};
		agents.insert(id, Arc::new(agent));
	}

	/// An agent of the chain by its id.
	pub fn installed(&self, id: &AgentId) -> Option<Arc<HostedAgent>> {
		self.get(id).filter(|agent| agent.on_chain)
	}

	/// What an agent of the chain logged here, oldest first.
	pub fn logs(&self, id: &AgentId) -> Vec<LogEntry> {
		let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
		logs.get(id).map(|lines| lines.iter().cloned().collect()).unwrap_or_default()
	}

	/// Forgets the agents of the chain, with all that is known of them.
	pub fn forget_installed(&self) {
		let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
		agents.retain(|_, agent| !agent.on_chain);
		self.logs.lock().unwrap_or_else(PoisonError::into_inner).clear();
	}

	fn keep_log(&self, id: AgentId, entry: LogEntry) {
		let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
		let lines = logs.entry(id).or_default();
		if lines.len() >= limits::LOG_LINES_MAX {
			lines.pop_front();
		}
		lines.push_back(entry);
	}

	fn get(&self, id: &AgentId) -> Option<Arc<HostedAgent>> {
		self.agents.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
	}

	/// Compiles `code` and takes it in as an agent. Takes up to seconds: call it where blocking is
	/// allowed.
	///
	/// # Errors
	/// [`HostingError`]; nothing has changed then.
	pub fn load(
		&self,
		code: &[u8],
		manifest: Manifest,
		secrets: BTreeMap<String, SecretValue>,
	) -> Result<AgentId, HostingError> {
		manifest.check()?;
		if let Some(name) = secrets.keys().find(|name| !manifest.secrets.contains(*name)) {
			return Err(HostingError::SecretNotDeclared {
				agent: manifest.name.clone(),
				secret: name.clone(),
			});
		}
		if self.by_name(&manifest.name).is_some() {
			return Err(HostingError::NameTaken(manifest.name));
		}
		if self.agents().len() >= limits::AGENTS_MAX {
			return Err(HostingError::TooManyAgents { max: limits::AGENTS_MAX });
		}
		let loaded = self.sandbox.load(code)?;
		let id = development_id(&loaded.code_hash(), &manifest)?;
		let (admitted, running) = places();
		let agent = HostedAgent {
			id,
			loaded,
			manifest: Arc::new(manifest),
			secrets,
			state: AgentState::default(),
			on_chain: false,
			access: CalleeAccess::Everybody,
			admitted,
			running,
		};
		self.agents.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(agent));
		Ok(id)
	}

	/// All agents, by name.
	pub fn agents(&self) -> Vec<Arc<HostedAgent>> {
		let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
		let mut agents: Vec<_> = agents.values().cloned().collect();
		agents.sort_by(|a, b| a.name().cmp(b.name()));
		agents
	}

	/// The agent from a folder with an id in hexadecimal (`0x` or not) or a name.
	pub fn find(&self, id_or_name: &str) -> Option<Arc<HostedAgent>> {
		let found = match parse_id(id_or_name) {
			Some(id) => self.get(&id),
			None => self.by_name(id_or_name),
		};
		found.filter(|agent| !agent.on_chain)
	}

	fn by_name(&self, name: &str) -> Option<Arc<HostedAgent>> {
		self.agents().into_iter().find(|agent| agent.name() == name && !agent.on_chain)
	}

	/// Takes a place among the requests that run or wait, before anything of it is read.
	///
	/// # Errors
	/// [`AgentRunError::AgentRequests`].
	pub fn admit(&self, agent: &Arc<HostedAgent>) -> Result<Admitted, AgentRunError> {
		let place = agent.admitted.clone().try_acquire_owned().map_err(|_| {
			AgentRunError::AgentRequests {
				running: limits::AGENT_RUNS_MAX,
				waiting: limits::AGENT_REQUESTS_WAITING_MAX,
			}
		})?;
		Ok(Admitted { agent: agent.clone(), _place: place })
	}

	/// Answers a request, and applies what it wrote. Dropping the future ends the run; nothing of it
	/// takes effect then.
	///
	/// # Errors
	/// [`AgentRunError`]; nothing has taken effect then.
	pub async fn run(
		self: &Arc<Self>,
		admitted: Admitted,
		call: Call,
	) -> Result<Outcome, AgentRunError> {
		run::from_outside(self, &admitted.agent, call).await
	}

	/// Runs an agent of the chain on a state of the machine's. Nothing takes effect here.
	///
	/// # Errors
	/// Why it failed, with what it used.
	pub(crate) async fn run_on_chain(
		self: &Arc<Self>,
		agent: &Arc<HostedAgent>,
		call: OnChainCall,
	) -> Result<Outcome, Box<phala_sandbox::FailedRun>> {
		run::on_chain(self, agent, call).await
	}
}

/// Where requests of one agent wait and run.
fn places() -> (Arc<Semaphore>, Arc<Semaphore>) {
	let waiting = limits::AGENT_RUNS_MAX + limits::AGENT_REQUESTS_WAITING_MAX;
	(Arc::new(Semaphore::new(waiting)), Arc::new(Semaphore::new(limits::AGENT_RUNS_MAX)))
}

/// 32 bytes in hexadecimal, `0x` or not.
pub fn parse_id(text: &str) -> Option<AgentId> {
	let digits = text.strip_prefix("0x").unwrap_or(text);
	let mut id = AgentId::default();
	hex::decode_to_slice(digits, &mut id).ok().map(|()| id)
}

impl Program {
	/// Its name, for people.
	pub fn name(&self) -> &str {
		&self.manifest.name
	}
}

/// A request's place among those of its agent, until it is dropped.
pub struct Admitted {
	agent: Arc<HostedAgent>,
	_place: tokio::sync::OwnedSemaphorePermit,
}

impl HostedAgent {
	/// Its id.
	pub fn id(&self) -> AgentId {
		self.id
	}

	/// Its name, for people.
	pub fn name(&self) -> &str {
		&self.manifest.name
	}

	/// BLAKE2-256 of its component.
	pub fn code_hash(&self) -> [u8; 32] {
		self.loaded.code_hash()
	}

	/// The longest body that a request to it may have, in bytes.
	pub fn request_bytes_max(&self) -> u64 {
		self.manifest.limits.resolve().map_or(0, |limits| limits.request_bytes)
	}
}

fn development_id(code_hash: &[u8; 32], manifest: &Manifest) -> Result<AgentId, HostingError> {
	let manifest = serde_json::to_vec(manifest).map_err(HostingError::ManifestJson)?;
	let id = DevelopmentId {
		domain: phala_protocol::domains::DEVELOPMENT_AGENT_ID,
		code_hash: *code_hash,
		manifest_hash: phala_protocol::blake2_256(&manifest).0,
	};
	Ok(phala_protocol::blake2_256(&id.encode()).0)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn an_id_is_the_codes_and_the_manifests() {
		let manifest = |name: &str| Manifest { name: name.into(), ..Default::default() };
		let id = |code, name| development_id(&[code; 32], &manifest(name)).unwrap();
		assert_eq!(id(1, "a"), id(1, "a"));
		assert_ne!(id(1, "a"), id(2, "a"));
		assert_ne!(id(1, "a"), id(1, "b"));
	}
}
