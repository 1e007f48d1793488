//! What CONTRIBUTING names in backticks is there: paths, functions, tests, types, packages. And every
//! `make …` of any page is a target.
//!
//! A path that does not begin at the repository's root is the end of one that does. A function is what
//! stands behind `::` or before `()`, or has a name as long as tests have; "`x` of `file.rs`" says that
//! this file defines `x`. What begins with `…`, `<` or `~` stands for something else.

use std::{
	collections::BTreeSet,
	fs,
	path::{Path, PathBuf},
};

fn repository() -> PathBuf {
	// At run time: a checkout that was moved since shares its target folder.
	let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
	Path::new(&own).parent().expect("protocol/ is in it").into()
}

/// What there is to be named.
#[derive(Default)]
struct Repository {
	/// All files and folders, from the root on.
	paths: Vec<String>,
	pages: Vec<PathBuf>,
	words: BTreeSet<String>,
	/// What stands behind `fn`.
	functions: BTreeSet<String>,
	packages: BTreeSet<String>,
	targets: BTreeSet<String>,
}

fn words(text: &str) -> impl Iterator<Item = &str> {
	text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The words right behind `keyword`.
fn defined<'a>(source: &'a str, keyword: &str) -> BTreeSet<&'a str> {
	let mut found = BTreeSet::new();
	let mut before = "";
	for word in words(source) {
		if before == keyword {
			found.insert(word);
		}
		before = word;
	}
	found
}

impl Repository {
	fn read() -> Self {
		let mut read = Self::default();
		let root = repository();
		read.walk(&root, "");
		let makefile = fs::read_to_string(root.join("Makefile")).unwrap();
		read.words.extend(words(&makefile).map(str::to_owned));
		let phony = makefile.lines().find_map(|line| line.strip_prefix(".PHONY:"));
		let phony = phony.expect("the Makefile's targets are no files");
		read.targets = phony.split_whitespace().map(str::to_owned).collect();
		read
	}

	fn walk(&mut self, folder: &Path, name: &str) {
		for entry in fs::read_dir(folder).unwrap() {
			let path = entry.unwrap().path();
			let last = path.file_name().unwrap().to_string_lossy().into_owned();
			if last.starts_with('.') || ["target", "node_modules"].contains(&&last[..]) {
				continue;
			}
			let name = if name.is_empty() { last } else { format!("{name}/{last}") };
			if path.is_dir() {
				self.walk(&path, &name);
			} else {
				self.take_in(&path, &name);
			}
			self.paths.push(name);
		}
	}

	fn take_in(&mut self, path: &Path, name: &str) {
		match path.extension().and_then(|extension| extension.to_str()) {
			Some("md") => self.pages.push(path.into()),
			// This one names what is nowhere else.
			Some("rs" | "toml" | "mjs" | "sh") if !name.ends_with("tests/contributing.rs") => {
				let source = fs::read_to_string(path).unwrap();
				self.words.extend(words(&source).map(str::to_owned));
				self.functions.extend(defined(&source, "fn").into_iter().map(str::to_owned));
				if name.ends_with("Cargo.toml") {
					let package = source.lines().find_map(|line| line.strip_prefix("name = "));
					self.packages.extend(package.map(|name| name.trim_matches('"').to_owned()));
				}
			}
			_ => {}
		}
		// Tests are called after their files.
		let stem = path.file_stem().unwrap_or_default();
		self.words.insert(stem.to_string_lossy().into_owned());
	}

	fn has_path(&self, path: &str) -> bool {
		let path = path.trim_end_matches('/');
		let (path, _) = path.split_once("/<").unwrap_or((path, ""));
		let first = path.split('/').next().unwrap_or_default();
		let from_root = path.contains('/') && self.paths.iter().any(|there| there == first);
		self.paths.iter().any(|there| {
			let is_end = there.strip_suffix(path).is_some_and(|before| before.ends_with('/'));
			there == path || (!from_root && is_end)
		})
	}

	/// What of the code between two backticks there is not.
	fn missing(&self, code: &str) -> Vec<String> {
		let mut missing = Vec::new();
		let parts: Vec<&str> = code.split([' ', '=', '(', ',', '"', '&', '?', ';']).collect();
		for (at, part) in parts.iter().enumerate() {
			let part = part.trim_end_matches(')');
			let before = at.checked_sub(1).and_then(|before| parts.get(before)).unwrap_or(&"");
			if part.is_empty() || part.starts_with(['~', '<', '.']) {
				continue;
			}
			let is_there = if *before == "-p" {
				part.ends_with("-x") || self.packages.contains(part)
			} else if is_path(part) {
				self.has_path(part)
			} else {
				let is_called = code.strip_suffix("()") == Some(part);
				missing.extend(self.missing_names(part, is_called));
				true
			};
			if !is_there {
				missing.push(part.to_owned());
			}
		}
		missing
	}

	fn missing_names(&self, part: &str, is_called: bool) -> Vec<String> {
		let mut missing = Vec::new();
		for word in words(part) {
			let start = word.as_ptr() as usize - part.as_ptr() as usize;
			let before = &part[..start];
			let is_lower = word.chars().all(|c| c.is_lowercase() || c.is_numeric() || c == '_');
			let is_member = before.ends_with("::") || before.ends_with("self.");
			let is_test = word.matches('_').count() >= 4;
			let has_humps = word.chars().filter(|c| c.is_uppercase()).count() >= 2
				&& word.chars().any(char::is_lowercase);
			let is_there = if before.ends_with('…') {
				true
			} else if is_lower && (is_member || is_test || is_called) {
				self.functions.contains(word)
			} else if word.trim_matches('_').contains('_') || has_humps {
				self.words.contains(word)
			} else {
				true
			};
			if !is_there {
				missing.push(word.to_owned());
			}
		}
		missing
	}

