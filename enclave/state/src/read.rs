//! Reading a tree, of which any page may not be at hand.

use crate::{
	error::{Missing, StateError},
	key::{Key, Space, Value, Writes},
	layout::Layouts,
	limits::READ_AHEAD_PAGES,
	page::{Chunk, Entry, Page, PageName, Stored},
	root::Root,
};
use std::{
	cell::RefCell,
	collections::{btree_map, BTreeMap, BTreeSet},
	iter::Peekable,
	ops::{Bound, ControlFlow},
	sync::Arc,
};

/// Pages that are in memory. Others are asked for with [`StateError::Missing`].
pub trait PageSource {
	/// Those that this release knows.
	fn layouts(&self) -> Layouts;
	fn page(&self, name: &PageName) -> Option<Arc<Page>>;
}

impl<S: PageSource + ?Sized> PageSource for &S {
	fn layouts(&self) -> Layouts {
		(**self).layouts()
	}

	fn page(&self, name: &PageName) -> Option<Arc<Page>> {
		(**self).page(name)
	}
}

/// What one operation has come by, over what is there for all. It keeps each page that the operation
/// used, so that it comes to its end however small the cache is that others use too. Let go with the
/// operation.
pub struct Gathered<S> {
	shared: S,
	own: RefCell<BTreeMap<PageName, Arc<Page>>>,
}

impl<S: PageSource> Gathered<S> {
	pub fn new(shared: S) -> Self {
		Self { shared, own: RefCell::default() }
	}

	/// A page that was missing.
	pub fn add(&self, page: Arc<Page>) {
		self.own.borrow_mut().insert(page.name(), page);
	}
}

impl<S: PageSource> PageSource for Gathered<S> {
	fn layouts(&self) -> Layouts {
		self.shared.layouts()
	}

	fn page(&self, name: &PageName) -> Option<Arc<Page>> {
		let mut own = self.own.borrow_mut();
		if let Some(page) = own.get(name) {
			return Some(page.clone());
		}
		let page = self.shared.page(name)?;
		own.insert(*name, page.clone());
		Some(page)
	}
}

/// A state at one root. Whoever reads it needs nothing else, and sees nothing else.
pub struct Snapshot<S> {
	source: S,
	root: Root,
}

/// Which entries are asked for, in ascending order of their names' bytes.
#[derive(Clone, Debug)]
pub struct Scan {
	pub space: Space,
	/// Those whose name starts with it.
	pub prefix: Vec<u8>,
	/// Those from this name on.
	pub from: Bound<Vec<u8>>,
	/// Those up to this name.
	pub until: Bound<Vec<u8>>,
	/// At most so many.
	pub entries_max: usize,
	/// It ends before names and values are longer than this together, but has one entry at least.
	pub bytes_max: usize,
}

impl Scan {
	/// All entries of a space.
	pub fn all(space: Space) -> Self {
		Self {
			space,
			prefix: Vec::new(),
			from: Bound::Unbounded,
			until: Bound::Unbounded,
			entries_max: usize::MAX,
			bytes_max: usize::MAX,
		}
	}

	pub fn prefix(space: Space, prefix: &[u8]) -> Self {
		Self { prefix: prefix.to_vec(), ..Self::all(space) }
	}
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
	pub entries: Vec<(Key, Value)>,
	/// Where the next scan goes on, [included](Bound::Included), if a limit ended this one.
	pub next: Option<Key>,
}

impl<S: PageSource> Snapshot<S> {
	pub fn new(source: S, root: Root) -> Result<Self, StateError> {
		root.check(source.layouts())?;
		Ok(Self { source, root })
	}

	pub fn root(&self) -> &Root {
		&self.root
	}

	pub fn get(&self, key: &Key) -> Result<Option<Value>, StateError> {
		get(&self.source, &self.root, key)
	}

	pub fn scan(&self, scan: &Scan) -> Result<Scanned, StateError> {
		scan_over(&self.source, &self.root, &Writes::new(), scan)
	}

	pub(crate) fn source(&self) -> &S {
		&self.source
	}
}

fn missing(pages: impl IntoIterator<Item = PageName>) -> StateError {
	StateError::Missing(Missing(pages.into_iter().collect()))
}

