//! Waiting for an agent's workers: until they stand at a block, know of its birth and have it ready.

use super::{
	keys::{keys_lost, tell_of_new_keys},
	upload::{Missing, Uploaded},
};
use crate::{
	commands::status::{self, in_time},
	failure::CommandError,
	limits,
	presence::{while_there, Looks},
	terminal,
	worker_client::{self, Standing, WorkerClient},
};
use anyhow::{bail, Context};
use phala_chain_client::{agents, clusters, Chain};
use phala_protocol::{
	agents::{AgentId, AgentRecord},
	boot::WorkerId,
	mailbox::ClusterId,
	BlockNumber,
};
use std::collections::BTreeSet;
use tokio::{task::JoinSet, time::Instant};

/// Waits until workers stand at a block, so that what was changed in it holds for whoever asks them next.
/// One that does not come so far in time is named: it may be down, and what holds is the chain's matter. Those
/// that are known to be silent are not asked.
pub async fn followed(
	chain: &Chain,
	cluster: ClusterId,
	block: BlockNumber,
	silent: BTreeSet<WorkerId>,
) -> anyhow::Result<()> {
	chain.wait_until_final(block).await?;
	let members = clusters::members(chain, cluster).await?;
	let mut waiting = JoinSet::new();
	for member in members.into_iter().filter(|member| !silent.contains(&member.worker)) {
		waiting.spawn(async move {
			let following = follows(&member, block, Looks::USUAL);
			let followed = tokio::time::timeout(limits::FOLLOW_MAX, following).await;
			let late = |_| bail!("it does not know of block {block} yet");
			(member.worker, followed.unwrap_or_else(late))
		});
	}
	while let Some(Ok((worker, followed))) = waiting.join_next().await {
		if let Err(why) = followed {
			let why = terminal::line(&format!("{why:#}"));
			say!("  worker {worker} is not waited for: {why}");
		}
	}
	Ok(())
}

/// Waits until a worker stands at a block.
/// One at which nothing listens, or that says nothing for long, is given up: it hears of the block
/// when it is back.
async fn follows(
	member: &clusters::Member,
	block: BlockNumber,
	looks: Looks,
) -> anyhow::Result<()> {
	let started = Instant::now();
	let mut is_told = false;
	let following = async {
		loop {
			match in_time(status::info(&member.endpoint)).await {
				Ok(info) if info.height.is_some_and(|height| height >= block) => return Ok(()),
				Ok(info) if !is_told && started.elapsed() >= limits::PROGRESS_EVERY => {
					is_told = true;
					let at = info.height.map_or("no block yet".into(), |at| format!("block {at}"));
					say!(
						"  waiting for worker {}, which knows of {at}, not of {block}",
						member.worker
					);
				}
				Err(error) if worker_client::was_never_asked(&error) => return Err(error),
				Ok(_) | Err(_) => {}
			}
			tokio::time::sleep(limits::POLL).await;
		}
	};
	while_there(member, looks, following).await
}

/// Waits until an agent has a key.
pub async fn born(
	chain: &Chain,
	cluster: ClusterId,
	agent: AgentId,
) -> anyhow::Result<AgentRecord> {
	let waiting = async {
		loop {
			let at = chain.finalized_head().await?;
			match agents::record(chain, at, agent).await? {
				Some(record) if record.key.is_some() => return Ok(record),
				_ => tokio::time::sleep(limits::POLL).await,
			}
		}
	};
	let in_time = tokio::select! {
		biased;
		in_time = tokio::time::timeout(limits::BIRTH_MAX, waiting) => in_time,
		lost = keys_lost(chain, cluster) => return Err(lost),
		never = tell_of_new_keys(chain, cluster) => match never {},
	};
	in_time.unwrap_or_else(|_| {
		refuse!("NotBorn", "agent {agent:?} was not born within {} s: `phala cluster status {cluster}` shows whether its workers are in force, their logs why they do not commit its birth; `phala deploy` once more goes on waiting",
			limits::BIRTH_MAX.as_secs())
	})
}

