//! The commands, a file each.

pub mod dev;
pub mod status;
pub mod worker;

use serde_json::Value;

/// A value as people read it: texts without quotes, what is missing as a dash.
pub fn readable(value: &Value) -> String {
	match value {
		Value::Null => "-".into(),
		Value::String(text) => text.clone(),
		other => other.to_string(),
	}
}
