//! The parts of a network. What does not depend on each other happens at once: each step that waits
//! for the chain costs seconds.

use super::{
	agents,
	chat::Endpoint,
	prices::Sources,
	processes::{binary, Children},
	same_port, show, specification,
	summary::{AgentSummary, ChainSummary, EnclaveSummary, Summary},
	Arguments,
};
use crate::{
	commands::{build::Built, deploy, worker},
	deployment, limits,
	steps::step,
};
use anyhow::{bail, Context};
use phala_chain_client::{
	agents as agent_calls, clusters, gatekeepers, registry, transactions, Chain, Sender,
};
use phala_protocol::{agents::AgentId, boot::WorkerId, mailbox::ClusterId, H256};
use std::{future::Future, path::Path, sync::Arc, time::Instant};

/// Development accounts with funds. //Alice is root, owns the cluster and both agents; //Bob asks.
const ROOT: &str = "//Alice";
pub const CALLER: &str = "//Bob";
/// The gatekeeper's operator, then those of the workers. The gatekeeper's is root, so that its
/// application and its seat come in one block, in this order.
const OPERATORS: [&str; limits::WORKERS_MAX as usize + 1] = [ROOT, "//Charlie", "//Dave", "//Eve"];

const CHAIN: &str = "chain";
const GATEKEEPER: &str = "gatekeeper";

pub struct Network<'a> {
	pub arguments: &'a Arguments,
	pub children: &'a mut Children,
	/// What was found out so far.
	pub summary: &'a mut Summary,
}

/// An enclave that was started: the gatekeeper first, then the workers.
#[derive(Clone)]
struct Started {
	name: String,
	id: WorkerId,
	operator: Arc<Sender>,
	relay: String,
	public: String,
	relayer: String,
}

/// An agent that takes calls.
pub struct Deployed {
	pub name: String,
	pub id: AgentId,
}

