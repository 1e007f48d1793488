//! Benchmarks of the clusters' calls.

use super::*;
use frame_benchmarking::v2::*;
use frame_support::traits::fungible::Mutate;
use frame_system::RawOrigin;
use phala_protocol::{
	clusters::WrappedKeys,
	mailbox::ByLane,
	messages::{ClustersPayload, EnvelopeOrigin},
	traits::ReceivePayload,
};
use sp_runtime::Saturating;

/// Gives benchmarks workers and agents: what other pallets keep is the runtime's to fill.
pub trait BenchmarkHelper<AccountId> {
	/// Makes a worker of `operator` with a boot in force.
	fn boot_worker(worker: WorkerId, operator: AccountId);

	/// Other pallets keep as much as they can of this cluster's member and of these agents, which have their
	/// places in it.
	fn crowd(cluster: ClusterId, worker: WorkerId, agents: &[AgentId]);
}

const CLUSTER: ClusterId = 0;
/// Has the leases.
const HOLDER: WorkerId = 1;
/// Is not a member yet.
const APPLICANT: WorkerId = 0;

/// As long as can be.
fn endpoint() -> Vec<u8> {
	let mut endpoint = b"https://worker.example/".to_vec();
	endpoint.resize(limits::ENDPOINT_BYTES_MAX as usize, b'w');
	endpoint
}

/// An owner with a cluster of as many members but one as it may have, each with much to say, and `agents`
/// whose leases one of them has; its second generation has begun.
fn owner_of_full_cluster<T: Config>(agents: u32) -> T::AccountId
where
	T::Currency: Mutate<T::AccountId>,
{
	let owner: T::AccountId = whitelisted_caller();
	let funds = T::ClusterDeposit::get().saturating_mul(100u32.into()).max(1_000_000u32.into());
	T::Currency::set_balance(&owner, funds);
	Pallet::<T>::create(RawOrigin::Signed(owner.clone()).into()).unwrap();
	let mut seen = FinalSeen::<T>::get(CLUSTER);
	for worker in HOLDER..limits::CLUSTER_MEMBERS_MAX {
		T::BenchmarkHelper::boot_worker(worker, owner.clone());
		let endpoint =
			Endpoint::try_from(endpoint()).expect("it is of the length that it may have");
		Members::<T>::insert(CLUSTER, worker, MemberRecord { endpoint, set_aside: None });
		MemberOf::<T>::insert(worker, CLUSTER);
		seen.try_insert(worker, 1).expect("so many are members");
	}
	FinalSeen::<T>::insert(CLUSTER, seen);
	T::BenchmarkHelper::boot_worker(APPLICANT, owner.clone());
	let keys = BoundedVec::truncate_from(alloc::vec![7; limits::WRAPPED_KEYS_BYTES_MAX as usize]);
	NewestKeys::<T>::insert(CLUSTER, StoredKeys { epoch: 1, generation: 1, keys });
	let agents: Vec<AgentId> = (0..agents).map(|n| phala_protocol::hash_of(&n)).collect();
	for agent in &agents {
		ClusterAgents::<T>::insert(CLUSTER, agent, ());
		AgentCluster::<T>::insert(agent, CLUSTER);
		Leases::<T>::insert(agent, Lease { worker: HOLDER, boot: 1 });
		HeldLeases::<T>::insert(HOLDER, agent, ());
		LeaseHistories::<T>::insert(agent, long_history());
	}
	Loads::<T>::insert(HOLDER, agents.len() as u32);
	Clusters::<T>::mutate(CLUSTER, |record| {
		let record = record.as_mut().expect("it was created");
		record.members = limits::CLUSTER_MEMBERS_MAX - 1;
		record.agents = agents.len() as u32;
		record.generation = 2;
	});
	T::BenchmarkHelper::crowd(CLUSTER, HOLDER, &agents);
	owner
}

/// The same with the last member, too.
fn owner_of_full_cluster_with_all<T: Config>(agents: u32) -> T::AccountId
where
	T::Currency: Mutate<T::AccountId>,
{
	let owner = owner_of_full_cluster::<T>(agents);
	let endpoint = Endpoint::try_from(endpoint()).expect("it is of the length that it may have");
	Members::<T>::insert(CLUSTER, APPLICANT, MemberRecord { endpoint, set_aside: None });
	MemberOf::<T>::insert(APPLICANT, CLUSTER);
	Clusters::<T>::mutate(CLUSTER, |record| {
		record.as_mut().expect("it was created").members = limits::CLUSTER_MEMBERS_MAX;
	});
	owner
}

/// As many ends as are remembered.
fn long_history() -> LeaseHistory {
	let mut history = LeaseHistory { number: 1, ..Default::default() };
	for _ in 0..LEASE_ENDS_MAX {
		history.end(LeaseEnd::Removed);
		history.number += 1;
	}
	history
}

