//! Paid requests: submitting them, and what becomes of them.

use crate::{
	chain::{decode, state_failure},
	transactions::{fields, unreadable_events, SignedTransaction},
	Call, Chain, ChainClientError, HeaderId, Included, Pending, Sender,
};
use codec::Encode;
use phala_protocol::{
	agents::{AgentId, AgentRecord},
	limits,
	requests::{Request, RequestId, RequestInput, RequestKind, RequestOutcome},
	storage_keys, AccountBytes, Balance, BlockNumber,
};
use subxt::ext::scale_decode::DecodeAsType;

const PALLET: &str = "Requests";

/// Added to the nearest deadline that the chain takes, in blocks: until the request is in one.
pub const DEADLINE_SLACK: BlockNumber = 15;

/// Units that the escrow is for if nothing is said.
pub const UNITS_DEFAULT: Balance = 100;

/// A request, ready to be paid.
#[derive(Clone, Debug)]
pub struct Submission {
	pub agent: AgentId,
	pub kind: RequestKind,
	pub input: RequestInput,
	pub max_fee: Balance,
	pub deadline: BlockNumber,
	pub min_block: BlockNumber,
}

/// What a request may cost and how long it may take, as the caller said or as is usual.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
	/// Not refunded, whatever happens.
	pub base_fee: Balance,
	pub max_fee: Balance,
	pub deadline: BlockNumber,
}

/// What is paid and not refunded for each request.
pub async fn base_fee(chain: &Chain) -> Result<Balance, ChainClientError> {
	chain.amount(PALLET, "BaseFee").await
}

/// Settles the terms, so that nothing is paid for a request that the chain would refuse.
///
/// # Errors
/// Which of them would be refused, with figures.
pub fn terms(
	record: &AgentRecord,
	base_fee: Balance,
	now: BlockNumber,
	max_fee: Option<Balance>,
	deadline: Option<BlockNumber>,
) -> Result<Terms, ChainClientError> {
	let (unit_price, timeout) = (record.unit_price, record.timeout);
	let usual = || base_fee.saturating_add(unit_price.saturating_mul(UNITS_DEFAULT));
	let max_fee = max_fee.unwrap_or_else(usual);
	if max_fee < base_fee.saturating_add(unit_price) {
		return Err(ChainClientError::FeeTooSmall { max_fee, base_fee, unit_price });
	}
	let nearest = now.saturating_add(timeout).saturating_add(limits::FINALITY_MARGIN);
	let farthest = now.saturating_add(limits::DEADLINE_BLOCKS_MAX);
	// The usual one is never too far.
	let usual = || nearest.saturating_add(DEADLINE_SLACK).min(farthest);
	let deadline = deadline.unwrap_or_else(usual);
	if deadline <= now {
		return Err(ChainClientError::DeadlineInThePast { deadline, now, nearest, farthest });
	}
	if deadline < nearest {
		return Err(ChainClientError::DeadlineTooNear { deadline, now, timeout, nearest });
	}
	if deadline > farthest {
		return Err(ChainClientError::DeadlineTooFar { deadline, now, farthest });
	}
	Ok(Terms { base_fee, max_fee, deadline })
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RequestSubmitted {
	request: [u8; 32],
}

/// Submits a request. `before` sees the signed transaction first: see [`Sender::submit_after`].
///
/// # Errors
/// [`ChainClientError::InputTooLong`], before anything is signed.
pub async fn submit<E: From<ChainClientError>>(
	caller: &Sender,
	submission: &Submission,
	before: impl FnMut(&SignedTransaction) -> Result<(), E>,
) -> Result<Pending, E> {
	let Submission { agent, kind, input, max_fee, deadline, min_block } = submission;
	let bytes = input.bytes().len();
	if bytes > limits::REQUEST_INPUT_BYTES_MAX as usize {
		return Err(ChainClientError::InputTooLong { bytes }.into());
	}
	let call = Call {
		name: "requests.submit",
		pallet: PALLET,
		call: "submit",
		arguments: (agent, kind, input, max_fee, deadline, min_block).encode(),
	};
	caller.submit_after(call, before).await
}

/// The id of the request that [`submit`] submitted.
pub fn submitted(included: &Included) -> Result<RequestId, ChainClientError> {
	let RequestSubmitted { request } = included.event(PALLET, "RequestSubmitted")?;
	Ok(request.into())
}

/// Who was paid what.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Settlement {
	pub request: [u8; 32],
	pub failed: bool,
	pub units: u32,
	pub fee: Balance,
	/// `None` when its worker is gone.
	pub worker: Option<AccountBytes>,
	pub worker_paid: Balance,
	pub developer: AccountBytes,
	pub developer_paid: Balance,
	pub treasury_paid: Balance,
	pub refunded: Balance,
}

