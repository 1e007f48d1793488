//! Files that their host changed: a page is right or missing, and the store goes on.

use crate::{
	common::*,
	tree::{page_keys, sealed, Tree},
};
use phala_state::{PageName, LAYOUTS};
use phala_store::{
	limits::ENDS_UNTIL_SET_ASIDE,
	protocol::{read_body, read_head},
	server::{aside_path, FILE},
	Connection, Launcher, StoreProcess, Timing,
};
use rustix::process::{kill_process, Pid, Signal};
use std::{
	fs,
	io::{self, Cursor, Read},
	path::{Path, PathBuf},
	time::Duration,
};

/// A process that does not come to an end is given up sooner.
const SOONER: Timing =
	Timing { answer: Duration::from_secs(5), open: Duration::from_secs(5), ..SOON };

/// Flips one bit of a file.
struct BitFlipper {
	good: Vec<u8>,
}

impl BitFlipper {
	fn write(&self, folder: &Path, byte: usize, bit: usize) -> PathBuf {
		let mut bad = self.good.clone();
		bad[byte] ^= 1 << bit;
		let path = folder.join(FILE);
		fs::write(&path, bad).unwrap();
		path
	}
}

#[test]
fn a_flipped_bit_anywhere_in_the_file_gives_no_wrong_page_and_the_store_goes_on() {
	const FLIPS: usize = 60;
	let keys = page_keys(AGENT);
	let (mut tree, mut rng) = (Tree::new(), dice(6));
	let pages: Vec<_> = (0..3)
		.flat_map(|run| {
			let batch = tree.write(&mut rng, 30);
			sealed(&keys, run, &batch)
		})
		.map(|(name, page)| (name.0, page))
		.collect();
	let names: Vec<_> = pages.iter().map(|(name, _)| *name).collect();
	let folder = tempfile::tempdir().unwrap();
	let opened = store(folder.path());
	for part in pages.chunks(10) {
		opened.blocking().put(&AGENT, part).unwrap();
	}
	opened.close();
	let flipper = BitFlipper { good: fs::read(folder.path().join(FILE)).unwrap() };
	// Most of a file is empty or pages, which are all alike: half of the flips are where redb keeps what
	// it finds pages by.
	let used: Vec<usize> = (0..flipper.good.len()).filter(|at| flipper.good[*at] != 0).collect();
	// What says redb's format is refused by name, which `server/file.rs` tests.
	let is_format = |byte: &usize| [64, 192].contains(byte);
	let (mut lost, mut set_aside, mut ended) = (0, 0, 0);
	for flip in 0..FLIPS {
		let byte = match flip % 3 {
			0 => below(&mut rng, 4096),
			1 => below(&mut rng, 64 * 1024),
			_ => used[below(&mut rng, used.len())],
		};
		let byte = byte + usize::from(is_format(&byte));
		let bit = below(&mut rng, 8);
		let folder = tempfile::tempdir().unwrap();
		flipper.write(folder.path(), byte, bit);
		let opened = over(StoreProcess(config(folder.path())), SOONER);
		let store = opened.blocking();
		let here = format!("bit {bit} of byte {byte}");
		// Whatever the error is, the page is missing: one is not asked for with all.
		let one = |name| store.get(&AGENT, &[name]).map_or(None, |mut found| found.remove(0));
		let found = store.get(&AGENT, &names);
		let found = found.unwrap_or_else(|_| names.iter().copied().map(one).collect());
		for ((name, page), found) in pages.iter().zip(found) {
			let is_right = found.as_ref() == Some(page);
			let wrong = found.filter(|_| !is_right);
			let opens =
				wrong.is_some_and(|page| keys.open(LAYOUTS, PageName(*name), &page).is_ok());
			assert!(!opens, "{here}: another page");
			lost += usize::from(!is_right);
		}
		let _ = store.names(&AGENT, None, usize::MAX);
		let _ = store.agents(None, 10);
		// What was lost is put again, as a worker would that fetched it from a member.
		at_last(|| store.put(&AGENT, &pages));
		let found = at_last(|| store.get(&AGENT, &names));
		for ((_, page), found) in pages.iter().zip(found) {
			assert_eq!(found.as_ref(), Some(page), "{here}");
		}
		let status = opened.status();
		set_aside += status.set_aside;
		ended += status.starts - 1;
		assert_eq!(aside_path(folder.path(), 1).exists(), status.set_aside > 0);
	}
	println!("{FLIPS} flips: {lost} pages lost, {set_aside} files set aside, {ended} ends");
	assert!(lost > 0, "flips that nothing notices test nothing");
}

#[test]
fn a_file_that_does_not_open_is_set_aside_and_an_empty_one_takes_its_place() {
	for bytes in [b"no file of redb".repeat(1000), vec![0; 100], b"redb".to_vec()] {
		let folder = tempfile::tempdir().unwrap();
		fs::write(folder.path().join(FILE), &bytes).unwrap();
		let opened = store(folder.path());
		let store = opened.blocking();
		assert_eq!(store.get(&AGENT, &[name(1)]).unwrap(), [None]);
		assert_eq!(opened.status().opened.set_aside, Some(1));
		assert_eq!(fs::read(aside_path(folder.path(), 1)).unwrap(), bytes, "nothing is deleted");
		store.put(&AGENT, &[(name(1), vec![1])]).unwrap();
		assert!(kill(&opened).is_some());
		assert_eq!(again(|| store.get(&AGENT, &[name(1)])), [Some(vec![1])]);
		assert_eq!(opened.status().set_aside, 1);
	}
}

