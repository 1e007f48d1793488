//! Session keys of validators.

use crate::{Call, Chain, ChainClientError};
use codec::Encode;
use phala_protocol::AccountBytes;
use serde::Deserialize;
use subxt::rpcs::{methods::legacy::Bytes, rpc_params};

/// New session keys that a node made and keeps the secrets of.
#[derive(Clone, Debug, Deserialize)]
pub struct SessionKeys {
	/// SCALE of the runtime's session keys: one public key after the other.
	pub keys: Bytes,
	/// Each key's signature over the owner: that whoever registers them holds their secrets.
	pub proof: Bytes,
}

/// Has a validator's node make new session keys, for `owner` to register. A node takes that order
/// from its own machine only.
pub async fn new_session_keys(
	node: &Chain,
	owner: AccountBytes,
) -> Result<SessionKeys, ChainClientError> {
	node.request("author_rotateKeysWithOwner", rpc_params![Bytes(owner.to_vec())]).await
}

/// Whether a node has the secrets of all of these session keys.
pub async fn has_session_keys(node: &Chain, keys: &[u8]) -> Result<bool, ChainClientError> {
	node.request("author_hasSessionKeys", rpc_params![Bytes(keys.to_vec())]).await
}

/// Registers session keys for the validator that signs it. They count from two sessions on.
pub fn set_session_keys(new: &SessionKeys) -> Call {
	let mut arguments = new.keys.0.clone();
	new.proof.0.encode_to(&mut arguments);
	Call { name: "session.set_keys", pallet: "Session", call: "set_keys", arguments }
}
