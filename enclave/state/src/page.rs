//! Pages: what a tree is made of, and what is named, sealed, stored and fetched as one.

use crate::{
	error::StateError,
	key::{Key, Value},
	layout::{Layout, Layouts},
	limits::{CACHED_ENTRY_BYTES, CACHED_PAGE_BYTES, DEPTH_MAX},
};
use codec::{Decode, DecodeAll, Encode};
use phala_keys::secret::SecretBytes;
use phala_protocol::{
	agents::StateVersion,
	domains::{Domain, STATE_PAGE},
	hash_of, H256,
};

/// Hash of a page's plaintext. It says nothing, because the plaintext has its run's random bytes, and
/// never recurs, because it has its number in the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct PageName(pub H256);

impl std::fmt::Debug for PageName {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		write!(f, "{:?}", self.0)
	}
}

/// 32 random bytes, fresh for each run. Members that compute a run's pages are told them.
pub type RunId = [u8; 32];

/// What is hashed.
#[derive(Encode)]
struct PageNameContent<'a> {
	domain: Domain,
	plaintext: &'a [u8],
}

/// A page's plaintext.
#[derive(Encode, Decode)]
struct Plaintext<B> {
	layout: u16,
	version: StateVersion,
	run: RunId,
	/// Among the pages that the run wrote.
	number: u32,
	body: B,
}

/// Most bytes of a page besides its entries, children or value.
pub(crate) const PAGE_OVERHEAD_BYTES: usize = 2 + 8 + 32 + 4 + 1 + 1 + 4;
/// Most bytes of an entry besides its key and value.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = 2 + 1 + 4;
/// Most bytes of a child besides its key.
pub(crate) const CHILD_OVERHEAD_BYTES: usize = 2 + 32 + 1;
/// Most bytes of what a leaf says of a page of a value.
pub(crate) const CHUNK_BYTES_MAX: usize = 32 + 4;

#[derive(Clone, Encode, Decode)]
pub(crate) enum Body {
	#[codec(index = 0)]
	Leaf(Vec<Entry>),
	#[codec(index = 1)]
	Inner {
		/// From 1, the level above leaves.
		level: u8,
		children: Vec<Child>,
	},
	/// A value, or a part of one.
	#[codec(index = 2)]
	Value(Value),
}

#[derive(Clone, Encode, Decode)]
pub(crate) struct Entry {
	pub key: Vec<u8>,
	pub value: Stored,
}

#[derive(Clone, Encode, Decode)]
pub(crate) enum Stored {
	#[codec(index = 0)]
	Inline(Value),
	/// In pages of its own.
	#[codec(index = 1)]
	Paged(Vec<Chunk>),
}

/// A part of a value.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Chunk {
	pub page: PageName,
	#[codec(compact)]
	pub bytes: u32,
}

#[derive(Clone, Encode, Decode)]
pub(crate) struct Child {
	/// No key below it is less, and none of the sibling before it is as great. The first child of a
	/// page has also what is less.
	pub key: Vec<u8>,
	pub page: PageName,
	/// Whether there are pages of values below.
	pub paged: bool,
}

impl Entry {
	pub fn value_bytes(&self) -> usize {
		match &self.value {
			Stored::Inline(value) => value.expose().len(),
			Stored::Paged(chunks) => {
				chunks.iter().fold(0, |sum: usize, chunk| sum.saturating_add(chunk.bytes as usize))
			}
		}
	}

	/// Name and value, as roots count them.
	pub fn bytes(&self) -> u64 {
		self.key.len().saturating_sub(1).saturating_add(self.value_bytes()) as u64
	}
}

/// A page that was checked against its name and is well formed in itself.
pub struct Page {
	name: PageName,
	layout: u16,
	version: StateVersion,
	run: RunId,
	number: u32,
	plaintext_bytes: usize,
	body: Body,
}

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
	Leaf,
	Inner { level: u8 },
	Value,
}

impl Page {
	/// A new one, of a run.
	pub(crate) fn write(
		layout: u16,
		version: StateVersion,
		run: RunId,
		number: u32,
		body: Body,
	) -> Self {
		let mut page = Self {
			name: PageName(H256::zero()),
			layout,
			version,
			run,
			number,
			plaintext_bytes: 0,
			body,
		};
		let plaintext = page.plaintext();
		page.name = Self::name_of(plaintext.expose());
		page.plaintext_bytes = plaintext.expose().len();
		page
	}

	fn name_of(plaintext: &[u8]) -> PageName {
		PageName(hash_of(&PageNameContent { domain: STATE_PAGE, plaintext }))
	}

	/// As it is hashed and sealed.
	pub(crate) fn plaintext(&self) -> SecretBytes {
		let Self { layout, version, run, number, ref body, .. } = *self;
		SecretBytes::new(Plaintext { layout, version, run, number, body }.encode())
	}

