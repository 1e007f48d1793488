//! # Registry: who is an enclave of this network
//!
//! ## Key terms
//!
//! * **Worker**: a place in the network, with an operator, a stake and one machine.
//! * **Boot**: one life of the process in a worker, with keys of its own. The latest one counts.
//! * **Evidence**: what vouches that a boot's keys live in an enclave that runs allowed code.
//! * **In force**: a boot whose evidence has not expired and whose measurement is allowed.
//!
//! ## Usage
//!
//! * An operator **creates** a worker ([`Call::register_worker`], which holds [`Config::WorkerStake`]),
//!   **registers** each boot ([`Call::register_boot`]), **renews** its evidence
//!   ([`Call::renew_boot`]) and **closes** the worker ([`Call::close_worker`]).
//! * Governance **allows** and **delists** measurements ([`Call::allow_measurement`],
//!   [`Call::delist_measurement`]) and **evicts** workers; anyone may evict a worker whose measurement
//!   is no longer allowed ([`Call::evict`]).
//! * Anyone may **probe** a worker ([`Call::probe`]): its enclave answers through the mailbox, which
//!   shows that the whole way there and back works.
//!
//! ## Design
//!
//! Registering retires the worker's previous boot in the same step: two boots of one worker never both
//! count. What the evidence must be bound to is [`BootStatement`]: genesis, worker, operator, keys
//! and the hash of a block at most 256 blocks old, so neither a copied nor an old report is of use.
//!
//! Suspension is not stored but derived ([`BootDirectory::is_in_force`]): a boot that expired or
//! whose measurement ran out is out of force in that very block, whatever else the block does.
//!
//! `Software` evidence is accepted only where genesis named [`SoftwareRoot`].

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub use pallet::*;
pub use weights::{ConservativeWeights, WeightInfo};

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;
pub mod weights;

use codec::{Decode, DecodeAll, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
	pallet_prelude::*,
	traits::{
		fungible::{BalancedHold, Credit, Inspect, MutateHold},
		tokens::Precision,
		OnUnbalanced,
	},
};
use frame_system::pallet_prelude::BlockNumberFor;
use phala_attestation::{AcceptedReport, EvidenceError, Roots};
use phala_protocol::{
	boot::{Boot, BootKeys, BootNumber, BootStatement, WorkerId},
	evidence::{Evidence, Measurement, PlatformId},
	limits,
	mailbox::Channel,
	messages::{EnvelopeOrigin, RegistryMessage, RegistryPayload},
	traits::{
		BootDirectory, MailboxInterface, PushError, ReceivePayload, WorkerDirectory, WorkerHooks,
	},
	AccountBytes, Balance, BlockNumber, H256,
};
use sp_runtime::traits::{SaturatedConversion, Saturating, Zero};

pub use phala_protocol::evidence::MeasurementRule;

/// A place in the network.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Worker<AccountId, Balance> {
	/// Who runs the machine, pays for registration and put the stake.
	pub operator: AccountId,
	/// Held from the operator while the worker exists.
	pub stake: Balance,
	/// The machine, known from the first evidence on.
	pub platform: Option<PlatformId>,
	/// Number of the latest boot; 0 before the first.
	pub boots: BootNumber,
}

