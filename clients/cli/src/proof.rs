//! Gets what proves an answer from a node and a worker. Neither is believed: `phala-verifier` holds
//! all of it against the pinned block 0.

use crate::worker_client::WorkerClient;
use anyhow::Context;
use codec::{DecodeAll, Encode};
use phala_chain_client::Chain;
use phala_protocol::{boot::Boot, requests::SignedAnswer, storage_keys, BlockNumber, H256};
use phala_verifier::file::{AnswerFile, ChainEvidence, HexBytes, ReportEvidence};

/// Adds what the chain says of an answer at its newest provable final block, which is not before
/// the one that the answer names, nor before `from`.
///
/// # Errors
/// Those of the node; when finality does not come that far.
pub async fn chain(file: &mut AnswerFile, chain: &Chain, from: BlockNumber) -> anyhow::Result<()> {
	let answer = signed_answer(file)?;
	let from = from.max(answer.content.block);
	let bundle = chain.genesis_bundle().await?;
	let (at, steps) = chain.finality_from_genesis(from).await?;

	let worker = storage_keys::registry_boot(answer.content.worker);
	let boot = chain.read::<Boot>(at, worker).await?;
	let request = file.request.as_ref().and_then(|request| request.id.exactly()).map(H256);
	let keys = phala_verifier::needed_keys(&answer.content, boot.as_ref(), request);
	let state_proof = chain.state_proof(at, &keys).await?;
	file.chain = Some(ChainEvidence {
		genesis_bundle: HexBytes(bundle.encode()),
		finality: HexBytes(steps.encode()),
		state_proof: HexBytes(state_proof.encode()),
	});
	Ok(())
}

/// Adds fresh evidence of the boot that answered, bound to the answer.
///
/// # Errors
/// When its worker does not give any.
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
