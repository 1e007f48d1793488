//! The real process: a map that survives its kills, counts, and refuses by name.

use crate::common::*;
use futures::{executor::block_on, future::join_all};
use phala_protocol::{agents::AgentId, H256};
use phala_state::limits::VALUE_PAGE_BYTES_MAX;
use phala_store::{
	limits::{NAMES_PER_FRAME_MAX, PAGES_PER_FRAME_MAX, PAGE_BYTES_MAX},
	protocol::{read_head, OpenError, RequestError, Usage, HELLO_ID},
	Store, StoreConfig, StoreError, StoreProcess, UnavailableError,
};
use proptest::prelude::*;
use rustix::process::{getpgid, Pid};
use std::{
	collections::{BTreeMap, BTreeSet},
	io::{BufRead, BufReader},
	path::Path,
	process::{Child, Command, Stdio},
	sync::{
		atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
		mpsc::channel,
		Mutex,
	},
};

const _: () = assert!(PAGE_BYTES_MAX == VALUE_PAGE_BYTES_MAX, "what is sealed can be stored");

const AGENTS: [AgentId; 3] = [STRANGER, AGENT, H256::repeat_byte(0xff)];

type Map = BTreeMap<(AgentId, H256), Vec<u8>>;

fn names_of(map: &Map, agent: AgentId) -> Vec<H256> {
	map.keys().filter(|(of, _)| *of == agent).map(|(_, name)| *name).collect()
}

fn usage_of(map: &Map, agent: AgentId) -> Usage {
	let pages = map.iter().filter(|((of, _), _)| *of == agent);
	pages.fold(Usage::default(), |usage, (_, page)| Usage {
		pages: usage.pages + 1,
		bytes: usage.bytes + page.len() as u64,
	})
}

/// All that is stored is what the map has, whichever way it is asked.
fn holds(store: &Store, map: &Map) -> Result<(), TestCaseError> {
	let store = store.blocking();
	let mut all = Usage::default();
	let mut agents = Vec::new();
	for agent in AGENTS {
		let names = names_of(map, agent);
		prop_assert_eq!(&again(|| store.names(&agent, None, usize::MAX)), &names);
		let found = again(|| store.get(&agent, &names));
		for (name, page) in names.iter().zip(found) {
			prop_assert_eq!(page.as_ref(), map.get(&(agent, *name)));
		}
		let usage = usage_of(map, agent);
		prop_assert_eq!(again(|| store.usage(&agent)), usage);
		if usage.pages > 0 {
			agents.push((agent, usage));
		}
		all = Usage { pages: all.pages + usage.pages, bytes: all.bytes + usage.bytes };
	}
	prop_assert_eq!(again(|| store.agents(None, 100)), agents.clone());
	let later = agents.split_first().map(|(_, later)| later.to_vec()).unwrap_or_default();
	if let Some((first, _)) = agents.first() {
		prop_assert_eq!(
			again(|| store.agents(Some(*first), 1)),
			later[..later.len().min(1)].to_vec()
		);
	}
	let statistics = again(|| store.statistics());
	prop_assert_eq!((statistics.stored, statistics.agents), (all, agents.len() as u64));
	prop_assert_eq!(statistics.damages, 0);
	Ok(())
}

