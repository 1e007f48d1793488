//! # Bonding: what operators have at stake
//!
//! ## Key terms
//!
//! * **Bond**: PHA on hold in an operator's own account that answers for one role, named by a
//!   [`BondId`]. PHA in one bond is in no other.
//! * **Active**: the part that counts towards the role's **minimum**.
//! * **Unbonding**: parts that leave, each with the block from which on it can be withdrawn. They
//!   count for nothing and are slashed like the rest.
//! * **Closed**: a bond that answers for what was and for nothing new; all of it leaves.
//! * **Exhausted**: an open bond of which less than one part in [`EXHAUSTED_PART`] of the minimum is
//!   left, active or not.
//!
//! ## Usage
//!
//! * The pallet of a role **opens** a bond, asks whether it is **sufficient**, **slashes** it,
//!   **closes** it and **transfers** it ([`Bonding`]).
//! * The account tops it up ([`Call::top_up`]) and lets a part leave ([`Call::unbond`]). Below the
//!   minimum the role is out of force: that is the role's pallet's to say.
//! * Anyone lets go what has left ([`Call::withdraw`]): it goes to the account whose it is.
//!
//! ## Design
//!
//! ```text
//! hold of an account  =  sum over its bonds of (active + unbonding)      after every call
//! slash of s          :  t = min(s, active + unbonding)
//!                        each part loses t * part / (active + unbonding), rounded down, and what
//!                        rounding left over is taken of the active part first: t is taken exactly
//! ```
//!
//! A part leaves [`Config::UnbondingBlocks`] after it was unbonded: as long as a validator's stake, and
//! a vote after that. A fault of before is found out and voted on by then, but for one: a request whose deadline lies further ahead.
//! So while the bond **answers** for something ([`BondUsers::is_answering`]: open assignments, a seat)
//! withdrawals leave the minimum, of whatever part. Strangers who give a worker ever more to do thus
//! delay nothing but that.
//!
//! Nothing is rounded away: a slash of one unit takes one unit. Slashes go to
//! [`Config::Slashed`].
//!
//! **Bounds.** A bond has at most [`UNBONDING_CHUNKS_MAX`](phala_protocol::limits::UNBONDING_CHUNKS_MAX) parts that leave; parts that leave
//! in one block are one. Closing always works: it joins the newest part if there is no room.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub use pallet::*;
pub use types::BondRecord;
pub use weights::{ConservativeWeights, WeightInfo};

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod invariants;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;
mod types;
pub mod weights;

use frame_support::{
	pallet_prelude::*,
	traits::{
		fungible::{BalancedHold, Credit, Inspect, MutateHold},
		tokens::{Fortitude, Precision, Restriction},
		Imbalance, OnUnbalanced,
	},
};
use frame_system::pallet_prelude::OriginFor;
use phala_protocol::{
	bonding::BondId,
	traits::{BondUsers, Bonding},
	AccountBytes, Balance, BlockNumber,
};
use sp_runtime::traits::{SaturatedConversion, Zero};

/// A bond of which less than the minimum divided by this is left has nothing at stake.
pub const EXHAUSTED_PART: Balance = 10;

/// A bond of this runtime.
pub type BondOf<T> = BondRecord<<T as frame_system::Config>::AccountId>;

#[frame_support::pallet]
pub mod pallet {
	use super::*;

	const STORAGE_VERSION: StorageVersion = StorageVersion::new(0);

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config:
		frame_system::Config<
		RuntimeEvent: From<Event<Self>>,
		AccountId: Into<AccountBytes> + From<AccountBytes>,
	>
	{
		/// Holds what is at stake.
		type Currency: Inspect<Self::AccountId, Balance = Balance>
			+ MutateHold<Self::AccountId, Reason = Self::RuntimeHoldReason>
			+ BalancedHold<Self::AccountId, Reason = Self::RuntimeHoldReason>;

		/// The runtime's hold reasons.
		type RuntimeHoldReason: From<HoldReason>;

		/// Gets what is slashed.
		type Slashed: OnUnbalanced<Credit<Self::AccountId, Self::Currency>>;

		/// Who relies on bonds.
		type Users: BondUsers;

		/// Blocks from unbonding to withdrawal.
		type UnbondingBlocks: Get<BlockNumber>;

		/// What a new worker puts at stake.
		#[pallet::constant]
		type WorkerStake: Get<Balance>;

		/// Least active stake of a worker in force.
		#[pallet::constant]
		type WorkerMinimum: Get<Balance>;

		/// What a new candidate for a gatekeeper's seat puts at stake.
		#[pallet::constant]
		type GatekeeperStake: Get<Balance>;

		/// Least active stake of a candidate that can be seated.
		#[pallet::constant]
		type GatekeeperMinimum: Get<Balance>;

		/// Weights of this pallet's calls.
		type WeightInfo: WeightInfo;
	}

	/// Why funds are on hold.
	#[pallet::composite_enum]
	pub enum HoldReason {
		/// At stake: the sum of the account's bonds.
		Bond,
	}

