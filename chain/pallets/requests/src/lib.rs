//! # Requests: paid work for agents
//!
//! ## Key terms
//!
//! * **Request**: one call of an agent, or one delivery of secrets, that a caller pays for.
//! * **Escrow**: what the caller has put up until the request is closed. It is in an account of the
//!   pallet's: were it on hold in the caller's own, PHA that is vesting or was voted with could be put up
//!   too, and paying would free it.
//! * **Assignment**: the boot that had the agent's lease when the request was made. It alone may
//!   answer; a later boot of its worker never runs the request again.
//! * **Duty**: what the assigned worker answers for, up to the deadline, whatever becomes of the request.
//! * **Deadline**: the last block at which an answer counts.
//! * **Room**: places for open requests of an agent, of a worker, of a deadline ([`Room`]).
//!
//! ## Usage
//!
//! * A caller **submits** a request ([`Call::submit`]); its id is in [`Event::RequestSubmitted`].
//! * The assigned enclave answers with an effect set ([`ReceivePayload`]), which **settles** it:
//!   the answer is in [`Responses`] for [`Config::ResponseRetention`] blocks.
//! * A request whose assigned boot loses the agent's lease is **refunded** at once:
//!   [`Event::RequestRefunded`].
//! * A request that nobody answered **expires** right after its deadline. [`Event::RequestExpired`] says
//!   who lost what, or why nobody did; of one that was refunded before, too.
//!
//! ## Design
//!
//! **Exactly once.** A request is open, then settled or expired (with its money back), and never again
//! anything else.
//! An effect set commits and settles in one storage layer: a result that is refused (unknown,
//! repeated, late, by another boot) refuses the whole set, and nobody was paid.
//!
//! **Money.** All of `max_fee` is accounted for:
//!
//! ```text
//! at submit      base fee = BaseFee * 2^doublings -> treasury, not refunded
//!                held = max_fee - base fee,  units_max = held / unit price
//! at settlement  fee       = min(units, units_max) * unit price  <=  held
//!                worker    = WorkerShare    * fee, rounded down  -> the worker's operator
//!                developer = DeveloperShare * fee, rounded down  -> the agent's owner
//!                treasury  = fee - worker - developer
//!                caller    = held - fee
//! at expiry      caller    = held, or at once when the lease moves
//! at deadline    who answers for it loses
//!                min(MissedDeadlinePenalty, PENALTY_MULTIPLE * WorkerShare * units_max * unit price)
//! ```
//!
//! Price and limit are those of the time of submission. A payment that its receiver cannot take,
//! because its account would stay below the existential deposit, goes to the treasury, and what
//! not even that can take stays with the caller: no payment can fail a settlement. What the caller cannot
//! take back is the treasury's, if need be later ([`OwedToTreasury`]). A run that failed pays for the units it used.
//!
//! **Room.** A flood pays, and others get in (docs/decisions/016). Open requests are bounded for each agent, each
//! worker (which its agents share) and each deadline, and for each caller. From half of a room on the
//! base fee doubles with each 32nd part of the places that is taken; the fullest of the three rooms
//! decides. The last places cost more than a thousand PHA, so rooms do not fill up: who is in a hurry pays
//! as much as the flood does, who is not waits until the worker has answered some of it. `max_fee` guards
//! the caller: if the base fee does not leave a unit of it, nothing is paid.
//!
//! **When a lease moves**, whoever had it answers no more: what was assigned to it is refunded, in that block
//! if it has weight left, else in the next ones. Whether anybody answers for the miss is judged at the deadline all the same, by the table below: a
//! refund excuses nobody, and blames nobody.
//!
//! **Missed deadlines.** The boot that was assigned answers for the request, whatever it did since, and
//! only if the chain shows nobody else's act and members of the cluster have said, in the last
//! [`limits::DEADLINE_NEAR_BLOCKS`] before the deadline, that blocks become final. All misses of one lease
//! cost what the largest of them does: a later one that is larger costs the difference. So do all misses of
//! the leases that a boot gave up by its own act: who restarts a worker with a hundred agents is not ruined by
//! those who asked all of them just before. That agent's lease moves then, and no other; the worker is set aside. (Callers are
//! refunded first: the lease moves in the same block, or, when many do, in one of the next.) An enclave that
//! lives and hears of blocks never misses: what it cannot do in time it answers with a failure.
//!
//! | what happened | caller | worker's stake | lease | [`Excuse`] |
//! |---|---|---|---|---|
//! | the holder withheld the answer, or was cut off by its host | refunded | **penalty** | moves | |
//! | it started a new boot, or left, or its operator's own cluster removed it, instead | refunded | **penalty**, one for all leases of the boot | has moved | |
//! | it missed another request of the same lease before | refunded | pays by how much this one costs more | has moved, or moves when somebody else counts | |
//! | that one cost as much, or another that its boot gave up | refunded | keeps | the same | `AlreadyPenalised` |
//! | the owner removed the worker, it was evicted, or its code delisted | refunded | keeps | has moved, or moves | `Removed` |
//! | the lease was taken: the holder was silent when challenged | refunded | keeps | has moved | `LeaseTaken` |
//! | the cluster's generation changed: its new keys may not have been there | refunded | keeps | moves: an accomplice that leaves in time keeps it nothing | `GenerationChanged` |
//! | others' paid work filled the holder's lane, or blocks were full, up to the deadline | refunded | keeps | moves | `LaneFull` |
//! | finality stalled, or too few other members lived to make a quorum with the holder | refunded | keeps | stays | `FinalityStalled` |
//! | an input that does not open, or is none: the holder answers so | pays a unit | keeps, is paid | stays | answered |
//! | the requester's own agent is slow: the holder answers `TooLate` | pays no unit | keeps | stays | answered |
//!
//! Inputs travel within requests: nobody can withhold one. What is lost is at most
//! [`PENALTY_MULTIPLE`] times what the work would have brought the worker, so nobody gains by making
//! others miss.
//!
//! **Bounds.** Open requests: [`limits::OPEN_REQUESTS_PER_AGENT_MAX`],
//! [`limits::OPEN_REQUESTS_PER_WORKER_MAX`], [`limits::OPEN_REQUESTS_PER_CALLER_MAX`]; of one deadline
//! [`limits::REQUESTS_PER_DEADLINE_MAX`], those that were refunded before included. Requests that ended and
//! their responses are forgotten together, oldest first; none before its deadline if somebody answers for it.
//!
//! **What the chain does by itself** it does with the weight that the runtime has for the upkeep of all
//! pallets. [`Pallet::meet_deadlines`] has its part of that in every block, enough for all requests that one
//! deadline can have: a request expires in the block after its deadline, whatever else is to be done. The rest ([`Pallet::refund_moved`], [`Pallet::move_leases`], [`Pallet::prune`]) takes turns with other
//! pallets' work; what does not fit goes on in a later block.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub use pallet::*;
pub use split::{DEVELOPER_SHARE, WORKER_SHARE};
use submission::Asked;
pub use submission::ORDER_BYTES;
pub use weights::{ConservativeWeights, WeightInfo};

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod deadlines;
mod endings;
mod escrow;
mod invariants;
#[cfg(test)]
mod mock;
mod refunds;
mod room;
mod settlement;
mod split;
mod submission;
#[cfg(test)]
mod tests;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
pub use benchmarking::BenchmarkHelper;