/// At most one page of each level is read, then those of the value.
fn get(source: &impl PageSource, root: &Root, key: &Key) -> Result<Option<Value>, StateError> {
	let Some((mut name, mut level)) = root.top() else { return Ok(None) };
	loop {
		let page = source.page(&name).ok_or_else(|| missing([name]))?;
		if level == 0 {
			let entries = page.leaf()?;
			let found = entries.binary_search_by(|entry| entry.key.as_slice().cmp(key.as_bytes()));
			let Some(entry) = found.ok().and_then(|index| entries.get(index)) else {
				return Ok(None);
			};
			let mut absent = BTreeSet::new();
			let value = value_of(source, entry, &mut absent)?;
			return if absent.is_empty() { Ok(value) } else { Err(missing(absent)) };
		}
		let children = page.inner(level)?;
		let after = children.partition_point(|child| child.key.as_slice() <= key.as_bytes());
		let child = children.get(after.saturating_sub(1)).or(children.first());
		let Some(child) = child else { return Ok(None) };
		name = child.page;
		level = level.saturating_sub(1);
	}
}

/// Of an entry; notes the pages that it lacks, and then has none.
fn value_of(
	source: &impl PageSource,
	entry: &Entry,
	absent: &mut BTreeSet<PageName>,
) -> Result<Option<Value>, StateError> {
	let chunks: &[Chunk] = match &entry.value {
		Stored::Inline(value) => return Ok(Some(value.clone())),
		Stored::Paged(chunks) => chunks,
	};
	let before = absent.len();
	let mut bytes = Vec::with_capacity(entry.value_bytes());
	for chunk in chunks {
		match source.page(&chunk.page) {
			Some(page) => bytes.extend_from_slice(page.value(chunk)?),
			None => {
				absent.insert(chunk.page);
			}
		}
	}
	let value = Value::from_page(bytes);
	Ok((absent.len() == before).then_some(value))
}

/// Keys from `start` on, below `end`.
struct Range {
	start: Vec<u8>,
	end: Option<Vec<u8>>,
}

/// The least bytes that are greater than all that start with `prefix`.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
	let mut end = prefix.to_vec();
	while let Some(last) = end.pop() {
		if let Some(next) = last.checked_add(1) {
			end.push(next);
			return Some(end);
		}
	}
	None
}

impl Range {
	fn of(scan: &Scan) -> Self {
		let key = |name: &[u8]| [&[scan.space.byte()], name].concat();
		// The least that is greater than a key is the key and a zero.
		let next = |name: &[u8]| [key(name), vec![0]].concat();
		let prefix = key(&scan.prefix);
		let end = after_prefix(&prefix);
		let start = match &scan.from {
			Bound::Unbounded => prefix,
			Bound::Included(from) => prefix.max(key(from)),
			Bound::Excluded(from) => prefix.max(next(from)),
		};
		let until = match &scan.until {
			Bound::Unbounded => None,
			Bound::Included(until) => Some(next(until)),
			Bound::Excluded(until) => Some(key(until)),
		};
		let end = match (end, until) {
			(Some(end), Some(until)) => Some(end.min(until)),
			(end, until) => end.or(until),
		};
		Self { start, end }
	}

	fn is_past(&self, key: &[u8]) -> bool {
		self.end.as_deref().is_some_and(|end| key >= end)
	}
}

/// Calls `visit` with each entry of the range, in order, until it breaks. If pages are missing, some of
/// those that come next are named.
fn walk(
	source: &impl PageSource,
	root: &Root,
	range: &Range,
	visit: &mut impl FnMut(&Entry) -> Result<ControlFlow<()>, StateError>,
) -> Result<(), StateError> {
	let Some((top, level)) = root.top() else { return Ok(()) };
	if range.is_past(&range.start) {
		return Ok(());
	}
	let page = source.page(&top).ok_or_else(|| missing([top]))?;
	walk_page(source, &page, level, range, visit).map(|_| ())
}

