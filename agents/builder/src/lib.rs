//! Turns an agent's folder into what a network runs: a WebAssembly component and a manifest.
//!
//! The folder has an `agent.toml` (the manifest and, under `[build]`, the main module) and the
//! agent's TypeScript or JavaScript. esbuild bundles it behind the SDK's prelude; `componentize-qjs`
//! evaluates the bundle once in QuickJS and takes a snapshot of the engine: that is the component.
//! Both are npm packages, pinned in the SDK's lock file, and run in Node.js.
//!
//! **The same bundle makes the same component**, byte for byte, wherever and whenever it is built
//! (`engine.rs` says how); the bundle depends on the source files, the versions of the packages and
//! where they lie relative to the agent. So components are cached by what they were made of, and a
//! code hash that somebody else published can be checked by building.
//!
//! An agent in another language needs no builder: any component that exports the `wasi:http` 0.3
//! handler will do.

mod bundle;
mod cache;
mod component;
mod engine;
mod error;
mod folder;
mod node;
mod packages;
mod source_lines;

pub use engine::EngineError;
pub use error::BuildError;
pub use folder::{AgentFolder, MANIFEST_FILE};
pub use phala_agent_manifest::Manifest;

use cache::Cache;
use packages::Packages;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a build writes, inside the agent's folder.
pub const OUT_DIR: &str = "dist";
pub const COMPONENT_FILE: &str = "agent.wasm";
pub const BUILT_MANIFEST_FILE: &str = "manifest.json";
/// The bundle that the component was made of: what an agent's log says of the SDK points into it. Places of
/// the agent's own are those of its sources.
pub const BUNDLE_FILE: &str = "agent.js";

/// Seconds are usual for both, and many times that on a busy machine.
const BUNDLING_TIME_MAX: Duration = Duration::from_secs(120);
const EVALUATION_TIME_MAX: Duration = Duration::from_secs(120);

/// A built agent.
#[derive(Clone, Debug)]
pub struct BuiltAgent {
	pub manifest: Manifest,
	pub component: Vec<u8>,
	/// blake2-256 of `component`: how a network names this code.
	pub code_hash: [u8; 32],
	/// The JavaScript that the component was made of, with what leads to the sources at its end.
	pub bundle: String,
	/// What esbuild warned of.
	pub warnings: String,
	/// Whether the component was made before, of the same.
	pub from_cache: bool,
}

/// The files of a written build.
#[derive(Clone, Debug)]
pub struct WrittenFiles {
	pub component: PathBuf,
	pub manifest: PathBuf,
}

/// Builds agents with the SDK (`@phala/agent`) in one folder.
#[derive(Clone, Debug)]
pub struct Builder {
	sdk: PathBuf,
	packages: Packages,
	cache: Option<Cache>,
	evaluation_time_max: Duration,
}

impl Builder {
	/// `sdk` is the folder of the npm package, with its own packages installed. Components are cached in
	/// the user's `$XDG_CACHE_HOME/phala/agents`, or `~/.cache/phala/agents`.
	pub fn new(sdk: impl Into<PathBuf>) -> Result<Self, BuildError> {
		let sdk = sdk.into();
		let sdk =
			sdk.canonicalize().map_err(|source| BuildError::SdkMissing { path: sdk, source })?;
		let packages = Packages::find(&sdk)?;
		let cache = Cache::of_user();
		Ok(Self { sdk, packages, cache, evaluation_time_max: EVALUATION_TIME_MAX })
	}

	/// The folder of the npm package.
	pub fn sdk(&self) -> &Path {
		&self.sdk
	}

	/// Caches in another folder.
	pub fn with_cache(self, folder: impl Into<PathBuf>) -> Self {
		Self { cache: Some(Cache::new(folder.into())), ..self }
	}

	/// Makes every component anew, as whoever verifies a build wants it.
	pub fn without_cache(self) -> Self {
		Self { cache: None, ..self }
	}

	/// How long evaluating the agent's modules may take.
	pub fn with_evaluation_time_max(self, evaluation_time_max: Duration) -> Self {
		Self { evaluation_time_max, ..self }
	}

	/// The SDK for an agent in `folder`: an installed `@phala/agent`, or else the one of this
	/// repository's checkout.
	pub fn find(folder: &Path) -> Result<Self, BuildError> {
		let start = folder
			.canonicalize()
			.map_err(|source| BuildError::Read { path: folder.to_owned(), source })?;
		for parent in start.ancestors() {
			for candidate in ["node_modules/@phala/agent", "clients/sdk-js"] {
				let candidate = parent.join(candidate);
				if candidate.join("package.json").is_file() {
					return Self::new(candidate);
				}
			}
		}
		Err(BuildError::SdkNotFound { folder: start })
	}

	/// Builds the agent in `folder`, in memory.
	pub fn build(&self, folder: &AgentFolder) -> Result<BuiltAgent, BuildError> {
		// Always anew: it takes a moment, and only the bundler knows what the bundle depends on.
		let bundle = bundle::bundle(&self.sdk, &self.packages.esbuild, folder, BUNDLING_TIME_MAX)?;
		let key = component::key(&self.packages, &bundle.code);
		let cache = self.cache.as_ref();
		let cached = cache.and_then(|cache| cache.get(&key));
		let from_cache = cached.is_some();
		let component = match cached {
			Some(component) => component,
			None => {
				let limit = self.evaluation_time_max;
				let component = component::componentize(&self.packages, &bundle, cache, limit)?;
				if let Some(cache) = cache {
					cache.put(&key, &component);
				}
				component
			}
		};
		Ok(BuiltAgent {
			manifest: folder.manifest.clone(),
			code_hash: sp_crypto_hashing::blake2_256(&component),
			component,
			bundle: bundle.code,
			warnings: bundle.warnings,
			from_cache,
		})
	}
}

impl BuiltAgent {
	/// Writes `dist/agent.wasm`, `dist/manifest.json` and `dist/agent.js` into the agent's folder.
	pub fn write(&self, folder: &AgentFolder) -> Result<WrittenFiles, BuildError> {
		let out = folder.path.join(OUT_DIR);
		let failed = |path: &Path| {
			let path = path.to_owned();
			move |source| BuildError::Write { path, source }
		};
		std::fs::create_dir_all(&out).map_err(failed(&out))?;
		let bundle = out.join(BUNDLE_FILE);
		std::fs::write(&bundle, &self.bundle).map_err(failed(&bundle))?;
		let files = WrittenFiles {
			component: out.join(COMPONENT_FILE),
			manifest: out.join(BUILT_MANIFEST_FILE),
		};
		std::fs::write(&files.component, &self.component).map_err(failed(&files.component))?;
		let manifest =
			serde_json::to_vec_pretty(&self.manifest).map_err(BuildError::ManifestJson)?;
		std::fs::write(&files.manifest, manifest).map_err(failed(&files.manifest))?;
		Ok(files)
	}
}
