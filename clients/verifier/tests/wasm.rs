//! The verifier builds for wasm without std, and so does all that it depends on.

use std::process::Command;

#[test]
fn it_builds_for_wasm_where_there_is_no_std() {
	let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
	let checked = Command::new(cargo)
		.args(["check", "--locked", "--offline", "--lib", "--package", "phala-verifier"])
		// This target has core and alloc, and no std: a crate that asks for it does not build.
		.args(["--no-default-features", "--target", "wasm32v1-none"])
		// `make test` has it for libtest; crates that look for it would be compiled anew, here and then
		// by the next cargo that has it not.
		.env_remove("RUSTC_BOOTSTRAP")
		.current_dir(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests"))
		.output()
		.expect("cargo runs, since it runs this test");
	assert!(
		checked.status.success(),
		"is the target installed (`make setup`)?\n{}",
		String::from_utf8_lossy(&checked.stderr)
	);
}
