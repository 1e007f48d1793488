use crate::common::*;
use phala_agent_builder::{AgentFolder, BuildError, Builder};
use std::fs;

fn evaluation_error(code: &str) -> String {
	match build(code) {
		Err(BuildError::Evaluation(text)) => text,
		Err(error) => panic!("{error}"),
		Ok(_) => panic!("it was built"),
	}
}

#[test]
fn an_agent_is_built_and_written_with_its_manifest_and_its_hash() {
	let folder = tempfile::tempdir().unwrap();
	let source = repository().join("agents/hello");
	fs::create_dir(folder.path().join("src")).unwrap();
	for file in ["agent.toml", "src/index.ts"] {
		fs::copy(source.join(file), folder.path().join(file)).unwrap();
	}
	let agent = AgentFolder::open(folder.path()).unwrap();
	let built = builder().build(&agent).unwrap();
	let files = built.write(&agent).unwrap();
	let component = fs::read(files.component).unwrap();
	assert_eq!(fs::read_to_string(folder.path().join("dist/agent.js")).unwrap(), built.bundle);
	assert_eq!(sp_crypto_hashing::blake2_256(&component), built.code_hash);
	let manifest: phala_agent_builder::Manifest =
		serde_json::from_slice(&fs::read(files.manifest).unwrap()).unwrap();
	assert_eq!(manifest.name, "hello");
}

#[test]
fn the_bundle_says_nothing_of_the_machine_that_it_was_built_on() {
	let bundle = build("export default { fetch: () => new Response('x') };").unwrap().bundle;
	assert!(!bundle.contains("sdk-js"), "a path of the developer's is in the bundle");
}

#[test]
fn typescript_that_does_not_parse_is_shown_with_its_place() {
	let error = build("export default {\n  fetch() { return new Response('x' }\n};\n").unwrap_err();
	assert!(matches!(error, BuildError::Code(_)));
	let text = error.to_string();
	assert!(text.contains("src/index.ts:2:36") && text.contains("Expected \")\""), "{text}");
}

#[test]
fn a_main_module_without_a_default_export_says_what_one_is() {
	let text = build("export const fetch = 1;\n").unwrap_err().to_string();
	assert!(text.contains("export default { fetch"), "{text}");
	assert!(!text.contains("<entry>"), "the developer did not write that: {text}");
}

#[test]
fn an_import_that_is_not_there_is_named() {
	let text =
		build("import x from 'no-such-package';\nexport default x;\n").unwrap_err().to_string();
	assert!(text.contains("no-such-package") && text.contains("src/index.ts:1:14"), "{text}");
}

#[test]
fn what_belongs_into_a_request_is_refused_at_the_top_level() {
	// Evaluated once: each refusal is caught, and all are thrown together.
	let text = evaluation_error(
		"
const told = [];
for (const use of [
  () => fetch('https://example.com/'),
  () => crypto.randomUUID(),
  () => crypto.getRandomValues(new Uint8Array(1)),
  () => setTimeout(() => {}, 1),
]) {
  try { await use(); } catch (error) { told.push(error.message); }
}
throw new Error(told.join('\\n'));
export default {};
",
	);
	for what in ["fetch", "crypto.randomUUID", "crypto.getRandomValues", "A timer"] {
		assert!(text.contains(&format!("{what} was used at the top level")), "{what}: {text}");
	}
	assert_eq!(text.matches("move it into fetch(request, env, ctx)").count(), 4, "{text}");
}

#[test]
fn a_fetch_at_the_top_level_that_nobody_waits_for_is_refused_too() {
	let text = evaluation_error(
		"fetch('https://example.com/');\nexport default { fetch: () => new Response('x') };\n",
	);
	assert!(text.contains("fetch was used at the top level"), "{text}");
	assert!(text.contains("src/index.ts:1:"), "{text}");
}

#[test]
fn a_module_that_throws_is_shown_in_its_own_words() {
	let text = evaluation_error(
		"\nconst failed: string = 'set-up';\nthrow new Error(failed);\nexport default {};\n",
	);
	assert!(text.contains("Error: set-up") && text.contains("src/index.ts:3:"), "{text}");
	let text = evaluation_error("export default 1;\n");
	assert!(text.contains("default export with a fetch function"), "{text}");
}

#[test]
fn a_folder_that_is_no_agent_is_refused_with_what_is_missing() {
	let folder = tempfile::tempdir().unwrap();
	let open = || {
		let refused = AgentFolder::open(folder.path()).unwrap_err();
		let causes =
			std::iter::successors(Some(&refused as &dyn std::error::Error), |e| e.source());
		let causes: Vec<_> = causes.map(ToString::to_string).collect();
		// Each says what the others do not: all of them are shown.
		assert!(causes.windows(2).all(|two| !two[0].contains(&two[1])), "{causes:?}");
		causes.join(": ")
	};
	assert!(open().contains("agent.toml"));
	fs::write(folder.path().join("agent.toml"), "name = \"Not A Name\"\n").unwrap();
	assert!(open().contains("expected 1 to 64 characters"), "{}", open());
	fs::write(folder.path().join("agent.toml"), "name = \"a\"\n[limits]\ncpu_ms = 999_999\n")
		.unwrap();
	assert!(open().contains("at most 30000 ms"), "{}", open());
	fs::write(folder.path().join("agent.toml"), "name = \"a\"\n").unwrap();
	assert!(open().contains("src/index.ts"), "{}", open());
}

#[test]
fn an_sdk_without_its_packages_says_how_to_install_them() {
	let sdk = tempfile::tempdir().unwrap();
	assert!(Builder::new(sdk.path()).unwrap_err().to_string().contains("npm ci"));
}
