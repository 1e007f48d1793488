//! Joining, booting anew, departing.

use crate::*;
use phala_primitives::{
	clusters::{ClusterSnapshot, Member},
	traits::SlotHooks,
};

impl<T: Config> Pallet<T> {
	pub(crate) fn member(slot: SlotId, boot: &Boot, endpoint: Vec<u8>) -> Member {
		Member { slot, boot: boot.number, identity: boot.keys.identity, endpoint }
	}

	/// All members that have a boot, in the order of their slots.
	fn members(cluster: ClusterId) -> Vec<Member> {
		let mut members: Vec<Member> = Members::<T>::iter_prefix(cluster)
			.filter_map(|(slot, record)| {
				let boot = T::Slots::current_boot(slot)?;
				Some(Self::member(slot, &boot, record.endpoint.into_inner()))
			})
			.collect();
		members.sort_by_key(|member| member.slot);
		members
	}

	/// Tells a boot all that it needs to follow the cluster, and the others who it is.
	fn welcome(
		cluster: ClusterId,
		generation: Generation,
		slot: SlotId,
		boot: &Boot,
		endpoint: Vec<u8>,
	) -> Result<(), PushRefused> {
		let snapshot = ClusterSnapshot {
			cluster,
			// Before `Member`, which the new boot reads as the first message of the channel.
			head: T::Mailbox::head(Channel::Cluster(cluster)),
			generation,
			members: Self::members(cluster),
			keys: NewestKeys::<T>::get(cluster).map(Into::into),
		};
		let identity = boot.keys.identity;
		Self::tell(slot, SlotMessage::JoinedCluster { identity, snapshot })?;
		for agent in ClusterAgents::<T>::get(cluster) {
			if let Some(snapshot) = T::Agents::snapshot(agent) {
				Self::tell(slot, SlotMessage::Agent(snapshot))?;
			}
		}
		Self::tell_members(cluster, ClusterMessage::Member(Self::member(slot, boot, endpoint)))
	}

	pub(crate) fn join(
		cluster: ClusterId,
		slot: SlotId,
		boot: &Boot,
		endpoint: Endpoint,
	) -> DispatchResult {
		let generation = Clusters::<T>::try_mutate(cluster, |record| {
			let record = record.as_mut().ok_or(Error::<T>::UnknownCluster)?;
			ensure!(record.members < limits::CLUSTER_MEMBERS_MAX, Error::<T>::ClusterFull);
			record.members = record.members.saturating_add(1);
			Ok::<_, Error<T>>(record.generation)
		})?;
		JoinRequests::<T>::remove(slot);
		MemberOf::<T>::insert(slot, cluster);
		Members::<T>::insert(
			cluster,
			slot,
			MemberRecord { endpoint: endpoint.clone(), set_aside: None },
		);
		Self::deposit_event(Event::MemberJoined { cluster, slot, boot: boot.number });
		Self::welcome(cluster, generation, slot, boot, endpoint.into_inner())
			.and_then(|()| Self::hand_out_free_leases(cluster))
			.map_err(Error::<T>::from)?;
		Ok(())
	}

	pub(crate) fn depart_or_drop_request(cluster: ClusterId, slot: SlotId) -> DispatchResult {
		if MemberOf::<T>::get(slot) == Some(cluster) {
			Self::depart(cluster, slot).map_err(Error::<T>::from)?;
			return Ok(());
		}
		let request = JoinRequests::<T>::get(slot).ok_or(Error::<T>::NotMember)?;
		ensure!(request.cluster == cluster, Error::<T>::NotMember);
		Self::drop_join_request(slot);
		Ok(())
	}

	fn drop_join_request(slot: SlotId) {
		if let Some(JoinRequest { cluster, .. }) = JoinRequests::<T>::take(slot) {
			Self::deposit_event(Event::JoinRequestDropped { cluster, slot });
		}
	}

	fn depart(cluster: ClusterId, slot: SlotId) -> Result<(), PushRefused> {
		Members::<T>::remove(cluster, slot);
		MemberOf::<T>::remove(slot);
		Clusters::<T>::mutate(cluster, |record| {
			if let Some(record) = record {
				record.members = record.members.saturating_sub(1);
			}
		});
		T::Keys::withdraw(slot, cluster);
		if let Some(boot) = T::Slots::current_boot(slot) {
			let identity = boot.keys.identity;
			Self::tell(slot, SlotMessage::LeftCluster { identity, cluster })?;
		}
		Self::tell_members(cluster, ClusterMessage::MemberLeft { slot })?;
		Self::deposit_event(Event::MemberLeft { cluster, slot });
		// It is a member no more, so it is not among them.
		let heirs = Self::counted_leases(cluster);
		Self::move_leases(cluster, Self::leases_of(cluster, slot), &heirs)?;
		Self::start_generation_after_departure(cluster)
	}
}

impl<T: Config> SlotHooks for Pallet<T> {
	fn on_boot(slot: SlotId, boot: &Boot) -> Result<(), PushRefused> {
		let Some(cluster) = MemberOf::<T>::get(slot) else { return Ok(()) };
		let (Some(cluster_record), Some(record)) =
			(Clusters::<T>::get(cluster), Members::<T>::get(cluster, slot))
		else {
			return Ok(());
		};
		Self::deposit_event(Event::MemberBooted { cluster, slot, boot: boot.number });
		let endpoint = record.endpoint.into_inner();
		Self::welcome(cluster, cluster_record.generation, slot, boot, endpoint)?;

		// The new boot has no keys yet: others go on, if there are any.
		let mut heirs = Self::counted_leases(cluster);
		heirs.retain(|heir| heir.slot != slot);
		if heirs.is_empty() {
			heirs.push(Lease { slot, boot: boot.number });
		}
		Self::move_leases(cluster, Self::leases_of(cluster, slot), &heirs)?;
		Self::hand_out_free_leases(cluster)
	}

	fn on_evicted(slot: SlotId) -> Result<(), PushRefused> {
		Self::drop_join_request(slot);
		match MemberOf::<T>::get(slot) {
			Some(cluster) => Self::depart(cluster, slot),
			None => Ok(()),
		}
	}

	fn is_in_use(slot: SlotId) -> bool {
		MemberOf::<T>::contains_key(slot) || JoinRequests::<T>::contains_key(slot)
	}
}
