//! Where the chain is, and what is named on command lines.

use phala_chain_client::{Chain, ChainClientError};
use phala_protocol::H256;

/// Where the chain is.
#[derive(Clone, Debug, clap::Args)]
pub struct NodeOption {
	/// The chain node's websocket address.
	#[arg(long, env = "PHALA_NODE", default_value = "ws://127.0.0.1:9944", value_name = "URL")]
	pub node: String,
}

impl NodeOption {
	/// # Errors
	/// When no node answers there.
	pub async fn connect(&self) -> Result<Chain, ChainClientError> {
		Chain::connect(&self.node).await
	}
}

/// A hash of 32 bytes in hexadecimal, with or without 0x.
///
/// # Errors
/// When it is none.
pub fn hash(text: &str) -> Result<H256, String> {
	let bytes = hex::decode(text.trim_start_matches("0x")).map_err(|error| error.to_string())?;
	let bytes: [u8; 32] = bytes
		.try_into()
		.map_err(|bytes: Vec<u8>| format!("{} bytes, 32 are a hash", bytes.len()))?;
	Ok(H256(bytes))
}
