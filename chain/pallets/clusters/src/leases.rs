//! Who counts, who writes which agent, and how that changes.

use crate::*;
use alloc::collections::BTreeMap;

/// Those that a lease can go to, with how many each has.
pub(crate) struct Heirs(BTreeMap<WorkerId, (BootNumber, u32)>);

impl Heirs {
	/// The one with fewest leases, the lowest worker on ties; counts the lease as its.
	fn next(&mut self) -> Option<Lease> {
		let (worker, (boot, load)) =
			self.0.iter_mut().min_by_key(|(worker, (_, load))| (*load, **worker))?;
		*load = load.saturating_add(1);
		Some(Lease { worker: *worker, boot: *boot })
	}

	pub(crate) fn are_none(&self) -> bool {
		self.0.is_empty()
	}
}

impl<T: Config> Pallet<T> {
	pub(crate) fn is_counted(worker: WorkerId, boot: &Boot, record: &MemberRecord) -> bool {
		let Some(last) = T::Workers::last_sign_of_life(worker) else { return false };
		T::Workers::is_in_force(boot)
			&& Self::now().saturating_sub(last) <= limits::LIVENESS_BLOCKS
			&& record.set_aside.is_none_or(|block| last > block)
	}

	/// Who counts and was told all agents, but for `except`.
	pub(crate) fn heirs(cluster: ClusterId, except: Option<WorkerId>) -> Heirs {
		let can = |worker: WorkerId| Some(worker) != except && !Untold::<T>::contains_key(worker);
		let heirs = Self::counted(cluster)
			.into_iter()
			.filter(|(worker, _)| can(*worker))
			.map(|(worker, boot)| (worker, (boot.number, Loads::<T>::get(worker))));
		Heirs(heirs.collect())
	}

	/// Notes who has the agent's lease from now on, wherever it is looked for.
	fn set_lease(cluster: ClusterId, agent: AgentId, lease: Option<Lease>) {
		match Leases::<T>::take(agent) {
			Some(old) => {
				HeldLeases::<T>::remove(old.worker, agent);
				Loads::<T>::mutate_exists(old.worker, |load| {
					*load = load.unwrap_or(0).checked_sub(1).filter(|load| *load > 0);
				});
			}
			None => FreeLeases::<T>::remove(cluster, agent),
		}
		match lease {
			Some(new) => {
				Leases::<T>::insert(agent, new);
				HeldLeases::<T>::insert(new.worker, agent, ());
				Loads::<T>::mutate(new.worker, |load| *load = load.saturating_add(1));
			}
			None => FreeLeases::<T>::insert(cluster, agent, ()),
		}
	}

	/// Gives the agent's lease to the next of `heirs`, or to nobody if there are none.
	pub(crate) fn move_lease(
		cluster: ClusterId,
		agent: AgentId,
		heirs: &mut Heirs,
	) -> Result<(), PushError> {
		let lease = heirs.next();
		Self::set_lease(cluster, agent, lease);
		Self::tell_members(cluster, ClustersMessage::LeaseMoved { agent, lease })?;
		Self::deposit_event(Event::LeaseMoved { cluster, agent, lease });
		Ok(())
	}
}

impl<T: Config> ClusterDirectory for Pallet<T> {
	type Error = DispatchError;

	fn place_agent(
		cluster: ClusterId,
		agent: AgentId,
		developer: &AccountBytes,
	) -> Result<Lease, DispatchError> {
		let mut record = Clusters::<T>::get(cluster).ok_or(Error::<T>::UnknownCluster)?;
		let is_welcome =
			!ClosedToOthers::<T>::contains_key(cluster) || record.owner.clone().into() == *developer;
		ensure!(is_welcome, Error::<T>::ClusterNotOpen);
		ensure!(!AgentCluster::<T>::contains_key(agent), Error::<T>::AgentAlreadyPlaced);
		ensure!(record.agents < limits::CLUSTER_AGENTS_MAX, Error::<T>::TooManyAgents);
		let lease = Self::heirs(cluster, None).next().ok_or(Error::<T>::NobodyCounts)?;
		record.agents = record.agents.saturating_add(1);
		Clusters::<T>::insert(cluster, record);
		ClusterAgents::<T>::insert(cluster, agent, ());
		AgentCluster::<T>::insert(agent, cluster);
		Self::set_lease(cluster, agent, Some(lease));
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
		let mut heirs = Self::heirs(cluster, Some(holder.worker));
		if heirs.are_none() {
			// Somebody has to try.
			return Ok(());
		}
		Self::move_lease(cluster, agent, &mut heirs).map_err(Error::<T>::from)?;
		Ok(())
	}
}
