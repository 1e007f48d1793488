//! The world of one seed: what there is, what happens next, what came of it.

use crate::{
	account::Account,
	chain::Chain,
	disk::Disk,
	faults::{Fault, Planned},
	host::{Host, HostId},
	limits,
	network::{Packet, Party, Weather},
	operators::Operators,
	oracles::Oracles,
	scheduler::{Random, Scheduler, Trace},
	shell::{Ask, Store},
	users::Users,
};
use phala_machine::Event;
use phala_protocol::{boot::WorkerId, BlockNumber, H256};
use std::{
	collections::{BTreeMap, BTreeSet},
	time::Instant,
};

/// What happens at some time.
pub enum Happening {
	/// A validator makes a block.
	Slot,
	/// A process of a worker starts.
	Start { worker: WorkerId },
	/// A relayer's turn.
	Relay(HostId),
	/// Something that a machine wanted done is done.
	Told { id: HostId, event: Box<Event> },
	/// A disk has made something durable.
	Stored { id: HostId, store: Box<Store> },
	/// A machine's deadline, as it was planned.
	Tick(HostId),
	/// Bytes arrive.
	Arrives { from: Party, to: Party, packet: Packet },
	/// A member gives up on another.
	GivesUp { ask: u64 },
	/// A user acts.
	User,
	/// A user gives up on a direct call.
	CallerGivesUp { call: usize },
	/// A fault of the list.
	Fault(usize),
	/// A platform's counter goes as it should again.
	ClockMended(HostId),
}

/// Few slots have a block for some time.
#[derive(Clone, Copy, Debug)]
pub struct Sparse {
	pub made: u64,
	pub slots: u64,
	pub until_ms: u64,
}

impl Sparse {
	fn leaves_out(&self, now_ms: u64) -> bool {
		now_ms < self.until_ms && (now_ms / limits::BLOCK_MS) % self.slots >= self.made
	}
}

/// A stream of randomness for each part.
pub struct Streams {
	pub network: Random,
	pub shells: Random,
	pub disks: Random,
	pub relayers: Random,
	pub villains: Random,
	pub users: Random,
}

/// How long a simulation takes, in virtual time.
#[derive(Clone, Copy, Debug)]
pub struct Length {
	/// Users ask for something up to this block.
	pub busy_blocks: BlockNumber,
	/// Then everything comes to rest in so many.
	pub rest_blocks: BlockNumber,
}

/// What a run did, for those who want to know that it did anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
	pub blocks: u64,
	pub requests: u64,
	pub settled: u64,
	pub failed: u64,
	pub refunded: u64,
	pub expired: u64,
	pub commits: u64,
	pub writes_answered: u64,
	pub reads_answered: u64,
	pub calls_refused: u64,
	pub lies_refused: u64,
	pub boots: u64,
	pub lease_moves: u64,
	/// Releases that were withdrawn, and first blocks of a runtime.
	pub delistings: u64,
	pub upgrades: u64,
	pub rebuilt: u64,
	/// The keys of the cluster were with no member when the one gatekeeper started anew, or a second disk was
	/// replaced.
	pub lost: u64,
}

impl Counts {
	/// Of two runs together.
	pub fn add(&mut self, other: &Self) {
		let Self {
			blocks,
			requests,
			settled,
			failed,
			refunded,
			expired,
			commits,
			writes_answered,
			reads_answered,
			calls_refused,
			lies_refused,
			boots,
			lease_moves,
			delistings,
			upgrades,
			rebuilt,
			lost,
		} = other;
		self.blocks += blocks;
		self.requests += requests;
		self.settled += settled;
		self.failed += failed;
		self.refunded += refunded;
		self.expired += expired;
		self.commits += commits;
		self.writes_answered += writes_answered;
		self.reads_answered += reads_answered;
		self.calls_refused += calls_refused;
		self.lies_refused += lies_refused;
		self.boots += boots;
		self.lease_moves += lease_moves;
		self.delistings += delistings;
		self.upgrades += upgrades;
		self.rebuilt += rebuilt;
		self.lost += lost;
	}
}

impl Outcome {
	/// Of a run that did not end.
	pub fn of_nothing(seed: u64) -> Self {
		let (trace, counts) = (H256::zero(), Counts::default());
		Self { seed, trace, events: 0, counts, violation: None }
	}
}

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
	pub seed: u64,
	/// Over everything that happened.
	pub trace: H256,
	pub events: u64,
	pub counts: Counts,
	/// What does not hold, first of all.
	pub violation: Option<String>,
}

