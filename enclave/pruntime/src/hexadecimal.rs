//! Hashes and other bytes as text.

use phala_protocol::H256;

/// With `0x`.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
	format!("0x{}", hex::encode(bytes))
}

/// 32 bytes, with `0x` or without.
pub fn parse_hash(text: &str) -> Option<H256> {
	let digits = text.strip_prefix("0x").unwrap_or(text);
	let mut hash = [0; 32];
	hex::decode_to_slice(digits, &mut hash).ok().map(|()| H256(hash))
}
