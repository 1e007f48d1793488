//! One process of a worker: a real machine, and what its shell remembers.

use crate::{relayer::Relayer, scheduler::Random};
use phala_machine::{Action, CallId, Config, Event, Instant, Machine, Snapshot};
use phala_protocol::{boot::WorkerId, evidence::Measurement, H256};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use std::{
	collections::{BTreeMap, BTreeSet},
	panic::{catch_unwind, AssertUnwindSafe},
	sync::Arc,
};

/// A process: which worker's, and how many that worker had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, codec::Encode)]
pub struct HostId {
	pub worker: WorkerId,
	pub life: u32,
}

/// Who waits for an answer of the machine.
#[derive(Clone, Copy, Debug)]
pub enum Waiting {
	/// The relayer, that just brought something.
	Relayer,
	/// The relayer, for what to register with.
	Registration,
	/// Another member, for its word that a body is kept.
	Member { from: WorkerId, ask: u64 },
	/// A user.
	Caller { call: usize },
}

/// See the module's text.
pub struct Host {
	pub id: HostId,
	pub machine: Machine,
	/// What its process says it runs.
	pub measurement: Measurement,
	/// What it published last.
	pub snapshot: Arc<Snapshot>,
	/// Components and manifests that it has.
	pub code: BTreeSet<H256>,
	pub relayer: Relayer,
	/// For when a tick is planned.
	pub tick_at: Option<u64>,
	/// What the platform's counter showed at a time, both in milliseconds, and how fast it goes since, in
	/// thousandths of time.
	counter: (u64, u64, u64),
	random: Random,
	calls: u64,
	waiting: BTreeMap<CallId, Waiting>,
	/// How often the machine failed.
	pub failures: u32,
}

impl Host {
	/// A new process at `now_ms`.
	pub fn start(
		seed: u64,
		id: HostId,
		measurement: Measurement,
		genesis: H256,
		now_ms: u64,
	) -> Self {
		let mut random = Random::of(seed, &format!("host {} {}", id.worker, id.life));
		let counter_ms = random.below(1 << 40);
		let config = Config { genesis, worker: id.worker };
		let mut rng = ChaCha20Rng::from_seed(random.seed());
		let machine = Machine::boot(config, Instant::from_ms(counter_ms), &mut rng);
		Self {
			id,
			measurement,
			snapshot: Arc::new(machine.snapshot()),
			machine,
			code: BTreeSet::new(),
			relayer: Relayer::default(),
			tick_at: None,
			counter: (now_ms, counter_ms, 1_000),
			random,
			calls: 0,
			waiting: BTreeMap::new(),
			failures: 0,
		}
	}

	/// What its platform's counter shows.
	pub fn counter(&self, now_ms: u64) -> Instant {
		let (at_ms, counter_ms, permille) = self.counter;
		Instant::from_ms(counter_ms + now_ms.saturating_sub(at_ms) * permille / 1_000)
	}

	/// How much virtual time it is until its counter shows `at`.
	pub fn until(&self, now_ms: u64, at: Instant) -> u64 {
		(at.ms_since(self.counter(now_ms)) * 1_000).div_ceil(self.counter.2)
	}

	/// The counter goes so fast from now on, in thousandths of time.
	pub fn set_pace(&mut self, now_ms: u64, permille: u64) {
		self.counter = (now_ms, self.counter(now_ms).as_ms(), permille);
	}

	/// 32 bytes of its platform.
	pub fn entropy(&mut self) -> [u8; 32] {
		self.random.seed()
	}

	/// Gives the machine its turn, as the shell's thread does it.
	pub fn turn(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
		let (now, seed) = (self.counter(now_ms), self.entropy());
		let mut rng = ChaCha20Rng::from_seed(seed);
		let machine = &mut self.machine;
		let handled = catch_unwind(AssertUnwindSafe(|| machine.handle(event, now, &mut rng)));
		handled.unwrap_or_else(|_| {
			self.failures += 1;
			self.waiting.clear();
			self.machine.recover()
		})
	}

	/// Whoever asks the machine something waits under this number.
	pub fn wait(&mut self, waiting: Waiting) -> CallId {
		let id = CallId(self.calls);
		self.calls += 1;
		self.waiting.insert(id, waiting);
		id
	}

	/// Who waited under it.
	pub fn take_waiting(&mut self, id: CallId) -> Option<Waiting> {
		self.waiting.remove(&id)
	}
}
