//! Nominated proof of stake: who may stand, who elects, what an election costs and what it pays.
//!
//! An election runs on chain in one block, the one that plans an era, and always ends:
//!
//! | bound | by |
//! |---|---|
//! | who stands | [`MIN_VALIDATOR_BOND`], and at most [`CANDIDATES_MAX`] at once |
//! | who is heard | the [`ELECTING_VOTERS_MAX`] with the most stake, in the order of the voters' list |
//! | who is registered | [`MIN_NOMINATOR_BOND`], and at most [`NOMINATORS_MAX`] at once |
//! | its weight | half a block at these bounds; a test adds it up |
//! | its time | what that leaves beside the database, whatever the seats; `make bench-election` fails otherwise |
//!
//! Both counts are in genesis and governance may raise them. What is over a bound is left out, least
//! stake first ([`Elections`]). An election with fewer winners than the minimum of validators counts
//! for nothing: the old set goes on, and each session tries again.

use super::money::TreasuryAccount;
use crate::{
	currency::{ISSUANCE, PHA},
	origins::{RootOr, StakingAdmin},
	parameters::{BondingDuration, SessionsPerEra, SlashDeferDuration},
	AccountId, Balance, Balances, BlockNumber, Runtime, RuntimeEvent, RuntimeHoldReason, Session,
	Staking, StakingReserve, Timestamp, VoterList,
};
use alloc::{collections::BTreeSet, vec::Vec};
use frame_election_provider_support::{
	bounds::{ElectionBounds, ElectionBoundsBuilder},
	onchain, BoundedSupportsOf, ElectionDataProvider, ElectionProvider, InstantElectionProvider,
	PageIndex, SequentialPhragmen, VoteWeight, VoterOf,
};
use frame_support::{
	parameter_types,
	traits::{tokens::imbalance::ResolveTo, ConstBool, ConstU32},
};
use pallet_staking::Validators;
use sp_runtime::Perbill;
use sp_staking::currency_to_vote::U128CurrencyToVote;

pub use phala_protocol::limits::VALIDATORS_MAX;

/// Least that a validator bonds. A full list of candidates is a hundredth of the issuance.
pub const MIN_VALIDATOR_BOND: Balance = 10_000 * PHA;
/// Least that a nominator bonds.
pub const MIN_NOMINATOR_BOND: Balance = 100 * PHA;
/// Most that stand for election, whom a genesis lets register.
pub const CANDIDATES_MAX: u32 = 1_000;
/// Most nominators that a genesis lets register. Those whom no election hears cost it nothing.
pub const NOMINATORS_MAX: u32 = 100_000;
/// Most voters, validators and nominators together, whom one election hears.
pub const ELECTING_VOTERS_MAX: u32 = 1_500;
/// Most validators that one nominator names.
pub const NOMINATIONS_MAX: u32 = 16;
/// Nominators paid and slashed for one validator in one step.
pub const NOMINATORS_PAID_MAX: u32 = 512;

/// Bags of the voters' list. Inside one, voters stand in the order of their coming; each bag's
/// stakes are within a twelfth of each other, from the least bond up to the issuance.
const BAGS: usize = 200;

/// One unit of vote, in the currency: the issuance does not fit into a vote's 64 bits.
const UNIT_OF_VOTE: Balance = ISSUANCE / VoteWeight::MAX as Balance;

const fn bag_thresholds() -> [VoteWeight; BAGS] {
	// The last bag has no upper bound.
	let mut thresholds = [VoteWeight::MAX; BAGS];
	let mut upper = MIN_NOMINATOR_BOND / UNIT_OF_VOTE;
	let mut bag = 0;
	while bag < BAGS - 1 {
		assert!(upper < VoteWeight::MAX as Balance);
		thresholds[bag] = upper as VoteWeight;
		upper = upper * 13 / 12;
		bag += 1;
	}
	thresholds
}

const BAG_THRESHOLDS: [VoteWeight; BAGS] = bag_thresholds();

parameter_types! {
	pub const BagThresholds: &'static [VoteWeight] = &BAG_THRESHOLDS;
	pub ElectionBoundsOnChain: ElectionBounds = ElectionBoundsBuilder::default()
		.voters_count(ELECTING_VOTERS_MAX.into())
		.targets_count(CANDIDATES_MAX.into())
		.build();
}

/// Voters by stake. Rewards and slashes move them without anybody's doing, a few each block.
impl pallet_bags_list::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type ScoreProvider = Staking;
	type BagThresholds = BagThresholds;
	type MaxAutoRebagPerBlock = ConstU32<10>;
	type Score = VoteWeight;
	type WeightInfo = pallet_bags_list::weights::SubstrateWeight<Runtime>;
}

/// Sequential Phragmén on chain: no off-chain solution has to be trusted or awaited.
pub struct OnChainElection;

