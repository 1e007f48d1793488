//! The lease holder dies, or hangs, at the worst moments.

use anyhow::{ensure, Context};
use codec::DecodeAll;
use nix::sys::signal::Signal;
use phala_end_to_end::keeper::Stage;
use phala_end_to_end::{
	chain::{hash, Chain},
	cluster::http,
	money::{about, Settled},
	until,
};
use phala_pherry::enclave::EnclaveClient;
use phala_protocol::{
	limits,
	messages::{AgentsPayload, Payload},
	relay::paths,
	H256,
};
use serde_json::Value;
use subxt::rpcs::rpc_params;

/// How often the second is tried: a block may be made, and be final, while a process is being killed.
const ATTEMPTS: u32 = 4;

/// How many blocks a command may take until its request is in one.
const SUBMITTED_WITHIN: u64 = 8;

/// Within so many blocks another writes in place of a holder that hangs or is dead.
const FAILOVER_BLOCKS: u64 = limits::FAILOVER_MS_MAX / limits::BLOCK_MS;

/// Whether what waits for the chain in an enclave's outbox holds the answer to a request.
async fn has_answer(enclave: &EnclaveClient, request: H256) -> anyhow::Result<bool> {
	for envelope in enclave.envelopes().await? {
		if let Payload::Agents(AgentsPayload::EffectSet(set)) =
			Payload::decode_all(&mut &envelope.payload[..])?
		{
			if set.results.iter().any(|result| result.request == request) {
				return Ok(true);
			}
		}
	}
	Ok(false)
}

async fn settlements(
	chain: &Chain,
	from: u64,
	request: H256,
) -> anyhow::Result<Vec<(u64, Settled)>> {
	let mut found = Vec::new();
	for event in chain.events(from).await? {
		if event.name == "Requests.RequestSettled" {
			found.extend(about::<Settled>(request, &event)?);
		}
	}
	Ok(found)
}

pub async fn a_holder_that_dies_with_the_answer_in_its_outbox_never_gave_it(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	stage.keep("/unlucky", "before").await?;
	let holder = stage.holder().await?;
	let others: Vec<_> =
		stage.network.worker_ids().into_iter().filter(|worker| *worker != holder).collect();
	let worker = stage.network.devnet.worker(holder)?;
	let boot = worker.enclave.status().await?.boot;
	// Orders reach it; nobody fetches what it says.
	let relay = worker.relay.as_ref().context("a proxy stands before it")?;
	relay.refuse(&format!("GET {}", paths::ENVELOPES));

	let chain = stage.network.chain.clone();
	let from = chain.best().await?;
	let ask = ["call", &stage.agent, "/unlucky", "--on-chain", "--no-wait", "--data", "lost"];
	let deadline = chain.newest().await? + 5 + 10 + SUBMITTED_WITHIN + FAILOVER_BLOCKS;
	let deadline = deadline.to_string();
	let asked = stage.network.phala.ok(&[&ask[..], &["--deadline", &deadline]].concat()).await?;
	let request = hash(&asked["request"])?;
	let (_, submitted) = chain.submitted(from, request).await?;
	assert_eq!((submitted.worker, Some(submitted.boot)), (holder, boot));

	let client = worker.enclave.client()?;
	until("the answer in the holder's outbox", || async {
		Ok(has_answer(&client, request).await?.then_some(()))
	})
	.await?;
	assert_eq!(settlements(&chain, from, request).await?, [], "nobody was told");
	stage.network.devnet.crash(holder).await?;

	// It counts as never given: refunded, as soon as it is found silent and the lease is taken.
	chain.refunded(from, request).await?;
	assert_eq!(settlements(&chain, from, request).await?, []);
	let next = stage.holder().await?;
	assert!(others.contains(&next), "the lease moved from {holder} to {next}");
	for other in &others {
		assert_eq!(stage.kept_at(*other, "/unlucky").await?, "BEFORE", "at worker {other}");
	}
	let answer = stage.keep("/unlucky", "after").await?;
	assert_eq!(answer["proof"]["worker"], next);

	// The machine comes back: nor does its next boot give the answer.
	stage.network.devnet.heal();
	stage.network.devnet.restart_worker(holder).await?;
	stage.ready_at(holder).await?;
	assert_eq!(stage.kept_at(holder, "/unlucky").await?, "AFTER");
	// At its deadline too: and who could not answer any more pays nothing.
	let (_, expired) = chain.expired(from, request).await?;
	assert_eq!((expired.refunded, expired.penalty), (0, 0));
	assert_eq!(settlements(&chain, from, request).await?, []);
	chain.check_conservation(from).await
}

