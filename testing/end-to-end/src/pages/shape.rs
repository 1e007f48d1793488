//! When what was printed is what a page shows. Its words must be there; what differs from run to run
//! need not be the same:
//!
//! * numbers and hashes are any numbers and hashes, but for digits in a name (`worker-1`) and all of
//!   a line that is JSON;
//! * `0x754b674c…` and `46L2DcqqcE5j…` are any hash or address, the same one wherever the page shows
//!   them; a command that has one means what was printed for it;
//! * `…` is anything, and on a line of its own any lines, or none;
//! * spaces are as many as one likes, empty lines nothing.
//!
//! What a command prints as its result (stdout) is on the page line by line, unless `…` leaves lines
//! out. Of what it says to people besides (stderr) the page shows what it likes, in its order. Of what
//! stays, a page shows what it likes in any order.

use super::Line;
use anyhow::Context;
use regex::Regex;
use std::collections::BTreeMap;

const ELLIPSIS: char = '…';
/// A word of hexadecimal digits that is so long is a hash.
const HASH_DIGITS_MIN: usize = 8;

/// What abbreviations of a page stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(BTreeMap<String, String>);

/// How what was printed is not what the page shows.
#[derive(Debug, PartialEq, Eq)]
pub enum Lie {
	/// The page has a line that was not printed.
	NotPrinted(Line),
	/// A line was printed that the page does not show.
	NotShown(String),
}

impl Known {
	/// A command as it is run: with what its abbreviations stand for.
	pub fn meant(&self, command: &str) -> anyhow::Result<String> {
		let mut meant = String::new();
		let mut rest = command;
		while let Some(end) = rest.find(ELLIPSIS) {
			let start = rest[..end].rfind(|c: char| !is_of_word(c)).map_or(0, |at| at + 1);
			let stem = &rest[start..end];
			let full = self.0.get(stem).with_context(|| {
				format!("nothing was printed yet that the page shows as {stem}{ELLIPSIS}")
			})?;
			meant += &rest[..start];
			meant += full;
			rest = &rest[end + ELLIPSIS.len_utf8()..];
		}
		Ok(meant + rest)
	}

	/// Whether `full` is what `stem` stood for before, as far as both are told.
	fn agrees(&self, stem: &str, full: &str) -> bool {
		self.0.get(stem).is_none_or(|known| known.starts_with(full) || full.starts_with(&known[..]))
	}

	fn learn(&mut self, stem: &str, full: &str) {
		let known = self.0.entry(stem.to_owned()).or_default();
		if full.len() > known.len() {
			full.clone_into(known);
		}
	}
}

/// A line of a page.
struct Shape {
	regex: Regex,
	/// What its groups stand for.
	stems: Vec<String>,
}

fn is_of_word(c: char) -> bool {
	c.is_ascii_alphanumeric() || c == '_'
}

