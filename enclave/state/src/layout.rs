//! How a tree is laid out in pages, by number. A root names its layout, and so does each page: they
//! change only by an explicit update ([`Batch::relayout`](crate::Batch::relayout)), never because a
//! release is newer. A root of a layout that a release does not know is refused by name.

use crate::{
	error::StateError,
	limits::{
		INLINE_VALUE_BYTES_MAX, KEY_BYTES_MAX, NODE_PAGE_BYTES_MAX, SEALING_BYTES, VALUE_BYTES_MAX,
		VALUE_PAGE_BYTES_MAX,
	},
	page::{CHILD_OVERHEAD_BYTES, CHUNK_BYTES_MAX, ENTRY_OVERHEAD_BYTES, PAGE_OVERHEAD_BYTES},
};

/// The figures of one layout. Lengths of pages are those of their plaintexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
	pub number: u16,
	/// Longest name of an entry within its key space.
	pub key_bytes_max: usize,
	pub value_bytes_max: usize,
	/// Longest value that stands in its leaf.
	pub inline_bytes_max: usize,
	pub leaf_bytes_max: usize,
	pub inner_bytes_max: usize,
	pub value_page_bytes_max: usize,
}

/// The first.
pub const LAYOUT_1: Layout = Layout {
	number: 1,
	key_bytes_max: KEY_BYTES_MAX,
	value_bytes_max: VALUE_BYTES_MAX,
	inline_bytes_max: INLINE_VALUE_BYTES_MAX,
	leaf_bytes_max: NODE_PAGE_BYTES_MAX - SEALING_BYTES,
	inner_bytes_max: NODE_PAGE_BYTES_MAX - SEALING_BYTES,
	value_page_bytes_max: VALUE_PAGE_BYTES_MAX - SEALING_BYTES,
};

/// Those that this release reads and writes, the one for new trees last.
pub const LAYOUTS: Layouts = Layouts::new(&[LAYOUT_1]);

impl Layout {
	/// Bytes of a leaf's entries.
	pub(crate) const fn leaf_room(&self) -> usize {
		self.leaf_bytes_max.saturating_sub(PAGE_OVERHEAD_BYTES)
	}

	/// Bytes of an inner page's children.
	pub(crate) const fn inner_room(&self) -> usize {
		self.inner_bytes_max.saturating_sub(PAGE_OVERHEAD_BYTES)
	}

	/// Bytes of a value in a page of its own.
	pub(crate) const fn value_room(&self) -> usize {
		self.value_page_bytes_max.saturating_sub(PAGE_OVERHEAD_BYTES)
	}

	/// Four of the longest entries fit a leaf, and four children an inner page: so whatever is too
	/// long can be parted in pages of which none is short, and what is short can be joined.
	const fn is_sound(&self) -> bool {
		if self.value_room() == 0
			|| self.inline_bytes_max > self.value_bytes_max
			|| self.value_bytes_max > VALUE_BYTES_MAX
			|| self.key_bytes_max > KEY_BYTES_MAX
			|| self.leaf_bytes_max > NODE_PAGE_BYTES_MAX * 2
			|| self.inner_bytes_max > NODE_PAGE_BYTES_MAX * 2
			|| self.value_page_bytes_max > VALUE_PAGE_BYTES_MAX
		{
			return false;
		}
		let key = self.key_bytes_max.saturating_add(1);
		let chunks =
			self.value_bytes_max.div_ceil(self.value_room()).saturating_mul(CHUNK_BYTES_MAX);
		let value = if chunks > self.inline_bytes_max { chunks } else { self.inline_bytes_max };
		let entry = key.saturating_add(value).saturating_add(ENTRY_OVERHEAD_BYTES);
		let child = key.saturating_add(CHILD_OVERHEAD_BYTES);
		entry <= self.leaf_room() / 4 && child <= self.inner_room() / 4
	}
}

/// The layouts that a release knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layouts(&'static [Layout]);

impl Layouts {
	/// In a constant, so that what does not fit together does not compile.
	pub const fn new(known: &'static [Layout]) -> Self {
		assert!(!known.is_empty(), "a release knows a layout");
		let mut rest = known;
		while let [first, others @ ..] = rest {
			assert!(first.is_sound(), "four of the longest entries fit a page");
			rest = others;
		}
		Self(known)
	}

	pub fn get(&self, number: u16) -> Result<&'static Layout, StateError> {
		self.0.iter().find(|layout| layout.number == number).ok_or_else(|| {
			StateError::UnknownLayout {
				layout: number,
				known: self.0.iter().map(|layout| layout.number).collect(),
			}
		})
	}

	/// The one for new trees.
	pub fn newest(&self) -> u16 {
		self.0.last().map_or(0, |layout| layout.number)
	}
}
