//! What commands tell programs: with `--json` one line on stdout, of one of these types.
//!
//! * Properties are `camelCase`. All of them are always there: what there is not is `null`.
//! * Hashes, ids and keys are `0x` and lower-case hexadecimal digits. Accounts are addresses with the
//!   network's prefix. Amounts are texts of decimal digits, in 10⁻¹² PHA: they do not fit into what
//!   numbers are for many programs. Blocks, workers, clusters and sizes are numbers.
//! * What is one of a few things is a word of an enumeration. Sentences are for people: they stand
//!   in `message` and `detail` alone.
//! * What failed is an [`ErrorBody`], with which every command may end instead.
//!
//! The schema of each command's line is made of its type, is printed by `phala schema`, and stands in
//! `clients/cli/schemas`. A property that a schema does not have is refused by it.
//!
//! | module | holds |
//! |---|---|
//! | [`accounts`], [`agents`], [`calls`], [`operators`] | what the commands of these tell |
//! | [`schemas`] | which command tells what |
//! | [`words`] | hashes, addresses, amounts |

pub mod accounts;
pub mod agents;
pub mod calls;
pub mod operators;
pub mod schemas;
pub mod words;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, io::Write};

/// What was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
	/// Which kind of failure: `Usage`, `Failed`, a refusal's name as `NotLeaseHolder`, …
	#[schemars(regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
	pub code: String,
	/// For people: what was refused, why, and what would be taken.
	pub message: String,
}

/// How a command ends that does not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
	pub error: ErrorBody,
}

/// Prints a result for programs.
pub fn print<T: Serialize + JsonSchema>(told: &T) -> anyhow::Result<()> {
	line(&serde_json::to_string(told)?)
}

/// The same where there is more to do or to tell than what is printed: it goes on though nobody reads.
pub fn print_on<T: Serialize + JsonSchema>(told: &T) -> anyhow::Result<()> {
	match print(told) {
		Err(error) if error.is::<UnreadError>() => Ok(()),
		printed => printed,
	}
}

/// Prints a result: for programs, or as text for people.
pub fn tell<T: Serialize + JsonSchema>(
	json: bool,
	told: &T,
	text: impl fmt::Display,
) -> anyhow::Result<()> {
	match json {
		true => print(told),
		false => line(&text.to_string()),
	}
}

/// Whoever read stdout reads no further, as `| head` does: the command ends, and nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads what is printed any more")]
pub struct UnreadError;

fn line(text: &str) -> anyhow::Result<()> {
	match writeln!(std::io::stdout().lock(), "{text}") {
		Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(UnreadError.into()),
		written => Ok(written?),
	}
}
