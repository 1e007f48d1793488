//! What goes wrong, and when: a list, so that a seed that fails can be tried again with less of it.

use crate::{
	limits,
	network::Party,
	operators::GATEKEEPER,
	scheduler::Random,
	simulation::{Happening, Simulation, Sparse},
	villains::{
		BodyForger, Delayer, Dropper, EnvelopeForger, HeaderForger, JustificationForger, OldNode,
		Reorderer, Repeater, StateForger, Villain,
	},
};
use frame_system::LastRuntimeUpgrade;
use pallet_registry::EvictionReason;
use phala_protocol::{boot::WorkerId, BlockNumber};
use phala_runtime::Runtime;
use sp_runtime::Permill;

/// What relayers can be, instead of honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liar {
	HeaderForger,
	JustificationForger,
	StateForger,
	BodyForger,
	EnvelopeForger,
	Dropper,
	Delayer,
	Repeater,
	Reorderer,
	OldNode { behind: BlockNumber },
}

impl Liar {
	/// In person.
	fn villain(self) -> Box<dyn Villain> {
		match self {
			Self::HeaderForger => Box::new(HeaderForger),
			Self::JustificationForger => Box::new(JustificationForger),
			Self::StateForger => Box::new(StateForger),
			Self::BodyForger => Box::new(BodyForger),
			Self::EnvelopeForger => Box::new(EnvelopeForger),
			Self::Dropper => Box::new(Dropper),
			Self::Delayer => Box::new(Delayer),
			Self::Repeater => Box::new(Repeater),
			Self::Reorderer => Box::new(Reorderer),
			Self::OldNode { behind } => Box::new(OldNode { behind }),
		}
	}
}

/// See each. All but those that happen at once last for `ms` milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
	/// A process ends without notice; another starts later. It has its disk.
	Crash { worker: WorkerId },
	/// Of the members only one goes on.
	AllButOneCrash { survivor: WorkerId },
	/// All members end at once.
	AllCrash,
	/// A process ends, and starts again with what its disk had some time ago.
	OlderDisk { worker: WorkerId },
	/// The same with an empty disk.
	LostDisk { worker: WorkerId },
	/// Another process starts for a worker that has one: two of them, of which one may count.
	SecondBoot { worker: WorkerId },
	/// As `SIGSTOP` and `SIGCONT` do it to the network and the relayer of a worker.
	Hang { worker: WorkerId, ms: u64 },
	/// Two members do not reach each other; the chain reaches both.
	Partition { one: WorkerId, other: WorkerId, ms: u64 },
	/// A host keeps the chain from its enclave.
	NoRelayer { worker: WorkerId, ms: u64 },
	/// So many in a thousand packets are lost.
	Loss { permille: u64, ms: u64 },
	/// So many in a thousand packets come twice.
	Doubling { permille: u64, ms: u64 },
	/// Packets are on their way for up to so long, and overtake each other.
	Delay { up_to_ms: u64, ms: u64 },
	/// A relayer is something else.
	LyingRelayer { worker: WorkerId, is: Liar, ms: u64 },
	/// A member keeps bodies and does not say so.
	WithheldAcknowledgements { worker: WorkerId, ms: u64 },
	/// Nothing becomes final.
	StalledFinality { ms: u64 },
	/// Nobody makes a block.
	EmptySlots { ms: u64 },
	/// Of so many slots the first `made` have a block.
	SparseBlocks { made: u64, slots: u64, ms: u64 },
	/// Validators abandon up to so many blocks that are not final.
	Reorganisation { blocks: usize },
	/// Governance throws a worker's boot out, and takes of its stake.
	Eviction { worker: WorkerId },
	/// What all run has a hole: its measurement leaves the list after `notice_ms`, and operators start what
	/// comes after it, each when it likes, some too late.
	Delisting { notice_ms: u64 },
	/// The chain's first block under another runtime: migrations and all that pallets do then.
	RuntimeUpgrade,
	/// Callers pay for what nobody can open: sealed to a key that they threw away.
	WithdrawnInputs { ms: u64 },
	/// A stranger fills blocks.
	FullBlocks { ms: u64 },
	/// A platform's counter goes slower than time does.
	SlowClock { worker: WorkerId, permille: u64, ms: u64 },
}

/// A fault and when it happens, in milliseconds after the agent's birth was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
	pub after_ms: u64,
	pub fault: Fault,
}

impl std::fmt::Display for Planned {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		write!(f, "{:>6} ms after birth: {:?}", self.after_ms, self.fault)
	}
}

/// How many kinds of faults [`draw`] knows; the last is drawn as often as four others, being ten.
const KINDS: u64 = 23;

