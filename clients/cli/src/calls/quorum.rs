//! Whether enough members of a cluster are there to keep what an agent writes: without them nothing commits,
//! however sound the one is that writes.

use super::silence::{follows, Standstill};
use crate::{commands::status, limits};
use phala_chain_client::{
	clusters::{self, Counted},
	Chain,
};
use phala_protocol::{
	agents::availability_quorum, boot::WorkerId, mailbox::ClusterId, BlockNumber,
};
use std::{collections::BTreeMap, fmt, time::Duration};
use tokio::task::JoinSet;

/// Members of a cluster, looked at again and again.
pub struct Watch {
	cluster: ClusterId,
	standstill_max: Duration,
	stands: BTreeMap<WorkerId, Standstill>,
	/// Until when each counts, as it was at first: with another sign of life it is there, whoever does not reach it.
	first: BTreeMap<WorkerId, BlockNumber>,
}

/// Too few of those that count are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
	/// Who is not.
	silent: Vec<WorkerId>,
	/// How many have to keep a write, of how many.
	quorum: u32,
	counted: u32,
	/// From which block on enough of the silent ones count no more.
	until: Option<BlockNumber>,
}

impl Watch {
	pub fn new(cluster: ClusterId) -> Self {
		let standstill_max = limits::STANDSTILL_MAX;
		Self { cluster, standstill_max, stands: BTreeMap::new(), first: BTreeMap::new() }
	}

	/// Nothing while enough are there, or where the node does not say.
	pub async fn look(&mut self, chain: &Chain) -> Option<Shortage> {
		let counted = clusters::counted(chain, self.cluster).await.ok()?;
		let newest = chain.finalized().await.ok();
		self.among(&counted, newest).await
	}

	/// All are asked at once; as soon as enough are there nobody is waited for.
	async fn among(
		&mut self,
		counted: &[Counted],
		newest: Option<BlockNumber>,
	) -> Option<Shortage> {
		let quorum = availability_quorum(counted.len() as u32);
		let mut there = 0;
		let mut asking = JoinSet::new();
		for Counted { member, until } in counted.iter().cloned() {
			if *self.first.entry(member.worker).or_insert(until) < until {
				there += 1;
				continue;
			}
			asking.spawn(async move {
				(member.worker, status::in_time(status::info(&member.endpoint)).await)
			});
		}
		let mut is_there = Vec::new();
		while there < quorum {
			let Some(asked) = asking.join_next().await else { break };
			let Ok((worker, Ok(said))) = asked else { continue };
			let stands = self.stands.entry(worker).or_default();
			if follows(&said, newest, stands, self.standstill_max).is_ok() {
				is_there.push(worker);
				there += 1;
			}
		}
		let silent = |of: &&Counted| {
			self.first.get(&of.member.worker) == Some(&of.until)
				&& !is_there.contains(&of.member.worker)
		};
		(there < quorum).then(|| Shortage::of(counted.iter().filter(silent), counted.len() as u32))
	}
}

impl Shortage {
	fn of<'a>(silent: impl Iterator<Item = &'a Counted>, counted: u32) -> Self {
		let mut silent: Vec<_> = silent.collect();
		silent.sort_by_key(|of| (of.until, of.member.worker));
		let there = counted.saturating_sub(silent.len() as u32);
		// One after another counts no more; then those that are there are enough.
		let enough = silent.iter().zip(1..).find(|(_, gone)| {
			there > 0 && there >= availability_quorum(counted.saturating_sub(*gone))
		});
		let until = enough.map(|(of, _)| of.until);
		let mut silent: Vec<_> = silent.iter().map(|of| of.member.worker).collect();
		silent.sort_unstable();
		Self { silent, quorum: availability_quorum(counted), counted, until }
	}
}

#[cfg(test)]
impl Shortage {
	/// Of two members.
	pub fn of_one(silent: WorkerId, until: BlockNumber) -> Self {
		Self { silent: vec![silent], quorum: 2, counted: 2, until: Some(until) }
	}
}