/// Balance type of [`Config::Currency`].
pub type BalanceOf<T> =
	<<T as Config>::Currency as Inspect<<T as frame_system::Config>::AccountId>>::Balance;

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use frame_system::pallet_prelude::*;

	#[pallet::pallet]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config:
		frame_system::Config<
		Hash = H256,
		RuntimeEvent: From<Event<Self>>,
		AccountId: Into<AccountBytes>,
	>
	{
		/// Holds the stake.
		type Currency: MutateHold<Self::AccountId, Reason = Self::RuntimeHoldReason>
			+ BalancedHold<Self::AccountId, Reason = Self::RuntimeHoldReason>;

		/// Gets what workers lose for their faults.
		type Penalties: OnUnbalanced<Credit<Self::AccountId, Self::Currency>>;

		/// The runtime's hold reasons.
		type RuntimeHoldReason: From<HoldReason>;

		/// Carries messages to workers.
		type Mailbox: MailboxInterface;

		/// Told when a worker loses its boot for good.
		type WorkerHooks: WorkerHooks;

		/// Who sets policy and may evict.
		type AdminOrigin: EnsureOrigin<Self::RuntimeOrigin>;
		/// Who takes measurements off the list.
		type DelistOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// What a worker's operator has at stake.
		#[pallet::constant]
		type WorkerStake: Get<BalanceOf<Self>>;

		/// For how many blocks evidence counts.
		type EvidenceLifetime: Get<BlockNumber>;

		/// Fewest blocks between two heartbeats of one worker.
		#[pallet::constant]
		type HeartbeatGap: Get<BlockNumber>;

		/// Weights of this pallet's calls.
		type WeightInfo: WeightInfo;
	}

	/// Why funds are on hold.
	#[pallet::composite_enum]
	pub enum HoldReason {
		/// The operator's stake for a worker.
		WorkerStake,
	}

	/// The number of the next worker.
	#[pallet::storage]
	pub type NextWorker<T> = StorageValue<_, WorkerId, ValueQuery>;

	/// All places in the network.
	#[pallet::storage]
	pub type Workers<T: Config> =
		StorageMap<_, Blake2_128Concat, WorkerId, Worker<T::AccountId, BalanceOf<T>>, OptionQuery>;

	/// The current boot of each worker. Read by enclaves and clients through storage proofs.
	#[pallet::storage]
	pub type Boots<T> = StorageMap<_, Blake2_128Concat, WorkerId, Boot, OptionQuery>;

	/// Which worker a machine is in: one machine, one worker.
	#[pallet::storage]
	pub type PlatformWorker<T> = StorageMap<_, Blake2_128Concat, PlatformId, WorkerId, OptionQuery>;

	/// Code that may run.
	#[pallet::storage]
	pub type Measurements<T> =
		StorageMap<_, Blake2_128Concat, Measurement, MeasurementRule, OptionQuery>;

	/// sr25519 key that signs software evidence. `None` in production: all of it is refused.
	#[pallet::storage]
	pub type SoftwareRoot<T> = StorageValue<_, [u8; 32], OptionQuery>;

	/// Block of the last heartbeat of each worker's boot.
	#[pallet::storage]
	pub type LastHeartbeat<T> = StorageMap<_, Twox64Concat, WorkerId, BlockNumber, OptionQuery>;

	/// Probes that wait for an answer; the oldest gives way when there are too many.
	#[pallet::storage]
	pub type OpenProbes<T> = StorageMap<
		_,
		Twox64Concat,
		WorkerId,
		BoundedVec<[u8; 32], ConstU32<{ limits::OPEN_PROBES_MAX }>>,
		ValueQuery,
	>;

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
		/// A new place in the network, with its operator's stake on hold.
		WorkerRegistered { worker: WorkerId, operator: T::AccountId },
		/// A worker was given up and its stake released.
		WorkerClosed { worker: WorkerId },
		/// A boot was accepted; every earlier boot of its worker is retired.
		BootRegistered { worker: WorkerId, boot: Boot },
		/// A boot's evidence counts for longer.
		BootRenewed { worker: WorkerId, boot: BootNumber, expires_at: BlockNumber },
		/// A worker's boot was thrown out.
		WorkerEvicted { worker: WorkerId, boot: BootNumber },
		/// A worker lost part of its stake for a fault.
		WorkerPenalised { worker: WorkerId, amount: BalanceOf<T> },
		/// Code may run from now on.
		MeasurementAllowed { measurement: Measurement },
		/// Code may run no longer than until this block.
		MeasurementDelisted { measurement: Measurement, until: BlockNumber },
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
		/// The worker's boot is still in force: evicting it takes governance.
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
		/// A measurement cannot be delisted from a block that has passed.
		UntilInThePast,
		/// The worker's current boot has these keys already: renew it instead.
		AlreadyRegistered,
		/// The mailbox took no further message; try again in a later block.
		MailboxFull,
		/// The last heartbeat is too recent.
		HeartbeatTooSoon,
		/// Nobody asked for this probe, or it was answered, or it was dropped for newer ones.
		UnknownProbe,
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Creates a worker for the caller and holds its stake.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::register_worker())]
		pub fn register_worker(origin: OriginFor<T>) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			let worker = NextWorker::<T>::get();
			let next = worker.checked_add(1).ok_or(Error::<T>::NumbersExhausted)?;
			let stake = T::WorkerStake::get();
			T::Currency::hold(&HoldReason::WorkerStake.into(), &operator, stake)?;
			NextWorker::<T>::put(next);
			Workers::<T>::insert(
				worker,
				Worker { operator: operator.clone(), stake, platform: None, boots: 0 },
			);
			Self::deposit_event(Event::WorkerRegistered { worker, operator });
			Ok(())
		}

		/// Makes `keys` the worker's current boot, on the word of `evidence`.
		///
		/// `evidence` is SCALE of [`Evidence`]; its report data must be that of the
		/// [`BootStatement`] with the hash of `recent_block`.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::register_boot(evidence.len() as u32))]
		pub fn register_boot(
			origin: OriginFor<T>,
			worker: WorkerId,
			keys: BootKeys,
			evidence: alloc::vec::Vec<u8>,
			recent_block: BlockNumber,
		) -> DispatchResult {
			let mut record = Self::worker_of(origin, worker)?;
			// Two relayers of one boot: the second registration would restart its numbering.
			ensure!(
				Boots::<T>::get(worker).is_none_or(|boot| boot.keys != keys),
				Error::<T>::AlreadyRegistered
			);
			let report = Self::verify_evidence(&record, worker, &keys, &evidence, recent_block)?;
			let number = record.boots.checked_add(1).ok_or(Error::<T>::NumbersExhausted)?;
			let now = Self::now();
			let boot = Boot {
				number,
				keys,
				evidence: report.kind,
				measurement: report.measurement,
				registered_at: now,
				expires_at: now.saturating_add(T::EvidenceLifetime::get()),
			};

			record.boots = number;
			record.platform = Some(report.platform);
			PlatformWorker::<T>::insert(report.platform, worker);
			Workers::<T>::insert(worker, record);
			Boots::<T>::insert(worker, &boot);
			LastHeartbeat::<T>::remove(worker);
			OpenProbes::<T>::remove(worker);
			T::Mailbox::open_inbound(worker, number);
			Self::tell(
				worker,
				RegistryMessage::Registered { boot: number, keys, expires_at: boot.expires_at },
			)?;
			T::WorkerHooks::on_boot(worker, &boot).map_err(Error::<T>::from)?;
			Self::deposit_event(Event::BootRegistered { worker, boot });
			Ok(())
		}

		/// Lets the current boot count for longer, on fresh evidence for the same keys.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::renew_boot(evidence.len() as u32))]
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

		/// Throws out a worker's boot: governance any, anyone one whose measurement ran out.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::evict())]
		pub fn evict(origin: OriginFor<T>, worker: WorkerId) -> DispatchResult {
			let by_governance = T::AdminOrigin::ensure_origin(origin.clone()).is_ok();
			if !by_governance {
				ensure_signed(origin)?;
			}
			let boot = Boots::<T>::get(worker).ok_or(Error::<T>::NoBoot)?;
			ensure!(
				by_governance || !Self::is_allowed(&boot.measurement),
				Error::<T>::StillInForce
			);
			Self::remove_boot(worker, &boot)?;
			T::WorkerHooks::on_evicted(worker).map_err(Error::<T>::from)?;
			Self::deposit_event(Event::WorkerEvicted { worker, boot: boot.number });
			Ok(())
		}

		/// Gives up a worker that serves nowhere, and releases its stake.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::close_worker())]
		pub fn close_worker(origin: OriginFor<T>, worker: WorkerId) -> DispatchResult {
			let record = Self::worker_of(origin, worker)?;
			ensure!(!T::WorkerHooks::is_in_use(worker), Error::<T>::WorkerInUse);
			if let Some(boot) = Boots::<T>::get(worker) {
				Self::remove_boot(worker, &boot)?;
			}
			if let Some(platform) = record.platform {
				PlatformWorker::<T>::remove(platform);
			}
			Workers::<T>::remove(worker);
			T::Currency::release(
				&HoldReason::WorkerStake.into(),
				&record.operator,
				record.stake,
				Precision::BestEffort,
			)?;
			Self::deposit_event(Event::WorkerClosed { worker });
			Ok(())
		}

		/// Puts a measurement on the allow-list; undoes an earlier delisting.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::allow_measurement())]
		pub fn allow_measurement(origin: OriginFor<T>, measurement: Measurement) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Measurements::<T>::insert(measurement, MeasurementRule { until: None });
			Self::announce(RegistryMessage::MeasurementAllowed { measurement })?;
			Self::deposit_event(Event::MeasurementAllowed { measurement });
			Ok(())
		}

		/// Takes a measurement off the allow-list from block `until` on, so that operators can move.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::delist_measurement())]
		pub fn delist_measurement(
			origin: OriginFor<T>,
			measurement: Measurement,
			until: BlockNumber,
		) -> DispatchResult {
			T::DelistOrigin::ensure_origin(origin)?;
			ensure!(until >= Self::now(), Error::<T>::UntilInThePast);
			Measurements::<T>::try_mutate(measurement, |rule| {
				rule.as_mut().ok_or(Error::<T>::MeasurementNotAllowed)?.until = Some(until);
				Ok::<_, DispatchError>(())
			})?;
			Self::announce(RegistryMessage::MeasurementDelisted { measurement, until })?;
			Self::deposit_event(Event::MeasurementDelisted { measurement, until });
			Ok(())
		}

		/// Asks a worker's enclave for a sign of life through the mailbox.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::probe())]
		pub fn probe(origin: OriginFor<T>, worker: WorkerId, nonce: [u8; 32]) -> DispatchResult {
			ensure_signed(origin)?;
			ensure!(Boots::<T>::contains_key(worker), Error::<T>::NoBoot);
			OpenProbes::<T>::mutate(worker, |open| {
				if open.is_full() {
					open.remove(0);
				}
				// There is room: the line above made it.
				let _ = open.try_push(nonce);
			});
			Self::tell(worker, RegistryMessage::Probe { nonce })?;
			Self::deposit_event(Event::Probed { worker, nonce });
			Ok(())
		}
	}
}

