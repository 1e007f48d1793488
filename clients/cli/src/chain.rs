//! Where the chain is, which one it is, and what is named on command lines.

use phala_chain_client::{Chain, ChainClientError};
use phala_protocol::H256;

/// Where commands look for a chain that are not told where it is.
const NODE_USUAL: &str = "ws://127.0.0.1:9944";
const NODE_VARIABLE: &str = "PHALA_NODE";

/// The node that commands ask which are not told another.
pub fn usual_node() -> String {
	std::env::var(NODE_VARIABLE).unwrap_or_else(|_| NODE_USUAL.to_owned())
}

/// Where the chain is.
#[derive(Clone, Debug, clap::Args)]
pub struct NodeOption {
	/// The chain node's websocket address.
	#[arg(long, env = NODE_VARIABLE, default_value = NODE_USUAL, value_name = "URL")]
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
	const DIGITS: usize = 64;
	let digits = text.strip_prefix("0x").unwrap_or(text);
	if let Some(other) = digits.chars().find(|digit| !digit.is_ascii_hexdigit()) {
		let why = match other {
			'…' | '.' => "it is shortened".to_owned(),
			other => format!("{other:?} is no hexadecimal digit"),
		};
		return Err(format!("{why}: 0x and {DIGITS} hexadecimal digits are taken"));
	}
	let mut bytes = [0; DIGITS / 2];
	hex::decode_to_slice(digits, &mut bytes).map_err(|_| {
		format!("it has {} hexadecimal digits, and {DIGITS} are taken", digits.len())
	})?;
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

	#[test]
	fn what_is_no_hash_is_refused_with_what_is_wrong_with_it() {
		let good = "1f".repeat(32);
		assert_eq!(hash(&good).unwrap(), H256([0x1f; 32]));
		assert_eq!(hash(&format!("0x{good}")).unwrap(), H256([0x1f; 32]));
		for (text, why) in [
			(format!("0x{good}1"), "it has 65 hexadecimal digits, and 64 are taken"),
			("0x11".into(), "it has 2 hexadecimal digits"),
			(String::new(), "it has 0 hexadecimal digits"),
			("0x40fca128…".into(), "it is shortened"),
			("riddle".into(), "'r' is no hexadecimal digit"),
			(format!("0x0x{}", &good[2..]), "'x' is no hexadecimal digit"),
		] {
			let refused = hash(&text).unwrap_err();
			assert!(refused.contains(why), "{text}: {refused}");
		}
	}
}
