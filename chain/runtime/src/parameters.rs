//! What differs between presets, as genesis storage: all presets share one wasm.
//!
//! A pallet without calls. A runtime upgrade by vote can change what it holds.

pub use pallet::*;

use crate::{time, BlockNumber};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::pallet_prelude::*;
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
	/// Blocks for which attestation evidence counts.
	pub evidence_lifetime: BlockNumber,
	/// Blocks before a referendum may be decided.
	pub referendum_preparation: BlockNumber,
	/// Blocks within which a referendum must be confirmed.
	pub referendum_decision: BlockNumber,
	/// Blocks for which a referendum must keep its majority.
	pub referendum_confirmation: BlockNumber,
	/// Fewest blocks between approval and enactment.
	pub referendum_enactment: BlockNumber,
}

impl NetworkParameters {
	/// For networks with value on them.
	pub const PRODUCTION: Self = Self {
		epoch_slots: time::HOURS as u64,
		sessions_per_era: 6,
		evidence_lifetime: time::DAYS,
		referendum_preparation: 2 * time::HOURS,
		referendum_decision: 14 * time::DAYS,
		referendum_confirmation: time::DAYS,
		referendum_enactment: time::DAYS,
	};

	/// For development and tests: authority sets change while one watches.
	pub const DEVELOPMENT: Self = Self {
		epoch_slots: 10,
		sessions_per_era: 3,
		evidence_lifetime: time::DAYS,
		referendum_preparation: 3,
		referendum_decision: 30,
		referendum_confirmation: 3,
		referendum_enactment: 3,
	};
}

impl Default for NetworkParameters {
	fn default() -> Self {
		Self::PRODUCTION
	}
}

#[frame_support::pallet]
pub mod pallet {
	use super::*;

	#[pallet::pallet]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config: frame_system::Config {}

	/// What this network runs with.
	#[pallet::storage]
	pub type Network<T> = StorageValue<_, NetworkParameters, ValueQuery>;

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
			Network::<T>::put(self.network);
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
				Network::<crate::Runtime>::get().$field
			}
		}
	)* };
}

getter! {
	EpochSlots: u64 = epoch_slots;
	SessionsPerEra: u32 = sessions_per_era;
	EvidenceLifetime: BlockNumber = evidence_lifetime;
}
