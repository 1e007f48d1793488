//! Addresses of accounts, in SS58: the network's prefix, 32 bytes, two bytes of a checksum.

use phala_protocol::AccountBytes;
use std::fmt;

/// Of Phala.
pub const PREFIX: u8 = 30;

/// Taken as well: what other tools show when they do not know the network.
const GENERIC_PREFIX: u8 = 42;

const CHECKSUM_BYTES: usize = 2;

/// An account, shown as its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub AccountBytes);

impl fmt::Display for Address {
	fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
		to.write_str(&encode(PREFIX, &self.0))
	}
}

impl std::str::FromStr for Address {
	type Err = String;

	/// Takes an address, or the account's 32 bytes as 0x and hexadecimal digits.
	fn from_str(text: &str) -> Result<Self, String> {
		let text = text.trim();
		if let Some(digits) = text.strip_prefix("0x") {
			let mut account = [0; 32];
			return match hex::decode_to_slice(digits, &mut account) {
				Ok(()) => Ok(Self(account)),
				Err(_) => Err(format!("{text:?} is no account: 0x and 64 hexadecimal digits are")),
			};
		}
		let refused = |why: &str| {
			format!("{text:?} is no address ({why}): an SS58 address or 0x and 64 hexadecimal digits is taken")
		};
		let bytes = bs58::decode(text).into_vec().map_err(|_| refused("it is not base 58"))?;
		let (body, found) = match bytes.len() {
			35 => bytes.split_at(33),
			_ => return Err(refused("it has another length")),
		};
		if checksum(body) != found {
			return Err(refused("its checksum does not fit: is it complete?"));
		}
		if ![PREFIX, GENERIC_PREFIX].contains(&body[0]) {
			return Err(refused(&format!("it is of network {}, not {PREFIX}", body[0])));
		}
		let account = body[1..].try_into().map_err(|_| refused("it has another length"))?;
		Ok(Self(account))
	}
}

fn encode(prefix: u8, account: &AccountBytes) -> String {
	let mut bytes = vec![prefix];
	bytes.extend(account);
	bytes.extend(checksum(&bytes));
	bs58::encode(bytes).into_string()
}

fn checksum(body: &[u8]) -> Vec<u8> {
	let mut hashed = b"SS58PRE".to_vec();
	hashed.extend(body);
	sp_crypto_hashing::blake2_512(&hashed)[..CHECKSUM_BYTES].to_vec()
}

#[cfg(test)]
mod tests {
	use super::*;
	use subxt_signer::sr25519::dev;

	#[test]
	fn alice_has_her_well_known_address() {
		let alice = dev::alice().public_key();
		let bytes = alice.0;
		let other_tools = alice.to_account_id().to_string();
		assert_eq!(
			encode(GENERIC_PREFIX, &bytes),
			"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
		);
		assert_eq!(encode(GENERIC_PREFIX, &bytes), other_tools);
		let address = Address(bytes);
		assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
		assert_eq!(other_tools.parse::<Address>().unwrap(), address);
		assert_eq!(format!("0x{}", hex::encode(bytes)).parse::<Address>().unwrap(), address);
	}

	#[test]
	fn a_mistyped_or_foreign_address_is_refused() {
		let alice = dev::alice().public_key().0;
		let polkadot = encode(0, &alice);
		assert!(polkadot.parse::<Address>().unwrap_err().contains("network 0"));
		let mistyped = Address(alice).to_string().replacen('4', "5", 1);
		for text in ["", "0x12", "alice", &mistyped] {
			assert!(text.parse::<Address>().is_err(), "{text}");
		}
	}
}
