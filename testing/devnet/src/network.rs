//! A network: a chain with one validator, and enclaves with their relayers, gatekeepers and workers
//! alike. What can happen to it in the field is a method: [`Devnet::restart_node`],
//! [`Devnet::restart_worker`], [`Devnet::restart_gatekeeper`], [`Devnet::evict`],
//! [`Devnet::partition`].
//!
//! Who registers workers, makes clusters and deploys agents is its user: the command line or a test.

use crate::{
	limits,
	parts::{port_of, state_folder, Enclave, Node, Relayer, Starting},
	process::{Log, Process, Supervisor},
	proxy::Proxy,
	specification,
};
use anyhow::{ensure, Context};
use phala_chain_client::{registry, Chain, Sender};
use phala_protocol::{boot::WorkerId, BlockNumber, H256};
use std::io::Write;
use subxt_signer::sr25519::dev;

/// What the chain node is called.
pub const CHAIN: &str = "chain";

/// What the node's `--dev` is short for, beside the chain.
const DEVELOPMENT: [&str; 4] = ["--alice", "--validator", "--force-authoring", "--rpc-cors=all"];

/// How a network is.
#[derive(Clone, Debug, Default)]
pub struct Options {
	/// Of the node's JSON-RPC; 0 takes a free one.
	pub port: u16,
	/// All that passes between its parts is recorded, and there can be partitions.
	pub with_proxies: bool,
	/// Further arguments of the node.
	pub node: Vec<String>,
}

/// An enclave and its relayer that are to be started.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
	/// The enclave's and the relayer's names.
	pub names: [String; 2],
	pub id: WorkerId,
	/// The operator's secret, which everybody knows.
	pub operator: String,
	/// What stands in for the machine: one machine is in one worker.
	pub machine: String,
	/// Holds shares of the master key.
	pub is_gatekeeper: bool,
	/// Further arguments of its pruntime, at each of its boots.
	pub further: Vec<String>,
	/// Public server, relay server, the relayer's status; 0 takes a free one.
	pub ports: [u16; 3],
}

/// An enclave with its relayer.
pub struct Worker {
	pub options: WorkerOptions,
	pub enclave: Enclave,
	/// `None` while it is stopped.
	pub relayer: Option<Relayer>,
	/// Between its relayer and its relay server; none in a network without proxies.
	pub relay: Option<Proxy>,
	/// Before its public server; its URL is the endpoint that the chain knows.
	pub public: Option<Proxy>,
}

/// What of a worker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runs {
	pub enclave: bool,
	pub relayer: bool,
}

impl Worker {
	/// Its number on the chain.
	pub fn id(&self) -> WorkerId {
		self.options.id
	}

	/// The public server as others reach it.
	pub fn url(&self) -> String {
		match &self.public {
			Some(proxy) => proxy.url("http"),
			None => self.enclave.public_url.clone(),
		}
	}

	fn relay_url(&self) -> String {
		match &self.relay {
			Some(proxy) => proxy.url("http"),
			None => self.enclave.relay_url.clone(),
		}
	}

	/// Whether its enclave and its relayer still run.
	pub fn check(&mut self) -> anyhow::Result<()> {
		self.processes().try_for_each(Process::check)
	}

	/// Whether its enclave runs, and whether its relayer does.
	pub fn runs(&mut self) -> Runs {
		Runs {
			enclave: self.enclave.process.check().is_ok(),
			relayer: self.relayer.as_mut().is_some_and(|relayer| relayer.process.check().is_ok()),
		}
	}

	fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
		let relayer = self.relayer.iter_mut().map(|relayer| &mut relayer.process);
		[&mut self.enclave.process].into_iter().chain(relayer)
	}
}

/// What is left of a process that was ended.
pub struct Ended {
	pub name: String,
	pub log: Log,
}

/// See the module.
pub struct Devnet {
	pub supervisor: Supervisor,
	/// `None` while it is stopped.
	pub node: Option<Node>,
	/// Between relayers and node; none in a network without proxies.
	pub relayers_to_node: Option<Proxy>,
	/// Between callers and node.
	pub callers_to_node: Option<Proxy>,
	pub workers: Vec<Worker>,
	/// What processes wrote that are no more.
	pub ended: Vec<Ended>,
	/// Of workers that are no more.
	pub old_proxies: Vec<Proxy>,
	genesis: H256,
	with_proxies: bool,
}