/// The faults of a seed: none to seven, in the order of time.
pub fn of_seed(seed: u64) -> Vec<Planned> {
	let mut random = Random::of(seed, "faults");
	let count = random.below(u64::from(limits::FAULTS_MAX) + 1);
	let mut planned: Vec<Planned> = (0..count)
		.map(|_| Planned {
			after_ms: random.below(limits::FAULTS_WITHIN_MS),
			fault: draw(&mut random),
		})
		.collect();
	planned.sort_by_key(|planned| planned.after_ms);
	planned
}

fn draw(random: &mut Random) -> Fault {
	let members = (u64::from(GATEKEEPER) + 1, u64::from(limits::WORKERS) - 1);
	let member = |random: &mut Random| random.within(members) as WorkerId;
	let ms = random.within(limits::FAULT_MS);
	match random.below(KINDS + 3) {
		0 => Fault::Crash { worker: random.below(limits::WORKERS.into()) as WorkerId },
		1 => Fault::AllButOneCrash { survivor: member(random) },
		2 => Fault::SecondBoot { worker: random.below(limits::WORKERS.into()) as WorkerId },
		3 => Fault::Hang { worker: member(random), ms },
		4 => {
			let one = member(random);
			let other = if one == limits::WORKERS - 1 { 1 } else { one + 1 };
			Fault::Partition { one, other, ms }
		}
		5 => Fault::NoRelayer { worker: member(random), ms },
		6 => Fault::Loss { permille: random.within((50, 500)), ms },
		7 => Fault::Doubling { permille: random.within((100, 900)), ms },
		8 => Fault::Delay { up_to_ms: random.within((200, 6_000)), ms },
		9 => Fault::WithheldAcknowledgements { worker: member(random), ms },
		10 => Fault::StalledFinality { ms },
		11 => Fault::EmptySlots { ms: random.within(limits::EMPTY_MS) },
		12 => Fault::Eviction { worker: member(random) },
		13 => Fault::WithdrawnInputs { ms },
		14 => Fault::FullBlocks { ms: ms / 2 },
		15 => {
			let (worker, permille) = (member(random), random.within((100, 900)));
			Fault::SlowClock { worker, permille, ms }
		}
		16 => Fault::Reorganisation { blocks: random.within((1, 6)) as usize },
		17 => Fault::Delisting { notice_ms: random.below(limits::NOTICE_MS_MAX) },
		18 => Fault::RuntimeUpgrade,
		19 => Fault::AllCrash,
		20 => Fault::OlderDisk { worker: member(random) },
		21 => Fault::LostDisk { worker: member(random) },
		_ => {
			let is = match random.below(10) {
				0 => Liar::HeaderForger,
				1 => Liar::JustificationForger,
				2 => Liar::StateForger,
				3 => Liar::BodyForger,
				4 => Liar::EnvelopeForger,
				5 => Liar::Dropper,
				6 => Liar::Delayer,
				7 => Liar::Repeater,
				8 => Liar::Reorderer,
				_ => Liar::OldNode { behind: random.within((1, 15)) as BlockNumber },
			};
			let worker = random.below(limits::WORKERS.into()) as WorkerId;
			Fault::LyingRelayer { worker, is, ms }
		}
	}
}

/// The shortest part of `faults` that still fails: one after the other is left out, as long as that
/// changes nothing.
pub fn shorten(faults: &[Planned], mut fails: impl FnMut(&[Planned]) -> bool) -> Vec<Planned> {
	let mut shortest = faults.to_vec();
	loop {
		let shorter = (0..shortest.len()).find_map(|left_out| {
			let mut fewer = shortest.clone();
			fewer.remove(left_out);
			fails(&fewer).then_some(fewer)
		});
		match shorter {
			Some(fewer) => shortest = fewer,
			None => return shortest,
		}
	}
}

