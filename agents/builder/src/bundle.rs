//! Bundling: the SDK's prelude and the agent's modules become one ECMAScript module.

use crate::node::{self, Answer, Request};
use crate::{source_lines, AgentFolder, BuildError};
use serde_json::json;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

const DOING: &str = "bundling the agent's modules";

pub(crate) struct Bundle {
	/// With what leads from it to the sources, at its end.
	pub code: String,
	/// The source map of `code`.
	pub map: String,
	pub warnings: String,
}

/// Agents are bundled with the very SDK that the builder was given, installed or not.
const SDK_MODULES: [(&str, &str); 3] = [
	("@phala/agent/prelude", "src/prelude.ts"),
	("@phala/agent/serve", "src/serve.ts"),
	("@phala/agent", "src/index.ts"),
];

pub(crate) fn bundle(
	sdk: &Path,
	esbuild: &Path,
	folder: &AgentFolder,
	limit: Duration,
) -> Result<Bundle, BuildError> {
	// Evaluated in this order: the web APIs exist before the agent's modules run.
	let main = serde_json::Value::from(folder.main.to_string_lossy());
	let entry = [
		"import \"@phala/agent/prelude\";",
		&format!("import agent from {main};"),
		"import { serve } from \"@phala/agent/serve\";",
		"export const handler = serve(agent);",
	]
	.join("\n");
	let alias: serde_json::Map<_, _> = SDK_MODULES
		.map(|(name, file)| (name.to_owned(), json!(sdk.join(file))))
		.into_iter()
		.collect();
	let options = json!({
		"stdin": { "contents": entry, "resolveDir": folder.path, "sourcefile": "<entry>", "loader": "js" },
		"absWorkingDir": folder.path,
		"bundle": true,
		// Beside the bundle, for the places in errors.
		"sourcemap": "external",
		"sourcesContent": false,
		"format": "esm",
		"charset": "utf8",
		// What QuickJS takes in.
		"target": "es2022",
		// An agent is most like a web worker: web APIs, no Node.js and no document. Packages that have
		// an entry or replacements for browsers are taken with those.
		"platform": "browser",
		"mainFields": ["browser", "module", "main"],
		"conditions": ["worker", "browser", "module"],
		// Common packages ask for these two at their top level, whatever they run in.
		"define": { "process.env.NODE_ENV": "\"production\"", "global": "globalThis" },
		"external": ["phala:*", "wasi:*"],
		"alias": alias,
	});
	match node::run(&Request::Bundle { esbuild, options }, DOING, limit)? {
		// esbuild names each module by its path from here. Where the SDK lies on the developer's machine
		// is no part of the agent.
		Answer::Bundle { code, map, warnings } => {
			let sdk_path = format!("{}/", relative(&folder.path, sdk).display());
			let [code, map] = [code, map].map(|text| text.replace(&sdk_path, "@phala/agent/"));
			let lines = source_lines::statement(&map)
				.map_err(|error| BuildError::ToolBroke { doing: DOING, text: error.to_string() })?;
			Ok(Bundle { code: code + &lines, map, warnings })
		}
		Answer::Refused(text) => Err(BuildError::Code(text)),
		other => Err(other.unexpected(DOING)),
	}
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
	fn a_path_leads_from_one_folder_to_another() {
		let lead = |from: &str, to: &str| relative(Path::new(from), Path::new(to));
		assert_eq!(lead("/a/b/c", "/a/d"), Path::new("../../d"));
		assert_eq!(
			lead("/a", "/a/node_modules/@phala/agent"),
			Path::new("node_modules/@phala/agent")
		);
	}
}
