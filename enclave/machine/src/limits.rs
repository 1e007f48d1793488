//! Bounds, with units.

use phala_protocol::{
	limits::{BLOCK_MS, FAILOVER_BEHIND_MS_MAX, FAILOVER_MS_MAX, RELAYED_ANSWER_BYTES_MAX},
	BlockNumber,
};

/// Callers hold these against a member as its peers do.
pub use phala_protocol::limits::{HOLDER_BEHIND_BLOCKS_MAX, HOLDER_STANDS_STILL_MS};

/// After this long without a fresh mark, a boot refuses whatever needs a recent view, in
/// milliseconds.
pub const MARK_AGE_MAX_MS: u64 = 10 * 60 * 1000;

/// A boot sends a heartbeat when its last mark is this old, in milliseconds.
pub const HEARTBEAT_INTERVAL_MS: u64 = 2 * 60 * 1000;

/// A heartbeat that has not come back for this long is given up for a new one, in milliseconds.
pub const HEARTBEAT_PATIENCE_MS: u64 = 5 * 60 * 1000;

/// After a mark was seen and a later one was not: the chain takes none within ten blocks of another, so
/// that one may be gone, and the next is made after this, in milliseconds.
pub const HEARTBEAT_RETRY_MS: u64 = 30 * 1000;

/// Marks that are remembered until they are seen.
pub const HEARTBEATS_OUTSTANDING_MAX: usize = 8;

/// Evidence is renewed from this many blocks before it expires.
pub const RENEWAL_LEAD: BlockNumber = 900;

/// Evidence is offered again when its block is this far behind the newest finalized one, so that
/// it reaches the chain well within [`phala_protocol::limits::EVIDENCE_BLOCK_AGE_MAX`].
pub const EVIDENCE_AGE_MAX: BlockNumber = 128;

/// Most envelopes of one lane that wait for the chain; what a boot would submit beyond is tried again
/// later.
pub const LANE_WAITING_MAX: usize = 1024;

// What nobody has paid for leaves most of the lane to what somebody has.
const _: () =
	assert!((phala_protocol::limits::unpaid_commits_waiting_max(1) as usize) < LANE_WAITING_MAX);

/// Most envelopes of one lane that a relayer is shown: what may wait in the pool, and what the chain
/// took in blocks that are not proven to this boot yet.
pub const LANE_OFFERED_MAX: usize = 4 * phala_protocol::limits::ENVELOPES_PENDING_MAX as usize;

// All lanes, full of the longest envelopes, are less than a relayer reads at once.
const _: () = assert!(
	3 * LANE_OFFERED_MAX * (phala_protocol::limits::ENVELOPE_PAYLOAD_BYTES_MAX as usize + 256)
		+ 2 * LANE_OFFERED_MAX * 512
		< RELAYED_ANSWER_BYTES_MAX as usize
);

/// So many tasks sign answers at once; what comes meanwhile is signed together by the next. As many as there
/// are processors to do it would do.
pub const ANSWER_TASKS_MAX: usize = 8;

/// Answers of so many bytes are enough for one of them: none waits long for others to be sealed.
pub const SIGNED_BYTES_MAX: usize = 1024 * 1024;

/// Most requests of one agent that run at once, so that no agent alone takes all places.
pub const AGENT_RUNS_MAX: usize = 16;

/// Most read-only requests of one agent that wait for their turn.
pub const AGENT_REQUESTS_WAITING_MAX: usize = 128;

/// The longest that a request waits for its turn, in milliseconds.
pub const REQUEST_WAIT_MS_MAX: u64 = 30_000;

/// Most read-only runs that callers from outside caused, over all agents: the places that these and
/// [`NESTED_READS_MAX`] leave stay for what writes.
pub const READS_MAX: usize = 32;

/// Most read-only runs that other agents' runs caused, over all agents.
pub const NESTED_READS_MAX: usize = 16;

/// The longest that a caller of what writes waits for its commit, in milliseconds.
pub const CALL_WAIT_MS_MAX: u64 = 120_000;

/// The longest that an agent may let a run take, in milliseconds.
pub const RUN_MS_MAX: u64 = 300_000;

/// What a read takes besides waiting and running, in milliseconds.
const READ_ANSWER_MS: u64 = 10_000;

/// The longest that a caller of what only reads waits for its answer, in milliseconds: its run ends
/// by a limit of its own before.
pub const READ_WAIT_MS_MAX: u64 = REQUEST_WAIT_MS_MAX + RUN_MS_MAX + READ_ANSWER_MS;

