//! What concerns all agents of a cluster, or all leases of a member: done a bounded number at a time.
//!
//! A call whose weight covers it does the first part itself ([`Pallet::begin_sweep`]); what is left,
//! and what envelopes cause, waits in a queue. The runtime has it worked off with what it has for the
//! upkeep of all pallets, [`SWEPT_PER_BLOCK_MAX`] agents at a time. A sweep that is not done goes to the
//! back of the queue: none holds up another for long.

use crate::*;
use frame_support::storage::with_storage_layer;
use phala_protocol::messages::AgentsMessage;

/// What a sweep may tell of an agent before it counts as two, in bytes. So what one part tells takes
/// [`SWEPT_PER_BLOCK_MAX`] times as much of the mailbox's room, or is one agent: whoever has a boot told of
/// many long lists of callers pays for no fewer calls than who fills the mailbox by any other.
const TOLD_BYTES_PER_AGENT: u32 = 1024;

/// How far a part of a sweep came.
struct Part {
	/// How many agents it looked at, or as how many what it told counts.
	looked_at: u32,
	/// The last of them, if there are more.
	left_after: Option<AgentId>,
}

impl Part {
	const DONE: Self = Self { looked_at: 0, left_after: None };

	/// All of `agents`, of which at most `most` were taken.
	fn of(agents: &[AgentId], most: u32) -> Self {
		let looked_at = agents.len() as u32;
		Self { looked_at, left_after: agents.last().copied().filter(|_| looked_at >= most) }
	}
}

impl<T: Config> Pallet<T> {
	/// Does what fits one block, and puts what is left into the queue; with how many agents were looked at,
	/// or as how many what was told counts.
	pub(crate) fn begin_sweep(sweep: Sweep) -> Result<u32, PushError> {
		let part = Self::do_part(&sweep, None, SWEPT_PER_BLOCK_MAX)?;
		let looked_at = part.looked_at;
		Self::go_on(sweep, part);
		Ok(looked_at)
	}

	/// Begins to tell a boot of all agents. What users' messages leave no room for waits in the queue, as a
	/// whole: nobody joins or registers later for it, it only has no lease until then.
	pub(crate) fn tell_all_or_queue(
		cluster: ClusterId,
		worker: WorkerId,
		boot: BootNumber,
	) -> Result<u32, PushError> {
		let sweep = Sweep::Tell { cluster, worker, boot };
		let mut refused = None;
		let begun = with_storage_layer(|| {
			Self::begin_sweep(sweep).map_err(|error| {
				refused = Some(error);
				DispatchError::from(Error::<T>::from(error))
			})
		});
		match (begun, refused) {
			(Ok(told), _) => Ok(told),
			(Err(_), Some(error)) if error != PushError::BlockFull => Err(error),
			(Err(_), _) => {
				Untold::<T>::insert(worker, boot);
				Self::queue_sweep(sweep, None);
				// It may have come nearly to its end in vain.
				Ok(SWEPT_PER_BLOCK_MAX)
			}
		}
	}

	/// Leaves it to the end of this block, or the next.
	pub(crate) fn queue_sweep(sweep: Sweep, after: Option<AgentId>) {
		let number = NextSweep::<T>::get();
		Sweeps::<T>::insert(number, (sweep, after));
		NextSweep::<T>::put(number.saturating_add(1));
	}

	/// Gives leases that nobody has to members that count, if there are any; how many were looked at.
	pub(crate) fn hand_out_free_leases(cluster: ClusterId) -> Result<u32, PushError> {
		match FreeLeases::<T>::iter_key_prefix(cluster).next() {
			Some(_) => Self::begin_sweep(Sweep::HandOut { cluster }),
			None => Ok(0),
		}
	}

	/// The same, where there is no weight to do it at once.
	pub(crate) fn queue_free_leases(cluster: ClusterId) {
		if FreeLeases::<T>::iter_key_prefix(cluster).next().is_some() {
			Self::queue_sweep(Sweep::HandOut { cluster }, None);
		}
	}

	/// Works the queue off, as far as `meter` goes.
	pub fn work_off_sweeps(meter: &mut WeightMeter) {
		if meter.try_consume(T::DbWeight::get().reads_writes(2, 1)).is_err() {
			return;
		}
		let mut left = SWEPT_PER_BLOCK_MAX;
		let (first, next) = (FirstSweep::<T>::get(), NextSweep::<T>::get());
		let mut number = first;
		// Those that are there now: one that goes to the back waits for its next turn.
		while number < next {
			// Nobody but this takes one out.
			let Some((sweep, _)) = Sweeps::<T>::get(number) else {
				number = number.saturating_add(1);
				continue;
			};
			let (begun, one) = weights::sweep::<T, T::WeightInfo>(&sweep);
			let room = meter.remaining().saturating_sub(begun);
			let fit = room.checked_div_per_component(&one).unwrap_or(u64::MAX);
			let most = left.min(fit.saturated_into());
			if most == 0 {
				break;
			}
			// A full mailbox changes nothing, and puts it behind the others, which may need no room of it.
			let part = with_storage_layer(|| Self::next_part(number, most));
			let looked_at = part.unwrap_or(most);
			meter.consume(begun.saturating_add(one.saturating_mul(looked_at.into())));
			number = number.saturating_add(1);
			if part.is_err() {
				if let Some((sweep, after)) = Sweeps::<T>::take(number.saturating_sub(1)) {
					Self::queue_sweep(sweep, after);
				}
				break;
			}
			left = left.saturating_sub(looked_at.max(1));
		}
		if number != first {
			FirstSweep::<T>::put(number);
		}
	}

