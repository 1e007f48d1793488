//! Worker, node and gatekeeper come back, and what was thrown out does not: what that means today, with one
//! gatekeeper, keys in memory alone and state on disks. One network, one property after the other.

use anyhow::{ensure, Context};
use phala_end_to_end::{
	cases,
	chain::Chain,
	cluster::{http, DEVELOPER},
	keeper::Stage,
	reaches, trials, until,
};
use phala_protocol::{boot::WorkerId, mailbox::ClusterId, relay::EnclavePhase};
use serde_json::Value;
use std::process::ExitCode;

async fn a_worker_that_comes_back_has_the_state_again(stage: &mut Stage) -> anyhow::Result<()> {
	stage.keep("/comes-back", "kept").await?;
	let holder = stage.holder().await?;
	let ids = stage.network.worker_ids();
	let worker = ids.into_iter().find(|id| *id != holder).context("another member")?;
	let before = stage.network.devnet.worker(worker)?.enclave.status().await?;
	stage.network.devnet.restart_worker(worker).await?;
	let enclave = &stage.network.devnet.worker(worker)?.enclave;
	let after = reaches(enclave, EnclavePhase::Serving).await?;
	assert_eq!(after.boot, before.boot.map(|boot| boot + 1), "a new boot");
	assert_ne!(after.identity, before.identity, "no key was kept");
	// Keys from the gatekeeper, state from its disk and what that lacks from the others.
	stage.ready_at(worker).await?;
	stage.network.in_step(&stage.agent, &[worker]).await?;
	assert_eq!(stage.kept_at(worker, "/comes-back").await?, "KEPT");
	assert_eq!(stage.holder().await?, holder, "nobody else's lease moved");
	Ok(())
}

async fn a_relayer_with_another_operators_key_pays_nothing_and_says_what_is_wrong(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	/// Its key was put into the wrong file.
	const ANOTHER: &str = "//Dave//mistaken";
	/// Two attempts' time: they were made every 10 s at most.
	const BLOCKS: u64 = 10;
	let holder = stage.holder().await?;
	let ids = stage.network.worker_ids();
	let worker = ids.into_iter().find(|id| *id != holder).context("another member")?;
	let phala = &stage.network.phala;
	let address = phala.ok(&["account", "show", ANOTHER]).await?["address"].clone();
	let address = address.as_str().context("an address")?.to_owned();
	phala.of("//Ferdie").ok(&["account", "transfer", &address, "10"]).await?;

	let operator = operated_by(stage, worker, ANOTHER)?;
	stage.network.devnet.stop_relayer(worker).await?;
	stage.network.devnet.restart_worker(worker).await?;
	let relayer = stage.network.devnet.worker(worker)?.relayer.as_ref().context("it has one")?;
	let url = relayer.status_url.clone();
	let (server, path) = url.rsplit_once("/v1/").context("its status has a path")?;
	let path = format!("/v1/{path}");
	until("the relayer to say that the operator is another", || async {
		let answer = http(server, "GET", &path, &[]).await?;
		let said: Value = serde_json::from_slice(&answer.body)?;
		let error = said["last_error"].as_str().unwrap_or_default();
		Ok((error.contains("NotOperator") && error.contains("start pherry with its key"))
			.then_some(()))
	})
	.await?;
	let chain = stage.network.chain.clone();
	let until_block = chain.best().await? + BLOCKS;
	until("several blocks to pass", || async {
		Ok((chain.best().await? >= until_block).then_some(()))
	})
	.await?;
	let has = stage.network.phala.ok(&["account", "balance", &address]).await?;
	assert_eq!(has["free"], "10000000000000", "nothing was paid: {has}");

	operated_by(stage, worker, &operator)?;
	stage.network.devnet.stop_relayer(worker).await?;
	stage.network.devnet.restart_worker(worker).await?;
	stage.ready_at(worker).await
}

/// Whose key its relayer is started with from now on; whose it was.
fn operated_by(stage: &mut Stage, worker: WorkerId, operator: &str) -> anyhow::Result<String> {
	let mut workers = stage.network.devnet.workers.iter_mut();
	let found = workers.find(|found| found.id() == worker).context("it is there")?;
	Ok(std::mem::replace(&mut found.options.operator, operator.to_owned()))
}

