//! Componentizing: QuickJS evaluates the bundle once; its snapshot is the component.

use crate::cache::{self, Cache};
use crate::node::{self, Answer, Request, DRIVER};
use crate::packages::Packages;
use crate::{engine, BuildError};
use std::path::Path;
use std::time::Duration;

const WORLD: &str = "agent";
const DOING: &str = "making the component";

/// The world that agents are built against, as the sandbox offers it.
const WIT_FILES: [(&str, &str); 2] = [
	("agent.wit", include_str!("../../../enclave/sandbox/wit/agent.wit")),
	("deps/http.wit", include_str!("../../../enclave/sandbox/wit/deps/http.wit")),
];

/// Names all that a component is made of.
pub(crate) fn key(packages: &Packages, bundle: &str) -> cache::Key {
	let [(_, agent_wit), (_, http_wit)] = WIT_FILES;
	cache::key(&[
		b"component",
		bundle.as_bytes(),
		agent_wit.as_bytes(),
		http_wit.as_bytes(),
		WORLD.as_bytes(),
		packages.componentize_version.as_bytes(),
		&engine_key(packages),
		DRIVER.as_bytes(),
		include_bytes!("component.rs"),
	])
}

fn engine_key(packages: &Packages) -> cache::Key {
	let version = packages.componentize_version.as_bytes();
	cache::key(&[b"engine", version, include_bytes!("engine.rs")])
}

pub(crate) fn componentize(
	packages: &Packages,
	bundle: &str,
	cache: Option<&Cache>,
	limit: Duration,
) -> Result<Vec<u8>, BuildError> {
	let folder = tempfile::tempdir()
		.map_err(|source| BuildError::Write { path: std::env::temp_dir(), source })?;
	let path = |name: &str| folder.path().join(name);
	for (name, text) in WIT_FILES {
		write(&path("wit").join(name), text.as_bytes())?;
	}
	write(&path("engine.wasm"), &engine(packages, cache)?)?;
	write(&path("agent.js"), bundle.as_bytes())?;
	let request = Request::Componentize {
		binding: &packages.componentize,
		engine: &path("engine.wasm"),
		wit: &path("wit"),
		world: WORLD,
		module: &path("agent.js"),
		component: &path("agent.wasm"),
	};
	let answer = node::run(&request, DOING, limit).map_err(|error| match error {
		// Nearly all of making a component is evaluating the modules.
		BuildError::TimeLimit { limit_s, .. } => BuildError::EvaluationTime { limit_s },
		error => error,
	})?;
	match answer {
		Answer::Component => {
			let path = path("agent.wasm");
			std::fs::read(&path).map_err(|source| BuildError::Read { path, source })
		}
		Answer::Threw(text) => Err(BuildError::Evaluation(text)),
		Answer::Refused(text) => Err(BuildError::Componentize(text)),
		other => Err(other.unexpected(DOING)),
	}
}

fn engine(packages: &Packages, cache: Option<&Cache>) -> Result<Vec<u8>, BuildError> {
	let key = engine_key(packages);
	if let Some(engine) = cache.and_then(|cache| cache.get(&key)) {
		return Ok(engine);
	}
	let engine = engine::find(&packages.componentize)?;
	let engine = engine::with_build_time_host(&engine)
		.map_err(|source| BuildError::Engine { path: packages.componentize.clone(), source })?;
	if let Some(cache) = cache {
		cache.put(&key, &engine);
	}
	Ok(engine)
}

fn write(path: &Path, content: &[u8]) -> Result<(), BuildError> {
	let failed = |source| BuildError::Write { path: path.to_owned(), source };
	std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
	std::fs::write(path, content).map_err(failed)
}
