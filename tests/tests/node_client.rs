//! A dApp's way in: a Node script with `polkadot-api` reads the chain's metadata and transfers PHA.

use anyhow::Context;
use phala_end_to_end::parts::Node;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_script_reads_the_metadata_and_transfers_pha() -> anyhow::Result<()> {
	let node = Node::dev().await?;
	let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/node-client");
	let script = tokio::process::Command::new("node")
		.args(["transfer.mjs", &node.url])
		.current_dir(folder)
		.kill_on_drop(true)
		.output();
	let output = tokio::time::timeout(phala_end_to_end::PATIENCE, script)
		.await
		.context("the script does not end")?
		.context("cannot start node: is Node.js 20 or later installed?")?;
	let errors = String::from_utf8_lossy(&output.stderr);
	anyhow::ensure!(
		output.status.success(),
		"the script failed (was `scripts/setup-npm.sh` run?):\n{errors}"
	);

	let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
	assert_eq!(said["chain"], "Phala Development");
	assert_eq!((&said["symbol"], &said["decimals"]), (&"PHA".into(), &12.into()));
	assert_eq!(said["ss58Format"], 30);
	assert_eq!(said["received"], "5000000000000");
	let paid: u128 = said["paid"].as_str().context("what was paid")?.parse()?;
	assert!(paid > 5_000_000_000_000, "the sender also pays a fee");
	Ok(())
}
