//! The commands, a file each.

pub mod account;
pub mod agent;
pub mod build;
pub mod call;
pub mod cluster;
pub mod deploy;
pub mod dev;
pub mod gatekeeper;
pub mod logs;
pub mod network;
pub mod new;
pub mod request;
pub mod schema;
pub mod secrets;
pub mod status;
pub mod upgrade;
pub mod validator;
pub mod verify;
pub mod worker;

use serde_json::Value;

/// A value that a worker gave, as people read it: texts without quotes, what is missing as a dash.
pub fn readable(value: &Value) -> String {
	match value {
		Value::Null => "-".into(),
		Value::String(text) => crate::terminal::line(text),
		other => crate::terminal::line(&other.to_string()),
	}
}
