//! What the whole is for, in one command: `phala dev --once`.

use anyhow::{ensure, Context};
use phala_end_to_end::process::binary;
use serde_json::Value;
use std::{fs, path::Path, process::Stdio};

/// Processes with `folder` in their environment, by their command lines.
fn processes_of(folder: &Path) -> anyhow::Result<Vec<String>> {
	let folder = folder.display().to_string();
	let mut found = Vec::new();
	for entry in fs::read_dir("/proc")? {
		let process = entry?.path();
		// One that ended meanwhile, or is another user's, is none of ours.
		let Ok(environment) = fs::read(process.join("environ")) else { continue };
		if String::from_utf8_lossy(&environment).contains(&folder) {
			let line = fs::read(process.join("cmdline")).unwrap_or_default();
			found.push(String::from_utf8_lossy(&line).replace('\0', " "));
		}
	}
	Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn phala_dev_once_shows_a_direct_and_a_paid_answer_and_leaves_nothing_behind(
) -> anyhow::Result<()> {
	let folder = tempfile::tempdir()?;
	let running = tokio::process::Command::new(binary("phala")?)
		.args(["dev", "--once"])
		.env("TMPDIR", folder.path())
		.stdin(Stdio::null())
		.stdout(Stdio::piped())
		.stderr(Stdio::piped())
		.kill_on_drop(true)
		.spawn()?;
	// While it runs its children are found that way; afterwards none may be.
	let seen = phala_end_to_end::until("chain, enclaves and relayers", || async {
		let running = processes_of(folder.path())?;
		let count = |name: &str| running.iter().filter(|line| line.contains(name)).count();
		let all = count("phala-node") >= 1 && count("pruntime") == 3 && count("pherry") == 3;
		Ok(all.then_some(running.len()))
	});
	let ended = running.wait_with_output();
	let (seen, output) =
		tokio::join!(seen, tokio::time::timeout(phala_end_to_end::PATIENCE, ended));
	let output = output.context("it does not end")??;
	let errors = String::from_utf8_lossy(&output.stderr);
	ensure!(output.status.code() == Some(0), "{}\n{errors}", output.status);
	ensure!(seen? >= 7, "a node, three enclaves and three relayers");

	let stdout = String::from_utf8_lossy(&output.stdout);
	let summary: Value = serde_json::from_str(stdout.lines().last().context("a last line")?)?;
	assert_eq!(summary["ok"], true, "{summary:#}");
	assert!(summary["error"].is_null(), "{summary:#}");
	assert_eq!(summary["workers"].as_array().map(Vec::len), Some(2));
	for call in ["direct", "on_chain"] {
		assert_eq!(summary[call]["verified"], true, "{call}: {summary:#}");
		assert!(summary[call]["answer"].is_object(), "{call}: {summary:#}");
	}
	let paid = &summary["on_chain"]["paid"];
	let amount = |value: &Value| -> anyhow::Result<u128> {
		Ok(value.as_str().with_context(|| format!("an amount in {paid}"))?.parse()?)
	};
	let fee = amount(&paid["fee"])?;
	let mut sum = 0;
	for who in ["worker", "developer", "treasury"] {
		sum += amount(&paid[who]["amount"])?;
	}
	assert!(fee > 0 && fee == sum, "{paid}");

	assert_eq!(processes_of(folder.path())?, Vec::<String>::new());
	let left: Vec<_> = fs::read_dir(folder.path())?.collect::<Result<_, _>>()?;
	assert!(left.is_empty(), "{left:?}");
	Ok(())
}
