//! Headers as the chain encodes them, and the type that says one is final.

use crate::{authorities::AuthorityWeights, error::LightClientError, limits};
use codec::{Decode, DecodeAll};
use phala_protocol::{blake2_256, BlockNumber, H256};

/// The engine id under which GRANDPA puts logs into headers.
const GRANDPA_ENGINE_ID: [u8; 4] = *b"FRNK";

/// A header that is final: only this crate makes one, after checking a justification, or that
/// its hash is the one pinned in the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalizedHeader {
	number: BlockNumber,
	hash: H256,
	parent: H256,
	state_root: H256,
}

impl FinalizedHeader {
	/// Only for callers that checked that the header is final.
	pub(crate) fn trusted(header: &Header) -> Self {
		Self {
			number: header.fields.number,
			hash: header.hash,
			parent: header.fields.parent_hash,
			state_root: header.fields.state_root,
		}
	}

	pub fn number(&self) -> BlockNumber {
		self.number
	}

	/// BLAKE2-256 of its encoding.
	pub fn hash(&self) -> H256 {
		self.hash
	}

	/// Hash of the header before it.
	pub fn parent(&self) -> H256 {
		self.parent
	}

	/// Root of the chain's state after this block.
	pub fn state_root(&self) -> H256 {
		self.state_root
	}
}

/// A header that can be read; nothing says that it is final, or of this chain.
#[derive(Debug)]
pub(crate) struct Header {
	pub hash: H256,
	pub fields: HeaderFields,
}

impl Header {
	pub fn decode(bytes: &[u8]) -> Result<Self, LightClientError> {
		limit("bytes in a header", bytes.len(), limits::HEADER_BYTES_MAX)?;
		let fields = HeaderFields::decode_all(&mut &bytes[..])
			.map_err(|_| LightClientError::Malformed { what: "a header" })?;
		Ok(Self { hash: blake2_256(bytes), fields })
	}

	/// The authorities that take over after this header, if it announces any.
	///
	/// `OnDisabled`, `Pause` and `Resume` are passed over, as the validators' own GRANDPA does:
	/// none of them changes whose votes count.
	pub fn authority_change(&self) -> Result<Option<AuthorityWeights>, LightClientError> {
		let number = self.fields.number;
		let mut change = None;
		for item in &self.fields.digest {
			let DigestItem::Consensus(GRANDPA_ENGINE_ID, log) = item else { continue };
			match GrandpaLog::decode_all(&mut &log[..]) {
				Ok(GrandpaLog::ScheduledChange { next, delay: 0 }) => {
					if change.replace(next).is_some() {
						return Err(LightClientError::AmbiguousChange { number });
					}
				}
				Ok(GrandpaLog::ScheduledChange { delay, .. }) => {
					return Err(LightClientError::DelayedChange { number, delay })
				}
				Ok(GrandpaLog::ForcedChange { .. }) => {
					return Err(LightClientError::ForcedChange { number })
				}
				Ok(GrandpaLog::OnDisabled(_) | GrandpaLog::Pause(_) | GrandpaLog::Resume(_)) => (),
				Err(_) => return Err(LightClientError::UnknownGrandpaLog { number }),
			}
		}
		Ok(change)
	}
}

/// `generic::Header<u32, BlakeTwo256>`.
#[derive(Debug, Decode)]
pub(crate) struct HeaderFields {
	pub parent_hash: H256,
	#[codec(compact)]
	pub number: BlockNumber,
	pub state_root: H256,
	#[allow(dead_code)]
	pub extrinsics_root: H256,
	pub digest: Vec<DigestItem>,
}

/// `sp_runtime::DigestItem`; only what this crate reads has a name for its content.
#[derive(Debug, Decode)]
#[allow(dead_code)]
pub(crate) enum DigestItem {
	#[codec(index = 0)]
	Other(Vec<u8>),
	#[codec(index = 4)]
	Consensus([u8; 4], Vec<u8>),
	#[codec(index = 5)]
	Seal([u8; 4], Vec<u8>),
	#[codec(index = 6)]
	PreRuntime([u8; 4], Vec<u8>),
	#[codec(index = 8)]
	RuntimeEnvironmentUpdated,
}

/// `sp_consensus_grandpa::ConsensusLog<u32>`.
#[derive(Debug, Decode)]
#[allow(dead_code)]
enum GrandpaLog {
	#[codec(index = 1)]
	ScheduledChange { next: AuthorityWeights, delay: BlockNumber },
	#[codec(index = 2)]
	ForcedChange { median_last_finalized: BlockNumber, next: AuthorityWeights, delay: BlockNumber },
	#[codec(index = 3)]
	OnDisabled(u64),
	#[codec(index = 4)]
	Pause(BlockNumber),
	#[codec(index = 5)]
	Resume(BlockNumber),
}

/// Refuses what is over a limit.
pub(crate) fn limit(what: &'static str, found: usize, max: usize) -> Result<(), LightClientError> {
	if found > max {
		return Err(LightClientError::OverLimit { what, found, max });
	}
	Ok(())
}
