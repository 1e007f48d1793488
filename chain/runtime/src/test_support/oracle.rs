//! What must hold after every block, whoever did what.

use crate::*;
use frame_support::traits::PalletInfoAccess;
use phala_protocol::{limits, requests::RequestState, traits::ClusterDirectory};
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

/// The pot has what open requests were put up for.
fn escrows_are_explained() -> Result<(), String> {
	let open = pallet_requests::Requests::<Runtime>::iter_values()
		.filter(|request| request.state == RequestState::Open)
		.map(|request| request.held);
	let owed = pallet_requests::OwedToTreasury::<Runtime>::get();
	let expected = config::money::EXISTENTIAL_DEPOSIT + open.sum::<Balance>() + owed;
	equal("the pot of escrows", Balances::free_balance(Requests::escrow()), expected)
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
	if pallet_mailbox::LaneUse::<Runtime>::exists()
		|| pallet_mailbox::PushedBytes::<Runtime>::exists()
	{
		return Err("what lanes and pushes took of a block is still counted after it".into());
	}
	let open = pallet_requests::Requests::<Runtime>::iter_values()
		.filter(|request| request.state == RequestState::Open);
	for request in open {
		if request.deadline < now {
			return Err(format!("a request is open after its deadline {}", request.deadline));
		}
	}
	requests_have_their_places()?;
	births_are_awaited()?;
	let boots = pallet_registry::Boots::<Runtime>::iter_keys().count();
	let lanes = pallet_mailbox::NextEnvelope::<Runtime>::iter_keys().count();
	if boots != lanes {
		return Err(format!("{boots} boots, and the mailbox knows {lanes}"));
	}
	Ok(())
}

/// Each agent that is not born is awaited once, or was tried by as many as may; the queue has no gap and is
/// in order.
fn births_are_awaited() -> Result<(), String> {
	let (first, next) = pallet_agents::BirthRange::<Runtime>::get();
	let awaited: Vec<_> = (first..next).filter_map(pallet_agents::Births::<Runtime>::get).collect();
	let stored = pallet_agents::Births::<Runtime>::iter().count();
	if stored != awaited.len() || stored as u64 != next - first {
		return Err(format!("{stored} births are awaited in {first}..{next}"));
	}
	if !awaited.is_sorted_by_key(|(_, deadline, _)| *deadline) {
		return Err("births are not in the order of their deadlines".into());
	}
	for (agent, _) in pallet_agents::Agents::<Runtime>::iter().filter(|(_, one)| one.version == 0) {
		let times = awaited.iter().filter(|(other, ..)| *other == agent).count();
		if times > 1 {
			return Err(format!("{agent:?} is awaited {times} times"));
		}
	}
	let late = System::block_number().saturating_sub(limits::BIRTH_BLOCKS);
	match awaited.first() {
		Some((agent, deadline, _)) if *deadline < late => {
			Err(format!("the birth of {agent:?} is overdue since {deadline}"))
		}
		_ => Ok(()),
	}
}

/// Each count of open requests is that of the requests, and within its limit; each request that somebody
/// answers for is due; whoever is to answer one has its agent's lease, or it is about to be refunded.
fn requests_have_their_places() -> Result<(), String> {
	use pallet_requests::{
		Due, Duties, DutiesOfWorker, MovedLeases, MovedRange, OpenOfAgent, OpenOfCaller,
		OpenOfWorker, OpenRequests, Requests,
	};
	fn counted<K: Ord + core::fmt::Debug>(
		what: &str,
		stored: impl Iterator<Item = (K, u32)>,
		found: BTreeMap<K, u32>,
		most: u32,
	) -> Result<(), String> {
		let stored: BTreeMap<K, u32> = stored.collect();
		if stored != found {
			return Err(format!("{what}: {stored:?} are counted, and {found:?} there"));
		}
		match stored.iter().find(|(_, count)| **count > most) {
			Some((key, count)) => Err(format!("{what}: {key:?} has {count}, and at most {most}")),
			None => Ok(()),
		}
	}
	let (first, next) = MovedRange::<Runtime>::get();
	let moved: Vec<_> = (first..next).filter_map(MovedLeases::<Runtime>::get).collect();
	if MovedLeases::<Runtime>::iter().count() != moved.len() {
		return Err(format!("leases that moved are kept outside of {first}..{next}"));
	}
	let (mut of_agents, mut of_workers, mut of_callers, mut answer_for, mut due) =
		(BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
	for (id, request) in Requests::<Runtime>::iter() {
		let (is_open, duty) = (request.state == RequestState::Open, Duties::<Runtime>::get(id));
		if OpenRequests::<Runtime>::contains_key(request.agent, id) != is_open {
			return Err(format!("a request that is {:?} is listed otherwise", request.state));
		}
		if let Some(assigned) = duty {
			*answer_for.entry(request.worker).or_insert(0u32) += 1;
			*due.entry(request.deadline).or_insert(0u32) += 1;
			let is_queued = moved.iter().any(|(agent, _)| *agent == request.agent);
			if is_open && !Clusters::is_held(request.agent, &assigned) && !is_queued {
				return Err(format!("nobody can answer a request of agent {:?}", request.agent));
			}
		} else if is_open {
			return Err("nobody answers for an open request".into());
		}
		if is_open {
			*of_agents.entry(request.agent).or_insert(0u32) += 1;
			*of_workers.entry(request.worker).or_insert(0u32) += 1;
			*of_callers.entry(request.caller).or_insert(0u32) += 1;
		}
	}
	let open: u32 = of_agents.values().sum();
	if OpenRequests::<Runtime>::iter().count() != open as usize {
		return Err(format!("{open} requests are open, and others are listed"));
	}
	let duties: u32 = answer_for.values().sum();
	if Duties::<Runtime>::iter().count() != duties as usize {
		return Err("somebody answers for a request that is forgotten".into());
	}
	let per_agent = limits::OPEN_REQUESTS_PER_AGENT_MAX;
	let per_worker = limits::OPEN_REQUESTS_PER_WORKER_MAX;
	let per_caller = limits::OPEN_REQUESTS_PER_CALLER_MAX;
	counted("open requests of agents", OpenOfAgent::<Runtime>::iter(), of_agents, per_agent)?;
	counted("open requests of workers", OpenOfWorker::<Runtime>::iter(), of_workers, per_worker)?;
	counted("open requests of callers", OpenOfCaller::<Runtime>::iter(), of_callers, per_caller)?;
	counted("duties of workers", DutiesOfWorker::<Runtime>::iter(), answer_for, u32::MAX)?;
	let listed = Due::<Runtime>::iter().map(|(block, requests)| (block, requests.len() as u32));
	counted("requests of a deadline", listed, due, limits::REQUESTS_PER_DEADLINE_MAX)
}
