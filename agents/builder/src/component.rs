//! Componentizing: QuickJS evaluates the bundle once; its snapshot is the component.

use crate::BuildError;
use componentize_qjs::{ComponentizeOpts, Runtime};
use std::path::{Path, PathBuf};

const WORLD: &str = "agent";

/// The world that agents are built against, as the sandbox offers it.
const WIT_FILES: [(&str, &str); 2] = [
	("agent.wit", include_str!("../../../enclave/sandbox/wit/agent.wit")),
	("deps/http.wit", include_str!("../../../enclave/sandbox/wit/deps/http.wit")),
];

pub(crate) fn componentize(bundle: &str) -> Result<Vec<u8>, BuildError> {
	let wit = tempfile::tempdir()
		.map_err(|source| BuildError::Write { path: std::env::temp_dir(), source })?;
	for (name, text) in WIT_FILES {
		write(&wit.path().join(name), text)?;
	}
	let opts = ComponentizeOpts {
		wit_path: wit.path(),
		js_source: bundle,
		js_path: None,
		module_root: None,
		world_name: Some(WORLD),
		stub_wasi: false,
		disable_gc: false,
		runtime: Runtime::Default,
	};
	// On a thread of its own: the caller's may be driving a runtime already.
	let result = std::thread::scope(|scope| {
		let run = || {
			let runtime = tokio::runtime::Builder::new_current_thread()
				.build()
				.map_err(|error| error.to_string())?;
			runtime
				.block_on(componentize_qjs::componentize(&opts))
				.map_err(|error| format!("{error:#}"))
		};
		scope.spawn(run).join()
	});
	match result {
		Ok(Ok(component)) => Ok(component),
		Ok(Err(text)) if is_from_evaluation(&text) => Err(BuildError::Evaluation(text)),
		Ok(Err(text)) => Err(BuildError::Componentize(text)),
		Err(_panic) => Err(BuildError::Componentize("the component maker panicked".to_owned())),
	}
}

/// Whether an error of `componentize` is the agent's own, thrown by one of its modules.
fn is_from_evaluation(text: &str) -> bool {
	!text.contains("failed to link") && !text.contains("failed to stub")
}

fn write(path: &PathBuf, text: &str) -> Result<(), BuildError> {
	let failed = |source| BuildError::Write { path: path.clone(), source };
	std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
	std::fs::write(path, text).map_err(failed)
}
