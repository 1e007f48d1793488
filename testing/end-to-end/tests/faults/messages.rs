//! A message travels, proven both ways, on real parts: workers of their own beside the cluster, each a
//! process that the test holds.

use anyhow::Context;
use codec::Encode;
use phala_chain_client::{transactions, Chain as Source};
use phala_devnet::{specification, Enclave, Node, Relayer};
use phala_end_to_end::keeper::Stage;
use phala_end_to_end::{
	chain::{answered, answers, probe_and_wait},
	reaches, until,
};
use phala_pherry::{bundle, RelayError};
use phala_protocol::{
	boot::WorkerId,
	mailbox::Channel,
	messages::{Message, RegistryMessage},
	relay::{EnclavePhase, SyncBundle},
};
use subxt_signer::sr25519::dev;

/// Operates the workers: whoever pays must not be in anybody else's way.
const OPERATOR: &str = "//Charlie";

/// A new boot for `worker`, on a machine of its own.
async fn boot(stage: &Stage, worker: WorkerId) -> anyhow::Result<Enclave> {
	let arguments = [
		format!("--software-platform=machine of worker {worker}"),
		"--relay-listen=127.0.0.1:0".into(),
		"--public-listen=127.0.0.1:0".into(),
	];
	let devnet = &stage.network.devnet;
	let name = format!("pruntime of worker {worker}");
	let genesis = devnet.genesis();
	Enclave::start(&devnet.supervisor, &name, genesis, worker, &arguments, &[])?.listening().await
}

async fn relay(stage: &Stage, enclave: &Enclave) -> anyhow::Result<Relayer> {
	let (name, node) = (format!("pherry of {}", enclave.process.name()), node_url(stage)?);
	let supervisor = &stage.network.devnet.supervisor;
	Relayer::start(supervisor, &name, &node, &enclave.relay_url, OPERATOR, 0).await
}

fn node_url(stage: &Stage) -> anyhow::Result<String> {
	Ok(stage.network.devnet.node.as_ref().context("it runs")?.url.clone())
}

pub async fn a_message_travels_both_ways_once_whatever_dies_on_the_way(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let chain = stage.network.chain.clone();
	let worker = chain.register_worker(&dev::charlie()).await?;

	// A worker registers, receives a message and answers it.
	let enclave = boot(stage, worker).await?;
	let relayer = relay(stage, &enclave).await?;
	let first = reaches(&enclave, EnclavePhase::Serving).await?;
	assert_eq!(first.boot, Some(1));
	assert_eq!(probe_and_wait(&chain, worker, [1; 32]).await?, 1);

	// The relayer is killed with a message on its way: the next one carries on.
	relayer.process.kill().await;
	let from = chain.best().await?;
	chain.probe(&dev::bob(), worker, [2; 32]).await?;
	let relayer = relay(stage, &enclave).await?;
	assert_eq!(answered(&chain, worker, [2; 32], from).await?, 1);

	// Killed again between an envelope's making and its confirmation: recorded once all the same.
	let from = chain.best().await?;
	chain.probe(&dev::bob(), worker, [3; 32]).await?;
	until("an envelope in the outbox", || async {
		Ok((enclave.status().await?.queued > 0).then_some(()))
	})
	.await?;
	let old_envelopes = enclave.client()?.envelopes().await?;
	assert!(!old_envelopes.is_empty(), "there is something to say again");
	relayer.process.kill().await;
	let relayer = relay(stage, &enclave).await?;
	answered(&chain, worker, [3; 32], from).await?;
	until("the outbox to be empty", || async {
		Ok((enclave.status().await?.queued == 0).then_some(()))
	})
	.await?;
	assert_eq!(answers(&chain.events(from).await?, worker, [3; 32])?, [1]);

	// Two boots at once: the chain counts the one that registered last.
	let twin = boot(stage, worker).await?;
	let twin_relayer = relay(stage, &twin).await?;
	assert_eq!(reaches(&twin, EnclavePhase::Serving).await?.boot, Some(2));
	reaches(&enclave, EnclavePhase::Retired).await?;
	assert_eq!(probe_and_wait(&chain, worker, [4; 32]).await?, 2);
	assert!(enclave.client()?.envelopes().await?.is_empty());

	// Whatever the first boot ever signed is worth nothing now.
	let source = Source::connect(&node_url(stage)?).await?;
	for envelope in old_envelopes {
		let refused = transactions::submit_envelope(&source, &envelope).await;
		assert!(refused.is_err(), "{refused:?}");
		assert!(format!("{refused:?}").contains("RetiredBoot"), "{refused:?}");
	}

	// The machine restarts: a new boot, since nothing was kept.
	let before = twin.status().await?;
	twin.process.kill().await;
	twin_relayer.process.kill().await;
	drop(relayer);
	let reborn = boot(stage, worker).await?;
	let _relayer = relay(stage, &reborn).await?;
	let after = reaches(&reborn, EnclavePhase::Serving).await?;
	assert_eq!(after.boot, Some(3));
	assert_ne!(after.identity, before.identity);
	assert_eq!(probe_and_wait(&chain, worker, [5; 32]).await?, 3);
	Ok(())
}

