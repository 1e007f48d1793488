//! What `phala --json` prints, held against the schemas that it is published with.

use anyhow::{bail, ensure, Context};
use boon::{Compiler, SchemaIndex};
use serde_json::Value;
use std::{
	collections::{BTreeMap, BTreeSet},
	fs,
	sync::{Mutex, OnceLock, PoisonError},
};

use crate::cli::Said;

/// How any command may end instead.
pub const ERROR: &str = "error";

/// Compiled schemas, by the words of their commands.
pub struct Schemas {
	compiled: boon::Schemas,
	by_command: BTreeMap<String, SchemaIndex>,
}

impl Schemas {
	/// Those of this repository.
	pub fn read() -> anyhow::Result<Self> {
		let (mut compiled, mut by_command) = (boon::Schemas::new(), BTreeMap::new());
		let folder = crate::own_folder().join("../../clients/cli/schemas");
		for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
			let path = entry?.path();
			let at = format!("file://{}", path.display());
			let refused = |error: &dyn std::fmt::Display| anyhow::anyhow!("{at}: {error}");
			let schema: Value = serde_json::from_slice(&fs::read(&path)?)?;
			let command = schema["title"].as_str().context("a command is its title")?.to_owned();
			let mut compiler = Compiler::new();
			compiler.add_resource(&at, schema).map_err(|error| refused(&error))?;
			let index = compiler.compile(&at, &mut compiled).map_err(|error| refused(&error))?;
			by_command.insert(command, index);
		}
		Ok(Self { compiled, by_command })
	}

	/// The commands, and [`ERROR`].
	pub fn commands(&self) -> BTreeSet<&str> {
		self.by_command.keys().map(String::as_str).collect()
	}

	/// Of which command these are the arguments.
	pub fn command<'a>(&'a self, arguments: &[&str]) -> anyhow::Result<&'a str> {
		let words = arguments.iter().filter(|argument| **argument != "--json");
		let words: Vec<_> = words.take(2).copied().collect();
		for count in (1..=words.len()).rev() {
			if let Some((command, _)) = self.by_command.get_key_value(&words[..count].join(" ")) {
				return Ok(command);
			}
		}
		bail!("no schema is for phala {arguments:?}")
	}

	/// Whether something is what a command tells.
	pub fn check(&self, command: &str, told: &Value) -> anyhow::Result<()> {
		let index = self.by_command.get(command).with_context(|| format!("{command:?}"))?;
		let checked = self.compiled.validate(told, *index);
		checked.map_err(|error| {
			anyhow::anyhow!(
				"`phala {command}` tells what its schema does not say: {error:#}\n{told:#}"
			)
		})
	}

	/// Whether all that a command printed is what it tells when it ended like that; the command, or
	/// [`ERROR`].
	pub fn check_said<'a>(&'a self, arguments: &[&str], said: &Said) -> anyhow::Result<&'a str> {
		// What no command has is an error whatever it is.
		let command = self.command(arguments).unwrap_or(ERROR);
		let lines: Vec<&str> = said.stdout.lines().collect();
		ensure!(!lines.is_empty(), "phala {arguments:?} told nothing: {said:?}");
		let mut told = command;
		for line in lines {
			let line = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
			let failed = said.code != Some(0) && self.check(ERROR, &line).is_ok();
			told = if failed { ERROR } else { command };
			self.check(told, &line)?;
		}
		Ok(told)
	}
}

static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The schemas of this repository, read once.
pub fn schemas() -> anyhow::Result<&'static Schemas> {
	static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
	if SCHEMAS.get().is_none() {
		let _ = SCHEMAS.set(Schemas::read()?);
	}
	SCHEMAS.get().context("they were read")
}

/// [`Schemas::check_said`], and remembers that this process saw the command tell something.
pub fn check(arguments: &[&str], said: &Said) -> anyhow::Result<()> {
	let told = schemas()?.check_said(arguments, said)?;
	SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert(told.to_owned());
	Ok(())
}

/// The commands whose results this process checked.
pub fn seen() -> BTreeSet<String> {
	SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde_json::json;

	/// Tells a program more, less or something else than its schema says.
	struct Drifted;

	impl Drifted {
		fn from(honest: &Value) -> Vec<Value> {
			let (mut more, mut less, mut other) = (honest.clone(), honest.clone(), honest.clone());
			more["surprise"] = true.into();
			less.as_object_mut().map(|object| object.remove("free"));
			other["free"] = 12.into();
			vec![more, less, other, Value::Null]
		}
	}

	#[test]
	fn what_drifts_from_its_schema_is_refused() {
		let schemas = Schemas::read().unwrap();
		// //Alice.
		let address = "45R2pfjQUW2s9PQRHU48HQKLKHVMaDja7N3wpBtmF28UYDs2";
		let honest = json!({ "address": address, "free": "12", "reserved": "0" });
		schemas.check("account balance", &honest).unwrap();
		for drifted in Drifted::from(&honest) {
			assert!(schemas.check("account balance", &drifted).is_err(), "{drifted}");
		}
		let elsewhere = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
		let of_another_network = json!({ "address": elsewhere, "free": "12", "reserved": "0" });
		assert!(schemas.check("account balance", &of_another_network).is_err());
	}

	#[test]
	fn what_failed_is_told_as_an_error_and_nothing_else_is() {
		let schemas = Schemas::read().unwrap();
		let said = |code, stdout: &str| Said { code, stdout: stdout.into(), stderr: String::new() };
		let error = r#"{"error":{"code":"Failed","message":"why"}}"#;
		let list = ["--json", "account", "list"];
		assert_eq!(schemas.check_said(&list, &said(Some(1), error)).unwrap(), ERROR);
		assert!(schemas.check_said(&list, &said(Some(0), error)).is_err());
		assert!(schemas.check_said(&list, &said(Some(1), "")).is_err());
		assert!(schemas.check_said(&list, &said(Some(1), "why")).is_err());
		let accounts = said(Some(0), r#"{"accounts":[]}"#);
		assert_eq!(schemas.check_said(&list, &accounts).unwrap(), "account list");
	}
}
