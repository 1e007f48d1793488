//! Embedded stores as a place for sealed pages, measured: how fast a batch is durable, how fast pages
//! are found, how much disk it takes, and what becomes of a file in which one byte was flipped.
//!
//! `page-stores speed <store> <folder> <batches>` · `page-stores flip <store> <folder> <flips>`, where
//! the store is `redb`, `fjall` or `fjall-blobs` (values apart from keys).

use std::{
	env, fs,
	io::Write,
	path::{Path, PathBuf},
	process::{exit, Command, Stdio},
	time::{Duration, Instant},
};

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
/// Agent and name of a page.
type Key = [u8; 64];

/// What the port of `enclave/state` asks for.
trait Store {
	fn get(&self, key: &Key) -> Fallible<Option<Vec<u8>>>;
	/// Durable when it returns.
	fn put(&self, pages: &[(Key, Vec<u8>)], deleted: &[Key]) -> Fallible<()>;
	fn count(&self) -> Fallible<usize>;
}

struct Redb(redb::Database);
const PAGES: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("pages");

impl Store for Redb {
	fn get(&self, key: &Key) -> Fallible<Option<Vec<u8>>> {
		use redb::ReadableDatabase;
		let table = self.0.begin_read()?.open_table(PAGES)?;
		Ok(table.get(&key[..])?.map(|page| page.value().to_vec()))
	}

	fn put(&self, pages: &[(Key, Vec<u8>)], deleted: &[Key]) -> Fallible<()> {
		let write = self.0.begin_write()?;
		{
			let mut table = write.open_table(PAGES)?;
			for (key, page) in pages {
				table.insert(&key[..], &page[..])?;
			}
			for key in deleted {
				table.remove(&key[..])?;
			}
		}
		Ok(write.commit()?)
	}

	fn count(&self) -> Fallible<usize> {
		use redb::{ReadableDatabase, ReadableTable};
		let table = self.0.begin_read()?.open_table(PAGES)?;
		let mut count = 0;
		for entry in table.iter()? {
			entry?;
			count += 1;
		}
		Ok(count)
	}
}

struct Fjall(fjall::Database, fjall::Keyspace);

impl Store for Fjall {
	fn get(&self, key: &Key) -> Fallible<Option<Vec<u8>>> {
		Ok(self.1.get(key)?.map(|page| page.to_vec()))
	}

	fn put(&self, pages: &[(Key, Vec<u8>)], deleted: &[Key]) -> Fallible<()> {
		let mut batch = self.0.batch().durability(Some(fjall::PersistMode::SyncAll));
		for (key, page) in pages {
			batch.insert(&self.1, &key[..], &page[..]);
		}
		for key in deleted {
			batch.remove(&self.1, &key[..]);
		}
		Ok(batch.commit()?)
	}

	fn count(&self) -> Fallible<usize> {
		let mut count = 0;
		for entry in self.1.iter() {
			entry.into_inner()?;
			count += 1;
		}
		Ok(count)
	}
}

fn open(store: &str, folder: &Path) -> Fallible<Box<dyn Store>> {
	fs::create_dir_all(folder)?;
	match store {
		"redb" => {
			let database = redb::Database::create(folder.join("pages.redb"))?;
			let write = database.begin_write()?;
			write.open_table(PAGES)?;
			write.commit()?;
			Ok(Box::new(Redb(database)))
		}
		"fjall" | "fjall-blobs" => {
			let database = fjall::Database::builder(folder).open()?;
			let blobs = (store == "fjall-blobs").then(fjall::KvSeparationOptions::default);
			let options =
				|| fjall::KeyspaceCreateOptions::default().with_kv_separation(blobs.clone());
			let pages = database.keyspace("pages", options)?;
			Ok(Box::new(Fjall(database, pages)))
		}
		_ => Err(format!("{store} is none of redb, fjall, fjall-blobs").into()),
	}
}

/// Splitmix64.
struct Dice(u64);

impl Dice {
	fn next(&mut self) -> u64 {
		self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
		let mut z = self.0;
		z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		z ^ (z >> 31)
	}

	fn fill(&mut self, bytes: &mut [u8]) {
		for part in bytes.chunks_mut(8) {
			part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
		}
	}
}

/// The page of a number: as random as a sealed one, of 4 to 16 KiB.
fn page(number: u64) -> (Key, Vec<u8>) {
	let mut dice = Dice(number);
	let mut key = [0; 64];
	dice.fill(&mut key[32..]);
	let mut bytes = vec![0; (4 + dice.next() as usize % 13) * 1024 - 2];
	dice.fill(&mut bytes);
	(key, bytes)
}

