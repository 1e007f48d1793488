//! Clusters: members, leases, wrapped keys.

use crate::{
	agents::{AgentId, Lease},
	boot::{BootNumber, WorkerId},
	clusters::{ClusterSnapshot, Generation, Member, WrappedKeys},
	mailbox::ClusterId,
	BlockNumber,
};
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;

/// From the clusters' pallet: the first two to one worker, the others to all members.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum ClustersMessage {
	/// To a worker: the boot with this identity key is a member of a cluster from now on.
	#[codec(index = 0)]
	JoinedCluster { identity: [u8; 32], snapshot: ClusterSnapshot },
	/// To a worker: the boot with this identity key is no longer a member. It must forget the
	/// cluster's keys.
	#[codec(index = 1)]
	LeftCluster { identity: [u8; 32], cluster: ClusterId },
	/// A new member, or a known one with a new boot or endpoint.
	#[codec(index = 2)]
	Member(Member),
	/// No longer a member.
	#[codec(index = 3)]
	MemberLeft { worker: WorkerId },
	/// The cluster's secret is a new one from now on.
	#[codec(index = 4)]
	NewGeneration { generation: Generation },
	/// The first set of keys that came for this epoch and generation: the one that counts.
	#[codec(index = 5)]
	KeysWrapped(WrappedKeys),
	/// Another boot writes from now on; `None` while no member can.
	#[codec(index = 6)]
	LeaseMoved { agent: AgentId, lease: Option<Lease> },
	/// `by` gets no answer of this boot, which has leases. Any envelope of that boot shows that it is
	/// there; without one, what other members find silent too loses its leases.
	#[codec(index = 7)]
	HolderChallenged {
		holder: WorkerId,
		boot: BootNumber,
		by: WorkerId,
		/// The block that says this.
		block: BlockNumber,
	},
}

/// To the clusters' pallet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum ClustersPayload {
	/// A member asks for its cluster's secret.
	#[codec(index = 0)]
	KeyRequest { cluster: ClusterId, generation: Generation, ephemeral_key: [u8; 32] },
	/// A member wrapped the cluster's data keys. The first for an epoch and generation counts.
	#[codec(index = 1)]
	KeysWrapped { cluster: ClusterId, keys: WrappedKeys },
	/// A member gets no answer of a boot that has leases, and challenges it.
	#[codec(index = 2)]
	HolderSilent { holder: WorkerId, boot: BootNumber },
	/// A member has seen [`crate::limits::CHALLENGE_FINAL_BLOCKS`] blocks after this challenge final,
	/// and still gets no answer of that boot.
	#[codec(index = 3)]
	HolderStillSilent { holder: WorkerId, boot: BootNumber, challenged_at: BlockNumber },
	/// A member that was challenged, or set aside, is there.
	#[codec(index = 4)]
	HolderPresent,
	/// This block is final to a member: the answer to
	/// [`DeadlineNear`](crate::messages::RequestsMessage::DeadlineNear).
	#[codec(index = 5)]
	BlockFinal { block: BlockNumber },
}
