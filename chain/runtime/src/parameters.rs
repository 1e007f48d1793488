//! What differs between presets, as genesis storage: all presets share one wasm.
//!
//! A pallet without calls. A runtime upgrade by vote can change what it holds.
//!
//! **An upgrade that changes [`NetworkParameters`] migrates what is stored**: a test that freezes the
//! stored bytes says how. Without the migration no block of the new runtime can be made, and it says
//! why. That is the lesser evil. Any figures to go on with would be another network's: BABE counts its
//! epochs from genesis by their length, and eras, bonds and slashes follow, so the first block with
//! wrong ones does what no later upgrade undoes. Before it nothing is lost: the node's chain
//! specification replaces the code of the last good block (`codeSubstitutes`).
//!
//! **The length of an epoch stays that of genesis**, whatever an upgrade or a vote writes: BABE reads
//! it from [`GenesisEpochSlots`], and each upgrade puts it back where it was changed.

pub use pallet::*;

use crate::{config::tracks::longest_vote_on_a_bond, time, BlockNumber};
use codec::{Decode, DecodeAll, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{pallet_prelude::*, storage::unhashed};
use frame_system::pallet_prelude::BlockNumberFor;
use serde::{Deserialize, Serialize};

/// Lengths that are short in development, so that what they bound happens while one watches.
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
	Serialize,
	Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub struct NetworkParameters {
	/// Slots of one BABE epoch, which is one session.
	pub epoch_slots: u64,
	/// Sessions of one staking era.
	pub sessions_per_era: u32,
	/// Eras for which stake stays bonded, and slashable, after its owner asked for it back. For as
	/// long an equivocation can be reported.
	pub bonding_eras: u32,
	/// Whole eras between that of an offence and the enactment of its slash, in which governance can
	/// cancel it: all but one of those in which the stake is there.
	pub slash_defer_eras: u32,
	/// Blocks for which attestation evidence counts.
	pub evidence_lifetime: BlockNumber,
	/// Blocks between the listing of a measurement and the first one in which it counts, its
	/// `allowed_from`. Not enforced yet: the registry still counts a measurement at once.
	pub measurement_delay: BlockNumber,
	/// Blocks before a referendum may be decided.
	pub referendum_preparation: BlockNumber,
	/// Blocks within which a referendum must be confirmed.
	pub referendum_decision: BlockNumber,
	/// Blocks for which a referendum must keep its majority.
	pub referendum_confirmation: BlockNumber,
	/// Fewest blocks between approval and enactment.
	pub referendum_enactment: BlockNumber,
	/// The block after which the rehearsal's migration ran: see [`crate::migrations`].
	#[cfg(feature = "upgrade-rehearsal")]
	pub rehearsed_at: BlockNumber,
}

impl NetworkParameters {
	/// For networks with value on them.
	pub const PRODUCTION: Self = Self {
		epoch_slots: time::HOURS as u64,
		sessions_per_era: 6,
		// Seven days.
		bonding_eras: 28,
		slash_defer_eras: 27,
		evidence_lifetime: time::DAYS,
		measurement_delay: 7 * time::DAYS,
		referendum_preparation: 2 * time::HOURS,
		referendum_decision: 14 * time::DAYS,
		referendum_confirmation: time::DAYS,
		referendum_enactment: time::DAYS,
		#[cfg(feature = "upgrade-rehearsal")]
		rehearsed_at: 0,
	};

	/// For development and tests: authority sets change while one watches.
	pub const DEVELOPMENT: Self = Self {
		epoch_slots: 10,
		sessions_per_era: 3,
		bonding_eras: 3,
		slash_defer_eras: 2,
		evidence_lifetime: time::DAYS,
		// What was built a moment ago is run at once.
		measurement_delay: 0,
		referendum_preparation: 3,
		referendum_decision: 30,
		referendum_confirmation: 3,
		referendum_enactment: 3,
		#[cfg(feature = "upgrade-rehearsal")]
		rehearsed_at: 0,
	};

	/// Slots, and with them at most as many blocks, of one staking era.
	pub const fn era_slots(&self) -> u64 {
		self.epoch_slots.saturating_mul(self.sessions_per_era as u64)
	}

	/// Slots for which unbonding stake can be slashed.
	pub const fn bonding_slots(&self) -> u64 {
		self.era_slots().saturating_mul(self.bonding_eras as u64)
	}

	/// Blocks of the fastest referendum on the root track, the one that cancels slashes.
	pub const fn fastest_referendum(&self) -> u64 {
		// A sum of three `u32`.
		self.referendum_preparation as u64
			+ self.referendum_confirmation as u64
			+ self.referendum_enactment as u64
	}

	/// What the pallets take for granted of these figures.
	///
	/// # Panics
	/// With the sentence that is not true of them.
	const fn check(&self) {
		assert!(self.epoch_slots > 0, "an epoch has at least one slot");
		assert!(self.sessions_per_era > 0, "an era has at least one session");
		// The staking pallet files a slash under the era of the offence, plus this, plus one.
		assert!(
			self.slash_defer_eras.saturating_add(1) == self.bonding_eras,
			"a slash is enacted when the stake that it takes may leave: later it would be gone, \
			 earlier a late report would come after the slash"
		);
		// Of a slash that is reported in its era. Empty slots bring it nearer, and not the vote, which
		// counts blocks: production has three times what it needs.
		assert!(
			self.era_slots().saturating_mul(self.slash_defer_eras as u64)
				> self.fastest_referendum(),
			"a vote that cancels a slash can be enacted before the slash is"
		);
		assert!(self.evidence_lifetime > 0, "evidence counts for at least one block");
	}
}

// The presets' own figures are checked when this is compiled, all others when a genesis is built.
const _: () = {
	NetworkParameters::PRODUCTION.check();
	NetworkParameters::DEVELOPMENT.check();
};

/// What a genesis has that names none.
impl Default for NetworkParameters {
	fn default() -> Self {
		Self::PRODUCTION
	}
}

/// Version of what is stored: moves with [`NetworkParameters`]' fields, by a migration.
pub const VERSION: u16 = 0;

/// [`VERSION`] as the pallet has it; the rehearsal's is one on.
pub const STORAGE_VERSION: StorageVersion =
	StorageVersion::new(VERSION + cfg!(feature = "upgrade-rehearsal") as u16);

#[frame_support::pallet]
pub mod pallet {
	use super::*;

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config: frame_system::Config {}

	/// What this network runs with, from genesis on. Read it by [`Pallet::network`].
	#[pallet::storage]
	pub type Network<T> = StorageValue<_, NetworkParameters, OptionQuery>;

	/// [`NetworkParameters::epoch_slots`] of genesis, by which BABE counts for as long as the chain
	/// lives.
	#[pallet::storage]
	pub type GenesisEpochSlots<T> = StorageValue<_, u64, OptionQuery>;

	#[pallet::genesis_config]
	#[derive(frame_support::DefaultNoBound)]
	pub struct GenesisConfig<T> {
		/// See [`Network`].
		pub network: NetworkParameters,
		#[serde(skip)]
		pub _config: core::marker::PhantomData<T>,
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			self.network.check();
			Network::<T>::put(self.network);
			GenesisEpochSlots::<T>::put(self.network.epoch_slots);
		}
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		/// Runs after the migrations and before any other pallet reads a parameter.
		fn on_runtime_upgrade() -> Weight {
			let network = Self::network();
			let epoch_slots = Self::epoch_slots();
			if network.epoch_slots != epoch_slots {
				sp_io::logging::log(
					sp_core::RuntimeInterfaceLogLevel::Error,
					"parameters",
					b"an upgrade that changes the length of epochs is not followed: it stays that of genesis",
				);
				Network::<T>::put(NetworkParameters { epoch_slots, ..network });
			}
			// The first upgrade of a chain whose genesis did not note it.
			GenesisEpochSlots::<T>::put(epoch_slots);
			T::DbWeight::get().reads_writes(2, 2)
		}
	}

	impl<T: Config> Pallet<T> {
		/// Slots of an epoch, now and for ever.
		pub fn epoch_slots() -> u64 {
			GenesisEpochSlots::<T>::get().unwrap_or_else(|| Self::network().epoch_slots)
		}

		/// What this network runs with. Where nothing is stored there was no genesis: metadata and
		/// tests are read without one, and get production's.
		///
		/// # Panics
		/// If what is stored is of another runtime's [`NetworkParameters`], to the last byte: see the
		/// top of this file.
		pub fn network() -> NetworkParameters {
			let Some(stored) = unhashed::get_raw(&Network::<T>::hashed_key()) else {
				return NetworkParameters::PRODUCTION;
			};
			match NetworkParameters::decode_all(&mut &stored[..]) {
				Ok(network) => network,
				Err(_) => panic!(
					"Parameters.Network holds {} bytes that are not this runtime's NetworkParameters: \
					 the upgrade needs a migration of it (see chain/runtime/src/parameters.rs)",
					stored.len()
				),
			}
		}
	}
}

