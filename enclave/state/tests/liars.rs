//! Disks that lose, tear, flip, swap and go back, members of another release, and keys that change: a
//! page that is not the one is a missing page, never another value and never a panic.

mod common;

use common::*;
use phala_protocol::agents::AgentId;
use phala_state::{
	apply, holds_completely, missing, Batch, Complete, Key, PageKeys, PageName, Pages, Root, Run,
	Snapshot, Space, StateError, Step, UnusablePageError, Value, Writes,
};
use rand_chacha::rand_core::Rng;
use std::{collections::BTreeSet, sync::Arc};

/// A small tree on a disk, with values that have pages of their own.
fn stored(seed: u64, agent: AgentId, entries: usize) -> (Disk, Memory, Root, Map) {
	let mut rng = dice(seed);
	let memory = Memory::new(OLD_RELEASE);
	let all = writes(&mut rng, entries, 4 * entries, 0);
	let batch = write(&memory, &mut rng, &Root::empty(TINY.number), &all);
	let mut disk = Disk::default();
	disk.put(&agent, &sealed(&page_keys(agent), &mut rng, &batch)).unwrap();
	(disk, memory, batch.root, all.into_iter().map(|(key, value)| (key, value.unwrap())).collect())
}

/// Whatever a disk gives: each entry is right or its pages are named as missing.
fn right_or_missing(disk: &Disk, root: &Root, map: &Map) -> BTreeSet<PageName> {
	let memory = disk.memory(AGENT, &page_keys(AGENT), OLD_RELEASE);
	let snapshot = Snapshot::new(&memory, *root).unwrap();
	let mut absent = BTreeSet::new();
	for (key, value) in map {
		match snapshot.get(key) {
			Ok(found) => assert_eq!(found.as_ref(), Some(value)),
			Err(error) => absent.extend(error.missing().unwrap_or_else(|| panic!("{error}"))),
		}
	}
	absent
}

/// Flips one bit of a file.
struct BitFlipper;

impl BitFlipper {
	fn flip(disk: &mut Disk, name: PageName, byte: usize, bit: u32) {
		disk.files.get_mut(&(AGENT, name)).unwrap()[byte] ^= 1 << bit;
	}
}

#[test]
fn a_flipped_byte_at_any_place_of_any_page_makes_it_missing() {
	let (disk, memory, root, map) = stored(1, AGENT, 30);
	let keys = page_keys(AGENT);
	let kinds: BTreeSet<_> =
		memory.pages.borrow().values().map(|page| format!("{:?}", page.kind())).collect();
	assert_eq!(kinds.len(), 3, "leaves, inner pages, values: {kinds:?}");
	for ((_, name), bytes) in &disk.files {
		for byte in 0..bytes.len() {
			let mut flipped = bytes.clone();
			flipped[byte] ^= 1 << (byte % 8);
			let refused = keys.open(OLD_RELEASE, *name, &flipped);
			assert!(refused.is_err(), "byte {byte} of {name:?}");
		}
		// What reads the tree over it: at a few places, since that was refused at all.
		for byte in (0..bytes.len()).step_by(97) {
			let mut disk = disk.clone();
			BitFlipper::flip(&mut disk, *name, byte, 3);
			let absent = right_or_missing(&disk, &root, &map);
			assert_eq!(absent, BTreeSet::from([*name]));
			let memory = disk.memory(AGENT, &keys, OLD_RELEASE);
			assert_eq!(
				memory.complete(&root),
				Err(StateError::Missing(phala_state::Missing(vec![*name])))
			);
		}
	}
}

/// Gives one good page for another.
struct PageSwapper;

impl PageSwapper {
	fn swap(disk: &mut Disk, one: PageName, other: PageName) {
		let first = disk.files[&(AGENT, one)].clone();
		let second = disk.files.insert((AGENT, other), first).unwrap();
		disk.files.insert((AGENT, one), second);
	}
}

