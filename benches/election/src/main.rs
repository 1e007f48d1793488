//! Runs the beginning of a block that elects validators in the runtime's wasm, and fails if it takes more
//! than it may: `make bench-election`. The state is what the runtime's test of this name has set up and
//! written down; nothing is known here of what is in it but how many are elected.

use codec::Decode;
use sc_executor::WasmExecutor;
use sp_core::{
	traits::{CallContext, CodeExecutor, Externalities, RuntimeCode, WrappedRuntimeCode},
	Blake2Hasher,
};
use sp_io::hashing::{twox_128, twox_64};
use sp_storage::Storage;
use std::{env, error::Error, fs, process::ExitCode};

/// How often each election is run. The quickest counts: what else the machine does only adds.
const ROUNDS: usize = 5;

/// What the test writes: `Elections` in `chain/runtime/src/tests/elections.rs`.
#[derive(Decode)]
struct Elections {
	wasm: Vec<u8>,
	state: Vec<(Vec<u8>, Vec<u8>)>,
	header: Vec<u8>,
	seats: Vec<u32>,
	nanoseconds_max: u64,
}

type State = sp_state_machine::TestExternalities<Blake2Hasher>;

fn key(item: &str) -> Vec<u8> {
	[twox_128(b"Staking"), twox_128(item.as_bytes())].concat()
}

fn call(
	state: &mut State,
	code: &RuntimeCode,
	method: &str,
	input: &[u8],
) -> Result<u64, Box<dyn Error>> {
	let executor = WasmExecutor::<sp_io::SubstrateHostFunctions>::builder().build();
	// Compiled, or found compiled.
	let context = || CallContext::Onchain { import: false };
	executor.call(&mut state.ext(), code, "Core_version", &[], context()).0?;
	let begun = nanoseconds_of_this_thread()?;
	executor.call(&mut state.ext(), code, method, input, context()).0?;
	Ok(nanoseconds_of_this_thread()? - begun)
}

/// How many have been elected for the era that is planned, in this order: the era, they.
fn elected(state: &mut State) -> Result<(u32, usize), Box<dyn Error>> {
	let planned = state.ext().storage(&key("CurrentEra")).ok_or("no era is planned")?;
	let era = u32::decode(&mut &planned[..])?;
	let prefix = [key("ErasStakersOverview"), twox_64(&planned).to_vec(), planned].concat();
	let (mut winners, mut last) = (0, prefix.clone());
	while let Some(next) = state.ext().next_storage_key(&last) {
		if !next.starts_with(&prefix) {
			break;
		}
		(winners, last) = (winners + 1, next);
	}
	Ok((era, winners))
}

/// How long this thread has computed, whatever else the machine does.
fn nanoseconds_of_this_thread() -> Result<u64, Box<dyn Error>> {
	let times = fs::read_to_string("/proc/thread-self/schedstat")?;
	Ok(times.split_whitespace().next().ok_or("an empty schedstat")?.parse()?)
}

fn measure(path: &str) -> Result<bool, Box<dyn Error>> {
	let Elections { wasm, state, header, seats, nanoseconds_max } =
		Elections::decode(&mut &fs::read(path)?[..])?;
	let mut state = State::new(Storage { top: state.into_iter().collect(), ..Default::default() });
	let code = RuntimeCode {
		code_fetcher: &WrappedRuntimeCode(wasm.into()),
		heap_pages: None,
		hash: vec![0; 32],
	};
	let (era, _) = elected(&mut state)?;
	let mut all_fit = true;
	for seats in seats {
		let mut best = u64::MAX;
		for _ in 0..ROUNDS {
			state.ext().storage_start_transaction();
			state.ext().place_storage(key("ValidatorCount"), Some(seats.to_le_bytes().to_vec()));
			best = best.min(call(&mut state, &code, "Core_initialize_block", &header)?);
			let found = elected(&mut state)?;
			if found != (era + 1, seats as usize) {
				return Err(format!("{found:?} in place of an era and {seats} validators").into());
			}
			state.ext().storage_rollback_transaction().map_err(|()| "no transaction is open")?;
		}
		let share = best as f64 / nanoseconds_max as f64;
		all_fit &= best <= nanoseconds_max;
		println!(
            "the beginning of the block that elects {seats} validators: {} ms of CPU, best of {ROUNDS}, {share:.2} of what it may take",
            best / 1_000_000,
        );
	}
	Ok(all_fit)
}

fn main() -> ExitCode {
	let Some(path) = env::args().nth(1) else {
		eprintln!("usage: election <what the runtime's test has written>");
		return ExitCode::from(2);
	};
	match measure(&path) {
		Ok(true) => ExitCode::SUCCESS,
		Ok(false) => {
			eprintln!("an election takes more than it weighs");
			ExitCode::FAILURE
		}
		Err(error) => {
			eprintln!("{path}: {error}");
			ExitCode::FAILURE
		}
	}
}
