//! # Registry: who is an enclave of this network
//!
//! ## Key terms
//!
//! * **Worker**: a place in the network, with an operator, a stake and one machine.
//! * **Boot**: one life of the process in a worker, with keys of its own. The latest one counts.
//! * **Evidence**: what vouches that a boot's keys live in an enclave that runs allowed code.
//! * **In force**: a boot whose evidence has not expired, whose measurement is allowed and whose
//!   worker has at least the minimum at stake.
//! * **Assignment**: a request that the worker was given to answer and whose deadline is to come.
//!
//! ## Usage
//!
//! * An operator **creates** a worker ([`Call::register_worker`], which opens its bond: [`Bonding`]),
//!   **registers** each boot ([`Call::register_boot`]), **renews** its evidence
//!   ([`Call::renew_boot`]) and **closes** the worker ([`Call::close_worker`]), whose stake then leaves
//!   by unbonding.
//! * An operator **offers** a worker to another account ([`Call::offer_worker`]), which **accepts** it
//!   ([`Call::accept_worker`]) with its stake.
//! * Governance **allows** and **delists** measurements ([`Call::allow_measurement`],
//!   [`Call::delist_measurement`], [`Call::destroy_measurement`]), **evicts** workers for a reason that
//!   says what they lose ([`Call::evict_for`]) and **bans** machines ([`Call::set_banned`]). Anyone may
//!   evict a worker whose measurement is no longer allowed or whose stake is exhausted ([`Call::evict`]).
//! * Anyone may **probe** a worker ([`Call::probe`]): its enclave answers through the mailbox, which
//!   shows that the whole way there and back works.
//!
//! ## Design
//!
//! Registering retires the worker's previous boot in the same step: two boots of one worker never both
//! count. What the evidence must be bound to is [`BootStatement`]: genesis, worker, operator, keys
//! and the hash of a block at most 256 blocks old, so neither a copied nor an old report is of use.
//!
//! Suspension is not stored but derived ([`BootDirectory::is_in_force`]): a boot that expired,
//! whose measurement ran out or whose stake fell below the minimum is out of force in that very block,
//! whatever else the block does.
//!
//! **What a worker cannot run away from.** Penalties go to the bond of the worker's *number*
//! ([`WorkerDirectory::penalise`]): a new boot, another operator, leaving its clusters, unbonding and
//! closing change nothing about it. With open assignments it is neither closed nor handed over, and no
//! withdrawal leaves less than the minimum.
//!
//! **Eviction** ends the boot; the worker may come back with another one, but for a ban:
//!
//! | [`EvictionReason`] | by | loses | may come back |
//! |---|---|---|---|
//! | `Delisted` | anyone, the sweep, if it has a successor | nothing | with allowed code |
//! | `StakeExhausted` | anyone, the sweep | nothing more | when it is topped up |
//! | `Fault` | governance | a part of its bonds | yes |
//! | `Compromised` | governance | a part of its bonds | never: its machine is banned |
//!
//! Governance's reasons reach who has no boot any more, or closed its worker, while its stake leaves:
//! so long the registry knows the machine of a closed worker. A ban ends the boot of whichever worker
//! the machine is in by now.
//!
//! **A delisting takes off the list, and no key with it.** It only shortens: an `until` that was set is
//! never put off, and what ran out never comes back but by [`Call::allow_measurement`]. It names a
//! *successor*, another measurement on the list without an `until`, for who has to move. Who runs
//! delisted code is out of force from its block on, but is not evicted while it has no successor
//! ([`WorkerHooks::has_successor`]): the last seat of the master key keeps it until somebody else has it,
//! and members of a cluster with agents keep their state until they boot anew, leave or are removed, or the
//! code is allowed again. [`Call::destroy_measurement`] says that it shall be lost; it takes the stronger
//! origin.
//!
//! **The sweep** ([`Pallet::sweep`]) evicts whom a delisting or an exhausted stake concerns, with the weight
//! that the runtime has for the upkeep of all pallets: first who was reported exhausted, then by a cursor
//! over all boots once the `until` of a delisting has come, and again every [`SWEEP_AGAIN_BLOCKS`] while
//! somebody waits for a successor. It may take as long as it takes, since they are out of force already.
//!
//! **What a stranger can store.** A worker's records are backed by its stake. A worker has one offer, and
//! at most [`limits::OPEN_PROBES_MAX`] open probes, [`limits::PROBE_GAP`] blocks apart, each forgotten
//! after [`limits::PROBE_BLOCKS`]. The next one costs more: who probes often, so that nobody else can, pays
//! sixty-four times the least for each soon.
//!
//! `Software` evidence is accepted only where genesis named [`SoftwareRoot`].

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub use pallet::*;
pub use weights::{ConservativeWeights, WeightInfo};

