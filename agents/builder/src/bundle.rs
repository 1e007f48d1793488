//! Bundling: the SDK's prelude and the agent's modules become one ECMAScript module.

use crate::{AgentFolder, BuildError};
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) struct Bundle {
	pub code: String,
	pub warnings: String,
}

/// Agents are bundled with the very SDK that the builder was given, installed or not.
const SDK_MODULES: [(&str, &str); 3] = [
	("@phala/agent/prelude", "src/prelude.ts"),
	("@phala/agent/serve", "src/serve.ts"),
	("@phala/agent", "src/index.ts"),
];

/// What QuickJS takes in.
const TARGET: &str = "--target=es2022";

pub(crate) fn bundle(sdk: &Path, folder: &AgentFolder) -> Result<Bundle, BuildError> {
	// Evaluated in this order: the web APIs exist before the agent's modules run.
	let main = serde_json::Value::from(folder.main.to_string_lossy());
	let entry = [
		"import \"@phala/agent/prelude\";",
		&format!("import agent from {main};"),
		"import { serve } from \"@phala/agent/serve\";",
		"export const handler = serve(agent);",
	]
	.join("\n");
	let start_failed = |source| BuildError::EsbuildStart { sdk: sdk.to_owned(), source };
	let mut esbuild = Command::new(sdk.join("node_modules/.bin/esbuild"))
		.args(["--bundle", "--format=esm", "--platform=neutral", TARGET, "--charset=utf8"])
		.args([
			"--main-fields=module,main",
			"--conditions=worker,module",
			"--log-level=warning",
			"--color=false",
		])
		.args(["--external:phala:*", "--external:wasi:*", "--sourcefile=<entry>", "--loader=js"])
		.args(
			SDK_MODULES.map(|(name, file)| format!("--alias:{name}={}", sdk.join(file).display())),
		)
		.current_dir(&folder.path)
		.stdin(Stdio::piped())
		.stdout(Stdio::piped())
		.stderr(Stdio::piped())
		.spawn()
		.map_err(start_failed)?;
	if let Some(mut stdin) = esbuild.stdin.take() {
		stdin.write_all(entry.as_bytes()).map_err(start_failed)?;
	}
	let output = esbuild.wait_with_output().map_err(start_failed)?;
	let messages = own_messages(&String::from_utf8_lossy(&output.stderr)).to_owned();
	if !output.status.success() {
		return Err(BuildError::Code(messages));
	}
	let code =
		String::from_utf8(output.stdout).map_err(|error| BuildError::Code(error.to_string()))?;
	// esbuild names each module by its path from here. Where the SDK lies on the developer's machine
	// is no part of the agent.
	let sdk_path = format!("{}/", relative(&folder.path, sdk).display());
	Ok(Bundle { code: code.replace(&sdk_path, "@phala/agent/"), warnings: messages })
}

/// What esbuild says, without the stack of the Node.js script that npm puts around it.
fn own_messages(stderr: &str) -> &str {
	stderr.split("\nnode:child_process:").next().unwrap_or(stderr).trim()
}

/// The path that leads from the folder `from` to `to`.
fn relative(from: &Path, to: &Path) -> PathBuf {
	let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
	let up = from.components().skip(common).map(|_| Component::ParentDir);
	up.chain(to.components().skip(common)).collect()
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn of_what_esbuild_says_the_stack_of_the_script_around_it_is_left_out() {
		let stderr = "✘ [ERROR] Expected identifier\n\n    src/index.ts:2:0:\n\nnode:child_process:930\n    throw err;\n";
		assert_eq!(own_messages(stderr), "✘ [ERROR] Expected identifier\n\n    src/index.ts:2:0:");
		assert_eq!(own_messages(" warning\n"), "warning");
	}

	#[test]
	fn a_path_leads_from_one_folder_to_another() {
		let lead = |from: &str, to: &str| relative(Path::new(from), Path::new(to));
		assert_eq!(lead("/a/b/c", "/a/d"), Path::new("../../d"));
		assert_eq!(
			lead("/a", "/a/node_modules/@phala/agent"),
			Path::new("node_modules/@phala/agent")
		);
	}
}
