//! Who makes blocks, who makes them final and how validators find each other: BABE, GRANDPA,
//! authority discovery, sessions. BEEFY's keys, which nobody signs with yet: see decision 011.

use super::staking::{NOMINATORS_PAID_MAX, VALIDATORS_MAX};
use crate::{
	currency::PHA,
	opaque::SessionKeys,
	parameters::{BondingDuration, EpochSlots, SessionsPerEra},
	time, AccountId, Babe, Balances, BlockNumber, Hash, Header, Historical, Offences, Parameters,
	Runtime, RuntimeEvent, Session, Staking,
};
use core::marker::PhantomData;
use frame_support::{
	ensure, parameter_types,
	traits::{ConstU128, ConstU32, ConstU64, Get},
	weights::Weight,
};
use pallet_session::{
	disabling::UpToLimitWithReEnablingDisablingStrategy,
	historical::{IdentificationTuple, NoteHistoricalRoot},
};
use pallet_staking::{ActiveEra, UnappliedSlashes};
use sp_consensus_beefy::{AncestryHelper, AncestryHelperWeightInfo, Commitment};
use sp_runtime::{
	traits::{ConvertInto, OpaqueKeys},
	transaction_validity::{InvalidTransaction, TransactionValidityError},
	DispatchError, Perbill,
};
use sp_staking::{
	offence::{OffenceDetails, OffenceReportSystem, OnOffenceHandler},
	SessionIndex,
};

/// How BABE starts: one primary in four slots, the other slots filled by turns.
pub const BABE_GENESIS_EPOCH_CONFIG: sp_consensus_babe::BabeEpochConfiguration =
	sp_consensus_babe::BabeEpochConfiguration {
		c: (1, 4),
		allowed_slots: sp_consensus_babe::AllowedSlots::PrimaryAndSecondaryPlainSlots,
	};

parameter_types! {
	/// How long an equivocation can still be reported, in slots.
	pub ReportLongevity: u64 = Parameters::network().bonding_slots();
	pub MaxSetIdSessionEntries: u64 =
		u64::from(BondingDuration::get()) * u64::from(SessionsPerEra::get());
}

impl pallet_babe::Config for Runtime {
	type EpochDuration = EpochSlots;
	type ExpectedBlockTime = ConstU64<{ time::BLOCK_MILLISECONDS }>;
	type EpochChangeTrigger = pallet_babe::ExternalTrigger;
	type DisabledValidators = Session;
	// All that the crate offers, here and of GRANDPA and BEEFY: of RocksDB, so of more than it takes.
	type WeightInfo = ();
	type MaxAuthorities = ConstU32<VALIDATORS_MAX>;
	type MaxNominators = ConstU32<NOMINATORS_PAID_MAX>;
	type KeyOwnerProof = sp_session::MembershipProof;
	type EquivocationReportSystem =
		pallet_babe::EquivocationReportSystem<Self, Offences, Historical, ReportLongevity>;
}

impl pallet_grandpa::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type WeightInfo = ();
	type MaxAuthorities = ConstU32<VALIDATORS_MAX>;
	type MaxNominators = ConstU32<NOMINATORS_PAID_MAX>;
	type MaxSetIdSessionEntries = MaxSetIdSessionEntries;
	type KeyOwnerProof = sp_session::MembershipProof;
	type EquivocationReportSystem =
		pallet_grandpa::EquivocationReportSystem<Self, Offences, Historical, ReportLongevity>;
}

/// A second finality, of signatures that Ethereum can check. The keys are in every session from
/// genesis on, so that no validator ever has to migrate; votes, MMR and the API that a voter needs
/// come with the bridge. Until then genesis names no first block, and nobody votes.
///
/// The system that handles reports is the real one: with `()` the pallet believes every report, and
/// takes no fee for it. [`OnceBeefyBegan`] keeps it shut until then.
impl pallet_beefy::Config for Runtime {
	type BeefyId = sp_consensus_beefy::ecdsa_crypto::AuthorityId;
	type MaxAuthorities = ConstU32<VALIDATORS_MAX>;
	type MaxNominators = ConstU32<NOMINATORS_PAID_MAX>;
	type MaxSetIdSessionEntries = MaxSetIdSessionEntries;
	type OnNewValidatorSet = ();
	type AncestryHelper = NoAncestryProofs;
	type WeightInfo = ();
	type KeyOwnerProof = sp_session::MembershipProof;
	type EquivocationReportSystem = OnceBeefyBegan<
		pallet_beefy::EquivocationReportSystem<Self, Offences, Historical, ReportLongevity>,
	>;
}

/// Refuses all reports while no vote of the chain has named the first block. Nobody has a reason to
/// sign before, so nobody watches over that key, and one signature over a future block would cost
/// half of a validator's stake, with a share of it for who reports.
pub struct OnceBeefyBegan<Inner>(PhantomData<Inner>);

