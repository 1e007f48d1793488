//! Paid requests: submitting them, and what becomes of them.

use crate::{
	chain::{decode, state_failure},
	clusters,
	transactions::{fields, unreadable_events, SignedTransaction},
	Call, Chain, ChainClientError, HeaderId, Included, Pending, Sender,
};
use codec::Encode;
use phala_protocol::{
	agents::{AgentId, AgentRecord},
	limits,
	requests::{
		self, Request, RequestId, RequestInput, RequestKind, RequestOutcome, RequestState, Room,
	},
	storage_keys, AccountBytes, Balance, BlockNumber,
};
use subxt::ext::scale_decode::DecodeAsType;

const PALLET: &str = "Requests";

/// Added to the nearest deadline that the chain takes, in blocks: until the request is in one.
pub const DEADLINE_SLACK: BlockNumber = 15;

/// Who does not say what it pays at most pays at most so many times the least base fee, and its units.
pub const USUAL_BASE_FEE_TIMES: Balance = 16;

/// Most that is put up for a request by who does not say so: 1 PHA.
pub const UNNAMED_FEE_MAX: Balance = 1_000_000_000_000;

/// Units that the escrow is for if nothing is said.
pub const UNITS_DEFAULT: Balance = 100;

/// A request, ready to be paid.
#[derive(Clone, Debug)]
pub struct Submission {
	pub agent: AgentId,
	pub kind: RequestKind,
	pub input: RequestInput,
	pub max_fee: Balance,
	pub deadline: BlockNumber,
	pub min_block: BlockNumber,
}

/// What a request may cost and how long it may take, as the caller said or as is usual.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
	/// Not refunded, whatever happens.
	pub base_fee: Balance,
	pub max_fee: Balance,
	pub deadline: BlockNumber,
}

/// What is paid and not refunded for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseFee {
	/// While agent, worker and deadline have room.
	pub least: Balance,
	/// As things stand.
	pub now: Balance,
}

/// What is paid and not refunded for a request to `agent` with this deadline, after block `at`. It may be
/// more, or less, in the block that takes the request.
pub async fn base_fee(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
	deadline: BlockNumber,
) -> Result<BaseFee, ChainClientError> {
	let least = chain.amount(PALLET, "BaseFee").await?;
	let mut rooms = vec![Room::of_agent(open_of_agent(chain, at, agent).await?)];
	// Without one, whoever is given the lease has room, or the chain says that it has not.
	if let Some(lease) = clusters::lease(chain, at, agent).await? {
		let open = chain.read(at, storage_keys::requests_open_of_worker(lease.worker)).await?;
		rooms.push(Room::of_worker(open.unwrap_or(0)));
	}
	let due: Option<Vec<RequestId>> = chain.read(at, storage_keys::requests_due(deadline)).await?;
	let due = due.map_or(0, |due| u32::try_from(due.len()).unwrap_or(u32::MAX));
	rooms.push(Room::of_deadline(due));
	Ok(BaseFee { least, now: requests::base_fee(least, &rooms) })
}

/// Settles what may be paid, so that nothing is paid for a request that the chain would refuse, nor more
/// than is usual by who did not say so.
pub fn terms(
	record: &AgentRecord,
	base_fee: BaseFee,
	max_fee: Option<Balance>,
	deadline: BlockNumber,
) -> Result<Terms, ChainClientError> {
	let unit_price = record.unit_price;
	let BaseFee { least, now: base_fee } = base_fee;
	if max_fee.is_none() && base_fee > least.saturating_mul(USUAL_BASE_FEE_TIMES) {
		return Err(ChainClientError::BaseFeeRaised { base_fee, least, unit_price });
	}
	let usual = || base_fee.saturating_add(unit_price.saturating_mul(UNITS_DEFAULT));
	let is_named = max_fee.is_some();
	let max_fee = max_fee.unwrap_or_else(usual);
	if !is_named && max_fee > UNNAMED_FEE_MAX {
		return Err(ChainClientError::FeeNotNamed { max_fee, unit_price });
	}
	if max_fee < base_fee.saturating_add(unit_price) {
		return Err(ChainClientError::FeeTooSmall { max_fee, base_fee, unit_price });
	}
	Ok(Terms { base_fee, max_fee, deadline })
}

