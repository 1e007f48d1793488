//! Asks the members of a cluster, one after another, until one answers.
//!
//! What a worker's server says is signed by nobody: whoever runs it can take a call and say that it was
//! refused. So no refusal is a reason to ask with another nonce, and what somebody may have run is said
//! to be in doubt ([`Ask::in_doubt`]).

use super::silence::{follows, Patience, Silence, Standstill};
use crate::{
	failure::CommandError,
	worker_client::{self, WorkerClient, WorkerError},
};
use anyhow::Context;
use phala_chain_client::clusters::Member;
use phala_protocol::{agents::AgentId, boot::WorkerId, refusals::Refusal, BlockNumber};
use reqwest::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
use tokio::task::JoinSet;

/// The code of a failure after which what the call writes may be done, or may yet be.
pub const MAY_HAVE_RUN: &str = "MayHaveRun";

/// What came of asking members, `T` if one answered.
#[derive(Debug)]
pub enum Asked<T> {
	Answered(T),
	/// It was sealed to other code than runs, says this one.
	OtherCode(WorkerId, anyhow::Error),
}

/// Puts a member before the others, if it is there.
pub fn go_first(members: &mut Vec<Member>, worker: Option<WorkerId>) {
	if let Some(index) = members.iter().position(|member| Some(member.worker) == worker) {
		let member = members.remove(index);
		members.insert(0, member);
	}
}

/// A call of an agent, however often it is sealed: all copies have one nonce, which the agent's state
/// remembers until they expire. What writes takes effect once, whoever runs which of them.
pub struct Ask<Open, Height> {
	pub agent: AgentId,
	/// As people know it: its name, or its id.
	called: String,
	/// Whether it matters that it may be done twice.
	pub writes: bool,
	pub patience: Patience,
	/// Opens an answer, or says why it is none.
	pub open: Open,
	/// The newest final block, if the node tells.
	pub height: Height,
	/// Last block at which any copy is taken, once one was sealed.
	pub expiry: Option<BlockNumber>,
	/// Who is being asked.
	asking: BTreeSet<WorkerId>,
	/// Who was said to be waited for, and how it stood.
	awaited: BTreeMap<WorkerId, Standstill>,
	/// Who was asked, and has not said how it ended for it.
	may_have_run: BTreeSet<WorkerId>,
}

