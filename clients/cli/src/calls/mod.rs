//! Calls of agents, sealed: direct ones over a worker's public server, and paid ones through the
//! chain.
//!
//! | module | does |
//! |---|---|
//! | [`ending`] | waits for a request's end, and says what ended it and what it cost |
//! | [`kept`] | what is kept of a request, from before it is submitted |
//! | [`direct`] | seals a call to the code that runs, and checks the answer |
//! | [`members`] | asks a worker, and the next one if that one cannot answer |
//! | [`on_chain`] | submits a request, and opens and proves its answer |
//! | [`readiness`] | asks whether a request would be answered, before it is paid |
//! | [`quorum`] | says when too few members are there to keep a write |
//! | [`silence`] | says when a worker that says nothing is passed over |
//! | [`size`] | whether a question is too long |

pub mod direct;
pub mod ending;
pub mod kept;
pub mod members;
pub mod on_chain;
pub mod quorum;
pub mod readiness;
pub mod silence;
pub mod size;
#[cfg(test)]
pub mod villains;

use crate::{
	proof::{self, Finality},
	worker_client::WorkerClient,
};
use phala_chain_client::Chain;
use phala_protocol::{
	requests::{CallInput, CallOutput, ProvenAnswer},
	BlockNumber,
};
use phala_verifier::{AnswerFile, Expected, Verification};
use serde_json::Value;

/// An answer, what proves it, and what came of checking it.
pub struct Answered {
	pub answer: ProvenAnswer,
	pub file: AnswerFile,
	pub verification: Verification,
}

impl Answered {
	/// What the agent answered, if that is proven: nothing else is shown as its answer.
	pub fn output(&self) -> Option<&CallOutput> {
		self.verification.verified.then_some(&self.answer.output)
	}
}

/// Collects what proves an answer and checks it. `from` is the oldest block that can show it.
/// What does not hold is in the verification, and no error.
pub async fn prove(
	chain: &Chain,
	finality: &mut Finality,
	mut file: AnswerFile,
	answer: ProvenAnswer,
	client: Option<&WorkerClient>,
	from: BlockNumber,
	expected: &Expected,
) -> anyhow::Result<Answered> {
	if let Some(client) = client {
		if let Err(error) = proof::report(&mut file, client).await {
			say!("warning: no evidence of the worker's own: {error:#}");
		}
	}
	proof::chain(&mut file, chain, finality, from).await?;
	let verification = phala_verifier::verify(&file, chain.genesis_hash(), expected);
	Ok(Answered { answer, file, verification })
}

/// A GET of `path`, or a POST with a body of JSON.
pub fn input(path: &str, body: Option<&Value>) -> CallInput {
	let method = if body.is_some() { "POST" } else { "GET" };
	let json = (b"content-type".to_vec(), b"application/json".to_vec());
	CallInput {
		method: method.into(),
		path: path.into(),
		headers: body.map(|_| json).into_iter().collect(),
		body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
	}
}
