//! Why an answer is to be believed: from the chain's pinned block 0, by finality, to the boot that
//! signed it, the code that ran and what was asked and answered.
//!
//! | module | holds |
//! |---|---|
//! | [`file`](mod@file) | an answer with all that proves it, as a file |
//! | [`collect`] | gets the proofs from a node and a worker, none of which is believed |
//! | [`check`] | checks them, offline: one named check after the other |

pub mod check;
pub mod collect;
pub mod file;

pub use check::Verification;
pub use file::AnswerFile;
