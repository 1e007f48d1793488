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

	/// Those who rely on the worker go on with its new boot. What others had less to do than they may have is
	/// given back.
	pub(crate) fn rely_on(worker: WorkerId, boot: &Boot) -> DispatchResultWithPostInfo {
		let is_in_use = T::WorkerHooks::is_in_use(worker);
		let agents = T::WorkerHooks::on_boot(worker, boot).map_err(Error::<T>::from);
		if is_in_use {
			return Ok(Some(weights::boot::<T, T::WeightInfo>(agents?)).into());
		}
		let used = Self::weight_of_boot_of_nobody();
		agents.map_err(|refused| DispatchError::from(refused).with_weight(used))?;
		Ok(Some(used).into())
	}

	/// What registering a boot takes on which nobody relies: its work, or what others lose by the places of what it is
	/// told, that it is registered and the master key.
	pub fn weight_of_boot_of_nobody() -> Weight {
		T::WeightInfo::register_boot_of_nobody().max(T::News::get().saturating_mul(2))
	}
}

// The master key that a boot is told is no longer than other messages, while one gatekeeper makes it: of more it is
// longer, and would have to be paid for by its length.
const _: () = assert!(limits::GATEKEEPERS_MAX == 1);
