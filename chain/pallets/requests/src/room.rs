//! Whether there is a place for one more request, and what it costs.

use crate::*;

impl<T: Config> Pallet<T> {
	/// What a request pays that is not refunded, if there is a place for it.
	pub(crate) fn find_room(
		caller: &T::AccountId,
		agent: AgentId,
		worker: WorkerId,
		deadline: BlockNumber,
	) -> Result<Balance, Error<T>> {
		let of_caller = OpenOfCaller::<T>::get(caller);
		ensure!(of_caller < limits::OPEN_REQUESTS_PER_CALLER_MAX, Error::<T>::TooManyOfCaller);
		let of_agent = Room::of_agent(OpenOfAgent::<T>::get(agent));
		ensure!(!of_agent.is_full(), Error::<T>::TooManyOfAgent);
		let of_worker = Room::of_worker(OpenOfWorker::<T>::get(worker));
		ensure!(!of_worker.is_full(), Error::<T>::TooManyOfWorker);
		let due = Due::<T>::decode_len(deadline).unwrap_or(0) as u32;
		let of_deadline = Room::of_deadline(due);
		ensure!(!of_deadline.is_full(), Error::<T>::TooManyDue);
		Ok(base_fee(T::BaseFee::get(), &[of_agent, of_worker, of_deadline]))
	}
}
