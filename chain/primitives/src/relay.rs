//! What an untrusted relayer brings to an enclave. Nothing in here is believed before it is
//! checked; the checks are in `enclave/light-client`.

use crate::mailbox::{Channel, OutboundMessage};
use alloc::vec::Vec;
use codec::{Decode, Encode};

/// Trie nodes, each as its raw encoding, in any order.
pub type StateProof = Vec<Vec<u8>>;

/// A header and the proof that it is final.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FinalityStep {
	/// SCALE of the header.
	pub header: Vec<u8>,
	/// SCALE of its GRANDPA justification.
	pub justification: Vec<u8>,
}

/// With what a light client starts: block 0, and a proof of the first authority set under it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GenesisBundle {
	/// SCALE of the header of block 0.
	pub header: Vec<u8>,
	/// Proves the GRANDPA authorities and set id under that header's state root.
	pub state_proof: StateProof,
}

/// The messages of one channel, without gaps, from where the enclave stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChannelBodies {
	/// Whose messages.
	pub channel: Channel,
	/// In order.
	pub messages: Vec<OutboundMessage>,
}

/// One step forward: headers up to a newer finalized one, and all that was said until then.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SyncBundle {
	/// One step for each authority set that ended in between, then the newest header. Empty when
	/// the enclave stands at the newest header already.
	pub steps: Vec<FinalityStep>,
	/// Proves, under the last header's state root, the heads of all channels of the enclave and
	/// whatever other facts it reads there.
	pub state_proof: StateProof,
	/// Bodies of every channel that has new ones.
	pub bodies: Vec<ChannelBodies>,
}
