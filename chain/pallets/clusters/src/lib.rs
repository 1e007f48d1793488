//! # Clusters: groups of workers that keep the same agents
//!
//! ## Key terms
//!
//! * **Cluster**: workers that share keys and state; its owner decides who may join.
//! * **Member**: a worker in a cluster. A worker is in one cluster at most.
//! * **Counted**: a member whose boot is in force, that gave a sign of life within
//!   [`limits::LIVENESS_BLOCKS`], and that is not *set aside* for its silence.
//! * **Lease**: the right to write one agent's state. One boot has it; without a member that
//!   counts nobody has.
//! * **Generation**: counts a cluster's secrets. Who left does not learn the next.
//!
//! ## Usage
//!
//! * Anyone **creates** a cluster ([`Call::create`], which holds [`Config::ClusterDeposit`]) and
//!   **closes** it when it is empty ([`Call::close`]).
//! * An operator **asks** to join ([`Call::request_join`]), **moves** its public server
//!   ([`Call::set_endpoint`]) and **leaves** or takes the request back ([`Call::leave`]).
//! * The owner **approves** a request ([`Call::approve_join`]), and **removes** members or declines
//!   requests ([`Call::remove_member`]).
//! * A cluster takes its owner's agents alone, and those of developers that it **admits**
//!   ([`Call::admit_developer`]), until it is **opened** to all ([`Call::set_open`]), with a floor for
//!   prices and a deposit.
//! * The owner **offers** the cluster to another account ([`Call::offer_transfer`]), which **accepts**
//!   ([`Call::accept_transfer`]).
//! * A member's enclave **asks** for the cluster's secret, **wraps** its data keys, and **challenges**
//!   a lease holder that does not answer it ([`phala_protocol::messages::ClustersPayload`]).
//! * The agents and requests pallets place agents and report missed deadlines
//!   ([`ClusterDirectory`]).
//!
//! ## Design
//!
//! A new member, or a new boot of one, is told a snapshot of the cluster with the head of its
//! channel at that point, then each agent; all later changes come on the channel, from that head
//! on. Its own `Member` message is the first of them.
//!
//! A lease goes to the counted member with fewest leases, the lowest worker on ties. It moves when
//! its holder departs, restarts (a new boot has no keys yet), is silent when it is challenged (a
//! table of villains is at the head of `challenges.rs`), or misses a deadline of that agent. Who was
//! silent is set aside until its next sign of life. If nobody else counts a lease stays: somebody has
//! to try. A lease that nobody could take is handed out at the next join, boot or sign of life. Until the
//! lease of one that departed, or of an earlier boot, has moved the agent gets no paid work. That of one that is
//! out of force (its code delisted, its stake or evidence gone) moves when work comes, and if nobody counts
//! there is no work: no caller pays for what the chain would not take.
//!
//! **Bounds.** Nothing looks at all agents of a cluster in one step. What concerns many is a *sweep*:
//! [`SWEPT_PER_BLOCK_MAX`] agents at a time, the first of them at once where a call's weight covers
//! them, the rest later, with the runtime's weight for upkeep (`sweeps.rs`). A boot gets no lease before it was told of all agents.
//! Should users' messages have filled a block, registrations and joins go on, and the sweep that tells of
//! the agents follows.
//!
//! A departure starts a new generation, at most one in [`limits::GENERATION_GAP`] blocks; further
//! departures share one at the end of the gap. Gaps all have one length, so they end in the order
//! in which they began: a queue holds them, and [`Pallet::end_gaps`] ends those whose time has come.
//!
//! A member may ask for the secret of the current generation, and for that of the newest wrapped
//! keys: a member that comes after a departure and before anyone has wrapped anew must read those.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub use pallet::*;
pub use types::*;
pub use weights::{ConservativeWeights, WeightInfo};

mod admission;
#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
mod challenges;
mod invariants;
mod leases;
mod members;
#[cfg(test)]
mod mock;
mod secrets;
mod sweeps;
#[cfg(test)]
mod tests;
mod types;
pub mod weights;

