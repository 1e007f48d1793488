//! Block headers: from a node's JSON to the SCALE bytes that hash to the block's hash.

use codec::{Compact, Decode, Encode};
use phala_protocol::{BlockNumber, H256};
use serde::Deserialize;

use crate::ChainClientError;

/// A header as a node's JSON-RPC has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JsonHeader {
	parent_hash: String,
	number: String,
	state_root: String,
	extrinsics_root: String,
	digest: JsonDigest,
}

#[derive(Clone, Debug, Deserialize)]
struct JsonDigest {
	logs: Vec<String>,
}

impl JsonHeader {
	/// Its height.
	///
	/// # Errors
	/// [`ChainClientError::NodeAnswer`].
	pub fn number(&self) -> Result<BlockNumber, ChainClientError> {
		let digits = self.number.strip_prefix("0x").unwrap_or(&self.number);
		BlockNumber::from_str_radix(digits, 16).map_err(|error| unreadable("number", error))
	}

	/// SCALE of the header. Logs travel as their own SCALE, so unknown ones pass through.
	///
	/// # Errors
	/// [`ChainClientError::NodeAnswer`].
	pub fn to_scale(&self) -> Result<Vec<u8>, ChainClientError> {
		let mut bytes = hash("parentHash", &self.parent_hash)?.encode();
		Compact(self.number()?).encode_to(&mut bytes);
		hash("stateRoot", &self.state_root)?.encode_to(&mut bytes);
		hash("extrinsicsRoot", &self.extrinsics_root)?.encode_to(&mut bytes);
		Compact(self.digest.logs.len() as u64).encode_to(&mut bytes);
		for log in &self.digest.logs {
			bytes.extend(from_hex("digest", log)?);
		}
		Ok(bytes)
	}
}

/// What names a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderId {
	/// Its height.
	pub number: BlockNumber,
	/// BLAKE2-256 of its encoding.
	pub hash: H256,
}

impl HeaderId {
	/// Of SCALE bytes.
	///
	/// # Errors
	/// [`ChainClientError::NodeAnswer`] when they are no header.
	pub fn of(header: &[u8]) -> Result<Self, ChainClientError> {
		let (_, Compact(number)) = <(H256, Compact<BlockNumber>)>::decode(&mut &header[..])
			.map_err(|error| unreadable("header", error))?;
		Ok(Self { number, hash: phala_protocol::blake2_256(header) })
	}
}

fn hash(field: &'static str, text: &str) -> Result<H256, ChainClientError> {
	let bytes: [u8; 32] =
		from_hex(field, text)?.try_into().map_err(|_| unreadable(field, "a hash has 32 bytes"))?;
	Ok(H256(bytes))
}

fn from_hex(field: &'static str, text: &str) -> Result<Vec<u8>, ChainClientError> {
	hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|error| unreadable(field, error))
}

fn unreadable(field: &'static str, reason: impl std::fmt::Display) -> ChainClientError {
	ChainClientError::NodeAnswer { method: "chain_getHeader", reason: format!("{field}: {reason}") }
}

#[cfg(test)]
mod tests {
	use super::*;

	fn json(logs: &[&str]) -> JsonHeader {
		serde_json::from_value(serde_json::json!({
			"parentHash": format!("0x{}", "11".repeat(32)),
			"number": "0x12c",
			"stateRoot": format!("0x{}", "22".repeat(32)),
			"extrinsicsRoot": format!("0x{}", "33".repeat(32)),
			"digest": { "logs": logs },
		}))
		.expect("the header is well formed")
	}

	#[test]
	fn a_header_keeps_its_frozen_encoding() {
		let header = json(&["0x0642414245080102", "0x08"]).to_scale().expect("can be encoded");
		let mut expected = vec![0x11; 32];
		expected.extend([0xb1, 0x04]); // compact 300
		expected.extend([0x22; 32]);
		expected.extend([0x33; 32]);
		expected.push(2 << 2);
		expected.extend([0x06, 0x42, 0x41, 0x42, 0x45, 0x08, 0x01, 0x02, 0x08]);
		assert_eq!(header, expected);
		let id = HeaderId::of(&header).expect("can be decoded");
		assert_eq!(id.number, 300);
		assert_eq!(id.hash, phala_protocol::blake2_256(&expected));
	}

	#[test]
	fn the_genesis_of_polkadot_hashes_to_its_known_hash() {
		let header: JsonHeader = serde_json::from_value(serde_json::json!({
			"parentHash": "0x0000000000000000000000000000000000000000000000000000000000000000",
			"number": "0x0",
			"stateRoot": "0x29d0d972cd27cbc511e9589fcb7a4506d5eb6a9e8df205f00472e5ab354a4e17",
			"extrinsicsRoot": "0x03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314",
			"digest": { "logs": [] },
		}))
		.expect("the header is well formed");
		let id = HeaderId::of(&header.to_scale().expect("can be encoded")).expect("is a header");
		assert_eq!(
			hex::encode(id.hash.0),
			"91b171bb158e2d3848fa23a9f1c25182fb8e20313b2c1eb49219da7a70ce90c3"
		);
	}

	#[test]
	fn a_header_with_a_short_hash_is_refused_by_name() {
		let mut header = json(&[]);
		header.state_root = "0x1234".into();
		let error = header.to_scale().expect_err("must be refused").to_string();
		assert!(error.contains("stateRoot"), "{error}");
	}

	#[test]
	fn bytes_that_are_no_header_are_refused() {
		assert!(HeaderId::of(&[1, 2, 3]).is_err());
	}
}
