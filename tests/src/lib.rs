//! What the end-to-end tests run and ask: the real binaries as child processes, on loopback and on
//! free ports. Nothing outlives a test: every child dies with the value that holds it.
//!
//! | module | holds |
//! |---|---|
//! | [`process`] | a child process and what it wrote |
//! | [`parts`] | node, enclave and relayer as processes |
//! | [`chain`] | what a test does on the chain, and what it sees there |
//! | [`cli`] | the command line as people and programs use it |
//! | [`cluster`] | a network with a gatekeeper and workers, all of whose traffic is recorded |
//! | [`money`] | who has how much, and who was paid what |
//! | [`search`] | looks for texts in all that was written, kept and sent |
//! | [`tap`] | a proxy that records what passes |

pub mod chain;
pub mod cli;
pub mod cluster;
pub mod money;
pub mod parts;
pub mod process;
pub mod search;
pub mod tap;

use std::{future::Future, time::Duration};

/// How long a test waits for anything before it fails. A bound, not an expectation.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Asks `question` until it is answered.
///
/// # Errors
/// When [`PATIENCE`] is over, with `what` was waited for.
pub async fn until<T, F, A>(what: &str, mut question: F) -> anyhow::Result<T>
where
	F: FnMut() -> A,
	A: Future<Output = anyhow::Result<Option<T>>>,
{
	let asking = async {
		loop {
			if let Some(answer) = question().await? {
				return Ok(answer);
			}
			tokio::time::sleep(Duration::from_millis(250)).await;
		}
	};
	match tokio::time::timeout(PATIENCE, asking).await {
		Ok(answer) => answer,
		Err(_) => anyhow::bail!("waited {PATIENCE:?} in vain for: {what}"),
	}
}
