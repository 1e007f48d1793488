//! Which pages of a root are absent: for catching up page by page, and for being sure before a member
//! says that it holds a root.

use crate::{
	error::{Missing, StateError},
	layout::Layouts,
	lineage::Step,
	page::{Body, Page, PageName, Stored},
	root::Root,
};
use std::{
	collections::{BTreeMap, BTreeSet},
	sync::Arc,
};

const MORE_PAGES: StateError =
	StateError::BadRoot { why: "it has another number of pages than it says" };

/// A root of which every page is stored here, durably: what a member may acknowledge. It can only come
/// from nothing, from a walk that found every page, or from another with a step's pages added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete(Root);

impl Complete {
	/// A state without entries.
	pub fn empty(layout: u16) -> Self {
		Self(Root::empty(layout))
	}

	/// After a step whose pages the caller has stored: the store said so.
	pub fn after(&self, step: &Step) -> Result<Self, StateError> {
		if step.base != self.0 {
			return Err(StateError::NotInARow);
		}
		Ok(Self(step.root))
	}

	pub fn root(&self) -> &Root {
		&self.0
	}
}

/// How a walk looks at what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
	/// Opens what leads to other pages; of the rest it asks whether it is there. That is the hundredth
	/// part of a large state.
	Presence,
	/// Opens every page.
	Contents,
}

/// What a walk asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
	pub page: PageName,
	/// What has to be given: the page, or only that it is stored.
	pub contents: bool,
}

#[derive(Clone, Copy)]
enum Place {
	Inner { level: u8 },
	Leaf { paged: bool },
	Value { bytes: u32 },
}

/// Goes through all pages of a root, in whatever order they come. It asks ([`want`](Self::want)), and is
/// given ([`page`](Self::page), [`present`](Self::present)); what is not given stays asked for, and can
/// be fetched from anywhere. What it remembers is bounded by what is asked for at once.
pub struct Walk {
	root: Root,
	check: Check,
	todo: Vec<(PageName, Place)>,
	asked: BTreeMap<PageName, Place>,
	found: u64,
}

impl Walk {
	pub fn new(layouts: Layouts, root: Root, check: Check) -> Result<Self, StateError> {
		root.check(layouts)?;
		let top = root.top().map(|(page, level)| match level {
			0 => (page, Place::Leaf { paged: true }),
			_ => (page, Place::Inner { level }),
		});
		let todo = top.into_iter().collect();
		Ok(Self { root, check, todo, asked: BTreeMap::new(), found: 0 })
	}

	pub fn root(&self) -> &Root {
		&self.root
	}

	/// Pages found so far; the root says of how many.
	pub fn found(&self) -> u64 {
		self.found
	}

	fn wanted(&self, page: PageName, place: Place) -> Wanted {
		let leads_on = match place {
			Place::Inner { .. } => true,
			Place::Leaf { paged } => paged,
			Place::Value { .. } => false,
		};
		Wanted { page, contents: leads_on || self.check == Check::Contents }
	}

	/// More to look for, so that at most `asked_max` are asked for.
	pub fn want(&mut self, asked_max: usize) -> Vec<Wanted> {
		let mut wanted = Vec::new();
		while self.asked.len() < asked_max {
			let Some((page, place)) = self.todo.pop() else { break };
			self.asked.insert(page, place);
			wanted.push(self.wanted(page, place));
		}
		wanted
	}

