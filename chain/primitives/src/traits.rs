//! What pallets offer each other. They depend on these traits, never on one another.

use crate::{
	agents::{AgentId, AgentRecord, AgentSnapshot, EffectSet, Lease},
	boot::{Boot, BootNumber, SlotId},
	keys::{Epoch, KeyRequest},
	mailbox::{Channel, ChannelHead, ClusterId},
	messages::{EnvelopeOrigin, Message, Payload},
	AccountBytes, Balance, BlockNumber,
};
use alloc::vec::Vec;

/// Why a message was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushRefused {
	/// Longer than [`crate::limits::MESSAGE_BYTES_MAX`].
	TooLong,
	/// The block already carries [`crate::limits::MESSAGES_PER_BLOCK_MAX`] messages.
	BlockFull,
	/// The channel has used all of its 2⁶⁴ numbers.
	ChannelExhausted,
}

/// The chain's side of the mailbox.
pub trait MailboxInterface {
	/// Appends `message` to `channel`; returns its number there.
	fn push(channel: Channel, message: &Message) -> Result<u64, PushRefused>;

	/// Where `channel` stands now.
	fn head(channel: Channel) -> ChannelHead;

	/// From now on only envelopes of this boot count for `slot`, from number 0.
	fn open_inbound(slot: SlotId, boot: BootNumber);

	/// From now on no envelope counts for `slot`.
	fn close_inbound(slot: SlotId);
}

/// Who may speak for a slot.
pub trait BootDirectory {
	/// The slot's current boot, suspended or not.
	fn current_boot(slot: SlotId) -> Option<Boot>;

	/// Whether that boot counts now: evidence not expired, measurement allowed.
	fn is_in_force(boot: &Boot) -> bool;
}

/// Acts on what enclaves say.
pub trait ReceivePayload {
	/// The runtime's error type.
	type Error;

	/// Called once for each accepted envelope, inside a storage layer of its own: an error undoes
	/// what the payload did, never that its envelope was consumed.
	fn receive(origin: EnvelopeOrigin, payload: Payload) -> Result<(), Self::Error>;
}

/// What slots are used for, and who must know when one is lost.
pub trait SlotHooks {
	/// A new boot took over the slot and was told so. It knows nothing yet: what it has to know
	/// is pushed to its slot's channel now.
	fn on_boot(slot: SlotId, boot: &Boot) -> Result<(), PushRefused>;

	/// The slot lost its boot for good.
	fn on_evicted(slot: SlotId) -> Result<(), PushRefused>;

	/// Whether the slot serves somewhere and so cannot be closed.
	fn is_in_use(slot: SlotId) -> bool;
}

impl SlotHooks for () {
	fn on_boot(_: SlotId, _: &Boot) -> Result<(), PushRefused> {
		Ok(())
	}

	fn on_evicted(_: SlotId) -> Result<(), PushRefused> {
		Ok(())
	}

	fn is_in_use(_: SlotId) -> bool {
		false
	}
}

impl<A: SlotHooks, B: SlotHooks> SlotHooks for (A, B) {
	fn on_boot(slot: SlotId, boot: &Boot) -> Result<(), PushRefused> {
		A::on_boot(slot, boot)?;
		B::on_boot(slot, boot)
	}

	fn on_evicted(slot: SlotId) -> Result<(), PushRefused> {
		A::on_evicted(slot)?;
		B::on_evicted(slot)
	}

	fn is_in_use(slot: SlotId) -> bool {
		A::is_in_use(slot) || B::is_in_use(slot)
	}
}

/// Slots, as clusters and requests need them.
pub trait SlotDirectory: BootDirectory {
	/// Who runs it, is paid for its work and answers for its faults.
	fn operator(slot: SlotId) -> Option<AccountBytes>;

	/// Block of its boot's registration or last heartbeat, whichever is later.
	fn last_sign_of_life(slot: SlotId) -> Option<BlockNumber>;

	/// Takes up to `amount` of the slot's stake for a fault, to the treasury. Returns how much it
	/// took: all that is left, if that is less.
	fn penalise(slot: SlotId, amount: Balance) -> Balance;
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
	/// the same slot for the same cluster. Gatekeepers are told as soon as a master key serves.
	fn admit(request: KeyRequest) -> Result<(), Self::Error>;

	/// The slot left the cluster: its open request is answered no more.
	fn withdraw(slot: SlotId, cluster: ClusterId);
}

/// Clusters, as agents and requests need them.
pub trait ClusterDirectory {
	/// The runtime's error type.
	type Error;

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
	fn counted(cluster: ClusterId) -> Vec<(SlotId, Boot)>;

	/// The holder of `agent`'s lease missed a deadline: if it is still `holder`, it is set aside
	/// until its next sign of life, and all its leases in the cluster move on.
	fn on_missed_deadline(agent: AgentId, holder: Lease) -> Result<(), Self::Error>;
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
