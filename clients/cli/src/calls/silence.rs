//! When a worker that says nothing is waited for, and when it is passed over.

use crate::{limits, output::operators::WorkerStatus};
use phala_chain_client::clusters::Member;
use phala_protocol::{boot::WorkerId, BlockNumber};
use std::{collections::BTreeSet, future::Future, time::Duration};
use tokio::time::Instant;

/// How long a call waits for workers.
#[derive(Clone, Copy)]
pub struct Patience {
	/// Until one that says nothing is asked who it is.
	pub silence: Duration,
	/// For what it says then.
	pub presence: Duration,
	/// While it stands at one block that others are past.
	pub standstill: Duration,
	/// From when a member is found gone until another writes its agents.
	pub failover: Duration,
	/// Until the chain and those who are asked name the same code.
	pub code_switch: Duration,
}

impl Patience {
	pub const OF_A_CALL: Self = Self {
		silence: limits::SILENCE_MAX,
		presence: limits::PRESENCE_MAX,
		standstill: limits::STANDSTILL_MAX,
		failover: limits::FAILOVER_MAX,
		code_switch: limits::CODE_SWITCH_MAX,
	};
}

/// What members that do not answer leave to wait for.
#[derive(Default)]
pub struct Silence {
	/// Who.
	pub workers: BTreeSet<WorkerId>,
	/// By when somebody else should have taken over what they wrote.
	until: Option<Instant>,
}

impl Silence {
	/// Whether this one was not silent before.
	pub fn note(&mut self, worker: WorkerId, failover: Duration) -> bool {
		let is_new = self.workers.insert(worker);
		if is_new {
			self.until = Some(Instant::now() + failover);
		}
		is_new
	}

	pub fn is_of(&self, member: &Member) -> bool {
		self.workers.contains(&member.worker)
	}

	pub fn is_over(&self) -> bool {
		self.until.is_none_or(|until| Instant::now() >= until)
	}
}

/// The block that a worker which is waited for stands at while others are past it, and since when.
pub type Standstill = Option<(BlockNumber, Instant)>;

/// Whether a worker hears of what the chain commits. One that does not commits nothing either, and
/// loses its leases: it is what the other members watch each other for.
pub fn follows(
	status: &WorkerStatus,
	newest: Option<BlockNumber>,
	stands: &mut Standstill,
	standstill_max: Duration,
) -> Result<String, String> {
	if status.fresh != Some(true) {
		return Err("and its view of the chain is old".into());
	}
	let behind = status.height.zip(newest).filter(|(height, newest)| height < newest);
	let Some((height, newest)) = behind else {
		*stands = None;
		return Ok("follows the chain".into());
	};
	let since = match *stands {
		Some((at, since)) if at == height => since,
		_ => stands.insert((height, Instant::now())).1,
	};
	let standing = format!("stands at block {height}, {newest} is final");
	if height.saturating_add(limits::HOLDER_BEHIND_BLOCKS_MAX) < newest {
		return Err(format!("and {standing}"));
	}
	if since.elapsed() >= standstill_max {
		return Err(format!("and hears of no block: it {standing}"));
	}
	Ok(standing)
}

/// Where a worker stands that hears of no block, as it says `at` first; nothing of one that follows. One that is
/// behind is looked at `again` until it moves, for as long as members allow each other to stand still.
pub async fn stands_still<Again>(
	at: Option<BlockNumber>,
	newest: Option<BlockNumber>,
	standstill_max: Duration,
	mut again: impl FnMut() -> Again,
) -> Option<String>
where
	Again: Future<Output = Option<BlockNumber>>,
{
	let (first, newest) = at.zip(newest)?;
	let standing = format!("it stands at block {first}, {newest} is final");
	if first.saturating_add(limits::HOLDER_BEHIND_BLOCKS_MAX) < newest {
		return Some(standing);
	}
	if first.saturating_add(limits::BEHIND_BLOCKS_USUAL) >= newest {
		return None;
	}
	let since = Instant::now();
	while since.elapsed() < standstill_max {
		tokio::time::sleep(limits::POLL.min(standstill_max)).await;
		if again().await.is_some_and(|at| at != first) {
			return None;
		}
	}
	Some(standing)
}

#[cfg(test)]
mod tests {
	use super::*;

	const HEIGHT: BlockNumber = 1_000;
	const STANDSTILL: Duration = Duration::from_secs(60);

	#[test]
	fn a_worker_follows_that_is_not_further_behind_than_members_allow() {
		let behind = |blocks| WorkerStatus {
			height: Some(HEIGHT - blocks),
			fresh: Some(true),
			..serde_json::from_value(serde_json::json!({ "phase": "serving" })).unwrap()
		};
		let max = limits::HOLDER_BEHIND_BLOCKS_MAX;
		let follows = |status, newest| follows(&status, newest, &mut None, STANDSTILL).is_ok();
		assert!(follows(behind(max), Some(HEIGHT)));
		assert!(!follows(behind(max + 1), Some(HEIGHT)));
		// A node that says nothing, or is behind itself, is nothing against the worker.
		assert!(follows(behind(max + 1), None));
		assert!(follows(behind(0), Some(HEIGHT - max - 1)));
		for fresh in [Some(false), None] {
			assert!(!follows(WorkerStatus { fresh, ..behind(0) }, Some(HEIGHT)));
		}
	}

	#[tokio::test]
	async fn a_worker_that_is_behind_is_looked_at_until_it_moves_and_one_that_is_not_only_once() {
		const SHORT: Duration = Duration::from_millis(10);
		let stands = async |at: BlockNumber, later: BlockNumber, max| {
			stands_still(Some(at), Some(HEIGHT), max, async || Some(later)).await
		};
		let never = async |at: BlockNumber| {
			let again = || -> std::future::Ready<_> { panic!("it is looked at once") };
			stands_still(Some(at), Some(HEIGHT), SHORT, again).await
		};
		assert_eq!(never(HEIGHT - limits::BEHIND_BLOCKS_USUAL).await, None);
		let far = HEIGHT - limits::HOLDER_BEHIND_BLOCKS_MAX - 1;
		assert!(never(far).await.is_some());
		let behind = HEIGHT - limits::BEHIND_BLOCKS_USUAL - 1;
		assert_eq!(stands(behind, behind + 1, STANDSTILL).await, None);
		let told = stands(behind, behind, SHORT).await.unwrap();
		assert_eq!(told, format!("it stands at block {behind}, {HEIGHT} is final"));
		assert_eq!(stands_still(None, Some(1), SHORT, async || None).await, None);
		assert_eq!(stands_still(Some(1), None, SHORT, async || None).await, None);
	}

	#[test]
	fn a_worker_that_stands_still_while_the_chain_goes_on_hears_of_no_block() {
		let at = |height| WorkerStatus {
			height: Some(height),
			fresh: Some(true),
			..serde_json::from_value(serde_json::json!({ "phase": "serving" })).unwrap()
		};
		let mut stands = None;
		let mut follows =
			|height, newest, max| follows(&at(height), Some(newest), &mut stands, max);
		const AT_ONCE: Duration = Duration::ZERO;
		let said = follows(7, 8, STANDSTILL).unwrap();
		assert_eq!(said, "stands at block 7, 8 is final");
		// It moves: its time begins anew.
		assert!(follows(8, 9, STANDSTILL).is_ok());
		let said = follows(8, 10, AT_ONCE).unwrap_err();
		assert!(said.contains("hears of no block: it stands at block 8, 10 is final"), "{said}");
		// Where the chain stands still nobody is blamed.
		assert_eq!(follows(10, 10, AT_ONCE).unwrap(), "follows the chain");
	}
}
