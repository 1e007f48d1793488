//! How a paid request ends: it is waited for, who must answer is named, and what ended it is said with what
//! it cost and what to do.

use super::{
	on_chain,
	quorum::{Shortage, Watch},
	readiness::lacks,
	silence::{follows, Standstill},
};
use crate::{failure::CommandError, limits, terminal, worker_client::WorkerClient};
use phala_chain_client::{
	agents, clusters,
	requests::{self, Ending, EndingSearch, Settlement},
	Chain, ChainClientError,
};
use phala_protocol::{
	agents::AgentId,
	boot::WorkerId,
	refusals::{Refusal, RefusalCode},
	requests::{Request, RequestId, RequestOutcome, RequestState},
	text::pha,
	Balance, BlockNumber, H256,
};
use std::{
	fmt,
	time::{Duration, Instant},
};

/// What a request came to that was answered, or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
	pub failed: bool,
	/// Of work.
	pub units: u32,
	/// Paid for them.
	pub fee: Balance,
	pub refunded: Balance,
	/// Who was paid what of it; none where the node has the events of that block no more.
	pub shares: Option<Settlement>,
}

impl From<Settlement> for Settled {
	fn from(settlement: Settlement) -> Self {
		let Settlement { failed, units, fee, refunded, .. } = settlement;
		Self { failed, units, fee, refunded, shares: Some(settlement) }
	}
}

impl Settled {
	/// As the chain keeps it.
	fn kept(request: &Request) -> Option<Self> {
		let RequestState::Settled { fee, failed, .. } = request.state else { return None };
		let units = fee.checked_div(request.unit_price).unwrap_or_default();
		let units = u32::try_from(units).unwrap_or(request.units_max);
		let refunded = request.held.saturating_sub(fee);
		Some(Self { failed, units, fee, refunded, shares: None })
	}
}

/// Waits until a request has come to its end, and that end is final: from its `block` on, after `base_fee` was
/// paid for it.
pub async fn settlement(
	chain: &Chain,
	request: RequestId,
	block: BlockNumber,
	base_fee: Option<Balance>,
) -> anyhow::Result<(BlockNumber, Settled)> {
	let mut search = EndingSearch::new(request, block);
	let mut looked = Instant::now();
	let mut stands = None;
	let mut watch = None;
	let mut told: Option<Awaited> = None;
	loop {
		let found = match search.look(chain).await {
			// Nothing but the events of then, which the node has no more, would say what became of it.
			Err(ChainClientError::StatePruned { .. }) => {
				return Err(on_chain::unknown(request, chain.finalized().await?))
			}
			found => found?,
		};
		match found {
			Some((block, Ending::Settled(settlement))) => return Ok((block, settlement.into())),
			Some((block, Ending::Kept(kept))) => match Settled::kept(&kept) {
				Some(settled) => return Ok((block, settled)),
				None => refuse!("RequestRefunded", "request {request:?} was not answered: what was put up for it came back{}. {}",
					but(base_fee),
					again(chain, request).await),
			},
			Some((block, Ending::Refunded(refund))) => refuse!("RequestRefunded", "request {request:?} was not answered: the worker that it was given to left, started anew or was silent; in block {block} {} were refunded{}. {}",
				pha(refund.refunded),
				but(base_fee),
				again(chain, request).await),
			Some((block, Ending::Expired(expiry))) => refuse!("RequestExpired", "nobody answered request {request:?} in time: it expired in block {block}; {} were refunded{}, and its worker lost {}. {}",
				pha(expiry.refunded),
				but(base_fee),
				pha(expiry.penalty),
				again(chain, request).await),
			None => {
				if looked.elapsed() >= limits::ANSWER_USUAL {
					looked = Instant::now();
					let awaited = Awaited::of(chain, request, &mut stands, &mut watch).await;
					let is_news = |awaited: &Awaited| {
						told.as_ref().is_none_or(|told| !told.says_the_same(awaited))
					};
					if let Some(awaited) = awaited.filter(is_news) {
						say!("  {}", terminal::line(&awaited.to_string()));
						told = Some(awaited);
					}
				}
				tokio::time::sleep(limits::POLL).await;
			}
		}
	}
}

