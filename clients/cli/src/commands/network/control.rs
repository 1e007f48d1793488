//! How other terminals reach a network that is up: a socket of this user's, one line of JSON each way.
//! It is named by the chain's port, so that `PHALA_NODE` (or the default) says which network is meant.

use crate::{
	chain::NodeOption,
	commands::status::{in_time, with_agents},
	failure::{self, Refused},
	output::{
		self,
		operators::{
			readiness, NetworkStatus, NetworkWorker, Phase, WorkerStarted, WorkerStatus,
			WorkerStopped,
		},
		words::Hash,
		Failure,
	},
};
use anyhow::Context;
use phala_devnet::{specification::cache_folder, Devnet, Runs};
use phala_protocol::{agents::AgentId, boot::WorkerId};
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
	let names = devnet.workers.iter().map(|worker| worker.options.names[0].as_str());
	let found = devnet.workers.iter().find(|worker| worker.options.names[0] == name);
	found.map(phala_devnet::Worker::id).ok_or_else(|| no_such_worker(name, names).into())
}

fn no_such_worker<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Refused {
	let names: Vec<_> = names.collect();
	Refused::new("NoSuchWorker", format!("there is no {name} here, but {}", names.join(", ")))
}

/// Where each stands, asked at once: one that hangs holds up nobody.
async fn workers(devnet: &mut Devnet, agents: &BTreeMap<String, Hash>) -> Vec<NetworkWorker> {
	let runs: Vec<_> = devnet.workers.iter_mut().map(phala_devnet::Worker::runs).collect();
	let asking = devnet.workers.iter().zip(runs).map(|(worker, runs)| async move {
		let url = worker.url();
		let (said, not_ready) = match runs.enclave {
			false => (None, Vec::new()),
			true => in_time(with_agents(&url))
				.await
				.map_or_else(|_| (None, Vec::new()), |(said, not_ready)| (Some(said), not_ready)),
		};
		let (phase, said) = (phase(runs, said.as_ref()), said.as_ref());
		NetworkWorker {
			name: worker.options.names[0].clone(),
			worker: worker.id(),
			boot: said.and_then(|said| said.boot),
			phase,
			fresh: said.and_then(|said| said.fresh),
			agents: said.and_then(|said| said.agents),
			agents_ready: said.and_then(|said| said.agents_ready),
			agents_not_ready: not_ready.into_iter().map(|id| called(id, agents)).collect(),
			url,
		}
	});
	futures::future::join_all(asking).await
}

/// What its processes and what it says of itself come to.
fn phase(runs: Runs, said: Option<&WorkerStatus>) -> Phase {
	match (runs, said) {
		(Runs { enclave: false, .. }, _) => Phase::Stopped,
		(Runs { relayer: false, .. }, _) => Phase::WithoutRelayer,
		(_, Some(said)) => said.phase,
		(_, None) => Phase::Silent,
	}
}

fn called(agent: AgentId, names: &BTreeMap<String, Hash>) -> String {
	let name = names.iter().find(|(_, id)| id.0 == agent).map(|(name, _)| name.clone());
	name.unwrap_or_else(|| format!("{agent:?}"))
}

/// What nobody can take over from this worker: agents that no other has ready. Empty where there are none,
/// and of one that has none.
fn not_taken_over(stopped: WorkerId, workers: &[NetworkWorker]) -> Vec<String> {
	let own = workers.iter().find(|worker| worker.worker == stopped);
	if own.is_none_or(|own| own.agents_ready <= Some(0)) {
		return Vec::new();
	}
	let mut others = workers.iter().filter(|worker| {
		worker.worker != stopped && worker.agents.is_some() && worker.phase == Phase::Serving
	});
	let Some(first) = others.next() else { return vec![ALL.into()] };
	let mut nowhere = first.agents_not_ready.clone();
	for other in others {
		nowhere.retain(|agent| other.agents_not_ready.contains(agent));
	}
	nowhere
}

/// In place of agents' names, where there is nobody else to have any ready.
const ALL: &str = "all";

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
			let not_taken_over = not_taken_over(id, &workers(devnet, agents).await);
			devnet.crash(id).await?;
			say!("… {name} was stopped from another terminal");
			Ok(Done::Stopped(WorkerStopped { stopped: name, worker: id, not_taken_over }))
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
			let workers = workers(devnet, agents).await;
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

fn stopped(WorkerStopped { stopped: name, not_taken_over, .. }: &WorkerStopped) -> String {
	format!(
		"{name} is stopped; `phala network start {name}` brings it back as its next boot{}",
		warning(not_taken_over)
	)
}

