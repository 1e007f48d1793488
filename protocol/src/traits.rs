//! What pallets offer each other. They depend on these traits, never on one another.

use crate::{
	agents::{
		AgentId, AgentRecord, AgentSnapshot, Assignment, EffectSet, Excuse, Lease, Liability,
	},
	bonding::BondId,
	boot::{Boot, BootNumber, WorkerId},
	clusters::Opening,
	keys::{Epoch, KeyRequest},
	mailbox::{Channel, ChannelHead, ClusterId, InboundNext},
	messages::{EnvelopeOrigin, Message},
	AccountBytes, Balance, BlockNumber,
};
use alloc::vec::Vec;

/// Why a message was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
	/// Longer than [`crate::limits::MESSAGE_BYTES_MAX`].
	TooLong,
	/// The block already pushes as many messages or bytes as it may, of this kind or in all.
	BlockFull,
	/// The channel has used all of its 2⁶⁴ numbers.
	ChannelExhausted,
}

/// Names refused pushes in the errors of a pallet, which has `MailboxFull`, `MessageTooLong` and
/// `ChannelExhausted` among them: of the three the first alone is worth another try.
#[macro_export]
macro_rules! refused_pushes {
	($error:ident) => {
		impl<T> From<$crate::traits::PushError> for $error<T> {
			fn from(refused: $crate::traits::PushError) -> Self {
				match refused {
					$crate::traits::PushError::BlockFull => Self::MailboxFull,
					$crate::traits::PushError::TooLong => Self::MessageTooLong,
					$crate::traits::PushError::ChannelExhausted => Self::ChannelExhausted,
				}
			}
		}
	};
}

/// Why an account does not decide for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorError {
	/// No worker has this number.
	UnknownWorker,
	/// Another account runs it.
	NotOperator,
}

/// Names who is not a worker's operator in the errors of a pallet, which has `UnknownWorker` and
/// `NotOperator` among them.
#[macro_export]
macro_rules! refused_operators {
	($error:ident) => {
		impl<T> From<$crate::traits::OperatorError> for $error<T> {
			fn from(refused: $crate::traits::OperatorError) -> Self {
				match refused {
					$crate::traits::OperatorError::UnknownWorker => Self::UnknownWorker,
					$crate::traits::OperatorError::NotOperator => Self::NotOperator,
				}
			}
		}
	};
}

/// The chain's side of the mailbox.
pub trait MailboxInterface {
	/// Appends `message` to `channel`; returns its number there.
	fn push(channel: Channel, message: &Message) -> Result<u64, PushError>;

	/// Where `channel` stands now.
	fn head(channel: Channel) -> ChannelHead;

	/// From now on only envelopes of this boot count for `worker`, from number 0.
	fn open_inbound(worker: WorkerId, boot: BootNumber);

	/// From now on no envelope counts for `worker`.
	fn close_inbound(worker: WorkerId);
}

/// How far envelopes have come.
pub trait EnvelopeLanes {
	/// The next envelope that counts from a worker: more than it was means that the boot has spoken.
	fn next_envelope(worker: WorkerId) -> Option<InboundNext>;

	/// Whether in each block from one to another, both included, there was no room for a further commit of
	/// `worker`: it had landed as much paid work as it may in one block, or the block was full. So whatever
	/// was ready before the first could not land.
	fn was_full_throughout(worker: WorkerId, from: BlockNumber, to: BlockNumber) -> bool;
}

/// Who may speak for a worker.
pub trait BootDirectory {
	/// The worker's current boot, suspended or not.
	fn current_boot(worker: WorkerId) -> Option<Boot>;

	/// Whether that boot of this worker counts now: evidence not expired, measurement allowed, at
	/// least the minimum at stake.
	fn is_in_force(worker: WorkerId, boot: &Boot) -> bool;

	/// The worker's current boot, if it counts.
	fn boot_in_force(worker: WorkerId) -> Option<Boot> {
		Self::current_boot(worker).filter(|boot| Self::is_in_force(worker, boot))
	}

	/// Whether the worker lives this life now, suspended or not.
	fn is_current(worker: WorkerId, boot: BootNumber) -> bool {
		Self::current_boot(worker).is_some_and(|current| current.number == boot)
	}
}