#[test]
fn a_good_page_in_anothers_place_is_missing() {
	let (disk, memory, root, map) = stored(2, AGENT, 40);
	let names: Vec<_> = memory.names().into_iter().collect();
	for pair in names.windows(2) {
		let mut swapped = disk.clone();
		PageSwapper::swap(&mut swapped, pair[0], pair[1]);
		let keys = page_keys(AGENT);
		let refused = keys.open(OLD_RELEASE, pair[0], &swapped.files[&(AGENT, pair[0])]);
		assert_eq!(refused.unwrap_err(), UnusablePageError::DoesNotOpen);
		let absent = right_or_missing(&swapped, &root, &map);
		assert!(!absent.is_empty() && absent.is_subset(&pair.iter().copied().collect()));
	}
}

#[test]
fn the_disk_of_another_agent_has_nothing_for_this_one() {
	let (disk, _, root, map) = stored(3, STRANGER, 40);
	let mut moved = Disk::default();
	for ((_, name), bytes) in disk.files {
		moved.files.insert((AGENT, name), bytes);
	}
	assert_eq!(right_or_missing(&moved, &root, &map), BTreeSet::from([root.page.unwrap()]));
}

/// Puts back what the disk was.
struct OldDisk(Disk);

#[test]
fn an_older_disk_lacks_what_is_newer_and_gets_only_that() {
	let mut rng = dice(4);
	let keys = page_keys(AGENT);
	let (mut disk, memory, old_root, old_map) = stored(4, AGENT, 120);
	let mut map = old_map.clone();
	let old = OldDisk(disk.clone());
	let mut root = old_root;
	for _ in 0..5 {
		let writes = writes(&mut rng, 3, 480, 3);
		let batch = write(&memory, &mut rng, &root, &writes);
		write_map(&mut map, &writes);
		disk.put(&AGENT, &sealed(&keys, &mut rng, &batch)).unwrap();
		disk.delete(&AGENT, &batch.replaced).unwrap();
		root = batch.root;
	}
	let peer = disk;
	let OldDisk(mut disk) = old;
	let before = disk.files.len();
	assert_eq!(right_or_missing(&disk, &root, &map), BTreeSet::from([root.page.unwrap()]));
	assert!(right_or_missing(&disk, &old_root, &old_map).is_empty(), "the past is what it was");
	// It is brought up to date from a member, page by page.
	let mut fetched = 0;
	loop {
		let memory = disk.memory(AGENT, &keys, OLD_RELEASE);
		let read = |name: &PageName| memory.pages.borrow().get(name).cloned();
		let absent =
			missing(OLD_RELEASE, &root, read, |name| memory.names().contains(name), 3).unwrap();
		assert!(absent.len() <= 3);
		if absent.is_empty() {
			break;
		}
		let pages = peer.get(&AGENT, &absent).unwrap().into_iter().map(Option::unwrap);
		let pages: Vec<_> = absent.into_iter().zip(pages).collect();
		fetched += pages.len();
		disk.put(&AGENT, &pages).unwrap();
	}
	assert!(right_or_missing(&disk, &root, &map).is_empty());
	assert!(fetched < before / 2, "{fetched} pages fetched, {before} were there");
}

/// Loses power while it writes: of what was under way each page is there, gone or torn.
struct TornWriter<R>(R);

impl<R: Rng> TornWriter<R> {
	fn tear(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
		match below(&mut self.0, 4) {
			0 => None,
			1 => Some(bytes.to_vec()),
			// Cut short.
			2 => Some(bytes[..below(&mut self.0, bytes.len() + 1)].to_vec()),
			// Sectors that were never written.
			_ => {
				let mut torn = bytes.to_vec();
				let from = below(&mut self.0, torn.len() + 1);
				torn[from..].fill(0);
				Some(torn)
			}
		}
	}
}

/// A member with a disk, and the chain's word on what is final.
struct Member {
	disk: Disk,
	/// As the chain has it.
	committed: Root,
	map: Map,
}

