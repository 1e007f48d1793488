//! Gets what proves an answer from a node and a worker. Neither is believed: [`super::check`] holds
//! all of it against the pinned block 0.

use super::file::{AnswerFile, ChainEvidence, HexBytes, ReportEvidence};
use crate::{chain::storage, limits, worker_client::WorkerClient};
use anyhow::{bail, Context};
use codec::{DecodeAll, Encode};
use phala_pherry::{chain::Chain, header::HeaderId};
use phala_protocol::{
	boot::Boot,
	relay::FinalityStep,
	requests::{RequestId, SignedAnswer},
	storage_keys, BlockNumber, H256,
};

/// Adds what the chain says of an answer at its newest provable final block, which is not before
/// the one that the answer names, nor before `from`.
///
/// # Errors
/// Those of the node; when finality does not come that far.
pub async fn chain(file: &mut AnswerFile, chain: &Chain, from: BlockNumber) -> anyhow::Result<()> {
	let answer = signed_answer(file)?;
	let from = from.max(answer.content.block);
	let bundle = chain.genesis_bundle().await?;
	let (at, steps) = finality(chain, from).await?;

	let worker = storage_keys::registry_boot(answer.content.worker);
	let mut keys = vec![
		worker.clone(),
		storage_keys::agents_agent(answer.content.agent),
		storage::registry_software_root(),
	];
	if let Some(boot) = storage::read::<Boot>(chain, at, worker).await? {
		keys.push(storage::registry_measurement(boot.measurement));
	}
	if let Some(id) = file.request.as_ref().and_then(|request| request.id.exactly()) {
		let id: RequestId = H256(id);
		keys.push(storage::requests_request(id));
		keys.push(storage::requests_response(id));
	}
	let state_proof = chain.state_proof(at, &keys).await?;
	file.chain = Some(ChainEvidence {
		genesis_bundle: HexBytes(bundle.encode()),
		finality: HexBytes(steps.encode()),
		state_proof: HexBytes(state_proof.encode()),
	});
	Ok(())
}

/// Steps of finality from block 0 to the newest provable block, which is `from` or a later one.
async fn finality(
	chain: &Chain,
	from: BlockNumber,
) -> anyhow::Result<(HeaderId, Vec<FinalityStep>)> {
	let following = async {
		let mut steps: Vec<FinalityStep> = Vec::new();
		let mut height = 0;
		loop {
			let next = chain.finality_after(height).await?;
			let last = next.steps.last().map(|(at, _)| *at);
			steps.extend(next.steps.into_iter().map(|(_, step)| step));
			match last {
				Some(at) if at.number >= from && !next.cut => return Ok((at, steps)),
				Some(at) => height = at.number,
				None => {}
			}
			if !next.cut {
				tokio::time::sleep(limits::POLL).await;
			}
		}
	};
	match tokio::time::timeout(limits::FINALITY_MAX, following).await {
		Ok(found) => found,
		Err(_) => bail!(
			"block {from} was not provably final within {} s: does the chain finalize?",
			limits::FINALITY_MAX.as_secs()
		),
	}
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
