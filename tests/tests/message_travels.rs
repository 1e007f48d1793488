//! Milestone 1: a message travels, proven both ways, on real parts.
//!
//! The tests take turns: each runs whole networks, and there may be two cores.

use anyhow::Context;
use codec::{Decode, Encode};
use phala_chain_client::{transactions, Chain as Source};
use phala_end_to_end::{
	chain::{Chain, Event},
	parts::{allow_this_pruntime, Enclave, Node, Relayer},
	until,
};
use phala_pherry::{bundle, RelayError};
use phala_protocol::{
	boot::{BootNumber, WorkerId},
	mailbox::Channel,
	messages::{Message, RegistryMessage},
	relay::{EnclavePhase, SyncBundle},
	storage_keys,
};
use subxt_signer::sr25519::dev;
use tokio::sync::Mutex;

static TURN: Mutex<()> = Mutex::const_new(());

/// How often the chain recorded the answer to a probe, and by which boot.
fn answers(events: &[Event], worker: WorkerId, nonce: [u8; 32]) -> anyhow::Result<Vec<BootNumber>> {
	let mut boots = Vec::new();
	for event in events.iter().filter(|event| event.name == "Registry.ProbeAnswered") {
		let (of, boot, answered) = event.decode::<(WorkerId, BootNumber, [u8; 32])>()?;
		if (of, answered) == (worker, nonce) {
			boots.push(boot);
		}
	}
	Ok(boots)
}

/// Probes a worker and waits for the answer on the chain; the boot that gave it.
async fn probe_and_wait(
	chain: &Chain,
	worker: WorkerId,
	nonce: [u8; 32],
) -> anyhow::Result<BootNumber> {
	let from = chain.best().await?;
	chain.probe(&dev::bob(), worker, nonce).await?;
	answered(chain, worker, nonce, from).await
}

