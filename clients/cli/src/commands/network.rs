//! `phala network up`: a whole development network on this machine, from nothing, in one command.
//!
//! ```text
//! phala network up                 # stays up until Ctrl-C and says which URLs to use
//! phala network up --once --json   # shows that everything works, one line of JSON, and stops
//! phala network up --workers 1 --port-base 9900 --verbose
//! ```
//!
//! 1. starts a chain with one validator, a new one at every start, and beside it builds
//!    agents/price-oracle and agents/chat if they are not, or are older than their sources;
//! 2. lets this build of pruntime register, creates workers for a gatekeeper and the workers, and a
//!    cluster;
//! 3. starts an enclave (`pruntime`) and a relayer (`pherry`) for each;
//! 4. seats the gatekeeper, lets the workers join the cluster, and deploys both agents: registers
//!    them, uploads their code to every worker, and waits until they are born;
//! 5. asks price-oracle directly, and through the chain, paid; seals a key to chat and asks it;
//! 6. checks the proof of each answer from block 0 on, and says who was paid what.
//!
//! Without a network of its own, local servers play the price sources and the language model:
//! `PHALA_PRICE_URLS`, `OPENAI_BASE_URL` and `OPENAI_API_KEY` name real ones.
//!
//! The chain listens on 9944, or with `--port-base N` on N; the gatekeeper's public server is on N + 10, worker
//! k's on N + 10 (k + 1), its relay server on the next port and its relayer's status on the one after.
//! Everything is on loopback, no process outlives this one, and nothing is kept but the chain's
//! specification in `$XDG_CACHE_HOME/phala` (`~/.cache/phala`) and the agents' builds. Killed with -9
//! it leaves its temporary folder, which the next start removes. The processes are
//! [`phala_devnet`]'s.
//!
//! | module | holds |
//! |---|---|
//! | [`agents`] | which agents, and their building |
//! | [`chat`] | a local stand-in for a language model |
//! | [`specification`], [`genesis`], [`validator_keys`] | `phala network new`: a network with value |
//! | [`control`] | how other terminals stop and start its workers |
//! | [`log`] | one readable log |
//! | [`parts`] | the parts, as many at once as can be |
//! | [`prices`] | local stand-ins for price sources |
//! | [`show`] | the questions, their answers and proofs |
//! | [`summary`] | the outcome as JSON |
//! | [`text`](mod@text) | the outcome for people |

mod agents;
mod chat;
pub mod control;
mod genesis;
pub(super) mod log;
mod parts;
mod prices;
mod show;
mod specification;
mod summary;
mod text;
mod validator_keys;

pub use summary::Summary;

use crate::{
	failure::{self, CommandError},
	limits,
	output::{self, words::Hash},
	steps::seconds,
	terminal,
};
use anyhow::Context;
use control::{put_off, Control, Moment, Order, WorkerArguments};
use log::Style;
use parts::Network;
use phala_devnet::{Devnet, Folder, Supervisor};
use std::{
	collections::{BTreeMap, BTreeSet},
	path::PathBuf,
	process::ExitCode,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc,
	},
};
use tokio::signal::unix::{signal, Signal, SignalKind};

/// What a shell reports of a process that Ctrl-C ended.
pub(super) const EXIT_INTERRUPTED: u8 = 130;

