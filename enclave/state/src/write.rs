//! Applying a run's writes to a tree: which pages are new, which are replaced.
//!
//! The same writes of the same run on the same root give the same pages, on any member and whatever is
//! in its cache. A write copies the pages on the way to its entry. A page that got too long is parted;
//! one that was shortened below a quarter is joined with a neighbour, so that a tree that shrinks gives
//! its space back. What is added at the end leaves full pages behind, so that logs are packed.

use crate::{
	batch::{check_version, Batch, Run},
	error::{Missing, StateError},
	key::{Key, Value, Writes},
	layout::Layout,
	limits::DEPTH_MAX,
	page::{
		sealed_value_bytes, Body, Child, Chunk, Entry, Page, PageName, Stored, CHILD_OVERHEAD_BYTES,
	},
	read::PageSource,
	root::Root,
};
use codec::Encode;
use std::{
	collections::{BTreeSet, VecDeque},
	mem,
	sync::Arc,
};

/// Applies the writes of one run.
pub fn apply(
	source: &impl PageSource,
	base: &Root,
	run: Run,
	writes: &Writes,
) -> Result<Batch, StateError> {
	let layout = base.check(source.layouts())?;
	check_version(base, run.version)?;
	for (key, value) in writes {
		key.fits(layout)?;
		let bytes = value.as_ref().map_or(0, |value| value.expose().len());
		if bytes > layout.value_bytes_max {
			return Err(StateError::ValueTooLong { bytes, bytes_max: layout.value_bytes_max });
		}
	}
	let mut writer = Writer {
		source,
		layout,
		run,
		written: Vec::new(),
		replaced: BTreeSet::new(),
		missing: BTreeSet::new(),
		entries: Change::default(),
		bytes: Change::default(),
		sealed_bytes: Change::default(),
	};
	let sorted: Vec<_> = writes.iter().collect();
	let updated = match base.top() {
		Some((page, level)) => writer.update(page, level, &[], &sorted)?,
		None => writer.merge_leaf(&[], &[], &sorted).map_or(Updated::Unchanged, Updated::Nodes),
	};
	let (page, depth) = match updated {
		Updated::Unknown => {
			return Err(StateError::Missing(Missing(writer.missing.into_iter().collect())));
		}
		Updated::Unchanged => (base.page, base.depth),
		Updated::Nodes(nodes) => writer.finish(nodes)?,
	};
	let wrong = StateError::BadRoot { why: "it counts fewer entries or pages than it has" };
	let pages = Change { more: writer.written.len() as u64, less: writer.replaced.len() as u64 };
	let count = |change: Change, base: u64| change.of(base).ok_or_else(|| wrong.clone());
	let root = Root {
		layout: base.layout,
		version: run.version,
		page,
		depth,
		entries: count(writer.entries, base.entries)?,
		bytes: count(writer.bytes, base.bytes)?,
		pages: count(pages, base.pages)?,
		sealed_bytes: count(writer.sealed_bytes, base.sealed_bytes)?,
	};
	Ok(Batch {
		base: *base,
		root,
		written: writer.written,
		replaced: writer.replaced.into_iter().collect(),
	})
}

/// What a count grows and shrinks by.
#[derive(Clone, Copy, Default)]
struct Change {
	more: u64,
	less: u64,
}

impl Change {
	fn add(&mut self, more: u64) {
		self.more = self.more.saturating_add(more);
	}

	fn take(&mut self, less: u64) {
		self.less = self.less.saturating_add(less);
	}

	fn of(self, base: u64) -> Option<u64> {
		base.checked_add(self.more)?.checked_sub(self.less)
	}
}

type Write<'w> = (&'w Key, &'w Option<Value>);

/// A leaf or inner page that is being made.
struct Node {
	content: Content,
	/// Of its entries or children.
	bytes: usize,
	/// Whether it replaces a longer one: only then it is joined when it is short. The last of what was
	/// added at the end may be short until it grows.
	shrunk: bool,
}

enum Content {
	Leaf(Vec<Entry>),
	Inner { level: u8, slots: Vec<Slot> },
}

/// A child of a node.
struct Slot {
	key: Vec<u8>,
	child: Below,
}

