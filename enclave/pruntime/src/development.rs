//! Agents from folders on this machine's disk. **Development builds only**: nobody vouches for what
//! is loaded, and whoever reads this machine's disk reads the secrets. They run on the one machine, as
//! a cluster of one member without a chain.

use crate::{
	executor::sandbox::{ProgramError, Sandbox},
	limits::DEVELOPMENT_AGENTS_MAX,
	store::{CodeError, Store},
};
use codec::Encode;
use phala_machine::development::DevelopmentAgent;
use phala_protocol::{
	agents::AgentCode,
	blake2_256,
	domains::{Domain, DEVELOPMENT_AGENT_ID},
	hash_of, H256,
};
use phala_sandbox::Manifest;
use serde::de::DeserializeOwned;
use std::{
	collections::{BTreeMap, BTreeSet},
	path::{Path, PathBuf},
};

/// Where the builder leaves an agent's component, in its folder.
const COMPONENT: &str = "dist/agent.wasm";
/// Where the builder leaves an agent's manifest, in its folder.
const MANIFEST: &str = "dist/manifest.json";

type SecretsFile = BTreeMap<String, BTreeMap<String, String>>;

/// The id of an agent **from a folder** is its hash. The chain gives its own ids.
#[derive(Encode)]
struct DevelopmentId {
	domain: Domain,
	code_hash: H256,
	/// BLAKE2-256 of the manifest as JSON without spaces, its fields in the order of the type.
	manifest_hash: H256,
}

/// What to load.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DevelopmentAgents {
	/// Development only: runs the built agent in this folder (`dist/agent.wasm` and
	/// `dist/manifest.json`) without a chain, with its state in memory. May be given more than once.
	#[arg(
		long = "dev-agent",
		value_name = "FOLDER",
		conflicts_with_all = ["genesis", "worker"]
	)]
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

/// Why an agent was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
	#[error(transparent)]
	Program(#[from] ProgramError),
	#[error(transparent)]
	Code(#[from] CodeError),
	/// A secret whose name the manifest does not have: the name, not the value.
	#[error("the manifest of {agent} declares no secret {secret}; add it to `secrets` in agent.toml and build again")]
	SecretNotDeclared { agent: String, secret: String },
	#[error("there is an agent named {0} already; names are unique on a development worker")]
	NameTaken(String),
	#[error("at most {DEVELOPMENT_AGENTS_MAX} agents from folders are taken")]
	TooManyAgents,
	#[error("{path} is not there; build the agent first: phala build <folder>")]
	NotBuilt { path: String },
	#[error("cannot read {path}: {source}")]
	Unreadable { path: String, source: std::io::Error },
	/// A file that is not what it should be. What it holds is not repeated: it may be secret.
	#[error("{path}, line {line}: {expected}")]
	Malformed { path: String, line: usize, expected: &'static str },
	#[error(
		"the secrets file names an agent {0} that is not loaded; loaded are those of --dev-agent"
	)]
	NoSuchAgent(String),
}

/// Reads and compiles all. Takes seconds: call it where blocking is allowed.
pub fn load(
	agents: &DevelopmentAgents,
	sandbox: &dyn Sandbox,
	store: &dyn Store,
) -> Result<Vec<DevelopmentAgent>, DevelopmentError> {
	let mut secrets: SecretsFile = match &agents.secrets_file {
		Some(file) => json(
			&read(file)?,
			file,
			"expected JSON as in {\"<agent>\": {\"<NAME>\": \"<value>\"}}; the text is not shown",
		)?,
		None => SecretsFile::new(),
	};
	if agents.folders.len() > DEVELOPMENT_AGENTS_MAX {
		return Err(DevelopmentError::TooManyAgents);
	}
	let mut names = BTreeSet::new();
	let mut loaded = Vec::new();
	for folder in &agents.folders {
		let component = built(&folder.join(COMPONENT))?;
		let file = folder.join(MANIFEST);
		let bytes = built(&file)?;
		let manifest: Manifest =
			json(&bytes, &file, "expected a manifest as phala-agent-build writes it")?;
		let name = manifest.name.clone();
		let own = secrets.remove(&name).unwrap_or_default();
		if let Some(secret) = own.keys().find(|secret| !manifest.secrets.contains(*secret)) {
			return Err(DevelopmentError::SecretNotDeclared {
				agent: name,
				secret: secret.clone(),
			});
		}
		if !names.insert(name.clone()) {
			return Err(DevelopmentError::NameTaken(name));
		}
		let code = AgentCode { component: blake2_256(&component), manifest: blake2_256(&bytes) };
		sandbox.compile(code, &component, &bytes)?;
		let id = development_id(code.component, &manifest)?;
		store.put_code(code.component, component)?;
		store.put_code(code.manifest, bytes)?;
		tracing::info!("agent {name} is loaded as {id:?}");
		let secrets = own.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
		loaded.push(DevelopmentAgent { id, code, secrets });
	}
	match secrets.into_keys().next() {
		Some(stranger) => Err(DevelopmentError::NoSuchAgent(stranger)),
		None => Ok(loaded),
	}
}

fn read(path: &Path) -> Result<Vec<u8>, DevelopmentError> {
	std::fs::read(path)
		.map_err(|source| DevelopmentError::Unreadable { path: path.display().to_string(), source })
}

/// What a build writes.
fn built(path: &Path) -> Result<Vec<u8>, DevelopmentError> {
	read(path).map_err(|error| match error {
		DevelopmentError::Unreadable { path, source }
			if source.kind() == std::io::ErrorKind::NotFound =>
		{
			DevelopmentError::NotBuilt { path }
		}
		error => error,
	})
}

fn json<T: DeserializeOwned>(
	bytes: &[u8],
	path: &Path,
	expected: &'static str,
) -> Result<T, DevelopmentError> {
	serde_json::from_slice(bytes).map_err(|error| DevelopmentError::Malformed {
		path: path.display().to_string(),
		line: error.line(),
		expected,
	})
}

fn development_id(code_hash: H256, manifest: &Manifest) -> Result<H256, ProgramError> {
	let manifest = serde_json::to_vec(manifest).map_err(ProgramError::ManifestJson)?;
	let manifest_hash = blake2_256(&manifest);
	Ok(hash_of(&DevelopmentId { domain: DEVELOPMENT_AGENT_ID, code_hash, manifest_hash }))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn only_what_a_build_would_write_is_advised_to_be_built() {
		let missing = Path::new("/nowhere/at/all");
		assert!(built(missing).unwrap_err().to_string().contains("phala build"));
		let folder = Path::new("/");
		for refused in [read(missing).unwrap_err(), built(folder).unwrap_err()] {
			let said = refused.to_string();
			assert!(said.contains("cannot read") && !said.contains("build"), "{said}");
		}
	}

	#[test]
	fn an_id_is_the_codes_and_the_manifests() {
		let manifest = |name: &str| Manifest { name: name.into(), ..Default::default() };
		let id = |code, name| development_id(H256([code; 32]), &manifest(name)).unwrap();
		assert_eq!(id(1, "a"), id(1, "a"));
		assert_ne!(id(1, "a"), id(2, "a"));
		assert_ne!(id(1, "a"), id(1, "b"));
	}
}
