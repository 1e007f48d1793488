//! What owners have held for the bytes that they store.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Holds what so many more bytes cost that the owner has stored.
	pub(crate) fn hold_for(agent: AgentId, record: &AgentRecord, bytes: u32) -> DispatchResult {
		let more = T::ByteDeposit::get().saturating_mul(bytes.into());
		T::Currency::hold(&HoldReason::AgentDeposit.into(), &record.owner.into(), more)?;
		Deposits::<T>::mutate_extant(agent, |held| *held = held.saturating_add(more));
		Ok(())
	}

	/// Gives it back: they are stored no more.
	pub(crate) fn release_for(agent: AgentId, record: &AgentRecord, bytes: u32) -> DispatchResult {
		let less = T::ByteDeposit::get().saturating_mul(bytes.into());
		let reason = HoldReason::AgentDeposit.into();
		let precision = Precision::BestEffort;
		let released = T::Currency::release(&reason, &record.owner.into(), less, precision)?;
		Deposits::<T>::mutate_extant(agent, |held| *held = held.saturating_sub(released));
		Ok(())
	}
}