use alloc::vec::Vec;
use frame_support::{
	dispatch::WithPostDispatchInfo,
	pallet_prelude::*,
	traits::{
		fungible::{Inspect, MutateHold},
		tokens::Precision,
	},
	weights::WeightMeter,
};
use frame_system::pallet_prelude::{BlockNumberFor, OriginFor};
use phala_protocol::{
	agents::{AgentId, Assignment, Excuse, Lease, Liability},
	boot::{Boot, BootNumber, WorkerId},
	clusters::{Generation, Opening},
	evidence::Measurement,
	keys::Epoch,
	limits,
	mailbox::{Channel, ClusterId},
	messages::{ClustersMessage, Message},
	traits::{
		AgentSnapshots, BootDirectory, ClusterDirectory, EnvelopeLanes, KeyRequests, LeaseHooks,
		MailboxInterface, PushError, WorkerDirectory,
	},
	AccountBytes, Balance, BlockNumber,
};
use sp_runtime::traits::SaturatedConversion;

/// Most agents that one step looks at in sweeps; a call that begins one does as many.
pub const SWEPT_PER_BLOCK_MAX: u32 = limits::AGENTS_SWEPT_MAX;

/// Balance type of [`Config::Currency`].
pub type BalanceOf<T> =
	<<T as Config>::Currency as Inspect<<T as frame_system::Config>::AccountId>>::Balance;

/// A cluster of this runtime.
pub type ClusterOf<T> = Cluster<<T as frame_system::Config>::AccountId, BalanceOf<T>>;

#[frame_support::pallet]
pub mod pallet {
	use super::*;

	/// Moves with the layout of what is stored, by a migration of the runtime.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config:
		frame_system::Config<RuntimeEvent: From<Event<Self>>, AccountId: Into<AccountBytes>>
	{
		/// Holds the deposit.
		type Currency: MutateHold<Self::AccountId, Reason = Self::RuntimeHoldReason>;

		/// The runtime's hold reasons.
		type RuntimeHoldReason: From<HoldReason>;

		/// Carries messages to members.
		type Mailbox: MailboxInterface;

		/// Knows how far envelopes have come.
		type Lanes: EnvelopeLanes;

		/// Knows workers, their operators and boots.
		type Workers: WorkerDirectory;

		/// Takes members' requests for their cluster's secret.
		type Keys: KeyRequests<Error = DispatchError>;

		/// Knows what members have to be told of agents.
		type Agents: AgentSnapshots;

		/// Refunds what was to be answered by who lost a lease.
		type LeaseHooks: LeaseHooks;

		/// What a cluster's owner has on hold.
		#[pallet::constant]
		type ClusterDeposit: Get<BalanceOf<Self>>;

		/// What a message costs beyond the work, where an operator has one told as often as it likes: as much of
		/// what users may have of a block's weight as it is of the messages that they may push.
		#[pallet::constant]
		type News: Get<Weight>;

		/// Weights of this pallet's calls.
		type WeightInfo: WeightInfo;

		/// Gives benchmarks workers with boots.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: benchmarking::BenchmarkHelper<Self::AccountId>;
	}

	/// Why funds are on hold.
	#[pallet::composite_enum]
	pub enum HoldReason {
		/// The owner's deposit for a cluster.
		ClusterDeposit,
	}

	/// Clusters that take agents of others than their owner, and on which terms.
	#[pallet::storage]
	pub type Openings<T> = StorageMap<_, Blake2_128Concat, ClusterId, Opening, OptionQuery>;

	/// Who may deploy in each cluster as its owner does.
	#[pallet::storage]
	pub type AdmittedDevelopers<T> = StorageMap<
		_,
		Blake2_128Concat,
		ClusterId,
		BoundedVec<AccountBytes, ConstU32<{ limits::ADMITTED_DEVELOPERS_MAX }>>,
		ValueQuery,
	>;

	/// Who may take a cluster over.
	#[pallet::storage]
	pub type Offers<T: Config> =
		StorageMap<_, Blake2_128Concat, ClusterId, T::AccountId, OptionQuery>;

	/// The number of the next cluster.
	#[pallet::storage]
	pub type NextCluster<T> = StorageValue<_, ClusterId, ValueQuery>;

	/// All clusters.
	#[pallet::storage]
	pub type Clusters<T: Config> =
		StorageMap<_, Blake2_128Concat, ClusterId, ClusterOf<T>, OptionQuery>;