/// How many paid requests of the agent are open after block `at`: its worker runs them one after the other.
pub async fn open_of_agent(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
) -> Result<u32, ChainClientError> {
	Ok(chain.read(at, storage_keys::requests_open_of_agent(agent)).await?.unwrap_or(0))
}

/// Settles until when the answer counts: if nothing is said, there is time for the `ahead` that are run before.
pub fn deadline(
	record: &AgentRecord,
	now: BlockNumber,
	deadline: Option<BlockNumber>,
	ahead: u32,
) -> Result<BlockNumber, ChainClientError> {
	let timeout = record.timeout;
	let nearest = now.saturating_add(timeout).saturating_add(limits::FINALITY_MARGIN);
	let farthest = now.saturating_add(limits::DEADLINE_BLOCKS_MAX);
	// The usual one is never too far.
	let waits = timeout.saturating_mul(ahead);
	let usual = || nearest.saturating_add(DEADLINE_SLACK).saturating_add(waits).min(farthest);
	let deadline = deadline.unwrap_or_else(usual);
	if deadline <= now {
		return Err(ChainClientError::DeadlineInThePast { deadline, now, nearest, farthest });
	}
	if deadline < nearest {
		return Err(ChainClientError::DeadlineTooNear { deadline, now, timeout, nearest });
	}
	if deadline > farthest {
		return Err(ChainClientError::DeadlineTooFar { deadline, now, farthest });
	}
	Ok(deadline)
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct RequestSubmitted {
	request: [u8; 32],
	base_fee: Balance,
}

/// Submits a request. `before` sees the signed transaction first: see [`Sender::submit_after`].
///
/// # Errors
/// [`ChainClientError::InputTooLong`], before anything is signed.
pub async fn submit<E: From<ChainClientError>>(
	caller: &Sender,
	submission: &Submission,
	before: impl FnMut(&SignedTransaction) -> Result<(), E>,
) -> Result<Pending, E> {
	let Submission { agent, kind, input, max_fee, deadline, min_block } = submission;
	let bytes = input.bytes().len();
	if bytes > limits::REQUEST_INPUT_BYTES_MAX as usize {
		return Err(ChainClientError::InputTooLong { bytes }.into());
	}
	let call = Call {
		name: "requests.submit",
		pallet: PALLET,
		call: "submit",
		arguments: (agent, kind, input, max_fee, deadline, min_block).encode(),
	};
	caller.submit_after(call, before).await
}

/// The id of the request that [`submit`] submitted, and what was paid for it that is not refunded.
pub fn submitted(included: &Included) -> Result<(RequestId, Balance), ChainClientError> {
	let RequestSubmitted { request, base_fee } = included.event(PALLET, "RequestSubmitted")?;
	Ok((request.into(), base_fee))
}

/// Who was paid what.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Settlement {
	pub request: [u8; 32],
	pub failed: bool,
	pub units: u32,
	pub fee: Balance,
	/// `None` when its worker is gone.
	pub worker: Option<AccountBytes>,
	pub worker_paid: Balance,
	pub developer: AccountBytes,
	pub developer_paid: Balance,
	pub treasury_paid: Balance,
	pub refunded: Balance,
}

#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Expiry {
	pub request: [u8; 32],
	pub refunded: Balance,
	pub penalty: Balance,
}

#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Refund {
	pub request: [u8; 32],
	pub refunded: Balance,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
	Settled(Settlement),
	/// The agent's lease moved before it was answered.
	Refunded(Refund),
	Expired(Expiry),
	/// The node has the events of its block no more: what the chain keeps of the request itself.
	Kept(Request),
}

impl Ending {
	fn request(&self) -> Option<[u8; 32]> {
		match self {
			Self::Settled(settlement) => Some(settlement.request),
			Self::Refunded(refund) => Some(refund.request),
			Self::Expired(expiry) => Some(expiry.request),
			Self::Kept(_) => None,
		}
	}
}

/// Where a request's end can be seen.
trait Endings {
	/// The newest final block, and the request as the chain keeps it there.
	async fn kept(&self) -> Result<(BlockNumber, Option<Request>), ChainClientError>;
	/// The request's end, if it is in this block.
	async fn in_block(&self, block: BlockNumber) -> Result<Option<Ending>, ChainClientError>;
}

struct OfRequest<'a> {
	chain: &'a Chain,
	request: RequestId,
}

