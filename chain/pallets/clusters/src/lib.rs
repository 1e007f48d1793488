//! # Clusters: groups of workers that keep the same agents
//!
//! ## Key terms
//!
//! * **Cluster**: workers that share keys and state; its owner decides who may join.
//! * **Member**: a worker in a cluster. A worker is in one cluster at most.
//! * **Counted**: a member whose boot is in force, that gave a sign of life within
//!   [`limits::LIVENESS_BLOCKS`], and that is not *set aside* for a missed deadline.
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
//! * A member's enclave **asks** for the cluster's secret and **wraps** its data keys
//!   ([`phala_protocol::messages::ClustersPayload`]).
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
//! its holder departs, restarts (a new boot has no keys yet) or misses a deadline. A member that
//! misses one is set aside until its next sign of life, unless nobody else counts: somebody has to
//! try. A lease that nobody could take is handed out at the next join or boot.
//!
//! A departure starts a new generation, at most one in [`limits::GENERATION_GAP`] blocks; further
//! departures share one at the end of the gap. Gaps all have one length, so they end in the order
//! in which they began: a queue holds them, and [`GAPS_PER_BLOCK_MAX`] are ended in one block.
//!
//! A member may ask for the secret of the current generation, and for that of the newest wrapped
//! keys: a member that comes after a departure and before anyone has wrapped anew must read those.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub use pallet::*;
pub use types::*;
pub use weights::{ConservativeWeights, WeightInfo};

#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
mod leases;
mod members;
#[cfg(test)]
mod mock;
mod secrets;
#[cfg(test)]
mod tests;
mod types;
pub mod weights;

use alloc::vec::Vec;
use frame_support::{
	pallet_prelude::*,
	traits::{
		fungible::{Inspect, MutateHold},
		tokens::Precision,
	},
};
use frame_system::pallet_prelude::{BlockNumberFor, OriginFor};
use phala_protocol::{
	agents::{AgentId, Lease},
	boot::{Boot, BootNumber, WorkerId},
	clusters::Generation,
	keys::Epoch,
	limits,
	mailbox::{Channel, ClusterId},
	messages::{ClustersMessage, Message},
	traits::{
		AgentSnapshots, BootDirectory, ClusterDirectory, KeyRequests, MailboxInterface, PushError,
		WorkerDirectory,
	},
	AccountBytes, BlockNumber,
};
use sp_runtime::traits::SaturatedConversion;

