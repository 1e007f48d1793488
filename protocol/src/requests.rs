//! Paid requests: what a caller sends through the chain, and what comes back.

use crate::{
	agents::{AgentCode, AgentId},
	boot::{BootNumber, WorkerId},
	caller::Caller,
	domains, hash_of, limits,
	refusals::RefusalCode,
	AccountBytes, Balance, BlockNumber, H256,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// A request's name on the network: hash of [`RequestIdContent`].
pub type RequestId = H256;

/// What a request's id is the hash of.
#[derive(Encode)]
pub struct RequestIdContent {
	domain: domains::Domain,
	genesis: H256,
	number: u64,
}

/// The id of the `number`-th request (from 0) of the chain with this genesis.
pub fn request_id(genesis: H256, number: u64) -> RequestId {
	hash_of(&RequestIdContent { domain: domains::REQUEST_ID, genesis, number })
}

/// Places for requests that several share: of an agent, of a worker, of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
	/// How many are taken.
	pub taken: u32,
	/// Of so many.
	pub places: u32,
}

impl Room {
	/// An agent's, with so many open requests.
	pub fn of_agent(open: u32) -> Self {
		Self { taken: open, places: limits::OPEN_REQUESTS_PER_AGENT_MAX }
	}

	/// A worker's, that was given so many open requests.
	pub fn of_worker(open: u32) -> Self {
		Self { taken: open, places: limits::OPEN_REQUESTS_PER_WORKER_MAX }
	}

	/// A block's, that is the deadline of so many requests.
	pub fn of_deadline(due: u32) -> Self {
		Self { taken: due, places: limits::REQUESTS_PER_DEADLINE_MAX }
	}

	/// Whether a further one has no place.
	pub fn is_full(self) -> bool {
		self.taken >= self.places
	}

	/// How often the base fee has doubled for the next one: not before half is taken.
	fn doublings(self) -> u32 {
		let half = self.places / 2;
		self.taken
			.saturating_sub(half)
			.saturating_mul(limits::BASE_FEE_DOUBLINGS_MAX)
			.checked_div(self.places.saturating_sub(half))
			.unwrap_or(limits::BASE_FEE_DOUBLINGS_MAX)
	}
}

/// What a request pays that is not refunded: the fullest of the rooms that it needs a place in decides
/// how often `least` is doubled.
pub fn base_fee(least: Balance, rooms: &[Room]) -> Balance {
	let doublings = rooms.iter().map(|room| room.doublings()).max().unwrap_or(0);
	let times = 1u128.checked_shl(doublings).unwrap_or(Balance::MAX);
	least.saturating_mul(times)
}

/// What a request is for.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum RequestKind {
	/// The agent answers it. The opened input is a [`CallInput`].
	#[codec(index = 0)]
	Call,
	/// The owner gives the agent secrets. The input is sealed and opens to
	/// `Vec<(name, value)>`; an empty value removes the secret.
	#[codec(index = 1)]
	Secrets,
}

/// What the agent gets.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum RequestInput {
	/// For everybody to read, and so is the answer.
	#[codec(index = 0)]
	Public(Vec<u8>),
	/// SCALE of the `Sealed` of `enclave/keys`, made by `seal_input` for the agent's key.
	#[codec(index = 1)]
	Sealed(Vec<u8>),
}

impl RequestInput {
	/// The bytes, sealed or not.
	pub fn bytes(&self) -> &[u8] {
		match self {
			Self::Public(bytes) | Self::Sealed(bytes) => bytes,
		}
	}
}

/// An HTTP request to an agent, as it stands in an input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CallInput {
	/// `GET`, `POST`, …
	pub method: Vec<u8>,
	/// Path and query; starts with `/`.
	pub path: Vec<u8>,
	/// Names and values.
	pub headers: Vec<(Vec<u8>, Vec<u8>)>,
	/// May be empty.
	pub body: Vec<u8>,
}

/// An agent's HTTP response, as it stands in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CallOutput {
	/// HTTP status.
	pub status: u16,
	/// Names and values.
	pub headers: Vec<(Vec<u8>, Vec<u8>)>,
	/// May be empty.
	pub body: Vec<u8>,
}

