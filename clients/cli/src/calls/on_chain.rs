//! Requests through the chain: submitting them, and opening and proving their answers. What opens the answer is kept in a file until then, so that a
//! request outlives this process.

use super::{
	ending::{self, CodeNow, Failed, Settled},
	kept::{self, Found, Keeper, Kept, BROKEN},
	members::go_first,
	quorum::{Shortage, Watch},
	silence::follows,
	size::Sent,
	Answered,
};
use crate::{
	accounts::{Account, Accounts},
	commands::status::{hears_of_no_block, in_time},
	conversation::Conversation,
	deployment,
	failure::CommandError,
	interrupt, limits,
	names::Names,
	proof::{self, Finality},
	terminal,
	worker_client::{Standing, WorkerClient},
};
use anyhow::Context;
use codec::{DecodeAll, Encode};
use phala_chain_client::{
	accounts::check_funds,
	agents, clusters,
	requests::{self, Submission, Terms},
	transactions::SignedTransaction,
	Chain, ChainClientError, HeaderId,
};
use phala_keys::input::InputKind;
use phala_protocol::{
	agents::{AgentId, AgentRecord},
	boot::WorkerId,
	caller::Caller,
	mailbox::ClusterId,
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
use std::{cell::Cell, time::Duration};

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
	keeper.submitted(request, block, base_fee)?;
	Ok(Submitted { request, block, terms: Terms { base_fee, ..terms } })
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
	interrupt::advise("Whether the agent has it is not known: the same command once more does no harm, and is paid once more");
	let nothing_to_keep = |_: &SignedTransaction| Ok::<_, ChainClientError>(());
	let pending = requests::submit(&sender, &submission, nothing_to_keep).await?;
	let included = pending.included().await?;
	let (request, base_fee) = requests::submitted(&included)?;
	let terms = Terms { base_fee, ..terms };
	Ok(Submitted { request, block: included.block.number, terms })
}

/// Why a member does not answer for an agent now; nothing if it does. Where the newest final block is known, one
/// that hears of no block does not: what it runs it cannot commit.
pub(super) async fn lacks(
	member: &clusters::Member,
	agent: AgentId,
	newest: Option<BlockNumber>,
) -> Option<String> {
	lacks_for(member, agent, newest, limits::STANDSTILL_MAX).await
}

async fn lacks_for(
	member: &clusters::Member,
	agent: AgentId,
	newest: Option<BlockNumber>,
	standstill_max: Duration,
) -> Option<String> {
	let asking = async {
		let client = WorkerClient::new(&member.endpoint)?;
		let standing = client.standing(agent).await?;
		let (Standing::Ready, Some(_)) = (&standing, newest) else { return Ok((standing, None)) };
		let said = client.info().await?;
		Ok(match follows(&said, newest, &mut None, standstill_max) {
			Ok(_) => (Standing::Ready, Some(said)),
			Err(why) => (Standing::Lacks(format!("it is ready for the agent, {why}")), None),
		})
	};
	match in_time(asking).await {
		Ok((Standing::Ready, None)) => None,
		Ok((Standing::Ready, Some(said))) => {
			hears_of_no_block(&member.endpoint, &said, newest, standstill_max).await
		}
		Ok((Standing::Lacks(why), _)) => Some(why),
		Err(error) => Some(format!("{error:#}")),
	}
}

/// Waits until somebody writes the agent and enough members are there to keep what it writes, before anything is
/// paid: what is not answered is refunded, but for the base fee. Refuses what nobody would answer. Who says by
/// when it is to be answered may know better. Whether it was waited: what was read before is old then.
async fn await_its_commit(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
	record: &AgentRecord,
	deadline: Option<BlockNumber>,
) -> anyhow::Result<bool> {
	if deadline.is_some() {
		return Ok(false);
	}
	let cluster = record.cluster;
	let waited = check_somebody_answers(chain, at, agent, cluster).await?;
	let mut watch = Watch::new(cluster);
	let kept = kept_by_enough(async || watch.look(chain).await, limits::QUORUM_WAIT_MAX).await;
	Ok(waited || kept)
}

/// Waits until enough members are there to keep a write. Whether it had to.
async fn kept_by_enough(
	mut look: impl AsyncFnMut() -> Option<Shortage>,
	wait_max: Duration,
) -> bool {
	let mut told = None;
	let waiting = async {
		while let Some(shortage) = look().await {
			if told.as_ref() != Some(&shortage) {
				say!("  {shortage}. It is submitted then, because what is not answered is refunded, but for the base fee. --deadline <BLOCK> submits it at once");
				told = Some(shortage);
			}
			tokio::time::sleep(limits::POLL).await;
		}
	};
	if tokio::time::timeout(wait_max, waiting).await.is_err() {
		say!("  it is so still: it is submitted all the same");
	}
	told.is_some()
}

