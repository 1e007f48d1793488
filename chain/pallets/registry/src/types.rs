//! What the pallet keeps.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use phala_protocol::{
	boot::{BootNumber, WorkerId},
	evidence::PlatformId,
	limits,
	traits::EvictedBy,
	BlockNumber,
};
use scale_info::TypeInfo;
use sp_runtime::{DispatchResult, Permill};

/// A place in the network. What its operator has at stake for it is its bond.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Worker<AccountId> {
	/// Who runs the machine, pays for registration and put the stake.
	pub operator: AccountId,
	/// The machine, known from the first evidence on.
	pub platform: Option<PlatformId>,
	/// Number of the latest boot; 0 before the first.
	pub boots: BootNumber,
}

/// Why a worker's boot was thrown out, and what follows.
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
pub enum EvictionReason {
	/// Its code is not allowed any more.
	#[codec(index = 0)]
	Delisted,
	/// Nothing is at stake any more.
	#[codec(index = 1)]
	StakeExhausted,
	/// It did what it should not have, and loses this part of each of its bonds.
	#[codec(index = 2)]
	Fault { slash: Permill },
	/// Its machine's secrets are out: it loses this part of each of its bonds, and the machine is
	/// banned.
	#[codec(index = 3)]
	Compromised { slash: Permill },
}

impl EvictionReason {
	/// The part of its bonds that the worker loses.
	pub fn slash(&self) -> Option<Permill> {
		match self {
			Self::Delisted | Self::StakeExhausted => None,
			Self::Fault { slash } | Self::Compromised { slash } => Some(*slash),
		}
	}

	/// Whose doing it is. A stake is exhausted by its operator: what it withdrew, or what it lost for its
	/// own faults.
	pub fn by(&self) -> EvictedBy {
		match self {
			Self::StakeExhausted => EvictedBy::Itself,
			Self::Delisted | Self::Fault { .. } | Self::Compromised { .. } => EvictedBy::Others,
		}
	}
}

/// A probe that waits for an answer.
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
pub struct OpenProbe {
	/// What the answer repeats.
	pub nonce: [u8; 32],
	/// The block of the question.
	pub asked_at: BlockNumber,
}

/// What a worker's next probe costs more than the least.
#[derive(
	Clone,
	Copy,
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
pub struct ProbePrice {
	/// How often it has doubled.
	pub doublings: u32,
	/// The block from which on it falls.
	pub since: BlockNumber,
}

impl ProbePrice {
	/// The same in this block.
	pub fn at(self, now: BlockNumber) -> Self {
		let halved =
			now.saturating_sub(self.since).checked_div(limits::PROBE_COOLING_BLOCKS).unwrap_or(0);
		match self.doublings.checked_sub(halved).filter(|left| *left > 0) {
			Some(doublings) => {
				let cooled = halved.saturating_mul(limits::PROBE_COOLING_BLOCKS);
				Self { doublings, since: self.since.saturating_add(cooled) }
			}
			None => Self { doublings: 0, since: now },
		}
	}

	/// After one more.
	pub fn after_one(self) -> Self {
		let doublings = self.doublings.saturating_add(1).min(limits::PROBE_DOUBLINGS_MAX);
		Self { doublings, ..self }
	}
}

/// Has whoever probes a worker pay for it.
pub trait ProbeToll<AccountId> {
	/// The least that is paid, doubled so often.
	fn pay(who: &AccountId, doublings: u32) -> DispatchResult;
}

impl OpenProbe {
	/// Whether an answer still counts.
	pub fn waits(&self, now: BlockNumber) -> bool {
		now.saturating_sub(self.asked_at) < limits::PROBE_BLOCKS
	}
}

/// How far the sweep over all boots has come.
#[derive(
	Clone,
	Copy,
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
pub struct SweepCursor {
	/// The last worker that was looked at, in the order of the storage's keys; `None` before the first.
	pub after: Option<WorkerId>,
}
