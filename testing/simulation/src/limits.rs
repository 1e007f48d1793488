//! Figures of the simulated world, with units. What the network itself goes by is not here.

use phala_protocol::{boot::WorkerId, BlockNumber};

/// Workers in all; the first is the gatekeeper, the others are members of the cluster.
pub const WORKERS: WorkerId = 4;

/// Virtual time between two blocks, in milliseconds.
pub const BLOCK_MS: u64 = phala_runtime::time::BLOCK_MILLISECONDS;

/// Blocks for which evidence counts: so few that boots renew it while one watches.
pub const EVIDENCE_BLOCKS: BlockNumber = 960;

/// Blocks after which the pool forgets a transaction.
pub const POOL_BLOCKS: BlockNumber = 64;

/// How far finality is behind the newest block, in blocks.
pub const FINALITY_LAG_BLOCKS: BlockNumber = 2;

/// How long a relayer waits between two turns, in milliseconds.
pub const RELAY_MS: (u64, u64) = (400, 1_200);

/// How long bytes are on their way from one machine to another, in milliseconds.
pub const NETWORK_MS: (u64, u64) = (1, 120);

/// How long public-key cryptography takes, in milliseconds.
pub const TASK_MS: (u64, u64) = (1, 8);

/// How long a run takes, in milliseconds.
pub const RUN_MS: (u64, u64) = (3, 900);

/// How long making a program of a component takes, in milliseconds.
pub const COMPILE_MS: (u64, u64) = (50, 600);

/// How long a process takes to start, in milliseconds.
pub const START_MS: (u64, u64) = (200, 3_000);

/// Whoever asks another member for something gives up after this long, in milliseconds: as the shell.
pub const PEER_WAIT_MS: u64 = 5_000;

/// How long a disk takes to make something durable, in milliseconds.
pub const DISK_MS: (u64, u64) = (1, 60);

/// All disks are copied every so many blocks: older ones that may be put back.
pub const DISK_COPY_BLOCKS: BlockNumber = 12;

/// What a user waits for an answer to a direct call, in milliseconds.
pub const CALLER_WAIT_MS: u64 = phala_machine::limits::CALL_WAIT_MS_MAX + 10_000;

/// Blocks between a user's submission and its deadline, at least and at most.
pub const DEADLINE_BLOCKS: (u64, u64) = (18, 40);

/// The agent's timeout, in blocks.
pub const AGENT_TIMEOUT: BlockNumber = 3;

/// Whoever administers the network does not repeat itself for so many blocks.
pub const OPERATOR_PATIENCE_BLOCKS: BlockNumber = 8;

/// Transactions of a stranger in each block of a flood.
pub const STRESS_EXTRINSICS: usize = 24;

/// Length of each, in bytes.
pub const STRESS_BYTES: usize = 200 * 1024;

/// Most faults of one seed.
pub const FAULTS_MAX: u32 = 7;

/// Faults begin within so long after the agent's birth, in milliseconds.
pub const FAULTS_WITHIN_MS: u64 = 80_000;

/// How long a fault lasts, in milliseconds.
pub const FAULT_MS: (u64, u64) = (3_000, 35_000);

/// How long nobody makes a block, in milliseconds: up to longer than any view is fresh, and than several
/// heartbeats of a boot.
pub const EMPTY_MS: (u64, u64) = (4_000, 900_000);

/// How long before a delisting operators hear of it, in milliseconds.
pub const NOTICE_MS_MAX: u64 = 40_000;

/// How long after a delisting the last operator starts what is allowed, in milliseconds.
pub const UPDATED_LATE_MS: u64 = 15_000;

/// How long a seed takes.
pub const LENGTH: crate::Length = crate::Length { busy_blocks: 70, rest_blocks: 60 };

/// Seeds that `make test` runs.
pub const TEST_SEEDS: u64 = 40;

// What was submitted last ends while everything is at rest.
const _: () = assert!(DEADLINE_BLOCKS.1 + 2 < LENGTH.rest_blocks as u64);