	/// Members of each cluster, at most [`limits::CLUSTER_MEMBERS_MAX`].
	#[pallet::storage]
	pub type Members<T> = StorageDoubleMap<
		_,
		Blake2_128Concat,
		ClusterId,
		Blake2_128Concat,
		WorkerId,
		MemberRecord,
		OptionQuery,
	>;

	/// The cluster that a worker is a member of.
	#[pallet::storage]
	pub type MemberOf<T> = StorageMap<_, Blake2_128Concat, WorkerId, ClusterId, OptionQuery>;

	/// The cluster that a worker wants to join.
	#[pallet::storage]
	pub type JoinRequests<T> = StorageMap<_, Blake2_128Concat, WorkerId, JoinRequest, OptionQuery>;

	/// Agents of each cluster. Their ids are hashes already.
	#[pallet::storage]
	pub type ClusterAgents<T> =
		StorageDoubleMap<_, Twox64Concat, ClusterId, Identity, AgentId, (), OptionQuery>;

	/// The cluster of each agent.
	#[pallet::storage]
	pub type AgentCluster<T> = StorageMap<_, Blake2_128Concat, AgentId, ClusterId, OptionQuery>;

	/// Who writes each agent; absent while nobody can. Read by clients through storage proofs.
	#[pallet::storage]
	pub type Leases<T> = StorageMap<_, Blake2_128Concat, AgentId, Lease, OptionQuery>;

	/// The agents whose lease each worker has, in whichever life.
	#[pallet::storage]
	pub type HeldLeases<T> =
		StorageDoubleMap<_, Twox64Concat, WorkerId, Identity, AgentId, (), OptionQuery>;

	/// How the leases of each agent ended.
	#[pallet::storage]
	pub type LeaseHistories<T> = StorageMap<_, Identity, AgentId, LeaseHistory, ValueQuery>;

	/// The newest block that each member of a cluster said is final to it.
	#[pallet::storage]
	pub type FinalSeen<T> = StorageMap<
		_,
		Twox64Concat,
		ClusterId,
		BoundedBTreeMap<WorkerId, BlockNumber, ConstU32<{ limits::CLUSTER_MEMBERS_MAX }>>,
		ValueQuery,
	>;

	/// How many leases each worker has.
	#[pallet::storage]
	pub type Loads<T> = StorageMap<_, Twox64Concat, WorkerId, u32, ValueQuery>;

	/// The agents of each cluster whose lease nobody has.
	#[pallet::storage]
	pub type FreeLeases<T> =
		StorageDoubleMap<_, Twox64Concat, ClusterId, Identity, AgentId, (), OptionQuery>;

	/// Boots that were not told of all agents yet: they get no lease.
	#[pallet::storage]
	pub type Untold<T> = StorageMap<_, Twox64Concat, WorkerId, BootNumber, OptionQuery>;

	/// What is to be done for many agents, in order, each with the agent after which it goes on.
	#[pallet::storage]
	pub type Sweeps<T> = StorageMap<_, Twox64Concat, u64, (Sweep, Option<AgentId>), OptionQuery>;

	/// Number of the next sweep that begins, or goes on.
	#[pallet::storage]
	pub type NextSweep<T> = StorageValue<_, u64, ValueQuery>;

	/// Number of the oldest sweep that is not done.
	#[pallet::storage]
	pub type FirstSweep<T> = StorageValue<_, u64, ValueQuery>;

	/// Lease holders that were said to be silent, one challenge each.
	#[pallet::storage]
	pub type Challenges<T> = StorageMap<_, Twox64Concat, WorkerId, Challenge, OptionQuery>;

	/// Who challenged each holder within [`limits::CHALLENGE_SPACING_BLOCKS`], and when.
	#[pallet::storage]
	pub type LatelyChallenged<T> = StorageMap<
		_,
		Twox64Concat,
		WorkerId,
		BoundedVec<(WorkerId, BlockNumber), ConstU32<{ limits::CLUSTER_MEMBERS_MAX }>>,
		ValueQuery,
	>;

