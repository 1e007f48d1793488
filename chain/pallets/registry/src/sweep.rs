//! Evicts whom a delisting or an exhausted stake concerns, a bounded number a block.

use crate::*;

impl<T: Config> Pallet<T> {
	/// A sweep over all boots is due in block `until`.
	pub(crate) fn note_sweep(until: BlockNumber) {
		SweepsDue::<T>::mutate(|due| {
			let Err(place) = due.binary_search(&until) else { return };
			if due.try_insert(place, until).is_err() {
				// Without room the last sweep serves this delisting too: later, which harms nobody, since
				// what it concerns is out of force by then.
				if let Some(last) = due.last_mut() {
					*last = until.max(*last);
				}
			}
		});
	}

	/// Does as much as `budget` has room for.
	pub fn sweep(budget: &mut WeightMeter) {
		if budget.try_consume(T::WeightInfo::sweep(0)).is_err() {
			return;
		}
		if Self::sweep_exhausted(budget) {
			Self::sweep_delisted(budget);
		}
	}

	/// Looks at all who were reported. Returns whether it came to an end.
	fn sweep_exhausted(budget: &mut WeightMeter) -> bool {
		while let Some(worker) = ReportedExhausted::<T>::iter_keys().next() {
			// A look, and that it was reported is forgotten.
			let one = Self::look().saturating_add(T::DbWeight::get().writes(1));
			if budget.try_consume(one).is_err() {
				return false;
			}
			let boot = Boots::<T>::get(worker);
			// It may have been topped up since, or be gone.
			let reason = boot.as_ref().and_then(|boot| Self::reason_to_evict(worker, boot));
			if let (Some(boot), Some(reason)) = (boot, reason) {
				if !Self::swept(worker, &boot, reason, budget) {
					return false;
				}
			}
			ReportedExhausted::<T>::remove(worker);
		}
		true
	}

	fn sweep_delisted(budget: &mut WeightMeter) {
		let Some(SweepCursor { mut after }) = Self::sweep_cursor() else { return };
		while budget.try_consume(Self::look()).is_ok() {
			// An iterator of its own for each: it must not see what an eviction changes.
			let next = match after {
				Some(worker) => Boots::<T>::iter_from(Boots::<T>::hashed_key_for(worker)).next(),
				None => Boots::<T>::iter().next(),
			};
			let Some((worker, boot)) = next else {
				SweepUnderWay::<T>::kill();
				return;
			};
			if !Self::is_allowed(&boot.measurement)
				&& !Self::swept(worker, &boot, EvictionReason::Delisted, budget)
			{
				break;
			}
			after = Some(worker);
		}
		SweepUnderWay::<T>::put(SweepCursor { after });
	}

	/// The sweep under way, or one that begins now.
	fn sweep_cursor() -> Option<SweepCursor> {
		if let Some(cursor) = SweepUnderWay::<T>::get() {
			return Some(cursor);
		}
		let now = Self::now();
		let mut due = SweepsDue::<T>::get();
		if due.first().is_none_or(|first| *first > now) {
			return None;
		}
		// One sweep serves all that have run out by now.
		due.retain(|until| *until > now);
		SweepsDue::<T>::put(due);
		Some(SweepCursor::default())
	}

	/// What it takes to find out whether a boot is to be evicted.
	fn look() -> Weight {
		weights::look::<T, T::WeightInfo>().saturating_sub(T::WeightInfo::sweep(0))
	}

	/// Evicts a worker, or changes nothing: want of room or a full mailbox puts it off by a block, and the want
	/// of a successor to another sweep.
	fn swept(
		worker: WorkerId,
		boot: &Boot,
		reason: EvictionReason,
		budget: &mut WeightMeter,
	) -> bool {
		if Self::waits_for_successor(worker, boot, reason) {
			// All that wait for a while share one sweep.
			let turn = Self::now() / SWEEP_AGAIN_BLOCKS;
			Self::note_sweep(turn.saturating_add(1).saturating_mul(SWEEP_AGAIN_BLOCKS));
			return true;
		}
		if budget.try_consume(T::WeightInfo::evict()).is_err() {
			return false;
		}
		with_storage_layer(|| Self::throw_out(worker, Some(boot), reason)).is_ok()
	}
}
