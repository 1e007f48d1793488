//! The tree is a map, whatever is done to it and whatever is not at hand.

mod common;

use common::*;
use phala_state::{
	apply, diff, missing, Batch, Check, Gathered, Key, Lineage, PageName, Root, Run, Scan,
	Snapshot, Space, StateError, Step, Transaction, Walk, Writes,
};
use proptest::prelude::*;
use std::{collections::BTreeSet, ops::Bound};

fn cases(cases: u32) -> ProptestConfig {
	ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Asks again and again, each time with what was missing, until it is there. How often.
fn fetching<T>(
	all: &Memory,
	some: &Gathered<&Memory>,
	mut ask: impl FnMut(&Gathered<&Memory>) -> Result<T, StateError>,
) -> (T, usize) {
	for round in 1.. {
		match ask(some) {
			Ok(found) => return (found, round),
			Err(error) => {
				let names = error.missing().unwrap_or_else(|| panic!("{error}")).to_vec();
				assert!(!names.is_empty());
				assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "asked once");
				for name in names {
					some.add(all.pages.borrow()[&name].clone());
				}
			}
		}
	}
	unreachable!()
}

proptest! {
	#![proptest_config(cases(32))]

	#[test]
	fn a_tree_reads_as_the_map_and_counts_and_replaces_exactly(
		seed in any::<u64>(), keys in 1usize..500, size in 1usize..90,
	) {
		let mut rng = dice(seed);
		let (memory, mut map) = (Memory::new(OLD_RELEASE), Map::new());
		let mut root = Root::empty(TINY.number);
		for step in 0..24 {
			// It grows, then shrinks to nothing or nearly.
			let deleted = if step < 14 { 2 } else { 9 };
			let writes = writes(&mut rng, size, keys, deleted);
			let before = memory.reachable(&root);
			let batch = write(&memory, &mut rng, &root, &writes);
			write_map(&mut map, &writes);

			prop_assert_eq!(memory.map(&batch.root), map.clone());
			let after = memory.reachable(&batch.root);
			let written = batch.written.iter().map(|page| page.name()).collect::<BTreeSet<_>>();
			let replaced = batch.replaced.iter().copied().collect::<BTreeSet<_>>();
			prop_assert_eq!(&written, &after.difference(&before).copied().collect());
			prop_assert_eq!(&replaced, &before.difference(&after).copied().collect());
			root = batch.root;
			prop_assert_eq!(root.entries, map.len() as u64);
			let bytes = map.iter().map(|(key, value)| key.name().len() + value.expose().len());
			prop_assert_eq!(root.bytes, bytes.sum::<usize>() as u64);
			prop_assert_eq!(root.pages, after.len() as u64);
			let pages = memory.pages.borrow();
			let sealed = after.iter().map(|name| pages[name].sealed_bytes()).sum::<u64>();
			prop_assert_eq!(root.sealed_bytes, sealed);
		}
		let all = map.keys().map(|key| (key.clone(), None)).collect();
		let emptied = write(&memory, &mut rng, &root, &all).root;
		prop_assert_eq!(emptied, Root { version: emptied.version, ..Root::empty(TINY.number) });
	}

	#[test]
	fn what_is_not_at_hand_is_asked_for_and_changes_nothing(seed in any::<u64>()) {
		let mut rng = dice(seed);
		let all = Memory::new(OLD_RELEASE);
		let root = grown(&all, &mut rng, 6, 80, 400);
		let map = all.map(&root);
		let nothing = Memory::new(OLD_RELEASE);

		let writes = writes(&mut rng, 20, 400, 6);
		let run = Run { id: [9; 32], version: root.version + 1 };
		let at_hand = apply(&all, &root, run, &writes).unwrap();
		let (fetched, rounds) =
			fetching(&all, &Gathered::new(&nothing), |some| apply(some, &root, run, &writes));
		prop_assert_eq!(fetched.root, at_hand.root);
		prop_assert_eq!(&fetched.replaced, &at_hand.replaced);
		let names = |batch: &Batch| batch.written.iter().map(|page| page.name()).collect::<Vec<_>>();
		prop_assert_eq!(names(&fetched), names(&at_hand), "any member makes the same pages");
		// Down at once for all writes, and once more for neighbours on each level.
		prop_assert!(rounds <= 2 * usize::from(root.depth) + 1, "{rounds} rounds");

		for (key, value) in map.iter().step_by(29) {
			let (found, rounds) = fetching(&all, &Gathered::new(&nothing), |some| {
				Snapshot::new(some, root).unwrap().get(key)
			});
			prop_assert_eq!(found.as_ref(), Some(value));
			prop_assert!(rounds <= usize::from(root.depth) + 2, "a page of each level, then the value's");
			all.reads.set(0);
			Snapshot::new(&all, root).unwrap().get(key).unwrap();
			let value_pages = value.expose().len().div_ceil(32);
			prop_assert!(all.reads.get() <= usize::from(root.depth) + value_pages);
		}
		let (found, _) = fetching(&all, &Gathered::new(&nothing), |some| {
			Snapshot::new(some, root).unwrap().scan(&Scan::all(Space::Nonces))
		});
		let expected = map.into_iter().filter(|(key, _)| key.space() == Space::Nonces).collect::<Vec<_>>();
		prop_assert_eq!(found.entries, expected);
	}

	#[test]
	fn a_scan_gives_what_the_map_has_and_goes_on_where_it_ended(
		seed in any::<u64>(), entries_max in 1usize..20, bytes_max in 1usize..300, prefix in "[0-9a-f]{0,2}",
		from in "[0-9a-f]{0,3}", until in "[0-9a-f]{0,3}", kind in 0usize..9,
	) {
		let mut rng = dice(seed);
		let (memory, mut map) = (Memory::new(OLD_RELEASE), Map::new());
		let mut root = Root::empty(TINY.number);
		for _ in 0..3 {
			let writes = writes(&mut rng, 120, 600, 2);
			root = write(&memory, &mut rng, &root, &writes).root;
			write_map(&mut map, &writes);
		}
		// A transaction that has written too.
		let mut run = Transaction::new(&memory, root).unwrap();
		for (key, value) in writes(&mut rng, 60, 600, 4) {
			prop_assert_eq!(run.get(&key).unwrap(), map.get(&key).cloned());
			match value {
				Some(value) => run.set(key, value),
				None => run.delete(key),
			}
		}
		write_map(&mut map, run.writes());
		let bound = |name: &str, kind| match kind {
			0 => Bound::Unbounded,
			1 => Bound::Included(name.as_bytes().to_vec()),
			_ => Bound::Excluded(name.as_bytes().to_vec()),
		};
		let (from, until) = (bound(&from, kind % 3), bound(&until, kind / 3));
		let mut scan = Scan {
			space: Space::Outbox, prefix: prefix.clone().into_bytes(), from: from.clone(), until: until.clone(),
			entries_max, bytes_max,
		};
		let is_asked = |key: &Key| {
			let name = key.name();
			let after = match &from {
				Bound::Unbounded => true,
				Bound::Included(from) => name >= &from[..],
				Bound::Excluded(from) => name > &from[..],
			};
			let before = match &until {
				Bound::Unbounded => true,
				Bound::Included(until) => name <= &until[..],
				Bound::Excluded(until) => name < &until[..],
			};
			key.space() == Space::Outbox && name.starts_with(prefix.as_bytes()) && after && before
		};
		let expected: Vec<_> = map.into_iter().filter(|(key, _)| is_asked(key)).collect();
		let mut found = Vec::new();
		loop {
			let part = run.scan(&scan).unwrap();
			prop_assert!(part.entries.len() <= entries_max);
			let bytes = part.entries.iter().map(|(k, v)| k.name().len() + v.expose().len()).sum::<usize>();
			prop_assert!(bytes <= bytes_max || part.entries.len() == 1);
			found.extend(part.entries);
			let Some(next) = part.next else { break };
			scan.from = Bound::Included(next.name().to_vec());
		}
		prop_assert_eq!(found, expected);
	}

	#[test]
	fn two_roots_differ_by_exactly_what_was_written(seed in any::<u64>(), runs in 1usize..6, size in 1usize..60) {
		let mut rng = dice(seed);
		let memory = Memory::new(OLD_RELEASE);
		let old_runs = below(&mut rng, 5);
		let old = grown(&memory, &mut rng, old_runs, 100, 400);
		let mut new = old;
		let mut joined: Option<Batch> = None;
		for _ in 0..runs {
			let writes = writes(&mut rng, size, 400, 5);
			let batch = write(&memory, &mut rng, &new, &writes);
			new = batch.root;
			joined = Some(match joined {
				Some(first) => first.join(batch).unwrap(),
				None => batch,
			});
		}
		let found = diff(&memory, &old, &new, 10_000).unwrap();
		let (old_pages, new_pages) = (memory.reachable(&old), memory.reachable(&new));
		let set = |names: &[PageName]| names.iter().copied().collect::<BTreeSet<_>>();
		prop_assert_eq!(set(&found.only_old), old_pages.difference(&new_pages).copied().collect());
		prop_assert_eq!(set(&found.only_new), new_pages.difference(&old_pages).copied().collect());
		prop_assert_eq!(found.only_old.len(), set(&found.only_old).len());

		let joined = joined.unwrap();
		prop_assert_eq!(set(&joined.replaced), set(&found.only_old));
		let written = joined.written.iter().map(|page| page.name()).collect::<Vec<_>>();
		prop_assert_eq!(set(&written), set(&found.only_new), "nothing that came and went is stored");

		let (old_map, new_map) = (memory.map(&old), memory.map(&new));
		let changed = found.changed.iter().cloned().collect::<BTreeSet<_>>();
		let keys = old_map.keys().chain(new_map.keys()).cloned().collect::<BTreeSet<_>>();
		for key in keys {
			let (was, is) = (old_map.get(&key), new_map.get(&key));
			if was != is {
				prop_assert!(changed.contains(&key));
			} else if is.is_some_and(|value| value.expose().len() <= TINY.inline_bytes_max) {
				prop_assert!(!changed.contains(&key));
			}
		}
	}

	#[test]
	fn what_is_collected_no_live_root_has_and_nothing_is_left_behind(seed in any::<u64>()) {
		let mut rng = dice(seed);
		let store = Memory::new(OLD_RELEASE);
		let first = grown(&store, &mut rng, 1, 150, 300);
		let mut lineage = Lineage::new(first);
		let mut maps = std::collections::BTreeMap::from([(first, store.map(&first))]);
		let mut readers = Vec::new();
		for _ in 0..60 {
			let undecided: Vec<Root> = lineage.undecided().map(|step| step.root).collect();
			match below(&mut rng, 8) {
				// Stacked, or beside another.
				0..=3 if undecided.len() < 12 => {
					let bases = [&undecided[..], &[*lineage.trunk()]].concat();
					let base = bases[below(&mut rng, bases.len())];
					let size = 1 + below(&mut rng, 25);
					let writes = writes(&mut rng, size, 300, 5);
					let batch = write(&store, &mut rng, &base, &writes);
					let mut map = maps[&base].clone();
					write_map(&mut map, &writes);
					maps.insert(batch.root, map);
					lineage.extend(Step::from(&batch)).unwrap();
				}
				4 if !undecided.is_empty() => {
					let taken = undecided[below(&mut rng, undecided.len())];
					store.remove(&lineage.finalize(taken.hash()).unwrap());
					prop_assert_eq!(*lineage.trunk(), taken);
				}
				5 if !undecided.is_empty() => {
					let refused = undecided[below(&mut rng, undecided.len())];
					store.remove(&lineage.abandon(refused.hash()));
				}
				6 if readers.len() < 4 => readers.push(lineage.read()),
				7 if !readers.is_empty() => {
					let reader = readers.swap_remove(below(&mut rng, readers.len()));
					store.remove(&lineage.done(reader));
				}
				_ => {}
			}
			let alive = lineage.undecided().map(|step| step.root).chain([*lineage.trunk()]);
			for root in alive.chain(readers.iter().map(|reader| *reader.root())) {
				prop_assert_eq!(&store.map(&root), &maps[&root]);
				prop_assert!(store.complete(&root).is_ok());
			}
		}
		for reader in readers {
			store.remove(&lineage.done(reader));
		}
		let undecided: Vec<Root> = lineage.undecided().map(|step| step.root).collect();
		for root in undecided {
			store.remove(&lineage.abandon(root.hash()));
		}
		prop_assert_eq!(store.names(), store.reachable(lineage.trunk()));
	}

	#[test]
	fn a_walk_finds_what_a_disk_lacks_in_any_order_and_within_its_bound(
		seed in any::<u64>(), asked_max in 1usize..12, lost_of_ten in 0usize..10,
	) {
		let mut rng = dice(seed);
		let peer = Memory::new(OLD_RELEASE);
		let root = grown(&peer, &mut rng, 4, 90, 400);
		let all = peer.reachable(&root);
		let disk = Memory::new(OLD_RELEASE);
		let lost: BTreeSet<_> = all.iter().copied().filter(|_| below(&mut rng, 10) < lost_of_ten).collect();
		for name in all.difference(&lost) {
			disk.pages.borrow_mut().insert(*name, peer.pages.borrow()[name].clone());
		}
		let check = if below(&mut rng, 2) == 0 { Check::Presence } else { Check::Contents };
		let mut walk = Walk::new(OLD_RELEASE, root, check).unwrap();
		let mut fetched = BTreeSet::new();
		loop {
			walk.want(asked_max);
			let mut asked: Vec<_> = walk.asked().collect();
			prop_assert!(asked.len() <= asked_max);
			prop_assert_eq!(walk.complete().unwrap().is_some(), asked.is_empty());
			if asked.is_empty() {
				break;
			}
			// They come in any order, some of them later.
			let wanted = asked.swap_remove(below(&mut rng, asked.len()));
			let stored = disk.pages.borrow().get(&wanted.page).cloned();
			match stored {
				Some(_) if !wanted.contents => walk.present(&wanted.page),
				Some(page) => walk.page(&page).unwrap(),
				None => {
					let page = peer.pages.borrow()[&wanted.page].clone();
					prop_assert!(fetched.insert(wanted.page));
					disk.pages.borrow_mut().insert(wanted.page, page.clone());
					walk.page(&page).unwrap();
				}
			}
		}
		prop_assert_eq!(fetched, lost, "nothing is fetched that is there");
		prop_assert_eq!(walk.found(), root.pages);
		let complete = disk.complete(&root).unwrap();
		prop_assert_eq!(complete.root(), &root);
		let absent = missing(
			OLD_RELEASE, &root, |name| disk.pages.borrow().get(name).cloned(), |_| true, 5,
		);
		prop_assert_eq!(absent.unwrap(), vec![]);
	}
}

