//! Guest data in types that are printed: only its size shows.

use std::fmt;

/// Prints as the number of bytes that it stands for.
pub(crate) struct Bytes(pub usize);

impl fmt::Debug for Bytes {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "<{} bytes>", self.0)
	}
}
