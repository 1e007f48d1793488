//! Words that have one form in all that is told.

use phala_protocol::{
	text::{Address, TextError},
	AccountBytes, Balance, H256,
};
use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt};

/// 32 bytes: an id, a hash, a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub H256);

/// An account's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account(pub AccountBytes);

/// An amount of 10⁻¹² PHA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount(pub Balance);

/// Bytes of any number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl fmt::Display for HexBytes {
	fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(to, "0x{}", hex::encode(&self.0))
	}
}

impl Serialize for HexBytes {
	fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
		to.collect_str(self)
	}
}

impl From<H256> for Hash {
	fn from(hash: H256) -> Self {
		Self(hash)
	}
}

impl From<[u8; 32]> for Hash {
	fn from(bytes: [u8; 32]) -> Self {
		Self(H256(bytes))
	}
}

impl From<Address> for Account {
	fn from(address: Address) -> Self {
		Self(address.0)
	}
}

impl Serialize for Hash {
	fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
		to.collect_str(&format_args!("{:?}", self.0))
	}
}

impl<'de> Deserialize<'de> for Hash {
	fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
		let text = String::deserialize(from)?;
		crate::chain::hash(&text).map(Self).map_err(serde::de::Error::custom)
	}
}

impl Serialize for Account {
	fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
		to.collect_str(&Address(self.0))
	}
}

impl<'de> Deserialize<'de> for Account {
	fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
		let read: Result<Address, TextError> = String::deserialize(from)?.parse();
		read.map(Self::from).map_err(serde::de::Error::custom)
	}
}

impl Serialize for Amount {
	fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
		to.collect_str(&self.0)
	}
}

macro_rules! schema {
	($type:ident, $pattern:literal, $description:literal) => {
		impl JsonSchema for $type {
			fn schema_name() -> Cow<'static, str> {
				stringify!($type).into()
			}

			fn json_schema(_: &mut SchemaGenerator) -> Schema {
				json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
			}
		}
	};
}

schema!(Hash, "^0x[0-9a-f]{64}$", "32 bytes: an id, a hash, a key.");
// 35 bytes of which the first is the prefix 30: 48 digits, and the first of them is one of two.
schema!(Account, "^[34][1-9A-HJ-NP-Za-km-z]{47}$", "An account's address, in SS58 with prefix 30.");
schema!(HexBytes, "^0x([0-9a-f]{2})*$", "Bytes.");
schema!(Amount, "^(0|[1-9][0-9]*)$", "An amount of 10⁻¹² PHA.");

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn every_account_s_address_is_of_the_form_that_the_schema_has() {
		let pattern = schemars::schema_for!(Account).get("pattern").cloned();
		assert_eq!(pattern, Some("^[34][1-9A-HJ-NP-Za-km-z]{47}$".into()));
		for bytes in [[0; 32], [1; 32], [0x12; 32], [0x80; 32], [0xff; 32]] {
			let text = serde_json::to_value(Account(bytes)).unwrap();
			let text = text.as_str().unwrap();
			assert!(text.len() == 48 && text.starts_with(['3', '4']), "{text}");
		}
	}
}
