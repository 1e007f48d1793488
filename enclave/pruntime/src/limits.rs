//! Bounds of the shell, with units. Those of the machine are in [`phala_machine::limits`].

use phala_agent_manifest::limits::WALL_MS_CEILING;
use phala_machine::limits::{
	AGENT_RUNS_MAX, NESTED_READS_MAX, PAGES_ASKED_MAX, READS_MAX, RUN_MS_MAX,
};
use phala_sandbox::limits::{CODE_BYTES_MAX, INSTANCES_MAX_DEFAULT};

/// Longest body that the relay server takes, in bytes: a bundle at the light client's own limits.
pub const RELAY_BODY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Most agents from folders.
pub const DEVELOPMENT_AGENTS_MAX: usize = 64;

/// Most connections to the public server at once.
pub const CONNECTIONS_MAX: usize = 512;

/// The longest that the head of a request may take, in milliseconds: from when its connection is new
/// or the last request was answered.
pub const HEAD_WAIT_MS_MAX: u64 = 15_000;

/// The longest that a connection to another member is kept for the next request, in milliseconds.
pub const PEER_IDLE_MS_MAX: u64 = 5_000;

/// Longest head of a request, in bytes; as much is held of what was not read yet.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The longest that a caller may take to send a body, in milliseconds.
pub const BODY_WAIT_MS_MAX: u64 = 30_000;

/// Of a body that nobody wants so much is read, and so long, in bytes and milliseconds: what is longer, or
/// slower, ends with its connection.
pub const READ_OUT_BYTES_MAX: usize = BLOB_BYTES_MAX;
pub const READ_OUT_WAIT_MS_MAX: u64 = 5_000;

/// Most requests without a body that are worked on at once for callers; as many for members.
pub const SERVER_REQUESTS_MAX: usize = 256;

/// How often the disk is looked at, in milliseconds.
pub const DISK_LOOK_MS: u64 = 5_000;

/// Most questions of members for pages that the disk works on at once: no more than a part of what it reads, so
/// that the machine's own come through.
pub const GIVES_MAX: usize = 4;

/// Most answers to one member that are made or held for it at once: as many as it asks for at once.
pub const GIVES_TO_MEMBER_MAX: usize = CATCH_UPS_OF_MEMBER_MAX;

/// Most bytes of pages that are held for members until they have taken them.
pub const GIVEN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most bytes of callers' bodies that are held until they are checked.
pub const CALLER_BODIES_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Most bytes of members' bodies that are held until they are checked.
pub const MEMBER_BODIES_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Longest sealed call, in bytes.
pub const SEALED_CALL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest question for a log, in bytes of SCALE.
pub const LOGS_QUERY_BYTES_MAX: usize = 1024;

/// Longest component or manifest that is taken in, in bytes.
pub const BLOB_BYTES_MAX: usize = CODE_BYTES_MAX;

/// Longest replicated body, in bytes of SCALE: a body's plaintext has at most 4 MiB.
pub const PEER_BODY_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Longest question for pages, in bytes of SCALE: names, sealed, and who asks.
pub const PAGES_QUERY_BYTES_MAX: usize = PAGES_ASKED_MAX * 32 + 256;

/// Longest answer to it, in bytes of SCALE.
pub const PAGES_BYTES_MAX: usize = PAGES_ASKED_MAX * (phala_store::limits::PAGE_BYTES_MAX + 8) + 4;

/// How long another member may take to give all of these, in milliseconds: then the next is asked.
pub const CATCH_UP_WAIT_MS_MAX: u64 = 60_000;

/// For how many agents pages are fetched at once.
pub const CATCH_UPS_MAX: usize = 4;

/// Most of these from one member.
pub const CATCH_UPS_OF_MEMBER_MAX: usize = 2;

/// Longest answer of another member that says who it is, in bytes.
pub const INFO_BYTES_MAX: usize = 16 * 1024;

/// How long another member may take to keep a body or to give a component, and how long nothing may come of
/// pages, in milliseconds.
pub const PEER_WAIT_MS_MAX: u64 = 5_000;

/// Most that is kept of one agent's log, in bytes; the oldest lines go first.
pub const LOG_BYTES_MAX: usize = 1024 * 1024;

/// What a line of a log costs besides its text, in bytes.
pub const LOG_LINE_BYTES: usize = 64;

/// Most of a log that one answer holds, in bytes.
pub const LOG_PAGE_BYTES_MAX: usize = 256 * 1024;

/// Most signed answers that are kept for `/v1/signature/{id}`; the oldest go first.
pub const SIGNATURES_MAX: usize = 4_096;

// No agent alone takes all instances of the sandbox, and a quarter of them stays for what writes.
const _: () = assert!(AGENT_RUNS_MAX * 4 <= INSTANCES_MAX_DEFAULT as usize);
const _: () = assert!((READS_MAX + NESTED_READS_MAX) * 4 <= INSTANCES_MAX_DEFAULT as usize * 3);
// A read ends by its own limit before its caller is told that it took too long.
const _: () = assert!(RUN_MS_MAX >= WALL_MS_CEILING);
const _: () = assert!(LOG_PAGE_BYTES_MAX <= LOG_BYTES_MAX);
// Nobody uses a connection just as the other side ends it.
const _: () = assert!(PEER_IDLE_MS_MAX < HEAD_WAIT_MS_MAX);
// One body is never most of what may be held.
const _: () = assert!(BLOB_BYTES_MAX * 4 <= CALLER_BODIES_BYTES_MAX);
const _: () = assert!(PEER_BODY_BYTES_MAX * 16 <= MEMBER_BODIES_BYTES_MAX);
const _: () =
	assert!(GIVES_MAX * PAGES_ASKED_MAX * 2 <= phala_store::limits::READS_PAGES_MAX as usize);
const _: () = assert!(PAGES_BYTES_MAX * GIVES_MAX <= GIVEN_BYTES_MAX);
// All that is fetched at once is no more than what members may bring.
const _: () = assert!(CATCH_UPS_MAX * PAGES_BYTES_MAX <= MEMBER_BODIES_BYTES_MAX);
// No member alone takes all places.
const _: () = assert!(CATCH_UPS_OF_MEMBER_MAX < CATCH_UPS_MAX);
const _: () = assert!(PEER_WAIT_MS_MAX < CATCH_UP_WAIT_MS_MAX);
const _: () = assert!(PEER_WAIT_MS_MAX < phala_machine::limits::CALL_WAIT_MS_MAX);
