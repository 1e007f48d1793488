//! What a network does that was asked for it.

use super::{
	names,
	socket::{answer, question},
	Done, NetworkAgents, Order,
};
use crate::{
	commands::status::{in_time, with_agents},
	failure::{self, CommandError},
	output::{
		operators::{
			NetworkStatus, NetworkWorker, Phase, WorkerStarted, WorkerStatus, WorkerStopped,
		},
		words::Hash,
		Failure,
	},
};
use phala_chain_client::Chain;
use phala_devnet::{Devnet, Runs};
use phala_protocol::boot::WorkerId;
use std::collections::{BTreeMap, BTreeSet};
use tokio::net::UnixStream;

/// Takes one order, carries it out and answers it: to its end, for half of it would be told to nobody.
/// What somebody asks wrongly is their own trouble.
pub async fn serve(
	stream: UnixStream,
	devnet: &mut Devnet,
	ended: &mut BTreeSet<WorkerId>,
	agents: &BTreeMap<String, Hash>,
) {
	let (read, mut write) = stream.into_split();
	let Some(line) = question(read).await else { return };
	let done = match serde_json::from_str(&line) {
		Ok(order) => carry_out(order, devnet, ended, agents).await,
		Err(error) => Err(anyhow::anyhow!("this is no order: {error}")),
	};
	let done = done.unwrap_or_else(|error| Done::Refused(Failure { error: failure::body(&error) }));
	answer(&mut write, &done).await;
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
}
