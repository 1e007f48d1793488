//! # Gatekeepers: who makes the master key, and what they release
//!
//! ## Key terms
//!
//! * **Candidate**: a worker whose operator is willing to serve as a gatekeeper, and put a bond up for
//!   it, beside the worker's own.
//! * **Seat**: a candidate's boot that takes part in the making of one master key. A restart is
//!   another boot and has no share.
//! * **Epoch**: the life of one master key, from 1. **Attempt**: which ceremony of that epoch.
//! * **Open request**: a member's request for its cluster's secret that still waits for answers.
//!
//! ## Usage
//!
//! * An operator **applies** for a worker ([`Call::apply`]), which opens the bond ([`Bonding`]), and
//!   **withdraws** it while it is not seated ([`Call::withdraw`]); the bond then leaves by unbonding.
//! * Governance **seats** candidates ([`Call::seat`]), which starts a ceremony for the next epoch.
//! * Seats **confirm** what they came to ([`KeysPayload::MasterKeyConfirmed`]) and **release** cluster
//!   secrets in parts ([`KeysPayload::KeyReleased`]); each release is an event.
//! * The clusters pallet **admits** and **withdraws** requests ([`KeyRequests`]).
//!
//! ## Design
//!
//! A ceremony goes `Seated → Pending → Active`: when a [`quorum`] of the seats has confirmed the
//! same outcome in block *b*, its key serves from the start of block *b* + 2. The key before it
//! serves until then. A new ceremony replaces one under way, with another attempt number, so that
//! no confirmation is ever taken for another ceremony's.
//!
//! The network mends itself: when a seat's worker boots anew, or is evicted, the seats that are left
//! start a ceremony at once. The last seat in force of the key that serves has no successor: the
//! registry does not evict it because its code was delisted, until another ceremony's key serves.
//!
//! A boot is told once from where to follow [`Channel::Gatekeepers`]. The head it is told is the
//! one *before* `Seated`, which is thus the first message that it reads there.
//!
//! Requests that come before the first key wait, at most [`REQUESTS_WAITING_MAX`] of them. All that
//! are open when a key becomes active are told to its gatekeepers, in
//! [`Pallet::resend_open_requests`], as many a block as the runtime has weight for. Later on there is one open request for each member at most, told once.
//!
//! **One request a boot** is enough for each secret: it waits until it is answered, and another master key
//! has it told again. Only who lost its one-time key, or got what it cannot open, has reason to ask for the
//! same once more. So that it costs gatekeepers next to nothing it may do so [`limits::KEY_REQUEST_GAP`]
//! blocks later, then twice as long after that, and so on ([`Askings`]), whether it was answered or not.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub use pallet::*;
pub use types::*;
pub use weights::{ConservativeWeights, WeightInfo};

#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
mod ceremonies;
mod invariants;
mod key_requests;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;
mod types;
pub mod weights;
mod workers;

use alloc::vec::Vec;
use frame_support::{pallet_prelude::*, weights::WeightMeter};
use frame_system::pallet_prelude::{BlockNumberFor, OriginFor};
use phala_protocol::{
	blake2_256,
	bonding::BondId,
	boot::{Boot, WorkerId},
	keys::{Epoch, KeyRequest, Seat},
	limits,
	mailbox::{Channel, ClusterId},
	messages::{EnvelopeOrigin, KeysMessage, KeysPayload},
	traits::{
		Bonding, BootDirectory, KeyRequests, MailboxInterface, PushError, ReceivePayload,
		WorkerDirectory,
	},
	AccountBytes, BlockNumber, H256,
};
use sp_runtime::traits::SaturatedConversion;

/// Most requests that wait while no master key serves.
pub const REQUESTS_WAITING_MAX: u32 = 64;

/// Blocks between the one that holds a quorum's confirmation and the one at whose start the key
/// becomes active.
pub const ACTIVATION_DELAY: BlockNumber = 2;

#[frame_support::pallet]
pub mod pallet {
	use super::*;