fn walk_page(
	source: &impl PageSource,
	page: &Page,
	level: u8,
	range: &Range,
	visit: &mut impl FnMut(&Entry) -> Result<ControlFlow<()>, StateError>,
) -> Result<ControlFlow<()>, StateError> {
	if level == 0 {
		let entries = page.leaf()?;
		let from = entries.partition_point(|entry| entry.key < range.start);
		for entry in entries.iter().skip(from) {
			if range.is_past(&entry.key) || visit(entry)?.is_break() {
				return Ok(ControlFlow::Break(()));
			}
		}
		return Ok(ControlFlow::Continue(()));
	}
	let children = page.inner(level)?;
	let from = children.partition_point(|child| child.key <= range.start).saturating_sub(1);
	let mut ahead = children.iter().enumerate().skip(from);
	while let Some((index, child)) = ahead.next() {
		if index > from && range.is_past(&child.key) {
			return Ok(ControlFlow::Break(()));
		}
		let Some(below) = source.page(&child.page) else {
			let next = ahead
				.take_while(|(_, child)| !range.is_past(&child.key))
				.take(READ_AHEAD_PAGES)
				.map(|(_, child)| child.page)
				.filter(|name| source.page(name).is_none());
			return Err(missing([child.page].into_iter().chain(next)));
		};
		if walk_page(source, &below, level.saturating_sub(1), range, visit)?.is_break() {
			return Ok(ControlFlow::Break(()));
		}
	}
	Ok(ControlFlow::Continue(()))
}

/// Entries as they come, within a scan's limits.
struct Collector<'a> {
	scan: &'a Scan,
	bytes: usize,
	count: usize,
	found: Scanned,
	absent: BTreeSet<PageName>,
}

impl Collector<'_> {
	/// Whether there is room for it, by what is known before its value is at hand.
	fn admits(&mut self, key: &[u8], value_bytes: usize) -> bool {
		let bytes =
			self.bytes.saturating_add(key.len().saturating_sub(1)).saturating_add(value_bytes);
		let is_full = bytes > self.scan.bytes_max && self.count > 0;
		if self.count >= self.scan.entries_max || is_full {
			return false;
		}
		self.count = self.count.saturating_add(1);
		self.bytes = bytes;
		true
	}
}

/// The entries of a tree, as if `writes` had taken effect.
pub(crate) fn scan_over(
	source: &impl PageSource,
	root: &Root,
	writes: &Writes,
	scan: &Scan,
) -> Result<Scanned, StateError> {
	let layout = root.check(source.layouts())?;
	let range = Range::of(scan);
	let mut out =
		Collector { scan, bytes: 0, count: 0, found: Scanned::default(), absent: BTreeSet::new() };
	let mut own = writes.iter().peekable();
	while own.next_if(|(key, _)| key.as_bytes() < range.start.as_slice()).is_some() {}

	type Own<'w> = Peekable<btree_map::Iter<'w, Key, Option<Value>>>;
	// What was written below `until`, which is no key of the tree's.
	fn add_own(own: &mut Own<'_>, until: Option<&[u8]>, out: &mut Collector<'_>) -> bool {
		while let Some((key, value)) =
			own.next_if(|(key, _)| until.is_none_or(|until| key.as_bytes() < until))
		{
			let Some(value) = value else { continue };
			if !out.admits(key.as_bytes(), value.expose().len()) {
				out.found.next = Some(key.clone());
				return false;
			}
			out.found.entries.push((key.clone(), value.clone()));
		}
		true
	}

	let walked = walk(source, root, &range, &mut |entry| {
		if !add_own(&mut own, Some(&entry.key), &mut out) {
			return Ok(ControlFlow::Break(()));
		}
		let key = Key::from_page(&entry.key, layout)
			.ok_or(StateError::BadRoot { why: "its layout has shorter keys than its pages" })?;
		if let Some((_, value)) = own.next_if(|(written, _)| **written == key) {
			let Some(value) = value else { return Ok(ControlFlow::Continue(())) };
			if !out.admits(&entry.key, value.expose().len()) {
				out.found.next = Some(key);
				return Ok(ControlFlow::Break(()));
			}
			out.found.entries.push((key, value.clone()));
			return Ok(ControlFlow::Continue(()));
		}
		if !out.admits(&entry.key, entry.value_bytes()) {
			out.found.next = Some(key);
			return Ok(ControlFlow::Break(()));
		}
		if let Some(value) = value_of(source, entry, &mut out.absent)? {
			out.found.entries.push((key, value));
		}
		Ok(ControlFlow::Continue(()))
	});
	match walked {
		Err(StateError::Missing(Missing(pages))) => {
			out.absent.extend(pages);
			return Err(missing(out.absent));
		}
		walked => walked?,
	}
	if out.found.next.is_none() {
		add_own(&mut own, range.end.as_deref(), &mut out);
	}
	if !out.absent.is_empty() {
		return Err(missing(out.absent));
	}
	Ok(out.found)
}
