//! Workers die and join.

use crate::{kept, Stage};
use anyhow::{ensure, Context};
use phala_end_to_end::{
	chain::hash,
	cluster::{agent_at, http, OPERATORS, OWNER},
	money::{about, entry, escrow, Settled},
	search::Mark,
	until,
};
use phala_protocol::{agents::Excuse, limits, Balance, H256};
use serde_json::Value;
use std::str::FromStr;
use subxt_signer::{sr25519::Keypair, SecretUri};

fn account(secret: &str) -> anyhow::Result<[u8; 32]> {
	Ok(Keypair::from_uri(&SecretUri::from_str(secret)?)?.public_key().0)
}

/// How often a request was settled so far.
async fn settlements(stage: &Stage, request: H256) -> anyhow::Result<usize> {
	let mut count = 0;
	for event in stage.network.chain.events(0).await? {
		if event.name == "Requests.RequestSettled" {
			count += usize::from(about::<Settled>(request, &event)?.is_some());
		}
	}
	Ok(count)
}

/// How many blocks a command may take until its request is in one.
const SUBMITTED_WITHIN: u64 = 8;

/// Within so many blocks another writes in place of a holder that hears of no blocks: as promised, and
/// three times as much again on a busy machine.
const NOTICED_WITHIN: u64 = 4 * limits::FAILOVER_BEHIND_MS_MAX / limits::BLOCK_MS;

pub async fn a_withheld_request_is_refunded_once_and_the_other_worker_answers_the_next(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let (phala, agent) = (stage.network.phala.clone(), stage.agent.clone());
	let all = stage.network.worker_ids();
	stage.network.in_step(&agent, &all).await?;
	let holder = stage.writer().await?;
	let operator = account(&stage.network.devnet.worker(holder)?.options.operator)?;

	// No order reaches the holder any more: its relayer is gone before there is one.
	stage.network.devnet.stop_relayer(holder).await?;
	let lost = Mark::new("the lost input")?;
	stage.hide(&lost);
	let chain = &stage.network.chain;
	let from = chain.best().await?;
	let deadline = chain.newest().await? + 5 + 10 + SUBMITTED_WITHIN + NOTICED_WITHIN;
	let deadline = deadline.to_string();
	let ask = ["call", &agent, "/lost", "--on-chain", "--no-wait"];
	let ask = [&ask[..], &["--deadline", &deadline, "--data", &lost.text]].concat();
	let request = hash(&phala.ok(&ask).await?["request"])?;
	let (_, submitted) = chain.submitted(from, request).await?;
	assert_eq!(submitted.worker, holder);
	let status = ["request", "status", &format!("{request:?}")];
	assert_eq!(phala.ok(&status).await?["state"], "open");

	// It answers whoever asks it, and stands at one block: it is found silent at the chain too, and
	// another has the lease. Everything that was put up comes back then, and nobody pays for it.
	let chain = &stage.network.chain;
	let (block, refunded) = chain.refunded(from, request).await?;
	ensure!(block < u64::from(submitted.deadline), "not at its deadline {}", submitted.deadline);
	let key = entry("Requests", "Requests", request.as_bytes());
	ensure!(chain.value(&key, block).await?.is_some(), "the chain remembers the request");
	let moved = async |account| {
		let (before, after) =
			(chain.funds(account, block - 1).await?, chain.funds(account, block).await?);
		let difference = |after: Balance, before: Balance| after as i128 - before as i128;
		anyhow::Ok((difference(after.free, before.free), difference(after.held, before.held)))
	};
	let back = i128::try_from(refunded)?;
	assert_eq!(moved(submitted.caller).await?, (back, 0));
	assert_eq!(moved(escrow()).await?, (-back, 0));
	assert_eq!(moved(operator).await?, (0, 0));
	assert_eq!(chain.issuance(block - 1).await?, chain.issuance(block).await?);
	let writer = stage.writer().await?;
	assert_ne!(writer, holder, "the lease moved");
	stage.network.devnet.kill(holder).await?;
	let error = phala.refused(&status).await?;
	assert!(error.contains("was not answered") && error.contains("were refunded"), "{error}");

	// The other one goes on alone, from where the first stood.
	let next = Mark::new("the next input")?;
	stage.hide(&next);
	let ask = ["call", &agent, "/next", "--on-chain", "--data", &next.text];
	let answer = phala.ok(&ask).await?;
	stage.check(&answer, &next)?;
	assert_eq!(answer["proof"]["worker"], writer);
	let answered = hash(&answer["request"])?;
	let chain = &stage.network.chain;
	let (block, settled) = chain.settled(from, answered).await?;
	let other = stage.network.newest()?;
	assert_eq!((other.id(), settled.worker), (writer, Some(account(&other.options.operator)?)));
	chain.check_payment(block, &settled).await?;

	// Once each, and the first one never.
	assert_eq!(settlements(stage, answered).await?, 1);
	assert_eq!(settlements(stage, request).await?, 0);
	stage.withheld = Some((request, from));
	Ok(())
}

