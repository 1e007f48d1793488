//! The answer to a sealed input, sealed to the caller's one-time reply key.
//!
//! HPKE's base mode does not say who sealed: that the answer is the agent's is proven by the
//! boot's signature over its hash, not by this envelope.

use crate::{
	error::Error,
	hpke::{self, DecryptionKey, EncryptionKey, Sealed},
	input::SealedInput,
	secret::SecretBytes,
};
use codec::Encode;
use phala_protocol::{
	agents::AgentId,
	caller::Caller,
	domains::{Domain, SEALED_REPLY},
	H256,
};
use rand_core::CryptoRng;

/// Which input an answer belongs to: the HPKE info. An answer to one input does not open as the
/// answer to another, even under the same reply key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
pub struct ReplyContext {
	domain: Domain,
	genesis: H256,
	agent: AgentId,
	caller: Caller,
	nonce: [u8; 32],
}

impl ReplyContext {
	/// Of the answer that `agent` gives to the input of `caller` with `nonce`.
	pub fn new(genesis: H256, agent: AgentId, caller: Caller, nonce: [u8; 32]) -> Self {
		Self { domain: SEALED_REPLY, genesis, agent, caller, nonce }
	}

	/// Of the answer to `input`.
	pub fn to_input(genesis: H256, agent: AgentId, input: &SealedInput) -> Self {
		Self::new(genesis, agent, input.caller, input.nonce)
	}
}

pub fn seal_reply(
	rng: &mut impl CryptoRng,
	reply_key: &EncryptionKey,
	context: &ReplyContext,
	body: &[u8],
) -> Result<Sealed, Error> {
	hpke::seal(rng, reply_key, context, &[], body)
}

pub fn open_reply(
	reply_key: &DecryptionKey,
	context: &ReplyContext,
	sealed: &Sealed,
) -> Result<SecretBytes, Error> {
	hpke::open(reply_key, context, &[], sealed, "reply")
}