/// Reads one parameter as a [`Get`].
macro_rules! getter {
	($($name:ident: $type:ty = $field:ident;)*) => { $(
		#[doc = concat!("[`NetworkParameters::", stringify!($field), "`].")]
		pub struct $name;

		impl Get<$type> for $name {
			fn get() -> $type {
				crate::Parameters::network().$field
			}
		}
	)* };
}

/// [`Pallet::epoch_slots`].
pub struct EpochSlots;

impl Get<u64> for EpochSlots {
	fn get() -> u64 {
		crate::Parameters::epoch_slots()
	}
}

getter! {
	SessionsPerEra: u32 = sessions_per_era;
	BondingDuration: u32 = bonding_eras;
	SlashDeferDuration: u32 = slash_defer_eras;
	EvidenceLifetime: BlockNumber = evidence_lifetime;
	MeasurementDelay: BlockNumber = measurement_delay;
}

/// For how many blocks what leaves a bond stays slashable: as long as a validator's stake (a slot has
/// one block at most), and the longest course of the vote that slashes it. So a fault is found out for as
/// long as a validator's is, and an exit that began by then, or with the vote, does not beat the vote.
pub struct UnbondingBlocks;

impl Get<BlockNumber> for UnbondingBlocks {
	fn get() -> BlockNumber {
		let network = crate::Parameters::network();
		let as_validators = network.bonding_slots().try_into().unwrap_or(BlockNumber::MAX);
		as_validators.saturating_add(longest_vote_on_a_bond(&network))
	}
}
