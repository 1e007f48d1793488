//! What holds of the pallet's storage between any two blocks: tests ask for it, and so does
//! `try-runtime` of a live chain's state before and after an upgrade.

use crate::*;

impl<T: Config> Pallet<T> {
	/// `Err` says what does not hold.
	pub fn check_invariants() -> DispatchResult {
		let mut members: u32 = 0;
		for (cluster, worker, _) in Members::<T>::iter() {
			ensure!(
				MemberOf::<T>::get(worker) == Some(cluster),
				"a cluster has a member that is in another or none"
			);
			members = members.saturating_add(1);
		}
		let of_workers = MemberOf::<T>::iter_keys().count() as u32;
		ensure!(of_workers == members, "a worker is in a cluster that does not know it");
		for worker in JoinRequests::<T>::iter_keys() {
			ensure!(!MemberOf::<T>::contains_key(worker), "a member asks to join");
		}

		for (cluster, record) in Clusters::<T>::iter() {
			let members = Members::<T>::iter_key_prefix(cluster).count() as u32;
			ensure!(record.members == members, "a cluster counts other members than it has");
			let agents = ClusterAgents::<T>::iter_key_prefix(cluster).count() as u32;
			ensure!(record.agents == agents, "a cluster counts other agents than it has");
		}
		for (agent, cluster) in AgentCluster::<T>::iter() {
			ensure!(
				ClusterAgents::<T>::contains_key(cluster, agent),
				"an agent is in a cluster that does not know it"
			);
			ensure!(
				Leases::<T>::contains_key(agent) != FreeLeases::<T>::contains_key(cluster, agent),
				"a lease is both free and somebody's, or neither"
			);
		}
		for (cluster, agent, ()) in ClusterAgents::<T>::iter() {
			ensure!(
				AgentCluster::<T>::get(agent) == Some(cluster),
				"a cluster has an agent that is in another or none"
			);
		}

		for (agent, lease) in Leases::<T>::iter() {
			ensure!(AgentCluster::<T>::contains_key(agent), "a lease of an agent in no cluster");
			ensure!(
				HeldLeases::<T>::contains_key(lease.worker, agent),
				"a lease is not among those of its worker"
			);
		}
		for (worker, agent, ()) in HeldLeases::<T>::iter() {
			ensure!(
				Leases::<T>::get(agent).is_some_and(|lease| lease.worker == worker),
				"a worker has a lease that is another's or nobody's"
			);
		}
		for (worker, load) in Loads::<T>::iter() {
			let leases = HeldLeases::<T>::iter_key_prefix(worker).count() as u32;
			ensure!(load == leases, "a worker counts other leases than it has");
		}
		let loads = Loads::<T>::iter_values().fold(0u32, |sum, load| sum.saturating_add(load));
		ensure!(loads == Leases::<T>::iter_keys().count() as u32, "leases that no worker counts");
		Ok(())
	}
}
