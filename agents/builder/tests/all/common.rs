use phala_agent_builder::{AgentFolder, BuildError, Builder, BuiltAgent};
use std::fs;
use std::path::{Path, PathBuf};

pub fn repository() -> PathBuf {
	// At run time: a checkout that was moved since shares its target folder.
	let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
	Path::new(&own).join("../..")
}

pub fn sdk() -> PathBuf {
	repository().join("clients/sdk-js")
}

pub fn builder() -> Builder {
	Builder::new(sdk()).unwrap_or_else(|error| panic!("{error}"))
}

/// An agent's folder whose main module is `code`.
pub fn agent(code: &str) -> tempfile::TempDir {
	let folder = tempfile::tempdir().unwrap();
	write(folder.path(), "agent.toml", "name = \"test\"\n");
	write(folder.path(), "src/index.ts", code);
	folder
}

pub fn write(folder: &Path, path: &str, content: &str) {
	let path = folder.join(path);
	fs::create_dir_all(path.parent().unwrap()).unwrap();
	fs::write(path, content).unwrap();
}

pub fn build_in(builder: &Builder, folder: &Path) -> Result<BuiltAgent, BuildError> {
	builder.build(&AgentFolder::open(folder)?)
}

/// Builds an agent whose main module is `code`.
pub fn build(code: &str) -> Result<BuiltAgent, BuildError> {
	build_in(&builder(), agent(code).path())
}
