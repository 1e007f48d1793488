//! Why a transaction was refused: by the node's pool, or by the chain.

use phala_protocol::{
	limits,
	mailbox::EnvelopeError,
	text::{pha, Address},
	AccountBytes, Balance,
};
use subxt::error::{BackendError, DispatchError, ExtrinsicError, TransactionEventsError};

use crate::ChainClientError;

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
	/// Not a signature over this transaction for this chain and its runtime of now.
	#[error(
		"its signature does not count for the runtime that the chain has now: an upgrade came between"
	)]
	BadProof,
	/// It does not fit into a block now.
	#[error("it does not fit into the next block")]
	ExhaustsResources,
	/// The signer cannot pay.
	#[error("{}", cannot_pay(.signer))]
	CannotPay {
		/// Who, and what is free in the account, if that is known.
		signer: Option<(AccountBytes, Balance)>,
	},
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
			INVALID if data.contains("bad signature") => Self::BadProof,
			INVALID if data.contains("exhaust") => Self::ExhaustsResources,
			INVALID if data.contains("pay some fees") => Self::CannotPay { signer: None },
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

fn cannot_pay(signer: &Option<(AccountBytes, Balance)>) -> String {
	let (account, has) = match signer {
		Some((account, free)) => {
			(Address(*account).to_string(), format!(": it has {} that is free", pha(*free)))
		}
		None => ("the account".into(), String::new()),
	};
	format!("{account} cannot pay the transaction's fee{has}; `phala account transfer` from another account sends it PHA")
}

/// A failed `author_submitAndWatchExtrinsic`.
pub(super) fn submission(call: &'static str, error: &ExtrinsicError) -> ChainClientError {
	match error {
		ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(
			subxt::error::RpcError::ClientError(subxt::rpcs::Error::User(refused)),
		)) => ChainClientError::Pool { call, refusal: PoolError::read(refused) },
		error => ChainClientError::NotIncluded { call, reason: error.to_string() },
	}
}

/// What became of a transaction that is in a block.
pub(super) fn effect(call: &'static str, error: TransactionEventsError) -> ChainClientError {
	match error {
		TransactionEventsError::ExtrinsicFailed(error) => {
			ChainClientError::Dispatch { call, error: name(error) }
		}
		error => ChainClientError::Node {
			method: "state_getStorage",
			reason: format!("the effect of {call} is unknown: {error}"),
		},
	}
}

/// `Pallet::Name` of an error of a pallet.
pub(super) fn name(error: DispatchError) -> String {
	match error {
		DispatchError::Module(module) => module.details_string(),
		error => error.to_string(),
	}
}

/// Why the chain refuses something, and what to do, by the error's name in the pallets.
pub fn remedy(name: &str) -> Option<String> {
	let of_limit = match name {
		"InputTooLong" => format!("an input on chain has at most {} bytes, sealed; send less, or call directly (without --on-chain)", limits::REQUEST_INPUT_BYTES_MAX),
		"DeadlineTooFar" => format!("deadlines lie at most {} blocks ahead; name an earlier block with --deadline", limits::DEADLINE_BLOCKS_MAX),
		"TooManyOfCaller" => format!("an account has at most {} requests open at a time; wait for an answer, or use another account", limits::OPEN_REQUESTS_PER_CALLER_MAX),
		"TooManyOfAgent" => format!("an agent has at most {} requests open at a time; try again when its worker has answered some", limits::OPEN_REQUESTS_PER_AGENT_MAX),
		"TooManyOfWorker" => format!("a worker is given at most {} requests at a time, of all its agents; try again when it has answered some", limits::OPEN_REQUESTS_PER_WORKER_MAX),
		"TooManyDue" => format!("at most {} requests have one deadline; take the next block with --deadline", limits::REQUESTS_PER_DEADLINE_MAX),
		"MessageTooLong" => format!("what the chain would have to tell enclaves of it is longer than the {} bytes that a message has: less has to be said, as with a shorter list", limits::MESSAGE_BYTES_MAX),
		"TimeoutOutOfRange" => format!("an agent's timeout is 1 to {} blocks; choose it with --timeout", limits::AGENT_TIMEOUT_MAX),
		"EndpointTooLong" => format!("a worker's URL has at most {} bytes", limits::ENDPOINT_BYTES_MAX),
		name => return without_figures(name).map(str::to_owned),
	};
	Some(of_limit)
}