impl<T: Config> Pallet<T> {
	fn now() -> BlockNumber {
		frame_system::Pallet::<T>::block_number().saturated_into()
	}

	fn is_allowed(measurement: &Measurement) -> bool {
		Measurements::<T>::get(measurement).is_some_and(|rule| rule.allows(Self::now()))
	}

	fn worker_of(
		origin: frame_system::pallet_prelude::OriginFor<T>,
		worker: WorkerId,
	) -> Result<Worker<T::AccountId, BalanceOf<T>>, DispatchError> {
		let who = frame_system::ensure_signed(origin)?;
		let record = Workers::<T>::get(worker).ok_or(Error::<T>::UnknownWorker)?;
		ensure!(record.operator == who, Error::<T>::NotOperator);
		Ok(record)
	}

	fn verify_evidence(
		record: &Worker<T::AccountId, BalanceOf<T>>,
		worker: WorkerId,
		keys: &BootKeys,
		evidence: &[u8],
		recent_block: BlockNumber,
	) -> Result<AcceptedReport, DispatchError> {
		ensure!(
			evidence.len() as u64 <= u64::from(limits::EVIDENCE_BYTES_MAX),
			Error::<T>::EvidenceTooLong
		);
		let evidence =
			Evidence::decode_all(&mut &evidence[..]).map_err(|_| Error::<T>::EvidenceMalformed)?;
		let now = Self::now();
		// `now` has no hash yet, and a number that has not come yet has none either.
		ensure!(
			recent_block < now && now - recent_block <= limits::EVIDENCE_BLOCK_AGE_MAX,
			Error::<T>::EvidenceBlockTooOld
		);
		let hash_of_block = |number: BlockNumber| {
			frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::from(number))
		};
		let recent_hash: H256 = hash_of_block(recent_block);
		ensure!(!recent_hash.is_zero(), Error::<T>::EvidenceBlockTooOld);
		let statement = BootStatement::new(
			hash_of_block(BlockNumber::zero()),
			worker,
			record.operator.clone().into(),
			*keys,
			recent_hash,
		);
		let roots = Roots {
			software: SoftwareRoot::<T>::get(),
			verify_sr25519: |signature, message, public| {
				sp_io::crypto::sr25519_verify(
					&sp_core::sr25519::Signature::from_raw(*signature),
					message,
					&sp_core::sr25519::Public::from_raw(*public),
				)
			},
		};
		let report = phala_attestation::verify(
			&evidence,
			&roots,
			&statement.report_data(),
			Self::is_allowed,
		)
		.map_err(Error::<T>::from)?;

