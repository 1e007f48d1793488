//! The sandbox, scripted: what comes of a run is a function of its input and the seed alone, however
//! often and wherever it runs.

use crate::{limits, scheduler::Random};
use phala_machine::worker::{Run, RunDone, RunEnd, RunFailed};
use phala_protocol::{refusals::Refusal, requests::CallOutput};

/// Under which key of its state the agent keeps what a request brought.
pub fn key_of(request: &phala_protocol::H256) -> String {
	format!("request/{request:?}")
}

/// What comes of a run, and after how many milliseconds.
pub fn script(seed: u64, run: &Run) -> (u64, Result<RunDone, RunEnd>) {
	let mut random = Random::of(seed, &format!("run {:?}", run.request));
	let (fails, units) = (random.permille(80), 1 + random.below(5) as u32);
	let fast = random.within(limits::RUN_MS);
	// Attempts take their own time, and some do not find a place.
	let mut attempt = Random::of(seed, &format!("attempt {:?} {}", run.request, run.attempt));
	let ms = fast + attempt.below(50);
	if attempt.permille(30) {
		return (1, Err(RunEnd::NotRun));
	}
	if fails {
		let message = "the run was to fail".into();
		return (ms, Err(RunEnd::Failed(RunFailed { refusal: Refusal::CpuTime, message, units })));
	}
	let writes = if run.writable {
		let body = run.input.body.clone();
		vec![(key_of(&run.request), Some(body.clone())), ("last".into(), Some(body))]
	} else {
		Vec::new()
	};
	let body = if run.writable {
		run.input.body.clone()
	} else {
		run.state.entries.get("last").map(|last| last.to_vec()).unwrap_or_default()
	};
	let output = CallOutput { status: 200, headers: vec![], body };
	(ms, Ok(RunDone { output, writes, units, unproven_inputs: 0 }))
}
