//! Which line of which source each line of a bundle came from, as a statement at the bundle's end: the SDK
//! says places in an agent's sources by it (`places.ts`), wherever a log is read. It is a part of the
//! component, so it is small: a line of a bundle is nearly always one line of a source, and has columns
//! only where it is not; what the SDK wrote has no places.
//!
//! ```js
//! { sources: ["src/index.ts", …], lines: ";;0 0 12,18 0 13;…" }
//! ```
//!
//! `lines` has one part for each line of the bundle, from the first: where, from which column on, it
//! comes from (`column source line`, the column from 0, the line from 1). A column alone says that what
//! follows comes from nowhere.

use serde::Deserialize;
use serde_json::json;
use std::fmt::Write;

/// What a source of the SDK's starts with, and that of the builder itself: not the developer's.
const NOT_THE_DEVELOPERS: [&str; 2] = ["@phala/agent/", "<"];

/// The global that it is put into, as a registered symbol.
const SYMBOL: &str = "@phala/agent/source-lines";

/// Of a source map: <https://tc39.es/ecma426/>.
#[derive(Deserialize)]
struct SourceMap {
	sources: Vec<String>,
	mappings: String,
}

/// Why a text is no source map.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceMapError {
	#[error("its source map is not the JSON of one: {0}")]
	Json(#[from] serde_json::Error),
	#[error("the mappings of its source map are malformed")]
	Mappings,
}

/// From some column of a line on: the source's number and the line in it, from 0.
type Place = Option<(usize, i64)>;

/// The statement for a bundle with this source map.
pub(crate) fn statement(map: &str) -> Result<String, SourceMapError> {
	let map: SourceMap = serde_json::from_str(map)?;
	let names: Vec<String> = map.sources.iter().map(|url| path(url)).collect();
	let mut sources: Vec<&str> = Vec::new();
	let mut lines = String::new();
	for (number, line) in decode(&map.mappings)?.into_iter().enumerate() {
		if number > 0 {
			lines.push(';');
		}
		let mut before = None;
		let mut is_first = true;
		for (column, place) in line {
			let named = match place {
				Some((source, line)) => {
					let name = names.get(source).ok_or(SourceMapError::Mappings)?;
					let is_own = !NOT_THE_DEVELOPERS.iter().any(|other| name.starts_with(other));
					is_own.then_some((name.as_str(), line))
				}
				None => None,
			};
			if named == before {
				continue;
			}
			before = named;
			if !is_first {
				lines.push(',');
			}
			is_first = false;
			// Writing to a text cannot fail.
			let _ = match named {
				Some((name, line)) => {
					let at = sources.iter().position(|source| *source == name);
					let source = at.unwrap_or_else(|| {
						sources.push(name);
						sources.len() - 1
					});
					write!(lines, "{column} {source} {}", line + 1)
				}
				None => write!(lines, "{column}"),
			};
		}
	}
	let lines = lines.trim_end_matches(';');
	let value = json!({ "sources": sources, "lines": lines });
	Ok(format!(
		"Object.defineProperty(globalThis, Symbol.for({SYMBOL:?}), {{ value: {value} }});\n"
	))
}

/// Sources are URLs, relative to the bundle: what is no plain character of a path is escaped.
fn path(url: &str) -> String {
	let mut bytes = Vec::with_capacity(url.len());
	let mut rest = url.as_bytes();
	while let Some((first, after)) = rest.split_first() {
		let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
		let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
		let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
		match escaped.filter(|_| *first == b'%') {
			Some(byte) => {
				bytes.push(byte);
				rest = &after[2..];
			}
			None => {
				bytes.push(*first);
				rest = after;
			}
		}
	}
	String::from_utf8_lossy(&bytes).into_owned()
}