	/// Of "`x` of `file.rs`": `x`, if that file does not define it.
	fn missing_of<'a>(&self, spans: &[&'a str]) -> Vec<&'a str> {
		let [.., name, " of ", file] = spans else { return Vec::new() };
		if !file.ends_with(".rs") {
			return Vec::new();
		}
		let (name, file): (&'a str, &str) = (*name, *file);
		let name = name.rsplit("::").next().unwrap_or(name);
		let is_defined = self.paths.iter().filter(|path| is_or_ends(path, file)).any(|path| {
			let source = fs::read_to_string(repository().join(path)).unwrap();
			["fn", "struct", "enum", "trait", "type", "const", "static", "mod"]
				.iter()
				.any(|keyword| defined(&source, keyword).contains(name))
		});
		if is_defined {
			Vec::new()
		} else {
			vec![name]
		}
	}
}

fn is_or_ends(path: &str, end: &str) -> bool {
	path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// `crate/feature` is none.
fn is_path(part: &str) -> bool {
	let is_feature = part.starts_with("phala-") || part.starts_with("pallet-");
	let is_file = [".rs", ".toml", ".txt", ".py", ".md", ".mjs", ".sh", ".json"]
		.iter()
		.any(|extension| part.ends_with(extension));
	is_file || (part.contains('/') && !is_feature)
}

/// The lines of a page that are no code, with their numbers.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
	let mut is_code = false;
	(1..).zip(page.lines()).filter(move |(_, line)| {
		let is_fence = line.trim_start().starts_with("```");
		is_code ^= is_fence;
		!is_code && !is_fence
	})
}

#[test]
fn what_contributing_names_is_there() {
	let repository_read = Repository::read();
	let page = fs::read_to_string(repository().join("CONTRIBUTING.md")).unwrap();
	let (mut wrong, mut looked_at) = (Vec::new(), 0);
	for (number, line) in prose(&page) {
		let spans: Vec<&str> = line.split('`').collect();
		for (at, code) in spans.iter().enumerate().skip(1).step_by(2) {
			looked_at += 1;
			for missing in repository_read.missing(code) {
				wrong.push(format!("CONTRIBUTING.md:{number}: there is no {missing}"));
			}
			for missing in repository_read.missing_of(&spans[..=at]) {
				wrong.push(format!("CONTRIBUTING.md:{number}: {code} does not define {missing}"));
			}
		}
	}
	assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
	assert!(looked_at > 100, "{looked_at} names were found alone");
}

/// The make targets that a line of code, or the code in a line of text, runs.
fn targets(line: &str, is_code: bool) -> Vec<&str> {
	let code: Vec<&str> = match is_code {
		true => vec![line],
		false => line.split('`').skip(1).step_by(2).collect(),
	};
	let mut found = Vec::new();
	for code in code {
		let mut words = code
			.split_whitespace()
			.take_while(|word| *word != "#")
			.skip_while(|word| word.contains('=') || *word == "$")
			.filter(|word| !word.contains('='));
		if words.next() == Some("make") {
			found.extend(words.next());
		}
	}
	found
}

#[test]
fn every_make_target_in_the_pages_is_there() {
	let repository = Repository::read();
	let (mut wrong, mut looked_at) = (Vec::new(), 0);
	for page in &repository.pages {
		let text = fs::read_to_string(page).unwrap();
		let mut is_code = false;
		for (number, line) in (1..).zip(text.lines()) {
			is_code ^= line.trim_start().starts_with("```");
			for target in targets(line, is_code) {
				looked_at += 1;
				if !repository.targets.contains(target) {
					wrong.push(format!("{}:{number}: make {target}", page.display()));
				}
			}
		}
	}
	assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
	assert!(looked_at > 30, "{looked_at} targets were found alone");
}

#[test]
fn what_is_not_there_is_found_and_the_rest_is_left_alone() {
	let repository = Repository::read();
	for (code, missing) in [
		("chain/runtime/src/tests/upgraded.rs", "chain/runtime/src/tests/upgraded.rs"),
		("src/nowhere.rs", "src/nowhere.rs"),
		("runtime/src/lib.rs/", ""),
		("docs/<page>.md", ""),
		("an_upgrade_leaves_whole_what_nobody_did", "an_upgrade_leaves_whole_what_nobody_did"),
		("Message::subscribed_to", "subscribed_to"),
		("refused_of()", "refused_of"),
		("cargo test -p phala-protocols --test frozen", "phala-protocols"),
		("cargo test -p pallet-requests --test frosted_all", "frosted_all"),
		("PalletDirectoryOfNobody", "PalletDirectoryOfNobody"),
		("…_NOBODYS_BLOCKS_MAX", ""),
		("pallet-x/std", ""),
		("self.note(\"subject\", …)?", ""),
		("~/.cache/phala/none.rs", ""),
	] {
		assert_eq!(repository.missing(code).join(" "), missing, "{code}");
	}
	let of = |line: &'static str| {
		let spans: Vec<&str> = line.split('`').collect();
		repository.missing_of(&spans[..spans.len() - 1]).len()
	};
	assert_eq!(of("see `check_invariants` of `src/tests/upgrades.rs`."), 1);
	assert_eq!(of("see `check_invariants` of `src/test_support/oracle.rs`."), 0);
	assert_eq!(of("see `spec_version` in `chain/runtime/src/lib.rs`."), 0);
	assert_eq!(
		targets("then `make tset ONCE=1` or `PROFILE=debug make dev`", false),
		["tset", "dev"]
	);
	assert_eq!(targets("make room", true), ["room"]);
	assert_eq!(targets("**make room**, and `made`; `make`", false), [""; 0]);
}