/// A request as the lease holder is given it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct RequestOrder {
	/// Its name.
	pub request: RequestId,
	/// Who is asked.
	pub agent: AgentId,
	/// Who signed the extrinsic.
	pub caller: Caller,
	/// What for.
	pub kind: RequestKind,
	/// At most [`crate::limits::REQUEST_INPUT_BYTES_MAX`].
	pub input: RequestInput,
	/// Most units that the escrow pays: at least 1.
	pub units_max: u32,
	/// Not to be run on a view older than this block.
	pub min_block: BlockNumber,
	/// Last block at which the answer counts.
	pub deadline: BlockNumber,
	/// Who must answer: this boot of this worker, and no later one.
	pub worker: WorkerId,
	/// See `worker`.
	pub boot: BootNumber,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum RequestOutcome {
	/// SCALE of [`ProvenAnswer`] for a public input; for a sealed one the SCALE of a `Sealed` for
	/// the caller's reply key, which opens to that. Empty for [`RequestKind::Secrets`]. At most [`crate::limits::RESPONSE_BYTES_MAX`].
	#[codec(index = 0)]
	Answered(Vec<u8>),
	/// Which limit or refusal ended it.
	#[codec(index = 1)]
	Failed(RefusalCode),
}

/// What became of a request.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum RequestState {
	/// It waits for its answer.
	Open,
	/// It was answered and paid.
	Settled {
		/// What the caller paid beside the base fee.
		fee: Balance,
		/// The run ended with [`RequestOutcome::Failed`].
		failed: bool,
		/// When.
		block: BlockNumber,
	},
	/// Nobody answered in time, or whoever was to answer lost the agent's lease before: the caller got
	/// its money back.
	Expired,
}

/// A request as the chain keeps it.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Request<AccountId = AccountBytes> {
	/// Who is asked.
	pub agent: AgentId,
	/// Who asked and pays.
	pub caller: AccountId,
	/// What for.
	pub kind: RequestKind,
	/// This request's part of what is on hold from its caller while it is open.
	pub held: Balance,
	/// When it was made.
	pub unit_price: Balance,
	/// Most units that are paid.
	pub units_max: u32,
	/// Last block at which an answer counts.
	pub deadline: BlockNumber,
	/// Who must answer.
	pub worker: WorkerId,
	/// In which life.
	pub boot: BootNumber,
	/// What became of it.
	pub state: RequestState,
}

/// One answer within an effect set.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct RequestResult {
	/// Which request.
	pub request: RequestId,
	/// How it ended.
	pub outcome: RequestOutcome,
	/// Work done; at most [`RequestOrder::units_max`] are paid.
	pub units: u32,
}

/// What a boot says of an answer: signed by its place in a tree of answers ([`AnswersStatement`]), fetched at
/// `/v1/signature/{id}`, checked by `phala verify`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AnswerContent {
	/// Hash of the chain's block 0.
	pub genesis: H256,
	/// Who answered.
	pub worker: WorkerId,
	/// In which life.
	pub boot: BootNumber,
	/// Which agent.
	pub agent: AgentId,
	/// What ran: the component, under this manifest (its configuration, and where it may go).
	pub code: AgentCode,
	/// Who asked; `None` for a caller that did not say.
	pub caller: Option<Caller>,
	/// [`salted_hash`] of the SCALE of the [`CallInput`].
	pub request_hash: H256,
	/// [`salted_hash`] of the SCALE of the [`CallOutput`].
	pub response_hash: H256,
	/// The state that the run saw, or for one that writes, the version that its commit makes.
	pub state_version: u64,
	/// Newest block that was proven final to the enclave when the run started: the code was the agent's there.
	pub block: BlockNumber,
	/// Inputs that nobody vouches for, as plain HTTP.
	pub unproven_inputs: u32,
}

#[derive(Encode)]
struct NamedAnswer<'a> {
	domain: domains::Domain,
	content: &'a AnswerContent,
}

impl AnswerContent {
	/// The proof's name at `/v1/signature/{id}`.
	pub fn id(&self) -> H256 {
		hash_of(&NamedAnswer { domain: domains::ANSWER, content: self })
	}
}

#[derive(Encode)]
struct AnswerLeaf {
	domain: domains::Domain,
	id: H256,
}

#[derive(Encode)]
struct AnswerNode {
	domain: domains::Domain,
	left: H256,
	right: H256,
}

impl AnswerNode {
	fn hash(left: H256, right: H256) -> H256 {
		hash_of(&Self { domain: domains::ANSWER_NODE, left, right })
	}
}

