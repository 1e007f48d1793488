//! Benchmarks of the registry's calls, with evidence signed by a key in the node's keystore.

use super::*;
use alloc::vec::Vec;
use frame_benchmarking::v2::*;
use frame_system::RawOrigin;
use phala_protocol::{
	evidence::{SoftwareEvidence, SoftwareReport, SoftwareReportContent},
	traits::ReceivePayload,
};
use sp_core::crypto::KeyTypeId;
use sp_runtime::Permill;

const KEY_TYPE: KeyTypeId = KeyTypeId(*b"phbr");
const MEASUREMENT: Measurement = H256::repeat_byte(7);
const KEYS: BootKeys = BootKeys { identity: [1; 32], encryption: [2; 32] };
/// The chain stands here, so that block 0 is recent and has a hash.
const NOW: u32 = 5;

/// Gives benchmarks operators that can put up what workers take.
pub trait BenchmarkHelper<AccountId> {
	/// Gives `account` the PHA for many workers.
	fn fund(account: &AccountId);

	/// Seats a worker, and makes it a member of a full cluster of its operator's, with so many leases, and as
	/// many that nobody has.
	fn serve(worker: WorkerId, operator: &AccountId, leases: u32);

	/// There is a master key, with the longest outcome of its ceremony, in which nobody here has a seat; and another
	/// ceremony is under way.
	fn have_master_key();
}

fn operator_with_worker<T: Config>() -> T::AccountId {
	let operator: T::AccountId = whitelisted_caller();
	register_worker_of::<T>(&operator);
	operator
}

fn register_worker_of<T: Config>(operator: &T::AccountId) {
	frame_system::Pallet::<T>::set_block_number(NOW.into());
	frame_system::BlockHash::<T>::insert(
		frame_system::pallet_prelude::BlockNumberFor::<T>::zero(),
		H256::repeat_byte(3),
	);
	Measurements::<T>::insert(MEASUREMENT, MeasurementRule { until: None });
	T::BenchmarkHelper::fund(operator);
	Pallet::<T>::register_worker(RawOrigin::Signed(operator.clone()).into()).unwrap();
}

fn evidence<T: Config>(operator: &T::AccountId) -> Vec<u8> {
	evidence_for::<T>(operator, KEYS)
}

fn evidence_for<T: Config>(operator: &T::AccountId, keys: BootKeys) -> Vec<u8> {
	let root = sp_io::crypto::sr25519_generate(KEY_TYPE, None);
	SoftwareRoot::<T>::put(root.0);
	let block = H256::repeat_byte(3);
	let report = SoftwareReport {
		measurement: MEASUREMENT,
		platform: H256::repeat_byte(9),
		report_data: BootStatement::new(block, 0, operator.clone().into(), keys, block)
			.report_data(),
		debug: false,
	};
	let content = SoftwareReportContent::new(&report).encode();
	let signature = sp_io::crypto::sr25519_sign(KEY_TYPE, &root, &content).unwrap().0;
	Evidence::Software(SoftwareEvidence { report, signature }).encode()
}

fn registered<T: Config>() -> T::AccountId {
	let operator = operator_with_worker::<T>();
	register_boot_of::<T>(&operator);
	operator
}

fn register_boot_of<T: Config>(operator: &T::AccountId) {
	let origin = RawOrigin::Signed(operator.clone()).into();
	Pallet::<T>::register_boot(origin, 0, KEYS, evidence::<T>(operator), 0).unwrap();
}

/// As many delistings wait for their block as can; the first one's has come.
fn fill_sweeps<T: Config>() {
	let now = Pallet::<T>::now();
	let due = (0..SWEEPS_DUE_MAX).map(|n| if n == 0 { now } else { now + 1_000 + n });
	SweepsDue::<T>::put(BoundedVec::truncate_from(due.collect::<Vec<_>>()));
}