#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Expiry {
	pub request: [u8; 32],
	pub refunded: Balance,
	pub penalty: Balance,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
	Settled(Settlement),
	Expired(Expiry),
}

/// Looks for a request's end in finalized blocks, one after the other, each once.
pub struct EndingSearch {
	request: RequestId,
	next: BlockNumber,
}

impl EndingSearch {
	/// From block `from` on.
	pub fn new(request: RequestId, from: BlockNumber) -> Self {
		Self { request, next: from }
	}

	/// The end, and its block, once it is final.
	pub async fn look(
		&mut self,
		chain: &Chain,
	) -> Result<Option<(BlockNumber, Ending)>, ChainClientError> {
		let failed = |block: BlockNumber, error: &dyn std::fmt::Display| {
			state_failure("System.Events", block, error.to_string())
		};
		let finalized = chain.finalized().await?;
		while self.next <= finalized {
			let block = self.next;
			let at = chain.online().at_block(u64::from(block)).await;
			let at = at.map_err(|error| failed(block, &error))?;
			let events = at.events().fetch().await.map_err(|error| failed(block, &error))?;
			for event in events.iter() {
				let event = event.map_err(unreadable_events)?;
				let ending = match (event.pallet_name(), event.event_name()) {
					(PALLET, "RequestSettled") => Ending::Settled(fields(&event)?),
					(PALLET, "RequestExpired") => Ending::Expired(fields(&event)?),
					_ => continue,
				};
				let of = match &ending {
					Ending::Settled(settlement) => settlement.request,
					Ending::Expired(expiry) => expiry.request,
				};
				if of == self.request.0 {
					return Ok(Some((block, ending)));
				}
			}
			self.next += 1;
		}
		Ok(None)
	}
}

/// A request as the chain keeps it; `None` when there is none, or it was closed long ago.
pub async fn stored(
	chain: &Chain,
	at: HeaderId,
	request: RequestId,
) -> Result<Option<Request>, ChainClientError> {
	chain.read(at, storage_keys::requests_request(request)).await
}

/// The answer that the chain keeps.
pub async fn response(
	chain: &Chain,
	at: HeaderId,
	request: RequestId,
) -> Result<Option<RequestOutcome>, ChainClientError> {
	let stored = chain.read::<Vec<u8>>(at, storage_keys::requests_response(request)).await?;
	stored.map(|outcome| decode("Requests.Responses", &outcome)).transpose()
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::{
		agents::{Access, AgentCode, UpgradePolicy},
		H256,
	};

	fn record() -> AgentRecord {
		AgentRecord {
			owner: [1; 32],
			cluster: 0,
			code: AgentCode { component: H256::zero(), manifest: H256::zero() },
			code_version: 1,
			upgrades: UpgradePolicy::Free,
			access: Access::Public,
			unit_price: 1_000,
			timeout: 20,
			key: None,
			version: 0,
			state_hash: H256::zero(),
		}
	}

	fn refusal(max_fee: Option<Balance>, deadline: Option<BlockNumber>) -> String {
		terms(&record(), 500, 100, max_fee, deadline).unwrap_err().to_string()
	}

	#[test]
	fn terms_that_nobody_named_are_taken() {
		let usual = terms(&record(), 500, 100, None, None).unwrap();
		assert_eq!(usual.max_fee, 500 + UNITS_DEFAULT * 1_000);
		assert_eq!(usual.deadline, 100 + 20 + limits::FINALITY_MARGIN + DEADLINE_SLACK);
	}

	#[test]
	fn a_fee_that_does_not_cover_a_unit_is_refused_with_the_least_that_is_taken() {
		assert!(terms(&record(), 500, 100, Some(1_500), None).is_ok());
		let text = refusal(Some(1_499), None);
		assert!(text.contains("too small") && text.contains("--max-fee 0.0000000015 "), "{text}");
	}

	#[test]
	fn deadlines_are_refused_in_the_past_too_near_and_too_far_and_taken_in_between() {
		let nearest = 100 + 20 + limits::FINALITY_MARGIN;
		let farthest = 100 + limits::DEADLINE_BLOCKS_MAX;
		assert!(refusal(None, Some(100)).contains("in the past"));
		let text = refusal(None, Some(nearest - 1));
		assert!(text.contains("too near") && text.contains(&nearest.to_string()), "{text}");
		let text = refusal(None, Some(farthest + 1));
		assert!(text.contains("too far") && text.contains(&farthest.to_string()), "{text}");
		for deadline in [nearest, farthest] {
			assert_eq!(terms(&record(), 0, 100, None, Some(deadline)).unwrap().deadline, deadline);
		}
	}
}
