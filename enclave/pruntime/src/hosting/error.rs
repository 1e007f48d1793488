use phala_agent_manifest::{limits::Limit, ManifestError};
use phala_protocol::refusals::Refusal;
use phala_sandbox::{RunError, SandboxError};

/// Why an agent was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum HostingError {
	/// The sandbox refused the code, or the machine cannot run one.
	#[error(transparent)]
	Sandbox(#[from] SandboxError),
	/// The connections' cryptography cannot be set up.
	#[error("outgoing connections cannot be set up: {0}")]
	Egress(#[from] rustls::Error),
	/// No network would take this manifest.
	#[error(transparent)]
	Manifest(#[from] ManifestError),
	/// A manifest that cannot be written down or read.
	#[error("the manifest is not the JSON of one: {0}")]
	ManifestJson(#[source] serde_json::Error),
	/// A secret whose name the manifest does not have.
	#[error("the manifest of {agent} declares no secret {secret}; add it to `secrets` in agent.toml and build again")]
	SecretNotDeclared {
		/// Whose manifest.
		agent: String,
		/// The name, not the value.
		secret: String,
	},
	/// Two agents of one name.
	#[error("there is an agent named {0} already; names are unique on a development worker")]
	NameTaken(String),
	/// The worker is full.
	#[error("this worker has {max} agents, which is the most")]
	TooManyAgents {
		/// The most.
		max: usize,
	},
	/// A file could not be read.
	#[error(
		"{path}: {source}; build the agent first: cargo run -p phala-agent-builder -- <folder>"
	)]
	Unreadable {
		/// Which.
		path: String,
		/// Why.
		source: std::io::Error,
	},
	/// A file that is not what it should be. What it holds is not repeated: it may be secret.
	#[error("{path}, line {line}: {expected}")]
	Malformed {
		/// Which.
		path: String,
		/// Where.
		line: usize,
		/// What it should be.
		expected: &'static str,
	},
	/// Secrets for nobody.
	#[error(
		"the secrets file names an agent {0} that is not loaded; loaded are those of --dev-agent"
	)]
	NoSuchAgent(String),
}

/// Why a request to an agent was not answered by it. Nothing of it has taken effect.
#[derive(Debug, thiserror::Error)]
pub enum AgentRunError {
	/// The agent has as many requests as it may have.
	#[error("{running} requests of this agent run and {waiting} wait, which is the most; try again later")]
	AgentRequests {
		/// Most that run.
		running: usize,
		/// Most that wait.
		waiting: usize,
	},
	/// Its turn did not come.
	#[error(
		"the request waited {waited_ms} ms for its turn, which is the longest; try again later"
	)]
	WaitTime {
		/// The longest.
		waited_ms: u64,
	},
	/// What the agent keeps would be more than it may.
	#[error("the agent's state would have {bytes} bytes, at most {max} are allowed; nothing of this request was written")]
	AgentStateBytes {
		/// With this request's writes.
		bytes: u64,
		/// The most.
		max: u64,
	},
	/// The run ended badly.
	#[error(transparent)]
	Run(#[from] RunError),
}

impl AgentRunError {
	/// As callers are told it; for a limit, that limit.
	pub fn refusal(&self) -> Refusal {
		match self {
			Self::AgentRequests { .. } => Refusal::AgentRequests,
			Self::WaitTime { .. } => Refusal::WaitTime,
			Self::AgentStateBytes { .. } => Refusal::AgentStateBytes,
			Self::Run(error) => match error {
				RunError::LimitExceeded(exceeded) => limit(exceeded.limit),
				RunError::Uncaught => Refusal::Uncaught,
				RunError::Trapped(_) => Refusal::Trapped,
				RunError::NoAnswer => Refusal::NoAnswer,
				RunError::BadRequest(_) => Refusal::BadRequest,
				RunError::BadResponse(_) => Refusal::BadResponse,
				RunError::Host(_) => Refusal::Host,
				RunError::Busy => Refusal::Busy,
			},
		}
	}
}

fn limit(limit: Limit) -> Refusal {
	match limit {
		Limit::Memory => Refusal::Memory,
		Limit::Stack => Refusal::Stack,
		Limit::CpuTime => Refusal::CpuTime,
		Limit::WallTime => Refusal::WallTime,
		Limit::CallDepth => Refusal::CallDepth,
		Limit::OutboundCalls => Refusal::OutboundCalls,
		Limit::FetchedBytes => Refusal::FetchedBytes,
		Limit::RequestBytes => Refusal::RequestBytes,
		Limit::ResponseBytes => Refusal::ResponseBytes,
		Limit::LogLines => Refusal::LogLines,
		Limit::LogBytes => Refusal::LogBytes,
		Limit::StateKeyBytes => Refusal::StateKeyBytes,
		Limit::StateValueBytes => Refusal::StateValueBytes,
		Limit::StateWriteKeys => Refusal::StateWriteKeys,
		Limit::StateWriteBytes => Refusal::StateWriteBytes,
		Limit::StateReadBytes => Refusal::StateReadBytes,
		Limit::HostCalls => Refusal::HostCalls,
		Limit::PendingCalls => Refusal::PendingCalls,
		Limit::EntropyBytes => Refusal::EntropyBytes,
	}
}