/// Brings `bundle` and expects to be refused with `name`; the enclave must not have moved.
async fn lie(enclave: &Enclave, name: &str, bundle: &SyncBundle) -> anyhow::Result<()> {
	let before = enclave.status().await?;
	match enclave.client()?.sync(bundle).await {
		Err(RelayError::EnclaveRefused { name: found, .. }) if found == name => {}
		other => anyhow::bail!("{name} was expected, not {other:?}"),
	}
	anyhow::ensure!(enclave.status().await? == before, "a refused {name} changed the enclave");
	Ok(())
}

pub async fn a_lying_relayer_is_refused_by_name_and_the_honest_one_carries_on(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let chain = stage.network.chain.clone();
	let worker = chain.register_worker(&dev::charlie()).await?;
	let enclave = boot(stage, worker).await?;

	// An enclave takes no other chain for its own.
	let supervisor = &stage.network.devnet.supervisor;
	let kept = specification::kept(supervisor, "local", &specification::cache_folder()?).await?;
	let foreign = [&format!("--chain={}", kept.display()), "--alice", "--validator", "--tmp"];
	let foreign = foreign.map(str::to_owned);
	let foreign_node = Node::start(supervisor, "foreign", &foreign, 0).await?;
	let foreign = Source::connect(&foreign_node.url).await?;
	let mut status = enclave.status().await?;
	status.genesis = foreign.genesis_hash();
	match enclave.client()?.genesis(&bundle::genesis(&foreign, &status).await?).await {
		Err(RelayError::EnclaveRefused { name, .. }) => assert_eq!(name, "ForeignChain"),
		other => anyhow::bail!("a foreign genesis must be refused, not {other:?}"),
	}
	drop(foreign_node);

	let relayer = relay(stage, &enclave).await?;
	reaches(&enclave, EnclavePhase::Serving).await?;
	relayer.process.kill().await;

	// Something to lie about: messages on two channels.
	for n in 1..=3 {
		chain.probe(&dev::bob(), worker, [n; 32]).await?;
	}
	chain.allow_measurement(stage.measurement).await?;
	let source = Source::connect(&node_url(stage)?).await?;
	let honest = until("three probes and an announcement to be final", || async {
		let status = enclave.status().await?;
		let Some(next) = bundle::next_sync(&source, &status).await? else { return Ok(None) };
		let brought: usize = next.bundle.bodies.iter().map(|b| b.messages.len()).sum();
		Ok((brought >= 4).then_some(next.bundle))
	})
	.await?;
	let of = |channel| {
		honest.bodies.iter().position(|bodies| bodies.channel == channel).context("has messages")
	};
	let (probes, announcements) = (of(Channel::Worker(worker))?, of(Channel::System)?);
	let bent = |bend: &dyn Fn(&mut SyncBundle)| {
		let mut bundle = honest.clone();
		bend(&mut bundle);
		bundle
	};

	// The forger: a header that nobody justified.
	let forged = bent(&|b| {
		let last = b.steps.len() - 1;
		b.steps[last].header[40] ^= 1;
	});
	lie(&enclave, "OtherBlockJustified", &forged).await?;

	// The wrong set: a vote by somebody who is not in the set that the enclave follows.
	let wrong_set = bent(&|b| {
		let last = b.steps.len() - 1;
		b.steps[last].justification = with_a_stranger(&b.steps[last].justification);
	});
	lie(&enclave, "UnknownVoter", &wrong_set).await?;

	// The minority: a justification cut down to no votes.
	let unjustified = bent(&|b| {
		let last = b.steps.len() - 1;
		b.steps[last].justification = without_votes(&b.steps[last].justification);
	});
	lie(&enclave, "NotEnoughVotes", &unjustified).await?;

	let mut dropped = honest.clone();
	dropped.bodies[probes].messages.remove(1);
	lie(&enclave, "Missing", &dropped).await?;

	let mut cut = honest.clone();
	cut.bodies[probes].messages.pop();
	lie(&enclave, "HeldBack", &cut).await?;

	let mut reordered = honest.clone();
	reordered.bodies[probes].messages.swap(0, 1);
	lie(&enclave, "Reordered", &reordered).await?;

	let mut repeated = honest.clone();
	let again = repeated.bodies[probes].messages[0].clone();
	repeated.bodies[probes].messages.insert(1, again);
	lie(&enclave, "Repeated", &repeated).await?;

	let mut rewritten = honest.clone();
	rewritten.bodies[probes].messages[0].body =
		Message::Registry(RegistryMessage::Probe { nonce: [66; 32] }).encode();
	lie(&enclave, "Altered", &rewritten).await?;

	// The withholder: one channel in full, the other held back.
	let mut held_back = honest.clone();
	held_back.bodies.remove(announcements);
	lie(&enclave, "HeldBack", &held_back).await?;

	// A smuggler of another chain's messages, on a channel that is not this enclave's.
	let mut smuggled = honest.clone();
	let mut others = smuggled.bodies[probes].clone();
	others.channel = Channel::Worker(worker + 1);
	smuggled.bodies.push(others);
	lie(&enclave, "NotFollowed", &smuggled).await?;

	let unproven = bent(&|b| b.state_proof.clear());
	lie(&enclave, "ProofIncomplete", &unproven).await?;

	// The honest relayer carries on: all three are answered, once each.
	let from = 0;
	let _relayer = relay(stage, &enclave).await?;
	for n in 1..=3 {
		answered(&chain, worker, [n; 32], from).await?;
	}
	// The bundle that was honest then is old now.
	until("the enclave to be past the bundle", || async {
		let status = enclave.status().await?;
		Ok((status.queued == 0).then_some(()))
	})
	.await?;
	lie(&enclave, "NotNewer", &honest).await?;
	for n in 1..=3 {
		assert_eq!(answers(&chain.events(from).await?, worker, [n; 32])?, [1]);
	}
	Ok(())
}

/// A justification's round and target, with no votes and no ancestry.
fn without_votes(justification: &[u8]) -> Vec<u8> {
	// round: u64, target hash: 32 bytes, target number: u32; then the votes.
	let mut bytes = justification[..8 + 32 + 4].to_vec();
	bytes.extend([0, 0]);
	bytes
}

/// A justification whose first vote names another voter.
fn with_a_stranger(justification: &[u8]) -> Vec<u8> {
	// After round and target: a count of one byte (there are few), then for each vote its target
	// (36 bytes), the signature (64 bytes) and the voter (32 bytes).
	let mut bytes = justification.to_vec();
	let voter = 8 + 36 + 1 + 36 + 64;
	bytes[voter] ^= 1;
	bytes
}
