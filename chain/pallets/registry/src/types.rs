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
use sp_runtime::Permill;

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