/// Whether another writer was waited for.
async fn check_somebody_answers(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
	cluster: ClusterId,
) -> anyhow::Result<bool> {
	let mut members = clusters::members(chain, cluster).await?;
	let lease = clusters::lease(chain, at, agent).await?;
	let writer = lease.map(|lease| lease.worker);
	go_first(&mut members, writer);
	let mut refusals = Vec::new();
	if let Some(member) = members.first() {
		match lacks(member, agent, Some(at.number)).await {
			None => return Ok(false),
			Some(why) => refusals.push((member.worker, why)),
		}
	}
	let others = members.iter().skip(1).map(|member| lacks(member, agent, Some(at.number)));
	let others = futures::future::join_all(others).await;
	let somebody = others.iter().any(Option::is_none);
	let others = members.iter().skip(1).zip(others);
	refusals.extend(others.filter_map(|(member, why)| Some((member.worker, why?))));
	if let (true, Some((worker, why))) = (somebody, refusals.first()) {
		say!(
			"  worker {worker} would be given the request, and does not answer now ({}). Another writes the agent within half a minute if that stays so: waiting for that, because what is not answered is refunded, but for the base fee. --deadline <BLOCK> submits it at once",
			terminal::line(why)
		);
		let moving = moved_to_one_that_answers(chain, &members, agent);
		if tokio::time::timeout(limits::FAILOVER_WAIT_MAX, moving).await.is_err() {
			say!("  nobody else writes it yet: it is submitted all the same");
		}
		return Ok(true);
	}
	if let Some(lost) = deployment::lost_keys(chain, cluster).await? {
		return Err(lost);
	}
	Err(nobody_answers(agent, chain.genesis_hash(), &refusals).into())
}

/// Returns when the worker that has the lease answers for the agent.
async fn moved_to_one_that_answers(chain: &Chain, members: &[clusters::Member], agent: AgentId) {
	loop {
		// A node that does not answer now may in a moment; in the end it is submitted, or fails by name.
		if let Ok((at, _)) = chain.header(None).await {
			let final_block = chain.finalized().await.ok();
			let lease = clusters::lease(chain, at, agent).await.ok().flatten();
			let writer =
				lease.and_then(|lease| members.iter().find(|member| member.worker == lease.worker));
			if let Some(writer) = writer {
				if lacks(writer, agent, final_block).await.is_none() {
					return;
				}
			}
		}
		tokio::time::sleep(limits::POLL).await;
	}
}

fn nobody_answers(agent: AgentId, genesis: H256, refusals: &[(WorkerId, String)]) -> CommandError {
	let refusals = refusals.iter().map(|(worker, why)| format!("\n  worker {worker}: {why}"));
	let message = format!(
		"nothing was submitted: no worker answers for agent {} now:{}\nTry again once `phala agent status` names one that does; with --deadline <BLOCK> it is submitted all the same, for one that comes back until then",
		Names::called(genesis, agent),
		refusals.collect::<String>()
	);
	CommandError::new("Unanswered", message)
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
	use crate::calls::villains::{crashed, worker, Villain, AGENT, HEIGHT};

	#[tokio::test]
	async fn a_member_that_hangs_or_is_gone_or_is_not_ready_does_not_answer_for_an_agent() {
		let agent = AGENT;
		let hung = worker(1, Villain::Hangs).await;
		let why = lacks(&hung.member, agent, None).await.unwrap();
		assert!(why.contains("does it hang?"), "{why}");
		let why = lacks(&crashed(2).member, agent, None).await.unwrap();
		assert!(why.contains("no worker answers"), "{why}");
		let far_behind = Villain::IsCutOff { height: 1, fresh: true };
		let cut_off = worker(3, far_behind).await.member;
		assert_eq!(lacks(&cut_off, agent, None).await, None, "it has the agent");
		let behind = lacks(&cut_off, agent, Some(HEIGHT)).await.unwrap();
		assert!(behind.contains("stands at block 1, 100 is final"), "{behind}");
		// One whose relayer hangs since a few seconds is looked at until it moves, before anything is paid.
		let standing = Villain::IsCutOff { height: HEIGHT - 6, fresh: true };
		let standing = worker(4, standing).await.member;
		let short = Duration::from_millis(10);
		let stands = lacks_for(&standing, agent, Some(HEIGHT), short).await.unwrap();
		assert!(stands.contains("stands at block 94, 100 is final"), "{stands}");
		let near = lacks_for(&standing, agent, Some(HEIGHT - 5), short).await;
		assert_eq!(near, None, "others are as far");
		let refusals = [(1, why), (2, "its code has not come here yet".into())];
		let refused = nobody_answers(agent, H256([1; 32]), &refusals);
		assert_eq!(refused.code, "Unanswered");
		for part in
			["nothing was submitted", "worker 2: its code", "phala agent status", "--deadline"]
		{
			assert!(refused.message.contains(part), "{}", refused.message);
		}
	}

	#[tokio::test]
	async fn nothing_is_submitted_while_too_few_members_are_there_to_keep_it() {
		let shortage = Shortage::of_one(2, 600);
		let looks = Cell::new(0);
		let waited = kept_by_enough(
			async || {
				looks.set(looks.get() + 1);
				(looks.get() < 3).then(|| shortage.clone())
			},
			Duration::from_secs(600),
		);
		assert!(waited.await);
		assert_eq!(looks.get(), 3);
		assert!(!kept_by_enough(async || None, Duration::from_secs(600)).await);
		// Nor for ever.
		let never = kept_by_enough(async || Some(shortage.clone()), Duration::from_millis(50));
		assert!(never.await);
	}

	#[test]
	fn a_transaction_that_was_not_taken_is_not_named_as_the_way_on() {
		let first = how_to_go_on(H256([1; 32]), 0);
		assert!(first.contains("should this end too early") && first.ends_with("01 --wait"));
		let second = how_to_go_on(H256([2; 32]), 1);
		assert!(second.contains("that one was not taken; now") && second.ends_with("02 --wait"));
	}
}
