//! What became of a transaction that this process did not follow: a signed one can get into a block
//! for [`limits::MORTALITY_BLOCKS`] only, so the search ends.

use super::{refusal, Included};
use crate::{chain::state_failure, limits, Chain, ChainClientError, HeaderId};
use phala_protocol::{blake2_256, BlockNumber, H256};
use serde::Deserialize;
use subxt::{error::DispatchError, rpcs::rpc_params};

/// Finds a signed transaction again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedAt {
	/// Hash of its bytes.
	pub transaction: H256,
	/// The newest final block when it was signed: it can only be in a later one.
	pub since: HeaderId,
}

/// What became of a transaction.
pub enum Fate {
	/// In a block, and it had its effect. The block may not be final yet.
	Included(Box<Included>),
	/// In no block yet, and it may still get into one until this block is final.
	Open { until: BlockNumber },
	/// It never took effect and never will: nothing was paid.
	Lost,
}

impl SignedAt {
	/// The last block that can have it.
	pub fn until(&self) -> BlockNumber {
		self.since.number.saturating_add(limits::MORTALITY_BLOCKS)
	}

	/// Whether `chain` is the one that it was signed for. Chains for development share block 0 and
	/// differ after it.
	pub async fn is_of(&self, chain: &Chain) -> Result<bool, ChainClientError> {
		Ok(chain.block_hash(self.since.number).await? == Some(self.since.hash))
	}

	/// What became of it.
	///
	/// # Errors
	/// [`ChainClientError::OtherHistory`]; [`ChainClientError::Dispatch`] when it is in a block and
	/// had no effect; [`ChainClientError::StatePruned`] when that was long ago.
	pub async fn fate(&self, chain: &Chain) -> Result<Fate, ChainClientError> {
		if !self.is_of(chain).await? {
			let Self { transaction, since } = *self;
			return Err(ChainClientError::OtherHistory { transaction, block: since.number });
		}
		let finalized = chain.finalized().await?;
		let best = chain.header(None).await?.0.number;
		for number in self.since.number.saturating_add(1)..=best.min(self.until()) {
			if let Some(included) = self.included_in(chain, number).await? {
				return Ok(Fate::Included(Box::new(included)));
			}
		}
		// What was not final when it was looked at may have been replaced since.
		Ok(match finalized > self.until() {
			true => Fate::Lost,
			false => Fate::Open { until: self.until() },
		})
	}

	/// Whether a transaction that had no effect in a block has none for good: another block may take the place of
	/// that one, and there it may have one. Waits until the newest block is final.
	///
	/// # Errors
	/// [`ChainClientError::NotFinal`], [`ChainClientError::Node`].
	pub async fn stays_refused(&self, chain: &Chain) -> Result<bool, ChainClientError> {
		let newest = chain.header(None).await?.0.number;
		chain.wait_until_final(newest).await?;
		Ok(is_refused(&self.fate(chain).await))
	}

	async fn is_in_body(&self, chain: &Chain, block: H256) -> Result<bool, ChainClientError> {
		#[derive(Deserialize)]
		struct SignedBlock {
			block: Body,
		}
		#[derive(Deserialize)]
		struct Body {
			extrinsics: Vec<String>,
		}
		const METHOD: &str = "chain_getBlock";
		let block: Option<SignedBlock> = chain.request(METHOD, rpc_params![block]).await?;
		let Some(SignedBlock { block }) = block else {
			let reason = "it has no body of that block any more".into();
			return Err(ChainClientError::Node { method: METHOD, reason });
		};
		let is_it = |extrinsic: &String| {
			let bytes = hex::decode(extrinsic.trim_start_matches("0x"));
			bytes.is_ok_and(|bytes| blake2_256(&bytes) == self.transaction)
		};
		Ok(block.extrinsics.iter().any(is_it))
	}

	async fn included_in(
		&self,
		chain: &Chain,
		number: BlockNumber,
	) -> Result<Option<Included>, ChainClientError> {
		const CALL: &str = "the transaction";
		let failed = |method, error: &dyn std::fmt::Display| ChainClientError::Node {
			method,
			reason: format!("block {number}: {error}"),
		};
		let Some(hash) = chain.block_hash(number).await? else { return Ok(None) };
		// Bodies are kept for longer than states, and most blocks do not have it.
		if !self.is_in_body(chain, hash).await? {
			return Ok(None);
		}
		let at = chain.online().at_block(hash).await;
		let at =
			at.map_err(|error| state_failure("state_getMetadata", number, error.to_string()))?;
		let extrinsics = at.extrinsics().fetch().await;
		let extrinsics = extrinsics.map_err(|error| failed("chain_getBlock", &error))?;
		for extrinsic in extrinsics.iter() {
			let extrinsic = extrinsic.map_err(|error| ChainClientError::NodeAnswer {
				method: "chain_getBlock",
				reason: format!("a transaction of block {number}: {error}"),
			})?;
			if extrinsic.hash() != self.transaction {
				continue;
			}
			let events = extrinsic.events().await;
			let events = events
				.map_err(|error| state_failure("System.Events", number, error.to_string()))?;
			for event in events.iter() {
				let event = event.map_err(super::unreadable_events)?;
				if (event.pallet_name(), event.event_name()) == ("System", "ExtrinsicFailed") {
					let error = DispatchError::decode_from(event.field_bytes(), at.metadata());
					let error = error.map_or_else(|error| error.to_string(), refusal::name);
					return Err(ChainClientError::Dispatch { call: CALL, error });
				}
			}
			return Ok(Some(Included { block: HeaderId { number, hash }, events }));
		}
		Ok(None)
	}
}

fn is_refused(fate: &Result<Fate, ChainClientError>) -> bool {
	matches!(fate, Ok(Fate::Lost) | Err(ChainClientError::Dispatch { .. }))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_refusal_of_a_block_that_another_may_replace_is_no_end() {
		let dispatch = ChainClientError::Dispatch { call: "agents.register", error: "A::B".into() };
		assert!(is_refused(&Err(dispatch)) && is_refused(&Ok(Fate::Lost)));
		assert!(!is_refused(&Ok(Fate::Open { until: 7 })), "it is in no block any more");
	}
}
