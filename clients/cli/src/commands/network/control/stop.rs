//! `phala network stop`: not the last worker that an agent, or a cluster's keys, are with.

use super::{
	super::parts::GATEKEEPER, ask_network, names, tell, text, Done, Order, StopArguments,
	WorkerArguments, CHAIN, NO_NETWORK,
};
use crate::{
	chain::NodeOption,
	commands::status::{self, Said},
	failure, limits,
	output::{
		self,
		operators::{readiness, NetworkWorker, NotReady, Phase},
		words::Hash,
	},
	steps::unless_quick,
	terminal,
};
use anyhow::Context;
use phala_chain_client::{agents, clusters, Chain, ChainClientError};
use phala_protocol::{boot::WorkerId, mailbox::ClusterId};
use std::{process::ExitCode, time::Duration};

/// How long the chain and a cluster's members may take to say how they stand.
const ASKING_CLUSTER_MAX: Duration = Duration::from_secs(20);

// One that stands still is asked, looked at, and asked once more.
const _: () = assert!(
	2 * limits::STATUS_MAX.as_secs() + limits::STANDSTILL_MAX.as_secs()
		< ASKING_CLUSTER_MAX.as_secs()
);

/// What stopping a worker costs when nobody takes over: all that says so.
pub(super) const AT_STAKE: &str =
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
	} else if at_stake.waits_for_gatekeeper {
		say!("warning: the {GATEKEEPER} is not up: {name} gets its keys from it when it starts again, and serves nothing before; `phala network start {GATEKEEPER}` brings that back");
	}
	match ask_network(&Order::Stop { name }, &node).await? {
		Done::Stopped(mut told) => {
			told.not_taken_over = at_stake.agents;
			output::tell(json, &told, text::stopped(&told, at_stake.loses_keys))?;
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
	/// Whether the gatekeeper is away that would give it the keys when it is back.
	waits_for_gatekeeper: bool,
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
	let waits_for_gatekeeper = lacks_gatekeeper(&network.workers, worker);
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
		Ok(AtStake { loses_keys, waits_for_gatekeeper, ..nobody_else(worker.worker, &born, said) })
	};
	let asked = tokio::time::timeout(ASKING_CLUSTER_MAX, asking).await;
	asked.context("its chain does not answer")?
}

/// Whether none of a network but this one has keys, or makes them. One that does not answer may have them.
fn is_last(workers: &[NetworkWorker], stopped: &NetworkWorker) -> bool {
	let mut others = workers.iter().filter(|other| other.worker != stopped.worker);
	others.all(|other| other.phase == Phase::Stopped)
}

/// Whether a worker that is stopped would wait for its keys when it is back: the gatekeeper is away.
fn lacks_gatekeeper(workers: &[NetworkWorker], stopped: &NetworkWorker) -> bool {
	let of = workers.iter().find(|worker| worker.name == GATEKEEPER);
	of.is_some_and(|of| of.worker != stopped.worker && of.phase == Phase::Stopped)
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
	AtStake { agents, others: others.collect(), ..AtStake::default() }
}

#[cfg(test)]
mod tests {
	use super::super::tests::{lacking, serving, worker};
	use super::*;
	use crate::output::operators::{WorkerStatus, WorkerStopped};
	use phala_protocol::H256;

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
		let named = |phase| NetworkWorker { name: GATEKEEPER.into(), phase, ..worker(0, vec![]) };
		let lacks =
			|phase| lacks_gatekeeper(&[named(phase), worker(1, vec![])], &worker(1, vec![]));
		assert!(lacks(Phase::Stopped) && !lacks(Phase::Serving));
		let own = named(Phase::Stopped);
		assert!(!lacks_gatekeeper(&[named(Phase::Stopped)], &own), "it is the gatekeeper itself");
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
		let text = text::stopped(&forced, false);
		assert!(text.contains("chat; ") && text.contains(AT_STAKE));
		let lost = text::stopped(&forced, true);
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
}
