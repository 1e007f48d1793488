//! Names one sharing of a master key.

use codec::{Decode, Encode};
use phala_protocol::keys::Epoch;

/// Which sharing of which master key: `attempt` counts the ceremonies of an epoch. Resharing
/// keeps the key, and makes new shares that do not mix with the old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct SharingId {
	/// Life of the master key.
	pub epoch: Epoch,
	/// Ceremony within it.
	pub attempt: u32,
}
