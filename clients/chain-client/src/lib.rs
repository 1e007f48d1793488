//! # The client of a chain node
//!
//! One for all who speak with the chain from outside: the relayer, the command line, the networks of
//! tests. It believes the node: what must be proven goes through `phala-light-client` or
//! `phala-verifier`, which take the proofs that are fetched here.
//!
//! | module | does |
//! |---|---|
//! | [`chain`] | connects; heads, finality, proofs, messages; storage by the keys and types of `phala-protocol` |
//! | [`header`] | from a node's JSON to the bytes that hash to a block's hash |
//! | [`transactions`] | makes, submits and follows transactions, finds old ones, reads refusals |
//! | [`accounts`], [`agents`], [`bonding`], [`clusters`], [`gatekeepers`], [`registry`], [`requests`], [`validators`] | calls and records of each pallet |
//!
//! A refusal ([`ChainClientError`]) says what was refused, why, and what would be accepted.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod agents;
pub mod bonding;
pub mod chain;
pub mod clusters;
mod error;
pub mod gatekeepers;
pub mod header;
pub mod limits;
pub mod registry;
pub mod requests;
pub mod transactions;
pub mod validators;

pub use chain::Chain;
pub use error::ChainClientError;
pub use header::HeaderId;
pub use transactions::{Call, Included, Pending, Sender};
