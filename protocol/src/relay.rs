//! What an untrusted relayer brings to an enclave. Nothing in here is believed before it is
//! checked; the checks are in `enclave/light-client`.

use crate::{
	boot::{BootKeys, BootNumber, WorkerId},
	mailbox::{Channel, OutboundMessage},
	BlockNumber, H256,
};
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

/// Paths of an enclave's relay server. Bodies are SCALE; a refusal is an HTTP status of 4xx with a
/// JSON body `{ "error": name, "message": text }`.
pub mod paths {
	/// `GET` → [`super::EnclaveStatus`].
	pub const STATUS: &str = "/relay/v1/status";
	/// `POST` [`super::GenesisBundle`].
	pub const GENESIS: &str = "/relay/v1/genesis";
	/// `POST` [`super::SyncBundle`] → [`super::EnclaveStatus`] after it.
	pub const SYNC: &str = "/relay/v1/sync";
	/// `POST` the operator's account id (32 bytes) → [`super::Registration`].
	pub const REGISTRATION: &str = "/relay/v1/registration";
	/// `GET` → `Vec<`[`crate::mailbox::Envelope`]`>`: all that the chain has not consumed, in order.
	pub const ENVELOPES: &str = "/relay/v1/envelopes";
}

/// What an enclave waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum EnclavePhase {
	/// A [`GenesisBundle`].
	AwaitsGenesis,
	/// A [`SyncBundle`] to a recent block, whose proof has the heads of its channels.
	AwaitsFirstSync,
	/// That its [`Registration`] is submitted, and proof that the chain accepted it.
	AwaitsRegistration,
	/// Messages: it is the worker's current boot.
	Serving,
	/// As `Serving`, but its evidence has expired or is about to: a new [`Registration`] renews it.
	AwaitsRenewal,
	/// Nothing any more: a later boot took the worker.
	Retired,
	/// Nothing any more: the worker was evicted.
	Evicted,
}

impl EnclavePhase {
	/// As JSON and logs have it.
	pub const fn name(self) -> &'static str {
		match self {
			Self::AwaitsGenesis => "awaits-genesis",
			Self::AwaitsFirstSync => "awaits-first-sync",
			Self::AwaitsRegistration => "awaits-registration",
			Self::Serving => "serving",
			Self::AwaitsRenewal => "awaits-renewal",
			Self::Retired => "retired",
			Self::Evicted => "evicted",
		}
	}
}

/// A channel as an enclave follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChannelPosition {
	/// Which channel.
	pub channel: Channel,
	/// The number of the message that it needs next; `None` while it has yet to adopt the head.
	pub next_seq: Option<u64>,
}

/// Where an enclave stands, as it tells its relayer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EnclaveStatus {
	/// The chain that it is pinned to.
	pub genesis: H256,
	/// Its worker.
	pub worker: WorkerId,
	/// Its identity key.
	pub identity: [u8; 32],
	/// What it waits for.
	pub phase: EnclavePhase,
	/// Its boot number, once registered.
	pub boot: Option<BootNumber>,
	/// Its newest finalized block.
	pub height: BlockNumber,
	/// The channels whose heads the next proof must have.
	pub channels: Vec<ChannelPosition>,
	/// Envelopes that the chain has not consumed.
	pub queued: u32,
}

/// What a relayer submits to `registry.register_boot` or `registry.renew_boot`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Registration {
	/// The worker.
	pub worker: WorkerId,
	/// The boot's keys.
	pub keys: BootKeys,
	/// SCALE of [`crate::evidence::Evidence`].
	pub evidence: Vec<u8>,
	/// The block that the evidence is bound to.
	pub recent_block: BlockNumber,
	/// Whether it renews a registered boot.
	pub renewal: bool,
}
