//! Agents: as they stand, and what their runs did.

use crate::{
	agents::{AgentId, AgentSnapshot, EffectSet, StateVersion},
	boot::WorkerId,
	H256,
};
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;

/// From the agents' pallet, to the members of the agent's cluster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
// Decoded one at a time and taken apart at once: a box would only cost.
#[allow(clippy::large_enum_variant)]
pub enum AgentsMessage {
	/// To all members when an agent is new, or something of it but its version changed; to one
	/// worker once for each agent after `JoinedCluster`.
	#[codec(index = 0)]
	Agent(AgentSnapshot),
	/// An effect set was accepted.
	#[codec(index = 1)]
	Committed {
		agent: AgentId,
		/// The new one.
		version: StateVersion,
		/// Hash of the new root.
		state_hash: H256,
		/// Who proposed it.
		worker: WorkerId,
	},
	/// The agent was given up: its state is to be forgotten.
	#[codec(index = 2)]
	Retired { agent: AgentId },
}

/// To the agents' pallet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum AgentsPayload {
	/// What runs of an agent did.
	#[codec(index = 0)]
	EffectSet(EffectSet),
}