	/// 1: candidates have bonds, open requests their block and epoch.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config:
		frame_system::Config<RuntimeEvent: From<Event<Self>>, AccountId: Into<AccountBytes>>
	{
		/// Carries messages to gatekeepers and workers.
		type Mailbox: MailboxInterface;

		/// Knows workers, their operators and boots.
		type Boots: WorkerDirectory;

		/// Keeps what candidates have at stake.
		type Bonding: Bonding<Error = DispatchError>;

		/// Who seats gatekeepers.
		type AdminOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// Weights of this pallet's calls.
		type WeightInfo: WeightInfo;

		/// Gives benchmarks workers with boots.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: benchmarking::BenchmarkHelper<Self::AccountId>;
	}

	/// Workers that are willing to serve.
	#[pallet::storage]
	pub type Candidates<T> = StorageMap<_, Blake2_128Concat, WorkerId, (), OptionQuery>;

	/// The ceremony under way.
	#[pallet::storage]
	pub type Ceremony<T> = StorageValue<_, CeremonyUnderWay, OptionQuery>;

	/// Epoch and attempt of the last ceremony that was started: no number is used twice.
	#[pallet::storage]
	pub type LastCeremony<T> = StorageValue<_, (Epoch, u32), OptionQuery>;

	/// The master key that serves.
	#[pallet::storage]
	pub type Active<T> = StorageValue<_, ActiveKey, OptionQuery>;

	/// Identity key of each worker's boot that follows [`Channel::Gatekeepers`].
	#[pallet::storage]
	pub type Followers<T> = StorageMap<_, Blake2_128Concat, WorkerId, [u8; 32], OptionQuery>;

	/// Requests that wait for answers, by who asks and for which cluster.
	#[pallet::storage]
	pub type OpenRequests<T> =
		CountedStorageMap<_, Blake2_128Concat, (WorkerId, ClusterId), KeyRequest, OptionQuery>;

	/// How often the boot of each worker has asked for the secret that it asked for last.
	#[pallet::storage]
	pub type Askings<T> =
		StorageMap<_, Blake2_128Concat, (WorkerId, ClusterId), Asking, OptionQuery>;

	/// Who answered an open request.
	#[pallet::storage]
	pub type Answers<T> =
		StorageMap<_, Blake2_128Concat, (WorkerId, ClusterId), RequestAnswers, ValueQuery>;

