//! Which command tells what, as JSON Schema (draft 2020-12), each with its command as title. After a
//! change of the types the tests say how `clients/cli/schemas` is written anew.

use super::{accounts::*, agents::*, calls::*, operators::*, Failure};
use crate::commands::network::Summary;
use schemars::{
	generate::SchemaSettings,
	transform::{transform_subschemas, Transform},
	JsonSchema, Schema,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// How a command ends that does not do what it was told: in place of any command's own line.
pub const ERROR: &str = "error";

/// Makes the schema of the line that a command prints.
type Maker = fn(command: &str) -> Schema;

/// The commands, by their words.
const SCHEMAS: [(&str, Maker); 62] = [
	("account balance", schema::<AccountBalance>),
	("account list", schema::<AccountList>),
	("account new", schema::<AccountMade>),
	("account show", schema::<AccountShown>),
	("account transfer", schema::<Transferred>),
	("agent accept", schema::<AgentChanged>),
	("agent access", schema::<AgentChanged>),
	("agent allow", schema::<AgentChanged>),
	("agent disallow", schema::<AgentChanged>),
	("agent list", schema::<AgentList>),
	("agent price", schema::<AgentChanged>),
	("agent retire", schema::<AgentChanged>),
	("agent status", schema::<AgentStatus>),
	("agent transfer", schema::<AgentChanged>),
	("agent upgrade", schema::<AgentUpgraded>),
	("build", schema::<AgentBuilt>),
	("call", schema::<Called>),
	("cluster accept", schema::<ClusterChanged>),
	("cluster admit", schema::<ClusterChanged>),
	("cluster approve", schema::<MembershipChanged>),
	("cluster close", schema::<ClusterChanged>),
	("cluster create", schema::<ClusterMade>),
	("cluster dismiss", schema::<ClusterChanged>),
	("cluster endpoint", schema::<MembershipChanged>),
	("cluster evict", schema::<AgentEvicted>),
	("cluster join", schema::<MembershipChanged>),
	("cluster leave", schema::<MembershipChanged>),
	("cluster open", schema::<ClusterChanged>),
	("cluster remove", schema::<MembershipChanged>),
	("cluster status", schema::<ClusterStatus>),
	("cluster transfer", schema::<ClusterChanged>),
	("deploy", schema::<AgentDeployed>),
	("dev", schema::<AgentServed>),
	(ERROR, schema::<Failure>),
	("gatekeeper apply", schema::<GatekeepersChanged>),
	("gatekeeper seat", schema::<GatekeepersChanged>),
	("gatekeeper withdraw", schema::<GatekeepersChanged>),
	("logs", schema::<Logged>),
	("network new", schema::<NetworkMade>),
	("network start", schema::<WorkerStarted>),
	("network status", schema::<NetworkStatus>),
	("network stop", schema::<WorkerStopped>),
	("network up", schema::<Summary>),
	("new", schema::<AgentBegun>),
	("request list", schema::<RequestList>),
	("request status", schema::<RequestStatus>),
	("schema", schema::<Schemas>),
	("secrets list", schema::<SecretsDeclared>),
	("secrets remove", schema::<SecretChanged>),
	("secrets set", schema::<SecretChanged>),
	("status", schema::<WorkerAsked>),
	("validator rotate-keys", schema::<SessionKeysRotated>),
	("verify", schema::<VerifiedFile>),
	("worker accept", schema::<WorkerChanged>),
	("worker allow-measurement", schema::<MeasurementAllowed>),
	("worker close", schema::<WorkerClosed>),
	("worker register", schema::<WorkerRegistered>),
	("worker stake", schema::<StakeAdded>),
	("worker status", schema::<WorkerStake>),
	("worker transfer", schema::<WorkerChanged>),
	("worker unstake", schema::<StakeLeaves>),
	("worker withdraw", schema::<StakeWithdrawn>),
];

/// `phala schema`: JSON Schemas, by command.
#[derive(Serialize, JsonSchema)]
pub struct Schemas {
	pub schemas: BTreeMap<String, Value>,
}

/// All of them, by command.
pub fn all() -> BTreeMap<&'static str, Schema> {
	SCHEMAS.into_iter().map(|(command, schema)| (command, schema(command))).collect()
}