use codec::Encode;
use frame_support::{
	dispatch::WithPostDispatchInfo,
	pallet_prelude::*,
	storage::with_storage_layer,
	traits::{
		fungible::{Inspect, Mutate},
		tokens::Preservation,
	},
	weights::WeightMeter,
	PalletId,
};
use frame_system::pallet_prelude::{BlockNumberFor, OriginFor};
use phala_protocol::{
	agents::{AgentId, Assignment, Excuse, Lease, Liability},
	boot::{BootNumber, WorkerId},
	limits,
	mailbox::{Channel, ClusterId},
	messages::{AgentsPayload, EnvelopeOrigin, RequestsMessage},
	requests::{
		base_fee, request_id, RequestId, RequestInput, RequestKind, RequestOrder, RequestOutcome,
		RequestResult, Room,
	},
	traits::{
		AgentDirectory, Assignments, ClusterDirectory, EnvelopeLanes, LeaseHooks, MailboxInterface,
		ReceivePayload, WorkerDirectory,
	},
	AccountBytes, Balance, BlockNumber, H256,
};
use sp_runtime::{
	traits::{AccountIdConversion, SaturatedConversion, Zero},
	Permill,
};

/// Who misses a deadline loses at most so many times what the work would have brought.
pub const PENALTY_MULTIPLE: u32 = 10;