	/// `Some` while open requests are being told to the gatekeepers of a new epoch.
	#[pallet::storage]
	pub type ResendingRequests<T> = StorageValue<_, Resending, OptionQuery>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A worker is willing to serve as a gatekeeper.
		CandidateApplied { worker: WorkerId },
		/// A worker is no longer a candidate: its operator withdrew it, or it was evicted.
		CandidateLeft { worker: WorkerId },
		/// These make the master key of an epoch now.
		CeremonyStarted { epoch: Epoch, attempt: u32, workers: Vec<WorkerId> },
		/// Nobody is left of a ceremony.
		CeremonyAbandoned { epoch: Epoch, attempt: u32 },
		/// A seat says what the ceremony came to.
		MasterKeyConfirmed { worker: WorkerId, epoch: Epoch, attempt: u32, outcome_hash: H256 },
		/// A quorum said the same: the key serves from this block on.
		MasterKeyPending { epoch: Epoch, attempt: u32, active_at: BlockNumber },
		/// Cluster secrets come from this key from now on.
		MasterKeyActivated { epoch: Epoch, attempt: u32 },
		/// An evicted worker lost its seat.
		SeatGivenUp { worker: WorkerId },
		/// A member asks for its cluster's secret.
		KeyRequestOpened { request: KeyRequest },
		/// A request is answered no more: its boot is gone, or its worker left the cluster.
		KeyRequestDropped { worker: WorkerId, cluster: ClusterId },
		/// A gatekeeper released its part of a cluster's secret.
		KeyReleased { worker: WorkerId, request: KeyRequest },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// No worker has this number.
		UnknownWorker,
		/// Only the worker's operator may do this.
		NotOperator,
		/// The worker has no boot, or its boot is suspended.
		NotInForce,
		/// The worker is a candidate already.
		AlreadyCandidate,
		/// The worker is not a candidate.
		NotCandidate,
		/// The worker is seated: it can withdraw when others have taken over.
		Seated,
		/// At least one gatekeeper must be seated.
		NoSeats,
		/// More than [`limits::GATEKEEPERS_MAX`] gatekeepers cannot be seated.
		TooManySeats,
		/// A worker can take one seat only.
		SeatTwice,
		/// All epoch numbers, or all attempts of this epoch, are used up.
		NumbersExhausted,
		/// The block takes no further message; try again in a later one.
		MailboxFull,
		/// What had to be told is longer than `MESSAGE_BYTES_MAX`: it never can be, as it is.
		MessageTooLong,
		/// The channel has used all of its numbers.
		ChannelExhausted,
		/// No ceremony is under way.
		NoCeremony,
		/// The ceremony under way has another epoch or attempt.
		OtherCeremony,
		/// The sender has no seat, or the seat is that of another boot of its worker.
		NotASeat,
		/// The ceremony's outcome is longer than [`limits::CEREMONY_OUTCOME_BYTES_MAX`].
		OutcomeTooLong,
		/// The seat has confirmed this outcome already.
		AlreadyConfirmed,
		/// The seat has confirmed another outcome of the same ceremony.
		ConfirmedDifferently,
		/// No master key serves yet.
		NoMasterKey,
		/// The release is longer than [`limits::KEY_RELEASE_BYTES_MAX`].
		ReleaseTooLong,
		/// This request is not open: it was answered, replaced or withdrawn, or never made.
		RequestNotOpen,
		/// The boot that asked is retired or suspended.
		RequesterNotInForce,
		/// The gatekeeper has answered this request already.
		AlreadyAnswered,
		/// As many requests as may wait do wait for the first master key.
		TooManyWaiting,
		/// The boot has asked for just that, and may do so once more [`limits::KEY_REQUEST_GAP`] blocks after
		/// the first time, twice as many after the second, and so on.
		RequestStillOpen,
		/// The candidate has less than the minimum at stake.
		StakeTooLow,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		#[cfg(feature = "try-runtime")]
		fn try_state(_now: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::check_invariants()
		}

		fn on_initialize(_: BlockNumberFor<T>) -> Weight {
			// Here, so that a key serves from the start of its block on.
			Self::activate_pending_key();
			T::WeightInfo::activate_pending_key()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Makes a worker with a boot in force a candidate, and puts up the bond for it.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::apply())]
		pub fn apply(origin: OriginFor<T>, worker: WorkerId) -> DispatchResult {
			Self::ensure_operator(origin, worker)?;
			ensure!(!Candidates::<T>::contains_key(worker), Error::<T>::AlreadyCandidate);
			Self::boot_in_force(worker)?;
			let operator = T::Boots::operator(worker).ok_or(Error::<T>::UnknownWorker)?;
			T::Bonding::open(BondId::Gatekeeper(worker), &operator)?;
			Candidates::<T>::insert(worker, ());
			Self::deposit_event(Event::CandidateApplied { worker });
			Ok(())
		}

		/// Takes back a candidacy. Refused while the worker is seated.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::withdraw())]
		pub fn withdraw(origin: OriginFor<T>, worker: WorkerId) -> DispatchResult {
			Self::ensure_operator(origin, worker)?;
			ensure!(Candidates::<T>::contains_key(worker), Error::<T>::NotCandidate);
			ensure!(!Self::is_seated(worker), Error::<T>::Seated);
			Self::end_candidacy(worker);
			Ok(())
		}

		/// Seats candidates and lets them make the master key of the next epoch. A ceremony under
		/// way is replaced.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::seat())]
		pub fn seat(origin: OriginFor<T>, workers: Vec<WorkerId>) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			ensure!(!workers.is_empty(), Error::<T>::NoSeats);
			ensure!(
				workers.len() as u64 <= u64::from(limits::GATEKEEPERS_MAX),
				Error::<T>::TooManySeats
			);
			let mut seats = Seats::default();
			for worker in workers {
				ensure!(seats.iter().all(|seat| seat.worker != worker), Error::<T>::SeatTwice);
				ensure!(Candidates::<T>::contains_key(worker), Error::<T>::NotCandidate);
				ensure!(
					T::Bonding::is_sufficient(BondId::Gatekeeper(worker)),
					Error::<T>::StakeTooLow
				);
				let boot = Self::boot_in_force(worker)?;
				seats
					.try_push(Self::seat_of(worker, &boot))
					.map_err(|_| Error::<T>::TooManySeats)?;
			}
			let (epoch, attempt) = Self::next_ceremony().ok_or(Error::<T>::NumbersExhausted)?;
			Self::start_ceremony(epoch, attempt, seats).map_err(Error::<T>::from)?;
			Ok(())
		}
	}
}

