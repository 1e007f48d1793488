use phala_agent_manifest::ManifestError;
use std::{io, path::PathBuf};
use thiserror::Error;

/// Why an agent was not built.
#[derive(Debug, Error)]
pub enum BuildError {
	#[error("{path}: cannot be read: {source}")]
	Read { path: PathBuf, source: io::Error },
	#[error("{path}: cannot be written: {source}")]
	Write { path: PathBuf, source: io::Error },
	#[error("{path}: not a manifest: {source}")]
	ManifestSyntax { path: PathBuf, source: Box<toml::de::Error> },
	#[error("{path}: {source}")]
	Manifest { path: PathBuf, source: ManifestError },
	#[error("the manifest cannot be written as JSON: {0}")]
	ManifestJson(serde_json::Error),
	#[error("{path}: the main module is not there; agent.toml names it as `main` under [build] (src/index.ts if it does not)")]
	MainMissing { path: PathBuf },
	#[error("the SDK is not at {path}: {source}")]
	SdkMissing { path: PathBuf, source: io::Error },
	#[error("no SDK for {folder}: install the npm package @phala/agent in it, or say where the SDK is with --sdk")]
	SdkNotFound { folder: PathBuf },
	#[error("the SDK's packages are not installed: run `npm ci` in {path}")]
	SdkNotInstalled { path: PathBuf },
	#[error("esbuild cannot be started ({source}): Node.js must be on the PATH and `npm ci` must have run in {sdk}")]
	EsbuildStart { sdk: PathBuf, source: io::Error },
	/// The text is esbuild's own: file, line, column and what is wrong.
	#[error("the agent's code was refused:\n{0}")]
	Code(String),
	/// The bundle threw while it was evaluated, as QuickJS tells it.
	#[error("the agent's modules threw while they were evaluated, which happens once, at build time:\n{0}")]
	Evaluation(String),
	#[error("the component cannot be made: {0}")]
	Componentize(String),
}
