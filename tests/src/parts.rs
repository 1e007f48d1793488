//! Node, enclave and relayer as processes.

use crate::{
	chain::Chain,
	process::{binary, Process},
	until,
};
use anyhow::Context;
use phala_pherry::enclave::EnclaveClient;
use phala_protocol::{
	boot::WorkerId,
	relay::{EnclavePhase, EnclaveStatus},
	H256,
};
use std::path::{Path, PathBuf};
use subxt::dynamic::Value;
use subxt_signer::sr25519::dev;

fn owned(arguments: &[&str]) -> Vec<String> {
	arguments.iter().map(|argument| argument.to_string()).collect()
}

/// What `--dev` is short for, beside the chain.
const DEVELOPMENT: [&str; 4] = ["--alice", "--validator", "--force-authoring", "--rpc-cors=all"];

/// The development chain's specification with its genesis state built, which takes the node most of
/// a start: once for each binary.
async fn development_chain() -> anyhow::Result<PathBuf> {
	let node = binary("phala-node")?;
	let made = node.metadata()?;
	let changed = made.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_nanos();
	let name = format!("dev-chain-{}-{changed}.json", made.len());
	let file = node.with_file_name("end-to-end").join(name);
	if file.exists() {
		return Ok(file);
	}
	let folder = file.parent().context("it is in a folder")?;
	// Of binaries that are no more.
	let _ = std::fs::remove_dir_all(folder);
	std::fs::create_dir_all(folder)?;
	let new = folder.join(format!("new-{}", std::process::id()));
	let arguments = ["export-chain-spec", "--chain=dev", "--raw", "--output"];
	let arguments = [&owned(&arguments)[..], &[new.display().to_string()]].concat();
	let mut exporting = Process::start("phala-node", "exporting", &arguments)?;
	let code = exporting.ended().await?;
	anyhow::ensure!(code == Some(0), "no specification:\n{}", exporting.log());
	// Under its name it is never seen half written.
	std::fs::rename(&new, &file)?;
	Ok(file)
}

/// A chain node.
pub struct Node {
	pub process: Process,
	/// Its JSON-RPC, over websocket.
	pub url: String,
}

impl Node {
	async fn start(name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
		Self::start_with(name, &[&["--tmp"], arguments].concat(), &[]).await
	}

	async fn start_with(
		name: &str,
		arguments: &[&str],
		variables: &[(&str, &str)],
	) -> anyhow::Result<Self> {
		let mut all = owned(arguments);
		all.extend(owned(&[
			"--rpc-port=0",
			"--no-prometheus",
			"--no-telemetry",
			"--no-mdns",
			"--listen-addr=/ip4/127.0.0.1/tcp/0",
			// A throw-away node has no key file.
			"--unsafe-force-node-key-generation",
		]));
		let mut process = Process::start_with("phala-node", name, &all, variables)?;
		let line = process.line_after("Running JSON-RPC server: addr=").await?;
		let address = line.split(',').next().context("an address follows")?.to_string();
		Ok(Self { process, url: format!("ws://{address}") })
	}

	/// One validator, its own chain. Its pool bans no transaction.
	pub async fn dev() -> anyhow::Result<Self> {
		Self::start("dev", &["--dev"]).await
	}

	/// One validator, its own chain, with all that it writes in `folder`, and with the pool of a
	/// production node.
	pub async fn dev_in(folder: &Path) -> anyhow::Result<Self> {
		let folder = folder.display().to_string();
		let base = format!("--base-path={folder}/node");
		let chain = format!("--chain={}", development_chain().await?.display());
		let arguments = [&DEVELOPMENT[..], &[&chain, &base]].concat();
		Self::start_with("dev", &arguments, &[("TMPDIR", &folder)]).await
	}

	/// One validator of four, alone: a chain with another genesis.
	pub async fn foreign() -> anyhow::Result<Self> {
		Self::start("alice", &["--chain=local", "--alice", "--validator"]).await
	}

