//! Bounds on what a relayer may bring at once, each with its unit.
//!
//! They keep an enclave's memory and time finite whatever arrives. A relayer with more to bring
//! brings it in several bundles, each up to an earlier header.

pub use phala_protocol::limits::{MESSAGES_PER_BLOCK_MAX, MESSAGE_BYTES_MAX};

/// Most headers with justifications in one bundle.
pub const STEPS_PER_BUNDLE_MAX: usize = 512;

/// Longest header, in bytes of SCALE. The longest that the chain makes announces
/// [`AUTHORITIES_MAX`] authorities to GRANDPA and to BABE, 40 bytes each, and to BEEFY, 33 bytes.
pub const HEADER_BYTES_MAX: usize = 128 * 1024;

/// Longest justification, in bytes of SCALE: [`VOTES_MAX`] votes of 132 bytes, and headers between
/// the blocks that were voted for.
pub const JUSTIFICATION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most headers in one justification between the finalized block and those voted for.
pub const ANCESTRY_HEADERS_MAX: usize = 8 * 1024;

/// Headers and justifications of one bundle, in bytes.
pub const FINALITY_BYTES_PER_BUNDLE_MAX: usize = 32 * 1024 * 1024;

/// Most members of an authority set.
pub const AUTHORITIES_MAX: usize = 1024;

// It takes the largest set that is elected.
const _: () = assert!(phala_protocol::limits::VALIDATORS_MAX as usize <= AUTHORITIES_MAX);

/// Most votes in one justification: two of each authority, when all of them equivocate.
pub const VOTES_MAX: usize = 2 * AUTHORITIES_MAX;

/// Most trie nodes in one storage proof.
pub const PROOF_NODES_MAX: usize = 32 * 1024;

/// All trie nodes of one storage proof, in bytes.
pub const PROOF_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most channels that one enclave follows, and most lists of bodies in one bundle.
pub const CHANNELS_MAX: usize = 1024;

/// Most messages in one bundle, over all channels.
pub const MESSAGES_PER_BUNDLE_MAX: usize = 64 * 1024;

/// All bodies of one bundle, in bytes.
pub const BODIES_BYTES_PER_BUNDLE_MAX: usize = 64 * 1024 * 1024;

/// One encoded bundle, in bytes: its parts at their largest, and room for lengths and numbers.
pub const BUNDLE_BYTES_MAX: usize =
	FINALITY_BYTES_PER_BUNDLE_MAX + PROOF_BYTES_MAX + BODIES_BYTES_PER_BUNDLE_MAX + 4 * 1024 * 1024;
