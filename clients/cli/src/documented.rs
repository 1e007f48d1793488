//! What help and documents say of commands is compared with the commands that there are.

use crate::Arguments;
use clap::{Command, CommandFactory};
use std::{
	fs,
	path::{Path, PathBuf},
};

/// A command that somebody is told to run.
#[derive(Debug)]
struct Told {
	at: String,
	words: Vec<String>,
}

fn repository() -> PathBuf {
	// At run time: a checkout that was moved since shares its target folder.
	let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
	Path::new(&own).join("../..")
}

/// All pages for users and operators.
fn pages() -> Vec<PathBuf> {
	let mut pages: Vec<_> = [
		"README.md",
		"CHANGELOG.md",
		"SECURITY.md",
		"CONTRIBUTING.md",
		"scripts/package/INSTALL.md",
	]
	.map(|page| repository().join(page))
	.into();
	for entry in fs::read_dir(repository().join("docs")).unwrap() {
		let path = entry.unwrap().path();
		if path.extension().is_some_and(|extension| extension == "md") {
			pages.push(path);
		}
	}
	pages
}

/// The commands in a line of code, or in the code between the words of a line of text.
fn told(at: &str, line: &str, is_code: bool) -> Vec<Told> {
	let code: Vec<_> = match is_code {
		true => vec![line],
		false => line.split('`').skip(1).step_by(2).collect(),
	};
	let starts = |part: &&str| part.starts_with("phala ");
	let parts = code.into_iter().flat_map(|code| code.split([';', '(', ')', '&', '#']));
	// `VARIABLE=value phala …` and `$ phala …` are commands as well.
	let parts = parts.filter_map(|part| part.find("phala ").map(|from| part.split_at(from)));
	let is_first = |before: &str| {
		before.split_whitespace().all(|word| word == "$" || word.contains('=') || word == "|")
	};
	parts
		.filter(|(before, _)| is_first(before))
		.map(|(_, part)| part)
		.filter(starts)
		.map(|part| Told {
			at: at.to_owned(),
			words: part.split_whitespace().skip(1).map(str::to_owned).collect(),
		})
		.collect()
}

fn all_told() -> Vec<Told> {
	let mut all = Vec::new();
	for page in pages() {
		let text = fs::read_to_string(&page).unwrap();
		let mut is_code = false;
		for (number, line) in (1..).zip(text.lines()) {
			if line.trim_start().starts_with("```") {
				is_code = !is_code;
				continue;
			}
			all.extend(told(&format!("{}:{number}", page.display()), line, is_code));
		}
	}
	all
}

/// What of a command there is not.
fn missing<'a>(command: &Command, words: &'a [String]) -> Option<&'a str> {
	let mut command = command;
	let mut words = words.iter().map(String::as_str).peekable();
	while command.has_subcommands() {
		let word = words.peek().copied()?;
		// `stake|unstake` are two.
		let mut last = None;
		for name in word.split('|') {
			let Some(found) = command.find_subcommand(name) else {
				// A placeholder; or an option of all commands.
				let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
				return (is_name && !name.starts_with('-')).then_some(word);
			};
			last = Some(found);
		}
		command = last?;
		words.next();
	}
	let knows = |option: &str| {
		let option = option.split('=').next().unwrap_or(option);
		["--json", "--help", "-h"].contains(&option)
			|| command.get_arguments().any(|argument| match option.strip_prefix("--") {
				Some(long) => argument.get_long() == Some(long),
				None => argument.get_short() == option.chars().nth(1),
			})
	};
	words.take_while(|word| !["|", ">", "<", "…"].contains(word)).find(|word| {
		let option = word.trim_start_matches('[').trim_end_matches(']');
		let is_option = option.strip_prefix('-').is_some_and(|rest| {
			rest.starts_with(|first: char| first == '-' || first.is_ascii_alphabetic())
		});
		is_option && !knows(option)
	})
}

#[test]
fn every_command_in_the_documents_is_there_with_its_options() {
	let command = Arguments::command();
	let all = all_told();
	assert!(all.len() > 100, "{} commands were found alone", all.len());
	let wrong: Vec<_> = all
		.iter()
		.filter_map(|told| {
			let missing = missing(&command, &told.words)?;
			Some(format!("{}: no {missing} in phala {}", told.at, told.words.join(" ")))
		})
		.collect();
	assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tells people to run what is not there.
struct Inventor;

impl Inventor {
	const LINES: [(&str, bool, &str); 5] = [
		("Then `phala worker bond 3 5` is run.", false, "bond"),
		("$ phala agent status x --verbose", true, "--verbose"),
		("PHALA_SURI=//Bob phala call x -z", true, "-z"),
		("see `phala worker stake|bond`", false, "stake|bond"),
		("`phala dpeloy`", false, "dpeloy"),
	];
}

#[test]
fn a_command_or_option_that_is_not_there_is_found() {
	let command = Arguments::command();
	for (line, is_code, expected) in Inventor::LINES {
		let told = told("a page", line, is_code);
		assert_eq!(told.len(), 1, "{line}");
		assert_eq!(missing(&command, &told[0].words), Some(expected), "{line}");
	}
	for line in
		["phala call x / -X POST", "phala worker stake|unstake 3 5", "phala <command> --help"]
	{
		assert_eq!(missing(&command, &told("a page", line, true)[0].words), None, "{line}");
	}
}

#[test]
fn every_command_and_argument_says_what_it_is() {
	fn silent(path: &str, command: &Command, found: &mut Vec<String>) {
		if command.get_about().is_none() {
			found.push(path.to_owned());
		}
		for argument in command.get_arguments() {
			if argument.get_help().is_none() {
				found.push(format!("{path}: {}", argument.get_id()));
			}
		}
		for inner in command.get_subcommands() {
			silent(&format!("{path} {}", inner.get_name()), inner, found);
		}
	}
	let mut found = Vec::new();
	silent("phala", &Arguments::command(), &mut found);
	assert!(found.is_empty(), "{found:#?}");
}

/// The table at the head of `main.rs` and the row of the README.
#[test]
fn the_lists_of_commands_are_complete() {
	let head: String =
		include_str!("main.rs").lines().take_while(|line| line.starts_with("//!")).collect();
	let readme = fs::read_to_string(repository().join("README.md")).unwrap();
	let row = readme.lines().find(|line| line.starts_with("| `clients/cli` |")).unwrap();
	for command in Arguments::command().get_subcommands() {
		let name = command.get_name();
		for list in [&head[..], row] {
			let names = [format!("`{name}`"), format!("phala {name}")];
			assert!(names.iter().any(|name| list.contains(name)), "{name} is not in {list}");
		}
	}
	for entry in fs::read_dir(repository().join("docs")).unwrap() {
		let name = entry.unwrap().file_name().to_string_lossy().into_owned();
		let link = format!("(docs/{name})");
		assert!(readme.contains(&link) || name.ends_with(".json"), "{name} is not in the README");
	}
}