	/// The newest wrapped keys of each cluster.
	#[pallet::storage]
	pub type NewestKeys<T> = StorageMap<_, Blake2_128Concat, ClusterId, StoredKeys, OptionQuery>;

	/// Gaps between generations in the order in which they began, which is that of their ends: the
	/// cluster, and the first block after the gap.
	#[pallet::storage]
	pub type Gaps<T> = StorageMap<_, Twox64Concat, u64, (ClusterId, BlockNumber), OptionQuery>;

	/// Number of the next gap that begins.
	#[pallet::storage]
	pub type NextGap<T> = StorageValue<_, u64, ValueQuery>;

	/// Number of the next gap that ends.
	#[pallet::storage]
	pub type FirstGap<T> = StorageValue<_, u64, ValueQuery>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A new cluster, with its owner's deposit on hold.
		ClusterCreated { cluster: ClusterId, owner: T::AccountId },
		/// A cluster was given up and its deposit released.
		ClusterClosed { cluster: ClusterId },
		/// From now on others than the owner deploy agents here on these terms; `None`: not at all.
		OpeningSet { cluster: ClusterId, opening: Option<Opening> },
		/// An account may deploy as the owner does, or may not any more.
		DeveloperAdmitted { cluster: ClusterId, developer: T::AccountId, admitted: bool },
		/// The owner offers the cluster to an account; `None`: no more.
		TransferOffered { cluster: ClusterId, to: Option<T::AccountId> },
		/// A cluster has another owner.
		Transferred { cluster: ClusterId, from: T::AccountId, to: T::AccountId },
		/// A worker wants to join; the cluster's owner decides.
		JoinRequested { cluster: ClusterId, worker: WorkerId, endpoint: Vec<u8> },
		/// A request to join was taken back, declined, or lost with its worker's boot.
		JoinRequestDropped { cluster: ClusterId, worker: WorkerId },
		/// A worker is a member from now on.
		MemberJoined { cluster: ClusterId, worker: WorkerId, boot: BootNumber },
		/// A member has a new boot.
		MemberBooted { cluster: ClusterId, worker: WorkerId, boot: BootNumber },
		/// A member is reached elsewhere from now on.
		EndpointChanged { cluster: ClusterId, worker: WorkerId, endpoint: Vec<u8> },
		/// A worker is no longer a member: it left, was removed or evicted.
		MemberLeft { cluster: ClusterId, worker: WorkerId },
		/// A member says that it gets no answer of this one, which has leases.
		HolderChallenged { cluster: ClusterId, worker: WorkerId, boot: BootNumber, by: WorkerId },
		/// A member that was challenged, or set aside, is there.
		HolderPresent { cluster: ClusterId, worker: WorkerId, boot: BootNumber },
		/// A member was challenged and was silent: it does not count until its next sign of life, and
		/// its leases move.
		MemberSetAside { cluster: ClusterId, worker: WorkerId },
		/// The cluster's secret is a new one.
		GenerationStarted { cluster: ClusterId, generation: Generation },
		/// A member asks for the cluster's secret.
		KeyRequested { cluster: ClusterId, worker: WorkerId, generation: Generation },
		/// A member wrapped the cluster's data keys anew.
		KeysWrapped { cluster: ClusterId, worker: WorkerId, epoch: Epoch, generation: Generation },
		/// An agent has its place in a cluster.
		AgentPlaced { cluster: ClusterId, agent: AgentId, lease: Lease },
		/// Another boot writes the agent from now on; `None` while no member can.
		LeaseMoved { cluster: ClusterId, agent: AgentId, lease: Option<Lease> },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// No cluster has this number.
		UnknownCluster,
		/// No worker has this number.
		UnknownWorker,
		/// Only the worker's operator may do this.
		NotOperator,
		/// Only the cluster's owner may do this.
		NotOwner,
		/// The worker has no boot, or its boot is suspended.
		NotInForce,
		/// The worker is a member of a cluster already: it must leave that one first.
		AlreadyMember,
		/// The worker is not a member of this cluster.
		NotMember,
		/// The worker did not ask to join this cluster.
		NoJoinRequest,
		/// The cluster has [`limits::CLUSTER_MEMBERS_MAX`] members already.
		ClusterFull,
		/// The cluster still has members or agents.
		ClusterInUse,
		/// The endpoint is longer than [`limits::ENDPOINT_BYTES_MAX`].
		EndpointTooLong,
		/// The endpoint is not an ASCII URL that begins with `http://` or `https://`.
		EndpointNotUrl,
		/// All cluster numbers are used up.
		NumbersExhausted,
		/// The block takes no further message; try again in a later one.
		MailboxFull,
		/// What had to be told is longer than `MESSAGE_BYTES_MAX`: it never can be, as it is.
		MessageTooLong,
		/// The channel has used all of its numbers.
		ChannelExhausted,
		/// The payload is not from the worker's current boot.
		RetiredBoot,
		/// The generation is neither the current one nor that of the newest wrapped keys.
		OtherGeneration,
		/// The master key of this epoch does not serve yet.
		EpochNotActive,
		/// The master key of this epoch serves no more: nobody is given the secret that would open them.
		EpochPassed,
		/// Somebody wrapped the keys for this epoch and generation before.
		KeysAlreadyWrapped,
		/// The wrapped keys are longer than [`limits::WRAPPED_KEYS_BYTES_MAX`].
		WrappedKeysTooLong,
		/// The agent has its place in a cluster already.
		AgentAlreadyPlaced,
		/// The cluster has [`limits::CLUSTER_AGENTS_MAX`] agents already.
		TooManyAgents,
		/// No member of the cluster is in force, alive and not set aside.
		NobodyCounts,
		/// The cluster takes agents of its owner, and of those that it admitted, alone.
		ClusterNotOpen,
		/// The owner has admitted [`limits::ADMITTED_DEVELOPERS_MAX`] already.
		TooManyAdmitted,
		/// The cluster is not offered to this account.
		NotOffered,
		/// The worker has another boot, measurement or endpoint than is approved: look again.
		OtherApplicant,
		/// Only a member that counts may say this: in force, alive and not set aside.
		DoesNotCount,
		/// Nobody challenges itself.
		OwnChallenge,
		/// It is about another boot than the worker's current one.
		OtherBoot,
		/// The worker has no lease: there is nothing to challenge it for.
		HasNoLease,
		/// The worker is challenged already, and has time left to answer; it can be challenged anew
		/// [`limits::CHALLENGE_SPACING_BLOCKS`] after that.
		AlreadyChallenged,
		/// The sender challenged this worker within [`limits::CHALLENGE_SPACING_BLOCKS`].
		ChallengedLately,
		/// No such challenge is open.
		NoSuchChallenge,
		/// The boot has sent an envelope since it was challenged: it is there.
		HolderAnswered,
		/// The challenged has [`limits::CHALLENGE_BLOCKS`] to answer.
		ChallengeTooYoung,
		/// There is no such block yet.
		BlockInTheFuture,
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
		/// Creates a cluster of the caller and holds its deposit.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::create())]
		pub fn create(origin: OriginFor<T>) -> DispatchResult {
			let owner = frame_system::ensure_signed(origin)?;
			let cluster = NextCluster::<T>::get();
			let next = cluster.checked_add(1).ok_or(Error::<T>::NumbersExhausted)?;
			let deposit = T::ClusterDeposit::get();
			T::Currency::hold(&HoldReason::ClusterDeposit.into(), &owner, deposit)?;
			NextCluster::<T>::put(next);
			Clusters::<T>::insert(
				cluster,
				Cluster {
					owner: owner.clone(),
					deposit,
					generation: 1,
					members: 0,
					agents: 0,
					gap: GenerationGap::Open,
				},
			);
			Self::deposit_event(Event::ClusterCreated { cluster, owner });
			Ok(())
		}

