//! What holds of the pallet's storage between any two blocks: tests ask for it, and so does
//! `try-runtime` of a live chain's state before and after an upgrade.

use crate::*;
use alloc::collections::BTreeMap;

impl<T: Config> Pallet<T> {
	/// `Err` says what does not hold.
	pub fn check_invariants() -> DispatchResult {
		let mut open: BTreeMap<WorkerId, u32> = BTreeMap::new();
		let mut duties: BTreeMap<WorkerId, u32> = BTreeMap::new();
		for (id, request) in Requests::<T>::iter() {
			let is_open = request.state == RequestState::Open;
			let has_duty = Duties::<T>::contains_key(id);
			ensure!(has_duty || !is_open, "an open request without a duty");
			// Of one that was refunded when its lease moved there is a duty until the deadline.
			let is_settled = matches!(request.state, RequestState::Settled { .. });
			ensure!(!(has_duty && is_settled), "a duty of a request that was answered");
			ensure!(
				Due::<T>::get(request.deadline).contains(&id) == has_duty,
				"a request that does not expire and has a duty, or the other way round"
			);
			let one_more = |count: &mut u32| *count = count.saturating_add(1);
			if is_open {
				one_more(open.entry(request.worker).or_default());
			}
			if has_duty {
				one_more(duties.entry(request.worker).or_default());
			}
		}
		for id in Duties::<T>::iter_keys().chain(Responses::<T>::iter_keys()) {
			ensure!(Requests::<T>::contains_key(id), "something is kept of no request");
		}
		let counted: BTreeMap<WorkerId, u32> = OpenOfWorker::<T>::iter().collect();
		ensure!(counted == open, "a worker counts other open requests than it has");
		let counted: BTreeMap<WorkerId, u32> = DutiesOfWorker::<T>::iter().collect();
		ensure!(counted == duties, "a worker counts other duties than it has");
		let from = DueFrom::<T>::get().unwrap_or_default();
		ensure!(Due::<T>::iter_keys().all(|block| block >= from), "a request that never expires");
		let (first, next) = LeasesToMoveRange::<T>::get();
		for number in LeasesToMove::<T>::iter_keys() {
			ensure!((first..next).contains(&number), "a lease that never moves");
		}
		for worker in OwnActs::<T>::iter_keys() {
			ensure!(duties.contains_key(&worker), "what a worker paid is kept beyond its duties");
		}
		let (first, next) = ClosedRange::<T>::get();
		for number in Closed::<T>::iter_keys() {
			ensure!((first..next).contains(&number), "a closed request that is never forgotten");
		}
		Ok(())
	}
}