#[test]
fn a_file_that_is_cut_gives_no_wrong_page() {
	let folder = tempfile::tempdir().unwrap();
	let pages: Vec<_> = (0..50).map(|number| (name(number), vec![number as u8; 5000])).collect();
	let opened = store(folder.path());
	opened.blocking().put(&AGENT, &pages).unwrap();
	opened.close();
	let good = fs::read(folder.path().join(FILE)).unwrap();
	for cut in [0, 1, 100, 4096, 10_000, good.len() / 2, good.len() - 1] {
		let folder = tempfile::tempdir().unwrap();
		fs::write(folder.path().join(FILE), &good[..cut]).unwrap();
		let opened = over(StoreProcess(config(folder.path())), SOONER);
		let store = opened.blocking();
		for (name, page) in &pages {
			if let Ok(found) = store.get(&AGENT, &[*name]) {
				assert!(found == [None] || found == [Some(page.clone())], "cut at {cut}");
			}
		}
		at_last(|| store.put(&AGENT, &pages));
		assert_eq!(at_last(|| store.has(&AGENT, &[name(0), name(49)])), [true, true]);
	}
}

/// Ends its process by a signal, whatever it is asked: what stands for a file that aborts it.
struct Aborter {
	folder: PathBuf,
}

impl Launcher for Aborter {
	fn launch(&mut self, set_aside: bool) -> io::Result<Connection> {
		let connection = StoreProcess(config(&self.folder)).launch(set_aside)?;
		if !set_aside && !aside_path(&self.folder, 1).exists() {
			let pid = Pid::from_raw(connection.life.id() as i32).unwrap();
			kill_process(pid, Signal::ABORT).unwrap();
		}
		Ok(connection)
	}
}

#[test]
fn a_file_that_ends_its_process_over_and_over_is_set_aside() {
	let folder = tempfile::tempdir().unwrap();
	let opened = store(folder.path());
	opened.blocking().put(&AGENT, &[(name(1), vec![1])]).unwrap();
	opened.close();
	let aborter = Aborter { folder: folder.path().into() };
	let opened = over(aborter, SOON);
	assert_eq!(again(|| opened.blocking().get(&AGENT, &[name(1)])), [None], "an empty file");
	let status = opened.status();
	assert_eq!((status.starts, status.set_aside), (u64::from(ENDS_UNTIL_SET_ASIDE) + 1, 1));
	opened.close();
	// It was whole: who looks after it can put it back.
	fs::rename(aside_path(folder.path(), 1), folder.path().join(FILE)).unwrap();
	let opened = store(folder.path());
	assert_eq!(opened.blocking().get(&AGENT, &[name(1)]).unwrap(), [Some(vec![1])]);
}

#[test]
fn kills_from_outside_set_nothing_aside() {
	let folder = tempfile::tempdir().unwrap();
	let opened = store(folder.path());
	opened.blocking().put(&AGENT, &[(name(1), vec![1])]).unwrap();
	for sent in [Signal::KILL, Signal::TERM] {
		for _ in 0..2 * ENDS_UNTIL_SET_ASIDE {
			let before = until("a process", || signal(&opened, sent));
			until("the next", || opened.status().process.filter(|process| *process != before));
			assert_eq!(again(|| opened.blocking().get(&AGENT, &[name(1)])), [Some(vec![1])]);
		}
	}
	assert!(opened.status().starts > u64::from(4 * ENDS_UNTIL_SET_ASIDE));
	assert_eq!(opened.status().set_aside, 0);
}

/// His disk stalls: nothing that he says after he opened his file arrives.
struct Staller {
	folder: PathBuf,
	stalls: u32,
}

/// Says nothing until it is over.
struct Nothing(Box<dyn Read + Send>);

impl Read for Nothing {
	fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
		io::copy(&mut self.0, &mut io::sink()).map(|_| 0)
	}
}

impl Launcher for Staller {
	fn launch(&mut self, set_aside: bool) -> io::Result<Connection> {
		let mut connection = StoreProcess(config(&self.folder)).launch(set_aside)?;
		let Some(stalls) = self.stalls.checked_sub(1) else { return Ok(connection) };
		self.stalls = stalls;
		let head = read_head(&mut connection.output)?.unwrap();
		let body = read_body(&mut connection.output, head.body_bytes)?;
		let length = (head.body_bytes + 8) as u32;
		let hello = [&length.to_le_bytes()[..], &head.id.to_le_bytes(), &body].concat();
		connection.output = Box::new(Cursor::new(hello).chain(Nothing(connection.output)));
		Ok(connection)
	}
}

#[test]
fn a_disk_that_stalls_over_and_over_has_nothing_set_aside() {
	let folder = tempfile::tempdir().unwrap();
	store(folder.path()).blocking().put(&AGENT, &[(name(1), vec![1])]).unwrap();
	let stalls = 2 * ENDS_UNTIL_SET_ASIDE;
	let staller = Staller { folder: folder.path().into(), stalls };
	let timing = Timing { answer: Duration::from_millis(100), ..SOON };
	let opened = over(staller, timing);
	assert_eq!(at_last(|| opened.blocking().get(&AGENT, &[name(1)])), [Some(vec![1])]);
	assert!(opened.status().starts > u64::from(stalls));
	assert_eq!(opened.status().set_aside, 0);
	assert!(!aside_path(folder.path(), 1).exists());
}
