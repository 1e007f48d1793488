//! Decisions by vote: a referendum on the root track can do anything, runtime upgrades included.

use crate::{
	currency::PHA, parameters::NetworkParameters, time::DAYS, AccountId, Balance, Balances,
	BlockNumber, OriginCaller, Parameters, Preimage, Referenda, Runtime, RuntimeCall, RuntimeEvent,
	RuntimeHoldReason, Scheduler, System,
};
use alloc::{borrow::Cow, vec};
use frame_support::{
	parameter_types,
	traits::{
		fungible::HoldConsideration, ConstU128, ConstU32, EqualPrivilegeOnly, LinearStoragePrice,
	},
	weights::Weight,
};
use frame_system::{EnsureRoot, EnsureSigned};
use pallet_referenda::{Curve, Track, TrackInfo, TracksInfo};
use sp_runtime::{str_array, FixedI64, Perbill};

parameter_types! {
	pub const PreimageBaseDeposit: Balance = PHA;
	pub const PreimageByteDeposit: Balance = PHA / 100;
	pub const PreimageHoldReason: RuntimeHoldReason =
		RuntimeHoldReason::Preimage(pallet_preimage::HoldReason::Preimage);
	pub MaximumSchedulerWeight: Weight =
		Perbill::from_percent(80) * super::system::MAXIMUM_BLOCK_WEIGHT;
}

impl pallet_preimage::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type WeightInfo = pallet_preimage::weights::SubstrateWeight<Runtime>;
	type Currency = Balances;
	type ManagerOrigin = EnsureRoot<AccountId>;
	type Consideration = HoldConsideration<
		AccountId,
		Balances,
		PreimageHoldReason,
		LinearStoragePrice<PreimageBaseDeposit, PreimageByteDeposit, Balance>,
	>;
}

impl pallet_scheduler::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeOrigin = crate::RuntimeOrigin;
	type PalletsOrigin = OriginCaller;
	type RuntimeCall = RuntimeCall;
	type MaximumWeight = MaximumSchedulerWeight;
	type ScheduleOrigin = EnsureRoot<AccountId>;
	type OriginPrivilegeCmp = EqualPrivilegeOnly;
	type MaxScheduledPerBlock = ConstU32<64>;
	type WeightInfo = pallet_scheduler::weights::SubstrateWeight<Runtime>;
	type Preimages = Preimage;
	type BlockNumberProvider = System;
}

impl pallet_conviction_voting::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type WeightInfo = pallet_conviction_voting::weights::SubstrateWeight<Runtime>;
	type Currency = Balances;
	type Polls = Referenda;
	type MaxTurnout = frame_support::traits::TotalIssuanceOf<Balances, AccountId>;
	type MaxVotes = ConstU32<512>;
	type VoteLockingPeriod = ConstU32<{ 7 * DAYS }>;
	type BlockNumberProvider = System;
	type VotingHooks = ();
}

impl pallet_referenda::Config for Runtime {
	type RuntimeCall = RuntimeCall;
	type RuntimeEvent = RuntimeEvent;
	type WeightInfo = pallet_referenda::weights::SubstrateWeight<Runtime>;
	type Scheduler = Scheduler;
	type Currency = Balances;
	type SubmitOrigin = EnsureSigned<AccountId>;
	type CancelOrigin = EnsureRoot<AccountId>;
	type KillOrigin = EnsureRoot<AccountId>;
	type Slash = crate::Treasury;
	type Votes = pallet_conviction_voting::VotesOf<Runtime>;
	type Tally = pallet_conviction_voting::TallyOf<Runtime>;
	type SubmissionDeposit = ConstU128<{ 10 * PHA }>;
	type MaxQueued = ConstU32<100>;
	type UndecidingTimeout = ConstU32<{ 14 * DAYS }>;
	type AlarmInterval = ConstU32<1>;
	type Tracks = Tracks;
	type Preimages = Preimage;
	type BlockNumberProvider = System;
}

/// One track: root. Its periods are genesis storage, so that development need not wait for days.
pub struct Tracks;

/// Id of the root track.
pub const ROOT_TRACK: u16 = 0;

const APPROVAL: Curve = Curve::make_reciprocal(
	4,
	28,
	FixedI64::from_rational(80, 100),
	FixedI64::from_rational(50, 100),
	FixedI64::from_rational(100, 100),
);
const SUPPORT: Curve =
	Curve::make_linear(28, 28, FixedI64::from_rational(0, 100), FixedI64::from_rational(50, 100));

impl TracksInfo<Balance, BlockNumber> for Tracks {
	type Id = u16;
	type RuntimeOrigin = OriginCaller;

	fn tracks() -> impl Iterator<Item = Cow<'static, Track<u16, Balance, BlockNumber>>> {
		let NetworkParameters {
			referendum_preparation,
			referendum_decision,
			referendum_confirmation,
			referendum_enactment,
			..
		} = Parameters::network();
		vec![Cow::Owned(Track {
			id: ROOT_TRACK,
			info: TrackInfo {
				name: str_array("root"),
				max_deciding: 5,
				decision_deposit: 10_000 * PHA,
				prepare_period: referendum_preparation,
				decision_period: referendum_decision,
				confirm_period: referendum_confirmation,
				min_enactment_period: referendum_enactment,
				min_approval: APPROVAL,
				min_support: SUPPORT,
			},
		})]
		.into_iter()
	}

	fn track_for(origin: &OriginCaller) -> Result<u16, ()> {
		match origin {
			OriginCaller::system(frame_system::RawOrigin::Root) => Ok(ROOT_TRACK),
			_ => Err(()),
		}
	}
}
