//! What the command line refuses: what, why, and what would be taken.

use crate::Stage;
use phala_end_to_end::cluster::{CALLER, DEVELOPER};
use std::fs;
use subxt_signer::sr25519::dev;

const NOWHERE: &str = "0x7777777777777777777777777777777777777777777777777777777777777777";

fn check(error: &str, expected: &[&str]) {
	for part in expected {
		assert!(error.contains(part), "{part:?} is to be in: {error}");
	}
}

pub async fn bad_input_gets_clear_errors_at_the_cli_and_nothing_is_submitted(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let (network, agent) = (&stage.network, stage.agent.as_str());
	let phala = &network.phala;
	assert_eq!(phala.account, CALLER);
	let (before, from) = (network.chain.nonce(&dev::eve()).await?, network.chain.best().await?);

	// Code that does not parse: the file, the line and the column.
	let folder = network.file("broken");
	fs::create_dir_all(folder.join("src"))?;
	fs::write(folder.join("agent.toml"), "name = \"broken\"\n")?;
	fs::write(folder.join("src/index.ts"), "export default {\n  async fetch(] {},\n};\n")?;
	let shown = folder.display().to_string();
	check(&phala.refused(&["build", &shown]).await?, &["src/index.ts:2:14", "]"]);
	check(&phala.refused(&["build", "/nowhere"]).await?, &["/nowhere"]);

	let on_chain = |more: &[&'static str]| [&["call", agent, "/", "--on-chain"], more].concat();
	let unknown = ["call", NOWHERE, "/", "--on-chain"];
	check(&phala.refused(&unknown).await?, &["no agent has the id", NOWHERE, "phala deploy"]);
	check(&phala.refused(&["call", NOWHERE, "/"]).await?, &["no agent has the id", NOWHERE]);
	check(
		&phala.refused(&on_chain(&["--max-fee", "0.000001"])).await?,
		&[
			"0.000001 PHA is too small",
			"base fee",
			"a unit of work",
			"--max-fee 0.011 is the least",
		],
	);
	check(
		&phala.refused(&on_chain(&["--deadline", "1"])).await?,
		&["block 1 as a deadline is in the past", "are taken"],
	);
	let near = (network.chain.best().await? + 8).to_string();
	let too_near = ["call", agent, "/", "--on-chain", "--deadline", &near];
	check(
		&phala.refused(&too_near).await?,
		&["as a deadline is too near", &near, "5 blocks", "10 more", "the nearest is"],
	);
	check(
		&phala.refused(&on_chain(&["--deadline", "4000000000"])).await?,
		&["too far ahead", "the latest is"],
	);

	// A caller that is not on the list, either way.
	let developer = phala.of(DEVELOPER);
	developer.ok(&["agent", "access", agent, "listed"]).await?;
	let listed = phala_end_to_end::until("access to be listed", || async {
		let status = phala.ok(&["agent", "status", agent]).await?;
		let access = status["access"].as_str().unwrap_or_default().to_owned();
		Ok(access.contains("list").then_some(()))
	});
	listed.await?;
	for call in [&on_chain(&[])[..], &["call", agent, "/"]] {
		check(
			&phala.refused(call).await?,
			&["may not call agent", "its owner", "on its list", "phala agent allow"],
		);
	}
	developer.ok(&["agent", "access", agent, "public"]).await?;

	// Whoever gives agents secrets that are not theirs.
	let set = ["secrets", "set", agent, "WORD", "--value-env", "HOME"];
	check(&phala.refused(&set).await?, &["does not own agent", "its owner"]);

	assert_eq!(network.chain.nonce(&dev::eve()).await?, before, "nothing was submitted");
	let submitted = network.chain.events(from + 1).await?;
	let submitted = submitted.iter().filter(|event| event.name.starts_with("Requests."));
	assert_eq!(submitted.count(), 0);
	Ok(())
}
