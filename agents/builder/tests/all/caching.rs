//! What was made is made again only when something that it is made of has changed.

use crate::common::*;
use phala_agent_builder::Builder;
use std::fs;
use std::path::PathBuf;

const SOURCE: &str = "
import { greeting } from './greeting.ts';
export default { fetch: () => new Response(greeting) };
";

#[test]
fn a_component_is_made_again_of_other_modules_or_another_sdk_and_of_nothing_else() {
	let cache = tempfile::tempdir().unwrap();
	let builder = builder().with_cache(cache.path());
	let folder = agent(SOURCE);
	let path = folder.path();
	write(path, "src/greeting.ts", "export const greeting = 'hello';");
	let build = || build_in(&builder, path).unwrap();

	let made = build();
	assert!(!made.from_cache);
	let again = build();
	assert!(again.from_cache);
	assert_eq!((again.component == made.component, again.code_hash), (true, made.code_hash));

	// What is no part of the component, and what is part of the manifest alone.
	write(path, "README.md", "An agent.");
	write(path, "agent.toml", "name = \"test\"\nprice = 7\n");
	let repriced = build();
	assert!(repriced.from_cache);
	assert_eq!(repriced.manifest.price, 7);

	// A module that the main module imports.
	write(path, "src/greeting.ts", "export const greeting = 'good day';");
	let changed = build();
	assert!(!changed.from_cache);
	assert_ne!(changed.code_hash, made.code_hash);

	// A file that was not there: what the import resolves to has changed, and no file that was read has.
	write(path, "src/index.ts", &SOURCE.replace("./greeting.ts", "./greeting"));
	build();
	write(path, "src/greeting.tsx", "export const greeting = 'good night';");
	let shadowed = build();
	assert!(!shadowed.from_cache);
	assert!(shadowed.bundle.contains("good night"));

	// Back to what it was.
	fs::remove_file(path.join("src/greeting.tsx")).unwrap();
	write(path, "src/index.ts", SOURCE);
	write(path, "src/greeting.ts", "export const greeting = 'hello';");
	let back = build();
	assert!(back.from_cache);
	assert_eq!(back.code_hash, made.code_hash);

	// The SDK with one line more.
	let (_home, other) = copied_sdk();
	let prelude = fs::read_to_string(other.join("src/prelude.ts")).unwrap();
	write(&other, "src/prelude.ts", &format!("{prelude}\n(globalThis as any).another = true;\n"));
	let other = Builder::new(other).unwrap().with_cache(cache.path());
	let on_another_sdk = build_in(&other, path).unwrap();
	assert!(!on_another_sdk.from_cache);
	assert_ne!(on_another_sdk.code_hash, made.code_hash);
}

/// An installed SDK, its packages beside it.
fn copied_sdk() -> (tempfile::TempDir, PathBuf) {
	let home = tempfile::tempdir().unwrap();
	let copy = home.path().join("node_modules/@phala/agent");
	for entry in fs::read_dir(sdk().join("src")).unwrap() {
		let file = entry.unwrap();
		let text = fs::read_to_string(file.path()).unwrap();
		write(&copy, &format!("src/{}", file.file_name().to_str().unwrap()), &text);
	}
	for entry in fs::read_dir(sdk().join("node_modules")).unwrap() {
		let package = entry.unwrap();
		let link = home.path().join("node_modules").join(package.file_name());
		std::os::unix::fs::symlink(package.path(), link).unwrap();
	}
	(home, copy)
}

#[test]
fn builders_side_by_side_agree_and_leave_whole_entries() {
	let cache = tempfile::tempdir().unwrap();
	let folder = agent("export default { fetch: () => new Response('x') };");
	let hashes: Vec<_> = std::thread::scope(|scope| {
		let build = || {
			let builder = builder().with_cache(cache.path());
			build_in(&builder, folder.path()).unwrap().code_hash
		};
		let builds: Vec<_> = (0..2).map(|_| scope.spawn(build)).collect();
		builds.into_iter().map(|build| build.join().unwrap()).collect()
	});
	assert!(hashes[0] == hashes[1]);
	// The engine and the component.
	assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 2);
	assert!(build_in(&builder().with_cache(cache.path()), folder.path()).unwrap().from_cache);
}
