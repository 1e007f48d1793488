//! The tracks of governance: how long a vote takes and how many have to agree, by what it may do.
//!
//! Periods are those of production. A network whose root track is faster, by its genesis, has all
//! tracks faster in proportion, none with fewer than [`PERIOD_BLOCKS_MIN`] blocks.
//! `docs/governance.md` has the table; a test compares the two.

use crate::{
	currency::PHA,
	origins::Origin,
	parameters::NetworkParameters,
	time::{DAYS, HOURS, MINUTES},
	Balance, BlockNumber, OriginCaller, Parameters,
};
use alloc::{borrow::Cow, vec::Vec};
use frame_system::RawOrigin;
use pallet_referenda::{Curve, Track, TrackInfo, TracksInfo};
use sp_runtime::{str_array, FixedI64};

/// Shortest period of any track, so that there is a block to vote in.
pub const PERIOD_BLOCKS_MIN: BlockNumber = 3;

const PRODUCTION: NetworkParameters = NetworkParameters::PRODUCTION;

/// One track, as it is in production.
pub struct TrackRules {
	/// Whose power a referendum of this track has; `None` for root.
	pub origin: Option<Origin>,
	/// As tools show it.
	pub name: &'static str,
	/// Most referenda that are being decided at once.
	pub max_deciding: u32,
	/// What somebody has to put down before it is decided.
	pub decision_deposit: Balance,
	/// Blocks before it may be decided.
	pub prepare: BlockNumber,
	/// Blocks within which it must be confirmed.
	pub decide: BlockNumber,
	/// Blocks for which it must keep its majority.
	pub confirm: BlockNumber,
	/// Fewest blocks between approval and enactment.
	pub enact: BlockNumber,
	/// Share of the votes, by conviction, over the time of the decision.
	pub approval: Curve,
	/// Share of the whole issuance that voted aye, over the same time. The end of the line is the
	/// floor: with less nothing passes, whatever the majority. Treasury and reserve are issued too
	/// and vote for nobody.
	pub support: Curve,
}

const fn percent(of: u128) -> FixedI64 {
	FixedI64::from_rational(of, 100)
}

/// From `from` percent down to `to` over the time of the decision.
const fn line(from: u128, to: u128) -> Curve {
	Curve::make_linear(1, 1, percent(to), percent(from))
}

/// Everybody at first, soon four fifths, half in the end.
const MAJORITY: Curve = Curve::make_reciprocal(4, 28, percent(80), percent(50), percent(100));

/// Root has id 0; ids are never used again.
pub static TRACKS: [(u16, TrackRules); 10] = [
	(
		0,
		TrackRules {
			origin: None,
			name: "root",
			max_deciding: 5,
			decision_deposit: 10_000 * PHA,
			prepare: PRODUCTION.referendum_preparation,
			decide: PRODUCTION.referendum_decision,
			confirm: PRODUCTION.referendum_confirmation,
			enact: PRODUCTION.referendum_enactment,
			approval: MAJORITY,
			support: line(50, 5),
		},
	),
	// What it lists gets keys: nearly as much power as root's.
	(
		1,
		TrackRules {
			origin: Some(Origin::PolicyAdmin),
			name: "policy_admin",
			max_deciding: 5,
			decision_deposit: 5_000 * PHA,
			prepare: 2 * HOURS,
			decide: 14 * DAYS,
			confirm: DAYS,
			enact: 12 * HOURS,
			approval: MAJORITY,
			support: line(50, 5),
		},
	),
	(
		2,
		TrackRules {
			origin: Some(Origin::StakingAdmin),
			name: "staking_admin",
			max_deciding: 10,
			decision_deposit: 1_000 * PHA,
			prepare: 2 * HOURS,
			decide: 14 * DAYS,
			confirm: 12 * HOURS,
			enact: HOURS,
			approval: MAJORITY,
			support: line(30, 2),
		},
	),
	(
		3,
		TrackRules {
			origin: Some(Origin::Treasurer),
			name: "treasurer",
			max_deciding: 10,
			decision_deposit: 1_000 * PHA,
			prepare: 2 * HOURS,
			decide: 14 * DAYS,
			confirm: DAYS,
			enact: DAYS,
			approval: MAJORITY,
			support: line(50, 4),
		},
	),
	(
		4,
		TrackRules {
			origin: Some(Origin::SmallSpender),
			name: "small_spender",
			max_deciding: 50,
			decision_deposit: 100 * PHA,
			prepare: 2 * HOURS,
			decide: 7 * DAYS,
			confirm: 12 * HOURS,
			enact: DAYS,
			approval: MAJORITY,
			support: line(10, 1),
		},
	),
	(
		5,
		TrackRules {
			origin: Some(Origin::MediumSpender),
			name: "medium_spender",
			max_deciding: 50,
			decision_deposit: 200 * PHA,
			prepare: 2 * HOURS,
			decide: 14 * DAYS,
			confirm: DAYS,
			enact: DAYS,
			approval: MAJORITY,
			support: line(20, 2),
		},
	),
	(
		6,
		TrackRules {
			origin: Some(Origin::BigSpender),
			name: "big_spender",
			max_deciding: 20,
			decision_deposit: 400 * PHA,
			prepare: 4 * HOURS,
			decide: 14 * DAYS,
			confirm: 2 * DAYS,
			enact: DAYS,
			approval: MAJORITY,
			support: line(30, 3),
		},
	),
	(
		7,
		TrackRules {
			origin: Some(Origin::ReferendumCanceller),
			name: "referendum_canceller",
			max_deciding: 100,
			decision_deposit: 2_000 * PHA,
			prepare: HOURS,
			decide: 7 * DAYS,
			confirm: 3 * HOURS,
			enact: 10 * MINUTES,
			approval: MAJORITY,
			support: line(20, 2),
		},
	),
	(
		8,
		TrackRules {
			origin: Some(Origin::ReferendumKiller),
			name: "referendum_killer",
			max_deciding: 100,
			decision_deposit: 5_000 * PHA,
			prepare: HOURS,
			decide: 14 * DAYS,
			confirm: 3 * HOURS,
			enact: 10 * MINUTES,
			approval: MAJORITY,
			support: line(30, 4),
		},
	),
	// A measurement that leaks has to go within the hour; it can only take workers out.
	(
		9,
		TrackRules {
			origin: Some(Origin::Delister),
			name: "delister",
			max_deciding: 100,
			decision_deposit: 5_000 * PHA,
			prepare: 10 * MINUTES,
			decide: DAYS,
			confirm: 30 * MINUTES,
			enact: 10 * MINUTES,
			approval: line(75, 60),
			support: line(10, 2),
		},
	),
];

