//! The network's own pallets.

use super::{
	money::{TreasuryAccount, TreasuryAccountId},
	system::{RuntimeBlockLength, RuntimeBlockWeights, MAXIMUM_BLOCK_WEIGHT},
};
use crate::{
	currency::{CENTS, PHA},
	origins::{Delister, PolicyAdmin, RootOr},
	parameters::{EvidenceLifetime, UnbondingBlocks},
	time, Agents, Balances, Bonding, Clusters, Gatekeepers, Mailbox, Registry, Requests, Runtime,
	RuntimeHoldReason,
};
use core::iter;
use frame_support::{
	dispatch::DispatchClass,
	parameter_types,
	traits::{tokens::imbalance::ResolveTo, ConstU128, ConstU32, EitherOf},
	weights::Weight,
	PalletId,
};
use pallet_agents::WeightInfo as _;
use pallet_mailbox::PayloadWeights;
use pallet_requests::WeightInfo as _;
use phala_protocol::{
	limits,
	messages::{AgentsPayload, EnvelopeOrigin, Payload},
	requests::{RequestOutcome, RequestResult},
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

impl PayloadWeights for PayloadRouter {
	fn weight_of(payload: &Payload) -> Weight {
		// A request or an answer, each with what it is checked against, and one push.
		let of = |reads, writes| {
			Weight::from_parts(200_000_000, 20_000).saturating_add(
				<Runtime as frame_system::Config>::DbWeight::get().reads_writes(reads, writes),
			)
		};
		match payload {
			Payload::Registry(_) => of(6, 6),
			Payload::Keys(_) => of(12, 10),
			Payload::Clusters(_) => of(12, 8),
			Payload::Agents(AgentsPayload::EffectSet(set)) => {
				let answer_bytes = |result: &RequestResult| match &result.outcome {
					RequestOutcome::Answered(bytes) => bytes.len() as u32,
					RequestOutcome::Failed(_) => 0,
				};
				// More are refused before any is looked at.
				commit(
					(set.availability.len() as u32).min(limits::CLUSTER_MEMBERS_MAX),
					set.results
						.iter()
						.take(limits::RESULTS_PER_EFFECT_SET_MAX as usize)
						.map(answer_bytes),
				)
			}
		}
	}

	fn heaviest_commit() -> Weight {
		// All answers share one envelope.
		let others = limits::RESULTS_PER_EFFECT_SET_MAX as usize - 1;
		let answers = iter::once(limits::RESPONSE_BYTES_MAX).chain(iter::repeat_n(0, others));
		commit(limits::CLUSTER_MEMBERS_MAX, answers)
	}
}

/// What a commit takes with so many members' words and answers of these lengths, in bytes.
fn commit(availability: u32, answers: impl Iterator<Item = u32>) -> Weight {
	answers.map(<Runtime as pallet_requests::Config>::WeightInfo::settle).fold(
		<Runtime as pallet_agents::Config>::WeightInfo::commit(availability),
		Weight::saturating_add,
	)
}

parameter_types! {
	/// Half of a block. They are normal transactions, so full lanes leave a quarter to those who pay.
	pub EnvelopeWeight: Weight = MAXIMUM_BLOCK_WEIGHT / 2;
	/// Half of the length that normal transactions may have.
	pub EnvelopeBytes: u32 =
		RuntimeBlockLength::get().max.get(DispatchClass::Normal) / 2;
}

impl pallet_mailbox::Config for Runtime {
	type Boots = Registry;
	type Receiver = PayloadRouter;
	type PayloadWeights = PayloadRouter;
	type EnvelopeWeight = EnvelopeWeight;
	type EnvelopeBytes = EnvelopeBytes;
	type Retention = ConstU32<{ 7 * time::DAYS }>;
	type WeightInfo = pallet_mailbox::ConservativeWeights<Runtime>;
}

/// What roles put up, and what of it must be left: a hundred missed deadlines of a worker lie between
/// the two, so that it has the time to top up.
impl pallet_bonding::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Slashed = ResolveTo<TreasuryAccount, Balances>;
	type Users = (Registry, Gatekeepers);
	type UnbondingBlocks = UnbondingBlocks;
	type WorkerStake = ConstU128<{ 1_000 * PHA }>;
	type WorkerMinimum = ConstU128<{ 900 * PHA }>;
	type GatekeeperStake = ConstU128<{ 10_000 * PHA }>;
	type GatekeeperMinimum = ConstU128<{ 9_000 * PHA }>;
	type WeightInfo = pallet_bonding::ConservativeWeights<Runtime>;
}

impl pallet_registry::Config for Runtime {
	type Bonding = Bonding;
	type Assignments = Requests;
	type Mailbox = Mailbox;
	type WorkerHooks = (Gatekeepers, Clusters);
	type AdminOrigin = RootOr<PolicyAdmin>;
	type DelistOrigin = EitherOf<RootOr<PolicyAdmin>, RootOr<Delister>>;
	type EvidenceLifetime = EvidenceLifetime;
	type HeartbeatGap = ConstU32<10>;
	type WeightInfo = pallet_registry::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

impl pallet_gatekeepers::Config for Runtime {
	type Mailbox = Mailbox;
	type Boots = Registry;
	type Bonding = Bonding;
	type AdminOrigin = RootOr<PolicyAdmin>;
	type WeightInfo = pallet_gatekeepers::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

impl pallet_clusters::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Mailbox = Mailbox;
	type Lanes = Mailbox;
	type Workers = Registry;
	type Keys = Gatekeepers;
	type Agents = Agents;
	type LeaseHooks = Requests;
	type ClusterDeposit = ConstU128<{ 100 * PHA }>;
	type WeightInfo = pallet_clusters::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

parameter_types! {
	/// What users may have of a block's weight, for each byte that they may push in one.
	pub NewsByte: Weight = {
		let weights = RuntimeBlockWeights::get();
		let users = weights.get(DispatchClass::Normal).max_total.unwrap_or(weights.max_block);
		let bytes = limits::PUSHED_BYTES_PER_BLOCK_MAX - limits::VITAL_BYTES_PER_BLOCK;
		Weight::from_parts(users.ref_time() / u64::from(bytes), 0)
	};
}

impl pallet_agents::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Mailbox = Mailbox;
	type Clusters = Clusters;
	type AgentDeposit = ConstU128<{ 10 * PHA }>;
	type EvictionNotice = ConstU32<{ 7 * time::DAYS }>;
	type NewsByte = NewsByte;
	type WeightInfo = pallet_agents::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

parameter_types! {
	/// Whose account has the escrows of open requests.
	pub const EscrowPalletId: PalletId = PalletId(*b"ph/escrw");
	/// Of each fee; the treasury gets what is left.
	pub const WorkerShare: Permill = pallet_requests::WORKER_SHARE;
	/// Of each fee.
	pub const DeveloperShare: Permill = pallet_requests::DEVELOPER_SHARE;
}

impl pallet_requests::Config for Runtime {
	type Currency = Balances;
	type PalletId = EscrowPalletId;
	type Mailbox = Mailbox;
	type Lanes = Mailbox;
	type Agents = Agents;
	type Clusters = Clusters;
	type Workers = Registry;
	type Treasury = TreasuryAccountId;
	type BaseFee = ConstU128<CENTS>;
	type WorkerShare = WorkerShare;
	type DeveloperShare = DeveloperShare;
	type MissedDeadlinePenalty = ConstU128<PHA>;
	type ResponseRetention = ConstU32<{ time::HOURS }>;
	type WeightInfo = pallet_requests::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

impl crate::upkeep::Config for Runtime {}