		match PlatformWorker::<T>::get(report.platform) {
			Some(other) if other != worker => return Err(Error::<T>::PlatformInOtherWorker.into()),
			_ => {}
		}
		ensure!(
			record.platform.is_none_or(|platform| platform == report.platform),
			Error::<T>::OtherPlatform
		);
		Ok(report)
	}

	fn remove_boot(worker: WorkerId, boot: &Boot) -> DispatchResult {
		Boots::<T>::remove(worker);
		LastHeartbeat::<T>::remove(worker);
		OpenProbes::<T>::remove(worker);
		T::Mailbox::close_inbound(worker);
		Self::tell(worker, RegistryMessage::Evicted { boot: boot.number })
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

impl<T> From<PushError> for Error<T> {
	fn from(refused: PushError) -> Self {
		match refused {
			PushError::BlockFull | PushError::TooLong | PushError::ChannelExhausted => {
				Self::MailboxFull
			}
		}
	}
}

impl<T> From<EvidenceError> for Error<T> {
	fn from(refused: EvidenceError) -> Self {
		match refused {
			EvidenceError::KindNotAccepted(_) => Self::EvidenceKindNotAccepted,
			EvidenceError::BadSignature => Self::EvidenceBadSignature,
			EvidenceError::NotBound { .. } => Self::EvidenceNotBound,
			EvidenceError::Debuggable => Self::EvidenceDebuggable,
			EvidenceError::MeasurementNotAllowed(_) => Self::MeasurementNotAllowed,
		}
	}
}

impl<T: Config> BootDirectory for Pallet<T> {
	fn current_boot(worker: WorkerId) -> Option<Boot> {
		Boots::<T>::get(worker)
	}

	fn is_in_force(boot: &Boot) -> bool {
		Self::now() < boot.expires_at && Self::is_allowed(&boot.measurement)
	}
}

impl<T: Config> WorkerDirectory for Pallet<T> {
	fn operator(worker: WorkerId) -> Option<AccountBytes> {
		Workers::<T>::get(worker).map(|record| record.operator.into())
	}

	fn last_sign_of_life(worker: WorkerId) -> Option<BlockNumber> {
		let registered_at = Boots::<T>::get(worker)?.registered_at;
		Some(LastHeartbeat::<T>::get(worker).unwrap_or_default().max(registered_at))
	}

	fn penalise(worker: WorkerId, amount: Balance) -> Balance {
		Workers::<T>::mutate(worker, |record| {
			let Some(record) = record else { return 0 };
			let wanted = amount.saturated_into::<BalanceOf<T>>().min(record.stake);
			let (imbalance, missing) =
				T::Currency::slash(&HoldReason::WorkerStake.into(), &record.operator, wanted);
			let taken = wanted.saturating_sub(missing);
			T::Penalties::on_unbalanced(imbalance);
			record.stake = record.stake.saturating_sub(taken);
			Self::deposit_event(Event::WorkerPenalised { worker, amount: taken });
			taken.saturated_into()
		})
	}
}

impl<T: Config> ReceivePayload for Pallet<T> {
	type Payload = RegistryPayload;
	type Error = DispatchError;

	fn receive(origin: EnvelopeOrigin, payload: RegistryPayload) -> Result<(), DispatchError> {
		let EnvelopeOrigin { worker, boot } = origin;
		match payload {
			RegistryPayload::Heartbeat { nonce } => {
				let now = Self::now();
				let too_soon = LastHeartbeat::<T>::get(worker)
					.is_some_and(|last| now.saturating_sub(last) < T::HeartbeatGap::get());
				ensure!(!too_soon, Error::<T>::HeartbeatTooSoon);
				LastHeartbeat::<T>::insert(worker, now);
				T::WorkerHooks::on_sign_of_life(worker);
				Self::tell(worker, RegistryMessage::HeartbeatSeen { boot, nonce })?;
				Self::deposit_event(Event::Heartbeat { worker, boot });
			}
			RegistryPayload::ProbeAnswered { nonce } => {
				OpenProbes::<T>::try_mutate(worker, |open| {
					let place = open
						.iter()
						.position(|asked| *asked == nonce)
						.ok_or(Error::<T>::UnknownProbe)?;
					open.remove(place);
					Ok::<_, DispatchError>(())
				})?;
				Self::deposit_event(Event::ProbeAnswered { worker, boot, nonce });
			}
		}
		Ok(())
	}
}
