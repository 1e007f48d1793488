//! A paid request ends by each limit, is paid for what it used, and holds nobody else up.

use crate::Stage;
use anyhow::{ensure, Context};
use codec::{DecodeAll, Encode};
use phala_end_to_end::{
	chain::hash,
	cluster::http,
	money::{entry, Settled},
};
use phala_protocol::{
	refusals::Refusal,
	requests::{CallInput, RequestOutcome},
	Balance, H256,
};
use serde_json::Value as Json;
use std::{
	collections::BTreeMap,
	time::{Duration, Instant},
};
use subxt::dynamic::Value;
use subxt_signer::sr25519::dev;

const PHA: Balance = 1_000_000_000_000;

/// Blocks until the last of them must be settled.
const DEADLINE_BLOCKS: u64 = 90;

/// How long another agent's answer may take while the villains run.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(20);

/// Which limit ends what, as the chain is told. Four more do not end a villain here: a larger request
/// is refused when it is submitted (`RequestBytes`), JavaScript asks for no more randomness at once than
/// is given (`EntropyBytes`), and so many host calls and reads need more CPU time than this one has
/// (`HostCalls`, `StateReadBytes`: the sandbox's own tests have them).
const VILLAINS: [(&str, Refusal); 15] = [
	("/endless-loop", Refusal::CpuTime),
	("/memory-hog", Refusal::Memory),
	("/deep-recursion", Refusal::Stack),
	("/sleeps", Refusal::WallTime),
	("/call-flood", Refusal::OutboundCalls),
	("/gigabyte-answer", Refusal::ResponseBytes),
	("/upload-flood", Refusal::FetchedBytes),
	("/self-call", Refusal::CallDepth),
	("/log-flood", Refusal::LogLines),
	("/long-log", Refusal::LogBytes),
	("/timer-flood", Refusal::PendingCalls),
	("/state-flood", Refusal::StateWriteKeys),
	("/state-bloat", Refusal::StateWriteBytes),
	("/state-giant", Refusal::StateValueBytes),
	("/state-long-key", Refusal::StateKeyBytes),
];

/// Submits a request to each villain, all at once; the limit that is to end each.
async fn submit(
	stage: &Stage,
	villain: &str,
	from: u64,
) -> anyhow::Result<BTreeMap<H256, Refusal>> {
	let chain = &stage.network.chain;
	let agent = hash(&villain.into())?;
	let deadline = from + DEADLINE_BLOCKS;
	let calls = VILLAINS.iter().map(|(path, _)| {
		let input = CallInput {
			method: b"GET".to_vec(),
			path: path.as_bytes().to_vec(),
			headers: Vec::new(),
			body: Vec::new(),
		};
		let fields = vec![
			Value::from_bytes(agent.0),
			Value::unnamed_variant("Call", []),
			Value::unnamed_variant("Public", [Value::from_bytes(input.encode())]),
			Value::u128(PHA),
			Value::u128(deadline.into()),
			Value::u128(0),
		];
		Value::unnamed_variant("Requests", [Value::unnamed_variant("submit", fields)])
	});
	let batch = vec![Value::unnamed_composite(calls)];
	let events = chain.submit(&dev::eve(), "Utility", "batch_all", batch).await?;
	let submitted = events.iter().filter(|event| event.name == "Requests.RequestSubmitted");
	let requests = submitted.map(|event| event.fields.get(..32).context("it has an id"));
	let requests = requests.collect::<anyhow::Result<Vec<_>>>()?;
	ensure!(requests.len() == VILLAINS.len(), "{} requests were submitted", requests.len());
	let limits = VILLAINS.iter().map(|(_, limit)| *limit);
	Ok(requests.into_iter().map(H256::from_slice).zip(limits).collect())
}

pub async fn a_paid_request_ends_by_each_limit_and_other_agents_answer_meanwhile(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let villain = stage.network.deploy("villain", &["--timeout", "5"]).await?;
	let chain = &stage.network.chain;
	let from = chain.best().await?;
	let mut waiting = submit(stage, &villain, from).await?;

	let mut by_block = BTreeMap::<u64, Vec<Settled>>::new();
	let mut answers_meanwhile = 0;
	let mut seen = from;
	let started = Instant::now();
	while !waiting.is_empty() {
		ensure!(started.elapsed() < phala_end_to_end::PATIENCE, "these do not end: {waiting:?}");
		// Another agent, at each worker: those that run the villains too.
		for worker in stage.network.workers() {
			let (url, path) =
				(&worker.enclave.public_url, format!("/agents/{}/direct", stage.agent));
			let asking = http(url, "GET", &path, &[]);
			let answer = tokio::time::timeout(OTHERS_WAIT_MAX, asking)
				.await
				.with_context(|| format!("worker {} answers nobody else", worker.id()))??;
			ensure!(answer.status == 200, "{answer:?}");
			answers_meanwhile += 1;
		}
		let newest = chain.best().await?;
		for event in chain.events_between(seen, newest).await? {
			if event.name != "Requests.RequestSettled" {
				continue;
			}
			let settled: Settled = event.decode()?;
			let Some(limit) = waiting.remove(&settled.request) else { continue };
			ensure!(settled.failed, "{limit:?} ended it: {settled:?}");
			let key = entry("Requests", "Responses", settled.request.as_bytes());
			let response = chain.value(&key, event.block).await?.context("there is a response")?;
			let response = Vec::<u8>::decode_all(&mut &response[..])?;
			let outcome = RequestOutcome::decode_all(&mut &response[..])?;
			assert_eq!(outcome, RequestOutcome::Failed(limit.code()));
			by_block.entry(event.block).or_default().push(settled);
		}
		seen = newest + 1;
	}
	assert!(answers_meanwhile > 0);
	for (block, settled) in by_block {
		chain.check_payments(block, &settled).await?;
	}
	// Nothing of them stays.
	let status: Json = stage.network.phala.ok(&["agent", "status", &villain]).await?;
	assert!(status["lease"].is_object(), "its worker was not blamed: {status:#}");
	let expired = chain.events(from).await?.into_iter();
	assert_eq!(expired.filter(|event| event.name == "Requests.RequestExpired").count(), 0);
	chain.check_conservation(from).await
}
