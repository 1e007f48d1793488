//! Requests through the chain: submitting them, and opening and proving their answers. What opens the answer is kept in a file until then, so that a
//! request outlives this process.

use super::{
	ending::{self, CodeNow, Failed, SecretRefused, Settled},
	kept::{self, Found, Keeper, Kept, BROKEN},
	readiness::await_its_commit,
	size::Sent,
	Answered,
};
use crate::{
	accounts::{Account, Accounts},
	conversation::Conversation,
	failure::CommandError,
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
	requests::{self, Submission, Terms},
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
	text::Address,
	Balance, BlockNumber, H256,
};
use phala_verifier::{
	file::{HexBytes, ReplyEvidence},
	AnswerFile, Expected,
};
use std::{cell::Cell, future::Future, time::Duration};

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
	pub settled: Settled,
	/// Paid besides; none of a request that an older `phala` kept.
	pub base_fee: Option<Balance>,
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
	let (at, mut proven) = proof::agent(chain, finality, agent).await?;
	let record = proven.record();
	agents::check_caller(chain, at, agent, record, account.bytes()).await?;
	if await_its_commit(chain, at, agent, record, choices.deadline).await? {
		// The agent's code and price may be others by now.
		(_, proven) = proof::agent(chain, finality, agent).await?;
	}
	let record = proven.record();
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
	let attempts = Cell::new(0);
	let submitting = requests::submit(&sender, &submission, |signed| {
		keeper.before_submission(signed.at)?;
		if choices.says_how_to_go_on {
			let transaction = signed.at.transaction;
			interrupt::advise(format!(
				"`phala request status {transaction:?} --wait` goes on, at no further cost"
			));
			say!("{}", how_to_go_on(transaction, attempts.replace(attempts.get() + 1)));
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
	let pending_at = pending.at;
	let transaction = pending_at.transaction;
	let included = match pending.included().await {
		Ok(included) => included,
		Err(error @ ChainClientError::Dispatch { .. }) => {
			let is_over = pending_at.stays_refused(chain);
			return Err(match forget_if_over(keeper, is_over, limits::REFUSAL_FINAL_MAX).await? {
				true => error.into(),
				false => anyhow::Error::from(error).context(not_over(transaction)),
			});
		}
		Err(error) => {
			return Err(error).with_context(|| {
				format!("whether the request is on the chain is unknown; `phala request status {transaction:?} --wait` goes on")
			});
		}
	};
	let ((request, base_fee), block) = (requests::submitted(&included)?, included.block.number);
	keeper.submitted(request, block, base_fee)?;
	Ok(Submitted { request, block, terms: Terms { base_fee, ..terms } })
}

/// Forgets a request that a block refused, if no other block can take it any more. Whether none can: where that does
/// not show in time, what opens an answer that may come is kept.
async fn forget_if_over(
	keeper: Keeper<'_>,
	is_over: impl Future<Output = Result<bool, ChainClientError>>,
	wait_max: Duration,
) -> anyhow::Result<bool> {
	let is_over = matches!(tokio::time::timeout(wait_max, is_over).await, Ok(Ok(true)));
	if is_over {
		keeper.refused()?;
	}
	Ok(is_over)
}

fn not_over(transaction: H256) -> String {
	format!("a block refused the request, and whether that holds is not known yet: another may take it. `phala request status {transaction:?} --wait` says so")
}

/// Of a transaction that is about to be submitted, after so many that were not taken.
fn how_to_go_on(transaction: H256, attempts: u32) -> String {
	let but = match attempts {
		0 => "should this end too early, go on with",
		_ => {
			"another of this account's took its number, and that one was not taken; now go on with"
		}
	};
	format!("  {but}: phala request status {transaction:?} --wait")
}

/// As the chain would take them in its next block, which it compares with, not with the newest final one.
async fn terms(
	chain: &Chain,
	agent: AgentId,
	record: &AgentRecord,
	choices: Choices,
) -> Result<Terms, ChainClientError> {
	let (newest, _) = chain.header(None).await?;
	let ahead = requests::open_of_agent(chain, newest, agent).await?;
	let deadline = requests::deadline(record, newest.number, choices.deadline, ahead)?;
	if ahead > 0 {
		say!("  {ahead} paid requests of this agent are open, and are run before: it counts until block {deadline}");
	}
	let base_fee = requests::base_fee(chain, newest, agent, deadline).await?;
	requests::terms(record, base_fee, choices.max_fee, deadline)
}

/// Before anything is paid, or asked of workers.
pub fn check_owner(agent: AgentId, record: &AgentRecord, account: &Account) -> anyhow::Result<()> {
	if record.owner != account.bytes() {
		refuse!(
			"NotOwner",
			"{} does not own agent {agent:?}: its owner {} alone gives it secrets",
			account.address(),
			Address(record.owner)
		);
	}
	Ok(())
}

/// Gives an agent's owner's secrets to the agent; the request.
pub async fn submit_secrets(
	chain: &Chain,
	account: &Account,
	accounts: &Accounts,
	agent: AgentId,
	secrets: &[(Vec<u8>, Vec<u8>)],
	choices: Choices,
) -> anyhow::Result<Submitted> {
	let (at, mut proven) = proof::agent(chain, &mut Finality::default(), agent).await?;
	let record = proven.record();
	check_owner(agent, record, account)?;
	if await_its_commit(chain, at, agent, record, choices.deadline).await? {
		(_, proven) = proof::agent(chain, &mut Finality::default(), agent).await?;
	}
	let record = proven.record();
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
	// Nothing of what is given: only where to find what became of it, a comfort without which it is given too.
	let kept = Kept::of_secrets(conversation.genesis, agent, account.bytes());
	let mut keeper = Keeper::new(accounts, &account.name, kept);
	let mut is_kept = false;
	let pending = requests::submit(&sender, &submission, |signed| {
		is_kept = keeper.before_submission(signed.at).is_ok();
		interrupt::advise(advice(is_kept.then_some(signed.at.transaction)));
		anyhow::Ok(())
	});
	let pending = match pending.await {
		Ok(pending) => pending,
		Err(error) => {
			if let Some(ChainClientError::Pool { .. }) = error.downcast_ref() {
				let _ = keeper.refused();
			}
			return Err(error);
		}
	};
	let pending_at = pending.at;
	let included = match pending.included().await {
		Ok(included) => included,
		Err(error @ ChainClientError::Dispatch { .. }) => {
			let is_over = pending_at.stays_refused(chain);
			// Where nothing could be kept there is nothing to forget.
			let _ = forget_if_over(keeper, is_over, limits::REFUSAL_FINAL_MAX).await;
			return Err(error.into());
		}
		Err(error) => {
			let kept = is_kept.then_some(pending_at.transaction);
			return Err(anyhow::Error::from(error).context(advice(kept)));
		}
	};
	let ((request, base_fee), block) = (requests::submitted(&included)?, included.block.number);
	let _ = keeper.submitted(request, block, base_fee);
	let terms = Terms { base_fee, ..terms };
	Ok(Submitted { request, block, terms })
}

/// What is left to do of a secret, by whose transaction that is found if it was kept.
fn advice(kept: Option<H256>) -> String {
	let says_so = kept.map_or_else(String::new, |transaction| {
		format!(" yet: `phala request status {transaction:?} --wait` says so")
	});
	format!("Whether the agent has it is not known{says_so}. The same command once more does no harm, and is paid once more")
}

/// The request of this name once it is in a block: its id, that block, and what is kept of it.
async fn in_a_block(
	chain: &Chain,
	accounts: &Accounts,
	name: H256,
) -> anyhow::Result<(RequestId, BlockNumber, Kept)> {
	loop {
		match kept::find(chain, accounts, name).await? {
			Found::Request { id, block, kept } => return Ok((id, block, kept)),
			Found::OnItsWay { .. } => tokio::time::sleep(limits::POLL).await,
		}
	}
}

/// The end of a request that gave an agent a secret.
pub struct SecretEnded {
	pub request: RequestId,
	pub block: BlockNumber,
	pub settled: Settled,
	pub base_fee: Option<Balance>,
}

/// Waits for the end of a request that gave an agent a secret, which has no answer to open; nothing of a call.
pub async fn secret(
	chain: &Chain,
	accounts: &Accounts,
	name: H256,
) -> anyhow::Result<Option<SecretEnded>> {
	let (request, from, kept) = in_a_block(chain, accounts, name).await?;
	if !kept.is_of_secrets() {
		return Ok(None);
	}
	let base_fee = kept.base_fee();
	let (block, settled) = ending::settlement(chain, request, from, base_fee).await?;
	chain.wait_until_final(block).await?;
	if settled.failed {
		let refusal = ending::refusal(chain, request).await?;
		let agent = H256(kept.agent.exactly().context(BROKEN)?);
		let (called, paid) = (
			&format!("the secret of request {request:?}"),
			&ending::paid_text(settled.fee, base_fee),
		);
		let refused = SecretRefused { called, refusal, block, paid };
		return Err(refused.error(async || CodeNow::of(chain, agent).await).await.into());
	}
	Ok(Some(SecretEnded { request, block, settled, base_fee }))
}

/// Waits for a request's end, opens the answer and checks it. The request is named by its id, or by
/// the hash of its transaction.
pub async fn answer(
	chain: &Chain,
	finality: &mut Finality,
	accounts: &Accounts,
	name: H256,
) -> anyhow::Result<(RequestId, Ended)> {
	let (request, from, kept) = in_a_block(chain, accounts, name).await?;
	let base_fee = kept.base_fee();
	let (block, settled) = ending::settlement(chain, request, from, base_fee).await?;
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
		RequestOutcome::Failed(refusal) => {
			let called = &Names::called(chain.genesis_hash(), agent);
			let code = match ending::is_of_other_code(refusal) {
				true => CodeNow::of(chain, agent).await,
				false => None,
			};
			let failed = Failed { called, request, refusal, settled: &settled, base_fee, code };
			return Err(CommandError::new(refusal.to_string(), failed.to_string()).into());
		}
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
	Ok((request, Ended { block, settled, base_fee, answered }))
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
	CommandError::new("NoSuchRequest", message).into()
}

/// Whether a request waits for its answer.
pub fn is_open(state: &Request) -> bool {
	state.state == RequestState::Open
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_chain_client::{transactions::SignedAt, HeaderId};

	#[tokio::test]
	async fn what_opens_an_answer_is_forgotten_only_once_no_answer_can_come() {
		const MAX: Duration = Duration::from_millis(10);
		let home = tempfile::tempdir().unwrap();
		let accounts = Accounts::in_home(home.path());
		let since = HeaderId { number: 7, hash: H256([8; 32]) };
		let at = SignedAt { transaction: H256([10; 32]), since };
		let kept = || Kept::new(H256([3; 32]), H256([4; 32]), [5; 32], b"input".to_vec(), None);
		let keeper = || {
			let mut keeper = Keeper::new(&accounts, "me", kept());
			keeper.before_submission(at).unwrap();
			keeper
		};
		let is_kept = || !kept::list(&accounts, H256([3; 32])).unwrap().is_empty();
		// The block was replaced; the node says nothing; finality stands still.
		assert!(!forget_if_over(keeper(), async { Ok(false) }, MAX).await.unwrap() && is_kept());
		let error = || ChainClientError::NotFinal { block: 7, seconds: 9 };
		assert!(!forget_if_over(keeper(), async { Err(error()) }, MAX).await.unwrap() && is_kept());
		let stalled = std::future::pending();
		assert!(!forget_if_over(keeper(), stalled, MAX).await.unwrap() && is_kept());
		assert!(forget_if_over(keeper(), async { Ok(true) }, MAX).await.unwrap() && !is_kept());
	}

	#[test]
	fn of_a_secret_only_what_is_kept_is_named_as_the_way_to_hear_of_it() {
		assert!(advice(Some(H256([1; 32]))).contains("phala request status 0x0101"));
		let unkept = advice(None);
		assert!(!unkept.contains("request status") && unkept.contains("once more does no harm"));
	}

	#[test]
	fn a_transaction_that_was_not_taken_is_not_named_as_the_way_on() {
		let first = how_to_go_on(H256([1; 32]), 0);
		assert!(first.contains("should this end too early") && first.ends_with("01 --wait"));
		let second = how_to_go_on(H256([2; 32]), 1);
		assert!(second.contains("that one was not taken; now") && second.ends_with("02 --wait"));
	}
}
