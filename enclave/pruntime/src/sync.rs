//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// For what is changed in one go: if its lock was poisoned elsewhere, it still guards what is
/// consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
	mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
