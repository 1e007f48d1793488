//! An answer, and who is paid for it.

use crate::*;
use alloc::vec::Vec;
use phala_protocol::agents::EffectSet;
use split::{split, Shares};

impl<T: Config> Pallet<T> {
	/// The requests of all of a set's results, in their order. All of them are looked at before any is
	/// paid: a set that one of them makes void has cost no more than the look ([`WeightInfo::look`]).
	pub(crate) fn look_at(
		origin: EnvelopeOrigin,
		set: &EffectSet,
	) -> Result<Vec<Request<T::AccountId>>, Error<T>> {
		let mut requests = Vec::new();
		for (n, result) in set.results.iter().enumerate() {
			let is_twice = set.results.iter().take(n).any(|other| other.request == result.request);
			let request = Self::open_request(origin, set.agent, result)?;
			ensure!(!is_twice, Error::<T>::AlreadySettled);
			requests.push(request);
		}
		Ok(requests)
	}

	/// The request that this result may settle.
	fn open_request(
		origin: EnvelopeOrigin,
		agent: AgentId,
		result: &RequestResult,
	) -> Result<Request<T::AccountId>, Error<T>> {
		let RequestResult { request: id, outcome, .. } = result;
		let request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
		ensure!(request.agent == agent, Error::<T>::WrongAgent);
		match request.state {
			RequestState::Open => {}
			RequestState::Settled { .. } => return Err(Error::<T>::AlreadySettled),
			RequestState::Expired => return Err(Error::<T>::DeadlinePassed),
		}
		ensure!(
			request.worker == origin.worker && request.boot == origin.boot,
			Error::<T>::NotAssigned
		);
		ensure!(Self::now() <= request.deadline, Error::<T>::DeadlinePassed);
		if let RequestOutcome::Answered(bytes) = outcome {
			let fits = bytes.len() as u64 <= u64::from(limits::RESPONSE_BYTES_MAX);
			ensure!(fits, Error::<T>::ResponseTooLong);
		}
		Ok(request)
	}

	/// Pays for one result of an agent that belongs to `owner`, and closes its request, which was looked
	/// at before: nothing is refused any more.
	pub(crate) fn settle(
		owner: AccountBytes,
		request: Request<T::AccountId>,
		result: RequestResult,
	) {
		let RequestResult { request: id, outcome, units } = result;
		let now = Self::now();
		let failed = matches!(outcome, RequestOutcome::Failed(_));
		let agent = request.agent;
		let Request { caller, held, .. } = &request;
		let units = units.min(request.units_max);
		let fee = Balance::from(units).saturating_mul(request.unit_price).min(*held);
		let worker = T::Workers::operator(request.worker).map(T::AccountId::from);
		let shares = Shares { worker: T::WorkerShare::get(), developer: T::DeveloperShare::get() };
		let parts = split(fee, shares);
		let worker_paid = worker.as_ref().map_or(0, |worker| Self::pay(worker, parts.worker));
		let developer = T::AccountId::from(owner);
		let developer_paid = Self::pay(&developer, parts.developer);
		let unpaid = parts
			.worker
			.saturating_sub(worker_paid)
			.saturating_add(parts.developer.saturating_sub(developer_paid));
		let rest = Self::pay(&T::Treasury::get(), parts.treasury.saturating_add(unpaid));
		let paid = worker_paid.saturating_add(developer_paid).saturating_add(rest);
		let (refunded, instead) = Self::refund(caller, held.saturating_sub(paid));

		// What is too long for it was refused.
		Responses::<T>::insert(id, BoundedVec::truncate_from(outcome.encode()));
		Due::<T>::mutate_exists(request.deadline, |due| {
			if let Some(requests) = due {
				requests.retain(|other| *other != id);
				if requests.is_empty() {
					*due = None;
				}
			}
		});
		let caller = caller.clone();
		Self::end_duty(id, request.worker, now);
		Self::forget_own_acts(request.worker);
		Self::close(id, request, RequestState::Settled { fee, failed, block: now });
		Self::deposit_event(Event::RequestSettled {
			request: id,
			agent,
			caller,
			failed,
			units,
			fee,
			worker,
			worker_paid,
			developer,
			developer_paid,
			treasury_paid: rest.saturating_add(instead),
			refunded,
		});
	}

	/// Whether a set that was refused so was refused for one of its results: it has cost its commit, and
	/// the look at them.
	pub fn is_refused_for_a_result(error: &DispatchError) -> bool {
		[
			Error::<T>::UnknownRequest,
			Error::<T>::WrongAgent,
			Error::<T>::AlreadySettled,
			Error::<T>::NotAssigned,
			Error::<T>::DeadlinePassed,
			Error::<T>::ResponseTooLong,
		]
		.into_iter()
		.any(|one| DispatchError::from(one) == *error)
	}
}

impl<T: Config> ReceivePayload for Pallet<T> {
	type Payload = AgentsPayload;
	type Error = DispatchError;

	fn receive(origin: EnvelopeOrigin, payload: AgentsPayload) -> Result<(), DispatchError> {
		let AgentsPayload::EffectSet(set) = payload;
		let owner = T::Agents::commit(origin, &set)?.owner;
		let requests = Self::look_at(origin, &set)?;
		for (result, request) in set.results.into_iter().zip(requests) {
			Self::settle(owner, request, result);
		}
		Ok(())
	}
}
