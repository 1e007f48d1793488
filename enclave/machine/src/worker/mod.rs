//! The worker's role: a member of a cluster.
//!
//! | module | does |
//! |---|---|
//! | [`state`] | what a member knows |
//! | [`ingress`] | takes in what the chain, callers and other members say |
//! | [`actions`] | does all that can be done now |
//! | [`keyring`] | comes to the cluster's data keys |
//! | [`agent`], [`agent_state`], [`tree`] | one agent: proposals, state decoded, its pages and its disk |
//! | [`jobs`], [`reads`] | what writes and what only reads: admission, turns |
//! | [`nonces`] | which sealed calls were taken |
//! | [`answers`] | which paid requests are answered, after a failure too |
//! | [`signing`] | which answers are signed together |
//! | [`watch`] | who of those that write agents does not answer |
//! | [`witness`] | that blocks become final, for the chain |
//! | [`replication`], [`keeping`], [`catch_up`], [`code`] | what goes to other members and comes from them |

pub(crate) mod actions;
pub(crate) mod agent;
mod agent_state;
mod answers;
mod catch_up;
mod code;
mod ingress;
mod jobs;
mod keeping;
mod keyring;
mod nonces;
mod reads;
mod replication;
mod signing;
pub(crate) mod state;
mod tree;
mod watch;
mod witness;

pub use agent_state::{AgentState, Entries, Secrets};
pub(crate) use answers::Answers;
pub use code::CodeProgress;
pub use jobs::{writes, Program, Run, RunDone, RunEnd, RunFailed, RunId};
pub(crate) use jobs::{AcceptedCode, Opened};
pub(crate) use state::Membership;

#[cfg(feature = "development")]
pub(crate) use keyring::KeyRing;
pub(crate) use keyring::{page_cipher, DataKeys};
