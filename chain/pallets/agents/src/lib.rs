//! # Agents: programs with keys and state of their own
//!
//! ## Key terms
//!
//! * **Agent**: a program that runs in one cluster, for good. Its [`AgentRecord`] is all that the
//!   chain knows of it; enclaves and clients read it by storage proof.
//! * **Code**: hashes of a component and its manifest ([`AgentCode`]). What is on chain is what
//!   runs.
//! * **Lease**: the right of one boot to write the agent's state; the cluster gives and moves it.
//! * **Effect set**: what runs did to an agent. The chain takes it whole or not at all.
//! * **Birth**: the first effect set, on version 0. It brings the agent's public key, and has a deadline.
//!
//! ## Usage
//!
//! * A developer **registers** an agent ([`Call::register`], which holds
//!   [`Config::AgentDeposit`]), **upgrades** its code ([`Call::upgrade`]), where there is no notice
//!   after having **prepared** it ([`Call::prepare_upgrade`]), sets its price
//!   ([`Call::set_price`]) and who may call ([`Call::set_access`], [`Call::allow_caller`],
//!   [`Call::disallow_caller`]).
//! * The requests pallet **commits** effect sets ([`AgentDirectory::commit`]).
//!
//! * An owner **retires** an agent ([`Call::retire`]), which releases its deposit, or **offers** it to
//!   another account ([`Call::offer_transfer`]), which **accepts** ([`Call::accept_transfer`]).
//! * A cluster's owner **evicts** an agent ([`Call::evict`]): once to give notice, of
//!   [`Config::EvictionNotice`], and once more when that is over, before as long again has passed: then
//!   the notice has lapsed, and a call gives another. The deposit goes back to the agent's owner.
//!
//! ## Design
//!
//! **One commit decision.** A set is accepted if and only if its base version is the agent's
//! current one and the sender has the lease. Of two sets on one base, the first wins and the
//! other is refused as [`Error::StaleBase`], whatever happened before.
//!
//! **Availability.** The chain keeps hashes, the cluster keeps bodies. So that a committed body
//! survives its author, the sender and others must be a majority of the `n` members that count:
//!
//! ```text
//! [sender counts] + valid signatures of other counted members  >=  n / 2 + 1
//! ```
//!
//! A signature by a member that does not count is ignored, since whether it counts may have
//! changed after it signed. A bad signature of one that does refuses the set.
//!
//! **Births.** Who has a new agent's lease is to bear it within [`limits::BIRTH_BLOCKS`]; then the lease
//! moves to another member that counts, and so on, [`limits::BIRTH_HOLDERS_MAX`] holders in all: one that
//! is broken, or whose host lets only heartbeats through, keeps no agent from being born. Nobody pays or is
//! set aside for it, since the cluster's keys, or the agent's code, may not be there yet. If nobody else
//! counts, the holder keeps it; if nobody had the lease, whoever counts now gets it.
//!
//! **State hash.** That of the root of the agent's state, as its lease holder says and a majority of the members hold it; zero before birth.
//!
//! **Upgrades** follow the policy that was chosen at registration. With a notice, new code is
//! written down in [`Planned`] and starts to run in its block, before any transaction. A later
//! announcement replaces an earlier one and restarts the notice. At most [`UPGRADES_DUE_MAX`]
//! upgrades are due in one block; one whose news the mailbox cannot take, or for which there is no
//! weight left, is tried again in the next block ([`LateFrom`]). Every code that ever ran stays in [`History`],
//! until the agent is given up, and is held for from its announcement on.
//!
//! Enclaves run what the chain names and nothing else, so code that they have not compiled when the
//! chain names it is a gap. During a notice they have it, since they are told of what is planned.
//! Where there is none, the owner first writes it down in [`Prepared`], waits until the workers say
//! that it is ready, and then upgrades. What was prepared binds nobody, and ends with the upgrade.
//!
//! **Deposits.** What an owner has the chain keep is held for, and is free again when it is forgotten:
//! [`Config::AgentDeposit`] for the agent, or what its cluster asks, and [`Config::ByteDeposit`] for each
//! byte of each account on the list and of each version of its code but the first. What is held is
//! in [`Deposits`], and goes with the agent when it has another owner.
//!
//! Whenever anything but an agent's version changes, its cluster is told the whole of it. The owner who
//! causes it pays by the byte ([`Config::NewsByte`]): filling what users may push in a block costs what
//! filling their part of its weight does.
//!
//! **What the chain does by itself**, [`Pallet::activate_due`], [`Pallet::pass_births_on`] and
//! [`Pallet::forget_history`], it does with the weight that the runtime has for the upkeep of all pallets. What does not fit a block comes first in
//! the next.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub use pallet::*;
pub use weights::{ConservativeWeights, WeightInfo};

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod births;
mod commits;
mod deposits;
mod invariants;
#[cfg(test)]
mod mock;
mod news;
mod removal;
#[cfg(test)]
mod tests;
mod upgrades;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
pub use benchmarking::BenchmarkHelper;

