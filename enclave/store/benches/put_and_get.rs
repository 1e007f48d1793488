//! The store through its real process: how soon a run's pages are durable, alone and with others; gets;
//! and how soon it serves again after it was killed. `put_and_get [<folder> [<megabytes>]]`; a folder that is there, on a
//! real disk, since one in memory flushes nothing.

use futures::{executor::block_on, future::join_all};
use phala_protocol::{agents::AgentId, H256};
use phala_store::{Store, StoreConfig, StoreError};
use rand_chacha::{
	rand_core::{Rng, SeedableRng},
	ChaCha20Rng,
};
use rustix::process::{kill_process, Pid, Signal};
use std::{
	path::PathBuf,
	sync::OnceLock,
	time::{Duration, Instant},
};

const BATCH: u64 = 25;
/// Of a batch's pages, as many of before are replaced and deleted.
const REPLACED: usize = 20;
const ALONE: usize = 300;
const WRITERS: u64 = 32;
const EACH: usize = 20;
const GETS: u64 = 5_000;

/// Random bytes, that making a page takes no time which is measured.
fn noise() -> &'static [u8] {
	static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
	NOISE.get_or_init(|| {
		let mut noise = vec![0; 1 << 20];
		ChaCha20Rng::seed_from_u64(7).fill_bytes(&mut noise);
		noise
	})
}

/// Of 4 to 16 KiB, under a name of its own.
fn page(number: u64) -> (H256, Vec<u8>) {
	// Splitmix64.
	let mix = |number: u64| {
		let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		z ^ (z >> 31)
	};
	let random = mix(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1));
	let mut name = [0; 32];
	name[..8].copy_from_slice(&random.to_be_bytes());
	name[8..16].copy_from_slice(&number.to_be_bytes());
	let bytes = (4 + random as usize % 13) * 1024 - 2;
	let from = (random >> 20) as usize % (noise().len() - bytes);
	(H256(name), noise()[from..from + bytes].to_vec())
}

fn batch(agent: u64, number: u64) -> Vec<(H256, Vec<u8>)> {
	let first = (agent << 32) | (number * BATCH);
	(first..first + BATCH).map(page).collect()
}

fn agent(number: u64) -> AgentId {
	H256::from_low_u64_be(number)
}

/// Some batches of one agent after another, each deleting most of the one before. How long each took.
async fn write(store: &Store, of: u64, batches: usize) -> Vec<Duration> {
	let mut times = Vec::new();
	let mut before: Vec<H256> = Vec::new();
	for number in 0..batches as u64 {
		let pages = batch(of, number);
		let start = Instant::now();
		store.put(&agent(of), &pages).await.unwrap();
		times.push(start.elapsed());
		before.truncate(REPLACED);
		store.delete(&agent(of), &before).await.unwrap();
		before = pages.into_iter().map(|(name, _)| name).collect();
	}
	times
}

fn ms(time: Duration) -> f64 {
	time.as_secs_f64() * 1e3
}

fn quantiles(mut times: Vec<Duration>) -> String {
	times.sort();
	let at = |share: f64| ms(times[((times.len() - 1) as f64 * share) as usize]);
	format!("p50 {:.2} ms, p99 {:.1} ms, longest {:.1} ms", at(0.5), at(0.99), at(1.0))
}

fn main() {
	// What cargo says to every bench.
	let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
	let temporary = tempfile::tempdir().unwrap();
	let folder = words.next().map_or(temporary.path().to_path_buf(), PathBuf::from);
	let megabytes: u64 = words.next().map_or(200, |number| number.parse().unwrap());
	let start = || {
		let program = env!("CARGO_BIN_EXE_pruntime-store").into();
		Store::start(StoreConfig::new(program, folder.clone())).unwrap()
	};
	let store = start();

	let times = block_on(write(&store, 0, ALONE));
	println!("{BATCH} pages alone: {}", quantiles(times));

	let before = block_on(store.statistics()).unwrap();
	let begin = Instant::now();
	let times = block_on(join_all((1..=WRITERS).map(|of| write(&store, of, EACH))));
	let took = begin.elapsed().as_secs_f64();
	let after = block_on(store.statistics()).unwrap();
	println!(
		"{BATCH} pages with {WRITERS} writers at once: {}; {:.0} batches/s, {} puts and deletions in {} flushes",
		quantiles(times.into_iter().flatten().collect()),
		(WRITERS as usize * EACH) as f64 / took,
		after.writes - before.writes,
		after.commits - before.commits,
	);

	// The last batch of each is whole.
	let last = (1..=WRITERS)
		.flat_map(|of| batch(of, EACH as u64 - 1).into_iter().map(move |page| (of, page.0)));
	let last: Vec<_> = last.collect();
	let mut times = Vec::new();
	for number in 0..GETS {
		let (of, name) = last[number as usize * 7919 % last.len()];
		let start = Instant::now();
		assert!(block_on(store.get(&agent(of), &[name])).unwrap()[0].is_some());
		times.push(start.elapsed());
	}
	println!("one page got: {}", quantiles(times));
	let names: Vec<_> = last.iter().filter(|(of, _)| *of == 1).map(|(_, name)| *name).collect();
	let begin = Instant::now();
	for _ in 0..100 {
		assert!(block_on(store.get(&agent(1), &names)).unwrap().iter().all(Option::is_some));
	}
	println!("{BATCH} pages got at once: {:.2} ms", ms(begin.elapsed()) / 100.0);

	let mut number = 0;
	loop {
		let stored = block_on(store.statistics()).unwrap();
		if stored.stored.bytes >= megabytes * 1_000_000 {
			println!(
				"{:.0} MB in {} pages take {:.2} times as much on the disk",
				stored.stored.bytes as f64 / 1e6,
				stored.stored.pages,
				stored.file_bytes as f64 / stored.stored.bytes as f64
			);
			break;
		}
		let batches: Vec<_> = (number..number + 64).map(|number| batch(1000, number)).collect();
		let filler = agent(1000);
		let puts = batches.iter().map(|pages| store.put(&filler, pages));
		block_on(join_all(puts)).into_iter().collect::<Result<Vec<_>, _>>().unwrap();
		number += 64;
	}
	let times = block_on(write(&store, 0, ALONE));
	println!("{BATCH} pages alone, with so much: {}", quantiles(times));

	let process = store.status().process.unwrap();
	kill_process(Pid::from_raw(process as i32).unwrap(), Signal::KILL).unwrap();
	let begin = Instant::now();
	let (of, name) = last[0];
	while let Err(error) = block_on(store.get(&agent(of), &[name])) {
		assert!(
			matches!(error, StoreError::Died | StoreError::Unavailable(_) | StoreError::Opening),
			"{error}"
		);
		std::thread::sleep(Duration::from_millis(1));
	}
	println!("serves again after it was killed (-9): {:.0} ms", ms(begin.elapsed()));
	let begin = Instant::now();
	store.close();
	println!("closed in order: {:.0} ms", ms(begin.elapsed()));
	let begin = Instant::now();
	let store = start();
	assert!(block_on(store.get(&agent(of), &[name])).unwrap()[0].is_some());
	println!("serves again after that: {:.0} ms", ms(begin.elapsed()));
	store.close();
}