/// The same of one whose code these have. Too few of them do not commit its birth while the others count, be
/// they there or not: the chain sets aside who does not write, or has given no sign of life for minutes.
pub async fn born_beside(
	chain: &Chain,
	cluster: ClusterId,
	agent: AgentId,
	uploaded: &Uploaded,
) -> anyhow::Result<AgentRecord> {
	let birth = born(chain, cluster, agent);
	if uploaded.is_majority() {
		return birth.await;
	}
	let born = tokio::time::timeout(limits::FAILOVER_WAIT_MAX, birth).await;
	born.unwrap_or_else(|_| Err(unborn(agent, uploaded).into()))
}

fn unborn(agent: AgentId, uploaded: &Uploaded) -> CommandError {
	let (taken, all) = (uploaded.taken.len(), uploaded.taken.len() + uploaded.missing.len());
	let message = format!(
		"agent {agent:?} is registered, and waits for its birth: {taken} of {all} workers have its code, and a majority of those that count keeps what an agent writes. These do not answer, and count for up to ten minutes:{}\n`phala deploy` once more goes on with it, once they answer or count no more; no further deposit is held",
		uploaded.missing_lines()
	);
	CommandError::new("NotBorn", message)
}

/// Waits until an agent answers on every one of these workers.
pub async fn ready(members: &[clusters::Member], agent: AgentId) -> anyhow::Result<()> {
	for member in members {
		let worker = member.worker;
		ready_at(member, agent, Looks::OF_A_START)
			.await
			.with_context(|| format!("worker {worker}"))?;
	}
	Ok(())
}

async fn ready_at(member: &clusters::Member, agent: AgentId, looks: Looks) -> anyhow::Result<()> {
	let client = WorkerClient::new(&member.endpoint)?;
	let started = Instant::now();
	let mut told = String::new();
	let waiting = async {
		loop {
			let lacks = match client.standing(agent).await? {
				Standing::Ready => return Ok(()),
				Standing::Lacks(lacks) => lacks,
			};
			if started.elapsed() >= limits::BIRTH_MAX {
				refuse!("NotReady", "it does not answer for the agent: {lacks}");
			}
			if started.elapsed() >= limits::PROGRESS_EVERY && told != lacks {
				say!("  waiting for worker {}: {}", member.worker, terminal::line(&lacks));
				told = lacks;
			}
			tokio::time::sleep(limits::POLL).await;
		}
	};
	while_there(member, looks, waiting).await
}

/// Waits until an agent answers on the workers that took its code, and whoever writes it is one of
/// them. Those that do not have it ready are missing then.
pub async fn settled(
	chain: &Chain,
	cluster: ClusterId,
	agent: AgentId,
	uploaded: Uploaded,
) -> anyhow::Result<Uploaded> {
	let uploaded = tokio::select! {
		biased;
		ready = ready_at_most(uploaded, agent, Looks::USUAL) => ready?,
		lost = keys_lost(chain, cluster) => return Err(lost),
	};
	let started = Instant::now();
	let mut is_told = false;
	loop {
		let lease = clusters::lease(chain, chain.finalized_head().await?, agent).await?;
		let why = match lease {
			Some(lease) if uploaded.has(lease.worker) => return Ok(uploaded),
			Some(lease) => {
				format!("worker {} writes it, which does not have it ready", lease.worker)
			}
			None => "no worker writes it".into(),
		};
		if started.elapsed() >= limits::PROGRESS_EVERY && !is_told {
			is_told = true;
			say!("  {why}; waiting for another writer, as the chain gives it one");
		}
		if started.elapsed() >= limits::FAILOVER_MAX {
			refuse!(
				"NotReady",
				"agent {agent:?} is registered and born, but {why}:{}\n`phala deploy` once more goes on with it; a worker that is not where the chain says is moved there by its operator, with `phala cluster endpoint <worker> <url>`",
				uploaded.missing_lines()
			);
		}
		tokio::time::sleep(limits::POLL).await;
	}
}

async fn ready_at_most(
	uploaded: Uploaded,
	agent: AgentId,
	looks: Looks,
) -> anyhow::Result<Uploaded> {
	let Uploaded { taken, missing } = uploaded;
	let mut waiting = JoinSet::new();
	for member in taken {
		waiting.spawn(async move {
			let ready = ready_at(&member, agent, looks).await;
			(member, ready)
		});
	}
	let mut uploaded = Uploaded { taken: Vec::new(), missing };
	for (member, ready) in waiting.join_all().await {
		match ready {
			Ok(()) => uploaded.taken.push(member),
			Err(error) => uploaded.missing.push(Missing::of(member.worker, &error)),
		}
	}
	uploaded.taken.sort_by_key(|member| member.worker);
	uploaded.missing.sort_by_key(|missing| missing.worker);
	uploaded.check_serves()?;
	Ok(uploaded)
}

