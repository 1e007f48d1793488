//! Reads one key from a storage proof: the trie nodes on the way from a state root to it.
//!
//! The chain's trie is radix 16 without extension nodes; a node is
//! `header byte(s) | partial key | [children bitmap] | [value] | children`, SCALE throughout. Both
//! state versions are read: a value stands in its node, or (version 1, over 32 bytes) the node
//! holds its hash and the proof has the value as one more node.
//!
//! Why not `sp-trie` or `trie-db`: `sp-trie` without `std` pulls 80 crates more, and in a workspace
//! that also builds a node, cargo's feature unification turns its `std` on again, and with it hyper
//! and tokio inside the enclave. `trie-db` wants this file's decoder anyway. The tests hold this
//! module against both.

use alloc::{collections::BTreeMap, vec::Vec};
use codec::{Compact, Decode};
use phala_protocol::{blake2_256, H256};

/// Trie nodes by their hash, so that a node is found only by who knows its hash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes(BTreeMap<H256, Vec<u8>>);

impl FromIterator<Vec<u8>> for Nodes {
	fn from_iter<I: IntoIterator<Item = Vec<u8>>>(nodes: I) -> Self {
		Self(nodes.into_iter().map(|node| (blake2_256(&node), node)).collect())
	}
}

/// Why a key could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
	/// The node with this hash is not in the proof.
	Missing(H256),
	/// The node with this hash (or one inside it) has an unknown format.
	Unknown(H256),
}

impl Nodes {
	fn get(&self, hash: H256) -> Result<&[u8], Unreadable> {
		self.0.get(&hash).map(Vec::as_slice).ok_or(Unreadable::Missing(hash))
	}

	/// The value of `key` under `root`; `None` when the proof shows that there is none.
	///
	/// Ends, because every step down from a branch uses up a nibble of the key.
	pub fn read(&self, root: H256, key: &[u8]) -> Result<Option<&[u8]>, Unreadable> {
		let mut key = Nibbles { bytes: key, from: 0 };
		let mut hash = root;
		let mut bytes = self.get(root)?;
		loop {
			let node = Node::decode(bytes).ok_or(Unreadable::Unknown(hash))?;
			let value = match node {
				Node::Empty => return Ok(None),
				Node::Leaf { partial, value } => {
					if key.strip(partial) && key.is_empty() {
						Some(value)
					} else {
						None
					}
				}
				Node::Branch { partial, value, children } => {
					if !key.strip(partial) {
						return Ok(None);
					}
					match key.take_first() {
						None => value,
						Some(nibble) => {
							match children.get(nibble).ok_or(Unreadable::Unknown(hash))? {
								None => return Ok(None),
								Some(Child::Hash(child)) => {
									hash = child;
									bytes = self.get(child)?;
								}
								Some(Child::Inline(child)) => bytes = child,
							}
							continue;
						}
					}
				}
			};
			return match value {
				None => Ok(None),
				Some(Value::Inline(value)) => Ok(Some(value)),
				Some(Value::Hashed(value)) => self.get(value).map(Some),
			};
		}
	}
}

enum Node<'a> {
	Empty,
	Leaf { partial: Nibbles<'a>, value: Value<'a> },
	Branch { partial: Nibbles<'a>, value: Option<Value<'a>>, children: Children<'a> },
}

enum Value<'a> {
	Inline(&'a [u8]),
	Hashed(H256),
}

enum Child<'a> {
	Hash(H256),
	Inline(&'a [u8]),
}

