//! The enclave's process.

use anyhow::{bail, Context};
use clap::Parser;
use phala_machine::{Config, Machine};
use phala_protocol::{boot::WorkerId, H256};
use phala_pruntime::{
	executor::{
		peers::HttpPeers,
		sandbox::{WasmConfig, WasmSandbox},
		Executor, Ports, Recording,
	},
	platform::Platform,
	server::{self, connections::ConnectionLimits},
	store::{DiskPages, MemoryPages, MemoryStore, PageStore},
};
use phala_store::{Store, StoreConfig};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
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

	/// Where sealed state is kept. Whoever installs the worker makes this folder, once; with a chain it is
	/// needed. One worker has it at a time.
	#[arg(long, value_name = "FOLDER")]
	state_dir: Option<PathBuf>,

	/// Most that is kept there, in bytes.
	#[arg(long, value_name = "BYTES")]
	state_bytes_max: Option<u64>,

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

	/// Development only: writes the run into this folder, event by event, to be replayed: a file that
	/// is named by the boot's identity key. It holds all plaintext and all secrets of this boot.
	#[cfg(feature = "recording")]
	#[arg(long, value_name = "FOLDER", env = "PHALA_RECORD")]
	record: Option<std::path::PathBuf>,

	#[cfg(feature = "development")]
	#[command(flatten)]
	development: phala_pruntime::development::DevelopmentAgents,
}

fn hash(text: &str) -> Result<H256, &'static str> {
	phala_pruntime::hexadecimal::parse_hash(text).ok_or("a hash is 32 bytes in hexadecimal")
}

/// A core dump is all keys and plaintexts in one file of the host's. In production no process of the same
/// user reads this one's memory either; a development build leaves that to debuggers.
fn leave_no_core_dump() -> anyhow::Result<()> {
	use rustix::process::{setrlimit, Resource, Rlimit};
	let none = Rlimit { current: Some(0), maximum: Some(0) };
	setrlimit(Resource::Core, none).context("core dumps cannot be forbidden")?;
	#[cfg(not(feature = "software-evidence"))]
	{
		use rustix::process::{set_dumpable_behavior, DumpableBehavior};
		set_dumpable_behavior(DumpableBehavior::NotDumpable)
			.context("the process cannot be hidden from others of its user")?;
	}
	Ok(())
}

/// Where somebody looks at it and does not mind (<https://no-color.org>).
fn has_colours() -> bool {
	use std::io::IsTerminal;
	let minds = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
	std::io::stderr().is_terminal() && !minds
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
	let arguments = Arguments::parse();
	tracing_subscriber::fmt()
		.with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
		.with_target(false)
		.with_ansi(has_colours())
		.with_writer(std::io::stderr)
		.init();
	// Where it happened, and nothing of what was at hand there.
	std::panic::set_hook(Box::new(|panic| {
		tracing::error!(
			"a bug: panic at {}",
			panic.location().map_or("?".into(), |at| at.to_string())
		);
	}));

	leave_no_core_dump()?;

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

	let ports = Ports {
		sandbox: Arc::new(WasmSandbox::new(sandbox_config(&arguments))?),
		peers: Box::new(HttpPeers::new()?),
		pages: pages(&arguments)?,
		store: Box::new(store(&arguments)?),
		platform: Box::new(platform),
	};
	let (machine, recording) = match (arguments.genesis, arguments.worker) {
		(Some(genesis), Some(worker)) => {
			tracing::info!("evidence: {}", ports.platform.describe());
			boot(&arguments, Config { genesis, worker }, &*ports.platform)?
		}
		#[cfg(feature = "development")]
		(None, None) if !arguments.development.folders.is_empty() => develop(&arguments, &ports).await?,
		(None, _) => bail!("--genesis is needed: the hash of the chain's block 0"),
		(_, None) => bail!("--worker is needed: create one with registry.registerWorker"),
	};
	let has_chain = arguments.genesis.is_some();
	let executor = Executor::start(machine, ports, recording);

	// On stdout, for whoever started this process with port 0.
	let mut relay_server = None;
	if has_chain {
		let listener = listen(arguments.relay_listen).await?;
		println!("relay http://{}", listener.local_addr()?);
		tracing::info!("a new boot waits for its relayer on {}", listener.local_addr()?);
		relay_server = Some((listener, server::relay::router(executor.clone())));
	} else {
		#[cfg(feature = "development")]
		start_agents(&executor).await;
	}
	let public_server = listen(arguments.public_listen).await?;
	println!("public http://{}", public_server.local_addr()?);
	let public_routes = server::public_router(executor.clone());

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
		() = server::connections::serve(public_server, public_routes, ConnectionLimits::default()) => {},
		() = stop => {},
	}
	tokio::task::block_in_place(|| executor.pages().close());
	Ok(())
}

/// Code is beside the pages: all members may begin anew at once.
fn store(arguments: &Arguments) -> anyhow::Result<MemoryStore> {
	let Some(folder) = &arguments.state_dir else { return Ok(MemoryStore::default()) };
	let folder = folder.join("code");
	MemoryStore::with_code_in(folder.clone())
		.with_context(|| format!("no code can be kept in {}", folder.display()))
}

