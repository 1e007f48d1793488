//! Time as the machine knows it.

use codec::{Decode, Encode};

/// A moment on the **platform's** counter: milliseconds since the counter started. It is not the
/// host's clock, says nothing about the date, and only goes forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Instant(u64);

impl Instant {
	pub const fn from_ms(ms: u64) -> Self {
		Self(ms)
	}

	pub const fn as_ms(self) -> u64 {
		self.0
	}

	/// So many milliseconds later.
	pub const fn after_ms(self, ms: u64) -> Self {
		Self(self.0.saturating_add(ms))
	}

	/// How long ago `earlier` was, in milliseconds; 0 if it is still to come.
	pub const fn ms_since(self, earlier: Self) -> u64 {
		self.0.saturating_sub(earlier.0)
	}
}
