//! A network with a gatekeeper and workers, set up by the command line. Everything that passes
//! between its parts passes a tap, and all that they write is in one folder.

use crate::{
	chain::{unhex, Chain},
	cli::Phala,
	parts::{Enclave, Node, Relayer},
	process::{self, Process},
	search::Search,
	tap::Tap,
	until,
};
use anyhow::{ensure, Context};
use phala_protocol::{boot::WorkerId, mailbox::ClusterId, relay::EnclavePhase, H256};
use serde_json::Value;
use std::path::{Path, PathBuf};
use subxt::rpcs::rpc_params;
use tempfile::TempDir;

/// Root, owns the cluster, and is the only validator.
pub const OWNER: &str = "//Alice";
/// Owns the agents.
pub const DEVELOPER: &str = "//Bob";
/// Asks them.
pub const CALLER: &str = "//Eve";
/// Operates the gatekeeper.
const GATEKEEPER: &str = "//Ferdie";
/// Operate the first two workers, in their order.
pub const OPERATORS: [&str; 2] = ["//Charlie", "//Dave"];

/// Agents' own lines have no business in a worker's log, however much it tells.
const PRUNTIME_LOG: &str = "info,phala_pruntime=debug,phala_sandbox=debug,phala_keys=debug";

/// An enclave with its relayer and the taps before its servers.
pub struct Worker {
	pub id: WorkerId,
	pub operator: String,
	pub enclave: Enclave,
	/// `None` while it is stopped.
	pub relayer: Option<Relayer>,
	/// Between its relayer and its relay server.
	pub relay: Tap,
	/// Before its public server; this is the endpoint that the chain knows.
	pub public: Tap,
}

impl Worker {
	/// The public server as others reach it.
	pub fn url(&self) -> String {
		self.public.url("http")
	}

	/// What it says of its agent.
	///
	/// # Errors
	/// When it does not have it.
	pub async fn agent(&self, agent: &str) -> anyhow::Result<Option<Value>> {
		let answer = http(&self.enclave.public_url, "GET", "/v1/agents", &[]).await?;
		let list: Value = serde_json::from_slice(&answer.body)?;
		let agents = list["agents"].as_array().cloned().unwrap_or_default();
		Ok(agents.into_iter().find(|found| found["id"] == agent))
	}
}

/// See the module.
pub struct Network {
	/// `None` once it is stopped.
	pub node: Option<Node>,
	pub chain: Chain,
	pub gatekeeper: Worker,
	pub workers: Vec<Worker>,
	pub cluster: ClusterId,
	/// As [`CALLER`].
	pub phala: Phala,
	/// Between relayers and node.
	pub relayers: Tap,
	/// Between callers and node.
	pub callers: Tap,
	/// What processes wrote that are no more.
	old_logs: Vec<(String, String)>,
	/// What passed before their servers.
	old_taps: Vec<Tap>,
	folder: TempDir,
	/// The callers' machine.
	home: TempDir,
}

impl Network {
	/// A chain, a gatekeeper and two workers in one cluster.
	///
	/// # Errors
	/// What did not work.
	pub async fn start() -> anyhow::Result<Self> {
		let (folder, home) = (tempfile::tempdir()?, tempfile::tempdir()?);
		let node = Node::dev_in(folder.path()).await?;
		let chain = node.connect().await?;
		let relayers = Tap::before("the node, for relayers", &node.url).await?;
		let callers = Tap::before("the node, for callers", &node.url).await?;
		let phala = Phala {
			node: callers.url("ws"),
			home: home.path().into(),
			temporary: home.path().into(),
			account: CALLER.into(),
		};
		let owner = phala.of(OWNER);
		let pruntime = process::binary("pruntime")?.display().to_string();
		let preparing = async {
			let allow =
				["worker", "allow-measurement", "--node", &owner.node, "--pruntime", &pruntime];
			owner.ok(&allow).await?;
			let made = owner.ok(&["cluster", "create"]).await?;
			number(&made["cluster"])
		};
		let [first, second] = OPERATORS;
		let (cluster, gatekeeper, first_worker, second_worker) = tokio::try_join!(
			preparing,
			register_worker(&phala, GATEKEEPER),
			register_worker(&phala, first),
			register_worker(&phala, second),
		)?;
		let (node_url, genesis) = (relayers.url("ws"), chain.genesis());
		let (gatekeeper, first, second) = tokio::try_join!(
			boot(folder.path(), genesis, &node_url, gatekeeper, GATEKEEPER, &[]),
			boot(folder.path(), genesis, &node_url, first_worker, first, &[]),
			boot(folder.path(), genesis, &node_url, second_worker, second, &[]),
		)?;
		let operator = phala.of(GATEKEEPER);
		let applying =
			async { operator.ok(&["gatekeeper", "apply", &gatekeeper.id.to_string()]).await };
		tokio::try_join!(applying, join(&phala, cluster, &first), join(&phala, cluster, &second))?;
		owner.ok(&["gatekeeper", "seat", &gatekeeper.id.to_string()]).await?;
		let network = Self {
			node: Some(node),
			chain,
			gatekeeper,
			workers: vec![first, second],
			cluster,
			phala,
			relayers,
			callers,
			old_logs: Vec::new(),
			old_taps: Vec::new(),
			folder,
			home,
		};
		for worker in &network.workers {
			network.approve(worker.id).await?;
		}
		Ok(network)
	}