impl Devnet {
	/// A chain of its own.
	pub async fn start(supervisor: Supervisor, options: Options) -> anyhow::Result<Self> {
		let Options { port, with_proxies, node: further } = options;
		let kept = match specification::cache_folder() {
			Ok(cache) => specification::kept(&supervisor, "dev", &cache).await,
			Err(error) => Err(error),
		};
		let kept = match kept {
			Ok(kept) => kept,
			Err(error) => {
				// Whoever reads stderr may be gone.
				let _ = writeln!(
					std::io::stderr(),
					"… the chain's specification cannot be kept, each start builds it anew: {error:#}"
				);
				specification::kept(&supervisor, "dev", supervisor.folder()).await?
			}
		};
		let specification = supervisor.folder().join("chain.json");
		specification::made_unique(&kept, &specification)?;
		let base = supervisor.folder().join("node");
		let own = [
			format!("--chain={}", specification.display()),
			format!("--base-path={}", base.display()),
		];
		let arguments = [DEVELOPMENT.map(str::to_owned).to_vec(), own.to_vec(), further].concat();
		let node = Node::start(&supervisor, CHAIN, &arguments, port).await?;
		let genesis = Chain::connect(&node.url).await?.genesis_hash();
		let (mut relayers_to_node, mut callers_to_node) = (None, None);
		if with_proxies {
			let before = |who| Proxy::before(who, &node.url);
			relayers_to_node = Some(before("the node, for relayers").await?);
			callers_to_node = Some(before("the node, for callers").await?);
		}
		Ok(Self {
			supervisor,
			node: Some(node),
			relayers_to_node,
			callers_to_node,
			workers: Vec::new(),
			ended: Vec::new(),
			old_proxies: Vec::new(),
			genesis,
			with_proxies,
		})
	}

	/// Hash of block 0.
	pub fn genesis(&self) -> H256 {
		self.genesis
	}

	/// The node's JSON-RPC as callers reach it.
	pub fn url(&self) -> anyhow::Result<String> {
		match &self.callers_to_node {
			Some(proxy) => Ok(proxy.url("ws")),
			None => Ok(self.node.as_ref().context("the node is stopped")?.url.clone()),
		}
	}

	fn relayers_url(&self) -> anyhow::Result<String> {
		self.relayers_to_node.as_ref().map_or_else(|| self.url(), |proxy| Ok(proxy.url("ws")))
	}

	/// Starts enclaves, all at once, and a relayer for each.
	pub async fn boot(&mut self, options: Vec<WorkerOptions>) -> anyhow::Result<()> {
		let mut starting = Vec::new();
		for options in options {
			let enclave = self.start_enclave(&options, [options.ports[0], options.ports[1]])?;
			starting.push((options, enclave));
		}
		for (options, enclave) in starting {
			let enclave = enclave.listening().await?;
			let (mut relay, mut public) = (None, None);
			if self.with_proxies {
				let id = options.id;
				let name = format!("worker {id}'s relay server");
				relay = Some(Proxy::before(&name, &enclave.relay_url).await?);
				let name = format!("worker {id}'s public server");
				public = Some(Proxy::before(&name, &enclave.public_url).await?);
			}
			let mut worker = Worker { options, enclave, relayer: None, relay, public };
			worker.relayer = Some(self.start_relayer(&worker).await?);
			self.workers.push(worker);
		}
		Ok(())
	}

	fn start_enclave(&self, options: &WorkerOptions, ports: [u16; 2]) -> anyhow::Result<Starting> {
		let [public, relay] = ports;
		let mut arguments = vec![
			format!("--software-platform={}", options.machine),
			format!("--public-listen=127.0.0.1:{public}"),
			format!("--relay-listen=127.0.0.1:{relay}"),
		];
		arguments.extend_from_slice(&options.further);
		let name = &options.names[0];
		Enclave::start(&self.supervisor, name, self.genesis, options.id, &arguments, &[])
	}

	async fn start_relayer(&self, worker: &Worker) -> anyhow::Result<Relayer> {
		let WorkerOptions { names, operator, ports, .. } = &worker.options;
		let (node, enclave) = (self.relayers_url()?, worker.relay_url());
		let [_, name] = names;
		Relayer::start(&self.supervisor, name, &node, &enclave, operator, ports[2]).await
	}

	/// The worker with this number.
	pub fn worker(&self, id: WorkerId) -> anyhow::Result<&Worker> {
		let found = self.workers.iter().find(|worker| worker.id() == id);
		found.with_context(|| format!("there is no worker {id}"))
	}

	fn index(&self, id: WorkerId) -> anyhow::Result<usize> {
		let found = self.workers.iter().position(|worker| worker.id() == id);
		found.with_context(|| format!("there is no worker {id}"))
	}

	/// Whether all still run.
	pub fn check(&mut self) -> anyhow::Result<()> {
		self.check_node()?;
		self.workers.iter_mut().try_for_each(Worker::check)
	}

	/// Whether the node still runs.
	pub fn check_node(&mut self) -> anyhow::Result<()> {
		self.node.as_mut().map_or(Ok(()), |node| node.process.check())
	}

	/// Kills the node (-9).
	pub async fn stop_node(&mut self) -> anyhow::Result<()> {
		let node = self.node.take().context("the node is stopped already")?;
		self.end(node.process).await;
		Ok(())
	}

	/// Has the node end and starts it with its database. See [`Node::restart`].
	pub async fn restart_node(&mut self) -> anyhow::Result<()> {
		let node = self.node.take().context("the node is stopped")?;
		let (node, log) = node.restart(&self.supervisor).await?;
		self.ended.push(Ended { name: CHAIN.into(), log });
		self.node = Some(node);
		Ok(())
	}