/// The disk. A machine without a chain keeps its agents' state in memory.
fn pages(arguments: &Arguments) -> anyhow::Result<Box<dyn PageStore>> {
	let Some(folder) = &arguments.state_dir else {
		if arguments.genesis.is_some() && arguments.worker.is_some() {
			bail!(
				"--state-dir is needed: the folder where sealed state is kept. Make it once, on the disk \
				 that it is to be on, when the worker is installed"
			);
		}
		return Ok(Box::new(MemoryPages::default()));
	};
	let program = std::env::current_exe()
		.context("this program does not find itself")?
		.with_file_name("pruntime-store");
	if !program.is_file() {
		bail!("{} is not there; it comes with pruntime, and belongs beside it", program.display());
	}
	if !folder.is_dir() {
		bail!(
			"{} is no folder: if the worker is new, make it; if it is not, mount its disk",
			folder.display()
		);
	}
	let mut config = StoreConfig::new(program, folder.clone());
	config.bytes_max = arguments.state_bytes_max.unwrap_or(config.bytes_max);
	let store = Store::start(config).context("the store does not start")?;
	Ok(Box::new(DiskPages(store)))
}

async fn listen(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
	tokio::net::TcpListener::bind(address)
		.await
		.with_context(|| format!("cannot listen on {address}"))
}

#[cfg(feature = "development")]
fn sandbox_config(arguments: &Arguments) -> WasmConfig {
	let development = &arguments.development;
	WasmConfig {
		egress: phala_sandbox::egress::EgressConfig {
			dev_loopback_allowed: development.loopback.clone(),
			..Default::default()
		},
		shows_agent_logs: development.agent_logs,
		..Default::default()
	}
}

#[cfg(not(feature = "development"))]
fn sandbox_config(_: &Arguments) -> WasmConfig {
	WasmConfig::default()
}

/// A new boot.
#[cfg(feature = "recording")]
fn boot(
	arguments: &Arguments,
	config: Config,
	platform: &dyn Platform,
) -> anyhow::Result<(Machine, Option<Recording>)> {
	let (now, seed) = (platform.now(), platform.seed()?);
	begin(arguments, &phala_machine::recording::Start::Boot { config, now, seed })
}

/// A new boot.
#[cfg(not(feature = "recording"))]
fn boot(
	_: &Arguments,
	config: Config,
	platform: &dyn Platform,
) -> anyhow::Result<(Machine, Option<Recording>)> {
	use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
	let mut rng = ChaCha20Rng::from_seed(platform.seed()?);
	Ok((Machine::boot(config, platform.now(), &mut rng), None))
}

#[cfg(feature = "recording")]
fn begin(
	arguments: &Arguments,
	start: &phala_machine::recording::Start,
) -> anyhow::Result<(Machine, Option<Recording>)> {
	let machine = start.machine();
	let Some(folder) = &arguments.record else { return Ok((machine, None)) };
	let path = folder.join(format!("{}.recording", hex::encode(machine.public_keys().identity)));
	tracing::warn!("this run is recorded, with all that is secret in it: {}", path.display());
	let recording = std::fs::create_dir_all(folder)
		.and_then(|()| Recording::create(&path, start))
		.with_context(|| format!("cannot write {}", path.display()))?;
	Ok((machine, Some(recording)))
}

/// A machine without a chain, with the agents from folders.
#[cfg(feature = "development")]
async fn develop(
	arguments: &Arguments,
	ports: &Ports,
) -> anyhow::Result<(Machine, Option<Recording>)> {
	tracing::warn!("no --genesis and no --worker: there is no chain. A development server, open to anybody who reaches it; agents' state is in memory and gone when this process ends");
	let (sandbox, store) = (&*ports.sandbox, &*ports.store);
	let agents = tokio::task::block_in_place(|| {
		phala_pruntime::development::load(&arguments.development, sandbox, store)
	})?;
	let (now, seed) = (ports.platform.now(), ports.platform.seed()?);
	begin(arguments, &phala_machine::recording::Start::Develop { agents, now, seed })
}

/// Returns when all agents answer.
#[cfg(feature = "development")]
async fn start_agents(executor: &Executor) {
	executor.tell(phala_machine::Event::Tick);
	executor
		.wait_until(|snapshot| {
			let mut agents = snapshot.cluster.iter().flat_map(|cluster| cluster.agents.values());
			agents.all(|agent| agent.program.is_some() && agent.state.version > 0)
		})
		.await;
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::CommandFactory;

	/// What only a development build may be told.
	#[test]
	fn flags_of_development_are_there_in_development_builds_alone() {
		let command = Arguments::command();
		let flags: Vec<_> = command.get_arguments().filter_map(|flag| flag.get_long()).collect();
		let has = |name: &str| flags.iter().any(|flag| flag.starts_with(name));
		assert_eq!(has("dev-"), cfg!(feature = "development"), "{flags:?}");
		assert_eq!(has("record"), cfg!(feature = "recording"), "{flags:?}");
		assert_eq!(has("software-"), cfg!(feature = "software-evidence"), "{flags:?}");
	}
}
