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
