//! Bounds, each a named constant with its unit. The chain enforces them; enclaves rely on them.

use crate::BlockNumber;

/// Time between two blocks, in milliseconds.
pub const BLOCK_MS: u64 = 2_000;

/// Fewest validators of a chain without a sudo key, so that one may fail.
pub const VALIDATORS_MIN: u32 = 4;

/// Most validators in the active set, from genesis on.
pub const VALIDATORS_MAX: u32 = 300;

/// Longest body of one mailbox message, in bytes of SCALE.
pub const MESSAGE_BYTES_MAX: u32 = 32 * 1024;

/// Most messages that the chain pushes in one block, over all channels.
pub const MESSAGES_PER_BLOCK_MAX: u32 = 1024;

/// Of [`MESSAGES_PER_BLOCK_MAX`], those kept for registrations, keys, clusters and liveness.
pub const VITAL_MESSAGES_PER_BLOCK: u32 = 256;

/// Most bytes of bodies that the chain pushes in one block, over all channels. All members follow
/// all of it, so it is less than what a block can carry.
pub const PUSHED_BYTES_PER_BLOCK_MAX: u32 = 2 * 1024 * 1024;

/// Of [`PUSHED_BYTES_PER_BLOCK_MAX`], those kept for registrations, keys, clusters and liveness.
pub const VITAL_BYTES_PER_BLOCK: u32 = 512 * 1024;

/// Longest payload of one envelope, in bytes of SCALE.
pub const ENVELOPE_PAYLOAD_BYTES_MAX: u32 = 32 * 1024;

/// Longest payload in the lanes that carry nothing but nonces, in bytes of SCALE.
pub const SHORT_PAYLOAD_BYTES_MAX: u32 = 64;

/// Longest answer of an enclave to its relayer, in bytes: all envelopes that it shows at once.
pub const RELAYED_ANSWER_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// How far ahead of its lane's `next` an envelope may wait in the transaction pool.
pub const ENVELOPES_PENDING_MAX: u64 = 16;

/// The same of signs of life, of which a block takes one.
pub const SIGNS_OF_LIFE_PENDING_MAX: u64 = 4;

/// Most commits that nobody has paid for which a boot lets wait for the chain, in a cluster of so many
/// members. They share a lane with paid answers, and the chain excuses nobody's missed deadline by them: so
/// an answer that is made at the last moment finds no more before it than a boot's part of three blocks
/// takes. A test of the runtime compares it with weights, which grow with the members.
pub const fn unpaid_commits_waiting_max(members: u32) -> u32 {
	const LEAST: u32 = 8;
	let by_size = 32u32.saturating_sub(members.saturating_mul(3) / 4);
	if by_size < LEAST {
		LEAST
	} else {
		by_size
	}
}

/// Oldest block hash that evidence may be bound to, in blocks.
pub const EVIDENCE_BLOCK_AGE_MAX: BlockNumber = 256;

/// Longest evidence that can be submitted, in bytes of SCALE. A DCAP quote with its collateral is
/// about 20 KiB.
pub const EVIDENCE_BYTES_MAX: u32 = 64 * 1024;

/// Most unanswered probes that the chain remembers for one worker.
pub const OPEN_PROBES_MAX: u32 = 16;

/// Fewest blocks between two probes of one worker, whoever asks.
pub const PROBE_GAP: BlockNumber = 3;

/// How often the price of a probe doubles at most: it does with each that is made.
pub const PROBE_DOUBLINGS_MAX: u32 = 6;

/// After so many blocks the price of a probe has halved, if it had doubled.
pub const PROBE_COOLING_BLOCKS: BlockNumber = 30;

/// For how many blocks a probe waits for an answer; then it makes room.
pub const PROBE_BLOCKS: BlockNumber = 300;

/// Fewest blocks after which a boot may ask for a cluster's secret once more, of the same generation and in
/// the same epoch; twice as many after the second time, and so on.
pub const KEY_REQUEST_GAP: BlockNumber = 20;

/// Most doublings of [`KEY_REQUEST_GAP`]: some two days.
pub const KEY_REQUEST_DOUBLINGS_MAX: u32 = 12;

/// Most parts of one bond that leave at different blocks.
pub const UNBONDING_CHUNKS_MAX: u32 = 16;

/// Longest input of a request, in bytes, sealed or public.
pub const REQUEST_INPUT_BYTES_MAX: u32 = 16 * 1024;

/// Longest answer to a request that goes through the chain, in bytes, sealed or public.
pub const RESPONSE_BYTES_MAX: u32 = 16 * 1024;

/// Processor time of one unit of work, the unit that agents are priced in, in milliseconds.
pub const UNIT_CPU_MS: u64 = 100;

/// Bytes fetched, received, answered or written of one unit of work.
pub const UNIT_BYTES: u64 = 64 * 1024;

/// Most answers in one effect set.
pub const RESULTS_PER_EFFECT_SET_MAX: u32 = 4;

/// What an agent answers in so many blocks, of one commit each, is the room of its open requests.
pub const REQUEST_ROOM_BLOCKS: u32 = 32;