/// So many wait for an answer of the worker.
fn fill_probes<T: Config>(number: u32) {
	let open = (0..number).map(|n| OpenProbe { nonce: [n as u8; 32], asked_at: NOW });
	OpenProbes::<T>::insert(0, BoundedVec::truncate_from(open.collect::<Vec<_>>()));
}

/// The worker on which most relies: as many leases as one step of a sweep moves.
fn serving<T: Config>() -> T::AccountId {
	serving_with::<T>(limits::AGENTS_SWEPT_MAX)
}

fn serving_with<T: Config>(leases: u32) -> T::AccountId {
	let operator = registered::<T>();
	T::BenchmarkHelper::serve(0, &operator, leases);
	operator
}

#[benchmarks]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn register_worker() {
		let operator = operator_with_worker::<T>();
		#[extrinsic_call]
		register_worker(RawOrigin::Signed(operator));
		assert_eq!(NextWorker::<T>::get(), 2);
	}

	#[benchmark]
	fn register_boot(a: Linear<0, { limits::AGENTS_SWEPT_MAX - 1 }>) {
		let operator = serving_with::<T>(a);
		let keys = BootKeys { identity: [3; 32], encryption: [4; 32] };
		let evidence = evidence_for::<T>(&operator, keys);
		#[extrinsic_call]
		register_boot(RawOrigin::Signed(operator), 0, keys, evidence, 0);
		assert_eq!(Boots::<T>::get(0).unwrap().number, 2);
	}

	/// With an earlier boot that was asked for signs of life, in a network that has a master key.
	#[benchmark]
	fn register_boot_of_nobody() {
		let operator = registered::<T>();
		fill_probes::<T>(limits::OPEN_PROBES_MAX);
		LastHeartbeat::<T>::insert(0, NOW);
		LastProbe::<T>::insert(0, NOW);
		ProbePrices::<T>::insert(0, ProbePrices::<T>::get(0).after_one());
		T::BenchmarkHelper::have_master_key();
		let keys = BootKeys { identity: [3; 32], encryption: [4; 32] };
		let evidence = evidence_for::<T>(&operator, keys);
		#[extrinsic_call]
		register_boot(RawOrigin::Signed(operator), 0, keys, evidence, 0);
		assert_eq!(Boots::<T>::get(0).unwrap().number, 2);
		assert!(!T::WorkerHooks::is_in_use(0));
	}

	#[benchmark]
	fn renew_boot() {
		let operator = registered::<T>();
		let evidence = evidence::<T>(&operator);
		#[extrinsic_call]
		renew_boot(RawOrigin::Signed(operator), 0, evidence, 0);
	}

	#[benchmark]
	fn evict() {
		let operator = serving::<T>();
		// Nobody waits for a successor.
		let destroyed = H256::repeat_byte(8);
		Boots::<T>::mutate(0, |boot| boot.as_mut().unwrap().measurement = destroyed);
		Destroyed::<T>::insert(destroyed, ());
		#[extrinsic_call]
		evict(RawOrigin::Signed(operator), 0);
		assert!(!Boots::<T>::contains_key(0));
	}

	#[benchmark]
	fn close_worker() {
		let operator = registered::<T>();
		#[extrinsic_call]
		close_worker(RawOrigin::Signed(operator), 0);
		assert!(!Workers::<T>::contains_key(0));
	}

	#[benchmark]
	fn allow_measurement() {
		#[extrinsic_call]
		allow_measurement(RawOrigin::Root, MEASUREMENT);
		assert!(Measurements::<T>::contains_key(MEASUREMENT));
	}

	#[benchmark]
	fn delist_measurement() {
		let successor = H256::repeat_byte(8);
		for measurement in [MEASUREMENT, successor] {
			Measurements::<T>::insert(measurement, MeasurementRule { until: None });
		}
		fill_sweeps::<T>();
		#[extrinsic_call]
		delist_measurement(RawOrigin::Root, MEASUREMENT, 1000, successor);
		assert_eq!(Measurements::<T>::get(MEASUREMENT).unwrap().until, Some(1000));
	}

	#[benchmark]
	fn destroy_measurement() {
		Measurements::<T>::insert(MEASUREMENT, MeasurementRule { until: None });
		fill_sweeps::<T>();
		#[extrinsic_call]
		destroy_measurement(RawOrigin::Root, MEASUREMENT, 1000);
		assert!(Destroyed::<T>::contains_key(MEASUREMENT));
	}

	#[benchmark]
	fn probe() {
		let operator = registered::<T>();
		fill_probes::<T>(limits::OPEN_PROBES_MAX - 1);
		#[extrinsic_call]
		probe(RawOrigin::Signed(operator), 0, [77; 32]);
		assert_eq!(OpenProbes::<T>::get(0).len() as u32, limits::OPEN_PROBES_MAX);
	}

	#[benchmark]
	fn evict_for() {
		// Not of who signs: its account is read and written too.
		let operator: T::AccountId = account("operator", 0, 0);
		register_worker_of::<T>(&operator);
		register_boot_of::<T>(&operator);
		T::BenchmarkHelper::serve(0, &operator, limits::AGENTS_SWEPT_MAX);
		let reason = EvictionReason::Compromised { slash: Permill::from_percent(50) };
		#[extrinsic_call]
		evict_for(RawOrigin::Root, 0, reason);
		assert!(!Boots::<T>::contains_key(0));
	}

	#[benchmark]
	fn set_banned() {
		serving::<T>();
		let platform = H256::repeat_byte(9);
		PlatformWorker::<T>::insert(platform, 0);
		#[extrinsic_call]
		set_banned(RawOrigin::Root, platform, true);
		assert!(!Boots::<T>::contains_key(0));
	}

	#[benchmark]
	fn offer_worker() {
		let operator = registered::<T>();
		let to = Some(operator.clone());
		#[extrinsic_call]
		offer_worker(RawOrigin::Signed(operator), 0, to);
		assert!(Offers::<T>::contains_key(0));
	}

	#[benchmark]
	fn accept_worker() {
		registered::<T>();
		let to: T::AccountId = account("buyer", 0, 0);
		T::BenchmarkHelper::fund(&to);
		Offers::<T>::insert(0, to.clone());
		#[extrinsic_call]
		accept_worker(RawOrigin::Signed(to.clone()), 0);
		assert_eq!(Workers::<T>::get(0).map(|worker| worker.operator), Some(to));
	}

	/// `b`: boots that stay, in a sweep that begins and ends.
	#[benchmark]
	fn sweep(b: Linear<0, 64>) {
		registered::<T>();
		let boot = Boots::<T>::take(0).unwrap();
		for worker in 0..b {
			// Each looks at a measurement of its own.
			let measurement = phala_protocol::hash_of(&worker);
			Measurements::<T>::insert(measurement, MeasurementRule { until: None });
			Boots::<T>::insert(worker, Boot { measurement, ..boot.clone() });
		}
		fill_sweeps::<T>();
		#[block]
		{
			Pallet::<T>::sweep(&mut WeightMeter::new());
		}
		assert!(!SweepUnderWay::<T>::exists());
		assert_eq!(SweepsDue::<T>::get().len() as u32, SWEEPS_DUE_MAX - 1);
	}

	/// The dearest of what an enclave says to this pallet: leases wait for whoever lives.
	#[benchmark]
	fn heartbeat() {
		serving::<T>();
		LastHeartbeat::<T>::insert(0, 0);
		let now = NOW + T::HeartbeatGap::get();
		frame_system::Pallet::<T>::set_block_number(now.into());
		let origin = EnvelopeOrigin { worker: 0, boot: 1 };
		#[block]
		{
			let payload = RegistryPayload::Heartbeat { nonce: [1; 32] };
			<Pallet<T> as ReceivePayload>::receive(origin, payload).unwrap();
		}
		assert_eq!(LastHeartbeat::<T>::get(0), Some(now));
	}

	impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Runtime);
}
