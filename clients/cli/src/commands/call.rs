//! `phala call`: asks an agent, sealed, and checks the answer's proof: directly over a worker's
//! public server, or with `--on-chain` through the chain, paid.

use super::request::{ending_text, settled};
use crate::{
	accounts::{AccountOptions, Accounts},
	calls::{
		direct,
		on_chain::{self, Choices},
		Answered,
	},
	chain::ChainOptions,
	failure,
	names::AgentName,
	output::{
		self,
		agents::WorkerAt,
		calls::{Called, Check, Checked, DirectAnswer, SubmittedRequest},
		words::Amount,
	},
	proof::Finality,
	steps::{seconds, step},
	terminal,
};
use anyhow::Context;
use phala_protocol::{
	requests::{CallInput, CallOutput},
	text::{parse_pha, pha},
	Balance, BlockNumber, H256,
};
use phala_verifier::{AnswerFile, Verification};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
	borrow::Cow,
	fs,
	io::{IsTerminal, Read, Write},
	path::{Path, PathBuf},
	process::ExitCode,
};
use tempfile::NamedTempFile;

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The agent's name or id.
	agent: AgentName,

	/// Path and query that the agent sees.
	#[arg(default_value = "/", value_parser = path)]
	path: String,

	/// GET if there is no body, else POST.
	#[arg(short = 'X', long, value_name = "METHOD", value_parser = method)]
	method: Option<String>,

	/// A header, as in 'name: value'. May be repeated.
	#[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = header)]
	headers: Vec<(String, String)>,

	/// The body: text, @file, or @- for standard input. JSON unless a header says otherwise.
	#[arg(short, long)]
	data: Option<String>,

	/// Asks through the chain: paid, ordered, and kept there.
	#[arg(long)]
	on_chain: bool,

	/// On chain, for everybody to read: input and answer.
	#[arg(long, requires = "on_chain")]
	public: bool,

	/// On chain: the most to pay, in PHA. What is not used is refunded.
	#[arg(long, requires = "on_chain", value_parser = parse_pha)]
	max_fee: Option<Balance>,

	/// On chain: the last block at which the answer counts.
	#[arg(long, requires = "on_chain", value_name = "BLOCK")]
	deadline: Option<BlockNumber>,

	/// On chain: not to be run on a view older than this block.
	#[arg(long, requires = "on_chain", value_name = "BLOCK", default_value_t = 0)]
	min_block: BlockNumber,

	/// On chain: does not wait for the answer. `phala request status` gets it.
	#[arg(long, requires = "on_chain", conflicts_with = "save")]
	no_wait: bool,

	/// Writes the answer with all that proves it, for `phala verify`.
	#[arg(long, value_name = "FILE")]
	save: Option<PathBuf>,

	/// Saves in place of a file that is there.
	#[arg(long, requires = "save")]
	force: bool,

	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	chain: ChainOptions,
}

/// Those that HTTP has for a resource, and that agents are given as they are.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn method(text: &str) -> Result<String, String> {
	let method = text.to_ascii_uppercase();
	match METHODS.contains(&&*method) {
		true => Ok(method),
		false => Err(format!("{text:?} is no method of HTTP: {} are", METHODS.join(", "))),
	}
}

fn path(text: &str) -> Result<String, String> {
	match text.starts_with('/') {
		true => Ok(text.to_owned()),
		false => Err(format!("a path starts with /, as in '/{text}' or '/?name=Ada'")),
	}
}

