//! Bounds, each with its unit. Those on bundles stay below what the light client takes at once
//! (`enclave/light-client/src/limits.rs`).

use std::time::Duration;

/// Most messages in one bundle over all channels (the light client takes 65,536).
pub const MESSAGES_PER_BUNDLE_MAX: u64 = 60_000;

/// Most bytes of bodies in one bundle (the light client takes 64 MiB).
pub const BODY_BYTES_PER_BUNDLE_MAX: usize = 60 * 1024 * 1024;

/// How long the loop waits for a newer finalized block before it looks by itself.
pub const POLL: Duration = Duration::from_millis(400);

/// First and longest wait between two attempts at what failed.
pub const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// See [`BACKOFF_MIN`].
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// How long an enclave may take to answer. Checking hundreds of justifications takes a while.
pub const ENCLAVE_ANSWER_MAX: Duration = Duration::from_secs(120);

/// How long connecting to an enclave may take.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Longest answer of an enclave, in bytes.
pub const ENCLAVE_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// For how many blocks a submitted registration that is in no block yet is not submitted again.
pub const REGISTRATION_PENDING_BLOCKS: u32 = 40;

/// After how many blocks an envelope that was submitted and not consumed is submitted again.
pub const RESUBMIT_ENVELOPE_BLOCKS: u32 = 8;
