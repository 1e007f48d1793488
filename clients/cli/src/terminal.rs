//! Texts of others on a terminal. Who wrote them must not move the cursor, hide or forge lines, or
//! turn the order of letters around.

/// A text of others on one line.
pub fn line(text: &str) -> String {
	escape(text, |_| false)
}

/// A text of others on lines of its own.
pub fn lines(text: &str) -> String {
	escape(text, |character| matches!(character, '\n' | '\t'))
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
	fn words_of_all_scripts_stay_and_lines_where_they_may() {
		let words = "héllo, 世界 🙂 שלום \\n";
		assert_eq!(line(words), words);
		assert_eq!(lines("a\n\tb\r\x1b"), "a\n\tb\\r\\u{1b}");
	}
}
