//! Who has the time to bear a new agent, and who tries next.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Whoever has the lease has the time of a birth from now on. All have the same, so deadlines come in
	/// order.
	pub(crate) fn await_birth(agent: AgentId, holder: u32) {
		let deadline = Self::now().saturating_add(limits::BIRTH_BLOCKS);
		BirthRange::<T>::mutate(|(_, next)| {
			Births::<T>::insert(*next, (agent, deadline, holder));
			*next = next.saturating_add(1);
		});
	}

	/// Gives agents that were not borne in time to others, as far as `meter` goes.
	pub fn pass_births_on(meter: &mut WeightMeter) {
		let begun = T::WeightInfo::look_at_births(0);
		let look = T::WeightInfo::look_at_births(1).saturating_sub(begun);
		let one = T::WeightInfo::pass_birth_on();
		if meter.try_consume(begun).is_err() {
			return;
		}
		let now = Self::now();
		let (mut first, _) = BirthRange::<T>::get();
		while let Some((agent, deadline, holder)) = Births::<T>::get(first) {
			if now < deadline || meter.try_consume(look).is_err() {
				break;
			}
			if Self::is_awaited(agent, holder) {
				// What the mailbox does not take is tried again in the next block.
				let is_passed_on = meter.try_consume(one).is_ok()
					&& with_storage_layer(|| Self::pass_birth_on(agent, holder)).is_ok();
				if !is_passed_on {
					break;
				}
			}
			Births::<T>::remove(first);
			first = first.saturating_add(1);
			BirthRange::<T>::mutate(|range| range.0 = first);
		}
	}

	/// Neither given up nor born meanwhile, nor tried by as many as may.
	fn is_awaited(agent: AgentId, holder: u32) -> bool {
		holder < limits::BIRTH_HOLDERS_MAX
			&& Agents::<T>::get(agent).is_some_and(|record| record.version == 0)
	}

	pub(crate) fn pass_birth_on(agent: AgentId, holder: u32) -> DispatchResult {
		let had = T::Clusters::lease(agent);
		if let Some(assigned) = T::Clusters::assign(agent)?.filter(|one| Some(one.lease) == had) {
			T::Clusters::relieve(agent, &assigned)?;
		}
		Self::await_birth(agent, holder.saturating_add(1));
		Self::deposit_event(Event::BirthOverdue { agent });
		Ok(())
	}
}
