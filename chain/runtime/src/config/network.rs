//! The network's own pallets.

use super::money::TreasuryAccount;
use crate::{
	currency::PHA, parameters::EvidenceLifetime, time, AccountId, Balances, Clusters, Gatekeepers,
	Mailbox, Registry, Runtime, RuntimeHoldReason,
};
use frame_support::traits::{tokens::imbalance::ResolveTo, ConstU128, ConstU32};
use frame_system::EnsureRoot;
use phala_primitives::{
	messages::{EnvelopeOrigin, Payload},
	traits::ReceivePayload,
};
use sp_runtime::DispatchError;

/// Brings what enclaves say to the pallet that it concerns.
pub struct PayloadRouter;

impl ReceivePayload for PayloadRouter {
	type Error = DispatchError;

	fn receive(origin: EnvelopeOrigin, payload: Payload) -> Result<(), DispatchError> {
		match payload {
			Payload::Heartbeat { .. } | Payload::ProbeAnswered { .. } => {
				Registry::receive(origin, payload)
			}
			Payload::MasterKeyConfirmed { .. } | Payload::KeyReleased { .. } => {
				Gatekeepers::receive(origin, payload)
			}
			Payload::KeyRequest { .. } | Payload::KeysWrapped { .. } => {
				Clusters::receive(origin, payload)
			}
			Payload::EffectSet(_) => Err(DispatchError::Other("no pallet takes effect sets")),
		}
	}
}

impl pallet_mailbox::Config for Runtime {
	type Boots = Registry;
	type Receiver = PayloadRouter;
	type Retention = ConstU32<{ 7 * time::DAYS }>;
	type WeightInfo = pallet_mailbox::ConservativeWeights<Runtime>;
}

impl pallet_registry::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Penalties = ResolveTo<TreasuryAccount, Balances>;
	type Mailbox = Mailbox;
	type SlotHooks = (Gatekeepers, Clusters);
	type AdminOrigin = EnsureRoot<AccountId>;
	type SlotStake = ConstU128<{ 1_000 * PHA }>;
	type EvidenceLifetime = EvidenceLifetime;
	type HeartbeatGap = ConstU32<10>;
	type WeightInfo = pallet_registry::ConservativeWeights<Runtime>;
}

impl pallet_gatekeepers::Config for Runtime {
	type Mailbox = Mailbox;
	type Boots = Registry;
	type AdminOrigin = EnsureRoot<AccountId>;
	type WeightInfo = pallet_gatekeepers::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedSlots;
}

impl pallet_clusters::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Mailbox = Mailbox;
	type Slots = Registry;
	type Keys = Gatekeepers;
	type Agents = ();
	type ClusterDeposit = ConstU128<{ 100 * PHA }>;
	type WeightInfo = pallet_clusters::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedSlots;
}
