//! The root of a tree: all that has to be known of a state to read it.

use crate::{
	error::StateError,
	layout::{Layout, Layouts},
	limits::DEPTH_MAX,
	page::PageName,
};
use codec::{Decode, Encode};
use phala_protocol::{
	agents::StateVersion,
	domains::{Domain, STATE_ROOT},
	hash_of, H256,
};

/// One version of an agent's state. The chain holds its [`hash`](Self::hash); whoever has the root
/// itself checks it against that. Epoch and generation of the data key are not in it: sealing a page
/// anew changes neither names nor root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Root {
	/// How pages are written from here on. Pages of before stay as they are until they are written.
	pub layout: u16,
	pub version: StateVersion,
	/// None if there is no entry.
	pub page: Option<PageName>,
	/// Levels of pages from this one to the leaves, both included.
	pub depth: u8,
	pub entries: u64,
	/// Names and values of the entries, in bytes.
	pub bytes: u64,
	/// Pages of all kinds.
	pub pages: u64,
	/// What they take on a disk, in bytes.
	pub sealed_bytes: u64,
}

#[derive(Encode)]
struct RootHashContent<'a> {
	domain: Domain,
	root: &'a Root,
}

impl Root {
	/// Of a state without entries, before its birth.
	pub fn empty(layout: u16) -> Self {
		Self {
			layout,
			version: 0,
			page: None,
			depth: 0,
			entries: 0,
			bytes: 0,
			pages: 0,
			sealed_bytes: 0,
		}
	}

	/// What the chain holds.
	pub fn hash(&self) -> H256 {
		hash_of(&RootHashContent { domain: STATE_ROOT, root: self })
	}

	/// Its layout, if this release knows it and the root is one.
	pub(crate) fn check(&self, layouts: Layouts) -> Result<&'static Layout, StateError> {
		let layout = layouts.get(self.layout)?;
		if self.page.is_none() != (self.depth == 0) {
			return Err(StateError::BadRoot {
				why: "its depth is not that of a tree with its page",
			});
		}
		if self.depth > DEPTH_MAX {
			return Err(StateError::BadRoot { why: "it is too deep" });
		}
		if self.page.is_none()
			&& (self.entries, self.bytes, self.pages, self.sealed_bytes) != (0, 0, 0, 0)
		{
			return Err(StateError::BadRoot { why: "it counts entries or pages and has none" });
		}
		Ok(layout)
	}

	/// Its page and that page's level, 0 for a leaf.
	pub(crate) fn top(&self) -> Option<(PageName, u8)> {
		Some((self.page?, self.depth.saturating_sub(1)))
	}
}
