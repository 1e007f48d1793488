//! The one error of this crate.

use phala_chain_client::{registry::RegistrationRefusal, ChainClientError};
use phala_protocol::{boot::WorkerId, text::Address, BlockNumber, H256};

/// What failed or was refused, why, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
	/// The node, or a transaction.
	#[error(transparent)]
	Chain(#[from] ChainClientError),
	/// Node and enclave belong to different networks.
	#[error(
		"the enclave is pinned to the chain with genesis {pinned:?}, the node serves {found:?}: \
		 use a node of the enclave's chain"
	)]
	OtherChain { pinned: H256, found: H256 },
	/// More messages until the nearest provable header than one bundle may have.
	#[error(
		"{messages} messages wait until block {block}, more than one bundle may have, and no \
		 earlier header can be proven: restart the enclave, which then adopts the newest heads"
	)]
	Backlog { block: BlockNumber, messages: u64 },
	/// The chain refuses the enclave's registration until something there changes.
	#[error(
		"worker {worker} is not registered, and nothing more is paid for it: the chain {} by {operator} as {}: {}; \
		 pherry goes on relaying, and registers when that has changed on the chain, or when it is started anew",
		if *.was_paid { "refused the registration" } else { "would refuse a registration" },
		.refusal.name(), .refusal.remedy()
	)]
	NotRegistered {
		worker: WorkerId,
		/// Whose key pherry has.
		operator: Address,
		refusal: RegistrationRefusal,
		/// Whether it took a transaction to learn that.
		was_paid: bool,
	},
	/// No connection to the enclave, or no answer in time.
	#[error("cannot reach the enclave at {url}: {reason}; is it running, and --enclave right?")]
	EnclaveUnreachable { url: String, reason: String },
	/// The enclave answered something else than it should.
	#[error("the enclave's answer to {path} cannot be read: {reason}; is it a Phala enclave?")]
	EnclaveAnswer { path: &'static str, reason: String },
	/// The enclave refused what was brought; it changed nothing.
	#[error("the enclave refused {path} (HTTP {status}) as {name}: {message}")]
	EnclaveRefused { path: &'static str, status: u16, name: String, message: String },
}

impl RelayError {
	/// Whether the connection to the node should be made anew.
	pub fn is_of_node_connection(&self) -> bool {
		matches!(self, Self::Chain(error) if error.is_of_connection())
	}

	/// Whether the enclave could not be spoken to.
	pub fn is_of_enclave_connection(&self) -> bool {
		matches!(self, Self::EnclaveUnreachable { .. })
	}
}
