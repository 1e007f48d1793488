//! The one error of this crate. A refusal changes nothing: whoever is refused may try again.

use crate::position::Position;
use alloc::vec::Vec;
use phala_protocol::{mailbox::Channel, refusals::Refusal, BlockNumber, H256};

/// What was refused, why, and what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LightClientError {
	// ── anything that arrives ──────────────────────────────────────────────────────────────────
	/// More than [`crate::limits`] allows.
	#[error(
		"{found} {what}, where at most {max} are taken: split the bundle at an earlier header"
	)]
	OverLimit { what: &'static str, found: usize, max: usize },
	/// Not the SCALE encoding of what it should be.
	#[error("{what} cannot be decoded: its SCALE encoding, complete and without a rest, is taken")]
	Malformed { what: &'static str },

	// ── where a light client starts ────────────────────────────────────────────────────────────
	/// Another chain, or another checkpoint.
	#[error("the first header hashes to {found:?}: this enclave was built for {pinned:?} alone")]
	ForeignChain { pinned: H256, found: H256 },
	/// The header that should be block 0 has another number.
	#[error("the pinned header is block {number}: a genesis is block 0")]
	NotGenesis { number: BlockNumber },
	/// No authorities are stored under the first header.
	#[error(
		"no GRANDPA authorities under the state root of block {number}: nobody could finalize"
	)]
	NoAuthorities { number: BlockNumber },
	/// Nobody votes in it, or its weights do not fit in 64 bits.
	#[error("authority set {set_id} cannot vote: it has no weight, or more than 64 bits hold")]
	BadAuthoritySet { set_id: u64 },

	// ── headers and justifications ─────────────────────────────────────────────────────────────
	/// Replayed, or older than what the enclave has.
	#[error("block {number} is not newer than block {finalized}, which is finalized here already")]
	NotNewer { number: BlockNumber, finalized: BlockNumber },
	/// The justification is for another block.
	#[error(
		"the justification finalizes block {justified} ({justified_hash:?}), the header is block \
		 {number} ({hash:?}): bring the justification of exactly this header"
	)]
	OtherBlockJustified {
		number: BlockNumber,
		hash: H256,
		justified: BlockNumber,
		justified_hash: H256,
	},
	/// A vote by somebody outside the set.
	#[error(
		"block {number}: a vote by {}, who is not in authority set {set_id}; if the set changed, \
		 bring the last header of set {set_id} first", hex::encode(.voter)
	)]
	UnknownVoter { number: BlockNumber, set_id: u64, voter: [u8; 32] },
	/// A vote that its author did not sign for this round and set.
	#[error(
		"block {number}: the signature of {} does not hold for authority set {set_id}; if the set \
		 changed, bring the last header of set {set_id} first", hex::encode(.voter)
	)]
	BadSignature { number: BlockNumber, set_id: u64, voter: [u8; 32] },
	/// More than two votes by one authority.
	#[error("block {number}: more than two votes by {}: two prove an equivocation", hex::encode(.voter))]
	TooManyVotes { number: BlockNumber, voter: [u8; 32] },
	/// The votes that count do not reach the threshold.
	#[error(
		"block {number}: votes of weight {weight} of authority set {set_id}, {threshold} needed"
	)]
	NotEnoughVotes { number: BlockNumber, set_id: u64, weight: u64, threshold: u64 },
	/// A change of authorities that finality did not decide.
	#[error(
		"block {number} forces a new authority set: only changes that the old set finalizes are \
		 followed; a release with a checkpoint after this block can start anew"
	)]
	ForcedChange { number: BlockNumber },
	/// A change that takes effect later than its block.
	#[error("block {number} delays a change of authorities by {delay} blocks: only 0 is followed")]
	DelayedChange { number: BlockNumber, delay: BlockNumber },
	/// Two changes in one header.
	#[error("block {number} announces two changes of authorities: at most one is followed")]
	AmbiguousChange { number: BlockNumber },
	/// A GRANDPA log of a kind that this release does not know.
	#[error(
		"block {number} has a GRANDPA log that this release cannot read: bring a newer release"
	)]
	UnknownGrandpaLog { number: BlockNumber },
	/// Set ids are used up.
	#[error("authority set {set_id} has no successor: set ids are used up")]
	SetIdsExhausted { set_id: u64 },

	// ── state ──────────────────────────────────────────────────────────────────────────────────
	/// A trie node on the way to the key is missing.
	#[error(
		"the storage proof does not reach key 0x{}: node {node:?} is missing; bring a read proof of \
		 this key at block {number}", hex::encode(.key)
	)]
	ProofIncomplete { number: BlockNumber, key: Vec<u8>, node: H256 },
	/// A node that the state root commits to is not one that this release can read.
	#[error("key 0x{} at block {number}: trie node {node:?} is of an unknown format", hex::encode(.key))]
	UnknownTrieNode { number: BlockNumber, key: Vec<u8>, node: H256 },
	/// The chain stores something else than expected under the key.
	#[error("key 0x{} at block {number} holds no {expected}", hex::encode(.key))]
	UnexpectedValue { number: BlockNumber, key: Vec<u8>, expected: &'static str },
	/// A proof at another header than the one it is used with.
	#[error("this state is proven at block {found}, the mailbox stands at block {expected}")]
	OtherHeader { expected: BlockNumber, found: BlockNumber },

	// ── messages ───────────────────────────────────────────────────────────────────────────────
	/// Bodies of a channel that nothing made this enclave follow.
	#[error("bodies of {channel:?}, which is not followed here: leave them out")]
	NotFollowed { channel: Channel },
	/// Two lists of bodies of one channel.
	#[error("two lists of bodies of {channel:?}: bring one")]
	ChannelTwice { channel: Channel },
	/// A number is left out in the middle.
	#[error("{channel:?}: message {seq} is missing, {found} came in its place")]
	Missing { channel: Channel, seq: u64, found: u64 },
	/// The number expected comes later.
	#[error("{channel:?}: message {found} came before message {seq}: bring them in order")]
	Reordered { channel: Channel, seq: u64, found: u64 },
	/// A message that was delivered already.
	#[error("{channel:?}: message {found} was delivered already, {seq} is next")]
	Repeated { channel: Channel, seq: u64, found: u64 },
	/// Bodies end before the proven head.
	#[error("{channel:?}: messages {from} to {until} (excluded) are on the chain but not here")]
	HeldBack { channel: Channel, from: u64, until: u64 },
	/// Bodies go on after the proven head.
	#[error("{channel:?}: message {seq} is not on the chain at this header: bring a later header")]
	NotOnChain { channel: Channel, seq: u64 },
	/// At least one body, block or index differs from what the chain hashed.
	#[error("{channel:?}: the messages do not hash to the proven head: at least one was altered")]
	Altered { channel: Channel },
	/// A body is longer than the chain takes.
	#[error("{channel:?}: message {seq} has {bytes} bytes, the chain takes none so long")]
	BodyTooLong { channel: Channel, seq: u64, bytes: usize },
	/// A message claims a place at or before one that was delivered.
	#[error("{channel:?}: message {seq} at {found} does not come after {after}")]
	NotAfter { channel: Channel, seq: u64, found: Position, after: Position },
	/// A message claims a block later than the header.
	#[error("{channel:?}: message {seq} is of block {block}, after the header's {number}")]
	AheadOfHeader { channel: Channel, seq: u64, block: BlockNumber, number: BlockNumber },
	/// Two messages claim one place.
	#[error("{first:?} and {second:?} both have a message at {position}")]
	PlaceTwice { first: Channel, second: Channel, position: Position },
	/// The chain proves a head behind the one that is followed.
	#[error("{channel:?}: the chain stands at {proven}, this enclave at {followed} already")]
	WentBack { channel: Channel, followed: u64, proven: u64 },
	/// A message says to follow a channel from elsewhere than where it is followed.
	#[error("{channel:?} is followed at {followed}; a message says to follow it from {told}")]
	FollowedElsewhere { channel: Channel, followed: u64, told: u64 },
}

