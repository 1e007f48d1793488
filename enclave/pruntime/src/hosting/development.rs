//! Agents from folders on this machine's disk. **Development builds only**: nobody vouches for what
//! is loaded, and whoever reads this machine's disk reads the secrets.

use super::{AgentHost, HostConfig, HostingError};
use phala_sandbox::{egress::EgressConfig, Manifest, SecretValue};
use serde::de::DeserializeOwned;
use std::{
	collections::BTreeMap,
	path::{Path, PathBuf},
};

/// Where the builder leaves an agent's component, in its folder.
const COMPONENT: &str = "dist/agent.wasm";
/// Where the builder leaves an agent's manifest, in its folder.
const MANIFEST: &str = "dist/manifest.json";

type SecretsFile = BTreeMap<String, BTreeMap<String, String>>;

/// What to load.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DevelopmentAgents {
	/// Development only: runs the built agent in this folder (`dist/agent.wasm` and
	/// `dist/manifest.json`), with its state in memory. May be given more than once. Without
	/// `--genesis` and `--worker` there is then no chain: only agents.
	#[arg(long = "dev-agent", value_name = "FOLDER")]
	pub folders: Vec<PathBuf>,

	/// Development only: secrets of the agents as JSON, `{"<agent>": {"<NAME>": "<value>"}}`.
	#[arg(long = "dev-secrets-file", value_name = "FILE", requires = "folders")]
	pub secrets_file: Option<PathBuf>,

	/// Development only: a `host:port` on loopback that agents may reach, if their manifest allows
	/// it too. May be given more than once.
	#[arg(long = "dev-loopback", value_name = "HOST:PORT")]
	pub loopback: Vec<String>,

	/// Development only: shows what agents log, which can be anything that they know.
	#[arg(long = "dev-agent-logs")]
	pub agent_logs: bool,
}

/// Reads and compiles all. Takes seconds: call it where blocking is allowed.
///
/// # Errors
/// [`HostingError`]: which file, and what it should be.
pub fn load(agents: &DevelopmentAgents) -> Result<AgentHost, HostingError> {
	let mut secrets: SecretsFile = match &agents.secrets_file {
		Some(file) => json(
			file,
			"expected JSON as in {\"<agent>\": {\"<NAME>\": \"<value>\"}}; the text is not shown",
		)?,
		None => SecretsFile::new(),
	};
	let host = AgentHost::new(HostConfig {
		egress: EgressConfig {
			dev_loopback_allowed: agents.loopback.clone(),
			..Default::default()
		},
		shows_agent_logs: agents.agent_logs,
		..Default::default()
	})?;
	for folder in &agents.folders {
		let code = read(&folder.join(COMPONENT))?;
		let manifest: Manifest =
			json(&folder.join(MANIFEST), "expected a manifest as phala-agent-build writes it")?;
		let name = manifest.name.clone();
		let own = secrets.remove(&name).unwrap_or_default();
		let own = own.into_iter().map(|(name, value)| (name, SecretValue(value))).collect();
		let id = host.load(&code, manifest, own)?;
		tracing::info!("agent {name} is loaded as 0x{}", hex::encode(id));
	}
	match secrets.into_keys().next() {
		Some(stranger) => Err(HostingError::NoSuchAgent(stranger)),
		None => Ok(host),
	}
}

fn read(path: &Path) -> Result<Vec<u8>, HostingError> {
	std::fs::read(path)
		.map_err(|source| HostingError::Unreadable { path: path.display().to_string(), source })
}

fn json<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<T, HostingError> {
	serde_json::from_slice(&read(path)?).map_err(|error| HostingError::Malformed {
		path: path.display().to_string(),
		line: error.line(),
		expected,
	})
}