impl<T, Open, Height> Ask<Open, Height>
where
	Open: Fn(&[u8]) -> anyhow::Result<T>,
	Height: AsyncFn() -> Option<BlockNumber>,
{
	pub fn new(
		agent: AgentId,
		called: &str,
		writes: bool,
		patience: Patience,
		open: Open,
		height: Height,
	) -> Self {
		Self {
			agent,
			called: called.to_owned(),
			writes,
			patience,
			open,
			height,
			expiry: None,
			asking: BTreeSet::new(),
			awaited: BTreeMap::new(),
			may_have_run: BTreeSet::new(),
		}
	}

	/// Somebody may have run it.
	pub fn doubt(&mut self, worker: WorkerId) {
		self.may_have_run.insert(worker);
	}

	/// An error that ends the call, with what it leaves open: a program that makes the call again has
	/// to know that it may be done twice.
	pub fn in_doubt(&self, error: anyhow::Error) -> anyhow::Error {
		if !self.writes || self.may_have_run.is_empty() || says_how_it_ended(&error) {
			return error;
		}
		let workers: Vec<_> = self.may_have_run.iter().map(WorkerId::to_string).collect();
		let until = self.expiry.map(|block| format!(", or may until block {block}"));
		let message = format!(
			"{error:#}\nAsked before, without an end that is known: worker {}. It may have run the call{}; what it wrote may be committed later too, while a majority of the cluster's members is away. Read the agent's state before you call again, or it may be done twice",
			workers.join(", "),
			until.unwrap_or_default()
		);
		CommandError::new(MAY_HAVE_RUN, message).into()
	}

	/// Asks members until one answers. The next is asked when one refuses for itself, when one cannot be
	/// reached, breaks off or answers what does not open, and when one neither answers in time nor says
	/// that it is there and follows the chain: what is gone, hung or cut off holds nobody up. Its agents
	/// get another writer then, which is waited for.
	pub async fn members(
		&mut self,
		members: Vec<Member>,
		body: Vec<u8>,
	) -> anyhow::Result<Asked<(Member, T)>> {
		let asked = self.until_one_answers(members, body).await;
		// They have it still.
		self.may_have_run.append(&mut self.asking);
		asked
	}

	async fn until_one_answers(
		&mut self,
		mut waiting: Vec<Member>,
		body: Vec<u8>,
	) -> anyhow::Result<Asked<(Member, T)>> {
		let (agent, patience) = (self.agent, self.patience);
		let called = self.called.clone();
		let mut asked = JoinSet::new();
		let mut silence = Silence::default();
		// Those who may answer once the chain knows that others are silent, and those who broke off: they
		// may be there again.
		let mut again = Vec::new();
		let mut newest: Option<(Member, WorkerClient)> = None;
		let mut clients = BTreeMap::new();
		// By worker: one that is asked again says the same again.
		let mut refusals = BTreeMap::new();
		loop {
			let is_awaited = newest.as_ref().is_some_and(|(newest, _)| !silence.is_of(newest));
			if !is_awaited && !waiting.is_empty() {
				let member = waiting.remove(0);
				let client = WorkerClient::new(&member.endpoint)?;
				newest = Some((member.clone(), client.clone()));
				clients.insert(member.worker, (member.clone(), client.clone()));
				self.asking.insert(member.worker);
				let body = body.clone();
				asked.spawn(async move { (member, client.call(agent, body).await) });
			}
			if asked.is_empty() {
				if again.iter().all(|member| silence.is_of(member)) || silence.is_over() {
					return Err(unanswered(&called, refusals));
				}
				tokio::time::sleep(patience.silence).await;
				ask_again(&mut waiting, &mut again);
				continue;
			}
			let answered = tokio::time::timeout(patience.silence, asked.join_next()).await;
			let Ok(answered) = answered else {
				let awaited = newest.as_ref().filter(|(newest, _)| !silence.is_of(newest));
				if let Some((Member { worker, .. }, client)) = awaited {
					match self.is_there(*worker, client).await {
						Ok(Some(standing)) => {
							say!(
								"  waiting for worker {worker}, which has the call and {standing}"
							);
						}
						Ok(None) => {}
						Err(why) => {
							silence.note(*worker, patience.failover);
							say!("  worker {worker} does not answer, {why}; asking others");
							refusals.insert(*worker, format!("it does not answer, {why}"));
						}
					}
				}
				// Those who were given the call and say nothing may keep their connections for minutes: once
				// nobody takes over for them, nobody will.
				let is_silent = |worker: &WorkerId| silence.workers.contains(worker);
				if self.asking.iter().all(is_silent)
					&& waiting.iter().all(|member| silence.is_of(member))
					&& silence.is_over()
				{
					// Who missed one look may have been there all the time, and at work.
					let mut is_there = false;
					for worker in self.asking.clone() {
						let Some((member, client)) = clients.get(&worker) else { continue };
						if self.is_there(worker, client).await.is_ok() {
							silence.workers.remove(&worker);
							refusals.remove(&worker);
							newest = Some((member.clone(), client.clone()));
							is_there = true;
						}
					}
					if !is_there {
						return Err(unanswered(&called, refusals));
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
			self.asking.remove(&worker);
			if newest.as_ref().is_some_and(|(newest, _)| newest.worker == worker) {
				newest = None;
			}
			let error = match result.and_then(|answer| (self.open)(&answer)) {
				Ok(answer) => return Ok(Asked::Answered((member, answer))),
				Err(error) => error,
			};
			let said = format!("{error:#}");
			let Some(refusal) = worker_client::refusal(&error) else {
				if !worker_client::was_never_asked(&error) {
					self.doubt(worker);
				}
				if silence.note(worker, patience.failover) {
					say!("  worker {worker} gives no answer; asking others: {said}");
				}
				refusals.insert(worker, said);
				again.push(member);
				continue;
			};
			// Whose nonce is new can be told so only after somebody took it.
			if refusal.is(Refusal::Repeated) {
				return Err(taken(&called, worker).into());
			}
			if is_sealed_to_other_code(refusal) {
				let error = error
					.context(format!("the call of agent {called} was refused by worker {worker}"));
				return Ok(Asked::OtherCode(worker, error));
			}
			// Another member would say the same of the same input.
			if is_final(refusal) {
				let hint = if refusal.is(Refusal::Uncaught) {
					format!("; what it threw is in its log (phala logs {called})")
				} else {
					String::new()
				};
				return Err(error).with_context(|| {
					format!("the call of agent {called} was refused by worker {worker}{hint}")
				});
			}
			if !excludes_running(refusal) {
				self.doubt(worker);
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

	/// Whether a worker that is slow to answer says that it can, or why not. At first how it stands, for
	/// who waits.
	async fn is_there(
		&mut self,
		worker: WorkerId,
		client: &WorkerClient,
	) -> Result<Option<String>, String> {
		let patience = self.patience.presence;
		let asking = tokio::time::timeout(patience, client.info());
		// A node that is slow says nothing against the worker.
		let looking = tokio::time::timeout(patience, (self.height)());
		let (said, newest) = tokio::join!(asking, looking);
		match said {
			Ok(Ok(status)) => {
				let newest = newest.ok().flatten();
				let is_new = !self.awaited.contains_key(&worker);
				let stands = self.awaited.entry(worker).or_default();
				let standing = follows(&status, newest, stands, self.patience.standstill)?;
				Ok(is_new.then_some(standing))
			}
			Ok(Err(_)) | Err(_) => Err("nor says who it is".into()),
		}
	}
}

/// Asks those anew who may have become able to answer.
fn ask_again(waiting: &mut Vec<Member>, again: &mut Vec<Member>) {
	for member in again.drain(..) {
		if !waiting.iter().any(|waiting| waiting.worker == member.worker) {
			waiting.push(member);
		}
	}
}

fn unanswered(called: &str, refusals: BTreeMap<WorkerId, String>) -> anyhow::Error {
	let said: String = refusals
		.into_iter()
		.map(|(worker, error)| format!("\n  worker {worker}: {error}"))
		.collect();
	let message = format!(
		"no worker of the cluster answered for agent {called}:{said}\nCall again once `phala cluster status` counts its agents as ready: one that is not there has to be started, and one that is elsewhere than the chain says moved by its operator (`phala cluster endpoint`); on a development network `phala network status` shows which are up, and `phala network start <worker>` brings one back"
	);
	CommandError::new("Unanswered", message).into()
}

/// A worker knows the nonce of this call: this call was taken before, by it or by the writer before it.
fn taken(called: &str, worker: WorkerId) -> CommandError {
	let message = format!(
		"the call of agent {called} was taken already, says worker {worker}: a worker took it whose answer did not come back, and what it wrote may be committed. Read the agent's state before you call again, or it may be done twice; a call that only reads can be sent again"
	);
	CommandError::new(Refusal::Repeated.name(), message)
}

/// Whether an error leaves nothing open.
fn says_how_it_ended(error: &anyhow::Error) -> bool {
	let is_repeated = |refused: &CommandError| refused.code == Refusal::Repeated.name();
	error.downcast_ref::<CommandError>().is_some_and(is_repeated)
		|| worker_client::refusal(error).is_some_and(has_run)
}

/// Whether it was run, and is used up. A limit that a run passed has a status of its own.
fn has_run(error: &WorkerError) -> bool {
	use Refusal::*;
	let has_run = [Uncaught, Trapped, NoAnswer, BadResponse, MayStillCommit, ReadTime];
	has_run.into_iter().any(|ran| error.is(ran))
		|| error.status == StatusCode::UNPROCESSABLE_ENTITY.as_u16()
}

/// Whether asking another worker would be no use, or would run again what has run.
fn is_final(error: &WorkerError) -> bool {
	has_run(error) || (error.status < 500 && !passes(error))
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
	let excluding = [NoCluster, NoSuchAgent, Over, TooManyCalls, TooManyRequests];
	answers_later(error) || excluding.into_iter().any(|excluding| error.is(excluding))
}

#[cfg(test)]
mod tests {
	use super::{super::villains::*, *};
	use crate::limits;
	use phala_protocol::H256;
	use std::time::Duration;

	const AGENT: AgentId = H256([7; 32]);

	fn opened(answer: &[u8]) -> anyhow::Result<Vec<u8>> {
		anyhow::ensure!(answer == ANSWER, "the answer is not the answer to this question");
		Ok(answer.to_vec())
	}

	async fn height() -> Option<BlockNumber> {
		Some(HEIGHT)
	}

	/// A call that writes, as it ends.
	async fn asked_with(
		patience: Patience,
		writes: bool,
		workers: &[&Worker],
	) -> anyhow::Result<Asked<(Member, Vec<u8>)>> {
		let members = workers.iter().map(|worker| worker.member.clone()).collect();
		let mut ask = Ask::new(AGENT, "riddle", writes, patience, opened, height);
		let asking = ask.members(members, vec![0]);
		let asked = tokio::time::timeout(Duration::from_secs(600), asking).await;
		asked.expect("it ends").map_err(|error| ask.in_doubt(error))
	}

	async fn asked(workers: &[&Worker]) -> anyhow::Result<Asked<(Member, Vec<u8>)>> {
		asked_with(PATIENCE, true, workers).await
	}

	/// Who answers.
	async fn answered_with(patience: Patience, workers: &[&Worker]) -> WorkerId {
		match asked_with(patience, true, workers).await.unwrap() {
			Asked::Answered((member, _)) => member.worker,
			Asked::OtherCode(_, error) => panic!("{error:#}"),
		}
	}

	async fn answered(workers: &[&Worker]) -> WorkerId {
		answered_with(PATIENCE, workers).await
	}

	/// The code that programs are told, and what people are.
	async fn refused(workers: &[&Worker]) -> (String, String) {
		told(asked(workers).await.unwrap_err())
	}

	fn told(error: anyhow::Error) -> (String, String) {
		let told = crate::failure::body(&error);
		(told.code, told.message)
	}

	fn gone_soon() -> Patience {
		Patience { failover: Duration::from_millis(200), ..PATIENCE }
	}

	#[tokio::test]
	async fn what_was_sealed_to_other_code_is_to_be_sealed_anew_whoever_may_have_run_it() {
		for refusal in ["CodeNotAccepted", "OtherCode"] {
			let other = worker(1, Villain::Refuses(400, refusal, None)).await;
			let well = worker(2, Villain::Answers).await;
			let sealed_anew = asked(&[&other, &well]).await;
			assert!(matches!(sealed_anew, Ok(Asked::OtherCode(..))), "{sealed_anew:?}");
			assert_eq!(well.calls(), 0, "it would be refused for the same");
			// It hangs, and may go on with the call when it wakes: the nonce is the same.
			let hung = worker(3, Villain::Hangs).await;
			let sealed_anew = asked_with(IMPATIENT, true, &[&hung, &other]).await;
			assert!(matches!(sealed_anew, Ok(Asked::OtherCode(..))), "{sealed_anew:?}");
		}
	}

	#[tokio::test]
	async fn a_call_that_somebody_may_have_run_ends_with_a_code_of_its_own() {
		let mut doubtful = vec![vanisher(1).await, worker(1, Villain::Garbles).await];
		for (status, refusal) in [
			(503, "Interrupted"),
			(409, "Suspended"),
			(503, "NotCommitted"),
			(503, "OfALaterVersion"),
		] {
			doubtful.push(worker(1, Villain::Refuses(status, refusal, None)).await);
		}
		let other = worker(2, Villain::Refuses(409, "NotLeaseHolder", Some(1))).await;
		// Nobody takes over, and one that is slow on purpose has it refused as too old.
		let late = worker(2, Villain::Refuses(400, "Expired", None)).await;
		for first in &doubtful {
			for second in [&other, &late] {
				let ended = asked_with(gone_soon(), true, &[first, second]).await;
				let (code, said) = told(ended.unwrap_err());
				assert_eq!(code, MAY_HAVE_RUN, "{said}");
				for part in ["worker 1", "Read the agent's state before you call again"] {
					assert!(said.contains(part), "{said}");
				}
			}
			// What only reads can be asked again by any program.
			let read = asked_with(gone_soon(), false, &[first, &other]).await;
			assert_eq!(told(read.unwrap_err()).0, "Unanswered");
		}
	}

	#[tokio::test]
	async fn a_call_that_nobody_ran_is_not_in_doubt() {
		let mut has_not = vec![crashed(1)];
		for (status, refusal) in [(503, "NotReady"), (409, "NotLeaseHolder"), (409, "WrongPhase")] {
			has_not.push(worker(1, Villain::Refuses(status, refusal, None)).await);
		}
		let other = worker(2, Villain::Refuses(503, "NotFresh", None)).await;
		for first in &has_not {
			let ended = asked_with(gone_soon(), true, &[first, &other]).await;
			let (code, said) = told(ended.unwrap_err());
			assert_eq!(code, "Unanswered", "{said}");
		}
		// Nor is one that was refused for what it is, or that ended.
		for (status, refusal) in [(403, "CallerNotAllowed"), (500, "Uncaught"), (422, "CpuTime")] {
			let last = worker(2, Villain::Refuses(status, refusal, None)).await;
			assert_eq!(refused(&[&last]).await.0, refusal);
		}
	}

	#[tokio::test]
	async fn one_that_garbles_its_answer_is_passed_over() {
		let garbler = worker(1, Villain::Garbles).await;
		let heir = worker(2, Villain::TakesOver(1, 1)).await;
		assert_eq!(answered(&[&garbler, &heir]).await, 2);
	}

	#[tokio::test]
	async fn a_call_that_a_holder_took_before_it_died_is_not_advised_to_be_made_again() {
		let (died, heir) =
			(vanisher(1).await, worker(2, Villain::Refuses(409, "Repeated", None)).await);
		let (code, said) = refused(&[&died, &heir]).await;
		assert_eq!(code, "Repeated");
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
			assert_eq!(answered(&[&gone, &other, &heir]).await, 2);
			assert_eq!(heir.calls(), 3);
		}
	}

	#[tokio::test]
	async fn a_holder_whose_lease_nobody_takes_is_not_waited_for_without_end() {
		let gone = crashed(1);
		let other = worker(2, Villain::Refuses(409, "NotLeaseHolder", Some(1))).await;
		let ended = asked_with(gone_soon(), true, &[&gone, &other]).await;
		let (code, said) = told(ended.unwrap_err());
		assert_eq!(code, "Unanswered");
		assert!(
			said.contains("worker 1: no worker answers") && said.contains("worker 2: "),
			"{said}"
		);
	}

	#[tokio::test]
	async fn a_cluster_of_which_nobody_is_there_is_not_waited_for() {
		let patience = Patience { failover: Duration::MAX / 4, ..PATIENCE };
		let ended = asked_with(patience, true, &[&crashed(1), &crashed(2)]).await;
		let (_, said) = told(ended.unwrap_err());
		assert!(said.contains("no worker of the cluster answered"), "{said}");
	}

	#[tokio::test]
	async fn a_boot_that_serves_nobody_is_passed_over() {
		let well = worker(2, Villain::Answers).await;
		for refusal in ["WrongPhase", "Suspended", "Over"] {
			let idle = worker(1, Villain::Refuses(409, refusal, None)).await;
			assert_eq!(answered(&[&idle, &well]).await, 2, "{refusal}");
		}
	}

	#[tokio::test]
	async fn a_worker_that_hangs_is_passed_over() {
		let (hung, well) = (worker(1, Villain::Hangs).await, worker(2, Villain::Answers).await);
		assert_eq!(answered_with(IMPATIENT, &[&hung, &well]).await, 2);
	}

	#[tokio::test]
	async fn where_everybody_hangs_a_call_ends_and_says_what_each_did() {
		let (first, second) = (worker(1, Villain::Hangs).await, worker(2, Villain::Hangs).await);
		let patience = Patience { failover: Duration::from_millis(200), ..IMPATIENT };
		for (writes, code) in [(false, "Unanswered"), (true, MAY_HAVE_RUN)] {
			let ended = asked_with(patience, writes, &[&first, &second]).await;
			let (told, said) = told(ended.unwrap_err());
			assert_eq!(told, code, "{said}");
			for part in [
				"worker 1: it does not answer, nor says who it is",
				"worker 2: it does not answer, nor says who it is",
				"phala network start",
			] {
				assert!(said.contains(part), "{said}");
			}
		}
	}

	#[tokio::test]
	async fn a_hung_holder_whose_lease_nobody_takes_is_not_waited_for_without_end() {
		let hung = worker(1, Villain::Hangs).await;
		let other = worker(2, Villain::Refuses(409, "NotLeaseHolder", Some(1))).await;
		let patience = Patience { failover: Duration::from_millis(200), ..IMPATIENT };
		let ended = asked_with(patience, true, &[&hung, &other]).await;
		let (code, said) = told(ended.unwrap_err());
		assert_eq!(code, MAY_HAVE_RUN, "it may go on with it when it wakes");
		assert!(
			said.contains("worker 1: it does not answer") && said.contains("NotLeaseHolder"),
			"{said}"
		);
	}

	#[tokio::test]
	async fn one_that_is_slow_and_says_so_is_waited_for_and_nobody_runs_it_again() {
		let (slow, well) = (worker(1, Villain::IsSlow(3)).await, worker(2, Villain::Answers).await);
		assert_eq!(answered(&[&slow, &well]).await, 1);
		assert_eq!(well.calls(), 0);
	}

	#[tokio::test]
	async fn one_that_misses_a_look_and_is_at_work_is_waited_for() {
		let slow = worker(1, Villain::IsSlowAndDeafOnce(5)).await;
		let patience = Patience { failover: Duration::from_millis(200), ..IMPATIENT };
		assert_eq!(answered_with(patience, &[&slow]).await, 1);
		assert_eq!(slow.calls(), 1);
	}

	#[tokio::test]
	async fn a_holder_that_lost_its_relayer_is_not_waited_for_though_it_answers() {
		let cut_off_since = HEIGHT - limits::HOLDER_BEHIND_BLOCKS_MAX - 1;
		for (height, fresh) in [(cut_off_since, true), (HEIGHT, false)] {
			let cut_off = worker(1, Villain::IsCutOff { height, fresh }).await;
			let heir = worker(2, Villain::TakesOver(2, 1)).await;
			assert_eq!(answered(&[&cut_off, &heir]).await, 2);
			assert_eq!(heir.calls(), 3, "it is asked until the lease has moved");
			assert_eq!(cut_off.calls(), 1);
		}
	}

	#[tokio::test]
	async fn a_holder_that_stands_one_block_behind_is_not_waited_for_for_long() {
		let cut_off = worker(1, Villain::IsCutOff { height: HEIGHT - 1, fresh: true }).await;
		let heir = worker(2, Villain::TakesOver(2, 1)).await;
		let patience = Patience { standstill: Duration::from_millis(100), ..PATIENCE };
		assert_eq!(answered_with(patience, &[&cut_off, &heir]).await, 2);
		assert_eq!((cut_off.calls(), heir.calls()), (1, 3));
	}

	#[tokio::test]
	async fn what_a_handler_threw_is_the_answer_and_its_log_is_named() {
		let throws = worker(1, Villain::Refuses(500, "Uncaught", None)).await;
		let well = worker(2, Villain::Answers).await;
		let (_, said) = refused(&[&throws, &well]).await;
		assert!(said.contains("phala logs riddle"), "{said}");
		assert_eq!(said.matches("Uncaught").count(), 1, "{said}");
		assert_eq!(well.calls(), 0);
	}

	#[tokio::test]
	async fn the_lease_holder_that_another_names_is_next() {
		let first = worker(1, Villain::Refuses(409, "NotLeaseHolder", Some(3))).await;
		let second = worker(2, Villain::Refuses(503, "NotReady", None)).await;
		let holder = worker(3, Villain::Answers).await;
		assert_eq!(answered(&[&first, &second, &holder]).await, 3);
		assert_eq!(second.calls(), 0);
	}

	#[tokio::test]
	async fn those_who_wait_for_a_silent_holder_are_asked_again() {
		let hung = worker(1, Villain::Hangs).await;
		let heir = worker(2, Villain::TakesOver(2, 1)).await;
		assert_eq!(answered_with(IMPATIENT, &[&hung, &heir]).await, 2);
		assert_eq!(heir.calls(), 3, "the lease may have moved");
	}

	#[tokio::test]
	async fn that_nobody_can_answer_is_said_of_each() {
		let first = worker(1, Villain::Refuses(503, "NotReady", None)).await;
		let second = worker(2, Villain::Refuses(503, "NotFresh", None)).await;
		let (_, said) = refused(&[&first, &second]).await;
		for part in ["worker 1: NotReady", "worker 2: NotFresh"] {
			assert!(said.contains(part), "{said}");
		}
	}

	#[test]
	fn the_lease_holder_is_asked_first() {
		let member = |worker| Member { worker, endpoint: format!("http://{worker}") };
		let mut members = vec![member(1), member(2), member(3)];
		go_first(&mut members, Some(3));
		go_first(&mut members, Some(9));
		go_first(&mut members, None);
		assert_eq!(members.iter().map(|member| member.worker).collect::<Vec<_>>(), [3, 1, 2]);
	}
}