/// Its deadline is long after its refund: others had their turn meanwhile.
pub async fn a_refunded_request_comes_to_nothing_at_its_deadline(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let (request, from) = stage.withheld.take().context("the withheld request")?;
	let chain = &stage.network.chain;
	let (_, expired) = chain.expired(from, request).await?;
	assert_eq!((expired.refunded, expired.penalty), (0, 0));
	assert_eq!(expired.excuse, Some(Excuse::LeaseTaken));
	assert_eq!(settlements(stage, request).await?, 0);
	let mut refunds = 0;
	for event in chain.events(from).await? {
		if event.name == "Requests.RequestRefunded" {
			refunds += usize::from(about::<(H256, H256, Balance)>(request, &event)?.is_some());
		}
	}
	assert_eq!(refunds, 1);
	chain.check_conservation(from).await
}

pub async fn a_worker_that_joins_later_ends_with_the_same_state(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let agent = stage.agent.clone();
	let writer = stage.writer().await?;
	// An operator may have several. What its agents say is in this one's log: see `privacy`.
	let worker = stage.network.join(OPERATORS[0], &["--dev-agent-logs"]).await?;
	let late = stage.network.devnet.worker(worker)?;
	until("the new worker to have the agent ready", || async {
		let found = agent_at(late, &agent).await?;
		Ok(found.filter(|found| found["ready"] == true).map(drop))
	})
	.await
	.with_context(|| late.enclave.process.log().last_lines())?;
	stage.network.in_step(&agent, &[worker, writer]).await?;

	// What was written before it came, by its own server alone.
	let mark = |name: &str| {
		let found = stage.hidden.iter().find(|mark| mark.name == name).cloned();
		found.with_context(|| format!("{name} was sent"))
	};
	for (path, input) in [("/direct", "the direct input"), ("/next", "the next input")] {
		let path = format!("/agents/{agent}{path}");
		let answer = http(&late.enclave.public_url, "GET", &path, &[]).await?;
		let said: Value = serde_json::from_slice(&answer.body)?;
		assert_eq!((answer.status, &said["kept"]), (200, &kept(&mark(input)?).text.into()));
	}
	// What was never committed is not there either.
	let path = format!("/agents/{agent}/lost");
	let answer = http(&late.enclave.public_url, "GET", &path, &[]).await?;
	let said: Value = serde_json::from_slice(&answer.body)?;
	assert_eq!(said["kept"], Value::Null);

	// Where it is reached is its operator's to say, and the other members follow.
	let (number, url) = (worker.to_string(), late.url());
	let other = url.replace("127.0.0.1", "localhost");
	let endpoint = ["cluster", "endpoint", &number, &other];
	let refused = stage.network.phala.refused(&endpoint).await?;
	ensure!(refused.contains("operator"), "{refused}");
	let operator = stage.network.phala.of(OPERATORS[0]);
	let refused = operator.refused(&["cluster", "endpoint", &number, &url]).await?;
	ensure!(refused.contains("already"), "{refused}");
	operator.ok(&endpoint).await?;

	// And sealed, proven, when nobody else is left.
	let operator = stage.network.devnet.worker(writer)?.options.operator.clone();
	stage.network.devnet.kill(writer).await?;
	let answer = stage.network.phala.ok(&["call", &agent, "/next"]).await?;
	assert_eq!(answer["verified"], true, "{answer:#}");
	assert_eq!(answer["worker"]["worker"], worker);
	assert_eq!(answer["answer"]["body"]["kept"], kept(&mark("the next input")?).text);
	the_dead_are_taken_out(stage, worker, writer, &operator).await
}

/// The numbers of the cluster's members, by its status.
async fn members(stage: &Stage) -> anyhow::Result<Vec<u64>> {
	let cluster = stage.network.cluster.to_string();
	let status = stage.network.phala.ok(&["cluster", "status", &cluster]).await?;
	let members = status["members"].as_array().context("members")?;
	Ok(members.iter().filter_map(|member| member["worker"].as_u64()).collect())
}

/// A worker whose machine is gone leaves by its operator's word, another is removed by the owner's.
async fn the_dead_are_taken_out(
	stage: &Stage,
	stays: u32,
	leaves: u32,
	operator: &str,
) -> anyhow::Result<()> {
	let [stays, leaves] = [stays, leaves].map(u64::from);
	let (phala, cluster) = (&stage.network.phala, stage.network.cluster.to_string());
	let other = members(stage).await?.into_iter().find(|member| ![stays, leaves].contains(member));
	let (other, leaving) = (other.context("the other dead one")?.to_string(), leaves.to_string());

	let closed = phala.of(operator).refused(&["worker", "close", &leaving]).await?;
	ensure!(closed.contains("phala cluster leave"), "{closed}");
	let left = phala.of(operator).ok(&["cluster", "leave", &leaving]).await?;
	assert_eq!(left["cluster"], stage.network.cluster);
	let refused = phala.refused(&["cluster", "remove", &cluster, &other]).await?;
	ensure!(refused.contains("owns"), "{refused}");
	phala.of(OWNER).ok(&["cluster", "remove", &cluster, &other]).await?;
	until("both to be out", || async { Ok((members(stage).await? == [stays]).then_some(())) })
		.await?;
	let again = phala.of(operator).refused(&["cluster", "leave", &leaving]).await?;
	ensure!(again.contains("member of no cluster"), "{again}");
	let answer = phala.ok(&["call", &stage.agent, "/next"]).await?;
	assert_eq!(answer["verified"], true, "{answer:#}");
	Ok(())
}
