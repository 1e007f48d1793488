//! Why a command failed, for programs: a code that stays, and a message for people.
//!
//! | code | means |
//! |---|---|
//! | `Usage` | the command line itself; the exit code is 2 then |
//! | a refusal's name, as `NotLeaseHolder` | what a worker refused |
//! | `Chain` | the chain or its node refused, or did not answer |
//! | `Failed` | anything else |

use crate::worker_client::WorkerError;
use phala_chain_client::ChainClientError;
use serde_json::{json, Value};
use std::process::ExitCode;

/// What clap ends with itself.
const EXIT_USAGE: u8 = 2;

pub fn json(code: &str, message: &str) -> Value {
	json!({ "error": { "code": code, "message": message } })
}

pub fn code(error: &anyhow::Error) -> &str {
	if let Some(refused) = error.chain().find_map(|cause| cause.downcast_ref::<WorkerError>()) {
		return &refused.error;
	}
	let is_chain = error.chain().any(|cause| cause.is::<ChainClientError>());
	if is_chain {
		"Chain"
	} else {
		"Failed"
	}
}

/// Help and versions too are what clap calls an error: they go to stdout, as it does it.
pub fn of_arguments(error: &clap::Error) -> ExitCode {
	if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
		println!("{}", json("Usage", error.to_string().trim_end()));
	}
	// A closed terminal is nobody's failure.
	let _ = error.print();
	if error.use_stderr() {
		ExitCode::from(EXIT_USAGE)
	} else {
		ExitCode::SUCCESS
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use anyhow::Context;

	#[test]
	fn what_a_worker_refused_is_its_name_however_deep_it_lies() {
		let refused = WorkerError { error: "NotReady".into(), ..WorkerError::default() };
		let error = Err::<(), _>(refused).context("asking").context("calling").unwrap_err();
		assert_eq!(code(&error), "NotReady");
		let refused = ChainClientError::SecretMalformed;
		assert_eq!(code(&anyhow::Error::new(refused).context("signing")), "Chain");
		assert_eq!(code(&anyhow::anyhow!("no file")), "Failed");
	}
}
