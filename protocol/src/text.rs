//! How clients write accounts and amounts of PHA, and read them from people.

use crate::{AccountBytes, Balance};
use alloc::{
	format,
	string::{String, ToString},
	vec,
	vec::Vec,
};
use core::fmt;

/// The SS58 prefix of the network.
pub const SS58_PREFIX: u8 = 30;

/// Taken as well: what other tools show when they do not know the network.
pub const SS58_GENERIC_PREFIX: u8 = 42;

const CHECKSUM_BYTES: usize = 2;

/// One PHA has 10 to this power of the smallest unit.
pub const PHA_DECIMALS: usize = 12;

/// One PHA in its smallest unit.
pub const PHA: Balance = 1_000_000_000_000;

/// Why a text is no address or amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextError {
	/// It starts with `0x`.
	NotAccountBytes { text: String },
	/// It is no SS58 address.
	NotAddress { text: String, why: &'static str },
	/// An address of another network.
	OtherNetwork { text: String, prefix: u8 },
	/// It is no amount.
	NotAmount { text: String },
}

impl fmt::Display for TextError {
	fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
		const TAKEN: &str = "an SS58 address or 0x and 64 hexadecimal digits is taken";
		match self {
			Self::NotAccountBytes { text } => {
				write!(to, "{text:?} is no account: 0x and 64 hexadecimal digits are")
			}
			Self::NotAddress { text, why } => write!(to, "{text:?} is no address ({why}): {TAKEN}"),
			Self::OtherNetwork { text, prefix } => write!(
				to,
				"{text:?} is no address (it is of network {prefix}, not {SS58_PREFIX}): {TAKEN}"
			),
			Self::NotAmount { text } => write!(
				to,
				"{text:?} is no amount: PHA as in 12 or 0.25, with at most {PHA_DECIMALS} decimals"
			),
		}
	}
}

impl core::error::Error for TextError {}

/// An account, shown as its address in SS58: the network's prefix, 32 bytes, two bytes of a
/// checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub AccountBytes);

impl fmt::Display for Address {
	fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
		to.write_str(&ss58(SS58_PREFIX, &self.0))
	}
}

impl core::str::FromStr for Address {
	type Err = TextError;

	/// Takes an address, or the account's 32 bytes as 0x and hexadecimal digits.
	fn from_str(text: &str) -> Result<Self, TextError> {
		let text = text.trim();
		if let Some(digits) = text.strip_prefix("0x") {
			let account = account_bytes(digits);
			let refused = || TextError::NotAccountBytes { text: text.to_string() };
			return account.map(Self).ok_or_else(refused);
		}
		let refused = |why| TextError::NotAddress { text: text.to_string(), why };
		let bytes = bs58::decode(text).into_vec().map_err(|_| refused("it is not base 58"))?;
		let account = bytes.get(1..33).and_then(|account| AccountBytes::try_from(account).ok());
		let (Some(account), Some((body, found)), Some(prefix)) =
			(account, bytes.split_at_checked(33), bytes.first())
		else {
			return Err(refused("it has another length"));
		};
		if found.len() != CHECKSUM_BYTES {
			return Err(refused("it has another length"));
		}
		if checksum(body) != found {
			return Err(refused("its checksum does not fit: is it complete?"));
		}
		if ![SS58_PREFIX, SS58_GENERIC_PREFIX].contains(prefix) {
			return Err(TextError::OtherNetwork { text: text.to_string(), prefix: *prefix });
		}
		Ok(Self(account))
	}
}

fn account_bytes(digits: &str) -> Option<AccountBytes> {
	const DIGITS: usize = 64;
	if digits.len() != DIGITS || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
		return None;
	}
	let mut account = [0; 32];
	for (byte, pair) in account.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
		*byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
	}
	Some(account)
}

/// A public key of any scheme in SS58.
pub fn ss58(prefix: u8, key: &[u8]) -> String {
	let mut bytes = vec![prefix];
	bytes.extend(key);
	bytes.extend(checksum(&bytes));
	base58(&bytes)
}

/// As addresses and the ids of peers are written.
pub fn base58(bytes: &[u8]) -> String {
	bs58::encode(bytes).into_string()
}