		/// Asks to join a cluster, in place of an earlier request of the worker.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::request_join())]
		pub fn request_join(
			origin: OriginFor<T>,
			cluster: ClusterId,
			worker: WorkerId,
			endpoint: Vec<u8>,
		) -> DispatchResult {
			Self::ensure_operator(origin, worker)?;
			ensure!(Clusters::<T>::contains_key(cluster), Error::<T>::UnknownCluster);
			ensure!(!MemberOf::<T>::contains_key(worker), Error::<T>::AlreadyMember);
			Self::boot_in_force(worker)?;
			let endpoint = Self::endpoint(endpoint)?;
			JoinRequests::<T>::insert(worker, JoinRequest { cluster, endpoint: endpoint.clone() });
			let endpoint = endpoint.into_inner();
			Self::deposit_event(Event::JoinRequested { cluster, worker, endpoint });
			Ok(())
		}

		/// Makes a worker that asked for it a member. By the cluster's owner, who names what it has looked
		/// at: nobody slips in with another boot, other code or another address.
		#[pallet::call_index(2)]
		#[pallet::weight(weights::approval::<T, T::WeightInfo>(SWEPT_PER_BLOCK_MAX))]
		pub fn approve_join(
			origin: OriginFor<T>,
			cluster: ClusterId,
			worker: WorkerId,
			boot: BootNumber,
			measurement: Measurement,
			endpoint: Vec<u8>,
		) -> DispatchResultWithPostInfo {
			// To find out that it is not to be takes no more than to ask for it.
			let (current, endpoint) =
				Self::approved(origin, cluster, worker, (boot, measurement), &endpoint)
					.map_err(|error| error.with_weight(T::WeightInfo::request_join()))?;
			let agents = Self::join(cluster, worker, &current, endpoint)?;
			// What there was less to tell and to give than there may be is given back.
			Ok(Some(weights::approval::<T, T::WeightInfo>(agents)).into())
		}