fn header(text: &str) -> Result<(String, String), String> {
	let (name, value) =
		text.split_once(':').ok_or_else(|| format!("{text:?} is no header: 'name: value' is"))?;
	Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let input = input(&arguments)?;
	let save = Saving::prepare(arguments.save, arguments.force, None)?;
	let account = arguments.account.open()?;
	let chain = arguments.chain.connect().await?;
	let agent = arguments.agent.resolve(&chain, arguments.chain.url()).await?;
	if !arguments.on_chain {
		let called = arguments.agent.to_string();
		let calling = direct::call(&chain, &account, agent, &called, &input);
		let (direct, took) = step("asking a worker and checking its answer", calling).await?;
		let told = |checked| {
			let (worker, url) = (direct.worker.worker, direct.worker.endpoint.clone());
			let (worker, seconds) = (WorkerAt { worker, url }, seconds(took));
			Called::Direct(Box::new(DirectAnswer { worker, seconds, checked }))
		};
		return shown(&direct.answered, told, None, save, json);
	}
	let Arguments { max_fee, deadline, min_block, public, .. } = arguments;
	let choices = Choices { max_fee, deadline, min_block, public, says_how_to_go_on: true };
	let accounts = Accounts::of_user()?;
	let mut finality = Finality::default();
	let submitting =
		on_chain::submit(&chain, &mut finality, &accounts, &account, agent, &input, choices);
	let (submitted, _) = step("submitting the request", submitting).await?;
	let request = submitted.request;
	let terms = submitted.terms;
	say!(
		"  request {request:?} in block {}: at most {}, {} of it not refunded; deadline block {}",
		submitted.block,
		pha(terms.max_fee),
		pha(terms.base_fee),
		terms.deadline
	);
	if arguments.no_wait {
		let (request_id, block, deadline) = (request.into(), submitted.block, terms.deadline);
		let told = SubmittedRequest { request: request_id, block, deadline };
		output::tell(json, &Called::Submitted(told), format!("{request:?}"))?;
		if !json {
			say!("  phala request status {request:?} gets the answer");
		}
		return Ok(ExitCode::SUCCESS);
	}
	let waiting = on_chain::answer(&chain, &mut finality, &accounts, request);
	let ((_, ended), took) = step("waiting for the answer and checking it", waiting).await?;
	let told = |checked| {
		let mut told = settled(request, &ended, checked);
		(told.base_fee, told.seconds) = (Some(Amount(terms.base_fee)), Some(seconds(took)));
		Called::OnChain(Box::new(told))
	};
	shown(&ended.answered, told, Some(&ending_text(&ended)), save, json)
}

fn input(arguments: &Arguments) -> anyhow::Result<CallInput> {
	let Arguments { path, method, headers, data, .. } = arguments;
	let body = match data.as_deref().map(|data| data.strip_prefix('@').ok_or(data)) {
		None => None,
		Some(Err(text)) => Some(text.as_bytes().to_vec()),
		Some(Ok("-")) => {
			let mut bytes = Vec::new();
			std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
			Some(bytes)
		}
		Some(Ok(file)) => Some(fs::read(file).with_context(|| format!("cannot read {file}"))?),
	};
	let usual = if body.is_some() { "POST" } else { "GET" };
	let method = method.clone().unwrap_or_else(|| usual.to_owned());
	let mut headers = headers.clone();
	if body.is_some() && !headers.iter().any(|(name, _)| name == "content-type") {
		headers.push(("content-type".into(), "application/json".into()));
	}
	Ok(CallInput {
		method: method.into_bytes(),
		path: path.clone().into_bytes(),
		headers: headers
			.into_iter()
			.map(|(name, value)| (name.into_bytes(), value.into_bytes()))
			.collect(),
		body: body.unwrap_or_default(),
	})
}

/// Where an answer is to be saved: found out before anything is paid for it.
pub struct Saving {
	path: PathBuf,
	/// Under its name the file is never seen half written.
	file: NamedTempFile,
}

