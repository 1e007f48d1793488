//! Each bound at its edge and one past it, with the layout that is written.

mod common;

use common::*;
use phala_state::{
	diff, limits::*, CacheLimits, Key, Layouts, Lineage, Page, PageCache, PageName, PageSource,
	Root, Scan, Snapshot, Space, StateError, Step, Value, Writes, LAYOUTS, LAYOUT_1,
};
use std::sync::Arc;

#[test]
fn keys_and_values_at_their_longest_fit_pages_that_fit_their_steps() {
	let mut rng = dice(1);
	let memory = Memory::new(LAYOUTS);
	let longest = Key::new(Space::Entries, &[0xff; KEY_BYTES_MAX]).unwrap();
	let too_long = Key::new(Space::Entries, &[0; KEY_BYTES_MAX + 1]);
	assert_eq!(
		too_long,
		Err(StateError::KeyTooLong { bytes: KEY_BYTES_MAX + 1, bytes_max: KEY_BYTES_MAX })
	);
	let too_long = Value::new(vec![0; VALUE_BYTES_MAX + 1]);
	assert_eq!(
		too_long,
		Err(StateError::ValueTooLong { bytes: VALUE_BYTES_MAX + 1, bytes_max: VALUE_BYTES_MAX })
	);

	let mut all = Writes::new();
	for (index, bytes) in
		[0, INLINE_VALUE_BYTES_MAX, INLINE_VALUE_BYTES_MAX + 1, 65_416, 65_417, VALUE_BYTES_MAX]
			.into_iter()
			.cycle()
			.take(60)
			.enumerate()
	{
		let mut name = [0xee; KEY_BYTES_MAX];
		name[KEY_BYTES_MAX - 1] = index as u8;
		all.insert(
			Key::new(Space::Entries, &name).unwrap(),
			Some(Value::new(vec![index as u8; bytes]).unwrap()),
		);
	}
	all.insert(longest.clone(), Some(value(b"last")));
	let batch = write(&memory, &mut rng, &Root::empty(LAYOUT_1.number), &all);
	let keys = page_keys(AGENT);
	for page in &batch.written {
		let sealed = keys.seal(&mut rng, page);
		let most = match page.kind() {
			phala_state::PageKind::Value => VALUE_PAGE_BYTES_MAX,
			_ => NODE_PAGE_BYTES_MAX,
		};
		assert!(sealed.len() <= most, "{page:?}: {} bytes", sealed.len());
		assert!(
			page.sealed_bytes() >= sealed.len() as u64
				&& page.sealed_bytes() < sealed.len() as u64 + 8
		);
		assert!(keys.open(LAYOUTS, page.name(), &sealed).is_ok());
	}
	let snapshot = Snapshot::new(&memory, batch.root).unwrap();
	for (key, value) in &all {
		assert_eq!(&snapshot.get(key).unwrap(), value);
	}
	assert!(memory.complete(&batch.root).is_ok());
	let found = snapshot.scan(&Scan::all(Space::Entries)).unwrap().entries;
	assert_eq!(found.len(), all.len());
	// All of it goes again.
	let none = all.keys().map(|key| (key.clone(), None)).collect();
	let emptied = write(&memory, &mut rng, &batch.root, &none);
	assert_eq!((emptied.root.page, emptied.root.pages, emptied.root.sealed_bytes), (None, 0, 0));
}

#[test]
fn a_layout_with_shorter_keys_and_values_refuses_longer_ones_by_name() {
	let memory = Memory::new(OLD_RELEASE);
	let run = phala_state::Run { id: [1; 32], version: 1 };
	let root = Root::empty(TINY.number);
	let refused = |key: Key, value: Value| {
		phala_state::apply(&memory, &root, run, &Writes::from([(key, Some(value))])).unwrap_err()
	};
	assert_eq!(
		refused(key(b"123456789"), value(b"")),
		StateError::KeyTooLong { bytes: 9, bytes_max: 8 }
	);
	assert_eq!(
		refused(key(b"1"), value(&[0; 65])),
		StateError::ValueTooLong { bytes: 65, bytes_max: 64 }
	);
	let edge = Writes::from([(key(b"12345678"), Some(value(&[0; 64])))]);
	assert!(phala_state::apply(&memory, &root, run, &edge).is_ok());
}

#[test]
fn versions_do_not_fall() {
	let mut rng = dice(2);
	let memory = Memory::new(OLD_RELEASE);
	let one = Writes::from([(key(b"a"), Some(value(b"1")))]);
	let root = write(&memory, &mut rng, &Root::empty(TINY.number), &one).root;
	let run = phala_state::Run { id: [1; 32], version: 0 };
	let refused = phala_state::apply(&memory, &root, run, &one).unwrap_err();
	assert_eq!(refused, StateError::VersionFalls { version: 0, base: 1 });
}