/// What a boot signs for all answers of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
pub struct AnswersStatement {
	domain: domains::Domain,
	root: H256,
}

impl AnswersStatement {
	/// Of the answers under `root`.
	pub fn new(root: H256) -> Self {
		Self { domain: domains::ANSWERS, root }
	}
}

/// Where an answer stands among those that were signed with it: always in a tree of
/// [`limits::ANSWERS_SIGNED_MAX`] leaves, whatever of them are answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AnswerPath {
	/// Which leaf it is, from 0: bit `n` says whether it is on the right `n` levels above the leaves.
	pub index: u8,
	/// Its neighbours, from the leaf's up.
	pub neighbours: [H256; limits::ANSWER_TREE_HEIGHT],
}

impl AnswerPath {
	/// The leaf of the answer with this name.
	pub fn leaf(id: H256) -> H256 {
		hash_of(&AnswerLeaf { domain: domains::ANSWER_LEAF, id })
	}

	/// The root of the tree in which the answer `id` stands here; none if there is no such leaf: each has one
	/// way to be named.
	pub fn root(&self, id: H256) -> Result<H256, NoSuchLeaf> {
		if usize::from(self.index) >= limits::ANSWERS_SIGNED_MAX {
			return Err(NoSuchLeaf { index: self.index });
		}
		let mut position = self.index;
		Ok(self.neighbours.iter().fold(Self::leaf(id), |node, neighbour| {
			let is_right = position & 1 == 1;
			position >>= 1;
			match is_right {
				true => AnswerNode::hash(*neighbour, node),
				false => AnswerNode::hash(node, *neighbour),
			}
		}))
	}
}

/// An [`AnswerPath`] that leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchLeaf {
	pub index: u8,
}

impl core::fmt::Display for NoSuchLeaf {
	fn fmt(&self, to: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
		let leaves = limits::ANSWERS_SIGNED_MAX;
		write!(to, "a tree of {leaves} leaves has no leaf {}", self.index)
	}
}

impl core::error::Error for NoSuchLeaf {}

/// The root over these leaves, and the path from each.
pub fn answer_tree(
	leaves: [H256; limits::ANSWERS_SIGNED_MAX],
) -> (H256, [AnswerPath; limits::ANSWERS_SIGNED_MAX]) {
	let neighbours = [H256::zero(); limits::ANSWER_TREE_HEIGHT];
	let mut paths = core::array::from_fn(|index| AnswerPath { index: index as u8, neighbours });
	let mut row = leaves.to_vec();
	for level in 0..limits::ANSWER_TREE_HEIGHT {
		for path in &mut paths {
			let place = usize::from(path.index) >> level;
			if let (Some(to), Some(from)) = (path.neighbours.get_mut(level), row.get(place ^ 1)) {
				*to = *from;
			}
		}
		row = row
			.chunks_exact(2)
			.filter_map(|pair| Some(AnswerNode::hash(*pair.first()?, *pair.last()?)))
			.collect();
	}
	(row.first().copied().unwrap_or_default(), paths)
}

#[derive(Encode)]
struct SaltedContent<'a> {
	domain: domains::Domain,
	salt: [u8; 32],
	content: &'a [u8],
}

/// A hash that says nothing of `content` to who does not have `salt`.
pub fn salted_hash(salt: [u8; 32], content: &[u8]) -> H256 {
	hash_of(&SaltedContent { domain: domains::SALTED, salt, content })
}

/// What a caller's wallet signs for a direct call: a nonce inside the sealed input makes each
/// one unique, the signature says whose it is.
#[derive(Encode)]
pub struct DirectCallContent<'a> {
	domain: domains::Domain,
	genesis: H256,
	agent: AgentId,
	caller: Caller,
	sealed: &'a [u8],
}

impl<'a> DirectCallContent<'a> {
	/// `sealed` is SCALE of the `Sealed` of `enclave/keys`.
	pub fn new(genesis: H256, agent: AgentId, caller: Caller, sealed: &'a [u8]) -> Self {
		Self { domain: domains::DIRECT_CALL, genesis, agent, caller, sealed }
	}
}