/// Acts on what enclaves say: a pallet on its domain's payloads, the runtime's router on all.
pub trait ReceivePayload {
	/// What it takes.
	type Payload;

	/// The runtime's error type.
	type Error;

	/// Called once for each accepted envelope, inside a storage layer of its own: an error undoes
	/// what the payload did, never that its envelope was consumed.
	fn receive(origin: EnvelopeOrigin, payload: Self::Payload) -> Result<(), Self::Error>;
}

/// Whose doing it is that a worker lost its boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictedBy {
	/// Its operator's: it answers for what it was given, as if it had left.
	Itself,
	/// Somebody else's: nobody answers for what it could not do any more.
	Others,
}

/// What workers are used for, and who must know when one is lost.
pub trait WorkerHooks {
	/// A new boot took over the worker and was told so. It knows nothing yet: what it has to know
	/// is pushed to its worker's channel now. Returns how many agents were looked at: to tell it of them, counted by the KiB, to
	/// move their leases, or to hand leases out, whichever is most. What registering took depends on it.
	fn on_boot(worker: WorkerId, boot: &Boot) -> Result<u32, PushError>;

	/// The worker lost its boot for good.
	fn on_evicted(worker: WorkerId, by: EvictedBy) -> Result<(), PushError>;

	/// Whether somebody else, in force, is known to hold what would be lost with the worker's boot: keys,
	/// or state. `true` if nothing would.
	fn has_successor(worker: WorkerId) -> bool;

	/// The worker's boot gave a sign of life.
	fn on_sign_of_life(_: WorkerId) {}

	/// Whether the worker serves somewhere and so cannot be closed.
	fn is_in_use(worker: WorkerId) -> bool;
}

impl WorkerHooks for () {
	fn on_boot(_: WorkerId, _: &Boot) -> Result<u32, PushError> {
		Ok(0)
	}

	fn on_evicted(_: WorkerId, _: EvictedBy) -> Result<(), PushError> {
		Ok(())
	}

	fn has_successor(_: WorkerId) -> bool {
		true
	}

	fn is_in_use(_: WorkerId) -> bool {
		false
	}
}

impl<A: WorkerHooks, B: WorkerHooks> WorkerHooks for (A, B) {
	fn on_boot(worker: WorkerId, boot: &Boot) -> Result<u32, PushError> {
		Ok(A::on_boot(worker, boot)?.max(B::on_boot(worker, boot)?))
	}

	fn on_evicted(worker: WorkerId, by: EvictedBy) -> Result<(), PushError> {
		A::on_evicted(worker, by)?;
		B::on_evicted(worker, by)
	}

	fn has_successor(worker: WorkerId) -> bool {
		A::has_successor(worker) && B::has_successor(worker)
	}

	fn on_sign_of_life(worker: WorkerId) {
		A::on_sign_of_life(worker);
		B::on_sign_of_life(worker);
	}

	fn is_in_use(worker: WorkerId) -> bool {
		A::is_in_use(worker) || B::is_in_use(worker)
	}
}

/// Workers, as clusters and requests need them.
pub trait WorkerDirectory: BootDirectory {
	/// Who runs it, is paid for its work and answers for its faults.
	fn operator(worker: WorkerId) -> Option<AccountBytes>;

	/// Refuses whoever does not run it.
	fn ensure_operator(worker: WorkerId, account: &AccountBytes) -> Result<(), OperatorError> {
		match Self::operator(worker) {
			Some(operator) if operator == *account => Ok(()),
			Some(_) => Err(OperatorError::NotOperator),
			None => Err(OperatorError::UnknownWorker),
		}
	}

	/// Block of its boot's registration or last heartbeat, whichever is later.
	fn last_sign_of_life(worker: WorkerId) -> Option<BlockNumber>;

	/// Whether it has a boot whose code is not allowed any more: governance silenced it.
	fn is_delisted(_: WorkerId) -> bool {
		false
	}

