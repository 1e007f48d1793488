//! Accounts and their PHA.

use crate::{Call, Chain, ChainClientError};
use codec::{Compact, Encode};
use phala_protocol::{AccountBytes, Balance};
use subxt::ext::scale_decode::DecodeAsType;

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct AccountInfo {
	data: AccountData,
}

/// What an account has.
#[derive(Clone, Copy, Debug, Default, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct AccountData {
	pub free: Balance,
	/// On hold.
	pub reserved: Balance,
}

/// What an account has at the newest finalized block. Read by the names of the runtime's fields:
/// the record is Substrate's, not ours.
pub async fn balance(chain: &Chain, of: AccountBytes) -> Result<AccountData, ChainClientError> {
	let failed = |error: &dyn std::fmt::Display| ChainClientError::Node {
		method: "System.Account",
		reason: error.to_string(),
	};
	let at = chain.online().at_current_block().await.map_err(|error| failed(&error))?;
	let address = subxt::dynamic::storage::<([u8; 32],), AccountInfo>("System", "Account");
	let found = at.storage().try_fetch(address, (of,)).await.map_err(|error| failed(&error))?;
	match found {
		Some(info) => Ok(info.decode().map_err(|error| failed(&error))?.data),
		None => Ok(AccountData::default()),
	}
}

/// Sends PHA; refused when it would leave the sender less than an account must have.
pub fn transfer_keep_alive(to: AccountBytes, amount: Balance) -> Call {
	/// `MultiAddress::Id`.
	const ID: u8 = 0;
	Call {
		name: "balances.transfer_keep_alive",
		pallet: "Balances",
		call: "transfer_keep_alive",
		arguments: (ID, to, Compact(amount)).encode(),
	}
}
