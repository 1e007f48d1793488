//! How other terminals reach a network that is up: a socket of this user's, one line of JSON each way.
//! It is named by the chain's port, so that `PHALA_NODE` (or the default) says which network is meant.

use crate::{
	chain::NodeOption,
	commands::status::{in_time, info},
	failure::{self, Refused},
	output::{
		self,
		operators::{readiness, NetworkStatus, NetworkWorker, Phase, WorkerStarted, WorkerStopped},
		words::Hash,
		Failure,
	},
};
use anyhow::Context;
use phala_devnet::{specification::cache_folder, Devnet};
use phala_protocol::boot::WorkerId;
use serde::{Deserialize, Serialize};
use std::{
	collections::{BTreeMap, BTreeSet},
	path::{Path, PathBuf},
	process::ExitCode,
	time::Duration,
};
use tokio::{
	io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
	net::{UnixListener, UnixStream},
};

/// A question is short.
const LINE_BYTES_MAX: u64 = 4 * 1024;

/// How long somebody may take to say what they want.
const ASKING_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct WorkerArguments {
	/// As `phala network up` calls it: worker-1, worker-2, gatekeeper.
	pub name: String,

	#[command(flatten)]
	pub node: NodeOption,
}

#[derive(Debug, clap::Args)]
pub struct StatusArguments {
	#[command(flatten)]
	pub node: NodeOption,
}

/// What a network is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
pub enum Order {
	/// Kills a worker's enclave and relayer, as a machine that fails.
	Stop {
		name: String,
	},
	/// Brings a stopped one back: its next boot.
	Start {
		name: String,
	},
	Status,
}

/// The socket of a network whose chain listens on `port`.
fn socket(port: u16) -> anyhow::Result<PathBuf> {
	Ok(cache_folder()?.join(format!("network-{port}.sock")))
}

/// Where a network that is up takes orders; removed when it is dropped.
pub struct Control {
	listener: UnixListener,
	path: PathBuf,
}

impl Drop for Control {
	fn drop(&mut self) {
		let _ = std::fs::remove_file(&self.path);
	}
}

impl Control {
	/// For the network whose chain has this URL.
	///
	/// # Errors
	/// When the socket cannot be made.
	pub fn open(chain: &str) -> anyhow::Result<Self> {
		let path = socket(port(chain)?)?;
		// Of one that was killed: the port is ours, so nobody listens there any more.
		let _ = std::fs::remove_file(&path);
		let listener = UnixListener::bind(&path)
			.with_context(|| format!("cannot listen on {}", path.display()))?;
		Ok(Self { listener, path })
	}

	/// Somebody who wants something. Nothing is lost when this is dropped.
	pub async fn accept(&self) -> std::io::Result<UnixStream> {
		Ok(self.listener.accept().await?.0)
	}
}

/// Takes one order, carries it out and answers it: to its end, for half of it would be told to nobody.
/// What somebody asks wrongly is their own trouble.
pub async fn serve(
	stream: UnixStream,
	devnet: &mut Devnet,
	ended: &mut BTreeSet<WorkerId>,
	agents: &BTreeMap<String, Hash>,
) {
	let (read, mut write) = stream.into_split();
	let mut line = String::new();
	let mut read = BufReader::new(read.take(LINE_BYTES_MAX));
	let reading = tokio::time::timeout(ASKING_MAX, read.read_line(&mut line));
	if !matches!(reading.await, Ok(Ok(_))) {
		return;
	}
	let done = match serde_json::from_str(&line) {
		Ok(order) => carry_out(order, devnet, ended, agents).await,
		Err(error) => Err(anyhow::anyhow!("this is no order: {error}")),
	};
	let done = done.unwrap_or_else(|error| Done::Refused(Failure { error: failure::body(&error) }));
	// All of it are texts and numbers.
	let answer = serde_json::to_string(&done).unwrap_or_default();
	let _ = write.write_all(format!("{answer}\n").as_bytes()).await;
}

/// What came of an [`Order`].
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Done {
	Refused(Failure),
	Stopped(WorkerStopped),
	Started(WorkerStarted),
	Status(NetworkStatus),
}

fn named(devnet: &Devnet, name: &str) -> anyhow::Result<WorkerId> {
	let found = devnet.workers.iter().find(|worker| worker.options.names[0] == name);
	found.map(phala_devnet::Worker::id).with_context(|| {
		let names: Vec<_> =
			devnet.workers.iter().map(|worker| worker.options.names[0].as_str()).collect();
		format!("there is no {name} here, but {}", names.join(", "))
	})
}

