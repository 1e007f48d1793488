//! Why a command failed, for programs: a code that stays, and a message for people.
//!
//! | code | means |
//! |---|---|
//! | `Usage` | the command line itself; the exit code is 2 then |
//! | a refusal's name, as `NotLeaseHolder` | what a worker refused |
//! | a name of [`ChainClientError::name`] as `NodeUnreachable`, or of the runtime as `NotOwner` | the chain or its node refused, or did not answer |
//! | `NoSuchAccount`, `NoSuchAgent`, `NoSuchRequest`, `NoSuchWorker`, `NoSuchCommand` | a name or an id that nothing has |
//! | `NoAccount` | none was chosen |
//! | `WorkerExists` | the account is the operator of a worker already, and another was not asked for |
//! | `AccountExists`, `NameTaken` | an account, or an agent of the account, has the name of the new one |
//! | `NotOwner` | the account does not own the agent |
//! | `AlreadyAllowed`, `NotListed`, `NotOffered`, `NothingNew` | what would be changed is so already, or is not there to be changed |
//! | `NoAgentFolder`, `FolderNotEmpty` | a folder without an agent in it; one for a new agent that has something in it |
//! | `DeployedOtherwise` | the folder's agent, which a deployment would go on with, is not as was said or has other code |
//! | `ManifestInvalid`, `TypesWrong`, `BuildFailed` | the agent's sources: `agent.toml`, their types, the rest |
//! | `CodeNotTaken`, `NotBorn`, `UpgradeAnnounced` | a deployment or upgrade: by workers, in time, for another is under way |
//! | `SecretUndeclared`, `SecretRefused`, `SecretsMalformed` | a secret that the manifest lacks; one that the agent cannot have; a file of secrets that is none |
//! | a refusal's name, as `Uncaught` | what ended a paid request |
//! | `RequestExpired`, `RequestRefunded` | nobody answered a paid request; what it held came back |
//! | `TransactionLost` | a kept request: no block took it |
//! | `OtherChain` | the node's chain is not the one that is trusted, or that a kept request was made on |
//! | `BeyondHead` | an answer of a block that the node's chain does not have |
//! | `AlreadyMember`, `NotMember`, `NotOperator`, `NoBoot`, `WorkerInUse`, `NotBondAccount`, `NotThatMuchActive`, `NothingToWithdraw`, `ImmutableCode` | what the runtime would refuse by this name, refused before it costs a transaction |
//! | `CodeNotAccepted` | what was sealed for code that an agent does not run any more |
//! | `NotReached`, `NotReady` | a worker that is not where its operator says that it is; agents that workers do not have ready |
//! | `BelowMinimum` | a stake that would become less than the minimum |
//! | `AccountNameInvalid` | a name that no account can have |
//! | `GenesisInvalid` | a network with value that cannot begin as it was said |
//! | `MeasurementFailed` | a `pruntime` that says no measurement |
//! | `PriceTooHigh`, `DepositTooHigh`, `TimeoutOutOfRange` | an amount or a number that is most likely not meant, or not taken |
//! | `NoNetwork`, `NetworkStarting`, `NetworkStopping`, `WorkerStopped`, `WorkerRuns` | of a development network: none is up, or it is about to be, or to end; a worker is so already |
//! | `NotTakenOver` | a worker was not stopped: no other member of its cluster is ready for some of its agents |
//! | `PortTaken` | another program listens where something was to listen |
//! | `FileMalformed` | a file that was to be an answer is none, or not all of one |
//! | `OtherAgent` | an upgrade: the folder's agent has another name |
//! | `KeysLost` | of a cluster: nobody has its keys any more, and none of its agents answers again |
//! | `InputTooLong` | what was to be sent |
//! | `Unanswered` | no worker answered, or not in time; a paid request that nobody would answer was not submitted |
//! | `MayHaveRun` | a call that writes: a worker was given it and may have run it, or may yet; read the agent's state before it is made again |
//! | `NoWorker` | what answered is no worker's server |
//! | `Unreachable` | no connection, or one that broke off |
//! | `FileFailed`, `FileExists` | a file or folder could not be read or written; one is there and was not to be overwritten |
//! | `NotConfirmed` | what cannot be taken back, and was neither confirmed nor said to be meant |
//! | `Interrupted` | by a signal |
//! | `Failed` | anything else |

