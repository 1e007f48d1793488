//! Follows finality from a pinned block, one authority set after another.

use crate::{
	authorities::{AuthoritySet, AuthorityWeights},
	error::LightClientError,
	header::{limit, FinalizedHeader, Header},
	justification, limits,
	state::ProvenState,
};
use phala_protocol::{
	relay::{FinalityStep, GenesisBundle, StateProof},
	storage_keys, BlockNumber, H256,
};
use std::sync::Arc;

/// A block that a release trusts without proof: block 0, or a later one, so that an enclave that
/// was away for long cannot be led along a fork by validators who have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
	/// Hash of the chain's block 0: the name of the chain.
	pub genesis: H256,
	/// Hash of the block to start at.
	pub block: H256,
}

/// The newest header known to be final, and who can finalize the next.
///
/// A value: every step makes a new one, so a refusal changes nothing. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct LightClient {
	genesis: H256,
	finalized: FinalizedHeader,
	authorities: Arc<AuthoritySet>,
}

impl LightClient {
	/// Starts at block 0, whose hash the release or the operator's genesis file pins.
	pub fn from_genesis(pinned: H256, bundle: &GenesisBundle) -> Result<Self, LightClientError> {
		let client = Self::from_checkpoint(Checkpoint { genesis: pinned, block: pinned }, bundle)?;
		match client.height() {
			0 => Ok(client),
			number => Err(LightClientError::NotGenesis { number }),
		}
	}

	/// Starts at a pinned block. `bundle` holds that block's header, and a proof under it of
	/// [`storage_keys::grandpa_authorities`] and [`storage_keys::grandpa_current_set_id`].
	///
	/// The runtime stores the authorities that count *after* the block (changes have no delay), so
	/// any finalized block can be pinned, also one that ends a set.
	pub fn from_checkpoint(
		pinned: Checkpoint,
		bundle: &GenesisBundle,
	) -> Result<Self, LightClientError> {
		let header = Header::decode(&bundle.header)?;
		if header.hash != pinned.block {
			return Err(LightClientError::ForeignChain {
				pinned: pinned.block,
				found: header.hash,
			});
		}
		let finalized = FinalizedHeader::trusted(&header);
		let state = ProvenState::new(finalized, bundle.state_proof.clone())?;
		let authorities = state
			.read_as::<AuthorityWeights>(&storage_keys::grandpa_authorities())?
			.ok_or(LightClientError::NoAuthorities { number: finalized.number() })?;
		let set_id = state.read_as::<u64>(&storage_keys::grandpa_current_set_id())?.unwrap_or(0);
		let authorities = Arc::new(AuthoritySet::new(set_id, authorities)?);
		Ok(Self { genesis: pinned.genesis, finalized, authorities })
	}

	/// Hash of block 0: which chain this is.
	pub fn genesis(&self) -> H256 {
		self.genesis
	}

	/// Number of the newest header known to be final.
	pub fn height(&self) -> BlockNumber {
		self.finalized.number()
	}

	/// The newest header known to be final.
	pub fn finalized(&self) -> &FinalizedHeader {
		&self.finalized
	}

	/// Number of the set that finalizes the next header.
	pub fn authority_set_id(&self) -> u64 {
		self.authorities.id()
	}

	/// How many authorities that set has.
	pub fn authority_count(&self) -> usize {
		self.authorities.len()
	}

	/// Follows `steps`, in order: newer headers, each final under the set followed so far. Headers
	/// in between may be left out, except those that end an authority set. No steps keep the header.
	///
	/// The error names the first step that does not hold; then none of them counts.
	pub fn advance(&self, steps: &[FinalityStep]) -> Result<Self, LightClientError> {
		limit("steps in a bundle", steps.len(), limits::STEPS_PER_BUNDLE_MAX)?;
		let bytes = steps
			.iter()
			.map(|step| step.header.len().saturating_add(step.justification.len()))
			.fold(0, usize::saturating_add);
		limit("bytes of headers and justifications", bytes, limits::FINALITY_BYTES_PER_BUNDLE_MAX)?;
		steps.iter().try_fold(self.clone(), |client, step| client.step(step))
	}

	/// What `proof` shows of the state at the newest header.
	pub fn prove(&self, proof: StateProof) -> Result<ProvenState, LightClientError> {
		ProvenState::new(self.finalized, proof)
	}

	fn step(self, step: &FinalityStep) -> Result<Self, LightClientError> {
		let header = Header::decode(&step.header)?;
		let number = header.fields.number;
		if number <= self.height() {
			return Err(LightClientError::NotNewer { number, finalized: self.height() });
		}
		justification::check(&header, &step.justification, &self.authorities)?;
		let authorities = match header.authority_change()? {
			Some(next) => Arc::new(self.authorities.next(next)?),
			None => self.authorities,
		};
		Ok(Self {
			genesis: self.genesis,
			finalized: FinalizedHeader::trusted(&header),
			authorities,
		})
	}
}
