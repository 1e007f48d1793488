//! What operators have at stake, as `phala worker` tells it. Stake leaves slowly: an early case has it
//! leave, a late one withdraws it.

use crate::Stage;
use anyhow::{ensure, Context};
use phala_end_to_end::{cluster::OPERATORS, until};
use phala_protocol::Balance;
use serde_json::Value;

const PHA: Balance = 1_000_000_000_000;

/// Registers a worker that never boots, and gives it away.
const FIRST: &str = "//Ferdie";
/// Gets it, and gives it up.
const SECOND: &str = "//Eve";

fn amount(pha: Balance) -> Value {
	(pha * PHA).to_string().into()
}

pub async fn stake_is_added_leaves_and_goes_along_with_its_worker(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let phala = &stage.network.phala;
	let (first, second) = (phala.of(FIRST), phala.of(SECOND));
	let refused = first.refused(&["worker", "register"]).await?;
	ensure!(refused.contains("--another") && refused.contains("1000 PHA"), "{refused}");
	let worker = first.ok(&["worker", "register", "--another"]).await?["worker"].to_string();
	let worker = worker.as_str();
	let added = first.ok(&["worker", "stake", worker, "100"]).await?;
	assert_eq!((&added["amount"], &added["active"]), (&amount(100), &amount(1_100)));

	// 50 less than the minimum.
	let unstake = ["worker", "unstake", worker, "250"];
	let refused = first.refused(&unstake).await?;
	ensure!(refused.contains("minimum of 900 PHA") && refused.contains("--force"), "{refused}");
	let leaves = first.ok(&[&unstake[..], &["--force"]].concat()).await?;
	assert_eq!(leaves["active"], amount(850));
	let status = phala.ok(&["worker", "status", worker]).await?;
	assert_eq!((&status["suffices"], &status["minimum"]), (&false.into(), &amount(900)));
	assert_eq!(status["unbonding"][0]["amount"], amount(250));
	assert_eq!(status["unbonding"][0]["until"], leaves["until"]);
	let early = first.refused(&["worker", "withdraw", worker]).await?;
	ensure!(early.contains("left yet") && early.contains("phala worker status"), "{early}");
	first.ok(&["worker", "stake", worker, "50"]).await?;
	assert_eq!(phala.ok(&["worker", "status", worker]).await?["suffices"], true);

	// Nobody takes it who was not offered it, and its stake and what leaves go along.
	let thief = phala.of(OPERATORS[0]);
	first.ok(&["worker", "transfer", worker, SECOND]).await?;
	let refused = thief.refused(&["worker", "accept", worker]).await?;
	ensure!(refused.contains("phala worker transfer"), "{refused}");
	second.ok(&["worker", "accept", worker]).await?;
	let status = phala.ok(&["worker", "status", worker]).await?;
	assert_eq!(status["operator"], phala.ok(&["account", "show", SECOND]).await?["address"]);
	assert_eq!(status["active"], amount(900));
	let closed = second.ok(&["worker", "close", worker]).await?;
	ensure!(closed["until"].as_u64() >= leaves["until"].as_u64(), "{closed} before {leaves}");
	stage.closed_worker = Some(worker.into());

	// A candidacy is a second stake of its own.
	let serving = stage.network.worker_ids()[0].to_string();
	thief.ok(&["gatekeeper", "apply", &serving]).await?;
	let seat = ["worker", "status", &serving, "--gatekeeper"];
	assert_eq!(phala.ok(&seat).await?["active"], amount(10_000));
	thief.ok(&["gatekeeper", "withdraw", &serving]).await?;
	assert_eq!(phala.ok(&seat).await?["closed"], true);
	assert_eq!(phala.ok(&["worker", "status", &serving]).await?["active"], amount(1_000));
	Ok(())
}

pub async fn stake_that_has_left_is_free_once(stage: &mut Stage) -> anyhow::Result<()> {
	let phala = &stage.network.phala;
	let worker = stage.closed_worker.as_deref().context("the early case closed a worker")?;
	let status = phala.ok(&["worker", "status", worker]).await?;
	let parts = status["unbonding"].as_array().context("it leaves")?;
	let last = parts.last().and_then(|part| part["until"].as_u64()).context("it ends")?;
	// A bond unbonds in 129 blocks here, which may be more than one wait's patience.
	for block in [last.saturating_sub(60), last] {
		until("the stake to have left", || async {
			Ok((stage.network.chain.newest().await? >= block).then_some(()))
		})
		.await?;
	}
	// What it paid in the cases before is final too.
	let newest = stage.network.chain.newest().await?;
	until("all before to be final", || async {
		Ok((stage.network.chain.best().await? >= newest).then_some(()))
	})
	.await?;
	let owner = phala.of(SECOND);
	let before = phala.ok(&["account", "balance", SECOND]).await?;
	// By anyone, and not to whoever that is.
	let withdrawn = phala.of(FIRST).ok(&["worker", "withdraw", worker]).await?;
	assert_eq!(withdrawn["amount"], amount(1_150));
	let free = |balance: &Value| -> anyhow::Result<Balance> {
		Ok(balance["free"].as_str().context("it has some")?.parse()?)
	};
	let (before, expected) = (free(&before)?, 1_150 * PHA);
	until("the withdrawal to be final", || async {
		let after = free(&phala.ok(&["account", "balance", SECOND]).await?)?;
		Ok((after == before + expected).then_some(()))
	})
	.await?;
	let again = owner.refused(&["worker", "withdraw", worker]).await?;
	ensure!(
		again.contains("there is no worker") || again.contains("nothing is at stake"),
		"{again}"
	);
	Ok(())
}
