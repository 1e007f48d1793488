//! Four validators, whose chain votes: one is stopped, another takes new keys. Further nodes join: an
//! archive, one that prunes, one that takes the short way by warp sync; and the archive's database is
//! worked on.

use anyhow::{ensure, Context};
use codec::Decode;
use phala_chain_client::{validators, Chain as Source};
use phala_devnet::{specification, Enclave, Folder, Node, Relayer, Supervisor};
use phala_end_to_end::{
	cases,
	chain::{probe_and_wait, unhex, Chain},
	cli::{Phala, Said},
	measurement, metrics, own_folder, reaches, supervisor,
	trials::{self, Stage},
	until, PATIENCE,
};
use phala_protocol::{relay::EnclavePhase, storage_keys, BlockNumber};
use serde_json::Value;
use std::{cell::RefCell, path::PathBuf, process::ExitCode};
use subxt::rpcs::rpc_params;
use subxt_signer::sr25519::dev;

/// Of a relayer and its worker.
const OPERATOR: &str = "//Alice";

struct Validators {
	nodes: Vec<Node>,
	/// Has all blocks and states; there from its case on.
	archive: Option<Node>,
	/// What every further node of this chain is given.
	join: Vec<String>,
	supervisor: Supervisor,
	folder: Folder,
}

impl Validators {
	/// A node that does not validate, with a database that is there after it.
	async fn joined_by(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Node> {
		let own = [format!("--base-path={}", self.database(name).display())];
		let arguments = arguments.iter().map(|argument| (*argument).to_owned());
		let all: Vec<_> = own.into_iter().chain(self.join.clone()).chain(arguments).collect();
		Node::start(&self.supervisor, name, &all, 0).await
	}

	fn database(&self, name: &str) -> PathBuf {
		self.folder.path().join(name)
	}

	/// Runs a command of the node on a database that no node has open.
	async fn command(&self, database: &str, arguments: &[&str]) -> anyhow::Result<Said> {
		let base = format!("--base-path={}", self.database(database).display());
		let (command, further) = arguments.split_first().context("it is a command")?;
		let chain = self.join.first().context("they are of one chain")?;
		let all = [&[*command, &base, chain], further].concat();
		let node = self.supervisor.binary("phala-node")?;
		let running = self.supervisor.run(&node, &all, &[], self.folder.path(), PATIENCE);
		Ok(Said::of(running.await?))
	}

	/// What `chain-info` says of the archive's database, or of one that was made like it.
	async fn info(&self, database: &str) -> anyhow::Result<Value> {
		let said = self.command(database, &[&["chain-info"], &ARCHIVE[..]].concat()).await?;
		ensure!(said.code == Some(0), "{}", said.stderr);
		Ok(serde_json::from_str(&said.stdout)?)
	}
}

/// Keeps all states and all blocks.
const ARCHIVE: [&str; 2] = ["--state-pruning=archive", "--blocks-pruning=archive"];

impl Stage for Validators {
	/// Of one chain, connected with each other.
	async fn start() -> anyhow::Result<Self> {
		let folder = Folder::new(&std::env::temp_dir())?;
		let supervisor = supervisor(folder.path())?;
		let cache = specification::cache_folder()?;
		let kept = specification::kept(&supervisor, "local", &cache).await?;
		let chain = format!("--chain={}", kept.display());
		// One of them says how it goes.
		let alice = [chain.clone(), "--prometheus-port=0".into()];
		let alice = start(&supervisor, "alice", &alice).await?;
		let source = Source::connect(&alice.url).await?;
		let addresses: Vec<String> =
			source.request("system_localListenAddresses", Default::default()).await?;
		let boot_node = addresses
			.into_iter()
			.find(|address| address.starts_with("/ip4/127.0.0.1/tcp/") && address.contains("/p2p/"))
			.context("alice listens on loopback")?;
		let further = [chain, format!("--bootnodes={boot_node}")];
		let (bob, charlie, dave) = tokio::try_join!(
			start(&supervisor, "bob", &further),
			start(&supervisor, "charlie", &further),
			start(&supervisor, "dave", &further),
		)?;
		let nodes = vec![alice, bob, charlie, dave];
		Ok(Self { nodes, archive: None, join: further.into(), supervisor, folder })
	}

