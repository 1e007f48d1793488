//! The network between machines and to users: bytes that come late, twice, in another order, or not
//! at all.

use crate::{limits, scheduler::Random};
use phala_machine::PingAnswer;
use phala_protocol::{agents::AgentId, boot::WorkerId, H256};
use std::collections::BTreeMap;

/// Who sends or gets bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, codec::Encode)]
pub enum Party {
	Worker(WorkerId),
	Users,
}

/// What is on its way.
#[derive(Clone)]
pub enum Packet {
	/// `POST /v1/cluster/bodies`: SCALE of a `ReplicatedBody`.
	Keep { from: WorkerId, ask: u64, body: Vec<u8> },
	/// `GET /v1/info`.
	Ping { from: WorkerId, ask: u64, identity: [u8; 32] },
	/// `POST /v1/cluster/agents/{id}/pages`.
	GivePages { from: WorkerId, ask: u64, agent: AgentId, question: Vec<u8> },
	/// `GET /v1/code/{hash}`.
	GiveCode { from: WorkerId, ask: u64, hash: H256 },
	/// What a member answers to one of these.
	Answer { ask: u64, answer: PeerAnswer },
	/// `POST /v1/agents/{id}/call`: SCALE of a `DirectCall`.
	Call { call: usize, agent: AgentId, bytes: Vec<u8> },
	/// SCALE of a `Sealed`, or the name of a refusal.
	CallAnswered { call: usize, answer: Result<Vec<u8>, String> },
}

/// See [`Packet::Answer`].
#[derive(Clone)]
pub enum PeerAnswer {
	/// SCALE of an `Availability`.
	Kept(Vec<u8>),
	Pong(PingAnswer),
	/// SCALE of what there is under each name.
	Pages(Vec<u8>),
	Code,
	Refused,
}

impl Packet {
	/// The bytes that somebody on the way reads.
	pub fn bytes(&self) -> &[u8] {
		match self {
			Self::Keep { body, .. } => body,
			Self::GivePages { question, .. } => question,
			Self::Answer { answer: PeerAnswer::Kept(bytes) | PeerAnswer::Pages(bytes), .. } => {
				bytes
			}
			Self::Call { bytes, .. } => bytes,
			Self::CallAnswered { answer: Ok(bytes), .. } => bytes,
			Self::CallAnswered { answer: Err(refusal), .. } => refusal.as_bytes(),
			_ => &[],
		}
	}
}

/// What the network does to bytes at the moment.
#[derive(Default)]
pub struct Weather {
	/// Between these nothing passes, until then.
	pub cuts: BTreeMap<(Party, Party), u64>,
	/// So many in a thousand are lost, until then.
	pub loss: (u64, u64),
	/// So many in a thousand come twice, until then.
	pub doubling: (u64, u64),
	/// Everything is on its way for up to so many milliseconds more, until then.
	pub delay: (u64, u64),
	/// Which acknowledgements are withheld: of this member, until then.
	pub withheld: BTreeMap<WorkerId, u64>,
}

impl Weather {
	/// Nothing passes between two parties until `until_ms`.
	pub fn cut(&mut self, one: Party, other: Party, until_ms: u64) {
		for pair in [(one, other), (other, one)] {
			let until = self.cuts.entry(pair).or_default();
			*until = (*until).max(until_ms);
		}
	}

	/// After how many milliseconds each copy arrives of what is sent now.
	pub fn arrivals(&self, now_ms: u64, from: Party, to: Party, random: &mut Random) -> Vec<u64> {
		// As many draws for each packet, whatever happens to it.
		let (first, second) =
			(random.within(limits::NETWORK_MS), random.within(limits::NETWORK_MS));
		let (lost, doubled) = (random.below(1_000), random.below(1_000));
		let late = random.below(1_000);
		if self.cuts.get(&(from, to)).is_some_and(|until| now_ms < *until) {
			return Vec::new();
		}
		let is_on =
			|(permille, until_ms): (u64, u64), drawn: u64| now_ms < until_ms && drawn < permille;
		if is_on(self.loss, lost) {
			return Vec::new();
		}
		let more = if now_ms < self.delay.1 { self.delay.0 * late / 1_000 } else { 0 };
		let mut arrivals = vec![first + more];
		if is_on(self.doubling, doubled) {
			arrivals.push(first + second + more);
		}
		arrivals
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const A: Party = Party::Worker(1);
	const B: Party = Party::Worker(2);

	#[test]
	fn a_cut_keeps_both_directions_apart_until_it_ends_and_nobody_else() {
		let mut weather = Weather::default();
		weather.cut(A, B, 10);
		let mut random = Random::of(1, "test");
		let mut count = |now, from, to| weather.arrivals(now, from, to, &mut random).len();
		assert_eq!((count(9, A, B), count(9, B, A), count(9, A, Party::Users)), (0, 0, 1));
		assert_eq!(count(10, A, B), 1);
	}

	#[test]
	fn what_is_lost_does_not_come_and_what_is_doubled_comes_twice() {
		let mut random = Random::of(1, "test");
		let lossy = Weather { loss: (1_000, 5), ..Weather::default() };
		assert!(lossy.arrivals(4, A, B, &mut random).is_empty());
		assert_eq!(lossy.arrivals(5, A, B, &mut random).len(), 1);
		let doubling = Weather { doubling: (1_000, 5), ..Weather::default() };
		assert_eq!(doubling.arrivals(4, A, B, &mut random).len(), 2);
	}
}
