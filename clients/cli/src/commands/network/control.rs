//! How other terminals reach a network that is up: a socket of this user's, one line of JSON each way.
//! It is named by the chain's port, so that `PHALA_NODE` (or the default) says which network is meant.
//!
//! | module | holds |
//! |---|---|
//! | [`socket`] | the socket, and who may listen there |
//! | [`orders`] | what a network does that was asked for it |
//! | [`stop`] | what is asked before a worker is stopped |
//! | [`text`](mod@text) | what the commands say |

mod orders;
mod socket;
mod stop;
mod text;

pub use orders::serve;
pub use socket::{is_claimed, put_off, Control, Moment};
pub use stop::stop;

use crate::{
	chain::NodeOption,
	commands::status,
	deployment,
	failure::CommandError,
	output::{
		self,
		operators::{NetworkStatus, NetworkWorker, NotReady, WorkerStarted, WorkerStopped},
		words::Hash,
		Failure,
	},
	presence::UNANSWERED,
	steps::unless_quick,
};
use anyhow::Context;
use phala_chain_client::clusters;
use phala_protocol::{boot::WorkerId, H256};
use serde::{Deserialize, Serialize};
use socket::{ask, port, socket};
use std::{collections::BTreeMap, process::ExitCode};

/// As `phala network status` calls the chain.
const CHAIN: &str = "chain";

/// The code where no network is up.
const NO_NETWORK: &str = "NoNetwork";

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
	/// Its chain and its agents: nobody is asked for it, but it waits for an order before it.
	Agents,
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
	let without_keys = match &done {
		Done::Status(told) => without_keys(&told.workers),
		_ => None,
	};
	let told = tell(done, json)?;
	if let Some(worker) = without_keys {
		// A comfort: that they have none is told.
		let lost = async {
			let chain = node.connect().await?;
			let cluster = clusters::cluster_of(&chain, worker).await?;
			deployment::lost_keys(&chain, cluster).await
		};
		if let Ok(Some(lost)) = status::in_time(lost).await {
			say!("  {lost:#}");
		}
	}
	Ok(told)
}

/// One whose cluster's keys may be lost.
fn without_keys(workers: &[NetworkWorker]) -> Option<WorkerId> {
	workers.iter().find(|worker| text::lacks_keys(worker)).map(|worker| worker.worker)
}

async fn ask_network(order: &Order, node: &NodeOption) -> anyhow::Result<Done> {
	let path = socket(port(&node.node)?)?;
	let asking = unless_quick("waiting for what the network's parts say", ask(&path, order));
	let answer = asking.await.map_err(|error| {
		if error.kind() == std::io::ErrorKind::TimedOut {
			let message = format!("the network with its chain at {} {error}: does its terminal hang, or was it stopped there (Ctrl-Z)?", node.node);
			return CommandError::new(UNANSWERED, message);
		}
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
		Done::Stopped(told) => output::tell(json, &told, text::stopped(&told, false))?,
		Done::Started(told) => output::tell(json, &told, text::started(&told))?,
		Done::Status(told) => output::tell(json, &told, text::status(&told))?,
		// Nobody is told of them alone.
		Done::Agents(_) => {}
	}
	Ok(ExitCode::SUCCESS)
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

#[cfg(test)]
mod tests {
	use super::*;
	use crate::output::operators::{Phase, WorkerStatus};

	pub fn serving() -> WorkerStatus {
		serde_json::from_value(serde_json::json!({ "phase": "serving" })).unwrap()
	}

	pub fn lacking(agent: u8, lacks: Option<&str>) -> NotReady {
		let agent = H256([agent; 32]).into();
		NotReady { agent, name: None, lacks: lacks.map(str::to_owned) }
	}

	pub fn worker(worker: WorkerId, agents_not_ready: Vec<NotReady>) -> NetworkWorker {
		NetworkWorker {
			name: format!("worker-{worker}"),
			worker,
			boot: Some(1),
			phase: Phase::Serving,
			fresh: Some(true),
			height: Some(7),
			cluster_keys: Some(true),
			agents: Some(3),
			agents_ready: Some(3 - agents_not_ready.len() as u64),
			agents_not_ready,
			url: String::new(),
		}
	}

	#[test]
	fn keys_are_found_missing_beside_a_gatekeeper_that_is_first_and_in_no_cluster() {
		let gatekeeper =
			NetworkWorker { cluster_keys: Some(false), agents: None, ..worker(0, vec![]) };
		let lacking = |id| NetworkWorker { cluster_keys: Some(false), ..worker(id, vec![]) };
		assert_eq!(without_keys(&[gatekeeper, worker(1, vec![]), lacking(2)]), Some(2));
		let gatekeeper =
			NetworkWorker { cluster_keys: Some(false), agents: None, ..worker(0, vec![]) };
		let fresh = NetworkWorker { agents: Some(0), ..lacking(2) };
		assert_eq!(without_keys(&[gatekeeper, worker(1, vec![]), fresh]), None);
	}

	#[test]
	fn each_answer_of_a_network_is_read_as_what_it_is() {
		let told = NetworkStatus {
			chain: "ws://x".into(),
			chain_error: None,
			finalized: Some(7),
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