/// For each line of a bundle: from which column on it comes from where.
fn decode(mappings: &str) -> Result<Vec<Vec<(i64, Place)>>, SourceMapError> {
	// All but the column count from the segment before, whatever line that is on.
	let (mut source, mut line) = (0i64, 0i64);
	let mut lines = Vec::new();
	for segments in mappings.split(';') {
		let mut column = 0i64;
		let mut decoded = Vec::new();
		for segment in segments.split(',').filter(|segment| !segment.is_empty()) {
			let fields = vlq(segment)?;
			let add = |to: &mut i64, field: usize| -> Result<(), SourceMapError> {
				let difference = fields.get(field).copied().unwrap_or_default();
				*to = to.checked_add(difference).ok_or(SourceMapError::Mappings)?;
				Ok(())
			};
			add(&mut column, 0)?;
			add(&mut source, 1)?;
			add(&mut line, 2)?;
			let place = match fields.len() {
				1 => None,
				_ => Some((usize::try_from(source).map_err(|_| SourceMapError::Mappings)?, line)),
			};
			decoded.push((column, place));
		}
		lines.push(decoded);
	}
	Ok(lines)
}

/// Numbers of base 64, six bits a character, the lowest first: the sign is the lowest of all, and the
/// highest of a character says that more follow.
fn vlq(segment: &str) -> Result<Vec<i64>, SourceMapError> {
	const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	let (mut numbers, mut number, mut shift) = (Vec::new(), 0i64, 0u32);
	for character in segment.bytes() {
		let digit = DIGITS.iter().position(|digit| *digit == character);
		let digit = digit.and_then(|digit| i64::try_from(digit).ok());
		let digit = digit.filter(|_| shift < 60).ok_or(SourceMapError::Mappings)?;
		number |= (digit & 31) << shift;
		shift += 5;
		if digit & 32 == 0 {
			let magnitude = number >> 1;
			numbers.push(if number & 1 == 1 { -magnitude } else { magnitude });
			(number, shift) = (0, 0);
		}
	}
	if shift != 0 {
		return Err(SourceMapError::Mappings);
	}
	Ok(numbers)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn numbers_of_a_source_map_are_read_with_sign_and_length() {
		assert_eq!(vlq("A").unwrap(), [0]);
		assert_eq!(vlq("CDgB").unwrap(), [1, -1, 16]);
		assert_eq!(vlq("+/////D").unwrap(), [0x7fff_ffff]);
		for malformed in ["g", "?", "gggggggggggggggggggA"] {
			assert!(vlq(malformed).is_err(), "{malformed}");
		}
	}

	fn lines(sources: &[&str], mappings: &str) -> String {
		let map = json!({ "version": 3, "sources": sources, "mappings": mappings }).to_string();
		let statement = statement(&map).unwrap();
		let value = &statement[statement.find("value: ").unwrap() + 7..statement.len() - 5];
		let value: serde_json::Value = serde_json::from_str(value).unwrap();
		format!("{} {}", value["sources"], value["lines"].as_str().unwrap())
	}

	#[test]
	fn a_line_has_columns_only_where_it_came_from_several_and_none_where_the_sdk_wrote_it() {
		let sources = ["@phala/agent/src/serve.ts", "src/index.ts", "%3Centry%3E"];
		// Of the SDK; of line 1 twice; of line 2, and from column 8 on of line 4; nothing; of the builder.
		let mappings = "AAAA;ACAA,EAAE;AACA,QAEA;;ACAA";
		assert_eq!(lines(&sources, mappings), r#"["src/index.ts"] ;0 0 1;0 0 2,8 0 4"#);
		// From column 4 on it comes from nowhere.
		assert_eq!(lines(&["a.ts"], "AAAA,I"), r#"["a.ts"] 0 0 1,4"#);
		assert_eq!(lines(&["a%20b%C3%A9%.ts"], "AAAA"), r#"["a bé%.ts"] 0 0 1"#);
	}

	#[test]
	fn a_map_that_leads_to_no_source_is_refused() {
		let map = json!({ "version": 3, "sources": [], "mappings": "AAAA" }).to_string();
		assert!(matches!(statement(&map), Err(SourceMapError::Mappings)));
		assert!(matches!(statement("{}"), Err(SourceMapError::Json(_))));
	}
}