/// Most open requests of one agent.
pub const OPEN_REQUESTS_PER_AGENT_MAX: u32 = REQUEST_ROOM_BLOCKS * RESULTS_PER_EFFECT_SET_MAX;

/// Most open requests that one worker was given. Its quota of a block has room for two full commits;
/// all of its agents share it.
pub const OPEN_REQUESTS_PER_WORKER_MAX: u32 = 2 * OPEN_REQUESTS_PER_AGENT_MAX;

/// Most open requests of one caller.
pub const OPEN_REQUESTS_PER_CALLER_MAX: u32 = 32;

/// Most requests with one deadline.
pub const REQUESTS_PER_DEADLINE_MAX: u32 = 64;

/// How often a request's base fee has doubled when a room has its last place free. It does from half
/// of the room on.
pub const BASE_FEE_DOUBLINGS_MAX: u32 = 16;

/// Blocks between a request's deadline and the end of its agent's timeout: for finality, the
/// relayer and the block that takes the answer.
pub const FINALITY_MARGIN: BlockNumber = 10;

/// So many blocks before a deadline the members of the cluster are asked whether blocks become final:
/// a miss counts only if one of them has said by the deadline that they do.
pub const DEADLINE_NEAR_BLOCKS: BlockNumber = 6;

/// In so many blocks, the deadline's the last, there must have been no room for a commit for the want of
/// room to be why an answer did not come. It was ready before them, or it was late anyhow.
pub const LANE_FULL_BLOCKS: BlockNumber = 2;

/// How many members must have said so in a cluster of many, with the one that is concerned: its own word
/// does not count.
pub const FINALITY_WITNESSES: u32 = 3;

/// How many members are asked, in turns: so many that the one that is concerned may be among them, another
/// one be dead and yet another one in league with it.
pub const FINALITY_WITNESSES_ASKED: u32 = FINALITY_WITNESSES + 2;

/// How far ahead a request's deadline may lie, in blocks.
pub const DEADLINE_BLOCKS_MAX: BlockNumber = 3 * 60 * 60 / 2;

/// For so many blocks the holder of a new agent's lease has the time to bear it; then another one tries.
/// Keys have to come, and code to be fetched and compiled.
pub const BIRTH_BLOCKS: BlockNumber = 5 * 60 / 2;

/// How many holders try to bear an agent at most; then it stays with the last, until its owner retires
/// it.
pub const BIRTH_HOLDERS_MAX: u32 = 8;

/// Longest timeout of an agent, in blocks.
pub const AGENT_TIMEOUT_MAX: BlockNumber = 60 * 60 / 2;

/// Most accounts on the list of one agent.
pub const AGENT_CALLERS_MAX: u32 = 256;

/// Most agents of one cluster.
pub const CLUSTER_AGENTS_MAX: u32 = 1024;

/// Most agents of clusters that one step of the chain looks at: what concerns more goes on in later
/// blocks.
pub const AGENTS_SWEPT_MAX: u32 = 64;

/// Most members of one cluster.
pub const CLUSTER_MEMBERS_MAX: u32 = 32;

/// Most accounts that the owner of a cluster lets deploy as itself does.
pub const ADMITTED_DEVELOPERS_MAX: u32 = 256;

/// Longest base URL of a worker's public server, in bytes.
pub const ENDPOINT_BYTES_MAX: u32 = 256;

/// Longest SCALE of a cluster's wrapped keys, in bytes.
pub const WRAPPED_KEYS_BYTES_MAX: u32 = 8 * 1024;

/// Longest SCALE of a ceremony's outcome, in bytes.
pub const CEREMONY_OUTCOME_BYTES_MAX: u32 = 16 * 1024;

/// Most gatekeepers that can be seated. One for now: the dealings of several have yet to travel
/// through the chain. The key that one makes is a threshold key all the same (t = n = 1).
pub const GATEKEEPERS_MAX: u32 = 1;

/// Longest partial release of a gatekeeper, in bytes of SCALE.
pub const KEY_RELEASE_BYTES_MAX: u32 = 2 * 1024;

/// After this many blocks without a sign of life (a registration or a heartbeat) a member of a
/// cluster does not count: it can neither hold leases nor is its word on availability needed.
pub const LIVENESS_BLOCKS: BlockNumber = 300;

/// Fewest blocks between a challenge of a silent lease holder and the loss of its leases: time for the
/// challenge to become final and to be relayed, and for an envelope in answer.
pub const CHALLENGE_BLOCKS: BlockNumber = 5;

/// Who says that a challenged holder is still silent has seen this many blocks after the challenge
/// final: while finality stalls, nobody can.
pub const CHALLENGE_FINAL_BLOCKS: BlockNumber = 2;

/// Fewest blocks between two challenges of one holder by one member.
pub const CHALLENGE_SPACING_BLOCKS: BlockNumber = 15;

/// A member that writes agents is as one that does not answer while it has named one block for so long
/// and who asks knows a later one, in milliseconds: to other members and to callers alike.
pub const HOLDER_STANDS_STILL_MS: u64 = 5_000;

/// It is so too while it is more than so many final blocks behind who asks, however it moves.
pub const HOLDER_BEHIND_BLOCKS_MAX: BlockNumber = 12;

