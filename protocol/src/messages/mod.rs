//! What the chain tells enclaves ([`Message`]) and what they answer ([`Payload`]), by domain: one
//! module, one variant and one arm of the runtime's router for each pallet.
//!
//! Variants carry explicit codec indices: they are a wire format, frozen in `tests/frozen.rs`. An
//! index is never used again. Which channel a message travels in is its sender's choice, and is
//! said at each variant.

mod agents;
mod clusters;
mod keys;
mod registry;
mod requests;

pub use agents::{AgentsMessage, AgentsPayload};
pub use clusters::{ClustersMessage, ClustersPayload};
pub use keys::{KeysMessage, KeysPayload};
pub use registry::{RegistryMessage, RegistryPayload};
pub use requests::RequestsMessage;

use crate::{
	boot::{BootNumber, WorkerId},
	mailbox::{Channel, ChannelHead, Lane},
};
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;

/// A body that the chain pushes into a channel.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
// Decoded one at a time and taken apart at once: a box would only cost.
#[allow(clippy::large_enum_variant)]
pub enum Message {
	#[codec(index = 0)]
	Registry(RegistryMessage),
	#[codec(index = 1)]
	Keys(KeysMessage),
	#[codec(index = 2)]
	Clusters(ClustersMessage),
	#[codec(index = 3)]
	Agents(AgentsMessage),
	#[codec(index = 4)]
	Requests(RequestsMessage),
}

/// What an enclave tells the chain, inside an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum Payload {
	#[codec(index = 0)]
	Registry(RegistryPayload),
	#[codec(index = 1)]
	Keys(KeysPayload),
	#[codec(index = 2)]
	Clusters(ClustersPayload),
	#[codec(index = 3)]
	Agents(AgentsPayload),
}

impl Payload {
	/// The lane that its envelope travels in.
	pub fn lane(&self) -> Lane {
		match self {
			Self::Registry(RegistryPayload::Heartbeat { .. }) => Lane::Liveness,
			Self::Registry(RegistryPayload::ProbeAnswered { .. }) => Lane::Rest,
			Self::Clusters(
				ClustersPayload::HolderSilent { .. }
				| ClustersPayload::HolderStillSilent { .. }
				| ClustersPayload::HolderPresent
				| ClustersPayload::BlockFinal { .. },
			) => Lane::Liveness,
			Self::Keys(_)
			| Self::Clusters(
				ClustersPayload::KeyRequest { .. } | ClustersPayload::KeysWrapped { .. },
			) => Lane::Keys,
			// All in one lane: each rests on the one before it.
			Self::Agents(AgentsPayload::EffectSet(_)) => Lane::PaidCommits,
		}
	}
}

impl Message {
	/// Whether it may take the room that each block keeps for registrations, keys and liveness.
	pub fn is_vital(&self) -> bool {
		match self {
			// Any stranger can have a worker asked.
			Self::Registry(RegistryMessage::Probe { .. }) => false,
			Self::Registry(_) | Self::Keys(_) | Self::Clusters(_) => true,
			Self::Agents(_) | Self::Requests(_) => false,
		}
	}
}

macro_rules! from_domain {
	($($whole:ident::$domain:ident($part:ident)),+ $(,)?) => {
		$(impl From<$part> for $whole {
			fn from(part: $part) -> Self {
				Self::$domain(part)
			}
		})+
	};
}

from_domain!(
	Message::Registry(RegistryMessage),
	Message::Keys(KeysMessage),
	Message::Clusters(ClustersMessage),
	Message::Agents(AgentsMessage),
	Message::Requests(RequestsMessage),
	Payload::Registry(RegistryPayload),
	Payload::Keys(KeysPayload),
	Payload::Clusters(ClustersPayload),
	Payload::Agents(AgentsPayload),
);

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
			Self::Clusters(ClustersMessage::JoinedCluster { identity: boot, snapshot })
				if boot == identity =>
			{
				Some(Subscription::Follow(Channel::Cluster(snapshot.cluster), snapshot.head))
			}
			Self::Clusters(ClustersMessage::LeftCluster { identity: boot, cluster })
				if boot == identity =>
			{
				Some(Subscription::Leave(Channel::Cluster(*cluster)))
			}
			Self::Keys(KeysMessage::SeatedAsGatekeeper { identity: boot, head })
				if boot == identity =>
			{
				Some(Subscription::Follow(Channel::Gatekeepers, *head))
			}
			_ => None,
		}
	}
}

/// Who an accepted envelope came from. Only the mailbox pallet makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeOrigin {
	/// The sending worker.
	pub worker: WorkerId,
	/// Its current boot.
	pub boot: BootNumber,
}
