//! What must hold after every block, whoever did what.

use crate::*;
use frame_support::traits::Get;
use phala_protocol::{limits, requests::RequestState};
use std::collections::BTreeMap;

/// What there was at the beginning.
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
	maps_are_bounded()
}

fn equal(what: &str, found: Balance, expected: Balance) -> Result<(), String> {
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

/// All that is on hold, by reason.
fn held() -> BTreeMap<String, Balance> {
	let mut held = BTreeMap::<String, Balance>::new();
	for hold in pallet_balances::Holds::<Runtime>::iter_values().flatten() {
		*held.entry(format!("{:?}", hold.id)).or_insert(0) += hold.amount;
	}
	held
}

fn holds_are_explained() -> Result<(), String> {
	let held = held();
	let mut explained = BTreeMap::<String, Balance>::new();
	let mut explain = |reason: RuntimeHoldReason, amount: Balance| {
		if amount > 0 {
			*explained.entry(format!("{reason:?}")).or_insert(0) += amount;
		}
	};
	explain(
		RuntimeHoldReason::Requests(pallet_requests::HoldReason::Escrow),
		pallet_requests::Requests::<Runtime>::iter_values()
			.filter(|request| request.state == RequestState::Open)
			.map(|request| request.held)
			.sum(),
	);
	explain(
		RuntimeHoldReason::Registry(pallet_registry::HoldReason::WorkerStake),
		pallet_registry::Workers::<Runtime>::iter_values().map(|worker| worker.stake).sum(),
	);
	explain(
		RuntimeHoldReason::Clusters(pallet_clusters::HoldReason::ClusterDeposit),
		pallet_clusters::Clusters::<Runtime>::iter_values().map(|cluster| cluster.deposit).sum(),
	);
	let agents = pallet_agents::Agents::<Runtime>::iter_keys().count() as Balance;
	let deposit: Balance = <Runtime as pallet_agents::Config>::AgentDeposit::get();
	explain(
		RuntimeHoldReason::Agents(pallet_agents::HoldReason::AgentDeposit),
		agents * deposit,
	);
	explain(
		RuntimeHoldReason::Staking(pallet_staking::HoldReason::Staking),
		pallet_staking::Ledger::<Runtime>::iter_values().map(|ledger| ledger.total).sum(),
	);
	// What stock pallets hold is theirs to explain: each such hold is of a reason that has an entry
	// of theirs. Sums are compared where a pallet says what it holds.
	for (reason, amount) in &held {
		let stock = ["Preimage", "Session"].iter().any(|pallet| reason.starts_with(pallet));
		if !stock && explained.get(reason) != Some(amount) {
			let expected = explained.get(reason).copied().unwrap_or_default();
			return Err(format!("{reason} holds {amount}, and {expected} are explained"));
		}
	}
	for (reason, amount) in &explained {
		if !held.contains_key(reason) {
			return Err(format!("{reason} should hold {amount}, and holds nothing"));
		}
	}
	Ok(())
}

fn maps_are_bounded() -> Result<(), String> {
	let bound = |what: &str, found: usize, most: u32| {
		(found <= most as usize)
			.then_some(())
			.ok_or_else(|| format!("{what}: {found}, and at most {most} may be"))
	};
	let now = System::block_number();
	bound(
		"messages of this block",
		pallet_mailbox::PushedIn::<Runtime>::get(now).len(),
		limits::MESSAGES_PER_BLOCK_MAX,
	)?;
	// What is for one block is gone when it ends.
	bound("boots counted in a block", pallet_mailbox::UseByWorker::<Runtime>::iter().count(), 0)?;
	let open = pallet_requests::Requests::<Runtime>::iter_values()
		.filter(|request| request.state == RequestState::Open);
	for request in open {
		if request.deadline < now {
			return Err(format!("a request is open after its deadline {}", request.deadline));
		}
	}
	let boots = pallet_registry::Boots::<Runtime>::iter_keys().count();
	let lanes = pallet_mailbox::NextEnvelope::<Runtime>::iter_keys().count();
	if boots != lanes {
		return Err(format!("{boots} boots, and the mailbox knows {lanes}"));
	}
	Ok(())
}