const BATCH: u64 = 25;
/// Of a batch's pages, as many of before are replaced.
const REPLACED: u64 = 20;

fn folder_bytes(folder: &Path) -> u64 {
	files(folder).iter().map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum()
}

/// Blocks that are taken, for files with holes.
fn disk_bytes(folder: &Path) -> u64 {
	use std::os::unix::fs::MetadataExt;
	files(folder).iter().map(|path| fs::metadata(path).map_or(0, |file| file.blocks() * 512)).sum()
}

fn files(folder: &Path) -> Vec<PathBuf> {
	let mut found = Vec::new();
	for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
		let path = entry.path();
		if path.is_dir() {
			found.extend(files(&path));
		} else {
			found.push(path);
		}
	}
	found.sort();
	found
}

fn written_bytes() -> u64 {
	let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
	let line = io.lines().find(|line| line.starts_with("write_bytes:")).unwrap_or_default();
	line.split(' ').next_back().and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn speed(store: &str, folder: &Path, batches: u64) -> Fallible<()> {
	let _ = fs::remove_dir_all(folder);
	let opened = open(store, folder)?;
	let mut alive: Vec<u64> = Vec::new();
	let (mut times, mut dice, mut put) = (Vec::new(), Dice(7), 0u64);
	let (start, written) = (Instant::now(), written_bytes());
	for batch in 0..batches {
		let numbers: Vec<u64> = (batch * BATCH..(batch + 1) * BATCH).collect();
		let pages: Vec<_> = numbers.iter().map(|number| page(*number)).collect();
		put += pages.iter().map(|(_, page)| page.len() as u64).sum::<u64>();
		let mut deleted = Vec::new();
		while batch > 20 && deleted.len() < REPLACED as usize {
			deleted.push(page(alive.swap_remove(dice.next() as usize % alive.len())).0);
		}
		let begin = Instant::now();
		opened.put(&pages, &deleted)?;
		times.push(begin.elapsed());
		alive.extend(numbers);
	}
	let all = start.elapsed();
	let written = written_bytes() - written;
	times.sort();
	let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
	let live: u64 = alive.iter().map(|number| page(*number).1.len() as u64).sum();
	// Named ahead: making a page is not measured.
	let keys: Vec<Key> =
		(0..5000).map(|_| page(alive[dice.next() as usize % alive.len()]).0).collect();
	let begin = Instant::now();
	for key in &keys {
		assert!(opened.get(key)?.is_some());
	}
	let got = begin.elapsed().as_secs_f64() * 1e6 / keys.len() as f64;
	drop(opened);
	let begin = Instant::now();
	let opened = open(store, folder)?;
	let reopened = begin.elapsed();
	assert_eq!(opened.count()?, alive.len());
	println!(
		"{store}: {batches} batches of {BATCH} pages, {REPLACED} of before deleted: p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms, {:.0} \
		 batches/s; a get {got:.1} µs; opened again in {:.0} ms; written {:.1} × what was put; on disk {:.2} × what is alive \
		 ({:.0} MB; {:.2} × by length)",
		at(0.5),
		at(0.99),
		at(1.0),
		batches as f64 / all.as_secs_f64(),
		reopened.as_secs_f64() * 1e3,
		written as f64 / put as f64,
		disk_bytes(folder) as f64 / live as f64,
		live as f64 / 1e6,
		folder_bytes(folder) as f64 / live as f64,
	);
	Ok(())
}

const PROBED: u64 = 200;

/// Opens, reads all, writes and deletes some, reads again. Says on stdout how many pages were right,
/// absent (or an error of theirs) and wrong.
fn probe(store: &str, folder: &Path) -> Fallible<()> {
	let opened = open(store, folder)?;
	let (mut right, mut absent, mut wrong, mut errors) = (0, 0, 0, 0);
	for number in 0..PROBED {
		let (key, bytes) = page(number);
		match opened.get(&key) {
			Ok(Some(found)) if found == bytes => right += 1,
			Ok(Some(_)) => wrong += 1,
			Ok(None) => absent += 1,
			Err(_) => errors += 1,
		}
	}
	// What was lost is put again, as a worker would that fetched it from a member.
	let again: Vec<_> = (0..PROBED + 50).map(page).collect();
	let gone: Vec<_> = (PROBED..PROBED + 20).map(|number| page(number).0).collect();
	let healed = opened.put(&again, &gone).is_ok()
		&& again.iter().take(PROBED as usize).all(|(key, bytes)| {
			opened.get(key).is_ok_and(|found| found.as_deref() == Some(&bytes[..]))
		});
	println!("probed {right} {absent} {wrong} {errors} {healed}");
	std::io::stdout().flush()?;
	Ok(())
}

fn copy(from: &Path, to: &Path) -> Fallible<()> {
	let _ = fs::remove_dir_all(to);
	for path in files(from) {
		let target = to.join(path.strip_prefix(from)?);
		fs::create_dir_all(target.parent().unwrap_or(to))?;
		fs::copy(&path, target)?;
	}
	Ok(())
}

fn flip(store: &str, folder: &Path, flips: u64) -> Fallible<()> {
	let (good, bad) = (folder.join("good"), folder.join("bad"));
	let _ = fs::remove_dir_all(folder);
	{
		let opened = open(store, &good)?;
		for batch in 0..PROBED / BATCH {
			let pages: Vec<_> = (batch * BATCH..(batch + 1) * BATCH).map(page).collect();
			opened.put(&pages, &[])?;
		}
	}
	// What holds the pages themselves is most of a file, and flips there are all alike.
	let total = folder_bytes(&good);
	let mut counts = std::collections::BTreeMap::<&str, u64>::new();
	let mut dice = Dice(11);
	for number in 0..flips {
		copy(&good, &bad)?;
		// Half of them in the first 16 KiB of a file, where stores keep what they are found by.
		let all = files(&bad);
		let path;
		let at;
		if number % 2 == 0 {
			path = all[dice.next() as usize % all.len()].clone();
			at = dice.next() % fs::metadata(&path)?.len().clamp(1, 16 * 1024);
		} else {
			let mut place = dice.next() % total;
			let mut chosen = all[0].clone();
			for file in all {
				let length = fs::metadata(&file)?.len();
				chosen = file;
				if place < length {
					break;
				}
				place -= length;
			}
			(path, at) = (chosen, place);
		}
		let mut bytes = fs::read(&path)?;
		let Some(byte) = bytes.get_mut(at as usize) else { continue };
		*byte ^= 1 << (dice.next() % 8);
		fs::write(&path, bytes)?;
		let mut child = Command::new(env::current_exe()?)
			.args(["probe", store])
			.arg(&bad)
			.stdout(Stdio::piped())
			.stderr(Stdio::piped())
			.spawn()?;
		let begin = Instant::now();
		let mut hung = false;
		while child.try_wait()?.is_none() {
			if begin.elapsed() > Duration::from_secs(20) {
				child.kill()?;
				hung = true;
			}
			std::thread::sleep(Duration::from_millis(1));
		}
		let output = child.wait_with_output()?;
		let said = String::from_utf8_lossy(&output.stdout).into_owned();
		let probed: Vec<&str> = said.trim().split(' ').collect();
		let outcome = match (hung, output.status.code(), probed.as_slice()) {
			(true, ..) => "hangs",
			(_, None, _) => "killed by a signal",
			(_, Some(101), _) => "panics",
			(_, Some(3), _) => "refuses to open, by name",
			(_, Some(0), ["probed", right, absent, wrong, errors, healed]) => {
				match (
					*right == PROBED.to_string(),
					*wrong != "0",
					*absent != "0",
					*errors != "0",
					*healed,
				) {
					(_, true, _, _, "true") => "gives other bytes, healed by a put",
					(_, true, ..) => "gives other bytes, a put does not heal it",
					(true, .., "true") => "nothing is lost",
					(true, ..) => "nothing is lost, puts fail",
					(_, _, true, false, "true") => "says absent, healed by a put",
					(_, _, _, true, "true") => "names an error, healed by a put",
					_ => "lost, a put does not heal it",
				}
			}
			_ => "ends otherwise",
		};
		*counts.entry(outcome).or_default() += 1;
	}
	println!(
		"{store}: {flips} files of {:.1} MB with one flipped bit: {counts:?}",
		total as f64 / 1e6
	);
	Ok(())
}

fn main() {
	let arguments: Vec<String> = env::args().skip(1).collect();
	let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
	let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is no number"));
	let done = match words.as_slice() {
		["speed", store, folder, batches] => speed(store, Path::new(folder), number(batches)),
		["flip", store, folder, flips] => flip(store, Path::new(folder), number(flips)),
		["probe", store, folder] => probe(store, Path::new(folder)),
		_ => Err("speed or flip, a store, a folder, how many".into()),
	};
	if let Err(error) = done {
		eprintln!("page-stores: {error}");
		exit(3);
	}
}
