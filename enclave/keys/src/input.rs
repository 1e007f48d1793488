//! Input sealed to an agent: opened only for the caller that sealed it, in its time, by code it
//! accepts. A copied ciphertext is worth nothing.
//!
//! What is refused here leaves one thing to the one who holds the agent's memory: an input that
//! the *same* caller sends twice. [`SealedInput::nonce`] is for that, and its expiry bounds how
//! long nonces must be remembered.

use crate::{
	error::Error,
	hpke::{self, DecryptionKey, EncryptionKey, Sealed},
	limits::{ACCEPTED_CODE_HASHES_MAX, INPUT_LIFETIME_BLOCKS_MAX},
	secret::SecretBytes,
};
use codec::{Decode, Encode};
use phala_protocol::{
	agents::{AgentId, KeyVersion},
	caller::Caller,
	domains::{Domain, SEALED_INPUT},
	BlockNumber, H256,
};
use rand_core::CryptoRng;

/// What an input is for. One sealed as one kind does not open as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum InputKind {
	/// A paid request, through the chain.
	#[codec(index = 0)]
	Request,
	/// A direct call, over HTTP.
	#[codec(index = 1)]
	Direct,
	#[codec(index = 2)]
	AgentCall,
	/// Secrets that the agent's owner gives it.
	#[codec(index = 3)]
	OwnerSecrets,
}

/// Where an input belongs: the HPKE info.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
pub struct InputContext {
	domain: Domain,
	genesis: H256,
	agent: AgentId,
	key_version: KeyVersion,
	kind: InputKind,
}

impl InputContext {
	/// Of an input of `kind` to `agent`, whose encryption key has version `key_version`.
	pub fn new(genesis: H256, agent: AgentId, key_version: KeyVersion, kind: InputKind) -> Self {
		Self { domain: SEALED_INPUT, genesis, agent, key_version, kind }
	}
}

/// The plaintext of a sealed input. It is encoded by [`seal_input`] alone.
pub struct SealedInput {
	/// Who may send it.
	pub caller: Caller,
	/// Random: tells two inputs of one caller apart.
	pub nonce: [u8; 32],
	/// One-time key for the answer: see [`crate::reply`].
	pub reply_key: EncryptionKey,
	/// Code that may read it. Empty: whatever the agent's upgrade policy lets run.
	pub accepted_code_hashes: Vec<H256>,
	/// Last block at which it is accepted.
	pub expiry_block: BlockNumber,
	/// What the agent gets.
	pub body: SecretBytes,
}

impl SealedInput {
	fn encode_plaintext(&self) -> SecretBytes {
		let mut plaintext = SecretBytes::with_capacity(
			self.body.expose().len() + 256 + 32 * self.accepted_code_hashes.len(),
		);
		let bytes = plaintext.expose_mut();
		self.caller.encode_to(bytes);
		self.nonce.encode_to(bytes);
		self.reply_key.encode_to(bytes);
		self.accepted_code_hashes.encode_to(bytes);
		self.expiry_block.encode_to(bytes);
		self.body.expose().encode_to(bytes);
		plaintext
	}

	fn decode_plaintext(mut bytes: &[u8]) -> Result<Self, codec::Error> {
		let input = Self {
			caller: Decode::decode(&mut bytes)?,
			nonce: Decode::decode(&mut bytes)?,
			reply_key: Decode::decode(&mut bytes)?,
			accepted_code_hashes: Decode::decode(&mut bytes)?,
			expiry_block: Decode::decode(&mut bytes)?,
			body: SecretBytes::new(Decode::decode(&mut bytes)?),
		};
		if bytes.is_empty() {
			Ok(input)
		} else {
			Err("bytes left over".into())
		}
	}
}

/// What the one who opens an input knows about now.
#[derive(Clone, Copy, Debug)]
pub struct Reception {
	/// Who sent it: taken from the verified carrier, never from the input.
	pub origin: Caller,
	/// The finalized block.
	pub now: BlockNumber,
	/// Hash of the code that will read it.
	pub running: H256,
}

/// Seals `input` to an agent's encryption key.
pub fn seal_input(
	rng: &mut impl CryptoRng,
	agent_key: &EncryptionKey,
	context: &InputContext,
	input: &SealedInput,
) -> Result<Sealed, Error> {
	check_code_hash_count(input)?;
	hpke::seal(rng, agent_key, context, &[], input.encode_plaintext().expose())
}

/// Opens an input for the caller that sealed it, or says why not.
pub fn open_input(
	agent_key: &DecryptionKey,
	context: &InputContext,
	sealed: &Sealed,
	reception: &Reception,
) -> Result<SealedInput, Error> {
	let plaintext = hpke::open(agent_key, context, &[], sealed, "input")?;
	let input = SealedInput::decode_plaintext(plaintext.expose())
		.map_err(|_| Error::Malformed { what: "input" })?;
	check_code_hash_count(&input)?;
	let Reception { origin, now, running } = *reception;
	let expiry_block = input.expiry_block;
	if origin != input.caller {
		return Err(Error::OriginIsNotCaller);
	}
	if now > expiry_block {
		return Err(Error::Expired { expiry_block, now });
	}
	if expiry_block - now > INPUT_LIFETIME_BLOCKS_MAX {
		return Err(Error::ExpiresTooLate { expiry_block, now });
	}
	if !input.accepted_code_hashes.is_empty() && !input.accepted_code_hashes.contains(&running) {
		return Err(Error::CodeNotAccepted { running });
	}
	Ok(input)
}

fn check_code_hash_count(input: &SealedInput) -> Result<(), Error> {
	let count = input.accepted_code_hashes.len();
	if count > ACCEPTED_CODE_HASHES_MAX {
		return Err(Error::TooMany {
			what: "accepted code hashes",
			count,
			count_max: ACCEPTED_CODE_HASHES_MAX,
		});
	}
	Ok(())
}