#[test]
fn a_comparison_of_what_differs_too_much_is_refused_by_its_bound() {
	let mut rng = dice(3);
	let memory = Memory::new(OLD_RELEASE);
	let empty = Root::empty(TINY.number);
	let root = write(&memory, &mut rng, &empty, &writes(&mut dice(4), 300, 900, 0)).root;
	let leaves = {
		let kinds = memory.pages.borrow();
		kinds.values().filter(|page| page.kind() == phala_state::PageKind::Leaf).count()
	};
	assert!(diff(&memory, &empty, &root, leaves).is_ok());
	assert_eq!(
		diff(&memory, &empty, &root, leaves - 1),
		Err(StateError::TooDifferent { pages_max: leaves - 1 })
	);
}

#[test]
fn no_more_steps_are_undecided_than_the_limit() {
	let root = Root::empty(TINY.number);
	let mut lineage = Lineage::new(root);
	let step = |version| Step {
		base: root,
		root: Root { version, ..root },
		written: vec![],
		replaced: vec![],
	};
	for version in 1..=UNDECIDED_STEPS_MAX as u64 {
		lineage.extend(step(version)).unwrap();
	}
	let one_more = step(UNDECIDED_STEPS_MAX as u64 + 1);
	assert_eq!(lineage.extend(one_more), Err(StateError::TooManyUndecided));
	let strange = Step { base: Root { version: 7_777_777, ..root }, ..step(1) };
	let hash = strange.base.hash();
	assert_eq!(lineage.extend(strange), Err(StateError::UnknownRoot { root: hash }));
	assert_eq!(lineage.finalize(hash), Err(StateError::UnknownRoot { root: hash }));
	assert_eq!(lineage.undecided().count(), UNDECIDED_STEPS_MAX, "a refusal changes nothing");
}

fn some_pages(count: usize) -> Vec<Arc<Page>> {
	let memory = Memory::new(OLD_RELEASE);
	let root = Root::empty(TINY.number);
	let pages = write(&memory, &mut dice(5), &root, &writes(&mut dice(6), 400, 2000, 0)).written;
	assert!(pages.len() >= count);
	pages.into_iter().take(count).collect()
}

fn names(pages: &[Arc<Page>]) -> Vec<PageName> {
	pages.iter().map(|page| page.name()).collect()
}

#[test]
fn the_cache_keeps_to_its_limits_and_forgets_what_was_used_longest_ago() {
	let pages = some_pages(40);
	let bytes = |pages: &[Arc<Page>]| pages.iter().map(|page| page.cached_bytes()).sum::<usize>();
	let limits = CacheLimits {
		agent_bytes_max: bytes(&pages[..10]),
		bytes_max: bytes(&pages) / 2,
		unsaved_bytes_max: bytes(&pages),
	};
	let cache = PageCache::new(OLD_RELEASE, limits);
	let own = cache.of(AGENT);
	for page in &pages[..10] {
		own.add(page.clone());
	}
	assert_eq!(own.bytes(), limits.agent_bytes_max, "at its limit");
	assert!(own.page(&pages[0].name()).is_some());
	own.add(pages[10].clone());
	assert!(own.bytes() <= limits.agent_bytes_max);
	assert!(own.page(&pages[0].name()).is_some(), "it was used just now");
	assert!(own.page(&pages[1].name()).is_none(), "it was used longest ago");
	assert!(cache.of(STRANGER).page(&pages[0].name()).is_none(), "each agent has its own");

	for agent in 0..20u8 {
		let other = cache.of([agent; 32].into());
		for page in &pages[..10] {
			other.add(page.clone());
		}
		assert!(cache.bytes() <= limits.bytes_max, "all together");
	}
	assert_eq!(own.bytes(), 0, "whoever was longest silent made room");
	cache.forget(&[19; 32].into());
	assert_eq!(cache.of([19; 32].into()).bytes(), 0);
}

#[test]
fn what_is_not_stored_yet_stays_in_the_cache_whatever_comes() {
	let pages = some_pages(40);
	let bytes = |pages: &[Arc<Page>]| pages.iter().map(|page| page.cached_bytes()).sum::<usize>();
	let unsaved_bytes_max = bytes(&pages[..10]);
	let limits = CacheLimits { agent_bytes_max: 1, bytes_max: 1, unsaved_bytes_max };
	let cache = PageCache::new(OLD_RELEASE, limits);
	let own = cache.of(AGENT);
	own.hold(&pages[..10]).unwrap();
	for page in &pages[10..] {
		own.add(page.clone());
		cache.of(STRANGER).add(page.clone());
	}
	for page in &pages[..10] {
		assert!(own.page(&page.name()).is_some());
	}
	let refused = own.hold(&pages[10..11]).unwrap_err();
	let found = unsaved_bytes_max + pages[10].cached_bytes();
	assert_eq!(refused, StateError::TooMuchUnsaved { bytes: found, bytes_max: unsaved_bytes_max });
	own.saved(&names(&pages[..5]));
	assert_eq!(own.bytes(), bytes(&pages[5..10]), "what is stored can go");
	own.remove(&names(&pages[5..10]));
	assert_eq!((own.bytes(), cache.bytes()), (0, 0));
	own.hold(&pages[10..11]).unwrap();
}

#[test]
fn the_new_layout_is_the_last_of_a_release() {
	const BOTH: Layouts = NEW_RELEASE;
	assert_eq!(BOTH.newest(), NEXT.number);
	assert_eq!(LAYOUTS.newest(), LAYOUT_1.number);
}