use codec::Encode;
use frame_support::{
	dispatch::WithPostDispatchInfo,
	pallet_prelude::*,
	storage::with_storage_layer,
	traits::{
		fungible::{Inspect, MutateHold},
		tokens::Precision,
	},
	weights::WeightMeter,
};
use frame_system::pallet_prelude::{BlockNumberFor, OriginFor};
use phala_protocol::{
	agents::{
		agent_id, availability_quorum, Access, AgentCode, AgentId, AgentRecord, AgentSnapshot,
		AvailabilityContent, CodeEntry, EffectSet, Lease, PlannedUpgrade, StateVersion,
		UpgradePolicy,
	},
	boot::WorkerId,
	caller::Caller,
	limits,
	mailbox::{Channel, ClusterId},
	messages::{AgentsMessage, EnvelopeOrigin},
	traits::{AgentDirectory, AgentSnapshots, ClusterDirectory, MailboxInterface},
	AccountBytes, Balance, BlockNumber, H256,
};
use sp_runtime::traits::{SaturatedConversion, Saturating, Zero};

/// Most upgrades whose notice may end in one block.
pub const UPGRADES_DUE_MAX: u32 = 32;

/// Most versions of its code that are forgotten in the call that gives an agent up, the newest; the rest
/// follows.
pub const HISTORY_FORGOTTEN_MAX: u32 = 64;

/// What an account on an agent's list takes, in bytes.
pub const CALLER_BYTES: u32 = 32;

/// What a version of an agent's code takes, in bytes: [`CodeEntry`].
pub const CODE_ENTRY_BYTES: u32 = 32 + 32 + 4;

/// What news cost at least, in bytes: a block has room for so many messages of users of this length.
pub const NEWS_BYTES_MIN: u32 = (limits::PUSHED_BYTES_PER_BLOCK_MAX
	- limits::VITAL_BYTES_PER_BLOCK)
	/ (limits::MESSAGES_PER_BLOCK_MAX - limits::VITAL_MESSAGES_PER_BLOCK);

/// Longest news of an agent, in bytes of SCALE: its record, and all who may call.
pub const NEWS_BYTES_MAX: u32 = 512 + limits::AGENT_CALLERS_MAX * 33;

