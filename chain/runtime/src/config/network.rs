//! The network's own pallets.

use super::{
	money::{TreasuryAccount, TreasuryAccountId},
	system::{RuntimeBlockLength, RuntimeBlockWeights, MAXIMUM_BLOCK_WEIGHT},
};
use crate::{
	currency::{CENTS, PHA},
	origins::{Delister, PolicyAdmin, RootOr},
	parameters::{EvidenceLifetime, UnbondingBlocks},
	time, AccountId, Agents, Balance, Balances, Bonding, Clusters, Gatekeepers, Mailbox, Registry,
	Requests, Runtime, RuntimeHoldReason,
};
use codec::Encode;
use core::iter;
use frame_support::{
	dispatch::{DispatchClass, DispatchResult},
	parameter_types,
	traits::{
		fungible::Mutate,
		tokens::{imbalance::ResolveTo, Preservation},
		ConstU128, ConstU32, EitherOf,
	},
	weights::Weight,
	PalletId,
};
use frame_system::ExtensionsWeightInfo as _;
use pallet_agents::WeightInfo as _;
use pallet_clusters::WeightInfo as _;
use pallet_gatekeepers::WeightInfo as _;
use pallet_mailbox::PayloadWeights;
use pallet_registry::WeightInfo as _;
use pallet_requests::WeightInfo as _;
use pallet_transaction_payment::WeightInfo as _;
use phala_protocol::{
	agents::{AgentId, EffectSet},
	limits,
	messages::{AgentsPayload, ClustersPayload, EnvelopeOrigin, KeysPayload, Payload},
	requests::{RequestOutcome, RequestResult},
	traits::{AgentDirectory, ReceivePayload},
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
		match payload {
			Payload::Registry(_) => RegistryWeights::heartbeat(),
			Payload::Keys(KeysPayload::MasterKeyConfirmed { .. }) => GatekeeperWeights::confirm(),
			Payload::Keys(KeysPayload::KeyReleased { .. }) => GatekeeperWeights::release(),
			Payload::Clusters(ClustersPayload::KeyRequest { .. }) => ClusterWeights::request_key(),
			Payload::Clusters(ClustersPayload::KeysWrapped { .. }) => ClusterWeights::wrap_keys(),
			Payload::Clusters(_) => ClusterWeights::challenge(),
			// Its cluster is taken to be as full as it can be, and all that sign to count.
			Payload::Agents(AgentsPayload::EffectSet(set)) => {
				of_set(set, limits::CLUSTER_MEMBERS_MAX)
			}
		}
	}

	fn actual_weight_of(payload: &Payload, effect: &DispatchResult) -> Weight {
		let Payload::Agents(AgentsPayload::EffectSet(set)) = payload else {
			return Self::weight_of(payload);
		};
		match effect {
			Err(error) if Agents::is_refused_at_once(error) => {
				AgentWeights::refuse_commit().saturating_add(look_at_effect())
			}
			// For what members said, or for want of room for the news: no result was looked at.
			Err(error) if !Requests::is_refused_for_a_result(error) => {
				of_commit(set, members_of(set.agent))
			}
			Err(_) => of_commit(set, members_of(set.agent))
				.saturating_add(RequestWeights::look(set.results.len() as u32)),
			Ok(()) => of_set(set, members_of(set.agent)),
		}
	}

	fn news_of(payload: &Payload) -> Option<(u32, bool)> {
		// What is told repeats what was said, and adds who said it and when.
		let repeated = || (payload.encoded_size() as u32).saturating_add(NEWS_BYTES_BESIDE);
		match payload {
			// Signs of life are let in whatever else there is; their echoes are short, and vital.
			Payload::Registry(_)
			| Payload::Keys(KeysPayload::MasterKeyConfirmed { .. })
			| Payload::Clusters(
				ClustersPayload::HolderStillSilent { .. }
				| ClustersPayload::HolderPresent
				| ClustersPayload::BlockFinal { .. },
			) => None,
			Payload::Keys(KeysPayload::KeyReleased { .. })
			| Payload::Clusters(
				ClustersPayload::KeyRequest { .. }
				| ClustersPayload::KeysWrapped { .. }
				| ClustersPayload::HolderSilent { .. },
			) => Some((repeated(), true)),
			// Bodies are not told, nor answers.
			Payload::Agents(_) => Some((Self::commit_news(), false)),
		}
	}

	fn is_paid_work(payload: &Payload) -> bool {
		let Payload::Agents(AgentsPayload::EffectSet(set)) = payload else { return false };
		!set.results.is_empty()
	}

	fn commit_news() -> u32 {
		COMMITTED_BYTES
	}

	fn heaviest_commit() -> Weight {
		// All answers share one envelope.
		let others = limits::RESULTS_PER_EFFECT_SET_MAX as usize - 1;
		let answers = iter::once(limits::RESPONSE_BYTES_MAX).chain(iter::repeat_n(0, others));
		commit(limits::CLUSTER_MEMBERS_MAX, 0).saturating_add(settlements(answers))
	}
}

