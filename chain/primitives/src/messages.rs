//! What the chain tells enclaves ([`Message`]) and what they answer ([`Payload`]).
//!
//! Variants carry explicit codec indices: they are a wire format. An index is never reused.

use crate::{
	boot::{BootKeys, BootNumber, SlotId},
	evidence::Measurement,
	mailbox::{ChannelHead, ClusterId},
	BlockNumber,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;

/// A body that the chain pushes into a channel.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum Message {
	/// On [`crate::mailbox::Channel::System`].
	#[codec(index = 0)]
	System(SystemMessage),
	/// On [`crate::mailbox::Channel::Slot`].
	#[codec(index = 3)]
	Slot(SlotMessage),
}

/// To every enclave.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum SystemMessage {
	/// Enclaves of this measurement may register from now on.
	#[codec(index = 0)]
	MeasurementAllowed { measurement: Measurement },
	/// Enclaves of this measurement are evicted at block `until`.
	#[codec(index = 1)]
	MeasurementDelisted { measurement: Measurement, until: BlockNumber },
}

/// To one slot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum SlotMessage {
	/// The chain accepted evidence for a new boot; every earlier boot of the slot is retired.
	/// Seeing its own keys here is an enclave's first mark of freshness.
	#[codec(index = 0)]
	Registered {
		boot: BootNumber,
		keys: BootKeys,
		/// From this block on the boot is suspended, unless renewed before.
		expires_at: BlockNumber,
		/// Cluster channels to follow from here on, each from this head.
		clusters: Vec<(ClusterId, ChannelHead)>,
	},
	/// The evidence was renewed and now counts until this block.
	#[codec(index = 1)]
	Renewed { boot: BootNumber, expires_at: BlockNumber },
	/// The chain recorded this boot's heartbeat: a later mark of freshness.
	#[codec(index = 2)]
	HeartbeatSeen { boot: BootNumber, nonce: [u8; 32] },
	/// Somebody asks whether this slot's enclave is alive, end to end.
	#[codec(index = 3)]
	Probe { nonce: [u8; 32] },
	/// The slot lost its place. The boot must forget its keys and stop.
	#[codec(index = 5)]
	Evicted { boot: BootNumber },
}

/// What an enclave tells the chain, inside an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum Payload {
	/// A fresh random mark, to be seen again in [`SlotMessage::HeartbeatSeen`].
	#[codec(index = 0)]
	Heartbeat { nonce: [u8; 32] },
	/// The answer to [`SlotMessage::Probe`].
	#[codec(index = 1)]
	ProbeAnswered { nonce: [u8; 32] },
}

/// Who an accepted envelope came from. Only the mailbox pallet makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeOrigin {
	/// The sending slot.
	pub slot: SlotId,
	/// Its current boot.
	pub boot: BootNumber,
}
