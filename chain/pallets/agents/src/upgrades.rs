//! Code that is announced, and code that begins to run.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Writes down that `code` runs in `notice` blocks, instead of what was planned before. Returns how many
	/// bytes were told, as [`Self::tell`] does.
	pub(crate) fn plan(
		agent: AgentId,
		record: &AgentRecord,
		code: AgentCode,
		notice: BlockNumber,
	) -> Result<u32, DispatchError> {
		ensure!(record.code_version < u32::MAX, Error::<T>::NumbersExhausted);
		let at = Self::now().checked_add(notice).ok_or(Error::<T>::NoticeTooLong)?;
		// One that it takes the place of has paid for its version.
		if !Planned::<T>::contains_key(agent) {
			Self::hold_for(agent, record, CODE_ENTRY_BYTES)?;
		}
		Self::drop_plan(agent);
		Due::<T>::try_append(at, agent).map_err(|()| Error::<T>::TooManyUpgradesDue)?;
		Planned::<T>::insert(agent, PlannedUpgrade { code, at });
		let told = Self::tell(agent, record.clone())?;
		Self::deposit_event(Event::UpgradePlanned { agent, code, at });
		Ok(told)
	}

	pub(crate) fn drop_plan(agent: AgentId) {
		let Some(dropped) = Planned::<T>::take(agent) else { return };
		Due::<T>::mutate_exists(dropped.at, |due| {
			if let Some(agents) = due {
				agents.retain(|other| *other != agent);
				if agents.is_empty() {
					*due = None;
				}
			}
		});
	}

	/// From now on `code` runs. Returns the same.
	pub(crate) fn activate(
		agent: AgentId,
		mut record: AgentRecord,
		code: AgentCode,
	) -> Result<u32, DispatchError> {
		let code_version =
			record.code_version.checked_add(1).ok_or(Error::<T>::NumbersExhausted)?;
		record.code = code;
		record.code_version = code_version;
		History::<T>::insert(agent, code_version, CodeEntry { code, block: Self::now() });
		Agents::<T>::insert(agent, &record);
		let told = Self::tell(agent, record)?;
		Self::deposit_event(Event::Upgraded { agent, code_version, code });
		Ok(told)
	}

	/// Activates what is due, the oldest first, as far as `meter` goes. The block that it could not finish
	/// is where the next one starts.
	pub fn activate_due(meter: &mut WeightMeter) {
		let look = T::WeightInfo::activate_due(0);
		let one = T::WeightInfo::activate_due(1).saturating_sub(look);
		let now = Self::now();
		let mut block = LateFrom::<T>::get().unwrap_or(now);
		while block <= now && meter.try_consume(look).is_ok() {
			let mut due = Due::<T>::take(block);
			due.retain(|agent| {
				meter.try_consume(one).is_err()
					|| with_storage_layer(|| Self::activate_planned(*agent)).is_err()
			});
			if !due.is_empty() {
				Due::<T>::insert(block, due);
				break;
			}
			block = block.saturating_add(1);
		}
		LateFrom::<T>::put(block);
	}

	fn activate_planned(agent: AgentId) -> DispatchResult {
		match (Planned::<T>::take(agent), Agents::<T>::get(agent)) {
			(Some(planned), Some(record)) => {
				Self::activate(agent, record, planned.code).map(|_| ())
			}
			_ => Ok(()),
		}
	}
}
