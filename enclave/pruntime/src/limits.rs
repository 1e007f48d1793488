//! Bounds, with units.

use phala_primitives::BlockNumber;

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
/// it reaches the chain well within [`phala_primitives::limits::EVIDENCE_BLOCK_AGE_MAX`].
pub const EVIDENCE_AGE_MAX: BlockNumber = 128;

/// Most envelopes that wait for the chain; what a boot would say beyond is refused by name.
pub const OUTBOX_MAX: usize = 4096;

/// Longest body that the relay door takes, in bytes: a bundle at the light client's own limits.
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