		/// Says where a member is reached from now on. By the worker's operator.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::set_endpoint().saturating_add(T::News::get()))]
		pub fn set_endpoint(
			origin: OriginFor<T>,
			worker: WorkerId,
			endpoint: Vec<u8>,
		) -> DispatchResult {
			Self::ensure_operator(origin, worker)?;
			let cluster = MemberOf::<T>::get(worker).ok_or(Error::<T>::NotMember)?;
			let endpoint = Self::endpoint(endpoint)?;
			Members::<T>::try_mutate(cluster, worker, |record| {
				record.as_mut().ok_or(Error::<T>::NotMember)?.endpoint = endpoint.clone();
				Ok::<_, Error<T>>(())
			})?;
			let boot = T::Workers::current_boot(worker).ok_or(Error::<T>::NotInForce)?;
			let endpoint = endpoint.into_inner();
			let member = Self::member(worker, &boot, endpoint.clone());
			Self::tell_members(cluster, ClustersMessage::Member(member))
				.map_err(Error::<T>::from)?;
			Self::deposit_event(Event::EndpointChanged { cluster, worker, endpoint });
			Ok(())
		}

		/// Leaves a cluster, or takes back the request to join it. By the worker's operator.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::leave())]
		pub fn leave(
			origin: OriginFor<T>,
			cluster: ClusterId,
			worker: WorkerId,
		) -> DispatchResultWithPostInfo {
			Self::ensure_operator(origin, worker)
				.map_err(|error| error.with_weight(T::WeightInfo::request_join()))?;
			Self::depart_or_drop_request(cluster, worker, Moves::Left)
		}

		/// Removes a member, or declines a request to join. By the cluster's owner; a worker of the owner's
		/// own leaves so.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::remove_member())]
		pub fn remove_member(
			origin: OriginFor<T>,
			cluster: ClusterId,
			worker: WorkerId,
		) -> DispatchResultWithPostInfo {
			let record = Self::ensure_owner(origin, cluster)
				.map_err(|error| error.with_weight(T::WeightInfo::request_join()))?;
			let owner: AccountBytes = record.owner.into();
			// Whose worker it is cannot excuse it so from what it answers for.
			let is_own = T::Workers::operator(worker) == Some(owner);
			let why = if is_own { Moves::Left } else { Moves::Removed };
			Self::depart_or_drop_request(cluster, worker, why)
		}

		/// Gives up a cluster without members and agents, and releases its deposit.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::close())]
		pub fn close(origin: OriginFor<T>, cluster: ClusterId) -> DispatchResult {
			let record = Self::ensure_owner(origin, cluster)?;
			ensure!(record.members == 0, Error::<T>::ClusterInUse);
			ensure!(record.agents == 0, Error::<T>::ClusterInUse);
			Clusters::<T>::remove(cluster);
			Openings::<T>::remove(cluster);
			AdmittedDevelopers::<T>::remove(cluster);
			Offers::<T>::remove(cluster);
			FinalSeen::<T>::remove(cluster);
			NewestKeys::<T>::remove(cluster);
			T::Currency::release(
				&HoldReason::ClusterDeposit.into(),
				&record.owner,
				record.deposit,
				Precision::BestEffort,
			)?;
			Self::deposit_event(Event::ClusterClosed { cluster });
			Ok(())
		}

