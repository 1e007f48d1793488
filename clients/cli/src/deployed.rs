//! What an agent's folder knows of its deployments, so that `phala deploy` goes on where it was cut
//! and deploys nothing twice: `.phala/deployments.json`. A deployment is written down **before** its
//! transaction is submitted. Nothing in it is secret.

use crate::steps::step;
use anyhow::Context;
use phala_chain_client::{
	agents,
	transactions::{Fate, SignedAt},
	Chain, ChainClientError, HeaderId,
};
use phala_protocol::{agents::AgentId, text::Address, H256};
use phala_verifier::file::HexBytes;
use serde::{Deserialize, Serialize};
use std::{
	fs,
	path::{Path, PathBuf},
};

/// In an agent's folder.
pub const FOLDER: &str = ".phala";
const FILE: &str = "deployments.json";
const LOCK_FILE: &str = "deployments.lock";
const FORMAT: &str = "phala-deployments/1";

/// Of these the newest are kept: development chains come and go.
const DEPLOYMENTS_MAX: usize = 32;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
	format: String,
	/// The newest first.
	deployments: Vec<Deployed>,
}

/// One deployment, from when its transaction was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Deployed {
	genesis: HexBytes,
	/// Its address.
	owner: String,
	transaction: HexBytes,
	/// The newest final block when it was signed.
	since_block: u32,
	since_hash: HexBytes,
	/// Once it is known.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	agent: Option<HexBytes>,
}

impl Deployed {
	fn new(genesis: H256, owner: Address, at: SignedAt) -> Self {
		Self {
			genesis: HexBytes(genesis.0.to_vec()),
			owner: owner.to_string(),
			transaction: HexBytes(at.transaction.0.to_vec()),
			since_block: at.since.number,
			since_hash: HexBytes(at.since.hash.0.to_vec()),
			agent: None,
		}
	}

	fn signed_at(&self) -> Option<SignedAt> {
		let since = HeaderId { number: self.since_block, hash: H256(self.since_hash.exactly()?) };
		Some(SignedAt { transaction: H256(self.transaction.exactly()?), since })
	}

	fn agent(&self) -> Option<AgentId> {
		self.agent.as_ref()?.exactly().map(H256)
	}
}

/// What the chain has of an agent that was deployed from a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
	Lives,
	/// It was given up, or its cluster's owner evicted it: no agent has its id again.
	Retired,
}

impl Standing {
	/// `None` as long as its registration may not be final yet.
	fn of(has_record: bool, is_registration_final: bool) -> Option<Self> {
		match (has_record, is_registration_final) {
			(true, _) => Some(Self::Lives),
			(false, true) => Some(Self::Retired),
			(false, false) => None,
		}
	}

	fn living(self, agent: AgentId) -> Option<AgentId> {
		match self {
			Self::Lives => Some(agent),
			Self::Retired => {
				say!("  agent {agent:?}, which was deployed from this folder, was retired and is no more");
				None
			}
		}
	}
}

