//! One sealed question to an agent and its answer: what only the two know, and how long it lasts.

use crate::randomness;
use anyhow::{ensure, Context};
use codec::{DecodeAll, Encode};
use phala_chain_client::agents;
use phala_keys::{
	hpke::{DecryptionKey, EncryptionKey, Sealed},
	input::{seal_input, InputContext, InputKind, SealedInput},
	reply::{open_reply, ReplyContext},
	secret::{Secret32, SecretBytes},
};
use phala_protocol::{agents::AgentId, caller::Caller, AccountBytes, BlockNumber, H256};
use phala_verifier::ProvenAgent;

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

	/// To be kept where only this user reads it: it opens the answer. Canonical, as the verifier
	/// takes it.
	pub fn reply_secret(&self) -> Secret32 {
		self.reply_key.canonical_secret()
	}

	/// What the answer is to be sealed to.
	pub fn reply_key(&self) -> [u8; 32] {
		self.reply_key.public().0
	}

	/// SCALE of the sealed question: to the key that the chain proves to be the agent's, and to no
	/// other. Only the agent's code of then may read it, until `expiry_block`, and code that was announced
	/// by then to run before that.
	pub fn seal(
		&self,
		to: &ProvenAgent,
		kind: InputKind,
		expiry_block: BlockNumber,
		body: Vec<u8>,
	) -> anyhow::Result<Vec<u8>> {
		ensure!(
			(to.genesis(), to.id()) == (self.genesis, self.agent),
			"nothing was sealed: agent {:?} on the chain {:?} is asked, {:?} on {:?} was proven",
			self.agent,
			self.genesis,
			to.id(),
			to.genesis()
		);
		let key = agents::key(to.id(), to.record())?;
		let context = InputContext::new(self.genesis, self.agent, key.version, kind);
		let input = SealedInput {
			caller: Caller::Account(self.caller),
			nonce: self.nonce,
			reply_key: self.reply_key.public(),
			accepted_code_hashes: to.codes_until(expiry_block),
			expiry_block,
			body: SecretBytes::new(body),
		};
		let mut rng = randomness::generator()?;
		let sealed = seal_input(&mut rng, &EncryptionKey(key.key), &context, &input)
			.context("the input cannot be sealed to the agent")?;
		Ok(sealed.encode())
	}

	/// Opens SCALE of a sealed answer.
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
pub mod tests {
	use super::*;
	use phala_keys::{input::open_input, input::Reception, reply::seal_reply};
	use phala_light_client::test_chain::TestChain;
	use phala_protocol::{
		agents::{Access, AgentCode, AgentKey, AgentRecord, UpgradePolicy},
		storage_keys,
	};
	use phala_verifier::file::{ChainEvidence, HexBytes};

	const AGENT: AgentId = H256([2; 32]);
	const CALLER: AccountBytes = [9; 32];
	const CODE: AgentCode = AgentCode { component: H256([3; 32]), manifest: H256([13; 32]) };

	/// An agent with this key, or none, on a chain that proves it.
	fn proven(key: Option<&DecryptionKey>) -> ProvenAgent {
		proven_with(key, CODE)
	}

	/// The same, running this code.
	pub fn proven_with(key: Option<&DecryptionKey>, code: AgentCode) -> ProvenAgent {
		let record = AgentRecord {
			owner: [1; 32],
			cluster: 0,
			code,
			code_version: 1,
			upgrades: UpgradePolicy::Free,
			access: Access::Public,
			unit_price: 1,
			timeout: 10,
			key: key.map(|key| AgentKey { version: 1, key: key.public().0 }),
			version: 1,
			state_hash: H256::zero(),
		};
		let mut chain = TestChain::new(1, 4);
		chain.put(storage_keys::agents_agent(AGENT), record.encode());
		chain.seal();
		let proof = chain.read_proof(1, ProvenAgent::needed_keys(AGENT));
		let evidence = ChainEvidence {
			genesis_bundle: HexBytes(chain.genesis_bundle().encode()),
			finality: HexBytes(chain.steps(0, 1).encode()),
			state_proof: HexBytes(proof.encode()),
		};
		ProvenAgent::prove(chain.genesis(), &evidence, AGENT).unwrap()
	}

	#[test]
	fn an_agent_reads_the_question_and_its_answer_opens_after_the_reply_key_was_kept() {
		let mut rng = randomness::generator().unwrap();
		let agent_key = DecryptionKey::generate(&mut rng);
		let to = proven(Some(&agent_key));
		let genesis = to.genesis();

		let asked = Conversation::new(genesis, AGENT, CALLER).unwrap();
		let question = asked.seal(&to, InputKind::Request, 50, b"?".to_vec()).unwrap();
		let sealed = Sealed::decode_all(&mut &question[..]).unwrap();
		let context = InputContext::new(genesis, AGENT, 1, InputKind::Request);
		let origin = Caller::Account(CALLER);
		let reception = Reception { origin, now: 10, running: CODE.component };
		let input = open_input(&agent_key, &context, &sealed, &reception).unwrap();
		assert_eq!(input.body.expose(), b"?");

		let context = ReplyContext::to_input(genesis, AGENT, &input);
		let reply = seal_reply(&mut rng, &input.reply_key, &context, b"!").unwrap().encode();
		let secret = *asked.reply_secret().expose();
		let resumed = Conversation::resume(genesis, AGENT, CALLER, asked.nonce, secret);
		assert_eq!(resumed.open(&reply).unwrap().expose(), b"!");
		let other = Conversation::resume(genesis, AGENT, [8; 32], asked.nonce, secret);
		assert!(other.open(&reply).is_err());
	}

	/// Proves an agent honestly: another one, of its own, when one is asked for.
	struct Substitute;

	impl Substitute {
		const ASKED: AgentId = H256([7; 32]);
		const OTHER_CHAIN: H256 = H256([8; 32]);
	}

	#[test]
	fn nothing_is_sealed_to_another_agent_or_on_another_chain_than_was_proven() {
		let mut rng = randomness::generator().unwrap();
		let to = proven(Some(&DecryptionKey::generate(&mut rng)));
		for (genesis, agent) in
			[(to.genesis(), Substitute::ASKED), (Substitute::OTHER_CHAIN, AGENT)]
		{
			let asked = Conversation::new(genesis, agent, CALLER).unwrap();
			let refused = asked.seal(&to, InputKind::Direct, 50, b"?".to_vec()).unwrap_err();
			assert!(refused.to_string().contains("nothing was sealed"), "{refused:#}");
		}
	}

	#[test]
	fn nothing_is_sealed_to_an_agent_that_has_no_key_yet() {
		let to = proven(None);
		let asked = Conversation::new(to.genesis(), AGENT, CALLER).unwrap();
		let refused = asked.seal(&to, InputKind::Direct, 50, b"?".to_vec()).unwrap_err();
		assert!(refused.to_string().contains("has no key yet"), "{refused:#}");
	}
}
