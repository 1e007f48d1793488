//! A run's view of the state: what it wrote over the root that it started from.

use crate::{
	batch::{Batch, Run},
	error::StateError,
	key::{Key, Value, Writes},
	read::{scan_over, PageSource, Scan, Scanned, Snapshot},
	root::Root,
	write::apply,
};

/// Writes that are seen by their own reads and by nobody else, until [`finish`](Self::finish) makes a
/// new root of them. Dropping it undoes all.
pub struct Transaction<S> {
	base: Snapshot<S>,
	writes: Writes,
}

impl<S: PageSource> Transaction<S> {
	pub fn new(source: S, base: Root) -> Result<Self, StateError> {
		Ok(Self { base: Snapshot::new(source, base)?, writes: Writes::new() })
	}

	pub fn get(&self, key: &Key) -> Result<Option<Value>, StateError> {
		match self.writes.get(key) {
			Some(written) => Ok(written.clone()),
			None => self.base.get(key),
		}
	}

	pub fn set(&mut self, key: Key, value: Value) {
		self.writes.insert(key, Some(value));
	}

	pub fn delete(&mut self, key: Key) {
		self.writes.insert(key, None);
	}

	pub fn scan(&self, scan: &Scan) -> Result<Scanned, StateError> {
		scan_over(self.base.source(), self.base.root(), &self.writes, scan)
	}

	/// What the members are sent.
	pub fn writes(&self) -> &Writes {
		&self.writes
	}

	/// The new root and its pages. If pages are missing, the same can be asked again.
	pub fn finish(&self, run: Run) -> Result<Batch, StateError> {
		apply(self.base.source(), self.base.root(), run, &self.writes)
	}
}