async fn a_node_that_comes_back_goes_on_where_it_stood(stage: &mut Stage) -> anyhow::Result<()> {
	let before = stage.network.chain.best().await?;
	let hash = stage.network.chain.block_hash(before).await?;
	stage.network.restart_node().await?;
	let chain = stage.network.chain.clone();
	assert_eq!(chain.block_hash(before).await?, hash, "what was final stays");
	until("blocks to become final again", || async {
		Ok((chain.best().await? > before + 2).then_some(()))
	})
	.await?;
	// Relayers found it again, and the enclaves follow.
	let answer = stage.keep("/node-came-back", "kept").await?;
	ensure!(answer["answer"]["body"]["backwards"] == "tpek", "{answer:#}");
	let everybody = stage.network.worker_ids();
	stage.network.in_step(&stage.agent, &everybody).await?;
	for worker in everybody {
		assert_eq!(stage.kept_at(worker, "/node-came-back").await?, "KEPT", "at worker {worker}");
	}
	stage.network.chain.check_conservation(0).await
}

/// The newest epoch whose master key serves.
async fn epoch(chain: &Chain) -> anyhow::Result<u32> {
	let events = chain.events(0).await?;
	let mut served = events.iter().filter(|event| event.name == "Gatekeepers.MasterKeyActivated");
	let (epoch, _) = served.next_back().context("a master key serves")?.decode::<(u32, u32)>()?;
	Ok(epoch)
}

async fn epoch_after(chain: &Chain, before: u32) -> anyhow::Result<()> {
	until("the master key of another epoch", || async {
		Ok((epoch(chain).await? > before).then_some(()))
	})
	.await
}

async fn a_gatekeeper_that_comes_back_makes_another_master_key_and_members_go_on(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let chain = stage.network.chain.clone();
	let before = epoch(&chain).await?;
	let from = chain.best().await?;
	stage.network.devnet.restart_gatekeeper().await?;
	// Its share was in memory alone: the old key is gone, and agents do not notice.
	stage.keep("/without-a-gatekeeper", "kept").await?;
	epoch_after(&chain, before).await?;
	// A member that has the data keys wraps them under the new one …
	until("a member to wrap the cluster's keys for the new epoch", || async {
		let events = chain.events(from).await?;
		Ok(events.iter().any(|event| event.name == "Clusters.KeysWrapped").then_some(()))
	})
	.await?;
	// … so that one that has none gets them again.
	let holder = stage.holder().await?;
	let ids = stage.network.worker_ids();
	let worker = ids.into_iter().find(|id| *id != holder).context("another member")?;
	stage.network.devnet.restart_worker(worker).await?;
	stage.ready_at(worker).await?;
	stage.network.in_step(&stage.agent, &[worker]).await?;
	assert_eq!(stage.kept_at(worker, "/without-a-gatekeeper").await?, "KEPT");
	Ok(())
}

/// Writes so many entries, some of them long; under which paths.
async fn keep_some(stage: &Stage, name: &str) -> anyhow::Result<Vec<(String, String)>> {
	let mut kept = Vec::new();
	for (number, length) in [(0, 6), (1, 2_000), (2, 9_000)] {
		let (path, text) = (format!("/{name}-{number}"), "kept".repeat(length / 4));
		stage.keep(&path, &text).await?;
		kept.push((path, text.to_uppercase()));
	}
	Ok(kept)
}

async fn all_have(
	stage: &Stage,
	workers: &[WorkerId],
	kept: &[(String, String)],
) -> anyhow::Result<()> {
	for worker in workers {
		stage.ready_at(*worker).await?;
		stage.network.in_step(&stage.agent, &[*worker]).await?;
		for (path, text) in kept {
			let found = stage.kept_at(*worker, path).await?;
			ensure!(found == text.as_str(), "{path} at worker {worker}: {found}");
		}
	}
	Ok(())
}

