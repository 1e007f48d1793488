//! An agent as the chain proves it: what is sealed is sealed to nobody else's word.

use crate::{
	file::{ChainEvidence, VerifierError},
	finality::follow,
};
use alloc::{vec, vec::Vec};
use phala_protocol::{
	agents::{AgentId, AgentRecord, PlannedUpgrade},
	storage_keys, BlockNumber, H256,
};

/// An agent's record in a final block of a pinned chain. Exists only if it was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenAgent {
	genesis: H256,
	id: AgentId,
	record: AgentRecord,
	planned: Option<PlannedUpgrade>,
	block: BlockNumber,
}

impl ProvenAgent {
	/// The facts of the chain that [`Self::prove`] reads: a node is asked to prove these.
	pub fn needed_keys(id: AgentId) -> Vec<Vec<u8>> {
		vec![storage_keys::agents_agent(id), storage_keys::agents_planned(id)]
	}

	/// Reads an agent's record off a proof, under the chain whose block 0 has the hash `pinned`.
	///
	/// # Errors
	/// What of the proof does not hold; [`VerifierError::UnknownAgent`] if it holds, and shows that
	/// there is no such agent.
	pub fn prove(
		pinned: H256,
		evidence: &ChainEvidence,
		id: AgentId,
	) -> Result<Self, VerifierError> {
		let (client, state) = follow(evidence, pinned)?;
		let block = client.height();
		let record = state
			.read_as::<AgentRecord>(&storage_keys::agents_agent(id))?
			.ok_or(VerifierError::UnknownAgent { agent: id, block })?;
		let planned = state.read_as(&storage_keys::agents_planned(id))?;
		Ok(Self { genesis: client.genesis(), id, record, planned, block })
	}

	/// Hash of block 0 of the chain that it is on.
	pub fn genesis(&self) -> H256 {
		self.genesis
	}

	pub fn id(&self) -> AgentId {
		self.id
	}

	pub fn record(&self) -> &AgentRecord {
		&self.record
	}

	/// The codes that may read an input which is read in `until` at the latest: what runs, and what is
	/// announced to run from that block or an earlier one on. No other code, whatever its owner does.
	pub fn codes_until(&self, until: BlockNumber) -> Vec<H256> {
		let planned = self.planned.filter(|planned| planned.at <= until);
		let codes = [Some(self.record.code), planned.map(|planned| planned.code)];
		codes.into_iter().flatten().map(|code| code.component).collect()
	}

	/// The final block after which the record was so. There may be newer ones.
	pub fn block(&self) -> BlockNumber {
		self.block
	}
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
	use super::*;
	use crate::file::HexBytes;
	use codec::Encode;
	use phala_light_client::{test_chain::TestChain, LightClientError};
	use phala_protocol::agents::{Access, AgentCode, AgentKey, UpgradePolicy};

	const AGENT: AgentId = H256([2; 32]);
	const HONEST: [u8; 32] = [4; 32];
	/// Of a key that the liar has the secret of.
	const SWAPPED: [u8; 32] = [0x11; 32];

	fn record(key: [u8; 32]) -> AgentRecord {
		AgentRecord {
			owner: [1; 32],
			cluster: 0,
			code: AgentCode { component: H256([3; 32]), manifest: H256([13; 32]) },
			code_version: 1,
			upgrades: UpgradePolicy::Free,
			access: Access::Public,
			unit_price: 1,
			timeout: 10,
			key: Some(AgentKey { version: 1, key }),
			version: 1,
			state_hash: H256::zero(),
		}
	}

	fn chain(seed: u64, key: [u8; 32]) -> TestChain {
		let mut chain = TestChain::new(seed, 4);
		chain.put(storage_keys::agents_agent(AGENT), record(key).encode());
		chain.seal();
		chain
	}

	fn evidence(chain: &TestChain) -> ChainEvidence {
		let height = chain.height();
		let proof = chain.read_proof(height, ProvenAgent::needed_keys(AGENT));
		ChainEvidence {
			genesis_bundle: HexBytes(chain.genesis_bundle().encode()),
			finality: HexBytes(chain.steps(0, height).encode()),
			state_proof: HexBytes(proof.encode()),
		}
	}

	fn proven(evidence: &ChainEvidence) -> Result<ProvenAgent, VerifierError> {
		ProvenAgent::prove(chain(1, HONEST).genesis(), evidence, AGENT)
	}

	#[test]
	fn an_honest_node_proves_an_agent_s_key_at_a_final_block_of_the_pinned_chain() {
		let honest = chain(1, HONEST);
		let agent = proven(&evidence(&honest)).unwrap();
		assert_eq!(*agent.record(), record(HONEST));
		assert_eq!((agent.genesis(), agent.id(), agent.block()), (honest.genesis(), AGENT, 1));
	}