/// What is to be said when nobody takes over.
fn warning(not_taken_over: &[String]) -> String {
	match not_taken_over {
		[] => String::new(),
		agents => format!(
			"\nwarning: no other worker is ready to answer for: {}. What only the stopped one held is lost: wait for `phala network status` to show others ready before one is stopped",
			agents.join(", ")
		),
	}
}

fn started(WorkerStarted { started: name, .. }: &WorkerStarted) -> String {
	format!(
		"{name} starts; `phala network status` says when it serves: it registers, fetches its keys and catches up"
	)
}

fn status(NetworkStatus { chain, workers, .. }: &NetworkStatus) -> String {
	let mut text = format!("chain         {chain}");
	for told in workers {
		let NetworkWorker { name, worker, boot, phase, fresh, agents, agents_ready, url, .. } =
			told;
		let ready = readiness(*agents, *agents_ready, &told.agents_not_ready);
		let boot = boot.map_or_else(String::new, |boot| format!(", boot {boot}"));
		let why = match (phase, fresh) {
			(Phase::Silent, _) => " (it runs, and does not answer)".to_owned(),
			(Phase::WithoutRelayer, _) => format!(
				" (its enclave runs and hears of no block; `phala network start {name}` starts both anew)"
			),
			(Phase::Serving, Some(false)) => {
				" (its view of the chain is old: does its relayer hang?)".to_owned()
			}
			_ => String::new(),
		};
		text += &format!("\n{name:<13} worker {worker}{boot}, {}{why}{ready}, {url}", phase.name());
	}
	text
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_worker_that_is_not_there_is_refused_with_those_that_are() {
		let refused = no_such_worker("worker-9", ["gatekeeper", "worker-1"].into_iter()).into();
		let refused = failure::body(&refused);
		assert_eq!(refused.code, "NoSuchWorker");
		assert!(refused.message.contains("gatekeeper, worker-1"), "{}", refused.message);
	}

	const UP: Runs = Runs { enclave: true, relayer: true };

	fn serving() -> WorkerStatus {
		serde_json::from_value(serde_json::json!({ "phase": "serving" })).unwrap()
	}

	#[test]
	fn a_worker_whose_relayer_is_gone_is_not_called_stopped() {
		let said = serving();
		assert_eq!(phase(UP, Some(&said)), Phase::Serving);
		assert_eq!(phase(UP, None), Phase::Silent);
		let cut_off = Runs { relayer: false, ..UP };
		assert_eq!(phase(cut_off, Some(&said)), Phase::WithoutRelayer);
		assert_eq!(Phase::WithoutRelayer.name(), "without-relayer");
		let down = Runs { enclave: false, relayer: false };
		assert_eq!(phase(down, None), Phase::Stopped);
	}

	fn worker(worker: WorkerId, not_ready: &[&str]) -> NetworkWorker {
		NetworkWorker {
			name: format!("worker-{worker}"),
			worker,
			boot: Some(1),
			phase: Phase::Serving,
			fresh: Some(true),
			agents: Some(3),
			agents_ready: Some(3 - not_ready.len() as u64),
			agents_not_ready: not_ready.iter().map(|name| (*name).into()).collect(),
			url: String::new(),
		}
	}

	#[test]
	fn status_says_why_a_worker_does_not_follow_and_which_agents_are_not_ready() {
		let cut_off = NetworkWorker { phase: Phase::WithoutRelayer, ..worker(1, &[]) };
		let hangs = NetworkWorker { fresh: Some(false), ..worker(2, &["chat"]) };
		let workers = vec![cut_off, hangs];
		let told = NetworkStatus { chain: "ws://x".into(), workers, agents: BTreeMap::new() };
		let text = status(&told);
		for part in [
			"without-relayer",
			"network start worker-1",
			"does its relayer hang?",
			"2 of 3 agents ready (not chat)",
		] {
			assert!(text.contains(part), "{text}");
		}
	}

	#[test]
	fn stopping_a_worker_whose_agents_nobody_else_has_ready_warns() {
		let gatekeeper = NetworkWorker { agents: None, agents_ready: None, ..worker(0, &[]) };
		let stops = |others: Vec<NetworkWorker>| {
			let mut workers = vec![worker(1, &[])];
			workers.extend(others);
			not_taken_over(1, &workers)
		};
		assert_eq!(stops(vec![worker(2, &[])]), [""; 0]);
		assert_eq!(stops(vec![worker(2, &["chat"])]), ["chat"]);
		assert_eq!(stops(vec![worker(2, &["chat"]), worker(3, &["riddle"])]), [""; 0]);
		let alone =
			stops(vec![gatekeeper, NetworkWorker { phase: Phase::Stopped, ..worker(2, &[]) }]);
		assert_eq!(alone, [ALL]);
		assert!(warning(&alone).contains("warning") && warning(&[]).is_empty());
	}
}
