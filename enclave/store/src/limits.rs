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

/// Most pages that are asked for at once, by all callers; whoever comes then waits.
pub const READS_PAGES_MAX: u32 = 512;

/// Most pages on their way into the store at once.
pub const WRITES_PAGES_MAX: u32 = 512;

/// So many names that are deleted, looked for or listed count as one page above: each costs the process
/// a read, of a page that may not be in memory.
pub const NAMES_PER_PAGE: usize = 16;

/// Most requests that the process holds of each kind: as many as a client has under way at most.
pub const REQUESTS_QUEUED_MAX: usize = 512;

/// Threads of the process that read pages.
pub const READERS: usize = 4;

/// Most bytes that one commit makes durable: who waits for it does not wait for all who came later.
pub const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a deleted name adds to a group: as much as a put of so many bytes. About what a deletion writes,
/// and less than what it reads.
pub const DELETION_BYTES: usize = 4096;

/// Held back on the disk, so that there is room to delete when it is full, in bytes. A group that finds
/// the disk full takes of it: each of its pages at the next power of two, and the tree above them.
pub const RESERVE_BYTES: u64 = 128 * 1024 * 1024;

/// What a page takes of the file beside its bytes, at most, before that is made a power of two.
pub const PAGE_OVERHEAD_BYTES: u64 = 256;

/// How long the process may give no answer at all while somebody waits, in milliseconds. Then it is
/// killed.
pub const ANSWER_MS_MAX: u64 = 20_000;

/// A request that has waited so many times as long is overdue though others are answered.
pub const ANSWER_WAITS_MAX: u32 = 3;

/// How long it may take to open its file, in milliseconds.
pub const OPEN_MS_MAX: u64 = 300_000;

/// How long it may take to close its file, in milliseconds.
pub const CLOSE_MS_MAX: u64 = 5_000;

/// How long after its end it is started again, in milliseconds: at first, and at most, each time doubled.
pub const RESTART_MS_MIN: u64 = 100;
pub const RESTART_MS_MAX: u64 = 30_000;

/// A process that served so long begins anew, in milliseconds: its end is the first.
pub const CALM_MS: u64 = 600_000;

/// So does one that answered so many requests: its file is good for most.
pub const CALM_ANSWERS: u64 = 1_000;

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
	assert!(NAMES_PER_FRAME_MAX.div_ceil(NAMES_PER_PAGE) <= READS_PAGES_MAX as usize);
	assert!(NAMES_PER_FRAME_MAX.div_ceil(NAMES_PER_PAGE) <= WRITES_PAGES_MAX as usize);
	assert!(FRAME_BYTES_MAX <= GROUP_BYTES_MAX);
	// A group is the limit and one frame; its pages take up to twice their bytes, and as much is left.
	assert!(RESERVE_BYTES as usize / 3 >= GROUP_BYTES_MAX + FRAME_BYTES_MAX);
	assert!(FRAME_BYTES_MAX < u32::MAX as usize);
	assert!(RESTART_MS_MAX < CALM_MS);
};
