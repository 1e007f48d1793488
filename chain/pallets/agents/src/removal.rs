//! Agents that are given up or thrown out, and what is left of them.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Forgets an agent, and tells its cluster to.
	pub(crate) fn remove(
		agent: AgentId,
		record: &AgentRecord,
		owner: T::AccountId,
		evicted: bool,
	) -> DispatchResult {
		Self::drop_plan(agent);
		Agents::<T>::remove(agent);
		Callers::<T>::remove(agent);
		Prepared::<T>::remove(agent);
		Offers::<T>::remove(agent);
		Evictions::<T>::remove(agent);
		// One version after the other, as far as one call goes: what is older follows.
		let left = record.code_version.saturating_sub(HISTORY_FORGOTTEN_MAX);
		for version in left.saturating_add(1)..=record.code_version {
			History::<T>::remove(agent, version);
		}
		if left > 0 {
			OldHistory::<T>::insert(agent, left);
		}
		T::Clusters::remove_agent(agent);
		if let Some(deposit) = Deposits::<T>::take(agent) {
			let reason = HoldReason::AgentDeposit.into();
			T::Currency::release(&reason, &owner, deposit, Precision::BestEffort)?;
		}
		Self::push(record.cluster, AgentsMessage::Retired { agent })?;
		Self::deposit_event(Event::Retired { agent, owner, evicted });
		Ok(())
	}

	/// The agent that its cluster's owner may throw out now, or `None` if notice was given to it just now.
	pub(crate) fn given_notice(
		agent: AgentId,
		who: AccountBytes,
	) -> Result<Option<AgentRecord>, Error<T>> {
		let record = Agents::<T>::get(agent).ok_or(Error::<T>::UnknownAgent)?;
		let owner = T::Clusters::owner(record.cluster);
		ensure!(owner == Some(who), Error::<T>::NotClusterOwner);
		let (now, notice) = (Self::now(), T::EvictionNotice::get());
		// One that its owner never came back to threatens nobody for ever.
		let lapsed = |at: BlockNumber| now >= at.saturating_add(notice);
		match Evictions::<T>::get(agent).filter(|at| !lapsed(*at)) {
			None => {
				let at = now.saturating_add(notice);
				Evictions::<T>::insert(agent, at);
				Self::deposit_event(Event::EvictionAnnounced { agent, at });
				Ok(None)
			}
			Some(at) => {
				ensure!(now >= at, Error::<T>::NoticeNotOver);
				Ok(Some(record))
			}
		}
	}

	/// Forgets what code agents ran that were given up, as far as `meter` goes.
	pub fn forget_history(meter: &mut WeightMeter) {
		let begun = T::WeightInfo::forget_history(0);
		let one = T::WeightInfo::forget_history(1).saturating_sub(begun);
		if meter.try_consume(begun).is_err() {
			return;
		}
		while let Some((agent, mut left)) = OldHistory::<T>::iter().next() {
			while left > 0 && meter.try_consume(one).is_ok() {
				History::<T>::remove(agent, left);
				left = left.saturating_sub(1);
			}
			if left > 0 {
				OldHistory::<T>::insert(agent, left);
				break;
			}
			OldHistory::<T>::remove(agent);
		}
	}
}
