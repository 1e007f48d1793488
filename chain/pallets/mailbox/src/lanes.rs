//! How much of a block the lanes of envelopes may take: of all boots together, and of one.
//!
//! An envelope's cost is in picoseconds: the weight of the transaction that brings it, or, if that is a larger
//! part, as much of the time as its bytes are of the bytes that envelopes may have. (A solo chain has no proof
//! size to share out.) So neither time nor length of a block can be flooded.
//!
//! It is let in by the most that it may take ([`PayloadWeights::weight_of`]). Once it was acted on, what
//! it did not take ([`PayloadWeights::actual_weight_of`]) goes back to the block, to its lane, and to what
//! its boot may have of that: who declares much and does little holds nobody up. Its bytes stay used.

use crate::{
	Config, Error, FullForAll, FullForWorker, LaneUse, PaidByWorker, Pallet, UseByWorker,
	WeightInfo,
};
use codec::{Decode, DecodeAll, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
	dispatch::{DispatchClass, DispatchResult},
	ensure,
	traits::Get,
	weights::Weight,
};
use phala_protocol::{
	boot::WorkerId,
	limits,
	mailbox::{ByLane, Envelope, Lane},
	messages::Payload,
	BlockNumber,
};
use scale_info::TypeInfo;
use sp_runtime::{Perbill, Saturating};

/// What payloads cost, beyond what any envelope does.
pub trait PayloadWeights {
	/// The most that acting on this one takes.
	fn weight_of(payload: &Payload) -> Weight;

	/// What acting on this one took at most, now that this came of it. Asked right after it was acted
	/// on; more than [`Self::weight_of`] counts as that.
	fn actual_weight_of(payload: &Payload, effect: &DispatchResult) -> Weight;

	/// The longest message, in bytes of SCALE, that acting on this one pushes, and whether it is vital;
	/// `None` if it pushes none.
	fn news_of(payload: &Payload) -> Option<(u32, bool)>;

	/// Whether somebody has paid for what it brings. What else fills a boot's part of the lane of commits is
	/// its own doing.
	fn is_paid_work(payload: &Payload) -> bool;

	/// The longest message that a commit pushes, in bytes of SCALE.
	fn commit_news() -> u32;

	/// The most that acting on a commit takes, whoever makes it.
	fn heaviest_commit() -> Weight;
}

/// Of what envelopes may take, what each lane is sure of. Commits are what callers pay for.
pub const SHARES: ByLane<Perbill> = ByLane {
	liveness: Perbill::from_percent(10),
	keys: Perbill::from_percent(15),
	paid_commits: Perbill::from_percent(40),
	fuel_commits: Perbill::from_percent(20),
	rest: Perbill::from_percent(15),
};

/// One boot has at most this part of a lane's share in a block.
pub const SHARE_OF_ONE_BOOT: Perbill = Perbill::from_percent(25);

/// Which of the newest blocks were full.
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
pub struct FullBlocks {
	/// The newest that was.
	pub newest: BlockNumber,
	/// Of those before it, the nearest in the lowest bit, whether each was.
	pub before: u32,
}

impl FullBlocks {
	/// This block is full.
	pub(crate) fn note(noted: &mut Option<Self>, block: BlockNumber) {
		let before = match *noted {
			Some(Self { newest, before }) if newest == block => before,
			Some(Self { newest, before }) => {
				let blocks = block.saturating_sub(newest);
				let with_newest = (u64::from(before) << 1) | 1;
				let shifted = with_newest.checked_shl(blocks.saturating_sub(1)).unwrap_or(0);
				// What is older than the bits reach is forgotten.
				shifted as u32
			}
			None => 0,
		};
		*noted = Some(Self { newest: block, before });
	}

	/// Whether this block was, as far as is known.
	pub(crate) fn has(&self, block: BlockNumber) -> bool {
		match self.newest.checked_sub(block) {
			None => false,
			Some(0) => true,
			Some(back) => self.before.checked_shr(back.saturating_sub(1)).unwrap_or(0) & 1 == 1,
		}
	}
}

/// Of what envelopes may take, the sum of the shares up to this lane's.
fn share_until(lane: Lane) -> Perbill {
	Lane::ALL
		.into_iter()
		.filter(|one| *one <= lane)
		.fold(Perbill::zero(), |sum, one| sum.saturating_add(*SHARES.of(one)))
}

/// What will be acted on.
pub(crate) fn payload_of<T: Config>(envelope: &Envelope) -> Result<Payload, Error<T>> {
	let payload =
		Payload::decode_all(&mut &envelope.payload[..]).map_err(|_| Error::<T>::UnknownPayload)?;
	ensure!(payload.lane() == envelope.lane, Error::<T>::OtherLane);
	Ok(payload)
}

/// What an envelope's payload takes at most: nothing if it will not be acted on.
pub(crate) fn payload_weight<T: Config>(envelope: &Envelope) -> Weight {
	payload_of::<T>(envelope)
		.map_or(Weight::zero(), |payload| T::PayloadWeights::weight_of(&payload))
}

impl<T: Config> Pallet<T> {
	/// All that an envelope takes of a block, in picoseconds.
	pub fn cost_of(envelope: &Envelope) -> u64 {
		let bytes = envelope.encoded_size() as u64;
		Self::cost(envelope.payload.len() as u32, bytes, payload_weight::<T>(envelope))
	}

	/// What the longest envelope with the heaviest commit takes.
	pub fn cost_of_heaviest_commit() -> u64 {
		let payload = limits::ENVELOPE_PAYLOAD_BYTES_MAX;
		Self::cost(payload, payload.into(), T::PayloadWeights::heaviest_commit())
	}

