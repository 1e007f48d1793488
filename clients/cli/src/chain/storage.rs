//! Keys and values of the chain's state beyond those that enclaves read
//! ([`phala_protocol::storage_keys`]).

use codec::{DecodeAll, Encode};
use phala_pherry::{chain::Chain, header::HeaderId};
use phala_protocol::{evidence::Measurement, requests::RequestId};
use sp_crypto_hashing::{blake2_128, twox_128};

/// `pallet_registry::SoftwareRoot`: SCALE `[u8; 32]`; absent where software evidence is refused.
pub fn registry_software_root() -> Vec<u8> {
	item("Registry", "SoftwareRoot")
}

/// `pallet_registry::Measurements`: present when the code may run.
pub fn registry_measurement(measurement: Measurement) -> Vec<u8> {
	map("Registry", "Measurements", &measurement)
}

/// `pallet_agents::Callers`: SCALE `Vec<AccountBytes>`.
pub fn agents_callers(agent: phala_protocol::agents::AgentId) -> Vec<u8> {
	map("Agents", "Callers", &agent)
}

/// `pallet_requests::Requests`: SCALE [`super::requests::StoredRequest`].
pub fn requests_request(request: RequestId) -> Vec<u8> {
	map("Requests", "Requests", &request)
}

/// `pallet_requests::Responses`: SCALE of the SCALE of a `RequestOutcome`.
pub fn requests_response(request: RequestId) -> Vec<u8> {
	map("Requests", "Responses", &request)
}

/// Of an item without keys.
pub fn item(pallet: &str, item: &str) -> Vec<u8> {
	[twox_128(pallet.as_bytes()), twox_128(item.as_bytes())].concat()
}

/// Of an entry of a map with hasher `Blake2_128Concat`.
pub fn map(pallet: &str, name: &str, key: &impl Encode) -> Vec<u8> {
	let key = key.encode();
	[item(pallet, name), blake2_128(&key).to_vec(), key].concat()
}

/// The value under a key in the state after a block.
///
/// # Errors
/// Those of the node; when the value is no `T`.
pub async fn read<T: DecodeAll>(
	chain: &Chain,
	at: HeaderId,
	key: Vec<u8>,
) -> anyhow::Result<Option<T>> {
	let value = chain.values(at, &[key]).await?.pop().flatten();
	value.map(|value| super::decode(&value)).transpose()
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::{storage_keys, H256};

	#[test]
	fn keys_are_made_as_those_of_the_contract() {
		let agent = H256([7; 32]);
		assert_eq!(map("Agents", "Agents", &agent), storage_keys::agents_agent(agent));
		assert_eq!(item("Grandpa", "Authorities"), storage_keys::grandpa_authorities());
	}
}