use crate::{
	output::{self, ErrorBody, Failure},
	worker_client::WorkerError,
};
use clap::{
	error::{ContextKind, ContextValue},
	CommandFactory,
};
use phala_agent_builder::BuildError;
use phala_chain_client::ChainClientError;
use std::{borrow::Cow, process::ExitCode};

/// Ends a function with a refusal: its code, and its message as `format!` takes it.
macro_rules! refuse {
	($code:expr, $($message:tt)*) => {
		return Err($crate::failure::CommandError::new($code, format!($($message)*)).into())
	};
}

/// What clap ends with itself.
const EXIT_USAGE: u8 = 2;

/// A refusal of the command line's own that programs tell from others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
	pub code: Cow<'static, str>,
	pub message: String,
}

impl CommandError {
	pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
		Self { code: code.into(), message: message.into() }
	}
}

/// An error as programs are told it.
pub fn body(error: &anyhow::Error) -> ErrorBody {
	ErrorBody { code: code(error).to_owned(), message: format!("{error:#}") }
}

/// Ends a command for programs.
pub fn print(error: &anyhow::Error) {
	print_body(body(error));
}

fn print_body(error: ErrorBody) {
	// There is nobody left to tell.
	let _ = output::print(&Failure { error });
}

fn code(error: &anyhow::Error) -> &str {
	let named = error.chain().find_map(|cause| {
		let worker = cause.downcast_ref::<WorkerError>().map(|refused| &*refused.error);
		let own = || cause.downcast_ref::<CommandError>().map(|refused| &*refused.code);
		let chain = || cause.downcast_ref::<ChainClientError>().map(ChainClientError::name);
		worker.or_else(own).or_else(chain)
	});
	let named = named.or_else(|| error.chain().find_map(kind));
	// A worker, or whoever answers in its place, may say anything.
	let is_name = |name: &&str| {
		name.starts_with(|first: char| first.is_ascii_uppercase())
			&& name.chars().all(|character| character.is_ascii_alphanumeric())
	};
	named.filter(is_name).unwrap_or("Failed")
}

/// The code of an error that another crate made, and nothing here named.
fn kind(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
	if let Some(error) = cause.downcast_ref::<BuildError>() {
		return Some(match error {
			BuildError::ManifestSyntax { .. } | BuildError::Manifest { .. } => "ManifestInvalid",
			_ => "BuildFailed",
		});
	}
	if cause.is::<reqwest::Error>() {
		return Some("Unreachable");
	}
	cause.is::<std::io::Error>().then_some("FileFailed")
}

/// Help and versions too are what clap calls an error: they go to stdout, as it does it.
pub fn of_arguments(mut error: clap::Error) -> ExitCode {
	let arguments = std::env::args_os().skip(1).filter_map(|argument| argument.into_string().ok());
	show_usage_of_all(&mut error, arguments);
	if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
		let text = error.to_string();
		let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
		print_body(ErrorBody { code: "Usage".into(), message: message.to_owned() });
	}
	// A closed terminal is nobody's failure.
	let _ = error.print();
	if error.use_stderr() {
		ExitCode::from(EXIT_USAGE)
	} else {
		ExitCode::SUCCESS
	}
}

/// Has an error show how its command is used by anybody: clap counts what a variable says as if it had been
/// written, and shows the option as if it were required.
fn show_usage_of_all(error: &mut clap::Error, arguments: impl Iterator<Item = String>) {
	if error.get(ContextKind::Usage).is_none() {
		return;
	}
	let mut command = crate::Arguments::command();
	command.build();
	let mut named = &command;
	for argument in arguments {
		named = named.find_subcommand(&argument).unwrap_or(named);
	}
	let usage = named.clone().render_usage();
	error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
}

#[cfg(test)]
mod tests {
	use super::*;
	use anyhow::Context;
	use clap::Parser;

