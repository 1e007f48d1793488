//! Which pallets `make weights` measures: our own. Stock pallets bring their own weights.

use crate::{
	config::money::TreasuryAccountId, AccountId, Agents, Balances, Runtime, RuntimeOrigin,
};
use alloc::vec::Vec;
use frame_support::traits::fungible::{Inspect, Mutate};
use pallet_registry::benchmarking::BenchmarkHelper as _;
use phala_protocol::{
	agents::{agent_id, Access, AgentCode, AgentId, AgentKey, EffectSet, Lease, UpgradePolicy},
	bonding::BondId,
	boot::{Boot, BootKeys, WorkerId},
	evidence::EvidenceKind,
	limits,
	mailbox::ClusterId,
	messages::EnvelopeOrigin,
	traits::{AgentDirectory, Bonding, BootDirectory, ClusterDirectory},
	BlockNumber, H256,
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

/// Workers with a boot in force, straight into the registry's storage: no evidence, but a stake.
pub struct BootedWorkers;

impl BootedWorkers {
	fn boot(worker: WorkerId, operator: AccountId) {
		let measurement = H256::repeat_byte(7);
		let registered_at = crate::System::block_number();
		pallet_registry::Measurements::<Runtime>::insert(
			measurement,
			pallet_registry::MeasurementRule { until: None },
		);
		Self::fund(&operator);
		let bond = BondId::Worker(worker);
		if !crate::Bonding::is_sufficient(bond) {
			crate::Bonding::open(bond, &operator.clone().into()).expect("the operator has PHA");
		}
		pallet_registry::Workers::<Runtime>::insert(
			worker,
			pallet_registry::Worker { operator, platform: None, boots: 1 },
		);
		let identity = phala_protocol::hash_of(&worker).0;
		pallet_registry::Boots::<Runtime>::insert(
			worker,
			Boot {
				number: 1,
				keys: BootKeys { identity, encryption: [2; 32] },
				evidence: EvidenceKind::Software,
				measurement,
				registered_at,
				expires_at: BlockNumber::MAX,
			},
		);
	}
}

impl pallet_registry::benchmarking::BenchmarkHelper<AccountId> for BootedWorkers {
	fn fund(account: &AccountId) {
		let many = pallet_bonding::Pallet::<Runtime>::stake(BondId::Gatekeeper(0)) * 1_000;
		if Balances::balance(account) < many {
			Balances::set_balance(account, many * 2);
		}
	}

	fn serve(worker: WorkerId, operator: &AccountId) {
		let origin = || RuntimeOrigin::signed(operator.clone());
		let cluster = pallet_clusters::NextCluster::<Runtime>::get();
		crate::Clusters::create(origin()).expect("the operator has the deposit");
		let join = |worker: WorkerId| {
			let endpoint = b"https://worker.example".to_vec();
			let boot = crate::Registry::current_boot(worker).expect("it is booted");
			crate::Clusters::request_join(origin(), cluster, worker, endpoint.clone())
				.expect("it is in force and nowhere yet");
			let (number, measurement) = (boot.number, boot.measurement);
			crate::Clusters::approve_join(origin(), cluster, worker, number, measurement, endpoint)
				.expect("there is room");
			// The next has a block of its own.
			pallet_mailbox::PushedIn::<Runtime>::remove(crate::System::block_number());
			pallet_mailbox::PushedBytes::<Runtime>::kill();
		};
		// Alone at first: it gets all leases.
		join(worker);
		for _ in 0..limits::AGENTS_SWEPT_MAX {
			let code = AgentCode { component: H256::zero(), manifest: H256::zero() };
			let (access, upgrades) = (Access::Public, UpgradePolicy::Free);
			crate::Agents::register(origin(), cluster, code, 1_000_000, 10, access, upgrades)
				.expect("the operator has funds and the cluster a place");
		}
		for other in worker + 1..worker + limits::CLUSTER_MEMBERS_MAX {
			Self::boot(other, operator.clone());
			join(other);
		}
		crate::Gatekeepers::apply(origin(), worker).expect("the operator has the stake");
		crate::Gatekeepers::seat(RuntimeOrigin::root(), [worker].into()).expect("it applied");
	}
}

impl pallet_gatekeepers::benchmarking::BenchmarkHelper<AccountId> for BootedWorkers {
	fn boot_worker(worker: WorkerId, operator: AccountId) {
		Self::boot(worker, operator);
	}
}

impl pallet_clusters::benchmarking::BenchmarkHelper<AccountId> for BootedWorkers {
	fn boot_worker(worker: WorkerId, operator: AccountId) {
		Self::boot(worker, operator);
	}
}

impl pallet_agents::BenchmarkHelper for BootedWorkers {
	fn cluster_of(identities: &[[u8; 32]]) -> ClusterId {
		const CLUSTER: ClusterId = 0;
		let owner = TreasuryAccountId::get();
		for (worker, identity) in identities.iter().enumerate() {
			let worker = worker as WorkerId;
			Self::boot(worker, owner.clone());
			pallet_registry::Boots::<Runtime>::mutate(worker, |boot| {
				if let Some(boot) = boot {
					boot.keys.identity = *identity;
				}
			});
			let endpoint = Default::default();
			let member = phala_protocol::clusters::MemberRecord { endpoint, set_aside: None };
			pallet_clusters::Members::<Runtime>::insert(CLUSTER, worker, member);
			pallet_clusters::MemberOf::<Runtime>::insert(worker, CLUSTER);
		}
		pallet_clusters::Clusters::<Runtime>::insert(
			CLUSTER,
			pallet_clusters::Cluster {
				owner,
				deposit: 0,
				generation: 1,
				members: identities.len() as u32,
				agents: 0,
				gap: pallet_clusters::GenerationGap::Open,
			},
		);
		let opening = phala_protocol::clusters::Opening::default();
		pallet_clusters::Openings::<Runtime>::insert(CLUSTER, opening);
		CLUSTER
	}

	fn add_silent(cluster: ClusterId, first: WorkerId, members: u32) {
		let set_aside = Some(crate::System::block_number());
		for worker in first..first + members {
			Self::boot(worker, TreasuryAccountId::get());
			let member =
				phala_protocol::clusters::MemberRecord { endpoint: Default::default(), set_aside };
			pallet_clusters::Members::<Runtime>::insert(cluster, worker, member);
			pallet_clusters::MemberOf::<Runtime>::insert(worker, cluster);
		}
	}
}

impl pallet_requests::BenchmarkHelper<AccountId> for BootedWorkers {
	fn born_agent(owner: &AccountId) -> AgentId {
		use pallet_agents::BenchmarkHelper;
		let cluster = Self::cluster_of(&[[1; 32]]);
		let agent =
			agent_id(crate::System::block_hash(0), pallet_agents::NextAgent::<Runtime>::get());
		let code = AgentCode { component: H256::zero(), manifest: H256::zero() };
		let (access, upgrades) = (Access::Public, UpgradePolicy::Free);
		let origin = RuntimeOrigin::signed(owner.clone());
		Agents::register(origin, cluster, code, 1_000_000, 10, access, upgrades)
			.expect("the owner has funds and the cluster a place");
		let Lease { worker, boot } =
			crate::Clusters::lease(agent).expect("the cluster's only member has it");
		let birth = EffectSet {
			agent,
			base_version: 0,
			base_hash: H256::zero(),
			new_hash: H256::zero(),
			key: Some(AgentKey { version: 1, key: [4; 32] }),
			results: Vec::new(),
			availability: Vec::new(),
		};
		Agents::commit(EnvelopeOrigin { worker, boot }, &birth)
			.expect("the holder of the lease is a majority of one");
		agent
	}
}
