//! Benchmarks of the clusters' calls.

use super::*;
use frame_benchmarking::v2::*;
use frame_support::traits::fungible::Mutate;
use frame_system::RawOrigin;
use sp_runtime::Saturating;

/// Gives benchmarks workers: the registry's storage is the runtime's to fill.
pub trait BenchmarkHelper<AccountId> {
	/// Makes a worker of `operator` with a boot in force.
	fn boot_worker(worker: WorkerId, operator: AccountId);
}

const ENDPOINT: &[u8] = b"https://worker.example";

/// The owner lets a worker in as it is.
fn approve<T: Config>(owner: &T::AccountId, worker: WorkerId) -> DispatchResult {
	let boot = T::Workers::current_boot(worker).ok_or(Error::<T>::NotInForce)?;
	let origin = RawOrigin::Signed(owner.clone()).into();
	Pallet::<T>::approve_join(origin, 0, worker, boot.number, boot.measurement, ENDPOINT.to_vec())
}

/// An owner with a cluster of as many members but one as it may have, and as many agents.
fn owner_of_full_cluster<T: Config>() -> T::AccountId
where
	T::Currency: Mutate<T::AccountId>,
{
	let owner: T::AccountId = whitelisted_caller();
	let funds = T::ClusterDeposit::get().saturating_mul(100u32.into()).max(1_000_000u32.into());
	T::Currency::set_balance(&owner, funds);
	let origin = || RawOrigin::Signed(owner.clone()).into();
	Pallet::<T>::create(origin()).unwrap();
	for worker in 1..limits::CLUSTER_MEMBERS_MAX {
		T::BenchmarkHelper::boot_worker(worker, owner.clone());
		Pallet::<T>::request_join(origin(), 0, worker, ENDPOINT.to_vec()).unwrap();
		approve::<T>(&owner, worker).unwrap();
	}
	for n in 0..limits::CLUSTER_AGENTS_MAX {
		let agent = phala_protocol::hash_of(&n);
		let developer: AccountBytes = owner.clone().into();
		<Pallet<T> as ClusterDirectory>::place_agent(0, agent, &developer).unwrap();
	}
	T::BenchmarkHelper::boot_worker(0, owner.clone());
	owner
}

