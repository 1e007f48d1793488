//! What must hold after every block, whoever did what.

use super::{bounds::maps_are_bounded, deposits};
use crate::*;
use frame_support::traits::PalletInfoAccess;
use phala_protocol::requests::RequestState;
use sp_runtime::DispatchResult;
use std::collections::BTreeMap;

/// How often the pallets' own invariants are checked, which takes longer than all the rest.
const INVARIANTS_EVERY_BLOCKS: BlockNumber = 10;

/// What there was at the beginning.
#[derive(Clone)]
pub struct Start {
	issuance: Balance,
}

impl Start {
	pub fn now() -> Self {
		Self { issuance: Balances::total_issuance() }
	}
}

/// `Err` says what does not hold.
pub fn check(start: &Start) -> Result<(), String> {
	money_is_conserved(start)?;
	holds_are_explained()?;
	reserves_are_explained()?;
	escrows_are_explained()?;
	maps_are_bounded()?;
	// What belongs together in our pallets: the whole of their storage is read.
	if System::block_number().is_multiple_of(INVARIANTS_EVERY_BLOCKS) {
		check_invariants()?;
	}
	Ok(())
}

/// What must hold of our pallets' storage between any two blocks.
pub fn check_invariants() -> Result<(), String> {
	type Check = fn() -> DispatchResult;
	let checks: [(&str, Check); 7] = [
		(Mailbox::name(), Mailbox::check_invariants),
		(Registry::name(), Registry::check_invariants),
		(Gatekeepers::name(), Gatekeepers::check_invariants),
		(Clusters::name(), Clusters::check_invariants),
		(Agents::name(), Agents::check_invariants),
		(Requests::name(), Requests::check_invariants),
		(Bonding::name(), Bonding::check_invariants),
	];
	for (pallet, check) in checks {
		check().map_err(|error| format!("{pallet}: {error:?}"))?;
	}
	Ok(())
}

pub(super) fn equal(what: &str, found: Balance, expected: Balance) -> Result<(), String> {
	if found == expected {
		return Ok(());
	}
	Err(format!("{what}: {found}, and {expected} were expected"))
}

fn money_is_conserved(start: &Start) -> Result<(), String> {
	let issuance = Balances::total_issuance();
	equal("the issuance", issuance, start.issuance)?;
	let of_accounts = frame_system::Account::<Runtime>::iter_values()
		.map(|account| account.data.free + account.data.reserved)
		.sum();
	equal("the sum over all accounts", of_accounts, issuance)
}

/// What is on hold of whom, by reason.
type Held = BTreeMap<(AccountId, String), Balance>;

fn held() -> Held {
	let mut held = Held::new();
	for (account, holds) in pallet_balances::Holds::<Runtime>::iter() {
		for hold in holds {
			*held.entry((account.clone(), format!("{:?}", hold.id))).or_insert(0) += hold.amount;
		}
	}
	held
}

/// What must be on hold, by the records that it is held for.
fn explained() -> Held {
	let mut explained = Held::new();
	let mut explain = |account: AccountId, reason: RuntimeHoldReason, amount: Balance| {
		if amount > 0 {
			*explained.entry((account, format!("{reason:?}"))).or_insert(0) += amount;
		}
	};
	for bond in pallet_bonding::Bonds::<Runtime>::iter_values() {
		let reason = RuntimeHoldReason::Bonding(pallet_bonding::HoldReason::Bond);
		let leaving = bond.unbonding.iter().map(|chunk| chunk.amount).sum::<Balance>();
		explain(bond.account, reason, bond.active + leaving);
	}
	for cluster in pallet_clusters::Clusters::<Runtime>::iter_values() {
		let reason = RuntimeHoldReason::Clusters(pallet_clusters::HoldReason::ClusterDeposit);
		explain(cluster.owner, reason, cluster.deposit);
	}
	for (agent, record) in pallet_agents::Agents::<Runtime>::iter() {
		let reason = RuntimeHoldReason::Agents(pallet_agents::HoldReason::AgentDeposit);
		let deposit = pallet_agents::Deposits::<Runtime>::get(agent).unwrap_or_default();
		explain(record.owner.into(), reason, deposit);
	}
	for ledger in pallet_staking::Ledger::<Runtime>::iter_values() {
		let reason = RuntimeHoldReason::Staking(pallet_staking::HoldReason::Staking);
		explain(ledger.stash.clone(), reason, ledger.total);
	}
	explained
}

fn holds_are_explained() -> Result<(), String> {
	// What these hold is theirs to explain.
	let is_stock =
		|reason: &str| ["Preimage", "Session"].iter().any(|name| reason.starts_with(name));
	let mut held = held();
	held.retain(|(_, reason), _| !is_stock(reason));
	let explained = explained();
	for ((account, reason), amount) in &held {
		let expected =
			explained.get(&(account.clone(), reason.clone())).copied().unwrap_or_default();
		equal(&format!("{reason} of {account}"), *amount, expected)?;
	}
	match explained.keys().find(|of| !held.contains_key(of)) {
		Some((account, reason)) => Err(format!("{reason} of {account}: nothing is held")),
		None => Ok(()),
	}
}

/// What is reserved of an account and not on hold is what the stock pallets took from it for something that
/// they still store.
fn reserves_are_explained() -> Result<(), String> {
	let explained = deposits::reserved();
	let on_hold = |account: &AccountId| -> Balance {
		pallet_balances::Holds::<Runtime>::get(account).iter().map(|hold| hold.amount).sum()
	};
	let mut unexplained = explained.clone();
	for (account, info) in frame_system::Account::<Runtime>::iter() {
		let expected = on_hold(&account) + unexplained.remove(&account).unwrap_or_default();
		equal(&format!("what is reserved of {account}"), info.data.reserved, expected)?;
	}
	match unexplained.into_iter().find(|(_, amount)| *amount > 0) {
		Some((account, amount)) => Err(format!("{amount} of {account}, which is no more")),
		None => Ok(()),
	}
}

/// The pot has what open requests were put up for.
fn escrows_are_explained() -> Result<(), String> {
	let open = pallet_requests::Requests::<Runtime>::iter_values()
		.filter(|request| request.state == RequestState::Open)
		.map(|request| request.held);
	let owed = pallet_requests::OwedToTreasury::<Runtime>::get();
	let expected = config::money::EXISTENTIAL_DEPOSIT + open.sum::<Balance>() + owed;
	equal("the pot of escrows", Balances::free_balance(Requests::escrow()), expected)
}
