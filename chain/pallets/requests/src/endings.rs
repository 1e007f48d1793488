//! How requests end and are forgotten.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Writes down what became of an open request, and frees its places.
	pub(crate) fn close(id: RequestId, request: Request<T::AccountId>, state: RequestState) {
		let one_less = |count: &mut Option<u32>| {
			*count = count.and_then(|count| count.checked_sub(1)).filter(|count| *count > 0);
		};
		OpenRequests::<T>::remove(request.agent, id);
		OpenOfAgent::<T>::mutate_exists(request.agent, one_less);
		OpenOfWorker::<T>::mutate_exists(request.worker, one_less);
		OpenOfCaller::<T>::mutate_exists(&request.caller, one_less);
		Requests::<T>::insert(id, Request { state, ..request });
	}

	/// Nobody answers for a request any more, and it is to be forgotten.
	pub(crate) fn end_duty(id: RequestId, worker: WorkerId, now: BlockNumber) {
		Duties::<T>::remove(id);
		DutiesOfWorker::<T>::mutate_exists(worker, |duties| {
			*duties = duties.and_then(|duties| duties.checked_sub(1)).filter(|duties| *duties > 0);
		});
		ClosedRange::<T>::mutate(|(_, next)| {
			Closed::<T>::insert(*next, (id, now));
			*next = next.saturating_add(1);
		});
	}

	/// Who answers for nothing more starts anew: what it paid counts for nothing that is to come.
	pub(crate) fn forget_own_acts(worker: WorkerId) {
		if !DutiesOfWorker::<T>::contains_key(worker) {
			OwnActs::<T>::remove(worker);
		}
	}

	/// Forgets requests that were closed long enough ago, as far as `meter` goes.
	pub fn prune(meter: &mut WeightMeter) {
		let begun = T::WeightInfo::prune(0);
		let one = T::WeightInfo::prune(1).saturating_sub(begun);
		if meter.try_consume(begun).is_err() {
			return;
		}
		let now = Self::now();
		let (oldest, next) = ClosedRange::<T>::get();
		let mut first = oldest;
		while first < next {
			let closed = Closed::<T>::get(first);
			let is_kept = |at: BlockNumber| at.saturating_add(T::ResponseRetention::get()) > now;
			if closed.is_some_and(|(_, at)| is_kept(at)) || meter.try_consume(one).is_err() {
				break;
			}
			if let Some((request, _)) = closed {
				Requests::<T>::remove(request);
				Responses::<T>::remove(request);
				Closed::<T>::remove(first);
			}
			first = first.saturating_add(1);
		}
		if first != oldest {
			ClosedRange::<T>::put((first, next));
		}
	}
}

impl<T: Config> Assignments for Pallet<T> {
	fn open_of(worker: WorkerId) -> u32 {
		DutiesOfWorker::<T>::get(worker)
	}
}
