//! Decodes what arrives from outside, never making more of it than [`crate::limits`] allows: each
//! length is held against its limit before anything is set aside for it.

use crate::{error::LightClientError, header::limit, limits};
use codec::{Compact, Decode};
use phala_protocol::{
	mailbox::{Channel, OutboundMessage},
	relay::{ChannelBodies, FinalityStep, GenesisBundle, StateProof, SyncBundle},
};

pub fn decode_genesis_bundle(bytes: &[u8]) -> Result<GenesisBundle, LightClientError> {
	let mut reader = Reader::new("a genesis bundle", bytes)?;
	let header = reader.bytes("bytes in a header", limits::HEADER_BYTES_MAX)?;
	let state_proof = reader.state_proof()?;
	reader.finish()?;
	Ok(GenesisBundle { header, state_proof })
}

pub fn decode_sync_bundle(bytes: &[u8]) -> Result<SyncBundle, LightClientError> {
	let mut reader = Reader::new("a sync bundle", bytes)?;
	let steps = reader.list("steps in a bundle", limits::STEPS_PER_BUNDLE_MAX, |reader| {
		Ok(FinalityStep {
			header: reader.bytes("bytes in a header", limits::HEADER_BYTES_MAX)?,
			justification: reader
				.bytes("bytes in a justification", limits::JUSTIFICATION_BYTES_MAX)?,
		})
	})?;
	let state_proof = reader.state_proof()?;
	let mut messages_left = limits::MESSAGES_PER_BUNDLE_MAX;
	let bodies = reader.list("lists of bodies", limits::CHANNELS_MAX, |reader| {
		let channel = reader.value::<Channel>()?;
		let messages = reader.list("messages in a bundle", messages_left, |reader| {
			Ok(OutboundMessage {
				seq: reader.value()?,
				block: reader.value()?,
				index: reader.value()?,
				body: reader.bytes("bytes in a body", limits::MESSAGE_BYTES_MAX as usize)?,
			})
		})?;
		messages_left = messages_left.saturating_sub(messages.len());
		Ok(ChannelBodies { channel, messages })
	})?;
	reader.finish()?;
	Ok(SyncBundle { steps, state_proof, bodies })
}

struct Reader<'a> {
	what: &'static str,
	rest: &'a [u8],
}

impl<'a> Reader<'a> {
	fn new(what: &'static str, bytes: &'a [u8]) -> Result<Self, LightClientError> {
		limit("bytes in a bundle", bytes.len(), limits::BUNDLE_BYTES_MAX)?;
		Ok(Self { what, rest: bytes })
	}

	fn malformed(&self) -> LightClientError {
		LightClientError::Malformed { what: self.what }
	}

	fn value<T: Decode>(&mut self) -> Result<T, LightClientError> {
		T::decode(&mut self.rest).map_err(|_| self.malformed())
	}

	fn length(&mut self, what: &'static str, max: usize) -> Result<usize, LightClientError> {
		let length = self.value::<Compact<u32>>()?.0 as usize;
		limit(what, length, max)?;
		Ok(length)
	}

	fn bytes(&mut self, what: &'static str, max: usize) -> Result<Vec<u8>, LightClientError> {
		let length = self.length(what, max)?;
		let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.malformed())?;
		self.rest = rest;
		Ok(bytes.to_vec())
	}

	fn list<T>(
		&mut self,
		what: &'static str,
		max: usize,
		mut item: impl FnMut(&mut Self) -> Result<T, LightClientError>,
	) -> Result<Vec<T>, LightClientError> {
		let length = self.length(what, max)?;
		(0..length).map(|_| item(self)).collect()
	}

	fn state_proof(&mut self) -> Result<StateProof, LightClientError> {
		let mut bytes_left = limits::PROOF_BYTES_MAX;
		self.list("nodes in a storage proof", limits::PROOF_NODES_MAX, |reader| {
			let node = reader.bytes("bytes in a storage proof", bytes_left)?;
			bytes_left = bytes_left.saturating_sub(node.len());
			Ok(node)
		})
	}

	fn finish(self) -> Result<(), LightClientError> {
		if self.rest.is_empty() {
			Ok(())
		} else {
			Err(self.malformed())
		}
	}
}
