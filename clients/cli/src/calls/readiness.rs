//! Whether a request would be answered, and its answer kept: asked before anything is paid for it.

use super::{
	members::go_first,
	quorum::{Shortage, Watch},
	silence::follows,
};
use crate::{
	commands::status::{hears_of_no_block, in_time},
	deployment,
	failure::CommandError,
	limits,
	names::Names,
	terminal,
	worker_client::{Standing, WorkerClient},
};
use phala_chain_client::{clusters, Chain, HeaderId};
use phala_protocol::{
	agents::{AgentId, AgentRecord},
	boot::WorkerId,
	mailbox::ClusterId,
	BlockNumber, H256,
};
use std::{future::Future, time::Duration};

/// Why a member does not answer for an agent now; nothing if it does. Where the newest final block is known, one
/// that hears of no block does not: what it runs it cannot commit.
pub async fn lacks(
	member: &clusters::Member,
	agent: AgentId,
	newest: Option<BlockNumber>,
) -> Option<String> {
	lacks_for(member, agent, newest, limits::STANDSTILL_MAX).await
}

async fn lacks_for(
	member: &clusters::Member,
	agent: AgentId,
	newest: Option<BlockNumber>,
	standstill_max: Duration,
) -> Option<String> {
	let asking = async {
		let client = WorkerClient::new(&member.endpoint)?;
		let standing = client.standing(agent).await?;
		let (Standing::Ready, Some(_)) = (&standing, newest) else { return Ok((standing, None)) };
		let said = client.info().await?;
		Ok(match follows(&said, newest, &mut None, standstill_max) {
			Ok(_) => (Standing::Ready, Some(said)),
			Err(why) => (Standing::Lacks(format!("it is ready for the agent, {why}")), None),
		})
	};
	match in_time(asking).await {
		Ok((Standing::Ready, None)) => None,
		Ok((Standing::Ready, Some(said))) => {
			hears_of_no_block(&member.endpoint, &said, newest, standstill_max).await
		}
		Ok((Standing::Lacks(why), _)) => Some(why),
		Err(error) => Some(format!("{error:#}")),
	}
}

/// Waits until somebody writes the agent and enough members are there to keep what it writes, before anything is
/// paid: what is not answered is refunded, but for the base fee. Refuses what nobody would answer. Who says by
/// when it is to be answered may know better. Whether it was waited: what was read before is old then.
pub async fn await_its_commit(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
	record: &AgentRecord,
	deadline: Option<BlockNumber>,
) -> anyhow::Result<bool> {
	if deadline.is_some() {
		return Ok(false);
	}
	let cluster = record.cluster;
	let mut at = Some(at);
	let writer = async || {
		let at = match at.take() {
			Some(at) => at,
			None => chain.finalized_head().await?,
		};
		check_somebody_answers(chain, at, agent, cluster).await
	};
	let mut watch = Watch::new(cluster);
	let keepers = kept_by_enough(async || watch.look(chain).await, limits::QUORUM_WAIT_MAX);
	written_and_kept(writer, keepers).await
}

/// Whether it was waited for who writes, or for those that keep it.
async fn written_and_kept(
	mut writer: impl AsyncFnMut() -> anyhow::Result<bool>,
	keepers: impl Future<Output = bool>,
) -> anyhow::Result<bool> {
	let waited = writer().await?;
	if !keepers.await {
		return Ok(waited);
	}
	// Meanwhile it may have gone.
	writer().await?;
	Ok(true)
}

/// Waits until enough members are there to keep a write. Whether it had to.
async fn kept_by_enough(
	mut look: impl AsyncFnMut() -> Option<Shortage>,
	wait_max: Duration,
) -> bool {
	let mut told: Option<Shortage> = None;
	let waiting = async {
		while let Some(shortage) = look().await {
			if told.as_ref().is_none_or(|told| !told.says_the_same(&shortage)) {
				say!("  {shortage}. It is submitted then, because what is not answered is refunded, but for the base fee. --deadline <BLOCK> submits it at once");
				told = Some(shortage);
			}
			tokio::time::sleep(limits::QUORUM_LOOK_EVERY).await;
		}
	};
	if tokio::time::timeout(wait_max, waiting).await.is_err() {
		say!("  it is so still: it is submitted all the same");
	}
	told.is_some()
}

/// Whether another writer was waited for.
async fn check_somebody_answers(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
	cluster: ClusterId,
) -> anyhow::Result<bool> {
	let mut members = clusters::members(chain, cluster).await?;
	let lease = clusters::lease(chain, at, agent).await?;
	let writer = lease.map(|lease| lease.worker);
	go_first(&mut members, writer);
	let mut refusals = Vec::new();
	if let Some(member) = members.first() {
		match lacks(member, agent, Some(at.number)).await {
			None => return Ok(false),
			Some(why) => refusals.push((member.worker, why)),
		}
	}
	let others = members.iter().skip(1).map(|member| lacks(member, agent, Some(at.number)));
	let others = futures::future::join_all(others).await;
	let somebody = others.iter().any(Option::is_none);
	let others = members.iter().skip(1).zip(others);
	refusals.extend(others.filter_map(|(member, why)| Some((member.worker, why?))));
	if let (true, Some((worker, why))) = (somebody, refusals.first()) {
		say!(
			"  worker {worker} would be given the request, and does not answer now ({}). Another writes the agent within half a minute if that stays so: waiting for that, because what is not answered is refunded, but for the base fee. --deadline <BLOCK> submits it at once",
			terminal::line(why)
		);
		let moving = moved_to_one_that_answers(chain, &members, agent);
		if tokio::time::timeout(limits::FAILOVER_WAIT_MAX, moving).await.is_err() {
			say!("  nobody else writes it yet: it is submitted all the same");
		}
		return Ok(true);
	}
	if let Some(lost) = deployment::lost_keys(chain, cluster).await? {
		return Err(lost);
	}
	Err(nobody_answers(agent, chain.genesis_hash(), &refusals).into())
}