async fn members_that_are_all_killed_at_once_come_back_with_every_committed_write(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let kept = keep_some(stage, "killed-at-once").await?;
	let workers = stage.network.worker_ids();
	for round in 0..2 {
		for worker in &workers {
			stage.network.devnet.crash(*worker).await?;
		}
		for worker in &workers {
			stage.network.devnet.restart_worker(*worker).await?;
		}
		all_have(stage, &workers, &kept).await.with_context(|| format!("round {round}"))?;
	}
	// And they go on from there.
	stage.keep("/after-all-were-killed", "kept").await?;
	stage.network.in_step(&stage.agent, &workers).await?;
	for worker in &workers {
		assert_eq!(stage.kept_at(*worker, "/after-all-were-killed").await?, "KEPT");
	}
	stage.network.chain.check_conservation(0).await
}

async fn a_member_whose_disk_is_lost_fetches_all_from_the_others(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let kept = keep_some(stage, "lost-disk").await?;
	let workers = stage.network.worker_ids();
	// One after the other: each has all of it from who had its own lost before.
	for worker in &workers {
		stage.network.devnet.crash(*worker).await?;
		stage.network.devnet.lose_disk(*worker)?;
		stage.network.devnet.restart_worker(*worker).await?;
		all_have(stage, &[*worker], &kept).await?;
		// What it acknowledges from now on it has on its new disk.
		stage.keep(&format!("/after-disk-{worker}"), "kept").await?;
	}
	for worker in &workers {
		stage.network.devnet.crash(*worker).await?;
	}
	for worker in &workers {
		stage.network.devnet.restart_worker(*worker).await?;
	}
	all_have(stage, &workers, &kept).await
}

async fn members_and_gatekeeper_that_all_come_back_at_once_have_lost_the_state(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let chain = stage.network.chain.clone();
	let before = epoch(&chain).await?;
	let workers = stage.network.worker_ids();
	for worker in workers.iter().chain([&stage.network.gatekeeper]) {
		stage.network.devnet.crash(*worker).await?;
	}
	for worker in workers.iter().chain([&stage.network.gatekeeper]) {
		stage.network.devnet.restart_worker(*worker).await?;
	}
	for worker in workers.iter().chain([&stage.network.gatekeeper]) {
		let enclave = &stage.network.devnet.worker(*worker)?.enclave;
		reaches(enclave, EnclavePhase::Serving).await?;
	}
	epoch_after(&chain, before).await?;
	// Nobody can unwrap what the chain has: the agents stay registered, and every member refuses them by
	// name. That it stays so is no outage that ends: the new key has been serving for a while.
	let served_at = chain.best().await?;
	until("the new key to have served for a while", || async {
		Ok((chain.best().await? > served_at + 10).then_some(()))
	})
	.await?;
	stage.network.phala.ok(&["agent", "status", &stage.agent]).await?;
	for worker in workers {
		let url = stage.network.devnet.worker(worker)?.enclave.public_url.clone();
		let info = http(&url, "GET", "/v1/info", &[]).await?;
		let info: Value = serde_json::from_slice(&info.body)?;
		assert_eq!(info["clusterKeys"], false, "{info:#}");
		let path = format!("/agents/{}/comes-back", stage.agent);
		let refused = http(&url, "GET", &path, &[]).await?;
		let said: Value = serde_json::from_slice(&refused.body)?;
		ensure!(refused.status >= 400 && said["error"].is_string(), "{} {said}", refused.status);
	}
	// Whoever asks is told that it is for good, and pays nothing.
	let phala = &stage.network.phala;
	let folder = stage.network.file("keeper").display().to_string();
	let deploy = ["deploy", &folder, "--no-build", "--agent", &stage.agent];
	let upgrade = ["agent", "upgrade", &stage.agent, &folder, "--no-build"];
	for command in [
		&["call", &stage.agent, "/"][..],
		&["call", &stage.agent, "/", "--on-chain"],
		&["logs", &stage.agent],
		&deploy,
		&upgrade,
	] {
		let refused = phala.of(DEVELOPER).refused(command).await?;
		ensure!(
			refused.contains("are lost") && refused.contains("phala agent retire"),
			"{command:?}: {refused}"
		);
	}
	Ok(())
}

