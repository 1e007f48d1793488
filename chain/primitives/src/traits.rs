//! What pallets offer each other. They depend on these traits, never on one another.

use crate::{
	boot::{Boot, BootNumber, SlotId},
	mailbox::{Channel, ChannelHead, ClusterId},
	messages::{EnvelopeOrigin, Message, Payload},
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
	/// A new boot took over the slot. Returns the clusters it serves in and where each one's
	/// channel stands, so that the boot follows them from here.
	fn on_boot(slot: SlotId) -> Vec<(ClusterId, ChannelHead)>;

	/// The slot lost its boot for good.
	fn on_evicted(slot: SlotId);

	/// Whether the slot serves somewhere and so cannot be closed.
	fn is_in_use(slot: SlotId) -> bool;
}

impl SlotHooks for () {
	fn on_boot(_: SlotId) -> Vec<(ClusterId, ChannelHead)> {
		Vec::new()
	}

	fn on_evicted(_: SlotId) {}

	fn is_in_use(_: SlotId) -> bool {
		false
	}
}
