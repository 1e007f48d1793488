//! Bounds, each with its unit. Those on time are for when something is wrong; all takes less.

use std::time::Duration;

/// How long a child may take to say where it listens. Workers compile their agents before.
pub const CHILD_START_MAX: Duration = Duration::from_secs(120);

/// How long a node may take to build its genesis state and write it down, on a machine that does other
/// things besides.
pub const SPECIFICATION_MAX: Duration = Duration::from_secs(600);

/// How long children have to end by themselves; then they are killed.
pub const STOP_MAX: Duration = Duration::from_secs(8);

/// How long a node may take to write down what it has and end.
pub const NODE_STOP_MAX: Duration = Duration::from_secs(60);

/// How long the rest of what a child wrote may take to arrive after its end. A process that it
/// started may hold its pipe.
pub const REST_OF_LOG_MAX: Duration = Duration::from_secs(2);

/// How often what is waited for is looked at.
pub const POLL: Duration = Duration::from_millis(50);

/// Lines of a failed child that are shown.
pub const SHOWN_LINES_MAX: usize = 20;

/// Bytes of one child's log that are kept where nobody looks through all of it. The oldest go first.
pub const KEPT_LOG_BYTES: usize = 512 * 1024;

/// How old a kept specification of another node binary must be to be removed, in seconds: somebody
/// else may be starting that one.
pub const SPECIFICATION_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
