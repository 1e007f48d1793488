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

	/// Without this one; it alone, if it was among them.
	pub(crate) fn split_off(&mut self, worker: WorkerId) -> Self {
		Self(self.0.remove_entry(&worker).into_iter().collect())
	}
}

impl<T: Config> Pallet<T> {
	pub(crate) fn is_counted(worker: WorkerId, boot: &Boot, record: &MemberRecord) -> bool {
		let Some(last) = T::Workers::last_sign_of_life(worker) else { return false };
		T::Workers::is_in_force(worker, boot)
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
	fn set_lease(cluster: ClusterId, agent: AgentId, lease: Option<Lease>, end: LeaseEnd) {
		let old = Leases::<T>::take(agent);
		LeaseHistories::<T>::mutate(agent, |history| {
			if old.is_some() {
				history.end(end);
			}
			if lease.is_some() {
				history.number = history.number.saturating_add(1);
			}
		});
		match old {
			Some(old) => {
				HeldLeases::<T>::remove(old.worker, agent);
				Loads::<T>::mutate_exists(old.worker, |load| {
					*load = load.unwrap_or(0).checked_sub(1).filter(|load| *load > 0);
				});
				T::LeaseHooks::on_lease_ended(agent);
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
		end: LeaseEnd,
		heirs: &mut Heirs,
	) -> Result<(), PushError> {
		let lease = heirs.next();
		Self::set_lease(cluster, agent, lease, end);
		Self::tell_members(cluster, ClustersMessage::LeaseMoved { agent, lease })?;
		Self::deposit_event(Event::LeaseMoved { cluster, agent, lease });
		Ok(())
	}

	/// How the lease of one ends that the chain lets say nothing: no envelope of a boot that is out of force
	/// is taken. `None` if it is in force, alive or not: members challenge who is silent.
	///
	/// Whose code was delisted answers for nothing. Whose stake or evidence ran out does: it would be its way
	/// out of what it withholds.
	fn end_of_silenced(lease: Lease) -> Option<LeaseEnd> {
		let boot = T::Workers::current_boot(lease.worker)?;
		if boot.number != lease.boot || T::Workers::is_in_force(lease.worker, &boot) {
			return None;
		}
		Some(if T::Workers::is_delisted(lease.worker) {
			LeaseEnd::Removed
		} else {
			LeaseEnd::OwnAct
		})
	}

	/// The same as [`Self::move_lease`] for a lease that nobody has: none ends.
	pub(crate) fn give_lease(
		cluster: ClusterId,
		agent: AgentId,
		heirs: &mut Heirs,
	) -> Result<(), PushError> {
		Self::move_lease(cluster, agent, LeaseEnd::Removed, heirs)
	}

	/// Moves one lease to another member that counts, if somebody else does: somebody has to try.
	fn move_on(agent: AgentId, lease: Lease, end: LeaseEnd) -> Result<bool, PushError> {
		let Some(cluster) = AgentCluster::<T>::get(agent) else { return Ok(false) };
		if Leases::<T>::get(agent) != Some(lease) {
			return Ok(false);
		}
		let mut heirs = Self::heirs(cluster, Some(lease.worker));
		if heirs.are_none() {
			return Ok(false);
		}
		Self::move_lease(cluster, agent, end, &mut heirs)?;
		Ok(true)
	}
}

impl<T: Config> ClusterDirectory for Pallet<T> {
	type Error = DispatchError;

	fn terms(cluster: ClusterId, developer: &AccountBytes) -> Result<Opening, DispatchError> {
		let owner = Self::owner(cluster).ok_or(Error::<T>::UnknownCluster)?;
		if owner == *developer || AdmittedDevelopers::<T>::get(cluster).contains(developer) {
			return Ok(Opening::default());
		}
		Ok(Openings::<T>::get(cluster).ok_or(Error::<T>::ClusterNotOpen)?)
	}

	fn owner(cluster: ClusterId) -> Option<AccountBytes> {
		Clusters::<T>::get(cluster).map(|record| record.owner.into())
	}

	fn remove_agent(agent: AgentId) {
		let Some(cluster) = AgentCluster::<T>::take(agent) else { return };
		Self::set_lease(cluster, agent, None, LeaseEnd::Removed);
		FreeLeases::<T>::remove(cluster, agent);
		LeaseHistories::<T>::remove(agent);
		ClusterAgents::<T>::remove(cluster, agent);
		Clusters::<T>::mutate(cluster, |record| {
			if let Some(record) = record {
				record.agents = record.agents.saturating_sub(1);
			}
		});
	}

	fn place_agent(
		cluster: ClusterId,
		agent: AgentId,
		developer: &AccountBytes,
	) -> Result<Lease, DispatchError> {
		let mut record = Clusters::<T>::get(cluster).ok_or(Error::<T>::UnknownCluster)?;
		Self::terms(cluster, developer)?;
		ensure!(!AgentCluster::<T>::contains_key(agent), Error::<T>::AgentAlreadyPlaced);
		ensure!(record.agents < limits::CLUSTER_AGENTS_MAX, Error::<T>::TooManyAgents);
		let lease = Self::heirs(cluster, None).next().ok_or(Error::<T>::NobodyCounts)?;
		record.agents = record.agents.saturating_add(1);
		Clusters::<T>::insert(cluster, record);
		ClusterAgents::<T>::insert(cluster, agent, ());
		AgentCluster::<T>::insert(agent, cluster);
		Self::set_lease(cluster, agent, Some(lease), LeaseEnd::Removed);
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

	fn assign(agent: AgentId) -> Result<Option<Assignment>, DispatchError> {
		let Some(cluster) = AgentCluster::<T>::get(agent) else { return Ok(None) };
		let end = match Leases::<T>::get(agent) {
			Some(lease) => Self::end_of_silenced(lease),
			None => Some(LeaseEnd::Removed),
		};
		if let Some(end) = end {
			let mut heirs = Self::heirs(cluster, None);
			if heirs.are_none() {
				return Ok(None);
			}
			Self::move_lease(cluster, agent, end, &mut heirs).map_err(Error::<T>::from)?;
		}
		// Of one that departed or boots anew the lease moves soon: it would answer for what it cannot do.
		let lease = Leases::<T>::get(agent).filter(|lease| {
			MemberOf::<T>::get(lease.worker) == Some(cluster)
				&& T::Workers::is_current(lease.worker, lease.boot)
		});
		let generation = Clusters::<T>::get(cluster).map_or(0, |record| record.generation);
		let number = LeaseHistories::<T>::get(agent).number;
		Ok(lease.map(|lease| Assignment { lease, number, generation }))
	}

	fn is_held(agent: AgentId, assigned: &Assignment) -> bool {
		LeaseHistories::<T>::get(agent).number == assigned.number
			&& Leases::<T>::get(agent) == Some(assigned.lease)
	}

	fn is_witnessed(cluster: ClusterId, worker: WorkerId, since: BlockNumber) -> bool {
		let left = MemberOf::<T>::get(worker) != Some(cluster);
		// Who left was one of them when it was to commit: going changes nothing of what it answers for.
		let members = Clusters::<T>::get(cluster)
			.map_or(0, |record| record.members)
			.saturating_add(u32::from(left));
		// With it a majority, or as many of those whose turn it was as there may be without it.
		let others = (members / 2).min(limits::FINALITY_WITNESSES - 1);
		let seen = FinalSeen::<T>::get(cluster);
		let witnesses = seen.iter().filter(|(by, block)| **by != worker && **block >= since);
		others > 0 && witnesses.count() as u64 >= u64::from(others)
	}

	fn liability(agent: AgentId, assigned: &Assignment) -> Result<Liability, Excuse> {
		let history = LeaseHistories::<T>::get(agent);
		if !Self::is_held(agent, assigned) {
			return match history.end_of(assigned.number) {
				Some(LeaseEnd::OwnAct) => Ok(Liability::OwnAct),
				Some(LeaseEnd::Penalised { paid }) => Ok(Liability::Lease { paid: Some(paid) }),
				Some(LeaseEnd::Removed) => Err(Excuse::Removed),
				// What is not remembered any more is held against nobody.
				Some(LeaseEnd::Taken) | None => Err(Excuse::LeaseTaken),
			};
		}
		// Governance silenced it, and the sweep has not come to it yet or it has no successor.
		if T::Workers::is_delisted(assigned.lease.worker) {
			return Err(Excuse::Removed);
		}
		let generation = AgentCluster::<T>::get(agent)
			.and_then(Clusters::<T>::get)
			.map_or(0, |record| record.generation);
		if generation != assigned.generation {
			return Err(Excuse::GenerationChanged);
		}
		Ok(Liability::Lease { paid: history.paid })
	}

	fn note_penalty(agent: AgentId, assigned: &Assignment, paid: Balance) {
		let is_held = Leases::<T>::contains_key(agent);
		// Nothing is written of an agent that was given up.
		LeaseHistories::<T>::mutate_extant(agent, |history| {
			history.penalise(assigned.number, is_held, paid);
		});
	}

	fn on_missed_deadline(agent: AgentId, assigned: &Assignment) -> Result<(), DispatchError> {
		let Assignment { lease, number, .. } = *assigned;
		if LeaseHistories::<T>::get(agent).number != number
			// What it paid was noted before, and is what is remembered of this end.
			|| !Self::move_on(agent, lease, LeaseEnd::Taken).map_err(Error::<T>::from)?
		{
			return Ok(());
		}
		let Some(cluster) = MemberOf::<T>::get(lease.worker) else { return Ok(()) };
		Members::<T>::mutate(cluster, lease.worker, |record| {
			if let Some(record) = record {
				record.set_aside = Some(Self::now());
			}
		});
		Self::deposit_event(Event::MemberSetAside { cluster, worker: lease.worker });
		Ok(())
	}

	fn relieve(agent: AgentId, assigned: &Assignment) -> Result<(), DispatchError> {
		if LeaseHistories::<T>::get(agent).number == assigned.number {
			Self::move_on(agent, assigned.lease, LeaseEnd::Taken).map_err(Error::<T>::from)?;
		}
		Ok(())
	}
}
