//! Paid requests: submitting them, and what becomes of them.

use super::{sender, storage, Sender};
use crate::amount::pha;
use anyhow::{ensure, Context};
use codec::{Decode, Encode};
use phala_pherry::{chain::Chain, header::HeaderId, submit::Call};
use phala_protocol::{
	agents::{AgentId, AgentRecord},
	boot::{BootNumber, WorkerId},
	limits,
	requests::{RequestId, RequestInput, RequestKind, RequestOutcome},
	AccountBytes, Balance, BlockNumber,
};
use subxt::ext::scale_decode::{DecodeAsFields, DecodeAsType};

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
///
/// # Errors
/// Those of the node.
pub async fn base_fee(chain: &Chain) -> anyhow::Result<Balance> {
	let at = chain.online().at_current_block().await?;
	let address = subxt::dynamic::constant::<u128>(PALLET, "BaseFee");
	at.constants().entry(address).context("the chain's runtime names no base fee for requests")
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
) -> anyhow::Result<Terms> {
	let price = record.unit_price;
	let fee_min = base_fee.saturating_add(price);
	let max_fee =
		max_fee.unwrap_or_else(|| base_fee.saturating_add(price.saturating_mul(UNITS_DEFAULT)));
	ensure!(
		max_fee >= fee_min,
		"a fee of at most {} is too small: the base fee is {} and the agent takes {} for a unit of work, so --max-fee {} is the least; what is not used is refunded, but for the base fee",
		pha(max_fee), pha(base_fee), pha(price), pha(fee_min).trim_end_matches(" PHA"),
	);
	let nearest = now.saturating_add(record.timeout).saturating_add(limits::FINALITY_MARGIN);
	let farthest = now.saturating_add(limits::DEADLINE_BLOCKS_MAX);
	let deadline = deadline.unwrap_or(nearest.saturating_add(DEADLINE_SLACK)).min(
		// The usual one is never too far.
		if deadline.is_some() { BlockNumber::MAX } else { farthest },
	);
	ensure!(
		deadline > now,
		"block {deadline} as a deadline is in the past: block {now} is there already; blocks {nearest} to {farthest} are taken",
	);
	ensure!(
		deadline >= nearest,
		"block {deadline} as a deadline is too near: the agent may take {} blocks, and {} more are for finality, so from block {now} on the nearest is {nearest}",
		record.timeout, limits::FINALITY_MARGIN,
	);
	ensure!(
		deadline <= farthest,
		"block {deadline} as a deadline is too far ahead: from block {now} on the latest is {farthest}",
	);
	Ok(Terms { base_fee, max_fee, deadline })
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RequestSubmitted {
	request: [u8; 32],
}

/// Submits a request; its id, and the block.
///
/// # Errors
/// What the chain refused, and what to do.
pub async fn submit(
	caller: &Sender,
	submission: &Submission,
) -> anyhow::Result<(RequestId, BlockNumber)> {
	let Submission { agent, kind, input, max_fee, deadline, min_block } = submission;
	let (bytes, bytes_max) = (input.bytes().len(), limits::REQUEST_INPUT_BYTES_MAX);
	ensure!(
		bytes <= bytes_max as usize,
		"an input of {bytes} bytes, as it goes to the chain, is too long: at most {bytes_max} are taken; send less, or call directly (without --on-chain)",
	);
	let call = Call {
		name: "requests.submit",
		pallet: PALLET,
		call: "submit",
		arguments: (agent, kind, input, max_fee, deadline, min_block).encode(),
	};
	let included = caller.send(call).await?;
	let RequestSubmitted { request } = sender::event(&included, PALLET, "RequestSubmitted")?;
	Ok((request.into(), included.block.number))
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
	///
	/// # Errors
	/// Those of the node.
	pub async fn look(&mut self, chain: &Chain) -> anyhow::Result<Option<(BlockNumber, Ending)>> {
		let finalized = chain.finalized().await?;
		while self.next <= finalized {
			let block = self.next;
			let at = chain.online().at_block(u64::from(block)).await?;
			for event in at.events().fetch().await?.iter() {
				let event = event?;
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

fn fields<T: DecodeAsFields>(
	event: &subxt::events::Event<'_, subxt::SubstrateConfig>,
) -> anyhow::Result<T> {
	event.decode_fields_unchecked_as::<T>().with_context(|| {
		format!(
			"the node's event {}.{} has another form: is this `phala` as new as the node?",
			event.pallet_name(),
			event.event_name()
		)
	})
}

/// A request as the chain keeps it: `pallet_requests::Request`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StoredRequest {
	pub agent: AgentId,
	pub caller: AccountBytes,
	pub kind: RequestKind,
	/// Escrowed while it is open.
	pub held: Balance,
	pub unit_price: Balance,
	pub units_max: u32,
	pub deadline: BlockNumber,
	pub worker: WorkerId,
	pub boot: BootNumber,
	pub state: RequestState,
}

/// `pallet_requests::RequestState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RequestState {
	Open,
	Settled { fee: Balance, failed: bool, block: BlockNumber },
	Expired,
}

/// A request as the chain keeps it; `None` when there is none, or it was closed long ago.
///
/// # Errors
/// Those of the node.
pub async fn stored(
	chain: &Chain,
	at: HeaderId,
	request: RequestId,
) -> anyhow::Result<Option<StoredRequest>> {
	storage::read(chain, at, storage::requests_request(request)).await
}

/// The answer that the chain keeps.
///
/// # Errors
/// Those of the node.
pub async fn response(
	chain: &Chain,
	at: HeaderId,
	request: RequestId,
) -> anyhow::Result<Option<RequestOutcome>> {
	let stored = storage::read::<Vec<u8>>(chain, at, storage::requests_response(request)).await?;
	stored.map(|outcome| super::decode(&outcome)).transpose()
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