impl Network<'_> {
	/// Starts everything and shows that it works.
	///
	/// # Errors
	/// What did not work, and why.
	pub async fn show(&mut self, started: Instant) -> anyhow::Result<()> {
		let [node, pruntime, pherry] =
			[binary("phala-node")?, binary("pruntime")?, binary("pherry")?];
		let checkout = agents::checkout(self.arguments.checkout.as_deref())?;
		let (sources, endpoint) = tokio::try_join!(Sources::find(), Endpoint::find())?;
		self.summary.prices_are_stand_ins = Some(sources.are_stand_ins);
		self.summary.chat_is_stand_in = Some(endpoint.is_stand_in);
		show::say_stand_ins(&sources, &endpoint);

		// Agents are built beside all that comes before they are needed.
		let building = tokio::spawn({
			let checkout = checkout.clone();
			async move { build_agents(&checkout).await }
		});
		let start = step("starting a new chain", start_chain(self.children, &node, self.arguments));
		let measured = worker::measure(&pruntime);
		let ((url, _), measurement) = tokio::try_join!(start, measured)?;
		let chain = Chain::connect(&url).await?;
		let genesis = chain.genesis_hash();
		self.summary.measurement = Some(format!("{measurement:?}"));
		self.summary.chain =
			Some(ChainSummary { url: url.clone(), genesis: format!("{genesis:?}") });

		let root = Arc::new(Sender::new(&chain, transactions::account(ROOT)?));
		let preparing = prepare(&chain, &root, measurement, self.arguments.workers);
		let what = "allowing pruntime's measurement, creating workers and a cluster";
		let ((operators, cluster), _) = step(what, watched(self.children, preparing)).await?;
		self.summary.cluster = Some(cluster);

		let loopback = sources.loopback().into_iter().chain(endpoint.loopback()).collect();
		let starting = self.start_enclaves(&operators, genesis, &url, &pruntime, &pherry, loopback);
		let (enclaves, _) = step("starting the enclaves and their relayers", starting).await?;
		building.await??;
		let built = agents::built(&checkout, &sources, &endpoint)?;

		let placing = place(&chain, &root, cluster, &enclaves, &built);
		let what = "registering the boots; seating the gatekeeper, joining the workers, deploying both agents";
		let (ids, _) = step(what, watched(self.children, placing)).await?;
		self.note_enclaves(&chain, &enclaves).await?;
		let deployed: Vec<_> = built
			.iter()
			.zip(&ids)
			.map(|(built, id)| Deployed { name: built.name.clone(), id: *id })
			.collect();
		for (built, id) in built.iter().zip(&ids) {
			self.summary.agents.push(AgentSummary {
				name: built.name.clone(),
				id: format!("{id:?}"),
				code: format!("{:?}", built.code().component),
			});
		}

		let members: Vec<_> = enclaves
			.iter()
			.skip(1)
			.map(|worker| clusters::Member { worker: worker.id, endpoint: worker.public.clone() })
			.collect();
		let bearing = async {
			let (oracle, chat) = (&built[0], &built[1]);
			tokio::try_join!(
				deployment::upload_to(&members, oracle),
				deployment::upload_to(&members, chat),
				deployment::born(&chain, ids[0]),
				deployment::born(&chain, ids[1]),
			)?;
			tokio::try_join!(
				deployment::ready(&members, ids[0]),
				deployment::ready(&members, ids[1]),
			)?;
			Ok(())
		};
		let what = "making the master key and the cluster's, uploading the agents, waiting for their birth";
		step(what, watched(self.children, bearing)).await?;
		self.summary.ready_seconds = Some(crate::steps::seconds(started.elapsed()));

		let shown = show::everything(&chain, ROOT, CALLER, &deployed, &endpoint);
		let (direct, paid, chat) = watched(self.children, shown).await?;
		self.summary.direct = direct;
		self.summary.on_chain = paid;
		self.summary.chat = chat;
		show::check(self.summary)
	}

	async fn start_enclaves(
		&mut self,
		operators: &[(WorkerId, Arc<Sender>)],
		genesis: H256,
		node: &str,
		pruntime: &Path,
		pherry: &Path,
		loopback: Vec<String>,
	) -> anyhow::Result<Vec<Started>> {
		let named = |index: usize| match index {
			0 => (GATEKEEPER.to_owned(), "relay-gk".to_owned()),
			worker => (format!("worker-{worker}"), format!("relay-{worker}")),
		};
		for (index, (worker, _)) in operators.iter().enumerate() {
			let mut arguments = vec![
				format!("--genesis={genesis:?}"),
				format!("--worker={worker}"),
				format!("--software-platform=phala dev, machine {index}"),
				format!("--public-listen=127.0.0.1:{}", self.port(index, 0).unwrap_or(0)),
				format!("--relay-listen=127.0.0.1:{}", self.port(index, 1).unwrap_or(0)),
				"--dev-agent-logs".into(),
			];
			arguments.extend(loopback.iter().map(|address| format!("--dev-loopback={address}")));
			self.children.start(&named(index).0, pruntime, &arguments)?;
		}
		let mut started = Vec::new();
		for (index, (worker, operator)) in operators.iter().enumerate() {
			let (name, relayer_name) = named(index);
			let relay = self.children.line_after(&name, "relay http://").await?;
			let public = self.children.line_after(&name, "public http://").await?;
			let relay = format!("http://{relay}");
			let arguments = [
				format!("--node={node}"),
				format!("--enclave={relay}"),
				// A secret that everybody knows.
				format!("--operator={}", OPERATORS[index]),
				format!("--status-listen=127.0.0.1:{}", self.port(index, 2).unwrap_or(0)),
			];
			self.children.start(&relayer_name, pherry, &arguments)?;
			let relayer = self.children.line_after(&relayer_name, "status: ").await?;
			let public = format!("http://{public}");
			let operator = operator.clone();
			started.push(Started { name, id: *worker, operator, relay, public, relayer });
		}
		Ok(started)
	}

	/// An enclave's port with --port-base.
	fn port(&self, index: usize, which: u16) -> Option<u16> {
		let number = u16::try_from(index).ok()? + 1;
		Some(self.arguments.port_base? + limits::PORTS_PER_WORKER * number + which)
	}

	async fn note_enclaves(&mut self, chain: &Chain, enclaves: &[Started]) -> anyhow::Result<()> {
		for enclave in enclaves {
			let boot = chain.current_boot(enclave.id).await?;
			let summary = EnclaveSummary {
				name: enclave.name.clone(),
				worker: enclave.id,
				boot: boot.map(|boot| boot.number),
				public: enclave.public.clone(),
				relay: enclave.relay.clone(),
				relayer: enclave.relayer.clone(),
			};
			if enclave.name == GATEKEEPER {
				self.summary.gatekeeper = Some(summary);
			} else {
				self.summary.workers.push(summary);
			}
		}
		Ok(())
	}
}

/// Does something that waits for the chain or for enclaves, unless a child ends meanwhile.
async fn watched<T>(
	children: &mut Children,
	doing: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
	let watching = async {
		loop {
			if let Err(error) = children.check() {
				return error;
			}
			tokio::time::sleep(limits::POLL).await;
		}
	};
	tokio::select! {
		done = doing => done,
		error = watching => Err(error),
	}
}

