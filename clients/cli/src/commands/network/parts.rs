//! The parts of a network. What does not depend on each other happens at once: each step that waits
//! for the chain costs seconds.

use super::{
	agents,
	chat::Endpoint,
	prices::Sources,
	show,
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
use phala_devnet::{Devnet, Options, Supervisor, WorkerOptions};
use phala_protocol::{
	agents::AgentId, boot::WorkerId, clusters::Opening, mailbox::ClusterId, H256,
};
use std::{future::Future, path::Path, sync::Arc, time::Instant};

/// Development accounts with funds. //Alice is root, owns the cluster and both agents; //Bob asks.
const ROOT: &str = "//Alice";
pub const CALLER: &str = "//Bob";
/// The gatekeeper's operator, then those of the workers. The gatekeeper's is root, so that its
/// application and its seat come in one block, in this order.
const OPERATORS: [&str; limits::WORKERS_MAX as usize + 1] = [ROOT, "//Charlie", "//Dave", "//Eve"];

pub(super) const GATEKEEPER: &str = "gatekeeper";

pub struct Network<'a> {
	pub arguments: &'a Arguments,
	/// The chain's port; workers' follow. 0 for free ones.
	pub port_base: u16,
	/// As soon as there is one: who stops it needs it whatever happens.
	pub devnet: &'a mut Option<Devnet>,
	/// What was found out so far.
	pub summary: &'a mut Summary,
}

/// An enclave that was started: the gatekeeper first, then the workers.
#[derive(Clone)]
struct Started {
	name: String,
	id: WorkerId,
	operator: Arc<Sender>,
	public: String,
}

/// An agent that takes calls.
pub struct Deployed {
	pub name: String,
	pub id: AgentId,
}

impl Network<'_> {
	/// Starts everything and shows that it works.
	pub async fn show(&mut self, supervisor: Supervisor, started: Instant) -> anyhow::Result<()> {
		let pruntime = supervisor.binary("pruntime")?;
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
		let port = self.port_base;
		// It ends with the network: what is asked for later than in minutes is there.
		let node = vec!["--state-pruning=archive".to_owned()];
		let starting = Devnet::start(supervisor, Options { port, node, ..Options::default() });
		let start = step("starting a new chain", starting);
		let measured = worker::measure(&pruntime);
		let ((devnet, _), measurement) = tokio::try_join!(start, measured)?;
		let devnet = self.devnet.insert(devnet);
		let url = devnet.url()?;
		let chain = Chain::connect(&url).await?;
		let genesis = chain.genesis_hash();
		self.summary.measurement = Some(measurement.into());
		self.summary.chain = Some(ChainSummary { url: url.clone(), genesis: genesis.into() });

		let root = Arc::new(Sender::new(&chain, transactions::account(ROOT)?));
		let preparing = prepare(&chain, &root, measurement, self.arguments.workers);
		let what = "allowing pruntime's measurement, creating workers and a cluster";
		let ((operators, cluster), _) = step(what, watched(devnet, preparing)).await?;
		self.summary.cluster = Some(cluster);

		let allowed = self.arguments.allow_loopback.iter().cloned();
		let loopback = sources.loopback().into_iter().chain(endpoint.loopback()).chain(allowed);
		let starting = start_enclaves(devnet, self.arguments, port, &operators, loopback.collect());
		let (enclaves, _) = step("starting the enclaves and their relayers", starting).await?;
		building.await??;
		let built = agents::built(&checkout, &sources, &endpoint)?;

		let placing = place(&chain, &root, cluster, &enclaves, &built);
		let what = "registering the boots; seating the gatekeeper, joining the workers, deploying both agents";
		let (ids, _) = step(what, watched(devnet, placing)).await?;
		note_enclaves(self.summary, devnet, &chain).await?;
		let deployed: Vec<_> = built
			.iter()
			.zip(&ids)
			.map(|(built, id)| Deployed { name: built.name.clone(), id: *id })
			.collect();
		for (built, id) in built.iter().zip(&ids) {
			self.summary.agents.push(AgentSummary {
				name: built.name.clone(),
				id: (*id).into(),
				code: built.code().component.into(),
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
				deployment::born(&chain, cluster, ids[0]),
				deployment::born(&chain, cluster, ids[1]),
			)?;
			tokio::try_join!(
				deployment::ready(&members, ids[0]),
				deployment::ready(&members, ids[1]),
			)?;
			Ok(())
		};
		let what = "making the master key and the cluster's, uploading the agents, waiting for their birth";
		step(what, watched(devnet, bearing)).await?;
		self.summary.ready_seconds = Some(crate::steps::seconds(started.elapsed()));

		let shown = show::everything(&chain, ROOT, CALLER, &deployed, &endpoint);
		let (direct, paid, chat) = watched(devnet, shown).await?;
		self.summary.direct = direct;
		self.summary.on_chain = paid;
		self.summary.chat = chat;
		show::check(self.summary)
	}
}

