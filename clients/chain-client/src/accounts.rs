//! Accounts and their PHA.

use crate::{Call, Chain, ChainClientError, HeaderId};
use codec::{Compact, Encode};
use phala_protocol::{AccountBytes, Balance};
use subxt::ext::scale_decode::DecodeAsType;

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct AccountInfo {
	data: AccountData,
}

/// As [`check_funds`] names a transfer.
pub const TRANSFER: &str = "the transfer";

/// What an account has.
#[derive(Clone, Copy, Debug, Default, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct AccountData {
	pub free: Balance,
	/// On hold.
	pub reserved: Balance,
}

/// What an account has at the newest finalized block.
pub async fn balance(chain: &Chain, of: AccountBytes) -> Result<AccountData, ChainClientError> {
	balance_at(chain, chain.finalized_head().await?, of).await
}

/// What an account has at the newest block, final or not: what its next transaction finds.
pub async fn newest_balance(
	chain: &Chain,
	of: AccountBytes,
) -> Result<AccountData, ChainClientError> {
	balance_at(chain, chain.header(None).await?.0, of).await
}

/// Refuses what an account cannot pay, before anything is submitted. `what` is as in "a request".
///
/// # Errors
/// [`ChainClientError::NotEnough`].
pub async fn check_funds(
	chain: &Chain,
	account: AccountBytes,
	what: &'static str,
	takes: Balance,
) -> Result<(), ChainClientError> {
	let stays = chain.amount("Balances", "ExistentialDeposit").await?;
	let free = newest_balance(chain, account).await?.free;
	affords(account, free, what, takes, stays)
}

fn affords(
	account: AccountBytes,
	free: Balance,
	what: &'static str,
	takes: Balance,
	stays: Balance,
) -> Result<(), ChainClientError> {
	match free >= takes.saturating_add(stays) {
		true => Ok(()),
		false => Err(ChainClientError::NotEnough { account, free, what, takes, stays }),
	}
}

/// Read by the names of the runtime's fields: the record is Substrate's, not ours.
async fn balance_at(
	chain: &Chain,
	at: HeaderId,
	of: AccountBytes,
) -> Result<AccountData, ChainClientError> {
	let failed = |error: &dyn std::fmt::Display| ChainClientError::Node {
		method: "System.Account",
		reason: error.to_string(),
	};
	let at = chain.online().at_block(at.hash).await.map_err(|error| failed(&error))?;
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

#[cfg(test)]
mod tests {
	use super::*;

	const PHA: Balance = phala_protocol::text::PHA;

	#[test]
	fn who_cannot_pay_is_told_what_the_account_has_and_what_is_taken() {
		let check = |free| affords([1; 32], free, "a request", 2 * PHA, PHA / 100);
		assert!(check(2 * PHA + PHA / 100).is_ok());
		let refused = check(2 * PHA).expect_err("nothing would stay");
		assert_eq!(refused.name(), "NotEnough");
		let refused = refused.to_string();
		assert!(refused.contains("phala account transfer"), "{refused}");
		let transfer =
			affords([1; 32], 2 * PHA, TRANSFER, 2 * PHA, PHA / 100).map_err(|e| e.to_string());
		let transfer = transfer.expect_err("nothing would stay");
		assert!(!transfer.contains("phala account transfer"), "{transfer}");
		assert!(transfer.contains("send less, at most 1.99 PHA"), "{transfer}");
		for said in ["has 2 PHA that is free", "a request takes 2 PHA", "the 0.01 PHA that"] {
			assert!(refused.contains(said), "{refused}");
		}
	}
}
