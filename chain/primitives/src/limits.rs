//! Bounds, each a named constant with its unit. The chain enforces them; enclaves rely on them.

use crate::BlockNumber;

/// Longest body of one mailbox message, in bytes of SCALE.
pub const MESSAGE_BYTES_MAX: u32 = 32 * 1024;

/// Most messages that the chain pushes in one block, over all channels.
pub const MESSAGES_PER_BLOCK_MAX: u32 = 1024;

/// Longest payload of one envelope, in bytes of SCALE.
pub const ENVELOPE_PAYLOAD_BYTES_MAX: u32 = 32 * 1024;

/// Most envelopes that one slot may land in one block.
pub const ENVELOPES_PER_SLOT_PER_BLOCK_MAX: u32 = 32;

/// How far ahead of the chain's `next` an envelope may wait in the transaction pool.
pub const ENVELOPES_PENDING_MAX: u64 = 128;

/// Oldest block hash that evidence may be bound to, in blocks.
pub const EVIDENCE_BLOCK_AGE_MAX: BlockNumber = 256;

/// Longest evidence that can be submitted, in bytes of SCALE. A DCAP quote with its collateral is
/// about 20 KiB.
pub const EVIDENCE_BYTES_MAX: u32 = 64 * 1024;

/// Most unanswered probes that the chain remembers for one slot.
pub const OPEN_PROBES_MAX: u32 = 16;
