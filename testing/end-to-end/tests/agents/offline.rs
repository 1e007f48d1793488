//! Proofs hold without the chain, and only untouched.

use crate::{answers::SAVED, Stage};
use anyhow::{ensure, Context};
use phala_end_to_end::cli::Said;
use serde_json::Value;
use std::fs;

/// What is in a saved answer. Of a direct one there is no request.
const PARTS: [&str; 9] = [
	"/output",
	"/proof",
	"/chain/stateProof",
	"/input",
	"/salt",
	"/chain/finality",
	"/chain/genesisBundle",
	"/report/evidence",
	"/request/reply/secret",
];

/// At about how many places in each part a byte is changed.
const PLACES: usize = 12;

pub async fn an_answer_verifies_with_the_node_stopped_and_not_with_a_byte_changed(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let genesis = format!("{:?}", stage.network.chain.genesis());
	stage.network.devnet.stop_node().await?;
	let gone = stage.network.phala.refused(&["agent", "status", &stage.agent]).await?;
	assert!(gone.contains("no node answers"), "{gone}");

	let changed = stage.network.file("changed.json");
	let (mut tried, mut accepted) = (0, Vec::new());
	for name in SAVED {
		let file = stage.network.file(name);
		let said = verify(stage, &file, &genesis).await?;
		ensure!(said.code == Some(0), "{said:?}");
		let shown = said.json()?;
		assert_eq!((&shown["verified"], &shown["refused"]), (&true.into(), &Value::Null));

		let saved: Value = serde_json::from_slice(&fs::read(&file)?)?;
		for part in PARTS {
			let Some(Value::String(hex)) = saved.pointer(part) else { continue };
			let bytes = (hex.len() - 2) / 2;
			let step = (bytes / PLACES).max(1);
			for index in (0..bytes).step_by(step).chain([bytes - 1]) {
				let at = 2 + 2 * index;
				let digit = if &hex[at..=at] == "0" { "1" } else { "0" };
				let bent = [&hex[..at], digit, &hex[at + 1..]].concat();
				let mut file = saved.clone();
				*file.pointer_mut(part).context("it is there")? = bent.into();
				fs::write(&changed, serde_json::to_vec_pretty(&file)?)?;
				let said = verify(stage, &changed, &genesis).await?;
				let what = || format!("{name} with another byte {index} of {bytes} in {part}");
				let shown = said.json().with_context(what)?;
				let refused = said.code == Some(1)
					&& shown["verified"] == false
					&& shown["refused"].is_string();
				if !refused {
					accepted.push(format!("{}: {said:?}", what()));
				}
				tried += 1;
			}
		}
	}
	ensure!(accepted.is_empty(), "{} of {tried} changes: {accepted:#?}", accepted.len());
	assert!(tried >= 15 * PLACES, "{tried} changes were tried");

	// Another chain is none of ours.
	let other = "0x1111111111111111111111111111111111111111111111111111111111111111";
	let said = verify(stage, &stage.network.file(SAVED[0]), other).await?;
	assert_eq!((said.code, &said.json()?["refused"]), (Some(1), &"chain".into()));
	Ok(())
}

async fn verify(stage: &Stage, file: &std::path::Path, genesis: &str) -> anyhow::Result<Said> {
	let file = file.display().to_string();
	stage.network.phala.run(&["verify", &file, "--genesis", genesis]).await
}