	/// Takes up to `amount` of the worker's stake for a fault, to the treasury, of what is leaving
	/// too and also when the worker was closed since. Returns how much it took: all that is left, if
	/// that is less.
	fn penalise(worker: WorkerId, amount: Balance) -> Balance;
}

/// What operators have at stake, as those need it who rely on it.
pub trait Bonding {
	/// The runtime's error type.
	type Error;

	/// Puts what the role takes at stake, from `account`'s free PHA. What the same account still has
	/// unbonding in an earlier life of the bond stays there.
	fn open(bond: BondId, account: &AccountBytes) -> Result<(), Self::Error>;

	/// The bond answers for nothing new: all of it begins to leave. It cannot fail.
	fn close(bond: BondId);

	/// Hands the bond, with what leaves of it, to another account, which may spend none of it either.
	fn transfer(bond: BondId, to: &AccountBytes) -> Result<(), Self::Error>;

	/// Whether the active part reaches the role's minimum.
	fn is_sufficient(bond: BondId) -> bool;

	/// Whether an open bond has so little left that nothing is at stake any more.
	fn is_exhausted(bond: BondId) -> bool;

	/// What can be slashed: the active part and all that leaves.
	fn at_stake(bond: BondId) -> Balance;

	/// Takes up to `amount`, in proportion, of the active part and of all that leaves. Returns how
	/// much it took: all there is, if that is less.
	fn slash(bond: BondId, amount: Balance) -> Balance;
}

/// Who relies on bonds, as the pallet that keeps them needs it.
pub trait BondUsers {
	/// Whether the bond answers now for something that comes to an end by itself: until then no less
	/// than the role's minimum is left of it.
	fn is_answering(bond: BondId) -> bool;

	/// The bond is exhausted: [`Bonding::is_exhausted`]. Cheap; what follows is for later.
	fn on_exhausted(bond: BondId);

	/// A closed bond is gone: nothing of it can be slashed any more. Cheap too.
	fn on_gone(_: BondId) {}
}

impl BondUsers for () {
	fn is_answering(_: BondId) -> bool {
		false
	}

	fn on_exhausted(_: BondId) {}
}

impl<A: BondUsers, B: BondUsers> BondUsers for (A, B) {
	fn is_answering(bond: BondId) -> bool {
		A::is_answering(bond) || B::is_answering(bond)
	}

	fn on_exhausted(bond: BondId) {
		A::on_exhausted(bond);
		B::on_exhausted(bond);
	}

	fn on_gone(bond: BondId) {
		A::on_gone(bond);
		B::on_gone(bond);
	}
}

/// What workers were given to do, as the registry needs it.
pub trait Assignments {
	/// How many requests the worker answers for still, in whichever boot: those that it has to answer,
	/// and those that it lost with their agent's lease before their deadline.
	fn open_of(worker: WorkerId) -> u32;
}

impl Assignments for () {
	fn open_of(_: WorkerId) -> u32 {
		0
	}
}

/// What clusters have to know of agents.
pub trait AgentSnapshots {
	/// As members are told it.
	fn snapshot(agent: AgentId) -> Option<AgentSnapshot>;
}

/// No agents at all.
impl AgentSnapshots for () {
	fn snapshot(_: AgentId) -> Option<AgentSnapshot> {
		None
	}
}

/// Requests for cluster secrets, as clusters need them.
pub trait KeyRequests {
	/// The runtime's error type.
	type Error;

	/// Life of the master key that serves; `None` before the first.
	fn active_epoch() -> Option<Epoch>;

	/// Opens a request whose membership and generation were checked, in place of an earlier one of
	/// the same worker for the same cluster. Gatekeepers are told as soon as a master key serves.
	fn admit(request: KeyRequest) -> Result<(), Self::Error>;

	/// The worker left the cluster: its open request is answered no more.
	fn withdraw(worker: WorkerId, cluster: ClusterId);
}

/// Clusters, as agents and requests need them.
pub trait ClusterDirectory {
	/// The runtime's error type.
	type Error;

	/// On which terms a cluster takes agents of this developer: nothing is asked of its owner, and of
	/// those that it admitted. An error if it takes none.
	fn terms(cluster: ClusterId, developer: &AccountBytes) -> Result<Opening, Self::Error>;

