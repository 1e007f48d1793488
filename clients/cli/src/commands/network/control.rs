//! How other terminals reach a network that is up: a socket of this user's, one line of JSON each way.
//! It is named by the chain's port, so that `PHALA_NODE` (or the default) says which network is meant.

use crate::{
	chain::NodeOption,
	commands::status::{self, in_time, with_agents, Said},
	failure::{self, CommandError},
	output::{
		self,
		operators::{
			readiness, NetworkStatus, NetworkWorker, NotReady, Phase, WorkerStarted, WorkerStatus,
			WorkerStopped,
		},
		words::Hash,
		Failure,
	},
	steps::unless_quick,
	terminal,
};
use anyhow::Context;
use phala_chain_client::{agents, clusters, Chain, ChainClientError};
use phala_devnet::{specification::cache_folder, Devnet, Runs};
use phala_protocol::{boot::WorkerId, mailbox::ClusterId, H256};
use serde::{Deserialize, Serialize};
use std::{
	collections::{BTreeMap, BTreeSet},
	convert::Infallible,
	os::unix::fs::FileTypeExt,
	path::{Path, PathBuf},
	process::ExitCode,
	time::{Duration, Instant},
};
use tokio::{
	io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
	net::{UnixListener, UnixStream},
};

/// As `phala network status` calls the chain.
const CHAIN: &str = "chain";

/// The code where no network is up.
const NO_NETWORK: &str = "NoNetwork";

/// A question is short.
const LINE_BYTES_MAX: u64 = 4 * 1024;

/// How long somebody may take to say what they want.
const ASKING_MAX: Duration = Duration::from_secs(2);

/// How long the chain and a cluster's members may take to say how they stand.
const ASKING_CLUSTER_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct WorkerArguments {
	/// As `phala network up` calls it: worker-1, worker-2, gatekeeper.
	pub name: String,

	#[command(flatten)]
	pub node: NodeOption,
}

#[derive(Debug, clap::Args)]
pub struct StopArguments {
	#[command(flatten)]
	pub worker: WorkerArguments,

	/// Stops it also if no other member of its cluster is ready to answer for its agents.
	#[arg(long)]
	pub force: bool,
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
	/// Its chain and its agents: answered at once, whoever hangs.
	Agents,
}

/// The socket of a network whose chain listens on `port`.
fn socket(port: u16) -> anyhow::Result<PathBuf> {
	Ok(cache_folder()?.join(format!("network-{port}.sock")))
}

/// Where a network that is up takes orders; removed when it is dropped.
pub struct Control {
	listener: UnixListener,
	path: PathBuf,
	chain: String,
}

/// What a network does that takes no orders.
#[derive(Clone, Copy)]
pub enum Moment {
	/// Since then.
	Starting(Instant),
	Stopping,
}

impl Moment {
	fn refusal(self, chain: &str) -> CommandError {
		match self {
			Self::Starting(since) => {
				let seconds = since.elapsed().as_secs();
				let message = format!("the network with its chain at {chain} is starting, since {seconds} s: its own terminal says how far it is; try again when that shows its URLs");
				CommandError::new("NetworkStarting", message)
			}
			Self::Stopping => {
				let message = format!("the network with its chain at {chain} is stopping; once it has, `phala network up` starts a new one");
				CommandError::new("NetworkStopping", message)
			}
		}
	}
}

/// Whether a network that takes its orders by this port is there, be it about to start or to stop.
pub fn is_claimed(port: u16) -> bool {
	let path = socket(port).ok();
	path.is_some_and(|path| std::os::unix::net::UnixStream::connect(path).is_ok())
}

