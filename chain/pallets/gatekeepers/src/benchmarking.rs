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

fn long_outcome() -> Vec<u8> {
	alloc::vec![7; limits::CEREMONY_OUTCOME_BYTES_MAX as usize]
}

/// Worker 0 has the only seat of a ceremony.
fn seated<T: Config>() {
	let operator = operator_of::<T>(0);
	Pallet::<T>::apply(RawOrigin::Signed(operator).into(), 0)
		.expect("the worker is in force and the operator has PHA");
	Pallet::<T>::seat(RawOrigin::Root.into(), [0].into()).expect("it applied");
}

/// The ceremony's key is to serve by now.
fn decided<T: Config>() {
	Ceremony::<T>::mutate(|ceremony| {
		let active_at = Pallet::<T>::now();
		let outcome = BoundedVec::truncate_from(long_outcome());
		ceremony.as_mut().expect("it has begun").pending = Some(PendingKey { active_at, outcome });
	});
}

fn serving<T: Config>() {
	seated::<T>();
	decided::<T>();
	Pallet::<T>::activate_pending_key();
}

fn hears<T: Config>(payload: KeysPayload) {
	let origin = EnvelopeOrigin { worker: 0, boot: 1 };
	<Pallet<T> as ReceivePayload>::receive(origin, payload).expect("it may be said");
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
	fn seat() {
		let workers: Vec<WorkerId> = (0..limits::GATEKEEPERS_MAX).collect();
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
		seated::<T>();
		decided::<T>();
		#[block]
		{
			Pallet::<T>::activate_pending_key();
		}
		assert!(Active::<T>::exists());
	}

	/// The one that makes an outcome count that is as long as can be.
	#[benchmark]
	fn confirm() {
		seated::<T>();
		let epoch = Ceremony::<T>::get().expect("it has begun").epoch;
		let outcome = long_outcome();
		let payload = KeysPayload::MasterKeyConfirmed { epoch, attempt: 0, outcome };
		#[block]
		{
			hears::<T>(payload);
		}
		assert!(Ceremony::<T>::get().is_some_and(|ceremony| ceremony.pending.is_some()));
	}

	/// The one that answers a request for all.
	#[benchmark]
	fn release() {
		serving::<T>();
		let (worker, boot, cluster, generation) = (1, 1, 0, 1);
		T::BenchmarkHelper::boot_worker(worker, whitelisted_caller());
		let request = KeyRequest { worker, boot, cluster, generation, ephemeral_key: [7; 32] };
		OpenRequests::<T>::insert((worker, cluster), request);
		let part = alloc::vec![7; limits::KEY_RELEASE_BYTES_MAX as usize];
		#[block]
		{
			hears::<T>(KeysPayload::KeyReleased { request, release: part });
		}
		assert!(!OpenRequests::<T>::contains_key((worker, cluster)));
	}

	#[benchmark]
	fn resend(n: Linear<0, 64>) {
		for worker in 0..n {
			// Of boots that are all there.
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