	async fn approve(&self, worker: WorkerId) -> anyhow::Result<()> {
		let (cluster, worker) = (self.cluster.to_string(), worker.to_string());
		self.phala.of(OWNER).ok(&["cluster", "approve", &cluster, &worker]).await?;
		Ok(())
	}

	/// One more worker joins, operated by `operator`; it is started with further arguments.
	///
	/// # Errors
	/// What did not work.
	pub async fn join(&mut self, operator: &str, further: &[&str]) -> anyhow::Result<()> {
		let id = register_worker(&self.phala, operator).await?;
		let (folder, node, genesis) =
			(self.folder.path(), self.relayers.url("ws"), self.chain.genesis());
		let worker = boot(folder, genesis, &node, id, operator, further).await?;
		join(&self.phala, self.cluster, &worker).await?;
		self.approve(id).await?;
		self.workers.push(worker);
		Ok(())
	}

	/// Builds the agent in tests/agents and deploys it as [`DEVELOPER`]; its id.
	///
	/// # Errors
	/// What did not work.
	pub async fn deploy(&self, agent: &str, further: &[&str]) -> anyhow::Result<String> {
		let folder = agent_folder(agent).display().to_string();
		let cluster = self.cluster.to_string();
		let arguments = [&["deploy", &folder, "--cluster", &cluster], further].concat();
		let deployed = self.phala.of(DEVELOPER).ok(&arguments).await?;
		Ok(deployed["agent"].as_str().context("it has an id")?.to_owned())
	}

	/// Kills a worker's relayer (-9).
	///
	/// # Errors
	/// When it has none.
	pub async fn kill_relayer(&mut self, worker: WorkerId) -> anyhow::Result<()> {
		let relayer = self.worker(worker)?.relayer.take().context("it has a relayer")?;
		self.end(relayer.process).await
	}

	/// Kills a worker and its relayer (-9). What they said and sent stays.
	///
	/// # Errors
	/// When there is no such worker.
	pub async fn kill(&mut self, worker: WorkerId) -> anyhow::Result<()> {
		let index = self.workers.iter().position(|candidate| candidate.id == worker);
		let worker = self.workers.remove(index.context("it is a worker")?);
		self.end(worker.enclave.process).await?;
		if let Some(relayer) = worker.relayer {
			self.end(relayer.process).await?;
		}
		self.old_taps.extend([worker.relay, worker.public]);
		Ok(())
	}

	/// Kills the node (-9).
	///
	/// # Errors
	/// When it is stopped.
	pub async fn stop_node(&mut self) -> anyhow::Result<()> {
		let node = self.node.take().context("it runs")?;
		self.end(node.process).await
	}

	async fn end(&mut self, process: Process) -> anyhow::Result<()> {
		let name = process.name().to_owned();
		self.old_logs.push((name, process.kill().await?));
		Ok(())
	}

	/// How many bodies workers had each other keep, or asked each other for.
	pub fn bodies_between_workers(&self) -> usize {
		let servers = self.workers.iter().map(|worker| &worker.public).chain(&self.old_taps);
		servers.map(|tap| tap.bodies_of("POST /v1/cluster/bodies").len()).sum()
	}

	/// The worker with this number.
	///
	/// # Errors
	/// When there is none.
	pub fn worker(&mut self, worker: WorkerId) -> anyhow::Result<&mut Worker> {
		let found = self.workers.iter_mut().find(|candidate| candidate.id == worker);
		found.with_context(|| format!("there is no worker {worker}"))
	}

	/// Waits until all workers have the agent as the chain has it; the version.
	///
	/// # Errors
	/// When that takes too long.
	pub async fn in_step(&self, agent: &str, workers: &[WorkerId]) -> anyhow::Result<u64> {
		let status = self.phala.ok(&["agent", "status", agent]).await?;
		let committed = status["stateVersion"].as_u64().context("it has a version")?;
		for worker in self.workers.iter().filter(|worker| workers.contains(&worker.id)) {
			until(&format!("worker {} to have version {committed}", worker.id), || async {
				let Some(found) = worker.agent(agent).await? else { return Ok(None) };
				let [version, known] = ["version", "committedVersion"].map(|key| &found[key]);
				Ok((version == known && known.as_u64() >= Some(committed)).then_some(()))
			})
			.await
			.with_context(|| worker.enclave.process.log())?;
		}
		Ok(committed)
	}

