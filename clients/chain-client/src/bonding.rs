//! What operators have at stake.

use crate::{Call, Chain, ChainClientError, HeaderId, Included};
use codec::Encode;
use phala_protocol::{
	bonding::{Bond, BondId},
	storage_keys, Balance, BlockNumber,
};
use subxt::ext::scale_decode::DecodeAsType;

const PALLET: &str = "Bonding";

/// Puts more at stake.
pub fn top_up(bond: BondId, amount: Balance) -> Call {
	call("bonding.top_up", "top_up", (bond, amount).encode())
}

/// Lets a part leave.
pub fn unbond(bond: BondId, amount: Balance) -> Call {
	call("bonding.unbond", "unbond", (bond, amount).encode())
}

/// Lets go what has left.
pub fn withdraw(bond: BondId) -> Call {
	call("bonding.withdraw", "withdraw", bond.encode())
}

/// Since when a part leaves, by its end.
#[derive(Clone, Copy, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct UnbondingBegan {
	pub amount: Balance,
	/// It can be withdrawn from this block on.
	pub until: BlockNumber,
}

/// What an [`unbond`] caused.
pub fn unbonding_began(included: &Included) -> Result<UnbondingBegan, ChainClientError> {
	included.event(PALLET, "UnbondingBegan")
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct BondWithdrawn {
	amount: Balance,
}

/// How much a [`withdraw`] let go.
pub fn withdrawn(included: &Included) -> Result<Balance, ChainClientError> {
	Ok(included.event::<BondWithdrawn>(PALLET, "BondWithdrawn")?.amount)
}

/// What is at stake after a block; `None` when nothing is, nor was.
pub async fn bond(
	chain: &Chain,
	at: HeaderId,
	bond: BondId,
) -> Result<Option<Bond>, ChainClientError> {
	chain.read(at, storage_keys::bonding_bond(bond)).await
}

/// Least active stake of a role in force.
pub async fn minimum(chain: &Chain, bond: BondId) -> Result<Balance, ChainClientError> {
	let name = match bond {
		BondId::Worker(_) => "WorkerMinimum",
		BondId::Gatekeeper(_) => "GatekeeperMinimum",
	};
	let failed = |error: &dyn std::fmt::Display| ChainClientError::Node {
		method: "state_getMetadata",
		reason: format!("the constant {PALLET}.{name}: {error}"),
	};
	let at = chain.online().at_current_block().await.map_err(|error| failed(&error))?;
	let address = subxt::dynamic::constant::<Balance>(PALLET, name);
	at.constants().entry(address).map_err(|error| failed(&error))
}

fn call(name: &'static str, call: &'static str, arguments: Vec<u8>) -> Call {
	Call { name, pallet: PALLET, call, arguments }
}
