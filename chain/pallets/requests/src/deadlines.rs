//! What happens before a deadline, and after one that was missed.

use crate::*;
use alloc::collections::BTreeSet;

impl<T: Config> Pallet<T> {
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

		let excuse = Self::excuse(agent, worker, deadline, &assigned);
		let penalty = match excuse {
			None => {
				let work =
					T::WorkerShare::get() * Balance::from(units_max).saturating_mul(unit_price);
				let most = work.saturating_mul(PENALTY_MULTIPLE.into());
				// Before the lease moves, which may fail.
				T::Clusters::note_penalty(agent, &assigned);
				T::Workers::penalise(worker, most.min(T::MissedDeadlinePenalty::get()))
			}
			Some(_) => 0,
		};
		let lease = with_storage_layer(|| match excuse {
			None => T::Clusters::on_missed_deadline(agent, &assigned),
			Some(Excuse::LaneFull) => T::Clusters::relieve(agent, &assigned),
			Some(_) => Ok(()),
		});
		Self::deposit_event(Event::RequestExpired {
			request: id,
			refunded,
			penalty,
			lease,
			excuse,
		});
	}

	/// Why nobody answers for a missed deadline: what the cluster knows comes first.
	fn excuse(
		agent: AgentId,
		worker: WorkerId,
		deadline: BlockNumber,
		assigned: &Assignment,
	) -> Option<Excuse> {
		if let Some(excuse) = T::Clusters::excuse(agent, assigned) {
			return Some(excuse);
		}
		let near = deadline.saturating_sub(limits::DEADLINE_NEAR_BLOCKS);
		if T::Lanes::was_full_since(worker, near) {
			return Some(Excuse::LaneFull);
		}
		let is_final = T::Agents::record(agent)
			.is_some_and(|record| T::Clusters::is_witnessed(record.cluster, worker, near));
		(!is_final).then_some(Excuse::FinalityStalled)
	}

	/// Has members say whether blocks become final, for requests that may be missed; how many there
	/// are. What the mailbox does not take is not asked, and nobody is punished.
	pub(crate) fn announce_near(now: BlockNumber) -> u32 {
		let near = Due::<T>::get(now.saturating_add(limits::DEADLINE_NEAR_BLOCKS));
		let clusters: BTreeSet<ClusterId> = near
			.iter()
			.filter_map(Requests::<T>::get)
			.filter_map(|request| T::Agents::record(request.agent))
			.map(|record| record.cluster)
			.collect();
		for cluster in clusters {
			let message = RequestsMessage::DeadlineNear { block: now };
			let _ = T::Mailbox::push(Channel::Cluster(cluster), &message.into());
		}
		near.len() as u32
	}
}
