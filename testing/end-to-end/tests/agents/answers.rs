//! What is asked is answered and paid.

use crate::Stage;
use anyhow::{ensure, Context};
use codec::Encode;
use phala_chain_client::transactions;
use phala_end_to_end::{
	chain::hash,
	cluster::{http, DEVELOPER},
	search::Mark,
	PATIENCE,
};
use phala_protocol::{
	requests::{LogsContent, LogsQuery},
	BlockNumber,
};
use serde_json::Value;
use subxt_signer::sr25519::dev;

/// Files of answers that [`crate::offline`] checks.
pub const SAVED: [&str; 2] = ["direct.json", "paid.json"];

/// An X25519 key; whose does not matter, it is no point of low order.
const READER: [u8; 32] = [9; 32];

pub async fn a_secret_is_sealed_to_its_agent(stage: &mut Stage) -> anyhow::Result<()> {
	let secret = Mark::new("the secret")?;
	let set = ["secrets", "set", &stage.agent, "WORD", "--value-env", "WORD"];
	let developer = stage.network.phala.of(DEVELOPER);
	let said = developer.run_with(&set, &[("WORD", &secret.text)]).await?;
	ensure!(said.code == Some(0), "{said:?}");
	ensure!(said.json()?["fee"].is_string(), "{said:?}");
	stage.sum = secret.text.bytes().map(u32::from).sum();
	stage.hidden.push(secret);
	Ok(())
}

pub async fn a_request_is_answered_both_ways_and_those_who_worked_are_paid(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let (direct, paid) = (Mark::new("the direct input")?, Mark::new("the paid input")?);
	let files = SAVED.map(|name| stage.network.file(name).display().to_string());
	let (phala, agent) = (stage.network.phala.clone(), stage.agent.clone());

	let ask = ["call", &agent, "/direct", "--data", &direct.text, "--save", &files[0]];
	stage.check(&phala.ok(&ask).await?, &direct)?;
	stage.hide(&direct);

	let chain = &stage.network.chain;
	let from = chain.best().await?;
	let ask = ["call", &agent, "/paid", "--on-chain", "--data", &paid.text, "--save", &files[1]];
	let answer = phala.ok(&ask).await?;
	stage.check(&answer, &paid)?;
	let request = hash(&answer["request"])?;
	let (block, settled) = chain.settled(from, request).await?;
	chain.check_payment(block, &settled).await?;
	let told = &answer["paid"];
	assert!(!settled.failed);
	assert_eq!(told["fee"], settled.fee.to_string());
	assert_eq!(told["worker"]["amount"], settled.worker_paid.to_string());
	assert_eq!(told["developer"]["amount"], settled.developer_paid.to_string());
	assert_eq!(told["treasury"]["amount"], settled.treasury_paid.to_string());
	assert_eq!(told["refunded"], settled.refunded.to_string());
	// Over the whole of it, with all fees.
	chain.check_conservation(from).await?;
	stage.hide(&paid);

	// The agent did say in its own log what nobody else may know: its owner reads it, sealed.
	let log = phala.of(DEVELOPER).ok(&["logs", &agent]).await?.to_string();
	for mark in stage.hidden.iter().filter(|mark| !mark.name.starts_with("the answer")) {
		let is_logged = log.contains(&mark.text) || mark.name.starts_with("what is kept");
		assert!(is_logged, "{} is in the agent's log: {log}", mark.name);
	}
	let refused = phala.refused(&["logs", &agent]).await?;
	assert!(refused.contains("to its owner"), "{refused}");
	// Who leaves the command line out of it hears the same from the workers.
	let chain = &stage.network.chain;
	let asked = chain.best().await?;
	for worker in stage.network.workers() {
		let mut answers = Vec::new();
		for asker in [dev::eve(), transactions::account(DEVELOPER)?] {
			let block = BlockNumber::try_from(asked)?;
			let content = LogsContent::new(
				chain.genesis(),
				hash(&agent.clone().into())?,
				[1; 32],
				READER,
				block,
			);
			let signature = asker.sign(&content.encode()).0;
			let query = LogsQuery { nonce: [1; 32], reply_key: READER, block, signature };
			let path = format!("/v1/agents/{agent}/logs");
			answers.push(http(&worker.enclave.public_url, "POST", &path, &query.encode()).await?);
		}
		let said: Value = serde_json::from_slice(&answers[0].body)?;
		assert_eq!((answers[0].status, &said["error"]), (403, &"NotOwner".into()), "{said}");
		assert_eq!(answers[1].status, 200, "its owner is answered: {:?}", answers[1]);
	}
	Ok(())
}

pub async fn a_public_request_of_a_node_script_is_answered_on_chain(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let public = Mark::new("the public input")?;
	let folder = phala_end_to_end::own_folder().join("node-client");
	let node = stage.network.phala.node.clone();
	let arguments = ["request.mjs", &node, &stage.agent, "/public", &public.text];
	let callers = &stage.network.phala.supervisor;
	let running = callers.run("node".as_ref(), &arguments, &[], &folder, PATIENCE);
	let output = running.await.context("is Node.js 20 or later installed?")?;
	let errors = String::from_utf8_lossy(&output.stderr);
	ensure!(
		output.status.success(),
		"the script failed (was `scripts/setup-npm.sh` run?):\n{errors}"
	);
	let said: Value = serde_json::from_slice(&output.stdout)?;
	assert_eq!((&said["status"], &said["agent"]), (&200.into(), &stage.agent.as_str().into()));
	let body: Value = serde_json::from_str(said["body"].as_str().context("it has a body")?)?;
	assert_eq!(body["backwards"], crate::backwards(&public.text));
	assert_eq!(body["sum"], stage.sum, "it is the same agent, with its secret");
	let genesis = stage.network.chain.genesis();
	assert_eq!(said["genesis"], format!("{genesis:?}"));
	let chain = &stage.network.chain;
	let (block, settled) = chain.settled(0, hash(&said["request"])?).await?;
	chain.check_payment(block, &settled).await?;
	assert_eq!(said["settledIn"], block);
	assert_eq!(said["fee"], settled.fee.to_string());
	// What is kept of it is as secret as all state.
	stage.hidden.push(crate::kept(&public));
	stage.public.push(public);
	Ok(())
}
