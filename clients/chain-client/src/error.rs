//! The one error of this crate.

use crate::{
	accounts::TRANSFER,
	transactions::{remedy, PoolError},
};
use phala_protocol::{
	agents::AgentId,
	boot::WorkerId,
	limits,
	mailbox::{Channel, ClusterId},
	text::{pha, Address},
	AccountBytes, Balance, BlockNumber, H256,
};

/// What failed or was refused, why, and what would be accepted.
#[derive(Debug, thiserror::Error)]
pub enum ChainClientError {
	// ── the node ───────────────────────────────────────────────────────────────────────────────
	/// No connection.
	#[error(
		"no node answers at {url} ({reason}): `phala network up` starts one for development; --node or \
		 PHALA_NODE say where one is"
	)]
	NodeUnreachable { url: String, reason: String },
	/// Something takes connections there, and says nothing.
	#[error(
		"the node at {url} does not answer within {seconds} s: does it hang? `phala network status` says so of a \
		 development network's; --node or PHALA_NODE say where another is"
	)]
	NodeSilent { url: String, seconds: u64 },
	/// Not a URL at which nodes answer.
	#[error(
		"{url:?} is no node's: the websocket address of a chain node is taken, as in ws://127.0.0.1:9944, with \
		 --node or PHALA_NODE"
	)]
	NotWebsocket { url: String },
	/// The node did not answer.
	#[error("the node failed at {method}: {reason}")]
	Node { method: &'static str, reason: String },
	/// The node refused, or answered something else than it should.
	#[error("the node's answer to {method} cannot be read: {reason}; is it a Phala node, and as new as this release?")]
	NodeAnswer { method: &'static str, reason: String },
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
	/// Finality did not come that far.
	#[error("block {block} did not become final within {seconds} s: does the chain finalize?")]
	NotFinal { block: BlockNumber, seconds: u64 },

	// ── transactions ───────────────────────────────────────────────────────────────────────────
	/// Not the reason: it could quote the secret.
	#[error(
		"the secret is no key: a phrase of 12 to 24 words, 0x and 64 hexadecimal digits, or //Name \
		 is taken"
	)]
	SecretMalformed,
	/// The runtime has no such call.
	#[error("the runtime has no call {pallet}.{call}: this release is for another runtime")]
	NoSuchCall { pallet: &'static str, call: &'static str },
	/// The call has other arguments than this release knows.
	#[error(
		"the runtime's {pallet}.{call} takes other arguments: bring a newer release ({reason})"
	)]
	OtherArguments { pallet: &'static str, call: &'static str, reason: String },
	/// The runtime wants something in each transaction that this release does not know.
	#[error(
		"transactions of this runtime carry `{extension}`, which this release cannot fill: bring a \
		 newer one"
	)]
	UnknownExtension { extension: String },
	/// The transaction could not be made.
	#[error("cannot make the transaction {call}: {reason}")]
	Unmade { call: &'static str, reason: String },
	/// The transaction pool refused it.
	#[error("the node's transaction pool refused {call}: {refusal}")]
	Pool { call: &'static str, refusal: PoolError },
	/// It is in a block and had no effect.
	#[error("{}", dispatched(.call, .error))]
	Dispatch {
		call: &'static str,
		/// `Pallet::Name`.
		error: String,
	},
	/// As [`Self::Dispatch`] or earlier, of a call for root by way of sudo.
	#[error("{call} is for root: only the sudo account of a development chain can do it: {error}")]
	NotRoot { call: &'static str, error: Box<ChainClientError> },
	/// It is in no block after a while.
	#[error("{call} got into no block: {reason}")]
	NotIncluded { call: &'static str, reason: String },
	/// The signer has not what the call takes.
	#[error(
		"{} has {} that is free, and {what} takes {}, besides the transaction's fee and the {} that \
		 stay in every account; {}",
		Address(*.account), pha(*.free), pha(*.takes), pha(*.stays),
		enough(.what, *.account, *.free, *.stays)
	)]
	NotEnough {
		account: AccountBytes,
		free: Balance,
		/// As in "a request".
		what: &'static str,
		takes: Balance,
		stays: Balance,
	},
	/// What it should have caused is not there.
	#[error("block {block} has the transaction without its event {pallet}.{name}")]
	NoEvent { block: BlockNumber, pallet: &'static str, name: &'static str },

	// ── agents, clusters ───────────────────────────────────────────────────────────────────────
	/// The chain knows no such agent.
	#[error(
		"no agent has the id {agent:?} on this chain, as of finalized block {block}: \
		 `phala deploy` prints an agent's id, and `GET /v1/agents` of a worker lists those that it \
		 keeps"
	)]
	UnknownAgent { agent: AgentId, block: BlockNumber },
	/// Nothing can be sealed to it.
	#[error(
		"agent {agent:?} has no key yet: no worker of cluster {cluster} has committed its birth; \
		 wait until `phala agent status {agent:?}` shows one"
	)]
	NotBorn { agent: AgentId, cluster: ClusterId },
	/// Neither owner nor on the list.
	#[error(
		"{} may not call agent {agent:?}: it takes calls only of its owner {} and of accounts on \
		 its list, as of block {block}; the owner adds one with `phala agent allow {agent:?} {}`",
		Address(*.caller), Address(*.owner), Address(*.caller)
	)]
	CallerNotAllowed {
		agent: AgentId,
		caller: AccountBytes,
		owner: AccountBytes,
		block: BlockNumber,
	},
	/// Nobody keeps agents in it.
	#[error(
		"cluster {cluster} has no members: its owner lets one in with \
		 `phala cluster approve {cluster} <worker>`"
	)]
	NoMembers { cluster: ClusterId },
	/// The chain has no such cluster.
	#[error(
		"there is no cluster {cluster}: the chain has {}; agents are in the cluster that `phala agent status` \
		 names, and `phala cluster create` makes another", list(.known)
	)]
	UnknownCluster { cluster: ClusterId, known: Vec<ClusterId> },
	/// The chain has no such worker.
	#[error(
		"there is no worker {worker}: `phala worker register` makes one, and prints its number"
	)]
	UnknownWorker { worker: WorkerId },
	/// Nobody to approve.
	#[error(
		"worker {worker} does not ask to join cluster {cluster}, or has no boot: its operator asks with \
		 `phala cluster join {cluster} {worker} <url>`; `phala status --worker <url>` shows its boot"
	)]
	NotAsked { cluster: ClusterId, worker: WorkerId },
	/// Nothing to leave.
	#[error(
		"worker {worker} is a member of no cluster, and asked none to let it in; `phala cluster status \
		 <cluster>` shows who is in one"
	)]
	InNoCluster { worker: WorkerId },
	/// Not a URL that others reach a worker at.
	#[error(
		"{endpoint:?} was refused ({why}): an http or https URL of at most {} bytes is taken, as in \
		 http://203.0.113.7:8000", limits::ENDPOINT_BYTES_MAX
	)]
	EndpointRefused { endpoint: String, why: String },

	// ── requests, before anything is paid for one that the chain would refuse ──────────────────
	/// Longer than the chain takes.
	#[error(
		"an input of {bytes} bytes, as it goes to the chain, is too long: at most {} are taken; \
		 send less, or call directly (without --on-chain)",
		limits::REQUEST_INPUT_BYTES_MAX
	)]
	InputTooLong { bytes: usize },
	/// It does not cover a unit of work.
	#[error(
		"a fee of at most {} is too small: the base fee is {} and the agent takes {} for a unit of \
		 work, so --max-fee {} is the least; what is not used is refunded, but for the base fee",
		pha(*.max_fee), pha(*.base_fee), pha(*.unit_price),
		pha(base_fee.saturating_add(*.unit_price)).trim_end_matches(" PHA")
	)]
	FeeTooSmall { max_fee: Balance, base_fee: Balance, unit_price: Balance },
	/// Many ask the same agent, its worker, or for the same deadline.
	#[error(
		"so much is asked of the agent, of its worker or for that deadline that the base fee, which is \
		 not refunded, is {} now, and {} usually: it falls with each answer, so try again in a \
		 minute; or pay it with --max-fee {} or more",
		pha(*.base_fee), pha(*.least),
		pha(base_fee.saturating_add(*.unit_price)).trim_end_matches(" PHA")
	)]
	BaseFeeRaised { base_fee: Balance, least: Balance, unit_price: Balance },
	/// Who did not say what it pays at most would put up more than is usual.
	#[error(
		"the agent takes {} a unit, and this request may cost {} in all: say the most that you pay, as \
		 in --max-fee {}; what is not used is refunded",
		pha(*.unit_price), pha(*.max_fee), pha(*.max_fee).trim_end_matches(" PHA")
	)]
	FeeNotNamed { max_fee: Balance, unit_price: Balance },
	/// It has passed.
	#[error(
		"block {deadline} as a deadline is in the past: block {now} is there already; blocks \
		 {nearest} to {farthest} are taken"
	)]
	DeadlineInThePast {
		deadline: BlockNumber,
		now: BlockNumber,
		nearest: BlockNumber,
		farthest: BlockNumber,
	},
	/// The agent could not answer until then.
	#[error(
		"block {deadline} as a deadline is too near: the agent may take {timeout} blocks, and {} \
		 more are for finality, so from block {now} on the nearest is {nearest}",
		limits::FINALITY_MARGIN
	)]
	DeadlineTooNear {
		deadline: BlockNumber,
		now: BlockNumber,
		timeout: BlockNumber,
		nearest: BlockNumber,
	},
	/// Money is not held for so long.
	#[error(
		"block {deadline} as a deadline is too far ahead: from block {now} on the latest is \
		 {farthest}"
	)]
	DeadlineTooFar { deadline: BlockNumber, now: BlockNumber, farthest: BlockNumber },

	// ── transactions of earlier ────────────────────────────────────────────────────────────────
	/// A transaction of earlier, on another chain: they may share block 0, as those of
	/// `phala dev` do.
	#[error(
		"this chain is not the one that transaction {transaction:?} was signed for: its block \
		 {block} is another; say with --node where that chain is"
	)]
	OtherHistory { transaction: H256, block: BlockNumber },
}