/// What does not come back with the rest.
fn but(base_fee: Option<Balance>) -> String {
	base_fee.map_or_else(String::new, |base| format!(", but for the base fee of {}", pha(base)))
}

/// What was paid for a request in all.
pub fn paid_text(fee: Balance, base_fee: Option<Balance>) -> String {
	match base_fee {
		Some(base) => format!("{} and the base fee of {}", pha(fee), pha(base)),
		None => pha(fee),
	}
}

/// What ended a request that failed, as the chain keeps it; none of one that it has forgotten.
pub async fn refusal(chain: &Chain, request: RequestId) -> anyhow::Result<Option<RefusalCode>> {
	let at = chain.finalized_head().await?;
	Ok(match requests::response(chain, at, request).await? {
		Some(RequestOutcome::Failed(refusal)) => Some(refusal),
		Some(RequestOutcome::Answered(_)) | None => None,
	})
}

/// Whether it was sealed to other code than ran when it was opened.
pub fn is_of_other_code(refusal: RefusalCode) -> bool {
	refusal.refusal() == Some(Refusal::CodeNotAccepted)
}

/// Whether a run that ended so leaves a line in the agent's log: others did not begin, or ended well for the
/// agent.
fn is_logged(refusal: RefusalCode) -> bool {
	use Refusal::*;
	let of_runs = [Uncaught, Trapped, NoAnswer, BadResponse];
	let of_limits = Memory.code().0..AgentStateBytes.code().0;
	refusal.refusal().is_some_and(|refusal| of_runs.contains(&refusal))
		|| of_limits.contains(&refusal.0)
}

/// The code that an agent runs, and from which block on, if the chain has kept that.
#[derive(Clone, Copy, Debug)]
pub struct CodeNow {
	component: H256,
	since: Option<BlockNumber>,
}

impl CodeNow {
	/// A comfort: nothing where the node does not say.
	pub async fn of(chain: &Chain, agent: AgentId) -> Option<Self> {
		let (at, record) = agents::known(chain, agent).await.ok()?;
		let since = agents::runs_since(chain, at, agent, &record).await.ok()?;
		Some(Self { component: record.code.component, since })
	}

	/// That it is other code than before.
	pub fn changed(now: Option<Self>) -> String {
		match now {
			Some(Self { component, since: Some(block) }) => {
				format!("the agent's code changed, and is {component:?} from block {block} on")
			}
			Some(Self { component, since: None }) => {
				format!("the agent's code changed, and is {component:?} now")
			}
			None => "the agent's code changed".into(),
		}
	}
}

/// Of a secret that the agent did not take.
pub struct SecretRefused<'a> {
	/// The secret, as people know it.
	pub called: &'a str,
	pub refusal: Option<RefusalCode>,
	pub block: BlockNumber,
	pub paid: &'a str,
}

impl SecretRefused<'_> {
	pub async fn error(self, code: impl AsyncFnOnce() -> Option<CodeNow>) -> CommandError {
		let Self { called, refusal, block, paid } = self;
		if refusal.is_some_and(is_of_other_code) {
			let changed = CodeNow::changed(code().await);
			let message = format!("the agent has {called} as it was before: {changed}, in block {block}, before it read what was sealed for the code of before. It was paid all the same: {paid}. `phala secrets` once more seals it for the code of now");
			return CommandError::new("CodeNotAccepted", message);
		}
		let why = refusal.map_or_else(String::new, |refusal| format!(" ({refusal})"));
		let message = format!("the agent did not take {called}{why}, in block {block}, and has it as it was before. It was paid all the same: {paid}");
		CommandError::new("SecretRefused", message)
	}
}

/// A request that failed.
pub struct Failed<'a> {
	/// The agent, as people know it.
	pub called: &'a str,
	pub request: RequestId,
	pub refusal: RefusalCode,
	pub settled: &'a Settled,
	pub base_fee: Option<Balance>,
	/// Of one that was sealed to other code.
	pub code: Option<CodeNow>,
}

