//! Whole blocks of the real runtime, one after the other: hooks, time and all.

use crate::*;
use frame_support::traits::Get;
use phala_protocol::H256;
use sp_consensus_babe::{
	digests::{CompatibleDigestItem, PreDigest, SecondaryPlainPreDigest},
	AuthorityIndex, Slot,
};
use sp_runtime::{generic::DigestItem, traits::Header as _, Digest};

/// The slot of the first block.
const FIRST_SLOT: u64 = 1_000;

/// The digest of a block that `author` makes in `slot`.
pub fn claims(slot: Slot, author: AuthorityIndex) -> Digest {
	let claim = SecondaryPlainPreDigest { authority_index: author, slot };
	Digest { logs: vec![DigestItem::babe_pre_digest(PreDigest::SecondaryPlain(claim))] }
}

/// The header of the next block, `slots` after this one.
pub fn next_header(slots: u64, author: AuthorityIndex) -> (Header, Slot) {
	let number = System::block_number() + 1;
	let slot = match u64::from(Babe::current_slot()) {
		0 => FIRST_SLOT,
		last => last + slots,
	};
	let digest = claims(slot.into(), author);
	let parent = H256::repeat_byte(1);
	(Header::new(number, H256::zero(), H256::zero(), parent, digest), slot.into())
}

/// Makes the next block, `slots` after this one, by the first validator; what happens in it is
/// `within`, after its inherents.
pub fn next<R>(slots: u64, within: impl FnOnce() -> R) -> R {
	by(0, slots, within)
}

/// [`next`] by any validator of the set.
pub fn by<R>(author: AuthorityIndex, slots: u64, within: impl FnOnce() -> R) -> R {
	let (header, slot) = next_header(slots, author);
	Executive::initialize_block(&header);
	let now = u64::from(slot) * time::BLOCK_MILLISECONDS;
	let timestamp = pallet_timestamp::Call::set { now };
	let inherent = UncheckedExtrinsic::new_bare(timestamp.into());
	Executive::apply_extrinsic(inherent).expect("is an inherent").expect("and sets the time");
	// As the first transaction does it.
	Executive::inherents_applied();
	let result = within();
	Executive::finalize_block();
	result
}

/// Makes blocks, one an epoch, until one ends in which `done` holds.
///
/// # Panics
/// After `most` of them.
pub fn sessions_until(most: u32, done: impl Fn() -> bool) {
	for _ in 0..most {
		if done() {
			return;
		}
		next(parameters::EpochSlots::get(), || ());
	}
	assert!(done(), "not within {most} sessions");
}

/// The era whose validators make blocks.
pub fn active_era() -> u32 {
	pallet_staking::ActiveEra::<Runtime>::get().expect("there is one from genesis on").index
}

/// Makes blocks, one an epoch, until `era` begins.
pub fn enter_era(era: u32) {
	sessions_until(1_000, || active_era() >= era);
}
