//! A network with a gatekeeper and workers, set up by the command line. Everything that passes
//! between its parts passes a proxy, and all that they write is in one folder.

use crate::{
	chain::{unhex, Chain},
	cli::Phala,
	reaches,
	search::Search,
	supervisor, until,
};
use anyhow::{ensure, Context};
use phala_devnet::{network::Worker, Devnet, Folder, Options, Proxy, WorkerOptions};
use phala_protocol::{boot::WorkerId, mailbox::ClusterId, relay::EnclavePhase};
use serde_json::Value;
use std::{env::temp_dir, path::PathBuf};
use subxt::rpcs::rpc_params;

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

/// Where callers keep what is theirs, in the folder in which they work: `PHALA_HOME`, and what they
/// saved.
const CALLERS_OWN: [&str; 2] = ["phala", KEPT];
const KEPT: &str = "kept";

/// Agents' own lines have no business in a worker's log, however much it tells.
const LOG: &str = "info,phala_pruntime=debug,phala_sandbox=debug,phala_keys=debug";

/// What a worker says of its agent.
pub async fn agent_at(worker: &Worker, agent: &str) -> anyhow::Result<Option<Value>> {
	let answer = http(&worker.enclave.public_url, "GET", "/v1/agents", &[]).await?;
	let list: Value = serde_json::from_slice(&answer.body)?;
	let agents = list["agents"].as_array().cloned().unwrap_or_default();
	Ok(agents.into_iter().find(|found| found["id"] == agent))
}

/// See the module.
pub struct Network {
	pub devnet: Devnet,
	/// Straight to the node.
	pub chain: Chain,
	pub gatekeeper: WorkerId,
	pub cluster: ClusterId,
	/// As [`CALLER`].
	pub phala: Phala,
	folder: Folder,
	/// The callers' machine.
	home: Folder,
}

impl Network {
	/// A chain, a gatekeeper and two workers in one cluster; the node is given further arguments.
	pub async fn start(node: &[&str]) -> anyhow::Result<Self> {
		// Removed even if this process is killed: at the next start.
		let (folder, home) = (Folder::new(&temp_dir())?, Folder::new(&temp_dir())?);
		std::fs::create_dir(home.path().join(KEPT))?;
		// Tests ask for the state of old blocks.
		let node = [&["--state-pruning=archive"], node].concat();
		let node = node.into_iter().map(str::to_owned).collect();
		let options = Options { port: 0, with_proxies: true, node };
		let starting = supervisor(folder.path())?.with_variable("RUST_LOG", LOG);
		let mut devnet = Devnet::start(starting, options).await?;
		let chain = Chain::connect(&devnet.node.as_ref().context("it runs")?.url).await?;
		let phala = Phala {
			supervisor: supervisor(home.path())?,
			node: devnet.url()?,
			home: home.path().join("phala"),
			account: CALLER.into(),
		};
		let owner = phala.of(OWNER);
		let pruntime = devnet.supervisor.binary("pruntime")?.display().to_string();
		let preparing = async {
			let allow =
				["worker", "allow-measurement", "--node", &owner.node, "--pruntime", &pruntime];
			owner.ok(&allow).await?;
			let made = owner.ok(&["cluster", "create"]).await?;
			let cluster: ClusterId = number(&made["cluster"])?;
			// The agents are somebody else's.
			owner.ok(&["cluster", "open", &cluster.to_string()]).await?;
			anyhow::Ok(cluster)
		};
		let [first, second] = OPERATORS;
		let (cluster, gatekeeper, first_worker, second_worker) = tokio::try_join!(
			preparing,
			register_worker(&phala, GATEKEEPER),
			register_worker(&phala, first),
			register_worker(&phala, second),
		)?;
		let enclaves = [(gatekeeper, GATEKEEPER), (first_worker, first), (second_worker, second)];
		let options = enclaves.map(|(id, operator)| {
			let is_gatekeeper = id == gatekeeper;
			WorkerOptions { is_gatekeeper, ..worker_options(id, operator, &[]) }
		});
		devnet.boot(options.into()).await?;
		for worker in &devnet.workers {
			reaches(&worker.enclave, EnclavePhase::Serving).await?;
		}
		let operator = phala.of(GATEKEEPER);
		let applying =
			async { operator.ok(&["gatekeeper", "apply", &gatekeeper.to_string()]).await };
		let [_, first, second] = &devnet.workers[..] else {
			anyhow::bail!("a gatekeeper and two workers were started")
		};
		tokio::try_join!(applying, join(&phala, cluster, first), join(&phala, cluster, second))?;
		owner.ok(&["gatekeeper", "seat", &gatekeeper.to_string()]).await?;
		let network = Self { devnet, chain, gatekeeper, cluster, phala, folder, home };
		for id in [first_worker, second_worker] {
			network.approve(id).await?;
		}
		Ok(network)
	}

