//! Whether a GRANDPA justification makes a header final.
//!
//! A vote counts for the header when it is for the header or for a descendant of it that the
//! justification's own headers connect to it by hashes. An authority that signed two different
//! votes in the round counts too, once: GRANDPA takes an equivocator as voting for everything.
//! That is the rule by which validators accept a commit, without their demand that the commit name
//! the *highest* block with enough votes: whatever lies below that block is as final.
//!
//! Why not `finality_grandpa::validate_commit`: it trusts the block numbers inside votes, and one
//! validator that signs a wrong number can make it panic or loop (in its vote graph numbers are
//! subtracted). The tests hold this module against it.

use crate::{
	authorities::{AuthorityId, AuthoritySet},
	error::LightClientError,
	header::{limit, Header, HeaderFields},
	limits,
};
use alloc::{collections::BTreeMap, vec::Vec};
use codec::{Compact, Decode, Encode};
use phala_protocol::{blake2_256, BlockNumber, H256};

/// `finality_grandpa::Precommit<H256, u32>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Precommit {
	target_hash: H256,
	target_number: BlockNumber,
}

/// `finality_grandpa::SignedPrecommit<H256, u32, ed25519 signature, ed25519 key>`.
#[derive(Decode)]
struct SignedPrecommit {
	precommit: Precommit,
	signature: [u8; 64],
	voter: AuthorityId,
}

/// What an authority signs: `sp_consensus_grandpa::localized_payload` of a precommit.
#[derive(Encode)]
struct SignedContent {
	message: Message,
	round: u64,
	set_id: u64,
}

/// `finality_grandpa::Message`.
#[derive(Encode)]
enum Message {
	#[codec(index = 1)]
	Precommit(Precommit),
}

/// `sc_consensus_grandpa::GrandpaJustification`.
struct Justification {
	round: u64,
	target: Precommit,
	votes: Vec<SignedPrecommit>,
	/// Each header's parent, by the header's hash.
	parents: BTreeMap<H256, H256>,
}

/// Says whether `set` finalized `header`, as `justification` claims.
pub(crate) fn check(
	header: &Header,
	justification: &[u8],
	set: &AuthoritySet,
) -> Result<(), LightClientError> {
	let number = header.fields.number;
	let justification = Justification::decode(justification)?;
	let target = justification.target;
	if target != (Precommit { target_hash: header.hash, target_number: number }) {
		return Err(LightClientError::OtherBlockJustified {
			number,
			hash: header.hash,
			justified: target.target_number,
			justified_hash: target.target_hash,
		});
	}

	let mut votes_of = BTreeMap::<AuthorityId, (Precommit, Option<Precommit>)>::new();
	for vote in &justification.votes {
		let SignedPrecommit { precommit, signature, voter } = vote;
		if set.weight(voter).is_none() {
			return Err(LightClientError::UnknownVoter { number, set_id: set.id(), voter: *voter });
		}
		match votes_of.get_mut(voter) {
			None => {
				votes_of.insert(*voter, (*precommit, None));
			}
			// The same vote again adds nothing.
			Some((first, second)) if first == precommit || second.as_ref() == Some(precommit) => {
				continue
			}
			Some((_, second @ None)) => *second = Some(*precommit),
			Some((_, Some(_))) => {
				return Err(LightClientError::TooManyVotes { number, voter: *voter })
			}
		}
		let content = SignedContent {
			message: Message::Precommit(*precommit),
			round: justification.round,
			set_id: set.id(),
		};
		if !set.verify(voter, &content.encode(), signature) {
			return Err(LightClientError::BadSignature { number, set_id: set.id(), voter: *voter });
		}
	}

	let mut descent = Descent::new(&justification.parents, header.hash);
	let weight = votes_of
		.iter()
		.filter(|(_, (first, second))| {
			let equivocated = second.is_some();
			equivocated
				|| descent.depth(first.target_hash).is_some_and(|depth| {
					number.checked_add(depth).is_some_and(|n| n == first.target_number)
				})
		})
		.filter_map(|(voter, _)| set.weight(voter))
		// Distinct voters of one set: at most its total, which fits.
		.fold(0u64, u64::saturating_add);
	if weight < set.threshold() {
		return Err(LightClientError::NotEnoughVotes {
			number,
			set_id: set.id(),
			weight,
			threshold: set.threshold(),
		});
	}
	Ok(())
}

impl Justification {
	fn decode(bytes: &[u8]) -> Result<Self, LightClientError> {
		const MALFORMED: LightClientError = LightClientError::Malformed { what: "a justification" };
		limit("bytes in a justification", bytes.len(), limits::JUSTIFICATION_BYTES_MAX)?;
		let input = &mut &bytes[..];
		let round = u64::decode(input).map_err(|_| MALFORMED)?;
		let target = Precommit::decode(input).map_err(|_| MALFORMED)?;

		let votes_len = Compact::<u32>::decode(input).map_err(|_| MALFORMED)?.0 as usize;
		limit("votes in a justification", votes_len, limits::VOTES_MAX)?;
		let mut votes = Vec::with_capacity(votes_len);
		for _ in 0..votes_len {
			votes.push(SignedPrecommit::decode(input).map_err(|_| MALFORMED)?);
		}

		let headers_len = Compact::<u32>::decode(input).map_err(|_| MALFORMED)?.0 as usize;
		limit("headers in a justification", headers_len, limits::ANCESTRY_HEADERS_MAX)?;
		let mut parents = BTreeMap::new();
		for _ in 0..headers_len {
			let before = *input;
			let fields = HeaderFields::decode(input).map_err(|_| MALFORMED)?;
			let bytes = before.get(..before.len().saturating_sub(input.len())).ok_or(MALFORMED)?;
			parents.insert(blake2_256(bytes), fields.parent_hash);
		}
		if !input.is_empty() {
			return Err(MALFORMED);
		}
		Ok(Self { round, target, votes, parents })
	}
}

/// How far below a block others stand, found once for each.
struct Descent<'a> {
	parents: &'a BTreeMap<H256, H256>,
	known: BTreeMap<H256, Option<u32>>,
}

impl<'a> Descent<'a> {
	fn new(parents: &'a BTreeMap<H256, H256>, ancestor: H256) -> Self {
		Self { parents, known: BTreeMap::from([(ancestor, Some(0))]) }
	}

	/// 0 for the ancestor itself; `None` for what does not descend from it.
	///
	/// Ends, because a chain of hashes has no cycle; and were there one, `path` cannot outgrow
	/// `parents`.
	fn depth(&mut self, block: H256) -> Option<u32> {
		let mut path = Vec::new();
		let mut at = block;
		let mut depth = loop {
			if let Some(known) = self.known.get(&at) {
				break *known;
			}
			match self.parents.get(&at) {
				Some(parent) if path.len() < self.parents.len() => {
					path.push(at);
					at = *parent;
				}
				_ => break None,
			}
		};
		for passed in path.into_iter().rev() {
			depth = depth.and_then(|depth| depth.checked_add(1));
			self.known.insert(passed, depth);
		}
		depth
	}
}
