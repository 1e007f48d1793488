//! The network's own pallets.

use super::money::{TreasuryAccount, TreasuryAccountId};
use crate::{
	currency::{CENTS, PHA},
	origins::{Delister, PolicyAdmin, RootOr},
	parameters::EvidenceLifetime,
	time, Agents, Balances, Clusters, Gatekeepers, Mailbox, Registry, Requests, Runtime,
	RuntimeHoldReason,
};
use frame_support::{
	parameter_types,
	traits::{tokens::imbalance::ResolveTo, ConstU128, ConstU32, EitherOf},
};
use phala_protocol::{
	messages::{EnvelopeOrigin, Payload},
	traits::ReceivePayload,
};
use sp_runtime::{DispatchError, Permill};

/// Brings what enclaves say to the pallet that it concerns.
pub struct PayloadRouter;

impl ReceivePayload for PayloadRouter {
	type Payload = Payload;
	type Error = DispatchError;

	fn receive(origin: EnvelopeOrigin, payload: Payload) -> Result<(), DispatchError> {
		match payload {
			Payload::Registry(payload) => Registry::receive(origin, payload),
			Payload::Keys(payload) => Gatekeepers::receive(origin, payload),
			Payload::Clusters(payload) => Clusters::receive(origin, payload),
			// Results are settled in the step that commits them.
			Payload::Agents(payload) => Requests::receive(origin, payload),
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
	type WorkerHooks = (Gatekeepers, Clusters);
	type AdminOrigin = RootOr<PolicyAdmin>;
	type DelistOrigin = EitherOf<RootOr<PolicyAdmin>, RootOr<Delister>>;
	type WorkerStake = ConstU128<{ 1_000 * PHA }>;
	type EvidenceLifetime = EvidenceLifetime;
	type HeartbeatGap = ConstU32<10>;
	type WeightInfo = pallet_registry::ConservativeWeights<Runtime>;
}

impl pallet_gatekeepers::Config for Runtime {
	type Mailbox = Mailbox;
	type Boots = Registry;
	type AdminOrigin = RootOr<PolicyAdmin>;
	type WeightInfo = pallet_gatekeepers::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

impl pallet_clusters::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Mailbox = Mailbox;
	type Workers = Registry;
	type Keys = Gatekeepers;
	type Agents = Agents;
	type ClusterDeposit = ConstU128<{ 100 * PHA }>;
	type WeightInfo = pallet_clusters::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

impl pallet_agents::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Mailbox = Mailbox;
	type Clusters = Clusters;
	type AgentDeposit = ConstU128<{ 10 * PHA }>;
	type WeightInfo = pallet_agents::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

parameter_types! {
	/// Of each fee; the treasury gets what is left.
	pub const WorkerShare: Permill = pallet_requests::WORKER_SHARE;
	/// Of each fee.
	pub const DeveloperShare: Permill = pallet_requests::DEVELOPER_SHARE;
}

impl pallet_requests::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Mailbox = Mailbox;
	type Agents = Agents;
	type Clusters = Clusters;
	type Workers = Registry;
	type Treasury = TreasuryAccountId;
	type BaseFee = ConstU128<CENTS>;
	type WorkerShare = WorkerShare;
	type DeveloperShare = DeveloperShare;
	type MissedDeadlinePenalty = ConstU128<PHA>;
	type ResponseRetention = ConstU32<{ time::HOURS }>;
	type DuePerBlockMax = ConstU32<64>;
	type WeightInfo = pallet_requests::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}
