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

	/// Gives agents that were not borne in time to others; how many births it looked at.
	pub(crate) fn pass_births_on(now: BlockNumber) -> u32 {
		let (mut first, _) = BirthRange::<T>::get();
		let mut looked_at = 0;
		while looked_at < BIRTHS_PER_BLOCK_MAX {
			let Some((agent, deadline, holder)) = Births::<T>::get(first) else { break };
			if now < deadline {
				break;
			}
			looked_at = looked_at.saturating_add(1);
			// What the mailbox does not take is tried again in the next block.
			if with_storage_layer(|| Self::pass_birth_on(agent, holder)).is_err() {
				break;
			}
			Births::<T>::remove(first);
			first = first.saturating_add(1);
			BirthRange::<T>::mutate(|range| range.0 = first);
		}
		looked_at
	}

	fn pass_birth_on(agent: AgentId, holder: u32) -> DispatchResult {
		// Given up, or born, meanwhile.
		let Some(record) = Agents::<T>::get(agent) else { return Ok(()) };
		if record.version > 0 || holder >= limits::BIRTH_HOLDERS_MAX {
			return Ok(());
		}
		let had = T::Clusters::lease(agent);
		if let Some(assigned) = T::Clusters::assign(agent)?.filter(|one| Some(one.lease) == had) {
			T::Clusters::relieve(agent, &assigned)?;
		}
		Self::await_birth(agent, holder.saturating_add(1));
		Self::deposit_event(Event::BirthOverdue { agent });
		Ok(())
	}
}