	/// Parses what was asked for by `name`. Whatever is not exactly that is refused.
	pub(crate) fn read(
		name: PageName,
		plaintext: &SecretBytes,
		layouts: Layouts,
	) -> Result<Self, &'static str> {
		if Self::name_of(plaintext.expose()) != name {
			return Err("it has another name");
		}
		let plaintext_bytes = plaintext.expose().len();
		let Plaintext { layout, version, run, number, body } =
			Plaintext::<Body>::decode_all(&mut plaintext.expose())
				.map_err(|_| "it is no encoding of a page")?;
		let known = layouts.get(layout).map_err(|_| "its layout is unknown")?;
		check(&body, plaintext_bytes, known)?;
		Ok(Self { name, layout, version, run, number, plaintext_bytes, body })
	}

	pub fn name(&self) -> PageName {
		self.name
	}

	pub fn layout(&self) -> u16 {
		self.layout
	}

	/// Of the state that it was written for.
	pub fn version(&self) -> StateVersion {
		self.version
	}

	/// The run that wrote it, and its number in it.
	pub fn origin(&self) -> (RunId, u32) {
		(self.run, self.number)
	}

	pub fn kind(&self) -> PageKind {
		match &self.body {
			Body::Leaf(_) => PageKind::Leaf,
			Body::Inner { level, .. } => PageKind::Inner { level: *level },
			Body::Value(_) => PageKind::Value,
		}
	}

	/// What it takes on a disk, in bytes.
	pub fn sealed_bytes(&self) -> u64 {
		sealed_bytes(self.plaintext_bytes)
	}

	/// What it takes in memory, in bytes.
	pub fn cached_bytes(&self) -> usize {
		let items = match &self.body {
			Body::Leaf(entries) => entries.len(),
			Body::Inner { children, .. } => children.len(),
			Body::Value(_) => 0,
		};
		self.plaintext_bytes
			.saturating_add(CACHED_PAGE_BYTES)
			.saturating_add(items.saturating_mul(CACHED_ENTRY_BYTES))
	}

	pub(crate) fn body(&self) -> &Body {
		&self.body
	}

	/// As the leaf that somebody expects it to be.
	pub(crate) fn leaf(&self) -> Result<&[Entry], StateError> {
		match &self.body {
			Body::Leaf(entries) => Ok(entries),
			_ => Err(StateError::NotATree { page: self.name, why: "it is no leaf" }),
		}
	}

	/// As the inner page of `level` that somebody expects it to be.
	pub(crate) fn inner(&self, level: u8) -> Result<&[Child], StateError> {
		match &self.body {
			Body::Inner { level: own, children } if *own == level => Ok(children),
			_ => Err(StateError::NotATree {
				page: self.name,
				why: "it is no inner page of its level",
			}),
		}
	}

	/// As the part of a value that `chunk` says it is.
	pub(crate) fn value(&self, chunk: &Chunk) -> Result<&[u8], StateError> {
		match &self.body {
			Body::Value(value) if value.expose().len() == chunk.bytes as usize => {
				Ok(value.expose())
			}
			_ => Err(StateError::NotATree { page: self.name, why: "it is no value of its length" }),
		}
	}
}

/// No contents.
impl std::fmt::Debug for Page {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		write!(f, "Page({:?}, {:?}, {} bytes)", self.name, self.kind(), self.plaintext_bytes)
	}
}

/// What a page of a value of `bytes` takes on a disk, in bytes.
pub(crate) fn sealed_value_bytes(bytes: u32) -> u64 {
	let length = codec::Compact(bytes).encoded_size();
	let fixed = PAGE_OVERHEAD_BYTES.saturating_sub(1 + 4);
	sealed_bytes(fixed.saturating_add(length).saturating_add(bytes as usize))
}

fn sealed_bytes(plaintext_bytes: usize) -> u64 {
	use phala_keys::{limits::PADDING_RESERVE_BYTES, padding};
	padding::padded_bytes(padding::Steps::Message, plaintext_bytes)
		.saturating_add(PADDING_RESERVE_BYTES) as u64
}

fn ascend<'a>(mut keys: impl Iterator<Item = &'a Vec<u8>>) -> bool {
	let Some(mut last) = keys.next() else { return true };
	keys.all(|key| std::mem::replace(&mut last, key) < key)
}

/// What must hold in any page by itself.
fn check(body: &Body, plaintext_bytes: usize, layout: &Layout) -> Result<(), &'static str> {
	let bytes_max = match body {
		Body::Leaf(_) => layout.leaf_bytes_max,
		Body::Inner { .. } => layout.inner_bytes_max,
		Body::Value(_) => layout.value_page_bytes_max,
	};
	if plaintext_bytes > bytes_max {
		return Err("it is longer than its layout allows");
	}
	match body {
		Body::Leaf(entries) => {
			if entries.is_empty() {
				return Err("it is an empty leaf");
			}
			if !ascend(entries.iter().map(|entry| &entry.key)) {
				return Err("its keys do not ascend");
			}
			for entry in entries {
				if Key::from_page(&entry.key, layout).is_none() {
					return Err("it has a key that is none");
				}
				let is_sound = match &entry.value {
					Stored::Inline(value) => value.expose().len() <= layout.inline_bytes_max,
					Stored::Paged(chunks) => {
						!chunks.is_empty() && chunks.iter().all(|chunk| chunk.bytes > 0)
					}
				};
				if !is_sound || entry.value_bytes() > layout.value_bytes_max {
					return Err("it has a value of a length that none has");
				}
			}
		}
		Body::Inner { level, children } => {
			if *level == 0 || *level >= DEPTH_MAX {
				return Err("its level is none");
			}
			if children.is_empty() {
				return Err("it is an empty inner page");
			}
			if !ascend(children.iter().map(|child| &child.key)) {
				return Err("its keys do not ascend");
			}
		}
		Body::Value(value) => {
			if value.expose().is_empty() {
				return Err("it is an empty value");
			}
		}
	}
	Ok(())
}
