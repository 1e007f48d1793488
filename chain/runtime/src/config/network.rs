//! The network's own pallets.

use super::money::TreasuryAccount;
use crate::{
	currency::PHA, parameters::EvidenceLifetime, time, AccountId, Balances, Mailbox, Registry,
	Runtime, RuntimeHoldReason,
};
use frame_support::traits::{tokens::imbalance::ResolveTo, ConstU128, ConstU32};
use frame_system::EnsureRoot;

impl pallet_mailbox::Config for Runtime {
	type Boots = Registry;
	type Receiver = Registry;
	type Retention = ConstU32<{ 7 * time::DAYS }>;
	type WeightInfo = pallet_mailbox::ConservativeWeights<Runtime>;
}

impl pallet_registry::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Penalties = ResolveTo<TreasuryAccount, Balances>;
	type Mailbox = Mailbox;
	type SlotHooks = ();
	type AdminOrigin = EnsureRoot<AccountId>;
	type SlotStake = ConstU128<{ 1_000 * PHA }>;
	type EvidenceLifetime = EvidenceLifetime;
	type HeartbeatGap = ConstU32<10>;
	type WeightInfo = pallet_registry::ConservativeWeights<Runtime>;
}
