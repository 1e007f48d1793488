//! Where a message stands in the one order over all channels.

use core::fmt;
use phala_protocol::BlockNumber;

/// A message's place: first by block, then by its index among all messages of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
	/// The block that pushed the message.
	pub block: BlockNumber,
	/// Its place among all messages of that block, over all channels.
	pub index: u32,
}

impl Position {
	/// The last place that a block could have.
	pub(crate) fn end_of(block: BlockNumber) -> Self {
		Self { block, index: u32::MAX }
	}
}

impl fmt::Display for Position {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "block {} index {}", self.block, self.index)
	}
}
