//! The SDK, its types and every agent of the repository type-check.

use crate::common::repository;
use std::process::Command;

#[test]
fn the_sdk_and_the_agents_type_check() {
	let repository = repository();
	let tsc = repository.join("clients/sdk-js/node_modules/.bin/tsc");
	assert!(tsc.is_file(), "the SDK's packages are not installed: run `npm ci` in clients/sdk-js");
	for project in [
		"clients/sdk-js",
		"clients/sdk-js/test",
		"agents",
		"enclave/sandbox/tests/hostile",
		"enclave/sandbox/tests/web-apis",
	] {
		let output = Command::new(&tsc).arg("-p").arg(repository.join(project)).output().unwrap();
		assert!(output.status.success(), "{project}:\n{}", String::from_utf8_lossy(&output.stdout));
	}
}