#[test]
fn power_lost_at_any_write_loses_nothing_that_was_acknowledged() {
	let keys = page_keys(AGENT);
	for seed in 0..40 {
		let mut rng = dice(1000 + seed);
		let mut member =
			Member { disk: Disk::default(), committed: Root::empty(TINY.number), map: Map::new() };
		let mut complete = Complete::empty(TINY.number);
		let mut memory = Memory::new(OLD_RELEASE);
		let mut torn = TornWriter(dice(seed));
		for turn in 0..12 {
			let size = 1 + below(&mut rng, 30);
			let writes = writes(&mut rng, size, 120, 4);
			let batch = write(&memory, &mut rng, &member.committed, &writes);
			member.disk.begin_put(AGENT, &sealed(&keys, &mut rng, &batch));
			let crash_at = below(&mut rng, 4);
			let mut is_committed = false;
			if crash_at != 0 {
				// Durable: it is acknowledged, and the chain takes it.
				member.disk.flush();
				complete = complete.after(&Step::from(&batch)).unwrap();
				member.committed = *complete.root();
				write_map(&mut member.map, &writes);
				is_committed = true;
				member.disk.begin_delete(AGENT, &batch.replaced);
				if crash_at == 3 {
					member.disk.flush();
				}
			}
			if crash_at != 3 {
				member.disk.crash(&mut |_, bytes| torn.tear(bytes));
			}
			// A new boot: nothing in memory, the root from the chain.
			let boot = member.disk.memory(AGENT, &keys, OLD_RELEASE);
			let found = boot.complete(&member.committed);
			assert!(found.is_ok(), "seed {seed}, turn {turn}, committed {is_committed}: {found:?}");
			assert_eq!(boot.map(&member.committed), member.map);
			complete = found.unwrap();
			// What the crash left and no root has is found and deleted.
			let reachable = boot.reachable(&member.committed);
			let left = member.disk.names(&AGENT, None, usize::MAX).unwrap();
			let left: Vec<_> = left.into_iter().filter(|name| !reachable.contains(name)).collect();
			member.disk.delete(&AGENT, &left).unwrap();
			memory = member.disk.memory(AGENT, &keys, OLD_RELEASE);
			assert_eq!(memory.names(), reachable);
		}
	}
}

#[test]
fn each_page_of_a_flush_lost_or_torn_alone_is_named_and_fetched_from_a_member() {
	let keys = page_keys(AGENT);
	let mut rng = dice(6);
	let (disk, memory, root, mut map) = stored(6, AGENT, 100);
	let writes = writes(&mut rng, 20, 400, 3);
	let batch = write(&memory, &mut rng, &root, &writes);
	write_map(&mut map, &writes);
	let pages = sealed(&keys, &mut rng, &batch);
	assert!(pages.len() > 5);
	for (lost, (name, bytes)) in pages.iter().enumerate() {
		for cut in [None, Some(0), Some(1), Some(bytes.len() / 2), Some(bytes.len() - 1)] {
			let mut disk = disk.clone();
			disk.begin_put(AGENT, &pages);
			disk.crash(&mut |index, bytes| match cut {
				_ if index != lost => Some(bytes.to_vec()),
				cut => cut.map(|cut| bytes[..cut].to_vec()),
			});
			let boot = disk.memory(AGENT, &keys, OLD_RELEASE);
			let absent = missing(
				OLD_RELEASE,
				&batch.root,
				|name| boot.pages.borrow().get(name).cloned(),
				|name| boot.names().contains(name),
				100,
			);
			assert_eq!(absent.unwrap(), vec![*name]);
			disk.put(&AGENT, &[(*name, bytes.clone())]).unwrap();
			assert!(right_or_missing(&disk, &batch.root, &map).is_empty());
		}
	}
}