proptest! {
	#![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

	#[test]
	fn the_store_is_a_map_also_after_its_process_was_killed(seed in any::<u64>()) {
		let mut rng = dice(seed);
		let folder = tempfile::tempdir().unwrap();
		let mut opened = store(folder.path());
		let mut map = Map::new();
		for _ in 0..30 {
			let asked = opened.blocking();
			let agent = AGENTS[below(&mut rng, 3)];
			let some: Vec<H256> = (0..below(&mut rng, 100)).map(|_| name(below(&mut rng, 300) as u64)).collect();
			match below(&mut rng, 8) {
				0..=3 => {
					let long = below(&mut rng, 10) == 0;
					let pages: Vec<_> = some
						.into_iter()
						.map(|name| {
							let bytes = if long { below(&mut rng, PAGE_BYTES_MAX + 1) } else { below(&mut rng, 600) };
							(name, page(&mut rng, bytes))
						})
						.collect();
					again(|| asked.put(&agent, &pages));
					map.extend(pages.into_iter().map(|(name, page)| ((agent, name), page)));
				}
				4 => {
					again(|| asked.delete(&agent, &some));
					for name in some {
						map.remove(&(agent, name));
					}
				}
				5 => {
					let found = again(|| asked.has(&agent, &some));
					let expected: Vec<_> = some.iter().map(|name| map.contains_key(&(agent, *name))).collect();
					prop_assert_eq!(found, expected);
					let after = (!some.is_empty()).then(|| some[0]);
					let names_max = below(&mut rng, 50);
					let expected = names_of(&map, agent).into_iter().filter(|name| Some(*name) > after);
					let expected: Vec<_> = expected.take(names_max).collect();
					prop_assert_eq!(again(|| asked.names(&agent, after, names_max)), expected);
				}
				6 => {
					kill(&opened);
				}
				_ => {
					opened.close();
					opened = store(folder.path());
				}
			}
		}
		holds(&opened, &map)?;
		opened.close();
		holds(&store(folder.path()), &map)?;
	}
}

#[test]
fn more_than_one_frame_has_is_put_found_listed_and_deleted() {
	let folder = tempfile::tempdir().unwrap();
	let opened = store(folder.path());
	let store = opened.blocking();
	let names: Vec<_> = (0..NAMES_PER_FRAME_MAX as u64 * 2 + 1).map(name).collect();
	let pages: Vec<_> = names.iter().map(|name| (*name, name.as_bytes().to_vec())).collect();
	store.put(&AGENT, &pages).unwrap();
	let found = store.get(&AGENT, &names).unwrap();
	assert!(found.into_iter().zip(&pages).all(|(found, (_, page))| found.as_ref() == Some(page)));
	assert!(store.has(&AGENT, &names).unwrap().into_iter().all(|has| has));
	assert!(store.has(&STRANGER, &names).unwrap().into_iter().all(|has| !has));
	let mut sorted = names.clone();
	sorted.sort();
	assert_eq!(store.names(&AGENT, None, usize::MAX).unwrap(), sorted);
	let some = NAMES_PER_FRAME_MAX + 7;
	assert_eq!(store.names(&AGENT, None, some).unwrap(), sorted[..some]);
	store.delete(&AGENT, &names).unwrap();
	assert_eq!(store.names(&AGENT, None, usize::MAX).unwrap(), []);
	assert_eq!(store.agents(None, 10).unwrap(), []);
	store.put(&AGENT, &[]).unwrap();
	store.delete(&AGENT, &[]).unwrap();
	assert_eq!(store.get(&AGENT, &[]).unwrap(), Vec::<Option<Vec<u8>>>::new());
}