/// From when a member hangs until another that it is cut off from knows that it has the lease, in
/// milliseconds, where blocks come and become final in time. Members see to it, callers wait for it.
pub const FAILOVER_MS_MAX: u64 = 30_000;

/// The same, from when a member that still answers hears of no block any more.
pub const FAILOVER_BEHIND_MS_MAX: u64 = 30_000;

/// Blocks between two generations of a cluster that departures start.
pub const GENERATION_GAP: BlockNumber = 60 * 60 / 2;

/// Levels above the leaves of the tree of answers that are signed together: each adds a hash to their proofs.
pub const ANSWER_TREE_HEIGHT: usize = 4;

/// Leaves of that tree: so many answers are signed together at most.
pub const ANSWERS_SIGNED_MAX: usize = 16;

/// For how many blocks a query for an agent's log counts.
pub const LOGS_QUERY_BLOCKS_MAX: BlockNumber = 64;

/// What the fields around the longest part of a message or payload take at most, in bytes.
const ENVELOPING_BYTES_MAX: u32 = 512;

// What must hold between limits; a change that breaks a relation does not compile.
const _: () = {
	// Whatever is pushed fits a message.
	assert!(REQUEST_INPUT_BYTES_MAX + ENVELOPING_BYTES_MAX <= MESSAGE_BYTES_MAX);
	assert!(CEREMONY_OUTCOME_BYTES_MAX + ENVELOPING_BYTES_MAX <= MESSAGE_BYTES_MAX);
	assert!(KEY_RELEASE_BYTES_MAX + ENVELOPING_BYTES_MAX <= MESSAGE_BYTES_MAX);
	assert!(AGENT_CALLERS_MAX * 33 + ENVELOPING_BYTES_MAX <= MESSAGE_BYTES_MAX);
	// A cluster as a new member is told it: its keys, and of each member the endpoint, key, numbers.
	assert!(
		WRAPPED_KEYS_BYTES_MAX
			+ CLUSTER_MEMBERS_MAX * (ENDPOINT_BYTES_MAX + 48)
			+ ENVELOPING_BYTES_MAX
			<= MESSAGE_BYTES_MAX
	);
	// Whatever an enclave says fits an envelope.
	assert!(RESPONSE_BYTES_MAX + ENVELOPING_BYTES_MAX <= ENVELOPE_PAYLOAD_BYTES_MAX);
	assert!(WRAPPED_KEYS_BYTES_MAX + ENVELOPING_BYTES_MAX <= ENVELOPE_PAYLOAD_BYTES_MAX);
	assert!(CEREMONY_OUTCOME_BYTES_MAX + ENVELOPING_BYTES_MAX <= ENVELOPE_PAYLOAD_BYTES_MAX);
	assert!(KEY_RELEASE_BYTES_MAX + ENVELOPING_BYTES_MAX <= ENVELOPE_PAYLOAD_BYTES_MAX);
	// The longest envelope is no long answer.
	assert!(ENVELOPE_PAYLOAD_BYTES_MAX + ENVELOPING_BYTES_MAX <= RELAYED_ANSWER_BYTES_MAX);
	// Answers that are signed together fill their tree.
	assert!(ANSWERS_SIGNED_MAX == 1 << ANSWER_TREE_HEIGHT);
	// There are some to elect.
	assert!(VALIDATORS_MIN <= VALIDATORS_MAX);
	// What is kept leaves most to the others, and the longest message fits either part.
	assert!(VITAL_MESSAGES_PER_BLOCK <= MESSAGES_PER_BLOCK_MAX / 2);
	assert!(VITAL_BYTES_PER_BLOCK <= PUSHED_BYTES_PER_BLOCK_MAX / 2);
	assert!(MESSAGE_BYTES_MAX <= VITAL_BYTES_PER_BLOCK);
	// One account fills no room up to where it gets dearer for others.
	assert!(OPEN_REQUESTS_PER_CALLER_MAX < OPEN_REQUESTS_PER_AGENT_MAX / 2);
	// Nor does one agent make its worker's others dearer.
	assert!(OPEN_REQUESTS_PER_AGENT_MAX <= OPEN_REQUESTS_PER_WORKER_MAX / 2);
	// A deadline is nowhere near when a request is made.
	assert!(DEADLINE_NEAR_BLOCKS < FINALITY_MARGIN);
	// The slowest agent can meet a deadline, and its caller can name a later one.
	assert!(AGENT_TIMEOUT_MAX + FINALITY_MARGIN < DEADLINE_BLOCKS_MAX);
	// A member dies silently for less long than any deadline may lie ahead.
	assert!(LIVENESS_BLOCKS < DEADLINE_BLOCKS_MAX);
	// Who was to answer a challenge had a final block more to do it than it takes to hear of it.
	assert!(CHALLENGE_FINAL_BLOCKS < CHALLENGE_BLOCKS);
	assert!(CHALLENGE_BLOCKS < CHALLENGE_SPACING_BLOCKS);
	// `frame_system` remembers the hashes of this many blocks.
	assert!(EVIDENCE_BLOCK_AGE_MAX <= 256);
};