/// See the module's text.
pub struct Simulation {
	pub(crate) seed: u64,
	length: Length,
	pub(crate) chain: Chain,
	pub(crate) scheduler: Scheduler<Happening>,
	pub(crate) trace: Trace,
	pub(crate) random: Streams,
	pub(crate) hosts: BTreeMap<HostId, Host>,
	pub(crate) disks: BTreeMap<WorkerId, Disk>,
	/// Which process has its worker's address.
	pub(crate) listening: BTreeMap<WorkerId, HostId>,
	/// How many processes each worker had.
	pub(crate) lives: BTreeMap<WorkerId, u32>,
	pub(crate) weather: Weather,
	pub(crate) asks: BTreeMap<u64, Ask>,
	pub(crate) next_ask: u64,
	pub(crate) operators: Operators,
	pub(crate) users: Users,
	pub(crate) oracles: Oracles,
	pub(crate) faults: Vec<Planned>,
	/// Until when nothing becomes final.
	pub(crate) finality_stalls_until: u64,
	/// Until when nobody makes a block.
	pub(crate) no_block_until: u64,
	pub(crate) sparse: Option<Sparse>,
	/// Workers whose hosts keep the chain from them, until then.
	pub(crate) cut_off: BTreeMap<WorkerId, u64>,
	/// Until when blocks are full.
	pub(crate) stress_until: u64,
	pub(crate) counts: Counts,
	/// For those who measure time by the system's clock: only differences matter.
	pub(crate) origin: Instant,
	violations: Vec<String>,
	pub(crate) started: BTreeSet<WorkerId>,
}

impl Simulation {
	/// The world of a seed, in which these faults happen.
	pub fn new(seed: u64, length: Length, faults: Vec<Planned>) -> Self {
		let chain = Chain::new(limits::WORKERS);
		let mut simulation = Self {
			seed,
			length,
			chain,
			scheduler: Scheduler::default(),
			trace: Trace::default(),
			random: Streams {
				network: Random::of(seed, "network"),
				shells: Random::of(seed, "shells"),
				disks: Random::of(seed, "disks"),
				relayers: Random::of(seed, "relayers"),
				villains: Random::of(seed, "villains"),
				users: Random::of(seed, "users"),
			},
			hosts: BTreeMap::new(),
			disks: BTreeMap::new(),
			listening: BTreeMap::new(),
			lives: BTreeMap::new(),
			weather: Weather::default(),
			asks: BTreeMap::new(),
			next_ask: 0,
			operators: Operators::default(),
			users: Users::new(),
			oracles: Oracles::new(),
			faults,
			finality_stalls_until: 0,
			no_block_until: 0,
			sparse: None,
			cut_off: BTreeMap::new(),
			stress_until: 0,
			counts: Counts::default(),
			origin: Instant::now(),
			violations: Vec::new(),
			started: BTreeSet::new(),
		};
		let reorganises = |planned: &Planned| matches!(planned.fault, Fault::Reorganisation { .. });
		if simulation.faults.iter().any(reorganises) {
			simulation.chain.keep_forks();
			simulation.oracles.keep_forks();
		}
		simulation.scheduler.at(limits::BLOCK_MS, Happening::Slot);
		simulation
	}

	/// Milliseconds of virtual time since the beginning.
	pub fn now_ms(&self) -> u64 {
		self.scheduler.now_ms()
	}

	/// Something does not hold.
	pub(crate) fn violated(&mut self, what: String) {
		let (now_ms, block) = (self.now_ms(), self.chain.height());
		self.violations.push(format!("at {now_ms} ms, block {block}: {what}"));
	}

	pub(crate) fn is_busy(&self) -> bool {
		self.chain.height() < self.length.busy_blocks
	}

	pub(crate) fn operator_of(&self, worker: WorkerId) -> Account {
		self.operators.of(worker)
	}

	pub(crate) fn is_cut_off(&self, worker: WorkerId) -> bool {
		self.cut_off.get(&worker).is_some_and(|until| self.now_ms() < *until)
	}

	/// What does not hold so far.
	#[cfg(test)]
	pub(crate) fn violations(&self) -> &[String] {
		&self.violations
	}

	/// Lets everything happen up to this block.
	#[cfg(test)]
	pub(crate) fn run_until(&mut self, block: BlockNumber) {
		while self.violations.is_empty() && self.chain.height() < block {
			let Some(happening) = self.scheduler.next(u64::MAX) else { break };
			self.happens(happening);
		}
	}

