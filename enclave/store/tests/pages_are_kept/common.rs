//! What the tests share: the real process, pages, and the port of `enclave/state` over the store.

use phala_protocol::{agents::AgentId, H256};
use phala_state::{PageName, Pages};
use phala_store::{Blocking, Launcher, Store, StoreConfig, StoreError, StoreProcess, Timing};
use rand_chacha::{
	rand_core::{Rng, SeedableRng},
	ChaCha20Rng,
};
use rustix::process::{kill_process, Pid, Signal};
use std::{ops::Deref, path::Path, sync::OnceLock, time::Duration};

pub const AGENT: AgentId = H256::repeat_byte(0xa6);
pub const STRANGER: AgentId = H256::repeat_byte(0x57);

/// It is started again at once.
pub const SOON: Timing = Timing {
	answer: Duration::from_secs(60),
	open: Duration::from_secs(60),
	close: Duration::from_secs(60),
	restart_min: Duration::from_millis(2),
	restart_max: Duration::from_millis(20),
	calm: Duration::from_secs(600),
};

pub fn config(folder: &Path) -> StoreConfig {
	let program = env!("CARGO_BIN_EXE_pruntime-store").into();
	StoreConfig { cache_bytes: 4 << 20, ..StoreConfig::new(program, folder.into()) }
}

/// Its process has ended before its folder is removed.
pub struct Opened(Store);

impl Deref for Opened {
	type Target = Store;

	fn deref(&self) -> &Store {
		&self.0
	}
}

impl Drop for Opened {
	fn drop(&mut self) {
		self.0.close();
	}
}

pub fn over(launcher: impl Launcher + 'static, timing: Timing) -> Opened {
	Opened(Store::over(launcher, timing).unwrap())
}

pub fn store(folder: &Path) -> Opened {
	over(StoreProcess(config(folder)), SOON)
}

/// Sends it to the process; none if there is none just now.
pub fn signal(store: &Store, signal: Signal) -> Option<u32> {
	let id = store.status().process?;
	let pid = Pid::from_raw(id as i32).unwrap();
	kill_process(pid, signal).ok().map(|()| id)
}

/// -9.
pub fn kill(store: &Store) -> Option<u32> {
	signal(store, Signal::KILL)
}

/// Looks until it is there; what never comes is not waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
	const LOOKS: usize = 60_000;
	for _ in 0..LOOKS {
		if let Some(found) = look() {
			return found;
		}
		std::thread::sleep(Duration::from_millis(1));
	}
	panic!("{what} does not come");
}

/// Asks until the process is there again.
pub fn again<T>(mut ask: impl FnMut() -> Result<T, StoreError>) -> T {
	until("the process", || match ask() {
		Ok(found) => Some(found),
		Err(StoreError::Died | StoreError::Unavailable(_)) => None,
		Err(error) => panic!("{error}"),
	})
}

/// Asks until there is an answer, whatever the error is.
pub fn at_last<T>(mut ask: impl FnMut() -> Result<T, StoreError>) -> T {
	until("an answer", || ask().ok())
}

pub fn dice(seed: u64) -> ChaCha20Rng {
	ChaCha20Rng::seed_from_u64(seed)
}

pub fn below(rng: &mut impl Rng, bound: usize) -> usize {
	(rng.next_u64() % bound as u64) as usize
}

pub fn name(number: u64) -> H256 {
	let mut bytes = [0; 32];
	dice(number).fill_bytes(&mut bytes);
	H256(bytes)
}

/// As random as a sealed one: from anywhere in random bytes that are made once.
pub fn page(rng: &mut impl Rng, bytes: usize) -> Vec<u8> {
	static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
	let noise = NOISE.get_or_init(|| {
		let mut noise = vec![0; 1 << 20];
		dice(7).fill_bytes(&mut noise);
		noise
	});
	let from = below(rng, noise.len() - bytes);
	noise[from..from + bytes].to_vec()
}

/// The port of `enclave/state`.
pub struct OnDisk(pub Blocking);

fn plain(names: &[PageName]) -> Vec<H256> {
	names.iter().map(|name| name.0).collect()
}

impl Pages for OnDisk {
	type Error = StoreError;

	fn get(&self, agent: &AgentId, names: &[PageName]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
		self.0.get(agent, &plain(names))
	}

	fn has(&self, agent: &AgentId, names: &[PageName]) -> Result<Vec<bool>, StoreError> {
		self.0.has(agent, &plain(names))
	}

	fn put(&mut self, agent: &AgentId, pages: &[(PageName, Vec<u8>)]) -> Result<(), StoreError> {
		let pages: Vec<_> = pages.iter().map(|(name, page)| (name.0, page.clone())).collect();
		self.0.put(agent, &pages)
	}

	fn delete(&mut self, agent: &AgentId, names: &[PageName]) -> Result<(), StoreError> {
		self.0.delete(agent, &plain(names))
	}

	fn names(
		&self,
		agent: &AgentId,
		after: Option<PageName>,
		names_max: usize,
	) -> Result<Vec<PageName>, StoreError> {
		let names = self.0.names(agent, after.map(|name| name.0), names_max)?;
		Ok(names.into_iter().map(PageName).collect())
	}
}