	/// Kills a worker's enclave and its relayer (-9): its machine fails. [`Devnet::restart_worker`] brings
	/// it back.
	pub async fn crash(&mut self, id: WorkerId) -> anyhow::Result<()> {
		let index = self.index(id)?;
		self.workers[index].enclave.process.crash().await;
		if let Some(relayer) = self.workers[index].relayer.take() {
			self.end(relayer.process).await;
		}
		Ok(())
	}

	/// Kills an enclave (-9) and starts it again: the next boot of its worker, which has no keys and
	/// its disk. Its relayer goes on.
	pub async fn restart_worker(&mut self, id: WorkerId) -> anyhow::Result<()> {
		let index = self.index(id)?;
		let mut worker = self.workers.remove(index);
		// Behind proxies any port will do; without them others know only the old ones.
		let mut ports = [0, 0];
		if !self.with_proxies {
			let old =
				[&worker.enclave.public_url, &worker.enclave.relay_url].map(|url| port_of(url));
			ports = [old[0].context("it has a port")?, old[1].context("it has a port")?];
		}
		self.end(worker.enclave.process).await;
		worker.enclave = self.start_enclave(&worker.options, ports)?.listening().await?;
		if let (Some(relay), Some(public)) = (&worker.relay, &worker.public) {
			relay.lead_to(&worker.enclave.relay_url)?;
			public.lead_to(&worker.enclave.public_url)?;
		}
		// One whose enclave was evicted or retired has ended.
		if let Some(ended) = worker.relayer.take_if(|relayer| relayer.process.check().is_err()) {
			self.end(ended.process).await;
		}
		if worker.relayer.is_none() {
			worker.relayer = Some(self.start_relayer(&worker).await?);
		}
		self.workers.insert(index, worker);
		Ok(())
	}

	/// Empties the disk of a worker that [crashed](Self::crash).
	pub fn lose_disk(&self, id: WorkerId) -> anyhow::Result<()> {
		std::fs::remove_dir_all(state_folder(&self.supervisor, id))?;
		Ok(())
	}

	/// As [`Devnet::restart_worker`] for the network's gatekeeper.
	pub async fn restart_gatekeeper(&mut self) -> anyhow::Result<()> {
		let found = self.workers.iter().find(|worker| worker.options.is_gatekeeper);
		let id = found.context("there is no gatekeeper")?.id();
		self.restart_worker(id).await
	}

	/// Kills a worker's relayer (-9).
	pub async fn stop_relayer(&mut self, id: WorkerId) -> anyhow::Result<()> {
		let index = self.index(id)?;
		let relayer = self.workers[index].relayer.take().context("it has no relayer")?;
		self.end(relayer.process).await;
		Ok(())
	}

	/// Kills a worker and its relayer (-9), for good.
	pub async fn kill(&mut self, id: WorkerId) -> anyhow::Result<()> {
		let worker = self.workers.remove(self.index(id)?);
		self.end(worker.enclave.process).await;
		if let Some(relayer) = worker.relayer {
			self.end(relayer.process).await;
		}
		self.old_proxies.extend(worker.relay.into_iter().chain(worker.public));
		Ok(())
	}

	async fn end(&mut self, process: Process) {
		let name = process.name().to_owned();
		self.ended.push(Ended { name, log: process.kill().await });
	}

	/// Throws a worker's boot out, as governance: by way of the development chain's sudo account. The
	/// block in which it was.
	pub async fn evict(&self, id: WorkerId) -> anyhow::Result<BlockNumber> {
		let chain = Chain::connect(&self.url()?).await?;
		let root = Sender::new(&chain, dev::alice());
		Ok(registry::evict(&root, id).await?)
	}

	/// Cuts workers off: nobody reaches their servers, their relayers neither, and they reach no other
	/// worker. [`Devnet::heal`] ends it.
	pub fn partition(&self, ids: &[WorkerId]) -> anyhow::Result<()> {
		ensure!(self.with_proxies, "a network without proxies has no partitions");
		let mut inside = Vec::new();
		for id in ids {
			inside.push(self.worker(*id)?.enclave.process.id());
		}
		for worker in &self.workers {
			let is_inside = ids.contains(&worker.id());
			for proxy in worker.relay.iter().chain(&worker.public) {
				if is_inside {
					proxy.cut();
				} else {
					proxy.cut_from(&inside);
				}
			}
		}
		Ok(())
	}

	/// Ends all faults.
	pub fn heal(&self) {
		for worker in &self.workers {
			worker.relay.iter().chain(&worker.public).for_each(Proxy::heal);
		}
	}

	/// Ends all in order: the last started is asked first, and those are killed that are still there
	/// after [`limits::STOP_MAX`].
	pub async fn stop(&mut self) {
		let workers = self.workers.iter_mut().flat_map(Worker::processes);
		let mut all: Vec<&mut Process> =
			self.node.iter_mut().map(|node| &mut node.process).chain(workers).collect();
		all.iter().rev().for_each(|process| process.terminate());
		let ending = async {
			for process in &mut all {
				let _ = process.ended(limits::STOP_MAX).await;
			}
		};
		let _ = tokio::time::timeout(limits::STOP_MAX, ending).await;
		// Dropped, they are killed if they still run.
		self.workers.clear();
		self.node = None;
	}
}
