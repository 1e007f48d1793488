//! The pages of docs/ as a reader takes them: commands to run, with what they print, and files to
//! write. [`reader`] does what a page says and holds it to its word; [`shape`] says when what was
//! printed is what the page shows.
//!
//! Each fenced block of a page is one of these, or the page is refused:
//!
//! | block | is |
//! |---|---|
//! | `sh` | commands, a line each; a line that begins with `#` is for people |
//! | no language, `$ ` begins its first line | commands behind `$ `, each with the lines that it prints |
//! | `toml`, `ts`, `json` | a file to be written: the last name `like/this.toml` in the paragraph before it |
//!
//! `\` at its end continues a line. A command ends with 0 unless `# exit code 1` behind it says
//! otherwise. A comment on the line before a block, which the rendered page does not show, says more:
//!
//! | comment | the block |
//! |---|---|
//! | `<!-- test: not run: <why> -->` | is not run |
//! | `<!-- test: stays -->` | is one command that goes on until Ctrl-C, in a terminal of its own |
//! | `<!-- test: until -->` | is asked again until it is as shown: the page says "a few seconds later" |
//! | `<!-- test: output of <words> -->` | is what the command that begins so has printed or will print: it stays, or was not run |

pub mod reader;
pub mod shape;

#[cfg(test)]
mod api;
#[cfg(test)]
mod tests;

use anyhow::{bail, ensure, Context};
use std::path::Path;

/// A page, in its order.
#[derive(Debug)]
pub struct Page {
	/// Its path in the repository.
	pub name: String,
	pub steps: Vec<Step>,
	pub not_run: Vec<NotRun>,
}

/// A line of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
	/// From 1 on.
	pub number: usize,
	pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
	/// A file, by its path in the reader's folder.
	Write {
		at: Line,
		text: String,
	},
	Run(Command),
	/// More that a command has printed, or will.
	Printed {
		command: String,
		lines: Vec<Line>,
	},
}

/// What a reader types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
	pub at: Line,
	pub exit_code: i32,
	/// What the page shows of it; nothing if it does not say.
	pub prints: Option<Vec<Line>>,
	pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
	Ends,
	/// Goes on until Ctrl-C.
	Stays,
	/// Is asked again until it is as shown.
	Until,
}

/// Commands that are not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRun {
	pub number: usize,
	pub why: String,
}

/// What a comment says of the block behind it.
#[derive(Debug, PartialEq, Eq)]
enum Mark {
	NotRun(String),
	Command(Kind),
	OutputOf(String),
}

impl Mark {
	fn of(line: &str) -> Option<anyhow::Result<Self>> {
		let text = line.trim().strip_prefix("<!-- test:")?;
		Some(Self::read(text))
	}

	fn read(text: &str) -> anyhow::Result<Self> {
		let text = text.strip_suffix("-->").context("the comment ends on its line")?.trim();
		Ok(match text {
			"stays" => Self::Command(Kind::Stays),
			"until" => Self::Command(Kind::Until),
			_ => match (text.strip_prefix("not run: "), text.strip_prefix("output of ")) {
				(Some(why), _) => Self::NotRun(why.into()),
				(_, Some(command)) => Self::OutputOf(command.into()),
				_ => bail!("{text:?} says nothing: `not run: <why>`, `stays`, `until` and `output of <command>` do"),
			},
		})
	}
}

/// A fenced block, without its fences and without what indents it.
#[derive(Debug, Default)]
struct Block {
	number: usize,
	language: String,
	mark: Option<Mark>,
	/// The last of the text before it.
	paragraph: String,
	lines: Vec<Line>,
}

impl Page {
	/// An error names the file and line of a block that is none of those above.
	pub fn read(repository: &Path, name: &str) -> anyhow::Result<Self> {
		let text =
			std::fs::read_to_string(repository.join(name)).with_context(|| name.to_owned())?;
		Self::parse(name, &text)
	}

	pub fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
		let mut page = Self { name: name.into(), steps: Vec::new(), not_run: Vec::new() };
		for block in blocks(text).with_context(|| name.to_owned())? {
			let number = block.number;
			page.take(block).with_context(|| format!("{name}:{number}"))?;
		}
		Ok(page)
	}

	fn take(&mut self, block: Block) -> anyhow::Result<()> {
		let Block { number, language, mark, paragraph, lines } = block;
		let is_console = lines.first().is_some_and(|line| line.text.starts_with("$ "));
		let kind = match mark {
			Some(Mark::NotRun(why)) => {
				self.not_run.push(NotRun { number, why });
				return Ok(());
			}
			Some(Mark::OutputOf(command)) => {
				ensure!(language.is_empty() && !is_console, "output of a command has no commands");
				self.steps.push(Step::Printed { command, lines });
				return Ok(());
			}
			Some(Mark::Command(kind)) => kind,
			None => Kind::Ends,
		};
		let commands = match &language[..] {
			"sh" => script(lines)?,
			"" if is_console => console(lines)?,
			"toml" | "ts" | "json" => {
				let at = Line { number, text: file_name(&paragraph, &language)? };
				let text = lines.into_iter().map(|line| line.text + "\n").collect();
				self.steps.push(Step::Write { at, text });
				return Ok(());
			}
			_ => bail!("what is this block? Commands are `sh` or begin with `$ `, files toml, ts or json; for others see testing/end-to-end/src/pages"),
		};
		ensure!(
			kind != Kind::Stays || commands.len() == 1,
			"a block that stays has one command, this has {}",
			commands.len()
		);
		self.steps
			.extend(commands.into_iter().map(|command| Step::Run(Command { kind, ..command })));
		Ok(())
	}
}

