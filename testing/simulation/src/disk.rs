//! The disks of workers: sealed pages that outlive their processes. One process at a time has a disk, as the
//! store's lock has it.

use crate::{
	host::HostId,
	limits,
	shell::Store,
	simulation::{Happening, Simulation},
};
use phala_machine::Event;
use phala_protocol::{agents::AgentId, boot::WorkerId, H256};
use std::collections::BTreeMap;

pub type Pages = BTreeMap<(AgentId, H256), Vec<u8>>;

/// One worker's.
#[derive(Default)]
pub struct Disk {
	pub pages: Pages,
	/// What was on it some blocks ago.
	older: Pages,
	/// Which process has it.
	of: Option<HostId>,
}

impl Simulation {
	/// The disk of a process, if no other that lives has it.
	pub(crate) fn disk(&mut self, id: HostId) -> Option<&mut Pages> {
		let disk = self.disks.entry(id.worker).or_default();
		if disk.of.is_none_or(|of| of == id || !self.hosts.contains_key(&of)) {
			disk.of = Some(id);
			return Some(&mut disk.pages);
		}
		None
	}

	/// What a disk gives.
	pub(crate) fn read_disk(
		&mut self,
		id: HostId,
		agent: AgentId,
		names: &[H256],
	) -> Option<Vec<Option<Vec<u8>>>> {
		let pages = self.disk(id)?;
		Some(names.iter().map(|name| pages.get(&(agent, *name)).cloned()).collect())
	}

	/// Begins to write: any part of it may be there when the process dies.
	pub(crate) fn write_disk(&mut self, id: HostId, store: Store) {
		for (name, page) in &store.put {
			let is_there = self.random.disks.below(2) == 0;
			if let Some(pages) = self.disk(id).filter(|_| is_there) {
				pages.insert((store.agent, *name), page.clone());
			}
		}
		let ms = self.random.disks.within(limits::DISK_MS);
		self.scheduler.after(ms, Happening::Stored { id, store: Box::new(store) });
	}

	/// The rest of it is there.
	pub(crate) fn stored(&mut self, id: HostId, store: Store) {
		if !self.hosts.contains_key(&id) {
			return;
		}
		let Store { op, agent, put, delete } = store;
		let is_done = match self.disk(id) {
			Some(pages) => {
				pages.extend(put.into_iter().map(|(name, page)| ((agent, name), page)));
				pages.retain(|(of, name), _| *of != agent || !delete.contains(name));
				true
			}
			None => false,
		};
		self.tell(id, Event::PagesStored { id: op, agent, is_done });
	}

	/// Somebody copies all disks now and then.
	pub(crate) fn copy_disks(&mut self) {
		for disk in self.disks.values_mut() {
			disk.older = disk.pages.clone();
		}
	}

	/// What is on a disk now is another's, or nothing.
	pub(crate) fn replace_disk(&mut self, worker: WorkerId, by_older: bool) {
		self.oracles.disks_replaced.insert(worker);
		let disk = self.disks.entry(worker).or_default();
		disk.pages = if by_older { disk.older.clone() } else { Pages::new() };
	}
}
