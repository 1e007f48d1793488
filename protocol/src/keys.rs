//! The master key's ceremony and the release of cluster secrets, as they travel through the chain.

use crate::{
	boot::{BootKeys, BootNumber, WorkerId},
	clusters::Generation,
	mailbox::ClusterId,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Life of one master key, from 1.
pub type Epoch = u32;

/// A gatekeeper of one epoch.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Seat {
	/// Its place in the network.
	pub worker: WorkerId,
	/// The boot that takes part: a restart loses the share.
	pub boot: BootNumber,
	/// That boot's keys.
	pub keys: BootKeys,
}

/// The master key that serves.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct MasterKey {
	/// Its life.
	pub epoch: Epoch,
	/// Which ceremony of that epoch made it, from 0.
	pub attempt: u32,
	/// SCALE of the `Outcome` of `enclave/keys`, as a quorum of the seats confirmed it; at most
	/// [`crate::limits::CEREMONY_OUTCOME_BYTES_MAX`].
	pub outcome: Vec<u8>,
}

/// A worker's request for a cluster secret, admitted by the chain.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct KeyRequest {
	/// Who asks.
	pub worker: WorkerId,
	/// In which life.
	pub boot: BootNumber,
	/// Whose secret.
	pub cluster: ClusterId,
	/// Which generation of it.
	pub generation: Generation,
	/// X25519, for this request only.
	pub ephemeral_key: [u8; 32],
}
