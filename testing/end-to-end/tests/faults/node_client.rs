//! A dApp's way in: a Node script with `polkadot-api` reads the chain's metadata and transfers PHA.

use anyhow::Context;
use phala_end_to_end::keeper::Stage;
use phala_end_to_end::PATIENCE;

pub async fn a_node_script_reads_the_metadata_and_transfers_pha(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let callers = &stage.network.phala;
	let folder = phala_end_to_end::own_folder().join("node-client");
	let arguments = ["transfer.mjs", &callers.node];
	let running = callers.supervisor.run("node".as_ref(), &arguments, &[], &folder, PATIENCE);
	let output = running.await.context("is Node.js 20 or later installed?")?;
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
