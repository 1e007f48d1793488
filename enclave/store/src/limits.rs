//! Bounds, each a named constant with its unit, and how they must fit each other.

/// Longest page, in bytes: the longest that `enclave/state` seals.
pub const PAGE_BYTES_MAX: usize = 64 * 1024;

/// Most pages that one frame has: to be stored, or asked for. Longer calls are more frames.
pub const PAGES_PER_FRAME_MAX: usize = 64;

/// Most names that one frame has: to be deleted, to be looked for, or in a list.
pub const NAMES_PER_FRAME_MAX: usize = 1024;

/// Most agents in one list.
pub const AGENTS_PER_FRAME_MAX: usize = 512;

/// Longest frame, in bytes.
pub const FRAME_BYTES_MAX: usize = PAGES_PER_FRAME_MAX * (PAGE_BYTES_MAX + 64) + 1024;

/// Longest first frame of a process, in bytes.
pub const HELLO_BYTES_MAX: usize = 256;

/// Longest refusal, in bytes.
pub const REFUSAL_BYTES_MAX: usize = 64;

/// Most pages that are asked for at once, by all callers; whoever comes then waits. A list or deletion
/// counts as one.
pub const READS_PAGES_MAX: u32 = 512;

/// Most pages on their way into the store at once.
pub const WRITES_PAGES_MAX: u32 = 512;

/// Most requests that the process holds of each kind: as many as a client has under way at most.
pub const REQUESTS_QUEUED_MAX: usize = 512;

/// Threads of the process that read pages.
pub const READERS: usize = 4;

/// Most bytes that one commit makes durable: who waits for it does not wait for all who came later.
pub const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long the process may take for an answer, in milliseconds. Then it is killed.
pub const ANSWER_MS_MAX: u64 = 20_000;

/// How long it may take to open its file, in milliseconds.
pub const OPEN_MS_MAX: u64 = 300_000;

/// How long it may take to close its file, in milliseconds.
pub const CLOSE_MS_MAX: u64 = 5_000;

/// How long after its end it is started again, in milliseconds: at first, and at most, each time doubled.
pub const RESTART_MS_MIN: u64 = 100;
pub const RESTART_MS_MAX: u64 = 30_000;

/// A process that served so long begins anew, in milliseconds: its end is the first.
pub const CALM_MS: u64 = 600_000;

/// After so many ends in a row that its file may be the reason for, the file is set aside.
pub const ENDS_UNTIL_SET_ASIDE: u32 = 5;

/// Most files that were set aside in one folder. None is ever deleted by a program: the next is refused.
pub const FILES_ASIDE_MAX: u32 = 4;

/// What the process keeps of its file in memory, in bytes, unless it is told.
pub const CACHE_BYTES_DEFAULT: usize = 64 * 1024 * 1024;

const _: () = {
	assert!(PAGES_PER_FRAME_MAX <= READS_PAGES_MAX as usize);
	assert!(PAGES_PER_FRAME_MAX <= WRITES_PAGES_MAX as usize);
	assert!(READS_PAGES_MAX as usize <= REQUESTS_QUEUED_MAX);
	assert!(WRITES_PAGES_MAX as usize <= REQUESTS_QUEUED_MAX);
	assert!(NAMES_PER_FRAME_MAX * 64 < FRAME_BYTES_MAX);
	assert!(AGENTS_PER_FRAME_MAX * 64 < FRAME_BYTES_MAX);
	assert!(FRAME_BYTES_MAX <= GROUP_BYTES_MAX);
	assert!(FRAME_BYTES_MAX < u32::MAX as usize);
	assert!(RESTART_MS_MAX < CALM_MS);
};
