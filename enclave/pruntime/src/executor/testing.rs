//! An executor for tests: a boot that no relayer has reached yet.

use super::{
	peers::HttpPeers,
	sandbox::{WasmConfig, WasmSandbox},
	Executor, Lane, Ports,
};
use crate::{
	limits,
	platform::SoftwarePlatform,
	store::{MemoryPages, MemoryStore, PageStore},
};
use async_trait::async_trait;
use phala_machine::{Config, Event, Instant, Machine};
use phala_protocol::{agents::AgentId, H256};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use std::{
	sync::{
		atomic::{AtomicU64, AtomicUsize, Ordering},
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
	Executor::start(machine(), ports(Box::new(MemoryPages::default())), None)
}

fn ports(pages: Box<dyn PageStore>) -> Ports {
	Ports {
		platform: Box::new(SoftwarePlatform::pretending(H256::zero(), "test")),
		sandbox: Arc::new(WasmSandbox::new(WasmConfig::default()).unwrap()),
		peers: Box::new(HttpPeers::new().unwrap()),
		store: Box::new(MemoryStore::default()),
		pages,
	}
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

/// A disk that somebody takes away, again and again: each time it begins empty.
#[derive(Default)]
struct Stolen(Arc<AtomicU64>);

#[async_trait]
impl PageStore for Stolen {
	async fn get(&self, _: AgentId, names: &[H256]) -> anyhow::Result<Vec<Option<Vec<u8>>>> {
		Ok(vec![None; names.len()])
	}

	async fn put(&self, _: AgentId, _: &[(H256, Vec<u8>)]) -> anyhow::Result<()> {
		Ok(())
	}

	async fn delete(&self, _: AgentId, _: &[H256]) -> anyhow::Result<()> {
		Ok(())
	}

	async fn names(&self, _: AgentId, _: Option<H256>, _: usize) -> anyhow::Result<Vec<H256>> {
		Ok(Vec::new())
	}

	fn emptied(&self) -> u64 {
		self.0.load(Ordering::SeqCst)
	}

	fn close(&self) {}
}

#[tokio::test(start_paused = true)]
async fn of_a_disk_that_began_empty_the_machine_hears_before_what_it_did_and_if_it_does_nothing() {
	let emptied = Arc::new(AtomicU64::new(0));
	let pages = Box::new(Stolen(emptied.clone()));
	let (executor, inbox) = Executor::open(&machine(), ports(pages));
	let heard = || inbox.try_iter().collect::<Vec<_>>();
	let agent = H256::zero();

	executor.read_pages(1, agent, vec![agent]).await;
	assert!(matches!(heard()[..], [Event::PagesCame { .. }]), "nothing was lost");
	emptied.fetch_add(1, Ordering::SeqCst);
	executor.read_pages(2, agent, vec![agent]).await;
	assert!(matches!(heard()[..], [Event::StoreEmptied, Event::PagesCame { .. }]));
	emptied.fetch_add(1, Ordering::SeqCst);
	executor.list_pages(3, agent, None).await;
	assert!(matches!(heard()[..], [Event::StoreEmptied, Event::PagesListed { .. }]));
	emptied.fetch_add(1, Ordering::SeqCst);
	executor.store_pages(4, agent, vec![], vec![]).await;
	assert!(matches!(heard()[..], [Event::StoreEmptied, Event::PagesStored { .. }]));

	emptied.fetch_add(1, Ordering::SeqCst);
	for expected in [1, 0] {
		tokio::time::sleep(Duration::from_millis(limits::DISK_LOOK_MS + 1)).await;
		let heard = heard();
		assert_eq!(heard.len(), expected, "it is told once");
		assert!(heard.iter().all(|event| matches!(event, Event::StoreEmptied)));
	}
}