/// What children are told of this process's environment: how much to say, and whom to trust.
pub(super) const PASSED_ON: [&str; 4] =
	["RUST_LOG", "RUST_BACKTRACE", "SSL_CERT_FILE", "SSL_CERT_DIR"];

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// Starts a development network: a new chain, workers and two agents.
	Up(Arguments),
	/// Stops a worker of the network that is up, as a machine that fails; not the only one that answers for
	/// an agent.
	Stop(control::StopArguments),
	/// Brings a stopped worker back: its next boot.
	Start(control::WorkerArguments),
	/// What of the network is up.
	Status(control::StatusArguments),
	/// Makes the specification and the keys of a network with value.
	New(specification::Arguments),
}

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// Shows that everything works, then stops; succeeds only if all did.
	#[arg(long)]
	pub once: bool,

	/// How many workers, each with an enclave and a relayer of its own.
	#[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=i64::from(limits::WORKERS_MAX)))]
	pub workers: u8,

	/// The chain's port, N: the gatekeeper's public server is on N + 10, worker k's on N + 10 (k + 1).
	/// 0 takes free ones. If not said: 9944, or what is free further on; free ones with --once.
	#[arg(long, value_name = "N", value_parser = port_base)]
	pub port_base: Option<u16>,

	/// Lets agents reach a service on this machine too, if their manifest allows it as well; may be
	/// repeated.
	#[arg(long, value_name = "HOST:PORT")]
	pub allow_loopback: Vec<String>,

	/// Shows all lines of all parts, with their times.
	#[arg(long, short)]
	pub verbose: bool,

	/// Has every enclave write its run into this folder, to be replayed: with all plaintext and all
	/// secrets in it.
	#[arg(long, value_name = "FOLDER")]
	pub record: Option<PathBuf>,

	/// The repository with agents/ and clients/sdk-js. Found if not said.
	#[arg(long, value_name = "FOLDER")]
	pub checkout: Option<PathBuf>,
}

fn port_base(text: &str) -> Result<u16, String> {
	match text.parse::<u16>() {
		Ok(port) if port == 0 || (1_024..=PORT_BASE_MAX).contains(&port) => Ok(port),
		_ => Err(format!("a port from 1024 to {PORT_BASE_MAX} is taken, or 0 for free ones")),
	}
}

const PORT_BASE_MAX: u16 = u16::MAX - limits::PORTS_PER_WORKER * (limits::WORKERS_MAX as u16 + 2);

/// The chain's port, and so everybody's; 0 for free ones.
fn chosen_base(arguments: &Arguments) -> anyhow::Result<u16> {
	let unasked = if arguments.once { Some(0) } else { None };
	let workers = u16::from(arguments.workers);
	if let Some(base) = arguments.port_base.or(unasked) {
		if let Some(taken) = taken(base, workers).filter(|_| base != 0) {
			refuse!("PortTaken", "another program listens on port {taken}, which --port-base {base} would have this network take: name another, or leave it out and one is found");
		}
		if base != 0 && control::is_claimed(base) {
			refuse!("PortTaken", "another network of this user starts, stops or is up with its chain on port {base}: name another, or leave it out and one is found");
		}
		return Ok(base);
	}
	let first = limits::PORT_BASE_DEFAULT;
	let bases = (first..=PORT_BASE_MAX).step_by(limits::PORT_BASE_STEP);
	let is_free = |base: &u16| taken(*base, workers).is_none() && !control::is_claimed(*base);
	let Some(base) = bases.into_iter().find(is_free) else {
		return Ok(0);
	};
	if base != first {
		say!(
			"… port {first} or one of those that follow is taken: the chain listens on {base}; export PHALA_NODE=ws://127.0.0.1:{base}"
		);
	}
	Ok(base)
}

/// The first port on which a chain, a gatekeeper or workers could not listen from this one on.
fn taken(base: u16, workers: u16) -> Option<u16> {
	let of_workers = (1..=workers + 1)
		.flat_map(|number| (0..3).map(move |which| limits::PORTS_PER_WORKER * number + which));
	let mut ports = std::iter::once(0).chain(of_workers).map(|offset| base + offset);
	ports.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_err())
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	match command {
		Command::Up(arguments) => up(arguments, json).await,
		Command::Stop(arguments) => control::stop(arguments, json).await,
		Command::Start(WorkerArguments { name, node }) => {
			control::order(Order::Start { name }, &node, json).await
		}
		Command::New(arguments) => specification::run(arguments, json).await,
		Command::Status(asked) => control::order(Order::Status, &asked.node, json).await,
	}
}

