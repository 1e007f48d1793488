//! `phala dev`: runs the agent of one folder on this machine, without a chain.
//!
//! ```text
//! phala dev riddle                                  # until Ctrl-C; says where to call it
//! phala dev --port 8001 --secrets-file secrets.json
//! ```
//!
//! It builds the folder as [`phala build`](super::build) does and gives it to `pruntime`, which lies
//! beside this binary: the same enclave program, sandbox and limits as on a network, as a cluster of
//! one member. There is no account, no fee and no proof; the agent is called over plain HTTP, and its
//! state is in memory until the end. What the agent logs is shown. Changed code is taken at the next
//! start: end it and start it again.
//!
//! `pruntime`'s own flags for this (`--dev-agent` and others) take several agents at once.

use super::{
	build,
	network::{log, StopSignals, EXIT_INTERRUPTED, PASSED_ON},
};
use crate::{
	limits,
	output::{self, agents::AgentServed},
	steps::step,
};
use anyhow::Context;
use phala_agent_builder::MANIFEST_FILE;
use phala_devnet::{Folder, Process, Supervisor};
use std::{
	net::TcpListener,
	path::PathBuf,
	process::ExitCode,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc,
	},
};

/// What `pruntime` writes before the address of its public server.
const ADDRESS_MARK: &str = "public ";

#[derive(Debug, clap::Args)]
// Its own name: that of what it takes over is `Arguments` too.
#[group(id = "dev")]
pub struct Arguments {
	#[command(flatten)]
	pub build: build::Arguments,

	/// The port on 127.0.0.1; 0 takes a free one. If not said: 8000, or what is free further on.
	#[arg(long, value_name = "N")]
	pub port: Option<u16>,

	/// Values of secrets as JSON, {"<agent>": {"<NAME>": "<value>"}}: of names that agent.toml declares.
	#[arg(long, value_name = "FILE")]
	pub secrets_file: Option<PathBuf>,

	/// Lets the agent reach a service on this machine too, if its manifest allows it as well; may be
	/// repeated.
	#[arg(long, value_name = "HOST:PORT")]
	pub allow_loopback: Vec<String>,
}

/// Runs the agent until a signal ends it.
///
/// # Errors
/// Why it was not built, does not start or ended by itself.
pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	// Before anything is started: from here on a signal ends everything in order.
	let mut stopped = StopSignals::new()?;
	let temporary = Folder::new(&std::env::temp_dir())?;
	let started = tokio::select! {
		started = start(&arguments, &temporary) => started?,
		() = stopped.one() => return Ok(ExitCode::from(EXIT_INTERRUPTED)),
	};
	let Started { mut process, agent, url } = started;
	let told = AgentServed { name: agent.clone(), url: url.clone() };
	output::tell(json, &told, url)?;
	if !json {
		say!("  {agent} answers there until Ctrl-C. Without a chain: no account, no fee, no proof, and its state ends with it");
	}
	tokio::select! {
		ended = ended(&mut process) => Err(ended),
		() = stopped.one() => {
			process.terminate();
			process.ended(phala_devnet::limits::STOP_MAX).await?;
			Ok(ExitCode::SUCCESS)
		}
	}
}

/// An agent that takes calls.
struct Started {
	process: Process,
	agent: String,
	url: String,
}

async fn start(arguments: &Arguments, temporary: &Folder) -> anyhow::Result<Started> {
	let build::Arguments { folder, sdk, no_check } = &arguments.build;
	let shown = folder.display();
	if !folder.join(MANIFEST_FILE).is_file() {
		refuse!("NoAgentFolder", "{shown} has no {MANIFEST_FILE}, so it is no agent's folder: `phala new <folder>` makes one; `phala network up` starts a whole network");
	}
	let building = build::build(folder, sdk.clone(), !no_check);
	let (built, _) = step(&format!("building {shown}"), building).await?;

	// Children work in a folder of their own.
	let mut flags = vec![
		format!("--dev-agent={}", std::path::absolute(folder)?.display()),
		format!("--public-listen=127.0.0.1:{}", port(arguments.port)),
		"--dev-agent-logs".to_owned(),
	];
	if let Some(file) = &arguments.secrets_file {
		flags.push(format!("--dev-secrets-file={}", std::path::absolute(file)?.display()));
	}
	flags.extend(arguments.allow_loopback.iter().map(|at| format!("--dev-loopback={at}")));

	// Its own first lines are for those who start it by hand; an error has its last ones.
	let shows = Arc::new(AtomicBool::new(false));
	let supervisor = supervisor(temporary, shows.clone())?;
	let starting = async {
		let mut process = supervisor.start("pruntime", "pruntime", &flags, &[])?;
		let address = process.line_after(ADDRESS_MARK).await?;
		Ok((process, address))
	};
	let ((process, address), _) = step("starting it without a chain", starting).await?;
	shows.store(true, Ordering::Relaxed);
	let url = format!("{address}/agents/{}/", built.name);
	Ok(Started { process, agent: built.name, url })
}

/// Starts the binary beside this one, and shows what it says once it is told to.
fn supervisor(folder: &Folder, shows: Arc<AtomicBool>) -> anyhow::Result<Supervisor> {
	let own = std::env::current_exe().context("cannot find out where `phala` itself is")?;
	let binaries = own.parent().context("`phala` is in a folder")?;
	let show = move |_: &str, _: usize, line: &[u8]| {
		if shows.load(Ordering::Relaxed) {
			say!("{}", log::without_time(String::from_utf8_lossy(line).trim_end()));
		}
	};
	Ok(Supervisor::new(binaries, folder.path())?
		.passing_on(&PASSED_ON)
		.keeping(phala_devnet::limits::KEPT_LOG_BYTES)
		.telling(Arc::new(show)))
}

/// The port that was asked for; else the usual one, or what is free further on.
fn port(asked: Option<u16>) -> u16 {
	if let Some(asked) = asked {
		return asked;
	}
	let first = limits::DEV_PORT_DEFAULT;
	let mut tried = first..first + limits::DEV_PORTS_TRIED;
	let free = tried.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap_or(0);
	if free != first {
		say!("  port {first} is taken: it takes another");
	}
	free
}

/// Why it ended by itself.
async fn ended(process: &mut Process) -> anyhow::Error {
	loop {
		if let Err(error) = process.check() {
			return error;
		}
		tokio::time::sleep(limits::POLL).await;
	}
}
