//! What holds of the pallet's storage between any two blocks: tests ask for it, and so does
//! `try-runtime` of a live chain's state before and after an upgrade.

use crate::*;
use alloc::collections::BTreeMap;
use frame_support::traits::fungible::InspectHold;

impl<T: Config> Pallet<T> {
	/// `Err` says what does not hold.
	pub fn check_invariants() -> DispatchResult {
		let mut held: BTreeMap<T::AccountId, Balance> = BTreeMap::new();
		for record in Bonds::<T>::iter_values() {
			ensure!(!record.closed || record.active.is_zero(), "a closed bond is active");
			let chunks = record.unbonding.iter();
			ensure!(chunks.clone().all(|chunk| chunk.amount > 0), "nothing leaves of a bond");
			ensure!(
				chunks.clone().zip(chunks.skip(1)).all(|(first, next)| first.until <= next.until),
				"parts of a bond leave in another order than theirs"
			);
			let total = record.total();
			held.entry(record.account)
				.and_modify(|sum| *sum = sum.saturating_add(total))
				.or_insert(total);
		}
		for (account, bonds) in held {
			let on_hold = T::Currency::balance_on_hold(&HoldReason::Bond.into(), &account);
			ensure!(on_hold == bonds, "an account's bonds are not what it has on hold for them");
		}
		Ok(())
	}
}