#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
mod boots;
mod directory;
mod eviction;
mod evidence;
mod invariants;
mod measurements;
#[cfg(test)]
mod mock;
mod sweep;
#[cfg(test)]
mod tests;
mod types;
pub mod weights;

use frame_support::{
	dispatch::WithPostDispatchInfo, pallet_prelude::*, storage::with_storage_layer,
	weights::WeightMeter,
};
use frame_system::pallet_prelude::BlockNumberFor;
use phala_protocol::{
	bonding::BondId,
	boot::{Boot, BootKeys, BootNumber, BootStatement, WorkerId},
	evidence::{Evidence, Measurement, PlatformId},
	limits,
	mailbox::Channel,
	messages::{EnvelopeOrigin, RegistryMessage, RegistryPayload},
	traits::{Assignments, Bonding, BootDirectory, MailboxInterface, WorkerDirectory, WorkerHooks},
	AccountBytes, Balance, BlockNumber, H256,
};
use sp_runtime::{
	traits::{SaturatedConversion, Zero},
	Permill,
};

pub use phala_protocol::evidence::MeasurementRule;
pub use types::{EvictionReason, OpenProbe, ProbePrice, ProbeToll, SweepCursor, Worker};

/// Most delistings whose sweeps wait for their block; further ones share the last.
pub const SWEEPS_DUE_MAX: u32 = 32;

