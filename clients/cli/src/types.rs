//! The types that an agent is written against: in its folder, where any editor finds them, and checked
//! at each build.

use anyhow::Context;
use phala_agent_builder::BuildError;
use std::{ffi::OsStr, fs, path::Path, process::Command};

/// In an agent's folder, named by its `tsconfig.json`.
const FOLDER: &str = ".phala/types";

const FILES: [(&str, &str); 2] = [
	("index.d.ts", include_str!("../../sdk-js/types/index.d.ts")),
	("globals.d.ts", include_str!("../../sdk-js/types/globals.d.ts")),
];

/// Puts those of this release into an agent's folder.
pub fn write(agent: &Path) -> anyhow::Result<()> {
	let folder = agent.join(FOLDER);
	let write = || {
		fs::create_dir_all(&folder)?;
		FILES.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
	};
	write().with_context(|| format!("cannot write {}", folder.display()))
}

/// Checks an agent's types, if it has a `tsconfig.json`, with the compiler of the SDK in `sdk`.
/// An error has what that says, each with its file, line and column.
pub fn check(agent: &Path, sdk: &Path) -> anyhow::Result<()> {
	check_by("node".as_ref(), agent, sdk)
}

fn check_by(node: &OsStr, agent: &Path, sdk: &Path) -> anyhow::Result<()> {
	if !agent.join("tsconfig.json").is_file() {
		return Ok(());
	}
	let compiler = sdk.join("node_modules/.bin/tsc");
	if !compiler.is_file() {
		say!("  types are not checked: {} has no TypeScript", sdk.display());
		return Ok(());
	}
	write(agent)?;
	// Not by the script's first line: what finds no Node.js then looks like a complaint of the compiler.
	let compiler = compiler.canonicalize().with_context(|| compiler.display().to_string())?;
	let mut tsc = Command::new(node);
	let tsc = tsc.arg(compiler).args(["--noEmit", "--pretty", "false", "-p", "."]);
	let output = tsc.current_dir(agent).output();
	let output = output.map_err(|source| BuildError::NodeMissing { source })?;
	if output.status.success() {
		return Ok(());
	}
	// The compiler complains on stdout; what breaks it does on stderr.
	if output.stdout.trim_ascii().is_empty() {
		return Err(broke(node, &output.stderr).into());
	}
	let said = told(&String::from_utf8_lossy(&output.stdout));
	refuse!("TypesWrong", "its types are wrong (--no-check builds it all the same):\n{said}");
}

/// Why the compiler did not come to checking anything.
fn broke(node: &OsStr, said: &[u8]) -> BuildError {
	/// As the builder, which asks when its turn has come.
	const NODE_MAJOR_MIN: u32 = 20;
	let asked = Command::new(node).arg("--version").output();
	let version = asked.map(|asked| String::from_utf8_lossy(&asked.stdout).trim().to_owned());
	let version = version.unwrap_or_default();
	let number = version.strip_prefix('v').and_then(|number| number.split('.').next());
	match number.and_then(|major| major.parse::<u32>().ok()) {
		Some(major) if major < NODE_MAJOR_MIN => BuildError::NodeTooOld { version },
		_ => BuildError::ToolBroke {
			doing: "checking types",
			text: String::from_utf8_lossy(said).trim().to_owned(),
		},
	}
}

/// What the compiler says, but for advice that leads nowhere here.
fn told(said: &str) -> String {
	let has_node = said.contains("@types/node");
	let lines =
		said.trim_end().lines().map(|line| match line.find(" Do you need to install type") {
			Some(at) if line.contains("@types/node") => &line[..at],
			_ => line,
		});
	let mut told = lines.collect::<Vec<_>>().join("\n");
	if has_node {
		told.push_str(
			"\nAgents have the web's interfaces (fetch, crypto, URL, TextEncoder …) and none of Node.js: use those, or an npm package for browsers.",
		);
	}
	told
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::os::unix::fs::PermissionsExt;

	#[test]
	fn nobody_is_sent_to_install_types_of_what_agents_do_not_have() {
		let said = "src/index.ts(1,16): error TS2591: Cannot find name 'fs'. Do you need to install type definitions for node? Try `npm i --save-dev @types/node` and then add 'node' to the types field in your tsconfig.\nsrc/index.ts(2,1): error TS1: another\n";
		let told = told(said);
		assert!(!told.contains("npm i"), "{told}");
		assert!(
			told.starts_with("src/index.ts(1,16): error TS2591: Cannot find name 'fs'."),
			"{told}"
		);
		assert!(told.contains("TS1: another") && told.contains("none of Node.js"), "{told}");
	}

	#[test]
	fn without_node_it_is_node_that_is_missing_and_not_the_types_that_are_wrong() {
		let folder = tempfile::tempdir().unwrap();
		let (agent, sdk) = (folder.path().join("agent"), folder.path().join("sdk"));
		let scripts = sdk.join("node_modules/.bin");
		fs::create_dir_all(&agent).unwrap();
		fs::create_dir_all(&scripts).unwrap();
		fs::write(agent.join("tsconfig.json"), "{}").unwrap();
		fs::write(scripts.join("tsc"), "").unwrap();
		let none = folder.path().join("node");
		let refused = check_by(none.as_os_str(), &agent, &sdk).unwrap_err().to_string();
		assert!(refused.contains("install Node.js") && !refused.contains("types"), "{refused}");
		// One that is too old for the compiler, and one that it breaks in.
		for (version, part) in [("v12.22.0", "20 or later is needed"), ("v22.1.0", "SyntaxError")] {
			let script = "#!/bin/sh\n[ \"$1\" = --version ] && echo VERSION && exit\necho SyntaxError >&2\nexit 1\n";
			fs::write(&none, script.replace("VERSION", version)).unwrap();
			fs::set_permissions(&none, fs::Permissions::from_mode(0o700)).unwrap();
			let refused = check_by(none.as_os_str(), &agent, &sdk).unwrap_err();
			assert_eq!(crate::failure::body(&refused).code, "BuildFailed");
			let refused = refused.to_string();
			assert!(refused.contains(part) && !refused.contains("are wrong"), "{refused}");
		}
	}
}
