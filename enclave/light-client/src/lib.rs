//! # Light client
//!
//! Turns what an untrusted relayer brings into types that can only exist if they were checked.

#![forbid(unsafe_code)]

mod authorities;
mod bundle;
mod client;
mod error;
mod header;
mod justification;
pub mod limits;
mod mailbox;
mod position;
mod state;
#[cfg(feature = "test-support")]
pub mod test_chain;
mod trie;

pub use bundle::{decode_genesis_bundle, decode_sync_bundle};
pub use client::{Checkpoint, LightClient};
pub use error::Refused;
pub use header::FinalizedHeader;
pub use mailbox::{ChannelChange, Channels, MailboxReader, ProvenMessage, ProvenMessages, Synced};
pub use position::Position;
pub use state::ProvenState;