		/// Says on which terms others than the owner may deploy agents here; `None`, as at first: they
		/// may not. Those that are here stay.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::set_open())]
		pub fn set_open(
			origin: OriginFor<T>,
			cluster: ClusterId,
			opening: Option<Opening>,
		) -> DispatchResult {
			Self::ensure_owner(origin, cluster)?;
			Openings::<T>::set(cluster, opening);
			Self::deposit_event(Event::OpeningSet { cluster, opening });
			Ok(())
		}

		/// Lets an account deploy agents as the owner does, or no more.
		#[pallet::call_index(8)]
		#[pallet::weight(T::WeightInfo::admit_developer())]
		pub fn admit_developer(
			origin: OriginFor<T>,
			cluster: ClusterId,
			developer: T::AccountId,
			admitted: bool,
		) -> DispatchResult {
			Self::ensure_owner(origin, cluster)?;
			let bytes: AccountBytes = developer.clone().into();
			AdmittedDevelopers::<T>::try_mutate_exists(cluster, |list| {
				let mut all = list.take().unwrap_or_default();
				all.retain(|other| *other != bytes);
				if admitted {
					all.try_push(bytes).map_err(|_| Error::<T>::TooManyAdmitted)?;
				}
				*list = Some(all).filter(|all| !all.is_empty());
				Ok::<_, Error<T>>(())
			})?;
			Self::deposit_event(Event::DeveloperAdmitted { cluster, developer, admitted });
			Ok(())
		}

		/// Offers the cluster to an account, in place of an earlier offer; `None` takes it back.
		#[pallet::call_index(9)]
		#[pallet::weight(T::WeightInfo::offer_transfer())]
		pub fn offer_transfer(
			origin: OriginFor<T>,
			cluster: ClusterId,
			to: Option<T::AccountId>,
		) -> DispatchResult {
			Self::ensure_owner(origin, cluster)?;
			Offers::<T>::set(cluster, to.clone());
			Self::deposit_event(Event::TransferOffered { cluster, to });
			Ok(())
		}

		/// Takes a cluster over that is offered: the caller's deposit is held instead.
		#[pallet::call_index(10)]
		#[pallet::weight(T::WeightInfo::accept_transfer())]
		pub fn accept_transfer(origin: OriginFor<T>, cluster: ClusterId) -> DispatchResult {
			let to = frame_system::ensure_signed(origin)?;
			let mut record = Clusters::<T>::get(cluster).ok_or(Error::<T>::UnknownCluster)?;
			ensure!(Offers::<T>::take(cluster) == Some(to.clone()), Error::<T>::NotOffered);
			let reason = HoldReason::ClusterDeposit.into();
			let from = core::mem::replace(&mut record.owner, to.clone());
			T::Currency::release(&reason, &from, record.deposit, Precision::BestEffort)?;
			record.deposit = T::ClusterDeposit::get();
			T::Currency::hold(&reason, &to, record.deposit)?;
			Clusters::<T>::insert(cluster, record);
			Self::deposit_event(Event::Transferred { cluster, from, to });
			Ok(())
		}
	}
}

impl<T: Config> Pallet<T> {
	fn now() -> BlockNumber {
		frame_system::Pallet::<T>::block_number().saturated_into()
	}

	fn tell(worker: WorkerId, message: impl Into<Message>) -> Result<(), PushError> {
		T::Mailbox::push(Channel::Worker(worker), &message.into()).map(|_| ())
	}

	fn tell_members(cluster: ClusterId, message: ClustersMessage) -> Result<(), PushError> {
		T::Mailbox::push(Channel::Cluster(cluster), &message.into()).map(|_| ())
	}
}

phala_protocol::refused_operators!(Error);
phala_protocol::refused_pushes!(Error);