	#[test]
	fn announced_code_is_accepted_from_its_block_on_and_what_is_not_proven_never() {
		let [running, announced] = [H256([3; 32]), H256([7; 32])];
		let planned = |at| PlannedUpgrade {
			code: AgentCode { component: announced, manifest: H256([17; 32]) },
			at,
		};
		let mut chain = chain(1, HONEST);
		assert_eq!(proven(&evidence(&chain)).unwrap().codes_until(100), [running]);
		chain.put(storage_keys::agents_planned(AGENT), planned(40).encode());
		chain.seal();
		let agent = proven(&evidence(&chain)).unwrap();
		assert_eq!(agent.codes_until(39), [running]);
		assert_eq!(agent.codes_until(40), [running, announced]);
		// Nobody adds code by leaving out of the proof what is announced.
		let mut evidence = evidence(&chain);
		let record = vec![storage_keys::agents_agent(AGENT)];
		evidence.state_proof = HexBytes(chain.read_proof(2, record).encode());
		assert!(matches!(proven(&evidence), Err(VerifierError::NotProven(_))));
	}

	/// Answers with the record of an agent whose key it has, and the honest chain's proof: of all
	/// that it says the proof alone is read.
	struct KeySwapper;

	impl KeySwapper {
		/// The proof, with the key swapped in the value wherever it stands.
		fn bend(honest: &TestChain) -> ChainEvidence {
			let mut evidence = evidence(honest);
			let swap = |bytes: &mut Vec<u8>| {
				let at = bytes.windows(HONEST.len()).position(|window| window == HONEST).unwrap();
				bytes.splice(at..at.saturating_add(HONEST.len()), SWAPPED);
			};
			swap(&mut evidence.state_proof.0);
			evidence
		}
	}

	#[test]
	fn a_node_that_swaps_the_key_in_an_honest_proof_proves_nothing() {
		let refused = proven(&KeySwapper::bend(&chain(1, HONEST))).unwrap_err();
		assert!(
			matches!(
				refused,
				VerifierError::NotProven(LightClientError::ProofIncomplete { number: 1, .. })
			),
			"{refused:?}"
		);
	}

	/// Proves, honestly, the record of an agent of its own when another one is asked for.
	struct RecordSwapper;

	impl RecordSwapper {
		const AGENT: AgentId = H256([0x12; 32]);

		fn evidence() -> ChainEvidence {
			let mut chain = chain(1, HONEST);
			chain.put(storage_keys::agents_agent(Self::AGENT), record(SWAPPED).encode());
			chain.seal();
			let proof = chain.read_proof(2, ProvenAgent::needed_keys(Self::AGENT));
			let finality = HexBytes(chain.steps(0, 2).encode());
			let state_proof = HexBytes(proof.encode());
			ChainEvidence { finality, state_proof, ..evidence(&chain) }
		}
	}

	#[test]
	fn an_honest_proof_of_another_agent_s_record_proves_nothing_of_the_one_that_is_asked_for() {
		let evidence = RecordSwapper::evidence();
		let own = ProvenAgent::prove(chain(1, HONEST).genesis(), &evidence, RecordSwapper::AGENT)
			.unwrap();
		assert_eq!(*own.record(), record(SWAPPED), "the proof is good");
		let refused = proven(&evidence);
		assert!(matches!(refused, Err(VerifierError::NotProven(_))), "{refused:?}");
	}

	/// Has a chain of its own, on which the agent has the liar's key, and proves that one well.
	struct ChainForger;

	impl ChainForger {
		fn chain() -> TestChain {
			chain(2, SWAPPED)
		}
	}

	#[test]
	fn a_node_of_another_chain_proves_nothing_to_who_pinned_this_one() {
		let forged = evidence(&ChainForger::chain());
		assert!(matches!(proven(&forged), Err(VerifierError::NotProven(_))));
		// Nor with this chain's block 0 in front of its own finality.
		let honest = evidence(&chain(1, HONEST));
		let spliced = ChainEvidence { genesis_bundle: honest.genesis_bundle.clone(), ..forged };
		assert!(matches!(proven(&spliced), Err(VerifierError::NotProven(_))));
		// Nor with its own state under this chain's finality.
		let stated = ChainEvidence { state_proof: spliced.state_proof, ..honest };
		assert!(matches!(proven(&stated), Err(VerifierError::NotProven(_))));
	}

	/// Says what it likes, and proves none of it.
	struct Proofless;

	impl Proofless {
		fn bend(honest: &TestChain) -> ChainEvidence {
			let none: Vec<Vec<u8>> = Vec::new();
			ChainEvidence { state_proof: HexBytes(none.encode()), ..evidence(honest) }
		}
	}

	#[test]
	fn a_node_without_a_proof_proves_neither_an_agent_nor_its_absence() {
		let refused = proven(&Proofless::bend(&chain(1, HONEST)));
		assert!(matches!(refused, Err(VerifierError::NotProven(_))), "{refused:?}");
		let empty = ChainEvidence::default();
		assert!(matches!(proven(&empty), Err(VerifierError::Unreadable { what: "block 0", .. })));
	}

	#[test]
	fn an_agent_that_is_proven_not_to_be_there_is_said_to_be_unknown() {
		let mut without = TestChain::new(1, 4);
		without.seal();
		let refused = proven(&evidence(&without));
		assert_eq!(refused, Err(VerifierError::UnknownAgent { agent: AGENT, block: 1 }));
	}
}