fn schema<T: JsonSchema>(command: &str) -> Schema {
	let mut settings = SchemaSettings::draft2020_12().for_serialize();
	settings.transforms.push(Box::new(Closed));
	let mut schema = settings.into_generator().into_root_schema_for::<T>();
	schema.insert("title".into(), command.into());
	schema
}

/// Lets no object have properties that its schema does not name.
#[derive(Clone, Debug)]
struct Closed;

impl Transform for Closed {
	fn transform(&mut self, schema: &mut Schema) {
		let is_open = schema.get("properties").is_some()
			&& schema.get("additionalProperties").is_none()
			&& schema.get("unevaluatedProperties").is_none();
		if is_open {
			schema.insert("additionalProperties".into(), false.into());
		}
		transform_subschemas(self, schema);
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::CommandFactory;
	use std::{collections::BTreeSet, fs, path::PathBuf};

	/// Set, the files are written anew.
	const WRITES: &str = "PHALA_WRITE_SCHEMAS";

	fn folder() -> PathBuf {
		let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
		PathBuf::from(own).join("schemas")
	}

	fn words(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
		for command in command.get_subcommands() {
			let path = format!("{path} {}", command.get_name());
			match command.has_subcommands() {
				true => words(command, &path, found),
				false => drop(found.insert(path.trim_start().to_owned())),
			}
		}
	}

	#[test]
	fn every_command_has_a_schema_and_every_schema_a_command() {
		let mut commands = [ERROR.to_owned()].into();
		words(&crate::Arguments::command(), "", &mut commands);
		let named: BTreeSet<_> = all().into_keys().map(str::to_owned).collect();
		assert_eq!(named, commands);
		assert_eq!(named.len(), SCHEMAS.len(), "each once");
	}

	#[test]
	fn the_files_are_what_the_types_say() {
		let folder = folder();
		let written: BTreeSet<_> = all().into_keys().map(file).collect();
		if std::env::var_os(WRITES).is_some() {
			fs::create_dir_all(&folder).unwrap();
			for (command, schema) in all() {
				let text = serde_json::to_string_pretty(&schema).unwrap();
				fs::write(folder.join(file(command)), text + "\n").unwrap();
			}
		}
		for (command, schema) in all() {
			let text = fs::read_to_string(folder.join(file(command))).unwrap_or_default();
			let kept: Value = serde_json::from_str(&text).unwrap_or_default();
			assert!(
				kept == schema.to_value(),
				"{command}: run this test with {WRITES}=1, and say in CHANGELOG what changed"
			);
		}
		let there = fs::read_dir(folder).unwrap();
		let there = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
		assert_eq!(there.collect::<BTreeSet<_>>(), written, "and nothing else is there");
	}

	fn file(name: &str) -> String {
		format!("{}.json", name.replace(' ', "-"))
	}

	fn open_objects(value: &Value, at: &str, found: &mut Vec<String>) {
		let Value::Object(object) = value else {
			for (index, item) in value.as_array().into_iter().flatten().enumerate() {
				open_objects(item, &format!("{at}/{index}"), found);
			}
			return;
		};
		if object.contains_key("properties")
			&& object.get("additionalProperties") != Some(&false.into())
		{
			found.push(at.to_owned());
		}
		for (key, item) in object {
			open_objects(item, &format!("{at}/{key}"), found);
		}
	}

	#[test]
	fn no_schema_takes_a_property_that_it_does_not_name_or_goes_without_one_that_it_does() {
		for (command, schema) in all() {
			let mut open = Vec::new();
			open_objects(&schema.to_value(), command, &mut open);
			assert_eq!(open, [""; 0]);
		}
		let schema = schema::<AgentStatus>("agent status").to_value();
		let properties = schema["properties"].as_object().unwrap().keys().cloned();
		let required: Vec<String> = serde_json::from_value(schema["required"].clone()).unwrap();
		assert_eq!(properties.collect::<BTreeSet<_>>(), required.into_iter().collect());
	}

	#[test]
	fn names_are_in_camel_case() {
		fn check(schema: &Value) {
			for key in schema["properties"].as_object().into_iter().flat_map(|found| found.keys()) {
				assert!(key.chars().all(char::is_alphanumeric), "{key}");
				assert!(key.starts_with(char::is_lowercase), "{key}");
			}
			match schema {
				Value::Object(object) => object.values().for_each(check),
				Value::Array(items) => items.iter().for_each(check),
				_ => {}
			}
		}
		all().into_values().for_each(|schema| check(&schema.to_value()));
	}
}
