//! What the pallet keeps.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{traits::ConstU32, BoundedVec};
use phala_protocol::{
	boot::{BootNumber, WorkerId},
	clusters::{self, Generation, WrappedKeys},
	keys::Epoch,
	limits,
	mailbox::{ByLane, ClusterId},
	Balance, BlockNumber,
};
use scale_info::TypeInfo;

/// Base URL of a member's public server.
pub type Endpoint = BoundedVec<u8, ConstU32<{ limits::ENDPOINT_BYTES_MAX }>>;

/// Whether a departure starts a generation at once.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum GenerationGap {
	/// The next departure starts one at once.
	Open,
	/// A departure started one lately: the next has to wait.
	Running,
	/// Somebody has departed since: when the gap has passed a generation starts.
	RunningWithDeparture,
}

/// A group of workers that keep the same agents.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Cluster<AccountId, Balance> {
	/// Decides who may join.
	pub owner: AccountId,
	/// Held from the owner while the cluster exists.
	pub deposit: Balance,
	/// Counts its secrets, from 1.
	pub generation: Generation,
	/// How many members it has.
	pub members: u32,
	/// How many agents it has.
	pub agents: u32,
	/// Whether a departure starts the next generation at once.
	pub gap: GenerationGap,
}

/// A member of a cluster.
pub type MemberRecord = clusters::MemberRecord<Endpoint>;

/// A worker's request to join a cluster.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct JoinRequest {
	/// Which one.
	pub cluster: ClusterId,
	/// Where the worker will be reached.
	pub endpoint: Endpoint,
}

/// [`WrappedKeys`] as storage keeps them.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct StoredKeys {
	/// Of the master key.
	pub epoch: Epoch,
	/// Of the cluster.
	pub generation: Generation,
	/// The wrapped keys.
	pub keys: BoundedVec<u8, ConstU32<{ limits::WRAPPED_KEYS_BYTES_MAX }>>,
}

impl From<StoredKeys> for WrappedKeys {
	fn from(stored: StoredKeys) -> Self {
		let StoredKeys { epoch, generation, keys } = stored;
		Self { epoch, generation, keys: keys.into_inner() }
	}
}

/// A lease holder that was said to be silent.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Challenge {
	/// In which life.
	pub boot: BootNumber,
	/// The numbers that its next envelopes had then.
	pub seqs: ByLane<u64>,
	/// When it was said.
	pub block: BlockNumber,
}

/// Why a member's leases move.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Moves {
	/// Its operator took it away, or its stake.
	Left,
	/// The owner removed it, or it was evicted otherwise.
	Removed,
	/// It has a new boot, which has no keys yet.
	Restarted,
	/// It was challenged and did not answer.
	Silent,
}

/// Something that is done for many agents, one after the other.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Sweep {
	/// A new member, or a new boot of one, is told of all agents.
	Tell { cluster: ClusterId, worker: WorkerId, boot: BootNumber },
	/// A member's leases go to others.
	Move { cluster: ClusterId, worker: WorkerId, why: Moves },
	/// Leases that nobody has go to those who count.
	HandOut { cluster: ClusterId },
}

/// How a lease ended.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum LeaseEnd {
	/// Its holder started a new boot, or its operator left: whoever had it answers for it still.
	OwnAct,
	/// The owner removed its holder, or it was evicted.
	Removed,
	/// Its holder was silent when it was challenged, or could not answer for want of room.
	Taken,
	/// Its holder has paid for missed deadlines.
	Penalised {
		/// The most that any one of them cost: so much in all.
		paid: Balance,
	},
}

/// Most ends of leases that are remembered of one agent, [`LeaseEnd::OwnAct`] not counted.
pub const LEASE_ENDS_MAX: u32 = 8;

/// The leases of one agent.
#[derive(
	Clone,
	Debug,
	Default,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct LeaseHistory {
	/// How many there were, with the one that somebody has now.
	pub number: u32,
	/// What the holder of the newest has paid for missed deadlines, if it missed one.
	pub paid: Option<Balance>,
	/// How the latest ended, by number, newest last. What is not among them was its holder's own act,
	/// so that nobody makes the chain forget by restarting.
	pub ended: BoundedVec<(u32, LeaseEnd), ConstU32<LEASE_ENDS_MAX>>,
}

impl LeaseHistory {
	/// The newest lease is over.
	pub fn end(&mut self, end: LeaseEnd) {
		let end = match self.paid.take() {
			Some(paid) => LeaseEnd::Penalised { paid },
			None => end,
		};
		if end != LeaseEnd::OwnAct {
			self.remember(self.number, end);
		}
	}

	fn remember(&mut self, number: u32, end: LeaseEnd) {
		match self.ended.binary_search_by_key(&number, |(ended, _)| *ended) {
			Ok(place) => {
				if let Some((_, ended)) = self.ended.get_mut(place) {
					*ended = end;
				}
			}
			Err(place) => {
				// There is room: the oldest goes if there was none.
				let _ = self.ended.force_insert_keep_right(place, (number, end));
			}
		}
	}

	/// How a lease ended that nobody has any more; `None` if that is not known: so many ended since by
	/// what others did, or the agent was given up.
	pub fn end_of(&self, number: u32) -> Option<LeaseEnd> {
		if let Ok(place) = self.ended.binary_search_by_key(&number, |(ended, _)| *ended) {
			return self.ended.get(place).map(|(_, end)| *end);
		}
		let forgot =
			self.ended.is_full() && self.ended.first().is_some_and(|(oldest, _)| number < *oldest);
		(!forgot && number <= self.number).then_some(LeaseEnd::OwnAct)
	}

	/// Notes what the holder of a lease has paid. `is_held`: whether somebody has the newest.
	pub fn penalise(&mut self, number: u32, is_held: bool, paid: Balance) {
		if is_held && self.number == number {
			self.paid = Some(paid);
		} else if self.end_of(number).is_some_and(|end| end != LeaseEnd::OwnAct) {
			self.remember(number, LeaseEnd::Penalised { paid });
		}
	}
}

impl Moves {
	/// How each lease ends by it.
	pub fn lease_end(self) -> LeaseEnd {
		match self {
			Self::Left | Self::Restarted => LeaseEnd::OwnAct,
			Self::Removed => LeaseEnd::Removed,
			Self::Silent => LeaseEnd::Taken,
		}
	}
}
