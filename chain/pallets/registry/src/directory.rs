//! What other pallets ask about workers, and are told of them.

use crate::*;
use phala_protocol::traits::{BondUsers, ReceivePayload};

impl<T: Config> BootDirectory for Pallet<T> {
	fn current_boot(worker: WorkerId) -> Option<Boot> {
		Boots::<T>::get(worker)
	}

	fn is_in_force(worker: WorkerId, boot: &Boot) -> bool {
		Self::now() < boot.expires_at
			&& Self::is_allowed(&boot.measurement)
			&& T::Bonding::is_sufficient(BondId::Worker(worker))
	}
}

impl<T: Config> WorkerDirectory for Pallet<T> {
	fn operator(worker: WorkerId) -> Option<AccountBytes> {
		Workers::<T>::get(worker).map(|record| record.operator.into())
	}

	fn last_sign_of_life(worker: WorkerId) -> Option<BlockNumber> {
		let registered_at = Boots::<T>::get(worker)?.registered_at;
		Some(LastHeartbeat::<T>::get(worker).unwrap_or_default().max(registered_at))
	}

	fn is_delisted(worker: WorkerId) -> bool {
		Boots::<T>::get(worker).is_some_and(|boot| !Self::is_allowed(&boot.measurement))
	}

	fn penalise(worker: WorkerId, amount: Balance) -> Balance {
		let amount = T::Bonding::slash(BondId::Worker(worker), amount);
		Self::deposit_event(Event::WorkerPenalised { worker, amount });
		amount
	}
}

impl<T: Config> BondUsers for Pallet<T> {
	fn is_answering(bond: BondId) -> bool {
		match bond {
			BondId::Worker(worker) => T::Assignments::open_of(worker) > 0,
			BondId::Gatekeeper(_) => false,
		}
	}

	fn on_exhausted(bond: BondId) {
		let (BondId::Worker(worker) | BondId::Gatekeeper(worker)) = bond;
		if Boots::<T>::contains_key(worker) {
			ReportedExhausted::<T>::insert(worker, ());
		}
	}

	fn on_gone(bond: BondId) {
		let (BondId::Worker(worker) | BondId::Gatekeeper(worker)) = bond;
		if Self::bonds_of(worker).into_iter().all(|bond| T::Bonding::at_stake(bond) == 0) {
			ClosedPlatforms::<T>::remove(worker);
		}
	}
}

impl<T: Config> ReceivePayload for Pallet<T> {
	type Payload = RegistryPayload;
	type Error = DispatchError;

	fn receive(origin: EnvelopeOrigin, payload: RegistryPayload) -> Result<(), DispatchError> {
		let EnvelopeOrigin { worker, boot } = origin;
		match payload {
			RegistryPayload::Heartbeat { nonce } => {
				let now = Self::now();
				let too_soon = LastHeartbeat::<T>::get(worker)
					.is_some_and(|last| now.saturating_sub(last) < T::HeartbeatGap::get());
				ensure!(!too_soon, Error::<T>::HeartbeatTooSoon);
				LastHeartbeat::<T>::insert(worker, now);
				T::WorkerHooks::on_sign_of_life(worker);
				Self::tell(worker, RegistryMessage::HeartbeatSeen { boot, nonce })?;
				Self::deposit_event(Event::Heartbeat { worker, boot });
			}
			RegistryPayload::ProbeAnswered { nonce } => {
				OpenProbes::<T>::try_mutate(worker, |open| {
					let place = open
						.iter()
						.position(|asked| asked.nonce == nonce && asked.waits(Self::now()))
						.ok_or(Error::<T>::UnknownProbe)?;
					open.remove(place);
					Ok::<_, DispatchError>(())
				})?;
				Self::deposit_event(Event::ProbeAnswered { worker, boot, nonce });
			}
		}
		Ok(())
	}
}
