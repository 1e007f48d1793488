//! An executor for tests: a boot that no relayer has reached yet.

use super::{
	peers::HttpPeers,
	sandbox::{WasmConfig, WasmSandbox},
	Executor, Lane, Ports,
};
use crate::{
	platform::SoftwarePlatform,
	store::{MemoryPages, MemoryStore},
};
use phala_machine::{Config, Instant, Machine};
use phala_protocol::H256;
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use std::{
	sync::{
		atomic::{AtomicUsize, Ordering},
		mpsc, Arc,
	},
	time::Duration,
};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn machine() -> Machine {
	let config = Config { genesis: H256::zero(), worker: 1 };
	Machine::boot(config, Instant::from_ms(0), &mut ChaCha20Rng::from_seed([7; 32]))
}

pub fn executor() -> Executor {
	let ports = Ports {
		platform: Box::new(SoftwarePlatform::pretending(H256::zero(), "test")),
		sandbox: Arc::new(WasmSandbox::new(WasmConfig::default()).unwrap()),
		peers: Box::new(HttpPeers::new().unwrap()),
		store: Box::new(MemoryStore::default()),
		pages: Box::new(MemoryPages::default()),
	};
	Executor::start(machine(), ports, None)
}

/// Asks for long work and hangs up when it has begun, again and again.
struct HangsUp {
	executor: Executor,
	working: Arc<AtomicUsize>,
	/// Work ends when the other end is dropped.
	end: Arc<std::sync::Mutex<mpsc::Receiver<()>>>,
}

impl HangsUp {
	/// Whether its work began before it lost patience.
	async fn asks(&self, patience: Duration) -> bool {
		let (begun, begins) = tokio::sync::oneshot::channel();
		let (working, end) = (self.working.clone(), self.end.clone());
		let asking = self.executor.compute(Lane::Callers, move |_| {
			working.fetch_add(1, Ordering::SeqCst);
			let _ = begun.send(());
			let _ = end.lock().map(|end| end.recv());
		});
		tokio::select! {
			_ = asking => unreachable!("its work does not end"),
			begins = tokio::time::timeout(patience, begins) => begins.is_ok(),
		}
	}
}

#[tokio::test]
async fn who_hangs_up_frees_no_place_and_the_machine_waits_for_no_caller() {
	let processors = std::thread::available_parallelism().map_or(1, usize::from);
	let (hold, end) = mpsc::channel::<()>();
	let villain = HangsUp {
		executor: executor(),
		working: Arc::default(),
		end: Arc::new(std::sync::Mutex::new(end)),
	};
	for _ in 0..processors {
		assert!(villain.asks(PATIENCE).await);
	}
	// A place that was given back would have been taken in this time.
	assert!(!villain.asks(Duration::from_millis(300)).await);
	assert_eq!(villain.working.load(Ordering::SeqCst), processors);

	for lane in [Lane::Machine, Lane::Members] {
		let work = villain.executor.compute(lane, |_| 7);
		assert_eq!(tokio::time::timeout(PATIENCE, work).await.unwrap().unwrap(), 7, "{lane:?}");
	}
	drop(hold);
	let work = villain.executor.compute(Lane::Callers, |_| 7);
	assert_eq!(tokio::time::timeout(PATIENCE, work).await.unwrap().unwrap(), 7);
}
