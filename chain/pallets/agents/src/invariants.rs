//! What holds of the pallet's storage between any two blocks: tests ask for it, and so does
//! `try-runtime` of a live chain's state before and after an upgrade.

use crate::*;

impl<T: Config> Pallet<T> {
	/// `Err` says what does not hold.
	pub fn check_invariants() -> DispatchResult {
		for (agent, record) in Agents::<T>::iter() {
			let held = Deposits::<T>::get(agent).ok_or("an agent without a deposit")?;
			let callers = Callers::<T>::decode_len(agent).unwrap_or(0) as u32;
			let versions = record
				.code_version
				.saturating_sub(1)
				.saturating_add(Planned::<T>::contains_key(agent).into());
			let bytes = callers
				.saturating_mul(CALLER_BYTES)
				.saturating_add(versions.saturating_mul(CODE_ENTRY_BYTES));
			let least = T::ByteDeposit::get()
				.saturating_mul(bytes.into())
				.saturating_add(T::AgentDeposit::get());
			ensure!(held >= least, "an agent that has more stored than is held for");
			ensure!(
				History::<T>::contains_key(agent, record.code_version),
				"an agent whose code is not in its history"
			);
		}
		let of_agents = Deposits::<T>::iter_keys()
			.chain(Callers::<T>::iter_keys())
			.chain(Offers::<T>::iter_keys())
			.chain(Evictions::<T>::iter_keys())
			.chain(Planned::<T>::iter_keys())
			.chain(Prepared::<T>::iter_keys());
		for agent in of_agents {
			ensure!(Agents::<T>::contains_key(agent), "something is kept of no agent");
		}
		for (agent, version, _) in History::<T>::iter() {
			let is_leaving = || OldHistory::<T>::get(agent).is_some_and(|left| version <= left);
			ensure!(
				Agents::<T>::contains_key(agent) || is_leaving(),
				"the history of no agent, and it does not go"
			);
		}
		for (agent, planned) in Planned::<T>::iter() {
			ensure!(
				Due::<T>::get(planned.at).contains(&agent),
				"an upgrade is planned for a block in which it is not due"
			);
		}
		let from = LateFrom::<T>::get().unwrap_or_default();
		for (block, due) in Due::<T>::iter() {
			ensure!(block >= from, "an upgrade that never comes");
			let is_planned = |agent: &AgentId| {
				Planned::<T>::get(agent).is_some_and(|planned| planned.at == block)
			};
			ensure!(due.iter().all(is_planned), "an upgrade is due that nobody planned");
		}
		Ok(())
	}
}
