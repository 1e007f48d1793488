//! Gets what proves an answer, or an agent's key, from a node and a worker. Neither is believed:
//! `phala-verifier` holds all of it against the pinned block 0.

use crate::{limits, worker_client::WorkerClient};
use anyhow::Context;
use codec::{DecodeAll, Encode};
use phala_chain_client::{Chain, ChainClientError, HeaderId};
use phala_protocol::{
	agents::{AgentId, AgentRecord, CodeEntry},
	boot::Boot,
	relay::{FinalityStep, GenesisBundle},
	requests::{AnswerContent, SignedAnswer},
	storage_keys, BlockNumber, H256,
};
use phala_verifier::{
	file::{AnswerFile, ChainEvidence, HexBytes, ReportEvidence, VerifierError},
	ProvenAgent,
};
use tokio::time::Instant;

/// Finality from block 0 on, as far as it was fetched: what one proof needed serves the next.
#[derive(Default)]
pub struct Finality {
	genesis: Option<GenesisBundle>,
	steps: Vec<FinalityStep>,
	newest: Option<HeaderId>,
}

impl Finality {
	/// Fetches what is missing up to the newest provable block, once that is `until` or a later one.
	async fn advance(&mut self, chain: &Chain, until: BlockNumber) -> anyhow::Result<HeaderId> {
		if self.genesis.is_none() {
			self.genesis = Some(chain.genesis_bundle().await?);
		}
		let (at, steps) = chain.finality_until(self.newest, until).await?;
		self.steps.extend(steps);
		self.newest = Some(at);
		Ok(at)
	}

	/// With a proof of the state after the newest block that it leads to.
	async fn evidence(
		&self,
		chain: &Chain,
		at: HeaderId,
		keys: &[Vec<u8>],
	) -> anyhow::Result<ChainEvidence> {
		let genesis = self.genesis.as_ref().context("nothing of finality was fetched")?;
		let state_proof = chain.state_proof(at, keys).await?;
		Ok(ChainEvidence {
			genesis_bundle: HexBytes(genesis.encode()),
			finality: HexBytes(self.steps.encode()),
			state_proof: HexBytes(state_proof.encode()),
		})
	}
}

/// An agent as the chain proves it at its newest final block.
pub async fn agent(
	chain: &Chain,
	finality: &mut Finality,
	agent: AgentId,
) -> anyhow::Result<(HeaderId, ProvenAgent)> {
	let newest = chain.finalized().await?;
	let at = finality.advance(chain, newest).await?;
	let evidence = finality.evidence(chain, at, &ProvenAgent::needed_keys(agent)).await?;
	let proven = proven_agent(chain.genesis_hash(), &evidence, agent)?;
	Ok((at, proven))
}

fn proven_agent(
	genesis: H256,
	evidence: &ChainEvidence,
	agent: AgentId,
) -> anyhow::Result<ProvenAgent> {
	match ProvenAgent::prove(genesis, evidence, agent) {
		// With what to do.
		Err(VerifierError::UnknownAgent { agent, block }) => {
			Err(ChainClientError::UnknownAgent { agent, block }.into())
		}
		proven => proven.with_context(|| {
			format!(
				"nothing was sealed: the node does not prove the key of agent {agent:?} on the chain {genesis:?}"
			)
		}),
	}
}

/// Adds what the chain says of an answer at its newest provable final block, which is not before
/// the one that the answer names, nor before `from`.
pub async fn chain(
	file: &mut AnswerFile,
	chain: &Chain,
	finality: &mut Finality,
	from: BlockNumber,
) -> anyhow::Result<()> {
	let content = signed_answer(file)?.content;
	require_on(chain.genesis_hash(), chain.finalized().await?, &content)?;
	let mut from = from.max(content.block);
	let waiting = Instant::now();
	let (at, boot, record) = loop {
		let at = finality.advance(chain, from).await?;
		let (boot, record) = spoken_of(chain, at, &content).await?;
		// The worker's node may have seen the commit before this one did.
		let is_behind =
			record.as_ref().is_some_and(|record| record.version < content.state_version);
		if !is_behind || waiting.elapsed() >= limits::COMMIT_SEEN_MAX {
			break (at, boot, record);
		}
		from = at.number.saturating_add(1);
	};
	let request = file.request.as_ref().and_then(|request| request.id.exactly()).map(H256);
	let (boot, record) = (boot.as_ref(), record.as_ref());
	let ran = match record.filter(|record| record.code != content.code) {
		Some(record) => code_version_at(chain, at, &content, record.code_version).await?,
		None => None,
	};
	let keys = phala_verifier::needed_keys(&content, boot, record, ran, request);
	file.chain = Some(finality.evidence(chain, at, &keys).await?);
	Ok(())
}

