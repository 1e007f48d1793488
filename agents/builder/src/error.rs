use crate::engine::EngineError;
use phala_agent_manifest::ManifestError;
use std::{io, path::PathBuf};
use thiserror::Error;

/// Why an agent was not built.
#[derive(Debug, Error)]
pub enum BuildError {
	#[error("{path}: cannot be read")]
	Read { path: PathBuf, source: io::Error },
	#[error("{path}: cannot be written")]
	Write { path: PathBuf, source: io::Error },
	#[error("{path}: not a manifest")]
	ManifestSyntax { path: PathBuf, source: Box<toml::de::Error> },
	#[error("{path}: the manifest was refused")]
	Manifest { path: PathBuf, source: ManifestError },
	#[error("the manifest cannot be written as JSON: {0}")]
	ManifestJson(serde_json::Error),
	#[error("{path}: the main module is not there; agent.toml names it as `main` under [build] (src/index.ts if it does not)")]
	MainMissing { path: PathBuf },
	#[error("the SDK is not at {path}")]
	SdkMissing { path: PathBuf, source: io::Error },
	#[error("no SDK for {folder}: install the npm package @phala/agent in it, or say where the SDK is with --sdk")]
	SdkNotFound { folder: PathBuf },
	#[error("the npm package {package}, which builds agents, is not installed for the SDK in {sdk}: run `npm ci` there, or `npm install` where it is a dependency; optional packages are needed")]
	PackageMissing { package: String, sdk: PathBuf },
	#[error("agents cannot be built on {os} {arch}: componentize-qjs, which makes components, exists for Linux (x86_64, aarch64 with glibc) and macOS")]
	PlatformUnsupported { os: &'static str, arch: &'static str },
	#[error("node cannot be started; install Node.js 20 or later (https://nodejs.org) so that `node` is on the PATH")]
	NodeMissing { source: io::Error },
	#[error(
		"the `node` on the PATH is Node.js {version}: 20 or later is needed (https://nodejs.org)"
	)]
	NodeTooOld { version: String },
	#[error("{doing} took longer than {limit_s} s and was stopped")]
	TimeLimit { doing: &'static str, limit_s: u64 },
	#[error("the agent's modules were evaluated for longer than {limit_s} s, which happens once, at build time: look for an endless loop at the top level of a module")]
	EvaluationTime { limit_s: u64 },
	/// It neither built nor said why not.
	#[error("{doing} broke off, which is not the agent's fault: {text}")]
	ToolBroke { doing: &'static str, text: String },
	#[error("{path} has none of the JavaScript engines that this builder was made for (componentize-qjs 0.4.5): run `npm ci` in the SDK's folder")]
	EngineUnknown { path: PathBuf },
	#[error("the JavaScript engine in {path} cannot be made reproducible: {source}")]
	Engine { path: PathBuf, source: EngineError },
	/// The text has the file, the line, the column and what is wrong.
	#[error("the agent's code was refused:\n{0}")]
	Code(String),
	/// The bundle threw while it was evaluated, as QuickJS tells it.
	#[error("the agent's modules threw while they were evaluated, which happens once, at build time:\n{0}")]
	Evaluation(String),
	#[error("the component cannot be made: {0}")]
	Componentize(String),
}