async fn carry_out(
	order: Order,
	devnet: &mut Devnet,
	ended: &mut BTreeSet<WorkerId>,
	agents: &BTreeMap<String, Hash>,
) -> anyhow::Result<Done> {
	match order {
		Order::Stop { name } => {
			let id = named(devnet, &name)?;
			if !ended.insert(id) {
				refuse!(
					"WorkerStopped",
					"{name} is stopped already; `phala network start {name}` brings it back"
				);
			}
			devnet.crash(id).await?;
			say!("… {name} was stopped from another terminal");
			Ok(Done::Stopped(WorkerStopped { stopped: name, worker: id }))
		}
		Order::Start { name } => {
			let id = named(devnet, &name)?;
			if !ended.contains(&id) {
				refuse!("WorkerRuns", "{name} runs; `phala network stop {name}` stops it");
			}
			devnet.restart_worker(id).await?;
			ended.remove(&id);
			say!("… {name} was started from another terminal");
			Ok(Done::Started(WorkerStarted { started: name, worker: id }))
		}
		Order::Status => {
			let asking = devnet.workers.iter().map(|worker| async {
				let said = match ended.contains(&worker.id()) {
					true => None,
					false => in_time(info(&worker.url())).await.ok(),
				};
				let phase = match (&said, ended.contains(&worker.id())) {
					(Some(said), _) => said.phase,
					(None, true) => Phase::Stopped,
					(None, false) => Phase::Silent,
				};
				let said = said.as_ref();
				NetworkWorker {
					name: worker.options.names[0].clone(),
					worker: worker.id(),
					boot: said.and_then(|said| said.boot),
					phase,
					agents: said.and_then(|said| said.agents),
					agents_ready: said.and_then(|said| said.agents_ready),
					url: worker.url(),
				}
			});
			// At once: one that hangs holds up nobody.
			let workers = futures::future::join_all(asking).await;
			let (chain, agents) = (devnet.url()?, agents.clone());
			Ok(Done::Status(NetworkStatus { chain, workers, agents }))
		}
	}
}

fn port(chain: &str) -> anyhow::Result<u16> {
	let url = url::Url::parse(chain).with_context(|| format!("{chain} is no URL"))?;
	url.port().with_context(|| format!("{chain} names no port"))
}

async fn ask(path: &Path, order: &Order) -> std::io::Result<String> {
	let mut stream = UnixStream::connect(path).await?;
	stream.write_all(format!("{}\n", serde_json::to_string(order)?).as_bytes()).await?;
	let mut answer = String::new();
	stream.read_to_string(&mut answer).await?;
	Ok(answer)
}

/// The agents of the network that is up on this machine with this chain, by name; none if none is.
///
/// # Errors
/// When no network answers there.
pub async fn agents(chain: &str) -> anyhow::Result<BTreeMap<String, Hash>> {
	let answer = ask(&socket(port(chain)?)?, &Order::Status).await?;
	Ok(serde_json::from_str::<NetworkStatus>(&answer)?.agents)
}

/// Has a network that is up on this machine do something.
///
/// # Errors
/// When none is up there, or it refuses.
pub async fn order(order: Order, node: &NodeOption, json: bool) -> anyhow::Result<ExitCode> {
	let path = socket(port(&node.node)?)?;
	let answer = ask(&path, &order).await.map_err(|error| {
		let message = format!(
			"no network of this user is up with its chain at {} ({error}); start one with `phala network up`, or name its chain with --node",
			node.node
		);
		Refused::new("NoNetwork", message)
	})?;
	match serde_json::from_str(&answer).context("the network did not answer")? {
		Done::Refused(Failure { error }) => {
			return Err(Refused::new(error.code, error.message).into())
		}
		Done::Stopped(told) => output::tell(json, &told, stopped(&told))?,
		Done::Started(told) => output::tell(json, &told, started(&told))?,
		Done::Status(told) => output::tell(json, &told, status(&told))?,
	}
	Ok(ExitCode::SUCCESS)
}

fn stopped(WorkerStopped { stopped: name, .. }: &WorkerStopped) -> String {
	format!("{name} is stopped; `phala network start {name}` brings it back as its next boot")
}

fn started(WorkerStarted { started: name, .. }: &WorkerStarted) -> String {
	format!(
		"{name} starts; `phala network status` says when it serves: it registers, fetches its keys and catches up"
	)
}

fn status(NetworkStatus { chain, workers, .. }: &NetworkStatus) -> String {
	let mut text = format!("chain         {chain}");
	for NetworkWorker { name, worker, boot, phase, agents, agents_ready, url } in workers {
		let ready = readiness(*agents, *agents_ready);
		let boot = boot.map_or_else(String::new, |boot| format!(", boot {boot}"));
		let why = if *phase == Phase::Silent { " (it runs, and does not answer)" } else { "" };
		text += &format!("\n{name:<13} worker {worker}{boot}, {}{why}{ready}, {url}", phase.name());
	}
	text
}
