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
		say!("  the agent's code is changing; sealing anew");
		tokio::time::sleep(limits::POLL).await;
	}
}

/// What came of asking members, `T` if one answered.
#[derive(Debug)]
enum Asked<T> {
	Answered(T),
	/// It was sealed to other code than runs, and everybody who was asked said that it did not run it.
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

	let (worker, answer) = match ask(members, agent, body, PATIENCE).await? {
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

/// How long a call waits for workers.
#[derive(Clone, Copy)]
struct Patience {
	/// Until one that says nothing is asked who it is; half of it is for the answer.
	silence: Duration,
	/// From when a member is found gone until another writes its agents.
	failover: Duration,
}

const PATIENCE: Patience =
	Patience { silence: limits::SILENCE_MAX, failover: limits::FAILOVER_MAX };

/// What members that do not answer leave to wait for.
#[derive(Default)]
struct Silence {
	workers: BTreeSet<WorkerId>,
	/// By when somebody else should have taken over what they wrote.
	until: Option<Instant>,
}

impl Silence {
	/// Whether this one was not silent before.
	fn note(&mut self, worker: WorkerId, failover: Duration) -> bool {
		let is_new = self.workers.insert(worker);
		if is_new {
			self.until = Some(Instant::now() + failover);
		}
		is_new
	}

	fn is_of(&self, member: &clusters::Member) -> bool {
		self.workers.contains(&member.worker)
	}

	fn is_over(&self) -> bool {
		self.until.is_none_or(|until| Instant::now() >= until)
	}
}

/// Asks members until one answers. The next is asked when one refuses for itself, when one cannot be
/// reached or breaks off, and when one neither answers in time nor says who it is: what is gone, hung or
/// cut off holds nobody up. Its agents get another writer then, which is waited for. All are given
/// the same sealed input, whose nonce the agent's state remembers: what writes takes effect once, whoever
/// runs it.
async fn ask(
	mut waiting: Vec<clusters::Member>,
	agent: AgentId,
	body: Vec<u8>,
	patience: Patience,
) -> anyhow::Result<Asked<(clusters::Member, Vec<u8>)>> {
	let mut asked = JoinSet::new();
	let mut silence = Silence::default();
	// Those who may answer once the chain knows that others are silent, and those who broke off: they
	// may be there again.
	let mut again = Vec::new();
	// Who may still run it, and who may have, whatever it says when it is asked again.
	let mut asking = BTreeSet::new();
	let mut may_have_run = BTreeSet::new();
	let mut newest: Option<clusters::Member> = None;
	// By worker: one that is asked again says the same again.
	let mut refusals = BTreeMap::new();
	loop {
		let is_awaited = newest.as_ref().is_some_and(|newest| !silence.is_of(newest));
		if !is_awaited && !waiting.is_empty() {
			let member = waiting.remove(0);
			let client = WorkerClient::new(&member.endpoint)?;
			newest = Some(member.clone());
			asking.insert(member.worker);
			let body = body.clone();
			asked.spawn(async move { (member, client.call(agent, body).await) });
		}
		if asked.is_empty() {
			if again.iter().all(|member| silence.is_of(member)) || silence.is_over() {
				return Err(unanswered(agent, refusals));
			}
			tokio::time::sleep(patience.silence).await;
			ask_again(&mut waiting, &mut again);
			continue;
		}
		let answered = tokio::time::timeout(patience.silence, asked.join_next()).await;
		let Ok(answered) = answered else {
			if let Some(member) = newest.as_ref().filter(|newest| !silence.is_of(newest)) {
				let wait = patience.silence / 2;
				if !is_there(member, wait).await && silence.note(member.worker, patience.failover) {
					say!(
						"  worker {} has not answered for {:.1} s, nor says who it is; asking others",
						member.worker,
						(patience.silence + wait).as_secs_f64()
					);
				}
			}
			if waiting.is_empty() {
				ask_again(&mut waiting, &mut again);
			}
			continue;
		};
		let (member, result) = answered
			.context("nobody was asked, and somebody was waited for: report this")?
			.context("a call of a worker broke off")?;
		let worker = member.worker;
		asking.remove(&worker);
		if newest.as_ref().is_some_and(|newest| newest.worker == worker) {
			newest = None;
		}
		let error = match result {
			Ok(answer) => return Ok(Asked::Answered((member, answer))),
			Err(error) => error,
		};
		let said = format!("{error:#}");
		let Some(refusal) = worker_client::refusal(&error) else {
			if !worker_client::was_never_asked(&error) {
				may_have_run.insert(worker);
			}
			if silence.note(worker, patience.failover) {
				say!("  worker {worker} cannot be reached, or broke off; asking others: {said}");
			}
			refusals.insert(worker, said);
			again.push(member);
			continue;
		};
		if !excludes_running(refusal) {
			may_have_run.insert(worker);
		}
		// Whose nonce is new can be told so only after somebody took it.
		if refusal.is(Refusal::Repeated) {
			return Err(taken(agent, worker).into());
		}
		if is_sealed_to_other_code(refusal) {
			let error = error
				.context(format!("the call of agent {agent:?} was refused by worker {worker}"));
			// One that is still asked may know only the code that it was sealed to, and run it.
			return match asking.iter().chain(&may_have_run).next() {
				None => Ok(Asked::OtherCode(error)),
				Some(other) => Err(error.context(format!(
					"the call was not sealed anew: worker {other} was asked before and may have run it; read the agent's state before you call again"
				))),
			};
		}
		// Another member would say the same of the same input.
		if is_final(refusal) {
			let hint = if refusal.is(Refusal::Uncaught) {
				format!("; what it threw is in its log: phala logs {agent:?}")
			} else {
				String::new()
			};
			return Err(error).with_context(|| {
				format!("the call of agent {agent:?} was refused by worker {worker}{hint}")
			});
		}
		if refusal.is(Refusal::NotLeaseHolder) {
			// The only one that can answer says who else can.
			go_first(&mut waiting, refusal.worker);
		}
		if answers_later(refusal) && !silence.workers.is_empty() {
			if !refusals.contains_key(&worker) {
				say!("  worker {worker} does not answer for it yet; waiting for another writer: {said}");
			}
			again.push(member);
		}
		refusals.insert(worker, said);
	}
}

/// Asks those anew who may have become able to answer.
fn ask_again(waiting: &mut Vec<clusters::Member>, again: &mut Vec<clusters::Member>) {
	for member in again.drain(..) {
		if !waiting.iter().any(|waiting| waiting.worker == member.worker) {
			waiting.push(member);
		}
	}
}

fn unanswered(agent: AgentId, refusals: BTreeMap<WorkerId, String>) -> anyhow::Error {
	let said: String = refusals
		.into_iter()
		.map(|(worker, error)| format!("\n  worker {worker}: {error}"))
		.collect();
	let message = format!("no worker of the cluster answered for agent {agent:?}:{said}");
	Refused::new("Unanswered", message).into()
}

/// A worker knows the nonce of this call: this call was taken before, by it or by the writer before it.
fn taken(agent: AgentId, worker: WorkerId) -> Refused {
	let message = format!(
		"the call of agent {agent:?} was taken already, says worker {worker}: a worker took it whose answer did not come back, and what it wrote may be committed. Read the agent's state before you call again, or it may be done twice; a call that only reads can be sent again"
	);
	Refused::new(Refusal::Repeated.name(), message)
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
	let passing = [NoCluster, NoSuchAgent, Over, Suspended];
	answers_later(error) || passing.into_iter().any(|passing| error.is(passing))
}

/// Refusals by who answers once it has the lease, or has caught up.
fn answers_later(error: &WorkerError) -> bool {
	use Refusal::*;
	[NotLeaseHolder, NotReady, NotFresh, WrongPhase].into_iter().any(|later| error.is(later))
}

/// Whether a refusal by this name says that nothing of the call takes effect at that worker. One that is
/// unknown here does not, nor does one that also ends what began.
fn excludes_running(error: &WorkerError) -> bool {
	use Refusal::*;
	let excluding =
		[NoCluster, NoSuchAgent, Over, TooManyCalls, TooManyRequests, CodeNotAccepted, OtherCode];
	answers_later(error) || excluding.into_iter().any(|excluding| error.is(excluding))
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
	const SILENCE: Duration = Duration::from_millis(300);
	const PATIENCE: Patience = Patience { silence: SILENCE, failover: Duration::from_secs(3) };

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
		/// Names the worker that had the lease so many times, then has it itself and answers.
		TakesOver(usize, WorkerId),
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
			let before = calls.fetch_add(1, Ordering::Relaxed);
			let refuse = |status, error: &str, worker| {
				let said = json!({ "error": error, "message": "seal a new one", "worker": worker });
				(StatusCode::from_u16(status).unwrap(), Json(said)).into_response()
			};
			let answer: Response = match villain {
				Villain::Hangs => std::future::pending().await,
				Villain::IsSlow => {
					tokio::time::sleep(SILENCE * 4).await;
					vec![1, 2, 3].into_response()
				}
				Villain::Answers => vec![1, 2, 3].into_response(),
				Villain::Refuses(status, error, worker) => refuse(status, error, worker),
				Villain::TakesOver(blind, holder) if before < blind => {
					refuse(409, "NotLeaseHolder", Some(holder))
				}
				Villain::TakesOver(..) => vec![1, 2, 3].into_response(),
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

	/// A process that ended: nothing listens where it was.
	fn crashed(id: WorkerId) -> Worker {
		let socket = tokio::net::TcpSocket::new_v4().unwrap();
		socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
		let endpoint = format!("http://{}", socket.local_addr().unwrap());
		// Nobody else gets its port meanwhile.
		tokio::spawn(async move {
			let _kept = socket;
			std::future::pending::<()>().await
		});
		Worker { member: clusters::Member { worker: id, endpoint }, calls: Arc::default() }
	}

	/// Takes each call, and is gone before it answers.
	async fn vanisher(id: WorkerId) -> Worker {
		use tokio::io::AsyncReadExt;
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let endpoint = format!("http://{}", listener.local_addr().unwrap());
		let calls = Arc::new(AtomicUsize::new(0));
		let taken = calls.clone();
		tokio::spawn(async move {
			while let Ok((mut caller, _)) = listener.accept().await {
				let _ = caller.read(&mut [0; 4096]).await;
				taken.fetch_add(1, Ordering::Relaxed);
			}
		});
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
	async fn what_somebody_may_have_run_is_not_sealed_anew_and_says_what_to_do() {
		let other = worker(2, Villain::Refuses(400, "CodeNotAccepted", None)).await;
		let vanished = vanisher(1).await;
		let mut may_have_run = vec![vanished];
		for (status, refusal) in [
			(503, "Interrupted"),
			(409, "Suspended"),
			(503, "NotCommitted"),
			(503, "OfALaterVersion"),
		] {
			may_have_run.push(worker(1, Villain::Refuses(status, refusal, None)).await);
		}
		for first in &may_have_run {
			let refused = format!("{:#}", asked(&[first, &other]).await.unwrap_err());
			assert_eq!(first.calls.load(Ordering::Relaxed), 1);
			for said in ["CodeNotAccepted", "worker 1 was asked before", "read the agent's state"] {
				assert!(refused.contains(said), "{refused}");
			}
		}
		// None of these has.
		let mut has_not = vec![crashed(1)];
		for (status, refusal) in [(503, "NotReady"), (409, "NotLeaseHolder"), (409, "WrongPhase")] {
			has_not.push(worker(1, Villain::Refuses(status, refusal, None)).await);
		}
		for first in &has_not {
			let sealed_anew = asked(&[first, &other]).await;
			assert!(matches!(sealed_anew, Ok(Asked::OtherCode(_))), "{sealed_anew:?}");
		}
	}

	#[tokio::test]
	async fn a_call_that_a_holder_took_before_it_died_is_not_advised_to_be_made_again() {
		let (died, heir) =
			(vanisher(1).await, worker(2, Villain::Refuses(409, "Repeated", None)).await);
		let error = asked(&[&died, &heir]).await.unwrap_err();
		let code = error.downcast_ref::<Refused>().map(|refused| &*refused.code);
		assert_eq!(code, Some("Repeated"));
		let said = format!("{error:#}");
		assert!(
			said.contains("taken already") && said.contains("Read the agent's state"),
			"{said}"
		);
		assert!(!said.contains("seal a new one"), "{said}");
	}

	#[tokio::test]
	async fn a_holder_that_is_gone_is_waited_for_until_another_has_its_lease() {
		for gone in [crashed(1), vanisher(1).await] {
			let heir = worker(2, Villain::TakesOver(2, 1)).await;
			let other = worker(3, Villain::Refuses(409, "NotLeaseHolder", Some(1))).await;
			assert_eq!(ask_all(&[&gone, &other, &heir]).await.unwrap().0.worker, 2);
			assert_eq!(heir.calls.load(Ordering::Relaxed), 3);
		}
	}

	#[tokio::test]
	async fn a_holder_whose_lease_nobody_takes_is_not_waited_for_without_end() {
		let gone = crashed(1);
		let other = worker(2, Villain::Refuses(409, "NotLeaseHolder", Some(1))).await;
		let error = ask_all(&[&gone, &other]).await.unwrap_err();
		let code = error.downcast_ref::<Refused>().map(|refused| &*refused.code);
		assert_eq!(code, Some("Unanswered"));
		let said = format!("{error:#}");
		assert!(
			said.contains("worker 1: no worker answers") && said.contains("worker 2: "),
			"{said}"
		);
		assert!(other.calls.load(Ordering::Relaxed) >= 2, "it was asked again meanwhile");
	}

	#[tokio::test]
	async fn a_cluster_of_which_nobody_is_there_is_not_waited_for() {
		let all = [&crashed(1), &crashed(2)];
		let patience = Patience { failover: Duration::MAX / 4, ..PATIENCE };
		let members = all.iter().map(|worker| worker.member.clone()).collect();
		let error = ask(members, AGENT, vec![0], patience).await.unwrap_err();
		assert!(format!("{error:#}").contains("no worker of the cluster answered"), "{error:#}");
	}

	#[tokio::test]
	async fn a_boot_that_serves_nobody_is_passed_over() {
		let well = worker(2, Villain::Answers).await;
		for refusal in ["WrongPhase", "Suspended", "Over"] {
			let idle = worker(1, Villain::Refuses(409, refusal, None)).await;
			assert_eq!(ask_all(&[&idle, &well]).await.unwrap().0.worker, 2, "{refusal}");
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
		assert!(tokio::time::timeout(SILENCE * 12, asking).await.is_err(), "it waits");
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