impl<T: Config> Pallet<T> {
	fn now() -> BlockNumber {
		frame_system::Pallet::<T>::block_number().saturated_into()
	}

	fn ensure_operator(origin: OriginFor<T>, worker: WorkerId) -> DispatchResult {
		let who: AccountBytes = frame_system::ensure_signed(origin)?.into();
		Ok(T::Boots::ensure_operator(worker, &who).map_err(Error::<T>::from)?)
	}

	fn boot_in_force(worker: WorkerId) -> Result<Boot, Error<T>> {
		T::Boots::boot_in_force(worker).ok_or(Error::<T>::NotInForce)
	}

	/// What was at stake for it leaves by unbonding.
	fn end_candidacy(worker: WorkerId) {
		if Candidates::<T>::take(worker).is_some() {
			T::Bonding::close(BondId::Gatekeeper(worker));
			Self::deposit_event(Event::CandidateLeft { worker });
		}
	}

	fn seat_of(worker: WorkerId, boot: &Boot) -> Seat {
		Seat { worker, boot: boot.number, keys: boot.keys }
	}

	fn has_seat(seats: &Seats, worker: WorkerId) -> bool {
		seats.iter().any(|seat| seat.worker == worker)
	}

	fn is_seated(worker: WorkerId) -> bool {
		Ceremony::<T>::get().is_some_and(|ceremony| Self::has_seat(&ceremony.seats, worker))
			|| Active::<T>::get().is_some_and(|active| Self::has_seat(&active.seats, worker))
	}

	fn ensure_seat(seats: &Seats, origin: EnvelopeOrigin) -> Result<(), Error<T>> {
		let seated =
			seats.iter().any(|seat| (seat.worker, seat.boot) == (origin.worker, origin.boot));
		ensure!(seated, Error::<T>::NotASeat);
		Ok(())
	}

	fn tell(worker: WorkerId, message: KeysMessage) -> Result<(), PushError> {
		Self::push(Channel::Worker(worker), message)
	}

	fn tell_gatekeepers(message: KeysMessage) -> Result<(), PushError> {
		Self::push(Channel::Gatekeepers, message)
	}

	fn push(channel: Channel, message: KeysMessage) -> Result<(), PushError> {
		T::Mailbox::push(channel, &message.into()).map(|_| ())
	}
}

phala_protocol::refused_operators!(Error);
phala_protocol::refused_pushes!(Error);

impl<T: Config> ReceivePayload for Pallet<T> {
	type Payload = KeysPayload;
	type Error = DispatchError;

	fn receive(origin: EnvelopeOrigin, payload: KeysPayload) -> Result<(), DispatchError> {
		match payload {
			KeysPayload::MasterKeyConfirmed { epoch, attempt, outcome } => {
				Self::confirm(origin, epoch, attempt, outcome)
			}
			KeysPayload::KeyReleased { request, release } => {
				Self::release(origin, request, release)
			}
		}
	}
}
