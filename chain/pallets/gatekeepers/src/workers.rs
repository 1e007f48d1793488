//! What becomes of seats and bonds when a worker boots anew, or is lost.

use crate::*;
use phala_protocol::traits::{BondUsers, EvictedBy, WorkerHooks};

impl<T: Config> WorkerHooks for Pallet<T> {
	fn on_boot(worker: WorkerId, _: &Boot) -> Result<u32, PushError> {
		let active = Active::<T>::get();
		if let Some(active) = &active {
			Self::tell(worker, KeysMessage::MasterKey(active.master_key()))?;
		}
		// A share lives in memory: this boot has none. A ceremony under way replaces the active
		// seats anyway, so they matter only while there is none.
		match (Ceremony::<T>::get(), active) {
			(Some(ceremony), _) if Self::has_seat(&ceremony.seats, worker) => {
				Self::start_ceremony_again(&ceremony.seats)?;
			}
			(None, Some(active)) if Self::has_seat(&active.seats, worker) => {
				Self::start_ceremony_again(&active.seats)?;
			}
			_ => {}
		}
		Ok(0)
	}

	fn on_evicted(worker: WorkerId, _: EvictedBy) -> Result<(), PushError> {
		Followers::<T>::remove(worker);
		Self::end_candidacy(worker);
		if !Self::is_seated(worker) {
			return Ok(());
		}
		Self::deposit_event(Event::SeatGivenUp { worker });
		let under_way = Ceremony::<T>::get();
		if let Some(mut active) = Active::<T>::get() {
			if Self::has_seat(&active.seats, worker) {
				active.seats.retain(|seat| seat.worker != worker);
				Active::<T>::put(&active);
				if under_way.is_none() {
					Self::start_ceremony_again(&active.seats)?;
				}
			}
		}
		match under_way {
			Some(mut ceremony) if Self::has_seat(&ceremony.seats, worker) => {
				ceremony.seats.retain(|seat| seat.worker != worker);
				Self::start_ceremony_again(&ceremony.seats)
			}
			_ => Ok(()),
		}
	}

	fn has_successor(worker: WorkerId) -> bool {
		let Some(active) = Active::<T>::get() else { return true };
		let serves = |seat: &Seat| {
			seat.worker != worker
				&& Self::boot_in_force(seat.worker).is_ok_and(|boot| boot.number == seat.boot)
		};
		!Self::has_seat(&active.seats, worker) || active.seats.iter().any(serves)
	}

	fn is_in_use(worker: WorkerId) -> bool {
		Candidates::<T>::contains_key(worker) || Self::is_seated(worker)
	}
}

impl<T: Config> BondUsers for Pallet<T> {
	/// A seat does: it may be slashed for what it has done with its share.
	fn is_answering(bond: BondId) -> bool {
		match bond {
			BondId::Gatekeeper(worker) => Self::is_seated(worker),
			BondId::Worker(_) => false,
		}
	}

	/// The registry evicts the worker, and tells this pallet.
	fn on_exhausted(_: BondId) {}
}
