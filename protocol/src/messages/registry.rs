//! Boots: their registration, marks of freshness, end.

use crate::{
	boot::{BootKeys, BootNumber},
	evidence::Measurement,
	BlockNumber,
};
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;

/// From the registry: to all on [`crate::mailbox::Channel::System`], to one on its
/// [`crate::mailbox::Channel::Worker`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum RegistryMessage {
	/// To all: enclaves of this measurement may register from now on.
	#[codec(index = 0)]
	MeasurementAllowed { measurement: Measurement },
	/// To all: enclaves of this measurement are evicted at block `until`.
	#[codec(index = 1)]
	MeasurementDelisted { measurement: Measurement, until: BlockNumber },
	/// The chain accepted evidence for a new boot; every earlier boot of the worker is retired.
	/// Seeing its own keys here is an enclave's first mark of freshness.
	#[codec(index = 2)]
	Registered {
		boot: BootNumber,
		keys: BootKeys,
		/// From this block on the boot is suspended, unless renewed before.
		expires_at: BlockNumber,
	},
	/// The evidence was renewed and now counts until this block.
	#[codec(index = 3)]
	Renewed { boot: BootNumber, expires_at: BlockNumber },
	/// The chain recorded this boot's heartbeat: a later mark of freshness.
	#[codec(index = 4)]
	HeartbeatSeen { boot: BootNumber, nonce: [u8; 32] },
	/// Somebody asks whether this worker's enclave is alive, end to end.
	#[codec(index = 5)]
	Probe { nonce: [u8; 32] },
	/// The worker lost its place. The boot must forget its keys and stop.
	#[codec(index = 6)]
	Evicted { boot: BootNumber },
}

/// To the registry.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum RegistryPayload {
	/// A fresh random mark, to be seen again in [`RegistryMessage::HeartbeatSeen`].
	#[codec(index = 0)]
	Heartbeat { nonce: [u8; 32] },
	/// The answer to [`RegistryMessage::Probe`].
	#[codec(index = 1)]
	ProbeAnswered { nonce: [u8; 32] },
}
