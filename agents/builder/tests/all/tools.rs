//! The tools run in Node.js: what is said when it is missing, too old, broken, or does not come to an end.

use crate::common::*;
use phala_agent_builder::BuildError;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const ENDLESS: &str = "for (;;) {}\n";
const FINE: &str = "export default { fetch: () => new Response('x') };";

#[test]
fn modules_that_do_not_come_to_an_end_are_stopped() {
	let builder = builder().with_evaluation_time_max(Duration::from_secs(1));
	let error = build_in(&builder, agent(ENDLESS).path()).unwrap_err();
	assert!(matches!(error, BuildError::EvaluationTime { limit_s: 1 }), "{error}");
	assert!(error.to_string().contains("endless loop at the top level"), "{error}");
}

#[test]
fn a_wait_at_the_top_level_that_nothing_ends_is_refused() {
	let error = build("await new Promise(() => {});\nexport default {};\n").unwrap_err();
	assert!(matches!(error, BuildError::Evaluation(_)), "{error}");
}

/// Runs the builder's program with `path` as its PATH.
fn run_with(path: &Path, code: &str) -> Output {
	let (folder, home) = (agent(code), tempfile::tempdir().unwrap());
	command(folder.path()).env("PATH", path).env("HOME", home.path()).output().unwrap()
}

fn command(folder: &Path) -> Command {
	let mut command = Command::new(env!("CARGO_BIN_EXE_phala-agent-build"));
	command.env_clear().arg(folder).arg("--sdk").arg(sdk());
	command
}

fn refused(output: &Output) -> String {
	assert!(!output.status.success());
	String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with a `node` that is this script.
fn fake_node(script: &str) -> tempfile::TempDir {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("node");
	fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
	fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
	folder
}

fn real_node() -> PathBuf {
	let path = std::env::var_os("PATH").unwrap();
	let mut candidates = std::env::split_paths(&path).map(|folder| folder.join("node"));
	candidates.find(|node| node.is_file()).expect("Node.js is on the PATH")
}

#[test]
fn without_node_it_says_what_to_install() {
	let nothing = tempfile::tempdir().unwrap();
	let text = refused(&run_with(nothing.path(), FINE));
	assert!(
		text.contains("node cannot be started") && text.contains("Node.js 20 or later"),
		"{text}"
	);
}

#[test]
fn a_node_that_is_too_old_is_named() {
	let old = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.19.1' } })";
	let script = tempfile::NamedTempFile::with_suffix(".cjs").unwrap();
	fs::write(script.path(), old).unwrap();
	let node =
		fake_node(&format!("exec {} -r {} \"$@\"", real_node().display(), script.path().display()));
	let text = refused(&run_with(node.path(), FINE));
	assert!(text.contains("Node.js 18.19.1: 20 or later is needed"), "{text}");
}

#[test]
fn a_node_that_breaks_off_is_quoted() {
	let node = fake_node("echo 'node: out of order' >&2; exit 3");
	let text = refused(&run_with(node.path(), FINE));
	assert!(text.contains("node: out of order") && text.contains("3"), "{text}");
	assert!(text.contains("not the agent's fault"), "{text}");
}

#[test]
fn the_developers_settings_of_node_change_nothing() {
	// The builder comes as far as the agent's own fault.
	let (folder, home) = (agent("const = 1;\n"), tempfile::tempdir().unwrap());
	let output = command(folder.path())
		.env("PATH", std::env::var_os("PATH").unwrap())
		.env("HOME", home.path())
		.env("NODE_OPTIONS", "--require /nonexistent.cjs")
		.output()
		.unwrap();
	let text = refused(&output);
	assert!(text.contains("src/index.ts:1:6"), "{text}");
}

/// Linux only: looks at `/proc`.
#[cfg(target_os = "linux")]
#[test]
fn when_the_builder_is_killed_no_tool_goes_on() {
	let (folder, home) = (agent(ENDLESS), tempfile::tempdir().unwrap());
	let mut builder = command(folder.path())
		.env("PATH", std::env::var_os("PATH").unwrap())
		.env("HOME", home.path())
		.stderr(Stdio::null())
		.spawn()
		.unwrap();
	let evaluating = wait_for(|| {
		let mut tools = children(builder.id()).into_iter();
		tools.find(|pid| cpu_ticks(*pid) > 100)
	});
	builder.kill().unwrap();
	builder.wait().unwrap();
	wait_for(|| (!is_running(evaluating)).then_some(()));
}

#[cfg(target_os = "linux")]
fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
	for _ in 0..6_000 {
		if let Some(found) = look() {
			return found;
		}
		std::thread::sleep(Duration::from_millis(10));
	}
	panic!("it did not happen within a minute")
}

#[cfg(target_os = "linux")]
fn children(pid: u32) -> Vec<u32> {
	let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
	let lists =
		threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
	lists
		.flat_map(|list| {
			list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
		})
		.collect()
}

/// In user mode, hundredths of a second.
#[cfg(target_os = "linux")]
fn cpu_ticks(pid: u32) -> u64 {
	let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
	let after_name = stat.rsplit(')').next().unwrap_or_default();
	after_name.split_whitespace().nth(11).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

/// Its parent may be slow to take note of its end.
#[cfg(target_os = "linux")]
fn is_running(pid: u32) -> bool {
	let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
	let state = stat.rsplit(')').next().unwrap_or_default().split_whitespace().next();
	state.is_some_and(|state| state != "Z" && state != "X")
}
