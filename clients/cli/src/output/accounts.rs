//! Of `phala account`.

use super::words::{Account, Amount, Hash};
use phala_protocol::BlockNumber;
use schemars::JsonSchema;
use serde::Serialize;

/// `phala account new`.
#[derive(Serialize, JsonSchema)]
pub struct AccountMade {
	pub name: String,
	pub address: Account,
	/// Shown this once. None of an account that was imported.
	pub phrase: Option<String>,
}

/// `phala account list`.
#[derive(Serialize, JsonSchema)]
pub struct AccountList {
	pub accounts: Vec<NamedAccount>,
}

#[derive(Serialize, JsonSchema)]
pub struct NamedAccount {
	/// On this machine.
	pub name: String,
	pub address: Account,
}

/// `phala account show`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountShown {
	/// On this machine, if it is there.
	pub name: Option<String>,
	pub address: Account,
	/// What agents have as `ctx.caller`.
	pub public_key: Hash,
}

/// `phala account balance`.
#[derive(Serialize, JsonSchema)]
pub struct AccountBalance {
	pub address: Account,
	pub free: Amount,
	/// On hold.
	pub reserved: Amount,
}

/// `phala account transfer`.
#[derive(Serialize, JsonSchema)]
pub struct Transferred {
	pub from: Account,
	pub to: Account,
	pub amount: Amount,
	/// In which it is. Not final yet.
	pub block: BlockNumber,
}