#[cfg(test)]
mod tests {
	use super::super::{
		tests::{built, dead, living, AGENT, LOOKS},
		upload::upload_to_most,
	};
	use super::*;
	use crate::calls::villains::{worker, Villain};
	use std::time::Duration;

	#[tokio::test]
	async fn a_dead_member_is_named_and_holds_up_no_deployment() {
		let members = vec![living(1).await, dead(2), living(3).await];
		let uploaded = upload_to_most(members, &built(), LOOKS).await.unwrap();
		assert!(uploaded.has(1) && !uploaded.has(2) && uploaded.has(3));
		let lines = uploaded.missing_lines();
		assert!(lines.starts_with("\n  worker 2: no worker answers at http"), "{lines}");
		let uploaded = ready_at_most(uploaded, AGENT, LOOKS).await.unwrap();
		assert_eq!((uploaded.taken.len(), uploaded.missing.len()), (2, 1));
		// One that died after it took the code.
		let taken = vec![living(1).await, dead(3)];
		let uploaded = Uploaded { taken, missing: vec![] };
		let lines = ready_at_most(uploaded, AGENT, LOOKS).await.unwrap().missing_lines();
		assert!(lines.starts_with("\n  worker 3: "), "{lines}");
	}

	#[tokio::test]
	async fn who_is_gone_is_not_waited_for_until_it_knows_of_a_block() {
		let refused = follows(&dead(2), 7, LOOKS).await.unwrap_err().to_string();
		assert!(refused.contains("no worker answers"), "{refused}");
	}

	#[tokio::test]
	async fn who_is_not_there_holds_no_deployment_up_where_another_has_the_code() {
		let hung = worker(3, Villain::Hangs).await.member;
		let looks = Looks { each: Duration::from_secs(2), max: 1 };
		for gone in [dead(2), hung] {
			let members = vec![living(1).await, gone];
			let uploaded = upload_to_most(members, &built(), looks).await.unwrap();
			assert!(uploaded.has(1) && uploaded.missing.len() == 1);
			ready_at_most(uploaded, AGENT, looks).await.unwrap();
		}
	}

	#[tokio::test]
	async fn a_birth_that_too_few_can_commit_is_told_with_who_is_missed_and_what_goes_on() {
		let uploaded =
			upload_to_most(vec![living(1).await, dead(2)], &built(), LOOKS).await.unwrap();
		assert!(!uploaded.is_majority());
		let told = unborn(AGENT, &uploaded);
		assert_eq!(told.code, "NotBorn");
		for part in
			["1 of 2 workers have its code", "worker 2: no worker", "`phala deploy` once more"]
		{
			assert!(told.message.contains(part), "{part}: {}", told.message);
		}
		let members = vec![living(1).await, dead(2), living(3).await];
		assert!(upload_to_most(members, &built(), LOOKS).await.unwrap().is_majority());
	}

	#[tokio::test]
	async fn a_member_that_hangs_is_named_and_holds_up_no_deployment() {
		let hung = worker(2, Villain::Hangs).await;
		let looks = Looks { each: Duration::from_secs(2), max: 1 };
		let members = vec![living(1).await, hung.member.clone(), living(3).await];
		let uploaded = upload_to_most(members, &built(), looks).await.unwrap();
		assert!(uploaded.has(1) && !uploaded.has(2) && uploaded.has(3));
		let lines = uploaded.missing_lines();
		assert!(
			lines.contains("worker 2: it does not answer within 2 s: does it hang?"),
			"{lines}"
		);
		// It took the code, and was stopped then.
		let taken = vec![living(1).await, hung.member.clone(), living(3).await];
		let settled = ready_at_most(Uploaded { taken, missing: vec![] }, AGENT, looks).await;
		let missing = settled.unwrap().missing;
		assert_eq!(missing.iter().map(|missing| missing.worker).collect::<Vec<_>>(), [2]);
		let refused = follows(&hung.member, 7, looks).await.unwrap_err();
		assert!(crate::presence::is_silence(&refused), "{refused:#}");
	}
}