async fn answered(
	chain: &Chain,
	worker: WorkerId,
	nonce: [u8; 32],
	from: u64,
) -> anyhow::Result<BootNumber> {
	until("the probe's answer on the chain", || async {
		Ok(answers(&chain.events(from).await?, worker, nonce)?.first().copied())
	})
	.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_travels_both_ways_once_whatever_dies_on_the_way() -> anyhow::Result<()> {
	let _turn = TURN.lock().await;
	let node = Node::dev().await?;
	let chain = node.connect().await?;
	allow_this_pruntime(&chain).await?;
	let worker = chain.register_worker(&dev::alice()).await?;

	// A worker registers, receives a message and answers it.
	let enclave = Enclave::boot(chain.genesis(), worker).await?;
	let relayer = Relayer::start(&node, &enclave, "//Alice")?;
	let first = enclave.reaches(EnclavePhase::Serving).await?;
	assert_eq!(first.boot, Some(1));
	assert_eq!(probe_and_wait(&chain, worker, [1; 32]).await?, 1);

	// The relayer is killed with a message on its way: the next one carries on.
	relayer.process.kill().await?;
	let from = chain.best().await?;
	chain.probe(&dev::bob(), worker, [2; 32]).await?;
	let relayer = Relayer::start(&node, &enclave, "//Alice")?;
	assert_eq!(answered(&chain, worker, [2; 32], from).await?, 1);

	// Killed again between an envelope's making and its confirmation: recorded once all the same.
	let from = chain.best().await?;
	chain.probe(&dev::bob(), worker, [3; 32]).await?;
	until("an envelope in the outbox", || async {
		Ok((enclave.status().await?.queued > 0).then_some(()))
	})
	.await?;
	let old_envelopes = enclave.client()?.envelopes().await?;
	relayer.process.kill().await?;
	let relayer = Relayer::start(&node, &enclave, "//Alice")?;
	answered(&chain, worker, [3; 32], from).await?;
	until("the outbox to be empty", || async {
		Ok((enclave.status().await?.queued == 0).then_some(()))
	})
	.await?;
	assert_eq!(answers(&chain.events(from).await?, worker, [3; 32])?, [1]);

	// Two boots at once: the chain counts the one that registered last.
	let twin = Enclave::boot(chain.genesis(), worker).await?;
	let twin_relayer = Relayer::start(&node, &twin, "//Alice")?;
	assert_eq!(twin.reaches(EnclavePhase::Serving).await?.boot, Some(2));
	enclave.reaches(EnclavePhase::Retired).await?;
	assert_eq!(probe_and_wait(&chain, worker, [4; 32]).await?, 2);
	assert!(enclave.client()?.envelopes().await?.is_empty());

	// Whatever the first boot ever signed is worth nothing now.
	let source = Source::connect(&node.url).await?;
	for envelope in old_envelopes {
		let refused = transactions::submit_envelope(&source, &envelope).await;
		assert!(refused.is_err(), "{refused:?}");
		assert!(format!("{refused:?}").contains("RetiredBoot"), "{refused:?}");
	}

	// The machine restarts: a new boot, since nothing was kept.
	let before = twin.status().await?;
	twin.process.kill().await?;
	twin_relayer.process.kill().await?;
	drop(relayer);
	let reborn = Enclave::boot(chain.genesis(), worker).await?;
	let _relayer = Relayer::start(&node, &reborn, "//Alice")?;
	let after = reborn.reaches(EnclavePhase::Serving).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_relayer_is_refused_by_name_and_the_honest_one_carries_on() -> anyhow::Result<()> {
	let _turn = TURN.lock().await;
	let (node, foreign_node) = (Node::dev().await?, Node::foreign().await?);
	let chain = node.connect().await?;
	allow_this_pruntime(&chain).await?;
	let worker = chain.register_worker(&dev::alice()).await?;
	let enclave = Enclave::boot(chain.genesis(), worker).await?;

	// An enclave takes no other chain for its own.
	let foreign = Source::connect(&foreign_node.url).await?;
	let mut status = enclave.status().await?;
	status.genesis = foreign.genesis_hash();
	match enclave.client()?.genesis(&bundle::genesis(&foreign, &status).await?).await {
		Err(RelayError::EnclaveRefused { name, .. }) => assert_eq!(name, "ForeignChain"),
		other => anyhow::bail!("a foreign genesis must be refused, not {other:?}"),
	}

	let relayer = Relayer::start(&node, &enclave, "//Alice")?;
	enclave.reaches(EnclavePhase::Serving).await?;
	relayer.process.kill().await?;

	// Something to lie about: messages on two channels.
	for n in 1..=3 {
		chain.probe(&dev::bob(), worker, [n; 32]).await?;
	}
	allow_this_pruntime(&chain).await?;
	let source = Source::connect(&node.url).await?;
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
	let _relayer = Relayer::start(&node, &enclave, "//Alice")?;
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

#[tokio::test(flavor = "multi_thread")]
async fn with_one_of_four_validators_stopped_messages_go_on_and_a_new_set_is_followed(
) -> anyhow::Result<()> {
	let _turn = TURN.lock().await;
	let mut nodes = Node::four().await?;
	let chain = nodes[0].connect().await?;
	allow_this_pruntime(&chain).await?;
	let worker = chain.register_worker(&dev::alice()).await?;
	let enclave = Enclave::boot(chain.genesis(), worker).await?;
	let _relayer = Relayer::start(&nodes[0], &enclave, "//Alice")?;
	enclave.reaches(EnclavePhase::Serving).await?;

	let dave = nodes.pop().context("four validators")?;
	dave.process.kill().await?;
	probe_and_wait(&chain, worker, [1; 32]).await?;

	// Alice takes new session keys: after two sessions GRANDPA hands over to a new set.
	let source = Source::connect(&nodes[0].url).await?;
	let set_id = |source: Source| async move {
		let best = source.header(None).await?.0;
		let value = source.values(best, &[storage_keys::grandpa_current_set_id()]).await?;
		Ok::<_, anyhow::Error>(match &value[0] {
			Some(bytes) => u64::decode(&mut &bytes[..])?,
			None => 0,
		})
	};
	let before = set_id(source.clone()).await?;
	chain.rotate_session_keys(&source, &dev::alice()).await?;
	let after = until("a hand-over to a new authority set", || async {
		let now = set_id(source.clone()).await?;
		Ok((now > before).then_some(now))
	})
	.await?;
	assert!(after > before);

	let handed_over_at = chain.best().await?;
	until("the enclave to follow the new set", || async {
		Ok((u64::from(enclave.status().await?.height) > handed_over_at).then_some(()))
	})
	.await?;
	probe_and_wait(&chain, worker, [2; 32]).await?;
	Ok(())
}
