//! Packages of npm are taken as a browser takes them, and what does not resolve is told in words that
//! help the developer of an agent.

use crate::common::*;
use phala_agent_builder::BuildError;
use std::path::Path;

fn package(folder: &Path, name: &str, json: &str, files: &[(&str, &str)]) {
	let at = |file: &str| format!("node_modules/{name}/{file}");
	write(
		folder,
		&at("package.json"),
		&format!("{{ \"name\": \"{name}\", \"version\": \"1.0.0\", {json} }}"),
	);
	for (file, code) in files {
		write(folder, &at(file), code);
	}
}

/// What is said of an agent's code that does not bundle.
fn refusal(folder: &Path) -> String {
	match build_in(&builder(), folder) {
		Err(BuildError::Code(text)) => text,
		Err(error) => panic!("{error}"),
		Ok(_) => panic!("it was built"),
	}
}

#[test]
fn a_package_is_taken_by_its_entry_for_browsers() {
	let folder = agent(
		"
import main from 'browser-main';
import map from 'browser-map';
import conditions from 'browser-condition';
import worker from 'worker-condition';
import old from 'common-js';
const used = [main, map, conditions, worker, old];
export default { fetch: () => new Response(used.join()) };
",
	);
	let path = folder.path();
	let for_node = "import fs from 'node:fs'; export default 'of Node ' + fs;";
	package(
		path,
		"browser-main",
		"\"main\": \"node.js\", \"module\": \"node.mjs\", \"browser\": \"web.js\"",
		&[
			("node.js", "module.exports = require('fs');"),
			("node.mjs", for_node),
			("web.js", "export default 'main of browsers';"),
		],
	);
	package(
		path,
		"browser-map",
		"\"main\": \"index.js\", \"browser\": { \"./platform.js\": \"./web.js\", \"fs\": false }",
		&[
			("index.js", "require('fs'); module.exports = require('./platform.js');"),
			("platform.js", "module.exports = require('child_process');"),
			("web.js", "module.exports = 'map of browsers';"),
		],
	);
	package(
		path,
		"browser-condition",
		"\"exports\": { \".\": { \"node\": \"./node.mjs\", \"browser\": \"./web.mjs\", \"default\": \"./node.mjs\" } }",
		&[("node.mjs", for_node), ("web.mjs", "export default 'condition of browsers';")],
	);
	package(
		path,
		"worker-condition",
		"\"exports\": { \"worker\": \"./worker.mjs\", \"browser\": \"./page.mjs\", \"default\": \"./node.mjs\" }",
		&[
			("node.mjs", for_node),
			("page.mjs", "export default document.title;"),
			("worker.mjs", "export default 'condition of workers';"),
		],
	);
	package(
		path,
		"common-js",
		"\"main\": \"index.js\"",
		&[(
			"index.js",
			"if (process.env.NODE_ENV !== 'production') throw new Error('for development');
			global.seen = true;
			module.exports = 'names of Node that all bundlers know';",
		)],
	);
	// It evaluates its modules too: a name that is not there would throw.
	let bundle = build_in(&builder(), path).unwrap_or_else(|error| panic!("{error}")).bundle;
	for taken in [
		"main of browsers",
		"map of browsers",
		"condition of browsers",
		"condition of workers",
		"names of Node that all bundlers know",
	] {
		assert!(bundle.contains(taken), "{taken}");
	}
	assert!(!bundle.contains("of Node '"), "an entry for Node.js was taken");
}

#[test]
fn what_does_not_resolve_is_told_without_the_bundlers_own_options() {
	let folder = agent("import 'parser';\nimport 'not-installed/part';\nimport './nowhere';\n");
	let path = folder.path();
	package(
		path,
		"parser",
		"\"main\": \"index.js\"",
		&[(
			"index.js",
			"import crypto from 'crypto';\nimport 'node:fs/promises';\nimport 'broken/secret';\n",
		)],
	);
	package(
		path,
		"broken",
		"\"exports\": { \".\": \"./index.js\" }",
		&[("index.js", ""), ("secret.js", "")],
	);
	let text = refusal(path);
	for told in [
		// Whose import it is, and what to use.
		"node_modules/parser/index.js:1:19",
		"\"crypto\" is a module of Node.js",
		"crypto.getRandomValues",
		"\"node:fs/promises\" is a module of Node.js",
		"env.state",
		"npm install not-installed",
		"src/index.ts:3:7",
		"There is no such file",
		// esbuild's own, which says it well.
		"is not exported by package",
	] {
		assert!(text.contains(told), "{told:?} is not in:\n{text}");
	}
	for advice in ["external", "--platform", "platform:", "node:child_process"] {
		assert!(!text.contains(advice), "{advice:?} is in:\n{text}");
	}
}

#[test]
fn what_is_for_other_machines_alone_is_told_without_the_bundlers_own_options() {
	let folder = agent("import 'servers/only';\nimport './view.js';\n");
	let path = folder.path();
	package(
		path,
		"servers",
		"\"exports\": { \"./only\": { \"node\": \"./node.js\" } }",
		&[("node.js", "")],
	);
	write(path, "src/view.js", "export default () => <p>hello</p>;\n");
	let text = refusal(path);
	for told in ["src/index.ts:1:7", "nothing there for browsers", "src/view.js:1:", ".jsx or .tsx"]
	{
		assert!(text.contains(told), "{told:?} is not in:\n{text}");
	}
	for advice in ["You can use", "conditions:", "loader:", "esbuild"] {
		assert!(!text.contains(advice), "{advice:?} is in:\n{text}");
	}
}

#[test]
fn a_file_that_is_no_code_is_told_with_what_is() {
	let folder = agent("import 'native';\nexport default {};\n");
	package(
		folder.path(),
		"native",
		"\"main\": \"index.js\"",
		&[("index.js", "module.exports = require('./build.node');"), ("build.node", "ELF")],
	);
	let text = refusal(folder.path());
	assert!(text.contains("Native add-ons of Node.js cannot run"), "{text}");
	assert!(!text.contains("loader:"), "{text}");
}