impl<'a> Node<'a> {
	/// `None` for an unknown format.
	fn decode(mut bytes: &'a [u8]) -> Option<Self> {
		let input = &mut bytes;
		let (first, rest) = input.split_first()?;
		*input = rest;
		// The kind is a prefix of the first byte, the partial key's length starts in the rest.
		let (leaf, has_value, hashed, length_mask) = match first {
			0 => return input.is_empty().then_some(Node::Empty),
			0b0100_0000..=0b0111_1111 => (true, true, false, 0x3f),
			0b1000_0000..=0b1011_1111 => (false, false, false, 0x3f),
			0b1100_0000..=0b1111_1111 => (false, true, false, 0x3f),
			0b0010_0000..=0b0011_1111 => (true, true, true, 0x1f),
			0b0001_0000..=0b0001_1111 => (false, true, true, 0x0f),
			_ => return None,
		};
		let length = decode_length(*first, length_mask, input)?;
		let partial = Nibbles::decode(length, input)?;
		let bitmap = if leaf { 0 } else { u16::decode(input).ok()? };
		let value = match (has_value, hashed) {
			(false, _) => None,
			(true, false) => Some(Value::Inline(decode_bytes(input)?)),
			(true, true) => Some(Value::Hashed(H256::from_slice(take(input, 32)?))),
		};
		if leaf {
			return Some(Node::Leaf { partial, value: value? });
		}
		Some(Node::Branch { partial, value, children: Children { bitmap, encoded: input } })
	}
}

struct Children<'a> {
	bitmap: u16,
	encoded: &'a [u8],
}

impl<'a> Children<'a> {
	/// The outer `None` is for an unknown format, the inner for no child there.
	fn get(mut self, nibble: u8) -> Option<Option<Child<'a>>> {
		let bit = 1u16.checked_shl(u32::from(nibble))?;
		if self.bitmap & bit == 0 {
			return Some(None);
		}
		let before = (self.bitmap & bit.wrapping_sub(1)).count_ones();
		for _ in 0..before {
			decode_bytes(&mut self.encoded)?;
		}
		let child = decode_bytes(&mut self.encoded)?;
		Some(Some(if child.len() == 32 {
			Child::Hash(H256::from_slice(child))
		} else {
			Child::Inline(child)
		}))
	}
}

/// Half-bytes of a key, the high one of each byte first.
#[derive(Clone, Copy)]
struct Nibbles<'a> {
	bytes: &'a [u8],
	/// How many of them are used up.
	from: usize,
}

impl<'a> Nibbles<'a> {
	/// `length` of them; when it is odd, the first half-byte is padding.
	fn decode(length: usize, input: &mut &'a [u8]) -> Option<Self> {
		let padding = length % 2;
		let bytes = take(input, length.div_ceil(2))?;
		if padding == 1 && bytes.first()? >> 4 != 0 {
			return None;
		}
		Some(Self { bytes, from: padding })
	}

	fn first(&self) -> Option<u8> {
		let byte = self.bytes.get(self.from / 2)?;
		Some(if self.from.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
	}

	fn take_first(&mut self) -> Option<u8> {
		let first = self.first()?;
		self.from = self.from.saturating_add(1);
		Some(first)
	}

	fn is_empty(&self) -> bool {
		self.first().is_none()
	}

	/// Takes `prefix` off the front, if it is there.
	fn strip(&mut self, mut prefix: Nibbles<'_>) -> bool {
		while let Some(nibble) = prefix.take_first() {
			if self.take_first() != Some(nibble) {
				return false;
			}
		}
		true
	}
}

/// A length that starts in the masked bits of the first byte: when all of them are set, bytes
/// follow that add to it, until one that is not 255.
fn decode_length(first: u8, mask: u8, input: &mut &[u8]) -> Option<usize> {
	let mut length = usize::from(first & mask);
	if first & mask != mask {
		return Some(length);
	}
	loop {
		let byte = *take(input, 1)?.first()?;
		length = length.checked_add(usize::from(byte))?;
		if byte != u8::MAX {
			return Some(length);
		}
	}
}

fn decode_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
	let length = Compact::<u32>::decode(input).ok()?.0;
	take(input, usize::try_from(length).ok()?)
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
	let (taken, rest) = input.split_at_checked(length)?;
	*input = rest;
	Some(taken)
}
