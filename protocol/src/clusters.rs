//! Clusters: groups of workers that keep the same agents.

use crate::{
	boot::{BootNumber, WorkerId},
	mailbox::{ChannelHead, ClusterId},
	Balance, BlockNumber,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Counts the secrets of a cluster within one epoch, from 1: a departure starts the next.
pub type Generation = u32;

/// A member as the others have to know it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Member {
	/// Its place in the network.
	pub worker: WorkerId,
	/// Its current boot.
	pub boot: BootNumber,
	/// sr25519 key of that boot.
	pub identity: [u8; 32],
	/// Base URL of its public server, as its operator says: where, not who. At most
	/// [`crate::limits::ENDPOINT_BYTES_MAX`].
	pub endpoint: Vec<u8>,
}

/// A member as the chain's storage keeps it, which bounds the endpoint by its type.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct MemberRecord<Endpoint = Vec<u8>> {
	/// Where it is reached, as its operator says.
	pub endpoint: Endpoint,
	/// The block in which it was set aside, for its silence or a missed deadline: it counts again
	/// after a sign of life in a later one.
	pub set_aside: Option<BlockNumber>,
}

/// A cluster's data keys, wrapped by the cluster secret of one epoch and generation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct WrappedKeys {
	/// Of the master key.
	pub epoch: u32,
	/// Of the cluster.
	pub generation: Generation,
	/// SCALE `Vec<WrappedKey>` of `enclave/keys`; at most
	/// [`crate::limits::WRAPPED_KEYS_BYTES_MAX`]. Safe to show.
	pub keys: Vec<u8>,
}

/// With what a new member, or a new boot of one, starts. Its agents follow as
/// [`crate::messages::AgentsMessage::Agent`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct ClusterSnapshot {
	/// Which cluster.
	pub cluster: ClusterId,
	/// From where its channel is to be followed.
	pub head: ChannelHead,
	/// The current one.
	pub generation: Generation,
	/// All members, the new one among them.
	pub members: Vec<Member>,
	/// The newest; `None` while the cluster never had any.
	pub keys: Option<WrappedKeys>,
}

/// On which terms a cluster takes agents of others than its owner.
#[derive(
	Clone,
	Copy,
	Debug,
	Default,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Opening {
	/// A unit of their work costs at least so much.
	pub price_floor: Balance,
	/// So much is held for each of them, if that is more than the chain asks for.
	pub deposit: Balance,
}
