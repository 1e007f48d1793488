//! The enclave's process.

use anyhow::{bail, Context};
use axum::Router;
use clap::Parser;
use phala_protocol::{boot::WorkerId, H256};
use phala_pruntime::{
	hosting::AgentHost,
	machine::Config,
	platform::Platform,
	server::{agents, cluster, public, relay, sealed, Shell},
	worker::Worker,
};
use std::{net::SocketAddr, sync::Arc};
use tracing_subscriber::EnvFilter;

/// What runs inside the TEE.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
	/// Hash of the chain's block 0, the one chain that this enclave follows.
	#[arg(long, value_parser = hash)]
	genesis: Option<H256>,

	/// The worker that this boot is for.
	#[arg(long)]
	worker: Option<WorkerId>,

	/// Where the relayer comes in. Port 0 takes a free one and says which.
	#[arg(long, default_value = "127.0.0.1:8100")]
	relay_listen: SocketAddr,

	/// Where everybody else comes in. Port 0 takes a free one and says which.
	#[arg(long, default_value = "127.0.0.1:8000")]
	public_listen: SocketAddr,

	/// Development only: what stands in for the identity of the machine.
	#[cfg(feature = "software-evidence")]
	#[arg(long, default_value = "development machine")]
	software_platform: String,

	/// Prints the measurement of this binary and exits.
	#[cfg(feature = "software-evidence")]
	#[arg(long)]
	print_measurement: bool,

	#[cfg(feature = "software-evidence")]
	#[command(flatten)]
	development: phala_pruntime::hosting::development::DevelopmentAgents,
}

fn hash(text: &str) -> Result<H256, String> {
	let bytes = hex::decode(text.trim_start_matches("0x")).map_err(|error| error.to_string())?;
	let bytes: [u8; 32] = bytes
		.try_into()
		.map_err(|bytes: Vec<u8>| format!("{} bytes, 32 are a hash", bytes.len()))?;
	Ok(H256(bytes))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
	let arguments = Arguments::parse();
	tracing_subscriber::fmt()
		.with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
		.with_target(false)
		.with_writer(std::io::stderr)
		.init();

	#[cfg(feature = "software-evidence")]
	let platform = {
		let platform =
			phala_pruntime::platform::SoftwarePlatform::measure(&arguments.software_platform)?;
		if arguments.print_measurement {
			println!("{:?}", platform.measurement());
			return Ok(());
		}
		platform
	};
	#[cfg(not(feature = "software-evidence"))]
	let platform = phala_pruntime::platform::find()?;

	let (agents, from_folders) = load_agents(&arguments).await?;
	let shell = match (arguments.genesis, arguments.worker) {
		(Some(genesis), Some(worker)) => {
			tracing::info!("evidence: {}", platform.describe());
			let shell = Shell::boot(Config { genesis, worker }, Box::new(platform))
				.context("the system gives no randomness")?;
			Some((shell, worker))
		}
		(None, None) if from_folders => {
			tracing::warn!("no --genesis and no --worker: agents only, there is no chain");
			None
		}
		(None, _) => bail!("--genesis is needed: the hash of the chain's block 0"),
		(_, None) => bail!("--worker is needed: create one with registry.registerWorker"),
	};

	// On stdout, for whoever started this process with port 0.
	let mut relay_server = None;
	if let Some((shell, worker)) = &shell {
		let listener = listen(arguments.relay_listen).await?;
		println!("relay http://{}", listener.local_addr()?);
		tracing::info!(worker, "a new boot waits for its relayer on {}", listener.local_addr()?);
		relay_server = Some((listener, relay::router(shell.clone())));
	}
	let public_server = listen(arguments.public_listen).await?;
	println!("public http://{}", public_server.local_addr()?);
	let mut public_routes = Router::new();
	let worker = match shell {
		Some((shell, _)) => {
			let worker = Worker::new(shell.clone(), agents.clone())?;
			public_routes = public_routes
				.merge(public::router(shell))
				.merge(cluster::router(worker.clone()))
				.merge(sealed::router(worker.clone()));
			tokio::spawn(worker.clone().work());
			Some(worker)
		}
		None => None,
	};
	public_routes = public_routes.merge(agents::router(agents, worker));

	let stop = async {
		let mut terminate =
			tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
		tokio::select! {
			_ = tokio::signal::ctrl_c() => {},
			_ = async { match &mut terminate {
				Some(signal) => { signal.recv().await; },
				None => std::future::pending().await,
			} } => {},
		}
	};
	tokio::select! {
		ended = async { match relay_server {
			Some((listener, routes)) => axum::serve(listener, routes).await,
			None => std::future::pending().await,
		} } => ended?,
		ended = async { axum::serve(public_server, public_routes).await } => ended?,
		() = stop => {},
	}
	Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
	tokio::net::TcpListener::bind(address)
		.await
		.with_context(|| format!("cannot listen on {address}"))
}

/// The host of agents, and whether some came from folders.
#[cfg(feature = "software-evidence")]
async fn load_agents(arguments: &Arguments) -> anyhow::Result<(Arc<AgentHost>, bool)> {
	let agents = arguments.development.clone();
	let from_folders = !agents.folders.is_empty();
	if from_folders {
		tracing::warn!("agents of --dev-agent: a development server, open to anybody who reaches it; their state is in memory and gone when this process ends");
	}
	let load = move || phala_pruntime::hosting::development::load(&agents);
	Ok((Arc::new(tokio::task::spawn_blocking(load).await??), from_folders))
}

/// Agents come from the chain alone.
#[cfg(not(feature = "software-evidence"))]
async fn load_agents(_: &Arguments) -> anyhow::Result<(Arc<AgentHost>, bool)> {
	Ok((Arc::new(AgentHost::new(Default::default())?), false))
}
