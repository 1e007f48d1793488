//! Four validators, whose chain votes: one is stopped, another takes new keys.

use anyhow::Context;
use codec::Decode;
use phala_chain_client::Chain as Source;
use phala_devnet::{specification, Enclave, Folder, Node, Relayer, Supervisor};
use phala_end_to_end::{
	cases,
	chain::{probe_and_wait, Chain},
	measurement, reaches, supervisor,
	trials::{self, Stage},
	until,
};
use phala_protocol::{relay::EnclavePhase, storage_keys};
use std::process::ExitCode;
use subxt_signer::sr25519::dev;

/// Of a relayer and its worker.
const OPERATOR: &str = "//Alice";

struct Validators {
	nodes: Vec<Node>,
	supervisor: Supervisor,
	_folder: Folder,
}

impl Stage for Validators {
	/// Of one chain, connected with each other.
	async fn start() -> anyhow::Result<Self> {
		let folder = Folder::new(&std::env::temp_dir())?;
		let supervisor = supervisor(folder.path())?;
		let cache = specification::cache_folder()?;
		let kept = specification::kept(&supervisor, "local", &cache).await?;
		let chain = format!("--chain={}", kept.display());
		let alice = start(&supervisor, "alice", std::slice::from_ref(&chain)).await?;
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
		Ok(Self { nodes: vec![alice, bob, charlie, dave], supervisor, _folder: folder })
	}

	fn last_words(&self) -> String {
		let said = self.nodes.iter().map(|node| &node.process);
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
		cases![with_one_of_four_stopped_messages_go_on_and_a_new_set_is_followed],
	)
}

async fn with_one_of_four_stopped_messages_go_on_and_a_new_set_is_followed(
	stage: &mut Validators,
) -> anyhow::Result<()> {
	let Validators { nodes, supervisor, .. } = stage;
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
