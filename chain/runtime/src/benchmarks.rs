//! Which pallets `make weights` measures: our own. Stock pallets bring their own weights.

use crate::{config::money::TreasuryAccountId, AccountId, Balances, Runtime, RuntimeOrigin};
use alloc::{vec, vec::Vec};
use frame_support::{
	traits::{
		fungible::{Inspect, Mutate},
		Get, Hooks,
	},
	BoundedVec,
};
use pallet_bonding::BondRecord;
use phala_protocol::{
	agents::{Access, AgentCode, AgentId, AgentKey, AgentRecord, Lease, UpgradePolicy},
	bonding::BondId,
	boot::{Boot, BootKeys, WorkerId},
	evidence::EvidenceKind,
	keys::Seat,
	limits,
	mailbox::ClusterId,
	traits::{Bonding, BootDirectory, ClusterDirectory, MailboxInterface},
	AccountBytes, BlockNumber, H256,
};

frame_benchmarking::define_benchmarks!(
	[pallet_mailbox, crate::Mailbox]
	[pallet_bonding, crate::Bonding]
	[pallet_registry, crate::Registry]
	[pallet_gatekeepers, crate::Gatekeepers]
	[pallet_clusters, crate::Clusters]
	[pallet_agents, crate::Agents]
	[pallet_requests, crate::Requests]
);

pub use {add_benchmarks, list_benchmarks};

/// Workers with a boot in force, straight into the registry's storage: no evidence, but a stake. Whatever
/// other pallets keep of them, of their clusters and of agents is as much as can be.
pub struct BootedWorkers;

/// Somebody with an account of its own.
fn somebody(role: u8, number: u32) -> AccountId {
	let mut bytes = [role; 32];
	bytes[..4].copy_from_slice(&number.to_le_bytes());
	let account = AccountId::new(bytes);
	let much = crate::currency::PHA * 1_000_000;
	if Balances::balance(&account) < much {
		Balances::set_balance(&account, much);
	}
	account
}

fn bytes<S: Get<u32>>(most: u32) -> BoundedVec<u8, S> {
	BoundedVec::truncate_from(vec![b'7'; most as usize])
}

impl BootedWorkers {
	/// With the stake that it takes, of which nothing is on hold: for workers that lose nothing.
	fn boot(worker: WorkerId, operator: AccountId) {
		let identity = phala_protocol::hash_of(&worker).0;
		Self::boot_as(worker, operator, identity);
	}

	fn boot_as(worker: WorkerId, operator: AccountId, identity: [u8; 32]) {
		// Of code of its own, as far as governance lists it.
		let measurement = phala_protocol::hash_of(&(b"code", worker));
		pallet_registry::Measurements::<Runtime>::insert(
			measurement,
			pallet_registry::MeasurementRule { until: None },
		);
		let bond = BondId::Worker(worker);
		if !crate::Bonding::is_sufficient(bond) {
			let mut record = BondRecord::new(operator.clone());
			record.active = pallet_bonding::Pallet::<Runtime>::stake(bond);
			pallet_bonding::Bonds::<Runtime>::insert(bond, record);
		}
		pallet_registry::Workers::<Runtime>::insert(
			worker,
			pallet_registry::Worker { operator, platform: None, boots: 1 },
		);
		let now = crate::System::block_number();
		pallet_registry::LastHeartbeat::<Runtime>::insert(worker, 0);
		pallet_registry::Boots::<Runtime>::insert(
			worker,
			Boot {
				number: 1,
				keys: BootKeys { identity, encryption: [2; 32] },
				evidence: EvidenceKind::Software,
				measurement,
				registered_at: now,
				expires_at: BlockNumber::MAX,
			},
		);
	}

	/// As many parts of a bond leave as can.
	fn unbond_in_parts(bond: BondId) {
		pallet_bonding::Bonds::<Runtime>::mutate(bond, |record| {
			let Some(record) = record else { return };
			for until in 0..limits::UNBONDING_CHUNKS_MAX {
				assert!(record.unbond(1, BlockNumber::MAX - 100 + until), "there is room");
			}
		});
	}

