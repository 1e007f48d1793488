//! What a run's writes make of a root.

use crate::{
	error::StateError,
	page::{Page, PageName, RunId},
	read::PageSource,
	root::Root,
};
use phala_protocol::agents::StateVersion;
use std::{collections::BTreeSet, sync::Arc};

/// Whose writes are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
	/// Fresh random bytes, never used for other writes.
	pub id: RunId,
	/// Of the state afterwards.
	pub version: StateVersion,
}

/// What one run, or several in a row, made of a root.
#[derive(Clone, Debug)]
pub struct Batch {
	pub base: Root,
	pub root: Root,
	/// Pages that are in the new tree and not in the old, children before their parents.
	pub written: Vec<Arc<Page>>,
	/// Pages that are in the old tree and not in the new.
	pub replaced: Vec<PageName>,
}

impl Batch {
	/// Makes the tree go on in another layout that this release knows, newer than its own. Pages
	/// change when they are next written.
	pub fn relayout(
		source: &impl PageSource,
		base: &Root,
		layout: u16,
		version: StateVersion,
	) -> Result<Self, StateError> {
		base.check(source.layouts())?;
		source.layouts().get(layout)?;
		if layout <= base.layout {
			return Err(StateError::LayoutFalls { layout, base: base.layout });
		}
		check_version(base, version)?;
		let root = Root { layout, version, ..*base };
		Ok(Self { base: *base, root, written: Vec::new(), replaced: Vec::new() })
	}

	/// Two in a row as one: what the first wrote and the second replaced is in neither list and need
	/// not be stored. For runs that share one flush.
	pub fn join(self, next: Self) -> Result<Self, StateError> {
		if self.root != next.base {
			return Err(StateError::NotInARow);
		}
		let between: BTreeSet<_> = self.written.iter().map(|page| page.name()).collect();
		let (gone, replaced): (BTreeSet<_>, Vec<_>) =
			next.replaced.into_iter().fold(Default::default(), |(mut gone, mut replaced), name| {
				if between.contains(&name) {
					gone.insert(name);
				} else {
					replaced.push(name);
				}
				(gone, replaced)
			});
		let mut written = self.written;
		written.retain(|page| !gone.contains(&page.name()));
		written.extend(next.written);
		Ok(Self {
			base: self.base,
			root: next.root,
			written,
			replaced: self.replaced.into_iter().chain(replaced).collect(),
		})
	}
}

pub(crate) fn check_version(base: &Root, version: StateVersion) -> Result<(), StateError> {
	if version < base.version {
		return Err(StateError::VersionFalls { version, base: base.version });
	}
	Ok(())
}