/// What the message about a payload has beyond the payload, at most, in bytes.
pub const NEWS_BYTES_BESIDE: u32 = 64;

/// The message about a commit, in bytes: two indices, the agent, version, two hashes, the worker.
pub const COMMITTED_BYTES: u32 = 2 + 32 + 8 + 32 + 4;

type AgentWeights = <Runtime as pallet_agents::Config>::WeightInfo;
type ClusterWeights = <Runtime as pallet_clusters::Config>::WeightInfo;
type ExtensionWeights = <Runtime as frame_system::Config>::ExtensionsWeightInfo;
type GatekeeperWeights = <Runtime as pallet_gatekeepers::Config>::WeightInfo;
type PaymentWeights = <Runtime as pallet_transaction_payment::Config>::WeightInfo;
type RegistryWeights = <Runtime as pallet_registry::Config>::WeightInfo;
type RequestWeights = <Runtime as pallet_requests::Config>::WeightInfo;

/// An effect set in a cluster of so many members, accepted.
fn of_set(set: &EffectSet, members: u32) -> Weight {
	let answer_bytes = |result: &RequestResult| match &result.outcome {
		RequestOutcome::Answered(bytes) => bytes.len() as u32,
		RequestOutcome::Failed(_) => 0,
	};
	// More are refused before any is looked at.
	let results = set.results.iter().take(limits::RESULTS_PER_EFFECT_SET_MAX as usize);
	of_commit(set, members).saturating_add(settlements(results.map(answer_bytes)))
}

/// Its commit, without its results. Each member that is named may have signed; the others are looked at, but for
/// one: the holder, whom any commit looks at.
fn of_commit(set: &EffectSet, members: u32) -> Weight {
	let signed = (set.availability.len() as u32).min(members);
	commit(signed, members.saturating_sub(signed).saturating_sub(1))
}

fn commit(signed: u32, others: u32) -> Weight {
	AgentWeights::commit(signed, others).saturating_add(look_at_effect())
}

/// What answers of these lengths take, in bytes.
fn settlements(answers: impl Iterator<Item = u32>) -> Weight {
	let (sum, answers) = answers.fold((Weight::zero(), 0u32), |(sum, answers), bytes| {
		(sum.saturating_add(RequestWeights::settle(bytes)), answers.saturating_add(1))
	});
	sum.saturating_add(RequestWeights::look(answers))
}

/// What it takes to say how much was not used: the agent and its cluster.
fn look_at_effect() -> Weight {
	<Runtime as frame_system::Config>::DbWeight::get().reads(2)
}

/// The members of an agent's cluster, as many as a cluster can have if that is not known.
fn members_of(agent: AgentId) -> u32 {
	Agents::record(agent)
		.and_then(|record| pallet_clusters::Clusters::<Runtime>::get(record.cluster))
		.map_or(limits::CLUSTER_MEMBERS_MAX, |cluster| cluster.members)
}

parameter_types! {
	/// Half of a block. They are normal transactions, so full lanes leave a quarter to those who pay.
	pub EnvelopeWeight: Weight = MAXIMUM_BLOCK_WEIGHT / 2;
	/// Half of the length that normal transactions may have.
	pub EnvelopeBytes: u32 =
		RuntimeBlockLength::get().max.get(DispatchClass::Normal) / 2;
	/// Of [`crate::TransactionExtensions`], those that act on whatever comes.
	pub ExtensionWeight: Weight = ExtensionWeights::check_non_zero_sender()
		.saturating_add(ExtensionWeights::check_spec_version())
		.saturating_add(ExtensionWeights::check_tx_version())
		.saturating_add(ExtensionWeights::check_genesis())
		// Who brings an envelope chooses.
		.saturating_add(
			ExtensionWeights::check_mortality_mortal_transaction()
				.max(ExtensionWeights::check_mortality_immortal_transaction()),
		)
		.saturating_add(ExtensionWeights::check_weight())
		.saturating_add(ExtensionWeights::weight_reclaim());
	/// Those that find out that nobody signed, and nobody pays.
	pub ExtensionWeightReturned: Weight = ExtensionWeights::check_nonce()
		.saturating_add(PaymentWeights::charge_transaction_payment());
}