/// Those that there are, the first of them if there are many.
fn list(clusters: &[ClusterId]) -> String {
	const SHOWN_MAX: usize = 8;
	if clusters.is_empty() {
		return "none yet".into();
	}
	let shown = clusters.iter().take(SHOWN_MAX).map(ClusterId::to_string).collect::<Vec<_>>();
	match clusters.len().saturating_sub(SHOWN_MAX) {
		0 => shown.join(", "),
		more => format!("{} and {more} more", shown.join(", ")),
	}
}

/// What to do without enough: who sends PHA is not told to send it to itself.
fn enough(what: &str, account: AccountBytes, free: Balance, stays: Balance) -> String {
	match what {
		TRANSFER if free <= stays => {
			"nothing can be sent from it; choose another account with --account or --suri".into()
		}
		TRANSFER => format!(
			"send less, at most {} without the fee, or choose another account with --account or --suri",
			pha(free.saturating_sub(stays))
		),
		_ => format!(
			"`phala account transfer {} <PHA>` sends it more from another account",
			Address(account)
		),
	}
}

impl ChainClientError {
	/// As programs tell it from others: of what the chain refused the runtime's own name.
	pub fn name(&self) -> &str {
		match self {
			Self::NodeUnreachable { .. } | Self::NodeSilent { .. } | Self::NotWebsocket { .. } => {
				"NodeUnreachable"
			}
			Self::Node { .. } => "Node",
			Self::NodeAnswer { .. } => "NodeAnswer",
			Self::StatePruned { .. } => "StatePruned",
			Self::BodyPruned { .. } => "BodyPruned",
			Self::NotFinal { .. } => "NotFinal",
			Self::SecretMalformed => "SecretMalformed",
			Self::NoSuchCall { .. } => "NoSuchCall",
			Self::OtherArguments { .. } => "OtherArguments",
			Self::UnknownExtension { .. } => "UnknownExtension",
			Self::Unmade { .. } => "Unmade",
			Self::Pool { refusal: PoolError::CannotPay { .. }, .. } | Self::NotEnough { .. } => {
				"NotEnough"
			}
			Self::Pool { .. } => "Pool",
			Self::Dispatch { error, .. } => {
				let name = error.rsplit("::").next().unwrap_or_default();
				let is_name =
					!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
				if is_name {
					name
				} else {
					"Dispatch"
				}
			}
			Self::NotRoot { .. } => "NotRoot",
			Self::NotIncluded { .. } => "NotIncluded",
			Self::NoEvent { .. } => "NoEvent",
			Self::UnknownAgent { .. } => "UnknownAgent",
			Self::NotBorn { .. } => "NotBorn",
			Self::CallerNotAllowed { .. } => "CallerNotAllowed",
			Self::NoMembers { .. } => "NoMembers",
			Self::UnknownCluster { .. } => "UnknownCluster",
			Self::UnknownWorker { .. } => "UnknownWorker",
			Self::EndpointRefused { .. } => "EndpointRefused",
			Self::InputTooLong { .. } => "InputTooLong",
			Self::FeeTooSmall { .. } => "FeeTooSmall",
			Self::BaseFeeRaised { .. } => "BaseFeeRaised",
			Self::FeeNotNamed { .. } => "FeeNotNamed",
			Self::DeadlineInThePast { .. } => "DeadlineInThePast",
			Self::DeadlineTooNear { .. } => "DeadlineTooNear",
			Self::DeadlineTooFar { .. } => "DeadlineTooFar",
			Self::NotAsked { .. } => "NotAsked",
			Self::InNoCluster { .. } => "InNoCluster",
			Self::OtherHistory { .. } => "OtherHistory",
		}
	}