	/// The workers that run, without the gatekeeper.
	pub fn workers(&self) -> impl Iterator<Item = &Worker> {
		self.devnet.workers.iter().filter(|worker| !worker.options.is_gatekeeper)
	}

	/// Their numbers.
	pub fn worker_ids(&self) -> Vec<WorkerId> {
		self.workers().map(Worker::id).collect()
	}

	/// The worker that joined last.
	pub fn newest(&self) -> anyhow::Result<&Worker> {
		self.workers().last().context("no worker is left")
	}

	async fn approve(&self, worker: WorkerId) -> anyhow::Result<()> {
		let (cluster, worker) = (self.cluster.to_string(), worker.to_string());
		self.phala.of(OWNER).ok(&["cluster", "approve", &cluster, &worker]).await?;
		Ok(())
	}

	/// One more worker joins, operated by `operator`; its enclave is given further arguments.
	pub async fn join(&mut self, operator: &str, further: &[&str]) -> anyhow::Result<WorkerId> {
		let id = register_worker(&self.phala, operator).await?;
		self.devnet.boot(vec![worker_options(id, operator, further)]).await?;
		let worker = self.devnet.worker(id)?;
		reaches(&worker.enclave, EnclavePhase::Serving).await?;
		join(&self.phala, self.cluster, worker).await?;
		self.approve(id).await?;
		Ok(id)
	}

	/// Has the node end and starts it with its database; see [`phala_devnet::Node::restart`].
	pub async fn restart_node(&mut self) -> anyhow::Result<()> {
		self.devnet.restart_node().await?;
		self.chain = Chain::connect(&self.devnet.node.as_ref().context("it runs")?.url).await?;
		Ok(())
	}

	/// Builds an agent of this crate's `agents` and deploys it as [`DEVELOPER`]; its id.
	pub async fn deploy(&self, agent: &str, further: &[&str]) -> anyhow::Result<String> {
		let folder = self.built(agent).await?.display().to_string();
		let cluster = self.cluster.to_string();
		let arguments = ["deploy", &folder, "--no-build", "--cluster", &cluster];
		let arguments = [&arguments[..], further].concat();
		let deployed = self.phala.of(DEVELOPER).ok(&arguments).await?;
		Ok(deployed["agent"].as_str().context("it has an id")?.to_owned())
	}

	/// A folder of the callers' with what an agent's sources are built to. Two networks may want the
	/// same agent at once: its own folder is one's at a time.
	async fn built(&self, agent: &str) -> anyhow::Result<PathBuf> {
		let lock = crate::binaries()?.join(format!("end-to-end-{agent}.lock"));
		let lock = tokio::task::spawn_blocking(move || {
			let lock = std::fs::File::create(lock)?;
			lock.lock()?;
			anyhow::Ok(lock)
		});
		let _lock = lock.await??;
		let sources = agent_folder(agent);
		self.phala.ok(&["build", &sources.display().to_string()]).await?;
		let own = self.file(agent);
		std::fs::create_dir_all(own.join("dist"))?;
		for entry in std::fs::read_dir(sources.join("dist"))? {
			let entry = entry?;
			std::fs::copy(entry.path(), own.join("dist").join(entry.file_name()))?;
		}
		Ok(own)
	}

	/// How many bodies workers had each other keep, or asked each other for.
	pub fn bodies_between_workers(&self) -> usize {
		let public = self.devnet.workers.iter().filter_map(|worker| worker.public.as_ref());
		let servers = public.chain(&self.devnet.old_proxies);
		servers.map(|proxy| proxy.bodies_of("POST /v1/cluster/bodies").len()).sum()
	}