impl fmt::Display for Shortage {
	fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
		let Self { silent, quorum, counted, until } = self;
		let (who, back) = match &silent[..] {
			[one] => (format!("worker {one} does not answer"), "it is back or is set aside"),
			several => {
				let named: Vec<_> = several.iter().map(WorkerId::to_string).collect();
				let who = format!("workers {} do not answer", named.join(", "));
				(who, "enough of them are back or set aside")
			}
		};
		write!(
			to,
			"{who}: of {counted} members {quorum} must keep a write, so nothing commits until {back}"
		)?;
		until.map_or(Ok(()), |block| write!(to, ", by block {block} at the latest"))
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::calls::villains::{crashed, worker, Villain, Worker, HEIGHT};

	/// Who is silent counts until these.
	const UNTIL: BlockNumber = 500;

	fn counted(workers: &[&Worker]) -> Vec<Counted> {
		let each = workers.iter().zip(UNTIL..);
		each.map(|(of, until)| Counted { member: of.member.clone(), until }).collect()
	}

	async fn shortage(workers: &[&Worker]) -> Option<String> {
		let mut watch = Watch::new(0);
		let found = watch.among(&counted(workers), Some(HEIGHT)).await;
		found.map(|shortage| shortage.to_string())
	}

	#[tokio::test]
	async fn of_two_members_both_must_keep_a_write_and_one_that_hangs_is_named_with_until_when() {
		let (sound, other) = (worker(1, Villain::Answers).await, worker(3, Villain::Answers).await);
		assert_eq!(shortage(&[&sound, &other]).await, None);
		let hung = worker(2, Villain::Hangs).await;
		let told = shortage(&[&sound, &hung]).await.unwrap();
		assert_eq!(told, "worker 2 does not answer: of 2 members 2 must keep a write, so nothing commits until it is back or is set aside, by block 501 at the latest");
		// Two of three are enough.
		assert_eq!(shortage(&[&sound, &hung, &other]).await, None);
		// Alone it is enough: the other was set aside.
		assert_eq!(shortage(&[&sound]).await, None);
	}

	#[tokio::test]
	async fn who_is_gone_or_hears_of_no_block_keeps_nothing_either() {
		let sound = worker(1, Villain::Answers).await;
		let cut_off = worker(2, Villain::IsCutOff { height: 1, fresh: true }).await;
		for silent in [crashed(2), cut_off] {
			assert!(shortage(&[&sound, &silent]).await.unwrap().starts_with("worker 2 does not"));
		}
		// Nor one that stands at one block for longer than members allow each other.
		let slow = worker(2, Villain::IsCutOff { height: HEIGHT - 5, fresh: true }).await;
		let mut watch = Watch { standstill_max: Duration::ZERO, ..Watch::new(0) };
		let both = counted(&[&sound, &slow]);
		assert!(watch.among(&both, Some(HEIGHT)).await.is_some());
	}

	#[tokio::test]
	async fn who_gives_the_chain_a_sign_of_life_is_there_though_it_is_not_reached_from_here() {
		let (sound, unreached) = (worker(1, Villain::Answers).await, crashed(2));
		let mut watch = Watch::new(0);
		let mut both = counted(&[&sound, &unreached]);
		assert!(watch.among(&both, Some(HEIGHT)).await.is_some());
		assert!(watch.among(&both, Some(HEIGHT)).await.is_some());
		both[1].until += 60;
		assert_eq!(watch.among(&both, Some(HEIGHT)).await, None);
	}

	#[test]
	fn writes_go_on_once_so_many_count_no_more_that_the_others_are_a_majority() {
		let of = |silent: &[BlockNumber], counted: u32| {
			let member = |worker| clusters::Member { worker, endpoint: String::new() };
			let silent: Vec<_> = (1..)
				.zip(silent)
				.map(|(worker, until)| Counted { member: member(worker), until: *until })
				.collect();
			Shortage::of(silent.iter(), counted)
		};
		assert_eq!(of(&[40], 2).until, Some(40));
		// Of four without two: three count then, of which two are there.
		assert_eq!(of(&[60, 40], 4).until, Some(40));
		// Of five without three two have to go.
		let three = of(&[60, 40, 50], 5);
		assert_eq!((three.until, three.quorum), (Some(50), 3));
		let told = three.to_string();
		assert!(told.starts_with("workers 1, 2, 3 do not answer: of 5 members 3 must"), "{told}");
		assert!(told.ends_with("set aside, by block 50 at the latest"), "{told}");
		// Where nobody is there nobody writes.
		assert_eq!(of(&[40, 50], 2).until, None);
	}
}
