//! Who may finalize.

use crate::{error::LightClientError, header::limit, limits};
use alloc::{collections::BTreeMap, vec::Vec};
use ed25519_zebra::{Signature, VerificationKey};

/// An authority's ed25519 key, in bytes.
pub type AuthorityId = [u8; 32];

/// As the chain stores and announces it.
pub(crate) type AuthorityWeights = Vec<(AuthorityId, u64)>;

/// The set whose votes count, and its number.
#[derive(Clone, Debug)]
pub(crate) struct AuthoritySet {
	id: u64,
	voters: BTreeMap<AuthorityId, Voter>,
	threshold: u64,
}

#[derive(Clone, Debug)]
struct Voter {
	weight: u64,
	/// `None` when its bytes are no point of the curve: such a voter cannot vote.
	key: Option<VerificationKey>,
}

impl AuthoritySet {
	pub fn new(id: u64, authorities: AuthorityWeights) -> Result<Self, LightClientError> {
		limit("authorities in a set", authorities.len(), limits::AUTHORITIES_MAX)?;
		let refused = LightClientError::BadAuthoritySet { set_id: id };
		let mut total: u64 = 0;
		let mut voters = BTreeMap::<AuthorityId, Voter>::new();
		for (authority, weight) in authorities {
			if weight == 0 {
				continue;
			}
			total = total.checked_add(weight).ok_or_else(|| refused.clone())?;
			voters
				.entry(authority)
				// A part of `total`, so it cannot overflow either.
				.and_modify(|voter| voter.weight = voter.weight.saturating_add(weight))
				.or_insert_with(|| Voter {
					weight,
					key: VerificationKey::try_from(authority).ok(),
				});
		}
		if total == 0 {
			return Err(refused);
		}
		// GRANDPA tolerates f < n / 3: what is left of n when the most f that can be are away.
		let threshold = total.saturating_sub(total.saturating_sub(1) / 3);
		Ok(Self { id, voters, threshold })
	}

	/// The set that takes over after this one.
	pub fn next(&self, authorities: AuthorityWeights) -> Result<Self, LightClientError> {
		let id =
			self.id.checked_add(1).ok_or(LightClientError::SetIdsExhausted { set_id: self.id })?;
		Self::new(id, authorities)
	}

	pub fn id(&self) -> u64 {
		self.id
	}

	pub fn len(&self) -> usize {
		self.voters.len()
	}

	/// Weight of votes that makes a block final.
	pub fn threshold(&self) -> u64 {
		self.threshold
	}

	/// `None` for who is not in the set.
	pub fn weight(&self, authority: &AuthorityId) -> Option<u64> {
		self.voters.get(authority).map(|voter| voter.weight)
	}

	/// By the rules of ZIP-215, which the chain's own host functions verify by: what validators
	/// accept is accepted here and nothing else.
	pub fn verify(&self, authority: &AuthorityId, message: &[u8], signature: &[u8; 64]) -> bool {
		self.voters
			.get(authority)
			.and_then(|voter| voter.key.as_ref())
			.is_some_and(|key| key.verify(&Signature::from(*signature), message).is_ok())
	}
}
