//! No limit is typed twice: a figure in the docs names the constant that it is, and this test
//! compares the two.
//!
//! In Markdown the name stands in a comment right behind the figure, `16 KiB<!--=protocol::NAME-->`:
//! the folder of the crate, and the constant in its `limits.rs`, or in the `split.rs` of fees. Units are
//! KiB, MiB, s, ms, % or none.
//! Outside of code a figure must have a name if it is in KiB or MiB, or if "at most", "up to" or
//! "newest" says that it is a bound; not in decisions and the changelog, which say what was so when they
//! were written. The manifest in the docs shows the defaults.

use std::{
	collections::BTreeMap,
	fs,
	path::{Path, PathBuf},
};

fn repository() -> PathBuf {
	// At run time: a checkout that was moved since shares its target folder.
	let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
	Path::new(&own).parent().expect("protocol/ is in it").into()
}

/// All `limits.rs` and `split.rs` of sources, with the names of their crates' folders.
fn limits_files(folder: &Path, found: &mut Vec<(String, PathBuf)>) {
	for entry in fs::read_dir(folder).unwrap() {
		let path = entry.unwrap().path();
		let name = path.file_name().unwrap().to_string_lossy().into_owned();
		if path.is_dir() && !["target", "node_modules", "tests"].contains(&&name[..]) {
			if !name.starts_with('.') {
				limits_files(&path, found);
			}
		} else if ["limits.rs", "split.rs"].contains(&&name[..]) && folder.ends_with("src") {
			let crate_folder = folder.parent().unwrap().file_name().unwrap().to_string_lossy();
			found.push((crate_folder.trim_start_matches("agent-").to_owned(), path));
		}
	}
}

/// The constants of all limits; durations in milliseconds, none for what cannot be evaluated.
fn constants() -> BTreeMap<String, Option<u128>> {
	let mut files = Vec::new();
	limits_files(&repository(), &mut files);
	assert!(files.len() >= 7, "limits.rs were found in {files:?} alone");
	let mut all = BTreeMap::new();
	for (krate, path) in files {
		let source = fs::read_to_string(&path).unwrap();
		let mut own = BTreeMap::<String, u128>::new();
		for part in source.split("const ").skip(1) {
			let Some((name, rest)) = part.split_once(':') else { continue };
			let Some((_, rest)) = rest.split_once('=') else { continue };
			let Some((expression, _)) = rest.split_once(';') else { continue };
			if !name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
				continue;
			}
			let value = evaluate(expression, &own);
			own.extend(value.map(|value| (name.to_owned(), value)));
			let of_another = all.insert(format!("{krate}::{name}"), value);
			assert!(name == "_" || of_another.is_none(), "{krate}::{name} is there twice");
		}
	}
	all
}

/// The value of sums and products of numbers, known constants, `Duration`s and percents; of nothing else.
fn evaluate(expression: &str, known: &BTreeMap<String, u128>) -> Option<u128> {
	let expression = expression
		.replace("Duration::from_secs(", "(1000 * ")
		.replace("Duration::from_millis(", "(")
		.replace("Permill::from_percent(", "(");
	let mut words = Vec::new();
	let mut word = String::new();
	for c in expression.chars().chain([' ']) {
		if c.is_alphanumeric() || c == '_' || c == ':' {
			word.push(c);
			continue;
		}
		if !word.is_empty() {
			words.push(std::mem::take(&mut word));
		}
		if !c.is_whitespace() {
			words.push(c.to_string());
		}
	}
	let mut rest = &words[..];
	let value = sum(&mut rest, known)?;
	rest.is_empty().then_some(value)
}

fn sum(words: &mut &[String], known: &BTreeMap<String, u128>) -> Option<u128> {
	let mut value = product(words, known)?;
	while let Some(sign) = words.first().filter(|word| ["+", "-"].contains(&&word[..])) {
		*words = &words[1..];
		let next = product(words, known)?;
		value = if sign == "+" { value.checked_add(next)? } else { value.checked_sub(next)? };
	}
	Some(value)
}

fn product(words: &mut &[String], known: &BTreeMap<String, u128>) -> Option<u128> {
	let mut value = factor(words, known)?;
	while let Some(sign) = words.first().filter(|word| ["*", "/"].contains(&&word[..])) {
		*words = &words[1..];
		let next = factor(words, known)?;
		value = if sign == "*" { value.checked_mul(next)? } else { value.checked_div(next)? };
	}
	Some(value)
}