	/// One part of the sweep with this number; how many agents it looked at.
	fn next_part(number: u64, most: u32) -> Result<u32, DispatchError> {
		let Some((sweep, after)) = Sweeps::<T>::take(number) else { return Ok(0) };
		let part = Self::do_part(&sweep, after, most).map_err(Error::<T>::from)?;
		let looked_at = part.looked_at;
		Self::go_on(sweep, part);
		Ok(looked_at)
	}

	/// Queues what is left of a sweep, or does what comes after its end.
	fn go_on(sweep: Sweep, part: Part) {
		match (sweep, part.left_after) {
			(Sweep::Tell { worker, boot, .. }, Some(_)) => Untold::<T>::insert(worker, boot),
			// An earlier boot's says nothing of this one.
			(Sweep::Tell { cluster, worker, boot }, None)
				if Untold::<T>::get(worker) == Some(boot) =>
			{
				Untold::<T>::remove(worker);
				Self::queue_free_leases(cluster);
			}
			_ => {}
		}
		if let Some(after) = part.left_after {
			Self::queue_sweep(sweep, Some(after));
		}
	}

	fn do_part(sweep: &Sweep, after: Option<AgentId>, most: u32) -> Result<Part, PushError> {
		match *sweep {
			Sweep::Tell { cluster, worker, boot } => {
				Self::tell_of_agents(cluster, worker, boot, after, most)
			}
			Sweep::Move { cluster, worker, why } => {
				Self::move_leases(cluster, worker, why, after, most)
			}
			Sweep::HandOut { cluster } => Self::hand_out(cluster, most),
		}
	}

	/// Tells a boot that is new here of the next agents.
	fn tell_of_agents(
		cluster: ClusterId,
		worker: WorkerId,
		boot: BootNumber,
		after: Option<AgentId>,
		most: u32,
	) -> Result<Part, PushError> {
		let is_current =
			MemberOf::<T>::get(worker) == Some(cluster) && T::Workers::is_current(worker, boot);
		if !is_current {
			return Ok(Part::DONE);
		}
		let agents: Vec<AgentId> = match after {
			None => ClusterAgents::<T>::iter_key_prefix(cluster).take(most as usize).collect(),
			Some(after) => {
				let from = ClusterAgents::<T>::hashed_key_for(cluster, after);
				ClusterAgents::<T>::iter_key_prefix_from(cluster, from)
					.take(most as usize)
					.collect()
			}
		};
		let mut told = 0u32;
		for (place, agent) in agents.iter().enumerate() {
			let Some(snapshot) = T::Agents::snapshot(*agent) else { continue };
			let message = Message::from(AgentsMessage::Agent(snapshot));
			let counts_as = (message.encoded_size() as u32).div_ceil(TOLD_BYTES_PER_AGENT);
			if told > 0 && told.saturating_add(counts_as) > most {
				let left_after = place.checked_sub(1).and_then(|last| agents.get(last)).copied();
				return Ok(Part { looked_at: told.min(most), left_after });
			}
			told = told.saturating_add(counts_as);
			Self::tell(worker, message)?;
		}
		let part = Part::of(&agents, most);
		Ok(Part { looked_at: part.looked_at.max(told).min(most), ..part })
	}

	/// Moves the next leases of a worker that is not to keep them.
	fn move_leases(
		cluster: ClusterId,
		worker: WorkerId,
		why: Moves,
		after: Option<AgentId>,
		most: u32,
	) -> Result<Part, PushError> {
		let agents: Vec<AgentId> = match after {
			None => HeldLeases::<T>::iter_key_prefix(worker).take(most as usize).collect(),
			Some(after) => {
				let from = HeldLeases::<T>::hashed_key_for(worker, after);
				HeldLeases::<T>::iter_key_prefix_from(worker, from).take(most as usize).collect()
			}
		};
		// One look at the members, whoever counts: it is as long as the cluster.
		let mut heirs = Self::heirs(cluster, None);
		let itself = heirs.split_off(worker);
		if heirs.are_none() {
			match why {
				// The new boot goes on, if there is nobody else and as soon as it can.
				Moves::Restarted => heirs = itself,
				// Somebody has to try.
				Moves::Silent => return Ok(Part::DONE),
				Moves::Left | Moves::Removed => {}
			}
		}
		let current = T::Workers::current_boot(worker).map(|boot| boot.number);
		for agent in &agents {
			let is_of_it = AgentCluster::<T>::get(agent) == Some(cluster);
			let is_anew = why == Moves::Restarted
				&& Leases::<T>::get(agent).is_some_and(|lease| Some(lease.boot) == current);
			if is_of_it && !is_anew {
				Self::move_lease(cluster, *agent, why.lease_end(), &mut heirs)?;
			}
		}
		Ok(Part::of(&agents, most))
	}

	fn hand_out(cluster: ClusterId, most: u32) -> Result<Part, PushError> {
		let mut heirs = Self::heirs(cluster, None);
		if heirs.are_none() {
			return Ok(Part::DONE);
		}
		// Who has one is no longer among them: it always goes on from the first.
		let agents: Vec<AgentId> =
			FreeLeases::<T>::iter_key_prefix(cluster).take(most as usize).collect();
		for agent in &agents {
			Self::give_lease(cluster, *agent, &mut heirs)?;
		}
		Ok(Part::of(&agents, most))
	}
}
