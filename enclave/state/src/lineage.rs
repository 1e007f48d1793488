//! Which pages of an agent are still needed here, while steps are undecided and readers at work.
//!
//! The trunk is the newest final root. Steps are stacked on it, or on one another; another holder's may
//! stand beside them. When a final block takes one, the steps on the way to it become trunk, all others
//! from before it are superseded, and what the taken ones replaced is collected: exactly that, at once,
//! or as soon as no reader of an earlier root is left. A page of a root that is alive is never
//! collected: names do not recur, so a page is in the roots from the step that wrote it to the one
//! that replaced it, and in no other.

use crate::{
	batch::Batch, error::StateError, limits::UNDECIDED_STEPS_MAX, page::PageName, root::Root,
};
use phala_protocol::H256;
use std::collections::{BTreeMap, BTreeSet};

/// The names of a [`Batch`]; or of a [`Diff`](crate::Diff), for a step that was made by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
	pub base: Root,
	pub root: Root,
	pub written: Vec<PageName>,
	pub replaced: Vec<PageName>,
}

impl From<&Batch> for Step {
	fn from(batch: &Batch) -> Self {
		Self {
			base: batch.base,
			root: batch.root,
			written: batch.written.iter().map(|page| page.name()).collect(),
			replaced: batch.replaced.clone(),
		}
	}
}

/// One agent's roots that are alive.
pub struct Lineage {
	trunk: Root,
	/// Steps of the trunk so far.
	height: u64,
	/// By the hash of its root.
	undecided: BTreeMap<H256, Step>,
	/// Readers of a root of the trunk, by the height that it was the newest at.
	readers: BTreeMap<u64, usize>,
	/// Pages that the trunk replaced, by the height from which on it has them no more.
	dying: BTreeMap<u64, Vec<PageName>>,
}

/// A reader's place: given back when it is done.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "pages are kept for it until it is given back"]
pub struct Reader {
	height: u64,
	root: Root,
}

impl Reader {
	pub fn root(&self) -> &Root {
		&self.root
	}
}

impl Lineage {
	pub fn new(trunk: Root) -> Self {
		Self {
			trunk,
			height: 0,
			undecided: BTreeMap::new(),
			readers: BTreeMap::new(),
			dying: BTreeMap::new(),
		}
	}

	/// The newest final root.
	pub fn trunk(&self) -> &Root {
		&self.trunk
	}

	pub fn undecided(&self) -> impl Iterator<Item = &Step> {
		self.undecided.values()
	}

	/// A step from the trunk or from an undecided one.
	pub fn extend(&mut self, step: Step) -> Result<(), StateError> {
		let base = step.base.hash();
		if step.base != self.trunk && !self.undecided.contains_key(&base) {
			return Err(StateError::UnknownRoot { root: base });
		}
		let root = step.root.hash();
		if step.root == self.trunk || self.undecided.contains_key(&root) {
			return Ok(());
		}
		if self.undecided.len() >= UNDECIDED_STEPS_MAX {
			return Err(StateError::TooManyUndecided);
		}
		self.undecided.insert(root, step);
		Ok(())
	}

	/// A final block has this root. Gives what can be deleted.
	pub fn finalize(&mut self, root: H256) -> Result<Vec<PageName>, StateError> {
		let trunk = self.trunk.hash();
		let mut way = Vec::new();
		let mut at = root;
		while at != trunk {
			let step = self.undecided.remove(&at);
			let Some(step) = step else {
				// Not from here: all stays as it was.
				for step in way {
					let step: Step = step;
					self.undecided.insert(step.root.hash(), step);
				}
				return Err(StateError::UnknownRoot { root });
			};
			at = step.base.hash();
			way.push(step);
		}
		let mut passed = BTreeSet::from([trunk]);
		for step in way.into_iter().rev() {
			self.height = self.height.saturating_add(1);
			self.dying.entry(self.height).or_default().extend(step.replaced);
			self.trunk = step.root;
			passed.insert(step.root.hash());
		}
		passed.remove(&root);
		let superseded: Vec<_> = self
			.undecided
			.iter()
			.filter(|(_, step)| passed.contains(&step.base.hash()))
			.map(|(root, _)| *root)
			.collect();
		let mut freed = Vec::new();
		for root in superseded {
			freed.extend(self.abandon(root));
		}
		freed.extend(self.collect());
		Ok(freed)
	}

	/// An undecided step will not be taken, nor what stands on it. Gives what can be deleted.
	pub fn abandon(&mut self, root: H256) -> Vec<PageName> {
		let mut freed = Vec::new();
		let mut gone = vec![root];
		while let Some(root) = gone.pop() {
			let Some(step) = self.undecided.remove(&root) else { continue };
			freed.extend(step.written);
			let above = self.undecided.iter().filter(|(_, step)| step.base.hash() == root);
			gone.extend(above.map(|(root, _)| *root));
		}
		freed
	}

	/// A reader of the newest final root.
	pub fn read(&mut self) -> Reader {
		let readers = self.readers.entry(self.height).or_default();
		*readers = readers.saturating_add(1);
		Reader { height: self.height, root: self.trunk }
	}

	/// It is done. Gives what can be deleted.
	pub fn done(&mut self, reader: Reader) -> Vec<PageName> {
		if let Some(readers) = self.readers.get_mut(&reader.height) {
			*readers = readers.saturating_sub(1);
			if *readers == 0 {
				self.readers.remove(&reader.height);
			}
		}
		self.collect()
	}

	/// What no root has that somebody reads.
	fn collect(&mut self) -> Vec<PageName> {
		let oldest = self.readers.keys().next().copied().unwrap_or(self.height);
		let kept = self.dying.split_off(&oldest.saturating_add(1));
		std::mem::replace(&mut self.dying, kept).into_values().flatten().collect()
	}
}
