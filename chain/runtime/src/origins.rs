//! Who decides what: the origins of governance's tracks, and what a chain without one key needs.
//!
//! A referendum runs on the track of the origin that it asks for ([`crate::config::tracks`]), and has
//! no more power than that origin. What each may do is wired where the pallets are configured, by
//! [`RootOr`]; `docs/governance.md` lists it.

pub use pallet::*;
pub use phala_protocol::limits::VALIDATORS_MIN;

use crate::{currency::PHA, Balance, OriginCaller, Runtime, RuntimeOrigin};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::marker::PhantomData;
use frame_support::{
	pallet_prelude::*,
	traits::{EnsureOrigin, OriginTrait},
};
use frame_system::RawOrigin;

#[frame_support::pallet]
pub mod pallet {
	use super::*;

	#[pallet::pallet]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config: frame_system::Config {}

	/// On whose behalf a referendum acts.
	#[pallet::origin]
	#[derive(
		Clone,
		Copy,
		Debug,
		PartialEq,
		Eq,
		Encode,
		Decode,
		DecodeWithMemTracking,
		MaxEncodedLen,
		TypeInfo,
	)]
	pub enum Origin {
		/// Which evidence counts, who is thrown out, who makes the master key.
		#[codec(index = 0)]
		PolicyAdmin,
		/// Slashes that wait, commission, and what the reserve pays stakers.
		#[codec(index = 1)]
		StakingAdmin,
		/// The treasury, up to its own limit; rejects bounties.
		#[codec(index = 2)]
		Treasurer,
		/// The treasury, up to a hundredth of the treasurer's limit.
		#[codec(index = 3)]
		SmallSpender,
		/// The treasury, up to ten times that.
		#[codec(index = 4)]
		MediumSpender,
		/// The treasury, up to ten times that.
		#[codec(index = 5)]
		BigSpender,
		/// Ends a referendum; its deposits are returned.
		#[codec(index = 6)]
		ReferendumCanceller,
		/// Ends a referendum; its deposits are lost.
		#[codec(index = 7)]
		ReferendumKiller,
		/// Takes a measurement off the list, and nothing else, fast.
		#[codec(index = 8)]
		Delister,
	}

	#[pallet::genesis_config]
	#[derive(frame_support::DefaultNoBound)]
	pub struct GenesisConfig<T> {
		#[serde(skip)]
		pub _config: core::marker::PhantomData<T>,
	}

	/// Stores nothing. Runs after staking, session and sudo have built theirs.
	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			let validators = pallet_session::Validators::<Runtime>::get().len() as u32;
			let fewest = pallet_staking::MinimumValidatorCount::<Runtime>::get();
			// Without any it is no chain: metadata and tests are read from such a genesis.
			if validators == 0 || pallet_sudo::Key::<Runtime>::exists() {
				return;
			}
			assert!(
				validators >= VALIDATORS_MIN && fewest >= VALIDATORS_MIN,
				"a chain without a sudo key has at least {VALIDATORS_MIN} validators, so that one may \
				 fail, and elects no fewer: this genesis has {validators} and allows {fewest}"
			);
		}
	}
}

/// An origin that a referendum of its own track gets.
pub trait TrackOrigin {
	const ORIGIN: Origin;
}

/// Root, or this origin.
pub struct RootOr<O>(PhantomData<O>);

impl<O: TrackOrigin> EnsureOrigin<RuntimeOrigin> for RootOr<O> {
	type Success = ();

	fn try_origin(origin: RuntimeOrigin) -> Result<(), RuntimeOrigin> {
		match origin.caller() {
			OriginCaller::system(RawOrigin::Root) => Ok(()),
			OriginCaller::Origins(found) if *found == O::ORIGIN => Ok(()),
			_ => Err(origin),
		}
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn try_successful_origin() -> Result<RuntimeOrigin, ()> {
		Ok(O::ORIGIN.into())
	}
}

macro_rules! track_origins {
	($($name:ident),*) => { $(
		#[doc = concat!("[`Origin::", stringify!($name), "`].")]
		pub struct $name;

		impl TrackOrigin for $name {
			const ORIGIN: Origin = Origin::$name;
		}
	)* };
}

track_origins!(
	PolicyAdmin,
	StakingAdmin,
	Treasurer,
	ReferendumCanceller,
	ReferendumKiller,
	Delister
);

/// The most that one vote of each size spends of the treasury.
pub const SMALL_SPEND_MAX: Balance = 10_000 * PHA;
/// See [`SMALL_SPEND_MAX`].
pub const MEDIUM_SPEND_MAX: Balance = 100_000 * PHA;
/// See [`SMALL_SPEND_MAX`].
pub const BIG_SPEND_MAX: Balance = 1_000_000 * PHA;
/// See [`SMALL_SPEND_MAX`].
pub const TREASURER_SPEND_MAX: Balance = 10_000_000 * PHA;

impl Origin {
	/// How much of the treasury it may spend.
	pub const fn spend_max(&self) -> Option<Balance> {
		match self {
			Self::SmallSpender => Some(SMALL_SPEND_MAX),
			Self::MediumSpender => Some(MEDIUM_SPEND_MAX),
			Self::BigSpender => Some(BIG_SPEND_MAX),
			Self::Treasurer => Some(TREASURER_SPEND_MAX),
			Self::PolicyAdmin
			| Self::StakingAdmin
			| Self::ReferendumCanceller
			| Self::ReferendumKiller
			| Self::Delister => None,
		}
	}
}

/// Whoever may spend of the treasury, with how much.
pub struct Spender;

impl EnsureOrigin<RuntimeOrigin> for Spender {
	type Success = Balance;

	fn try_origin(origin: RuntimeOrigin) -> Result<Balance, RuntimeOrigin> {
		let limit = match origin.caller() {
			OriginCaller::system(RawOrigin::Root) => Some(Balance::MAX),
			OriginCaller::Origins(found) => found.spend_max(),
			_ => None,
		};
		limit.ok_or(origin)
	}

	#[cfg(feature = "runtime-benchmarks")]
	fn try_successful_origin() -> Result<RuntimeOrigin, ()> {
		Ok(RuntimeOrigin::root())
	}
}