	/// Whether the connection to the node should be made anew.
	pub fn is_of_connection(&self) -> bool {
		matches!(self, Self::NodeUnreachable { .. } | Self::NodeSilent { .. } | Self::Node { .. })
	}
}

fn dispatched(call: &str, error: &str) -> String {
	let name = error.rsplit("::").next().unwrap_or(error);
	match remedy(name) {
		Some(remedy) => {
			format!("{call} was refused as {name}, at the cost of its transaction: {remedy}")
		}
		None => {
			format!("{call} was refused by the chain as {error}, at the cost of its transaction")
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_dispatch_error_says_what_was_refused_why_and_what_to_do() {
		let refused = |error: &str| {
			ChainClientError::Dispatch { call: "requests.submit", error: error.into() }.to_string()
		};
		let text = refused("Requests::FeeTooSmall");
		assert!(text.starts_with("requests.submit was refused as FeeTooSmall"), "{text}");
		assert!(text.contains("--max-fee"), "{text}");
		assert!(refused("Balances::NoSuchName").contains("Balances::NoSuchName"));
	}

	#[test]
	fn a_cluster_that_is_not_there_is_refused_with_those_that_are() {
		let refused = |known: &[ClusterId]| {
			ChainClientError::UnknownCluster { cluster: 9, known: known.to_vec() }.to_string()
		};
		assert!(refused(&[]).contains("no cluster 9: the chain has none yet"), "{}", refused(&[]));
		assert!(refused(&[0, 3]).contains("the chain has 0, 3;"), "{}", refused(&[0, 3]));
		let many: Vec<_> = (0..10).collect();
		assert!(refused(&many).contains("6, 7 and 2 more;"), "{}", refused(&many));
	}
}