/// Starts a network and stops it.
pub async fn up(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	// Before anything is started: from here on a signal ends everything in order.
	let mut stopped = StopSignals::new()?;
	let folder = Folder::new(&std::env::temp_dir())?;
	let mut devnet = None;
	let mut control = None;
	let stops = Arc::new(AtomicBool::new(false));
	let mut summary = Summary::default();

	let ended = tokio::select! {
		ended = bring_up(&arguments, json, &folder, &stops, &mut devnet, &mut control, &mut summary) => ended,
		() = stopped.one() => Ok(Ended::Interrupted),
	};
	if !matches!(ended, Ok(Ended::Shown)) {
		summary.ok = false;
	}
	say!("… stopping");
	stops.store(true, Ordering::Relaxed);
	if let Some(mut devnet) = devnet {
		tokio::select! {
			() = devnet.stop() => {}
			never = put_off(control.as_ref(), Moment::Stopping) => match never {},
		}
	}
	drop(control);
	let left = folder.path().display().to_string();
	match folder.close() {
		Ok(()) => say!("✓ stopped: no process and no file is left"),
		Err(error) => say!("warning: stopped, but {left} could not be removed: {error}"),
	}
	let interrupted_early =
		matches!(ended, Ok(Ended::Interrupted)) && summary.ready_seconds.is_none();
	let interrupted = || CommandError::new("Interrupted", "it was interrupted").into();
	match &ended {
		Err(error) => summary.error = Some(failure::body(error)),
		Ok(Ended::Interrupted) => summary.error = Some(failure::body(&interrupted())),
		Ok(Ended::Shown) => {}
	}
	if arguments.once {
		// The last line of stdout, whether or not people read along.
		output::print(&summary)?;
	} else if json && interrupted_early {
		failure::print(&interrupted());
	}
	match ended {
		Ok(Ended::Shown) => Ok(ExitCode::SUCCESS),
		Ok(Ended::Interrupted) if arguments.once || interrupted_early => {
			Ok(ExitCode::from(EXIT_INTERRUPTED))
		}
		Ok(Ended::Interrupted) => Ok(ExitCode::SUCCESS),
		Err(error) if arguments.once => {
			say!("error: {error:#}");
			Ok(ExitCode::FAILURE)
		}
		Err(error) => Err(error),
	}
}

enum Ended {
	/// Everything was shown, and that was all that was asked for.
	Shown,
	/// By a signal.
	Interrupted,
}

async fn bring_up(
	arguments: &Arguments,
	json: bool,
	folder: &Folder,
	stops: &Arc<AtomicBool>,
	devnet: &mut Option<Devnet>,
	control: &mut Option<Control>,
	summary: &mut Summary,
) -> anyhow::Result<Ended> {
	let started = std::time::Instant::now();
	let port_base = chosen_base(arguments)?;
	if port_base != 0 {
		// Others are told that it starts. One that does not take orders is up all the same.
		*control = Control::open(&format!("ws://127.0.0.1:{port_base}")).ok();
	}
	let style = Style::of_terminal(arguments.verbose);
	let supervisor = supervisor(folder, style, stops.clone())?;
	let mut network = Network { arguments, port_base, devnet, summary };
	tokio::select! {
		shown = network.show(supervisor, started) => shown?,
		never = put_off(control.as_ref(), Moment::Starting(started)) => match never {},
	}
	summary.ok = true;
	summary.seconds = Some(seconds(started.elapsed()));
	say!("✓ everything works, after {:.0} s", started.elapsed().as_secs_f64());
	if !json {
		terminal::show(text::shown(summary).as_bytes())?;
	}
	if arguments.once {
		return Ok(Ended::Shown);
	}
	if json {
		output::print(summary)?;
	} else {
		terminal::show(text::next_steps(summary).as_bytes())?;
	}
	let agents = summary.agents.iter().map(|agent| (agent.name.clone(), agent.id));
	let devnet = devnet.as_mut().context("it is up")?;
	if control.is_none() {
		// What it is for is a comfort: a network that is up does not end for want of it.
		match Control::open(&devnet.url()?) {
			Ok(opened) => *control = Some(opened),
			Err(error) => {
				say!("… `phala network stop` and `start` do not reach this network: {error:#}");
			}
		}
	}
	stay_up(devnet, control.as_ref(), &agents.collect()).await
}

