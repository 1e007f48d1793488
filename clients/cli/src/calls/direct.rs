//! Direct calls: sealed to the agent, signed by the caller, answered by a worker of its cluster.

use super::{size::Sent, Answered};
use crate::{
	accounts::Account,
	conversation::Conversation,
	failure::Refused,
	limits,
	proof::{self, Finality},
	worker_client::{self, WorkerClient, WorkerError},
};
use anyhow::Context;
use codec::{DecodeAll, Encode};
use phala_chain_client::{agents, clusters, Chain};
use phala_keys::input::InputKind;
use phala_protocol::{
	agents::AgentId,
	boot::WorkerId,
	caller::Caller,
	refusals::Refusal,
	requests::{CallInput, CallerSignature, DirectCall, DirectCallContent, ProvenAnswer},
};
use phala_verifier::{AnswerFile, Expected};
use std::{
	collections::{BTreeMap, BTreeSet},
	time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// A direct call's answer.
pub struct Direct {
	pub answered: Answered,
	/// Who answered.
	pub worker: clusters::Member,
}

/// Asks an agent. The lease holder comes first; who cannot answer is passed over. What was sealed to code
/// that an upgrade has just replaced, or that a worker does not know of yet, is sealed anew.
///
/// # Errors
/// What was refused, by whom and why.
pub async fn call(
	chain: &Chain,
	account: &Account,
	agent: AgentId,
	input: &CallInput,
) -> anyhow::Result<Direct> {
	let mut finality = Finality::default();
	let started = Instant::now();
	loop {
		let error = match call_once(chain, &mut finality, account, agent, input).await? {
			Asked::Answered(direct) => return Ok(*direct),
			Asked::OtherCode(error) => error,
		};
		if started.elapsed() >= limits::CODE_SWITCH_MAX {
			return Err(error);
		}
		eprintln!("  the agent's code is changing; sealing anew");
		tokio::time::sleep(limits::POLL).await;
	}
}

/// What came of asking members, `T` if one answered.
#[derive(Debug)]
enum Asked<T> {
	Answered(T),
	/// It was sealed to other code than runs. Nobody who was asked has run it, or may still do so.
	OtherCode(anyhow::Error),
}

async fn call_once(
	chain: &Chain,
	finality: &mut Finality,
	account: &Account,
	agent: AgentId,
	input: &CallInput,
) -> anyhow::Result<Asked<Box<Direct>>> {
	let (at, proven) = proof::agent(chain, finality, agent).await?;
	let (genesis, record) = (proven.genesis(), proven.record());
	agents::check_caller(chain, at, agent, record, account.bytes()).await?;
	let mut members = clusters::members(chain, record.cluster).await?;
	let lease = clusters::lease(chain, at, agent).await?;
	go_first(&mut members, lease.map(|lease| lease.worker));

	let conversation = Conversation::new(genesis, agent, account.bytes())?;
	let expiry = at.number.saturating_add(limits::DIRECT_INPUT_BLOCKS);
	let plain = input.encode();
	Sent::Direct.check(input.body.len(), plain.len())?;
	let sealed = conversation.seal(&proven, InputKind::Direct, expiry, plain)?;
	let caller = Caller::Account(account.bytes());
	let content = DirectCallContent::new(genesis, agent, caller, &sealed).encode();
	let signature = CallerSignature::Sr25519(account.keypair.sign(&content).0);
	let body = DirectCall { caller, sealed, signature }.encode();

	let (worker, answer) = match ask(members, agent, body, limits::SILENCE_MAX).await? {
		Asked::Answered(answered) => answered,
		Asked::OtherCode(error) => return Ok(Asked::OtherCode(error)),
	};
	let opened = conversation.open(&answer)?;
	let answer = ProvenAnswer::decode_all(&mut opened.expose())
		.context("what the worker sealed is no answer: is this `phala` as new as the worker?")?;
	let file = AnswerFile::new(genesis, input, &answer);
	let client = WorkerClient::new(&worker.endpoint)?;
	let expected = Expected { agent: Some(agent), caller: Some(caller), ..Expected::default() };
	let proving = super::prove(chain, finality, file, answer, Some(&client), at.number, &expected);
	let answered = proving.await?;
	Ok(Asked::Answered(Box::new(Direct { answered, worker })))
}

/// Puts a member before the others, if it is there.
fn go_first(members: &mut Vec<clusters::Member>, worker: Option<WorkerId>) {
	if let Some(index) = members.iter().position(|member| Some(member.worker) == worker) {
		let member = members.remove(index);
		members.insert(0, member);
	}
}

/// Asks members until one answers. The next is asked when one refuses for itself, and when one neither
/// answers within `patience` nor says who it is: what is hung, or cut off, holds nobody up. All are given
/// the same sealed input, whose nonce the agent's state remembers: what writes takes effect once, whoever
/// runs it.
async fn ask(
	mut waiting: Vec<clusters::Member>,
	agent: AgentId,
	body: Vec<u8>,
	patience: Duration,
) -> anyhow::Result<Asked<(clusters::Member, Vec<u8>)>> {
	let mut asked = JoinSet::new();
	// Who does not answer, and those who say that only such a one can.
	let mut silent = BTreeSet::new();
	let mut not_holders = Vec::new();
	let mut newest: Option<clusters::Member> = None;
	// By worker: one that is asked again says the same again.
	let mut refusals = BTreeMap::new();
	loop {
		let is_awaited = newest.as_ref().is_some_and(|newest| !silent.contains(&newest.worker));
		if !is_awaited && !waiting.is_empty() {
			let member = waiting.remove(0);
			let client = WorkerClient::new(&member.endpoint)?;
			newest = Some(member.clone());
			let body = body.clone();
			asked.spawn(async move { (member, client.call(agent, body).await) });
		}
		let answered = tokio::time::timeout(patience, asked.join_next()).await;
		let Ok(answered) = answered else {
			if let Some(member) = newest.as_ref().filter(|newest| !silent.contains(&newest.worker))
			{
				if !is_there(member, patience / 2).await {
					eprintln!(
						"  worker {} has not answered for {:.1} s, nor says who it is; asking others",
						member.worker,
						(patience + patience / 2).as_secs_f64()
					);
					silent.insert(member.worker);
				}
			}
			// Its lease moves within half a minute: the other members have found it silent too.
			if waiting.is_empty() {
				waiting.append(&mut not_holders);
			}
			continue;
		};
		let Some(answered) = answered else {
			let said: String = refusals
				.into_iter()
				.map(|(worker, error)| format!("\n  worker {worker}: {error}"))
				.collect();
			let message = format!("no worker of the cluster answered for agent {agent:?}:{said}");
			return Err(Refused::new("Unanswered", message).into());
		};
		let (member, result) = answered.context("a call of a worker broke off")?;
		if newest.as_ref().is_some_and(|newest| newest.worker == member.worker) {
			newest = None;
		}
		let error = match result {
			Ok(answer) => return Ok(Asked::Answered((member, answer))),
			Err(error) => error,
		};
		match worker_client::refusal(&error) {
			// The only one that can answer says who else can.
			Some(refusal) if refusal.is(Refusal::NotLeaseHolder) => {
				if refusal.worker.is_some_and(|holder| silent.contains(&holder)) {
					refusals.insert(member.worker, format!("{error:#}"));
					not_holders.push(member);
					continue;
				}
				go_first(&mut waiting, refusal.worker);
			}
			// One that is still asked may know only the code that it was sealed to, and run it.
			Some(refusal) if is_sealed_to_other_code(refusal) && asked.is_empty() => {
				let worker = member.worker;
				return Ok(Asked::OtherCode(error.context(format!(
					"the call of agent {agent:?} was refused by worker {worker}"
				))));
			}
			// Another member would say the same of the same input.
			Some(refusal) if is_final(refusal) => {
				let hint = if refusal.is(Refusal::Uncaught) {
					format!("; what it threw is in its log: phala logs {agent:?}")
				} else {
					String::new()
				};
				let worker = member.worker;
				return Err(error).with_context(|| {
					format!("the call of agent {agent:?} was refused by worker {worker}{hint}")
				});
			}
			_ => {}
		}
		refusals.insert(member.worker, format!("{error:#}"));
	}
}

/// Whether a worker that is slow to answer a call says anything at all.
async fn is_there(member: &clusters::Member, patience: Duration) -> bool {
	let asking = crate::commands::status::info(&member.endpoint);
	matches!(tokio::time::timeout(patience, asking).await, Ok(Ok(_)))
}

/// Whether asking another worker would be no use, or would run again what has run.
fn is_final(error: &WorkerError) -> bool {
	use Refusal::*;
	let has_run = [Uncaught, Trapped, NoAnswer, BadResponse, MayStillCommit, ReadTime];
	has_run.into_iter().any(|ran| error.is(ran)) || (error.status < 500 && !passes(error))
}

/// The worker sees another code on the chain than the caller did.
fn is_sealed_to_other_code(error: &WorkerError) -> bool {
	[Refusal::CodeNotAccepted, Refusal::OtherCode].into_iter().any(|other| error.is(other))
}

/// Refusals that are about the worker and not about the call.
fn passes(error: &WorkerError) -> bool {
	use Refusal::*;
	[NoCluster, NoSuchAgent, NotReady, NotFresh, Over].into_iter().any(|passing| error.is(passing))
}

#[cfg(test)]
mod tests {
	use super::*;
	use axum::{
		body::Body,
		extract::State,
		http::StatusCode,
		response::{IntoResponse, Response},
		routing::{get, post},
		Json, Router,
	};
	use phala_protocol::H256;
	use serde_json::json;
	use std::sync::{
		atomic::{AtomicUsize, Ordering},
		Arc,
	};

	const AGENT: AgentId = H256([7; 32]);
	const PATIENCE: Duration = Duration::from_millis(300);

	/// What a worker does when it is called.
	#[derive(Clone, Copy)]
	enum Villain {
		/// Takes connections and says nothing, as a process that was stopped.
		Hangs,
		/// Says who it is and answers late.
		IsSlow,
		Answers,
		/// `(status, name, worker that it names)`.
		Refuses(u16, &'static str, Option<WorkerId>),
	}

	struct Worker {
		member: clusters::Member,
		calls: Arc<AtomicUsize>,
	}

	async fn worker(id: WorkerId, villain: Villain) -> Worker {
		let calls = Arc::new(AtomicUsize::new(0));
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let endpoint = format!("http://{}", listener.local_addr().unwrap());
		let info = move || async move {
			if let Villain::Hangs = villain {
				std::future::pending::<()>().await;
			}
			Json(json!({ "worker": id, "phase": "serving" }))
		};
		let call = move |State(calls): State<Arc<AtomicUsize>>, body: Body| async move {
			drop(body);
			calls.fetch_add(1, Ordering::Relaxed);
			let answer: Response = match villain {
				Villain::Hangs => std::future::pending().await,
				Villain::IsSlow => {
					tokio::time::sleep(PATIENCE * 4).await;
					vec![1, 2, 3].into_response()
				}
				Villain::Answers => vec![1, 2, 3].into_response(),
				Villain::Refuses(status, error, worker) => {
					let said = json!({ "error": error, "message": "no", "worker": worker });
					(StatusCode::from_u16(status).unwrap(), Json(said)).into_response()
				}
			};
			answer
		};
		let router = Router::new()
			.route("/v1/info", get(info))
			.route("/v1/agents/{id}/call", post(call))
			.with_state(calls.clone());
		tokio::spawn(async move { axum::serve(listener, router).await });
		Worker { member: clusters::Member { worker: id, endpoint }, calls }
	}

	async fn ask_all(workers: &[&Worker]) -> anyhow::Result<(clusters::Member, Vec<u8>)> {
		match asked(workers).await? {
			Asked::Answered(answered) => Ok(answered),
			Asked::OtherCode(error) => Err(error),
		}
	}

	async fn asked(workers: &[&Worker]) -> anyhow::Result<Asked<(clusters::Member, Vec<u8>)>> {
		let members = workers.iter().map(|worker| worker.member.clone()).collect();
		let asking = ask(members, AGENT, vec![0], PATIENCE);
		tokio::time::timeout(Duration::from_secs(60), asking).await.expect("it ends")
	}

	#[tokio::test]
	async fn what_was_sealed_to_other_code_is_sealed_anew_unless_somebody_may_still_run_it() {
		for refusal in ["CodeNotAccepted", "OtherCode"] {
			let other = worker(1, Villain::Refuses(400, refusal, None)).await;
			let well = worker(2, Villain::Answers).await;
			let sealed_anew = asked(&[&other, &well]).await;
			assert!(matches!(sealed_anew, Ok(Asked::OtherCode(_))), "{sealed_anew:?}");
			assert_eq!(well.calls.load(Ordering::Relaxed), 0, "it would be run twice");
			// It hangs, and may go on with the call when it wakes.
			let hung = worker(3, Villain::Hangs).await;
			let refused = asked(&[&hung, &other]).await.unwrap_err();
			assert!(format!("{refused:#}").contains(refusal), "{refused:#}");
		}
	}

	#[tokio::test]
	async fn a_worker_that_hangs_is_passed_over() {
		let (hung, well) = (worker(1, Villain::Hangs).await, worker(2, Villain::Answers).await);
		let (by, answer) = ask_all(&[&hung, &well]).await.unwrap();
		assert_eq!((by.worker, answer), (2, vec![1, 2, 3]));
	}

	#[tokio::test]
	async fn one_that_is_slow_and_says_so_is_waited_for_and_nobody_runs_it_again() {
		let (slow, well) = (worker(1, Villain::IsSlow).await, worker(2, Villain::Answers).await);
		assert_eq!(ask_all(&[&slow, &well]).await.unwrap().0.worker, 1);
		assert_eq!(well.calls.load(Ordering::Relaxed), 0);
	}

	#[tokio::test]
	async fn what_a_handler_threw_is_the_answer_and_its_log_is_named() {
		let throws = worker(1, Villain::Refuses(500, "Uncaught", None)).await;
		let well = worker(2, Villain::Answers).await;
		let error = format!("{:#}", ask_all(&[&throws, &well]).await.unwrap_err());
		assert!(error.contains(&format!("phala logs {AGENT:?}")), "{error}");
		assert_eq!(well.calls.load(Ordering::Relaxed), 0);
	}

	#[tokio::test]
	async fn the_lease_holder_that_another_names_is_next() {
		let first = worker(1, Villain::Refuses(409, "NotLeaseHolder", Some(3))).await;
		let second = worker(2, Villain::Refuses(503, "NotReady", None)).await;
		let holder = worker(3, Villain::Answers).await;
		assert_eq!(ask_all(&[&first, &second, &holder]).await.unwrap().0.worker, 3);
		assert_eq!(second.calls.load(Ordering::Relaxed), 0);
	}

	#[tokio::test]
	async fn those_who_wait_for_a_silent_holder_are_asked_again() {
		let hung = worker(1, Villain::Hangs).await;
		let other = worker(2, Villain::Refuses(409, "NotLeaseHolder", Some(1))).await;
		let members = vec![hung.member.clone(), other.member.clone()];
		let asking = ask(members, AGENT, vec![0], PATIENCE);
		assert!(tokio::time::timeout(PATIENCE * 12, asking).await.is_err(), "it waits");
		assert!(other.calls.load(Ordering::Relaxed) >= 2, "the lease may have moved");
	}

	#[tokio::test]
	async fn that_nobody_can_answer_is_said_of_each() {
		let first = worker(1, Villain::Refuses(503, "NotReady", None)).await;
		let second = worker(2, Villain::Refuses(503, "NotFresh", None)).await;
		let error = format!("{:#}", ask_all(&[&first, &second]).await.unwrap_err());
		for said in ["refused: NotReady", "refused: NotFresh"] {
			assert!(error.contains(said), "{error}");
		}
	}

	#[test]
	fn the_lease_holder_is_asked_first() {
		let member = |worker| clusters::Member { worker, endpoint: format!("http://{worker}") };
		let mut members = vec![member(1), member(2), member(3)];
		go_first(&mut members, Some(3));
		go_first(&mut members, Some(9));
		go_first(&mut members, None);
		assert_eq!(members.iter().map(|member| member.worker).collect::<Vec<_>>(), [3, 1, 2]);
	}
}