#[test]
fn a_tree_that_shrinks_gives_its_space_back() {
	let mut rng = dice(1);
	let memory = Memory::new(OLD_RELEASE);
	let name = |number: usize| key(format!("{number:08}").as_bytes());
	let all = (0..4000).map(|number| (name(number), Some(value(b"0123456789")))).collect();
	let full = write(&memory, &mut rng, &Root::empty(TINY.number), &all).root;
	// One of fifty stays, deleted a few at a time.
	let mut root = full;
	for part in (0..4000).collect::<Vec<_>>().chunks(37) {
		let gone =
			part.iter().filter(|number| *number % 50 != 0).map(|number| (name(*number), None));
		root = write(&memory, &mut rng, &root, &gone.collect()).root;
	}
	assert_eq!(root.entries, 80);
	assert!(root.pages < full.pages / 20, "{} of {} pages are left", root.pages, full.pages);
	assert!(root.depth < full.depth);
}

#[test]
fn what_is_added_at_the_end_leaves_full_pages() {
	let mut rng = dice(2);
	let memory = Memory::new(OLD_RELEASE);
	let mut root = Root::empty(TINY.number);
	for number in 0..1500 {
		let one =
			Writes::from([(key(format!("{number:08}").as_bytes()), Some(value(b"0123456789")))]);
		root = write(&memory, &mut rng, &root, &one).root;
	}
	let leaf_entries = (404 - 52) / (9 + 10 + 3);
	let leaves_full = 1500_u64.div_ceil(leaf_entries);
	assert!(root.pages < leaves_full * 2, "{} pages, {leaves_full} full leaves", root.pages);
	// A queue: what is taken at its front makes room too.
	for number in 0..1490 {
		let one = Writes::from([(key(format!("{number:08}").as_bytes()), None)]);
		root = write(&memory, &mut rng, &root, &one).root;
	}
	assert!(root.entries == 10 && root.pages <= 2, "{} pages", root.pages);
}

#[test]
fn a_write_that_changes_nothing_writes_no_page() {
	let mut rng = dice(3);
	let memory = Memory::new(OLD_RELEASE);
	let all: Writes = writes(&mut rng, 100, 300, 0);
	let root = write(&memory, &mut rng, &Root::empty(TINY.number), &all).root;
	let short = all.iter().filter(|(_, value)| {
		value.as_ref().is_some_and(|value| value.expose().len() <= TINY.inline_bytes_max)
	});
	let mut same: Writes = short.map(|(key, value)| (key.clone(), value.clone())).collect();
	same.insert(key(b"absent"), None);
	let batch = write(&memory, &mut rng, &root, &same);
	assert!(batch.written.is_empty() && batch.replaced.is_empty());
	assert_eq!(batch.root, Root { version: root.version + 1, ..root });
}
