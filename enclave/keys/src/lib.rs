//! Every key of the network: made, shared, released, wrapped, derived, and what is sealed with
//! them. Pure: no I/O, no clock, no global randomness. Time and randomness are arguments.
//!
//! # The keys
//!
//! ```text
//! master key (epoch)        threshold BLS12-381, t of n gatekeepers, never in one place
//!   └─ cluster secret       HKDF( BLS signature over (cluster, generation) )
//!        └─ wraps the cluster's data keys and transport keys, which are random
//!             └─ state key, name key and pages key of each agent       HKDF( data key, agent )
//! agent keys                random at birth, kept in the agent's encrypted state
//!   ├─ encryption key       X25519, new with each rotation, tied to no other key
//!   └─ signing root         sr25519, ed25519, secp256k1 wallets    HKDF( root, kind, path )
//! boot keys                 sr25519 identity and X25519 of one life of the process, in memory
//! ephemeral keys            X25519, for one key request or one reply
//! ```
//!
//! # What a leak of each costs
//!
//! | leaked | gives | does not give |
//! |---|---|---|
//! | fewer than t shares of a master key | nothing | |
//! | t shares of one sharing, or the master key | every cluster secret of that epoch, past and future, so with the stored wrapped keys the state of every agent | other epochs, unless a data key was wrapped under both |
//! | a cluster secret | the keys wrapped under it: the state of the cluster's agents, and so their agent keys | other clusters; data keys made and wrapped only later |
//! | a data key | the state encrypted with it, and so the agent keys in it | other data keys |
//! | an agent's encryption key | what was ever sealed to that version of it | other versions, wallets, other agents |
//! | an agent's signing root | all of its wallets and draws until its owner rotates it | inputs, state, other agents |
//! | one wallet | that wallet | the root, other wallets |
//! | a boot's keys | its place until the chain retires it: what it may ask for, cluster secrets too; and what was sealed to the boot (for a gatekeeper its share, with the ceremony's recorded messages) | what was released to it before: that is sealed to ephemeral keys |
//! | an ephemeral key | one cluster secret, with the recorded answers; or one reply | anything else |
//!
//! There is no forward secrecy below a key: who records ciphertexts today and gets the key that
//! they are sealed to tomorrow reads them. `docs/keys.md` says what else remains to be trusted.
//!
//! # By verb
//!
//! * **Start a process:** [`boot::BootKeys::generate`]; sign with [`boot::BootKeys::sign`].
//! * **Make a master key, or share it anew:** [`dkg`].
//! * **Release a cluster secret:** [`release::PendingRequest`] at the worker,
//!   [`release::release_partial`] at each gatekeeper, [`release::ReleaseCollector`] at the worker.
//! * **Wrap and unwrap a cluster's keys:** [`cluster::ClusterSecret::wrap`],
//!   [`cluster::ClusterSecret::unwrap`].
//! * **Encrypt state:** [`state::StateCipher`]; its pages: [`pages::PageCipher`].
//! * **Seal an input, open it, answer it:** [`input`], [`reply`].
//! * **Derive a wallet:** [`agent::SigningRoot`].
//!
//! # Rules
//!
//! * A domain for each purpose, all in [`phala_protocol::domains`]; it is the first field of the struct whose
//!   SCALE encoding is signed, hashed or used as info or associated data.
//! * Secrets have types that wipe themselves, and implement neither `Debug` nor `Clone` nor
//!   `Encode`. Library internals (point arithmetic, hash states) may leave copies on the stack.
//! * Nothing from outside panics: it is refused with an [`Error`] that says why and changes
//!   nothing. Who is named a liar has signed the lie.
//! * Limits are in [`limits`].
#![cfg_attr(not(feature = "std"), no_std)]
// What only the gated modules use is still there for them.
#![cfg_attr(not(feature = "std"), allow(dead_code))]
// Dealings, releases and sealed inputs come from anybody: nothing here panics, whatever they hold.
#![cfg_attr(
	not(test),
	deny(
		clippy::expect_used,
		clippy::indexing_slicing,
		clippy::panic,
		clippy::unreachable,
		clippy::unwrap_used
	)
)]

extern crate alloc;

#[cfg(feature = "std")]
mod aead;
#[cfg(feature = "std")]
pub mod agent;
#[cfg(feature = "std")]
pub mod boot;
#[cfg(feature = "std")]
pub mod cluster;
#[cfg(feature = "std")]
pub mod dkg;
pub mod error;
pub mod hpke;
pub mod input;
pub mod limits;
#[cfg(feature = "std")]
pub mod master;
pub mod padding;
#[cfg(feature = "std")]
pub mod pages;
#[cfg(feature = "std")]
pub mod release;
pub mod reply;
pub mod secret;
mod sharing;
pub mod sr25519;
#[cfg(feature = "std")]
pub mod state;

pub use error::Error;
