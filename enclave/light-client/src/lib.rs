//! # Light client
//!
//! Follows the chain from inside an enclave, by what an untrusted relayer brings. Bytes go in,
//! types come out that can only exist if they were checked: [`FinalizedHeader`], [`ProvenState`],
//! [`ProvenMessages`]. No clock, no I/O, no global: the caller holds the values, and a value never
//! changes, so a refusal ([`LightClientError`]) changes nothing and the same bundle can be tried again.
//!
//! ## Key terms
//!
//! * **Step**: a header and a GRANDPA justification of exactly that header.
//! * **Authority set**: who finalizes, by number from 0. A header *ends* a set when it carries a
//!   scheduled change with delay 0; the next header is finalized by the next set.
//! * **Head** of a channel: how many messages were pushed into it, and a hash over all of them.
//! * **Position** of a message: block and index in the block, one order over all channels.
//!
//! ## Usage
//!
//! 1. **Start** with [`LightClient::from_genesis`] (or [`LightClient::from_checkpoint`]): the hash of
//!    the first header is pinned in the release, the authorities are proven under it.
//! 2. **Advance** it with [`LightClient::advance`] to a recent header. No messages are read yet:
//!    what the chain said before this boot concerned earlier ones.
//! 3. **Adopt** channels with [`MailboxReader::adopt`], from their heads at that header.
//! 4. **Sync** with [`MailboxReader::sync`] from then on. Each bundle moves the header and brings
//!    all messages of all followed channels up to it, in one order; what else was asked for is in
//!    [`Synced::state`]. Messages may open and close channels ([`ChannelChange`]).
//!
//! Encoded bundles come in through [`decode_sync_bundle`] and [`decode_genesis_bundle`], which hold
//! every length against [`limits`] before they set memory aside.
//!
//! ## Why headers in between may be left out
//!
//! A justification is signed by two thirds of a set over one block's hash. The hash covers its
//! parent's, and so on to block 0: finality of a block is finality of all before it. What must not
//! be left out is the last header of each set, because it names the next; it is also the highest
//! block for which the old set's votes count. A relayer that leaves it out gains nothing: set
//! numbers are signed, so justifications of a later set do not verify under an earlier.
//! Nodes that do not prune blocks keep the justification of each such header for ever.
//!
//! *Why the channels cannot run ahead of each other.* A bundle counts only if one header proves the
//! heads of **all** followed channels and the bodies reach all of these heads. So whoever holds one
//! channel back stops the enclave; it cannot make it act on a grant while hiding the revocation.
//!
//! ## What a liar can do
//!
//! | the relayer | comes to |
//! |---|---|
//! | forges, alters, reorders, repeats, drops or invents anything | a named refusal |
//! | brings another chain's things | a refusal: genesis is pinned, signatures are over set and block |
//! | brings older things | [`LightClientError::NotNewer`], [`LightClientError::Repeated`] |
//! | brings nothing, or stops | the enclave stands still: see *freshness* |
//! | brings too much | [`LightClientError::OverLimit`], before it costs memory |
//!
//! A third of the validators or more can stop finality. Two thirds can make the enclave believe
//! anything: that is the trust in the chain itself. One validator that signs nonsense (two votes,
//! wrong block numbers) changes no verdict.
//!
//! ## What a header cannot prove
//!
//! **Freshness.** A relayer may show an enclave the past, step by step, at any speed. Nothing here
//! says how old the newest header is. An enclave knows by its own unpredictable marks (its boot's
//! keys, its heartbeats' nonces) coming back to it in messages: that is the caller's business.
//!
//! **That old validators still have something to lose.** Two thirds of a set whose bonds were paid
//! back long ago could finalize another history (a long-range fork). A client that starts at
//! genesis, or was away for more than half the unbonding period, cannot tell: it must start at a
//! [`Checkpoint`] that is pinned in its release and recent.
//!
//! **Forced changes** of authorities (governance after GRANDPA stalled) are decided by no finality
//! and are refused by name; beyond one, a release with a later checkpoint is needed.
#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "std"), no_std)]
// Nothing here panics, whatever arrives.
#![deny(
	clippy::arithmetic_side_effects,
	clippy::expect_used,
	clippy::indexing_slicing,
	clippy::panic,
	clippy::unreachable,
	clippy::unwrap_used
)]

extern crate alloc;

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
#[allow(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing)]
pub mod test_chain;
mod trie;

pub use bundle::{decode_genesis_bundle, decode_sync_bundle};
pub use client::{Checkpoint, LightClient};
pub use error::LightClientError;
pub use header::FinalizedHeader;
pub use mailbox::{ChannelChange, Channels, MailboxReader, ProvenMessage, ProvenMessages, Synced};
pub use position::Position;
pub use state::ProvenState;