/// Blocks after which the sweep comes again to those that had no successor: ten minutes.
pub const SWEEP_AGAIN_BLOCKS: BlockNumber = 300;

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use frame_system::pallet_prelude::*;

	/// 1: stakes are in the bonding pallet; probes have their block.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config:
		frame_system::Config<
		Hash = H256,
		RuntimeEvent: From<Event<Self>>,
		AccountId: Into<AccountBytes>,
	>
	{
		/// Keeps what operators have at stake.
		type Bonding: Bonding<Error = DispatchError>;

		/// Knows what workers have still to answer.
		type Assignments: Assignments;

		/// Carries messages to workers.
		type Mailbox: MailboxInterface;

		/// Told when a worker loses its boot for good.
		type WorkerHooks: WorkerHooks;

		/// Who sets policy and may evict.
		type AdminOrigin: EnsureOrigin<Self::RuntimeOrigin>;
		/// Who takes measurements off the list.
		type DelistOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// For how many blocks evidence counts.
		type EvidenceLifetime: Get<BlockNumber>;

		/// Fewest blocks between two heartbeats of one worker.
		#[pallet::constant]
		type HeartbeatGap: Get<BlockNumber>;

		/// Takes what a probe costs.
		type ProbeToll: ProbeToll<Self::AccountId>;

		/// What a message costs beyond the work, where an operator has one told as often as it likes: as much of
		/// what users may have of a block's weight as it is of the messages that they may push.
		#[pallet::constant]
		type News: Get<Weight>;

		/// Weights of this pallet's calls.
		type WeightInfo: WeightInfo;

		/// Gives benchmarks operators with PHA.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: benchmarking::BenchmarkHelper<Self::AccountId>;
	}

	/// The number of the next worker.
	#[pallet::storage]
	pub type NextWorker<T> = StorageValue<_, WorkerId, ValueQuery>;

	/// All places in the network.
	#[pallet::storage]
	pub type Workers<T: Config> =
		StorageMap<_, Blake2_128Concat, WorkerId, Worker<T::AccountId>, OptionQuery>;

	/// To whom an operator wants to hand a worker.
	#[pallet::storage]
	pub type Offers<T: Config> =
		StorageMap<_, Blake2_128Concat, WorkerId, T::AccountId, OptionQuery>;

	/// The current boot of each worker. Read by enclaves and clients through storage proofs.
	#[pallet::storage]
	pub type Boots<T> = StorageMap<_, Blake2_128Concat, WorkerId, Boot, OptionQuery>;

	/// Which worker a machine is in: one machine, one worker.
	#[pallet::storage]
	pub type PlatformWorker<T> = StorageMap<_, Blake2_128Concat, PlatformId, WorkerId, OptionQuery>;

	/// Machines whose secrets are known to be out: they are in no worker again.
	#[pallet::storage]
	pub type BannedPlatforms<T> = StorageMap<_, Blake2_128Concat, PlatformId, (), OptionQuery>;

	/// The machines of closed workers of whose bonds something is left: they can still be banned.
	#[pallet::storage]
	pub type ClosedPlatforms<T> =
		StorageMap<_, Blake2_128Concat, WorkerId, PlatformId, OptionQuery>;

	/// Code that may run.
	#[pallet::storage]
	pub type Measurements<T> =
		StorageMap<_, Blake2_128Concat, Measurement, MeasurementRule, OptionQuery>;

	/// Delisted code whose boots are evicted whatever is lost with them.
	#[pallet::storage]
	pub type Destroyed<T> = StorageMap<_, Blake2_128Concat, Measurement, (), OptionQuery>;

	/// sr25519 key that signs software evidence. `None` in production: all of it is refused.
	#[pallet::storage]
	pub type SoftwareRoot<T> = StorageValue<_, [u8; 32], OptionQuery>;

	/// Block of the last heartbeat of each worker's boot.
	#[pallet::storage]
	pub type LastHeartbeat<T> = StorageMap<_, Twox64Concat, WorkerId, BlockNumber, OptionQuery>;

	/// Probes that wait for an answer.
	#[pallet::storage]
	pub type OpenProbes<T> = StorageMap<
		_,
		Twox64Concat,
		WorkerId,
		BoundedVec<OpenProbe, ConstU32<{ limits::OPEN_PROBES_MAX }>>,
		ValueQuery,
	>;

	/// Block of the last probe of each worker's boot.
	#[pallet::storage]
	pub type LastProbe<T> = StorageMap<_, Twox64Concat, WorkerId, BlockNumber, OptionQuery>;

	/// What the next probe of each costs; the least where there is none.
	#[pallet::storage]
	pub type ProbePrices<T> = StorageMap<_, Twox64Concat, WorkerId, ProbePrice, ValueQuery>;

	/// Workers that were reported to have nothing at stake: the sweep looks at them.
	#[pallet::storage]
	pub type ReportedExhausted<T> = StorageMap<_, Twox64Concat, WorkerId, (), OptionQuery>;

	/// Blocks in which a measurement runs out, in their order.
	#[pallet::storage]
	pub type SweepsDue<T> =
		StorageValue<_, BoundedVec<BlockNumber, ConstU32<SWEEPS_DUE_MAX>>, ValueQuery>;

	/// How far the sweep over all boots has come.
	#[pallet::storage]
	pub type SweepUnderWay<T> = StorageValue<_, SweepCursor, OptionQuery>;

	#[pallet::genesis_config]
	#[derive(frame_support::DefaultNoBound)]
	pub struct GenesisConfig<T> {
		/// See [`SoftwareRoot`].
		pub software_root: Option<[u8; 32]>,
		/// Measurements allowed from the start.
		pub measurements: alloc::vec::Vec<H256>,
		#[serde(skip)]
		pub _config: core::marker::PhantomData<T>,
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			SoftwareRoot::<T>::set(self.software_root);
			for measurement in &self.measurements {
				Measurements::<T>::insert(measurement, MeasurementRule { until: None });
			}
		}
	}

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A new place in the network, with its operator's stake in a bond.
		WorkerRegistered { worker: WorkerId, operator: T::AccountId },
		/// A worker was given up; its stake leaves by unbonding.
		WorkerClosed { worker: WorkerId },
		/// An operator wants to hand a worker to another account; `None` takes that back.
		WorkerOffered { worker: WorkerId, to: Option<T::AccountId> },
		/// A worker, with its stake, is another account's; it has no boot.
		WorkerTransferred { worker: WorkerId, from: T::AccountId, to: T::AccountId },
		/// A boot was accepted; every earlier boot of its worker is retired.
		BootRegistered { worker: WorkerId, boot: Boot },
		/// A boot's evidence counts for longer.
		BootRenewed { worker: WorkerId, boot: BootNumber, expires_at: BlockNumber },
		/// A worker's boot was thrown out (0: it had none), and so much of its bonds was slashed.
		WorkerEvicted {
			worker: WorkerId,
			boot: BootNumber,
			reason: EvictionReason,
			slashed: Balance,
		},
		/// A machine is in no worker again.
		PlatformBanned { platform: PlatformId },
		/// A machine may be in a worker again.
		BanLifted { platform: PlatformId },
		/// A worker lost part of its stake for a fault.
		WorkerPenalised { worker: WorkerId, amount: Balance },
		/// Code may run from now on.
		MeasurementAllowed { measurement: Measurement },
		/// Code may run no longer than until this block.
		MeasurementDelisted { measurement: Measurement, until: BlockNumber },
		/// What only boots of delisted code hold is lost with them.
		MeasurementDestroyed { measurement: Measurement },
		/// A boot gave a sign of life.
		Heartbeat { worker: WorkerId, boot: BootNumber },
		/// Somebody asked a worker for a sign of life.
		Probed { worker: WorkerId, nonce: [u8; 32] },
		/// The worker's enclave saw the probe and answered.
		ProbeAnswered { worker: WorkerId, boot: BootNumber, nonce: [u8; 32] },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// No worker has this number.
		UnknownWorker,
		/// Only the worker's operator may do this.
		NotOperator,
		/// The worker has no boot.
		NoBoot,
		/// Its measurement is allowed and its stake not exhausted: evicting it takes governance.
		StillInForce,
		/// The worker still serves; it must leave first.
		WorkerInUse,
		/// All worker numbers, or all boot numbers of this worker, are used up.
		NumbersExhausted,
		/// The evidence is longer than the chain accepts.
		EvidenceTooLong,
		/// The evidence is not well formed.
		EvidenceMalformed,
		/// This network names no root for evidence of that kind.
		EvidenceKindNotAccepted,
		/// No trusted root signed the evidence.
		EvidenceBadSignature,
		/// The evidence is about other keys, another worker, operator, chain or block.
		EvidenceNotBound,
		/// The enclave runs in debug mode.
		EvidenceDebuggable,
		/// The enclave runs code that is not on the allow-list.
		MeasurementNotAllowed,
		/// The evidence is bound to a block that is not among the last 256.
		EvidenceBlockTooOld,
		/// The machine is in another worker: one machine, one worker.
		PlatformInOtherWorker,
		/// The worker is bound to another machine.
		OtherPlatform,
		/// The worker's current boot has these keys already: renew it instead.
		AlreadyRegistered,
		/// The block takes no further message; try again in a later one.
		MailboxFull,
		/// What had to be told is longer than `MESSAGE_BYTES_MAX`: it never can be, as it is.
		MessageTooLong,
		/// The channel has used all of its numbers.
		ChannelExhausted,
		/// The last heartbeat is too recent.
		HeartbeatTooSoon,
		/// Nobody asked for this probe, or it was answered, or asked too long ago.
		UnknownProbe,
		/// The worker has less than the minimum at stake: top it up first.
		StakeTooLow,
		/// The worker has requests to answer still: wait for their deadlines.
		OpenAssignments,
		/// The operator's stake for a seat of this worker has not been withdrawn yet.
		SeatStakeLeaving,
		/// Nobody offered the worker to this account.
		NotOffered,
		/// The machine is banned.
		PlatformBanned,
		/// The machine is not banned.
		PlatformNotBanned,
		/// The worker was probed less than [`limits::PROBE_GAP`] blocks ago.
		ProbeTooSoon,
		/// [`limits::OPEN_PROBES_MAX`] probes of the worker wait for an answer.
		TooManyProbes,
		/// Its measurement is delisted, but nobody else in force holds what it holds: a seat of the
		/// master key, or its cluster's state. Let another take over first.
		NoSuccessorInForce,
		/// The measurement is delisted already, from an earlier block: only `allow_measurement` gives it
		/// more time.
		UntilLaterThanBefore,
		/// The successor is not another measurement that is on the list without an `until`.
		NoSuccessorAllowed,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		#[cfg(feature = "try-runtime")]
		fn try_state(_now: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::check_invariants()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Creates a worker for the caller, and its bond.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::register_worker())]
		pub fn register_worker(origin: OriginFor<T>) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			let worker = NextWorker::<T>::get();
			let next = worker.checked_add(1).ok_or(Error::<T>::NumbersExhausted)?;
			T::Bonding::open(BondId::Worker(worker), &operator.clone().into())?;
			NextWorker::<T>::put(next);
			Workers::<T>::insert(
				worker,
				Worker { operator: operator.clone(), platform: None, boots: 0 },
			);
			Self::deposit_event(Event::WorkerRegistered { worker, operator });
			Ok(())
		}

		/// Makes `keys` the worker's current boot, on the word of `evidence`.
		///
		/// `evidence` is SCALE of [`Evidence`]; its report data must be that of the
		/// [`BootStatement`] with the hash of `recent_block`.
		#[pallet::call_index(1)]
		#[pallet::weight(weights::boot::<T, T::WeightInfo>(limits::AGENTS_SWEPT_MAX))]
		pub fn register_boot(
			origin: OriginFor<T>,
			worker: WorkerId,
			keys: BootKeys,
			evidence: alloc::vec::Vec<u8>,
			recent_block: BlockNumber,
		) -> DispatchResultWithPostInfo {
			// What is refused until here has looked at no more than the evidence.
			let boot = Self::boots_anew(origin, worker, keys, &evidence, recent_block)
				.map_err(|error| error.with_weight(weights::refused_boot::<T, T::WeightInfo>()))?;
			let used = Self::rely_on(worker, &boot)?;
			Self::deposit_event(Event::BootRegistered { worker, boot });
			Ok(used)
		}

		/// Lets the current boot count for longer, on fresh evidence for the same keys.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::renew_boot().saturating_add(T::News::get()))]
		pub fn renew_boot(
			origin: OriginFor<T>,
			worker: WorkerId,
			evidence: alloc::vec::Vec<u8>,
			recent_block: BlockNumber,
		) -> DispatchResult {
			let record = Self::worker_of(origin, worker)?;
			let mut boot = Boots::<T>::get(worker).ok_or(Error::<T>::NoBoot)?;
			let report =
				Self::verify_evidence(&record, worker, &boot.keys, &evidence, recent_block)?;
			boot.evidence = report.kind;
			boot.measurement = report.measurement;
			boot.expires_at = Self::now().saturating_add(T::EvidenceLifetime::get());
			Boots::<T>::insert(worker, &boot);
			let (boot, expires_at) = (boot.number, boot.expires_at);
			Self::tell(worker, RegistryMessage::Renewed { boot, expires_at })?;
			Self::deposit_event(Event::BootRenewed { worker, boot, expires_at });
			Ok(())
		}

		/// Throws out a boot whose measurement ran out, or whose worker has nothing at stake. By
		/// anyone: the sweep would come to it.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::evict())]
		pub fn evict(origin: OriginFor<T>, worker: WorkerId) -> DispatchResultWithPostInfo {
			ensure_signed(origin)?;
			let (boot, reason) = Self::is_to_be_evicted(worker)
				.map_err(|error| error.with_weight(weights::look::<T, T::WeightInfo>()))?;
			Self::throw_out(worker, Some(&boot), reason)?;
			Ok(().into())
		}

		/// Gives up a worker that serves nowhere and owes no answer; its stake leaves by unbonding.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::close_worker())]
		pub fn close_worker(origin: OriginFor<T>, worker: WorkerId) -> DispatchResult {
			let record = Self::worker_of(origin, worker)?;
			Self::put_out_of_service(worker)?;
			if let Some(platform) = record.platform {
				PlatformWorker::<T>::remove(platform);
				ClosedPlatforms::<T>::insert(worker, platform);
			}
			Offers::<T>::remove(worker);
			Workers::<T>::remove(worker);
			T::Bonding::close(BondId::Worker(worker));
			Self::deposit_event(Event::WorkerClosed { worker });
			Ok(())
		}

		/// Puts a measurement on the allow-list; undoes an earlier delisting.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::allow_measurement())]
		pub fn allow_measurement(origin: OriginFor<T>, measurement: Measurement) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Measurements::<T>::insert(measurement, MeasurementRule { until: None });
			Destroyed::<T>::remove(measurement);
			Self::announce(RegistryMessage::MeasurementAllowed { measurement })?;
			Self::deposit_event(Event::MeasurementAllowed { measurement });
			Ok(())
		}

		/// Takes a measurement off the allow-list from block `until` on, so that operators can move to
		/// `successor`: another one on the list, without an `until`. It only shortens the time of one that
		/// is allowed now; an `until` that has passed means now.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::delist_measurement())]
		pub fn delist_measurement(
			origin: OriginFor<T>,
			measurement: Measurement,
			until: BlockNumber,
			successor: Measurement,
		) -> DispatchResult {
			T::DelistOrigin::ensure_origin(origin)?;
			let stays = Measurements::<T>::get(successor).is_some_and(|rule| rule.until.is_none());
			ensure!(stays && successor != measurement, Error::<T>::NoSuccessorAllowed);
			ensure!(Self::is_allowed(&measurement), Error::<T>::MeasurementNotAllowed);
			Self::delist(measurement, until)
		}

		/// Asks a worker's enclave for a sign of life through the mailbox. What it costs doubles with each that is
		/// made, up to [`limits::PROBE_DOUBLINGS_MAX`] times, and halves every
		/// [`limits::PROBE_COOLING_BLOCKS`] blocks.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::probe())]
		pub fn probe(origin: OriginFor<T>, worker: WorkerId, nonce: [u8; 32]) -> DispatchResult {
			let who = ensure_signed(origin)?;
			ensure!(Boots::<T>::contains_key(worker), Error::<T>::NoBoot);
			let now = Self::now();
			let too_soon = LastProbe::<T>::get(worker)
				.is_some_and(|last| now.saturating_sub(last) < limits::PROBE_GAP);
			ensure!(!too_soon, Error::<T>::ProbeTooSoon);
			OpenProbes::<T>::try_mutate(worker, |open| {
				open.retain(|probe| probe.waits(now));
				open.try_push(OpenProbe { nonce, asked_at: now })
					.map_err(|_| Error::<T>::TooManyProbes)
			})?;
			let price = ProbePrices::<T>::get(worker).at(now);
			T::ProbeToll::pay(&who, price.doublings)?;
			ProbePrices::<T>::insert(worker, price.after_one());
			LastProbe::<T>::insert(worker, now);
			Self::tell(worker, RegistryMessage::Probe { nonce })?;
			Self::deposit_event(Event::Probed { worker, nonce });
			Ok(())
		}

		/// Throws out a worker's boot for a reason that says what it loses. By governance. Whoever ends
		/// the boot or closes the worker before the vote does loses it all the same.
		#[pallet::call_index(8)]
		#[pallet::weight(T::WeightInfo::evict_for())]
		pub fn evict_for(
			origin: OriginFor<T>,
			worker: WorkerId,
			reason: EvictionReason,
		) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			let boot = Boots::<T>::get(worker);
			let has_bond =
				Self::bonds_of(worker).into_iter().any(|bond| T::Bonding::at_stake(bond) > 0);
			ensure!(boot.is_some() || has_bond, Error::<T>::NoBoot);
			Self::throw_out(worker, boot.as_ref(), reason)
		}

		/// Bans a machine from being in a worker, or lifts that. By governance. The boot that runs on it ends.
		#[pallet::call_index(9)]
		#[pallet::weight(T::WeightInfo::set_banned())]
		pub fn set_banned(
			origin: OriginFor<T>,
			platform: PlatformId,
			banned: bool,
		) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			if banned {
				Self::ban(platform);
				Self::throw_machine_out(platform, None)?;
			} else {
				BannedPlatforms::<T>::take(platform).ok_or(Error::<T>::PlatformNotBanned)?;
				Self::deposit_event(Event::BanLifted { platform });
			}
			Ok(())
		}

		/// Offers a worker, with its stake, to another account; `None` takes the offer back.
		#[pallet::call_index(10)]
		#[pallet::weight(T::WeightInfo::offer_worker())]
		pub fn offer_worker(
			origin: OriginFor<T>,
			worker: WorkerId,
			to: Option<T::AccountId>,
		) -> DispatchResult {
			Self::worker_of(origin, worker)?;
			Offers::<T>::set(worker, to.clone());
			Self::deposit_event(Event::WorkerOffered { worker, to });
			Ok(())
		}

		/// Takes over a worker that was offered to the caller, with its stake and what leaves of it. It
		/// must be out of service, since whoever relies on it relied on its operator: its boot ends.
		#[pallet::call_index(11)]
		#[pallet::weight(T::WeightInfo::accept_worker())]
		pub fn accept_worker(origin: OriginFor<T>, worker: WorkerId) -> DispatchResult {
			let to = ensure_signed(origin)?;
			let record = Workers::<T>::get(worker).ok_or(Error::<T>::UnknownWorker)?;
			ensure!(Offers::<T>::get(worker).as_ref() == Some(&to), Error::<T>::NotOffered);
			// It answers for what the former operator did.
			let seat = BondId::Gatekeeper(worker);
			ensure!(T::Bonding::at_stake(seat) == 0, Error::<T>::SeatStakeLeaving);
			Self::put_out_of_service(worker)?;
			Offers::<T>::remove(worker);
			T::Bonding::transfer(BondId::Worker(worker), &to.clone().into())?;
			let from = record.operator.clone();
			Workers::<T>::insert(worker, Worker { operator: to.clone(), ..record });
			Self::deposit_event(Event::WorkerTransferred { worker, from, to });
			Ok(())
		}

		/// Takes a measurement off the allow-list from block `until` on, at the latest, **and with it
		/// whatever only its boots hold**: the master key, the state of whole clusters. No successor is
		/// asked for, and no eviction waits for one. By governance, and not by those who may only delist.
		#[pallet::call_index(12)]
		#[pallet::weight(T::WeightInfo::destroy_measurement())]
		pub fn destroy_measurement(
			origin: OriginFor<T>,
			measurement: Measurement,
			until: BlockNumber,
		) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			ensure!(
				Measurements::<T>::contains_key(measurement),
				Error::<T>::MeasurementNotAllowed
			);
			let before = Measurements::<T>::get(measurement).and_then(|rule| rule.until);
			if Self::is_allowed(&measurement) {
				Self::delist(measurement, before.map_or(until, |before| until.min(before)))?;
			} else {
				// It is off the list: the sweep comes again to those that waited.
				Self::note_sweep(Self::now());
			}
			Destroyed::<T>::insert(measurement, ());
			Self::deposit_event(Event::MeasurementDestroyed { measurement });
			Ok(())
		}
	}
}

impl<T: Config> Pallet<T> {
	fn now() -> BlockNumber {
		frame_system::Pallet::<T>::block_number().saturated_into()
	}

	fn worker_of(
		origin: frame_system::pallet_prelude::OriginFor<T>,
		worker: WorkerId,
	) -> Result<Worker<T::AccountId>, DispatchError> {
		let who = frame_system::ensure_signed(origin)?;
		let record = Workers::<T>::get(worker).ok_or(Error::<T>::UnknownWorker)?;
		ensure!(record.operator == who, Error::<T>::NotOperator);
		Ok(record)
	}

	fn tell(worker: WorkerId, message: RegistryMessage) -> DispatchResult {
		Self::push(Channel::Worker(worker), message)
	}

	fn announce(message: RegistryMessage) -> DispatchResult {
		Self::push(Channel::System, message)
	}

	fn push(channel: Channel, message: RegistryMessage) -> DispatchResult {
		T::Mailbox::push(channel, &message.into()).map_err(Error::<T>::from)?;
		Ok(())
	}
}

phala_protocol::refused_pushes!(Error);