	/// Four validators of one chain, connected with each other.
	pub async fn four() -> anyhow::Result<Vec<Self>> {
		let alice = Self::start("alice", &["--chain=local", "--alice", "--validator"]).await?;
		let chain = phala_chain_client::Chain::connect(&alice.url).await?;
		let addresses: Vec<String> =
			chain.request("system_localListenAddresses", Default::default()).await?;
		let boot_node = addresses
			.into_iter()
			.find(|address| address.starts_with("/ip4/127.0.0.1/tcp/") && address.contains("/p2p/"))
			.context("alice listens on loopback")?;
		let mut nodes = vec![alice];
		for name in ["bob", "charlie", "dave"] {
			let (key, boot) = (format!("--{name}"), format!("--bootnodes={boot_node}"));
			let arguments = ["--chain=local", &key, "--validator", &boot];
			nodes.push(Self::start(name, &arguments).await?);
		}
		Ok(nodes)
	}

	/// A connection to it.
	pub async fn connect(&self) -> anyhow::Result<Chain> {
		Chain::connect(&self.url).await
	}
}

/// A pruntime process: one boot.
pub struct Enclave {
	pub process: Process,
	pub relay_url: String,
	pub public_url: String,
}

impl Enclave {
	/// A new boot for `worker`, on a pretended machine of the worker's own.
	pub async fn boot(genesis: H256, worker: WorkerId) -> anyhow::Result<Self> {
		Self::boot_with(genesis, worker, &[], &[]).await
	}

	/// The same with further arguments, and variables of its own.
	pub async fn boot_with(
		genesis: H256,
		worker: WorkerId,
		further: &[&str],
		variables: &[(&str, &str)],
	) -> anyhow::Result<Self> {
		let arguments = [
			&format!("--genesis={genesis:?}"),
			&format!("--worker={worker}"),
			&format!("--software-platform=machine of worker {worker}"),
			"--relay-listen=127.0.0.1:0",
			"--public-listen=127.0.0.1:0",
		];
		let arguments = owned(&[&arguments[..], further].concat());
		let name = format!("pruntime of worker {worker}");
		let mut process = Process::start_with("pruntime", &name, &arguments, variables)?;
		let relay_url = process.line_after("relay ").await?;
		let public_url = process.line_after("public ").await?;
		Ok(Self { process, relay_url, public_url })
	}

	/// What this binary measures.
	pub async fn measurement() -> anyhow::Result<H256> {
		let mut process =
			Process::start("pruntime", "measuring", &owned(&["--print-measurement"]))?;
		process.ended().await?;
		let hex = process.line_after("0x").await?;
		let bytes = crate::chain::unhex(&hex)?;
		anyhow::ensure!(bytes.len() == 32, "a measurement has 32 bytes");
		Ok(H256::from_slice(&bytes))
	}

	/// Its relay server.
	pub fn client(&self) -> anyhow::Result<EnclaveClient> {
		Ok(EnclaveClient::new(&self.relay_url)?)
	}

	/// Where it stands.
	pub async fn status(&self) -> anyhow::Result<EnclaveStatus> {
		Ok(self.client()?.status().await?)
	}

	/// Waits until it is in `phase`; where it stands then.
	pub async fn reaches(&self, phase: EnclavePhase) -> anyhow::Result<EnclaveStatus> {
		until(&format!("phase {phase:?}"), || async {
			let status = self.status().await?;
			Ok((status.phase == phase).then_some(status))
		})
		.await
		.with_context(|| self.process.log())
	}
}

/// A pherry process.
pub struct Relayer {
	pub process: Process,
}

impl Relayer {
	/// Between `node` and `enclave`, paying as `operator` (a secret URI).
	pub fn start(node: &Node, enclave: &Enclave, operator: &str) -> anyhow::Result<Self> {
		Self::between(&node.url, &enclave.relay_url, operator, &[])
	}

	/// The same by their addresses, with variables of its own.
	pub fn between(
		node: &str,
		enclave: &str,
		operator: &str,
		variables: &[(&str, &str)],
	) -> anyhow::Result<Self> {
		let arguments = [
			format!("--node={node}"),
			format!("--enclave={enclave}"),
			format!("--operator={operator}"),
		];
		let name = format!("pherry of {operator}");
		Ok(Self { process: Process::start_with("pherry", &name, &arguments, variables)? })
	}
}

/// Lets this build of pruntime register on a development chain.
pub async fn allow_this_pruntime(chain: &Chain) -> anyhow::Result<()> {
	let measurement = Enclave::measurement().await?;
	let fields = vec![Value::from_bytes(measurement.0)];
	chain.sudo(&dev::alice(), "Registry", "allow_measurement", fields).await
}
