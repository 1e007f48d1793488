//! Requests through the chain. What opens the answer is kept in a file until then, so that a
//! request outlives this process.

use super::{
	kept::{self, Found, Keeper, Kept, BROKEN},
	size::Sent,
	Answered,
};
use crate::{
	accounts::{Account, Accounts},
	conversation::Conversation,
	failure::Refused,
	interrupt, limits,
	names::Names,
	proof::{self, Finality},
	worker_client::WorkerClient,
};
use anyhow::Context;
use codec::{DecodeAll, Encode};
use phala_chain_client::{
	accounts::check_funds,
	agents, clusters,
	requests::{self, Ending, EndingSearch, Settlement, Submission, Terms},
	transactions::SignedTransaction,
	Chain, ChainClientError,
};
use phala_keys::input::InputKind;
use phala_protocol::{
	agents::{AgentId, AgentRecord},
	caller::Caller,
	requests::{
		CallInput, ProvenAnswer, Request, RequestId, RequestInput, RequestKind, RequestOutcome,
		RequestState,
	},
	Balance, BlockNumber, H256,
};
use phala_verifier::{
	file::{HexBytes, ReplyEvidence},
	AnswerFile, Expected,
};
use std::time::Instant;

/// What the caller may choose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
	pub max_fee: Option<Balance>,
	pub deadline: Option<BlockNumber>,
	pub min_block: BlockNumber,
	/// For everybody to read.
	pub public: bool,
	/// Says which command goes on, should this process end too early.
	pub says_how_to_go_on: bool,
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

