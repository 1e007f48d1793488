//! Bounds, each with its unit. Those on bundles stay below what the light client takes at once. No
//! relayer links it, but tests do: there the two are compared.

use std::time::Duration;

/// Most messages in one bundle over all channels.
pub const MESSAGES_PER_BUNDLE_MAX: u64 = 60_000;

/// Most bytes of bodies in one bundle.
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
pub const ENCLAVE_ANSWER_BYTES_MAX: usize =
	phala_protocol::limits::RELAYED_ANSWER_BYTES_MAX as usize;

/// For how many blocks a submitted registration that is in no block yet is not submitted again.
pub const REGISTRATION_PENDING_BLOCKS: u32 = 40;

/// After how many blocks an envelope that was submitted and not consumed is submitted again.
pub const RESUBMIT_ENVELOPE_BLOCKS: u32 = 8;

// What is over these an enclave refuses whole, each time anew: it would never be brought further.
#[cfg(test)]
const _: () = {
	use phala_light_client::limits as enclave;
	assert!(MESSAGES_PER_BUNDLE_MAX <= enclave::MESSAGES_PER_BUNDLE_MAX as u64);
	assert!(BODY_BYTES_PER_BUNDLE_MAX <= enclave::BODIES_BYTES_PER_BUNDLE_MAX);
};
