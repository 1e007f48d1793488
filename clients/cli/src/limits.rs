//! Bounds, each with its unit. Those on time are for when something is wrong; all takes less.

use phala_protocol::{
	limits::{FAILOVER_BEHIND_MS_MAX, FAILOVER_MS_MAX, HOLDER_STANDS_STILL_MS, LIVENESS_BLOCKS},
	BlockNumber,
};
use std::time::Duration;

/// A worker that is waited for is held against what members of a cluster hold against each other.
pub use phala_protocol::limits::HOLDER_BEHIND_BLOCKS_MAX;

/// How long a worker may take until it serves.
pub const SERVING_MAX: Duration = Duration::from_secs(180);

/// How long an agent may take to answer.
pub const DIRECT_MAX: Duration = Duration::from_secs(30);

/// How long a worker may take to say who it is.
pub const INFO_MAX: Duration = Duration::from_secs(10);

/// The same beside others, all of whom are shown with what they say.
pub const STATUS_MAX: Duration = Duration::from_secs(3);

/// How long an agent may take to be born, from its registration on.
pub const BIRTH_MAX: Duration = Duration::from_secs(180);

/// After so long a birth that waits for its cluster's keys says so.
pub const KEYS_USUAL: Duration = Duration::from_secs(15);

/// How long a worker may take to see on chain that code is wanted.
pub const CODE_WANTED_MAX: Duration = Duration::from_secs(60);

/// How long workers may take to compile code that was uploaded.
pub const COMPILED_MAX: Duration = Duration::from_secs(120);

/// How long the chain's view and a worker's may differ in which code an agent runs.
pub const CODE_SWITCH_MAX: Duration = Duration::from_secs(30);

/// How long an upload of code may take.
pub const UPLOAD_MAX: Duration = Duration::from_secs(60);

/// How long a direct call may take: the longest wall time of an agent, and the commit.
pub const CALL_MAX: Duration = Duration::from_secs(360);

/// How long a node may be behind the worker's until it shows the commit that an answer names.
pub const COMMIT_SEEN_MAX: Duration = Duration::from_secs(15);

/// How far beyond a node's newest final block an answer may be that is waited for: another node may have
/// seen finality first.
pub const ANSWER_AHEAD_BLOCKS_MAX: BlockNumber = 20;

/// Most pages of one worker's log: each has up to 256 KiB, all of them up to 1 MiB and a page.
pub const LOG_PAGES_MAX: usize = 8;

/// How long a paid request waits for another to write its agent, when who writes it does not answer.
pub const FAILOVER_WAIT_MAX: Duration =
	Duration::from_millis(2 * phala_protocol::limits::FAILOVER_MS_MAX);

/// How often those who follow a log are asked.
pub const LOG_FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// How long workers may take to follow to a block that is in the chain.
pub const FOLLOW_MAX: Duration = Duration::from_secs(20);

/// After so many questions in a row without an answer, of [`STATUS_MAX`] each, a worker is given up.
pub const UNANSWERED_LOOKS_MAX: u32 = 3;

/// How long a worker may say nothing until it is asked who it is.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);

/// After so long who waits for an answer on the chain is told whose it is; so often it is looked whether
/// that has changed.
pub const ANSWER_USUAL: Duration = Duration::from_secs(4);

/// How long it has to say so: then others are asked as well.
pub const PRESENCE_MAX: Duration = Duration::from_millis(1_500);

/// How long it may stand at one block while later ones become final: as long as members allow each other.
pub const STANDSTILL_MAX: Duration = Duration::from_millis(HOLDER_STANDS_STILL_MS);

/// How far a worker that follows the chain may be behind the newest final block: one that is further is looked
/// at until it moves.
pub const BEHIND_BLOCKS_USUAL: BlockNumber = 2;

/// How long a paid request waits for members to be there that must keep what it writes: as long as a silent
/// one counts, and what blocks that are slow add.
pub const QUORUM_WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// How often they are looked at meanwhile.
pub const QUORUM_LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long it is waited whether a refusal of a block holds once that is final: more than finality usually takes.
pub const REFUSAL_FINAL_MAX: Duration = Duration::from_secs(15);

/// How long a network that is up may take to carry out an order, after one that is before it.
pub const ORDER_MAX: Duration = Duration::from_secs(180);

/// How long it may take to say its agents' names: not longer than another's `phala network status` takes.
pub const NAMES_MAX: Duration = Duration::from_secs(20);

const _: () = assert!(QUORUM_WAIT_MAX.as_secs() > 2 * LIVENESS_BLOCKS as u64);

/// How long agents whose writer is gone may wait for another: what members take, and what nodes and
/// relayers that are slow add.
pub const FAILOVER_MAX: Duration = Duration::from_secs(40);

/// What these add, in milliseconds.
const SLOW_RELAYING_MS: u64 = 10_000;

const _: () = {
	let failover_ms = FAILOVER_MAX.as_millis();
	assert!((FAILOVER_MS_MAX + SLOW_RELAYING_MS) as u128 <= failover_ms);
	assert!((FAILOVER_BEHIND_MS_MAX + SLOW_RELAYING_MS) as u128 <= failover_ms);
};

/// For how many finalized blocks the input of a direct call counts.
pub const DIRECT_INPUT_BLOCKS: u32 = 150;

/// Most that a worker's answer may have: more than the largest component.
pub const WORKER_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How often what is waited for is looked at.
pub const POLL: Duration = Duration::from_millis(200);

/// What takes longer than this says what it waits for.
pub const QUICK_MAX: Duration = Duration::from_secs(1);

/// How often a long step says that it still goes on.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Most workers: each has a development account of its own as operator.
pub const WORKERS_MAX: u8 = 3;

/// The chain's port if none is asked for: the one that all commands ask if they are not told another.
pub const PORT_BASE_DEFAULT: u16 = 9_944;

/// How far on the next ports are tried.
pub const PORT_BASE_STEP: usize = 100;

/// Ports between one enclave's and the next one's, with --port-base.
pub const PORTS_PER_WORKER: u16 = 10;

/// Where `phala dev` listens if nothing is said.
pub const DEV_PORT_DEFAULT: u16 = 8_000;

/// How often it starts where somebody is quicker to take its port.
pub const DEV_STARTS_MAX: u32 = 5;

/// How many ports from there on it tries.
pub const DEV_PORTS_TRIED: u16 = 100;
