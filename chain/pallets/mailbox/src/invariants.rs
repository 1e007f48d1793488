//! What holds of the pallet's storage between any two blocks: tests ask for it, and so does
//! `try-runtime` of a live chain's state before and after an upgrade.

use crate::*;
use frame_system::pallet_prelude::BlockNumberFor;

impl<T: Config> Pallet<T> {
	/// `Err` says what does not hold.
	pub fn check_invariants() -> DispatchResult {
		for (channel, seq, body) in Bodies::<T>::iter() {
			ensure!(
				seq < Heads::<T>::get(channel).next_seq,
				"a message that its channel's head does not count"
			);
			ensure!(
				PushedIn::<T>::get(BlockNumberFor::<T>::from(body.block)).contains(&(channel, seq)),
				"a message that no block will forget"
			);
		}
		let from = KeptFrom::<T>::get().unwrap_or_default();
		for (block, pushed) in PushedIn::<T>::iter() {
			ensure!(block >= from, "messages that are never forgotten");
			let is_kept = |(channel, seq): &(Channel, u64)| Bodies::<T>::contains_key(channel, seq);
			ensure!(pushed.iter().all(is_kept), "a message was forgotten before its block's");
		}
		for worker in FullForWorker::<T>::iter_keys() {
			ensure!(
				NextEnvelope::<T>::contains_key(worker),
				"a full lane of a worker without boot"
			);
		}
		Ok(())
	}
}
