//! An answer, and who is paid for it.

use crate::*;
use split::{split, Shares};

impl<T: Config> Pallet<T> {
	/// Pays for one result of `agent`, which belongs to `owner`, and closes its request.
	fn settle(
		origin: EnvelopeOrigin,
		agent: AgentId,
		owner: AccountBytes,
		result: RequestResult,
	) -> DispatchResult {
		let RequestResult { request: id, outcome, units } = result;
		let request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
		ensure!(request.agent == agent, Error::<T>::WrongAgent);
		match request.state {
			RequestState::Open => {}
			RequestState::Settled { .. } => return Err(Error::<T>::AlreadySettled.into()),
			RequestState::Expired => return Err(Error::<T>::DeadlinePassed.into()),
		}
		ensure!(
			request.worker == origin.worker && request.boot == origin.boot,
			Error::<T>::NotAssigned
		);
		let now = Self::now();
		ensure!(now <= request.deadline, Error::<T>::DeadlinePassed);
		let failed = match &outcome {
			RequestOutcome::Answered(bytes) => {
				let fits = bytes.len() as u64 <= u64::from(limits::RESPONSE_BYTES_MAX);
				ensure!(fits, Error::<T>::ResponseTooLong);
				false
			}
			RequestOutcome::Failed(_) => true,
		};

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

		let stored: BoundedVec<u8, _> =
			outcome.encode().try_into().map_err(|_| Error::<T>::ResponseTooLong)?;
		Responses::<T>::insert(id, stored);
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
		Ok(())
	}
}

impl<T: Config> ReceivePayload for Pallet<T> {
	type Payload = AgentsPayload;
	type Error = DispatchError;

	fn receive(origin: EnvelopeOrigin, payload: AgentsPayload) -> Result<(), DispatchError> {
		let AgentsPayload::EffectSet(set) = payload;
		let owner = T::Agents::commit(origin, &set)?.owner;
		for result in set.results {
			Self::settle(origin, set.agent, owner, result)?;
		}
		Ok(())
	}
}
