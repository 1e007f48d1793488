//! A lease holder that hangs: who says so, how it shows that it does not, what it loses.
//!
//! ```text
//! N       HolderSilent by a member that counts     the holder is challenged; all members are told
//! N + 2   final at the members                     HolderStillSilent by whoever finds it silent still
//! N + 5   at the earliest                          no envelope of its boot since N: its leases move
//! ```
//!
//! Any envelope answers, whatever it holds: one that waits behind others must not be late for that.
//! Nobody but enclaves sees finality, so the second word can only be given by one to which the
//! challenge is final, and then some: while finality stalls, no lease moves. Nothing is slashed.
//!
//! | villain | what becomes of it |
//! |---|---|
//! | a stranger, a departed, a suspended or a silent member | refused: only members that count may. One that was set aside and speaks counts again |
//! | one that challenges all day | one challenge of each holder in [`limits::CHALLENGE_SPACING_BLOCKS`]; each costs an envelope on both sides and one message; who answers keeps all |
//! | one that challenges and never goes on | others may: the second word is anybody's |
//! | one that says both at once | too early: not before [`limits::CHALLENGE_BLOCKS`] |
//! | two that do not reach each other | both answer the chain, both keep what they have |
//! | one that repeats or reorders what it said | a challenge is named by its block, and is over once |
//! | who challenges an old boot | refused: its leases have moved |

use crate::*;
use phala_protocol::messages::EnvelopeOrigin;

impl<T: Config> Pallet<T> {
	/// The cluster of a member that counts, for what only such a one may say. One that was set aside counts
	/// again: what it says is a sign of life. It may be the last that finds a holder silent.
	fn counted_sender(origin: EnvelopeOrigin) -> Result<ClusterId, Error<T>> {
		let cluster = MemberOf::<T>::get(origin.worker).ok_or(Error::<T>::NotMember)?;
		Self::ensure_member(origin, cluster)?;
		let record = Members::<T>::get(cluster, origin.worker).ok_or(Error::<T>::NotMember)?;
		let boot = T::Workers::current_boot(origin.worker).ok_or(Error::<T>::RetiredBoot)?;
		let counts_again = MemberRecord { set_aside: None, ..record.clone() };
		ensure!(Self::is_counted(origin.worker, &boot, &counts_again), Error::<T>::DoesNotCount);
		if record.set_aside.is_some() {
			Members::<T>::insert(cluster, origin.worker, counts_again);
			Self::queue_free_leases(cluster);
		}
		Ok(cluster)
	}

	/// Whether the boot has sent an envelope since it was challenged.
	fn has_answered(holder: WorkerId, challenge: &Challenge) -> bool {
		T::Lanes::next_envelope(holder)
			.is_none_or(|next| next.boot != challenge.boot || next.seqs != challenge.seqs)
	}

	pub(crate) fn holder_silent(
		origin: EnvelopeOrigin,
		holder: WorkerId,
		boot: BootNumber,
	) -> DispatchResult {
		let cluster = Self::counted_sender(origin)?;
		let by = origin.worker;
		ensure!(holder != by, Error::<T>::OwnChallenge);
		ensure!(MemberOf::<T>::get(holder) == Some(cluster), Error::<T>::NotMember);
		let current = T::Workers::current_boot(holder).ok_or(Error::<T>::NotInForce)?;
		ensure!(current.number == boot, Error::<T>::OtherBoot);
		ensure!(Loads::<T>::get(holder) > 0, Error::<T>::HasNoLease);
		let now = Self::now();
		if let Some(open) = Challenges::<T>::get(holder) {
			// Whoever heard of one that is overdue has restarted since: it is told anew.
			let is_overdue = now.saturating_sub(open.block) >= limits::CHALLENGE_SPACING_BLOCKS;
			let is_over = is_overdue || Self::has_answered(holder, &open);
			ensure!(is_over, Error::<T>::AlreadyChallenged);
		}
		LatelyChallenged::<T>::try_mutate(holder, |lately| {
			lately.retain(|(_, at)| now.saturating_sub(*at) < limits::CHALLENGE_SPACING_BLOCKS);
			let is_again = lately.iter().any(|(member, _)| *member == by);
			ensure!(!is_again, Error::<T>::ChallengedLately);
			lately.try_push((by, now)).map_err(|_| Error::<T>::ChallengedLately)
		})?;
		let seqs = T::Lanes::next_envelope(holder)
			.filter(|next| next.boot == boot)
			.ok_or(Error::<T>::OtherBoot)?
			.seqs;
		Challenges::<T>::insert(holder, Challenge { boot, seqs, block: now });
		let told = ClustersMessage::HolderChallenged { holder, boot, by, block: now };
		Self::tell_members(cluster, told).map_err(Error::<T>::from)?;
		Self::deposit_event(Event::HolderChallenged { cluster, worker: holder, boot, by });
		Ok(())
	}

	pub(crate) fn holder_still_silent(
		origin: EnvelopeOrigin,
		holder: WorkerId,
		boot: BootNumber,
		challenged_at: BlockNumber,
	) -> DispatchResult {
		let cluster = Self::counted_sender(origin)?;
		ensure!(holder != origin.worker, Error::<T>::OwnChallenge);
		ensure!(MemberOf::<T>::get(holder) == Some(cluster), Error::<T>::NotMember);
		let challenge = Challenges::<T>::get(holder)
			.filter(|open| (open.boot, open.block) == (boot, challenged_at))
			.ok_or(Error::<T>::NoSuchChallenge)?;
		ensure!(!Self::has_answered(holder, &challenge), Error::<T>::HolderAnswered);
		let now = Self::now();
		ensure!(
			now >= challenged_at.saturating_add(limits::CHALLENGE_BLOCKS),
			Error::<T>::ChallengeTooYoung
		);
		Challenges::<T>::remove(holder);
		Members::<T>::mutate(cluster, holder, |record| {
			if let Some(record) = record {
				record.set_aside = Some(now);
			}
		});
		Self::deposit_event(Event::MemberSetAside { cluster, worker: holder });
		// At the end of this block: an envelope's weight is not that of many leases.
		Self::queue_sweep(Sweep::Move { cluster, worker: holder, why: Moves::Silent }, None);
		Ok(())
	}

	/// The envelope has answered already; whoever was set aside counts again.
	pub(crate) fn holder_present(origin: EnvelopeOrigin) -> DispatchResult {
		let EnvelopeOrigin { worker, boot } = origin;
		let cluster = MemberOf::<T>::get(worker).ok_or(Error::<T>::NotMember)?;
		Self::ensure_member(origin, cluster)?;
		Challenges::<T>::remove(worker);
		let was_set_aside = Members::<T>::mutate(cluster, worker, |record| {
			record.as_mut().and_then(|record| record.set_aside.take())
		});
		Self::deposit_event(Event::HolderPresent { cluster, worker, boot });
		if was_set_aside.is_some() {
			Self::queue_free_leases(cluster);
		}
		Ok(())
	}

	/// A member saw this block final: blocks do become so.
	pub(crate) fn block_final(origin: EnvelopeOrigin, block: BlockNumber) -> DispatchResult {
		let cluster = Self::counted_sender(origin)?;
		ensure!(block <= Self::now(), Error::<T>::BlockInTheFuture);
		FinalSeen::<T>::mutate(cluster, |seen| {
			let newest = seen.get(&origin.worker).copied().unwrap_or_default().max(block);
			// There is room for as many as are members.
			let _ = seen.try_insert(origin.worker, newest);
		});
		Ok(())
	}
}
