//! Money back, when whoever was to answer has its agent's lease no more.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Gives callers their money back whose requests were assigned to a lease that ended. Looks at most at
	/// `most` requests, and goes on with the rest another time; what it took.
	pub(crate) fn refund_moved(most: u32) -> Weight {
		let (mut first, next) = MovedRange::<T>::get();
		let mut looked_at = 0u32;
		while first < next && looked_at < most {
			let left = most.saturating_sub(looked_at);
			// An agent without open requests costs a look, too.
			let found = MovedLeases::<T>::get(first)
				.map_or(0, |(agent, after)| Self::refund_moved_of(first, agent, after, left));
			looked_at = looked_at.saturating_add(found.max(1));
			if found < left {
				MovedLeases::<T>::remove(first);
				first = first.saturating_add(1);
				MovedRange::<T>::put((first, next));
			}
		}
		T::WeightInfo::refund_moved(looked_at)
	}

	/// The same for one agent, from the request `after` on; how many it looked at. With `most` there may
	/// be more: the entry says where to go on.
	fn refund_moved_of(entry: u64, agent: AgentId, after: Option<RequestId>, most: u32) -> u32 {
		let open: Vec<RequestId> = match after {
			None => OpenRequests::<T>::iter_key_prefix(agent).take(most as usize).collect(),
			Some(after) => {
				let from = OpenRequests::<T>::hashed_key_for(agent, after);
				OpenRequests::<T>::iter_key_prefix_from(agent, from).take(most as usize).collect()
			}
		};
		for id in &open {
			let (Some(request), Some(assigned)) = (Requests::<T>::get(id), Duties::<T>::get(id))
			else {
				continue;
			};
			// Those that the new holder was given are its own.
			if T::Clusters::is_held(agent, &assigned) {
				continue;
			}
			let (refunded, _) = Self::refund(&request.caller, request.held);
			Self::close(*id, request, RequestState::Expired);
			Self::deposit_event(Event::RequestRefunded { request: *id, agent, refunded });
		}
		MovedLeases::<T>::insert(entry, (agent, open.last().copied()));
		open.len() as u32
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
