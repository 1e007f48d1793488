//! Why a transaction was refused: by the node's pool, or by the chain.

use phala_protocol::mailbox::EnvelopeError;
use subxt::error::{BackendError, ExtrinsicError, TransactionEventsError};

use crate::Error;

// Codes of a Substrate node's JSON-RPC.
const INVALID: i32 = 1010;
const TEMPORARILY_BANNED: i32 = 1012;
const ALREADY_IMPORTED: i32 = 1013;
const TOO_LOW_PRIORITY: i32 = 1014;
const DROPPED: i32 = 1016;
const FUTURE: i32 = 1021;

/// Why a transaction pool does not take a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
	/// Its number was consumed already.
	#[error("its number was consumed already")]
	Stale,
	/// Its number is too far ahead.
	#[error("its number is too far ahead")]
	Future,
	/// It is in the pool.
	#[error("the pool has it already")]
	AlreadyImported,
	/// The pool saw it fail a short while ago.
	#[error("the pool does not take it for a while, since it was invalid or replaced")]
	TemporarilyBanned,
	/// Another with the same number is in the pool.
	#[error("another one with the same number is in the pool")]
	LowPriority,
	/// The pool is full.
	#[error("the pool is full")]
	PoolFull,
	/// It does not fit into a block now.
	#[error("it does not fit into the next block")]
	ExhaustsResources,
	/// The signer cannot pay.
	#[error("the operator cannot pay the fee: send PHA to its account")]
	CannotPay,
	/// The mailbox refuses the envelope.
	#[error("{refused:?}: {refused}")]
	Envelope {
		/// Why.
		refused: EnvelopeError,
	},
	/// Something else.
	#[error("{message} ({code}) {data}")]
	Other {
		/// Of JSON-RPC.
		code: i32,
		/// The node's words.
		message: String,
		/// More of the node's words.
		data: String,
	},
}

impl PoolError {
	/// Reads a node's refusal of `author_submitExtrinsic`.
	pub fn read(refused: &subxt::rpcs::UserError) -> Self {
		let data = refused.data.as_ref().map(|data| data.get()).unwrap_or_default();
		let data = serde_json::from_str::<String>(data).unwrap_or_else(|_| data.to_owned());
		Self::from_parts(refused.code, &refused.message, &data)
	}

	fn from_parts(code: i32, message: &str, data: &str) -> Self {
		let custom =
			|| EnvelopeError::from_code(data.strip_prefix("Custom error: ")?.parse().ok()?);
		match code {
			INVALID if data.contains("outdated") => Self::Stale,
			INVALID if data.contains("in the future") => Self::Future,
			INVALID if data.contains("exhaust") => Self::ExhaustsResources,
			INVALID if data.contains("pay some fees") => Self::CannotPay,
			INVALID if custom().is_some() => match custom() {
				Some(refused) => Self::Envelope { refused },
				None => Self::Stale,
			},
			TEMPORARILY_BANNED => Self::TemporarilyBanned,
			ALREADY_IMPORTED => Self::AlreadyImported,
			TOO_LOW_PRIORITY => Self::LowPriority,
			DROPPED => Self::PoolFull,
			FUTURE => Self::Future,
			_ => Self::Other { code, message: message.to_owned(), data: data.to_owned() },
		}
	}

	/// Whether the transaction, or one just like it, is in the pool or on the chain.
	pub fn is_already_there(&self) -> bool {
		matches!(self, Self::Stale | Self::AlreadyImported | Self::LowPriority)
	}

	/// Whether no boot with this number will ever be taken again.
	pub fn is_retired(&self) -> bool {
		matches!(self, Self::Envelope { refused: EnvelopeError::RetiredBoot })
	}
}

/// A failed `author_submitAndWatchExtrinsic`.
pub(super) fn submission(call: &'static str, error: &ExtrinsicError) -> Error {
	match error {
		ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(
			subxt::error::RpcError::ClientError(subxt::rpcs::Error::User(refused)),
		)) => Error::Pool { call, refusal: PoolError::read(refused) },
		error => Error::NotIncluded { call, reason: error.to_string() },
	}
}

/// What became of a transaction that is in a block.
pub(super) fn effect(call: &'static str, error: TransactionEventsError) -> Error {
	match error {
		TransactionEventsError::ExtrinsicFailed(error) => {
			let error = match error {
				subxt::error::DispatchError::Module(module) => module.details_string(),
				error => error.to_string(),
			};
			Error::Dispatch { call, advice: advice(&error), error }
		}
		error => Error::Node {
			method: "state_getStorage",
			reason: format!("the effect of {call} is unknown: {error}"),
		},
	}
}

/// What an operator does about a dispatch error.
fn advice(error: &str) -> &'static str {
	match error.rsplit("::").next().unwrap_or(error) {
		"UnknownWorker" => "create the worker first (registry.register_worker), and start the enclave for it",
		"NotOperator" => "start pherry with the key of the worker's operator",
		"NoBoot" => "the worker lost its boot: restart the enclave",
		"EvidenceTooLong" | "EvidenceMalformed" => {
			"the chain's runtime and the enclave's release do not fit: bring both up to date"
		},
		"EvidenceKindNotAccepted" => {
			"this network does not take this kind of evidence: software evidence is for development"
		},
		"EvidenceBadSignature" => "the evidence is not signed by a root that this network trusts",
		"EvidenceNotBound" => {
			"the evidence is about another worker, operator, chain or block: is it the enclave's worker?"
		},
		"EvidenceDebuggable" => "the enclave runs in debug mode: start a production build",
		"MeasurementNotAllowed" => {
			"the network does not allow this enclave's code: use a release that governance allowed"
		},
		"EvidenceBlockTooOld" => "the evidence took too long; it is made anew",
		"PlatformInOtherWorker" => "this machine is in another worker: close that one first",
		"OtherPlatform" => "the worker belongs to another machine: create a worker for this one",
		"MailboxFull" => "the block was full of messages; it is tried again",
		_ => "it is tried again",
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn refusals_of_a_node_are_read_by_name() {
		let read = |code, data| PoolError::from_parts(code, "Invalid Transaction", data);
		assert_eq!(read(1010, "Transaction is outdated"), PoolError::Stale);
		assert_eq!(read(1010, "Transaction will be valid in the future"), PoolError::Future);
		assert_eq!(read(1013, ""), PoolError::AlreadyImported);
		let unknown_worker = PoolError::Envelope { refused: EnvelopeError::UnknownWorker };
		assert_eq!(read(1010, "Custom error: 2"), unknown_worker);
		assert!(read(1010, "Custom error: 3").is_retired());
		assert!(matches!(read(1010, "Custom error: 99"), PoolError::Other { .. }));
	}

	#[test]
	fn every_error_of_the_registry_that_an_operator_can_mend_has_its_advice() {
		assert!(advice("Registry::NotOperator").contains("operator"));
		assert_eq!(advice("Balances::Frozen"), "it is tried again");
	}
}
