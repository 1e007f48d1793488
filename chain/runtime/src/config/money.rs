//! PHA: balances, where fees go, treasury.

use crate::{
	currency::MILLIS, time::DAYS, AccountId, Authorship, Balance, Balances, Runtime, RuntimeEvent,
};
use frame_support::{
	parameter_types,
	traits::{
		fungible::{Balanced, Credit},
		tokens::{imbalance::ResolveTo, PayFromAccount, UnityAssetBalanceConversion},
		ConstU128, ConstU32, Imbalance, OnUnbalanced, TypedGet, VariantCountOf,
	},
	PalletId,
};
use frame_system::{EnsureRoot, EnsureWithSuccess};
use sp_runtime::traits::{AccountIdConversion, IdentityLookup};

/// Accounts below this are removed: a millionth of what a worker stakes, enough against dust.
pub const EXISTENTIAL_DEPOSIT: Balance = MILLIS;

impl pallet_balances::Config for Runtime {
	type MaxLocks = ConstU32<50>;
	type MaxReserves = ConstU32<50>;
	type ReserveIdentifier = [u8; 8];
	type Balance = Balance;
	type RuntimeEvent = RuntimeEvent;
	type DustRemoval = ResolveTo<TreasuryAccount, Balances>;
	type ExistentialDeposit = ConstU128<EXISTENTIAL_DEPOSIT>;
	type AccountStore = crate::System;
	type WeightInfo = pallet_balances::weights::SubstrateWeight<Runtime>;
	type FreezeIdentifier = crate::RuntimeFreezeReason;
	type MaxFreezes = VariantCountOf<crate::RuntimeFreezeReason>;
	type RuntimeHoldReason = crate::RuntimeHoldReason;
	type RuntimeFreezeReason = crate::RuntimeFreezeReason;
	type DoneSlashHandler = ();
}

/// Four fifths of fees go to the treasury, one fifth and all tips to the block's author.
pub struct FeesToTreasuryAndAuthor;

impl OnUnbalanced<Credit<AccountId, Balances>> for FeesToTreasuryAndAuthor {
	fn on_unbalanceds(mut fees_then_tips: impl Iterator<Item = Credit<AccountId, Balances>>) {
		let Some(fees) = fees_then_tips.next() else { return };
		let (to_treasury, mut to_author) = fees.ration(80, 20);
		if let Some(tips) = fees_then_tips.next() {
			tips.merge_into(&mut to_author);
		}
		resolve(&TreasuryAccount::get(), to_treasury);
		match Authorship::author() {
			Some(author) => resolve(&author, to_author),
			None => resolve(&TreasuryAccount::get(), to_author),
		}
	}
}

/// Pays `credit` out; what cannot be paid (an account below the existential deposit) is burnt.
fn resolve(who: &AccountId, credit: Credit<AccountId, Balances>) {
	drop(Balances::resolve(who, credit));
}

parameter_types! {
	pub const TreasuryPalletId: PalletId = PalletId(*b"py/trsry");
	pub TreasuryAccountId: AccountId = TreasuryPalletId::get().into_account_truncating();
	pub const MaxSpend: Balance = Balance::MAX;
}

/// The treasury's account.
pub struct TreasuryAccount;

impl TypedGet for TreasuryAccount {
	type Type = AccountId;

	fn get() -> AccountId {
		TreasuryAccountId::get()
	}
}

impl pallet_treasury::Config for Runtime {
	type PalletId = TreasuryPalletId;
	type Currency = Balances;
	type RejectOrigin = EnsureRoot<AccountId>;
	type RuntimeEvent = RuntimeEvent;
	type SpendPeriod = ConstU32<DAYS>;
	type Burn = ();
	type BurnDestination = ();
	type SpendFunds = ();
	type WeightInfo = pallet_treasury::weights::SubstrateWeight<Runtime>;
	type MaxApprovals = ConstU32<100>;
	type SpendOrigin = EnsureWithSuccess<EnsureRoot<AccountId>, AccountId, MaxSpend>;
	type AssetKind = ();
	type Beneficiary = AccountId;
	type BeneficiaryLookup = IdentityLookup<AccountId>;
	type Paymaster = PayFromAccount<Balances, TreasuryAccount>;
	type BalanceConverter = UnityAssetBalanceConversion;
	type PayoutPeriod = ConstU32<{ 30 * DAYS }>;
	type BlockNumberProvider = crate::System;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = ();
}
