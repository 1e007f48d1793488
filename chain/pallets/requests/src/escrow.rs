//! The account that holds what callers put up, and what leaves it.

use crate::*;

impl<T: Config> Pallet<T> {
	/// The account that the escrows of all open requests are in.
	pub fn escrow() -> T::AccountId {
		T::PalletId::get().into_account_truncating()
	}

	/// Moves `amount` of the escrows to `to`; returns what arrived: all or nothing, which is when `to`
	/// would stay below the existential deposit.
	pub(crate) fn pay(to: &T::AccountId, amount: Balance) -> Balance {
		if amount.is_zero() {
			return 0;
		}
		let paid = with_storage_layer(|| {
			T::Currency::transfer(&Self::escrow(), to, amount, Preservation::Preserve)
		});
		paid.unwrap_or(0)
	}

	/// Gives `amount` of the escrows back; returns what the caller got and what the treasury got
	/// instead, because the caller's account would stay below the existential deposit.
	pub(crate) fn refund(caller: &T::AccountId, amount: Balance) -> (Balance, Balance) {
		if amount.is_zero() {
			return (0, 0);
		}
		match Self::pay(caller, amount) {
			0 => (0, Self::pay_treasury(amount)),
			refunded => (refunded, 0),
		}
	}

	/// Pays the treasury what nobody else can take. What its own account cannot take, since that is dead
	/// too, is owed to it until it can.
	fn pay_treasury(amount: Balance) -> Balance {
		let owed = OwedToTreasury::<T>::take().saturating_add(amount);
		if Self::pay(&T::Treasury::get(), owed).is_zero() {
			OwedToTreasury::<T>::put(owed);
			return 0;
		}
		amount
	}
}
