//! What holds of the pallet's storage between any two blocks: tests ask for it, and so does
//! `try-runtime` of a live chain's state before and after an upgrade.

use crate::*;

impl<T: Config> Pallet<T> {
	/// `Err` says what does not hold.
	pub fn check_invariants() -> DispatchResult {
		for (worker, record) in Workers::<T>::iter() {
			ensure!(
				worker < NextWorker::<T>::get(),
				"a worker with a number that is still to give"
			);
			if let Some(platform) = record.platform {
				ensure!(
					PlatformWorker::<T>::get(platform) == Some(worker),
					"a worker's machine is in another worker or none"
				);
			}
		}
		for (platform, worker) in PlatformWorker::<T>::iter() {
			ensure!(
				Workers::<T>::get(worker).and_then(|record| record.platform) == Some(platform),
				"a machine is in a worker that has another or none"
			);
		}
		for (worker, boot) in Boots::<T>::iter() {
			ensure!(
				Workers::<T>::get(worker).is_some_and(|record| record.boots == boot.number),
				"a boot in force that is not its worker's newest"
			);
		}
		for worker in Offers::<T>::iter_keys() {
			ensure!(Workers::<T>::contains_key(worker), "a worker is offered that is no more");
		}
		for worker in LastHeartbeat::<T>::iter_keys().chain(OpenProbes::<T>::iter_keys()) {
			ensure!(Boots::<T>::contains_key(worker), "signs of life of a worker without boot");
		}
		Ok(())
	}
}
