//! Money back, when whoever was to answer has its agent's lease no more.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Gives callers their money back whose requests were assigned to a lease that ended, as far as `meter`
	/// goes; the entry that it could not finish says where to go on.
	pub fn refund_moved(meter: &mut WeightMeter) {
		let begun = T::WeightInfo::refund_moved(0);
		let look = T::WeightInfo::refund_moved(1).saturating_sub(begun);
		if meter.try_consume(begun).is_err() {
			return;
		}
		let (mut first, next) = MovedRange::<T>::get();
		while first < next && meter.try_consume(look).is_ok() {
			let Some((agent, mut after)) = MovedLeases::<T>::take(first) else {
				first = first.saturating_add(1);
				continue;
			};
			// An agent without open requests costs a look, too.
			let is_done = loop {
				let Some(id) = Self::next_open(agent, after) else { break true };
				Self::refund_if_moved(agent, id);
				after = Some(id);
				if meter.try_consume(look).is_err() {
					break false;
				}
			};
			if !is_done {
				MovedLeases::<T>::insert(first, (agent, after));
				break;
			}
			first = first.saturating_add(1);
		}
		MovedRange::<T>::put((first, next));
	}

	/// An iterator of its own for each: it must not see what a refund changes.
	fn next_open(agent: AgentId, after: Option<RequestId>) -> Option<RequestId> {
		match after {
			None => OpenRequests::<T>::iter_key_prefix(agent).next(),
			Some(after) => {
				let from = OpenRequests::<T>::hashed_key_for(agent, after);
				OpenRequests::<T>::iter_key_prefix_from(agent, from).next()
			}
		}
	}

	fn refund_if_moved(agent: AgentId, id: RequestId) {
		let (Some(request), Some(assigned)) = (Requests::<T>::get(id), Duties::<T>::get(id)) else {
			return;
		};
		// Those that the new holder was given are its own.
		if T::Clusters::is_held(agent, &assigned) {
			return;
		}
		let (refunded, _) = Self::refund(&request.caller, request.held);
		Self::close(id, request, RequestState::Expired);
		Self::deposit_event(Event::RequestRefunded { request: id, agent, refunded });
	}
}

impl<T: Config> LeaseHooks for Pallet<T> {
	fn on_lease_ended(agent: AgentId) {
		if OpenOfAgent::<T>::get(agent) == 0 {
			return;
		}
		MovedRange::<T>::mutate(|(_, next)| {
			MovedLeases::<T>::insert(*next, (agent, None::<RequestId>));
			*next = next.saturating_add(1);
		});
	}
}
