//! How a worker gets a new boot.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Makes `keys` the worker's newest boot and tells it, before anybody relies on it.
	pub(crate) fn boots_anew(
		origin: frame_system::pallet_prelude::OriginFor<T>,
		worker: WorkerId,
		keys: BootKeys,
		evidence: &[u8],
		recent_block: BlockNumber,
	) -> Result<Boot, DispatchError> {
		let mut record = Self::worker_of(origin, worker)?;
		ensure!(T::Bonding::is_sufficient(BondId::Worker(worker)), Error::<T>::StakeTooLow);
		// Two relayers of one boot: the second registration would restart its numbering.
		ensure!(
			Boots::<T>::get(worker).is_none_or(|boot| boot.keys != keys),
			Error::<T>::AlreadyRegistered
		);
		let report = Self::verify_evidence(&record, worker, &keys, evidence, recent_block)?;
		let number = record.boots.checked_add(1).ok_or(Error::<T>::NumbersExhausted)?;
		let now = Self::now();
		let boot = Boot {
			number,
			keys,
			evidence: report.kind,
			measurement: report.measurement,
			registered_at: now,
			expires_at: now.saturating_add(T::EvidenceLifetime::get()),
		};

		record.boots = number;
		record.platform = Some(report.platform);
		PlatformWorker::<T>::insert(report.platform, worker);
		Workers::<T>::insert(worker, record);
		Boots::<T>::insert(worker, &boot);
		LastHeartbeat::<T>::remove(worker);
		Self::forget_probes(worker);
		T::Mailbox::open_inbound(worker, number);
		let expires_at = boot.expires_at;
		Self::tell(worker, RegistryMessage::Registered { boot: number, keys, expires_at })?;
		Ok(boot)
	}
}
