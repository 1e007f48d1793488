//! # Upkeep: what the network's pallets do by themselves, within one share of each block
//!
//! Requests expire, money goes back, leases move, planned code begins to run, who is delisted is evicted, what
//! is old is forgotten. Most of it is caused by strangers, and comes in floods. So the pallets of this network
//! have no hooks of their own for it, but functions that take a [`WeightMeter`] and stop where it ends: this
//! one meter a block, of [`SHARE`] of it. What does not fit goes on in a later block; nothing is lost. Users'
//! transactions have the other three quarters, whatever happens here (docs/decisions/020).
//!
//! | when | what | with |
//! |---|---|---|
//! | `on_initialize`: first, and whatever else the block does | paid work: requests expire, members speak for finality, callers are refunded | at most [`PAID_WORK`] of it, which is enough for all requests that one deadline can have |
//! | `on_poll`: after the inherents, before any transaction | the others' [turns](Pallet::turns) | the rest, if the block has as much left |
//! | `on_idle`: after the last transaction | what the block's transactions caused: refunds, and sweeps | what is left of both, the block and its upkeep |
//!
//! **Fair.** Who has the first turn goes around with the block's number: whatever backlog others have, each
//! has all of the rest for itself every [`TURNS`] blocks. One step of any of them fits that rest. Paid work
//! does not wait for turns, and has no more than its part before them: neither do sweeps that a stranger
//! causes put off a refund, nor does a flood of requests keep a worker from being evicted.
//!
//! **If a block has no room** there are no turns in it: in the one that begins a session, which the session
//! pallet declares full, or when a vote is enacted. Paid work does not wait for the next one, since whether
//! anybody is to blame for a missed deadline is judged by what the chain shows right after it.
//!
//! What other pallets of the network say that they take in `on_initialize` is small, the same in every block,
//! and part of the share: [`Pallet::fixed`].

pub use pallet::*;

use crate::{config::system::MAXIMUM_BLOCK_WEIGHT, BlockNumber};
use frame_support::{pallet_prelude::*, weights::WeightMeter};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::{traits::SaturatedConversion, Perbill};

/// Of a block's weight, what transactions leave: [`crate::config::system`].
pub const SHARE: Perbill = Perbill::from_percent(25);

/// Of what upkeep may take, what paid work is sure of.
pub const PAID_WORK: Perbill = Perbill::from_percent(65);

/// How many take turns.
pub const TURNS: usize = 8;

/// Somebody's work: as much as the meter allows.
type Work = fn(&mut WeightMeter);

#[frame_support::pallet]
pub mod pallet {
	use super::*;

	#[pallet::pallet]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config:
		frame_system::Config
		+ pallet_mailbox::Config
		+ pallet_registry::Config
		+ pallet_gatekeepers::Config
		+ pallet_clusters::Config
		+ pallet_agents::Config
		+ pallet_requests::Config
	{
	}

	/// What upkeep has taken of the current block.
	#[pallet::storage]
	pub type Used<T> = StorageValue<_, Weight, ValueQuery>;

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn on_initialize(_: BlockNumberFor<T>) -> Weight {
			let mut meter = WeightMeter::with_limit(Self::paid_work());
			pallet_requests::Pallet::<T>::meet_deadlines(&mut meter);
			pallet_requests::Pallet::<T>::refund_moved(&mut meter);
			let used = meter.consumed().saturating_add(Self::bookkeeping());
			Used::<T>::put(used);
			pallet_mailbox::Pallet::<T>::note_if_messages_are_full();
			used
		}

		fn on_poll(now: BlockNumberFor<T>, meter: &mut WeightMeter) {
			let used = Used::<T>::get();
			let left = meter.remaining().min(Self::budget().saturating_sub(used));
			let mut ours = WeightMeter::with_limit(left);
			let first = now.saturated_into::<BlockNumber>() as usize % TURNS;
			for work in Self::turns().into_iter().cycle().skip(first).take(TURNS) {
				work(&mut ours);
			}
			meter.consume(ours.consumed());
			Used::<T>::put(used.saturating_add(ours.consumed()));
			pallet_mailbox::Pallet::<T>::note_if_messages_are_full();
		}

		fn on_idle(_: BlockNumberFor<T>, left: Weight) -> Weight {
			let left = left.min(Self::budget().saturating_sub(Used::<T>::get()));
			let mut meter = WeightMeter::with_limit(left);
			pallet_requests::Pallet::<T>::refund_moved(&mut meter);
			pallet_clusters::Pallet::<T>::work_off_sweeps(&mut meter);
			// Of the leases that moved just now.
			pallet_requests::Pallet::<T>::refund_moved(&mut meter);
			meter.consumed()
		}
	}
}

impl<T: Config> Pallet<T> {
	/// Most that all hooks of the network's pallets take of one block together.
	pub fn share() -> Weight {
		SHARE * MAXIMUM_BLOCK_WEIGHT
	}

	/// Of it, what the pallets' `on_initialize` says that it takes at most.
	pub fn fixed() -> Weight {
		use pallet_gatekeepers::WeightInfo as _;
		use pallet_mailbox::WeightInfo as _;
		<T as pallet_mailbox::Config>::WeightInfo::end_block()
			.saturating_add(<T as pallet_gatekeepers::Config>::WeightInfo::activate_pending_key())
	}

	/// The rest, which work that can wait is measured by.
	pub fn budget() -> Weight {
		Self::share().saturating_sub(Self::fixed())
	}

	/// Of it, what is sure to paid work, and what it takes at most before the others' turns.
	pub fn paid_work() -> Weight {
		PAID_WORK * Self::budget()
	}

	/// What this pallet itself takes, for [`Used`].
	pub(crate) fn bookkeeping() -> Weight {
		// Twice a look at what was pushed, and a note if no more can be.
		T::DbWeight::get().reads_writes(7, 2)
	}

	/// Who has which turn.
	pub fn turns() -> [Work; TURNS] {
		use {
			pallet_agents::Pallet as Agents, pallet_clusters::Pallet as Clusters,
			pallet_gatekeepers::Pallet as Gatekeepers, pallet_mailbox::Pallet as Mailbox,
			pallet_registry::Pallet as Registry, pallet_requests::Pallet as Requests,
		};
		[
			Requests::<T>::refund_moved,
			Requests::<T>::move_leases,
			|meter| {
				Clusters::<T>::end_gaps(meter);
				Clusters::<T>::work_off_sweeps(meter);
			},
			|meter| {
				Agents::<T>::activate_due(meter);
				Agents::<T>::pass_births_on(meter);
				Agents::<T>::forget_history(meter);
			},
			Gatekeepers::<T>::resend_open_requests,
			Registry::<T>::sweep,
			Requests::<T>::prune,
			Mailbox::<T>::prune,
		]
	}
}
