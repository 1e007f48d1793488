//! A chain's specification with its genesis state already built. To build it takes the node most of
//! its start; it is the same for the same binary, so it is kept in a cache folder under that
//! binary's hash.

use crate::{limits, process::Supervisor};
use anyhow::{ensure, Context};
use std::{
	fs,
	path::{Path, PathBuf},
};

const PREFIX: &str = "chain-";

/// Where it is kept: `$XDG_CACHE_HOME/phala`, or `~/.cache/phala`.
///
/// # Errors
/// When neither variable is set.
pub fn cache_folder() -> anyhow::Result<PathBuf> {
	let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
	let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
	Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("phala"))
}

/// The file with the specification of `chain` (`dev`, `local`), in `cache`; made if it is not there.
///
/// # Errors
/// When the node does not write it, or it cannot be kept.
pub async fn kept(supervisor: &Supervisor, chain: &str, cache: &Path) -> anyhow::Result<PathBuf> {
	let node = supervisor.binary("phala-node")?;
	let reading = tokio::task::spawn_blocking(move || anyhow::Ok(fs::read(node)?));
	let hash = sp_crypto_hashing::blake2_128(&reading.await??);
	let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
	let file = cache.join(format!("{PREFIX}{chain}-{hash}.json"));
	if file.exists() {
		// What is in use does not grow old.
		if let Ok(kept) = fs::File::options().append(true).open(&file) {
			let _ = kept.set_modified(std::time::SystemTime::now());
		}
		return Ok(file);
	}
	fs::create_dir_all(cache)?;
	// Networks that start at once wait for the first, which makes it.
	let lock = cache.join(format!("{PREFIX}{chain}-{hash}.lock"));
	let locking = tokio::task::spawn_blocking(move || {
		let lock = fs::File::create(lock)?;
		lock.lock()?;
		anyhow::Ok(lock)
	});
	let _lock = locking.await??;
	if file.exists() {
		return Ok(file);
	}
	remove_old(cache);
	// Under its name it is never seen half written.
	let new = tempfile::Builder::new()
		.prefix(&format!("{PREFIX}new-"))
		.suffix(".json")
		.tempfile_in(cache)?;
	let arguments = [
		"export-chain-spec".to_owned(),
		format!("--chain={chain}"),
		"--raw".into(),
		format!("--output={}", new.path().display()),
	];
	let mut exporting = supervisor.start("specification", "phala-node", &arguments, &[])?;
	let code = exporting.ended(limits::SPECIFICATION_MAX).await?;
	ensure!(
		code == Some(0),
		"phala-node export-chain-spec failed; it wrote last:{}",
		exporting.log().last_lines()
	);
	new.persist(&file)?;
	Ok(file)
}

fn remove_old(cache: &Path) {
	for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
		let age = entry.metadata().and_then(|file| file.modified()).ok();
		let age = age.and_then(|modified| modified.elapsed().ok()).unwrap_or_default();
		let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
		if is_ours && age > limits::SPECIFICATION_AGE_MAX {
			let _ = fs::remove_file(entry.path());
		}
	}
}
