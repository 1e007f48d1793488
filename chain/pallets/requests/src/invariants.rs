//! What holds of the pallet's storage between any two blocks: tests ask for it, and so does
//! `try-runtime` of a live chain's state before and after an upgrade.

use crate::*;
use alloc::collections::BTreeMap;

impl<T: Config> Pallet<T> {
	/// `Err` says what does not hold.
	pub fn check_invariants() -> DispatchResult {
		let mut open: BTreeMap<WorkerId, u32> = BTreeMap::new();
		for (id, request) in Requests::<T>::iter() {
			let is_open = request.state == RequestState::Open;
			ensure!(
				Duties::<T>::contains_key(id) == is_open,
				"an open request without a duty, or a duty of one that is closed"
			);
			ensure!(
				Due::<T>::get(request.deadline).contains(&id) == is_open,
				"an open request that does not expire, or a closed one that does"
			);
			if is_open {
				open.entry(request.worker)
					.and_modify(|count| *count = count.saturating_add(1))
					.or_insert(1);
			}
		}
		for id in Duties::<T>::iter_keys().chain(Responses::<T>::iter_keys()) {
			ensure!(Requests::<T>::contains_key(id), "something is kept of no request");
		}
		let counted: BTreeMap<WorkerId, u32> = OpenOfWorker::<T>::iter().collect();
		ensure!(counted == open, "a worker counts other open requests than it has");
		let (first, next) = ClosedRange::<T>::get();
		for number in Closed::<T>::iter_keys() {
			ensure!((first..next).contains(&number), "a closed request that is never forgotten");
		}
		Ok(())
	}
}
