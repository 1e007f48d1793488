//! Bounds, each a named constant with its unit, and how they must fit each other.

use phala_keys::limits::{PADDING_COARSE_FROM_BYTES, PADDING_RESERVE_BYTES, STATE_VALUE_BYTES_MAX};

/// Longest name of an entry within its key space, in bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// Longest value of an entry, in bytes.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Longest value that stands in its leaf, in bytes; a longer one has pages of its own.
pub const INLINE_VALUE_BYTES_MAX: usize = 1024;

/// Longest leaf or inner page, sealed, in bytes. A write copies one of each level: shorter ones make
/// it dearer to find an entry, longer ones dearer to write one (`benches/README.md`).
pub const NODE_PAGE_BYTES_MAX: usize = 8 * 1024;

/// Longest page of a value, sealed, in bytes.
pub const VALUE_PAGE_BYTES_MAX: usize = 64 * 1024;

/// What sealing adds to a page, in bytes: header, nonce, tag, lengths.
pub const SEALING_BYTES: usize = PADDING_RESERVE_BYTES + phala_keys::padding::LENGTH_BYTES;

/// Most levels of pages from a root to a leaf, both included. With the longest keys in pages that are
/// a quarter full there is still room for 3^20 entries.
pub const DEPTH_MAX: u8 = 20;

/// Most pages that a scan asks for ahead of those that it has come to.
pub const READ_AHEAD_PAGES: usize = 16;

/// Most steps of one agent that are not decided: eight commits of as many flushes each. Runs that share
/// a flush are one step ([`Batch::join`](crate::Batch::join)).
pub const UNDECIDED_STEPS_MAX: usize = 8 * 64;

/// What a page in memory takes besides its plaintext, in bytes: for itself, and for each entry.
pub const CACHED_PAGE_BYTES: usize = 256;
pub const CACHED_ENTRY_BYTES: usize = 96;

const _: () = {
	assert!(VALUE_BYTES_MAX == STATE_VALUE_BYTES_MAX);
	assert!(INLINE_VALUE_BYTES_MAX < VALUE_BYTES_MAX);
	// Short pages are padded finely.
	assert!(NODE_PAGE_BYTES_MAX <= PADDING_COARSE_FROM_BYTES);
	assert!(NODE_PAGE_BYTES_MAX <= VALUE_PAGE_BYTES_MAX);
	assert!(VALUE_PAGE_BYTES_MAX.is_multiple_of(PADDING_COARSE_FROM_BYTES));
};