impl fmt::Display for Failed<'_> {
	fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
		let Self { called, request, refusal, settled, base_fee, code } = self;
		let (paid, refunded) = (paid_text(settled.fee, *base_fee), pha(settled.refunded));
		write!(to, "agent {called} failed request {request:?} with {refusal}: ")?;
		if is_of_other_code(*refusal) {
			return write!(
				to,
				"it did not run, because it was sealed for the code of before: {}. It was paid all the same, with {paid}; {refunded} were refunded. `phala call` once more seals it to the code of now",
				CodeNow::changed(*code)
			);
		}
		let units = settled.units;
		write!(
			to,
			"{paid} were paid, for the {units} units that it used, {refunded} were refunded"
		)?;
		match is_logged(*refusal) {
			true => write!(to, "; its log says more, to its owner: phala logs {called}"),
			false => write!(to, "; its log has nothing of that"),
		}
	}
}

/// Whether there is any use in submitting a request again that was not answered, as things stand.
async fn again(chain: &Chain, request: RequestId) -> String {
	let writer = async {
		let agent = on_chain::state(chain, request).await?.agent;
		let (at, record) = agents::known(chain, agent).await?;
		let lease = clusters::lease(chain, at, agent).await?;
		let members = clusters::members(chain, record.cluster).await?;
		let member = |worker| members.iter().find(|member| member.worker == worker);
		let shortage = Watch::new(record.cluster).look(chain).await;
		let Some(member) = lease.and_then(|lease| member(lease.worker)) else {
			return Ok((None, shortage));
		};
		let lacks = lacks(member, agent, Some(at.number)).await;
		anyhow::Ok((Some((member.worker, lacks)), shortage))
	};
	// A comfort: that the request is over is known.
	let (writer, shortage) = writer.await.unwrap_or_default();
	again_text(writer, shortage)
}

/// Of who writes the agent now, and why that one does not answer, if it does not; and of those that would have
/// to keep what it writes, if they are too few.
fn again_text(writer: Option<(WorkerId, Option<String>)>, shortage: Option<Shortage>) -> String {
	match writer {
		Some((worker, None)) if shortage.is_some() => {
			let shortage = shortage.map_or_else(String::new, |shortage| shortage.to_string());
			format!("Worker {worker} writes the agent now, and answers, but {shortage}: the same command once more, without --deadline, waits for that before it pays")
		}
		Some((worker, None)) => {
			format!("Worker {worker} writes the agent now, and answers: submit it again")
		}
		Some((worker, Some(why))) => format!(
			"Worker {worker} writes the agent now, and does not answer ({why}): submit it again once `phala agent status` names another that writes, or says that it answers"
		),
		None => "Before you submit it again see by `phala agent status` who writes the agent, and who answers".into(),
	}
}

/// Of a request that takes longer than most: who has it, until when, and whether that one answers for the
/// agent.
#[derive(Debug)]
struct Awaited {
	worker: WorkerId,
	deadline: BlockNumber,
	stands: Stands,
	/// Those that have to keep its answer, if they are too few.
	shortage: Option<Shortage>,
}

/// How a worker stands that is waited for.
#[derive(Debug)]
enum Stands {
	/// It answers for the agent, and follows the chain, as it says.
	Well(String),
	/// Why it does not answer for the agent.
	Lacks(String),
	/// It would, and hears of no block: how far it is.
	CutOff(String),
}

impl Awaited {
	/// Nothing of one that is not open any more.
	async fn of(
		chain: &Chain,
		request: RequestId,
		standstill: &mut Standstill,
		watch: &mut Option<Watch>,
	) -> Option<Self> {
		let Request { state: RequestState::Open, agent, worker, deadline, .. } =
			on_chain::state(chain, request).await.ok()?
		else {
			return None;
		};
		let (at, record) = agents::known(chain, agent).await.ok()?;
		let members = clusters::members(chain, record.cluster).await.ok()?;
		let member = members.iter().find(|member| member.worker == worker);
		let stands = match member {
			Some(member) => {
				Stands::of(member, agent, at.number, standstill, limits::STANDSTILL_MAX).await
			}
			None => Stands::Lacks("it is not in the agent's cluster any more".into()),
		};
		let shortage = watch.get_or_insert_with(|| Watch::new(record.cluster)).look(chain).await;
		Some(Self { worker, deadline, stands, shortage })
	}