	#[test]
	fn a_usage_error_shows_what_the_command_takes_and_nothing_of_what_a_variable_said() {
		let line = ["call", "--genesis", "0x11"];
		let mut error =
			crate::Arguments::try_parse_from([&["phala"][..], &line].concat()).unwrap_err();
		show_usage_of_all(&mut error, line.map(str::to_owned).into_iter());
		let genesis = "11".repeat(32);
		let line = ["call", "--genesis", &genesis];
		let mut error =
			crate::Arguments::try_parse_from([&["phala"][..], &line].concat()).unwrap_err();
		assert!(error.to_string().contains("Usage: phala call --genesis"), "{error}");
		show_usage_of_all(&mut error, line.map(str::to_owned).into_iter());
		let told = error.to_string();
		assert!(told.contains("Usage: phala call [OPTIONS] <AGENT> [PATH]"), "{told}");
		assert!(told.contains("<AGENT>") && told.contains("required"), "{told}");
	}

	#[test]
	fn what_refused_is_a_name_however_deep_it_lies() {
		let refused = WorkerError { error: "NotReady".into(), ..WorkerError::default() };
		let error = Err::<(), _>(refused).context("asking").context("calling").unwrap_err();
		assert_eq!(code(&error), "NotReady");
		let refused = ChainClientError::SecretMalformed;
		let error = anyhow::Error::new(refused).context("signing");
		assert_eq!(code(&error), "SecretMalformed");
		let of_the_runtime =
			ChainClientError::Dispatch { call: "x.y", error: "Agents::NotOwner".into() };
		assert_eq!(code(&of_the_runtime.into()), "NotOwner");
		assert_eq!(code(&CommandError::new("NoSuchAccount", "nobody").into()), "NoSuchAccount");
		assert_eq!(code(&anyhow::anyhow!("no file")), "Failed");
		let missing = std::fs::read("/nowhere/at/all").context("reading").unwrap_err();
		assert_eq!(code(&missing), "FileFailed");
	}

	/// Answers in a worker's place, with a name that is none.
	struct Scribbler;

	impl Scribbler {
		fn refusal(name: &str) -> anyhow::Error {
			WorkerError { error: name.into(), ..WorkerError::default() }.into()
		}
	}

	#[test]
	fn what_is_no_name_is_no_code() {
		for name in ["", "not ready", "NotReady\n", "notReady"] {
			assert_eq!(code(&Scribbler::refusal(name)), "Failed", "{name:?}");
		}
	}

	/// The literals after what makes an error, or a constant of one, in a source.
	fn codes_in(source: &str) -> impl Iterator<Item = &str> {
		let starts = ["refuse!(", "CommandError::new(", ": &str = "];
		let after = starts.into_iter().flat_map(|start| source.split(start).skip(1));
		after.filter_map(|text| {
			let (code, _) = text.trim_start().strip_prefix('"')?.split_once('"')?;
			let is_code = code.len() > 3
				&& code.starts_with(|letter: char| letter.is_ascii_uppercase())
				&& code.contains(|letter: char| letter.is_ascii_lowercase())
				&& code.chars().all(|letter| letter.is_ascii_alphabetic());
			is_code.then_some(code)
		})
	}

	fn sources(folder: &std::path::Path, found: &mut Vec<String>) {
		for entry in std::fs::read_dir(folder).unwrap() {
			let path = entry.unwrap().path();
			if path.is_dir() {
				sources(&path, found);
			} else if path.extension().is_some_and(|extension| extension == "rs") {
				found.push(std::fs::read_to_string(&path).unwrap());
			}
		}
	}

	#[test]
	fn every_code_of_the_command_line_is_in_the_table() {
		let own = include_str!("failure.rs");
		let (table, _) = own.split_once("\nuse ").unwrap();
		let made = "refuse!(\n\t\"NoSuchThing\", CommandError::new(\"Odd\"";
		assert_eq!(codes_in(made).collect::<Vec<_>>(), ["NoSuchThing"]);
		let mut all = Vec::new();
		sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
		let codes: std::collections::BTreeSet<_> =
			all.iter().flat_map(|source| codes_in(source)).collect();
		assert!(codes.len() > 40, "{codes:?}");
		let lacks = |code: &&&str| !table.contains(&format!("`{code}`"));
		let missing: Vec<_> = codes.iter().filter(lacks).collect();
		assert!(missing.is_empty(), "in no row of the table: {missing:?}");
	}
}