/// Most gaps between generations that one block ends.
pub const GAPS_PER_BLOCK_MAX: u32 = 16;

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

		/// Knows workers, their operators and boots.
		type Workers: WorkerDirectory;

		/// Takes members' requests for their cluster's secret.
		type Keys: KeyRequests<Error = DispatchError>;

		/// Knows what members have to be told of agents.
		type Agents: AgentSnapshots;

		/// What a cluster's owner has on hold.
		#[pallet::constant]
		type ClusterDeposit: Get<BalanceOf<Self>>;

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

	/// Clusters that take agents of their owner alone.
	#[pallet::storage]
	pub type ClosedToOthers<T> = StorageMap<_, Blake2_128Concat, ClusterId, (), OptionQuery>;

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

	/// Agents of each cluster, in the order in which they were placed.
	#[pallet::storage]
	pub type ClusterAgents<T> = StorageMap<
		_,
		Blake2_128Concat,
		ClusterId,
		BoundedVec<AgentId, ConstU32<{ limits::CLUSTER_AGENTS_MAX }>>,
		ValueQuery,
	>;

	/// The cluster of each agent.
	#[pallet::storage]
	pub type AgentCluster<T> = StorageMap<_, Blake2_128Concat, AgentId, ClusterId, OptionQuery>;

	/// Who writes each agent; absent while nobody can. Read by clients through storage proofs.
	#[pallet::storage]
	pub type Leases<T> = StorageMap<_, Blake2_128Concat, AgentId, Lease, OptionQuery>;

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
		/// Others than the owner may deploy agents here from now on, or may not.
		OpennessSet { cluster: ClusterId, open: bool },
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
		/// A member missed a deadline and does not count until its next sign of life.
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
		/// The mailbox took no further message; try again in a later block.
		MailboxFull,
		/// The payload is not from the worker's current boot.
		RetiredBoot,
		/// The generation is neither the current one nor that of the newest wrapped keys.
		OtherGeneration,
		/// The master key of this epoch does not serve yet.
		EpochNotActive,
		/// Keys of a later epoch are there already.
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
		/// The cluster takes agents of its owner alone.
		ClusterNotOpen,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn on_initialize(_: BlockNumberFor<T>) -> Weight {
			Self::end_gaps()
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

		/// Makes a worker that asked for it a member. By the cluster's owner.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::approve_join())]
		pub fn approve_join(
			origin: OriginFor<T>,
			cluster: ClusterId,
			worker: WorkerId,
		) -> DispatchResult {
			Self::ensure_owner(origin, cluster)?;
			let request = JoinRequests::<T>::get(worker)
				.filter(|request| request.cluster == cluster)
				.ok_or(Error::<T>::NoJoinRequest)?;
			let boot = Self::boot_in_force(worker)?;
			Self::join(cluster, worker, &boot, request.endpoint)
		}

		/// Says where a member is reached from now on. By the worker's operator.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::set_endpoint())]
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
		pub fn leave(origin: OriginFor<T>, cluster: ClusterId, worker: WorkerId) -> DispatchResult {
			Self::ensure_operator(origin, worker)?;
			Self::depart_or_drop_request(cluster, worker)
		}

		/// Removes a member, or declines a request to join. By the cluster's owner.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::remove_member())]
		pub fn remove_member(
			origin: OriginFor<T>,
			cluster: ClusterId,
			worker: WorkerId,
		) -> DispatchResult {
			Self::ensure_owner(origin, cluster)?;
			Self::depart_or_drop_request(cluster, worker)
		}

		/// Gives up a cluster without members and agents, and releases its deposit.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::close())]
		pub fn close(origin: OriginFor<T>, cluster: ClusterId) -> DispatchResult {
			let record = Self::ensure_owner(origin, cluster)?;
			ensure!(record.members == 0, Error::<T>::ClusterInUse);
			ensure!(ClusterAgents::<T>::get(cluster).is_empty(), Error::<T>::ClusterInUse);
			Clusters::<T>::remove(cluster);
			ClosedToOthers::<T>::remove(cluster);
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

		/// Says whether others than the owner may deploy agents here. Those that are here stay.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::set_open())]
		pub fn set_open(origin: OriginFor<T>, cluster: ClusterId, open: bool) -> DispatchResult {
			Self::ensure_owner(origin, cluster)?;
			ClosedToOthers::<T>::set(cluster, (!open).then_some(()));
			Self::deposit_event(Event::OpennessSet { cluster, open });
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
		let operator = T::Workers::operator(worker).ok_or(Error::<T>::UnknownWorker)?;
		ensure!(operator == who, Error::<T>::NotOperator);
		Ok(())
	}

	fn ensure_owner(
		origin: OriginFor<T>,
		cluster: ClusterId,
	) -> Result<ClusterOf<T>, DispatchError> {
		let who = frame_system::ensure_signed(origin)?;
		let record = Clusters::<T>::get(cluster).ok_or(Error::<T>::UnknownCluster)?;
		ensure!(record.owner == who, Error::<T>::NotOwner);
		Ok(record)
	}

	fn boot_in_force(worker: WorkerId) -> Result<Boot, Error<T>> {
		T::Workers::current_boot(worker)
			.filter(T::Workers::is_in_force)
			.ok_or(Error::<T>::NotInForce)
	}

	/// A URL is printable ASCII: whoever reads it in a log or a page sees what it says.
	fn endpoint(bytes: Vec<u8>) -> Result<Endpoint, Error<T>> {
		let endpoint = Endpoint::try_from(bytes).map_err(|_| Error::<T>::EndpointTooLong)?;
		let host = endpoint
			.strip_prefix(b"https://")
			.or_else(|| endpoint.strip_prefix(b"http://"))
			.ok_or(Error::<T>::EndpointNotUrl)?;
		ensure!(
			!host.is_empty() && host.iter().all(u8::is_ascii_graphic),
			Error::<T>::EndpointNotUrl
		);
		Ok(endpoint)
	}

	fn tell(worker: WorkerId, message: impl Into<Message>) -> Result<(), PushError> {
		T::Mailbox::push(Channel::Worker(worker), &message.into()).map(|_| ())
	}

	fn tell_members(cluster: ClusterId, message: ClustersMessage) -> Result<(), PushError> {
		T::Mailbox::push(Channel::Cluster(cluster), &message.into()).map(|_| ())
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
