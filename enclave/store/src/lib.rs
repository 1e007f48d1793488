//! # Page store
//!
//! Where the sealed pages of all agents are kept: one file of redb, in a process of the host's that has
//! no keys, and the client that the enclave asks it with. Why redb, and why apart:
//! `docs/decisions/019-sealed-pages-are-kept-in-redb.md`.
//!
//! ## Key terms
//!
//! * **Page**: sealed bytes under an agent and a name. The store neither opens nor checks them.
//! * **Process**: `pruntime-store`. It reads requests from its standard input and writes answers to its
//!   standard output; it ends with its input, and by a signal when its parent dies.
//! * **Folder**: holds the file `pages.redb`, files that were set aside, the reserve and the lock: one
//!   process at a time has it. It is made by who installs ([`StoreConfig::make_folder`]), not by the store.
//! * **Reserve**: room on the disk that is held back, and let go when a write finds none: pages can be
//!   deleted on a full disk, and puts are refused until the reserve is whole again.
//! * **Group**: the puts and deletions that came while the last group was made durable. They share one
//!   commit, and so one flush.
//! * **Set aside**: a file that does not open, or that crashed its process over and over, gets another
//!   name, `pages.redb.damaged-1`, and an empty one takes its place. What is lost is fetched from members.
//!   A kill, a slow disk and a liar are not the file's doing.
//!
//! ## Usage
//!
//! 1. [`Store::start`] starts the process and gives a handle: cheap to clone, for any number of tasks
//!    and threads at once.
//! 2. [`get`](Store::get), [`has`](Store::has), [`put`](Store::put), [`delete`](Store::delete),
//!    [`names`](Store::names) are the port of `enclave/state` as futures that need no runtime;
//!    [`Store::blocking`] is the same for threads. A put is durable when it returns.
//! 3. [`usage`](Store::usage) and [`agents`](Store::agents) say who takes how much;
//!    [`statistics`](Store::statistics) what the process did, [`status`](Store::status) how it is.
//! 4. [`Store::close`] ends the process in order. Without it the process dies, and nothing that was put is
//!    lost.
//!
//! An error is no loss: whatever it is, ask members for the page, or put again. The client does not try
//! again by itself, since who waits may have better places to ask.
//!
//! ## Threads and tasks
//!
//! The client has threads of its own: one that starts the process, watches deadlines and starts it
//! again, one that writes to it, one that reads from it. Each request is answered by them, with an error
//! when nobody was answered for too long, or it was not though others were; so a future is only told and needs no timer, a thread waits just as
//! well, and hundreds of puts wait in one flush without a thread each. It is the thread that starts the
//! process that must last: a process is killed when the *thread* that started it ends, not only when its
//! parent does.
//!
//! ## Limits
//!
//! Frames, pages in a frame, and what is under way are bounded by [`limits`]. What is stored is bounded
//! in bytes, for each agent and in all; a put beyond is refused by name and changes nothing, deletions
//! always pass, also on a full disk. Bytes are those of sealed pages. redb gives each page the next power of two, so the file
//! takes about 1.5 times as many, is up to twice as long, and does not shrink at once.
//!
//! ## What a liar can do
//!
//! | the process | comes to |
//! |---|---|
//! | answers with too much, too little, in disorder, garbage, what nobody asked for | [`StoreError::Lied`], and it is killed and started again |
//! | is silent, or stops within an answer | [`StoreError::Silent`] at the deadline, and the same |
//! | dies | [`StoreError::Died`], and it is started again, later each time |
//! | gives other bytes, or says that it has nothing | the page does not open: it is missing |
//! | says that it stored, and did not | a member acknowledges what only others have |
//! | watches | what `enclave/state` says of who watches |
//!
//! An answer that is longer than the request allows is not read: memory is bounded by what was asked
//! for.
#![forbid(unsafe_code)]
// One side parses what the other sends, and files that the host can write: nothing here panics.
#![cfg_attr(
	not(test),
	deny(
		clippy::arithmetic_side_effects,
		clippy::expect_used,
		clippy::indexing_slicing,
		clippy::panic,
		clippy::unreachable,
		clippy::unwrap_used
	)
)]

mod client;
mod error;
pub mod limits;
pub mod protocol;
pub mod server;

pub use client::{
	Blocking, Connection, End, Launcher, Life, Status, Store, StoreConfig, StoreProcess, Timing,
};
pub use error::{StoreError, UnavailableError};
