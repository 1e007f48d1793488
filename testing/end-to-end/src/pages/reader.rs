//! Somebody who does what a page says, in a shell of their own: a fresh home and working folder, nothing
//! of this process's environment, and the binaries where `make build` puts them.

use super::{
	shape::{self, Known, Lie},
	Command, Kind, Line, Page, Step,
};
use crate::{
	binaries,
	leftovers::{files, processes},
	supervisor, PATIENCE,
};
use anyhow::{bail, ensure, Context};
use nix::sys::signal::Signal;
use phala_devnet::{Folder, Process, Supervisor};
use std::{
	collections::BTreeMap,
	fs,
	net::TcpListener,
	path::{Path, PathBuf},
	time::Duration,
};

/// Reads commands from files, one after the other, so that variables and the folder stay. `$1` is where.
const SHELL: &str = r#"
_number=0
while :; do
	until [ -e "$1/$_number.sh" ]; do sleep 0.05; done
	. "$1/$_number.sh" >"$1/$_number.out" 2>"$1/$_number.err" </dev/null
	echo $? >"$1/code.new" && mv "$1/code.new" "$1/$_number.code"
	_number=$((_number + 1))
done
"#;

/// Where a page's reader finds the binaries, below HOME: as `make` says.
const BINARIES_IN_HOME: &str = ".cache/phala/target/debug";

const POLL: Duration = Duration::from_millis(50);

/// How often what is not yet as the page shows it is asked again.
const AGAIN_EVERY: Duration = Duration::from_millis(500);

/// A page's addresses on this machine: ports of the page, and those that are meant.
pub type PortsMeant = BTreeMap<u16, u16>;

/// Says what a command has printed so far.
type Told<'a> = Box<dyn Fn() -> String + 'a>;

/// Somebody who follows a page.
pub struct Reader<'a> {
	shell: Process,
	supervisor: Supervisor,
	/// Where what they do and what it printed is.
	session: PathBuf,
	work: PathBuf,
	asked: usize,
	known: Known,
	ports: PortsMeant,
	staying: Vec<(Command, Process)>,
	/// What commands that were not run print, by how they begin.
	told: Vec<(&'static str, Told<'a>)>,
	/// Removed last.
	folder: Folder,
}

/// How a command ended.
struct Ended {
	code: i32,
	stdout: String,
	stderr: String,
}

impl<'a> Reader<'a> {
	pub fn new(variables: &[(&str, &str)], ports: PortsMeant) -> anyhow::Result<Self> {
		let folder = Folder::new(&std::env::temp_dir())?;
		let (session, work) = (folder.path().join("session"), folder.path().join("work"));
		let in_home = folder.path().join("home").join(BINARIES_IN_HOME);
		for made in [Some(&*session), Some(&*work), in_home.parent()].into_iter().flatten() {
			fs::create_dir_all(made)?;
		}
		let mut supervisor = supervisor(folder.path())?;
		for (name, value) in variables {
			supervisor = supervisor.with_variable(name, value);
		}
		std::os::unix::fs::symlink(binaries()?, &in_home)?;
		let script = format!("cd {:?}\n{SHELL}", work.display().to_string());
		let arguments = ["--norc".into(), "-c".into(), script, "reader".into(), path(&session)];
		let shell = supervisor.start_at("reader", Path::new("/bin/bash"), &arguments, &[])?;
		Ok(Self {
			shell,
			supervisor,
			session,
			work,
			asked: 0,
			known: Known::default(),
			ports,
			staying: Vec::new(),
			told: Vec::new(),
			folder,
		})
	}

	/// What a command prints that is not run.
	pub fn is_told(&mut self, command: &'static str, printed: impl Fn() -> String + 'a) {
		self.told.push((command, Box::new(printed)));
	}

	/// Does all that the page says, then presses Ctrl-C in every terminal.
	/// Ends at the first lie, with the page's line and what was printed in truth.
	pub async fn follow(mut self, page: &Page) -> anyhow::Result<()> {
		for step in &page.steps {
			match step {
				Step::Write { at, text } => self.write(&at.text, text).with_context(|| {
					format!("{}:{}: {} cannot be written", page.name, at.number, at.text)
				})?,
				Step::Run(command) => self.run(command, page).await?,
				Step::Printed { command, lines } => self.printed(command, lines, page).await?,
			}
		}
		for (command, mut process) in std::mem::take(&mut self.staying) {
			process.signal(Signal::SIGINT)?;
			let code = process.ended(PATIENCE).await?;
			let place = place(page, &command.at);
			ensure!(code == Some(0), "{place}: after Ctrl-C it ended with {code:?}, not with 0");
		}
		let folder = self.folder.path();
		let mut left = processes(folder)?;
		left.retain(|process| process.id != self.shell.id() && !process.line.starts_with("sleep"));
		let files = files(&folder.join("tmp"))?;
		ensure!(left.is_empty() && files.is_empty(), "{} leaves {left:?} {files:?}", page.name);
		Ok(())
	}

	fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
		let path = self.work.join(name);
		fs::create_dir_all(path.parent().context("it is in a folder")?)?;
		Ok(fs::write(path, text)?)
	}

	async fn run(&mut self, command: &Command, page: &Page) -> anyhow::Result<()> {
		let place = || place(page, &command.at);
		let text = self.known.meant(&command.at.text).with_context(place)?;
		let text = with_ports(&text, &self.ports);
		if command.kind == Kind::Stays {
			let process = self.start(&text).await.with_context(place)?;
			self.staying.push((command.clone(), process));
			let shown = command.prints.as_deref().unwrap_or_default();
			return self.shows(self.staying.len() - 1, shown, page).await;
		}
		let asking = async {
			loop {
				let mut known = self.known.clone();
				let ended = self.ask(&text).await.with_context(place)?;
				match lie(command, &ended, &mut known).with_context(place)? {
					None => return Ok(known),
					Some(_) if command.kind == Kind::Until => tokio::time::sleep(AGAIN_EVERY).await,
					Some((number, lie)) => bail!(told(page, number, &lie, &text, &ended)),
				}
			}
		};
		let asked = tokio::time::timeout(PATIENCE, asking).await;
		if let Ok(known) = asked {
			self.known = known?;
			return Ok(());
		}
		let waited = || format!("{}: waited {} s in vain", place(), PATIENCE.as_secs());
		ensure!(command.kind == Kind::Until, "{} for its end", waited());
		// Once more, for what to say of it.
		let mut known = self.known.clone();
		let ended = tokio::time::timeout(PATIENCE, self.ask(&text)).await;
		let ended = ended.with_context(waited)??;
		if let Some((number, lie)) = lie(command, &ended, &mut known)? {
			bail!(
				"{}
{}",
				waited(),
				told(page, number, &lie, &text, &ended)
			);
		}
		self.known = known;
		Ok(())
	}

	/// Types a command into the shell, and waits for its end.
	async fn ask(&mut self, text: &str) -> anyhow::Result<Ended> {
		let at = |ending: &str| self.session.join(format!("{}.{ending}", self.asked));
		let (script, new) = (at("sh"), at("sh.new"));
		let [code, out, err] = ["code", "out", "err"].map(at);
		self.asked += 1;
		fs::write(&new, format!("{text}\n"))?;
		fs::rename(&new, &script)?;
		while !code.is_file() {
			self.shell.check().context("the command ends its shell")?;
			tokio::time::sleep(POLL).await;
		}
		let read = |path: &Path| -> anyhow::Result<String> {
			Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
		};
		Ok(Ended { code: read(&code)?.trim().parse()?, stdout: read(&out)?, stderr: read(&err)? })
	}

	/// A command that stays, in a terminal that has what this one's shell has.
	async fn start(&mut self, text: &str) -> anyhow::Result<Process> {
		let environment = path(&self.session.join("environment"));
		let saved =
			self.ask(&format!("export -p >{environment:?}; pwd >{environment:?}.pwd")).await?;
		ensure!(saved.code == 0, "{}", saved.stderr);
		let script = r#". "$1" && cd "$(cat "$1.pwd")" && eval "exec $2""#;
		let arguments = ["-c", script, "terminal", &environment, text].map(str::to_owned);
		self.supervisor.start_at(text, Path::new("/bin/bash"), &arguments, &[])
	}

	/// Waits until what stays has printed that.
	async fn shows(&mut self, which: usize, shown: &[Line], page: &Page) -> anyhow::Result<()> {
		let waiting = async {
			loop {
				let (command, process) = &mut self.staying[which];
				let runs = process.check();
				let printed = process.log().text();
				let mut known = self.known.clone();
				match shape::of_staying(shown, &printed, &mut known)? {
					Ok(()) => {
						runs.with_context(|| place(page, &command.at))?;
						return Ok(known);
					}
					Err(_) if runs.is_ok() => tokio::time::sleep(POLL).await,
					Err(lie) => bail!(told_of_staying(page, &lie, &command.at, &printed)),
				}
			}
		};
		let waited = tokio::time::timeout(PATIENCE, waiting).await;
		if let Ok(known) = waited {
			self.known = known?;
			return Ok(());
		}
		let (command, process) = &self.staying[which];
		let printed = process.log().text();
		match shape::of_staying(shown, &printed, &mut self.known)? {
			Ok(()) => Ok(()),
			Err(lie) => bail!(told_of_staying(page, &lie, &command.at, &printed)),
		}
	}

	async fn printed(&mut self, words: &str, lines: &[Line], page: &Page) -> anyhow::Result<()> {
		let number = lines.first().map_or(0, |line| line.number);
		if let Some((command, printed)) = self.told.iter().find(|(command, _)| *command == words) {
			let printed = printed();
			return match shape::of_staying(lines, &printed, &mut self.known)? {
				Ok(()) => Ok(()),
				Err(lie) => {
					let at = Line { number, text: (*command).to_owned() };
					bail!(told_of_staying(page, &lie, &at, &printed))
				}
			};
		}
		let begins = |(command, _): &(Command, Process)| command.at.text.starts_with(words);
		let which = self.staying.iter().rposition(begins);
		let which = which.with_context(|| {
			format!("{}:{number}: no command that stays begins with {words:?}", page.name)
		})?;
		self.shows(which, lines, page).await
	}
}