enum Below {
	Stored { page: PageName, paged: bool },
	New(Node),
}

/// Nodes of one level, in order; with a lower bound for each.
type Nodes = Vec<(Vec<u8>, Node)>;

/// What became of a page.
enum Updated {
	Unchanged,
	/// In its place.
	Nodes(Nodes),
	/// Pages are missing.
	Unknown,
}

struct Writer<'a, S> {
	source: &'a S,
	layout: &'static Layout,
	run: Run,
	written: Vec<Arc<Page>>,
	replaced: BTreeSet<PageName>,
	missing: BTreeSet<PageName>,
	entries: Change,
	bytes: Change,
	sealed_bytes: Change,
}

impl<S: PageSource> Writer<'_, S> {
	fn fetch(&mut self, name: PageName) -> Option<Arc<Page>> {
		let page = self.source.page(&name);
		if page.is_none() {
			self.missing.insert(name);
		}
		page
	}

	fn replace(&mut self, name: PageName, sealed_bytes: u64) {
		if self.replaced.insert(name) {
			self.sealed_bytes.take(sealed_bytes);
		}
	}

	fn write(&mut self, body: Body) -> PageName {
		let number = self.written.len() as u32;
		let Run { id, version } = self.run;
		let page = Page::write(self.layout.number, version, id, number, body);
		let name = page.name();
		self.sealed_bytes.add(page.sealed_bytes());
		self.written.push(Arc::new(page));
		name
	}

	/// Applies `writes`, all of which belong below this page; `lower` is its bound.
	fn update(
		&mut self,
		name: PageName,
		level: u8,
		lower: &[u8],
		mut writes: &[Write<'_>],
	) -> Result<Updated, StateError> {
		if writes.is_empty() {
			return Ok(Updated::Unchanged);
		}
		let Some(page) = self.fetch(name) else { return Ok(Updated::Unknown) };
		if level == 0 {
			return Ok(match self.merge_leaf(page.leaf()?, lower, writes) {
				Some(nodes) => {
					self.replace(name, page.sealed_bytes());
					Updated::Nodes(nodes)
				}
				None => Updated::Unchanged,
			});
		}
		let children = page.inner(level)?;
		let below = level.saturating_sub(1);
		let mut slots = Vec::with_capacity(children.len().saturating_add(1));
		let (mut changed, mut unknown, mut appended) = (false, false, false);
		let mut uppers = children.iter().skip(1).map(|child| &child.key);
		for (index, child) in children.iter().enumerate() {
			let key = if index == 0 { lower } else { &child.key };
			let count = match uppers.next() {
				Some(upper) => writes.partition_point(|(key, _)| key.as_bytes() < upper.as_slice()),
				None => writes.len(),
			};
			let Some((own, rest)) = writes.split_at_checked(count) else { break };
			writes = rest;
			let stored = Below::Stored { page: child.page, paged: child.paged };
			appended = false;
			match self.update(child.page, below, key, own)? {
				Updated::Unchanged => slots.push(Slot { key: key.to_vec(), child: stored }),
				Updated::Unknown => unknown = true,
				Updated::Nodes(nodes) => {
					changed = true;
					appended = nodes.len() > 1;
					slots.extend(
						nodes.into_iter().map(|(key, node)| Slot { key, child: Below::New(node) }),
					);
				}
			}
		}
		if unknown {
			return Ok(Updated::Unknown);
		}
		if !changed {
			return Ok(Updated::Unchanged);
		}
		// Whatever is the first now has all that is less, too.
		if let Some(first) = slots.first_mut() {
			first.key = lower.to_vec();
		}
		let before =
			children.iter().map(|child| child_bytes(&child.key)).fold(0, usize::saturating_add);
		let Some(slots) = self.join_short(slots, below)? else { return Ok(Updated::Unknown) };
		self.replace(name, page.sealed_bytes());
		Ok(Updated::Nodes(self.part_inner(lower, level, slots, before, appended)))
	}

	/// What `writes` make of the entries of a leaf; none if nothing.
	fn merge_leaf(
		&mut self,
		entries: &[Entry],
		lower: &[u8],
		writes: &[Write<'_>],
	) -> Option<Nodes> {
		let mut merged = Vec::with_capacity(entries.len().saturating_add(writes.len()));
		let mut old = entries.iter().peekable();
		let (mut changed, mut appended) = (false, false);
		for (key, value) in writes {
			while let Some(entry) = old.next_if(|entry| entry.key.as_slice() < key.as_bytes()) {
				merged.push(entry.clone());
			}
			let before = old.next_if(|entry| entry.key == key.as_bytes());
			match (before, value) {
				(None, None) => continue,
				(Some(entry), Some(value)) if is_inline(entry, value) => {
					merged.push(entry.clone());
					continue;
				}
				_ => changed = true,
			}
			if let Some(entry) = before {
				self.drop_entry(entry);
			}
			if let Some(value) = value {
				merged.push(self.new_entry(key, value));
				appended = before.is_none() && old.peek().is_none();
			}
		}
		if !changed {
			return None;
		}
		appended &= old.peek().is_none();
		merged.extend(old.cloned());
		let before = entries.iter().map(Encode::encoded_size).fold(0, usize::saturating_add);
		Some(self.part_leaf(lower, merged, before, appended))
	}

	fn drop_entry(&mut self, entry: &Entry) {
		self.entries.take(1);
		self.bytes.take(entry.bytes());
		if let Stored::Paged(chunks) = &entry.value {
			for chunk in chunks {
				self.replace(chunk.page, sealed_value_bytes(chunk.bytes));
			}
		}
	}

	fn new_entry(&mut self, key: &Key, value: &Value) -> Entry {
		let stored = if value.expose().len() <= self.layout.inline_bytes_max {
			Stored::Inline(value.clone())
		} else {
			let room = self.layout.value_room().max(1);
			let chunks = value.expose().chunks(room).map(|part| Chunk {
				bytes: part.len() as u32,
				page: self.write(Body::Value(Value::from_page(part.to_vec()))),
			});
			Stored::Paged(chunks.collect())
		};
		let entry = Entry { key: key.as_bytes().to_vec(), value: stored };
		self.entries.add(1);
		self.bytes.add(entry.bytes());
		entry
	}

	fn part_leaf(&self, lower: &[u8], entries: Vec<Entry>, before: usize, appended: bool) -> Nodes {
		let room = self.layout.leaf_room();
		let mut last: Option<Vec<u8>> = None;
		let groups = part(entries, Encode::encoded_size, room, appended);
		let is_one = groups.len() == 1;
		let nodes = groups.into_iter().map(|(entries, bytes)| {
			let first = entries.first().map(|entry| entry.key.as_slice()).unwrap_or_default();
			let key = match &last {
				None => lower.to_vec(),
				Some(last) => shortest_between(last, first),
			};
			last = entries.last().map(|entry| entry.key.clone());
			let shrunk = is_one && bytes < before;
			(key, Node { content: Content::Leaf(entries), bytes, shrunk })
		});
		nodes.collect()
	}

	fn part_inner(
		&self,
		lower: &[u8],
		level: u8,
		slots: Vec<Slot>,
		before: usize,
		appended: bool,
	) -> Nodes {
		let room = self.layout.inner_room();
		let groups = part(slots, |slot| child_bytes(&slot.key), room, appended);
		let is_one = groups.len() == 1;
		let nodes = groups.into_iter().enumerate().map(|(index, (slots, bytes))| {
			let key = match slots.first() {
				Some(first) if index > 0 => first.key.clone(),
				_ => lower.to_vec(),
			};
			let shrunk = is_one && bytes < before;
			(key, Node { content: Content::Inner { level, slots }, bytes, shrunk })
		});
		nodes.collect()
	}

	/// Joins nodes that got short with their neighbours. None if a neighbour is missing.
	fn join_short(&mut self, slots: Vec<Slot>, level: u8) -> Result<Option<Vec<Slot>>, StateError> {
		let room = if level == 0 { self.layout.leaf_room() } else { self.layout.inner_room() };
		let is_short = |slot: &Slot| match &slot.child {
			Below::New(node) => node.shrunk && (node.bytes < room / 4 || node.is_alone()),
			Below::Stored { .. } => false,
		};
		let mut unknown = false;
		let mut done: Vec<Slot> = Vec::with_capacity(slots.len());
		let mut todo = VecDeque::from(slots);
		while let Some(slot) = todo.pop_front() {
			if !is_short(&slot) {
				done.push(slot);
				continue;
			}
			let (left, right) = if let Some(left) = done.pop() {
				(left, slot)
			} else if let Some(right) = todo.pop_front() {
				(slot, right)
			} else {
				// Nothing to join it with.
				done.push(slot);
				break;
			};
			let (Some((key, left)), Some((right_key, right))) =
				(self.open(left, level)?, self.open(right, level)?)
			else {
				unknown = true;
				continue;
			};
			let Some(joined) = self.join(key, left, right_key, right)? else {
				unknown = true;
				continue;
			};
			let mut joined =
				joined.into_iter().map(|(key, node)| Slot { key, child: Below::New(node) });
			match (joined.next(), joined.next()) {
				// It may be short still.
				(Some(one), None) => todo.push_front(one),
				(first, second) => done.extend(first.into_iter().chain(second).chain(joined)),
			}
		}
		Ok((!unknown).then_some(done))
	}

	/// A child to be joined with another.
	fn open(&mut self, slot: Slot, level: u8) -> Result<Option<(Vec<u8>, Node)>, StateError> {
		let Slot { key, child } = slot;
		let page = match child {
			Below::New(node) => return Ok(Some((key, node))),
			Below::Stored { page, .. } => page,
		};
		let Some(page) = self.fetch(page) else { return Ok(None) };
		self.replace(page.name(), page.sealed_bytes());
		let node = if level == 0 {
			let entries = page.leaf()?.to_vec();
			let bytes = entries.iter().map(Encode::encoded_size).fold(0, usize::saturating_add);
			Node { content: Content::Leaf(entries), bytes, shrunk: false }
		} else {
			let children = page.inner(level)?.iter().cloned();
			let slots: Vec<_> = children
				.map(|Child { key, page, paged }| Slot {
					key,
					child: Below::Stored { page, paged },
				})
				.collect();
			let bytes =
				slots.iter().map(|slot| child_bytes(&slot.key)).fold(0, usize::saturating_add);
			Node { content: Content::Inner { level, slots }, bytes, shrunk: false }
		};
		Ok(Some((key, node)))
	}

	/// Neighbours as one, or parted evenly. None if pages are missing.
	fn join(
		&mut self,
		key: Vec<u8>,
		left: Node,
		right_key: Vec<u8>,
		right: Node,
	) -> Result<Option<Nodes>, StateError> {
		// They may be joined further.
		let before = usize::MAX;
		Ok(Some(match (left.content, right.content) {
			(Content::Leaf(mut entries), Content::Leaf(more)) => {
				entries.extend(more);
				self.part_leaf(&key, entries, before, false)
			}
			(Content::Inner { level, mut slots }, Content::Inner { slots: mut more, .. }) => {
				if let Some(first) = slots.first_mut() {
					first.key = key.clone();
				}
				if let Some(first) = more.first_mut() {
					first.key = right_key;
				}
				slots.extend(more);
				// A child that was alone has neighbours now.
				let below = level.saturating_sub(1);
				let Some(slots) = self.join_short(slots, below)? else { return Ok(None) };
				self.part_inner(&key, level, slots, before, false)
			}
			// Neighbours are of one level: it is asked for when a page is opened.
			(left_content, right_content) => vec![
				(key, Node { content: left_content, ..left }),
				(right_key, Node { content: right_content, ..right }),
			],
		}))
	}

	/// Puts levels above the nodes until there is one, takes those away that have one child only, and
	/// writes all. The root's page and the tree's depth.
	fn finish(&mut self, mut nodes: Nodes) -> Result<(Option<PageName>, u8), StateError> {
		loop {
			if nodes.len() > 1 {
				let level = nodes.first().map_or(0, |(_, node)| node.level()).saturating_add(1);
				if level >= DEPTH_MAX {
					return Err(StateError::TooDeep);
				}
				let slots = nodes
					.into_iter()
					.map(|(key, node)| Slot { key, child: Below::New(node) })
					.collect();
				nodes = self.part_inner(&[], level, slots, 0, true);
				continue;
			}
			let Some((_, node)) = nodes.pop() else { return Ok((None, 0)) };
			let level = node.level();
			match node.content {
				Content::Inner { slots, .. } if slots.len() == 1 => {
					match slots.into_iter().next().map(|slot| slot.child) {
						Some(Below::Stored { page, .. }) => return Ok((Some(page), level)),
						Some(Below::New(node)) => nodes.push((Vec::new(), node)),
						None => return Ok((None, 0)),
					}
				}
				content => {
					let (page, _) = self.write_node(Node { content, ..node });
					return Ok((Some(page), level.saturating_add(1)));
				}
			}
		}
	}

	/// Children before their parent. Its name, and whether there are pages of values below.
	fn write_node(&mut self, node: Node) -> (PageName, bool) {
		let (body, paged) = match node.content {
			Content::Leaf(entries) => {
				let paged = entries.iter().any(|entry| matches!(entry.value, Stored::Paged(_)));
				(Body::Leaf(entries), paged)
			}
			Content::Inner { level, slots } => {
				let children: Vec<_> = slots
					.into_iter()
					.map(|Slot { key, child }| {
						let (page, paged) = match child {
							Below::Stored { page, paged } => (page, paged),
							Below::New(node) => self.write_node(node),
						};
						Child { key, page, paged }
					})
					.collect();
				let paged = children.iter().any(|child| child.paged);
				(Body::Inner { level, children }, paged)
			}
		};
		(self.write(body), paged)
	}
}

impl Node {
	/// A level with one child is none, however long the child's key.
	fn is_alone(&self) -> bool {
		matches!(&self.content, Content::Inner { slots, .. } if slots.len() < 2)
	}

	fn level(&self) -> u8 {
		match &self.content {
			Content::Leaf(_) => 0,
			Content::Inner { level, .. } => *level,
		}
	}
}

fn is_inline(entry: &Entry, value: &Value) -> bool {
	matches!(&entry.value, Stored::Inline(old) if old == value)
}

fn child_bytes(key: &[u8]) -> usize {
	key.len().saturating_add(CHILD_OVERHEAD_BYTES)
}

/// The shortest bytes that are greater than `low` and not greater than `high`, a beginning of `high`.
fn shortest_between(low: &[u8], high: &[u8]) -> Vec<u8> {
	let common = low.iter().zip(high).take_while(|(low, high)| low == high).count();
	high.get(..common.saturating_add(1)).unwrap_or(high).to_vec()
}

/// Parts items in groups that fit `room`, with the bytes of each. None is shorter than a quarter if no
/// item is longer than that, but the last of what was `appended`: there the others are nearly full.
fn part<T>(
	items: Vec<T>,
	bytes_of: impl Fn(&T) -> usize,
	room: usize,
	appended: bool,
) -> Vec<(Vec<T>, usize)> {
	let total = items.iter().map(&bytes_of).fold(0, usize::saturating_add);
	if items.is_empty() {
		return Vec::new();
	}
	if total <= room {
		return vec![(items, total)];
	}
	// Of equal groups three quarters full, each ends within half of an item of where it should.
	let spare = if appended { room / 8 } else { room / 4 };
	let full = room.saturating_sub(spare).max(1);
	let count = total.div_ceil(full).max(1);
	let mut groups = Vec::with_capacity(count);
	let (mut group, mut group_bytes, mut seen) = (Vec::new(), 0usize, 0usize);
	for item in items {
		let bytes = bytes_of(&item);
		let middle = seen.saturating_add(bytes / 2);
		let is_full = if appended {
			group_bytes.saturating_add(bytes) > full
		} else {
			// Compares with `total * (groups + 1) / count`.
			let edge = total.saturating_mul(groups.len().saturating_add(1));
			middle.saturating_mul(count) > edge
		};
		let is_over = group_bytes.saturating_add(bytes) > room;
		if !group.is_empty() && (is_full || is_over) {
			groups.push((mem::take(&mut group), mem::take(&mut group_bytes)));
		}
		seen = seen.saturating_add(bytes);
		group_bytes = group_bytes.saturating_add(bytes);
		group.push(item);
	}
	if !group.is_empty() {
		groups.push((group, group_bytes));
	}
	groups
}
