//! What runs did to agents: the one commit decision.

use crate::*;

impl<T: Config> Pallet<T> {
	/// Whether the sender and others who signed are a majority of the members that count.
	fn ensure_available(
		origin: EnvelopeOrigin,
		cluster: ClusterId,
		set: &EffectSet,
	) -> DispatchResult {
		ensure!(
			set.availability.len() as u64 <= u64::from(limits::CLUSTER_MEMBERS_MAX),
			Error::<T>::TooManySignatures
		);
		for (n, one) in set.availability.iter().enumerate() {
			let twice = set.availability.iter().take(n).any(|other| other.worker == one.worker);
			ensure!(!twice, Error::<T>::DuplicateSignature);
		}

		let genesis = Self::genesis();
		let counted = T::Clusters::counted(cluster);
		let mut keepers = 0u32;
		for (worker, boot) in &counted {
			if *worker == origin.worker {
				// The envelope's own signature is the sender's acknowledgement.
				if boot.number == origin.boot {
					keepers = keepers.saturating_add(1);
				}
				continue;
			}
			let given = set.availability.iter().find(|given| given.worker == *worker);
			let Some(given) = given else { continue };
			let content = AvailabilityContent::new(
				genesis,
				*worker,
				boot.number,
				set.agent,
				set.base_hash,
				set.new_hash,
			);
			let signed = sp_io::crypto::sr25519_verify(
				&sp_core::sr25519::Signature::from_raw(given.signature),
				&content.encode(),
				&sp_core::sr25519::Public::from_raw(boot.keys.identity),
			);
			// A signature that is not good only counts for nothing: its member may have rebooted meanwhile.
			if signed {
				keepers = keepers.saturating_add(1);
			}
		}
		ensure!(keepers >= availability_quorum(counted.len() as u32), Error::<T>::NotAvailable);
		Ok(())
	}
}

impl<T: Config> Pallet<T> {
	/// What a set is refused for before any member or signature is looked at; the agent as it is.
	fn ensure_next(origin: EnvelopeOrigin, set: &EffectSet) -> Result<AgentRecord, Error<T>> {
		let record = Agents::<T>::get(set.agent).ok_or(Error::<T>::UnknownAgent)?;
		ensure!(
			set.results.len() as u64 <= u64::from(limits::RESULTS_PER_EFFECT_SET_MAX),
			Error::<T>::TooManyResults
		);
		ensure!(
			set.base_version == record.version && set.base_hash == record.state_hash,
			Error::<T>::StaleBase
		);
		let sender = Lease { worker: origin.worker, boot: origin.boot };
		ensure!(T::Clusters::lease(set.agent) == Some(sender), Error::<T>::NotLeaseHolder);
		if set.base_version == 0 {
			let key = set.key.ok_or(Error::<T>::BirthNeedsKey)?;
			ensure!(key.version == 1, Error::<T>::UnexpectedKey);
			ensure!(set.results.is_empty(), Error::<T>::ResultsAtBirth);
		} else {
			ensure!(set.key.is_none(), Error::<T>::UnexpectedKey);
		}
		Ok(record)
	}

	/// Whether a set that was refused so was refused at the first look, which takes no more than
	/// [`WeightInfo::refuse_commit`].
	pub fn is_refused_at_once(error: &DispatchError) -> bool {
		[
			Error::<T>::UnknownAgent,
			Error::<T>::TooManyResults,
			Error::<T>::StaleBase,
			Error::<T>::NotLeaseHolder,
			Error::<T>::BirthNeedsKey,
			Error::<T>::UnexpectedKey,
			Error::<T>::ResultsAtBirth,
		]
		.into_iter()
		.any(|one| DispatchError::from(one) == *error)
	}
}

impl<T: Config> AgentDirectory for Pallet<T> {
	type Error = DispatchError;

	fn record(agent: AgentId) -> Option<AgentRecord> {
		Agents::<T>::get(agent)
	}

	fn may_call(agent: AgentId, account: &AccountBytes) -> bool {
		Agents::<T>::get(agent).is_some_and(|record| {
			record.access == Access::Public
				|| record.owner == *account
				|| Callers::<T>::get(agent).contains(account)
		})
	}

	fn commit(origin: EnvelopeOrigin, set: &EffectSet) -> Result<AgentRecord, DispatchError> {
		let EffectSet { agent, base_version, new_hash, key, .. } = *set;
		let mut record = Self::ensure_next(origin, set)?;
		// Of a birth; any other has none.
		record.key = key.or(record.key);
		Self::ensure_available(origin, record.cluster, set)?;

		let version = base_version.checked_add(1).ok_or(Error::<T>::NumbersExhausted)?;
		record.version = version;
		record.state_hash = new_hash;
		Agents::<T>::insert(agent, &record);
		let worker = origin.worker;
		Self::push(
			record.cluster,
			AgentsMessage::Committed { agent, version, state_hash: new_hash, worker },
		)?;
		Self::deposit_event(Event::Committed { agent, version, state_hash: new_hash, worker });
		Ok(record)
	}
}
