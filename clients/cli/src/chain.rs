//! Where the chain is, which one it is, and what is named on command lines.

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
	pub async fn connect(&self) -> Result<Chain, ChainClientError> {
		Chain::connect(&self.node).await
	}
}

/// Where the chain is, and which one it is: for what is believed because that chain proves it.
#[derive(Clone, Debug, clap::Args)]
pub struct ChainOptions {
	#[command(flatten)]
	node: NodeOption,

	/// The chain that you trust: the hash of its block 0. Another one is refused. If it is not said,
	/// the node's word is taken for which chain it is.
	#[arg(long, env = "PHALA_GENESIS", value_name = "HASH", value_parser = hash)]
	genesis: Option<H256>,
}

impl ChainOptions {
	/// The node's URL.
	pub fn url(&self) -> &str {
		&self.node.node
	}

	pub async fn connect(&self) -> anyhow::Result<Chain> {
		let chain = self.node.connect().await?;
		if let Some(notice) = pinned(self.genesis, chain.genesis_hash())? {
			say!("{notice}");
		}
		Ok(chain)
	}
}

/// What is to be said of a node's chain, if anything.
fn pinned(genesis: Option<H256>, found: H256) -> anyhow::Result<Option<String>> {
	let Some(genesis) = genesis else {
		return Ok(Some(format!("chain {found:?}: as the node says; pin it with --genesis")));
	};
	if genesis != found {
		refuse!("OtherChain", "the node is on the chain {found:?}, you trust {genesis:?}: nothing was sent; give another --node");
	}
	Ok(None)
}

/// A hash of 32 bytes in hexadecimal, with or without 0x.
pub fn hash(text: &str) -> Result<H256, String> {
	let bytes = hex::decode(text.trim_start_matches("0x")).map_err(|error| error.to_string())?;
	let bytes: [u8; 32] = bytes
		.try_into()
		.map_err(|bytes: Vec<u8>| format!("{} bytes, 32 are a hash", bytes.len()))?;
	Ok(H256(bytes))
}

#[cfg(test)]
mod tests {
	use super::*;

	/// A node of a chain of its own.
	struct Impostor;

	impl Impostor {
		const GENESIS: H256 = H256([0x66; 32]);
	}

	#[test]
	fn a_node_of_another_chain_than_the_pinned_one_is_refused_and_an_unpinned_one_is_named() {
		let trusted = H256([1; 32]);
		assert_eq!(pinned(Some(trusted), trusted).unwrap(), None);
		let refused = pinned(Some(trusted), Impostor::GENESIS).unwrap_err();
		let refused = crate::failure::body(&refused);
		assert_eq!(refused.code, "OtherChain");
		assert!(refused.message.contains(&format!("{trusted:?}")), "{}", refused.message);
		let notice = pinned(None, trusted).unwrap().unwrap();
		let expected = format!("chain {trusted:?}: as the node says; pin it with --genesis");
		assert_eq!(notice, expected);
	}
}
