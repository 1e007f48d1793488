//! The crate's one error: why the store does not answer. None of them is a loss of what others have.

use crate::{
	limits::PAGE_BYTES_MAX,
	protocol::{OpenError, RequestError},
};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
	#[error(transparent)]
	Refused(RequestError),
	#[error("page refused: {bytes} bytes, at most {PAGE_BYTES_MAX} are accepted")]
	PageTooLong { bytes: usize },
	#[error("the store's process lied: {why}; it is started again")]
	Lied { why: &'static str },
	#[error("the store's process did not answer within {ms} ms; it is started again")]
	Silent { ms: u64 },
	#[error("the store's process ended before it answered; it is started again")]
	Died,
	#[error("the store still opens its file; ask again later")]
	Opening,
	#[error("the store does not serve: {0}")]
	Unavailable(UnavailableError),
}

/// Why nobody is there to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnavailableError {
	#[error("its process cannot be started ({0})")]
	NotStarted(std::io::ErrorKind),
	#[error(transparent)]
	CannotOpen(OpenError),
	#[error("its process ended, and is started again soon")]
	Ended,
	#[error("it was closed")]
	Closed,
}
