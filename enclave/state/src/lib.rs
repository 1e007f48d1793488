//! # Sealed tree
//!
//! An agent's state: an ordered map in pages, copied on write, each version of it known by a
//! [`Root`] of which the chain holds the hash. Disks, members and old copies are all just untrusted
//! places to get pages from. No clock, no I/O, no thread; randomness is an argument.
//!
//! ## Key terms
//!
//! * **Page**: a leaf with entries, an inner page with children, or (a part of) a long value.
//! * **Name** of a page: the hash of its plaintext. The plaintext has the 32 random bytes of the run
//!   that wrote it and its number in that run, so names say nothing and never recur.
//! * **Root**: name of the top page, layout, version, depth, and exact counts of entries, bytes and
//!   pages. A snapshot is a root.
//! * **Batch**: what one run's writes made of a root: the new root, the pages that it wrote and the
//!   names of those that it replaced. The same writes give the same batch on any member.
//! * **Step**: the names of a batch, as the [`Lineage`] of an agent's roots remembers them.
//! * **Missing**: a page that is not in memory. Every operation says which it lacks
//!   ([`StateError::Missing`]), changes nothing, and can be asked again.
//!
//! ## Usage
//!
//! 1. **Read** with [`Snapshot`], from a [`PageSource`]: the [`PageCache`], or a [`Gathered`] over it
//!    that keeps what one operation needs. On [`StateError::Missing`] fetch the pages, from the disk and
//!    from members at once, [open](PageKeys::open) each, add it, ask again.
//! 2. **Write** with [`Transaction`], or [`apply`] what another member wrote. The pages of the
//!    [`Batch`] are [held](CachedPages::hold) in the cache until they are stored; then they are
//!    [sealed](PageKeys::seal) and [put](Pages::put). Several in a row are [joined](Batch::join) to
//!    share one flush: what came and went in between is never stored.
//! 3. **Stack** what is not decided in the [`Lineage`]: [`extend`](Lineage::extend),
//!    [`finalize`](Lineage::finalize), [`abandon`](Lineage::abandon). What they return can be deleted.
//!    A step that was abandoned and comes again is put again, after that.
//! 4. **Acknowledge** only a [`Complete`] root: a complete one and a step whose pages are stored, or a
//!    [`Walk`] that found every page.
//! 5. **Catch up** with a [`Walk`]: it asks for what the disk has, then for what it lacks, page by page.
//! 6. **Compare** two roots with [`diff`].
//!
//! ## Layout
//!
//! A B+tree. Leaves have keys (a byte for the [`Space`], then the name) and values up to a limit;
//! longer values are in pages of their own, which the leaf names, so they are fetched at once. Inner
//! pages have, for each child, a lower bound of its keys, as short as can be, and whether there are
//! pages of values below. A page that got too long is parted, one that shrank below a quarter is
//! joined with a neighbour. The figures are a [`Layout`]'s.
//!
//! The plaintext of a page says its layout, version, run and number. What stands before a sealed page,
//! layout and version and the epoch and generation of its data key, is bound to it; the last two are in
//! no plaintext and no root, so that sealing anew changes neither names nor roots.
//!
//! ## What a liar can do
//!
//! | who keeps pages | comes to |
//! |---|---|
//! | changes a byte, cuts, tears, invents | the page does not open: it is missing |
//! | gives another page, another agent's, an older one | another name is bound to it: missing |
//! | puts an older disk back | what is newer is missing; what is older is what it was |
//! | says that it has nothing, or is silent | missing |
//! | says that it has a page, and has it not | a member acknowledges what only others have |
//! | watches | learns how many pages are written, when, in steps of 1 KiB, and which are read |
//!
//! No lie gives a wrong value and none panics. Who has the keys *and* a quorum's acknowledgements can
//! commit a root that is no tree: then reading it says so ([`StateError::NotATree`]).
//!
//! What deletes too much is worse than a lie: see [`Lineage`] for why a page of a root that is alive
//! is never collected.
#![forbid(unsafe_code)]
// Pages come from hosts and other members: nothing here panics, whatever they hold.
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

mod batch;
mod cache;
mod diff;
mod error;
mod key;
mod layout;
pub mod limits;
mod lineage;
mod page;
mod port;
mod read;
mod root;
mod seal;
mod transaction;
mod walk;
mod write;

pub use batch::{Batch, Run};
pub use cache::{CacheLimits, CachedPages, PageCache};
pub use diff::{diff, Diff};
pub use error::{Missing, StateError};
pub use key::{Key, Space, Value, Writes};
pub use layout::{Layout, Layouts, LAYOUTS, LAYOUT_1};
pub use lineage::{Lineage, Reader, Step};
pub use page::{Page, PageKind, PageName, RunId};
pub use port::Pages;
pub use read::{Gathered, PageSource, Scan, Scanned, Snapshot};
pub use root::Root;
pub use seal::{PageKeys, UnusablePageError};
pub use transaction::Transaction;
pub use walk::{holds_completely, missing, Check, Complete, Walk, Wanted};
pub use write::apply;
