//! `phala build`: an agent's folder becomes a component and a manifest, in its `dist`.

use crate::{
	output::{
		self,
		agents::{AgentBuilt, BuiltFile},
	},
	steps::step,
	types,
};
use anyhow::Context;
use phala_agent_builder::{
	AgentFolder, Builder, BuiltAgent, BUILT_MANIFEST_FILE, COMPONENT_FILE, MANIFEST_FILE, OUT_DIR,
};
use phala_protocol::{agents::AgentCode, blake2_256, H256};
use std::{
	fs,
	path::{Path, PathBuf},
	process::ExitCode,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The agent's folder.
	#[arg(default_value = ".")]
	pub folder: PathBuf,

	/// The folder of @phala/agent. Found if not said: an installed one, or that of the repository.
	#[arg(long, env = "PHALA_SDK", value_name = "FOLDER")]
	pub sdk: Option<PathBuf>,

	/// Builds it without checking its types.
	#[arg(long)]
	pub no_check: bool,
}

/// An agent as it is deployed.
pub struct Built {
	pub name: String,
	pub component: Vec<u8>,
	pub manifest: Vec<u8>,
}

impl Built {
	/// How the network names it.
	pub fn code(&self) -> AgentCode {
		AgentCode { component: blake2_256(&self.component), manifest: blake2_256(&self.manifest) }
	}

	/// Not what lies in the folder: another process may be writing it.
	fn made(built: BuiltAgent) -> anyhow::Result<Self> {
		let BuiltAgent { manifest, component, .. } = built;
		// As it is written.
		let json = serde_json::to_vec_pretty(&manifest)?;
		Ok(Self { name: manifest.name, component, manifest: json })
	}

	/// What was built in a folder before.
	pub fn read(dist: &Path) -> anyhow::Result<Self> {
		let read = |file| {
			let path = dist.join(file);
			fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
		};
		let (component, manifest) = (read(COMPONENT_FILE)?, read(BUILT_MANIFEST_FILE)?);
		let parsed: phala_agent_builder::Manifest = serde_json::from_slice(&manifest)
			.with_context(|| format!("{} has no manifest", dist.display()))?;
		Ok(Self { name: parsed.name, component, manifest })
	}
}

/// Refuses a folder that is no agent's, before anything is made of it.
pub fn check_folder(folder: &Path) -> anyhow::Result<()> {
	if !folder.join(MANIFEST_FILE).is_file() {
		refuse!(
			"NoAgentFolder",
			"{} has no {MANIFEST_FILE}, so it is no agent's folder: `phala new <folder>` makes one",
			folder.display()
		);
	}
	Ok(())
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let Arguments { folder, sdk, no_check } = arguments;
	check_folder(&folder)?;
	if no_check {
		say!("  types are not checked, as you asked");
	}
	let what = format!("building {}", folder.display());
	let (built, _) = step(&what, build(&folder, sdk, !no_check)).await?;
	let AgentCode { component, manifest } = built.code();
	let dist = folder.join(OUT_DIR);
	let file = |name: &str, hash: H256, bytes: &[u8]| BuiltFile {
		path: dist.join(name).display().to_string(),
		hash: hash.into(),
		bytes: bytes.len(),
	};
	let told = AgentBuilt {
		component: file(COMPONENT_FILE, component, &built.component),
		manifest: file(BUILT_MANIFEST_FILE, manifest, &built.manifest),
		name: built.name,
	};
	let text = format!(
		"component  {component:?}  {} ({} bytes)\nmanifest   {manifest:?}  {}",
		told.component.path, told.component.bytes, told.manifest.path
	);
	output::tell(json, &told, text)?;
	Ok(ExitCode::SUCCESS)
}

/// Builds the agent in a folder and writes its `dist`.
/// An error of code that does not parse, or whose types are wrong, names the file, the line and the
/// column.
pub async fn build(
	folder: &Path,
	sdk: Option<PathBuf>,
	checks_types: bool,
) -> anyhow::Result<Built> {
	let folder = folder.to_owned();
	let building = tokio::task::spawn_blocking(move || {
		let folder = AgentFolder::open(&folder)?;
		let builder = match sdk {
			Some(sdk) => Builder::new(sdk)?,
			None => Builder::find(&folder.path).or_else(checkout_builder)?,
		};
		if checks_types {
			types::check(&folder.path, builder.sdk())?;
		}
		let built = builder.build(&folder)?;
		built.write(&folder)?;
		if !built.warnings.trim().is_empty() {
			say!("{}", built.warnings);
		}
		Built::made(built)
	});
	building.await?
}

/// Outside of a repository: with the SDK of the one that this binary was built from, if it is there.
fn checkout_builder(
	error: phala_agent_builder::BuildError,
) -> Result<Builder, phala_agent_builder::BuildError> {
	let sdk =
		option_env!("PHALA_CHECKOUT").map(|checkout| Path::new(checkout).join("clients/sdk-js"));
	match (error, sdk) {
		(phala_agent_builder::BuildError::SdkNotFound { .. }, Some(sdk)) if sdk.is_dir() => {
			Builder::new(sdk)
		}
		(error, _) => Err(error),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn what_was_built_is_what_is_written_and_not_what_another_process_has_written_half() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().to_owned();
		let agent = AgentFolder { main: path.join("main.ts"), path, manifest: Default::default() };
		let made = || BuiltAgent {
			manifest: phala_agent_builder::Manifest { name: "riddle".into(), ..Default::default() },
			component: vec![1, 2, 3],
			code_hash: blake2_256(&[1, 2, 3]).0,
			bundle: String::new(),
			warnings: String::new(),
			from_cache: false,
		};
		made().write(&agent).unwrap();
		let (built, read) = (made(), Built::read(&folder.path().join(OUT_DIR)).unwrap());
		let built = Built::made(built).unwrap();
		assert_eq!((built.code(), built.name), (read.code(), read.name));
	}
}