/// Most that one agent keeps in state, keys and values together, in bytes.
pub const AGENT_STATE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What an entry of state costs besides its key and value, in bytes.
pub const STATE_ENTRY_BYTES: u64 = 128;

/// Most admitted key requests that a gatekeeper lets wait for a recent view.
pub const KEY_REQUESTS_WAITING_MAX: usize = 1024;

/// Most key requests that a gatekeeper answers at once.
pub const RELEASES_AT_ONCE_MAX: usize = 16;

/// A key request that nobody answered is made again after this many blocks.
pub const KEY_REQUEST_PATIENCE: BlockNumber = 30;

/// A set of wrapped keys under a master key that serves no more is given up for lost when nobody who
/// has the keys in it has wrapped them anew for so many blocks.
pub const ORPHANED_KEYS_BLOCKS: BlockNumber = 120;

/// Most characters of why code is refused that are kept and told to who asks.
pub const REFUSED_CODE_CHARS_MAX: usize = 500;

/// Most pages that a state is made of: far more than one of [`AGENT_STATE_BYTES_MAX`] is, whose pages are well filled.
/// A root that says more is none, and is not gone through.
pub const STATE_PAGES_MAX: u64 = AGENT_STATE_BYTES_MAX / 256;

/// How far apart the blocks may be that a member and one that it asks for pages know.
pub const QUESTION_BLOCKS_MAX: BlockNumber = 150;

/// Most steps of one agent that a member keeps before the chain took one of them.
pub const BODIES_KEPT_MAX: usize = 256;

/// Most that these take in memory, writes and pages, in bytes, of each agent.
pub const BODIES_KEPT_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Most holders that wait at once for this member's word of one agent.
pub const WORDS_WAITING_MAX: usize = 64;

/// How long they do, in milliseconds: as long as a holder waits for an answer.
pub const WORD_WAIT_MS: u64 = 5_000;

/// Most direct calls that write to one agent and wait at its lease holder.
pub const JOBS_MAX: usize = 64;

/// Most effect sets of one agent that are made one on another before the chain takes the first. The last
/// place is for what was paid for.
pub const PROPOSALS_MAX: usize = 8;

/// How often a job is run whose effect set the chain refused.
pub const RUN_ATTEMPTS_MAX: u32 = 3;

/// How often the chain is offered the failure of a paid request that was run so often.
pub const FAILURE_ATTEMPTS_MAX: u32 = 3;

/// How far ahead the expiry of a sealed direct call may lie, in blocks: ten minutes.
pub const DIRECT_CALL_BLOCKS_MAX: BlockNumber = 300;

/// How long a plain call that writes may wait for its turn, in blocks.
pub const PLAIN_CALL_BLOCKS_MAX: BlockNumber = 60;

/// A paid request that is not answered this many blocks before its deadline is answered with a
/// failure: its envelope has to reach the chain in time.
pub const SETTLE_LEAD: BlockNumber = 6;

/// How often the other members are asked to keep a body before the chain is asked to do without.
pub const REPLICATION_ATTEMPTS_MAX: u32 = 5;

/// How long those are waited for that have not answered when a majority keeps a body, in milliseconds: long for
/// who is well, and little beside the time of a block.
pub const STRAGGLER_MS: u64 = 100;

/// After this long another member is asked again for what it did not give or keep, in milliseconds.
pub const PEER_RETRY_MS: u64 = 1_000;

/// Most pages of an agent that its disk, or another member, is asked for at once.
pub const PAGES_ASKED_MAX: usize = 64;

/// How often the disk is asked for the same pages when it does not answer: then members are. It may take long to open
/// its file, and all of a large state would be fetched and put again.
pub const DISK_ATTEMPTS_MAX: u32 = 3;

/// Most pages that one operation of an agent's disk puts.
pub const STORE_PAGES_MAX: usize = 256;

/// Most names in one list of what a disk has of an agent.
pub const LISTED_NAMES_MAX: usize = 1024;

/// Most runs' writes of one agent that wait for those before them, each for as long as until it is sent
/// again.
pub const EARLY_BODIES_MAX: usize = PROPOSALS_MAX;

/// A member that writes agents is pinged this long after its last answer, in milliseconds.
pub const PING_INTERVAL_MS: u64 = 2_000;

/// After this long without an answer a ping has failed, in milliseconds.
pub const PING_WAIT_MS: u64 = 3_000;

