//! The gatekeeper's role: takes part in making a master key, and releases cluster secrets.
//!
//! | module | does |
//! |---|---|
//! | [`state`] | what a gatekeeper knows |
//! | [`ingress`] | takes in what the chain says |
//! | [`actions`] | does all that can be done now |
//!
//! A share lives in memory alone. Who may ask is the chain's decision: a request is in the
//! gatekeepers' channel only if the chain admitted it. What is left to this side is that its view
//! of the chain is recent: an old one might show a member that has long been thrown out.

mod actions;
mod ingress;
pub(crate) mod state;

pub(crate) use state::{Gatekeeper, Shares};