async fn start_enclaves(
	devnet: &mut Devnet,
	arguments: &Arguments,
	port_base: u16,
	operators: &[(WorkerId, Arc<Sender>)],
	loopback: Vec<String>,
) -> anyhow::Result<Vec<Started>> {
	let mut further = vec!["--dev-agent-logs".to_owned()];
	if let Some(folder) = &arguments.record {
		// Children work in a folder of their own.
		further.push(format!("--record={}", std::path::absolute(folder)?.display()));
	}
	further.extend(loopback.iter().map(|address| format!("--dev-loopback={address}")));
	let options = operators.iter().enumerate().map(|(index, (id, _))| WorkerOptions {
		names: match index {
			0 => [GATEKEEPER.into(), "relay-gk".into()],
			worker => [format!("worker-{worker}"), format!("relay-{worker}")],
		},
		id: *id,
		operator: OPERATORS[index].into(),
		machine: format!("phala network up, machine {index}"),
		is_gatekeeper: index == 0,
		further: further.clone(),
		ports: [0, 1, 2].map(|which| port(port_base, index, which).unwrap_or(0)),
	});
	devnet.boot(options.collect()).await?;
	let started = devnet.workers.iter().zip(operators).map(|(worker, (id, operator))| Started {
		name: worker.options.names[0].clone(),
		id: *id,
		operator: operator.clone(),
		public: worker.url(),
	});
	Ok(started.collect())
}

/// An enclave's port; none with free ones.
fn port(base: u16, index: usize, which: u16) -> Option<u16> {
	let number = u16::try_from(index).ok()? + 1;
	(base != 0).then_some(base + limits::PORTS_PER_WORKER * number + which)
}

async fn note_enclaves(
	summary: &mut Summary,
	devnet: &Devnet,
	chain: &Chain,
) -> anyhow::Result<()> {
	for worker in &devnet.workers {
		let boot = chain.current_boot(worker.id()).await?;
		let relayer = worker.relayer.as_ref().map(|relayer| relayer.status_url.clone());
		let noted = EnclaveSummary {
			name: worker.options.names[0].clone(),
			worker: worker.id(),
			boot: boot.map(|boot| boot.number),
			public: worker.url(),
			relay: worker.enclave.relay_url.clone(),
			relayer: relayer.unwrap_or_default(),
		};
		if worker.options.is_gatekeeper {
			summary.gatekeeper = Some(noted);
		} else {
			summary.workers.push(noted);
		}
	}
	Ok(())
}

/// Does something that waits for the chain or for enclaves, unless a child ends meanwhile.
async fn watched<T>(
	devnet: &mut Devnet,
	doing: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
	let watching = async {
		loop {
			if let Err(error) = devnet.check() {
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
	// Submitted one after the other, so that a worker has the same number at every start.
	let mut creating = Vec::new();
	for operator in OPERATORS.iter().take(usize::from(workers) + 1) {
		// One sender for each account: it keeps its transactions in order.
		let sender = match *operator {
			ROOT => root.clone(),
			other => Arc::new(Sender::new(chain, transactions::account(other)?)),
		};
		let mut pending = sender.submit(registry::register_worker_call()).await?;
		// The pool looks at several at once, and would take them in any order.
		pending.in_pool().await?;
		creating.push((sender, pending));
	}
	let (_, (cluster, _)) =
		tokio::try_join!(registry::allow_measurement(root, measurement), clusters::create(root))?;
	let mut operators = Vec::new();
	for (sender, pending) in creating {
		let worker = registry::registered_worker(&pending.included().await?)?;
		operators.push((worker, sender));
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
	let mut joining =
		vec![root.submit(clusters::set_open(cluster, Some(Opening::default()))).await?];
	for worker in workers {
		let applicant = clusters::applicant(chain, cluster, worker.id).await?;
		joining.push(root.submit(clusters::approve_join(cluster, &applicant)).await?);
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
		bail!("waited {seconds} s in vain for {} to be registered; `phala network up --verbose` shows all that the parts say", enclave.name)
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