	/// A cluster with the longest list of developers, keys and words of its members.
	fn cluster(cluster: ClusterId, owner: AccountId) {
		let first = limits::CLUSTER_MEMBERS_MAX;
		let developers =
			(0..limits::ADMITTED_DEVELOPERS_MAX).map(|n| phala_protocol::hash_of(&n).0);
		pallet_clusters::AdmittedDevelopers::<Runtime>::insert(
			cluster,
			BoundedVec::truncate_from(developers.collect::<Vec<_>>()),
		);
		pallet_clusters::Openings::<Runtime>::insert(
			cluster,
			phala_protocol::clusters::Opening::default(),
		);
		pallet_clusters::NewestKeys::<Runtime>::insert(
			cluster,
			pallet_clusters::StoredKeys {
				epoch: 1,
				generation: 1,
				keys: bytes(limits::WRAPPED_KEYS_BYTES_MAX),
			},
		);
		// Of others than the first members, which are to speak in their turn.
		pallet_clusters::FinalSeen::<Runtime>::mutate(cluster, |seen| {
			for worker in 0..first - 1 {
				let _ = seen.try_insert(WorkerId::MAX - worker, BlockNumber::MAX);
			}
		});
		pallet_clusters::Clusters::<Runtime>::insert(
			cluster,
			pallet_clusters::Cluster {
				owner,
				deposit: 0,
				generation: 1,
				members: 0,
				agents: 0,
				gap: pallet_clusters::GenerationGap::Open,
			},
		);
	}

	fn join(cluster: ClusterId, worker: WorkerId, set_aside: Option<BlockNumber>) {
		let endpoint = bytes(limits::ENDPOINT_BYTES_MAX);
		let member = phala_protocol::clusters::MemberRecord { endpoint, set_aside };
		pallet_clusters::Members::<Runtime>::insert(cluster, worker, member);
		pallet_clusters::MemberOf::<Runtime>::insert(worker, cluster);
		pallet_clusters::Clusters::<Runtime>::mutate(cluster, |record| {
			record.as_mut().expect("it was made").members += 1;
		});
	}

	/// An agent that is born, with so many callers, prepared code and somebody who waits.
	fn agent(agent: AgentId, cluster: ClusterId, owner: &AccountId, callers: Vec<AccountBytes>) {
		pallet_agents::Callers::<Runtime>::insert(agent, BoundedVec::truncate_from(callers));
		let code = AgentCode { component: H256::zero(), manifest: H256::zero() };
		pallet_agents::Prepared::<Runtime>::insert(agent, code);
		pallet_agents::Agents::<Runtime>::insert(
			agent,
			AgentRecord {
				owner: owner.clone().into(),
				cluster,
				code,
				code_version: 1,
				upgrades: UpgradePolicy::Free,
				access: Access::Listed,
				unit_price: 1_000_000,
				timeout: 10,
				key: Some(AgentKey { version: 1, key: [4; 32] }),
				version: 1,
				state_hash: H256::zero(),
			},
		);
		pallet_clusters::ClusterAgents::<Runtime>::insert(cluster, agent, ());
		pallet_clusters::AgentCluster::<Runtime>::insert(agent, cluster);
		pallet_clusters::Clusters::<Runtime>::mutate(cluster, |record| {
			record.as_mut().expect("it was made").agents += 1;
		});
		Self::await_answer_of(agent);
	}

	/// As many as an agent can have, `last` at the end of the list.
	fn callers(last: &AccountId) -> Vec<AccountBytes> {
		let others = (1..limits::AGENT_CALLERS_MAX).map(|n| phala_protocol::hash_of(&n).0);
		others.chain([last.clone().into()]).collect()
	}

	/// As many as an agent can have that counts as no more than one when a boot is told of it.
	fn callers_told() -> Vec<AccountBytes> {
		(0..20u32).map(|n| phala_protocol::hash_of(&n).0).collect()
	}

	/// A lease that ends puts its agent on a list if somebody waits for it.
	fn await_answer_of(agent: AgentId) {
		pallet_requests::OpenOfAgent::<Runtime>::insert(agent, 1);
	}

	fn lease(agent: AgentId, worker: WorkerId) {
		let boot = crate::Registry::current_boot(worker).expect("it is booted").number;
		pallet_clusters::Leases::<Runtime>::insert(agent, Lease { worker, boot });
		pallet_clusters::HeldLeases::<Runtime>::insert(worker, agent, ());
		pallet_clusters::Loads::<Runtime>::mutate(worker, |load| *load += 1);
		pallet_clusters::LeaseHistories::<Runtime>::mutate(agent, |history| {
			for _ in 0..pallet_clusters::LEASE_ENDS_MAX {
				history.number += 1;
				history.end(pallet_clusters::LeaseEnd::Removed);
			}
			history.number += 1;
		});
	}

