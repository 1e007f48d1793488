//! Which code counts, and until when.

use crate::*;

impl<T: Config> Pallet<T> {
	pub(crate) fn is_allowed(measurement: &Measurement) -> bool {
		Measurements::<T>::get(measurement).is_some_and(|rule| rule.allows(Self::now()))
	}

	/// Ends the time of a measurement that is allowed now, never later than was said before. A block that
	/// has passed means now: a vote names it long before it is enacted.
	pub(crate) fn delist(measurement: Measurement, until: BlockNumber) -> DispatchResult {
		let until = until.max(Self::now());
		Measurements::<T>::try_mutate(measurement, |rule| {
			let rule = rule.as_mut().ok_or(Error::<T>::MeasurementNotAllowed)?;
			let is_earlier = rule.until.is_none_or(|before| until <= before);
			ensure!(is_earlier, Error::<T>::UntilLaterThanBefore);
			rule.until = Some(until);
			Ok::<_, DispatchError>(())
		})?;
		Self::note_sweep(until);
		Self::announce(RegistryMessage::MeasurementDelisted { measurement, until })?;
		Self::deposit_event(Event::MeasurementDelisted { measurement, until });
		Ok(())
	}
}
