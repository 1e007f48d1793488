//! Chain facts, read by proof.

use crate::{
	error::LightClientError,
	header::{limit, FinalizedHeader},
	limits,
	trie::{Nodes, Unreadable},
};
use codec::{Decode, DecodeAll};
use phala_protocol::relay::StateProof;
use std::sync::Arc;

/// The part of the chain's state at one finalized header that a storage proof shows.
///
/// What it does not show is an error, never an absence: see [`ProvenState::read`].
#[derive(Clone, Debug)]
pub struct ProvenState {
	header: FinalizedHeader,
	nodes: Arc<Nodes>,
}

impl ProvenState {
	pub(crate) fn new(
		header: FinalizedHeader,
		proof: StateProof,
	) -> Result<Self, LightClientError> {
		limit("nodes in a storage proof", proof.len(), limits::PROOF_NODES_MAX)?;
		let bytes = proof.iter().map(Vec::len).fold(0, usize::saturating_add);
		limit("bytes in a storage proof", bytes, limits::PROOF_BYTES_MAX)?;
		Ok(Self { header, nodes: Arc::new(proof.into_iter().collect()) })
	}

	/// The header after whose block the state was so.
	pub fn header(&self) -> &FinalizedHeader {
		&self.header
	}

	/// The value under `key`; `None` when it is proven that there is none.
	pub fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LightClientError> {
		let number = self.header.number();
		match self.nodes.read(self.header.state_root(), key) {
			Ok(value) => Ok(value.map(<[u8]>::to_vec)),
			Err(Unreadable::Missing(node)) => {
				Err(LightClientError::ProofIncomplete { number, key: key.to_vec(), node })
			}
			Err(Unreadable::Unknown(node)) => {
				Err(LightClientError::UnknownTrieNode { number, key: key.to_vec(), node })
			}
		}
	}

	/// The value under `key` as a `T`, whose whole encoding it must be.
	pub fn read_as<T: Decode>(&self, key: &[u8]) -> Result<Option<T>, LightClientError> {
		let Some(value) = self.read(key)? else { return Ok(None) };
		T::decode_all(&mut &value[..]).map(Some).map_err(|_| LightClientError::UnexpectedValue {
			number: self.header.number(),
			key: key.to_vec(),
			expected: core::any::type_name::<T>(),
		})
	}
}
