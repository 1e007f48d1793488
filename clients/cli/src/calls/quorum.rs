//! Whether enough members of a cluster are there to keep what an agent writes: without them nothing commits,
//! however sound the one is that writes.

use crate::{
	commands::status::{hears_of_no_block, in_time, info},
	limits,
};
use phala_chain_client::{
	clusters::{self, Counted, Member},
	Chain,
};
use phala_protocol::{
	agents::availability_quorum, boot::WorkerId, mailbox::ClusterId, BlockNumber,
};
use std::{collections::BTreeMap, fmt};
use tokio::task::JoinSet;

/// Members of a cluster, looked at again and again.
pub struct Watch {
	cluster: ClusterId,
	/// Until when each counts, as it was at first: with another sign of life one is there that is not reached from
	/// here. Whether others reach it cannot be told.
	first: BTreeMap<WorkerId, BlockNumber>,
}

/// What is found of a member that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
	Keeps,
	/// It says that it has no keys, or serves no more: whatever signs of life it gives, it keeps nothing.
	Without,
	/// It says nothing that helps.
	Silent,
	/// It answers, and hears of no block.
	CutOff,
}

impl Found {
	async fn of(member: &Member, newest: Option<BlockNumber>) -> Self {
		let Ok(said) = in_time(info(&member.endpoint)).await else { return Self::Silent };
		if said.cluster_keys != Some(true) || said.suspended.is_some() {
			return Self::Without;
		}
		let max = limits::STANDSTILL_MAX;
		let is_cut_off = said.fresh != Some(true)
			|| hears_of_no_block(&member.endpoint, &said, newest, max).await.is_some();
		if is_cut_off {
			Self::CutOff
		} else {
			Self::Keeps
		}
	}
}

/// Too few of those that count are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
	/// Who does not answer, or hears of no block.
	silent: Vec<WorkerId>,
	/// Who answers, and has no keys.
	without_keys: Vec<WorkerId>,
	/// How many have to keep a write, of how many.
	quorum: u32,
	counted: u32,
	/// From which block on enough of those that are missed count no more.
	until: Option<BlockNumber>,
}

impl Watch {
	pub fn new(cluster: ClusterId) -> Self {
		Self { cluster, first: BTreeMap::new() }
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
		let quorum = availability_quorum(counted.len() as u32) as usize;
		let mut asking = JoinSet::new();
		let mut gave_sign = BTreeMap::new();
		for Counted { member, until } in counted.iter().cloned() {
			let first = *self.first.entry(member.worker).or_insert(until);
			gave_sign.insert(member.worker, first < until);
			asking.spawn(async move { (member.worker, Found::of(&member, newest).await) });
		}
		let mut missed: BTreeMap<_, _> =
			counted.iter().map(|of| (of.member.worker, Found::Silent)).collect();
		while counted.len() - missed.len() < quorum {
			let Some(asked) = asking.join_next().await else { break };
			let Ok((worker, found)) = asked else { continue };
			let is_there = match found {
				Found::Keeps => true,
				Found::Silent => gave_sign.get(&worker) == Some(&true),
				Found::Without | Found::CutOff => false,
			};
			match is_there {
				true => missed.remove(&worker),
				false => missed.insert(worker, found),
			};
		}
		(counted.len() - missed.len() < quorum).then(|| Shortage::of(counted, &missed))
	}
}

impl Shortage {
	fn of(all: &[Counted], missed: &BTreeMap<WorkerId, Found>) -> Self {
		let counted = all.len() as u32;
		let mut ending: Vec<_> = all
			.iter()
			.filter(|of| missed.contains_key(&of.member.worker))
			.map(|of| of.until)
			.collect();
		ending.sort_unstable();
		let there = counted.saturating_sub(ending.len() as u32);
		// One after another counts no more; then those that are there are enough.
		let enough = ending.iter().zip(1..).find(|(_, gone)| {
			there > 0 && there >= availability_quorum(counted.saturating_sub(*gone))
		});
		let until = enough.map(|(until, _)| *until);
		let (without_keys, silent): (Vec<_>, Vec<_>) =
			missed.iter().partition(|(_, found)| **found == Found::Without);
		let workers = |of: Vec<(&WorkerId, &Found)>| of.into_iter().map(|(id, _)| *id).collect();
		Self {
			silent: workers(silent),
			without_keys: workers(without_keys),
			quorum: availability_quorum(counted),
			counted,
			until,
		}
	}

