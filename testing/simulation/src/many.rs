//! Many seeds.

use crate::{
	faults::{of_seed, shorten, Planned},
	Counts, Length, Outcome, Simulation,
};
use std::{
	ops::Range,
	panic::{catch_unwind, AssertUnwindSafe},
	sync::{
		atomic::{AtomicU64, Ordering},
		mpsc,
	},
	time::Instant,
};

/// What came of many seeds.
pub struct Report {
	pub seconds: f64,
	/// Of all together.
	pub counts: Counts,
}

/// Runs a seed with these faults. A panic, of the runtime say, is what does not hold.
pub fn run_with(seed: u64, length: Length, faults: Vec<Planned>) -> Outcome {
	let run = AssertUnwindSafe(|| Simulation::new(seed, length, faults).run());
	catch_unwind(run).unwrap_or_else(|panic| {
		let said = panic
			.downcast_ref::<String>()
			.cloned()
			.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
		let said = said.unwrap_or_else(|| "without a word".into());
		Outcome { violation: Some(format!("a panic: {said}")), ..Outcome::of_nothing(seed) }
	})
}

/// Runs each seed with its own faults, on as many threads; `each` sees every outcome, in any order.
pub fn run_many(
	seeds: Range<u64>,
	length: Length,
	threads: Option<usize>,
	mut each: impl FnMut(&Outcome),
) -> Report {
	let threads =
		threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
	let started = Instant::now();
	let next = AtomicU64::new(seeds.start);
	let mut counts = Counts::default();
	let (done, outcomes) = mpsc::channel();
	std::thread::scope(|scope| {
		for _ in 0..threads.max(1) {
			let (next, done, end) = (&next, done.clone(), seeds.end);
			scope.spawn(move || loop {
				let seed = next.fetch_add(1, Ordering::Relaxed);
				if seed >= end || done.send(run_with(seed, length, of_seed(seed))).is_err() {
					return;
				}
			});
		}
		drop(done);
		for outcome in outcomes {
			counts.add(&outcome.counts);
			each(&outcome);
		}
	});
	Report { seconds: started.elapsed().as_secs_f64(), counts }
}

/// The shortest list of a failing seed's faults with which it still fails, and how it does.
pub fn shortest_failure(seed: u64, length: Length) -> (Vec<Planned>, String) {
	let violation = |faults: &[Planned]| run_with(seed, length, faults.to_vec()).violation;
	let shortest = shorten(&of_seed(seed), |faults| violation(faults).is_some());
	let violation = violation(&shortest).unwrap_or_else(|| "it does not fail".into());
	(shortest, violation)
}