/// Tells whoever asks what the network does; does not end.
pub async fn put_off(control: Option<&Control>, moment: Moment) -> Infallible {
	let Some(control) = control else { return std::future::pending().await };
	loop {
		let Ok(stream) = control.accept().await else {
			tokio::time::sleep(ASKING_MAX).await;
			continue;
		};
		let (read, mut write) = stream.into_split();
		let mut line = String::new();
		// It would be cut off in the middle of its question, and not hear the answer.
		let mut read = BufReader::new(read.take(LINE_BYTES_MAX));
		let _ = tokio::time::timeout(ASKING_MAX, read.read_line(&mut line)).await;
		let error = failure::body(&moment.refusal(&control.chain).into());
		answer(&mut write, &Done::Refused(Failure { error })).await;
	}
}

async fn answer(to: &mut (impl AsyncWriteExt + Unpin), done: &Done) {
	// All of it are texts and numbers.
	let answer = serde_json::to_string(done).unwrap_or_default();
	let _ = to.write_all(format!("{answer}\n").as_bytes()).await;
}

/// Removes the sockets of networks that were killed: nobody listens on them.
fn remove_dead(folder: &Path) {
	let Ok(entries) = std::fs::read_dir(folder) else { return };
	for path in entries.flatten().map(|entry| entry.path()) {
		let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
		let is_ours = name.strip_prefix("network-").and_then(|name| name.strip_suffix(".sock"));
		let is_ours = is_ours.is_some_and(|port| port.parse::<u16>().is_ok());
		let is_socket =
			|| std::fs::metadata(&path).is_ok_and(|found| found.file_type().is_socket());
		let refused = || {
			std::os::unix::net::UnixStream::connect(&path)
				.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
		};
		if is_ours && is_socket() && refused() {
			let _ = std::fs::remove_file(&path);
		}
	}
}

impl Drop for Control {
	fn drop(&mut self) {
		let _ = std::fs::remove_file(&self.path);
	}
}

