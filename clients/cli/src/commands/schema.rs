//! `phala schema`: what commands tell with `--json`, as JSON Schema.

use crate::{
	failure::CommandError,
	output::{
		self,
		schemas::{all, Schemas},
	},
};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The command, as in `phala schema agent status`; `error` is how any may end instead. All of them if
	/// not said.
	#[arg(value_name = "COMMAND")]
	words: Vec<String>,
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let asked = arguments.words.join(" ");
	let known = all();
	if !asked.is_empty() && !known.contains_key(&*asked) {
		let names: Vec<_> = known.into_keys().collect();
		let message = format!("there is no schema for {asked:?}: {} have one", names.join(", "));
		return Err(CommandError::new("NoSuchCommand", message).into());
	}
	let chosen = known.into_iter().filter(|(command, _)| asked.is_empty() || *command == asked);
	let schemas = chosen.map(|(command, schema)| (command.to_owned(), schema.to_value()));
	let schemas = Schemas { schemas: schemas.collect() };
	// Of one command its schema is the text; of all, each is found by its command.
	let text = match schemas.schemas.get(&asked) {
		Some(schema) => serde_json::to_string_pretty(schema)?,
		None => serde_json::to_string_pretty(&schemas.schemas)?,
	};
	output::tell(json, &schemas, text)?;
	Ok(ExitCode::SUCCESS)
}
