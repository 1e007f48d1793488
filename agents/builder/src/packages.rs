//! Where the npm packages are that a build runs.

use crate::BuildError;
use serde::Deserialize;
use std::env::consts::{ARCH, OS};
use std::path::{Path, PathBuf};

/// The packages of one SDK.
#[derive(Clone, Debug)]
pub(crate) struct Packages {
	pub esbuild: PathBuf,
	/// The native part of componentize-qjs, a package for each platform.
	pub componentize: PathBuf,
	/// Its name and version: other ones may make other components.
	pub componentize_version: String,
}

#[derive(Deserialize)]
struct Package {
	name: String,
	version: String,
	main: PathBuf,
}

impl Packages {
	pub fn find(sdk: &Path) -> Result<Self, BuildError> {
		let not_installed = |package: &str| BuildError::PackageMissing {
			package: package.to_owned(),
			sdk: sdk.to_owned(),
		};
		let esbuild = installed(sdk, "esbuild").ok_or_else(|| not_installed("esbuild"))?;
		let names = bindings(OS, ARCH);
		let Some(expected) = names.first() else {
			return Err(BuildError::PlatformUnsupported { os: OS, arch: ARCH });
		};
		let folder = names.iter().find_map(|name| installed(sdk, name));
		let folder = folder.ok_or_else(|| not_installed(expected))?;
		let path = folder.join("package.json");
		let read_failed = |source| BuildError::Read { path: path.clone(), source };
		let text = std::fs::read(&path).map_err(read_failed)?;
		let package: Package =
			serde_json::from_slice(&text).map_err(|error| read_failed(error.into()))?;
		Ok(Self {
			esbuild,
			componentize: folder.join(package.main),
			componentize_version: format!("{}@{}", package.name, package.version),
		})
	}
}

/// Looked for as Node.js does: npm puts a package's dependencies in its folder or in one above.
fn installed(from: &Path, package: &str) -> Option<PathBuf> {
	let folders = from.ancestors().map(|folder| folder.join("node_modules").join(package));
	folders.into_iter().find(|folder| folder.join("package.json").is_file())
}

/// npm installs the one that fits the machine's C library.
fn bindings(os: &str, arch: &str) -> Vec<String> {
	let platforms: &[&str] = match (os, arch) {
		("linux", "x86_64") => &["linux-x64-gnu", "linux-x64-musl"],
		("linux", "aarch64") => &["linux-arm64-gnu"],
		("macos", "x86_64") => &["darwin-x64"],
		("macos", "aarch64") => &["darwin-arm64"],
		_ => &[],
	};
	platforms
		.iter()
		.map(|platform| format!("@andreiltd/componentize-qjs-binding-{platform}"))
		.collect()
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn packages_are_found_beside_an_installed_sdk_too() {
		let folder = tempfile::tempdir().unwrap();
		let sdk = folder.path().join("node_modules/@phala/agent");
		std::fs::create_dir_all(&sdk).unwrap();
		assert_eq!(installed(&sdk, "esbuild"), None);
		let esbuild = folder.path().join("node_modules/esbuild");
		std::fs::create_dir_all(&esbuild).unwrap();
		std::fs::write(esbuild.join("package.json"), "{}").unwrap();
		assert_eq!(installed(&sdk, "esbuild"), Some(esbuild));
	}

	#[test]
	fn of_a_platform_without_a_binding_none_is_looked_for() {
		assert_eq!(bindings("windows", "x86_64"), Vec::<String>::new());
	}
}