/// One that did not answer is pinged again after this long, in milliseconds.
pub const PING_RETRY_MS: u64 = 1_000;

/// A member that writes agents and has not answered for this long is challenged, in milliseconds.
pub const HOLDER_PATIENCE_MS: u64 = 3_000;

/// That a challenged member is silent still is said again after this many blocks.
pub const STILL_SILENT_RETRY_BLOCKS: BlockNumber = 2;

/// A run that could not start for lack of a place is tried again after this long, in milliseconds.
pub const RUN_RETRY_MS: u64 = 1_000;

/// Most sealed reads of one agent that are remembered at once, so that copies are refused.
pub const AGENT_NONCES_MAX: usize = 65_536;

/// Most of these by one caller.
pub const CALLER_NONCES_MAX: usize = 4_096;

/// Most words of a member that blocks become final which wait for the chain.
pub const WITNESS_WORDS_WAITING_MAX: usize = 8;

/// How often one boot is rebuilt after failures of any kind before it is suspended.
pub const REBUILDS_MAX: usize = 8;

/// How far finality, and the relayer after it, are behind the newest block, in blocks.
const FINALITY_BLOCKS: u64 = 3;

const _: () = {
	use phala_protocol::limits::CHALLENGE_BLOCKS;
	// It hangs just after an answer; the challenge and what is said of it wait for a block each; the
	// last is one block late, and must be final.
	let blocks = 1 + CHALLENGE_BLOCKS as u64 + 1 + FINALITY_BLOCKS;
	assert!(PING_INTERVAL_MS + HOLDER_PATIENCE_MS + blocks * BLOCK_MS <= FAILOVER_MS_MAX);
	// Who lost its relayer is found behind by the first ping after the next block, and is as one that hangs
	// when it is pinged after it stood still for too long.
	let noticed_ms = BLOCK_MS + PING_INTERVAL_MS + HOLDER_STANDS_STILL_MS + PING_RETRY_MS;
	assert!(noticed_ms + blocks * BLOCK_MS <= FAILOVER_BEHIND_MS_MAX);
	// One that is a block late, as members are to each other now and then, is not challenged for it.
	assert!(HOLDER_STANDS_STILL_MS >= 2 * BLOCK_MS);
	// Members hear of a block at different times.
	assert!(HOLDER_BEHIND_BLOCKS_MAX as u64 >= 2 * FINALITY_BLOCKS);
	// A word is on its way until it is in a block, and that block final: one for each of these blocks.
	assert!(WITNESS_WORDS_WAITING_MAX as u64 > 2 * FINALITY_BLOCKS);
	// A ping that hangs has shown by its end that it does.
	assert!(HOLDER_PATIENCE_MS <= PING_WAIT_MS);
};
// No caller alone fills what all share.
const _: () = assert!(CALLER_NONCES_MAX * 4 <= AGENT_NONCES_MAX);
// What is undecided finds a place in the lineage.
const _: () = assert!(BODIES_KEPT_MAX < phala_state::limits::UNDECIDED_STEPS_MAX);
const _: () = assert!(HEARTBEAT_INTERVAL_MS < MARK_AGE_MAX_MS);
// Who asks again for a cluster's secret is not refused for having asked.
const _: () = assert!(KEY_REQUEST_PATIENCE > phala_protocol::limits::KEY_REQUEST_GAP);
// Who has them asks once in vain, asks again, and has its set land.
const _: () = assert!(ORPHANED_KEYS_BLOCKS >= 3 * KEY_REQUEST_PATIENCE);
const _: () = assert!(HEARTBEAT_PATIENCE_MS < MARK_AGE_MAX_MS);
const _: () = assert!(EVIDENCE_AGE_MAX < phala_protocol::limits::EVIDENCE_BLOCK_AGE_MAX);
const _: () = assert!(PLAIN_CALL_BLOCKS_MAX <= DIRECT_CALL_BLOCKS_MAX);
const _: () = assert!(REQUEST_WAIT_MS_MAX < CALL_WAIT_MS_MAX);
// No agent alone takes all places of its kind from outside.
const _: () = assert!(AGENT_RUNS_MAX < READS_MAX);
const _: () = assert!(NESTED_READS_MAX < READS_MAX);
const _: () = assert!(SETTLE_LEAD < phala_protocol::limits::FINALITY_MARGIN);
// Who sees the block that members speak for at a miss has given up and said so.
const _: () = assert!(SETTLE_LEAD >= phala_protocol::limits::DEADLINE_NEAR_BLOCKS);