impl Saving {
	/// In `path`, if there is one. What is there stays, but for an answer to the same `request`.
	pub fn prepare(
		path: Option<PathBuf>,
		force: bool,
		request: Option<H256>,
	) -> anyhow::Result<Option<Self>> {
		let Some(path) = path else { return Ok(None) };
		if path.is_dir() {
			refuse!("FileFailed", "cannot save to {}: it is a folder", path.display());
		}
		if !force && path.exists() && !is_answer_to(&path, request) {
			refuse!("FileExists", "{} is there already, and nothing was asked yet: name another file with --save, or --force puts the answer in its place", path.display());
		}
		let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
		let folder = folder.unwrap_or(Path::new("."));
		let refuse = |why: &dyn std::fmt::Display| {
			let message =
				format!("cannot save to {}: {why}; nothing was asked yet", path.display());
			failure::CommandError::new("FileFailed", message)
		};
		// A temporary name, which nobody gave, would be named by an error.
		fs::metadata(folder).map_err(|error| refuse(&error))?;
		let file = NamedTempFile::new_in(folder).map_err(|error| refuse(&error.kind()))?;
		Ok(Some(Self { path, file }))
	}

	fn write(self, answer: &AnswerFile) -> anyhow::Result<()> {
		let Self { path, mut file } = self;
		let named = || format!("the answer could not be saved to {}", path.display());
		file.write_all(&serde_json::to_vec_pretty(answer)?).with_context(named)?;
		file.persist(&path).with_context(named)?;
		Ok(())
	}
}

/// Whether a file is an answer to this request: another copy of it takes nothing away.
fn is_answer_to(path: &Path, request: Option<H256>) -> bool {
	let saved = fs::read(path).ok().and_then(|json| AnswerFile::from_json(&json).ok());
	let of = saved.and_then(|saved| saved.request?.id.exactly().map(H256));
	of.is_some() && of == request
}

/// Shows an answer if it is proven, and else only why it is not; fails then. It is shown whatever
/// becomes of the file. `told` is what programs are told of it.
pub fn shown<T: Serialize + JsonSchema>(
	answered: &Answered,
	told: impl FnOnce(Checked) -> T,
	text: Option<&str>,
	save: Option<Saving>,
	json: bool,
) -> anyhow::Result<ExitCode> {
	let Answered { file, verification, answer } = answered;
	let saved = save.map_or(Ok(()), |saving| saving.write(file));
	if json {
		output::print_on(&told(Checked {
			answer: answered.output().map(Into::into),
			proof: (&answer.proof).into(),
			verified: verification.verified,
			checks: verification.checks.iter().map(Check::from).collect(),
			save_error: saved.as_ref().err().map(failure::body),
		}))?;
	} else {
		match answered.output() {
			Some(CallOutput { status, body: bytes, .. }) => {
				if !(200..300).contains(status) {
					say!("  the agent answered with HTTP status {status}");
				}
				terminal::show(&body(bytes, std::io::stdout().is_terminal()))?;
			}
			None => say!("  the answer is not proven, and so is not shown"),
		}
		terminal::say(&verification.to_string());
		if let Some(text) = text {
			terminal::say(text);
		}
	}
	if let Err(error) = saved {
		say!("error: {error:#}");
		return Ok(ExitCode::FAILURE);
	}
	verified(verification)
}

/// An agent's answer as it is, but on a terminal without what would move that.
pub fn body(body: &[u8], is_terminal: bool) -> Cow<'_, [u8]> {
	let mut shown = match is_terminal {
		true => terminal::lines(&String::from_utf8_lossy(body)).into_bytes().into(),
		false => Cow::Borrowed(body),
	};
	if !shown.ends_with(b"\n") {
		shown.to_mut().push(b'\n');
	}
	shown
}

