//! Refusals of the chain as sentences: what was refused, why, what to do.

use anyhow::{anyhow, bail};
use phala_pherry::{
	chain::Chain,
	submit::{Included, Pending, PoolError},
	Error,
};
use subxt::error::DispatchError;

/// An error of pherry's library in the words of this tool's users.
pub fn explain(error: Error) -> anyhow::Error {
	match error {
		Error::Dispatch { call, error, .. } => {
			let name = error.rsplit("::").next().unwrap_or(&error);
			match sentence(name) {
				Some(sentence) => anyhow!("{call} was refused as {name}: {sentence}"),
				None => anyhow!("{call} was refused by the chain as {error}"),
			}
		}
		Error::Pool { call, refusal: PoolError::CannotPay } => anyhow!(
			"{call} was refused: the account cannot pay the transaction's fee; `phala account balance` shows what it has, `phala account transfer` sends it PHA"
		),
		Error::NodeUnreachable { url, reason } => anyhow!(
			"no node answers at {url} ({reason}): start one with `make dev`, or say where it is with --node or PHALA_NODE"
		),
		error => error.into(),
	}
}

/// What became of a submitted call.
///
/// # Errors
/// What the chain refused, and what to do.
pub async fn included(pending: Pending) -> anyhow::Result<Included> {
	pending.included().await.map_err(explain)
}

/// Whether what root was to do by way of sudo had its effect.
///
/// # Errors
/// When it had none.
pub async fn check_sudo(
	name: &'static str,
	included: &Included,
	chain: &Chain,
) -> anyhow::Result<()> {
	for event in included.events.iter() {
		let event = event?;
		if (event.pallet_name(), event.event_name()) != ("Sudo", "Sudid") {
			continue;
		}
		// The only field: `Result<(), DispatchError>`.
		return match event.field_bytes().split_first() {
			Some((0, _)) => Ok(()),
			Some((1, error)) => {
				let metadata = chain.online().at_current_block().await?.metadata();
				let error = match DispatchError::decode_from(error, metadata) {
					Ok(DispatchError::Module(module)) => module.details_string(),
					Ok(other) => other.to_string(),
					Err(error) => error.to_string(),
				};
				Err(explain(Error::Dispatch { call: name, error, advice: "" }))
			}
			_ => bail!(
				"the node's event Sudo.Sudid has another form: is this `phala` as new as the node?"
			),
		};
	}
	bail!("block {} has {name} without the event Sudo.Sudid", included.block.number)
}

/// Why the chain refuses something, and what to do, by the error's name in the pallets.
fn sentence(name: &str) -> Option<&'static str> {
	Some(match name {
		"UnknownAgent" => "no agent has this id on this chain; `phala agent status <id>` shows one, `phala deploy` makes one",
		"AgentNotBorn" => "the agent has no key yet, since no worker of its cluster has committed its birth; wait until `phala agent status <id>` shows a key",
		"CallerNotAllowed" => "the agent takes calls only of its owner and of accounts on its list; its owner adds one with `phala agent allow <id> <account>`",
		"NotOwner" => "only the account that owns it may do this; choose that one with --account or --suri",
		"InputTooLong" => "an input on chain has at most 16 KiB, sealed; send less, or call directly (without --on-chain)",
		"SecretsMustBeSealed" => "secrets must be sealed to the agent",
		"DeadlineInThePast" => "the deadline's block has passed; leave --deadline out, or name a later block",
		"DeadlineTooNear" => "the deadline leaves the agent less than its timeout and a margin for finality; leave --deadline out, or name a later block",
		"DeadlineTooFar" => "deadlines lie at most three hours ahead; name an earlier block with --deadline",
		"MinBlockTooLate" => "from --min-block on, the deadline leaves less than the agent's timeout and a margin for finality; name an earlier --min-block or a later --deadline",
		"TooManyDue" => "too many requests have this deadline; take the next block with --deadline",
		"FeeTooSmall" => "the most that you pay must cover the base fee and one unit at the agent's price; raise --max-fee",
		"NoLeaseHolder" | "NobodyCounts" => "no worker of the agent's cluster is in force, so nobody could answer; `phala cluster status <cluster>` shows its members",
		"TimeoutOutOfRange" => "an agent's timeout is 1 to 1800 blocks; choose it with --timeout",
		"ImmutableCode" => "the agent was deployed as immutable: its code never changes; deploy another agent",
		"TooManyCallers" => "the agent's list is full; take an account off it with `phala agent disallow`",
		"AlreadyAllowed" => "the account is on the agent's list already",
		"NotListed" => "the account is not on the agent's list",
		"UnknownCluster" => "no cluster has this number; `phala cluster create` makes one",
		"ClusterFull" => "the cluster has as many members as it can; take another cluster",
		"TooManyAgents" => "the cluster has as many agents as it can; take another cluster",
		"AlreadyMember" => "the worker is a member of a cluster already, and must leave that one first",
		"NoJoinRequest" => "nobody asked for this; the worker's operator asks with `phala cluster join <cluster> <worker> <url>`",
		"EndpointNotUrl" => "a worker's endpoint is an ASCII URL that begins with http:// or https://",
		"EndpointTooLong" => "a worker's URL has at most 256 bytes",
		"UnknownWorker" => "no worker has this number; `phala worker register` makes one",
		"NotOperator" => "only the worker's operator may do this; choose that account with --account or --suri",
		"NotInForce" => "the worker has no boot that counts: start its pruntime and pherry, and wait until `phala status` shows it serving",
		"TooManySeats" => "one gatekeeper can be seated for now",
		"NoBoot" => "the worker has no boot: start its pruntime and pherry, and wait until `phala status` shows one",
		"NotCandidate" => "a worker is seated only after its operator applied: `phala gatekeeper apply <worker>`",
		"AlreadyCandidate" => "the worker has applied already",
		"InsufficientBalance" | "FundsUnavailable" => "the account has not enough PHA that is free; `phala account balance` shows what it has",
		"RequireSudo" => "only the sudo account of a development chain may do this",
		"MailboxFull" => "the block was full of messages; try again",
		_ => return None,
	})
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_dispatch_error_says_what_was_refused_why_and_what_to_do() {
		let refused = |error: &str| {
			explain(Error::Dispatch { call: "requests.submit", error: error.into(), advice: "" })
				.to_string()
		};
		let text = refused("Requests::FeeTooSmall");
		assert!(text.starts_with("requests.submit was refused as FeeTooSmall"), "{text}");
		assert!(text.contains("--max-fee"), "{text}");
		assert!(refused("Balances::Frozen").contains("Balances::Frozen"));
	}

	#[test]
	fn every_refusal_of_a_request_that_the_contract_names_has_its_sentence() {
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
			"NoLeaseHolder",
		] {
			assert!(sentence(name).is_some(), "{name}");
		}
	}
}
