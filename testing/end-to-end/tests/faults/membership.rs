//! A member is cut off.

use anyhow::Context;
use phala_devnet::Worker;
use phala_end_to_end::keeper::Stage;
use phala_end_to_end::until;
use phala_protocol::BlockNumber;
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