	/// Who decides about a cluster.
	fn owner(cluster: ClusterId) -> Option<AccountBytes>;

	/// The agent is given up: its place and lease are free.
	fn remove_agent(agent: AgentId);

	/// Gives an agent a place in a cluster and its lease to a member that counts.
	///
	/// Errors when there is no such cluster, it has no room, it takes no agents of this developer,
	/// or nobody in it counts.
	fn place_agent(
		cluster: ClusterId,
		agent: AgentId,
		developer: &AccountBytes,
	) -> Result<Lease, Self::Error>;

	/// Who writes the agent.
	fn lease(agent: AgentId) -> Option<Lease>;

	/// The cluster's members that count now: in force, alive, not set aside for a missed deadline.
	/// Each with its current boot.
	fn counted(cluster: ClusterId) -> Vec<(WorkerId, Boot)>;

	/// Who is to do the agent's work now, and what it answers for. A lease that nobody has, or one that is
	/// out of force, is given to a member that counts. `None` if nobody does, or while the lease is still
	/// that of a boot that is gone.
	fn assign(agent: AgentId) -> Result<Option<Assignment>, Self::Error>;

	/// Whether the assigned has that very lease still: one that moved away and came back is another.
	fn is_held(agent: AgentId, assigned: &Assignment) -> bool;

	/// Whether members said that a block since then is final to them: so many others as make a quorum
	/// with `worker`, which may have left since. Without them it could not have committed, whatever it did.
	fn is_witnessed(cluster: ClusterId, worker: WorkerId, since: BlockNumber) -> bool;

	/// What the assigned answers for with what was not done, whatever it did since, or why it does not.
	fn liability(agent: AgentId, assigned: &Assignment) -> Result<Liability, Excuse>;

	/// Missed deadlines of this lease have cost the assigned so much by now: [`Liability::Lease`].
	fn note_penalty(agent: AgentId, assigned: &Assignment, paid: Balance);

	/// The assigned missed a deadline and answers for it. If it still has the lease, that moves to
	/// another member that counts, and who has missed it is set aside.
	fn on_missed_deadline(agent: AgentId, assigned: &Assignment) -> Result<(), Self::Error>;

	/// The assigned could not answer, and another may: its lease moves.
	fn relieve(agent: AgentId, assigned: &Assignment) -> Result<(), Self::Error>;
}

/// Who must know that leases end.
pub trait LeaseHooks {
	/// Whoever had the agent's lease has it no more: another has, or nobody. Cheap: what follows is
	/// for later.
	fn on_lease_ended(agent: AgentId);
}

impl LeaseHooks for () {
	fn on_lease_ended(_: AgentId) {}
}

/// Agents, as requests need them.
pub trait AgentDirectory {
	/// The runtime's error type.
	type Error;

	/// As it stands.
	fn record(agent: AgentId) -> Option<AgentRecord>;

	/// Whether `account` may call. `false` for an unknown agent.
	fn may_call(agent: AgentId, account: &AccountBytes) -> bool;

	/// Commits an effect set, or refuses it whole: base version, lease and availability are
	/// checked, members are told. The caller settles the results in the same storage layer.
	fn commit(origin: EnvelopeOrigin, set: &EffectSet) -> Result<AgentRecord, Self::Error>;
}

#[cfg(test)]
mod tests {
	use super::PushError;
	use core::marker::PhantomData;

	/// Of a pallet.
	#[derive(Debug, PartialEq, Eq)]
	enum Error<T> {
		MailboxFull,
		MessageTooLong,
		ChannelExhausted,
		#[allow(dead_code)]
		Other(PhantomData<T>),
	}

	crate::refused_pushes!(Error);

	#[test]
	fn a_push_that_is_refused_for_good_is_not_said_to_be_worth_another_try() {
		assert_eq!(Error::<()>::from(PushError::BlockFull), Error::MailboxFull);
		assert_eq!(Error::<()>::from(PushError::TooLong), Error::MessageTooLong);
		assert_eq!(Error::<()>::from(PushError::ChannelExhausted), Error::ChannelExhausted);
	}
}
