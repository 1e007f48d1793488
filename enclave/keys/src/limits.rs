//! Bounds, each a named constant with its unit, each tested at its edge and one past it.

/// Most players or dealers of one key ceremony, however many the chain seats.
pub const CEREMONY_MEMBERS_MAX: usize = 64;

// All whom the chain seats can hold one.
const _: () = assert!(phala_protocol::limits::GATEKEEPERS_MAX as usize <= CEREMONY_MEMBERS_MAX);

/// Longest plaintext that can be sealed at all, in bytes, before padding.
pub const SEALED_PLAINTEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Ciphertexts up to [`PADDING_COARSE_FROM_BYTES`] come in multiples of this, in bytes.
pub const PADDING_STEP_BYTES: usize = 1024;

/// From this length on, in bytes, the step is [`PADDING_COARSE_STEP_BYTES`].
pub const PADDING_COARSE_FROM_BYTES: usize = 16 * 1024;

/// Step of long ciphertexts, in bytes.
pub const PADDING_COARSE_STEP_BYTES: usize = 16 * 1024;

/// Kept free in each step for what wraps a padded plaintext (suite, key or nonce, tag, lengths),
/// in bytes, so that the **whole envelope** fits the step: an input sealed into the 16 KiB that a
/// request may carry can use all but this and [`crate::padding::LENGTH_BYTES`].
pub const PADDING_RESERVE_BYTES: usize = 64;

/// Step of state values, in bytes: they are many, and small.
pub const STATE_VALUE_STEP_BYTES: usize = 128;

/// Most code hashes that a caller can accept in one input.
pub const ACCEPTED_CODE_HASHES_MAX: usize = 16;

/// How far ahead an input's expiry may lie, in blocks (7 days of 2 s): who remembers nonces to
/// refuse repeats must remember them for this long and no longer.
pub const INPUT_LIFETIME_BLOCKS_MAX: u32 = 302_400;

/// Longest name of a state entry, in bytes.
pub const STATE_NAME_BYTES_MAX: usize = 1024;

/// Longest value of a state entry, in bytes.
pub const STATE_VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Longest derivation path of a wallet, in bytes.
pub const WALLET_PATH_BYTES_MAX: usize = 256;