	/// A member has asked for its cluster's secret, and was challenged by all others.
	fn is_in_trouble(cluster: ClusterId, worker: WorkerId) {
		let (boot, generation, ephemeral_key) = (1, 1, [3; 32]);
		let request =
			phala_protocol::keys::KeyRequest { worker, boot, cluster, generation, ephemeral_key };
		pallet_gatekeepers::OpenRequests::<Runtime>::insert((worker, cluster), request);
		let lately = (1..limits::CLUSTER_MEMBERS_MAX).map(|by| (WorkerId::MAX - by, 0));
		pallet_clusters::LatelyChallenged::<Runtime>::insert(
			worker,
			BoundedVec::truncate_from(lately.collect::<Vec<_>>()),
		);
	}

	/// A key of these seats serves.
	fn master_key(seats: pallet_gatekeepers::Seats) {
		let outcome = bytes(limits::CEREMONY_OUTCOME_BYTES_MAX);
		let key = pallet_gatekeepers::ActiveKey { epoch: 1, attempt: 0, outcome, seats };
		pallet_gatekeepers::Active::<Runtime>::put(key);
	}

	/// The block has pushed nothing yet.
	fn empty_mailbox() {
		pallet_mailbox::PushedIn::<Runtime>::remove(crate::System::block_number());
		pallet_mailbox::PushedBytes::<Runtime>::kill();
	}
}

impl pallet_mailbox::benchmarking::BenchmarkHelper for BootedWorkers {
	fn boot(worker: WorkerId, identity: [u8; 32]) {
		Self::boot_as(worker, somebody(b'o', worker), identity);
	}
}

impl pallet_registry::benchmarking::BenchmarkHelper<AccountId> for BootedWorkers {
	fn fund(account: &AccountId) {
		let many = pallet_bonding::Pallet::<Runtime>::stake(BondId::Gatekeeper(0)) * 1_000;
		if Balances::balance(account) < many {
			Balances::set_balance(account, many * 2);
		}
	}

	fn serve(worker: WorkerId, operator: &AccountId, leases: u32) {
		let cluster = 0;
		Self::cluster(cluster, operator.clone());
		for other in worker..worker + limits::CLUSTER_MEMBERS_MAX {
			if other != worker {
				Self::boot(other, operator.clone());
			}
			Self::join(cluster, other, None);
		}
		for n in 0..leases {
			let agent = phala_protocol::hash_of(&(b"held", n));
			Self::agent(agent, cluster, operator, Self::callers_told());
			Self::lease(agent, worker);
			// And as many that nobody has.
			let free = phala_protocol::hash_of(&(b"free", n));
			pallet_clusters::FreeLeases::<Runtime>::insert(cluster, free, ());
		}
		Self::is_in_trouble(cluster, worker);
		crate::Gatekeepers::apply(RuntimeOrigin::signed(operator.clone()), worker)
			.expect("the operator has the stake");
		crate::Gatekeepers::seat(RuntimeOrigin::root(), [worker].into()).expect("it applied");
		let now = crate::System::block_number();
		pallet_gatekeepers::Ceremony::<Runtime>::mutate(|ceremony| {
			let outcome = bytes(limits::CEREMONY_OUTCOME_BYTES_MAX);
			ceremony.as_mut().expect("it has begun").pending =
				Some(pallet_gatekeepers::PendingKey { active_at: now, outcome });
		});
		crate::Gatekeepers::on_initialize(now);
		assert!(pallet_gatekeepers::Active::<Runtime>::exists(), "it serves");
		Self::unbond_in_parts(BondId::Worker(worker));
		Self::unbond_in_parts(BondId::Gatekeeper(worker));
		Self::empty_mailbox();
	}