#[test]
fn a_release_refuses_a_layout_that_it_does_not_know_by_name_and_nothing_moves_by_itself() {
	let mut rng = dice(7);
	let (_, old, root, mut map) = stored(7, AGENT, 100);
	let new = Memory { layouts: NEW_RELEASE, ..Memory::new(NEW_RELEASE) };
	new.pages.replace(old.pages.borrow().clone());
	// Both releases make the same pages as long as nobody says otherwise.
	let run = Run { id: [1; 32], version: 2 };
	let some = writes(&mut rng, 10, 400, 2);
	let by_old = apply(&old, &root, run, &some).unwrap();
	let by_new = apply(&new, &root, run, &some).unwrap();
	assert_eq!(by_old.root, by_new.root);

	let same = Batch::relayout(&new, &root, TINY.number, 2).unwrap_err();
	assert_eq!(same, StateError::LayoutFalls { layout: TINY.number, base: TINY.number });
	let unknown = StateError::UnknownLayout { layout: NEXT.number, known: vec![TINY.number] };
	assert_eq!(Batch::relayout(&old, &root, NEXT.number, 2).unwrap_err(), unknown);
	let moved = Batch::relayout(&new, &root, NEXT.number, 2).unwrap();
	assert!(moved.written.is_empty() && moved.root.hash() != root.hash());
	assert_eq!(Snapshot::new(&old, moved.root).err(), Some(unknown.clone()));
	assert_eq!(apply(&old, &moved.root, run, &some).err(), Some(unknown.clone()));
	assert_eq!(holds_completely(OLD_RELEASE, &moved.root, |_| None).err(), Some(unknown));

	// Old pages and new ones in one tree, until all were written.
	let mut root = moved.root;
	for deleted in [1, 2, 1, 8, 9] {
		let writes = writes(&mut rng, 60, 400, deleted);
		root = write(&new, &mut rng, &root, &writes).root;
		write_map(&mut map, &writes);
		assert_eq!(new.map(&root), map);
		assert!(new.complete(&root).is_ok());
	}
	let layouts: BTreeSet<_> =
		new.reachable(&root).iter().map(|name| new.pages.borrow()[name].layout()).collect();
	assert!(layouts.contains(&NEXT.number));
	// The old release cannot open a page that the new one wrote.
	let name = root.page.unwrap();
	let sealed = page_keys(AGENT).seal(&mut rng, &new.pages.borrow()[&name]);
	assert_eq!(
		page_keys(AGENT).open(OLD_RELEASE, name, &sealed).unwrap_err(),
		UnusablePageError::NotThePage { why: "its layout is unknown" }
	);
}

#[test]
fn sealing_anew_leaves_names_and_root_and_the_old_key_opens_nothing_new() {
	let mut rng = dice(8);
	let (mut disk, memory, root, map) = stored(8, AGENT, 60);
	let both = PageKeys::new(cipher(AGENT, 1, 2)).and_older(cipher(AGENT, 1, 1));
	for ((_, name), bytes) in disk.files.iter_mut() {
		assert!(both.is_outdated(bytes));
		let page = both.open(OLD_RELEASE, *name, bytes).unwrap();
		let anew = both.seal(&mut rng, &page);
		assert_ne!(&anew, bytes);
		assert!(!both.is_outdated(&anew));
		*bytes = anew;
	}
	let new_only = PageKeys::new(cipher(AGENT, 1, 2));
	let again = disk.memory(AGENT, &new_only, OLD_RELEASE);
	assert_eq!(again.names(), memory.names());
	assert_eq!(again.map(&root), map);
	let (name, bytes) = disk.files.iter().next().map(|((_, name), bytes)| (*name, bytes)).unwrap();
	assert_eq!(
		page_keys(AGENT).open(OLD_RELEASE, name, bytes).unwrap_err(),
		UnusablePageError::UnknownKey { epoch: 1, generation: 2 }
	);
}

