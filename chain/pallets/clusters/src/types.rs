//! What the pallet keeps.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{traits::ConstU32, BoundedVec};
use phala_protocol::{
	clusters::{self, Generation, WrappedKeys},
	keys::Epoch,
	limits,
	mailbox::ClusterId,
};
use scale_info::TypeInfo;

/// Base URL of a member's public server.
pub type Endpoint = BoundedVec<u8, ConstU32<{ limits::ENDPOINT_BYTES_MAX }>>;

/// Whether a departure starts a generation at once.
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
pub enum GenerationGap {
	/// The next departure starts one at once.
	Open,
	/// A departure started one lately: the next has to wait.
	Running,
	/// Somebody has departed since: when the gap has passed a generation starts.
	RunningWithDeparture,
}

/// A group of workers that keep the same agents.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Cluster<AccountId, Balance> {
	/// Decides who may join.
	pub owner: AccountId,
	/// Held from the owner while the cluster exists.
	pub deposit: Balance,
	/// Counts its secrets, from 1.
	pub generation: Generation,
	/// How many members it has.
	pub members: u32,
	/// Whether a departure starts the next generation at once.
	pub gap: GenerationGap,
}

/// A member of a cluster.
pub type MemberRecord = clusters::MemberRecord<Endpoint>;

/// A worker's request to join a cluster.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct JoinRequest {
	/// Which one.
	pub cluster: ClusterId,
	/// Where the worker will be reached.
	pub endpoint: Endpoint,
}

/// [`WrappedKeys`] as storage keeps them.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct StoredKeys {
	/// Of the master key.
	pub epoch: Epoch,
	/// Of the cluster.
	pub generation: Generation,
	/// The wrapped keys.
	pub keys: BoundedVec<u8, ConstU32<{ limits::WRAPPED_KEYS_BYTES_MAX }>>,
}

impl From<StoredKeys> for WrappedKeys {
	fn from(stored: StoredKeys) -> Self {
		let StoredKeys { epoch, generation, keys } = stored;
		Self { epoch, generation, keys: keys.into_inner() }
	}
}
