//! What a cluster is told of its agents, and what that costs.

use crate::*;

impl<T: Config> Pallet<T> {
	pub(crate) fn snapshot_of(agent: AgentId, record: AgentRecord) -> AgentSnapshot {
		let callers = Callers::<T>::get(agent).into_iter().map(Caller::from).collect();
		// A policy is for good: an agent has one of the two, or none.
		let planned = match record.upgrades {
			UpgradePolicy::Immutable => None,
			UpgradePolicy::Free | UpgradePolicy::AfterNotice(0) => Prepared::<T>::get(agent),
			UpgradePolicy::AfterNotice(_) => Planned::<T>::get(agent).map(|planned| planned.code),
		};
		AgentSnapshot { agent, record, callers, lease: T::Clusters::lease(agent), planned }
	}

	/// Tells the cluster the whole of an agent; how many bytes that are.
	pub(crate) fn tell(agent: AgentId, record: AgentRecord) -> Result<u32, DispatchError> {
		let cluster = record.cluster;
		let snapshot = Self::snapshot_of(agent, record);
		let bytes = snapshot.encoded_size() as u32;
		Self::push(cluster, AgentsMessage::Agent(snapshot))?;
		Ok(bytes)
	}

	/// What news of this length cost. Those of few bytes take a message's place in the block all the same.
	pub(crate) fn of_news(bytes: u32) -> Weight {
		T::NewsByte::get().saturating_mul(bytes.max(NEWS_BYTES_MIN).into())
	}

	/// What the shortest news cost.
	pub fn least_news() -> Weight {
		Self::of_news(0)
	}

	pub(crate) fn most_news() -> Weight {
		Self::of_news(NEWS_BYTES_MAX)
	}

	/// A call whose work takes `work`, and that told of so many bytes, costs no more than that.
	pub(crate) fn paid(work: Weight, told: u32) -> DispatchResultWithPostInfo {
		Ok(Some(work.saturating_add(Self::of_news(told))).into())
	}

	pub(crate) fn push(cluster: ClusterId, message: AgentsMessage) -> DispatchResult {
		T::Mailbox::push(Channel::Cluster(cluster), &message.into()).map_err(Error::<T>::from)?;
		Ok(())
	}
}

impl<T: Config> AgentSnapshots for Pallet<T> {
	fn snapshot(agent: AgentId) -> Option<AgentSnapshot> {
		Agents::<T>::get(agent).map(|record| Self::snapshot_of(agent, record))
	}
}