#[test]
fn nobody_sees_that_two_pages_are_the_same_nor_what_is_in_them() {
	let mut rng = dice(9);
	let memory = Memory::new(OLD_RELEASE);
	let one = Writes::from([(key(b"marker-k"), Some(value(b"marker-v")))]);
	let first = write(&memory, &mut rng, &Root::empty(TINY.number), &one);
	let second = write(&memory, &mut rng, &Root::empty(TINY.number), &one);
	assert_ne!(first.root.hash(), second.root.hash(), "the same entries of two runs");
	let keys = page_keys(AGENT);
	let page = &first.written[0];
	let (once, twice) = (keys.seal(&mut rng, page), keys.seal(&mut rng, page));
	assert_ne!(once, twice);
	assert!(!once.windows(6).any(|bytes| bytes == b"marker"));
	let printed = format!("{:?} {:?} {:?}", page, one, first.root);
	assert!(!printed.contains("marker") && !printed.contains("109, 97, 114"), "{printed}");
}

#[test]
fn arbitrary_bytes_are_no_page() {
	let mut rng = dice(10);
	let keys = page_keys(AGENT);
	for length in (0..70_000).step_by(811) {
		let mut bytes = vec![0; length];
		rng.fill_bytes(&mut bytes);
		assert!(keys.open(OLD_RELEASE, PageName([1; 32].into()), &bytes).is_err());
	}
}

#[test]
fn a_root_that_lies_about_itself_is_refused_and_survived() {
	let (_, memory, root, map) = stored(11, AGENT, 80);
	let some_key: &Key = map.keys().next().unwrap();
	let lies = [
		Root { depth: root.depth + 1, ..root },
		Root { depth: root.depth - 1, ..root },
		Root { depth: 0, ..root },
		Root { depth: u8::MAX, ..root },
		Root { page: None, ..root },
		Root { page: None, depth: 0, ..root },
	];
	for lie in lies {
		let read = Snapshot::new(&memory, lie).and_then(|snapshot| snapshot.get(some_key));
		assert!(
			matches!(read, Err(StateError::BadRoot { .. } | StateError::NotATree { .. })),
			"{lie:?}: {read:?}"
		);
		assert!(memory.complete(&lie).is_err());
		let run = Run { id: [1; 32], version: 9 };
		let one = Writes::from([(some_key.clone(), None::<Value>)]);
		assert!(apply(&memory, &lie, run, &one).is_err());
	}
	for lie in [Root { pages: root.pages + 1, ..root }, Root { pages: 1, ..root }] {
		assert_eq!(
			memory.complete(&lie),
			Err(StateError::BadRoot { why: "it has another number of pages than it says" })
		);
	}
	let fewer = Root { pages: 0, entries: 0, bytes: 0, sealed_bytes: 0, ..root };
	let all = map.keys().map(|key| (key.clone(), None)).collect();
	let run = Run { id: [1; 32], version: 9 };
	assert!(matches!(apply(&memory, &fewer, run, &all), Err(StateError::BadRoot { .. })));
}

#[test]
fn wire_forms_are_frozen() {
	let memory = Memory::new(phala_state::LAYOUTS);
	let entries = Writes::from([
		(Key::new(Space::Entries, b"a").unwrap(), Some(value(b"1"))),
		(Key::new(Space::Schedule, b"b").unwrap(), Some(value(&[2; 1500]))),
	]);
	let run = Run { id: [7; 32], version: 5 };
	let batch = apply(&memory, &Root::empty(1), run, &entries).unwrap();
	memory.add(&batch);
	let names: Vec<_> = batch.written.iter().map(|page| format!("{:?}", page.name())).collect();
	assert_eq!(
		(names, format!("{:?}", batch.root.hash())),
		(
			vec![
				"0x1cdd954640675138eb3ee23983a74839734f041867b2f79082ec65abee4b5daa".into(),
				"0x934dbb08bb238c8d5900e063d1c6745c213cb531be559aed5b1d5214716ad5dc".into(),
			],
			"0x9e946eb99d07adec46934420823360cbd545d3c56884bdca1844687a42b67439".into()
		),
		"what was written before has other names now: that is another layout"
	);
	let sealed: Vec<_> = batch.written.iter().map(|page| page.sealed_bytes()).collect();
	assert_eq!((sealed, batch.root.pages, batch.root.bytes), (vec![2048, 1024], 2, 1503));
	let _: Vec<Arc<_>> = batch.written;
}