impl Endings for OfRequest<'_> {
	async fn kept(&self) -> Result<(BlockNumber, Option<Request>), ChainClientError> {
		let at = self.chain.finalized_head().await?;
		Ok((at.number, stored(self.chain, at, self.request).await?))
	}

	async fn in_block(&self, block: BlockNumber) -> Result<Option<Ending>, ChainClientError> {
		let failed = |error: &dyn std::fmt::Display| {
			state_failure("System.Events", block, error.to_string())
		};
		let at = self.chain.online().at_block(u64::from(block)).await;
		let at = at.map_err(|error| failed(&error))?;
		let events = at.events().fetch().await.map_err(|error| failed(&error))?;
		for event in events.iter() {
			let event = event.map_err(unreadable_events)?;
			let ending = match (event.pallet_name(), event.event_name()) {
				(PALLET, "RequestSettled") => Ending::Settled(fields(&event)?),
				(PALLET, "RequestRefunded") => Ending::Refunded(fields(&event)?),
				(PALLET, "RequestExpired") => Ending::Expired(fields(&event)?),
				_ => continue,
			};
			if ending.request() == Some(self.request.0) {
				return Ok(Some(ending));
			}
		}
		Ok(None)
	}
}

/// Looks for a request's end: where the chain says that it was, else in finalized blocks, one after the other,
/// each once.
pub struct EndingSearch {
	request: RequestId,
	next: BlockNumber,
}

impl EndingSearch {
	/// From block `from` on.
	pub fn new(request: RequestId, from: BlockNumber) -> Self {
		Self { request, next: from }
	}

	/// The end, and its block, once it is final. Of one that was refunded and of which the node has no events
	/// any more the block is that in which it was looked at.
	///
	/// # Errors
	/// Also [`ChainClientError::StatePruned`], of a request that the chain has forgotten.
	pub async fn look(
		&mut self,
		chain: &Chain,
	) -> Result<Option<(BlockNumber, Ending)>, ChainClientError> {
		self.look_in(&OfRequest { chain, request: self.request }).await
	}

	async fn look_in(
		&mut self,
		endings: &impl Endings,
	) -> Result<Option<(BlockNumber, Ending)>, ChainClientError> {
		let (head, kept) = endings.kept().await?;
		if self.next > head {
			return Ok(None);
		}
		let until = match kept.as_ref().map(|request| request.state) {
			// Whatever becomes of it is in a later block.
			Some(RequestState::Open) => {
				self.next = head.saturating_add(1);
				return Ok(None);
			}
			Some(RequestState::Settled { block, .. }) => {
				self.next = block;
				block
			}
			// It may be in a block that took another's place.
			Some(RequestState::Expired) | None => head,
		};
		match (self.in_events(endings, until).await, kept) {
			(Err(ChainClientError::StatePruned { .. }) | Ok(None), Some(request)) => {
				Ok(Some((until, Ending::Kept(request))))
			}
			(found, _) => found,
		}
	}

	async fn in_events(
		&mut self,
		endings: &impl Endings,
		until: BlockNumber,
	) -> Result<Option<(BlockNumber, Ending)>, ChainClientError> {
		while self.next <= until {
			let block = self.next;
			if let Some(ending) = endings.in_block(block).await? {
				return Ok(Some((block, ending)));
			}
			self.next += 1;
		}
		Ok(None)
	}
}

/// A request as the chain keeps it; `None` when there is none, or it was closed long ago.
pub async fn stored(
	chain: &Chain,
	at: HeaderId,
	request: RequestId,
) -> Result<Option<Request>, ChainClientError> {
	chain.read(at, storage_keys::requests_request(request)).await
}

/// The same of several, in their order.
pub async fn all_stored(
	chain: &Chain,
	at: HeaderId,
	requests: &[RequestId],
) -> Result<Vec<Option<Request>>, ChainClientError> {
	let keys: Vec<_> =
		requests.iter().map(|request| storage_keys::requests_request(*request)).collect();
	let stored = chain.values(at, &keys).await?.into_iter();
	let read = |bytes: Vec<u8>| decode("Requests.Requests", &bytes);
	stored.map(|bytes| bytes.map(read).transpose()).collect()
}