/// Of so many of a worker's boots it is remembered what they have paid, the newest.
pub const OWN_ACTS_MAX: u32 = 8;

/// Longest SCALE of a [`RequestOutcome`], in bytes: its variant, its length, its bytes.
pub const OUTCOME_BYTES_MAX: u32 = 1 + 5 + limits::RESPONSE_BYTES_MAX;

pub use phala_protocol::requests::{Request, RequestState};

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
		frame_system::Config<
		Hash = H256,
		RuntimeEvent: From<Event<Self>>,
		AccountId: Into<AccountBytes> + From<AccountBytes>,
	>
	{
		/// What requests are paid in.
		type Currency: Inspect<Self::AccountId, Balance = Balance> + Mutate<Self::AccountId>;

		/// Where escrows are. Its account has the existential deposit from genesis on.
		#[pallet::constant]
		type PalletId: Get<PalletId>;

		/// Carries requests to clusters.
		type Mailbox: MailboxInterface;

		/// Whether an answer had room.
		type Lanes: EnvelopeLanes;

		/// Who is asked.
		type Agents: AgentDirectory<Error = DispatchError>;

		/// What a byte of a request takes of a block, at least: as much as what others lose by its room among the messages
		/// that users may push.
		type NewsByte: Get<Weight>;

		/// Who must answer.
		type Clusters: ClusterDirectory<Error = DispatchError>;

		/// Who is paid for answers and loses stake for missed ones.
		type Workers: WorkerDirectory;

		/// Gets base fees, its share and what others cannot take.
		type Treasury: Get<Self::AccountId>;

		/// The least that is paid for a request and not refunded: while its rooms are half empty.
		#[pallet::constant]
		type BaseFee: Get<Balance>;

		/// Part of a fee that the worker's operator gets.
		#[pallet::constant]
		type WorkerShare: Get<Permill>;

		/// Part of a fee that the agent's owner gets. The rest goes to the treasury.
		#[pallet::constant]
		type DeveloperShare: Get<Permill>;

		/// Most that a worker loses for a deadline that it missed.
		#[pallet::constant]
		type MissedDeadlinePenalty: Get<Balance>;

		/// For how many blocks a request that ended and its response are kept.
		#[pallet::constant]
		type ResponseRetention: Get<BlockNumber>;

		/// Weights of this pallet's calls.
		type WeightInfo: WeightInfo;

		/// Makes agents for benchmarks.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
	}

	/// The number of the next request.
	#[pallet::storage]
	pub type NextRequest<T> = StorageValue<_, u64, ValueQuery>;

	/// Requests that are open, that somebody answers for, or that ended less than
	/// [`Config::ResponseRetention`] ago.
	#[pallet::storage]
	pub type Requests<T: Config> =
		StorageMap<_, Blake2_128Concat, RequestId, Request<T::AccountId>, OptionQuery>;

	/// SCALE of the [`RequestOutcome`] of each settled request.
	#[pallet::storage]
	pub type Responses<T> = StorageMap<
		_,
		Blake2_128Concat,
		RequestId,
		BoundedVec<u8, ConstU32<OUTCOME_BYTES_MAX>>,
		OptionQuery,
	>;

	/// What the boot that a request was given to answers for, until it is answered or its deadline has
	/// passed: also when it was refunded before.
	#[pallet::storage]
	pub type Duties<T> = StorageMap<_, Blake2_128Concat, RequestId, Assignment, OptionQuery>;

	/// Requests that somebody answers for, by deadline. Read by callers.
	#[pallet::storage]
	pub type Due<T: Config> = StorageMap<
		_,
		Blake2_128Concat,
		BlockNumber,
		BoundedVec<RequestId, ConstU32<{ limits::REQUESTS_PER_DEADLINE_MAX }>>,
		ValueQuery,
	>;

	/// The first deadline that has requests to expire; absent before any block was looked at.
	#[pallet::storage]
	pub type DueFrom<T> = StorageValue<_, BlockNumber, OptionQuery>;

	/// Leases that move because their holder missed a deadline, in that order: the agent, what the holder was
	/// given, and whether it is blamed.
	#[pallet::storage]
	pub type LeasesToMove<T> =
		StorageMap<_, Twox64Concat, u64, (AgentId, Assignment, bool), OptionQuery>;

	/// The number of the oldest entry in [`LeasesToMove`], and that of the next one.
	#[pallet::storage]
	pub type LeasesToMoveRange<T> = StorageValue<_, (u64, u64), ValueQuery>;

	/// The open requests of each agent. Both ids are hashes already.
	#[pallet::storage]
	pub type OpenRequests<T> =
		StorageDoubleMap<_, Identity, AgentId, Identity, RequestId, (), OptionQuery>;

	/// How many there are of each agent; absent means none. Read by callers.
	#[pallet::storage]
	pub type OpenOfAgent<T> = StorageMap<_, Blake2_128Concat, AgentId, u32, ValueQuery>;

	/// How many open requests each worker was given; absent means none. Read by callers.
	#[pallet::storage]
	pub type OpenOfWorker<T> = StorageMap<_, Blake2_128Concat, WorkerId, u32, ValueQuery>;

	/// How many open requests each caller has; absent means none.
	#[pallet::storage]
	pub type OpenOfCaller<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, u32, ValueQuery>;

	/// What callers could not take back and the treasury not either, since their accounts would have stayed
	/// below the existential deposit: paid with the next that it gets so.
	#[pallet::storage]
	pub type OwedToTreasury<T> = StorageValue<_, Balance, ValueQuery>;

	/// How many requests each worker answers for, whatever became of its boot; absent means none.
	#[pallet::storage]
	pub type DutiesOfWorker<T> = StorageMap<_, Twox64Concat, WorkerId, u32, ValueQuery>;

	/// What each worker's boots have paid for what they did not answer since they gave their leases up
	/// themselves, by boot, as long as the worker answers for more.
	#[pallet::storage]
	pub type OwnActs<T> = StorageMap<
		_,
		Twox64Concat,
		WorkerId,
		BoundedVec<(BootNumber, Balance), ConstU32<OWN_ACTS_MAX>>,
		ValueQuery,
	>;

	/// Agents whose lease moved while requests were open, in that order, each with the request after
	/// which the look at them goes on.
	#[pallet::storage]
	pub type MovedLeases<T> =
		StorageMap<_, Twox64Concat, u64, (AgentId, Option<RequestId>), OptionQuery>;

	/// The number of the oldest entry in [`MovedLeases`], and that of the next one.
	#[pallet::storage]
	pub type MovedRange<T> = StorageValue<_, (u64, u64), ValueQuery>;

	/// Requests that ended and that nobody answers for any more, numbered in the order in which that came to
	/// be, each with its block.
	#[pallet::storage]
	pub type Closed<T> = StorageMap<_, Twox64Concat, u64, (RequestId, BlockNumber), OptionQuery>;

	/// The number of the oldest entry in [`Closed`], and that of the next one.
	#[pallet::storage]
	pub type ClosedRange<T> = StorageValue<_, (u64, u64), ValueQuery>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A request was made, and this boot must answer it. The base fee is paid.
		RequestSubmitted {
			request: RequestId,
			agent: AgentId,
			caller: T::AccountId,
			deadline: BlockNumber,
			worker: WorkerId,
			boot: BootNumber,
			base_fee: Balance,
		},
		/// A request was answered and paid. `fee` is the sum of the three payments unless nobody
		/// could take one; with `refunded` it is all that was held. `worker` is `None` when the
		/// worker is gone.
		RequestSettled {
			request: RequestId,
			agent: AgentId,
			caller: T::AccountId,
			failed: bool,
			units: u32,
			fee: Balance,
			worker: Option<T::AccountId>,
			worker_paid: Balance,
			developer: T::AccountId,
			developer_paid: Balance,
			treasury_paid: Balance,
			refunded: Balance,
		},
		/// Whoever was to answer a request lost its agent's lease: the caller has its money back.
		RequestRefunded { request: RequestId, agent: AgentId, refunded: Balance },
		/// Nobody answered a request in time; `refunded` is nothing if that happened before. `excuse` says why
		/// nobody answers for it.
		RequestExpired {
			request: RequestId,
			refunded: Balance,
			penalty: Balance,
			excuse: Option<Excuse>,
		},
	}

	#[pallet::error]
	pub enum Error<T> {
		/// No agent has this id.
		UnknownAgent,
		/// The agent has no key yet: try again when its birth is committed.
		AgentNotBorn,
		/// The caller is neither the agent's owner nor on its list.
		CallerNotAllowed,
		/// Only the agent's owner may give it secrets.
		NotOwner,
		/// Secrets must be sealed to the agent's key.
		SecretsMustBeSealed,
		/// The input is longer than `REQUEST_INPUT_BYTES_MAX`.
		InputTooLong,
		/// The deadline has passed already.
		DeadlineInThePast,
		/// The deadline leaves less than the agent's timeout and `FINALITY_MARGIN`.
		DeadlineTooNear,
		/// The deadline is more than `DEADLINE_BLOCKS_MAX` ahead.
		DeadlineTooFar,
		/// `min_block` is still to come.
		MinBlockTooLate,
		/// No member of the agent's cluster can answer now.
		NoLeaseHolder,
		/// The caller has `OPEN_REQUESTS_PER_CALLER_MAX` open requests already.
		TooManyOfCaller,
		/// The agent has `OPEN_REQUESTS_PER_AGENT_MAX` open requests already.
		TooManyOfAgent,
		/// The worker that has the agent's lease was given `OPEN_REQUESTS_PER_WORKER_MAX` open requests
		/// already, of all of its agents.
		TooManyOfWorker,
		/// `REQUESTS_PER_DEADLINE_MAX` requests have this deadline: take another one.
		TooManyDue,
		/// `max_fee` is less than the base fee, as it is now, and one unit.
		FeeTooSmall,
		/// All request numbers are used up.
		NumbersExhausted,
		/// The block takes no further message; try again in a later one.
		MailboxFull,
		/// What had to be told is longer than `MESSAGE_BYTES_MAX`: it never can be, as it is.
		MessageTooLong,
		/// The channel has used all of its numbers.
		ChannelExhausted,
		/// No request has this id, or it was closed long ago.
		UnknownRequest,
		/// The request is for another agent.
		WrongAgent,
		/// The request was answered before.
		AlreadySettled,
		/// The request was given to another boot.
		NotAssigned,
		/// The answer came after the request's deadline, or after its agent's lease had moved: the caller
		/// has its money back.
		DeadlinePassed,
		/// The answer is longer than `RESPONSE_BYTES_MAX`.
		ResponseTooLong,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		#[cfg(feature = "try-runtime")]
		fn try_state(_now: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::check_invariants()
		}

		fn integrity_test() {
			assert!(
				T::WorkerShare::get().deconstruct() + T::DeveloperShare::get().deconstruct()
					<= Permill::one().deconstruct(),
				"the shares of worker and developer are more than a whole"
			);
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Asks `agent` and puts `max_fee` up for it.
		///
		/// `min_block`: the enclave must not run it on an older view. `deadline`: the last block
		/// at which the answer counts. Errors are found in the order in which [`Error`] lists
		/// them.
		#[pallet::call_index(0)]
		#[pallet::weight(Pallet::<T>::weight_of_submit(input.bytes().len() as u32))]
		pub fn submit(
			origin: OriginFor<T>,
			agent: AgentId,
			kind: RequestKind,
			input: RequestInput,
			max_fee: Balance,
			deadline: BlockNumber,
			min_block: BlockNumber,
		) -> DispatchResultWithPostInfo {
			let caller = frame_system::ensure_signed(origin)?;
			let bytes = input.bytes().len() as u32;
			// Where nobody had to be found to give it to, and nobody else lost the room of its message.
			let refused = T::WeightInfo::submit_to_holder(bytes);
			let asked = Asked { agent, kind, input, max_fee, deadline, min_block };
			let record =
				Self::check(&caller, &asked).map_err(|error| error.with_weight(refused))?;
			let had = T::Clusters::lease(agent);
			let assigned = T::Clusters::assign(agent)?.ok_or(Error::<T>::NoLeaseHolder)?;
			let is_held = had == Some(assigned.lease);
			Self::place(caller, asked, record, assigned).map_err(|error| match is_held {
				true => error.with_weight(refused),
				false => error.into(),
			})?;
			Ok(is_held.then(|| Self::weight_to_holder(bytes)).into())
		}
	}
}

impl<T: Config> Pallet<T> {
	fn now() -> BlockNumber {
		frame_system::Pallet::<T>::block_number().saturated_into()
	}
}

phala_protocol::refused_pushes!(Error);
