//! Members are cut off, and thrown out.

use crate::Stage;
use anyhow::{ensure, Context};
use phala_devnet::Worker;
use phala_end_to_end::{cluster::http, reaches, until};
use phala_protocol::{boot::WorkerId, mailbox::ClusterId, relay::EnclavePhase, BlockNumber};
use serde_json::Value;
use std::time::Duration;

/// The height at which a worker stands that is brought nothing any more; what was on its way may come.
async fn rests(worker: &Worker) -> anyhow::Result<BlockNumber> {
	until("what was on its way to have come", || async {
		let before = worker.enclave.status().await?.height;
		tokio::time::sleep(Duration::from_secs(3)).await;
		let height = worker.enclave.status().await?.height;
		Ok((before == height).then_some(height))
	})
	.await
}

pub async fn a_member_that_was_cut_off_holds_nobody_up_and_catches_up(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let holder = stage.holder().await?;
	let ids = stage.network.worker_ids();
	let alone = ids.iter().copied().find(|id| *id != holder).context("another member")?;
	let rest: Vec<_> = ids.iter().copied().filter(|id| *id != alone).collect();
	stage.network.devnet.partition(&[alone])?;
	let height = rests(stage.network.devnet.worker(alone)?).await?;
	let answer = stage.keep("/partition", "kept").await?;
	assert_eq!(answer["proof"]["worker"], holder);
	stage.network.in_step(&stage.agent, &rest).await?;
	for worker in rest {
		assert_eq!(stage.kept_at(worker, "/partition").await?, "KEPT", "at worker {worker}");
	}
	// It learns of nothing, and does not make it up.
	let status = stage.network.devnet.worker(alone)?.enclave.status().await?;
	assert_eq!(status.height, height, "it was cut off");
	assert_eq!(stage.kept_at(alone, "/partition").await?, Value::Null);
	stage.network.devnet.heal();
	stage.network.in_step(&stage.agent, &[alone]).await?;
	assert_eq!(stage.kept_at(alone, "/partition").await?, "KEPT");
	Ok(())
}

pub async fn an_evicted_member_is_out_for_good_and_its_agents_go_on(
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