	/// Whether the same are missed: a block later is no news.
	pub fn says_the_same(&self, other: &Self) -> bool {
		let who = |of: &Self| (of.silent.clone(), of.without_keys.clone(), of.counted);
		who(self) == who(other)
	}
}

#[cfg(test)]
impl Shortage {
	/// Of two members.
	pub fn of_one(silent: WorkerId, until: BlockNumber) -> Self {
		let (silent, without_keys) = (vec![silent], Vec::new());
		Self { silent, without_keys, quorum: 2, counted: 2, until: Some(until) }
	}
}

impl fmt::Display for Shortage {
	fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
		let Self { silent, without_keys, quorum, counted, until } = self;
		if *counted == 0 {
			return to.write_str("no member of its cluster counts, for each was silent for long, or lacks evidence, stake or code that is allowed: nothing commits until one does");
		}
		let named = |who: &[WorkerId], one: &str, several: &str| match who {
			[] => None,
			[worker] => Some(format!("worker {worker} {one}")),
			_ => {
				let named: Vec<_> = who.iter().map(WorkerId::to_string).collect();
				Some(format!("workers {} {several}", named.join(", ")))
			}
		};
		let silent_named = named(silent, "does not answer", "do not answer");
		let keyless = named(
			without_keys,
			"does not serve with its cluster's keys",
			"do not serve with their cluster's keys",
		);
		let who: Vec<_> = silent_named.into_iter().chain(keyless).collect();
		let back = match silent.len() + without_keys.len() {
			1 => "it is back or is set aside",
			_ => "enough of them are back or set aside",
		};
		write!(
			to,
			"{}: of {counted} members {quorum} must keep a write, so nothing commits until {back}",
			who.join(" and ")
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
		// Nor one that stands at one block for longer than members allow each other, at the first look.
		let slow = worker(2, Villain::IsCutOff { height: HEIGHT - 5, fresh: true }).await;
		for silent in [crashed(2), cut_off, slow] {
			assert!(shortage(&[&sound, &silent]).await.unwrap().starts_with("worker 2 does not"));
		}
		let near = HEIGHT - limits::BEHIND_BLOCKS_USUAL;
		let near = worker(2, Villain::IsCutOff { height: near, fresh: true }).await;
		assert_eq!(shortage(&[&sound, &near]).await, None);
	}

	#[tokio::test]
	async fn who_has_no_keys_keeps_nothing_whatever_signs_of_life_it_gives() {
		let sound = worker(1, Villain::Answers).await;
		let (without, hung) =
			(worker(2, Villain::HasNoKeys).await, worker(3, Villain::Hangs).await);
		let told = shortage(&[&sound, &without]).await.unwrap();
		assert_eq!(told, "worker 2 does not serve with its cluster's keys: of 2 members 2 must keep a write, so nothing commits until it is back or is set aside, by block 501 at the latest");
		let told = shortage(&[&sound, &without, &hung]).await.unwrap();
		assert!(
			told.starts_with("worker 3 does not answer and worker 2 does not serve with"),
			"{told}"
		);
		// It boots anew, and counts for longer.
		let mut watch = Watch::new(0);
		let mut both = counted(&[&sound, &without]);
		assert!(watch.among(&both, Some(HEIGHT)).await.is_some());
		both[1].until += 60;
		assert!(watch.among(&both, Some(HEIGHT)).await.is_some());
	}

	#[tokio::test]
	async fn where_nobody_counts_that_is_said_and_nobody_is_named() {
		let told = shortage(&[]).await.unwrap();
		assert!(told.starts_with("no member of its cluster counts"), "{told}");
	}

	#[tokio::test]
	async fn who_is_missed_is_named_though_it_counts_for_less_long_than_before() {
		let (sound, unreached) = (worker(1, Villain::Answers).await, crashed(2));
		let mut watch = Watch::new(0);
		let mut both = counted(&[&sound, &unreached]);
		assert!(watch.among(&both, Some(HEIGHT)).await.is_some());
		both[1].until -= 60;
		let told = watch.among(&both, Some(HEIGHT)).await.unwrap().to_string();
		assert!(told.starts_with("worker 2 does not answer: of 2"), "{told}");
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
			let there = vec![1_000; counted as usize - silent.len()];
			let all: Vec<_> = (1..)
				.zip(silent.iter().chain(&there))
				.map(|(worker, until)| {
					let member = Member { worker, endpoint: String::new() };
					Counted { member, until: *until }
				})
				.collect();
			let missed = all.iter().take(silent.len());
			let missed = missed.map(|of| (of.member.worker, Found::Silent)).collect();
			Shortage::of(&all, &missed)
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
