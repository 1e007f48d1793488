//! Ends boots for good, and takes what the reason says.

use crate::*;

impl<T: Config> Pallet<T> {
	pub(crate) fn remove_boot(worker: WorkerId, boot: &Boot) -> DispatchResult {
		Boots::<T>::remove(worker);
		LastHeartbeat::<T>::remove(worker);
		Self::forget_probes(worker);
		T::Mailbox::close_inbound(worker);
		Self::tell(worker, RegistryMessage::Evicted { boot: boot.number })
	}

	pub(crate) fn forget_probes(worker: WorkerId) {
		OpenProbes::<T>::remove(worker);
		LastProbe::<T>::remove(worker);
		ProbePrices::<T>::remove(worker);
	}

	pub(crate) fn ban(platform: PlatformId) {
		BannedPlatforms::<T>::insert(platform, ());
		Self::deposit_event(Event::PlatformBanned { platform });
	}

	/// Ends the boot of a worker that nobody relies on now.
	pub(crate) fn put_out_of_service(worker: WorkerId) -> DispatchResult {
		ensure!(!T::WorkerHooks::is_in_use(worker), Error::<T>::WorkerInUse);
		ensure!(T::Assignments::open_of(worker) == 0, Error::<T>::OpenAssignments);
		match Boots::<T>::get(worker) {
			Some(boot) => Self::remove_boot(worker, &boot),
			None => Ok(()),
		}
	}

	/// The boot that anyone may evict now, and why.
	pub(crate) fn is_to_be_evicted(worker: WorkerId) -> Result<(Boot, EvictionReason), Error<T>> {
		let boot = Boots::<T>::get(worker).ok_or(Error::<T>::NoBoot)?;
		let reason = Self::reason_to_evict(worker, &boot).ok_or(Error::<T>::StillInForce)?;
		let waits = Self::waits_for_successor(worker, &boot, reason);
		ensure!(!waits, Error::<T>::NoSuccessorInForce);
		Ok((boot, reason))
	}

	/// Why anyone may evict the worker, if so.
	pub(crate) fn reason_to_evict(worker: WorkerId, boot: &Boot) -> Option<EvictionReason> {
		// A gatekeeper has two bonds, and is out with the loss of either.
		let exhausted = Self::bonds_of(worker).into_iter().any(T::Bonding::is_exhausted);
		if exhausted {
			Some(EvictionReason::StakeExhausted)
		} else {
			(!Self::is_allowed(&boot.measurement)).then_some(EvictionReason::Delisted)
		}
	}

	/// Whether an eviction is put off: nobody but the operator of the machine would gain by what is lost.
	pub(crate) fn waits_for_successor(
		worker: WorkerId,
		boot: &Boot,
		reason: EvictionReason,
	) -> bool {
		reason == EvictionReason::Delisted
			&& !Destroyed::<T>::contains_key(boot.measurement)
			&& !T::WorkerHooks::has_successor(worker)
	}

	pub(crate) fn bonds_of(worker: WorkerId) -> [BondId; 2] {
		[BondId::Worker(worker), BondId::Gatekeeper(worker)]
	}

	/// Ends a boot for good, tells who relied on it, and takes what the reason says.
	pub(crate) fn throw_out(
		worker: WorkerId,
		boot: Option<&Boot>,
		reason: EvictionReason,
	) -> DispatchResult {
		// Before the slash: with the last of a closed worker's bond its machine is forgotten.
		let platform = Workers::<T>::get(worker)
			.and_then(|record| record.platform)
			.or_else(|| ClosedPlatforms::<T>::get(worker));
		// Before the hooks: they let bonds go that answer for nothing more.
		let mut slashed: Balance = 0;
		if let Some(part) = reason.slash() {
			for bond in Self::bonds_of(worker) {
				let amount = part.mul_ceil(T::Bonding::at_stake(bond));
				slashed = slashed.saturating_add(T::Bonding::slash(bond, amount));
			}
		}
		Self::end_boot(worker, boot, reason, slashed)?;
		match (reason, platform) {
			(EvictionReason::Compromised { .. }, Some(platform)) => {
				Self::ban(platform);
				Self::throw_machine_out(platform, Some(worker))
			}
			_ => Ok(()),
		}
	}

	/// Ends the boot of the worker that a banned machine is in, if it is not `except`. What its operator
	/// loses, if anything, is for another vote.
	pub(crate) fn throw_machine_out(
		platform: PlatformId,
		except: Option<WorkerId>,
	) -> DispatchResult {
		let Some(other) = PlatformWorker::<T>::get(platform).filter(|other| Some(*other) != except)
		else {
			return Ok(());
		};
		match Boots::<T>::get(other) {
			Some(boot) => {
				let reason = EvictionReason::Compromised { slash: Permill::zero() };
				Self::end_boot(other, Some(&boot), reason, 0)
			}
			None => Ok(()),
		}
	}

	fn end_boot(
		worker: WorkerId,
		boot: Option<&Boot>,
		reason: EvictionReason,
		slashed: Balance,
	) -> DispatchResult {
		if let Some(boot) = boot {
			Self::remove_boot(worker, boot)?;
			T::WorkerHooks::on_evicted(worker, reason.by()).map_err(Error::<T>::from)?;
			ReportedExhausted::<T>::remove(worker);
		}
		let boot = boot.map_or(0, |boot| boot.number);
		Self::deposit_event(Event::WorkerEvicted { worker, boot, reason, slashed });
		Ok(())
	}
}
