//! Requests for cluster secrets, and what gatekeepers release.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Tells the gatekeepers of a new epoch what is still open, as far as `meter` goes; drops what nobody
	/// waits for.
	pub fn resend_open_requests(meter: &mut WeightMeter) {
		let look = T::WeightInfo::resend(0);
		// A request that is dropped takes its answers with it, which none has that is told again.
		let one = T::WeightInfo::resend(1)
			.saturating_sub(look)
			.saturating_add(T::DbWeight::get().writes(1));
		if meter.try_consume(look).is_err() {
			return;
		}
		let Some(Resending { mut after }) = ResendingRequests::<T>::get() else { return };
		while meter.try_consume(one).is_ok() {
			// An iterator of its own for each: it must not see what a drop changes.
			let next = match after {
				Some(last) => {
					OpenRequests::<T>::iter_from(OpenRequests::<T>::hashed_key_for(last)).next()
				}
				None => OpenRequests::<T>::iter().next(),
			};
			let Some((key, request)) = next else {
				ResendingRequests::<T>::kill();
				return;
			};
			if !T::Boots::is_current(request.worker, request.boot) {
				Self::drop_request(request.worker, request.cluster);
			} else if Self::tell_gatekeepers(KeysMessage::KeyRequested(request)).is_err() {
				break;
			}
			after = Some(key);
		}
		ResendingRequests::<T>::put(Resending { after });
	}

	fn drop_request(worker: WorkerId, cluster: ClusterId) {
		if OpenRequests::<T>::take((worker, cluster)).is_some() {
			Answers::<T>::remove((worker, cluster));
			Self::deposit_event(Event::KeyRequestDropped { worker, cluster });
		}
	}

	pub(crate) fn release(
		origin: EnvelopeOrigin,
		request: KeyRequest,
		release: Vec<u8>,
	) -> DispatchResult {
		ensure!(
			release.len() as u64 <= u64::from(limits::KEY_RELEASE_BYTES_MAX),
			Error::<T>::ReleaseTooLong
		);
		let active = Active::<T>::get().ok_or(Error::<T>::NoMasterKey)?;
		Self::ensure_seat(&active.seats, origin)?;
		let KeyRequest { worker, boot, cluster, generation, .. } = request;
		let key = (worker, cluster);
		ensure!(OpenRequests::<T>::get(key) == Some(request), Error::<T>::RequestNotOpen);
		ensure!(
			Self::boot_in_force(worker).is_ok_and(|current| current.number == boot),
			Error::<T>::RequesterNotInForce
		);

		let mut answers = Answers::<T>::get(key);
		if answers.epoch != active.epoch {
			answers = RequestAnswers { epoch: active.epoch, ..Default::default() };
		}
		ensure!(!answers.gatekeepers.contains(&origin.worker), Error::<T>::AlreadyAnswered);
		answers.gatekeepers.try_push(origin.worker).map_err(|_| Error::<T>::AlreadyAnswered)?;
		Self::tell(worker, KeysMessage::KeyRelease { boot, cluster, generation, release })
			.map_err(Error::<T>::from)?;

		// A seat whose boot is gone can answer no more: nobody waits for it.
		let all_answered = active.seats.iter().all(|seat| {
			answers.gatekeepers.contains(&seat.worker)
				|| !T::Boots::is_current(seat.worker, seat.boot)
		});
		if all_answered {
			OpenRequests::<T>::remove(key);
			Answers::<T>::remove(key);
		} else {
			Answers::<T>::insert(key, answers);
		}
		Self::deposit_event(Event::KeyReleased { worker: origin.worker, request });
		Ok(())
	}
}

impl<T: Config> KeyRequests for Pallet<T> {
	type Error = DispatchError;

	fn active_epoch() -> Option<Epoch> {
		Active::<T>::get().map(|active| active.epoch)
	}

	fn admit(request: KeyRequest) -> Result<(), DispatchError> {
		let key = (request.worker, request.cluster);
		let (now, epoch) = (Self::now(), Self::active_epoch());
		let before = Askings::<T>::get(key).filter(|asked| asked.is_for(&request, epoch));
		let may_ask = before.as_ref().is_none_or(|asked| now >= asked.next());
		ensure!(may_ask, Error::<T>::RequestStillOpen);
		if epoch.is_some() {
			Self::tell_gatekeepers(KeysMessage::KeyRequested(request)).map_err(Error::<T>::from)?;
		} else {
			ensure!(
				OpenRequests::<T>::contains_key(key)
					|| OpenRequests::<T>::count() < REQUESTS_WAITING_MAX,
				Error::<T>::TooManyWaiting
			);
		}
		OpenRequests::<T>::insert(key, request);
		Answers::<T>::remove(key);
		let KeyRequest { boot, generation, .. } = request;
		// Not the older one's, by which it would seem to ask for something new next.
		let generation = before.as_ref().map_or(generation, |asked| asked.generation);
		let times = before.map_or(0, |asked| asked.times).saturating_add(1);
		Askings::<T>::insert(key, Asking { boot, epoch, generation, times, last: now });
		Self::deposit_event(Event::KeyRequestOpened { request });
		Ok(())
	}

	fn withdraw(worker: WorkerId, cluster: ClusterId) {
		Self::drop_request(worker, cluster);
		Askings::<T>::remove((worker, cluster));
	}
}