	/// Lets everything happen; the first thing that does not hold ends it.
	pub fn run(mut self) -> Outcome {
		let last = self.length.busy_blocks + self.length.rest_blocks;
		while self.violations.is_empty() && self.chain.height() < last {
			let Some(happening) = self.scheduler.next(u64::MAX) else { break };
			self.happens(happening);
		}
		if self.violations.is_empty() {
			self.check_at_the_end();
		}
		self.counts.rebuilt +=
			self.hosts.values().map(|host| u64::from(host.failures)).sum::<u64>();
		Outcome {
			seed: self.seed,
			trace: self.trace.hash(),
			events: self.trace.events(),
			counts: self.counts,
			violation: self.violations.into_iter().next(),
		}
	}

	fn happens(&mut self, happening: Happening) {
		match happening {
			Happening::Slot => self.slot(),
			Happening::Start { worker } => self.start(worker),
			Happening::Relay(id) => self.relay(id),
			Happening::Told { id, event } => self.tell(id, *event),
			Happening::Stored { id, store } => self.stored(id, *store),
			Happening::Tick(id) => self.tick(id),
			Happening::Arrives { from, to, packet } => self.arrives(from, to, packet),
			Happening::GivesUp { ask } => self.gives_up(ask),
			Happening::User => self.user_acts(),
			Happening::CallerGivesUp { call } => self.caller_gives_up(call),
			Happening::Fault(number) => self.fault(number),
			Happening::ClockMended(id) => {
				let now_ms = self.now_ms();
				if let Some(host) = self.hosts.get_mut(&id) {
					host.set_pace(now_ms, 1_000);
				}
				self.plan_tick(id);
			}
		}
	}

	fn slot(&mut self) {
		let now_ms = self.now_ms();
		self.scheduler.after(limits::BLOCK_MS, Happening::Slot);
		let is_left_out = self.sparse.is_some_and(|sparse| sparse.leaves_out(now_ms));
		if now_ms < self.no_block_until || is_left_out {
			return;
		}
		if now_ms < self.stress_until {
			self.fill_block();
		}
		let made = self.chain.make_block(now_ms);
		self.counts.blocks += 1;
		self.trace.note(now_ms, "block", &made.hash);
		for extrinsic in &made.extrinsics {
			self.leaves("extrinsic", extrinsic);
		}
		self.observe_block(&made);
		if made.number.is_multiple_of(limits::DISK_COPY_BLOCKS) {
			self.copy_disks();
		}
		if now_ms >= self.finality_stalls_until {
			self.chain.finalize(made.number.saturating_sub(limits::FINALITY_LAG_BLOCKS));
		}
		self.operate();
		if made.number == 1 {
			let pause = self.random.users.within((500, 2_500));
			self.scheduler.after(pause, Happening::User);
		}
	}

	/// A new process of a worker, with a relayer beside it; it takes the worker's address.
	fn start(&mut self, worker: WorkerId) {
		self.started.remove(&worker);
		let life = self.lives.entry(worker).or_default();
		let id = HostId { worker, life: *life };
		*life += 1;
		let measurement = self.operators.measurement();
		let host = Host::start(self.seed, id, measurement, self.chain.genesis(), self.now_ms());
		self.trace.note(self.now_ms(), "start", &(id, host.snapshot.keys.identity));
		self.hosts.insert(id, host);
		self.listening.insert(worker, id);
		self.counts.boots += 1;
		let pause = self.random.relayers.within(limits::RELAY_MS);
		self.scheduler.after(pause, Happening::Relay(id));
	}

	/// A process is no more; of it its disk is left.
	pub(crate) fn kill(&mut self, id: HostId) {
		if let Some(host) = self.hosts.remove(&id) {
			self.counts.rebuilt += u64::from(host.failures);
			self.trace.note(self.now_ms(), "killed", &id);
			self.observe_death();
		}
		if self.listening.get(&id.worker) == Some(&id) {
			self.listening.remove(&id.worker);
		}
	}

	/// Starts a process of a worker after so many milliseconds, unless one is about to start.
	pub(crate) fn start_after(&mut self, worker: WorkerId, ms: u64) {
		if self.started.insert(worker) {
			self.scheduler.after(ms, Happening::Start { worker });
		}
	}

	/// The faults of a seed, as many as there are.
	pub(crate) fn schedule_faults(&mut self) {
		for number in 0..self.faults.len() {
			let at = self.now_ms() + self.faults[number].after_ms;
			self.scheduler.at(at, Happening::Fault(number));
		}
	}

	pub(crate) fn planned(&self, number: usize) -> Option<Fault> {
		self.faults.get(number).map(|planned| planned.fault.clone())
	}
}
