//! Keys and values of the map.

use crate::{
	error::StateError,
	layout::Layout,
	limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX},
};
use codec::{Decode, Encode};
use std::collections::BTreeMap;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// What an entry is for. One tree has them all, one after another, so that one root is the whole state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Space {
	/// What the agent's code keeps.
	#[codec(index = 0)]
	Entries,
	/// What its owner set.
	#[codec(index = 1)]
	Secrets,
	/// Its encryption keys and signing root.
	#[codec(index = 2)]
	AgentKeys,
	/// Nonces of calls that wrote, until they expire.
	#[codec(index = 3)]
	Nonces,
	/// What must reach the outside.
	#[codec(index = 4)]
	Outbox,
	/// When it runs by itself.
	#[codec(index = 5)]
	Schedule,
}

impl Space {
	pub const ALL: [Self; 6] =
		[Self::Entries, Self::Secrets, Self::AgentKeys, Self::Nonces, Self::Outbox, Self::Schedule];

	/// The first byte of its keys.
	pub const fn byte(self) -> u8 {
		match self {
			Self::Entries => 0,
			Self::Secrets => 1,
			Self::AgentKeys => 2,
			Self::Nonces => 3,
			Self::Outbox => 4,
			Self::Schedule => 5,
		}
	}

	fn of(byte: u8) -> Option<Self> {
		Self::ALL.into_iter().find(|space| space.byte() == byte)
	}
}

/// Key of an entry: its space, then its name. Ordered by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
pub struct Key(Vec<u8>);

impl Key {
	pub fn new(space: Space, name: &[u8]) -> Result<Self, StateError> {
		if name.len() > KEY_BYTES_MAX {
			return Err(StateError::KeyTooLong { bytes: name.len(), bytes_max: KEY_BYTES_MAX });
		}
		let mut bytes = Vec::with_capacity(name.len().saturating_add(1));
		bytes.push(space.byte());
		bytes.extend_from_slice(name);
		Ok(Self(bytes))
	}

	/// As it stands in a page; none if it is no key of this layout.
	pub(crate) fn from_page(bytes: &[u8], layout: &Layout) -> Option<Self> {
		let (space, name) = bytes.split_first()?;
		Space::of(*space)?;
		(name.len() <= layout.key_bytes_max).then(|| Self(bytes.to_vec()))
	}

	pub(crate) fn fits(&self, layout: &Layout) -> Result<(), StateError> {
		let (bytes, bytes_max) = (self.name().len(), layout.key_bytes_max);
		if bytes > bytes_max {
			return Err(StateError::KeyTooLong { bytes, bytes_max });
		}
		Ok(())
	}

	pub fn space(&self) -> Space {
		self.0.first().copied().and_then(Space::of).unwrap_or(Space::Entries)
	}

	pub fn name(&self) -> &[u8] {
		self.0.get(1..).unwrap_or_default()
	}

	pub(crate) fn as_bytes(&self) -> &[u8] {
		&self.0
	}
}

/// Names may tell as much as values do: none is printed.
impl std::fmt::Debug for Key {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		write!(f, "Key({:?}, {} bytes)", self.space(), self.name().len())
	}
}

impl Decode for Key {
	fn decode<I: codec::Input>(input: &mut I) -> Result<Self, codec::Error> {
		let bytes = Vec::<u8>::decode(input)?;
		let (space, name) = bytes.split_first().ok_or("a key has a space")?;
		let space = Space::of(*space).ok_or("a key's space is known")?;
		Self::new(space, name).map_err(|_| "a key is short enough".into())
	}
}

/// Value of an entry: wiped when let go, and never printed.
#[derive(Clone, PartialEq, Eq, Encode, Decode, Zeroize, ZeroizeOnDrop)]
pub struct Value(Vec<u8>);

impl Value {
	pub fn new(bytes: Vec<u8>) -> Result<Self, StateError> {
		if bytes.len() > VALUE_BYTES_MAX {
			return Err(StateError::ValueTooLong {
				bytes: bytes.len(),
				bytes_max: VALUE_BYTES_MAX,
			});
		}
		Ok(Self(bytes))
	}

	/// Of a page, whose parser bounds it.
	pub(crate) fn from_page(bytes: Vec<u8>) -> Self {
		Self(bytes)
	}

	pub fn expose(&self) -> &[u8] {
		&self.0
	}
}

impl std::fmt::Debug for Value {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		write!(f, "Value({} bytes)", self.0.len())
	}
}

/// What a run changes; `None` removes an entry. Literal: nothing in it is computed when it is applied.
pub type Writes = BTreeMap<Key, Option<Value>>;
