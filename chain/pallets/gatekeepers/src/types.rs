//! What the pallet keeps.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{traits::ConstU32, BoundedVec};
use phala_protocol::{
	boot::{BootNumber, WorkerId},
	clusters::Generation,
	keys::{Epoch, KeyRequest, MasterKey, Seat},
	limits,
	mailbox::ClusterId,
	BlockNumber, H256,
};
use scale_info::TypeInfo;

/// Gatekeepers of one ceremony.
pub type Seats = BoundedVec<Seat, ConstU32<{ limits::GATEKEEPERS_MAX }>>;

/// SCALE of the `Outcome` of `enclave/keys`.
pub type OutcomeBytes = BoundedVec<u8, ConstU32<{ limits::CEREMONY_OUTCOME_BYTES_MAX }>>;

/// How many of `n` gatekeepers must agree: all but the faulty third.
pub fn quorum(n: u32) -> u32 {
	n.saturating_sub(n.saturating_sub(1) / 3)
}

/// What one gatekeeper says that the ceremony came to.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Confirmation {
	/// Who says so.
	pub worker: WorkerId,
	/// BLAKE2-256 of the outcome's bytes.
	pub outcome_hash: H256,
}

/// An outcome that a quorum confirmed and that does not serve yet.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct PendingKey {
	/// It serves from the start of this block on.
	pub active_at: BlockNumber,
	/// What the quorum confirmed.
	pub outcome: OutcomeBytes,
}

/// The making of a master key.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct CeremonyUnderWay {
	/// Of the key to be.
	pub epoch: Epoch,
	/// Which ceremony of that epoch, from 0.
	pub attempt: u32,
	/// Who takes part.
	pub seats: Seats,
	/// At most one for each seat.
	pub confirmations: BoundedVec<Confirmation, ConstU32<{ limits::GATEKEEPERS_MAX }>>,
	/// `None` until a quorum confirmed one outcome.
	pub pending: Option<PendingKey>,
}

/// The master key that serves, and who holds its shares.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct ActiveKey {
	/// Its life.
	pub epoch: Epoch,
	/// Which ceremony of that epoch made it.
	pub attempt: u32,
	/// What a quorum of the seats confirmed.
	pub outcome: OutcomeBytes,
	/// Who holds a share, without those that were evicted since.
	pub seats: Seats,
}

impl ActiveKey {
	/// As enclaves are told it.
	pub fn master_key(&self) -> MasterKey {
		MasterKey {
			epoch: self.epoch,
			attempt: self.attempt,
			outcome: self.outcome.clone().into_inner(),
		}
	}
}

/// How often a boot has asked for one secret, answered or not.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Asking {
	/// In which life.
	pub boot: BootNumber,
	/// Under which master key, if any served.
	pub epoch: Option<Epoch>,
	/// Of which generation of the cluster.
	pub generation: Generation,
	/// How often.
	pub times: u32,
	/// When it did last.
	pub last: BlockNumber,
}

impl Asking {
	/// Whether a further request is for the same: an older generation's is no reason to ask anew.
	pub fn is_for(&self, request: &KeyRequest, epoch: Option<Epoch>) -> bool {
		(self.boot, self.epoch) == (request.boot, epoch) && self.generation >= request.generation
	}

	/// The first block in which it may ask for the same once more.
	pub fn next(&self) -> BlockNumber {
		let doublings = self.times.saturating_sub(1).min(limits::KEY_REQUEST_DOUBLINGS_MAX);
		let gap = limits::KEY_REQUEST_GAP.saturating_mul(1u32.wrapping_shl(doublings));
		self.last.saturating_add(gap)
	}
}

/// Who has answered an open request, under which key.
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
pub struct RequestAnswers {
	/// Answers under an earlier key do not count.
	pub epoch: Epoch,
	/// Workers of the gatekeepers.
	pub gatekeepers: BoundedVec<WorkerId, ConstU32<{ limits::GATEKEEPERS_MAX }>>,
}

/// How far open requests were told to the gatekeepers of a new epoch.
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
pub struct Resending {
	/// The last one told; `None` before the first.
	pub after: Option<(WorkerId, ClusterId)>,
}

#[cfg(test)]
mod tests {
	use super::quorum;

	#[test]
	fn a_quorum_is_all_but_the_faulty_third() {
		let quorums: Vec<u32> = (1..=10).map(quorum).collect();
		assert_eq!(quorums, [1, 2, 3, 3, 4, 5, 5, 6, 7, 7]);
	}
}
