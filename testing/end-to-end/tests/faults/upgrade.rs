//! The chain's runtime becomes another one, by a vote, while everybody works.

use anyhow::{ensure, Context};
use phala_chain_client::{accounts, Chain as Source, Sender};
use phala_devnet::Node;
use phala_end_to_end::keeper::Stage;
use phala_end_to_end::{
	chain::hash,
	until,
	upgrades::{upgraded_at, Code, Seen},
};
use phala_protocol::relay::paths;
use serde_json::Value;
use subxt_signer::sr25519::dev;

/// A node that only follows: it makes no block, and so meets the new runtime in others' blocks.
async fn follower(stage: &Stage, validator: &Source) -> anyhow::Result<Node> {
	let supervisor = &stage.network.devnet.supervisor;
	let addresses: Vec<String> =
		validator.request("system_localListenAddresses", Default::default()).await?;
	let boot_node = addresses
		.into_iter()
		.find(|address| address.starts_with("/ip4/127.0.0.1/tcp/") && address.contains("/p2p/"))
		.context("the validator listens on loopback")?;
	let arguments = [
		format!("--chain={}", supervisor.folder().join("chain.json").display()),
		format!("--bootnodes={boot_node}"),
		"--tmp".into(),
	];
	let node = Node::start(supervisor, "follower", &arguments, 0).await?;
	let source = Source::connect(&node.url).await?;
	let head = validator.finalized().await?;
	until("the follower to have all blocks", || async {
		Ok((source.finalized().await? >= head).then_some(()))
	})
	.await
	.with_context(|| node.process.log().last_lines())?;
	Ok(node)
}

pub async fn a_vote_upgrades_the_runtime_and_nodes_relayers_enclaves_and_a_request_live_through_it(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let chain = stage.network.chain.clone();
	let node = stage.network.devnet.node.as_ref().context("it runs")?.url.clone();
	// Connected before and used after, as relayers and dApps are.
	let source = Source::connect(&node).await?;
	let old_version = source.spec_version(None).await?;
	let before = Seen::after(&chain, chain.best().await?).await?;
	let code = Code::rehearsal()?;
	let (follower, ()) =
		tokio::try_join!(follower(stage, &source), chain.vote_for_upgrade(code.hash()))?;

	// A paid request is on its way: its holder has heard of it, and cannot say so.
	let holder = stage.network.devnet.worker(stage.holder().await?)?;
	let relay = holder.relay.as_ref().context("a proxy stands before it")?;
	relay.refuse(&format!("GET {}", paths::ENVELOPES));
	let from = chain.best().await?;
	let ask = ["call", &stage.agent, "/upgrade", "--on-chain", "--no-wait", "--data", "in flight"];
	let asked = stage.network.phala.ok(&ask).await?;
	let request = hash(&asked["request"])?;

	code.bring(&source).await?;
	until("a block with the new runtime", || async {
		Ok((source.spec_version(None).await? != old_version).then_some(()))
	})
	.await?;
	relay.heal();
	// Nothing of it is final yet, and signatures are for a final block's runtime: who sends now is
	// refused for it, and signs anew.
	let sender = Sender::new(&source, dev::bob());
	let to = dev::ferdie().public_key().0;
	sender.send(accounts::transfer_keep_alive(to, 1_000_000_000_000)).await?;

	let (block, settled) = chain.settled(from, request).await?;
	let upgraded_at = upgraded_at(&source, from, old_version).await?;
	ensure!(block >= upgraded_at, "answered at {block}, before the upgrade at {upgraded_at}");
	ensure!(!settled.failed && settled.worker_paid > 0, "{settled:?}");

	// Nobody sees the new code on a state that is not migrated; and the migration ran once.
	assert_eq!(Seen::after(&chain, upgraded_at - 1).await?, before);
	let migrated = before.rehearsed(upgraded_at)?;
	assert_eq!(Seen::after(&chain, upgraded_at).await?, migrated);
	assert_eq!(Seen::after(&chain, chain.best().await?).await?, migrated);

	// Who only follows came to the same.
	let followed = Source::connect(&follower.url).await?;
	let next = u32::try_from(upgraded_at)?;
	until("the follower to be past the upgrade", || async {
		Ok((followed.finalized().await? > next).then_some(()))
	})
	.await
	.with_context(|| follower.process.log().last_lines())?;
	assert_eq!(followed.block_hash(next).await?, source.block_hash(next).await?);
	let version = followed.spec_version(None).await?;
	ensure!(version > old_version, "{version} is newer than {old_version}");
	drop(follower);

	// Every enclave, the gatekeeper's too, was led past it by the relayer that it had.
	for worker in &stage.network.devnet.workers {
		until(&format!("worker {} to be past the upgrade", worker.id()), || async {
			Ok((worker.enclave.status().await?.height > next).then_some(()))
		})
		.await
		.with_context(|| worker.enclave.process.log().last_lines())?;
	}
	stage.network.devnet.check()?;

	// And callers go on: directly, and paid, with proofs from block 0 over the upgrade.
	let ask = ["call", &stage.agent, "/upgrade", "--data", "directly"];
	let answer = stage.network.phala.ok(&ask).await?;
	assert_eq!(answer["verified"], true, "{answer:#}");
	stage.keep("/upgrade", "after").await?;
	let everybody = stage.network.worker_ids();
	stage.network.in_step(&stage.agent, &everybody).await?;
	for worker in everybody {
		let kept = stage.kept_at(worker, "/upgrade").await?;
		assert_eq!(kept, Value::from("AFTER"), "at worker {worker}");
	}

	// And so does a new boot, which registers and reads its state under the new runtime.
	let holder = stage.holder().await?;
	let ids = stage.network.worker_ids();
	let worker = ids.into_iter().find(|id| *id != holder).context("another member")?;
	stage.network.devnet.restart_worker(worker).await?;
	stage.ready_at(worker).await?;
	assert_eq!(stage.kept_at(worker, "/upgrade").await?, "AFTER");
	chain.check_conservation(from).await
}