fn factor(words: &mut &[String], known: &BTreeMap<String, u128>) -> Option<u128> {
	let (word, rest) = words.split_first()?;
	*words = rest;
	let value = if word == "(" {
		let value = sum(words, known)?;
		let (closing, rest) = words.split_first()?;
		*words = rest;
		(closing == ")").then_some(value)?
	} else if word.starts_with(|c: char| c.is_ascii_digit()) {
		word.replace('_', "").parse().ok()?
	} else {
		// A path into another crate is none of the known.
		let name = word.strip_prefix("crate::").unwrap_or(word);
		*known.get(name.strip_prefix("limits::").unwrap_or(name))?
	};
	if words.first().is_some_and(|word| word == "as") {
		*words = words.get(2..)?;
	}
	Some(value)
}

/// The number with its unit that ends `text`, in bytes, milliseconds, hundredths or pieces.
fn figure(text: &str) -> Option<u128> {
	let text = text.trim_end_matches(['*', '`', ' ']);
	let units: [(&str, u128); 6] =
		[(" KiB", 1 << 10), (" MiB", 1 << 20), (" ms", 1), (" s", 1_000), (" %", 1), ("", 1)];
	let (text, unit) =
		units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
	let start = text.rfind(|c: char| !c.is_ascii_digit() && c != ',').map_or(0, |at| at + 1);
	text[start..].replace(',', "").parse::<u128>().ok()?.checked_mul(*unit)
}

/// The figures of a line that must have a name and have none.
fn unnamed(line: &str) -> Vec<&str> {
	let mut found = Vec::new();
	let mut end = 0;
	while let Some(start) = line[end..].find(|c: char| c.is_ascii_digit()).map(|at| end + at) {
		let digits = line[start..].find(|c: char| !c.is_ascii_digit() && c != ',');
		end = digits.map_or(line.len(), |length| start + length);
		let before = line[..start].trim_end_matches('*');
		let after = line[end..].trim_start_matches('*');
		let is_bytes = after.starts_with(" KiB") || after.starts_with(" MiB");
		let unit = [" KiB", " MiB", " ms", " s"].iter().find_map(|unit| after.strip_prefix(unit));
		let after = unit.unwrap_or(after).trim_start_matches(['*', '`']);
		let is_bound = ["at most ", "up to ", "newest "].iter().any(|word| before.ends_with(word))
			|| after.starts_with(" at most");
		let is_word = after.starts_with(|c: char| c.is_alphanumeric());
		if (is_bytes || is_bound) && !is_word && !after.starts_with("<!--=") {
			found.push(&line[start..end]);
		}
	}
	found
}

/// All pages in this folder; with those of its folders if it is said.
fn pages_in(folder: &Path, recursively: bool, pages: &mut Vec<PathBuf>) {
	for entry in fs::read_dir(folder).unwrap() {
		let path = entry.unwrap().path();
		if path.is_dir() {
			if recursively {
				pages_in(&path, recursively, pages);
			}
		} else if path.extension().is_some_and(|extension| extension == "md") {
			pages.push(path);
		}
	}
}

/// Those at the root, and all of `docs/`.
fn pages() -> Vec<PathBuf> {
	let mut pages = Vec::new();
	pages_in(&repository(), false, &mut pages);
	pages_in(&repository().join("docs"), true, &mut pages);
	pages
}

fn is_history(page: &Path) -> bool {
	page.ends_with("CHANGELOG.md")
		|| page.parent().is_some_and(|folder| folder.ends_with("docs/decisions"))
}