/// Balance type of [`Config::Currency`].
pub type BalanceOf<T> =
	<<T as Config>::Currency as Inspect<<T as frame_system::Config>::AccountId>>::Balance;

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
		/// Holds the deposit.
		type Currency: MutateHold<Self::AccountId, Reason = Self::RuntimeHoldReason>;

		/// The runtime's hold reasons.
		type RuntimeHoldReason: From<HoldReason>;

		/// Carries messages to clusters.
		type Mailbox: MailboxInterface;

		/// Where agents run.
		type Clusters: ClusterDirectory<Error = DispatchError>;

		/// Held from the owner of each agent, at least: for its record, its first code, and what there is at
		/// most one of.
		#[pallet::constant]
		type AgentDeposit: Get<BalanceOf<Self>>;

		/// Held beside that for each byte that the owner has the chain keep on and on: callers on the list,
		/// code of before.
		#[pallet::constant]
		type ByteDeposit: Get<BalanceOf<Self>>;

		/// For how many blocks an agent stays that the cluster's owner evicts.
		#[pallet::constant]
		type EvictionNotice: Get<BlockNumber>;

		/// What each byte of the news of an agent costs beyond the work: as much of what users may have of
		/// a block's weight as it is of what they may push.
		#[pallet::constant]
		type NewsByte: Get<Weight>;

		/// Weights of this pallet's calls.
		type WeightInfo: WeightInfo;

		/// Makes clusters for benchmarks.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: BenchmarkHelper;
	}

	/// Why funds are on hold.
	#[pallet::composite_enum]
	pub enum HoldReason {
		/// The owner's deposit for an agent.
		AgentDeposit,
	}

	/// The number of the next agent.
	#[pallet::storage]
	pub type NextAgent<T> = StorageValue<_, u64, ValueQuery>;

	/// All agents. Read by enclaves and clients through storage proofs.
	#[pallet::storage]
	pub type Agents<T> = StorageMap<_, Blake2_128Concat, AgentId, AgentRecord, OptionQuery>;

	/// With [`Access::Listed`], who may call besides the owner.
	#[pallet::storage]
	pub type Callers<T> = StorageMap<
		_,
		Blake2_128Concat,
		AgentId,
		BoundedVec<AccountBytes, ConstU32<{ limits::AGENT_CALLERS_MAX }>>,
		ValueQuery,
	>;

	/// What is held from each agent's owner.
	#[pallet::storage]
	pub type Deposits<T: Config> =
		StorageMap<_, Blake2_128Concat, AgentId, BalanceOf<T>, OptionQuery>;

	/// Who may take an agent over.
	#[pallet::storage]
	pub type Offers<T: Config> =
		StorageMap<_, Blake2_128Concat, AgentId, T::AccountId, OptionQuery>;

	/// Agents that their cluster's owner evicts, and from which block on it may, for as long as the notice
	/// was.
	#[pallet::storage]
	pub type Evictions<T> = StorageMap<_, Blake2_128Concat, AgentId, BlockNumber, OptionQuery>;

	/// Every code that ran, by agent and code version.
	#[pallet::storage]
	pub type History<T> = StorageDoubleMap<
		_,
		Blake2_128Concat,
		AgentId,
		Blake2_128Concat,
		u32,
		CodeEntry,
		OptionQuery,
	>;

	/// Agents that were given up whose older code is still in [`History`], up to this version: no deposit is
	/// held for it any more, so it goes too.
	#[pallet::storage]
	pub type OldHistory<T> = StorageMap<_, Identity, AgentId, u32, OptionQuery>;

	/// Code that is announced, at most one for each agent.
	#[pallet::storage]
	pub type Planned<T> = StorageMap<_, Blake2_128Concat, AgentId, PlannedUpgrade, OptionQuery>;

	/// Code that an owner who needs no notice is about to upgrade to, at most one for each agent.
	#[pallet::storage]
	pub type Prepared<T> = StorageMap<_, Blake2_128Concat, AgentId, AgentCode, OptionQuery>;

	/// The agents whose notice ends in each block.
	#[pallet::storage]
	pub type Due<T> = StorageMap<
		_,
		Twox64Concat,
		BlockNumber,
		BoundedVec<AgentId, ConstU32<UPGRADES_DUE_MAX>>,
		ValueQuery,
	>;

	/// The first block whose due upgrades are not all active yet; absent before any block was looked at.
	#[pallet::storage]
	pub type LateFrom<T> = StorageValue<_, BlockNumber, OptionQuery>;

	/// Births that are awaited, in the order of their deadlines: the agent, that block, and which holder
	/// it is that tries.
	#[pallet::storage]
	pub type Births<T> = StorageMap<_, Twox64Concat, u64, (AgentId, BlockNumber, u32), OptionQuery>;

	/// The number of the first entry in [`Births`], and that of the next one.
	#[pallet::storage]
	pub type BirthRange<T> = StorageValue<_, (u64, u64), ValueQuery>;

	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A new agent, with its owner's deposit on hold. It waits for its birth.
		AgentRegistered { agent: AgentId, owner: T::AccountId, cluster: ClusterId },
		/// New code was announced. It replaces what was announced before.
		UpgradePlanned { agent: AgentId, code: AgentCode, at: BlockNumber },
		/// An upgrade without notice is about to come. It replaces what was prepared before.
		UpgradePrepared { agent: AgentId, code: AgentCode },
		/// New code runs from now on.
		Upgraded { agent: AgentId, code_version: u32, code: AgentCode },
		/// Requests from now on cost this much a unit.
		PriceSet { agent: AgentId, unit_price: Balance },
		/// From now on these may call.
		AccessSet { agent: AgentId, access: Access },
		/// An account was put on the agent's list.
		CallerAllowed { agent: AgentId, account: T::AccountId },
		/// An account was taken off the agent's list.
		CallerDisallowed { agent: AgentId, account: T::AccountId },
		/// The owner offers the agent to an account; `None`: no more.
		TransferOffered { agent: AgentId, to: Option<T::AccountId> },
		/// An agent has another owner.
		Transferred { agent: AgentId, from: T::AccountId, to: T::AccountId },
		/// Nobody has borne the agent in time: another member tries, if there is one.
		BirthOverdue { agent: AgentId },
		/// The owner of its cluster may throw the agent out from this block on.
		EvictionAnnounced { agent: AgentId, at: BlockNumber },
		/// An agent was given up, or thrown out; what was held for it is its owner's again.
		Retired { agent: AgentId, owner: T::AccountId, evicted: bool },
		/// An effect set was accepted.
		Committed { agent: AgentId, version: StateVersion, state_hash: H256, worker: WorkerId },
	}

	#[pallet::error]
	pub enum Error<T> {
		/// No agent has this id.
		UnknownAgent,
		/// Only the agent's owner may do this.
		NotOwner,
		/// Only the owner of the agent's cluster may do this.
		NotClusterOwner,
		/// The agent is not offered to this account.
		NotOffered,
		/// More is held for it than whoever accepts it named as the most.
		DepositTooHigh,
		/// The notice has not ended: see [`Event::EvictionAnnounced`].
		NoticeNotOver,
		/// The cluster asks for a higher price of a unit: see its opening.
		PriceBelowFloor,
		/// A timeout is at least 1 block and at most `AGENT_TIMEOUT_MAX`.
		TimeoutOutOfRange,
		/// The agent was deployed as immutable: its code never changes.
		ImmutableCode,
		/// The agent was deployed with a notice: `upgrade` announces its code.
		HasNotice,
		/// The notice would end after the last block number.
		NoticeTooLong,
		/// Too many upgrades are due in that block: announce it in another one.
		TooManyUpgradesDue,
		/// The agent's list is full.
		TooManyCallers,
		/// The account is on the agent's list already.
		AlreadyAllowed,
		/// The account is not on the agent's list.
		NotListed,
		/// All agent numbers, or all code or state versions of this agent, are used up.
		NumbersExhausted,
		/// The block takes no further message; try again in a later one.
		MailboxFull,
		/// What had to be told is longer than `MESSAGE_BYTES_MAX`: it never can be, as it is.
		MessageTooLong,
		/// The channel has used all of its numbers.
		ChannelExhausted,
		/// The effect set carries more answers than `RESULTS_PER_EFFECT_SET_MAX`.
		TooManyResults,
		/// The effect set was not made on the agent's current version.
		StaleBase,
		/// The sender does not have the agent's lease, or no longer.
		NotLeaseHolder,
		/// A birth must bring the agent's key.
		BirthNeedsKey,
		/// Only a birth brings a key, and of version 1.
		UnexpectedKey,
		/// Nobody can have asked an agent before its birth.
		ResultsAtBirth,
		/// The effect set carries more signatures than a cluster has members.
		TooManySignatures,
		/// Two signatures are said to be by one worker.
		DuplicateSignature,
		/// Fewer than a majority of the members that count keep the body.
		NotAvailable,
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
		/// Deploys an agent in `cluster` and holds its deposit. Its id is in the event.
		///
		/// `unit_price` is in the smallest unit of PHA; `timeout` is the longest that one request
		/// may take, in blocks.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn register(
			origin: OriginFor<T>,
			cluster: ClusterId,
			code: AgentCode,
			unit_price: Balance,
			timeout: BlockNumber,
			access: Access,
			upgrades: UpgradePolicy,
		) -> DispatchResult {
			let owner = frame_system::ensure_signed(origin)?;
			ensure!(
				(1..=limits::AGENT_TIMEOUT_MAX).contains(&timeout),
				Error::<T>::TimeoutOutOfRange
			);
			let number = NextAgent::<T>::get();
			let next = number.checked_add(1).ok_or(Error::<T>::NumbersExhausted)?;
			let agent = agent_id(Self::genesis(), number);
			let terms = T::Clusters::terms(cluster, &owner.clone().into())?;
			ensure!(unit_price >= terms.price_floor, Error::<T>::PriceBelowFloor);
			let deposit = T::AgentDeposit::get().max(terms.deposit.saturated_into());
			T::Currency::hold(&HoldReason::AgentDeposit.into(), &owner, deposit)?;

			let record = AgentRecord {
				owner: owner.clone().into(),
				cluster,
				code,
				code_version: 1,
				upgrades,
				access,
				unit_price,
				timeout,
				key: None,
				version: 0,
				state_hash: H256::zero(),
			};
			NextAgent::<T>::put(next);
			Deposits::<T>::insert(agent, deposit);
			History::<T>::insert(agent, 1, CodeEntry { code, block: Self::now() });
			Agents::<T>::insert(agent, &record);
			T::Clusters::place_agent(cluster, agent, &owner.clone().into())?;
			Self::await_birth(agent, 1);
			Self::tell(agent, record)?;
			Self::deposit_event(Event::AgentRegistered { agent, owner, cluster });
			Ok(())
		}

		/// Announces new code, which runs when the agent's policy says.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::upgrade().saturating_add(Pallet::<T>::most_news()))]
		pub fn upgrade(
			origin: OriginFor<T>,
			agent: AgentId,
			code: AgentCode,
		) -> DispatchResultWithPostInfo {
			let record = Self::owned(origin, agent)?;
			let told = match record.upgrades {
				UpgradePolicy::Immutable => return Err(Error::<T>::ImmutableCode.into()),
				UpgradePolicy::Free | UpgradePolicy::AfterNotice(0) => {
					Self::hold_for(agent, &record, CODE_ENTRY_BYTES)?;
					Prepared::<T>::remove(agent);
					Self::activate(agent, record, code)?
				}
				UpgradePolicy::AfterNotice(notice) => Self::plan(agent, &record, code, notice)?,
			};
			Self::paid(T::WeightInfo::upgrade(), told)
		}

		/// Sets the price of a unit. Requests that were made before pay what they were promised.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::set_price().saturating_add(Pallet::<T>::most_news()))]
		pub fn set_price(
			origin: OriginFor<T>,
			agent: AgentId,
			unit_price: Balance,
		) -> DispatchResultWithPostInfo {
			let old = Self::owned(origin, agent)?;
			// A cluster that was closed since asks for nothing new, and lets nobody go below.
			let floor = T::Clusters::terms(old.cluster, &old.owner)
				.map_or(old.unit_price, |terms| terms.price_floor);
			ensure!(unit_price >= floor.min(old.unit_price), Error::<T>::PriceBelowFloor);
			let record = AgentRecord { unit_price, ..old };
			Agents::<T>::insert(agent, &record);
			let told = Self::tell(agent, record)?;
			Self::deposit_event(Event::PriceSet { agent, unit_price });
			Self::paid(T::WeightInfo::set_price(), told)
		}

		/// Sets who may call.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::set_access().saturating_add(Pallet::<T>::most_news()))]
		pub fn set_access(
			origin: OriginFor<T>,
			agent: AgentId,
			access: Access,
		) -> DispatchResultWithPostInfo {
			let record = AgentRecord { access, ..Self::owned(origin, agent)? };
			Agents::<T>::insert(agent, &record);
			let told = Self::tell(agent, record)?;
			Self::deposit_event(Event::AccessSet { agent, access });
			Self::paid(T::WeightInfo::set_access(), told)
		}

		/// Puts an account on the agent's list, which counts with [`Access::Listed`].
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::allow_caller().saturating_add(Pallet::<T>::most_news()))]
		pub fn allow_caller(
			origin: OriginFor<T>,
			agent: AgentId,
			account: T::AccountId,
		) -> DispatchResultWithPostInfo {
			let record = Self::owned(origin, agent)?;
			let bytes: AccountBytes = account.clone().into();
			Callers::<T>::try_mutate(agent, |callers| {
				ensure!(!callers.contains(&bytes), Error::<T>::AlreadyAllowed);
				callers.try_push(bytes).map_err(|_| Error::<T>::TooManyCallers)
			})?;
			Self::hold_for(agent, &record, CALLER_BYTES)?;
			let told = Self::tell(agent, record)?;
			Self::deposit_event(Event::CallerAllowed { agent, account });
			Self::paid(T::WeightInfo::allow_caller(), told)
		}

		/// Takes an account off the agent's list.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::disallow_caller().saturating_add(Pallet::<T>::most_news()))]
		pub fn disallow_caller(
			origin: OriginFor<T>,
			agent: AgentId,
			account: T::AccountId,
		) -> DispatchResultWithPostInfo {
			let record = Self::owned(origin, agent)?;
			let bytes: AccountBytes = account.clone().into();
			Callers::<T>::try_mutate(agent, |callers| {
				let place = callers
					.iter()
					.position(|caller| *caller == bytes)
					.ok_or(Error::<T>::NotListed)?;
				callers.remove(place);
				Ok::<_, Error<T>>(())
			})?;
			Self::release_for(agent, &record, CALLER_BYTES)?;
			let told = Self::tell(agent, record)?;
			Self::deposit_event(Event::CallerDisallowed { agent, account });
			Self::paid(T::WeightInfo::disallow_caller(), told)
		}

		/// Names the code of an upgrade without notice before it: the cluster's workers fetch and
		/// compile it, so that [`Call::upgrade`] leaves no gap.
		///
		/// It does less than the announcement of an upgrade, whose weight it has.
		#[pallet::call_index(10)]
		#[pallet::weight(T::WeightInfo::upgrade().saturating_add(Pallet::<T>::most_news()))]
		pub fn prepare_upgrade(
			origin: OriginFor<T>,
			agent: AgentId,
			code: AgentCode,
		) -> DispatchResultWithPostInfo {
			let record = Self::owned(origin, agent)?;
			match record.upgrades {
				UpgradePolicy::Immutable => return Err(Error::<T>::ImmutableCode.into()),
				UpgradePolicy::Free | UpgradePolicy::AfterNotice(0) => {}
				UpgradePolicy::AfterNotice(_) => return Err(Error::<T>::HasNotice.into()),
			}
			Prepared::<T>::insert(agent, code);
			let told = Self::tell(agent, record)?;
			Self::deposit_event(Event::UpgradePrepared { agent, code });
			Self::paid(T::WeightInfo::upgrade(), told)
		}

		/// Gives an agent up: its state is forgotten, requests that wait for it are refunded, and its
		/// deposit is the owner's again.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::retire())]
		pub fn retire(origin: OriginFor<T>, agent: AgentId) -> DispatchResultWithPostInfo {
			let owner = frame_system::ensure_signed(origin.clone())?;
			let record = Self::owned(origin, agent)
				.map_err(|error| error.with_weight(weights::notice::<T, T::WeightInfo>()))?;
			Self::remove(agent, &record, owner, false)?;
			Ok(().into())
		}

		/// Offers an agent to an account, in place of an earlier offer; `None` takes it back.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::offer_transfer())]
		pub fn offer_transfer(
			origin: OriginFor<T>,
			agent: AgentId,
			to: Option<T::AccountId>,
		) -> DispatchResult {
			Self::owned(origin, agent)?;
			Offers::<T>::set(agent, to.clone());
			Self::deposit_event(Event::TransferOffered { agent, to });
			Ok(())
		}

		/// Takes an agent over that is offered: the caller's deposit is held instead, of the same
		/// amount, if that is `deposit_max` at most. Whoever offers it can let it grow meanwhile.
		#[pallet::call_index(8)]
		#[pallet::weight(T::WeightInfo::accept_transfer().saturating_add(Pallet::<T>::most_news()))]
		pub fn accept_transfer(
			origin: OriginFor<T>,
			agent: AgentId,
			deposit_max: BalanceOf<T>,
		) -> DispatchResultWithPostInfo {
			let to = frame_system::ensure_signed(origin)?;
			let old = Agents::<T>::get(agent).ok_or(Error::<T>::UnknownAgent)?;
			ensure!(Offers::<T>::take(agent) == Some(to.clone()), Error::<T>::NotOffered);
			let (reason, from) = (HoldReason::AgentDeposit.into(), T::AccountId::from(old.owner));
			let deposit = Deposits::<T>::get(agent).unwrap_or_default();
			ensure!(deposit <= deposit_max, Error::<T>::DepositTooHigh);
			T::Currency::release(&reason, &from, deposit, Precision::BestEffort)?;
			T::Currency::hold(&reason, &to, deposit)?;
			let record = AgentRecord { owner: to.clone().into(), ..old };
			Agents::<T>::insert(agent, &record);
			let told = Self::tell(agent, record)?;
			Self::deposit_event(Event::Transferred { agent, from, to });
			Self::paid(T::WeightInfo::accept_transfer(), told)
		}

		/// Throws an agent out of its cluster, as [`Call::retire`] does. By the cluster's owner: the
		/// first call gives notice, and so does one that comes as long again after its end.
		#[pallet::call_index(9)]
		#[pallet::weight(T::WeightInfo::evict())]
		pub fn evict(origin: OriginFor<T>, agent: AgentId) -> DispatchResultWithPostInfo {
			let who: AccountBytes = frame_system::ensure_signed(origin)?.into();
			let noticed = weights::notice::<T, T::WeightInfo>();
			match Self::given_notice(agent, who).map_err(|error| error.with_weight(noticed))? {
				// It was given just now.
				None => Ok(Some(noticed).into()),
				Some(record) => {
					let owner = T::AccountId::from(record.owner);
					Self::remove(agent, &record, owner, true)?;
					Ok(().into())
				}
			}
		}
	}
}

impl<T: Config> Pallet<T> {
	fn now() -> BlockNumber {
		frame_system::Pallet::<T>::block_number().saturated_into()
	}

	fn genesis() -> H256 {
		frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero())
	}

	fn owned(origin: OriginFor<T>, agent: AgentId) -> Result<AgentRecord, DispatchError> {
		let who: AccountBytes = frame_system::ensure_signed(origin)?.into();
		let record = Agents::<T>::get(agent).ok_or(Error::<T>::UnknownAgent)?;
		ensure!(record.owner == who, Error::<T>::NotOwner);
		Ok(record)
	}
}

phala_protocol::refused_pushes!(Error);
