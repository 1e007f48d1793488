//! What the end-to-end tests run and ask: the real binaries as child processes, supervised by
//! [`phala_devnet`]. Nothing outlives a test: every child dies with the value that holds it, or with
//! the test's process.
//!
//! | module | holds |
//! |---|---|
//! | [`trials`] | the cases of one network as tests with names of their own |
//! | [`chain`] | what a test does on the chain, and what it sees there |
//! | [`cli`] | the command line as people and programs use it |
//! | [`cluster`] | a network with a gatekeeper and workers, all of whose traffic is recorded |
//! | [`hosts`] | hosts of their own, as network namespaces |
//! | [`keeper`] | a network of three workers and an agent, for what goes wrong |
//! | [`leftovers`] | what a command leaves behind |
//! | [`memory`] | the secret keys of a boot, out of its memory |
//! | [`metrics`] | what a node exports, and what a board draws of it |
//! | [`money`] | who has how much, and who was paid what |
//! | [`pages`] | the pages of docs/, done word by word |
//! | [`schemas`] | whether what the command line tells programs is what its schemas say |
//! | [`search`] | looks for texts in all that was written, kept and sent |
//! | [`upgrades`] | the runtime that a network is upgraded to, and what is seen of it |

pub mod chain;
pub mod cli;
pub mod cluster;
pub mod hosts;
pub mod keeper;
pub mod leftovers;
pub mod memory;
pub mod metrics;
pub mod money;
pub mod pages;
pub mod schemas;
pub mod search;
pub mod trials;
pub mod upgrades;

use anyhow::Context;
use phala_devnet::{Enclave, Supervisor};
use phala_protocol::{
	relay::{EnclavePhase, EnclaveStatus},
	H256,
};
use std::{
	future::Future,
	path::{Path, PathBuf},
	time::Duration,
};

/// How long a test waits for anything before it fails. A bound, not an expectation.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How long any child may run.
pub const CHILD_TIME_MAX: Duration = Duration::from_secs(20 * 60);

/// This crate's folder in the checkout. Known at run time: a checkout that was moved, or another beside
/// it, shares the target folder.
///
/// # Panics
/// When neither cargo nor `make test` runs this.
pub fn own_folder() -> PathBuf {
	std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests").into()
}

/// Asks `question` until it is answered.
/// Fails when [`PATIENCE`] is over.
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

/// Where cargo put the binaries that this test was built with.
pub fn binaries() -> anyhow::Result<PathBuf> {
	let test = std::env::current_exe()?;
	let deps = test.parent().context("a test runs in target/debug/deps")?;
	Ok(deps.parent().context("a test runs in target/debug/deps")?.to_owned())
}

/// Of children that write in `folder`.
pub fn supervisor(folder: &Path) -> anyhow::Result<Supervisor> {
	Ok(Supervisor::new(&binaries()?, folder)?.with_time_limit(CHILD_TIME_MAX))
}

/// Waits until an enclave is in `phase`; where it stands then.
pub async fn reaches(enclave: &Enclave, phase: EnclavePhase) -> anyhow::Result<EnclaveStatus> {
	until(&format!("phase {phase:?}"), || async {
		let status = enclave.status().await?;
		Ok((status.phase == phase).then_some(status))
	})
	.await
	.with_context(|| enclave.process.log().last_lines())
}

/// What this build of pruntime measures: the hash of its binary.
pub async fn measurement(supervisor: &Supervisor) -> anyhow::Result<H256> {
	let binary = supervisor.binary("pruntime")?;
	let reading = tokio::task::spawn_blocking(move || std::fs::read(binary));
	Ok(H256(sp_crypto_hashing::blake2_256(&reading.await??)))
}
