//! That every map of this network's pallets is bounded, by what decision 021 says that it is bounded by.

use crate::*;
use core::fmt::Debug;
use phala_protocol::{bonding::BondId, limits, requests::RequestState, traits::ClusterDirectory};
use sp_core::Get;
use std::collections::BTreeMap;

/// Most that waits in any one queue of upkeep, where as few act as in tests: it is worked off as fast as they
/// can fill it.
const QUEUED_MAX: u64 = 64;
/// For how many blocks what is to go may stay behind its time.
const LATE_BLOCKS_MAX: BlockNumber = 50;

pub(super) fn maps_are_bounded() -> Result<(), String> {
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
	what_belongs_to_somebody_is_of_somebody_there()?;
	queues_are_worked_off()?;
	what_is_old_is_forgotten()?;
	let boots = pallet_registry::Boots::<Runtime>::iter_keys().count();
	let lanes = pallet_mailbox::NextEnvelope::<Runtime>::iter_keys().count();
	if boots != lanes {
		return Err(format!("{boots} boots, and the mailbox knows {lanes}"));
	}
	Ok(())
}

/// Each agent that is not born is awaited once, or not any more, once as many as may have had their time; the
/// queue has no gap and is in order.
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
		let registered = pallet_agents::History::<Runtime>::get(agent, 1).map(|code| code.block);
		let all_have_tried = registered.is_some_and(|block| {
			System::block_number() >= block + limits::BIRTH_HOLDERS_MAX * limits::BIRTH_BLOCKS
		});
		if times != 1 && !(times == 0 && all_have_tried) {
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

/// Every key is that of something there, of which there is one, or a bounded number.
fn what_belongs_to_somebody_is_of_somebody_there() -> Result<(), String> {
	use pallet_agents as agents;
	use pallet_clusters as clusters;
	use pallet_gatekeepers as gatekeepers;
	use pallet_registry as registry;
	fn of<K: Debug>(
		map: &str,
		mut keys: impl Iterator<Item = K>,
		is_there: impl Fn(&K) -> bool,
	) -> Result<(), String> {
		match keys.find(|key| !is_there(key)) {
			Some(key) => Err(format!("{map} keeps {key:?}, whose owner is no more")),
			None => Ok(()),
		}
	}
	let worker = |id: &_| registry::Workers::<Runtime>::contains_key(id);
	let boot = |id: &_| registry::Boots::<Runtime>::contains_key(id);
	let member = |id: &_| clusters::MemberOf::<Runtime>::contains_key(id);
	let cluster = |id: &_| clusters::Clusters::<Runtime>::contains_key(id);
	let agent = |id: &_| agents::Agents::<Runtime>::contains_key(id);
	let of_member = |(id, _): &(u32, u32)| member(id);

	of("Registry.Offers", registry::Offers::<Runtime>::iter_keys(), worker)?;
	of("Registry.Boots", registry::Boots::<Runtime>::iter_keys(), worker)?;
	of("Registry.PlatformWorker", registry::PlatformWorker::<Runtime>::iter_values(), worker)?;
	of("Registry.LastHeartbeat", registry::LastHeartbeat::<Runtime>::iter_keys(), boot)?;
	of("Registry.OpenProbes", registry::OpenProbes::<Runtime>::iter_keys(), boot)?;
	of("Registry.LastProbe", registry::LastProbe::<Runtime>::iter_keys(), worker)?;
	of("Registry.ProbePrices", registry::ProbePrices::<Runtime>::iter_keys(), boot)?;
	let left = |id: &u32| {
		[BondId::Worker(*id), BondId::Gatekeeper(*id)]
			.into_iter()
			.any(pallet_bonding::Bonds::<Runtime>::contains_key)
	};
	of("Registry.ClosedPlatforms", registry::ClosedPlatforms::<Runtime>::iter_keys(), left)?;
	of("Registry.ReportedExhausted", registry::ReportedExhausted::<Runtime>::iter_keys(), boot)?;

	of("Gatekeepers.Candidates", gatekeepers::Candidates::<Runtime>::iter_keys(), boot)?;
	of("Gatekeepers.Followers", gatekeepers::Followers::<Runtime>::iter_keys(), boot)?;
	of("Gatekeepers.OpenRequests", gatekeepers::OpenRequests::<Runtime>::iter_keys(), of_member)?;
	of("Gatekeepers.Askings", gatekeepers::Askings::<Runtime>::iter_keys(), of_member)?;
	of("Gatekeepers.Answers", gatekeepers::Answers::<Runtime>::iter_keys(), |asked| {
		gatekeepers::OpenRequests::<Runtime>::contains_key(asked)
	})?;

	of("Clusters.Openings", clusters::Openings::<Runtime>::iter_keys(), cluster)?;
	let developers = clusters::AdmittedDevelopers::<Runtime>::iter_keys();
	of("Clusters.AdmittedDevelopers", developers, cluster)?;
	of("Clusters.Offers", clusters::Offers::<Runtime>::iter_keys(), cluster)?;
	of("Clusters.NewestKeys", clusters::NewestKeys::<Runtime>::iter_keys(), cluster)?;
	of("Clusters.FinalSeen", clusters::FinalSeen::<Runtime>::iter_keys(), cluster)?;
	of("Clusters.JoinRequests", clusters::JoinRequests::<Runtime>::iter_keys(), worker)?;
	of("Clusters.MemberOf", clusters::MemberOf::<Runtime>::iter_keys(), worker)?;
	of("Clusters.Untold", clusters::Untold::<Runtime>::iter_keys(), member)?;
	of("Clusters.Challenges", clusters::Challenges::<Runtime>::iter_keys(), member)?;
	of("Clusters.LatelyChallenged", clusters::LatelyChallenged::<Runtime>::iter_keys(), member)?;
	of("Clusters.Loads", clusters::Loads::<Runtime>::iter_keys(), worker)?;
	of("Clusters.AgentCluster", clusters::AgentCluster::<Runtime>::iter_keys(), agent)?;
	of("Clusters.LeaseHistories", clusters::LeaseHistories::<Runtime>::iter_keys(), agent)?;
	let free = clusters::FreeLeases::<Runtime>::iter_keys().map(|(_, agent)| agent);
	of("Clusters.FreeLeases", free, agent)?;
	Ok(())
}

/// Nothing is kept outside of the range of its queue, and none of them is long.
fn queues_are_worked_off() -> Result<(), String> {
	use pallet_clusters::{FirstGap, FirstSweep, Gaps, NextGap, NextSweep, Sweeps};
	use pallet_requests::{LeasesToMove, LeasesToMoveRange, MovedLeases, MovedRange};
	let queue = |what: &str, stored: usize, (first, next): (u64, u64), most: u64| {
		let long = next - first;
		match stored as u64 == long && long <= most {
			true => Ok(()),
			false => Err(format!("{what}: {stored} wait in {first}..{next}, at most {most} may")),
		}
	};
	let sweeps = (FirstSweep::<Runtime>::get(), NextSweep::<Runtime>::get());
	queue("Clusters.Sweeps", Sweeps::<Runtime>::iter_keys().count(), sweeps, QUEUED_MAX)?;
	// One of each cluster that ever was, an hour long.
	let gaps = (FirstGap::<Runtime>::get(), NextGap::<Runtime>::get());
	let most = pallet_clusters::NextCluster::<Runtime>::get().into();
	queue("Clusters.Gaps", Gaps::<Runtime>::iter_keys().count(), gaps, most)?;
	let moved = MovedRange::<Runtime>::get();
	queue("Requests.MovedLeases", MovedLeases::<Runtime>::iter().count(), moved, QUEUED_MAX)?;
	let to_move = LeasesToMoveRange::<Runtime>::get();
	let stored = LeasesToMove::<Runtime>::iter().count();
	queue("Requests.LeasesToMove", stored, to_move, QUEUED_MAX)?;
	let old = pallet_agents::OldHistory::<Runtime>::iter_keys().count();
	queue("Agents.OldHistory", old, (0, old as u64), QUEUED_MAX)
}

/// What is kept for a time is gone soon after it.
fn what_is_old_is_forgotten() -> Result<(), String> {
	let late = System::block_number().saturating_sub(LATE_BLOCKS_MAX);
	let overdue = |what: &str, oldest: Option<BlockNumber>, kept_for: BlockNumber| match oldest {
		Some(from) if from + kept_for < late => {
			Err(format!("{what} of block {from} is kept still"))
		}
		_ => Ok(()),
	};
	let retention = <Runtime as pallet_mailbox::Config>::Retention::get();
	let oldest = pallet_mailbox::PushedIn::<Runtime>::iter_keys().min();
	overdue("Mailbox.PushedIn", oldest, retention)?;
	let listed: usize =
		pallet_mailbox::PushedIn::<Runtime>::iter_values().map(|one| one.len()).sum();
	let bodies = pallet_mailbox::Bodies::<Runtime>::iter_keys().count();
	if bodies != listed {
		return Err(format!("{bodies} bodies are kept, and {listed} will be forgotten"));
	}
	let retention = <Runtime as pallet_requests::Config>::ResponseRetention::get();
	let (first, next) = pallet_requests::ClosedRange::<Runtime>::get();
	let oldest = pallet_requests::Closed::<Runtime>::get(first).map(|(_, at)| at);
	overdue("Requests.Closed", oldest, retention)?;
	let closed = pallet_requests::Closed::<Runtime>::iter_keys().count();
	let duties = pallet_requests::Duties::<Runtime>::iter_keys().count();
	let requests = pallet_requests::Requests::<Runtime>::iter_keys().count();
	if closed as u64 != next - first || requests != closed + duties {
		return Err(format!("{requests} requests: {duties} are answered for, {closed} closed"));
	}
	overdue("Requests.Due", pallet_requests::Due::<Runtime>::iter_keys().min(), 0)?;
	overdue("Agents.Due", pallet_agents::Due::<Runtime>::iter_keys().min(), 0)?;
	let gap = pallet_clusters::Gaps::<Runtime>::iter_values().map(|(_, ends_at)| ends_at).min();
	overdue("Clusters.Gaps", gap, 0)
}