fn without_figures(name: &str) -> Option<&'static str> {
	Some(match name {
		"UnknownAgent" => "no agent has this id on this chain; `phala agent status <id>` shows one, `phala deploy` makes one",
		"AgentNotBorn" => "the agent has no key yet, since no worker of its cluster has committed its birth; wait until `phala agent status <id>` shows a key",
		"CallerNotAllowed" => "the agent takes calls only of its owner and of accounts on its list; its owner adds one with `phala agent allow <id> <account>`",
		"NotOwner" => "only the account that owns it may do this; choose that one with --account or --suri",
		"SecretsMustBeSealed" => "secrets must be sealed to the agent",
		"DeadlineInThePast" => "the deadline's block has passed; leave --deadline out, or name a later block",
		"DeadlineTooNear" => "the deadline leaves the agent less than its timeout and a margin for finality; leave --deadline out, or name a later block",
		"MinBlockTooLate" => "the block of --min-block is still to come; name one that is there",
		"FeeTooSmall" => "the most that you pay must cover the base fee, which rises while many ask the same agent or worker, and one unit at the agent's price; raise --max-fee, or try again when some were answered",
		"NoLeaseHolder" | "NobodyCounts" => "no worker of the agent's cluster is in force, so nobody could answer; `phala cluster status <cluster>` shows its members",
		"ImmutableCode" => "the agent was deployed as immutable: its code never changes; deploy another agent",
		"TooManyCallers" => "the agent's list is full; take an account off it with `phala agent disallow`",
		"AlreadyAllowed" => "the account is on the agent's list already",
		"NotListed" => "the account is not on the agent's list",
		"UnknownCluster" => "no cluster has this number; `phala cluster create` makes one",
		"ClusterFull" => "the cluster has as many members as it can; take another cluster",
		"TooManyAgents" => "the cluster has as many agents as it can; take another cluster",
		"AlreadyMember" => "the worker is a member of a cluster already, and must leave that one first: `phala cluster leave <worker>`",
		"NotMember" => "the worker is a member of no such cluster; `phala cluster status <cluster>` shows who is",
		"NoJoinRequest" => "nobody asked for this; the worker's operator asks with `phala cluster join <cluster> <worker> <url>`",
		"EndpointNotUrl" => "a worker's endpoint is an ASCII URL that begins with http:// or https://",
		"UnknownWorker" => "no worker has this number; `phala worker register` makes one, and its enclave is started for it",
		"NotOperator" => "only the worker's operator may do this; choose that account with --account or --suri, or start pherry with its key",
		"NotInForce" => "the worker has no boot that counts: start its pruntime and pherry, and wait until `phala status` shows it serving",
		"StakeTooLow" => "too little is at stake; `phala worker status <worker>` shows the minimum, `phala worker stake <worker> <PHA>` adds to it (with --gatekeeper for a seat)",
		"UnknownBond" => "nothing is at stake under this number; `phala worker register` puts a worker's stake up, `phala gatekeeper apply` a candidate's",
		"NotBondAccount" => "only the account that put the stake up may do this; choose that one with --account or --suri",
		"BondIsClosed" => "the worker was closed, or the candidacy withdrawn: all of the stake leaves already, and `phala worker withdraw` frees it then",
		"NotThatMuchActive" => "less than that is active; `phala worker status <worker>` shows how much",
		"TooManyUnbonding" => "as many parts as can leave the stake do; wait until the first has left and free it with `phala worker withdraw <worker>`",
		"NothingToWithdraw" => "nothing of the stake has left yet; `phala worker status <worker>` shows from which block on it can be withdrawn",
		"StillAnswering" => "while the worker has requests to answer, or a gatekeeper's seat, the minimum of its stake stays; try again after their deadlines",
		"StillUnbonding" => "the former operator's stake for this seat is unbonding still; once it has left, anyone can free it with `phala worker withdraw <worker> --gatekeeper`",
		"OpenAssignments" => "the worker has requests to answer still; try again after their deadlines, three hours at most",
		"WorkerInUse" => "the worker is a member of a cluster, has asked to be one, or is a gatekeeper or a candidate: it must leave first, with `phala cluster leave <worker>`, `phala gatekeeper withdraw <worker>`",
		"SeatStakeLeaving" => "the operator's stake for a gatekeeper's seat of this worker has to be withdrawn first: `phala worker withdraw <worker> --gatekeeper`",
		"NotOffered" => "it is not offered to this account; whoever has it does so with `phala agent transfer`, `phala cluster transfer` or `phala worker transfer`",
		"DepositTooHigh" => "its owner has more held for the agent than was seen or named as the most; accept again, with --deposit if that much is right",
		"PlatformBanned" => "this machine's secrets are known to be out: it is banned until governance lifts that",
		"ProbeTooSoon" | "TooManyProbes" => "the worker was asked a short while ago; try again in a few blocks",
		"TooManySeats" => "one gatekeeper can be seated for now",
		"NoBoot" => "the worker has no boot: start its pruntime and pherry, or restart its enclave, and wait until `phala status` shows one",
		"NotCandidate" => "a worker is seated only after its operator applied: `phala gatekeeper apply <worker>`",
		"AlreadyCandidate" => "the worker has applied already",
		"Frozen" | "LiquidityRestrictions" => "part of the account's PHA is staked, vests, or was voted with: only what is locked by nothing can be spent",
		"InsufficientBalance" | "FundsUnavailable" => "the account has not enough PHA that is free; `phala account balance` shows what it has",
		"RequireSudo" => "only the sudo account of a development chain may do this",
		"MailboxFull" => "the block was full of messages; try again",
		"EvidenceTooLong" | "EvidenceMalformed" => "the chain's runtime and the enclave's release do not fit; bring both up to date",
		"EvidenceKindNotAccepted" => "this network does not take this kind of evidence: software evidence is for development",
		"EvidenceBadSignature" => "the evidence is not signed by a root that this network trusts",
		"EvidenceNotBound" => "the evidence is about another worker, operator, chain or block: is it the enclave's worker?",
		"EvidenceDebuggable" => "the enclave runs in debug mode; start a production build",
		"MeasurementNotAllowed" => "the network does not allow this enclave's code; use a release that governance allowed",
		"EvidenceBlockTooOld" => "the evidence took too long; it is made anew",
		"PlatformInOtherWorker" => "this machine is in another worker; close that one first",
		"OtherPlatform" => "the worker belongs to another machine; create a worker for this one with `phala worker register`",
		"NumbersExhausted" => "its numbers are used up; create another worker with `phala worker register`",
		_ => return None,
	})
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn refusals_of_a_node_are_read_by_name() {
		let read = |code, data| PoolError::from_parts(code, "Invalid Transaction", data);
		assert_eq!(read(1010, "Transaction is outdated"), PoolError::Stale);
		assert_eq!(read(1010, "Transaction will be valid in the future"), PoolError::Future);
		assert_eq!(read(1010, "Transaction has a bad signature"), PoolError::BadProof);
		assert_eq!(read(1013, ""), PoolError::AlreadyImported);
		let unknown_worker = PoolError::Envelope { refused: EnvelopeError::UnknownWorker };
		assert_eq!(read(1010, "Custom error: 2"), unknown_worker);
		assert!(read(1010, "Custom error: 3").is_retired());
		assert!(matches!(read(1010, "Custom error: 99"), PoolError::Other { .. }));
	}

	#[test]
	fn what_a_caller_or_an_operator_can_mend_has_its_remedy() {
		for name in [
			"UnknownAgent",
			"AgentNotBorn",
			"CallerNotAllowed",
			"NotOwner",
			"InputTooLong",
			"DeadlineInThePast",
			"DeadlineTooNear",
			"DeadlineTooFar",
			"FeeTooSmall",
			"TooManyOfCaller",
			"TooManyOfAgent",
			"TooManyOfWorker",
			"TooManyDue",
			"MailboxFull",
			"MessageTooLong",
			"NoLeaseHolder",
			"NotOperator",
			"MeasurementNotAllowed",
			"StakeTooLow",
			"TooManyUnbonding",
			"NothingToWithdraw",
			"StillAnswering",
			"OpenAssignments",
			"WorkerInUse",
		] {
			assert!(remedy(name).is_some(), "{name}");
		}
		let in_use = remedy("WorkerInUse").expect("it has one");
		assert!(in_use.contains("`phala cluster leave <worker>`"), "{in_use}");
		assert_eq!(remedy("NoSuchName"), None);
	}
}
