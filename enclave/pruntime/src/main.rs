//! The enclave's process.

use anyhow::Context;
use clap::Parser;
use phala_primitives::{boot::SlotId, H256};
use phala_pruntime::{
	doors::{public, relay, Shell},
	machine::Config,
	platform::Platform,
};
use std::net::SocketAddr;
use tracing_subscriber::EnvFilter;

/// What runs inside the TEE.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
	/// Hash of the chain's block 0, the one chain that this enclave follows.
	#[arg(long, value_parser = hash)]
	genesis: Option<H256>,

	/// The slot that this boot is for.
	#[arg(long)]
	slot: Option<SlotId>,

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

	let genesis =
		arguments.genesis.context("--genesis is needed: the hash of the chain's block 0")?;
	let slot = arguments.slot.context("--slot is needed: create one with registry.createSlot")?;
	tracing::info!("evidence: {}", platform.describe());
	let shell = Shell::boot(Config { genesis, slot }, Box::new(platform))
		.context("the system gives no randomness")?;

	let relay_door = tokio::net::TcpListener::bind(arguments.relay_listen)
		.await
		.with_context(|| format!("cannot listen on {}", arguments.relay_listen))?;
	let public_door = tokio::net::TcpListener::bind(arguments.public_listen)
		.await
		.with_context(|| format!("cannot listen on {}", arguments.public_listen))?;
	// On stdout, for whoever started this process with port 0.
	println!("relay http://{}", relay_door.local_addr()?);
	println!("public http://{}", public_door.local_addr()?);
	tracing::info!(slot, "a new boot waits for its relayer on {}", relay_door.local_addr()?);

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
		ended = axum::serve(relay_door, relay::router(shell.clone())) => ended?,
		ended = axum::serve(public_door, public::router(shell)) => ended?,
		() = stop => {},
	}
	Ok(())
}