pub async fn a_holder_that_dies_between_submission_and_finality_has_answered_once(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let chain = stage.network.chain.clone();
	for attempt in 1..=ATTEMPTS {
		let text = format!("attempt {attempt}");
		let holder = stage.holder().await?;
		let from = chain.best().await?;
		let ask = ["call", &stage.agent, "/in-between", "--on-chain", "--no-wait", "--data", &text];
		let asked = stage.network.phala.ok(&ask).await?;
		let request = hash(&asked["request"])?;
		until("the answer to be submitted", || is_submitted(&chain, from, request)).await?;
		stage.network.devnet.crash(holder).await?;
		let was_final = chain.best().await?;

		let (final_block, settled) = chain.settled(from, request).await?;
		ensure!(!settled.failed, "{settled:?}");
		chain.check_payment(final_block, &settled).await?;
		assert_eq!(settlements(&chain, from, request).await?.len(), 1);
		stage.network.devnet.restart_worker(holder).await?;
		stage.ready_at(holder).await?;
		let everybody = stage.network.worker_ids();
		stage.network.in_step(&stage.agent, &everybody).await?;
		for worker in everybody {
			let kept = stage.kept_at(worker, "/in-between").await?;
			assert_eq!(kept, Value::String(text.to_uppercase()), "at worker {worker}");
		}
		// And it is nobody's turn twice.
		assert_eq!(settlements(&chain, from, request).await?.len(), 1);
		chain.check_conservation(from).await?;
		if was_final < final_block {
			return Ok(());
		}
		eprintln!("  attempt {attempt}: the block was final before the holder was dead; again");
	}
	anyhow::bail!("in {ATTEMPTS} attempts the holder never died before finality")
}

/// Whether the answer to a request was brought to the chain: it is in the pool, or in a block already.
async fn is_submitted(chain: &Chain, from: u64, request: H256) -> anyhow::Result<Option<()>> {
	let pending: Vec<String> = chain.request("author_pendingExtrinsics", rpc_params![]).await?;
	let id = format!("{request:?}");
	let id = id.trim_start_matches("0x");
	if pending.iter().any(|extrinsic| extrinsic.contains(id)) {
		return Ok(Some(()));
	}
	// Blocks may give way to others meanwhile: then there is nothing yet.
	let newest = chain.newest().await?;
	let Ok(events) = chain.events_between(from, newest).await else { return Ok(None) };
	for event in events.iter().filter(|event| event.name == "Requests.RequestSettled") {
		if about::<Settled>(request, event)?.is_some() {
			return Ok(Some(()));
		}
	}
	Ok(None)
}

pub async fn a_holder_that_hangs_is_replaced_in_time_and_follows_when_it_goes_on(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	stage.keep("/hung", "before").await?;
	let everybody = stage.network.worker_ids();
	stage.network.in_step(&stage.agent, &everybody).await?;
	let holder = stage.holder().await?;
	let chain = stage.network.chain.clone();
	let worker = stage.network.devnet.worker(holder)?;
	let boot = worker.enclave.status().await?.boot;
	let from = chain.newest().await?;
	worker.enclave.process.signal(Signal::SIGSTOP)?;

	// It takes connections and says nothing. Somebody else takes the write; nobody paid for anything.
	let ask = ["call", &stage.agent, "/hung", "--data", "meanwhile"];
	let asked = stage.network.phala.ok(&ask).await;
	let moved = moved_leases(&chain, from).await;
	stage.network.devnet.worker(holder)?.enclave.process.signal(Signal::SIGCONT)?;
	let (answer, moved) = (asked?, moved?);
	assert_eq!(answer["verified"], true, "{answer:#}");
	let next = stage.holder().await?;
	assert_ne!(next, holder);
	assert_eq!(answer["worker"]["worker"], next, "{answer:#}");
	let within = moved.first().context("the lease moved")? - from;
	ensure!(within <= FAILOVER_BLOCKS, "the lease moved after {within} blocks");
	let mut events = chain.events(from).await?.into_iter();
	let of_money = ["Requests.RequestSubmitted", "Registry.WorkerPenalised"];
	assert!(!events.any(|event| of_money.contains(&event.name.as_str())));

	// It goes on: the same boot, as one of the others.
	stage.ready_at(holder).await?;
	stage.network.in_step(&stage.agent, &everybody).await?;
	assert_eq!(stage.kept_at(holder, "/hung").await?, "MEANWHILE");
	let enclave = &stage.network.devnet.worker(holder)?.enclave;
	assert_eq!(enclave.status().await?.boot, boot);
	let path = format!("/agents/{}/hung", stage.agent);
	let refused = http(&enclave.public_url, "POST", &path, b"from before").await?;
	let said: Value = serde_json::from_slice(&refused.body)?;
	assert_eq!((refused.status, &said["error"]), (409, &"NotLeaseHolder".into()), "{said}");
	let answer = stage.keep("/hung", "after").await?;
	assert_eq!(answer["proof"]["worker"], next);
	chain.check_conservation(from).await
}

/// The final blocks in which leases moved.
async fn moved_leases(chain: &Chain, from: u64) -> anyhow::Result<Vec<u64>> {
	let events = chain.events(from).await?;
	let moved = events.into_iter().filter(|event| event.name == "Clusters.LeaseMoved");
	Ok(moved.map(|event| event.block).collect())
}