fn hears<T: Config>(worker: WorkerId, payload: ClustersPayload) {
	let origin = EnvelopeOrigin { worker, boot: 1 };
	<Pallet<T> as ReceivePayload>::receive(origin, payload).expect("it may be said");
}

#[benchmarks(where T::Currency: Mutate<T::AccountId>)]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn create() {
		let owner = owner_of_full_cluster::<T>(SWEPT_PER_BLOCK_MAX);
		#[extrinsic_call]
		create(RawOrigin::Signed(owner));
		assert!(Clusters::<T>::contains_key(1));
	}

	#[benchmark]
	fn request_join() {
		let owner = owner_of_full_cluster::<T>(SWEPT_PER_BLOCK_MAX);
		#[extrinsic_call]
		request_join(RawOrigin::Signed(owner), CLUSTER, APPLICANT, endpoint());
		assert!(JoinRequests::<T>::contains_key(0));
	}

	#[benchmark]
	fn approve_join(a: Linear<0, { SWEPT_PER_BLOCK_MAX - 1 }>) {
		let owner = owner_of_full_cluster::<T>(a);
		let origin = RawOrigin::Signed(owner.clone()).into();
		Pallet::<T>::request_join(origin, CLUSTER, APPLICANT, endpoint()).unwrap();
		// There are leases that nobody has, beside those of which it is told.
		for n in 0..a {
			let agent = phala_protocol::hash_of(&(b"free", n));
			LeaseHistories::<T>::insert(agent, long_history());
			FreeLeases::<T>::insert(CLUSTER, agent, ());
		}
		let boot = T::Workers::current_boot(APPLICANT).unwrap();
		let (number, measurement) = (boot.number, boot.measurement);
		#[extrinsic_call]
		approve_join(RawOrigin::Signed(owner), CLUSTER, APPLICANT, number, measurement, endpoint());
		assert!(!FreeLeases::<T>::iter_key_prefix(CLUSTER).any(|_| true));
		assert_eq!(Clusters::<T>::get(0).unwrap().members, limits::CLUSTER_MEMBERS_MAX);
	}

	#[benchmark]
	fn set_endpoint() {
		let owner = owner_of_full_cluster::<T>(SWEPT_PER_BLOCK_MAX);
		#[extrinsic_call]
		set_endpoint(RawOrigin::Signed(owner), 1, endpoint());
	}

	#[benchmark]
	fn leave() {
		let owner = owner_of_full_cluster_with_all::<T>(SWEPT_PER_BLOCK_MAX);
		#[extrinsic_call]
		leave(RawOrigin::Signed(owner), 0, 1);
		assert!(!MemberOf::<T>::contains_key(1));
	}

	#[benchmark]
	fn remove_member() {
		let owner = owner_of_full_cluster_with_all::<T>(SWEPT_PER_BLOCK_MAX);
		#[extrinsic_call]
		remove_member(RawOrigin::Signed(owner), 0, 1);
		assert!(!MemberOf::<T>::contains_key(1));
	}

	#[benchmark]
	fn close() {
		let owner = owner_of_full_cluster::<T>(SWEPT_PER_BLOCK_MAX);
		Pallet::<T>::create(RawOrigin::Signed(owner.clone()).into()).unwrap();
		#[extrinsic_call]
		close(RawOrigin::Signed(owner), 1);
		assert!(!Clusters::<T>::contains_key(1));
	}

	#[benchmark]
	fn set_open() {
		let owner = owner_of_full_cluster::<T>(SWEPT_PER_BLOCK_MAX);
		#[extrinsic_call]
		set_open(RawOrigin::Signed(owner), 0, Some(Opening::default()));
		assert!(Openings::<T>::contains_key(0));
	}

	#[benchmark]
	fn admit_developer() {
		let owner = owner_of_full_cluster::<T>(SWEPT_PER_BLOCK_MAX);
		let others = (1..limits::ADMITTED_DEVELOPERS_MAX).map(|n| phala_protocol::hash_of(&n).0);
		AdmittedDevelopers::<T>::insert(0, BoundedVec::truncate_from(others.collect::<Vec<_>>()));
		let developer = owner.clone();
		#[extrinsic_call]
		admit_developer(RawOrigin::Signed(owner), 0, developer, true);
		assert_eq!(AdmittedDevelopers::<T>::get(0).len() as u32, limits::ADMITTED_DEVELOPERS_MAX);
	}

	#[benchmark]
	fn offer_transfer() {
		let owner = owner_of_full_cluster::<T>(SWEPT_PER_BLOCK_MAX);
		let to = Some(owner.clone());
		#[extrinsic_call]
		offer_transfer(RawOrigin::Signed(owner), 0, to);
		assert!(Offers::<T>::contains_key(0));
	}

	#[benchmark]
	fn accept_transfer() {
		let owner = owner_of_full_cluster::<T>(SWEPT_PER_BLOCK_MAX);
		let to: T::AccountId = account("to", 0, 0);
		let funds = T::ClusterDeposit::get().saturating_mul(100u32.into()).max(1_000_000u32.into());
		T::Currency::set_balance(&to, funds);
		let origin = RawOrigin::Signed(owner).into();
		Pallet::<T>::offer_transfer(origin, 0, Some(to.clone())).unwrap();
		#[extrinsic_call]
		accept_transfer(RawOrigin::Signed(to.clone()), 0);
		assert_eq!(Clusters::<T>::get(0).unwrap().owner, to);
	}

	/// One boot is told of so many agents.
	#[benchmark]
	fn tell_agents(a: Linear<0, SWEPT_PER_BLOCK_MAX>) {
		owner_of_full_cluster::<T>(a);
		Pallet::<T>::queue_sweep(Sweep::Tell { cluster: CLUSTER, worker: HOLDER, boot: 1 }, None);
		#[block]
		{
			Pallet::<T>::work_off_sweeps(&mut WeightMeter::new());
		}
		assert_eq!(Untold::<T>::contains_key(HOLDER), a == SWEPT_PER_BLOCK_MAX);
		// It was told of all of them: each counted as one.
		let last = ClusterAgents::<T>::iter_key_prefix(CLUSTER).last();
		assert!(Sweeps::<T>::iter_values().all(|(_, after)| after == last));
	}

	/// So many leases go from one to others.
	#[benchmark]
	fn move_leases(a: Linear<0, SWEPT_PER_BLOCK_MAX>) {
		owner_of_full_cluster_with_all::<T>(a);
		let moving = Sweep::Move { cluster: CLUSTER, worker: HOLDER, why: Moves::Silent };
		Pallet::<T>::queue_sweep(moving, None);
		#[block]
		{
			Pallet::<T>::work_off_sweeps(&mut WeightMeter::new());
		}
		assert_eq!(HeldLeases::<T>::iter_key_prefix(HOLDER).count(), 0);
	}

	/// For the secret of the generation before.
	#[benchmark]
	fn request_key() {
		owner_of_full_cluster::<T>(1);
		let (cluster, generation, ephemeral_key) = (CLUSTER, 1, [1; 32]);
		let payload = ClustersPayload::KeyRequest { cluster, generation, ephemeral_key };
		#[block]
		{
			hears::<T>(HOLDER, payload);
		}
	}

	#[benchmark]
	fn wrap_keys() {
		owner_of_full_cluster::<T>(1);
		let keys = alloc::vec![8; limits::WRAPPED_KEYS_BYTES_MAX as usize];
		let keys = WrappedKeys { epoch: 1, generation: 2, keys };
		let payload = ClustersPayload::KeysWrapped { cluster: CLUSTER, keys };
		#[block]
		{
			hears::<T>(HOLDER, payload);
		}
		assert_eq!(NewestKeys::<T>::get(CLUSTER).map(|keys| keys.generation), Some(2));
	}

	/// The dearest of what members say of themselves and of each other: one challenge follows another, by
	/// one that was set aside.
	#[benchmark]
	fn challenge() {
		owner_of_full_cluster::<T>(1);
		let seqs = ByLane { rest: u64::MAX, ..Default::default() };
		Challenges::<T>::insert(HOLDER, Challenge { boot: 1, seqs, block: 0 });
		Members::<T>::mutate(CLUSTER, HOLDER + 1, |record| {
			record.as_mut().expect("it is a member").set_aside = Some(0);
		});
		FreeLeases::<T>::insert(CLUSTER, AgentId::repeat_byte(1), ());
		#[block]
		{
			hears::<T>(HOLDER + 1, ClustersPayload::HolderSilent { holder: HOLDER, boot: 1 });
		}
		let open = Challenges::<T>::get(HOLDER).expect("it was just made");
		assert_ne!(open.seqs, seqs);
	}

	/// Of clusters in each of which somebody has departed since.
	#[benchmark]
	fn end_gaps(n: Linear<0, 16>) {
		let owner = owner_of_full_cluster::<T>(0);
		for cluster in 1..=n {
			let gap = GenerationGap::RunningWithDeparture;
			let (deposit, generation, members, agents) = (T::ClusterDeposit::get(), 1, 0, 0);
			let owner = owner.clone();
			let record = Cluster { owner, deposit, generation, members, agents, gap };
			Clusters::<T>::insert(cluster, record);
			Gaps::<T>::insert(u64::from(cluster) - 1, (cluster, 0));
		}
		FirstGap::<T>::put(0);
		NextGap::<T>::put(u64::from(n));
		#[block]
		{
			Pallet::<T>::end_gaps(&mut WeightMeter::new());
		}
		assert_eq!(FirstGap::<T>::get(), u64::from(n));
	}

	impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Runtime);
}
