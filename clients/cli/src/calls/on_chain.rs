//! Requests through the chain. What opens the answer is kept in a file until then, so that a
//! request outlives this process.

use super::Answered;
use crate::{
	accounts::{Account, Accounts},
	chain::{
		self, agents, clusters,
		requests::{self, Ending, EndingSearch, RequestState, Settlement, Submission, Terms},
		Sender,
	},
	conversation::Conversation,
	limits,
	proof::{
		file::{HexBytes, ReplyEvidence},
		AnswerFile,
	},
	worker_client::WorkerClient,
};
use anyhow::{bail, Context};
use codec::{DecodeAll, Encode};
use phala_keys::input::InputKind;
use phala_pherry::chain::Chain;
use phala_protocol::{
	agents::AgentId,
	requests::{CallInput, ProvenAnswer, RequestId, RequestInput, RequestKind, RequestOutcome},
	Balance, BlockNumber, H256,
};
use serde::{Deserialize, Serialize};

/// The folder of kept requests, in an account's.
const KEPT: &str = "requests";

/// What the caller may choose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
	pub max_fee: Option<Balance>,
	pub deadline: Option<BlockNumber>,
	pub min_block: BlockNumber,
	/// For everybody to read.
	pub public: bool,
}

/// A request that is under way.
pub struct Submitted {
	pub request: RequestId,
	pub block: BlockNumber,
	pub terms: Terms,
}

/// A request's end.
pub struct Ended {
	pub block: BlockNumber,
	pub settlement: Settlement,
	pub answered: Answered,
}

/// What is kept of a request. The secret opens its answer, and the input may be private.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Kept {
	genesis: HexBytes,
	agent: HexBytes,
	caller: HexBytes,
	input: HexBytes,
	/// `None` for a public one.
	reply: Option<ReplyEvidence>,
	/// In which the request is.
	block: BlockNumber,
}

/// Submits a call.
///
/// # Errors
/// What would be refused, with figures; or what was.
pub async fn submit(
	chain: &Chain,
	accounts: &Accounts,
	account: &Account,
	agent: AgentId,
	input: &CallInput,
	choices: Choices,
) -> anyhow::Result<Submitted> {
	let (at, record) = agents::known(chain, agent).await?;
	let key = agents::key(agent, &record)?;
	agents::check_caller(chain, at, agent, &record, account.bytes()).await?;
	let conversation = Conversation::new(chain.genesis_hash(), agent, account.bytes())?;
	let base_fee = requests::base_fee(chain).await?;
	// The chain compares with its newest block, not with the newest final one.
	let now = chain.header(None).await?.0.number;
	let terms = requests::terms(&record, base_fee, now, choices.max_fee, choices.deadline)?;
	let plain = input.encode();
	let bytes = if choices.public {
		RequestInput::Public(plain.clone())
	} else {
		let code = record.code.component;
		let sealed =
			conversation.seal(key, InputKind::Request, code, terms.deadline, plain.clone())?;
		RequestInput::Sealed(sealed)
	};
	let submission = Submission {
		agent,
		kind: RequestKind::Call,
		input: bytes,
		max_fee: terms.max_fee,
		deadline: terms.deadline,
		min_block: choices.min_block,
	};
	let sender = Sender::new(chain, account.keypair.clone());
	let (request, block) = requests::submit(&sender, &submission).await?;
	let reply = (!choices.public).then(|| ReplyEvidence {
		nonce: HexBytes(conversation.nonce.into()),
		secret: HexBytes(conversation.reply_secret().to_vec()),
	});
	let kept = Kept {
		genesis: HexBytes(conversation.genesis.0.into()),
		agent: HexBytes(agent.0.into()),
		caller: HexBytes(account.bytes().into()),
		input: HexBytes(plain),
		reply,
		block,
	};
	let name = format!("{request:?}.json");
	accounts.keep(&account.name, KEPT, &name, &serde_json::to_vec_pretty(&kept)?).with_context(
		|| {
			format!(
				"request {request:?} was submitted, but what opens its answer could not be kept"
			)
		},
	)?;
	Ok(Submitted { request, block, terms })
}

/// Gives an agent's owner's secrets to the agent; the request.
///
/// # Errors
/// What would be refused, with figures; or what was.
pub async fn submit_secrets(
	chain: &Chain,
	account: &Account,
	agent: AgentId,
	secrets: &[(Vec<u8>, Vec<u8>)],
	choices: Choices,
) -> anyhow::Result<Submitted> {
	let (_, record) = agents::known(chain, agent).await?;
	let key = agents::key(agent, &record)?;
	if record.owner != account.bytes() {
		bail!(
			"{} does not own agent {agent:?}: its owner {} alone gives it secrets",
			account.address(),
			crate::address::Address(record.owner)
		);
	}
	let conversation = Conversation::new(chain.genesis_hash(), agent, account.bytes())?;
	let base_fee = requests::base_fee(chain).await?;
	let now = chain.header(None).await?.0.number;
	let terms = requests::terms(&record, base_fee, now, choices.max_fee, choices.deadline)?;
	let code = record.code.component;
	let body = secrets.encode();
	let sealed = conversation.seal(key, InputKind::OwnerSecrets, code, terms.deadline, body)?;
	let submission = Submission {
		agent,
		kind: RequestKind::Secrets,
		input: RequestInput::Sealed(sealed),
		max_fee: terms.max_fee,
		deadline: terms.deadline,
		min_block: choices.min_block,
	};
	let sender = Sender::new(chain, account.keypair.clone());
	let (request, block) = requests::submit(&sender, &submission).await?;
	Ok(Submitted { request, block, terms })
}