	fn last_words(&self) -> String {
		let said = self.nodes.iter().chain(&self.archive).map(|node| &node.process);
		said.map(|node| format!("{} wrote last:{}\n", node.name(), node.log().last_lines()))
			.collect()
	}
}

async fn start(supervisor: &Supervisor, name: &str, further: &[String]) -> anyhow::Result<Node> {
	let own = [format!("--{name}"), "--validator".into(), "--tmp".into()];
	Node::start(supervisor, name, &[&own[..], further].concat(), 0).await
}

fn main() -> ExitCode {
	trials::run(
		"validators",
		cases![
			with_one_of_four_stopped_messages_go_on_and_a_new_set_is_followed,
			an_archive_a_pruned_and_a_warp_synced_node_join_and_have_what_they_say,
			metrics_say_what_the_pallets_hold_and_the_board_draws_only_what_is_exported,
			a_database_is_checked_exported_imported_and_reverted,
		],
	)
}

async fn with_one_of_four_stopped_messages_go_on_and_a_new_set_is_followed(
	stage: &mut Validators,
) -> anyhow::Result<()> {
	let Validators { nodes, supervisor, folder, .. } = stage;
	let alice = nodes[0].url.clone();
	let chain = Chain::connect(&alice).await?;
	// Nobody's key rules this chain.
	chain.vote_for_measurement(measurement(supervisor).await?).await?;
	let worker = chain.register_worker(&dev::alice()).await?;
	let arguments =
		["--relay-listen=127.0.0.1:0", "--public-listen=127.0.0.1:0"].map(str::to_owned);
	let enclave = Enclave::start(supervisor, "pruntime", chain.genesis(), worker, &arguments, &[])?;
	let enclave = enclave.listening().await?;
	let relaying = Relayer::start(supervisor, "pherry", &alice, &enclave.relay_url, OPERATOR, 0);
	let _relayer = relaying.await?;
	reaches(&enclave, EnclavePhase::Serving).await?;

	let dave = nodes.pop().context("four validators")?;
	dave.process.kill().await;
	probe_and_wait(&chain, worker, [1; 32]).await?;

	// Alice takes new session keys: after two sessions GRANDPA hands over to a new set.
	let source = Source::connect(&alice).await?;
	let set_id = |source: Source| async move {
		let best = source.header(None).await?.0;
		let value = source.values(best, &[storage_keys::grandpa_current_set_id()]).await?;
		Ok::<_, anyhow::Error>(match &value[0] {
			Some(bytes) => u64::decode(&mut &bytes[..])?,
			None => 0,
		})
	};
	let before = set_id(source.clone()).await?;
	let phala = Phala {
		supervisor: supervisor.clone(),
		node: alice.clone(),
		home: folder.path().join("callers"),
		account: "//Alice".into(),
	};
	let rotated = phala.ok(&["validator", "rotate-keys"]).await?;
	let keys = unhex(rotated["sessionKeys"].as_str().context("it has session keys")?)?;
	ensure!(validators::has_session_keys(&source, &keys).await?, "{rotated}");
	let bob = Source::connect(&nodes[1].url).await?;
	ensure!(!validators::has_session_keys(&bob, &keys).await?, "they are of no other node");
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

/// Whether a node can read the state after a block.
async fn has_state(node: &Source, block: BlockNumber) -> anyhow::Result<bool> {
	let hash = node.block_hash(block).await?.with_context(|| format!("there is block {block}"))?;
	// `:code`, as every state has it; only how long it is, so that little is sent.
	let asked = node.request::<u64>("state_getStorageSize", rpc_params!["0x3a636f6465", hash]);
	Ok(asked.await.is_ok())
}

/// Whether a node has the body of a block.
async fn has_body(node: &Source, block: BlockNumber) -> anyhow::Result<bool> {
	let hash = node.block_hash(block).await?.with_context(|| format!("there is block {block}"))?;
	Ok(!node.request::<Value>("chain_getBlock", rpc_params![hash]).await?.is_null())
}

async fn an_archive_a_pruned_and_a_warp_synced_node_join_and_have_what_they_say(
	stage: &mut Validators,
) -> anyhow::Result<()> {
	/// States that the pruned node keeps behind the newest final one; bodies too.
	const KEPT: BlockNumber = 16;
	let alice = Source::connect(&stage.nodes[0].url).await?;
	let head = until("anything to be pruned", || async {
		let head = alice.finalized().await?;
		Ok((head > 2 * KEPT).then_some(head))
	})
	.await?;
	let archive_arguments = [&ARCHIVE[..], &["--prometheus-port=0", "--offchain-worker=always"]];
	let archive = stage.joined_by("archive", &archive_arguments.concat()).await?;
	let pruning = ["--state-pruning=16", "--blocks-pruning=16"];
	let pruned = stage.joined_by("pruned", &pruning).await?;
	let mut warped = stage.joined_by("warped", &["--sync=warp"]).await?;
	warped.process.line_after("Warp sync is complete").await?;

	for (node, name) in [(&archive, "archive"), (&pruned, "pruned"), (&warped, "warped")] {
		let source = Source::connect(&node.url).await?;
		until(&format!("{name} to follow"), || async {
			let finalized = source.finalized().await?;
			// What is pruned goes when blocks become final.
			let follows = finalized > head && has_state(&source, finalized).await?;
			Ok(follows.then_some(()))
		})
		.await
		.with_context(|| node.process.log().last_lines())?;
		let genesis = source.genesis_hash();
		ensure!(genesis == alice.genesis_hash(), "{name} follows another chain: {genesis:?}");
	}

	let source = Source::connect(&archive.url).await?;
	ensure!(has_state(&source, 1).await? && has_body(&source, 1).await?, "an archive has all");
	let source = Source::connect(&pruned.url).await?;
	until("the first blocks to be pruned", || async {
		Ok((!has_state(&source, 1).await? && !has_body(&source, 1).await?).then_some(()))
	})
	.await?;
	// It executed none of the first blocks, and fetches them without their states.
	let source = Source::connect(&warped.url).await?;
	ensure!(!has_state(&source, head / 2).await.unwrap_or(false), "it did not take the short way");

	stage.archive = Some(archive);
	Ok(())
}

async fn metrics_say_what_the_pallets_hold_and_the_board_draws_only_what_is_exported(
	stage: &mut Validators,
) -> anyhow::Result<()> {
	let archive = stage.archive.as_mut().context("the archive is there")?;
	let (archive, validator) =
		(archive.metrics_address().await?, stage.nodes[0].metrics_address().await?);
	// The worker of the first case, in both states that the two nodes are at.
	for node in [&archive, &validator] {
		let last = RefCell::new(String::new());
		until("the worker in the metrics", || async {
			let page = metrics::page(node).await?;
			last.replace(
				page.lines().filter(|line| line.contains("phala_")).collect::<Vec<_>>().join("\n"),
			);
			let value = |name| metrics::value(&page, &format!("phala_{name}"));
			let all = [
				value("metrics_readable") == Some(1.0),
				value("workers") == Some(1.0),
				value("workers_in_force") == Some(1.0),
				value("worker_stake_pha") == Some(1_000.0),
				value("requests_open") == Some(0.0),
				metrics::value(&page, r#"channel="workers""#).is_some_and(|head| head >= 2.0),
				metrics::value(&page, r#"task_name="offchain-on-block""#)
					.is_some_and(|runs| runs >= 1.0),
			];
			Ok(all.iter().all(|fine| *fine).then_some(()))
		})
		.await
		.with_context(|| last.borrow().clone())?;
	}

	let page = metrics::page(&validator).await?;
	let board = std::fs::read_to_string(own_folder().join("../../docs/grafana.json"))?;
	let drawn = metrics::drawn(&serde_json::from_str(&board)?);
	ensure!(drawn.iter().filter(|name| name.starts_with("phala_")).count() > 10);
	let missing: Vec<_> = drawn.iter().filter(|name| !metrics::is_exported(&page, name)).collect();
	ensure!(missing.is_empty(), "docs/grafana.json draws what no node exports: {missing:?}");
	Ok(())
}

async fn a_database_is_checked_exported_imported_and_reverted(
	stage: &mut Validators,
) -> anyhow::Result<()> {
	let mut archive = stage.archive.take().context("the archive is there")?;
	archive.process.terminate();
	archive.process.ended(PATIENCE).await?;
	let number = |info: &Value, name: &str| info[name].as_u64().context("a block has a number");

	let info = stage.info("archive").await?;
	let (best, finalized) = (number(&info, "best_number")?, number(&info, "finalized_number")?);
	let genesis = Source::connect(&stage.nodes[0].url).await?.genesis_hash();
	assert_eq!(info["genesis_hash"], format!("{genesis:?}"));

	let check = async |block: u64| {
		let block = block.to_string();
		let arguments = [&["check-block", &block], &ARCHIVE[..]].concat();
		stage.command("archive", &arguments).await
	};
	let checked = check(finalized).await?;
	ensure!(checked.code == Some(0), "{}", checked.stderr);
	let unknown = check(best + 1_000_000).await?;
	ensure!(unknown.code != Some(0), "there is no such block: {}", unknown.stdout);

	let blocks = stage.database("blocks").display().to_string();
	let to = format!("--to={finalized}");
	let exporting = [&["export-blocks", &blocks, &to, "--binary"], &ARCHIVE[..]].concat();
	let exported = stage.command("archive", &exporting).await?;
	ensure!(exported.code == Some(0), "{}", exported.stderr);
	let importing = [&["import-blocks", &blocks, "--binary"], &ARCHIVE[..]].concat();
	let imported = stage.command("imported", &importing).await?;
	ensure!(imported.code == Some(0), "{}", imported.stderr);
	let copy = stage.info("imported").await?;
	assert_eq!(number(&copy, "best_number")?, finalized);
	assert_eq!(copy["best_hash"], info["finalized_hash"]);
	assert_eq!(copy["genesis_hash"], info["genesis_hash"]);

	// What is final is never given up, however much is asked for.
	let reverting = [&["revert", "1000"], &ARCHIVE[..]].concat();
	let reverted = stage.command("archive", &reverting).await?;
	ensure!(reverted.code == Some(0), "{}", reverted.stderr);
	let info = stage.info("archive").await?;
	assert_eq!(number(&info, "best_number")?, finalized);
	assert_eq!(number(&info, "finalized_number")?, finalized);

	// And it goes on from there.
	let archive = stage.joined_by("archive", &ARCHIVE).await?;
	let source = Source::connect(&archive.url).await?;
	until("the archive to follow again", || async {
		Ok((u64::from(source.finalized().await?) > best).then_some(()))
	})
	.await
	.with_context(|| archive.process.log().last_lines())?;
	Ok(())
}