impl onchain::Config for OnChainElection {
	type System = Runtime;
	type Solver = SequentialPhragmen<AccountId, Perbill>;
	type DataProvider = Staking;
	type WeightInfo = frame_election_provider_support::weights::SubstrateWeight<Runtime>;
	type MaxBackersPerWinner = ConstU32<ELECTING_VOTERS_MAX>;
	type MaxWinnersPerPage = ConstU32<VALIDATORS_MAX>;
	type Bounds = ElectionBoundsOnChain;
	type Sort = ConstBool<true>;
}

type OnChain = onchain::OnChainExecution<OnChainElection>;

/// [`OnChainElection`], but for what the stock one does with more candidates than fit: it fails, at
/// every session, until governance has lowered their number.
pub struct Elections;

impl Elections {
	/// All candidates, or those with the most stake of their own.
	fn candidates(bounds: ElectionBounds, voters: &[VoterOf<Staking>]) -> Vec<AccountId> {
		// As many as fit, in the order of their hashes.
		let mut candidates = Staking::get_npos_targets(bounds.targets);
		if Validators::<Runtime>::count() > CANDIDATES_MAX {
			// Voters come by stake, and a validator votes for itself.
			let heard = voters.iter().map(|(who, ..)| who);
			let mut by_stake: Vec<AccountId> =
				heard.filter(|who| Validators::<Runtime>::contains_key(who)).cloned().collect();
			let known: BTreeSet<AccountId> = by_stake.iter().cloned().collect();
			by_stake.extend(candidates.into_iter().filter(|who| !known.contains(who)));
			by_stake.truncate(CANDIDATES_MAX as usize);
			candidates = by_stake;
		}
		candidates
	}
}

impl ElectionProvider for Elections {
	type AccountId = AccountId;
	type BlockNumber = BlockNumber;
	type Error = onchain::Error;
	type MaxWinnersPerPage = <OnChain as ElectionProvider>::MaxWinnersPerPage;
	type MaxBackersPerWinner = <OnChain as ElectionProvider>::MaxBackersPerWinner;
	type MaxBackersPerWinnerFinal = <OnChain as ElectionProvider>::MaxBackersPerWinnerFinal;
	type Pages = <OnChain as ElectionProvider>::Pages;
	type DataProvider = Staking;

	fn elect(page: PageIndex) -> Result<BoundedSupportsOf<Self>, Self::Error> {
		let bounds = ElectionBoundsOnChain::get();
		let voters =
			Staking::electing_voters(bounds.voters, page).map_err(onchain::Error::DataProvider)?;
		let candidates = Self::candidates(bounds, &voters);
		let seats = Staking::desired_targets().map_err(onchain::Error::DataProvider)?;
		OnChain::instant_elect(voters, candidates, seats)
	}

	fn start() -> Result<(), Self::Error> {
		OnChain::start()
	}

	fn duration() -> BlockNumber {
		OnChain::duration()
	}

	fn status() -> Result<Option<frame_support::weights::Weight>, ()> {
		OnChain::status()
	}
}

/// `pallet-staking` is marked deprecated in favour of a successor for relay chains with an asset
/// hub; for a solo chain it is the one that fits.
impl pallet_staking::Config for Runtime {
	type OldCurrency = Balances;
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type CurrencyBalance = Balance;
	type UnixTime = Timestamp;
	type CurrencyToVote = U128CurrencyToVote;
	// The supply is fixed, see `reserve`: what is minted for nobody is burnt at once.
	type RewardRemainder = ();
	type RuntimeEvent = RuntimeEvent;
	type Slash = ResolveTo<TreasuryAccount, Balances>;
	type Reward = StakingReserve;
	type SessionsPerEra = SessionsPerEra;
	type BondingDuration = BondingDuration;
	type SlashDeferDuration = SlashDeferDuration;
	type AdminOrigin = RootOr<StakingAdmin>;
	type SessionInterface = Self;
	type EraPayout = StakingReserve;
	type NextNewSession = Session;
	type MaxExposurePageSize = ConstU32<NOMINATORS_PAID_MAX>;
	type MaxValidatorSet = ConstU32<VALIDATORS_MAX>;
	type ElectionProvider = Elections;
	type GenesisElectionProvider = Elections;
	type VoterList = VoterList;
	type TargetList = pallet_staking::UseValidatorsMap<Self>;
	type NominationsQuota = pallet_staking::FixedNominationsQuota<NOMINATIONS_MAX>;
	type MaxUnlockingChunks = ConstU32<32>;
	type HistoryDepth = ConstU32<84>;
	type MaxControllersInDeprecationBatch = ConstU32<1>;
	type EventListeners = ();
	type Filter = frame_support::traits::Nothing;
	type BenchmarkingConfig = StakingBenchmarks;
	type WeightInfo = pallet_staking::weights::SubstrateWeight<Runtime>;
}

impl crate::reserve::Config for Runtime {
	type BudgetOrigin = RootOr<StakingAdmin>;
}

/// Sizes for the stock pallet's own benchmarks.
pub struct StakingBenchmarks;

impl pallet_staking::BenchmarkingConfig for StakingBenchmarks {
	type MaxNominators = ConstU32<1000>;
	type MaxValidators = ConstU32<1000>;
}
