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