impl pallet_mailbox::Config for Runtime {
	type Boots = Registry;
	type Receiver = PayloadRouter;
	type PayloadWeights = PayloadRouter;
	type EnvelopeWeight = EnvelopeWeight;
	type EnvelopeBytes = EnvelopeBytes;
	type ExtensionWeight = ExtensionWeight;
	type ExtensionWeightReturned = ExtensionWeightReturned;
	type Retention = ConstU32<{ 7 * time::DAYS }>;
	type WeightInfo = crate::weights::pallet_mailbox::WeightInfo<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
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
	type WeightInfo = crate::weights::pallet_bonding::WeightInfo<Runtime>;
}

/// What a probe costs is the treasury's.
pub struct TollToTreasury;

impl TollToTreasury {
	/// The least.
	pub const PROBE: Balance = CENTS;
}

impl pallet_registry::ProbeToll<AccountId> for TollToTreasury {
	fn pay(who: &AccountId, doublings: u32) -> DispatchResult {
		let fee = Self::PROBE.saturating_mul(2u128.saturating_pow(doublings));
		let to = TreasuryAccountId::get();
		Balances::transfer(who, &to, fee, Preservation::Preserve).map(|_| ())
	}
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
	type ProbeToll = TollToTreasury;
	type News = NewsOfOne;
	type WeightInfo = crate::weights::pallet_registry::WeightInfo<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

impl pallet_gatekeepers::Config for Runtime {
	type Mailbox = Mailbox;
	type Boots = Registry;
	type Bonding = Bonding;
	type AdminOrigin = RootOr<PolicyAdmin>;
	type WeightInfo = crate::weights::pallet_gatekeepers::WeightInfo<Runtime>;
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
	type News = NewsOfOne;
	type WeightInfo = crate::weights::pallet_clusters::WeightInfo<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

/// What is held for a byte that an account has the chain keep: what governance's preimages and bounties
/// cost, too. Docs/decisions/021 has the table of what is paid how.
pub const STORED_BYTE: Balance = CENTS;

parameter_types! {
	/// What users may have of a block's weight, for each byte that they may push in one.
	pub NewsByte: Weight = {
		let weights = RuntimeBlockWeights::get();
		let users = weights.get(DispatchClass::Normal).max_total.unwrap_or(weights.max_block);
		let bytes = limits::PUSHED_BYTES_PER_BLOCK_MAX - limits::VITAL_BYTES_PER_BLOCK;
		Weight::from_parts(users.ref_time() / u64::from(bytes), 0)
	};
	/// The same for each message, whatever its length: vital ones take a place that nobody else has then.
	pub NewsOfOne: Weight =
		NewsByte::get().saturating_mul(u64::from(pallet_agents::NEWS_BYTES_MIN));
}

impl pallet_agents::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Mailbox = Mailbox;
	type Clusters = Clusters;
	type AgentDeposit = ConstU128<{ 10 * PHA }>;
	type ByteDeposit = ConstU128<STORED_BYTE>;
	type EvictionNotice = ConstU32<{ 7 * time::DAYS }>;
	type NewsByte = NewsByte;
	type WeightInfo = crate::weights::pallet_agents::WeightInfo<Runtime>;
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
	type NewsByte = NewsByte;
	type Clusters = Clusters;
	type Workers = Registry;
	type Treasury = TreasuryAccountId;
	type BaseFee = ConstU128<CENTS>;
	type WorkerShare = WorkerShare;
	type DeveloperShare = DeveloperShare;
	type MissedDeadlinePenalty = ConstU128<PHA>;
	type ResponseRetention = ConstU32<{ time::HOURS }>;
	type WeightInfo = crate::weights::pallet_requests::WeightInfo<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmarks::BootedWorkers;
}

impl crate::upkeep::Config for Runtime {}
