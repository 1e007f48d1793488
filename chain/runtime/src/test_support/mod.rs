//! The runtime natively, for tests: of this crate, and of those that run whole blocks of it in
//! externalities (`testing/simulation`).
//!
//! | module | does |
//! |---|---|
//! | this | builds a preset's genesis |
//! | [`oracle`] | says what must hold after every block |
//! | [`transactions`] | puts calls into extrinsics, as clients encode them |

mod bounds;
mod deposits;
pub mod oracle;
pub mod transactions;

use crate::{presets, RuntimeGenesisConfig};
use serde_json::Value;
use sp_runtime::BuildStorage;
use sp_storage::Storage;

/// Genesis of a preset, with `patch` over it: the JSON of parts of [`RuntimeGenesisConfig`].
///
/// # Panics
/// Where there is no such preset, or the patch does not fit.
pub fn genesis(preset: &str, patch: Value) -> Storage {
	let of_preset = presets::get(&preset.into()).expect("the preset exists");
	let mut json = serde_json::to_value(RuntimeGenesisConfig::default()).expect("it is data");
	merge(&mut json, serde_json::from_slice(&of_preset).expect("a preset is JSON"));
	merge(&mut json, patch);
	let config: RuntimeGenesisConfig = serde_json::from_value(json).expect("the patch fits");
	config.build_storage().expect("genesis is built")
}

/// Puts `patch` over `into`, field by field.
pub fn merge(into: &mut Value, patch: Value) {
	match (into, patch) {
		(Value::Object(into), Value::Object(patch)) => {
			for (key, value) in patch {
				merge(into.entry(key).or_insert(Value::Null), value);
			}
		}
		(into, patch) => *into = patch,
	}
}
