//! What holds of the pallet's storage between any two blocks: tests ask for it, and so does
//! `try-runtime` of a live chain's state before and after an upgrade.

use crate::*;

impl<T: Config> Pallet<T> {
	/// `Err` says what does not hold.
	pub fn check_invariants() -> DispatchResult {
		for request in Answers::<T>::iter_keys() {
			ensure!(
				OpenRequests::<T>::contains_key(request),
				"answers to a request for keys that is not open"
			);
		}
		let open = OpenRequests::<T>::iter_keys().count() as u32;
		ensure!(OpenRequests::<T>::count() == open, "another number of requests is open");
		if let (Some(active), Some(under_way)) = (Active::<T>::get(), Ceremony::<T>::get()) {
			ensure!(
				under_way.epoch > active.epoch,
				"a ceremony is under way for an epoch that has its key"
			);
		}
		Ok(())
	}
}
