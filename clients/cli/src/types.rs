//! The types that an agent is written against: in its folder, where any editor finds them, and checked
//! at each build.

use anyhow::{bail, Context};
use std::{fs, path::Path, process::Command};

/// In an agent's folder, named by its `tsconfig.json`.
const FOLDER: &str = ".phala/types";

const FILES: [(&str, &str); 2] = [
	("index.d.ts", include_str!("../../sdk-js/types/index.d.ts")),
	("globals.d.ts", include_str!("../../sdk-js/types/globals.d.ts")),
];

/// Puts those of this release into an agent's folder.
///
/// # Errors
/// When they cannot be written.
pub fn write(agent: &Path) -> anyhow::Result<()> {
	let folder = agent.join(FOLDER);
	let write = || {
		fs::create_dir_all(&folder)?;
		FILES.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
	};
	write().with_context(|| format!("cannot write {}", folder.display()))
}

/// Checks an agent's types, if it has a `tsconfig.json`, with the compiler of the SDK in `sdk`.
///
/// # Errors
/// What the compiler says, each with its file, line and column.
pub fn check(agent: &Path, sdk: &Path) -> anyhow::Result<()> {
	if !agent.join("tsconfig.json").is_file() {
		return Ok(());
	}
	let compiler = sdk.join("node_modules/.bin/tsc");
	if !compiler.is_file() {
		say!("  types are not checked: {} has no TypeScript", sdk.display());
		return Ok(());
	}
	write(agent)?;
	let mut tsc = Command::new(&compiler);
	let output = tsc.args(["--noEmit", "--pretty", "false", "-p", "."]).current_dir(agent).output();
	let output = output.with_context(|| format!("cannot run {}", compiler.display()))?;
	if !output.status.success() {
		let said = String::from_utf8_lossy(&output.stdout);
		bail!("its types are wrong (--no-check builds it all the same):\n{}", said.trim_end());
	}
	Ok(())
}