	/// Blocks go on while a worker stands still: that is no news.
	fn says_the_same(&self, other: &Self) -> bool {
		let stand = match (&self.stands, &other.stands) {
			(Stands::Lacks(one), Stands::Lacks(other)) => one == other,
			(one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
		};
		stand
			&& (self.worker, self.deadline) == (other.worker, other.deadline)
			&& match (&self.shortage, &other.shortage) {
				(Some(one), Some(other)) => one.says_the_same(other),
				(one, other) => one.is_none() && other.is_none(),
			}
	}
}

impl Stands {
	/// As a direct call finds it, of a worker that is looked at again and again.
	async fn of(
		member: &clusters::Member,
		agent: AgentId,
		newest: BlockNumber,
		standstill: &mut Standstill,
		standstill_max: Duration,
	) -> Self {
		if let Some(why) = lacks(member, agent, None).await {
			return Self::Lacks(why);
		}
		let asking = async { WorkerClient::new(&member.endpoint)?.info().await };
		match crate::commands::status::in_time(asking).await {
			Ok(said) => match follows(&said, Some(newest), standstill, standstill_max) {
				Ok(standing) => Self::Well(standing),
				Err(why) => Self::CutOff(why),
			},
			Err(error) => Self::Lacks(format!("{error:#}")),
		}
	}
}

impl fmt::Display for Awaited {
	fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
		const ELSE: &str = "if nobody does, you are refunded, but for the base fee";
		let Self { worker, deadline, stands, shortage } = self;
		write!(to, "worker {worker} must answer until block {deadline}, ")?;
		match stands {
			Stands::Well(standing) => write!(to, "is there, and {standing}")?,
			Stands::Lacks(why) => write!(to, "and does not now ({why}); {ELSE}")?,
			Stands::CutOff(why) => write!(to, "{why}; {ELSE}")?,
		}
		match (stands, shortage) {
			(_, None) => Ok(()),
			(Stands::Well(_), Some(shortage)) => write!(to, "; but {shortage}; {ELSE}"),
			(_, Some(shortage)) => write!(to, ". And {shortage}"),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::calls::villains::{self, worker, Villain, HEIGHT};

	fn awaited(stands: Stands) -> Awaited {
		Awaited { worker: 2, deadline: 869, stands, shortage: None }
	}

	#[test]
	fn a_sound_worker_is_not_all_that_an_answer_needs() {
		let well = || awaited(Stands::Well("follows the chain".into()));
		let alone = Awaited { shortage: Some(Shortage::of_one(1, 860)), ..well() };
		let told = alone.to_string();
		for part in [
			"is there, and follows the chain; but worker 1 does not answer",
			"of 2 members 2 must keep",
			"by block 860 at the latest; if nobody does, you are refunded",
		] {
			assert!(told.contains(part), "{part}: {told}");
		}
		assert!(!well().says_the_same(&alone));
		let ended = again_text(Some((2, None)), Some(Shortage::of_one(1, 860)));
		assert!(!ended.contains("submit it again"), "{ended}");
		for part in ["but worker 1 does not answer", "without --deadline, waits for that"] {
			assert!(ended.contains(part), "{part}: {ended}");
		}
	}

	#[test]
	fn who_must_answer_is_told_with_until_when_and_whether_it_can() {
		let well = awaited(Stands::Well("follows the chain".into())).to_string();
		let expected = "worker 2 must answer until block 869, is there, and follows the chain";
		assert_eq!(well, expected);
		let lost = awaited(Stands::Lacks("its code has not come here yet".into())).to_string();
		for part in ["until block 869", "its code has not come here yet", "you are refunded"] {
			assert!(lost.contains(part), "{lost}");
		}
	}

	#[tokio::test]
	async fn who_must_answer_and_hears_of_no_block_is_not_said_to_be_there() {
		let agent = villains::AGENT;
		const AT_ONCE: Duration = Duration::ZERO;
		let mut standstill = None;
		let mut stands = async |villain, newest| {
			let member = worker(2, villain).await.member;
			Stands::of(&member, agent, newest, &mut standstill, AT_ONCE).await
		};
		let at = |height| Villain::IsCutOff { height, fresh: true };
		assert!(matches!(stands(at(HEIGHT), HEIGHT).await, Stands::Well(_)));
		let cut_off = awaited(stands(at(HEIGHT), HEIGHT + 5).await);
		let told = cut_off.to_string();
		let expected = format!(
			"worker 2 must answer until block 869, and hears of no block: it stands at block {HEIGHT}, {} is final; if nobody does, you are refunded, but for the base fee",
			HEIGHT + 5
		);
		assert_eq!(told, expected);
		let later = awaited(stands(at(HEIGHT), HEIGHT + 6).await);
		assert!(cut_off.says_the_same(&later), "{later}");
		assert!(!cut_off.says_the_same(&awaited(Stands::Well(String::new()))));
		let old = Villain::IsCutOff { height: HEIGHT, fresh: false };
		assert!(matches!(stands(old, HEIGHT).await, Stands::CutOff(_)));
	}

	#[test]
	fn another_worker_is_promised_only_where_there_is_one_that_answers() {
		assert!(again_text(Some((1, None)), None).ends_with("and answers: submit it again"));
		let silent = again_text(Some((2, Some("it hangs".into()))), None);
		assert!(silent.contains("does not answer (it hangs)"), "{silent}");
		assert!(silent.contains("once `phala agent status`"), "{silent}");
		assert!(!again_text(None, None).contains("submit it again:"));
	}

	const FEE: Balance = 1_000_000_000;

	fn failed(refusal: Refusal, code: Option<CodeNow>) -> String {
		let settled =
			Settled { failed: true, units: 1, fee: FEE, refunded: 99 * FEE, shares: None };
		let (refusal, base_fee) = (refusal.code(), Some(10 * FEE));
		let (called, request, settled) = ("riddle", H256([7; 32]), &settled);
		Failed { called, request, refusal, settled, base_fee, code }.to_string()
	}

	#[test]
	fn a_request_that_was_sealed_for_the_code_of_before_is_told_so_and_what_to_do() {
		let since = Some(CodeNow { component: H256([9; 32]), since: Some(354) });
		let told = failed(Refusal::CodeNotAccepted, since);
		for part in [
			"failed request 0x0707",
			"with CodeNotAccepted",
			"it did not run",
			"is 0x0909",
			"from block 354 on",
			"0.001 PHA and the base fee of 0.01 PHA",
			"0.099 PHA were refunded",
			"`phala call` once more",
		] {
			assert!(told.contains(part), "{part}: {told}");
		}
		assert!(!told.contains("phala logs"), "{told}");
		let unknown = failed(Refusal::CodeNotAccepted, None);
		assert!(unknown.contains("the agent's code changed. It was paid"), "{unknown}");
	}

	#[test]
	fn the_log_is_named_of_failures_alone_that_leave_a_line_in_it() {
		use Refusal::*;
		for logged in [Uncaught, Trapped, NoAnswer, BadResponse, Memory, CpuTime, EntropyBytes] {
			assert!(failed(logged, None).contains("phala logs riddle"), "{logged}");
		}
		for silent in [Repeated, Expired, DoesNotOpen, Host, Busy, AgentStateBytes] {
			let told = failed(silent, None);
			assert!(!told.contains("phala logs"), "{told}");
			assert!(told.contains("and the base fee of 0.01 PHA were paid"), "{told}");
		}
	}

	#[test]
	fn what_the_chain_keeps_of_a_request_says_what_it_cost() {
		let request = |state| Request {
			agent: H256([1; 32]),
			caller: [2; 32],
			worker: 1,
			boot: 1,
			kind: phala_protocol::requests::RequestKind::Call,
			held: 100 * FEE,
			unit_price: FEE,
			units_max: 100,
			deadline: 90,
			state,
		};
		let settled = request(RequestState::Settled { fee: 3 * FEE, failed: true, block: 80 });
		let expected =
			Settled { failed: true, units: 3, fee: 3 * FEE, refunded: 97 * FEE, shares: None };
		assert_eq!(Settled::kept(&settled), Some(expected));
		assert_eq!(Settled::kept(&request(RequestState::Expired)), None);
	}
}