async fn an_evicted_member_is_out_for_good_and_its_agents_go_on(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	stage.keep("/eviction", "before").await?;
	// The worst one: it has the lease.
	let evicted = stage.holder().await?;
	let chain = stage.network.chain.clone();
	let from = chain.best().await?;
	stage.network.devnet.evict(evicted).await?;

	// The registry throws the boot out, and the cluster its member: the wiring of the two.
	let thrown_out = chain.event(from, "Registry.WorkerEvicted", |event| {
		// The reason is a variant and the part that it slashes; then what that came to.
		let (worker, boot, _, slash, _) = event.decode::<(WorkerId, u32, u8, u32, u128)>()?;
		anyhow::ensure!(slash == 0, "devnet evicts at no cost");
		Ok((worker == evicted).then_some((event.block, boot)))
	});
	let (block, _) = thrown_out.await?;
	let left = chain.event(from, "Clusters.MemberLeft", |event| {
		let (cluster, worker) = event.decode::<(ClusterId, WorkerId)>()?;
		Ok((worker == evicted).then_some((event.block, cluster)))
	});
	assert_eq!(left.await?, (block, stage.network.cluster), "in the same block");
	// Who left does not learn the next secret.
	let generation = chain.event(from, "Clusters.GenerationStarted", |event| {
		let (cluster, _) = event.decode::<(ClusterId, u32)>()?;
		Ok((cluster == stage.network.cluster).then_some(event.block))
	});
	assert_eq!(generation.await?, block, "in the same block");
	let holder = stage.holder().await?;
	assert_ne!(holder, evicted, "the lease moved");

	// Its enclave hears of it, stops, and serves nobody.
	let enclave = &stage.network.devnet.worker(evicted)?.enclave;
	reaches(enclave, EnclavePhase::Evicted).await?;
	assert!(enclave.client()?.envelopes().await?.is_empty(), "it says nothing more");
	let path = format!("/agents/{}/eviction", stage.agent);
	let refused = http(&enclave.public_url, "GET", &path, &[]).await?;
	let said: Value = serde_json::from_slice(&refused.body)?;
	ensure!(refused.status >= 400 && said["error"].is_string(), "{} {said}", refused.status);
	let info = http(&enclave.public_url, "GET", "/v1/info", &[]).await?;
	let info: Value = serde_json::from_slice(&info.body)?;
	assert_eq!(info["clusterKeys"], false, "{info:#}");

	// The others go on, also with the next secret.
	let answer = stage.keep("/eviction", "after").await?;
	assert_eq!(answer["proof"]["worker"], holder);
	until("a member to wrap the keys for the new generation", || async {
		let events = chain.events(block).await?;
		Ok(events.iter().any(|event| event.name == "Clusters.KeysWrapped").then_some(()))
	})
	.await?;

	// A new boot of the evicted worker registers, and is a member of nothing.
	stage.network.devnet.restart_worker(evicted).await?;
	let worker = stage.network.devnet.worker(evicted)?;
	reaches(&worker.enclave, EnclavePhase::Serving).await?;
	let info = http(&worker.enclave.public_url, "GET", "/v1/info", &[]).await?;
	let info: Value = serde_json::from_slice(&info.body)?;
	assert_eq!((&info["cluster"], &info["clusterKeys"]), (&Value::Null, &false.into()), "{info:#}");
	stage.network.devnet.kill(evicted).await
}

fn main() -> ExitCode {
	let cases = cases![
		a_worker_that_comes_back_has_the_state_again,
		a_relayer_with_another_operators_key_pays_nothing_and_says_what_is_wrong,
		a_node_that_comes_back_goes_on_where_it_stood,
		a_gatekeeper_that_comes_back_makes_another_master_key_and_members_go_on,
		members_that_are_all_killed_at_once_come_back_with_every_committed_write,
		a_member_whose_disk_is_lost_fetches_all_from_the_others,
		an_evicted_member_is_out_for_good_and_its_agents_go_on,
		members_and_gatekeeper_that_all_come_back_at_once_have_lost_the_state,
	];
	trials::run("restarts", cases)
}
