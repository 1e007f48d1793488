//! The one error of this crate.

use phala_protocol::{mailbox::Channel, BlockNumber, H256};

use crate::submit::PoolError;

/// What failed or was refused, why, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	// ── the node ───────────────────────────────────────────────────────────────────────────────
	/// No connection.
	#[error("cannot connect to the node at {url}: {reason}; is it running, and --node right?")]
	NodeUnreachable { url: String, reason: String },
	/// The node did not answer, or refused to.
	#[error("the node failed at {method}: {reason}")]
	Node { method: &'static str, reason: String },
	/// The node answered something else than it should.
	#[error("the node's answer to {method} cannot be read: {reason}; is it a Phala node?")]
	NodeAnswer { method: &'static str, reason: String },
	/// Node and enclave belong to different networks.
	#[error(
		"the enclave is pinned to the chain with genesis {pinned:?}, the node serves {found:?}: \
		 use a node of the enclave's chain"
	)]
	OtherChain { pinned: H256, found: H256 },
	/// The node does not keep states for so long.
	#[error(
		"the node has no state of block {block} any more ({reason}): use a node started with \
		 --state-pruning archive"
	)]
	StatePruned { block: BlockNumber, reason: String },
	/// The chain does not keep bodies for so long.
	#[error(
		"message {seq} of {channel:?} is no longer in the chain's storage: the enclave was away \
		 longer than bodies are kept; an archive is needed, or a restart of the enclave"
	)]
	BodyPruned { channel: Channel, seq: u64 },
	/// More messages until the nearest provable header than one bundle may have.
	#[error(
		"{messages} messages wait until block {block}, more than one bundle may have, and no \
		 earlier header can be proven: restart the enclave, which then adopts the newest heads"
	)]
	Backlog { block: BlockNumber, messages: u64 },

	// ── the enclave ────────────────────────────────────────────────────────────────────────────
	/// No connection, or no answer in time.
	#[error("cannot reach the enclave at {url}: {reason}; is it running, and --enclave right?")]
	EnclaveUnreachable { url: String, reason: String },
	/// The enclave answered something else than it should.
	#[error("the enclave's answer to {path} cannot be read: {reason}; is it a Phala enclave?")]
	EnclaveAnswer { path: &'static str, reason: String },
	/// The enclave refused what was brought; it changed nothing.
	#[error("the enclave refused {path} (HTTP {status}) as {name}: {message}")]
	EnclaveRefused { path: &'static str, status: u16, name: String, message: String },

	// ── transactions ───────────────────────────────────────────────────────────────────────────
	/// The runtime has no such call.
	#[error("the runtime has no call {pallet}.{call}: this release is for another runtime")]
	NoSuchCall { pallet: &'static str, call: &'static str },
	/// The call has other arguments than this release knows.
	#[error(
		"the runtime's {pallet}.{call} takes other arguments: bring a newer pherry ({reason})"
	)]
	OtherArguments { pallet: &'static str, call: &'static str, reason: String },
	/// The runtime wants something in each transaction that this release does not know.
	#[error(
		"transactions of this runtime carry `{extension}`, which this release cannot fill: bring a \
		 newer pherry"
	)]
	UnknownExtension { extension: String },
	/// The transaction could not be made.
	#[error("cannot make the transaction {call}: {reason}")]
	Unmade { call: &'static str, reason: String },
	/// The transaction pool refused it.
	#[error("the node's transaction pool refused {call}: {refusal}")]
	Pool { call: &'static str, refusal: PoolError },
	/// It is in a block and had no effect.
	#[error("{call} failed on the chain with {error}: {advice}")]
	Dispatch { call: &'static str, error: String, advice: &'static str },
	/// It is in no block after a while.
	#[error("{call} got into no block: {reason}; it is tried again")]
	NotIncluded { call: &'static str, reason: String },
}

impl Error {
	/// Whether the connection to the node should be made anew.
	pub fn is_of_node_connection(&self) -> bool {
		matches!(self, Self::NodeUnreachable { .. } | Self::Node { .. })
	}

	/// Whether the enclave could not be spoken to.
	pub fn is_of_enclave_connection(&self) -> bool {
		matches!(self, Self::EnclaveUnreachable { .. })
	}
}