/// Fails with the check that did.
pub fn verified(verification: &Verification) -> anyhow::Result<ExitCode> {
	Ok(if verification.verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_verifier::file::{HexBytes, RequestEvidence};

	#[test]
	fn an_answer_moves_no_terminal_and_is_left_as_it_is_in_a_file() {
		let answer = b"a\n\x1b[2Jb\xff";
		assert_eq!(body(answer, true), "a\n\\u{1b}[2Jb\u{fffd}\n".as_bytes());
		assert_eq!(*body(answer, false), *b"a\n\x1b[2Jb\xff\n");
		assert_eq!(*body(b"a\n", false), *b"a\n");
	}

	#[test]
	fn where_nothing_can_be_written_nothing_is_asked() {
		let folder = tempfile::tempdir().unwrap();
		let prepare = |path: PathBuf| Saving::prepare(Some(path), false, None);
		let refused = |path: PathBuf| prepare(path).err().unwrap().to_string();
		assert!(refused(folder.path().into()).contains("it is a folder"));
		let nowhere = folder.path().join("none/answer.json");
		let refused = refused(nowhere.clone());
		assert!(refused.contains("nothing was asked yet"), "{refused}");
		assert!(refused.contains(&nowhere.display().to_string()), "{refused}");
		assert!(refused.contains("No such file or directory"), "{refused}");
		assert!(Saving::prepare(None, false, None).unwrap().is_none());
		// Nothing is left of one that was prepared and not needed.
		drop(prepare(folder.path().join("answer.json")).unwrap());
		assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
	}

	#[test]
	fn a_file_that_is_there_is_not_overwritten_but_by_the_same_answer_or_by_force() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("notes.txt");
		fs::write(&path, "mine").unwrap();
		let prepare = |force, request| Saving::prepare(Some(path.clone()), force, request);
		let refused = failure::body(&prepare(false, None).err().unwrap());
		assert_eq!(refused.code, "FileExists");
		assert!(refused.message.contains("--force"), "{}", refused.message);
		assert!(prepare(false, Some(H256([1; 32]))).is_err(), "it is no answer");
		assert!(prepare(true, None).is_ok());
		assert_eq!(fs::read_to_string(&path).unwrap(), "mine", "nothing was written yet");
	}

	#[test]
	fn an_answer_is_saved_over_itself_and_over_no_other_that_somebody_paid_for() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("answer.json");
		let (mine, other) = (H256([1; 32]), H256([2; 32]));
		let answer = |request: Option<H256>| {
			let empty = || HexBytes(Vec::new());
			AnswerFile {
				format: phala_verifier::file::FORMAT.into(),
				genesis: empty(),
				input: empty(),
				output: empty(),
				salt: empty(),
				proof: empty(),
				request: request
					.map(|id| RequestEvidence { id: HexBytes(id.0.into()), reply: None }),
				chain: None,
				report: None,
			}
		};
		let save = |request| Saving::prepare(Some(path.clone()), false, request);
		save(Some(mine)).unwrap().unwrap().write(&answer(Some(mine))).unwrap();
		assert!(save(Some(mine)).is_ok(), "another copy takes nothing away");
		for refused in [Some(other), None] {
			let refused = failure::body(&save(refused).err().unwrap());
			assert_eq!(refused.code, "FileExists");
		}
		// One of a direct call is of no request, and so the same as none.
		fs::remove_file(&path).unwrap();
		save(None).unwrap().unwrap().write(&answer(None)).unwrap();
		assert!(save(None).is_err());
	}

	#[test]
	fn methods_that_are_none_and_paths_without_a_beginning_are_refused_by_name() {
		assert_eq!(method("patch"), Ok("PATCH".into()));
		for none in ["FETCH", "", "GET "] {
			let refused = method(none).unwrap_err();
			assert!(
				refused.contains(&format!("{none:?}")) && refused.contains("POST"),
				"{refused}"
			);
		}
		assert_eq!(path("/a?b"), Ok("/a?b".into()));
		assert!(path("nopath").unwrap_err().contains("'/nopath'"));
	}

	#[test]
	fn a_header_is_a_name_and_a_value() {
		assert_eq!(header("Accept: text/plain"), Ok(("accept".into(), "text/plain".into())));
		assert_eq!(header("a:b:c"), Ok(("a".into(), "b:c".into())));
		assert!(header("nothing").is_err());
	}
}