/// The answer that the chain keeps.
pub async fn response(
	chain: &Chain,
	at: HeaderId,
	request: RequestId,
) -> Result<Option<RequestOutcome>, ChainClientError> {
	let stored = chain.read::<Vec<u8>>(at, storage_keys::requests_response(request)).await?;
	stored.map(|outcome| decode("Requests.Responses", &outcome)).transpose()
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::{
		agents::{Access, AgentCode, UpgradePolicy},
		H256,
	};

	fn record() -> AgentRecord {
		AgentRecord {
			owner: [1; 32],
			cluster: 0,
			code: AgentCode { component: H256::zero(), manifest: H256::zero() },
			code_version: 1,
			upgrades: UpgradePolicy::Free,
			access: Access::Public,
			unit_price: 1_000,
			timeout: 20,
			key: None,
			version: 0,
			state_hash: H256::zero(),
		}
	}

	const USUAL: BaseFee = BaseFee { least: 500, now: 500 };

	fn refusal(max_fee: Option<Balance>, block: Option<BlockNumber>) -> String {
		deadline(&record(), 100, block, 0)
			.and_then(|deadline| terms(&record(), USUAL, max_fee, deadline))
			.unwrap_err()
			.to_string()
	}

	#[test]
	fn terms_that_nobody_named_are_taken() {
		let usual = terms(&record(), USUAL, None, 145).unwrap();
		assert_eq!(usual.max_fee, 500 + UNITS_DEFAULT * 1_000);
		let block = deadline(&record(), 100, None, 0).unwrap();
		assert_eq!(block, 100 + 20 + limits::FINALITY_MARGIN + DEADLINE_SLACK);
	}

	#[test]
	fn a_fee_that_does_not_cover_a_unit_is_refused_with_the_least_that_is_taken() {
		assert!(terms(&record(), USUAL, Some(1_500), 145).is_ok());
		let text = refusal(Some(1_499), None);
		assert!(text.contains("too small") && text.contains("--max-fee 0.0000000015 "), "{text}");
	}

	#[test]
	fn a_dear_agent_is_paid_by_those_alone_who_say_so() {
		let dear = AgentRecord { unit_price: UNNAMED_FEE_MAX / UNITS_DEFAULT, ..record() };
		let text = terms(&dear, USUAL, None, 145).unwrap_err().to_string();
		assert!(
			text.contains("0.01 PHA a unit") && text.contains("--max-fee 1.0000000005"),
			"{text}"
		);
		assert!(terms(&dear, USUAL, Some(UNNAMED_FEE_MAX * 2), 145).is_ok());
		let fair = AgentRecord { unit_price: dear.unit_price - 5, ..dear };
		assert_eq!(terms(&fair, USUAL, None, 145).unwrap().max_fee, UNNAMED_FEE_MAX);
	}

	#[test]
	fn a_base_fee_that_a_flood_raised_is_paid_by_those_alone_who_say_so() {
		let raised = |times| BaseFee { least: 500, now: 500 * times };
		let usual = terms(&record(), raised(USUAL_BASE_FEE_TIMES), None, 145).unwrap();
		assert_eq!(usual.base_fee, 8_000);
		let raised = raised(USUAL_BASE_FEE_TIMES * 2);
		let text = terms(&record(), raised, None, 145).unwrap_err().to_string();
		assert!(
			text.contains("0.000000016 PHA") && text.contains("--max-fee 0.000000017"),
			"{text}"
		);
		assert!(terms(&record(), raised, Some(16_999), 145).is_err());
		assert_eq!(terms(&record(), raised, Some(17_000), 145).unwrap().base_fee, 16_000);
	}

	#[test]
	fn deadlines_are_refused_in_the_past_too_near_and_too_far_and_taken_in_between() {
		let nearest = 100 + 20 + limits::FINALITY_MARGIN;
		let farthest = 100 + limits::DEADLINE_BLOCKS_MAX;
		assert!(refusal(None, Some(100)).contains("in the past"));
		let text = refusal(None, Some(nearest - 1));
		assert!(text.contains("too near") && text.contains(&nearest.to_string()), "{text}");
		let text = refusal(None, Some(farthest + 1));
		assert!(text.contains("too far") && text.contains(&farthest.to_string()), "{text}");
		for block in [nearest, farthest] {
			assert_eq!(deadline(&record(), 100, Some(block), 4).unwrap(), block);
		}
	}

	/// Keeps four requests of a slow agent open, each of which takes its whole timeout.
	struct Trickler;

	impl Trickler {
		const AHEAD: u32 = 4;
	}

	#[test]
	fn behind_a_trickler_there_is_time_for_all_that_run_before() {
		let alone = deadline(&record(), 100, None, 0).unwrap();
		assert_eq!(alone, 100 + 20 + limits::FINALITY_MARGIN + DEADLINE_SLACK);
		let behind = deadline(&record(), 100, None, Trickler::AHEAD).unwrap();
		assert_eq!(behind, alone + Trickler::AHEAD * 20);
		let most = deadline(&record(), 100, None, limits::OPEN_REQUESTS_PER_AGENT_MAX * 20);
		assert_eq!(most.unwrap(), 100 + limits::DEADLINE_BLOCKS_MAX, "the latest that there is");
	}

	/// A public node: of blocks before `pruned_before` it has no states, and so no events.
	struct PublicNode {
		head: BlockNumber,
		pruned_before: BlockNumber,
		kept: Option<Request>,
		/// The request's end, and its block.
		ended: Option<(BlockNumber, Ending)>,
		looks: std::cell::Cell<u32>,
	}

	impl Endings for PublicNode {
		async fn kept(&self) -> Result<(BlockNumber, Option<Request>), ChainClientError> {
			Ok((self.head, self.kept.clone()))
		}

		async fn in_block(&self, block: BlockNumber) -> Result<Option<Ending>, ChainClientError> {
			self.looks.set(self.looks.get() + 1);
			if block < self.pruned_before {
				return Err(state_failure(
					"System.Events",
					block,
					"State already discarded".into(),
				));
			}
			Ok(self.ended.clone().filter(|(at, _)| *at == block).map(|(_, ending)| ending))
		}
	}

	fn request(state: RequestState) -> Request {
		Request {
			agent: H256::zero(),
			caller: [1; 32],
			kind: RequestKind::Call,
			held: 500,
			unit_price: 5,
			units_max: 100,
			deadline: 150,
			worker: 1,
			boot: 1,
			state,
		}
	}

	const SUBMITTED: BlockNumber = 100;

	fn node(kept: Option<Request>, ended: Option<(BlockNumber, Ending)>) -> PublicNode {
		let looks = std::cell::Cell::default();
		PublicNode { head: 500, pruned_before: 244, kept, ended, looks }
	}

	async fn looked(node: &PublicNode) -> Result<Option<(BlockNumber, Ending)>, ChainClientError> {
		EndingSearch::new(H256::zero(), SUBMITTED).look_in(node).await
	}

	#[tokio::test]
	async fn an_end_is_told_after_the_node_lost_the_states_of_its_block() {
		for state in [
			RequestState::Settled { fee: 5, failed: false, block: 110 },
			RequestState::Settled { fee: 5, failed: true, block: 110 },
		] {
			let kept = request(state);
			let found = looked(&node(Some(kept.clone()), None)).await.expect("the chain keeps it");
			assert_eq!(found, Some((110, Ending::Kept(kept))));
		}
		let refunded = request(RequestState::Expired);
		let found = looked(&node(Some(refunded.clone()), None)).await.expect("the chain keeps it");
		assert_eq!(found, Some((500, Ending::Kept(refunded))));
		// Of what the chain has forgotten too nothing can be told.
		let forgotten = looked(&node(None, None)).await;
		assert!(matches!(forgotten, Err(ChainClientError::StatePruned { block: SUBMITTED, .. })));
	}

	#[tokio::test]
	async fn an_end_is_looked_for_where_the_chain_says_that_it_was() {
		let refund = Ending::Refunded(Refund { request: [0; 32], refunded: 5 });
		let settled = request(RequestState::Settled { fee: 5, failed: false, block: 300 });
		let node_of_now = node(Some(settled), Some((300, refund.clone())));
		assert_eq!(looked(&node_of_now).await.expect("it has it"), Some((300, refund)));
		assert_eq!(node_of_now.looks.get(), 1);
		// What is open has no end before the newest block, however long ago it was submitted.
		let open = node(Some(request(RequestState::Open)), None);
		let mut search = EndingSearch::new(H256::zero(), SUBMITTED);
		assert_eq!(search.look_in(&open).await.expect("nothing is read"), None);
		assert_eq!((search.next, open.looks.get()), (501, 0));
		// One that is in no final block yet is waited for.
		let mut early = EndingSearch::new(H256::zero(), 501);
		assert_eq!(early.look_in(&node(None, None)).await.expect("nothing is read"), None);
	}
}
