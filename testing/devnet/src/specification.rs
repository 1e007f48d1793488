//! A chain's specification with its genesis state already built. To build it takes the node most of
//! its start; it is the same for the same binary, so it is kept in a cache folder under that
//! binary's hash.

use crate::{limits, process::Supervisor};
use anyhow::{ensure, Context};
use serde_json::Value;
use std::{
	fs,
	path::{Path, PathBuf},
};

const PREFIX: &str = "chain-";

/// Where it is kept: `$XDG_CACHE_HOME/phala`, or `~/.cache/phala`.
pub fn cache_folder() -> anyhow::Result<PathBuf> {
	let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
	let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
	Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("phala"))
}

/// The file with the specification of `chain` (`dev`, `local`), in `cache`; made if it is not there.
pub async fn kept(supervisor: &Supervisor, chain: &str, cache: &Path) -> anyhow::Result<PathBuf> {
	let node = supervisor.binary("phala-node")?;
	let reading = tokio::task::spawn_blocking(move || anyhow::Ok(fs::read(node)?));
	let hash = hex::encode(sp_crypto_hashing::blake2_128(&reading.await??));
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

/// A copy of a kept specification for one network, in `to`: its genesis has random bytes of its own, so
/// that no id, no answer and no signature of another network means anything on it.
pub fn made_unique(kept: &Path, to: &Path) -> anyhow::Result<()> {
	/// Read by nobody.
	const KEY: &[u8] = b":phala:network";
	let read = || anyhow::Ok(serde_json::from_slice::<Value>(&fs::read(kept)?)?);
	let mut specification = read().with_context(|| format!("cannot read {}", kept.display()))?;
	let top = specification.pointer_mut("/genesis/raw/top").and_then(Value::as_object_mut);
	let top = top.with_context(|| format!("{} has no raw genesis", kept.display()))?;
	let mut random = [0; 32];
	getrandom::fill(&mut random).context("the system gives no randomness")?;
	let [key, random] = [KEY, &random].map(|bytes| format!("0x{}", hex::encode(bytes)));
	top.insert(key, random.into());
	fs::write(to, serde_json::to_vec(&specification)?)
		.with_context(|| format!("cannot write {}", to.display()))
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

#[cfg(test)]
mod tests {
	use super::*;
	use serde_json::json;

	#[test]
	fn two_networks_of_one_kept_specification_have_a_genesis_each() {
		let folder = tempfile::tempdir().unwrap();
		let [kept, one, other] = ["kept", "one", "other"].map(|name| folder.path().join(name));
		let top = json!({ "0x01": "0x02" });
		fs::write(&kept, json!({ "id": "dev", "genesis": { "raw": { "top": top } } }).to_string())
			.unwrap();
		for to in [&one, &other] {
			made_unique(&kept, to).unwrap();
		}
		let [one, other] = [one, other]
			.map(|file| -> Value { serde_json::from_slice(&fs::read(file).unwrap()).unwrap() });
		assert_ne!(one, other);
		for made in [one, other] {
			assert_eq!(made["id"], "dev");
			assert_eq!(made["genesis"]["raw"]["top"]["0x01"], "0x02");
			assert_eq!(made["genesis"]["raw"]["top"].as_object().unwrap().len(), 2);
		}
	}

	#[test]
	fn what_is_no_raw_specification_is_named() {
		let folder = tempfile::tempdir().unwrap();
		let kept = folder.path().join("kept");
		fs::write(&kept, "{}").unwrap();
		let error = made_unique(&kept, &folder.path().join("to")).unwrap_err();
		assert!(error.to_string().contains("no raw genesis"), "{error:#}");
	}
}
