//! What is written to a terminal, or into a pipe, and texts of others there.
//!
//! Who reads may go, as `| head` does: then nothing is written and the command goes on, for it may have
//! something to save that was paid for. `println!` and `eprintln!` panic then; `show!` and `say!`
//! do not, and clippy holds everything here to them.
//!
//! Who wrote texts must not move the cursor, hide or forge lines, or turn the order of letters around.

use std::io::{self, Write};

/// A line of the result, on stdout.
macro_rules! show {
	($($part:tt)*) => {
		if let Err(error) = $crate::terminal::show(format!("{}\n", format_args!($($part)*)).as_bytes()) {
			$crate::terminal::say(&format!("error: what was to be shown could not be: {error}\n"));
		}
	};
}

/// A line of everything else, on stderr.
macro_rules! say {
	($($part:tt)*) => {
		$crate::terminal::say(&format!("{}\n", format_args!($($part)*)))
	};
}

/// Part of the result, on stdout.
/// A full disk is an error; that nobody reads is none.
pub fn show(part: &[u8]) -> io::Result<()> {
	write(&mut io::stdout().lock(), part)
}

/// A text on stderr; what cannot be said there is said nowhere.
pub fn say(text: &str) {
	let _ = write(&mut io::stderr().lock(), text.as_bytes());
}

fn write(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
	match to.write_all(bytes).and_then(|()| to.flush()) {
		Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
		written => written,
	}
}

/// A text of others on one line.
pub fn line(text: &str) -> String {
	escape(text, |_| false)
}

/// A text of others on lines of its own.
pub fn lines(text: &str) -> String {
	escape(text, |character| matches!(character, '\n' | '\t'))
}

/// A text of others that begins on a line of ours, and goes on on lines of its own: none of them looks as
/// one of ours.
pub fn indented(text: &str) -> String {
	let lines: Vec<_> = text.trim_end_matches('\n').split('\n').map(line).collect();
	lines.join("\n    | ")
}

fn escape(text: &str, is_kept: impl Fn(char) -> bool) -> String {
	let mut shown = String::with_capacity(text.len());
	for character in text.chars() {
		if is_harmless(character) || is_kept(character) {
			shown.push(character);
		} else {
			// As in Rust: `\n`, `\u{1b}`.
			shown.extend(character.escape_default());
		}
	}
	shown
}

fn is_harmless(character: char) -> bool {
	// Control characters of both sets begin every escape sequence of a terminal. The others end
	// lines, turn the order of letters around, or are not seen and change what is.
	!character.is_control()
		&& !matches!(
			character,
			'\u{061c}'
				| '\u{200b}'
				| '\u{200e}'
				| '\u{200f}'
				| '\u{2028}'..='\u{202e}'
				| '\u{2060}'..='\u{2069}'
				| '\u{feff}'
				| '\u{fff9}'..='\u{fffb}'
				| '\u{e0000}'..='\u{e007f}'
		)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn who_reads_no_further_ends_nothing_and_a_disk_that_is_full_is_told() {
		let (reader, mut writer) = io::pipe().unwrap();
		drop(reader);
		assert!(write(&mut writer, b"an answer").is_ok());
		let mut full = &mut [0; 3][..];
		assert!(write(&mut full, b"an answer").is_err());
	}

	#[test]
	fn what_moves_a_terminal_is_shown_and_not_done() {
		// Clears the screen, sets its title, the same by the second control set, overwrites a line.
		assert_eq!(line("a\x1b[2Jb"), "a\\u{1b}[2Jb");
		assert_eq!(line("\x1b]0;title\x07"), "\\u{1b}]0;title\\u{7}");
		assert_eq!(line("\u{9b}2J\u{7f}"), "\\u{9b}2J\\u{7f}");
		assert_eq!(line("paid\rfree"), "paid\\rfree");
		for character in ('\0'..='\u{ffff}').filter(|character| character.is_control()) {
			let shown = line(&character.to_string());
			assert!(shown.chars().all(|character| !character.is_control()), "{shown}");
		}
	}

	#[test]
	fn no_line_is_forged_and_no_letter_turned_around() {
		assert_eq!(line("a\nblock 7 worker 1"), "a\\nblock 7 worker 1");
		assert_eq!(line("\u{202e}evil\u{2028}"), "\\u{202e}evil\\u{2028}");
	}

	#[test]
	fn what_goes_on_on_further_lines_is_indented_on_each() {
		assert_eq!(indented("Uncaught\n\tat x\n"), "Uncaught\n    | \\tat x");
		assert_eq!(indented("a\n\nblock 7\r\nb"), "a\n    | \n    | block 7\\r\n    | b");
	}

	#[test]
	fn words_of_all_scripts_stay_and_lines_where_they_may() {
		let words = "héllo, 世界 🙂 שלום \\n";
		assert_eq!(line(words), words);
		assert_eq!(lines("a\n\tb\r\x1b"), "a\n\tb\\r\\u{1b}");
	}
}
