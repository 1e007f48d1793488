//! Joining, booting anew, departing.

use crate::*;
use phala_protocol::{
	clusters::{ClusterSnapshot, Member},
	traits::{EvictedBy, WorkerHooks},
};

impl<T: Config> Pallet<T> {
	pub(crate) fn member(worker: WorkerId, boot: &Boot, endpoint: Vec<u8>) -> Member {
		Member { worker, boot: boot.number, identity: boot.keys.identity, endpoint }
	}

	/// All members that have a boot, in the order of their workers.
	fn members(cluster: ClusterId) -> Vec<Member> {
		let mut members: Vec<Member> = Members::<T>::iter_prefix(cluster)
			.filter_map(|(worker, record)| {
				let boot = T::Workers::current_boot(worker)?;
				Some(Self::member(worker, &boot, record.endpoint.into_inner()))
			})
			.collect();
		members.sort_by_key(|member| member.worker);
		members
	}

	/// Tells a boot all that it needs to follow the cluster, and the others who it is; as how many agents
	/// what it was told of counts.
	fn welcome(
		cluster: ClusterId,
		generation: Generation,
		worker: WorkerId,
		boot: &Boot,
		endpoint: Vec<u8>,
	) -> Result<u32, PushError> {
		let snapshot = ClusterSnapshot {
			cluster,
			// Before `Member`, which the new boot reads as the first message of the channel.
			head: T::Mailbox::head(Channel::Cluster(cluster)),
			generation,
			members: Self::members(cluster),
			keys: NewestKeys::<T>::get(cluster).map(Into::into),
		};
		let identity = boot.keys.identity;
		Self::tell(worker, ClustersMessage::JoinedCluster { identity, snapshot })?;
		Untold::<T>::remove(worker);
		let told = Self::tell_all_or_queue(cluster, worker, boot.number)?;
		let member = Self::member(worker, boot, endpoint);
		Self::tell_members(cluster, ClustersMessage::Member(member))?;
		Ok(told)
	}

	pub(crate) fn join(
		cluster: ClusterId,
		worker: WorkerId,
		boot: &Boot,
		endpoint: Endpoint,
	) -> Result<u32, DispatchError> {
		let generation = Clusters::<T>::try_mutate(cluster, |record| {
			let record = record.as_mut().ok_or(Error::<T>::UnknownCluster)?;
			ensure!(record.members < limits::CLUSTER_MEMBERS_MAX, Error::<T>::ClusterFull);
			record.members = record.members.saturating_add(1);
			Ok::<_, Error<T>>(record.generation)
		})?;
		JoinRequests::<T>::remove(worker);
		MemberOf::<T>::insert(worker, cluster);
		Members::<T>::insert(
			cluster,
			worker,
			MemberRecord { endpoint: endpoint.clone(), set_aside: None },
		);
		Self::deposit_event(Event::MemberJoined { cluster, worker, boot: boot.number });
		let looked_at = Self::welcome(cluster, generation, worker, boot, endpoint.into_inner())
			.and_then(|told| Ok(told.max(Self::hand_out_free_leases(cluster)?)))
			.map_err(Error::<T>::from)?;
		Ok(looked_at)
	}

	pub(crate) fn depart_or_drop_request(
		cluster: ClusterId,
		worker: WorkerId,
		why: Moves,
	) -> DispatchResultWithPostInfo {
		if MemberOf::<T>::get(worker) == Some(cluster) {
			Self::depart(cluster, worker, why).map_err(Error::<T>::from)?;
			return Ok(().into());
		}
		// To take a request back takes no more than to make it.
		let looked = T::WeightInfo::request_join();
		let asked = JoinRequests::<T>::get(worker).filter(|request| request.cluster == cluster);
		if asked.is_none() {
			return Err(Error::<T>::NotMember.with_weight(looked));
		}
		Self::drop_join_request(worker);
		Ok(Some(looked).into())
	}

	fn drop_join_request(worker: WorkerId) {
		if let Some(JoinRequest { cluster, .. }) = JoinRequests::<T>::take(worker) {
			Self::deposit_event(Event::JoinRequestDropped { cluster, worker });
		}
	}

	fn depart(cluster: ClusterId, worker: WorkerId, why: Moves) -> Result<(), PushError> {
		Members::<T>::remove(cluster, worker);
		MemberOf::<T>::remove(worker);
		Untold::<T>::remove(worker);
		Challenges::<T>::remove(worker);
		LatelyChallenged::<T>::remove(worker);
		FinalSeen::<T>::mutate(cluster, |seen| {
			let _ = seen.remove(&worker);
		});
		Clusters::<T>::mutate(cluster, |record| {
			if let Some(record) = record {
				record.members = record.members.saturating_sub(1);
			}
		});
		T::Keys::withdraw(worker, cluster);
		if let Some(boot) = T::Workers::current_boot(worker) {
			let identity = boot.keys.identity;
			Self::tell(worker, ClustersMessage::LeftCluster { identity, cluster })?;
		}
		Self::tell_members(cluster, ClustersMessage::MemberLeft { worker })?;
		Self::deposit_event(Event::MemberLeft { cluster, worker });
		let _ = Self::begin_sweep(Sweep::Move { cluster, worker, why })?;
		Self::start_generation_after_departure(cluster)
	}
}

impl<T: Config> WorkerHooks for Pallet<T> {
	fn on_boot(worker: WorkerId, boot: &Boot) -> Result<u32, PushError> {
		let Some(cluster) = MemberOf::<T>::get(worker) else { return Ok(0) };
		let (Some(cluster_record), Some(record)) =
			(Clusters::<T>::get(cluster), Members::<T>::get(cluster, worker))
		else {
			return Ok(0);
		};
		Self::deposit_event(Event::MemberBooted { cluster, worker, boot: boot.number });
		Challenges::<T>::remove(worker);
		let endpoint = record.endpoint.into_inner();
		let told = Self::welcome(cluster, cluster_record.generation, worker, boot, endpoint)?;

		// The new boot has no keys yet: others go on, if there are any.
		let moved = Self::begin_sweep(Sweep::Move { cluster, worker, why: Moves::Restarted })?;
		Ok(told.max(moved).max(Self::hand_out_free_leases(cluster)?))
	}

	fn on_evicted(worker: WorkerId, by: EvictedBy) -> Result<(), PushError> {
		Self::drop_join_request(worker);
		let why = match by {
			EvictedBy::Itself => Moves::Left,
			EvictedBy::Others => Moves::Removed,
		};
		match MemberOf::<T>::get(worker) {
			Some(cluster) => Self::depart(cluster, worker, why),
			None => Ok(()),
		}
	}

	/// Never while its cluster has agents: the chain does not know who has their keys and bodies, and one
	/// that counts and was told all agents, as each does in the block of its boot, may have neither.
	fn has_successor(worker: WorkerId) -> bool {
		let Some(cluster) = MemberOf::<T>::get(worker) else { return true };
		Clusters::<T>::get(cluster).is_none_or(|record| record.agents == 0)
	}

	fn on_sign_of_life(worker: WorkerId) {
		if let Some(cluster) = MemberOf::<T>::get(worker) {
			Self::queue_free_leases(cluster);
		}
	}

	fn is_in_use(worker: WorkerId) -> bool {
		MemberOf::<T>::contains_key(worker) || JoinRequests::<T>::contains_key(worker)
	}
}