/// A sealed direct call: the body of `POST /v1/agents/{id}/call`, as SCALE.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DirectCall {
	/// Who asks.
	pub caller: Caller,
	/// SCALE of the `Sealed` of `enclave/keys`, of kind `Direct`; opens to a [`CallInput`]. The
	/// answer is the SCALE of the `Sealed` for the reply key in it, which opens to a
	/// [`ProvenAnswer`].
	pub sealed: Vec<u8>,
	/// That it is the caller who asks, over [`DirectCallContent`].
	pub signature: CallerSignature,
}

/// How a caller shows that a direct call is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CallerSignature {
	/// sr25519 (context `substrate`), by the key that a [`Caller::Account`] is.
	#[codec(index = 0)]
	Sr25519([u8; 64]),
}

/// An answer with its proof. What a public request gets on chain, and what the `Sealed` of a
/// sealed request or of a [`DirectCall`] opens to (`open_reply`).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ProvenAnswer {
	/// What the agent answered.
	pub output: CallOutput,
	/// Of both hashes in the proof.
	pub salt: [u8; 32],
	/// What the boot signed.
	pub proof: SignedAnswer,
}

/// What an agent's owner signs to read its log. The body of `POST /v1/agents/{id}/logs` is the
/// SCALE of [`LogsQuery`]; the answer is the SCALE of a `Sealed` for `reply_key` (`open_reply`
/// with the owner's account and `nonce`), which opens to `Vec<LogEntry>`.
#[derive(Encode)]
pub struct LogsContent {
	domain: domains::Domain,
	genesis: H256,
	agent: AgentId,
	nonce: [u8; 32],
	reply_key: [u8; 32],
	block: BlockNumber,
}

impl LogsContent {
	/// `block` is a recent finalized block: the query counts for
	/// [`crate::limits::LOGS_QUERY_BLOCKS_MAX`] from it.
	pub fn new(
		genesis: H256,
		agent: AgentId,
		nonce: [u8; 32],
		reply_key: [u8; 32],
		block: BlockNumber,
	) -> Self {
		Self { domain: domains::LOGS_QUERY, genesis, agent, nonce, reply_key, block }
	}
}

/// See [`LogsContent`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LogsQuery {
	/// Random.
	pub nonce: [u8; 32],
	/// X25519, for this answer only.
	pub reply_key: [u8; 32],
	/// A recent finalized block.
	pub block: BlockNumber,
	/// sr25519 (context `substrate`) by the agent's owner over [`LogsContent`].
	pub signature: [u8; 64],
}

/// One line of an agent's log, as this worker ran it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LogEntry {
	/// When it was written, by the clock of the worker's host: milliseconds since 1970 began, UTC.
	pub time_ms: u64,
	/// Newest finalized block when the run started.
	pub block: BlockNumber,
	/// Which run.
	pub request: H256,
	/// `debug`, `info`, `warn` or `error`.
	pub level: Vec<u8>,
	/// What the agent said.
	pub message: Vec<u8>,
}

/// An [`AnswerContent`] and the boot's signature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedAnswer {
	/// What was signed.
	pub content: AnswerContent,
	/// Where it stands in the tree whose root was signed.
	pub path: AnswerPath,
	/// sr25519 (context `substrate`) by the boot's identity key, of an [`AnswersStatement`].
	pub signature: [u8; 64],
}

impl SignedAnswer {
	/// What the boot signed; nothing if the path leads nowhere.
	pub fn statement(&self) -> Result<AnswersStatement, NoSuchLeaf> {
		self.path.root(self.id()).map(AnswersStatement::new)
	}

	/// The proof's name at `/v1/signature/{id}`.
	pub fn id(&self) -> H256 {
		self.content.id()
	}
}

/// What a boot's evidence vouches for when somebody asks with a nonce: see
/// `/v1/attestation/report`.
#[derive(Encode)]
pub struct ReportStatement {
	domain: domains::Domain,
	genesis: H256,
	worker: WorkerId,
	identity: [u8; 32],
	encryption: [u8; 32],
	nonce: [u8; 32],
}

impl ReportStatement {
	/// Of the boot with these keys, for whoever chose `nonce`.
	pub fn new(
		genesis: H256,
		worker: WorkerId,
		keys: crate::boot::BootKeys,
		nonce: [u8; 32],
	) -> Self {
		let crate::boot::BootKeys { identity, encryption } = keys;
		Self { domain: domains::REPORT, genesis, worker, identity, encryption, nonce }
	}

