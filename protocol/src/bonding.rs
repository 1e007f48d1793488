//! What operators have at stake: PHA on hold in their own accounts, one bond for each role.

use crate::{boot::WorkerId, AccountBytes, Balance, BlockNumber};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// What a bond answers for. PHA that is in one bond is in no other: a worker that is a gatekeeper
/// too has two.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum BondId {
	/// A worker's work.
	#[codec(index = 0)]
	Worker(WorkerId),
	/// The candidacy, and the seat, of a worker as a gatekeeper.
	#[codec(index = 1)]
	Gatekeeper(WorkerId),
}

/// A part of a bond that leaves.
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
pub struct UnbondingChunk {
	/// Still on hold, and still slashed.
	pub amount: Balance,
	/// It can be withdrawn from this block on.
	pub until: BlockNumber,
}

/// A bond as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Bond {
	/// In whose account the PHA is on hold.
	pub account: AccountBytes,
	/// What counts towards the minimum.
	pub active: Balance,
	/// What leaves, the first to leave first; at most [`crate::limits::UNBONDING_CHUNKS_MAX`].
	pub unbonding: Vec<UnbondingChunk>,
	/// Whether it answers for what was, and for nothing new.
	pub closed: bool,
}