	fn have_master_key() {
		let keys = BootKeys { identity: [5; 32], encryption: [6; 32] };
		let other = Seat { worker: WorkerId::MAX, boot: 1, keys };
		let seats = BoundedVec::truncate_from(vec![other; limits::GATEKEEPERS_MAX as usize]);
		Self::master_key(seats.clone());
		let (active_at, outcome) = (BlockNumber::MAX, bytes(limits::CEREMONY_OUTCOME_BYTES_MAX));
		pallet_gatekeepers::Ceremony::<Runtime>::put(pallet_gatekeepers::CeremonyUnderWay {
			epoch: 2,
			attempt: 0,
			seats,
			confirmations: Default::default(),
			pending: Some(pallet_gatekeepers::PendingKey { active_at, outcome }),
		});
		Self::unbond_in_parts(BondId::Worker(0));
		Self::empty_mailbox();
	}
}

impl pallet_gatekeepers::benchmarking::BenchmarkHelper<AccountId> for BootedWorkers {
	fn boot_worker(worker: WorkerId, operator: AccountId) {
		<Self as pallet_registry::benchmarking::BenchmarkHelper<_>>::fund(&operator);
		Self::boot(worker, operator);
	}
}

impl pallet_clusters::benchmarking::BenchmarkHelper<AccountId> for BootedWorkers {
	fn boot_worker(worker: WorkerId, operator: AccountId) {
		Self::boot(worker, operator);
	}

	fn crowd(cluster: ClusterId, worker: WorkerId, agents: &[AgentId]) {
		let owner = somebody(b'd', 0);
		Self::is_in_trouble(cluster, worker);
		for agent in agents {
			Self::agent(*agent, cluster, &owner, Self::callers_told());
		}
		Self::master_key(Default::default());
		crate::Mailbox::open_inbound(worker, 1);
	}
}

impl pallet_agents::BenchmarkHelper for BootedWorkers {
	fn cluster_of(identities: &[[u8; 32]]) -> ClusterId {
		const CLUSTER: ClusterId = 0;
		let owner = TreasuryAccountId::get();
		Self::cluster(CLUSTER, owner.clone());
		for (worker, identity) in identities.iter().enumerate() {
			let worker = worker as WorkerId;
			Self::boot_as(worker, owner.clone(), *identity);
			Self::join(CLUSTER, worker, None);
		}
		CLUSTER
	}

	fn add_silent(cluster: ClusterId, first: WorkerId, members: u32) {
		let set_aside = Some(crate::System::block_number());
		for worker in first..first + members {
			Self::boot(worker, TreasuryAccountId::get());
			Self::join(cluster, worker, set_aside);
		}
	}

	fn await_answer(agent: AgentId) {
		Self::await_answer_of(agent);
	}
}

impl pallet_requests::BenchmarkHelper<AccountId> for BootedWorkers {
	fn born_agent(number: u32, members: u32, caller: &AccountId) -> AgentId {
		let cluster = number;
		let operator = somebody(b'o', number);
		Self::cluster(cluster, somebody(b'c', number));
		let first = number * limits::CLUSTER_MEMBERS_MAX;
		for worker in first..first + members {
			Self::boot(worker, operator.clone());
			Self::join(cluster, worker, None);
		}
		// Its stake is on hold: it is the one that can lose it.
		let bond = BondId::Worker(first);
		pallet_bonding::Bonds::<Runtime>::remove(bond);
		crate::Bonding::open(bond, &operator.into()).expect("the operator has PHA");
		Self::unbond_in_parts(bond);
		let agent = phala_protocol::hash_of(&(b"born", number));
		Self::agent(agent, cluster, &somebody(b'd', number), Self::callers(caller));
		pallet_requests::OpenOfAgent::<Runtime>::remove(agent);
		Self::lease(agent, first);
		agent
	}

	fn silence_holder(agent: AgentId) {
		let Lease { worker, .. } = crate::Clusters::lease(agent).expect("somebody has it");
		pallet_registry::Boots::<Runtime>::mutate(worker, |boot| {
			boot.as_mut().expect("it is booted").expires_at = 0;
		});
	}

	fn drain_stake(agent: AgentId) {
		let Lease { worker, .. } = crate::Clusters::lease(agent).expect("somebody has it");
		let bond = BondId::Worker(worker);
		let least = pallet_bonding::Pallet::<Runtime>::minimum(bond);
		pallet_bonding::Bonds::<Runtime>::mutate(bond, |record| {
			record.as_mut().expect("it has a bond").active = least / pallet_bonding::EXHAUSTED_PART;
		});
	}
}
