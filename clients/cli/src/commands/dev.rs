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
use phala_agent_builder::{AgentFolder, Manifest};
use phala_devnet::{Folder, Process, Supervisor};
use std::{
	collections::BTreeMap,
	net::TcpListener,
	path::{Path, PathBuf},
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
	build::check_folder(folder).context(
		"`phala dev` runs the agent of one folder; `phala network up` starts a whole network",
	)?;
	// Before it is built, which takes a while.
	let mut port = port(arguments.port)?;
	if let Some(file) = &arguments.secrets_file {
		check_secrets(&secrets(file)?, &AgentFolder::open(folder)?.manifest)?;
	}
	let building = build::build(folder, sdk.clone(), !no_check);
	let (built, _) = step(&format!("building {shown}"), building).await?;

	// Children work in a folder of their own.
	let mut flags = vec![
		format!("--dev-agent={}", std::path::absolute(folder)?.display()),
		"--dev-agent-logs".to_owned(),
	];
	if let Some(file) = &arguments.secrets_file {
		flags.push(format!("--dev-secrets-file={}", std::path::absolute(file)?.display()));
	}
	flags.extend(arguments.allow_loopback.iter().map(|at| format!("--dev-loopback={at}")));

	// Its own first lines are for those who start it by hand; an error has its last ones.
	let shows = Arc::new(AtomicBool::new(false));
	let supervisor = supervisor(temporary, shows.clone())?;
	let start = async |port: u16| {
		let mut flags = flags.clone();
		flags.push(format!("--public-listen=127.0.0.1:{port}"));
		let mut process = supervisor.start("pruntime", "pruntime", &flags, &[])?;
		let address = process.line_after(ADDRESS_MARK).await?;
		Ok((process, address))
	};
	let mut starts_left = limits::DEV_STARTS_MAX;
	let (process, address) = loop {
		let (error, taken) = match step("starting it without a chain", start(port)).await {
			Ok((started, _)) => break started,
			Err(error) => (error, port),
		};
		starts_left -= 1;
		match instead(arguments.port, taken).filter(|_| starts_left > 0) {
			Some(other) => port = other,
			None => return Err(error),
		}
	};
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
fn port(asked: Option<u16>) -> anyhow::Result<u16> {
	if let Some(asked) = asked {
		if TcpListener::bind(("127.0.0.1", asked)).is_err() {
			refuse!("PortTaken", "another program listens on port {asked}, or it is not yours to take: name another with --port, or leave it out and one is found");
		}
		return Ok(asked);
	}
	let first = limits::DEV_PORT_DEFAULT;
	let mut tried = first..first + limits::DEV_PORTS_TRIED;
	let free = tried.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap_or(0);
	if free != first {
		say!("  port {first} is taken: it takes another");
	}
	Ok(free)
}

/// Another port, where nobody asked for this one and somebody took it since it was found free.
fn instead(asked: Option<u16>, taken: u16) -> Option<u16> {
	if asked.is_some() || taken == 0 || TcpListener::bind(("127.0.0.1", taken)).is_ok() {
		return None;
	}
	say!("  somebody else was quicker to take port {taken}");
	port(None).ok()
}

/// Of agents, by their names.
type Secrets = BTreeMap<String, BTreeMap<String, String>>;

/// Reads what --secrets-file names. What it holds is not repeated.
fn secrets(file: &Path) -> anyhow::Result<Secrets> {
	let text = std::fs::read(file)
		.with_context(|| format!("cannot read the secrets in {}", file.display()))?;
	match serde_json::from_slice(&text) {
		Ok(secrets) => Ok(secrets),
		Err(error) => refuse!(
			"SecretsMalformed",
			"{}, line {}: expected JSON as in {{\"<agent>\": {{\"<NAME>\": \"<value>\"}}}}; the text is not shown",
			file.display(),
			error.line()
		),
	}
}

/// Whether secrets are those that the one agent declares.
fn check_secrets(secrets: &Secrets, agent: &Manifest) -> anyhow::Result<()> {
	let name = &agent.name;
	if let Some(stranger) = secrets.keys().find(|of| *of != name) {
		refuse!(
			"NoSuchAgent",
			"the secrets file names an agent {stranger}, and {name} alone is run"
		);
	}
	let own = secrets.get(name).into_iter().flat_map(BTreeMap::keys);
	if let Some(secret) = own.into_iter().find(|secret| !agent.secrets.contains(*secret)) {
		refuse!(
			"SecretUndeclared",
			"the manifest of {name} declares no secret {secret}; add it to `secrets` in agent.toml"
		);
	}
	Ok(())
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

#[cfg(test)]
mod tests {
	use super::*;

	fn refused<T: std::fmt::Debug>(result: anyhow::Result<T>) -> (String, String) {
		let body = crate::failure::body(&result.unwrap_err());
		(body.code, body.message)
	}

	#[test]
	fn a_bad_secrets_file_is_refused_by_name_and_what_it_holds_is_not_shown() {
		let folder = tempfile::tempdir().unwrap();
		let file = folder.path().join("secrets.json");
		assert_eq!(refused(secrets(&file)).0, "FileFailed");
		for broken in ["{", "[]", "{\"riddle\": {\"WORD\": \"hush\""] {
			std::fs::write(&file, broken).unwrap();
			let (code, message) = refused(secrets(&file));
			assert_eq!(code, "SecretsMalformed");
			assert!(message.contains("line 1") && !message.contains("hush"), "{message}");
		}
		std::fs::write(&file, "{\"riddle\": {\"WORD\": \"hush\"}}").unwrap();
		let secrets = secrets(&file).unwrap();
		let agent = |name: &str, declared: &[&str]| Manifest {
			name: name.into(),
			secrets: declared.iter().map(|name| (*name).into()).collect(),
			..Default::default()
		};
		assert!(check_secrets(&secrets, &agent("riddle", &["WORD"])).is_ok());
		assert_eq!(refused(check_secrets(&secrets, &agent("other", &[]))).0, "NoSuchAgent");
		let (code, message) = refused(check_secrets(&secrets, &agent("riddle", &[])));
		assert_eq!(code, "SecretUndeclared");
		assert!(message.contains("WORD") && !message.contains("hush"), "{message}");
	}

	#[test]
	fn a_port_that_is_asked_for_and_taken_is_refused() {
		let squatter = TcpListener::bind("127.0.0.1:0").unwrap();
		let taken = squatter.local_addr().unwrap().port();
		assert_eq!(refused(port(Some(taken))).0, "PortTaken");
		assert_ne!(port(None).unwrap(), taken);
		// Somebody was quicker: another is found, unless it was this one that was asked for.
		assert!(instead(None, taken).is_some_and(|other| other != taken));
		assert_eq!(instead(Some(taken), taken), None);
		drop(squatter);
		assert_eq!(instead(None, 0), None, "it was not for its port that it did not start");
	}
}
