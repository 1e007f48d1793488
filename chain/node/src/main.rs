//! The chain node.
//!
//! | file | holds |
//! |---|---|
//! | [`cli`] | command line |
//! | [`chain_spec`] | the networks that it knows by name |
//! | [`service`] | the parts of a running node and how they are wired |
//! | [`development_keys`] | what `--alice` signs with |
//! | [`metrics`] | what the network's pallets hold, as Prometheus gauges |
//! | [`rpc`] | JSON-RPC: the stock methods and our finality proofs |

// The large errors are those of sc-cli and sc-service, which these functions pass on.
#![allow(clippy::result_large_err)]

mod chain_spec;
mod cli;
mod development_keys;
mod metrics;
mod rpc;
mod service;

fn main() -> sc_cli::Result<()> {
	cli::run()
}