	/// 64 bytes for a TEE's report: the statement's hash, then 32 zero bytes.
	pub fn report_data(&self) -> [u8; 64] {
		let mut report_data = [0; 64];
		report_data[..32].copy_from_slice(hash_of(self).as_bytes());
		report_data
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn fee_at(taken: u32) -> Balance {
		base_fee(10, &[Room { taken, places: 128 }])
	}

	#[test]
	fn the_base_fee_is_the_least_up_to_half_of_a_room_and_doubles_from_there() {
		assert_eq!((fee_at(0), fee_at(64), fee_at(67)), (10, 10, 10));
		assert_eq!((fee_at(68), fee_at(72), fee_at(127)), (20, 40, 10 << 15));
	}

	#[test]
	fn the_fullest_room_decides() {
		let (empty, half) =
			(Room::of_agent(0), Room::of_worker(limits::OPEN_REQUESTS_PER_WORKER_MAX / 2));
		let fuller = Room::of_deadline(limits::REQUESTS_PER_DEADLINE_MAX / 2 + 2);
		assert_eq!(base_fee(10, &[empty, half]), 10);
		assert_eq!(base_fee(10, &[empty, fuller, half]), 20);
		assert_eq!(base_fee(10, &[]), 10);
	}

	#[test]
	fn a_room_is_full_with_its_last_place_and_no_figure_overflows() {
		let most = limits::OPEN_REQUESTS_PER_AGENT_MAX;
		assert!(!Room::of_agent(most - 1).is_full());
		assert!(Room::of_agent(most).is_full());
		assert_eq!(base_fee(Balance::MAX, &[Room::of_agent(most)]), Balance::MAX);
		for room in [Room { taken: u32::MAX, places: 1 }, Room { taken: u32::MAX, places: 0 }] {
			assert!(base_fee(1, &[room]) >= 1 << limits::BASE_FEE_DOUBLINGS_MAX);
		}
	}

	fn ids() -> [H256; limits::ANSWERS_SIGNED_MAX] {
		core::array::from_fn(|n| H256::repeat_byte(n as u8))
	}

	#[test]
	fn each_answer_of_a_tree_leads_to_its_root() {
		let (root, paths) = answer_tree(ids().map(AnswerPath::leaf));
		for (id, path) in ids().into_iter().zip(&paths) {
			assert_eq!(path.root(id), Ok(root), "{path:?}");
		}
	}

	/// Says of an answer that was signed that another was, or that it was signed elsewhere.
	#[test]
	fn an_impostor_finds_no_other_place_in_the_tree() {
		let ids = ids();
		let (root, paths) = answer_tree(ids.map(AnswerPath::leaf));
		for (at, path) in paths.iter().enumerate() {
			for (other, id) in ids.iter().enumerate().filter(|(other, _)| *other != at) {
				assert_ne!(path.root(*id), Ok(root), "{other} in place of {at}");
			}
			for index in (0..=u8::MAX).filter(|index| *index != path.index) {
				let moved = AnswerPath { index, ..path.clone() };
				assert_ne!(moved.root(ids[at]), Ok(root), "{at} at {index}");
			}
			for level in 0..limits::ANSWER_TREE_HEIGHT {
				let mut changed = path.clone();
				changed.neighbours[level].0[7] ^= 1;
				assert_ne!(changed.root(ids[at]), Ok(root));
			}
		}
		let beyond = limits::ANSWERS_SIGNED_MAX as u8;
		let nowhere = AnswerPath { index: beyond, ..paths[0].clone() };
		assert_eq!(nowhere.root(ids[0]), Err(NoSuchLeaf { index: beyond }));
	}

	/// Passes a name, a leaf or a node for another of them.
	#[test]
	fn a_name_is_no_leaf_and_neither_is_a_node() {
		let (left, right) = (H256::repeat_byte(1), H256::repeat_byte(2));
		let node = AnswerNode { domain: domains::ANSWER_NODE, left, right };
		let leaf = AnswerLeaf { domain: domains::ANSWER_LEAF, id: left };
		assert_ne!(AnswerPath::leaf(left), left);
		assert!(!node.encode().starts_with(&domains::ANSWER.encode()));
		assert!(!node.encode().starts_with(&domains::ANSWER_LEAF.encode()));
		assert!(!leaf.encode().starts_with(&domains::ANSWER.encode()));
	}
}
