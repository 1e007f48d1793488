//! Benchmarks of the gatekeepers' calls.

use super::*;
use frame_benchmarking::v2::*;
use frame_system::RawOrigin;

/// Gives benchmarks workers: the registry's storage is the runtime's to fill.
pub trait BenchmarkHelper<AccountId> {
	/// Makes a worker of `operator` with a boot in force, and gives the operator PHA for a bond.
	fn boot_worker(worker: WorkerId, operator: AccountId);
}

fn operator_of<T: Config>(worker: WorkerId) -> T::AccountId {
	let operator: T::AccountId = whitelisted_caller();
	T::BenchmarkHelper::boot_worker(worker, operator.clone());
	operator
}

#[benchmarks]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn apply() {
		let operator = operator_of::<T>(0);
		#[extrinsic_call]
		apply(RawOrigin::Signed(operator), 0);
		assert!(Candidates::<T>::contains_key(0));
	}

	#[benchmark]
	fn withdraw() {
		let operator = operator_of::<T>(0);
		Pallet::<T>::apply(RawOrigin::Signed(operator.clone()).into(), 0)
			.expect("the worker is in force and the operator has PHA");
		#[extrinsic_call]
		withdraw(RawOrigin::Signed(operator), 0);
		assert!(!Candidates::<T>::contains_key(0));
	}

	#[benchmark]
	fn seat(s: Linear<1, { limits::GATEKEEPERS_MAX }>) {
		let workers: Vec<WorkerId> = (0..s).collect();
		for worker in &workers {
			let operator = operator_of::<T>(*worker);
			Pallet::<T>::apply(RawOrigin::Signed(operator).into(), *worker)
				.expect("the worker is in force and the operator has PHA");
		}
		#[extrinsic_call]
		seat(RawOrigin::Root, workers);
		assert!(Ceremony::<T>::exists());
	}

	/// With as long an outcome as can be.
	#[benchmark]
	fn activate_pending_key() {
		let operator = operator_of::<T>(0);
		Pallet::<T>::apply(RawOrigin::Signed(operator).into(), 0)
			.expect("the worker is in force and the operator has PHA");
		Pallet::<T>::seat(RawOrigin::Root.into(), [0].into()).expect("it applied");
		let outcome = alloc::vec![7; limits::CEREMONY_OUTCOME_BYTES_MAX as usize];
		Ceremony::<T>::mutate(|ceremony| {
			let active_at = Pallet::<T>::now();
			let outcome = BoundedVec::truncate_from(outcome);
			ceremony.as_mut().expect("it has begun").pending =
				Some(PendingKey { active_at, outcome });
		});
		#[block]
		{
			Pallet::<T>::activate_pending_key();
		}
		assert!(Active::<T>::exists());
	}

	#[benchmark]
	fn resend(n: Linear<0, 64>) {
		for worker in 0..n {
			operator_of::<T>(worker);
			let (boot, cluster, generation) = (1, 0, 1);
			let ephemeral_key = [7; 32];
			let request = KeyRequest { worker, boot, cluster, generation, ephemeral_key };
			OpenRequests::<T>::insert((worker, cluster), request);
		}
		ResendingRequests::<T>::put(Resending::default());
		#[block]
		{
			Pallet::<T>::resend_open_requests(&mut WeightMeter::new());
		}
		assert!(!ResendingRequests::<T>::exists());
	}

	impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Runtime);
}