impl Shape {
	fn of(line: &str) -> anyhow::Result<Self> {
		let mut rest = line.trim();
		let is_json = rest.starts_with('{');
		let (mut pattern, mut stems) = (String::from("^"), Vec::new());
		let mut is_in_name = false;
		while let Some(first) = rest.chars().next() {
			let word = &rest[..rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len())];
			if word.is_empty() {
				rest = &rest[first.len_utf8()..];
				is_in_name = is_in_name && first == '-';
				if first == ELLIPSIS {
					pattern += ".*";
				} else if first.is_whitespace() {
					rest = rest.trim_start();
					pattern += "[ \t]+";
				} else {
					pattern += &regex::escape(first.encode_utf8(&mut [0; 4]));
				}
				continue;
			}
			let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
			let is_hash = |text: &str| {
				let digits = text.strip_prefix("0x").unwrap_or(text);
				digits.len() >= HASH_DIGITS_MIN
					&& digits.bytes().all(|byte| byte.is_ascii_hexdigit())
					&& digits.bytes().any(|byte| byte.is_ascii_digit())
			};
			rest = &rest[word.len()..];
			if let Some(after) = rest.strip_prefix(ELLIPSIS) {
				rest = after;
				let of = if word.starts_with("0x") { "(0x[0-9a-f]+)" } else { "([0-9A-Za-z]+)" };
				pattern += of;
				// It may have been abbreviated already.
				pattern += "…?";
				stems.push(word.to_owned());
			} else if is_hash(word) {
				pattern += if word.starts_with("0x") { "0x[0-9a-f]+…?" } else { "[0-9a-f]+" };
			} else if is_number(word) && !is_json && !is_in_name {
				// 6.6 and 1,000 are one number.
				while let Some(after) = rest.strip_prefix(['.', ',']) {
					let more =
						&after[..after.find(|c: char| !is_of_word(c)).unwrap_or(after.len())];
					if more.is_empty() || !is_number(more) {
						break;
					}
					rest = &after[more.len()..];
				}
				pattern += "[0-9]+(?:[.,][0-9]+)*";
			} else {
				pattern += &regex::escape(word);
			}
			is_in_name = !is_number(word);
		}
		pattern.push('$');
		let regex = Regex::new(&pattern).with_context(|| format!("the pattern of {line:?}"))?;
		Ok(Self { regex, stems })
	}

	/// Whether that was printed; if so its abbreviations are known.
	fn fits(&self, printed: &str, known: &mut Known) -> bool {
		let Some(found) = self.regex.captures(printed.trim()) else { return false };
		let full = found.iter().skip(1).map(|group| group.map_or("", |group| group.as_str()));
		// `0x…` is a different one each time.
		let all = self.stems.iter().zip(full).filter(|(stem, _)| *stem != "0x");
		let all: Vec<_> = all.collect();
		let agrees = all.iter().all(|(stem, full)| known.agrees(stem, full));
		if agrees {
			all.iter().for_each(|(stem, full)| known.learn(stem, full));
		}
		agrees
	}
}

fn is_empty(line: &str) -> bool {
	line.trim().is_empty()
}

/// Holds a page to what a command printed that has ended.
/// Inside is the first lie; a line of the page that is no pattern is an error.
pub fn of_ended(
	shown: &[Line],
	stdout: &str,
	stderr: &str,
	known: &mut Known,
) -> anyhow::Result<Result<(), Lie>> {
	let mut stdout: Vec<_> = stdout.lines().filter(|line| !is_empty(line)).collect();
	let mut stderr: Vec<_> = stderr.lines().collect();
	let mut leaves_out = false;
	for line in shown.iter().filter(|line| !is_empty(&line.text)) {
		if line.text.trim() == "…" {
			leaves_out = true;
			continue;
		}
		let shape = Shape::of(&line.text)?;
		let searched = if leaves_out { stdout.len() } else { stdout.len().min(1) };
		if let Some(at) = stdout[..searched].iter().position(|line| shape.fits(line, known)) {
			stdout.drain(..=at);
			leaves_out = false;
		} else if let Some(at) = stderr.iter().position(|line| shape.fits(line, known)) {
			stderr.drain(..=at);
		} else {
			return Ok(Err(Lie::NotPrinted(line.clone())));
		}
	}
	Ok(match stdout.first() {
		Some(line) if !leaves_out => Err(Lie::NotShown((*line).to_owned())),
		_ => Ok(()),
	})
}

/// Holds a page to what a command printed so far that stays.
pub fn of_staying(
	shown: &[Line],
	printed: &str,
	known: &mut Known,
) -> anyhow::Result<Result<(), Lie>> {
	for line in shown.iter().filter(|line| !is_empty(&line.text) && line.text.trim() != "…") {
		let shape = Shape::of(&line.text)?;
		if !printed.lines().any(|printed| shape.fits(printed, known)) {
			return Ok(Err(Lie::NotPrinted(line.clone())));
		}
	}
	Ok(Ok(()))
}
