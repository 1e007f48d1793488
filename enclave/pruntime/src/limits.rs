//! Bounds, with units.

use phala_protocol::BlockNumber;

/// After this long without a fresh mark, a boot refuses whatever needs a recent view, in
/// milliseconds.
pub const MARK_AGE_MAX_MS: u64 = 10 * 60 * 1000;

/// A boot sends a heartbeat when its last mark is this old, in milliseconds.
pub const HEARTBEAT_INTERVAL_MS: u64 = 2 * 60 * 1000;

/// A heartbeat that has not come back for this long is given up for a new one, in milliseconds.
pub const HEARTBEAT_PATIENCE_MS: u64 = 5 * 60 * 1000;

/// Evidence is renewed from this many blocks before it expires.
pub const RENEWAL_LEAD: BlockNumber = 900;

/// Evidence is offered again when its block is this far behind the newest finalized one, so that
/// it reaches the chain well within [`phala_protocol::limits::EVIDENCE_BLOCK_AGE_MAX`].
pub const EVIDENCE_AGE_MAX: BlockNumber = 128;

/// Most envelopes that wait for the chain; what a boot would say beyond is refused by name.
pub const OUTBOX_MAX: usize = 4096;

/// Longest body that the relay server takes, in bytes: a bundle at the light client's own limits.
pub const RELAY_BODY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Most agents of one worker.
pub const AGENTS_MAX: usize = 64;

/// Most requests of one agent that run at once: a quarter of the sandbox's instances, so that no
/// agent alone takes them all.
pub const AGENT_RUNS_MAX: usize = phala_sandbox::limits::INSTANCES_MAX_DEFAULT as usize / 4;

/// Most requests of one agent that wait for their turn.
pub const AGENT_REQUESTS_WAITING_MAX: usize = 128;

/// The longest that a request waits for its turn, in milliseconds.
pub const REQUEST_WAIT_MS_MAX: u64 = 30_000;

/// The longest that a call from one agent to another waits to be the one that writes, in
/// milliseconds.
pub const CALLEE_WAIT_MS_MAX: u64 = 2_000;

/// The longest that a caller may take to send a body, in milliseconds.
pub const BODY_WAIT_MS_MAX: u64 = 30_000;

/// Most that one agent keeps in state, keys and values together, in bytes.
pub const AGENT_STATE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most admitted key requests that a gatekeeper lets wait for a recent view.
pub const KEY_REQUESTS_WAITING_MAX: usize = 1024;

/// A key request that nobody answered is made again after this many blocks.
pub const KEY_REQUEST_PATIENCE: BlockNumber = 30;

/// Most bodies of one agent that a member keeps before they are committed.
pub const BODIES_KEPT_MAX: usize = 256;

/// Most direct calls that write to one agent and wait at its lease holder.
pub const JOBS_MAX: usize = 64;

/// Most effect sets of one agent that are made one on another before the chain takes the first.
pub const PROPOSALS_MAX: usize = 8;

/// How often a job is run whose effect set the chain refused.
pub const RUN_ATTEMPTS_MAX: u32 = 3;

/// How far ahead the expiry of a sealed direct call may lie, in blocks: ten minutes.
pub const DIRECT_CALL_BLOCKS_MAX: BlockNumber = 300;

/// A paid request that is not answered this many blocks before its deadline is answered with a
/// failure: its envelope has to reach the chain in time.
pub const SETTLE_LEAD: BlockNumber = 6;

/// What an entry of state costs besides its key and value, in bytes.
pub const STATE_ENTRY_BYTES: u64 = 128;

/// Most read-only runs of agents on the chain at once, over all agents: a quarter of the sandbox's
/// instances stays for what writes.
pub const READS_MAX: usize = phala_sandbox::limits::INSTANCES_MAX_DEFAULT as usize * 3 / 4;

/// Most requests that the servers of a member work on at once.
pub const SERVER_REQUESTS_MAX: usize = 256;

/// How often the other members are asked to keep a body before the chain is asked to do without.
pub const REPLICATION_ATTEMPTS_MAX: u32 = 5;

/// Most nonces of direct calls to one agent that are remembered at once.
pub const NONCES_MAX: usize = 65_536;

/// Longest component or manifest that is taken in, in bytes.
pub const BLOB_BYTES_MAX: usize = phala_sandbox::limits::CODE_BYTES_MAX;

/// Longest replicated body, in bytes of SCALE, and longest page of bodies: a body's plaintext has
/// at most 4 MiB.
pub const PEER_BODY_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Most bytes of bodies that are fetched for one agent before they are checked.
pub const CATCH_UP_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long another member may take to keep a body or to give one, in milliseconds.
pub const PEER_WAIT_MS_MAX: u64 = 5_000;

/// Most bodies that one answer to another member holds.
pub const BODIES_PER_ANSWER_MAX: usize = 1024;

/// Most lines that are kept of one agent's log; the oldest go first.
pub const LOG_LINES_MAX: usize = 1_000;

/// Most signed answers that are kept for `/v1/signature/{id}`; the oldest go first.
pub const SIGNATURES_MAX: usize = 4_096;
