//! Who counts and who writes which agent.

use crate::*;
use alloc::collections::BTreeMap;

impl<T: Config> Pallet<T> {
	fn is_counted(worker: WorkerId, boot: &Boot, record: &MemberRecord) -> bool {
		let Some(last) = T::Workers::last_sign_of_life(worker) else { return false };
		T::Workers::is_in_force(worker, boot)
			&& Self::now().saturating_sub(last) <= limits::LIVENESS_BLOCKS
			&& record.set_aside.is_none_or(|block| last > block)
	}

	/// The leases that members who count could hold.
	pub(crate) fn counted_leases(cluster: ClusterId) -> Vec<Lease> {
		Self::counted(cluster)
			.into_iter()
			.map(|(worker, boot)| Lease { worker, boot: boot.number })
			.collect()
	}

	/// Agents whose lease this worker has, in whichever life.
	pub(crate) fn leases_of(cluster: ClusterId, worker: WorkerId) -> Vec<AgentId> {
		ClusterAgents::<T>::get(cluster)
			.into_iter()
			.filter(|agent| Leases::<T>::get(agent).is_some_and(|lease| lease.worker == worker))
			.collect()
	}

	/// How many leases each worker of the cluster has.
	fn loads(cluster: ClusterId) -> BTreeMap<WorkerId, u32> {
		let mut loads = BTreeMap::<WorkerId, u32>::new();
		for agent in ClusterAgents::<T>::get(cluster) {
			if let Some(lease) = Leases::<T>::get(agent) {
				let load = loads.entry(lease.worker).or_default();
				*load = load.saturating_add(1);
			}
		}
		loads
	}

	/// The heir with fewest leases, the lowest worker on ties; counts the lease as its.
	fn next_heir(heirs: &[Lease], loads: &mut BTreeMap<WorkerId, u32>) -> Option<Lease> {
		let load_of = |worker| loads.get(&worker).copied().unwrap_or(0);
		let heir = *heirs.iter().min_by_key(|heir| (load_of(heir.worker), heir.worker))?;
		let load = loads.entry(heir.worker).or_default();
		*load = load.saturating_add(1);
		Some(heir)
	}

	/// Gives the leases of `agents` to `heirs`, or to nobody if there are none.
	pub(crate) fn move_leases(
		cluster: ClusterId,
		agents: Vec<AgentId>,
		heirs: &[Lease],
	) -> Result<(), PushError> {
		if agents.is_empty() {
			return Ok(());
		}
		// What is to move weighs on nobody.
		for agent in &agents {
			Leases::<T>::remove(agent);
		}
		let mut loads = Self::loads(cluster);
		for agent in agents {
			let lease = Self::next_heir(heirs, &mut loads);
			Leases::<T>::set(agent, lease);
			Self::tell_members(cluster, ClustersMessage::LeaseMoved { agent, lease })?;
			Self::deposit_event(Event::LeaseMoved { cluster, agent, lease });
		}
		Ok(())
	}

	/// Gives leases that nobody has to members that count, if there are any.
	pub(crate) fn hand_out_free_leases(cluster: ClusterId) -> Result<(), PushError> {
		let free: Vec<AgentId> = ClusterAgents::<T>::get(cluster)
			.into_iter()
			.filter(|agent| !Leases::<T>::contains_key(agent))
			.collect();
		if free.is_empty() {
			return Ok(());
		}
		let heirs = Self::counted_leases(cluster);
		if heirs.is_empty() {
			return Ok(());
		}
		Self::move_leases(cluster, free, &heirs)
	}
}

impl<T: Config> ClusterDirectory for Pallet<T> {
	type Error = DispatchError;

	fn place_agent(
		cluster: ClusterId,
		agent: AgentId,
		developer: &AccountBytes,
	) -> Result<Lease, DispatchError> {
		let record = Clusters::<T>::get(cluster).ok_or(Error::<T>::UnknownCluster)?;
		let is_welcome =
			!ClosedToOthers::<T>::contains_key(cluster) || record.owner.into() == *developer;
		ensure!(is_welcome, Error::<T>::ClusterNotOpen);
		ensure!(!AgentCluster::<T>::contains_key(agent), Error::<T>::AgentAlreadyPlaced);
		let lease = Self::next_heir(&Self::counted_leases(cluster), &mut Self::loads(cluster))
			.ok_or(Error::<T>::NobodyCounts)?;
		ClusterAgents::<T>::try_append(cluster, agent).map_err(|()| Error::<T>::TooManyAgents)?;
		AgentCluster::<T>::insert(agent, cluster);
		Leases::<T>::insert(agent, lease);
		Self::deposit_event(Event::AgentPlaced { cluster, agent, lease });
		Ok(lease)
	}

	fn lease(agent: AgentId) -> Option<Lease> {
		Leases::<T>::get(agent)
	}

	fn counted(cluster: ClusterId) -> Vec<(WorkerId, Boot)> {
		let mut counted: Vec<(WorkerId, Boot)> = Members::<T>::iter_prefix(cluster)
			.filter_map(|(worker, record)| {
				let boot = T::Workers::current_boot(worker)?;
				Self::is_counted(worker, &boot, &record).then_some((worker, boot))
			})
			.collect();
		counted.sort_by_key(|(worker, _)| *worker);
		counted
	}

	fn on_missed_deadline(agent: AgentId, holder: Lease) -> Result<(), DispatchError> {
		if Leases::<T>::get(agent) != Some(holder) {
			return Ok(());
		}
		let Some(cluster) = AgentCluster::<T>::get(agent) else { return Ok(()) };
		let worker = holder.worker;
		let mut heirs = Self::counted_leases(cluster);
		heirs.retain(|heir| heir.worker != worker);
		if heirs.is_empty() {
			// Somebody has to try.
			return Ok(());
		}
		Members::<T>::mutate(cluster, worker, |record| {
			if let Some(record) = record {
				record.set_aside = Some(Self::now());
			}
		});
		Self::deposit_event(Event::MemberSetAside { cluster, worker });
		Self::move_leases(cluster, Self::leases_of(cluster, worker), &heirs)
			.map_err(Error::<T>::from)?;
		Ok(())
	}
}