/// `blocks` of production, in a network that has `here` blocks for production's `there`.
fn in_proportion(blocks: BlockNumber, here: BlockNumber, there: BlockNumber) -> BlockNumber {
	let scaled = u64::from(blocks).saturating_mul(here.into()) / u64::from(there.max(1));
	BlockNumber::try_from(scaled).unwrap_or(BlockNumber::MAX).max(PERIOD_BLOCKS_MIN)
}

impl TrackRules {
	/// With the periods of a network.
	fn of(&self, network: &NetworkParameters) -> TrackInfo<Balance, BlockNumber> {
		TrackInfo {
			name: str_array(self.name),
			max_deciding: self.max_deciding,
			decision_deposit: self.decision_deposit,
			prepare_period: in_proportion(
				self.prepare,
				network.referendum_preparation,
				PRODUCTION.referendum_preparation,
			),
			decision_period: in_proportion(
				self.decide,
				network.referendum_decision,
				PRODUCTION.referendum_decision,
			),
			confirm_period: in_proportion(
				self.confirm,
				network.referendum_confirmation,
				PRODUCTION.referendum_confirmation,
			),
			min_enactment_period: in_proportion(
				self.enact,
				network.referendum_enactment,
				PRODUCTION.referendum_enactment,
			),
			min_approval: self.approval.clone(),
			min_support: self.support.clone(),
		}
	}
}

/// The longest course of a vote that slashes a bond, which root and the policy's admins can: from the
/// beginning of its preparation to its enactment, if it is confirmed as late as it may be. The wait for
/// a place among those that are decided is not in it.
pub fn longest_vote_on_a_bond(network: &NetworkParameters) -> BlockNumber {
	let course = |rules: &TrackRules| {
		let track = rules.of(network);
		[track.prepare_period, track.decision_period, track.confirm_period]
			.into_iter()
			.fold(track.min_enactment_period, BlockNumber::saturating_add)
	};
	let evicts = |rules: &TrackRules| matches!(rules.origin, None | Some(Origin::PolicyAdmin));
	TRACKS
		.iter()
		.filter(|(_, rules)| evicts(rules))
		.map(|(_, rules)| course(rules))
		.max()
		.unwrap_or(0)
}

/// [`TRACKS`], with the periods of this network.
pub struct Tracks;

impl TracksInfo<Balance, BlockNumber> for Tracks {
	type Id = u16;
	type RuntimeOrigin = OriginCaller;

	fn tracks() -> impl Iterator<Item = Cow<'static, Track<u16, Balance, BlockNumber>>> {
		let network = Parameters::network();
		TRACKS
			.iter()
			.map(|(id, rules)| Cow::Owned(Track { id: *id, info: rules.of(&network) }))
			.collect::<Vec<_>>()
			.into_iter()
	}

	fn track_for(origin: &OriginCaller) -> Result<u16, ()> {
		let asked = match origin {
			OriginCaller::system(RawOrigin::Root) => None,
			OriginCaller::Origins(origin) => Some(*origin),
			_ => return Err(()),
		};
		TRACKS.iter().find(|(_, rules)| rules.origin == asked).map(|(id, _)| *id).ok_or(())
	}
}
