//! Where sealed pages are kept: on a disk by a process of the host's, or, without a chain, in memory.

use crate::sync::lock;
use async_trait::async_trait;
use phala_protocol::{agents::AgentId, H256};
use std::{
	collections::BTreeMap,
	sync::{Arc, Mutex},
};

/// The disk of the machine's port. What it gives is checked there.
#[async_trait]
pub trait PageStore: Send + Sync {
	/// What is stored under each name, in their order.
	async fn get(&self, agent: AgentId, names: &[H256]) -> anyhow::Result<Vec<Option<Vec<u8>>>>;

	/// Stores and deletes. All of it is durable when it returns.
	async fn store(
		&self,
		agent: AgentId,
		put: &[(H256, Vec<u8>)],
		delete: &[H256],
	) -> anyhow::Result<()>;

	/// At most so many names of an agent, in ascending order, after one.
	async fn names(
		&self,
		agent: AgentId,
		after: Option<H256>,
		names_max: usize,
	) -> anyhow::Result<Vec<H256>>;

	/// How often it began empty although it had been written to.
	fn emptied(&self) -> u64;

	/// Ends in order.
	fn close(&self);
}

/// `pruntime-store`.
pub struct DiskPages(pub phala_store::Store);

#[async_trait]
impl PageStore for DiskPages {
	async fn get(&self, agent: AgentId, names: &[H256]) -> anyhow::Result<Vec<Option<Vec<u8>>>> {
		Ok(self.0.get(&agent, names).await?)
	}

	async fn store(
		&self,
		agent: AgentId,
		put: &[(H256, Vec<u8>)],
		delete: &[H256],
	) -> anyhow::Result<()> {
		if !put.is_empty() {
			self.0.put(&agent, put).await?;
		}
		if !delete.is_empty() {
			self.0.delete(&agent, delete).await?;
		}
		Ok(())
	}

	async fn names(
		&self,
		agent: AgentId,
		after: Option<H256>,
		names_max: usize,
	) -> anyhow::Result<Vec<H256>> {
		Ok(self.0.names(&agent, after, names_max).await?)
	}

	fn emptied(&self) -> u64 {
		self.0.status().set_aside
	}

	fn close(&self) {
		self.0.close();
	}
}

type Page = Arc<[u8]>;

/// In memory: of a machine without a chain, whose agents end with it.
#[derive(Default)]
pub struct MemoryPages(Mutex<BTreeMap<(AgentId, H256), Page>>);

#[async_trait]
impl PageStore for MemoryPages {
	async fn get(&self, agent: AgentId, names: &[H256]) -> anyhow::Result<Vec<Option<Vec<u8>>>> {
		let pages = lock(&self.0);
		Ok(names.iter().map(|name| pages.get(&(agent, *name)).map(|page| page.to_vec())).collect())
	}

	async fn store(
		&self,
		agent: AgentId,
		put: &[(H256, Vec<u8>)],
		delete: &[H256],
	) -> anyhow::Result<()> {
		let mut pages = lock(&self.0);
		for (name, page) in put {
			pages.insert((agent, *name), page.as_slice().into());
		}
		for name in delete {
			pages.remove(&(agent, *name));
		}
		Ok(())
	}

	async fn names(
		&self,
		agent: AgentId,
		after: Option<H256>,
		names_max: usize,
	) -> anyhow::Result<Vec<H256>> {
		let pages = lock(&self.0);
		let names = pages.keys().filter(|(of, _)| *of == agent).map(|(_, name)| *name);
		Ok(names.filter(|name| after.is_none_or(|after| *name > after)).take(names_max).collect())
	}

	fn emptied(&self) -> u64 {
		0
	}

	fn close(&self) {}
}
