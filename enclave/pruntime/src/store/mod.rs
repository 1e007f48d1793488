//! What the shell keeps: sealed pages, on a disk ([`PageStore`]); components and manifests, in a folder beside
//! them; agents' logs and proofs of answers, in memory: these are worth nothing after a restart.

mod code;
mod logs;
mod pages;
mod proofs;

pub use code::CodeError;
pub use logs::LogPage;
pub use pages::{DiskPages, MemoryPages, PageStore};

use crate::sync::lock;
use code::Code;
use logs::Logs;
use phala_machine::Kept;
use phala_protocol::{
	agents::AgentId,
	requests::{LogEntry, SignedAnswer},
	H256,
};
use proofs::Proofs;
use std::{
	io,
	path::PathBuf,
	sync::{Arc, Mutex},
};

/// A place to keep things. Everything in it is untrusted when it comes back, or was checked before
/// it went in.
pub trait Store: Send + Sync {
	/// Takes a component or manifest in, if `hash` is its hash.
	fn put_code(&self, hash: H256, bytes: Vec<u8>) -> Result<(), CodeError>;
	fn code(&self, hash: &H256) -> Option<Arc<[u8]>>;
	fn log(&self, agent: AgentId, entry: LogEntry);
	/// The newest lines of an agent's log before line number `before`, as many as a page holds.
	fn log_page(&self, agent: &AgentId, before: Option<u64>) -> LogPage;
	fn put_proof(&self, proof: SignedAnswer);
	fn proof(&self, id: &H256) -> Option<SignedAnswer>;
	/// Forgets what the machine has no more use for.
	fn keep(&self, kept: &Kept);
}

/// In memory, but for code if it has a folder.
#[derive(Default)]
pub struct MemoryStore {
	code: Code,
	logs: Mutex<Logs>,
	proofs: Mutex<Proofs>,
}

impl MemoryStore {
	/// Keeps code in this folder, too, which it makes if it is not there.
	pub fn with_code_in(folder: PathBuf) -> io::Result<Self> {
		Ok(Self { code: Code::in_folder(folder)?, ..Self::default() })
	}
}

impl Store for MemoryStore {
	fn put_code(&self, hash: H256, bytes: Vec<u8>) -> Result<(), CodeError> {
		code::check(hash, &bytes)?;
		self.code.put(hash, bytes);
		Ok(())
	}

	fn code(&self, hash: &H256) -> Option<Arc<[u8]>> {
		self.code.get(hash)
	}

	fn log(&self, agent: AgentId, entry: LogEntry) {
		lock(&self.logs).append(agent, entry);
	}

	fn log_page(&self, agent: &AgentId, before: Option<u64>) -> LogPage {
		lock(&self.logs).page(agent, before)
	}

	fn put_proof(&self, proof: SignedAnswer) {
		lock(&self.proofs).put(proof);
	}

	fn proof(&self, id: &H256) -> Option<SignedAnswer> {
		lock(&self.proofs).get(id)
	}

	fn keep(&self, kept: &Kept) {
		self.code.keep(&kept.code);
		lock(&self.logs).keep(&kept.agents);
	}
}
