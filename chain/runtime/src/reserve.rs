//! # Staking's reserve: what validators and nominators are paid with
//!
//! The supply is fixed, and `pallet-staking` mints what it pays. So a part of the issuance is set
//! aside at genesis in an account of its own, and whatever is minted for a staker is taken from there
//! in the same step: the total issuance never rises.
//!
//! | term | meaning |
//! |---|---|
//! | reserve | the account [`Pallet::account`]; whoever sends to it adds to what will be paid |
//! | budget | [`PerYear`], what a year pays; an era pays its share by time |
//! | owed | [`Owed`], the part of the reserve that eras which are over promised and nobody claimed yet |
//!
//! At the end of an era the staking pallet asks what to pay ([`EraPayout`]): the budget's share, or
//! what the reserve has beyond what it owes, if that is less; [`Event::Exhausted`] says so. Stakers
//! claim their shares with `staking.payoutStakers`, for 84 eras; each claim takes from the reserve
//! what it mints ([`OnUnbalanced`]). Promises are kept in full: an era is told [`ROUNDING`] less than is
//! set aside for it, more than all the roundings of its claims can make together. What nobody claimed
//! in time is no longer owed once the newer promises are less than what is recorded.
//!
//! [`Pallet::set_budget`] is for the staking admin, up to [`BUDGET_PER_YEAR_MAX`].

pub use pallet::*;

use crate::{
	config::staking::{ELECTING_VOTERS_MAX, NOMINATIONS_MAX, VALIDATORS_MAX},
	currency::PHA,
	AccountId, Balance,
};
use frame_support::{
	defensive,
	pallet_prelude::*,
	traits::{
		fungible::{Balanced, Debt, Inspect},
		tokens::Preservation,
		Imbalance, OnUnbalanced,
	},
	PalletId,
};
use frame_system::pallet_prelude::*;
use pallet_staking::ErasValidatorReward;
use sp_runtime::traits::AccountIdConversion;
use sp_staking::EraPayout;

/// The reserve's id.
pub const PALLET_ID: PalletId = PalletId(*b"ph/stkrs");

/// Largest budget, a twentieth of the issuance: a vote for more would be one to empty the reserve.
pub const BUDGET_PER_YEAR_MAX: Balance = 50_000_000 * PHA;

/// Of 365.25 days.
pub const YEAR_MILLISECONDS: Balance = 31_557_600_000;

/// Set aside for each era beyond what it is told: a millionth of a PHA.
pub const ROUNDING: Balance = PHA / 1_000_000;

// Each claim of a validator's page rounds three figures and each nominator in it one, each by less
// than one unit.
const _: () = assert!(
	3 * (ELECTING_VOTERS_MAX as Balance * NOMINATIONS_MAX as Balance + VALIDATORS_MAX as Balance)
		< ROUNDING
);

type CurrencyOf<T> = <T as pallet_staking::Config>::Currency;

#[frame_support::pallet]
pub mod pallet {
	use super::*;

	#[pallet::pallet]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config:
		frame_system::Config<AccountId = AccountId>
		+ pallet_staking::Config<CurrencyBalance = Balance>
	{
		/// Who sets the budget.
		type BudgetOrigin: EnsureOrigin<Self::RuntimeOrigin>;
	}

	/// What a year of eras pays, while the reserve lasts.
	#[pallet::storage]
	pub type PerYear<T> = StorageValue<_, Balance, ValueQuery>;

	/// What eras promised and nobody claimed yet; never more than the reserve holds.
	#[pallet::storage]
	pub type Owed<T> = StorageValue<_, Balance, ValueQuery>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// From the end of the current era on, a year pays this much.
		BudgetSet { per_year: Balance },
		/// An era pays less than its budget: the reserve holds no more that is not owed.
		Exhausted { budget: Balance, paid: Balance },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// The budget of a year is above [`BUDGET_PER_YEAR_MAX`].
		BudgetTooLarge,
	}

	#[pallet::genesis_config]
	#[derive(frame_support::DefaultNoBound)]
	pub struct GenesisConfig<T> {
		/// See [`PerYear`].
		pub per_year: Balance,
		#[serde(skip)]
		pub _config: core::marker::PhantomData<T>,
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			assert!(
				self.per_year <= BUDGET_PER_YEAR_MAX,
				"a year pays stakers at most {BUDGET_PER_YEAR_MAX}: {}",
				self.per_year
			);
			PerYear::<T>::put(self.per_year);
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Says what a year pays validators and nominators together.
		#[pallet::call_index(0)]
		#[pallet::weight(
			Weight::from_parts(10_000_000, 0).saturating_add(T::DbWeight::get().writes(1))
		)]
		pub fn set_budget(
			origin: OriginFor<T>,
			#[pallet::compact] per_year: Balance,
		) -> DispatchResult {
			T::BudgetOrigin::ensure_origin(origin)?;
			ensure!(per_year <= BUDGET_PER_YEAR_MAX, Error::<T>::BudgetTooLarge);
			PerYear::<T>::put(per_year);
			Self::deposit_event(Event::BudgetSet { per_year });
			Ok(())
		}
	}

	impl<T: Config> Pallet<T> {
		/// Where the reserve is kept.
		pub fn account() -> AccountId {
			PALLET_ID.into_account_truncating()
		}

		/// What the reserve holds that is not owed: without the existential deposit, which keeps the
		/// account alive.
		pub fn unowed() -> Balance {
			CurrencyOf::<T>::balance(&Self::account())
				.saturating_sub(CurrencyOf::<T>::minimum_balance())
				.saturating_sub(Owed::<T>::get())
		}
	}
}

impl<T: Config> EraPayout<Balance> for Pallet<T> {
	fn era_payout(
		_staked: Balance,
		_issuance: Balance,
		era_milliseconds: u64,
	) -> (Balance, Balance) {
		// No more than a year's at once, should eras ever stand still for longer.
		let time = Balance::from(era_milliseconds).min(YEAR_MILLISECONDS);
		let budget = PerYear::<T>::get().saturating_mul(time) / YEAR_MILLISECONDS;
		let paid = budget.min(Self::unowed().saturating_sub(ROUNDING));
		if paid < budget {
			Self::deposit_event(Event::Exhausted { budget, paid });
		}
		let promise = |told: Balance| if told == 0 { 0 } else { told.saturating_add(ROUNDING) };
		// All eras that can be claimed still, at most `HistoryDepth` and one.
		let claimable = ErasValidatorReward::<T>::iter_values()
			.fold(promise(paid), |sum, told| sum.saturating_add(promise(told)));
		Owed::<T>::mutate(|owed| *owed = owed.saturating_add(promise(paid)).min(claimable));
		(paid, 0)
	}
}

/// What was minted for stakers is taken from the reserve: the two cancel out.
impl<T: Config> OnUnbalanced<Debt<AccountId, CurrencyOf<T>>> for Pallet<T> {
	fn on_nonzero_unbalanced(minted: Debt<AccountId, CurrencyOf<T>>) {
		let amount = minted.peek();
		match CurrencyOf::<T>::settle(&Self::account(), minted, Preservation::Preserve) {
			Ok(_nothing) => Owed::<T>::mutate(|owed| *owed = owed.saturating_sub(amount)),
			// Cannot be: it is owed. Should it be, the claim stands and the issuance rises by it.
			Err(_) => {
				defensive!("a staker was paid what the reserve does not hold");
			}
		}
	}
}
