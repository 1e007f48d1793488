//! The store as the enclave meets it: the real process with its file, killed, damaged, full; and
//! processes that lie.

mod common;
mod damage;
mod liars;
mod process;
mod tree;
