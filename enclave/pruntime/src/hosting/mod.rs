//! Agents that this worker runs.
//!
//! An [`AgentHost`] has them by id, with their state and their secrets, and is what stands around
//! the sandbox: it takes a request in, waits for its turn, runs it, and applies what it wrote.
//!
//! - **State** is in memory. A run reads a snapshot; its writes are applied together, after it ended
//!   well. One request at a time may write to an agent; readers never wait for it.
//! - **Turns**: so many requests of one agent run at once, so many wait; the next is refused by name.
//!   No agent alone can take all instances of the sandbox.
//! - **Calls between agents** stay on this worker. What a request that only reads causes only reads
//!   too. A callee's writes are its own: they stay when its caller fails afterwards.

#[cfg(feature = "software-evidence")]
pub mod development;
mod error;
mod run;
mod state;

pub use error::{HostingError, RunRefused};
pub(crate) use run::writes;

use crate::limits;
use codec::Encode;
use phala_sandbox::{
	egress::{EgressClient, EgressConfig},
	BlockRef, HttpRequest, LoadedAgent, Manifest, Outcome, Sandbox, SandboxConfig, SecretValue,
};
use state::AgentState;
use std::{
	collections::{BTreeMap, HashMap},
	sync::Arc,
};
use tokio::sync::Semaphore;

/// How an agent is called on every door.
pub type AgentId = [u8; 32];

const DEVELOPMENT_ID_DOMAIN: &[u8] = b"phala/agent/development-id/1";

/// BLAKE2-256 of its encoding is an agent's id **in development**: until the chain's `agents` pallet
/// gives out ids, which will then last over upgrades of the code.
#[derive(Encode)]
struct DevelopmentId {
	domain: &'static [u8],
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

/// The agents of this worker, and what they run in. Cheap to clone once all are loaded.
pub struct AgentHost {
	sandbox: Sandbox,
	egress: EgressClient,
	shows_agent_logs: bool,
	agents: HashMap<AgentId, Arc<HostedAgent>>,
}

/// An agent that is loaded.
pub struct HostedAgent {
	id: AgentId,
	loaded: LoadedAgent,
	manifest: Arc<Manifest>,
	/// Only names that the manifest declares.
	secrets: BTreeMap<String, SecretValue>,
	state: AgentState,
	/// Requests that run or wait.
	admitted: Arc<Semaphore>,
	/// Requests that run.
	running: Arc<Semaphore>,
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
			agents: HashMap::new(),
		})
	}

	/// Compiles `code` and takes it in as an agent. Takes up to seconds: call it where blocking is
	/// allowed.
	///
	/// # Errors
	/// [`HostingError`]; nothing has changed then.
	pub fn load(
		&mut self,
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
		if self.agents.len() >= limits::AGENTS_MAX {
			return Err(HostingError::TooManyAgents { max: limits::AGENTS_MAX });
		}
		let loaded = self.sandbox.load(code)?;
		let id = development_id(&loaded.code_hash(), &manifest)?;
		let agent = HostedAgent {
			id,
			loaded,
			manifest: Arc::new(manifest),
			secrets,
			state: AgentState::default(),
			admitted: Arc::new(Semaphore::new(
				limits::AGENT_RUNS_MAX + limits::AGENT_REQUESTS_WAITING_MAX,
			)),
			running: Arc::new(Semaphore::new(limits::AGENT_RUNS_MAX)),
		};
		self.agents.insert(id, Arc::new(agent));
		Ok(id)
	}

	/// All agents, by name.
	pub fn agents(&self) -> Vec<&HostedAgent> {
		let mut agents: Vec<_> = self.agents.values().map(|agent| &**agent).collect();
		agents.sort_by(|a, b| a.name().cmp(b.name()));
		agents
	}

	/// The agent with an id in hexadecimal (`0x` or not) or, in development, a name.
	pub fn find(&self, id_or_name: &str) -> Option<&Arc<HostedAgent>> {
		let digits = id_or_name.strip_prefix("0x").unwrap_or(id_or_name);
		let mut id = AgentId::default();
		match hex::decode_to_slice(digits, &mut id) {
			Ok(()) => self.agents.get(&id),
			Err(_) => self.by_name(id_or_name),
		}
	}

	fn by_name(&self, name: &str) -> Option<&Arc<HostedAgent>> {
		self.agents.values().find(|agent| agent.name() == name)
	}

	/// Takes a place among the requests that run or wait, before anything of it is read.
	///
	/// # Errors
	/// [`RunRefused::AgentRequests`].
	pub fn admit(&self, agent: &Arc<HostedAgent>) -> Result<Admitted, RunRefused> {
		let place =
			agent.admitted.clone().try_acquire_owned().map_err(|_| RunRefused::AgentRequests {
				running: limits::AGENT_RUNS_MAX,
				waiting: limits::AGENT_REQUESTS_WAITING_MAX,
			})?;
		Ok(Admitted { agent: agent.clone(), _place: place })
	}

	/// Answers a request, and applies what it wrote. Dropping the future ends the run; nothing of it
	/// takes effect then.
	///
	/// # Errors
	/// [`RunRefused`]; nothing has taken effect then.
	pub async fn run(
		self: &Arc<Self>,
		admitted: Admitted,
		call: Call,
	) -> Result<Outcome, RunRefused> {
		run::from_outside(self, &admitted.agent, call).await
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
		domain: DEVELOPMENT_ID_DOMAIN,
		code_hash: *code_hash,
		manifest_hash: phala_primitives::blake2_256(&manifest).0,
	};
	Ok(phala_primitives::blake2_256(&id.encode()).0)
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