fn path(path: &Path) -> String {
	path.display().to_string()
}

fn place(page: &Page, at: &Line) -> String {
	format!("{}:{}: `{}`", page.name, at.number, at.text)
}

/// How a page lies of a command, and in which line.
fn lie(
	command: &Command,
	ended: &Ended,
	known: &mut Known,
) -> anyhow::Result<Option<(usize, String)>> {
	let number = command.at.number;
	if ended.code != command.exit_code {
		let text = format!("it ended with {}, the page says {}", ended.code, command.exit_code);
		return Ok(Some((number, text)));
	}
	let Some(shown) = &command.prints else { return Ok(None) };
	Ok(match shape::of_ended(shown, &ended.stdout, &ended.stderr, known)? {
		Ok(()) => None,
		Err(Lie::NotPrinted(line)) => Some((
			line.number,
			format!("the page shows {:?}, which was not printed there", line.text),
		)),
		Err(Lie::NotShown(line)) => {
			Some((number, format!("it printed {line:?}, which the page does not show")))
		}
	})
}

fn told(page: &Page, number: usize, lie: &str, command: &str, ended: &Ended) -> String {
	let Ended { code, stdout, stderr } = ended;
	format!("{}:{number}: {lie}\n\n$ {command}\n{stderr}{stdout}(ended with {code})\n", page.name)
}

fn told_of_staying(page: &Page, lie: &Lie, at: &Line, printed: &str) -> String {
	let (number, line) = match lie {
		Lie::NotPrinted(line) => (line.number, &line.text),
		Lie::NotShown(line) => (at.number, line),
	};
	format!(
		"{}:{number}: the page shows {line:?}, which was not printed\n\n$ {}\n{printed}",
		page.name, at.text
	)
}

/// With the ports that are meant in place of those that the page shows.
fn with_ports(command: &str, ports: &PortsMeant) -> String {
	const HOST: &str = "127.0.0.1:";
	let mut parts = command.split(HOST);
	let mut meant = parts.next().unwrap_or_default().to_owned();
	for part in parts {
		let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
		let (port, rest) = part.split_at(digits);
		let of_page = port.parse().ok().and_then(|port| ports.get(&port));
		meant += HOST;
		meant += &of_page.map_or_else(|| port.to_owned(), u16::to_string);
		meant += rest;
	}
	meant
}

/// A port of a page that its reader is to listen on: that one, or a free one if somebody else has it.
pub fn free_port(of_page: u16) -> anyhow::Result<(u16, u16)> {
	let bound = TcpListener::bind(("127.0.0.1", of_page));
	let free = bound.or_else(|_| TcpListener::bind("127.0.0.1:0"))?.local_addr()?.port();
	Ok((of_page, free))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_port_that_is_somebody_elses_is_replaced_by_a_free_one_and_others_stay() {
		let taken = TcpListener::bind("127.0.0.1:0").unwrap();
		let port = taken.local_addr().unwrap().port();
		let (of_page, free) = free_port(port).unwrap();
		assert!(of_page == port && free != port);
		let ports = PortsMeant::from([(port, free)]);
		let command = format!("curl 127.0.0.1:{port}/ ws://127.0.0.1:99440 http://127.0.0.1:");
		let meant = format!("curl 127.0.0.1:{free}/ ws://127.0.0.1:99440 http://127.0.0.1:");
		assert_eq!(with_ports(&command, &ports), meant);
		drop(taken);
	}
}
