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

	/// All of it is durable when it returns.
	async fn put(&self, agent: AgentId, pages: &[(H256, Vec<u8>)]) -> anyhow::Result<()>;

	/// What is not there is no error.
	async fn delete(&self, agent: AgentId, names: &[H256]) -> anyhow::Result<()>;

	/// Deletes and stores, whatever becomes of the other; the first error. What is deleted may be just what a
	/// full disk needs.
	async fn store(
		&self,
		agent: AgentId,
		put: &[(H256, Vec<u8>)],
		delete: &[H256],
	) -> anyhow::Result<()> {
		let mut done = Ok(());
		if !delete.is_empty() {
			done = self.delete(agent, delete).await;
		}
		if !put.is_empty() {
			done = done.and(self.put(agent, put).await);
		}
		done
	}

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

	async fn put(&self, agent: AgentId, pages: &[(H256, Vec<u8>)]) -> anyhow::Result<()> {
		Ok(self.0.put(&agent, pages).await?)
	}

	async fn delete(&self, agent: AgentId, names: &[H256]) -> anyhow::Result<()> {
		Ok(self.0.delete(&agent, names).await?)
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
		self.0.status().emptied
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

	async fn put(&self, agent: AgentId, put: &[(H256, Vec<u8>)]) -> anyhow::Result<()> {
		let mut pages = lock(&self.0);
		for (name, page) in put {
			pages.insert((agent, *name), page.as_slice().into());
		}
		Ok(())
	}

	async fn delete(&self, agent: AgentId, names: &[H256]) -> anyhow::Result<()> {
		let mut pages = lock(&self.0);
		for name in names {
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

#[cfg(test)]
mod tests {
	use super::*;

	/// Has room for so many pages and no more.
	struct FullDisk(MemoryPages, usize);

	#[async_trait]
	impl PageStore for FullDisk {
		async fn get(&self, of: AgentId, names: &[H256]) -> anyhow::Result<Vec<Option<Vec<u8>>>> {
			self.0.get(of, names).await
		}

		async fn put(&self, agent: AgentId, pages: &[(H256, Vec<u8>)]) -> anyhow::Result<()> {
			let is_full = lock(&self.0 .0).len() + pages.len() > self.1;
			anyhow::ensure!(!is_full, "the disk is full");
			self.0.put(agent, pages).await
		}

		async fn delete(&self, agent: AgentId, names: &[H256]) -> anyhow::Result<()> {
			self.0.delete(agent, names).await
		}

		async fn names(
			&self,
			agent: AgentId,
			after: Option<H256>,
			names_max: usize,
		) -> anyhow::Result<Vec<H256>> {
			self.0.names(agent, after, names_max).await
		}

		fn emptied(&self) -> u64 {
			0
		}

		fn close(&self) {}
	}

	fn page(number: u8) -> (H256, Vec<u8>) {
		(H256::repeat_byte(number), vec![number])
	}

	#[tokio::test]
	async fn a_full_disk_frees_itself_by_what_is_deleted_with_the_put_that_it_refuses() {
		let (disk, agent) = (FullDisk(MemoryPages::default(), 2), H256::zero());
		disk.store(agent, &[page(1), page(2)], &[]).await.unwrap();
		disk.store(agent, &[page(3)], &[page(1).0]).await.unwrap();
		let two = [page(4), page(5)];
		assert!(disk.store(agent, &two, &[page(2).0]).await.is_err(), "there is room for one");
		assert_eq!(disk.names(agent, None, 9).await.unwrap(), [page(3).0], "and it was made");
		disk.store(agent, &two[..1], &[]).await.unwrap();
	}
}
