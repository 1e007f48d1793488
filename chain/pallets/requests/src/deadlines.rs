//! What happens before a deadline, and after one that was missed.

use crate::*;
use alloc::collections::BTreeSet;

impl<T: Config> Pallet<T> {
	/// Lets requests expire whose deadline has passed, and has members say whether blocks become final before
	/// the next deadlines. Once a block, with weight for [`limits::REQUESTS_PER_DEADLINE_MAX`] of each.
	pub fn meet_deadlines(meter: &mut WeightMeter) {
		Self::expire_due(meter);
		Self::announce_near(meter);
	}

	/// Lets requests expire, the oldest deadline first, as far as `meter` goes.
	pub fn expire_due(meter: &mut WeightMeter) {
		let begun = T::WeightInfo::expire(0);
		let one = T::WeightInfo::expire(1).saturating_sub(begun);
		let now = Self::now();
		let mut deadline = DueFrom::<T>::get().unwrap_or(now.saturating_sub(1));
		while deadline < now && meter.try_consume(begun).is_ok() {
			let mut due = Due::<T>::take(deadline);
			due.retain(|request| {
				if meter.try_consume(one).is_err() {
					return true;
				}
				Self::expire(*request, now);
				false
			});
			if !due.is_empty() {
				Due::<T>::insert(deadline, due);
				break;
			}
			deadline = deadline.saturating_add(1);
		}
		DueFrom::<T>::put(deadline);
	}

	/// Refunds a request that nobody answered, if that was not done before, and has the worker punished
	/// that answers for it.
	pub(crate) fn expire(id: RequestId, now: BlockNumber) {
		let Some(request) = Requests::<T>::get(id) else { return };
		let Some(assigned) = Duties::<T>::get(id) else { return };
		let Request { agent, worker, units_max, unit_price, deadline, .. } = request;
		let refunded = match request.state {
			RequestState::Open => {
				let (refunded, _) = Self::refund(&request.caller, request.held);
				Self::close(id, request, RequestState::Expired);
				refunded
			}
			RequestState::Expired | RequestState::Settled { .. } => 0,
		};
		Self::end_duty(id, worker, now);

		let work = T::WorkerShare::get() * Balance::from(units_max).saturating_mul(unit_price);
		let due = work.saturating_mul(PENALTY_MULTIPLE.into()).min(T::MissedDeadlinePenalty::get());
		let charged = Self::liability(agent, worker, deadline, &assigned)
			.and_then(|liability| Self::charge(agent, &assigned, liability, due));
		let (penalty, excuse) = match charged {
			Ok(penalty) => (penalty, None),
			Err(excuse) => (0, Some(excuse)),
		};
		Self::forget_own_acts(worker);
		// Who missed it answers for it by now. That the lease moves, too, has to be looked for at each member
		// of the cluster: no caller waits for that.
		match excuse {
			None => Self::let_lease_move(agent, assigned, true),
			// What kept it from answering may go on, or it missed one before: another is to try.
			Some(
				Excuse::LaneFull
				| Excuse::Removed
				| Excuse::AlreadyPenalised
				| Excuse::GenerationChanged,
			) => {
				Self::let_lease_move(agent, assigned, false);
			}
			Some(Excuse::LeaseTaken | Excuse::FinalityStalled) => {}
		}
		Self::deposit_event(Event::RequestExpired { request: id, refunded, penalty, excuse });
	}

	/// Takes what a miss costs beyond what others have cost that were missed with it. So the small ones that
	/// come first buy nobody off the large one, and all together cost what the largest does.
	fn charge(
		agent: AgentId,
		assigned: &Assignment,
		liability: Liability,
		due: Balance,
	) -> Result<Balance, Excuse> {
		let Lease { worker, boot } = assigned.lease;
		let paid = match liability {
			Liability::Lease { paid } => paid,
			Liability::OwnAct => Self::paid_for_own_acts(worker, boot),
		};
		if paid.is_some_and(|paid| due <= paid) {
			return Err(Excuse::AlreadyPenalised);
		}
		match liability {
			Liability::Lease { .. } => T::Clusters::note_penalty(agent, assigned, due),
			Liability::OwnAct => Self::note_own_act(worker, boot, due),
		}
		Ok(T::Workers::penalise(worker, due.saturating_sub(paid.unwrap_or_default())))
	}

