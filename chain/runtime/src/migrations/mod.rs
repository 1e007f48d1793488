//! # Migrations: what an upgrade does to the state that it finds
//!
//! What a runtime stores has a form, and each of our pallets a number for it, its `STORAGE_VERSION`. A
//! runtime that stores in another form brings the migration that translates: [`Migrations`] run once,
//! in the first block of the new runtime, before any pallet's hook and any transaction. Each is a
//! [`VersionedMigration`]: it runs where the chain has the version that it starts from, and nowhere
//! else, so that it does nothing the second time and may stay in the list for those who skip a release.
//!
//! The recipe, "Change a storage format", is in `CONTRIBUTING.md`. In short: a module here, named for
//! what it changes, with the old types in it; its line in [`Migrations`]; a test that has the bytes of
//! before. A migration has **one block**: what it touches must be bounded, and what it weighs is counted.
//! A map that strangers fill is for `pallet-migrations`, in many blocks, which we do not need yet.
//!
//! **Not for a migration alone** is what others than the chain read: the storage that enclaves have
//! proven to them (`phala_protocol::storage_keys`) and the messages' forms. There a new form is a new
//! key, or a new variant, which enclaves know before the chain uses it. **Never changed** are the length
//! of an epoch and of a slot: see [`crate::parameters`].
//!
//! **Between the block that sets the code and the next one** nodes ask the new code about a state that is
//! not migrated yet: runtime APIs, the checks of a transaction. What those read may be refused there, and
//! must not do harm.
//!
//! What an upgrade must leave whole: `check_invariants` of each of our pallets, which tests ask on a
//! state that everybody has worked on at random, and the `try-runtime` tool on a live chain's.
//!
//! [`VersionedMigration`]: frame_support::migrations::VersionedMigration

#[cfg(any(test, feature = "upgrade-rehearsal"))]
pub mod rehearsal;

/// What this release brings, the oldest first.
#[cfg(not(feature = "upgrade-rehearsal"))]
pub type Migrations = ();

/// The same, and what makes the rehearsal a rehearsal.
#[cfg(feature = "upgrade-rehearsal")]
pub type Migrations = rehearsal::AddRehearsedAt;