impl Simulation {
	pub(crate) fn fault(&mut self, number: usize) {
		let Some(fault) = self.planned(number) else { return };
		let now_ms = self.now_ms();
		self.trace.note(now_ms, "fault", &format!("{fault:?}"));
		match fault {
			Fault::Crash { worker } => self.crash(worker),
			Fault::AllButOneCrash { survivor } => {
				for worker in (GATEKEEPER + 1..limits::WORKERS).filter(|one| *one != survivor) {
					self.crash(worker);
				}
			}
			Fault::AllCrash => {
				for worker in GATEKEEPER + 1..limits::WORKERS {
					self.crash(worker);
				}
			}
			Fault::OlderDisk { worker } => {
				self.crash(worker);
				self.replace_disk(worker, true);
			}
			Fault::LostDisk { worker } => {
				self.crash(worker);
				self.replace_disk(worker, false);
			}
			Fault::SecondBoot { worker } => self.start_soon(worker),
			Fault::Hang { worker, ms } => {
				self.cut_off.insert(worker, now_ms + ms);
				for other in 0..limits::WORKERS {
					self.cut(Party::Worker(worker), Party::Worker(other), ms);
				}
				self.cut(Party::Worker(worker), Party::Users, ms);
			}
			Fault::Partition { one, other, ms } => {
				self.cut(Party::Worker(one), Party::Worker(other), ms);
			}
			Fault::NoRelayer { worker, ms } => {
				self.cut_off.insert(worker, now_ms + ms);
			}
			Fault::Loss { permille, ms } => self.weather.loss = (permille, now_ms + ms),
			Fault::Doubling { permille, ms } => self.weather.doubling = (permille, now_ms + ms),
			Fault::Delay { up_to_ms, ms } => self.weather.delay = (up_to_ms, now_ms + ms),
			Fault::LyingRelayer { worker, is, ms } => {
				let id = self.listening.get(&worker).copied();
				if let Some(host) = id.and_then(|id| self.hosts.get_mut(&id)) {
					host.relayer.villain = Some((is.villain(), now_ms + ms));
				}
			}
			Fault::WithheldAcknowledgements { worker, ms } => {
				self.weather.withheld.insert(worker, now_ms + ms);
			}
			Fault::StalledFinality { ms } => {
				self.finality_stalls_until = self.finality_stalls_until.max(now_ms + ms);
			}
			Fault::Reorganisation { blocks } => {
				let number = self.chain.abandon(blocks);
				self.oracles.forget_after(number);
			}
			Fault::EmptySlots { ms } => self.no_block_until = now_ms + ms,
			Fault::SparseBlocks { made, slots, ms } => {
				self.sparse = Some(Sparse { made, slots, until_ms: now_ms + ms });
			}
			Fault::Delisting { notice_ms } => {
				self.operators.release(now_ms + notice_ms);
				for worker in 0..limits::WORKERS {
					let within = (limits::START_MS.0, notice_ms + limits::UPDATED_LATE_MS);
					let ms = self.random.shells.within(within);
					self.start_after(worker, ms);
				}
			}
			Fault::RuntimeUpgrade => {
				// The node's first block under a new runtime knows it by this alone.
				let keys = vec![LastRuntimeUpgrade::<Runtime>::hashed_key().to_vec()];
				self.command(frame_system::Call::kill_storage { keys });
			}
			Fault::Eviction { worker } => {
				let reason = EvictionReason::Fault { slash: Permill::from_percent(1) };
				self.command(pallet_registry::Call::evict_for { worker, reason });
			}
			Fault::WithdrawnInputs { ms } => self.users.withdraw_until = now_ms + ms,
			Fault::FullBlocks { ms } => self.stress_until = now_ms + ms,
			Fault::SlowClock { worker, permille, ms } => {
				let id = self.listening.get(&worker).copied();
				if let Some(host) = id.and_then(|id| self.hosts.get_mut(&id)) {
					host.set_pace(now_ms, permille);
					self.scheduler.after(ms, Happening::ClockMended(host.id));
				}
			}
		}
	}

	fn cut(&mut self, one: Party, other: Party, ms: u64) {
		let until_ms = self.now_ms() + ms;
		self.weather.cut(one, other, until_ms);
	}

	fn start_soon(&mut self, worker: WorkerId) {
		let ms = self.random.shells.within(limits::START_MS);
		self.start_after(worker, ms);
	}

	fn crash(&mut self, worker: WorkerId) {
		let lives: Vec<_> = self.hosts.keys().filter(|id| id.worker == worker).copied().collect();
		for id in lives {
			self.kill(id);
		}
		self.start_soon(worker);
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_list_is_shortened_to_what_it_takes_to_fail() {
		let planned = |worker| Planned { after_ms: 1, fault: Fault::Crash { worker } };
		let all: Vec<_> = (0..7).map(planned).collect();
		let (one, other) = (planned(2), planned(5));
		let mut tries = 0;
		let shortest = shorten(&all, |some| {
			tries += 1;
			some.contains(&one) && some.contains(&other)
		});
		assert_eq!(shortest, [one, other]);
		assert!(tries < 40, "{tries}");
		assert!(shorten(&all, |_| true).is_empty(), "it fails by itself");
	}

	#[test]
	fn a_seed_has_its_faults_and_among_many_seeds_all_kinds_are() {
		assert_eq!(of_seed(7), of_seed(7));
		let kinds: std::collections::BTreeSet<String> = (0..400)
			.flat_map(of_seed)
			.map(|planned| match planned.fault {
				Fault::LyingRelayer { is, .. } => format!("{is:?}"),
				fault => format!("{fault:?}"),
			})
			.map(|name| name.split(' ').next().unwrap_or_default().to_owned())
			.collect();
		assert_eq!(kinds.len() as u64, KINDS - 1 + 10, "{kinds:?}");
	}
}