#[test]
fn what_was_acknowledged_is_there_however_often_the_process_is_killed() {
	const WRITERS: u64 = 6;
	const KILLS: usize = 8;
	let folder = tempfile::tempdir().unwrap();
	let opened = store(folder.path());
	let acknowledged = Mutex::new(Map::new());
	let (puts, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
	std::thread::scope(|scope| {
		for writer in 0..WRITERS {
			let (opened, acknowledged, puts, is_over) = (&opened, &acknowledged, &puts, &is_over);
			scope.spawn(move || {
				let mut rng = dice(writer);
				let agent = H256::from_low_u64_be(writer);
				let store = opened.blocking();
				for batch in 0.. {
					if is_over.load(SeqCst) {
						return;
					}
					let number = |page| (writer << 40) | (batch << 8) | page;
					let pages: Vec<_> = (0..1 + below(&mut rng, 20) as u64)
						.map(|index| (name(number(index)), page(&mut rng, 3000)))
						.collect();
					if store.put(&agent, &pages).is_ok() {
						let pages = pages.into_iter().map(|(name, page)| ((agent, name), page));
						acknowledged.lock().unwrap().extend(pages);
						puts.fetch_add(1, SeqCst);
					}
				}
			});
		}
		// At any moment of a put: whenever a few more were acknowledged.
		let (mut rng, mut killed) = (dice(99), BTreeSet::new());
		while killed.len() < KILLS {
			let more = puts.load(SeqCst) + 1 + below(&mut rng, 40);
			until("more puts", || (puts.load(SeqCst) >= more).then_some(()));
			// What was acknowledged before a kill may be counted after it: another process, or none.
			killed.extend(kill(&opened));
		}
		is_over.store(true, SeqCst);
	});
	let acknowledged = acknowledged.into_inner().unwrap();
	let holds_all = |store: &Store| {
		for ((agent, name), page) in &acknowledged {
			let found = again(|| store.blocking().get(agent, &[*name]));
			assert_eq!(found, [Some(page.clone())]);
		}
	};
	holds_all(&opened);
	assert!(opened.status().starts > KILLS as u64);
	kill(&opened);
	opened.close();
	holds_all(&store(folder.path()));
}

#[test]
fn many_puts_share_a_flush_and_one_alone_has_its_own() {
	const PUTS: u64 = 400;
	let folder = tempfile::tempdir().unwrap();
	let opened = store(folder.path());
	let store = opened.blocking();
	for number in 0..10 {
		store.put(&AGENT, &[(name(number), vec![1])]).unwrap();
	}
	let alone = store.statistics().unwrap();
	assert_eq!((alone.commits, alone.writes, alone.pages_put), (10, 10, 10), "each was durable");
	let agents: Vec<_> = (0..PUTS).map(H256::from_low_u64_be).collect();
	let pages: Vec<_> = (0..PUTS).map(|number| [(name(number), vec![2; 1000])]).collect();
	let puts = agents.iter().zip(&pages).map(|(agent, pages)| opened.put(agent, pages));
	for put in block_on(join_all(puts)) {
		put.unwrap();
	}
	let together = store.statistics().unwrap();
	assert_eq!(together.writes, alone.writes + PUTS);
	assert!(together.commits - alone.commits < PUTS / 2, "{} flushes", together.commits);
	for (agent, pages) in agents.iter().zip(&pages) {
		assert_eq!(store.get(agent, &[pages[0].0]).unwrap(), [Some(vec![2; 1000])]);
	}
}

#[test]
fn what_is_refused_in_a_group_changes_nothing_and_the_rest_of_it_is_stored() {
	let folder = tempfile::tempdir().unwrap();
	let limited = StoreConfig { bytes_max: 3000, agent_bytes_max: 2000, ..config(folder.path()) };
	let opened = over(StoreProcess(limited), SOON);
	let store = opened.blocking();
	let two = [(name(1), vec![1; 1000]), (name(2), vec![2; 1000])];
	store.put(&AGENT, &two).unwrap();
	let refused = |agent: &AgentId, pages: &[(H256, Vec<u8>)]| match store.put(agent, pages) {
		Err(StoreError::Refused(refusal)) => refusal,
		other => panic!("{other:?}"),
	};
	// At its edge; one byte more, though part of it would fit.
	let full = RequestError::AgentFull { bytes: 2001, bytes_max: 2000 };
	assert_eq!(refused(&AGENT, &[(name(1), vec![9; 10]), (name(3), vec![9; 991])]), full);
	assert_eq!(store.get(&AGENT, &[name(1), name(3)]).unwrap(), [Some(vec![1; 1000]), None]);
	store.put(&AGENT, &[(name(1), vec![7; 10]), (name(3), vec![9; 990])]).unwrap();
	let full = RequestError::StoreFull { bytes: 3001, bytes_max: 3000 };
	assert_eq!(refused(&STRANGER, &[(name(1), vec![3; 1001])]), full);
	assert_eq!(store.usage(&STRANGER).unwrap(), Usage::default());
	store.put(&STRANGER, &[(name(1), vec![3; 1000])]).unwrap();
	// Together: two of three fit, whichever come first.
	store.delete(&AGENT, &[name(1), name(2), name(3)]).unwrap();
	let agents = [4, 5, 6].map(H256::from_low_u64_be);
	let pages = [(name(1), vec![4; 1000])];
	let puts = block_on(join_all(agents.iter().map(|agent| opened.put(agent, &pages))));
	assert_eq!(puts.iter().filter(|put| put.is_ok()).count(), 2);
	assert_eq!(store.statistics().unwrap().stored, Usage { pages: 3, bytes: 3000 });
	// What makes it less passes under a lower limit.
	opened.close();
	let lower = StoreConfig { bytes_max: 100, agent_bytes_max: 100, ..config(folder.path()) };
	let opened = over(StoreProcess(lower), SOON);
	let store = opened.blocking();
	store.put(&STRANGER, &[(name(1), vec![3; 999])]).unwrap();
	assert_eq!(store.statistics().unwrap().stored.bytes, 2999);
	let longest = vec![0; PAGE_BYTES_MAX + 1];
	assert_eq!(
		store.put(&AGENT, &[(name(1), longest)]),
		Err(StoreError::PageTooLong { bytes: PAGE_BYTES_MAX + 1 })
	);
}

#[test]
fn the_longest_pages_fill_a_frame() {
	let folder = tempfile::tempdir().unwrap();
	let opened = store(folder.path());
	let store = opened.blocking();
	let mut rng = dice(3);
	let pages: Vec<_> = (0..PAGES_PER_FRAME_MAX as u64 * 2)
		.map(|number| (name(number), page(&mut rng, PAGE_BYTES_MAX)))
		.collect();
	store.put(&AGENT, &pages).unwrap();
	let names: Vec<_> = pages.iter().map(|(name, _)| *name).collect();
	let found = store.get(&AGENT, &names).unwrap();
	assert!(found.into_iter().zip(pages).all(|(found, (_, page))| found == Some(page)));
}

#[test]
fn a_second_process_on_a_folder_is_refused_by_name_and_serves_when_the_first_is_gone() {
	let folder = tempfile::tempdir().unwrap();
	let first = store(folder.path());
	first.blocking().put(&AGENT, &[(name(1), vec![1])]).unwrap();
	let second = store(folder.path());
	let in_use = StoreError::Unavailable(UnavailableError::CannotOpen(OpenError::InUse));
	assert_eq!(second.blocking().get(&AGENT, &[name(1)]), Err(in_use.clone()));
	assert!(in_use.to_string().contains("another process has the folder"), "{in_use}");
	first.blocking().put(&AGENT, &[(name(2), vec![2])]).unwrap();
	first.close();
	let closed = StoreError::Unavailable(UnavailableError::Closed);
	assert_eq!(first.blocking().get(&AGENT, &[name(1)]), Err(closed));
	let found = again(|| second.blocking().get(&AGENT, &[name(1), name(2)]));
	assert_eq!(found, [Some(vec![1]), Some(vec![2])]);
}

#[test]
fn without_a_program_or_a_folder_every_request_says_so_and_none_is_made() {
	let folder = tempfile::tempdir().unwrap();
	let none = StoreConfig { program: folder.path().join("none"), ..config(folder.path()) };
	let store = over(StoreProcess(none), SOON);
	let not_started = UnavailableError::NotStarted(std::io::ErrorKind::NotFound);
	let asked = || store.blocking().get(&AGENT, &[name(1)]);
	assert_eq!(asked(), Err(StoreError::Unavailable(not_started)));
	let cannot_open = |folder: &Path| {
		let store = over(StoreProcess(config(folder)), SOON);
		store.blocking().get(&AGENT, &[name(1)]).unwrap_err()
	};
	let unmounted = folder.path().join("disk").join("pages");
	let no_folder = StoreError::Unavailable(UnavailableError::CannotOpen(OpenError::NoFolder));
	assert_eq!(cannot_open(&unmounted), no_folder);
	assert!(!folder.path().join("disk").exists());
	let file = folder.path().join("file");
	std::fs::write(&file, b"no folder").unwrap();
	let refused = cannot_open(&file);
	assert!(
		matches!(
			refused,
			StoreError::Unavailable(UnavailableError::CannotOpen(OpenError::Disk { .. }))
		),
		"{refused}"
	);
}

#[test]
fn a_folder_that_is_made_or_mounted_meanwhile_is_served() {
	let disk = tempfile::tempdir().unwrap();
	let config = config(&disk.path().join("later").join("pages"));
	let store = over(StoreProcess(config.clone()), SOON);
	assert!(store.blocking().put(&AGENT, &[(name(1), vec![1])]).is_err());
	config.make_folder().unwrap();
	again(|| store.blocking().put(&AGENT, &[(name(1), vec![1])]));
	config.make_folder().unwrap();
	assert_eq!(store.blocking().get(&AGENT, &[name(1)]).unwrap(), [Some(vec![1])]);
}

/// What a terminal sends goes to its group.
#[test]
fn the_process_has_a_group_of_its_own_and_nothing_of_the_environment() {
	let folder = tempfile::tempdir().unwrap();
	let opened = store(folder.path());
	opened.blocking().usage(&AGENT).unwrap();
	let process = opened.status().process.unwrap();
	let id = Pid::from_raw(process as i32);
	assert_eq!(getpgid(id).ok(), id);
	assert!(std::env::vars_os().next().is_some());
	let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap();
	assert_eq!(String::from_utf8_lossy(&environment), "");
}

/// In the environment of a parent: where its process has a store.
const HELD_FOLDER: &str = "PHALA_TEST_HELD_FOLDER";

/// A parent whose process reads what somebody else writes: it does not end with the input.
fn hold(folder: &Path) {
	let config = config(folder);
	let mut process = Command::new(config.program)
		.arg("--folder")
		.arg(folder)
		.args(["--bytes-max", "1000", "--agent-bytes-max", "1000"])
		.stdout(Stdio::piped())
		.spawn()
		.unwrap();
	let hello = read_head(process.stdout.as_mut().unwrap()).unwrap();
	assert_eq!(hello.unwrap().id, HELLO_ID);
	println!("holds");
	// Until it is killed, or whoever started this is gone.
	let _ = process.wait();
}

/// Killed whatever happens.
struct Parent(Child);

impl Drop for Parent {
	fn drop(&mut self) {
		let _ = self.0.kill();
		let _ = self.0.wait();
	}
}

/// Starts itself once more, as the parent.
#[test]
fn the_process_ends_with_its_parent_though_its_input_goes_on() {
	if let Some(folder) = std::env::var_os(HELD_FOLDER) {
		return hold(Path::new(&folder));
	}
	let folder = tempfile::tempdir().unwrap();
	let this = "process::the_process_ends_with_its_parent_though_its_input_goes_on";
	let mut parent = Command::new(std::env::current_exe().unwrap())
		.args(["--exact", "--nocapture", this])
		.env(HELD_FOLDER, folder.path())
		.stdin(Stdio::piped())
		.stdout(Stdio::piped())
		.spawn()
		.map(Parent)
		.unwrap();
	let input = parent.0.stdin.take().unwrap();
	let said = BufReader::new(parent.0.stdout.take().unwrap()).lines();
	let (tell, told) = channel();
	std::thread::spawn(move || {
		tell.send(said.map_while(Result::ok).any(|line| line.contains("holds")))
	});
	assert_eq!(told.recv_timeout(SOON.open), Ok(true), "the parent's process opens");
	let second = store(folder.path());
	let in_use = StoreError::Unavailable(UnavailableError::CannotOpen(OpenError::InUse));
	assert_eq!(second.blocking().usage(&AGENT), Err(in_use));
	drop(parent);
	// The folder is free: it is asked until it is.
	assert_eq!(again(|| second.blocking().usage(&AGENT)), Usage::default());
	drop(input);
}

#[test]
fn reads_and_writes_of_many_tasks_under_way_at_once_are_each_answered_with_their_own() {
	let folder = tempfile::tempdir().unwrap();
	let opened = store(folder.path());
	let mut rng = dice(8);
	let pages: Vec<_> = (0..200).map(|number| (name(number), page(&mut rng, 20_000))).collect();
	block_on(opened.put(&AGENT, &pages)).unwrap();
	let writes = join_all((0..64).map(|agent| {
		let (opened, pages) = (&opened, &pages);
		async move { opened.put(&H256::from_low_u64_be(agent), &pages[..25]).await }
	}));
	let reads = join_all(pages.iter().map(|(name, page)| {
		let opened = &opened;
		async move { opened.get(&AGENT, &[*name]).await.unwrap() == [Some(page.clone())] }
	}));
	let (written, read) = block_on(async { futures::join!(writes, reads) });
	assert!(written.into_iter().all(|put| put.is_ok()) && read.into_iter().all(|right| right));
}