/// A folder of which nothing else is deployed until this is dropped, or its process ends.
#[derive(Debug)]
pub struct Locked(#[expect(dead_code, reason = "it is held")] fs::File);

/// Waits until no other command deploys the agent of a folder.
pub async fn lock(folder: &Path) -> anyhow::Result<Locked> {
	let path = folder.join(FOLDER).join(LOCK_FILE);
	let failed = || format!("cannot lock {}, against deploying it twice at once", path.display());
	if !folder.is_dir() {
		refuse!("NoAgentFolder", "{} is no folder of an agent", folder.display());
	}
	fs::create_dir_all(folder.join(FOLDER)).with_context(failed)?;
	let file = fs::File::create(&path).with_context(failed)?;
	match file.try_lock() {
		Ok(()) => return Ok(Locked(file)),
		Err(fs::TryLockError::WouldBlock) => {}
		Err(fs::TryLockError::Error(error)) => return Err(error).with_context(failed),
	}
	let what = format!("waiting for another `phala deploy` of {}", folder.display());
	let waiting = async {
		let locking = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
		locking.await?.with_context(failed)
	};
	Ok(Locked(step(&what, waiting).await?.0))
}

/// The deployments of a folder by one account on one chain.
pub struct Deployments {
	path: PathBuf,
	genesis: H256,
	owner: Address,
}

impl Deployments {
	pub fn of(folder: &Path, genesis: H256, owner: Address) -> Self {
		Self { path: folder.join(FOLDER).join(FILE), genesis, owner }
	}

	/// The agent that this account deployed from the folder on this very chain, once it is final
	/// there; `None` when there is none, when it was retired, and when none can come of what was submitted.
	pub async fn agent(&self, chain: &Chain) -> anyhow::Result<Option<AgentId>> {
		for deployed in self.read()? {
			if deployed.genesis.0 != self.genesis.0 || deployed.owner != self.owner.to_string() {
				continue;
			}
			let at = deployed.signed_at().with_context(|| self.broken())?;
			// Chains for development share block 0.
			if !at.is_of(chain).await? {
				continue;
			}
			if let Some(agent) = self.resolve(chain, deployed, at).await? {
				return Ok(Some(agent));
			}
		}
		Ok(None)
	}

	async fn resolve(
		&self,
		chain: &Chain,
		deployed: Deployed,
		at: SignedAt,
	) -> anyhow::Result<Option<AgentId>> {
		if let Some(agent) = deployed.agent() {
			let head = chain.finalized_head().await?;
			let has_record = agents::record(chain, head, agent).await?.is_some();
			// Registered, it was no later than this.
			if let Some(standing) = Standing::of(has_record, head.number > at.until()) {
				return Ok(standing.living(agent));
			}
		}
		loop {
			match at.fate(chain).await {
				Ok(Fate::Included(included)) => {
					let (agent, block) = (agents::registered(&included)?, included.block);
					self.registered(at, agent)?;
					chain.wait_until_final(block.number).await?;
					let head = chain.finalized_head().await?;
					let has_record = agents::record(chain, head, agent).await?.is_some();
					// Another block of this height may have become final in its place.
					let is_final = chain.block_hash(block.number).await? == Some(block.hash);
					if let Some(standing) = Standing::of(has_record, is_final) {
						return Ok(standing.living(agent));
					}
				}
				Ok(Fate::Open { .. }) => {}
				Ok(Fate::Lost) => {
					self.forget(at)?;
					return Ok(None);
				}
				// Refused by the chain: nothing was deployed, once that is final.
				Err(ChainClientError::Dispatch { .. }) => {
					if at.stays_refused(chain).await? {
						self.forget(at)?;
						return Ok(None);
					}
				}
				Err(error @ ChainClientError::StatePruned { .. }) => {
					return Err(error).context("whether an agent came of this folder's last registration cannot be told by this node: `phala agent list` shows your agents, `phala deploy --agent <id>` goes on with one, `phala deploy --new` registers another");
				}
				Err(error) => return Err(error.into()),
			}
			tokio::time::sleep(crate::limits::POLL).await;
		}
	}

	/// A registration is about to be submitted.
	/// If it cannot be written down it must not be submitted.
	pub fn before_submission(&self, at: SignedAt) -> anyhow::Result<()> {
		let mut deployments = self.read()?;
		deployments.insert(0, Deployed::new(self.genesis, self.owner, at));
		deployments.truncate(DEPLOYMENTS_MAX);
		self.write(deployments)
	}

	/// It came to nothing.
	pub fn forget(&self, at: SignedAt) -> anyhow::Result<()> {
		let mut deployments = self.read()?;
		deployments.retain(|deployed| deployed.signed_at() != Some(at));
		self.write(deployments)
	}

	/// Its agent is known.
	pub fn registered(&self, at: SignedAt, agent: AgentId) -> anyhow::Result<()> {
		let mut deployments = self.read()?;
		for deployed in &mut deployments {
			if deployed.signed_at() == Some(at) {
				deployed.agent = Some(HexBytes(agent.0.to_vec()));
			}
		}
		self.write(deployments)
	}

	fn read(&self) -> anyhow::Result<Vec<Deployed>> {
		let json = match fs::read(&self.path) {
			Ok(json) => json,
			Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
			Err(error) => {
				return Err(error).with_context(|| format!("cannot read {}", self.path.display()))
			}
		};
		let file: File = serde_json::from_slice(&json).with_context(|| self.broken())?;
		anyhow::ensure!(
			file.format == FORMAT,
			"{} has the format {:?}, {FORMAT:?} is taken: is this `phala` as new as the one that wrote it?",
			self.path.display(),
			file.format
		);
		Ok(file.deployments)
	}

	fn write(&self, deployments: Vec<Deployed>) -> anyhow::Result<()> {
		let failed = || {
			format!(
				"cannot write {}, without which a deployment could not go on",
				self.path.display()
			)
		};
		let folder = self.path.parent().unwrap_or(Path::new(FOLDER));
		fs::create_dir_all(folder).with_context(failed)?;
		let file = File { format: FORMAT.into(), deployments };
		// Whole or not at all.
		let mut new = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
		serde_json::to_writer_pretty(&mut new, &file).with_context(failed)?;
		new.as_file().sync_all().with_context(failed)?;
		new.persist(&self.path).map_err(|error| error.error).with_context(failed)?;
		Ok(())
	}

	fn broken(&self) -> String {
		format!(
			"{} is broken; without it `phala deploy --agent <id>` goes on with an agent, and `phala deploy` deploys another",
			self.path.display()
		)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const GENESIS: H256 = H256([1; 32]);

	fn at(transaction: u8) -> SignedAt {
		let since = HeaderId { number: 7, hash: H256([8; 32]) };
		SignedAt { transaction: H256([transaction; 32]), since }
	}

	#[test]
	fn a_deployment_is_known_before_it_is_submitted_and_its_agent_after() {
		let folder = tempfile::tempdir().unwrap();
		let deployments = Deployments::of(folder.path(), GENESIS, Address([2; 32]));
		assert_eq!(deployments.read().unwrap(), []);
		deployments.before_submission(at(10)).unwrap();
		deployments.before_submission(at(11)).unwrap();
		deployments.registered(at(10), H256([12; 32])).unwrap();
		let read = deployments.read().unwrap();
		let known: Vec<_> = read.iter().map(|one| (one.signed_at(), one.agent())).collect();
		assert_eq!(known, [(Some(at(11)), None), (Some(at(10)), Some(H256([12; 32])))]);
		// The chain refused the newer: nobody looks for it again.
		deployments.forget(at(11)).unwrap();
		let left: Vec<_> = deployments.read().unwrap().iter().map(Deployed::signed_at).collect();
		assert_eq!(left, [Some(at(10))]);
	}

	#[test]
	fn an_agent_without_a_record_is_retired_once_its_registration_is_final() {
		assert_eq!(Standing::of(false, false), None, "it is waited for");
		assert_eq!(Standing::of(false, true), Some(Standing::Retired), "not for ever");
		for is_final in [false, true] {
			assert_eq!(Standing::of(true, is_final), Some(Standing::Lives));
		}
		let agent = H256([12; 32]);
		assert_eq!(Standing::Retired.living(agent), None, "the folder deploys anew");
		assert_eq!(Standing::Lives.living(agent), Some(agent));
	}

	#[tokio::test]
	async fn two_deployments_of_a_folder_go_one_after_the_other() {
		let folder = tempfile::tempdir().unwrap();
		let first = lock(folder.path()).await.unwrap();
		let path = folder.path().to_owned();
		let mut second = tokio::spawn(async move { lock(&path).await });
		let file = fs::File::open(folder.path().join(FOLDER).join(LOCK_FILE)).unwrap();
		assert!(matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)));
		tokio::select! {
			biased;
			_ = &mut second => panic!("both have it"),
			() = tokio::task::yield_now() => {}
		}
		drop(first);
		let second = second.await.unwrap().unwrap();
		assert!(matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)));
		drop(second);
		assert!(file.try_lock().is_ok());
		// A mistyped folder is not made.
		let none = folder.path().join("none");
		assert!(lock(&none).await.is_err() && !none.exists());
	}

	#[test]
	fn the_newest_deployments_stay_and_no_more() {
		let folder = tempfile::tempdir().unwrap();
		let deployments = Deployments::of(folder.path(), GENESIS, Address([2; 32]));
		for transaction in 0..=DEPLOYMENTS_MAX {
			deployments.before_submission(at(transaction as u8)).unwrap();
		}
		let read = deployments.read().unwrap();
		assert_eq!(read.len(), DEPLOYMENTS_MAX);
		assert_eq!(read[0].signed_at(), Some(at(DEPLOYMENTS_MAX as u8)));
	}

	#[test]
	fn a_broken_file_is_refused_by_name_and_not_overwritten() {
		let folder = tempfile::tempdir().unwrap();
		let deployments = Deployments::of(folder.path(), GENESIS, Address([2; 32]));
		deployments.before_submission(at(10)).unwrap();
		for broken in ["", "{}", "{\"format\":\"phala-deployments/2\",\"deployments\":[]}"] {
			fs::write(&deployments.path, broken).unwrap();
			let error = deployments.before_submission(at(11)).unwrap_err().to_string();
			assert!(error.contains("deployments.json"), "{error}");
			assert_eq!(fs::read_to_string(&deployments.path).unwrap(), broken);
		}
	}
}