	/// All bonds, those that are closed until the last of them was withdrawn. Read by clients.
	#[pallet::storage]
	pub type Bonds<T: Config> = StorageMap<_, Blake2_128Concat, BondId, BondOf<T>, OptionQuery>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// So much is at stake for a new role.
		BondOpened { bond: BondId, account: T::AccountId, amount: Balance },
		/// More is at stake.
		BondToppedUp { bond: BondId, amount: Balance },
		/// A part leaves: it can be withdrawn from that block on.
		UnbondingBegan { bond: BondId, amount: Balance, until: BlockNumber },
		/// A part is free again.
		BondWithdrawn { bond: BondId, account: T::AccountId, amount: Balance },
		/// So much was taken for a fault.
		BondSlashed { bond: BondId, account: T::AccountId, amount: Balance },
		/// The bond answers for nothing new.
		BondClosed { bond: BondId },
		/// The bond is another account's.
		BondTransferred { bond: BondId, from: T::AccountId, to: T::AccountId },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// Nothing is at stake under this name.
		UnknownBond,
		/// Only the account that put the bond up may do this.
		NotBondAccount,
		/// The bond is there already.
		AlreadyBonded,
		/// A former bond of this name still leaves, and is another account's: it must be withdrawn first.
		StillUnbonding,
		/// The bond is closed: nothing is added to it, and all of it leaves already.
		BondIsClosed,
		/// An amount of nothing.
		NothingToBond,
		/// Less than that is active.
		NotThatMuchActive,
		/// [`UNBONDING_CHUNKS_MAX`](phala_protocol::limits::UNBONDING_CHUNKS_MAX) parts leave already: withdraw those that have left.
		TooManyUnbonding,
		/// Nothing of the bond has left yet.
		NothingToWithdraw,
		/// While the bond answers for something (an open assignment, a seat) the minimum stays.
		StillAnswering,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<frame_system::pallet_prelude::BlockNumberFor<T>> for Pallet<T> {
		#[cfg(feature = "try-runtime")]
		fn try_state(
			_now: frame_system::pallet_prelude::BlockNumberFor<T>,
		) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::check_invariants()
		}

		fn integrity_test() {
			assert!(
				T::WorkerMinimum::get() <= T::WorkerStake::get()
					&& T::GatekeeperMinimum::get() <= T::GatekeeperStake::get(),
				"who puts up what a role takes has its minimum"
			);
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Puts more at stake. By the bond's account.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::top_up())]
		pub fn top_up(origin: OriginFor<T>, bond: BondId, amount: Balance) -> DispatchResult {
			let mut record = Self::open_bond_of(origin, bond)?;
			ensure!(!amount.is_zero(), Error::<T>::NothingToBond);
			T::Currency::hold(&HoldReason::Bond.into(), &record.account, amount)?;
			record.active = record.active.saturating_add(amount);
			Bonds::<T>::insert(bond, record);
			Self::deposit_event(Event::BondToppedUp { bond, amount });
			Ok(())
		}

		/// Lets a part leave. It can be slashed until it is withdrawn. By the bond's account.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::unbond())]
		pub fn unbond(origin: OriginFor<T>, bond: BondId, amount: Balance) -> DispatchResult {
			let mut record = Self::open_bond_of(origin, bond)?;
			ensure!(!amount.is_zero(), Error::<T>::NothingToBond);
			ensure!(amount <= record.active, Error::<T>::NotThatMuchActive);
			let until = Self::leaves_at();
			ensure!(record.unbond(amount, until), Error::<T>::TooManyUnbonding);
			Bonds::<T>::insert(bond, record);
			Self::deposit_event(Event::UnbondingBegan { bond, amount, until });
			Ok(())
		}

		/// Lets go what has left, to the bond's account. By anyone.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::withdraw())]
		pub fn withdraw(origin: OriginFor<T>, bond: BondId) -> DispatchResult {
			frame_system::ensure_signed(origin)?;
			let mut record = Bonds::<T>::get(bond).ok_or(Error::<T>::UnknownBond)?;
			let left = record.left(Self::now());
			ensure!(!left.is_zero(), Error::<T>::NothingToWithdraw);
			let amount = if T::Users::is_answering(bond) {
				left.min(record.total().saturating_sub(Self::minimum(bond)))
			} else {
				left
			};
			ensure!(!amount.is_zero(), Error::<T>::StillAnswering);
			let account = record.account.clone();
			let reason = HoldReason::Bond.into();
			T::Currency::release(&reason, &account, amount, Precision::Exact)?;
			record.withdraw(amount);
			Self::put(bond, record);
			Self::deposit_event(Event::BondWithdrawn { bond, account, amount });
			Ok(())
		}
	}
}

impl<T: Config> Pallet<T> {
	fn now() -> BlockNumber {
		frame_system::Pallet::<T>::block_number().saturated_into()
	}

	/// The block from which on can be withdrawn what is unbonded now.
	fn leaves_at() -> BlockNumber {
		Self::now().saturating_add(T::UnbondingBlocks::get())
	}

