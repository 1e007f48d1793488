//! Turns an agent's folder into what a network runs: a WebAssembly component and a manifest.
//!
//! The folder has an `agent.toml` (the manifest and, under `[build]`, the main module) and the
//! agent's TypeScript or JavaScript. esbuild (from the SDK's `node_modules`) bundles it behind the
//! SDK's prelude; `componentize-qjs` evaluates the bundle once in QuickJS and takes a snapshot of the
//! engine: that is the component. An agent in another language needs no builder: any component that
//! exports the `wasi:http` 0.3 handler will do.

mod bundle;
mod component;
mod error;
mod folder;

pub use error::BuildError;
pub use folder::{AgentFolder, MANIFEST_FILE};
pub use phala_agent_manifest::Manifest;

use std::path::{Path, PathBuf};

/// Where a build writes, inside the agent's folder.
pub const OUT_DIR: &str = "dist";
pub const COMPONENT_FILE: &str = "agent.wasm";
pub const BUILT_MANIFEST_FILE: &str = "manifest.json";
/// The bundle that the component was made of: stack traces in an agent's log point into it.
pub const BUNDLE_FILE: &str = "agent.js";

/// A built agent.
#[derive(Clone, Debug)]
pub struct BuiltAgent {
	pub manifest: Manifest,
	pub component: Vec<u8>,
	/// blake2-256 of `component`: how a network names this code.
	pub code_hash: [u8; 32],
	/// The JavaScript that the component was made of.
	pub bundle: String,
	/// What esbuild warned of.
	pub warnings: String,
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
}

impl Builder {
	/// `sdk` is the folder of the npm package, with its own packages installed.
	pub fn new(sdk: impl Into<PathBuf>) -> Result<Self, BuildError> {
		let sdk = sdk.into();
		let sdk =
			sdk.canonicalize().map_err(|source| BuildError::SdkMissing { path: sdk, source })?;
		if !sdk.join("node_modules/esbuild").is_dir() {
			return Err(BuildError::SdkNotInstalled { path: sdk });
		}
		Ok(Self { sdk })
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
					// An installed package has its dependencies beside it.
					return if candidate.join("node_modules/esbuild").is_dir() {
						Self::new(candidate)
					} else {
						Err(BuildError::SdkNotInstalled { path: candidate })
					};
				}
			}
		}
		Err(BuildError::SdkNotFound { folder: start })
	}

	/// Builds the agent in `folder`, in memory.
	pub fn build(&self, folder: &AgentFolder) -> Result<BuiltAgent, BuildError> {
		let bundle = bundle::bundle(&self.sdk, folder)?;
		let component = component::componentize(&bundle.code)?;
		Ok(BuiltAgent {
			manifest: folder.manifest.clone(),
			code_hash: sp_crypto_hashing::blake2_256(&component),
			component,
			bundle: bundle.code,
			warnings: bundle.warnings,
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
