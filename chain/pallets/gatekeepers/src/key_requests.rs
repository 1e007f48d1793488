//! Requests for cluster secrets, and what gatekeepers release.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Tells the gatekeepers of a new epoch what is still open; drops what nobody waits for.
	pub(crate) fn resend_open_requests() -> Weight {
		let db = T::DbWeight::get();
		let Some(Resending { mut after }) = ResendingRequests::<T>::get() else {
			return db.reads(1);
		};
		let remaining = match after {
			Some(last) => OpenRequests::<T>::iter_from(OpenRequests::<T>::hashed_key_for(last)),
			None => OpenRequests::<T>::iter(),
		};
		// First collected, then changed: the iterator must not see changes.
		let batch: Vec<_> = remaining.take(RESENDS_PER_BLOCK_MAX as usize).collect();
		let mut done = (batch.len() as u64) < u64::from(RESENDS_PER_BLOCK_MAX);
		let mut handled = 0u64;
		for (key, OpenRequest { request, .. }) in batch {
			if !T::Boots::is_current(request.worker, request.boot) {
				Self::drop_request(request.worker, request.cluster);
			} else if Self::tell_gatekeepers(KeysMessage::KeyRequested(request)).is_err() {
				done = false;
				break;
			}
			after = Some(key);
			handled = handled.saturating_add(1);
		}
		if done {
			ResendingRequests::<T>::kill();
		} else {
			ResendingRequests::<T>::put(Resending { after });
		}
		// Each is read and costs a look at its boot and a push; one more may have failed.
		let each = handled.saturating_add(1);
		db.reads_writes(each.saturating_mul(5).saturating_add(2), each.saturating_mul(5))
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
		let is_open = OpenRequests::<T>::get(key).is_some_and(|open| open.request == request);
		ensure!(is_open, Error::<T>::RequestNotOpen);
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
		if let Some(open) = OpenRequests::<T>::get(key) {
			let same = (open.request.boot, open.epoch) == (request.boot, epoch)
				&& open.request.generation >= request.generation;
			let recent = now.saturating_sub(open.opened_at) < limits::KEY_REQUEST_GAP;
			ensure!(!(same && recent), Error::<T>::RequestStillOpen);
		}
		if epoch.is_some() {
			Self::tell_gatekeepers(KeysMessage::KeyRequested(request)).map_err(Error::<T>::from)?;
		} else {
			ensure!(
				OpenRequests::<T>::contains_key(key)
					|| OpenRequests::<T>::count() < REQUESTS_WAITING_MAX,
				Error::<T>::TooManyWaiting
			);
		}
		OpenRequests::<T>::insert(key, OpenRequest { request, opened_at: now, epoch });
		Answers::<T>::remove(key);
		Self::deposit_event(Event::KeyRequestOpened { request });
		Ok(())
	}

	fn withdraw(worker: WorkerId, cluster: ClusterId) {
		Self::drop_request(worker, cluster);
	}
}