	/// Looks through all that is on the chain, was sent, was logged, and lies in files. The places'
	/// names start with `chain`, `traffic`, `log` and `files`.
	///
	/// # Errors
	/// When something cannot be read.
	pub async fn search(&self, search: &mut Search) -> anyhow::Result<()> {
		self.search_chain(search).await?;
		let taps = self.all_workers().flat_map(|worker| [&worker.relay, &worker.public]);
		for tap in taps.chain(&self.old_taps).chain([&self.relayers, &self.callers]) {
			for stream in tap.recorded() {
				search.look(&format!("traffic before {}", tap.name), &stream);
			}
		}
		let running = self.all_workers().flat_map(|worker| {
			let relayer = worker.relayer.iter().map(|relayer| &relayer.process);
			relayer.chain([&worker.enclave.process])
		});
		for process in running.chain(self.node.iter().map(|node| &node.process)) {
			search.look(&format!("log of {}", process.name()), process.log().as_bytes());
		}
		for (name, log) in &self.old_logs {
			search.look(&format!("log of {name}"), log.as_bytes());
		}
		search.look_in_files("files", self.folder.path())
	}

	fn all_workers(&self) -> impl Iterator<Item = &Worker> {
		self.workers.iter().chain([&self.gatekeeper])
	}

	/// All storage after the newest finalized block; the events and transactions of all blocks.
	async fn search_chain(&self, search: &mut Search) -> anyhow::Result<()> {
		let events =
			[sp_crypto_hashing::twox_128(b"System"), sp_crypto_hashing::twox_128(b"Events")]
				.concat();
		let newest = self.chain.best().await?;
		for block in 0..=newest {
			let at = self.chain.block_hash(block).await?;
			let body: Value = self.chain.request("chain_getBlock", rpc_params![&at]).await?;
			let transactions = body["block"]["extrinsics"].as_array();
			for transaction in transactions.context("a block has transactions")? {
				let bytes = unhex(transaction.as_str().unwrap_or_default())?;
				search.look("chain: transactions", &bytes);
			}
			let happened = self.chain.value(&events, block).await?.unwrap_or_default();
			search.look("chain: events", &happened);
		}
		let storage = self.chain.values(&[], newest).await?;
		ensure!(storage.len() > 100, "all storage, not {} values", storage.len());
		for (key, value) in storage {
			search.look("chain: storage keys", &key);
			search.look("chain: storage", &value);
		}
		Ok(())
	}

	/// A file of the callers'.
	pub fn file(&self, name: &str) -> PathBuf {
		self.home.path().join(name)
	}
}

/// An agent's sources.
pub fn agent_folder(agent: &str) -> PathBuf {
	Path::new(env!("CARGO_MANIFEST_DIR")).join("agents").join(agent)
}

fn number(value: &Value) -> anyhow::Result<u32> {
	let number = value.as_u64().with_context(|| format!("{value} is no number"))?;
	Ok(u32::try_from(number)?)
}

async fn register_worker(phala: &Phala, operator: &str) -> anyhow::Result<WorkerId> {
	let made = phala.of(operator).ok(&["worker", "register", "--node", &phala.node]).await?;
	number(&made["worker"])
}

async fn join(phala: &Phala, cluster: ClusterId, worker: &Worker) -> anyhow::Result<()> {
	let (cluster, id, url) = (cluster.to_string(), worker.id.to_string(), worker.url());
	phala.of(&worker.operator).ok(&["cluster", "join", &cluster, &id, &url]).await?;
	Ok(())
}

/// Starts an enclave and its relayer, and waits until it is registered.
async fn boot(
	folder: &Path,
	genesis: H256,
	node: &str,
	worker: WorkerId,
	operator: &str,
	further: &[&str],
) -> anyhow::Result<Worker> {
	let folder = folder.display().to_string();
	let variables = [("TMPDIR", &folder[..]), ("RUST_LOG", PRUNTIME_LOG)];
	let enclave = Enclave::boot_with(genesis, worker, further, &variables).await?;
	let relay = Tap::before(&format!("worker {worker}'s relay server"), &enclave.relay_url).await?;
	let public =
		Tap::before(&format!("worker {worker}'s public server"), &enclave.public_url).await?;
	let relayer = Relayer::between(node, &relay.url("http"), operator, &[("TMPDIR", &folder[..])])?;
	enclave.reaches(EnclavePhase::Serving).await.with_context(|| relayer.process.log())?;
	let (operator, relayer) = (operator.to_owned(), Some(relayer));
	Ok(Worker { id: worker, operator, enclave, relayer, relay, public })
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
	pub status: u16,
	pub body: Vec<u8>,
}

/// Asks the server at `url` over HTTP/1.1.
///
/// # Errors
/// When it does not answer.
pub async fn http(url: &str, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
	use tokio::io::{AsyncReadExt, AsyncWriteExt};
	let address = url.trim_start_matches("http://");
	let mut stream = tokio::net::TcpStream::connect(address).await?;
	let length = body.len();
	let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
	stream.write_all(&[head.as_bytes(), body].concat()).await?;
	let mut answer = Vec::new();
	tokio::time::timeout(crate::PATIENCE, stream.read_to_end(&mut answer)).await??;
	let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("a whole head")?;
	let head = String::from_utf8_lossy(&answer[..end]).into_owned();
	let status = head.split(' ').nth(1).context("a status")?.parse()?;
	Ok(Answer { status, body: answer[end + 4..].to_vec() })
}
