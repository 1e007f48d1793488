//! How much of a block the lanes of envelopes may take: of all boots together, and of one.
//!
//! An envelope's cost is in picoseconds: its weight before it is acted on, or, if that is a larger
//! part, as much of the time as its bytes are of the bytes that envelopes may have. (A solo chain has
//! no proof size to share out.) So neither time nor length of a block can be flooded.

use crate::{BlockFull, Config, Error, LaneFull, LaneUse, Pallet, UseByWorker, WeightInfo};
use codec::{DecodeAll, Encode};
use frame_support::{ensure, traits::Get, weights::Weight};
use phala_protocol::{
	boot::WorkerId,
	limits,
	mailbox::{ByLane, Envelope, Lane},
	messages::Payload,
};
use sp_runtime::{Perbill, Saturating};

/// What payloads cost, beyond what any envelope does.
pub trait PayloadWeights {
	/// The most that acting on this one takes.
	fn weight_of(payload: &Payload) -> Weight;

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

/// Of what envelopes may take, the sum of the shares up to this lane's.
fn share_until(lane: Lane) -> Perbill {
	Lane::ALL
		.into_iter()
		.filter(|one| *one <= lane)
		.fold(Perbill::zero(), |sum, one| sum.saturating_add(*SHARES.of(one)))
}

/// What an envelope's payload takes at most: nothing if it will not be acted on.
pub(crate) fn payload_weight<T: Config>(envelope: &Envelope) -> Weight {
	match Payload::decode_all(&mut &envelope.payload[..]) {
		Ok(payload) if payload.lane() == envelope.lane => T::PayloadWeights::weight_of(&payload),
		_ => Weight::zero(),
	}
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

	fn cost(payload: u32, bytes: u64, of_payload: Weight) -> u64 {
		let weight = T::WeightInfo::submit_envelope(payload)
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
	pub(crate) fn ensure_room(worker: WorkerId, lane: Lane, cost: u64) -> Result<(), Error<T>> {
		let is_first = *UseByWorker::<T>::get(worker).of(lane) == 0;
		ensure!(is_first || cost <= Self::left_of_quota(worker, lane), Error::<T>::QuotaUsedUp);
		ensure!(lane == Lane::Liveness || cost <= Self::left_of_lane(lane), Error::<T>::LaneFull);
		Ok(())
	}

	/// What the block has left of a boot's part of a lane, but for the first envelope.
	fn left_of_quota(worker: WorkerId, lane: Lane) -> u64 {
		let quota = match lane {
			Lane::Liveness => 0,
			_ => {
				let all = T::EnvelopeWeight::get().ref_time();
				SHARE_OF_ONE_BOOT.mul_floor(SHARES.of(lane).mul_floor(all))
			}
		};
		quota.saturating_sub(*UseByWorker::<T>::get(worker).of(lane))
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
	pub(crate) fn note_full(worker: WorkerId) {
		let (lane, heaviest) = (Lane::PaidCommits, Self::cost_of_heaviest_commit());
		let has_landed = *UseByWorker::<T>::get(worker).of(lane) > 0;
		if Self::left_of_lane(lane) < heaviest {
			BlockFull::<T>::put(Self::now());
		} else if has_landed && Self::left_of_quota(worker, lane) < heaviest {
			LaneFull::<T>::insert(worker, Self::now());
		}
	}

	/// An envelope of this cost is in the block.
	pub(crate) fn note_use(worker: WorkerId, lane: Lane, cost: u64) {
		let add = |used: &mut ByLane<u64>| {
			let of_lane = used.of_mut(lane);
			*of_lane = of_lane.saturating_add(cost);
		};
		LaneUse::<T>::mutate(add);
		UseByWorker::<T>::mutate(worker, add);
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_shares_are_all_there_is() {
		assert_eq!(share_until(Lane::Rest), Perbill::one());
		assert_eq!(share_until(Lane::Liveness), SHARES.liveness);
	}
}