#[test]
fn figures_in_the_docs_are_the_constants_that_they_name() {
	let constants = constants();
	let (mut wrong, mut compared, mut defaults, mut shares) = (Vec::new(), 0, 0, 0);
	for page in pages() {
		let text = fs::read_to_string(&page).unwrap();
		let at = |line: usize| format!("{}:{}", page.display(), line + 1);
		let mut code = false;
		for (number, line) in text.lines().enumerate() {
			code ^= line.trim_start().starts_with("```");
			let mut parts = line.split("<!--=");
			let mut before = parts.next().unwrap_or_default().to_owned();
			for part in parts {
				let (name, after) = part.split_once("-->").expect("the comment ends");
				match (figure(&before), constants.get(name)) {
					(_, None) => {
						wrong.push(format!("{}: no limits.rs or split.rs has {name}", at(number)))
					}
					(_, Some(None)) => wrong.push(format!(
						"{}: {name} is there, but this test cannot evaluate it: it knows sums and \
						 products of numbers, durations and constants further up in the same file",
						at(number)
					)),
					(found, Some(expected)) if found != *expected => {
						wrong.push(format!("{}: {name} is {expected:?}, not {found:?}", at(number)))
					}
					_ => {}
				}
				compared += 1;
				before = after.to_owned();
			}
			if code {
				let Some((name, value)) = line.split_once(" = ") else { continue };
				// `worker = 60 % of fee`
				let name = name.trim();
				let share = format!("requests::{}_SHARE", name.to_uppercase());
				if let Some((found, expected)) = value.split_once(" of ").zip(constants.get(&share))
				{
					if figure(found.0) != *expected {
						wrong.push(format!("{}: {share} is {expected:?}", at(number)));
					}
					shares += 1;
				}
				let default = format!("manifest::{}_DEFAULT", name.to_uppercase());
				if let Some(expected) = constants.get(&default) {
					if value.replace('_', "").parse().ok() != *expected {
						wrong.push(format!("{}: {default} is {expected:?}", at(number)));
					}
					defaults += 1;
				}
				continue;
			}
			for figure in unnamed(line).into_iter().filter(|_| !is_history(&page)) {
				wrong.push(format!("{}: {figure} is a bound and names no limit", at(number)));
			}
		}
	}
	assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
	assert!(compared >= 60, "only {compared} figures name their limit");
	assert!(shares >= 2, "only {shares} shares of a fee are shown");
	assert!(defaults >= 7, "only {defaults} defaults of the manifest are shown");
}

#[test]
fn the_pages_at_the_root_and_those_of_decisions_are_looked_at() {
	let pages = pages();
	for page in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
		assert!(pages.contains(&repository().join(page)), "{page} is not in {pages:?}");
	}
	assert!(pages.iter().any(|page| page.ends_with("docs/keys.md")));
	let decisions = pages.iter().filter(|page| is_history(page)).count();
	assert!(decisions > 15, "only {decisions} are history");
}

#[test]
fn a_wrong_figure_and_an_expression_are_read_as_they_are() {
	let known = BTreeMap::from([("KIB".to_owned(), 1024)]);
	assert_eq!(evaluate("64 * KIB + (2 - 1) as u64", &known), Some(65_537));
	assert_eq!(evaluate("limits::KIB / 2", &known), Some(512));
	assert_eq!(evaluate("Duration::from_secs(2)", &known), Some(2_000));
	assert_eq!(evaluate("Permill::from_percent(60)", &known), Some(60));
	for unknown in ["OTHER * 2", "phala_keys::limits::KIB", "1 << 10", "KIB as", "u32::MAX"] {
		assert_eq!(evaluate(unknown, &known), None, "{unknown}");
	}
	assert_eq!(figure("at most 5,400"), Some(5_400));
	assert_eq!(figure("**16 KiB**"), Some(16 * 1024));
	assert_eq!(figure("30 s"), Some(30_000));
	assert_eq!(figure("gets 60 %"), Some(60));
	assert_eq!(figure("none"), None);
}

#[test]
fn a_bound_without_its_name_is_found_and_other_figures_are_left_alone() {
	for bound in [
		"64 KiB each",
		"**64 MiB** each",
		"up to 8 effect sets",
		"at most **8** times",
		"(256 at most)",
		"30 s at most",
		"the newest 4,096 are kept",
	] {
		assert_eq!(unnamed(bound).len(), 1, "{bound}");
	}
	for other in [
		"64 KiB<!--=x::Y--> each",
		"`64 KiB`<!--=x::Y-->",
		"up to 8<!--=x::Y--> effect sets",
		"up to 2f shares",
		"1 to 4 s in the development network",
		"agent 8 of 9",
	] {
		assert_eq!(unnamed(other), [""; 0], "{other}");
	}
}