impl Control {
	/// For the network whose chain has this URL.
	pub fn open(chain: &str) -> anyhow::Result<Self> {
		let path = socket(port(chain)?)?;
		std::fs::create_dir_all(cache_folder()?)
			.with_context(|| format!("cannot listen on {}", path.display()))?;
		// Of one that was killed; of one that is there it stays, and this one is refused.
		remove_dead(&cache_folder()?);
		let listener = UnixListener::bind(&path)
			.with_context(|| format!("cannot listen on {}", path.display()))?;
		Ok(Self { listener, path, chain: chain.to_owned() })
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
	answer(&mut write, &done).await;
}

/// What came of an [`Order`].
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Done {
	Refused(Failure),
	Stopped(WorkerStopped),
	Started(WorkerStarted),
	Status(NetworkStatus),
	Agents(NetworkAgents),
}

/// The agents of a network, by their names.
#[derive(Serialize, Deserialize)]
struct NetworkAgents {
	/// Hash of its chain's block 0.
	genesis: Hash,
	named: BTreeMap<String, Hash>,
}

fn named(devnet: &Devnet, name: &str) -> anyhow::Result<WorkerId> {
	let names = devnet.workers.iter().map(|worker| worker.options.names[0].as_str());
	let found = devnet.workers.iter().find(|worker| worker.options.names[0] == name);
	found.map(phala_devnet::Worker::id).ok_or_else(|| no_such_worker(name, names).into())
}

fn no_such_worker<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> CommandError {
	let names: Vec<_> = names.collect();
	CommandError::new("NoSuchWorker", format!("there is no {name} here, but {}", names.join(", ")))
}

/// Where each stands, asked at once: one that hangs holds up nobody.
async fn workers(devnet: &mut Devnet, agents: &BTreeMap<String, Hash>) -> Vec<NetworkWorker> {
	let genesis = |said: &WorkerStatus| said.genesis.map(|genesis| genesis.0);
	let runs: Vec<_> = devnet.workers.iter_mut().map(phala_devnet::Worker::runs).collect();
	let asking = devnet.workers.iter().zip(runs).map(|(worker, runs)| async move {
		let url = worker.url();
		let (said, mut not_ready) = match runs.enclave {
			false => (None, Vec::new()),
			true => in_time(with_agents(&url))
				.await
				.map_or_else(|_| (None, Vec::new()), |(said, not_ready)| (Some(said), not_ready)),
		};
		names(&mut not_ready, agents, said.as_ref().and_then(genesis));
		let (phase, said) = (phase(runs, said.as_ref()), said.as_ref());
		NetworkWorker {
			name: worker.options.names[0].clone(),
			worker: worker.id(),
			boot: said.and_then(|said| said.boot),
			phase,
			fresh: said.and_then(|said| said.fresh),
			agents: said.and_then(|said| said.agents),
			agents_ready: said.and_then(|said| said.agents_ready),
			agents_not_ready: not_ready,
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
			// Who asked knows what the cluster loses.
			let not_taken_over = Vec::new();
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
			let chain = devnet.url()?;
			let (workers, chain_error) = tokio::join!(workers(devnet, agents), silence(&chain));
			let agents = agents.clone();
			Ok(Done::Status(NetworkStatus { chain, chain_error, workers, agents }))
		}
		Order::Agents => {
			let (genesis, named) = (devnet.genesis().into(), agents.clone());
			Ok(Done::Agents(NetworkAgents { genesis, named }))
		}
	}
}

/// Why a chain's node does not answer, if it does not.
async fn silence(chain: &str) -> Option<String> {
	let asking = in_time(async { Ok(Chain::connect(chain).await?.finalized().await?) });
	asking.await.err().map(|error| format!("{error:#}"))
}

fn port(chain: &str) -> anyhow::Result<u16> {
	let url = url::Url::parse(chain).ok();
	let Some(port) = url.as_ref().and_then(url::Url::port) else {
		refuse!("Usage", "{chain} is no URL with a port, as in ws://127.0.0.1:9944: --node or PHALA_NODE name the chain of a network that is up on this machine");
	};
	Ok(port)
}

async fn ask(path: &Path, order: &Order) -> std::io::Result<String> {
	let mut stream = UnixStream::connect(path).await?;
	stream.write_all(format!("{}\n", serde_json::to_string(order)?).as_bytes()).await?;
	let mut answer = String::new();
	stream.read_to_string(&mut answer).await?;
	Ok(answer)
}

/// The agents of the network that is up on this machine with this chain, by name; none if none is, or one with
/// another block 0.
pub async fn agents(chain: &str, genesis: H256) -> anyhow::Result<BTreeMap<String, Hash>> {
	let asking = async { anyhow::Ok(ask(&socket(port(chain)?)?, &Order::Agents).await?) };
	let answer = unless_quick("asking the network for its agents", asking).await?;
	let found: NetworkAgents = serde_json::from_str(&answer)?;
	Ok(if found.genesis.0 == genesis { found.named } else { BTreeMap::new() })
}

/// Has a network that is up on this machine do something.
pub async fn order(order: Order, node: &NodeOption, json: bool) -> anyhow::Result<ExitCode> {
	let done = ask_network(&order, node).await?;
	tell(done, json)
}

async fn ask_network(order: &Order, node: &NodeOption) -> anyhow::Result<Done> {
	let path = socket(port(&node.node)?)?;
	let asking = unless_quick("waiting for what the network's parts say", ask(&path, order));
	let answer = asking.await.map_err(|error| {
		let is_none = [std::io::ErrorKind::NotFound, std::io::ErrorKind::ConnectionRefused]
			.contains(&error.kind());
		let why = if is_none { String::new() } else { format!(" ({error})") };
		let message = format!(
			"no network of this user is up with its chain at {}{why}; start one with `phala network up`, or name its chain with --node",
			node.node
		);
		CommandError::new(NO_NETWORK, message)
	})?;
	match serde_json::from_str(&answer).context("the network did not answer")? {
		Done::Refused(Failure { error }) => {
			Err(CommandError::new(error.code, error.message).into())
		}
		done => Ok(done),
	}
}

fn tell(done: Done, json: bool) -> anyhow::Result<ExitCode> {
	match done {
		Done::Refused(Failure { error }) => {
			return Err(CommandError::new(error.code, error.message).into())
		}
		Done::Stopped(told) => output::tell(json, &told, stopped(&told, false))?,
		Done::Started(told) => output::tell(json, &told, started(&told))?,
		Done::Status(told) => output::tell(json, &told, status(&told))?,
		// Nobody is told of them alone.
		Done::Agents(_) => {}
	}
	Ok(ExitCode::SUCCESS)
}

/// What stopping a worker costs when nobody takes over: all that says so.
const AT_STAKE: &str =
	"nobody answers for them until it is back, and what no other disk has of their state waits for it";

/// The gatekeeper has what a cluster's keys come back from, members have the keys; all in memory.
const KEYS_LOST: &str = "neither the gatekeeper nor a worker is up then, and with both the keys of the cluster are lost, and the state of its agents for good";

/// Stops a worker of a network that is up on this machine, unless its cluster would lose by it.
pub async fn stop(arguments: StopArguments, json: bool) -> anyhow::Result<ExitCode> {
	let StopArguments { worker: WorkerArguments { name, node }, force } = arguments;
	if name == CHAIN {
		refuse!("NoSuchWorker", "the chain is not stopped alone: Ctrl-C in the terminal of `phala network up` stops the whole network");
	}
	let asking = unless_quick("asking who else answers for its agents", at_stake(&name, &node));
	let at_stake = match asking.await {
		// There is nothing that could be stopped.
		Err(error) if is_no_network(&error) => return Err(error),
		Err(error) if force => {
			say!("warning: who else is ready could not be asked: {error:#}");
			AtStake::default()
		}
		asked => asked.with_context(|| {
			format!("{name} is not stopped: who else is ready could not be asked; --force stops it all the same")
		})?,
	};
	if !force && (!at_stake.agents.is_empty() || at_stake.loses_keys) {
		refuse!("NotTakenOver", "{}", at_stake.refusal(&name));
	}
	if at_stake.loses_keys {
		say!("warning: {KEYS_LOST}");
	}
	match ask_network(&Order::Stop { name }, &node).await? {
		Done::Stopped(mut told) => {
			told.not_taken_over = at_stake.agents;
			output::tell(json, &told, stopped(&told, at_stake.loses_keys))?;
			Ok(ExitCode::SUCCESS)
		}
		done => tell(done, json),
	}
}

fn is_no_network(error: &anyhow::Error) -> bool {
	failure::body(error).code == NO_NETWORK
}

/// What nobody else answers for.
#[derive(Debug, Default, PartialEq, Eq)]
struct AtStake {
	/// By their names, or their ids.
	agents: Vec<String>,
	/// How the other members stand, a line each.
	others: Vec<String>,
	/// Whether nobody has the cluster's keys then, nor what they are made of.
	loses_keys: bool,
}

impl AtStake {
	fn refusal(&self, name: &str) -> String {
		if self.loses_keys {
			return format!("{name} is not stopped: {KEYS_LOST}; start another first, or stop it all the same with --force");
		}
		let others: String = self.others.iter().map(|other| format!("\n  {other}")).collect();
		let others = if others.is_empty() { "\n  there is no other member".into() } else { others };
		format!(
			"{name} is not stopped: no other member of its cluster is ready to answer for: {}; {AT_STAKE}.{others}\nWait until `phala network status` shows another that is ready, or stop it all the same with --force",
			self.agents.join(", ")
		)
	}
}

/// Asks the cluster of a worker, as the chain has it: members that this network did not start count too.
async fn at_stake(name: &str, node: &NodeOption) -> anyhow::Result<AtStake> {
	let Done::Status(network) = ask_network(&Order::Status, node).await? else {
		return Ok(AtStake::default());
	};
	let found = network.workers.iter().find(|worker| worker.name == name);
	// What is not there, or stopped already, the network refuses itself.
	let Some(worker) = found.filter(|worker| worker.phase != Phase::Stopped) else {
		return Ok(AtStake::default());
	};
	let is_last = is_last(&network.workers, worker);
	let asking = async {
		let chain = node.connect().await?;
		let Some(cluster) = cluster_of(&chain, worker.worker).await? else {
			// A gatekeeper's is that of the workers beside it.
			let mut loses_keys = is_last;
			for other in network.workers.iter().filter(|_| is_last) {
				let Some(cluster) = cluster_of(&chain, other.worker).await? else { continue };
				let said = status::of_all(
					clusters::members(&chain, cluster).await?,
					chain.finalized().await.ok(),
				)
				.await;
				loses_keys &= !others_have_keys(&network.workers, &said);
				break;
			}
			return Ok(AtStake { loses_keys, ..AtStake::default() });
		};
		let at = chain.finalized_head().await?;
		let agents = agents::all(&chain, at).await?.into_iter();
		let born = agents.filter(|(_, record)| record.cluster == cluster && record.version > 0);
		let mut born: Vec<_> = born
			.map(|(agent, _)| NotReady { agent: agent.into(), name: None, lacks: None })
			.collect();
		names(&mut born, &network.agents, Some(chain.genesis_hash()));
		let said =
			status::of_all(clusters::members(&chain, cluster).await?, chain.finalized().await.ok())
				.await;
		let loses_keys = is_last && !others_have_keys(&network.workers, &said);
		Ok(AtStake { loses_keys, ..nobody_else(worker.worker, &born, said) })
	};
	let asked = tokio::time::timeout(ASKING_CLUSTER_MAX, asking).await;
	asked.context("its chain does not answer")?
}

/// Whether none of a network but this one has keys, or makes them. One that does not answer may have them.
fn is_last(workers: &[NetworkWorker], stopped: &NetworkWorker) -> bool {
	let mut others = workers.iter().filter(|other| other.worker != stopped.worker);
	others.all(|other| other.phase == Phase::Stopped)
}

/// The cluster that a worker is in, or asked to join.
async fn cluster_of(
	chain: &Chain,
	worker: WorkerId,
) -> Result<Option<ClusterId>, ChainClientError> {
	match clusters::cluster_of(chain, worker).await {
		Err(ChainClientError::InNoCluster { .. }) => Ok(None),
		found => found.map(Some),
	}
}

/// Whether a member that this network did not start says that it has the cluster's keys.
fn others_have_keys(
	own: &[NetworkWorker],
	said: &[(clusters::Member, anyhow::Result<Said>)],
) -> bool {
	let is_own =
		|member: &clusters::Member| own.iter().any(|worker| worker.worker == member.worker);
	let has_keys = |said: &anyhow::Result<Said>| {
		said.as_ref().is_ok_and(|(info, _)| info.cluster_keys == Some(true))
	};
	said.iter().any(|(member, said)| !is_own(member) && has_keys(said))
}

/// Of the cluster's agents those that this member may answer for, and none of the others surely does.
fn nobody_else(
	stopped: WorkerId,
	born: &[NotReady],
	said: Vec<(clusters::Member, anyhow::Result<Said>)>,
) -> AtStake {
	let lacks = |not_ready: &[NotReady], id: &Hash| not_ready.iter().any(|of| of.agent == *id);
	let (own, others): (Vec<_>, Vec<_>) =
		said.into_iter().partition(|(member, _)| member.worker == stopped);
	// One that says nothing may have them all.
	let own_lacks = |id: &Hash| {
		own.iter().all(|(_, said)| said.as_ref().is_ok_and(|(_, not_ready)| lacks(not_ready, id)))
	};
	let takes_over = |id: &Hash| {
		others.iter().any(|(_, said)| {
			said.as_ref().is_ok_and(|(info, not_ready)| {
				// It counts those that answer, and named those that do not.
				info.agents_ready > Some(0) && !lacks(not_ready, id)
			})
		})
	};
	let agents = born.iter().filter(|of| !own_lacks(&of.agent) && !takes_over(&of.agent));
	let agents = agents.map(NotReady::called).collect();
	let others = others.iter().map(|(member, said)| {
		let stands = match said {
			Err(error) => format!("{error:#}"),
			Ok((info, _)) if info.fresh != Some(true) => {
				format!("{}, its view of the chain is old", info.phase.name())
			}
			Ok((info, not_ready)) => {
				info.phase.name() + &readiness(info.agents, info.agents_ready, not_ready)
			}
		};
		terminal::line(&format!("worker {}: {stands}", member.worker))
	});
	AtStake { agents, others: others.collect(), loses_keys: false }
}

/// Names agents as this network does, or as this user does.
fn names(agents: &mut [NotReady], network: &BTreeMap<String, Hash>, genesis: Option<H256>) {
	for agent in &mut *agents {
		let named = network.iter().find(|(_, id)| **id == agent.agent);
		agent.name = agent.name.take().or_else(|| named.map(|(name, _)| name.clone()));
	}
	if let Some(genesis) = genesis {
		status::name(agents, genesis);
	}
}

fn stopped(told: &WorkerStopped, lost_keys: bool) -> String {
	let WorkerStopped { stopped: name, not_taken_over, .. } = told;
	if lost_keys {
		return format!(
			"{name} is stopped; `phala network start {name}` brings it back as its next boot, without the keys"
		);
	}
	let warning = match &not_taken_over[..] {
		[] => String::new(),
		agents => format!(
			"\nwarning: no other member is ready to answer for: {}; {AT_STAKE}",
			agents.join(", ")
		),
	};
	format!(
		"{name} is stopped; `phala network start {name}` brings it back as its next boot{warning}"
	)
}

fn started(WorkerStarted { started: name, .. }: &WorkerStarted) -> String {
	format!(
		"{name} starts; `phala network status` says when it serves: it registers, fetches its keys and catches up"
	)
}

fn status(NetworkStatus { chain, chain_error, workers, .. }: &NetworkStatus) -> String {
	let error = chain_error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
	let mut text = format!("{CHAIN:<13} {chain}{}", terminal::line(&error));
	for told in workers {
		let NetworkWorker { name, worker, boot, phase, fresh, agents, agents_ready, url, .. } =
			told;
		let ready = readiness(*agents, *agents_ready, &told.agents_not_ready);
		let ready = terminal::line(&ready);
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

	#[test]
	fn the_socket_of_a_network_that_was_killed_is_removed_and_no_other_file() {
		let folder = tempfile::tempdir().unwrap();
		let path = |name: &str| folder.path().join(name);
		let listen = |name| std::os::unix::net::UnixListener::bind(path(name)).unwrap();
		drop(listen("network-9944.sock"));
		let lives = listen("network-10044.sock");
		drop(listen("other.sock"));
		std::fs::write(path("network-1.sock"), "no socket").unwrap();
		remove_dead(folder.path());
		for (name, stays) in [
			("network-9944.sock", false),
			("network-10044.sock", true),
			("other.sock", true),
			("network-1.sock", true),
		] {
			assert_eq!(path(name).exists(), stays, "{name}");
		}
		drop(lives);
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

	fn lacking(agent: u8, lacks: Option<&str>) -> NotReady {
		let agent = H256([agent; 32]).into();
		NotReady { agent, name: None, lacks: lacks.map(str::to_owned) }
	}

	fn worker(worker: WorkerId, agents_not_ready: Vec<NotReady>) -> NetworkWorker {
		NetworkWorker {
			name: format!("worker-{worker}"),
			worker,
			boot: Some(1),
			phase: Phase::Serving,
			fresh: Some(true),
			agents: Some(3),
			agents_ready: Some(3 - agents_not_ready.len() as u64),
			agents_not_ready,
			url: String::new(),
		}
	}

	#[test]
	fn status_says_why_a_worker_does_not_follow_and_which_agents_are_not_ready_and_why() {
		let cut_off = NetworkWorker { phase: Phase::WithoutRelayer, ..worker(1, vec![]) };
		let chat = |lacks| NotReady { name: Some("chat".into()), ..lacking(1, lacks) };
		let hangs = NetworkWorker { fresh: Some(false), ..worker(2, vec![chat(None)]) };
		let forged = Some("its code\nworker-9 is well");
		let lags = worker(3, vec![chat(forged), lacking(2, Some("keys")), lacking(3, forged)]);
		let workers = vec![cut_off, hangs, lags];
		let told = NetworkStatus {
			chain: "ws://x".into(),
			chain_error: Some("does it hang?\nno".into()),
			workers,
			agents: BTreeMap::new(),
		};
		let text = status(&told);
		assert!(text.starts_with("chain         ws://x (does it hang?\\nno)\n"), "{text}");
		let forged = "its code\\nworker-9 is well";
		let (second, third) = (H256([2; 32]), H256([3; 32]));
		let lags = format!("0 of 3 agents ready (not chat, {third:?}: {forged}; {second:?}: keys)");
		for part in [
			"without-relayer",
			"network start worker-1",
			"does its relayer hang?",
			"2 of 3 agents ready (not chat)",
			&lags,
		] {
			assert!(text.contains(part), "{part}: {text}");
		}
	}

	#[test]
	fn the_last_that_has_the_keys_is_not_stopped_in_passing() {
		let stopped = |mut one: NetworkWorker| {
			one.phase = Phase::Stopped;
			one
		};
		let gatekeeper = worker(0, vec![]);
		let up = [worker(0, vec![]), worker(1, vec![]), worker(2, vec![])];
		assert!(!is_last(&up, &gatekeeper));
		let down = [worker(0, vec![]), stopped(worker(1, vec![])), stopped(worker(2, vec![]))];
		assert!(is_last(&down, &gatekeeper), "members get their keys from it");
		let silent = NetworkWorker { phase: Phase::Silent, ..worker(2, vec![]) };
		assert!(!is_last(&[worker(0, vec![]), silent], &gatekeeper), "it may have them");
		let told = AtStake { loses_keys: true, ..AtStake::default() }.refusal("gatekeeper");
		assert!(told.contains("gatekeeper is not stopped") && told.contains("for good"), "{told}");
	}

	/// What a member says, of three agents.
	fn said(
		worker: WorkerId,
		not_ready: Vec<NotReady>,
	) -> (clusters::Member, anyhow::Result<Said>) {
		let member = clusters::Member { worker, endpoint: String::new() };
		let info = WorkerStatus {
			fresh: Some(true),
			agents: Some(3),
			agents_ready: Some(3 - not_ready.len() as u64),
			..serving()
		};
		(member, Ok((info, not_ready)))
	}

	#[test]
	fn a_worker_is_stopped_unasked_only_if_its_cluster_has_others_for_all_it_does() {
		let agents = [1, 2, 3].map(|agent| lacking(agent, None));
		let stops = |all: Vec<_>| nobody_else(1, &agents, all).agents;
		let ids =
			|of: &[u8]| of.iter().map(|id| format!("{:?}", H256([*id; 32]))).collect::<Vec<_>>();
		let own = || said(1, vec![]);
		assert_eq!(stops(vec![own(), said(2, vec![])]), ids(&[]));
		assert_eq!(stops(vec![own(), said(2, vec![lacking(2, None)])]), ids(&[2]));
		// Each has what the other lacks; one of them this network did not start.
		let both = vec![own(), said(2, vec![lacking(1, None)]), said(7, vec![lacking(3, None)])];
		assert_eq!(stops(both), ids(&[]));
		// Nothing is lost of what it does not answer for itself.
		assert_eq!(stops(vec![said(1, vec![lacking(1, None)])]), ids(&[2, 3]));
		// Who is silent may have all, and takes nothing over.
		let silent = |worker| (said(worker, vec![]).0, Err(anyhow::anyhow!("it hangs")));
		assert_eq!(stops(vec![silent(1), silent(2)]), ids(&[1, 2, 3]));
		assert_eq!(stops(vec![silent(1), said(2, vec![])]), ids(&[]));
		// One with an old view answers nobody.
		let (member, cut_off) = said(2, vec![]);
		let cut_off = cut_off.map(|(info, _)| {
			(WorkerStatus { fresh: Some(false), agents_ready: Some(0), ..info }, vec![])
		});
		let at_stake = nobody_else(1, &agents, vec![own(), (member, cut_off)]);
		assert_eq!(at_stake.agents, ids(&[1, 2, 3]));
		let told = at_stake.refusal("worker-1");
		for part in ["worker-1 is not stopped", "worker 2: serving, its view", AT_STAKE, "--force"]
		{
			assert!(told.contains(part), "{told}");
		}
		let forced = WorkerStopped {
			stopped: "worker-1".into(),
			worker: 1,
			not_taken_over: vec!["chat".into()],
		};
		let text = stopped(&forced, false);
		assert!(text.contains("chat; ") && text.contains(AT_STAKE));
		let lost = stopped(&forced, true);
		assert!(lost.contains("without the keys") && !lost.contains(AT_STAKE), "{lost}");
	}

	#[test]
	fn keys_that_a_worker_from_outside_has_are_not_lost_with_the_network_s_last() {
		let own = [worker(1, vec![]), worker(2, vec![])];
		let has = |id, keys| {
			let (member, answer) = said(id, vec![]);
			let with = |(info, not_ready)| (WorkerStatus { cluster_keys: keys, ..info }, not_ready);
			(member, answer.map(with))
		};
		assert!(others_have_keys(&own, &[has(1, Some(true)), has(3, Some(true))]));
		for other in [has(3, Some(false)), has(3, None), has(2, Some(true))] {
			assert!(!others_have_keys(&own, &[has(1, Some(true)), other]));
		}
		let silent = (said(3, vec![]).0, Err(anyhow::anyhow!("it hangs")));
		assert!(!others_have_keys(&own, &[silent]));
	}

	#[tokio::test]
	async fn who_asks_a_network_that_starts_or_stops_is_told_so() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("network-1.sock");
		let listener = UnixListener::bind(&path).unwrap();
		let control = Control { listener, path: path.clone(), chain: "ws://x".into() };
		for (moment, code, part) in [
			(Moment::Starting(Instant::now()), "NetworkStarting", "ws://x is starting"),
			(Moment::Stopping, "NetworkStopping", "ws://x is stopping"),
		] {
			let answer = tokio::select! {
				answer = ask(&path, &Order::Status) => answer.unwrap(),
				never = put_off(Some(&control), moment) => match never {},
			};
			let Ok(Done::Refused(Failure { error })) = serde_json::from_str(&answer) else {
				panic!("{answer} refuses")
			};
			assert_eq!(error.code, code);
			assert!(error.message.contains(part), "{}", error.message);
		}
	}

	#[test]
	fn each_answer_of_a_network_is_read_as_what_it_is() {
		let told = NetworkStatus {
			chain: "ws://x".into(),
			chain_error: None,
			workers: Vec::new(),
			agents: BTreeMap::new(),
		};
		let named = [("chat".to_owned(), Hash(H256([1; 32])))].into();
		let agents = NetworkAgents { genesis: Hash(H256([2; 32])), named };
		let read = |done: &Done| serde_json::from_str(&serde_json::to_string(done).unwrap());
		assert!(matches!(read(&Done::Status(told)), Ok(Done::Status(_))));
		assert!(matches!(read(&Done::Agents(agents)), Ok(Done::Agents(_))));
	}
}
