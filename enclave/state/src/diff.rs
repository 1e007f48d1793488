//! What differs between two roots of one agent.

use crate::{
	error::{Missing, StateError},
	key::Key,
	page::{Child, Entry, PageName, Stored},
	read::PageSource,
	root::Root,
};
use codec::Encode;
use std::collections::{BTreeMap, BTreeSet};

/// From an old root to a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
	/// Entries that are in one only or were written in between; if a long value was written again as it
	/// was, that counts.
	pub changed: Vec<Key>,
	/// Pages that are in the old tree only.
	pub only_old: Vec<PageName>,
	/// Pages that are in the new tree only.
	pub only_new: Vec<PageName>,
}

/// One tree's pages of one level that the other may not have.
#[derive(Default)]
struct Side {
	pages: BTreeSet<PageName>,
	children: Vec<Child>,
	entries: BTreeMap<Vec<u8>, Stored>,
}

/// Compares level by level. A page that both have is there on the same level with all that is below
/// it, so only what differs is read: at most `pages_max` pages of each level.
pub fn diff(
	source: &impl PageSource,
	old: &Root,
	new: &Root,
	pages_max: usize,
) -> Result<Diff, StateError> {
	let (old_layout, new_layout) = (old.check(source.layouts())?, new.check(source.layouts())?);
	let mut sides = [Side::default(), Side::default()];
	let mut found = Diff::default();
	let tops = [old.top(), new.top()];
	for level in (0..old.depth.max(new.depth)).rev() {
		for (side, top) in sides.iter_mut().zip(tops) {
			side.pages.extend(side.children.drain(..).map(|child| child.page));
			side.pages.extend(top.filter(|(_, own)| *own == level).map(|(page, _)| page));
		}
		let [one, other] = &mut sides;
		part(&mut one.pages, &mut other.pages);
		let mut missing = Vec::new();
		for (side, only) in sides.iter_mut().zip([&mut found.only_old, &mut found.only_new]) {
			if side.pages.len() > pages_max {
				return Err(StateError::TooDifferent { pages_max });
			}
			for name in std::mem::take(&mut side.pages) {
				only.push(name);
				let Some(page) = source.page(&name) else {
					missing.push(name);
					continue;
				};
				if level == 0 {
					let entries = page.leaf()?.iter().cloned();
					side.entries.extend(entries.map(|Entry { key, value }| (key, value)));
				} else {
					side.children.extend_from_slice(page.inner(level)?);
				}
			}
		}
		if !missing.is_empty() {
			return Err(StateError::Missing(Missing(missing)));
		}
	}
	let [old, new] = sides;
	let [mut old_values, mut new_values] = [values(&old.entries), values(&new.entries)];
	part(&mut old_values, &mut new_values);
	found.only_old.extend(old_values);
	found.only_new.extend(new_values);
	let keys: BTreeSet<_> = old.entries.keys().chain(new.entries.keys()).collect();
	for key in keys {
		let is_same = match (old.entries.get(key), new.entries.get(key)) {
			(Some(old), Some(new)) => old.encode() == new.encode(),
			_ => false,
		};
		if !is_same {
			let known = Key::from_page(key, old_layout).or(Key::from_page(key, new_layout));
			found.changed.extend(known);
		}
	}
	Ok(found)
}

/// Leaves in each what the other has not.
fn part(one: &mut BTreeSet<PageName>, other: &mut BTreeSet<PageName>) {
	one.retain(|name| !other.remove(name));
}

fn values(entries: &BTreeMap<Vec<u8>, Stored>) -> BTreeSet<PageName> {
	let chunks = entries.values().filter_map(|stored| match stored {
		Stored::Inline(_) => None,
		Stored::Paged(chunks) => Some(chunks),
	});
	chunks.flatten().map(|chunk| chunk.page).collect()
}