/// Allows the measurement, creates a worker for the gatekeeper and for each worker, and a cluster.
async fn prepare(
	chain: &Chain,
	root: &Arc<Sender>,
	measurement: H256,
	workers: u8,
) -> anyhow::Result<(Vec<(WorkerId, Arc<Sender>)>, ClusterId)> {
	let mut creating = Vec::new();
	for operator in OPERATORS.iter().take(usize::from(workers) + 1) {
		// One sender for each account: it keeps its transactions in order.
		let sender = match *operator {
			ROOT => root.clone(),
			other => Arc::new(Sender::new(chain, transactions::account(other)?)),
		};
		creating.push(tokio::spawn(async move {
			let worker = registry::register_worker(&sender).await?;
			anyhow::Ok((worker, sender))
		}));
	}
	let (_, (cluster, _)) =
		tokio::try_join!(registry::allow_measurement(root, measurement), clusters::create(root))?;
	let mut operators = Vec::new();
	for creating in creating {
		operators.push(creating.await??);
	}
	Ok((operators, cluster))
}

/// Gives each enclave its role as soon as its boot is registered, then registers the agents: in as
/// few blocks as can be.
async fn place(
	chain: &Chain,
	root: &Arc<Sender>,
	cluster: ClusterId,
	enclaves: &[Started],
	built: &[Built; 2],
) -> anyhow::Result<Vec<AgentId>> {
	let (gatekeeper, workers) = enclaves.split_first().context("there is a gatekeeper")?;
	let seating = tokio::spawn({
		let (chain, root, gatekeeper) = (chain.clone(), root.clone(), gatekeeper.clone());
		async move {
			registered(&chain, &gatekeeper).await?;
			let applying = root.submit(gatekeepers::apply(gatekeeper.id)).await?;
			let seated = root.send_as_root(gatekeepers::seat(&[gatekeeper.id])).await;
			applying.included().await?;
			seated?;
			anyhow::Ok(())
		}
	});
	let asking: Vec<_> = workers
		.iter()
		.map(|worker| {
			let (chain, worker) = (chain.clone(), worker.clone());
			tokio::spawn(async move {
				registered(&chain, &worker).await?;
				let Started { operator, id, public, .. } = &worker;
				anyhow::Ok(clusters::request_join(operator, cluster, *id, public).await?)
			})
		})
		.collect();
	for asking in asking {
		asking.await??;
	}
	// One account's transactions take effect in their order: all go at once, into one block.
	let mut joining = Vec::new();
	for worker in workers {
		joining.push(root.submit(clusters::approve_join(cluster, worker.id)).await?);
	}
	let mut registering = Vec::new();
	for built in built {
		let deployment = deploy::usual(built, cluster)?;
		registering.push(root.submit(agent_calls::register_call(&deployment)).await?);
	}
	for joining in joining {
		joining.included().await?;
	}
	let mut ids = Vec::new();
	for registering in registering {
		ids.push(agent_calls::registered(&registering.included().await?)?);
	}
	seating.await??;
	Ok(ids)
}

async fn registered(chain: &Chain, enclave: &Started) -> anyhow::Result<()> {
	let waiting = async {
		while chain.current_boot(enclave.id).await?.is_none() {
			tokio::time::sleep(limits::POLL).await;
		}
		Ok(())
	};
	tokio::time::timeout(limits::SERVING_MAX, waiting).await.unwrap_or_else(|_| {
		let seconds = limits::SERVING_MAX.as_secs();
		bail!("waited {seconds} s in vain for {} to be registered; `phala dev --verbose` shows all that the parts say", enclave.name)
	})
}

/// Builds those agents that need it, one after the other.
async fn build_agents(checkout: &Path) -> anyhow::Result<()> {
	for name in agents::stale(checkout)? {
		let checkout = checkout.to_owned();
		let building = tokio::task::spawn_blocking(move || agents::build(&checkout, name));
		let doing =
			async { building.await?.with_context(|| format!("agents/{name} was not built")) };
		step(&format!("building agents/{name}"), doing).await?;
	}
	Ok(())
}

/// Its JSON-RPC's address.
async fn start_chain(
	children: &mut Children,
	node: &Path,
	arguments: &Arguments,
) -> anyhow::Result<String> {
	let node_arguments = [
		format!("--chain={}", specification::of(node).await),
		"--alice".into(),
		"--validator".into(),
		"--force-authoring".into(),
		"--tmp".into(),
		format!("--rpc-port={}", arguments.port_base.unwrap_or(0)),
		"--no-prometheus".into(),
		"--no-telemetry".into(),
		"--no-mdns".into(),
		"--listen-addr=/ip4/127.0.0.1/tcp/0".into(),
		// A throw-away node has no key file.
		"--unsafe-force-node-key-generation".into(),
	];
	children.start(CHAIN, node, &node_arguments)?;
	let line = children.line_after(CHAIN, "Running JSON-RPC server: addr=").await?;
	let address = line.split(',').next().unwrap_or_default();
	// A node whose port is taken takes another one.
	same_port(arguments.port_base, address)?;
	Ok(format!("ws://{address}"))
}
