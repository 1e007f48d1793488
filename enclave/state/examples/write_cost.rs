//! What one write of 100 bytes costs in trees of some sizes: pages, bytes on a disk, milliseconds; and
//! what a lookup reads. `cargo run --release -p phala-state --example write_cost -- 1000 1000000`
//!
//! Names are 32 hexadecimal digits at random, values 100 bytes. Pages are kept in memory as plaintext,
//! so memory is the limit: about 350 bytes an entry.

use phala_keys::{
	cluster::{ClusterKey, ClusterKeyId, ClusterKeyKind},
	pages::PageCipher,
};
use phala_state::{
	apply, Batch, Key, Layout, Layouts, Page, PageKeys, PageName, PageSource, Root, Run, Snapshot,
	Space, Value, Writes, LAYOUT_1,
};
use rand_chacha::{
	rand_core::{Rng, SeedableRng},
	ChaCha20Rng,
};
use std::{cell::Cell, collections::HashMap, env, sync::Arc, time::Instant};

const fn sized(number: u16, kib: usize) -> Layout {
	let bytes = kib * 1024 - phala_state::limits::SEALING_BYTES;
	Layout { number, leaf_bytes_max: bytes, inner_bytes_max: bytes, ..LAYOUT_1 }
}

/// With shorter keys and values within leaves, so that they fit.
const SHORT: Layout =
	Layout { key_bytes_max: 64, inline_bytes_max: 256, value_bytes_max: 256 * 1024, ..sized(4, 4) };

const ALL: Layouts = Layouts::new(&[SHORT, sized(16, 16), LAYOUT_1]);
const WRITES: usize = 1_000;

struct Memory {
	pages: HashMap<PageName, Arc<Page>>,
	reads: Cell<usize>,
}

impl PageSource for Memory {
	fn layouts(&self) -> Layouts {
		ALL
	}

	fn page(&self, name: &PageName) -> Option<Arc<Page>> {
		self.reads.set(self.reads.get() + 1);
		self.pages.get(name).cloned()
	}
}

impl Memory {
	fn write(&mut self, rng: &mut impl Rng, base: &Root, writes: &Writes) -> Batch {
		let mut id = [0; 32];
		rng.fill_bytes(&mut id);
		let run = Run { id, version: base.version + 1 };
		apply(self, base, run, writes).unwrap()
	}

	fn keep(&mut self, batch: &Batch) {
		for name in &batch.replaced {
			self.pages.remove(name);
		}
		self.pages.extend(batch.written.iter().map(|page| (page.name(), page.clone())));
	}
}

fn key(number: u64) -> Key {
	let mut name = [0; 16];
	ChaCha20Rng::seed_from_u64(number).fill_bytes(&mut name);
	let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
	Key::new(Space::Entries, name.as_bytes()).unwrap()
}

fn value(rng: &mut impl Rng) -> Value {
	let mut bytes = vec![0; 100];
	rng.fill_bytes(&mut bytes);
	Value::new(bytes).unwrap()
}

fn measure(layout: &Layout, entries: u64) {
	let mut rng = ChaCha20Rng::seed_from_u64(1);
	let mut memory = Memory { pages: HashMap::new(), reads: Cell::new(0) };
	let mut root = Root::empty(layout.number);
	let built = Instant::now();
	let mut next = 0;
	while next < entries {
		let to = (next + 20_000.max(next / 4)).min(entries);
		let writes = (next..to).map(|number| (key(number), Some(value(&mut rng)))).collect();
		next = to;
		let batch = memory.write(&mut rng, &root, &writes);
		memory.keep(&batch);
		root = batch.root;
	}
	let built = built.elapsed();

	let id = ClusterKeyId { kind: ClusterKeyKind::Data, number: 1 };
	let cluster = ClusterKey::generate(&mut rng, 1, id);
	let keys = PageKeys::new(PageCipher::new(&cluster, [1; 32].into(), 1, 1).unwrap());
	let (mut pages, mut bytes, mut applied, mut sealed, mut opened) = (0, 0, 0.0, 0.0, 0.0);
	for _ in 0..WRITES {
		let one = Writes::from([(key(rng.next_u64() % entries), Some(value(&mut rng)))]);
		let start = Instant::now();
		let batch = memory.write(&mut rng, &root, &one);
		applied += start.elapsed().as_secs_f64();
		let start = Instant::now();
		let seals: Vec<_> =
			batch.written.iter().map(|page| (page.name(), keys.seal(&mut rng, page))).collect();
		sealed += start.elapsed().as_secs_f64();
		pages += seals.len();
		bytes += seals.iter().map(|(_, sealed)| sealed.len()).sum::<usize>();
		let start = Instant::now();
		for (name, sealed) in &seals {
			keys.open(ALL, *name, sealed).unwrap();
		}
		opened += start.elapsed().as_secs_f64();
		memory.keep(&batch);
		root = batch.root;
	}
	memory.reads.set(0);
	let start = Instant::now();
	let snapshot = Snapshot::new(&memory, root).unwrap();
	for _ in 0..WRITES {
		assert!(snapshot.get(&key(rng.next_u64() % entries)).unwrap().is_some());
	}
	let got = start.elapsed().as_secs_f64();
	let per_write = |total: f64| total / WRITES as f64;
	println!(
		"pages of {} KiB, {entries} entries: {:.2} pages, {:.1} KiB, {:.3} ms (applying {:.3}, sealing {:.3}; \
		 opening them again {:.3}); a lookup reads {:.2} pages of depth {} in {:.4} ms; the tree has {} pages, \
		 {:.0} bytes an entry on disk; built in {:.1} s",
		layout.leaf_bytes_max.div_ceil(1024),
		per_write(pages as f64),
		per_write(bytes as f64) / 1024.0,
		1e3 * per_write(applied + sealed),
		1e3 * per_write(applied),
		1e3 * per_write(sealed),
		1e3 * per_write(opened),
		per_write(memory.reads.get() as f64),
		root.depth,
		1e3 * per_write(got),
		root.pages,
		root.sealed_bytes as f64 / entries as f64,
		built.as_secs_f64(),
	);
}

fn main() {
	let sizes: Vec<u64> = env::args()
		.skip(1)
		.map(|size| size.parse().unwrap_or_else(|_| panic!("{size} is no number of entries")))
		.collect();
	let sizes = if sizes.is_empty() { vec![1_000, 1_000_000] } else { sizes };
	for entries in sizes {
		for layout in [&LAYOUT_1, &SHORT, &sized(16, 16)] {
			measure(layout, entries);
		}
	}
}
