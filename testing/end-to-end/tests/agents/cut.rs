//! Commands that are killed half way go on.

use crate::Stage;
use anyhow::{ensure, Context};
use codec::Decode;
use phala_end_to_end::{
	chain::hash,
	cluster::{agent_folder, DEVELOPER},
	search::Mark,
};
use phala_protocol::{agents::AgentId, requests::RequestId, AccountBytes};
use serde_json::Value;
use std::{fs, path::Path};
use subxt_signer::sr25519::dev;

pub async fn a_paid_request_whose_command_was_killed_is_answered_to_the_one_that_goes_on(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let input = Mark::new("the input of a killed command")?;
	let chain = stage.network.chain.clone();
	let from = chain.best().await?;
	let ask = ["call", &stage.agent, "/cut", "--on-chain", "--data", &input.text];

	// It says how to go on before it submits anything. Killed as soon as the request is on the
	// chain: paid, and nobody waits for the answer.
	let caller = dev::eve().public_key().0;
	let on_chain = chain.event(from, "Requests.RequestSubmitted", |event| {
		let bytes = &mut &event.fields[..];
		let (request, _, by) = <(RequestId, AgentId, AccountBytes)>::decode(bytes)
			.context("a request names its caller")?;
		Ok((by == caller).then_some(request))
	});
	let (request, said) = stage.network.phala.killed_once(&ask, on_chain).await?;
	let hint = said.lines().find_map(|line| line.split("phala request status ").nth(1));
	let hint = hint.with_context(|| format!("it says how to go on:\n{said}"))?;
	let transaction = hint.split_whitespace().next().context("a hash follows")?;

	let answer = stage.network.phala.ok(&["request", "status", transaction, "--wait"]).await?;
	stage.check(&answer, &input)?;
	assert_eq!(hash(&answer["request"])?, request);
	// By its own name as well, and again.
	for name in [transaction, &format!("{request:?}")] {
		let answer = stage.network.phala.ok(&["request", "status", name]).await?;
		stage.check(&answer, &input)?;
	}
	stage.hide(&input);
	Ok(())
}

pub async fn a_second_deployment_of_a_folder_is_the_same_agent_wherever_the_first_was_cut(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let network = &stage.network;
	let folder = network.file("twice");
	copy(&agent_folder("keeper"), &folder)?;
	let (folder, cluster) = (folder.display().to_string(), network.cluster.to_string());
	let deploy = ["deploy", &folder, "--cluster", &cluster, "--no-build"];
	let developer = network.phala.of(DEVELOPER);
	let from = network.chain.best().await?;

	// It is a copy of the folder of an agent of this name, and knows nothing of that: the name stays.
	let refused = developer.refused(&deploy).await?;
	ensure!(refused.contains(&stage.agent) && refused.contains("--new"), "{refused}");

	// Killed as soon as the agent is on the chain: no code is anywhere, it is not born.
	let owner = dev::bob().public_key().0;
	let on_chain = network.chain.event(from, "Agents.AgentRegistered", |event| {
		let bytes = &mut &event.fields[..];
		let (agent, by) =
			<(AgentId, AccountBytes)>::decode(bytes).context("an agent names its owner")?;
		Ok((by == owner).then_some(agent))
	});
	let anew = [&deploy[..], &["--new"]].concat();
	let (agent, _) = developer.killed_once(&anew, on_chain).await?;
	let id = format!("{agent:?}");

	// Once more goes on with it, and so does each time after.
	for _ in 0..2 {
		let deployed = developer.ok(&deploy).await?;
		assert_eq!(
			(&deployed["agent"], &deployed["registered"]),
			(&id.clone().into(), &false.into())
		);
	}
	let other = [&deploy[..], &["--upgrades", "immutable"]].concat();
	let refused = developer.refused(&other).await?;
	ensure!(refused.contains("--upgrades") && refused.contains("--new"), "{refused}");
	let registered = network.chain.events(from).await?;
	let registered = registered.iter().filter(|event| event.name == "Agents.AgentRegistered");
	assert_eq!(registered.count(), 1, "one deposit was taken");
	Ok(())
}

pub async fn two_deployments_of_a_folder_at_once_are_one_agent(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let network = &stage.network;
	let folder = network.file("at-once");
	copy(&agent_folder("keeper"), &folder)?;
	// The name is taken by another of the developer's agents.
	let manifest = folder.join("dist/manifest.json");
	let mut renamed: Value = serde_json::from_slice(&fs::read(&manifest)?)?;
	renamed["name"] = "at-once".into();
	fs::write(&manifest, serde_json::to_vec(&renamed)?)?;
	let (folder, cluster) = (folder.display().to_string(), network.cluster.to_string());
	let deploy = ["deploy", &folder, "--cluster", &cluster, "--no-build"];
	let developer = network.phala.of(DEVELOPER);
	let (one, other) = tokio::try_join!(developer.ok(&deploy), developer.ok(&deploy))?;
	assert_eq!(one["agent"], other["agent"]);
	let registered = [&one, &other].map(|deployed| deployed["registered"] == true);
	ensure!(registered == [true, false] || registered == [false, true], "{registered:?}");
	Ok(())
}

/// Copies an agent's folder with what was built in it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
	fs::create_dir_all(to)?;
	for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
		let entry = entry?;
		let (path, to) = (entry.path(), to.join(entry.file_name()));
		match entry.file_type()?.is_dir() {
			true if entry.file_name() == ".phala" => {}
			true => copy(&path, &to)?,
			false => fs::copy(&path, &to).map(drop)?,
		}
	}
	Ok(())
}
