//! The development chain's specification with its genesis state already built. To build it takes the
//! node most of its start; it is the same for the same binary, so it is kept in the cache folder.

use anyhow::Context;
use std::{
	fs,
	path::{Path, PathBuf},
	process::Stdio,
	time::UNIX_EPOCH,
};

const PREFIX: &str = "dev-chain-";

/// What `--chain` of this node is to be given: a kept file, or `dev` where none can be kept.
pub async fn of(node: &Path) -> String {
	match kept(node).await {
		Ok(file) => file.display().to_string(),
		Err(error) => {
			eprintln!(
				"… the chain's specification cannot be kept, each start builds it anew: {error:#}"
			);
			"dev".into()
		}
	}
}

async fn kept(node: &Path) -> anyhow::Result<PathBuf> {
	let home = std::env::var_os("HOME").context("HOME is not set")?;
	let folder = Path::new(&home).join(".cache/phala");
	let binary = fs::metadata(node)?;
	let changed = binary.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
	let file = folder.join(format!("{PREFIX}{}-{changed}.json", binary.len()));
	if file.exists() {
		return Ok(file);
	}
	fs::create_dir_all(&folder)?;
	// Of binaries that are no more.
	for entry in fs::read_dir(&folder)?.flatten() {
		if entry.file_name().to_string_lossy().starts_with(PREFIX) {
			let _ = fs::remove_file(entry.path());
		}
	}
	let new = folder.join(format!("{PREFIX}new-{}.json", std::process::id()));
	let built = tokio::process::Command::new(node)
		.args(["export-chain-spec", "--chain=dev", "--raw", "--output"])
		.arg(&new)
		.stdin(Stdio::null())
		.output()
		.await?;
	anyhow::ensure!(
		built.status.success(),
		"{} export-chain-spec: {}",
		node.display(),
		String::from_utf8_lossy(&built.stderr).trim()
	);
	// Under its name it is never seen half written.
	fs::rename(&new, &file)?;
	Ok(file)
}