	/// Of so many bytes of payload, so many in all, and with a payload that takes this.
	pub fn cost(payload: u32, bytes: u64, of_payload: Weight) -> u64 {
		let weight = T::BlockWeights::get()
			.get(DispatchClass::Normal)
			.base_extrinsic
			.saturating_add(T::ExtensionWeight::get())
			.saturating_add(T::WeightInfo::submit_envelope(payload))
			.saturating_add(T::WeightInfo::authorize_envelope(payload))
			.saturating_add(of_payload);
		let of_bytes = Perbill::from_rational(bytes, u64::from(T::EnvelopeBytes::get()));
		weight.ref_time().max(of_bytes.mul_floor(T::EnvelopeWeight::get().ref_time()))
	}

	/// Whether a block still has room for an envelope of this cost.
	///
	/// A boot's first in a lane is never too dear for its quota. Signs of life are always admitted,
	/// one of each boot. Another lane has its share, and what more urgent ones leave of theirs: since
	/// blocks take the urgent first, what those leave is known.
	pub(crate) fn ensure_capacity(worker: WorkerId, lane: Lane, cost: u64) -> Result<(), Error<T>> {
		let is_first = *UseByWorker::<T>::get(worker).of(lane) == 0;
		ensure!(is_first || cost <= Self::left_of_quota(worker, lane), Error::<T>::QuotaUsedUp);
		ensure!(lane == Lane::Liveness || cost <= Self::left_of_lane(lane), Error::<T>::LaneFull);
		Ok(())
	}

	/// A boot's part of a lane, but for its first envelope.
	fn quota(lane: Lane) -> u64 {
		match lane {
			Lane::Liveness => 0,
			_ => {
				let all = T::EnvelopeWeight::get().ref_time();
				SHARE_OF_ONE_BOOT.mul_floor(SHARES.of(lane).mul_floor(all))
			}
		}
	}

	/// What the block has left of it.
	fn left_of_quota(worker: WorkerId, lane: Lane) -> u64 {
		Self::quota(lane).saturating_sub(*UseByWorker::<T>::get(worker).of(lane))
	}

	/// What the block has left of a lane, and of what more urgent ones leave to it.
	fn left_of_lane(lane: Lane) -> u64 {
		let all = T::EnvelopeWeight::get().ref_time();
		let used = LaneUse::<T>::get();
		let until_it = Lane::ALL
			.into_iter()
			.filter(|one| *one <= lane)
			.map(|one| match one {
				// What is admitted beyond the share is at nobody's cost.
				Lane::Liveness => SHARES.liveness.mul_floor(all).min(*used.of(one)),
				_ => *used.of(one),
			})
			.fold(0, u64::saturating_add);
		share_until(lane).mul_floor(all).saturating_sub(until_it)
	}

	/// Writes down where the heaviest commit finds no room any more in this block, for whoever would be
	/// blamed for an answer that comes too late: in the lane, or in what this boot may take of it.
	///
	/// Of its own part only paid work counts: nobody is excused by what it commits for itself.
	pub(crate) fn note_full(worker: WorkerId) {
		let (lane, heaviest) = (Lane::PaidCommits, Self::cost_of_heaviest_commit());
		if Self::left_of_lane(lane) < heaviest {
			Self::note_block_full();
			return;
		}
		let paid = PaidByWorker::<T>::get(worker);
		if paid > 0 && Self::quota(lane).saturating_sub(paid) < heaviest {
			FullForWorker::<T>::mutate(worker, |full| FullBlocks::note(full, Self::now()));
		}
	}

	/// Nobody finds room for a commit in this block.
	pub(crate) fn note_block_full() {
		FullForAll::<T>::mutate(|full| FullBlocks::note(full, Self::now()));
	}

	/// Paid work of this cost is in the block.
	pub(crate) fn note_paid(worker: WorkerId, cost: u64) {
		PaidByWorker::<T>::mutate(worker, |paid| *paid = paid.saturating_add(cost));
	}

	/// An envelope of this cost is in the block.
	pub(crate) fn note_use(worker: WorkerId, lane: Lane, cost: u64) {
		Self::change_use(worker, lane, |used| used.saturating_add(cost));
	}

	/// So much of it was not used.
	pub(crate) fn give_back(worker: WorkerId, lane: Lane, unused: u64) {
		Self::change_use(worker, lane, |used| used.saturating_sub(unused));
	}

	fn change_use(worker: WorkerId, lane: Lane, change: impl Fn(u64) -> u64) {
		let apply = |used: &mut ByLane<u64>| {
			let of_lane = used.of_mut(lane);
			*of_lane = change(*of_lane);
		};
		LaneUse::<T>::mutate(apply);
		UseByWorker::<T>::mutate(worker, apply);
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn full_blocks_are_known_as_far_back_as_bits_reach_and_no_other_is_taken_for_one() {
		let mut noted = None;
		for full in [10, 11, 11, 13, 43] {
			FullBlocks::note(&mut noted, full);
		}
		let noted = noted.unwrap();
		let known: Vec<_> = (0..=60).filter(|block| noted.has(*block)).collect();
		assert_eq!(known, [11, 13, 43]);
		let mut long_after = Some(noted);
		FullBlocks::note(&mut long_after, 43 + 1_000);
		assert_eq!(long_after, Some(FullBlocks { newest: 1_043, before: 0 }));
	}

	#[test]
	fn the_shares_are_all_there_is() {
		assert_eq!(share_until(Lane::Rest), Perbill::one());
		assert_eq!(share_until(Lane::Liveness), SHARES.liveness);
	}
}
