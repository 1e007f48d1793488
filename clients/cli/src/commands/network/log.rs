//! One readable log: who says it, in colour, then what. Unless all is asked for, only what matters.

use std::io::IsTerminal;

/// As wide as the longest usual name.
const NAME_WIDTH: usize = 10;

/// Blue, green, yellow, magenta, cyan, and their bright kind.
const COLOURS: [u8; 10] = [34, 32, 33, 35, 36, 94, 92, 93, 95, 96];

/// What people are told of without having asked. Warnings and errors of all children, and of what
/// goes well the steps of a worker's way.
const IMPORTANT: [&str; 12] = [
	" WARN ",
	" ERROR ",
	"⚠️",
	"❌",
	"panicked",
	"Error:",
	"error:",
	"registered; waiting",
	"the enclave's phase",
	"is loaded as",
	"brought the enclave block 0",
	"Running JSON-RPC server",
];

/// What has the look of a warning, is said at every start and means nothing here.
const UNIMPORTANT: [&str; 2] = ["lost the enclave", "lost the node"];

/// How lines look.
#[derive(Clone, Copy, Debug)]
pub struct Style {
	pub colours: bool,
	/// All lines as they are.
	pub verbose: bool,
}

impl Style {
	/// Colours where somebody looks at it and does not mind (<https://no-color.org>).
	pub fn of_terminal(verbose: bool) -> Self {
		let minds = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
		Self { colours: std::io::stderr().is_terminal() && !minds, verbose }
	}

	/// What stands before each line of the `index`th child.
	pub fn prefix(&self, name: &str, index: usize) -> String {
		if self.colours {
			let colour = COLOURS[index % COLOURS.len()];
			format!("\x1b[{colour}m{name:<NAME_WIDTH$} │\x1b[0m ")
		} else {
			format!("{name:<NAME_WIDTH$} │ ")
		}
	}
}

/// What of a line is shown, if anything.
pub fn shown(line: &str, verbose: bool) -> Option<&str> {
	if verbose {
		return Some(line);
	}
	let has = |marks: &[&str]| marks.iter().any(|mark| line.contains(mark));
	let is_shown = is_of_agent(line) || (has(&IMPORTANT) && !has(&UNIMPORTANT));
	is_shown.then(|| without_time(line))
}

/// Whether it is what an agent logs: a level, the agent's name, and its words in quotation marks.
fn is_of_agent(line: &str) -> bool {
	let Some((level, said)) = without_time(line).split_once(' ') else { return false };
	let is_name = |name: &str| {
		!name.is_empty()
			&& name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
	};
	matches!(level, "INFO" | "WARN" | "ERROR")
		&& said.split_once(": \"").is_some_and(|(name, _)| is_name(name.trim_start()))
}

/// A line without the time that it starts with, as `2026-11-20T13:35:00.1Z` or
/// `2026-11-20 13:35:00`.
pub fn without_time(line: &str) -> &str {
	let is_time = |word: &str| {
		word.starts_with(|first: char| first.is_ascii_digit())
			&& word.chars().all(|c| c.is_ascii_digit() || "-:.TZ+".contains(c))
	};
	let mut rest = line.trim_start();
	while let Some((_, after)) = rest.split_once(' ').filter(|(word, _)| is_time(word)) {
		rest = after.trim_start();
	}
	rest
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_prefix_is_as_wide_for_all_and_coloured_only_on_a_terminal() {
		let plain = Style { colours: false, verbose: false };
		assert_eq!(plain.prefix("chain", 0), "chain      │ ");
		assert_eq!(plain.prefix("worker-1", 1), "worker-1   │ ");
		let coloured = Style { colours: true, verbose: false };
		assert_eq!(coloured.prefix("chain", 0), "\x1b[34mchain      │\x1b[0m ");
		assert_eq!(coloured.prefix("chain", 10), coloured.prefix("chain", 0));
	}

	#[test]
	fn quietly_only_important_lines_are_shown_and_without_their_time() {
		let idle = "2026-11-20 13:35:00 💤 Idle (0 peers)";
		assert_eq!(shown(idle, false), None);
		assert_eq!(shown(idle, true), Some(idle));
		let warning = "2026-11-20T13:35:00.123456Z  WARN no block for 3 s";
		assert_eq!(shown(warning, false), Some("WARN no block for 3 s"));
		let agent = "2026-11-20T13:35:00.1Z  INFO price-oracle: \"asked 3 sources\"";
		assert_eq!(shown(agent, false), Some("INFO price-oracle: \"asked 3 sources\""));
		let another = "2026-11-20T13:35:00.1Z  INFO fetched code: \"of worker 1\"";
		assert_eq!(shown(another, false), None);
		let phase = "2026-11-20T13:35:00.1Z  INFO the enclave's phase phase=\"serving\"";
		assert_eq!(shown(phase, false), Some("INFO the enclave's phase phase=\"serving\""));
	}
}