#[benchmarks(where T::Currency: Mutate<T::AccountId>)]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn create() {
		let owner = owner_of_full_cluster::<T>();
		#[extrinsic_call]
		create(RawOrigin::Signed(owner));
		assert!(Clusters::<T>::contains_key(1));
	}

	#[benchmark]
	fn request_join() {
		let owner = owner_of_full_cluster::<T>();
		#[extrinsic_call]
		request_join(RawOrigin::Signed(owner), 0, 0, ENDPOINT.to_vec());
		assert!(JoinRequests::<T>::contains_key(0));
	}

	#[benchmark]
	fn approve_join() {
		let owner = owner_of_full_cluster::<T>();
		let origin = RawOrigin::Signed(owner.clone()).into();
		Pallet::<T>::request_join(origin, 0, 0, ENDPOINT.to_vec()).unwrap();
		// The most work: the new member finds all leases free.
		for agent in ClusterAgents::<T>::iter_key_prefix(0).collect::<Vec<_>>() {
			if let Some(lease) = Leases::<T>::take(agent) {
				HeldLeases::<T>::remove(lease.worker, agent);
				Loads::<T>::remove(lease.worker);
			}
			FreeLeases::<T>::insert(0, agent, ());
		}
		let boot = T::Workers::current_boot(0).unwrap();
		let (number, measurement) = (boot.number, boot.measurement);
		#[extrinsic_call]
		approve_join(RawOrigin::Signed(owner), 0, 0, number, measurement, ENDPOINT.to_vec());
		assert_eq!(Clusters::<T>::get(0).unwrap().members, limits::CLUSTER_MEMBERS_MAX);
	}

	#[benchmark]
	fn set_endpoint() {
		let owner = owner_of_full_cluster::<T>();
		#[extrinsic_call]
		set_endpoint(RawOrigin::Signed(owner), 1, b"http://elsewhere.example".to_vec());
	}

	#[benchmark]
	fn leave() {
		let owner = owner_of_full_cluster::<T>();
		give_all_leases::<T>(1);
		#[extrinsic_call]
		leave(RawOrigin::Signed(owner), 0, 1);
		assert!(!MemberOf::<T>::contains_key(1));
	}

	#[benchmark]
	fn remove_member() {
		let owner = owner_of_full_cluster::<T>();
		give_all_leases::<T>(1);
		#[extrinsic_call]
		remove_member(RawOrigin::Signed(owner), 0, 1);
		assert!(!MemberOf::<T>::contains_key(1));
	}

	#[benchmark]
	fn close() {
		let owner = owner_of_full_cluster::<T>();
		Pallet::<T>::create(RawOrigin::Signed(owner.clone()).into()).unwrap();
		#[extrinsic_call]
		close(RawOrigin::Signed(owner), 1);
		assert!(!Clusters::<T>::contains_key(1));
	}

	#[benchmark]
	fn set_open() {
		let owner = owner_of_full_cluster::<T>();
		#[extrinsic_call]
		set_open(RawOrigin::Signed(owner), 0, Some(Opening::default()));
		assert!(Openings::<T>::contains_key(0));
	}

	#[benchmark]
	fn admit_developer() {
		let owner = owner_of_full_cluster::<T>();
		let others = (1..limits::ADMITTED_DEVELOPERS_MAX).map(|n| phala_protocol::hash_of(&n).0);
		AdmittedDevelopers::<T>::insert(0, BoundedVec::truncate_from(others.collect::<Vec<_>>()));
		let developer = owner.clone();
		#[extrinsic_call]
		admit_developer(RawOrigin::Signed(owner), 0, developer, true);
		assert_eq!(AdmittedDevelopers::<T>::get(0).len() as u32, limits::ADMITTED_DEVELOPERS_MAX);
	}

	#[benchmark]
	fn offer_transfer() {
		let owner = owner_of_full_cluster::<T>();
		let to = Some(owner.clone());
		#[extrinsic_call]
		offer_transfer(RawOrigin::Signed(owner), 0, to);
		assert!(Offers::<T>::contains_key(0));
	}

	#[benchmark]
	fn accept_transfer() {
		let owner = owner_of_full_cluster::<T>();
		let to: T::AccountId = account("to", 0, 0);
		let funds = T::ClusterDeposit::get().saturating_mul(100u32.into()).max(1_000_000u32.into());
		T::Currency::set_balance(&to, funds);
		let origin = RawOrigin::Signed(owner).into();
		Pallet::<T>::offer_transfer(origin, 0, Some(to.clone())).unwrap();
		#[extrinsic_call]
		accept_transfer(RawOrigin::Signed(to.clone()), 0);
		assert_eq!(Clusters::<T>::get(0).unwrap().owner, to);
	}

	fn give_all_leases<T: Config>(worker: WorkerId) {
		for agent in ClusterAgents::<T>::iter_key_prefix(0).collect::<Vec<_>>() {
			if let Some(lease) = Leases::<T>::take(agent) {
				HeldLeases::<T>::remove(lease.worker, agent);
				Loads::<T>::remove(lease.worker);
			}
			Leases::<T>::insert(agent, Lease { worker, boot: 1 });
			HeldLeases::<T>::insert(worker, agent, ());
			Loads::<T>::mutate(worker, |load| *load += 1);
		}
	}

	#[benchmark]
	fn sweep(n: Linear<0, SWEPT_PER_BLOCK_MAX>) {
		owner_of_full_cluster::<T>();
		give_all_leases::<T>(1);
		for agent in HeldLeases::<T>::iter_key_prefix(1).skip(n as usize).collect::<Vec<_>>() {
			HeldLeases::<T>::remove(1, agent);
		}
		Pallet::<T>::queue_sweep(Sweep::Move { cluster: 0, worker: 1, why: Moves::Silent }, None);
		#[block]
		{
			Pallet::<T>::work_off_sweeps(&mut WeightMeter::new());
		}
		assert_eq!(HeldLeases::<T>::iter_key_prefix(1).count(), 0);
	}

	/// Of clusters in each of which somebody has departed since.
	#[benchmark]
	fn end_gaps(n: Linear<0, 16>) {
		let owner = owner_of_full_cluster::<T>();
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
