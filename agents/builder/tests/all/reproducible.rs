//! One source makes one component, wherever and whenever it is built.

use crate::common::*;

/// Leaves in the snapshot all that differs from one build to the next: clocks, draws, hash tables.
const SOURCE: &str = "
const started = performance.now();
const drawn = Array.from({ length: 8 }, Math.random);
const table = new Map(drawn.map((number, index) => [Symbol(`${index}`), { number, at: new Date() }]));
export default {
  fetch: () => new Response(JSON.stringify([started, performance.timeOrigin, [...table.values()], Date.now()])),
};
";

#[test]
fn the_same_source_in_two_folders_makes_the_same_component() {
	let builder = builder().without_cache();
	let first = agent(SOURCE);
	let first = build_in(&builder, first.path()).unwrap();
	// Deeper, and beside other things.
	let parent = tempfile::tempdir().unwrap();
	let second = parent.path().join("a/folder with spaces/another-agent");
	write(&second, "agent.toml", "name = \"test\"\n");
	write(&second, "src/index.ts", SOURCE);
	write(&second, "dist/agent.js", "of an earlier build");
	let second = build_in(&builder, &second).unwrap();
	assert_eq!(first.bundle, second.bundle);
	assert_same(&first.component, &second.component);
	assert_eq!(first.code_hash, second.code_hash);
}

/// Says where they differ, not what some megabytes are.
fn assert_same(one: &[u8], other: &[u8]) {
	assert_eq!(one.len(), other.len());
	let differing = one.iter().zip(other).filter(|(a, b)| a != b).count();
	let first = one.iter().zip(other).position(|(a, b)| a != b);
	assert_eq!(differing, 0, "first at {first:?}");
}
