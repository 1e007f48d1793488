//! What goes wrong, and when: a list, so that a seed that fails can be tried again with less of it.

use crate::{
	limits, network::Party, scheduler::Random, simulation::Simulation, villains::Villain,
};
use phala_protocol::boot::WorkerId;

/// See each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
	/// A process ends without notice; another starts later. All that it had was in memory.
	Crash { worker: WorkerId },
}

/// A fault and when it happens, in milliseconds after the agent's birth was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
	pub after_ms: u64,
	pub fault: Fault,
}

impl std::fmt::Display for Planned {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		write!(f, "{:>7} ms  {:?}", self.after_ms, self.fault)
	}
}

/// The faults of a seed.
pub fn of_seed(_: u64) -> Vec<Planned> {
	Vec::new()
}

impl Simulation {
	pub(crate) fn fault(&mut self, number: usize) {
		let Some(fault) = self.planned(number) else { return };
		self.trace.note(self.now_ms(), "fault", &format!("{fault:?}"));
		match fault {
			Fault::Crash { worker } => {
				if let Some(id) = self.listening.get(&worker).copied() {
					self.kill(id);
				}
				let ms = self.random.shells.within(limits::START_MS);
				self.start_after(worker, ms);
			}
		}
	}
}

#[allow(dead_code)]
type Unused = (Party, Random, Box<dyn Villain>);