/// Submits a call.
pub async fn submit(
	chain: &Chain,
	finality: &mut Finality,
	accounts: &Accounts,
	account: &Account,
	agent: AgentId,
	input: &CallInput,
	choices: Choices,
) -> anyhow::Result<Submitted> {
	let (at, proven) = proof::agent(chain, finality, agent).await?;
	let record = proven.record();
	agents::check_caller(chain, at, agent, record, account.bytes()).await?;
	let conversation = Conversation::new(proven.genesis(), agent, account.bytes())?;
	let terms = terms(chain, agent, record, choices).await?;
	check_funds(chain, account.bytes(), "a request", terms.max_fee).await?;
	let plain = input.encode();
	let sent = if choices.public { Sent::Public } else { Sent::OnChain };
	sent.check(input.body.len(), plain.len())?;
	let bytes = if choices.public {
		RequestInput::Public(plain.clone())
	} else {
		let sealed =
			conversation.seal(&proven, InputKind::Request, terms.deadline, plain.clone())?;
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
	let reply = (!choices.public).then(|| ReplyEvidence {
		nonce: HexBytes(conversation.nonce.into()),
		secret: HexBytes(conversation.reply_secret().expose().to_vec()),
	});
	let kept = Kept::new(conversation.genesis, agent, account.bytes(), plain, reply);
	let mut keeper = Keeper::new(accounts, &account.name, kept);
	let sender = interrupt::sender(chain, account.keypair.clone());
	let submitting = requests::submit(&sender, &submission, |signed| {
		keeper.before_submission(signed.at)?;
		if choices.says_how_to_go_on {
			interrupt::advise(format!(
				"`phala request status {:?} --wait` goes on, at no further cost",
				signed.at.transaction
			));
			say!(
				"  should this end too early, go on with: phala request status {:?} --wait",
				signed.at.transaction
			);
		}
		anyhow::Ok(())
	});
	let pending = match submitting.await {
		Ok(pending) => pending,
		Err(error) => {
			if let Some(ChainClientError::Pool { .. }) = error.downcast_ref() {
				keeper.refused()?;
			}
			return Err(error);
		}
	};
	let transaction = pending.at.transaction;
	let included = match pending.included().await {
		Ok(included) => included,
		// It is in a block, and nothing was asked.
		Err(error @ ChainClientError::Dispatch { .. }) => {
			keeper.refused()?;
			return Err(error.into());
		}
		Err(error) => {
			return Err(error).with_context(|| {
				format!("whether the request is on the chain is unknown; `phala request status {transaction:?} --wait` goes on")
			})
		}
	};
	let ((request, base_fee), block) = (requests::submitted(&included)?, included.block.number);
	keeper.submitted(request, block)?;
	Ok(Submitted { request, block, terms: Terms { base_fee, ..terms } })
}

/// As the chain would take them in its next block, which it compares with, not with the newest final one.
async fn terms(
	chain: &Chain,
	agent: AgentId,
	record: &AgentRecord,
	choices: Choices,
) -> Result<Terms, ChainClientError> {
	let (newest, _) = chain.header(None).await?;
	let deadline = requests::deadline(record, newest.number, choices.deadline)?;
	let base_fee = requests::base_fee(chain, newest, agent, deadline).await?;
	requests::terms(record, base_fee, choices.max_fee, deadline)
}

/// Gives an agent's owner's secrets to the agent; the request.
pub async fn submit_secrets(
	chain: &Chain,
	account: &Account,
	agent: AgentId,
	secrets: &[(Vec<u8>, Vec<u8>)],
	choices: Choices,
) -> anyhow::Result<Submitted> {
	let (_, proven) = proof::agent(chain, &mut Finality::default(), agent).await?;
	let record = proven.record();
	if record.owner != account.bytes() {
		refuse!(
			"NotOwner",
			"{} does not own agent {agent:?}: its owner {} alone gives it secrets",
			account.address(),
			phala_protocol::text::Address(record.owner)
		);
	}
	let conversation = Conversation::new(proven.genesis(), agent, account.bytes())?;
	let terms = terms(chain, agent, record, choices).await?;
	check_funds(chain, account.bytes(), "a request with a secret", terms.max_fee).await?;
	let body = secrets.encode();
	let given = secrets.iter().map(|(_, value)| value.len()).sum();
	Sent::Secret.check(given, body.len())?;
	let sealed = conversation.seal(&proven, InputKind::OwnerSecrets, terms.deadline, body)?;
	let submission = Submission {
		agent,
		kind: RequestKind::Secrets,
		input: RequestInput::Sealed(sealed),
		max_fee: terms.max_fee,
		deadline: terms.deadline,
		min_block: choices.min_block,
	};
	let sender = interrupt::sender(chain, account.keypair.clone());
	interrupt::advise("Whether the agent has it is not known: the same command once more does no harm, and is paid once more");
	let nothing_to_keep = |_: &SignedTransaction| Ok::<_, ChainClientError>(());
	let pending = requests::submit(&sender, &submission, nothing_to_keep).await?;
	let included = pending.included().await?;
	let (request, base_fee) = requests::submitted(&included)?;
	let terms = Terms { base_fee, ..terms };
	Ok(Submitted { request, block: included.block.number, terms })
}

/// Waits until a request has come to its end, and that end is final.
pub async fn settlement(
	chain: &Chain,
	request: RequestId,
	from: BlockNumber,
) -> anyhow::Result<(BlockNumber, Settlement)> {
	let mut search = EndingSearch::new(request, from);
	let begun = Instant::now();
	let mut is_told = false;
	loop {
		match search.look(chain).await? {
			Some((block, Ending::Settled(settlement))) => return Ok((block, settlement)),
			Some((block, Ending::Refunded(refund))) => refuse!("RequestRefunded", "request {request:?} was not answered: the worker that it was given to left, started anew or was silent; in block {block} {} were refunded. Before you submit it again see by `phala agent status` who writes the agent now, and who answers",
				phala_protocol::text::pha(refund.refunded)),
			Some((block, Ending::Expired(expiry))) => refuse!("RequestExpired", "nobody answered request {request:?} in time: it expired in block {block}; {} were refunded, and its worker lost {}. Before you submit it again see by `phala agent status` who writes the agent now, and who answers",
				phala_protocol::text::pha(expiry.refunded),
				phala_protocol::text::pha(expiry.penalty)),
			None => {
				if !is_told && begun.elapsed() >= limits::ANSWER_USUAL {
					is_told = true;
					say_who_is_awaited(chain, request).await;
				}
				tokio::time::sleep(limits::POLL).await;
			}
		}
	}
}

/// Of a request that takes longer than most: who has it, until when, and whether that worker is there.
async fn say_who_is_awaited(chain: &Chain, request: RequestId) {
	let Ok(Request { state: RequestState::Open, agent, worker, deadline, .. }) =
		state(chain, request).await
	else {
		return;
	};
	let is_there = async {
		let (_, record) = agents::known(chain, agent).await.ok()?;
		let members = clusters::members(chain, record.cluster).await.ok()?;
		let member = members.into_iter().find(|member| member.worker == worker)?;
		let client = WorkerClient::new(&member.endpoint).ok()?;
		tokio::time::timeout(limits::PRESENCE_MAX, client.info()).await.ok()?.ok()
	};
	let there = match is_there.await {
		Some(_) => "is there",
		None => "does not answer now; if it does not by then, you are refunded",
	};
	say!("  it waits for worker {worker}, which has until block {deadline} and {there}");
}

/// Waits for a request's end, opens the answer and checks it. The request is named by its id, or by
/// the hash of its transaction.
pub async fn answer(
	chain: &Chain,
	finality: &mut Finality,
	accounts: &Accounts,
	name: H256,
) -> anyhow::Result<(RequestId, Ended)> {
	let (request, from, kept) = loop {
		match kept::find(chain, accounts, name).await? {
			Found::Request { id, block, kept } => break (id, block, kept),
			Found::OnItsWay { .. } => tokio::time::sleep(limits::POLL).await,
		}
	};
	let (block, settlement) = settlement(chain, request, from).await?;
	chain.wait_until_final(block).await?;
	let at = chain.finalized_head().await?;
	let outcome = requests::response(chain, at, request).await?;
	let outcome = outcome.with_context(|| {
		format!("request {request:?} was settled in block {block}, but the chain no longer keeps the answer")
	})?;
	let agent = H256(kept.agent.exactly().context(BROKEN)?);
	let caller = Caller::Account(kept.caller.exactly().context(BROKEN)?);
	let bytes = match outcome {
		RequestOutcome::Answered(bytes) => bytes,
		RequestOutcome::Failed(refusal) => refuse!(refusal.to_string(), "agent {} failed request {request:?} with {}: {} were paid for the {} units that it used, {} were refunded; its log says more, to its owner: phala logs {}",
			Names::called(chain.genesis_hash(), agent),
			refusal,
			phala_protocol::text::pha(settlement.fee),
			settlement.units,
			phala_protocol::text::pha(settlement.refunded),
			Names::called(chain.genesis_hash(), agent)),
	};
	let answer = open(&kept, &bytes)?;
	let input =
		CallInput::decode_all(&mut &kept.input.0[..]).context("the kept input is broken")?;
	let file = AnswerFile::new(chain.genesis_hash(), &input, &answer);
	let file = file.of_request(request, kept.reply);
	let client = client_of(chain, &answer).await;
	let expected = Expected { agent: Some(agent), caller: Some(caller), ..Expected::default() };
	let proving = super::prove(chain, finality, file, answer, client.as_ref(), block, &expected);
	let answered = proving.await?;
	Ok((request, Ended { block, settlement, answered }))
}

fn open(kept: &Kept, bytes: &[u8]) -> anyhow::Result<ProvenAnswer> {
	let unreadable = "the answer on the chain is no answer: is this `phala` as new as the worker?";
	let Some(reply) = &kept.reply else {
		return ProvenAnswer::decode_all(&mut &bytes[..]).context(unreadable);
	};
	let conversation = Conversation::resume(
		H256(kept.genesis.exactly().context(BROKEN)?),
		H256(kept.agent.exactly().context(BROKEN)?),
		kept.caller.exactly().context(BROKEN)?,
		reply.nonce.exactly().context(BROKEN)?,
		reply.secret.exactly().context(BROKEN)?,
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

/// Where a request stands, at the newest finalized block.
pub async fn state(chain: &Chain, request: RequestId) -> anyhow::Result<Request> {
	let at = chain.finalized_head().await?;
	if let Some(state) = requests::stored(chain, at, request).await? {
		return Ok(state);
	}
	// One that was submitted a moment ago is not final yet.
	let newest = chain.header(None).await?.0;
	match requests::stored(chain, newest, request).await? {
		Some(state) => Ok(state),
		None => Err(unknown(request, newest.number)),
	}
}

pub(super) fn unknown(request: RequestId, block: BlockNumber) -> anyhow::Error {
	let message = format!("the chain knows no request {request:?} as of block {block}: closed ones are forgotten after a while; `phala request list` shows those that were made on this machine");
	Refused::new("NoSuchRequest", message).into()
}

/// Whether a request waits for its answer.
pub fn is_open(state: &Request) -> bool {
	state.state == RequestState::Open
}