	/// What a role takes.
	pub fn stake(bond: BondId) -> Balance {
		match bond {
			BondId::Worker(_) => T::WorkerStake::get(),
			BondId::Gatekeeper(_) => T::GatekeeperStake::get(),
		}
	}

	/// Least active stake of a role in force.
	pub fn minimum(bond: BondId) -> Balance {
		match bond {
			BondId::Worker(_) => T::WorkerMinimum::get(),
			BondId::Gatekeeper(_) => T::GatekeeperMinimum::get(),
		}
	}

	fn open_bond_of(origin: OriginFor<T>, bond: BondId) -> Result<BondOf<T>, DispatchError> {
		let who = frame_system::ensure_signed(origin)?;
		let record = Bonds::<T>::get(bond).ok_or(Error::<T>::UnknownBond)?;
		ensure!(record.account == who, Error::<T>::NotBondAccount);
		ensure!(!record.closed, Error::<T>::BondIsClosed);
		Ok(record)
	}

	fn leaves_nothing_at_stake(bond: BondId, record: &BondOf<T>) -> bool {
		!record.closed && record.total().saturating_mul(EXHAUSTED_PART) < Self::minimum(bond)
	}

	/// Stores what became less; forgets a closed bond of which nothing is left.
	fn put(bond: BondId, record: BondOf<T>) {
		if record.closed && record.total().is_zero() {
			Bonds::<T>::remove(bond);
			T::Users::on_gone(bond);
			return;
		}
		let exhausted = Self::leaves_nothing_at_stake(bond, &record);
		Bonds::<T>::insert(bond, record);
		if exhausted {
			T::Users::on_exhausted(bond);
		}
	}
}

impl<T: Config> Bonding for Pallet<T> {
	type Error = DispatchError;

	fn open(bond: BondId, account: &AccountBytes) -> Result<(), DispatchError> {
		let account = T::AccountId::from(*account);
		let mut record = match Bonds::<T>::get(bond) {
			None => BondRecord::new(account.clone()),
			Some(record) => {
				ensure!(record.closed, Error::<T>::AlreadyBonded);
				ensure!(record.account == account, Error::<T>::StillUnbonding);
				record
			}
		};
		let amount = Self::stake(bond);
		T::Currency::hold(&HoldReason::Bond.into(), &account, amount)?;
		record.active = record.active.saturating_add(amount);
		record.closed = false;
		Bonds::<T>::insert(bond, record);
		Self::deposit_event(Event::BondOpened { bond, account, amount });
		Ok(())
	}

	fn close(bond: BondId) {
		let Some(mut record) = Bonds::<T>::get(bond).filter(|record| !record.closed) else {
			return;
		};
		record.closed = true;
		let (amount, until) = (record.active, Self::leaves_at());
		if !amount.is_zero() && !record.unbond(amount, until) {
			record.unbond_with_newest(amount, until);
		}
		Self::put(bond, record);
		if !amount.is_zero() {
			Self::deposit_event(Event::UnbondingBegan { bond, amount, until });
		}
		Self::deposit_event(Event::BondClosed { bond });
	}

	fn transfer(bond: BondId, to: &AccountBytes) -> Result<(), DispatchError> {
		let mut record = Bonds::<T>::get(bond).ok_or(Error::<T>::UnknownBond)?;
		let to = T::AccountId::from(*to);
		let from = core::mem::replace(&mut record.account, to.clone());
		let total = record.total();
		if from != to && !total.is_zero() {
			T::Currency::transfer_on_hold(
				&HoldReason::Bond.into(),
				&from,
				&to,
				total,
				Precision::Exact,
				Restriction::OnHold,
				Fortitude::Polite,
			)?;
		}
		Bonds::<T>::insert(bond, record);
		Self::deposit_event(Event::BondTransferred { bond, from, to });
		Ok(())
	}

	fn is_sufficient(bond: BondId) -> bool {
		Bonds::<T>::get(bond)
			.is_some_and(|record| !record.closed && record.active >= Self::minimum(bond))
	}

	fn is_exhausted(bond: BondId) -> bool {
		Bonds::<T>::get(bond).is_some_and(|record| Self::leaves_nothing_at_stake(bond, &record))
	}

	fn at_stake(bond: BondId) -> Balance {
		Bonds::<T>::get(bond).map_or(0, |record| record.total())
	}

	fn slash(bond: BondId, amount: Balance) -> Balance {
		let Some(mut record) = Bonds::<T>::get(bond) else { return 0 };
		let wanted = record.slash(amount);
		if wanted.is_zero() {
			return 0;
		}
		let account = record.account.clone();
		let (credit, _) = T::Currency::slash(&HoldReason::Bond.into(), &account, wanted);
		let amount = credit.peek();
		T::Slashed::on_unbalanced(credit);
		Self::deposit_event(Event::BondSlashed { bond, account, amount });
		Self::put(bond, record);
		amount
	}
}
