//! `phala new`: the beginnings of an agent, which build as they are.

use crate::{
	output::{self, agents::AgentBegun},
	types,
};
use anyhow::Context;
use std::{
	fs,
	path::{Path, PathBuf},
	process::ExitCode,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The folder to make. Its name is the agent's.
	pub folder: PathBuf,
}

/// What is written; `{name}` is the agent's.
const FILES: [(&str, &str); 6] = [
	("agent.toml", include_str!("new/agent.toml")),
	("package.json", include_str!("new/package.json")),
	("tsconfig.json", include_str!("new/tsconfig.json")),
	("README.md", include_str!("new/README.md")),
	(".gitignore", ".phala/\ndist/\nnode_modules/\n"),
	("src/index.ts", include_str!("new/index.ts")),
];

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let Arguments { folder } = arguments;
	let name = create(&folder)?;
	let folder = folder.display().to_string();
	let text = format!("{folder} has the agent {name}. Next: phala dev {folder}");
	output::tell(json, &AgentBegun { name, folder }, text)?;
	Ok(ExitCode::SUCCESS)
}

/// Writes the files; the agent's name.
fn create(folder: &Path) -> anyhow::Result<String> {
	let name = folder.file_name().context("the folder needs a name, as in ./my-agent")?;
	let name = name.to_string_lossy().into_owned();
	let manifest = phala_agent_builder::Manifest { name: name.clone(), ..Default::default() };
	manifest.check().context("the folder's name becomes the agent's")?;
	if folder.exists() {
		let entries = fs::read_dir(folder);
		let entries = entries.with_context(|| format!("{} is no folder", folder.display()))?;
		if entries.count() != 0 {
			refuse!("FolderNotEmpty", "{} is not empty: take another folder", folder.display());
		}
	}
	for (path, text) in FILES {
		let path = folder.join(path);
		let parent = path.parent().unwrap_or(folder);
		let written = fs::create_dir_all(parent)
			.and_then(|()| fs::write(&path, text.replace("AGENT_NAME", &name)));
		if let Err(error) = written {
			refuse!("FileFailed", "cannot write {}: {error}", path.display());
		}
	}
	types::write(folder)?;
	Ok(name)
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_agent_builder::AgentFolder;

	#[test]
	fn what_is_made_passes_its_type_check_and_a_mistake_is_named_with_its_line() {
		let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
		let sdk = Path::new(&own).join("../sdk-js");
		let sdk = sdk.canonicalize().unwrap();
		assert!(sdk.join("node_modules/.bin/tsc").is_file(), "`make setup` installs it");
		let parent = tempfile::tempdir().unwrap();
		let folder = parent.path().join("my-agent");
		create(&folder).unwrap();
		// As an editor sees it, without anything installed.
		assert!(folder.join(".phala/types/index.d.ts").is_file());
		types::check(&folder, &sdk).unwrap();
		let source = folder.join("src/index.ts");
		let text = fs::read_to_string(&source).unwrap();
		fs::write(&source, text.replace("ctx.block.number", "ctx.blok.number")).unwrap();
		let refused = types::check(&folder, &sdk).unwrap_err().to_string();
		assert!(refused.contains("src/index.ts(") && refused.contains("blok"), "{refused}");
	}

	#[test]
	fn only_the_place_of_the_name_is_filled_in() {
		let parent = tempfile::tempdir().unwrap();
		let folder = parent.path().join("my-agent");
		create(&folder).unwrap();
		let source = fs::read_to_string(folder.join("src/index.ts")).unwrap();
		assert!(source.contains("${name}"), "the program's own variable stays: {source}");
	}

	#[test]
	fn what_is_made_is_an_agents_folder_with_its_name() {
		let parent = tempfile::tempdir().unwrap();
		let folder = parent.path().join("my-agent");
		assert_eq!(create(&folder).unwrap(), "my-agent");
		assert_eq!(AgentFolder::open(&folder).unwrap().manifest.name, "my-agent");
		let package = fs::read_to_string(folder.join("package.json")).unwrap();
		let package: serde_json::Value = serde_json::from_str(&package).unwrap();
		assert_eq!(package["name"], "my-agent");
		let refused = crate::failure::body(&create(&folder).unwrap_err());
		assert_eq!(refused.code, "FolderNotEmpty");
		assert!(refused.message.contains("not empty"), "{}", refused.message);
	}

	#[test]
	fn a_name_that_no_agent_can_have_is_refused_before_anything_is_written() {
		let parent = tempfile::tempdir().unwrap();
		let folder = parent.path().join("My Agent");
		assert!(format!("{:#}", create(&folder).unwrap_err()).contains("a-z"));
		assert!(!folder.exists());
	}
}
