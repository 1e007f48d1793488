//! PHA: balances, where fees go, treasury and bounties, vesting.

use crate::{
	currency::{CENTS, MILLIS, PHA},
	origins::{RootOr, Spender, Treasurer},
	time::DAYS,
	AccountId, Authorship, Balance, Balances, Bounties, ChildBounties, Runtime, RuntimeEvent,
	System, Treasury,
};
use frame_support::{
	parameter_types,
	traits::{
		fungible::{Balanced, Credit},
		tokens::{imbalance::ResolveTo, PayFromAccount, UnityAssetBalanceConversion},
		ConstU128, ConstU32, Imbalance, OnUnbalanced, TypedGet, VariantCountOf, WithdrawReasons,
	},
	PalletId,
};
use sp_runtime::{
	traits::{AccountIdConversion, ConvertInto, IdentityLookup},
	Permill,
};

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
	type AccountStore = System;
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
	type RejectOrigin = RootOr<Treasurer>;
	type RuntimeEvent = RuntimeEvent;
	type SpendPeriod = ConstU32<DAYS>;
	type Burn = ();
	type BurnDestination = ();
	type SpendFunds = Bounties;
	type WeightInfo = pallet_treasury::weights::SubstrateWeight<Runtime>;
	type MaxApprovals = ConstU32<100>;
	type SpendOrigin = Spender;
	type AssetKind = ();
	type Beneficiary = AccountId;
	type BeneficiaryLookup = IdentityLookup<AccountId>;
	type Paymaster = PayFromAccount<Balances, TreasuryAccount>;
	type BalanceConverter = UnityAssetBalanceConversion;
	type PayoutPeriod = ConstU32<{ 30 * DAYS }>;
	type BlockNumberProvider = System;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = ();
}

parameter_types! {
	/// Of a curator's fee.
	pub const CuratorDepositShare: Permill = Permill::from_percent(50);
	pub const CuratorDepositMin: Option<Balance> = Some(10 * PHA);
	pub const CuratorDepositMax: Option<Balance> = Some(10_000 * PHA);
	/// Unvested PHA pays fees and is staked; it does not leave.
	pub UnvestedMayPay: WithdrawReasons =
		WithdrawReasons::except(WithdrawReasons::TRANSFER | WithdrawReasons::RESERVE);
}

impl pallet_bounties::Config for Runtime {
	type BountyDepositBase = ConstU128<PHA>;
	type BountyDepositPayoutDelay = ConstU32<{ 7 * DAYS }>;
	type BountyUpdatePeriod = ConstU32<{ 90 * DAYS }>;
	type CuratorDepositMultiplier = CuratorDepositShare;
	type CuratorDepositMax = CuratorDepositMax;
	type CuratorDepositMin = CuratorDepositMin;
	type BountyValueMinimum = ConstU128<{ 100 * PHA }>;
	type DataDepositPerByte = ConstU128<CENTS>;
	type RuntimeEvent = RuntimeEvent;
	type MaximumReasonLength = ConstU32<16384>;
	type WeightInfo = pallet_bounties::weights::SubstrateWeight<Runtime>;
	type ChildBountyManager = ChildBounties;
	type OnSlash = Treasury;
	type TransferAllAssets = pallet_bounties::TransferFungible<AccountId, Balances>;
}

impl pallet_child_bounties::Config for Runtime {
	type MaxActiveChildBountyCount = ConstU32<16>;
	type ChildBountyValueMinimum = ConstU128<{ 10 * PHA }>;
	type RuntimeEvent = RuntimeEvent;
	type WeightInfo = pallet_child_bounties::weights::SubstrateWeight<Runtime>;
}

impl pallet_vesting::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type Currency = Balances;
	type BlockNumberToBalance = ConvertInto;
	type MinVestedTransfer = ConstU128<{ 10 * PHA }>;
	type WeightInfo = pallet_vesting::weights::SubstrateWeight<Runtime>;
	type UnvestedFundsAllowedWithdrawReasons = UnvestedMayPay;
	type BlockNumberProvider = System;
	const MAX_VESTING_SCHEDULES: u32 = 28;
}