impl LightClientError {
	/// As relayers are told it.
	pub fn refusal(&self) -> Refusal {
		match self {
			Self::OverLimit { .. } => Refusal::OverLimit,
			Self::Malformed { .. } => Refusal::Malformed,
			Self::ForeignChain { .. } => Refusal::ForeignChain,
			Self::NotGenesis { .. } => Refusal::NotGenesis,
			Self::NoAuthorities { .. } => Refusal::NoAuthorities,
			Self::BadAuthoritySet { .. } => Refusal::BadAuthoritySet,
			Self::NotNewer { .. } => Refusal::NotNewer,
			Self::OtherBlockJustified { .. } => Refusal::OtherBlockJustified,
			Self::UnknownVoter { .. } => Refusal::UnknownVoter,
			Self::BadSignature { .. } => Refusal::BadSignature,
			Self::TooManyVotes { .. } => Refusal::TooManyVotes,
			Self::NotEnoughVotes { .. } => Refusal::NotEnoughVotes,
			Self::ForcedChange { .. } => Refusal::ForcedChange,
			Self::DelayedChange { .. } => Refusal::DelayedChange,
			Self::AmbiguousChange { .. } => Refusal::AmbiguousChange,
			Self::UnknownGrandpaLog { .. } => Refusal::UnknownGrandpaLog,
			Self::SetIdsExhausted { .. } => Refusal::SetIdsExhausted,
			Self::ProofIncomplete { .. } => Refusal::ProofIncomplete,
			Self::UnknownTrieNode { .. } => Refusal::UnknownTrieNode,
			Self::UnexpectedValue { .. } => Refusal::UnexpectedValue,
			Self::OtherHeader { .. } => Refusal::OtherHeader,
			Self::NotFollowed { .. } => Refusal::NotFollowed,
			Self::ChannelTwice { .. } => Refusal::ChannelTwice,
			Self::Missing { .. } => Refusal::Missing,
			Self::Reordered { .. } => Refusal::Reordered,
			Self::Repeated { .. } => Refusal::Repeated,
			Self::HeldBack { .. } => Refusal::HeldBack,
			Self::NotOnChain { .. } => Refusal::NotOnChain,
			Self::Altered { .. } => Refusal::Altered,
			Self::BodyTooLong { .. } => Refusal::BodyTooLong,
			Self::NotAfter { .. } => Refusal::NotAfter,
			Self::AheadOfHeader { .. } => Refusal::AheadOfHeader,
			Self::PlaceTwice { .. } => Refusal::PlaceTwice,
			Self::WentBack { .. } => Refusal::WentBack,
			Self::FollowedElsewhere { .. } => Refusal::FollowedElsewhere,
		}
	}
}
