//! The master key: its ceremony, and the release of cluster secrets.

use crate::{
	boot::BootNumber,
	clusters::Generation,
	keys::{Epoch, KeyRequest, MasterKey, Seat},
	mailbox::{ChannelHead, ClusterId},
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;

/// From the gatekeepers' pallet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum KeysMessage {
	/// To all when a key begins to serve, and to each new boot: cluster secrets come from this
	/// master key.
	#[codec(index = 0)]
	MasterKey(MasterKey),
	/// To a worker: the boot with this identity key is a gatekeeper from now on.
	#[codec(index = 1)]
	SeatedAsGatekeeper { identity: [u8; 32], head: ChannelHead },
	/// To gatekeepers: these make the master key of `epoch` now.
	#[codec(index = 2)]
	Seated { epoch: Epoch, attempt: u32, seats: Vec<Seat> },
	/// To gatekeepers: a member of a cluster asks for its secret; the chain has checked that it
	/// may.
	#[codec(index = 3)]
	KeyRequested(KeyRequest),
	/// To the worker that asked: a gatekeeper's answer, SCALE of the `PartialRelease` of
	/// `enclave/keys`, sealed to the request's single-use key.
	#[codec(index = 4)]
	KeyRelease { boot: BootNumber, cluster: ClusterId, generation: Generation, release: Vec<u8> },
}

/// To the gatekeepers' pallet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum KeysPayload {
	/// A gatekeeper has made its share; `outcome` is what all must have come to.
	#[codec(index = 0)]
	MasterKeyConfirmed { epoch: Epoch, attempt: u32, outcome: Vec<u8> },
	/// A gatekeeper answers an admitted request; see [`KeysMessage::KeyRelease`].
	#[codec(index = 1)]
	KeyReleased { request: KeyRequest, release: Vec<u8> },
}
