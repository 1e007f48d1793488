//! What the chain tells enclaves ([`Message`]) and what they answer ([`Payload`]).
//!
//! Variants carry explicit codec indices: they are a wire format. An index is never reused.

use crate::{
	agents::{AgentId, AgentSnapshot, EffectSet, Lease, StateVersion},
	boot::{BootKeys, BootNumber, WorkerId},
	clusters::{ClusterSnapshot, Generation, Member, WrappedKeys},
	evidence::Measurement,
	keys::{Epoch, KeyRequest, MasterKey, Seat},
	mailbox::{Channel, ChannelHead, ClusterId},
	requests::RequestOrder,
	BlockNumber, H256,
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
	/// On [`crate::mailbox::Channel::Gatekeepers`].
	#[codec(index = 1)]
	Gatekeepers(GatekeeperMessage),
	/// On [`crate::mailbox::Channel::Cluster`].
	#[codec(index = 2)]
	Cluster(ClusterMessage),
	/// On [`crate::mailbox::Channel::Worker`].
	#[codec(index = 3)]
	Worker(WorkerMessage),
}

/// What a message makes its reader follow or leave. A pure reading of its body: enclave and
/// relayer must come to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscription {
	/// From this head on.
	Follow(Channel, ChannelHead),
	/// No longer.
	Leave(Channel),
}

impl Message {
	/// What this message changes for the boot with this identity key.
	pub fn subscription(&self, identity: &[u8; 32]) -> Option<Subscription> {
		match self {
			Self::Worker(WorkerMessage::JoinedCluster { identity: boot, snapshot })
				if boot == identity =>
			{
				Some(Subscription::Follow(Channel::Cluster(snapshot.cluster), snapshot.head))
			}
			Self::Worker(WorkerMessage::LeftCluster { identity: boot, cluster })
				if boot == identity =>
			{
				Some(Subscription::Leave(Channel::Cluster(*cluster)))
			}
			Self::Worker(WorkerMessage::SeatedAsGatekeeper { identity: boot, head })
				if boot == identity =>
			{
				Some(Subscription::Follow(Channel::Gatekeepers, *head))
			}
			_ => None,
		}
	}
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
	/// From now on cluster secrets come from this master key.
	#[codec(index = 2)]
	MasterKeyActive(MasterKey),
}

/// To gatekeepers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum GatekeeperMessage {
	/// These make the master key of `epoch` now.
	#[codec(index = 0)]
	Seated { epoch: Epoch, attempt: u32, seats: Vec<Seat> },
	/// A member of a cluster asks for its secret; the chain has checked that it may.
	#[codec(index = 1)]
	KeyRequested(KeyRequest),
}

/// To the members of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
// Decoded one at a time and taken apart at once: a box would only cost.
#[allow(clippy::large_enum_variant)]
pub enum ClusterMessage {
	/// A new member, or a known one with a new boot or endpoint.
	#[codec(index = 0)]
	Member(Member),
	/// No longer a member.
	#[codec(index = 1)]
	MemberLeft { worker: WorkerId },
	/// The cluster's secret is a new one from now on.
	#[codec(index = 2)]
	NewGeneration { generation: Generation },
	/// The first set of keys that came for this epoch and generation: the one that counts.
	#[codec(index = 3)]
	KeysWrapped(WrappedKeys),
	/// An agent is new, or something of it but its version changed.
	#[codec(index = 4)]
	Agent(AgentSnapshot),
	/// Another boot writes from now on; `None` while no member can.
	#[codec(index = 5)]
	LeaseMoved { agent: AgentId, lease: Option<Lease> },
	/// A paid request.
	#[codec(index = 6)]
	Request(RequestOrder),
	/// An effect set was accepted.
	#[codec(index = 7)]
	Committed {
		agent: AgentId,
		/// The new one.
		version: StateVersion,
		body_hash: H256,
		/// See [`crate::agents::next_state_hash`].
		state_hash: H256,
		/// Who proposed it.
		worker: WorkerId,
	},
}

/// To one worker.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
// Decoded one at a time and taken apart at once: a box would only cost.
#[allow(clippy::large_enum_variant)]
pub enum WorkerMessage {
	/// The chain accepted evidence for a new boot; every earlier boot of the worker is retired.
	/// Seeing its own keys here is an enclave's first mark of freshness.
	#[codec(index = 0)]
	Registered {
		boot: BootNumber,
		keys: BootKeys,
		/// From this block on the boot is suspended, unless renewed before.
		expires_at: BlockNumber,
	},
	/// The evidence was renewed and now counts until this block.
	#[codec(index = 1)]
	Renewed { boot: BootNumber, expires_at: BlockNumber },
	/// The chain recorded this boot's heartbeat: a later mark of freshness.
	#[codec(index = 2)]
	HeartbeatSeen { boot: BootNumber, nonce: [u8; 32] },
	/// Somebody asks whether this worker's enclave is alive, end to end.
	#[codec(index = 3)]
	Probe { nonce: [u8; 32] },
	/// The worker lost its place. The boot must forget its keys and stop.
	#[codec(index = 5)]
	Evicted { boot: BootNumber },
	/// To a new boot: the master key that serves already.
	#[codec(index = 6)]
	MasterKey(MasterKey),
	/// The boot with this identity key is a gatekeeper from now on.
	#[codec(index = 7)]
	SeatedAsGatekeeper { identity: [u8; 32], head: ChannelHead },
	/// The boot with this identity key is a member of a cluster from now on.
	#[codec(index = 8)]
	JoinedCluster { identity: [u8; 32], snapshot: ClusterSnapshot },
	/// Comes once for each agent after `JoinedCluster`.
	#[codec(index = 9)]
	Agent(AgentSnapshot),
	/// The boot with this identity key is no longer a member: it must forget the cluster's keys.
	#[codec(index = 10)]
	LeftCluster { identity: [u8; 32], cluster: ClusterId },
	/// A gatekeeper's answer to this boot's key request: SCALE of the `PartialRelease` of
	/// `enclave/keys`, sealed to the request's single-use key.
	#[codec(index = 11)]
	KeyRelease { boot: BootNumber, cluster: ClusterId, generation: Generation, release: Vec<u8> },
}

/// What an enclave tells the chain, inside an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum Payload {
	/// A fresh random mark, to be seen again in [`WorkerMessage::HeartbeatSeen`].
	#[codec(index = 0)]
	Heartbeat { nonce: [u8; 32] },
	/// The answer to [`WorkerMessage::Probe`].
	#[codec(index = 1)]
	ProbeAnswered { nonce: [u8; 32] },
	/// A gatekeeper has made its share; `outcome` is what all must have come to.
	#[codec(index = 2)]
	MasterKeyConfirmed { epoch: Epoch, attempt: u32, outcome: Vec<u8> },
	/// A member asks for its cluster's secret.
	#[codec(index = 3)]
	KeyRequest { cluster: ClusterId, generation: Generation, ephemeral_key: [u8; 32] },
	/// A gatekeeper answers an admitted request; see [`WorkerMessage::KeyRelease`].
	#[codec(index = 4)]
	KeyReleased { request: KeyRequest, release: Vec<u8> },
	/// A member wrapped the cluster's data keys. The first for an epoch and generation counts.
	#[codec(index = 5)]
	KeysWrapped { cluster: ClusterId, keys: WrappedKeys },
	/// What runs of an agent did.
	#[codec(index = 6)]
	EffectSet(EffectSet),
}

/// Who an accepted envelope came from. Only the mailbox pallet makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeOrigin {
	/// The sending worker.
	pub worker: WorkerId,
	/// Its current boot.
	pub boot: BootNumber,
}
