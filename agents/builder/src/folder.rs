use crate::BuildError;
use phala_agent_manifest::Manifest;
use serde::{de::IgnoredAny, Deserialize};
use std::path::{Path, PathBuf};

pub const MANIFEST_FILE: &str = "agent.toml";
const MAIN_DEFAULT: &str = "src/index.ts";

/// An agent's folder whose `agent.toml` has been read and checked.
#[derive(Clone, Debug)]
pub struct AgentFolder {
	pub path: PathBuf,
	pub manifest: Manifest,
	/// The main module.
	pub main: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
	main: PathBuf,
}

/// All keys that the file may have, so that one that it may not have is refused with these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is read for its keys alone")]
struct Keys {
	name: Option<IgnoredAny>,
	egress: Option<IgnoredAny>,
	secrets: Option<IgnoredAny>,
	config: Option<IgnoredAny>,
	limits: Option<IgnoredAny>,
	price: Option<IgnoredAny>,
	build: Option<IgnoredAny>,
}

impl AgentFolder {
	pub fn open(path: impl AsRef<Path>) -> Result<Self, BuildError> {
		let path = path.as_ref();
		let path = path
			.canonicalize()
			.map_err(|source| BuildError::Read { path: path.to_owned(), source })?;
		let file = path.join(MANIFEST_FILE);
		let text = std::fs::read_to_string(&file)
			.map_err(|source| BuildError::Read { path: file.clone(), source })?;
		let (manifest, main) = parse(&text).map_err(|source| BuildError::ManifestSyntax {
			path: file.clone(),
			source: Box::new(source),
		})?;
		manifest.check().map_err(|source| BuildError::Manifest { path: file, source })?;
		let main = path.join(main);
		if !main.is_file() {
			return Err(BuildError::MainMissing { path: main });
		}
		Ok(Self { path, manifest, main })
	}
}

/// The manifest is what the file says besides `[build]`, which is nobody's business but the builder's.
fn parse(text: &str) -> Result<(Manifest, PathBuf), toml::de::Error> {
	toml::from_str::<Keys>(text)?;
	let mut table: toml::Table = toml::from_str(text)?;
	let build = table.remove("build").map(Build::deserialize).transpose()?;
	let manifest = if build.is_some() {
		Manifest::deserialize(table)?
	} else {
		// From the text, so that errors show the line.
		toml::from_str(text)?
	};
	Ok((manifest, build.map_or_else(|| MAIN_DEFAULT.into(), |build| build.main)))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_manifest_is_everything_but_the_build_section() {
		let (manifest, main) = parse(
			r#"
            name = "hello"
            egress = ["api.example.com"]
            secrets = ["API_KEY"]
            price = 7
            [config]
            url = "https://api.example.com/v1"
            [limits]
            cpu_ms = 50
            [build]
            main = "main.js"
            "#,
		)
		.unwrap();
		assert_eq!(manifest.name, "hello");
		assert_eq!(manifest.limits.cpu_ms, Some(50));
		assert_eq!(manifest.config["url"], "https://api.example.com/v1");
		assert_eq!(main, Path::new("main.js"));
	}

	#[test]
	fn an_unknown_key_is_refused_with_its_line_and_all_that_there_are() {
		let error = parse("name = \"hello\"\nprize = 7\n").unwrap_err().to_string();
		assert!(error.contains("line 2") && error.contains("`prize`"), "{error}");
		let manifest = serde_json::to_value(Manifest::default()).unwrap();
		let keys = manifest.as_object().unwrap().keys().map(String::as_str);
		for key in keys.chain(["build"]) {
			assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
		}
	}

	#[test]
	fn a_price_in_pha_is_refused_with_its_line_and_unit() {
		for price in ["1.5", "-1", "\"0.001 PHA\""] {
			let error =
				parse(&format!("name = \"hello\"\nprice = {price}\n")).unwrap_err().to_string();
			assert!(
				error.contains("line 2") && error.contains("1000000000 is 0.001 PHA"),
				"{error}"
			);
		}
	}

	#[test]
	fn a_wrong_egress_rule_is_shown_with_its_line_and_what_would_be_right() {
		let error =
			parse("name = \"hello\"\negress = [\"ftp://x.org\"]\n").unwrap_err().to_string();
		assert!(error.contains("line 2") && error.contains("api.example.com"), "{error}");
	}
}
