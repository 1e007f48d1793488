//! Looks for texts in all that a network wrote, kept and sent, however they may be written there.

use memchr::memmem::Finder;
use std::{collections::BTreeMap, fs, path::Path};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A text that must be found, or must not, by a name that says what it is.
#[derive(Clone, Debug)]
pub struct Mark {
	pub name: String,
	/// Empty if it is none.
	pub text: String,
	bytes: Vec<u8>,
}

impl Mark {
	/// A text that stands nowhere by chance.
	pub fn new(name: &str) -> anyhow::Result<Self> {
		use std::io::Read;
		let mut random = [0; 16];
		fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
		// Letters alone, so that capitals are another text, and no two halves alike.
		let letters = random.iter().flat_map(|byte| [byte >> 4, byte & 15]);
		let text = letters.map(|letter| char::from(b'a' + letter)).collect();
		Ok(Self::of_text(name, text))
	}

	fn of_text(name: &str, text: String) -> Self {
		Self { name: name.into(), bytes: text.clone().into_bytes(), text }
	}

	/// Bytes that are no text: a key.
	pub fn of_bytes(name: &str, bytes: &[u8]) -> Self {
		Self { name: name.into(), text: String::new(), bytes: bytes.into() }
	}

	/// What an agent made of it.
	pub fn made(&self, name: &str, make: impl Fn(&str) -> String) -> Self {
		Self::of_text(name, make(&self.text))
	}

	/// As it is, in hexadecimal, in base64 and as a list of numbers.
	fn forms(&self) -> Vec<(&'static str, Vec<u8>)> {
		let bytes = &self.bytes[..];
		let hex = hex::encode(bytes);
		let list = |separator: &str| {
			bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(separator).into_bytes()
		};
		let mut forms = vec![
			("as it is", bytes.to_vec()),
			("in hexadecimal", hex.to_uppercase().into_bytes()),
			("in hexadecimal", hex.into_bytes()),
			("as numbers", list(",")),
			("as numbers", list(", ")),
		];
		forms.extend((0..3).map(|before| ("in base64", base64(bytes, before))));
		forms
	}
}

/// The part of the base64 of a longer text that `bytes` alone decide, if they stand `before` bytes
/// after a multiple of three.
fn base64(bytes: &[u8], before: usize) -> Vec<u8> {
	let bit = |index: usize| (bytes[index / 8] >> (7 - index % 8)) & 1;
	let skipped = (6 - before * 8 % 6) % 6;
	(skipped..bytes.len() * 8)
		.step_by(6)
		.filter(|start| start + 6 <= bytes.len() * 8)
		.map(|start| BASE64[usize::from((start..start + 6).fold(0, |six, at| six << 1 | bit(at)))])
		.collect()
}

/// A place where a mark stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
	pub mark: String,
	pub place: String,
	pub form: &'static str,
}

/// Looks for marks in one haystack after the other.
pub struct Search {
	patterns: Vec<(String, &'static str, Finder<'static>)>,
	/// What was found so far: each mark once in each place and form.
	pub found: Vec<Found>,
	/// Bytes that were looked through, by the first word of a place's name.
	pub bytes: BTreeMap<String, usize>,
}

impl Search {
	/// For all of `marks`.
	pub fn new(marks: &[Mark]) -> Self {
		let mut patterns = Vec::new();
		for mark in marks {
			for (form, pattern) in mark.forms() {
				patterns.push((mark.name.clone(), form, Finder::new(&pattern).into_owned()));
			}
		}
		Self { patterns, found: Vec::new(), bytes: BTreeMap::new() }
	}

	/// Looks through `bytes`, which are from `place`.
	pub fn look(&mut self, place: &str, bytes: &[u8]) {
		let kind = place.split([' ', ':']).next().unwrap_or_default();
		*self.bytes.entry(kind.into()).or_default() += bytes.len();
		for (mark, form, finder) in &self.patterns {
			if finder.find(bytes).is_none() {
				continue;
			}
			let found = Found { mark: mark.clone(), place: place.into(), form };
			if !self.found.contains(&found) {
				self.found.push(found);
			}
		}
	}

	/// Looks through every file in `folder`, however deep, and their names. Those in `without` are left
	/// out.
	/// A file may vanish meanwhile.
	pub fn look_in_files(
		&mut self,
		place: &str,
		folder: &Path,
		without: &[&str],
	) -> anyhow::Result<()> {
		self.look_below(place, folder, folder, without)
	}

	/// Names places by their paths from `root` on.
	fn look_below(
		&mut self,
		place: &str,
		root: &Path,
		folder: &Path,
		without: &[&str],
	) -> anyhow::Result<()> {
		for entry in fs::read_dir(folder)? {
			let path = entry?.path();
			if without.iter().any(|left_out| path == root.join(left_out)) {
				continue;
			}
			let name = format!("{place}: {}", path.strip_prefix(root).unwrap_or(&path).display());
			self.look(&name, name.as_bytes());
			if path.is_symlink() {
				continue;
			}
			if path.is_dir() {
				self.look_below(place, root, &path, without)?;
			} else if let Ok(bytes) = fs::read(&path) {
				self.look(&name, &bytes);
			}
		}
		Ok(())
	}

	/// Whether `mark` was found in a place whose name starts with `place`.
	pub fn has(&self, mark: &str, place: &str) -> bool {
		self.found.iter().any(|found| found.mark == mark && found.place.starts_with(place))
	}

	/// Where `mark` was found.
	pub fn places(&self, mark: &str) -> Vec<&Found> {
		self.found.iter().filter(|found| found.mark == mark).collect()
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_mark_is_found_in_every_form_and_at_every_offset() {
		let mark = Mark::of_text("mark", "abcdefghijklmnop".into());
		let haystacks: [(&str, &[u8]); 8] = [
			("as it is", b"x abcdefghijklmnop x"),
			("in hexadecimal", b"0x6162636465666768696a6b6c6d6e6f70"),
			("in hexadecimal", b"6162636465666768696A6B6C6D6E6F70"),
			(
				"as numbers",
				b"[97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112]",
			),
			("as numbers", b"[97,98,99,100,101,102,103,104,105,106,107,108,109,110,111,112]"),
			// After nothing, after x, after xy.
			("in base64", b"YWJjZGVmZ2hpamtsbW5vcA=="),
			("in base64", b"eGFiY2RlZmdoaWprbG1ub3A="),
			("in base64", b"eHlhYmNkZWZnaGlqa2xtbm9w"),
		];
		for (form, haystack) in haystacks {
			let mut search = Search::new(std::slice::from_ref(&mark));
			search.look("here", haystack);
			let expected = Found { mark: "mark".into(), place: "here".into(), form };
			assert_eq!(search.found, [expected], "{}", String::from_utf8_lossy(haystack));
		}
		let mut search = Search::new(&[mark]);
		search.look("here", b"ABCDEFGHIJKLMNOP");
		assert!(search.found.is_empty());
	}
}
