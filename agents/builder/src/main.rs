//! `phala-agent-build <folder> [--sdk <folder>] [--no-cache]`: builds an agent, prints its size and code
//! hash. `--no-cache` is for whoever checks a hash that somebody else published.

use phala_agent_builder::{AgentFolder, BuildError, Builder};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str =
	"usage: phala-agent-build <agent folder> [--sdk <folder of @phala/agent>] [--no-cache]";

fn main() -> ExitCode {
	let mut folder = None;
	let mut sdk = None;
	let mut no_cache = false;
	let mut args = std::env::args().skip(1);
	while let Some(arg) = args.next() {
		match arg.as_str() {
			"--sdk" => sdk = args.next(),
			"--no-cache" => no_cache = true,
			"--help" | "-h" => {
				println!("{USAGE}");
				return ExitCode::SUCCESS;
			}
			_ if folder.is_none() && !arg.starts_with('-') => folder = Some(PathBuf::from(arg)),
			_ => {
				eprintln!("unexpected argument {arg}\n{USAGE}");
				return ExitCode::FAILURE;
			}
		}
	}
	let Some(folder) = folder else {
		eprintln!("{USAGE}");
		return ExitCode::FAILURE;
	};
	match build(&folder, sdk.map(PathBuf::from), no_cache) {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			eprintln!("error: {error}");
			ExitCode::FAILURE
		}
	}
}

fn build(folder: &std::path::Path, sdk: Option<PathBuf>, no_cache: bool) -> Result<(), BuildError> {
	let agent = AgentFolder::open(folder)?;
	let builder = match sdk {
		Some(sdk) => Builder::new(sdk)?,
		None => Builder::find(folder)?,
	};
	let builder = if no_cache { builder.without_cache() } else { builder };
	let built = builder.build(&agent)?;
	let files = built.write(&agent)?;
	if !built.warnings.is_empty() {
		eprintln!("{}", built.warnings);
	}
	println!("component  {} ({} bytes)", files.component.display(), built.component.len());
	println!("manifest   {}", files.manifest.display());
	println!("code hash  0x{}", hex::encode(built.code_hash));
	Ok(())
}
