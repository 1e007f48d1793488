//! The agents that a development network deploys: built if they are not, or are older than their
//! sources; price-oracle with the sources of [`super::prices`], chat with the endpoint of
//! [`super::chat`].

use super::{chat::Endpoint, prices::Sources};
use crate::commands::build::Built;
use anyhow::{bail, Context};
use phala_agent_builder::{AgentFolder, Builder, BUILT_MANIFEST_FILE, COMPONENT_FILE, OUT_DIR};
use std::{
	fs,
	path::{Path, PathBuf},
	time::SystemTime,
};

const AGENTS: [&str; 2] = [PRICE_ORACLE, CHAT];
/// The agent that is asked directly and through the chain.
pub const PRICE_ORACLE: &str = "price-oracle";
/// The agent with a sealed key.
pub const CHAT: &str = "chat";

/// None is a source.
const NOT_SOURCES: [&str; 3] = [OUT_DIR, "node_modules", crate::deployed::FOLDER];

/// The checkout: `given`, or where the current folder is in, or where this binary was built from.
pub fn checkout(given: Option<&Path>) -> anyhow::Result<PathBuf> {
	let has_agents =
		|folder: &Path| AGENTS.iter().all(|name| folder.join("agents").join(name).is_dir());
	if let Some(given) = given {
		if !has_agents(given) {
			bail!("{} has no agents/{PRICE_ORACLE} and agents/{CHAT}: --checkout is the repository's folder", given.display());
		}
		return Ok(given.canonicalize()?);
	}
	let current = std::env::current_dir().context("there is no current folder")?;
	let built_from = option_env!("PHALA_CHECKOUT").map(PathBuf::from);
	let mut candidates = current.ancestors().map(Path::to_owned).chain(built_from);
	let found = candidates.find(|folder| has_agents(folder));
	let found = found.context(
		"agents/price-oracle and agents/chat were not found: run it in the repository, or say where that is with --checkout",
	)?;
	Ok(found.canonicalize()?)
}

/// Those that must be built first.
pub fn stale(checkout: &Path) -> anyhow::Result<Vec<&'static str>> {
	let sdk = newest(&checkout.join("clients/sdk-js"))?;
	let mut stale = Vec::new();
	for name in AGENTS {
		let folder = checkout.join("agents").join(name);
		let sources = newest(&folder)?.max(sdk);
		let built = [COMPONENT_FILE, BUILT_MANIFEST_FILE].map(|file| {
			fs::metadata(folder.join(OUT_DIR).join(file)).and_then(|file| file.modified()).ok()
		});
		if built.iter().any(|built| built.is_none_or(|built| built < sources)) {
			stale.push(name);
		}
	}
	Ok(stale)
}

/// Builds one. Blocks for seconds.
pub fn build(checkout: &Path, name: &str) -> anyhow::Result<()> {
	let folder = AgentFolder::open(checkout.join("agents").join(name))?;
	let built = Builder::find(&folder.path)?.build(&folder)?;
	built.write(&folder)?;
	if !built.warnings.trim().is_empty() {
		say!("{}", built.warnings);
	}
	Ok(())
}

/// Both, as they are deployed: with the sources of prices and the endpoint in place of their own.
pub fn built(
	checkout: &Path,
	sources: &Sources,
	endpoint: &Endpoint,
) -> anyhow::Result<[Built; 2]> {
	let read = |name| Built::read(&checkout.join("agents").join(name).join(OUT_DIR));
	let oracle = read(PRICE_ORACLE)?;
	let mut manifest = serde_json::from_slice(&oracle.manifest)?;
	sources.put_into(&mut manifest).context("price-oracle's manifest")?;
	let oracle = Built { manifest: serde_json::to_vec_pretty(&manifest)?, ..oracle };
	let chat = endpoint.put_into(read(CHAT)?).context("chat's manifest")?;
	Ok([oracle, chat])
}

/// When the newest source in a folder was written.
fn newest(folder: &Path) -> anyhow::Result<SystemTime> {
	let mut newest = SystemTime::UNIX_EPOCH;
	let failed = || format!("cannot read {}", folder.display());
	for entry in fs::read_dir(folder).with_context(failed)? {
		let entry = entry.with_context(failed)?;
		if NOT_SOURCES.iter().any(|name| entry.file_name() == *name) {
			continue;
		}
		let modified = if entry.file_type().with_context(failed)?.is_dir() {
			self::newest(&entry.path())?
		} else {
			entry.metadata().and_then(|file| file.modified()).with_context(failed)?
		};
		newest = newest.max(modified);
	}
	Ok(newest)
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::time::Duration;

	fn write(path: &Path, age_s: u64) {
		fs::create_dir_all(path.parent().unwrap()).unwrap();
		fs::write(path, "x").unwrap();
		let time = SystemTime::now() - Duration::from_secs(age_s);
		fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
	}

	#[test]
	fn an_agent_is_stale_when_it_was_never_built_or_its_sources_or_the_sdk_are_newer() {
		let checkout = tempfile::tempdir().unwrap();
		let at = |path: &str| checkout.path().join(path);
		write(&at("clients/sdk-js/src/index.ts"), 50);
		for name in AGENTS {
			write(&at(&format!("agents/{name}/src/index.ts")), 40);
		}
		assert_eq!(stale(checkout.path()).unwrap(), AGENTS);
		for name in AGENTS {
			write(&at(&format!("agents/{name}/dist/agent.wasm")), 30);
			write(&at(&format!("agents/{name}/dist/manifest.json")), 30);
		}
		assert!(stale(checkout.path()).unwrap().is_empty());
		write(&at("agents/chat/node_modules/x/index.js"), 0);
		write(&at("agents/chat/src/index.ts"), 20);
		assert_eq!(stale(checkout.path()).unwrap(), [CHAT]);
		write(&at("clients/sdk-js/src/index.ts"), 10);
		assert_eq!(stale(checkout.path()).unwrap(), AGENTS);
	}
}
