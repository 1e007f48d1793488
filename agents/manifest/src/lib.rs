//! What an agent declares about itself, deployed together with its code.
//!
//! Shared by the builder, which writes a manifest, and the sandbox, which holds the agent to it. The
//! folder of an agent has it as `agent.toml`; what is deployed is the same thing as JSON.

// Anybody writes a manifest: nothing here panics, whatever it says.
#![cfg_attr(
	not(test),
	deny(
		clippy::arithmetic_side_effects,
		clippy::expect_used,
		clippy::indexing_slicing,
		clippy::panic,
		clippy::unreachable,
		clippy::unwrap_used
	)
)]

mod egress;
pub mod limits;

pub use egress::{EgressRule, EgressRuleError, Scheme, HOST_BYTES_MAX};

use limits::{LimitTooHighError, LimitsRequest};
use serde::{
	de::{self, Unexpected, Visitor},
	Deserialize, Deserializer, Serialize,
};
use std::{
	collections::{BTreeMap, BTreeSet},
	fmt,
};
use thiserror::Error;

pub const NAME_BYTES_MAX: usize = 64;
pub const EGRESS_RULES_MAX: usize = 64;
pub const SECRETS_MAX: usize = 64;
pub const CONFIG_ENTRIES_MAX: usize = 64;
pub const CONFIG_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
	/// For people. The agent's id does not come from it.
	pub name: String,
	/// Hosts that `fetch` may reach. None if empty.
	#[serde(default)]
	pub egress: Vec<EgressRule>,
	/// Names of the secrets that the agent may ask for; their values are sealed to it by its owner.
	#[serde(default)]
	pub secrets: BTreeSet<String>,
	/// Plain settings, given to the agent as `env.config`. Public.
	#[serde(default)]
	pub config: BTreeMap<String, String>,
	#[serde(default)]
	pub limits: LimitsRequest,
	/// What a unit of work costs the caller, in the smallest unit of PHA (10⁻¹²).
	#[serde(default, deserialize_with = "price")]
	pub price: u64,
}

/// Says what is expected with its unit.
fn price<'de, D: Deserializer<'de>>(price: D) -> Result<u64, D::Error> {
	struct Price;

	impl Visitor<'_> for Price {
		type Value = u64;

		fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
			f.write_str(
				"the price of a unit of work as a whole number of the smallest unit of PHA: \
				 1000000000 is 0.001 PHA",
			)
		}

		fn visit_u64<E: de::Error>(self, price: u64) -> Result<u64, E> {
			Ok(price)
		}

		fn visit_i64<E: de::Error>(self, price: i64) -> Result<u64, E> {
			let wrong = || E::invalid_value(Unexpected::Signed(price), &self);
			u64::try_from(price).map_err(|_| wrong())
		}
	}

	price.deserialize_u64(Price)
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
	#[error(
		"the name {0:?} was refused: expected 1 to {NAME_BYTES_MAX} characters of a-z, 0-9 and -"
	)]
	Name(String),
	#[error("the secret's name {0:?} was refused: expected 1 to {NAME_BYTES_MAX} characters of A-Z, a-z, 0-9 and _")]
	SecretName(String),
	#[error("the manifest has {found} {what}; at most {max} are allowed")]
	TooMany { what: &'static str, found: usize, max: usize },
	#[error(transparent)]
	Limit(#[from] LimitTooHighError),
}

impl Manifest {
	/// Whether a network would take this manifest.
	pub fn check(&self) -> Result<(), ManifestError> {
		let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
		if self.name.is_empty()
			|| self.name.len() > NAME_BYTES_MAX
			|| !self.name.bytes().all(is_name)
		{
			return Err(ManifestError::Name(self.name.clone()));
		}
		for name in &self.secrets {
			let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
			if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_name) {
				return Err(ManifestError::SecretName(name.clone()));
			}
		}
		let config_bytes = self
			.config
			.iter()
			.map(|(key, value)| key.len().saturating_add(value.len()))
			.fold(0, usize::saturating_add);
		for (what, found, max) in [
			("egress rules", self.egress.len(), EGRESS_RULES_MAX),
			("secrets", self.secrets.len(), SECRETS_MAX),
			("config entries", self.config.len(), CONFIG_ENTRIES_MAX),
			("bytes of config", config_bytes, CONFIG_BYTES_MAX),
		] {
			if found > max {
				return Err(ManifestError::TooMany { what, found, max });
			}
		}
		self.limits.resolve()?;
		Ok(())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn named(name: &str) -> Manifest {
		Manifest { name: name.into(), ..Default::default() }
	}

	#[test]
	fn a_manifest_survives_json() {
		let manifest = Manifest {
			egress: vec!["*.example.com".parse().unwrap()],
			secrets: ["API_KEY".to_owned()].into(),
			..named("chat")
		};
		let json = serde_json::to_string(&manifest).unwrap();
		assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
	}

	#[test]
	fn a_misspelt_field_is_refused_by_name() {
		let error = serde_json::from_str::<Manifest>(r#"{"name":"a","egres":[]}"#).unwrap_err();
		assert!(error.to_string().contains("egres"), "{error}");
	}

	#[test]
	fn a_price_that_is_none_is_refused_with_the_unit_of_what_is_expected() {
		for price in ["1.5", "-1", "\"0.001 PHA\""] {
			let json = format!(r#"{{"name":"a","price":{price}}}"#);
			let error = serde_json::from_str::<Manifest>(&json).unwrap_err().to_string();
			assert!(error.contains("smallest unit of PHA"), "{price}: {error}");
		}
		let json = r#"{"name":"a","price":7}"#;
		assert_eq!(serde_json::from_str::<Manifest>(json).unwrap().price, 7);
	}

	#[test]
	fn a_manifest_is_checked_at_its_edges() {
		assert_eq!(named(&"a".repeat(NAME_BYTES_MAX)).check(), Ok(()));
		assert!(matches!(
			named(&"a".repeat(NAME_BYTES_MAX + 1)).check(),
			Err(ManifestError::Name(_))
		));
		assert!(matches!(named("").check(), Err(ManifestError::Name(_))));

		let mut many = named("many");
		many.egress = vec!["example.com".parse().unwrap(); EGRESS_RULES_MAX];
		assert_eq!(many.check(), Ok(()));
		many.egress.push("example.com".parse().unwrap());
		assert!(matches!(many.check(), Err(ManifestError::TooMany { what: "egress rules", .. })));
	}
}