/// Returns when the worker that has the lease answers for the agent.
async fn moved_to_one_that_answers(chain: &Chain, members: &[clusters::Member], agent: AgentId) {
	loop {
		// A node that does not answer now may in a moment; in the end it is submitted, or fails by name.
		if let Ok((at, _)) = chain.header(None).await {
			let final_block = chain.finalized().await.ok();
			let lease = clusters::lease(chain, at, agent).await.ok().flatten();
			let writer =
				lease.and_then(|lease| members.iter().find(|member| member.worker == lease.worker));
			if let Some(writer) = writer {
				if lacks(writer, agent, final_block).await.is_none() {
					return;
				}
			}
		}
		tokio::time::sleep(limits::POLL).await;
	}
}

fn nobody_answers(agent: AgentId, genesis: H256, refusals: &[(WorkerId, String)]) -> CommandError {
	let refusals = refusals.iter().map(|(worker, why)| format!("\n  worker {worker}: {why}"));
	let message = format!(
		"nothing was submitted: no worker answers for agent {} now:{}\nTry again once `phala agent status` names one that does; with --deadline <BLOCK> it is submitted all the same, for one that comes back until then",
		Names::called(genesis, agent),
		refusals.collect::<String>()
	);
	CommandError::new("Unanswered", message)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::calls::villains::{crashed, worker, Villain, AGENT, HEIGHT};
	use std::cell::Cell;

	#[tokio::test]
	async fn a_member_that_hangs_or_is_gone_or_is_not_ready_does_not_answer_for_an_agent() {
		let agent = AGENT;
		let hung = worker(1, Villain::Hangs).await;
		let why = lacks(&hung.member, agent, None).await.unwrap();
		assert!(why.contains("does it hang?"), "{why}");
		let why = lacks(&crashed(2).member, agent, None).await.unwrap();
		assert!(why.contains("no worker answers"), "{why}");
		let far_behind = Villain::IsCutOff { height: 1, fresh: true };
		let cut_off = worker(3, far_behind).await.member;
		assert_eq!(lacks(&cut_off, agent, None).await, None, "it has the agent");
		let behind = lacks(&cut_off, agent, Some(HEIGHT)).await.unwrap();
		assert!(behind.contains("stands at block 1, 100 is final"), "{behind}");
		// One whose relayer hangs since a few seconds is looked at until it moves, before anything is paid.
		let standing = Villain::IsCutOff { height: HEIGHT - 6, fresh: true };
		let standing = worker(4, standing).await.member;
		let short = Duration::from_millis(10);
		let stands = lacks_for(&standing, agent, Some(HEIGHT), short).await.unwrap();
		assert!(stands.contains("stands at block 94, 100 is final"), "{stands}");
		let near = lacks_for(&standing, agent, Some(HEIGHT - 5), short).await;
		assert_eq!(near, None, "others are as far");
		let refusals = [(1, why), (2, "its code has not come here yet".into())];
		let refused = nobody_answers(agent, H256([1; 32]), &refusals);
		assert_eq!(refused.code, "Unanswered");
		for part in
			["nothing was submitted", "worker 2: its code", "phala agent status", "--deadline"]
		{
			assert!(refused.message.contains(part), "{}", refused.message);
		}
	}

	#[tokio::test]
	async fn nothing_is_submitted_while_too_few_members_are_there_to_keep_it() {
		let shortage = Shortage::of_one(2, 600);
		let looks = Cell::new(0);
		let waited = kept_by_enough(
			async || {
				looks.set(looks.get() + 1);
				(looks.get() < 3).then(|| shortage.clone())
			},
			Duration::from_secs(600),
		);
		assert!(waited.await);
		assert_eq!(looks.get(), 3);
		assert!(!kept_by_enough(async || None, Duration::from_secs(600)).await);
		// Nor for ever.
		let never = kept_by_enough(async || Some(shortage.clone()), Duration::from_millis(50));
		assert!(never.await);
	}

	#[tokio::test]
	async fn who_writes_is_looked_at_once_more_after_those_that_keep_it_were_waited_for() {
		let looks = Cell::new(0);
		let gone_later = async || {
			looks.set(looks.get() + 1);
			match looks.get() {
				1 => Ok(false),
				_ => Err(nobody_answers(AGENT, H256([1; 32]), &[]).into()),
			}
		};
		assert!(!written_and_kept(gone_later, async { false }).await.unwrap());
		looks.set(0);
		assert!(written_and_kept(gone_later, async { true }).await.is_err());
		assert!(written_and_kept(async || Ok(true), async { false }).await.unwrap());
	}
}