/// That an answer is of this chain, and of a block that it has or is about to have: what is not is
/// refused at once, instead of waiting for a block that may be days away.
fn require_on(genesis: H256, newest: BlockNumber, content: &AnswerContent) -> anyhow::Result<()> {
	let (named, block) = (content.genesis, content.block);
	if named != genesis {
		refuse!("OtherChain", "the answer is of the chain {named:?}, and the node is on {genesis:?}: give the --node of that chain, or leave it out if the file has its proof");
	}
	if block > newest.saturating_add(limits::ANSWER_AHEAD_BLOCKS_MAX) {
		refuse!("BeyondHead", "the answer names block {block}, and the node's newest final block is {newest}: no honest worker has seen what is not final, or this node is far behind; give another --node");
	}
	Ok(())
}

/// The boot and the agent that an answer names, as the node says: which keys are to be proven.
async fn spoken_of(
	chain: &Chain,
	at: HeaderId,
	content: &AnswerContent,
) -> anyhow::Result<(Option<Boot>, Option<AgentRecord>)> {
	let boot = storage_keys::registry_boot(content.worker);
	let agent = storage_keys::agents_agent(content.agent);
	let (boot, record) = tokio::try_join!(chain.read(at, boot), chain.read(at, agent))?;
	Ok((boot, record))
}

/// Which version of the agent's code ran at the answer's block, as the node says: its owner may have
/// upgraded it more than once since.
async fn code_version_at(
	chain: &Chain,
	at: HeaderId,
	content: &AnswerContent,
	newest: u32,
) -> anyhow::Result<Option<u32>> {
	for version in (1..=newest).rev() {
		let entry = storage_keys::agents_history(content.agent, version);
		let entry: Option<CodeEntry> = chain.read(at, entry).await?;
		if entry.is_none_or(|entry| entry.block <= content.block) {
			return Ok(Some(version));
		}
	}
	Ok(None)
}

/// Adds fresh evidence of the boot that answered, bound to the answer.
pub async fn report(file: &mut AnswerFile, client: &WorkerClient) -> anyhow::Result<()> {
	let report = client.report(signed_answer(file)?.id().0).await?;
	let evidence = report.evidence.trim_start_matches("0x");
	let evidence = hex::decode(evidence).context("the report's evidence is not hexadecimal")?;
	file.report = Some(ReportEvidence { evidence: HexBytes(evidence) });
	Ok(())
}

fn signed_answer(file: &AnswerFile) -> anyhow::Result<SignedAnswer> {
	SignedAnswer::decode_all(&mut &file.proof.0[..]).context("the answer's proof cannot be read")
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_light_client::test_chain::TestChain;
	use phala_protocol::agents::AgentCode;

	const AGENT: AgentId = H256([2; 32]);

	/// What a node gives for a proof, of a chain on which nobody has deployed the agent.
	fn evidence(chain: &TestChain) -> ChainEvidence {
		let proof = chain.read_proof(1, ProvenAgent::needed_keys(AGENT));
		ChainEvidence {
			genesis_bundle: HexBytes(chain.genesis_bundle().encode()),
			finality: HexBytes(chain.steps(0, 1).encode()),
			state_proof: HexBytes(proof.encode()),
		}
	}

	/// Names a key of its own, and has no proof of it.
	struct Proofless;

	impl Proofless {
		fn bend(honest: ChainEvidence) -> ChainEvidence {
			let none: Vec<Vec<u8>> = Vec::new();
			ChainEvidence { state_proof: HexBytes(none.encode()), ..honest }
		}
	}

	/// Answers from a chain that is not there yet, or from another.
	struct Prophet;

	impl Prophet {
		fn answers(genesis: H256, block: BlockNumber) -> AnswerContent {
			AnswerContent {
				genesis,
				worker: 1,
				boot: 1,
				agent: AGENT,
				code: AgentCode { component: H256::zero(), manifest: H256::zero() },
				caller: None,
				request_hash: H256::zero(),
				response_hash: H256::zero(),
				state_version: 1,
				block,
				unproven_inputs: 0,
			}
		}
	}

	#[test]
	fn a_prophet_is_refused_at_once_and_who_is_a_little_ahead_is_waited_for() {
		let genesis = H256::repeat_byte(1);
		let newest = 100;
		let furthest = newest + limits::ANSWER_AHEAD_BLOCKS_MAX;
		let checked = |genesis_named, block| {
			require_on(genesis, newest, &Prophet::answers(genesis_named, block))
		};
		assert!(checked(genesis, 1).is_ok() && checked(genesis, furthest).is_ok());
		let beyond = checked(genesis, furthest + 1).unwrap_err();
		assert!(beyond.to_string().contains("newest final block is 100"), "{beyond}");
		let other = checked(H256::repeat_byte(2), 1).unwrap_err();
		assert!(other.to_string().contains("is of the chain 0x0202"), "{other}");
	}

	#[test]
	fn what_a_node_does_not_prove_is_refused_before_anything_is_sealed() {
		let mut chain = TestChain::new(1, 4);
		chain.seal();
		let proofless = Proofless::bend(evidence(&chain));
		let refused = proven_agent(chain.genesis(), &proofless, AGENT).unwrap_err().to_string();
		assert!(refused.contains("nothing was sealed"), "{refused}");
		let unknown = proven_agent(chain.genesis(), &evidence(&chain), AGENT).unwrap_err();
		assert!(unknown.to_string().contains("phala deploy"), "{unknown:#}");
	}
}