/// Waits until a request has come to its end, and that end is final.
///
/// # Errors
/// When it expired.
pub async fn settlement(
	chain: &Chain,
	request: RequestId,
	from: BlockNumber,
) -> anyhow::Result<(BlockNumber, Settlement)> {
	let mut search = EndingSearch::new(request, from);
	loop {
		match search.look(chain).await? {
			Some((block, Ending::Settled(settlement))) => return Ok((block, settlement)),
			Some((block, Ending::Expired(expiry))) => bail!(
				"nobody answered request {request:?} in time: it expired in block {block}; {} were refunded, and its worker lost {}. Submit it again: another worker has the lease now",
				crate::amount::pha(expiry.refunded),
				crate::amount::pha(expiry.penalty)
			),
			None => tokio::time::sleep(limits::POLL).await,
		}
	}
}

/// Waits for a request's end, opens the answer and checks it.
///
/// # Errors
/// When it failed or expired, or its answer does not open.
pub async fn answer(
	chain: &Chain,
	accounts: &Accounts,
	request: RequestId,
) -> anyhow::Result<Ended> {
	let kept = kept(chain, accounts, request)?;
	let (block, settlement) = settlement(chain, request, kept.block).await?;
	chain::finalized(chain, block).await?;
	let at = chain.finalized_head().await?;
	let outcome = requests::response(chain, at, request).await?;
	let outcome = outcome.with_context(|| {
		format!("request {request:?} was settled in block {block}, but the chain no longer keeps the answer")
	})?;
	let bytes = match outcome {
		RequestOutcome::Answered(bytes) => bytes,
		RequestOutcome::Failed(refusal) => bail!(
			"agent {:?} failed request {request:?} with {}: {} were paid for the {} units that it used, {} were refunded",
			H256(kept.agent.exactly().unwrap_or_default()),
			refusal,
			crate::amount::pha(settlement.fee),
			settlement.units,
			crate::amount::pha(settlement.refunded),
		),
	};
	let answer = open(&kept, &bytes)?;
	let input =
		CallInput::decode_all(&mut &kept.input.0[..]).context("the kept input is broken")?;
	let file = AnswerFile::new(chain.genesis_hash(), &input, &answer);
	let file = file.of_request(request, kept.reply);
	let client = client_of(chain, &answer).await;
	let answered = super::prove(chain, file, answer, client.as_ref(), block).await?;
	Ok(Ended { block, settlement, answered })
}

fn open(kept: &Kept, bytes: &[u8]) -> anyhow::Result<ProvenAnswer> {
	let unreadable = "the answer on the chain is no answer: is this `phala` as new as the worker?";
	let Some(reply) = &kept.reply else {
		return ProvenAnswer::decode_all(&mut &bytes[..]).context(unreadable);
	};
	let broken = "what was kept of the request is broken";
	let conversation = Conversation::resume(
		H256(kept.genesis.exactly().context(broken)?),
		H256(kept.agent.exactly().context(broken)?),
		kept.caller.exactly().context(broken)?,
		reply.nonce.exactly().context(broken)?,
		reply.secret.exactly().context(broken)?,
	);
	let opened = conversation.open(bytes)?;
	ProvenAnswer::decode_all(&mut opened.expose()).context(unreadable)
}

/// The public server of the worker that answered, if the chain says where it is.
async fn client_of(chain: &Chain, answer: &ProvenAnswer) -> Option<WorkerClient> {
	let content = &answer.proof.content;
	let (_, record) = agents::known(chain, content.agent).await.ok()?;
	let members = clusters::members(chain, record.cluster).await.ok()?;
	let member = members.into_iter().find(|member| member.worker == content.worker)?;
	WorkerClient::new(&member.endpoint).ok()
}

fn kept(chain: &Chain, accounts: &Accounts, request: RequestId) -> anyhow::Result<Kept> {
	let kept = accounts.kept(KEPT, &format!("{request:?}.json"))?.with_context(|| {
		format!("request {request:?} was not made on this machine, or not by this user: only who has its reply key can open the answer")
	})?;
	let kept: Kept =
		serde_json::from_slice(&kept).context("what was kept of the request is broken")?;
	if kept.genesis.0 != chain.genesis_hash().0 {
		bail!("request {request:?} was made on the chain 0x{}, the node is on {:?}: give another --node", hex::encode(&kept.genesis.0), chain.genesis_hash());
	}
	Ok(kept)
}

/// Where a request stands, at the newest finalized block.
///
/// # Errors
/// When the chain knows no such request.
pub async fn state(chain: &Chain, request: RequestId) -> anyhow::Result<requests::StoredRequest> {
	let at = chain.finalized_head().await?;
	requests::stored(chain, at, request).await?.with_context(|| {
		format!("the chain knows no request {request:?} as of finalized block {}: wait a few seconds if it is new; closed ones are forgotten after a while", at.number)
	})
}

/// Whether a request waits for its answer.
pub fn is_open(state: &requests::StoredRequest) -> bool {
	state.state == RequestState::Open
}
