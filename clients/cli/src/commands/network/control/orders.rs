//! What a network does that was asked for it.

use super::{
	names,
	socket::{answer, question},
	Done, NetworkAgents, Order,
};
use crate::{
	commands::status::{hears_of_no_block, in_time, with_agents, Said},
	failure::{self, CommandError},
	limits,
	output::{
		operators::{NetworkStatus, NetworkWorker, Phase, WorkerStarted, WorkerStopped},
		words::Hash,
		Failure,
	},
};
use phala_chain_client::Chain;
use phala_devnet::{Devnet, Runs};
use phala_protocol::{boot::WorkerId, BlockNumber};
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
async fn workers(
	devnet: &mut Devnet,
	agents: &BTreeMap<String, Hash>,
	newest: Option<BlockNumber>,
) -> Vec<NetworkWorker> {
	let runs: Vec<_> = devnet.workers.iter_mut().map(phala_devnet::Worker::runs).collect();
	let asking = devnet.workers.iter().zip(runs).map(|(worker, runs)| async move {
		if !runs.enclave {
			return (None, false);
		}
		let (url, max) = (worker.url(), limits::STANDSTILL_MAX);
		let Ok(said) = in_time(with_agents(&url)).await else { return (None, false) };
		let is_cut_off = hears_of_no_block(&url, &said.0, newest, max).await.is_some();
		(Some(said), is_cut_off)
	});
	let asked = futures::future::join_all(asking).await;
	// One that was killed a moment ago was there still, and did not answer.
	let runs: Vec<_> = devnet.workers.iter_mut().map(phala_devnet::Worker::runs).collect();
	let each = devnet.workers.iter().zip(runs).zip(asked);
	let told = each.map(|((worker, runs), (said, is_cut_off))| {
		let (name, url) = (worker.options.names[0].clone(), worker.url());
		let mut told = stands(name, worker.id(), url, runs, said, is_cut_off);
		let genesis = devnet.genesis();
		names(&mut told.agents_not_ready, agents, Some(genesis));
		told
	});
	told.collect()
}

/// What its processes, and what it says of itself, come to. Who hears of no block answers for no agent, whatever
/// it says.
fn stands(
	name: String,
	worker: WorkerId,
	url: String,
	runs: Runs,
	said: Option<Said>,
	is_cut_off: bool,
) -> NetworkWorker {
	let phase = match (runs, &said) {
		(Runs { enclave: false, .. }, _) => Phase::Stopped,
		(Runs { relayer: false, .. }, _) => Phase::WithoutRelayer,
		(_, Some(_)) if is_cut_off => Phase::WithoutRelayer,
		(_, Some((said, _))) => said.phase,
		(_, None) => Phase::Silent,
	};
	let (info, not_ready) = said.unzip();
	let of_agents = info.as_ref().filter(|_| !is_cut_off);
	let info = info.as_ref();
	NetworkWorker {
		name,
		worker,
		boot: info.and_then(|info| info.boot),
		phase,
		fresh: info.and_then(|info| info.fresh),
		height: info.and_then(|info| info.height),
		cluster_keys: info.and_then(|info| info.cluster_keys),
		agents: of_agents.and_then(|info| info.agents),
		agents_ready: of_agents.and_then(|info| info.agents_ready),
		agents_not_ready: not_ready.filter(|_| of_agents.is_some()).unwrap_or_default(),
		url,
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
			let finalized = finalized(&chain).await;
			let workers = workers(devnet, agents, finalized.as_ref().ok().copied()).await;
			let (chain_error, finalized) = (finalized.as_ref().err().cloned(), finalized.ok());
			let agents = agents.clone();
			Ok(Done::Status(NetworkStatus { chain, chain_error, finalized, workers, agents }))
		}
		Order::Agents => {
			let (genesis, named) = (devnet.genesis().into(), agents.clone());
			Ok(Done::Agents(NetworkAgents { genesis, named }))
		}
	}
}

/// The newest final block, or why the chain's node does not answer.
async fn finalized(chain: &str) -> Result<BlockNumber, String> {
	let asking = in_time(async { Ok(Chain::connect(chain).await?.finalized().await?) });
	asking.await.map_err(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
	use super::{
		super::tests::{lacking, serving},
		*,
	};
	use crate::output::operators::WorkerStatus;

	#[test]
	fn a_worker_that_is_not_there_is_refused_with_those_that_are() {
		let refused = no_such_worker("worker-9", ["gatekeeper", "worker-1"].into_iter()).into();
		let refused = failure::body(&refused);
		assert_eq!(refused.code, "NoSuchWorker");
		assert!(refused.message.contains("gatekeeper, worker-1"), "{}", refused.message);
	}

	const UP: Runs = Runs { enclave: true, relayer: true };

	#[test]
	fn a_worker_whose_relayer_is_gone_is_not_called_stopped() {
		let phase = |runs, said| stands("w".into(), 1, String::new(), runs, said, false).phase;
		let said = || Some((serving(), Vec::new()));
		assert_eq!(phase(UP, said()), Phase::Serving);
		assert_eq!(phase(UP, None), Phase::Silent);
		let cut_off = Runs { relayer: false, ..UP };
		assert_eq!(phase(cut_off, said()), Phase::WithoutRelayer);
		assert_eq!(Phase::WithoutRelayer.name(), "without-relayer");
		let down = Runs { enclave: false, relayer: false };
		assert_eq!(phase(down, None), Phase::Stopped);
	}

	#[test]
	fn a_worker_whose_relayer_hangs_is_not_said_to_serve_whatever_it_says() {
		let said = || {
			let info = WorkerStatus {
				height: Some(753),
				agents: Some(10),
				agents_ready: Some(9),
				..serving()
			};
			Some((info, vec![lacking(1, Some("its code"))]))
		};
		let told = |is_cut_off| stands("w".into(), 2, String::new(), UP, said(), is_cut_off);
		let well = told(false);
		assert_eq!((well.phase, well.agents_ready), (Phase::Serving, Some(9)));
		assert_eq!(well.agents_not_ready.len(), 1);
		let cut_off = told(true);
		assert_eq!((cut_off.phase, cut_off.height), (Phase::WithoutRelayer, Some(753)));
		assert_eq!((cut_off.agents, cut_off.agents_ready), (None, None));
		assert!(cut_off.agents_not_ready.is_empty());
	}
}