fn beefy_began() -> bool {
	pallet_beefy::GenesisBlock::<Runtime>::get().is_some()
}

impl<Inner, Reporter, Evidence> OffenceReportSystem<Reporter, Evidence> for OnceBeefyBegan<Inner>
where
	Inner: OffenceReportSystem<Reporter, Evidence>,
{
	type Longevity = Inner::Longevity;

	fn publish_evidence(evidence: Evidence) -> Result<(), ()> {
		ensure!(beefy_began(), ());
		Inner::publish_evidence(evidence)
	}

	fn check_evidence(evidence: Evidence) -> Result<(), TransactionValidityError> {
		ensure!(beefy_began(), InvalidTransaction::Call);
		Inner::check_evidence(evidence)
	}

	fn process_evidence(reporter: Reporter, evidence: Evidence) -> Result<(), DispatchError> {
		ensure!(beefy_began(), DispatchError::Unavailable);
		Inner::process_evidence(reporter, evidence)
	}
}

/// Without an MMR nothing proves which chain a BEEFY vote was for: reports of votes for a fork are
/// refused.
pub struct NoAncestryProofs;

impl AncestryHelper<Header> for NoAncestryProofs {
	type Proof = ();
	type ValidationContext = Hash;

	fn is_proof_optimal((): &()) -> bool {
		false
	}

	fn extract_validation_context(_: Header) -> Option<Hash> {
		None
	}

	fn is_non_canonical(_: &Commitment<BlockNumber>, (): (), _: Hash) -> bool {
		false
	}
}

impl AncestryHelperWeightInfo<Header> for NoAncestryProofs {
	fn is_proof_optimal((): &()) -> Weight {
		Weight::zero()
	}

	fn extract_validation_context() -> Weight {
		Weight::zero()
	}

	fn is_non_canonical((): &()) -> Weight {
		Weight::zero()
	}
}

impl pallet_authority_discovery::Config for Runtime {
	type MaxAuthorities = ConstU32<VALIDATORS_MAX>;
}

impl pallet_authorship::Config for Runtime {
	type FindAuthor = pallet_session::FindAccountFromAuthorIndex<Self, Babe>;
	type EventHandler = Staking;
}

impl pallet_offences::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type IdentificationTuple = IdentificationTuple<Self>;
	type OnOffenceHandler = SlashOldestToo;
}

/// Staking, and what it leaves out: it files a slash under the era of the offence, plus
/// `slash_defer_eras`, plus one. For an offence in the oldest bonded era that is the active one,
/// whose slashes were enacted when it began. Such a slash is moved to the next era.
pub struct SlashOldestToo;

impl OnOffenceHandler<AccountId, IdentificationTuple<Runtime>, Weight> for SlashOldestToo {
	fn on_offence(
		offenders: &[OffenceDetails<AccountId, IdentificationTuple<Runtime>>],
		slash_fractions: &[Perbill],
		session: SessionIndex,
	) -> Weight {
		let weight =
			<Staking as OnOffenceHandler<_, _, _>>::on_offence(offenders, slash_fractions, session);
		if let Some(active) = ActiveEra::<Runtime>::get() {
			let missed = UnappliedSlashes::<Runtime>::take(active.index);
			if !missed.is_empty() {
				let next = active.index.saturating_add(1);
				UnappliedSlashes::<Runtime>::mutate(next, |slashes| slashes.extend(missed));
			}
		}
		weight.saturating_add(<Runtime as frame_system::Config>::DbWeight::get().reads_writes(3, 2))
	}
}

impl pallet_session::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type ValidatorId = AccountId;
	type ValidatorIdOf = ConvertInto;
	type ShouldEndSession = Babe;
	type NextSessionRotation = Babe;
	type SessionManager = NoteHistoricalRoot<Self, Staking>;
	type SessionHandler = <SessionKeys as OpaqueKeys>::KeyTypeIdProviders;
	type Keys = SessionKeys;
	type DisablingStrategy = UpToLimitWithReEnablingDisablingStrategy;
	type WeightInfo = pallet_session::weights::SubstrateWeight<Runtime>;
	type Currency = Balances;
	type KeyDeposit = ConstU128<PHA>;
}

impl pallet_session::historical::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type FullIdentification = ();
	type FullIdentificationOf = pallet_staking::UnitIdentificationOf<Self>;
}

/// Transactions that the chain makes of itself: reports of equivocation.
impl<C> frame_system::offchain::CreateTransactionBase<C> for Runtime
where
	crate::RuntimeCall: From<C>,
{
	type Extrinsic = crate::UncheckedExtrinsic;
	type RuntimeCall = crate::RuntimeCall;
}

impl<C> frame_system::offchain::CreateBare<C> for Runtime
where
	crate::RuntimeCall: From<C>,
{
	fn create_bare(call: crate::RuntimeCall) -> crate::UncheckedExtrinsic {
		crate::UncheckedExtrinsic::new_bare(call)
	}
}