fn blocks(text: &str) -> anyhow::Result<Vec<Block>> {
	let mut found = Vec::new();
	let mut open: Option<(usize, Block)> = None;
	let mut mark = None;
	let mut paragraph = String::new();
	let mut is_over = true;
	for (index, line) in text.lines().enumerate() {
		let number = index + 1;
		let trimmed = line.trim_start();
		if let Some((indent, block)) = &mut open {
			if trimmed.starts_with("```") {
				found.extend(open.take().map(|(_, block)| block));
				continue;
			}
			let indent = (line.len() - trimmed.len()).min(*indent);
			block.lines.push(Line { number, text: line[indent..].trim_end().to_owned() });
		} else if let Some(language) = trimmed.strip_prefix("```") {
			let block = Block {
				number,
				language: language.trim().to_owned(),
				mark: mark.take(),
				paragraph: paragraph.clone(),
				lines: Vec::new(),
			};
			open = Some((line.len() - trimmed.len(), block));
		} else {
			ensure!(mark.is_none(), "line {index}: the block follows the comment at once");
			mark = Mark::of(line).transpose().with_context(|| format!("line {number}"))?;
			if trimmed.is_empty() {
				is_over = true;
			} else if mark.is_none() {
				if std::mem::take(&mut is_over) {
					paragraph.clear();
				}
				paragraph += trimmed;
				paragraph.push(' ');
			}
		}
	}
	ensure!(open.is_none(), "the last block does not end");
	ensure!(mark.is_none(), "the last comment has no block");
	Ok(found)
}

/// Commands, a line each.
fn script(lines: Vec<Line>) -> anyhow::Result<Vec<Command>> {
	let mut commands = Vec::new();
	let mut lines = lines.into_iter();
	while let Some(line) = lines.next() {
		if line.text.trim().is_empty() || line.text.trim_start().starts_with('#') {
			continue;
		}
		commands.push(command(line, &mut lines, None)?);
	}
	ensure!(!commands.is_empty(), "there is no command in it");
	Ok(commands)
}

/// Commands behind `$ `, with what they print.
fn console(lines: Vec<Line>) -> anyhow::Result<Vec<Command>> {
	let mut commands: Vec<Command> = Vec::new();
	let mut lines = lines.into_iter();
	while let Some(line) = lines.next() {
		if let Some(text) = line.text.strip_prefix("$ ") {
			let line = Line { number: line.number, text: text.to_owned() };
			commands.push(command(line, &mut lines, Some(Vec::new()))?);
		} else if let Some(prints) = commands.last_mut().and_then(|last| last.prints.as_mut()) {
			prints.push(line);
		}
	}
	Ok(commands)
}

fn command(
	first: Line,
	rest: &mut impl Iterator<Item = Line>,
	prints: Option<Vec<Line>>,
) -> anyhow::Result<Command> {
	let mut at = first;
	while at.text.ends_with('\\') {
		let next = rest.next().context("a command ends with \\ and does not go on")?;
		at.text = format!("{}\n{}", at.text, next.text);
	}
	const MARK: &str = "# exit code ";
	let exit_code = match at.text.split_once(MARK) {
		Some((_, code)) => code.trim().parse().context("an exit code is a number")?,
		None => 0,
	};
	Ok(Command { at, exit_code, prints, kind: Kind::Ends })
}

/// The last name of a file of this kind in a text: in backticks, as in `riddle/agent.toml`.
fn file_name(paragraph: &str, language: &str) -> anyhow::Result<String> {
	let ends = format!(".{language}");
	let code = paragraph.split('`').skip(1).step_by(2);
	let found = code.filter(|code| code.ends_with(&ends)).last();
	let found = found.with_context(|| {
		format!("which file is this? The paragraph before it names none that ends in {ends}")
	})?;
	ensure!(
		!found.starts_with('/') && !found.contains(".."),
		"{found} is not in the reader's folder"
	);
	Ok(found.to_owned())
}
