//! How a master key comes to be: ceremonies from their start to the key that serves.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Epoch and attempt of a ceremony that starts now; `None` when the numbers are used up.
	pub(crate) fn next_ceremony() -> Option<(Epoch, u32)> {
		let epoch = Self::active_epoch().unwrap_or(0).checked_add(1)?;
		let attempt = match LastCeremony::<T>::get() {
			Some((last, attempt)) if last == epoch => attempt.checked_add(1)?,
			_ => 0,
		};
		Some((epoch, attempt))
	}

	pub(crate) fn start_ceremony(
		epoch: Epoch,
		attempt: u32,
		seats: Seats,
	) -> Result<(), PushError> {
		// The head before `Seated`: whoever follows from here reads it.
		let head = T::Mailbox::head(Channel::Gatekeepers);
		for seat in &seats {
			let identity = seat.keys.identity;
			if Followers::<T>::get(seat.worker) != Some(identity) {
				Self::tell(seat.worker, KeysMessage::SeatedAsGatekeeper { identity, head })?;
				Followers::<T>::insert(seat.worker, identity);
			}
		}
		Self::tell_gatekeepers(KeysMessage::Seated {
			epoch,
			attempt,
			seats: seats.clone().into_inner(),
		})?;
		LastCeremony::<T>::put((epoch, attempt));
		Self::deposit_event(Event::CeremonyStarted {
			epoch,
			attempt,
			workers: seats.iter().map(|seat| seat.worker).collect(),
		});
		Ceremony::<T>::put(CeremonyUnderWay {
			epoch,
			attempt,
			seats,
			confirmations: BoundedVec::new(),
			pending: None,
		});
		Ok(())
	}

	/// A ceremony among the same workers, as far as they have a boot in force, with these boots.
	/// Without any of them no ceremony is left.
	pub(crate) fn start_ceremony_again(seats: &Seats) -> Result<(), PushError> {
		let seats = BoundedVec::truncate_from(
			seats
				.iter()
				.filter_map(|seat| {
					let boot = Self::boot_in_force(seat.worker).ok()?;
					Some(Self::seat_of(seat.worker, &boot))
				})
				.collect(),
		);
		match Self::next_ceremony() {
			Some((epoch, attempt)) if !seats.is_empty() => {
				Self::start_ceremony(epoch, attempt, seats)
			}
			_ => {
				if let Some(CeremonyUnderWay { epoch, attempt, .. }) = Ceremony::<T>::take() {
					Self::deposit_event(Event::CeremonyAbandoned { epoch, attempt });
				}
				Ok(())
			}
		}
	}

	/// Lets a pending key serve if its block has come. A full mailbox puts it off by a block.
	pub(crate) fn activate_pending_key() {
		let Some(CeremonyUnderWay { epoch, attempt, seats, pending: Some(pending), .. }) =
			Ceremony::<T>::get()
		else {
			return;
		};
		if Self::now() < pending.active_at {
			return;
		}
		let active = ActiveKey { epoch, attempt, outcome: pending.outcome, seats };
		let told = Self::push(Channel::System, KeysMessage::MasterKey(active.master_key()));
		if told.is_ok() {
			Active::<T>::put(active);
			Ceremony::<T>::kill();
			ResendingRequests::<T>::put(Resending::default());
			Self::deposit_event(Event::MasterKeyActivated { epoch, attempt });
		}
	}

	pub(crate) fn confirm(
		origin: EnvelopeOrigin,
		epoch: Epoch,
		attempt: u32,
		outcome: Vec<u8>,
	) -> DispatchResult {
		let outcome = OutcomeBytes::try_from(outcome).map_err(|_| Error::<T>::OutcomeTooLong)?;
		let mut ceremony = Ceremony::<T>::get().ok_or(Error::<T>::NoCeremony)?;
		ensure!((ceremony.epoch, ceremony.attempt) == (epoch, attempt), Error::<T>::OtherCeremony);
		Self::ensure_seat(&ceremony.seats, origin)?;

		let outcome_hash = blake2_256(&outcome);
		let worker = origin.worker;
		if let Some(earlier) =
			ceremony.confirmations.iter().find(|earlier| earlier.worker == worker)
		{
			ensure!(earlier.outcome_hash == outcome_hash, Error::<T>::ConfirmedDifferently);
			return Err(Error::<T>::AlreadyConfirmed.into());
		}
		ceremony
			.confirmations
			.try_push(Confirmation { worker, outcome_hash })
			.map_err(|_| Error::<T>::AlreadyConfirmed)?;
		Self::deposit_event(Event::MasterKeyConfirmed { worker, epoch, attempt, outcome_hash });

		let same = ceremony
			.confirmations
			.iter()
			.filter(|confirmation| confirmation.outcome_hash == outcome_hash)
			.count() as u32;
		if ceremony.pending.is_none() && same >= quorum(ceremony.seats.len() as u32) {
			let active_at = Self::now().saturating_add(ACTIVATION_DELAY);
			ceremony.pending = Some(PendingKey { active_at, outcome });
			Self::deposit_event(Event::MasterKeyPending { epoch, attempt, active_at });
		}
		Ceremony::<T>::put(ceremony);
		Ok(())
	}
}