fn checksum(body: &[u8]) -> Vec<u8> {
	let mut hashed = b"SS58PRE".to_vec();
	hashed.extend(body);
	sp_crypto_hashing::blake2_512(&hashed).into_iter().take(CHECKSUM_BYTES).collect()
}

/// `1.5 PHA`, without trailing zeros.
pub fn pha(amount: Balance) -> String {
	let (whole, rest) = (amount / PHA, amount % PHA);
	if rest == 0 {
		return format!("{whole} PHA");
	}
	let rest = format!("{rest:0PHA_DECIMALS$}");
	format!("{whole}.{} PHA", rest.trim_end_matches('0'))
}

/// `1.5`, `1.5PHA` or `1.5 PHA` in the smallest unit.
pub fn parse_pha(text: &str) -> Result<Balance, TextError> {
	let refused = || TextError::NotAmount { text: text.to_string() };
	let number = text.trim();
	let number = number.strip_suffix("PHA").unwrap_or(number).trim_end();
	let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
	let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
	if !is_digits(whole) || !is_digits(rest) {
		return Err(refused());
	}
	if (whole.is_empty() && rest.is_empty()) || rest.len() > PHA_DECIMALS {
		return Err(refused());
	}
	let whole = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| refused())? };
	let rest = format!("{rest:0<PHA_DECIMALS$}").parse::<Balance>().map_err(|_| refused())?;
	Balance::checked_mul(whole, PHA).and_then(|whole| whole.checked_add(rest)).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
	use super::*;

	/// //Alice of development chains.
	const ALICE: AccountBytes = [
		0xd4, 0x35, 0x93, 0xc7, 0x15, 0xfd, 0xd3, 0x1c, 0x61, 0x14, 0x1a, 0xbd, 0x04, 0xa9, 0x9f,
		0xd6, 0x82, 0x2c, 0x85, 0x58, 0x85, 0x4c, 0xcd, 0xe3, 0x9a, 0x56, 0x84, 0xe7, 0xa5, 0x6d,
		0xa2, 0x7d,
	];
	const ALICE_ELSEWHERE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
	const ALICE_HEX: &str = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";

	#[test]
	fn alice_has_her_well_known_address() {
		assert_eq!(ss58(SS58_GENERIC_PREFIX, &ALICE), ALICE_ELSEWHERE);
		let address = Address(ALICE);
		for text in [&address.to_string(), ALICE_ELSEWHERE, ALICE_HEX] {
			assert_eq!(text.parse(), Ok(address), "{text}");
		}
	}

	#[test]
	fn a_mistyped_or_foreign_address_is_refused() {
		let polkadot = ss58(0, &ALICE);
		assert!(matches!(
			polkadot.parse::<Address>(),
			Err(TextError::OtherNetwork { prefix: 0, .. })
		));
		let mistyped = Address(ALICE).to_string().replacen('4', "5", 1);
		let cut = &ALICE_HEX[..65];
		for text in ["", "0x12", "alice", &mistyped, cut, &ALICE_HEX.replace('d', "+")] {
			assert!(text.parse::<Address>().is_err(), "{text}");
		}
	}

	#[test]
	fn amounts_are_written_as_they_are_read() {
		for (text, amount) in [
			("0 PHA", 0),
			("1 PHA", PHA),
			("1.5 PHA", PHA * 3 / 2),
			("0.000000000001 PHA", 1),
			("1000000000 PHA", 1_000_000_000 * PHA),
		] {
			assert_eq!(pha(amount), text);
			assert_eq!(parse_pha(text), Ok(amount));
		}
		assert_eq!(parse_pha(".5"), Ok(PHA / 2));
		assert_eq!(parse_pha("3."), Ok(3 * PHA));
		assert_eq!(PHA, 10u128.pow(PHA_DECIMALS as u32));
	}

	#[test]
	fn what_is_no_amount_is_refused() {
		for text in
			["", ".", "-1", "1e3", "1,5", "0.0000000000001", "1 pha", "9".repeat(40).as_str()]
		{
			assert!(parse_pha(text).is_err(), "{text}");
		}
	}
}