	fn paid_for_own_acts(worker: WorkerId, boot: BootNumber) -> Option<Balance> {
		let paid = OwnActs::<T>::get(worker);
		paid.iter().find(|(of, _)| *of == boot).map(|(_, paid)| *paid)
	}

	/// Remembered while the worker answers for more: of its latest boots, should it restart so often.
	fn note_own_act(worker: WorkerId, boot: BootNumber, paid: Balance) {
		OwnActs::<T>::mutate(worker, |acts| {
			match acts.binary_search_by_key(&boot, |(of, _)| *of) {
				Ok(place) => {
					if let Some((_, before)) = acts.get_mut(place) {
						*before = paid;
					}
				}
				Err(place) => {
					// The oldest goes if there is no room; one that is older yet is not written down.
					let _ = acts.force_insert_keep_right(place, (boot, paid));
				}
			}
		});
	}

	fn let_lease_move(agent: AgentId, assigned: Assignment, is_blamed: bool) {
		LeasesToMoveRange::<T>::mutate(|(_, next)| {
			LeasesToMove::<T>::insert(*next, (agent, assigned, is_blamed));
			*next = next.saturating_add(1);
		});
	}

	/// Moves the leases of those who missed deadlines, as far as `meter` goes.
	pub fn move_leases(meter: &mut WeightMeter) {
		let db = T::DbWeight::get();
		if meter.try_consume(db.reads_writes(1, 1)).is_err() {
			return;
		}
		let (mut first, mut next) = LeasesToMoveRange::<T>::get();
		let last = next;
		while first < last && meter.try_consume(db.reads_writes(3, 1)).is_ok() {
			let entry = LeasesToMove::<T>::get(first);
			// It may have moved for another reason, or for another request, since.
			let held = entry.filter(|(agent, assigned, _)| T::Clusters::is_held(*agent, assigned));
			if held.is_some() && meter.try_consume(T::WeightInfo::move_lease()).is_err() {
				break;
			}
			LeasesToMove::<T>::remove(first);
			first = first.saturating_add(1);
			let Some((agent, assigned, is_blamed)) = held else { continue };
			let moved = with_storage_layer(|| match is_blamed {
				true => T::Clusters::on_missed_deadline(agent, &assigned),
				false => T::Clusters::relieve(agent, &assigned),
			});
			if moved.is_err() {
				// A full mailbox. Behind the others, so that no lease keeps them waiting.
				LeasesToMove::<T>::insert(next, (agent, assigned, is_blamed));
				next = next.saturating_add(1);
				break;
			}
		}
		LeasesToMoveRange::<T>::put((first, next));
	}

	/// Who answers for a missed deadline with what, or why nobody does: what the cluster knows comes first.
	fn liability(
		agent: AgentId,
		worker: WorkerId,
		deadline: BlockNumber,
		assigned: &Assignment,
	) -> Result<Liability, Excuse> {
		let liability = T::Clusters::liability(agent, assigned)?;
		// A block with room is one in which an answer that was ready would have come.
		let last = deadline.saturating_add(1).saturating_sub(limits::LANE_FULL_BLOCKS);
		if T::Lanes::was_full_throughout(worker, last, deadline) {
			return Err(Excuse::LaneFull);
		}
		let near = deadline.saturating_sub(limits::DEADLINE_NEAR_BLOCKS);
		let is_final = T::Agents::record(agent)
			.is_some_and(|record| T::Clusters::is_witnessed(record.cluster, worker, near));
		is_final.then_some(liability).ok_or(Excuse::FinalityStalled)
	}

	/// Has members say whether blocks become final, for requests that may be missed. What the mailbox, or
	/// `meter`, does not take is not asked, and nobody is punished.
	pub fn announce_near(meter: &mut WeightMeter) {
		let now = Self::now();
		let at = now.saturating_add(limits::DEADLINE_NEAR_BLOCKS);
		let due = Due::<T>::decode_len(at).unwrap_or(0) as u32;
		if meter.try_consume(T::WeightInfo::near(due)).is_err() {
			return;
		}
		let clusters: BTreeSet<ClusterId> = Due::<T>::get(at)
			.iter()
			.filter_map(Requests::<T>::get)
			.filter_map(|request| T::Agents::record(request.agent))
			.map(|record| record.cluster)
			.collect();
		for cluster in clusters {
			let message = RequestsMessage::DeadlineNear { block: now };
			let _ = T::Mailbox::push(Channel::Cluster(cluster), &message.into());
		}
	}
}
