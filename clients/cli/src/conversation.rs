//! One sealed question to an agent and its answer: what only the two know, and how long it lasts.

use crate::randomness;
use anyhow::Context;
use codec::{DecodeAll, Encode};
use phala_keys::{
	hpke::{DecryptionKey, EncryptionKey, Sealed},
	input::{seal_input, InputContext, InputKind, SealedInput},
	reply::{open_reply, ReplyContext},
	secret::{Secret32, SecretBytes},
};
use phala_protocol::{
	agents::{AgentId, AgentKey},
	caller::Caller,
	AccountBytes, BlockNumber, H256,
};

/// What opens the answer to one question.
pub struct Conversation {
	pub genesis: H256,
	pub agent: AgentId,
	pub caller: AccountBytes,
	pub nonce: [u8; 32],
	reply_key: DecryptionKey,
}

impl Conversation {
	/// A new one.
	///
	/// # Errors
	/// When the system has no randomness.
	pub fn new(genesis: H256, agent: AgentId, caller: AccountBytes) -> anyhow::Result<Self> {
		let mut rng = randomness::generator()?;
		let reply_key = DecryptionKey::generate(&mut rng);
		Ok(Self { genesis, agent, caller, nonce: randomness::bytes()?, reply_key })
	}

	/// One that was kept.
	pub fn resume(
		genesis: H256,
		agent: AgentId,
		caller: AccountBytes,
		nonce: [u8; 32],
		reply_secret: [u8; 32],
	) -> Self {
		let reply_key = DecryptionKey::from_secret(Secret32::new(reply_secret));
		Self { genesis, agent, caller, nonce, reply_key }
	}

	/// To be kept where only this user reads it: it opens the answer.
	pub fn reply_secret(&self) -> &[u8; 32] {
		self.reply_key.secret().expose()
	}

	/// What the answer is to be sealed to.
	pub fn reply_key(&self) -> [u8; 32] {
		self.reply_key.public().0
	}

	/// SCALE of the sealed question. Only `code` may read it, until `expiry_block`.
	///
	/// # Errors
	/// When it is too long, or the agent's key is none.
	pub fn seal(
		&self,
		key: AgentKey,
		kind: InputKind,
		code: H256,
		expiry_block: BlockNumber,
		body: Vec<u8>,
	) -> anyhow::Result<Vec<u8>> {
		let context = InputContext::new(self.genesis, self.agent, key.version, kind);
		let input = SealedInput {
			caller: Caller::Account(self.caller),
			nonce: self.nonce,
			reply_key: self.reply_key.public(),
			accepted_code_hashes: vec![code],
			expiry_block,
			body: SecretBytes::new(body),
		};
		let mut rng = randomness::generator()?;
		let sealed = seal_input(&mut rng, &EncryptionKey(key.key), &context, &input)
			.context("the input cannot be sealed to the agent")?;
		Ok(sealed.encode())
	}

	/// Opens SCALE of a sealed answer.
	///
	/// # Errors
	/// When it is none, or not the answer to this question.
	pub fn open(&self, sealed: &[u8]) -> anyhow::Result<SecretBytes> {
		let sealed = Sealed::decode_all(&mut &sealed[..])
			.context("the answer is not what an agent seals: is this a worker's public server?")?;
		let caller = Caller::Account(self.caller);
		let context = ReplyContext::new(self.genesis, self.agent, caller, self.nonce);
		open_reply(&self.reply_key, &context, &sealed)
			.context("the answer is not the answer to this question")
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_keys::{input::open_input, input::Reception, reply::seal_reply};

	#[test]
	fn an_agent_reads_the_question_and_its_answer_opens_after_the_reply_key_was_kept() {
		let (genesis, agent, code) = (H256([1; 32]), H256([2; 32]), H256([3; 32]));
		let mut rng = randomness::generator().unwrap();
		let agent_key = DecryptionKey::generate(&mut rng);
		let key = AgentKey { version: 1, key: agent_key.public().0 };

		let asked = Conversation::new(genesis, agent, [9; 32]).unwrap();
		let question = asked.seal(key, InputKind::Request, code, 50, b"?".to_vec()).unwrap();
		let sealed = Sealed::decode_all(&mut &question[..]).unwrap();
		let context = InputContext::new(genesis, agent, 1, InputKind::Request);
		let reception = Reception { origin: Caller::Account([9; 32]), now: 10, running: code };
		let input = open_input(&agent_key, &context, &sealed, &reception).unwrap();
		assert_eq!(input.body.expose(), b"?");

		let context = ReplyContext::to_input(genesis, agent, &input);
		let reply = seal_reply(&mut rng, &input.reply_key, &context, b"!").unwrap().encode();
		let secret = *asked.reply_secret();
		let resumed = Conversation::resume(genesis, agent, [9; 32], asked.nonce, secret);
		assert_eq!(resumed.open(&reply).unwrap().expose(), b"!");
		let other = Conversation::resume(genesis, agent, [8; 32], asked.nonce, secret);
		assert!(other.open(&reply).is_err());
	}
}