	/// What was asked for and not given.
	pub fn asked(&self) -> impl Iterator<Item = Wanted> + '_ {
		self.asked.iter().map(|(page, place)| self.wanted(*page, *place))
	}

	/// A page that is stored. Others than were asked for are passed over.
	pub fn page(&mut self, page: &Page) -> Result<(), StateError> {
		let name = page.name();
		let Some(place) = self.asked.get(&name).copied() else { return Ok(()) };
		match place {
			Place::Inner { level } => {
				let below = level.saturating_sub(1);
				let children = page.inner(level)?.iter().map(|child| match below {
					0 => (child.page, Place::Leaf { paged: child.paged }),
					_ => (child.page, Place::Inner { level: below }),
				});
				// The next that is asked for is the first.
				self.todo.extend(children.rev());
			}
			Place::Leaf { .. } => {
				for entry in page.leaf()?.iter().rev() {
					if let Stored::Paged(chunks) = &entry.value {
						let places =
							chunks.iter().map(|it| (it.page, Place::Value { bytes: it.bytes }));
						self.todo.extend(places.rev());
					}
				}
			}
			Place::Value { bytes } => {
				let is_of_length = matches!(page.body(), Body::Value(value) if value.expose().len() == bytes as usize);
				if !is_of_length {
					let why = "it is no value of its length";
					return Err(StateError::NotATree { page: name, why });
				}
			}
		}
		self.note(name);
		if self.found > self.root.pages {
			// One page may be named many times: it is no tree, and would be gone through without end.
			return Err(MORE_PAGES);
		}
		Ok(())
	}

	/// A page of which nothing more is wanted is stored.
	pub fn present(&mut self, name: &PageName) {
		let place = self.asked.get(name).copied();
		if place.is_some_and(|place| !self.wanted(*name, place).contents) {
			self.note(*name);
		}
	}

	fn note(&mut self, name: PageName) {
		if self.asked.remove(&name).is_some() {
			self.found = self.found.saturating_add(1);
		}
	}

	/// The root, if every page of it was found.
	pub fn complete(&self) -> Result<Option<Complete>, StateError> {
		if !self.todo.is_empty() || !self.asked.is_empty() {
			return Ok(None);
		}
		if self.found != self.root.pages {
			return Err(MORE_PAGES);
		}
		Ok(Some(Complete(self.root)))
	}

	/// Those that this walk was not given, at most so many: it goes on with what `read` and `has` give.
	pub fn missing(
		&mut self,
		mut read: impl FnMut(&PageName) -> Option<Arc<Page>>,
		mut has: impl FnMut(&PageName) -> bool,
		missing_max: usize,
	) -> Result<Vec<PageName>, StateError> {
		let mut absent = BTreeSet::new();
		let mut wanted: Vec<_> = self.asked().collect();
		loop {
			for Wanted { page: name, contents } in wanted.drain(..) {
				if !contents && has(&name) {
					self.present(&name);
				} else if let Some(page) = contents.then(|| read(&name)).flatten() {
					self.page(&page)?;
				} else {
					absent.insert(name);
				}
			}
			let room = missing_max.saturating_sub(absent.len()).min(1);
			wanted = self.want(self.asked.len().saturating_add(room));
			if wanted.is_empty() {
				return Ok(absent.into_iter().take(missing_max).collect());
			}
		}
	}
}

/// The pages of `root` that are absent, at most so many.
pub fn missing(
	layouts: Layouts,
	root: &Root,
	read: impl FnMut(&PageName) -> Option<Arc<Page>>,
	has: impl FnMut(&PageName) -> bool,
	missing_max: usize,
) -> Result<Vec<PageName>, StateError> {
	Walk::new(layouts, *root, Check::Presence)?.missing(read, has, missing_max)
}

/// The root, if all of its pages can be read; else one that cannot.
pub fn holds_completely(
	layouts: Layouts,
	root: &Root,
	read: impl FnMut(&PageName) -> Option<Arc<Page>>,
) -> Result<Complete, StateError> {
	let mut walk = Walk::new(layouts, *root, Check::Contents)?;
	let absent = walk.missing(read, |_| false, 1)?;
	match walk.complete()? {
		Some(complete) => Ok(complete),
		None => Err(StateError::Missing(Missing(absent))),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		key::{Space, Value},
		layout::LAYOUTS,
		limits::DEPTH_MAX,
		page::{Child, Entry},
	};

	/// Writes pages of which each names the one below it again and again.
	struct Weaver;

	impl Weaver {
		fn weave() -> (Root, BTreeMap<PageName, Arc<Page>>) {
			let layout = LAYOUTS.newest();
			let mut pages = BTreeMap::new();
			let mut number = 0;
			let mut write = |body| {
				number += 1;
				let page = Page::write(layout, 1, [7; 32], number, body);
				let name = page.name();
				pages.insert(name, Arc::new(page));
				name
			};
			let key = |number: u8| vec![Space::Entries.byte(), number];
			let value = Stored::Inline(Value::new(vec![1]).unwrap());
			let mut below = write(Body::Leaf(vec![Entry { key: key(0), value }]));
			for level in 1..DEPTH_MAX {
				let child = |number| Child { key: key(number), page: below, paged: false };
				below = write(Body::Inner { level, children: (0..16).map(child).collect() });
			}
			let root = Root {
				version: 1,
				page: Some(below),
				depth: DEPTH_MAX,
				entries: 1,
				pages: number.into(),
				..Root::empty(layout)
			};
			(root, pages)
		}
	}

	#[test]
	fn a_weavers_pages_are_no_tree_and_are_not_gone_through_again_and_again() {
		let (root, pages) = Weaver::weave();
		let mut walk = Walk::new(LAYOUTS, root, Check::Contents).unwrap();
		let read = |name: &PageName| pages.get(name).cloned();
		assert_eq!(walk.missing(read, |_| false, 64), Err(MORE_PAGES));
		assert_eq!(walk.found(), root.pages + 1);
	}
}