/// As long as the chain is there: workers may end, be stopped and come back.
async fn stay_up(
	devnet: &mut Devnet,
	control: Option<&Control>,
	agents: &BTreeMap<String, Hash>,
) -> anyhow::Result<Ended> {
	let asked = async || match control {
		Some(control) => control.accept().await,
		None => std::future::pending().await,
	};
	let mut ended = BTreeSet::new();
	loop {
		devnet.check_node()?;
		for worker in &mut devnet.workers {
			let Err(error) = worker.check() else { continue };
			if ended.insert(worker.id()) {
				let name = &worker.options.names[0];
				say!("✗ {error:#}\n… the rest of the network goes on; `phala network start {name}` brings {name} back");
			}
		}
		tokio::select! {
			stream = asked() => {
				if let Ok(stream) = stream {
					control::serve(stream, devnet, &mut ended, agents).await;
				}
			}
			() = tokio::time::sleep(limits::POLL) => {}
		}
	}
}

/// Ctrl-C, and what a service manager sends.
pub(super) struct StopSignals {
	interrupt: Signal,
	terminate: Signal,
	hang_up: Signal,
}

impl StopSignals {
	pub(super) fn new() -> anyhow::Result<Self> {
		let on = |kind| signal(kind).context("cannot wait for signals");
		Ok(Self {
			interrupt: on(SignalKind::interrupt())?,
			terminate: on(SignalKind::terminate())?,
			hang_up: on(SignalKind::hangup())?,
		})
	}

	pub(super) async fn one(&mut self) {
		tokio::select! {
			_ = self.interrupt.recv() => {},
			_ = self.terminate.recv() => {},
			_ = self.hang_up.recv() => {},
		}
	}
}

/// Starts the binaries beside this one, and shows what they say: until the network `stops`, when they miss
/// each other and say so.
fn supervisor(folder: &Folder, style: Style, stops: Arc<AtomicBool>) -> anyhow::Result<Supervisor> {
	let own = std::env::current_exe().context("cannot find out where `phala` itself is")?;
	let binaries = own.parent().context("`phala` is in a folder")?;
	let show = move |name: &str, index: usize, line: &[u8]| {
		if stops.load(Ordering::Relaxed) && !style.verbose {
			return;
		}
		let line = String::from_utf8_lossy(line);
		if let Some(shown) = log::shown(line.trim_end(), style.verbose) {
			say!("{}{shown}", style.prefix(name, index));
		}
	};
	Ok(Supervisor::new(binaries, folder.path())?
		.passing_on(&PASSED_ON)
		.keeping(phala_devnet::limits::KEPT_LOG_BYTES)
		.telling(Arc::new(show)))
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::Parser;

	#[derive(clap::Parser)]
	struct Line {
		#[command(flatten)]
		arguments: Arguments,
	}

	#[test]
	fn a_port_that_is_asked_for_and_taken_is_refused_before_anything_is_started() {
		let squatter = loop {
			let squatter = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
			let port = squatter.local_addr().unwrap().port();
			if (1_024..=PORT_BASE_MAX).contains(&port) {
				break squatter;
			}
		};
		let port = squatter.local_addr().unwrap().port();
		let base = |base: u16| {
			chosen_base(&Line::parse_from(["phala", "--port-base", &base.to_string()]).arguments)
		};
		let refused = failure::body(&base(port).unwrap_err());
		assert_eq!(refused.code, "PortTaken");
		assert!(refused.message.contains(&format!("port {port}")), "{}", refused.message);
		// A worker's is noticed too, and not only the chain's.
		let below = port - limits::PORTS_PER_WORKER;
		if below >= 1_024 {
			assert_eq!(failure::body(&base(below).unwrap_err()).code, "PortTaken");
		}
		assert_eq!(base(0).unwrap(), 0);
	}
}