	/// Waits until all workers have the agent as the chain has it; the version.
	pub async fn in_step(&self, agent: &str, workers: &[WorkerId]) -> anyhow::Result<u64> {
		let status = self.phala.ok(&["agent", "status", agent]).await?;
		let committed = status["stateVersion"].as_u64().context("it has a version")?;
		for worker in self.workers().filter(|worker| workers.contains(&worker.id())) {
			until(&format!("worker {} to have version {committed}", worker.id()), || async {
				let Some(found) = agent_at(worker, agent).await? else { return Ok(None) };
				let [version, known] = ["version", "committedVersion"].map(|key| &found[key]);
				Ok((version == known && known.as_u64() >= Some(committed)).then_some(()))
			})
			.await
			.with_context(|| worker.enclave.process.log().last_lines())?;
		}
		Ok(committed)
	}

	/// Looks through all that is on the chain, was sent, was logged, and lies in files: in the folder
	/// in which everything runs, with its HOME and its temporary files, and in the callers' HOME,
	/// temporary and working folders. What callers keep or have saved is theirs and left out. The
	/// places' names start with `chain`, `traffic`, `log`, `files` and `callers`.
	pub async fn search(&self, search: &mut Search) -> anyhow::Result<()> {
		self.search_chain(search).await?;
		for proxy in self.proxies() {
			for stream in proxy.recorded() {
				search.look(&format!("traffic before {}", proxy.name), &stream);
			}
		}
		for (name, log) in self.logs() {
			search.look(&format!("log of {name}"), log.bytes());
		}
		search.look_in_files("files", self.folder.path(), &[])?;
		search.look_in_files("callers", self.home.path(), &CALLERS_OWN)
	}

	fn proxies(&self) -> impl Iterator<Item = &Proxy> {
		let of_workers =
			self.devnet.workers.iter().flat_map(|worker| worker.relay.iter().chain(&worker.public));
		let of_node = self.devnet.relayers_to_node.iter().chain(&self.devnet.callers_to_node);
		of_workers.chain(of_node).chain(&self.devnet.old_proxies)
	}

	/// What all processes wrote, those that are no more too.
	pub fn logs(&self) -> Vec<(String, phala_devnet::Log)> {
		let of_workers = self.devnet.workers.iter().flat_map(|worker| {
			let relayer = worker.relayer.iter().map(|relayer| &relayer.process);
			relayer.chain([&worker.enclave.process])
		});
		let running = of_workers.chain(self.devnet.node.iter().map(|node| &node.process));
		let running = running.map(|process| (process.name().to_owned(), process.log()));
		let ended = self.devnet.ended.iter().map(|ended| (ended.name.clone(), ended.log.clone()));
		running.chain(ended).collect()
	}

	/// What all processes wrote last.
	pub fn last_words(&self) -> String {
		let said = self.logs().into_iter();
		said.map(|(name, log)| format!("{name} wrote last:{}\n", log.last_lines())).collect()
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

	/// A file that callers keep.
	pub fn file(&self, name: &str) -> PathBuf {
		self.home.path().join(KEPT).join(name)
	}
}

/// An agent's sources.
pub fn agent_folder(agent: &str) -> PathBuf {
	crate::own_folder().join("agents").join(agent)
}

fn number(value: &Value) -> anyhow::Result<u32> {
	let number = value.as_u64().with_context(|| format!("{value} is no number"))?;
	Ok(u32::try_from(number)?)
}

async fn register_worker(phala: &Phala, operator: &str) -> anyhow::Result<WorkerId> {
	let made =
		phala.of(operator).ok(&["worker", "register", "--another", "--node", &phala.node]).await?;
	number(&made["worker"])
}

async fn join(phala: &Phala, cluster: ClusterId, worker: &Worker) -> anyhow::Result<()> {
	let (cluster, id, url) = (cluster.to_string(), worker.id().to_string(), worker.url());
	phala.of(&worker.options.operator).ok(&["cluster", "join", &cluster, &id, &url]).await?;
	Ok(())
}

fn worker_options(id: WorkerId, operator: &str, further: &[&str]) -> WorkerOptions {
	WorkerOptions {
		names: [format!("pruntime of worker {id}"), format!("pherry of worker {id}")],
		id,
		operator: operator.into(),
		machine: format!("machine of worker {id}"),
		is_gatekeeper: false,
		further: further.iter().map(|argument| (*argument).to_owned()).collect(),
		ports: [0; 3],
	}
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
	pub status: u16,
	pub body: Vec<u8>,
}

/// Asks the server at `url` over HTTP/1.1.
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
